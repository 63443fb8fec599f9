//! A client's conversation: who speaks, and what calls and results there are. What a message says is read next door.
//!
//! Must not know targets.

use std::borrow::Cow;

use super::parts_read;
use super::request_read::{ignore, object_at, text_at};
use super::thoughts_read;
use crate::translate::Invalid;
use crate::translate::envelope::{Envelope, Opened};
use crate::translate::ir::{
    Blob, BlobKind, CacheMark, CacheTtl, Call, CallKind, Part, PartKind, Request, Role, Text, ToolResult, Turn, Value,
};
use crate::wire::json::Kind;

/// Where something stands; only made for errors.
type Path<'p> = &'p dyn Fn() -> String;

/// What must be known of the messages before.
pub(super) struct Conversation<'e, 'a> {
    pub(super) envelope: &'e Envelope,
    /// Calls by their old form have no ids: how many there were, and the name of the last.
    old_calls: u64,
    old_name: Option<Text<'a>>,
    /// The ids of calls with free text: their results look like any other.
    custom_ids: Vec<Text<'a>>,
}

/// The members of a message, as far as they are known.
#[derive(Default)]
struct Message<'a> {
    at: usize,
    role: Option<Value<'a>>,
    content: Option<Value<'a>>,
    name: Option<Value<'a>>,
    tool_call_id: Option<Value<'a>>,
    tool_calls: Option<Value<'a>>,
    function_call: Option<Value<'a>>,
    refusal: Option<Value<'a>>,
    reasoning_content: Option<Value<'a>>,
    reasoning: Option<Value<'a>>,
    reasoning_details: Option<Value<'a>>,
    images: Option<Value<'a>>,
    cache: Option<Value<'a>>,
}

impl<'e, 'a> Conversation<'e, 'a> {
    /// Reads `messages` into a request.
    pub(super) fn read(messages: Value<'a>, envelope: &'e Envelope, request: &mut Request<'a>) -> Result<(), Invalid> {
        if messages.kind() != Kind::Array || messages.elements().next().is_none() {
            return Err(Invalid::request("messages", "messages must be a list of at least one message"));
        }
        let mut read = Self { envelope, old_calls: 0, old_name: None, custom_ids: Vec::new() };
        for (at, message) in messages.elements().enumerate() {
            let message = Message::read(message, at, request)?;
            let turn = read.turn(&message, request)?;
            request.turns.push(turn);
        }
        Ok(())
    }

    fn turn(&mut self, message: &Message<'a>, request: &mut Request<'a>) -> Result<Turn<'a>, Invalid> {
        let at = message.at;
        let role = message.role.and_then(Value::as_text);
        let role = match role.as_ref().map(Text::spelt) {
            Some("system") => Role::System,
            Some("developer") => Role::Developer,
            Some("user") => Role::User,
            Some("assistant") => Role::Assistant,
            Some("tool" | "function") => Role::Tool,
            _ => {
                let message = "the role must be system, developer, user, assistant or tool";
                return Err(Invalid::request(format!("messages[{at}].role"), message));
            }
        };
        let mut parts = match role {
            Role::Assistant => self.assistant(message, request)?,
            Role::Tool => vec![self.result(message, request)?],
            Role::System | Role::Developer | Role::User => message.content(request)?,
        };
        if let (Some(mark), Some(last)) = (message.cache.and_then(cache_mark), parts.last_mut()) {
            last.cache = last.cache.or(Some(mark));
        }
        let name = message.name.filter(|_| role != Role::Tool);
        let name = name.map(|name| text_at(name, || format!("messages[{at}].name"))).transpose()?;
        Ok(Turn { role, parts, name, at })
    }

    /// Thoughts come first, calls last: so they were made.
    fn assistant(&mut self, message: &Message<'a>, request: &mut Request<'a>) -> Result<Vec<Part<'a>>, Invalid> {
        let at = message.at;
        let words = message.reasoning_content.or(message.reasoning).and_then(Value::as_text);
        let thoughts = thoughts_read::read(words, message.reasoning_details, self.envelope);
        let mut parts = thoughts.parts;
        let from = parts.len();
        parts.append(&mut message.content(request)?);
        if let Some(text) = parts.iter_mut().skip(from).rfind(|part| matches!(part.kind, PartKind::Text(_))) {
            text.blob = thoughts.on_text;
        }
        if let Some(refusal) = message.refusal {
            let refusal = text_at(refusal, || format!("messages[{at}].refusal"))?;
            parts.push(PartKind::Refusal(refusal).into());
        }
        for (i, image) in message.images.into_iter().flat_map(Value::elements).enumerate() {
            let path = || format!("messages[{at}].images[{i}].image_url");
            parts.push(PartKind::Image(parts_read::read_image(image, &path)?).into());
        }
        if let Some(call) = message.function_call {
            parts.push(self.old_call(call, at)?);
        }
        for (i, call) in message.tool_calls.into_iter().flat_map(Value::elements).enumerate() {
            parts.push(self.call(call, &|| format!("messages[{at}].tool_calls[{i}]"), request)?);
        }
        Ok(parts)
    }

    fn call(&mut self, call: Value<'a>, path: Path<'_>, request: &mut Request<'a>) -> Result<Part<'a>, Invalid> {
        let (mut id, mut function, mut custom, mut extra) = (None, None, None, None);
        for (member, value) in object_at(call, path)?.members().filter(|(_, value)| !value.is_null()) {
            match &*member {
                "id" => id = value.as_text(),
                "function" => function = Some(value),
                "custom" => custom = Some(value),
                "extra_content" => extra = Some(value),
                // The index is that of a stream; clients leave it in.
                "type" | "index" => {}
                _ => ignore(request, &format!("{}.{member}", path())),
            }
        }
        let id = id.filter(|id| !id.is_empty());
        let id = id.ok_or_else(|| Invalid::request(path() + ".id", "the id of the call is missing"))?;
        let (inner, kind, words) = match (function, custom) {
            (Some(function), _) => (function, CallKind::Function, "arguments"),
            (None, Some(custom)) => (custom, CallKind::Custom, "input"),
            (None, None) => return Err(Invalid::request(path(), "the call has neither function nor custom")),
        };
        if kind == CallKind::Custom {
            self.custom_ids.push(id.clone());
        }
        let (name, arguments) = name_and_arguments(inner, words, path)?;
        let blob = extra.and_then(|extra| self.blob(extra));
        Ok(Part { blob, ..PartKind::Call(Call { id, name, kind, arguments }).into() })
    }

    /// What the maker of a call wants back with it: from an answer of ours, or of Gemini's own host of this format.
    fn blob(&self, extra: Value<'a>) -> Option<Blob<'a>> {
        let token_in = |host: &str, member: &str| extra.get(host)?.get(member)?.as_text();
        if let Some(token) = token_in("flux", "thought") {
            return match self.envelope.open(token) {
                Opened::Sealed(blob) => Some(blob),
                Opened::Bare(_) | Opened::Foreign => None,
            };
        }
        let token = token_in("google", "thought_signature")?;
        Some(Blob { kind: BlobKind::GeminiSignature, token, maker: None })
    }

    fn old_call(&mut self, call: Value<'a>, at: usize) -> Result<Part<'a>, Invalid> {
        let (name, arguments) = name_and_arguments(call, "arguments", &|| format!("messages[{at}].function_call"))?;
        self.old_calls += 1;
        self.old_name = Some(name.clone());
        let call = Call { id: self.old_id(), name, kind: CallKind::Function, arguments };
        Ok(PartKind::Call(call).into())
    }

    fn old_id(&self) -> Text<'static> {
        Text::plain(format!("call_f{}", self.old_calls))
    }

    fn result(&mut self, message: &Message<'a>, request: &mut Request<'a>) -> Result<Part<'a>, Invalid> {
        let at = message.at;
        let parts = message.content(request)?;
        let id = match message.tool_call_id {
            Some(id) => text_at(id, || format!("messages[{at}].tool_call_id"))?,
            None if self.old_name.is_some() && self.old_name == message.name.and_then(Value::as_text) => self.old_id(),
            None => {
                let message = "the id of the call that this is the result of is missing";
                return Err(Invalid::request(format!("messages[{at}].tool_call_id"), message));
            }
        };
        let kind = if self.custom_ids.contains(&id) { CallKind::Custom } else { CallKind::Function };
        Ok(PartKind::Result(ToolResult { id, parts, is_error: false, kind }).into())
    }
}

fn name_and_arguments<'a>(call: Value<'a>, words: &str, path: Path<'_>) -> Result<(Text<'a>, Cow<'a, str>), Invalid> {
    let name = call.get("name").and_then(Value::as_text).filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Invalid::request(path(), "the name of what is called is missing"))?;
    let arguments = call.get(words).filter(|arguments| !arguments.is_null());
    let arguments = arguments.map_or(Cow::Borrowed(""), |arguments| match arguments.as_text() {
        Some(text) => text.into_plain(),
        // Some clients do not spell the object as a string.
        None => Cow::Borrowed(arguments.spelt()),
    });
    Ok((name, arguments))
}

impl<'a> Message<'a> {
    fn read(message: Value<'a>, at: usize, request: &mut Request<'a>) -> Result<Self, Invalid> {
        if message.kind() != Kind::Object {
            return Err(Invalid::request(format!("messages[{at}]"), "a message must be an object"));
        }
        let mut read = Self { at, ..Self::default() };
        for (name, value) in message.members().filter(|(_, value)| !value.is_null()) {
            let place = match &*name {
                "role" => &mut read.role,
                "content" => &mut read.content,
                "name" => &mut read.name,
                "tool_call_id" => &mut read.tool_call_id,
                "tool_calls" => &mut read.tool_calls,
                "function_call" => &mut read.function_call,
                "refusal" => &mut read.refusal,
                "reasoning_content" => &mut read.reasoning_content,
                "reasoning" => &mut read.reasoning,
                "reasoning_details" => &mut read.reasoning_details,
                "images" => &mut read.images,
                "cache_control" => &mut read.cache,
                "audio" => {
                    let message = "sound of an earlier answer cannot be sent to this model; send its transcript";
                    return Err(Invalid::target(format!("messages[{at}].audio"), message));
                }
                // Clients send an answer back with all that it had.
                "annotations" if value.elements().next().is_none() => continue,
                _ => {
                    ignore(request, &format!("messages[{at}].{name}"));
                    continue;
                }
            };
            *place = Some(value);
        }
        Ok(read)
    }

    fn content(&self, request: &mut Request<'a>) -> Result<Vec<Part<'a>>, Invalid> {
        let Some(content) = self.content else { return Ok(Vec::new()) };
        match content.kind() {
            Kind::Text => Ok(content.as_text().map(PartKind::Text).map(Part::from).into_iter().collect()),
            Kind::Array => parts_read::read(content, self.at, request),
            Kind::Null | Kind::Bool | Kind::Number | Kind::Object => {
                let message = "the content must be a string or a list of parts";
                Err(Invalid::request(format!("messages[{}].content", self.at), message))
            }
        }
    }
}

/// A mark for the cache, by OpenAI's spelling or by Anthropic's, which some clients of this format send.
pub(super) fn cache_mark(mark: Value<'_>) -> Option<CacheMark> {
    if mark.kind() != Kind::Object {
        return None;
    }
    let is_breakpoint = mark.get("mode").is_some();
    let ttl = mark.get("ttl").and_then(Value::as_text);
    Some(CacheMark(match ttl.as_ref().map(Text::spelt) {
        Some("12h") => CacheTtl::H12,
        Some("1h") => CacheTtl::H1,
        Some("30m") => CacheTtl::M30,
        _ if is_breakpoint => CacheTtl::M30,
        _ => CacheTtl::M5,
    }))
}
