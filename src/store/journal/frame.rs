//! One record of the journal as bytes: length, CRC-32, body.
//!
//! Must not know files. The body is the charge in postcard's encoding, whose fields stand in the
//! order of the type: a change of `Charge` is a new [`SEGMENT_HEAD`] and a new [`Form`].

use crate::base::outcome::{Charge, Routed};

/// What a segment begins with: says what the file is and which form its records have.
pub(super) const SEGMENT_HEAD: &[u8; 16] = b"flux journal 3\r\n";
/// The same of the build before, whose journal may be left to be booked.
const FORMER_HEAD: &[u8; 16] = b"flux journal 2\r\n";
/// Where the first record of a segment stands.
pub(super) const HEAD_BYTES: u64 = SEGMENT_HEAD.len() as u64;
/// Longest record, its eight bytes in front included: a charge holds figures and short names.
pub(super) const FRAME_BYTES_MAX: usize = 2_048;

const LENGTH_BYTES: usize = 4;
const PREFIX_BYTES: usize = 8;

/// Which form the records of a segment have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A charge.
    Former,
    /// A charge, and what `flux-auto` saw.
    Present,
}

impl Form {
    /// The form that a segment's beginning tells; `None` for what is no segment.
    pub(super) fn of(head: &[u8; SEGMENT_HEAD.len()]) -> Option<Self> {
        match head {
            SEGMENT_HEAD => Some(Self::Present),
            FORMER_HEAD => Some(Self::Former),
            _ => None,
        }
    }
}

/// Room for one record, on the stack of the worker that appends it.
pub(super) struct FrameBuffer([u8; FRAME_BYTES_MAX]);

impl FrameBuffer {
    /// An empty one.
    pub(super) fn new() -> Self {
        Self([0; FRAME_BYTES_MAX])
    }

    /// Writes a charge as a record; `None` when it does not fit.
    pub(super) fn encode(&mut self, charge: &Charge) -> Option<&[u8]> {
        let (prefix, body) = self.0.split_at_mut(PREFIX_BYTES);
        let body = postcard::to_slice(&(charge, &charge.routed), body).ok()?;
        let (length, crc) = prefix.split_at_mut(LENGTH_BYTES);
        length.copy_from_slice(&u32::try_from(body.len()).ok()?.to_le_bytes());
        crc.copy_from_slice(&crc32fast::hash(body).to_le_bytes());
        let end = PREFIX_BYTES + body.len();
        self.0.get(..end)
    }
}

/// What stands at the front of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// A whole record and how many bytes it takes.
    Charge(Box<Charge>, usize),
    /// A whole record, sound by its checksum, that is no charge; and how many bytes it takes.
    Undecodable(usize),
    /// More bytes are needed to tell.
    Short,
    /// No record: length or checksum are wrong.
    Damaged,
}

/// Reads the record at the front of `bytes`.
pub(super) fn decode(bytes: &[u8], form: Form) -> Frame {
    let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX_BYTES>() else { return Frame::Short };
    let [l0, l1, l2, l3, c0, c1, c2, c3] = *prefix;
    let Ok(length) = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])) else { return Frame::Damaged };
    if length == 0 || length > FRAME_BYTES_MAX - PREFIX_BYTES {
        return Frame::Damaged;
    }
    let Some(body) = rest.get(..length) else { return Frame::Short };
    if crc32fast::hash(body) != u32::from_le_bytes([c0, c1, c2, c3]) {
        return Frame::Damaged;
    }
    match charge(body, form) {
        Some(charge) => Frame::Charge(Box::new(charge), PREFIX_BYTES + length),
        None => Frame::Undecodable(PREFIX_BYTES + length),
    }
}

fn charge(body: &[u8], form: Form) -> Option<Charge> {
    let (charge, rest) = postcard::take_from_bytes::<Charge>(body).ok()?;
    let (routed, rest) = match form {
        Form::Former => (None, rest),
        Form::Present => postcard::take_from_bytes::<Option<Routed>>(rest).ok()?,
    };
    rest.is_empty().then_some(Charge { routed, ..charge })
}
