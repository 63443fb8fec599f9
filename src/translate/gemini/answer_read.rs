//! An answer in Gemini's format, as events.
//!
//! Must not know who reads them. A chunk of a stream is a whole answer with new parts in it; parts are joined here
//! until their kind changes. Which answers are failures of the provider is decided here too: a call that it could
//! not finish leaves nothing to go on from.

use super::{citations, logprobs, usage};
use crate::base::usage::Usage;
use crate::catalog::provider::Dialect;
use crate::translate::Sink;
use crate::translate::ir::{Blob, BlobKind, CallKind, Event, Fault, FaultKind, Finish, Text, Value};
use crate::wire::json::{Document, Kind};
use crate::wire::usage::UsageQuirks;

/// Reads one answer, whole or in frames.
#[derive(Debug)]
pub struct AnswerReader {
    open: Open,
    has_started: bool,
    /// Whether text or a picture came.
    has_content: bool,
    calls: usize,
    is_complete: bool,
    /// What was told of usage last: most chunks repeat it.
    used: Option<Usage>,
    /// What names of calls are made from, where the provider gives none: its name of the answer.
    seed: u64,
}

/// Which part is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Nothing,
    /// A text. Whether every byte of it is a character of its own.
    Text {
        is_ascii: bool,
    },
    Thought,
}

impl Open {
    fn is_ascii(self) -> bool {
        self == Self::Text { is_ascii: true }
    }
}

/// The members of a part that are looked at.
#[derive(Default)]
struct Part<'a> {
    text: Option<Text<'a>>,
    is_thought: bool,
    signature: Option<Text<'a>>,
    call: Option<Value<'a>>,
    image: Option<Value<'a>>,
}

/// The members of an answer that are looked at.
#[derive(Default)]
struct Chunk<'a> {
    candidates: Option<Value<'a>>,
    usage: Option<Value<'a>>,
    id: Text<'a>,
    feedback: Option<Value<'a>>,
    error: Option<Value<'a>>,
}

/// The members of a candidate that are looked at.
#[derive(Default)]
struct Candidate<'a> {
    index: u64,
    content: Option<Value<'a>>,
    finish_reason: Option<Text<'a>>,
    finish_message: Option<Text<'a>>,
    citations: Option<Value<'a>>,
    grounding: Option<Value<'a>>,
    logprobs: Option<Value<'a>>,
}

impl AnswerReader {
    /// For one answer. There is one dialect, and its figures leave nothing open.
    pub fn new(dialect: Dialect, quirks: UsageQuirks) -> Self {
        let (_, _) = (dialect, quirks);
        Self {
            open: Open::Nothing,
            has_started: false,
            has_content: false,
            calls: 0,
            is_complete: false,
            used: None,
            seed: FNV_START,
        }
    }

    /// Reads one event of a stream.
    pub fn frame(&mut self, _name: &[u8], data: &[u8], sink: &mut dyn Sink) {
        if data.is_empty() || data == b"[DONE]" {
            return;
        }
        match Document::parse(data) {
            Ok(document) => self.any(document.root(), sink),
            Err(_) => garbled("a frame is not JSON", sink),
        }
    }

    /// Reads a whole answer, also one that is the array of a stream's chunks.
    pub fn whole(&mut self, answer: Value<'_>, sink: &mut dyn Sink) {
        self.any(answer, sink);
        self.close_part(sink);
        if !self.has_started {
            garbled("the answer has no candidates", sink);
        }
    }

    /// Whether the answer's own end was seen.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    fn any(&mut self, value: Value<'_>, sink: &mut dyn Sink) {
        match value.kind() {
            Kind::Object => self.chunk(value, sink),
            Kind::Array => value.elements().for_each(|element| self.any_object(element, sink)),
            Kind::Null | Kind::Bool | Kind::Number | Kind::Text => garbled("a frame is not an object", sink),
        }
    }

    fn any_object(&mut self, value: Value<'_>, sink: &mut dyn Sink) {
        if value.kind() == Kind::Object {
            self.chunk(value, sink);
        } else {
            garbled("a frame is not an object", sink);
        }
    }

    fn chunk(&mut self, value: Value<'_>, sink: &mut dyn Sink) {
        let Chunk { candidates, usage, id, feedback, error } = Chunk::read(value);
        if let Some(error) = error {
            self.has_started = true;
            sink.take(Event::Fault(fault_of(error)));
            return;
        }
        let used = usage.and_then(usage::read);
        if !self.has_started && (candidates.is_some() || feedback.is_some() || used.is_some()) {
            self.has_started = true;
            self.seed = hashed(self.seed, id.spelt());
            sink.take(Event::Start { id, usage: used });
        }
        let mut has_candidate = false;
        for candidate in candidates.into_iter().flat_map(Value::elements) {
            has_candidate = true;
            self.candidate(&Candidate::read(candidate), sink);
        }
        let is_blocked = feedback.is_some_and(|feedback| feedback.get("blockReason").is_some());
        if is_blocked && !has_candidate && !self.is_complete {
            self.close_part(sink);
            self.finish(Finish::Filtered, sink);
        }
        if let Some(usage) = used.filter(|_| used != self.used) {
            self.used = used;
            sink.take(Event::Usage { usage, service_tier: None });
        }
    }

    /// Only one candidate is ever asked for.
    fn candidate(&mut self, candidate: &Candidate<'_>, sink: &mut dyn Sink) {
        let Candidate { index: 0, content, finish_reason, finish_message, citations, grounding, logprobs } = candidate
        else {
            return;
        };
        let parts = content.and_then(|content| content.get("parts"));
        for part in parts.into_iter().flat_map(Value::elements) {
            self.part(Part::read(part), sink);
        }
        if let Some(metadata) = citations {
            citations::tell(*metadata, self.open.is_ascii(), sink);
        }
        if let Some(metadata) = grounding {
            citations::tell_grounding(*metadata, self.open.is_ascii(), sink);
        }
        if let Some(result) = logprobs {
            let array = logprobs::chat_array(*result);
            if let Ok(array) = Value::parse(&array) {
                sink.take(Event::Logprobs(array));
            }
        }
        if let Some(reason) = finish_reason.as_ref().filter(|_| !self.is_complete) {
            self.end(reason, finish_message.as_ref(), sink);
        }
    }

    fn part(&mut self, part: Part<'_>, sink: &mut dyn Sink) {
        let Part { text, is_thought, signature, call, image } = part;
        if let Some(call) = call {
            self.close_part(sink);
            self.call(call, signature, sink);
            return;
        }
        if let Some(image) = image {
            // A picture that was only a thought is not the answer. The signature of one has no way back: no
            // client's format can return it in place, and the models that draw do not demand it.
            if !is_thought {
                self.close_part(sink);
                self.image(image, sink);
            }
            return;
        }
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            if is_thought {
                self.thought(text, sink);
            } else {
                self.text(text, sink);
            }
        }
        if let Some(signature) = signature {
            seal(signature, sink);
            self.close_part(sink);
        }
    }

    fn thought(&mut self, text: Text<'_>, sink: &mut dyn Sink) {
        if self.open != Open::Thought {
            self.close_part(sink);
            self.open = Open::Thought;
        }
        sink.take(Event::Thought(text));
    }

    fn text(&mut self, text: Text<'_>, sink: &mut dyn Sink) {
        if self.open == Open::Thought {
            self.close_part(sink);
        }
        let is_ascii = self.open != Open::Text { is_ascii: false };
        self.open = Open::Text { is_ascii: is_ascii && text.spelt().is_ascii() && !text.spelt().contains("\\u") };
        self.has_content = true;
        sink.take(Event::Text(text));
    }

    fn call(&mut self, call: Value<'_>, signature: Option<Text<'_>>, sink: &mut dyn Sink) {
        let (mut id, mut name, mut arguments) = (Text::default(), Text::default(), None);
        for (member, value) in call.members() {
            match &*member {
                "id" => id = value.as_text().unwrap_or_default(),
                "name" => name = value.as_text().unwrap_or_default(),
                "args" => arguments = Some(value),
                _ => {}
            }
        }
        let index = self.calls;
        self.calls += 1;
        let piece = arguments.filter(|value| value.members().next().is_some()).map(|value| quoted(value.spelt()));
        if id.is_empty() {
            id = self.made_up_id(index, &name, piece.as_deref().unwrap_or_default());
        }
        sink.take(Event::CallStart { index, id, name, kind: CallKind::Function });
        if let Some(piece) = piece {
            sink.take(Event::CallArguments { index, piece: Text::spelt_as(piece) });
        }
        if let Some(signature) = signature {
            seal(signature, sink);
        }
        sink.take(Event::PartEnd);
    }

    /// The same answer gives the same ids, other answers others: a conversation must not hold one twice.
    fn made_up_id(&self, index: usize, name: &Text<'_>, arguments: &str) -> Text<'static> {
        let hash = hashed(hashed(self.seed, name.spelt()), arguments);
        Text::spelt_as(format!("call_{hash:016x}_{index}"))
    }

    fn image(&mut self, image: Value<'_>, sink: &mut dyn Sink) {
        let (mut media_type, mut base64) = (Text::default(), Text::default());
        for (name, value) in image.members() {
            match &*name {
                "mimeType" => media_type = value.as_text().unwrap_or_default(),
                "data" => base64 = value.as_text().unwrap_or_default(),
                _ => {}
            }
        }
        if media_type.spelt().starts_with("image") {
            self.has_content = true;
            sink.take(Event::Image { media_type, base64 });
        }
    }

    fn close_part(&mut self, sink: &mut dyn Sink) {
        if self.open != Open::Nothing {
            self.open = Open::Nothing;
            sink.take(Event::PartEnd);
        }
    }

    fn finish(&mut self, reason: Finish, sink: &mut dyn Sink) {
        self.is_complete = true;
        sink.take(Event::Finish { reason, stop: None });
    }

    fn end(&mut self, reason: &Text<'_>, message: Option<&Text<'_>>, sink: &mut dyn Sink) {
        if reason.is_empty() || reason.spelt() == "FINISH_REASON_UNSPECIFIED" {
            return;
        }
        self.close_part(sink);
        match ending(reason.spelt(), self.has_content) {
            Ok(Finish::Done) if self.calls > 0 => self.finish(Finish::Calls, sink),
            Ok(reason) => self.finish(reason, sink),
            Err(kind) => {
                let message = message.map_or_else(|| reason.by_ref(), Text::by_ref);
                sink.take(Event::Fault(Fault { kind, message }));
            }
        }
    }
}

/// What a finish reason means: an ending, or a failure of the provider.
fn ending(reason: &str, has_content: bool) -> Result<Finish, FaultKind> {
    Ok(match reason {
        // The second could go on with a token of its own; a client sees that it was not done.
        "MAX_TOKENS" | "CONTINUATION" => Finish::Length,
        "SAFETY"
        | "RECITATION"
        | "LANGUAGE"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION"
        | "MODEL_ARMOR"
        | "ESCALATION" => Finish::Filtered,
        // Words instead of a picture are an answer.
        "NO_IMAGE" | "IMAGE_OTHER" if !has_content => Finish::Filtered,
        "MALFORMED_FUNCTION_CALL"
        | "UNEXPECTED_TOOL_CALL"
        | "TOO_MANY_TOOL_CALLS"
        | "MISSING_THOUGHT_SIGNATURE"
        | "MALFORMED_RESPONSE"
        // Our account there is limited: not the client's business.
        | "PUP_LIMITED_DISABLED" => return Err(FaultKind::Fault),
        "OTHER" => return Err(FaultKind::Overloaded),
        // STOP, and words that came up later.
        _ => Finish::Done,
    })
}

fn seal(token: Text<'_>, sink: &mut dyn Sink) {
    if !token.is_empty() {
        sink.take(Event::Sealed(Blob { kind: BlobKind::GeminiSignature, token, maker: None }));
    }
}

fn garbled(message: &'static str, sink: &mut dyn Sink) {
    sink.take(Event::Fault(Fault { kind: FaultKind::Garbled, message: Text::plain(message) }));
}

/// `{"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "…", "details": […]}`.
fn fault_of(error: Value<'_>) -> Fault<'_> {
    let (mut code, mut status, mut message, mut details) = (0, "", Text::default(), "");
    for (name, value) in error.members() {
        match &*name {
            "code" => code = value.as_u64().unwrap_or(0),
            "status" => status = value.spelt().trim_matches('"'),
            "message" => message = value.as_text().unwrap_or_default(),
            "details" => details = value.spelt(),
            _ => {}
        }
    }
    // A wrong key of ours comes as a fault of the request.
    let is_key = details.contains("API_KEY_INVALID");
    let kind = match (code, status) {
        _ if is_key => FaultKind::Fault,
        (429, _) | (_, "RESOURCE_EXHAUSTED") => FaultKind::RateLimited,
        (503, _) | (_, "UNAVAILABLE") => FaultKind::Overloaded,
        (400, _) | (_, "INVALID_ARGUMENT" | "FAILED_PRECONDITION" | "OUT_OF_RANGE") => FaultKind::Rejected,
        _ => FaultKind::Fault,
    };
    Fault { kind, message }
}

impl<'a> Chunk<'a> {
    fn read(value: Value<'a>) -> Self {
        let mut chunk = Self::default();
        for (name, value) in value.members() {
            match &*name {
                "candidates" => chunk.candidates = Some(value),
                "usageMetadata" => chunk.usage = Some(value),
                "responseId" => chunk.id = value.as_text().unwrap_or_default(),
                "promptFeedback" => chunk.feedback = Some(value),
                "error" => chunk.error = Some(value).filter(|error| !error.is_null()),
                _ => {}
            }
        }
        chunk
    }
}

impl<'a> Candidate<'a> {
    fn read(value: Value<'a>) -> Self {
        let mut candidate = Self::default();
        for (name, value) in value.members() {
            match &*name {
                "index" => candidate.index = value.as_u64().unwrap_or(0),
                "content" => candidate.content = Some(value),
                "finishReason" => candidate.finish_reason = value.as_text(),
                "finishMessage" => candidate.finish_message = value.as_text(),
                "citationMetadata" => candidate.citations = Some(value),
                "groundingMetadata" => candidate.grounding = Some(value),
                "logprobsResult" => candidate.logprobs = Some(value),
                _ => {}
            }
        }
        candidate
    }
}

impl<'a> Part<'a> {
    fn read(value: Value<'a>) -> Self {
        let mut part = Self::default();
        for (name, value) in value.members() {
            match &*name {
                "text" => part.text = value.as_text(),
                "thought" => part.is_thought = value.as_bool().unwrap_or(false),
                "thoughtSignature" => part.signature = value.as_text().filter(|token| !token.is_empty()),
                "functionCall" => part.call = Some(value),
                "inlineData" => part.image = Some(value),
                // Tools of the provider's own, which are never asked for.
                _ => {}
            }
        }
        part
    }
}

/// JSON as the inside of a JSON string, without the space between its values.
fn quoted(json: &str) -> String {
    let mut out = String::with_capacity(json.len() + json.len() / 4);
    let mut rest = json;
    // Pieces between quotes are by turns outside and inside of strings.
    while let Some(open) = rest.find('"') {
        push_without_space(rest.get(..open).unwrap_or_default(), &mut out);
        let string = crate::wire::leap::string_end(rest.as_bytes(), open).unwrap_or(rest.len());
        for piece in rest.get(open..string).unwrap_or_default().split_inclusive(['"', '\\']) {
            match piece.strip_suffix(['"', '\\']) {
                Some(plain) => {
                    out.push_str(plain);
                    out.push('\\');
                    out.push_str(piece.get(plain.len()..).unwrap_or_default());
                }
                None => out.push_str(piece),
            }
        }
        rest = rest.get(string..).unwrap_or_default();
    }
    push_without_space(rest, &mut out);
    out
}

fn push_without_space(json: &str, out: &mut String) {
    out.extend(json.chars().filter(|c| !c.is_ascii_whitespace()));
}

/// FNV-1a with 64 bits: the same on every machine and in every version.
const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

fn hashed(hash: u64, text: &str) -> u64 {
    text.bytes().fold(hash, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
