//! Hedging: another target is asked beside one whose first token is late. Whichever has content first goes on, and what the
//! other cost is the house's.
//!
//! Must not know when anything happens: the shell says that the time has come, and runs the steps of the second attempt
//! one by one.

use std::time::{Duration, Instant};

use super::Exchange;
use super::count::Purpose;
use super::leg::Leg;
use super::live::{Entry, Wish};
use super::retry::Failure;
use crate::base::money::NanoUsd;
use crate::base::outcome::HedgeEnd;
use crate::base::usage::Usage;
use crate::catalog::price::Circumstances;
use crate::meter::estimate;
use crate::settle;
use crate::wire::text;

/// Of a hundred first tokens so many come sooner than the one that is hedged.
const LATE_PERCENT: u32 = 95;

impl Exchange {
    /// How long the first token of the current attempt is waited for before another target is asked as well; `None`
    /// where none is: hedging is a wish of the lane, for streams, once a request, and only where it is known how long
    /// the target takes.
    pub fn hedge_after(&self) -> Option<Duration> {
        let is_wanted = self.plan.chain.is_hedged && self.is_streamed() && self.arrival.purpose == Purpose::Answer;
        if !is_wanted || self.attempts.hedge.is_some() || self.attempts.taken >= self.plan.attempts.len() {
            return None;
        }
        let usual_ms = self.leg.running.as_ref()?.first_token_ms(LATE_PERCENT)?;
        Some(Duration::from_millis(usual_ms).max(self.snapshot.config.health.hedge_after_min))
    }

    /// Begins an attempt beside the current one, at the first target of the plan that stands well and can be told the
    /// request. Whether there is one.
    pub fn begin_hedge(&mut self, now: Instant) -> bool {
        if self.leg.answer.is_open() || self.is_past_deadline(now) || self.has_tried_enough() {
            return false;
        }
        let taken = self.attempts.taken;
        for at in taken..self.plan.attempts.len() {
            let Some((target, format)) = self.plan.at(at) else { return false };
            let wish = Wish { is_again: true, ..Wish::default() };
            let Some(Entry::In(running)) = self.enter(&target, wish, now) else { continue };
            let Ok(told) = self.put_to(&target, format) else { continue };
            if !self.arrival.health.budget.take(self.snapshot.config.health.retry_reserve) {
                return false;
            }
            if let Some(passed) = self.plan.attempts.get_mut(taken..=at) {
                passed.rotate_right(1);
            }
            self.attempts.taken = taken.saturating_add(1);
            self.attempts.started = self.attempts.started.saturating_add(1);
            self.attempts.hedge = Some(HedgeEnd::Lost);
            let access = running.access;
            self.leg.is_late = true;
            self.beside = Some(Box::new(Leg::new(target, format, told, (access, Some(running)))));
            self.beside(Self::bound_text);
            return true;
        }
        false
    }

    /// Whether an attempt runs beside the current one.
    pub fn is_hedging(&self) -> bool {
        self.beside.is_some()
    }

    /// Runs a step for the attempt beside the current one, and says whether that is the current one now: it had content
    /// first. `None` where there is none any more.
    pub fn beside<T>(&mut self, step: impl FnOnce(&mut Self) -> T) -> Option<(T, bool)> {
        self.change_legs()?;
        let result = step(self);
        // Content of either has the other dropped.
        let has_won = self.change_legs().is_none();
        if has_won {
            self.attempts.hedge = Some(HedgeEnd::Won);
        }
        Some((result, has_won))
    }

    /// The attempt beside the current one came to nothing, by whatever failed; `None` where that is nobody's fault.
    pub fn end_hedge(&mut self, failure: Option<Failure>, now: Instant) {
        let ended = self.beside(|exchange| {
            if let Some(failure) = failure {
                exchange.report_failure(failure, now);
                exchange.note_failure(failure);
            }
        });
        if ended.is_some() {
            self.beside = None;
            self.attempts.hedge = Some(HedgeEnd::Failed);
        }
    }

    /// Drops the attempt beside the current one, which was not the first to have content, or is not waited for any more.
    pub fn drop_beside(&mut self, now: Instant) {
        let Some(mut leg) = self.beside.take() else { return };
        // What has failed runs no more, is no late answer and costs nothing.
        let Some(running) = leg.running.take() else { return };
        if leg.is_late {
            self.report_overtaken(*running, now);
        }
        self.attempts.house_cost = NanoUsd(self.attempts.house_cost.0.saturating_add(self.prompt_cost(&leg).0));
    }

    fn change_legs(&mut self) -> Option<()> {
        std::mem::swap(&mut self.leg, self.beside.as_mut()?);
        Some(())
    }

    /// What a provider takes for a prompt whose answer nobody waited for, about.
    fn prompt_cost(&self, leg: &Leg) -> NanoUsd {
        let Some(current) = leg.current.as_ref().filter(|_| !self.is_test()) else {
            return NanoUsd::ZERO;
        };
        let target = &current.target;
        // By its length: content is about to go out, and counting may take milliseconds.
        let text_bytes = text::prompt_text_len(&self.body, &self.head);
        let input = estimate::tokens_by_length(text_bytes, target.model.tokenizer_factor_milli);
        let usage = Usage { input, ..Usage::default() };
        let region = target.provider.region_at(leg.access);
        let circumstances = Circumstances { at: self.arrival.at, region, ..Circumstances::default() };
        settle::amounts(None, &target.model.price, &usage, &circumstances).provider_cost
    }
}
