//! Golden files of what clients of each format are told: of every error of a provider of each format, while a provider
//! is silent, and when another format takes over in the same stream.
//!
//! Must not know how an error is judged: what a client sees is written down, and read by people when it changes.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::json;

use super::answers::{Answer, Gate};
use super::harness::Setup;
use super::http::Reply;
use super::provider::Provider;
use super::speakers::Speaker;
use super::voices::{Said, Voice};

/// The statuses that real providers answer with.
const STATUSES: [u16; 11] = [400, 401, 402, 403, 404, 408, 413, 429, 500, 503, 529];
const COMMENT: &str = ": keep-alive\n\n";

/// Compares with, or becomes, a file in `tests/golden/errors`.
fn assert_golden(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/errors"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name.to_owned(), text));
}

/// What the real API says of itself with this status: type (or status by name), code and message.
fn words(voice: Voice, status: u16) -> (&'static str, &'static str, &'static str) {
    match (voice, status) {
        (Voice::Messages, 400) => ("invalid_request_error", "", "temperature: range: 0..1"),
        (Voice::Messages, 401) => ("authentication_error", "", "invalid x-api-key sk-ant-1"),
        (Voice::Messages, 402) => ("billing_error", "", "the balance of org-7 is used up"),
        (Voice::Messages, 403) => ("permission_error", "", "your key may not use this"),
        (Voice::Messages, 404) => ("not_found_error", "", "model: claude-x"),
        (Voice::Messages, 408) => ("timeout_error", "", "the request took too long to come in"),
        (Voice::Messages, 413) => ("request_too_large", "", "Request exceeds the maximum size"),
        (Voice::Messages, 429) => ("rate_limit_error", "", "this would exceed the limit of org-7"),
        (Voice::Messages, 529) => ("overloaded_error", "", "Overloaded"),
        (Voice::Messages, _) => ("api_error", "", "Internal server error"),
        (Voice::Gemini, 400) => ("INVALID_ARGUMENT", "", "temperature must be in the range [0.0, 2.0]"),
        (Voice::Gemini, 401) => ("UNAUTHENTICATED", "", "Request had invalid credentials"),
        (Voice::Gemini, 402 | 429) => ("RESOURCE_EXHAUSTED", "", "You exceeded your current quota"),
        (Voice::Gemini, 403) => ("PERMISSION_DENIED", "", "the project 42 has no access"),
        (Voice::Gemini, 404) => ("NOT_FOUND", "", "models/gemini-x is not found"),
        (Voice::Gemini, 408) => ("DEADLINE_EXCEEDED", "", "the request took too long to come in"),
        (Voice::Gemini, 413) => ("INVALID_ARGUMENT", "", "Request payload size exceeds the limit"),
        (Voice::Gemini, 500) => ("INTERNAL", "", "An internal error has occurred"),
        (Voice::Gemini, _) => ("UNAVAILABLE", "", "The model is overloaded"),
        (_, 400) => ("invalid_request_error", "invalid_value", "Invalid 'temperature': must be at most 2"),
        (_, 401) => ("invalid_request_error", "invalid_api_key", "Incorrect API key provided: sk-1"),
        (_, 402) => ("insufficient_funds", "", "the balance of org-7 is used up"),
        (_, 403) => ("permission_error", "", "the project proj_1 has no access"),
        (_, 404) => ("invalid_request_error", "model_not_found", "The model `gpt-x` does not exist"),
        (_, 408) => ("timeout", "", "the request took too long to come in"),
        (_, 413) => ("invalid_request_error", "", "The request is too large"),
        (_, 429) => ("tokens", "rate_limit_exceeded", "Rate limit reached for org-7"),
        (_, _) => ("server_error", "", "The server had an error"),
    }
}

/// The error as the real API spells it.
fn failing(voice: Voice, status: u16) -> Answer {
    let (kind, code, message) = words(voice, status);
    let code = Some(code).filter(|code| !code.is_empty());
    let param = (status == 400).then_some("temperature");
    let body = match voice {
        Voice::Messages => json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}),
        Voice::Gemini => {
            let wait = json!([{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "6.2s"}]);
            let details = if status == 429 { wait } else { json!([]) };
            json!({"error": {"code": status, "message": message, "status": kind, "details": details}})
        }
        Voice::Chat | Voice::Responses => {
            json!({"error": {"message": message, "type": kind, "param": param, "code": code}})
        }
    };
    let mut headers = vec![("content-type", "application/json")];
    if matches!(status, 429 | 503 | 529) && voice != Voice::Gemini {
        headers.push(("retry-after", "7"));
    }
    Answer::bytes(status, &headers, body.to_string().as_bytes())
}

/// What a client sees of an error.
fn told(reply: &Reply) -> String {
    let mut body = reply.json();
    if body["request_id"] == reply.header("x-flux-request-id") {
        body["request_id"] = json!("ID");
    }
    let mut told = reply.status.to_string();
    for name in ["retry-after", "x-should-retry"] {
        if let Some(value) = reply.headers.get(name) {
            write!(told, " {name}={value}").expect("room");
        }
    }
    format!("{told} {body}")
}

#[test]
fn errors_of_providers_are_told_in_the_clients_format() {
    for voice in Voice::ALL {
        let provider = voice.provider();
        let flux = Setup::with(&[&provider]).holding(super::config::with_luna_of_responses()).start();
        let mut shown = String::new();
        for status in STATUSES {
            provider.always(move |_| failing(voice, status));
            for speaker in Speaker::ALL {
                let reply = speaker.send(&flux, &speaker.question(voice.model(), "hi", false));
                writeln!(shown, "{status} for {speaker:?}: {}", told(&reply)).expect("room");
            }
        }
        assert_golden(&format!("{voice:?}").to_lowercase(), &shown);
    }
}

/// A stream without what differs from run to run: our ids, times, and how many comments were due.
fn settled(reply: &Reply) -> String {
    let mut text = reply.text();
    while text.contains(&COMMENT.repeat(2)) {
        text = text.replace(&COMMENT.repeat(2), COMMENT);
    }
    let id = reply.header("x-flux-request-id");
    let bare = id.rsplit(['_', '-']).next().unwrap_or(id);
    text = text.replace(bare, "ID");
    for name in ["\"created\":", "\"created_at\":", "\"completed_at\":"] {
        let mut out = String::new();
        for (at, piece) in text.split(name).enumerate() {
            if at > 0 {
                out.push_str(name);
                out.push_str("TIME");
            }
            out.push_str(if at > 0 { piece.trim_start_matches(|c: char| c.is_ascii_digit()) } else { piece });
        }
        text = out;
    }
    text
}

#[test]
fn t62_another_format_takes_over_in_the_middle_of_a_waiting_stream() {
    let (first, second) = (Provider::anthropic(), Provider::google());
    let lane = super::config::with_lane_of_formats("\"google/gemini-3.5-flash-lite\"");
    let flux = Setup::with(&[&first, &second]).holding(lane).env("FLUX_TIMEOUTS__PING_MS", "50").start();
    for speaker in Speaker::ALL {
        let (gate, next) = (Gate::default(), Gate::default());
        first.next(failing(Voice::Messages, 529).after(&gate));
        let said = Said { thought: "Let me see.", text: "From Gemini.", ..Said::default() };
        second.next(Answer::sse(&Voice::Gemini.stream(&said)).after(&next));
        let question = speaker.question("flux-fast", "hi", true);
        let mut client = flux.connect();
        client.write(&speaker.bytes(&flux, speaker.path(), &question));
        assert_eq!(client.head(), 200);
        assert!(client.read_until(COMMENT));
        gate.open();
        assert!(client.read_until(&COMMENT.repeat(3)));
        next.open();
        let reply = client.rest();
        assert!(reply.is_complete);
        assert!(reply.text().starts_with(COMMENT), "comments are all that may stand before the first event");
        assert_golden(&format!("takeover.{speaker:?}").to_lowercase(), &settled(&reply));
    }
    assert_eq!((first.count(), second.count()), (3, 3));
}
