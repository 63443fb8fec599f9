//! How providers, keys and models are doing, as it is scraped.
//!
//! Must not judge: states come in as they stand at the scrape. All labels are the catalogue's.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::{Metrics, Register, raise};
use crate::health::budget::Budget;
use crate::health::{Bounds, ProviderLive};

/// How a probe came out, in the order of [`ProviderLive::probed`].
const PROBED: [&str; 3] = ["well", "ill", "key_refused"];

/// The handles.
#[derive(Debug)]
pub(super) struct Fitness {
    provider: IntGaugeVec,
    access: IntGaugeVec,
    breaker: IntGaugeVec,
    trips: IntCounterVec,
    probes: IntCounterVec,
    turned_away: IntCounterVec,
    waiting: IntGaugeVec,
    retries_left: IntGauge,
    retries: IntCounter,
    retries_refused: IntCounter,
}

impl Fitness {
    pub(super) fn new(register: &Register<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            provider: register.gauges(
                "flux_provider_state",
                "1 for the state that the provider is in: well, ill, misconfigured or resting",
                &["provider", "state"],
            )?,
            access: register.gauges(
                "flux_provider_access_state",
                "The same for each of its keys and addresses",
                &["provider", "access", "state"],
            )?,
            breaker: register.gauges(
                "flux_breaker_state",
                "Of a model at its provider: 0 closed, 1 half open, 2 open",
                &["provider", "model"],
            )?,
            trips: register.counters(
                "flux_breaker_trips_total",
                "How often the breaker of a model at its provider has opened",
                &["provider", "model"],
            )?,
            probes: register.counters(
                "flux_probes_total",
                "Probes of providers, by result",
                &["provider", "result"],
            )?,
            turned_away: register.counters(
                "flux_provider_queue_full_total",
                "Requests that found the queue of a provider full",
                &["provider"],
            )?,
            waiting: register.gauges(
                "flux_provider_queue_requests",
                "Requests that wait for a place at a provider",
                &["provider"],
            )?,
            retries_left: register
                .gauge("flux_retry_budget_retries", "Retries of the same target that could be made at once")?,
            retries: register.counter("flux_retries_total", "Retries of the same target, last resorts and hedges")?,
            retries_refused: register
                .counter("flux_retries_refused_total", "Retries that the budget had nothing left for")?,
        })
    }
}

impl Metrics {
    /// Begins to take over states: what the catalogue no longer names is not shown any more.
    pub fn forget_states(&self) {
        let Fitness { provider, access, breaker, waiting, .. } = &self.fitness;
        [provider, access, breaker, waiting].into_iter().for_each(IntGaugeVec::reset);
    }

    /// Takes over how a provider stands.
    pub fn observe_provider(&self, id: &str, state: &str, live: &ProviderLive) {
        let fitness = &self.fitness;
        fitness.provider.with_label_values(&[id, state]).set(1);
        for (result, count) in PROBED.iter().zip(&live.probed) {
            raise(&fitness.probes.with_label_values(&[id, result]), count.load(std::sync::atomic::Ordering::Relaxed));
        }
        let (_, waiting) = live.places.figures();
        fitness.waiting.with_label_values(&[id]).set(i64::try_from(waiting).unwrap_or(i64::MAX));
        let turned_away = live.turned_away.load(std::sync::atomic::Ordering::Relaxed);
        raise(&fitness.turned_away.with_label_values(&[id]), turned_away);
    }

    /// Takes over how one of its accesses stands.
    pub fn observe_access(&self, provider: &str, access: &str, state: &str) {
        self.fitness.access.with_label_values(&[provider, access, state]).set(1);
    }

    /// Takes over how a breaker stands: `closed`, `half_open` or `open`, and how often it has opened.
    pub fn observe_breaker(&self, provider: &str, model: &str, state: &str, trips: u64) {
        let state = match state {
            "closed" => 0,
            "half_open" => 1,
            _ => 2,
        };
        self.fitness.breaker.with_label_values(&[provider, model]).set(state);
        raise(&self.fitness.trips.with_label_values(&[provider, model]), trips);
    }

    /// Takes over what the budget of retries holds.
    pub fn observe_budget(&self, budget: &Budget, bounds: &Bounds) {
        let (left, taken, refused) = budget.figures(bounds.retry_reserve);
        self.fitness.retries_left.set(i64::try_from(left).unwrap_or(i64::MAX));
        raise(&self.fitness.retries, taken);
        raise(&self.fitness.retries_refused, refused);
    }
}
