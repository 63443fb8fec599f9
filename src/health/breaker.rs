//! A breaker: closed, open until a moment, or on trial with one attempt.
//!
//! Must not know what it guards, nor ask a clock or draw a number: both are arguments. Whether an attempt may go is one
//! atomic read; only what changes the state is a compare-and-swap.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::window::{Counts, Window};
use super::{Moment, jittered};

/// When it trips and for how long; the breaker's part of `[health]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The window in which attempts are counted.
    pub window_ms: u64,
    /// Attempts in the window below which no share is believed.
    pub requests_min: u64,
    /// Errors in a hundred attempts that trip it; 0 for never.
    pub error_percent: u64,
    /// Errors one after the other that trip it; 0 for never.
    pub errors_in_a_row: u32,
    /// Late first tokens in a hundred attempts that trip it; 0 for never.
    pub slow_percent: u64,
    /// The first cool-down; each that follows closely is twice as long.
    pub cooldown_ms: u64,
    /// The longest.
    pub cooldown_max_ms: u64,
    /// While nothing is heard of a trial for so long, one more attempt is let through.
    pub trial_ms: u64,
}

/// What an attempt says about the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It answered.
    Good,
    /// It answered, but its first token was unusually late.
    Slow,
    /// It failed by its own fault.
    Fault,
}

/// Leave to make one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// One of many.
    Usual,
    /// The one attempt that decides whether the breaker closes; names the trial.
    Trial(u64),
    /// Made although the breaker is open, since nothing else was left. Decides nothing.
    LastResort,
}

/// What a breaker says to whoever has not decided yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Attempts go.
    Closed,
    /// None goes before this moment.
    Open {
        /// When the next may go.
        until: Moment,
        /// Whether the provider itself has named a time.
        is_asked: bool,
    },
    /// The cool-down is over: the next attempt is the trial.
    Due,
    /// An attempt is on trial; others wait until it has reported, or until it is given up at this moment.
    Trial {
        /// When it is given up.
        until: Moment,
    },
}

/// The states of the gate; the moment stands above them.
const CLOSED: u64 = 0;
const OPEN: u64 = 1;
const OPEN_ASKED: u64 = 2;
const TRIAL: u64 = 3;
const KIND_BITS: u32 = 2;
/// Open with its cool-down over.
const OPEN_DUE: u64 = OPEN;
/// Doublings of the cool-down after which it has surely reached its bound.
const DOUBLINGS_MAX: u32 = 30;

/// The breaker.
#[derive(Debug, Default)]
pub struct Breaker {
    gate: AtomicU64,
    window: Window,
    errors_in_a_row: AtomicU32,
    /// Trips that followed closely on one another.
    trips_in_a_row: AtomicU32,
    trips: AtomicU64,
    /// Until when the provider asked to be left alone.
    asked_until: AtomicU64,
    /// When the state last changed.
    since: AtomicU64,
}

impl Breaker {
    /// How it stands.
    #[inline]
    pub fn state(&self, now: Moment) -> State {
        let gate = self.gate.load(Ordering::Acquire);
        if gate == CLOSED { State::Closed } else { read(gate, now) }
    }

    /// Asks for leave to make an attempt.
    ///
    /// # Errors
    /// The state, where it is none that lets the attempt go.
    pub fn enter(&self, now: Moment, bounds: &Bounds) -> Result<Pass, State> {
        loop {
            let gate = self.gate.load(Ordering::Acquire);
            if gate == CLOSED {
                return Ok(Pass::Usual);
            }
            let state = read(gate, now);
            if state != State::Due {
                return Err(state);
            }
            // A trial that was given up must not be taken for this one, though both be of the same millisecond.
            let trial = (now.plus(bounds.trial_ms.max(1)).0 << KIND_BITS | TRIAL).max(gate + (1 << KIND_BITS));
            let trial = trial | TRIAL;
            if self.gate.compare_exchange(gate, trial, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                return Ok(Pass::Trial(trial));
            }
        }
    }

    /// The provider asks to be left alone until then: no cool-down is shorter.
    pub fn ask(&self, until: Moment) {
        self.asked_until.fetch_max(until.0, Ordering::Relaxed);
    }

    /// Takes what came of an attempt. `draw` is any random number. Whether that tripped the breaker.
    pub fn report(&self, pass: Pass, verdict: Verdict, now: Moment, (bounds, draw): (&Bounds, u64)) -> bool {
        match (pass, verdict) {
            (Pass::LastResort, _) => false,
            (Pass::Trial(_), Verdict::Good | Verdict::Slow) => {
                self.close(now);
                false
            }
            (Pass::Trial(trial), Verdict::Fault) => self.open(trial, now, bounds, draw),
            (Pass::Usual, Verdict::Good) => {
                self.forget_errors();
                self.window.add(Counts { all: 1, errors: 0, slow: 0 }, now, bounds.window_ms);
                false
            }
            (Pass::Usual, Verdict::Slow) => {
                self.forget_errors();
                self.window.add(Counts { all: 1, errors: 0, slow: 1 }, now, bounds.window_ms);
                self.trips_by_share(now, bounds) && self.open(CLOSED, now, bounds, draw)
            }
            (Pass::Usual, Verdict::Fault) => {
                let in_a_row = self.errors_in_a_row.fetch_add(1, Ordering::Relaxed).saturating_add(1);
                self.window.add(Counts { all: 1, errors: 1, slow: 0 }, now, bounds.window_ms);
                let is_row = bounds.errors_in_a_row > 0 && in_a_row >= bounds.errors_in_a_row;
                (is_row || self.trips_by_share(now, bounds)) && self.open(CLOSED, now, bounds, draw)
            }
        }
    }

    /// Gives a pass back of which nothing came that says anything: a trial is free for the next.
    pub fn give_back(&self, pass: Pass) {
        if let Pass::Trial(trial) = pass {
            // Where the trial was given up, it is another's.
            let _ = self.gate.compare_exchange(trial, OPEN_DUE, Ordering::AcqRel, Ordering::Acquire);
        }
    }

    /// What the window holds.
    pub fn counts(&self, now: Moment, bounds: &Bounds) -> Counts {
        self.window.counts(now, bounds.window_ms)
    }

    /// How often it has opened.
    pub fn trips(&self) -> u64 {
        self.trips.load(Ordering::Relaxed)
    }

    /// When it last opened or closed; the beginning, if it never did.
    pub fn since(&self) -> Moment {
        Moment(self.since.load(Ordering::Relaxed))
    }

    fn forget_errors(&self) {
        // Mostly there are none: a line that is only read stays in every core's cache.
        if self.errors_in_a_row.load(Ordering::Relaxed) != 0 {
            self.errors_in_a_row.store(0, Ordering::Relaxed);
        }
    }

    fn trips_by_share(&self, now: Moment, bounds: &Bounds) -> bool {
        let Counts { all, errors, slow } = self.window.counts(now, bounds.window_ms);
        let is_much = |part: u64, percent: u64| percent > 0 && part.saturating_mul(100) >= all.saturating_mul(percent);
        all >= bounds.requests_min.max(1)
            && (is_much(errors, bounds.error_percent) || is_much(slow, bounds.slow_percent))
    }

    /// A trial was good: so it is well, also where it was given up before it reported, unless another has failed since.
    fn close(&self, now: Moment) {
        loop {
            let gate = self.gate.load(Ordering::Acquire);
            if gate == CLOSED || matches!(read(gate, now), State::Open { .. }) {
                return;
            }
            if self.gate.compare_exchange(gate, CLOSED, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                self.window.clear();
                self.errors_in_a_row.store(0, Ordering::Relaxed);
                self.since.store(now.0, Ordering::Relaxed);
                return;
            }
        }
    }

    /// Opens from `gate`, unless another was faster.
    fn open(&self, gate: u64, now: Moment, bounds: &Bounds, draw: u64) -> bool {
        let has_been_well =
            gate == CLOSED && now.0.saturating_sub(self.since.load(Ordering::Relaxed)) > bounds.cooldown_max_ms;
        let in_a_row = if has_been_well { 0 } else { self.trips_in_a_row.load(Ordering::Relaxed) };
        let doubled = bounds.cooldown_ms.saturating_mul(1 << in_a_row.min(DOUBLINGS_MAX)).min(bounds.cooldown_max_ms);
        let asked = self.asked_until.load(Ordering::Relaxed).saturating_sub(now.0);
        let until = now.plus(jittered(doubled.max(asked), draw));
        let kind = if asked > 0 { OPEN_ASKED } else { OPEN };
        let opened = until.0 << KIND_BITS | kind;
        if self.gate.compare_exchange(gate, opened, Ordering::AcqRel, Ordering::Acquire).is_err() {
            return false;
        }
        self.trips_in_a_row.store(in_a_row.saturating_add(1), Ordering::Relaxed);
        self.trips.fetch_add(1, Ordering::Relaxed);
        if gate == CLOSED {
            self.since.store(now.0, Ordering::Relaxed);
        }
        true
    }
}

/// What a gate that is not closed says.
fn read(gate: u64, now: Moment) -> State {
    let (until, kind) = (Moment(gate >> KIND_BITS), gate & ((1 << KIND_BITS) - 1));
    if now >= until {
        return State::Due;
    }
    if kind == TRIAL { State::Trial { until } } else { State::Open { until, is_asked: kind == OPEN_ASKED } }
}
