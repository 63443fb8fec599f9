//! How far the store's threads have come, how they are woken and how they are stopped; and the
//! counters that tell how they fare.
//!
//! Must not know what they do.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::journal::read::Position;

/// Shared by the threads of the store and those who wait for them.
#[derive(Debug)]
pub(super) struct Progress {
    // Guards what the condition variables below are about.
    state: Mutex<State>,
    /// Somebody wants something of a thread.
    wake: Condvar,
    /// A batch was booked.
    booked: Condvar,
    started: Instant,
    /// When the keys were last known to be those of the database, in milliseconds since the start.
    keys_checked_ms: AtomicU64,
    /// Whether the last try to read the keys failed.
    keys_fail: AtomicBool,
    pub(super) counters: Counters,
    // Guards a text that is written on failure and read by health checks.
    last_error: Mutex<Option<String>>,
}

#[derive(Debug, Default)]
struct State {
    booked: Position,
    wanted: Position,
    is_stopping: bool,
}

/// Counts since the start.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Records of this process that were booked or found booked.
    pub(super) handled: AtomicU64,
    /// Rows added to the ledger, those of the start included.
    pub(super) added: AtomicU64,
    /// Charges whose request was in the ledger already.
    pub(super) repeated: AtomicU64,
    /// Batches that named an account that does not exist.
    pub(super) unknown_accounts: AtomicU64,
    /// Places of the journal that could not be read.
    pub(super) damaged: AtomicU64,
    /// Batches that had to be tried again.
    pub(super) book_failures: AtomicU64,
    /// Times the disk did not take the journal.
    pub(super) sync_failures: AtomicU64,
    /// Times the keys could not be checked.
    pub(super) keys_failures: AtomicU64,
    /// Times old rows could not be taken out.
    pub(super) chore_failures: AtomicU64,
    /// Rows that retention has taken out.
    pub(super) archived: AtomicU64,
    /// Charges that could not be kept.
    pub(super) append_failures: AtomicU64,
}

/// Adds to a counter.
pub(super) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

impl Progress {
    /// At the start, with everything up to `booked` done.
    pub(super) fn new(booked: Position, started: Instant) -> Self {
        Self {
            state: Mutex::new(State { booked, ..State::default() }),
            wake: Condvar::new(),
            booked: Condvar::new(),
            started,
            keys_checked_ms: AtomicU64::new(0),
            keys_fail: AtomicBool::new(false),
            counters: Counters::default(),
            last_error: Mutex::default(),
        }
    }

    /// Waits, or until the store stops; true when it does.
    pub(super) fn pause(&self, wait: Duration) -> bool {
        self.pause_while(wait, |state| !state.is_stopping)
    }

    /// Waits, or until somebody wants charges booked or the store stops; true when it stops.
    pub(super) fn pause_until_wanted(&self, wait: Duration) -> bool {
        self.pause_while(wait, |state| !state.is_stopping && state.wanted <= state.booked)
    }

    fn pause_while(&self, wait: Duration, is_idle: impl Fn(&State) -> bool) -> bool {
        let waited = self.wake.wait_timeout_while(self.state(), wait, |state| is_idle(state));
        waited.unwrap_or_else(PoisonError::into_inner).0.is_stopping
    }

    /// Up to here all is booked.
    pub(super) fn set_booked(&self, position: Position) {
        self.state().booked = position;
        self.booked.notify_all();
    }

    /// Up to where all is booked.
    pub(super) fn booked(&self) -> Position {
        self.state().booked
    }

    /// Has everything up to `target` booked; false when that took longer than `wait`.
    pub(super) fn wait_for(&self, target: Position, wait: Duration) -> bool {
        let mut state = self.state();
        state.wanted = state.wanted.max(target);
        self.wake.notify_all();
        let waited = self.booked.wait_timeout_while(state, wait, |state| state.booked < target && !state.is_stopping);
        waited.unwrap_or_else(PoisonError::into_inner).0.booked >= target
    }

    /// Asks all threads to end.
    pub(super) fn stop(&self) {
        self.state().is_stopping = true;
        self.wake.notify_all();
        self.booked.notify_all();
    }

    /// The keys in memory are those that the database had at `at`.
    pub(super) fn set_keys_checked(&self, at: Instant) {
        self.keys_checked_ms.fetch_max(self.since_start(at), Ordering::Relaxed);
        self.keys_fail.store(false, Ordering::Relaxed);
    }

    /// The keys could not be read.
    pub(super) fn keys_failed(&self, what: &str, error: &dyn std::error::Error) {
        self.keys_fail.store(true, Ordering::Relaxed);
        self.failed(&self.counters.keys_failures, what, error);
    }

    /// Whether the last try to read the keys failed.
    pub(super) fn keys_fail(&self) -> bool {
        self.keys_fail.load(Ordering::Relaxed)
    }

    /// How long ago the keys in memory were known to be right.
    pub(super) fn keys_age(&self, now: Instant) -> Duration {
        let checked = self.keys_checked_ms.load(Ordering::Relaxed);
        Duration::from_millis(self.since_start(now).saturating_sub(checked))
    }

    fn since_start(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.started).as_millis()).unwrap_or(u64::MAX)
    }

    /// Counts and logs a failure, and keeps it for the health check.
    pub(super) fn failed(&self, counter: &AtomicU64, what: &str, error: &dyn std::error::Error) {
        let message = format!("{what}: {error}");
        let mut last = self.last_error();
        // Threads try again many times a second: the log hears of each new trouble once.
        if last.as_ref() != Some(&message) {
            log::warn!(failures = counter.load(Ordering::Relaxed) + 1; "{message}");
        }
        *last = Some(message);
        add(counter, 1);
    }

    /// All went well: nothing is to be told any more about failures of `what`.
    pub(super) fn went_well(&self, what: &str) {
        let mut last = self.last_error();
        if last.as_ref().is_some_and(|error| error.starts_with(what)) {
            log::info!("{what}: works again");
            *last = None;
        }
    }

    /// The trouble that lasts.
    pub(super) fn last_error(&self) -> MutexGuard<'_, Option<String>> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
