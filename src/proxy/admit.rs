//! From the head of a request to its plan: the first phase.
//!
//! Must not forward anything. Each step is another module's; here is their order.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
use pingora::proxy::Session;
use pingora::{ErrorType, OrErr};

use super::reply::Caller;
use super::{Ctx, Flux, accept, reply};
use crate::accounts::idempotency::Mark;
use crate::accounts::key::{KeyKind, KeyState};
use crate::admit::{self, Admission};
use crate::api;
use crate::api::models::Audience;
use crate::base::ids::RequestId;
use crate::base::preference::PROVIDERS_LISTED_MAX;
use crate::base::quality::Quality;
use crate::base::refusal::{Refusal, RefusalKind};
use crate::base::time::UnixMs;
use crate::exchange::auto::Chosen;
use crate::exchange::conversations::SESSION_BYTES_MAX;
use crate::exchange::count::Purpose;
use crate::exchange::deny;
use crate::exchange::request::Request;
use crate::exchange::route::{self, Endpoint};
use crate::exchange::snapshot::Snapshot;
use crate::exchange::{Arrival, Asked, Exchange, Refused};
use crate::metrics::InFlight;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const X_FLUX_QUALITY: HeaderName = HeaderName::from_static("x-flux-quality");
/// How the names of our own headers begin.
const OF_FLUX: &str = "x-flux-";
const X_FLUX_REGION: HeaderName = HeaderName::from_static("x-flux-region");
const X_FLUX_PROVIDER: HeaderName = HeaderName::from_static("x-flux-provider");
const X_FLUX_SESSION: HeaderName = HeaderName::from_static("x-flux-session");
pub(super) const ANTHROPIC_VERSION: HeaderName = HeaderName::from_static("anthropic-version");

/// Makes request ids from one random seed a process and a counter: no system call a request.
pub(super) struct RequestIds {
    seed: u128,
    count: AtomicU64,
}

impl RequestIds {
    pub(super) fn new(seed: u128) -> Self {
        Self { seed, count: AtomicU64::new(0) }
    }

    fn next(&self, at: UnixMs) -> RequestId {
        // Odd, so that the products of all counts differ; large, so that neighbours look unlike.
        const STEP: u128 = 0x9E37_79B9_7F4A_7C15_F39D;
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        RequestId::new(at, self.seed.wrapping_add(u128::from(count).wrapping_mul(STEP)))
    }
}

impl Flux {
    /// Reads and plans a request. `true` when it has been answered already.
    pub(super) async fn admit(&self, session: &mut Session, ctx: &mut Ctx) -> Result<bool, Box<Refused>> {
        let downstream = &mut session.downstream_session;
        let head = downstream.req_header();
        let target = String::from_utf8_lossy(head.raw_path());
        let at = self.clock.unix_ms();
        let has_version = head.headers.contains_key(ANTHROPIC_VERSION);
        let snapshot = self.snapshot.load_full();
        let format = route::error_format(&target, has_version);
        let caller = Caller { id: self.ids.next(at), format, at, linger: snapshot.config.timeouts.linger };
        ctx.caller = Some(caller);
        ctx.route = "none";
        accept::check_framing(head)?;
        let endpoint = route::endpoint(head.method.as_str(), &target)?;
        ctx.route = endpoint.name();
        if self.answer_public(downstream, &endpoint, &snapshot, caller).await? {
            return Ok(true);
        }
        self.check_keys()?;
        let key = match accept::authenticate(&downstream.req_header().headers, &self.keys, at) {
            Ok(key) => key,
            Err(refusal) => return Err(self.shed_or(refusal, downstream, &snapshot).into()),
        };
        self.metrics.key_found();
        ctx.key = Some((key.account.id, key.id));
        if let Endpoint::Account(call) = endpoint {
            self.answer_account(downstream, call, key, snapshot, caller).await?;
            return Ok(true);
        }
        let Some(format) = endpoint.wire_format() else {
            let listing = api::models::answer(&endpoint, &snapshot, (caller.format, audience(&key)), at)?;
            // A client that is gone needs no list.
            let _ = reply::json(downstream, listing, caller).await;
            return Ok(true);
        };
        let asked = asked(&downstream.req_header().headers)?;
        ctx.in_flight = Some(self.enter(&snapshot)?);
        let instant = ctx.arrived.unwrap_or_else(|| self.clock.now());
        let since_start = instant.saturating_duration_since(self.origin).as_millis();
        let entered = admit::enter(Arc::clone(&key), u64::try_from(since_start).unwrap_or(u64::MAX));
        let mut admission = entered.map_err(|denied| deny::denied_to(&denied, &key, at))?;
        let within = snapshot.config.timeouts.body;
        let body = accept::read_body(downstream, snapshot.config.limits.body_bytes_max, within).await?;
        if let Some(name) = downstream.req_header().headers.get(IDEMPOTENCY_KEY) {
            let mark = Mark::new(key.id, name.as_bytes(), ctx.route, &body);
            admission.claim(&self.idempotency, mark).map_err(deny::clash)?;
        }
        let read = self.clock.now();
        let arrival = Arrival {
            id: caller.id,
            instant,
            read,
            at,
            route: ctx.route,
            format,
            purpose: endpoint.purpose(),
            media_type: if format.is_form() { content_type(downstream.req_header()) } else { Box::default() },
            key,
            asked,
            sealing_key: self.sealing_key,
            health: Arc::clone(&self.health),
        };
        let mut exchange = self.open(Request::read(snapshot, arrival, body)?, admission)?;
        let link =
            ctx.link.as_ref().ok_or_else(|| Refusal::new(RefusalKind::Internal, "the request lost its session"))?;
        let is_counted_here = exchange.purpose() == Purpose::Count && !exchange.keep_counting_targets();
        link.hold(exchange, Arc::clone(&self.keep));
        if is_counted_here {
            // A client that is gone needs no count.
            let _ = self.count_here(&mut session.downstream_session, ctx, caller).await;
        }
        Ok(is_counted_here)
    }

    fn open(&self, request: Request, admission: Admission) -> Result<Box<Exchange>, Box<Refused>> {
        let chosen = request.is_auto().then(|| self.choose(&request));
        Exchange::open(request, chosen, admission).map(Box::new)
    }

    fn choose(&self, request: &Request) -> Chosen {
        let begun = self.clock.now();
        let mut chosen = request.choose(&self.conversations);
        self.metrics.decided(self.clock.now().saturating_duration_since(begun));
        request.compare(&mut chosen);
        chosen
    }

    /// Answers with a count of our own.
    pub(super) async fn count_here(
        &self,
        downstream: &mut ServerSession,
        ctx: &Ctx,
        caller: Caller,
    ) -> pingora::Result<()> {
        let Some((exchange, _)) = ctx.link.as_ref().and_then(|link| link.take_exchange()) else {
            return Err(super::lost_session());
        };
        let routing = exchange.routing();
        // Counting may load a vocabulary and take milliseconds: not on a thread that serves.
        let counted = tokio::task::spawn_blocking(move || exchange.count_here()).await;
        let body = counted.or_err(ErrorType::InternalError, "counting panicked")?;
        reply::estimate(downstream, body, caller, &routing).await
    }

    /// The refusal of a wrong key; of many from one address another one, so that guessing costs time.
    fn shed_or(&self, refusal: Refusal, downstream: &ServerSession, snapshot: &Snapshot) -> Refusal {
        self.metrics.key_missed();
        let address = downstream.client_addr().and_then(|address| address.as_inet()).map(std::net::SocketAddr::ip);
        let seen = address.map_or(0, |address| self.wrong_keys.observe(&address, 1));
        let most = isize::try_from(snapshot.config.limits.unknown_keys_per_second).unwrap_or(isize::MAX);
        if seen <= most {
            return refusal;
        }
        Refusal::new(RefusalKind::TooManyRequests, "too many wrong keys from this address; try again shortly")
            .with_retry_after(Duration::from_secs(1))
    }

    /// Keys that may be out of date let nobody in: a revocation could have been missed. Nor does a full journal.
    fn check_keys(&self) -> Result<(), Refusal> {
        if self.store.keys_are_stale(self.clock.now()) {
            return Err(Refusal::new(
                RefusalKind::Overloaded,
                "keys cannot be checked at the moment; try again shortly",
            )
            .with_retry_after(Duration::from_secs(1)));
        }
        // A provider would be paid for an answer that could not be charged, and so not be completed.
        if !self.store.has_room() {
            return Err(Refusal::new(
                RefusalKind::Overloaded,
                "charges cannot be kept at the moment; try again shortly",
            )
            .with_retry_after(Duration::from_secs(1)));
        }
        Ok(())
    }

    fn enter(&self, snapshot: &Snapshot) -> Result<InFlight, Refusal> {
        let in_flight = self.metrics.enter();
        if self.metrics.in_flight() > snapshot.config.limits.in_flight_max {
            return Err(Refusal::new(RefusalKind::Overloaded, "too many requests at once; try again shortly")
                .with_retry_after(Duration::from_secs(1)));
        }
        Ok(in_flight)
    }
}

fn audience(key: &KeyState) -> Audience {
    if key.kind == KeyKind::Test { Audience::Tests } else { Audience::Live }
}

/// What the headers say to the router.
fn asked(headers: &HeaderMap) -> Result<Asked, Refusal> {
    let mut asked = Asked::default();
    // Hardly any request has one: names are passed once instead of looked up one by one.
    if !headers.keys().any(|name| name.as_str().starts_with(OF_FLUX)) {
        return Ok(asked);
    }
    if let Some(quality) = headers.get(X_FLUX_QUALITY) {
        let message = "x-flux-quality must be a number from 0, the cheapest, to 1, the best, such as 0.75";
        let quality = quality.to_str().ok().and_then(Quality::parse);
        asked.quality = Some(quality.ok_or_else(|| bad_header("x-flux-quality", message))?);
    }
    asked.session = named_session(headers)?;
    asked.providers = providers(headers)?;
    asked.region = region(headers)?;
    Ok(asked)
}

/// What the client calls the conversation.
pub(super) fn named_session(headers: &HeaderMap) -> Result<Option<Box<[u8]>>, Refusal> {
    let Some(session) = headers.get(X_FLUX_SESSION).map(HeaderValue::as_bytes) else { return Ok(None) };
    if session.is_empty() || session.len() > SESSION_BYTES_MAX {
        let message = format!("x-flux-session must be a name of 1 to {SESSION_BYTES_MAX} bytes");
        return Err(bad_header("x-flux-session", message));
    }
    Ok(Some(session.into()))
}

/// The region that a request is to stay in.
pub(super) fn region(headers: &HeaderMap) -> Result<Option<Box<str>>, Refusal> {
    let Some(value) = headers.get(X_FLUX_REGION) else { return Ok(None) };
    let region = value.to_str().ok().map(str::trim).filter(|region| !region.is_empty());
    let refuse = || bad_header("x-flux-region", "x-flux-region must be the name of a region, such as eu");
    region.map(|region| Some(region.into())).ok_or_else(refuse)
}

/// The providers that a request may go to, in the order in which they are to be asked; empty where it does not say.
pub(super) fn providers(headers: &HeaderMap) -> Result<Vec<Box<str>>, Refusal> {
    let lines = headers.get_all(X_FLUX_PROVIDER).iter().map(|line| line.to_str().unwrap_or_default());
    let listed = lines.flat_map(|line| line.split(',')).map(|name| Box::from(name.trim()));
    let names: Vec<Box<str>> = listed.take(PROVIDERS_LISTED_MAX + 1).collect();
    if names.len() > PROVIDERS_LISTED_MAX || names.iter().any(|name| name.is_empty()) {
        let message = format!(
            "x-flux-provider must be the name of a provider, or a list of at most {PROVIDERS_LISTED_MAX} with commas"
        );
        return Err(bad_header("x-flux-provider", message));
    }
    Ok(names)
}

fn bad_header(name: &'static str, message: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal::new(RefusalKind::InvalidRequest, message).with_param(name)
}

/// The content type of a request; empty where there is none that can be read.
fn content_type(head: &RequestHeader) -> Box<str> {
    let value = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_and_sort_by_time() {
        let ids = RequestIds::new(7);
        let first = ids.next(UnixMs(1_000));
        let second = ids.next(UnixMs(1_000));
        let later = ids.next(UnixMs(1_001));
        assert_ne!(first, second);
        assert!(later > first && later > second);
    }
}
