//! Counting a prompt's tokens without asking for an answer.
//!
//! Where the provider of the first target counts, it is asked, in its own format; else the count is made here.
//! Nothing is charged. Must not know how a count is written: `wire::count` does.

use std::borrow::Cow;

use super::Exchange;
use super::answer::{Answer, Flow, Stop};
use super::close::Settlement;
use super::retry::Failure;
use crate::base::outcome::Ending;
use crate::base::wire_format::WireFormat;
use crate::meter::estimate::{self, Prompt};
use crate::plan::Attempt;
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
    /// Leaves in the plan the first target's model at providers that count. Whether they can be asked; if not,
    /// [`Self::count_here`] is the answer: another model's count would be no count of this one's prompt.
    pub fn keep_counting_targets(&mut self) -> bool {
        let plan = &self.plan;
        let counts = |attempt: Attempt| {
            let target = plan.target(attempt)?;
            let endpoint = target.provider.endpoint(attempt.format)?;
            (!endpoint.count_path.is_empty()).then_some(&target.model.canonical)
        };
        let first = plan.attempts.first().copied().and_then(|first| Some((first, counts(first)?)));
        let Some((first, model)) = first else { return false };
        if plan.target(first).is_none_or(|target| self.put_to(target, first.format).is_err()) {
            return false;
        }
        let is_same = |attempt: &Attempt| counts(*attempt).is_some_and(|other| other == model);
        let same = plan.attempts.iter().copied().filter(is_same).collect();
        self.plan.attempts = same;
        true
    }

    /// The client's request as it is read for another format: a prompt to count lacks what every request must have.
    pub(super) fn readable(&self) -> Cow<'_, [u8]> {
        const LIMIT: &[u8] = b"\"max_tokens\":32000,";
        let is_unlimited = self.arrival.format == WireFormat::AnthropicMessages && self.head.max_tokens.is_none();
        match self.body.split_at_checked(self.head.object_start) {
            Some((open, rest)) if is_unlimited && self.arrival.purpose == Purpose::Count => {
                Cow::Owned([open, LIMIT, rest].concat())
            }
            Some(_) | None => Cow::Borrowed(&self.body),
        }
    }

    /// What is asked for.
    pub fn purpose(&self) -> Purpose {
        self.arrival.purpose
    }

    /// The answer with a count by the tokenizer. May take milliseconds.
    pub fn count_here(&self) -> Bytes {
        let found = text::prompt_text(&self.body, &self.head, self.text_bytes_max());
        let target = self.plan.planned().next().or(self.plan.chain.targets.first());
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
        let is_object = leap::value_end(&whole, leap::skip_space(&whole, 0)).is_ok();
        let tokens = count::tokens(&whole).filter(|_| is_object).ok_or(Stop::Failed(Failure::BadAnswer))?;
        let told = if self.is_translated() { count::answer(self.arrival.format, tokens) } else { whole };
        self.settlement = Some(Settlement { ending: Some(Ending::Done), ..Settlement::default() });
        self.leg.answer = Answer::Complete;
        Ok(Flow::Send(told))
    }
}
