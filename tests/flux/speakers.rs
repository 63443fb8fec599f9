//! Clients of each format, as strict as their SDKs: they put answers together and complain about what no SDK expects.
//!
//! Must not know Flux beyond its paths and headers.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::harness::Flux;
use super::http::{Reply, request};
use super::sse;

/// A client's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaker {
    Chat,
    Responses,
    Messages,
}

/// What a client heard.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Heard {
    pub(crate) text: String,
    pub(crate) thought: String,
    /// Id, name, arguments.
    pub(crate) calls: Vec<(String, String, Value)>,
    /// Why it ended, in the client's word.
    pub(crate) finish: String,
    /// Tokens in and out, as far as they were told.
    pub(crate) used: (u64, u64),
    /// What goes back into the conversation: messages, or items.
    pub(crate) turn: Vec<Value>,
}

impl Speaker {
    pub(crate) const ALL: [Self; 3] = [Self::Chat, Self::Responses, Self::Messages];

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Responses => "/v1/responses",
            Self::Messages => "/anthropic/v1/messages",
        }
    }

    /// The bytes of a request as this client's SDK sends it, with headers that are no provider's business.
    pub(crate) fn bytes(self, flux: &Flux, path: &str, body: &Value) -> Vec<u8> {
        let body = body.to_string();
        let bearer = flux.bearer();
        let mut headers = vec![("content-type", "application/json"), ("x-stainless-lang", "python"), ("cookie", "a=b")];
        match self {
            Self::Chat | Self::Responses => headers.extend([
                ("authorization", bearer.as_str()),
                ("openai-organization", "org-client"),
                ("openai-beta", "responses=v1"),
            ]),
            Self::Messages => headers.extend([
                ("x-api-key", flux.key.as_str()),
                ("anthropic-version", "2023-06-01"),
                ("anthropic-beta", "context-1m-2025-08-07"),
            ]),
        }
        let path = if self == Self::Messages { format!("{path}?beta=true") } else { path.to_owned() };
        request("POST", &path, &headers, body.as_bytes())
    }

    pub(crate) fn send(self, flux: &Flux, body: &Value) -> Reply {
        flux.ask(&self.bytes(flux, self.path(), body))
    }

    /// Sends, and hears a success.
    #[track_caller]
    pub(crate) fn ask(self, flux: &Flux, body: &Value) -> Heard {
        self.hear(&self.send(flux, body).expect_status(200))
    }

    /// A question.
    pub(crate) fn question(self, model: &str, text: &str, stream: bool) -> Value {
        let mut body = match self {
            Self::Chat => json!({"model": model, "max_tokens": 200, "messages": [
                {"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]}),
            Self::Responses => json!({"model": model, "max_output_tokens": 200, "instructions": "Be brief.",
                "input": [{"role": "user", "content": [{"type": "input_text", "text": text}]}], "store": false}),
            Self::Messages => json!({"model": model, "max_tokens": 200, "system": "Be brief.",
                "messages": [{"role": "user", "content": text}]}),
        };
        if stream {
            body["stream"] = true.into();
            if self == Self::Chat {
                body["stream_options"] = json!({"include_usage": true});
            }
        }
        body
    }

    /// The same with tools: `weather` and `time`, each of a city.
    pub(crate) fn question_with_tools(self, model: &str, stream: bool) -> Value {
        let mut body = self.question(model, "What is it like in Paris?", stream);
        let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"],
            "additionalProperties": false});
        let tool = |name: &str| match self {
            Self::Chat => {
                json!({"type": "function", "function": {"name": name, "description": "of a city", "parameters": schema}})
            }
            Self::Responses => {
                json!({"type": "function", "name": name, "description": "of a city", "parameters": schema, "strict": true})
            }
            Self::Messages => json!({"name": name, "description": "of a city", "input_schema": schema}),
        };
        body["tools"] = json!([tool("weather"), tool("time")]);
        body
    }

    /// The conversation goes on: what was heard, and a result for each call.
    pub(crate) fn with_results(self, mut body: Value, heard: &Heard) -> Value {
        let list = if self == Self::Responses { "input" } else { "messages" };
        let conversation = body[list].as_array_mut().expect("a list");
        conversation.extend(heard.turn.clone());
        let mut blocks = Vec::new();
        for (id, name, _) in &heard.calls {
            let output = format!("the {name} is fine");
            match self {
                Self::Chat => conversation.push(json!({"role": "tool", "tool_call_id": id, "content": output})),
                Self::Responses => {
                    conversation.push(json!({"type": "function_call_output", "call_id": id, "output": output}));
                }
                Self::Messages => blocks.push(json!({"type": "tool_result", "tool_use_id": id, "content": output})),
            }
        }
        if self == Self::Messages {
            conversation.push(json!({"role": "user", "content": blocks}));
        }
        body
    }

    /// Puts an answer together, whole or streamed.
    #[track_caller]
    pub(crate) fn hear(self, reply: &Reply) -> Heard {
        assert!(reply.is_complete, "{}", reply.text());
        let is_stream = reply.header("content-type").starts_with("text/event-stream");
        let whole = match (self, is_stream) {
            (_, false) => reply.json(),
            (Self::Chat, true) => chat_of(&sse::events(&reply.body)),
            (Self::Responses, true) => response_of(&sse::events(&reply.body)),
            (Self::Messages, true) => message_of(&sse::events(&reply.body)),
        };
        match self {
            Self::Chat => hear_chat(&whole),
            Self::Responses => hear_response(&whole),
            Self::Messages => hear_message(&whole),
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn arguments(value: &Value) -> Value {
    let text = value.as_str().unwrap_or_else(|| panic!("arguments are no text: {value}"));
    serde_json::from_str(text).unwrap_or_else(|e| panic!("arguments are no JSON ({e}): {text}"))
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

#[track_caller]
fn hear_chat(whole: &Value) -> Heard {
    assert_eq!(whole["object"], "chat.completion", "{whole}");
    assert!(whole["id"].is_string() && whole["created"].is_u64() && whole["model"].is_string(), "{whole}");
    let choice = &whole["choices"][0];
    let message = &choice["message"];
    assert_eq!((&choice["index"], &message["role"]), (&json!(0), &json!("assistant")), "{whole}");
    assert!(message.get("content").is_some(), "{whole}");
    let calls = message["tool_calls"].as_array().cloned().unwrap_or_default();
    let call = |call: &Value| {
        assert_eq!(call["type"], "function");
        (text(&call["id"]), text(&call["function"]["name"]), arguments(&call["function"]["arguments"]))
    };
    Heard {
        text: text(&message["content"]),
        thought: text(&message["reasoning_content"]),
        calls: calls.iter().map(call).collect(),
        finish: text(&choice["finish_reason"]),
        used: (number(&whole["usage"]["prompt_tokens"]), number(&whole["usage"]["completion_tokens"])),
        turn: vec![message.clone()],
    }
}

#[track_caller]
fn hear_response(whole: &Value) -> Heard {
    assert_eq!(whole["object"], "response", "{whole}");
    for field in [
        "id",
        "created_at",
        "status",
        "model",
        "output",
        "parallel_tool_calls",
        "tool_choice",
        "tools",
        "error",
        "incomplete_details",
        "instructions",
        "metadata",
        "temperature",
        "top_p",
    ] {
        assert!(whole.get(field).is_some(), "no {field} in {whole}");
    }
    let mut heard = Heard { finish: text(&whole["status"]), ..Heard::default() };
    for item in whole["output"].as_array().expect("output") {
        assert!(item["id"].is_string(), "{item}");
        match item["type"].as_str().unwrap_or_default() {
            "message" => {
                for part in item["content"].as_array().expect("content") {
                    assert!(part["type"] == "refusal" || part["annotations"].is_array(), "{part}");
                    heard.text += &text(&part["text"]);
                }
            }
            "reasoning" => item["summary"]
                .as_array()
                .expect("a summary")
                .iter()
                .for_each(|part| heard.thought += &text(&part["text"])),
            "function_call" => {
                heard.calls.push((text(&item["call_id"]), text(&item["name"]), arguments(&item["arguments"])));
            }
            other => panic!("an item of type {other}"),
        }
        heard.turn.push(item.clone());
    }
    heard.used = (number(&whole["usage"]["input_tokens"]), number(&whole["usage"]["output_tokens"]));
    heard
}

#[track_caller]
fn hear_message(whole: &Value) -> Heard {
    assert_eq!((&whole["type"], &whole["role"]), (&json!("message"), &json!("assistant")), "{whole}");
    assert!(whole["id"].is_string() && whole["model"].is_string() && whole.get("stop_sequence").is_some(), "{whole}");
    let usage = &whole["usage"];
    let input =
        ["input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"].map(|name| number(&usage[name]));
    let mut heard = Heard {
        finish: text(&whole["stop_reason"]),
        used: (input.iter().sum(), number(&usage["output_tokens"])),
        turn: vec![json!({"role": "assistant", "content": whole["content"]})],
        ..Heard::default()
    };
    for block in whole["content"].as_array().expect("content") {
        match block["type"].as_str().unwrap_or_default() {
            "text" => heard.text += &text(&block["text"]),
            "thinking" => {
                assert!(block["signature"].is_string(), "{block}");
                heard.thought += &text(&block["thinking"]);
            }
            "redacted_thinking" => assert!(block["data"].is_string(), "{block}"),
            "tool_use" => {
                assert!(block["input"].is_object(), "{block}");
                heard.calls.push((text(&block["id"]), text(&block["name"]), block["input"].clone()));
            }
            other => panic!("a block of type {other}"),
        }
    }
    heard
}

/// Adds a text to a field.
fn append(object: &mut Value, field: &str, piece: &Value) {
    let mut whole = text(&object[field]);
    whole += piece.as_str().unwrap_or_else(|| panic!("{field} gets no text: {piece}"));
    object[field] = whole.into();
}

/// A chat answer from its chunks.
#[track_caller]
fn chat_of(events: &[sse::Event]) -> Value {
    let (done, chunks) = events.split_last().expect("events");
    assert_eq!(done.data, "[DONE]");
    let mut message = json!({"role": null, "content": null});
    let mut calls: BTreeMap<u64, Value> = BTreeMap::new();
    let mut finish = Value::Null;
    let mut usage = Value::Null;
    let first = chunks.first().expect("a chunk").json();
    for chunk in chunks {
        let chunk = chunk.json();
        assert_eq!(chunk["object"], "chat.completion.chunk", "{chunk}");
        assert_eq!(
            (&chunk["id"], &chunk["created"], &chunk["model"]),
            (&first["id"], &first["created"], &first["model"])
        );
        if chunk["usage"].is_object() {
            assert!(usage.is_null() && !finish.is_null(), "usage comes once, at the end: {chunk}");
            usage = chunk["usage"].clone();
        }
        let Some(choice) = chunk["choices"].get(0) else { continue };
        assert!(finish.is_null(), "after the finish reason: {chunk}");
        let delta = &choice["delta"];
        if delta["role"].is_string() {
            assert!(message["role"].is_null(), "a second role: {chunk}");
            message["role"] = delta["role"].clone();
        }
        for field in ["content", "reasoning_content", "refusal"] {
            if delta[field].is_string() {
                append(&mut message, field, &delta[field]);
            }
        }
        for piece in delta["tool_calls"].as_array().into_iter().flatten() {
            let index = piece["index"].as_u64().expect("an index");
            let next = calls.len() as u64;
            let call = calls.entry(index).or_insert_with(|| {
                assert_eq!(index, next, "calls are numbered without gaps: {chunk}");
                assert!(piece["id"].is_string() && piece["function"]["name"].is_string(), "{piece}");
                json!({"id": piece["id"], "type": piece["type"], "function": {"name": piece["function"]["name"], "arguments": ""}})
            });
            if piece["extra_content"].is_object() {
                call["extra_content"] = piece["extra_content"].clone();
            }
            if piece["function"]["arguments"].is_string() {
                append(&mut call["function"], "arguments", &piece["function"]["arguments"]);
            }
        }
        if let Some(details) = delta["reasoning_details"].as_array() {
            let kept = message["reasoning_details"].as_array().cloned().unwrap_or_default();
            message["reasoning_details"] = [kept, details.clone()].concat().into();
        }
        finish = choice["finish_reason"].clone();
    }
    if !calls.is_empty() {
        message["tool_calls"] = calls.into_values().collect();
    }
    json!({"object": "chat.completion", "id": first["id"], "created": first["created"], "model": first["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": usage})
}

/// A message from its events.
#[track_caller]
fn message_of(events: &[sse::Event]) -> Value {
    let first = events.first().expect("events").json();
    assert_eq!(first["type"], "message_start", "{first}");
    let mut message = first["message"].clone();
    assert!(number(&message["usage"]["input_tokens"]) > 0, "T-15: no input tokens in {first}");
    assert_eq!((&message["content"], &message["stop_reason"]), (&json!([]), &Value::Null));
    let mut blocks: Vec<Value> = Vec::new();
    let mut open: Option<String> = None;
    for event in &events[1..] {
        let body = event.json();
        assert_eq!(body["type"], event.name, "{body}");
        match event.name.as_str() {
            "ping" => {}
            "content_block_start" => {
                assert!(open.is_none(), "two open blocks: {body}");
                assert_eq!(number(&body["index"]), blocks.len() as u64, "{body}");
                blocks.push(body["content_block"].clone());
                open = Some(String::new());
            }
            "content_block_delta" => {
                assert_eq!(number(&body["index"]) + 1, blocks.len() as u64, "{body}");
                let input = open.as_mut().unwrap_or_else(|| panic!("no open block: {body}"));
                let (block, delta) = (blocks.last_mut().expect("a block"), &body["delta"]);
                match (block["type"].as_str().unwrap_or_default(), delta["type"].as_str().unwrap_or_default()) {
                    ("text", "text_delta") => append(block, "text", &delta["text"]),
                    ("text", "citations_delta") => {}
                    ("thinking", "thinking_delta") => append(block, "thinking", &delta["thinking"]),
                    ("thinking", "signature_delta") => block["signature"] = delta["signature"].clone(),
                    ("tool_use", "input_json_delta") => *input += &text(&delta["partial_json"]),
                    (block, delta) => panic!("a {delta} in a block {block}"),
                }
            }
            "content_block_stop" => {
                let input = open.take().unwrap_or_else(|| panic!("no open block: {body}"));
                let block = blocks.last_mut().expect("a block");
                if block["type"] == "tool_use" && !input.is_empty() {
                    block["input"] = serde_json::from_str(&input).unwrap_or_else(|e| panic!("{e}: {input}"));
                }
            }
            "message_delta" => {
                assert!(open.is_none() && message["stop_reason"].is_null(), "{body}");
                message["stop_reason"] = body["delta"]["stop_reason"].clone();
                let more = body["usage"].as_object().cloned().unwrap_or_default();
                message["usage"].as_object_mut().expect("usage").extend(more);
            }
            "message_stop" => assert!(std::ptr::eq(event, events.last().expect("one")), "message_stop is the last"),
            other => panic!("an event {other}"),
        }
    }
    assert_eq!(events.last().map(|event| event.name.as_str()), Some("message_stop"));
    message["content"] = blocks.into();
    message
}

/// A response from its events: every `done` must repeat what the deltas said, every number must follow the one before.
#[track_caller]
fn response_of(events: &[sse::Event]) -> Value {
    let mut output: Vec<Value> = Vec::new();
    let mut said: BTreeMap<(u64, String, u64), String> = BTreeMap::new();
    let mut done = Vec::new();
    for (number_expected, event) in events.iter().enumerate() {
        let body = event.json();
        assert_eq!(body["type"], event.name, "{body}");
        assert_eq!(body["sequence_number"].as_u64(), Some(number_expected as u64), "{body}");
        let name = event.name.strip_prefix("response.").unwrap_or_else(|| panic!("an event {}", event.name));
        match number_expected {
            0 => assert_eq!(name, "created"),
            1 => assert_eq!(name, "in_progress"),
            _ => {}
        }
        let index = number(&body["output_index"]);
        if body.get("item_id").is_some() {
            let item =
                output.get(usize::try_from(index).expect("an index")).unwrap_or_else(|| panic!("no item for {body}"));
            assert_eq!(item["id"], body["item_id"], "{body}");
        }
        let place = body["content_index"].as_u64().or(body["summary_index"].as_u64()).unwrap_or_default();
        let key = |kind: &str| (index, kind.to_owned(), place);
        match name {
            "created" | "in_progress" => assert_eq!(body["response"]["status"], "in_progress", "{body}"),
            "output_item.added" => {
                assert_eq!(index, output.len() as u64, "{body}");
                output.push(body["item"].clone());
            }
            "output_item.done" => {
                assert_eq!(output[usize::try_from(index).expect("an index")]["id"], body["item"]["id"], "{body}");
                done.push(body["item"].clone());
            }
            "content_part.added"
            | "content_part.done"
            | "reasoning_summary_part.added"
            | "reasoning_summary_part.done" => {
                assert!(body["part"]["type"].is_string(), "{body}");
            }
            "output_text.annotation.added" => {}
            "completed" | "incomplete" => {
                assert!(std::ptr::eq(event, events.last().expect("one")), "{name} is the last");
                assert_eq!(body["response"]["output"], Value::from(done.clone()), "the items are repeated");
            }
            _ => match name.rsplit_once('.') {
                Some((kind, "delta")) => {
                    *said.entry(key(kind)).or_default() += body["delta"].as_str().expect("a delta");
                }
                Some((kind, "done")) => {
                    let whole =
                        ["text", "arguments", "refusal", "input"].iter().find_map(|field| body[*field].as_str());
                    assert_eq!(
                        said.get(&key(kind)).map(String::as_str).unwrap_or_default(),
                        whole.expect("a text"),
                        "{body}"
                    );
                }
                _ => panic!("an event {name}"),
            },
        }
    }
    let last = events.last().expect("events").json();
    assert!(last["response"]["usage"].is_object(), "{last}");
    last["response"].clone()
}
