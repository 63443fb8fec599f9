//! Anthropic Messages as the vendor speaks it: reading the request, writing the answer and its stream.
//!
//! Must not know what is said or when it is sent: `answer` decides, `serve` waits.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::MockOptions;
use super::answer::{Asked, Exchange, Invalid, Said, content, event, id, pieces, say, tokens};

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    model: Cow<'a, str>,
    #[serde(borrow)]
    messages: Vec<Message<'a>>,
    max_tokens: u64,
    stream: Option<bool>,
    #[serde(borrow)]
    system: Option<&'a RawValue>,
    #[serde(borrow)]
    tools: Option<Vec<&'a RawValue>>,
    tool_choice: Option<ToolChoice>,
    output_config: Option<Value>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(borrow)]
    content: &'a RawValue,
}

#[derive(Deserialize)]
struct ToolChoice {
    #[serde(rename = "type")]
    kind: String,
    name: Option<String>,
}

#[derive(Deserialize)]
struct Tool {
    name: Option<String>,
    input_schema: Option<Value>,
}

/// Reads a request and decides what is said.
pub(super) fn read(body: &[u8], options: &MockOptions) -> Result<Exchange, Invalid> {
    let request: Request<'_> = serde_json::from_slice(body).map_err(|error| explain(&error))?;
    if request.model.is_empty() {
        return Err(Invalid::new(400, "model: String should have at least 1 character"));
    }
    if request.max_tokens == 0 {
        return Err(Invalid::new(400, "max_tokens: must be greater than or equal to 1"));
    }
    let last = check_messages(&request.messages)?;
    let heard = content(last.content)?;
    let prompt_bytes = request.messages.iter().map(|message| message.content.get().len());
    let tools_bytes = request.tools.iter().flatten().chain(&request.system).map(|raw| raw.get().len());
    let prompt_tokens = tokens(prompt_bytes.chain(tools_bytes).sum());
    let schema = request.output_config.as_ref().and_then(|config| config.pointer("/format/schema"));
    let asked = Asked {
        last_text: heard.text,
        images: heard.images,
        after_tool: heard.has_tool_result,
        tool: chosen_tool(request.tools.as_deref().unwrap_or_default(), request.tool_choice.as_ref())?,
        json_schema: schema.cloned(),
        max_tokens: Some(request.max_tokens),
    };
    Ok(Exchange {
        id: id("msg_", body),
        model: request.model.into_owned(),
        streamed: request.stream.unwrap_or(false),
        wants_usage: true,
        choices: 1,
        said: say(asked, options),
        prompt_tokens,
    })
}

fn explain(error: &serde_json::Error) -> Invalid {
    let kind = if error.is_data() { "Invalid request" } else { "The request body is not valid JSON" };
    Invalid::new(400, format!("{kind}: {error}"))
}

fn check_messages<'m, 'a>(messages: &'m [Message<'a>]) -> Result<&'m Message<'a>, Invalid> {
    for (at, Message { role, content }) in messages.iter().enumerate() {
        if !matches!(role.as_ref(), "user" | "assistant" | "system") {
            return Err(Invalid::new(400, format!("messages.{at}.role: Input should be 'user' or 'assistant'")));
        }
        if !content.get().starts_with(['"', '[']) {
            return Err(Invalid::new(400, format!("messages.{at}.content: Input should be a valid string or array")));
        }
    }
    if messages.first().is_some_and(|first| first.role != "user") {
        return Err(Invalid::new(400, "messages: first message must use the \"user\" role"));
    }
    messages.last().ok_or_else(|| Invalid::new(400, "messages: at least one message is required"))
}

fn chosen_tool(tools: &[&RawValue], choice: Option<&ToolChoice>) -> Result<Option<(String, Value)>, Invalid> {
    if tools.is_empty() && choice.is_some() {
        return Err(Invalid::new(400, "tool_choice: may only be specified while providing tools"));
    }
    let (kind, wanted) = choice.map_or(("auto", None), |choice| (choice.kind.as_str(), choice.name.as_deref()));
    for (at, raw) in tools.iter().enumerate() {
        let tool: Tool =
            serde_json::from_str(raw.get()).map_err(|error| Invalid::new(400, format!("tools.{at}: {error}")))?;
        // The vendor's own tools have no schema: it runs them itself.
        let (Some(name), Some(schema)) = (tool.name, tool.input_schema) else { continue };
        if kind == "none" {
            return Ok(None);
        }
        if wanted.is_none_or(|wanted| wanted == name) {
            return Ok(Some((name, schema)));
        }
    }
    match wanted {
        None => Ok(None),
        Some(name) => Err(Invalid::new(400, format!("tool_choice: Tool '{name}' not found in provided tools"))),
    }
}

/// The answer in one piece.
pub(super) fn whole(exchange: &Exchange, usage_told: bool) -> Value {
    let block = match &exchange.said {
        Said::Text { text, cut: _ } => json!({"type": "text", "text": text, "citations": null}),
        Said::Call { name, arguments } => {
            json!({"type": "tool_use", "id": tool_use_id(exchange), "name": name, "input": arguments})
        }
    };
    let mut message = envelope(exchange, &json!([block]));
    message["stop_reason"] = json!(stop_reason(&exchange.said));
    if usage_told {
        message["usage"] = usage(exchange, exchange.completion_tokens());
    }
    message
}

/// The answer as a stream.
pub(super) fn frames(exchange: &Exchange, chunk_chars: usize, usage_told: bool) -> Vec<Bytes> {
    let mut start = envelope(exchange, &json!([]));
    if usage_told {
        start["usage"] = usage(exchange, 1);
    }
    let block = match &exchange.said {
        Said::Text { text: _, cut: _ } => json!({"type": "text", "text": ""}),
        Said::Call { name, arguments: _ } => {
            json!({"type": "tool_use", "id": tool_use_id(exchange), "name": name, "input": {}})
        }
    };
    let mut frames = vec![
        typed(&json!({"type": "message_start", "message": start})),
        typed(&json!({"type": "content_block_start", "index": 0, "content_block": block})),
        typed(&json!({"type": "ping"})),
    ];
    let mut delta = |delta: Value| {
        frames.push(typed(&json!({"type": "content_block_delta", "index": 0, "delta": delta})));
    };
    match &exchange.said {
        Said::Text { text, cut: _ } => {
            pieces(text, chunk_chars).for_each(|piece| delta(json!({"type": "text_delta", "text": piece})));
        }
        Said::Call { name: _, arguments } => {
            delta(json!({"type": "input_json_delta", "partial_json": ""}));
            for piece in pieces(&arguments.to_string(), chunk_chars) {
                delta(json!({"type": "input_json_delta", "partial_json": piece}));
            }
        }
    }
    frames.push(typed(&json!({"type": "content_block_stop", "index": 0})));
    let delta = json!({"stop_reason": stop_reason(&exchange.said), "stop_sequence": null});
    let mut end = json!({"type": "message_delta", "delta": delta});
    if usage_told {
        end["usage"] = json!({"output_tokens": exchange.completion_tokens()});
    }
    frames.push(typed(&end));
    frames.push(typed(&json!({"type": "message_stop"})));
    frames
}

/// A frame that is named by its `type`.
fn typed(json: &Value) -> Bytes {
    event(json.get("type").and_then(Value::as_str).unwrap_or_default(), json)
}

fn envelope(exchange: &Exchange, blocks: &Value) -> Value {
    json!({
        "id": exchange.id, "type": "message", "role": "assistant", "model": exchange.model, "content": blocks,
        "stop_reason": null, "stop_sequence": null,
    })
}

fn stop_reason(said: &Said) -> &'static str {
    match said {
        Said::Text { text: _, cut: false } => "end_turn",
        Said::Text { text: _, cut: true } => "max_tokens",
        Said::Call { name: _, arguments: _ } => "tool_use",
    }
}

fn tool_use_id(exchange: &Exchange) -> String {
    format!("toolu_{}", exchange.id.trim_start_matches("msg_"))
}

fn usage(exchange: &Exchange, output_tokens: usize) -> Value {
    json!({
        "input_tokens": exchange.prompt_tokens, "output_tokens": output_tokens,
        "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "service_tier": "standard",
    })
}

/// An error body.
pub(super) fn error(invalid: &Invalid) -> Value {
    let kind = match invalid.status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        503 | 529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    };
    let error = json!({"type": kind, "message": invalid.message});
    json!({"type": "error", "error": error, "request_id": "req_mock"})
}
