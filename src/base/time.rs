//! Time as an argument: the only place that asks a clock.
//!
//! Must not be used inside a step: steps get instants and dates handed in.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Wall-clock time in milliseconds since 1970-01-01 UTC. For dates in rows and prices, never for
/// measuring: it may jump.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UnixMs(pub u64);

/// Where the time comes from: the machine, or a test that turns the hands itself.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Monotonic time, for durations and deadlines.
    fn now(&self) -> Instant;
    /// Wall-clock time, for dates.
    fn unix_ms(&self) -> UnixMs;
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clocks")]
impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn unix_ms(&self) -> UnixMs {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        UnixMs(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }
}

/// A clock that stands still until it is told to move.
#[derive(Debug)]
pub struct TestClock {
    start: Instant,
    elapsed: std::sync::Mutex<Duration>,
    unix_start: UnixMs,
}

impl TestClock {
    /// Starts at the given wall-clock time.
    #[expect(clippy::disallowed_methods, reason = "an opaque origin; only differences are used")]
    pub fn new(unix_start: UnixMs) -> Self {
        Self { start: Instant::now(), elapsed: std::sync::Mutex::new(Duration::ZERO), unix_start }
    }

    /// Moves both clocks forward.
    pub fn advance(&self, by: Duration) {
        *self.elapsed() += by;
    }

    // Guards one number that tests change from several threads; an atomic cannot hold a Duration.
    fn elapsed(&self) -> std::sync::MutexGuard<'_, Duration> {
        self.elapsed.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Clock for TestClock {
    fn now(&self) -> Instant {
        self.start + *self.elapsed()
    }

    fn unix_ms(&self) -> UnixMs {
        let elapsed_ms = u64::try_from(self.elapsed().as_millis()).unwrap_or(u64::MAX);
        UnixMs(self.unix_start.0.saturating_add(elapsed_ms))
    }
}
