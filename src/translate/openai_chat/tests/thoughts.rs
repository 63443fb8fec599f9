//! Thoughts and what is sealed with them make the round trip through a client, and go back to their maker alone.

use serde_json::{Value as Json, json};

use super::support::{envelope, of, read, target, view, written};
use crate::base::ids::AccountId;
use crate::catalog::provider::Dialect;
use crate::translate::envelope::{Envelope, SealingKey};
use crate::translate::ir::{Blob, BlobKind, CallKind, Event, Finish, PartKind, Request, Text, Value};
use crate::translate::openai_chat::{WholeWriter, read_request};
use crate::translate::{Closing, View};

fn sealed(kind: BlobKind, token: &'static str) -> Event<'static> {
    Event::Sealed(Blob { kind, token: Text::plain(token), maker: None })
}

/// The message that a client gets of these events.
fn message(events: &[Event<'_>]) -> Json {
    let mut writer = WholeWriter::new(view());
    for event in events {
        writer.event(event).unwrap();
    }
    writer.event(&Event::Finish { reason: Finish::Done, stop: None }).unwrap();
    let mut body: Json = serde_json::from_slice(&writer.close(&Closing::default())).unwrap();
    body["choices"][0]["message"].take()
}

fn sent_back(message: &Json) -> String {
    json!({ "model": "x", "messages": [{ "role": "user", "content": "a" }, message] }).to_string()
}

/// The parts of the assistant's turn, each with its token.
fn parts(request: &Request<'_>) -> Vec<String> {
    let show = |part: &crate::translate::ir::Part<'_>| {
        let blob = part.blob.as_ref().map_or(String::new(), |blob| {
            let maker = blob.maker.as_ref().map_or("?".to_owned(), |maker| maker.model.to_string());
            format!(" [{} {} {maker}]", blob.kind.name(), blob.token.to_plain())
        });
        let what = match &part.kind {
            PartKind::Text(text) => format!("text {}", text.to_plain()),
            PartKind::Thought(text) => format!("thought {}", text.to_plain()),
            PartKind::Call(call) => format!("call {}", call.id.to_plain()),
            other @ (PartKind::Image(_)
            | PartKind::File(_)
            | PartKind::Audio(_)
            | PartKind::Result(_)
            | PartKind::Refusal(_)) => format!("{other:?}"),
        };
        what + &blob
    };
    request.turns[1].parts.iter().map(show).collect()
}

fn talk() -> Vec<Event<'static>> {
    let text = Text::plain;
    let call = |index, id| Event::CallStart { index, id: text(id), name: text("f"), kind: CallKind::Function };
    vec![
        Event::Thought(text("plain ")),
        Event::PartEnd,
        Event::Thought(text("fir\u{1f600}")),
        Event::Thought(text("st")),
        sealed(BlobKind::AnthropicSignature, "s1"),
        sealed(BlobKind::AnthropicRedacted, "r"),
        Event::Thought(text("second")),
        sealed(BlobKind::AnthropicSignature, "s2"),
        Event::Text(text("hello")),
        sealed(BlobKind::GeminiSignature, "g0"),
        call(0, "a"),
        sealed(BlobKind::GeminiSignature, "g1"),
        call(1, "b"),
    ]
}

#[test]
fn each_thought_comes_back_with_its_own_token() {
    let message = message(&talk());
    assert_eq!(message["reasoning_content"], "plain fir\u{1f600}stsecond");
    let body = sent_back(&message);
    assert_eq!(
        parts(&read(&body).unwrap()),
        [
            "thought plain ",
            "thought fir\u{1f600}st [as s1 m-1]",
            "thought  [ar r m-1]",
            "thought second [as s2 m-1]",
            "text hello [gs g0 m-1]",
            "call a [gs g1 m-1]",
            "call b",
        ]
    );
}

#[test]
fn tokens_of_others_are_dropped_and_so_are_signatures_of_changed_text() {
    let body = sent_back(&message(&talk()));
    let stranger = Envelope::new(SealingKey([7; 32]), AccountId(2));
    let request = read_request(Value::parse(body.as_bytes()).unwrap(), &stranger).unwrap();
    assert!(request.turns[1].parts.iter().all(|part| part.blob.is_none()));
    let mut changed = message(&talk());
    changed["reasoning_content"] = json!("short");
    let body = sent_back(&changed);
    assert_eq!(parts(&read(&body).unwrap())[..3], ["thought  [ar r m-1]", "thought short", "text hello [gs g0 m-1]"]);
}

#[test]
fn tokens_of_the_formats_own_hosts_stay_as_they_are() {
    let details = json!([{ "type": "reasoning.text", "text": "x", "signature": "s" }]);
    let body =
        sent_back(&json!({ "role": "assistant", "content": "a", "reasoning": "x", "reasoning_details": details }));
    let request = read(&body).unwrap();
    assert_eq!(parts(&request)[0], format!("thought x [cd {details} ?]"));
    let (out, _) = written(&request, &of(Dialect::Openrouter)).unwrap();
    assert_eq!(out["messages"][1]["reasoning_details"], details);
    let (out, _) = written(&request, &of(Dialect::Openai)).unwrap();
    assert_eq!(out["messages"][1], json!({ "role": "assistant", "content": "a" }));
    let signed = json!([{ "id": "a", "function": { "name": "f", "arguments": "{}" },
        "extra_content": { "google": { "thought_signature": "g" } } }]);
    let body = sent_back(&json!({ "role": "assistant", "tool_calls": signed }));
    assert_eq!(parts(&read(&body).unwrap()), ["call a [gs g ?]"]);
}

#[test]
fn deepseek_gets_its_thoughts_back_with_calls() {
    let calls = json!([{ "id": "a", "type": "function", "function": { "name": "f", "arguments": "{}" } }]);
    let with = |members: Json| {
        let mut message = json!({ "role": "assistant", "content": null, "tool_calls": calls });
        for (name, value) in members.as_object().unwrap() {
            message[name] = value.clone();
        }
        message
    };
    let other = View { maker: crate::translate::ir::Maker { provider: "other".into(), model: "m-1".into() }, ..view() };
    let mut writer = WholeWriter::new(other);
    writer.event(&Event::Thought(Text::plain("foreign"))).unwrap();
    writer.event(&sealed(BlobKind::ChatText, "")).unwrap();
    let body: Json = serde_json::from_slice(&writer.close(&Closing::default())).unwrap();
    let foreign = json!({ "reasoning_content": "foreign",
        "reasoning_details": body["choices"][0]["message"]["reasoning_details"] });
    for (message, sent) in [
        (with(json!({ "reasoning_content": "own" })), Some("own")),
        (with(json!({})), Some("")),
        (with(foreign), Some("")),
        (json!({ "role": "assistant", "content": "a", "reasoning_content": "own" }), None),
    ] {
        let body = sent_back(&message);
        let (out, _) = written(&read(&body).unwrap(), &of(Dialect::Deepseek)).unwrap();
        assert_eq!(out["messages"][1].get("reasoning_content").and_then(Json::as_str), sent, "{message}");
    }
    let body = sent_back(&with(json!({ "reasoning_content": "own" })));
    let (out, _) = written(&read(&body).unwrap(), &target(Dialect::Vllm, |_| {})).unwrap();
    assert_eq!(out["messages"][1]["reasoning"], "own");
    assert!(envelope().eq(&envelope()));
}
