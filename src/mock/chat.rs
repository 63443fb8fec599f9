//! OpenAI Chat Completions as a vendor speaks it: reading the request, writing the answer and its stream.
//!
//! Must not know what is said or when it is sent: `answer` decides, `serve` waits.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::MockOptions;
use super::answer::{Asked, Exchange, Invalid, Said, content, id, nameless, pieces, say, tokens};

/// The vendor's bound on `n`.
const CHOICES_MAX: u64 = 128;
/// `created` of every answer: the mock asks no clock.
const CREATED: u64 = 1_767_225_600;

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    model: Cow<'a, str>,
    #[serde(borrow)]
    messages: Vec<Message<'a>>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    n: Option<u64>,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    #[serde(borrow)]
    tools: Option<Vec<&'a RawValue>>,
    tool_choice: Option<Value>,
    response_format: Option<Value>,
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    tool_calls: Option<IgnoredAny>,
    function_call: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Tool {
    function: Option<Function>,
}

#[derive(Deserialize)]
struct Function {
    name: String,
    parameters: Option<Value>,
}

/// Reads a request and decides what is said.
pub(super) fn read(body: &[u8], options: &MockOptions) -> Result<Exchange, Invalid> {
    let request: Request<'_> = serde_json::from_slice(body).map_err(|error| explain(&error))?;
    if request.model.is_empty() {
        return Err(Invalid::field("model", "you must provide a model parameter"));
    }
    let choices = request.n.unwrap_or(1);
    if !(1..=CHOICES_MAX).contains(&choices) {
        return Err(Invalid::field("n", format!("Invalid 'n': {choices} is not between 1 and {CHOICES_MAX}.")));
    }
    let last = check_messages(&request.messages)?;
    let prompt_bytes = request.messages.iter().filter_map(|message| message.content).map(|raw| raw.get().len());
    let tools_bytes = request.tools.iter().flatten().map(|raw| raw.get().len());
    let prompt_tokens = tokens(prompt_bytes.chain(tools_bytes).sum());
    let heard = last.content.map_or_else(|| Ok(super::answer::Content::default()), content)?;
    let asked = Asked {
        last_text: heard.text,
        images: heard.images,
        after_tool: matches!(last.role.as_ref(), "tool" | "function"),
        tool: chosen_tool(request.tools.as_deref().unwrap_or_default(), request.tool_choice.as_ref())?,
        json_schema: json_schema(request.response_format.as_ref()),
        max_tokens: request.max_completion_tokens.or(request.max_tokens),
    };
    Ok(Exchange {
        id: id("chatcmpl-", body),
        model: request.model.into_owned(),
        streamed: request.stream.unwrap_or(false),
        wants_usage: request.stream_options.and_then(|options| options.include_usage).unwrap_or(false),
        choices: usize::try_from(choices).unwrap_or(1),
        said: say(asked, options),
        prompt_tokens,
    })
}

fn explain(error: &serde_json::Error) -> Invalid {
    if error.is_data() {
        Invalid::new(400, format!("Invalid request: {error}."))
    } else {
        Invalid::new(400, "We could not parse the JSON body of your request.")
    }
}

fn check_messages<'m, 'a>(messages: &'m [Message<'a>]) -> Result<&'m Message<'a>, Invalid> {
    for (at, Message { role, content, tool_calls, function_call }) in messages.iter().enumerate() {
        if !matches!(role.as_ref(), "developer" | "system" | "user" | "assistant" | "tool" | "function") {
            return Err(Invalid::field("messages", format!("Invalid value: '{role}' in messages[{at}].role.")));
        }
        let is_call = tool_calls.is_some() || function_call.is_some();
        match content {
            None if role == "assistant" && is_call => {}
            Some(raw) if raw.get().starts_with(['"', '[']) => {}
            Some(_) | None => {
                return Err(Invalid::field("messages", format!("Invalid value for messages[{at}].content.")));
            }
        }
    }
    messages.last().ok_or_else(|| Invalid::field("messages", "Invalid 'messages': empty array."))
}

fn chosen_tool(tools: &[&RawValue], choice: Option<&Value>) -> Result<Option<(String, Value)>, Invalid> {
    if tools.is_empty() {
        return match choice {
            None => Ok(None),
            Some(_) => Err(Invalid::field("tool_choice", "'tool_choice' is only allowed when 'tools' are specified.")),
        };
    }
    let wanted = choice.and_then(|choice| choice.pointer("/function/name")).and_then(Value::as_str);
    for (at, raw) in tools.iter().enumerate() {
        let tool: Tool = serde_json::from_str(raw.get())
            .map_err(|error| Invalid::field("tools", format!("Invalid tools[{at}]: {error}.")))?;
        let Some(Function { name, parameters }) = tool.function else { continue };
        if choice.and_then(Value::as_str) == Some("none") {
            return Ok(None);
        }
        if wanted.is_none_or(|wanted| wanted == name) {
            return Ok(Some((name, parameters.unwrap_or(Value::Null))));
        }
    }
    match wanted {
        None => Ok(None),
        Some(name) => Err(Invalid::field("tool_choice", format!("Tool choice '{name}' not found in 'tools'."))),
    }
}

fn json_schema(response_format: Option<&Value>) -> Option<Value> {
    let response_format = response_format?;
    match response_format.get("type")?.as_str()? {
        "json_object" => Some(Value::Null),
        "json_schema" => Some(response_format.pointer("/json_schema/schema").cloned().unwrap_or(Value::Null)),
        _ => None,
    }
}

/// The answer in one piece.
pub(super) fn whole(exchange: &Exchange, usage_told: bool) -> Value {
    let message = match &exchange.said {
        Said::Text { text, cut: _ } => {
            json!({"role": "assistant", "content": text, "refusal": null, "annotations": []})
        }
        Said::Call { name, arguments } => json!({
            "role": "assistant", "content": null, "refusal": null, "annotations": [],
            "tool_calls": [{
                "id": call_id(exchange, 0), "type": "function",
                "function": {"name": name, "arguments": arguments.to_string()},
            }],
        }),
    };
    let choices = (0..exchange.choices).map(|index| {
        let mut message = message.clone();
        if let Some(id) = message.pointer_mut("/tool_calls/0/id") {
            *id = json!(call_id(exchange, index));
        }
        json!({"index": index, "message": message, "logprobs": null, "finish_reason": finish_reason(&exchange.said)})
    });
    let mut answer = json!({
        "id": exchange.id, "object": "chat.completion", "created": CREATED, "model": exchange.model,
        "choices": choices.collect::<Value>(), "service_tier": "default", "system_fingerprint": "fp_mock",
    });
    if usage_told {
        answer["usage"] = usage(exchange);
    }
    answer
}

/// The answer as a stream: per choice the role, the pieces and the finish; then the usage if it was asked for.
pub(super) fn frames(exchange: &Exchange, chunk_chars: usize, usage_told: bool) -> Vec<Bytes> {
    let mut frames = Vec::new();
    let mut delta = |index: usize, delta: Value| {
        let choices = json!([{"index": index, "delta": delta, "logprobs": null, "finish_reason": null}]);
        frames.push(chunk(exchange, &choices, usage_told));
    };
    for index in 0..exchange.choices {
        match &exchange.said {
            Said::Text { text, cut: _ } => {
                delta(index, json!({"role": "assistant", "content": "", "refusal": null}));
                for piece in pieces(text, chunk_chars) {
                    delta(index, json!({"content": piece}));
                }
            }
            Said::Call { name, arguments } => {
                let function = json!({"name": name, "arguments": ""});
                let call =
                    json!({"index": 0, "id": call_id(exchange, index), "type": "function", "function": function});
                delta(index, json!({"role": "assistant", "content": null, "tool_calls": [call]}));
                for piece in pieces(&arguments.to_string(), chunk_chars) {
                    delta(index, json!({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}));
                }
            }
        }
    }
    for index in 0..exchange.choices {
        let finish = finish_reason(&exchange.said);
        let choices = json!([{"index": index, "delta": {}, "logprobs": null, "finish_reason": finish}]);
        frames.push(chunk(exchange, &choices, usage_told));
    }
    if exchange.wants_usage && usage_told {
        let mut last = envelope(exchange, &json!([]));
        last["usage"] = usage(exchange);
        frames.push(nameless(&last));
    }
    frames.push(Bytes::from_static(b"data: [DONE]\n\n"));
    frames
}

fn chunk(exchange: &Exchange, choices: &Value, usage_told: bool) -> Bytes {
    let mut chunk = envelope(exchange, choices);
    if exchange.wants_usage && usage_told {
        chunk["usage"] = Value::Null;
    }
    nameless(&chunk)
}

fn envelope(exchange: &Exchange, choices: &Value) -> Value {
    json!({
        "id": exchange.id, "object": "chat.completion.chunk", "created": CREATED, "model": exchange.model,
        "service_tier": "default", "system_fingerprint": "fp_mock", "choices": choices,
    })
}

fn finish_reason(said: &Said) -> &'static str {
    match said {
        Said::Text { text: _, cut: false } => "stop",
        Said::Text { text: _, cut: true } => "length",
        Said::Call { name: _, arguments: _ } => "tool_calls",
    }
}

fn call_id(exchange: &Exchange, index: usize) -> String {
    format!("call_{}{index:02x}", exchange.id.trim_start_matches("chatcmpl-"))
}

fn usage(exchange: &Exchange) -> Value {
    let (prompt, completion) = (exchange.prompt_tokens, exchange.completion_tokens());
    json!({
        "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0, "audio_tokens": 0, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
        },
    })
}

/// An error body.
pub(super) fn error(invalid: &Invalid) -> Value {
    let (kind, code) = match invalid.status {
        401 => ("invalid_request_error", Some("invalid_api_key")),
        429 => ("rate_limit_error", Some("rate_limit_exceeded")),
        500.. => ("server_error", None),
        _ => ("invalid_request_error", None),
    };
    json!({"error": {"message": invalid.message, "type": kind, "param": invalid.param, "code": code}})
}
