//! An account as the server sees it: its tariff, its cap, its funds.
//!
//! Must not know where accounts are stored. Every account with keys lives in memory; what others change of it comes in
//! through [`AccountState::change`].

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use super::funds::{Funds, Spent, Terms};
use crate::base::ids::AccountId;
use crate::base::money::NanoUsd;
use crate::base::period::Period;
use crate::base::tariff::Tariff;
use crate::base::time::UnixMs;
use crate::base::wish::AutoWish;

/// What an account has agreed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contract {
    /// Its tariff.
    pub tariff: Arc<Tariff>,
    /// The most usage of a period, in the place of the tariff's ceiling; `None` leaves the ceiling.
    pub cap: Option<NanoUsd>,
    /// What it wishes of `flux-auto`, where a key says nothing.
    pub auto: AutoWish,
}

impl Contract {
    fn terms(&self, anchor: UnixMs) -> Terms {
        let Tariff { included, reset, .. } = *self.tariff;
        Terms { included, limit: self.tariff.limit(self.cap), reset, anchor }
    }
}

/// An account.
#[derive(Debug)]
pub struct AccountState {
    /// Its id.
    pub id: AccountId,
    /// When it began: the billing date.
    pub created_at: UnixMs,
    funds: Arc<Funds>,
    contract: ArcSwap<Contract>,
    /// All packs that were ever bought, so that new ones can be told.
    packs_bought: AtomicI64,
}

/// What the ledger has of an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// What was spent in the period of now.
    pub spent: Spent,
    /// All packs that were ever bought.
    pub packs_bought: NanoUsd,
    /// What of them was ever used.
    pub packs_used: NanoUsd,
}

impl AccountState {
    /// An account in the state in which the ledger has it at `now`.
    pub fn new(id: AccountId, created_at: UnixMs, contract: Contract, past: Past, now: UnixMs) -> Self {
        let Past { spent, packs_bought, packs_used } = past;
        let packs = NanoUsd(packs_bought.0.saturating_sub(packs_used.0));
        let funds = Arc::new(Funds::new(contract.terms(created_at), spent, packs, now));
        let packs_bought = AtomicI64::new(packs_bought.0);
        Self { id, created_at, funds, contract: ArcSwap::from_pointee(contract), packs_bought }
    }

    /// What it may spend.
    pub fn funds(&self) -> &Arc<Funds> {
        &self.funds
    }

    /// What it has agreed to, at this moment.
    pub fn contract(&self) -> Arc<Contract> {
        self.contract.load_full()
    }

    /// Whether nothing bounds its spending.
    pub fn is_unbounded(&self) -> bool {
        let contract = self.contract.load();
        contract.tariff.limit(contract.cap).is_none()
    }

    /// Takes in what has changed. `spent_in` tells what the ledger has of a period, should it be another one now.
    pub fn change(
        &self,
        contract: Contract,
        packs_bought: NanoUsd,
        at: UnixMs,
        spent_in: impl FnOnce(Period) -> Spent,
    ) {
        let known = self.packs_bought.swap(packs_bought.0, Ordering::AcqRel);
        if packs_bought.0 != known {
            self.funds.add_pack(NanoUsd(packs_bought.0.saturating_sub(known)));
        }
        if **self.contract.load() != contract {
            self.funds.change_terms(contract.terms(self.created_at), at, spent_in);
            self.contract.store(Arc::new(contract));
        }
    }
}

/// All accounts in memory.
#[derive(Debug, Default)]
pub struct Accounts {
    // Guards the map; requests do not ask it, their keys hold their account.
    by_id: Mutex<HashMap<AccountId, Arc<AccountState>>>,
}

impl Accounts {
    /// The account of an id.
    pub fn get(&self, id: AccountId) -> Option<Arc<AccountState>> {
        self.by_id().get(&id).cloned()
    }

    /// Adds an account, or finds the one that is there: its funds must not be counted twice.
    pub fn add(&self, account: AccountState) -> Arc<AccountState> {
        Arc::clone(self.by_id().entry(account.id).or_insert_with(|| Arc::new(account)))
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<AccountState>> {
        self.by_id().values().cloned().collect()
    }

    fn by_id(&self) -> MutexGuard<'_, HashMap<AccountId, Arc<AccountState>>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
impl AccountState {
    /// An account that may do anything, for tests of whatever needs one.
    pub(crate) fn sample() -> Self {
        let contract = Contract { tariff: Arc::new(Tariff::unbounded()), cap: None, auto: AutoWish::default() };
        Self::new(AccountId(1), UnixMs(0), contract, Past::default(), UnixMs(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_taken_in_once() {
        let account = AccountState::sample();
        assert!(account.is_unbounded());
        let capped = Contract { cap: Some(NanoUsd(100)), ..(*account.contract()).clone() };
        for _ in 0..2 {
            account.change(capped.clone(), NanoUsd(30), UnixMs(5), |_| Spent::default());
        }
        assert!(!account.is_unbounded());
        let standing = account.funds().standing(UnixMs(5));
        assert_eq!((standing.packs, standing.available), (NanoUsd(30), Some(NanoUsd(130))));
    }

    #[test]
    fn an_account_is_there_once() {
        let accounts = Accounts::default();
        let first = accounts.add(AccountState::sample());
        let second = accounts.add(AccountState::sample());
        assert!(Arc::ptr_eq(&first, &second));
        assert!(accounts.get(AccountId(1)).is_some() && accounts.get(AccountId(2)).is_none());
    }
}
