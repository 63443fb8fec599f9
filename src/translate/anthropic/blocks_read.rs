//! The blocks of a client's messages → parts.
//!
//! Must not know roles or turns. Thoughts come back in our envelope, or bare where Anthropic made them; what
//! Anthropic's own tools came to is kept as the text that it holds.

use super::place::{Ignored, Place};
use super::request_read::text;
use super::server_tools;
use crate::translate::Invalid;
use crate::translate::envelope::{Envelope, Opened};
use crate::translate::ir::{
    Blob, BlobKind, CacheMark, CacheTtl, Call, CallKind, Media, Part, PartKind, Source, Text, ToolResult, Value,
};
use crate::translate::media;
use crate::wire::json::Kind;

/// Reads blocks.
pub(super) struct Blocks<'e> {
    envelope: &'e Envelope,
    /// What was left out.
    pub(super) ignored: Ignored,
}

/// The members of a block of any kind.
#[derive(Default)]
struct Members<'a> {
    kind: Option<Text<'a>>,
    text: Option<Value<'a>>,
    id: Option<Value<'a>>,
    name: Option<Value<'a>>,
    input: Option<Value<'a>>,
    tool_use_id: Option<Value<'a>>,
    content: Option<Value<'a>>,
    is_error: Option<Value<'a>>,
    thinking: Option<Value<'a>>,
    signature: Option<Value<'a>>,
    data: Option<Value<'a>>,
    source: Option<Value<'a>>,
    title: Option<Value<'a>>,
    context: Option<Value<'a>>,
    cache: Option<CacheMark>,
}

impl<'e> Blocks<'e> {
    /// Opens thoughts with this envelope.
    pub(super) fn new(envelope: &'e Envelope) -> Self {
        Self { envelope, ignored: Ignored::default() }
    }

    /// A string or an array of blocks. `list` is the array's name in `place`; empty where the place itself is it.
    pub(super) fn content<'a>(
        &mut self,
        content: Value<'a>,
        place: &Place<'_>,
        list: &str,
    ) -> Result<Vec<Part<'a>>, Invalid> {
        if let Some(text) = content.as_text() {
            return Ok(vec![PartKind::Text(text).into()]);
        }
        let in_place = |place: &Place<'_>, at: usize| match list {
            "" => format!("{}[{at}]", place.path()),
            list => format!("{}.{list}[{at}]", place.path()),
        };
        if content.kind() != Kind::Array {
            let whole = if list.is_empty() { place.path() } else { place.inner(list).path() };
            return Err(Invalid::request(whole, "must be a string or an array of blocks"));
        }
        let mut parts = Vec::new();
        for (at, block) in content.elements().enumerate() {
            if block.kind() != Kind::Object {
                return Err(Invalid::request(in_place(place, at), "must be a block, an object with a type"));
            }
            match list {
                // `system` is an array at the top of the request.
                "" => self.block(block, &Place::element("system", at), &mut parts)?,
                list => self.block(block, &place.inner_element(list, at), &mut parts)?,
            }
        }
        Ok(parts)
    }

    /// A mark, if it is one.
    pub(super) fn mark(&mut self, value: Value<'_>) -> Option<CacheMark> {
        mark(value, &mut self.ignored)
    }

    fn members<'a>(&mut self, block: Value<'a>, place: &Place<'_>) -> Members<'a> {
        let mut members = Members::default();
        for (name, value) in block.members() {
            let member = match &*name {
                _ if value.is_null() => continue,
                "type" => {
                    members.kind = value.as_text();
                    continue;
                }
                "cache_control" => {
                    members.cache = self.mark(value);
                    continue;
                }
                "text" => &mut members.text,
                "id" => &mut members.id,
                "name" => &mut members.name,
                "input" => &mut members.input,
                "tool_use_id" => &mut members.tool_use_id,
                "content" => &mut members.content,
                "is_error" => &mut members.is_error,
                "thinking" => &mut members.thinking,
                "signature" => &mut members.signature,
                "data" => &mut members.data,
                "source" => &mut members.source,
                "title" => &mut members.title,
                "context" => &mut members.context,
                // Every call comes from the model where there are no containers.
                "caller" if value.get("type").and_then(Value::as_text).is_some_and(|kind| kind.is("direct")) => {
                    continue;
                }
                name => {
                    self.ignored.add_in(place, name);
                    continue;
                }
            };
            *member = Some(value);
        }
        members
    }

    fn block<'a>(&mut self, block: Value<'a>, place: &Place<'_>, parts: &mut Vec<Part<'a>>) -> Result<(), Invalid> {
        let members = self.members(block, place);
        let kind = members.kind.as_ref().map(Text::spelt).unwrap_or_default();
        let cache = members.cache;
        let mut push = |kind| parts.push(Part { kind, cache, blob: None });
        match kind {
            "text" => push(PartKind::Text(required(members.text, place, "text")?)),
            "tool_use" => push(PartKind::Call(call(&members, place)?)),
            "tool_result" => push(PartKind::Result(self.result(&members, place)?)),
            "image" => push(PartKind::Image(Media { source: image(&members, place)?, name: None, detail: None })),
            "document" => self.document(&members, place, parts)?,
            "search_result" => push(PartKind::Text(search_result(block))),
            "thinking" => self.thinking(&members, place, parts)?,
            "redacted_thinking" => self.redacted(&members, place, parts)?,
            "container_upload" => {
                return Err(place.unsuited("containers are Anthropic's own; send the file's content in the message"));
            }
            kind if server_tools::is_known(kind) => {
                self.ignored.add(place.open_path() + "." + kind);
                parts.extend(server_tools::text_of(kind, block).map(|text| Part::from(PartKind::Text(text))));
            }
            "" => return Err(place.inner("type").invalid("the field is required")),
            _ => return Err(place.inner("type").unsuited("this kind of block is understood by Anthropic alone")),
        }
        Ok(())
    }

    fn thinking<'a>(
        &mut self,
        members: &Members<'a>,
        place: &Place<'_>,
        parts: &mut Vec<Part<'a>>,
    ) -> Result<(), Invalid> {
        let thought = required(members.thinking, place, "thinking")?;
        let signature = members.signature.map(|signature| text(signature, &place.inner("signature"))).transpose()?;
        let blob = signature.and_then(|token| self.open(token, BlobKind::AnthropicSignature));
        if blob.is_some() || !thought.is_empty() {
            parts.push(Part { kind: PartKind::Thought(thought), cache: None, blob });
        }
        Ok(())
    }

    fn redacted<'a>(
        &mut self,
        members: &Members<'a>,
        place: &Place<'_>,
        parts: &mut Vec<Part<'a>>,
    ) -> Result<(), Invalid> {
        let token = required(members.data, place, "data")?;
        let Some(blob) = self.open(token, BlobKind::AnthropicRedacted) else { return Ok(()) };
        // Gemini signs texts and calls. Our answers carry such a signature right after what it belongs to.
        let signed = parts.last_mut().filter(|last| {
            blob.kind == BlobKind::GeminiSignature
                && last.blob.is_none()
                && matches!(last.kind, PartKind::Call(_) | PartKind::Text(_))
        });
        match signed {
            Some(last) => last.blob = Some(blob),
            None => parts.push(Part { kind: PartKind::Thought(Text::default()), cache: None, blob: Some(blob) }),
        }
        Ok(())
    }

    fn open<'a>(&self, token: Text<'a>, kind: BlobKind) -> Option<Blob<'a>> {
        match self.envelope.open(token) {
            Opened::Sealed(blob) => Some(blob),
            Opened::Bare(token) if token.is_empty() => None,
            Opened::Bare(token) => Some(Blob { kind, token, maker: None }),
            Opened::Foreign => None,
        }
    }

    fn result<'a>(&mut self, members: &Members<'a>, place: &Place<'_>) -> Result<ToolResult<'a>, Invalid> {
        let parts = match members.content {
            Some(content) => self.content(content, place, "content")?,
            None => Vec::new(),
        };
        Ok(ToolResult {
            id: required(members.tool_use_id, place, "tool_use_id")?,
            parts,
            is_error: members.is_error.and_then(Value::as_bool).unwrap_or_default(),
            kind: CallKind::Function,
        })
    }

    /// A document. What it says of itself (`context`) goes ahead of it as text.
    fn document<'a>(
        &mut self,
        members: &Members<'a>,
        place: &Place<'_>,
        parts: &mut Vec<Part<'a>>,
    ) -> Result<(), Invalid> {
        if let Some(context) = members.context {
            parts.push(PartKind::Text(text(context, &place.inner("context"))?).into());
        }
        let name = members.title.map(|title| text(title, &place.inner("title"))).transpose()?;
        let source = required_value(members.source, place, "source")?;
        let place = place.inner("source");
        let kind = source.get("type").and_then(Value::as_text);
        let content = source.get("content").filter(|_| kind.as_ref().is_some_and(|kind| kind.is("content")));
        if let Some(blocks) = content.filter(|content| content.as_text().is_none()) {
            parts.extend(self.content(blocks, &place, "content")?);
        } else {
            let source = match content.and_then(Value::as_text) {
                Some(content) => Source::Plain(content),
                None => read_source(source, &place)?,
            };
            let media = Media { source, name, detail: None };
            parts.push(Part::from(PartKind::File(media)));
        }
        if let (Some(last), true) = (parts.last_mut(), members.cache.is_some()) {
            last.cache = members.cache;
        }
        Ok(())
    }
}

/// A mark, if it is one.
pub(super) fn mark(value: Value<'_>, ignored: &mut Ignored) -> Option<CacheMark> {
    if value.kind() != Kind::Object {
        return None;
    }
    let ttl = value.get("ttl").and_then(Value::as_text);
    match ttl.as_ref().map(Text::spelt) {
        None | Some("5m") => Some(CacheMark(CacheTtl::M5)),
        Some("1h") => Some(CacheMark(CacheTtl::H1)),
        Some(_) => {
            ignored.add("cache_control.ttl");
            Some(CacheMark(CacheTtl::M5))
        }
    }
}

fn required_value<'a>(value: Option<Value<'a>>, place: &Place<'_>, name: &str) -> Result<Value<'a>, Invalid> {
    value.ok_or_else(|| place.inner(name).invalid("the field is required"))
}

fn required<'a>(value: Option<Value<'a>>, place: &Place<'_>, name: &str) -> Result<Text<'a>, Invalid> {
    text(required_value(value, place, name)?, &place.inner(name))
}

fn call<'a>(members: &Members<'a>, place: &Place<'_>) -> Result<Call<'a>, Invalid> {
    let input = required_value(members.input, place, "input")?;
    if input.kind() != Kind::Object {
        return Err(place.inner("input").invalid("must be an object"));
    }
    Ok(Call {
        id: required(members.id, place, "id")?,
        name: required(members.name, place, "name")?,
        kind: CallKind::Function,
        arguments: input.spelt().into(),
    })
}

fn image<'a>(members: &Members<'a>, place: &Place<'_>) -> Result<Source<'a>, Invalid> {
    read_source(required_value(members.source, place, "source")?, &place.inner("source"))
}

fn read_source<'a>(source: Value<'a>, place: &Place<'_>) -> Result<Source<'a>, Invalid> {
    let member = |name: &str| required(source.get(name), place, name);
    match source.get("type").and_then(Value::as_text).as_ref().map(Text::spelt) {
        Some("base64") => Ok(media::inline(member("media_type")?, member("data")?)),
        Some("url") => Ok(Source::Url(member("url")?)),
        Some("file") => Ok(Source::Id(member("file_id")?)),
        Some("text") => Ok(Source::Plain(member("data")?)),
        _ => Err(place.inner("type").invalid("must be base64, url, file, text or content")),
    }
}

/// What a client found, as text: where, what it is called, what it says.
fn search_result(block: Value<'_>) -> Text<'static> {
    let mut said = String::new();
    let head = ["title", "source"].map(|name| block.get(name).and_then(Value::as_text));
    let content = block.get("content").into_iter().flat_map(Value::elements);
    let texts = content.filter_map(|part| part.get("text").and_then(Value::as_text));
    for line in head.into_iter().flatten().chain(texts) {
        if !said.is_empty() {
            said.push_str("\\n");
        }
        said.push_str(line.spelt());
    }
    Text::spelt_as(said)
}
