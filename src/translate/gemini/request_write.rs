//! A request in Gemini's format.
//!
//! Must not know where it is sent. Safety settings, cached contents and labels are left alone: what they should be
//! is the operator's to say, at the provider.

use super::{Facts, Notes, contents, generation, tools};
use crate::catalog::Target;
use crate::translate::ir::{Identity, Request, Text};
use crate::translate::{Invalid, Written, turns};
use crate::wire::json::Writer;

/// Room for the text of a request that is not seen in the parts' count: names and brackets.
const BODY_BYTES_START: usize = 4 << 10;

/// The request as `target` takes it.
///
/// # Errors
/// When it says something that the format or the model has no place for.
pub fn write_request(request: &Request<'_>, target: &Target) -> Result<Written, Invalid> {
    let facts = Facts::of(target);
    let mut notes = Notes::default();
    let Request {
        turns: conversation,
        tools: declared,
        tool_choice,
        parallel_calls,
        output_tokens_max: _,
        output_form: _,
        verbosity: _,
        reasoning: _,
        sampling: _,
        stop: _,
        choices: _,
        logprobs: _,
        wants_images: _,
        image_form: _,
        identity,
        service_tier,
        // Another path says it.
        stream: _,
        // It goes on from such a turn.
        is_prefilled: _,
        has_legacy_functions,
        // Told by the reader's side.
        ignored: _,
    } = request;
    let talk = turns::alternating(conversation);
    let mut out = Writer::with_capacity(BODY_BYTES_START);
    let mut written = Ok(());
    out.object(|out| {
        written = contents::write(&talk, &facts, &mut notes, out)
            .and_then(|()| tools::write(declared, tool_choice.as_ref(), &facts, &mut notes, out))
            .and_then(|()| generation::write(request, &facts, &mut notes, out));
        write_tier(service_tier.as_ref(), &mut notes, out);
    });
    written?;
    note_identity(identity, &mut notes);
    // Who knows only the old form of calls never asked for it.
    if *parallel_calls == Some(false) && !declared.is_empty() && !has_legacy_functions {
        notes.ignore("parallel_tool_calls");
    }
    let Notes { ignored, emulated } = notes;
    Ok(Written { body: out.into_bytes(), ignored, emulated, ..Written::default() })
}

/// Tiers have other names in each format.
fn write_tier(tier: Option<&Text<'_>>, notes: &mut Notes, out: &mut Writer) {
    match tier.map(Text::spelt) {
        None | Some("auto") => {}
        Some("default" | "standard" | "standard_only") => out.name("serviceTier").plain("standard"),
        Some("flex") => out.name("serviceTier").plain("flex"),
        Some("priority" | "fast") => out.name("serviceTier").plain("priority"),
        Some(_) => notes.ignore("service_tier"),
    }
}

/// There is no place for who asks.
fn note_identity(identity: &Identity<'_>, notes: &mut Notes) {
    let Identity { end_user, cache_key, metadata } = identity;
    for (is_lost, name) in [
        (end_user.is_some(), "user"),
        (cache_key.is_some(), "prompt_cache_key"),
        (metadata.is_some_and(|pairs| pairs.members().next().is_some()), "metadata"),
    ] {
        if is_lost {
            notes.ignore(name);
        }
    }
}
