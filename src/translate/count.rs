//! A prompt to count in a provider's format, out of a request that was translated into it.
//!
//! Must not count, nor know a client's format. Providers take no more than what is part of the prompt here.

use crate::base::wire_format::WireFormat;
use crate::wire::json::{Document, Writer};
use crate::wire::leap::Malformed;

/// What `POST /v1/messages/count_tokens` of Anthropic takes.
const OF_ANTHROPIC: &[&str] = &["model", "system", "messages", "tools", "tool_choice", "thinking", "output_config"];
/// What `POST /v1/responses/input_tokens` of `OpenAI` takes.
const OF_RESPONSES: &[&str] =
    &["model", "instructions", "input", "tools", "tool_choice", "parallel_tool_calls", "reasoning", "text"];

/// The body that asks for the length of a translated request's prompt.
///
/// # Errors
/// When the request is no JSON.
pub fn prompt(request: &[u8], format: WireFormat, provider_model_id: &str) -> Result<Vec<u8>, Malformed> {
    let request = Document::parse(request)?;
    let mut w = Writer::default();
    w.object(|w| match format {
        WireFormat::GeminiGenerate => w.name("generateContentRequest").object(|w| {
            w.name("model").plain(&format!("models/{provider_model_id}"));
            for (name, value) in request.root().members() {
                w.name(&name).value(value);
            }
        }),
        WireFormat::AnthropicMessages
        | WireFormat::OpenaiResponses
        | WireFormat::OpenaiChat
        | WireFormat::OpenaiImages
        | WireFormat::BedrockConverse
        | WireFormat::OpenaiEmbeddings
        | WireFormat::OpenaiImageEdits
        | WireFormat::OpenaiTranscriptions
        | WireFormat::OpenaiSpeech => {
            let taken = if format == WireFormat::OpenaiResponses { OF_RESPONSES } else { OF_ANTHROPIC };
            for (name, value) in request.root().members().filter(|(name, _)| taken.contains(&&**name)) {
                w.name(&name).value(value);
            }
        }
    });
    Ok(w.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_prompt_is_asked_about() {
        let request = br#"{"model":"m","max_tokens":5,"messages":[{"a":1}],"input":[],"contents":[],"stream":true}"#;
        for (format, body) in [
            (WireFormat::AnthropicMessages, r#"{"model":"m","messages":[{"a":1}]}"#),
            (WireFormat::OpenaiResponses, r#"{"model":"m","input":[]}"#),
        ] {
            assert_eq!(String::from_utf8(prompt(request, format, "m").unwrap()).unwrap(), body);
        }
        let gemini = prompt(br#"{"contents":[]}"#, WireFormat::GeminiGenerate, "gemini-x").unwrap();
        let expected = r#"{"generateContentRequest":{"model":"models/gemini-x","contents":[]}}"#;
        assert_eq!(String::from_utf8(gemini).unwrap(), expected);
    }
}
