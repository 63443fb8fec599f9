//! SQL of `flux reconcile`: reads, counts and sums, all in one snapshot.
//!
//! Must not write.

use rusqlite::{OptionalExtension, Transaction};

use super::{Database, DatabaseError};
use crate::base::ids::{AccountId, RequestId};
use crate::base::money::NanoUsd;

/// An account, what it says of itself and what the ledger says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct AccountSums {
    /// Its id.
    pub(in crate::store) account: AccountId,
    /// Its name; `None`: the ledger names an account that does not exist.
    pub(in crate::store) name: Option<String>,
    /// The stored balance.
    pub(in crate::store) balance: NanoUsd,
    /// The sum of its rows.
    pub(in crate::store) ledger: NanoUsd,
    /// How many rows it has.
    pub(in crate::store) rows: i64,
}

impl Database {
    /// Begins to read: while the transaction is held, nothing is seen that others commit.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(in crate::store) fn begin_snapshot(&self) -> Result<Transaction<'_>, DatabaseError> {
        Ok(self.connection.unchecked_transaction()?)
    }

    /// Balances beside the sums of the ledger, for every account that either knows.
    ///
    /// # Errors
    /// When the database cannot be read, or a sum does not fit.
    pub(in crate::store) fn account_sums(&self) -> Result<Vec<AccountSums>, DatabaseError> {
        let mut select = self.connection.prepare_cached(
            "WITH sums AS (SELECT account_id, sum(amount_nano) AS amount, count(*) AS rows FROM ledger GROUP BY account_id)
             SELECT accounts.id, accounts.name, accounts.balance_nano, ifnull(sums.amount, 0), ifnull(sums.rows, 0)
             FROM accounts LEFT JOIN sums ON sums.account_id = accounts.id
             UNION ALL
             SELECT account_id, NULL, 0, amount, rows FROM sums WHERE account_id NOT IN (SELECT id FROM accounts)
             ORDER BY 1",
        )?;
        let sums = select.query_map([], |row| {
            Ok(AccountSums {
                account: AccountId(row.get(0)?),
                name: row.get(1)?,
                balance: NanoUsd(row.get(2)?),
                ledger: NanoUsd(row.get(3)?),
                rows: row.get(4)?,
            })
        })?;
        Ok(sums.collect::<Result<_, _>>()?)
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

    /// What a request was charged; `None`: it has no row.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(in crate::store) fn amount_of(&self, request: RequestId) -> Result<Option<NanoUsd>, DatabaseError> {
        let mut select = self.connection.prepare_cached("SELECT amount_nano FROM ledger WHERE request_id = ?1")?;
        Ok(select.query_row([request.0.to_be_bytes()], |row| row.get(0)).optional()?.map(NanoUsd))
    }

    fn number(&self, select: &str) -> Result<i64, DatabaseError> {
        Ok(self.connection.query_row(select, [], |row| row.get(0))?)
    }
}
