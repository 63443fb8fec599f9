//! SQL of accounts and keys.
//!
//! Must not see a raw key: it is given hashes and prefixes.

use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::{Database, DatabaseError, time, unix_ms};
use crate::accounts::key::{KeyHash, KeyKind, KeyState, LastUsed};
use crate::base::ids::{AccountId, KeyId};
use crate::base::time::UnixMs;

/// Reads one key; the columns stand as in [`key`].
const SELECT_KEY: &str = "SELECT keys.id, keys.account_id, keys.name, keys.prefix, keys.kind, keys.created_at,
        keys.expires_at, keys.revoked_at, keys.last_used_at, keys.hash, keys.change, accounts.name
    FROM keys JOIN accounts ON accounts.id = keys.account_id";

/// A key as it is stored.
#[derive(Debug)]
pub(in crate::store) struct StoredKey {
    /// Its SHA-256.
    pub(in crate::store) hash: KeyHash,
    /// All the rest.
    pub(in crate::store) state: KeyState,
    /// Its account's name.
    pub(in crate::store) account: String,
    /// The counter of changes after its last one.
    pub(in crate::store) change: i64,
}

/// A key to be added.
#[derive(Clone, Debug)]
pub(in crate::store) struct KeyToAdd<'a> {
    /// The account's name; it is made if there is none of that name.
    pub(in crate::store) account: &'a str,
    /// What its owner calls it.
    pub(in crate::store) name: &'a str,
    /// SHA-256 of the raw key.
    pub(in crate::store) hash: KeyHash,
    /// The part of the raw key that may be shown.
    pub(in crate::store) prefix: &'a str,
    /// Live or test.
    pub(in crate::store) kind: KeyKind,
    /// From when on it is refused.
    pub(in crate::store) expires_at: Option<UnixMs>,
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

    /// The keys of that id, or whose prefix begins with the given characters.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(in crate::store) fn keys_by_prefix(&self, begins: &str) -> Result<Vec<StoredKey>, DatabaseError> {
        self.keys_where("substr(keys.prefix, 1, length(?1)) = ?1 ORDER BY keys.id", begins)
    }

    /// The key of that id.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(in crate::store) fn key_by_id(&self, id: KeyId) -> Result<Option<StoredKey>, DatabaseError> {
        Ok(self.keys_where("keys.id = ?1", id.0)?.pop())
    }

    /// The key of that hash.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(in crate::store) fn key_by_hash(&self, hash: KeyHash) -> Result<Option<StoredKey>, DatabaseError> {
        Ok(self.keys_where("keys.hash = ?1", hash.0)?.pop())
    }

    fn keys_where(&self, condition: &str, value: impl rusqlite::ToSql) -> Result<Vec<StoredKey>, DatabaseError> {
        let mut select = self.connection.prepare_cached(&format!("{SELECT_KEY} WHERE {condition}"))?;
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

fn count_keys(transaction: &Transaction<'_>) -> Result<usize, DatabaseError> {
    let keys: i64 = transaction.query_row("SELECT count(*) FROM keys", [], |row| row.get(0))?;
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
    let account = account_named(transaction, new.account, now)?;
    let expires_at = new.expires_at.map(time).transpose()?;
    transaction.execute(
        "INSERT INTO keys (account_id, hash, prefix, name, kind, created_at, expires_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![account.0, new.hash.0, new.prefix, new.name, new.kind.name(), time(now)?, expires_at],
    )?;
    Ok(KeyId(transaction.last_insert_rowid()))
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

fn key(row: &Row<'_>) -> rusqlite::Result<StoredKey> {
    let moment = |index: usize| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(index)?.map(unix_ms));
    let kind: String = row.get(4)?;
    let state = KeyState {
        id: KeyId(row.get(0)?),
        account: AccountId(row.get(1)?),
        name: row.get(2)?,
        prefix: row.get(3)?,
        // The schema allows these two; anything else must not reach a provider.
        kind: if kind == KeyKind::Live.name() { KeyKind::Live } else { KeyKind::Test },
        created_at: unix_ms(row.get(5)?),
        expires_at: moment(6)?,
        revoked_at: moment(7)?,
        last_used: LastUsed::stored(moment(8)?),
    };
    Ok(StoredKey { hash: KeyHash(row.get(9)?), state, change: row.get(10)?, account: row.get(11)? })
}
