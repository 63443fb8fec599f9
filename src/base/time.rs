//! Time as an argument: the only place that asks a clock.
//!
//! Must not be used inside a step: steps get instants and dates handed in.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// Wall-clock time in milliseconds since 1970-01-01 UTC. For dates in rows and prices, never for
/// measuring: it may jump.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UnixMs(pub u64);

impl UnixMs {
    /// Reads a moment: `2026-07-31T12:00:00Z` with any offset, `2026-07-31` for its first moment in UTC, or whole
    /// seconds since 1970. `None` for anything else, and for what was before 1970.
    pub fn parse(text: &str) -> Option<Self> {
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            return Self::of_seconds(text.parse().ok()?);
        }
        // A date alone: the parser would take it out of a longer text, and drop the rest.
        let timestamp = if text.len() == "2026-07-31".len() {
            text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp()
        } else {
            text.parse().ok()?
        };
        u64::try_from(timestamp.as_millisecond()).ok().map(Self)
    }

    /// A moment in whole seconds since 1970; `None` beyond the calendar.
    pub fn of_seconds(seconds: u64) -> Option<Self> {
        let ms = seconds.checked_mul(1_000)?;
        Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok().map(|_| Self(ms))
    }

    /// `2026-07-31T12:00:00.123Z`; the last moment that can be told for those beyond the calendar.
    pub fn rfc3339(self) -> String {
        let ms = i64::try_from(self.0).unwrap_or(i64::MAX);
        Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX).to_string()
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_and_told() {
        for (text, ms) in [
            ("2026-11-26T21:00:00Z", 1_795_726_800_000),
            ("2026-11-26T22:00:00.5+01:00", 1_795_726_800_500),
            ("2026-11-26", 1_795_651_200_000),
            ("1795726800", 1_795_726_800_000),
        ] {
            assert_eq!(UnixMs::parse(text), Some(UnixMs(ms)), "{text}");
        }
        for text in [
            "",
            "yesterday",
            "2026-11-26T21:00:00",
            "-5",
            "1.5",
            "1960-01-01",
            "2026-13-01",
            "99999999999999999999",
            "999999999999999",
        ] {
            assert_eq!(UnixMs::parse(text), None, "{text}");
        }
        assert_eq!(UnixMs(1_795_726_800_500).rfc3339(), "2026-11-26T21:00:00.5Z");
    }
}
