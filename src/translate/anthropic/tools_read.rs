//! Tools and the choice among them, as a client of Anthropic's format writes them.
//!
//! Must not know which target has which tool: Anthropic's own go on as they are, for the writers to refuse.

use super::blocks_read;
use super::place::{Ignored, Place};
use super::request_read::text;
use crate::base::wire_format::WireFormat;
use crate::translate::Invalid;
use crate::translate::ir::{Text, Tool, ToolChoice, ToolKind, Value};
use crate::wire::json::Kind;

/// The tools of a request.
pub(super) fn tools<'a>(value: Value<'a>, ignored: &mut Ignored) -> Result<Vec<Tool<'a>>, Invalid> {
    if value.kind() != Kind::Array {
        return Err(Place::field("tools").invalid("must be an array of tools"));
    }
    value.elements().enumerate().map(|(at, tool)| read_tool(tool, at, ignored)).collect()
}

fn read_tool<'a>(tool: Value<'a>, at: usize, ignored: &mut Ignored) -> Result<Tool<'a>, Invalid> {
    let place = Place::element("tools", at);
    let kind = tool.get("type").and_then(Value::as_text).filter(|kind| !kind.is("custom"));
    if let Some(name) = kind {
        let kind = ToolKind::BuiltIn { format: WireFormat::AnthropicMessages, spelt: tool };
        return Ok(Tool { kind, name, description: None, cache: None, at });
    }
    let (mut name, mut description, mut schema, mut strict, mut cache) = (None, None, None, None, None);
    for (member, value) in tool.members() {
        match &*member {
            "type" => {}
            _ if value.is_null() => {}
            "name" => name = Some(text(value, &place.inner("name"))?),
            "description" => description = Some(text(value, &place.inner("description"))?),
            "input_schema" => schema = Some(value),
            "strict" => strict = value.as_bool(),
            "cache_control" => cache = blocks_read::mark(value, ignored),
            // Nobody but the model calls a tool elsewhere.
            "allowed_callers" if value.elements().all(|caller| caller.as_text().is_some_and(|c| c.is("direct"))) => {}
            member => ignored.add_in(&place, member),
        }
    }
    let name = name.ok_or_else(|| place.inner("name").invalid("the field is required"))?;
    let schema = schema.filter(|schema| schema.kind() == Kind::Object);
    let schema = Some(schema.ok_or_else(|| place.inner("input_schema").invalid("must be a JSON schema"))?);
    Ok(Tool { kind: ToolKind::Function { schema, strict }, name, description, cache, at })
}

/// The choice among tools, and whether several calls are wanted.
pub(super) fn tool_choice<'a>(
    value: Value<'a>,
    ignored: &mut Ignored,
) -> Result<(ToolChoice<'a>, Option<bool>), Invalid> {
    let place = Place::field("tool_choice");
    let (mut kind, mut name, mut parallel) = (None, None, None);
    for (member, value) in value.members() {
        match &*member {
            _ if value.is_null() => {}
            "type" => kind = value.as_text(),
            "name" => name = Some(text(value, &place.inner("name"))?),
            "disable_parallel_tool_use" => parallel = value.as_bool().map(|is_disabled| !is_disabled),
            member => ignored.add_in(&place, member),
        }
    }
    let choice = match kind.as_ref().map(Text::spelt) {
        Some("auto") => ToolChoice::Auto,
        Some("any") => ToolChoice::Required,
        Some("none") => ToolChoice::None,
        Some("tool") => ToolChoice::Named(name.ok_or_else(|| place.inner("name").invalid("the field is required"))?),
        _ => return Err(place.inner("type").invalid("must be auto, any, tool or none")),
    };
    Ok((choice, parallel))
}
