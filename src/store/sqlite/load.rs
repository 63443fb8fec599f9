//! SQL of a start: all keys and all that counts of their spending, read once and in the order of the tables.
//!
//! Must not hold what it reads: a row goes on as it comes.

use std::collections::HashMap;

use rusqlite::{Params, Row, params};

use super::accounts::days;
use super::keys::{KEY_COLUMNS, StoredKey, key};
use super::{Database, DatabaseError};
use crate::accounts::funds::Spent;
use crate::base::ids::{AccountId, KeyId};
use crate::base::money::NanoUsd;
use crate::base::period::{Period, Reset};
use crate::base::time::UnixMs;

/// No period of an account that ends began earlier, in days.
const PERIOD_DAYS_MAX: i64 = 31;

/// What was spent lately: by accounts on each of the last days, by keys in the periods that budgets have and that end.
#[derive(Debug)]
pub(in crate::store) struct SpentLately {
    since: i64,
    accounts: HashMap<AccountId, Vec<(i64, Spent)>>,
    /// Today and this month, as days.
    periods: [(i64, i64); 2],
    /// The sums of both.
    keys: HashMap<KeyId, [NanoUsd; 2]>,
}

impl SpentLately {
    /// What an account spent in a period; `None` where that is not known here.
    pub(in crate::store) fn by_account(&self, id: AccountId, period: Period) -> Option<Spent> {
        let (first, end) = days(period);
        let days_of = self.accounts.get(&id).into_iter().flatten();
        let within = days_of.filter(|(day, _)| first <= *day && *day < end);
        (first >= self.since).then(|| within.fold(Spent::default(), |sum, (_, spent)| sum.plus(*spent)))
    }

    /// What a key spent in a period; `None` where that is not known here.
    pub(in crate::store) fn by_key(&self, id: KeyId, period: Period) -> Option<NanoUsd> {
        let at = self.periods.iter().position(|known| *known == days(period))?;
        self.keys.get(&id).map_or(Some(NanoUsd::ZERO), |sums| sums.get(at).copied())
    }

    fn add(&mut self, row: &Row<'_>) -> rusqlite::Result<()> {
        let (account, day, key) = (AccountId(row.get(0)?), row.get(1)?, KeyId(row.get(2)?));
        let (charged, packs, overage): (i64, _, _) = (row.get(3)?, NanoUsd(row.get(4)?), NanoUsd(row.get(5)?));
        let included = NanoUsd(charged.saturating_sub(packs.0).saturating_sub(overage.0));
        let spent = Spent { included, packs, overage };
        let days = self.accounts.entry(account).or_default();
        match days.last_mut() {
            Some((last, sum)) if *last == day => *sum = sum.plus(spent),
            Some(_) | None => days.push((day, spent)),
        }
        let sums = self.keys.entry(key).or_default();
        for (sum, (first, end)) in sums.iter_mut().zip(self.periods) {
            if first <= day && day < end {
                sum.0 = sum.0.saturating_add(charged);
            }
        }
        Ok(())
    }
}

impl Database {
    /// Hands on the keys with ids from `first` to `last`, without their accounts' names.
    ///
    /// # Errors
    /// When the database cannot be read, or what takes the keys fails.
    pub(in crate::store) fn each_key<E: From<DatabaseError>>(
        &self,
        (first, last): (i64, i64),
        take: impl FnMut(StoredKey) -> Result<(), E>,
    ) -> Result<(), E> {
        self.hand_on("id BETWEEN ?1 AND ?2", params![first, last], take)
    }

    /// Hands on the keys that changed after the counter stood at `change`, without their accounts' names.
    ///
    /// # Errors
    /// When the database cannot be read, or what takes the keys fails.
    pub(in crate::store) fn each_key_changed_since<E: From<DatabaseError>>(
        &self,
        change: i64,
        take: impl FnMut(StoredKey) -> Result<(), E>,
    ) -> Result<(), E> {
        self.hand_on("change > ?1", params![change], take)
    }

    fn hand_on<E: From<DatabaseError>>(
        &self,
        condition: &str,
        values: impl Params,
        mut take: impl FnMut(StoredKey) -> Result<(), E>,
    ) -> Result<(), E> {
        let sql = format!("SELECT {KEY_COLUMNS}, '' FROM keys WHERE {condition}");
        let mut select = self.connection.prepare_cached(&sql).map_err(DatabaseError::from)?;
        let mut rows = select.query(values).map_err(DatabaseError::from)?;
        while let Some(row) = rows.next().map_err(DatabaseError::from)? {
            take(key(row).map_err(DatabaseError::from)?)?;
        }
        Ok(())
    }

    /// The first id of a key and the last; none is between them where there are no keys.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(in crate::store) fn key_ids(&self) -> Result<(i64, i64), DatabaseError> {
        // Each by a look at one end of the table; asked for together they would be looked for in all of it.
        let sql = "SELECT ifnull((SELECT min(id) FROM keys), 0), ifnull((SELECT max(id) FROM keys), -1)";
        Ok(self.connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?)
    }

    /// The counter after the last change of any key.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(in crate::store) fn last_key_change(&self) -> Result<i64, DatabaseError> {
        Ok(self.connection.query_row("SELECT ifnull(max(change), 0) FROM keys", [], |row| row.get(0))?)
    }

    /// What accounts and keys spent in the periods around `now`, as far as it is booked.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(in crate::store) fn spent_lately(&self, now: UnixMs) -> Result<SpentLately, DatabaseError> {
        let periods = [Reset::Daily, Reset::CalendarMonth].map(|reset| days(Period::around(now, reset, UnixMs(0))));
        let [(today, _), _] = periods;
        let since = today - PERIOD_DAYS_MAX;
        let mut spent = SpentLately { since, accounts: HashMap::new(), periods, keys: HashMap::new() };
        // Summed here: SQLite would sort what comes in the order of days anyway.
        let mut select = self.connection.prepare(
            "SELECT account_id, day, key_id, amount_nano, from_packs_nano, overage_nano
             FROM usage_daily INDEXED BY usage_daily_by_day WHERE day >= ?1",
        )?;
        let mut rows = select.query([since])?;
        while let Some(row) = rows.next()? {
            spent.add(row)?;
        }
        Ok(spent)
    }
}
