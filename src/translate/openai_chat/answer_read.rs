//! A host's answer, whole or in chunks, as events.
//!
//! Must not know who reads the events. Much is forgiven here that the format's maker does not do: usage on every
//! chunk or in a corner of its own, a finish said twice, text of thoughts under two names, errors in four shapes.

use super::calls_read::Calls;
use super::details_read::Details;
use super::dialect::{Replay, host};
use super::faults_read;
use super::spelling::source_of;
use crate::catalog::provider::Dialect;
use crate::translate::Sink;
use crate::translate::ir::{Blob, BlobKind, Citation, Event, Fault, FaultKind, Finish, Media, Source, Text, Value};
use crate::wire::json::{Document, Kind};
use crate::wire::usage::{self, UsageQuirks};

/// Reads an answer. One answer, one reader.
#[derive(Debug)]
pub struct AnswerReader {
    quirks: UsageQuirks,
    replay: Replay,
    seen: Seen,
    calls: Calls,
    details: Details,
    service_tier: Option<Text<'static>>,
    finish: Option<Finish>,
}

/// What has come so far.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts of an answer")]
struct Seen {
    /// Anything at all.
    start: bool,
    /// A thought with text, which is still open.
    open_thought: bool,
    /// Text, a refusal or a picture.
    content: bool,
    /// A refusal.
    refusal: bool,
    /// The terminator.
    end: bool,
}

impl AnswerReader {
    /// A reader for an answer of this host.
    pub fn new(dialect: Dialect, quirks: UsageQuirks) -> Self {
        Self {
            quirks,
            replay: host(dialect).replay,
            seen: Seen::default(),
            calls: Calls::default(),
            details: Details::default(),
            service_tier: None,
            finish: None,
        }
    }

    /// Whether the answer's own end was seen.
    pub fn is_complete(&self) -> bool {
        self.finish.is_some() || self.seen.end
    }

    /// Whether the frame after which nothing more comes was seen.
    pub fn is_over(&self) -> bool {
        self.seen.end
    }

    /// Reads one event of a stream.
    pub fn frame(&mut self, name: &[u8], data: &[u8], sink: &mut dyn Sink) {
        let data = data.trim_ascii();
        if data.is_empty() {
            return;
        }
        if data == b"[DONE]" {
            return self.done(sink);
        }
        match Document::parse(data) {
            Ok(chunk) if name == b"error" => sink.take(Event::Fault(faults_read::named(chunk.root()))),
            Ok(chunk) => self.envelope(chunk.root(), sink),
            Err(_) => sink.take(garbled("a chunk that is no JSON")),
        }
    }

    /// Reads a whole answer.
    pub fn whole(&mut self, answer: Value<'_>, sink: &mut dyn Sink) {
        if answer.get("choices").is_none_or(|choices| choices.elements().next().is_none())
            && faults_read::read(answer).is_none()
        {
            return sink.take(garbled("an answer without choices"));
        }
        self.envelope(answer, sink);
        self.done(sink);
    }

    /// `[DONE]`, or the end of a whole answer. Some hosts give no reason why they finished.
    fn done(&mut self, sink: &mut dyn Sink) {
        self.seen.end = true;
        if self.finish.is_none() && self.seen.start && (self.seen.content || self.calls.has_any()) {
            self.finish("stop", sink);
        }
    }

    fn envelope(&mut self, chunk: Value<'_>, sink: &mut dyn Sink) {
        let (mut id, mut choices, mut figures, mut groq) = (None, None, None, None);
        let mut may_be_fault = false;
        for (name, value) in chunk.members() {
            match &*name {
                "id" => id = value.as_text(),
                "choices" => choices = Some(value),
                "usage" => figures = Some(value),
                "x_groq" => {
                    groq = value.get("usage");
                    may_be_fault = true;
                }
                "error" | "message" => may_be_fault = true,
                "service_tier" if self.service_tier.is_none() => {
                    self.service_tier = value.as_text().map(Text::into_owned);
                }
                _ => {}
            }
        }
        if let Some(fault) = Some(chunk).filter(|_| may_be_fault).and_then(faults_read::read) {
            return sink.take(Event::Fault(fault));
        }
        if !self.seen.start {
            self.seen.start = true;
            self.calls.name_after(chunk);
            sink.take(Event::Start { id: id.unwrap_or_default(), usage: None });
        }
        for choice in choices.into_iter().flat_map(Value::elements) {
            self.choice(choice, sink);
        }
        let read = |figures: Value<'_>| usage::openai_chat(figures.spelt().as_bytes(), self.quirks);
        if let Some(usage) = figures.and_then(read).or_else(|| groq.and_then(read)) {
            let service_tier = self.service_tier.as_ref().map(Text::by_ref);
            sink.take(Event::Usage { usage, service_tier });
        }
    }

    fn choice(&mut self, choice: Value<'_>, sink: &mut dyn Sink) {
        let (mut delta, mut message, mut logprobs, mut reason, mut index) = (None, None, None, None, 0);
        for (name, value) in choice.members() {
            match &*name {
                "index" => index = value.as_u64().unwrap_or(0),
                "delta" => delta = Some(value),
                "message" => message = Some(value),
                "logprobs" => logprobs = value.get("content"),
                "finish_reason" => reason = value.as_text(),
                "error" => {
                    if let Some(fault) = faults_read::of_choice(value) {
                        return sink.take(Event::Fault(fault));
                    }
                }
                _ => {}
            }
        }
        // More than one answer is never asked for.
        if index > 0 {
            return;
        }
        // At its end a stream may repeat as a message what it has said.
        let repeats = self.seen.content || self.calls.has_any() || self.seen.open_thought;
        if let Some(said) = delta.or(message.filter(|_| !repeats)) {
            self.delta(said, sink);
        }
        if let Some(logprobs) = logprobs.filter(|logprobs| logprobs.elements().next().is_some()) {
            sink.take(Event::Logprobs(logprobs));
        }
        if let Some(reason) = reason.filter(|reason| !reason.is_empty()) {
            self.finish(&reason.to_plain(), sink);
        }
    }

    fn delta(&mut self, delta: Value<'_>, sink: &mut dyn Sink) {
        let mut said = Said::default();
        for (name, value) in delta.members().filter(|(_, value)| !value.is_null()) {
            let place = match &*name {
                "content" => &mut said.content,
                "reasoning_content" => &mut said.reasoning_content,
                "reasoning" => &mut said.reasoning,
                "reasoning_details" => &mut said.reasoning_details,
                "refusal" => &mut said.refusal,
                "annotations" => &mut said.annotations,
                "images" => &mut said.images,
                "function_call" => &mut said.function_call,
                "tool_calls" => &mut said.tool_calls,
                _ => continue,
            };
            *place = Some(value);
        }
        self.say(&said, sink);
    }

    fn say(&mut self, said: &Said<'_>, sink: &mut dyn Sink) {
        // Some hosts send the same thought under both names.
        let words = |value: Option<Value<'_>>| value.and_then(Value::as_text).is_some_and(|text| !text.is_empty());
        let thought = if words(said.reasoning_content) { said.reasoning_content } else { said.reasoning };
        if let Some(thought) = thought.and_then(Value::as_text) {
            self.thought(thought, sink);
        }
        if let Some(details) = said.reasoning_details.filter(|_| self.replay == Replay::Details) {
            self.details.take(details);
        }
        match said.content.map(|content| (content.kind(), content)) {
            Some((Kind::Text, content)) => self.text(content.as_text().unwrap_or_default(), sink),
            Some((Kind::Array, content)) => content.elements().for_each(|chunk| self.content_chunk(chunk, sink)),
            Some(_) | None => {}
        }
        if let Some(refusal) = said.refusal.and_then(Value::as_text).filter(|refusal| !refusal.is_empty()) {
            self.end_thought(sink);
            self.seen.refusal = true;
            self.seen.content = true;
            sink.take(Event::Refusal(refusal));
        }
        for image in said.images.into_iter().flat_map(Value::elements) {
            self.image(image, sink);
        }
        for citation in said.annotations.into_iter().flat_map(Value::elements).filter_map(read_citation) {
            sink.take(Event::Citation(citation));
        }
        if said.tool_calls.is_some() || said.function_call.is_some() {
            self.end_thought(sink);
        }
        let outcome = match (said.function_call, said.tool_calls) {
            (Some(call), _) => self.calls.old(call, sink),
            (None, Some(calls)) => self.calls.take(calls, sink),
            (None, None) => Ok(()),
        };
        if let Err(broken) = outcome {
            sink.take(garbled(broken.0));
        }
    }

    fn text(&mut self, text: Text<'_>, sink: &mut dyn Sink) {
        if text.is_empty() {
            return;
        }
        self.end_thought(sink);
        self.seen.content = true;
        sink.take(Event::Text(text));
    }

    fn thought(&mut self, thought: Text<'_>, sink: &mut dyn Sink) {
        if !thought.is_empty() {
            self.seen.open_thought = true;
            sink.take(Event::Thought(thought));
        }
    }

    /// A part of Mistral's content: text, or a list of thoughts.
    fn content_chunk(&mut self, chunk: Value<'_>, sink: &mut dyn Sink) {
        match chunk.get("thinking") {
            Some(thinking) => {
                for thought in thinking.elements() {
                    let Some(thought) = thought.get("text").and_then(Value::as_text) else { continue };
                    self.thought(thought, sink);
                }
            }
            None if chunk.get("image_url").is_some() => self.image(chunk, sink),
            None => {
                let text = chunk.get("text").and_then(Value::as_text);
                self.text(text.unwrap_or_default(), sink);
            }
        }
    }

    fn image(&mut self, image: Value<'_>, sink: &mut dyn Sink) {
        let Some(address) = image.get("image_url") else { return };
        self.end_thought(sink);
        self.seen.content = true;
        let source = source_of(address.get("url").unwrap_or(address));
        match source.map(|source| Media { source, name: None, detail: None }.source) {
            Some(Source::Inline { media_type, base64 }) => sink.take(Event::Image { media_type, base64 }),
            // It is kept for the reader at least: events hold pictures only whole.
            Some(Source::Url(url)) => {
                sink.take(Event::Text(Text::spelt_as(format!("![image]({})", url.spelt()))));
            }
            Some(Source::Plain(_) | Source::Id(_)) | None => {}
        }
    }

    /// A thought ends as something else begins. What the host wants back with it is told while it is open.
    fn end_thought(&mut self, sink: &mut dyn Sink) {
        let is_thought = std::mem::take(&mut self.seen.open_thought);
        let has_begun = self.seen.content || self.calls.has_any();
        if is_thought && matches!(self.replay, Replay::OwnText(_) | Replay::WithCalls(_)) {
            sink.take(Event::Sealed(Blob { kind: BlobKind::ChatText, token: Text::default(), maker: None }));
        } else if is_thought || !has_begun {
            self.tell_details(sink);
        }
    }

    fn tell_details(&mut self, sink: &mut dyn Sink) {
        if let Some(token) = self.details.finish() {
            sink.take(Event::Sealed(Blob { kind: BlobKind::ChatDetails, token, maker: None }));
        }
    }

    /// What came of them after the answer had begun stands for a thought of its own, so that all else ends before.
    fn tell_late_details(&mut self, sink: &mut dyn Sink) {
        if !self.details.is_empty() {
            (0..self.calls.count().max(1)).for_each(|_| sink.take(Event::PartEnd));
            self.tell_details(sink);
        }
    }

    fn finish(&mut self, reason: &str, sink: &mut dyn Sink) {
        if self.finish.is_some() {
            return;
        }
        self.end_thought(sink);
        self.tell_late_details(sink);
        let reason = match reason {
            // A call that was forced finishes with `stop`.
            "stop" | "eos" | "tool_calls" | "function_call" if self.calls.has_any() => Finish::Calls,
            "length" | "model_length" | "max_tokens" => Finish::Length,
            "content_filter" => Finish::Filtered,
            "error" | "insufficient_system_resource" => return sink.take(Event::Fault(faults_read::finished(reason))),
            _ if self.seen.refusal => Finish::Refusal,
            _ => Finish::Done,
        };
        self.finish = Some(reason);
        sink.take(Event::Finish { reason, stop: None });
    }
}

/// The members of a delta or a message.
#[derive(Default)]
struct Said<'a> {
    content: Option<Value<'a>>,
    reasoning_content: Option<Value<'a>>,
    reasoning: Option<Value<'a>>,
    reasoning_details: Option<Value<'a>>,
    refusal: Option<Value<'a>>,
    annotations: Option<Value<'a>>,
    images: Option<Value<'a>>,
    function_call: Option<Value<'a>>,
    tool_calls: Option<Value<'a>>,
}

fn read_citation(annotation: Value<'_>) -> Option<Citation<'_>> {
    let cited = annotation.get("url_citation")?;
    let text = |name: &str| cited.get(name).and_then(Value::as_text);
    let number = |name: &str| cited.get(name).and_then(Value::as_u64);
    let range = number("start_index").zip(number("end_index")).filter(|(start, end)| start < end);
    Some(Citation { url: text("url"), title: text("title"), quote: text("content"), range })
}

fn garbled(what: &str) -> Event<'static> {
    Event::Fault(Fault { kind: FaultKind::Garbled, message: Text::plain(what.to_owned()) })
}
