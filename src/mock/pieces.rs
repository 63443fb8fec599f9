//! What the mock says where no talk is asked for: vectors, pictures, a transcript, silence.
//!
//! Must not know sockets. The same request gets the same answer; nothing of a form is looked at.

use bytes::Bytes;
use serde_json::{Value, json};

use super::answer::{Invalid, Reply, ReplyBody, tokens};
use crate::base::wire_format::WireFormat;

/// One white pixel.
const PIXEL: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";
const VECTOR: [f64; 4] = [0.5, -0.5, 0.5, -0.5];
/// Vectors or pictures of one answer, at most.
const PIECES_MAX: usize = 2_048;
const TOKENS_PER_IMAGE: usize = 100;
/// A WAV file of no length: 16 kHz, one channel, 16 bits.
const SILENCE: &[u8; 44] =
    b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data\0\0\0\0";

/// Answers a request of such a format; `None` for those of talks.
pub(super) fn reply(format: WireFormat, body: &[u8]) -> Option<Result<Reply, Invalid>> {
    let json = || serde_json::from_slice::<Value>(body).map_err(|_| Invalid::new(400, "The body is not JSON."));
    let answer = match format {
        WireFormat::OpenaiEmbeddings => json().and_then(|asked| vectors(&asked)).map(|vectors| whole(&vectors)),
        WireFormat::OpenaiImages => json().map(|asked| whole(&pictures(asked["n"].as_u64().unwrap_or(1)))),
        WireFormat::OpenaiImageEdits => Ok(whole(&pictures(1))),
        WireFormat::OpenaiTranscriptions => Ok(whole(&json!({
            "text": "Hello from the Flux mock; nothing was listened to.",
            "usage": {"type": "duration", "seconds": 1},
        }))),
        WireFormat::OpenaiSpeech => {
            Ok(Reply { status: 200, content_type: "audio/wav", body: ReplyBody::Whole(Bytes::from_static(SILENCE)) })
        }
        WireFormat::OpenaiChat
        | WireFormat::OpenaiResponses
        | WireFormat::AnthropicMessages
        | WireFormat::GeminiGenerate
        | WireFormat::BedrockConverse => return None,
    };
    Some(answer)
}

fn vectors(asked: &Value) -> Result<Value, Invalid> {
    let count = match &asked["input"] {
        Value::Array(list) if list.first().is_some_and(|first| !first.is_number()) => list.len(),
        Value::Null => return Err(Invalid::field("input", "Missing required parameter: 'input'.")),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => 1,
    };
    let vector = |index: usize| json!({"object": "embedding", "index": index, "embedding": VECTOR});
    let data: Vec<_> = (0..count.min(PIECES_MAX)).map(vector).collect();
    let used = tokens(asked["input"].to_string().len());
    Ok(json!({
        "object": "list", "data": data, "model": "mock", "usage": {"prompt_tokens": used, "total_tokens": used},
    }))
}

fn pictures(count: u64) -> Value {
    let count = usize::try_from(count).unwrap_or(PIECES_MAX).clamp(1, PIECES_MAX);
    let used = count * TOKENS_PER_IMAGE;
    let details = json!({"text_tokens": 1, "image_tokens": 0});
    json!({
        "created": 0,
        "data": vec![json!({"b64_json": PIXEL}); count],
        "usage": {"input_tokens": 1, "output_tokens": used, "total_tokens": used + 1, "input_tokens_details": details},
    })
}

fn whole(json: &Value) -> Reply {
    let body = ReplyBody::Whole(Bytes::from(json.to_string()));
    Reply { status: 200, content_type: "application/json", body }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_gets_an_answer_of_its_kind() {
        let said = |format, body: &str| match reply(format, body.as_bytes()).unwrap().unwrap().body {
            ReplyBody::Whole(body) => body,
            ReplyBody::Frames(_) => Bytes::new(),
        };
        let json = |format, body: &str| serde_json::from_slice::<Value>(&said(format, body)).unwrap();
        let vectors = json(WireFormat::OpenaiEmbeddings, r#"{"input":["a","b"]}"#);
        assert_eq!(vectors["data"].as_array().unwrap().len(), 2);
        let tokens = json(WireFormat::OpenaiEmbeddings, r#"{"input":[1,2,3]}"#);
        assert_eq!(tokens["data"].as_array().unwrap().len(), 1);
        let pictures = json(WireFormat::OpenaiImages, r#"{"prompt":"x","n":3}"#);
        assert_eq!(pictures["data"].as_array().unwrap().len(), 3);
        assert!(said(WireFormat::OpenaiSpeech, "").starts_with(b"RIFF"));
        assert!(reply(WireFormat::OpenaiEmbeddings, b"{}").unwrap().is_err());
        assert!(reply(WireFormat::OpenaiChat, b"{}").is_none());
    }
}
