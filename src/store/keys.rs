//! Keys for those who manage them: make, list, change, revoke.
//!
//! Must not keep a raw key: it is handed to its owner once and forgotten.

use super::folder::Folder;
use super::sqlite::Database;
use super::sqlite::keys::{KeyToAdd, Owner, Rotation, StoredKey};
use super::{BUSY_TIMEOUT, Settings, Store, StoreError};
use crate::accounts::key::{KeyHash, KeyKind, KeySettings, RANDOM_BYTES, Scheme, Scope, shown_prefix};
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
    /// How it looks.
    pub scheme: Scheme,
}

/// A key to be found: by its id, by a prefix that no other key has, or by itself.
#[derive(Clone, Copy, Debug)]
pub struct KeyRef<'a> {
    /// Id, prefix or raw key.
    pub which: &'a str,
    /// The account it must belong to; `None`: any. Keys of other accounts do not exist.
    pub of: Option<AccountId>,
}

impl<'a> From<&'a str> for KeyRef<'a> {
    fn from(which: &'a str) -> Self {
        Self { which, of: None }
    }
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
    of_account_max: usize,
}

impl KeyTable {
    /// Opens the keys of a data folder and makes both if need be.
    ///
    /// # Errors
    /// When the folder or the database cannot be opened.
    pub fn open(settings: &Settings) -> Result<Self, StoreError> {
        let Settings { data_dir, keys_max, keys_of_account_max: of_account_max, .. } = settings;
        let folder = Folder::new(data_dir);
        folder.create()?;
        let database = Database::open(&folder.database(), BUSY_TIMEOUT)?;
        Ok(Self { database, keys_max: *keys_max, of_account_max: *of_account_max })
    }

    /// Opens the keys of a data folder that must be there.
    ///
    /// # Errors
    /// When there is no database, or it cannot be opened.
    pub fn open_existing(settings: &Settings) -> Result<Self, StoreError> {
        Folder::new(&settings.data_dir).expect_database()?;
        Self::open(settings)
    }

    /// Makes a key.
    ///
    /// # Errors
    /// When a name is not usable, there are too many keys, or the database cannot be written.
    pub fn create(&mut self, new: &NewKey<'_>, now: UnixMs) -> Result<CreatedKey, StoreError> {
        check_name(new.account, "account")?;
        if new.account.is_empty() {
            return Err(StoreError::BadName { what: "account" });
        }
        self.add(Owner::Named(new.account), new, now)
    }

    fn create_of(&mut self, account: AccountId, new: &NewKey<'_>, now: UnixMs) -> Result<CreatedKey, StoreError> {
        self.add(Owner::Of(account, self.of_account_max), new, now)
    }

    fn add(&mut self, owner: Owner<'_>, new: &NewKey<'_>, now: UnixMs) -> Result<CreatedKey, StoreError> {
        let NewKey { account: _, settings, is_test, scheme } = *new;
        check_name(&settings.name, "key")?;
        let kind = if is_test { KeyKind::Test } else { KeyKind::Live };
        let raw = mint(kind, scheme)?;
        let hash = KeyHash::of(raw.as_bytes());
        let add = KeyToAdd { owner, settings, hash, prefix: shown_prefix(&raw), kind };
        let id = self.database.add_key(&add, now, self.keys_max)?;
        Ok(CreatedKey { entry: self.entry(id)?, raw: Secret::new(raw) })
    }

    /// Changes what the owner of a key chooses. What `change` refuses is not changed.
    ///
    /// # Errors
    /// When there is no such key, there are several, it has ended, the choice makes no sense, or the database cannot be
    /// written.
    pub fn change(
        &mut self,
        key: KeyRef<'_>,
        change: impl FnOnce(&mut KeySettings) -> Result<(), String>,
        now: UnixMs,
    ) -> Result<KeyEntry, StoreError> {
        let id = self.find(key)?;
        self.database.change_key(id, |stored| {
            check_not_ended(stored, now)?;
            let mut settings = stored.settings.clone();
            change(&mut settings).map_err(StoreError::BadSettings)?;
            check_name(&settings.name, "key")?;
            Ok(settings)
        })?;
        self.entry(id)
    }

    /// Makes a new key with the settings of an old one, which ends after `grace_ms`, or earlier if it was to.
    ///
    /// # Errors
    /// When there is no such key, there are several, it has ended, there are too many keys, or the database cannot be
    /// written.
    pub fn rotate(&mut self, key: KeyRef<'_>, grace_ms: u64, now: UnixMs) -> Result<CreatedKey, StoreError> {
        let id = self.find(key)?;
        let old = self.entry(id)?;
        let kind = KeyKind::of(&old.prefix);
        let raw = mint(kind, Scheme::of(&old.prefix))?;
        let rotation = Rotation {
            hash: KeyHash::of(raw.as_bytes()),
            prefix: shown_prefix(&raw),
            now,
            ends_at: UnixMs(now.0.saturating_add(grace_ms)),
            keys_max: self.keys_max,
            of_account_max: key.of.map_or(usize::MAX, |_| self.of_account_max),
        };
        let id = self.database.rotate_key(id, &rotation, |stored| check_not_ended(stored, now))?;
        Ok(CreatedKey { entry: self.entry(id)?, raw: Secret::new(raw) })
    }

    /// Makes the default account with a live and a test key, in a data folder that has no key yet.
    /// `None` when it has one: the raw keys can be shown on that one occasion only.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn bootstrap(&mut self, account: &str, now: UnixMs) -> Result<Option<FirstKeys>, StoreError> {
        let (live, test) = (mint(KeyKind::Live, Scheme::Flux)?, mint(KeyKind::Test, Scheme::Flux)?);
        let for_tests = KeySettings { name: "first start".to_owned(), ..KeySettings::default() };
        let for_all = KeySettings { scope: Scope::Admin, ..for_tests.clone() };
        let first =
            [first_key(account, &for_all, &live, KeyKind::Live), first_key(account, &for_tests, &test, KeyKind::Test)];
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
        self.revoke_of(KeyRef::from(which), now)
    }

    fn revoke_of(&mut self, key: KeyRef<'_>, now: UnixMs) -> Result<KeyEntry, StoreError> {
        let id = self.find(key)?;
        self.database.revoke_key(id, now)?;
        self.entry(id)
    }

    fn find(&self, KeyRef { which, of }: KeyRef<'_>) -> Result<KeyId, StoreError> {
        let none = || StoreError::NoSuchKey { which: shown_prefix(which).to_owned() };
        let mut found = if let Ok(id) = which.parse() {
            self.database.key_by_id(KeyId(id))?.into_iter().collect()
        } else if shown_prefix(which) != which {
            self.database.key_by_hash(KeyHash::of(which.as_bytes()))?.into_iter().collect()
        } else if which.is_empty() {
            Vec::new()
        } else {
            self.database.keys_by_prefix(which, of)?
        };
        found.retain(|key| of.is_none_or(|account| key.account_id == account));
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
    KeyToAdd {
        owner: Owner::Named(account),
        settings,
        hash: KeyHash::of(raw.as_bytes()),
        prefix: shown_prefix(raw),
        kind,
    }
}

fn check_not_ended(stored: &StoredKey, now: UnixMs) -> Result<(), StoreError> {
    let has_expired = stored.settings.expires_at.is_some_and(|at| now >= at);
    if stored.revoked_at.is_some() || has_expired { Err(StoreError::KeyEnded { id: stored.id }) } else { Ok(()) }
}

fn mint(kind: KeyKind, scheme: Scheme) -> Result<String, StoreError> {
    let mut random = [0; RANDOM_BYTES];
    getrandom::fill(&mut random).map_err(|_| StoreError::NoRandomness)?;
    Ok(kind.mint(scheme, &random))
}

/// Refuses what would break a table or a log.
pub(super) fn check_name(name: &str, what: &'static str) -> Result<(), StoreError> {
    let is_plain = name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control);
    if is_plain { Ok(()) } else { Err(StoreError::BadName { what }) }
}

/// What becomes of keys of a running server. All of it works at once in this process.
impl Store {
    /// Revokes a key by its id, its prefix or itself.
    ///
    /// # Errors
    /// When no key or several are meant, or the database cannot be written.
    pub fn revoke_key(&self, which: &str) -> Result<KeyEntry, StoreError> {
        self.with_keys(|table, now| table.revoke(which, now))
    }

    /// Keys of an account with an id below `before`, newest first, at most `limit` of them.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn keys_of(
        &self,
        account: AccountId,
        before: Option<KeyId>,
        limit: usize,
    ) -> Result<Vec<KeyEntry>, StoreError> {
        let keys = self.usage.read(|database| database.keys_of(account, before, limit))?;
        Ok(keys.into_iter().map(KeyEntry::of).collect())
    }

    /// One key of an account.
    ///
    /// # Errors
    /// When there is no such key, or the database cannot be read.
    pub fn key_of(&self, account: AccountId, id: KeyId) -> Result<KeyEntry, StoreError> {
        let found = self.usage.read(|database| database.key_by_id(id))?.filter(|key| key.account_id == account);
        found.map(KeyEntry::of).ok_or_else(|| StoreError::NoSuchKey { which: id.0.to_string() })
    }

    /// Makes a key of an account; the account's name in `new` is not looked at.
    ///
    /// # Errors
    /// When a name is not usable, there are too many keys, or the database cannot be written.
    pub fn create_key_of(&self, account: AccountId, new: &NewKey<'_>) -> Result<CreatedKey, StoreError> {
        self.with_keys(|table, now| table.create_of(account, new, now))
    }

    /// Changes what the owner of a key chooses.
    ///
    /// # Errors
    /// When there is no such key, it has ended, its name is not usable, or the database cannot be written.
    pub fn change_key(&self, key: KeyRef<'_>, change: impl FnOnce(&mut KeySettings)) -> Result<KeyEntry, StoreError> {
        let change = |settings: &mut KeySettings| {
            change(settings);
            Ok(())
        };
        self.with_keys(|table, now| table.change(key, change, now))
    }

    /// Puts a new key in the place of an old one, which ends after `grace_ms`.
    ///
    /// # Errors
    /// When there is no such key, it has ended, there are too many keys, or the database cannot be written.
    pub fn rotate_key(&self, key: KeyRef<'_>, grace_ms: u64) -> Result<CreatedKey, StoreError> {
        self.with_keys(|table, now| table.rotate(key, grace_ms, now))
    }

    /// Revokes a key of an account.
    ///
    /// # Errors
    /// When no key or several are meant, or the database cannot be written.
    pub fn revoke_key_of(&self, key: KeyRef<'_>) -> Result<KeyEntry, StoreError> {
        self.with_keys(|table, now| table.revoke_of(key, now))
    }
}
