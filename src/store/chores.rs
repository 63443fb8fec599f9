//! What has to be done now and then: old rows leave the ledger, what tells of people who have left is taken out.
//!
//! Must not hold up charges: the writer does one small batch between two of its own.

use std::time::{Duration, Instant};

use super::progress::{Progress, add};
use super::sqlite::retention::Archived;
use super::sqlite::{Database, DatabaseError};
use crate::base::time::{Clock, UnixMs};

/// How failures of chores are called in the log.
const TIDYING: &str = "old rows cannot be taken out";
/// Rows of one batch: some milliseconds.
const ROWS_MAX: usize = 500;
/// Wait between two batches while there is more to do.
const BETWEEN_BATCHES: Duration = Duration::from_millis(20);
const MS_PER_DAY: u64 = 86_400_000;

/// When what goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retention {
    /// Days for which the ledger keeps its rows; 0: for ever.
    pub(super) ledger_days: u64,
    /// Days after which a closed account loses what tells of a person.
    pub(super) purge_after_days: u64,
    /// How often to look.
    pub(super) every: Duration,
}

/// The chores of the writer.
#[derive(Debug)]
pub(super) struct Chores {
    retention: Retention,
    due: Instant,
}

impl Chores {
    /// Due at once.
    pub(super) fn new(retention: Retention, now: Instant) -> Self {
        Self { retention, due: now }
    }

    /// Does a batch if it is time.
    pub(super) fn run(&mut self, database: &mut Database, clock: &dyn Clock, progress: &Progress) {
        let now = clock.now();
        if now < self.due {
            return;
        }
        let wait = match self.batch(database, clock.unix_ms(), progress) {
            Ok(Archived { rows, hours }) => {
                progress.went_well(TIDYING);
                if rows.max(hours) < ROWS_MAX { self.retention.every } else { BETWEEN_BATCHES }
            }
            Err(error) => {
                progress.failed(&progress.counters.chore_failures, TIDYING, &error);
                self.retention.every
            }
        };
        self.due = now + wait;
    }

    fn batch(&self, database: &mut Database, now: UnixMs, progress: &Progress) -> Result<Archived, DatabaseError> {
        let Retention { ledger_days, purge_after_days, .. } = self.retention;
        let purged = database.purge_accounts(days_before(now, purge_after_days), now)?;
        if purged > 0 {
            log::info!(accounts = purged; "closed accounts were purged");
        }
        if ledger_days == 0 {
            return Ok(Archived::default());
        }
        let midnight = UnixMs(now.0 - now.0 % MS_PER_DAY);
        let archived = database.archive(days_before(midnight, ledger_days), ROWS_MAX)?;
        add(&progress.counters.archived, archived.rows as u64);
        Ok(archived)
    }
}

fn days_before(at: UnixMs, days: u64) -> UnixMs {
    UnixMs(at.0.saturating_sub(days.saturating_mul(MS_PER_DAY)))
}
