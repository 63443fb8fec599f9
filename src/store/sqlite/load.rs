//! SQL of a start: all keys and all that counts of their spending, read once and in the order of the tables.
//!
//! Must not hold what it reads: a row goes on as it comes.

use std::collections::HashMap;

use super::accounts::days;
use super::keys::{KEY_COLUMNS, StoredKey, key};
use super::{Database, DatabaseError};
use crate::accounts::funds::Spent;
use crate::base::ids::{AccountId, KeyId};
use crate::base::money::NanoUsd;
use crate::base::period::Period;

/// No period of an account or a budget that ends began earlier, in days.
const PERIOD_DAYS_MAX: i64 = 31;

/// What was spent on each of the last days; periods that began earlier are not in here.
#[derive(Debug)]
pub(in crate::store) struct SpentByDay {
    since: i64,
    accounts: HashMap<AccountId, Vec<(i64, Spent)>>,
    keys: HashMap<KeyId, Vec<(i64, NanoUsd)>>,
}

impl SpentByDay {
    /// What an account spent in a period; `None` where that is not known here.
    pub(in crate::store) fn by_account(&self, id: AccountId, period: Period) -> Option<Spent> {
        let sums = self.within(self.accounts.get(&id), period)?;
        Some(sums.fold(Spent::default(), |sum, spent| Spent {
            included: NanoUsd(sum.included.0.saturating_add(spent.included.0)),
            packs: NanoUsd(sum.packs.0.saturating_add(spent.packs.0)),
            overage: NanoUsd(sum.overage.0.saturating_add(spent.overage.0)),
        }))
    }

    /// What a key with a budget spent in a period; `None` where that is not known here.
    pub(in crate::store) fn by_key(&self, id: KeyId, period: Period) -> Option<NanoUsd> {
        let sums = self.within(self.keys.get(&id), period)?;
        Some(sums.fold(NanoUsd::ZERO, |sum, spent| NanoUsd(sum.0.saturating_add(spent.0))))
    }

    fn within<'a, T: Copy>(
        &self,
        days_of: Option<&'a Vec<(i64, T)>>,
        period: Period,
    ) -> Option<impl Iterator<Item = T> + 'a> {
        let (first, end) = days(period);
        let within = move |(day, sum): &'a (i64, T)| (first <= *day && *day < end).then_some(*sum);
        (first >= self.since).then(|| days_of.into_iter().flatten().filter_map(within))
    }
}

impl Database {
    /// Hands on the keys that changed after the counter stood at `change`, without their accounts' names. 0: all of them.
    ///
    /// # Errors
    /// When the database cannot be read, or what takes the keys fails.
    pub(in crate::store) fn each_key_changed_since<E: From<DatabaseError>>(
        &self,
        change: i64,
        mut take: impl FnMut(StoredKey) -> Result<(), E>,
    ) -> Result<(), E> {
        // In the order of the table, if it is to be read whole.
        let condition = if change == 0 { "?1 = 0" } else { "change > ?1" };
        let sql = format!("SELECT {KEY_COLUMNS}, '' FROM keys WHERE {condition}");
        let mut select = self.connection.prepare_cached(&sql).map_err(DatabaseError::from)?;
        let mut rows = select.query([change]).map_err(DatabaseError::from)?;
        while let Some(row) = rows.next().map_err(DatabaseError::from)? {
            take(key(row).map_err(DatabaseError::from)?)?;
        }
        Ok(())
    }

    /// What accounts, and keys with budgets, spent in the periods around today, as far as it is booked.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(in crate::store) fn spent_by_day(&self, today: i64) -> Result<SpentByDay, DatabaseError> {
        let since = today - PERIOD_DAYS_MAX;
        let mut spent = SpentByDay { since, accounts: HashMap::new(), keys: HashMap::new() };
        let mut select = self.connection.prepare(
            "SELECT account_id, day, sum(amount_nano - from_packs_nano - overage_nano), sum(from_packs_nano),
                sum(overage_nano)
             FROM usage_daily WHERE day >= ?1 GROUP BY account_id, day",
        )?;
        let mut rows = select.query([since])?;
        while let Some(row) = rows.next()? {
            let (included, packs) = (NanoUsd(row.get(2)?), NanoUsd(row.get(3)?));
            let sums = Spent { included, packs, overage: NanoUsd(row.get(4)?) };
            spent.accounts.entry(AccountId(row.get(0)?)).or_default().push((row.get(1)?, sums));
        }
        let mut select = self.connection.prepare(
            "SELECT key_id, day, sum(amount_nano) FROM usage_daily
             WHERE day >= ?1 AND key_id IN (SELECT id FROM keys WHERE budget_nano IS NOT NULL) GROUP BY key_id, day",
        )?;
        let mut rows = select.query([since])?;
        while let Some(row) = rows.next()? {
            spent.keys.entry(KeyId(row.get(0)?)).or_default().push((row.get(1)?, NanoUsd(row.get(2)?)));
        }
        Ok(spent)
    }
}
