//! `flux reconcile`: proves that the journal, the ledger, the balances, the packs and the sums tell the same story.
//!
//! Must not repair anything. Works beside a running server: the journal's files are opened first,
//! then one snapshot of the database is taken, so that nothing can be booked behind its back.

#![deny(clippy::arithmetic_side_effects)]

use std::path::Path;

use super::folder::Folder;
use super::journal::read::{Cursor, Position, Segment, open_segments, torn_tail};
use super::places;
use super::sqlite::Database;
use super::sqlite::audit::{AccountSums, LedgerSums};
use super::{BUSY_TIMEOUT, DatabaseError, StoreError};
use crate::base::money::NanoUsd;
use crate::base::outcome::Charge;
use crate::base::time::UnixMs;

/// Records of the journal that are held at once.
const RECORDS_AT_ONCE: usize = 1_024;

/// Steps before the days are compared.
const STEPS: u64 = 4;

/// How far the ledger goes with a journal.
#[derive(Clone, Copy)]
struct Booked {
    /// Up to where that is in it.
    position: Position,
    /// Rows from before may be gone.
    horizon: UnixMs,
}

/// An account, what it says of itself and what stands behind that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountLine {
    /// Its id.
    pub account: i64,
    /// Its name, `None` when only the ledger knows it.
    pub name: Option<String>,
    /// The stored balance.
    pub balance: NanoUsd,
    /// The sum of its rows.
    pub ledger: NanoUsd,
    /// How many rows it has.
    pub rows: i64,
    /// The sum of the rows that retention has taken out.
    pub archived: NanoUsd,
    /// Whether its packs are those that it says to have, and used as its rows say.
    pub packs_add_up: bool,
    /// Whether its sums by the day are those of its rows, those taken out included.
    pub days_add_up: bool,
}

impl AccountLine {
    fn of(account: i64, sums: AccountSums) -> Result<Self, DatabaseError> {
        let AccountSums { name, balance, packs: (packs, used), packs_bought, ledger, archived, daily } = sums;
        let all = ledger.plus(archived)?;
        Ok(Self {
            account,
            name,
            balance,
            ledger: ledger.amount,
            rows: ledger.requests,
            archived: archived.amount,
            packs_add_up: packs == packs_bought && used == all.from_packs && used <= packs,
            days_add_up: daily == all,
        })
    }

    /// Whether the account exists and its balance is the sum of its rows.
    pub fn balance_adds_up(&self) -> bool {
        self.name.is_some() && self.ledger.checked_add(self.archived) == Some(self.balance)
    }

    /// Whether everything of it agrees.
    pub fn adds_up(&self) -> bool {
        self.balance_adds_up() && self.packs_add_up && self.days_add_up
    }
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Every account that the database or the ledger knows.
    pub accounts: Vec<AccountLine>,
    /// Requests with more than one row.
    pub repeated_requests: i64,
    /// Rows whose parts are negative or more than the whole.
    pub wrong_splits: u64,
    /// Sums by the hour that are not those of the rows.
    pub differing_hours: i64,
    /// Sums by the day that are not those of the hours.
    pub differing_days: i64,
    /// Keys that the ledger names and that do not exist.
    pub unknown_keys: i64,
    /// Records of the journal that count as booked and were looked for in the ledger.
    pub booked_records: u64,
    /// Those of them that are not in the ledger.
    pub missing_records: u64,
    /// Those of them whose amount, or a part of it, is another one in the ledger.
    pub differing_records: u64,
    /// Records that wait to be booked. No fault: a server at work always has some.
    pub pending_records: u64,
    /// What they add up to.
    pub pending: NanoUsd,
    /// Places of the journal that hold no charge.
    pub damaged_records: u64,
    /// Bytes of a half-written record at the very end. No fault: it was never acknowledged, or is
    /// being written.
    pub torn_bytes: u64,
    /// Segments that were put aside because of damage.
    pub damaged_segments: u64,
}

impl Report {
    /// Whether everything agrees.
    pub fn adds_up(&self) -> bool {
        let in_journal = [self.missing_records, self.differing_records, self.damaged_records, self.damaged_segments];
        let in_sums = [self.repeated_requests, self.unknown_keys, self.differing_hours, self.differing_days];
        self.accounts.iter().all(AccountLine::adds_up)
            && self.wrong_splits == 0
            && in_sums.iter().all(|count| *count == 0)
            && in_journal.iter().all(|count| *count == 0)
    }
}

/// Reads the data folder and compares. `tell` hears how many steps of how many are done.
///
/// # Errors
/// When something cannot be read at all, the database is damaged, or a sum does not fit.
pub fn reconcile(data_dir: &Path, tell: &mut dyn FnMut(u64, u64)) -> Result<Report, StoreError> {
    let folder = Folder::new(data_dir);
    folder.expect_database()?;
    let places = places::present(&folder)?;
    let mut journals = Vec::new();
    for place in &places {
        journals.push((place.number, open_segments(&place.dir).map_err(StoreError::Journal)?));
    }
    let database = Database::open_read_only(&folder.database(), BUSY_TIMEOUT)?;
    let snapshot = database.begin_snapshot()?;
    let horizon = database.horizon()?;
    let mut report = audit(&database, tell)?;
    for place in &places {
        let damaged = count_damaged(&place.dir).map_err(StoreError::Journal)?;
        report.damaged_segments = report.damaged_segments.saturating_add(damaged);
    }
    for (number, opened) in journals {
        let booked = Booked { position: database.position(number)?, horizon };
        let last = opened.len().saturating_sub(1);
        for (index, segment) in opened.into_iter().enumerate() {
            compare_segment(segment, index == last, &database, booked, &mut report)?;
        }
    }
    drop(snapshot);
    Ok(report)
}

/// The part of the proof that needs the database alone.
///
/// # Errors
/// When it cannot be read, is damaged, or a sum does not fit.
pub(super) fn audit(database: &Database, tell: &mut dyn FnMut(u64, u64)) -> Result<Report, StoreError> {
    tell(0, STEPS);
    database.check_pages()?;
    tell(1, STEPS);
    let LedgerSums { accounts, wrong_splits } = database.ledger_sums()?;
    let lines = accounts.into_iter().map(|(account, sums)| AccountLine::of(account.0, sums));
    tell(2, STEPS);
    let mut report = Report {
        accounts: lines.collect::<Result<_, _>>()?,
        wrong_splits,
        repeated_requests: database.repeated_requests()?,
        unknown_keys: database.unknown_keys()?,
        ..Report::default()
    };
    let days = database.whole_days()?;
    let steps = STEPS.saturating_add(days.len() as u64);
    for (done, day) in (STEPS..).zip(days) {
        tell(done, steps);
        let (hours, days) = database.differing_sums(day)?;
        report.differing_hours = report.differing_hours.saturating_add(hours);
        report.differing_days = report.differing_days.saturating_add(days);
    }
    tell(steps, steps);
    Ok(report)
}

fn count_damaged(dir: &Path) -> std::io::Result<u64> {
    let mut count: u64 = 0;
    for entry in std::fs::read_dir(dir)? {
        let is_damaged = entry?.path().extension().is_some_and(|extension| extension == "damaged");
        count = count.saturating_add(u64::from(is_damaged));
    }
    Ok(count)
}

fn compare_segment(
    mut segment: Segment,
    is_last: bool,
    database: &Database,
    booked: Booked,
    report: &mut Report,
) -> Result<(), StoreError> {
    if is_last {
        let sound_end = torn_tail(&segment, Position::default()).map_err(StoreError::Journal)?;
        let torn = sound_end.map_or(0, |end| segment.limit.saturating_sub(end));
        report.torn_bytes = report.torn_bytes.saturating_add(torn);
        segment.limit = segment.limit.saturating_sub(torn);
    }
    // Read in two parts, cut at the position: what stands before it must be in the ledger.
    let limit = segment.limit;
    let booked_limit = match segment.number.cmp(&booked.position.segment) {
        std::cmp::Ordering::Less => limit,
        std::cmp::Ordering::Equal => limit.min(booked.position.offset),
        std::cmp::Ordering::Greater => 0,
    };
    let mut cursor = Cursor::default();
    let mut charges = Vec::new();
    for part_limit in [booked_limit, limit] {
        segment.limit = part_limit;
        loop {
            let is_through = cursor.read(&segment, &mut charges, RECORDS_AT_ONCE).map_err(StoreError::Journal)?;
            for charge in charges.drain(..) {
                if cursor.position <= booked.position {
                    look_up(&charge, database, booked.horizon, report)
                } else {
                    add_pending(&charge, report)
                }?;
            }
            if is_through {
                break;
            }
        }
    }
    report.damaged_records = report.damaged_records.saturating_add(cursor.damaged);
    Ok(())
}

fn look_up(charge: &Charge, database: &Database, horizon: UnixMs, report: &mut Report) -> Result<(), StoreError> {
    report.booked_records = report.booked_records.saturating_add(1);
    match database.draw_of(charge.request_id)? {
        // Retention may have taken it out.
        None if charge.at < horizon => {}
        None => report.missing_records = report.missing_records.saturating_add(1),
        Some(draw) if draw != charge.draw => {
            report.differing_records = report.differing_records.saturating_add(1);
        }
        Some(_) => {}
    }
    Ok(())
}

fn add_pending(charge: &Charge, report: &mut Report) -> Result<(), StoreError> {
    report.pending_records = report.pending_records.saturating_add(1);
    let sum = report.pending.checked_add(charge.draw.charged);
    report.pending = sum.ok_or(DatabaseError::TooLarge { what: "the sum of pending charges" })?;
    Ok(())
}
