//! What the mock providers say: canned bodies in each wire format, and the ways of saying them wrong.
//!
//! Must not know sockets: an answer is a list of steps that `provider` carries out.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::provider::Recorded;

/// Opened by the test, waited for by a provider.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(crate) fn open(&self) {
        *self.0.0.lock().expect("gate") = true;
        self.0.1.notify_all();
    }

    /// Waits a little; says whether the gate is open.
    pub(crate) fn is_open_within(&self, wait: Duration) -> bool {
        let guard = self.0.0.lock().expect("gate");
        *self.0.1.wait_timeout_while(guard, wait, |is_open| !*is_open).expect("gate").0
    }
}

/// One thing that a provider does.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Writes bytes.
    Send(Vec<u8>),
    /// Lets time pass, for pacing only.
    Pause(Duration),
    /// Waits until the test opens the gate, or the peer leaves.
    Wait(Gate),
    /// Opens a gate: tells the test that all before it was sent.
    Open(Gate),
    /// Says nothing more and waits for the peer to leave.
    Hang,
    /// Ends the connection with a reset.
    Reset,
    /// Ends the connection.
    Close,
}

/// What a provider does with one request.
#[derive(Clone, Debug)]
pub(crate) struct Answer(pub(crate) Vec<Step>);

/// Headers that no client may ever see from a provider.
pub(crate) const PRIVATE_HEADERS: [(&str, &str); 9] = [
    ("set-cookie", "__cf_bm=upstream-cookie; path=/"),
    ("openai-organization", "org-upstream-acme"),
    ("openai-project", "proj-upstream"),
    ("anthropic-organization-id", "org-upstream-acme"),
    ("x-ratelimit-remaining-requests", "7"),
    ("anthropic-ratelimit-requests-remaining", "7"),
    ("server", "upstream-server"),
    ("cf-ray", "upstream-ray"),
    ("x-flux-cost-usd", "99"),
];

/// What a provider's own error says; no client may see it when all providers failed.
pub(crate) const PROVIDER_WORDS: &str = "internal-upstream-words on host gpu-17";

impl Answer {
    /// A JSON body under content-length.
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::bytes(status, &[("content-type", "application/json")], body.to_string().as_bytes())
    }

    /// Any body under content-length.
    pub(crate) fn bytes(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Self {
        let mut whole = head(status, headers, &format!("content-length: {}", body.len()));
        whole.extend_from_slice(body);
        Self(vec![Step::Send(whole)])
    }

    /// The provider's own failure, in OpenAI's shape, with internals in its text.
    pub(crate) fn failure(status: u16) -> Self {
        Self::json(
            status,
            &json!({"error": {"message": PROVIDER_WORDS, "type": "server_error", "code": "internal_code"}}),
        )
    }

    /// The same in Anthropic's shape.
    pub(crate) fn messages_failure(status: u16, kind: &str) -> Self {
        Self::json(status, &json!({"type": "error", "error": {"type": kind, "message": PROVIDER_WORDS}}))
    }

    /// An event stream, one HTTP chunk an event.
    pub(crate) fn sse(events: &[String]) -> Self {
        Self::sse_steps(events.iter().map(|event| Step::Send(event.clone().into_bytes())).collect())
    }

    /// An event stream cut into HTTP chunks of the given size, each written on its own.
    pub(crate) fn sse_cut(events: &[String], bytes_each: usize) -> Self {
        Self::sse_steps(events.concat().as_bytes().chunks(bytes_each).map(|part| Step::Send(part.to_vec())).collect())
    }

    /// An event stream whose pieces are steps; what is sent is put into HTTP chunks.
    pub(crate) fn sse_steps(steps: Vec<Step>) -> Self {
        let mut all = vec![Step::Send(sse_head())];
        for step in steps {
            all.push(if let Step::Send(bytes) = step { Step::Send(chunk(&bytes)) } else { step });
        }
        if !matches!(all.last(), Some(Step::Hang | Step::Reset | Step::Close)) {
            all.push(Step::Send(b"0\r\n\r\n".to_vec()));
        }
        Self(all)
    }

    /// Says nothing and waits for the peer to leave.
    pub(crate) fn silence() -> Self {
        Self(vec![Step::Hang])
    }

    /// Waits for the gate before anything is said.
    pub(crate) fn after(self, gate: &Gate) -> Self {
        let mut steps = vec![Step::Wait(gate.clone())];
        steps.extend(self.0);
        Self(steps)
    }
}

/// A response head with the private headers in it.
pub(crate) fn head(status: u16, headers: &[(&str, &str)], framing: &str) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status} Whatever\r\n");
    for (name, value) in PRIVATE_HEADERS.iter().chain(headers) {
        text.extend([name, ": ", value, "\r\n"]);
    }
    text.push_str(framing);
    text.push_str("\r\n\r\n");
    text.into_bytes()
}

/// The head of an event stream.
pub(crate) fn sse_head() -> Vec<u8> {
    head(200, &[("content-type", "text/event-stream; charset=utf-8")], "transfer-encoding: chunked")
}

/// One HTTP chunk.
pub(crate) fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut framed = format!("{:x}\r\n", bytes.len()).into_bytes();
    framed.extend_from_slice(bytes);
    framed.extend_from_slice(b"\r\n");
    framed
}

/// OpenAI usage.
pub(crate) fn chat_usage(prompt: u64, completion: u64) -> Value {
    json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion})
}

/// A unary OpenAI answer.
pub(crate) fn chat_body(text: &str, usage: &Value) -> Value {
    json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1_790_000_000, "model": "provider-model",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}], "usage": usage})
}

/// One event of an OpenAI stream.
pub(crate) fn chat_event(delta: &Value, finish: Option<&str>) -> String {
    let chunk = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_790_000_000,
        "model": "provider-model", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
    format!("data: {chunk}\n\n")
}

/// The closing chunk with usage.
pub(crate) fn chat_usage_event(usage: &Value) -> String {
    let chunk = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_790_000_000,
        "model": "provider-model", "choices": [], "usage": usage});
    format!("data: {chunk}\n\n")
}

/// The terminator of an OpenAI stream.
pub(crate) const DONE: &str = "data: [DONE]\n\n";

/// The events of an OpenAI stream up to its finish reason: role, words, finish.
pub(crate) fn chat_events(words: &[&str]) -> Vec<String> {
    let mut events = vec![chat_event(&json!({"role": "assistant", "content": ""}), None)];
    events.extend(words.iter().map(|word| chat_event(&json!({"content": word}), None)));
    events.push(chat_event(&json!({}), Some("stop")));
    events
}

/// A whole OpenAI stream with usage before the terminator.
pub(crate) fn chat_stream(words: &[&str], usage: &Value) -> Vec<String> {
    let mut events = chat_events(words);
    events.push(chat_usage_event(usage));
    events.push(DONE.to_owned());
    events
}

/// Answers as a well-behaved OpenAI provider does: streamed or not, usage in a stream only when asked for.
pub(crate) fn chat(text: &'static str, usage: Value) -> impl Fn(&Recorded) -> Answer + Send + Sync + 'static {
    move |request| {
        let asked = request.json();
        if asked["stream"] != Value::Bool(true) {
            return Answer::json(200, &chat_body(text, &usage));
        }
        let mut events = chat_events(&text.split_inclusive(' ').collect::<Vec<_>>());
        if asked["stream_options"]["include_usage"] == Value::Bool(true) {
            events.push(chat_usage_event(&usage));
        }
        events.push(DONE.to_owned());
        Answer::sse(&events)
    }
}

/// A unary Anthropic answer.
pub(crate) fn messages_body(text: &str, usage: &Value) -> Value {
    json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "provider-model",
        "content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "stop_sequence": null, "usage": usage})
}

/// One event of an Anthropic stream.
pub(crate) fn messages_event(body: &Value) -> String {
    format!("event: {}\ndata: {body}\n\n", body["type"].as_str().expect("a type"))
}

/// The events of an Anthropic stream, from `message_start` to `message_stop`.
pub(crate) fn messages_stream(words: &[&str], input: &Value, output_tokens: u64) -> Vec<String> {
    let start = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "provider-model", "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": input});
    let mut events = vec![json!({"type": "message_start", "message": start})];
    events.push(json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}));
    events.push(json!({"type": "ping"}));
    let delta =
        |word: &&str| json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}});
    events.extend(words.iter().map(delta));
    events.push(json!({"type": "content_block_stop", "index": 0}));
    let stop = json!({"stop_reason": "end_turn", "stop_sequence": null});
    events.push(json!({"type": "message_delta", "delta": stop, "usage": {"output_tokens": output_tokens}}));
    events.push(json!({"type": "message_stop"}));
    events.iter().map(messages_event).collect()
}

/// Answers as Anthropic does.
pub(crate) fn messages(
    text: &'static str,
    input: Value,
    output: u64,
) -> impl Fn(&Recorded) -> Answer + Send + Sync + 'static {
    move |request| {
        if request.json()["stream"] == Value::Bool(true) {
            return Answer::sse(&messages_stream(&text.split_inclusive(' ').collect::<Vec<_>>(), &input, output));
        }
        let mut usage = input.clone();
        usage["output_tokens"] = output.into();
        Answer::json(200, &messages_body(text, &usage))
    }
}

/// Packs bytes as gzip in stored blocks: a compressed body without a compressor.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    const BLOCK_BYTES_MAX: usize = 0xffff;
    let mut packed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut blocks = bytes.chunks(BLOCK_BYTES_MAX).peekable();
    while let Some(block) = blocks.next() {
        let length = u16::try_from(block.len()).expect("a block");
        packed.push(u8::from(blocks.peek().is_none()));
        packed.extend_from_slice(&length.to_le_bytes());
        packed.extend_from_slice(&(!length).to_le_bytes());
        packed.extend_from_slice(block);
    }
    packed.extend_from_slice(&crc32fast::hash(bytes).to_le_bytes());
    packed.extend_from_slice(&u32::try_from(bytes.len()).expect("a length").to_le_bytes());
    packed
}
