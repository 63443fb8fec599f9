//! The database: one file in the data folder, opened, migrated and spoken to in SQL here alone.
//!
//! Must not know the journal, threads or the command line. Several processes use it at once: the
//! server and whoever runs `flux keys`.

pub(super) mod accounts;
pub(super) mod audit;
pub(super) mod backup;
pub(super) mod feedback;
pub(super) mod keys;
pub(super) mod ledger;
pub(super) mod load;
pub(super) mod retention;
mod rollup;
pub(super) mod usage;

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Row, TransactionBehavior};

use crate::base::ids::AccountId;
use crate::base::quality::Quality;
use crate::base::time::UnixMs;
use crate::base::wish::{AutoWish, LaneWish};

/// Each step brings the schema from its index to the next; `PRAGMA user_version` counts them.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001_accounts_keys_ledger.sql"),
    include_str!("../migrations/0002_tariffs_budgets_rollups.sql"),
    include_str!("../migrations/0003_auto_wishes.sql"),
    include_str!("../migrations/0004_kinds_feedback.sql"),
    include_str!("../migrations/0005_providers_of_keys.sql"),
];
/// No schema is named: the main one.
const MAIN: Option<&str> = None;
/// Prepared statements kept by a connection.
const STATEMENTS_MAX: usize = 32;
/// How long the journal mode may be in the hands of another process that starts at the same time.
const WAL_TRIES: u32 = 50;

/// Why the database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// SQLite says so: locked, disk full, …
    #[error("database: {0}")]
    Sqlite(#[source] rusqlite::Error),
    /// Pages of the file are not what was written.
    #[error(
        "the database is damaged ({what}): nothing was changed; put a backup in its place, or recover what can be read \
         (README, \"Backup\")"
    )]
    Damaged {
        /// What SQLite says.
        what: String,
    },
    /// Written by a newer Flux.
    #[error("the database is of version {found}, this flux knows {known}: use a newer one")]
    TooNew {
        /// What the file says.
        found: usize,
        /// What this program knows.
        known: usize,
    },
    /// A figure or a sum does not fit 63 bits.
    #[error("{what} does not fit the database")]
    TooLarge {
        /// Which one.
        what: &'static str,
    },
    /// A key is there without its account.
    #[error("there is no account {}", id.0)]
    NoSuchAccount {
        /// Its id.
        id: AccountId,
    },
    /// Another process holds it.
    #[error("the database stays locked by another process")]
    StillLocked,
    /// The bound of keys is reached.
    #[error("there are {keys_max} keys already, the most that are allowed")]
    KeysFull {
        /// The bound.
        keys_max: usize,
    },
    /// The bound of an account's keys is reached.
    #[error("the account has {keys_max} keys already, revoked ones counted: as many as it may")]
    AccountKeysFull {
        /// The bound.
        keys_max: usize,
    },
}

impl From<rusqlite::Error> for DatabaseError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
                Self::Damaged { what: error.to_string() }
            }
            Some(_) | None => Self::Sqlite(error),
        }
    }
}

/// A connection to the database.
#[derive(Debug)]
pub(super) struct Database {
    connection: Connection,
}

impl Database {
    /// Opens the database, makes it if it is not there, and brings its schema up to date.
    ///
    /// # Errors
    /// When it cannot be opened, is locked longer than `busy_timeout`, or is too new.
    pub(super) fn open(path: &Path, busy_timeout: Duration) -> Result<Self, DatabaseError> {
        let mut database = Self::join(path, busy_timeout)?;
        migrate(&mut database.connection)?;
        Ok(database)
    }

    /// Opens a database that this process has open already. A process of a later build may have changed it since, in a
    /// way that leaves what this one writes valid: then it is no longer of this version, and still to be used.
    ///
    /// # Errors
    /// When it cannot be opened or is locked longer than `busy_timeout`.
    pub(super) fn join(path: &Path, busy_timeout: Duration) -> Result<Self, DatabaseError> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(busy_timeout)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        enter_wal(&connection)?;
        connection.pragma_update(MAIN, "synchronous", "NORMAL")?;
        connection.pragma_update(MAIN, "foreign_keys", "ON")?;
        // Zeros in the place of what was changed: what is purged must not stay in a gap of a page.
        connection.pragma_update(MAIN, "secure_delete", "ON")?;
        Ok(Self { connection })
    }

    /// Opens an existing database to look at.
    ///
    /// # Errors
    /// When it is not there, cannot be opened, or is too new.
    pub(super) fn open_read_only(path: &Path, busy_timeout: Duration) -> Result<Self, DatabaseError> {
        let database = Self::join_read_only(path, busy_timeout)?;
        refuse_newer(version(&database.connection)?)?;
        Ok(database)
    }

    /// Opens to look at what this process has open already, as [`Self::join`] does.
    ///
    /// # Errors
    /// When it is not there or cannot be opened.
    pub(super) fn join_read_only(path: &Path, busy_timeout: Duration) -> Result<Self, DatabaseError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(busy_timeout)?;
        Ok(Self { connection })
    }

    /// A number that changes when another connection has committed.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(super) fn data_version(&self) -> Result<i64, DatabaseError> {
        Ok(self.connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?)
    }

    /// A write transaction: taken at the start, so that what is read in it stays true to its end.
    pub(super) fn write(&mut self) -> Result<rusqlite::Transaction<'_>, DatabaseError> {
        Ok(self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?)
    }
}

/// The switch needs the file alone for a moment, and SQLite does not wait for that by itself.
fn enter_wal(connection: &Connection) -> Result<(), DatabaseError> {
    for _ in 0..WAL_TRIES {
        match connection.pragma_update_and_check(MAIN, "journal_mode", "WAL", |_| Ok(())) {
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => {
                std::thread::sleep(Duration::from_millis(20));
            }
            outcome => return Ok(outcome?),
        }
    }
    Ok(connection.pragma_update_and_check(MAIN, "journal_mode", "WAL", |_| Ok(()))?)
}

/// Several processes may start at once: the first takes the lock and the others find the work done.
fn migrate(connection: &mut Connection) -> Result<(), DatabaseError> {
    if version(connection)? == MIGRATIONS.len() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    let found = version(&transaction)?;
    refuse_newer(found)?;
    for step in MIGRATIONS.iter().skip(found) {
        transaction.execute_batch(step)?;
    }
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    transaction.pragma_update(MAIN, "user_version", known)?;
    Ok(transaction.commit()?)
}

fn version(connection: &Connection) -> Result<usize, DatabaseError> {
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    Ok(usize::try_from(found).unwrap_or(usize::MAX))
}

fn refuse_newer(found: usize) -> Result<(), DatabaseError> {
    let known = MIGRATIONS.len();
    if found > known { Err(DatabaseError::TooNew { found, known }) } else { Ok(()) }
}

fn count(figure: u64, what: &'static str) -> Result<i64, DatabaseError> {
    i64::try_from(figure).map_err(|_| DatabaseError::TooLarge { what })
}

fn time(at: UnixMs) -> Result<i64, DatabaseError> {
    count(at.0, "a time")
}

/// The wishes that two columns hold, of which the first stands at `at`.
fn wish(row: &Row<'_>, at: usize) -> rusqlite::Result<AutoWish> {
    let quality = row.get::<_, Option<u16>>(at)?.and_then(Quality::of_thousandths);
    let lane = row.get_ref(at + 1)?.as_str_or_null().map_err(rusqlite::Error::from)?.and_then(LaneWish::parse);
    Ok(AutoWish { quality, lane })
}

/// A wish for lanes as it is stored.
fn lane_text(lane: Option<LaneWish>) -> Option<String> {
    lane.map(|lane| lane.to_string())
}

fn unix_ms(stored: i64) -> UnixMs {
    UnixMs(u64::try_from(stored).unwrap_or(0))
}
