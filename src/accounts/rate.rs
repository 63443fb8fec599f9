//! How fast a key asks: exact windows over requests and tokens, and places for requests at once.
//!
//! Exact means: within any 60 seconds, wherever they begin, no more than the limit is let in. A token bucket would let
//! in nearly twice as much around an idle minute's end, fixed windows twice as much around their edges. Must not know
//! keys or requests; time comes in as milliseconds of a monotonic clock. Nothing waits: who finds no room is refused.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use super::funds::Funds;

/// One minute.
pub const MINUTE_MS: u64 = 60_000;
/// One second.
const SECOND_MS: u64 = 1_000;
/// Seconds that a minute of tokens touches: 60 whole ones and the one that runs.
const SECONDS_KEPT: u64 = 61;

/// A limit, what is left of it, and when all of it is back: the figures of the `x-ratelimit-*` headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// The limit.
    pub limit: u64,
    /// What may still be asked for at once.
    pub remaining: u64,
    /// Until nothing of it is in use.
    pub reset: Duration,
}

/// Within what a limit holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// Any second.
    Second,
    /// Any 60 seconds.
    Minute,
}

impl Window {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
        }
    }

    fn ms(self) -> u64 {
        match self {
            Self::Second => SECOND_MS,
            Self::Minute => MINUTE_MS,
        }
    }
}

/// There is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// The figures.
    pub left: Left,
    /// Of which window the limit is.
    pub window: Window,
    /// When there is room; `None`: the request alone is larger than the limit.
    pub retry_after: Option<Duration>,
}

/// Requests of the last minute and second, each remembered by its time.
#[derive(Debug, Default)]
pub struct RequestWindow {
    // Guards the times, oldest first; held for a few steps.
    times: Mutex<VecDeque<u64>>,
}

impl RequestWindow {
    /// Lets a request in if there is room. The limits are those of the moment.
    ///
    /// # Errors
    /// When the minute or the second is full; nothing is counted then.
    pub fn enter(
        &self,
        now_ms: u64,
        per_minute: Option<u32>,
        per_second: Option<u32>,
    ) -> Result<Option<Left>, Exceeded> {
        let mut times = lock(&self.times);
        while times.front().is_some_and(|at| at.saturating_add(MINUTE_MS) <= now_ms) {
            times.pop_front();
        }
        if per_minute.is_none() && per_second.is_none() {
            return Ok(None);
        }
        for (limit, window) in [(per_second, Window::Second), (per_minute, Window::Minute)] {
            let Some(limit) = limit else { continue };
            let window_ms = window.ms();
            let places = usize::try_from(limit).unwrap_or(usize::MAX);
            // The newest `limit` requests: if the oldest of them is still in the window, the window is full.
            let blocking = times.len().checked_sub(places).and_then(|index| times.get(index));
            let wait_ms = blocking.map_or(0, |at| at.saturating_add(window_ms).saturating_sub(now_ms));
            if wait_ms > 0 || limit == 0 {
                let reset = times.back().map_or(0, |at| at.saturating_add(window_ms).saturating_sub(now_ms));
                let left = Left { limit: limit.into(), remaining: 0, reset: Duration::from_millis(reset) };
                let retry_after = Some(Duration::from_millis(wait_ms.max(1)));
                return Err(Exceeded { left, window, retry_after });
            }
        }
        times.push_back(now_ms);
        Ok(per_minute.map(|limit| {
            let used = u64::try_from(times.len()).unwrap_or(u64::MAX);
            let remaining = u64::from(limit).saturating_sub(used);
            Left { limit: limit.into(), remaining, reset: Duration::from_millis(MINUTE_MS) }
        }))
    }

    /// Takes back a request that was let in at `at_ms` and refused by another limit.
    pub fn take_back(&self, at_ms: u64) {
        let mut times = lock(&self.times);
        if let Some(index) = times.iter().rposition(|at| *at == at_ms) {
            times.remove(index);
        }
    }
}

/// Tokens of the last minute, summed by the second. A second counts until all of it is a minute old, so that sums are
/// never too small.
#[derive(Debug, Default)]
pub struct TokenWindow {
    // Guards the sums by second, oldest first; at most `SECONDS_KEPT` of them.
    seconds: Mutex<VecDeque<(u64, u64)>>,
}

/// Tokens that were counted ahead for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenGrant {
    second: u64,
    tokens: u64,
}

impl TokenWindow {
    /// Counts the tokens of a request ahead, if there is room for them.
    ///
    /// # Errors
    /// When there is none; nothing is counted then.
    pub fn reserve(&self, now_ms: u64, tokens: u64, limit: u64) -> Result<(TokenGrant, Left), Exceeded> {
        let second = now_ms / SECOND_MS;
        let mut seconds = lock(&self.seconds);
        forget_old(&mut seconds, second);
        let used = seconds.iter().fold(0_u64, |sum, (_, tokens)| sum.saturating_add(*tokens));
        let remaining = limit.saturating_sub(used);
        let until = |at: u64| {
            let gone_ms = at.saturating_add(SECONDS_KEPT).saturating_mul(SECOND_MS);
            Duration::from_millis(gone_ms.saturating_sub(now_ms))
        };
        let reset = seconds.iter().rev().find(|(_, tokens)| *tokens > 0).map_or(Duration::ZERO, |(at, _)| until(*at));
        if tokens > remaining {
            let retry_after = (tokens <= limit).then(|| {
                let mut missing = tokens.saturating_sub(remaining);
                let enough = seconds.iter().find(|(_, sum)| {
                    missing = missing.saturating_sub(*sum);
                    missing == 0
                });
                enough.map_or(Duration::from_millis(MINUTE_MS), |(at, _)| until(*at))
            });
            let left = Left { limit, remaining, reset };
            return Err(Exceeded { left, window: Window::Minute, retry_after });
        }
        match seconds.back_mut() {
            Some((at, sum)) if *at >= second => *sum = sum.saturating_add(tokens),
            Some(_) | None => seconds.push_back((second, tokens)),
        }
        let reset = if tokens > 0 { until(second) } else { reset };
        Ok((TokenGrant { second, tokens }, Left { limit, remaining: remaining.saturating_sub(tokens), reset }))
    }

    /// Puts what was really used in the place of what was counted ahead.
    pub fn settle(&self, grant: TokenGrant, used: u64) {
        let mut seconds = lock(&self.seconds);
        // The clock may have stood still between two requests, so that a later second took both.
        let found = seconds.iter_mut().find(|(at, _)| *at >= grant.second);
        if let Some((_, sum)) = found {
            *sum = sum.saturating_sub(grant.tokens).saturating_add(used);
        }
    }
}

fn forget_old(seconds: &mut VecDeque<(u64, u64)>, now: u64) {
    while seconds.front().is_some_and(|(at, _)| at.saturating_add(SECONDS_KEPT) <= now) {
        seconds.pop_front();
    }
}

/// What is counted of one key, whatever changes of it.
#[derive(Debug, Default)]
pub struct Gauges {
    /// Its requests.
    pub requests: RequestWindow,
    /// Its tokens.
    pub tokens: TokenWindow,
    /// What is left of its budget; empty where it has none. Here, so that requests that came in before it are charged to
    /// it too.
    pub budget: ArcSwapOption<Funds>,
    at_work: AtomicU32,
}

impl Gauges {
    /// Nothing counted yet, and this budget.
    pub fn new(budget: Option<Arc<Funds>>) -> Self {
        Self { budget: ArcSwapOption::new(budget), ..Self::default() }
    }

    /// Takes a place for a request at work, if one of `limit` is free.
    pub fn take_slot(self: &Arc<Self>, limit: u32) -> Option<Slot> {
        let before = self.at_work.fetch_add(1, Ordering::AcqRel);
        let slot = Slot(Arc::clone(self));
        (before < limit).then_some(slot)
    }

    /// Requests at work that took a place.
    pub fn at_work(&self) -> u32 {
        self.at_work.load(Ordering::Relaxed)
    }
}

/// A place that is taken. Dropping it frees the place.
#[derive(Debug)]
pub struct Slot(Arc<Gauges>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.at_work.fetch_sub(1, Ordering::AcqRel);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, clippy::as_conversions, reason = "the figures of a test are small")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn enter(window: &RequestWindow, now_ms: u64) -> bool {
        window.enter(now_ms, Some(60), None).is_ok()
    }

    #[test]
    fn the_sixty_first_within_any_minute_is_refused() {
        let window = RequestWindow::default();
        // Sixty at the end of one minute of the clock, none more at the beginning of the next.
        assert!((0..60).all(|n| enter(&window, 59_000 + n)));
        assert!(!enter(&window, 60_000));
        let refused = window.enter(60_000, Some(60), None).unwrap_err();
        assert_eq!(refused.retry_after, Some(Duration::from_secs(59)));
        assert!(!enter(&window, 118_999));
        assert!(enter(&window, 119_000));
        assert!(!enter(&window, 119_000));
    }

    #[test]
    fn a_second_has_its_own_limit_and_refusals_count_nowhere() {
        let window = RequestWindow::default();
        assert!(window.enter(0, Some(3), Some(1)).is_ok());
        let refused = window.enter(999, Some(3), Some(1)).unwrap_err();
        assert_eq!((refused.left.limit, refused.window), (1, Window::Second));
        assert_eq!(refused.retry_after, Some(Duration::from_millis(1)));
        for now in [1_000, 2_000] {
            assert!(window.enter(now, Some(3), Some(1)).is_ok(), "{now}");
        }
        let refused = window.enter(3_000, Some(3), Some(1)).unwrap_err();
        assert_eq!((refused.left.limit, refused.window), (3, Window::Minute));
        window.take_back(2_000);
        assert_eq!(window.enter(3_000, Some(3), Some(1)).unwrap().unwrap().remaining, 0);
        assert!(window.enter(9_000, Some(0), None).is_err());
    }

    #[test]
    fn tokens_are_counted_ahead_and_put_right() {
        let window = TokenWindow::default();
        let (grant, left) = window.reserve(500, 80, 100).unwrap();
        assert_eq!((left.remaining, left.reset), (20, Duration::from_millis(60_500)));
        let refused = window.reserve(1_500, 21, 100).unwrap_err();
        assert_eq!((refused.left.remaining, refused.retry_after), (20, Some(Duration::from_millis(59_500))));
        assert_eq!(window.reserve(1_500, 101, 100).unwrap_err().retry_after, None);
        window.settle(grant, 30);
        assert_eq!(window.reserve(1_500, 70, 100).unwrap().1.remaining, 0);
        assert!(window.reserve(60_999, 1, 100).is_err());
        assert_eq!(window.reserve(61_000, 30, 100).unwrap().1.remaining, 0);
        assert!(window.reserve(62_000, 70, 100).is_ok());
    }

    #[test]
    fn places_come_back() {
        let gauges = Arc::new(Gauges::default());
        let held: Vec<_> = (0..3).map(|_| gauges.take_slot(2)).collect();
        assert_eq!(held.iter().filter(|slot| slot.is_some()).count(), 2);
        assert_eq!(gauges.at_work(), 2);
        drop(held);
        assert_eq!(gauges.at_work(), 0);
    }

    proptest! {
        /// However requests come: no minute holds more than the limit, and none is refused that would fit.
        #[test]
        fn no_minute_holds_more_than_the_limit(steps in proptest::collection::vec(0_u64..9_000, 0..200), limit in 1_u32..12) {
            let window = RequestWindow::default();
            let (mut now, mut admitted) = (0, Vec::new());
            for step in steps {
                now += step;
                let recent = admitted.iter().filter(|at| **at + MINUTE_MS > now).count();
                let is_in = window.enter(now, Some(limit), None).is_ok();
                prop_assert_eq!(is_in, recent < limit as usize);
                if is_in {
                    admitted.push(now);
                }
            }
        }

        /// However tokens come: no minute holds more than the limit.
        #[test]
        fn no_minute_holds_more_tokens(steps in proptest::collection::vec((0_u64..9_000, 0_u64..50, 0_u64..50), 0..100)) {
            let window = TokenWindow::default();
            let (mut now, mut used) = (0, Vec::<(u64, u64)>::new());
            for (step, ahead, really) in steps {
                now += step;
                if let Ok((grant, _)) = window.reserve(now, ahead, 100) {
                    let really = really.min(ahead);
                    window.settle(grant, really);
                    used.push((now, really));
                }
                let minute: u64 = used.iter().filter(|(at, _)| at + MINUTE_MS > now).map(|(_, tokens)| tokens).sum();
                prop_assert!(minute <= 100, "{}", minute);
            }
        }
    }
}
