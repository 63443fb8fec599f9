//! The mock itself: what it takes, refuses and says.

use serde_json::{Value, json};

use super::super::http::Headers;
use super::*;

const NEW: &str = "gemini-4-argon";
const OLD: &str = "gemini-2.5-flash-lite";

fn user(text: &str) -> Value {
    json!({"role": "user", "parts": [{"text": text}]})
}

fn calls(parts: &Value) -> Value {
    json!({"role": "model", "parts": parts})
}

fn results(parts: &Value) -> Value {
    json!({"role": "user", "parts": parts})
}

#[test]
fn a_good_request_is_taken() {
    let step = calls(&json!([
        {"functionCall": {"id": "1", "name": "f", "args": {}}, "thoughtSignature": "c2ln"},
        {"functionCall": {"id": "2", "name": "g", "args": {"a": 1}}},
    ]));
    let back = results(&json!([
        {"functionResponse": {"id": "1", "name": "f", "response": {"output": "x"}}},
        {"functionResponse": {"id": "2", "name": "g", "response": {"error": "y"}}},
    ]));
    let body = json!({
        "systemInstruction": {"parts": [{"text": "s"}]},
        "contents": [user("a"), step, back],
        "tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": {"type": "object"}}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
        "generationConfig": {"maxOutputTokens": 5, "thinkingConfig": {"thinkingLevel": "LOW", "includeThoughts": true}},
    });
    assert_eq!(rules::faults(NEW, &body), Vec::<String>::new());
}

#[test]
fn what_the_real_one_refuses_is_refused() {
    let call = json!({"functionCall": {"id": "1", "name": "f", "args": {}}, "thoughtSignature": "c2ln"});
    let bare = json!({"functionCall": {"id": "1", "name": "f", "args": {}}});
    let answer = |id: &str, name: &str| json!({"functionResponse": {"id": id, "name": name, "response": {}}});
    let with_config = |config: Value| json!({"contents": [user("a")], "generationConfig": config});
    for (model, body, complaint) in [
        (NEW, json!({"contents": [user("a")], "model": "m"}), "Unknown name \"model\""),
        (NEW, json!({"contents": []}), "contents is not specified"),
        (NEW, json!({"contents": [calls(&json!([{"text": "a"}]))]}), "first turn"),
        (NEW, json!({"contents": [{"role": "assistant", "parts": [{"text": "a"}]}]}), "contents[0].role"),
        (NEW, json!({"contents": [{"role": "user", "parts": []}]}), "must not be empty"),
        (NEW, json!({"contents": [{"role": "user", "parts": [{"text": "a", "inlineData": {"data": ""}}]}]}), "oneof"),
        (NEW, json!({"contents": [{"role": "user", "parts": [{"inlineData": {"data": "a b"}}]}]}), "inlineData.data"),
        (NEW, json!({"contents": [results(&json!([call]))]}), "not the user's"),
        (
            NEW,
            json!({"contents": [user("a"), calls(&json!([bare])), results(&json!([answer("1", "f")]))]}),
            "signature",
        ),
        (NEW, json!({"contents": [user("a"), calls(&json!([call])), user("b")]}), "number of function response"),
        (
            NEW,
            json!({"contents": [user("a"), calls(&json!([call])), results(&json!([answer("2", "f")]))]}),
            "does not answer",
        ),
        (
            NEW,
            json!({"contents": [user("a"), calls(&json!([call])), results(&json!([answer("1", "g")]))]}),
            "does not answer",
        ),
        (NEW, json!({"contents": [user("a"), results(&json!([answer("1", "f")]))]}), "immediately after"),
        (NEW, with_config(json!({"maxTokens": 1})), "Unknown name \"maxTokens\" at 'generationConfig'"),
        (NEW, with_config(json!({"stopSequences": ["1", "2", "3", "4", "5", "6"]})), "stopSequences"),
        (NEW, with_config(json!({"thinkingConfig": {"thinkingBudget": 5}})), "budget"),
        (OLD, with_config(json!({"thinkingConfig": {"thinkingLevel": "LOW"}})), "level"),
        (NEW, with_config(json!({"responseJsonSchema": {}})), "application/json"),
        (NEW, json!({"contents": [user("a")], "toolConfig": {}}), "without tools"),
        (
            OLD,
            json!({"contents": [user("a")], "tools": [{"functionDeclarations": [{"name": "f",
                "parameters": {"type": "object", "additionalProperties": false}}]}]}),
            "Unknown name \"additionalProperties\"",
        ),
        (NEW, json!({"contents": [user("a")], "tools": [{"functionDeclarations": [{"name": "1"}]}]}), "function name"),
    ] {
        let faults = rules::faults(model, &body);
        assert!(faults.iter().any(|fault| fault.contains(complaint)), "{body} should give {complaint}: {faults:?}");
    }
}

fn request(target: &str, key: &str, body: &Value) -> Recorded {
    let headers = Headers(vec![("x-goog-api-key".to_owned(), key.to_owned())]);
    Recorded { target: target.to_owned(), headers, body: body.to_string().into_bytes(), connection: 0 }
}

#[test]
fn it_answers_as_it_is_asked() {
    let whole = "POST /v1beta/models/gemini-4-argon:generateContent";
    let streamed = "POST /v1beta/models/gemini-4-argon:streamGenerateContent?alt=sse";
    let good = json!({"contents": [user("a")]});
    for (target, key, body, count) in [
        (whole, "k", &good, 0),
        (streamed, "k", &good, 0),
        (whole, "other", &good, 1),
        ("POST /v1beta/models/gemini-4-argon:streamGenerateContent", "k", &good, 1),
        ("POST /v1/chat/completions", "k", &good, 1),
        (whole, "k", &json!({"contents": [user("a")], "messages": []}), 1),
    ] {
        assert_eq!(faults_of(&request(target, key, body), "k").len(), count, "{target} {key} {body}");
    }
    let parts = [words("two words"), thinking_calls("hm", &[("f", json!({})), ("g", json!({"a": 1}))])].concat();
    let script = answering(parts, usage(10, 5, 3));
    let said = |target: &str, body: &Value| format!("{:?}", script(&request(target, "k", body)));
    assert_ne!(said(whole, &good), said(streamed, &good));
    assert!(!said(whole, &json!({})).is_empty());
}
