//! What a client asks for → a request in this format.
//!
//! Must not know who asks, nor in which format. Nothing is stored at the provider, so thoughts are asked for in
//! their encrypted form wherever the model thinks.

use std::borrow::Cow;

use crate::catalog::Target;
use crate::catalog::provider::Dialect;
use crate::catalog::thinking::ThinkingControl;
use crate::translate::ir::{
    Choice, Effort, Identity, Logprobs, OutputForm, Reasoning, Request, Sampling, Shown, Text, Value,
};
use crate::translate::{Invalid, Written, effort};
use crate::wire::json::Writer;

use super::{input_write, tools};

/// The service takes no smaller limit.
const OUTPUT_TOKENS_MIN: u64 = 16;
/// The tiers that the service takes.
const TIERS: [&str; 7] = ["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"];

/// Writes a request.
///
/// # Errors
/// Names what the format or the model has no place for.
pub fn write_request(request: &Request<'_>, target: &Target) -> Result<Written, Invalid> {
    refuse(request)?;
    // The words of a prefill are history here: the answer does not go on from them.
    let mut ignored: Vec<Cow<'static, str>> = request.prefill().map(Cow::Owned).into_iter().collect();
    ignored.extend(input_write::lost_names(&request.turns));
    let mut writer = Writer::with_capacity(estimate(request));
    let mut outcome = Ok(());
    writer.object(|w| {
        w.name("model").plain(&target.model.provider_model_id);
        outcome = input_write::write(w, request, target)
            .and_then(|()| tools::write(w, request, target))
            .and_then(|()| output(w, request, target, &mut ignored));
        reasoning(w, request.reasoning, target, &mut ignored);
        sampling(w, request.sampling, target, &mut ignored);
        identity(w, &request.identity, target);
        tier(w, request.service_tier.as_ref(), &mut ignored);
        include(w, request, target);
        w.name("store").raw("false");
        if request.stream {
            w.name("stream").raw("true");
            if target.provider.dialect == Dialect::Openai {
                // Padding against who measures the lengths of frames: they are cut anew here anyway.
                w.name("stream_options").raw(r#"{"include_obfuscation":false}"#);
            }
        }
    });
    outcome?;
    Ok(Written { body: writer.into_bytes(), ignored, ..Written::default() })
}

/// Room for the body, so that it need not move while it grows.
fn estimate(request: &Request<'_>) -> usize {
    const HEAD_BYTES: usize = 1024;
    const TURN_BYTES: usize = 512;
    HEAD_BYTES + (request.turns.len() + request.tools.len()) * TURN_BYTES
}

/// What cannot be said at all, and would be lost in silence.
fn refuse(request: &Request<'_>) -> Result<(), Invalid> {
    if request.choices != Choice(1) {
        return Err(Invalid::target("n", "the model gives one answer at a time; leave n out or set it to 1"));
    }
    if !request.stop.is_empty() {
        return Err(Invalid::target("stop", "the model knows no stop sequences; leave them out"));
    }
    if request.sampling.logit_bias.is_some_and(|bias| bias.members().next().is_some()) {
        return Err(Invalid::target("logit_bias", "the model knows no biases; leave them out"));
    }
    if request.wants_images {
        return Err(Invalid::target("modalities", "the model gives no pictures; ask for text"));
    }
    Ok(())
}

/// How long the answer may be, and what its text must look like.
fn output(
    w: &mut Writer,
    request: &Request<'_>,
    target: &Target,
    ignored: &mut Vec<Cow<'static, str>>,
) -> Result<(), Invalid> {
    if let Some(asked) = request.output_tokens_max {
        let most = target.model.limits.output_tokens_max.unwrap_or(u64::MAX);
        if asked < OUTPUT_TOKENS_MIN {
            ignored.push("max_tokens".into());
        }
        w.name("max_output_tokens").number(asked.min(most).max(OUTPUT_TOKENS_MIN));
    }
    let is_free = matches!(request.output_form, OutputForm::Free);
    if matches!(request.output_form, OutputForm::Schema { .. }) && !target.model.capabilities.json_schema {
        return Err(Invalid::target("response_format", "the model cannot be made to follow a schema"));
    }
    if is_free && request.verbosity.is_none() {
        return Ok(());
    }
    w.name("text").object(|w| {
        if !is_free {
            w.name("format").object(|w| output_form(w, &request.output_form));
        }
        if let Some(verbosity) = &request.verbosity {
            w.name("verbosity").text(verbosity);
        }
    });
    Ok(())
}

fn output_form(w: &mut Writer, form: &OutputForm<'_>) {
    match form {
        OutputForm::Free => w.name("type").raw(r#""text""#),
        OutputForm::JsonObject => w.name("type").raw(r#""json_object""#),
        OutputForm::Schema { name, description, schema, strict } => {
            w.name("type").raw(r#""json_schema""#);
            match name {
                Some(name) => w.name("name").text(name),
                None => w.name("name").raw(r#""output""#),
            }
            if let Some(description) = description {
                w.name("description").text(description);
            }
            w.name("schema").value(*schema);
            if let Some(strict) = strict {
                w.name("strict").bool(*strict);
            }
        }
    }
}

/// Effort and summary, as far as the model can be told.
fn reasoning(w: &mut Writer, asked: Reasoning, target: &Target, ignored: &mut Vec<Cow<'static, str>>) {
    let effort = effort::asked(asked).and_then(|asked| {
        let known = effort_for(asked, target);
        // A model that does not think needs no telling.
        if known.is_none() && asked != Effort::None {
            ignored.push("reasoning_effort".into());
        }
        known
    });
    let summary = match asked.shown {
        _ if !target.model.capabilities.reasoning => None,
        Some(Shown::Auto) => Some("auto"),
        Some(Shown::Concise) => Some("concise"),
        Some(Shown::Detailed) => Some("detailed"),
        Some(Shown::Omitted) | None => None,
    };
    if effort.is_none() && summary.is_none() {
        return;
    }
    w.name("reasoning").object(|w| {
        if let Some(effort) = effort {
            w.name("effort").text(&Text::spelt_as(effort.name()));
        }
        if let Some(summary) = summary {
            w.name("summary").text(&Text::spelt_as(summary));
        }
    });
}

/// The nearest effort that the model knows; `None` where it cannot be told.
fn effort_for(asked: Effort, target: &Target) -> Option<Effort> {
    let thinking = &target.model.thinking;
    if !target.model.capabilities.reasoning || thinking.control == ThinkingControl::Always {
        return None;
    }
    if asked == Effort::None && thinking.can_disable {
        return Some(Effort::None);
    }
    let levels: &[Effort] = &thinking.efforts;
    if asked == Effort::None {
        return levels.iter().copied().find(|level| *level != Effort::None);
    }
    let unchecked = (thinking.control != ThinkingControl::None).then_some(asked);
    if levels.is_empty() { unchecked } else { asked.nearest_of(levels) }
}

fn sampling(w: &mut Writer, sampling: Sampling<'_>, target: &Target, ignored: &mut Vec<Cow<'static, str>>) {
    let Sampling { temperature, top_p, top_k, frequency_penalty, presence_penalty, seed, logit_bias: _ } = sampling;
    for (name, value) in [("temperature", temperature), ("top_p", top_p)] {
        match value {
            Some(value) if target.model.capabilities.sampling_params => w.name(name).value(value),
            Some(_) => ignored.push(name.into()),
            None => {}
        }
    }
    let is_zero = |value: Value<'_>| value.as_f64().is_some_and(|number| number.abs() < f64::EPSILON);
    let without_place = [
        ("top_k", top_k),
        ("frequency_penalty", frequency_penalty.filter(|value| !is_zero(*value))),
        ("presence_penalty", presence_penalty.filter(|value| !is_zero(*value))),
        ("seed", seed),
    ];
    ignored.extend(without_place.iter().filter(|(_, value)| value.is_some()).map(|(name, _)| Cow::Borrowed(*name)));
}

fn identity(w: &mut Writer, identity: &Identity<'_>, target: &Target) {
    let Identity { end_user, cache_key, metadata } = identity;
    if let Some(user) = end_user {
        // xAI knows the older name only.
        let name = if target.provider.dialect == Dialect::Xai { "user" } else { "safety_identifier" };
        w.name(name).text(user);
    }
    if let Some(key) = cache_key {
        w.name("prompt_cache_key").text(key);
    }
    if let Some(metadata) = metadata {
        w.name("metadata").value(*metadata);
    }
}

fn tier(w: &mut Writer, tier: Option<&Text<'_>>, ignored: &mut Vec<Cow<'static, str>>) {
    match tier {
        Some(tier) if TIERS.contains(&tier.spelt()) => w.name("service_tier").text(tier),
        Some(tier) if tier.is("standard_only") || tier.is("standard") => w.name("service_tier").raw(r#""default""#),
        Some(_) => ignored.push("service_tier".into()),
        None => {}
    }
}

fn include(w: &mut Writer, request: &Request<'_>, target: &Target) {
    let thinks = target.model.capabilities.reasoning;
    if let Some(Logprobs { top }) = request.logprobs {
        w.name("top_logprobs").number(top);
    }
    if thinks || request.logprobs.is_some() {
        w.name("include").array(|w| {
            if thinks {
                w.raw(r#""reasoning.encrypted_content""#);
            }
            if request.logprobs.is_some() {
                w.raw(r#""message.output_text.logprobs""#);
            }
        });
    }
}
