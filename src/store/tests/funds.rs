//! T-27: what may be spent is the same after a restart, whatever happened before; and the sums of usage are the ledger's.

use std::collections::BTreeMap;

use super::super::accounts::{AccountTable, Change, NewAccount, NewPack, Setting};
use super::*;
use crate::accounts::funds::Standing;
use crate::accounts::key::{Budget, KeyState};
use crate::base::period::Reset;
use crate::base::tariff::{Overage, RateLimits, Unit};
use crate::base::wish::AutoWish;

/// 2026-01-31 12:00 UTC: a billing date that not every month has.
const BEGAN: UnixMs = UnixMs(1_769_860_800_000);
const HOUR: Duration = Duration::from_hours(1);

fn tariff(id: &str, included: i64, overage: Overage, ceiling: Option<i64>, reset: Reset) -> Arc<Tariff> {
    Arc::new(Tariff {
        id: id.into(),
        name: id.into(),
        unit: Unit::Usd,
        fee: NanoUsd::ZERO,
        included: NanoUsd(included),
        overage,
        ceiling: ceiling.map(NanoUsd),
        reset,
        limits: RateLimits::default(),
    })
}

const TARIFFS: [&str; 3] = ["free", "power", "payg"];

fn tariffs() -> Arc<Tariffs> {
    let house = Arc::new(Tariff::unbounded());
    let all = vec![
        Arc::clone(&house),
        tariff("free", 100, Overage::Refused, None, Reset::CalendarMonth),
        tariff("power", 300, Overage::PerCredit(NanoUsd(3_000_000)), None, Reset::BillingDate),
        tariff("payg", 0, Overage::AtRates, Some(500), Reset::CalendarMonth),
    ];
    Arc::new(Tariffs::new(all, house))
}

/// The budget of each key; the first has none.
const BUDGETS: [Option<(i64, Reset)>; 4] =
    [None, Some((40, Reset::Daily)), Some((150, Reset::CalendarMonth)), Some((400, Reset::Never))];

/// A store that can be started again, an account with four keys, and everything that happens to it.
struct World {
    dir: tempfile::TempDir,
    clock: Arc<TestClock>,
    /// Always there but in the middle of a restart.
    store: Option<Store>,
    keys: Vec<KeyHash>,
    requests: u64,
}

impl World {
    fn new(tariff: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(TestClock::new(BEGAN));
        AccountTable::open(dir.path())
            .unwrap()
            .create(&NewAccount { name: "ada", tariff, cap: None, auto: AutoWish::default() }, BEGAN)
            .unwrap();
        let store = Store::start(settings(dir.path()), tariffs(), Arc::<TestClock>::clone(&clock)).unwrap();
        let keys = BUDGETS.map(|budget| {
            let budget = budget.map(|(amount, reset)| Budget { amount: NanoUsd(amount), reset });
            let settings = KeySettings { budget, ..named("k") };
            let made = store.create_key(&NewKey { account: "ada", ..new_key(&settings) }).unwrap();
            KeyHash::of(made.raw.expose().as_bytes())
        });
        Self { dir, clock, store: Some(store), keys: keys.into(), requests: 0 }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn now(&self) -> UnixMs {
        self.clock.unix_ms()
    }

    fn key(&self, index: usize) -> Arc<KeyState> {
        match self.store().keys().find(&self.keys[index], self.now()) {
            Found::Key(key) => key,
            Found::UnknownNews | Found::UnknownAgain => panic!("key {index} is not known"),
        }
    }

    /// Spends from both purses as a request does, and books it.
    fn spend(&mut self, index: usize, amount: i64) {
        let (key, now) = (self.key(index), self.now());
        let mut amount = NanoUsd(amount);
        let mut held = Vec::new();
        for funds in key.budget().iter().chain([key.account.funds()]) {
            let Ok(reservation) = funds.reserve(amount, NanoUsd(1), now) else { return };
            amount = reservation.amount();
            held.push(reservation);
        }
        let draw = held.into_iter().map(|reservation| reservation.settle(amount)).last().unwrap();
        self.requests += 1;
        let request_id = RequestId::new(now, self.requests.into());
        let charge = Charge { request_id, account: key.account.id, key: key.id, at: now, draw, ..charge(1) };
        self.store().append(&charge).unwrap();
    }

    fn change(&self, work: impl FnOnce(&mut AccountTable)) {
        work(&mut AccountTable::open_existing(self.dir.path()).unwrap());
        self.store().take_in_keys();
        assert_eq!(self.store().health().last_error, None);
    }

    /// What may be spent now: of the account, and of each budget the period, its sum and what is left.
    fn standings(&self) -> (Standing, Vec<(Standing, NanoUsd)>) {
        let now = self.now();
        let account = self.key(0).account.funds().standing(now);
        let of_keys = (1..BUDGETS.len()).map(|index| {
            let standing = self.key(index).budget().unwrap().standing(now);
            // How the sum is split says nothing of a budget.
            let spent = NanoUsd(standing.spent.included.0 + standing.spent.overage.0);
            (Standing { spent: crate::accounts::funds::Spent::default(), ..standing }, spent)
        });
        (account, of_keys.collect())
    }

    fn restart(&mut self) {
        // The folder is the old store's until that is gone.
        drop(self.store.take());
        let clock = Arc::<TestClock>::clone(&self.clock);
        self.store = Some(Store::start(settings(self.dir.path()), tariffs(), clock).unwrap());
    }
}

#[derive(Clone, Debug)]
enum Event {
    Spend { key: usize, amount: i64 },
    Pass { hours: u32 },
    Pack(i64),
    Tariff(usize),
    Cap(Option<i64>),
    Restart,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (0..BUDGETS.len(), 1_i64..60).prop_map(|(key, amount)| Event::Spend { key, amount }),
        3 => (0_u32..24 * 20).prop_map(|hours| Event::Pass { hours }),
        1 => (1_i64..80).prop_map(Event::Pack),
        1 => (0..TARIFFS.len()).prop_map(Event::Tariff),
        1 => proptest::option::of(0_i64..400).prop_map(Event::Cap),
        2 => Just(Event::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn t27_a_restart_changes_nothing_that_may_be_spent(
        first in 0..TARIFFS.len(),
        events in proptest::collection::vec(event(), 1..40),
    ) {
        let mut world = World::new(TARIFFS[first]);
        for event in events.into_iter().chain([Event::Restart]) {
            match event {
                Event::Spend { key, amount } => world.spend(key, amount),
                Event::Pass { hours } => world.clock.advance(HOUR * hours),
                Event::Pack(amount) => world.change(|table| {
                    let pack = NewPack { amount: NanoUsd(amount), price: NanoUsd::ZERO, note: "" };
                    table.add_pack("ada", &pack, BEGAN).unwrap();
                }),
                Event::Tariff(index) => world.change(|table| {
                    table.change("ada", Change { tariff: Some(TARIFFS[index]), ..Change::default() }).unwrap();
                }),
                Event::Cap(cap) => world.change(|table| {
                    table.change("ada", Change { cap: cap.map_or(Setting::Remove, |cap| Setting::Set(NanoUsd(cap))), ..Change::default() }).unwrap();
                }),
                Event::Restart => {
                    let before = world.standings();
                    world.restart();
                    prop_assert_eq!(world.standings(), before);
                }
            }
        }
        let report = reconcile(world.dir.path()).unwrap();
        prop_assert!(report.adds_up(), "{:#?}", report);
    }
}

#[test]
fn t27_included_overage_packs_and_budgets_survive_a_restart_over_a_billing_date() {
    let mut world = World::new("power");
    world.change(|table| {
        let pack = NewPack { amount: NanoUsd(70), price: NanoUsd::ZERO, note: "" };
        table.add_pack("ada", &pack, BEGAN).unwrap();
    });
    // 300 are included, 70 are in the pack, 30 go beyond.
    world.spend(3, 350);
    world.spend(2, 50);
    let figures = |world: &World| {
        let (account, keys) = world.standings();
        (
            account.spent.included.0,
            account.spent.overage.0,
            account.packs.0,
            keys.iter().map(|key| key.1.0).collect::<Vec<_>>(),
        )
    };
    assert_eq!(figures(&world), (300, 30, 0, vec![0, 50, 350]));
    world.restart();
    assert_eq!(figures(&world), (300, 30, 0, vec![0, 50, 350]));
    // February's last day is the billing date; the first of February was the month's end for the second key.
    world.clock.advance(HOUR * 24 * 27);
    assert_eq!(figures(&world), (300, 30, 0, vec![0, 0, 350]));
    world.restart();
    assert_eq!(figures(&world), (300, 30, 0, vec![0, 0, 350]));
    world.clock.advance(HOUR * 12);
    world.restart();
    assert_eq!(figures(&world), (0, 0, 0, vec![0, 0, 350]));
}

/// A budget that is lowered, raised or counted over another period by another process.
#[test]
fn a_budget_that_is_changed_counts_what_was_spent() {
    let mut world = World::new("payg");
    world.spend(2, 100);
    let id = world.key(2).id;
    for (budget, left) in [((120, Reset::CalendarMonth), 20), ((60, Reset::Daily), 0), ((400, Reset::Never), 300)] {
        let settings =
            KeySettings { budget: Some(Budget { amount: NanoUsd(budget.0), reset: budget.1 }), ..named("k") };
        Database::open(&world.dir.path().join("flux.db"), BUSY_TIMEOUT)
            .unwrap()
            .change_key(id, |_| Ok(settings))
            .unwrap();
        world.store().take_in_keys();
        assert_eq!(world.key(2).budget().unwrap().standing(world.now()).available, Some(NanoUsd(left)));
        let before = world.standings();
        world.restart();
        assert_eq!(world.standings(), before, "{budget:?}");
    }
}

/// What sums are kept by, and what is summed: requests, prompt, cached, answer, amount.
type Grouped = BTreeMap<(i64, i64, i64, String), [i64; 5]>;

fn grouped(dir: &Path, table: &str, period: &str) -> Grouped {
    let database = rusqlite::Connection::open(dir.join("flux.db")).unwrap();
    let sql = format!(
        "SELECT account_id, {period}, key_id, model, requests, input, cached, output, amount_nano FROM {table}"
    );
    let mut select = database.prepare(&sql).unwrap();
    let rows = select.query_map([], |row| {
        let figures = [row.get(4)?, row.get(5)?, row.get(6)?, row.get(7)?, row.get(8)?];
        Ok(((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?), figures))
    });
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    /// However charges fall on hours, keys and models, and however often some come again.
    #[test]
    fn roll_ups_are_the_sums_of_the_ledger(
        charges in proptest::collection::vec((0_u64..72, 1_i64..3, 0_usize..2, any::<bool>()), 0..80),
    ) {
        let (dir, store) = started();
        let (mut by_hour, mut by_day) = (Grouped::new(), Grouped::new());
        for (n, (hour, key, model, is_repeated)) in (1_u64..).zip(charges) {
            let at = UnixMs(BEGAN.0 + hour * 3_600_000 + n);
            let model = ["gpt-9", "claude-9"][model];
            let one = Charge { request_id: RequestId::new(at, n.into()), at, key: KeyId(key), model: model.into(), ..charge(n) };
            for _ in 0..=u8::from(is_repeated) {
                store.append(&one).unwrap();
            }
            let hour = (at.0 / 3_600_000).cast_signed();
            let n = n.cast_signed();
            for (groups, period) in [(&mut by_hour, hour), (&mut by_day, hour / 24)] {
                let sums = groups.entry((1, period, key, model.to_owned())).or_default();
                for (sum, figure) in sums.iter_mut().zip([1, n + 2 + 18, 2, 7, n]) {
                    *sum += figure;
                }
            }
        }
        store.flush().unwrap();
        prop_assert_eq!(grouped(dir.path(), "usage_hourly", "hour"), by_hour);
        prop_assert_eq!(grouped(dir.path(), "usage_daily", "day"), by_day);
        prop_assert!(reconcile(dir.path()).unwrap().adds_up());
    }
}

/// A data folder of before there were sums gets them from its rows.
#[test]
fn sums_are_made_for_what_was_booked_before_them() {
    let (dir, store) = started();
    for n in 1..=20 {
        store.append(&Charge { draw: Draw { charged: NanoUsd(3), ..Draw::default() }, ..charge(n) }).unwrap();
    }
    drop(store);
    let (hours, days) = (grouped(dir.path(), "usage_hourly", "hour"), grouped(dir.path(), "usage_daily", "day"));
    let migration = include_str!("../migrations/0002_tariffs_budgets_rollups.sql");
    let of_sums = migration.split(';').filter(|part| part.contains("INSERT INTO usage_"));
    let sql =
        of_sums.fold(String::from("DELETE FROM usage_hourly; DELETE FROM usage_daily;"), |sql, part| sql + part + ";");
    rusqlite::Connection::open(dir.path().join("flux.db")).unwrap().execute_batch(&sql).unwrap();
    assert_eq!(grouped(dir.path(), "usage_hourly", "hour"), hours);
    assert_eq!(grouped(dir.path(), "usage_daily", "day"), days);
    assert!(reconcile(dir.path()).unwrap().adds_up());
}
