//! Attempt → peer, path and headers.
//!
//! The only place that builds a header for a provider, and it builds it from an allow-list: the
//! client's key, cookies and hop-by-hop headers never leave. Must not know plans or prices.

use std::borrow::Cow;
use std::time::Duration;

use http::HeaderMap;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, HeaderValue, RETRY_AFTER,
    USER_AGENT,
};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::ALPN;
use pingora::upstreams::peer::HttpPeer;
use pingora::{ErrorType, OrErr, Result};

use super::ratelimit;
use super::resolver::Resolver;
use crate::base::time::UnixMs;
use crate::base::wire_format::WireFormat;
use crate::catalog::Target;
use crate::catalog::provider::{Access, AuthKind, Endpoint, Provider};
use crate::config::Timeouts;
use crate::exchange::answer::ProviderHead;
use crate::exchange::count::Purpose;

/// Of the client's headers only these reach a provider, besides those of its wire format.
const PASSED_ON: [HeaderName; 2] = [HeaderName::from_static("traceparent"), HeaderName::from_static("tracestate")];
const OF_ANTHROPIC: [HeaderName; 2] =
    [HeaderName::from_static("anthropic-beta"), HeaderName::from_static("anthropic-version")];
const OF_OPENAI: [HeaderName; 1] = [HeaderName::from_static("openai-beta")];

const AGENT: HeaderValue = HeaderValue::from_static(concat!("flux/", env!("CARGO_PKG_VERSION")));
/// Where the model's name stands in a path.
const MODEL_PLACE: &str = "{model}";

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const X_GOOG_API_KEY: HeaderName = HeaderName::from_static("x-goog-api-key");
const API_KEY: HeaderName = HeaderName::from_static("api-key");
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// Where to connect for this target, with `time_left` until the request's deadline. A look-up of its name may take as
/// long as a connection.
///
/// # Errors
/// When the host name has no address, or none by then.
pub(crate) async fn peer(
    resolver: &Resolver,
    endpoint: &Endpoint,
    timeouts: &Timeouts,
    time_left: Duration,
) -> Result<Box<HttpPeer>> {
    let host = (&endpoint.host, endpoint.port);
    let (address, waited) = resolver.resolve(host, timeouts.connect.min(time_left)).await?;
    let time_left = time_left.saturating_sub(waited);
    let mut peer = HttpPeer::new(address, endpoint.tls, String::from(&*endpoint.host));
    let options = &mut peer.options;
    options.connection_timeout = Some(timeouts.connect.min(time_left));
    // TLS comes on top of TCP; together they may take twice as long.
    options.total_connection_timeout = Some(timeouts.connect.saturating_mul(2).min(time_left));
    options.idle_timeout = Some(timeouts.upstream_keepalive);
    options.write_timeout = Some(timeouts.idle);
    if endpoint.tls {
        options.alpn = ALPN::H2H1;
    }
    Ok(Box::new(peer))
}

/// What the exchange is told of a provider's head.
pub(crate) fn provider_head(head: &ResponseHeader, at: UnixMs) -> ProviderHead {
    let content_type = head.headers.get(CONTENT_TYPE);
    let is_success = head.status.is_success();
    ProviderHead {
        status: head.status.as_u16(),
        is_event_stream: content_type.is_some_and(|t| t.as_bytes().starts_with(b"text/event-stream")),
        retry_after: if is_success { None } else { retry_after(&head.headers, at) },
        key_rests: if is_success { ratelimit::rest(&head.headers, at) } else { None },
    }
}

/// What a request to a provider is made of.
pub(crate) struct Outgoing<'a> {
    pub(crate) target: &'a Target,
    pub(crate) access: &'a Access,
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) format: WireFormat,
    /// Whether the client speaks this format too, so that its format's headers mean the same to the provider.
    pub(crate) is_native: bool,
    /// Whether the body is the client's form.
    pub(crate) is_form: bool,
    pub(crate) client_headers: &'a HeaderMap,
    /// Query for the provider, from [`crate::exchange::route::forwarded_query`].
    pub(crate) query: Option<&'a str>,
    pub(crate) is_stream: bool,
    pub(crate) purpose: Purpose,
    pub(crate) body_bytes: usize,
}

/// The head of the request to the provider.
///
/// # Errors
/// When a configured path or header cannot be written; `config::check` has refused those.
pub(crate) fn request_head(outgoing: &Outgoing<'_>) -> Result<RequestHeader> {
    let Outgoing {
        target,
        access,
        endpoint,
        format,
        is_native,
        is_form,
        client_headers,
        query,
        purpose,
        is_stream,
        body_bytes,
    } = outgoing;
    let query = query.filter(|_| *is_native);
    let is_usual = query.is_none() && *purpose == Purpose::Answer && !endpoint.has_model_in_path();
    let ready = endpoint.ready.get_or_make(|| ReadyHeads::new(&target.provider, access, endpoint).ok());
    let mut head = match ready {
        Some(Some(ready)) if is_usual => ready.of(*is_stream).clone(),
        _ => constant_head(&target.provider, access, endpoint, (&path(outgoing), *is_stream))?,
    };
    head.insert_header(CONTENT_LENGTH, HeaderValue::from(*body_bytes))?;
    if let (true, Some(form)) = (*is_form, client_headers.get(CONTENT_TYPE)) {
        // It names the boundary.
        head.insert_header(CONTENT_TYPE, form)?;
    }
    if matches!(format, WireFormat::OpenaiSpeech | WireFormat::OpenaiTranscriptions) {
        head.insert_header(ACCEPT, HeaderValue::from_static("*/*"))?;
    }
    let of_format = match format {
        _ if !is_native => &[],
        WireFormat::AnthropicMessages => &OF_ANTHROPIC[..],
        WireFormat::OpenaiChat
        | WireFormat::OpenaiResponses
        | WireFormat::OpenaiImages
        | WireFormat::GeminiGenerate
        | WireFormat::BedrockConverse
        | WireFormat::OpenaiEmbeddings
        | WireFormat::OpenaiImageEdits
        | WireFormat::OpenaiTranscriptions
        | WireFormat::OpenaiSpeech => &OF_OPENAI[..],
    };
    // A look-up of each that may pass would hash its name; most clients send none of them.
    for name in client_headers.keys().filter(|name| PASSED_ON.contains(name) || of_format.contains(name)) {
        if let Some(value) = client_headers.get(name) {
            head.insert_header(name.clone(), value)?;
        }
    }
    Ok(head)
}

/// Path and query of one request.
fn path<'a>(outgoing: &Outgoing<'a>) -> Cow<'a, str> {
    let Outgoing { target, endpoint, is_native, query, purpose, is_stream, .. } = outgoing;
    let path = match purpose {
        Purpose::Count => &endpoint.count_path,
        Purpose::Answer if *is_stream => &endpoint.stream_path,
        Purpose::Answer => &endpoint.path,
    };
    let path = if path.contains(MODEL_PLACE) {
        Cow::Owned(path.replace(MODEL_PLACE, &target.model.provider_model_id))
    } else {
        Cow::Borrowed(&**path)
    };
    match query.filter(|_| *is_native) {
        Some(query) => Cow::Owned(format!("{path}{}{query}", if path.contains('?') { '&' } else { '?' })),
        None => path,
    }
}

/// The heads of requests to one endpoint, without what differs from request to request.
struct ReadyHeads {
    unary: RequestHeader,
    stream: RequestHeader,
}

impl ReadyHeads {
    fn new(provider: &Provider, access: &Access, endpoint: &Endpoint) -> Result<Self> {
        let [unary, stream] = [(&*endpoint.path, false), (&*endpoint.stream_path, true)]
            .map(|kind| constant_head(provider, access, endpoint, kind));
        Ok(Self { unary: unary?, stream: stream? })
    }

    fn of(&self, is_stream: bool) -> &RequestHeader {
        if is_stream { &self.stream } else { &self.unary }
    }
}

/// The part of a request's head that is the same for all requests to a path of an endpoint.
fn constant_head(
    provider: &Provider,
    access: &Access,
    endpoint: &Endpoint,
    (path, is_stream): (&str, bool),
) -> Result<RequestHeader> {
    let mut head = any_head("POST", provider, access, (endpoint, path))?;
    head.insert_header(CONTENT_TYPE, HeaderValue::from_static("application/json"))?;
    let accepted = if is_stream { "text/event-stream" } else { "application/json" };
    head.insert_header(ACCEPT, HeaderValue::from_static(accepted))?;
    // Keeps the place, so that the map of a copy need not grow for the true one.
    head.insert_header(CONTENT_LENGTH, HeaderValue::from(0))?;
    Ok(head)
}

/// The head of a question that shows whether an access works.
///
/// # Errors
/// When a configured path or header cannot be written.
pub(crate) fn probe_head(provider: &Provider, access: &Access, endpoint: &Endpoint) -> Result<RequestHeader> {
    let mut head = any_head("GET", provider, access, (endpoint, &endpoint.path))?;
    head.insert_header(ACCEPT, HeaderValue::from_static("application/json"))?;
    Ok(head)
}

/// What every request to an access begins with: where it goes, and who asks.
fn any_head(
    method: &str,
    provider: &Provider,
    access: &Access,
    (endpoint, path): (&Endpoint, &str),
) -> Result<RequestHeader> {
    const HEADERS_EXPECTED: usize = 12;
    let mut head = RequestHeader::build_no_case(method, path.as_bytes(), Some(HEADERS_EXPECTED))?;
    head.insert_header(HOST, &*endpoint.authority)?;
    head.insert_header(ACCEPT_ENCODING, HeaderValue::from_static("identity"))?;
    head.insert_header(USER_AGENT, AGENT)?;
    for (name, value) in &provider.headers {
        head.insert_header(name.to_string(), &**value)?;
    }
    authorize(&mut head, endpoint.auth, access.key.expose())?;
    Ok(head)
}

fn authorize(head: &mut RequestHeader, auth: AuthKind, key: &str) -> Result<()> {
    let (name, value) = match auth {
        AuthKind::Bearer => (AUTHORIZATION, HeaderValue::try_from(format!("Bearer {key}"))),
        AuthKind::XApiKey => (X_API_KEY, HeaderValue::from_str(key)),
        AuthKind::XGoogApiKey => (X_GOOG_API_KEY, HeaderValue::from_str(key)),
        AuthKind::ApiKey => (API_KEY, HeaderValue::from_str(key)),
        AuthKind::None | AuthKind::AwsSigv4 | AuthKind::Oauth2 => return Ok(()),
    };
    let mut value = value.or_err(ErrorType::InternalError, "the provider's key is no header value")?;
    value.set_sensitive(true);
    head.insert_header(name, value)
}

/// How long the provider asks us to stay away: `retry-after-ms`, or `retry-after` in seconds or as a
/// date. Longer than an hour is not believed.
pub(crate) fn retry_after(headers: &HeaderMap, now: UnixMs) -> Option<Duration> {
    const MS_MAX: u64 = 3_600_000;
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let from_ms = text(RETRY_AFTER_MS).and_then(|ms| ms.parse::<u64>().ok());
    let ms = from_ms.or_else(|| {
        let value = text(RETRY_AFTER)?;
        seconds_as_ms(value).or_else(|| date_as_ms(value, now))
    })?;
    Some(Duration::from_millis(ms.min(MS_MAX)))
}

fn seconds_as_ms(value: &str) -> Option<u64> {
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    let whole: u64 = whole.parse().ok()?;
    let has_fraction = fraction.bytes().any(|b| (b'1'..=b'9').contains(&b));
    fraction
        .bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| whole.saturating_add(u64::from(has_fraction)).saturating_mul(1000))
}

fn date_as_ms(value: &str, now: UnixMs) -> Option<u64> {
    let date = jiff::fmt::rfc2822::parse(value).ok()?;
    let at = u64::try_from(date.timestamp().as_millisecond()).ok()?;
    Some(at.saturating_sub(now.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_of_retry_after_are_read() {
        for (name, value, seconds) in [
            ("retry-after", "7", Some(7)),
            ("retry-after", "1.5", Some(2)),
            ("retry-after-ms", "3000", Some(3)),
            ("retry-after", "Thu, 01 Jan 1970 00:01:40 GMT", Some(40)),
            ("retry-after", "999999", Some(3600)),
            ("retry-after", "soon", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            assert_eq!(retry_after(&headers, UnixMs(60_000)), seconds.map(Duration::from_secs), "{value}");
        }
    }
}
