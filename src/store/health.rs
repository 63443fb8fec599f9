//! How the store fares: what health checks and metrics are told.
//!
//! Must not judge: who reads it decides what is trouble.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Store;

/// How the store fares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// The trouble that lasts, if any does.
    pub last_error: Option<String>,
    /// Charges that wait in the journal to be booked.
    pub backlog_rows: u64,
    /// Their bytes.
    pub backlog_bytes: u64,
    /// Size of the journal.
    pub journal_bytes: u64,
    /// Its bound.
    pub journal_bytes_max: u64,
    /// Rows added to the ledger since the start.
    pub rows_added: u64,
    /// Charges that were in the ledger already.
    pub rows_repeated: u64,
    /// Batches that named an account that does not exist.
    pub unknown_accounts: u64,
    /// Places of the journal that could not be read.
    pub damaged_records: u64,
    /// Batches that had to be tried again.
    pub book_failures: u64,
    /// Times the disk did not take the journal.
    pub sync_failures: u64,
    /// Times the keys could not be read.
    pub keys_failures: u64,
    /// Charges that could not be kept.
    pub append_failures: u64,
    /// Whether new requests may begin: their charges could be kept.
    pub has_room: bool,
    /// Times old rows could not be taken out.
    pub chore_failures: u64,
    /// Rows that retention has taken out.
    pub rows_archived: u64,
    /// Keys that are known.
    pub keys: u64,
    /// How long ago the keys in memory were last known to be right.
    pub keys_age: Duration,
}

impl Store {
    /// How the store fares.
    pub fn health(&self) -> Health {
        let counters = &self.progress.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Health {
            last_error: self.progress.last_error().clone(),
            backlog_rows: self.journal.records().saturating_sub(read(&counters.handled)),
            backlog_bytes: self.journal.bytes_after(self.progress.booked()),
            journal_bytes: self.journal.bytes(),
            journal_bytes_max: self.settings.journal_bytes_max,
            rows_added: read(&counters.added),
            rows_repeated: read(&counters.repeated),
            unknown_accounts: read(&counters.unknown_accounts),
            damaged_records: read(&counters.damaged),
            book_failures: read(&counters.book_failures),
            sync_failures: read(&counters.sync_failures),
            keys_failures: read(&counters.keys_failures),
            append_failures: read(&counters.append_failures),
            has_room: self.has_room(),
            chore_failures: read(&counters.chore_failures),
            rows_archived: read(&counters.archived),
            keys: self.directory.len() as u64,
            keys_age: self.progress.keys_age(self.clock.now()),
        }
    }
}
