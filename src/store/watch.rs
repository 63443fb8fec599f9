//! Brings changes of accounts and keys into memory, whether they were made here or by other processes.
//!
//! Must not decide anything about them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::StoreError;
use super::journal::Journal;
use super::load::{self, Loaded};
use super::progress::Progress;
use super::sqlite::accounts::StoredAccount;
use super::sqlite::keys::StoredKey;
use super::sqlite::{Database, DatabaseError};
use crate::accounts::KeyDirectory;
use crate::accounts::account::{AccountState, Accounts, Contract, Past};
use crate::accounts::funds::{Funds, Spent};
use crate::accounts::key::{KeyState, LastUsed};
use crate::accounts::rate::Gauges;
use crate::base::period::Period;
use crate::base::tariff::{Overage, Tariff, Tariffs};
use crate::base::time::UnixMs;

/// How long a change waits for the ledger to have what was charged before it.
const BOOKED_WAIT: Duration = Duration::from_millis(500);

/// The tariffs of the moment. A reload replaces them.
#[derive(Debug)]
pub(super) struct TariffBook(Mutex<Arc<Tariffs>>);

impl TariffBook {
    pub(super) fn new(tariffs: Arc<Tariffs>) -> Self {
        Self(Mutex::new(tariffs))
    }

    pub(super) fn replace(&self, tariffs: Arc<Tariffs>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = tariffs;
    }

    fn get(&self) -> Arc<Tariffs> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What the watch shares with the rest of the store.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) directory: Arc<KeyDirectory>,
    pub(super) accounts: Arc<Accounts>,
    pub(super) tariffs: Arc<TariffBook>,
    pub(super) journal: Arc<Journal>,
    pub(super) progress: Arc<Progress>,
}

impl Shared {
    /// Adds an account that is not here yet, with what it has spent.
    pub(super) fn add(&self, stored: &StoredAccount, spent: Spent, now: UnixMs) {
        let StoredAccount { id, created_at, packs_bought, packs_used, .. } = *stored;
        let past = Past { spent, packs_bought, packs_used };
        self.accounts.add(AccountState::new(id, created_at, self.contract(stored), past, now));
    }

    /// Puts a key, with its budget where it has one.
    pub(super) fn put(
        &self,
        stored: StoredKey,
        account: Arc<AccountState>,
        budget: Option<Arc<Funds>>,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        let StoredKey {
            id,
            account_id: _,
            account: _,
            hash,
            prefix,
            kind,
            created_at,
            revoked_at,
            last_used_at,
            settings,
            change: _,
        } = stored;
        let (gauges, last_used) = (Arc::new(Gauges::new(budget)), LastUsed::stored(last_used_at));
        let key = KeyState { id, account, prefix, kind, settings, gauges, created_at, revoked_at, last_used };
        Ok(self.directory.put(hash, key, now)?)
    }

    fn contract(&self, stored: &StoredAccount) -> Contract {
        Contract { tariff: self.tariff(stored), cap: stored.cap, auto: stored.auto }
    }

    /// The tariff of an account. One that is configured no longer includes nothing and lets nothing go beyond.
    fn tariff(&self, stored: &StoredAccount) -> Arc<Tariff> {
        let tariffs = self.tariffs.get();
        if stored.tariff.is_empty() {
            return Arc::clone(tariffs.default_tariff());
        }
        tariffs.by_id(&stored.tariff).cloned().unwrap_or_else(|| {
            log::error!(account = stored.id.0, tariff = stored.tariff.as_str();
                "an account has a tariff that is not configured: its requests are refused");
            let none = Tariff::unbounded();
            Arc::new(Tariff { id: stored.tariff.as_str().into(), overage: Overage::Refused, ..none })
        })
    }
}

/// Brings what is stored into memory.
#[derive(Debug)]
pub(super) struct Watch {
    database: Database,
    shared: Shared,
    version: i64,
    keys_change: i64,
    accounts_change: i64,
}

impl Watch {
    /// Loads all accounts and keys, with what the ledger has of them at `now`. `helper` is a connection for the time of
    /// that.
    ///
    /// # Errors
    /// When the database cannot be read or holds more keys than the directory may.
    pub(super) fn start(database: Database, helper: Database, shared: Shared, now: UnixMs) -> Result<Self, StoreError> {
        // The version first: what is committed between the two is read now and once more later.
        let version = database.data_version()?;
        let Loaded { accounts_change, keys_change } = load::all(&database, helper, &shared, now)?;
        Ok(Self { database, shared, version, keys_change, accounts_change })
    }

    /// Loads what was changed, if anything was.
    ///
    /// # Errors
    /// When the database cannot be read or holds more keys than the directory may.
    pub(super) fn poll(&mut self, now: UnixMs) -> Result<(), StoreError> {
        let version = self.database.data_version()?;
        if version != self.version {
            self.load(now)?;
            self.version = version;
        }
        Ok(())
    }

    /// Takes all accounts in anew: their tariffs may have changed.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(super) fn reload_accounts(&mut self, now: UnixMs) -> Result<(), StoreError> {
        let accounts = self.database.accounts_changed_since(0)?;
        self.wait_until_booked();
        accounts.iter().try_for_each(|stored| self.take_in(stored, now))
    }

    /// Changes are few: what they need to know of the ledger is asked for each.
    fn load(&mut self, now: UnixMs) -> Result<(), StoreError> {
        // Of one moment, so that no key comes in without its account.
        let snapshot = self.database.begin_snapshot()?;
        let accounts = self.database.accounts_changed_since(self.accounts_change)?;
        let mut keys = Vec::new();
        self.database.each_key_changed_since(self.keys_change, |stored| {
            keys.push(stored);
            Ok::<_, DatabaseError>(())
        })?;
        drop(snapshot);
        for key in &keys {
            if let Some(budget) = key.settings.budget {
                self.shared.directory.open_budget(&key.hash, budget, now);
            }
        }
        if !accounts.is_empty() || keys.iter().any(|key| key.settings.budget.is_some()) {
            self.wait_until_booked();
        }
        accounts.iter().try_for_each(|stored| self.take_in(stored, now))?;
        self.accounts_change = accounts.iter().map(|stored| stored.change).fold(self.accounts_change, i64::max);
        let last = keys.iter().map(|stored| stored.change).fold(self.keys_change, i64::max);
        keys.into_iter().try_for_each(|stored| self.put(stored, now))?;
        self.keys_change = last;
        Ok(())
    }

    /// Sums are read from the ledger, so it should have all that memory knows. Where it cannot be written, what is
    /// missing is less than the journal holds.
    fn wait_until_booked(&self) {
        let Shared { journal, progress, .. } = &self.shared;
        progress.wait_for(journal.end(), BOOKED_WAIT);
    }

    fn take_in(&self, stored: &StoredAccount, now: UnixMs) -> Result<(), StoreError> {
        let id = stored.id;
        if let Some(account) = self.shared.accounts.get(id) {
            let spent_in = |period| self.database.spent_by_account(id, period).unwrap_or_default();
            account.change(self.shared.contract(stored), stored.packs_bought, now, spent_in);
            return Ok(());
        }
        let period = Period::around(now, self.shared.tariff(stored).reset, stored.created_at);
        self.shared.add(stored, self.database.spent_by_account(id, period)?, now);
        Ok(())
    }

    fn put(&self, stored: StoredKey, now: UnixMs) -> Result<(), StoreError> {
        let StoredKey { id, account_id, .. } = stored;
        let account = self.shared.accounts.get(account_id).ok_or(DatabaseError::NoSuchAccount { id: account_id })?;
        let budget = stored.settings.budget.map(|budget| {
            let spent = self.database.spent_by_key(id, Period::around(now, budget.reset, UnixMs(0)))?;
            Ok::<_, DatabaseError>(budget.funds(spent, now))
        });
        self.shared.put(stored, account, budget.transpose()?, now)
    }
}
