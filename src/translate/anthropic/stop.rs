//! Why an answer ended, and what it used, in Anthropic's words.
//!
//! Must not know streams.

use crate::base::usage::Usage;
use crate::translate::ir::{Event, Finish, Text};
use crate::wire::json::Writer;

/// The reason of this name. Unknown ones are an end like any other.
pub(super) fn read(reason: &str) -> Finish {
    match reason {
        "stop_sequence" => Finish::Stop,
        "tool_use" => Finish::Calls,
        "max_tokens" => Finish::Length,
        "model_context_window_exceeded" => Finish::ContextFull,
        "refusal" => Finish::Refusal,
        "pause_turn" => Finish::Paused,
        _ => Finish::Done,
    }
}

/// What an answer ends with, gathered from its events.
#[derive(Clone, Debug, Default)]
pub(super) struct End {
    finish: Option<Finish>,
    stop: Option<Text<'static>>,
    usage: Option<Usage>,
    has_calls: bool,
    has_refused: bool,
    is_priority: bool,
}

impl End {
    /// Notes what an event says of the end.
    pub(super) fn note(&mut self, event: &Event<'_>) {
        match event {
            Event::Finish { reason, stop } => {
                self.finish = Some(*reason);
                self.stop = stop.clone().map(Text::into_owned);
            }
            Event::Usage { usage, service_tier } => {
                self.usage = Some(*usage);
                self.is_priority = service_tier.as_ref().is_some_and(|tier| tier.is("priority"));
            }
            Event::CallStart { .. } => self.has_calls = true,
            Event::Refusal(_) => self.has_refused = true,
            Event::Start { .. }
            | Event::Text(_)
            | Event::Thought(_)
            | Event::Sealed(_)
            | Event::CallArguments { .. }
            | Event::PartEnd
            | Event::Citation(_)
            | Event::Image { .. }
            | Event::Logprobs(_)
            | Event::Fault(_) => {}
        }
    }

    fn reason(&self) -> &'static str {
        match self.finish {
            Some(Finish::Done) | None if self.has_refused => "refusal",
            Some(Finish::Done) | None if self.has_calls => "tool_use",
            Some(Finish::Done) | None => "end_turn",
            Some(Finish::Stop) => "stop_sequence",
            Some(Finish::Calls) => "tool_use",
            Some(Finish::Length) => "max_tokens",
            Some(Finish::ContextFull) => "model_context_window_exceeded",
            Some(Finish::Refusal | Finish::Filtered) => "refusal",
            Some(Finish::Paused) => "pause_turn",
        }
    }

    /// Writes the members of a message, or of its last frame, that say why it ended.
    pub(super) fn write_reason(&self, w: &mut Writer) {
        let reason = self.reason();
        w.name("stop_reason").text(&Text::spelt_as(reason));
        match &self.stop {
            Some(stop) => w.name("stop_sequence").text(stop),
            None => w.name("stop_sequence").raw("null"),
        }
        if reason == "refusal" {
            w.name("stop_details").raw(r#"{"type":"refusal","category":null,"explanation":null}"#);
        }
    }

    /// Writes the usage; `prompt_tokens` is what is told where the provider told nothing.
    pub(super) fn write_usage(&self, prompt_tokens: u64, scope: Scope, w: &mut Writer) {
        let usage = self.usage.unwrap_or(Usage { input: prompt_tokens, ..Usage::default() });
        write_usage(&usage, w, |w| {
            let write = usage.cache_write;
            let is_split = write.m5.saturating_add(write.h1) == write.total() && write.total() > 0;
            if scope == Scope::Message && is_split {
                w.name("cache_creation").object(|w| {
                    w.name("ephemeral_5m_input_tokens").number(write.m5);
                    w.name("ephemeral_1h_input_tokens").number(write.h1);
                });
            }
            if scope == Scope::Message && self.is_priority {
                w.name("service_tier").text(&Text::spelt_as("priority"));
            }
        });
    }
}

/// Where usage stands: the last frame of a stream knows fewer members than a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// In a message.
    Message,
    /// In `message_delta`.
    Delta,
}

/// Writes a usage object.
pub(super) fn write_usage(usage: &Usage, w: &mut Writer, rest: impl FnOnce(&mut Writer)) {
    let Usage { input, cache_read, cache_write, reasoning, input_image, cache_read_image, input_audio, .. } = usage;
    w.object(|w| {
        w.name("input_tokens").number(input.saturating_add(*input_image).saturating_add(*input_audio));
        w.name("cache_creation_input_tokens").number(cache_write.total());
        w.name("cache_read_input_tokens").number(cache_read.saturating_add(*cache_read_image));
        w.name("output_tokens").number(usage.completion_total());
        if *reasoning > 0 {
            w.name("output_tokens_details").object(|w| w.name("thinking_tokens").number(*reasoning));
        }
        rest(w);
    });
}
