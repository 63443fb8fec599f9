//! Providers of each format that say the same: whole or as a realistic stream, and a 400 to what the real API refuses.
//!
//! Must not know Flux: a request as it came in goes in, an answer comes out.

use serde_json::{Value, json};

use super::answers::{self, Answer, DONE};
use super::gemini;
use super::provider::{Provider, Recorded};
use super::strict;

/// What every answer is said to have used, in tokens.
pub(crate) const USED: (u64, u64) = (1000, 500);
/// Of them those that were thought.
const THOUGHT: u64 = 50;
const SIGNATURE: &str = "c2lnbmVkLWJ5LWl0cy1tYWtlcg==";
const ENCRYPTED: &str = "gAAAAABencrypted-by-its-maker==";

/// A provider's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Voice {
    Chat,
    Responses,
    Messages,
    Gemini,
}

/// What a provider says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    pub(crate) thought: &'static str,
    pub(crate) text: &'static str,
    /// Name and arguments.
    pub(crate) calls: Vec<(&'static str, Value)>,
}

impl Said {
    pub(crate) fn text(text: &'static str) -> Self {
        Self { text, ..Self::default() }
    }
}

impl Voice {
    pub(crate) const ALL: [Self; 4] = [Self::Chat, Self::Responses, Self::Messages, Self::Gemini];

    /// The provider of this format that is asked for [`Self::model`].
    pub(crate) fn provider(self) -> Provider {
        match self {
            Self::Chat => Provider::groq(),
            Self::Responses => Provider::openai_responses(),
            Self::Messages => Provider::anthropic(),
            Self::Gemini => Provider::google(),
        }
    }

    /// A model that is served in this format only, as a client names it.
    pub(crate) fn model(self) -> &'static str {
        match self {
            Self::Chat => "flux-pinned-gpt-oss-20b",
            Self::Responses => "flux-pinned-gpt-6-luna",
            Self::Messages => "flux-pinned-claude-haiku-5-5",
            Self::Gemini => "flux-pinned-gemini-3-5-flash-lite",
        }
    }

    /// What [`USED`] costs there, in nano-USD, by the prices of the repository.
    pub(crate) fn cost_nano(self) -> i64 {
        match self {
            Self::Chat => 1000 * 75 + 500 * 300,
            Self::Responses | Self::Messages => 1000 * 100 + 500 * 500,
            Self::Gemini => 1000 * 300 + 500 * 2500,
        }
    }

    /// What its maker wants back of a thought; nothing where thoughts are not signed.
    pub(crate) fn seal(self) -> &'static str {
        match self {
            Self::Chat => "",
            Self::Responses => ENCRYPTED,
            Self::Messages => SIGNATURE,
            Self::Gemini => "c2lnbmVk",
        }
    }

    /// Whether a request holds results of calls.
    pub(crate) fn has_results(self, request: &Recorded) -> bool {
        let sign = match self {
            Self::Chat => "\"role\":\"tool\"",
            Self::Responses => "\"function_call_output\"",
            Self::Messages => "\"tool_result\"",
            Self::Gemini => "\"functionResponse\"",
        };
        request.text().contains(sign)
    }

    /// What is wrong with a request's body.
    pub(crate) fn faults(self, request: &Recorded) -> Vec<String> {
        match self {
            Self::Chat => strict::chat_faults(&request.json()),
            Self::Responses => strict::responses_faults(&request.json()),
            Self::Messages => strict::messages_faults(&request.json()),
            Self::Gemini => {
                gemini::rules::faults(gemini::model_of(&request.target).unwrap_or_default(), &request.json())
            }
        }
    }

    fn is_stream(self, request: &Recorded) -> bool {
        if self == Self::Gemini { gemini::is_stream(request) } else { request.json()["stream"] == true }
    }

    /// The answer that says this, as it was asked for.
    pub(crate) fn say(self, request: &Recorded, said: &Said) -> Answer {
        if let Some(first) = self.faults(request).first() {
            return self.refusal(400, first);
        }
        if self.is_stream(request) { Answer::sse(&self.stream(said)) } else { Answer::json(200, &self.whole(said)) }
    }

    /// Says `first`, and `then` once results have come.
    pub(crate) fn saying(self, first: Said, then: Said) -> impl Fn(&Recorded) -> Answer + Send + Sync + 'static {
        move |request| self.say(request, if self.has_results(request) { &then } else { &first })
    }

    /// The real API's error.
    pub(crate) fn refusal(self, status: u16, message: &str) -> Answer {
        let body = match self {
            Self::Chat | Self::Responses => {
                json!({"error": {"message": message, "type": "invalid_request_error", "param": null, "code": null}})
            }
            Self::Messages => json!({"type": "error", "error": {"type": "invalid_request_error", "message": message}}),
            Self::Gemini => json!({"error": {"code": status, "message": message, "status": "INVALID_ARGUMENT"}}),
        };
        Answer::json(status, &body)
    }

    /// An error as the first event of a stream.
    pub(crate) fn error_event(self, message: &str) -> String {
        match self {
            Self::Chat => format!("data: {}\n\n", json!({"error": {"message": message, "type": "server_error"}})),
            Self::Responses => answers::messages_event(
                &json!({"type": "error", "code": "server_error", "message": message, "param": null, "sequence_number": 0}),
            ),
            Self::Messages => answers::messages_event(
                &json!({"type": "error", "error": {"type": "overloaded_error", "message": message}}),
            ),
            Self::Gemini => {
                format!(
                    "data: {}\r\n\r\n",
                    json!({"error": {"code": 503, "message": message, "status": "UNAVAILABLE"}})
                )
            }
        }
    }

    /// The whole answer.
    pub(crate) fn whole(self, said: &Said) -> Value {
        match self {
            Self::Chat => chat_whole(said),
            Self::Responses => response(&items(said), "completed"),
            Self::Messages => messages_whole(said),
            Self::Gemini => gemini::body(&parts(said), Some("STOP"), &gemini::usage(USED.0, USED.1 - THOUGHT, THOUGHT)),
        }
    }

    /// The events of a stream.
    pub(crate) fn stream(self, said: &Said) -> Vec<String> {
        match self {
            Self::Chat => chat_stream(said),
            Self::Responses => responses_stream(said),
            Self::Messages => messages_stream(said),
            Self::Gemini => gemini::stream(&parts(said), "STOP", &gemini::usage(USED.0, USED.1 - THOUGHT, THOUGHT)),
        }
    }
}

/// A text in pieces, as models say it.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(' ')
}

/// Arguments in pieces that end in the middle of a name and of a value.
fn cut(arguments: &Value) -> Vec<String> {
    let chars: Vec<char> = arguments.to_string().chars().collect();
    chars.chunks(5).map(|piece| piece.iter().collect()).collect()
}

fn chat_usage() -> Value {
    let mut usage = answers::chat_usage(USED.0, USED.1);
    usage["completion_tokens_details"] = json!({"reasoning_tokens": THOUGHT});
    usage
}

fn chat_whole(said: &Said) -> Value {
    let mut body = answers::chat_body(said.text, &chat_usage());
    let message = &mut body["choices"][0]["message"];
    if !said.thought.is_empty() {
        message["reasoning"] = said.thought.into();
    }
    if !said.calls.is_empty() {
        if said.text.is_empty() {
            message["content"] = Value::Null;
        }
        let call = |(i, (name, arguments)): (usize, &(&str, Value))| {
            json!({"id": format!("call_{i}"), "type": "function",
                "function": {"name": name, "arguments": arguments.to_string()}})
        };
        message["tool_calls"] = said.calls.iter().enumerate().map(call).collect();
        body["choices"][0]["finish_reason"] = "tool_calls".into();
    }
    body
}

fn chat_stream(said: &Said) -> Vec<String> {
    let event = |delta: Value| answers::chat_event(&delta, None);
    let mut events = vec![event(json!({"role": "assistant", "content": ""}))];
    events.extend(pieces(said.thought).map(|piece| event(json!({"reasoning": piece}))));
    events.extend(pieces(said.text).map(|piece| event(json!({"content": piece}))));
    for (i, (name, arguments)) in said.calls.iter().enumerate() {
        let function = json!({"name": name, "arguments": ""});
        let call = json!({"index": i, "id": format!("call_{i}"), "type": "function", "function": function});
        events.push(event(json!({"tool_calls": [call]})));
        let piece = |piece: String| json!({"tool_calls": [{"index": i, "function": {"arguments": piece}}]});
        events.extend(cut(arguments).into_iter().map(|text| event(piece(text))));
    }
    let finish = if said.calls.is_empty() { "stop" } else { "tool_calls" };
    events.push(answers::chat_event(&json!({}), Some(finish)));
    events.push(answers::chat_usage_event(&chat_usage()));
    events.push(DONE.to_owned());
    events
}

fn blocks(said: &Said) -> Vec<Value> {
    let mut blocks = Vec::new();
    if !said.thought.is_empty() {
        blocks.push(json!({"type": "thinking", "thinking": said.thought, "signature": SIGNATURE}));
    }
    if !said.text.is_empty() {
        blocks.push(json!({"type": "text", "text": said.text}));
    }
    let call = |(i, (name, arguments)): (usize, &(&str, Value))| json!({"type": "tool_use", "id": format!("toolu_{i}"), "name": name, "input": arguments});
    blocks.extend(said.calls.iter().enumerate().map(call));
    blocks
}

fn messages_whole(said: &Said) -> Value {
    let mut body = answers::messages_body("", &json!({"input_tokens": USED.0, "output_tokens": USED.1}));
    body["content"] = blocks(said).into();
    body["stop_reason"] = stop_reason(said).into();
    body
}

fn stop_reason(said: &Said) -> &'static str {
    if said.calls.is_empty() { "end_turn" } else { "tool_use" }
}

fn messages_stream(said: &Said) -> Vec<String> {
    let input = json!({"input_tokens": USED.0, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 1});
    // The frame around the blocks: message_start; message_delta and message_stop.
    let mut frame = answers::messages_stream(&[], &input, USED.1);
    let last = frame.split_off(frame.len() - 2);
    let mut events = vec![frame.swap_remove(0), answers::messages_event(&json!({"type": "ping"}))];
    for (i, block) in blocks(said).into_iter().enumerate() {
        let delta =
            |delta: Value| answers::messages_event(&json!({"type": "content_block_delta", "index": i, "delta": delta}));
        let (start, deltas): (Value, Vec<Value>) = match block["type"].as_str().unwrap_or_default() {
            "thinking" => {
                let thought = |piece| json!({"type": "thinking_delta", "thinking": piece});
                let signed = json!({"type": "signature_delta", "signature": SIGNATURE});
                let deltas = pieces(said.thought).map(thought).chain([signed]).collect();
                (json!({"type": "thinking", "thinking": "", "signature": ""}), deltas)
            }
            "text" => {
                let deltas = pieces(said.text).map(|piece| json!({"type": "text_delta", "text": piece})).collect();
                (json!({"type": "text", "text": ""}), deltas)
            }
            _ => {
                let piece = |piece| json!({"type": "input_json_delta", "partial_json": piece});
                let deltas = [String::new()].into_iter().chain(cut(&block["input"])).map(piece).collect();
                (json!({"type": "tool_use", "id": block["id"], "name": block["name"], "input": {}}), deltas)
            }
        };
        let start = json!({"type": "content_block_start", "index": i, "content_block": start});
        events.push(answers::messages_event(&start));
        events.extend(deltas.into_iter().map(delta));
        events.push(answers::messages_event(&json!({"type": "content_block_stop", "index": i})));
    }
    events.push(last[0].replace("end_turn", stop_reason(said)));
    events.push(last[1].clone());
    events
}

fn parts(said: &Said) -> Vec<Value> {
    let mut parts = Vec::new();
    if !said.calls.is_empty() {
        let calls: Vec<(&str, Value)> = said.calls.clone();
        parts = gemini::thinking_calls(said.thought, &calls);
    } else if !said.thought.is_empty() {
        parts.push(json!({"text": said.thought, "thought": true}));
    }
    let words = gemini::words(said.text);
    let place = usize::from(!said.thought.is_empty() || !said.calls.is_empty());
    parts.splice(place..place, words);
    parts
}

fn items(said: &Said) -> Vec<Value> {
    let mut items = Vec::new();
    if !said.thought.is_empty() {
        let summary = json!([{"type": "summary_text", "text": said.thought}]);
        items.push(json!({"type": "reasoning", "id": "rs_1", "summary": summary, "encrypted_content": ENCRYPTED}));
    }
    if !said.text.is_empty() {
        let text = json!({"type": "output_text", "text": said.text, "annotations": [], "logprobs": []});
        items.push(
            json!({"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [text]}),
        );
    }
    let call = |(i, (name, arguments)): (usize, &(&str, Value))| {
        json!({"type": "function_call", "id": format!("fc_{i}"), "call_id": format!("call_{i}"), "status": "completed",
            "name": name, "arguments": arguments.to_string()})
    };
    items.extend(said.calls.iter().enumerate().map(call));
    items
}

fn response(items: &[Value], status: &str) -> Value {
    let usage = json!({"input_tokens": USED.0, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": USED.1,
        "output_tokens_details": {"reasoning_tokens": THOUGHT}, "total_tokens": USED.0 + USED.1});
    let is_over = status == "completed";
    json!({"id": "resp_1", "object": "response", "created_at": 1_790_000_000, "status": status, "background": false,
        "error": null, "incomplete_details": null, "instructions": null, "max_output_tokens": null, "model": "provider-model",
        "output": items, "parallel_tool_calls": true, "previous_response_id": null,
        "reasoning": {"effort": "none", "summary": null}, "service_tier": "default", "store": false, "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"}, "tool_choice": "auto", "tools": [], "top_p": 1.0,
        "truncation": "disabled", "usage": if is_over { usage } else { Value::Null }, "user": null, "metadata": {}})
}

/// The events of a stream of responses, numbered as the real one numbers them.
#[derive(Default)]
struct Numbered(Vec<String>);

impl Numbered {
    fn push(&mut self, mut event: Value) {
        event["sequence_number"] = self.0.len().into();
        self.0.push(answers::messages_event(&event));
    }
}

fn responses_stream(said: &Said) -> Vec<String> {
    let mut out = Numbered::default();
    for name in ["created", "in_progress"] {
        out.push(json!({"type": format!("response.{name}"), "response": response(&[], "in_progress")}));
    }
    let items = items(said);
    for (index, item) in items.iter().enumerate() {
        let id = &item["id"];
        let mut added = item.clone();
        added["status"] = "in_progress".into();
        let (field, empty) = match item["type"].as_str().unwrap_or_default() {
            "reasoning" => ("summary", json!([])),
            "message" => ("content", json!([])),
            _ => ("arguments", json!("")),
        };
        added[field] = empty;
        out.push(json!({"type": "response.output_item.added", "output_index": index, "item": added}));
        let of_item = |name: &str, more: Value| {
            let mut event = json!({"type": format!("response.{name}"), "item_id": id, "output_index": index});
            event.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
            event
        };
        match field {
            "summary" => said_part(
                &mut out,
                &of_item,
                &["reasoning_summary_part", "reasoning_summary_text"],
                "summary_index",
                &item["summary"][0],
            ),
            "content" => {
                said_part(&mut out, &of_item, &["content_part", "output_text"], "content_index", &item["content"][0]);
            }
            _ => {
                let arguments = item["arguments"].as_str().unwrap_or_default();
                for piece in cut(&serde_json::from_str(arguments).expect("JSON")) {
                    out.push(of_item("function_call_arguments.delta", json!({"delta": piece, "obfuscation": "x"})));
                }
                out.push(of_item(
                    "function_call_arguments.done",
                    json!({"arguments": arguments, "name": item["name"]}),
                ));
            }
        }
        out.push(json!({"type": "response.output_item.done", "output_index": index, "item": item}));
    }
    out.push(json!({"type": "response.completed", "response": response(&items, "completed")}));
    out.0
}

/// A part with its text, from `added` to `done`.
fn said_part(out: &mut Numbered, of_item: &dyn Fn(&str, Value) -> Value, names: &[&str; 2], place: &str, part: &Value) {
    let [of_part, of_text] = names;
    let mut empty = part.clone();
    empty["text"] = "".into();
    out.push(of_item(&format!("{of_part}.added"), json!({place: 0, "part": empty})));
    for piece in pieces(part["text"].as_str().unwrap_or_default()) {
        out.push(of_item(&format!("{of_text}.delta"), json!({place: 0, "delta": piece, "logprobs": []})));
    }
    out.push(of_item(&format!("{of_text}.done"), json!({place: 0, "text": part["text"], "logprobs": []})));
    out.push(of_item(&format!("{of_part}.done"), json!({place: 0, "part": part})));
}
