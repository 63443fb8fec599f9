//! Tokens of a text that no provider counted.
//!
//! Must not know who pays for the estimate. OpenAI's o200k vocabulary is the yardstick; a model's factor turns
//! its count into that model's own. The vocabulary (66 MB) is loaded when the first estimate is made: a
//! process whose providers all report usage never pays for it.

use std::borrow::Cow;

use crate::wire::leap;

/// The factor of a model that counts as o200k does.
pub const FACTOR_ONE_MILLI: u32 = 1000;

/// The tokens of `text` for a model that counts `factor_milli` thousandths of o200k's; at least 1 for a text
/// that is not empty.
pub fn tokens(text: &str, factor_milli: u32) -> u64 {
    if text.is_empty() {
        return 0;
    }
    let counted = u64::try_from(bpe_openai::o200k_base().count(text)).unwrap_or(u64::MAX);
    scale(counted, u64::from(factor_milli), u64::from(FACTOR_ONE_MILLI)).max(1)
}

/// The tokens of a text of which only the beginning was kept: `kept` stands as in JSON strings, escapes
/// included, and `bytes_total` is the length of the whole in the same spelling.
pub fn tokens_of_escaped(kept: &[u8], bytes_total: u64, factor_milli: u32) -> u64 {
    let counted = tokens(&leap::unescape_lossy(kept), factor_milli);
    let kept_bytes = u64::try_from(kept.len()).unwrap_or(u64::MAX);
    if kept_bytes == 0 {
        // Nothing to go by but the length: two bytes a token is more than any prose or code has.
        return bytes_total.div_ceil(2);
    }
    if bytes_total <= kept_bytes { counted } else { scale(counted, bytes_total, kept_bytes) }
}

/// A prompt as far as it can be counted without its provider.
#[derive(Clone, Debug)]
pub struct Prompt<'a> {
    /// The beginning of its text, as spelt in JSON.
    pub text: Cow<'a, [u8]>,
    /// The length of the whole text in the same spelling.
    pub text_bytes_total: u64,
    /// Messages or items.
    pub messages: u32,
    /// Tools that are offered.
    pub tools: u32,
    /// Pictures, documents and pieces of sound.
    pub media: u32,
}

/// The tokens of a whole prompt, with what formats add around its text: figures of the catalogue's study of token
/// counts (2026-11-22).
pub fn prompt_tokens(prompt: &Prompt<'_>, factor_milli: u32) -> u64 {
    const PER_MESSAGE: u64 = 4;
    const PER_PROMPT: u64 = 3;
    const PER_TOOL: u64 = 9;
    const FOR_ANY_TOOL: u64 = 350;
    const PER_MEDIUM: u64 = 1_600;
    let Prompt { text, text_bytes_total, messages, tools, media } = prompt;
    let text = tokens_of_escaped(text, *text_bytes_total, FACTOR_ONE_MILLI);
    let for_tools = if *tools > 0 { FOR_ANY_TOOL + PER_TOOL * u64::from(*tools) } else { 0 };
    let around = PER_PROMPT + PER_MESSAGE * u64::from(*messages) + for_tools;
    let counted = scale(text.saturating_add(around), u64::from(factor_milli), u64::from(FACTOR_ONE_MILLI));
    counted.saturating_add(PER_MEDIUM * u64::from(*media))
}

/// What o200k counts, as a model counts it that has `factor_milli` thousandths of its tokens.
pub fn counted_by(tokens: u64, factor_milli: u32) -> u64 {
    scale(tokens, u64::from(factor_milli), u64::from(FACTOR_ONE_MILLI))
}

/// A guess from the length alone, for places where an exact count comes later: `text_bytes` of text, as spelt in
/// JSON, have about four bytes a token.
pub fn tokens_by_length(text_bytes: u64, factor_milli: u32) -> u64 {
    const BYTES_PER_TOKEN: u64 = 4;
    scale(text_bytes.div_ceil(BYTES_PER_TOKEN), u64::from(factor_milli), u64::from(FACTOR_ONE_MILLI))
}

/// `count × numerator ÷ denominator`, rounded up.
fn scale(count: u64, numerator: u64, denominator: u64) -> u64 {
    let exact = (u128::from(count) * u128::from(numerator)).div_ceil(u128::from(denominator.max(1)));
    u64::try_from(exact).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_counted_and_scaled() {
        assert_eq!(tokens("", 1000), 0);
        assert_eq!(tokens("hello world", 1000), 2);
        assert_eq!(tokens("hello world", 1560), 4);
        assert_eq!(tokens("a", 1), 1);
        assert_eq!(tokens_of_escaped(br"hello\nworld", 12, 1000), tokens("hello\nworld", 1000));
        assert_eq!(tokens_of_escaped(b"hello world", 110, 1000), 20);
        assert_eq!(tokens_of_escaped(b"", 11, 1000), 6);
        assert_eq!(tokens_of_escaped(b"", 0, 1000), 0);
    }
}
