//! What a model wants back: signatures and sealed thoughts, and who made them.
//!
//! Must not open or check them: only their maker can.

use std::borrow::Cow;

use super::Text;

/// An opaque token that goes back, unchanged, to the model that made it, and to no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob<'a> {
    /// Whose grammar.
    pub kind: BlobKind,
    /// As its maker spelt it.
    pub token: Text<'a>,
    /// Who made it; `None` where it came without an envelope of ours, from a client of the same format.
    pub maker: Option<Maker<'a>>,
}

/// Which format's token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobKind {
    /// `thinking.signature` of Anthropic.
    AnthropicSignature,
    /// `redacted_thinking.data` of Anthropic.
    AnthropicRedacted,
    /// `reasoning.encrypted_content` of Responses.
    ResponsesEncrypted,
    /// `thoughtSignature` of Gemini.
    GeminiSignature,
    /// `reasoning_details` of Chat hosts: a JSON array.
    ChatDetails,
    /// `reasoning_content` that a Chat host wants back (`DeepSeek`); the token is empty, the part's text is it.
    ChatText,
}

impl BlobKind {
    /// All with their names inside an envelope.
    pub const NAMES: [(&'static str, Self); 6] = [
        ("as", Self::AnthropicSignature),
        ("ar", Self::AnthropicRedacted),
        ("re", Self::ResponsesEncrypted),
        ("gs", Self::GeminiSignature),
        ("cd", Self::ChatDetails),
        ("ct", Self::ChatText),
    ];

    /// Its name inside an envelope.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

/// A model at a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maker<'a> {
    /// The provider's id.
    pub provider: Cow<'a, str>,
    /// The provider's name of the model.
    pub model: Cow<'a, str>,
}
