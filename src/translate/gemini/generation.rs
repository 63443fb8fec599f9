//! `generationConfig`: limits, sampling, stop texts, the form of the answer.
//!
//! Must not know the conversation. Numbers go on as they are spelt.

use super::{Facts, Notes, images, schema, thinking};
use crate::catalog::ModelKind;
use crate::translate::Invalid;
use crate::translate::ir::{Choice, Logprobs, OutputForm, Request, Sampling, Text, Value};
use crate::wire::json::Writer;

/// Stop texts of one request, at most.
const STOPS_MAX: usize = 5;

/// Writes the field, if there is anything to say.
pub(super) fn write(
    request: &Request<'_>,
    facts: &Facts<'_>,
    notes: &mut Notes,
    out: &mut Writer,
) -> Result<(), Invalid> {
    check(request, facts)?;
    // An empty object would do no harm, but says nothing.
    let mut config = Writer::default();
    let mut written = Ok(());
    config.object(|out| {
        write_limits(request, facts, out);
        write_sampling(&request.sampling, facts, notes, out);
        if let Some(Logprobs { top }) = request.logprobs {
            out.name("responseLogprobs").raw("true");
            if top > 0 {
                out.name("logprobs").number(top);
            }
        }
        written = write_form(&request.output_form, facts, out);
        if request.wants_images {
            out.name("responseModalities").raw(r#"["TEXT","IMAGE"]"#);
        }
        if written.is_ok() {
            written = images::write(&request.image_form, notes, out);
        }
        thinking::write(request.reasoning, facts, notes, out);
    });
    written?;
    if request.verbosity.is_some() {
        notes.ignore("verbosity");
    }
    if matches!(request.output_form, OutputForm::Schema { description: Some(_), .. }) {
        notes.ignore("response_format.json_schema.description");
    }
    let config = config.into_bytes();
    if config != b"{}" {
        out.name("generationConfig").raw(&String::from_utf8_lossy(&config));
    }
    Ok(())
}

/// What cannot be said at all.
fn check(request: &Request<'_>, facts: &Facts<'_>) -> Result<(), Invalid> {
    let Request { stop, choices: Choice(choices), sampling, wants_images, output_form, tools, .. } = request;
    let model = facts.model();
    let refuse = |param: &'static str, message: &'static str| Err(Invalid::target(param, message));
    if stop.iter().filter(|text| !text.is_empty()).count() > STOPS_MAX {
        return refuse("stop", "this provider takes at most 5 stop sequences; send fewer");
    }
    if *choices > 1 {
        return refuse("n", "this provider gives one answer here; ask once for each");
    }
    if sampling.logit_bias.is_some_and(|bias| !is_empty_object(bias)) {
        return refuse("logit_bias", "this provider knows no logit bias; leave it out or choose another model");
    }
    if *wants_images && model.kind != ModelKind::Image {
        return refuse("modalities", "this model makes no images; choose an image model");
    }
    let is_structured = !matches!(output_form, OutputForm::Free);
    if is_structured && !model.capabilities.json_schema {
        return refuse("response_format", "this model gives no structured output; choose another model");
    }
    if is_structured && facts.is_before_three() && !tools.is_empty() {
        return refuse("response_format", "this model takes a form of the answer or tools, not both; leave one out");
    }
    Ok(())
}

fn is_empty_object(value: Value<'_>) -> bool {
    value.is_null() || value.members().next().is_none()
}

fn write_limits(request: &Request<'_>, facts: &Facts<'_>, out: &mut Writer) {
    if let Some(tokens) = request.output_tokens_max {
        let most = facts.model().limits.output_tokens_max.unwrap_or(u64::MAX);
        out.name("maxOutputTokens").number(tokens.min(most));
    }
    let stops: Vec<&Text<'_>> = request.stop.iter().filter(|text| !text.is_empty()).collect();
    if !stops.is_empty() {
        out.name("stopSequences").array(|out| stops.iter().for_each(|text| out.text(text)));
    }
}

fn write_sampling(sampling: &Sampling<'_>, facts: &Facts<'_>, notes: &mut Notes, out: &mut Writer) {
    // The bias was refused before.
    let Sampling { temperature, top_p, top_k, frequency_penalty, presence_penalty, seed, logit_bias: _ } = *sampling;
    let is_taken = facts.model().capabilities.sampling_params;
    for (theirs, ours, value) in [
        ("temperature", "temperature", temperature),
        ("top_p", "topP", top_p),
        ("top_k", "topK", top_k),
        ("frequency_penalty", "frequencyPenalty", frequency_penalty.filter(|value| !is_zero(*value))),
        ("presence_penalty", "presencePenalty", presence_penalty.filter(|value| !is_zero(*value))),
    ] {
        match value.filter(|value| !value.is_null()) {
            Some(value) if is_taken => out.name(ours).value(value),
            Some(_) => notes.ignore(theirs),
            None => {}
        }
    }
    match seed.filter(|seed| !seed.is_null()) {
        // Wider numbers are refused there.
        Some(seed) if seed.spelt().parse::<i32>().is_ok() => out.name("seed").value(seed),
        Some(_) => notes.ignore("seed"),
        None => {}
    }
}

fn is_zero(value: Value<'_>) -> bool {
    value.as_f64().is_some_and(|number| number.abs() < f64::EPSILON)
}

fn write_form(form: &OutputForm<'_>, facts: &Facts<'_>, out: &mut Writer) -> Result<(), Invalid> {
    match form {
        OutputForm::Free => Ok(()),
        OutputForm::JsonObject => {
            out.name("responseMimeType").plain("application/json");
            Ok(())
        }
        // It has no name there, and is always kept to.
        OutputForm::Schema { name: _, description: _, schema, strict: _ } => {
            out.name("responseMimeType").plain("application/json");
            if !facts.is_before_three() {
                out.name("responseJsonSchema").value(*schema);
                return Ok(());
            }
            out.name("responseSchema");
            schema::write_plain(*schema, out).map_err(|message| Invalid::target("response_format", message))
        }
    }
}
