//! The items of an answer: messages, thoughts, calls, pictures, and how each is spelt.
//!
//! Must not know events or frames.

use crate::translate::envelope;
use crate::translate::ir::{CallKind, Citation, Text};
use crate::wire::json::Writer;

use super::frames::Status;

/// An item, from its beginning to its end.
#[derive(Debug)]
pub(super) enum Item {
    Message(Message),
    Reasoning(Reasoning),
    Call(Call),
    /// At its end: all of it as JSON.
    Done(String),
}

/// A message: parts that are done, and one that may grow.
#[derive(Debug, Default)]
pub(super) struct Message {
    /// The parts that are done, as JSON with commas between.
    pub(super) done: String,
    pub(super) done_count: u64,
    pub(super) open: Option<Content>,
}

/// A part of a message.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) kind: ContentKind,
    /// As it is spelt.
    pub(super) text: String,
    /// JSON with commas between.
    pub(super) annotations: String,
    pub(super) annotation_count: u64,
    /// JSON with commas between.
    pub(super) logprobs: String,
    /// It is whole; only what stands on it may still come.
    pub(super) is_ended: bool,
}

/// What a part of a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ContentKind {
    Text,
    Refusal,
}

impl Content {
    pub(super) fn new(kind: ContentKind) -> Self {
        let (text, annotations, logprobs) = (String::new(), String::new(), String::new());
        Self { kind, text, annotations, annotation_count: 0, logprobs, is_ended: false }
    }

    /// Writes the part.
    pub(super) fn write(&self, w: &mut Writer) {
        w.object(|w| match self.kind {
            ContentKind::Text => {
                w.name("type").raw(r#""output_text""#);
                w.name("annotations").array(|w| raw_unless_empty(w, &self.annotations));
                w.name("logprobs").array(|w| raw_unless_empty(w, &self.logprobs));
                w.name("text").text(&Text::spelt_as(&*self.text));
            }
            ContentKind::Refusal => {
                w.name("type").raw(r#""refusal""#);
                w.name("refusal").text(&Text::spelt_as(&*self.text));
            }
        });
    }
}

/// A thought: its summary, and what its maker wants back.
#[derive(Debug, Default)]
pub(super) struct Reasoning {
    pub(super) summary: String,
    pub(super) sealed: Option<Text<'static>>,
}

/// A call of a tool.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) kind: CallKind,
    /// What its result is sent under.
    pub(super) answers_to: Text<'static>,
    pub(super) name: Text<'static>,
    pub(super) arguments: String,
}

impl Item {
    /// What its ids begin with.
    pub(super) fn id_prefix(&self) -> &'static str {
        match self {
            Self::Message(_) => "msg",
            Self::Reasoning(_) => "rs",
            Self::Call(Call { kind: CallKind::Function, .. }) => "fc",
            Self::Call(Call { kind: CallKind::Custom, .. }) => "ctc",
            Self::Done(_) => "ig",
        }
    }

    /// Writes the item as far as it is.
    pub(super) fn write(&self, w: &mut Writer, id: &str, status: Status) {
        if let Self::Done(json) = self {
            w.raw(json);
            return;
        }
        w.object(|w| {
            w.name("id").text(&Text::spelt_as(id));
            match self {
                Self::Message(message) => message.write(w, status),
                Self::Reasoning(reasoning) => reasoning.write(w),
                Self::Call(call) => call.write(w, status),
                Self::Done(_) => {}
            }
        });
    }
}

impl Message {
    fn write(&self, w: &mut Writer, status: Status) {
        w.name("type").raw(r#""message""#);
        status.write(w);
        w.name("role").raw(r#""assistant""#);
        w.name("content").array(|w| {
            raw_unless_empty(w, &self.done);
            if let Some(content) = &self.open {
                content.write(w);
            }
        });
    }
}

impl Reasoning {
    fn write(&self, w: &mut Writer) {
        w.name("type").raw(r#""reasoning""#);
        w.name("summary").array(|w| {
            if !self.summary.is_empty() {
                write_summary(w, &self.summary);
            }
        });
        match &self.sealed {
            Some(sealed) => w.name("encrypted_content").text(sealed),
            None if self.summary.is_empty() => w.name("encrypted_content").null(),
            None => w.name("encrypted_content").plain(envelope::NOTHING),
        }
    }
}

/// Writes a part of a summary.
pub(super) fn write_summary(w: &mut Writer, spelt: &str) {
    w.object(|w| {
        w.name("type").raw(r#""summary_text""#);
        w.name("text").text(&Text::spelt_as(spelt));
    });
}

impl Call {
    fn write(&self, w: &mut Writer, status: Status) {
        let (kind, arguments) = match self.kind {
            CallKind::Function => ("function_call", "arguments"),
            CallKind::Custom => ("custom_tool_call", "input"),
        };
        w.name("type").text(&Text::spelt_as(kind));
        status.write(w);
        w.name("call_id").text(&self.answers_to);
        w.name("name").text(&self.name);
        w.name(arguments).text(&Text::spelt_as(&*self.arguments));
    }
}

/// A picture that is being made.
pub(super) fn write_image_begun(w: &mut Writer, id: &str) {
    w.object(|w| {
        w.name("id").text(&Text::spelt_as(id));
        w.name("type").raw(r#""image_generation_call""#);
        Status::InProgress.write(w);
        w.name("result").null();
    });
}

/// A picture that was made.
pub(super) fn write_image(w: &mut Writer, id: &str, media_type: &Text<'_>, base64: &Text<'_>) {
    w.object(|w| {
        w.name("id").text(&Text::spelt_as(id));
        w.name("type").raw(r#""image_generation_call""#);
        Status::Completed.write(w);
        if let Some(format) = image_format(&media_type.to_plain()) {
            w.name("output_format").text(&Text::spelt_as(format));
        }
        w.name("result").text(base64);
    });
}

/// The formats of pictures by the words of this API, with their media types.
pub(super) const IMAGE_FORMATS: [(&str, &str); 5] = [
    ("png", "image/png"),
    ("jpeg", "image/jpeg"),
    ("webp", "image/webp"),
    ("gif", "image/gif"),
    ("svg", "image/svg+xml"),
];

fn image_format(media_type: &str) -> Option<&'static str> {
    IMAGE_FORMATS.iter().find(|(_, known)| *known == media_type).map(|(format, _)| *format)
}

/// A source of a text; only what has an address is known here. `range` where the source does not say its own.
pub(super) fn annotation(citation: &Citation<'_>, range: impl FnOnce() -> (u64, u64)) -> Option<String> {
    let Citation { url, title, quote: _, range: said } = citation;
    let url = url.as_ref()?;
    let (start, end) = said.unwrap_or_else(range);
    let mut writer = Writer::with_capacity(url.spelt().len() + 128);
    writer.object(|w| {
        w.name("type").raw(r#""url_citation""#);
        w.name("start_index").number(start);
        w.name("end_index").number(end);
        w.name("url").text(url);
        w.name("title").text(title.as_ref().unwrap_or(url));
    });
    String::from_utf8(writer.into_bytes()).ok()
}

/// Adds JSON to JSON with a comma between; says how many bytes that took.
pub(super) fn join(to: &mut String, json: &str) -> usize {
    let before = to.len();
    if !to.is_empty() {
        to.push(',');
    }
    to.push_str(json);
    to.len() - before
}

fn raw_unless_empty(w: &mut Writer, json: &str) {
    if !json.is_empty() {
        w.raw(json);
    }
}
