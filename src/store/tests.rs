//! The store as a whole: exactly once over crashes, two processes at one database, keys that act.

mod accounts;
mod feedback;
mod funds;
mod handover;
mod retention;
mod trouble;

use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::journal::read::Position;
use super::reconcile::Report;
use super::*;
use crate::accounts::Found;
use crate::accounts::key::{KeyHash, KeySettings, Scheme};
use crate::base::ids::{AccountId, KeyId, RequestId};
use crate::base::money::NanoUsd;
use crate::base::outcome::{Draw, Ending, Pieces, Routed};
use crate::base::preference::ProviderBounds;
use crate::base::quality::Quality;
use crate::base::tariff::Tariff;
use crate::base::time::{SystemClock, TestClock, UnixMs};
use crate::base::usage::{CacheWrite, Usage};
use crate::base::wire_format::WireFormat;

/// The `n`th charge: of account and key 1, all figures different, `n` nano-USD.
pub(in crate::store) fn charge(n: u64) -> Charge {
    let cache_write = CacheWrite { m5: 3, m30: 4, h1: 5, h12: 6 };
    Charge {
        request_id: RequestId::new(UnixMs(1_790_000_000_000 + n), u128::from(n)),
        account: AccountId(1),
        key: KeyId(1),
        at: UnixMs(1_790_000_000_000 + n),
        requested: "flux-auto".into(),
        lane: "express".into(),
        provider: "openai".into(),
        model: "gpt-9".into(),
        wire_format: WireFormat::OpenaiChat,
        streamed: true,
        ending: Ending::Done,
        attempts: 2,
        usage: Usage { input: n, cache_read: 2, cache_write, output: 7, reasoning: 1, ..Usage::default() },
        estimated: false,
        service_tier: "default".into(),
        pieces: Pieces { images: 1, audio_ms: 2, characters: 3 },
        draw: beyond(n.cast_signed()),
        written_off: NanoUsd(1),
        provider_cost: NanoUsd(1),
        idempotency: Some([7; 32]),
        latency: Duration::from_millis(n),
        routed: Some(Routed::new("code", 0.1234)),
    }
}

/// A charge beyond what is included, not from packs: what an account without a tariff pays.
fn beyond(nano: i64) -> Draw {
    Draw { charged: NanoUsd(nano), from_packs: NanoUsd::ZERO, overage: NanoUsd(nano) }
}

/// The operator's own tariff and no other.
fn house() -> Arc<Tariffs> {
    let house = Arc::new(Tariff::unbounded());
    Arc::new(Tariffs::new(vec![Arc::clone(&house)], house))
}

fn reconcile(dir: &Path) -> Result<Report, StoreError> {
    reconcile::reconcile(dir, &mut |_, _| ())
}

fn settings(dir: &Path) -> Settings {
    // Small, so that few charges go through many segments and batches.
    Settings {
        segment_bytes: 1_000,
        batch_rows_max: 7,
        poll: Duration::from_millis(1),
        keys_poll: Duration::from_millis(5),
        sync_every: Duration::from_millis(5),
        ..Settings::new(dir)
    }
}

fn start(dir: &Path) -> Store {
    Store::start(settings(dir), house(), Arc::new(SystemClock)).unwrap()
}

/// A store with its first keys, so that account 1 and key 1 exist.
fn started() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = start(dir.path());
    store.bootstrap("default").unwrap().unwrap();
    (dir, store)
}

fn expect_books(dir: &Path, rows: i64, sum: i64) {
    let report = reconcile(dir).unwrap();
    assert!(report.adds_up(), "{report:#?}");
    let [account] = report.accounts.as_slice() else { panic!("{report:#?}") };
    assert_eq!((account.rows, account.balance), (rows, NanoUsd(sum)), "{report:#?}");
}

#[test]
fn charges_are_booked_once_whatever_is_repeated() {
    let (dir, store) = started();
    for n in (1..=50).chain(20..=30) {
        store.append(&charge(n)).unwrap();
    }
    store.flush().unwrap();
    expect_books(dir.path(), 50, 50 * 51 / 2);
    let health = store.health();
    assert_eq!((health.rows_added, health.rows_repeated, health.backlog_rows, health.backlog_bytes), (50, 11, 0, 0));
    assert_eq!(health.last_error, None);
}

/// Of a row only what differs from the row before is handed to the database.
#[test]
fn rows_of_one_batch_do_not_mix() {
    let (dir, store) = started();
    let charges: Vec<Charge> = (1..=28)
        .map(|n| {
            let model = if n % 3 == 0 { "gpt-9" } else { "claude-9" };
            let usage = Usage { output: n / 4, ..charge(n).usage };
            Charge { model: model.into(), streamed: n % 2 == 0, usage, ..charge(n) }
        })
        .collect();
    for charge in &charges {
        store.append(charge).unwrap();
    }
    store.flush().unwrap();
    let connection = rusqlite::Connection::open(dir.path().join("flux.db")).unwrap();
    let columns = "at, model, streamed, input, output, amount_nano";
    let mut select = connection.prepare(&format!("SELECT {columns} FROM ledger ORDER BY request_id")).unwrap();
    let mut rows = select.query([]).unwrap();
    for charge in &charges {
        let row = rows.next().unwrap().unwrap();
        let (number, text) = (|index| row.get::<_, i64>(index).unwrap(), row.get::<_, String>(1).unwrap());
        assert_eq!((number(0), text.as_str()), (charge.at.0.cast_signed(), &*charge.model));
        assert_eq!((number(2), number(3)), (i64::from(charge.streamed), charge.usage.input.cast_signed()));
        assert_eq!((number(4), number(5)), (charge.usage.output.cast_signed(), charge.draw.charged.0));
    }
    assert!(rows.next().unwrap().is_none());
}

#[test]
fn a_crash_between_booking_and_deleting_books_nothing_twice() {
    let (dir, store) = started();
    for n in 1..=40 {
        store.append(&charge(n)).unwrap();
    }
    // The segments as they were before any was deleted, put back after the rest was booked.
    let journal = dir.path().join("journal");
    store.stop();
    let kept: Vec<_> = std::fs::read_dir(&journal).unwrap().map(|entry| entry.unwrap().path()).collect();
    let bytes: Vec<_> = kept.iter().map(|path| std::fs::read(path).unwrap()).collect();
    drop(store);
    drop(start(dir.path()));
    for (path, bytes) in kept.iter().zip(&bytes) {
        std::fs::write(path, bytes).unwrap();
    }
    let database = Database::open(&dir.path().join("flux.db"), BUSY_TIMEOUT).unwrap();
    for position in [Position::default(), database.position(0).unwrap()] {
        let mut database = Database::open(&dir.path().join("flux.db"), BUSY_TIMEOUT).unwrap();
        database.book(&[], (0, position)).unwrap();
        drop(start(dir.path()));
        expect_books(dir.path(), 40, 40 * 41 / 2);
    }
}

#[test]
fn charges_wait_while_the_database_is_locked_and_are_booked_after() {
    let (dir, store) = started();
    let other = rusqlite::Connection::open(dir.path().join("flux.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    for n in 1..=10 {
        store.append(&charge(n)).unwrap();
    }
    while store.health().book_failures == 0 {
        std::thread::yield_now();
    }
    let health = store.health();
    assert_eq!(health.backlog_rows, 10);
    assert!(health.last_error.is_some());
    assert!(!store.keys_are_stale(SystemClock.now()), "keys can still be read");
    let report = reconcile(dir.path()).unwrap();
    assert!(report.adds_up());
    assert_eq!((report.pending_records, report.pending), (10, NanoUsd(55)));
    other.execute_batch("ROLLBACK").unwrap();
    store.flush().unwrap();
    assert_eq!(store.health().last_error, None);
    expect_books(dir.path(), 10, 55);
}

#[test]
fn a_full_journal_refuses_charges_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let small = Settings { journal_bytes_max: 3_000, ..settings(dir.path()) };
    let store = Store::start(small, house(), Arc::new(SystemClock)).unwrap();
    store.bootstrap("default").unwrap();
    let other = rusqlite::Connection::open(dir.path().join("flux.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let kept = (1..=1_000).take_while(|n| store.append(&charge(*n)).is_ok()).count() as u64;
    assert!((5..100).contains(&kept), "{kept}");
    assert_eq!(store.health().append_failures, 1);
    other.execute_batch("ROLLBACK").unwrap();
    store.flush().unwrap();
    store.append(&charge(kept + 1)).unwrap();
    store.flush().unwrap();
    let rows = kept.cast_signed() + 1;
    expect_books(dir.path(), rows, rows * (rows + 1) / 2);
}

#[test]
fn the_ledger_takes_no_change_and_reconcile_finds_what_is_forced_in() {
    let (dir, store) = started();
    for n in 1..=3 {
        store.append(&charge(n)).unwrap();
    }
    store.append(&Charge { account: AccountId(77), key: KeyId(78), ..charge(4) }).unwrap();
    store.flush().unwrap();
    assert_eq!(store.health().unknown_accounts, 1);
    let report = reconcile(dir.path()).unwrap();
    assert!(!report.adds_up(), "an account that does not exist");
    assert_eq!((report.unknown_keys, report.accounts[1].name.as_deref()), (1, None));
    let other = rusqlite::Connection::open(dir.path().join("flux.db")).unwrap();
    for sql in ["UPDATE ledger SET amount_nano = 0", "DELETE FROM ledger", "DELETE FROM keys", "UPDATE keys SET id = 9"]
    {
        assert!(other.execute_batch(sql).is_err(), "{sql}");
    }
    let check = |sql: &str, find: &dyn Fn(&Report) -> bool| {
        other.execute_batch(sql).unwrap();
        let report = reconcile(dir.path()).unwrap();
        assert!(find(&report) && !report.adds_up(), "{sql}: {report:#?}");
    };
    for (sql, undo, find) in [
        (
            "UPDATE accounts SET balance_nano = balance_nano + 1",
            "UPDATE accounts SET balance_nano = balance_nano - 1",
            &(|report: &Report| !report.accounts[0].balance_adds_up()) as &dyn Fn(&Report) -> bool,
        ),
        (
            "UPDATE accounts SET packs_nano = packs_nano + 1",
            "UPDATE accounts SET packs_nano = packs_nano - 1",
            &|report| !report.accounts[0].packs_add_up,
        ),
        (
            "UPDATE accounts SET packs_used_nano = packs_used_nano + 1",
            "UPDATE accounts SET packs_used_nano = packs_used_nano - 1",
            &|report| !report.accounts[0].packs_add_up,
        ),
        (
            "UPDATE usage_daily SET overage_nano = overage_nano + 1",
            "UPDATE usage_daily SET overage_nano = overage_nano - 1",
            &|report| !report.accounts[0].days_add_up && report.differing_days == 0,
        ),
        ("UPDATE usage_daily SET input = input + 1", "UPDATE usage_daily SET input = input - 1", &|report| {
            report.differing_days > 0 && report.differing_hours == 0
        }),
        ("UPDATE usage_hourly SET model = 'other'", "UPDATE usage_hourly SET model = 'gpt-9'", &|report| {
            report.differing_hours > 0
        }),
    ] {
        check(sql, find);
        other.execute_batch(undo).unwrap();
    }
    other.execute_batch("DROP TRIGGER ledger_never_updated; DROP TRIGGER ledger_kept_since_horizon").unwrap();
    // The last record is in the journal's last segment, which is still there.
    check("UPDATE ledger SET amount_nano = 9 WHERE account_id = 77", &|report| report.differing_records == 1);
    check("UPDATE ledger SET from_packs_nano = 9 WHERE account_id = 77", &|report| report.wrong_splits == 1);
    check("DELETE FROM ledger WHERE account_id = 77", &|report| report.missing_records == 1);
}

#[test]
fn a_balance_past_63_bits_is_refused_not_wrapped() {
    let (dir, store) = started();
    store.stop();
    let mut database = Database::open(&dir.path().join("flux.db"), BUSY_TIMEOUT).unwrap();
    let large = |n| Charge { draw: beyond(i64::MAX - 1), ..charge(n) };
    let position = Position { segment: 9, offset: 0 };
    assert!(database.book(&[large(1), large(2)], (0, position)).is_err());
    database.book(&[large(1)], (0, position)).unwrap();
    assert!(database.book(&[large(2)], (0, position)).is_err());
    let sums = &database.ledger_sums().unwrap().accounts[&AccountId(1)];
    assert_eq!(
        (sums.ledger.requests, sums.ledger.amount, sums.balance),
        (1, NanoUsd(i64::MAX - 1), NanoUsd(i64::MAX - 1))
    );
}

#[test]
fn a_second_server_is_refused_the_folder() {
    let (dir, store) = started();
    let second = Store::start(settings(dir.path()), house(), Arc::new(SystemClock));
    assert!(matches!(second, Err(StoreError::InUse { .. })));
    drop(store);
    drop(start(dir.path()));
}

/// T-63: several processes may start on an empty folder at once, and a start is quick.
#[test]
fn migrations_run_once_whoever_starts() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("flux.db");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| Database::open(&path, BUSY_TIMEOUT).unwrap());
        }
    });
    Database::open(&path, BUSY_TIMEOUT).unwrap();
    rusqlite::Connection::open(&path).unwrap().pragma_update(Option::<&str>::None, "user_version", 99).unwrap();
    assert!(matches!(Database::open(&path, BUSY_TIMEOUT), Err(DatabaseError::TooNew { found: 99, .. })));
}

/// After an upgrade the process before works on, whose first questions may come only then.
#[test]
fn a_running_process_uses_books_that_a_later_build_has_changed() {
    let (dir, store) = started();
    store.append(&charge(1)).unwrap();
    let path = dir.path().join("flux.db");
    rusqlite::Connection::open(&path).unwrap().pragma_update(Option::<&str>::None, "user_version", 99).unwrap();
    store.flush().unwrap();
    let account = charge(1).account;
    assert!(store.usage().charge(account, charge(1).request_id).unwrap().is_some());
    let feedback =
        super::feedback::Feedback { request_id: charge(1).request_id, quality: Quality::parse("1").unwrap() };
    assert!(store.give_feedback(account, &feedback).unwrap());
    store.stop();
    let again = Store::start(settings(dir.path()), house(), Arc::new(SystemClock));
    assert!(again.is_err(), "but a start on them is refused");
}

#[test]
fn first_keys_are_made_once() {
    let (dir, store) = started();
    assert!(store.bootstrap("default").unwrap().is_none());
    drop(store);
    let store = start(dir.path());
    assert!(store.bootstrap("default").unwrap().is_none());
    let keys = store.list_keys().unwrap();
    assert_eq!(keys.iter().map(|key| key.kind).collect::<Vec<_>>(), ["live", "test"]);
    assert_eq!(store.health().keys, 2);
}

fn named(name: &str) -> KeySettings {
    KeySettings { name: name.to_owned(), ..KeySettings::default() }
}

fn new_key(settings: &KeySettings) -> NewKey<'_> {
    NewKey { account: "default", settings, is_test: false, scheme: Scheme::Flux }
}

/// What a key is to the running server: `live`, `test`, `expired`, `revoked` or `unknown`.
fn standing(store: &Store, raw: &str) -> &'static str {
    let now = SystemClock.unix_ms();
    let directory = store.keys();
    let Found::Key(key) = directory.find(&KeyHash::of(raw.as_bytes()), now) else { return "unknown" };
    directory.touch(&key, now);
    match (key.revoked_at, key.settings.expires_at) {
        (Some(_), _) => "revoked",
        (None, Some(at)) if now >= at => "expired",
        (None, Some(_) | None) => key.kind.name(),
    }
}

/// Waits until the running server sees a change by another process. It takes a second at most where nothing else runs;
/// how fast the machine of a test is decides nothing.
fn before_long(mut is_so: impl FnMut() -> bool) {
    let start = SystemClock.now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(20), "not after 20 seconds");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// T-64: keys made, expired and revoked by another process act on the running server.
#[test]
fn keys_of_another_process_act_before_long() {
    let (dir, store) = started();
    let mut table = KeyTable::open_existing(&settings(dir.path())).unwrap();
    let now = SystemClock.unix_ms();
    let made = table.create(&new_key(&named("ci")), now).unwrap();
    let raw = made.raw.expose();
    assert!(raw.starts_with("sk-flux-") && raw.len() == 48, "{raw}");
    assert!(!format!("{made:?}").contains(raw));
    before_long(|| standing(&store, raw) == "live");
    let other = rusqlite::Connection::open(dir.path().join("flux.db")).unwrap();
    other.execute("UPDATE keys SET expires_at = ?1 WHERE id = ?2", [now.0.cast_signed(), made.entry.id.0]).unwrap();
    before_long(|| standing(&store, raw) == "expired");
    let revoked = table.revoke(&made.entry.prefix, now).unwrap();
    assert_eq!(revoked.standing(now), "revoked");
    before_long(|| standing(&store, raw) == "revoked");
}

#[test]
fn keys_made_by_the_server_act_at_once() {
    let (_dir, store) = started();
    let made = store.create_key(&NewKey { is_test: true, ..new_key(&named("mine")) }).unwrap();
    assert_eq!(standing(&store, made.raw.expose()), "test");
    let revoked = store.revoke_key(made.raw.expose()).unwrap();
    assert_eq!(revoked.id, made.entry.id);
    assert_eq!(standing(&store, made.raw.expose()), "revoked");
    assert!(matches!(store.revoke_key("sk-flux-"), Err(StoreError::SeveralKeys { .. })));
    for nobody in ["", "99", "sk-flux-zzzzzzzz", "sk-flux-zzzzzzzzzzzzzzzzzzzzzzzzzz"] {
        assert!(matches!(store.revoke_key(nobody), Err(StoreError::NoSuchKey { .. })), "{nobody}");
    }
}

#[test]
fn the_bound_of_keys_holds() {
    let dir = tempfile::tempdir().unwrap();
    let few = |keys_max| Settings { keys_max, ..settings(dir.path()) };
    let store = Store::start(few(3), house(), Arc::new(SystemClock)).unwrap();
    store.bootstrap("default").unwrap();
    store.create_key(&new_key(&named("third"))).unwrap();
    let refused = store.create_key(&new_key(&named("fourth")));
    assert!(matches!(refused, Err(StoreError::Database(DatabaseError::KeysFull { keys_max: 3 }))));
    drop(store);
    assert!(matches!(Store::start(few(2), house(), Arc::new(SystemClock)), Err(StoreError::Directory(_))));
    drop(Store::start(few(3), house(), Arc::new(SystemClock)).unwrap());
}

#[test]
fn uses_of_keys_are_written_down() {
    let (dir, store) = started();
    let made = store.create_key(&new_key(&named("used"))).unwrap();
    assert_eq!(standing(&store, made.raw.expose()), "live");
    store.stop();
    let listed = KeyTable::open_existing(&settings(dir.path())).unwrap().list().unwrap();
    let used: Vec<_> = listed.iter().filter(|key| key.last_used_at.is_some()).map(|key| key.id).collect();
    assert_eq!(used, [made.entry.id]);
}

/// T-68: a flood of unknown keys asks the database nothing.
#[test]
fn unknown_keys_cost_no_database_read() {
    let (dir, store) = started();
    store.stop();
    // With the database gone and every thread ended, only memory can answer.
    for file in ["flux.db", "flux.db-wal", "flux.db-shm"] {
        let _ = std::fs::remove_file(dir.path().join(file));
    }
    for n in 0..10_000 {
        assert_eq!(standing(&store, &format!("sk-flux-{n}")), "unknown");
    }
}

#[test]
fn keys_go_stale_when_nobody_looks() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(TestClock::new(UnixMs(1_790_000_000_000)));
    let store = Store::start(settings(dir.path()), house(), Arc::<TestClock>::clone(&clock)).unwrap();
    store.stop();
    assert!(!store.keys_are_stale(clock.now()));
    clock.advance(Duration::from_secs(5));
    assert!(!store.keys_are_stale(clock.now()));
    clock.advance(Duration::from_millis(1));
    assert!(store.keys_are_stale(clock.now()));
}

#[test]
fn keys_that_cannot_be_read_go_stale_and_say_why() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(TestClock::new(UnixMs(1_790_000_000_000)));
    let store = Store::start(settings(dir.path()), house(), Arc::<TestClock>::clone(&clock)).unwrap();
    rusqlite::Connection::open(dir.path().join("flux.db"))
        .unwrap()
        .execute_batch("ALTER TABLE keys RENAME TO gone")
        .unwrap();
    clock.advance(Duration::from_secs(2));
    before_long(|| store.health().keys_failures > 0);
    assert!(store.keys_are_stale(clock.now()));
    assert!(store.health().last_error.is_some());
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Append(u64),
    Flush,
    Restart,
    /// The end of the process with whatever state the threads are in.
    Tear(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (1_u64..40).prop_map(Step::Append),
        1 => Just(Step::Flush),
        1 => Just(Step::Restart),
        1 => (0_usize..200).prop_map(Step::Tear),
    ];
    proptest::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// However appends, bookings, restarts and torn writes follow each other: the ledger is the set
    /// of what was appended, and the balance is its sum.
    #[test]
    fn the_ledger_is_what_was_appended(steps in steps()) {
        let (dir, store) = started();
        let mut running = Some(store);
        let mut appended = std::collections::BTreeSet::new();
        for step in steps {
            let store = running.take().unwrap_or_else(|| start(dir.path()));
            match step {
                Step::Append(n) => {
                    store.append(&charge(n)).unwrap();
                    appended.insert(n);
                }
                Step::Flush => store.flush().unwrap(),
                Step::Restart => continue,
                Step::Tear(bytes) => {
                    let end = store.journal.end().segment;
                    drop(store);
                    let path = journal::read::segment_path(&dir.path().join("journal"), end);
                    let torn = [std::fs::read(&path).unwrap(), vec![0x11; bytes]].concat();
                    std::fs::write(path, torn).unwrap();
                    continue;
                }
            }
            running = Some(store);
        }
        drop(running);
        let report = reconcile(dir.path()).unwrap();
        prop_assert!(report.adds_up(), "{:#?}", report);
        prop_assert_eq!(report.pending_records, 0);
        let sum: u64 = appended.iter().sum();
        prop_assert_eq!(report.accounts[0].rows, i64::try_from(appended.len()).unwrap());
        prop_assert_eq!(report.accounts[0].balance, NanoUsd(sum.cast_signed()));
    }
}
