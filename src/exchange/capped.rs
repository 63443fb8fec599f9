//! A stream on its way to the end of the account's money: it is held for anew as it grows, and ended in the client's
//! format where nothing is left.
//!
//! Must not know how money is held.

use std::time::Instant;

use bytes::Bytes;

use super::Exchange;
use super::answer::{Answer, Keep, Stop};
use super::close::Settlement;
use crate::base::money::NanoUsd;
use crate::base::outcome::Ending;
use crate::wire::ending;

/// Held beyond what the answer has cost so far, as a part of that: a quarter.
const AHEAD: i64 = 4;

impl Exchange {
    /// Whether a stream has grown beyond what is held for it.
    pub(super) fn has_outgrown(&self) -> bool {
        let text_bytes = match &self.leg.answer {
            Answer::Events { meter, .. } => meter.text_bytes_total(),
            Answer::Translated { translation, .. } => translation.seen().text_bytes_total,
            Answer::Awaiting
            | Answer::Whole { .. }
            | Answer::Oversize { .. }
            | Answer::Rejected { .. }
            | Answer::Complete => 0,
        };
        text_bytes > self.leg.text_bytes_max
    }

    /// Holds more for a stream that has outgrown what is held, or ends it: `Some` with its last frames.
    ///
    /// # Errors
    /// When the charge could not be kept.
    pub(super) fn pay_or_end(&mut self, now: Instant, keep: Keep<'_>) -> Result<Option<Bytes>, Stop> {
        let so_far = self.price_seen_or_estimated();
        let wanted = NanoUsd(so_far.amount.0.saturating_add(so_far.amount.0 / AHEAD));
        let held = self.admission.raise_to(wanted);
        if held > so_far.amount {
            let paid_for = i128::from(self.leg.text_bytes_max).saturating_mul(held.0.into());
            let grown = paid_for / i128::from(so_far.amount.0).max(1);
            self.leg.text_bytes_max =
                u64::try_from(grown).unwrap_or(u64::MAX).max(self.leg.text_bytes_max.saturating_add(1));
            return Ok(None);
        }
        self.end_here(so_far, now, keep).map(Some)
    }

    fn end_here(&mut self, so_far: Settlement, now: Instant, keep: Keep<'_>) -> Result<Bytes, Stop> {
        let usage = so_far.usage;
        self.settle(so_far, Ending::Capped, now, keep)?;
        let (cost, comment) = (self.cost_told(), self.cost_comment());
        match std::mem::replace(&mut self.leg.answer, Answer::Complete) {
            Answer::Events { meter, .. } => {
                let ending = ending::Ending {
                    id: self.arrival.id,
                    model: &self.original,
                    created_s: self.arrival.at.0 / 1_000,
                    usage,
                    usage_asked: self.asked_for_usage,
                    open_block: meter.open_block(),
                    events: meter.events(),
                    comment: &comment,
                };
                Ok(ending::frames(self.arrival.format, &ending))
            }
            Answer::Translated { mut translation, .. } => Ok(translation.end_at_limit(usage, cost.as_deref())),
            Answer::Awaiting
            | Answer::Whole { .. }
            | Answer::Oversize { .. }
            | Answer::Rejected { .. }
            | Answer::Complete => Ok(Bytes::new()),
        }
    }
}
