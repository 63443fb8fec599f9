//! A client's tools, its choice among them, and the form that it wants the answer in.
//!
//! Must not know targets.

use super::messages_read::cache_mark;
use super::request_read::{flag_at, ignore, object_at, text_at};
use crate::base::wire_format::WireFormat;
use crate::translate::ir::{OutputForm, Request, Text, Tool, ToolChoice, ToolKind, Value};
use crate::translate::{Invalid, grammar};
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

/// Where a tool stands, and what in it: `tools[2].function` and `.name`.
type Path<'p> = &'p dyn Fn(&str) -> String;

fn read_tool<'a>(tool: Value<'a>, at: usize, request: &mut Request<'a>) -> Result<Tool<'a>, Invalid> {
    let (mut kind, mut function, mut custom, mut cache) = (None, None, None, None);
    for (member, value) in object_at(tool, || format!("tools[{at}]"))?.members().filter(|(_, value)| !value.is_null()) {
        match &*member {
            "type" => kind = Some(text_at(value, || format!("tools[{at}].type"))?),
            "function" => function = Some(value),
            "custom" => custom = Some(value),
            // Not of the format's maker, but some of its hosts and clients have it.
            "cache_control" => cache = cache_mark(value),
            _ => {}
        }
    }
    let kind = kind.unwrap_or_else(|| Text::plain("function"));
    let inner = if kind.is("custom") { custom } else { function };
    let path = |rest: &str| format!("tools[{at}].{}{rest}", kind.spelt());
    let read = match (kind.spelt(), inner) {
        ("function", Some(function)) => read_function(function, &path, at, request)?,
        ("custom", Some(custom)) => read_custom(custom, &path, at, request)?,
        ("function" | "custom", None) => {
            return Err(Invalid::request(path(""), format!("{} is missing", path(""))));
        }
        _ => {
            let kind = ToolKind::BuiltIn { format: WireFormat::OpenaiChat, spelt: tool };
            Tool { kind, name: kind_name(tool), description: None, cache: None, at }
        }
    };
    Ok(Tool { cache, ..read })
}

fn kind_name(tool: Value<'_>) -> Text<'_> {
    tool.get("type").and_then(Value::as_text).unwrap_or_default()
}

fn read_function<'a>(
    function: Value<'a>,
    path: Path<'_>,
    at: usize,
    request: &mut Request<'a>,
) -> Result<Tool<'a>, Invalid> {
    let (mut name, mut description, mut schema, mut strict) = (None, None, None, None);
    for (member, value) in object_at(function, || path(""))?.members().filter(|(_, value)| !value.is_null()) {
        match &*member {
            "name" => name = Some(text_at(value, || path(".name"))?),
            "description" => description = Some(text_at(value, || path(".description"))?),
            "parameters" => schema = Some(object_at(value, || path(".parameters"))?),
            "strict" => strict = Some(flag_at(value, || path(".strict"))?),
            _ => ignore(request, &path(&format!(".{member}"))),
        }
    }
    let name = required_name(name, path)?;
    Ok(Tool { kind: ToolKind::Function { schema, strict }, name, description, cache: None, at })
}

fn read_custom<'a>(
    custom: Value<'a>,
    path: Path<'_>,
    at: usize,
    request: &mut Request<'a>,
) -> Result<Tool<'a>, Invalid> {
    let (mut name, mut description, mut format) = (None, None, None);
    for (member, value) in object_at(custom, || path(""))?.members().filter(|(_, value)| !value.is_null()) {
        match &*member {
            "name" => name = Some(text_at(value, || path(".name"))?),
            "description" => description = Some(text_at(value, || path(".description"))?),
            "format" => format = Some(object_at(value, || path(".format"))?),
            _ => ignore(request, &path(&format!(".{member}"))),
        }
    }
    // Any text is what a tool without a format takes.
    let grammar = format.map_or(Ok(None), grammar::read);
    let grammar = grammar.map_err(|message| Invalid::request(path(".format"), message))?;
    let name = required_name(name, path)?;
    Ok(Tool { kind: ToolKind::Custom { grammar }, name, description, cache: None, at })
}

fn required_name<'a>(name: Option<Text<'a>>, path: Path<'_>) -> Result<Text<'a>, Invalid> {
    name.filter(|name| !name.is_empty()).ok_or_else(|| {
        let path = path(".name");
        let message = format!("{path} is missing");
        Invalid::request(path, message)
    })
}

/// Reads the old `functions` and `function_call`. One call a turn is all that their answers can hold.
pub(super) fn read_functions<'a>(
    functions: Option<Value<'a>>,
    choice: Option<Value<'a>>,
    request: &mut Request<'a>,
) -> Result<(), Invalid> {
    for (at, function) in functions.into_iter().flat_map(Value::elements).enumerate() {
        let tool = read_function(function, &|rest| format!("functions[{at}]{rest}"), at, request)?;
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
            read_schema(object_at(inner, || path.to_owned())?, request)?
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
            "name" => name = Some(text_at(value, || "response_format.json_schema.name".to_owned())?),
            "description" => {
                description = Some(text_at(value, || "response_format.json_schema.description".to_owned())?);
            }
            "schema" => schema = Some(object_at(value, || SCHEMA.to_owned())?),
            "strict" => strict = Some(flag_at(value, || "response_format.json_schema.strict".to_owned())?),
            _ => ignore(request, &format!("response_format.json_schema.{member}")),
        }
    }
    let schema = schema.ok_or_else(|| Invalid::request(SCHEMA, "response_format.json_schema.schema is missing"))?;
    Ok(OutputForm::Schema { name, description, schema, strict })
}
