//! Messages, as Anthropic takes it. Typed from anthropic 2.12.

use serde_json::Value;

use super::{Is, check, list};

const CACHE: Is = Is::Kinds(&[("ephemeral", &[("ttl", Is::Word(&["5m", "1h"]))])]);
const SOURCE: Is = Is::Kinds(&[
    ("base64", &[("media_type!", Is::Text), ("data!", Is::Text)]),
    ("url", &[("url!", Is::Text)]),
    ("text", &[("media_type!", Is::Text), ("data!", Is::Text)]),
    ("content", &[("content!", Is::Any)]),
]);
const TEXT: super::Fields = &[("text!", Is::Text), ("cache_control", CACHE), ("citations", Is::Any)];
const IMAGE: super::Fields = &[("source!", SOURCE), ("cache_control", CACHE)];
const DOCUMENT: super::Fields = &[
    ("source!", SOURCE),
    ("title", Is::Text),
    ("context", Is::Text),
    ("citations", Is::Object),
    ("cache_control", CACHE),
];
const RESULT_PART: Is = Is::Kinds(&[("text", TEXT), ("image", IMAGE), ("document", DOCUMENT)]);
const BLOCK: Is = Is::Kinds(&[
    ("text", TEXT),
    ("image", IMAGE),
    ("document", DOCUMENT),
    ("thinking", &[("thinking!", Is::Text), ("signature!", Is::Text)]),
    ("redacted_thinking", &[("data!", Is::Text)]),
    ("tool_use", &[("id!", Is::Text), ("name!", Is::Text), ("input!", Is::Object), ("cache_control", CACHE)]),
    (
        "tool_result",
        &[
            ("tool_use_id!", Is::Text),
            ("content", Is::Either(&Is::Text, &Is::List(&RESULT_PART))),
            ("is_error", Is::Bool),
            ("cache_control", CACHE),
        ],
    ),
]);
const TOOL: super::Fields = &[
    ("name!", Is::Text),
    ("description", Is::Text),
    ("input_schema!", Is::Object),
    ("strict", Is::Bool),
    ("cache_control", CACHE),
];
const CHOICE: Is = Is::Kinds(&[
    ("auto", &[("disable_parallel_tool_use", Is::Bool)]),
    ("any", &[("disable_parallel_tool_use", Is::Bool)]),
    ("tool", &[("name!", Is::Text), ("disable_parallel_tool_use", Is::Bool)]),
    ("none", &[]),
]);
const THINKING: Is = Is::Kinds(&[
    ("enabled", &[("budget_tokens!", Is::Number), ("display", Is::Text)]),
    ("adaptive", &[("display", Is::Text)]),
    ("disabled", &[]),
]);
const REQUEST: Is = Is::Fields(&[
    ("model!", Is::Text),
    ("max_tokens!", Is::Number),
    (
        "messages!",
        Is::List(&Is::Fields(&[
            ("role!", Is::Word(&["user", "assistant"])),
            ("content!", Is::Either(&Is::Text, &Is::List(&BLOCK))),
        ])),
    ),
    ("system", Is::Either(&Is::Text, &Is::List(&Is::Kinds(&[("text", TEXT)])))),
    ("stream", Is::Bool),
    ("stop_sequences", Is::List(&Is::Text)),
    ("temperature", Is::Number),
    ("top_p", Is::Number),
    ("top_k", Is::Number),
    ("tools", Is::List(&Is::Kinds(&[("", TOOL), ("custom", TOOL)]))),
    ("tool_choice", CHOICE),
    ("thinking", THINKING),
    (
        "output_config",
        Is::Fields(&[
            ("effort", Is::Word(&["low", "medium", "high", "xhigh", "max"])),
            ("format", Is::Kinds(&[("json_schema", &[("schema!", Is::Object)])])),
        ]),
    ),
    ("service_tier", Is::Word(&["auto", "standard_only"])),
    ("metadata", Is::Fields(&[("user_id", Is::Text)])),
]);

const CACHE_MARKS_MAX: usize = 4;

/// What is wrong with a request.
pub(crate) fn faults(body: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    check(body, REQUEST, "body", &mut faults);
    let marks = body.to_string().matches("\"cache_control\"").count();
    if marks > CACHE_MARKS_MAX {
        faults.push(format!("A maximum of 4 blocks with cache_control may be provided. Found {marks}."));
    }
    let mut open: Vec<&str> = Vec::new();
    let mut last_role = "assistant";
    for (i, message) in list(&body["messages"]).enumerate() {
        let role = message["role"].as_str().unwrap_or_default();
        if role == last_role {
            faults.push(format!("messages.{i}: roles must alternate"));
        }
        last_role = role;
        block_faults(i, message, &mut faults);
        for id in list(&message["content"]).filter(|block| block["type"] == "tool_result") {
            let id = id["tool_use_id"].as_str().unwrap_or_default();
            match open.iter().position(|call| *call == id) {
                Some(place) => drop(open.swap_remove(place)),
                None => {
                    faults.push(format!("messages.{i}: unexpected `tool_use_id` found in `tool_result` blocks: {id}"));
                }
            }
        }
        if !open.is_empty() {
            faults.push(format!("messages.{i}: `tool_use` ids were found without `tool_result` blocks: {open:?}"));
        }
        let calls = list(&message["content"]).filter(|block| block["type"] == "tool_use");
        open = calls.filter_map(|call| call["id"].as_str()).collect();
    }
    if last_role == "assistant" {
        faults.push("This model does not support assistant message prefill.".to_owned());
    }
    let is_forced = ["any", "tool"].iter().any(|kind| body["tool_choice"]["type"] == *kind);
    let thinks = ["enabled", "adaptive"].iter().any(|kind| body["thinking"]["type"] == *kind);
    if is_forced && thinks {
        faults.push("Thinking may not be enabled when tool_choice forces tool use.".to_owned());
    }
    faults
}

fn block_faults(i: usize, message: &Value, faults: &mut Vec<String>) {
    let is_empty = |content: &Value| content.as_str().is_some_and(str::is_empty) || *content == serde_json::json!([]);
    if is_empty(&message["content"]) {
        faults.push(format!("messages.{i}: all messages must have non-empty content"));
    }
    let mut results_are_over = false;
    for block in list(&message["content"]) {
        if block["type"] == "text" && block["text"].as_str().is_none_or(|text| text.trim().is_empty()) {
            faults.push(format!("messages.{i}: text content blocks must be non-empty"));
        }
        if block["type"] == "tool_result" && results_are_over {
            faults.push(format!("messages.{i}: tool_result blocks must come first"));
        }
        results_are_over |= block["type"] != "tool_result";
        if block["type"] == "thinking" && block["signature"].as_str().is_none_or(str::is_empty) {
            faults.push(format!("messages.{i}: Invalid `signature` in `thinking` block"));
        }
        let is_id = |id: &str| !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
        if block["id"].as_str().is_some_and(|id| !is_id(id)) {
            faults.push(format!("messages.{i}: tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"));
        }
    }
}
