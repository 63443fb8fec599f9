//! What the mock says: request body in, answer in the same wire format out.
//!
//! Must not know sockets or clocks: `serve` adds the waiting and the breaking of connections.

use std::borrow::Cow;
use std::fmt::Write as _;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Fault, MockOptions, anthropic, chat, pieces, sample};
use crate::base::wire_format::WireFormat;

/// Longest piece of the client's words that is said back.
const ECHO_CHARS_MAX: usize = 160;
/// A token is taken to be this many bytes.
const BYTES_PER_TOKEN: usize = 4;

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Value of `content-type`.
    pub content_type: &'static str,
    /// What is sent.
    pub body: ReplyBody,
}

/// The body of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplyBody {
    /// One JSON document.
    Whole(Bytes),
    /// A stream: one SSE event a frame, the last one ends it.
    Frames(Vec<Bytes>),
}

/// Answers a request in the vendor's own way, errors included. Formats that the mock does not speak get a 404.
pub fn reply(format: WireFormat, body: &[u8], options: &MockOptions) -> Reply {
    if let Some(answer) = pieces::reply(format, body) {
        let vendor = Vendor::Openai;
        return match answer {
            Ok(reply) => with_fault(vendor, reply, options.fault),
            Err(invalid) => error_of(vendor, &invalid),
        };
    }
    let exchange = match format {
        WireFormat::OpenaiChat => chat::read(body, options),
        WireFormat::AnthropicMessages => anthropic::read(body, options),
        WireFormat::OpenaiResponses
        | WireFormat::OpenaiImages
        | WireFormat::GeminiGenerate
        | WireFormat::BedrockConverse
        | WireFormat::OpenaiEmbeddings
        | WireFormat::OpenaiImageEdits
        | WireFormat::OpenaiTranscriptions
        | WireFormat::OpenaiSpeech => Err(Invalid::new(404, "the mock does not speak this wire format")),
    };
    let vendor = Vendor::of(format);
    match exchange {
        Ok(exchange) => with_fault(vendor, write(vendor, &exchange, options), options.fault),
        Err(invalid) => error_of(vendor, &invalid),
    }
}

/// Whose shapes an answer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Vendor {
    Openai,
    Anthropic,
}

impl Vendor {
    fn of(format: WireFormat) -> Self {
        if format == WireFormat::AnthropicMessages { Self::Anthropic } else { Self::Openai }
    }
}

/// An error as the vendor of this format sends it.
pub fn error(format: WireFormat, status: u16) -> Reply {
    error_of(Vendor::of(format), &Invalid::new(status, message_of(status)))
}

fn message_of(status: u16) -> &'static str {
    match status {
        401 => "Incorrect API key provided.",
        404 => "Not found.",
        413 => "Request exceeds the maximum size.",
        429 => "Rate limit reached (injected by the mock).",
        _ => "The mock was told to fail.",
    }
}

fn error_of(vendor: Vendor, invalid: &Invalid) -> Reply {
    let body = match vendor {
        Vendor::Anthropic => anthropic::error(invalid),
        Vendor::Openai => chat::error(invalid),
    };
    Reply { status: invalid.status, content_type: "application/json", body: ReplyBody::Whole(json_bytes(&body)) }
}

/// Why a request is refused.
#[derive(Debug)]
pub(super) struct Invalid {
    pub(super) status: u16,
    pub(super) message: Cow<'static, str>,
    pub(super) param: Option<&'static str>,
}

impl Invalid {
    pub(super) fn new(status: u16, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, message: message.into(), param: None }
    }

    pub(super) fn field(param: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status: 400, message: message.into(), param: Some(param) }
    }
}

/// What will be said to whom, before it is written in a wire format.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) id: String,
    pub(super) model: String,
    pub(super) streamed: bool,
    /// Chat only: whether the stream ends with a usage chunk.
    pub(super) wants_usage: bool,
    /// Chat only: how many choices.
    pub(super) choices: usize,
    pub(super) said: Said,
    pub(super) prompt_tokens: usize,
}

/// The content of one choice.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    Text { text: String, cut: bool },
    Call { name: String, arguments: Value },
}

impl Exchange {
    pub(super) fn completion_tokens(&self) -> usize {
        let bytes = match &self.said {
            Said::Text { text, cut: _ } => text.len(),
            Said::Call { name, arguments } => name.len() + arguments.to_string().len(),
        };
        tokens(bytes) * self.choices
    }
}

/// What the two formats have in common once read.
#[derive(Debug, Default)]
pub(super) struct Asked<'a> {
    /// The last words of the user, or the last result of a tool.
    pub(super) last_text: Cow<'a, str>,
    pub(super) images: usize,
    pub(super) after_tool: bool,
    /// The tool that is to be called, with its schema.
    pub(super) tool: Option<(String, Value)>,
    /// The schema that the text has to follow; null for any JSON object.
    pub(super) json_schema: Option<Value>,
    pub(super) max_tokens: Option<u64>,
}

/// Decides what is said.
pub(super) fn say(asked: Asked<'_>, options: &MockOptions) -> Said {
    let Asked { last_text, images, after_tool, tool, json_schema, max_tokens } = asked;
    if let (Some((name, schema)), false) = (tool, after_tool) {
        let sample = sample::sample(&schema);
        let arguments = if sample.is_object() { sample } else { Value::Object(serde_json::Map::new()) };
        return Said::Call { name, arguments };
    }
    let mut text = match json_schema {
        Some(Value::Null) => r#"{"mock":true}"#.to_owned(),
        Some(schema) => sample::sample(&schema).to_string(),
        None => sentence(&last_text, images, after_tool, options.text_chars),
    };
    let bytes_max = max_tokens.and_then(|max| usize::try_from(max).ok()).map(|max| max.saturating_mul(BYTES_PER_TOKEN));
    let cut = bytes_max.is_some_and(|max| text.len() > max);
    if let (true, Some(max)) = (cut, bytes_max) {
        text.truncate(text.floor_char_boundary(max));
    }
    Said::Text { text, cut }
}

fn sentence(last_text: &str, images: usize, after_tool: bool, chars_wanted: usize) -> String {
    let mut echo = String::new();
    for word in last_text.split_whitespace().take(ECHO_CHARS_MAX) {
        if !echo.is_empty() {
            echo.push(' ');
        }
        echo.extend(word.chars().take(ECHO_CHARS_MAX));
        if echo.len() >= ECHO_CHARS_MAX {
            echo.truncate(echo.floor_char_boundary(ECHO_CHARS_MAX));
            echo.push('…');
            break;
        }
    }
    let whose = if after_tool { "Your tool answered" } else { "You said" };
    let mut text = format!("Hello from the Flux mock; no model was asked. {whose}: \"{echo}\".");
    if images > 0 {
        let _ = write!(text, " Images received: {images}.");
    }
    let mut chars = text.chars().count();
    while chars < chars_wanted {
        let more = " The mock goes on, one plain sentence at a time.";
        text.extend(more.chars().take(chars_wanted - chars));
        chars += more.len();
    }
    text
}

fn write(vendor: Vendor, exchange: &Exchange, options: &MockOptions) -> Reply {
    let usage_told = options.fault != Fault::NoUsage;
    if exchange.streamed {
        let frames = match vendor {
            Vendor::Anthropic => anthropic::frames(exchange, options.chunk_chars, usage_told),
            Vendor::Openai => chat::frames(exchange, options.chunk_chars, usage_told),
        };
        return Reply { status: 200, content_type: "text/event-stream", body: ReplyBody::Frames(frames) };
    }
    let body = match vendor {
        Vendor::Anthropic => anthropic::whole(exchange, usage_told),
        Vendor::Openai => chat::whole(exchange, usage_told),
    };
    Reply { status: 200, content_type: "application/json", body: ReplyBody::Whole(json_bytes(&body)) }
}

/// Puts those faults into a good answer that show in its bytes.
fn with_fault(vendor: Vendor, mut good: Reply, fault: Fault) -> Reply {
    let failed = Invalid::new(500, "The mock was told to fail.");
    let error_event = || match vendor {
        Vendor::Anthropic => event("error", &anthropic::error(&failed)),
        Vendor::Openai => nameless(&chat::error(&failed)),
    };
    match (fault, &mut good.body) {
        (Fault::Status(status), _) => return error_of(vendor, &Invalid::new(status, message_of(status))),
        (Fault::ErrorFirstEvent, ReplyBody::Frames(frames)) => *frames = vec![error_event()],
        (Fault::ErrorMidStream, ReplyBody::Frames(frames)) => {
            frames.truncate(frames.len().div_ceil(2));
            frames.push(error_event());
        }
        (Fault::ErrorFirstEvent, ReplyBody::Whole(_)) => {
            return Reply { status: 200, ..error_of(vendor, &failed) };
        }
        (Fault::BrokenJson, ReplyBody::Whole(body)) => body.truncate(body.len() / 2),
        (Fault::BrokenJson, ReplyBody::Frames(frames)) => *frames = vec![Bytes::from_static(b"data: {\"broken\n\n")],
        (
            Fault::None
            | Fault::Reset
            | Fault::CutBody
            | Fault::ErrorMidStream
            | Fault::Hang
            | Fault::HangMidStream
            | Fault::NoUsage,
            ReplyBody::Whole(_) | ReplyBody::Frames(_),
        ) => {}
    }
    good
}

/// Text and counts of a message's content: a string, or an array of parts.
#[derive(Debug, Default)]
pub(super) struct Content<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) images: usize,
    pub(super) has_tool_result: bool,
}

/// One part of a content; fields of other kinds of parts are skipped, not kept.
#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

/// Reads a content that is a string or an array of typed parts.
pub(super) fn content(raw: &RawValue) -> Result<Content<'_>, Invalid> {
    let bad = |error: serde_json::Error| Invalid::field("messages", format!("Invalid content: {error}."));
    if raw.get().starts_with('"') {
        let text = borrowed(raw).map_err(bad)?;
        return Ok(Content { text, ..Content::default() });
    }
    let parts: Vec<Part<'_>> = serde_json::from_str(raw.get()).map_err(bad)?;
    let mut content = Content::default();
    for Part { kind, text, content: inner } in parts {
        match kind.as_ref() {
            "image_url" | "image" => content.images += 1,
            "tool_result" => {
                content.has_tool_result = true;
                let inner = inner.filter(|raw| raw.get().starts_with('"')).and_then(|raw| borrowed(raw).ok());
                content.text = inner.unwrap_or(content.text);
            }
            _ => content.text = text.unwrap_or(content.text),
        }
    }
    Ok(content)
}

/// A JSON string, borrowed where it holds no escapes.
fn borrowed(raw: &RawValue) -> serde_json::Result<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    serde_json::from_str::<Text<'_>>(raw.get()).map(|Text(text)| text)
}

/// Tokens in this many bytes, never none.
pub(super) fn tokens(bytes: usize) -> usize {
    bytes.div_ceil(BYTES_PER_TOKEN).max(1)
}

/// A name for the answer that depends on the body alone.
pub(super) fn id(prefix: &str, body: &[u8]) -> String {
    format!("{prefix}mock{:08x}{:08x}", crc32fast::hash(body), body.len())
}

/// Cuts a text into pieces of so many characters.
pub(super) fn pieces(text: &str, chars: usize) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = rest.char_indices().nth(chars.max(1)).map_or(rest.len(), |(at, _)| at);
        let (piece, after) = rest.split_at(end);
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

/// An SSE frame with a name.
pub(super) fn event(name: &str, json: &Value) -> Bytes {
    Bytes::from(format!("event: {name}\ndata: {json}\n\n"))
}

/// An SSE frame without a name.
pub(super) fn nameless(json: &Value) -> Bytes {
    Bytes::from(format!("data: {json}\n\n"))
}

fn json_bytes(json: &Value) -> Bytes {
    Bytes::from(json.to_string())
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
