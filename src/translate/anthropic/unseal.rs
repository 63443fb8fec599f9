//! Where a client of Messages carries seals: `signature` of `thinking` and `data` of `redacted_thinking`.
//!
//! Must not know what is in them. The service takes no thought without its own signature, so that a thought goes
//! whole, and a message that held nothing else with it.

use std::ops::Range;

use crate::translate::ir::BlobKind;
use crate::translate::unseal::{Edits, Fate, Found, Left};
use crate::wire::head::Head;
use crate::wire::leap::Malformed;

/// The field that is told to be left out where thoughts were lost that must be there.
const THINKING: &str = "thinking";

/// Opens or cuts out all seals. What had to be left out with them, if anything had.
///
/// # Errors
/// When the text cannot be followed.
pub(in crate::translate) fn unseal(edits: &mut Edits<'_>, head: &Head) -> Result<Option<&'static str>, Malformed> {
    let Some(messages) = &head.messages else { return Ok(None) };
    let mut has_lost = false;
    edits.sieve(messages, &mut |edits, message| {
        let [role, content] = edits.members(&message.value, ["role", "content"])?;
        let is_assistant = edits.says(role.as_ref(), "assistant");
        has_lost &= !is_assistant;
        let Some(content) = content.filter(|content| edits.may_hold_seal(content)) else { return Ok(Fate::Stays) };
        let (left, turn) = unseal_blocks(edits, &content)?;
        has_lost |= is_assistant && left.gone > 0 && turn.calls && !turn.begins_with_thought;
        Ok(left.fate())
    })?;
    stop_thinking(edits, head.thinking.as_ref().filter(|_| has_lost))
}

/// What is left of a turn.
#[derive(Default)]
struct Turn {
    begins_with_thought: bool,
    calls: bool,
}

fn unseal_blocks(edits: &mut Edits<'_>, content: &Range<usize>) -> Result<(Left, Turn), Malformed> {
    let (mut turn, mut is_first) = (Turn::default(), true);
    let left = edits.sieve(content, &mut |edits, block| {
        let [kind, signature, data] = edits.members(&block.value, ["type", "signature", "data"])?;
        let is = |name| edits.says(kind.as_ref(), name);
        let (is_thinking, is_redacted) = (is("thinking"), is("redacted_thinking"));
        turn.calls |= is("tool_use");
        let (place, kind) = match (is_thinking, is_redacted) {
            (true, _) => (signature, BlobKind::AnthropicSignature),
            (_, true) => (data, BlobKind::AnthropicRedacted),
            (false, false) => (None, BlobKind::AnthropicSignature),
        };
        match (edits.look_for(kind, place.as_ref()), place) {
            (Found::Foreign, _) => return Ok(Fate::Goes),
            (Found::Own(blob), Some(place)) => edits.put_text(&place, &blob.token),
            (Found::Own(_) | Found::Bare, _) => {}
        }
        turn.begins_with_thought |= is_first && (is_thinking || is_redacted);
        is_first = false;
        Ok(Fate::Stays)
    })?;
    Ok((left, turn))
}

/// Where thinking is measured out, a chain of calls must begin with its thought. Without it the service takes the
/// chain only if it is not to think.
fn stop_thinking(edits: &mut Edits<'_>, thinking: Option<&Range<usize>>) -> Result<Option<&'static str>, Malformed> {
    let Some(thinking) = thinking else { return Ok(None) };
    let [kind] = edits.members(thinking, ["type"])?;
    if !edits.says(kind.as_ref(), "enabled") {
        return Ok(None);
    }
    edits.put(thinking, r#"{"type":"disabled"}"#.to_owned());
    Ok(Some(THINKING))
}
