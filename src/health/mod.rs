//! How providers, their keys and their models are doing, as all requests of the process have found it.
//!
//! Must not know config or catalogue, do I/O, ask a clock or draw a number: time and randomness are arguments, bounds
//! come with each question, so that a reload changes them and nothing is lost. What a request asks before an attempt is a
//! few atomic reads; the one lock is taken when a handle is looked for, once after a reload.

pub mod access;
pub mod breaker;
pub mod budget;
pub mod choice;
pub mod latency;
pub mod places;
pub mod probes;
mod window;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::base::time::UnixMs;

use access::AccessLive;
use breaker::{Breaker, Verdict};
use budget::Budget;
use latency::{Histogram, PeakEwma};
use places::Places;

/// All bounds: the section `[health]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Whether what is ill is passed over, or only watched.
    pub passes_over: bool,
    /// Breakers.
    pub breaker: breaker::Bounds,
    /// A first token is late when it takes so many times the usual …
    pub slow_factor: u64,
    /// … and no less than this.
    pub slow_ms: u64,
    /// The first rest of a key whose limit was reached without a word about when to come back.
    pub key_rest_ms: u64,
    /// What probes have to say.
    pub probes: probes::Bounds,
    /// Between two probes of a provider; zero for none.
    pub probe_interval: Duration,
    /// How long one may take.
    pub probe_timeout: Duration,
    /// Probes at once.
    pub probes_at_once: usize,
    /// Attempts at the same target again, for one request.
    pub retries_max: u64,
    /// Before the first of them; each further one waits twice as long.
    pub retry_delay: Duration,
    /// Retries for a hundred requests.
    pub retry_percent: u64,
    /// Before that no second attempt runs beside the first.
    pub hedge_after_min: Duration,
    /// Retries that are saved up, at most.
    pub retry_reserve: u64,
    /// Requests that wait for a place at one provider.
    pub queue_max: usize,
    /// How long one waits.
    pub queue_wait: Duration,
}

/// Milliseconds since the state began: monotonic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl Moment {
    /// So many milliseconds later.
    #[must_use]
    pub fn plus(self, ms: u64) -> Self {
        // A state and a moment share a word.
        const MOMENT_MAX: u64 = u64::MAX >> 16;
        Self(self.0.saturating_add(ms).min(MOMENT_MAX))
    }

    /// How long until then.
    pub fn until(self, then: Self) -> Duration {
        Duration::from_millis(then.0.saturating_sub(self.0))
    }
}

/// Whether attempts should go somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing speaks against it.
    Well,
    /// Probes or a refused key speak against it: only when nothing else is left.
    Doubtful,
    /// None should go before that moment.
    Away {
        /// When.
        until: Moment,
        /// Whether the provider asked for it, or a key has nothing left.
        is_asked: bool,
    },
}

impl Standing {
    /// What a breaker says of it; `None` where it lets an attempt go.
    pub fn of_breaker(state: breaker::State, now: Moment) -> Option<Self> {
        // A trial mostly ends soon; that it may be given up much later is no reason to send clients away for so long.
        const TRIAL_WAIT_MS: u64 = 1_000;
        match state {
            breaker::State::Closed | breaker::State::Due => None,
            breaker::State::Open { until, is_asked } => Some(Self::Away { until, is_asked }),
            breaker::State::Trial { until } => {
                Some(Self::Away { until: until.min(now.plus(TRIAL_WAIT_MS)), is_asked: false })
            }
        }
    }

    /// Whether no attempt should go.
    pub fn is_away(self) -> bool {
        matches!(self, Self::Away { .. })
    }
}

/// Up to a quarter more, so that those who wait do not come back at once.
pub fn jittered(ms: u64, draw: u64) -> u64 {
    const PARTS: u64 = 1 << 16;
    let quarter = (ms / 4).min(u64::MAX / PARTS);
    ms.saturating_add(quarter * (draw % PARTS) / PARTS)
}

/// Another random number from one: what is drawn from the first must not tell of the next.
pub fn redrawn(draw: u64) -> u64 {
    // SplitMix64, a bijection of 64 bits.
    let mut mixed = draw.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// Live state of a model at a provider.
#[derive(Debug, Default)]
pub struct TargetLive {
    /// Whether it is asked.
    pub breaker: Breaker,
    /// Times to the first token of streams.
    pub first_token: Histogram,
    /// The same as a mean, for those who ask for the fastest.
    pub wait: PeakEwma,
    /// How long a thousand tokens of a stream take.
    pub pace: PeakEwma,
}

impl TargetLive {
    /// What a first token says that took so long, and takes note of it.
    pub fn judge_first_token(&self, took_ms: u64, bounds: &Bounds) -> Verdict {
        let usual = if took_ms > bounds.slow_ms { self.first_token.median_ms() } else { None };
        let is_slow = usual.is_some_and(|usual| took_ms > usual.saturating_mul(bounds.slow_factor));
        self.first_token.observe(took_ms);
        if is_slow { Verdict::Slow } else { Verdict::Good }
    }
}

/// Live state of a provider as a whole.
#[derive(Debug, Default)]
pub struct ProviderLive {
    /// Who is served at once, where that has a bound.
    pub places: Arc<Places>,
    /// Requests that found no place in time.
    pub turned_away: AtomicU64,
    /// Probes that were answered, those that were not, and those whose key was refused.
    pub probed: [AtomicU64; 3],
}

/// The state of the process. Shared by all requests, kept across reloads.
#[derive(Debug)]
pub struct Health {
    origin: Instant,
    began: UnixMs,
    /// What retries may be made.
    pub budget: Budget,
    known: Mutex<Known>,
}

/// Handles by the names of the catalogue, which bounds them.
#[derive(Debug, Default)]
struct Known {
    targets: HashMap<Box<str>, Arc<TargetLive>>,
    accesses: HashMap<Box<str>, Arc<AccessLive>>,
    providers: HashMap<Box<str>, Arc<ProviderLive>>,
}

/// Names that are still in use.
#[derive(Debug, Default)]
pub struct InUse<'a> {
    /// Of models at their providers.
    pub targets: HashSet<&'a str>,
    /// Of accesses.
    pub accesses: HashSet<&'a str>,
    /// Of providers.
    pub providers: HashSet<&'a str>,
}

impl Health {
    /// Nothing is known yet; `now` and `at` are the same moment.
    pub fn new(now: Instant, at: UnixMs) -> Self {
        Self { origin: now, began: at, budget: Budget::default(), known: Mutex::default() }
    }

    /// A moment of this state.
    pub fn moment(&self, now: Instant) -> Moment {
        Moment::default()
            .plus(u64::try_from(now.saturating_duration_since(self.origin).as_millis()).unwrap_or(u64::MAX))
    }

    /// The date of a moment.
    pub fn date(&self, moment: Moment) -> UnixMs {
        UnixMs(self.began.0.saturating_add(moment.0))
    }

    /// The state of a model at its provider, by the id of both.
    pub fn target(&self, id: &str) -> Arc<TargetLive> {
        found_or_new(&mut self.known().targets, id)
    }

    /// The state of an access.
    pub fn access(&self, id: &str) -> Arc<AccessLive> {
        found_or_new(&mut self.known().accesses, id)
    }

    /// The state of a provider.
    pub fn provider(&self, id: &str) -> Arc<ProviderLive> {
        found_or_new(&mut self.known().providers, id)
    }

    /// Forgets what no catalogue names any more. Requests under way keep their handles.
    pub fn keep_only(&self, in_use: &InUse<'_>) {
        let mut known = self.known();
        known.targets.retain(|id, _| in_use.targets.contains(&**id));
        known.accesses.retain(|id, _| in_use.accesses.contains(&**id));
        known.providers.retain(|id, _| in_use.providers.contains(&**id));
    }

    // Guards three maps that are changed when a name is new or a reload has left one out; requests keep what they
    // found beside the entry of their catalogue.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn found_or_new<T: Default>(known: &mut HashMap<Box<str>, Arc<T>>, id: &str) -> Arc<T> {
    if let Some(found) = known.get(id) {
        return Arc::clone(found);
    }
    Arc::clone(known.entry(id.into()).or_default())
}

impl ProviderLive {
    /// Counts a request that found no place.
    pub fn turn_away(&self) {
        self.turned_away.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a probe.
    pub fn count_probe(&self, probed: probes::Probed) {
        let place = match probed {
            probes::Probed::Well => 0,
            probes::Probed::Ill => 1,
            probes::Probed::KeyRefused => 2,
        };
        if let Some(count) = self.probed.get(place) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod places_tests;
#[cfg(test)]
mod tests;
