//! Processes that were here before and still work: what they charge is counted here as well, and what they leave when
//! they die is booked.
//!
//! Must not write to the journal of a process that lives.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use super::journal::read::{Reader, sound_end};
use super::journal::{Journal, JournalBounds};
use super::places::{self, Place};
use super::progress::Progress;
use super::role::Role;
use super::sqlite::Database;
use super::watch::Shared;
use super::writer::{Pace, Writer};
use super::{StoreError, THREAD_BUSY_TIMEOUT};
use crate::accounts::idempotency::{Idempotency, Mark};
use crate::base::money::NanoUsd;
use crate::base::outcome::Charge;
use crate::base::time::Clock;
use crate::store::folder::Folder;

/// Records that are counted at once.
const CHARGES_AT_ONCE: usize = 1_024;
/// How failures are called in the log.
const FOLLOWING: &str = "the journal of the process before cannot be followed";

/// Books what processes have left that are dead.
#[derive(Clone, Debug)]
pub(super) struct Heir {
    pub(super) folder: Folder,
    pub(super) bounds: JournalBounds,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) pace: Pace,
}

impl Heir {
    /// Books all journals but `own` whose processes are dead. Returns those whose processes live.
    ///
    /// # Errors
    /// When one cannot be read, or the database refuses.
    pub(super) fn book_left(&self, own: &Place, shared: &Shared) -> Result<Vec<Place>, StoreError> {
        let mut alive = Vec::new();
        for place in places::present(&self.folder)? {
            if place == *own {
                continue;
            }
            match place.try_lock()? {
                Some(lock) => self.book(&place, &lock, shared)?,
                None => alive.push(place),
            }
        }
        Ok(alive)
    }

    /// Books a journal to its end. The lock says that nobody else does.
    fn book(&self, place: &Place, _lock: &File, shared: &Shared) -> Result<(), StoreError> {
        let database = Database::join(&self.folder.database(), THREAD_BUSY_TIMEOUT)?;
        let position = database.position(place.number)?;
        let journal = Journal::open(&place.dir, self.bounds, position).map_err(StoreError::Journal)?;
        // Of its own: how far this journal is booked says nothing about ours.
        let progress = Arc::new(Progress::new(position, self.clock.now()));
        let parts = (Arc::new(journal), Arc::clone(&shared.directory), progress);
        Writer::new(place, database, parts, (Arc::clone(&self.clock), Arc::new(Role::default())), self.pace)?.catch_up()
    }
}

/// The processes before this one that live.
#[derive(Debug)]
pub(super) struct Elders {
    heir: Heir,
    shared: Shared,
    idempotency: Arc<Idempotency>,
    alive: Vec<(Place, Reader)>,
}

impl Elders {
    /// Counts what they have charged and not booked yet. While the ledger stands still, and what it has is counted.
    ///
    /// # Errors
    /// When a journal or the database cannot be read.
    pub(super) fn begin(
        heir: Heir,
        shared: Shared,
        idempotency: Arc<Idempotency>,
        alive: Vec<Place>,
        database: &Database,
    ) -> Result<Self, StoreError> {
        let reader_of = |place: Place| {
            let reader = Reader::new(&place.dir, database.position(place.number)?);
            Ok::<_, StoreError>((place, reader))
        };
        let alive = alive.into_iter().map(reader_of).collect::<Result<_, _>>()?;
        let mut elders = Self { heir, shared, idempotency, alive };
        for (_, reader) in &mut elders.alive {
            count(reader, &elders.shared, &elders.idempotency)?;
        }
        Ok(elders)
    }

    /// Works until all of them are dead and this process is the one that accepts, or the store stops.
    pub(super) fn run(mut self, role: &Role, every: Duration) {
        let progress = Arc::clone(&self.shared.progress);
        while !progress.pause(every) {
            match self.look() {
                Ok(()) => progress.went_well(FOLLOWING),
                Err(error) => progress.failed(&progress.counters.book_failures, FOLLOWING, &error),
            }
            if self.alive.is_empty() && role.try_take().is_ok_and(|is_ours| is_ours) {
                return;
            }
        }
    }

    fn look(&mut self) -> Result<(), StoreError> {
        let Self { heir, shared, idempotency, alive } = self;
        let mut index = 0;
        while let Some((place, reader)) = alive.get_mut(index) {
            // The lock first: what its process has written while it lived is all there then.
            let lock = place.try_lock()?;
            count(reader, shared, idempotency)?;
            if let Some(lock) = lock {
                heir.book(place, &lock, shared)?;
                log::info!(journal = place.number; "the process before has ended, and what it charged is booked");
                alive.swap_remove(index);
            } else {
                index += 1;
            }
        }
        Ok(())
    }
}

/// Counts what a process has charged since the last look.
fn count(reader: &mut Reader, shared: &Shared, idempotency: &Idempotency) -> Result<(), StoreError> {
    let end = sound_end(reader.dir(), reader.position()).map_err(StoreError::Journal)?;
    let mut charges = Vec::new();
    while reader.position() < end {
        let from = reader.position();
        reader.read(end, &mut charges, CHARGES_AT_ONCE).map_err(StoreError::Journal)?;
        charges.drain(..).for_each(|charge| count_one(&charge, shared, idempotency));
        if reader.position() == from {
            break;
        }
    }
    Ok(())
}

fn count_one(charge: &Charge, shared: &Shared, idempotency: &Idempotency) {
    if let Some(mark) = charge.idempotency {
        idempotency.remember(Mark(mark));
    }
    if charge.draw.charged == NanoUsd::ZERO {
        return;
    }
    if let Some(account) = shared.accounts.get(charge.account) {
        account.funds().charge(charge.draw.charged, charge.at);
    }
    if let Some(budget) = shared.directory.budget_of(charge.key) {
        budget.charge(charge.draw.charged, charge.at);
    }
}
