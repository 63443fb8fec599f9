//! How many attempts may be made twice: a share of all requests, so that retries never become the load.
//!
//! Must not know what is retried.

use std::sync::atomic::{AtomicU64, Ordering};

/// A retry costs this; a request pays in its percentage.
const RETRY: u64 = 100;

/// The process's budget. It begins full.
#[derive(Debug)]
pub struct Budget {
    balance: AtomicU64,
    taken: AtomicU64,
    refused: AtomicU64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { balance: AtomicU64::new(u64::MAX), taken: AtomicU64::new(0), refused: AtomicU64::new(0) }
    }
}

impl Budget {
    /// A request pays in. At most `reserve` retries are saved up.
    pub fn pay_in(&self, percent: u64, reserve: u64) {
        let full = reserve.saturating_mul(RETRY);
        let balance = self.balance.load(Ordering::Relaxed);
        // Mostly it is full, and nothing is written.
        if balance != full {
            let pay = |balance: u64| Some(balance.saturating_add(percent).min(full));
            // Never fails: the function always gives a value.
            let _ = self.balance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay);
        }
    }

    /// Takes a retry out, if there is one.
    pub fn take(&self, reserve: u64) -> bool {
        let full = reserve.saturating_mul(RETRY);
        let take = |balance: u64| balance.min(full).checked_sub(RETRY);
        let is_taken = self.balance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
        if is_taken { &self.taken } else { &self.refused }.fetch_add(1, Ordering::Relaxed);
        is_taken
    }

    /// Retries that could be made at once, those made so far, and those that were refused.
    pub fn figures(&self, reserve: u64) -> (u64, u64, u64) {
        let left = self.balance.load(Ordering::Relaxed) / RETRY;
        (left.min(reserve), self.taken.load(Ordering::Relaxed), self.refused.load(Ordering::Relaxed))
    }
}
