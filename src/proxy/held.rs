//! The held session: the downstream session with its body already read and its answer kept back.
//!
//! Pingora replays a request body that was read early only up to 64 KiB, and sends a response head
//! before the body is known. This wrapper stands in for the real session (`HttpSession::Custom`) and
//! mends both: it hands Pingora the outgoing body of every attempt whatever its size, and keeps the
//! answer back until the exchange lets it go, with the headers that are only known then.
//!
//! Must not decide anything: what may be sent, and whether an answer is complete, is asked of the
//! exchange. The trait is hidden in Pingora's documentation, so Pingora is pinned to one version.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONNECTION;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::protocols::http::custom::CustomMessageWrite;
use pingora::protocols::http::custom::server::Session as CustomSession;
use pingora::protocols::http::{HttpTask, ServerSession};
use pingora::protocols::l4::socket::SocketAddr;
use pingora::{Error, ErrorType, Result};

use super::deadline::Timer;
use super::hedge;
use super::link::Link;
use super::patience::{Patience, Silence};
use super::reply;
use crate::exchange::answer::{Flow, Stop};
use crate::exchange::retry::Failure;

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The wrapper. Passes everything through until [`Link::hold`].
pub(crate) struct Held {
    /// Boxed: a session is kilobytes large, and passes through three hands.
    real: Box<ServerSession>,
    link: Arc<Link>,
    /// The head of the current attempt's answer, kept back.
    head: Option<Box<ResponseHeader>>,
    patience: Patience,
    /// A head of ours went out before there was an answer, to keep the client waiting.
    has_early_head: bool,
}

impl Held {
    /// Wraps a session. `timer` is what the request before on the same connection has left.
    pub(crate) fn wrap(real: Box<ServerSession>, link: Arc<Link>, timer: Option<Timer>) -> ServerSession {
        let held = Self { real, link, head: None, patience: Patience::with(timer), has_early_head: false };
        ServerSession::new_custom(Box::new(held))
    }

    fn is_holding(&self) -> bool {
        self.link.is_held()
    }

    /// Hands tasks to the real session. HTTP/1 at once: one layer less for every chunk.
    fn write(&mut self, tasks: Vec<HttpTask>) -> BoxFuture<'_, Result<bool>> {
        match &mut *self.real {
            ServerSession::H1(session) => Box::pin(session.response_duplex_vec(tasks)),
            other @ (ServerSession::H2(_) | ServerSession::Subrequest(_) | ServerSession::Custom(_)) => {
                Box::pin(other.response_duplex_vec(tasks))
            }
        }
    }

    /// Waits for the client to leave, or the provider to have been silent for too long.
    async fn idle(&mut self) -> Result<Option<Bytes>> {
        loop {
            if self.link.has_hedge() {
                if let Some(idle) = Box::pin(self.idle_beside()).await {
                    return idle;
                }
                continue;
            }
            let Self { real, link, patience, .. } = self;
            let outcome = match &mut **real {
                ServerSession::H1(session) => patience.bound(link, session.read_body_or_idle(true)).await,
                other @ (ServerSession::H2(_) | ServerSession::Subrequest(_) | ServerSession::Custom(_)) => {
                    // Boxed for the sake of HTTP/1, which has to make room for all that stands here.
                    patience.bound(link, Box::pin(other.read_body_or_idle(true))).await
                }
            };
            // Boxed, as both are rare and large: every chunk allocates the future that this is part of.
            match outcome {
                Ok(idle) => return idle,
                Err(silence) => Box::pin(self.bear(silence)).await?,
            }
        }
    }

    /// The same while another attempt runs beside the current one; `None` to go on waiting.
    async fn idle_beside(&mut self) -> Option<Result<Option<Bytes>>> {
        let Self { real, link, patience, .. } = self;
        let outcome = tokio::select! {
            biased;
            () = hedge::won(link) => return Some(Err(hedge::overtaken())),
            outcome = patience.bound(link, real.read_body_or_idle(true)) => outcome,
        };
        match outcome {
            Ok(idle) => Some(idle),
            Err(silence) => self.bear(silence).await.err().map(Err),
        }
    }

    /// Does what a silence calls for.
    async fn bear(&mut self, silence: Silence) -> Result<()> {
        match silence {
            Silence::Ping => self.ping().await,
            Silence::Late => {
                self.link.begin_hedge(self.real.req_header());
                Ok(())
            }
            Silence::TooLong(failure) => {
                self.say_goodbye(failure).await;
                Err(stop_error(&self.link, Stop::Failed(failure)))
            }
        }
    }

    /// Shows a client that waits that we are there. Pingora drops this future when the provider sends something: a
    /// ping is then either whole in the connection's buffer, which is empty before and larger, or not there at
    /// all, since nothing but the flush at its end waits for the socket.
    async fn ping(&mut self) -> Result<()> {
        let Some(ping) = self.link.with_exchange(|exchange| exchange.keep_alive()).flatten() else { return Ok(()) };
        if self.real.response_written().is_none() {
            let head = self.link.with_exchange(|exchange| reply::early_head(exchange)).transpose()?;
            let Some(head) = head else { return Ok(()) };
            self.has_early_head = true;
            self.real.write_response_header(Box::new(head)).await?;
        }
        self.real.write_response_body(ping, false).await
    }

    /// Sorts one batch: keeps a head back, lets bodies go with it, and ends the answer where the provider
    /// ended or broke off.
    fn release(&mut self, tasks: Vec<HttpTask>) -> Result<Vec<HttpTask>> {
        let mut out = Vec::with_capacity(tasks.len() + 1);
        // An answer that is complete by now and has no head out yet is all in this batch, maybe in several pieces.
        let batch_bytes = tasks.iter().map(body_bytes).sum();
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
                    self.release_head(batch_bytes, &mut out)?;
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
        self.link.forget_outgoing();
        if self.has_early_head {
            return Ok(());
        }
        self.link.with_exchange(|exchange| reply::finish_head(&mut head, exchange, body_bytes)).transpose()?;
        out.push(HttpTask::Header(head, false));
        Ok(())
    }

    /// The provider ended its answer in a way that the body filter does not see: HTTP/2 trailers, or
    /// an end without a last byte.
    fn end(&mut self, out: &mut Vec<HttpTask>) -> Result<()> {
        let now = self.link.now();
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
    /// end.
    async fn say_goodbye(&mut self, failure: Failure) {
        let now = self.link.now();
        let last = self.link.with_keep(|exchange, keep| {
            if exchange.is_open() && !exchange.is_complete() { exchange.cut(failure, now, keep) } else { None }
        });
        if let Some(event) = last.flatten() {
            // A client that cannot be written to has left, which the error that follows tells as well.
            if self.real.write_response_body(event, true).await.is_ok() {
                self.link.keep_connection();
            }
        }
    }

    /// The provider broke off. Before content the error goes up, for the next attempt; after it the
    /// client gets a last event in its own format.
    fn break_off(&self, error: Box<Error>, out: &mut Vec<HttpTask>) -> Result<()> {
        let now = self.link.now();
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

/// The bytes of a body that a task carries.
fn body_bytes(task: &HttpTask) -> usize {
    match task {
        HttpTask::Body(Some(bytes), _) => bytes.len(),
        HttpTask::Header(..)
        | HttpTask::Body(None, _)
        | HttpTask::UpgradedBody(..)
        | HttpTask::Trailer(_)
        | HttpTask::Done
        | HttpTask::Failed(_) => 0,
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
            let now = link.now();
            link.with_exchange(|exchange| exchange.fail(failure, now));
            Error::explain(ErrorType::Custom("AttemptFailed"), failure.name())
        }
        Stop::Refused(refusal) => reply::refusal_error(*refusal),
        Stop::Unsettled => reply::refusal_error(reply::unsettled()),
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let real = std::mem::replace(&mut self.real, Box::new(ServerSession::new_custom(Box::new(()))));
        self.link.leave_timer(self.patience.take_timer());
        self.link.leave_session(real);
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
        // Pingora has no way to tell a wrapped session; what we write ourselves names the connection only to end it.
        if resp.headers.contains_key(CONNECTION) {
            self.real.set_keepalive(None);
        }
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

    fn response_duplex_vec<'a, 'b>(&'a mut self, tasks: Vec<HttpTask>) -> BoxFuture<'b, Result<bool>>
    where
        'a: 'b,
        Self: 'b,
    {
        let is_plain = !self.is_holding() || (self.head.is_none() && tasks.iter().all(is_plain_body));
        if is_plain {
            return self.write(tasks);
        }
        match self.release(tasks) {
            Ok(released) if released.is_empty() => Box::pin(ready(Ok(false))),
            Ok(released) => self.write(released),
            Err(error) => Box::pin(ready(Err(error))),
        }
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

    fn read_body_or_idle<'a, 'b>(&'a mut self, no_body_expected: bool) -> BoxFuture<'b, Result<Option<Bytes>>>
    where
        'a: 'b,
        Self: 'b,
    {
        if self.is_holding() { Box::pin(self.idle()) } else { Box::pin(self.real.read_body_or_idle(no_body_expected)) }
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
        self.link.outgoing()
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
