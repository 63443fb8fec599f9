//! Laws of breaker, balancer and budget, under any order of events, with the time as an argument.

use std::sync::Arc;

use proptest::prelude::*;

use super::access::AccessLive;
use super::breaker::{self, Breaker, Pass, State, Verdict};
use super::budget::Budget;
use super::choice::{Candidate, choose};
use super::probes::Probed;
use super::*;

const BOUNDS: breaker::Bounds = breaker::Bounds {
    window_ms: 10_000,
    requests_min: 10,
    error_percent: 50,
    errors_in_a_row: 5,
    slow_percent: 50,
    cooldown_ms: 1_000,
    cooldown_max_ms: 60_000,
    trial_ms: 5_000,
};

/// What may happen to a breaker.
#[derive(Clone, Debug)]
enum Event {
    Pass(u64),
    Enter,
    /// The oldest attempt under way ends with this.
    Report(Verdict),
    /// It ends without a word about the provider.
    GiveBack,
    Ask(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0..3_000_u64).prop_map(Event::Pass),
        6 => Just(Event::Enter),
        2 => Just(Event::Report(Verdict::Good)),
        1 => Just(Event::Report(Verdict::Slow)),
        4 => Just(Event::Report(Verdict::Fault)),
        1 => Just(Event::GiveBack),
        1 => (0..20_000_u64).prop_map(Event::Ask),
    ]
}

proptest! {
    #[test]
    fn a_breaker_keeps_its_word(events in proptest::collection::vec(event(), 1..400), draw in any::<u64>()) {
        let breaker = Breaker::default();
        let mut now = Moment(1);
        let mut under_way: Vec<(Pass, Moment, u32)> = Vec::new();
        // What was on trial before it closed is on trial no more.
        let mut closings = 0;
        let mut asked = Moment(0);
        for (number, event) in (0_u64..).zip(events) {
            match event {
                Event::Pass(ms) => now = now.plus(ms),
                Event::Ask(ms) => {
                    asked = asked.max(now.plus(ms));
                    breaker.ask(now.plus(ms));
                }
                Event::Enter => match (breaker.state(now), breaker.enter(now, &BOUNDS)) {
                    (State::Closed, Ok(Pass::Usual)) => under_way.push((Pass::Usual, now, closings)),
                    (State::Due, Ok(pass @ Pass::Trial(_))) => {
                        let on_trial = under_way.iter().filter(|(pass, begun, of)|
                            matches!(pass, Pass::Trial(_)) && *of == closings && now < begun.plus(BOUNDS.trial_ms));
                        prop_assert_eq!(on_trial.count(), 0, "two trials at once");
                        prop_assert!(matches!(breaker.state(now), State::Trial { .. }), "it is on trial");
                        under_way.push((pass, now, closings));
                    }
                    (State::Open { until, .. } | State::Trial { until }, Err(_)) => prop_assert!(until > now),
                    (state, entered) => prop_assert!(false, "{:?} and {:?}", state, entered),
                },
                Event::Report(verdict) if !under_way.is_empty() => {
                    let (pass, ..) = under_way.remove(0);
                    let was = breaker.state(now);
                    let trips = breaker.trips();
                    let tripped = breaker.report(pass, verdict, now, (&BOUNDS, redrawn(draw ^ number)));
                    prop_assert_eq!(breaker.trips(), trips + u64::from(tripped));
                    if tripped {
                        prop_assert_ne!(verdict, Verdict::Good);
                        let State::Open { until, .. } = breaker.state(now) else {
                            return Err(TestCaseError::fail("it tripped and is not open"));
                        };
                        let (wait, floor) = (until.0 - now.0, asked.0.saturating_sub(now.0));
                        let most = BOUNDS.cooldown_max_ms.max(floor);
                        prop_assert!(wait >= floor.max(BOUNDS.cooldown_ms), "{} below the floor {}", wait, floor);
                        prop_assert!(wait <= most + most / 4, "{} above {}", wait, most);
                    }
                    if let (Pass::Trial(_), Verdict::Good, State::Trial { .. } | State::Due) = (pass, verdict, was) {
                        prop_assert_eq!(breaker.state(now), State::Closed);
                        closings += 1;
                    }
                }
                Event::GiveBack if !under_way.is_empty() => breaker.give_back(under_way.remove(0).0),
                Event::Report(_) | Event::GiveBack => {}
            }
        }
    }

    #[test]
    fn without_faults_and_late_tokens_it_never_opens(gaps in proptest::collection::vec(0..100_u64, 1..300)) {
        let breaker = Breaker::default();
        let mut now = Moment(0);
        for gap in gaps {
            now = now.plus(gap);
            let pass = breaker.enter(now, &BOUNDS).unwrap();
            if gap % 3 == 0 { breaker.give_back(pass) } else { breaker.report(pass, Verdict::Good, now, (&BOUNDS, gap)); }
        }
        prop_assert_eq!((breaker.state(now), breaker.trips()), (State::Closed, 0));
    }

    #[test]
    fn few_errors_among_many_never_open_it(draw in any::<u64>(), requests in 20..300_u64) {
        let breaker = Breaker::default();
        for number in 0..requests {
            // One in four, never two in a row.
            let verdict = if number % 4 == 3 { Verdict::Fault } else { Verdict::Good };
            breaker.report(Pass::Usual, verdict, Moment(number * 7), (&BOUNDS, draw));
        }
        prop_assert_eq!(breaker.trips(), 0);
    }

    #[test]
    fn no_request_more_is_repeated_than_the_share_allows(
        order in proptest::collection::vec(any::<bool>(), 1..2_000), percent in 0..50_u64, reserve in 0..30_u64
    ) {
        let budget = Budget::default();
        let (mut requests, mut retries) = (0_u64, 0_u64);
        for is_request in order {
            if is_request {
                requests += 1;
                budget.pay_in(percent, reserve);
            } else {
                retries += u64::from(budget.take(reserve));
            }
        }
        prop_assert!(retries <= reserve + requests * percent / 100, "{} of {}", retries, requests);
        prop_assert_eq!(budget.figures(reserve).1, retries);
    }

    #[test]
    fn whoever_is_away_or_tried_is_never_chosen(
        states in proptest::collection::vec((0..4_u8, 1..10_u32, any::<bool>()), 1..8), draw in any::<u64>()
    ) {
        let now = Moment(1_000);
        let lives: Vec<_> = states.iter().map(|(kind, ..)| live(*kind, now)).collect();
        let candidates: Vec<_> = lives.iter().zip(&states)
            .map(|(live, (_, weight, is_free))| Candidate { live, weight: *weight, is_free: *is_free }).collect();
        let free = |kinds: &[u8]| states.iter().any(|(kind, _, is_free)| *is_free && kinds.contains(kind));
        match choose(&candidates, now, draw) {
            None => prop_assert!(!free(&[0, 1]), "one was left"),
            Some(chosen) => {
                let (kind, _, is_free) = states[chosen];
                prop_assert!(is_free && (kind == 0 || (kind == 1 && !free(&[0]))), "{:?} of {:?}", chosen, states);
            }
        }
    }
}

/// 0 well, 1 doubtful, 2 its key rests, 3 its address is away.
fn live(kind: u8, now: Moment) -> AccessLive {
    let live = AccessLive::default();
    match kind {
        1 => live.probes.report(Probed::KeyRefused, now, probes::Bounds { ill_after: 3, well_after: 2 }),
        2 => live.limit(Some(500), now, (&BOUNDS, 1_000), 0),
        3 => (0..5).for_each(|_| _ = live.breaker.report(Pass::Usual, Verdict::Fault, now, (&BOUNDS, 0))),
        _ => {}
    }
    live
}

#[test]
fn a_row_of_errors_opens_it_and_a_trial_closes_it() {
    let breaker = Breaker::default();
    let mut now = Moment(100);
    let fault = |pass, now| breaker.report(pass, Verdict::Fault, now, (&BOUNDS, 0));
    assert!((0..4).all(|_| !fault(Pass::Usual, now)));
    assert!(fault(Pass::Usual, now), "the fifth");
    assert_eq!(breaker.state(now), State::Open { until: Moment(1_100), is_asked: false });
    now = Moment(1_100);
    let trial = breaker.enter(now, &BOUNDS).unwrap();
    assert!(breaker.enter(now, &BOUNDS).is_err(), "one at a time");
    assert!(fault(trial, now), "and it fails");
    assert_eq!(breaker.state(now), State::Open { until: Moment(3_100), is_asked: false }, "twice as long");
    now = Moment(3_100);
    let trial = breaker.enter(now, &BOUNDS).unwrap();
    // It says nothing for long: another takes its place. A trial that is given back has taught nothing.
    now = now.plus(BOUNDS.trial_ms);
    let second = breaker.enter(now, &BOUNDS).unwrap();
    assert!(matches!(breaker.state(now), State::Trial { .. }));
    breaker.give_back(trial);
    assert!(matches!(breaker.state(now), State::Trial { .. }), "it is another's");
    breaker.give_back(second);
    assert_eq!(breaker.state(now), State::Due);
    // Whoever answers is well, however late the answer comes.
    let third = breaker.enter(now, &BOUNDS).unwrap();
    now = now.plus(BOUNDS.trial_ms);
    let fourth = breaker.enter(now, &BOUNDS).unwrap();
    breaker.report(third, Verdict::Good, now, (&BOUNDS, 0));
    assert_eq!((breaker.state(now), breaker.trips(), breaker.since()), (State::Closed, 2, now));
    assert!(!fault(fourth, now), "late as well, and of an earlier time");
    assert!(!fault(Pass::Usual, now), "its errors are forgotten");
}

#[test]
fn what_the_provider_asks_for_is_the_least() {
    let breaker = Breaker::default();
    breaker.ask(Moment(30_000));
    (0..5).for_each(|_| _ = breaker.report(Pass::Usual, Verdict::Fault, Moment(10), (&BOUNDS, 0)));
    assert_eq!(breaker.state(Moment(10)), State::Open { until: Moment(30_000), is_asked: true });
}

#[test]
fn late_first_tokens_open_it_once_it_is_known_what_is_usual() {
    let bounds = Bounds { slow_factor: 4, slow_ms: 3_000, breaker: BOUNDS, ..any_bounds() };
    let target = TargetLive::default();
    let tokens = |count: usize, took_ms: u64, from: u64| {
        (from..).take(count).any(|at| {
            let verdict = target.judge_first_token(took_ms, &bounds);
            target.breaker.report(Pass::Usual, verdict, Moment(at), (&BOUNDS, 0))
        })
    };
    assert!(!tokens(40, 500, 0), "as usual");
    assert!(!tokens(40, 2_900, 20_000), "slower, but not slow");
    let target = TargetLive::default();
    let late = |at: u64| {
        let verdict = target.judge_first_token(6_000, &bounds);
        target.breaker.report(Pass::Usual, verdict, Moment(at), (&BOUNDS, 0))
    };
    (0..40).for_each(|_| _ = target.judge_first_token(500, &bounds));
    assert!((0..9).all(|at| !late(50_000 + at)), "too few to believe");
    assert!(late(50_009));
}

#[test]
fn two_alike_share_by_weight_and_the_busy_one_gets_less() {
    let now = Moment(5);
    let lives = [(); 2].map(|()| Arc::new(AccessLive::default()));
    let share = |weights: [u32; 2]| {
        let candidates = [0, 1].map(|one: usize| Candidate { live: &lives[one], weight: weights[one], is_free: true });
        (0..10_000_u64).filter(|n| choose(&candidates, now, redrawn(*n)) == Some(0)).count()
    };
    assert!((4_800..5_200).contains(&share([1, 1])), "{}", share([1, 1]));
    assert!((7_300..7_700).contains(&share([3, 1])), "{}", share([3, 1]));
    let under_way: Vec<_> = (0..3).map(|_| lives[0].begin()).collect();
    let busy = share([1, 1]);
    assert!((2_200..2_800).contains(&busy), "only when it was drawn twice: {busy}");
    drop(under_way);
    assert_eq!(lives[0].in_flight(), 0);
    lives[1].answered(900, now);
    lives[0].answered(20, now);
    assert!((7_200..7_800).contains(&share([1, 1])), "the faster one");
}

#[test]
fn a_key_rests_longer_with_each_limit_and_no_shorter_than_told() {
    let live = AccessLive::default();
    for (at, until) in [(0, 1_000), (1_000, 3_000), (3_000, 7_000)] {
        live.limit(None, Moment(at), (&BOUNDS, 1_000), 0);
        assert_eq!(live.standing(Moment(at)), Standing::Away { until: Moment(until), is_asked: true });
    }
    assert_eq!(live.standing(Moment(7_000)), Standing::Well);
    live.answered(10, Moment(7_000));
    live.limit(Some(20_000), Moment(7_000), (&BOUNDS, 1_000), 0);
    live.limit(None, Moment(7_001), (&BOUNDS, 1_000), 0);
    assert_eq!(live.rests_until(), Moment(27_000), "the longest counts");
}

#[test]
fn handles_stay_as_long_as_their_name() {
    let health = Health::new(crate::base::time::Clock::now(&crate::base::time::SystemClock), UnixMs(5_000));
    let [first, second] = ["a/x", "b/y"].map(|id| health.target(id));
    assert!(Arc::ptr_eq(&first, &health.target("a/x")));
    health.keep_only(&InUse { targets: HashSet::from(["a/x"]), ..InUse::default() });
    assert!(Arc::ptr_eq(&first, &health.target("a/x")));
    assert!(!Arc::ptr_eq(&second, &health.target("b/y")), "begun anew");
    assert_eq!(health.date(Moment(7)), UnixMs(5_007));
}

fn any_bounds() -> Bounds {
    Bounds {
        passes_over: true,
        breaker: BOUNDS,
        slow_factor: 4,
        slow_ms: 3_000,
        key_rest_ms: 1_000,
        probes: probes::Bounds { ill_after: 3, well_after: 2 },
        probe_interval: Duration::ZERO,
        probe_timeout: Duration::ZERO,
        probes_at_once: 1,
        retries_max: 1,
        retry_delay: Duration::ZERO,
        retry_percent: 10,
        hedge_after_min: Duration::ZERO,
        retry_reserve: 10,
        queue_max: 1,
        queue_wait: Duration::ZERO,
    }
}
