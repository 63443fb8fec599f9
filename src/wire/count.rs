//! Answers to the question how many tokens a prompt has, in each client format.
//!
//! Must not count.

use bytes::Bytes;

use super::leap::Items;
use crate::base::wire_format::WireFormat;

/// The answer in a client's format.
pub fn answer(format: WireFormat, tokens: u64) -> Bytes {
    Bytes::from(match format {
        WireFormat::OpenaiResponses => format!("{{\"object\":\"response.input_tokens\",\"input_tokens\":{tokens}}}"),
        WireFormat::AnthropicMessages
        | WireFormat::OpenaiChat
        | WireFormat::OpenaiImages
        | WireFormat::GeminiGenerate
        | WireFormat::BedrockConverse
        | WireFormat::OpenaiEmbeddings
        | WireFormat::OpenaiImageEdits
        | WireFormat::OpenaiTranscriptions
        | WireFormat::OpenaiSpeech => format!("{{\"input_tokens\":{tokens}}}"),
    })
}

/// The tokens in a provider's answer to the question: `input_tokens`, or Gemini's `totalTokens`.
pub fn tokens(body: &[u8]) -> Option<u64> {
    let mut members = Items::open(body, super::leap::skip_space(body, 0)).filter(Items::is_object)?;
    let mut told = None;
    while let Ok(Some(member)) = members.next_member() {
        if matches!(body.get(member.name), Some(b"input_tokens" | b"totalTokens")) {
            told = std::str::from_utf8(body.get(member.value)?).ok()?.parse().ok();
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_has_its_own_answer() {
        for format in [WireFormat::AnthropicMessages, WireFormat::OpenaiResponses] {
            let body = answer(format, 12);
            let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(value["input_tokens"], 12);
            assert_eq!(tokens(&body), Some(12));
        }
        assert_eq!(tokens(b"{\"totalTokens\": 7,\"x\":[]}"), Some(7));
        for body in ["{\"error\":{}}", "[]", "", "{\"input_tokens\":\"many\"}"] {
            assert_eq!(tokens(body.as_bytes()), None, "{body}");
        }
    }
}
