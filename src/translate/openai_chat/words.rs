//! What both writers of answers share: where an answer stands, and how its smaller things are spelt.
//!
//! Must not know whether the answer is a stream.

use std::fmt::Write as _;

use crate::base::usage::Usage;
use crate::translate::ir::{CallKind, Citation, Event, Finish, Text};
use crate::translate::{Closing, View, media};
use crate::wire::json::Writer;

use super::spelling::characters;
use super::thoughts_read::OURS;

/// More calls than this are not told apart: their pieces would be lost among one another.
pub(super) const CALLS_MAX: usize = 4096;

/// The tiers that the format knows.
const TIERS: [&str; 6] = ["auto", "default", "flex", "scale", "priority", "fast"];

/// The tier that served. Any other word is the standard one to the format's clients.
pub(super) fn tier<'t>(served: &'t Text<'_>) -> &'t str {
    let served = served.spelt();
    if TIERS.contains(&served) { served } else { "default" }
}

/// Where an answer stands.
#[derive(Debug, Default)]
pub(super) struct Words {
    open: Open,
    calls: Vec<CallKind>,
    has_refused: bool,
    /// Characters of the open thought.
    thought: u64,
    /// Characters of thoughts before it that have no token.
    skipped: u64,
    /// Characters of text so far, and where the open text began.
    text: u64,
    text_from: u64,
    details: u64,
    images: u64,
    annotations: u64,
}

/// The part in hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Open {
    #[default]
    Nothing,
    Thought,
    Text,
    Call(usize),
}

impl Words {
    /// Looks at an event before it is written.
    pub(super) fn see(&mut self, event: &Event<'_>) {
        let next = match event {
            Event::Thought(_) => Open::Thought,
            Event::Text(_) => Open::Text,
            Event::CallStart { index, kind, .. } => {
                self.calls.resize(self.calls.len().max((index + 1).min(CALLS_MAX)), CallKind::Function);
                if let Some(place) = self.calls.get_mut(*index) {
                    *place = *kind;
                }
                Open::Call(*index)
            }
            Event::CallArguments { index, .. } => Open::Call(*index),
            Event::Refusal(_) | Event::Image { .. } | Event::PartEnd => Open::Nothing,
            Event::Start { .. }
            | Event::Sealed(_)
            | Event::Citation(_)
            | Event::Logprobs(_)
            | Event::Finish { .. }
            | Event::Usage { .. }
            | Event::Fault(_) => self.open,
        };
        if next != self.open {
            self.skipped += std::mem::take(&mut self.thought);
            self.text_from = self.text;
            self.open = next;
        }
        self.has_refused |= matches!(event, Event::Refusal(_));
        if let Event::Thought(thought) = event {
            self.thought += characters(thought.spelt());
        } else if let Event::Text(text) = event {
            self.text += characters(text.spelt());
        }
    }

    /// The call in hand.
    pub(super) fn open_call(&self) -> Option<usize> {
        if let Open::Call(index) = self.open { Some(index) } else { None }
    }

    /// What kind of call it is.
    pub(super) fn kind_of(&self, index: usize) -> CallKind {
        self.calls.get(index).copied().unwrap_or_default()
    }

    /// An entry of `reasoning_details` up to the inside of its token. What it stands for ends with it.
    pub(super) fn detail(&mut self) -> String {
        let mut entry = format!(r#"{{"type":"reasoning.encrypted","index":{},"format":"{OURS}","#, self.details);
        self.details += 1;
        if self.open == Open::Text {
            entry.push_str(r#""part":"text","#);
        } else {
            for (name, count) in
                [("skipped", std::mem::take(&mut self.skipped)), ("characters", std::mem::take(&mut self.thought))]
            {
                if count > 0 {
                    // Writing to a string cannot fail.
                    let _ = write!(entry, "\"{name}\":{count},");
                }
            }
            self.open = Open::Nothing;
        }
        entry.push_str("\"data\":\"");
        entry
    }

    /// An element of `images`.
    pub(super) fn image(&mut self, media_type: &Text<'_>, base64: &Text<'_>) -> String {
        let index = self.images;
        self.images += 1;
        let url = media::data_url(media_type, base64);
        [r#"{"type":"image_url","index":"#, &index.to_string(), r#","image_url":{"url":""#, url.spelt(), r#""}}"#]
            .concat()
    }

    /// An element of `annotations`.
    pub(super) fn annotation(&mut self, citation: &Citation<'_>) -> String {
        let index = self.annotations;
        self.annotations += 1;
        // The parts' texts are one in this format.
        let (start, end) = match citation.range {
            Some((start, end)) => (self.text_from + start, self.text_from + end),
            None => (self.text_from, self.text),
        };
        let text = |text: &Option<Text<'_>>| text.as_ref().map_or(String::new(), |text| text.spelt().to_owned());
        let mut w = Writer::default();
        w.object(|w| {
            w.name("type").plain("url_citation");
            w.name("index").number(index);
            w.name("url_citation").object(|w| {
                w.name("start_index").number(start);
                w.name("end_index").number(end);
                w.name("url").text(&Text::spelt_as(text(&citation.url)));
                w.name("title").text(&Text::spelt_as(text(&citation.title)));
            });
        });
        String::from_utf8(w.into_bytes()).unwrap_or_default()
    }

    /// Why it ended, in the format's word.
    pub(super) fn finish_reason(&self, finish: Option<Finish>, has_legacy_functions: bool) -> &'static str {
        match finish {
            Some(Finish::Calls) if has_legacy_functions => "function_call",
            Some(Finish::Calls) => "tool_calls",
            Some(Finish::Length | Finish::ContextFull | Finish::Paused) => "length",
            // Without its words a refusal would look like an answer.
            Some(Finish::Refusal) if !self.has_refused => "content_filter",
            Some(Finish::Filtered) => "content_filter",
            Some(Finish::Done | Finish::Stop | Finish::Refusal) | None => "stop",
        }
    }
}

/// The first members of an answer or a chunk.
pub(super) fn write_head(view: &View, object: &str, out: &mut Vec<u8>) {
    let id = view.id.to_ascii();
    let id = std::str::from_utf8(&id).unwrap_or_default();
    let model = Text::plain(&*view.model);
    let created = view.created_s.to_string();
    for piece in [
        "{\"id\":\"chatcmpl-",
        id.strip_prefix("req_").unwrap_or(id),
        "\",\"object\":\"",
        object,
        "\",\"created\":",
        &created,
        ",\"model\":\"",
        model.spelt(),
        "\"",
    ] {
        out.extend_from_slice(piece.as_bytes());
    }
}

/// A call up to the inside of its arguments.
pub(super) fn call_opening(kind: CallKind, id: &Text<'_>, name: &Text<'_>) -> String {
    let (kind, words) = match kind {
        CallKind::Function => ("function", "arguments"),
        CallKind::Custom => ("custom", "input"),
    };
    let (id, name) = (id.spelt(), name.spelt());
    ["\"id\":\"", id, "\",\"type\":\"", kind, "\",\"", kind, "\":{\"name\":\"", name, "\",\"", words, "\":\""].concat()
}

/// The usage object, with what the request cost first where that is told.
pub(super) fn write_usage(usage: &Usage, closing: &Closing<'_>, out: &mut Vec<u8>) {
    let (prompt, completion) = (usage.prompt_total(), usage.completion_total());
    let mut w = Writer::with_capacity(384);
    w.object(|w| {
        if let Some(cost) = closing.cost_usd {
            w.name("cost_usd").raw(cost);
            w.name("currency").plain("USD");
        }
        w.name("prompt_tokens").number(prompt);
        w.name("completion_tokens").number(completion);
        w.name("total_tokens").number(prompt.saturating_add(completion));
        w.name("prompt_tokens_details").object(|w| {
            w.name("cached_tokens").number(usage.cache_read.saturating_add(usage.cache_read_image));
            w.name("cache_write_tokens").number(usage.cache_write.total());
            w.name("audio_tokens").number(usage.input_audio);
            let image = usage.input_image.saturating_add(usage.cache_read_image);
            if image > 0 {
                w.name("image_tokens").number(image);
            }
            if usage.cache_read_image > 0 {
                w.name("cached_tokens_details").object(|w| w.name("image_tokens").number(usage.cache_read_image));
            }
        });
        w.name("completion_tokens_details").object(|w| {
            w.name("reasoning_tokens").number(usage.reasoning);
            w.name("audio_tokens").number(usage.output_audio);
            w.name("accepted_prediction_tokens").number(0);
            w.name("rejected_prediction_tokens").number(0);
            if usage.output_image > 0 {
                w.name("image_tokens").number(usage.output_image);
            }
        });
    });
    out.extend_from_slice(&w.into_bytes());
}
