//! SQL of accounts and keys.
//!
//! Must not see a raw key: it is given hashes and prefixes.

use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::{Database, DatabaseError, count, lane_text, time, unix_ms, wish};
use crate::accounts::key::{Budget, KeyHash, KeyKind, KeySettings, Scope};
use crate::base::ids::{AccountId, KeyId};
use crate::base::money::NanoUsd;
use crate::base::period::Reset;
use crate::base::preference::ProviderBounds;
use crate::base::quality::Quality;
use crate::base::tariff::RateLimits;
use crate::base::time::UnixMs;
use crate::store::StoreError;

/// The columns of a key as they stand in [`key`]; the name of its account comes last.
pub(super) const KEY_COLUMNS: &str = "keys.id, keys.account_id, keys.name, keys.prefix, keys.kind, keys.created_at,
        keys.expires_at, keys.revoked_at, keys.last_used_at, keys.hash, keys.change, keys.scope,
        keys.allowed, keys.requests_per_second, keys.requests_per_minute, keys.tokens_per_minute, keys.concurrent,
        keys.budget_nano, keys.budget_reset, keys.shows_balance, keys.quality_milli, keys.auto_lane,
        keys.providers_only, keys.providers_ignored, keys.region";

/// A key as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct StoredKey {
    /// Its id.
    pub(in crate::store) id: KeyId,
    /// Its account.
    pub(in crate::store) account_id: AccountId,
    /// Its account's name.
    pub(in crate::store) account: String,
    /// Its SHA-256.
    pub(in crate::store) hash: KeyHash,
    /// The part of the raw key that may be shown.
    pub(in crate::store) prefix: String,
    /// Live or test.
    pub(in crate::store) kind: KeyKind,
    /// When it was made.
    pub(in crate::store) created_at: UnixMs,
    /// When it was revoked.
    pub(in crate::store) revoked_at: Option<UnixMs>,
    /// When it was last used.
    pub(in crate::store) last_used_at: Option<UnixMs>,
    /// What its owner has chosen.
    pub(in crate::store) settings: KeySettings,
    /// The counter of changes after its last one.
    pub(in crate::store) change: i64,
}

/// A key that takes the place of another.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Rotation<'a> {
    /// SHA-256 of the new raw key.
    pub(in crate::store) hash: KeyHash,
    /// The part of it that may be shown.
    pub(in crate::store) prefix: &'a str,
    /// When this happens.
    pub(in crate::store) now: UnixMs,
    /// When the old key ends.
    pub(in crate::store) ends_at: UnixMs,
    /// Keys that there may be.
    pub(in crate::store) keys_max: usize,
    /// Keys that its account may have.
    pub(in crate::store) of_account_max: usize,
}

/// Whose a new key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Owner<'a> {
    /// The account of this name; it is made if there is none.
    Named(&'a str),
    /// An account that is there, and may have so many keys.
    Of(AccountId, usize),
}

/// A key to be added.
#[derive(Clone, Debug)]
pub(in crate::store) struct KeyToAdd<'a> {
    /// Whose it will be.
    pub(in crate::store) owner: Owner<'a>,
    /// What its owner has chosen.
    pub(in crate::store) settings: &'a KeySettings,
    /// SHA-256 of the raw key.
    pub(in crate::store) hash: KeyHash,
    /// The part of the raw key that may be shown.
    pub(in crate::store) prefix: &'a str,
    /// Live or test.
    pub(in crate::store) kind: KeyKind,
}

impl Database {
    /// Keys that changed after the counter stood at `change`, in the order of their changes.
    /// 0: all of them.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(in crate::store) fn keys_changed_since(&self, change: i64) -> Result<Vec<StoredKey>, DatabaseError> {
        self.keys_where("keys.change > ?1 ORDER BY keys.change", change)
    }

    /// The keys whose prefix begins with the given characters, of one account or of all.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(in crate::store) fn keys_by_prefix(
        &self,
        begins: &str,
        of: Option<AccountId>,
    ) -> Result<Vec<StoredKey>, DatabaseError> {
        let Some(account) = of else {
            return self.keys_where("substr(keys.prefix, 1, length(?1)) = ?1 ORDER BY keys.id", begins);
        };
        let condition = "keys.account_id = ?1 AND substr(keys.prefix, 1, length(?2)) = ?2 ORDER BY keys.id";
        let mut select = self.connection.prepare_cached(&select_key(condition))?;
        let keys = select.query_map(params![account.0, begins], key)?;
        Ok(keys.collect::<Result<_, _>>()?)
    }

    /// The key of that id.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(in crate::store) fn key_by_id(&self, id: KeyId) -> Result<Option<StoredKey>, DatabaseError> {
        Ok(self.keys_where("keys.id = ?1", id.0)?.pop())
    }

    /// Keys of an account with an id below `before`, newest first, at most `limit` of them.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(in crate::store) fn keys_of(
        &self,
        account: AccountId,
        before: Option<KeyId>,
        limit: usize,
    ) -> Result<Vec<StoredKey>, DatabaseError> {
        let condition = "keys.account_id = ?1 AND keys.id < ?2 ORDER BY keys.id DESC LIMIT ?3";
        let mut select = self.connection.prepare_cached(&select_key(condition))?;
        let before = before.map_or(i64::MAX, |id| id.0);
        let keys = select.query_map(params![account.0, before, i64::try_from(limit).unwrap_or(i64::MAX)], key)?;
        Ok(keys.collect::<Result<_, _>>()?)
    }

    /// The key of that hash.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(in crate::store) fn key_by_hash(&self, hash: KeyHash) -> Result<Option<StoredKey>, DatabaseError> {
        Ok(self.keys_where("keys.hash = ?1", hash.0)?.pop())
    }

    fn keys_where(&self, condition: &str, value: impl rusqlite::ToSql) -> Result<Vec<StoredKey>, DatabaseError> {
        let mut select = self.connection.prepare_cached(&select_key(condition))?;
        let keys = select.query_map([value], key)?;
        Ok(keys.collect::<Result<_, _>>()?)
    }

    /// Adds a key, and its account where that is new.
    ///
    /// # Errors
    /// When there are `keys_max` keys, or the database cannot be written.
    pub(in crate::store) fn add_key(
        &mut self,
        new: &KeyToAdd<'_>,
        now: UnixMs,
        keys_max: usize,
    ) -> Result<KeyId, DatabaseError> {
        let transaction = self.write()?;
        let id = add_key(&transaction, new, now, keys_max)?;
        transaction.commit()?;
        Ok(id)
    }

    /// Adds the first keys, if there is none and never was; says whether it did. Several processes
    /// may try: one of them succeeds.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub(in crate::store) fn add_first_keys(
        &mut self,
        first: &[KeyToAdd<'_>],
        now: UnixMs,
    ) -> Result<bool, DatabaseError> {
        let transaction = self.write()?;
        if count_keys(&transaction)? > 0 {
            return Ok(false);
        }
        for new in first {
            add_key(&transaction, new, now, first.len())?;
        }
        transaction.commit()?;
        Ok(true)
    }

    /// Changes what the owner of a key chooses. `change` makes the new choice out of the key as it is; what it refuses
    /// is not changed.
    ///
    /// # Errors
    /// When there is no such key, `change` refuses, or the database cannot be written.
    pub(in crate::store) fn change_key(
        &mut self,
        id: KeyId,
        change: impl FnOnce(&StoredKey) -> Result<KeySettings, StoreError>,
    ) -> Result<(), StoreError> {
        let transaction = self.write()?;
        let settings = change(&find_key(&transaction, id)?)?;
        write_settings(&transaction, id, &settings)?;
        transaction.commit().map_err(DatabaseError::from)?;
        Ok(())
    }

    /// Puts a new key with the same settings beside one that `check` lets go, and lets the old one end at `ends_at`, or
    /// when it would have ended before. Returns the new key's id.
    ///
    /// # Errors
    /// When there is no such key, `check` refuses, there are too many keys, or the database cannot be written.
    pub(in crate::store) fn rotate_key(
        &mut self,
        id: KeyId,
        rotation: &Rotation<'_>,
        check: impl FnOnce(&StoredKey) -> Result<(), StoreError>,
    ) -> Result<KeyId, StoreError> {
        let Rotation { hash, prefix, now, ends_at, keys_max, of_account_max } = *rotation;
        let transaction = self.write()?;
        let old = find_key(&transaction, id)?;
        check(&old)?;
        let owner = Owner::Of(old.account_id, of_account_max);
        let new = KeyToAdd { owner, settings: &old.settings, hash, prefix, kind: old.kind };
        let new = add_key(&transaction, &new, now, keys_max)?;
        end_key(&transaction, id, ends_at, now)?;
        transaction.commit().map_err(DatabaseError::from)?;
        Ok(new)
    }

    /// Revokes a key; false when it was revoked before.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub(in crate::store) fn revoke_key(&mut self, id: KeyId, now: UnixMs) -> Result<bool, DatabaseError> {
        let transaction = self.write()?;
        let changed = transaction.execute(
            "UPDATE keys SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL",
            params![id.0, time(now)?],
        )?;
        transaction.commit()?;
        Ok(changed == 1)
    }
}

/// Reads keys, each as in [`key`].
fn select_key(condition: &str) -> String {
    format!(
        "SELECT {KEY_COLUMNS}, accounts.name FROM keys JOIN accounts ON accounts.id = keys.account_id WHERE {condition}"
    )
}

fn find_key(transaction: &Transaction<'_>, id: KeyId) -> Result<StoredKey, StoreError> {
    let mut select = transaction.prepare_cached(&select_key("keys.id = ?1")).map_err(DatabaseError::from)?;
    let found = select.query_row([id.0], key).optional().map_err(DatabaseError::from)?;
    found.ok_or_else(|| StoreError::NoSuchKey { which: id.0.to_string() })
}

/// Ends a key: at once, or at a moment to come if it would not have ended before.
fn end_key(transaction: &Transaction<'_>, id: KeyId, ends_at: UnixMs, now: UnixMs) -> Result<(), DatabaseError> {
    let (update, at) = if ends_at <= now {
        ("UPDATE keys SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL", now)
    } else {
        ("UPDATE keys SET expires_at = min(ifnull(expires_at, ?2), ?2) WHERE id = ?1", ends_at)
    };
    transaction.execute(update, params![id.0, time(at)?])?;
    Ok(())
}

fn count_keys(transaction: &Transaction<'_>) -> Result<usize, DatabaseError> {
    let keys: i64 = transaction.query_row("SELECT count(*) FROM keys", [], |row| row.get(0))?;
    Ok(usize::try_from(keys).unwrap_or(usize::MAX))
}

fn count_keys_of(transaction: &Transaction<'_>, account: AccountId) -> Result<usize, DatabaseError> {
    let select = "SELECT count(*) FROM keys WHERE account_id = ?1";
    let keys: i64 = transaction.query_row(select, [account.0], |row| row.get(0))?;
    Ok(usize::try_from(keys).unwrap_or(usize::MAX))
}

fn add_key(
    transaction: &Transaction<'_>,
    new: &KeyToAdd<'_>,
    now: UnixMs,
    keys_max: usize,
) -> Result<KeyId, DatabaseError> {
    if count_keys(transaction)? >= keys_max {
        return Err(DatabaseError::KeysFull { keys_max });
    }
    let account = match new.owner {
        Owner::Named(name) => account_named(transaction, name, now)?,
        Owner::Of(id, keys_max) if count_keys_of(transaction, id)? >= keys_max => {
            return Err(DatabaseError::AccountKeysFull { keys_max });
        }
        Owner::Of(id, _) => id,
    };
    transaction.execute(
        "INSERT INTO keys (account_id, hash, prefix, kind, created_at, name) VALUES (?1, ?2, ?3, ?4, ?5, '')",
        params![account.0, new.hash.0, new.prefix, new.kind.name(), time(now)?],
    )?;
    let id = KeyId(transaction.last_insert_rowid());
    write_settings(transaction, id, new.settings)?;
    Ok(id)
}

fn write_settings(transaction: &Transaction<'_>, id: KeyId, settings: &KeySettings) -> Result<(), DatabaseError> {
    let KeySettings { name, expires_at, scope, allowed, providers, limits, budget, shows_balance, auto } = settings;
    let ProviderBounds { only, ignore, region } = providers.as_deref().cloned().unwrap_or_default();
    let RateLimits { requests_per_second, requests_per_minute, tokens_per_minute, concurrent } = *limits;
    let allowed = if allowed.is_empty() { String::new() } else { serde_json::json!(allowed).to_string() };
    let tokens_per_minute = tokens_per_minute.map(|tokens| count(tokens, "a token limit")).transpose()?;
    transaction.execute(
        "UPDATE keys SET name = ?2, expires_at = ?3, scope = ?4, allowed = ?5, requests_per_second = ?6,
            requests_per_minute = ?7, tokens_per_minute = ?8, concurrent = ?9, budget_nano = ?10, budget_reset = ?11,
            shows_balance = ?12, quality_milli = ?13, auto_lane = ?14,
            providers_only = ?15, providers_ignored = ?16, region = ?17 WHERE id = ?1",
        params![
            id.0,
            name,
            expires_at.map(time).transpose()?,
            scope.name(),
            allowed,
            requests_per_second,
            requests_per_minute,
            tokens_per_minute,
            concurrent,
            budget.map(|budget| budget.amount.0),
            budget.map_or(Reset::CalendarMonth, |budget| budget.reset).name(),
            shows_balance,
            auto.quality.map(Quality::thousandths),
            lane_text(auto.lane),
            only.join(","),
            ignore.join(","),
            region.unwrap_or_default(),
        ],
    )?;
    Ok(())
}

fn account_named(transaction: &Transaction<'_>, name: &str, now: UnixMs) -> Result<AccountId, DatabaseError> {
    let found =
        transaction.query_row("SELECT id FROM accounts WHERE name = ?1", [name], |row| row.get(0)).optional()?;
    if let Some(id) = found {
        return Ok(AccountId(id));
    }
    transaction.execute("INSERT INTO accounts (name, created_at) VALUES (?1, ?2)", params![name, time(now)?])?;
    Ok(AccountId(transaction.last_insert_rowid()))
}

/// Reads a row of [`KEY_COLUMNS`] and the name of its account.
pub(super) fn key(row: &Row<'_>) -> rusqlite::Result<StoredKey> {
    let moment = |index: usize| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(index)?.map(unix_ms));
    // Words are looked at where they stand: a start reads all keys.
    let word = |index: usize| row.get_ref(index)?.as_str().map_err(rusqlite::Error::from);
    let budget = row.get::<_, Option<i64>>(17)?.map(NanoUsd);
    let reset = Reset::by_name(word(18)?).unwrap_or(Reset::Never);
    let tokens_per_minute: Option<i64> = row.get(15)?;
    let allowed = word(12)?;
    let settings = KeySettings {
        name: row.get(2)?,
        expires_at: moment(6)?,
        // The schema allows known words only; anything else must not be let do more.
        scope: Scope::by_name(word(11)?).unwrap_or(Scope::Inference),
        allowed: if allowed.is_empty() { Vec::new() } else { serde_json::from_str(allowed).unwrap_or_default() },
        providers: bounds(word(22)?, word(23)?, word(24)?),
        limits: RateLimits {
            requests_per_second: row.get(13)?,
            requests_per_minute: row.get(14)?,
            tokens_per_minute: tokens_per_minute.and_then(|tokens| u64::try_from(tokens).ok()),
            concurrent: row.get(16)?,
        },
        budget: budget.map(|amount| Budget { amount, reset }),
        shows_balance: row.get(19)?,
        auto: wish(row, 20)?,
    };
    Ok(StoredKey {
        id: KeyId(row.get(0)?),
        account_id: AccountId(row.get(1)?),
        prefix: row.get(3)?,
        // The schema allows these two; anything else must not reach a provider.
        kind: if word(4)? == KeyKind::Live.name() { KeyKind::Live } else { KeyKind::Test },
        created_at: unix_ms(row.get(5)?),
        revoked_at: moment(7)?,
        last_used_at: moment(8)?,
        hash: KeyHash(row.get(9)?),
        change: row.get(10)?,
        account: row.get(25)?,
        settings,
    })
}

fn bounds(only: &str, ignored: &str, region: &str) -> Option<Box<ProviderBounds>> {
    let region = (!region.is_empty()).then(|| region.into());
    ProviderBounds { only: provider_names(only), ignore: provider_names(ignored), region }.kept()
}

/// Any text is a list: what cannot be read must not leave more providers than what can.
fn provider_names(listed: &str) -> Vec<Box<str>> {
    listed.split(',').filter(|name| !name.is_empty()).map(Box::from).collect()
}
