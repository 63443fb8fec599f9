//! Names, helps and labels of all families.
//!
//! Must not know what is counted when.

use prometheus::core::Collector;
use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::{COST, Counters, Families, Gauges, HOUSE_COST};

const LATENCY_BUCKETS: [f64; 13] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0];

/// Registers families as they are made.
pub(super) struct Register<'a>(pub(super) &'a Registry);

impl Register<'_> {
    pub(super) fn keep<C: Collector + Clone + 'static>(&self, family: C) -> prometheus::Result<C> {
        self.0.register(Box::new(family.clone()))?;
        Ok(family)
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.keep(IntCounter::new(name, help)?)
    }

    pub(super) fn counters(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
        self.keep(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.keep(IntGauge::new(name, help)?)
    }

    pub(super) fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
        self.keep(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    pub(super) fn histograms(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<HistogramVec> {
        let options = HistogramOpts::new(name, help).buckets(LATENCY_BUCKETS.to_vec());
        self.keep(HistogramVec::new(options, labels)?)
    }
}

/// Families with labels.
pub(super) fn families(register: &Register<'_>) -> prometheus::Result<Families> {
    let served = ["lane", "model", "provider"];
    Ok(Families {
        requests: register.counters(
            "flux_requests_total",
            "Requests that ended, by the name asked for and the provider that answered",
            &["route", "lane", "model", "provider", "status"],
        )?,
        duration: register.histograms(
            "flux_request_duration_seconds",
            "From arrival to the last byte",
            &["route", "lane"],
        )?,
        upstream: register.histograms("flux_upstream_duration_seconds", "Time spent on providers", &["provider"])?,
        first_token: register.histograms(
            "flux_time_to_first_token_seconds",
            "From arrival to the first content sent to the client",
            &["lane", "provider"],
        )?,
        attempts: register.counters(
            "flux_attempts_total",
            "Attempts at providers; kind failover counts those after the first",
            &["lane", "model", "provider", "kind"],
        )?,
        failures: register.counters(
            "flux_attempt_failures_total",
            "Attempts that failed, by reason",
            &["provider", "reason"],
        )?,
        tokens: register.counters(
            "flux_tokens_total",
            "Tokens by kind; reasoning is a part of output",
            &["lane", "model", "provider", "kind"],
        )?,
        estimated: register.counters("flux_usage_estimated_total", "Requests whose usage was estimated", &served)?,
        cost: register.counters(COST, "What accounts were charged, in USD", &served)?,
        decisions: register.counters(
            "flux_auto_decisions_total",
            "Requests of flux-auto, by the lane that served and what chose it",
            &["lane", "reason"],
        )?,
        hedges: register.counters(
            "flux_hedges_total",
            "Second attempts beside one whose first token was late, by what became of them",
            &["lane", "outcome"],
        )?,
        house_cost: register.counters(
            HOUSE_COST,
            "What attempts cost that were overtaken and that nobody is charged for, about, in USD",
            &["lane"],
        )?,
        disagreements: register.counters(
            "flux_auto_shadow_disagreements_total",
            "Requests of flux-auto for which the rules beside the first would have chosen another lane",
            &["lane", "shadow_lane"],
        )?,
    })
}

/// What goes up and down.
pub(super) fn gauges(register: &Register<'_>) -> prometheus::Result<Gauges> {
    Ok(Gauges {
        in_flight: register.gauge("flux_requests_in_flight", "Inference requests that are open")?,
        log_queued: register.gauge("flux_request_log_queue_lines", "Lines that wait to be written")?,
        journal_bytes: register.gauge("flux_journal_bytes", "Size of the journal on disk")?,
        journal_bytes_max: register
            .gauge("flux_journal_bytes_max", "Bound of the journal: at it charges are refused")?,
        backlog_rows: register.gauge("flux_ledger_backlog_rows", "Charges in the journal that are not booked yet")?,
        backlog_bytes: register.gauge("flux_ledger_backlog_bytes", "The same in bytes")?,
        has_room: register.gauge(
            "flux_journal_has_room",
            "1 while new requests are let in, 0 while the journal could not keep their charges",
        )?,
        keys: register.gauge("flux_keys", "Keys in memory")?,
        config_loaded: register
            .gauge("flux_config_loaded_timestamp_seconds", "When the live configuration was loaded")?,
        resident_bytes: register.gauge("process_resident_memory_bytes", "Resident memory")?,
        open_fds: register.gauge("process_open_fds", "Open file descriptors")?,
        threads: register.gauge("process_threads", "Threads")?,
    })
}

/// What goes up, without labels.
pub(super) fn counters(register: &Register<'_>) -> prometheus::Result<Counters> {
    let key_lookups =
        register.counters("flux_key_lookups_total", "Keys looked up in memory, by result", &["result"])?;
    let reloads = register.counters("flux_config_reloads_total", "New configurations, by result", &["result"])?;
    // Shown before anything has happened, so that an alert on its rise has something to start from.
    for result in ["accepted", "refused"] {
        reloads.with_label_values(&[result]).inc_by(0);
    }
    Ok(Counters {
        log_dropped: register
            .counter("flux_request_log_dropped_total", "Lines that did not fit into the log's queue")?,
        charges_not_kept: register
            .counter("flux_charges_not_kept_total", "Answers not completed for want of a journal")?,
        ledger_rows: register.counter("flux_ledger_rows_total", "Rows added to the ledger")?,
        ledger_archived: register
            .counter("flux_ledger_rows_archived_total", "Rows that retention has taken out, their sums kept")?,
        ledger_failures: register
            .counter("flux_store_failures_total", "Failed writes and reads of journal, ledger and keys")?,
        damaged_records: register
            .counter("flux_journal_damaged_records_total", "Journal records that could not be read")?,
        key_hits: key_lookups.with_label_values(&["hit"]),
        key_misses: key_lookups.with_label_values(&["miss"]),
        reloads,
    })
}
