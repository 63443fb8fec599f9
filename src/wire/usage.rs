//! Providers' token figures, read into the one normal form.
//!
//! Must not know prices, nor which provider it reads: where hosts of one wire format count differently, the
//! totals they send decide, and [`UsageQuirks`] where those leave it open. A figure that cannot be a count
//! (negative, fractional, absurdly large) is read as absent.

use std::ops::Range;

use super::leap::{Items, Malformed, NAME_BYTES_MAX, plain_name, string_inside};
use super::strict;
use crate::base::usage::{CacheWrite, Usage};
use crate::base::wire_format::WireFormat;

/// The largest count that is believed: no request has a billion tokens.
const COUNT_MAX: u64 = 1_000_000_000;

/// The longest name of a service tier that is kept.
const TIER_BYTES_MAX: usize = 32;

/// Where a host of a wire format counts unlike the format's owner, and sends no total that would tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsageQuirks {
    /// Reasoning tokens are not inside the completion tokens (xAI).
    pub reasoning_outside_output: bool,
    /// Cache reads and writes are not inside the prompt tokens (some compatible hosts).
    pub cache_outside_input: bool,
}

/// What a whole, not streamed answer says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// What was used, if it says so.
    pub usage: Option<Usage>,
    /// The tier that served, where it was not the standard one.
    pub service_tier: Option<Box<str>>,
    /// Whether this is an error in spite of its status: `error` at the top instead of an answer.
    pub is_error: bool,
}

/// The body of an answer is cut off or no JSON object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokenAnswer {
    /// It is no object, cut off or malformed, or something follows it.
    #[error("the answer is not one whole JSON object: {0}")]
    Malformed(#[from] Malformed),
    /// A member that is looked at is given twice: clients would have to choose.
    #[error("the answer has two members `{0}`")]
    Twins(&'static str),
}

/// The members of an answer that are looked at; empty where they are not there.
#[derive(Default)]
struct Body<'a> {
    usage: &'a [u8],
    x_groq: &'a [u8],
    error: &'a [u8],
    service_tier: &'a [u8],
    twins: Option<&'static str>,
}

impl<'a> Body<'a> {
    fn note(&mut self, spelt: &'a [u8], value: &'a [u8]) {
        // A name that cannot be read, by single surrogates, is none of these.
        let mut room = [0; NAME_BYTES_MAX];
        let (place, name) = match plain_name(spelt, &mut room).unwrap_or_default() {
            b"usage" => (&mut self.usage, "usage"),
            b"x_groq" => (&mut self.x_groq, "x_groq"),
            b"error" => (&mut self.error, "error"),
            b"service_tier" => (&mut self.service_tier, "service_tier"),
            _ => return,
        };
        if !place.is_empty() {
            self.twins = Some(name);
        }
        *place = value;
    }
}

/// Checks in one pass that an answer is whole, and reads what it says about itself.
///
/// # Errors
/// When the body is anything else than one complete JSON object.
pub fn read_answer(format: WireFormat, body: &[u8], quirks: UsageQuirks) -> Result<Answer, BrokenAnswer> {
    let mut members = Body::default();
    strict::object(body, |name, value| members.note(name, value))?;
    let Body { usage: figures, x_groq, error, service_tier, twins } = members;
    if let Some(name) = twins {
        return Err(BrokenAnswer::Twins(name));
    }
    let usage = match format {
        WireFormat::OpenaiChat
        | WireFormat::OpenaiResponses
        | WireFormat::OpenaiEmbeddings
        | WireFormat::OpenaiTranscriptions => {
            openai_chat(figures, quirks).or_else(|| openai_chat(member(x_groq, b"usage"), quirks))
        }
        WireFormat::OpenaiImages | WireFormat::OpenaiImageEdits => openai_images(figures),
        WireFormat::AnthropicMessages => anthropic(figures),
        WireFormat::GeminiGenerate | WireFormat::BedrockConverse | WireFormat::OpenaiSpeech => None,
    };
    let tier = match format {
        WireFormat::AnthropicMessages => member(figures, b"service_tier"),
        WireFormat::OpenaiChat
        | WireFormat::OpenaiResponses
        | WireFormat::OpenaiImages
        | WireFormat::GeminiGenerate
        | WireFormat::BedrockConverse
        | WireFormat::OpenaiEmbeddings
        | WireFormat::OpenaiImageEdits
        | WireFormat::OpenaiTranscriptions
        | WireFormat::OpenaiSpeech => service_tier,
    };
    Ok(Answer { usage, service_tier: tier_name(tier), is_error: is_truthy(error) })
}

/// Whether a JSON value counts as there: not absent, null, false, zero or empty.
pub fn is_truthy(value: &[u8]) -> bool {
    let is_empty_container = || {
        Items::open(value, 0).is_some_and(|mut items| {
            let is_object = items.is_object();
            if is_object { matches!(items.next_member(), Ok(None)) } else { matches!(items.next_element(), Ok(None)) }
        })
    };
    !matches!(value, b"" | b"null" | b"false" | b"0" | b"\"\"") && !is_empty_container()
}

/// The name of a service tier from its JSON value; `None` for the standard one under any of its names.
pub fn tier_name(value: &[u8]) -> Option<Box<str>> {
    let name = string_inside(value)?;
    match name {
        b"" | b"default" | b"standard" | b"standard_only" | b"auto" | b"on_demand" => None,
        _ if name.len() > TIER_BYTES_MAX || !name.iter().all(u8::is_ascii_graphic) => None,
        _ => std::str::from_utf8(name).ok().map(Box::from),
    }
}

/// The value of a member of an object, empty where it is not there. Providers spell names plainly.
pub fn member<'a>(object: &'a [u8], name: &[u8]) -> &'a [u8] {
    let mut found = 0..0;
    each_member(object, |is, value| {
        if is == name {
            found = value;
        }
    });
    object.get(found).unwrap_or_default()
}

/// Calls `visit` with each member of an object; stops where the object is broken.
fn each_member(object: &[u8], mut visit: impl FnMut(&[u8], Range<usize>)) {
    let Some(mut members) = Items::open(object, 0).filter(Items::is_object) else { return };
    while let Ok(Some(member)) = members.next_member() {
        visit(object.get(member.name).unwrap_or_default(), member.value);
    }
}

/// A count: digits, also with a fraction of zeros, as some hosts write.
fn count(value: &[u8]) -> Option<u64> {
    if (1..=9).contains(&value.len()) && value.iter().all(u8::is_ascii_digit) {
        // Always below the bound.
        return Some(value.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')));
    }
    let (whole, fraction) = match memchr::memchr(b'.', value) {
        Some(dot) => (value.get(..dot)?, value.get(dot + 1..)?),
        None => (value, &b""[..]),
    };
    if whole.is_empty()
        || whole.len() > 10
        || !whole.iter().all(u8::is_ascii_digit)
        || fraction.iter().any(|d| *d != b'0')
    {
        return None;
    }
    let count = whole.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    (count <= COUNT_MAX).then_some(count)
}

/// The figures of an OpenAI-like usage object, as sent.
#[derive(Default)]
struct OpenaiFigures {
    prompt: Option<u64>,
    completion: Option<u64>,
    total: Option<u64>,
    prompt_part: PromptPart,
    completion_part: CompletionPart,
}

/// Shares of the prompt.
#[derive(Default)]
struct PromptPart {
    cached: u64,
    cached_image: u64,
    written: u64,
    written_12h: u64,
    audio: u64,
    image: u64,
}

/// Shares of the completion.
#[derive(Default)]
struct CompletionPart {
    reasoning: u64,
    audio: u64,
    image: u64,
}

/// Reads the usage object of OpenAI Chat or Responses, and of the hosts that are compatible with them.
/// `None` where it has neither prompt nor completion tokens.
pub fn openai_chat(json: &[u8], quirks: UsageQuirks) -> Option<Usage> {
    let figures = OpenaiFigures::read(json);
    if figures.prompt.is_none() && figures.completion.is_none() {
        return None;
    }
    Some(figures.normalise(quirks))
}

/// Reads the usage object of the image endpoint: what is produced are image tokens.
pub fn openai_images(json: &[u8]) -> Option<Usage> {
    let mut usage = openai_chat(json, UsageQuirks::default())?;
    usage.output_image = usage.completion_total();
    usage.output = 0;
    usage.reasoning = 0;
    Some(usage)
}

impl OpenaiFigures {
    fn read(json: &[u8]) -> Self {
        let mut figures = Self::default();
        each_member(json, |name, value| {
            let value = json.get(value).unwrap_or_default();
            match name {
                b"prompt_tokens" | b"input_tokens" => figures.prompt = count(value),
                b"completion_tokens" | b"output_tokens" => figures.completion = count(value),
                b"total_tokens" => figures.total = count(value),
                b"prompt_tokens_details" | b"input_tokens_details" | b"input_token_details" => {
                    figures.prompt_part.read(value);
                }
                b"completion_tokens_details" | b"output_tokens_details" => figures.completion_part.read(value),
                // DeepSeek, Mistral and Moonshot say it at the top, some of them in both places.
                b"prompt_cache_hit_tokens" | b"num_cached_tokens" | b"cached_tokens" => {
                    figures.prompt_part.cached = figures.prompt_part.cached.max(count(value).unwrap_or(0));
                }
                _ => {}
            }
        });
        figures
    }

    fn normalise(self, quirks: UsageQuirks) -> Usage {
        let Self { prompt, completion, total, prompt_part, completion_part } = self;
        let (prompt, completion) = (prompt.unwrap_or(0), completion.unwrap_or(0));
        let PromptPart { cached, cached_image, written, written_12h, audio, image } = prompt_part;
        let written_12h = written_12h.min(written);
        let cached_image = cached_image.min(cached);
        // Reads and writes that exceed the prompt cannot be inside it.
        let inside = if quirks.cache_outside_input { None } else { prompt.checked_sub(cached + written) };
        let uncached = inside.unwrap_or(prompt);
        let input_image = image.saturating_sub(cached_image).min(uncached);
        let input_audio = audio.min(uncached - input_image);

        let CompletionPart { reasoning, audio, image } = completion_part;
        let is_outside = match total {
            Some(total) if total == prompt + completion => reasoning > completion,
            Some(total) if total == prompt + completion + reasoning => true,
            Some(_) | None => quirks.reasoning_outside_output || reasoning > completion,
        };
        let produced = if is_outside { completion + reasoning } else { completion };
        let output_image = image.min(produced);
        let output_audio = audio.min(produced - output_image);
        let output = produced - output_image - output_audio;
        Usage {
            input: uncached - input_image - input_audio,
            cache_read: cached - cached_image,
            cache_write: CacheWrite { m30: written - written_12h, h12: written_12h, ..CacheWrite::default() },
            output,
            reasoning: reasoning.min(output),
            input_image,
            cache_read_image: cached_image,
            output_image,
            input_audio,
            output_audio,
        }
    }
}

impl PromptPart {
    fn read(&mut self, json: &[u8]) {
        each_member(json, |name, value| {
            let value = json.get(value).unwrap_or_default();
            match name {
                b"cached_tokens" => self.cached = self.cached.max(count(value).unwrap_or(0)),
                b"cache_write_tokens" => self.written = count(value).unwrap_or(0),
                b"ttl_12h" | b"ttl_12h_tokens" => self.written_12h = count(value).unwrap_or(0),
                b"cache_write_tokens_details" | b"cache_write_details" => {
                    let hours = [&b"ttl_12h"[..], b"ttl_12h_tokens"].map(|ttl| count(member(value, ttl)).unwrap_or(0));
                    self.written_12h = hours.into_iter().max().unwrap_or(0);
                }
                b"cached_tokens_details" => self.cached_image = count(member(value, b"image_tokens")).unwrap_or(0),
                b"audio_tokens" => self.audio = count(value).unwrap_or(0),
                b"image_tokens" => self.image = count(value).unwrap_or(0),
                _ => {}
            }
        });
    }
}

impl CompletionPart {
    fn read(&mut self, json: &[u8]) {
        each_member(json, |name, value| {
            let value = json.get(value).unwrap_or_default();
            match name {
                b"reasoning_tokens" => self.reasoning = count(value).unwrap_or(0),
                b"audio_tokens" => self.audio = count(value).unwrap_or(0),
                b"image_tokens" => self.image = count(value).unwrap_or(0),
                _ => {}
            }
        });
    }
}

/// Reads the usage object of an Anthropic message. `None` where it has neither input nor output tokens.
pub fn anthropic(json: &[u8]) -> Option<Usage> {
    let figures = AnthropicFigures::read(json);
    figures.is_report().then(|| figures.normalise())
}

/// The figures of an Anthropic usage object, as sent: a stream spreads them over two events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnthropicFigures {
    input: Option<u64>,
    cache_read: Option<u64>,
    cache_written: Option<u64>,
    written_5m: Option<u64>,
    written_1h: Option<u64>,
    output: Option<u64>,
    thinking: Option<u64>,
}

impl AnthropicFigures {
    /// Reads a usage object.
    pub fn read(json: &[u8]) -> Self {
        let mut figures = Self::default();
        each_member(json, |name, value| {
            let value = json.get(value).unwrap_or_default();
            match name {
                b"input_tokens" => figures.input = count(value),
                b"output_tokens" => figures.output = count(value),
                b"cache_read_input_tokens" => figures.cache_read = count(value),
                b"cache_creation_input_tokens" => figures.cache_written = count(value),
                b"cache_creation" => {
                    figures.written_5m = count(member(value, b"ephemeral_5m_input_tokens"));
                    figures.written_1h = count(member(value, b"ephemeral_1h_input_tokens"));
                }
                b"output_tokens_details" => figures.thinking = count(member(value, b"thinking_tokens")),
                _ => {}
            }
        });
        figures
    }

    /// Whether it says anything.
    pub fn is_report(&self) -> bool {
        self.input.is_some() || self.output.is_some()
    }

    /// Whether it says how much was produced.
    pub fn has_output(&self) -> bool {
        self.output.is_some()
    }

    /// The same figures without what was produced: in `message_start` that is only a placeholder.
    #[must_use]
    pub fn without_output(self) -> Self {
        Self { output: None, thinking: None, ..self }
    }

    /// Figures that came later take the place of earlier ones, unless they are absent, or a 0 where there
    /// was more: some hosts send both.
    #[must_use]
    pub fn updated_by(self, later: Self) -> Self {
        let newest = |old: Option<u64>, new: Option<u64>| match new {
            None | Some(0) => old.or(new),
            Some(_) => new,
        };
        let Self { input, cache_read, cache_written, written_5m, written_1h, output, thinking } = later;
        Self {
            input: newest(self.input, input),
            cache_read: newest(self.cache_read, cache_read),
            cache_written: newest(self.cache_written, cache_written),
            written_5m: newest(self.written_5m, written_5m),
            written_1h: newest(self.written_1h, written_1h),
            output: newest(self.output, output),
            thinking: newest(self.thinking, thinking),
        }
    }

    /// In the normal form. Writes whose lifetime is not said are booked at the shortest.
    pub fn normalise(self) -> Usage {
        let Self { input, cache_read, cache_written, written_5m, written_1h, output, thinking } = self;
        let h1 = written_1h.unwrap_or(0);
        let m5 = written_5m.unwrap_or(0).max(cache_written.unwrap_or(0).saturating_sub(h1));
        let output = output.unwrap_or(0);
        Usage {
            input: input.unwrap_or(0),
            cache_read: cache_read.unwrap_or(0),
            cache_write: CacheWrite { m5, h1, ..CacheWrite::default() },
            output,
            reasoning: thinking.unwrap_or(0).min(output),
            ..Usage::default()
        }
    }
}

#[cfg(test)]
mod tests;
