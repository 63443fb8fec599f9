//! What of a request is refused before it is looked into, and how its body is read.
//!
//! Must not know models or plans. Everything here speaks of HTTP: framing, hosts, encodings, keys,
//! sizes, and how long a client may take.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue,
    TRANSFER_ENCODING, UPGRADE,
};
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
use pingora::time::timeout;

use crate::accounts::KeyDirectory;
use crate::accounts::key::KeyState;
use crate::authenticate;
use crate::base::refusal::{Refusal, RefusalKind};
use crate::base::time::UnixMs;

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// A body is read into a buffer of its declared size, but no client makes us reserve more than this
/// on its word alone.
const RESERVED_ON_TRUST_BYTES: usize = 1 << 20;

/// Refuses what a second reader of the same bytes could understand in another way.
///
/// # Errors
/// 400, with the header that is at fault.
pub(crate) fn check_framing(head: &RequestHeader) -> Result<(), Refusal> {
    let refuse = |message: &'static str| Err(Refusal::new(RefusalKind::InvalidRequest, message));
    let Framing { hosts, has_odd_host, changes_protocol, transfer_encodings, has_odd_transfer, has_length, is_encoded } =
        framing(&head.headers);
    if hosts > 1 {
        return refuse("more than one host header");
    }
    if hosts == 0 && head.version != http::Version::HTTP_2 {
        return refuse("the host header is missing");
    }
    if has_odd_host {
        return refuse("the host header is not a host name");
    }
    if changes_protocol {
        return refuse("this server does not change protocols; leave out the upgrade header");
    }
    if has_odd_transfer {
        return refuse("the only transfer encoding taken is chunked");
    }
    if transfer_encodings > 0 && has_length {
        return refuse("a body has either a content-length or a transfer-encoding, not both");
    }
    if is_encoded {
        return refuse("compressed request bodies are not taken; send the JSON as it is");
    }
    Ok(())
}

/// What the headers say about host and framing.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts of a head")]
struct Framing {
    hosts: u32,
    has_odd_host: bool,
    changes_protocol: bool,
    transfer_encodings: u32,
    has_odd_transfer: bool,
    has_length: bool,
    is_encoded: bool,
}

/// Goes over the headers once: a search for each of the names would hash it.
fn framing(headers: &HeaderMap) -> Framing {
    let mut framing = Framing::default();
    for (name, value) in headers {
        let value = value.as_bytes();
        if *name == HOST {
            framing.hosts += 1;
            framing.has_odd_host |= !is_host(value);
        } else if *name == CONTENT_LENGTH {
            framing.has_length = true;
        } else if *name == TRANSFER_ENCODING {
            framing.transfer_encodings += 1;
            framing.has_odd_transfer |= !value.eq_ignore_ascii_case(b"chunked");
        } else if *name == CONTENT_ENCODING {
            framing.is_encoded |= !value.eq_ignore_ascii_case(b"identity");
        } else if *name == UPGRADE {
            framing.changes_protocol = true;
        }
    }
    framing
}

fn is_host(host: &[u8]) -> bool {
    const HOST_BYTES_MAX: usize = 255;
    let is_part = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b':' | b'[' | b']');
    !host.is_empty() && host.len() <= HOST_BYTES_MAX && host.iter().all(is_part)
}

/// Finds the key of the request.
///
/// # Errors
/// 401 for a key that is missing, unknown, expired or revoked, the last three in the same words.
pub(crate) fn authenticate(headers: &HeaderMap, keys: &KeyDirectory, now: UnixMs) -> Result<Arc<KeyState>, Refusal> {
    let invalid = |message: String| Refusal::new(RefusalKind::InvalidKey, message);
    let only = |name: HeaderName| {
        let mut values = headers.get_all(&name).iter().map(HeaderValue::as_bytes);
        let first = values.next();
        // Whoever reads the other one would see another caller.
        if values.next().is_some() { Err(invalid(format!("more than one {name} header: send one"))) } else { Ok(first) }
    };
    let (authorization, x_api_key) = (only(AUTHORIZATION)?, only(X_API_KEY)?);
    let raw = authenticate::credential(authorization, x_api_key).map_err(|error| invalid(error.to_string()))?;
    authenticate::authenticate(keys, raw, now)
        .map_err(|error| invalid(authenticate::CLIENT_MESSAGE.to_owned()).with_detail(error.to_string()))
}

/// Reads the whole body, in one piece.
///
/// # Errors
/// 413 past `bytes_max`, 408 past `within`, 417 for an odd expectation, 400 for a body that breaks off.
pub(crate) async fn read_body(
    session: &mut ServerSession,
    bytes_max: usize,
    within: Duration,
) -> Result<Bytes, Refusal> {
    let declared = declared_length(session.req_header());
    if declared.is_some_and(|length| length > bytes_max) {
        return Err(too_large(bytes_max));
    }
    if let Some(expected) = session.req_header().headers.get(EXPECT) {
        if !expected.as_bytes().eq_ignore_ascii_case(b"100-continue") {
            let message = "the only expectation that is met is 100-continue";
            return Err(Refusal::new(RefusalKind::ExpectationFailed, message));
        }
        let _ = session.write_continue_response().await;
    }
    match timeout(within, collect(session, declared, bytes_max)).await {
        Ok(body) => body,
        Err(_) => Err(Refusal::new(RefusalKind::RequestTimeout, "the request body came in too slowly")),
    }
}

async fn collect(session: &mut ServerSession, declared: Option<usize>, bytes_max: usize) -> Result<Bytes, Refusal> {
    let mut first: Option<Bytes> = None;
    let mut rest: Option<BytesMut> = None;
    let mut length = 0_usize;
    while let Some(piece) = session.read_request_body().await.map_err(|error| broken(&error))? {
        length = length.saturating_add(piece.len());
        if length > bytes_max {
            return Err(too_large(bytes_max));
        }
        match (&mut first, &mut rest) {
            (None, None) => first = Some(piece),
            (Some(begun), None) => {
                let room = declared.unwrap_or_default().min(RESERVED_ON_TRUST_BYTES).max(length);
                let mut whole = BytesMut::with_capacity(room);
                whole.extend_from_slice(begun);
                whole.extend_from_slice(&piece);
                rest = Some(whole);
            }
            (_, Some(whole)) => whole.extend_from_slice(&piece),
        }
        if session.is_body_done() {
            break;
        }
    }
    Ok(rest.map(BytesMut::freeze).or(first).unwrap_or_default())
}

fn declared_length(head: &RequestHeader) -> Option<usize> {
    head.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large(bytes_max: usize) -> Refusal {
    Refusal::new(RefusalKind::BodyTooLarge, format!("the request body is larger than {bytes_max} bytes; send less"))
}

fn broken(error: &pingora::Error) -> Refusal {
    Refusal::new(RefusalKind::InvalidRequest, "the request body broke off or is framed wrongly")
        .with_detail(error.reason_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(headers: &[(&'static str, &str)]) -> RequestHeader {
        let mut head = RequestHeader::build("POST", b"/v1/messages", None).unwrap();
        for (name, value) in headers {
            head.append_header(*name, *value).unwrap();
        }
        head
    }

    #[test]
    fn odd_framing_is_refused() {
        for headers in [
            &[][..],
            &[("host", "a b")],
            &[("host", "a/b")],
            &[("host", "a"), ("host", "b")],
            &[("host", "")],
            &[("host", "a"), ("upgrade", "websocket")],
            &[("host", "a"), ("transfer-encoding", "gzip, chunked")],
            &[("host", "a"), ("transfer-encoding", "chunked"), ("content-length", "3")],
            &[("host", "a"), ("content-encoding", "gzip")],
        ] {
            assert_eq!(check_framing(&head(headers)).unwrap_err().status(), 400, "{headers:?}");
        }
        for host in ["localhost:8080", "127.0.0.1", "[::1]:80", "api.example"] {
            assert_eq!(check_framing(&head(&[("host", host)])), Ok(()), "{host}");
        }
    }
}
