//! `tools` and `toolConfig`.
//!
//! Must not know which calls were made.

use super::{Facts, Notes, schema};
use crate::base::wire_format::WireFormat;
use crate::translate::Invalid;
use crate::translate::ir::{Text, Tool, ToolChoice, ToolKind, Value};
use crate::wire::json::Writer;

/// The longest name of a function.
const NAME_BYTES_MAX: usize = 128;

/// The arguments of a tool that takes free text.
const FREE_TEXT_SCHEMA: &str = r#"{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}"#;

/// Writes both fields. A choice without tools says nothing.
pub(super) fn write(
    tools: &[Tool<'_>],
    choice: Option<&ToolChoice<'_>>,
    facts: &Facts<'_>,
    notes: &mut Notes,
    out: &mut Writer,
) -> Result<(), Invalid> {
    if tools.is_empty() {
        return Ok(());
    }
    let capabilities = &facts.model().capabilities;
    if !capabilities.tools {
        return Err(Invalid::target("tools", "this model calls no tools; leave them out or choose another model"));
    }
    check_choice(tools, choice, capabilities.forced_tool_choice)?;
    // Of tools that are only allowed, the others are left out: Gemini limits names only where it forces a call.
    let offered: Vec<&Tool<'_>> = tools.iter().filter(|tool| is_offered(tool, choice)).collect();
    let mut written = Ok(());
    out.name("tools").array(|out| written = write_tools(&offered, facts, notes, out));
    written?;
    write_config(&offered, choice, out);
    Ok(())
}

fn is_offered(tool: &Tool<'_>, choice: Option<&ToolChoice<'_>>) -> bool {
    match choice {
        Some(ToolChoice::Allowed { is_required: false, names }) => names.contains(&tool.name),
        _ => true,
    }
}

fn check_choice(tools: &[Tool<'_>], choice: Option<&ToolChoice<'_>>, can_force: bool) -> Result<(), Invalid> {
    let names: &[Text<'_>] = match choice {
        None | Some(ToolChoice::Auto | ToolChoice::None | ToolChoice::Required) => &[],
        Some(ToolChoice::Named(name)) => std::slice::from_ref(name),
        Some(ToolChoice::Allowed { names, .. }) if names.is_empty() => {
            return Err(Invalid::request("tool_choice", "it allows no tool at all; name at least one"));
        }
        Some(ToolChoice::Allowed { names, .. }) => names,
    };
    if names.iter().any(|name| !tools.iter().any(|tool| tool.name == *name)) {
        return Err(Invalid::request("tool_choice", "it names a tool that is not among `tools`"));
    }
    let is_forced = matches!(
        choice,
        Some(ToolChoice::Required | ToolChoice::Named(_) | ToolChoice::Allowed { is_required: true, .. })
    );
    if is_forced && !can_force {
        return Err(Invalid::target("tool_choice", "this model cannot be made to call a tool; use `auto`"));
    }
    Ok(())
}

fn write_tools(tools: &[&Tool<'_>], facts: &Facts<'_>, notes: &mut Notes, out: &mut Writer) -> Result<(), Invalid> {
    let is_own = |tool: &Tool<'_>| matches!(tool.kind, ToolKind::BuiltIn { .. });
    for tool in tools.iter().filter(|tool| is_own(tool)) {
        write_built_in(tool, out)?;
    }
    let mut declared = tools.iter().filter(|tool| !is_own(tool)).peekable();
    if declared.peek().is_none() {
        return Ok(());
    }
    let mut written = Ok(());
    out.object(|out| {
        out.name("functionDeclarations").array(|out| {
            written = declared.try_for_each(|tool| write_function(tool, facts, notes, out));
        });
    });
    written
}

/// A tool of the provider's own. Those of other providers cost other fees and do other things.
fn write_built_in(tool: &Tool<'_>, out: &mut Writer) -> Result<(), Invalid> {
    let ToolKind::BuiltIn { format, spelt } = &tool.kind else { return Ok(()) };
    if *format != WireFormat::GeminiGenerate {
        let message =
            format!("the built-in tool \"{}\" does not exist at this provider; leave it out", shown(&tool.name));
        return Err(Invalid::target(format!("tools[{}]", tool.at), message));
    }
    out.value(*spelt);
    Ok(())
}

fn write_function(tool: &Tool<'_>, facts: &Facts<'_>, notes: &mut Notes, out: &mut Writer) -> Result<(), Invalid> {
    // There are no marks for a cache.
    let Tool { kind: _, name, description, cache: _, at } = tool;
    check_name(name, *at)?;
    let mut written = Ok(());
    out.object(|out| {
        out.name("name").text(name);
        if let Some(description) = description {
            out.name("description").text(description);
        }
        written = write_arguments(tool, facts, notes, out);
    });
    written
}

fn write_arguments(tool: &Tool<'_>, facts: &Facts<'_>, notes: &mut Notes, out: &mut Writer) -> Result<(), Invalid> {
    let Tool { kind, name, at, .. } = tool;
    match kind {
        ToolKind::Function { schema, strict: _ } => match schema.filter(|schema| !schema.is_null()) {
            Some(schema) => write_schema(schema, *at, facts, out),
            None => Ok(()),
        },
        ToolKind::Custom { grammar: Some(_) } => Err(Invalid::target(
            format!("tools[{at}].format"),
            format!("the tool \"{}\" has a grammar, which this provider does not know; use a function", shown(name)),
        )),
        ToolKind::Custom { grammar: None } => {
            notes.emulated.custom_tools.push(name.to_plain().into());
            out.name(schema::field(facts)).raw(FREE_TEXT_SCHEMA);
            Ok(())
        }
        ToolKind::BuiltIn { .. } => Ok(()),
    }
}

fn write_schema(schema: Value<'_>, at: usize, facts: &Facts<'_>, out: &mut Writer) -> Result<(), Invalid> {
    out.name(schema::field(facts));
    if facts.is_before_three() {
        return schema::write_plain(schema, out)
            .map_err(|message| Invalid::target(format!("tools[{at}].parameters"), message));
    }
    out.value(schema);
    Ok(())
}

fn check_name(name: &Text<'_>, at: usize) -> Result<(), Invalid> {
    let spelt = name.spelt().as_bytes();
    let begins = spelt.first().is_some_and(|first| first.is_ascii_alphabetic() || *first == b'_');
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(byte);
    if begins && spelt.len() <= NAME_BYTES_MAX && spelt.iter().all(is_name) {
        return Ok(());
    }
    let message = format!(
        "the name \"{}\" must begin with a letter or _, hold only letters, digits, _ . : - and be no longer than {NAME_BYTES_MAX}",
        shown(name)
    );
    Err(Invalid::target(format!("tools[{at}].name"), message))
}

fn shown(name: &Text<'_>) -> String {
    name.to_plain().chars().filter(|c| !c.is_control()).take(NAME_BYTES_MAX).collect()
}

/// Strictness is a mode of its own there: a call, if there is one, keeps to its schema.
fn write_config(tools: &[&Tool<'_>], choice: Option<&ToolChoice<'_>>, out: &mut Writer) {
    let is_strict = tools.iter().any(|tool| matches!(tool.kind, ToolKind::Function { strict: Some(true), .. }));
    let (mode, names): (&str, &[Text<'_>]) = match choice {
        None if is_strict => ("VALIDATED", &[]),
        None => return,
        Some(ToolChoice::Auto | ToolChoice::Allowed { is_required: false, .. }) => {
            (if is_strict { "VALIDATED" } else { "AUTO" }, &[])
        }
        Some(ToolChoice::None) => ("NONE", &[]),
        Some(ToolChoice::Required) => ("ANY", &[]),
        Some(ToolChoice::Named(name)) => ("ANY", std::slice::from_ref(name)),
        Some(ToolChoice::Allowed { is_required: true, names }) => ("ANY", names),
    };
    out.name("toolConfig").object(|out| {
        out.name("functionCallingConfig").object(|out| {
            out.name("mode").plain(mode);
            if !names.is_empty() {
                out.name("allowedFunctionNames").array(|out| names.iter().for_each(|name| out.text(name)));
            }
        });
    });
}
