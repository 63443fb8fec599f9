//! Parts of a conversation → Anthropic's blocks.
//!
//! Must not know the rest of the request. What cannot be said was refused before (`suits`).

use super::ids;
use super::marks::Marks;
use super::place::Ignored;
use super::suits::{Shape, shape};
use super::tools_write::write_mark;
use crate::catalog::Target;
use crate::translate::ir::{
    Blob, BlobKind, Call, CallKind, Maker, Media, Part, PartKind, Source, Text, ToolResult, Value,
};
use crate::translate::turns::{Message, Speaker};
use crate::wire::json::{Kind, Writer};

/// Writes blocks for a target.
#[derive(Debug)]
pub(super) struct Pen<'t> {
    target: &'t Target,
    pub(super) marks: Marks,
    pub(super) ignored: Ignored,
}

impl<'t> Pen<'t> {
    /// With these marks to give out.
    pub(super) fn new(target: &'t Target, marks: Marks, ignored: Ignored) -> Self {
        Self { target, marks, ignored }
    }

    /// Writes a message, unless nothing of it is left.
    pub(super) fn message(&mut self, message: &Message<'_, '_>, w: &mut Writer) {
        let target = self.target;
        let mut parts = message.parts.iter().filter(|part| is_written(part, target)).peekable();
        if parts.peek().is_none() {
            return;
        }
        w.object(|w| {
            let role = match message.speaker {
                Speaker::User => "user",
                Speaker::Assistant => "assistant",
            };
            w.name("role").text(&Text::spelt_as(role));
            w.name("content").array(|w| parts.for_each(|part| self.part(part, w)));
        });
    }

    /// Writes a part that [`is_written`].
    pub(super) fn part(&mut self, part: &Part<'_>, w: &mut Writer) {
        let Part { kind, cache, blob } = part;
        w.object(|w| {
            match kind {
                PartKind::Text(text) | PartKind::Refusal(text) => write_text(text, w),
                PartKind::Image(media) => write_media("image", media, w),
                PartKind::File(media) => write_media("document", media, w),
                PartKind::Call(call) => self.call(call, w),
                PartKind::Result(result) => self.result(result, w),
                PartKind::Thought(thought) => return write_thought(thought, blob.as_ref(), w),
                PartKind::Audio(_) => return,
            }
            if let Some(ttl) = self.marks.next(*cache) {
                write_mark(ttl, w);
            }
        });
    }

    fn call(&mut self, call: &Call<'_>, w: &mut Writer) {
        let Call { id, name, kind, arguments } = call;
        w.name("type").text(&Text::spelt_as("tool_use"));
        w.name("id").text(&Text::spelt_as(ids::fitting(id)));
        w.name("name").text(name);
        w.name("input");
        match kind {
            CallKind::Custom => w.object(|w| w.name("input").plain(arguments)),
            CallKind::Function => {
                if !write_input(arguments, w) {
                    self.ignored.add("messages[].tool_calls[].function.arguments");
                }
            }
        }
    }

    fn result(&mut self, result: &ToolResult<'_>, w: &mut Writer) {
        let ToolResult { id, parts, is_error, kind: _ } = result;
        w.name("type").text(&Text::spelt_as("tool_result"));
        w.name("tool_use_id").text(&Text::spelt_as(ids::fitting(id)));
        let target = self.target;
        let mut parts = parts.iter().filter(|part| is_written(part, target)).peekable();
        if parts.peek().is_some() {
            w.name("content").array(|w| parts.for_each(|part| self.part(part, w)));
        }
        if *is_error {
            w.name("is_error").raw("true");
        }
    }
}

/// Whether a part is written: not where it is empty, or a thought of somebody else.
pub(super) fn is_written(part: &Part<'_>, target: &Target) -> bool {
    match &part.kind {
        PartKind::Text(text) | PartKind::Refusal(text) => !text.is_blank(),
        PartKind::Thought(_) => {
            target.model.capabilities.reasoning && part.blob.as_ref().is_some_and(|blob| is_own(blob, target))
        }
        PartKind::Audio(_) => false,
        PartKind::Image(_) | PartKind::File(_) | PartKind::Call(_) | PartKind::Result(_) => true,
    }
}

/// Whether the target's model made it.
fn is_own(blob: &Blob<'_>, target: &Target) -> bool {
    let is_of_format = matches!(blob.kind, BlobKind::AnthropicSignature | BlobKind::AnthropicRedacted);
    let is_of_model =
        |maker: &Maker<'_>| *maker.provider == *target.provider.id && *maker.model == *target.model.provider_model_id;
    is_of_format && blob.maker.as_ref().is_none_or(is_of_model)
}

/// How many marks the parts of a message bear.
pub(super) fn marks(part: &Part<'_>, target: &Target) -> usize {
    if !is_written(part, target) || matches!(part.kind, PartKind::Thought(_)) {
        return 0;
    }
    let inner = part.kind.as_result().map_or(0, |result| result.parts.iter().map(|part| marks(part, target)).sum());
    inner + usize::from(part.cache.is_some())
}

fn write_text(text: &Text<'_>, w: &mut Writer) {
    w.name("type").text(&Text::spelt_as("text"));
    w.name("text").text(text);
}

fn write_thought(thought: &Text<'_>, blob: Option<&Blob<'_>>, w: &mut Writer) {
    let Some(Blob { kind, token, maker: _ }) = blob else { return };
    if *kind == BlobKind::AnthropicRedacted {
        w.name("type").text(&Text::spelt_as("redacted_thinking"));
        w.name("data").text(token);
        return;
    }
    w.name("type").text(&Text::spelt_as("thinking"));
    w.name("thinking").text(thought);
    w.name("signature").text(token);
}

/// Arguments as the object that they must be; says whether they were one.
pub(super) fn write_input(arguments: &str, w: &mut Writer) -> bool {
    let parsed = Value::parse(arguments.as_bytes()).ok().filter(|value| value.kind() == Kind::Object);
    match parsed {
        Some(object) => w.value(object),
        None if arguments.trim().is_empty() => w.object(|_| {}),
        None => {
            w.object(|w| w.name("_raw").plain(arguments));
            return false;
        }
    }
    true
}

/// A picture or a document; `kind` says which an address leads to.
fn write_media(kind: &'static str, media: &Media<'_>, w: &mut Writer) {
    let Media { source, name, detail: _ } = media;
    let block = |w: &mut Writer, kind: &'static str| w.name("type").text(&Text::spelt_as(kind));
    match source {
        Source::Inline { media_type, base64 } => match shape(media_type, base64) {
            Shape::Words(text) => {
                block(w, "document");
                write_plain(&text, w);
            }
            shape @ (Shape::Picture | Shape::Pdf | Shape::Unknown) => {
                block(w, if shape == Shape::Picture { "image" } else { "document" });
                w.name("source").object(|w| {
                    w.name("type").text(&Text::spelt_as("base64"));
                    w.name("media_type").text(media_type);
                    w.name("data").text(base64);
                });
                if shape == Shape::Picture {
                    return;
                }
            }
        },
        Source::Plain(text) => {
            block(w, "document");
            write_plain(text, w);
        }
        Source::Url(url) => {
            block(w, kind);
            w.name("source").object(|w| {
                w.name("type").text(&Text::spelt_as("url"));
                w.name("url").text(url);
            });
            if kind == "image" {
                return;
            }
        }
        Source::Id(_) => return,
    }
    if let Some(name) = name.as_ref().filter(|name| !name.is_empty()) {
        w.name("title").text(name);
    }
}

fn write_plain(text: &Text<'_>, w: &mut Writer) {
    w.name("source").object(|w| {
        w.name("type").text(&Text::spelt_as("text"));
        w.name("media_type").text(&Text::spelt_as("text/plain"));
        w.name("data").text(text);
    });
}
