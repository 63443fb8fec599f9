//! The live state of one access: a key of a provider at one of its addresses.
//!
//! Must not know the key. What counts here is what speaks of the key or of the address, whatever the model: limits that
//! were reached, a key that is refused, an address that cannot be reached, how long it takes, how much is under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::breaker::{self, Breaker};
use super::latency::PeakEwma;
use super::probes::{Fitness, Probes};
use super::{Moment, Standing, jittered};

/// Doublings of a key's rest after which it has surely reached its bound.
const DOUBLINGS_MAX: u32 = 30;

/// Live state of an access.
#[derive(Debug, Default)]
pub struct AccessLive {
    /// Of the address: whether it can be reached.
    pub breaker: Breaker,
    /// What probes and the answers to requests say of address and key.
    pub probes: Probes,
    /// How long answers take.
    pub latency: PeakEwma,
    in_flight: AtomicU32,
    /// Until when the key is left alone.
    rests_until: AtomicU64,
    limits_in_a_row: AtomicU32,
}

impl AccessLive {
    /// Whether an attempt should go this way.
    #[inline]
    pub fn standing(&self, now: Moment) -> Standing {
        let rests_until = Moment(self.rests_until.load(Ordering::Relaxed));
        if rests_until > now {
            return Standing::Away { until: rests_until, is_asked: true };
        }
        if let Some(away) = Standing::of_breaker(self.breaker.state(now), now) {
            return away;
        }
        if self.probes.fitness() == Fitness::Well { Standing::Well } else { Standing::Doubtful }
    }

    /// A limit was reached: the key rests for `wait`, or for a time that doubles with each limit in a row.
    pub fn limit(&self, wait_ms: Option<u64>, now: Moment, (bounds, rest_ms): (&breaker::Bounds, u64), draw: u64) {
        let in_a_row = self.limits_in_a_row.fetch_add(1, Ordering::Relaxed).min(DOUBLINGS_MAX);
        let doubled = rest_ms.saturating_mul(1 << in_a_row).min(bounds.cooldown_max_ms);
        let until = now.plus(jittered(wait_ms.unwrap_or(doubled), draw));
        self.rests_until.fetch_max(until.0, Ordering::Relaxed);
    }

    /// The provider says that the key has nothing left before then.
    pub fn rest_until(&self, until: Moment) {
        self.rests_until.fetch_max(until.0, Ordering::Relaxed);
    }

    /// Until when the key rests; a moment that has passed where it does not.
    pub fn rests_until(&self) -> Moment {
        Moment(self.rests_until.load(Ordering::Relaxed))
    }

    /// It answered, in a time from the request to its first content.
    pub fn answered(&self, took_ms: u64, now: Moment) {
        if self.limits_in_a_row.load(Ordering::Relaxed) != 0 {
            self.limits_in_a_row.store(0, Ordering::Relaxed);
        }
        self.probes.note_key(true, now);
        self.latency.observe(took_ms, now);
    }

    /// What an attempt is expected to cost in time, with what is under way already.
    pub fn load(&self, now: Moment) -> u64 {
        let under_way = u64::from(self.in_flight.load(Ordering::Relaxed)).saturating_add(1);
        // Where nothing is known yet, what is under way decides.
        self.latency.expected_us(now).max(1).saturating_mul(under_way)
    }

    /// Attempts under way.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Counts an attempt until the value is dropped.
    pub fn begin(self: &Arc<Self>) -> UnderWay {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        UnderWay(Arc::clone(self))
    }
}

/// An attempt that is under way at an access.
#[derive(Debug)]
pub struct UnderWay(Arc<AccessLive>);

impl UnderWay {
    /// Where.
    pub fn access(&self) -> &AccessLive {
        &self.0
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
