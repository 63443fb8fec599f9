//! T-34: old rows go, sums stay, and what is asked does not grow with what is kept.

use super::super::sqlite::usage::{page_sql, sums_sql};
use super::super::usage::Group;
use super::*;

const DAY_MS: u64 = 86_400_000;
/// Noon.
const NOW: UnixMs = UnixMs(20_800 * DAY_MS + DAY_MS / 2);

fn old_charge(n: u64, days_ago: u64) -> Charge {
    let at = UnixMs(NOW.0 - days_ago * DAY_MS + n);
    Charge { request_id: RequestId::new(at, n.into()), at, ..charge(n) }
}

fn count(dir: &Path, sql: &str) -> i64 {
    rusqlite::Connection::open(dir.join("flux.db")).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn t34_old_rows_go_in_small_batches_and_all_sums_stay() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(TestClock::new(NOW));
    let start = |retention_days| {
        let quick = Settings { chores_every: Duration::from_millis(1), retention_days, ..settings(dir.path()) };
        Store::start(quick, house(), Arc::<TestClock>::clone(&clock)).unwrap()
    };
    let store = start(0);
    store.bootstrap("default").unwrap();
    for n in 1..=1_200 {
        store.append(&old_charge(n, n % 3 * 10)).unwrap();
    }
    store.flush().unwrap();
    let sum = 1_200 * 1_201 / 2;
    expect_books(dir.path(), 1_200, sum);
    assert_eq!(store.health().rows_archived, 0, "0 days: for ever");
    drop(store);

    let store = start(15);
    let is_through = || {
        clock.advance(Duration::from_millis(20));
        count(dir.path(), "SELECT count(*) FROM ledger") == 800
    };
    before_long(is_through);
    before_long(|| {
        clock.advance(Duration::from_millis(20));
        store.health().rows_archived >= 400
    });
    let report = reconcile(dir.path()).unwrap();
    assert!(report.adds_up(), "{report:#?}");
    let [account] = report.accounts.as_slice() else { panic!("{report:#?}") };
    let archived: i64 = (1..=1_200).filter(|n| n % 3 == 2).sum();
    assert_eq!((account.rows, account.balance, account.archived), (800, NanoUsd(sum), NanoUsd(archived)));
    assert_eq!(count(dir.path(), "SELECT count(DISTINCT hour / 24) FROM usage_hourly"), 2);
    assert_eq!(count(dir.path(), "SELECT sum(requests) FROM usage_daily"), 1_200, "by the day for ever");

    // Rows of after the horizon cannot be taken out, and what is forged is found.
    let other = rusqlite::Connection::open(dir.path().join("flux.db")).unwrap();
    assert!(other.execute_batch("DELETE FROM ledger").is_err());
    other.execute_batch("UPDATE ledger_archived SET amount_nano = amount_nano - 1").unwrap();
    assert!(!reconcile(dir.path()).unwrap().adds_up());
    other.execute_batch("UPDATE ledger_archived SET amount_nano = amount_nano + 1").unwrap();

    // What comes late, after its day went, is booked and goes again.
    store.append(&old_charge(5_000, 20)).unwrap();
    store.flush().unwrap();
    before_long(|| {
        clock.advance(Duration::from_millis(20));
        count(dir.path(), "SELECT requests FROM ledger_archived") == 401
    });
    let report = reconcile(dir.path()).unwrap();
    assert!(report.adds_up(), "{report:#?}");
    assert_eq!(report.accounts[0].balance, NanoUsd(sum + 5_000));
}

/// What SQLite says of how it looks for the answer.
fn plan(database: &rusqlite::Connection, sql: &str) -> String {
    let mut select = database.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let parameters = vec![rusqlite::types::Value::Integer(1); select.parameter_count()];
    let lines = select.query_map(rusqlite::params_from_iter(parameters), |row| row.get::<_, String>(3)).unwrap();
    lines.collect::<Result<Vec<_>, _>>().unwrap().join("\n")
}

/// Rows are read from an index at the place that is asked for, and stop there; sums read the roll-up's days alone. That
/// makes ten million rows as quick as ten thousand: `make bench-ledger` measures it.
#[test]
fn t34_no_question_reads_the_whole_ledger() {
    let (dir, _store) = started();
    let database = rusqlite::Connection::open(dir.path().join("flux.db")).unwrap();
    for (is_of_key, index) in [(false, "ledger_by_account (account_id=?"), (true, "ledger_by_key (key_id=?")] {
        let plan = plan(&database, &page_sql(is_of_key));
        let expected = format!("SEARCH ledger USING INDEX {index} AND request_id>? AND request_id<?)");
        assert_eq!(plan, expected, "neither a scan nor a sort");
    }
    for group in [Group::All, Group::Day, Group::Key, Group::Model, Group::Lane] {
        let plan = plan(&database, &sums_sql(group, true));
        let by = "SEARCH usage_daily USING PRIMARY KEY (account_id=? AND day>? AND day<?)";
        assert!(plan.contains(by) && !plan.contains("SCAN"), "{group:?}: {plan}");
    }
    let plan = plan(&database, &sums_sql(Group::Day, false));
    assert!(!plan.contains("ledger"), "the operator's sums of all accounts are the roll-up's too: {plan}");
}
