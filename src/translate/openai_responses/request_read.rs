//! A client's request → what it says.
//!
//! Must not know which target will take it. What only a Responses provider can do (stored conversations, prompts
//! by reference) is a fault of the target: another one of the plan may be such a provider and take the bytes as
//! they are.

use std::borrow::Cow;

use crate::translate::Invalid;
use crate::translate::envelope::Envelope;
use crate::translate::ir::{
    Effort, Logprobs, OutputForm, Part, PartKind, Reasoning, Request, Role, Shown, Text, Thinking, Turn, Value,
};
use crate::wire::json::Kind;

use super::{input_read, tools};

/// Names of left out fields that are kept: they go into a header.
const IGNORED_MAX: usize = 32;
/// Includes that ask for something that is told without being asked for, or for built-in tools' details.
const LOGPROBS_INCLUDE: &str = "message.output_text.logprobs";
const ENCRYPTED_INCLUDE: &str = "reasoning.encrypted_content";

/// Reads a request.
///
/// # Errors
/// Names the field that makes no sense, or that needs a provider of this format.
pub fn read_request<'a>(body: Value<'a>, envelope: &Envelope) -> Result<Request<'a>, Invalid> {
    if body.kind() != Kind::Object {
        return Err(Invalid::request("", "the body must be a JSON object"));
    }
    let mut reader = Reader::default();
    for (name, value) in body.members() {
        if !value.is_null() {
            reader.member(&name, value)?;
        }
    }
    reader.finish(envelope)
}

/// What was read by then, with what has to wait for other members.
#[derive(Default)]
struct Reader<'a> {
    request: Request<'a>,
    instructions: Option<Value<'a>>,
    input: Option<Value<'a>>,
    user: Option<Text<'a>>,
    top_logprobs: Option<u64>,
    wants_logprobs: bool,
}

impl<'a> Reader<'a> {
    fn member(&mut self, name: &str, value: Value<'a>) -> Result<(), Invalid> {
        let request = &mut self.request;
        match name {
            "model" => {}
            // No frame is padded here, whatever is asked.
            "stream_options" => {
                let members = object_of(value, "stream_options")?.members().map(|(member, _)| member);
                for member in members.filter(|member| !matches!(&**member, "include_obfuscation")) {
                    ignore(&mut request.ignored, || format!("stream_options.{member}").into());
                }
            }
            "input" => self.input = Some(value),
            "instructions" => self.instructions = Some(value),
            "stream" => request.stream = bool_of(value, "stream")?,
            "max_output_tokens" => request.output_tokens_max = Some(count_of(value, "max_output_tokens")?),
            "tools" => request.tools = tools::read(value, &mut request.ignored)?,
            "tool_choice" => request.tool_choice = Some(tools::read_choice(value)?),
            "parallel_tool_calls" => request.parallel_calls = Some(bool_of(value, "parallel_tool_calls")?),
            "temperature" => request.sampling.temperature = Some(number_of(value, "temperature")?),
            "top_p" => request.sampling.top_p = Some(number_of(value, "top_p")?),
            "text" => self.text(value)?,
            "reasoning" => self.reasoning(value)?,
            "include" => self.include(value)?,
            "top_logprobs" => self.top_logprobs = Some(count_of(value, "top_logprobs")?),
            "metadata" => request.identity.metadata = Some(object_of(value, "metadata")?),
            "prompt_cache_key" => request.identity.cache_key = Some(text_of(value, "prompt_cache_key")?),
            "safety_identifier" => request.identity.end_user = Some(text_of(value, "safety_identifier")?),
            "user" => self.user = Some(text_of(value, "user")?),
            "service_tier" => request.service_tier = Some(text_of(value, "service_tier")?),
            // Nothing is stored either way; who asked for it is told.
            "store" => {
                if bool_of(value, "store")? {
                    ignore(&mut request.ignored, || "store".into());
                }
            }
            _ => self.refused_or_ignored(name, value)?,
        }
        Ok(())
    }

    /// Members without a place in a common request.
    fn refused_or_ignored(&mut self, name: &str, value: Value<'a>) -> Result<(), Invalid> {
        let message = match name {
            "previous_response_id" => {
                "answers are not stored here; send the conversation's items in `input` instead of previous_response_id"
            }
            "conversation" => "conversations are not stored here; send the conversation's items in `input`",
            "prompt" => "prompts are not stored here; send the prompt's text in `instructions` or `input`",
            "background" if value.as_bool() == Some(false) => return Ok(()),
            "background" => {
                return Err(Invalid::request(name, "answers are not made in the background; leave it out, or stream"));
            }
            "truncation" if value.as_text().is_some_and(|text| text.is("disabled")) => return Ok(()),
            "truncation" => "prompts are not cut here; send `disabled` and shorten the input when it is too long",
            _ => {
                ignore(&mut self.request.ignored, || name.to_owned().into());
                return Ok(());
            }
        };
        Err(Invalid::target(name, message))
    }

    fn text(&mut self, value: Value<'a>) -> Result<(), Invalid> {
        for (name, value) in object_of(value, "text")?.members().filter(|(_, value)| !value.is_null()) {
            match &*name {
                "format" => self.request.output_form = output_form(value)?,
                "verbosity" => self.request.verbosity = Some(text_of(value, "text.verbosity")?),
                _ => ignore(&mut self.request.ignored, || format!("text.{name}").into()),
            }
        }
        Ok(())
    }

    fn reasoning(&mut self, value: Value<'a>) -> Result<(), Invalid> {
        let mut reasoning = Reasoning::default();
        for (name, value) in object_of(value, "reasoning")?.members().filter(|(_, value)| !value.is_null()) {
            match &*name {
                "effort" => {
                    let effort = text_of(value, "reasoning.effort")?;
                    let known = Effort::by_name(&effort.to_plain()).ok_or_else(|| {
                        let known = Effort::NAMES.map(|(name, _)| name).join(", ");
                        Invalid::request("reasoning.effort", format!("must be one of {known}"))
                    })?;
                    reasoning.effort = Some(known);
                    reasoning.thinking = (known == Effort::None).then_some(Thinking::Off);
                }
                "summary" | "generate_summary" => {
                    let summary = text_of(value, "reasoning.summary")?;
                    reasoning.shown = Some(match summary.spelt() {
                        "auto" => Shown::Auto,
                        "concise" => Shown::Concise,
                        "detailed" => Shown::Detailed,
                        _ => {
                            let message = "must be one of auto, concise, detailed";
                            return Err(Invalid::request("reasoning.summary", message));
                        }
                    });
                }
                _ => ignore(&mut self.request.ignored, || format!("reasoning.{name}").into()),
            }
        }
        self.request.reasoning = reasoning;
        Ok(())
    }

    fn include(&mut self, value: Value<'a>) -> Result<(), Invalid> {
        for (element, at) in array_of(value, "include")?.elements().zip(0_usize..) {
            let place = || format!("include[{at}]");
            let name = element.as_text().ok_or_else(|| Invalid::request(place(), "must be a string"))?;
            if name.is(LOGPROBS_INCLUDE) {
                self.wants_logprobs = true;
            } else if !name.is(ENCRYPTED_INCLUDE) {
                ignore(&mut self.request.ignored, || place().into());
            }
        }
        Ok(())
    }

    fn finish(self, envelope: &Envelope) -> Result<Request<'a>, Invalid> {
        let Self { mut request, instructions, input, user, top_logprobs, wants_logprobs } = self;
        if let Some(instructions) = instructions {
            let text = text_of(instructions, "instructions")?;
            if !text.is_empty() {
                let parts = vec![Part::from(PartKind::Text(text))];
                request.turns.push(Turn { role: Role::System, parts, name: None, at: 0 });
            }
        }
        let input = input.ok_or_else(|| Invalid::request("input", "is missing; send a string or a list of items"))?;
        input_read::read(input, envelope, &mut request)?;
        if request.identity.end_user.is_some() && user.is_some() {
            ignore(&mut request.ignored, || "user".into());
        }
        request.identity.end_user = request.identity.end_user.or(user);
        let top = top_logprobs.unwrap_or(0);
        request.logprobs = (wants_logprobs || top > 0).then_some(Logprobs { top });
        Ok(request)
    }
}

fn output_form(value: Value<'_>) -> Result<OutputForm<'_>, Invalid> {
    const PLACE: &str = "text.format";
    let (mut kind, mut name, mut description, mut schema, mut strict) = (None, None, None, None, None);
    for (member, value) in object_of(value, PLACE)?.members().filter(|(_, value)| !value.is_null()) {
        match &*member {
            "type" => kind = Some(text_of(value, "text.format.type")?),
            "name" => name = Some(text_of(value, "text.format.name")?),
            "description" => description = Some(text_of(value, "text.format.description")?),
            "schema" => schema = Some(object_of(value, "text.format.schema")?),
            "strict" => strict = Some(bool_of(value, "text.format.strict")?),
            _ => return Err(Invalid::request(format!("{PLACE}.{member}"), "is not known; leave it out")),
        }
    }
    match kind.as_ref().map(Text::spelt) {
        Some("text") => Ok(OutputForm::Free),
        Some("json_object") => Ok(OutputForm::JsonObject),
        Some("json_schema") => {
            let schema = schema.ok_or_else(|| Invalid::request("text.format.schema", "is missing"))?;
            Ok(OutputForm::Schema { name, description, schema, strict })
        }
        Some(_) | None => Err(Invalid::request("text.format.type", "must be one of text, json_object, json_schema")),
    }
}

/// Keeps the name of a field that is left out.
pub(super) fn ignore(ignored: &mut Vec<Cow<'static, str>>, name: impl FnOnce() -> Cow<'static, str>) {
    if ignored.len() < IGNORED_MAX {
        ignored.push(name());
    }
}

pub(super) fn text_of<'a>(value: Value<'a>, place: &str) -> Result<Text<'a>, Invalid> {
    value.as_text().ok_or_else(|| Invalid::request(place, "must be a string"))
}

pub(super) fn bool_of(value: Value<'_>, place: &str) -> Result<bool, Invalid> {
    value.as_bool().ok_or_else(|| Invalid::request(place, "must be true or false"))
}

pub(super) fn object_of<'a>(value: Value<'a>, place: &str) -> Result<Value<'a>, Invalid> {
    if value.kind() == Kind::Object { Ok(value) } else { Err(Invalid::request(place, "must be an object")) }
}

pub(super) fn array_of<'a>(value: Value<'a>, place: &str) -> Result<Value<'a>, Invalid> {
    if value.kind() == Kind::Array { Ok(value) } else { Err(Invalid::request(place, "must be a list")) }
}

fn count_of(value: Value<'_>, place: &str) -> Result<u64, Invalid> {
    value.as_u64().ok_or_else(|| Invalid::request(place, "must be a whole number that is not negative"))
}

fn number_of<'a>(value: Value<'a>, place: &str) -> Result<Value<'a>, Invalid> {
    if value.kind() == Kind::Number { Ok(value) } else { Err(Invalid::request(place, "must be a number")) }
}
