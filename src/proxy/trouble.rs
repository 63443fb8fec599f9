//! Failed attempts, as operators hear of them: counted, and once a second at most a word about a key.
//!
//! Must not know what follows from a failure.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::time::Clock;
use crate::exchange::retry::Failure;
use crate::metrics::Metrics;

/// Who tells.
pub(super) struct Trouble {
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    /// The second of the last warning about a provider's key.
    warned_of_key: AtomicU64,
}

impl Trouble {
    pub(super) fn new(metrics: Arc<Metrics>, clock: Arc<dyn Clock>) -> Self {
        Self { metrics, clock, warned_of_key: AtomicU64::new(0) }
    }

    /// An attempt at a provider failed.
    pub(super) fn count(&self, provider: &str, failure: Failure) {
        self.metrics.attempt_failed(provider, failure.name());
    }

    /// Tells of a provider that refuses our key. Once a second at most: every request may find it out again.
    pub(super) fn warn_of_key(&self, provider: &str, failure: Failure) {
        let second = self.clock.unix_ms().0 / 1_000;
        if failure.is_about_our_key() && self.warned_of_key.swap(second, Ordering::Relaxed) != second {
            log::warn!(provider; "the provider refuses the key that is configured for it, or its account is empty");
        }
    }
}
