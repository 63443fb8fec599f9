//! Chat Completions, as OpenAI-compatible hosts take it.

use serde_json::Value;

use super::{Is, TEXT_OR_NULL, check, list};

const CALL: Is = Is::Kinds(&[(
    "function",
    &[("id!", Is::Text), ("function!", Is::Fields(&[("name!", Is::Text), ("arguments!", Is::Text)]))],
)]);
const TEXT_PART: Is = Is::Kinds(&[("text", &[("text!", Is::Text)])]);
const USER_PART: Is = Is::Kinds(&[
    ("text", &[("text!", Is::Text)]),
    (
        "image_url",
        &[(
            "image_url!",
            Is::Either(&Is::Fields(&[("url!", Is::Text), ("detail", Is::Word(&["auto", "low", "high"]))]), &Is::Text),
        )],
    ),
    ("file", &[("file!", Is::Object)]),
    ("input_audio", &[("input_audio!", Is::Object)]),
]);
const MESSAGE: Is = Is::Fields(&[
    ("role!", Is::Word(&["system", "developer", "user", "assistant", "tool"])),
    ("content", Is::Either(&TEXT_OR_NULL, &Is::List(&USER_PART))),
    ("name", Is::Text),
    ("tool_calls", Is::List(&CALL)),
    ("tool_call_id", Is::Text),
    ("refusal", TEXT_OR_NULL),
    // Hosts with open models.
    ("reasoning", Is::Text),
    ("reasoning_content", Is::Text),
]);
const TOOL: Is = Is::Kinds(&[(
    "function",
    &[(
        "function!",
        Is::Fields(&[("name!", Is::Text), ("description", Is::Text), ("parameters", Is::Object), ("strict", Is::Bool)]),
    )],
)]);
const FORMAT: Is = Is::Kinds(&[
    ("text", &[]),
    ("json_object", &[]),
    (
        "json_schema",
        &[(
            "json_schema!",
            Is::Fields(&[("name!", Is::Text), ("schema", Is::Object), ("strict", Is::Bool), ("description", Is::Text)]),
        )],
    ),
]);
const REQUEST: Is = Is::Fields(&[
    ("model!", Is::Text),
    ("messages!", Is::List(&MESSAGE)),
    ("stream", Is::Bool),
    ("stream_options", Is::Fields(&[("include_usage", Is::Bool)])),
    ("max_tokens", Is::Number),
    ("max_completion_tokens", Is::Number),
    ("temperature", Is::Number),
    ("top_p", Is::Number),
    ("presence_penalty", Is::Number),
    ("frequency_penalty", Is::Number),
    ("seed", Is::Number),
    ("random_seed", Is::Number),
    ("n", Is::Number),
    ("stop", Is::Either(&Is::Text, &Is::List(&Is::Text))),
    ("tools", Is::List(&TOOL)),
    ("tool_choice", Is::Either(&Is::Word(&["none", "auto", "required", "any"]), &Is::Object)),
    ("parallel_tool_calls", Is::Bool),
    ("response_format", FORMAT),
    ("reasoning_effort", Is::Word(&["none", "minimal", "low", "medium", "high", "xhigh", "max"])),
    ("include_reasoning", Is::Bool),
    ("logprobs", Is::Bool),
    ("top_logprobs", Is::Number),
    ("service_tier", Is::Text),
    ("user", Is::Text),
    ("safety_identifier", Is::Text),
    ("prompt_cache_key", Is::Text),
    ("metadata", Is::Object),
]);

/// What is wrong with a request.
pub(crate) fn faults(body: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    check(body, REQUEST, "body", &mut faults);
    let mut open: Vec<&str> = Vec::new();
    for (i, message) in list(&body["messages"]).enumerate() {
        let role = message["role"].as_str().unwrap_or_default();
        if role == "tool" {
            let id = message["tool_call_id"].as_str().unwrap_or_default();
            match open.iter().position(|call| *call == id) {
                Some(place) => drop(open.swap_remove(place)),
                None => faults.push(format!(
                    "messages[{i}]: role 'tool' must be a response to a preceding message with 'tool_calls'"
                )),
            }
            continue;
        }
        if !open.is_empty() {
            faults.push(format!("messages[{i}]: tool_call_ids did not have response messages: {open:?}"));
        }
        open = list(&message["tool_calls"]).filter_map(|call| call["id"].as_str()).collect();
        if role != "user" && message["content"].is_array() {
            check(&message["content"], Is::List(&TEXT_PART), &format!("messages[{i}].content"), &mut faults);
        }
        if role != "assistant" && message["content"].is_null() {
            faults.push(format!("messages[{i}]: content is missing"));
        }
    }
    if body["tool_choice"] != Value::Null && body["tools"] == Value::Null {
        faults.push("'tool_choice' is only allowed when 'tools' are specified".to_owned());
    }
    faults
}
