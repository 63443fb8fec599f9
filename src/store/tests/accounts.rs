//! Accounts as they are managed by another process, and what a running server makes of it.

use super::super::accounts::{AccountEntry, AccountTable, Change, NewAccount, NewPack, Setting};
use super::*;
use crate::accounts::account::AccountState;
use crate::accounts::key::Budget;
use crate::base::period::Reset;
use crate::base::quality::Quality;
use crate::base::tariff::{Overage, RateLimits, Unit};
use crate::base::wish::{AutoWish, LaneWish};

const DAY: Duration = Duration::from_hours(24);

fn tariff(id: &str, included: i64) -> Arc<Tariff> {
    Arc::new(Tariff {
        id: id.into(),
        name: id.into(),
        unit: Unit::Credits,
        fee: NanoUsd::ZERO,
        included: NanoUsd(included),
        overage: Overage::Refused,
        ceiling: None,
        reset: Reset::BillingDate,
        limits: RateLimits { requests_per_minute: Some(7), ..RateLimits::default() },
    })
}

fn tariffs(small: i64) -> Arc<Tariffs> {
    let house = Arc::new(Tariff::unbounded());
    Arc::new(Tariffs::new(vec![Arc::clone(&house), tariff("small", small), tariff("large", 1_000)], house))
}

fn open(table: &mut AccountTable, name: &str, tariff: &str) -> AccountEntry {
    table.create(&NewAccount { name, tariff, cap: None, auto: AutoWish::default() }, SystemClock.unix_ms()).unwrap()
}

/// A running store, an account on `small` with a key, and the table of another process.
fn with_account() -> (tempfile::TempDir, Store, AccountTable, Arc<AccountState>) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::start(settings(dir.path()), tariffs(100), Arc::new(SystemClock)).unwrap();
    let mut table = AccountTable::open_existing(dir.path()).unwrap();
    let id = open(&mut table, "ada", "small").id;
    before_long(|| store.accounts().get(id).is_some());
    let account = store.accounts().get(id).unwrap();
    (dir, store, table, account)
}

fn available(account: &AccountState) -> Option<i64> {
    account.funds().available(SystemClock.unix_ms()).map(|available| available.0)
}

#[test]
fn accounts_are_opened_found_and_listed() {
    let dir = tempfile::tempdir().unwrap();
    let mut table = AccountTable::open(dir.path()).unwrap();
    let first = open(&mut table, "ada", "");
    let second = table
        .create(
            &NewAccount { name: "7", tariff: "small", cap: Some(NanoUsd(5)), auto: AutoWish::default() },
            SystemClock.unix_ms(),
        )
        .unwrap();
    assert_eq!(table.list().unwrap(), [first.clone(), second.clone()]);
    assert_eq!((&*second.tariff, second.cap, second.standing()), ("small", Some(NanoUsd(5)), "open"));
    for (which, found) in [("ada", &first), ("1", &first), ("7", &second), ("2", &second)] {
        assert_eq!(&table.find(which).unwrap(), found, "{which}");
    }
    for which in ["", "3", "ad", "ADA"] {
        assert!(matches!(table.find(which), Err(StoreError::NoSuchAccount { .. })), "{which}");
    }
    let again = |name| NewAccount { name, tariff: "", cap: None, auto: AutoWish::default() };
    assert!(matches!(table.create(&again("ada"), UnixMs(1)), Err(StoreError::AccountExists { .. })));
    for name in ["", "a\nb", &"x".repeat(129)] {
        assert!(matches!(table.create(&again(name), UnixMs(1)), Err(StoreError::BadName { .. })), "{name}");
    }
    assert!(AccountTable::open_existing(&dir.path().join("elsewhere")).is_err());
}

#[test]
fn tariff_cap_and_packs_of_another_process_act_before_long() {
    let (_dir, store, mut table, account) = with_account();
    assert_eq!(available(&account), Some(100));
    assert_eq!(account.contract().tariff.limits.requests_per_minute, Some(7));
    table.change("ada", Change { cap: Setting::Set(NanoUsd(30)), ..Change::default() }).unwrap();
    before_long(|| available(&account) == Some(30));
    let (quality, lane) = (Quality::of_thousandths(250).unwrap(), LaneWish::AtMost(1));
    let wishes = Change { quality: Setting::Set(quality), lane: Setting::Set(lane), ..Change::default() };
    let entry = table.change("ada", wishes).unwrap();
    assert_eq!((entry.auto, entry.cap), (AutoWish { quality: Some(quality), lane: Some(lane) }, Some(NanoUsd(30))));
    before_long(|| account.contract().auto == entry.auto);
    let entry = table.change("ada", Change { quality: Setting::Remove, ..Change::default() }).unwrap();
    assert_eq!(entry.auto, AutoWish { quality: None, lane: Some(lane) });
    table.change("ada", Change { tariff: Some("large"), cap: Setting::Remove, ..Change::default() }).unwrap();
    before_long(|| available(&account) == Some(1_000));
    let pack = NewPack { amount: NanoUsd(50), price: NanoUsd(9), note: "invoice 4" };
    let entry = table.add_pack("ada", &pack, UnixMs(5)).unwrap();
    assert_eq!((entry.packs_bought, entry.packs_left()), (NanoUsd(50), NanoUsd(50)));
    before_long(|| available(&account) == Some(1_050));
    let packs = table.packs(account.id).unwrap();
    assert_eq!(
        (packs.len(), packs[0].price, &*packs[0].note, packs[0].bought_at),
        (1, NanoUsd(9), "invoice 4", UnixMs(5))
    );
    assert_eq!(store.health().last_error, None);
}

#[test]
fn tariffs_that_are_loaded_anew_act_and_one_that_is_gone_refuses() {
    let (dir, store, mut table, account) = with_account();
    let held = account.funds().reserve(NanoUsd(40), NanoUsd(40), SystemClock.unix_ms()).unwrap();
    store.change_tariffs(tariffs(60)).unwrap();
    assert_eq!(available(&account), Some(20), "what is held stays held");
    store.change_tariffs(house()).unwrap();
    assert_eq!(account.contract().tariff.id, "small".into());
    assert!(available(&account).unwrap() <= 0);
    let refused = account.funds().reserve(NanoUsd(1), NanoUsd(1), SystemClock.unix_ms());
    assert_eq!(refused.unwrap_err().available, NanoUsd::ZERO);
    drop(held);
    assert_eq!(available(&account), Some(0));
    // What is paid already is not taken away.
    table.add_pack("ada", &NewPack { amount: NanoUsd(5), price: NanoUsd(1), note: "" }, UnixMs(5)).unwrap();
    before_long(|| available(&account) == Some(5));
    drop(store);
    let store = Store::start(settings(dir.path()), house(), Arc::new(SystemClock)).unwrap();
    assert_eq!(available(&store.accounts().get(account.id).unwrap()), Some(5), "the same after a restart");
    store.change_tariffs(tariffs(60)).unwrap();
    assert_eq!(available(&store.accounts().get(account.id).unwrap()), Some(65));
}

/// A start reads keys and sums by two threads: none is left out, none is counted twice.
#[test]
fn every_key_and_what_it_spent_comes_in_at_a_start() {
    const AT: UnixMs = UnixMs(1_790_000_000_000);
    let dir = tempfile::tempdir().unwrap();
    let start = || Store::start(settings(dir.path()), house(), Arc::new(TestClock::new(AT))).unwrap();
    let store = start();
    let resets = Reset::NAMES.map(|(_, reset)| reset).into_iter().filter(|reset| *reset != Reset::BillingDate);
    let budgets = resets.map(|reset| Some(Budget { amount: NanoUsd(1_000), reset })).chain([None]);
    let keys: Vec<_> = (0_i64..60)
        .zip(budgets.collect::<Vec<_>>().into_iter().cycle())
        .map(|(n, budget)| {
            let settings = KeySettings { budget, ..named("k") };
            let account = ["one", "two", "three"][usize::try_from(n % 3).unwrap()];
            let made = store.create_key(&NewKey { account, ..new_key(&settings) }).unwrap();
            let draw = Draw { charged: NanoUsd(n), overage: NanoUsd(n), ..Draw::default() };
            let (key, account) = (made.entry.id, made.entry.account_id);
            let id = RequestId::new(AT, n.unsigned_abs().into());
            store.append(&Charge { request_id: id, account, key, at: AT, draw, ..charge(1) }).unwrap();
            (KeyHash::of(made.raw.expose().as_bytes()), account, n)
        })
        .collect();
    store.flush().unwrap();
    drop(store);
    let store = start();
    assert_eq!(store.keys().len(), 60);
    for (hash, account, n) in &keys {
        let Found::Key(key) = store.keys().find(hash, AT) else { panic!("key {n} is not known") };
        let spent = key.budget().map(|budget| budget.standing(AT).spent.total());
        assert_eq!(spent, key.settings.budget.map(|_| NanoUsd(*n)), "{n}");
        let of_account = keys.iter().filter(|(_, of, _)| of == account).map(|(_, _, n)| n).sum();
        assert_eq!(key.account.funds().standing(AT).spent.overage, NanoUsd(of_account));
    }
}

#[test]
fn a_closed_account_loses_its_keys_at_once_and_gets_nothing_new() {
    let (dir, store, mut table, _) = with_account();
    let settings = named("laptop");
    let new = NewKey { account: "ada", ..new_key(&settings) };
    let keys: Vec<_> = (0..3).map(|_| store.create_key(&new).unwrap()).collect();
    assert_eq!(table.find("ada").unwrap().keys, 3);
    let closed = table.close("ada", UnixMs(1_000)).unwrap();
    assert_eq!((closed.standing(), closed.keys, closed.closed_at), ("closed", 0, Some(UnixMs(1_000))));
    before_long(|| keys.iter().all(|key| standing(&store, key.raw.expose()) == "revoked"));
    assert!(store.create_key(&new).is_err());
    let pack = NewPack { amount: NanoUsd(5), price: NanoUsd(1), note: "" };
    assert!(matches!(table.add_pack("ada", &pack, UnixMs(5)), Err(StoreError::AccountClosed { .. })));
    let change = Change { tariff: Some("large"), ..Change::default() };
    assert!(matches!(table.change("ada", change), Err(StoreError::AccountClosed { .. })));
    assert_eq!(table.close("ada", UnixMs(2_000)).unwrap(), closed, "closing twice changes nothing");
    let other = rusqlite::Connection::open(dir.path().join("flux.db")).unwrap();
    for sql in [
        "UPDATE accounts SET closed_at = NULL",
        "INSERT INTO packs (account_id, bought_at, amount_nano, price_nano, note) VALUES (1, 1, 1, 1, '')",
    ] {
        assert!(other.execute_batch(sql).is_err(), "{sql}");
    }
}

/// Of a person nothing is left in any file, of the sums everything.
#[test]
fn what_tells_of_a_person_goes_30_days_after_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(TestClock::new(UnixMs(1_790_000_000_000)));
    let quick = Settings { chores_every: Duration::from_millis(1), ..settings(dir.path()) };
    let store = Store::start(quick, house(), Arc::<TestClock>::clone(&clock)).unwrap();
    let (name, key_name, note) = ("Augusta Ada King", "adas-laptop", "invoice for Ada");
    let mut table = AccountTable::open_existing(dir.path()).unwrap();
    let id = open(&mut table, name, "").id;
    open(&mut table, "somebody else", "");
    let settings = named(key_name);
    let key = store.create_key(&NewKey { account: name, ..new_key(&settings) }).unwrap().entry.id;
    table.add_pack(name, &NewPack { amount: NanoUsd(5), price: NanoUsd(1), note }, UnixMs(5)).unwrap();
    store.append(&Charge { account: id, key, ..charge(9) }).unwrap();
    store.flush().unwrap();
    table.close(name, clock.unix_ms()).unwrap();
    clock.advance(DAY * 30);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(table.find(name).unwrap().standing(), "closed", "not before the 30 days are over");
    clock.advance(Duration::from_millis(1));
    before_long(|| table.find("1").unwrap().standing() == "purged");
    let entry = table.find("1").unwrap();
    assert!(entry.name.starts_with("deleted-1-"), "{}", entry.name);
    assert_eq!((entry.charged, entry.packs_bought, entry.keys), (NanoUsd(9), NanoUsd(5), 0));
    assert!(reconcile(dir.path()).unwrap().adds_up());
    assert_eq!(table.find("somebody else").unwrap().standing(), "open");
    drop((table, store));
    for entry in std::fs::read_dir(dir.path()).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
        let bytes = std::fs::read(entry.path()).unwrap();
        for personal in [name, key_name, note] {
            let is_there = bytes.windows(personal.len()).any(|part| part == personal.as_bytes());
            assert!(!is_there, "{personal} is left in {}", entry.path().display());
        }
    }
}

/// The books of the build before are taken on while it still writes: what it does not know is empty, or stays.
#[test]
fn the_build_before_changes_keys_on_that_are_bound_to_providers() {
    let dir = tempfile::tempdir().unwrap();
    let before = rusqlite::Connection::open(dir.path().join("flux.db")).unwrap();
    before.busy_timeout(BUSY_TIMEOUT).unwrap();
    for step in [
        include_str!("../migrations/0001_accounts_keys_ledger.sql"),
        include_str!("../migrations/0002_tariffs_budgets_rollups.sql"),
        include_str!("../migrations/0003_auto_wishes.sql"),
        include_str!("../migrations/0004_kinds_feedback.sql"),
    ] {
        before.execute_batch(step).unwrap();
    }
    before.pragma_update(Option::<&str>::None, "user_version", 4).unwrap();
    before.execute_batch("INSERT INTO accounts (name, created_at) VALUES ('default', 1)").unwrap();
    let add = |raw: &str| {
        let row =
            "INSERT INTO keys (account_id, hash, prefix, kind, created_at, name) VALUES (1, ?1, ?2, 'live', 1, '')";
        before.execute(row, rusqlite::params![KeyHash::of(raw.as_bytes()).0, &raw[..16]]).unwrap();
    };
    let rename = |name: &str| {
        let update = "UPDATE keys SET name = ?1, expires_at = NULL, scope = 'inference', allowed = '',
            requests_per_second = NULL, requests_per_minute = NULL, tokens_per_minute = NULL, concurrent = NULL,
            budget_nano = NULL, budget_reset = 'never', shows_balance = 0, quality_milli = NULL, auto_lane = NULL
            WHERE id = 1";
        before.execute(update, [name]).unwrap();
    };
    let (first, second) = ("sk-flux-0123456789abcdef-first", "sk-flux-0123456789abcdef-second");
    add(first);
    let store = start(dir.path());
    let settings_of = |raw: &str| match store.keys().find(&KeyHash::of(raw.as_bytes()), UnixMs(2)) {
        Found::Key(key) => Some(key.settings.clone()),
        Found::UnknownNews | Found::UnknownAgain => None,
    };
    assert_eq!(settings_of(first), Some(named("")), "any provider");
    let bounds = ProviderBounds {
        only: vec!["groq".into(), "xai".into()],
        ignore: vec!["xai".into()],
        region: Some("eu".into()),
    }
    .kept();
    let changed = store.change_key("1".into(), |settings| settings.providers = bounds.clone()).unwrap();
    assert_eq!(changed.settings, KeySettings { providers: bounds.clone(), ..named("") });
    rename("of the build before");
    before_long(|| {
        settings_of(first) == Some(KeySettings { providers: bounds.clone(), ..named("of the build before") })
    });
    add(second);
    before_long(|| settings_of(second) == Some(named("")));
    // The new columns count as changes.
    before.execute("UPDATE keys SET providers_ignored = 'a,,b' WHERE id = 2", []).unwrap();
    let ignore = vec!["a".into(), "b".into()];
    let bounds_of_second = || settings_of(second).and_then(|settings| settings.providers).map(|bounds| *bounds);
    before_long(|| bounds_of_second().is_some_and(|bounds| bounds.ignore == ignore));
    before.execute("UPDATE keys SET providers_only = '[\"groq\"]' WHERE id = 2", []).unwrap();
    before_long(|| bounds_of_second().is_some_and(|bounds| bounds.only == ["[\"groq\"]".into()]));
    drop(store);
    assert_eq!(Database::open(&dir.path().join("flux.db"), BUSY_TIMEOUT).unwrap().last_key_change().unwrap(), 6);
}
