//! T-62: while a provider thinks, a client that streams hears of us between events, and failover stays possible.
//!
//! Must not measure time: gates hold the provider back until the pings were seen.

use super::answers::{Answer, DONE, Gate, Step, chat_events, chat_stream, chat_usage, messages_stream};
use super::harness::{Flux, Setup, ask_chat, ask_chat_stream, ask_messages_stream};
use super::http::Conn;
use super::passthrough::{assert_chat_error, assert_tells_nothing};
use super::provider::Provider;
use super::sse;

/// So often that a test need not wait.
const PING: (&str, &str) = ("FLUX_TIMEOUTS__PING_MS", "50");
const COMMENT: &str = ": keep-alive\n\n";
const WORDS: [&str; 4] = ["Hello ", "from ", "the ", "provider."];

fn pinging(providers: &[&Provider]) -> Flux {
    Setup::with(providers).env(PING.0, PING.1).start()
}

fn begin(flux: &Flux, request: &[u8]) -> Conn {
    let mut client = flux.connect();
    client.write(request);
    client
}

#[test]
fn t62_comments_before_the_first_event_and_the_answer_after_them() {
    let openai = Provider::openai();
    let flux = pinging(&[&openai]);
    let gate = Gate::default();
    openai.next(Answer::sse(&chat_stream(&WORDS, &chat_usage(1000, 500))).after(&gate));
    let body = ask_chat_stream("gpt-4o-mini").to_string();
    let mut client = begin(&flux, &flux.chat_request(body.as_bytes()));
    assert_eq!(client.head(), 200);
    assert!(client.read_until(&COMMENT.repeat(2)));
    gate.open();
    let reply = client.rest();
    assert!(reply.is_complete);
    assert_eq!(reply.headers.get("content-type"), Some("text/event-stream; charset=utf-8"));
    assert_eq!(reply.headers.get("x-flux-provider"), None, "no provider has answered when the head goes out");
    assert!(!reply.header("x-request-id").is_empty());
    let mut expected = chat_events(&WORDS);
    expected.push(DONE.to_owned());
    assert_eq!(sse::without_comments(&reply.body), expected.concat());
    assert_eq!(flux.only_row().amount_nano(), sse::comment_cost_nano(&reply.body));
}

#[test]
fn t62_the_next_provider_goes_on_in_the_same_stream() {
    let (first, second) = (Provider::cerebras(), Provider::groq());
    let flux = pinging(&[&first, &second]);
    let gate = Gate::default();
    first.next(Answer::failure(503).after(&gate));
    second.next(Answer::sse(&chat_stream(&WORDS, &chat_usage(10, 5))));
    let body = ask_chat_stream("flux-pinned-gpt-oss-120b").to_string();
    let mut client = begin(&flux, &flux.chat_request(body.as_bytes()));
    assert_eq!(client.head(), 200);
    assert!(client.read_until(COMMENT));
    gate.open();
    let reply = client.rest();
    assert!(reply.is_complete);
    assert_eq!(sse::chat_text(&reply.body), WORDS.concat());
    assert_eq!(String::from_utf8_lossy(&reply.body).matches("HTTP/1.1").count(), 0, "one head only");
    assert_eq!((first.count(), second.count()), (1, 1));
}

#[test]
fn t62_when_all_fail_after_a_ping_the_stream_ends_in_an_error() {
    let openai = Provider::openai();
    let flux = pinging(&[&openai]);
    let gate = Gate::default();
    openai.next(Answer::failure(500).after(&gate));
    let body = ask_chat_stream("gpt-4o-mini").to_string();
    let mut client = begin(&flux, &flux.chat_request(body.as_bytes()));
    assert_eq!(client.head(), 200);
    assert!(client.read_until(COMMENT));
    gate.open();
    let reply = client.rest();
    assert!(reply.is_complete);
    let events = sse::events(&reply.body);
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].json()["error"]["type"], "server_error");
    assert_tells_nothing(&reply);
    assert_eq!(flux.ledger().len(), 0);
}

#[test]
fn t62_pings_in_the_middle_stand_between_events() {
    let anthropic = Provider::anthropic();
    let flux = pinging(&[&anthropic]);
    let gate = Gate::default();
    let events = messages_stream(&WORDS, &serde_json::json!({"input_tokens": 10, "output_tokens": 1}), 5);
    // The provider falls silent in the middle of an event.
    let whole = events.concat();
    let (before, after) = whole.split_at(whole.find("from").expect("the second word"));
    openly(&anthropic, before, &gate, after);
    let body = ask_messages_stream("claude-3-5-haiku-latest").to_string();
    let mut client = begin(&flux, &flux.messages_request(body.as_bytes()));
    assert_eq!(client.head(), 200);
    assert!(client.read_until("event: ping\ndata: {\"type\": \"ping\"}\n\n"));
    gate.open();
    let reply = client.rest();
    assert!(reply.is_complete);
    assert_eq!(sse::messages_text(&reply.body), WORDS.concat());
    // The provider may have sent a ping of its own.
    let names = |body: &[u8]| -> Vec<String> {
        sse::events(body).into_iter().map(|event| event.name).filter(|name| name != "ping").collect()
    };
    assert_eq!(names(&reply.body), names(whole.as_bytes()));
}

fn openly(provider: &Provider, before: &str, gate: &Gate, after: &str) {
    provider.next(Answer::sse_steps(vec![
        Step::Send(before.as_bytes().to_vec()),
        Step::Wait(gate.clone()),
        Step::Send(after.as_bytes().to_vec()),
    ]));
}

#[test]
fn a_whole_answer_is_waited_for_in_silence() {
    let openai = Provider::openai();
    let flux = pinging(&[&openai]);
    openai.next(Answer(vec![Step::Pause(std::time::Duration::from_millis(300)), Step::Close]));
    let reply = flux.chat(&ask_chat("gpt-4o-mini"));
    assert_chat_error(&reply, 503);
}
