//! Tools, the choice among them, and the form of the answer, for a host of Chat Completions.
//!
//! Must not know the client's format. A model that cannot follow a schema is given a tool whose arguments do, and is
//! made to call it; a tool that is called with free text becomes a function of one string where the host knows no
//! other. Both are named in [`crate::translate::Emulated`], to be undone in the answer.

use super::dialect::Feature;
use super::request_write::Job;
use crate::base::wire_format::WireFormat;
use crate::translate::ir::{CallKind, OutputForm, Text, Tool, ToolChoice, ToolKind, Value};
use crate::translate::{Invalid, grammar};
use crate::wire::json::Writer;

/// The schema of a function that stands for a tool with free text.
const INPUT_SCHEMA: &str =
    r#"{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],"additionalProperties":false}"#;
/// The schema of a function without arguments.
const NO_ARGUMENTS: &str = r#"{"type":"object","properties":{}}"#;
/// The name of a schema that has none.
const UNNAMED_SCHEMA: &str = "output";

/// What tools are offered, and how the model is to choose.
#[derive(Debug)]
pub(super) struct ToolPlan<'r, 'a> {
    tools: Vec<&'r Tool<'a>>,
    choice: Option<Choice<'r, 'a>>,
    /// The tool that stands for the schema of the answer.
    schema_tool: Option<String>,
}

#[derive(Clone, Debug)]
enum Choice<'r, 'a> {
    Auto,
    None,
    Required,
    Named(&'r Text<'a>),
    Allowed { is_required: bool, names: &'r [Text<'a>] },
    SchemaTool,
}

impl<'r, 'a> ToolPlan<'r, 'a> {
    /// Decides, and refuses what the target cannot be offered.
    pub(super) fn new(job: &mut Job<'r, 'a>) -> Result<Self, Invalid> {
        let tools = offered(job);
        for tool in &tools {
            check(job, tool)?;
        }
        let choice = if tools.is_empty() { None } else { choice(job)? };
        let mut plan = Self { tools, choice, schema_tool: None };
        if let OutputForm::Schema { name, .. } = &job.request.output_form
            && !job.target.model.capabilities.json_schema
        {
            plan.add_schema_tool(job, name.as_ref())?;
        }
        if matches!(plan.choice, Some(Choice::None)) && !job.has(Feature::ToolChoice) {
            plan.tools.clear();
        }
        if !job.has(Feature::ToolChoice) {
            plan.choice = None;
        }
        job.written.emulated.schema_tool = plan.schema_tool.as_deref().map(Box::from);
        if !job.has(Feature::CustomTools) {
            let customs = plan.tools.iter().filter(|tool| matches!(tool.kind, ToolKind::Custom { .. }));
            job.written.emulated.custom_tools = customs.map(|tool| Box::from(tool.name.to_plain())).collect();
        }
        Ok(plan)
    }

    /// Whether any function is offered.
    pub(super) fn has_functions(&self) -> bool {
        !self.tools.is_empty() || self.schema_tool.is_some()
    }

    fn add_schema_tool(&mut self, job: &Job<'_, '_>, name: Option<&Text<'_>>) -> Result<(), Invalid> {
        let capabilities = job.target.model.capabilities;
        if !(capabilities.tools && capabilities.forced_tool_choice && job.has(Feature::ToolChoice)) {
            let message = "this model cannot be held to a schema; ask for json_object, or use another model";
            return Err(Invalid::target("response_format", message));
        }
        let choice = match self.choice {
            // It must call a tool of the client's: there will be no text to hold to the schema.
            Some(Choice::Required | Choice::Named(_) | Choice::Allowed { is_required: true, .. }) => return Ok(()),
            Some(Choice::Auto | Choice::Allowed { .. }) | None if !self.tools.is_empty() => Choice::Required,
            Some(_) | None => Choice::SchemaTool,
        };
        self.choice = Some(choice);
        let mut name = name.map_or(UNNAMED_SCHEMA.to_owned(), |name| name.to_plain().into_owned());
        while self.tools.iter().any(|tool| tool.name.is(&name)) {
            name.push('_');
        }
        self.schema_tool = Some(name);
        Ok(())
    }

    /// Writes them.
    pub(super) fn write(&self, job: &mut Job<'_, '_>, w: &mut Writer) {
        if self.has_functions() {
            w.name("tools").array(|w| {
                for tool in &self.tools {
                    write_tool(job, w, tool);
                }
                if let (Some(name), OutputForm::Schema { description, schema, .. }) =
                    (&self.schema_tool, &job.request.output_form)
                {
                    let name = Text::plain(&**name);
                    write_function(w, &name, description.as_ref(), |w| w.name("parameters").value(*schema));
                }
            });
        }
        if let Some(choice) = &self.choice {
            w.name("tool_choice");
            self.write_choice(job, w, choice);
        }
        if let Some(is_wanted) = job.request.parallel_calls.filter(|_| self.has_functions()) {
            if job.has(Feature::ParallelCalls) {
                w.name("parallel_tool_calls").bool(is_wanted);
            } else if !is_wanted {
                job.ignore("parallel_tool_calls");
            }
        }
        if self.schema_tool.is_none() {
            write_output_form(job, w);
        }
    }

    fn write_choice(&self, job: &Job<'_, '_>, w: &mut Writer, choice: &Choice<'_, '_>) {
        match choice {
            Choice::Auto => w.plain("auto"),
            Choice::None => w.plain("none"),
            Choice::Required => w.plain(job.host.required),
            Choice::Named(name) => self.write_named(job, w, name),
            Choice::SchemaTool => {
                let name = Text::plain(self.schema_tool.as_deref().unwrap_or_default());
                write_reference(w, CallKind::Function, &name);
            }
            Choice::Allowed { is_required, names } => w.object(|w| {
                w.name("type").plain("allowed_tools");
                w.name("allowed_tools").object(|w| {
                    w.name("mode").plain(if *is_required { "required" } else { "auto" });
                    w.name("tools").array(|w| names.iter().for_each(|name| self.write_named(job, w, name)));
                });
            }),
        }
    }

    fn write_named(&self, job: &Job<'_, '_>, w: &mut Writer, name: &Text<'_>) {
        let is_custom = self.tools.iter().any(|tool| {
            tool.name == *name && matches!(tool.kind, ToolKind::Custom { .. }) && job.has(Feature::CustomTools)
        });
        write_reference(w, if is_custom { CallKind::Custom } else { CallKind::Function }, name);
    }
}

/// The client's tools, without those that its choice rules out where the host cannot be told.
fn offered<'r, 'a>(job: &Job<'r, 'a>) -> Vec<&'r Tool<'a>> {
    let tools = job.request.tools.iter();
    match &job.request.tool_choice {
        Some(ToolChoice::Allowed { names, .. }) if !job.has(Feature::AllowedTools) => {
            tools.filter(|tool| names.contains(&tool.name)).collect()
        }
        _ => tools.collect(),
    }
}

fn check(job: &Job<'_, '_>, tool: &Tool<'_>) -> Result<(), Invalid> {
    let list = if job.request.has_legacy_functions { "functions" } else { "tools" };
    let path = || format!("{list}[{}]", tool.at);
    if !job.target.model.capabilities.tools {
        return Err(Invalid::target(list, "this model knows no tools; leave them out, or use another model"));
    }
    match &tool.kind {
        ToolKind::BuiltIn { format, .. } if *format != WireFormat::OpenaiChat => {
            let message = format!("the built-in tool {} is not offered with this model", tool.name.to_plain());
            Err(Invalid::target(path(), message))
        }
        ToolKind::Custom { grammar: Some(_) } if !job.has(Feature::CustomTools) => {
            Err(Invalid::target(path(), "this model cannot be held to a grammar; leave the tool's format out"))
        }
        _ if tool.name.spelt().len() > job.host.tool_name_bytes_max => {
            let message = format!("names of tools are at most {} characters long here", job.host.tool_name_bytes_max);
            Err(Invalid::target(path() + ".name", message))
        }
        ToolKind::Function { .. } | ToolKind::Custom { .. } | ToolKind::BuiltIn { .. } => Ok(()),
    }
}

fn choice<'r, 'a>(job: &Job<'r, 'a>) -> Result<Option<Choice<'r, 'a>>, Invalid> {
    let choice = match &job.request.tool_choice {
        None => return Ok(None),
        Some(ToolChoice::None) => Choice::None,
        Some(ToolChoice::Named(name)) => Choice::Named(name),
        Some(ToolChoice::Allowed { is_required, names }) if job.has(Feature::AllowedTools) => {
            Choice::Allowed { is_required: *is_required, names }
        }
        Some(ToolChoice::Required | ToolChoice::Allowed { is_required: true, .. }) => Choice::Required,
        Some(ToolChoice::Auto | ToolChoice::Allowed { is_required: false, .. }) => Choice::Auto,
    };
    let is_forced = matches!(choice, Choice::Required | Choice::Named(_) | Choice::Allowed { is_required: true, .. });
    if is_forced && !(job.target.model.capabilities.forced_tool_choice && job.has(Feature::ToolChoice)) {
        let message = "this model cannot be made to call a tool; set tool_choice to auto, or use another model";
        return Err(Invalid::target("tool_choice", message));
    }
    Ok(Some(choice))
}

fn write_tool(job: &Job<'_, '_>, w: &mut Writer, tool: &Tool<'_>) {
    let Tool { kind, name, description, cache: _, at: _ } = tool;
    match kind {
        ToolKind::Function { schema, strict } => write_function(w, name, description.as_ref(), |w| {
            match schema {
                Some(schema) => w.name("parameters").value(*schema),
                None if job.has(Feature::NoParameters) => {}
                None => w.name("parameters").raw(NO_ARGUMENTS),
            }
            if let Some(strict) = strict {
                w.name("strict").bool(*strict);
            }
        }),
        ToolKind::Custom { grammar } if job.has(Feature::CustomTools) => w.object(|w| {
            w.name("type").plain("custom");
            w.name("custom").object(|w| {
                write_name(w, name, description.as_ref());
                if let Some(grammar) = grammar {
                    write_grammar(w, *grammar);
                }
            });
        }),
        ToolKind::Custom { .. } => {
            write_function(w, name, description.as_ref(), |w| w.name("parameters").raw(INPUT_SCHEMA));
        }
        ToolKind::BuiltIn { spelt, .. } => w.value(*spelt),
    }
}

fn write_grammar(w: &mut Writer, grammar: Value<'_>) {
    w.name("format").object(|w| {
        w.name("type").plain("grammar");
        w.name("grammar").object(|w| {
            for (name, value) in grammar::members(grammar) {
                if let Some(value) = value {
                    w.name(name).value(value);
                }
            }
        });
    });
}

fn write_function(w: &mut Writer, name: &Text<'_>, description: Option<&Text<'_>>, rest: impl FnOnce(&mut Writer)) {
    w.object(|w| {
        w.name("type").plain("function");
        w.name("function").object(|w| {
            write_name(w, name, description);
            rest(w);
        });
    });
}

fn write_name(w: &mut Writer, name: &Text<'_>, description: Option<&Text<'_>>) {
    w.name("name").text(name);
    if let Some(description) = description {
        w.name("description").text(description);
    }
}

fn write_reference(w: &mut Writer, kind: CallKind, name: &Text<'_>) {
    let kind = match kind {
        CallKind::Function => "function",
        CallKind::Custom => "custom",
    };
    w.object(|w| {
        w.name("type").plain(kind);
        w.name(kind).object(|w| w.name("name").text(name));
    });
}

fn write_output_form(job: &Job<'_, '_>, w: &mut Writer) {
    match &job.request.output_form {
        OutputForm::Free => {}
        OutputForm::JsonObject => w.name("response_format").raw(r#"{"type":"json_object"}"#),
        // A call is forced: see `add_schema_tool`.
        OutputForm::Schema { .. } if !job.target.model.capabilities.json_schema => {}
        OutputForm::Schema { name, description, schema, strict } => {
            write_schema(w, (name.as_ref(), description.as_ref()), *schema, *strict);
        }
    }
}

type Words<'r, 'a> = (Option<&'r Text<'a>>, Option<&'r Text<'a>>);

fn write_schema(w: &mut Writer, (name, description): Words<'_, '_>, schema: Value<'_>, strict: Option<bool>) {
    w.name("response_format").object(|w| {
        w.name("type").plain("json_schema");
        w.name("json_schema").object(|w| {
            write_name(w, name.unwrap_or(&Text::plain(UNNAMED_SCHEMA)), description);
            w.name("schema").value(schema);
            if let Some(strict) = strict {
                w.name("strict").bool(strict);
            }
        });
    });
}
