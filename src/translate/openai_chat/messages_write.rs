//! The conversation for a host of Chat Completions.
//!
//! Must not know the client's format. All that could be refused is refused by [`check`] before anything is written.

use super::dialect::{Feature, Replay};
use super::parts_write::{self, Content, Marks};
use super::request_write::Job;
use super::spelling::{call_id, write_spelt};
use crate::catalog::Target;
use crate::translate::Invalid;
use crate::translate::ir::{
    Blob, BlobKind, Call, CallKind, Part, PartKind, Request, Role, Text, ToolKind, ToolResult, Turn, Value,
};
use crate::wire::json::Writer;

/// What precedes the text of a result that is an error: the format has no flag for it.
const ERROR_LINE: &str = "[tool error]";
/// What the assistant says between results and the user, at hosts that want it to speak there.
const FILLER: &str = "OK.";

/// A guess at the bytes of the conversation, so that the body is allocated once.
pub(super) fn size(request: &Request<'_>) -> usize {
    const PART_FRAME_BYTES: usize = 96;
    const TOOL_FRAME_BYTES: usize = 256;
    let parts = request.turns.iter().flat_map(|turn| &turn.parts);
    let bytes = |part: &Part<'_>| match &part.kind {
        PartKind::Text(text) | PartKind::Refusal(text) => text.spelt().len(),
        PartKind::Call(call) => call.arguments.len() + call.arguments.len() / 4,
        PartKind::Result(result) => result.parts.iter().map(parts_write::size).sum(),
        PartKind::Image(_) | PartKind::File(_) | PartKind::Audio(_) => parts_write::size(part),
        PartKind::Thought(_) => 0,
    };
    let tools = request.tools.iter().map(|tool| match &tool.kind {
        ToolKind::Function { schema: Some(schema), .. } => schema.spelt().len() + TOOL_FRAME_BYTES,
        ToolKind::Function { schema: None, .. } | ToolKind::Custom { .. } | ToolKind::BuiltIn { .. } => {
            TOOL_FRAME_BYTES
        }
    });
    parts.map(|part| bytes(part) + PART_FRAME_BYTES).sum::<usize>() + tools.sum::<usize>()
}

/// Refuses what the target cannot be told.
pub(super) fn check(job: &Job<'_, '_>) -> Result<(), Invalid> {
    for turn in &job.request.turns {
        for (i, part) in turn.parts.iter().enumerate() {
            parts_write::check(job, part, (turn.at, i))?;
            let inner = if let PartKind::Result(result) = &part.kind { &result.parts[..] } else { &[] };
            inner.iter().try_for_each(|inner| parts_write::check(job, inner, (turn.at, i)))?;
        }
    }
    Ok(())
}

/// Writes `messages`.
pub(super) fn write(job: &mut Job<'_, '_>, w: &mut Writer) {
    let turns = &job.request.turns;
    let marks = Marks::new(job);
    w.name("messages").array(|w| {
        let mut messages = Messages { marks, moved: Vec::new(), is_after_tool: false };
        let last = turns.iter().rposition(|turn| !turn.parts.is_empty());
        for (i, turn) in turns.iter().enumerate() {
            let is_last = Some(i) == last;
            messages.turn(job, w, turn, is_last);
        }
        messages.put_moved(job, w, turns.last().map_or(0, |turn| turn.at));
    });
}

/// What must be known of the messages before.
struct Messages<'r, 'a> {
    marks: Marks,
    /// Pictures and files that cannot stand where they were: they follow in a message of the user's.
    moved: Vec<(String, &'r Part<'a>)>,
    is_after_tool: bool,
}

impl<'r, 'a> Messages<'r, 'a> {
    fn turn(&mut self, job: &mut Job<'r, 'a>, w: &mut Writer, turn: &'r Turn<'a>, is_last: bool) {
        for (result, part) in turn.parts.iter().filter_map(|part| part.kind.as_result().map(|result| (result, part))) {
            self.result(job, w, result, part);
        }
        if turn.role == Role::Tool {
            return;
        }
        self.put_moved(job, w, turn.at);
        match turn.role {
            Role::Assistant => self.assistant(job, w, turn, is_last),
            Role::Developer if job.has(Feature::DeveloperRole) => self.plain(job, w, turn, "developer"),
            Role::System | Role::Developer => self.plain(job, w, turn, "system"),
            Role::User | Role::Tool => self.plain(job, w, turn, "user"),
        }
    }

    fn plain(&mut self, job: &mut Job<'r, 'a>, w: &mut Writer, turn: &'r Turn<'a>, role: &str) {
        let parts = turn.parts.iter().filter(|part| part.kind.as_result().is_none());
        let content = Content::new(parts);
        if content.is_empty() {
            return;
        }
        if role == "user" {
            self.before_user(job, w, turn.at);
        }
        self.is_after_tool = false;
        let marks = &mut self.marks;
        w.object(|w| {
            w.name("role").plain(role);
            w.name("content");
            content.write(job, marks, w, "\\n\\n");
            write_name(job, w, turn);
        });
    }

    fn before_user(&mut self, job: &mut Job<'_, '_>, w: &mut Writer, at: usize) {
        if self.is_after_tool && !job.has(Feature::UserAfterTool) {
            // Who reads the conversation back shall know where the words came from.
            job.ignore(format!("messages[{at}].role"));
            w.object(|w| {
                w.name("role").plain("assistant");
                w.name("content").plain(FILLER);
            });
        }
        self.is_after_tool = false;
    }

    fn assistant(&mut self, job: &mut Job<'r, 'a>, w: &mut Writer, turn: &'r Turn<'a>, is_last: bool) {
        let knows_refusals = job.has(Feature::Refusals);
        let refusals = || turn.parts.iter().filter(|part| matches!(part.kind, PartKind::Refusal(_)));
        let is_said = |part: &&Part<'_>| {
            matches!(part.kind, PartKind::Text(_)) || (!knows_refusals && matches!(part.kind, PartKind::Refusal(_)))
        };
        let content = Content::new(turn.parts.iter().filter(is_said));
        let refusal = refusals().filter(|_| knows_refusals).find_map(parts_write::text_of);
        let calls: Vec<&Call<'_>> = turn.parts.iter().filter_map(|part| part.kind.as_call()).collect();
        for part in &turn.parts {
            if matches!(part.kind, PartKind::Image(_) | PartKind::File(_) | PartKind::Audio(_)) {
                self.moved.push(("From the assistant's answer:".to_owned(), part));
            }
        }
        if content.is_empty() && refusal.is_none() && calls.is_empty() {
            return;
        }
        self.is_after_tool = false;
        let marks = &mut self.marks;
        w.object(|w| {
            w.name("role").plain("assistant");
            w.name("content");
            if content.is_empty() {
                w.null();
            } else {
                content.write(job, marks, w, "");
            }
            if let Some(refusal) = refusal {
                w.name("refusal");
                w.text(&refusal);
            }
            write_thoughts(job, w, turn, !calls.is_empty());
            if !calls.is_empty() {
                w.name("tool_calls").array(|w| calls.iter().for_each(|call| write_call(job, w, call)));
            } else if is_last && job.has(Feature::Prefix) {
                w.name("prefix").raw("true");
            }
            write_name(job, w, turn);
        });
    }

    fn result(&mut self, job: &mut Job<'r, 'a>, w: &mut Writer, result: &'r ToolResult<'a>, part: &'r Part<'a>) {
        let stays = job.has(Feature::ResultImages);
        let mut said: Vec<Text<'_>> = Vec::new();
        if result.is_error {
            said.push(Text::plain(ERROR_LINE));
        }
        let mut count = 0;
        for inner in &result.parts {
            if let Some(text) = parts_write::text_of(inner) {
                said.push(text);
                continue;
            }
            let what = match &inner.kind {
                PartKind::Image(_) if !stays => "image",
                PartKind::File(_) => "file",
                PartKind::Audio(_) => "sound",
                PartKind::Image(_)
                | PartKind::Text(_)
                | PartKind::Refusal(_)
                | PartKind::Thought(_)
                | PartKind::Call(_)
                | PartKind::Result(_) => continue,
            };
            count += 1;
            said.push(Text::plain(format!("{what} {count} of this result follows")));
            let label = format!("{what} {count} of the result of {}:", call_id(&result.id, job.host.ids));
            self.moved.push((label, inner));
        }
        let is_plain = count == 0 && !result.is_error;
        self.is_after_tool = true;
        let marks = &mut self.marks;
        w.object(|w| {
            w.name("role").plain("tool");
            w.name("tool_call_id");
            write_spelt(w, &call_id(&result.id, job.host.ids));
            w.name("content");
            let has_images = stays && result.parts.iter().any(|part| matches!(part.kind, PartKind::Image(_)));
            let is_marked = part.cache.is_some() || result.parts.iter().any(|part| part.cache.is_some());
            if is_plain && (has_images || is_marked || job.has(Feature::PartLists)) {
                Content::of_result(&result.parts, part.cache).write(job, marks, w, "\\n");
            } else {
                marks.pass_over(&result.parts, part.cache);
                let spelt: Vec<&str> = said.iter().map(Text::spelt).collect();
                write_spelt(w, &spelt.join("\\n"));
            }
        });
    }

    /// The message with what could not stay in the results, after all of them.
    fn put_moved(&mut self, job: &mut Job<'_, '_>, w: &mut Writer, at: usize) {
        if self.moved.is_empty() {
            return;
        }
        self.before_user(job, w, at);
        let moved = std::mem::take(&mut self.moved);
        w.object(|w| {
            w.name("role").plain("user");
            w.name("content").array(|w| {
                for (label, part) in &moved {
                    parts_write::write_text(w, &Text::plain(&**label));
                    parts_write::write_bare(w, part);
                }
            });
        });
    }
}

fn write_name(job: &mut Job<'_, '_>, w: &mut Writer, turn: &Turn<'_>) {
    let Some(name) = &turn.name else { return };
    if job.has(Feature::Names) {
        w.name("name").text(name);
    } else {
        job.ignore(format!("messages[{}].name", turn.at));
    }
}

fn write_call(job: &Job<'_, '_>, w: &mut Writer, call: &Call<'_>) {
    w.object(|w| {
        w.name("id");
        write_spelt(w, &call_id(&call.id, job.host.ids));
        match call.kind {
            CallKind::Custom if job.has(Feature::CustomTools) => {
                w.name("type").plain("custom");
                w.name("custom").object(|w| {
                    w.name("name").text(&call.name);
                    w.name("input").plain(&call.arguments);
                });
            }
            CallKind::Custom => {
                let mut arguments = Writer::with_capacity(call.arguments.len() + 16);
                arguments.object(|w| w.name("input").plain(&call.arguments));
                let arguments = String::from_utf8(arguments.into_bytes()).unwrap_or_default();
                write_function(w, call, &arguments);
            }
            CallKind::Function if call.arguments.is_empty() => write_function(w, call, "{}"),
            CallKind::Function => write_function(w, call, &call.arguments),
        }
    });
}

fn write_function(w: &mut Writer, call: &Call<'_>, arguments: &str) {
    w.name("type").plain("function");
    w.name("function").object(|w| {
        w.name("name").text(&call.name);
        w.name("arguments").plain(arguments);
    });
}

/// What the model thought before, where the host wants or takes it. Thoughts of another model are never sent.
fn write_thoughts(job: &Job<'_, '_>, w: &mut Writer, turn: &Turn<'_>, has_calls: bool) {
    let own = |kind: BlobKind| {
        turn.parts.iter().filter_map(move |part| match (&part.kind, &part.blob) {
            (PartKind::Thought(text), Some(blob)) if blob.kind == kind && is_own(blob, job.target) => {
                Some((text, blob))
            }
            _ => None,
        })
    };
    let text = || own(BlobKind::ChatText).map(|(text, _)| text.spelt()).collect::<Vec<_>>().concat();
    match job.host.replay {
        Replay::WithCalls(field) if has_calls => {
            w.name(field);
            write_spelt(w, &text());
        }
        Replay::None | Replay::WithCalls(_) => {}
        Replay::OwnText(field) => {
            let text = text();
            if !text.is_empty() {
                w.name(field);
                write_spelt(w, &text);
            }
        }
        Replay::Details => {
            let lists: Vec<_> = own(BlobKind::ChatDetails).map(|(_, blob)| blob.token.to_plain()).collect();
            let mut entries =
                lists.iter().filter_map(|list| Value::parse(list.as_bytes()).ok()).flat_map(Value::elements).peekable();
            if entries.peek().is_some() {
                w.name("reasoning_details").array(|w| entries.for_each(|entry| w.value(entry)));
            }
        }
    }
}

fn is_own(blob: &Blob<'_>, target: &Target) -> bool {
    blob.maker
        .as_ref()
        .is_none_or(|maker| maker.provider == *target.provider.id && maker.model == *target.model.provider_model_id)
}
