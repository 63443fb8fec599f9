//! What goes out with one chunk of a stream.
//!
//! Must not decide what that is.

use bytes::Bytes;

use super::answer::Flow;
use super::close::Settlement;

/// The pieces that go out with one chunk. Nearly always one, which is then passed on as it is.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    pub(super) parts: smallvec::SmallVec<[Bytes; 4]>,
}

impl Outgoing {
    pub(super) fn push(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.parts.push(bytes);
        }
    }

    pub(super) fn into_flow(mut self) -> Flow {
        match self.parts.len() {
            0 => Flow::Hold,
            1 => Flow::Send(self.parts.swap_remove(0)),
            _ => Flow::Send(Bytes::from(self.parts.concat())),
        }
    }
}

/// The usage frame with what the request cost, as the first fields of its usage object.
pub(super) fn with_cost(frame: &Bytes, at: usize, settlement: &Settlement) -> Bytes {
    let (before, after) = frame.split_at(at.min(frame.len()));
    let comma = if after.first() == Some(&b'}') { "" } else { "," };
    let cost = format!("\"cost_usd\":{},\"currency\":\"USD\"{comma}", settlement.amount);
    Bytes::from([before, cost.as_bytes(), after].concat())
}
