//! Keys for those who manage them: make, list, change, revoke.
//!
//! Must not keep a raw key: it is handed to its owner once and forgotten.

use std::path::Path;

use super::folder::Folder;
use super::sqlite::Database;
use super::sqlite::keys::{KeyToAdd, StoredKey};
use super::{BUSY_TIMEOUT, StoreError};
use crate::accounts::key::{KeyHash, KeyKind, KeySettings, RANDOM_BYTES, shown_prefix};
use crate::base::ids::{AccountId, KeyId};
use crate::base::secret::Secret;
use crate::base::time::UnixMs;

/// Longest name of a key or an account.
const NAME_BYTES_MAX: usize = 128;
/// The account that the first start makes, and that a key belongs to unless told otherwise.
pub const DEFAULT_ACCOUNT: &str = "default";

/// A key to be made.
#[derive(Clone, Debug)]
pub struct NewKey<'a> {
    /// Name of the account; it is made if there is none of that name.
    pub account: &'a str,
    /// What its owner chooses.
    pub settings: &'a KeySettings,
    /// Whether it gets mock answers only.
    pub is_test: bool,
}

/// A key that was just made. The raw key is in here and nowhere else.
#[derive(Clone, Debug)]
pub struct CreatedKey {
    /// The key itself.
    pub raw: Secret,
    /// What is kept of it.
    pub entry: KeyEntry,
}

/// The keys of the first start.
#[derive(Clone, Debug)]
pub struct FirstKeys {
    /// Reaches providers.
    pub live: Secret,
    /// Gets mock answers.
    pub test: Secret,
}

/// A key as it is shown to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyEntry {
    /// Its id.
    pub id: KeyId,
    /// Its account.
    pub account_id: AccountId,
    /// Its account's name.
    pub account: String,
    /// Its first characters.
    pub prefix: String,
    /// `live` or `test`.
    pub kind: &'static str,
    /// What its owner has chosen.
    pub settings: KeySettings,
    /// When it was made.
    pub created_at: UnixMs,
    /// When it was last used, a few seconds late.
    pub last_used_at: Option<UnixMs>,
    /// When it was revoked.
    pub revoked_at: Option<UnixMs>,
}

impl KeyEntry {
    /// `active`, `expired` or `revoked`.
    pub fn standing(&self, now: UnixMs) -> &'static str {
        match (self.revoked_at, self.settings.expires_at) {
            (Some(_), _) => "revoked",
            (None, Some(at)) if now >= at => "expired",
            (None, Some(_) | None) => "active",
        }
    }

    fn of(stored: StoredKey) -> Self {
        let StoredKey {
            id,
            account_id,
            account,
            hash: _,
            prefix,
            kind,
            created_at,
            revoked_at,
            last_used_at,
            settings,
            change: _,
        } = stored;
        Self { id, account_id, account, prefix, kind: kind.name(), settings, created_at, last_used_at, revoked_at }
    }
}

/// The stored keys, for the command line and for the server alike.
#[derive(Debug)]
pub struct KeyTable {
    database: Database,
    keys_max: usize,
}

impl KeyTable {
    /// Opens the keys of a data folder and makes both if need be.
    ///
    /// # Errors
    /// When the folder or the database cannot be opened.
    pub fn open(data_dir: &Path, keys_max: usize) -> Result<Self, StoreError> {
        let folder = Folder::new(data_dir);
        folder.create()?;
        Ok(Self { database: Database::open(&folder.database(), BUSY_TIMEOUT)?, keys_max })
    }

    /// Opens the keys of a data folder that must be there.
    ///
    /// # Errors
    /// When there is no database, or it cannot be opened.
    pub fn open_existing(data_dir: &Path, keys_max: usize) -> Result<Self, StoreError> {
        Folder::new(data_dir).expect_database()?;
        Self::open(data_dir, keys_max)
    }

    /// Makes a key.
    ///
    /// # Errors
    /// When a name is not usable, there are too many keys, or the database cannot be written.
    pub fn create(&mut self, new: &NewKey<'_>, now: UnixMs) -> Result<CreatedKey, StoreError> {
        let NewKey { account, settings, is_test } = *new;
        check_name(account, "account")?;
        check_name(&settings.name, "key")?;
        if account.is_empty() {
            return Err(StoreError::BadName { what: "account" });
        }
        let kind = if is_test { KeyKind::Test } else { KeyKind::Live };
        let raw = mint(kind)?;
        let hash = KeyHash::of(raw.as_bytes());
        let add = KeyToAdd { account, settings, hash, prefix: shown_prefix(&raw), kind };
        let id = self.database.add_key(&add, now, self.keys_max)?;
        Ok(CreatedKey { entry: self.entry(id)?, raw: Secret::new(raw) })
    }

    /// Makes the default account with a live and a test key, in a data folder that has no key yet.
    /// `None` when it has one: the raw keys can be shown on that one occasion only.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn bootstrap(&mut self, account: &str, now: UnixMs) -> Result<Option<FirstKeys>, StoreError> {
        let (live, test) = (mint(KeyKind::Live)?, mint(KeyKind::Test)?);
        let settings = KeySettings { name: "first start".to_owned(), ..KeySettings::default() };
        let add = |raw, kind: KeyKind| first_key(account, &settings, raw, kind);
        let first = [add(&live, KeyKind::Live), add(&test, KeyKind::Test)];
        let is_first = self.database.add_first_keys(&first, now)?;
        Ok(is_first.then(|| FirstKeys { live: Secret::new(live), test: Secret::new(test) }))
    }

    /// All keys, oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn list(&self) -> Result<Vec<KeyEntry>, StoreError> {
        let mut entries: Vec<_> = self.database.keys_changed_since(0)?.into_iter().map(KeyEntry::of).collect();
        entries.sort_by_key(|entry| entry.id);
        Ok(entries)
    }

    /// Revokes the key of an id, of a prefix that only one key has, or the raw key itself. Revoking
    /// twice changes nothing.
    ///
    /// # Errors
    /// When there is no such key, there are several, or the database cannot be written.
    pub fn revoke(&mut self, which: &str, now: UnixMs) -> Result<KeyEntry, StoreError> {
        let id = self.find(which)?;
        self.database.revoke_key(id, now)?;
        self.entry(id)
    }

    fn find(&self, which: &str) -> Result<KeyId, StoreError> {
        let none = || StoreError::NoSuchKey { which: shown_prefix(which).to_owned() };
        if let Ok(id) = which.parse() {
            return Ok(self.database.key_by_id(KeyId(id))?.ok_or_else(none)?.id);
        }
        if shown_prefix(which) != which {
            return Ok(self.database.key_by_hash(KeyHash::of(which.as_bytes()))?.ok_or_else(none)?.id);
        }
        let found = if which.is_empty() { Vec::new() } else { self.database.keys_by_prefix(which)? };
        match found.as_slice() {
            [] => Err(none()),
            [key] => Ok(key.id),
            keys => {
                let ids: Vec<_> = keys.iter().take(10).map(|key| key.id.0.to_string()).collect();
                Err(StoreError::SeveralKeys { which: which.to_owned(), ids: ids.join(", ") })
            }
        }
    }

    fn entry(&self, id: KeyId) -> Result<KeyEntry, StoreError> {
        let stored = self.database.key_by_id(id)?;
        stored.map(KeyEntry::of).ok_or_else(|| StoreError::NoSuchKey { which: id.0.to_string() })
    }
}

fn first_key<'a>(account: &'a str, settings: &'a KeySettings, raw: &'a str, kind: KeyKind) -> KeyToAdd<'a> {
    KeyToAdd { account, settings, hash: KeyHash::of(raw.as_bytes()), prefix: shown_prefix(raw), kind }
}

fn mint(kind: KeyKind) -> Result<String, StoreError> {
    let mut random = [0; RANDOM_BYTES];
    getrandom::fill(&mut random).map_err(|_| StoreError::NoRandomness)?;
    Ok(kind.mint(&random))
}

/// Refuses what would break a table or a log.
pub(super) fn check_name(name: &str, what: &'static str) -> Result<(), StoreError> {
    let is_plain = name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control);
    if is_plain { Ok(()) } else { Err(StoreError::BadName { what }) }
}
