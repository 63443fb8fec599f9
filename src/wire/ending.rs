//! How a stream is ended that was passed on as it came and may not go on: the frames that say so, in the client's
//! format. The answer is whole for its reader, cut at a limit of its length.
//!
//! Must not know why it ends.

use bytes::Bytes;
use serde_json::json;

use crate::base::ids::RequestId;
use crate::base::usage::Usage;
use crate::base::wire_format::WireFormat;

/// What the frames say.
#[derive(Clone, Copy, Debug)]
pub struct Ending<'a> {
    /// Of the request; ids of the frames are made of it.
    pub id: RequestId,
    /// The model by the client's name.
    pub model: &'a str,
    /// When the answer began, in seconds since 1970.
    pub created_s: u64,
    /// What was used.
    pub usage: Usage,
    /// Whether a client of Chat asked to be told.
    pub usage_asked: bool,
    /// The index of Anthropic's content block that is open.
    pub open_block: Option<u64>,
    /// How many events have gone out: the number of Responses' next.
    pub events: u64,
    /// A comment that goes before the last frame.
    pub comment: &'a [u8],
}

/// The last frames of a stream in that format.
pub fn frames(format: WireFormat, ending: &Ending<'_>) -> Bytes {
    let mut out = Vec::with_capacity(1_024);
    match format {
        WireFormat::AnthropicMessages => anthropic(ending, &mut out),
        WireFormat::OpenaiResponses => responses(ending, &mut out),
        WireFormat::OpenaiChat
        | WireFormat::OpenaiImages
        | WireFormat::GeminiGenerate
        | WireFormat::BedrockConverse
        | WireFormat::OpenaiEmbeddings
        | WireFormat::OpenaiImageEdits
        | WireFormat::OpenaiTranscriptions
        | WireFormat::OpenaiSpeech => chat(ending, &mut out),
    }
    Bytes::from(out)
}

fn frame(out: &mut Vec<u8>, name: Option<&str>, value: &serde_json::Value) {
    if let Some(name) = name {
        out.extend_from_slice(format!("event: {name}\n").as_bytes());
    }
    out.extend_from_slice(format!("data: {value}\n\n").as_bytes());
}

fn chat(ending: &Ending<'_>, out: &mut Vec<u8>) {
    let Ending { id, model, created_s, usage, usage_asked, comment, .. } = *ending;
    let chunk = |choices: serde_json::Value, usage: serde_json::Value| {
        let id = format!("chatcmpl-{:032x}", id.0);
        json!({
            "id": id, "object": "chat.completion.chunk", "created": created_s, "model": model, "choices": choices,
            "usage": usage,
        })
    };
    let finish = json!([{"index": 0, "delta": {}, "logprobs": null, "finish_reason": "length"}]);
    frame(out, None, &chunk(finish, serde_json::Value::Null));
    if usage_asked {
        let (prompt, completion) = (usage.prompt_total(), usage.completion_total());
        let usage = json!({
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt.saturating_add(completion),
        });
        frame(out, None, &chunk(json!([]), usage));
    }
    out.extend_from_slice(comment);
    out.extend_from_slice(b"data: [DONE]\n\n");
}

fn anthropic(ending: &Ending<'_>, out: &mut Vec<u8>) {
    let Ending { usage, open_block, comment, .. } = *ending;
    if let Some(index) = open_block {
        frame(out, Some("content_block_stop"), &json!({"type": "content_block_stop", "index": index}));
    }
    let delta = json!({
        "type": "message_delta",
        "delta": {"stop_reason": "max_tokens", "stop_sequence": null},
        "usage": {"output_tokens": usage.completion_total()},
    });
    frame(out, Some("message_delta"), &delta);
    out.extend_from_slice(comment);
    frame(out, Some("message_stop"), &json!({"type": "message_stop"}));
}

fn responses(ending: &Ending<'_>, out: &mut Vec<u8>) {
    let Ending { id, model, created_s, usage, events, comment, .. } = *ending;
    let (input, output) = (usage.prompt_total(), usage.completion_total());
    let response = json!({
        "id": format!("resp_{:032x}", id.0),
        "object": "response",
        "created_at": created_s,
        "status": "incomplete",
        "incomplete_details": {"reason": "max_output_tokens"},
        "error": null,
        "instructions": null,
        "metadata": {},
        "model": model,
        "output": [],
        "parallel_tool_calls": true,
        "temperature": null,
        "top_p": null,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": input,
            "input_tokens_details": {"cached_tokens": usage.cache_read},
            "output_tokens": output,
            "output_tokens_details": {"reasoning_tokens": usage.reasoning},
            "total_tokens": input.saturating_add(output),
        },
    });
    out.extend_from_slice(comment);
    let event = json!({"type": "response.incomplete", "sequence_number": events, "response": response});
    frame(out, Some("response.incomplete"), &event);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_ends_in_its_own_way() {
        let usage = Usage { input: 10, output: 20, ..Usage::default() };
        let ending = Ending {
            id: RequestId(7),
            model: "flux-fast",
            created_s: 1_790_000_000,
            usage,
            usage_asked: true,
            open_block: Some(1),
            events: 12,
            comment: b": cost\n\n",
        };
        let text = |format| String::from_utf8(frames(format, &ending).to_vec()).unwrap();
        insta::assert_snapshot!("chat", text(WireFormat::OpenaiChat));
        insta::assert_snapshot!("anthropic", text(WireFormat::AnthropicMessages));
        insta::assert_snapshot!("responses", text(WireFormat::OpenaiResponses));
    }
}
