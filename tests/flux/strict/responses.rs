//! Responses, as OpenAI takes it. Typed from openai 3.54.

use serde_json::Value;

use super::{Is, TEXT_OR_NULL, check, list};

const INPUT_PART: Is = Is::Kinds(&[
    ("input_text", &[("text!", Is::Text), ("prompt_cache_breakpoint", Is::Object)]),
    (
        "input_image",
        &[
            ("image_url", TEXT_OR_NULL),
            ("file_id", TEXT_OR_NULL),
            ("detail", Is::Word(&["low", "high", "auto", "original"])),
            ("prompt_cache_breakpoint", Is::Object),
        ],
    ),
    (
        "input_file",
        &[
            ("file_data", Is::Text),
            ("file_url", Is::Text),
            ("file_id", TEXT_OR_NULL),
            ("filename", Is::Text),
            ("prompt_cache_breakpoint", Is::Object),
        ],
    ),
]);
const OUTPUT_PART: Is = Is::Kinds(&[
    (
        "output_text",
        &[("text!", Is::Text), ("annotations", Is::List(&Is::Object)), ("logprobs", Is::List(&Is::Object))],
    ),
    ("refusal", &[("refusal!", Is::Text)]),
]);
const ANY_PART: Is = Is::Either(&INPUT_PART, &OUTPUT_PART);
const STATUS: Is = Is::Word(&["in_progress", "completed", "incomplete"]);
const MESSAGE: super::Fields = &[
    ("role!", Is::Word(&["user", "assistant", "system", "developer"])),
    ("content!", Is::Either(&Is::Text, &Is::List(&ANY_PART))),
    ("id", Is::Text),
    ("status", STATUS),
    ("phase", Is::Text),
];
const ITEM: Is = Is::Kinds(&[
    ("", MESSAGE),
    ("message", MESSAGE),
    (
        "function_call",
        &[("call_id!", Is::Text), ("name!", Is::Text), ("arguments!", Is::Text), ("id", Is::Text), ("status", STATUS)],
    ),
    (
        "function_call_output",
        &[
            ("call_id!", Is::Text),
            ("output!", Is::Either(&Is::Text, &Is::List(&INPUT_PART))),
            ("id", Is::Text),
            ("status", STATUS),
        ],
    ),
    ("custom_tool_call", &[("call_id!", Is::Text), ("name!", Is::Text), ("input!", Is::Text), ("id", Is::Text)]),
    (
        "custom_tool_call_output",
        &[("call_id!", Is::Text), ("output!", Is::Either(&Is::Text, &Is::List(&INPUT_PART))), ("id", Is::Text)],
    ),
    (
        "reasoning",
        &[
            ("id", Is::Text),
            ("summary!", Is::List(&Is::Kinds(&[("summary_text", &[("text!", Is::Text)])]))),
            ("content", Is::List(&Is::Object)),
            ("encrypted_content", TEXT_OR_NULL),
            ("status", STATUS),
        ],
    ),
]);
const TOOL: Is = Is::Kinds(&[
    (
        "function",
        &[
            ("name!", Is::Text),
            ("description", TEXT_OR_NULL),
            ("parameters", Is::Either(&Is::Null, &Is::Object)),
            ("strict", Is::Either(&Is::Null, &Is::Bool)),
        ],
    ),
    ("custom", &[("name!", Is::Text), ("description", Is::Text), ("format", Is::Object)]),
]);
const FORMAT: Is = Is::Kinds(&[
    ("text", &[]),
    ("json_object", &[]),
    ("json_schema", &[("name!", Is::Text), ("schema!", Is::Object), ("strict", Is::Bool), ("description", Is::Text)]),
]);
const REQUEST: Is = Is::Fields(&[
    ("model!", Is::Text),
    ("input!", Is::Either(&Is::Text, &Is::List(&ITEM))),
    ("instructions", TEXT_OR_NULL),
    ("stream", Is::Bool),
    ("stream_options", Is::Fields(&[("include_obfuscation", Is::Bool)])),
    ("store", Is::Bool),
    ("include", Is::List(&Is::Word(&["reasoning.encrypted_content", "message.output_text.logprobs"]))),
    ("max_output_tokens", Is::Number),
    ("max_tool_calls", Is::Number),
    ("temperature", Is::Number),
    ("top_p", Is::Number),
    ("top_logprobs", Is::Number),
    ("tools", Is::List(&TOOL)),
    ("tool_choice", Is::Either(&Is::Word(&["none", "auto", "required"]), &Is::Object)),
    ("parallel_tool_calls", Is::Bool),
    ("text", Is::Fields(&[("format", FORMAT), ("verbosity", Is::Word(&["low", "medium", "high"]))])),
    (
        "reasoning",
        Is::Fields(&[
            ("effort", Is::Word(&["none", "minimal", "low", "medium", "high", "xhigh", "max"])),
            ("summary", Is::Word(&["auto", "concise", "detailed"])),
        ]),
    ),
    ("service_tier", Is::Text),
    ("truncation", Is::Word(&["auto", "disabled"])),
    ("metadata", Is::Object),
    ("user", Is::Text),
    ("safety_identifier", Is::Text),
    ("prompt_cache_key", Is::Text),
    ("prompt_cache_retention", Is::Text),
    ("previous_response_id", TEXT_OR_NULL),
]);

/// The least that may be asked for.
const OUTPUT_TOKENS_MIN: u64 = 16;

/// What is wrong with a request.
pub(crate) fn faults(body: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    check(body, REQUEST, "body", &mut faults);
    if body["max_output_tokens"].as_u64().is_some_and(|tokens| tokens < OUTPUT_TOKENS_MIN) {
        faults.push("integer_below_min_value: max_output_tokens".to_owned());
    }
    let mut calls: Vec<&str> = Vec::new();
    for (i, item) in list(&body["input"]).enumerate() {
        let id = item["call_id"].as_str().unwrap_or_default();
        match item["type"].as_str().unwrap_or("message") {
            "message" => message_faults(i, item, &mut faults),
            "function_call" | "custom_tool_call" => calls.push(id),
            "function_call_output" | "custom_tool_call_output" => match calls.iter().position(|call| *call == id) {
                Some(place) => drop(calls.remove(place)),
                None => faults.push(format!("No tool call found for function call output with call_id {id}.")),
            },
            "reasoning" if body["store"] == false && !item["encrypted_content"].is_string() => {
                faults.push(format!("Item {} not found: items are not persisted when store is false", item["id"]));
            }
            _ => {}
        }
    }
    faults.extend(calls.iter().map(|id| format!("No tool output found for function call {id}.")));
    for (i, tool) in list(&body["tools"]).enumerate() {
        let is_closed = tool["parameters"]["additionalProperties"] == false;
        if tool["strict"] == true && !is_closed {
            faults.push(format!("tools[{i}]: 'additionalProperties' is required to be supplied and to be false"));
        }
    }
    faults
}

/// What the user says is input, what the model says is output.
fn message_faults(i: usize, item: &Value, faults: &mut Vec<String>) {
    let part = if item["role"] == "assistant" { &OUTPUT_PART } else { &INPUT_PART };
    for (j, content) in list(&item["content"]).enumerate() {
        check(content, *part, &format!("input[{i}].content[{j}]"), faults);
    }
}
