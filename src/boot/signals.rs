//! When to end: SIGTERM drains first, SIGINT ends at once, SIGQUIT and `flux upgrade` hand over to a new process.
//!
//! Must not stop anything itself but the gate: it tells Pingora when.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use anyhow::Result;
use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::control::Control;
use super::gate::Gate;
use super::handover::Successor;
use crate::exchange::snapshot::Snapshot;
use crate::metrics::Metrics;
use crate::store::Store;

/// How often a draining server looks whether it is idle.
const POLL: Duration = Duration::from_millis(20);
/// How long a connection may take from being accepted to being counted as open.
const SETTLED_AFTER: Duration = Duration::from_secs(1);

/// Waits for the signal, then for the open requests.
pub(super) struct Drain {
    pub(super) metrics: Arc<Metrics>,
    pub(super) store: Arc<Store>,
    pub(super) snapshot: Arc<ArcSwap<Snapshot>>,
    pub(super) gate: Gate,
    pub(super) successor: Successor,
    pub(super) data_dir: PathBuf,
    /// Connections whose first request has not been read.
    pub(super) fresh: Arc<AtomicUsize>,
    /// Is told when all services run.
    pub(super) up: SyncSender<()>,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        let [terminate, interrupt, quit] =
            [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::quit()].map(signal);
        Ok(Self { terminate: terminate?, interrupt: interrupt?, quit: quit? })
    }
}

impl Drain {
    /// Serves until something asks to end.
    async fn until_asked(&self, signals: &mut Signals) -> ShutdownSignal {
        // Not before the services run: the process before listens on it until then.
        let control = Control::new(&self.data_dir)
            .inspect_err(|error| log::warn!("`flux upgrade` cannot ask this process, SIGQUIT can: {error:#}"))
            .ok();
        loop {
            let question = async {
                match &control {
                    Some(control) => control.question().await,
                    None => std::future::pending().await,
                }
            };
            let question = tokio::select! {
                () = came(&mut signals.terminate) => return self.drain(signals).await,
                () = came(&mut signals.interrupt) => return ShutdownSignal::FastShutdown,
                () = came(&mut signals.quit) => None,
                question = question => Some(question),
            };
            let program = question.as_ref().map(|question| question.program.clone());
            let outcome = tokio::select! {
                outcome = self.successor.start(program, &self.gate) => outcome,
                () = came(&mut signals.terminate) => return self.drain(signals).await,
                () = came(&mut signals.interrupt) => return ShutdownSignal::FastShutdown,
            };
            if outcome.is_ok() {
                self.give_way();
            }
            tell(&outcome);
            if let Some(question) = question {
                question.answer(&outcome).await;
            }
            if outcome.is_ok() {
                return self.leave(signals).await;
            }
        }
    }

    /// Takes no more connections, but for those that are open.
    fn give_way(&self) {
        self.metrics.set_draining();
        self.gate.shut();
        self.store.give_way();
    }

    /// Another process accepts: the open requests have long to end.
    async fn leave(&self, signals: &mut Signals) -> ShutdownSignal {
        let within = self.snapshot.load().config.timeouts.upgrade;
        let end = async {
            tokio::time::sleep(SETTLED_AFTER).await;
            self.until(within, || self.metrics.in_flight() == 0 && self.fresh.load(Ordering::Acquire) == 0).await;
        };
        tokio::select! {
            () = end => ShutdownSignal::GracefulTerminate,
            () = came(&mut signals.terminate) => self.drain(signals).await,
            () = came(&mut signals.interrupt) => ShutdownSignal::FastShutdown,
        }
    }

    async fn drain(&self, signals: &mut Signals) -> ShutdownSignal {
        log::info!("draining");
        self.metrics.set_draining();
        let within = self.snapshot.load().config.timeouts.shutdown;
        tokio::select! {
            () = self.until(within, || self.metrics.in_flight() == 0) => ShutdownSignal::GracefulTerminate,
            () = came(&mut signals.interrupt) => ShutdownSignal::FastShutdown,
        }
    }

    async fn until(&self, within: Duration, is_idle: impl Fn() -> bool + Send) {
        let idle = async {
            while !is_idle() {
                tokio::time::sleep(POLL).await;
            }
        };
        if tokio::time::timeout(within, idle).await.is_err() {
            log::warn!(open:% = self.metrics.in_flight(); "ending with requests still open");
        }
    }
}

#[async_trait]
impl ShutdownSignalWatch for Drain {
    async fn recv(&self) -> ShutdownSignal {
        let Ok(mut signals) = Signals::new() else {
            log::error!("signals cannot be watched; end the process with SIGKILL");
            return std::future::pending().await;
        };
        // Pingora asks once, after it has started all services. Nobody listens when the start is being given up.
        let _ = self.up.try_send(());
        let signal = self.until_asked(&mut signals).await;
        // Pingora's own word reaches the services behind the gate through it alone.
        self.gate.shut();
        signal
    }
}

fn tell(outcome: &Result<u32>) {
    match outcome {
        Ok(pid) => log::info!(pid; "another process accepts; this one ends with its open requests"),
        Err(error) => log::error!("no other process took over, this one goes on: {error:#}"),
    }
}

async fn came(signal: &mut Signal) {
    signal.recv().await;
}
