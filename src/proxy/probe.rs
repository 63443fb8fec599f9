//! Probes: a cheap question to each access of each provider, now and then, to see whether address and key work.
//!
//! Must not ask the mock, nor a provider twice at once. What an answer means is `exchange`'s business.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::BytesMut;
use pingora::http::RequestHeader;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use pingora::time::timeout;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::dialer::Dialer;
use super::upstream;
use crate::base::time::Clock;
use crate::catalog::provider::{Access, Provider};
use crate::exchange::live;
use crate::exchange::retry;
use crate::exchange::snapshot::Snapshot;
use crate::health::probes::Probed;
use crate::health::{Health, redrawn};

/// Of an answer so much is read: an error object.
const BODY_BYTES_MAX: usize = 16 << 10;
/// How soon a change of the settings is noticed where no probe is due.
const SETTINGS_POLL: Duration = Duration::from_millis(500);

/// The task that probes.
pub(crate) struct Prober {
    shared: Arc<Shared>,
    snapshot: Arc<ArcSwap<Snapshot>>,
    /// A random number of the process.
    seed: u64,
}

struct Shared {
    health: Arc<Health>,
    clock: Arc<dyn Clock>,
    dialer: Arc<Dialer>,
}

impl Prober {
    pub(crate) fn new(
        snapshot: Arc<ArcSwap<Snapshot>>,
        health: Arc<Health>,
        (clock, dialer): (Arc<dyn Clock>, Arc<Dialer>),
        seed: u64,
    ) -> Self {
        Self { shared: Arc::new(Shared { health, clock, dialer }), snapshot, seed }
    }

    /// Asks every provider, each after a part of `spread`, and waits for all.
    async fn round(&self, number: u64, spread: Duration) {
        const PARTS: u32 = 1 << 16;
        let snapshot = self.snapshot.load_full();
        let places = Arc::new(Semaphore::new(snapshot.config.health.probes_at_once));
        let mut asked = JoinSet::new();
        let is_asked = |provider: &&Arc<Provider>| provider.is_configured() && !snapshot.catalog.has_stand_in();
        for (index, provider) in (0_u64..).zip(snapshot.catalog.providers().iter().filter(is_asked)) {
            let draw = redrawn(self.seed ^ number.rotate_left(32) ^ index);
            let wait = spread.saturating_mul(u32::try_from(draw % u64::from(PARTS)).unwrap_or_default()) / PARTS;
            let (shared, provider) = (Arc::clone(&self.shared), Arc::clone(provider));
            let (snapshot, places) = (Arc::clone(&snapshot), Arc::clone(&places));
            asked.spawn(async move {
                tokio::time::sleep(wait).await;
                // Never closed, so a place is always had in the end.
                let _place = places.acquire().await;
                for access in &provider.accesses {
                    shared.probe(&provider, access, &snapshot).await;
                }
            });
        }
        while asked.join_next().await.is_some() {}
    }

    async fn rounds(&self) {
        let mut number = 0;
        loop {
            let interval = self.snapshot.load().config.health.probe_interval;
            if interval.is_zero() {
                tokio::time::sleep(SETTINGS_POLL).await;
                continue;
            }
            // At the start there is nothing to spread.
            let spread = if number == 0 { Duration::ZERO } else { interval / 4 };
            self.round(number, spread).await;
            number += 1;
            tokio::time::sleep(interval).await;
        }
    }
}

impl Shared {
    async fn probe(&self, provider: &Provider, access: &Access, snapshot: &Snapshot) {
        let Some(endpoint) = &access.probe else { return };
        let bounds = &snapshot.config.health;
        let head = upstream::probe_head(provider, access, endpoint);
        let peer = upstream::peer(&self.dialer.resolver, endpoint, &snapshot.config.timeouts, bounds.probe_timeout);
        let asked = timeout(bounds.probe_timeout, async {
            let peer = peer.await?;
            self.ask(&peer, head?).await
        });
        let probed = match asked.await {
            Ok(Ok((status, body))) => retry::judge_probe(status, &body),
            Ok(Err(_)) | Err(_) => Probed::Ill,
        };
        let moment = self.health.moment(self.clock.now());
        let (live, of_provider) = (live::of_access(&self.health, access), live::of_provider(&self.health, provider));
        if let (Some(live), Some(of_provider)) = (live, of_provider) {
            let before = live.probes.fitness();
            live.probes.report(probed, moment, bounds.probes);
            of_provider.count_probe(probed);
            let after = live.probes.fitness();
            if before != after {
                log::warn!(provider:% = provider.id, access:% = access.name; "by its probes it is now {after:?}");
            }
        }
    }

    async fn ask(&self, peer: &HttpPeer, head: RequestHeader) -> Result<(u16, BytesMut)> {
        let connected = self.dialer.connector.get_http_session(peer).await;
        let (mut session, _is_reused) = connected.inspect_err(|_| _ = self.dialer.resolver.pass_over(peer))?;
        session.write_request_header(Box::new(head)).await?;
        session.finish_request_body().await?;
        session.read_response_header().await?;
        let status = session.response_header().map(|head| head.status.as_u16());
        let status = status.ok_or_else(|| Error::explain(ErrorType::InvalidHTTPHeader, "an answer without a head"))?;
        let mut body = BytesMut::new();
        // What a good answer says is of no interest.
        while (400..500).contains(&status) && body.len() < BODY_BYTES_MAX {
            let Some(piece) = session.read_response_body().await? else { break };
            body.extend_from_slice(&piece);
        }
        session.shutdown().await;
        Ok((status, body))
    }
}

#[async_trait]
impl BackgroundService for Prober {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        tokio::select! {
            () = self.rounds() => {},
            _ = shutdown.changed() => {},
        }
    }
}
