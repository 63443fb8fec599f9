//! What is kept: charges in the journal and the ledger, keys in the database.
//!
//! Must not know requests, HTTP or prices. A charge is safe when `Store::append` returns; that it
//! reaches the ledger is the business of the threads started here. See ARCHITECTURE.md, "Durable
//! before done".

pub mod accounts;
pub mod backup;
mod chores;
mod elders;
pub mod feedback;
mod folder;
pub mod health;
pub mod journal;
pub mod keys;
mod load;
mod places;
mod progress;
pub mod reconcile;
mod role;
pub mod sqlite;
mod start;
mod sync;
pub mod usage;
mod watch;
mod writer;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::accounts::account::Accounts;
use crate::accounts::idempotency::Idempotency;
use crate::accounts::{DirectoryFull, KeyDirectory};
use crate::base::ids::KeyId;
use crate::base::outcome::Charge;
use crate::base::tariff::Tariffs;
use crate::base::time::{Clock, UnixMs};

use self::folder::Folder;
use self::journal::{Journal, JournalError};
use self::keys::{CreatedKey, FirstKeys, KeyEntry, KeyTable, NewKey};
use self::progress::{Progress, add};
use self::role::Role;
use self::sqlite::{Database, DatabaseError};
use self::usage::UsageReader;
use self::watch::{TariffBook, Watch};

/// How long people and the start wait for a lock of another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a thread waits for one before it counts a failure and tries again.
const THREAD_BUSY_TIMEOUT: Duration = Duration::from_millis(200);
/// A thread that is late is no database that fails: turning everybody away would make a busy machine useless.
const LATE_FACTOR: u32 = 5;
/// How failures of the thread that looks at keys are called in the log.
const WATCHING: &str = "keys cannot be read";

/// Where the store lives and its bounds.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The data folder; made if it is not there.
    pub data_dir: PathBuf,
    /// The journal's bound: when it is reached, charges are refused.
    pub journal_bytes_max: u64,
    /// Size of one file of the journal.
    pub segment_bytes: u64,
    /// How often the disk is handed what the kernel has: what a power cut may take.
    pub sync_every: Duration,
    /// Wait between two batches while there is traffic.
    pub poll: Duration,
    /// Wait when there is none.
    pub idle_poll: Duration,
    /// Rows of one transaction.
    pub batch_rows_max: usize,
    /// How long [`Store::flush`] waits.
    pub flush_wait_max: Duration,
    /// Keys that may exist.
    pub keys_max: usize,
    /// Keys that one account makes for itself, revoked ones counted: the table is shared, and nobody may fill it alone.
    pub keys_of_account_max: usize,
    /// Unknown keys that are remembered.
    pub unknown_keys_max: usize,
    /// Requests with an idempotency key that are remembered.
    pub idempotency_keys_max: u64,
    /// How often each may be repeated.
    pub idempotent_repeats_max: u32,
    /// How often changes of keys by other processes are looked for.
    pub keys_poll: Duration,
    /// For how long keys may be served from memory while the database cannot be read; and five times as
    /// long while nobody got to look, as on a machine that is too busy to run the thread in time.
    pub keys_stale_after: Duration,
    /// How often uses of keys are written down.
    pub uses_every: Duration,
    /// Connections that read usage at once. Each has its own cache of pages.
    pub readers_max: usize,
    /// Days for which the ledger keeps its rows; 0: for ever.
    pub retention_days: u64,
    /// Days after which a closed account loses what tells of a person.
    pub purge_after_days: u64,
    /// How often it is looked for what is that old.
    pub chores_every: Duration,
    /// Whether to begin beside the process that accepts, and to be the one that does when it gives that up.
    pub takes_over: bool,
}

impl Settings {
    /// The defaults for a data folder.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            journal_bytes_max: 256 * 1024 * 1024,
            segment_bytes: 16 * 1024 * 1024,
            sync_every: Duration::from_millis(200),
            poll: Duration::from_millis(5),
            idle_poll: Duration::from_millis(20),
            batch_rows_max: 1_024,
            flush_wait_max: Duration::from_secs(5),
            keys_max: 1_000_000,
            keys_of_account_max: 10_000,
            unknown_keys_max: 65_536,
            idempotency_keys_max: 100_000,
            idempotent_repeats_max: 3,
            keys_poll: Duration::from_millis(250),
            keys_stale_after: Duration::from_secs(1),
            uses_every: Duration::from_secs(5),
            readers_max: 4,
            retention_days: 0,
            purge_after_days: 30,
            chores_every: Duration::from_mins(1),
            takes_over: false,
        }
    }
}

/// Why the store cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or folder of the data folder cannot be made or opened.
    #[error("cannot use {path}: {source}")]
    Folder {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another server uses the data folder.
    #[error("another flux uses the data folder {path}: stop it first or give this one its own")]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// Processes that end what is open have all journals.
    #[error("{processes_max} processes work on the data folder already: wait until those that end have ended")]
    TooManyProcesses {
        /// The bound.
        processes_max: u32,
    },
    /// There is no database where one is needed.
    #[error("there is no database {path}: start flux or make a key first, or name another data folder")]
    NoDatabase {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The database refuses.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The journal's files cannot be read or written.
    #[error("journal: {0}")]
    Journal(#[source] io::Error),
    /// More keys are stored than may be.
    #[error(transparent)]
    Directory(#[from] DirectoryFull),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    NoRandomness,
    /// A name is too long or has control characters, or an account has none.
    #[error("the {what}'s name must have 1 to 128 bytes and no control characters")]
    BadName {
        /// Of what.
        what: &'static str,
    },
    /// No account is meant.
    #[error("there is no account \"{which}\"")]
    NoSuchAccount {
        /// What was asked for.
        which: String,
    },
    /// The name is taken.
    #[error("there is an account \"{name}\" already, maybe a closed one")]
    AccountExists {
        /// The name.
        name: String,
    },
    /// Nothing of it can be changed any more.
    #[error("the account \"{which}\" is closed")]
    AccountClosed {
        /// What was asked for.
        which: String,
    },
    /// A backup goes into a new file only.
    #[error("{path} is there already: name a new file")]
    BackupExists {
        /// The file.
        path: PathBuf,
    },
    /// No key is meant.
    #[error("there is no key \"{which}\"")]
    NoSuchKey {
        /// What was asked for, shortened.
        which: String,
    },
    /// More than one key is meant.
    #[error("several keys begin with \"{which}\": name one by its id ({ids})")]
    SeveralKeys {
        /// What was asked for.
        which: String,
        /// Ids of those that fit.
        ids: String,
    },
    /// What is chosen for a key makes no sense.
    #[error("{0}")]
    BadSettings(String),
    /// A key that has ended cannot be changed.
    #[error("the key {} is revoked or expired: make a new one", id.0)]
    KeyEnded {
        /// Which one.
        id: KeyId,
    },
    /// Too many ask at once.
    #[error("too many questions to the database at once")]
    Busy,
    /// The ledger is behind.
    #[error("charges were not booked in time")]
    NotBooked,
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
}

/// The store of a running server. One in a process, shared by all.
#[derive(Debug)]
pub struct Store {
    settings: Settings,
    clock: Arc<dyn Clock>,
    journal: Arc<Journal>,
    directory: Arc<KeyDirectory>,
    accounts: Arc<Accounts>,
    idempotency: Arc<Idempotency>,
    tariffs: Arc<TariffBook>,
    progress: Arc<Progress>,
    usage: UsageReader,
    // Guards a connection: keys are made and revoked by people, one after the other.
    table: Mutex<KeyTable>,
    // Guards a connection that is opened when it is first needed: who gives feedback can wait for the one before.
    feedback: Mutex<Option<Database>>,
    // Guards a connection: the thread looks for changes, and so does whoever has just made one.
    watch: Arc<Mutex<Watch>>,
    // Guards the threads until they are joined.
    threads: Mutex<Vec<JoinHandle<()>>>,
    role: Arc<Role>,
    // Held, not used: the journal is ours while this is open.
    _lock: File,
}

impl Store {
    /// Keeps a charge. When this returns, `kill -9` cannot lose it: the answer may be completed.
    ///
    /// # Errors
    /// When it was not kept: the answer must not be completed.
    pub fn append(&self, charge: &Charge) -> Result<(), JournalError> {
        let appended = self.journal.append(charge);
        if appended.is_err() {
            add(&self.progress.counters.append_failures, 1);
        }
        appended
    }

    /// Whether new requests may begin. When this is false, those at work can still be charged: a part of the journal is
    /// left to them.
    pub fn has_room(&self) -> bool {
        self.journal.has_room()
    }

    /// Books all that was appended before this call, and returns when that is done. Blocks: not for
    /// a worker that serves requests.
    ///
    /// # Errors
    /// When that takes longer than the settings allow.
    pub fn flush(&self) -> Result<(), StoreError> {
        let is_booked = self.progress.wait_for(self.journal.end(), self.settings.flush_wait_max);
        if is_booked { Ok(()) } else { Err(StoreError::NotBooked) }
    }

    /// The keys, for those who authenticate.
    pub fn keys(&self) -> Arc<KeyDirectory> {
        Arc::clone(&self.directory)
    }

    /// The requests that must not be paid twice.
    pub fn idempotency(&self) -> Arc<Idempotency> {
        Arc::clone(&self.idempotency)
    }

    /// The accounts, for those who show them.
    pub fn accounts(&self) -> Arc<Accounts> {
        Arc::clone(&self.accounts)
    }

    /// Takes other tariffs in: every account has its new one when this returns.
    ///
    /// # Errors
    /// When the accounts cannot be read; they keep their tariffs then.
    pub fn change_tariffs(&self, tariffs: Arc<Tariffs>) -> Result<(), StoreError> {
        self.tariffs.replace(tariffs);
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        watch.reload_accounts(self.clock.unix_ms())
    }

    /// Whether the keys in memory are older than may be: a revocation could have been missed, so
    /// nobody may be let in.
    pub fn keys_are_stale(&self, now: Instant) -> bool {
        let bound = self.settings.keys_stale_after;
        let bound = if self.progress.keys_fail() { bound } else { bound.saturating_mul(LATE_FACTOR) };
        self.progress.keys_age(now) > bound
    }

    /// The key under which answers carry what only their model may get back.
    ///
    /// # Errors
    /// When the data folder cannot be used.
    pub fn sealing_key(&self) -> Result<[u8; 32], StoreError> {
        Folder::new(&self.settings.data_dir).sealing_key()
    }

    /// Makes the default account and its first keys, once in the life of a data folder.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn bootstrap(&self, account: &str) -> Result<Option<FirstKeys>, StoreError> {
        self.with_keys(|table, now| table.bootstrap(account, now))
    }

    /// Makes a key; it works within the poll interval of keys, mostly at once.
    ///
    /// # Errors
    /// When a name is not usable, there are too many keys, or the database cannot be written.
    pub fn create_key(&self, new: &NewKey<'_>) -> Result<CreatedKey, StoreError> {
        self.with_keys(|table, now| table.create(new, now))
    }

    /// All keys.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn list_keys(&self) -> Result<Vec<KeyEntry>, StoreError> {
        self.table().list()
    }

    /// Says that another process accepts from now on: it may do what must be done once. Charges are still kept and booked.
    pub fn give_way(&self) {
        self.role.give_up();
    }

    /// Ends the threads and waits for them; what is in the journal is booked first, if it can be.
    pub fn stop(&self) {
        self.progress.stop();
        let threads = std::mem::take(&mut *self.threads());
        for thread in threads {
            let name = thread.thread().name().unwrap_or_default().to_owned();
            if thread.join().is_err() {
                log::error!(thread = name; "a thread of the store had panicked");
            }
        }
    }

    /// Changes keys, and lets that act at once in this process.
    fn with_keys<T>(&self, work: impl FnOnce(&mut KeyTable, UnixMs) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let done = work(&mut self.table(), self.clock.unix_ms())?;
        self.take_in_keys();
        Ok(done)
    }

    fn take_in_keys(&self) {
        look_at_keys(&self.watch, &*self.clock, &self.progress);
    }

    fn table(&self) -> MutexGuard<'_, KeyTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn threads(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.stop();
    }
}

fn look_at_keys(watch: &Mutex<Watch>, clock: &dyn Clock, progress: &Progress) {
    let mut watch = watch.lock().unwrap_or_else(PoisonError::into_inner);
    // Taken before the look: a change that is committed meanwhile may be missed by it.
    let at = clock.now();
    match watch.poll(clock.unix_ms()) {
        Ok(()) => {
            progress.set_keys_checked(at);
            progress.went_well(WATCHING);
        }
        Err(error) => progress.keys_failed(WATCHING, &error),
    }
}
