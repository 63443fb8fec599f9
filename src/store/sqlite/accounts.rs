//! SQL of accounts: what they have agreed to and bought, and what they have spent by the roll-ups.
//!
//! Must not know tariffs: an account names one, and the roll-ups hold sums.

use rusqlite::{Row, ToSql, params};

use super::{Database, DatabaseError, lane_text, time, unix_ms, wish};
use crate::accounts::funds::Spent;
use crate::base::ids::{AccountId, KeyId};
use crate::base::money::NanoUsd;
use crate::base::period::Period;
use crate::base::quality::Quality;
use crate::base::time::UnixMs;
use crate::base::wish::AutoWish;
use crate::store::accounts::{Change, NewAccount, Setting};

const MS_PER_DAY: u64 = 86_400_000;

const SELECT_ACCOUNT: &str =
    "SELECT id, name, created_at, tariff, cap_nano, closed_at, packs_nano, packs_used_nano, change,
        balance_nano, purged_at, quality_milli, auto_lane
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
    /// What it wishes of `flux-auto`.
    pub(in crate::store) auto: AutoWish,
    /// When it was deleted.
    pub(in crate::store) closed_at: Option<UnixMs>,
    /// All packs that were ever bought.
    pub(in crate::store) packs_bought: NanoUsd,
    /// What was ever used of them.
    pub(in crate::store) packs_used: NanoUsd,
    /// The counter of changes after its last one.
    pub(in crate::store) change: i64,
    /// What it was ever charged.
    pub(in crate::store) charged: NanoUsd,
    /// When what tells of a person was taken out.
    pub(in crate::store) purged_at: Option<UnixMs>,
}

/// A pack as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct StoredPack {
    /// Its id.
    pub(in crate::store) id: i64,
    /// When it was bought.
    pub(in crate::store) bought_at: UnixMs,
    /// The usage that it pays.
    pub(in crate::store) amount: NanoUsd,
    /// What was paid for it.
    pub(in crate::store) price: NanoUsd,
    /// For people.
    pub(in crate::store) note: String,
}

impl<T> Setting<T> {
    /// Whether the column changes, and to what.
    fn stored<U>(self, value: impl FnOnce(T) -> U) -> (bool, Option<U>) {
        match self {
            Self::Keep => (false, None),
            Self::Remove => (true, None),
            Self::Set(set) => (true, Some(value(set))),
        }
    }
}

impl Database {
    /// Adds an account; `None` when there is one of that name.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub(in crate::store) fn add_account(
        &mut self,
        new: &NewAccount<'_>,
        now: UnixMs,
    ) -> Result<Option<AccountId>, DatabaseError> {
        let NewAccount { name, tariff, cap, auto } = *new;
        let transaction = self.write()?;
        let added = transaction.execute(
            "INSERT INTO accounts (name, tariff, cap_nano, created_at, quality_milli, auto_lane)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (name) DO NOTHING",
            params![
                name,
                tariff,
                cap.map(|cap| cap.0),
                time(now)?,
                auto.quality.map(Quality::thousandths),
                lane_text(auto.lane)
            ],
        )?;
        let id = AccountId(transaction.last_insert_rowid());
        transaction.commit()?;
        Ok((added == 1).then_some(id))
    }

    /// The account of that id.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(in crate::store) fn account_by_id(&self, id: AccountId) -> Result<Option<StoredAccount>, DatabaseError> {
        Ok(self.accounts_where("id = ?1", id.0)?.pop())
    }

    /// The account of that name.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(in crate::store) fn account_by_name(&self, name: &str) -> Result<Option<StoredAccount>, DatabaseError> {
        Ok(self.accounts_where("name = ?1", name)?.pop())
    }

    fn accounts_where(&self, condition: &str, value: impl ToSql) -> Result<Vec<StoredAccount>, DatabaseError> {
        let mut select = self.connection.prepare_cached(&format!("{SELECT_ACCOUNT} WHERE {condition}"))?;
        let accounts = select.query_map([value], account)?;
        Ok(accounts.collect::<Result<_, _>>()?)
    }

    /// Changes what an account has agreed to; false when it is closed.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub(in crate::store) fn change_account(
        &mut self,
        id: AccountId,
        change: Change<'_>,
    ) -> Result<bool, DatabaseError> {
        let Change { tariff, cap, quality, lane } = change;
        let (is_cap_changed, cap) = cap.stored(|cap| cap.0);
        let (is_quality_changed, quality) = quality.stored(Quality::thousandths);
        let (is_lane_changed, lane) = lane.stored(|lane| lane.to_string());
        let transaction = self.write()?;
        let changed = transaction.execute(
            "UPDATE accounts SET tariff = ifnull(?2, tariff), cap_nano = CASE WHEN ?3 THEN ?4 ELSE cap_nano END,
                quality_milli = CASE WHEN ?5 THEN ?6 ELSE quality_milli END,
                auto_lane = CASE WHEN ?7 THEN ?8 ELSE auto_lane END
             WHERE id = ?1 AND closed_at IS NULL",
            params![id.0, tariff, is_cap_changed, cap, is_quality_changed, quality, is_lane_changed, lane],
        )?;
        transaction.commit()?;
        Ok(changed == 1)
    }

    /// Adds a pack to an account that is open.
    ///
    /// # Errors
    /// When the account is closed, or the database cannot be written.
    pub(in crate::store) fn add_pack(
        &mut self,
        account: AccountId,
        (amount, price): (NanoUsd, NanoUsd),
        note: &str,
        now: UnixMs,
    ) -> Result<(), DatabaseError> {
        let transaction = self.write()?;
        transaction.execute(
            "INSERT INTO packs (account_id, bought_at, amount_nano, price_nano, note) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![account.0, time(now)?, amount.0, price.0, note],
        )?;
        Ok(transaction.commit()?)
    }

    /// The packs of an account, newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(in crate::store) fn packs_of(&self, account: AccountId) -> Result<Vec<StoredPack>, DatabaseError> {
        let mut select = self.connection.prepare_cached(
            "SELECT id, bought_at, amount_nano, price_nano, note FROM packs WHERE account_id = ?1 ORDER BY id DESC",
        )?;
        let packs = select.query_map([account.0], |row| {
            Ok(StoredPack {
                id: row.get(0)?,
                bought_at: unix_ms(row.get(1)?),
                amount: NanoUsd(row.get(2)?),
                price: NanoUsd(row.get(3)?),
                note: row.get(4)?,
            })
        })?;
        Ok(packs.collect::<Result<_, _>>()?)
    }

    /// Keys of an account that are not revoked.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(in crate::store) fn live_keys_of(&self, account: AccountId) -> Result<i64, DatabaseError> {
        let mut select =
            self.connection.prepare_cached("SELECT count(*) FROM keys WHERE account_id = ?1 AND revoked_at IS NULL")?;
        Ok(select.query_row([account.0], |row| row.get(0))?)
    }

    /// Closes an account and revokes all of its keys; false when it was closed before.
    ///
    /// # Errors
    /// When the database cannot be written; nothing has changed then.
    pub(in crate::store) fn close_account(&mut self, id: AccountId, now: UnixMs) -> Result<bool, DatabaseError> {
        let transaction = self.write()?;
        let now = time(now)?;
        let closed = transaction
            .execute("UPDATE accounts SET closed_at = ?2 WHERE id = ?1 AND closed_at IS NULL", params![id.0, now])?;
        transaction.execute(
            "UPDATE keys SET revoked_at = ?2 WHERE account_id = ?1 AND revoked_at IS NULL",
            params![id.0, now],
        )?;
        transaction.commit()?;
        Ok(closed == 1)
    }

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
            "SELECT ifnull(sum(amount_nano - from_packs_nano - overage_nano), 0), ifnull(sum(from_packs_nano), 0),
                ifnull(sum(overage_nano), 0)
             FROM usage_daily WHERE account_id = ?1 AND day >= ?2 AND day < ?3",
        )?;
        Ok(select.query_row(params![id.0, first, end], |row| {
            Ok(Spent { included: NanoUsd(row.get(0)?), packs: NanoUsd(row.get(1)?), overage: NanoUsd(row.get(2)?) })
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
pub(super) fn days(period: Period) -> (i64, i64) {
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
        charged: NanoUsd(row.get(9)?),
        purged_at: row.get::<_, Option<i64>>(10)?.map(unix_ms),
        auto: wish(row, 11)?,
    })
}
