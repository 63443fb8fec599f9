//! Requests that carry an idempotency key: the same key and body is paid once, however often it is sent.
//!
//! No answer is stored, so a repeat is answered anew; it costs nothing, and there are few of them. Must not know requests
//! or HTTP: names and bodies come in as hashes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use moka::sync::Cache;

use crate::base::ids::KeyId;

/// For how long a request is remembered.
pub const REMEMBERED: Duration = Duration::from_hours(24);

/// Names a request: half of it says which key sent which idempotency key, half says with which body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mark(pub [u8; 32]);

impl Mark {
    /// The mark of a request. `endpoint` is part of what is repeated.
    pub fn new(key: KeyId, idempotency_key: &[u8], endpoint: &str, body: &[u8]) -> Self {
        use sha2::{Digest, Sha256};
        let name = Sha256::new().chain_update(key.0.to_be_bytes()).chain_update(idempotency_key).finalize();
        let said = Sha256::new().chain_update(endpoint).chain_update([0]).chain_update(body).finalize();
        let mut mark = [0; 32];
        for (place, byte) in mark.iter_mut().zip(name.iter().take(16).chain(said.iter().take(16))) {
            *place = *byte;
        }
        Self(mark)
    }

    fn name(self) -> [u8; 16] {
        self.half(0)
    }

    fn body(self) -> [u8; 16] {
        self.half(16)
    }

    fn half(self, from: usize) -> [u8; 16] {
        self.0.get(from..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default()
    }
}

/// Why a request is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clash {
    /// The same request is at work.
    AtWork,
    /// The idempotency key was used with another body.
    OtherBody,
    /// It was answered as often as it may be.
    TooOften,
}

#[derive(Debug)]
struct Seen {
    body: [u8; 16],
    is_at_work: AtomicBool,
    is_paid: AtomicBool,
    repeats: AtomicU32,
}

/// All requests of the last day that carried an idempotency key.
#[derive(Debug)]
pub struct Idempotency {
    seen: Cache<[u8; 16], Arc<Seen>>,
    repeats_max: u32,
}

impl Idempotency {
    /// Remembers up to `requests_max`; each may be repeated `repeats_max` times.
    pub fn new(requests_max: u64, repeats_max: u32) -> Self {
        let seen = Cache::builder().max_capacity(requests_max).time_to_live(REMEMBERED).build();
        Self { seen, repeats_max }
    }

    /// Remembers a request that was paid before this process began.
    pub fn remember(&self, mark: Mark) {
        let seen = Seen::new(mark);
        seen.is_paid.store(true, Ordering::Release);
        self.seen.insert(mark.name(), Arc::new(seen));
    }

    /// Lets a request in.
    ///
    /// # Errors
    /// See [`Clash`].
    pub fn begin(self: &Arc<Self>, mark: Mark) -> Result<Claim, Clash> {
        let seen = self.seen.get_with(mark.name(), || Arc::new(Seen::new(mark)));
        if seen.body != mark.body() {
            return Err(Clash::OtherBody);
        }
        if seen.is_at_work.swap(true, Ordering::AcqRel) {
            return Err(Clash::AtWork);
        }
        let is_repeat = seen.is_paid.load(Ordering::Acquire);
        let claim = Claim { all: Arc::clone(self), seen, mark, is_repeat };
        if is_repeat && claim.seen.repeats.fetch_add(1, Ordering::AcqRel) >= self.repeats_max {
            return Err(Clash::TooOften);
        }
        Ok(claim)
    }
}

impl Seen {
    fn new(mark: Mark) -> Self {
        let (is_at_work, is_paid) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { body: mark.body(), is_at_work, is_paid, repeats: AtomicU32::new(0) }
    }
}

/// A request with an idempotency key, at work. A first one that was not paid is forgotten with it.
#[derive(Debug)]
pub struct Claim {
    all: Arc<Idempotency>,
    seen: Arc<Seen>,
    mark: Mark,
    is_repeat: bool,
}

impl Claim {
    /// Whether it was paid before.
    pub fn is_repeat(&self) -> bool {
        self.is_repeat
    }

    /// Its name, for the row of the request that pays.
    pub fn mark(&self) -> Mark {
        self.mark
    }

    /// It is paid now.
    pub fn pay(&self) {
        self.seen.is_paid.store(true, Ordering::Release);
    }

    /// It is not paid after all: its charge could not be kept. A repeat was paid before and stays so.
    pub fn undo(&self) {
        if !self.is_repeat {
            self.seen.is_paid.store(false, Ordering::Release);
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.seen.is_paid.load(Ordering::Acquire) {
            self.all.seen.invalidate(&self.mark.name());
        }
        self.seen.is_at_work.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(key: i64, name: &str, body: &str) -> Mark {
        Mark::new(KeyId(key), name.as_bytes(), "chat", body.as_bytes())
    }

    #[test]
    fn a_request_is_paid_once_and_repeated_a_few_times() {
        let all = Arc::new(Idempotency::new(100, 2));
        let first = all.begin(mark(1, "a", "x")).unwrap();
        assert!(!first.is_repeat());
        assert_eq!(all.begin(mark(1, "a", "x")).unwrap_err(), Clash::AtWork);
        assert_eq!(all.begin(mark(1, "a", "y")).unwrap_err(), Clash::OtherBody);
        // Another key's idempotency key is another one.
        assert!(!all.begin(mark(2, "a", "y")).unwrap().is_repeat());
        first.pay();
        drop(first);
        for _ in 0..2 {
            assert!(all.begin(mark(1, "a", "x")).unwrap().is_repeat());
        }
        assert_eq!(all.begin(mark(1, "a", "x")).unwrap_err(), Clash::TooOften);
        assert_eq!(all.begin(mark(1, "a", "x")).unwrap_err(), Clash::TooOften);
    }

    #[test]
    fn what_was_not_paid_is_a_first_one_again() {
        let all = Arc::new(Idempotency::new(100, 2));
        let unkept = all.begin(mark(1, "c", "x")).unwrap();
        unkept.pay();
        unkept.undo();
        drop(unkept);
        assert!(!all.begin(mark(1, "c", "x")).unwrap().is_repeat());
        drop(all.begin(mark(1, "a", "x")).unwrap());
        assert!(!all.begin(mark(1, "a", "y")).unwrap().is_repeat());
        all.remember(mark(1, "b", "x"));
        assert!(all.begin(mark(1, "b", "x")).unwrap().is_repeat());
    }
}
