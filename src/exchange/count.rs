//! Counting a prompt's tokens without asking for an answer.
//!
//! Where the model's provider counts requests of the client's format, it is asked; else the count is made here.
//! Nothing is charged. Must not know how a count is written: `wire::count` does.

use std::borrow::Cow;

use super::Exchange;
use super::answer::{Answer, Flow, Stop};
use super::close::Settlement;
use super::retry::Failure;
use crate::base::outcome::Ending;
use crate::meter::estimate::{self, Prompt};
use crate::wire::text;
use crate::wire::{count, leap};
use bytes::Bytes;

/// What is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// An answer of a model.
    #[default]
    Answer,
    /// The prompt's tokens.
    Count,
}

impl Exchange {
    /// Leaves those targets in the plan whose provider counts requests of the client's format. Whether there is one;
    /// if not, [`Self::count_here`] is the answer.
    pub fn keep_counting_targets(&mut self) -> bool {
        let client = self.arrival.format;
        self.plan.attempts.retain(|attempt| {
            let endpoint = attempt.target.provider.endpoint(client);
            attempt.format == client && endpoint.is_some_and(|endpoint| !endpoint.count_path.is_empty())
        });
        !self.plan.attempts.is_empty()
    }

    /// What is asked for.
    pub fn purpose(&self) -> Purpose {
        self.arrival.purpose
    }

    /// The answer with a count by the tokenizer. May take milliseconds.
    pub fn count_here(&self) -> Bytes {
        let found = text::prompt_text(&self.body, &self.head, self.text_bytes_max());
        let target = self.plan.chain.targets.first();
        let prompt = Prompt {
            text: Cow::Borrowed(&found.kept),
            text_bytes_total: found.bytes_total,
            messages: found.messages,
            tools: found.tools,
            media: found.media,
        };
        let factor_milli = target.map_or(estimate::FACTOR_ONE_MILLI, |target| target.model.tokenizer_factor_milli);
        count::answer(self.arrival.format, estimate::prompt_tokens(&prompt, factor_milli))
    }

    /// The provider's count came in.
    pub(super) fn finish_count(&mut self, whole: Bytes) -> Result<Flow, Stop> {
        let is_object = leap::value_end(&whole, leap::skip_space(&whole, 0)).is_ok() && count::is_answer(&whole);
        if !is_object {
            return Err(Stop::Failed(Failure::BadAnswer));
        }
        self.settlement = Some(Settlement { ending: Some(Ending::Done), ..Settlement::default() });
        self.answer = Answer::Complete;
        Ok(Flow::Send(whole))
    }
}
