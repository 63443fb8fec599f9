//! The door in front of what this process does for all: shut when another process takes over, or when this one ends.
//!
//! Must not know why. Pingora tells its services to stop only when it ends itself, and open streams with it; a gate stops
//! them alone: listeners accept nothing more and idle connections close, while the threads go on with what is open.

use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use pingora::server::{ListenFds, ShutdownWatch};
use pingora::services::Service;
use pingora::services::background::BackgroundService;
use tokio::sync::watch;

/// Shuts all that was built with it.
pub(super) struct Gate {
    shut: watch::Sender<bool>,
    // Guards Pingora's table of sockets, which services bring when they start.
    sockets: Arc<Mutex<Option<ListenFds>>>,
}

impl Gate {
    pub(super) fn new() -> Self {
        Self { shut: watch::Sender::new(false), sockets: Arc::default() }
    }

    /// A service that listens, behind the gate; with a socket that was inherited under its address, if one was.
    pub(super) fn listening<S: Service>(&self, inner: S, inherited: Option<(String, RawFd)>) -> Listening<S> {
        Listening { inner, inherited, shut: self.shut.subscribe(), sockets: Arc::clone(&self.sockets) }
    }

    /// A task behind the gate.
    pub(super) fn task<T: BackgroundService>(&self, inner: T) -> Task<T> {
        Task { inner, shut: self.shut.subscribe() }
    }

    /// Shuts it, for good.
    pub(super) fn shut(&self) {
        self.shut.send_replace(true);
    }

    /// The sockets that are listened on; `None` before the first service has started.
    pub(super) fn sockets(&self) -> Option<ListenFds> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A service that listens.
pub(super) struct Listening<S> {
    inner: S,
    inherited: Option<(String, RawFd)>,
    shut: ShutdownWatch,
    sockets: Arc<Mutex<Option<ListenFds>>>,
}

#[async_trait]
impl<S: Service> Service for Listening<S> {
    async fn start_service(&mut self, fds: Option<ListenFds>, _: ShutdownWatch, listeners_per_fd: usize) {
        if let Some(table) = &fds {
            if let Some((address, socket)) = self.inherited.take() {
                table.lock().add(address, socket);
            }
            *self.sockets.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(table));
        }
        self.inner.start_service(fds, self.shut.clone(), listeners_per_fd).await;
    }

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn threads(&self) -> Option<usize> {
        self.inner.threads()
    }

    fn listen_addresses(&self) -> Option<Vec<String>> {
        self.inner.listen_addresses()
    }
}

/// A task that ends with the gate.
pub(super) struct Task<T> {
    inner: T,
    shut: ShutdownWatch,
}

#[async_trait]
impl<T: BackgroundService + Send + Sync> BackgroundService for Task<T> {
    async fn start(&self, _: ShutdownWatch) {
        self.inner.start(self.shut.clone()).await;
    }
}
