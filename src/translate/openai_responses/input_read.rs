//! The input: a string, or items → turns.
//!
//! Must not know the rest of a request. Items of the assistant that follow one another (thoughts, messages, calls)
//! are one turn; each result is a turn of its own, so that a fault in it is named by its place.

use std::borrow::Cow;

use crate::translate::Invalid;
use crate::translate::envelope::{Envelope, Opened};
use crate::translate::ir::{
    Blob, BlobKind, CacheMark, CacheTtl, Call, CallKind, Media, Part, PartKind, Request, Role, Source, Text,
    ToolResult, Turn, Value,
};
use crate::translate::media;
use crate::wire::json::Kind;

use super::items::IMAGE_FORMATS;
use super::request_read::ignore;

/// Reads the input into the request's turns.
pub(super) fn read<'a>(input: Value<'a>, envelope: &Envelope, request: &mut Request<'a>) -> Result<(), Invalid> {
    if let Some(text) = input.as_text() {
        let parts = vec![Part::from(PartKind::Text(text))];
        request.turns.push(Turn { role: Role::User, parts, name: None, at: 0 });
        return Ok(());
    }
    if input.kind() != Kind::Array {
        return Err(Invalid::request("input", "must be a string or a list of items"));
    }
    for (item, at) in input.elements().zip(0..) {
        if item.kind() != Kind::Object {
            return Err(Invalid::request(format!("input[{at}]"), "must be an object"));
        }
        ItemReader { at, envelope, request }.read(&Item::read(item))?;
    }
    Ok(())
}

/// Unknown members of an item that are told.
const UNKNOWN_MAX: usize = 16;

/// The members of an item that are looked at, whatever kind it is.
#[derive(Clone, Debug, Default)]
struct Item<'a> {
    kind: Option<Text<'a>>,
    role: Option<Text<'a>>,
    has_id: bool,
    content: Option<Value<'a>>,
    call_id: Option<Text<'a>>,
    name: Option<Text<'a>>,
    /// `arguments` of a function, `input` of a custom tool.
    arguments: Option<Text<'a>>,
    output: Option<Value<'a>>,
    summary: Option<Value<'a>>,
    encrypted: Option<Text<'a>>,
    /// Of a picture.
    result: Option<Text<'a>>,
    output_format: Option<Text<'a>>,
    /// Members that are not known.
    unknown: Vec<Cow<'a, str>>,
}

impl<'a> Item<'a> {
    fn read(value: Value<'a>) -> Self {
        let mut item = Self::default();
        for (name, value) in value.members().filter(|(_, value)| !value.is_null()) {
            match &*name {
                "type" => item.kind = value.as_text(),
                "role" => item.role = value.as_text(),
                // Items are told apart by their place, calls by `call_id`; an item in a request is always whole.
                "id" => item.has_id = true,
                "status" => {}
                "content" => item.content = Some(value),
                "call_id" => item.call_id = value.as_text(),
                "name" => item.name = value.as_text(),
                "arguments" | "input" => item.arguments = value.as_text(),
                "output" => item.output = Some(value),
                "summary" => item.summary = Some(value),
                "encrypted_content" => item.encrypted = value.as_text(),
                "result" => item.result = value.as_text(),
                "output_format" => item.output_format = value.as_text(),
                _ if item.unknown.len() < UNKNOWN_MAX => item.unknown.push(name),
                _ => {}
            }
        }
        item
    }
}

/// Reads one item.
struct ItemReader<'r, 'a> {
    at: usize,
    envelope: &'r Envelope,
    request: &'r mut Request<'a>,
}

impl<'a> ItemReader<'_, 'a> {
    fn read(&mut self, item: &Item<'a>) -> Result<(), Invalid> {
        let at = self.at;
        let kind = match &item.kind {
            Some(kind) => kind.spelt(),
            None if item.role.is_some() => "message",
            None if item.has_id => "item_reference",
            None => return Err(Invalid::request(format!("input[{at}].type"), "is missing")),
        };
        match kind {
            "message" => self.message(item)?,
            "reasoning" => self.reasoning(item),
            "function_call" => self.call(item, CallKind::Function)?,
            "custom_tool_call" => self.call(item, CallKind::Custom)?,
            "function_call_output" => self.result(item, CallKind::Function)?,
            "custom_tool_call_output" => self.result(item, CallKind::Custom)?,
            "image_generation_call" => self.image(item)?,
            "item_reference" => {
                let message = "items are not stored here; send the item itself instead of a reference to it";
                return Err(Invalid::target(format!("input[{at}]"), message));
            }
            // What a provider's own tools did; what came of it stands in the messages.
            "web_search_call"
            | "file_search_call"
            | "code_interpreter_call"
            | "mcp_list_tools"
            | "mcp_call"
            | "program"
            | "program_output" => {
                ignore(&mut self.request.ignored, || format!("input[{at}]").into());
                return Ok(());
            }
            _ => {
                let message = format!("items of type {} are known to providers of the Responses API only", shown(kind));
                return Err(Invalid::target(format!("input[{at}].type"), message));
            }
        }
        for name in &item.unknown {
            ignore(&mut self.request.ignored, || format!("input[{at}].{}", shown(name)).into());
        }
        Ok(())
    }

    fn message(&mut self, item: &Item<'a>) -> Result<(), Invalid> {
        let at = self.at;
        let role = match item.role.as_ref().map(Text::spelt) {
            Some("user") => Role::User,
            Some("assistant") => Role::Assistant,
            Some("system") => Role::System,
            Some("developer") => Role::Developer,
            Some(_) | None => {
                let message = "must be one of user, assistant, system, developer";
                return Err(Invalid::request(format!("input[{at}].role"), message));
            }
        };
        let content = item.content.ok_or_else(|| Invalid::request(format!("input[{at}].content"), "is missing"))?;
        let parts = self.parts(content, "content")?;
        if role == Role::Assistant {
            self.assistant(parts);
        } else {
            self.request.turns.push(Turn { role, parts, name: item.name.clone(), at });
        }
        Ok(())
    }

    /// Adds to the turn of the assistant that goes on here, or begins one.
    fn assistant(&mut self, parts: impl IntoIterator<Item = Part<'a>>) {
        match self.request.turns.last_mut() {
            Some(turn) if turn.role == Role::Assistant => turn.parts.extend(parts),
            Some(_) | None => {
                let parts = parts.into_iter().collect();
                self.request.turns.push(Turn { role: Role::Assistant, parts, name: None, at: self.at });
            }
        }
    }

    fn reasoning(&mut self, item: &Item<'a>) {
        let blob = item.encrypted.clone().and_then(|token| match self.envelope.open(token) {
            Opened::Sealed(blob) => Some(blob),
            Opened::Bare(token) => Some(Blob { kind: BlobKind::ResponsesEncrypted, token, maker: None }),
            Opened::Foreign => None,
        });
        let text = summary(item);
        if text.is_empty() && blob.is_none() {
            return;
        }
        let last = self.request.turns.last_mut().filter(|turn| turn.role == Role::Assistant);
        if let Some(Blob { kind: BlobKind::GeminiSignature, .. }) = &blob
            && text.is_empty()
            && let Some(last) = last.and_then(|turn| turn.parts.last_mut())
            && matches!(last.kind, PartKind::Text(_) | PartKind::Call(_))
            && last.blob.is_none()
        {
            // Signatures on texts and calls travel in an item right after them.
            last.blob = blob;
            return;
        }
        self.assistant([Part { kind: PartKind::Thought(text), cache: None, blob }]);
    }

    fn call(&mut self, item: &Item<'a>, kind: CallKind) -> Result<(), Invalid> {
        let at = self.at;
        let missing = |name| Invalid::request(format!("input[{at}].{name}"), "is missing, or not a string");
        let arguments = if kind == CallKind::Function { "arguments" } else { "input" };
        let call = Call {
            id: item.call_id.clone().ok_or_else(|| missing("call_id"))?,
            name: item.name.clone().ok_or_else(|| missing("name"))?,
            kind,
            arguments: item.arguments.clone().ok_or_else(|| missing(arguments))?.into_plain(),
        };
        self.assistant([PartKind::Call(call).into()]);
        Ok(())
    }

    fn result(&mut self, item: &Item<'a>, kind: CallKind) -> Result<(), Invalid> {
        let at = self.at;
        let missing = |name| Invalid::request(format!("input[{at}].{name}"), "is missing");
        let id = item.call_id.clone().ok_or_else(|| missing("call_id"))?;
        let parts = self.parts(item.output.ok_or_else(|| missing("output"))?, "output")?;
        let result = ToolResult { id, parts, is_error: false, kind };
        let parts = vec![PartKind::Result(result).into()];
        self.request.turns.push(Turn { role: Role::Tool, parts, name: None, at });
        Ok(())
    }

    /// A picture that the model made.
    fn image(&mut self, item: &Item<'a>) -> Result<(), Invalid> {
        let Some(base64) = item.result.clone() else {
            let message = "items are not stored here; send the picture itself in `result`";
            return Err(Invalid::target(format!("input[{}].result", self.at), message));
        };
        let format = item.output_format.clone().unwrap_or_default();
        let media_type = IMAGE_FORMATS.iter().find(|(known, _)| format.is(known)).map_or("image/png", |(_, name)| name);
        let source = media::inline(Text::spelt_as(media_type), base64);
        self.assistant([PartKind::Image(Media { source, name: None, detail: None }).into()]);
        Ok(())
    }

    /// The parts of a message or of a result: a string or a list.
    fn parts(&mut self, value: Value<'a>, member: &'static str) -> Result<Vec<Part<'a>>, Invalid> {
        let at = self.at;
        if let Some(text) = value.as_text() {
            return Ok(vec![PartKind::Text(text).into()]);
        }
        if value.kind() != Kind::Array {
            return Err(Invalid::request(format!("input[{at}].{member}"), "must be a string or a list of parts"));
        }
        let mut parts = Vec::new();
        for (part, index) in value.elements().zip(0..) {
            let place = Place { at, member, index };
            let read = RawPart::read(part);
            if let Some(name) = &read.unknown {
                ignore(&mut self.request.ignored, || place.of(&shown(name)).into());
            }
            parts.push(read.into_part(place)?);
        }
        Ok(parts)
    }
}

/// Where a part stands. Spelt only when something is wrong with it.
#[derive(Clone, Copy)]
struct Place {
    at: usize,
    member: &'static str,
    index: usize,
}

impl Place {
    fn of(self, name: &str) -> String {
        let Self { at, member, index } = self;
        format!("input[{at}].{member}[{index}].{name}")
    }
}

/// The members of a part, whatever kind it is.
#[derive(Clone, Debug, Default)]
struct RawPart<'a> {
    kind: Option<Text<'a>>,
    text: Option<Text<'a>>,
    refusal: Option<Text<'a>>,
    image_url: Option<Text<'a>>,
    file_url: Option<Text<'a>>,
    file_data: Option<Text<'a>>,
    file_id: Option<Text<'a>>,
    filename: Option<Text<'a>>,
    detail: Option<Text<'a>>,
    audio: Option<Value<'a>>,
    cache: Option<CacheMark>,
    unknown: Option<Cow<'a, str>>,
}

impl<'a> RawPart<'a> {
    fn read(value: Value<'a>) -> Self {
        let mut part = Self::default();
        for (name, value) in value.members().filter(|(_, value)| !value.is_null()) {
            match &*name {
                "type" => part.kind = value.as_text(),
                "text" => part.text = value.as_text(),
                "refusal" => part.refusal = value.as_text(),
                "image_url" => part.image_url = value.as_text(),
                "file_url" => part.file_url = value.as_text(),
                "file_data" => part.file_data = value.as_text(),
                "file_id" => part.file_id = value.as_text(),
                "filename" => part.filename = value.as_text(),
                "detail" => part.detail = value.as_text(),
                "input_audio" => part.audio = Some(value),
                "prompt_cache_breakpoint" => part.cache = Some(cache_mark(value)),
                // What an answer said of its text; clients send it back as it came, mostly empty.
                "annotations" | "logprobs" if value.elements().next().is_none() => {}
                _ => part.unknown = Some(name),
            }
        }
        part
    }

    fn into_part(self, place: Place) -> Result<Part<'a>, Invalid> {
        let missing = |name: &str| Invalid::request(place.of(name), "is missing, or not a string");
        let kind = match self.kind.as_ref().map(Text::spelt) {
            Some("input_text" | "output_text" | "text") => {
                PartKind::Text(self.text.clone().ok_or_else(|| missing("text"))?)
            }
            Some("refusal") => PartKind::Refusal(self.refusal.clone().ok_or_else(|| missing("refusal"))?),
            Some("input_image") => PartKind::Image(self.image(place)?),
            Some("input_file") => PartKind::File(self.file(place)?),
            Some("input_audio") => PartKind::Audio(self.audio(place)?),
            Some(kind) => {
                let message = format!("{} is no part of a message that is known here", shown(kind));
                return Err(Invalid::request(place.of("type"), message));
            }
            None => return Err(missing("type")),
        };
        Ok(Part { kind, cache: self.cache, blob: None })
    }

    fn image(&self, place: Place) -> Result<Media<'a>, Invalid> {
        let source = match (&self.image_url, &self.file_id) {
            (Some(url), _) => {
                media::source(url.clone()).map_err(|bad| Invalid::request(place.of("image_url"), bad.to_string()))?
            }
            (None, Some(id)) => Source::Id(id.clone()),
            (None, None) => return Err(Invalid::request(place.of("image_url"), "is missing, or not a string")),
        };
        Ok(Media { source, name: None, detail: self.detail.clone() })
    }

    fn file(&self, place: Place) -> Result<Media<'a>, Invalid> {
        let source = match (&self.file_data, &self.file_url, &self.file_id) {
            (Some(content), ..) => media::file(content.clone(), self.filename.as_ref())
                .map_err(|bad| Invalid::request(place.of("file_data"), bad.to_string()))?,
            (None, Some(url), _) => Source::Url(url.clone()),
            (None, None, Some(id)) => Source::Id(id.clone()),
            (None, None, None) => {
                return Err(Invalid::request(place.of("file_data"), "is missing; send file_data or file_url"));
            }
        };
        Ok(Media { source, name: self.filename.clone(), detail: self.detail.clone() })
    }

    fn audio(&self, place: Place) -> Result<Media<'a>, Invalid> {
        let text = |name| self.audio.and_then(|audio| audio.get(name)).and_then(Value::as_text);
        let base64 = text("data").ok_or_else(|| Invalid::request(place.of("input_audio.data"), "is missing"))?;
        let media_type = match text("format").as_ref().map(Text::spelt) {
            Some("mp3") => "audio/mpeg",
            Some("wav") | None => "audio/wav",
            Some(_) => return Err(Invalid::request(place.of("input_audio.format"), "must be one of wav, mp3")),
        };
        let source = Source::Inline { media_type: Text::spelt_as(media_type), base64 };
        Ok(Media { source, name: None, detail: None })
    }
}

fn cache_mark(value: Value<'_>) -> CacheMark {
    let is_long = value.get("ttl").and_then(Value::as_text).is_some_and(|ttl| ttl.is("12h"));
    CacheMark(if is_long { CacheTtl::H12 } else { CacheTtl::M30 })
}

/// The text of a thought: its summary, or all of it where there is no summary.
fn summary<'a>(item: &Item<'a>) -> Text<'a> {
    let texts = |parts: Option<Value<'a>>| {
        let mut texts = parts.into_iter().flat_map(Value::elements).filter_map(|part| part.get("text")?.as_text());
        let first = texts.next().unwrap_or_default();
        texts.fold(first, |all, text| all.followed_by(&Text::spelt_as("\\n\\n")).followed_by(&text))
    };
    let summary = texts(item.summary);
    if summary.is_empty() { texts(item.content) } else { summary }
}

/// A word of the client's as an error message may quote it.
fn shown(word: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 40;
    word.chars().filter(char::is_ascii_graphic).take(SHOWN_CHARS_MAX).collect()
}
