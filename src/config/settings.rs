//! `flux.toml` becomes [`Config`]: names, defaults and bounds of all settings.
//!
//! Must not know providers or models.

use std::net::{Ipv4Addr, SocketAddr};

use crate::catalog::StandIn;
use crate::health::{self, breaker, probes};

use super::fields::{Fields, Findings};
use super::raw::{Origin, Table};
use super::{
    Config, Conversations, Ledger, Limits, Log, Mock, MockFault, Money, RequestLog, Server, Timeouts, Tls, address,
};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const GIB: usize = 1 << 30;
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
const PORT: u16 = 8080;
const PRIVATE_PORT: u16 = 9090;
/// Files of the journal that are needed at least: one is written while the other is booked.
const SEGMENTS_MIN: u64 = 2;

/// Reads all sections of `flux.toml`.
pub(super) fn read(file: &Table, origin: &Origin, findings: &mut Findings) -> Config {
    let empty = Table::default();
    let mut sections = Fields::new(file, origin, "", findings);
    let [server, limits, timeouts, money, conversations, health, ledger, log, mock] =
        ["server", "limits", "timeouts", "money", "conversations", "health", "ledger", "log", "mock"].map(|name| {
            let (table, at) = sections.table(name).unwrap_or((&empty, origin));
            (table, at, name)
        });
    sections.finish();
    Config {
        server: section(server, findings, read_server),
        limits: section(limits, findings, read_limits),
        timeouts: section(timeouts, findings, read_timeouts),
        money: section(money, findings, read_money),
        conversations: section(conversations, findings, read_conversations),
        health: section(health, findings, read_health),
        ledger: section(ledger, findings, read_ledger),
        log: section(log, findings, read_log),
        mock: section(mock, findings, read_mock),
    }
}

/// What a file says about the data folder, or the default.
#[cfg(feature = "shell")]
pub(super) fn data_dir(text: &str) -> std::path::PathBuf {
    let mut findings = Findings::default();
    let file = super::raw::parse("flux.toml", text, &mut findings.complaints);
    read(&file, &Origin { file: "flux.toml".into(), line: 1 }, &mut findings).server.data_dir
}

/// The names of all settings: what an empty file leaves to defaults.
pub(super) fn names() -> Vec<String> {
    let mut findings = Findings::default();
    read(&Table::default(), &Origin { file: "".into(), line: 0 }, &mut findings);
    findings.defaulted
}

fn section<T>(
    (table, origin, name): (&Table, &Origin, &str),
    findings: &mut Findings,
    read: impl Fn(&mut Fields<'_, '_>) -> T,
) -> T {
    let mut fields = Fields::new(table, origin, name, findings);
    let value = read(&mut fields);
    fields.finish();
    value
}

fn read_server(fields: &mut Fields<'_, '_>) -> Server {
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listen = fields.address("listen", local(PORT));
    let private_listen = fields.address("private_listen", local(PRIVATE_PORT));
    let is_public_meant = fields.flag("private_listen_public", false);
    if !is_public_meant && !address::is_loopback(private_listen.ip()) {
        fields.complain(
            "private_listen",
            format!("{private_listen} can be reached from other machines, and metrics are served without a key"),
            "use 127.0.0.1, or set private_listen_public = true",
        );
    }
    if listen == private_listen && listen.port() != 0 {
        fields.complain("private_listen", "is the same address as server.listen", "take another port");
    }
    let data_dir = fields.text("data_dir").unwrap_or_else(|| "data".to_owned());
    if data_dir.is_empty() {
        fields.complain("data_dir", "is empty", "name the folder for the ledger, such as \"data\"");
    }
    let pid_file = fields.text("pid_file").filter(|path| !path.is_empty()).map(Into::into);
    let threads = fields.count("threads", 0, 0..=1_024);
    let cert = fields.text("tls_cert").unwrap_or_default();
    let key = fields.text("tls_key").unwrap_or_default();
    let tls = match (cert.is_empty(), key.is_empty()) {
        (true, true) => None,
        (false, false) => Some(Tls { cert: cert.into(), key: key.into() }),
        (false, true) => {
            fields.complain("tls_key", "is missing beside tls_cert", "TLS needs both, as PEM files");
            None
        }
        (true, false) => {
            fields.complain("tls_cert", "is missing beside tls_key", "TLS needs both, as PEM files");
            None
        }
    };
    Server { listen, private_listen, data_dir: data_dir.into(), pid_file, threads, tls }
}

fn read_money(fields: &mut Fields<'_, '_>) -> Money {
    Money {
        output_tokens_min: fields.whole("output_tokens_min", 256, 1..=1 << 20),
        output_tokens_unstated: fields.whole("output_tokens_unstated", 8_192, 1..=1 << 20),
        reservation_share: fields.whole("reservation_share", 16, 1..=1_000),
        rate_tokens_unstated: fields.whole("rate_tokens_unstated", 4_096, 0..=1 << 20),
    }
}

fn read_conversations(fields: &mut Fields<'_, '_>) -> Conversations {
    Conversations {
        remembered_max: fields.count("remembered_max", 100_000, 0..=10_000_000),
        idle: fields.ms("idle_ms", 3_600_000, 1_000..=DAY_MS),
        calm_turns: u32::try_from(fields.whole("calm_turns", 2, 1..=100)).unwrap_or(2),
        cache: fields.ms("cache_ms", 300_000, 0..=DAY_MS),
    }
}

fn read_limits(fields: &mut Fields<'_, '_>) -> Limits {
    Limits {
        body_bytes_max: fields.count("body_bytes_max", 32 * MIB, KIB..=GIB),
        unary_held_bytes_max: fields.count("unary_held_bytes_max", 8 * MIB, KIB..=GIB),
        sse_frame_bytes_max: fields.count("sse_frame_bytes_max", 8 * MIB, KIB..=GIB),
        estimate_text_bytes_max: fields.count("estimate_text_bytes_max", 64 * KIB, KIB..=MIB),
        attempts_max: fields.count("attempts_max", 6, 1..=16),
        keys_max: fields.count("keys_max", 100_000, 1..=100_000_000),
        keys_of_account_max: fields.count("keys_of_account_max", 10_000, 1..=100_000_000),
        account_questions_per_second: fields.whole("account_questions_per_second", 20, 1..=1_000_000),
        account_questions_at_once_max: fields.count("account_questions_at_once_max", 32, 1..=512),
        unknown_keys_max: fields.count("unknown_keys_max", 10_000, 1..=10_000_000),
        in_flight_max: fields.count("in_flight_max", 20_000, 1..=1_000_000),
        upstream_pool_size: fields.count("upstream_pool_size", 8_192, 1..=1_000_000),
        log_queue_max: fields.count("log_queue_max", 8_192, 1..=1_000_000),
        idempotency_keys_max: fields.count("idempotency_keys_max", 100_000, 1..=10_000_000),
        idempotent_repeats_max: fields.whole("idempotent_repeats_max", 3, 0..=1_000),
        unknown_keys_per_second: fields.whole("unknown_keys_per_second", 100, 1..=1_000_000),
        header_bytes_max: fields.count("header_bytes_max", 64 * KIB, KIB..=MIB),
    }
}

fn read_timeouts(fields: &mut Fields<'_, '_>) -> Timeouts {
    let timeouts = timeouts(fields);
    if timeouts.total < timeouts.connect {
        let (total, connect) = (timeouts.total.as_millis(), timeouts.connect.as_millis());
        let message = format!("{total} ends a request before timeouts.connect_ms, {connect}, can");
        fields.complain("total_ms", message, "make connect_ms smaller or total_ms larger");
    }
    timeouts
}

fn timeouts(fields: &mut Fields<'_, '_>) -> Timeouts {
    Timeouts {
        head: fields.ms("head_ms", 10_000, 1..=DAY_MS),
        body: fields.ms("body_ms", 60_000, 1..=DAY_MS),
        downstream_keepalive: fields.ms("downstream_keepalive_ms", 75_000, 1..=DAY_MS),
        downstream_write: fields.ms("downstream_write_ms", 60_000, 1..=DAY_MS),
        linger: fields.ms("linger_ms", 30_000, 0..=DAY_MS),
        connect: fields.ms("connect_ms", 3_000, 1..=DAY_MS),
        first_byte: fields.ms("first_byte_ms", 120_000, 1..=DAY_MS),
        first_token: fields.ms("first_token_ms", 300_000, 1..=DAY_MS),
        idle: fields.ms("idle_ms", 90_000, 1..=DAY_MS),
        ping: fields.ms("ping_ms", 15_000, 0..=DAY_MS),
        total: fields.ms("total_ms", 600_000, 1..=DAY_MS),
        upstream_keepalive: fields.ms("upstream_keepalive_ms", 60_000, 1..=DAY_MS),
        shutdown: fields.ms("shutdown_ms", 30_000, 0..=DAY_MS),
        upgrade: fields.ms("upgrade_ms", 600_000, 0..=DAY_MS),
    }
}

fn read_health(fields: &mut Fields<'_, '_>) -> health::Bounds {
    const PERCENT_MAX: u64 = 100;
    let breaker = read_breaker(fields);
    if breaker.cooldown_max_ms < breaker.cooldown_ms {
        let message = format!("{} is shorter than health.cooldown_ms", breaker.cooldown_max_ms);
        fields.complain("cooldown_max_ms", message, "make it longer");
    }
    health::Bounds {
        passes_over: fields.flag("passes_over", true),
        breaker,
        slow_factor: fields.whole("slow_factor", 4, 1..=1_000),
        slow_ms: fields.whole("slow_ms", 5_000, 1..=DAY_MS),
        key_rest_ms: fields.whole("key_rest_ms", 1_000, 1..=DAY_MS),
        probes: probes::Bounds {
            ill_after: fields.whole("probes_ill", 3, 1..=100),
            well_after: fields.whole("probes_well", 2, 1..=100),
        },
        probe_interval: fields.ms("probe_interval_ms", 60_000, 0..=DAY_MS),
        probe_timeout: fields.ms("probe_timeout_ms", 5_000, 1..=600_000),
        probes_at_once: fields.count("probes_at_once", 4, 1..=64),
        retries_max: fields.whole("retries_max", 1, 0..=5),
        retry_delay: fields.ms("retry_delay_ms", 200, 0..=60_000),
        retry_percent: fields.whole("retry_percent", 10, 0..=PERCENT_MAX),
        hedge_after_min: fields.ms("hedge_after_ms_min", 100, 0..=600_000),
        retry_reserve: fields.whole("retry_reserve", 20, 0..=1_000_000),
        queue_max: fields.count("queue_max", 100, 0..=1_000_000),
        queue_wait: fields.ms("queue_wait_ms", 2_000, 0..=DAY_MS),
    }
}

fn read_breaker(fields: &mut Fields<'_, '_>) -> breaker::Bounds {
    const PERCENT_MAX: u64 = 100;
    breaker::Bounds {
        window_ms: fields.whole("window_ms", 30_000, 100..=DAY_MS),
        requests_min: fields.whole("requests_min", 20, 1..=100_000),
        error_percent: fields.whole("error_percent", 50, 0..=PERCENT_MAX),
        errors_in_a_row: u32::try_from(fields.whole("errors_in_a_row", 5, 0..=100_000)).unwrap_or(u32::MAX),
        slow_percent: fields.whole("slow_percent", 50, 0..=PERCENT_MAX),
        cooldown_ms: fields.whole("cooldown_ms", 2_000, 1..=DAY_MS),
        cooldown_max_ms: fields.whole("cooldown_max_ms", 120_000, 1..=DAY_MS),
        trial_ms: fields.whole("trial_ms", 30_000, 1..=DAY_MS),
    }
}

fn read_ledger(fields: &mut Fields<'_, '_>) -> Ledger {
    let journal_bytes_max = fields.whole("journal_bytes_max", 256 << 20, 1 << 20..=1 << 40);
    let segment_bytes = fields.whole("segment_bytes", 16 << 20, 64 << 10..=1 << 30);
    if segment_bytes.saturating_mul(SEGMENTS_MIN) > journal_bytes_max {
        fields.complain(
            "segment_bytes",
            format!("{SEGMENTS_MIN} segments of {segment_bytes} do not fit into ledger.journal_bytes_max"),
            "make the segments smaller or the journal larger",
        );
    }
    Ledger {
        journal_bytes_max,
        segment_bytes,
        batch_rows_max: fields.count("batch_rows_max", 2_000, 1..=100_000),
        sync: fields.ms("sync_ms", 100, 1..=60_000),
        poll: fields.ms("poll_ms", 200, 1..=10_000),
        keys_poll: fields.ms("keys_poll_ms", 250, 10..=10_000),
        retention_days: fields.whole("retention_days", 0, 0..=36_500),
        purge_after_days: fields.whole("purge_after_days", 30, 0..=36_500),
        readers_max: fields.count("readers_max", 4, 1..=64),
    }
}

fn read_log(fields: &mut Fields<'_, '_>) -> Log {
    let requests = match fields.text("requests").as_deref() {
        None | Some("stdout") => RequestLog::Stdout,
        Some("off" | "") => RequestLog::Off,
        Some(path) => RequestLog::File(path.into()),
    };
    let levels = [
        ("off", log::LevelFilter::Off),
        ("error", log::LevelFilter::Error),
        ("warn", log::LevelFilter::Warn),
        ("info", log::LevelFilter::Info),
        ("debug", log::LevelFilter::Debug),
        ("trace", log::LevelFilter::Trace),
    ];
    Log { requests, level: fields.choice("level", log::LevelFilter::Info, &levels) }
}

fn read_mock(fields: &mut Fields<'_, '_>) -> Mock {
    let modes = [("auto", StandIn::WhileNoneConfigured), ("on", StandIn::Always), ("off", StandIn::Never)];
    Mock {
        mode: fields.choice("mode", StandIn::WhileNoneConfigured, &modes),
        latency: fields.ms("latency_ms", 0, 0..=DAY_MS),
        chunk_latency: fields.ms("chunk_latency_ms", 0, 0..=DAY_MS),
        chunk_chars: fields.count("chunk_chars", 12, 1..=MIB),
        fault: fields.choice("fault", MockFault::None, &MockFault::NAMES),
        fault_every: u64::try_from(fields.count("fault_every", 1, 1..=MIB)).unwrap_or(1),
    }
}
