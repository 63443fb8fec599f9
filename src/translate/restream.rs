//! A whole answer as a stream: for a client that asked for one and a provider that did not give it.
//!
//! Must not know another format than the two that clients stream today, and never changes the
//! format: Chat stays Chat, Messages stay Messages.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::base::wire_format::WireFormat;

/// The answer is no object of its format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer is not an object of its wire format")]
pub struct NotAnAnswer;

/// The frames of a stream that says what `answer` says, terminator included.
///
/// # Errors
/// When the answer is not an object of the format, or the format has no stream here.
pub fn frames(format: WireFormat, answer: &[u8]) -> Result<Bytes, NotAnAnswer> {
    let Ok(Value::Object(answer)) = serde_json::from_slice(answer) else { return Err(NotAnAnswer) };
    match format {
        WireFormat::OpenaiChat => openai_chat(answer),
        WireFormat::AnthropicMessages => anthropic(answer),
        WireFormat::OpenaiResponses
        | WireFormat::OpenaiImages
        | WireFormat::GeminiGenerate
        | WireFormat::BedrockConverse
        | WireFormat::OpenaiEmbeddings
        | WireFormat::OpenaiImageEdits
        | WireFormat::OpenaiTranscriptions
        | WireFormat::OpenaiSpeech => Err(NotAnAnswer),
    }
}

fn openai_chat(mut answer: Map<String, Value>) -> Result<Bytes, NotAnAnswer> {
    let Some(Value::Array(choices)) = answer.remove("choices") else { return Err(NotAnAnswer) };
    let usage = answer.remove("usage");
    answer.insert("object".into(), json!("chat.completion.chunk"));
    let mut out = Vec::new();
    for (position, choice) in choices.into_iter().enumerate() {
        let Value::Object(mut choice) = choice else { return Err(NotAnAnswer) };
        let index = choice.remove("index").unwrap_or_else(|| json!(position));
        let finish_reason = choice.remove("finish_reason").unwrap_or(Value::Null);
        let mut delta = choice.remove("message").unwrap_or_else(|| json!({}));
        number_tool_calls(&mut delta);
        let logprobs = choice.remove("logprobs").unwrap_or(Value::Null);
        push_chunk(
            &mut out,
            &answer,
            json!([{ "index": index, "delta": delta, "logprobs": logprobs, "finish_reason": null }]),
        );
        push_chunk(&mut out, &answer, json!([{ "index": index, "delta": {}, "finish_reason": finish_reason }]));
    }
    if let Some(usage) = usage {
        answer.insert("usage".into(), usage);
        push_chunk(&mut out, &answer, json!([]));
    }
    out.extend_from_slice(b"data: [DONE]\n\n");
    Ok(Bytes::from(out))
}

/// In a stream each call carries its index; in a whole answer its place says it.
fn number_tool_calls(delta: &mut Value) {
    let Some(Value::Array(calls)) = delta.get_mut("tool_calls") else { return };
    for (index, call) in calls.iter_mut().enumerate() {
        if let Value::Object(call) = call {
            call.insert("index".into(), json!(index));
        }
    }
}

fn push_chunk(out: &mut Vec<u8>, envelope: &Map<String, Value>, choices: Value) {
    let mut chunk = envelope.clone();
    chunk.insert("choices".into(), choices);
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(Value::Object(chunk).to_string().as_bytes());
    out.extend_from_slice(b"\n\n");
}

fn anthropic(mut answer: Map<String, Value>) -> Result<Bytes, NotAnAnswer> {
    let Some(Value::Array(blocks)) = answer.insert("content".into(), json!([])) else { return Err(NotAnAnswer) };
    let stop_reason = answer.insert("stop_reason".into(), Value::Null).unwrap_or(Value::Null);
    let stop_sequence = answer.insert("stop_sequence".into(), Value::Null).unwrap_or(Value::Null);
    let usage = answer.get("usage").cloned().unwrap_or_else(|| json!({}));
    let mut out = Vec::new();
    push_event(&mut out, "message_start", json!({ "message": answer }));
    for (index, block) in blocks.into_iter().enumerate() {
        let (start, delta) = open_block(block);
        push_event(&mut out, "content_block_start", json!({ "index": index, "content_block": start }));
        for delta in delta {
            push_event(&mut out, "content_block_delta", json!({ "index": index, "delta": delta }));
        }
        push_event(&mut out, "content_block_stop", json!({ "index": index }));
    }
    let delta = json!({ "stop_reason": stop_reason, "stop_sequence": stop_sequence });
    push_event(&mut out, "message_delta", json!({ "delta": delta, "usage": usage }));
    push_event(&mut out, "message_stop", json!({}));
    Ok(Bytes::from(out))
}

/// A block as its opening and the deltas that fill it. Kinds unknown here come whole at the start.
fn open_block(mut block: Value) -> (Value, Vec<Value>) {
    let take = |block: &mut Value, field: &str, empty: Value| {
        block.get_mut(field).map(|value| std::mem::replace(value, empty)).unwrap_or_default()
    };
    match block.get("type").and_then(Value::as_str) {
        Some("text") => {
            let text = take(&mut block, "text", json!(""));
            (block, vec![json!({ "type": "text_delta", "text": text })])
        }
        Some("tool_use") => {
            let input = take(&mut block, "input", json!({}));
            (block, vec![json!({ "type": "input_json_delta", "partial_json": input.to_string() })])
        }
        Some("thinking") => {
            let thinking = take(&mut block, "thinking", json!(""));
            let signature = take(&mut block, "signature", json!(""));
            let deltas = vec![
                json!({ "type": "thinking_delta", "thinking": thinking }),
                json!({ "type": "signature_delta", "signature": signature }),
            ];
            (block, deltas)
        }
        _ => (block, Vec::new()),
    }
}

fn push_event(out: &mut Vec<u8>, name: &str, mut data: Value) {
    if let Value::Object(fields) = &mut data {
        fields.insert("type".into(), json!(name));
    }
    out.extend_from_slice(format!("event: {name}\ndata: {data}\n\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(format: WireFormat, answer: &Value) -> String {
        String::from_utf8(frames(format, answer.to_string().as_bytes()).unwrap().to_vec()).unwrap()
    }

    #[test]
    fn a_chat_answer_becomes_chunks_with_numbered_calls() {
        let answer = json!({
            "id": "c1", "object": "chat.completion", "model": "m",
            "choices": [{ "index": 0, "finish_reason": "tool_calls", "message": { "role": "assistant", "content": null,
                "tool_calls": [{ "id": "a", "type": "function", "function": { "name": "f", "arguments": "{}" } }] } }],
            "usage": { "prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7 },
        });
        let stream = text(WireFormat::OpenaiChat, &answer);
        assert!(stream.contains(r#""index":0"#) && stream.contains("chat.completion.chunk"));
        assert!(stream.contains(r#""finish_reason":"tool_calls""#));
        assert!(stream.ends_with("data: [DONE]\n\n"));
        assert_eq!(stream.matches("data: ").count(), 4);
    }

    #[test]
    fn a_message_becomes_named_events_in_order() {
        let answer = json!({
            "id": "m1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "tool_use",
            "content": [{ "type": "text", "text": "hi" }, { "type": "tool_use", "id": "t", "name": "f", "input": { "a": 1 } }],
            "usage": { "input_tokens": 3, "output_tokens": 4 },
        });
        let stream = text(WireFormat::AnthropicMessages, &answer);
        let names: Vec<&str> = stream.lines().filter_map(|l| l.strip_prefix("event: ")).collect();
        assert_eq!(
            names,
            [
                "message_start",
                "content_block_start",
                "content_block_delta",
                "content_block_stop",
                "content_block_start",
                "content_block_delta",
                "content_block_stop",
                "message_delta",
                "message_stop",
            ]
        );
        assert!(stream.contains(r#""partial_json":"{\"a\":1}""#));
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for answer in ["[]", "{}", "{\"choices\":1}", "x"] {
            assert_eq!(frames(WireFormat::OpenaiChat, answer.as_bytes()), Err(NotAnAnswer), "{answer}");
        }
    }
}
