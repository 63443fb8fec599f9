//! Conversations: who speaks, calls and results, signatures, media.

use super::*;
use crate::translate::ir::{Media, Source};

fn media(source: Source<'static>) -> Media<'static> {
    Media { source, name: None, detail: None }
}

fn inline(media_type: &'static str) -> Media<'static> {
    media(Source::Inline { media_type: Text::plain(media_type), base64: Text::plain("aGk=") })
}

fn image() -> Part<'static> {
    PartKind::Image(inline("image/png")).into()
}

fn contents(json: &Json) -> Json {
    json!({ "contents": json })
}

fn texts(role: &str, all: &[&str]) -> Json {
    json!({"role": role, "parts": all.iter().map(|text| json!({"text": text})).collect::<Vec<_>>()})
}

#[test]
fn instructions_stay_in_their_place_and_speakers_take_turns() {
    let request = talk(vec![
        (Role::System, vec![words("be \"kind\"\n")]),
        (Role::Developer, vec![words("be brief")]),
        (Role::User, vec![words("a"), words(" ")]),
        (Role::User, vec![words("b")]),
        (Role::Assistant, vec![words("c")]),
        (Role::System, vec![words("now French")]),
        (Role::User, vec![words("d")]),
        (Role::Assistant, vec![words("Bien")]),
    ]);
    let written = check(
        &request,
        &target(NEW),
        &json!({
            "systemInstruction": {"parts": [{"text": "be \"kind\"\n"}, {"text": "be brief"}]},
            "contents": [
                texts("user", &["a", "b"]),
                texts("model", &["c"]),
                texts("user", &["<system>now French</system>", "d"]),
                texts("model", &["Bien"]),
            ],
        }),
    );
    assert_eq!(written.ignored, ["messages[5].role"]);
    check(&talk(vec![(Role::System, vec![words("s")])]), &target(NEW), &contents(&json!([texts("user", &["s"])])));
    check_refused(&talk(vec![(Role::User, vec![words(" ")])]), &target(NEW), InvalidFault::Request, "messages");
}

fn two_calls(first: Part<'static>, second: Part<'static>, results: Vec<Part<'static>>) -> Request<'static> {
    let mut turns = vec![(Role::User, vec![words("Weather in Bonn and Ulm?")]), (Role::Assistant, vec![first, second])];
    turns.extend(results.into_iter().map(|result| (Role::Tool, vec![result])));
    talk(turns)
}

#[test]
fn t46_parallel_calls_keep_ids_and_results_stand_in_their_order() {
    let bonn = signed(call("call_1", "wx", r#"{"city":"Bonn","n":1.10}"#), "CsQB", NEW);
    let results =
        vec![failed("call_2", vec![words("no station")]), result("call_1", vec![words("7 C"), words("windy")])];
    let request = two_calls(bonn, call("call_2", "wx2", r#"{"city":"Ulm"}"#), results);
    let written = check(
        &request,
        &target(NEW),
        &contents(&json!([
            texts("user", &["Weather in Bonn and Ulm?"]),
            {"role": "model", "parts": [
                {"functionCall": {"id": "call_1", "name": "wx", "args": {"city": "Bonn", "n": 1.10}}, "thoughtSignature": "CsQB"},
                {"functionCall": {"id": "call_2", "name": "wx2", "args": {"city": "Ulm"}}},
            ]},
            {"role": "user", "parts": [
                {"functionResponse": {"id": "call_1", "name": "wx", "response": {"output": "7 C\nwindy"}}},
                {"functionResponse": {"id": "call_2", "name": "wx2", "response": {"error": "no station"}}},
            ]},
        ])),
    );
    assert!(String::from_utf8(written.body).unwrap().contains(r#""n":1.10"#));
    assert!(written.ignored.is_empty());
}

#[test]
fn a_result_that_is_an_object_is_one_there() {
    for (text, response) in [
        (r#"{"a": [1, "x\n"]}"#, json!({"a": [1, "x\n"]})),
        ("\n {\"a\":1} \n", json!({"a": 1})),
        (r#"{"a""#, json!({"output": "{\"a\""})),
        ("[1]", json!({"output": "[1]"})),
        ("no {}", json!({"output": "no {}"})),
        ("", json!({"output": ""})),
    ] {
        let request = two_calls(
            call("1", "f", ""),
            call("2", "f", "{}"),
            vec![result("1", vec![words(text)]), result("2", vec![])],
        );
        check_field(&request, &target(OLD), "/contents/2/parts/0/functionResponse/response", &response);
    }
}

#[test]
fn calls_without_ids_are_answered_in_their_order() {
    let (first, second) = (result("", vec![words("x")]), result("", vec![words("y")]));
    let request = two_calls(call("", "f", "{}"), call("", "g", "{}"), vec![first, second]);
    check_field(
        &request,
        &target(OLD),
        "/contents/2/parts",
        &json!([
            {"functionResponse": {"name": "f", "response": {"output": "x"}}},
            {"functionResponse": {"name": "g", "response": {"output": "y"}}},
        ]),
    );
    let orphan = talk(vec![(Role::User, vec![words("a")]), (Role::Tool, vec![result("9", vec![])])]);
    check_refused(&orphan, &target(NEW), InvalidFault::Request, "messages[0]");
}

#[test]
fn arguments_that_are_no_object_are_wrapped() {
    for (arguments, args, is_told) in [
        ("", json!({}), false),
        (" \n", json!({}), false),
        ("{\"a\":", json!({"_raw": "{\"a\":"}), true),
        ("[1]", json!({"_raw": "[1]"}), true),
        ("{ \"a\" : 1 }", json!({"a": 1}), false),
    ] {
        let request = talk(vec![
            (Role::User, vec![words("a")]),
            (Role::Assistant, vec![call("1", "f", arguments)]),
            (Role::Tool, vec![result("1", vec![words("x")])]),
        ]);
        let written = check_field(&request, &target(NEW), "/contents/1/parts/0/functionCall/args", &args);
        assert_eq!(
            written.ignored.contains(&"messages[1].tool_calls[].function.arguments".into()),
            is_told,
            "{arguments:?}"
        );
    }
}

#[test]
fn results_come_before_what_the_user_adds_and_alone() {
    let request = talk(vec![
        (Role::User, vec![words("a")]),
        (Role::Assistant, vec![words("I look."), call("1", "f", "{}")]),
        (Role::User, vec![words("and hurry"), result("1", vec![words("x"), image()])]),
    ]);
    let model = |signature: Json| {
        let mut call = json!({"functionCall": {"id": "1", "name": "f", "args": {}}});
        if signature.is_string() {
            call["thoughtSignature"] = signature;
        }
        json!({"role": "model", "parts": [{"text": "I look."}, call]})
    };
    let picture = json!({"inlineData": {"mimeType": "image/png", "data": "aGk="}});
    let new = json!({"functionResponse": {"id": "1", "name": "f", "response": {"output": "x"}, "parts": [picture]}});
    check(
        &request,
        &target(NEW),
        &contents(&json!([
            texts("user", &["a"]),
            model(Json::Null),
            {"role": "user", "parts": [new]},
            texts("user", &["and hurry"]),
        ])),
    );
    let old = json!({"functionResponse": {"id": "1", "name": "f", "response": {"output": "x"}}});
    check(
        &request,
        &target(OLD),
        &contents(&json!([
            texts("user", &["a"]),
            model(Json::Null),
            {"role": "user", "parts": [old]},
            {"role": "user", "parts": [{"text": "image 1 of the results:"}, picture, {"text": "and hurry"}]},
        ])),
    );
}

/// The model's parts of a step that is answered, and what became of them.
#[track_caller]
fn check_step(parts: Vec<Part<'static>>, name: &str, expected: &Json) {
    let calls: Vec<&'static str> = ["1", "2"].into_iter().filter(|id| has_call(&parts, id)).collect();
    let mut turns = vec![(Role::User, vec![words("a")]), (Role::Assistant, parts)];
    turns.extend(calls.into_iter().map(|id| (Role::Tool, vec![result(id, vec![words("x")])])));
    check_field(&talk(turns), &target(name), "/contents/1/parts", expected);
}

fn has_call(parts: &[Part<'_>], id: &str) -> bool {
    parts.iter().filter_map(|part| part.kind.as_call()).any(|call| call.id.is(id))
}

#[test]
fn signatures_come_back_in_their_place() {
    let f =
        |signature: &str| json!({"functionCall": {"id": "1", "name": "f", "args": {}}, "thoughtSignature": signature});
    let g = json!({"functionCall": {"id": "2", "name": "f", "args": {}}});
    let hidden = || signed(thought(""), "c2ln", NEW);
    let (first, second) = (|| call("1", "f", "{}"), || call("2", "f", "{}"));
    let cases = [
        // On the part itself.
        (vec![signed(first(), "c2ln", NEW), second()], json!([f("c2ln"), g])),
        (vec![signed(words("b"), "c2ln", NEW)], json!([{"text": "b", "thoughtSignature": "c2ln"}])),
        // On a thought before or behind it, as clients of other formats keep it.
        (vec![hidden(), first(), second()], json!([f("c2ln"), g])),
        (vec![first(), hidden(), second()], json!([f("c2ln"), g])),
        (vec![signed(thought("hm"), "c2ln", NEW), first()], json!([{"text": "hm", "thought": true}, f("c2ln")])),
        (vec![words("b"), hidden()], json!([{"text": "b", "thoughtSignature": "c2ln"}])),
        (
            vec![words("b"), hidden(), signed(first(), "ZmM=", NEW)],
            json!([{"text": "b", "thoughtSignature": "c2ln"}, f("ZmM=")]),
        ),
        (
            vec![first(), second(), hidden()],
            json!([f("skip_thought_signature_validator"), g, {"text": "", "thoughtSignature": "c2ln"}]),
        ),
        (vec![hidden(), signed(first(), "c2ln", NEW), hidden()], json!([f("c2ln")])),
        // Lost, or another model's.
        (vec![first(), second()], json!([f("skip_thought_signature_validator"), g])),
        (vec![signed(first(), "c2ln", OLD)], json!([f("skip_thought_signature_validator")])),
        (vec![thought("unsigned"), words("b")], json!([{"text": "b"}])),
        (vec![signed(thought("foreign"), "c2ln", OLD)], json!([{"text": "."}])),
    ];
    for (parts, expected) in cases {
        check_step(parts, NEW, &expected);
    }
    let bare = json!({"functionCall": {"id": "1", "name": "f", "args": {}}});
    check_step(vec![first()], OLD, &json!([bare]));
    let other = Blob { kind: BlobKind::AnthropicSignature, token: Text::plain("c2ln"), maker: None };
    check_step(vec![Part { blob: Some(other), ..words("b") }], NEW, &json!([{"text": "b"}]));
    let unnamed = Blob { kind: BlobKind::GeminiSignature, token: Text::plain("c2ln"), maker: None };
    check_step(vec![Part { blob: Some(unnamed), ..first() }], NEW, &json!([f("c2ln")]));
}

#[test]
fn only_the_turn_at_hand_needs_the_placeholder() {
    let step = |id| (Role::Assistant, vec![call(id, "f", "{}")]);
    let back = |id| (Role::Tool, vec![result(id, vec![])]);
    let ask = || (Role::User, vec![words("a")]);
    let request = talk(vec![ask(), step("1"), back("1"), ask(), step("2"), back("2"), step("3"), back("3")]);
    let written = write_request(&request, &target(NEW)).unwrap();
    let body: Json = serde_json::from_slice(&written.body).unwrap();
    assert_eq!(rules::faults(NEW, &body), Vec::<String>::new());
    let signed: Vec<bool> = body["contents"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|c| c["role"] == "model")
        .map(|c| c["parts"][0].get("thoughtSignature").is_some())
        .collect();
    assert_eq!(signed, [false, true, true]);
}

#[test]
fn media_go_inline_or_by_address() {
    let url = |url: &'static str| media(Source::Url(Text::plain(url)));
    let with_detail =
        |detail: &'static str| PartKind::Image(Media { detail: Some(Text::plain(detail)), ..inline("image/png") });
    let png = json!({"mimeType": "image/png", "data": "aGk="});
    let resolution = |level: &str| json!({"inlineData": png, "mediaResolution": {"level": level}});
    for (kind, expected) in [
        (PartKind::Image(inline("image/png")), json!({"inlineData": png})),
        (with_detail("low"), resolution("MEDIA_RESOLUTION_LOW")),
        (with_detail("high"), resolution("MEDIA_RESOLUTION_HIGH")),
        (with_detail("auto"), json!({"inlineData": png})),
        (
            PartKind::File(inline("application/pdf")),
            json!({"inlineData": {"mimeType": "application/pdf", "data": "aGk="}}),
        ),
        (PartKind::Audio(inline("audio/wav")), json!({"inlineData": {"mimeType": "audio/wav", "data": "aGk="}})),
        (
            PartKind::Image(url("https://x.example/a.JPG?w=1")),
            json!({"fileData": {"mimeType": "image/jpeg", "fileUri": "https://x.example/a.JPG?w=1"}}),
        ),
        (PartKind::Image(url("https://x.example/a")), json!({"fileData": {"fileUri": "https://x.example/a"}})),
        (PartKind::File(media(Source::Plain(Text::plain("words")))), json!({"text": "words"})),
    ] {
        let request = talk(vec![(Role::User, vec![kind.into()])]);
        check_field(&request, &target(NEW), "/contents/0/parts/0", &expected);
    }
    let stored = talk(vec![(Role::User, vec![PartKind::Image(media(Source::Id(Text::plain("file-1")))).into()])]);
    check_refused(&stored, &target(NEW), InvalidFault::Target, "messages[0].content");
    let by_url = talk(vec![(Role::User, vec![PartKind::Image(url("https://x.example/a.png")).into()])]);
    check_refused(&by_url, &target("gemini-2.0-flash"), InvalidFault::Target, "messages[0].content");
    let audio = talk(vec![(Role::User, vec![PartKind::Audio(inline("audio/wav")).into()])]);
    let deaf = changed(NEW, |model| model.capabilities.audio = false);
    check_refused(&audio, &deaf, InvalidFault::Target, "messages[0].content");
}
