//! `flux backup`: all that was acknowledged, in one file, while a server runs.
//!
//! Must not hold up the server: it reads, and what the ledger has not yet is booked into the copy from the journal.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::folder::Folder;
use super::journal::read::{Cursor, Position, Segment, open_segments, torn_tail};
use super::places;
use super::reconcile::{Report, audit};
use super::sqlite::Database;
use super::{BUSY_TIMEOUT, StoreError};

/// Charges that are booked into the copy at once.
const CHARGES_AT_ONCE: usize = 1_024;

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// Its size.
    pub bytes: u64,
    /// Charges that were in the journal only, and are booked in it.
    pub from_journal: u64,
    /// What the audit of it found.
    pub report: Report,
}

/// Copies the books of a data folder into the new file `to`. `tell` hears how many pages of how many are done.
///
/// # Errors
/// When `to` is there already, or something cannot be read or written; no file of that name is left then.
pub fn backup(data_dir: &Path, to: &Path, tell: &mut dyn FnMut(u64, u64)) -> Result<Backup, StoreError> {
    let folder = Folder::new(data_dir);
    folder.expect_database()?;
    if to.exists() {
        return Err(StoreError::BackupExists { path: to.to_owned() });
    }
    let partial = partial_path(to);
    let failed = |source| StoreError::Folder { path: partial.clone(), source };
    create_private(&partial).map_err(failed)?;
    let made = copy(&folder, &partial, tell).and_then(|(from_journal, report)| {
        let bytes = keep(&partial, to).map_err(failed)?;
        Ok(Backup { bytes, from_journal, report })
    });
    if made.is_err() {
        // What is left of it is of no use; a second failure adds nothing to the first.
        let _ = std::fs::remove_file(&partial);
    }
    made
}

fn copy(folder: &Folder, partial: &Path, tell: &mut dyn FnMut(u64, u64)) -> Result<(u64, Report), StoreError> {
    // The journal first: what is in the snapshot and in here is told apart by the position, nothing falls between.
    let mut journals = Vec::new();
    for place in places::present(folder)? {
        journals.push((place.number, open_segments(&place.dir).map_err(StoreError::Journal)?));
    }
    let database = Database::open_read_only(&folder.database(), BUSY_TIMEOUT)?;
    let snapshot = database.begin_snapshot()?;
    let mut rests = Vec::new();
    for (number, segments) in journals {
        rests.push((number, database.position(number)?, segments));
    }
    let mut copy = database.copy_into(partial, tell)?;
    drop(snapshot);
    let mut from_journal = 0;
    for (number, booked, segments) in rests {
        from_journal += book_rest(number, segments, booked, &mut copy)?;
    }
    let report = audit(&copy, &mut |_, _| ())?;
    Ok((from_journal, report))
}

/// Books what stands in a journal behind `booked`.
fn book_rest(number: u32, segments: Vec<Segment>, booked: Position, copy: &mut Database) -> Result<u64, StoreError> {
    let mut cursor = Cursor::at(booked);
    let (mut added, last) = (0, segments.len().saturating_sub(1));
    for (index, mut segment) in segments.into_iter().enumerate() {
        if segment.number < booked.segment {
            continue;
        }
        if index == last
            && let Some(end) = torn_tail(&segment, Position::default()).map_err(StoreError::Journal)?
        {
            // A record that is being written at this moment is not acknowledged yet.
            segment.limit = end;
        }
        let mut charges = Vec::new();
        let mut is_through = false;
        while !is_through {
            is_through = cursor.read(&segment, &mut charges, CHARGES_AT_ONCE).map_err(StoreError::Journal)?;
            if !charges.is_empty() {
                added += copy.book(&charges, (number, cursor.position))?.added;
                charges.clear();
            }
        }
    }
    Ok(added)
}

fn partial_path(to: &Path) -> PathBuf {
    let mut name = to.as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

/// An empty file for the owner's eyes only, in the place of what a failed backup has left.
fn create_private(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map(|_| ())
}

/// Gives the copy its name once the disk has all of it.
fn keep(partial: &Path, to: &Path) -> io::Result<u64> {
    let file = File::open(partial)?;
    file.sync_all()?;
    // Not over a file that somebody has made meanwhile.
    std::fs::hard_link(partial, to)?;
    std::fs::remove_file(partial)?;
    if let Some(parent) = to.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        File::open(parent)?.sync_all()?;
    }
    Ok(file.metadata()?.len())
}
