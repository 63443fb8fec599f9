//! Requests of a size and streams in every format: what an agent that works on code sends and gets.
//!
//! Must not know how they are measured.

use flux::base::wire_format::WireFormat;
use serde_json::{Value, json};

/// The work of the user and what tools return: code, where quotes and lines are escaped.
const CODE: &str = "fn parse(text: &str) -> Result<Tree, Error> {\n\tlet mut tree = Tree::new(\"root\");\n    for line in text.lines() {\n        tree.push(line.trim())?;\n    }\n    Ok(tree)\n}\n";
/// What people and models write.
const PROSE: &str = "The parser stops at the first line that it cannot read. It should note the error, go on with the next line, and tell all of them at the end. ";
/// The shortest request that has tools.
const WITH_TOOLS_BYTES: usize = 4 << 10;

/// One round of work: a question, a call with a word before it, and its result.
struct Round {
    question: String,
    answer: String,
    call_id: String,
    arguments: Value,
    result: String,
}

fn round(number: usize) -> Round {
    Round {
        question: format!("Step {number}: {PROSE}"),
        answer: PROSE.to_owned(),
        call_id: format!("call_{number:024}"),
        arguments: json!({ "path": "src/main.rs", "from": number, "lines": ["fn parse", "\"root\""] }),
        result: CODE.repeat(6),
    }
}

/// A request in a client's format with about so many bytes.
pub(crate) fn request(format: WireFormat, bytes: usize) -> Vec<u8> {
    let build = |rounds| match format {
        WireFormat::OpenaiResponses => responses(rounds, bytes >= WITH_TOOLS_BYTES),
        WireFormat::AnthropicMessages => anthropic(rounds, bytes >= WITH_TOOLS_BYTES),
        WireFormat::OpenaiChat
        | WireFormat::OpenaiImages
        | WireFormat::GeminiGenerate
        | WireFormat::BedrockConverse
        | WireFormat::OpenaiEmbeddings
        | WireFormat::OpenaiImageEdits
        | WireFormat::OpenaiTranscriptions
        | WireFormat::OpenaiSpeech => chat(rounds, bytes >= WITH_TOOLS_BYTES),
    };
    let (none, one) = (build(0).to_string(), build(1).to_string());
    let rounds = bytes.saturating_sub(none.len()) / (one.len() - none.len());
    build(rounds).to_string().into_bytes()
}

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "path": { "type": "string", "description": "Where the file is." },
            "from": { "type": "integer", "minimum": 0 },
            "lines": { "type": "array", "items": { "type": "string" }, "description": "What to put there." },
        },
        "required": ["path", "from"],
        "additionalProperties": false,
    })
}

const TOOLS: [&str; 4] = ["read_file", "edit_file", "run_tests", "search"];

fn chat(rounds: usize, has_tools: bool) -> Value {
    let mut messages = vec![
        json!({ "role": "system", "content": "You are terse." }),
        json!({ "role": "user", "content": [{ "type": "text", "text": PROSE.repeat(3) }, { "type": "text", "text": CODE }] }),
    ];
    for Round { question, answer, call_id, arguments, result } in (0..rounds).map(round) {
        let function = json!({ "name": "edit_file", "arguments": arguments.to_string() });
        messages.push(json!({ "role": "user", "content": question }));
        messages.push(json!({
            "role": "assistant",
            "content": answer,
            "tool_calls": [{ "id": call_id, "type": "function", "function": function }],
        }));
        messages.push(json!({ "role": "tool", "tool_call_id": call_id, "content": result }));
    }
    let mut body =
        json!({ "model": "flux-auto", "messages": messages, "temperature": 0.7, "max_tokens": 1000, "stream": true });
    if has_tools {
        let function = |name| json!({ "type": "function", "function": { "name": name, "description": PROSE, "parameters": schema() } });
        body["tools"] = TOOLS.into_iter().map(function).collect();
    }
    body
}

fn responses(rounds: usize, has_tools: bool) -> Value {
    let text = |text: &str| json!({ "type": "input_text", "text": text });
    let mut input = vec![json!({ "role": "user", "content": [text(&PROSE.repeat(3)), text(CODE)] })];
    for Round { question, answer, call_id, arguments, result } in (0..rounds).map(round) {
        input.push(json!({ "role": "user", "content": [text(&question)] }));
        input.push(
            json!({ "type": "message", "role": "assistant", "content": [{ "type": "output_text", "text": answer }] }),
        );
        input.push(json!({ "type": "function_call", "call_id": call_id, "name": "edit_file", "arguments": arguments.to_string() }));
        input.push(json!({ "type": "function_call_output", "call_id": call_id, "output": result }));
    }
    let mut body = json!({
        "model": "flux-auto", "instructions": "You are terse.", "input": input, "max_output_tokens": 1000,
        "store": false, "stream": true,
    });
    if has_tools {
        let function = |name| json!({ "type": "function", "name": name, "description": PROSE, "parameters": schema() });
        body["tools"] = TOOLS.into_iter().map(function).collect();
    }
    body
}

fn anthropic(rounds: usize, has_tools: bool) -> Value {
    let text = |text: &str| json!({ "type": "text", "text": text });
    let mut messages = Vec::new();
    let mut user = vec![text(&PROSE.repeat(3)), text(CODE)];
    for Round { question, answer, call_id, arguments, result } in (0..rounds).map(round) {
        user.push(text(&question));
        messages.push(json!({ "role": "user", "content": user }));
        let call = json!({ "type": "tool_use", "id": call_id, "name": "edit_file", "input": arguments });
        messages.push(json!({ "role": "assistant", "content": [text(&answer), call] }));
        user = vec![json!({ "type": "tool_result", "tool_use_id": call_id, "content": [text(&result)] })];
    }
    messages.push(json!({ "role": "user", "content": user }));
    let mut body = json!({
        "model": "flux-auto", "system": [text("You are terse.")], "messages": messages, "temperature": 0.7,
        "max_tokens": 1000, "stream": true,
    });
    if has_tools {
        let function = |name| json!({ "name": name, "description": PROSE, "input_schema": schema() });
        body["tools"] = TOOLS.into_iter().map(function).collect();
    }
    body
}

/// The frames before the first text of a provider's stream, and the texts that then come by turns.
pub(crate) struct Stream {
    pub(crate) opening: &'static [&'static str],
    pub(crate) texts: [&'static str; 2],
}

/// A stream in a provider's format, as its maker spells it.
pub(crate) fn stream(format: WireFormat) -> Stream {
    match format {
        WireFormat::OpenaiResponses => RESPONSES,
        WireFormat::AnthropicMessages => ANTHROPIC,
        WireFormat::GeminiGenerate => GEMINI,
        WireFormat::OpenaiChat
        | WireFormat::OpenaiImages
        | WireFormat::BedrockConverse
        | WireFormat::OpenaiEmbeddings
        | WireFormat::OpenaiImageEdits
        | WireFormat::OpenaiTranscriptions
        | WireFormat::OpenaiSpeech => CHAT,
    }
}

const CHAT: Stream = Stream {
    opening: &[
        "data: {\"id\":\"chatcmpl-AbCdEfGhIjKlMnOpQrStUvWx\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"gpt-4o-2026-01-01\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_0123456789\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null,\"obfuscation\":\"QyYyB2q1\"}\n\n",
    ],
    texts: [
        "data: {\"id\":\"chatcmpl-AbCdEfGhIjKlMnOpQrStUvWx\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"gpt-4o-2026-01-01\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_0123456789\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" parser\"},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null,\"obfuscation\":\"q1xZ\"}\n\n",
        "data: {\"id\":\"chatcmpl-AbCdEfGhIjKlMnOpQrStUvWx\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"gpt-4o-2026-01-01\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_0123456789\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" stops.\\n\"},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null,\"obfuscation\":\"9sT\"}\n\n",
    ],
};

const RESPONSES: Stream = Stream {
    opening: &[
        "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"id\":\"resp_0123456789abcdef\",\"object\":\"response\",\"created_at\":1700000000,\"status\":\"in_progress\",\"model\":\"gpt-x\",\"output\":[],\"usage\":null}}\n\n",
        "event: response.output_item.added\ndata: {\"type\":\"response.output_item.added\",\"sequence_number\":1,\"output_index\":0,\"item\":{\"id\":\"msg_0123456789abcdef\",\"type\":\"message\",\"status\":\"in_progress\",\"content\":[],\"role\":\"assistant\"}}\n\n",
        "event: response.content_part.added\ndata: {\"type\":\"response.content_part.added\",\"sequence_number\":2,\"item_id\":\"msg_0123456789abcdef\",\"output_index\":0,\"content_index\":0,\"part\":{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":\"\"}}\n\n",
    ],
    texts: [
        "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":3,\"item_id\":\"msg_0123456789abcdef0123456789abcdef\",\"output_index\":0,\"content_index\":0,\"delta\":\" parser\",\"logprobs\":[],\"obfuscation\":\"q1xZ\"}\n\n",
        "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":4,\"item_id\":\"msg_0123456789abcdef0123456789abcdef\",\"output_index\":0,\"content_index\":0,\"delta\":\" stops.\\n\",\"logprobs\":[],\"obfuscation\":\"9sT\"}\n\n",
    ],
};

const ANTHROPIC: Stream = Stream {
    opening: &[
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_0123456789abcdef\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-x\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":25,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,\"output_tokens\":1}}}\n\n",
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
    ],
    texts: [
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\" parser\"}        }\n\n",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\" stops.\\n\"}   }\n\n",
    ],
};

const GEMINI: Stream = Stream {
    opening: &[
        "data: {\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"The\"}],\"role\": \"model\"},\"index\": 0}],\"usageMetadata\": {\"promptTokenCount\": 25,\"candidatesTokenCount\": 1,\"totalTokenCount\": 26,\"promptTokensDetails\": [{\"modality\": \"TEXT\",\"tokenCount\": 25}]},\"modelVersion\": \"gemini-x\",\"responseId\": \"0123456789abcdefghijkl\"}\r\n\r\n",
    ],
    texts: [
        "data: {\"candidates\": [{\"content\": {\"parts\": [{\"text\": \" parser stops at the first line that it cannot read.\"}],\"role\": \"model\"},\"index\": 0}],\"usageMetadata\": {\"promptTokenCount\": 25,\"candidatesTokenCount\": 12,\"totalTokenCount\": 37,\"promptTokensDetails\": [{\"modality\": \"TEXT\",\"tokenCount\": 25}]},\"modelVersion\": \"gemini-x\",\"responseId\": \"0123456789abcdefghijkl\"}\r\n\r\n",
        "data: {\"candidates\": [{\"content\": {\"parts\": [{\"text\": \" It should note the error,\\n and go on.\"}],\"role\": \"model\"},\"index\": 0}],\"usageMetadata\": {\"promptTokenCount\": 25,\"candidatesTokenCount\": 24,\"totalTokenCount\": 49,\"promptTokensDetails\": [{\"modality\": \"TEXT\",\"tokenCount\": 25}]},\"modelVersion\": \"gemini-x\",\"responseId\": \"0123456789abcdefghijkl\"}\r\n\r\n",
    ],
};
