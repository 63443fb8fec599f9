//! `usageMetadata` in the normal form.
//!
//! Must not know prices. Cached tokens are inside the prompt, thoughts outside the candidates, results of the
//! provider's own tools outside the prompt; shares of pictures and sound are inside their totals.

use crate::base::usage::Usage;
use crate::translate::ir::Value;

/// The largest count that is believed, as in `wire::usage`.
const COUNT_MAX: u64 = 1_000_000_000;

/// The figures as they are sent.
#[derive(Default)]
struct Figures {
    prompt: Option<u64>,
    cached: u64,
    candidates: Option<u64>,
    thoughts: u64,
    tool_prompt: u64,
    total: Option<u64>,
    prompt_shares: Shares,
    cached_shares: Shares,
    produced_shares: Shares,
}

/// Tokens that are no text.
#[derive(Clone, Copy, Default)]
struct Shares {
    image: u64,
    audio: u64,
}

/// Reads the object; `None` where it says neither what came in nor what went out.
pub(super) fn read(object: Value<'_>) -> Option<Usage> {
    let mut figures = Figures::default();
    for (name, value) in object.members() {
        match &*name {
            "promptTokenCount" => figures.prompt = count(value),
            "cachedContentTokenCount" => figures.cached = count(value).unwrap_or(0),
            "candidatesTokenCount" => figures.candidates = count(value),
            "thoughtsTokenCount" => figures.thoughts = count(value).unwrap_or(0),
            "toolUsePromptTokenCount" => figures.tool_prompt = count(value).unwrap_or(0),
            "totalTokenCount" => figures.total = count(value),
            "promptTokensDetails" => figures.prompt_shares = Shares::read(value),
            "cacheTokensDetails" => figures.cached_shares = Shares::read(value),
            "candidatesTokensDetails" => figures.produced_shares = Shares::read(value),
            _ => {}
        }
    }
    let says_something = figures.prompt.is_some() || figures.candidates.is_some();
    says_something.then(|| figures.normalise())
}

fn count(value: Value<'_>) -> Option<u64> {
    value.as_u64().filter(|count| *count <= COUNT_MAX)
}

impl Shares {
    fn read(details: Value<'_>) -> Self {
        let mut shares = Self::default();
        for detail in details.elements() {
            let (mut tokens, mut modality) = (0, None);
            for (name, value) in detail.members() {
                match &*name {
                    "tokenCount" => tokens = count(value).unwrap_or(0),
                    "modality" => modality = Some(value.spelt()),
                    _ => {}
                }
            }
            match modality {
                // A page of a document is counted as what it is: text and pictures at the price of text.
                Some("\"IMAGE\"") => shares.image += tokens,
                Some("\"AUDIO\"") => shares.audio += tokens,
                _ => {}
            }
        }
        shares
    }
}

impl Figures {
    fn normalise(self) -> Usage {
        let Self { prompt, cached, candidates, thoughts, tool_prompt, total, .. } = self;
        let Self { prompt_shares, cached_shares, produced_shares, .. } = self;
        let (prompt, candidates) = (prompt.unwrap_or(0), candidates.unwrap_or(0));
        let cache_read_image = cached_shares.image.min(cached);
        // What is read from the cache and exceeds the prompt cannot be inside it.
        let uncached = prompt.checked_sub(cached).unwrap_or(prompt) + tool_prompt;
        let input_image = prompt_shares.image.saturating_sub(cache_read_image).min(uncached);
        let input_audio = prompt_shares.audio.saturating_sub(cached_shares.audio).min(uncached - input_image);
        // A total without room for the thoughts has them inside already.
        let is_inside = total.is_some_and(|total| thoughts > 0 && total == prompt + tool_prompt + candidates);
        let produced = if is_inside { candidates } else { candidates + thoughts };
        let output_image = produced_shares.image.min(candidates);
        let output_audio = produced_shares.audio.min(candidates - output_image);
        let output = produced - output_image - output_audio;
        Usage {
            input: uncached - input_image - input_audio,
            cache_read: cached - cache_read_image,
            output,
            reasoning: thoughts.min(output),
            input_image,
            cache_read_image,
            output_image,
            input_audio,
            output_audio,
            ..Usage::default()
        }
    }
}
