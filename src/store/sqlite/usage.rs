//! SQL of usage: rows of the ledger by account, and sums of the daily roll-up.
//!
//! Must not write, and must not read a row of another account than the one asked for: every question names it, and
//! goes by an index that begins with it.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{OptionalExtension, Row, params};

use super::{Database, DatabaseError, unix_ms};
use crate::base::ids::{AccountId, KeyId, RequestId};
use crate::base::money::NanoUsd;
use crate::base::outcome::{Charge, Draw, Ending, Pieces, Routed};
use crate::base::usage::{CacheWrite, Usage};
use crate::base::wire_format::WireFormat;
use crate::store::usage::{Group, Page, SumOf, Sums, UsageFilter};

/// Reads one row; the columns stand as in [`charge`].
const SELECT_CHARGE: &str = "SELECT request_id, account_id, key_id, at, requested, lane, provider, model, wire_format,
        streamed, ending, attempts, input, cache_read, cache_write_5m, cache_write_30m, cache_write_1h,
        cache_write_12h, output, reasoning, input_image, cache_read_image, output_image, input_audio, output_audio,
        estimated, amount_nano, provider_cost_nano, latency_us, from_packs_nano, overage_nano, written_off_nano,
        service_tier, images, audio_ms, characters, kind_of_work, route_score_e4
    FROM ledger";
/// Rows that one page looks at: a rare filter over millions of rows comes in several pages, none of them late.
const SCANNED_ROWS_MAX: usize = 10_000;

impl Database {
    /// The newest rows of an account that `filter` lets through, from below `before` on.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(in crate::store) fn charges(
        &self,
        account: AccountId,
        filter: &UsageFilter,
        before: RequestId,
        limit: usize,
    ) -> Result<Page, DatabaseError> {
        let mut select = self.connection.prepare_cached(&page_sql(filter.key.is_some()))?;
        let from = filter.from.map_or(RequestId(0), |from| RequestId::new(from, 0));
        let until = filter.to.map_or(before, |to| RequestId::new(to, 0).min(before));
        let key = filter.key.map(|key| key.0);
        let mut rows = select.query(params![account.0, from.0.to_be_bytes(), until.0.to_be_bytes(), key])?;
        let mut page = Page::default();
        let mut scanned = 0;
        let mut last = None;
        while let Some(row) = rows.next()? {
            if scanned == SCANNED_ROWS_MAX {
                page.next = last;
                break;
            }
            scanned = scanned.saturating_add(1);
            let charge = charge(row)?;
            if filter.lets_through(&charge) {
                if page.charges.len() == limit {
                    page.next = page.charges.last().map(|charge| charge.request_id);
                    break;
                }
                page.charges.push(charge);
            }
            last = Some(request_id(row)?);
        }
        Ok(page)
    }

    /// The row of a request, if it is of that account.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(in crate::store) fn charge_of(
        &self,
        account: AccountId,
        request: RequestId,
    ) -> Result<Option<Charge>, DatabaseError> {
        let mut select = self.connection.prepare_cached(&format!(
            "{SELECT_CHARGE} INDEXED BY ledger_by_account WHERE account_id = ?1 AND request_id = ?2"
        ))?;
        Ok(select.query_row(params![account.0, request.0.to_be_bytes()], charge).optional()?)
    }

    /// Sums of days from `first` on, up to and without `end`, at most `limit` groups of them; of all accounts where none
    /// is named.
    ///
    /// # Errors
    /// When the database cannot be read, or a sum does not fit.
    pub(in crate::store) fn sums(
        &self,
        account: Option<AccountId>,
        filter: &UsageFilter,
        (first, end): (i64, i64),
        group: Group,
        limit: usize,
    ) -> Result<Vec<SumOf>, DatabaseError> {
        let mut select = self.connection.prepare_cached(&sums_sql(group, account.is_some()))?;
        let UsageFilter { key, model, lane, provider, ending, from: _, to: _ } = filter;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let sums = select.query_map(
            params![
                account.map(|account| account.0),
                first,
                end,
                key.map(|key| key.0),
                model,
                lane,
                provider,
                ending.map(Ending::name),
                limit
            ],
            sum,
        )?;
        Ok(sums.collect::<Result<_, _>>()?)
    }
}

/// Asks for rows of an account (1) from (2) until (3), of one key (4) or of all.
pub(in crate::store) fn page_sql(is_of_key: bool) -> String {
    let index = if is_of_key { "ledger_by_key" } else { "ledger_by_account" };
    let of_key = if is_of_key { "AND key_id = ?4" } else { "AND ?4 IS NULL" };
    format!(
        "{SELECT_CHARGE} INDEXED BY {index}
         WHERE account_id = ?1 AND request_id >= ?2 AND request_id < ?3 {of_key} ORDER BY request_id DESC"
    )
}

/// Asks for sums of an account (1), or of all, over days (2, 3).
pub(in crate::store) fn sums_sql(group: Group, is_of_account: bool) -> String {
    let (number, text, order) = match group {
        Group::All => ("0", "''", "1"),
        Group::Day => ("day", "''", "1 DESC"),
        Group::Key => ("key_id", "ifnull((SELECT prefix FROM keys WHERE keys.id = key_id), '')", "7 DESC, 1"),
        Group::Model => ("0", "model", "7 DESC, 2"),
        Group::Lane => ("0", "lane", "7 DESC, 2"),
    };
    let of_account = if is_of_account { "account_id = ?1" } else { "?1 IS NULL" };
    format!(
        "SELECT {number}, {text}, ifnull(sum(requests), 0), ifnull(sum(input), 0), ifnull(sum(cached), 0),
            ifnull(sum(output), 0), ifnull(sum(amount_nano), 0)
         FROM usage_daily
         WHERE {of_account} AND day >= ?2 AND day < ?3 AND (?4 IS NULL OR key_id = ?4)
            AND (?5 IS NULL OR model = ?5) AND (?6 IS NULL OR lane = ?6) AND (?7 IS NULL OR provider = ?7)
            AND (?8 IS NULL OR ending = ?8)
         GROUP BY 1, 2 HAVING sum(requests) > 0 ORDER BY {order} LIMIT ?9"
    )
}

fn sum(row: &Row<'_>) -> rusqlite::Result<SumOf> {
    let sums = Sums {
        requests: unsigned(row, 2)?,
        input: unsigned(row, 3)?,
        cached: unsigned(row, 4)?,
        output: unsigned(row, 5)?,
        amount: NanoUsd(row.get(6)?),
    };
    Ok(SumOf { number: row.get(0)?, text: row.get(1)?, sums })
}

fn unsigned(row: &Row<'_>, index: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(index)?).unwrap_or(0))
}

fn request_id(row: &Row<'_>) -> rusqlite::Result<RequestId> {
    Ok(RequestId(u128::from_be_bytes(row.get(0)?)))
}

fn charge(row: &Row<'_>) -> rusqlite::Result<Charge> {
    let tokens = |index: usize| unsigned(row, index);
    let name = |index: usize| row.get::<_, Box<str>>(index).map(Arc::<str>::from);
    let (format, ending): (Box<str>, Box<str>) = (row.get(8)?, row.get(10)?);
    Ok(Charge {
        request_id: request_id(row)?,
        account: AccountId(row.get(1)?),
        key: KeyId(row.get(2)?),
        at: unix_ms(row.get(3)?),
        requested: name(4)?,
        lane: name(5)?,
        provider: name(6)?,
        model: name(7)?,
        // Only names of these two lists are ever written.
        wire_format: WireFormat::by_name(&format).unwrap_or(WireFormat::OpenaiChat),
        streamed: row.get(9)?,
        ending: Ending::by_name(&ending).unwrap_or(Ending::Unsettled),
        attempts: row.get(11)?,
        usage: Usage {
            input: tokens(12)?,
            cache_read: tokens(13)?,
            cache_write: CacheWrite { m5: tokens(14)?, m30: tokens(15)?, h1: tokens(16)?, h12: tokens(17)? },
            output: tokens(18)?,
            reasoning: tokens(19)?,
            input_image: tokens(20)?,
            cache_read_image: tokens(21)?,
            output_image: tokens(22)?,
            input_audio: tokens(23)?,
            output_audio: tokens(24)?,
        },
        estimated: row.get(25)?,
        service_tier: row.get(32)?,
        pieces: Pieces { images: tokens(33)?, audio_ms: tokens(34)?, characters: tokens(35)? },
        draw: Draw {
            charged: NanoUsd(row.get(26)?),
            from_packs: NanoUsd(row.get(29)?),
            overage: NanoUsd(row.get(30)?),
        },
        written_off: NanoUsd(row.get(31)?),
        provider_cost: NanoUsd(row.get(27)?),
        idempotency: None,
        latency: Duration::from_micros(tokens(28)?),
        routed: match row.get(37)? {
            Some(score_e4) => Some(Routed { kind: name(36)?, score_e4 }),
            None => None,
        },
    })
}
