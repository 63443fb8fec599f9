//! A client's request: its top-level fields.
//!
//! Must not know targets. What another format cannot say at all is refused by name as a matter of the target, so
//! that a target of this same format may still take it.

use super::messages_read::Conversation;
use super::tools_read;
use crate::base::effort::Effort;
use crate::translate::Invalid;
use crate::translate::envelope::Envelope;
use crate::translate::ir::{Choice, Logprobs, Reasoning, Request, Shown, Text, Thinking, Value};
use crate::wire::json::Kind;

/// Names of fields that are remembered because they were left out.
const IGNORED_MAX: usize = 64;
/// A longer name than this is cut: no field has one.
const NAME_CHARS_MAX: usize = 64;

/// Reads a request.
///
/// # Errors
/// When a field makes no sense, or cannot be said in another format; the error names it.
pub fn read_request<'a>(body: Value<'a>, envelope: &Envelope) -> Result<Request<'a>, Invalid> {
    if body.kind() != Kind::Object {
        return Err(Invalid::request("", "the body must be a JSON object"));
    }
    let mut request = Request::default();
    let mut rest = Rest::default();
    for (name, value) in body.members().filter(|(_, value)| !value.is_null()) {
        let is_known = sampling(&mut request, &name, value)?
            || thinking(&mut request, &name, value)?
            || words(&mut request, &name, value)?
            || rest.take(&name, value);
        if !is_known {
            refuse(&name)?;
            ignore(&mut request, &name);
        }
    }
    rest.finish(&mut request, envelope)?;
    Ok(request)
}

/// Remembers a field that is left out.
pub(super) fn ignore(request: &mut Request<'_>, path: &str) {
    if request.ignored.len() < IGNORED_MAX && !request.ignored.iter().any(|known| known == path) {
        let name: String = path.chars().take(NAME_CHARS_MAX).collect();
        request.ignored.push(name.into());
    }
}

fn sampling<'a>(request: &mut Request<'a>, name: &str, value: Value<'a>) -> Result<bool, Invalid> {
    let sampling = &mut request.sampling;
    let place = match name {
        "temperature" => &mut sampling.temperature,
        "top_p" => &mut sampling.top_p,
        "top_k" => &mut sampling.top_k,
        "frequency_penalty" => &mut sampling.frequency_penalty,
        "presence_penalty" => &mut sampling.presence_penalty,
        "seed" => &mut sampling.seed,
        "logit_bias" => {
            sampling.logit_bias = Some(object(name, value)?).filter(|bias| bias.members().next().is_some());
            return Ok(true);
        }
        _ => return Ok(false),
    };
    *place = Some(value);
    if value.kind() == Kind::Number {
        Ok(true)
    } else {
        Err(Invalid::request(name, format!("{name} must be a number")))
    }
}

fn thinking(request: &mut Request<'_>, name: &str, value: Value<'_>) -> Result<bool, Invalid> {
    let reasoning = &mut request.reasoning;
    let mut unknown: Vec<String> = Vec::new();
    match name {
        "reasoning_effort" => set_effort(reasoning, name, value)?,
        // What hosts have beside it, and clients of theirs send.
        "reasoning" => {
            for (member, value) in object(name, value)?.members().filter(|(_, value)| !value.is_null()) {
                match (&*member, value.as_bool()) {
                    ("effort", _) => set_effort(reasoning, "reasoning.effort", value)?,
                    ("max_tokens", _) => set_budget(reasoning, "reasoning.max_tokens", value)?,
                    ("enabled", Some(false)) => reasoning.thinking = Some(Thinking::Off),
                    ("enabled", Some(true)) if reasoning.thinking.is_none() => {
                        reasoning.thinking = Some(Thinking::Adaptive);
                    }
                    ("exclude", Some(true)) => reasoning.shown = Some(Shown::Omitted),
                    ("enabled" | "exclude", _) => {}
                    _ => unknown.push(format!("reasoning.{member}")),
                }
            }
        }
        "thinking" => {
            let is_known = |member: &str| matches!(member, "type" | "budget_tokens");
            let members = object(name, value)?.members().map(|(member, _)| member);
            unknown.extend(members.filter(|member| !is_known(member)).map(|member| format!("thinking.{member}")));
            let kind = value.get("type").and_then(Value::as_text).map(Text::into_plain);
            match (kind.as_deref(), value.get("budget_tokens")) {
                (Some("disabled"), _) => reasoning.thinking = Some(Thinking::Off),
                (Some("enabled"), Some(budget)) => set_budget(reasoning, "thinking.budget_tokens", budget)?,
                (Some("enabled" | "adaptive"), _) => reasoning.thinking = Some(Thinking::Adaptive),
                _ => return Err(Invalid::request("thinking.type", "thinking.type must be enabled or disabled")),
            }
        }
        "include_reasoning" if value.as_bool() == Some(false) => reasoning.shown = Some(Shown::Omitted),
        "include_reasoning" => {}
        _ => return Ok(false),
    }
    for path in &unknown {
        ignore(request, path);
    }
    Ok(true)
}

fn set_effort(reasoning: &mut Reasoning, path: &str, value: Value<'_>) -> Result<(), Invalid> {
    let name = text(path, value)?.into_plain();
    // Both leave it to the model.
    if matches!(&*name, "default" | "auto") {
        return Ok(());
    }
    let unknown = || {
        let known: Vec<_> = Effort::NAMES.iter().map(|(name, _)| *name).collect();
        Invalid::request(path, format!("{path} must be one of {}", known.join(", ")))
    };
    reasoning.effort = Some(Effort::by_name(&name).ok_or_else(unknown)?);
    Ok(())
}

fn set_budget(reasoning: &mut Reasoning, path: &str, value: Value<'_>) -> Result<(), Invalid> {
    reasoning.thinking = Some(Thinking::Budget(count(path, value)?));
    Ok(())
}

/// Fields that hold one word or number each.
fn words<'a>(request: &mut Request<'a>, name: &str, value: Value<'a>) -> Result<bool, Invalid> {
    match name {
        // Read with the head of the body, before anything is translated.
        "model" => {}
        // Read with the head, too; what else stands in it is told.
        "stream_options" => {
            for (member, _) in object(name, value)?.members() {
                if !matches!(&*member, "include_usage" | "include_obfuscation") {
                    ignore(request, &format!("stream_options.{member}"));
                }
            }
        }
        "stream" => request.stream = flag(name, value)?,
        "n" => {
            let choices = count(name, value)?;
            if choices == 0 {
                return Err(Invalid::request("n", "n must be at least 1"));
            }
            request.choices = Choice(choices);
        }
        "stop" => request.stop = stops(value)?,
        "verbosity" => request.verbosity = Some(text(name, value)?),
        "service_tier" => request.service_tier = Some(text(name, value)?),
        "prompt_cache_key" => request.identity.cache_key = Some(text(name, value)?),
        "metadata" => request.identity.metadata = Some(object(name, value)?),
        "parallel_tool_calls" => request.parallel_calls = Some(flag(name, value)?),
        // Nothing is stored, which is also what these ask for.
        "store" if !flag(name, value)? => {}
        "modalities" => modalities(request, value)?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn stops(value: Value<'_>) -> Result<Vec<Text<'_>>, Invalid> {
    if let Some(stop) = value.as_text() {
        return Ok(vec![stop]);
    }
    let all: Option<Vec<_>> = value.elements().map(Value::as_text).collect();
    all.filter(|_| value.kind() == Kind::Array)
        .ok_or_else(|| Invalid::request("stop", "stop must be a string or a list of strings"))
}

fn modalities(request: &mut Request<'_>, value: Value<'_>) -> Result<(), Invalid> {
    for kind in value.elements().filter_map(Value::as_text) {
        match kind.spelt() {
            "text" => {}
            "image" => request.wants_images = true,
            _ => {
                let message = "only text and image can be asked of this model; leave the other modalities out";
                return Err(Invalid::target("modalities", message));
            }
        }
    }
    Ok(())
}

/// Fields that no other format can be given, and that change what is answered.
fn refuse(name: &str) -> Result<(), Invalid> {
    let message = match name {
        "web_search_options" => "this model cannot search the web here; leave web_search_options out",
        "moderation" => "this model's provider offers no moderation of answers; leave moderation out",
        _ => return Ok(()),
    };
    Err(Invalid::target(name, message))
}

/// Fields that depend on one another, or on names that came later.
#[derive(Default)]
struct Rest<'a> {
    messages: Option<Value<'a>>,
    limit: Option<Value<'a>>,
    old_limit: Option<Value<'a>>,
    user: Option<Value<'a>>,
    old_user: Option<Value<'a>>,
    logprobs: Option<Value<'a>>,
    top_logprobs: Option<Value<'a>>,
    tools: Option<Value<'a>>,
    tool_choice: Option<Value<'a>>,
    functions: Option<Value<'a>>,
    function_call: Option<Value<'a>>,
    response_format: Option<Value<'a>>,
}

impl<'a> Rest<'a> {
    fn take(&mut self, name: &str, value: Value<'a>) -> bool {
        let place = match name {
            "messages" => &mut self.messages,
            "max_completion_tokens" => &mut self.limit,
            "max_tokens" => &mut self.old_limit,
            "safety_identifier" => &mut self.user,
            "user" => &mut self.old_user,
            "logprobs" => &mut self.logprobs,
            "top_logprobs" => &mut self.top_logprobs,
            "tools" => &mut self.tools,
            "tool_choice" => &mut self.tool_choice,
            "functions" => &mut self.functions,
            "function_call" => &mut self.function_call,
            "response_format" => &mut self.response_format,
            _ => return false,
        };
        *place = Some(value);
        true
    }

    fn finish(self, request: &mut Request<'a>, envelope: &Envelope) -> Result<(), Invalid> {
        request.output_tokens_max = match (self.limit, self.old_limit) {
            (Some(limit), _) => Some(count("max_completion_tokens", limit)?),
            (None, Some(limit)) => Some(count("max_tokens", limit)?),
            (None, None) => None,
        };
        // Of two names for one thing the newer counts.
        for (newer, older, name) in [(self.limit, self.old_limit, "max_tokens"), (self.user, self.old_user, "user")] {
            if newer.is_some() && older.is_some() {
                ignore(request, name);
            }
        }
        request.identity.end_user = match (self.user, self.old_user) {
            (Some(user), _) => Some(text("safety_identifier", user)?),
            (None, Some(user)) => Some(text("user", user)?),
            (None, None) => None,
        };
        request.logprobs = logprobs(self.logprobs, self.top_logprobs)?;
        if let Some(format) = self.response_format {
            tools_read::read_response_format(format, request)?;
        }
        if let Some(tools) = self.tools {
            tools_read::read_tools(tools, request)?;
        }
        if let Some(choice) = self.tool_choice {
            request.tool_choice = Some(tools_read::read_choice(choice)?);
        }
        if self.functions.is_some() && self.tools.is_none() {
            tools_read::read_functions(self.functions, self.function_call, request)?;
        } else if self.tools.is_some() {
            // Beside their successors the old forms say nothing.
            let told = [("functions", self.functions), ("function_call", self.function_call)];
            for (name, _) in told.iter().filter(|(_, value)| value.is_some()) {
                ignore(request, name);
            }
        }
        let messages = self.messages.ok_or_else(|| Invalid::request("messages", "messages is missing"))?;
        Conversation::read(messages, envelope, request)
    }
}

fn logprobs(wanted: Option<Value<'_>>, top: Option<Value<'_>>) -> Result<Option<Logprobs>, Invalid> {
    let is_wanted = wanted.map(|wanted| flag("logprobs", wanted)).transpose()?.unwrap_or(false);
    let top = top.map(|top| count("top_logprobs", top)).transpose()?;
    match (is_wanted, top) {
        (false, Some(1..)) => {
            Err(Invalid::request("top_logprobs", "top_logprobs needs logprobs to be true; set it, or leave both out"))
        }
        (false, _) => Ok(None),
        (true, top) => Ok(Some(Logprobs { top: top.unwrap_or(0) })),
    }
}

/// A string. Paths are only made for errors: most fields are as they should be.
pub(super) fn text_at(value: Value<'_>, path: impl FnOnce() -> String) -> Result<Text<'_>, Invalid> {
    value.as_text().ok_or_else(|| wrong(path(), "a string"))
}

/// An object.
pub(super) fn object_at(value: Value<'_>, path: impl FnOnce() -> String) -> Result<Value<'_>, Invalid> {
    if value.kind() == Kind::Object { Ok(value) } else { Err(wrong(path(), "an object")) }
}

/// `true` or `false`.
pub(super) fn flag_at(value: Value<'_>, path: impl FnOnce() -> String) -> Result<bool, Invalid> {
    value.as_bool().ok_or_else(|| wrong(path(), "true or false"))
}

fn wrong(path: String, what: &str) -> Invalid {
    let message = format!("{path} must be {what}");
    Invalid::request(path, message)
}

fn text<'a>(path: &str, value: Value<'a>) -> Result<Text<'a>, Invalid> {
    text_at(value, || path.to_owned())
}

fn object<'a>(path: &str, value: Value<'a>) -> Result<Value<'a>, Invalid> {
    object_at(value, || path.to_owned())
}

fn flag(path: &str, value: Value<'_>) -> Result<bool, Invalid> {
    flag_at(value, || path.to_owned())
}

fn count(path: &str, value: Value<'_>) -> Result<u64, Invalid> {
    value.as_u64().ok_or_else(|| Invalid::request(path, format!("{path} must be a whole number that is not negative")))
}
