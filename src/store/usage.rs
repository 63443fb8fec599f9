//! Usage for those who ask: rows of the ledger, newest first, and sums by the day.
//!
//! Must not write, nor hold up those who do: it has a few read-only connections of its own. Sums come from the daily
//! roll-up, so that millions of rows do not matter.

use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::folder::Folder;
use super::sqlite::{Database, DatabaseError};
use super::{Store, StoreError};
use crate::base::ids::{AccountId, KeyId, RequestId};
use crate::base::money::NanoUsd;
use crate::base::outcome::{Charge, Ending};
use crate::base::time::UnixMs;

/// How long a question waits for one of them.
const CONNECTION_WAIT_MAX: Duration = Duration::from_secs(2);
/// How long a connection waits for a lock; readers of a database in WAL mode hardly ever do.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);
/// A day.
pub const MS_PER_DAY: u64 = 86_400_000;

/// Which usage is meant; `None` is any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageFilter {
    /// With which key.
    pub key: Option<KeyId>,
    /// The model that answered, by its canonical id.
    pub model: Option<String>,
    /// The lane.
    pub lane: Option<String>,
    /// The provider that answered.
    pub provider: Option<String>,
    /// How it ended.
    pub ending: Option<Ending>,
    /// When the request arrived at the earliest.
    pub from: Option<UnixMs>,
    /// Before when it arrived.
    pub to: Option<UnixMs>,
}

impl UsageFilter {
    /// Whether a row is meant. Key and times are looked for by an index, and are not asked again.
    pub(super) fn lets_through(&self, charge: &Charge) -> bool {
        let Self { key: _, model, lane, provider, ending, from: _, to: _ } = self;
        let is = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        is(model, &charge.model)
            && is(lane, &charge.lane)
            && is(provider, &charge.provider)
            && ending.is_none_or(|ending| ending == charge.ending)
    }

    /// The days that are meant, numbered from 1970: sums are kept by whole days of UTC.
    pub fn days(&self) -> (i64, i64) {
        let day = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        let first = self.from.map_or(0, |from| day(from.0 / MS_PER_DAY));
        let end = self.to.map_or(i64::MAX, |to| day(to.0.div_ceil(MS_PER_DAY)));
        (first, end)
    }
}

/// Rows, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The rows; fewer than asked for where the filter is rare.
    pub charges: Vec<Charge>,
    /// From below which request the next page goes on; `None` after the last.
    pub next: Option<RequestId>,
}

/// What sums are made by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Group {
    /// One sum of all.
    All,
    /// Days of UTC, newest first.
    Day,
    /// Keys, dearest first.
    Key,
    /// Models, dearest first.
    Model,
    /// Lanes, dearest first; pins are one group without a name.
    Lane,
}

/// Sums of usage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Requests.
    pub requests: u64,
    /// Tokens of prompts.
    pub input: u64,
    /// Those of them that were read from a cache.
    pub cached: u64,
    /// Tokens of answers.
    pub output: u64,
    /// What the account was charged.
    pub amount: NanoUsd,
}

impl Sums {
    /// The sums of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            input: self.input.saturating_add(other.input),
            cached: self.cached.saturating_add(other.cached),
            output: self.output.saturating_add(other.output),
            amount: NanoUsd(self.amount.0.saturating_add(other.amount.0)),
        }
    }
}

/// The sums of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SumOf {
    /// The day, numbered from 1970, or the key's id; else 0.
    pub number: i64,
    /// The model, the lane, or the key's prefix; else empty.
    pub text: String,
    /// Its sums.
    pub sums: Sums,
}

/// Reads usage.
#[derive(Debug)]
pub struct UsageReader {
    path: PathBuf,
    connections_max: usize,
    // Guards the connections that nobody uses, and the count of those that are open.
    pool: Mutex<Pool>,
    given_back: Condvar,
}

#[derive(Debug, Default)]
struct Pool {
    idle: Vec<Database>,
    open: usize,
}

/// A connection in use. Goes back by itself, also when its user panics.
struct Lease<'a> {
    reader: &'a UsageReader,
    database: Option<Database>,
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let mut pool = self.reader.pool();
        match self.database.take() {
            Some(database) => pool.idle.push(database),
            None => pool.open = pool.open.saturating_sub(1),
        }
        drop(pool);
        self.reader.given_back.notify_one();
    }
}

impl UsageReader {
    /// Reads a database on up to so many connections; opens it when it is first asked.
    pub(super) fn new(path: PathBuf, connections_max: usize) -> Self {
        Self { path, connections_max, pool: Mutex::default(), given_back: Condvar::new() }
    }

    /// Reads a data folder that must be there, on one connection; a server may be at work in it.
    ///
    /// # Errors
    /// When there is no database.
    pub fn open_existing(data_dir: &Path) -> Result<Self, StoreError> {
        let folder = Folder::new(data_dir);
        folder.expect_database()?;
        Ok(Self::new(folder.database(), 1))
    }

    /// The newest rows of an account that are meant, from below `before` on, at most `limit`.
    ///
    /// # Errors
    /// When the database cannot be read, or too many ask at once.
    pub fn page(
        &self,
        account: AccountId,
        filter: &UsageFilter,
        before: Option<RequestId>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let before = before.unwrap_or(RequestId(u128::MAX));
        self.read(|database| database.charges(account, filter, before, limit))
    }

    /// The row of a request; `None` where it is not of that account, as where there is none.
    ///
    /// # Errors
    /// When the database cannot be read, or too many ask at once.
    pub fn charge(&self, account: AccountId, request: RequestId) -> Result<Option<Charge>, StoreError> {
        self.read(|database| database.charge_of(account, request))
    }

    /// Sums of the whole days that are meant, at most `limit` groups; of all accounts where none is named.
    ///
    /// # Errors
    /// When the database cannot be read, or too many ask at once.
    pub fn sums(
        &self,
        account: Option<AccountId>,
        filter: &UsageFilter,
        group: Group,
        limit: usize,
    ) -> Result<Vec<SumOf>, StoreError> {
        self.read(|database| database.sums(account, filter, filter.days(), group, limit))
    }

    /// The account of a name.
    ///
    /// # Errors
    /// When the database cannot be read, or too many ask at once.
    pub fn account(&self, name: &str) -> Result<Option<AccountId>, StoreError> {
        self.read(|database| Ok(database.account_by_name(name)?.map(|account| account.id)))
    }

    /// Asks the database on a connection of the pool.
    ///
    /// # Errors
    /// When the database cannot be read, or too many ask at once.
    pub(super) fn read<T>(&self, ask: impl FnOnce(&Database) -> Result<T, DatabaseError>) -> Result<T, StoreError> {
        let mut lease = self.lease()?;
        if lease.database.is_none() {
            lease.database = Some(Database::join_read_only(&self.path, BUSY_TIMEOUT)?);
        }
        match &lease.database {
            Some(database) => Ok(ask(database)?),
            None => Err(StoreError::Busy),
        }
    }

    fn lease(&self) -> Result<Lease<'_>, StoreError> {
        let is_short = |pool: &mut Pool| pool.idle.is_empty() && pool.open >= self.connections_max;
        let waited = self.given_back.wait_timeout_while(self.pool(), CONNECTION_WAIT_MAX, is_short);
        let (mut pool, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return Err(StoreError::Busy);
        }
        let database = pool.idle.pop();
        if database.is_none() {
            pool.open = pool.open.saturating_add(1);
        }
        Ok(Lease { reader: self, database })
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Usage, for those who ask.
    pub fn usage(&self) -> &UsageReader {
        &self.usage
    }
}
