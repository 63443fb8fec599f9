//! Sums of usage by the hour and by the day, kept in the transaction that books the charges.
//!
//! Must not count a charge that was booked before.

#![deny(clippy::arithmetic_side_effects)]

use std::collections::BTreeMap;

use rusqlite::{Transaction, params};

use super::{DatabaseError, count};
use crate::base::outcome::Charge;

const MS_PER_HOUR: u64 = 3_600_000;
const HOURS_PER_DAY: i64 = 24;

const ADD_TO_HOUR: &str = "INSERT INTO usage_hourly (account_id, hour, key_id, lane, model, provider, ending, requests,
        input, cached, output, amount_nano)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
    ON CONFLICT DO UPDATE SET requests = requests + excluded.requests, input = input + excluded.input,
        cached = cached + excluded.cached, output = output + excluded.output,
        amount_nano = amount_nano + excluded.amount_nano";
const ADD_TO_DAY: &str = "INSERT INTO usage_daily (account_id, day, key_id, lane, model, provider, ending, requests,
        input, cached, output, amount_nano, from_packs_nano, overage_nano)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
    ON CONFLICT DO UPDATE SET requests = requests + excluded.requests, input = input + excluded.input,
        cached = cached + excluded.cached, output = output + excluded.output,
        amount_nano = amount_nano + excluded.amount_nano,
        from_packs_nano = from_packs_nano + excluded.from_packs_nano,
        overage_nano = overage_nano + excluded.overage_nano";

/// What sums are kept by: account, hour, key, lane, model, provider, ending.
type Group<'a> = (i64, i64, i64, &'a str, &'a str, &'a str, &'static str);

/// The sums of one batch.
#[derive(Debug, Default)]
pub(super) struct Rollup<'a>(BTreeMap<Group<'a>, Sums>);

#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    requests: i64,
    input: i64,
    cached: i64,
    output: i64,
    amount: i64,
    from_packs: i64,
    overage: i64,
}

impl<'a> Rollup<'a> {
    /// Counts a charge that was just added to the ledger.
    pub(super) fn add(&mut self, charge: &'a Charge) -> Result<(), DatabaseError> {
        let Charge { account, key, at, lane, model, provider, ending, usage, draw, .. } = charge;
        let hour = count(at.0 / MS_PER_HOUR, "an hour")?;
        let group = (account.0, hour, key.0, &**lane, &**model, &**provider, ending.name());
        let sums = self.0.entry(group).or_default();
        let cached = usage.cache_read.saturating_add(usage.cache_read_image);
        for (sum, figure) in [
            (&mut sums.requests, 1),
            (&mut sums.input, count(usage.prompt_total(), "a token count")?),
            (&mut sums.cached, count(cached, "a token count")?),
            (&mut sums.output, count(usage.completion_total(), "a token count")?),
            (&mut sums.amount, draw.charged.0),
            (&mut sums.from_packs, draw.from_packs.0),
            (&mut sums.overage, draw.overage.0),
        ] {
            *sum = sum.checked_add(figure).ok_or(DatabaseError::TooLarge { what: "a sum of usage" })?;
        }
        Ok(())
    }

    /// Adds the sums to those that are stored.
    pub(super) fn write(self, transaction: &Transaction<'_>) -> Result<(), DatabaseError> {
        let mut by_hour = transaction.prepare_cached(ADD_TO_HOUR)?;
        let mut by_day = transaction.prepare_cached(ADD_TO_DAY)?;
        for ((account, hour, key, lane, model, provider, ending), sums) in self.0 {
            let Sums { requests, input, cached, output, amount, from_packs, overage } = sums;
            by_hour.execute(params![
                account, hour, key, lane, model, provider, ending, requests, input, cached, output, amount
            ])?;
            let day = hour.div_euclid(HOURS_PER_DAY);
            by_day.execute(params![
                account, day, key, lane, model, provider, ending, requests, input, cached, output, amount, from_packs,
                overage
            ])?;
        }
        Ok(())
    }
}
