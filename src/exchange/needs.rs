//! What a request needs of a model, as figures for the plan.
//!
//! Must not look at more of a body than the chain's models and conditions ask for.

use crate::catalog::Chain;
use crate::catalog::chain::Conditions;
use crate::plan::Needs;
use crate::wire::head::Head;
use crate::wire::text;

/// What a target must be able to do.
pub(super) fn needs(head: &Head, body: &[u8], chain: &Chain) -> Needs {
    // Bytes that are surely fewer than the tokens of the smallest window need not be looked at.
    const BYTES_PER_TOKEN_MIN: u64 = 1;
    let models = || chain.targets.iter().map(|target| &target.model);
    let conditions = || chain.targets.iter().map(|target| &target.step.when);
    let output_tokens = head.max_tokens.unwrap_or_default();
    let body_bytes = u64::try_from(body.len()).unwrap_or(u64::MAX);
    let smallest = models().map(|model| model.limits.prompt_tokens_max()).min().unwrap_or(0);
    let fits_any = body_bytes.saturating_add(output_tokens) <= smallest.saturating_mul(BYTES_PER_TOKEN_MIN);
    let text_bytes = if fits_any && !conditions().any(Conditions::ask_for_length) {
        body_bytes
    } else {
        // Pictures and files are no text: a photo of ten megabytes must not count as millions of tokens.
        text::prompt_text_len(body, head)
    };
    let matters = models().any(|model| !model.capabilities.vision) || conditions().any(|when| when.vision.is_some());
    Needs {
        text_bytes,
        output_tokens,
        vision: matters && has_image(body),
        tools: head.tools.is_some(),
        reasoning: is_reasoning_steered(head, body),
        stop: head.stop.is_some(),
        ..Needs::default()
    }
}

/// Whether the client asks for more reasoning than none.
fn is_reasoning_steered(head: &Head, body: &[u8]) -> bool {
    let effort = head.reasoning_effort.clone().and_then(|range| body.get(range));
    effort.is_some_and(|effort| effort != b"\"none\"")
}

/// Whether a picture stands in the body. Inside a string the quotes would be escaped, so that no text
/// can look like one.
fn has_image(body: &[u8]) -> bool {
    [&b"\"image_url\""[..], b"\"image\""].iter().any(|mark| memchr::memmem::find(body, mark).is_some())
}
