//! SQL of feedback: what callers say of answers, beside what the ledger knows of them.
//!
//! Must not touch a row of another account than the one named: it goes by an index that begins with it.

use std::sync::Arc;

use rusqlite::params;

use super::{Database, DatabaseError, time};
use crate::base::ids::{AccountId, RequestId};
use crate::base::money::NanoUsd;
use crate::base::time::UnixMs;
use crate::store::feedback::{Feedback, FeedbackPage, JudgedRequest};

impl Database {
    /// Notes what is said of a request, in the place of what was said before; false where the account has no such row.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub(in crate::store) fn note_feedback(
        &mut self,
        account: AccountId,
        feedback: &Feedback,
        now: UnixMs,
    ) -> Result<bool, DatabaseError> {
        let transaction = self.write()?;
        let noted = transaction
            .prepare_cached(
                "INSERT INTO feedback (request_id, account_id, at, quality_milli)
                 SELECT request_id, account_id, ?3, ?4 FROM ledger INDEXED BY ledger_by_account
                    WHERE account_id = ?1 AND request_id = ?2
                 ON CONFLICT (request_id) DO UPDATE SET at = excluded.at, quality_milli = excluded.quality_milli",
            )?
            .execute(params![
                account.0,
                feedback.request_id.0.to_be_bytes(),
                time(now)?,
                feedback.quality.thousandths()
            ])?;
        transaction.commit()?;
        Ok(noted == 1)
    }

    /// Requests of which something was said, oldest first, from behind `after` on; of all accounts where none is named.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(in crate::store) fn judged_requests(
        &self,
        account: Option<AccountId>,
        after: RequestId,
        limit: usize,
    ) -> Result<FeedbackPage, DatabaseError> {
        let of_account = if account.is_some() { "feedback.account_id = ?1" } else { "?1 IS NULL" };
        let mut select = self.connection.prepare_cached(&format!(
            "SELECT feedback.request_id, feedback.account_id, feedback.quality_milli, kind_of_work, lane, model, amount_nano,
                input + cache_read + cache_write_5m + cache_write_30m + cache_write_1h + cache_write_12h + input_image
                    + cache_read_image + input_audio,
                output + output_image + output_audio
             FROM feedback JOIN ledger ON ledger.request_id = feedback.request_id
             WHERE {of_account} AND feedback.request_id > ?2 ORDER BY feedback.request_id LIMIT ?3"
        ))?;
        let most = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = select.query_map(params![account.map(|id| id.0), after.0.to_be_bytes(), most], |row| {
            let text = |index: usize| row.get::<_, Box<str>>(index).map(Arc::<str>::from);
            let tokens = |index: usize| row.get::<_, i64>(index).map(i64::unsigned_abs);
            Ok(JudgedRequest {
                request_id: RequestId(u128::from_be_bytes(row.get(0)?)),
                account: AccountId(row.get(1)?),
                quality_milli: row.get(2)?,
                kind: text(3)?,
                lane: text(4)?,
                model: text(5)?,
                cost: NanoUsd(row.get(6)?),
                input_tokens: tokens(7)?,
                output_tokens: tokens(8)?,
            })
        })?;
        let requests = rows.collect::<Result<Vec<_>, _>>()?;
        let next = requests.last().filter(|_| requests.len() == limit).map(|last| last.request_id);
        Ok(FeedbackPage { requests, next })
    }
}
