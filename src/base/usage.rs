//! Tokens by kind, in one normal form for all providers.
//!
//! Must not know any wire format: the readers in `wire::usage` turn a provider's figures into this
//! form, so that no token is counted twice whatever the provider includes in its totals.

use serde::{Deserialize, Serialize};

/// What one request used. `input` excludes cache reads and writes; `output` includes reasoning.
/// All figures are tokens, except `images`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Prompt tokens that were neither read from nor written to a cache.
    pub input: u64,
    /// Prompt tokens read from the provider's cache.
    pub cache_read: u64,
    /// Prompt tokens written to the cache, by lifetime.
    pub cache_write: CacheWrite,
    /// Completion tokens, reasoning included; image and audio tokens excluded.
    pub output: u64,
    /// The part of `output` that was reasoning. Informational: it is never priced on its own.
    pub reasoning: u64,
    /// Image tokens of the prompt that have their own price. Not inside `input`.
    pub input_image: u64,
    /// Image tokens read from the cache. Not inside `cache_read`.
    pub cache_read_image: u64,
    /// Image tokens that were produced. Not inside `output`.
    pub output_image: u64,
    /// Audio tokens of the prompt. Not inside `input`.
    pub input_audio: u64,
    /// Audio tokens that were produced. Not inside `output`.
    pub output_audio: u64,
}

/// Cache writes by lifetime. A provider that states no lifetime is booked at its shortest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheWrite {
    /// Kept for five minutes (Anthropic's default).
    pub m5: u64,
    /// Kept for thirty minutes (`OpenAI`'s default).
    pub m30: u64,
    /// Kept for an hour (Anthropic).
    pub h1: u64,
    /// Kept for twelve hours (`OpenAI`).
    pub h12: u64,
}

impl CacheWrite {
    /// All writes together.
    pub fn total(self) -> u64 {
        let Self { m5, m30, h1, h12 } = self;
        m5.saturating_add(m30).saturating_add(h1).saturating_add(h12)
    }
}

impl Usage {
    /// The whole prompt, cached or not: what long-context price tiers are tested against.
    pub fn prompt_total(&self) -> u64 {
        [self.cache_read, self.cache_write.total(), self.input_image, self.cache_read_image, self.input_audio]
            .iter()
            .fold(self.input, |sum, part| sum.saturating_add(*part))
    }

    /// All that was produced.
    pub fn completion_total(&self) -> u64 {
        self.output.saturating_add(self.output_image).saturating_add(self.output_audio)
    }
}
