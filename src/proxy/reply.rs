//! Heads and refusals on the downstream socket, in the caller's wire format.
//!
//! Must not know why something is refused. Nothing else writes a status to a client.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderMap, HeaderName, HeaderValue,
    RETRY_AFTER, TRANSFER_ENCODING,
};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::time::timeout;
use pingora::{Error, ErrorType, Result};

use crate::api::Answer;
use crate::base::ids::RequestId;
use crate::base::money::NanoUsd;
use crate::base::outcome::AutoChoice;
use crate::base::refusal::{Refusal, RefusalKind};
use crate::base::time::UnixMs;
use crate::base::wire_format::WireFormat;
use crate::catalog::{Chain, ChainKind, Target};
use crate::exchange::{Exchange, Routing};
use crate::wire;

use super::limits;

/// Of the provider's head only these pass on; the rest speaks of the provider's account, not of the
/// client's.
const PASSED_ON: [HeaderName; 2] =
    [HeaderName::from_static("openai-processing-ms"), HeaderName::from_static("openai-version")];

/// A refused client that pauses for so long while it sends has stopped.
const LINGER_PAUSE: Duration = Duration::from_secs(5);

/// A refused body of so many bytes at most is read before the answer goes out, if it comes within this time.
const SHORT_BODY_BYTES_MAX: u64 = 64 << 10;
const SHORT_BODY_WAIT: Duration = Duration::from_millis(100);

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
const X_SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
const X_FLUX_REQUEST_ID: HeaderName = HeaderName::from_static("x-flux-request-id");
const X_FLUX_MODEL: HeaderName = HeaderName::from_static("x-flux-model");
const X_FLUX_ORIGINAL_MODEL: HeaderName = HeaderName::from_static("x-flux-original-model");
const X_FLUX_ROUTED: HeaderName = HeaderName::from_static("x-flux-routed");
const X_FLUX_LANE: HeaderName = HeaderName::from_static("x-flux-lane");
const X_FLUX_PROVIDER: HeaderName = HeaderName::from_static("x-flux-provider");
const X_FLUX_ATTEMPTS: HeaderName = HeaderName::from_static("x-flux-attempts");
const X_FLUX_ESTIMATED: HeaderName = HeaderName::from_static("x-flux-estimated");
const X_FLUX_IGNORED: HeaderName = HeaderName::from_static("x-flux-ignored");
const X_FLUX_NEXT_CURSOR: HeaderName = HeaderName::from_static("x-flux-next-cursor");
const X_FLUX_SCORE: HeaderName = HeaderName::from_static("x-flux-score");
const X_FLUX_ROUTE_REASON: HeaderName = HeaderName::from_static("x-flux-route-reason");
const X_FLUX_COST_USD: HeaderName = HeaderName::from_static("x-flux-cost-usd");

const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Stands in the place of a lane's name for a model that was asked for itself.
const NO_LANE: &str = "pinned";

/// How nearly every answer is come by.
const FIRST_ATTEMPT: u8 = 1;

/// Whom a refusal is written for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub(crate) id: RequestId,
    pub(crate) format: WireFormat,
    /// When it asked.
    pub(crate) at: UnixMs,
    /// For how long the rest of its body is read and dropped after a refusal.
    pub(crate) linger: Duration,
}

/// The head of an answer, built from an allow-list of the provider's. The cost and the length of a
/// whole answer are added by [`finish_head`].
pub(crate) fn answer_head(provider: &ResponseHeader, exchange: &Exchange) -> Result<ResponseHeader> {
    let (target, chain) = (exchange.target().ok_or_else(internal)?, exchange.chain());
    let is_stream = exchange.answers_as_stream();
    let ready = target.ready.get_or_make(|| ReadyHeaders::new(chain, target));
    let mut headers = match ready.filter(|ready| Arc::ptr_eq(&ready.chain, &chain.name)) {
        Some(ready) => ready.of(is_stream).clone(),
        None => ReadyHeaders::new(chain, target).of(is_stream).clone(),
    };
    for name in PASSED_ON {
        if let Some(value) = provider.headers.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    if !is_stream {
        if let Some(content_type) = provider.headers.get(CONTENT_TYPE).filter(|value| **value != JSON) {
            headers.insert(CONTENT_TYPE, content_type.clone());
        }
        match provider.headers.get(CONTENT_LENGTH) {
            Some(length) => headers.insert(CONTENT_LENGTH, length.clone()),
            None => headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked")),
        };
    }
    if exchange.attempts_made() != FIRST_ATTEMPT {
        headers.insert(X_FLUX_ATTEMPTS, HeaderValue::from(u16::from(exchange.attempts_made())));
    }
    if **exchange.original() != *chain.name {
        match HeaderValue::from_str(exchange.original()) {
            Ok(original) => headers.insert(X_FLUX_ORIGINAL_MODEL, original),
            Err(_) => headers.remove(X_FLUX_ORIGINAL_MODEL),
        };
    }
    if let Some(auto) = exchange.auto() {
        put_auto(&mut headers, auto);
    }
    limits::put(&mut headers, exchange);
    let id = id_value(exchange.arrival().id)?;
    if exchange.arrival().format == WireFormat::AnthropicMessages {
        headers.insert(REQUEST_ID, id.clone());
    }
    headers.insert(X_REQUEST_ID, id.clone());
    headers.insert(X_FLUX_REQUEST_ID, id);
    let (mut head, ()) = http::Response::new(()).into_parts();
    head.headers = headers;
    Ok(ResponseHeader::from(head))
}

/// The head of a stream that has nothing to say yet: no model has answered.
pub(crate) fn early_head(exchange: &Exchange) -> Result<ResponseHeader> {
    let mut head = ResponseHeader::build_no_case(200, Some(12))?;
    head.insert_header(CONTENT_TYPE, EVENT_STREAM)?;
    head.insert_header(CACHE_CONTROL, HeaderValue::from_static("no-cache"))?;
    head.insert_header(TRANSFER_ENCODING, HeaderValue::from_static("chunked"))?;
    put_ids(&mut head, exchange.arrival().id, exchange.arrival().format)?;
    let (model, provider) = (Arc::from(""), Arc::from(""));
    put_routing(&mut head, &Routing { model, provider, ..exchange.routing() })?;
    // Nobody knows yet how many it takes.
    head.remove_header(&X_FLUX_ATTEMPTS);
    Ok(head)
}

/// What is the same in all answers of one target, whole or streamed.
struct ReadyHeaders {
    /// The name of the chain that the target belongs to.
    chain: Arc<str>,
    whole: HeaderMap,
    events: HeaderMap,
}

impl ReadyHeaders {
    fn new(chain: &Chain, target: &Target) -> Self {
        const HEADERS_EXPECTED: usize = 16;
        let is_lane = chain.kind == ChainKind::Lane;
        let mut whole = HeaderMap::with_capacity(HEADERS_EXPECTED);
        whole.insert(CONTENT_TYPE, JSON);
        put_name(&mut whole, X_FLUX_MODEL, &target.model.canonical);
        put_name(&mut whole, X_FLUX_ORIGINAL_MODEL, &chain.name);
        put_name(&mut whole, X_FLUX_PROVIDER, &target.provider.id);
        put_name(&mut whole, X_FLUX_LANE, if is_lane { &chain.name } else { NO_LANE });
        whole.insert(X_FLUX_ROUTED, said(is_lane));
        whole.insert(X_FLUX_ATTEMPTS, HeaderValue::from(u16::from(FIRST_ATTEMPT)));
        let mut events = whole.clone();
        events.insert(CONTENT_TYPE, EVENT_STREAM);
        events.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        events.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        Self { chain: Arc::clone(&chain.name), whole, events }
    }

    fn of(&self, is_stream: bool) -> &HeaderMap {
        if is_stream { &self.events } else { &self.whole }
    }
}

/// Says why `flux-auto` chose the lane.
fn put_auto(headers: &mut HeaderMap, auto: &AutoChoice) {
    put_name(headers, X_FLUX_SCORE, &auto.score());
    put_name(headers, X_FLUX_ROUTE_REASON, &auto.reason);
}

/// Puts a name where there is one and it can stand in a header.
fn put_name(headers: &mut HeaderMap, header: HeaderName, name: &str) {
    if let (false, Ok(value)) = (name.is_empty(), HeaderValue::from_str(name)) {
        headers.insert(header, value);
    }
}

fn said(is_so: bool) -> HeaderValue {
    HeaderValue::from_static(if is_so { "true" } else { "false" })
}

/// Adds what is known only when the head goes out: the cost and the length of a whole answer.
pub(crate) fn finish_head(head: &mut ResponseHeader, exchange: &mut Exchange, body_bytes: usize) -> Result<()> {
    put_ignored(head, exchange.ignored())?;
    if !exchange.is_complete() || head.headers.get(CONTENT_TYPE) == Some(&EVENT_STREAM) {
        return Ok(());
    }
    // Mostly the provider has said it already.
    let stated = head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if stated != Some(body_bytes) {
        head.remove_header(&TRANSFER_ENCODING);
        head.insert_header(CONTENT_LENGTH, HeaderValue::from(body_bytes))?;
    }
    match exchange.amount() {
        Some(amount) => head.insert_header(X_FLUX_COST_USD, amount.to_string()),
        None => Ok(()),
    }
}

#[expect(clippy::unnecessary_box_returns, reason = "Pingora's phases return boxed errors")]
fn internal() -> Box<Error> {
    Error::new_in(ErrorType::InternalError)
}

fn id_value(id: RequestId) -> Result<HeaderValue> {
    HeaderValue::from_bytes(&id.to_ascii()).map_err(|_| internal())
}

/// Names what the provider was not told. The names are the client's, so that the list is bounded.
fn put_ignored(head: &mut ResponseHeader, ignored: &[Cow<'static, str>]) -> Result<()> {
    const NAMES_MAX: usize = 16;
    let is_name =
        |name: &&Cow<'static, str>| name.len() <= 128 && name.bytes().all(|b| b.is_ascii_graphic() && b != b',');
    let names: Vec<&str> = ignored.iter().filter(is_name).take(NAMES_MAX).map(AsRef::as_ref).collect();
    if names.is_empty() { Ok(()) } else { head.insert_header(X_FLUX_IGNORED, names.join(", ")) }
}

fn put_ids(head: &mut ResponseHeader, id: RequestId, format: WireFormat) -> Result<()> {
    let value = id_value(id)?;
    if format == WireFormat::AnthropicMessages {
        head.insert_header(REQUEST_ID, value.clone())?;
    }
    head.insert_header(X_REQUEST_ID, value.clone())?;
    head.insert_header(X_FLUX_REQUEST_ID, value)
}

fn put_routing(head: &mut ResponseHeader, routing: &Routing) -> Result<()> {
    for (name, value) in [
        (X_FLUX_MODEL, &routing.model),
        (X_FLUX_ORIGINAL_MODEL, &routing.original),
        (X_FLUX_PROVIDER, &routing.provider),
    ] {
        if let (false, Ok(value)) = (value.is_empty(), HeaderValue::from_str(value)) {
            head.insert_header(name, value)?;
        }
    }
    if let Some(auto) = &routing.auto {
        head.insert_header(X_FLUX_SCORE, auto.score())?;
        if let Ok(reason) = HeaderValue::from_str(&auto.reason) {
            head.insert_header(X_FLUX_ROUTE_REASON, reason)?;
        }
    }
    let lane = if routing.lane.is_empty() { NO_LANE } else { &*routing.lane };
    head.insert_header(X_FLUX_LANE, lane)?;
    head.insert_header(X_FLUX_ROUTED, said(routing.was_routed))?;
    head.insert_header(X_FLUX_ATTEMPTS, HeaderValue::from(u16::from(routing.attempts)))
}

/// Writes a refusal in the caller's format. Nothing may have been written before.
pub(crate) async fn refuse(
    session: &mut ServerSession,
    refusal: &Refusal,
    caller: Caller,
    routing: Option<&Routing>,
) -> Result<()> {
    let body = wire::refusal::body(refusal, caller.format, caller.id);
    let mut head = ResponseHeader::build_no_case(wire::refusal::status(refusal, caller.format), Some(12))?;
    put_ids(&mut head, caller.id, caller.format)?;
    if let Some(routing) = routing {
        put_routing(&mut head, routing)?;
        // What is refused is not charged.
        head.insert_header(X_FLUX_COST_USD, NanoUsd::ZERO.to_string())?;
    }
    head.insert_header(X_SHOULD_RETRY, said(refusal.is_worth_a_retry()))?;
    if let Some(wait) = refusal.retry_after {
        head.insert_header(RETRY_AFTER, HeaderValue::from(whole_seconds(wait)))?;
    }
    limits::put_refused(&mut head, refusal, caller);
    if let RefusalKind::MethodNotAllowed(allowed) = refusal.kind {
        head.insert_header(ALLOW, HeaderValue::from_static(allowed))?;
    }
    write(session, head, body, caller).await
}

/// Rounded up: who comes back a moment early is turned away again.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// Writes a refusal as the last event of a stream whose head has gone out.
pub(crate) async fn refuse_in_stream(session: &mut ServerSession, refusal: &Refusal, caller: Caller) -> Result<()> {
    let event = wire::refusal::stream_event(refusal, caller.format, caller.id);
    session.write_response_body(event, true).await?;
    session.finish_body().await
}

/// Writes a refusal to a client whose head could not be read, and ends the connection.
pub(crate) async fn refuse_unread(session: &mut ServerSession, refusal: &Refusal) -> Result<()> {
    let body = wire::refusal::body(refusal, WireFormat::OpenaiChat, RequestId(0));
    let mut head = ResponseHeader::build_no_case(refusal.status(), Some(3))?;
    head.insert_header(CONTENT_TYPE, JSON)?;
    head.insert_header(CONTENT_LENGTH, HeaderValue::from(body.len()))?;
    head.insert_header(CONNECTION, HeaderValue::from_static("close"))?;
    if let RefusalKind::MethodNotAllowed(allowed) = refusal.kind {
        head.insert_header(ALLOW, HeaderValue::from_static(allowed))?;
    }
    session.set_keepalive(None);
    session.write_response_header(Box::new(head)).await?;
    session.write_response_body(body, true).await?;
    session.finish_body().await
}

/// Writes a whole JSON answer of Flux's own.
pub(crate) async fn json(session: &mut ServerSession, body: Bytes, caller: Caller) -> Result<()> {
    let mut head = ResponseHeader::build_no_case(200, Some(6))?;
    put_ids(&mut head, caller.id, caller.format)?;
    write(session, head, body, caller).await
}

/// Writes an answer to what an account asks of itself. Nobody on the way may keep it: it may hold a key.
pub(crate) async fn own(session: &mut ServerSession, answer: Answer, caller: Caller) -> Result<()> {
    let Answer { status, content_type, body, next_cursor } = answer;
    let mut head = ResponseHeader::build_no_case(status, Some(8))?;
    put_ids(&mut head, caller.id, caller.format)?;
    head.insert_header(CACHE_CONTROL, HeaderValue::from_static("no-store"))?;
    head.insert_header(CONTENT_TYPE, HeaderValue::from_static(content_type))?;
    if let Some(cursor) = next_cursor {
        head.insert_header(X_FLUX_NEXT_CURSOR, cursor)?;
    }
    write_typed(session, head, body, caller).await
}

/// Writes a figure that was estimated, for a client that asked for no answer of a model.
pub(crate) async fn estimate(
    session: &mut ServerSession,
    body: Bytes,
    caller: Caller,
    routing: &Routing,
) -> Result<()> {
    let mut head = ResponseHeader::build_no_case(200, Some(12))?;
    put_ids(&mut head, caller.id, caller.format)?;
    put_routing(&mut head, routing)?;
    head.insert_header(X_FLUX_ESTIMATED, HeaderValue::from_static("1"))?;
    head.insert_header(X_FLUX_COST_USD, NanoUsd::ZERO.to_string())?;
    write(session, head, body, caller).await
}

async fn write(session: &mut ServerSession, mut head: ResponseHeader, body: Bytes, caller: Caller) -> Result<()> {
    head.insert_header(CONTENT_TYPE, JSON)?;
    write_typed(session, head, body, caller).await
}

async fn write_typed(session: &mut ServerSession, mut head: ResponseHeader, body: Bytes, caller: Caller) -> Result<()> {
    head.insert_header(CONTENT_LENGTH, HeaderValue::from(body.len()))?;
    let is_read = session.is_body_done() || drain_short(session, caller).await;
    if !is_read && session.req_header().version != http::Version::HTTP_2 {
        head.insert_header(CONNECTION, HeaderValue::from_static("close"))?;
    }
    let is_bodiless = session.req_header().method == http::Method::HEAD;
    session.write_response_header(Box::new(head)).await?;
    if !is_bodiless {
        session.write_response_body(body, true).await?;
    }
    session.finish_body().await?;
    if !is_read {
        // The client may still be sending; let it finish, so that it reads the answer and not a reset.
        let _ = timeout(caller.linger, drain(session)).await;
    }
    Ok(())
}

/// Reads and drops a short body that is there already or on its way, so that its connection can be kept; says
/// whether that worked.
async fn drain_short(session: &mut ServerSession, caller: Caller) -> bool {
    let headers = &session.req_header().headers;
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if headers.contains_key(EXPECT) || length.is_none_or(|length| length > SHORT_BODY_BYTES_MAX) {
        return false;
    }
    let _ = timeout(caller.linger.min(SHORT_BODY_WAIT), drain(session)).await;
    session.is_body_done()
}

/// Reads and drops what is left of a body, until it ends or pauses.
async fn drain(session: &mut ServerSession) {
    while let Ok(Ok(Some(_))) = timeout(LINGER_PAUSE, session.read_request_body()).await {
        if session.is_body_done() {
            break;
        }
    }
}

/// A refusal on its way through Pingora's error path, to be written by `fail_to_proxy`.
#[derive(Debug)]
struct Carried(Refusal);

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.0.kind, self.0.message)
    }
}

impl std::error::Error for Carried {}

/// Wraps a refusal as the error that ends the request.
#[expect(clippy::unnecessary_box_returns, reason = "Pingora's phases return boxed errors")]
pub(crate) fn refusal_error(refusal: Refusal) -> Box<Error> {
    Error::because(ErrorType::Custom("Refused"), "refused", Carried(refusal))
}

/// The refusal that an error carries, if it carries one.
pub(crate) fn carried(error: &Error) -> Option<&Refusal> {
    error.cause.as_ref()?.downcast_ref::<Carried>().map(|carried| &carried.0)
}

/// The charge could not be kept, so the answer is not completed.
pub(crate) fn unsettled() -> Refusal {
    Refusal::new(
        RefusalKind::Overloaded,
        "the request could not be recorded; it was not charged, send it again shortly",
    )
    .with_retry_after(Duration::from_secs(1))
}
