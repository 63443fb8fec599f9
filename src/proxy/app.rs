//! Connections: each request's head under a total deadline, then Pingora's proxy.
//!
//! Pingora bounds the time of one read, not of a whole head: a byte a minute would hold a connection
//! for ever. So the head is read here, and the session goes on wrapped. Must not look into a request.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use http::header::TRANSFER_ENCODING;
use pingora::apps::{HttpPersistentSettings, HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora::protocols::{ALPN, Stream};
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;
use pingora::time::timeout;
use pingora::{Error, ErrorType};

use super::deadline::{Deadline, Timer, TooLate};
use super::held::Held;
use super::link::Link;
use super::{Flux, reply};
use crate::base::refusal::{Refusal, RefusalKind};
use crate::base::time::Clock;
use crate::exchange::snapshot::Snapshot;

/// An HTTP/2 window that lets a body of some megabytes come in without a round trip every 64 KiB.
const H2_STREAM_WINDOW_BYTES: u32 = 1 << 20;
const H2_CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// Pingora's own bounds on a head: header lines, bytes, and bytes of the target.
const HEADERS_MAX: usize = 256;
const HEAD_BYTES_READ_MAX: usize = 1_048_575;
const TARGET_BYTES_MAX: usize = 65_534;

/// Left on a connection by the request before.
pub(super) struct KeptAlive;

/// The first bytes of a connection, by which HTTP/2 without TLS is known.
const H2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The public service. Bounds the time until the first bytes of a connection; Pingora waits for as many as
/// the HTTP/2 preface has, without an end, before it looks at anything.
pub(crate) struct Front(Arc<App>);

impl Front {
    pub(crate) fn new(app: App) -> Self {
        Self(Arc::new(app))
    }
}

#[async_trait]
impl ServerApp for Front {
    /// Goes on in a task of its own: the one that accepted has room for a TLS handshake, nine kilobytes that
    /// every open stream would keep.
    #[expect(clippy::disallowed_methods, reason = "takes the place of the task that accepted, which ends here")]
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        tokio::spawn(Arc::clone(&self.0).serve(stream, shutdown.clone()));
        None
    }

    async fn cleanup(&self) {
        self.0.proxy.http_cleanup().await;
    }
}

/// HTTP on one connection.
pub(crate) struct App {
    proxy: Arc<HttpProxy<Flux>>,
    snapshot: Arc<ArcSwap<Snapshot>>,
    clock: Arc<dyn Clock>,
    options: HttpServerOptions,
    /// Connections whose first request is not answered yet.
    fresh: Arc<AtomicUsize>,
}

/// A connection whose first request is not answered yet: it was let in, and must not be sent away by a process that ends.
struct Fresh(Arc<AtomicUsize>);

impl Fresh {
    fn count(counted: &Arc<AtomicUsize>) -> Self {
        counted.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(counted))
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl App {
    pub(crate) fn new(proxy: HttpProxy<Flux>, snapshot: Arc<ArcSwap<Snapshot>>, clock: Arc<dyn Clock>) -> Self {
        let mut options = HttpServerOptions::default();
        options.h2c = true;
        options.h2_idle_timeout = Some(snapshot.load().config.timeouts.downstream_keepalive);
        Self { proxy: Arc::new(proxy), snapshot, clock, options, fresh: Arc::default() }
    }

    /// How many connections have been let in whose first request is not answered yet.
    pub(crate) fn fresh(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.fresh)
    }

    /// Serves a connection to its end.
    async fn serve(self: Arc<Self>, stream: Stream, shutdown: ShutdownWatch) {
        let fresh = Fresh::count(&self.fresh);
        let Some((stream, is_http1)) = self.tell_version(stream).await else { return };
        if !is_http1 {
            // Boxed: what this future has room for, every open stream of HTTP/1 keeps.
            return Box::pin(Http2::serve(self, stream, shutdown, fresh)).await;
        }
        let mut fresh = Some(fresh);
        let (mut deadline, mut timer) = (Deadline::default(), None);
        let mut next = Some((stream, None));
        while let Some((stream, settings)) = next {
            let mut session = Box::new(ServerSession::new_http1(stream));
            if let Some(settings) = settings {
                HttpPersistentSettings::apply_to_session(settings, &mut session);
            }
            if self.read_head(&mut session, &mut deadline, &shutdown).await.is_none() {
                return;
            }
            if let Some(refusal) = self.judge_head(&session) {
                // The client may be gone already; the connection ends either way. Boxed, as all that is
                // rare: what this future has room for, every open stream keeps.
                let _ = Box::pin(reply::refuse_unread(&mut session, &refusal)).await;
                return;
            }
            next = self.serve_one(session, &shutdown, &mut timer).await.map(ReusedHttpStream::consume);
            drop(fresh.take());
        }
    }

    /// Whether HTTP/1 is spoken. `None` when the connection is to be closed.
    async fn tell_version(&self, mut stream: Stream) -> Option<(Stream, bool)> {
        if stream.get_ssl_digest().is_some() {
            let is_http1 = matches!(stream.selected_alpn_proto(), None | Some(ALPN::H1));
            return Some((stream, is_http1));
        }
        let within = self.snapshot.load().config.timeouts.head;
        let mut first = [0; H2_PREFACE.len()];
        let was_peeked = timeout(within, stream.try_peek(&mut first)).await.ok()?.ok()?;
        Some((stream, was_peeked && first != *H2_PREFACE))
    }

    /// Serves one request whose head has been read.
    async fn serve_one(
        &self,
        mut session: Box<ServerSession>,
        shutdown: &ShutdownWatch,
        timer: &mut Option<Timer>,
    ) -> Option<ReusedHttpStream> {
        let link = Link::new(Arc::clone(&self.clock));
        session.req_header_mut().extensions_mut().insert(Arc::clone(&link));
        let reused = self.proxy.process_new_http(Held::wrap(session, Arc::clone(&link), timer.take()), shutdown).await;
        *timer = link.take_timer();
        if reused.is_some() { reused } else { Box::pin(kept_by(&link)).await }
    }

    /// Reads the head of an HTTP/1 request. `None` when the connection is to be closed.
    async fn read_head(
        &self,
        session: &mut ServerSession,
        deadline: &mut Deadline,
        shutdown: &ShutdownWatch,
    ) -> Option<()> {
        let mut shutdown = shutdown.clone();
        let is_kept_alive = session.take_connection_user_context().is_some();
        let (keepalive, head, write) = {
            let timeouts = &self.snapshot.load().config.timeouts;
            (timeouts.downstream_keepalive, timeouts.head, timeouts.downstream_write)
        };
        let is_stopping = *shutdown.borrow_and_update();
        // The connection is kept without a bound of Pingora's: ours holds for the wait and the head together.
        session.set_keepalive((!is_stopping).then_some(0));
        session.set_write_timeout(Some(write));
        // `100 Continue` goes out before the body is in, and must not end the connection.
        session.set_close_on_response_before_downstream_finish(false);
        // A process that ends serves whom it has let in or promised to keep; it waits no longer than for a head.
        let within = if is_kept_alive && !is_stopping { keepalive + head } else { head };
        let read = tokio::select! {
            biased;
            read = deadline.bound(within, &*self.clock, session.read_request()) => read,
            _ = shutdown.changed(), if is_kept_alive => return None,
        };
        let refusal = match read {
            Ok(Ok(true)) => return Some(()),
            Ok(Ok(false)) => return None,
            Ok(Err(error)) => unreadable(&error)?,
            Err(TooLate) if is_kept_alive => return None,
            Err(TooLate) => Refusal::new(RefusalKind::RequestTimeout, "the request head came in too slowly"),
        };
        // The client may be gone already; the connection ends either way.
        let _ = Box::pin(reply::refuse_unread(session, &refusal)).await;
        session.shutdown().await;
        None
    }

    /// Refuses what Pingora would pass or answer in its own words: a head that is too large, CONNECT, two framings, and
    /// a `#` that the parsed target has lost.
    fn judge_head(&self, session: &ServerSession) -> Option<Refusal> {
        let raw = session.to_h1_raw();
        let bytes_max = self.snapshot.load().config.limits.header_bytes_max;
        if raw.len() > bytes_max {
            let message = format!("the request head is larger than {bytes_max} bytes; send fewer or shorter headers");
            return Some(Refusal::new(RefusalKind::HeadTooLarge, message));
        }
        if session.req_header().method == http::Method::CONNECT {
            return Some(Refusal::new(RefusalKind::MethodNotAllowed("GET, POST"), "CONNECT is not served here"));
        }
        if has_two_framings(session, &raw) {
            let message = "a body has either a content-length or a transfer-encoding, not both";
            return Some(Refusal::new(RefusalKind::InvalidRequest, message));
        }
        let line_end = memchr::memchr(b'\n', &raw).unwrap_or(raw.len());
        let line = raw.get(..line_end).unwrap_or_default();
        memchr::memchr(b'#', line)
            .is_some()
            .then(|| Refusal::new(RefusalKind::InvalidRequest, "a request target has no fragment; leave out `#`"))
    }
}

/// The connection of a request that failed and was answered whole.
async fn kept_by(link: &Link) -> Option<ReusedHttpStream> {
    let real = link.keeps_connection().then(|| link.take_session()).flatten()?;
    let mut settings = HttpPersistentSettings::for_session(&real);
    settings.set_user_context(Box::new(KeptAlive));
    let stream = real.finish().await.ok().flatten()?;
    Some(ReusedHttpStream::from_reusable_stream(stream, settings))
}

/// A head that is no HTTP, or more of it than Pingora reads, gets an answer; a connection that broke gets none.
fn unreadable(error: &Error) -> Option<Refusal> {
    if error.etype != ErrorType::InvalidHTTPHeader {
        return None;
    }
    let too_large = |message: String| Some(Refusal::new(RefusalKind::HeadTooLarge, message));
    // Pingora tells these three in words only.
    let cause = error.cause.as_ref().map(ToString::to_string).unwrap_or_default();
    let context = error.context.as_ref().map_or("", |context| context.as_str());
    if cause == "too many headers" {
        return too_large(format!("the request head has more than {HEADERS_MAX} headers; send fewer"));
    }
    if context.starts_with("Request header larger than") {
        return too_large(format!("the request head is larger than {HEAD_BYTES_READ_MAX} bytes; send less"));
    }
    if context.len() > TARGET_BYTES_MAX {
        return too_large(format!("the request target is longer than {TARGET_BYTES_MAX} bytes"));
    }
    Some(Refusal::new(RefusalKind::InvalidRequest, "the request head is not valid HTTP"))
}

/// Whether a head has both a length and a transfer encoding. Pingora drops the length and ends keep-alive, so
/// only the raw head shows it.
fn has_two_framings(session: &ServerSession, raw: &[u8]) -> bool {
    const LENGTH: &[u8] = b"content-length";
    let is_length = |line: &[u8]| line.get(..LENGTH.len()).is_some_and(|name| name.eq_ignore_ascii_case(LENGTH));
    session.get_keepalive().is_none()
        && session.req_header().headers.contains_key(TRANSFER_ENCODING)
        && raw.split(|byte| *byte == b'\n').any(is_length)
}

/// HTTP/2 on one connection.
struct Http2 {
    app: Arc<App>,
    /// Until the first request is answered. Locked a few times a request, by the tasks of one connection.
    fresh: Mutex<Option<Fresh>>,
}

impl Http2 {
    /// Serves the connection to its end. A process that ends waits for its first request, no longer than for a head.
    async fn serve(app: Arc<App>, stream: Stream, shutdown: ShutdownWatch, fresh: Fresh) {
        let within = app.snapshot.load().config.timeouts.head;
        let connection = Arc::new(Self { app, fresh: Mutex::new(Some(fresh)) });
        let mut served = connection.process_new(stream, &shutdown);
        if timeout(within, served.as_mut()).await.is_err() {
            connection.let_go();
            served.await;
        }
    }

    /// Nothing is owed to this connection for having been let in.
    fn let_go(&self) {
        drop(self.fresh.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

#[async_trait]
impl HttpServerApp for Http2 {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let reused = self.app.serve_one(Box::new(session), shutdown, &mut None).await;
        self.let_go();
        reused
    }

    fn h2_options(&self) -> Option<H2Options> {
        let mut options = default_h2_options();
        options.initial_window_size(H2_STREAM_WINDOW_BYTES);
        options.initial_connection_window_size(H2_CONNECTION_WINDOW_BYTES);
        let bytes_max = self.app.snapshot.load().config.limits.header_bytes_max;
        options.max_header_list_size(u32::try_from(bytes_max).unwrap_or(u32::MAX));
        Some(options)
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.app.options)
    }
}
