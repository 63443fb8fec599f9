//! The attempts of a request: which target is asked next.
//!
//! Must not know how an answer is read, nor what a target is told; a plan comes in, targets go out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use super::Exchange;
use super::answer::Answer;
use super::leg::{Current, Leg, Told};
use super::live::{Entry, Running, Wish, bit};
use super::retry::{self, Failure};
use crate::base::money::NanoUsd;
use crate::base::outcome::HedgeEnd;
use crate::base::refusal::{Refusal, RefusalKind};
use crate::base::wire_format::WireFormat;
use crate::catalog::Target;
use crate::health::Moment;
use crate::health::places::{Place, Turn};
use crate::plan::Attempt;
use crate::translate::{Invalid, InvalidFault};

/// What has been tried.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// Those of the plan that were begun or skipped.
    pub(super) taken: usize,
    /// Those that were begun.
    pub(super) started: u8,
    pub(super) last_failure: Option<Failure>,
    /// Why a target of the plan was skipped: it has no place for something in the request.
    pub(super) unsayable: Option<Invalid>,
    /// What a failure calls for once the attempt beside the failed one has come to nothing.
    pub(super) put_off: Option<Failure>,
    /// Failures that may pass by themselves: all but a key or a name of ours that a provider refused.
    pub(super) passing_failures: u8,
    /// The longest that a provider asked us to stay away.
    pub(super) retry_after: Option<Duration>,
    /// Attempts at a target that had failed before.
    pub(super) retries: u64,
    /// When the first of the targets that were passed over may be asked.
    pub(super) away_until: Option<Moment>,
    /// Targets whose provider had no place; the first is waited for when nothing else is left.
    pub(super) full: SmallVec<[Attempt; 1]>,
    pub(super) has_waited: bool,
    /// What became of the attempt beside another, where there was one.
    pub(super) hedge: Option<HedgeEnd>,
    /// What attempts cost that nobody is charged for.
    pub(super) house_cost: NanoUsd,
    pub(super) first_content: Option<Instant>,
    pub(super) overhead: Duration,
}

/// What comes next.
#[derive(Debug)]
pub enum Next {
    /// This target, in this format, after so long.
    Ask(Arc<Target>, WireFormat, Duration),
    /// A place at a provider, for so long at most; then [`Exchange::take_place`] and this once more.
    Wait(Turn, Duration),
    /// What the attempt beside the failed one comes to; then this once more.
    Beside,
    /// Nothing: the plan is used up, the time is over, or content has gone out.
    Nothing,
    /// The client's request cannot be put to any target of the plan.
    Refuse(Box<Refusal>),
}

impl Exchange {
    /// Takes the next target of the plan that the request can be put to: after a failure of a key or an address
    /// another of the same target, else the next target that is well, else one that may get a place, else the last one
    /// again.
    pub fn next_attempt(&mut self, now: Instant) -> Next {
        if self.leg.answer.is_open() || self.is_past_deadline(now) {
            return Next::Nothing;
        }
        let failure = std::mem::take(&mut self.leg.has_failed).then_some(self.attempts.last_failure).flatten();
        let failure = failure.or(self.attempts.put_off.take());
        if std::mem::take(&mut self.leg.again) {
            self.leg.answer = Answer::Awaiting;
            let again = self.leg.current.as_ref();
            let ask = |current: &Current| Next::Ask(Arc::clone(&current.target), current.format, Duration::ZERO);
            return again.map_or(Next::Nothing, ask);
        }
        if self.has_tried_enough() {
            return self.await_beside(failure).unwrap_or_else(|| self.nothing_left(now));
        }
        if let Some(next) = failure.and_then(|failure| self.by_another_access(failure, now)) {
            return next;
        }
        while let Some(attempt) = self.plan.attempts.get(self.attempts.taken).copied() {
            self.attempts.taken = self.attempts.taken.saturating_add(1);
            if let Some(next) = self.attempt(attempt, None, now) {
                return next;
            }
        }
        let next = self.await_beside(failure).or_else(|| self.wait_for_place());
        next.or_else(|| self.repeat(failure?, now)).unwrap_or_else(|| self.nothing_left(now))
    }

    /// Waits for the attempt beside the failed one, where there is one: it is as good as the next.
    fn await_beside(&mut self, failure: Option<Failure>) -> Option<Next> {
        if !self.is_hedging() {
            return None;
        }
        self.attempts.put_off = failure;
        Some(Next::Beside)
    }

    /// Begins an attempt, unless it cannot go now or the request cannot be put to it.
    fn attempt(&mut self, attempt: Attempt, place: Option<Place>, now: Instant) -> Option<Next> {
        let target = Arc::clone(self.plan.target(attempt)?);
        let running = match self.enter(&target, Wish { place, ..Wish::default() }, now) {
            Some(Entry::In(running)) => Some(running),
            Some(Entry::Away(until)) => {
                self.pass_over(until);
                return None;
            }
            Some(Entry::Full) => {
                self.attempts.full.push(attempt);
                return None;
            }
            None => None,
        };
        match self.put_to(&target, attempt.format) {
            Ok(told) => Some(self.begin((target, attempt.format), told, running, now)),
            Err(invalid) if invalid.fault == InvalidFault::Request => Some(refuse(invalid)),
            Err(invalid) => {
                self.attempts.unsayable = Some(invalid);
                None
            }
        }
    }

    pub(super) fn has_tried_enough(&self) -> bool {
        usize::from(self.attempts.started) >= self.snapshot.config.limits.attempts_max.max(1)
    }

    fn pass_over(&mut self, until: Moment) {
        self.attempts.away_until = Some(self.attempts.away_until.map_or(until, |first| first.min(until)));
    }

    /// The same target by another key or at another address, where the failure was of the one that was tried.
    fn by_another_access(&mut self, failure: Failure, now: Instant) -> Option<Next> {
        let tried = self.worth_another_access(failure)?;
        let target = Arc::clone(self.target()?);
        match self.enter(&target, Wish { tried, is_again: true, place: None }, now)? {
            Entry::In(running) => self.begin_again(running, Duration::ZERO),
            Entry::Away(_) | Entry::Full => None,
        }
    }

    /// Lines up for a place at the first provider that had none.
    fn wait_for_place(&mut self) -> Option<Next> {
        if self.attempts.full.is_empty() || std::mem::replace(&mut self.attempts.has_waited, true) {
            return None;
        }
        let turn = self.line_up(&self.plan.target(*self.attempts.full.first()?)?.provider)?;
        Some(Next::Wait(turn, self.snapshot.config.health.queue_wait))
    }

    /// Takes the place that was waited for; `None` where none was free in time.
    pub fn take_place(&mut self, place: Option<Place>, now: Instant) -> Next {
        let attempt = self.attempts.full.first().copied();
        let next = attempt.zip(place).and_then(|(attempt, place)| self.attempt(attempt, Some(place), now));
        next.unwrap_or_else(|| self.nothing_left(now))
    }

    /// The last target once more, where nothing else is left and its fault may have passed.
    fn repeat(&mut self, failure: Failure, now: Instant) -> Option<Next> {
        const PARTS: u32 = 1 << 16;
        let health = &self.snapshot.config.health;
        if self.attempts.retries >= health.retries_max || !failure.is_passing() {
            return None;
        }
        // Between half of it and the whole.
        let half = health.retry_delay.saturating_mul(1 << self.attempts.retries.min(16)) / 2;
        let part = u32::try_from(self.draw() % u64::from(PARTS)).unwrap_or_default();
        let delay = half.saturating_add(half.saturating_mul(part) / PARTS);
        if self.attempts.retry_after.is_some_and(|wait| wait > delay) {
            return None;
        }
        let reserve = health.retry_reserve;
        let target = Arc::clone(self.target()?);
        match self.enter(&target, Wish { is_again: true, ..Wish::default() }, now)? {
            Entry::In(running) if self.arrival.health.budget.take(reserve) => {
                self.attempts.retries = self.attempts.retries.saturating_add(1);
                self.begin_again(running, delay)
            }
            Entry::In(_) | Entry::Away(_) | Entry::Full => None,
        }
    }

    fn nothing_left(&mut self, now: Instant) -> Next {
        if self.attempts.started > 0 {
            // What was asked and failed says more than what was not.
            return Next::Nothing;
        }
        match (self.attempts.unsayable.take(), self.attempts.away_until) {
            (Some(invalid), _) => refuse(invalid),
            (None, _) if !self.attempts.full.is_empty() => Next::Refuse(Box::new(retry::all_full())),
            (None, Some(until)) => Next::Refuse(Box::new(retry::all_away(self.wait_until(until, now)))),
            (None, None) => Next::Nothing,
        }
    }

    fn begin_again(&mut self, running: Box<Running>, delay: Duration) -> Option<Next> {
        let current = self.leg.current.as_ref()?;
        let next = Next::Ask(Arc::clone(&current.target), current.format, delay);
        self.attempts.started = self.attempts.started.saturating_add(1);
        self.leg.repeated = false;
        self.leg.access = running.access;
        self.leg.tried |= bit(running.access);
        self.leg.running = Some(running);
        self.leg.answer = Answer::Awaiting;
        Some(next)
    }

    /// Bounds the text of the current attempt's answer to what is paid for.
    pub(super) fn bound_text(&mut self) {
        self.leg.text_bytes_max = self.text_bytes_paid_for();
    }

    fn begin(
        &mut self,
        (target, format): (Arc<Target>, WireFormat),
        told: Told,
        running: Option<Box<Running>>,
        now: Instant,
    ) -> Next {
        if self.attempts.started == 0 {
            let health = &self.snapshot.config.health;
            self.arrival.health.budget.pay_in(health.retry_percent, health.retry_reserve);
            self.attempts.overhead = now.saturating_duration_since(self.arrival.read);
        }
        self.attempts.started = self.attempts.started.saturating_add(1);
        let access = running.as_ref().map(|running| running.access);
        let access = access.unwrap_or_else(|| self.uncounted_access(&target.provider));
        self.leg = Leg::new(Arc::clone(&target), format, told, (access, running));
        self.bound_text();
        Next::Ask(target, format, Duration::ZERO)
    }

    /// Leaves out of the rest of the plan what has no larger window than the current target, whose window the
    /// prompt has just been found too long for. Whether anything is left.
    pub(super) fn skip_smaller_windows(&mut self) -> bool {
        let window = |target: &Target| target.model.limits.prompt_tokens_max();
        let Some(too_small) = self.leg.current.as_ref().map(|current| window(&current.target)) else {
            return false;
        };
        let taken = self.attempts.taken;
        let plan = &self.plan;
        let is_larger = |attempt: &Attempt| plan.target(*attempt).is_some_and(|target| window(target) > too_small);
        let left = plan.attempts.iter().enumerate().filter(|(place, attempt)| *place < taken || is_larger(attempt));
        let left = left.map(|(_, attempt)| *attempt).collect();
        self.plan.attempts = left;
        let beside = self.beside.as_ref().and_then(|leg| leg.current.as_ref());
        taken < self.plan.attempts.len() || beside.is_some_and(|current| window(&current.target) > too_small)
    }

    /// Asks the current target again, once: a kept-alive connection may die as it is taken up, which
    /// says nothing about the provider.
    pub fn repeat_attempt(&mut self) -> bool {
        if self.leg.repeated || self.leg.answer.is_open() {
            return false;
        }
        self.leg.repeated = true;
        self.leg.again = true;
        true
    }

    /// A provider says how long it wants to be left alone.
    pub(super) fn note_wait(&mut self, wait: Option<Duration>) {
        self.attempts.retry_after = self.attempts.retry_after.max(wait);
        self.leg.wait_told = wait;
    }

    /// Gemini says in the body of a failure when it may be asked again, and nowhere else.
    pub(super) fn tells_wait_in_body(&self, failure: Failure) -> bool {
        self.upstream_format() == WireFormat::GeminiGenerate && matches!(failure, Failure::Status(429 | 503))
    }

    /// Whether a failed attempt is to be followed by another.
    pub fn wants_retry(&self, now: Instant) -> bool {
        let is_mendable = self.attempts.last_failure.is_none_or(Failure::is_worth_another_attempt);
        !self.leg.answer.is_open()
            && !self.is_past_deadline(now)
            && (self.is_hedging() || (is_mendable && (self.leg.again || (!self.has_tried_enough() && self.has_more()))))
    }

    /// Whether anything may be left. Whether there is, is seen as it is taken.
    fn has_more(&self) -> bool {
        if self.attempts.taken < self.plan.attempts.len() {
            return true;
        }
        let may_repeat = self.attempts.retries < self.snapshot.config.health.retries_max;
        let Some(failure) = self.attempts.last_failure else { return false };
        (may_repeat && failure.is_passing())
            || self.worth_another_access(failure).is_some()
            || (!self.attempts.full.is_empty() && !self.attempts.has_waited)
    }
}

fn refuse(invalid: Invalid) -> Next {
    let Invalid { message, param, fault: _ } = invalid;
    let refusal = Refusal::new(RefusalKind::InvalidRequest, message);
    Next::Refuse(Box::new(if param.is_empty() { refusal } else { refusal.with_param(param) }))
}
