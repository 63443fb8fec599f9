//! The end of an exchange: usage → price → charge, and the facts for log and metrics.
//!
//! Must not book anything itself: a charge goes out through the `Keep` that the shell handed in, and
//! no answer is complete before it was kept.

use std::time::Instant;

use super::Exchange;
use super::answer::{Answer, Keep, Stop};
use super::count::Purpose;
use super::leg::Current;
use super::translation::Seen;
use crate::admit::Settled;
use crate::base::money::NanoUsd;
use crate::base::outcome::{Charge, Ending, Outcome, Pieces};
use crate::base::usage::Usage;
use crate::catalog::price::Circumstances;
use crate::meter::{StreamMeter, estimate};
use crate::settle;
use crate::wire::text;
use crate::wire::usage::UsageQuirks;

/// Usage and what it costs.
#[derive(Clone, Debug, Default)]
pub(super) struct Settlement {
    pub(super) usage: Usage,
    pub(super) estimated: bool,
    /// What it costs; once it is settled, what is paid.
    pub(super) amount: NanoUsd,
    pub(super) provider_cost: NanoUsd,
    pub(super) pieces: Pieces,
    pub(super) service_tier: Box<str>,
    pub(super) paid: Settled,
    /// How the request ended; `None` until the charge is kept.
    pub(super) ending: Option<Ending>,
}

impl Exchange {
    pub(super) fn usage_quirks(&self) -> UsageQuirks {
        let Some(Current { target, .. }) = &self.leg.current else { return UsageQuirks::default() };
        UsageQuirks {
            reasoning_outside_output: target.provider.reasoning_outside_output,
            cache_outside_input: target.provider.cached_outside_input,
        }
    }

    pub(super) fn price(&self, usage: Usage, service_tier: Option<&str>) -> Settlement {
        self.price_all(usage, Pieces::default(), service_tier)
    }

    /// The price of tokens and of what is counted otherwise.
    pub(super) fn price_all(&self, usage: Usage, counted: Pieces, service_tier: Option<&str>) -> Settlement {
        let Some(Current { target, .. }) = &self.leg.current else { return Settlement::default() };
        let Pieces { images, audio_ms, characters } = counted;
        let name = if images > 0 { self.image_name() } else { String::new() };
        let circumstances = Circumstances {
            at: self.arrival.at,
            service_tier: service_tier.unwrap_or_default(),
            region: target.provider.region_at(self.leg.access),
            images: &[(&*name, images)],
            web_searches: 0,
            audio_ms,
            characters,
        };
        let priced = settle::amounts(self.plan.chain.rates.as_ref(), &target.model.price, &usage, &circumstances);
        let amount = if self.is_test() { NanoUsd::ZERO } else { priced.amount };
        Settlement {
            usage,
            amount,
            provider_cost: priced.provider_cost,
            pieces: counted,
            service_tier: service_tier.unwrap_or_default().into(),
            ..Settlement::default()
        }
    }

    /// The price of an answer whose provider reported nothing, from the text that was seen.
    pub(super) fn price_estimated(&self, answer: &[u8]) -> Settlement {
        if !self.arrival.format.is_conversation() {
            return self.price_guessed();
        }
        let seen = text::visible_text(answer, self.text_bytes_max());
        if !seen.kept.is_empty() {
            return self.price_tokens(&seen.kept, seen.bytes_total);
        }
        self.price_estimated_of(answer, u64::try_from(answer.len()).unwrap_or(u64::MAX))
    }

    /// The price of half an answer: no member of it ends, so all of it is taken for text.
    pub(super) fn price_estimated_of(&self, part: &[u8], bytes_total: u64) -> Settlement {
        if !self.arrival.format.is_conversation() {
            return self.price_guessed();
        }
        let kept = part.get(..self.text_bytes_max().min(part.len())).unwrap_or_default();
        self.price_tokens(kept, bytes_total)
    }

    /// The same for a stream, whose meter has collected the text.
    pub(super) fn price_estimated_from(&self, meter: &StreamMeter) -> Settlement {
        let settlement = self.price_tokens(meter.text(), meter.text_bytes_total());
        self.with_prompt_told(settlement, meter.prompt_usage(), meter.service_tier())
    }

    /// The same for an answer that was translated.
    pub(super) fn price_estimated_seen(&self, seen: &Seen) -> Settlement {
        let settlement = self.price_tokens(&seen.text, seen.text_bytes_total);
        if seen.images > 0 {
            return self.price_guessed_images(settlement.usage, seen.images);
        }
        self.with_prompt_told(settlement, seen.prompt_usage, seen.service_tier.as_deref())
    }

    /// An estimate with the prompt's figures where the provider has told them: Anthropic does so at the start, which
    /// is better than our guess.
    fn with_prompt_told(&self, guess: Settlement, told: Option<Usage>, service_tier: Option<&str>) -> Settlement {
        let Some(prompt) = told else { return guess };
        let usage = Usage { output: guess.usage.output, ..prompt };
        Settlement { estimated: true, ..self.price(usage, service_tier) }
    }

    fn price_tokens(&self, kept: &[u8], bytes_total: u64) -> Settlement {
        let factor_milli = self.tokenizer_factor_milli();
        let prompt = text::prompt_text(&self.body, &self.head, self.text_bytes_max());
        let usage = Usage {
            input: estimate::tokens_of_escaped(&prompt.kept, prompt.bytes_total, factor_milli),
            output: estimate::tokens_of_escaped(kept, bytes_total, factor_milli),
            ..Usage::default()
        };
        Settlement { estimated: true, ..self.price(usage, None) }
    }

    pub(super) fn text_bytes_max(&self) -> usize {
        self.snapshot.config.limits.estimate_text_bytes_max
    }

    pub(super) fn tokenizer_factor_milli(&self) -> u32 {
        const SAME_AS_O200K: u32 = 1000;
        self.leg.current.as_ref().map_or(SAME_AS_O200K, |current| current.target.model.tokenizer_factor_milli)
    }

    /// Keeps the charge. Runs before the last bytes of an answer are handed out, and once.
    pub(super) fn settle(
        &mut self,
        mut settlement: Settlement,
        ending: Ending,
        now: Instant,
        keep: Keep<'_>,
    ) -> Result<(), Stop> {
        if self.is_settled() {
            return Ok(());
        }
        self.drop_beside(now);
        let tokens = settlement.usage.prompt_total().saturating_add(settlement.usage.completion_total());
        settlement.paid = self.admission.settle(settlement.amount, tokens, self.arrival.at);
        settlement.amount = settlement.paid.draw.charged;
        let is_kept = self.is_test() || keep(&self.charge(&settlement, ending, now));
        if !is_kept {
            self.admission.undo(&settlement.paid.draw, self.arrival.at);
        }
        settlement.ending = is_kept.then_some(ending);
        if is_kept {
            self.remember(&settlement, ending, now);
            self.note_pace(&settlement, ending, now);
        }
        self.settlement = Some(settlement);
        if is_kept { Ok(()) } else { Err(Stop::Unsettled) }
    }

    /// How fast the tokens of a stream came, where the provider has counted them.
    fn note_pace(&self, settlement: &Settlement, ending: Ending, now: Instant) {
        if let (true, false, Ending::Done, Some(first)) =
            (self.head.stream, settlement.estimated, ending, self.attempts.first_content)
        {
            let tokens = settlement.usage.completion_total();
            self.report_pace(tokens, now.saturating_duration_since(first), now);
        }
    }

    /// Books the request at nothing: a provider's fault, or a client that left before there was
    /// anything to pay for.
    pub(super) fn settle_free(&mut self, ending: Ending, now: Instant, keep: Keep<'_>) {
        let free = Settlement { amount: NanoUsd::ZERO, ..self.price_seen().unwrap_or_default() };
        // A row of nothing that cannot be kept costs nobody anything.
        let _ = self.settle(free, ending, now, keep);
    }

    /// The client left, or could not be written to. What was produced is charged, once.
    pub fn left(&mut self, now: Instant, keep: Keep<'_>) {
        if self.is_settled() || self.attempts.started == 0 || self.arrival.purpose == Purpose::Count {
            return;
        }
        let settlement = match &self.leg.answer {
            // Most of a long answer may have been produced for a client that did not wait for its end.
            Answer::Whole { held, .. } if !held.is_empty() => self.price_estimated(held),
            Answer::Awaiting
            | Answer::Whole { .. }
            | Answer::Rejected { .. }
            | Answer::Events { is_open: false, .. }
            | Answer::Translated { is_open: false, .. } => Settlement::default(),
            Answer::Events { .. } | Answer::Translated { .. } | Answer::Oversize { .. } | Answer::Complete => {
                self.price_seen_or_estimated()
            }
        };
        // Whoever has left gets no answer that the charge would have to precede.
        let _ = self.settle(settlement, Ending::Left, now, keep);
    }

    fn is_settled(&self) -> bool {
        self.settlement.as_ref().is_some_and(|s| s.ending.is_some())
    }

    /// What the answer cost, once it is settled. Test keys pay nothing.
    pub fn amount(&self) -> Option<NanoUsd> {
        self.settlement.as_ref().filter(|s| s.ending.is_some()).map(|s| s.amount)
    }

    fn charge(&self, settlement: &Settlement, ending: Ending, now: Instant) -> Charge {
        let routing = self.routing();
        Charge {
            request_id: self.arrival.id,
            account: self.arrival.key.account.id,
            key: self.arrival.key.id,
            at: self.arrival.at,
            requested: routing.requested,
            lane: routing.lane,
            provider: routing.provider,
            model: routing.model,
            wire_format: self.arrival.format,
            streamed: self.head.stream,
            ending,
            attempts: routing.attempts,
            usage: settlement.usage,
            estimated: settlement.estimated,
            service_tier: settlement.service_tier.clone(),
            pieces: settlement.pieces,
            draw: settlement.paid.draw,
            written_off: settlement.paid.written_off,
            provider_cost: NanoUsd(settlement.provider_cost.0.saturating_add(self.attempts.house_cost.0)),
            idempotency: settlement.paid.idempotency,
            latency: now.saturating_duration_since(self.arrival.instant),
            routed: self.routed.clone(),
        }
    }

    /// The facts of the finished request. `status` is what the client saw, 0 for nothing.
    pub fn outcome(&self, status: u16, now: Instant, detail: Option<String>) -> Outcome {
        let routing = self.routing();
        let since = |instant: Option<Instant>| instant.map(|i| i.saturating_duration_since(self.arrival.instant));
        let latency = now.saturating_duration_since(self.arrival.instant);
        let settled = self.settlement.as_ref();
        let failure = self.attempts.last_failure.map(|failure| failure.name().to_owned());
        Outcome {
            request_id: self.arrival.id,
            route: self.arrival.route,
            status,
            ending: settled.map_or(Ending::Refused, |s| s.ending.unwrap_or(Ending::Unsettled)),
            key: Some((self.arrival.key.account.id, self.arrival.key.id)),
            lane: routing.lane,
            requested: routing.requested,
            model: routing.model,
            provider: routing.provider,
            streamed: self.head.stream,
            attempts: routing.attempts,
            hedge: self.attempts.hedge,
            house_cost: self.attempts.house_cost,
            auto: routing.auto,
            usage: settled.map(|s| s.usage).unwrap_or_default(),
            estimated: settled.is_some_and(|s| s.estimated),
            amount: settled.map_or(NanoUsd::ZERO, |s| s.amount),
            written_off: settled.map_or(NanoUsd::ZERO, |s| s.paid.written_off),
            latency,
            first_byte: since(self.attempts.first_content),
            upstream: latency.saturating_sub(self.attempts.overhead),
            overhead: self.attempts.overhead,
            request_bytes: u64::try_from(self.body.len()).unwrap_or(u64::MAX),
            detail: detail.or(failure),
        }
    }
}

impl Exchange {
    /// Whether settling would have to estimate, which may take milliseconds.
    pub fn needs_estimate(&self) -> bool {
        if self.is_settled() || self.arrival.purpose == Purpose::Count {
            return false;
        }
        match &self.leg.answer {
            Answer::Events { meter, is_open, .. } => *is_open && meter.usage().is_none(),
            Answer::Translated { translation, is_open } => *is_open && translation.seen().usage.is_none(),
            Answer::Whole { held, .. } => !held.is_empty(),
            Answer::Oversize { .. } => true,
            Answer::Awaiting | Answer::Rejected { .. } | Answer::Complete => false,
        }
    }
}
