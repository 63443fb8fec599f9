//! SQL of the ledger: a batch of charges, the balances they change and the journal's position, all
//! in one transaction.
//!
//! Must not know the journal's files.

#![deny(clippy::arithmetic_side_effects)]

use std::collections::BTreeMap;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{OptionalExtension as _, Statement, Transaction, params};

use super::rollup::Rollup;
use super::{Database, DatabaseError, count, time};
use crate::accounts::idempotency::{Mark, REMEMBERED};
use crate::base::ids::{AccountId, KeyId, RequestId};
use crate::base::money::NanoUsd;
use crate::base::outcome::{Charge, Draw, Pieces};
use crate::base::time::UnixMs;
use crate::base::usage::{CacheWrite, Usage};
use crate::store::journal::read::Position;

const INSERT: &str = "INSERT INTO ledger (
        request_id, account_id, key_id, at, requested, lane, provider, model, wire_format, streamed,
        ending, attempts, input, cache_read, cache_write_5m, cache_write_30m, cache_write_1h,
        cache_write_12h, output, reasoning, input_image, cache_read_image, output_image, input_audio,
        output_audio, estimated, amount_nano, provider_cost_nano, latency_us, from_packs_nano, overage_nano,
        written_off_nano, service_tier, images, audio_ms, characters, idempotency, kind_of_work, route_score_e4
    ) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20,
        ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33, ?34, ?35, ?36, ?37, ?38, ?39)
    ON CONFLICT (request_id) DO NOTHING";

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Booked {
    /// Rows that were added.
    pub(in crate::store) added: u64,
    /// Charges whose request was in the ledger already.
    pub(in crate::store) repeated: u64,
    /// Accounts that are charged and do not exist: the rows are there, no balance is.
    pub(in crate::store) unknown_accounts: Vec<AccountId>,
}

/// What one batch changes of an account.
#[derive(Clone, Copy, Default)]
struct Sums {
    charged: NanoUsd,
    from_packs: NanoUsd,
}

impl Sums {
    fn add(&mut self, charge: &Charge) -> Result<(), DatabaseError> {
        let too_large = DatabaseError::TooLarge { what: "a balance" };
        let charged = self.charged.checked_add(charge.draw.charged);
        let from_packs = self.from_packs.checked_add(charge.draw.from_packs);
        let (Some(charged), Some(from_packs)) = (charged, from_packs) else { return Err(too_large) };
        *self = Self { charged, from_packs };
        Ok(())
    }
}

impl Database {
    /// Up to where a journal is booked.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(in crate::store) fn position(&self, journal: u32) -> Result<Position, DatabaseError> {
        let mut select = self.connection.prepare_cached("SELECT value FROM meta WHERE name = ?1")?;
        let mut value = |name: &str| {
            let stored: Option<i64> = select.query_row([name], |row| row.get(0)).optional()?;
            // A journal that was never booked is booked up to its beginning.
            Ok::<_, DatabaseError>(stored.and_then(|stored| u64::try_from(stored).ok()).unwrap_or(0))
        };
        let [segment, offset] = position_names(journal);
        Ok(Position { segment: value(&segment)?, offset: value(&offset)? })
    }

    /// Books charges and, with them, that the journal of that number is booked up to that position: all or nothing.
    ///
    /// # Errors
    /// When the database cannot be written; nothing has changed then.
    pub(in crate::store) fn book(
        &mut self,
        charges: &[Charge],
        (journal, position): (u32, Position),
    ) -> Result<Booked, DatabaseError> {
        let transaction = self.write()?;
        let mut booked = Booked::default();
        let mut sums: BTreeMap<AccountId, Sums> = BTreeMap::new();
        let mut rollup = Rollup::default();
        let mut statement = transaction.prepare_cached(INSERT)?;
        let mut bound = None;
        for charge in charges {
            if insert(&mut statement, charge, &mut bound)? {
                booked.added = booked.added.saturating_add(1);
                sums.entry(charge.account).or_default().add(charge)?;
                rollup.add(charge)?;
            } else {
                booked.repeated = booked.repeated.saturating_add(1);
            }
        }
        drop(statement);
        for (account, Sums { charged, from_packs }) in sums {
            // Past 63 bits SQLite would make the sum a float, and the strict column refuses that.
            let changed = transaction
                .prepare_cached(
                    "UPDATE accounts SET balance_nano = balance_nano + ?2, packs_used_nano = packs_used_nano + ?3
                     WHERE id = ?1",
                )?
                .execute(params![account.0, charged.0, from_packs.0])?;
            if changed == 0 {
                booked.unknown_accounts.push(account);
            }
        }
        rollup.write(&transaction)?;
        let [segment, offset] = position_names(journal);
        set_meta(&transaction, &segment, count(position.segment, "a journal position")?)?;
        set_meta(&transaction, &offset, count(position.offset, "a journal position")?)?;
        transaction.commit()?;
        Ok(booked)
    }

    /// Tells `remember` the marks of requests of the last day that must not be paid again, at most `marks_max`, oldest
    /// first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(in crate::store) fn idempotency_marks_since(
        &self,
        now: UnixMs,
        marks_max: u64,
        mut remember: impl FnMut(Mark),
    ) -> Result<(), DatabaseError> {
        let day = u64::try_from(REMEMBERED.as_millis()).unwrap_or(u64::MAX);
        let oldest = RequestId::new(UnixMs(now.0.saturating_sub(day)), 0);
        let mut select = self.connection.prepare_cached(
            "SELECT idempotency FROM (SELECT request_id, idempotency FROM ledger
                WHERE idempotency IS NOT NULL AND request_id >= ?1 ORDER BY request_id DESC LIMIT ?2)
             ORDER BY request_id",
        )?;
        let most = i64::try_from(marks_max).unwrap_or(i64::MAX);
        let marks = select.query_map(params![oldest.0.to_be_bytes(), most], |row| row.get(0).map(Mark))?;
        for mark in marks {
            remember(mark?);
        }
        Ok(())
    }

    /// Writes down when keys were last used.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub(in crate::store) fn note_uses(&mut self, uses: &[(KeyId, UnixMs)]) -> Result<(), DatabaseError> {
        let transaction = self.write()?;
        for (key, at) in uses {
            transaction
                .prepare_cached("UPDATE keys SET last_used_at = max(ifnull(last_used_at, 0), ?2) WHERE id = ?1")?
                .execute(params![key.0, time(*at)?])?;
        }
        Ok(transaction.commit()?)
    }
}

/// Under which names the position of a journal is kept. The first has the names of builds that had only one.
fn position_names(journal: u32) -> [String; 2] {
    ["segment", "offset"].map(|part| match journal {
        0 => format!("journal_{part}"),
        number => format!("journal_{number}_{part}"),
    })
}

fn set_meta(transaction: &Transaction<'_>, name: &str, value: i64) -> Result<(), DatabaseError> {
    transaction
        .prepare_cached(
            "INSERT INTO meta (name, value) VALUES (?1, ?2)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE value <> excluded.value",
        )?
        .execute(params![name, value])?;
    Ok(())
}

/// Adds a row; false when the request has one already. Of a row's values only those are bound that differ from what
/// is `bound` already: rows of one batch are much alike.
fn insert<'a>(
    statement: &mut Statement<'_>,
    charge: &'a Charge,
    bound: &mut Option<Row<'a>>,
) -> Result<bool, DatabaseError> {
    let row = row(charge)?;
    statement.raw_bind_parameter(1, charge.request_id.0.to_be_bytes())?;
    for (index, value) in row.iter().enumerate() {
        if bound.as_ref().is_none_or(|bound| bound.get(index) != Some(value)) {
            statement.raw_bind_parameter(index.saturating_add(2), ToSqlOutput::Borrowed(*value))?;
        }
    }
    *bound = Some(row);
    Ok(statement.raw_execute()? == 1)
}

/// The values of a row behind its id, in the order of the columns.
type Row<'a> = [ValueRef<'a>; 38];

fn row(charge: &Charge) -> Result<Row<'_>, DatabaseError> {
    let Charge {
        request_id: _,
        account,
        key,
        at,
        requested,
        lane,
        provider,
        model,
        wire_format,
        streamed,
        ending,
        attempts,
        usage,
        estimated,
        service_tier,
        pieces: Pieces { images, audio_ms, characters },
        draw: Draw { charged, from_packs, overage },
        written_off,
        provider_cost,
        idempotency,
        latency,
        routed,
    } = charge;
    let text = |text: &'static str| ValueRef::Text(text.as_bytes());
    let latency_us = i64::try_from(latency.as_micros()).unwrap_or(i64::MAX);
    let facts = [
        ValueRef::Integer(account.0),
        ValueRef::Integer(key.0),
        ValueRef::Integer(time(*at)?),
        ValueRef::Text(requested.as_bytes()),
        ValueRef::Text(lane.as_bytes()),
        ValueRef::Text(provider.as_bytes()),
        ValueRef::Text(model.as_bytes()),
        text(wire_format.name()),
        ValueRef::Integer(i64::from(*streamed)),
        text(ending.name()),
        ValueRef::Integer(i64::from(*attempts)),
    ];
    let sums = [
        ValueRef::Integer(i64::from(*estimated)),
        ValueRef::Integer(charged.0),
        ValueRef::Integer(provider_cost.0),
        ValueRef::Integer(latency_us),
        ValueRef::Integer(from_packs.0),
        ValueRef::Integer(overage.0),
        ValueRef::Integer(written_off.0),
        ValueRef::Text(service_tier.as_bytes()),
        ValueRef::Integer(count(*images, "a count of images")?),
        ValueRef::Integer(count(*audio_ms, "a length of sound")?),
        ValueRef::Integer(count(*characters, "a count of characters")?),
        idempotency.as_ref().map_or(ValueRef::Null, |mark| ValueRef::Blob(mark)),
        ValueRef::Text(routed.as_ref().map_or(b"", |routed| routed.kind.as_bytes())),
        routed.as_ref().map_or(ValueRef::Null, |routed| ValueRef::Integer(routed.score_e4.into())),
    ];
    let mut row = [ValueRef::Null; 38];
    for (place, value) in row.iter_mut().zip(facts.into_iter().chain(tokens(*usage)?).chain(sums)) {
        *place = value;
    }
    Ok(row)
}

/// Every figure of a usage, in the order of the columns.
fn tokens(usage: Usage) -> Result<[ValueRef<'static>; 13], DatabaseError> {
    let Usage {
        input,
        cache_read,
        cache_write: CacheWrite { m5, m30, h1, h12 },
        output,
        reasoning,
        input_image,
        cache_read_image,
        output_image,
        input_audio,
        output_audio,
    } = usage;
    let text = [input, cache_read, m5, m30, h1, h12, output, reasoning];
    let media = [input_image, cache_read_image, output_image, input_audio, output_audio];
    let mut figures = [ValueRef::Null; 13];
    for (figure, tokens) in figures.iter_mut().zip(text.into_iter().chain(media)) {
        *figure = ValueRef::Integer(count(tokens, "a token count")?);
    }
    Ok(figures)
}
