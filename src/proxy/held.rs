//! The held session: the downstream session with its body already read and its answer kept back.
//!
//! Pingora replays a request body that was read early only up to 64 KiB, and sends a response head
//! before the body is known. This wrapper stands in for the real session (`HttpSession::Custom`) and
//! mends both: it hands Pingora the outgoing body of every attempt whatever its size, and keeps the
//! answer back until the exchange lets it go, with the headers that are only known then.
//!
//! Must not decide anything: what may be sent, and whether an answer is complete, is asked of the
//! exchange. The trait is hidden in Pingora's documentation, so Pingora is pinned to one version.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::protocols::http::custom::CustomMessageWrite;
use pingora::protocols::http::custom::server::Session as CustomSession;
use pingora::protocols::http::{HttpTask, ServerSession};
use pingora::protocols::l4::socket::SocketAddr;
use pingora::time::fast_timeout::fast_sleep;
use pingora::{Error, ErrorType, Result};

use super::reply;
use crate::base::outcome::Charge;
use crate::base::time::Clock;
use crate::exchange::Exchange;
use crate::exchange::answer::{Flow, Stop};
use crate::exchange::retry::Failure;

/// What the held session and the phases of its request share.
pub(crate) struct Link {
    state: Mutex<State>,
    /// Where the wrapper leaves the real session as it is dropped. A boxed trait object cannot be
    /// taken apart, and keep-alive needs the real one back.
    returned: Mutex<Option<Box<ServerSession>>>,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct State {
    exchange: Option<Box<Exchange>>,
    /// The body of the current attempt; `Some` from the moment the session is held.
    outgoing: Option<Bytes>,
    keep: Option<KeepCharge>,
    watch: Watch,
}

/// Keeps a charge durably; `false` when it could not be.
pub(crate) type KeepCharge = Arc<dyn Fn(&Charge) -> bool + Send + Sync>;

/// What the silence of a provider is measured against.
#[derive(Clone, Copy, Default)]
struct Watch {
    /// Until when the head must have come.
    first_byte: Option<Instant>,
    /// Until when the answer must be complete.
    total: Option<Instant>,
    idle: Duration,
    /// Counts what came in, so that a timer that fires can tell silence from work.
    arrivals: u64,
    /// Counts attempts and heads: at each the waiting begins anew.
    stage: u64,
}

impl Link {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), returned: Mutex::default(), clock })
    }

    /// From here on Pingora proxies this exchange; the session is held.
    pub(crate) fn hold(&self, exchange: Box<Exchange>, keep: KeepCharge) {
        let mut state = self.state();
        state.outgoing = Some(Bytes::new());
        state.keep = Some(keep);
        state.exchange = Some(exchange);
    }

    /// Sets what is replayed to the next target, and until when it must have answered.
    pub(crate) fn start_attempt(&self, outgoing: Bytes, first_byte: Instant, idle: Duration) {
        let mut state = self.state();
        let total = state.exchange.as_ref().map(|exchange| exchange.deadline());
        let next_stage = state.watch.stage.wrapping_add(1);
        state.watch = Watch { first_byte: Some(first_byte), total, idle, arrivals: 0, stage: next_stage };
        state.outgoing = Some(outgoing);
    }

    /// Runs `ask` on the exchange; `None` before there is one.
    pub(crate) fn with_exchange<T>(&self, ask: impl FnOnce(&mut Exchange) -> T) -> Option<T> {
        self.state().exchange.as_deref_mut().map(ask)
    }

    /// Runs a step of the exchange that may settle.
    pub(crate) fn with_keep<T>(&self, step: impl FnOnce(&mut Exchange, &dyn Fn(&Charge) -> bool) -> T) -> Option<T> {
        let mut state = self.state();
        let State { exchange, keep, watch, .. } = &mut *state;
        watch.arrivals = watch.arrivals.wrapping_add(1);
        Some(step(exchange.as_deref_mut()?, keep.as_deref()?))
    }

    /// Takes the exchange out, at the end of the request.
    pub(crate) fn take_exchange(&self) -> Option<(Box<Exchange>, KeepCharge)> {
        let mut state = self.state();
        Some((state.exchange.take()?, state.keep.take()?))
    }

    /// The head has come: from here on only silence and the total time are watched.
    pub(crate) fn note_head(&self) {
        let mut state = self.state();
        state.watch.first_byte = None;
        state.watch.stage = state.watch.stage.wrapping_add(1);
    }

    /// Takes the real session back, once the wrapper has been dropped.
    pub(crate) fn take_session(&self) -> Option<Box<ServerSession>> {
        self.returned.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    // Guards the exchange, which the phases and the session touch by turns, never at once: one task
    // drives both. An atomic cannot hold it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

/// The wrapper. Passes everything through until [`Link::hold`].
pub(crate) struct Held {
    /// Boxed: a session is kilobytes large, and passes through three hands.
    real: Box<ServerSession>,
    link: Arc<Link>,
    /// The head of the current attempt's answer, kept back.
    head: Option<Box<ResponseHeader>>,
    patience: Patience,
}

/// How long the provider may be silent. One timer a request, moved only when it fires or a new stage
/// begins: a chunk that comes in costs no clock and no timer.
#[derive(Default)]
struct Patience {
    timer: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
    arrivals_seen: u64,
    stage: u64,
}

impl Patience {
    /// Waits until the provider has been silent for too long, or the total time is up.
    async fn exceeded(&mut self, link: &Link) -> Failure {
        loop {
            let watch = link.state().watch;
            if self.stage != watch.stage {
                self.stage = watch.stage;
                self.arrivals_seen = watch.arrivals;
                self.set(&watch, link.clock.now());
            }
            match &mut self.timer {
                Some(timer) => timer.as_mut().await,
                None => std::future::pending().await,
            }
            let now = link.clock.now();
            let watch = link.state().watch;
            if watch.total.is_some_and(|total| now >= total) {
                return Failure::Deadline;
            }
            match watch.first_byte {
                Some(first_byte) if now >= first_byte => return Failure::FirstByteTimeout,
                None if watch.arrivals == self.arrivals_seen => return Failure::IdleTimeout,
                _ => {}
            }
            self.arrivals_seen = watch.arrivals;
            self.set(&watch, now);
        }
    }

    fn set(&mut self, watch: &Watch, now: Instant) {
        let idle_end = now.checked_add(watch.idle).unwrap_or(now);
        let next = watch.first_byte.unwrap_or(idle_end).min(watch.total.unwrap_or(idle_end));
        // Pingora's timers share their ticks between requests; one of tokio's would cost each a lock.
        self.timer = Some(Box::pin(fast_sleep(next.saturating_duration_since(now))));
    }
}

impl Held {
    pub(crate) fn wrap(real: Box<ServerSession>, link: Arc<Link>) -> ServerSession {
        let held = Self { real, link, head: None, patience: Patience::default() };
        ServerSession::new_custom(Box::new(held))
    }

    fn is_holding(&self) -> bool {
        self.link.state().outgoing.is_some()
    }

    /// Sorts one batch: keeps a head back, lets bodies go with it, and ends the answer where the provider
    /// ended or broke off.
    fn release(&mut self, tasks: Vec<HttpTask>) -> Result<Vec<HttpTask>> {
        let mut out = Vec::with_capacity(tasks.len() + 1);
        for task in tasks {
            match task {
                HttpTask::Header(head, _) if head.status.is_informational() => {}
                HttpTask::Header(head, is_end) => {
                    self.head = Some(head);
                    if is_end {
                        self.end(&mut out)?;
                    }
                }
                HttpTask::Body(Some(bytes), is_end) if !bytes.is_empty() => {
                    self.release_head(bytes.len(), &mut out)?;
                    out.push(HttpTask::Body(Some(bytes), is_end));
                }
                HttpTask::Body(_, false) => {}
                HttpTask::Body(_, true) | HttpTask::UpgradedBody(..) | HttpTask::Trailer(_) | HttpTask::Done => {
                    self.end(&mut out)?;
                }
                HttpTask::Failed(error) => self.break_off(error, &mut out)?,
            }
        }
        Ok(out)
    }

    fn release_head(&mut self, body_bytes: usize, out: &mut Vec<HttpTask>) -> Result<()> {
        let Some(mut head) = self.head.take() else { return Ok(()) };
        self.link.with_exchange(|exchange| reply::finish_head(&mut head, exchange, body_bytes)).transpose()?;
        out.push(HttpTask::Header(head, false));
        Ok(())
    }

    /// The provider ended its answer in a way that the body filter does not see: HTTP/2 trailers, or
    /// an end without a last byte.
    fn end(&mut self, out: &mut Vec<HttpTask>) -> Result<()> {
        let now = self.link.clock.now();
        let step = self.link.with_keep(|exchange, keep| {
            if exchange.is_complete() { Ok(Flow::Hold) } else { exchange.on_chunk(Bytes::new(), true, now, keep) }
        });
        match step {
            Some(Ok(Flow::Send(bytes))) => {
                self.release_head(bytes.len(), out)?;
                out.push(HttpTask::Body(Some(bytes), true));
            }
            Some(Ok(Flow::Hold)) | None => {}
            Some(Err(reason)) => return Err(stop_error(&self.link, reason)),
        }
        out.push(HttpTask::Done);
        Ok(())
    }

    /// The provider fell silent. After content the client gets a last event in its own format, and a proper
    /// end; the connection is then closed with the attempt.
    async fn say_goodbye(&mut self, failure: Failure) {
        let now = self.link.clock.now();
        let last = self.link.with_keep(|exchange, keep| {
            if exchange.is_open() && !exchange.is_complete() { exchange.cut(failure, now, keep) } else { None }
        });
        if let Some(event) = last.flatten() {
            // A client that cannot be written to has left, which the error that follows tells as well.
            let _ = self.real.write_response_body(event, true).await;
        }
    }

    /// The provider broke off. Before content the error goes up, for the next attempt; after it the
    /// client gets a last event in its own format.
    fn break_off(&self, error: Box<Error>, out: &mut Vec<HttpTask>) -> Result<()> {
        let now = self.link.clock.now();
        let last = self.link.with_keep(|exchange, keep| {
            if exchange.is_complete() {
                return Some(Bytes::new());
            }
            if exchange.is_open() { exchange.cut(Failure::Broken, now, keep) } else { None }
        });
        match last.flatten() {
            Some(bytes) => {
                if !bytes.is_empty() {
                    out.push(HttpTask::Body(Some(bytes), true));
                }
                out.push(HttpTask::Done);
                Ok(())
            }
            None => Err(error),
        }
    }
}

/// A piece of a body with nothing to decide about: nearly every chunk of a stream.
fn is_plain_body(task: &HttpTask) -> bool {
    matches!(task, HttpTask::Body(Some(bytes), false) if !bytes.is_empty())
}

/// A stop of the exchange as the error that Pingora carries up; the phases ask the exchange what it
/// means.
#[expect(clippy::unnecessary_box_returns, reason = "Pingora's phases return boxed errors")]
pub(crate) fn stop_error(link: &Link, stop: Stop) -> Box<Error> {
    match stop {
        Stop::Failed(failure) => {
            link.with_exchange(|exchange| exchange.fail(failure));
            Error::explain(ErrorType::Custom("AttemptFailed"), failure.name())
        }
        Stop::Refused(refusal) => reply::refusal_error(*refusal),
        Stop::Unsettled => reply::refusal_error(reply::unsettled()),
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let real = std::mem::replace(&mut self.real, Box::new(ServerSession::new_custom(Box::new(()))));
        *self.link.returned.lock().unwrap_or_else(PoisonError::into_inner) = Some(real);
    }
}

#[async_trait]
impl CustomSession for Held {
    fn req_header(&self) -> &RequestHeader {
        self.real.req_header()
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        self.real.req_header_mut()
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        self.real.read_request_body().await
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        self.real.drain_request_body().await
    }

    async fn write_response_header(&mut self, resp: Box<ResponseHeader>, end: bool) -> Result<()> {
        self.real.write_response_header(resp).await?;
        if end { self.real.finish_body().await } else { Ok(()) }
    }

    async fn write_response_header_ref(&mut self, resp: &ResponseHeader, end: bool) -> Result<()> {
        self.real.write_response_header_ref(resp).await?;
        if end { self.real.finish_body().await } else { Ok(()) }
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        self.real.write_response_body(data, end).await
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        self.real.write_response_trailers(trailers).await
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        if !self.is_holding() {
            return self.real.response_duplex_vec(tasks).await;
        }
        if self.head.is_none() && tasks.iter().all(is_plain_body) {
            return self.real.response_duplex_vec(tasks).await;
        }
        let released = self.release(tasks)?;
        if released.is_empty() {
            return Ok(false);
        }
        self.real.response_duplex_vec(released).await
    }

    fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.real.set_read_timeout(timeout);
    }

    fn get_read_timeout(&self) -> Option<Duration> {
        self.real.get_read_timeout()
    }

    fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.real.set_write_timeout(timeout);
    }

    fn get_write_timeout(&self) -> Option<Duration> {
        self.real.get_write_timeout()
    }

    fn set_total_drain_timeout(&mut self, timeout: Option<Duration>) {
        self.real.set_total_drain_timeout(timeout);
    }

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.real.get_total_drain_timeout()
    }

    fn request_summary(&self) -> String {
        self.real.request_summary()
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.real.response_written()
    }

    async fn shutdown(&mut self, _code: u32, _ctx: &str) {
        self.real.shutdown().await;
    }

    fn is_body_done(&mut self) -> bool {
        self.is_holding() || self.real.is_body_done()
    }

    async fn finish(&mut self) -> Result<()> {
        self.real.finish_body().await
    }

    fn is_body_empty(&mut self) -> bool {
        !self.is_holding() && self.real.is_body_empty()
    }

    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        if !self.is_holding() {
            return self.real.read_body_or_idle(no_body_expected).await;
        }
        let failure = tokio::select! {
            idle = self.real.read_body_or_idle(true) => return idle,
            failure = self.patience.exceeded(&self.link) => failure,
        };
        self.say_goodbye(failure).await;
        Err(stop_error(&self.link, Stop::Failed(failure)))
    }

    fn body_bytes_sent(&self) -> usize {
        self.real.body_bytes_sent()
    }

    fn body_bytes_read(&self) -> usize {
        self.real.body_bytes_read()
    }

    fn digest(&self) -> Option<&Digest> {
        self.real.digest()
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        self.real.digest_mut()
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        self.real.client_addr()
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        self.real.server_addr()
    }

    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        self.real.to_h1_raw()
    }

    fn enable_retry_buffering(&mut self) {}

    fn retry_buffer_truncated(&self) -> bool {
        false
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        self.link.state().outgoing.clone()
    }

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_reader(
        &mut self,
    ) -> Option<Box<dyn futures_core::Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>> {
        None
    }

    fn restore_custom_message_reader(
        &mut self,
        _reader: Box<dyn futures_core::Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>,
    ) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(&mut self, _writer: Box<dyn CustomMessageWrite>) -> Result<()> {
        Ok(())
    }
}
