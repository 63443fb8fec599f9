//! SQL of accounts: what they have agreed to, and what they have spent by the roll-ups.
//!
//! Must not know tariffs: an account names one, and the roll-ups hold sums.

use rusqlite::{Row, params};

use super::{Database, DatabaseError, unix_ms};
use crate::accounts::funds::Spent;
use crate::base::ids::{AccountId, KeyId};
use crate::base::money::NanoUsd;
use crate::base::period::Period;
use crate::base::time::UnixMs;

const MS_PER_DAY: u64 = 86_400_000;

const SELECT_ACCOUNT: &str =
    "SELECT id, name, created_at, tariff, cap_nano, closed_at, packs_nano, packs_used_nano, change
    FROM accounts";

/// An account as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct StoredAccount {
    /// Its id.
    pub(in crate::store) id: AccountId,
    /// For people.
    pub(in crate::store) name: String,
    /// When it began.
    pub(in crate::store) created_at: UnixMs,
    /// The id of its tariff; empty: the default.
    pub(in crate::store) tariff: String,
    /// The most usage of a period.
    pub(in crate::store) cap: Option<NanoUsd>,
    /// When it was deleted.
    pub(in crate::store) closed_at: Option<UnixMs>,
    /// All packs that were ever bought.
    pub(in crate::store) packs_bought: NanoUsd,
    /// What was ever used of them.
    pub(in crate::store) packs_used: NanoUsd,
    /// The counter of changes after its last one.
    pub(in crate::store) change: i64,
}

impl Database {
    /// Accounts that changed after the counter stood at `change`, in the order of their changes. 0: all of them.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(in crate::store) fn accounts_changed_since(&self, change: i64) -> Result<Vec<StoredAccount>, DatabaseError> {
        let mut select =
            self.connection.prepare_cached(&format!("{SELECT_ACCOUNT} WHERE change > ?1 ORDER BY change"))?;
        let accounts = select.query_map([change], account)?;
        Ok(accounts.collect::<Result<_, _>>()?)
    }

    /// What an account spent in a period, as far as it is booked. Periods begin and end with days.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(in crate::store) fn spent_by_account(&self, id: AccountId, period: Period) -> Result<Spent, DatabaseError> {
        let (first, end) = days(period);
        let mut select = self.connection.prepare_cached(
            "SELECT ifnull(sum(amount_nano - from_packs_nano - overage_nano), 0), ifnull(sum(overage_nano), 0)
             FROM usage_daily WHERE account_id = ?1 AND day >= ?2 AND day < ?3",
        )?;
        Ok(select.query_row(params![id.0, first, end], |row| {
            Ok(Spent { included: NanoUsd(row.get(0)?), overage: NanoUsd(row.get(1)?) })
        })?)
    }

    /// What a key spent in a period, as far as it is booked.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(in crate::store) fn spent_by_key(&self, id: KeyId, period: Period) -> Result<NanoUsd, DatabaseError> {
        let (first, end) = days(period);
        let mut select = self.connection.prepare_cached(
            "SELECT ifnull(sum(amount_nano), 0) FROM usage_daily WHERE key_id = ?1 AND day >= ?2 AND day < ?3",
        )?;
        Ok(select.query_row(params![id.0, first, end], |row| row.get(0).map(NanoUsd))?)
    }
}

/// The first day of a period and the first after it, numbered from 1970.
fn days(period: Period) -> (i64, i64) {
    let day = |at: UnixMs| i64::try_from(at.0 / MS_PER_DAY).unwrap_or(i64::MAX);
    (day(period.start), day(period.end))
}

fn account(row: &Row<'_>) -> rusqlite::Result<StoredAccount> {
    Ok(StoredAccount {
        id: AccountId(row.get(0)?),
        name: row.get(1)?,
        created_at: unix_ms(row.get(2)?),
        tariff: row.get(3)?,
        cap: row.get::<_, Option<i64>>(4)?.map(NanoUsd),
        closed_at: row.get::<_, Option<i64>>(5)?.map(unix_ms),
        packs_bought: NanoUsd(row.get(6)?),
        packs_used: NanoUsd(row.get(7)?),
        change: row.get(8)?,
    })
}
