//! Brings accounts and keys into memory: all of them at the start, then what was changed, here or by other processes.
//!
//! Must not decide anything about them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::StoreError;
use super::journal::Journal;
use super::progress::Progress;
use super::sqlite::accounts::StoredAccount;
use super::sqlite::keys::StoredKey;
use super::sqlite::load::SpentByDay;
use super::sqlite::{Database, DatabaseError};
use crate::accounts::KeyDirectory;
use crate::accounts::account::{AccountState, Accounts, Contract, Past};
use crate::accounts::key::{KeyState, LastUsed};
use crate::base::period::Period;
use crate::base::tariff::{Overage, Tariff, Tariffs};
use crate::base::time::UnixMs;

/// How long a change waits for the ledger to have what was charged before it.
const BOOKED_WAIT: Duration = Duration::from_millis(500);

const MS_PER_DAY: u64 = 86_400_000;

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
    /// Loads all accounts and keys, with what the ledger has of them at `now`.
    ///
    /// # Errors
    /// When the database cannot be read or holds more keys than the directory may.
    pub(super) fn start(database: Database, shared: Shared, now: UnixMs) -> Result<Self, StoreError> {
        // The version first: what is committed between the two is read now and once more later.
        let version = database.data_version()?;
        let mut watch = Self { database, shared, version, keys_change: 0, accounts_change: 0 };
        watch.load(now)?;
        Ok(watch)
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
        accounts.iter().try_for_each(|stored| self.take_in(stored, None, now))
    }

    /// At the start all that is read is of one moment and read in one go; later changes are few, and what they need to
    /// know of the ledger is asked for each.
    fn load(&mut self, now: UnixMs) -> Result<(), StoreError> {
        let is_first = self.keys_change == 0;
        // Of one moment, so that no key comes in without its account.
        let snapshot = self.database.begin_snapshot()?;
        let accounts = self.database.accounts_changed_since(self.accounts_change)?;
        let mut keys = Vec::new();
        if is_first {
            let sums = self.database.spent_by_day(i64::try_from(now.0 / MS_PER_DAY).unwrap_or(i64::MAX))?;
            accounts.iter().try_for_each(|stored| self.take_in(stored, Some(&sums), now))?;
            let mut last = 0;
            self.database.each_key_changed_since(0, |stored| {
                last = stored.change.max(last);
                self.put(stored, Some(&sums), now)
            })?;
            drop(snapshot);
            self.keys_change = last;
        } else {
            self.database.each_key_changed_since(self.keys_change, |stored| {
                keys.push(stored);
                Ok::<_, DatabaseError>(())
            })?;
            drop(snapshot);
            if !accounts.is_empty() || keys.iter().any(|key| key.settings.budget.is_some()) {
                self.wait_until_booked();
            }
            accounts.iter().try_for_each(|stored| self.take_in(stored, None, now))?;
        }
        self.accounts_change = accounts.iter().map(|stored| stored.change).fold(self.accounts_change, i64::max);
        let last = keys.iter().map(|stored| stored.change).fold(self.keys_change, i64::max);
        keys.into_iter().try_for_each(|stored| self.put(stored, None, now))?;
        self.keys_change = last;
        Ok(())
    }

    /// Sums are read from the ledger, so it should have all that memory knows. Where it cannot be written, what is
    /// missing is less than the journal holds.
    fn wait_until_booked(&self) {
        let Shared { journal, progress, .. } = &self.shared;
        progress.wait_for(journal.end(), BOOKED_WAIT);
    }

    fn take_in(&self, stored: &StoredAccount, sums: Option<&SpentByDay>, now: UnixMs) -> Result<(), StoreError> {
        let tariff = self.tariff(stored);
        let contract = Contract { tariff, cap: stored.cap, auto: stored.auto, is_closed: stored.closed_at.is_some() };
        if let Some(account) = self.shared.accounts.get(stored.id) {
            let spent_in = |period| self.database.spent_by_account(stored.id, period).unwrap_or_default();
            account.change(contract, stored.packs_bought, now, spent_in);
            return Ok(());
        }
        let period = Period::around(now, contract.tariff.reset, stored.created_at);
        let known = sums.and_then(|sums| sums.by_account(stored.id, period));
        let past = Past {
            spent: known.map_or_else(|| self.database.spent_by_account(stored.id, period), Ok)?,
            packs_bought: stored.packs_bought,
            packs_used: stored.packs_used,
        };
        self.shared.accounts.add(AccountState::new(stored.id, stored.created_at, contract, past, now));
        Ok(())
    }

    /// The tariff of an account. One that is configured no longer includes nothing and lets nothing go beyond.
    fn tariff(&self, stored: &StoredAccount) -> Arc<Tariff> {
        let tariffs = self.shared.tariffs.get();
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

    fn put(&self, stored: StoredKey, sums: Option<&SpentByDay>, now: UnixMs) -> Result<(), StoreError> {
        let hash = stored.hash;
        let key = self.key(stored, sums, now)?;
        Ok(self.shared.directory.put(hash, key, now)?)
    }

    fn key(&self, stored: StoredKey, sums: Option<&SpentByDay>, now: UnixMs) -> Result<KeyState, StoreError> {
        let StoredKey {
            id,
            account_id,
            account: _,
            hash: _,
            prefix,
            kind,
            created_at,
            revoked_at,
            last_used_at,
            settings,
            change: _,
        } = stored;
        let account = self.shared.accounts.get(account_id).ok_or(DatabaseError::NoSuchAccount { id: account_id })?;
        let budget = settings.budget.map(|budget| {
            let period = Period::around(now, budget.reset, UnixMs(0));
            let known = sums.and_then(|sums| sums.by_key(id, period));
            let spent = known.map_or_else(|| self.database.spent_by_key(id, period), Ok)?;
            Ok::<_, DatabaseError>(budget.funds(spent, now))
        });
        let (budget, last_used) = (budget.transpose()?, LastUsed::stored(last_used_at));
        let gauges = Arc::default();
        Ok(KeyState { id, account, prefix, kind, settings, budget, gauges, created_at, revoked_at, last_used })
    }
}
