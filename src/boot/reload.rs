//! New files, same process: on SIGHUP, and when a file of the configuration changes.
//!
//! Must not let a bad file in: the old snapshot stays, and every complaint is logged.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use tokio::signal::unix::{SignalKind, signal};

use super::World;
use super::rules;
use crate::base::secret::Secret;
use crate::base::time::Clock;
use crate::config::load::Fingerprint;
use crate::exchange::live;
use crate::exchange::snapshot::Snapshot;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::store::Store;

/// How often the files are looked at.
const POLL: Duration = Duration::from_millis(500);

/// Where the built-in mock provider listens.
pub(super) struct MockAddress {
    /// For live keys, with the faults that are configured.
    pub(super) stand_in: SocketAddr,
    /// For test keys.
    pub(super) for_tests: SocketAddr,
    pub(super) secret: Secret,
}

impl MockAddress {
    pub(super) fn put_into(&self, snapshot: Snapshot) -> Snapshot {
        let catalog = snapshot.catalog.with_mock(self.stand_in, self.for_tests, &self.secret);
        Snapshot { catalog, ..snapshot }
    }
}

/// What the files looked like when they were last read.
#[derive(PartialEq)]
struct Seen {
    config: Fingerprint,
    rules: [Option<SystemTime>; 3],
    shadow: [Option<SystemTime>; 3],
}

impl Seen {
    fn now(config_dir: &Path, shadow: Option<&Path>) -> Self {
        Self {
            config: crate::config::load::fingerprint(config_dir),
            rules: rules::stamps(&rules::folder(config_dir)),
            shadow: shadow.map_or([None; 3], rules::stamps),
        }
    }
}

/// The task that watches the files.
pub(super) struct Reloader {
    config_dir: PathBuf,
    // Guards values that one task compares and replaces; there is no atomic of their size.
    seen: Mutex<Seen>,
    /// The folder of the rules that decide beside the first.
    shadow: Mutex<Option<PathBuf>>,
    snapshot: Arc<ArcSwap<Snapshot>>,
    mock: MockAddress,
    store: Arc<Store>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    health: Arc<Health>,
}

impl Reloader {
    pub(super) fn new(
        (config_dir, shadow): (&Path, Option<PathBuf>),
        config: Fingerprint,
        snapshot: Arc<ArcSwap<Snapshot>>,
        mock: MockAddress,
        (store, metrics, clock): (Arc<Store>, Arc<Metrics>, Arc<dyn Clock>),
        health: Arc<Health>,
    ) -> Self {
        metrics.config_reloaded(clock.unix_ms().0 / 1000);
        let seen = Mutex::new(Seen { config, ..Seen::now(config_dir, shadow.as_deref()) });
        let (config_dir, shadow) = (config_dir.to_owned(), Mutex::new(shadow));
        Self { config_dir, seen, shadow, snapshot, mock, store, metrics, clock, health }
    }

    /// Notes what the files look like now; `true` when that is new.
    fn has_changed(&self) -> bool {
        let now = Seen::now(&self.config_dir, self.shadow().as_deref());
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = *seen != now;
        *seen = now;
        is_new
    }

    fn shadow(&self) -> MutexGuard<'_, Option<PathBuf>> {
        self.shadow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reload(&self) {
        match super::read_world(&self.config_dir) {
            Ok(World { snapshot, shadow, .. }) => {
                if snapshot.config.server != self.snapshot.load().config.server {
                    log::warn!("[server] has changed, which takes effect at the next start");
                }
                if let Err(error) = self.store.change_tariffs(Arc::clone(&snapshot.tariffs)) {
                    log::warn!("accounts keep their tariffs: {error}");
                }
                let snapshot = Arc::new(self.mock.put_into(snapshot));
                live::forget_others(&self.health, &snapshot.catalog);
                self.snapshot.store(snapshot);
                *self.shadow() = shadow;
                self.metrics.config_reloaded(self.clock.unix_ms().0 / 1000);
                log::info!("configuration reloaded");
            }
            Err(complaints) => {
                self.metrics.config_refused();
                for complaint in &complaints {
                    log::warn!("configuration refused, the old one stays: {complaint}");
                }
            }
        }
    }
}

#[async_trait]
impl BackgroundService for Reloader {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let Ok(mut hangup) = signal(SignalKind::hangup()) else {
            log::error!("SIGHUP cannot be watched; files are still looked at");
            return;
        };
        let mut ticks = tokio::time::interval(POLL);
        loop {
            tokio::select! {
                _ = hangup.recv() => {
                    self.has_changed();
                    self.reload();
                }
                _ = ticks.tick() => if self.has_changed() {
                    self.reload();
                },
                _ = shutdown.changed() => return,
            }
        }
    }
}
