//! Tools and the choice among them, read and written.
//!
//! Must not know calls. Here a tool is flat, and `strict` is on unless it is said to be off, so that it is always
//! said: a schema that was not made for it would be refused.

use std::borrow::Cow;

use crate::base::wire_format::WireFormat;
use crate::catalog::Target;
use crate::translate::ir::{Request, Text, Tool, ToolChoice, ToolKind, Value};
use crate::translate::{Invalid, grammar};
use crate::wire::json::{Kind, Writer};

use super::request_read::{array_of, ignore};

/// The longest name of a tool that this format takes.
const NAME_BYTES_MAX: usize = 64;

/// Reads the tools.
pub(super) fn read<'a>(value: Value<'a>, ignored: &mut Vec<Cow<'static, str>>) -> Result<Vec<Tool<'a>>, Invalid> {
    let mut tools = Vec::new();
    for (tool, at) in array_of(value, "tools")?.elements().zip(0..) {
        tools.push(read_tool(tool, at, ignored)?);
    }
    Ok(tools)
}

fn read_tool<'a>(value: Value<'a>, at: usize, ignored: &mut Vec<Cow<'static, str>>) -> Result<Tool<'a>, Invalid> {
    let wrong = |member: &str, message: &'static str| Invalid::request(format!("tools[{at}].{member}"), message);
    let kind = value.get("type").and_then(Value::as_text).ok_or_else(|| wrong("type", "is missing"))?;
    let is_function = kind.is("function");
    if !is_function && !kind.is("custom") {
        let built_in = ToolKind::BuiltIn { format: WireFormat::OpenaiResponses, spelt: value };
        return Ok(Tool { kind: built_in, name: kind, description: None, cache: None, at });
    }
    let (mut name, mut description, mut schema, mut strict, mut grammar) = (None, None, None, None, None);
    for (member, value) in value.members().filter(|(_, value)| !value.is_null()) {
        match &*member {
            "type" => {}
            "name" => name = value.as_text(),
            "description" => description = value.as_text(),
            "parameters" if is_function => {
                if value.kind() != Kind::Object {
                    return Err(wrong("parameters", "must be an object"));
                }
                schema = Some(value);
            }
            "strict" if is_function => {
                strict = Some(value.as_bool().ok_or_else(|| wrong("strict", "must be true or false"))?);
            }
            "format" if !is_function => {
                grammar = grammar::read(value).map_err(|message| wrong("format", message))?;
            }
            _ => ignore(ignored, || format!("tools[{at}].{member}").into()),
        }
    }
    let name = name.filter(|name| !name.is_empty()).ok_or_else(|| wrong("name", "is missing"))?;
    let kind = if is_function { ToolKind::Function { schema, strict } } else { ToolKind::Custom { grammar } };
    Ok(Tool { kind, name, description, cache: None, at })
}

/// Reads the choice among the tools.
pub(super) fn read_choice(value: Value<'_>) -> Result<ToolChoice<'_>, Invalid> {
    const WRONG: &str = "must be auto, none, required, or an object that names a tool";
    if let Some(word) = value.as_text() {
        return match word.spelt() {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::None),
            "required" => Ok(ToolChoice::Required),
            _ => Err(Invalid::request("tool_choice", WRONG)),
        };
    }
    let text = |name| value.get(name).and_then(Value::as_text);
    let kind = text("type").ok_or_else(|| Invalid::request("tool_choice", WRONG))?;
    match kind.spelt() {
        "function" | "custom" => {
            let name = text("name").ok_or_else(|| Invalid::request("tool_choice.name", "is missing"))?;
            Ok(ToolChoice::Named(name))
        }
        "allowed_tools" => {
            let is_required = text("mode").is_some_and(|mode| mode.is("required"));
            let tools = value.get("tools").ok_or_else(|| Invalid::request("tool_choice.tools", "is missing"))?;
            let mut names = Vec::new();
            for (tool, at) in array_of(tools, "tool_choice.tools")?.elements().zip(0_usize..) {
                let place = || format!("tool_choice.tools[{at}].name");
                let name = tool.get("name").or_else(|| tool.get("type")).and_then(Value::as_text);
                names.push(name.ok_or_else(|| Invalid::request(place(), "is missing"))?);
            }
            Ok(ToolChoice::Allowed { is_required, names })
        }
        // A built-in tool goes by its type.
        _ => Ok(ToolChoice::Named(kind)),
    }
}

/// Writes the tools, the choice among them, and whether calls may be parallel.
pub(super) fn write(w: &mut Writer, request: &Request<'_>, target: &Target) -> Result<(), Invalid> {
    let Request { tools, tool_choice, parallel_calls, .. } = request;
    // A choice without tools is refused by the service, and means nothing.
    if tools.is_empty() {
        return Ok(());
    }
    if !target.model.capabilities.tools {
        return Err(Invalid::target("tools", "the model takes no tools"));
    }
    tools.iter().try_for_each(check)?;
    w.name("tools").array(|w| tools.iter().for_each(|tool| write_tool(w, tool)));
    if let Some(choice) = tool_choice {
        let is_forced = match choice {
            ToolChoice::Auto | ToolChoice::None => false,
            ToolChoice::Required | ToolChoice::Named(_) => true,
            ToolChoice::Allowed { is_required, .. } => *is_required,
        };
        if is_forced && !target.model.capabilities.forced_tool_choice {
            return Err(Invalid::target("tool_choice", "the model cannot be made to call a tool; use auto"));
        }
        write_choice(w.name("tool_choice"), choice, tools);
    }
    if let Some(parallel) = parallel_calls {
        w.name("parallel_tool_calls").bool(*parallel);
    }
    Ok(())
}

/// Whether the format can take a tool.
fn check(tool: &Tool<'_>) -> Result<(), Invalid> {
    let Tool { kind, name, at, .. } = tool;
    if let ToolKind::BuiltIn { format, .. } = kind {
        return match format {
            WireFormat::OpenaiResponses => Ok(()),
            WireFormat::OpenaiChat
            | WireFormat::AnthropicMessages
            | WireFormat::OpenaiImages
            | WireFormat::GeminiGenerate
            | WireFormat::BedrockConverse
            | WireFormat::OpenaiEmbeddings
            | WireFormat::OpenaiImageEdits
            | WireFormat::OpenaiTranscriptions
            | WireFormat::OpenaiSpeech => {
                let message = format!("the tool {} is built into another provider's models", name.to_plain());
                Err(Invalid::target(format!("tools[{at}]"), message))
            }
        };
    }
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    let name = name.spelt();
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(fits) {
        let message = "the name must be 1 to 64 letters, digits, hyphens and underscores for this model";
        return Err(Invalid::target(format!("tools[{at}].name"), message));
    }
    Ok(())
}

fn write_tool(w: &mut Writer, tool: &Tool<'_>) {
    let Tool { kind, name, description, cache: _, at: _ } = tool;
    if let ToolKind::BuiltIn { spelt, .. } = kind {
        w.value(*spelt);
        return;
    }
    w.object(|w| {
        w.name("type").text(&kind_name(kind, name));
        w.name("name").text(name);
        if let Some(description) = description {
            w.name("description").text(description);
        }
        match kind {
            ToolKind::Function { schema, strict } => {
                match schema {
                    Some(schema) => w.name("parameters").value(*schema),
                    None => w.name("parameters").raw(r#"{"type":"object","properties":{}}"#),
                }
                w.name("strict").bool(*strict == Some(true));
            }
            ToolKind::Custom { grammar: Some(grammar) } => write_grammar(w, *grammar),
            ToolKind::Custom { grammar: None } | ToolKind::BuiltIn { .. } => {}
        }
    });
}

fn write_grammar(w: &mut Writer, grammar: Value<'_>) {
    w.name("format").object(|w| {
        w.name("type").raw(r#""grammar""#);
        for (name, value) in grammar::members(grammar) {
            if let Some(value) = value {
                w.name(name).value(value);
            }
        }
    });
}

/// A tool's type, as a tool and in a choice.
fn kind_name<'a>(kind: &ToolKind<'_>, name: &'a Text<'_>) -> Text<'a> {
    match kind {
        ToolKind::Function { .. } => Text::spelt_as("function"),
        ToolKind::Custom { .. } => Text::spelt_as("custom"),
        ToolKind::BuiltIn { .. } => name.by_ref(),
    }
}

fn write_choice(w: &mut Writer, choice: &ToolChoice<'_>, tools: &[Tool<'_>]) {
    match choice {
        ToolChoice::Auto => w.raw(r#""auto""#),
        ToolChoice::None => w.raw(r#""none""#),
        ToolChoice::Required => w.raw(r#""required""#),
        ToolChoice::Named(name) => write_named(w, name, tools),
        ToolChoice::Allowed { is_required, names } => w.object(|w| {
            w.name("type").raw(r#""allowed_tools""#);
            w.name("mode").raw(if *is_required { r#""required""# } else { r#""auto""# });
            w.name("tools").array(|w| names.iter().for_each(|name| write_named(w, name, tools)));
        }),
    }
}

fn write_named(w: &mut Writer, name: &Text<'_>, tools: &[Tool<'_>]) {
    let kind = tools.iter().find(|tool| tool.name == *name).map(|tool| &tool.kind);
    w.object(|w| {
        w.name("type").text(&kind.map_or_else(|| Text::spelt_as("function"), |kind| kind_name(kind, name)));
        if !matches!(kind, Some(ToolKind::BuiltIn { .. })) {
            w.name("name").text(name);
        }
    });
}
