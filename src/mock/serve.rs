//! The mock on a socket: HTTP/1.1 with keep-alive, waiting and breaking as the options say.
//!
//! Must not know what is said: `answer` does. It listens on loopback only and asks for the secret that `boot` made up,
//! because test keys of customers are answered here too.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use pingora::Result;
use pingora::apps::{HttpPersistentSettings, HttpServerApp, ReusedHttpStream, ServerApp};
use pingora::http::ResponseHeader;
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::protocols::l4::stream::Stream as L4Stream;
use pingora::server::ShutdownWatch;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::answer::{self, Reply, ReplyBody};
use super::{Fault, MockOptions};
use crate::base::secret::Secret;
use crate::base::wire_format::WireFormat;

/// Longest wait for one read or write of a client.
const SOCKET_WAIT: Duration = Duration::from_mins(1);
/// Longest silence of the faults that hang.
const HANG_MAX: Duration = Duration::from_mins(10);
/// Connections at once; further ones wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 16_384;
/// Wait after a failed `accept`, which fails when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The mock provider as an HTTP service.
#[derive(Debug)]
pub struct MockService {
    options: MockOptions,
    secret: Secret,
    /// Answers so far, for `fault_every`.
    asked: AtomicU64,
}

/// How writing an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Complete,
    /// On purpose: the connection must close without its proper end.
    Broken,
}

/// What a path stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Answer(WireFormat),
    Models,
    Unknown,
}

impl MockService {
    /// A service that answers those who bring `secret` as bearer or `x-api-key`.
    pub fn new(options: MockOptions, secret: Secret) -> Self {
        Self { options, secret, asked: AtomicU64::new(0) }
    }

    /// Accepts on a listener that is already bound, so that its port is known, until shutdown.
    ///
    /// # Errors
    /// When the listener cannot be used by the runtime.
    pub async fn accept(self: Arc<Self>, listener: TcpListener, mut shutdown: ShutdownWatch) -> std::io::Result<()> {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        // Dropping the set ends what is still open.
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => accepted,
                Some(_) = connections.join_next() => continue,
                _ = shutdown.changed() => return Ok(()),
            };
            let Ok((socket, _)) = accepted else {
                sleep(ACCEPT_PAUSE).await;
                continue;
            };
            // Small frames must leave at once.
            if socket.set_nodelay(true).is_err() {
                continue;
            }
            let (service, shutdown) = (Arc::clone(&self), shutdown.clone());
            connections.spawn(async move {
                let stream: Stream = Box::new(L4Stream::from(socket));
                let _ = service.process_new(stream, &shutdown).await;
            });
        }
    }

    async fn respond(&self, http: &mut ServerSession) -> Result<Sent> {
        let route = route_of(http.req_header().uri.path());
        let format = dialect(http, route);
        if !self.is_authorised(http) {
            return send(http, answer::error(format, 401)).await;
        }
        let is_post = http.req_header().method == "POST";
        match route {
            Route::Answer(format) if is_post => self.converse(http, format).await,
            Route::Answer(_) => send(http, answer::error(format, 405)).await,
            Route::Models => send(http, models(format)).await,
            Route::Unknown => send(http, answer::error(format, 404)).await,
        }
    }

    fn is_authorised(&self, http: &ServerSession) -> bool {
        let secret = self.secret.expose().as_bytes();
        let bearer = http.get_header_bytes("authorization").strip_prefix(b"Bearer ");
        bearer == Some(secret) || (!secret.is_empty() && http.get_header_bytes("x-api-key") == secret)
    }

    async fn converse(&self, http: &mut ServerSession, format: WireFormat) -> Result<Sent> {
        let Some(mut options) = self.options_for(http) else {
            return send(http, answer::error(format, 400)).await;
        };
        let Some(body) = read_body(http, options.body_bytes_max).await? else {
            http.set_keepalive(None);
            return send(http, answer::error(format, 413)).await;
        };
        let number = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        if !number.is_multiple_of(options.fault_every.max(1)) {
            options.fault = Fault::None;
        }
        wait(options.latency_ms).await;
        match (options.fault, answer::reply(format, &body, &options)) {
            (Fault::Reset, _) => Ok(Sent::Broken),
            (Fault::Hang, _) | (Fault::HangMidStream, Reply { body: ReplyBody::Whole(_), .. }) => hang(http).await,
            (Fault::CutBody | Fault::ErrorMidStream, reply @ Reply { status: 200, body: ReplyBody::Whole(_), .. }) => {
                send_half(http, reply).await
            }
            (_, Reply { status, content_type, body: ReplyBody::Frames(frames) }) => {
                write_head(http, status, content_type, None).await?;
                stream(http, frames, &options).await
            }
            (_, reply) => send(http, reply).await,
        }
    }

    /// The options of this request; `None` where its header is not understood.
    fn options_for(&self, http: &ServerSession) -> Option<MockOptions> {
        let options = self.options.clone();
        match http.get_header("x-flux-mock") {
            Some(pairs) if options.allow_header => options.with(pairs.to_str().ok()?).ok(),
            Some(_) | None => Some(options),
        }
    }
}

#[async_trait]
impl HttpServerApp for MockService {
    async fn process_new_http(
        self: &Arc<Self>,
        mut http: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        http.set_read_timeout(Some(SOCKET_WAIT));
        http.set_write_timeout(Some(SOCKET_WAIT));
        if !http.read_request().await.ok()? {
            return None;
        }
        let keepalive = if *shutdown.borrow() { None } else { Some(SOCKET_WAIT.as_secs()) };
        http.set_keepalive(keepalive);
        if self.respond(&mut http).await.ok()? == Sent::Broken {
            return None;
        }
        let settings = HttpPersistentSettings::for_session(&http);
        let reusable = http.finish().await.ok()??;
        Some(ReusedHttpStream::from_reusable_stream(reusable, settings))
    }
}

fn route_of(path: &str) -> Route {
    match path {
        "/v1/chat/completions" => Route::Answer(WireFormat::OpenaiChat),
        "/v1/messages" => Route::Answer(WireFormat::AnthropicMessages),
        "/v1/embeddings" => Route::Answer(WireFormat::OpenaiEmbeddings),
        "/v1/images/generations" => Route::Answer(WireFormat::OpenaiImages),
        "/v1/images/edits" => Route::Answer(WireFormat::OpenaiImageEdits),
        "/v1/audio/transcriptions" => Route::Answer(WireFormat::OpenaiTranscriptions),
        "/v1/audio/speech" => Route::Answer(WireFormat::OpenaiSpeech),
        "/v1/models" => Route::Models,
        _ => Route::Unknown,
    }
}

/// Whose errors and lists the client expects.
fn dialect(http: &ServerSession, route: Route) -> WireFormat {
    match route {
        Route::Answer(format) => format,
        Route::Models | Route::Unknown if http.get_header("anthropic-version").is_some() => {
            WireFormat::AnthropicMessages
        }
        Route::Models | Route::Unknown => WireFormat::OpenaiChat,
    }
}

fn models(format: WireFormat) -> Reply {
    let list = match format {
        WireFormat::AnthropicMessages => json!({
            "data": [{"type": "model", "id": "mock", "display_name": "Mock", "created_at": "2026-01-01T00:00:00Z"}],
            "has_more": false, "first_id": "mock", "last_id": "mock",
        }),
        WireFormat::OpenaiChat
        | WireFormat::OpenaiResponses
        | WireFormat::OpenaiImages
        | WireFormat::GeminiGenerate
        | WireFormat::BedrockConverse
        | WireFormat::OpenaiEmbeddings
        | WireFormat::OpenaiImageEdits
        | WireFormat::OpenaiTranscriptions
        | WireFormat::OpenaiSpeech => {
            json!({"object": "list", "data": [{"id": "mock", "object": "model", "created": 0, "owned_by": "flux"}]})
        }
    };
    let body = ReplyBody::Whole(Bytes::from(list.to_string()));
    Reply { status: 200, content_type: "application/json", body }
}

/// The whole body; `None` past the cap.
async fn read_body(http: &mut ServerSession, bytes_max: usize) -> Result<Option<Bytes>> {
    if http.get_header_bytes("expect").eq_ignore_ascii_case(b"100-continue") {
        http.write_continue_response().await?;
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = http.read_request_body().await? {
        if body.len() + chunk.len() > bytes_max {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body.freeze()))
}

async fn send(http: &mut ServerSession, reply: Reply) -> Result<Sent> {
    let Reply { status, content_type, body } = reply;
    let body = match body {
        ReplyBody::Whole(body) => body,
        ReplyBody::Frames(frames) => Bytes::from(frames.concat()),
    };
    write_head(http, status, content_type, Some(body.len())).await?;
    finish_with(http, body).await
}

async fn finish_with(http: &mut ServerSession, last: Bytes) -> Result<Sent> {
    const END: bool = true;
    http.write_response_body(last, END).await?;
    Ok(Sent::Complete)
}

async fn write_some(http: &mut ServerSession, bytes: Bytes) -> Result<()> {
    const MORE: bool = false;
    http.write_response_body(bytes, MORE).await
}

/// Promises the whole body and sends half of it.
async fn send_half(http: &mut ServerSession, reply: Reply) -> Result<Sent> {
    if let ReplyBody::Whole(body) = reply.body {
        write_head(http, reply.status, reply.content_type, Some(body.len())).await?;
        write_some(http, body.slice(..body.len() / 2)).await?;
    }
    Ok(Sent::Broken)
}

async fn stream(http: &mut ServerSession, frames: Vec<Bytes>, options: &MockOptions) -> Result<Sent> {
    let half = frames.len() / 2;
    for (at, frame) in frames.into_iter().enumerate() {
        if at == half && options.fault == Fault::CutBody {
            return Ok(Sent::Broken);
        }
        if at == half && options.fault == Fault::HangMidStream {
            return hang(http).await;
        }
        if at > 0 {
            wait(options.delay_ms).await;
        }
        write_some(http, frame).await?;
    }
    finish_with(http, Bytes::new()).await
}

/// A length makes it a plain body, none makes it chunks.
async fn write_head(
    http: &mut ServerSession,
    status: u16,
    content_type: &'static str,
    length: Option<usize>,
) -> Result<()> {
    let mut head = ResponseHeader::build(status, Some(6))?;
    head.insert_header("content-type", content_type)?;
    head.insert_header("x-request-id", "req_mock")?;
    head.insert_header("request-id", "req_mock")?;
    match length {
        Some(length) => head.insert_header("content-length", length.to_string())?,
        None => head.insert_header("transfer-encoding", "chunked")?,
    }
    if status == 429 {
        head.insert_header("retry-after", "1")?;
    }
    http.write_response_header(Box::new(head)).await
}

/// Says nothing until the client leaves.
async fn hang(http: &mut ServerSession) -> Result<Sent> {
    const NO_BODY_EXPECTED: bool = true;
    let _ = timeout(HANG_MAX, http.read_body_or_idle(NO_BODY_EXPECTED)).await;
    Ok(Sent::Broken)
}

async fn wait(milliseconds: u64) {
    if milliseconds > 0 {
        sleep(Duration::from_millis(milliseconds)).await;
    }
}

#[cfg(test)]
#[path = "serve_tests.rs"]
mod tests;
