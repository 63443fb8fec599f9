//! The conversation: `systemInstruction` and `contents`.
//!
//! Must not know tools or how the answer is drawn. Results of one step stand alone in a content, as many as there
//! were calls and in the order of the calls; what the user adds comes in a content of its own after them.

use std::borrow::Cow;

use super::signatures::{self, Piece};
use super::{Facts, Notes, media};
use crate::translate::Invalid;
use crate::translate::ir::{Call, CallKind, Part, PartKind, Text, ToolResult, Value};
use crate::translate::turns::{Alternating, Message, Speaker};
use crate::wire::json::{Kind, Writer};

/// What a call whose arguments are no JSON object is told with.
const RAW_ARGUMENTS: &str = "_raw";

/// Stands where a content would be empty.
const NOTHING: &str = ".";

/// Writes both fields.
pub(super) fn write(
    talk: &Alternating<'_, '_>,
    facts: &Facts<'_>,
    notes: &mut Notes,
    out: &mut Writer,
) -> Result<(), Invalid> {
    let Alternating { instructions, messages, ignored } = talk;
    notes.ignored.extend(ignored.iter().cloned());
    if messages.is_empty() {
        notes.ignore("messages");
        return write_instructions_alone(instructions, out);
    }
    if !instructions.is_empty() {
        out.name("systemInstruction").object(|out| write_texts(instructions, out));
    }
    let mut contents = Contents { facts, notes, calls: Vec::new(), error: None };
    let turn_start = signatures::current_turn(messages);
    out.name("contents").array(|out| {
        for (at, message) in messages.iter().enumerate() {
            match message.speaker {
                Speaker::Assistant => contents.model(message, at >= turn_start, out),
                Speaker::User => contents.user(message, out),
            }
        }
    });
    contents.error.map_or(Ok(()), Err)
}

/// There must be something to answer: instructions alone become the user's words.
fn write_instructions_alone(instructions: &[&Part<'_>], out: &mut Writer) -> Result<(), Invalid> {
    if instructions.is_empty() {
        return Err(Invalid::request("messages", "there is nothing to answer; send at least one message with content"));
    }
    out.name("contents").array(|out| {
        out.object(|out| {
            out.name("role").plain("user");
            write_texts(instructions, out);
        });
    });
    Ok(())
}

fn write_texts(parts: &[&Part<'_>], out: &mut Writer) {
    out.name("parts").array(|out| parts.iter().filter_map(|part| part.kind.as_text()).for_each(|text| say(text, out)));
}

fn say(text: &Text<'_>, out: &mut Writer) {
    out.object(|out| out.name("text").text(text));
}

/// Contents as they are written.
struct Contents<'w, 'r, 'a> {
    facts: &'w Facts<'w>,
    notes: &'w mut Notes,
    /// The calls of the last content of the model: what results answer.
    calls: Vec<&'r Call<'a>>,
    /// The first thing that could not be said.
    error: Option<Invalid>,
}

impl<'r, 'a> Contents<'_, 'r, 'a> {
    fn keep(&mut self, written: Result<(), Invalid>) {
        if let Err(error) = written {
            self.error.get_or_insert(error);
        }
    }

    fn model(&mut self, message: &'r Message<'r, 'a>, is_current: bool, out: &mut Writer) {
        self.calls.clear();
        let pieces = signatures::placed(&message.parts, is_current, self.facts);
        out.object(|out| {
            out.name("role").plain("model");
            out.name("parts").array(|out| {
                if pieces.is_empty() {
                    // Nothing but thoughts of another model: the place in the conversation must not be lost.
                    say(&Text::spelt_as(NOTHING), out);
                }
                for piece in &pieces {
                    out.object(|out| self.model_part(piece, message.at, out));
                }
            });
        });
    }

    fn model_part(&mut self, piece: &Piece<'r, 'a>, at: usize, out: &mut Writer) {
        let Piece { kind, signature } = piece;
        match kind {
            None => out.name("text").plain(""),
            Some(PartKind::Thought(text)) => {
                out.name("text").text(text);
                out.name("thought").raw("true");
            }
            Some(PartKind::Call(call)) => {
                self.calls.push(call);
                out.name("functionCall").object(|out| self.call(call, at, out));
            }
            Some(PartKind::Result(_)) => self.keep(Err(misplaced(at))),
            Some(other) => match media::text_of(other) {
                Some(text) => out.name("text").text(&text),
                None => self.keep(media::write(other, self.facts, at, out)),
            },
        }
        if let Some(signature) = signature {
            out.name("thoughtSignature").text(signature);
        }
    }

    fn call(&mut self, call: &Call<'_>, at: usize, out: &mut Writer) {
        let Call { id, name, kind, arguments } = call;
        if !id.is_empty() {
            out.name("id").text(id);
        }
        out.name("name").text(name);
        out.name("args");
        match (kind, json_object(arguments)) {
            (CallKind::Custom, _) => out.object(|out| out.name("input").plain(arguments)),
            (CallKind::Function, Some(object)) => out.value(object),
            (CallKind::Function, None) if arguments.trim().is_empty() => out.object(|_| {}),
            (CallKind::Function, None) => {
                self.notes.ignore_at(at, "tool_calls[].function.arguments");
                out.object(|out| out.name(RAW_ARGUMENTS).plain(arguments));
            }
        }
    }

    fn user(&mut self, message: &'r Message<'r, 'a>, out: &mut Writer) {
        let results = message.parts.iter().take_while(|part| part.kind.as_result().is_some()).count();
        let (results, others) = message.parts.split_at(results);
        if !results.is_empty() {
            self.results(results, message.at, out);
        }
        let attached = self.attached(results);
        if others.is_empty() && attached.is_empty() {
            return;
        }
        out.object(|out| {
            out.name("role").plain("user");
            out.name("parts").array(|out| {
                for (number, kind) in (1..).zip(attached) {
                    say(&Text::plain(format!("image {number} of the results:")), out);
                    self.user_part(kind, message.at, out);
                }
                for part in others {
                    self.user_part(&part.kind, message.at, out);
                }
            });
        });
    }

    /// What results hold beside text, where the model takes it only from the user.
    fn attached(&self, results: &'r [Cow<'r, Part<'a>>]) -> Vec<&'r PartKind<'a>> {
        if !self.facts.is_before_three() {
            return Vec::new();
        }
        let results = results.iter().filter_map(|part| part.kind.as_result());
        results
            .flat_map(|result| &result.parts)
            .map(|part| &part.kind)
            .filter(|kind| media::of(kind).is_some())
            .collect()
    }

    fn user_part(&mut self, kind: &PartKind<'_>, at: usize, out: &mut Writer) {
        media::lost(kind, self.facts).for_each(|field| self.notes.ignore_at(at, field));
        if let Some(text) = media::text_of(kind) {
            return say(&text, out);
        }
        out.object(|out| {
            let is_media = media::of(kind).is_some();
            self.keep(if is_media { media::write(kind, self.facts, at, out) } else { Err(misplaced(at)) });
        });
    }

    fn results(&mut self, parts: &'r [Cow<'r, Part<'a>>], at: usize, out: &mut Writer) {
        let mut results: Vec<(usize, &ToolResult<'a>)> = Vec::with_capacity(parts.len());
        for result in parts.iter().filter_map(|part| part.kind.as_result()) {
            // Where ids are not unique, the order counts.
            let is_free = |place: usize| !results.iter().any(|(taken, _)| *taken == place);
            let place = (0..).zip(&self.calls).find(|(place, call)| call.id == result.id && is_free(*place));
            match place {
                Some((place, _)) => results.push((place, result)),
                None => return self.keep(Err(orphan(result, at))),
            }
        }
        results.sort_by_key(|(place, _)| *place);
        out.object(|out| {
            out.name("role").plain("user");
            out.name("parts").array(|out| {
                for (place, result) in results {
                    out.object(|out| {
                        out.name("functionResponse").object(|out| self.result(place, result, at, out));
                    });
                }
            });
        });
    }

    fn result(&mut self, place: usize, result: &ToolResult<'a>, at: usize, out: &mut Writer) {
        let ToolResult { id, parts, is_error, kind: _ } = result;
        if !id.is_empty() {
            out.name("id").text(id);
        }
        if let Some(call) = self.calls.get(place) {
            out.name("name").text(&call.name);
        }
        let text = joined(parts);
        let plain = if *is_error || !looks_like_object(&text) { None } else { Some(text.to_plain()) };
        out.name("response");
        match plain.as_deref().and_then(json_object) {
            Some(object) => out.value(object),
            None => out.object(|out| out.name(if *is_error { "error" } else { "output" }).text(&text)),
        }
        let has_media = parts.iter().any(|part| media::of(&part.kind).is_some());
        if has_media && !self.facts.is_before_three() {
            out.name("parts").array(|out| {
                let kinds = parts.iter().map(|part| &part.kind);
                kinds.filter(|kind| media::of(kind).is_some()).for_each(|kind| self.user_part(kind, at, out));
            });
        }
    }
}

/// The text of a result. Of several texts each begins a line.
fn joined<'p>(parts: &'p [Part<'_>]) -> Text<'p> {
    let mut texts = parts.iter().filter_map(|part| media::text_of(&part.kind));
    let Some(first) = texts.next() else { return Text::default() };
    let Some(second) = texts.next() else { return first };
    let mut whole = [first.spelt(), second.spelt()].join(r"\n");
    for text in texts {
        whole.push_str(r"\n");
        whole.push_str(text.spelt());
    }
    Text::spelt_as(whole)
}

/// Whether it is worth while to undo the escapes and to look closer.
fn looks_like_object(text: &Text<'_>) -> bool {
    let spelt = text.spelt();
    spelt.trim_start_matches([' ', '\\', 'n', 'r', 't']).starts_with('{') && spelt.ends_with(['}', 'n', ' '])
}

fn json_object(text: &str) -> Option<Value<'_>> {
    let begins = text.trim_start().starts_with('{');
    if begins { Value::parse(text.as_bytes()).ok().filter(|value| value.kind() == Kind::Object) } else { None }
}

fn orphan(result: &ToolResult<'_>, at: usize) -> Invalid {
    const ID_CHARS_MAX: usize = 64;
    let id: String = result.id.to_plain().chars().filter(|c| !c.is_control()).take(ID_CHARS_MAX).collect();
    let message = format!("the result for \"{id}\" answers no call of the turn before it; send the call first");
    Invalid::request(format!("messages[{at}]"), message)
}

fn misplaced(at: usize) -> Invalid {
    Invalid::request(
        format!("messages[{at}]"),
        "calls belong to the assistant, their results to messages of the tool or the user",
    )
}
