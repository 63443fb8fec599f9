//! SQL of what goes with time: old rows of the ledger, old sums by the hour, what tells of people who have left.
//!
//! Must not lose a sum: a trigger adds each row that goes to `ledger_archived`, and refuses rows of after the horizon.

use rusqlite::params;

use super::{Database, DatabaseError, count, time, unix_ms};
use crate::base::time::UnixMs;

const MS_PER_HOUR: u64 = 3_600_000;
const RANDOM_BITS: u32 = 80;

/// What went in a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Archived {
    /// Rows of the ledger.
    pub(in crate::store) rows: usize,
    /// Sums by the hour.
    pub(in crate::store) hours: usize,
}

impl Database {
    /// Rows from before this moment may be gone.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(in crate::store) fn horizon(&self) -> Result<UnixMs, DatabaseError> {
        let select = "SELECT value FROM meta WHERE name = 'ledger_horizon'";
        Ok(self.connection.query_row(select, [], |row| row.get(0).map(unix_ms))?)
    }

    /// Takes up to `rows_max` of the oldest rows from before `horizon` out of the ledger, and as many of the sums by the
    /// hour. Returns how many of both went: fewer than `rows_max` of each when that is all.
    ///
    /// # Errors
    /// When the database cannot be written; nothing has changed then.
    pub(in crate::store) fn archive(&mut self, horizon: UnixMs, rows_max: usize) -> Result<Archived, DatabaseError> {
        let first_kept = (u128::from(horizon.0) << RANDOM_BITS).to_be_bytes();
        let (at, rows_max) = (time(horizon)?, i64::try_from(rows_max).unwrap_or(i64::MAX));
        let hour = count(horizon.0 / MS_PER_HOUR, "an hour")?;
        let transaction = self.write()?;
        transaction
            .prepare_cached("UPDATE meta SET value = ?1 WHERE name = 'ledger_horizon' AND value < ?1")?
            .execute([at])?;
        // Request ids begin with their time, so the oldest stand at the front.
        let rows = transaction
            .prepare_cached(
                "DELETE FROM ledger WHERE request_id IN
                    (SELECT request_id FROM ledger WHERE request_id < ?1 AND at < ?2 ORDER BY request_id LIMIT ?3)",
            )?
            .execute(params![first_kept, at, rows_max])?;
        let hours = transaction
            .prepare_cached(
                "DELETE FROM usage_hourly WHERE (account_id, hour, key_id, lane, model, provider, ending) IN
                    (SELECT account_id, hour, key_id, lane, model, provider, ending FROM usage_hourly
                     WHERE hour < ?1 LIMIT ?2)",
            )?
            .execute([hour, rows_max])?;
        transaction.commit()?;
        Ok(Archived { rows, hours })
    }

    /// Takes what tells of a person out of accounts that were closed before `before`: their names, the names of their
    /// keys, the notes of their packs, what they said of answers. Sums stay. Returns how many accounts that were.
    ///
    /// # Errors
    /// When the database cannot be written; nothing has changed then.
    pub(in crate::store) fn purge_accounts(&mut self, before: UnixMs, now: UnixMs) -> Result<usize, DatabaseError> {
        let due = "closed_at IS NOT NULL AND purged_at IS NULL AND closed_at < ?1";
        let (before, now) = (time(before)?, time(now)?);
        let is_due = format!("SELECT EXISTS (SELECT 1 FROM accounts WHERE {due})");
        if !self.connection.prepare_cached(&is_due)?.query_row([before], |row| row.get::<_, bool>(0))? {
            return Ok(0);
        }
        let transaction = self.write()?;
        let of_due = format!("account_id IN (SELECT id FROM accounts WHERE {due})");
        transaction.execute(&format!("UPDATE keys SET name = '' WHERE name <> '' AND {of_due}"), [before])?;
        transaction.execute(&format!("UPDATE packs SET note = '' WHERE note <> '' AND {of_due}"), [before])?;
        transaction.execute(&format!("DELETE FROM feedback WHERE {of_due}"), [before])?;
        // Names are unique; nobody can have taken this one.
        let rename = "name = 'deleted-' || id || '-' || lower(hex(randomblob(4)))";
        let purged =
            transaction.execute(&format!("UPDATE accounts SET {rename}, purged_at = ?2 WHERE {due}"), [before, now])?;
        transaction.commit()?;
        // The log of writes has it too, until it is written over. A reader may be in the way: then the next time.
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(purged)
    }
}
