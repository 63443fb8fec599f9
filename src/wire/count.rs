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

/// Whether this is a provider's answer to the question: an object with `input_tokens`.
pub fn is_answer(body: &[u8]) -> bool {
    let Some(mut members) = Items::open(body, super::leap::skip_space(body, 0)).filter(Items::is_object) else {
        return false;
    };
    let mut is_there = false;
    while let Ok(Some(member)) = members.next_member() {
        is_there |= body.get(member.name) == Some(b"input_tokens");
    }
    is_there
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
            assert!(is_answer(&body));
        }
        assert!(!is_answer(b"{\"error\":{}}") && !is_answer(b"[]") && !is_answer(b""));
    }
}
