//! What Flux must carry and must not keep: mixed traffic for a while, readers that do not read, bodies that swell.
//!
//! Must not know Flux's buffers: it looks at the process from outside, by its memory, its files and its gauges.

use std::time::Duration;

use serde_json::json;

use super::answers::{self, Answer, DONE, Gate, Step, chat_events, chat_usage, chat_usage_event};
use super::harness::{Flux, Setup, ask_chat, ask_chat_stream, spawn, wait_for};
use super::http::{Conn, request};
use super::passthrough::assert_chat_error;
use super::provider::{Provider, Recorded};

/// Served by groq in Chat's format alone, whatever the client speaks.
const MODEL: &str = "flux-pinned-gpt-oss-20b";

/// Memory that the process holds, in KB.
pub(crate) fn resident_kb(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("its memory");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse().ok()).expect("a number")
}

/// Files and sockets that it has open.
pub(super) fn open_files(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).expect("a process").count()
}

/// Fails in its own way every few requests, by what the request says.
fn faulty(request: &Recorded) -> Answer {
    let (is_streamed, text) = (request.json()["stream"] == true, request.text());
    let events = answers::chat_stream(&["Once ", "upon ", "a time."], &chat_usage(10, 5));
    let step = |event: &String| Step::Send(event.clone().into_bytes());
    if text.contains("fail") {
        Answer::failure(500)
    } else if text.contains("reset") {
        Answer(vec![Step::Reset])
    } else if text.contains("cut") {
        Answer::sse_steps(events[..2].iter().map(step).chain([Step::Close]).collect())
    } else if text.contains("leave") {
        Answer::sse_steps(events[..2].iter().map(step).chain([Step::Hang]).collect())
    } else if is_streamed {
        Answer::sse(&events)
    } else {
        Answer::json(200, &answers::chat_body("Hello", &chat_usage(10, 5)))
    }
}

/// One round of everything that a client does and a provider suffers.
fn round(flux: &Flux) -> Vec<Vec<u8>> {
    let saying = |text: &str, is_streamed: bool| {
        let mut body = if is_streamed { ask_chat_stream(MODEL) } else { ask_chat(MODEL) };
        body["messages"] = json!([{"role": "user", "content": format!("{text} {}", "words ".repeat(200))}]);
        flux.chat_request(body.to_string().as_bytes())
    };
    vec![
        saying("well", false),
        saying("well", true),
        saying("fail", false),
        saying("reset", true),
        saying("cut", true),
        flux.chat_request(ask_chat("no-such-model").to_string().as_bytes()),
        flux.chat_request(b"{\"model\":"),
        flux.messages_request(ask_chat(MODEL).to_string().as_bytes()),
        saying("leave", true),
    ]
}

/// So many rounds by a few clients at once.
fn mixed_traffic(flux: &Flux, rounds: usize) {
    const CLIENTS: usize = 4;
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (addr, requests) = (flux.addr, round(flux));
            spawn(move || {
                for _ in 0..rounds / CLIENTS {
                    let (leaving, others) = requests.split_last().expect("requests");
                    for request in others {
                        Conn::open(addr).ask(request);
                    }
                    let mut conn = Conn::open(addr);
                    conn.write(leaving);
                    conn.head();
                    conn.read_until("Once");
                }
            })
        })
        .collect();
    for client in clients {
        client.join().expect("a client");
    }
    wait_for("no running request", || flux.metric("flux_requests_in_flight", &[]).abs() < f64::EPSILON);
}

/// A short hour: what grows with each request shows after a thousand of them as well.
#[test]
fn t37_mixed_traffic_leaves_nothing_behind() {
    const ROUNDS: usize = 100;
    let groq = Provider::groq();
    groq.always(faulty);
    let flux = Setup::with(&[&groq]).start();
    mixed_traffic(&flux, ROUNDS);
    groq.forget();
    let (files, kb) = (open_files(flux.pid()), resident_kb(flux.pid()));
    for _ in 0..2 {
        mixed_traffic(&flux, ROUNDS);
        groq.forget();
    }
    let grown = resident_kb(flux.pid()).saturating_sub(kb);
    assert!(grown < 16 << 10, "{grown} KB more after {} requests", ROUNDS * 2 * 9);
    // Connections to the provider are kept for the next request.
    wait_for("connections to be closed", || open_files(flux.pid()) <= files + 8);
    assert_eq!(flux.run_json(&["reconcile", "--json"])["ok"], true);
}

#[test]
fn t39_a_reader_that_does_not_read_holds_the_provider_back() {
    const EVENT_BYTES: usize = 256 << 10;
    // More than the sockets of both sides can take in together.
    const EVENTS: usize = 320;
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    flux.chat(&ask_chat("gpt-4o-mini")).expect_status(200);
    let before = resident_kb(flux.pid());
    let all_sent = Gate::default();
    let mut events = chat_events(&["Once "]);
    let bulky = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_790_000_000, "choices": [],
        "pad": "x".repeat(EVENT_BYTES)});
    let bulky = format!("data: {bulky}\n\n");
    let last = events.pop().expect("the finish");
    let send = |event: &str| Step::Send(event.as_bytes().to_vec());
    let mut steps: Vec<Step> = events.iter().map(|event| send(event)).collect();
    steps.extend((0..EVENTS).map(|_| send(&bulky)));
    steps.extend([Step::Open(all_sent.clone()), send(&last), send(&chat_usage_event(&chat_usage(10, 5))), send(DONE)]);
    openai.next(Answer::sse_steps(steps));
    let mut conn = flux.connect();
    conn.write(&flux.chat_request(ask_chat_stream("gpt-4o-mini").to_string().as_bytes()));
    assert_eq!(conn.head(), 200);
    assert!(!all_sent.is_open_within(Duration::from_millis(1_500)), "the provider could send all of it");
    let grown = resident_kb(flux.pid()).saturating_sub(before);
    assert!(grown < 16 << 10, "{grown} KB are held for a reader that does not read");
    // Nobody else waits for it.
    flux.chat(&ask_chat("gpt-4o-mini")).expect_status(200);
    let reply = conn.rest();
    assert!(reply.is_complete && reply.body.len() > EVENTS * EVENT_BYTES, "{} bytes", reply.body.len());
    assert!(all_sent.is_open_within(Duration::from_secs(5)));
    let rows = flux.wait_for_rows(3);
    assert!(rows.iter().all(|row| row.text("ending") == "done"), "{rows:#?}");
}

/// What is packed is not unpacked at all, so that nothing can swell.
#[test]
fn t40_a_packed_body_is_refused_before_it_is_read() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let plain = ask_chat("gpt-4o-mini").to_string();
    for coding in ["gzip", "br", "zstd", "deflate", "gzip, gzip"] {
        let bearer = flux.bearer();
        let headers =
            [("authorization", bearer.as_str()), ("content-type", "application/json"), ("content-encoding", coding)];
        let bytes = request("POST", "/v1/chat/completions", &headers, &answers::gzip(plain.as_bytes()));
        assert_chat_error(&flux.ask(&bytes), 400);
    }
    assert_eq!((openai.count(), flux.ledger().len()), (0, 0));
}
