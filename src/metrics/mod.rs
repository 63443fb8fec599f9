//! What Prometheus scrapes: one struct of handles, fed once a request.
//!
//! Must not take a label from a client: all labels come from closed lists and from the catalogue, so the
//! number of series has a bound whatever is sent. Names and units follow the Prometheus conventions:
//! base units, `_total` on counters, `_seconds` on times.

mod fitness;
mod register;

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus::proto::MetricFamily;
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use self::fitness::Fitness;
use self::register::{Register, counters, families, gauges};
use crate::base::outcome::Outcome;
use crate::store::health::Health;

/// Label sets that are kept apart, at most; further ones are counted together, all their labels `other`.
const SERIES_MAX: usize = 10_000;

/// Own work takes microseconds; coarser buckets would show nothing.
const OVERHEAD_BUCKETS: [f64; 10] = [10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3];
/// A decision takes 10 to 40 µs.
const DECISION_BUCKETS: [f64; 10] = [2e-6, 5e-6, 10e-6, 15e-6, 20e-6, 30e-6, 40e-6, 60e-6, 100e-6, 1e-3];

/// Counted in nano-USD, shown in USD: only the text that is scraped has a fraction.
const COST: &str = "flux_cost_usd_total";
const HOUSE_COST: &str = "flux_house_cost_usd_total";
const NANO_PER_USD: f64 = 1e9;

/// All handles.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    families: Families,
    series: ArcSwap<HashMap<Labels, Arc<Series>, BuildHasherDefault<LabelHasher>>>,
    in_flight: Arc<AtomicUsize>,
    is_draining: AtomicBool,
    overhead: Histogram,
    decision: Histogram,
    gauges: Gauges,
    counters: Counters,
    fitness: Fitness,
}

/// Families with labels, of which [`Series`] holds the children of one label set.
#[derive(Debug)]
struct Families {
    requests: IntCounterVec,
    duration: HistogramVec,
    upstream: HistogramVec,
    first_token: HistogramVec,
    attempts: IntCounterVec,
    failures: IntCounterVec,
    tokens: IntCounterVec,
    estimated: IntCounterVec,
    cost: IntCounterVec,
    decisions: IntCounterVec,
    disagreements: IntCounterVec,
    hedges: IntCounterVec,
    house_cost: IntCounterVec,
}

/// What distinguishes a series.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Labels {
    route: &'static str,
    lane: Arc<str>,
    model: Arc<str>,
    provider: Arc<str>,
    status: &'static str,
}

impl Labels {
    /// Stands for all label sets past the bound.
    fn beyond() -> Self {
        let other: Arc<str> = Arc::from("other");
        Self { route: "other", lane: other.clone(), model: other.clone(), provider: other, status: "other" }
    }
}

/// A quick hash, for names that only the operator chooses.
#[derive(Debug, Default)]
struct LabelHasher(u64);

impl Hasher for LabelHasher {
    fn write(&mut self, bytes: &[u8]) {
        // Any odd number with its bits well spread.
        const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
        let (words, rest) = bytes.as_chunks::<8>();
        let mut last = [0; 8];
        last.iter_mut().zip(rest).for_each(|(place, byte)| *place = *byte);
        for word in words.iter().chain([&last]) {
            self.0 = (self.0.rotate_left(23) ^ u64::from_le_bytes(*word)).wrapping_mul(FACTOR);
        }
    }

    fn write_u8(&mut self, _: u8) {
        // What ends a name: the order of names is fixed, and equality decides in the end.
    }

    fn finish(&self) -> u64 {
        // The table takes the topmost bits and the lowest, and a product is good at the top.
        self.0 ^ (self.0 >> 32)
    }
}

/// The children of one label set: a request touches these and nothing else.
#[derive(Debug)]
struct Series {
    requests: IntCounter,
    duration: Histogram,
    upstream: Histogram,
    first_token: Histogram,
    attempts: IntCounter,
    input: IntCounter,
    cache_read: IntCounter,
    cache_write: IntCounter,
    output: IntCounter,
    reasoning: IntCounter,
    estimated: IntCounter,
    cost: IntCounter,
}

#[derive(Debug)]
struct Gauges {
    in_flight: IntGauge,
    log_queued: IntGauge,
    journal_bytes: IntGauge,
    journal_bytes_max: IntGauge,
    backlog_rows: IntGauge,
    backlog_bytes: IntGauge,
    has_room: IntGauge,
    keys: IntGauge,
    config_loaded: IntGauge,
    resident_bytes: IntGauge,
    open_fds: IntGauge,
    threads: IntGauge,
}

#[derive(Debug)]
struct Counters {
    log_dropped: IntCounter,
    charges_not_kept: IntCounter,
    ledger_rows: IntCounter,
    ledger_failures: IntCounter,
    ledger_archived: IntCounter,
    damaged_records: IntCounter,
    key_hits: IntCounter,
    key_misses: IntCounter,
    reloads: IntCounterVec,
}

/// Counts one request in flight until it is dropped, however the request ends.
#[derive(Debug)]
pub struct InFlight(Arc<AtomicUsize>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Metrics {
    /// Makes and registers everything.
    ///
    /// # Errors
    /// When two families have one name, which a test would have found.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let register = Register(&registry);
        let overhead = HistogramOpts::new(
            "flux_overhead_seconds",
            "Own work between the last byte of a request and its first attempt; work on the answer is not in it",
        );
        let overhead = register.keep(Histogram::with_opts(overhead.buckets(OVERHEAD_BUCKETS.to_vec()))?)?;
        let decision = HistogramOpts::new(
            "flux_auto_decision_seconds",
            "From a request that leaves the choice to flux-auto to its lane",
        );
        let decision = register.keep(Histogram::with_opts(decision.buckets(DECISION_BUCKETS.to_vec()))?)?;
        let info = register.keep(IntGaugeVec::new(Opts::new("flux_build_info", "Always 1"), &["version"])?)?;
        info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let (families, gauges, counters) = (families(&register)?, gauges(&register)?, counters(&register)?);
        let fitness = Fitness::new(&register)?;
        Ok(Self {
            families,
            series: ArcSwap::default(),
            in_flight: Arc::default(),
            is_draining: AtomicBool::new(false),
            overhead,
            decision,
            gauges,
            counters,
            fitness,
            registry,
        })
    }

    /// Counts a request in.
    pub fn enter(&self) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        InFlight(Arc::clone(&self.in_flight))
    }

    /// Inference requests that are open.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    /// From here on `/readyz` says no.
    pub fn set_draining(&self) {
        self.is_draining.store(true, Ordering::Release);
    }

    /// Whether the server is about to end.
    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Acquire)
    }

    /// An attempt failed; `reason` is from the closed list of failures.
    pub fn attempt_failed(&self, provider: &str, reason: &'static str) {
        self.families.failures.with_label_values(&[provider, reason]).inc();
    }

    /// An attempt at `provider` follows one at `before`. The last one of a request is counted as the request ends.
    pub fn failed_over(&self, lane: &str, model: &str, before: &str, provider: &str) {
        self.families.attempts.with_label_values(&[lane, model, before, "made"]).inc();
        self.families.attempts.with_label_values(&[lane, model, provider, "failover"]).inc();
    }

    /// A charge could not be written to the journal.
    pub fn charge_not_kept(&self) {
        self.counters.charges_not_kept.inc();
    }

    /// A key was looked up and found.
    pub fn key_found(&self) {
        self.counters.key_hits.inc();
    }

    /// A key was looked up that may not be used.
    pub fn key_missed(&self) {
        self.counters.key_misses.inc();
    }

    /// A new configuration is live, since `unix_seconds`.
    pub fn config_reloaded(&self, unix_seconds: u64) {
        self.counters.reloads.with_label_values(&["accepted"]).inc();
        self.gauges.config_loaded.set(i64::try_from(unix_seconds).unwrap_or(i64::MAX));
    }

    /// A new configuration was refused.
    pub fn config_refused(&self) {
        self.counters.reloads.with_label_values(&["refused"]).inc();
    }

    /// The choice of a lane took so long.
    pub fn decided(&self, took: Duration) {
        self.decision.observe(took.as_secs_f64());
    }

    /// Takes the facts of a finished request.
    pub fn record(&self, outcome: &Outcome) {
        let series = self.series_of(outcome);
        series.requests.inc();
        series.duration.observe(outcome.latency.as_secs_f64());
        if let Some(auto) = &outcome.auto {
            // Rules and kinds are the operator's, and files bound how many there are.
            self.families.decisions.with_label_values(&[&*outcome.lane, &*auto.reason]).inc();
            if let Some(lanes) = &auto.disagreement {
                self.families.disagreements.with_label_values(lanes).inc();
            }
        }
        if outcome.attempts == 0 {
            return;
        }
        if let Some(hedge) = outcome.hedge {
            self.families.hedges.with_label_values(&[&*outcome.lane, hedge.name()]).inc();
            let cost = u64::try_from(outcome.house_cost.0).unwrap_or(0);
            self.families.house_cost.with_label_values(&[&*outcome.lane]).inc_by(cost);
        }
        series.attempts.inc();
        series.upstream.observe(outcome.upstream.as_secs_f64());
        self.overhead.observe(outcome.overhead.as_secs_f64());
        if let Some(first_byte) = outcome.first_byte {
            series.first_token.observe(first_byte.as_secs_f64());
        }
        let usage = &outcome.usage;
        series.input.inc_by(usage.input);
        series.cache_read.inc_by(usage.cache_read);
        series.cache_write.inc_by(usage.cache_write.total());
        series.output.inc_by(usage.completion_total());
        series.reasoning.inc_by(usage.reasoning);
        series.estimated.inc_by(u64::from(outcome.estimated));
        series.cost.inc_by(u64::try_from(outcome.amount.0).unwrap_or(0));
    }

    fn series_of(&self, outcome: &Outcome) -> Arc<Series> {
        let labels = Labels {
            route: outcome.route,
            lane: Arc::clone(&outcome.lane),
            model: Arc::clone(&outcome.requested),
            provider: Arc::clone(&outcome.provider),
            status: status_class(outcome.status),
        };
        let known = self.series.load();
        if let Some(series) = known.get(&labels) {
            return Arc::clone(series);
        }
        if known.len() >= SERIES_MAX {
            return Arc::new(self.families.children(&Labels::beyond()));
        }
        let series = Arc::new(self.families.children(&labels));
        self.series.rcu(|known| {
            let mut grown = HashMap::clone(known);
            grown.insert(labels.clone(), Arc::clone(&series));
            grown
        });
        series
    }

    /// Takes over the figures of journal, ledger and keys.
    pub fn observe_store(&self, health: &Health) {
        let gauge = |gauge: &IntGauge, value: u64| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        gauge(&self.gauges.journal_bytes, health.journal_bytes);
        gauge(&self.gauges.journal_bytes_max, health.journal_bytes_max);
        gauge(&self.gauges.backlog_rows, health.backlog_rows);
        gauge(&self.gauges.backlog_bytes, health.backlog_bytes);
        gauge(&self.gauges.has_room, u64::from(health.has_room));
        gauge(&self.gauges.keys, health.keys);
        raise(&self.counters.ledger_rows, health.rows_added);
        raise(&self.counters.ledger_archived, health.rows_archived);
        let failures = [health.book_failures, health.sync_failures, health.keys_failures, health.chore_failures];
        raise(&self.counters.ledger_failures, failures.iter().sum());
        raise(&self.counters.damaged_records, health.damaged_records);
    }

    /// Takes over how many lines of the request log wait, and how many were dropped.
    pub fn observe_log(&self, queued: usize, dropped: u64) {
        self.gauges.log_queued.set(i64::try_from(queued).unwrap_or(i64::MAX));
        raise(&self.counters.log_dropped, dropped);
    }

    /// The exposition, in Prometheus' text format.
    pub fn render(&self) -> Vec<u8> {
        self.gauges.in_flight.set(i64::try_from(self.in_flight()).unwrap_or(i64::MAX));
        self.observe_process();
        let mut families = self.registry.gather();
        let costs = families.iter_mut().filter(|family| [COST, HOUSE_COST].contains(&family.name()));
        for metric in costs.flat_map(MetricFamily::mut_metric) {
            let mut shown = metric.get_counter().clone();
            shown.set_value(shown.get_value() / NANO_PER_USD);
            metric.set_counter(shown);
        }
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&families, &mut text) {
            log::warn!("metrics cannot be written: {error}");
        }
        text
    }

    fn observe_process(&self) {
        const PAGE_BYTES: i64 = 4096;
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<i64>().ok()).unwrap_or(0);
        self.gauges.resident_bytes.set(pages.saturating_mul(PAGE_BYTES));
        let entries =
            |path: &str| std::fs::read_dir(path).map_or(0, |dir| i64::try_from(dir.count()).unwrap_or(i64::MAX));
        self.gauges.open_fds.set(entries("/proc/self/fd"));
        self.gauges.threads.set(entries("/proc/self/task"));
    }
}

/// A counter that is kept elsewhere, taken over at a scrape.
fn raise(counter: &IntCounter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}

fn status_class(status: u16) -> &'static str {
    match status {
        200..=299 => "2xx",
        400..=499 => "4xx",
        500..=599 => "5xx",
        0 => "none",
        _ => "other",
    }
}

impl Families {
    fn children(&self, labels: &Labels) -> Series {
        let Labels { route, lane, model, provider, status } = labels;
        let served = [&**lane, &**model, &**provider];
        let tokens = |kind: &str| self.tokens.with_label_values(&[&**lane, &**model, &**provider, kind]);
        Series {
            requests: self.requests.with_label_values(&[*route, &**lane, &**model, &**provider, *status]),
            duration: self.duration.with_label_values(&[*route, &**lane]),
            upstream: self.upstream.with_label_values(&[&**provider]),
            first_token: self.first_token.with_label_values(&[&**lane, &**provider]),
            attempts: self.attempts.with_label_values(&[&**lane, &**model, &**provider, "made"]),
            input: tokens("input"),
            cache_read: tokens("cache_read"),
            cache_write: tokens("cache_write"),
            output: tokens("output"),
            reasoning: tokens("reasoning"),
            estimated: self.estimated.with_label_values(&served),
            cost: self.cost.with_label_values(&served),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::RequestId;
    use crate::base::money::NanoUsd;
    use crate::base::outcome::{AutoChoice, Ending, HedgeEnd};
    use crate::base::usage::Usage;

    fn outcome(model: &str) -> Outcome {
        let nothing: Arc<str> = Arc::from("");
        Outcome {
            request_id: RequestId(1),
            route: "chat_completions",
            status: 200,
            ending: Ending::Done,
            key: None,
            lane: Arc::from("flux-fast"),
            requested: Arc::from(model),
            model: nothing.clone(),
            provider: Arc::from("openai"),
            streamed: false,
            attempts: 2,
            hedge: Some(HedgeEnd::Lost),
            house_cost: NanoUsd(5_000),
            auto: Some(AutoChoice {
                gain_milli: 83,
                reason: Arc::from("rule:tools"),
                disagreement: Some(["flux-standard", "flux-reasoning"]),
            }),
            usage: Usage { input: 5, output: 7, ..Usage::default() },
            estimated: false,
            amount: NanoUsd(33),
            written_off: NanoUsd::ZERO,
            latency: Duration::from_millis(3),
            first_byte: Some(Duration::from_millis(2)),
            upstream: Duration::from_millis(2),
            overhead: Duration::from_micros(40),
            request_bytes: 10,
            detail: None,
        }
    }

    #[test]
    fn a_request_shows_in_all_families() {
        let metrics = Metrics::new().unwrap();
        let guard = metrics.enter();
        metrics.failed_over("flux-fast", "flux-fast", "groq", "openai");
        metrics.record(&outcome("flux-fast"));
        metrics.decided(Duration::from_micros(11));
        let text = String::from_utf8(metrics.render()).unwrap();
        for line in [
            r#"flux_requests_total{lane="flux-fast",model="flux-fast",provider="openai",route="chat_completions",status="2xx"} 1"#,
            r#"flux_tokens_total{kind="output",lane="flux-fast",model="flux-fast",provider="openai"} 7"#,
            r#"flux_cost_usd_total{lane="flux-fast",model="flux-fast",provider="openai"} 0.000000033"#,
            r#"flux_attempts_total{kind="failover",lane="flux-fast",model="flux-fast",provider="openai"} 1"#,
            r#"flux_attempts_total{kind="made",lane="flux-fast",model="flux-fast",provider="groq"} 1"#,
            r#"flux_attempts_total{kind="made",lane="flux-fast",model="flux-fast",provider="openai"} 1"#,
            r#"flux_hedges_total{lane="flux-fast",outcome="lost"} 1"#,
            r#"flux_house_cost_usd_total{lane="flux-fast"} 0.000005"#,
            r#"flux_config_reloads_total{result="refused"} 0"#,
            r#"flux_overhead_seconds_bucket{le="0.00005"} 1"#,
            r#"flux_auto_decisions_total{lane="flux-fast",reason="rule:tools"} 1"#,
            r#"flux_auto_shadow_disagreements_total{lane="flux-standard",shadow_lane="flux-reasoning"} 1"#,
            r#"flux_auto_decision_seconds_bucket{le="0.000015"} 1"#,
            "flux_requests_in_flight 1",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        drop(guard);
        assert_eq!(metrics.in_flight(), 0);
    }

    /// The exchange names models as the catalogue does; were that ever to break, memory still holds.
    #[test]
    fn the_number_of_series_has_a_bound() {
        let metrics = Metrics::new().unwrap();
        (0..100).for_each(|n| metrics.record(&outcome(&format!("model-{n}"))));
        assert_eq!(metrics.series.load().len(), 100);
        let full = (0..SERIES_MAX).map(|n| {
            let labels = Labels { model: Arc::from(n.to_string()), ..Labels::beyond() };
            let series = Arc::new(metrics.families.children(&Labels::beyond()));
            (labels, series)
        });
        metrics.series.store(Arc::new(full.collect()));
        metrics.record(&outcome("one too many"));
        assert_eq!(metrics.series.load().len(), SERIES_MAX);
        assert!(!String::from_utf8(metrics.render()).unwrap().contains("one too many"));
    }
}
