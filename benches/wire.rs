//! Times of the pure steps on the wire formats: `cargo bench --bench wire --no-default-features`.
//!
//! Plain loops that print nanoseconds a call, to compare two states of one machine. One name as an argument
//! runs that step alone, as many times as the second argument says: for counting instructions.

#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a bench prints, and reads the clock")]

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use flux::base::wire_format::WireFormat;
use flux::meter::{Asked, Pieces, StreamBounds, StreamMeter};
use flux::wire::head::{Head, scan};
use flux::wire::splice::{UsageAsk, upstream_body};
use flux::wire::usage::{UsageQuirks, read_answer};

/// Rounds of a step where the caller gives no number.
const ROUNDS: u64 = 20_000;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let only = arguments.next();
    let rounds = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(ROUNDS);
    for (name, mut step) in steps() {
        if only.as_deref().is_some_and(|only| only != name) {
            continue;
        }
        let start = Instant::now();
        for _ in 0..rounds {
            step();
        }
        let ns = start.elapsed().as_nanos() / u128::from(rounds.max(1));
        println!("{name:<24}{ns:>10} ns");
    }
}

fn steps() -> Vec<(String, Box<dyn FnMut()>)> {
    let mut steps: Vec<(String, Box<dyn FnMut()>)> = Vec::new();
    for (size, bytes) in [("1k", 1 << 10), ("20k", 20 << 10), ("200k", 200 << 10)] {
        let body = request(bytes);
        let Ok(head) = scan(&body) else { continue };
        let answer = answer(bytes);
        let scanned = body.clone();
        steps.push((format!("scan-{size}"), Box::new(move || drop(black_box(scan(black_box(&scanned)))))));
        steps.push((format!("splice-{size}"), Box::new(move || drop(splice(&body, &head)))));
        steps.push((format!("read-answer-{size}"), Box::new(move || read(&answer))));
    }
    for (name, chunk) in [("chat", chat_chunk()), ("anthropic", anthropic_chunk())] {
        let format = if name == "chat" { WireFormat::OpenaiChat } else { WireFormat::AnthropicMessages };
        steps.push((format!("chunk-{name}"), push(format, vec![chunk.clone()])));
        steps.push((format!("chunk-{name}-unlike"), push(format, vec![chunk, chunk_of_tool(name)])));
    }
    steps
}

fn splice(body: &Bytes, head: &Head) -> Bytes {
    black_box(upstream_body(black_box(body), black_box(head), "gpt-4o-2026-01-01", UsageAsk::Include))
}

fn read(answer: &[u8]) {
    drop(black_box(read_answer(WireFormat::OpenaiChat, black_box(answer), UsageQuirks::default())));
}

/// A meter that gets these chunks by turns.
fn push(format: WireFormat, chunks: Vec<Bytes>) -> Box<dyn FnMut()> {
    let bounds = StreamBounds { frame_bytes_max: 1 << 20, text_bytes_max: 1 << 16 };
    let mut meter = StreamMeter::new(format, UsageQuirks::default(), Asked { usage: false }, bounds);
    let mut turn = 0;
    let mut out = Pieces::new();
    Box::new(move || {
        turn = (turn + 1) % chunks.len();
        if let Some(chunk) = chunks.get(turn) {
            out.clear();
            meter.push(black_box(chunk.clone()), &mut out);
            black_box(&out);
        }
    })
}

/// A request as SDKs send it: the talk first, the model last, lines and quotes escaped.
fn request(bytes: usize) -> Bytes {
    let text = r#"Please fix the \"parser\" in src/main.rs:\n\tlet x = 1;\n and say why it failed before. "#;
    let text = text.repeat(bytes / text.len());
    Bytes::from(format!(
        r#"{{"messages":[{{"role":"system","content":"You are terse."}},{{"role":"user","content":"{text}"}}],"model":"flux-auto","temperature":0.7,"max_tokens":1000,"stream":true}}"#
    ))
}

fn answer(bytes: usize) -> Vec<u8> {
    let text = r"The parser stops at the first error.\n\nIt should go on with the next line instead. ";
    let text = text.repeat(bytes / text.len());
    format!(
        r#"{{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"gpt-4o","choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":100,"completion_tokens":200,"total_tokens":300,"prompt_tokens_details":{{"cached_tokens":0}}}}}}"#
    )
    .into_bytes()
}

fn chat_chunk() -> Bytes {
    Bytes::from_static(b"data: {\"id\":\"chatcmpl-AbCdEfGhIjKlMnOpQrStUvWx\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"gpt-4o-2026-01-01\",\"system_fingerprint\":\"fp_0123456789\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" parser\"},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n")
}

fn anthropic_chunk() -> Bytes {
    Bytes::from_static(b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\" parser\"}        }\n\n")
}

/// A chunk that no learnt text frame fits.
fn chunk_of_tool(name: &str) -> Bytes {
    if name == "chat" {
        Bytes::from_static(b"data: {\"id\":\"chatcmpl-AbCdEfGhIjKlMnOpQrStUvWx\",\"object\":\"chat.completion.chunk\",\"created\":1700000001,\"model\":\"gpt-4o-2026-01-01\",\"system_fingerprint\":\"fp_0123456789\",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"\\\"ci\"}}]},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n")
    } else {
        Bytes::from_static(b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"ci\"}}\n\n")
    }
}
