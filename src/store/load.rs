//! The start: all accounts and keys into memory, by two threads with a connection each.
//!
//! Must not know how later changes are found: `watch` takes them in. The ledger stands still meanwhile. Accounts and keys
//! may be changed by other processes; what is missed here is younger than the counters in [`Loaded`].

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::StoreError;
use super::sqlite::Database;
use super::watch::Shared;
use crate::accounts::account::AccountState;
use crate::accounts::funds::{Funds, Spent};
use crate::base::ids::{AccountId, KeyId};
use crate::base::money::NanoUsd;
use crate::base::time::UnixMs;

/// Parts into which the keys are cut, so that both threads end at about the same time.
const PARTS: i64 = 16;

/// Up to which changes everything was loaded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loaded {
    pub(super) accounts_change: i64,
    pub(super) keys_change: i64,
}

type Owners = HashMap<AccountId, Arc<AccountState>>;

/// Ranges of ids that nobody has taken yet.
#[derive(Debug)]
struct Ranges {
    next: AtomicI64,
    step: i64,
    last: i64,
}

impl Ranges {
    fn over((first, last): (i64, i64)) -> Self {
        let step = (last.saturating_sub(first) / PARTS).saturating_add(1);
        Self { next: AtomicI64::new(first), step, last }
    }

    /// The next range, with both its ends; `None` after the last.
    fn take(&self) -> Option<(i64, i64)> {
        let first = self.next.fetch_add(self.step, Ordering::Relaxed);
        (first <= self.last).then(|| (first, first.saturating_add(self.step - 1)))
    }
}

/// Loads all accounts and keys, with what the ledger has of them at `now`. `helper` is a connection for the other thread.
///
/// # Errors
/// When the database cannot be read or holds more keys than the directory may.
pub(super) fn all(database: &Database, helper: Database, shared: &Shared, now: UnixMs) -> Result<Loaded, StoreError> {
    // Of one moment, so that no key comes in without its account.
    let snapshot = database.begin_snapshot()?;
    let accounts = database.accounts_changed_since(0)?;
    let keys_change = database.last_key_change()?;
    let ranges = Ranges::over(database.key_ids()?);
    for stored in &accounts {
        shared.add(stored, Spent::default(), now);
    }
    // A map of their own: both threads would wait for the other's look at the shared one.
    let owners: Owners = shared.accounts.all().into_iter().map(|account| (account.id, account)).collect();
    let (own, others) = std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let helper = helper;
            let sums = helper.spent_lately(now)?;
            Ok::<_, StoreError>((sums, take_keys(&helper, &ranges, (shared, &owners), now)?))
        });
        let own = take_keys(database, &ranges, (shared, &owners), now);
        (own, other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let (sums, others) = others?;
    for account in owners.values() {
        let period = account.funds().standing(now).period;
        let known = sums.by_account(account.id, period);
        account.funds().count(known.map_or_else(|| database.spent_by_account(account.id, period), Ok)?);
    }
    for (id, funds) in own?.into_iter().chain(others) {
        let period = funds.standing(now).period;
        let included = sums.by_key(id, period).map_or_else(|| database.spent_by_key(id, period), Ok)?;
        funds.count(Spent { included, ..Spent::default() });
    }
    drop(snapshot);
    let accounts_change = accounts.iter().map(|stored| stored.change).max().unwrap_or(0);
    Ok(Loaded { accounts_change, keys_change })
}

/// Takes keys in, range by range. Returns the budgets among them, of which nothing is spent yet.
fn take_keys(
    database: &Database,
    ranges: &Ranges,
    (shared, owners): (&Shared, &Owners),
    now: UnixMs,
) -> Result<Vec<(KeyId, Arc<Funds>)>, StoreError> {
    let mut budgets = Vec::new();
    while let Some(range) = ranges.take() {
        database.each_key(range, |stored| {
            // One of an account that was made since is taken in after it.
            let Some(account) = owners.get(&stored.account_id).cloned() else { return Ok(()) };
            let budget = stored.settings.budget.map(|budget| budget.funds(NanoUsd::ZERO, now));
            budgets.extend(budget.iter().map(|funds| (stored.id, Arc::clone(funds))));
            shared.put(stored, account, budget, now)
        })?;
    }
    Ok(budgets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_all_ids_once() {
        for (first, last) in [(1, 1), (1, 15), (1, 16), (1, 17), (-5, 1_000), (7, 100_006), (0, -1), (0, i64::MAX)] {
            let ranges = Ranges::over((first, last));
            let mut next = first;
            while let Some((from, to)) = ranges.take() {
                assert_eq!(from, next, "{first}..={last}");
                assert!(to >= from);
                next = to.saturating_add(1);
                if to == i64::MAX {
                    break;
                }
            }
            assert!(next > last || next == i64::MAX, "{first}..={last} ends at {next}");
        }
    }
}
