//! Tools and the choice among them for Anthropic.
//!
//! Must not know the conversation. Custom tools go as functions with one string, and a model without structured
//! output is made to call a tool that has the schema: both are told in [`Emulated`], to be undone in the answer.

use super::marks::Marks;
use super::place::Ignored;
use super::suits::{NAME_BYTES_MAX, is_object_schema};
use crate::catalog::Model;
use crate::translate::ir::{OutputForm, Request, Text, Tool, ToolChoice, ToolKind, Value};
use crate::translate::{Emulated, Invalid};
use crate::wire::json::Writer;

/// The schema of a tool that takes one text.
const FREE_TEXT_SCHEMA: &str = r#"{"type":"object","properties":{"input":{"type":"string","description":"The whole input of the tool, as plain text."}},"required":["input"],"additionalProperties":false}"#;
/// The name of a schema's tool where the schema has none.
const SCHEMA_TOOL: &str = "output";

/// What is offered to the model, and what it must call.
#[derive(Debug)]
pub(super) struct Toolbox<'r, 'a> {
    tools: Vec<&'r Tool<'a>>,
    schema_tool: Option<SchemaTool<'a>>,
    choice: Option<Chosen<'r, 'a>>,
    /// Whether one call at most is wanted.
    is_single: bool,
}

#[derive(Debug)]
struct SchemaTool<'a> {
    name: String,
    description: Option<Text<'a>>,
    schema: Value<'a>,
}

#[derive(Debug)]
enum Chosen<'r, 'a> {
    Auto,
    Any,
    None,
    Named(&'r Text<'a>),
    SchemaTool,
}

impl<'r, 'a> Toolbox<'r, 'a> {
    /// What a request offers.
    ///
    /// # Errors
    /// When the answer must follow a schema and this model can in no way be made to.
    pub(super) fn of(request: &'r Request<'a>, model: &Model) -> Result<Self, Invalid> {
        let mut tools: Vec<_> = request.tools.iter().collect();
        let mut choice = match &request.tool_choice {
            None => None,
            Some(ToolChoice::Auto) => Some(Chosen::Auto),
            Some(ToolChoice::None) => Some(Chosen::None),
            Some(ToolChoice::Required) => Some(Chosen::Any),
            Some(ToolChoice::Named(name)) => Some(Chosen::Named(name)),
            Some(ToolChoice::Allowed { is_required, names }) => {
                tools.retain(|tool| names.contains(&tool.name));
                Some(if *is_required { Chosen::Any } else { Chosen::Auto })
            }
        };
        let mut is_single = request.parallel_calls == Some(false);
        let schema_tool = schema_tool(request, &tools, model)?;
        if schema_tool.is_some() {
            let has_others = !tools.is_empty() && !matches!(choice, Some(Chosen::None));
            is_single |= !has_others;
            choice = Some(if has_others { Chosen::Any } else { Chosen::SchemaTool });
        } else if tools.is_empty() {
            choice = None;
        } else if is_single && choice.is_none() {
            choice = Some(Chosen::Auto);
        }
        Ok(Self { tools, schema_tool, choice, is_single })
    }

    /// Whether the model must call something.
    pub(super) fn is_forced(&self) -> bool {
        matches!(self.choice, Some(Chosen::Any | Chosen::Named(_) | Chosen::SchemaTool))
    }

    /// How many cache marks there are.
    pub(super) fn marks(&self) -> usize {
        self.tools.iter().filter(|tool| tool.cache.is_some()).count()
    }

    /// What must be undone in the answer.
    pub(super) fn emulated(&self) -> Emulated {
        let is_custom = |tool: &&&Tool<'_>| matches!(tool.kind, ToolKind::Custom { .. });
        Emulated {
            schema_tool: self.schema_tool.as_ref().map(|tool| tool.name.clone().into()),
            custom_tools: self.tools.iter().filter(is_custom).map(|tool| tool.name.to_plain().into()).collect(),
        }
    }

    /// Writes `tools` and `tool_choice`.
    pub(super) fn write(&self, w: &mut Writer, marks: &mut Marks) {
        if self.tools.is_empty() && self.schema_tool.is_none() {
            return;
        }
        w.name("tools").array(|w| {
            self.tools.iter().for_each(|tool| write_tool(tool, w, marks));
            if let Some(SchemaTool { name, description, schema }) = &self.schema_tool {
                w.object(|w| {
                    w.name("name").plain(name);
                    let description = description.as_ref().map_or("Gives the answer.".into(), Text::to_plain);
                    w.name("description").plain(&description);
                    write_schema(Some(*schema), w);
                });
            }
        });
        let Some(choice) = &self.choice else { return };
        w.name("tool_choice").object(|w| {
            match choice {
                Chosen::Auto => w.name("type").plain("auto"),
                Chosen::Any => w.name("type").plain("any"),
                Chosen::None => w.name("type").plain("none"),
                Chosen::Named(name) => {
                    w.name("type").plain("tool");
                    w.name("name").text(name);
                }
                Chosen::SchemaTool => {
                    w.name("type").plain("tool");
                    w.name("name").plain(self.schema_tool.as_ref().map_or("", |tool| &tool.name));
                }
            }
            if self.is_single && !matches!(choice, Chosen::None) {
                w.name("disable_parallel_tool_use").raw("true");
            }
        });
    }
}

fn schema_tool<'a>(
    request: &Request<'a>,
    tools: &[&Tool<'_>],
    model: &Model,
) -> Result<Option<SchemaTool<'a>>, Invalid> {
    let OutputForm::Schema { name, description, schema, strict: _ } = &request.output_form else { return Ok(None) };
    if model.capabilities.json_schema {
        return Ok(None);
    }
    if !model.capabilities.forced_tool_choice || !model.capabilities.tools {
        return Err(Invalid::target("response_format", "this model cannot be held to a schema; ask for one in words"));
    }
    if !is_object_schema(*schema) {
        return Err(Invalid::target("response_format", "this model can only be held to a schema of an object"));
    }
    let asked = name.as_ref().map(Text::to_plain).unwrap_or_default();
    let is_fit = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let mut name: String = asked.chars().filter(is_fit).take(NAME_BYTES_MAX / 2).collect();
    if name.is_empty() {
        name.push_str(SCHEMA_TOOL);
    }
    // Ends: there are fewer tools than names that one can get.
    while tools.iter().any(|tool| tool.name.is(&name)) {
        name.push('_');
    }
    Ok(Some(SchemaTool { name, description: description.clone(), schema: *schema }))
}

fn write_tool(tool: &Tool<'_>, w: &mut Writer, marks: &mut Marks) {
    let Tool { kind, name, description, cache, at: _ } = tool;
    if let ToolKind::BuiltIn { spelt, .. } = kind {
        return w.value(*spelt);
    }
    w.object(|w| {
        w.name("name").text(name);
        if let Some(description) = description.as_ref().filter(|description| !description.is_empty()) {
            w.name("description").text(description);
        }
        match kind {
            ToolKind::Function { schema, strict } => {
                write_schema(*schema, w);
                if *strict == Some(true) {
                    w.name("strict").raw("true");
                }
            }
            ToolKind::Custom { .. } | ToolKind::BuiltIn { .. } => w.name("input_schema").raw(FREE_TEXT_SCHEMA),
        }
        if let Some(ttl) = marks.next(*cache) {
            write_mark(ttl, w);
        }
    });
}

/// A schema of arguments, which must name its type here.
fn write_schema(schema: Option<Value<'_>>, w: &mut Writer) {
    w.name("input_schema");
    let Some(schema) = schema.filter(|schema| !schema.is_null()) else { return w.raw(r#"{"type":"object"}"#) };
    if schema.get("type").is_some() {
        return w.value(schema);
    }
    w.object(|w| {
        w.name("type").plain("object");
        for (name, value) in schema.members() {
            w.name(Text::plain(name).spelt()).value(value);
        }
    });
}

/// A mark up to which the prompt is cached.
pub(super) fn write_mark(ttl: &'static str, w: &mut Writer) {
    w.name("cache_control").object(|w| {
        w.name("type").plain("ephemeral");
        if ttl != "5m" {
            w.name("ttl").plain(ttl);
        }
    });
}

/// The tier in Anthropic's words, if it has one for it.
pub(super) fn service_tier(asked: &Text<'_>, ignored: &mut Ignored) -> Option<&'static str> {
    match asked.spelt() {
        "auto" => Some("auto"),
        "default" | "standard" | "standard_only" => Some("standard_only"),
        _ => {
            ignored.add("service_tier");
            None
        }
    }
}
