//! Funds against their law, under any order of events.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;

const DAY_MS: u64 = 86_400_000;
/// 2026-01-31, a billing date that not every month has.
const BEGAN: UnixMs = UnixMs(1_769_817_600_000);

fn terms(included: i64, limit: Option<i64>, reset: Reset) -> Terms {
    Terms { included: NanoUsd(included), limit: limit.map(NanoUsd), reset, anchor: BEGAN }
}

fn funds(terms: Terms, packs: i64) -> Arc<Funds> {
    Arc::new(Funds::new(terms, Spent::default(), NanoUsd(packs), BEGAN))
}

fn reserve(funds: &Arc<Funds>, amount: i64, at: UnixMs) -> Result<Reservation, Short> {
    funds.reserve(NanoUsd(amount), NanoUsd(amount), at)
}

fn draw(charged: i64, from_packs: i64, overage: i64) -> Draw {
    Draw { charged: NanoUsd(charged), from_packs: NanoUsd(from_packs), overage: NanoUsd(overage) }
}

#[test]
fn what_is_included_is_spent_first_then_packs_then_beyond() {
    let funds = funds(terms(100, Some(150), Reset::BillingDate), 30);
    for (amount, drawn) in [(80, draw(80, 0, 0)), (40, draw(40, 20, 0)), (40, draw(40, 10, 30)), (20, draw(20, 0, 20))]
    {
        assert_eq!(reserve(&funds, amount, BEGAN).unwrap().settle(NanoUsd(amount)), drawn, "{amount}");
    }
    let short = reserve(&funds, 1, BEGAN).unwrap_err();
    assert_eq!(short.available, NanoUsd::ZERO);
    assert_eq!(short.resets_at, Some(funds.standing(BEGAN).period.end));
}

#[test]
fn dropping_gives_back_and_settling_gives_the_rest_back() {
    let funds = funds(terms(0, Some(100), Reset::CalendarMonth), 0);
    drop(reserve(&funds, 100, BEGAN).unwrap());
    let held = reserve(&funds, 100, BEGAN).unwrap();
    assert!(reserve(&funds, 1, BEGAN).is_err());
    assert_eq!(held.settle(NanoUsd(60)), draw(60, 0, 60));
    assert_eq!(funds.available(BEGAN), Some(NanoUsd(40)));
    assert_eq!(funds.standing(BEGAN).held, NanoUsd::ZERO);
}

#[test]
fn a_part_is_held_where_a_part_will_do() {
    let funds = funds(terms(100, Some(100), Reset::Daily), 0);
    let held = funds.reserve(NanoUsd(500), NanoUsd(40), BEGAN).unwrap();
    assert_eq!(held.amount(), NanoUsd(100));
    assert_eq!(held.settle(NanoUsd(70)), draw(70, 0, 0));
    assert!(funds.reserve(NanoUsd(500), NanoUsd(40), BEGAN).is_err());
    // What costs nothing is never refused.
    assert!(reserve(&funds, 30, BEGAN).unwrap().settle(NanoUsd(30)) == draw(30, 0, 0));
    assert!(reserve(&funds, 0, BEGAN).is_ok());
}

#[test]
fn a_request_over_midnight_is_settled_in_its_own_period() {
    let funds = funds(terms(100, Some(100), Reset::Daily), 50);
    let late = UnixMs(BEGAN.0 + DAY_MS - 1);
    let early = UnixMs(BEGAN.0 + DAY_MS);
    let held = reserve(&funds, 120, late).unwrap();
    // The new day is whole, and of the packs remains what the old day does not need.
    assert_eq!(funds.available(early), Some(NanoUsd(130)));
    assert_eq!(held.settle(NanoUsd(110)), draw(110, 10, 0));
    assert_eq!(funds.available(early), Some(NanoUsd(140)));
    assert_eq!(funds.standing(early).spent, Spent::default());
}

#[test]
fn an_undone_settlement_leaves_no_trace() {
    let funds = funds(terms(10, None, Reset::CalendarMonth), 5);
    let before = funds.standing(BEGAN);
    let drawn = reserve(&funds, 40, BEGAN).unwrap().settle(NanoUsd(40));
    assert_eq!(drawn, draw(40, 5, 25));
    funds.undo(&drawn, BEGAN);
    assert_eq!(funds.standing(BEGAN), before);
}

#[test]
fn other_terms_count_what_was_spent() {
    let funds = funds(terms(10, Some(10), Reset::CalendarMonth), 0);
    assert_eq!(reserve(&funds, 10, BEGAN).unwrap().settle(NanoUsd(10)), draw(10, 0, 0));
    funds.change_terms(terms(4, Some(20), Reset::CalendarMonth), BEGAN, |_| Spent::default());
    // What was booked as included stays that, also where less is included now.
    assert_eq!(funds.standing(BEGAN).spent, Spent { included: NanoUsd(10), ..Spent::default() });
    assert_eq!(funds.available(BEGAN), Some(NanoUsd(10)));
    let in_ledger = Spent { included: NanoUsd(1), ..Spent::default() };
    funds.change_terms(terms(4, Some(20), Reset::Daily), BEGAN, |_| in_ledger);
    assert_eq!(funds.available(BEGAN), Some(NanoUsd(19)));
}

#[test]
fn what_was_held_before_other_terms_is_given_back_after_them() {
    for reset in Reset::NAMES.map(|(_, reset)| reset) {
        let funds = funds(terms(100, Some(100), Reset::CalendarMonth), 0);
        let (held, dropped) = (reserve(&funds, 30, BEGAN).unwrap(), reserve(&funds, 50, BEGAN).unwrap());
        funds.change_terms(terms(100, Some(100), reset), BEGAN, |_| Spent::default());
        assert_eq!(funds.available(BEGAN), Some(NanoUsd(20)), "{reset:?}");
        drop(dropped);
        assert_eq!(held.settle(NanoUsd(10)), draw(10, 0, 0));
        let standing = funds.standing(BEGAN);
        assert_eq!((standing.held, standing.available), (NanoUsd::ZERO, Some(NanoUsd(90))), "{reset:?}");
    }
}

#[test]
fn a_thousand_at_once_do_not_pass_the_cap() {
    let funds = funds(terms(1_000, Some(1_000), Reset::CalendarMonth), 0);
    let charged: i64 = std::thread::scope(|scope| {
        let spend = || -> i64 {
            (0..125).filter_map(|_| reserve(&funds, 7, BEGAN).ok()).map(|held| held.settle(NanoUsd(5)).charged.0).sum()
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(spend)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    // What fits is never refused for ever: the last fives are spent one by one.
    let rest: i64 =
        std::iter::from_fn(|| reserve(&funds, 7, BEGAN).ok()).map(|held| held.settle(NanoUsd(5)).charged.0).sum();
    assert!(charged + rest > 1_000 - 7 && charged + rest <= 1_000, "{charged} and {rest}");
}

/// One thing that happens.
#[derive(Clone, Debug)]
enum Event {
    Reserve { bound: i64, least: i64 },
    Raise { which: usize, to: i64 },
    Settle { which: usize, charged: i64 },
    Drop { which: usize },
    Pack(i64),
    Pass { hours: u64 },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0_i64..200, 0_i64..200).prop_map(|(one, other)| Event::Reserve { bound: one.max(other), least: one.min(other) }),
        1 => (any::<usize>(), 0_i64..400).prop_map(|(which, to)| Event::Raise { which, to }),
        3 => (any::<usize>(), 0_i64..400).prop_map(|(which, charged)| Event::Settle { which, charged }),
        1 => any::<usize>().prop_map(|which| Event::Drop { which }),
        1 => (0_i64..100).prop_map(Event::Pack),
        2 => (0_u64..60 * 24).prop_map(|hours| Event::Pass { hours }),
    ]
}

/// The sums by the book: per period what was charged, and all packs.
#[derive(Default)]
struct Model {
    charged: std::collections::BTreeMap<u64, Draw>,
    packs: i64,
}

impl Model {
    fn add(&mut self, period: Period, drawn: Draw) {
        let sum = self.charged.entry(period.start.0).or_default();
        sum.charged.0 += drawn.charged.0;
        sum.from_packs.0 += drawn.from_packs.0;
        sum.overage.0 += drawn.overage.0;
    }
}

fn play(terms: Terms, events: Vec<Event>) -> Result<(), TestCaseError> {
    let funds = funds(terms, 0);
    let mut open: Vec<Reservation> = Vec::new();
    let (mut at, mut model) = (BEGAN, Model::default());
    // Of the periods in which something was asked, the last two are kept.
    let mut kept = [Period::around(at, terms.reset, terms.anchor); 2];
    for event in events {
        let period = |at| Period::around(at, terms.reset, terms.anchor);
        match event {
            Event::Reserve { bound, least } => {
                let before = funds.available(at);
                let reserved = funds.reserve(NanoUsd(bound), NanoUsd(least), at);
                let fits = before.is_none_or(|before| before.0 >= least.max(1) || bound == 0 && before.0 >= 0);
                prop_assert_eq!(reserved.is_ok(), fits, "{:?} for {}..{}", before, least, bound);
                open.extend(reserved);
            }
            Event::Raise { which, to } if !open.is_empty() => {
                let index = which % open.len();
                open[index].raise_to(NanoUsd(to));
            }
            Event::Settle { which, charged } if !open.is_empty() => {
                let held = open.swap_remove(which % open.len());
                let (amount, began) = (held.amount(), held.opened);
                let drawn = held.settle(NanoUsd(charged));
                if kept.contains(&began) {
                    prop_assert_eq!(drawn.charged, amount.min(NanoUsd(charged)));
                    model.add(began, drawn);
                } else {
                    model.add(period(at), drawn);
                }
            }
            Event::Drop { which } if !open.is_empty() => drop(open.swap_remove(which % open.len())),
            Event::Pack(amount) => {
                funds.add_pack(NanoUsd(amount));
                model.packs += amount;
            }
            Event::Pass { hours } => {
                at.0 += hours * 3_600_000;
                funds.available(at);
                if kept[1] != period(at) {
                    kept = [kept[1], period(at)];
                }
            }
            Event::Raise { .. } | Event::Settle { .. } | Event::Drop { .. } => {}
        }
        for (start, Draw { charged, from_packs, overage }) in &model.charged {
            let own = charged.0 - from_packs.0;
            prop_assert!(terms.limit.is_none_or(|limit| own <= limit.0), "period {} spent {}", start, own);
            prop_assert!(own - overage.0 <= terms.included.0);
        }
        let packs_used: i64 = model.charged.values().map(|drawn| drawn.from_packs.0).sum();
        prop_assert_eq!(funds.standing(at).packs.0, model.packs - packs_used);
        prop_assert!(packs_used <= model.packs);
        let now = model.charged.get(&period(at).start.0).copied().unwrap_or_default();
        let spent = funds.standing(at).spent;
        prop_assert_eq!((spent.overage, spent.packs), (now.overage, now.from_packs));
        prop_assert_eq!(spent.included.0, now.charged.0 - now.from_packs.0 - now.overage.0);
    }
    drop(open);
    prop_assert_eq!(funds.standing(at).held, NanoUsd::ZERO);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn settled_and_held_never_pass_the_limit(
        included in 0_i64..300,
        beyond in proptest::option::of(0_i64..300),
        which in 0_usize..4,
        events in proptest::collection::vec(event(), 0..80),
    ) {
        let reset = Reset::NAMES[which].1;
        play(terms(included, beyond.map(|beyond| included + beyond), reset), events)?;
    }
}
