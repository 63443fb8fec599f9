//! One limit after the other, and none consumed by a request that another refuses.

use std::time::Duration;

use super::*;
use crate::accounts::account::{AccountState, Contract, Past};
use crate::accounts::key::{Budget, KeyKind, KeySettings};
use crate::accounts::rate::Gauges;
use crate::base::ids::AccountId;
use crate::base::period::Reset;
use crate::base::tariff::Tariff;
use crate::base::wish::AutoWish;

const AT: UnixMs = UnixMs(1_790_000_000_000);

fn key(cap: i64, budget: Option<i64>, limits: RateLimits) -> Arc<KeyState> {
    let contract =
        Contract { tariff: Arc::new(Tariff::unbounded()), cap: Some(NanoUsd(cap)), auto: AutoWish::default() };
    let account = Arc::new(AccountState::new(AccountId(1), UnixMs(0), contract, Past::default(), AT));
    let budget = budget.map(|amount| Budget { amount: NanoUsd(amount), reset: Reset::Daily });
    let funds = budget.map(|budget| budget.funds(NanoUsd::ZERO, AT));
    let settings = KeySettings { limits, budget, ..KeySettings::default() };
    Arc::new(KeyState { account, settings, gauges: Arc::new(Gauges::new(funds)), ..KeyState::sample(KeyKind::Live) })
}

fn limits() -> RateLimits {
    RateLimits {
        requests_per_second: None,
        requests_per_minute: Some(2),
        tokens_per_minute: Some(100),
        concurrent: Some(2),
    }
}

fn enter_and_hold(key: &Arc<KeyState>, tokens: u64, amount: i64) -> Result<Admission, Denied> {
    let mut admission = enter(Arc::clone(key), 1_000)?;
    admission.reserve_tokens(tokens)?;
    admission.reserve_funds(NanoUsd(amount), NanoUsd(amount), AT)?;
    Ok(admission)
}

/// T-29
#[test]
fn t29_a_request_refused_by_one_limit_consumes_no_other() {
    let key = key(50, None, limits());
    for _ in 0..10 {
        assert!(matches!(enter_and_hold(&key, 101, 10), Err(Denied::Tokens(_))));
        assert!(matches!(enter_and_hold(&key, 10, 51), Err(Denied::Funds { purse: Purse::Account, .. })));
    }
    assert_eq!(key.gauges.at_work(), 0);
    let mut first = enter_and_hold(&key, 60, 20).unwrap();
    let second = enter_and_hold(&key, 40, 30).unwrap();
    assert!(matches!(enter_and_hold(&key, 0, 0), Err(Denied::Concurrent { limit: 2 })));
    assert_eq!(first.settle(NanoUsd(20), 60, AT).draw.charged, NanoUsd(20));
    drop((first, second));
    let denied = enter_and_hold(&key, 0, 0).unwrap_err();
    let Denied::Requests(Exceeded { retry_after, .. }) = denied else { panic!("{denied:?}") };
    assert_eq!(retry_after, Some(Duration::from_mins(1)));
    assert_eq!(key.account.funds().available(AT), Some(NanoUsd(30)));
}

/// T-29
#[test]
fn t29_a_request_refused_by_its_idempotency_key_consumes_no_limit() {
    let key = key(50, None, limits());
    let all = Arc::new(Idempotency::new(100, 1));
    let mark = |body: &str| Mark::new(key.id, b"one", "chat", body.as_bytes());
    let mut first = enter(Arc::clone(&key), 1_000).unwrap();
    assert_eq!(first.claim(&all, mark("hi")), Ok(()));
    for _ in 0..10 {
        for (body, clash) in [("hi", Clash::AtWork), ("ho", Clash::OtherBody)] {
            assert_eq!(enter(Arc::clone(&key), 1_000).unwrap().claim(&all, mark(body)), Err(clash));
        }
    }
    assert_eq!(enter(Arc::clone(&key), 1_000).unwrap().left().0.map(|left| left.remaining), Some(0));
}

/// T-28: what is counted ahead bounds what runs at once.
#[test]
fn t28_five_at_once_share_the_tokens() {
    let limits = RateLimits { tokens_per_minute: Some(100), ..RateLimits::default() };
    let key = key(1_000, None, limits);
    let at_once: Vec<_> = (0..5).map(|_| enter_and_hold(&key, 40, 1)).collect();
    assert_eq!(at_once.iter().filter(|admitted| admitted.is_ok()).count(), 2);
    // What was counted ahead and not used comes back.
    drop(at_once);
    assert!(enter_and_hold(&key, 100, 1).is_ok());
}

#[test]
fn the_smaller_purse_bounds() {
    let key = key(100, Some(30), RateLimits::default());
    let mut admission = enter(Arc::clone(&key), 0).unwrap();
    assert_eq!(admission.available(AT), Some(NanoUsd(30)));
    assert_eq!(admission.reserve_funds(NanoUsd(80), NanoUsd(10), AT), Ok(NanoUsd(30)));
    let denied = enter_and_hold(&key, 0, 1).unwrap_err();
    assert!(matches!(denied, Denied::Funds { purse: Purse::Key, .. }), "{denied:?}");
    // Dearer than was held: the cap holds, the rest is the house's.
    let settled = admission.settle(NanoUsd(45), 0, AT);
    assert_eq!((settled.draw.charged, settled.written_off), (NanoUsd(30), NanoUsd(15)));
    assert_eq!(key.account.funds().available(AT), Some(NanoUsd(70)));
    admission.undo(&settled.draw, AT);
    assert_eq!(admission.available(AT), Some(NanoUsd(30)));
}
