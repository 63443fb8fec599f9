//! The start of the store: what others have left is booked, keys and accounts come into memory, threads begin.
//!
//! Must not know what the threads do.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use super::chores::Retention;
use super::elders::{Elders, Heir};
use super::folder::Folder;
use super::journal::{Journal, JournalBounds};
use super::keys::KeyTable;
use super::places::{self, Place};
use super::progress::Progress;
use super::role::Role;
use super::sqlite::Database;
use super::usage::UsageReader;
use super::watch::{Shared, TariffBook, Watch};
use super::writer::{Pace, Writer};
use super::{BUSY_TIMEOUT, Settings, Store, StoreError, THREAD_BUSY_TIMEOUT, look_at_keys, sync};
use crate::accounts::KeyDirectory;
use crate::accounts::account::Accounts;
use crate::accounts::idempotency::Idempotency;
use crate::base::tariff::Tariffs;
use crate::base::time::Clock;

/// What is in memory when it has been loaded.
struct Memory {
    watch: Watch,
    idempotency: Arc<Idempotency>,
    elders: Elders,
}

impl Store {
    /// Opens the data folder, books what earlier runs have left in their journals, loads the keys and
    /// starts the threads.
    ///
    /// # Errors
    /// When another server has the folder, or anything in it cannot be used.
    pub fn start(settings: Settings, tariffs: Arc<Tariffs>, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let folder = Folder::new(&settings.data_dir);
        folder.create()?;
        let role = Arc::new(Role::of(&folder));
        if !settings.takes_over && !role.try_take()? {
            return Err(StoreError::InUse { path: settings.data_dir });
        }
        let (own, lock) = places::claim(&folder)?;
        let table = KeyTable::open(&settings)?;
        let database = Database::open(&folder.database(), THREAD_BUSY_TIMEOUT)?;
        let bounds = bounds(&settings);
        let position = database.position(own.number)?;
        let journal = Journal::open(&own.dir, bounds, position).map_err(StoreError::Journal)?;
        let progress = Arc::new(Progress::new(position, clock.now()));
        let shared = Shared {
            directory: Arc::new(KeyDirectory::new(settings.keys_max, settings.unknown_keys_max)),
            accounts: Arc::new(Accounts::default()),
            tariffs: Arc::new(TariffBook::new(tariffs)),
            journal: Arc::new(journal),
            progress: Arc::clone(&progress),
        };
        let parts = (Arc::clone(&shared.journal), Arc::clone(&shared.directory), Arc::clone(&progress));
        let pace = pace(&settings);
        let mut writer = Writer::new(&own, database, parts, (Arc::clone(&clock), Arc::clone(&role)), pace)?;
        writer.catch_up()?;
        progress.counters.handled.store(0, Ordering::Relaxed);
        let heir = Heir { folder: folder.clone(), bounds, clock: Arc::clone(&clock), pace };
        progress.set_keys_checked(clock.now());
        let Memory { watch, idempotency, elders } = load(&settings, heir, &own, &shared, &*clock)?;
        let Shared { directory, accounts, tariffs, journal, progress } = shared;
        let store = Self {
            usage: UsageReader::new(folder.database(), settings.readers_max),
            settings,
            clock,
            journal,
            directory,
            accounts,
            idempotency,
            tariffs,
            progress,
            table: Mutex::new(table),
            feedback: Mutex::default(),
            watch: Arc::new(Mutex::new(watch)),
            threads: Mutex::default(),
            role,
            _lock: lock,
        };
        store.start_threads(writer, elders)?;
        Ok(store)
    }

    fn start_threads(&self, writer: Writer, elders: Elders) -> Result<(), StoreError> {
        self.start_thread("flux-ledger", || writer.run())?;
        let (journal, progress, every) =
            (Arc::clone(&self.journal), Arc::clone(&self.progress), self.settings.sync_every);
        self.start_thread("flux-sync", move || sync::run(&journal, &progress, every))?;
        let (role, every) = (Arc::clone(&self.role), self.settings.poll);
        self.start_thread("flux-elders", move || elders.run(&role, every))?;
        let (watch, clock, progress) = (Arc::clone(&self.watch), Arc::clone(&self.clock), Arc::clone(&self.progress));
        let every = self.settings.keys_poll;
        self.start_thread("flux-keys", move || {
            while !progress.pause(every) {
                look_at_keys(&watch, &*clock, &progress);
            }
        })
    }

    fn start_thread(&self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), StoreError> {
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work).map_err(StoreError::Thread)?;
        self.threads().push(thread);
        Ok(())
    }
}

/// Brings keys, accounts and sums into memory, and what processes that live have charged beyond the sums.
fn load(
    settings: &Settings,
    heir: Heir,
    own: &Place,
    shared: &Shared,
    clock: &dyn Clock,
) -> Result<Memory, StoreError> {
    let path = heir.folder.database();
    let alive = heir.book_left(own, shared)?;
    let reading = Database::open(&path, THREAD_BUSY_TIMEOUT)?;
    let helper = Database::open_read_only(&path, THREAD_BUSY_TIMEOUT)?;
    let looking = Database::open_read_only(&path, THREAD_BUSY_TIMEOUT)?;
    // While this is held the ledger stands still, whoever else books: sums and positions are of one moment.
    let mut holding = Database::open(&path, BUSY_TIMEOUT)?;
    let still = holding.write()?;
    let idempotency = Idempotency::new(settings.idempotency_keys_max, settings.idempotent_repeats_max);
    reading.idempotency_marks_since(clock.unix_ms(), settings.idempotency_keys_max, |mark| {
        idempotency.remember(mark);
    })?;
    let idempotency = Arc::new(idempotency);
    let watch = Watch::start(reading, helper, shared.clone(), clock.unix_ms())?;
    let elders = Elders::begin(heir, shared.clone(), Arc::clone(&idempotency), alive, &looking)?;
    drop(still);
    Ok(Memory { watch, idempotency, elders })
}

fn bounds(settings: &Settings) -> JournalBounds {
    let Settings { journal_bytes_max, segment_bytes, .. } = *settings;
    JournalBounds { journal_bytes_max, segment_bytes }
}

fn pace(settings: &Settings) -> Pace {
    Pace {
        batch_rows_max: settings.batch_rows_max,
        poll: settings.poll,
        idle_poll: settings.idle_poll,
        uses_every: settings.uses_every,
        retention: Retention {
            ledger_days: settings.retention_days,
            purge_after_days: settings.purge_after_days,
            every: settings.chores_every,
        },
    }
}
