//! Accounts for those who manage them: open, list, change, sell packs to, close.
//!
//! Must not know tariffs: whether a name is one of a tariff is the caller's to check.

use std::path::Path;

use super::folder::Folder;
use super::keys::check_name;
use super::sqlite::Database;
use super::sqlite::accounts::{StoredAccount, StoredPack};
use super::{BUSY_TIMEOUT, StoreError};
use crate::accounts::funds::Spent;
use crate::base::ids::AccountId;
use crate::base::money::NanoUsd;
use crate::base::period::Period;
use crate::base::quality::Quality;
use crate::base::time::UnixMs;
use crate::base::wish::{AutoWish, LaneWish};

/// An account as it is shown to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountEntry {
    /// Its id.
    pub id: AccountId,
    /// Its name; after the purge of a closed one, a name that says nothing.
    pub name: String,
    /// The id of its tariff; empty: the default.
    pub tariff: String,
    /// The most usage of a period, in the place of the tariff's ceiling.
    pub cap: Option<NanoUsd>,
    /// What it wishes of `flux-auto`.
    pub auto: AutoWish,
    /// When it began: its billing date.
    pub created_at: UnixMs,
    /// When it was closed.
    pub closed_at: Option<UnixMs>,
    /// When what tells of a person was taken out.
    pub purged_at: Option<UnixMs>,
    /// What it was ever charged, as far as it is booked.
    pub charged: NanoUsd,
    /// All packs that were ever bought.
    pub packs_bought: NanoUsd,
    /// What of them was ever used.
    pub packs_used: NanoUsd,
    /// Keys that are not revoked.
    pub keys: i64,
}

impl AccountEntry {
    /// `open`, `closed` or `purged`.
    pub fn standing(&self) -> &'static str {
        match (self.closed_at, self.purged_at) {
            (_, Some(_)) => "purged",
            (Some(_), None) => "closed",
            (None, None) => "open",
        }
    }

    /// What is left of packs.
    pub fn packs_left(&self) -> NanoUsd {
        NanoUsd(self.packs_bought.0.saturating_sub(self.packs_used.0))
    }
}

/// A pack as it is shown to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackEntry {
    /// Its id.
    pub id: i64,
    /// When it was bought.
    pub bought_at: UnixMs,
    /// The usage that it pays.
    pub amount: NanoUsd,
    /// What was paid for it.
    pub price: NanoUsd,
    /// For people; empty after the purge of a closed account.
    pub note: String,
}

/// An account to be opened.
#[derive(Clone, Copy, Debug)]
pub struct NewAccount<'a> {
    /// Its name; no other account may have it.
    pub name: &'a str,
    /// The id of its tariff; empty: the default.
    pub tariff: &'a str,
    /// The most usage of a period.
    pub cap: Option<NanoUsd>,
    /// What it wishes of `flux-auto`.
    pub auto: AutoWish,
}

/// What is to become of a setting that an account may be without. Generic, since three of them may.
#[derive(Clone, Copy, Debug, Default)]
pub enum Setting<T> {
    /// It stays as it is.
    #[default]
    Keep,
    /// What holds for all takes its place: of a cap the tariff's ceiling.
    Remove,
    /// This holds.
    Set(T),
}

/// What is to change of an account.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change<'a> {
    /// The id of its tariff; `None` leaves it as it is.
    pub tariff: Option<&'a str>,
    /// Its cap.
    pub cap: Setting<NanoUsd>,
    /// How much quality `flux-auto` is to seek.
    pub quality: Setting<Quality>,
    /// Between which lanes `flux-auto` may choose.
    pub lane: Setting<LaneWish>,
}

/// A pack to be added.
#[derive(Clone, Copy, Debug)]
pub struct NewPack<'a> {
    /// The usage that it pays.
    pub amount: NanoUsd,
    /// What was paid for it.
    pub price: NanoUsd,
    /// For people.
    pub note: &'a str,
}

/// The stored accounts, for the command line and for the server alike. A running server takes changes in within
/// its poll interval.
#[derive(Debug)]
pub struct AccountTable {
    database: Database,
}

impl AccountTable {
    /// Opens the accounts of a data folder and makes both if need be.
    ///
    /// # Errors
    /// When the folder or the database cannot be opened.
    pub fn open(data_dir: &Path) -> Result<Self, StoreError> {
        let folder = Folder::new(data_dir);
        folder.create()?;
        Ok(Self { database: Database::open(&folder.database(), BUSY_TIMEOUT)? })
    }

    /// Opens the accounts of a data folder that must be there.
    ///
    /// # Errors
    /// When there is no database, or it cannot be opened.
    pub fn open_existing(data_dir: &Path) -> Result<Self, StoreError> {
        Folder::new(data_dir).expect_database()?;
        Self::open(data_dir)
    }

    /// Opens an account.
    ///
    /// # Errors
    /// When its name is not usable or taken, or the database cannot be written.
    pub fn create(&mut self, new: &NewAccount<'_>, now: UnixMs) -> Result<AccountEntry, StoreError> {
        let NewAccount { name, .. } = *new;
        check_name(name, "account")?;
        if name.is_empty() {
            return Err(StoreError::BadName { what: "account" });
        }
        let added = self.database.add_account(new, now)?;
        let id = added.ok_or_else(|| StoreError::AccountExists { name: name.to_owned() })?;
        self.find(&id.0.to_string())
    }

    /// All accounts, oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn list(&self) -> Result<Vec<AccountEntry>, StoreError> {
        let mut stored = self.database.accounts_changed_since(0)?;
        stored.sort_by_key(|account| account.id);
        stored.into_iter().map(|account| self.entry(account)).collect()
    }

    /// The account of an id; if there is none, of a name.
    ///
    /// # Errors
    /// When there is no such account, or the database cannot be read.
    pub fn find(&self, which: &str) -> Result<AccountEntry, StoreError> {
        let by_id = match which.parse() {
            Ok(id) => self.database.account_by_id(AccountId(id))?,
            Err(_) => None,
        };
        let found = match by_id {
            Some(account) => Some(account),
            None => self.database.account_by_name(which)?,
        };
        self.entry(found.ok_or_else(|| StoreError::NoSuchAccount { which: which.to_owned() })?)
    }

    /// Changes tariff, cap and wishes.
    ///
    /// # Errors
    /// When there is no such account, it is closed, or the database cannot be written.
    pub fn change(&mut self, which: &str, change: Change<'_>) -> Result<AccountEntry, StoreError> {
        let id = self.find(which)?.id;
        if !self.database.change_account(id, change)? {
            return Err(StoreError::AccountClosed { which: which.to_owned() });
        }
        self.find(&id.0.to_string())
    }

    /// Adds a pack.
    ///
    /// # Errors
    /// When there is no such account, it is closed, the note is not usable, or the database cannot be written.
    pub fn add_pack(&mut self, which: &str, new: &NewPack<'_>, now: UnixMs) -> Result<AccountEntry, StoreError> {
        let NewPack { amount, price, note } = *new;
        check_name(note, "pack")?;
        let account = self.find(which)?;
        if account.closed_at.is_some() {
            return Err(StoreError::AccountClosed { which: which.to_owned() });
        }
        self.database.add_pack(account.id, (amount, price), note, now)?;
        self.find(&account.id.0.to_string())
    }

    /// Closes an account for good: all of its keys are revoked with it. Closing twice changes nothing.
    ///
    /// # Errors
    /// When there is no such account, or the database cannot be written.
    pub fn close(&mut self, which: &str, now: UnixMs) -> Result<AccountEntry, StoreError> {
        let id = self.find(which)?.id;
        self.database.close_account(id, now)?;
        self.find(&id.0.to_string())
    }

    /// The packs of an account, newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn packs(&self, id: AccountId) -> Result<Vec<PackEntry>, StoreError> {
        let packs = self.database.packs_of(id)?.into_iter().map(|stored| {
            let StoredPack { id, bought_at, amount, price, note } = stored;
            PackEntry { id, bought_at, amount, price, note }
        });
        Ok(packs.collect())
    }

    /// What an account spent in a period, as far as it is booked.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn spent(&self, id: AccountId, period: Period) -> Result<Spent, StoreError> {
        Ok(self.database.spent_by_account(id, period)?)
    }

    fn entry(&self, stored: StoredAccount) -> Result<AccountEntry, StoreError> {
        let StoredAccount {
            id,
            name,
            created_at,
            tariff,
            cap,
            auto,
            closed_at,
            packs_bought,
            packs_used,
            change: _,
            charged,
            purged_at,
        } = stored;
        let keys = self.database.live_keys_of(id)?;
        Ok(AccountEntry {
            id,
            name,
            tariff,
            cap,
            auto,
            created_at,
            closed_at,
            purged_at,
            charged,
            packs_bought,
            packs_used,
            keys,
        })
    }
}
