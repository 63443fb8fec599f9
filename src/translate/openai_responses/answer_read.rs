//! A provider's answer, as a stream or whole → events.
//!
//! Must not know who gets them. Items come one after another; each is told by its deltas, or by a `done` event
//! where a host sends no deltas, never by both. What is not known is passed over: built-in tools tell of their
//! steps in many events.

use crate::catalog::provider::Dialect;
use crate::translate::Sink;
use crate::translate::ir::{Blob, BlobKind, Event, Fault, FaultKind, Finish, Text, Value};
use crate::wire::json::Document;
use crate::wire::usage::{self, UsageQuirks};

use super::items::IMAGE_FORMATS;
use super::parts::{Call, End, Frame, cite, fault, tell_logprobs};

/// Items that may be open at once. Providers send them one by one.
const OPEN_ITEMS_MAX: usize = 256;
/// Between the parts of a summary, spelt for JSON.
const PARAGRAPH: &str = "\\n\\n";

/// Reads an answer.
#[derive(Debug)]
pub struct AnswerReader {
    quirks: UsageQuirks,
    stage: Stage,
    /// Items that began and have not ended.
    open: Vec<OpenItem>,
    /// Whether any item was seen, so that the last event need not be read for them.
    has_items: bool,
    calls: usize,
    has_refusal: bool,
    /// Whether a text, refusal or thought was told whose end was not.
    has_open_part: bool,
}

/// How far the answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Waiting,
    Started,
    Complete,
}

/// What was told of an item.
#[derive(Clone, Copy, Debug, Default)]
struct OpenItem {
    /// Its place in the output.
    at: u64,
    /// Its number among the calls, if it is one that was told.
    call: Option<usize>,
    /// The part of it that was told last.
    part: Option<u64>,
    /// Which form of a thought is told, where a host sends two.
    thought: Option<ThoughtForm>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ThoughtForm {
    Summary,
    Full,
}

impl AnswerReader {
    /// A reader at the beginning of an answer. No dialect differs so far.
    pub fn new(_dialect: Dialect, quirks: UsageQuirks) -> Self {
        Self {
            quirks,
            stage: Stage::Waiting,
            open: Vec::new(),
            has_items: false,
            calls: 0,
            has_refusal: false,
            has_open_part: false,
        }
    }

    /// Reads one event of a stream.
    pub fn frame(&mut self, name: &[u8], data: &[u8], sink: &mut dyn Sink) {
        if data.is_empty() || data == b"[DONE]" {
            return;
        }
        let Ok(document) = Document::parse(data) else {
            let message = Text::spelt_as("an event of the stream is not JSON");
            return sink.take(Event::Fault(Fault { kind: FaultKind::Garbled, message }));
        };
        let value = document.root();
        let frame = Frame::read(value);
        let kind = match &frame.kind {
            Some(kind) => kind.spelt(),
            None => std::str::from_utf8(name).unwrap_or_default(),
        };
        match kind {
            "error" => sink.take(Event::Fault(fault(frame.error.unwrap_or(value)))),
            "response.completed" | "response.incomplete" | "response.failed" | "response.cancelled" => {
                self.end(frame.response.unwrap_or(value), sink);
            }
            _ if frame.kind.is_none() && frame.error.is_some() => {
                sink.take(Event::Fault(fault(frame.error.unwrap_or(value))));
            }
            _ => {
                self.start(frame.response, sink);
                self.step(kind, &frame, sink);
            }
        }
    }

    /// Whether the answer's own end was seen.
    pub fn is_complete(&self) -> bool {
        self.stage == Stage::Complete
    }

    /// Reads a whole answer.
    pub fn whole(&mut self, answer: Value<'_>, sink: &mut dyn Sink) {
        self.end(answer, sink);
    }

    fn start(&mut self, response: Option<Value<'_>>, sink: &mut dyn Sink) {
        if self.stage != Stage::Waiting {
            return;
        }
        self.stage = Stage::Started;
        let id = response.and_then(|response| response.get("id")).and_then(Value::as_text).unwrap_or_default();
        sink.take(Event::Start { id, usage: None });
    }

    /// An event between the first and the last.
    fn step(&mut self, kind: &str, frame: &Frame<'_>, sink: &mut dyn Sink) {
        match kind {
            "response.output_item.added" => self.item_added(frame, sink),
            "response.output_item.done" => self.item_done(frame, sink),
            "response.output_text.delta" | "response.refusal.delta" => self.content_delta(kind, frame, sink),
            "response.output_text.done" | "response.refusal.done" => self.content_done(kind, frame, sink),
            "response.content_part.done" => self.end_part(sink),
            "response.output_text.annotation.added" => {
                if let Some(annotation) = frame.annotation {
                    cite(annotation, sink);
                }
            }
            "response.reasoning_summary_text.delta" => self.thought(ThoughtForm::Summary, frame, sink),
            "response.reasoning_text.delta" => self.thought(ThoughtForm::Full, frame, sink),
            "response.reasoning_summary_text.done" => self.thought_done(ThoughtForm::Summary, frame, sink),
            "response.reasoning_text.done" => self.thought_done(ThoughtForm::Full, frame, sink),
            "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta" => {
                self.arguments(frame.at, frame.delta.clone(), sink);
            }
            "response.function_call_arguments.done" | "response.custom_tool_call_input.done" => {
                let is_untold = self.item(frame.at).is_some_and(|item| item.part.is_none());
                if is_untold {
                    self.arguments(frame.at, frame.whole.clone(), sink);
                }
            }
            _ => {}
        }
    }

    /// What was told of an item; a new one where nothing was. `None` beyond the bound.
    fn item(&mut self, at: u64) -> Option<&mut OpenItem> {
        self.has_items = true;
        let place = match self.open.iter().position(|item| item.at == at) {
            Some(place) => place,
            None if self.open.len() < OPEN_ITEMS_MAX => {
                self.open.push(OpenItem { at, ..OpenItem::default() });
                self.open.len() - 1
            }
            None => return None,
        };
        self.open.get_mut(place)
    }

    fn item_added(&mut self, frame: &Frame<'_>, sink: &mut dyn Sink) {
        let Some(item) = frame.item else { return };
        if let Some(call) = Call::of(item) {
            self.call(frame.at, call, sink);
        }
    }

    /// Tells that a call begins, if it was not told.
    fn call(&mut self, at: u64, call: Call<'_>, sink: &mut dyn Sink) {
        let index = self.calls;
        let Some(item) = self.item(at) else { return };
        if item.call.is_none() {
            item.call = Some(index);
            self.calls += 1;
            self.end_part(sink);
            let Call { kind, id, name, arguments: _ } = call;
            sink.take(Event::CallStart { index, id, name, kind });
        }
    }

    fn arguments(&mut self, at: u64, piece: Option<Text<'_>>, sink: &mut dyn Sink) {
        let Some(piece) = piece.filter(|piece| !piece.is_empty()) else { return };
        let Some(item) = self.item(at) else { return };
        // Without a name there is no call to tell of yet; the end of the item has all of it.
        let Some(index) = item.call else { return };
        item.part = Some(0);
        sink.take(Event::CallArguments { index, piece });
    }

    fn content_delta(&mut self, kind: &str, frame: &Frame<'_>, sink: &mut dyn Sink) {
        let Some(piece) = frame.delta.clone().filter(|piece| !piece.is_empty()) else { return };
        if let Some(item) = self.item(frame.at) {
            item.part = Some(frame.part);
        }
        self.content(kind.starts_with("response.refusal"), piece, sink);
        tell_logprobs(frame.logprobs, sink);
    }

    fn content_done(&mut self, kind: &str, frame: &Frame<'_>, sink: &mut dyn Sink) {
        let Some(item) = self.item(frame.at) else { return };
        if item.part != Some(frame.part)
            && let Some(text) = frame.whole.clone().filter(|text| !text.is_empty())
        {
            item.part = Some(frame.part);
            self.content(kind.starts_with("response.refusal"), text, sink);
            tell_logprobs(frame.logprobs, sink);
        }
    }

    fn content(&mut self, is_refusal: bool, piece: Text<'_>, sink: &mut dyn Sink) {
        self.has_open_part = true;
        self.has_refusal |= is_refusal;
        sink.take(if is_refusal { Event::Refusal(piece) } else { Event::Text(piece) });
    }

    fn thought(&mut self, form: ThoughtForm, frame: &Frame<'_>, sink: &mut dyn Sink) {
        let Some(piece) = frame.delta.clone() else { return };
        self.thought_piece(form, frame, piece, sink);
    }

    fn thought_done(&mut self, form: ThoughtForm, frame: &Frame<'_>, sink: &mut dyn Sink) {
        let is_untold = self.item(frame.at).is_some_and(|item| item.part != Some(frame.part));
        if let Some(text) = frame.whole.clone().filter(|_| is_untold) {
            self.thought_piece(form, frame, text, sink);
        }
    }

    fn thought_piece(&mut self, form: ThoughtForm, frame: &Frame<'_>, piece: Text<'_>, sink: &mut dyn Sink) {
        let Some(item) = self.item(frame.at).filter(|_| !piece.is_empty()) else { return };
        if item.thought.is_some_and(|told| told != form) {
            return;
        }
        item.thought = Some(form);
        let goes_on = item.part.replace(frame.part).is_none_or(|part| part == frame.part);
        self.has_open_part = true;
        if !goes_on {
            sink.take(Event::Thought(Text::spelt_as(PARAGRAPH)));
        }
        sink.take(Event::Thought(piece));
    }

    fn end_part(&mut self, sink: &mut dyn Sink) {
        if std::mem::take(&mut self.has_open_part) {
            sink.take(Event::PartEnd);
        }
    }

    fn item_done(&mut self, frame: &Frame<'_>, sink: &mut dyn Sink) {
        let Some(item) = frame.item else { return };
        let told = self.open.iter().position(|open| open.at == frame.at).map(|place| self.open.swap_remove(place));
        self.has_items = true;
        self.item_whole(item, told.unwrap_or(OpenItem { at: frame.at, ..OpenItem::default() }), sink);
    }

    /// Tells of a whole item what was not told before, and its end.
    fn item_whole(&mut self, item: Value<'_>, told: OpenItem, sink: &mut dyn Sink) {
        let kind = item.get("type").and_then(Value::as_text).unwrap_or_default();
        match kind.spelt() {
            "message" if told.part.is_none() => self.message(item, sink),
            "message" => self.end_part(sink),
            "reasoning" => self.reasoning(item, told, sink),
            "function_call" | "custom_tool_call" => self.call_whole(item, told, sink),
            "image_generation_call" => self.image(item, sink),
            _ => {}
        }
    }

    fn message(&mut self, item: Value<'_>, sink: &mut dyn Sink) {
        for part in item.get("content").into_iter().flat_map(Value::elements) {
            let text = |name| part.get(name).and_then(Value::as_text).filter(|text| !text.is_empty());
            if let Some(refusal) = text("refusal") {
                self.content(true, refusal, sink);
            } else if let Some(text) = text("text") {
                self.content(false, text, sink);
                tell_logprobs(part.get("logprobs"), sink);
                part.get("annotations").into_iter().flat_map(Value::elements).for_each(|source| cite(source, sink));
            }
            self.end_part(sink);
        }
    }

    fn reasoning(&mut self, item: Value<'_>, told: OpenItem, sink: &mut dyn Sink) {
        if told.part.is_none() {
            let has_summary = item.get("summary").is_some_and(|summary| summary.elements().next().is_some());
            let parts = item.get(if has_summary { "summary" } else { "content" });
            let texts = parts.into_iter().flat_map(Value::elements).filter_map(|part| part.get("text")?.as_text());
            for text in texts.filter(|text| !text.is_empty()) {
                if std::mem::replace(&mut self.has_open_part, true) {
                    sink.take(Event::Thought(Text::spelt_as(PARAGRAPH)));
                }
                sink.take(Event::Thought(text));
            }
        }
        let sealed = item.get("encrypted_content").and_then(Value::as_text).filter(|token| !token.is_empty());
        if let Some(token) = sealed {
            sink.take(Event::Sealed(Blob { kind: BlobKind::ResponsesEncrypted, token, maker: None }));
        }
        self.end_part(sink);
    }

    fn call_whole(&mut self, item: Value<'_>, told: OpenItem, sink: &mut dyn Sink) {
        let Some(call) = Call::of(item) else { return };
        let arguments = call.arguments.clone().filter(|_| told.part.is_none());
        let index = if let Some(index) = told.call {
            index
        } else {
            self.end_part(sink);
            self.calls += 1;
            let Call { kind, id, name, arguments: _ } = call;
            sink.take(Event::CallStart { index: self.calls - 1, id, name, kind });
            self.calls - 1
        };
        if let Some(piece) = arguments.filter(|piece| !piece.is_empty()) {
            sink.take(Event::CallArguments { index, piece });
        }
        sink.take(Event::PartEnd);
    }

    fn image(&mut self, item: Value<'_>, sink: &mut dyn Sink) {
        let text = |name| item.get(name).and_then(Value::as_text);
        let Some(base64) = text("result").filter(|result| !result.is_empty()) else { return };
        self.end_part(sink);
        let format = text("output_format").unwrap_or_default();
        let media_type = IMAGE_FORMATS.iter().find(|(known, _)| format.is(known)).map_or("image/png", |(_, name)| name);
        sink.take(Event::Image { media_type: Text::spelt_as(media_type), base64 });
    }

    /// The response object at the end of a stream, or the whole answer.
    fn end(&mut self, response: Value<'_>, sink: &mut dyn Sink) {
        let end = End::read(response);
        self.start(Some(response), sink);
        if !self.has_items {
            for (item, at) in end.output.into_iter().flat_map(Value::elements).zip(0..) {
                self.item_whole(item, OpenItem { at, ..OpenItem::default() }, sink);
            }
        }
        self.end_part(sink);
        let used = end.usage.and_then(|usage| usage::openai_chat(usage.spelt().as_bytes(), self.quirks));
        if let Some(usage) = used {
            sink.take(Event::Usage { usage, service_tier: end.tier.clone() });
        }
        match self.finish(&end) {
            Ok(reason) => {
                self.stage = Stage::Complete;
                sink.take(Event::Finish { reason, stop: None });
            }
            Err(fault) => sink.take(Event::Fault(fault)),
        }
    }

    fn finish<'a>(&self, end: &End<'a>) -> Result<Finish, Fault<'a>> {
        if let Some(error) = end.error {
            return Err(fault(error));
        }
        match end.status.as_ref().map(Text::spelt) {
            Some("incomplete") => {
                let is_filtered = end.reason.as_ref().is_some_and(|reason| reason.is("content_filter"));
                Ok(if is_filtered { Finish::Filtered } else { Finish::Length })
            }
            Some("completed") | None if end.output.is_some() || self.has_items => Ok(if self.calls > 0 {
                Finish::Calls
            } else if self.has_refusal {
                Finish::Refusal
            } else {
                Finish::Done
            }),
            Some("failed" | "cancelled" | "completed") | None => {
                Err(Fault { kind: FaultKind::Fault, message: Text::spelt_as("the answer failed without a reason") })
            }
            Some(_) => {
                Err(Fault { kind: FaultKind::Garbled, message: Text::spelt_as("the answer has no known status") })
            }
        }
    }
}
