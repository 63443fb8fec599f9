//! The common representation of a request → Anthropic's format.
//!
//! Must not know the client's format. Order of writing is the order of the prompt (tools, instructions, messages),
//! in which cache marks are counted.

use std::borrow::Cow;

use super::blocks_write::{self, Pen};
use super::marks::Marks;
use super::place::Ignored;
use super::suits;
use super::thinking::{self, Mode, Obstacle, Plan};
use super::tools_write::{self, Toolbox};
use crate::catalog::Target;
use crate::translate::ir::{Identity, Media, OutputForm, Part, PartKind, Request, Sampling, Text, ToolKind, Value};
use crate::translate::turns::{self, Alternating, Message, Speaker};
use crate::translate::{Invalid, Written};
use crate::wire::json::Writer;

/// Asks for what Anthropic has no switch for.
const JSON_LINE: &str = "Answer with one JSON object and nothing else: no words around it, no code fence.";
/// What the user says where the conversation ends with the assistant and the model only answers users.
const GO_ON: &str = "Continue.";
/// What is said of a picture that the assistant had made.
const FROM_ANSWER: &str = "From the assistant's answer:";
/// Room for what stands around the texts of a request.
const FRAME_BYTES: usize = 2_048;

/// Writes a request for a target.
///
/// # Errors
/// When it asks for what the target has no place for; [`Invalid::fault`] says that another may.
pub fn write_request(request: &Request<'_>, target: &Target) -> Result<Written, Invalid> {
    suits::check(request, target)?;
    let model = &*target.model;
    let toolbox = Toolbox::of(request, model)?;
    let mut talk = turns::alternating(&request.turns);
    let mut ignored = Ignored::default();
    talk.ignored.drain(..).for_each(|name| ignored.add(name));
    move_pictures(&mut talk);
    talk.keep(|part| blocks_write::is_written(part, target));
    talk.ignored.drain(..).for_each(|name| ignored.add(name));
    end_with_user(&mut talk, target, &mut ignored);
    name_details(request, &mut ignored);
    let obstacle = obstacle(&toolbox, &talk, target);
    let plan = thinking::plan(request, model, obstacle, &mut ignored);
    name_lost(request, &mut ignored);
    let marks = if model.capabilities.cache_marks { Marks::of(count(&toolbox, &talk, target)) } else { Marks::none() };
    let mut pen = Pen::new(target, marks, ignored);
    let mut w = Writer::with_capacity(size(request));
    w.object(|w| {
        w.name("model").plain(&model.provider_model_id);
        w.name("max_tokens").number(plan.output_tokens_max);
        if request.stream {
            w.name("stream").raw("true");
        }
        toolbox.write(w, &mut pen.marks);
        write_system(request, &talk, &mut pen, w);
        w.name("messages").array(|w| write_messages(&talk, &mut pen, w));
        write_thinking(&plan, w);
        write_output(request, &plan, model.capabilities.json_schema, w);
        write_sampling(&request.sampling, &plan, model.capabilities.sampling_params, &mut pen.ignored, w);
        write_rest(request, &mut pen.ignored, w);
    });
    Ok(Written { body: w.into_bytes(), ignored: pen.ignored.0, emulated: toolbox.emulated(), ..Written::default() })
}

/// Pictures and documents stand in messages of the user only: those of an answer go ahead of what the user says next.
fn move_pictures(talk: &mut Alternating<'_, '_>) {
    let is_shown = |part: &Cow<'_, Part<'_>>| matches!(part.kind, PartKind::Image(_) | PartKind::File(_));
    let mut moved = Vec::new();
    for message in &mut talk.messages {
        if message.speaker == Speaker::Assistant {
            if message.parts.iter().any(is_shown) {
                moved.push(Cow::Owned(Part::from(PartKind::Text(Text::spelt_as(FROM_ANSWER)))));
                moved.extend(message.parts.extract_if(.., |part| is_shown(part)));
            }
        } else if !moved.is_empty() {
            let results = message.parts.iter().take_while(|part| part.kind.as_result().is_some()).count();
            message.parts.splice(results..results, moved.drain(..));
        }
    }
    if let (false, Some(last)) = (moved.is_empty(), talk.messages.last()) {
        let at = last.at;
        talk.messages.push(Message { speaker: Speaker::User, parts: moved, at });
    }
}

/// A conversation that ends with the assistant is gone on from (a prefill) by older models, and refused by newer
/// ones: those get a word of the user, so that history stays history.
fn end_with_user(talk: &mut Alternating<'_, '_>, target: &Target, ignored: &mut Ignored) {
    let go_on = |at| {
        let part = Part::from(PartKind::Text(Text::spelt_as(GO_ON)));
        Message { speaker: Speaker::User, parts: vec![Cow::Owned(part)], at }
    };
    match talk.messages.last_mut() {
        None => {
            ignored.add("messages");
            talk.messages.push(go_on(0));
        }
        Some(last) if last.speaker == Speaker::User => {}
        Some(last) if target.model.capabilities.assistant_prefill => trim_end(last),
        Some(last) => {
            ignored.add(format!("messages[{}].prefill", last.at));
            let at = last.at;
            talk.messages.push(go_on(at));
        }
    }
}

/// Blanks at the end of a prefill are refused.
fn trim_end(message: &mut Message<'_, '_>) {
    let Some(last) = message.parts.last_mut() else { return };
    let Some(text) = last.kind.as_text() else { return };
    let plain = text.to_plain();
    if plain.ends_with(char::is_whitespace) {
        let trimmed = Text::plain(plain.trim_end().to_owned());
        last.to_mut().kind = PartKind::Text(trimmed);
    }
}

fn obstacle(toolbox: &Toolbox<'_, '_>, talk: &Alternating<'_, '_>, target: &Target) -> Option<Obstacle> {
    if toolbox.is_forced() {
        return Some(Obstacle::ForcedChoice);
    }
    let mut messages = talk.messages.iter().rev();
    let last = messages.next()?;
    if last.speaker == Speaker::Assistant {
        return Some(Obstacle::Prefill);
    }
    let has_results = last.parts.iter().any(|part| part.kind.as_result().is_some());
    let calling = messages.next().filter(|_| has_results)?;
    let first = calling.parts.iter().find(|part| blocks_write::is_written(part, target))?;
    (!matches!(first.kind, PartKind::Thought(_))).then_some(Obstacle::LostThought)
}

/// How closely to look at a picture cannot be said; that it is left to the model is what `auto` says.
fn name_details(request: &Request<'_>, ignored: &mut Ignored) {
    for turn in &request.turns {
        for (at, part) in turn.parts.iter().enumerate() {
            if let PartKind::Image(Media { detail: Some(detail), .. }) = &part.kind
                && !detail.is("auto")
            {
                ignored.add(format!("messages[{}].content[{at}].image_url.detail", turn.at));
            }
        }
    }
}

/// Names the hints that Anthropic has no place for.
fn name_lost(request: &Request<'_>, ignored: &mut Ignored) {
    let Sampling { temperature: _, top_p: _, top_k: _, frequency_penalty, presence_penalty, seed, logit_bias: _ } =
        &request.sampling;
    let Identity { end_user: _, cache_key, metadata } = &request.identity;
    let is_set = |penalty: &Option<Value<'_>>| penalty.and_then(Value::as_f64).is_some_and(|value| value.abs() > 0.0);
    let has_description = matches!(request.output_form, OutputForm::Schema { description: Some(_), .. });
    for (is_lost, name) in [
        (has_description, "response_format.json_schema.description"),
        (is_set(frequency_penalty), "frequency_penalty"),
        (is_set(presence_penalty), "presence_penalty"),
        (seed.is_some(), "seed"),
        (request.verbosity.is_some(), "verbosity"),
        (cache_key.is_some(), "prompt_cache_key"),
        (metadata.is_some_and(|pairs| pairs.members().next().is_some()), "metadata"),
    ] {
        if is_lost {
            ignored.add(name);
        }
    }
}

fn count(toolbox: &Toolbox<'_, '_>, talk: &Alternating<'_, '_>, target: &Target) -> usize {
    let instructions = talk.instructions.iter().filter(|part| part.cache.is_some()).count();
    let parts = talk.messages.iter().flat_map(|message| &message.parts);
    toolbox.marks() + instructions + parts.map(|part| blocks_write::marks(part, target)).sum::<usize>()
}

/// A guess that spares the buffer most of its growth.
fn size(request: &Request<'_>) -> usize {
    let text = |part: &Part<'_>| match &part.kind {
        PartKind::Text(text) | PartKind::Thought(text) | PartKind::Refusal(text) => text.spelt().len(),
        PartKind::Call(call) => call.arguments.len(),
        PartKind::Result(result) => {
            result.parts.iter().filter_map(|part| part.kind.as_text()).map(|text| text.spelt().len() + 64).sum()
        }
        PartKind::Image(_) | PartKind::File(_) | PartKind::Audio(_) => 0,
    };
    let parts = request.turns.iter().flat_map(|turn| &turn.parts);
    let tools = request.tools.iter().map(|tool| match &tool.kind {
        ToolKind::Function { schema, .. } => schema.map_or(0, |schema| schema.spelt().len()),
        ToolKind::Custom { .. } | ToolKind::BuiltIn { .. } => 256,
    });
    FRAME_BYTES + parts.map(|part| text(part) + 96).sum::<usize>() + tools.map(|len| len + 256).sum::<usize>()
}

fn write_system(request: &Request<'_>, talk: &Alternating<'_, '_>, pen: &mut Pen<'_>, w: &mut Writer) {
    let wants_json = matches!(request.output_form, OutputForm::JsonObject);
    if wants_json {
        pen.ignored.add("response_format");
    }
    if talk.instructions.is_empty() && !wants_json {
        return;
    }
    w.name("system").array(|w| {
        for part in &talk.instructions {
            if part.kind.as_text().is_some() {
                pen.part(part, w);
            }
        }
        if wants_json {
            pen.part(&Part::from(PartKind::Text(Text::spelt_as(JSON_LINE))), w);
        }
    });
}

fn write_messages(talk: &Alternating<'_, '_>, pen: &mut Pen<'_>, w: &mut Writer) {
    for message in &talk.messages {
        pen.message(message, w);
    }
}

fn write_thinking(plan: &Plan, w: &mut Writer) {
    if plan.mode == Mode::Unsaid {
        return;
    }
    w.name("thinking").object(|w| {
        match plan.mode {
            Mode::Unsaid => {}
            Mode::Off => w.name("type").plain("disabled"),
            Mode::Adaptive => w.name("type").plain("adaptive"),
            Mode::Budget(tokens) => {
                w.name("type").plain("enabled");
                w.name("budget_tokens").number(tokens);
            }
        }
        if let Some(display) = plan.display {
            w.name("display").plain(display);
        }
    });
}

fn write_output(request: &Request<'_>, plan: &Plan, has_schemas: bool, w: &mut Writer) {
    let schema = match &request.output_form {
        OutputForm::Schema { schema, .. } if has_schemas => Some(*schema),
        OutputForm::Schema { .. } | OutputForm::Free | OutputForm::JsonObject => None,
    };
    if schema.is_none() && plan.effort.is_none() {
        return;
    }
    w.name("output_config").object(|w| {
        if let Some(effort) = plan.effort {
            w.name("effort").plain(effort.name());
        }
        if let Some(schema) = schema {
            w.name("format").object(|w| {
                w.name("type").plain("json_schema");
                w.name("schema").value(schema);
            });
        }
    });
}

fn write_sampling(sampling: &Sampling<'_>, plan: &Plan, takes_sampling: bool, ignored: &mut Ignored, w: &mut Writer) {
    let Sampling { temperature, top_p, top_k, .. } = sampling;
    let mut lose = |name, value: Option<Value<'_>>| {
        if value.is_some() {
            ignored.add(name);
        }
    };
    if !takes_sampling || plan.mode.is_on() {
        // A model that thinks draws by itself; 1 is what it draws at.
        let is_one = |value: &Value<'_>| value.as_f64().is_some_and(|value| (value - 1.0).abs() < f64::EPSILON);
        lose("temperature", temperature.filter(|value| !is_one(value)));
        lose("top_p", top_p.filter(|value| !is_one(value)));
        lose("top_k", *top_k);
        return;
    }
    if let Some(value) = temperature {
        if value.as_f64().is_some_and(|value| value > 1.0) {
            lose("temperature", *temperature);
            w.name("temperature").number(1);
        } else {
            w.name("temperature").value(*value);
        }
    }
    match (temperature, top_p) {
        // Newer ones of these models take one of the two.
        (Some(_), _) => lose("top_p", *top_p),
        (None, Some(value)) => w.name("top_p").value(*value),
        (None, None) => {}
    }
    if let Some(value) = top_k {
        w.name("top_k").value(*value);
    }
}

fn write_rest(request: &Request<'_>, ignored: &mut Ignored, w: &mut Writer) {
    let stops: Vec<_> = request.stop.iter().filter(|stop| !stop.is_blank()).collect();
    if stops.len() < request.stop.len() {
        // Anthropic does not stop at blanks.
        ignored.add("stop");
    }
    if !stops.is_empty() {
        w.name("stop_sequences").array(|w| stops.iter().for_each(|stop| w.text(stop)));
    }
    match &request.identity.end_user {
        // No names and addresses: that is Anthropic's rule too.
        Some(user) if user.spelt().contains('@') => ignored.add("user"),
        Some(user) => w.name("metadata").object(|w| w.name("user_id").text(user)),
        None => {}
    }
    if let Some(tier) = request.service_tier.as_ref().and_then(|tier| tools_write::service_tier(tier, ignored)) {
        w.name("service_tier").plain(tier);
    }
}
