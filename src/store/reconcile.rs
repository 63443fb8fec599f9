//! `flux reconcile`: proves that the journal, the ledger and the balances tell the same story.
//!
//! Must not repair anything. Works beside a running server: the journal's files are opened first,
//! then one snapshot of the database is taken, so that nothing can be booked behind its back.

#![deny(clippy::arithmetic_side_effects)]

use std::path::Path;

use super::folder::Folder;
use super::journal::read::{Cursor, Position, Segment, segments};
use super::sqlite::Database;
use super::{BUSY_TIMEOUT, DatabaseError, StoreError};
use crate::base::money::NanoUsd;
use crate::base::outcome::Charge;

/// Records of the journal that are held at once.
const RECORDS_AT_ONCE: usize = 1_024;

/// An account, its balance and what its rows add up to.
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
}

impl AccountLine {
    /// Whether the account exists and its sums agree.
    pub fn adds_up(&self) -> bool {
        self.name.is_some() && self.balance == self.ledger
    }
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Every account that the database or the ledger knows.
    pub accounts: Vec<AccountLine>,
    /// Requests with more than one row.
    pub repeated_requests: i64,
    /// Keys that the ledger names and that do not exist.
    pub unknown_keys: i64,
    /// Records of the journal that count as booked and were looked for in the ledger.
    pub booked_records: u64,
    /// Those of them that are not in the ledger.
    pub missing_records: u64,
    /// Those of them whose amount is another one in the ledger.
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
        let faults = [self.missing_records, self.differing_records, self.damaged_records, self.damaged_segments];
        self.accounts.iter().all(AccountLine::adds_up)
            && self.repeated_requests == 0
            && self.unknown_keys == 0
            && faults.iter().all(|count| *count == 0)
    }
}

/// Reads the data folder and compares.
///
/// # Errors
/// When something cannot be read at all, or a sum does not fit.
pub fn reconcile(data_dir: &Path) -> Result<Report, StoreError> {
    let folder = Folder::new(data_dir);
    folder.expect_database()?;
    let opened = open_segments(&folder.journal()).map_err(StoreError::Journal)?;
    let database = Database::open_read_only(&folder.database(), BUSY_TIMEOUT)?;
    let snapshot = database.begin_snapshot()?;
    let position = database.position()?;
    let sums = database.account_sums()?.into_iter().map(|sums| AccountLine {
        account: sums.account.0,
        name: sums.name,
        balance: sums.balance,
        ledger: sums.ledger,
        rows: sums.rows,
    });
    let mut report = Report {
        accounts: sums.collect(),
        repeated_requests: database.repeated_requests()?,
        unknown_keys: database.unknown_keys()?,
        damaged_segments: count_damaged(&folder.journal()).map_err(StoreError::Journal)?,
        ..Report::default()
    };
    let last = opened.len().saturating_sub(1);
    for (index, segment) in opened.into_iter().enumerate() {
        compare_segment(segment, index == last, &database, position, &mut report)?;
    }
    drop(snapshot);
    Ok(report)
}

/// Opens what is there now. A segment that a running server deletes meanwhile stays readable.
fn open_segments(dir: &Path) -> std::io::Result<Vec<Segment>> {
    let mut opened = Vec::new();
    for number in segments(dir)? {
        match Segment::open(dir, number) {
            Ok(segment) => opened.push(segment),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(opened)
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
    booked: Position,
    report: &mut Report,
) -> Result<(), StoreError> {
    if is_last {
        let sound_end = super::journal::read::torn_tail(&segment, Position::default()).map_err(StoreError::Journal)?;
        let torn = sound_end.map_or(0, |end| segment.limit.saturating_sub(end));
        report.torn_bytes = report.torn_bytes.saturating_add(torn);
        segment.limit = segment.limit.saturating_sub(torn);
    }
    // Read in two parts, cut at the position: what stands before it must be in the ledger.
    let limit = segment.limit;
    let booked_limit = match segment.number.cmp(&booked.segment) {
        std::cmp::Ordering::Less => limit,
        std::cmp::Ordering::Equal => limit.min(booked.offset),
        std::cmp::Ordering::Greater => 0,
    };
    let mut cursor = Cursor::default();
    let mut charges = Vec::new();
    for part_limit in [booked_limit, limit] {
        segment.limit = part_limit;
        loop {
            let is_through = cursor.read(&segment, &mut charges, RECORDS_AT_ONCE).map_err(StoreError::Journal)?;
            for charge in charges.drain(..) {
                if cursor.position <= booked {
                    look_up(&charge, database, report)
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

fn look_up(charge: &Charge, database: &Database, report: &mut Report) -> Result<(), StoreError> {
    report.booked_records = report.booked_records.saturating_add(1);
    match database.amount_of(charge.request_id)? {
        None => report.missing_records = report.missing_records.saturating_add(1),
        Some(amount) if amount != charge.draw.charged => {
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
