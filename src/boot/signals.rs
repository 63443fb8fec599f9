//! When to end: SIGTERM drains first, SIGINT ends at once.
//!
//! Must not stop anything itself: it tells Pingora when.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::metrics::Metrics;

/// How often a draining server looks whether it is idle.
const POLL: Duration = Duration::from_millis(20);

/// Waits for the signal, then for the open requests.
pub(super) struct Drain {
    metrics: Arc<Metrics>,
    within: Duration,
}

impl Drain {
    pub(super) fn new(metrics: Arc<Metrics>, within: Duration) -> Self {
        Self { metrics, within }
    }

    async fn until_idle(&self) {
        let idle = async {
            while self.metrics.in_flight() > 0 {
                tokio::time::sleep(POLL).await;
            }
        };
        if tokio::time::timeout(self.within, idle).await.is_err() {
            log::warn!(open:% = self.metrics.in_flight(); "ending with requests still open");
        }
    }
}

#[async_trait]
impl ShutdownSignalWatch for Drain {
    async fn recv(&self) -> ShutdownSignal {
        let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
        else {
            log::error!("signals cannot be watched; end the process with SIGKILL");
            return std::future::pending().await;
        };
        tokio::select! {
            () = came(&mut terminate) => {}
            () = came(&mut interrupt) => return ShutdownSignal::FastShutdown,
        }
        log::info!("draining");
        self.metrics.set_draining();
        tokio::select! {
            () = self.until_idle() => ShutdownSignal::GracefulTerminate,
            () = came(&mut interrupt) => ShutdownSignal::FastShutdown,
        }
    }
}

async fn came(signal: &mut Signal) {
    signal.recv().await;
}
