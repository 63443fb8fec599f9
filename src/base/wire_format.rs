//! The wire formats that clients and providers speak.
//!
//! Must not know how any of them is read or written.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A request and answer grammar. Clients speak the first three, providers any of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WireFormat {
    /// `POST /v1/chat/completions`.
    OpenaiChat,
    /// `POST /v1/responses`.
    OpenaiResponses,
    /// `POST /v1/messages`.
    AnthropicMessages,
    /// `POST /v1/images/generations`.
    OpenaiImages,
    /// `POST …:generateContent`.
    GeminiGenerate,
    /// `POST /model/{id}/converse`.
    BedrockConverse,
}

impl WireFormat {
    /// Those that requests can be translated into, richest first.
    pub const WRITTEN: [Self; 4] =
        [Self::AnthropicMessages, Self::GeminiGenerate, Self::OpenaiResponses, Self::OpenaiChat];

    /// The name used in configuration, logs and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenaiChat => "openai-chat",
            Self::OpenaiResponses => "openai-responses",
            Self::AnthropicMessages => "anthropic-messages",
            Self::OpenaiImages => "openai-images",
            Self::GeminiGenerate => "gemini-generate",
            Self::BedrockConverse => "bedrock-converse",
        }
    }
}

impl fmt::Display for WireFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
