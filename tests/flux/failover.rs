//! Failover at every point before content has gone out, and never on the client's own mistakes.
//!
//! Must not know the plan: it knows that one model has two providers, the second of which is well.

use std::time::Duration;

use serde_json::{Value, json};

use super::answers::{self, Answer, DONE, PROVIDER_WORDS, Step, chat_body, chat_event, chat_usage};
use super::harness::{Flux, Setup, ask_chat, ask_chat_stream, ask_messages_stream, spawn, wait_for};
use super::http::Reply;
use super::passthrough::{assert_chat_error, assert_clean, assert_tells_nothing};
use super::provider::{Provider, deaf_port, refusing_port};
use super::sse;

/// Served by deepseek, then by together.
const PAIR: &str = "flux-pinned-deepseek-flash";
/// What the two call it.
const PAIR_NAMES: [&str; 2] = ["deepseek-flash", "deepseek-ai/DeepSeek-V4.1-Flash-1017"];
/// Time-outs that make a silent provider fail soon.
const SHORT: [(&str, &str); 3] =
    [("FLUX_TIMEOUTS__CONNECT_MS", "500"), ("FLUX_TIMEOUTS__FIRST_BYTE_MS", "700"), ("FLUX_TIMEOUTS__IDLE_MS", "700")];

/// A failing first provider and a healthy second one.
struct Pair {
    first: Provider,
    second: Provider,
    flux: Flux,
    /// The files that Flux watches.
    _conf: tempfile::TempDir,
}

impl Pair {
    fn start() -> Self {
        let (first, second) = (Provider::bearer("deepseek"), Provider::bearer("together"));
        let conf = super::config::with_wide_windows();
        let setup = Setup::with(&[&first, &second]).config(conf.path());
        let setup = SHORT.iter().fold(setup, |setup, (name, value)| setup.env(name, value));
        Self { flux: setup.start(), first, second, _conf: conf }
    }

    /// Both attempts saw the same bytes but for the model's name, each under its own name and key (the strict
    /// mocks check the keys).
    #[track_caller]
    fn assert_same_bytes(&self, sent: &str) {
        let (first, second) = (self.first.only(), self.second.only());
        let expected = |model: &str| sent.replacen(&format!("\"{PAIR}\""), &format!("\"{model}\""), 1);
        for (seen, model) in [first, second].iter().zip(PAIR_NAMES) {
            assert!(seen.text() == expected(model), "the body for {model} was changed on the way");
        }
    }

    fn forget(&self) {
        self.first.forget();
        self.second.forget();
    }
}

/// A request of about the given size, the model's name behind the bulk as SDKs send it.
fn sized_request(bytes: usize, streamed: bool) -> String {
    sized_request_for(PAIR, bytes, streamed)
}

fn sized_request_for(model: &str, bytes: usize, streamed: bool) -> String {
    let filler = "All work and no play. ".repeat(bytes / 22);
    let mut body = json!({"messages": [{"role": "user", "content": filler}], "max_tokens": 50});
    if streamed {
        body["stream"] = true.into();
        body["stream_options"] = json!({"include_usage": true});
    }
    let text = body.to_string();
    format!("{},\"model\":\"{model}\"}}", &text[..text.len() - 1])
}

const SIZES: [usize; 3] = [1 << 10, 100 << 10, 5 << 20];

/// Every way for an attempt to fail before anything was sent. The flag says whether it fits a stream.
fn failures(streamed: bool) -> Vec<(&'static str, Answer)> {
    let whole = chat_body("cut", &chat_usage(10, 5)).to_string();
    let json_type = [("content-type", "application/json")];
    let mut all: Vec<(&str, Answer)> = [408, 409, 429, 500, 502, 503, 504, 529]
        .map(|status| ("a failing status", Answer::failure(status)))
        .into_iter()
        .collect();
    all.push(("a hang before the head", Answer::silence()));
    all.push(("a reset before the head", Answer(vec![Step::Reset])));
    all.push(("a close before the head", Answer(vec![Step::Close])));
    all.push(("a reset in the head", Answer(vec![Step::Send(b"HTTP/1.1 200 OK\r\ncontent-ty".to_vec()), Step::Reset])));
    all.push((
        "garbage",
        Answer(vec![Step::Send(b"\x16\x03\x01\x02\x00 not http at all\r\n\r\n".to_vec()), Step::Close]),
    ));
    if streamed {
        let error = json!({"error": {"message": PROVIDER_WORDS, "type": "server_error", "code": null}});
        let first_error = vec![format!("data: {error}\n\n"), DONE.to_owned()];
        all.push(("an error as the first event", Answer::sse(&first_error)));
        let role = chat_event(&json!({"role": "assistant", "content": ""}), None);
        all.push(("an error behind the empty first event", Answer::sse(&[role.clone(), first_error[0].clone()])));
        all.push(("a cut before content", Answer::sse_steps(vec![Step::Send(role.into_bytes()), Step::Close])));
        all.push(("an empty stream", Answer::sse(&[])));
        all.push(("a stream that says nothing", Answer::sse_steps(vec![Step::Hang])));
    } else {
        all.push(("broken JSON", Answer::bytes(200, &json_type, &whole.as_bytes()[..whole.len() / 2])));
        all.push(("no JSON at all", Answer::bytes(200, &json_type, b"<html>502</html>")));
        all.push(("an empty body", Answer::bytes(200, &json_type, b"")));
        let lying = answers::head(200, &json_type, &format!("content-length: {}", whole.len() + 10));
        let short = [lying.as_slice(), whole.as_bytes()].concat();
        all.push(("a length that lies", Answer(vec![Step::Send(short), Step::Close])));
        let head = answers::head(200, &json_type, "transfer-encoding: chunked");
        let cut = [head.as_slice(), &answers::chunk(&whole.as_bytes()[..40])].concat();
        all.push(("a cut between chunks", Answer(vec![Step::Send(cut.clone()), Step::Close])));
        all.push(("a reset in the body", Answer(vec![Step::Send(cut.clone()), Step::Reset])));
        all.push(("a hang in the body", Answer(vec![Step::Send(cut), Step::Hang])));
    }
    all
}

fn check_failover(streamed: bool, bytes: usize) {
    let pair = Pair::start();
    let sent = sized_request(bytes, streamed);
    for (what, answer) in failures(streamed) {
        pair.forget();
        pair.first.next(answer);
        eprintln!("the first provider: {what}");
        let reply = pair.flux.ask(&pair.flux.chat_request(sent.as_bytes()));
        assert_eq!(reply.status, 200, "{what}: {}", reply.text());
        assert_eq!(reply.header("x-flux-attempts"), "2", "{what}");
        assert_eq!(reply.header("x-flux-provider"), "together", "{what}");
        let text = if streamed { sse::chat_text(&reply.body) } else { content(&reply) };
        assert_eq!(text, "Hello from the provider.", "{what}");
        assert_clean(&reply);
        pair.assert_same_bytes(&sent);
    }
    let rows = pair.flux.wait_for_rows(failures(streamed).len());
    assert!(rows.iter().all(|row| row.text("provider") == "together" && row.number("attempts") == 2), "{rows:#?}");
    assert!(rows.iter().all(|row| (row.number("input"), row.number("output")) == (1000, 500)), "{rows:#?}");
}

fn content(reply: &Reply) -> String {
    reply.json()["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn t59_t61_unary_failover_at_every_point_with_1_kb() {
    check_failover(false, SIZES[0]);
}

#[test]
fn t59_t61_unary_failover_at_every_point_with_100_kb() {
    check_failover(false, SIZES[1]);
}

#[test]
fn t59_t61_unary_failover_at_every_point_with_5_mb() {
    check_failover(false, SIZES[2]);
}

#[test]
fn t59_t61_stream_failover_at_every_point_with_1_kb() {
    check_failover(true, SIZES[0]);
}

#[test]
fn t59_t61_stream_failover_at_every_point_with_100_kb() {
    check_failover(true, SIZES[1]);
}

#[test]
fn t59_t61_stream_failover_at_every_point_with_5_mb() {
    check_failover(true, SIZES[2]);
}

#[test]
fn a_provider_that_cannot_be_reached_is_passed_over() {
    let (_held, refusing) = refusing_port();
    let (_socket, _backlog, deaf) = deaf_port();
    for addr in [refusing, deaf] {
        let second = Provider::groq();
        let setup = Setup::with(&[&second]).provider("cerebras", &format!("http://{addr}/v1"));
        let flux = SHORT.iter().fold(setup, |setup, (name, value)| setup.env(name, value)).start();
        for bytes in [SIZES[0], SIZES[1]] {
            second.forget();
            let sent = sized_request_for("flux-pinned-gpt-oss-120b", bytes, false);
            let reply = flux.ask(&flux.chat_request(sent.as_bytes())).expect_status(200);
            assert_eq!(reply.header("x-flux-attempts"), "2");
            assert!(second.only().text() == sent.replacen("flux-pinned-gpt-oss-120b", "openai/gpt-oss-120b", 1));
        }
    }
}

#[test]
fn never_on_the_clients_own_mistakes() {
    let pair = Pair::start();
    for status in [400, 404, 405, 413, 415, 422] {
        for streamed in [false, true] {
            pair.forget();
            pair.first.next(Answer::json(
                status,
                &json!({"error": {"message": "your mistake", "type": "invalid_request_error"}}),
            ));
            let sent = sized_request(200, streamed);
            let reply = pair.flux.ask(&pair.flux.chat_request(sent.as_bytes()));
            assert!((400..500).contains(&reply.status), "{status} became {}", reply.status);
            assert_chat_error(&reply, reply.status);
            assert_eq!((pair.first.count(), pair.second.count()), (1, 0), "{status}");
        }
    }
    assert_eq!(pair.flux.ledger().len(), 0);
}

#[test]
fn a_provider_that_refuses_our_key_is_no_mistake_of_the_client() {
    let pair = Pair::start();
    for status in [401, 403] {
        pair.forget();
        pair.first.next(Answer::failure(status));
        let reply = pair.flux.chat(&ask_chat(PAIR));
        assert_eq!(reply.status, 200, "{status} became {}: {}", reply.status, reply.text());
        assert_tells_nothing(&reply);
        // Where no target takes our key, to come back cannot help; where another failed otherwise, it may.
        for (second, retry, code) in
            [(status, "false", "upstream_misconfigured"), (500, "true", "upstream_unavailable")]
        {
            pair.first.next(Answer::failure(status));
            pair.second.next(Answer::failure(second));
            let reply = pair.flux.chat(&ask_chat(PAIR));
            assert_eq!(assert_chat_error(&reply, 503)["code"], code, "{status}, then {second}");
            assert_eq!(reply.header("x-should-retry"), retry, "{status}, then {second}");
            assert_tells_nothing(&reply);
        }
    }
    // When no other is left it is no outage either: waiting would not mend it.
    pair.first.always(|_| Answer::failure(401));
    pair.second.always(|_| Answer::failure(403));
    let error = assert_chat_error(&pair.flux.chat(&ask_chat(PAIR)), 503);
    assert!(error["message"].as_str().expect("a message").contains("operator"), "{error}");
    assert!(pair.flux.log().contains("the provider refuses the key that is configured for it"));
}

#[test]
fn when_all_fail_the_client_gets_503_in_its_shape_and_no_internals() {
    let pair = Pair::start();
    pair.first.always(|_| Answer::failure(503));
    pair.second.always(|_| Answer(vec![Step::Reset]));
    for streamed in [false, true] {
        let sent = sized_request(2000, streamed);
        let reply = pair.flux.ask(&pair.flux.chat_request(sent.as_bytes()));
        assert_chat_error(&reply, 503);
        assert_eq!(reply.header("x-flux-attempts"), "2");
        assert_tells_nothing(&reply);
        assert_clean(&reply);
    }
    assert_eq!((pair.first.count(), pair.second.count()), (2, 2), "bounded by the plan");
    assert_eq!(pair.flux.ledger().len(), 0);
}

#[test]
fn a_limit_at_every_provider_is_503_with_the_longest_wait() {
    let pair = Pair::start();
    let limited = |name: &'static str, wait: &'static str| {
        let body = json!({"error": {"message": PROVIDER_WORDS, "type": "requests", "code": "rate_limit_exceeded"}});
        Answer::bytes(429, &[("content-type", "application/json"), (name, wait)], body.to_string().as_bytes())
    };
    for (first, second, wait) in [
        (limited("retry-after", "7"), limited("retry-after", "3"), "7"),
        (limited("retry-after", "2"), limited("retry-after-ms", "20500"), "21"),
        (limited("retry-after-ms", "1500"), Answer::failure(500), "2"),
    ] {
        pair.forget();
        pair.first.next(first);
        pair.second.next(second);
        let reply = pair.flux.chat(&ask_chat(PAIR));
        assert_chat_error(&reply, 503);
        assert_eq!((reply.header("retry-after"), reply.header("x-should-retry")), (wait, "true"));
        assert_tells_nothing(&reply);
        assert_eq!((pair.first.count(), pair.second.count()), (1, 1));
    }
}

#[test]
fn googles_wait_stands_in_the_body() {
    let google = Provider::google();
    let flux = Setup::with(&[&google]).start();
    google.always(|_| {
        let retry = json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.07s"});
        Answer::json(
            429,
            &json!({"error": {"code": 429, "message": PROVIDER_WORDS, "status": "RESOURCE_EXHAUSTED",
            "details": [{"@type": "type.googleapis.com/google.rpc.QuotaFailure"}, retry]}}),
        )
    });
    for stream in [false, true] {
        let mut question = ask_chat("flux-pinned-gemini-3-5-flash-lite");
        question["stream"] = stream.into();
        let reply = flux.chat(&question);
        assert_chat_error(&reply, 503);
        assert_eq!(reply.header("retry-after"), "35");
        assert_tells_nothing(&reply);
    }
}

#[test]
fn the_total_deadline_bounds_all_attempts() {
    let (first, second) = (Provider::bearer("deepseek"), Provider::bearer("together"));
    let setup = SHORT.iter().fold(Setup::with(&[&first, &second]), |setup, (name, value)| setup.env(name, value));
    let flux = setup.env("FLUX_TIMEOUTS__TOTAL_MS", "1000").start();
    first.always(|_| Answer::silence());
    second.always(|_| Answer::silence());
    let reply = flux.chat(&ask_chat(PAIR));
    assert!([503, 504].contains(&reply.status), "{}", reply.text());
    assert_chat_error(&reply, reply.status);
    first.wait_for_left(1);
}

#[test]
fn t54_an_overloaded_anthropic_stream_before_content_is_a_failed_attempt() {
    let anthropic = Provider::anthropic();
    let flux = Setup::with(&[&anthropic]).start();
    let error = json!({"type": "error", "error": {"type": "overloaded_error", "message": PROVIDER_WORDS}});
    let stream = answers::messages_stream(&["never"], &json!({"input_tokens": 10}), 1);
    let failing: [Vec<String>; 2] = [
        vec![answers::messages_event(&error)],
        vec![stream[0].clone(), stream[2].clone(), answers::messages_event(&error)],
    ];
    for events in failing {
        anthropic.next(Answer::sse(&events));
        let reply = flux.messages(&ask_messages_stream("claude-3-5-haiku-latest"));
        assert_eq!(reply.status, 503, "nothing had gone out, so it is no 200: {}", reply.text());
        assert_eq!(reply.json()["type"], "error");
        assert_tells_nothing(&reply);
    }
    assert_eq!(flux.ledger().len(), 0);
}

#[test]
fn t54_t10_an_overloaded_anthropic_provider_is_passed_over_and_one_message_start_is_sent() {
    // No alias of the catalogue has two providers of Anthropic's format without a cloud's own signature, so the
    // test's own catalogue gives one to haiku.
    let dir = super::config::with_second_anthropic();
    let (first, second) = (Provider::anthropic(), Provider::second_anthropic());
    let flux = Setup::with(&[&first, &second]).config(dir.path()).start();
    let error = json!({"type": "error", "error": {"type": "overloaded_error", "message": PROVIDER_WORDS}});
    let stream = answers::messages_stream(&["never"], &json!({"input_tokens": 10}), 1);
    first.next(Answer::sse(&[stream[0].clone(), answers::messages_event(&error)]));
    let reply = flux.messages(&ask_messages_stream("flux-pinned-claude-haiku-5-5")).expect_status(200);
    let starts = sse::events(&reply.body).iter().filter(|event| event.name == "message_start").count();
    assert_eq!(starts, 1, "{}", reply.text());
    assert_eq!(sse::messages_text(&reply.body), "Hello from the provider.");
    assert_eq!(reply.header("x-flux-attempts"), "2");
}

#[test]
fn t10_exactly_one_role_chunk_after_failover() {
    let pair = Pair::start();
    let role = chat_event(&json!({"role": "assistant", "content": ""}), None);
    pair.first.next(Answer::sse_steps(vec![Step::Send(role.into_bytes()), Step::Reset]));
    let reply = pair.flux.chat(&ask_chat_stream(PAIR)).expect_status(200);
    let has_role = |event: &sse::Event| event.data.contains("\"role\"");
    assert_eq!(sse::events(&reply.body).iter().filter(|event| has_role(event)).count(), 1, "{}", reply.text());
}

#[test]
fn t09_a_fallback_is_charged_once_and_all_choices_count() {
    let pair = Pair::start();
    pair.first.next(Answer::failure(503));
    let mut body = ask_chat(PAIR);
    body["n"] = 3.into();
    pair.second.next(Answer::json(200, &chat_body("one of three", &chat_usage(1000, 1500))));
    let reply = pair.flux.chat(&body).expect_status(200);
    let row = pair.flux.only_row();
    assert_eq!((row.number("output"), row.amount_nano()), (1500, reply.cost_nano()));
    assert!(row.amount_nano() > 0);
}

#[test]
fn many_clients_fail_over_at_once() {
    const CLIENTS: usize = 8;
    const REQUESTS: usize = 10;
    let pair = Pair::start();
    pair.first.always(|_| Answer::failure(503));
    let threads: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let addr = pair.flux.addr;
            let text = format!("client {client}");
            let request = pair.flux.chat_request(ask_chat_saying(&text).to_string().as_bytes());
            spawn(move || {
                let mut conn = super::http::Conn::open(addr);
                (0..REQUESTS).for_each(|_| {
                    conn.ask(&request).expect_status(200);
                });
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("a client");
    }
    assert_eq!((pair.first.count(), pair.second.count()), (CLIENTS * REQUESTS, CLIENTS * REQUESTS));
    wait_for("all rows", || pair.flux.ledger().len() == CLIENTS * REQUESTS);
}

fn ask_chat_saying(text: &str) -> Value {
    json!({"messages": [{"role": "user", "content": text}], "model": PAIR})
}

/// Comments show that a provider is there, and an empty delta that it has begun; neither is an answer.
#[test]
fn a_stream_without_content_is_left_for_the_next_provider() {
    let (first, second) = (Provider::bearer("deepseek"), Provider::bearer("together"));
    let setup = Setup::with(&[&first, &second]).env("FLUX_TIMEOUTS__FIRST_TOKEN_MS", "700");
    let flux = setup.start();
    let mut steps = vec![Step::Send(chat_event(&json!({"role": "assistant", "content": ""}), None).into_bytes())];
    for _ in 0..400 {
        steps.push(Step::Send(b": processing\n\n".to_vec()));
        steps.push(Step::Pause(Duration::from_millis(50)));
    }
    first.next(Answer::sse_steps(steps));
    second.next(Answer::sse(&answers::chat_stream(&["hello"], &chat_usage(5, 5))));
    let reply = flux.chat(&ask_chat_stream(PAIR)).expect_status(200);
    assert_eq!((reply.header("x-flux-provider"), sse::chat_text(&reply.body)), ("together", "hello".to_owned()));
    first.wait_for_left(1);
    assert!(flux.metric("flux_attempt_failures_total", &["deepseek", "first_token_timeout"]) > 0.0);
}
