//! What an answer's events and objects hold, as far as it is looked at.
//!
//! Must not know what was told before: it only finds members, and gives failures and sources their common form.

use crate::translate::Sink;
use crate::translate::ir::{CallKind, Citation, Event, Fault, FaultKind, Text, Value};

/// The members of a stream's event that are looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct Frame<'a> {
    pub(super) kind: Option<Text<'a>>,
    pub(super) at: u64,
    pub(super) part: u64,
    pub(super) item: Option<Value<'a>>,
    pub(super) response: Option<Value<'a>>,
    pub(super) delta: Option<Text<'a>>,
    /// The whole text of a `done` event, whatever its name.
    pub(super) whole: Option<Text<'a>>,
    pub(super) annotation: Option<Value<'a>>,
    pub(super) logprobs: Option<Value<'a>>,
    pub(super) error: Option<Value<'a>>,
}

impl<'a> Frame<'a> {
    pub(super) fn read(data: Value<'a>) -> Self {
        let mut frame = Self::default();
        for (name, value) in data.members() {
            match &*name {
                "type" => frame.kind = value.as_text(),
                "output_index" => frame.at = value.as_u64().unwrap_or(0),
                "content_index" | "summary_index" => frame.part = value.as_u64().unwrap_or(0),
                "item" => frame.item = Some(value),
                "response" => frame.response = Some(value),
                "delta" => frame.delta = value.as_text(),
                "text" | "refusal" | "arguments" | "input" => frame.whole = value.as_text(),
                "annotation" => frame.annotation = Some(value),
                "logprobs" => frame.logprobs = Some(value),
                "error" => frame.error = Some(value),
                _ => {}
            }
        }
        frame
    }
}

/// What the response object says of the answer's end.
#[derive(Clone, Debug, Default)]
pub(super) struct End<'a> {
    pub(super) status: Option<Text<'a>>,
    pub(super) output: Option<Value<'a>>,
    pub(super) usage: Option<Value<'a>>,
    pub(super) tier: Option<Text<'a>>,
    pub(super) reason: Option<Text<'a>>,
    pub(super) error: Option<Value<'a>>,
}

impl<'a> End<'a> {
    pub(super) fn read(response: Value<'a>) -> Self {
        let mut end = Self::default();
        for (name, value) in response.members() {
            match &*name {
                "status" => end.status = value.as_text(),
                "output" => end.output = Some(value),
                "usage" => end.usage = Some(value),
                "service_tier" => end.tier = value.as_text(),
                "incomplete_details" => end.reason = value.get("reason").and_then(Value::as_text),
                "error" if !value.is_null() => end.error = Some(value),
                _ => {}
            }
        }
        end
    }
}

/// An item that is a call.
#[derive(Clone, Debug)]
pub(super) struct Call<'a> {
    pub(super) kind: CallKind,
    pub(super) id: Text<'a>,
    pub(super) name: Text<'a>,
    pub(super) arguments: Option<Text<'a>>,
}

impl<'a> Call<'a> {
    pub(super) fn of(item: Value<'a>) -> Option<Self> {
        let (mut kind, mut id, mut own_id, mut name, mut arguments) = (None, None, None, None, None);
        for (member, value) in item.members() {
            match &*member {
                "type" => kind = value.as_text(),
                "call_id" => id = value.as_text(),
                "id" => own_id = value.as_text(),
                "name" => name = value.as_text(),
                "arguments" | "input" => arguments = value.as_text(),
                _ => {}
            }
        }
        let kind = match kind?.spelt() {
            "function_call" => CallKind::Function,
            "custom_tool_call" => CallKind::Custom,
            _ => return None,
        };
        Some(Self { kind, id: id.or(own_id).unwrap_or_default(), name: name.unwrap_or_default(), arguments })
    }
}

/// Probabilities, where there are any.
pub(super) fn tell_logprobs(logprobs: Option<Value<'_>>, sink: &mut dyn Sink) {
    if let Some(logprobs) = logprobs.filter(|words| words.elements().next().is_some()) {
        sink.take(Event::Logprobs(logprobs));
    }
}

pub(super) fn cite(annotation: Value<'_>, sink: &mut dyn Sink) {
    let text = |name| annotation.get(name).and_then(Value::as_text);
    let count = |name| annotation.get(name).and_then(Value::as_u64);
    let title = text("title").or_else(|| text("filename"));
    if let (None, None) = (&text("url"), &title) {
        return;
    }
    let range = count("start_index").zip(count("end_index"));
    sink.take(Event::Citation(Citation { url: text("url"), title, quote: None, range }));
}

/// A failure, from an object with a code and a message.
pub(super) fn fault(error: Value<'_>) -> Fault<'_> {
    let text = |name| error.get(name).and_then(Value::as_text);
    let code = text("code").or_else(|| text("type")).unwrap_or_default();
    let kind = match code.spelt() {
        "rate_limit_exceeded" | "rate_limit_error" | "too_many_requests" => FaultKind::RateLimited,
        "server_is_overloaded" | "slow_down" | "overloaded" => FaultKind::Overloaded,
        "context_length_exceeded" | "invalid_prompt" | "invalid_request_error" | "bio_policy" => FaultKind::Rejected,
        code if code.contains("image") || code.ends_with("policy_violation") => FaultKind::Rejected,
        _ => FaultKind::Fault,
    };
    let message = text("message").or_else(|| error.as_text()).unwrap_or_else(|| Text::spelt_as("no reason was given"));
    Fault { kind, message }
}
