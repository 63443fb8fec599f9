//! A client's request in Anthropic's format → the common representation.
//!
//! Must not know any target. What only Anthropic itself can do is refused as the target's fault, so that another
//! target of the plan may take it; hints are left out by name.

use super::blocks_read::Blocks;
use super::place::{Ignored, Place};
use super::tools_read;
use crate::base::effort::Effort;
use crate::translate::Invalid;
use crate::translate::envelope::Envelope;
use crate::translate::ir::{
    CacheMark, OutputForm, Part, PartKind, Reasoning, Request, Role, Shown, Text, Thinking, Turn, Value,
};
use crate::wire::json::Kind;

/// Fields that matter to Anthropic only and do no harm where they are missing.
const HINTS: [&str; 9] = [
    "betas",
    "billing_policy",
    "compaction",
    "context_management",
    "diagnostics",
    "fallbacks",
    "speed",
    "user_profile_id",
    "workspace_id",
];
/// Fields that ask for what only Anthropic's own servers have.
const OWN: [(&str, &str); 5] = [
    ("container", "containers are Anthropic's own; leave the field out or ask for a Claude model"),
    ("fallback_credit_token", "credit tokens are Anthropic's own; leave the field out or ask for a Claude model"),
    ("inference_geo", "this model is not served with a choice of region; leave the field out"),
    ("mcp_servers", "MCP servers are called by Anthropic alone; call the tools yourself, or ask for a Claude model"),
    ("thread", "threads are kept by Anthropic alone; send the whole conversation in messages"),
];

/// Reads a request.
///
/// # Errors
/// When it is not a request of this format, or asks for what only this format's maker has; the message says what
/// to do.
pub fn read_request<'a>(body: Value<'a>, envelope: &Envelope) -> Result<Request<'a>, Invalid> {
    if body.kind() != Kind::Object {
        return Err(Invalid::request("", "the body must be a JSON object"));
    }
    let mut reader = Reader { blocks: Blocks::new(envelope), request: Request::default(), last_mark: None };
    let (mut system, mut messages) = (None, None);
    for (name, value) in body.members() {
        match &*name {
            _ if value.is_null() => {}
            "model" => {}
            "system" => system = Some(value),
            "messages" => messages = Some(value),
            name => reader.field(name, value)?,
        }
    }
    let messages = messages.ok_or_else(|| Invalid::request("messages", "the field is required"))?;
    reader.conversation(system, messages)?;
    let Reader { blocks, mut request, last_mark } = reader;
    if request.output_tokens_max.is_none() {
        return Err(Invalid::request("max_tokens", "the field is required"));
    }
    mark_last(&mut request.turns, last_mark);
    request.is_prefilled = request.turns.last().is_some_and(|turn| turn.role == Role::Assistant);
    request.ignored = blocks.ignored.0;
    Ok(request)
}

struct Reader<'a, 'e> {
    blocks: Blocks<'e>,
    request: Request<'a>,
    /// The mark that goes to the end of the conversation, wherever that is.
    last_mark: Option<CacheMark>,
}

impl<'a> Reader<'a, '_> {
    fn field(&mut self, name: &str, value: Value<'a>) -> Result<(), Invalid> {
        let place = Place::field(name);
        let request = &mut self.request;
        match name {
            "max_tokens" => request.output_tokens_max = Some(output_limit(value, &place)?),
            "stream" => request.stream = value.as_bool().ok_or_else(|| place.invalid("must be true or false"))?,
            "tools" => request.tools = tools_read::tools(value, &mut self.blocks.ignored)?,
            "tool_choice" => {
                let (choice, parallel) = tools_read::tool_choice(value, &mut self.blocks.ignored)?;
                (request.tool_choice, request.parallel_calls) = (Some(choice), parallel);
            }
            "stop_sequences" => request.stop = texts(value, &place)?,
            "temperature" => request.sampling.temperature = Some(number(value, &place)?),
            "top_p" => request.sampling.top_p = Some(number(value, &place)?),
            "top_k" => request.sampling.top_k = Some(number(value, &place)?),
            "service_tier" => request.service_tier = Some(text(value, &place)?),
            "thinking" => thinking(value, &mut request.reasoning, &mut self.blocks.ignored)?,
            "output_config" => self.output_config(value)?,
            "output_format" => request.output_form = output_form(value, &place)?,
            "metadata" => self.metadata(value)?,
            "cache_control" => self.last_mark = self.blocks.mark(value),
            _ => self.foreign_field(name, value)?,
        }
        Ok(())
    }

    /// A field that no other format has.
    fn foreign_field(&mut self, name: &str, value: Value<'a>) -> Result<(), Invalid> {
        let place = Place::field(name);
        let is_empty = value.kind() == Kind::Array && value.elements().next().is_none();
        if let Some((_, message)) = OWN.iter().find(|(own, _)| *own == name) {
            return if is_empty { Ok(()) } else { Err(place.unsuited(*message)) };
        }
        match HINTS.iter().find(|hint| **hint == name) {
            Some(hint) => self.blocks.ignored.add(*hint),
            None => self.blocks.ignored.add(name.to_owned()),
        }
        Ok(())
    }

    fn conversation(&mut self, system: Option<Value<'a>>, messages: Value<'a>) -> Result<(), Invalid> {
        let place = Place::field("messages");
        if messages.kind() != Kind::Array {
            return Err(place.invalid("must be an array of messages"));
        }
        if let Some(system) = system {
            let parts = self.blocks.content(system, &Place::field("system"), "")?;
            self.request.turns.push(Turn { role: Role::System, parts, name: None, at: 0 });
        }
        for (at, message) in messages.elements().enumerate() {
            self.message(message, at)?;
        }
        Ok(())
    }

    fn message(&mut self, message: Value<'a>, at: usize) -> Result<(), Invalid> {
        let place = Place::element("messages", at);
        let (mut role, mut content) = (None, None);
        for (name, value) in message.members() {
            match &*name {
                "role" => role = value.as_text(),
                "content" => content = Some(value),
                name => self.blocks.ignored.add_in(&place, name),
            }
        }
        let role = match role {
            Some(role) if role.is("user") => Role::User,
            Some(role) if role.is("assistant") => Role::Assistant,
            Some(role) if role.is("system") => Role::System,
            _ => return Err(place.inner("role").invalid("must be \"user\", \"assistant\" or \"system\"")),
        };
        let content = content.ok_or_else(|| place.inner("content").invalid("the field is required"))?;
        let parts = self.blocks.content(content, &place, "content")?;
        self.push(role, parts, at)
    }

    /// A user's message may hold results: they go ahead of the rest, as they must, in a turn of their own.
    fn push(&mut self, role: Role, parts: Vec<Part<'a>>, at: usize) -> Result<(), Invalid> {
        let is_result = |part: &Part<'_>| part.kind.as_result().is_some();
        if !parts.iter().any(is_result) {
            self.request.turns.push(Turn { role, parts, name: None, at });
            return Ok(());
        }
        if role != Role::User {
            let place = Place::element("messages", at);
            return Err(place.inner("content").invalid("a tool_result belongs into a message of the user"));
        }
        let (results, rest): (Vec<_>, Vec<_>) = parts.into_iter().partition(is_result);
        self.request.turns.push(Turn { role: Role::Tool, parts: results, name: None, at });
        if !rest.is_empty() {
            self.request.turns.push(Turn { role, parts: rest, name: None, at });
        }
        Ok(())
    }

    fn output_config(&mut self, config: Value<'a>) -> Result<(), Invalid> {
        let place = Place::field("output_config");
        for (name, value) in config.members() {
            match &*name {
                _ if value.is_null() => {}
                "effort" => {
                    let effort = value.as_text().and_then(|effort| Effort::by_name(&effort.to_plain()));
                    let invalid = || place.inner("effort").invalid("must be low, medium, high, xhigh or max");
                    self.request.reasoning.effort = Some(effort.ok_or_else(invalid)?);
                }
                "format" => self.request.output_form = output_form(value, &place.inner("format"))?,
                name => self.blocks.ignored.add_in(&place, name),
            }
        }
        Ok(())
    }

    fn metadata(&mut self, metadata: Value<'a>) -> Result<(), Invalid> {
        let place = Place::field("metadata");
        for (name, value) in metadata.members() {
            match &*name {
                _ if value.is_null() => {}
                "user_id" => self.request.identity.end_user = Some(text(value, &place.inner("user_id"))?),
                name => self.blocks.ignored.add_in(&place, name),
            }
        }
        Ok(())
    }
}

fn output_limit(value: Value<'_>, place: &Place<'_>) -> Result<u64, Invalid> {
    match value.as_u64() {
        // To Anthropic that means: fill the cache and say nothing.
        Some(0) => Err(place.unsuited("0 only warms Anthropic's cache; ask for at least 1 token")),
        Some(limit) => Ok(limit),
        None => Err(place.invalid("must be a whole number, 1 or more")),
    }
}

fn thinking(value: Value<'_>, reasoning: &mut Reasoning, ignored: &mut Ignored) -> Result<(), Invalid> {
    let place = Place::field("thinking");
    let (mut kind, mut budget) = (None, None);
    for (name, value) in value.members() {
        match &*name {
            _ if value.is_null() => {}
            "type" => kind = value.as_text(),
            "budget_tokens" => {
                let invalid = || place.inner("budget_tokens").invalid("must be a whole number of at least 1024");
                budget = Some(value.as_u64().ok_or_else(invalid)?);
            }
            "display" => {
                let is_omitted = value.as_text().is_some_and(|display| display.is("omitted"));
                reasoning.shown = Some(if is_omitted { Shown::Omitted } else { Shown::Auto });
            }
            name => ignored.add_in(&place, name),
        }
    }
    let kind = kind.ok_or_else(|| place.inner("type").invalid("the field is required"))?;
    reasoning.thinking = Some(match kind.spelt() {
        "disabled" => Thinking::Off,
        "adaptive" => Thinking::Adaptive,
        // No other format tells thinking before the first call from thinking between calls.
        "between_tools" => {
            ignored.add("thinking.type");
            Thinking::Adaptive
        }
        "enabled" => {
            Thinking::Budget(budget.ok_or_else(|| place.inner("budget_tokens").invalid("the field is required"))?)
        }
        _ => return Err(place.inner("type").invalid("must be enabled, adaptive, between_tools or disabled")),
    });
    Ok(())
}

fn output_form<'a>(format: Value<'a>, place: &Place<'_>) -> Result<OutputForm<'a>, Invalid> {
    let is_schema = format.get("type").and_then(Value::as_text).is_some_and(|kind| kind.is("json_schema"));
    if !is_schema {
        return Err(place.inner("type").invalid("must be \"json_schema\""));
    }
    let schema = format.get("schema").filter(|schema| schema.kind() == Kind::Object);
    let schema = schema.ok_or_else(|| place.inner("schema").invalid("must be a JSON schema"))?;
    Ok(OutputForm::Schema { name: None, description: None, schema, strict: None })
}

/// Puts a mark on the last part that can bear one.
fn mark_last(turns: &mut [Turn<'_>], mark: Option<CacheMark>) {
    let mut parts = turns.iter_mut().rev().flat_map(|turn| turn.parts.iter_mut().rev());
    if let (Some(mark), Some(part)) = (mark, parts.find(|part| !matches!(part.kind, PartKind::Thought(_)))) {
        part.cache.get_or_insert(mark);
    }
}

/// A string.
pub(super) fn text<'a>(value: Value<'a>, place: &Place<'_>) -> Result<Text<'a>, Invalid> {
    value.as_text().ok_or_else(|| place.invalid("must be a string"))
}

fn texts<'a>(value: Value<'a>, place: &Place<'_>) -> Result<Vec<Text<'a>>, Invalid> {
    if value.kind() != Kind::Array {
        return Err(place.invalid("must be an array of strings"));
    }
    value.elements().map(|element| text(element, place)).collect()
}

fn number<'a>(value: Value<'a>, place: &Place<'_>) -> Result<Value<'a>, Invalid> {
    if value.kind() == Kind::Number { Ok(value) } else { Err(place.invalid("must be a number")) }
}
