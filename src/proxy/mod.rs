//! Flux as a Pingora `ProxyHttp`: every phase asks the exchange and obeys.
//!
//! Must not decide: what is refused, retried, sent or charged is the exchange's business. The phases
//! in the order of a request: `request_filter` (accept, authenticate, read, plan), `upstream_peer` and
//! `upstream_request_filter` (the next attempt), `upstream_response_filter` and `response_filter` (its
//! head), `response_body_filter` (its body), `logging` (settle and report).

mod accept;
mod account;
mod admit;
mod app;
mod attempt;
mod close;
mod deadline;
mod dialer;
mod hedge;
mod held;
mod limits;
mod link;
mod patience;
mod probe;
mod public;
mod ratelimit;
mod reply;
mod resolver;
mod trouble;
mod upstream;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use async_trait::async_trait;
use bytes::Bytes;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, Result};
use pingora_limits::rate::Rate;

use crate::accounts::KeyDirectory;
use crate::accounts::idempotency::Idempotency;
use crate::api::{self, Answer};
use crate::base::ids::{AccountId, KeyId};
use crate::base::outcome::Ending;
use crate::base::refusal::{Refusal, RefusalKind};
use crate::base::time::Clock;
use crate::catalog::Target;
use crate::exchange::answer::Flow;
use crate::exchange::conversations::Conversations;
use crate::exchange::count::Purpose;
use crate::exchange::retry::Failure;
use crate::exchange::snapshot::Snapshot;
use crate::exchange::{Exchange, Refused};
use crate::health::Health;
use crate::metrics::{InFlight, Metrics};
use crate::request_log::RequestLog;
use crate::store::Store;
use crate::translate::envelope::SealingKey;

use account::Asks;
use admit::RequestIds;
use hedge::Hedger;
use link::{KeepCharge, Link};
use reply::Caller;
use resolver::Resolver;
use trouble::Trouble;

pub(crate) use app::{App, Front};
pub(crate) use dialer::Dialer;
pub(crate) use probe::Prober;

/// Why an attempt counts as failed that has sent content; the log tells more.
const AFTER_CONTENT: &str = "after_content";

/// What all requests share.
pub(crate) struct Flux {
    snapshot: Arc<ArcSwap<Snapshot>>,
    store: Arc<Store>,
    keys: Arc<KeyDirectory>,
    metrics: Arc<Metrics>,
    log: RequestLog,
    clock: Arc<dyn Clock>,
    resolver: Resolver,
    hedger: Arc<Hedger>,
    keep: KeepCharge,
    ids: RequestIds,
    sealing_key: SealingKey,
    health: Arc<Health>,
    idempotency: Arc<Idempotency>,
    conversations: Arc<Conversations>,
    /// Wrong keys of the last second, by address: an estimate will do.
    wrong_keys: Rate,
    /// From where the milliseconds of limits are counted.
    origin: Instant,
    trouble: Arc<Trouble>,
    asks: Asks,
    /// What is served, in words of `OpenAPI`.
    openapi: Bytes,
    /// The second of the last status, and that.
    status: ArcSwapOption<(u64, Answer)>,
}

/// What `boot` hands in.
pub(crate) struct Parts {
    pub(crate) snapshot: Arc<ArcSwap<Snapshot>>,
    pub(crate) store: Arc<Store>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) log: RequestLog,
    pub(crate) clock: Arc<dyn Clock>,
    /// At least 80 random bits, from which request ids are made.
    pub(crate) seed: u128,
    /// What is remembered of conversations.
    pub(crate) conversations: Conversations,
    /// Seals what models want back.
    pub(crate) sealing_key: SealingKey,
    pub(crate) health: Arc<Health>,
    pub(crate) dialer: Arc<Dialer>,
}

/// What one request remembers between phases, beside its exchange.
#[derive(Default)]
pub(crate) struct Ctx {
    link: Option<Arc<Link>>,
    caller: Option<Caller>,
    route: &'static str,
    arrived: Option<Instant>,
    target: Option<Arc<Target>>,
    body_bytes: usize,
    key: Option<(AccountId, KeyId)>,
    refused: Option<Box<Refused>>,
    in_flight: Option<InFlight>,
}

impl Ctx {
    /// Asks the exchange; `None` where the request has none.
    fn ask<T>(&self, ask: impl FnOnce(&mut Exchange) -> T) -> Option<T> {
        self.link.as_ref()?.with_exchange(ask)
    }

    /// Ends a failed request. Pingora reuses no connection after a failure on the way to a provider, so
    /// the link keeps it where the answer is whole.
    fn answered(&self, error_code: u16, is_whole: bool) -> FailToProxy {
        if let (true, Some(link)) = (is_whole, &self.link) {
            link.keep_connection();
        }
        FailToProxy { error_code, can_reuse_downstream: false }
    }
}

impl Flux {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { snapshot, store, metrics, log, clock, seed, conversations, sealing_key, health, dialer } = parts;
        let (ledger, counters) = (Arc::clone(&store), Arc::clone(&metrics));
        let keep: KeepCharge = Arc::new(move |charge| match ledger.append(charge) {
            Ok(()) => true,
            Err(error) => {
                counters.charge_not_kept();
                log::error!(request_id:% = charge.request_id; "a charge could not be kept: {error}");
                false
            }
        });
        let (keys, ids, origin) = (store.keys(), RequestIds::new(seed), clock.now());
        let trouble = Arc::new(Trouble::new(Arc::clone(&metrics), Arc::clone(&clock)));
        let (resolver, asks, openapi) = (dialer.resolver.clone(), Asks::new(), api::openapi::document());
        let conversations = Arc::new(conversations);
        let (idempotency, wrong_keys) = (store.idempotency(), Rate::new(Duration::from_secs(1)));
        Self {
            snapshot,
            store,
            keys,
            metrics,
            log,
            clock,
            hedger: Arc::new(Hedger::new(dialer, Arc::clone(&trouble))),
            resolver,
            keep,
            ids,
            sealing_key,
            health,
            idempotency,
            conversations,
            wrong_keys,
            origin,
            trouble,
            asks,
            openapi,
            status: ArcSwapOption::empty(),
        }
    }

    /// Records a failure that is not recorded yet, and says whether another attempt follows.
    fn after_failure(&self, ctx: &Ctx, failure: Failure, error: &mut Error) {
        let now = self.clock.now();
        let retry = ctx.ask(|exchange| {
            if !exchange.has_failed() {
                exchange.fail(failure, now);
            }
            let provider = ctx.target.as_ref().map_or("", |target| &*target.provider.id);
            let failure = exchange.last_failure().unwrap_or(failure);
            // What was cut off after content is counted at the end, however it came out.
            if exchange.amount().is_none() {
                self.trouble.count(provider, failure);
            }
            self.trouble.warn_of_key(provider, failure);
            exchange.wants_retry(now)
        });
        error.set_retry(retry.unwrap_or_default());
    }

    /// Records that there is no connection. Where the request's own time is over, the target is not to blame.
    fn after_connecting(&self, ctx: &Ctx, error: &mut Error) {
        let now = self.clock.now();
        let is_over = ctx.ask(|exchange| now >= exchange.deadline()).unwrap_or_default();
        self.after_failure(ctx, if is_over { Failure::Deadline } else { Failure::Connect }, error);
    }

    /// Counts an attempt that follows another.
    fn note_failover(&self, ctx: &Ctx, target: &Target) {
        let Some(routing) = ctx.ask(|exchange| exchange.routing()) else { return };
        let before = ctx.target.as_ref().map_or("", |before| &*before.provider.id);
        self.metrics.failed_over(&routing.lane, &routing.requested, before, &target.provider.id);
    }

    /// The refusal that stands for an error.
    fn refusal_for(error: &Error, ctx: &Ctx) -> Refusal {
        if let Some(refusal) = reply::carried(error) {
            return refusal.clone();
        }
        let exhausted = ctx.ask(|exchange| exchange.exhausted());
        exhausted.unwrap_or_else(|| {
            Refusal::new(RefusalKind::Internal, "an error of our own; quote the request id to support")
                .with_detail(error.to_string())
        })
    }

    /// What the client gets of a request that failed.
    async fn answer_failure(&self, session: &mut Session, error: &Error, ctx: &mut Ctx) -> FailToProxy {
        let has_failed = ctx.ask(|e| e.has_failed()).unwrap_or_default();
        let is_client_gone =
            *error.esource() == ErrorSource::Downstream && !has_failed && reply::carried(error).is_none();
        let nobody = FailToProxy { error_code: 0, can_reuse_downstream: false };
        let Some(caller) = ctx.caller else { return nobody };
        let has_head = session.response_written().is_some_and(|head| !head.status.is_informational());
        let is_unanswered = ctx.ask(|exchange| !exchange.is_open() && !exchange.is_complete()).unwrap_or_default();
        if is_client_gone || (has_head && !is_unanswered) {
            return nobody;
        }
        let routing = ctx.ask(|exchange| exchange.routing());
        if has_head {
            // Only comments have gone out so far: what went wrong is told as an event.
            let refusal = Self::refusal_for(error, ctx);
            let written = reply::refuse_in_stream(&mut session.downstream_session, &refusal, caller).await;
            ctx.refused = Some(Box::new(Refused { refusal, routing }));
            return ctx.answered(200, written.is_ok());
        }
        if ctx.ask(|exchange| exchange.purpose()) == Some(Purpose::Count) && reply::carried(error).is_none() {
            let written = self.count_here(&mut session.downstream_session, ctx, caller).await;
            return ctx.answered(200, written.is_ok());
        }
        let refusal = Self::refusal_for(error, ctx);
        let status = crate::wire::refusal::status(&refusal, caller.format);
        let written = reply::refuse(&mut session.downstream_session, &refusal, caller, routing.as_ref()).await;
        ctx.refused = Some(Box::new(Refused { refusal, routing }));
        ctx.answered(status, written.is_ok())
    }
}

#[expect(clippy::unnecessary_box_returns, reason = "Pingora's phases return boxed errors")]
fn lost_session() -> Box<Error> {
    Error::explain(ErrorType::InternalError, "the request has no session to hold")
}

#[async_trait]
impl ProxyHttp for Flux {
    type CTX = Ctx;

    fn new_ctx(&self) -> Ctx {
        Ctx::default()
    }

    /// No module is of use here: bodies must not be compressed or held by anyone else.
    fn init_downstream_modules(&self, _modules: &mut pingora::modules::http::HttpModules) {}

    async fn request_filter(&self, session: &mut Session, ctx: &mut Ctx) -> Result<bool> {
        ctx.arrived = Some(self.clock.now());
        ctx.link = session.req_header_mut().extensions_mut().remove::<Arc<Link>>();
        match self.admit(session, ctx).await {
            Ok(is_answered) => Ok(is_answered),
            Err(refused) => {
                let caller = ctx.caller.ok_or_else(lost_session)?;
                let Refused { refusal, routing } = &*refused;
                // A client that is gone gets no refusal; there is nothing else to do about it.
                let _ = reply::refuse(&mut session.downstream_session, refusal, caller, routing.as_ref()).await;
                ctx.refused = Some(refused);
                Ok(true)
            }
        }
    }

    async fn upstream_peer(&self, session: &mut Session, ctx: &mut Ctx) -> Result<Box<HttpPeer>> {
        self.begin_attempt(session, ctx).await
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        upstream_request: &mut RequestHeader,
        ctx: &mut Ctx,
    ) -> Result<()> {
        let client = session.req_header();
        let link = ctx.link.as_ref().ok_or_else(lost_session)?;
        let version = upstream_request.version;
        let head = link.with_exchange(|exchange| attempt::head(exchange, client, ctx.body_bytes));
        *upstream_request = head.ok_or_else(lost_session)??;
        upstream_request.set_version(version);
        Ok(())
    }

    /// Has answers decompressed that come compressed although that was not asked for. Not earlier: Pingora would
    /// take apart the `accept-encoding` that has just been written.
    async fn request_body_filter(
        &self,
        session: &mut Session,
        _body: &mut Option<Bytes>,
        _end_of_stream: bool,
        _ctx: &mut Ctx,
    ) -> Result<()> {
        let compression = &mut session.upstream_compression;
        if compression.is_header_phase() {
            compression.adjust_decompression(true);
        }
        Ok(())
    }

    async fn upstream_response_filter(
        &self,
        _session: &mut Session,
        upstream_response: &mut ResponseHeader,
        ctx: &mut Ctx,
    ) -> Result<()> {
        let link = ctx.link.as_ref().ok_or_else(lost_session)?;
        let head = upstream::provider_head(upstream_response, self.clock.unix_ms());
        link.note_head();
        let now = self.clock.now();
        match link.with_exchange(|exchange| exchange.on_head(head, now)) {
            Some(Err(stop)) => Err(held::stop_error(link, stop)),
            Some(Ok(())) | None => Ok(()),
        }
    }

    async fn response_filter(
        &self,
        _session: &mut Session,
        upstream_response: &mut ResponseHeader,
        ctx: &mut Ctx,
    ) -> Result<()> {
        if !upstream_response.status.is_success() {
            return Ok(());
        }
        let link = ctx.link.as_ref().ok_or_else(lost_session)?;
        if let Some(head) = link.with_exchange(|exchange| reply::answer_head(upstream_response, exchange)) {
            *upstream_response = head?;
        }
        Ok(())
    }

    fn response_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut Ctx,
    ) -> Result<Option<Duration>> {
        let link = ctx.link.as_ref().ok_or_else(lost_session)?;
        if let (Some(chunk), false) = (&*body, end_of_stream)
            && link.passes(chunk)
        {
            return Ok(None);
        }
        let chunk = body.take().unwrap_or_default();
        let now = self.clock.now();
        match link.with_keep(|exchange, keep| exchange.on_chunk(chunk, end_of_stream, now, keep)) {
            Some(Ok(Flow::Send(bytes))) => *body = Some(bytes),
            Some(Ok(Flow::Hold)) | None => {}
            Some(Err(stop)) => return Err(held::stop_error(link, stop)),
        }
        Ok(None)
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        peer: &HttpPeer,
        ctx: &mut Ctx,
        mut error: Box<Error>,
    ) -> Box<Error> {
        // One that took its time has left none for another address; the next request goes there.
        let is_quick = !matches!(error.etype(), ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout);
        if self.resolver.pass_over(peer) && is_quick && ctx.ask(Exchange::repeat_attempt) == Some(true) {
            error.set_retry(true);
        } else {
            self.after_connecting(ctx, &mut error);
        }
        error
    }

    /// Pingora never retries a POST by itself. Here the body is replayed whole, so the exchange decides.
    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        _session: &mut Session,
        mut error: Box<Error>,
        ctx: &mut Ctx,
        client_reused: bool,
    ) -> Box<Error> {
        let has_failed = ctx.ask(|e| e.has_failed()).unwrap_or_default();
        let is_final = reply::carried(&error).is_some();
        if is_final || (!has_failed && *error.esource() == ErrorSource::Downstream) {
            error.set_retry(false);
            return error;
        }
        let is_stale = client_reused && !has_failed;
        let repeats = is_stale && ctx.ask(|e| !e.has_head() && e.repeat_attempt()) == Some(true);
        if repeats {
            error.set_retry(true);
        } else {
            self.after_failure(ctx, Failure::Broken, &mut error);
        }
        error
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, ctx: &mut Ctx) -> FailToProxy {
        if let Some(won) = ctx.link.as_ref().and_then(|link| link.take_won()) {
            return match Box::pin(self.go_on(session, ctx, won)).await {
                Ok(()) => ctx.answered(200, true),
                Err(error) => self.answer_failure(session, &error, ctx).await,
            };
        }
        self.answer_failure(session, error, ctx).await
    }

    async fn logging(&self, session: &mut Session, _error: Option<&Error>, ctx: &mut Ctx) {
        let status = session.response_written().map_or(0, |head| head.status.as_u16());
        close::give_back(session, ctx);
        let outcome = self.close(ctx, status).await;
        if outcome.ending == Ending::Cut {
            self.metrics.attempt_failed(&outcome.provider, AFTER_CONTENT);
        }
        self.metrics.record(&outcome);
        self.log.write(outcome);
        ctx.in_flight = None;
    }

    /// Marks the connection, so that the next request on it may first be waited for.
    fn persist_connection_context(
        &self,
        _session: &Session,
        _ctx: &Ctx,
    ) -> Option<Box<dyn std::any::Any + Send + Sync>> {
        Some(Box::new(app::KeptAlive))
    }

    /// The outcome is in the request log and in the metrics; Pingora's own lines would say it again.
    fn suppress_error_log(&self, _session: &Session, _ctx: &Ctx, _error: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        _ctx: &Ctx,
        _error: &Error,
        _context: pingora::proxy::ProxyWarnLogContext,
    ) -> bool {
        true
    }
}
