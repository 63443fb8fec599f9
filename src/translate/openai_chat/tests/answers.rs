//! Answers: what hosts send in all its shapes, and what a client is sent.

use bytes::Bytes;
use serde_json::{Value as Json, json};

use super::support::{Log, streamed, view, whole};
use crate::base::usage::Usage;
use crate::catalog::provider::Dialect;
use crate::translate::ir::{Blob, BlobKind, CallKind, Citation, Event, Finish, Text, Value};
use crate::translate::openai_chat::{AnswerReader, StreamWriter, WholeWriter};
use crate::translate::{Closing, Overflow, View};
use crate::wire::sse::{self, Framer, Start};
use crate::wire::usage::UsageQuirks;

/// A chunk with this delta.
fn delta(delta: &Json) -> String {
    json!({ "id": "c1", "choices": [{ "index": 0, "delta": delta, "finish_reason": null }] }).to_string()
}

fn finish(reason: &str) -> String {
    json!({ "id": "c1", "choices": [{ "index": 0, "delta": {}, "finish_reason": reason }] }).to_string()
}

/// The events of a stream of these deltas that finishes so.
fn of_deltas(deltas: &[Json], reason: &str) -> Vec<String> {
    let chunks: Vec<_> = deltas.iter().map(delta).chain([finish(reason), "[DONE]".to_owned()]).collect();
    let chunks: Vec<_> = chunks.iter().map(|chunk| &**chunk).collect();
    let (log, reader) = streamed(Dialect::Plain, &chunks);
    assert!(reader.is_complete());
    log.said().into_iter().map(str::to_owned).collect()
}

#[test]
fn calls_come_in_any_shape() {
    let function = |name: &str, arguments: &str| json!({ "name": name, "arguments": arguments });
    let piece = |index: u64, arguments: &str| json!({ "index": index, "function": { "arguments": arguments } });
    let opened = |index: u64, id: &str, name: &str, arguments: &str| json!({ "index": index, "id": id, "type": "function", "function": function(name, arguments) });
    let calls = |list: Json| json!({ "tool_calls": list });
    let two =
        ["call 0 a f Function", r#"arguments 0 {\"x\":1}"#, "call 1 b g Function", "arguments 1 {}", "finish Calls"];
    for (shape, deltas) in [
        (
            "as its maker sends it",
            vec![
                calls(json!([opened(0, "a", "f", "")])),
                calls(json!([piece(0, "{\"x\"")])),
                calls(json!([piece(0, ":1}")])),
                calls(json!([opened(1, "b", "g", "")])),
                calls(json!([piece(1, "{}")])),
            ],
        ),
        ("whole, all at once", vec![calls(json!([opened(0, "a", "f", "{\"x\":1}"), opened(1, "b", "g", "{}")]))]),
        (
            "the index is 0 everywhere",
            vec![calls(json!([opened(0, "a", "f", "{\"x\":1}")])), calls(json!([opened(0, "b", "g", "{}")]))],
        ),
        (
            "no index",
            vec![
                calls(json!([{ "id": "a", "function": function("f", "{\"x\":1}") }])),
                calls(json!([{ "id": "b", "function": function("g", "") }])),
                calls(json!([{ "function": { "arguments": "{}" } }])),
            ],
        ),
        (
            "no index, all at once",
            vec![calls(json!([
                { "id": "a", "function": function("f", "{\"x\":1}") },
                { "id": "b", "function": function("g", "{}") },
            ]))],
        ),
        (
            "id and name on each piece",
            vec![
                calls(json!([opened(0, "a", "f", "{\"x\"")])),
                calls(json!([opened(0, "a", "f", ":1}")])),
                calls(json!([opened(1, "b", "g", "{}")])),
            ],
        ),
        (
            "empty id on later pieces",
            vec![
                calls(json!([opened(0, "a", "f", "{\"x\"")])),
                calls(json!([{ "index": 0, "id": "", "function": { "name": null, "arguments": ":1}" } }])),
                calls(json!([opened(1, "b", "g", "{}")])),
            ],
        ),
        (
            "arguments as an object",
            vec![calls(json!([
                { "index": 0, "id": "a", "function": { "name": "f", "arguments": { "x": 1 } } },
                { "index": 1, "id": "b", "function": { "name": "g", "arguments": {} } },
            ]))],
        ),
    ] {
        assert_eq!(of_deltas(&deltas, "tool_calls"), two, "{shape}");
        // A forced call finishes like an answer.
        assert_eq!(of_deltas(&deltas, "stop"), two, "{shape}");
    }
}

#[test]
fn calls_of_old_and_of_free_text_are_calls() {
    let old = [
        json!({ "function_call": { "name": "f", "arguments": "" } }),
        json!({ "function_call": { "arguments": "{}" } }),
    ];
    let said = of_deltas(&old, "function_call");
    assert!(said[0].starts_with("call 0 call_") && said[0].ends_with(" f Function"), "{said:?}");
    assert_eq!(said[1..], ["arguments 0 {}", "finish Calls"]);
    let free = json!({ "tool_calls": [{ "index": 0, "id": "a", "type": "custom", "custom": { "name": "sql", "input": "select" } }] });
    assert_eq!(of_deltas(&[free], "tool_calls"), ["call 0 a sql Custom", "arguments 0 select", "finish Calls"]);
}

#[test]
fn interleaved_calls_keep_their_places() {
    let deltas = [
        json!({ "tool_calls": [{ "index": 0, "id": "a", "function": { "name": "f", "arguments": "" } }] }),
        json!({ "tool_calls": [{ "index": 1, "id": "b", "function": { "name": "f", "arguments": "" } }] }),
        json!({ "tool_calls": [{ "index": 0, "function": { "arguments": "{" } }] }),
        json!({ "tool_calls": [{ "index": 1, "function": { "arguments": "[" } }] }),
        json!({ "tool_calls": [{ "index": 0, "function": { "arguments": "}" } }] }),
    ];
    let said = of_deltas(&deltas, "tool_calls");
    assert_eq!(said[2..5], ["arguments 0 {", "arguments 1 [", "arguments 0 }"]);
}

#[test]
fn hosts_are_forgiven_much() {
    let chunk = |rest: &str| format!(r#"{{"id":"","object":"chat.completion.chunk",{rest}}}"#);
    let text = |text: &str, rest: &str| {
        chunk(&format!(
            r#""choices":[{{"delta":{{"role":"assistant","content":"{text}"}},"finish_reason":null}}]{rest}"#
        ))
    };
    let end = |reason: &str, rest: &str| {
        chunk(&format!(r#""choices":[{{"index":0,"delta":{{"content":null}},"finish_reason":{reason}}}]{rest}"#))
    };
    let usage = r#","usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}"#;
    for (shape, chunks, said) in [
        (
            "usage on every chunk",
            vec![
                text("a", r#","usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}"#),
                text("b", usage),
                end("\"stop\"", usage),
            ],
            vec!["text ab", "finish Done", "usage 3 2"],
        ),
        (
            "usage in a corner, the end without a terminator",
            vec![text("a", ""), end("\"eos\"", r#","x_groq":{"usage":{"prompt_tokens":3,"completion_tokens":2}}"#)],
            vec!["text a", "finish Done", "usage 3 2"],
        ),
        (
            "a first chunk of filter results, and the last words with the finish",
            vec![
                chunk(r#""choices":[],"prompt_filter_results":[]"#),
                chunk(
                    r#""choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"length"}],"service_tier":"flex""#,
                ),
                end("\"stop\"", usage),
                "[DONE]".to_owned(),
            ],
            vec!["text a", "finish Length", "usage 3 2 flex"],
        ),
        (
            "no reason at all",
            vec![text("a", ""), end("\"\"", ""), end("null", ""), chunk(r#""usage":null"#), "[DONE]".to_owned()],
            vec!["text a", "finish Done"],
        ),
        (
            "a message at the end that repeats all",
            vec![text("a", ""), chunk(r#""choices":[{"index":0,"message":{"content":"a"},"finish_reason":"stop"}]"#)],
            vec!["text a", "finish Done"],
        ),
        (
            "another choice",
            vec![chunk(r#""choices":[{"index":1,"delta":{"content":"b"}}]"#), text("a", "")],
            vec!["text a"],
        ),
    ] {
        let chunks: Vec<_> = chunks.iter().map(|chunk| &**chunk).collect();
        let (log, reader) = streamed(Dialect::Plain, &chunks);
        assert_eq!(log.said(), said, "{shape}");
        assert_eq!(reader.is_complete(), shape != "another choice", "{shape}");
    }
}

#[test]
fn thoughts_come_under_several_names() {
    for (dialect, deltas, said) in [
        (Dialect::Cerebras, vec![json!({ "reasoning": "x" }), json!({ "content": "a" })], vec!["thought x", "text a"]),
        (
            Dialect::Deepseek,
            vec![
                json!({ "reasoning_content": "x", "content": "" }),
                json!({ "reasoning_content": null, "content": "a" }),
            ],
            vec!["thought x", "sealed ct ", "text a"],
        ),
        (
            Dialect::Vllm,
            vec![json!({ "reasoning_content": "x", "reasoning": "x" }), json!({ "content": "a" })],
            vec!["thought x", "sealed ct ", "text a"],
        ),
        (
            Dialect::Mistral,
            vec![
                json!({ "content": [{ "type": "thinking", "thinking": [{ "type": "text", "text": "x" }] }] }),
                json!({ "content": [{ "type": "thinking", "thinking": [{ "type": "text", "text": "y" }], "closed": true }, { "type": "text", "text": "a" }] }),
            ],
            vec!["thought xy", "text a"],
        ),
        (
            Dialect::Openrouter,
            vec![
                json!({ "reasoning": "x", "reasoning_details": [{ "type": "reasoning.text", "text": "x", "index": 0 }] }),
                json!({ "reasoning": "y", "reasoning_details": [{ "type": "reasoning.text", "text": "y", "index": 0, "signature": "s" }] }),
                json!({ "reasoning_details": [{ "type": "reasoning.encrypted", "data": "d", "index": 1 }] }),
                json!({ "content": "a" }),
            ],
            vec![
                "thought xy",
                r#"sealed cd [{"index":0,"type":"reasoning.text","signature":"s","text":"xy"},{"data":"d","index":1,"type":"reasoning.encrypted"}]"#,
                "text a",
            ],
        ),
    ] {
        let chunks: Vec<_> = deltas.iter().map(delta).chain([finish("stop")]).collect();
        let chunks: Vec<_> = chunks.iter().map(|chunk| &**chunk).collect();
        let (log, _) = streamed(dialect, &chunks);
        let found = log.said();
        assert_eq!(found[..found.len() - 1], said, "{dialect:?}");
    }
}

#[test]
fn errors_are_found_wherever_they_stand() {
    for (chunk, fault) in [
        (r#"{"error":{"message":"m","type":"server_error","code":null}}"#, "fault Fault m"),
        (r#"{"error":{"message":"m","code":429}}"#, "fault RateLimited m"),
        (r#"{"error":{"message":"m","type":"rate_limit_error"}}"#, "fault RateLimited m"),
        (r#"{"error":{"message":"m","code":"server_overloaded"},"status_code":503}"#, "fault Overloaded m"),
        (r#"{"code":"invalid_request","error":"m"}"#, "fault Fault m"),
        (
            r#"{"message":"m","type":"too_many_requests_error","param":"quota","code":"request_quota_exceeded"}"#,
            "fault RateLimited m",
        ),
        (r#"{"object":"error","message":"m","type":"BadRequestError","code":400}"#, "fault Rejected m"),
        (r#"{"id":"x","choices":[],"x_groq":{"error":"m"}}"#, "fault Fault m"),
        (r#"{"choices":[{"index":0,"error":{"message":"m","code":502},"delta":{}}]}"#, "fault Fault m"),
        (r#"{"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}"#, "fault Fault error"),
        (
            r#"{"choices":[{"index":0,"delta":{},"finish_reason":"insufficient_system_resource"}]}"#,
            "fault Overloaded insufficient_system_resource",
        ),
        ("{\"choices\":[", "fault Garbled a chunk that is no JSON"),
        (
            r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}}]}"#,
            "fault Garbled a call without a name",
        ),
    ] {
        let (log, reader) = streamed(Dialect::Plain, &[chunk]);
        assert_eq!(log.said(), [fault], "{chunk}");
        assert!(!reader.is_complete());
    }
    let mut log = Log::default();
    let mut reader = AnswerReader::new(Dialect::Groq, UsageQuirks::default());
    reader.frame(b"error", br#"{"message":"m"}"#, &mut log);
    reader.frame(b"", b"", &mut log);
    assert_eq!(log.lines, ["fault Fault m"]);
    assert_eq!(whole(Dialect::Plain, "{}").0.lines, ["fault Garbled an answer without choices"]);
    assert_eq!(whole(Dialect::Plain, r#"{"error":{"message":"m"}}"#).0.lines, ["fault Fault m"]);
}

const WHOLE: &str = r#"{"id":"c1","object":"chat.completion","created":1,"model":"m","service_tier":"flex","choices":[{"index":0,
  "message":{"role":"assistant","content":"Hé\n\ud83d\ude00","reasoning_content":"hm","refusal":null,
  "images":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}}],
  "annotations":[{"type":"url_citation","url_citation":{"start_index":0,"end_index":2,"url":"https://a.example","title":"A"}}],
  "tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":\"\\ud83d\\ude00\"}"}},
                {"id":"b","type":"function","function":{"name":"g","arguments":""}}]},
  "logprobs":{"content":[{"token":"H"}],"refusal":null},"finish_reason":"tool_calls"}],
  "usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}}"#;

const STREAM: &str = concat!(
    ": keep-alive\n\n",
    "data:{\"id\":\"c1\",\"service_tier\":\"flex\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\r\n\r\n",
    "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"reasoning_content\":\"hm\"}}]}\n\n",
    "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"H\"}}]}\n\n",
    "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\u{e9}\\n\\ud83d\"}}]}\n\n",
    "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\\ude00\"}}]}\n\n",
    "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"images\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,AA==\"}}]}}]}\n\n",
    "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"annotations\":[{\"type\":\"url_citation\",\"url_citation\":{\"start_index\":0,\"end_index\":2,\"url\":\"https://a.example\",\"title\":\"A\"}}]}}]}\n\n",
    "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]}}]}\n\n",
    "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"x\\\":\"}}]}}]}\n\n",
    "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"\\\"\\\\ud83d\\\\ude00\\\"}\"}}]}}]}\n\n",
    "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":1,\"id\":\"b\",\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"\"}}]}}]}\n\n",
    "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":{\"content\":[{\"token\":\"H\"}]},\"finish_reason\":\"tool_calls\"}]}\n\n",
    "data: {\"id\":\"c1\",\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":5,\"total_tokens\":15}}\n\n",
    "data: [DONE]\n\n",
);

/// The events of a stream that comes in these chunks of bytes.
fn framed(chunks: &[&[u8]]) -> Log {
    let mut log = Log::default();
    let mut reader = AnswerReader::new(Dialect::Plain, UsageQuirks::default());
    let mut read = |frame: &[u8]| {
        let event = sse::Event::read(frame);
        reader.frame(event.name, &event.data, &mut log);
    };
    let mut framer = Framer::new(1 << 16);
    for chunk in chunks {
        let mut rest = match framer.start(Bytes::copy_from_slice(chunk)) {
            Start::Kept => continue,
            Start::Fresh(rest) => rest,
            Start::Completed(frame, rest) | Start::Overlong(frame, rest) => {
                read(&frame);
                rest
            }
        };
        while let Some(end) = framer.frame_end(&rest, 0) {
            read(&rest.split_to(end));
        }
        framer.keep(rest);
    }
    assert!(framer.finish().is_empty());
    log
}

#[test]
fn a_stream_means_the_same_however_it_is_cut_and_the_same_as_the_whole() {
    let uncut = framed(&[STREAM.as_bytes()]);
    for at in 0..STREAM.len() {
        let (before, after) = STREAM.as_bytes().split_at(at);
        assert_eq!(framed(&[before, after]).lines, uncut.lines, "cut at {at}");
    }
    let whole = whole(Dialect::Plain, WHOLE).0;
    assert_eq!(whole.said(), uncut.said());
    assert_eq!(
        whole.said(),
        [
            "thought hm",
            r"text Hé\n\ud83d\ude00",
            "image image/png AA==",
            "citation https://a.example Some((0, 2))",
            "call 0 a f Function",
            r#"arguments 0 {\"x\":\"\\ud83d\\ude00\"}"#,
            "call 1 b g Function",
            r#"logprobs [{"token":"H"}]"#,
            "finish Calls",
            "usage 10 5 flex",
        ]
    );
}

/// Feeds the events of the stream above.
fn events(mut each: impl FnMut(&Event<'_>)) {
    let text = Text::plain;
    each(&Event::Start { id: text("up"), usage: None });
    each(&Event::Thought(text("hm")));
    each(&Event::Sealed(Blob { kind: BlobKind::ChatText, token: Text::default(), maker: None }));
    each(&Event::Text(text("Hi \"you\"")));
    each(&Event::Citation(Citation {
        url: Some(text("https://a.example")),
        title: None,
        quote: None,
        range: Some((0, 2)),
    }));
    each(&Event::CallStart { index: 0, id: text("a"), name: text("f"), kind: CallKind::Function });
    each(&Event::CallStart { index: 1, id: text("b"), name: text("g"), kind: CallKind::Custom });
    each(&Event::CallArguments { index: 1, piece: text("x") });
    each(&Event::PartEnd);
    each(&Event::Logprobs(Value::parse(b"[{\"token\":\"H\"}]").unwrap()));
    each(&Event::Finish { reason: Finish::Calls, stop: None });
    let usage = Usage { input: 300, cache_read: 600, output: 250, reasoning: 200, ..Usage::default() };
    each(&Event::Usage { usage, service_tier: Some(text("flex")) });
}

fn stream_of(view: View, closing: &Closing<'_>, feed: impl FnOnce(&mut dyn FnMut(&Event<'_>))) -> String {
    let mut out = Vec::new();
    let mut writer = StreamWriter::new(view);
    feed(&mut |event| writer.event(event, &mut out).unwrap());
    writer.close(closing, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// The JSON of each chunk, without what all have in common.
fn chunks(stream: &str) -> Vec<Json> {
    stream
        .split("\n\n")
        .filter_map(|frame| frame.strip_prefix("data: "))
        .filter(|data| *data != "[DONE]")
        .map(|data| {
            let mut chunk: Json = serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}"));
            assert_eq!(chunk["id"], "chatcmpl-00000000000000000000000000000abc");
            assert_eq!(chunk["object"], "chat.completion.chunk");
            assert_eq!((chunk["created"].as_u64(), chunk["model"].as_str()), (Some(1_700_000_000), Some("flux-fast")));
            let usage = chunk["usage"].take();
            chunk["choices"].get_mut(0).map_or(usage, Json::take)
        })
        .collect()
}

#[test]
fn a_client_gets_chunks() {
    let stream = stream_of(view(), &Closing { cost_usd: Some("0.00123") }, |each| events(each));
    let mut chunks = chunks(&stream);
    let sealed = chunks[2]["delta"]["reasoning_details"][0]["data"].take();
    assert!(sealed.as_str().unwrap().starts_with("flux1."));
    let says = |delta: Json| json!({ "index": 0, "delta": delta, "finish_reason": null });
    let call = |call: Json| says(json!({ "tool_calls": [call] }));
    assert_eq!(
        chunks,
        [
            says(json!({ "role": "assistant", "content": "" })),
            says(json!({ "reasoning_content": "hm" })),
            says(json!({ "reasoning_details": [
                { "type": "reasoning.encrypted", "index": 0, "format": "flux", "characters": 2, "data": null }] })),
            says(json!({ "content": "Hi \"you\"" })),
            says(json!({ "annotations": [{ "type": "url_citation", "index": 0, "url_citation":
                { "start_index": 0, "end_index": 2, "url": "https://a.example", "title": "" } }] })),
            call(json!({ "index": 0, "id": "a", "type": "function", "function": { "name": "f", "arguments": "" } })),
            call(json!({ "index": 1, "id": "b", "type": "custom", "custom": { "name": "g", "input": "" } })),
            call(json!({ "index": 1, "type": "custom", "custom": { "input": "x" } })),
            json!({ "index": 0, "delta": {}, "logprobs": { "content": [{ "token": "H" }], "refusal": null }, "finish_reason": null }),
            call(json!({ "index": 0, "function": { "arguments": "{}" } })),
            json!({ "index": 0, "delta": {}, "finish_reason": "tool_calls" }),
            json!({ "cost_usd": 0.00123, "currency": "USD", "prompt_tokens": 900, "completion_tokens": 250, "total_tokens": 1150,
                "prompt_tokens_details": { "cached_tokens": 600, "cache_write_tokens": 0, "audio_tokens": 0 },
                "completion_tokens_details": { "reasoning_tokens": 200, "audio_tokens": 0,
                    "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0 } }),
        ]
    );
    assert!(stream.ends_with("\n\n: x-flux-cost-usd 0.00123\n\ndata: [DONE]\n\n"));
    assert!(stream.contains("\"usage\":{\"cost_usd\":0.00123,\"currency\":\"USD\","));
    let unasked = stream_of(View { usage_asked: false, ..view() }, &Closing::default(), |each| events(each));
    assert!(!unasked.contains("usage") && unasked.ends_with("}\n\ndata: [DONE]\n\n"));
}

#[test]
fn a_client_gets_a_whole_answer() {
    let mut writer = WholeWriter::new(view());
    events(|event| writer.event(event).unwrap());
    let mut body: Json = serde_json::from_slice(&writer.close(&Closing { cost_usd: Some("1") })).unwrap();
    assert_eq!(body["id"], "chatcmpl-00000000000000000000000000000abc");
    assert_eq!((&body["object"], &body["service_tier"]), (&json!("chat.completion"), &json!("flex")));
    assert_eq!(body["usage"]["total_tokens"], 1150);
    assert!(body["usage"].get("cost_usd").is_none());
    let mut choice = body["choices"][0].take();
    choice["message"]["reasoning_details"] = Json::Null;
    assert_eq!(
        choice,
        json!({ "index": 0, "finish_reason": "tool_calls", "logprobs": { "content": [{ "token": "H" }], "refusal": null },
            "message": { "role": "assistant", "content": "Hi \"you\"", "refusal": null, "reasoning_content": "hm",
                "reasoning_details": null,
                "annotations": [{ "type": "url_citation", "index": 0, "url_citation":
                    { "start_index": 0, "end_index": 2, "url": "https://a.example", "title": "" } }],
                "tool_calls": [
                    { "id": "a", "type": "function", "function": { "name": "f", "arguments": "{}" } },
                    { "id": "b", "type": "custom", "custom": { "name": "g", "input": "x" } }] } })
    );
    let mut small = WholeWriter::new(View { kept_bytes_max: 3, ..view() });
    assert_eq!(small.event(&Event::Text(Text::plain("abcd"))), Err(Overflow));
}

#[test]
fn a_client_of_old_gets_the_old_form() {
    let old = || View { has_legacy_functions: true, usage_asked: false, ..view() };
    let stream = stream_of(old(), &Closing::default(), |each| events(each));
    let deltas: Vec<_> = chunks(&stream).into_iter().map(|mut chunk| chunk["delta"]["function_call"].take()).collect();
    let calls: Vec<_> = deltas.iter().filter(|call| !call.is_null()).collect();
    assert_eq!(calls, [&json!({ "name": "f", "arguments": "" }), &json!({ "arguments": "{}" })]);
    assert!(stream.contains("\"finish_reason\":\"function_call\"") && !stream.contains("tool_calls"));
    let mut writer = WholeWriter::new(old());
    events(|event| writer.event(event).unwrap());
    let body: Json = serde_json::from_slice(&writer.close(&Closing::default())).unwrap();
    assert_eq!(body["choices"][0]["message"]["function_call"], json!({ "name": "f", "arguments": "{}" }));
}

#[test]
fn reasons_are_said_in_the_formats_words() {
    let refused = [Event::Refusal(Text::plain("no"))];
    for (reason, before, word) in [
        (Finish::Done, &[][..], "stop"),
        (Finish::Stop, &[], "stop"),
        (Finish::Length, &[], "length"),
        (Finish::ContextFull, &[], "length"),
        (Finish::Paused, &[], "length"),
        (Finish::Filtered, &[], "content_filter"),
        (Finish::Refusal, &[], "content_filter"),
        (Finish::Refusal, &refused, "stop"),
    ] {
        let stream = stream_of(view(), &Closing::default(), |each| {
            before.iter().for_each(&mut *each);
            each(&Event::Finish { reason, stop: None });
        });
        let end = chunks(&stream).into_iter().rfind(|chunk| chunk.get("finish_reason").is_some()).unwrap();
        assert_eq!(end["finish_reason"], word, "{reason:?}");
    }
}

#[test]
fn what_is_written_is_read_the_same() {
    let stream = stream_of(view(), &Closing::default(), |each| events(each));
    let said = framed(&[stream.as_bytes()]);
    let mut writer = WholeWriter::new(view());
    events(|event| writer.event(event).unwrap());
    let body = String::from_utf8(writer.close(&Closing::default())).unwrap();
    let (whole, _) = whole(Dialect::Plain, &body);
    for log in [&said, &whole] {
        assert!(log.lines.iter().any(|line| line == "usage 900 250 flex"), "{:?}", log.lines);
        assert!(log.lines.iter().any(|line| line == r#"text Hi \"you\""#));
        assert!(log.lines.iter().any(|line| line == "call 1 b g Custom"));
    }
}
