//! A request for a picture at a provider of this format.
//!
//! Must not know where it is sent. Only the user's last words go: the endpoint knows no conversation.

use std::borrow::Cow;

use crate::catalog::Target;
use crate::catalog::provider::Dialect;
use crate::translate::ir::{Choice, OutputForm, Part, PartKind, Request, Role, Turn};
use crate::translate::{Invalid, Written};
use crate::wire::json::Writer;

/// The request as `target` takes it.
///
/// # Errors
/// When it says something that the endpoint has no place for.
pub fn write_request(request: &Request<'_>, target: &Target) -> Result<Written, Invalid> {
    check(request)?;
    let last = request.turns.iter().rev().find(|turn| turn.role == Role::User);
    let prompt = last.map(words).transpose()?.unwrap_or_default();
    if prompt.trim().is_empty() {
        return Err(Invalid::request("messages", "the last message of the user must say what the image shall show"));
    }
    let mut ignored = unheard(request);
    let dialect = target.provider.dialect;
    let is_makers = matches!(dialect, Dialect::Openai | Dialect::Azure);
    let mut out = Writer::with_capacity(prompt.len() + 256);
    out.object(|out| {
        out.name("model").plain(&target.model.provider_model_id);
        out.name("prompt").plain(&prompt);
        if is_makers {
            let form = &request.image_form;
            let wishes = [
                ("size", &form.size),
                ("quality", &form.quality),
                ("background", &form.background),
                ("output_format", &form.output_format),
                ("user", &request.identity.end_user),
            ];
            for (name, wish) in wishes {
                if let Some(wish) = wish {
                    out.name(name).text(wish);
                }
            }
        } else {
            // The maker's own newer models answer so unasked, and refuse to be asked.
            out.name("response_format").plain("b64_json");
        }
    });
    if !is_makers && request.identity.end_user.is_some() {
        ignored.push("user".into());
    }
    Ok(Written { body: out.into_bytes(), ignored, ..Written::default() })
}

/// What cannot be said at all.
fn check(request: &Request<'_>) -> Result<(), Invalid> {
    let Request { tools, choices: Choice(choices), output_form, .. } = request;
    if !tools.is_empty() {
        return Err(Invalid::target("tools", "this model makes images and calls no tools; leave them out"));
    }
    if *choices > 1 {
        return Err(Invalid::target("n", "this provider gives one answer here; ask once for each"));
    }
    if !matches!(output_form, OutputForm::Free) {
        return Err(Invalid::target("response_format", "this model answers with images; leave it out"));
    }
    Ok(())
}

/// The texts of a turn, a line each.
fn words(turn: &Turn<'_>) -> Result<String, Invalid> {
    let mut words = String::new();
    for Part { kind, .. } in &turn.parts {
        match kind {
            PartKind::Text(text) => {
                if !words.is_empty() {
                    words.push('\n');
                }
                words.push_str(&text.to_plain());
            }
            PartKind::Image(_)
            | PartKind::File(_)
            | PartKind::Audio(_)
            | PartKind::Call(_)
            | PartKind::Result(_)
            | PartKind::Thought(_)
            | PartKind::Refusal(_) => {
                let at = format!("messages[{}].content", turn.at);
                return Err(Invalid::target(at, "this model draws from words alone; leave out all but text"));
            }
        }
    }
    Ok(words)
}

/// What is left out, by Chat's names.
fn unheard(request: &Request<'_>) -> Vec<Cow<'static, str>> {
    let sampling = &request.sampling;
    let reasoning = &request.reasoning;
    [
        ("messages", request.turns.len() > 1),
        ("max_tokens", request.output_tokens_max.is_some()),
        ("verbosity", request.verbosity.is_some()),
        ("reasoning_effort", reasoning.effort.is_some() || reasoning.thinking.is_some()),
        ("temperature", sampling.temperature.is_some()),
        ("top_p", sampling.top_p.is_some()),
        ("top_k", sampling.top_k.is_some()),
        ("frequency_penalty", sampling.frequency_penalty.is_some()),
        ("presence_penalty", sampling.presence_penalty.is_some()),
        ("seed", sampling.seed.is_some()),
        ("logit_bias", sampling.logit_bias.is_some()),
        ("stop", !request.stop.is_empty()),
        ("logprobs", request.logprobs.is_some()),
        ("service_tier", request.service_tier.is_some()),
    ]
    .into_iter()
    .filter_map(|(name, is_said)| is_said.then_some(Cow::Borrowed(name)))
    .collect()
}
