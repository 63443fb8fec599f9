//! A client's tools, its choice among them, and the form that it wants the answer in.
//!
//! Must not know targets.

use super::messages_read::cache_mark;
use super::request_read::{flag, ignore, object, text};
use crate::base::wire_format::WireFormat;
use crate::translate::Invalid;
use crate::translate::ir::{OutputForm, Request, Text, Tool, ToolChoice, ToolKind, Value};
use crate::wire::json::Kind;

/// Reads `tools`.
pub(super) fn read_tools<'a>(tools: Value<'a>, request: &mut Request<'a>) -> Result<(), Invalid> {
    if tools.kind() != Kind::Array {
        return Err(Invalid::request("tools", "tools must be a list"));
    }
    for (at, tool) in tools.elements().enumerate() {
        let tool = read_tool(tool, at, request)?;
        request.tools.push(tool);
    }
    Ok(())
}

fn read_tool<'a>(tool: Value<'a>, at: usize, request: &mut Request<'a>) -> Result<Tool<'a>, Invalid> {
    let kind = tool.get("type").and_then(Value::as_text);
    let kind = kind.as_ref().map_or("function", |kind| kind.spelt());
    let path = format!("tools[{at}].{kind}");
    let mut read = match (kind, tool.get(kind)) {
        ("function", Some(function)) => read_function(function, &path, at, request)?,
        ("custom", Some(custom)) => read_custom(custom, &path, at)?,
        ("function" | "custom", None) => return Err(Invalid::request(&*path, format!("{path} is missing"))),
        _ => {
            let spelt = object(&path, tool)?;
            let name = text(&path, spelt.get("type").unwrap_or(tool))?;
            let kind = ToolKind::BuiltIn { format: WireFormat::OpenaiChat, spelt };
            Tool { kind, name, description: None, cache: None, at }
        }
    };
    // Not of the format's maker, but some of its hosts and clients have it.
    read.cache = tool.get("cache_control").and_then(cache_mark);
    Ok(read)
}

fn read_function<'a>(
    function: Value<'a>,
    path: &str,
    at: usize,
    request: &mut Request<'a>,
) -> Result<Tool<'a>, Invalid> {
    let (mut name, mut description, mut schema, mut strict) = (None, None, None, None);
    for (member, value) in object(path, function)?.members().filter(|(_, value)| !value.is_null()) {
        match &*member {
            "name" => name = Some(text(&format!("{path}.name"), value)?),
            "description" => description = Some(text(&format!("{path}.description"), value)?),
            "parameters" => schema = Some(object(&format!("{path}.parameters"), value)?),
            "strict" => strict = Some(flag(&format!("{path}.strict"), value)?),
            _ => ignore(request, &format!("{path}.{member}")),
        }
    }
    let name = required_name(name, path)?;
    Ok(Tool { kind: ToolKind::Function { schema, strict }, name, description, cache: None, at })
}

fn read_custom<'a>(custom: Value<'a>, path: &str, at: usize) -> Result<Tool<'a>, Invalid> {
    let name = custom.get("name").map(|name| text(&format!("{path}.name"), name)).transpose()?;
    let description = custom.get("description").filter(|description| !description.is_null());
    let description = description.map(|words| text(&format!("{path}.description"), words)).transpose()?;
    let format = custom.get("format").filter(|format| {
        let kind = format.get("type").and_then(Value::as_text);
        !format.is_null() && kind.is_none_or(|kind| !kind.is("text"))
    });
    let name = required_name(name, path)?;
    Ok(Tool { kind: ToolKind::Custom { format }, name, description, cache: None, at })
}

fn required_name<'a>(name: Option<Text<'a>>, path: &str) -> Result<Text<'a>, Invalid> {
    name.filter(|name| !name.is_empty())
        .ok_or_else(|| Invalid::request(format!("{path}.name"), format!("{path}.name is missing")))
}

/// Reads the old `functions` and `function_call`. One call a turn is all that their answers can hold.
pub(super) fn read_functions<'a>(
    functions: Option<Value<'a>>,
    choice: Option<Value<'a>>,
    request: &mut Request<'a>,
) -> Result<(), Invalid> {
    for (at, function) in functions.into_iter().flat_map(Value::elements).enumerate() {
        let tool = read_function(function, &format!("functions[{at}]"), at, request)?;
        request.tools.push(tool);
    }
    request.has_legacy_functions = true;
    request.parallel_calls = Some(false);
    let Some(choice) = choice else { return Ok(()) };
    let named = choice.get("name").and_then(Value::as_text).map(ToolChoice::Named);
    request.tool_choice = named.or_else(|| word(choice));
    if request.tool_choice.is_some() {
        return Ok(());
    }
    Err(Invalid::request("function_call", "function_call must be none, auto or an object with a name"))
}

/// Reads `tool_choice`.
pub(super) fn read_choice(choice: Value<'_>) -> Result<ToolChoice<'_>, Invalid> {
    let name_in = |member: &str| choice.get(member).and_then(|inner| inner.get("name")).and_then(Value::as_text);
    let named = || name_in("function").or_else(|| name_in("custom")).map(ToolChoice::Named);
    let allowed = || choice.get("allowed_tools").and_then(read_allowed);
    word(choice).or_else(named).or_else(allowed).ok_or_else(|| {
        let message = "tool_choice must be none, auto, required, a function by name, or a list of allowed tools";
        Invalid::request("tool_choice", message)
    })
}

fn word(choice: Value<'_>) -> Option<ToolChoice<'static>> {
    match choice.as_text()?.spelt() {
        "auto" => Some(ToolChoice::Auto),
        "none" => Some(ToolChoice::None),
        "required" | "any" => Some(ToolChoice::Required),
        _ => None,
    }
}

fn read_allowed(allowed: Value<'_>) -> Option<ToolChoice<'_>> {
    let is_required = allowed.get("mode").and_then(Value::as_text).is_some_and(|mode| mode.is("required"));
    let names = allowed.get("tools")?.elements().map(|tool| {
        let inner = tool.get("function").or_else(|| tool.get("custom")).unwrap_or(tool);
        inner.get("name").and_then(Value::as_text)
    });
    Some(ToolChoice::Allowed { is_required, names: names.collect::<Option<_>>()? })
}

/// Reads `response_format`.
pub(super) fn read_response_format<'a>(format: Value<'a>, request: &mut Request<'a>) -> Result<(), Invalid> {
    let kind = format.get("type").and_then(Value::as_text);
    request.output_form = match kind.as_ref().map(Text::spelt) {
        Some("text") => OutputForm::Free,
        Some("json_object") => OutputForm::JsonObject,
        Some("json_schema") => {
            let path = "response_format.json_schema";
            let inner =
                format.get("json_schema").ok_or_else(|| Invalid::request(path, format!("{path} is missing")))?;
            read_schema(object(path, inner)?, request)?
        }
        _ => {
            let message = "response_format.type must be text, json_object or json_schema";
            return Err(Invalid::request("response_format.type", message));
        }
    };
    Ok(())
}

fn read_schema<'a>(inner: Value<'a>, request: &mut Request<'a>) -> Result<OutputForm<'a>, Invalid> {
    const SCHEMA: &str = "response_format.json_schema.schema";
    let (mut name, mut description, mut schema, mut strict) = (None, None, None, None);
    for (member, value) in inner.members().filter(|(_, value)| !value.is_null()) {
        match &*member {
            "name" => name = Some(text("response_format.json_schema.name", value)?),
            "description" => description = Some(text("response_format.json_schema.description", value)?),
            "schema" => schema = Some(object(SCHEMA, value)?),
            "strict" => strict = Some(flag("response_format.json_schema.strict", value)?),
            _ => ignore(request, &format!("response_format.json_schema.{member}")),
        }
    }
    let schema = schema.ok_or_else(|| Invalid::request(SCHEMA, "response_format.json_schema.schema is missing"))?;
    Ok(OutputForm::Schema { name, description, schema, strict })
}
