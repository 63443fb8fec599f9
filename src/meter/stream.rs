//! What the events of a stream say, in OpenAI Chat and in Anthropic Messages.
//!
//! Must not know frames: it gets the name and the data of an event. Members are found by structure, so that
//! no text in an answer can pass for usage or an error. What is not understood is forwarded.

use std::ops::Range;

use super::{ErrorKind, Seen, StreamMeter, TextFrame, Verdict, pair};
use crate::base::wire_format::WireFormat;
use crate::wire::leap::{Items, string_inside};
use crate::wire::sse::Event;
use crate::wire::usage::{AnthropicFigures, is_truthy, member, openai_chat, tier_name};

/// The data that ends a stream of Chat.
pub(super) const DONE: &[u8] = b"[DONE]";

/// Nesting of a delta that is searched for text.
const DELTA_DEPTH_MAX: u32 = 6;

/// Reads an event, notes what it says, and decides what becomes of its frame.
pub(super) fn read(meter: &mut StreamMeter, event: &Event<'_>) -> Verdict {
    let json: &[u8] = &event.data;
    meter.seen.events = meter.seen.events.saturating_add(u64::from(!json.is_empty()));
    match meter.format {
        WireFormat::OpenaiChat => read_chat(meter, event.name, json),
        WireFormat::AnthropicMessages => read_anthropic(meter, event.name, json),
        WireFormat::OpenaiResponses => read_responses(meter, event.name, json),
        WireFormat::OpenaiImages
        | WireFormat::GeminiGenerate
        | WireFormat::BedrockConverse
        | WireFormat::OpenaiEmbeddings
        | WireFormat::OpenaiImageEdits
        | WireFormat::OpenaiTranscriptions
        | WireFormat::OpenaiSpeech => {
            meter.seen.is_opened |= !json.is_empty();
            Verdict::Forward
        }
    }
}

/// The members of a chunk of Chat that are looked at, as ranges of it; empty where absent.
#[derive(Default)]
struct Chunk {
    choices: Range<usize>,
    usage: Range<usize>,
    error: Range<usize>,
    x_groq: Range<usize>,
    service_tier: Range<usize>,
    padding: Option<Range<usize>>,
}

impl Chunk {
    fn read(json: &[u8]) -> Self {
        let mut chunk = Self::default();
        let Some(mut members) = Items::open(json, 0).filter(Items::is_object) else { return chunk };
        while let Ok(Some(found)) = members.next_member() {
            match json.get(found.name).unwrap_or_default() {
                b"choices" => chunk.choices = found.value,
                b"usage" => chunk.usage = found.value,
                b"error" => chunk.error = found.value,
                b"x_groq" => chunk.x_groq = found.value,
                b"service_tier" => chunk.service_tier = found.value,
                b"obfuscation" => chunk.padding = inside(json, &found.value),
                _ => {}
            }
        }
        chunk
    }
}

fn read_chat(meter: &mut StreamMeter, name: &[u8], json: &[u8]) -> Verdict {
    let json_end = json.trim_ascii_end();
    if json_end == DONE {
        meter.seen.is_terminated = true;
        return Verdict::Terminator;
    }
    let chunk = Chunk::read(json);
    let part = |range: &Range<usize>| json.get(range.clone()).unwrap_or_default();
    let groq = part(&chunk.x_groq);
    if is_truthy(part(&chunk.error)) || is_truthy(member(groq, b"error")) || name == b"error" {
        return Verdict::Error(error_kind(json));
    }
    let seen = &mut meter.seen;
    if let Some(tier) = tier_name(part(&chunk.service_tier)) {
        seen.service_tier = Some(tier);
    }
    let usage = part(&chunk.usage);
    if let Some(figures) =
        openai_chat(usage, meter.quirks).or_else(|| openai_chat(member(groq, b"usage"), meter.quirks))
        && (figures.prompt_total() > 0 || figures.completion_total() > 0 || seen.openai.is_none())
    {
        seen.openai = Some(figures);
    }
    let choices = read_choices(seen, json, &chunk.choices);
    if let Some(kind) = choices.failure {
        return Verdict::Error(kind);
    }
    if usage.starts_with(b"{") && is_truthy(usage) {
        let cost_at = chunk.usage.start + 1;
        return match (choices.count, meter.asked.usage) {
            (0, false) => Verdict::Drop,
            (0, true) => Verdict::Usage { cost_at },
            (_, true) if seen.has_finish_reason => Verdict::Usage { cost_at },
            (_, _) => Verdict::Forward,
        };
    }
    let is_special = choices.is_finish || !groq.is_empty() || !json_end.ends_with(b"}");
    match choices.delta.only_text {
        Some(text) if !is_special && choices.delta.strings == 1 => {
            Verdict::ForwardText(TextFrame { text: pair(&text), padding: chunk.padding.as_ref().map(pair) })
        }
        _ => Verdict::Forward,
    }
}

/// What the choices of a chunk say.
#[derive(Default)]
struct Choices {
    count: usize,
    is_finish: bool,
    failure: Option<ErrorKind>,
    delta: Delta,
}

fn read_choices(seen: &mut Seen, json: &[u8], at: &Range<usize>) -> Choices {
    let mut choices = Choices::default();
    let Some(mut elements) = Items::open(json, at.start).filter(|items| !at.is_empty() && !items.is_object()) else {
        return choices;
    };
    while let Ok(Some(choice)) = elements.next_element() {
        choices.count += 1;
        let Some(mut members) = Items::open(json, choice.start).filter(Items::is_object) else { continue };
        while let Ok(Some(found)) = members.next_member() {
            let value = json.get(found.value.clone()).unwrap_or_default();
            match json.get(found.name).unwrap_or_default() {
                b"delta" => choices.delta.gather(seen, json, &found.value, DELTA_DEPTH_MAX),
                b"finish_reason" => match string_inside(value) {
                    None | Some(b"") => {}
                    // A word of failure is no end of an answer.
                    Some(b"error") => choices.failure = Some(ErrorKind::Fault),
                    Some(b"insufficient_system_resource") => choices.failure = Some(ErrorKind::Overloaded),
                    Some(_) => choices.is_finish = true,
                },
                _ => {}
            }
        }
    }
    seen.has_finish_reason |= choices.is_finish;
    seen.is_opened |= choices.is_finish || choices.delta.is_content;
    choices
}

/// What a delta holds.
#[derive(Default)]
struct Delta {
    is_content: bool,
    /// How many strings of text.
    strings: usize,
    /// The last of them.
    only_text: Option<Range<usize>>,
}

impl Delta {
    /// Collects the text of a delta: the strings under the names that hold text in either wire format,
    /// however deep they are (tool calls, lists of parts).
    fn gather(&mut self, seen: &mut Seen, json: &[u8], at: &Range<usize>, depth_left: u32) {
        let Some(mut items) = Items::open(json, at.start).filter(|_| depth_left > 0) else { return };
        if !items.is_object() {
            while let Ok(Some(element)) = items.next_element() {
                self.gather(seen, json, &element, depth_left - 1);
            }
            return;
        }
        while let Ok(Some(found)) = items.next_member() {
            let value = json.get(found.value.clone()).unwrap_or_default();
            match json.get(found.name).unwrap_or_default() {
                b"content" | b"text" | b"reasoning_content" | b"reasoning" | b"refusal" | b"thinking"
                | b"arguments" | b"partial_json" | b"name"
                    if value.starts_with(b"\"") =>
                {
                    self.take(seen, json, &found.value);
                }
                // Media, and what says the text beside it once more.
                b"audio" | b"images" | b"reasoning_details" | b"signature" | b"data" => {
                    self.is_content |= is_truthy(value);
                }
                _ => self.gather(seen, json, &found.value, depth_left - 1),
            }
        }
    }

    fn take(&mut self, seen: &mut Seen, json: &[u8], string: &Range<usize>) {
        let Some(range) = inside(json, string).filter(|range| !range.is_empty()) else { return };
        seen.text.push(json.get(range.clone()).unwrap_or_default());
        self.is_content = true;
        self.strings += 1;
        self.only_text = Some(range);
    }
}

fn read_anthropic(meter: &mut StreamMeter, name: &[u8], json: &[u8]) -> Verdict {
    let kind = string_inside(member(json, b"type")).unwrap_or(name);
    let seen = &mut meter.seen;
    match kind {
        b"message_start" => {
            let usage = member(member(json, b"message"), b"usage");
            let figures = AnthropicFigures::read(usage).without_output();
            seen.anthropic = seen.anthropic.updated_by(figures);
            seen.service_tier = tier_name(member(usage, b"service_tier")).or(seen.service_tier.take());
            Verdict::Forward
        }
        b"content_block_start" | b"content_block_delta" => {
            seen.is_opened = true;
            if kind == b"content_block_start" {
                let index = std::str::from_utf8(member(json, b"index")).ok();
                seen.open_block = index.and_then(|index| index.parse().ok());
            }
            let mut delta = Delta::default();
            // Both names hold an object with the text; the event itself has none beside it.
            delta.gather(seen, json, &(0..json.len()), DELTA_DEPTH_MAX);
            match delta.only_text {
                Some(text) if delta.strings == 1 && kind == b"content_block_delta" => {
                    Verdict::ForwardText(TextFrame { text: pair(&text), padding: None })
                }
                _ => Verdict::Forward,
            }
        }
        b"content_block_stop" => {
            seen.open_block = None;
            Verdict::Forward
        }
        b"message_delta" => {
            seen.is_opened = true;
            seen.has_finish_reason |= is_truthy(member(member(json, b"delta"), b"stop_reason"));
            read_message_delta(meter, json)
        }
        b"message_stop" => {
            seen.is_terminated = true;
            Verdict::Terminator
        }
        b"error" => Verdict::Error(error_kind(json)),
        _ => Verdict::Forward,
    }
}

/// The events of Responses. Their numbers run on, so that no frame is like the one before.
fn read_responses(meter: &mut StreamMeter, name: &[u8], json: &[u8]) -> Verdict {
    let kind = string_inside(member(json, b"type")).unwrap_or(name);
    let seen = &mut meter.seen;
    match kind {
        b"response.created" | b"response.queued" | b"response.in_progress" => Verdict::Forward,
        b"response.completed" | b"response.incomplete" => {
            let response = member(json, b"response");
            seen.openai = openai_chat(member(response, b"usage"), meter.quirks);
            seen.service_tier = tier_name(member(response, b"service_tier"));
            seen.has_finish_reason = true;
            seen.is_opened = true;
            seen.is_terminated = true;
            Verdict::Terminator
        }
        b"response.failed" => Verdict::Error(error_kind(member(json, b"response"))),
        b"error" => Verdict::Error(error_kind(json)),
        _ if kind.ends_with(b".delta") => {
            seen.is_opened = true;
            if let Some(delta) = string_inside(member(json, b"delta")) {
                seen.text.push(delta);
            }
            Verdict::Forward
        }
        // A part that is announced is not there yet; one that is done, or a kind unknown here, is.
        _ => {
            seen.is_opened |= !kind.ends_with(b".added");
            Verdict::Forward
        }
    }
}

fn read_message_delta(meter: &mut StreamMeter, json: &[u8]) -> Verdict {
    let Some(mut members) = Items::open(json, 0).filter(Items::is_object) else { return Verdict::Forward };
    while let Ok(Some(found)) = members.next_member() {
        if json.get(found.name) != Some(b"usage") {
            continue;
        }
        let usage = json.get(found.value.clone()).unwrap_or_default();
        let figures = AnthropicFigures::read(usage);
        meter.seen.anthropic = meter.seen.anthropic.updated_by(figures);
        if meter.asked.usage && figures.is_report() {
            return Verdict::Usage { cost_at: found.value.start + 1 };
        }
    }
    Verdict::Forward
}

/// The inside of a string, as a range.
fn inside(json: &[u8], string: &Range<usize>) -> Option<Range<usize>> {
    (json.get(string.start) == Some(&b'"') && string.len() >= 2).then(|| string.start + 1..string.end - 1)
}

/// What kind of failure an error event reports: by its status where it has one, else by its words.
fn error_kind(json: &[u8]) -> ErrorKind {
    let error = member(json, b"error");
    let status = [member(json, b"status_code"), member(error, b"code"), member(error, b"status")]
        .into_iter()
        .find_map(|value| std::str::from_utf8(value).ok()?.parse::<u16>().ok());
    match status {
        Some(429 | 498) => return ErrorKind::RateLimited,
        Some(503 | 529) => return ErrorKind::Overloaded,
        Some(400 | 413 | 415 | 422) => return ErrorKind::Rejected,
        Some(_) | None => {}
    }
    // Responses says it beside the event's own type.
    let words = [member(error, b"type"), member(error, b"code"), member(json, b"code")];
    let says = |word: &[u8]| words.iter().any(|said| memchr::memmem::find(said, word).is_some());
    if says(b"rate_limit") || says(b"too_many_requests") {
        ErrorKind::RateLimited
    } else if says(b"overloaded") || says(b"unavailable") || says(b"capacity") {
        ErrorKind::Overloaded
    } else if [&b"invalid_request"[..], b"content_policy", b"content_filter", b"context_length", b"too_large"]
        .into_iter()
        .any(says)
    {
        ErrorKind::Rejected
    } else {
        ErrorKind::Fault
    }
}
