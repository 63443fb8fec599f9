//! Where a client of Chat carries seals: `data` of our entries in `reasoning_details`, and `extra_content.flux` of calls.
//!
//! Must not know what is in them. The words of another model's sealed thoughts go with them; a host that wants the
//! field with every call gets it empty.

use std::ops::Range;

use super::dialect::{self, Replay};
use super::thoughts_read::OURS;
use crate::translate::ir::{BlobKind, Value};
use crate::translate::unseal::{Edits, Fate, Found};
use crate::wire::head::Head;
use crate::wire::leap::Malformed;

/// The fields for the words of thoughts.
const WORDS: [&[u8]; 2] = [b"reasoning_content", b"reasoning"];

/// Opens or cuts out all seals.
///
/// # Errors
/// When the text cannot be followed.
pub(in crate::translate) fn unseal(edits: &mut Edits<'_>, head: &Head) -> Result<(), Malformed> {
    let Some(messages) = &head.messages else { return Ok(()) };
    edits.sieve(messages, &mut |edits, message| {
        if edits.may_hold_seal(&message.value) {
            unseal_message(edits, &message.value)?;
        }
        Ok(Fate::Stays)
    })?;
    Ok(())
}

fn unseal_message(edits: &mut Edits<'_>, message: &Range<usize>) -> Result<(), Malformed> {
    let [details, calls] = edits.members(message, ["reasoning_details", "tool_calls"])?;
    let words = words_left(edits, details.as_ref(), calls.is_some())?;
    edits.sieve(message, &mut |edits, member| {
        match member.name {
            b"reasoning_details" => {
                let left = edits.sieve(&member.value, &mut |edits, entry| unseal_entry(edits, &entry.value))?;
                return Ok(left.fate());
            }
            b"tool_calls" => {
                edits.sieve(&member.value, &mut |edits, call| unseal_call(edits, &call.value))?;
            }
            name if WORDS.contains(&name) => match words {
                Words::Stay => {}
                Words::Empty => edits.put(&member.value, "\"\"".to_owned()),
                Words::Go => return Ok(Fate::Goes),
            },
            _ => {}
        }
        Ok(Fate::Stays)
    })?;
    Ok(())
}

/// What becomes of the words of a message's thoughts.
#[derive(Clone, Copy)]
enum Words {
    Stay,
    Empty,
    Go,
}

/// The words stay where they are nobody's we know of, or where the target made one of the thoughts.
fn words_left(edits: &mut Edits<'_>, details: Option<&Range<usize>>, has_calls: bool) -> Result<Words, Malformed> {
    let (mut of_target, mut of_others) = (false, false);
    if let Some(details) = details {
        edits.sieve(details, &mut |edits, entry| {
            let [format, data, characters] = edits.members(&entry.value, ["format", "data", "characters"])?;
            if edits.says(format.as_ref(), OURS) && edits.number(characters.as_ref()).is_some_and(|count| count > 0) {
                match edits.look(data.as_ref()) {
                    Found::Own(_) => of_target = true,
                    Found::Foreign => of_others = true,
                    Found::Bare => {}
                }
            }
            Ok(Fate::Stays)
        })?;
    }
    let wants_field = matches!(dialect::host(edits.target().provider.dialect).replay, Replay::WithCalls(_));
    Ok(match (of_others && !of_target, wants_field && has_calls) {
        (false, _) => Words::Stay,
        (true, true) => Words::Empty,
        (true, false) => Words::Go,
    })
}

/// An entry of ours becomes the entries that it was made of.
fn unseal_entry(edits: &mut Edits<'_>, entry: &Range<usize>) -> Result<Fate, Malformed> {
    let [format, data] = edits.members(entry, ["format", "data"])?;
    if !edits.says(format.as_ref(), OURS) {
        return Ok(Fate::Stays);
    }
    match edits.look_for(BlobKind::ChatDetails, data.as_ref()) {
        Found::Bare => Ok(Fate::Stays),
        Found::Foreign => Ok(Fate::Goes),
        Found::Own(blob) => {
            let list = blob.token.to_plain();
            let list = Value::parse(list.as_bytes())?;
            let entries: Vec<&str> = list.elements().map(Value::spelt).collect();
            if entries.is_empty() {
                return Ok(Fate::Goes);
            }
            edits.put(entry, entries.join(","));
            Ok(Fate::Stays)
        }
    }
}

/// No host of this format takes what stands on a call: it is Gemini's.
fn unseal_call(edits: &mut Edits<'_>, call: &Range<usize>) -> Result<Fate, Malformed> {
    edits.sieve(call, &mut |edits, member| {
        if member.name != b"extra_content" {
            return Ok(Fate::Stays);
        }
        let left = edits.sieve(&member.value, &mut |edits, host| {
            let [thought] = edits.members(&host.value, ["thought"])?;
            let is_seal = host.name == OURS.as_bytes() && edits.look(thought.as_ref()) != Found::Bare;
            Ok(if is_seal { Fate::Goes } else { Fate::Stays })
        })?;
        Ok(left.fate())
    })?;
    Ok(Fate::Stays)
}
