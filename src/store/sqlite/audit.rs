//! SQL of `flux reconcile`: reads, counts and sums, all in one snapshot.
//!
//! Must not write.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, Transaction, params};

use super::{Database, DatabaseError, count};
use crate::base::ids::{AccountId, RequestId};
use crate::base::money::NanoUsd;
use crate::base::outcome::Draw;

const MS_PER_DAY: u64 = 86_400_000;
const HOURS_PER_DAY: u64 = 24;
const RANDOM_BITS: u32 = 80;
/// Faults of the file that are told.
const FAULTS_TOLD: &str = "PRAGMA quick_check(5)";

/// What the rows of an account add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Sums {
    /// How many there are.
    pub(in crate::store) requests: i64,
    /// All that was charged.
    pub(in crate::store) amount: NanoUsd,
    /// The part that packs paid.
    pub(in crate::store) from_packs: NanoUsd,
    /// The part beyond what was included.
    pub(in crate::store) overage: NanoUsd,
}

impl Sums {
    /// Both together.
    ///
    /// # Errors
    /// When a sum does not fit.
    pub(in crate::store) fn plus(self, other: Self) -> Result<Self, DatabaseError> {
        let sum = || {
            Some(Self {
                requests: self.requests.checked_add(other.requests)?,
                amount: self.amount.checked_add(other.amount)?,
                from_packs: self.from_packs.checked_add(other.from_packs)?,
                overage: self.overage.checked_add(other.overage)?,
            })
        };
        sum().ok_or(DatabaseError::TooLarge { what: "a sum of the ledger" })
    }
}

/// An account, what it says of itself and what the tables behind it say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct AccountSums {
    /// Its name; `None`: the ledger names an account that does not exist.
    pub(in crate::store) name: Option<String>,
    /// The stored balance.
    pub(in crate::store) balance: NanoUsd,
    /// The stored sum of packs, and what was used of them.
    pub(in crate::store) packs: (NanoUsd, NanoUsd),
    /// The packs themselves.
    pub(in crate::store) packs_bought: NanoUsd,
    /// Its rows.
    pub(in crate::store) ledger: Sums,
    /// What retention has taken out of them.
    pub(in crate::store) archived: Sums,
    /// The sums by the day.
    pub(in crate::store) daily: Sums,
}

/// All accounts, and rows that cannot be right.
#[derive(Debug, Default)]
pub(in crate::store) struct LedgerSums {
    /// By id.
    pub(in crate::store) accounts: BTreeMap<AccountId, AccountSums>,
    /// Rows whose parts are negative or more than the whole.
    pub(in crate::store) wrong_splits: u64,
}

impl Database {
    /// Begins to read: while the transaction is held, nothing is seen that others commit.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(in crate::store) fn begin_snapshot(&self) -> Result<Transaction<'_>, DatabaseError> {
        Ok(self.connection.unchecked_transaction()?)
    }

    /// Looks at every page.
    ///
    /// # Errors
    /// [`DatabaseError::Damaged`] when something is wrong with one.
    pub(in crate::store) fn check_pages(&self) -> Result<(), DatabaseError> {
        let mut check = self.connection.prepare(FAULTS_TOLD)?;
        let told = check.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
        if told == ["ok"] { Ok(()) } else { Err(DatabaseError::Damaged { what: told.join("; ") }) }
    }

    /// What every account says of itself, beside the sums of its rows, packs and days.
    ///
    /// # Errors
    /// When the database cannot be read, or a sum does not fit.
    pub(in crate::store) fn ledger_sums(&self) -> Result<LedgerSums, DatabaseError> {
        let mut sums = LedgerSums::default();
        self.add_accounts(&mut sums)?;
        let archived = "SELECT account_id, requests, amount_nano, from_packs_nano, overage_nano FROM ledger_archived";
        self.add_sums(archived, &mut |account, row| {
            let archived = &mut sums.accounts.entry(account).or_default().archived;
            *archived = archived.plus(row)?;
            Ok(())
        })?;
        let daily = "SELECT account_id, requests, amount_nano, from_packs_nano, overage_nano FROM usage_daily";
        self.add_sums(daily, &mut |account, row| {
            let daily = &mut sums.accounts.entry(account).or_default().daily;
            *daily = daily.plus(row)?;
            Ok(())
        })?;
        // Summed here: SQLite would sort all rows to group them.
        let rows = "SELECT account_id, 1, amount_nano, from_packs_nano, overage_nano FROM ledger";
        self.add_sums(rows, &mut |account, row| {
            let parts = row.from_packs.checked_add(row.overage);
            let is_right = row.from_packs >= NanoUsd::ZERO
                && row.overage >= NanoUsd::ZERO
                && parts.is_some_and(|parts| parts <= row.amount);
            sums.wrong_splits = sums.wrong_splits.saturating_add(u64::from(!is_right));
            let ledger = &mut sums.accounts.entry(account).or_default().ledger;
            *ledger = ledger.plus(row)?;
            Ok(())
        })?;
        Ok(sums)
    }

    fn add_accounts(&self, sums: &mut LedgerSums) -> Result<(), DatabaseError> {
        let mut select = self.connection.prepare(
            "SELECT id, name, balance_nano, packs_nano, packs_used_nano,
                (SELECT ifnull(sum(amount_nano), 0) FROM packs WHERE account_id = accounts.id) FROM accounts",
        )?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let account = AccountSums {
                name: row.get(1)?,
                balance: NanoUsd(row.get(2)?),
                packs: (NanoUsd(row.get(3)?), NanoUsd(row.get(4)?)),
                packs_bought: NanoUsd(row.get(5)?),
                ..AccountSums::default()
            };
            sums.accounts.insert(AccountId(row.get(0)?), account);
        }
        Ok(())
    }

    fn add_sums(
        &self,
        select: &str,
        add: &mut dyn FnMut(AccountId, Sums) -> Result<(), DatabaseError>,
    ) -> Result<(), DatabaseError> {
        let mut select = self.connection.prepare(select)?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let sums = Sums {
                requests: row.get(1)?,
                amount: NanoUsd(row.get(2)?),
                from_packs: NanoUsd(row.get(3)?),
                overage: NanoUsd(row.get(4)?),
            };
            add(AccountId(row.get(0)?), sums)?;
        }
        Ok(())
    }

    /// The days of which all rows are still there, numbered from 1970, as far as sums know them.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(in crate::store) fn whole_days(&self) -> Result<Vec<u64>, DatabaseError> {
        let mut select = self.connection.prepare(
            "WITH horizon AS (SELECT value / ?1 AS day FROM meta WHERE name = 'ledger_horizon')
             SELECT DISTINCT day FROM usage_daily WHERE day >= (SELECT day FROM horizon)
             UNION SELECT DISTINCT hour / ?2 FROM usage_hourly WHERE hour / ?2 >= (SELECT day FROM horizon)",
        )?;
        let days = select.query_map([MS_PER_DAY.cast_signed(), HOURS_PER_DAY.cast_signed()], |row| row.get(0))?;
        Ok(days.map(|day| day.map(i64::unsigned_abs)).collect::<Result<_, _>>()?)
    }

    /// Groups of a day whose sums by the hour are not those of its rows, and whose sums by the day are not those of its
    /// hours.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(in crate::store) fn differing_sums(&self, day: u64) -> Result<(i64, i64), DatabaseError> {
        // Rows have their place by their ids, which begin with their time.
        let id = |day: u64| (u128::from(day.saturating_mul(MS_PER_DAY)) << RANDOM_BITS).to_be_bytes();
        let hour = |day: u64| count(day.saturating_mul(HOURS_PER_DAY), "an hour");
        let next = day.saturating_add(1);
        let hours = self
            .connection
            .prepare_cached(DIFFERING_HOURS)?
            .query_row(params![id(day), id(next), hour(day)?, hour(next)?], |row| row.get(0))?;
        let days = self
            .connection
            .prepare_cached(DIFFERING_DAYS)?
            .query_row(params![count(day, "a day")?, hour(day)?, hour(next)?], |row| row.get(0))?;
        Ok((hours, days))
    }

    /// Requests that have more than one row.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(in crate::store) fn repeated_requests(&self) -> Result<i64, DatabaseError> {
        self.number("SELECT count(*) FROM (SELECT 1 FROM ledger GROUP BY request_id HAVING count(*) > 1)")
    }

    /// Keys that the ledger names and that do not exist.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(in crate::store) fn unknown_keys(&self) -> Result<i64, DatabaseError> {
        self.number("SELECT count(DISTINCT key_id) FROM ledger WHERE key_id NOT IN (SELECT id FROM keys)")
    }

    /// What a request was charged, and from where; `None`: it has no row.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(in crate::store) fn draw_of(&self, request: RequestId) -> Result<Option<Draw>, DatabaseError> {
        let mut select = self
            .connection
            .prepare_cached("SELECT amount_nano, from_packs_nano, overage_nano FROM ledger WHERE request_id = ?1")?;
        let draw = select.query_row([request.0.to_be_bytes()], |row| {
            Ok(Draw { charged: NanoUsd(row.get(0)?), from_packs: NanoUsd(row.get(1)?), overage: NanoUsd(row.get(2)?) })
        });
        Ok(draw.optional()?)
    }

    fn number(&self, select: &str) -> Result<i64, DatabaseError> {
        Ok(self.connection.query_row(select, [], |row| row.get(0))?)
    }
}

/// A group that both sides have alike is there twice.
const DIFFERING_HOURS: &str = "SELECT count(*) FROM (SELECT 1 FROM (
        SELECT account_id, at / 3600000 AS hour, key_id, lane, model, provider, ending, count(*) AS requests,
            sum(input + cache_read + cache_write_5m + cache_write_30m + cache_write_1h + cache_write_12h + input_image
                + cache_read_image + input_audio) AS input,
            sum(cache_read + cache_read_image) AS cached, sum(output + output_image + output_audio) AS output,
            sum(amount_nano) AS amount
        FROM ledger WHERE request_id >= ?1 AND request_id < ?2 GROUP BY +account_id, 2, key_id, lane, model, provider, ending
        UNION ALL
        SELECT account_id, hour, key_id, lane, model, provider, ending, requests, input, cached, output, amount_nano
        FROM usage_hourly WHERE hour >= ?3 AND hour < ?4
    ) GROUP BY account_id, hour, key_id, lane, model, provider, ending, requests, input, cached, output, amount
    HAVING count(*) <> 2)";

const DIFFERING_DAYS: &str = "SELECT count(*) FROM (SELECT 1 FROM (
        SELECT account_id, key_id, lane, model, provider, ending, sum(requests) AS requests, sum(input) AS input,
            sum(cached) AS cached, sum(output) AS output, sum(amount_nano) AS amount
        FROM usage_hourly WHERE hour >= ?2 AND hour < ?3 GROUP BY account_id, key_id, lane, model, provider, ending
        UNION ALL
        SELECT account_id, key_id, lane, model, provider, ending, requests, input, cached, output, amount_nano
        FROM usage_daily WHERE day = ?1
    ) GROUP BY account_id, key_id, lane, model, provider, ending, requests, input, cached, output, amount
    HAVING count(*) <> 2)";
