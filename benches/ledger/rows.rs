//! Ten million rows of a year: a page of usage and the daily totals.
//!
//! Must not measure the HTTP around it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use bytes::Bytes;
use flux::accounts::Found;
use flux::accounts::key::{KeyHash, KeySettings, Scheme};
use flux::api::{self, Asked};
use flux::base::complaint::Complaint;
use flux::base::time::{Clock, SystemClock};
use flux::classify::kinds::weights::Weights;
use flux::classify::table::LaneTable;
use flux::classify::{KindModel, Router, rules};
use flux::config::{self, load::Loaded};
use flux::exchange::route::AccountCall;
use flux::exchange::snapshot::Snapshot;
use flux::store::keys::NewKey;
use rusqlite::Connection;

use super::{Options, for_seeding, median, open};

const ROWS: u64 = 10_000_000;
const ACCOUNTS: u64 = 100;
/// Rows of one transaction of the seed.
const BATCH: u64 = 500_000;
/// 2026-01-01 UTC, and a year in milliseconds.
const BEGAN_MS: u64 = 1_767_225_600_000;
const YEAR_MS: u64 = 365 * 86_400_000;
/// The largest account has a fifth of all rows: what is asked is asked of it and its busiest key.
const ASKED: &str = "account 1";
const AIM: Duration = Duration::from_millis(100);
const TIMES: usize = 11;

/// The newest rows of an account or a key, a page far behind, a page of one model, and totals: what stands behind the `?`
/// of `GET /v1/usage`.
const QUESTIONS: [(&str, &str); 8] = [
    ("page, newest 50 of the account", ""),
    ("page, newest 50 of a key", "key=1"),
    ("page, 50 from half a year ago on", "to=2026-07-02"),
    ("page, newest 50 of one model in a hundred", "model=model-99"),
    ("totals by day, a month of the account", "group_by=day&from=2026-09-24&to=2026-10-25"),
    ("totals by day, the year of the account", "group_by=day"),
    ("totals by model, the year of the account", "group_by=model"),
    ("totals by day, the year of a key", "group_by=day&key=1"),
];

/// Seeds and asks.
pub(crate) fn run(options: &Options) -> Result<()> {
    let (dir, _kept) = options.folder()?;
    let rows = options.count.unwrap_or(ROWS);
    drop(open(&dir)?);
    let database = for_seeding(&dir)?;
    let there: u64 =
        database.query_row("SELECT count(*) FROM usage_daily", [], |row| row.get(0).map(i64::unsigned_abs))?;
    if there == 0 {
        seed(&database, rows)?;
    }
    let bytes = std::fs::metadata(dir.join("flux.db"))?.len();
    println!("{rows} rows, {ACCOUNTS} accounts, {} MB; asked of {ASKED}\n", bytes / 1_000_000);
    drop(database);
    ask(&dir)
}

fn seed(database: &Connection, rows: u64) -> Result<()> {
    // Made anew at the end: that sorts once, where each row would look for its place.
    let mut indexes = Vec::new();
    let mut select = database.prepare(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'ledger' AND sql IS NOT NULL",
    )?;
    for index in select.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))? {
        indexes.push(index?);
    }
    drop(select);
    database.execute_batch(&format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ACCOUNTS})
         INSERT INTO accounts (name, created_at) SELECT 'account ' || i, {BEGAN_MS} FROM n;
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {ACCOUNTS} * 10 - 1)
         INSERT INTO keys (account_id, hash, prefix, name, kind, created_at)
            SELECT i / 10 + 1, randomblob(32), 'sk-flux-' || i, '', 'live', {BEGAN_MS} FROM n"
    ))?;
    for (name, _) in &indexes {
        database.execute_batch(&format!("DROP INDEX {name}"))?;
    }
    let begun = Instant::now();
    for first in (0..rows).step_by(usize::try_from(BATCH)?) {
        let last = (first + BATCH).min(rows) - 1;
        database.execute_batch(&seed_rows(first, last, rows))?;
        eprint!("\rseeding: {} of {rows} rows, {} s", last + 1, begun.elapsed().as_secs());
    }
    eprint!("\rindexes and sums …                                        ");
    for (_, sql) in &indexes {
        database.execute_batch(sql)?;
    }
    let migration = include_str!("../../src/store/migrations/0002_tariffs_budgets_rollups.sql");
    for part in migration.split(';').filter(|part| part.contains("INSERT INTO usage_")) {
        database.execute_batch(part)?;
    }
    database.execute_batch(
        "UPDATE accounts SET balance_nano =
            (SELECT ifnull(sum(amount_nano), 0) FROM usage_daily WHERE account_id = accounts.id);
         PRAGMA wal_checkpoint(TRUNCATE)",
    )?;
    eprintln!("\rseeded in {} s                                ", begun.elapsed().as_secs());
    Ok(())
}

/// Rows evenly over the year; a fifth is the first account's, the others share the rest. A hundred models, two lanes.
fn seed_rows(first: u64, last: u64, rows: u64) -> String {
    format!(
        "WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last}),
            mixed(i, at, r) AS (SELECT i, {BEGAN_MS} + i * {YEAR_MS} / {rows}, (i * 2654435761) & 2147483647 FROM n),
            owned(i, at, r, account) AS
                (SELECT i, at, r, CASE WHEN r % 5 = 0 THEN 1 ELSE r / 8 % {ACCOUNTS} + 1 END FROM mixed)
         INSERT INTO ledger (request_id, account_id, key_id, at, requested, lane, provider, model, wire_format, streamed,
            ending, attempts, input, cache_read, cache_write_5m, cache_write_30m, cache_write_1h, cache_write_12h, output,
            reasoning, input_image, cache_read_image, output_image, input_audio, output_audio, estimated, amount_nano,
            provider_cost_nano, latency_us)
         SELECT unhex(printf('%012x%020x', at, r)), account, (account - 1) * 10 + r / 16 % 10 + 1, at, 'flux-auto',
            CASE r / 32 % 2 WHEN 0 THEN 'flux-fast' ELSE 'flux-standard' END, 'openai', 'model-' || (r / 64 % 100),
            'openai_chat', r / 128 % 2, 'done', 1, r % 9000, 0, 0, 0, 0, 0, r % 700, 0, 0, 0, 0, 0, 0, 0, r % 90000,
            r % 80000, 900000
         FROM owned"
    )
}

/// Asks as a client of the account does, but for the HTTP around it.
fn ask(dir: &Path) -> Result<()> {
    let (store, snapshot) = (open(dir)?, snapshot()?);
    let settings = KeySettings::default();
    let new = NewKey { account: ASKED, settings: &settings, is_test: false, scheme: Scheme::Flux };
    let raw = store.create_key(&new)?.raw;
    let at = SystemClock.unix_ms();
    let Found::Key(key) = store.keys().find(&KeyHash::of(raw.expose().as_bytes()), at) else {
        bail!("the new key is not known");
    };
    let mut late = 0;
    for (question, query) in QUESTIONS {
        let asked = Asked {
            key: &key,
            query,
            body: b"",
            accept: "application/json",
            is_anthropic: false,
            quality: None,
            providers: &[],
            region: None,
            session: None,
            at,
        };
        let mut body = Bytes::new();
        let taken = median(TIMES, || {
            let answer = api::answer(&AccountCall::ListUsage, &asked, &store, &snapshot);
            body = answer.map_err(|refusal| anyhow!("{question}: {}", refusal.message))?.body;
            Ok(())
        })?;
        let told: serde_json::Value = serde_json::from_slice(&body)?;
        let count = told["data"].as_array().map_or(0, Vec::len);
        let verdict = if taken < AIM { "" } else { "  ABOVE THE AIM" };
        late += u32::from(taken >= AIM);
        println!("{question:44} {count:5} rows  {:9.3} ms{verdict}", taken.as_secs_f64() * 1e3);
    }
    if late > 0 {
        bail!("{late} questions take more than {} ms", AIM.as_millis());
    }
    Ok(())
}

/// The repository's own configuration.
fn snapshot() -> Result<Snapshot> {
    let told =
        |complaints: Vec<Complaint>| anyhow!("{}", complaints.iter().map(ToString::to_string).collect::<String>());
    let conf = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf");
    let Loaded { config, catalog, tariffs, fingerprint: _, shadow: _ } =
        config::load::load(&conf, &[]).map_err(told)?;
    let rules = rules::parse(include_str!("../../lua-free-rules/flux-auto.toml"), "flux-auto.toml").map_err(told)?;
    let weights = Weights::parse(include_str!("../../lua-free-rules/kind-weights.json"))?;
    let table = include_str!("../../lua-free-rules/lane-table.toml");
    let table = LaneTable::parse(table, "lane-table.toml", weights.kinds()).map_err(told)?;
    let router = Router { rules, kinds: KindModel { weights, table } };
    Ok(Snapshot::new(config, catalog, tariffs, router, SystemClock.unix_ms()))
}
