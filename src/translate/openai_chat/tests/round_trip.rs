//! What is read and written again says the same: the identity on what the format and a host of it can say.
//!
//! Compared is what a body means, not how it is spelt: its JSON without regard to escapes, blanks and the order of
//! members.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value as Json, json};

use super::support::{envelope, read, target};
use crate::catalog::Target;
use crate::catalog::provider::Dialect;
use crate::catalog::thinking::ThinkingControl;
use crate::translate::ir::Value;
use crate::translate::openai_chat::{read_request, write_request};

/// How many marks a provider heeds.
const MARKS_MAX: usize = 4;

fn text() -> impl Strategy<Value = String> {
    "[a-z \\\\\"ä😀\n\t]{1,12}"
}

/// A part with or without a mark for the cache, as the host spells it.
fn part(mark: &'static str) -> impl Strategy<Value = Json> {
    let bare = prop_oneof![
        text().prop_map(|text| json!({ "type": "text", "text": text })),
        Just(
            json!({ "type": "image_url", "image_url": { "url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low" } })
        ),
        Just(json!({ "type": "image_url", "image_url": { "url": "https://a.example/\u{e4}.png" } })),
        Just(json!({ "type": "input_audio", "input_audio": { "data": "UklGRg==", "format": "wav" } })),
        Just(
            json!({ "type": "file", "file": { "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0=" } })
        ),
    ];
    let marks = match mark {
        "cache_control" => vec![json!({ "type": "ephemeral" }), json!({ "type": "ephemeral", "ttl": "1h" })],
        _ => vec![json!({ "mode": "explicit", "ttl": "30m" }), json!({ "mode": "explicit", "ttl": "12h" })],
    };
    (bare, proptest::option::weighted(0.2, select(marks))).prop_map(move |(mut part, said)| {
        if let Some(said) = said {
            part[mark] = said;
        }
        part
    })
}

fn call() -> impl Strategy<Value = Json> {
    // No arguments at all become an empty object.
    let arguments = prop_oneof![Just("{}".to_owned()), Just("{\"x\":\"\\n\"}".to_owned()), text()];
    let id = "[a-z0-9]{1,8}";
    prop_oneof![
        (id, arguments).prop_map(|(id, arguments)| json!({
            "id": id, "type": "function", "function": { "name": "f", "arguments": arguments }
        })),
        (id, text())
            .prop_map(|(id, input)| json!({ "id": id, "type": "custom", "custom": { "name": "c", "input": input } })),
    ]
}

/// What both hosts can be told.
fn any_message(mark: &'static str) -> impl Strategy<Value = Json> {
    let parts = move |least| proptest::collection::vec(part(mark), least..4);
    // Of one text alone nothing shows that it was a list.
    let list = parts(1).prop_filter("one text is a string", |parts| {
        parts.len() > 1 || parts[0]["type"] != "text" || parts[0].as_object().is_some_and(|part| part.len() > 2)
    });
    let texts = proptest::collection::vec(text().prop_map(|text| json!({ "type": "text", "text": text })), 2..4);
    prop_oneof![
        (select(&["system", "user"][..]), text(), any::<bool>()).prop_map(|(role, text, is_named)| {
            let mut message = json!({ "role": role, "content": text });
            if is_named {
                message["name"] = json!("ann");
            }
            message
        }),
        list.prop_map(|parts| json!({ "role": "user", "content": parts })),
        text().prop_map(|text| json!({ "role": "assistant", "content": text })),
        ("[a-z]{1,4}", prop_oneof![text().prop_map(Json::from), texts.prop_map(Json::from)])
            .prop_map(|(id, content)| json!({ "role": "tool", "tool_call_id": id, "content": content })),
    ]
}

/// What only the maker of the format can be told.
fn makers_message() -> impl Strategy<Value = Json> {
    let calls = || proptest::collection::vec(call(), 1..3);
    prop_oneof![
        text().prop_map(|text| json!({ "role": "developer", "content": text })),
        text().prop_map(|text| json!({ "role": "assistant", "content": null, "refusal": text })),
        (proptest::option::of(text()), calls())
            .prop_map(|(text, calls)| json!({ "role": "assistant", "content": text, "tool_calls": calls })),
    ]
}

/// What only a host can be told that wants its details back.
fn hosts_message() -> impl Strategy<Value = Json> {
    text().prop_map(|text| {
        json!({ "role": "assistant", "content": "so",
            "reasoning_details": [{ "type": "reasoning.text", "text": text, "signature": "s" }] })
    })
}

fn makers_settings() -> impl Strategy<Value = Json> {
    let tools = json!([
        { "type": "function", "function": { "name": "f", "description": "d", "parameters": { "a": [1, 2.5] }, "strict": true } },
        { "type": "function", "function": { "name": "g" } },
        { "type": "custom", "custom": { "name": "c", "format": { "type": "grammar", "grammar": { "syntax": "lark", "definition": "x" } } } },
    ]);
    let named = json!({ "type": "function", "function": { "name": "f" } });
    let custom = json!({ "type": "custom", "custom": { "name": "c" } });
    let allowed = json!({ "type": "allowed_tools", "allowed_tools": { "mode": "required", "tools": [named, custom] } });
    let choices = vec![json!("auto"), json!("none"), json!("required"), named, custom, allowed];
    let schema = json!({ "type": "json_schema", "json_schema": { "name": "n", "description": "d", "schema": { "b": 1 }, "strict": true } });
    prop_oneof![
        Just(json!({})),
        Just(
            json!({ "temperature": 0.5, "top_p": 1, "seed": -7, "frequency_penalty": 0.25, "presence_penalty": -1.5 })
        ),
        Just(
            json!({ "max_completion_tokens": 100, "stop": ["a\"", "\u{1f600}"], "n": 2, "logit_bias": { "7": -100 } })
        ),
        Just(json!({ "logprobs": true, "top_logprobs": 3, "verbosity": "low", "service_tier": "flex" })),
        Just(json!({ "safety_identifier": "u", "metadata": { "a": "b\n" }, "prompt_cache_key": "k" })),
        Just(json!({ "stream": true, "stream_options": { "include_usage": true } })),
        select(vec![json!({ "type": "json_object" }), schema]).prop_map(|format| json!({ "response_format": format })),
        (select(choices), any::<bool>()).prop_map(move |(choice, is_parallel)| {
            json!({ "tools": tools, "tool_choice": choice, "parallel_tool_calls": is_parallel })
        }),
    ]
}

fn hosts_settings() -> impl Strategy<Value = Json> {
    select(vec![
        json!({}),
        json!({ "top_k": 7, "temperature": 0.5, "max_tokens": 100, "stop": ["a"] }),
        json!({ "modalities": ["image", "text"], "user": "u", "verbosity": "high" }),
        json!({ "reasoning": { "effort": "high" } }),
        json!({ "reasoning": { "max_tokens": 2_048, "exclude": true } }),
        json!({ "reasoning": { "enabled": false } }),
    ])
}

fn body(messages: &[Json], settings: Json) -> Json {
    let mut body = json!({ "model": "m-1", "messages": messages });
    let Json::Object(settings) = settings else { return body };
    body.as_object_mut().unwrap().extend(settings);
    body
}

fn check(asked: &Json, to: &Target, mark: &str) -> Result<(), TestCaseError> {
    let spelt = asked.to_string();
    prop_assume!(spelt.matches(mark).count() <= MARKS_MAX);
    let first = read(&spelt).unwrap();
    prop_assert!(first.ignored.is_empty(), "{:?}", first.ignored);
    let written = write_request(&first, to).unwrap();
    prop_assert!(written.ignored.is_empty(), "{:?}", written.ignored);
    prop_assert_eq!(&serde_json::from_slice::<Json>(&written.body).unwrap(), asked);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_maker_is_told_what_was_said(
        messages in proptest::collection::vec(
            prop_oneof![any_message("prompt_cache_breakpoint"), makers_message()], 1..8),
        settings in makers_settings(),
    ) {
        let to = target(Dialect::Openai, |_| {});
        check(&body(&messages, settings), &to, "prompt_cache_breakpoint")?;
    }

    #[test]
    fn a_host_is_told_what_was_said(
        messages in proptest::collection::vec(prop_oneof![any_message("cache_control"), hosts_message()], 1..8),
        settings in hosts_settings(),
    ) {
        let to = target(Dialect::Openrouter, |model| {
            model.capabilities.reasoning = true;
            model.thinking.control = ThinkingControl::Effort;
        });
        check(&body(&messages, settings), &to, "cache_control")?;
    }

    #[test]
    fn writing_again_changes_nothing(
        messages in proptest::collection::vec(
            prop_oneof![any_message("prompt_cache_breakpoint"), makers_message(), hosts_message()], 1..8),
    ) {
        let asked = body(&messages, json!({})).to_string();
        for (_, dialect) in Dialect::NAMES {
            let to = target(dialect, |_| {});
            // What this host cannot be told is refused by name.
            let Ok(once) = write_request(&read(&asked).unwrap(), &to) else { continue };
            if once.body.windows(13).any(|part| part == b"\"messages\":[]") {
                continue;
            }
            let again = read_request(Value::parse(&once.body).unwrap(), &envelope()).unwrap();
            let twice = write_request(&again, &to).unwrap();
            let said = |body: &[u8]| serde_json::from_slice::<Json>(body).unwrap();
            prop_assert_eq!(said(&once.body), said(&twice.body), "{:?}", dialect);
        }
    }
}
