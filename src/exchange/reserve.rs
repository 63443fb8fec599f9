//! What is held for a request before it goes to a provider: tokens of its key's minute, money of its purses.
//!
//! The bound is what the dearest attempt of the plan can cost. Must not know how anything is held: `admit` does that.

use super::Exchange;
use super::count::Purpose;
use super::deny;
use super::leg::{Current, Told};
use crate::base::money::NanoUsd;
use crate::base::outcome::Pieces;
use crate::base::refusal::Refusal;
use crate::base::usage::{CacheWrite, Usage};
use crate::catalog::Model;
use crate::wire::text;
use crate::wire::usage::{member, tier_name};

/// The longest answer of a model of which nobody says.
const OUTPUT_TOKENS_UNKNOWN: u64 = 131_072;
/// A picture in a prompt, in the best quality of the dearest model.
const TOKENS_PER_MEDIUM: u64 = 5_000;
/// Above this, a body's text is told apart from its markup and its pictures.
const BODY_BYTES_SMALL: usize = 4_096;
/// Bytes of text for one token, so few that the count is above the true one.
const BYTES_PER_TOKEN: u64 = 3;
/// The same, for answers at work: on the way to a cap the count should be near.
const BYTES_PER_TOKEN_USUAL: u64 = 4;
const MILLI: u64 = 1_000;

/// What of a request decides how much it may cost; looked for once, since it takes a walk over the body.
struct Asked {
    prompt_tokens: u64,
    service_tier: Option<Box<str>>,
}

impl Exchange {
    /// Holds what the request may cost.
    ///
    /// # Errors
    /// 429 or 402 in words; nothing is held then.
    pub(super) fn reserve(&mut self) -> Result<(), Refusal> {
        if self.arrival.purpose == Purpose::Count {
            return Ok(());
        }
        let is_free = self.is_test() || self.admission.is_repeat();
        let available = self.admission.available(self.arrival.at).filter(|_| !is_free);
        // The text of a long prompt is looked at only where something bounds what it may take.
        let is_bounded = available.is_some() || self.admission.counts_tokens();
        let prompt_tokens = if is_bounded { self.prompt_tokens_at_most() } else { 0 };
        if self.admission.counts_tokens() {
            let output = self.head.max_tokens.unwrap_or(self.snapshot.config.money.rate_tokens_unstated);
            let tokens = prompt_tokens.saturating_add(output);
            self.admission.reserve_tokens(tokens).map_err(|denied| deny::refusal(&denied, &self.arrival))?;
        }
        if self.is_test() {
            return Ok(());
        }
        let Some(available) = available else {
            let held = self.admission.reserve_funds(NanoUsd::ZERO, NanoUsd::ZERO, self.arrival.at);
            return held.map(|_| ()).map_err(|denied| deny::refusal(&denied, &self.arrival));
        };
        let service_tier = self.head.service_tier.clone().and_then(|range| tier_name(self.body.get(range)?));
        let asked = Asked { prompt_tokens, service_tier };
        let whole = self.bound(&asked, None);
        let (wanted, least) = self.wanted_and_least(&asked, whole, available);
        let held = self.admission.reserve_funds(wanted, least, self.arrival.at);
        let held = held.map_err(|denied| deny::refusal(&denied, &self.arrival))?;
        if held < whole {
            self.output_limit = Some(self.output_tokens_for(&asked, held));
        }
        Ok(())
    }

    /// How much should be held, and how much must be.
    fn wanted_and_least(&mut self, asked: &Asked, whole: NanoUsd, available: NanoUsd) -> (NanoUsd, NanoUsd) {
        if !self.arrival.format.is_conversation() {
            return (whole, whole);
        }
        let money = self.snapshot.config.money;
        let least_tokens = money.output_tokens_min.saturating_add(self.thinking_budget());
        let least = self.bound(asked, Some(least_tokens));
        if self.head.max_tokens.is_some() {
            return (whole, least);
        }
        let usual = self.bound(asked, Some(money.output_tokens_unstated.max(least_tokens)));
        let share = NanoUsd(available.0 / i64::try_from(money.reservation_share).unwrap_or(1).max(1));
        (whole.min(usual.max(share)), least)
    }

    /// The most that any attempt of the plan can cost, with at most `limit` tokens an answer.
    fn bound(&mut self, asked: &Asked, limit: Option<u64>) -> NanoUsd {
        let mut dearest = NanoUsd::ZERO;
        for place in 0..self.plan.attempts.len() {
            let Some((target, format)) = self.plan.at(place) else { continue };
            let output = self.output_tokens_at_most(&target.model).min(limit.unwrap_or(u64::MAX));
            // Prices may differ by the region of the address.
            let has_regions = target.provider.has_several_regions();
            let accesses = if has_regions { target.provider.accesses.len() } else { 1 };
            self.leg.current = Some(Current { target, format, told: Told::AsIs });
            for access in 0..accesses {
                self.leg.access = access;
                dearest = dearest.max(self.bound_of_current(asked, output));
            }
        }
        (self.leg.current, self.leg.access) = (None, 0);
        dearest
    }

    fn bound_of_current(&self, asked: &Asked, output_tokens: u64) -> NanoUsd {
        if !self.arrival.format.is_conversation() {
            return self.price_guessed().amount;
        }
        let answers = self.head.n.unwrap_or(1).max(1);
        let output = output_tokens.saturating_mul(answers);
        let Asked { prompt_tokens, ref service_tier } = *asked;
        // Writing the prompt into a cache may cost more than reading it, and either may be asked for.
        let written = CacheWrite { h1: prompt_tokens, ..CacheWrite::default() };
        let usages = [
            Usage { input: prompt_tokens, output, ..Usage::default() },
            Usage { cache_write: written, output, ..Usage::default() },
        ];
        let price = |usage| self.price_all(usage, Pieces::default(), service_tier.as_deref()).amount;
        usages.into_iter().map(price).max().unwrap_or_default()
    }

    /// How many tokens an answer may have for `held`.
    fn output_tokens_for(&mut self, asked: &Asked, held: NanoUsd) -> u64 {
        // The price grows with the tokens: halve the range until one is left.
        let (mut fits, mut too_many) = (0, self.output_tokens_most());
        while fits + 1 < too_many {
            let middle = fits + (too_many - fits) / 2;
            if self.bound(asked, Some(middle)) <= held {
                fits = middle;
            } else {
                too_many = middle;
            }
        }
        fits.max(1)
    }

    /// The longest answer of any attempt.
    fn output_tokens_most(&self) -> u64 {
        let models = self.plan.planned().map(|target| &target.model);
        models.map(|model| self.output_tokens_at_most(model)).max().unwrap_or(1)
    }

    fn output_tokens_at_most(&self, model: &Model) -> u64 {
        let longest = model.limits.output_tokens_max.or(model.limits.context_tokens).unwrap_or(OUTPUT_TOKENS_UNKNOWN);
        self.head.max_tokens.unwrap_or(longest).min(longest)
    }

    /// Tokens of the prompt, more than there are.
    fn prompt_tokens_at_most(&self) -> u64 {
        let factor = self.plan.planned().map(|target| target.model.tokenizer_factor_milli).max();
        let (bytes, media) = if self.body.len() <= BODY_BYTES_SMALL {
            (u64::try_from(self.body.len()).unwrap_or(u64::MAX), 0)
        } else {
            let found = text::prompt_text(&self.body, &self.head, 0);
            (found.bytes_total, u64::from(found.media))
        };
        let tokens = bytes.saturating_mul(factor.unwrap_or(1_000).into()).div_ceil(BYTES_PER_TOKEN * MILLI);
        tokens.saturating_add(media.saturating_mul(TOKENS_PER_MEDIUM))
    }

    /// Tokens that Anthropic's clients set aside for thinking: an answer must be longer.
    fn thinking_budget(&self) -> u64 {
        let thinking = self.head.thinking.clone().and_then(|range| self.body.get(range)).unwrap_or_default();
        let budget = std::str::from_utf8(member(thinking, b"budget_tokens")).ok().and_then(|n| n.trim().parse().ok());
        budget.unwrap_or(0)
    }

    /// The text of an answer that what is held pays for; without a bound where nothing bounds what it costs.
    pub(super) fn text_bytes_paid_for(&self) -> u64 {
        let Some(Current { target, .. }) = &self.leg.current else { return u64::MAX };
        if self.is_test() || self.admission.is_repeat() || self.admission.is_unbounded() {
            return u64::MAX;
        }
        let longest = self.output_tokens_at_most(&target.model);
        let tokens = self.output_limit.unwrap_or(longest).min(longest);
        let bytes = tokens.saturating_mul(BYTES_PER_TOKEN_USUAL * MILLI);
        bytes / u64::from(target.model.tokenizer_factor_milli).max(1)
    }

    /// The bound that was set on the answer, because no more could be paid for.
    pub fn output_limit(&self) -> Option<u64> {
        self.output_limit
    }
}
