//! Anthropic's answers, whole or streamed → events.
//!
//! Must not know any client's format. Blocks come one after another; usage is cumulative and spread over two kinds
//! of frames; the reason of the end holds once the message stops, since a later frame may change it.

use super::stop;
use crate::catalog::provider::Dialect;
use crate::translate::Sink;
use crate::translate::ir::{Blob, BlobKind, CallKind, Citation, Event, Fault, FaultKind, Finish, Text, Value};
use crate::wire::json::{Document, Kind};
use crate::wire::usage::{AnthropicFigures, UsageQuirks};

/// The longest name of a tier that is kept.
const TIER_BYTES_MAX: usize = 32;

/// Reads one answer.
#[derive(Debug)]
pub struct AnswerReader {
    has_started: bool,
    is_complete: bool,
    /// Calls that have begun.
    calls: usize,
    open: Open,
    figures: AnthropicFigures,
    tier: Option<Text<'static>>,
    finish: Option<Finish>,
    stop: Option<Text<'static>>,
}

/// The block in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    /// None, or one whose pieces say nothing to other formats.
    Nothing,
    /// A text or a thought.
    Words,
    /// A call; whether its arguments came whole with its beginning.
    Call { is_whole: bool },
}

/// The members of a frame.
#[derive(Default)]
struct Frame<'a> {
    kind: Option<Text<'a>>,
    message: Option<Value<'a>>,
    block: Option<Value<'a>>,
    delta: Option<Value<'a>>,
    usage: Option<Value<'a>>,
    error: Option<Value<'a>>,
}

impl AnswerReader {
    /// For one answer. Hosts of this format all count alike.
    pub fn new(_: Dialect, _: UsageQuirks) -> Self {
        Self {
            has_started: false,
            is_complete: false,
            calls: 0,
            open: Open::Nothing,
            figures: AnthropicFigures::default(),
            tier: None,
            finish: None,
            stop: None,
        }
    }

    /// Whether the message came to its own end.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Takes the next frame of a stream. The name is only looked at where the data does not say its type.
    pub fn frame(&mut self, name: &[u8], data: &[u8], sink: &mut dyn Sink) {
        if data.is_empty() || data == b"[DONE]" {
            return;
        }
        let Ok(document) = Document::parse(data) else { return garbled(sink) };
        let mut frame = Frame::default();
        for (name, value) in document.root().members() {
            match &*name {
                "type" => frame.kind = value.as_text(),
                "message" => frame.message = Some(value),
                "content_block" => frame.block = Some(value),
                "delta" => frame.delta = Some(value),
                "usage" => frame.usage = Some(value),
                "error" => frame.error = Some(value),
                _ => {}
            }
        }
        match (frame.kind.as_ref().map_or(name, |kind| kind.spelt().as_bytes()), &frame) {
            (b"content_block_delta", Frame { delta: Some(delta), .. }) => self.delta(*delta, sink),
            (b"content_block_start", Frame { block: Some(block), .. }) => self.block(*block, sink),
            (b"content_block_stop", _) => self.end_block(sink),
            (b"message_start", Frame { message: Some(message), .. }) => self.start(*message, sink),
            (b"message_delta", _) => self.message_delta(frame.delta, frame.usage, sink),
            (b"message_stop", _) => self.end(sink),
            (b"error", _) => fault(frame.error, sink),
            // Pings, and kinds that are not known yet.
            _ => {}
        }
    }

    /// Takes a whole answer.
    pub fn whole(&mut self, answer: Value<'_>, sink: &mut dyn Sink) {
        let (mut kind, mut content, mut error, mut usage) = (None, None, None, None);
        for (name, value) in answer.members() {
            match &*name {
                "type" => kind = value.as_text(),
                "content" => content = Some(value),
                "error" => error = Some(value).filter(|error| !error.is_null()),
                "usage" => usage = Some(value),
                _ => {}
            }
        }
        if error.is_some() || kind.is_some_and(|kind| kind.is("error")) {
            return fault(error, sink);
        }
        let Some(content) = content.filter(|content| content.kind() == Kind::Array) else { return garbled(sink) };
        self.start(answer, sink);
        for block in content.elements() {
            self.block(block, sink);
            self.end_block(sink);
        }
        self.message_delta(Some(answer), usage, sink);
        self.end(sink);
    }

    fn start(&mut self, message: Value<'_>, sink: &mut dyn Sink) {
        let (mut id, mut usage) = (Text::default(), None);
        for (name, value) in message.members() {
            match &*name {
                "id" => id = value.as_text().unwrap_or_default(),
                "usage" => usage = Some(value),
                _ => {}
            }
        }
        if let Some(usage) = usage {
            let figures = AnthropicFigures::read(usage.spelt().as_bytes());
            self.figures = self.figures.updated_by(figures.without_output());
            self.keep_tier(usage);
        }
        if !self.has_started {
            self.has_started = true;
            let usage = self.figures.is_report().then(|| self.figures.normalise());
            sink.take(Event::Start { id, usage });
        }
    }

    fn keep_tier(&mut self, usage: Value<'_>) {
        let tier = usage.get("service_tier").and_then(Value::as_text);
        if let Some(tier) = tier.filter(|tier| tier.spelt().len() <= TIER_BYTES_MAX) {
            self.tier = Some(tier.into_owned());
        }
    }

    /// A block begins; in a whole answer it has all its content.
    fn block(&mut self, block: Value<'_>, sink: &mut dyn Sink) {
        let member = |name: &str| block.get(name).and_then(Value::as_text).filter(|text| !text.is_empty());
        let kind = member("type").unwrap_or_default();
        self.open = match kind.spelt() {
            "text" => {
                told(member("text").map(Event::Text), sink);
                let citations = block.get("citations").into_iter().flat_map(Value::elements);
                citations.for_each(|citation| sink.take(Event::Citation(read_citation(citation))));
                Open::Words
            }
            "thinking" => {
                told(member("thinking").map(Event::Thought), sink);
                told(member("signature").map(signature), sink);
                Open::Words
            }
            "redacted_thinking" => {
                let blob = |token| Blob { kind: BlobKind::AnthropicRedacted, token, maker: None };
                told(member("data").map(blob).map(Event::Sealed), sink);
                Open::Nothing
            }
            "tool_use" => self.call(block, sink),
            _ => Open::Nothing,
        };
    }

    fn call(&mut self, block: Value<'_>, sink: &mut dyn Sink) -> Open {
        let member = |name: &str| block.get(name).and_then(Value::as_text).unwrap_or_default();
        let index = self.calls;
        self.calls += 1;
        sink.take(Event::CallStart { index, id: member("id"), name: member("name"), kind: CallKind::Function });
        // In a stream the arguments begin empty, and come in pieces.
        let whole = block.get("input").filter(|input| input.members().next().is_some());
        if let Some(input) = whole {
            sink.take(Event::CallArguments { index, piece: Text::plain(input.spelt()) });
        }
        Open::Call { is_whole: whole.is_some() }
    }

    fn delta(&mut self, delta: Value<'_>, sink: &mut dyn Sink) {
        let mut kind = Text::default();
        let mut content = None;
        for (name, value) in delta.members() {
            match &*name {
                "type" => kind = value.as_text().unwrap_or_default(),
                "text" | "partial_json" | "thinking" | "signature" | "citation" => content = Some(value),
                _ => {}
            }
        }
        let Some(content) = content else { return };
        let text = content.as_text().filter(|text| !text.is_empty());
        match (kind.spelt(), text, self.open) {
            ("citations_delta", _, Open::Words) => sink.take(Event::Citation(read_citation(content))),
            ("text_delta", Some(text), Open::Words) => sink.take(Event::Text(text)),
            ("thinking_delta", Some(thought), Open::Words) => sink.take(Event::Thought(thought)),
            ("signature_delta", Some(token), Open::Words) => sink.take(signature(token)),
            ("input_json_delta", Some(piece), Open::Call { is_whole }) if !is_whole => {
                sink.take(Event::CallArguments { index: self.calls.saturating_sub(1), piece });
            }
            _ => {}
        }
    }

    fn end_block(&mut self, sink: &mut dyn Sink) {
        if self.open != Open::Nothing {
            sink.take(Event::PartEnd);
        }
        self.open = Open::Nothing;
    }

    /// What is known of the end: also of a whole answer, which has the same members.
    fn message_delta(&mut self, delta: Option<Value<'_>>, usage: Option<Value<'_>>, sink: &mut dyn Sink) {
        for (name, value) in delta.into_iter().flat_map(Value::members) {
            match (&*name, value.as_text()) {
                ("stop_reason", Some(reason)) => self.finish = Some(stop::read(reason.spelt())),
                ("stop_sequence", Some(text)) => self.stop = Some(text.into_owned()),
                ("stop_details", None) => {
                    let words = value.get("explanation").and_then(Value::as_text).filter(|words| !words.is_empty());
                    told(words.map(Event::Refusal), sink);
                }
                _ => {}
            }
        }
        let Some(usage) = usage else { return };
        self.figures = self.figures.updated_by(AnthropicFigures::read(usage.spelt().as_bytes()));
        self.keep_tier(usage);
        if self.figures.is_report() {
            let service_tier = self.tier.as_ref().map(Text::by_ref);
            sink.take(Event::Usage { usage: self.figures.normalise(), service_tier });
        }
    }

    fn end(&mut self, sink: &mut dyn Sink) {
        if self.is_complete {
            return;
        }
        self.is_complete = true;
        let reason = self.finish.unwrap_or(if self.calls > 0 { Finish::Calls } else { Finish::Done });
        sink.take(Event::Finish { reason, stop: self.stop.as_ref().map(Text::by_ref) });
    }
}

fn told(event: Option<Event<'_>>, sink: &mut dyn Sink) {
    if let Some(event) = event {
        sink.take(event);
    }
}

fn signature(token: Text<'_>) -> Event<'_> {
    Event::Sealed(Blob { kind: BlobKind::AnthropicSignature, token, maker: None })
}

fn read_citation(citation: Value<'_>) -> Citation<'_> {
    let mut read = Citation { url: None, title: None, quote: None, range: None };
    for (name, value) in citation.members() {
        match &*name {
            "url" => read.url = value.as_text(),
            // Where a client's own search was cited, this is what it gave as the place.
            "source" => read.url = read.url.or_else(|| value.as_text()),
            "title" | "document_title" => read.title = value.as_text(),
            "cited_text" => read.quote = value.as_text(),
            _ => {}
        }
    }
    read
}

fn garbled(sink: &mut dyn Sink) {
    sink.take(Event::Fault(Fault { kind: FaultKind::Garbled, message: Text::default() }));
}

fn fault(error: Option<Value<'_>>, sink: &mut dyn Sink) {
    let member = |name: &str| error.and_then(|error| error.get(name)).and_then(Value::as_text);
    let kind = match member("type").as_ref().map(Text::spelt) {
        Some("rate_limit_error") => FaultKind::RateLimited,
        Some("overloaded_error") => FaultKind::Overloaded,
        Some("invalid_request_error" | "request_too_large" | "not_found_error") => FaultKind::Rejected,
        _ => FaultKind::Fault,
    };
    sink.take(Event::Fault(Fault { kind, message: member("message").unwrap_or_default() }));
}
