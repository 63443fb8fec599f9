//! The wire formats that clients and providers speak.
//!
//! Must not know how any of them is read or written.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A request and answer grammar. Charges are kept by the place in this list: new ones go to its end.
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
    /// `POST /v1/embeddings`.
    OpenaiEmbeddings,
    /// `POST /v1/images/edits`, a form.
    OpenaiImageEdits,
    /// `POST /v1/audio/transcriptions`, a form.
    OpenaiTranscriptions,
    /// `POST /v1/audio/speech`, whose answer is sound.
    OpenaiSpeech,
}

impl WireFormat {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::OpenaiChat,
        Self::OpenaiResponses,
        Self::AnthropicMessages,
        Self::OpenaiImages,
        Self::GeminiGenerate,
        Self::BedrockConverse,
        Self::OpenaiEmbeddings,
        Self::OpenaiImageEdits,
        Self::OpenaiTranscriptions,
        Self::OpenaiSpeech,
    ];

    /// Those that requests of this format can be translated into, richest first.
    pub fn written_as(self) -> &'static [Self] {
        match self {
            Self::OpenaiChat | Self::OpenaiResponses => &[
                Self::AnthropicMessages,
                Self::GeminiGenerate,
                Self::OpenaiResponses,
                Self::OpenaiChat,
                Self::OpenaiImages,
            ],
            Self::AnthropicMessages => {
                &[Self::AnthropicMessages, Self::GeminiGenerate, Self::OpenaiResponses, Self::OpenaiChat]
            }
            Self::OpenaiImages | Self::OpenaiImageEdits => &[Self::GeminiGenerate],
            Self::GeminiGenerate
            | Self::BedrockConverse
            | Self::OpenaiEmbeddings
            | Self::OpenaiTranscriptions
            | Self::OpenaiSpeech => &[],
        }
    }

    /// Whether requests are talks, and answers are what a model says to them.
    pub fn is_conversation(self) -> bool {
        match self {
            Self::OpenaiChat
            | Self::OpenaiResponses
            | Self::AnthropicMessages
            | Self::GeminiGenerate
            | Self::BedrockConverse => true,
            Self::OpenaiImages
            | Self::OpenaiEmbeddings
            | Self::OpenaiImageEdits
            | Self::OpenaiTranscriptions
            | Self::OpenaiSpeech => false,
        }
    }

    /// Whether requests are forms (`multipart/form-data`) and not JSON.
    pub fn is_form(self) -> bool {
        matches!(self, Self::OpenaiImageEdits | Self::OpenaiTranscriptions)
    }

    /// The format of that name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// The name used in configuration, logs and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenaiChat => "openai-chat",
            Self::OpenaiResponses => "openai-responses",
            Self::AnthropicMessages => "anthropic-messages",
            Self::OpenaiImages => "openai-images",
            Self::GeminiGenerate => "gemini-generate",
            Self::BedrockConverse => "bedrock-converse",
            Self::OpenaiEmbeddings => "openai-embeddings",
            Self::OpenaiImageEdits => "openai-image-edits",
            Self::OpenaiTranscriptions => "openai-transcriptions",
            Self::OpenaiSpeech => "openai-speech",
        }
    }
}

impl fmt::Display for WireFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
