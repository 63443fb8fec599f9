//! Host names → addresses.
//!
//! Must not know who is asked, or why. A look-up runs on a thread of its own until the machine's resolver gives up, which
//! may take half a minute; whoever waits for it waits as long as it likes. However many wait, a name is looked up once.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::sync::Cache;
use pingora::time::timeout;
use pingora::upstreams::peer::{HttpPeer, Peer};
use pingora::{Error, ErrorType, Result};
use smallvec::SmallVec;
use tokio::sync::{Semaphore, watch};

use crate::base::time::Clock;

/// How long addresses are believed. Providers move behind their names within minutes.
const FRESH: Duration = Duration::from_secs(30);
/// How long the last ones are believed once more where a look-up has failed.
const FRESH_AFTER_FAILURE: Duration = Duration::from_secs(5);
/// How long a look-up is waited for where there are addresses from before: one that succeeds takes milliseconds.
const WAIT_BESIDE_STALE: Duration = Duration::from_millis(300);
/// A look-up that has not ended by then is taken for lost, and another may begin. Resolvers give up sooner.
const LOOK_UP_MAX: Duration = Duration::from_mins(2);
/// Each holds a thread until it ends, and those are few.
const LOOK_UPS_AT_ONCE_MAX: usize = 64;
/// Host names that are remembered, at most; there is one a provider.
const HOSTS_MAX: u64 = 1_024;
/// Addresses of one name that are remembered.
const ADDRESSES_MAX: usize = 4;

type Addresses = SmallVec<[SocketAddr; ADDRESSES_MAX]>;
type LookUp = dyn Fn(&str, u16) -> io::Result<Addresses> + Send + Sync;
type Name = (Arc<str>, u16);
/// What is known of a name, and who waits for more.
type Host = watch::Sender<Known>;

/// Looks names up, and remembers what came of it.
#[derive(Clone)]
pub(crate) struct Resolver {
    hosts: Cache<Name, Arc<Host>>,
    look_up: Arc<LookUp>,
    places: Arc<Semaphore>,
    clock: Arc<dyn Clock>,
}

/// What is known of a name.
#[derive(Default)]
struct Known {
    /// The one in use first. They stay when a look-up fails: an old address is better than none.
    addresses: Addresses,
    /// Until when they are believed.
    fresh_until: Option<Instant>,
    /// Since when a look-up runs.
    asked: Option<Instant>,
}

impl Known {
    fn fresh(&self, now: Instant) -> Option<SocketAddr> {
        let is_fresh = self.fresh_until.is_some_and(|until| now < until);
        self.addresses.first().filter(|_| is_fresh).copied()
    }

    /// Takes what a look-up has found; nothing where it has failed.
    fn take(&mut self, mut found: Addresses, now: Instant) {
        self.asked = None;
        if found.is_empty() {
            self.fresh_until = now.checked_add(FRESH_AFTER_FAILURE);
            return;
        }
        // The one in use stays so while the name has it: connections to it are open, and it answers.
        let in_use = self.addresses.first().and_then(|first| found.iter().position(|other| other == first));
        found.swap(0, in_use.unwrap_or_default());
        (self.addresses, self.fresh_until) = (found, now.checked_add(FRESH));
    }
}

impl Resolver {
    /// Asks the machine's resolver.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self::asking(Arc::new(|host, port| Ok((host, port).to_socket_addrs()?.take(ADDRESSES_MAX).collect())), clock)
    }

    fn asking(look_up: Arc<LookUp>, clock: Arc<dyn Clock>) -> Self {
        let hosts = Cache::builder().max_capacity(HOSTS_MAX).build();
        Self { hosts, look_up, places: Arc::new(Semaphore::new(LOOK_UPS_AT_ONCE_MAX)), clock }
    }

    /// An address of a host with a port, and how long it took to find: `within` at most.
    ///
    /// # Errors
    /// When the name has no address, or none by then.
    pub(crate) async fn resolve(
        &self,
        (host, port): (&Arc<str>, u16),
        within: Duration,
    ) -> Result<(SocketAddr, Duration)> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok((SocketAddr::new(ip, port), Duration::ZERO));
        }
        let name = (Arc::clone(host), port);
        let host = self.hosts.get_with(name.clone(), Arc::default);
        let now = self.clock.now();
        let fresh = host.borrow().fresh(now);
        match fresh {
            Some(address) => Ok((address, Duration::ZERO)),
            // Boxed: rare and large.
            None => Box::pin(self.look_up(name, host, (now, within))).await,
        }
    }

    async fn look_up(
        &self,
        name: Name,
        host: Arc<Host>,
        (now, within): (Instant, Duration),
    ) -> Result<(SocketAddr, Duration)> {
        let mut known = host.subscribe();
        let asked = self.begin(name, host, now);
        // One that has run for longer is not waited for by every request anew.
        let beside_stale = WAIT_BESIDE_STALE.saturating_sub(now.saturating_duration_since(asked));
        let is_stale = !known.borrow().addresses.is_empty();
        let patience = if is_stale { within.min(beside_stale) } else { within };
        let is_late = timeout(patience, known.wait_for(|known| known.asked.is_none())).await.is_err();
        let waited = self.clock.now().saturating_duration_since(now);
        let address = known.borrow().addresses.first().copied();
        address.map(|address| (address, waited)).ok_or_else(|| {
            if is_late {
                Error::explain(ErrorType::ConnectTimedout, "the look-up of the host name takes too long")
            } else {
                Error::explain(ErrorType::ConnectNoRoute, "the host name has no address")
            }
        })
    }

    /// Begins a look-up, unless one runs or has just ended; since when it runs.
    fn begin(&self, name: Name, host: Arc<Host>, now: Instant) -> Instant {
        let mut since = now;
        let place = Arc::clone(&self.places).try_acquire_owned();
        let is_begun = place.is_ok()
            && host.send_if_modified(|known| {
                let running = known.asked.filter(|asked| now.saturating_duration_since(*asked) < LOOK_UP_MAX);
                since = running.unwrap_or(now);
                let begins = running.is_none() && known.fresh(now).is_none();
                if begins {
                    known.asked = Some(now);
                }
                begins
            });
        if is_begun {
            let (look_up, clock) = (Arc::clone(&self.look_up), Arc::clone(&self.clock));
            drop(tokio::task::spawn_blocking(move || {
                let found = look_up(&name.0, name.1).unwrap_or_else(|error| {
                    log::warn!(host:% = name.0; "the host name was not looked up: {error}");
                    Addresses::new()
                });
                host.send_modify(|known| known.take(found, clock.now()));
                drop(place);
            }));
        }
        since
    }

    /// Has another address of its name take the place of one that could not be connected to. Whether there is one.
    pub(crate) fn pass_over(&self, peer: &HttpPeer) -> bool {
        let Some(failed) = peer.address().as_inet() else { return false };
        let Some(host) = self.hosts.get(&(Arc::from(&*peer.sni), failed.port())) else { return false };
        let mut has_other = false;
        host.send_modify(|known| {
            if known.addresses.first() == Some(failed) {
                known.addresses.rotate_left(1);
            }
            has_other = known.addresses.first().is_some_and(|first| first != failed);
        });
        has_other
    }
}

#[cfg(test)]
mod tests;
