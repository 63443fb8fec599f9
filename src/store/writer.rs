//! The one thread that books: journal → ledger, in batches, each with the position it leads up to.
//!
//! Must not be waited for by a request. Whatever happens to the database, the journal keeps the
//! charges and this tries again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::StoreError;
use super::chores::{Chores, Retention};
use super::journal::Journal;
use super::journal::read::{Position, Reader, is_damaged};
use super::places::Place;
use super::progress::{Progress, add};
use super::role::Role;
use super::sqlite::Database;
use crate::accounts::KeyDirectory;
use crate::base::outcome::Charge;
use crate::base::time::Clock;

/// How failures of booking are called in the log.
const BOOKING: &str = "charges cannot be booked";
/// How often in a row the start tries to book what is left of the last run.
const START_TRIES: u32 = 5;
/// Wait after the first failure and after many.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// How the writer works.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Rows of one transaction.
    pub(super) batch_rows_max: usize,
    /// Wait between batches while there is traffic.
    pub(super) poll: Duration,
    /// Wait when there is none.
    pub(super) idle_poll: Duration,
    /// How often uses of keys are written down.
    pub(super) uses_every: Duration,
    /// When old rows go.
    pub(super) retention: Retention,
}

/// Reads the journal and books it.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) journal: Arc<Journal>,
    pub(super) directory: Arc<KeyDirectory>,
    pub(super) progress: Arc<Progress>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) pace: Pace,
    place: Place,
    role: Arc<Role>,
    database: Database,
    reader: Reader,
    start: Position,
    /// Read and not booked yet: kept over failures.
    batch: Vec<Charge>,
    uses_written: Instant,
    chores: Chores,
}

impl Writer {
    /// A writer that goes on where the database stands.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(super) fn new(
        own: &Place,
        database: Database,
        shared: (Arc<Journal>, Arc<KeyDirectory>, Arc<Progress>),
        (clock, role): (Arc<dyn Clock>, Arc<Role>),
        pace: Pace,
    ) -> Result<Self, StoreError> {
        let start = database.position(own.number)?;
        let (journal, directory, progress) = shared;
        let reader = Reader::new(&own.dir, start);
        let uses_written = clock.now();
        let chores = Chores::new(pace.retention, uses_written);
        Ok(Self {
            journal,
            directory,
            progress,
            clock,
            pace,
            place: own.clone(),
            role,
            database,
            reader,
            start,
            batch: Vec::new(),
            uses_written,
            chores,
        })
    }

    /// Books what an earlier run has left. Before any charge of this one.
    ///
    /// # Errors
    /// When the database keeps refusing.
    pub(super) fn catch_up(&mut self) -> Result<(), StoreError> {
        let mut tries = 0;
        while self.reader.position() < self.journal.end() || !self.batch.is_empty() {
            match self.book() {
                Ok(_) => tries = 0,
                Err(error) if tries == START_TRIES => return Err(error),
                Err(error) => {
                    tries += 1;
                    self.progress.failed(&self.progress.counters.book_failures, BOOKING, &error);
                }
            }
        }
        Ok(())
    }

    /// Works until the store stops, then books what is left if the database lets it.
    pub(super) fn run(mut self) {
        let mut wait = self.pace.poll;
        let mut back_off = BACK_OFF.0;
        loop {
            let is_stopping = match self.book() {
                Ok(rows) => {
                    self.progress.went_well(BOOKING);
                    back_off = BACK_OFF.0;
                    wait = match rows {
                        0 => (wait * 2).clamp(self.pace.poll, self.pace.idle_poll),
                        rows if rows >= self.pace.batch_rows_max => Duration::ZERO,
                        _ => self.pace.poll,
                    };
                    self.progress.pause_until_wanted(wait)
                }
                Err(error) => {
                    self.progress.failed(&self.progress.counters.book_failures, BOOKING, &error);
                    back_off = (back_off * 2).min(BACK_OFF.1);
                    self.progress.pause(back_off)
                }
            };
            self.write_uses(is_stopping);
            if is_stopping {
                break;
            }
            if self.role.is_ours() {
                self.chores.run(&mut self.database, &*self.clock, &self.progress);
            }
        }
        if let Err(error) = self.catch_up() {
            log::warn!(error = error.to_string(); "charges wait in the journal for the next start");
        }
    }

    /// Books one batch; returns how many records it had.
    fn book(&mut self) -> Result<usize, StoreError> {
        let counters = &self.progress.counters;
        if self.batch.is_empty() {
            let damaged = self.reader.damaged();
            let read = self.reader.read(self.journal.end(), &mut self.batch, self.pace.batch_rows_max);
            add(&counters.damaged, self.reader.damaged() - damaged);
            read.map_err(StoreError::Journal)?;
        }
        let position = self.reader.position();
        let rows = self.batch.len();
        if rows > 0 {
            let booked = self.database.book(&self.batch, (self.place.number, position))?;
            self.batch.clear();
            add(&counters.added, booked.added);
            add(&counters.repeated, booked.repeated);
            add(&counters.handled, rows as u64);
            if !booked.unknown_accounts.is_empty() {
                add(&counters.unknown_accounts, 1);
                let accounts = format!("{:?}", booked.unknown_accounts);
                log::error!(accounts; "charges were booked for accounts that do not exist");
            }
        }
        self.progress.set_booked(position);
        self.retire(position)?;
        Ok(rows)
    }

    fn retire(&self, position: Position) -> Result<(), StoreError> {
        let dir = &self.place.dir;
        // What was read before this run was not seen by this reader: look before it is deleted.
        let is_spoiled = |segment: u64| {
            self.reader.has_damage_in(segment)
                || (segment <= self.start.segment && is_damaged(dir, segment).unwrap_or(true))
        };
        self.journal.retire_before(position.segment, &is_spoiled).map_err(StoreError::Journal)
    }

    /// Uses are worth no retry: a lost one costs a few seconds in a column for people.
    fn write_uses(&mut self, is_last: bool) {
        let now = self.clock.now();
        if !is_last && now.saturating_duration_since(self.uses_written) < self.pace.uses_every {
            return;
        }
        self.uses_written = now;
        let touched = self.directory.take_touched();
        let uses: Vec<_> = touched.iter().filter_map(|key| Some((key.id, key.last_used.at()?))).collect();
        if uses.is_empty() {
            return;
        }
        if let Err(error) = self.database.note_uses(&uses) {
            log::warn!(keys = uses.len(), error = error.to_string(); "last uses of keys are not written down");
        }
    }
}
