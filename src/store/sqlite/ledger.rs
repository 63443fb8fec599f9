//! SQL of the ledger: a batch of charges, the balances they change and the journal's position, all
//! in one transaction.
//!
//! Must not know the journal's files.

#![deny(clippy::arithmetic_side_effects)]

use std::collections::BTreeMap;

use rusqlite::{Statement, Transaction, params};

use super::rollup::Rollup;
use super::{Database, DatabaseError, count, time};
use crate::base::ids::{AccountId, KeyId};
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
        written_off_nano, service_tier, images, audio_ms, characters, idempotency
    ) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20,
        ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33, ?34, ?35, ?36, ?37)
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
    /// Up to where the journal is booked.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(in crate::store) fn position(&self) -> Result<Position, DatabaseError> {
        let mut select = self.connection.prepare_cached("SELECT value FROM meta WHERE name = ?1")?;
        let mut value = |name: &str| select.query_row([name], |row| row.get::<_, i64>(0));
        let (segment, offset) = (value("journal_segment")?, value("journal_offset")?);
        let unsigned = |stored: i64| u64::try_from(stored).unwrap_or(0);
        Ok(Position { segment: unsigned(segment), offset: unsigned(offset) })
    }

    /// Books charges and, with them, that the journal is booked up to `position`: all or nothing.
    ///
    /// # Errors
    /// When the database cannot be written; nothing has changed then.
    pub(in crate::store) fn book(&mut self, charges: &[Charge], position: Position) -> Result<Booked, DatabaseError> {
        let transaction = self.write()?;
        let mut booked = Booked::default();
        let mut sums: BTreeMap<AccountId, Sums> = BTreeMap::new();
        let mut rollup = Rollup::default();
        let mut statement = transaction.prepare_cached(INSERT)?;
        for charge in charges {
            if insert(&mut statement, charge)? {
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
        set_meta(&transaction, "journal_segment", count(position.segment, "a journal position")?)?;
        set_meta(&transaction, "journal_offset", count(position.offset, "a journal position")?)?;
        transaction.commit()?;
        Ok(booked)
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

fn set_meta(transaction: &Transaction<'_>, name: &str, value: i64) -> Result<(), DatabaseError> {
    transaction
        .prepare_cached("UPDATE meta SET value = ?2 WHERE name = ?1 AND value <> ?2")?
        .execute(params![name, value])?;
    Ok(())
}

/// Adds a row; false when the request has one already.
#[expect(clippy::too_many_lines, reason = "a line a column, and nothing else")]
fn insert(statement: &mut Statement<'_>, charge: &Charge) -> Result<bool, DatabaseError> {
    let Charge {
        request_id,
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
    } = charge;
    let [
        input,
        cache_read,
        m5,
        m30,
        h1,
        h12,
        output,
        reasoning,
        input_image,
        cache_read_image,
        output_image,
        input_audio,
        output_audio,
    ] = tokens(*usage)?;
    let latency_us = i64::try_from(latency.as_micros()).unwrap_or(i64::MAX);
    let added = statement.execute(params![
        request_id.0.to_be_bytes(),
        account.0,
        key.0,
        time(*at)?,
        &**requested,
        &**lane,
        &**provider,
        &**model,
        wire_format.name(),
        streamed,
        ending.name(),
        attempts,
        input,
        cache_read,
        m5,
        m30,
        h1,
        h12,
        output,
        reasoning,
        input_image,
        cache_read_image,
        output_image,
        input_audio,
        output_audio,
        estimated,
        charged.0,
        provider_cost.0,
        latency_us,
        from_packs.0,
        overage.0,
        written_off.0,
        &**service_tier,
        count(*images, "a count of images")?,
        count(*audio_ms, "a length of sound")?,
        count(*characters, "a count of characters")?,
        idempotency.map(u128::to_be_bytes),
    ])?;
    Ok(added == 1)
}

/// Every figure of a usage, in the order of the columns.
fn tokens(usage: Usage) -> Result<[i64; 13], DatabaseError> {
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
    let mut figures = [0; 13];
    for (figure, tokens) in figures.iter_mut().zip(text.into_iter().chain(media)) {
        *figure = count(tokens, "a token count")?;
    }
    Ok(figures)
}
