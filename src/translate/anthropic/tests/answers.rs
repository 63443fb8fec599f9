//! Answers, whole and streamed, read and written.

use bytes::Bytes;

use super::*;
use crate::base::usage::{CacheWrite, Usage};
use crate::translate::ir::{Blob, BlobKind, CallKind, Citation, Finish, Text};
use crate::wire::sse;
use crate::wire::sse::{Framer, Start};

/// A stream with everything in it. Some frames have no name, some are of kinds that nobody knows.
const STREAM: &str = concat!(
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":300,\"cache_creation_input_tokens\":100,\"cache_read_input_tokens\":600,\"cache_creation\":{\"ephemeral_5m_input_tokens\":40,\"ephemeral_1h_input_tokens\":60},\"output_tokens\":1,\"service_tier\":\"priority\"}}}\n\n",
    ": a comment\n\n",
    "event: ping\ndata: {\"type\":\"ping\"}\n\n",
    "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}}\n\n",
    "event: content_block_delta\r\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"Two \"}}\r\n\r\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"lookups.\"}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"signature_delta\",\"signature\":\"Eq8B\"}}\n\n",
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"redacted_thinking\",\"data\":\"Zz\"}}\n\n",
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":1}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":2,\"content_block\":{\"type\":\"server_tool_use\",\"id\":\"s\",\"name\":\"web_search\",\"input\":{}}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":2,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"query\\\":1}\"}}\n\n",
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":2}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":3,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":3,\"delta\":{\"type\":\"text_delta\",\"text\":\"Grüße \\\"\\n\"}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":3,\"delta\":{\"type\":\"citations_delta\",\"citation\":{\"type\":\"web_search_result_location\",\"url\":\"https://a.example\",\"title\":\"A\",\"cited_text\":\"q\",\"encrypted_index\":\"x\"}}}\n\n",
    "event: news\ndata: {\"type\":\"news\",\"x\":1}\n\n",
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":3}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":4,\"content_block\":{\"type\":\"tool_use\",\"id\":\"toolu_1\",\"name\":\"wx\",\"input\":{}}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":4,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"\"}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":4,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"city\\\": \\\"B\"}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":4,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"onn\\\"}\"}}\n\n",
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":4}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":5,\"content_block\":{\"type\":\"tool_use\",\"id\":\"toolu_2\",\"name\":\"now\",\"input\":{}}}\n\n",
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":5}\n\n",
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":250,\"output_tokens_details\":{\"thinking_tokens\":200}}}\n\n",
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
);

const WHOLE: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[
    {"type":"thinking","thinking":"Two lookups.","signature":"Eq8B"},{"type":"redacted_thinking","data":"Zz"},
    {"type":"server_tool_use","id":"s","name":"web_search","input":{"query":1}},
    {"type":"text","text":"Grüße \"\n","citations":[{"type":"web_search_result_location","url":"https://a.example","title":"A","cited_text":"q","encrypted_index":"x"}]},
    {"type":"tool_use","id":"toolu_1","name":"wx","input":{"city": "Bonn"}},{"type":"tool_use","id":"toolu_2","name":"now","input":{}}],
    "stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":300,"cache_creation_input_tokens":100,"cache_read_input_tokens":600,"cache_creation":{"ephemeral_5m_input_tokens":40,"ephemeral_1h_input_tokens":60},"output_tokens":250,"output_tokens_details":{"thinking_tokens":200},"service_tier":"priority"}}"#;

/// Feeds a stream in two pieces.
pub(super) fn feed(stream: &[u8], cut: usize, reader: &mut AnswerReader, sink: &mut dyn Sink) {
    let mut framer = Framer::new(1 << 20);
    let mut take = |frame: &[u8], reader: &mut AnswerReader| {
        let event = sse::Event::read(frame);
        reader.frame(event.name, &event.data, sink);
    };
    for piece in [&stream[..cut], &stream[cut..]] {
        let rest = match framer.start(Bytes::copy_from_slice(piece)) {
            Start::Fresh(rest) => rest,
            Start::Completed(frame, rest) => {
                take(&frame, reader);
                rest
            }
            Start::Kept => continue,
            Start::Overlong(..) => panic!("no frame is so long"),
        };
        let mut from = 0;
        while let Some(end) = framer.frame_end(&rest, from) {
            take(&rest[from..end], reader);
            from = end;
        }
        framer.keep(rest.slice(from..));
    }
}

pub(super) fn events_of(stream: &str) -> Vec<String> {
    let (mut reader, mut record) = (reader(), Record::default());
    feed(stream.as_bytes(), 0, &mut reader, &mut record);
    assert!(reader.is_complete());
    record.0
}

#[test]
fn a_stream_is_read_however_it_is_cut() {
    let events = events_of(STREAM);
    insta::with_settings!({snapshot_path => "../../../../tests/golden/anthropic", prepend_module_to_snapshot => false}, {
        insta::assert_snapshot!("answer_events", events.join("\n"));
    });
    for cut in 0..STREAM.len() {
        let (mut reader, mut record) = (reader(), Record::default());
        feed(STREAM.as_bytes(), cut, &mut reader, &mut record);
        assert_eq!(record.0, events, "cut at {cut}");
    }
}

#[test]
fn a_whole_answer_is_the_same_events() {
    let (mut reader, mut record) = (reader(), Record::default());
    reader.whole(Value::parse(WHOLE.as_bytes()).unwrap(), &mut record);
    assert!(reader.is_complete());
    assert_eq!(record.0, events_of(STREAM));
}

fn last_events(frames: &[&str]) -> Vec<String> {
    let (mut reader, mut record) = (reader(), Record::default());
    for frame in frames {
        reader.frame(b"", frame.as_bytes(), &mut record);
    }
    record.0
}

#[test]
fn ends_are_told_once_and_by_the_last_word() {
    let start = r#"{"type":"message_start","message":{"id":"a","usage":{"input_tokens":5,"output_tokens":1}}}"#;
    let stop = r#"{"type":"message_stop"}"#;
    for (delta, expected) in [
        (r#"{"stop_reason":"end_turn"}"#, "Done"),
        (r#"{"stop_reason":"max_tokens"}"#, "Length"),
        (r#"{"stop_reason":"model_context_window_exceeded"}"#, "ContextFull"),
        (r#"{"stop_reason":"pause_turn"}"#, "Paused"),
        (
            r#"{"stop_reason":"refusal","stop_details":{"type":"refusal","category":"bio","explanation":"no"}}"#,
            "Refusal",
        ),
        (r#"{"stop_reason":"tool_use"}"#, "Calls"),
        (r#"{"stop_reason":"surprise"}"#, "Done"),
    ] {
        let delta = format!(r#"{{"type":"message_delta","delta":{delta},"usage":{{"output_tokens":3}}}}"#);
        let events = last_events(&[start, start, &delta, stop, stop]);
        assert_eq!(events.iter().filter(|event| event.starts_with("Start")).count(), 1);
        let finish = format!("Finish {{ reason: {expected}, stop: None }}");
        assert_eq!(events.iter().filter(|event| event.starts_with("Finish")).collect::<Vec<_>>(), [&finish]);
        assert_eq!(expected == "Refusal", events.iter().any(|event| event == r#"Refusal(Text("no"))"#));
    }
    let events = last_events(&[
        start,
        r#"{"type":"message_delta","delta":{"stop_reason":"stop_sequence","stop_sequence":"X"},"usage":{"output_tokens":3,"input_tokens":7}}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":null},"usage":{"output_tokens":9}}"#,
        stop,
    ]);
    assert_eq!(events.last().unwrap(), r#"Finish { reason: Stop, stop: Some(Text("X")) }"#);
    assert!(events[2].contains("input: 7,") && events[2].contains(" output: 9,"), "{}", events[2]);
}

#[test]
fn failures_are_told_by_kind() {
    for (frame, expected) in [
        (
            r#"{"type":"error","error":{"type":"overloaded_error","message":"busy"}}"#,
            r#"kind: Overloaded, message: Text("busy")"#,
        ),
        (r#"{"type":"error","error":{"type":"rate_limit_error","message":"m"}}"#, "kind: RateLimited"),
        (r#"{"type":"error","error":{"type":"invalid_request_error"}}"#, "kind: Rejected"),
        (r#"{"type":"error"}"#, "kind: Fault,"),
        (r#"{"type":"content_block_delta""#, "kind: Garbled"),
    ] {
        let events = last_events(&[frame]);
        assert!(events.len() == 1 && events[0].contains(expected), "{frame}: {events:?}");
    }
    for (answer, expected) in
        [(r#"{"type":"error","error":{"type":"api_error"}}"#, "kind: Fault"), ("{}", "Garbled"), ("[]", "Garbled")]
    {
        let (mut reader, mut record) = (reader(), Record::default());
        reader.whole(Value::parse(answer.as_bytes()).unwrap(), &mut record);
        assert!(record.0[0].contains(expected) && !reader.is_complete(), "{answer}");
    }
    assert!(
        last_events(&[
            "",
            "[DONE]",
            "{}",
            "7",
            r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"x"}}"#
        ])
        .is_empty()
    );
}

pub(super) fn call(index: usize, id: &'static str, name: &'static str) -> Event<'static> {
    Event::CallStart { index, id: Text::plain(id), name: Text::plain(name), kind: CallKind::Function }
}

pub(super) fn arguments(index: usize, piece: &'static str) -> Event<'static> {
    Event::CallArguments { index, piece: Text::plain(piece) }
}

pub(super) fn sealed(kind: BlobKind, token: &'static str) -> Event<'static> {
    Event::Sealed(Blob { kind, token: Text::plain(token), maker: None })
}

fn started() -> Event<'static> {
    Event::Start { id: Text::plain("x"), usage: None }
}

fn used() -> Event<'static> {
    let usage = Usage {
        input: 300,
        cache_read: 600,
        cache_write: CacheWrite { m5: 100, ..CacheWrite::default() },
        output: 250,
        reasoning: 200,
        ..Usage::default()
    };
    Event::Usage { usage, service_tier: Some(Text::plain("priority")) }
}

fn finished(reason: Finish) -> Event<'static> {
    Event::Finish { reason, stop: None }
}

#[test]
fn what_is_written() {
    let words = |text| Event::Text(Text::plain(text));
    let thought = |text| Event::Thought(Text::plain(text));
    let cited = Event::Citation(Citation {
        url: Some(Text::plain("https://a.example")),
        title: None,
        quote: Some(Text::plain("q")),
        range: Some((0, 1)),
    });
    let cases: Vec<(&str, Vec<Event<'_>>)> = vec![
        (
            "text",
            vec![started(), words("a \"b\"\n"), words("c"), cited, Event::PartEnd, finished(Finish::Done), used()],
        ),
        ("nothing", vec![]),
        (
            "thoughts_and_calls",
            vec![
                started(),
                thought("Two "),
                thought("lookups."),
                sealed(BlobKind::ChatText, ""),
                words("Looking."),
                call(0, "call_1", "wx"),
                arguments(0, "{\"city\":"),
                call(1, "call.2", "wx"),
                arguments(1, "{\"city\":\"Ulm\"}"),
                arguments(0, "\"Bonn\"}"),
                call(2, "", "now"),
                words("after"),
                finished(Finish::Calls),
                used(),
            ],
        ),
        (
            "signed_parts",
            vec![
                started(),
                started(),
                sealed(BlobKind::ResponsesEncrypted, "gAAA"),
                words("signed"),
                sealed(BlobKind::GeminiSignature, "s1"),
                words("more"),
                Event::PartEnd,
                call(0, "c", "f"),
                arguments(0, "not json"),
                sealed(BlobKind::GeminiSignature, "s2"),
                Event::PartEnd,
                finished(Finish::Done),
            ],
        ),
        ("refused", vec![started(), Event::Refusal(Text::plain("No.")), finished(Finish::Done), used()]),
        ("stopped", vec![words("x"), Event::Finish { reason: Finish::Stop, stop: Some(Text::plain("X\"")) }, used()]),
    ];
    for (name, events) in cases {
        let mut both = Both::new(&view());
        for event in events {
            both.take(event);
        }
        let (stream, whole) = both.close();
        insta::with_settings!({snapshot_path => "../../../../tests/golden/anthropic", prepend_module_to_snapshot => false, description => "a stream, and the same answer whole"}, {
            insta::assert_snapshot!(format!("written_{name}"), format!("{stream}{whole}"));
        });
        check_grammar(&stream);
    }
}

/// What every stream keeps to: one message, its blocks one after another, each piece of its block's kind.
pub(super) fn check_grammar(stream: &str) {
    let frames: Vec<_> = stream.split("\n\n").filter(|frame| !frame.is_empty() && !frame.starts_with(':')).collect();
    let mut open: Option<(u64, String)> = None;
    let mut next = 0;
    for (at, frame) in frames.iter().enumerate() {
        let (name, data) = frame.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
        let data: serde_json::Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["type"], name);
        assert_eq!(name == "message_start", at == 0, "{stream}");
        assert_eq!(name == "message_stop", at + 1 == frames.len(), "{stream}");
        assert_eq!(name == "message_delta", at + 2 == frames.len(), "{stream}");
        match name {
            "content_block_start" => {
                assert!(open.is_none() && data["index"] == next, "{stream}");
                open = Some((next, data["content_block"]["type"].as_str().unwrap().to_owned()));
                next += 1;
            }
            "content_block_delta" => {
                let (index, kind) = open.as_ref().unwrap();
                assert_eq!(data["index"], *index, "{stream}");
                let of = match data["delta"]["type"].as_str().unwrap() {
                    "text_delta" | "citations_delta" => "text",
                    "thinking_delta" | "signature_delta" => "thinking",
                    "input_json_delta" => "tool_use",
                    other => panic!("{other}"),
                };
                assert_eq!(kind, of, "{stream}");
            }
            "content_block_stop" => assert_eq!(data["index"], open.take().unwrap().0, "{stream}"),
            _ => assert!(open.is_none(), "{stream}"),
        }
    }
}

#[test]
fn what_waits_is_bounded() {
    let mut view = view();
    view.kept_bytes_max = 10;
    let mut stream = StreamWriter::new(view.clone());
    let mut out = Vec::new();
    let mut take = |event: Event<'_>| stream.event(&event, &mut out);
    assert!(take(call(0, "a", "f")).is_ok());
    // What goes out at once is not kept.
    assert!(take(arguments(0, "{\"a\":\"0123456789\"}")).is_ok());
    assert!(take(call(1, "b", "f")).is_ok());
    assert!(take(arguments(1, "{\"a\":\"0123456789\"}")).is_err());
    let mut whole = WholeWriter::new(view);
    assert!(whole.event(&Event::Text(Text::plain("0123456789"))).is_ok());
    assert!(whole.event(&Event::Text(Text::plain("0"))).is_err());
}
