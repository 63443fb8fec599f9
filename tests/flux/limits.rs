//! Bodies of every size and framing, the cap, and connections that go on afterwards.
//!
//! Must not know how bodies are read: it compares what was sent with what arrived.

use serde_json::json;

use super::harness::{Flux, Setup, ask_chat, spawn};
use super::http::{Conn, chunked_request, request};
use super::passthrough::{assert_chat_error, assert_messages_error};
use super::provider::Provider;

/// The default of `limits.body_bytes_max`.
const BODY_BYTES_MAX: usize = 32 << 20;

/// A valid request of exactly so many bytes: a picture, since no window holds 32 MiB of text.
fn body_of(bytes: usize) -> Vec<u8> {
    let build = |filler: &str| {
        let url = format!("data:image/png;base64,{filler}");
        let content = json!([{"type": "image_url", "image_url": {"url": url}}]);
        format!("{{\"messages\":[{{\"role\":\"user\",\"content\":{content}}}],\"model\":\"gpt-4o-mini\"}}")
    };
    let bare = build("").len();
    build(&"A".repeat(bytes - bare)).into_bytes()
}

/// What the provider must have got of it.
fn as_sent_up(body: &[u8]) -> Vec<u8> {
    let tail = b"\"gpt-4o-mini\"}";
    let mut sent = body[..body.len() - tail.len()].to_vec();
    sent.extend_from_slice(b"\"gpt-6-luna\"}");
    sent
}

fn headers(bearer: &str) -> [(&str, &str); 2] {
    [("authorization", bearer), ("content-type", "application/json")]
}

#[track_caller]
fn assert_usable(flux: &Flux, conn: &mut Conn, openai: &Provider) {
    conn.ask(&flux.chat_request(ask_chat("gpt-4o-mini").to_string().as_bytes())).expect_status(200);
    openai.forget();
}

const SIZES: [usize; 9] =
    [160, 1 << 10, 20 << 10, (64 << 10) - 1, 64 << 10, (64 << 10) + 1, 1 << 20, 5 << 20, BODY_BYTES_MAX];

#[test]
fn t61_bodies_up_to_the_cap_arrive_whole_under_content_length() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let mut conn = flux.connect();
    for bytes in SIZES {
        let body = body_of(bytes);
        assert_eq!(body.len(), bytes);
        conn.ask(&flux.chat_request(&body)).expect_status(200);
        assert!(openai.only().body == as_sent_up(&body), "{bytes} bytes were changed");
        openai.forget();
        assert_usable(&flux, &mut conn, &openai);
    }
}

#[test]
fn t61_bodies_up_to_the_cap_arrive_whole_in_chunks() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let mut conn = flux.connect();
    let bearer = flux.bearer();
    for bytes in SIZES {
        let body = body_of(bytes);
        for chunk_bytes in [bytes.min(1 << 20), 8192.min(bytes), if bytes <= 20 << 10 { 1 } else { 65_537 }] {
            conn.ask(&chunked_request("/v1/chat/completions", &headers(&bearer), &body, chunk_bytes))
                .expect_status(200);
            assert!(openai.only().body == as_sent_up(&body), "{bytes} bytes in chunks of {chunk_bytes} were changed");
            openai.forget();
        }
        assert_usable(&flux, &mut conn, &openai);
    }
}

#[test]
fn expect_100_continue_is_answered_before_the_body_is_sent() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let bearer = flux.bearer();
    let mut conn = flux.connect();
    for bytes in [200, 100 << 10, 2 << 20] {
        let body = body_of(bytes);
        let [auth, kind] = headers(&bearer);
        let whole = request("POST", "/v1/chat/completions", &[auth, kind, ("expect", "100-continue")], &body);
        let (head, _) = whole.split_at(whole.len() - body.len());
        conn.write(head);
        assert_eq!(conn.any_head(), 100);
        let reply = conn.ask(&body).expect_status(200);
        assert!(reply.is_complete);
        assert!(openai.only().body == as_sent_up(&body));
        openai.forget();
        assert_usable(&flux, &mut conn, &openai);
    }
}

#[test]
fn tiny_bodies_are_answered_and_the_connection_goes_on() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let mut conn = flux.connect();
    for body in ["{\"model\":1}", "{}", "x", "0123456789"] {
        let reply = conn.ask(&flux.chat_request(body.as_bytes()));
        assert_chat_error(&reply, 400);
        assert_eq!(reply.headers.get("connection").unwrap_or("keep-alive"), "keep-alive");
        assert_usable(&flux, &mut conn, &openai);
    }
}

/// Sends from a thread of its own, so that an early answer can be read while the body is still on its way.
fn ask_while_sending(flux: &Flux, bytes: Vec<u8>) -> super::http::Reply {
    let mut conn = flux.connect();
    let mut writer = conn.second_handle();
    let sender = spawn(move || {
        use std::io::Write;
        drop(writer.write_all(&bytes));
    });
    let reply = conn.reply();
    drop(conn);
    sender.join().expect("the sender");
    reply
}

#[test]
fn past_the_cap_is_413_in_the_callers_shape() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let bearer = flux.bearer();
    let body = body_of(BODY_BYTES_MAX + 1);
    for bytes in [flux.chat_request(&body), chunked_request("/v1/chat/completions", &headers(&bearer), &body, 1 << 16)]
    {
        assert_chat_error(&ask_while_sending(&flux, bytes), 413);
    }
    let reply = ask_while_sending(&flux, flux.messages_request(&body));
    assert_messages_error(&reply, 413, "request_too_large");
    assert_eq!(openai.count(), 0);
    flux.chat(&ask_chat("gpt-4o-mini")).expect_status(200);
}

#[test]
fn a_length_past_the_cap_is_refused_before_the_body_is_asked_for() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    for length in [BODY_BYTES_MAX + 1, 1 << 40] {
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: f\r\nauthorization: {}\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n",
            flux.bearer()
        );
        let mut conn = flux.connect();
        conn.write(head.as_bytes());
        assert_eq!(conn.any_head(), 413, "no 100 before the refusal");
        assert_chat_error(&conn.rest(), 413);
    }
}

#[test]
fn the_cap_is_a_setting() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).env("FLUX_LIMITS__BODY_BYTES_MAX", "65536").start();
    flux.ask(&flux.chat_request(&body_of(65_536))).expect_status(200);
    assert_chat_error(&ask_while_sending(&flux, flux.chat_request(&body_of(65_537))), 413);
}

#[test]
fn a_refused_key_does_not_make_the_server_read_a_large_body() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let bytes =
        request("POST", "/v1/chat/completions", &[("authorization", "Bearer sk-flux-nobody")], &body_of(8 << 20));
    assert_chat_error(&ask_while_sending(&flux, bytes), 401);
    flux.chat(&ask_chat("gpt-4o-mini")).expect_status(200);
}

#[test]
fn many_requests_share_one_connection_to_the_provider() {
    const REQUESTS: usize = 50;
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let mut conn = flux.connect();
    for _ in 0..REQUESTS {
        conn.ask(&flux.chat_request(ask_chat("gpt-4o-mini").to_string().as_bytes())).expect_status(200);
    }
    let highest = openai.requests().iter().map(|request| request.connection).max().expect("requests");
    assert!(highest < 5, "{} connections for {REQUESTS} requests one after the other", highest + 1);
}
