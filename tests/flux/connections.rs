//! A client's connection: kept after every answer that is whole, and ended where the head says so.
//!
//! Must not know how a refusal is written, only what it says of the connection and what becomes of that.

use super::answers::{Answer, Step, chat_body, chat_events, chat_usage};
use super::harness::{Flux, Setup, ask_chat, ask_chat_stream};
use super::http::request;
use super::provider::Provider;

/// Requests of one kind on one connection.
const REQUESTS: usize = 20;

fn chat_bytes(flux: &Flux) -> Vec<u8> {
    flux.chat_request(ask_chat("gpt-4o-mini").to_string().as_bytes())
}

#[test]
fn keep_alive_outlives_refusals_after_routing() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let mut conn = flux.connect();
    for upstream in [400, 503] {
        openai.always(move |_| Answer::failure(upstream));
        for i in 0..REQUESTS {
            let reply = conn.ask(&chat_bytes(&flux));
            assert_eq!(reply.status, upstream, "request {i}: {}", reply.text());
            assert_ne!(reply.headers.get("connection"), Some("close"), "request {i} over {upstream}");
            assert_eq!((reply.cost_nano(), reply.header("x-flux-lane")), (0, "pinned"), "a refusal tells what it cost");
        }
    }
    // An answer after them is still the right one.
    openai.always(|_| Answer::json(200, &chat_body("at last", &chat_usage(1, 1))));
    let reply = conn.ask(&chat_bytes(&flux)).expect_status(200);
    assert_eq!(reply.json()["choices"][0]["message"]["content"], "at last");
}

#[test]
fn keep_alive_outlives_refusals_before_routing() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let mut conn = flux.connect();
    let body = ask_chat("gpt-4o-mini").to_string();
    for _ in 0..REQUESTS {
        let unknown = request("POST", "/v1/chat/completions", &[("x-api-key", "sk-flux-nobody")], body.as_bytes());
        conn.ask(&unknown).expect_status(401);
        conn.ask(&flux.chat_request(b"{}")).expect_status(400);
        conn.ask(&request("GET", "/v1/nothing", &[], b"")).expect_status(404);
    }
    conn.ask(&chat_bytes(&flux)).expect_status(200);
}

#[test]
fn a_stream_that_a_silent_provider_ends_keeps_the_connection() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).env("FLUX_TIMEOUTS__IDLE_MS", "300").start();
    let begun = chat_events(&["Hel"]).remove(1);
    openai.next(Answer::sse_steps(vec![Step::Send(begun.into_bytes()), Step::Hang]));
    let mut conn = flux.connect();
    let reply = conn.ask(&flux.chat_request(ask_chat_stream("gpt-4o-mini").to_string().as_bytes())).expect_status(200);
    assert!(reply.is_complete && reply.text().contains("\"error\""), "{}", reply.text());
    conn.ask(&chat_bytes(&flux)).expect_status(200);
}

#[test]
fn a_body_that_is_not_read_ends_the_connection_and_says_so() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).env("FLUX_LIMITS__BODY_BYTES_MAX", "100000").start();
    let reply = flux.ask(&flux.chat_request(&vec![b' '; 200_000])).expect_status(413);
    assert_eq!(reply.headers.get("connection"), Some("close"));
    let large = request("POST", "/v1/chat/completions", &[("x-api-key", "sk-flux-nobody")], &vec![b' '; 90_000]);
    assert_eq!(flux.ask(&large).expect_status(401).headers.get("connection"), Some("close"));
}

#[test]
fn an_odd_expectation_is_417_and_connect_is_405_with_a_body() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let (bearer, body) = (flux.bearer(), ask_chat("gpt-4o-mini").to_string());
    let headers = [("authorization", bearer.as_str()), ("expect", "200-ok")];
    let mut conn = flux.connect();
    conn.write(&request("POST", "/v1/chat/completions", &headers, body.as_bytes()));
    assert_eq!(conn.any_head(), 417, "no interim answer");
    assert!(conn.rest().json()["error"]["message"].is_string());
    let reply = flux.ask(b"CONNECT example.com:443 HTTP/1.1\r\nhost: example.com:443\r\n\r\n");
    assert_eq!((reply.status, reply.headers.get("allow")), (405, Some("GET, POST")));
    assert!(reply.json()["error"]["message"].is_string(), "{}", reply.text());
    assert_eq!(openai.count(), 0);
}
