//! The keys that may call, as they stand in memory.
//!
//! Must not know where keys are stored nor how they travel in a request. Every key lives in the
//! directory, so a hash that is not there is unknown: no look-up ever asks a database.

#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects, clippy::as_conversions, clippy::float_arithmetic))]

pub mod account;
pub mod funds;
pub mod idempotency;
pub mod key;
pub mod rate;

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::base::ids::KeyId;
use crate::base::time::UnixMs;

use self::funds::Funds;
use self::key::{Budget, KeyHash, KeyState};

/// The same unknown key is told to the log once in this time.
const UNKNOWN_NEWS_MS: u64 = 1_000;

/// The directory holds as many keys as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are more than {keys_max} keys")]
pub struct DirectoryFull {
    /// The bound.
    pub keys_max: usize,
}

/// What a look-up found.
#[derive(Clone, Debug)]
pub enum Found {
    /// The key, in whatever state it is.
    Key(Arc<KeyState>),
    /// No such key, and the log has not heard of it in the last second.
    UnknownNews,
    /// No such key, and the log knows already.
    UnknownAgain,
}

/// All keys, by hash. Cheap to read from every worker.
#[derive(Debug)]
pub struct KeyDirectory {
    keys: Shards,
    // Callers choose what lands here, so the hasher is the keyed one of the standard library.
    unknown: Cache<KeyHash, UnixMs>,
    keys_max: usize,
    // Guards what changes rarely: the count, and the keys used since the last flush.
    changing: Mutex<Changing>,
}

#[derive(Debug, Default)]
struct Changing {
    count: usize,
    touched: Vec<Arc<KeyState>>,
}

impl KeyDirectory {
    /// An empty directory with its bounds.
    pub fn new(keys_max: usize, unknown_keys_max: usize) -> Self {
        let bound = |max: usize| u64::try_from(max).unwrap_or(u64::MAX);
        let unknown =
            Cache::builder().max_capacity(bound(unknown_keys_max)).eviction_policy(EvictionPolicy::lru()).build();
        Self { keys: Shards::default(), unknown, keys_max, changing: Mutex::default() }
    }

    /// Finds a key by its hash, from memory alone.
    pub fn find(&self, hash: &KeyHash, now: UnixMs) -> Found {
        if let Some(key) = self.keys.get(hash) {
            return Found::Key(key);
        }
        let told = self.unknown.get(hash);
        if told.is_some_and(|at| now.0.saturating_sub(at.0) < UNKNOWN_NEWS_MS) {
            return Found::UnknownAgain;
        }
        self.unknown.insert(*hash, now);
        Found::UnknownNews
    }

    /// Adds a key, or replaces it by its newer state. Not for two at once with the same hash.
    ///
    /// # Errors
    /// When the directory is full and the key is new.
    pub fn put(&self, hash: KeyHash, mut key: KeyState, now: UnixMs) -> Result<(), DirectoryFull> {
        match self.keys.get(&hash) {
            Some(old) => key.take_over(&old, now),
            None => self.count_one()?,
        }
        self.keys.put(hash, Arc::new(key));
        Ok(())
    }

    fn count_one(&self) -> Result<(), DirectoryFull> {
        let mut changing = self.changing();
        if changing.count >= self.keys_max {
            return Err(DirectoryFull { keys_max: self.keys_max });
        }
        changing.count = changing.count.saturating_add(1);
        Ok(())
    }

    /// Opens the first budget of a key that is here, before its newer state is put.
    pub fn open_budget(&self, hash: &KeyHash, budget: Budget, now: UnixMs) {
        if let Some(key) = self.keys.get(hash) {
            key.open_budget(budget, now);
        }
    }

    /// Notes that a key was used. Exact to a second; takes a lock once a key between two flushes.
    pub fn touch(&self, key: &Arc<KeyState>, now: UnixMs) {
        if key.last_used.touch(now) {
            self.changing().touched.push(Arc::clone(key));
        }
    }

    /// The keys used since the last call, at most one entry for each, for whoever writes that down.
    pub fn take_touched(&self) -> Vec<Arc<KeyState>> {
        let touched = std::mem::take(&mut self.changing().touched);
        for key in &touched {
            key.last_used.forget_touch();
        }
        touched
    }

    /// The budget of a key by its id, where it has one. Looks through all keys: for what is rare.
    pub fn budget_of(&self, id: KeyId) -> Option<Arc<Funds>> {
        self.keys.find(|key| key.id == id)?.budget()
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.changing().count
    }

    /// Whether there is no key at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn changing(&self) -> MutexGuard<'_, Changing> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// So many that workers seldom meet at one.
const SHARDS: usize = 256;

/// The keys, spread by the last byte of their hashes. A map that never evicts: a cache would cost each key as many bytes
/// again, and a start three times as long.
#[derive(Debug)]
struct Shards([Mutex<Shard>; SHARDS]);

type Shard = HashMap<KeyHash, Arc<KeyState>, BuildHasherDefault<FirstBytes>>;

impl Default for Shards {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }
}

impl Shards {
    fn get(&self, hash: &KeyHash) -> Option<Arc<KeyState>> {
        self.of(hash)?.get(hash).cloned()
    }

    fn put(&self, hash: KeyHash, key: Arc<KeyState>) {
        if let Some(mut shard) = self.of(&hash) {
            shard.insert(hash, key);
        }
    }

    fn find(&self, is_meant: impl Fn(&KeyState) -> bool) -> Option<Arc<KeyState>> {
        self.0.iter().find_map(|shard| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.values().find(|key| is_meant(key)).cloned()
        })
    }

    /// Guards a map for the time of one look or one insertion. There is a shard for every byte.
    fn of(&self, hash: &KeyHash) -> Option<MutexGuard<'_, Shard>> {
        let [.., last] = hash.0;
        self.0.get(usize::from(last)).map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Takes the first eight bytes of a key's hash as they are: they are SHA-256 output already, and
/// only our own random keys are stored under them.
#[derive(Clone, Copy, Debug, Default)]
struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::key::KeyKind;
    use super::*;

    fn hash(n: u64) -> KeyHash {
        KeyHash::of(&n.to_le_bytes())
    }

    fn key(n: i64) -> KeyState {
        KeyState { id: KeyId(n), ..KeyState::sample(KeyKind::Live) }
    }

    #[test]
    fn every_key_stays_up_to_the_bound() {
        let directory = KeyDirectory::new(1_000, 10);
        for n in 0..1_000 {
            directory.put(hash(n), key(n.cast_signed()), UnixMs(0)).unwrap();
        }
        assert_eq!(directory.put(hash(1_000), key(1_000), UnixMs(0)), Err(DirectoryFull { keys_max: 1_000 }));
        directory.put(hash(5), key(5), UnixMs(0)).unwrap();
        for n in 0..1_000 {
            assert!(matches!(directory.find(&hash(n), UnixMs(0)), Found::Key(k) if k.id == KeyId(n.cast_signed())));
        }
        assert_eq!(directory.len(), 1_000);
    }

    #[test]
    fn an_unknown_key_is_news_once_a_second() {
        let directory = KeyDirectory::new(10, 10);
        assert!(matches!(directory.find(&hash(1), UnixMs(5_000)), Found::UnknownNews));
        assert!(matches!(directory.find(&hash(1), UnixMs(5_999)), Found::UnknownAgain));
        assert!(matches!(directory.find(&hash(1), UnixMs(6_000)), Found::UnknownNews));
        directory.put(hash(1), key(1), UnixMs(0)).unwrap();
        assert!(matches!(directory.find(&hash(1), UnixMs(6_001)), Found::Key(_)));
    }

    #[test]
    fn a_flood_of_unknown_keys_stays_within_its_bound() {
        let directory = KeyDirectory::new(10, 100);
        for n in 0..10_000 {
            assert!(matches!(directory.find(&hash(n), UnixMs(n)), Found::UnknownNews));
        }
        directory.unknown.run_pending_tasks();
        assert!(directory.unknown.entry_count() <= 100, "{}", directory.unknown.entry_count());
    }

    #[test]
    fn a_used_key_is_handed_over_once_a_flush() {
        let directory = KeyDirectory::new(10, 10);
        directory.put(hash(1), key(1), UnixMs(0)).unwrap();
        let Found::Key(held) = directory.find(&hash(1), UnixMs(0)) else { panic!("known") };
        for at in [10_000, 10_001, 12_000] {
            directory.touch(&held, UnixMs(at));
        }
        let touched = directory.take_touched();
        assert_eq!(touched.len(), 1);
        assert_eq!(touched[0].last_used.at(), Some(UnixMs(12_000)));
        assert!(directory.take_touched().is_empty());
        directory.touch(&held, UnixMs(14_000));
        assert_eq!(directory.take_touched().len(), 1);
        directory.put(hash(1), key(1), UnixMs(0)).unwrap();
        let Found::Key(newer) = directory.find(&hash(1), UnixMs(0)) else { panic!("known") };
        assert_eq!(newer.last_used.at(), Some(UnixMs(14_000)), "a reload forgets no use");
    }
}
