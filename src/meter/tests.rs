//! The meter on whole streams, cut streams, and streams that come in any pieces.

use proptest::prelude::*;

use super::*;

const BOUNDS: StreamBounds = StreamBounds { frame_bytes_max: 100_000, text_bytes_max: 100_000 };
const ASKED: Asked = Asked { usage: true };
const NOT_ASKED: Asked = Asked { usage: false };
const CHAT: WireFormat = WireFormat::OpenaiChat;
const ANTHROPIC: WireFormat = WireFormat::AnthropicMessages;

const ROLE: &str = r#"data: {"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}"#;
const STOP: &str = r#"data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}"#;
const USAGE: &str =
    r#"data: {"id":"c","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}"#;
const DONE: &str = "data: [DONE]";

fn text(text: &str) -> String {
    format!(
        r#"data: {{"id":"c","choices":[{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":null}}],"usage":null}}"#
    )
}

fn stream(frames: &[&str]) -> String {
    frames.iter().fold(String::new(), |all, frame| all + frame + "\n\n")
}

fn chat() -> String {
    stream(&[ROLE, &text("Hel"), &text("lo"), &text(r#", \"usage\":{} é\n"#), &text("!"), STOP, USAGE, DONE])
}

fn anthropic() -> String {
    stream(&[
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"content\":[],\"usage\":{\"input_tokens\":9,\"cache_read_input_tokens\":4,\"cache_creation_input_tokens\":30,\"cache_creation\":{\"ephemeral_5m_input_tokens\":10,\"ephemeral_1h_input_tokens\":20},\"output_tokens\":1,\"service_tier\":\"priority\"}}}",
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}",
        "event: ping\ndata: {\"type\": \"ping\"}",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hel\"}}",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"lo\"}       }",
        "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}",
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"input_tokens\":9,\"cache_read_input_tokens\":0,\"output_tokens\":12}}",
        "event: message_stop\ndata: {\"type\":\"message_stop\"}",
    ])
}

/// Runs a stream through a meter, cut into chunks of this many bytes.
fn run(format: WireFormat, asked: Asked, stream: &[u8], chunk_bytes: usize) -> (StreamMeter, Pieces) {
    let mut meter = StreamMeter::new(format, UsageQuirks::default(), asked, BOUNDS);
    let mut out = Pieces::new();
    for chunk in stream.chunks(chunk_bytes.max(1)) {
        meter.push(Bytes::copy_from_slice(chunk), &mut out);
    }
    meter.finish(&mut out);
    (meter, out)
}

fn whole(format: WireFormat, asked: Asked, stream: &str) -> (StreamMeter, Pieces) {
    run(format, asked, stream.as_bytes(), usize::MAX)
}

fn bytes_of(piece: &Piece) -> &Bytes {
    match piece {
        Piece::Frames(bytes)
        | Piece::Terminator(bytes)
        | Piece::UsageFrame { bytes, cost_at: _ }
        | Piece::ErrorEvent { bytes, kind: _ } => bytes,
    }
}

fn joined(pieces: &Pieces) -> String {
    String::from_utf8(pieces.iter().flat_map(|piece| bytes_of(piece).to_vec()).collect()).unwrap()
}

fn used(input: u64, output: u64) -> Usage {
    Usage { input, output, ..Usage::default() }
}

#[test]
fn a_chat_stream_is_metered() {
    let (meter, out) = whole(CHAT, NOT_ASKED, &chat());
    assert_eq!(joined(&out), chat().replace(&format!("{USAGE}\n\n"), ""));
    assert_eq!(out.len(), 2, "{out:?}");
    assert!(matches!(&out[1], Piece::Terminator(bytes) if bytes.as_ref() == b"data: [DONE]\n\n"));
    assert_eq!(meter.usage(), Some(used(7, 3)));
    assert!(meter.opened() && meter.has_terminated() && meter.has_finish_reason());
    assert_eq!(meter.text(), "Hello, \\\"usage\\\":{} é\\n!".as_bytes());
    assert_eq!(meter.text_bytes_total(), 25);
}

#[test]
fn the_cost_has_a_place_in_the_usage_the_client_asked_for() {
    let finish = r#"data: {"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}],"usage": {"prompt_tokens":7,"completion_tokens":3}}"#;
    let late = r#"data: {"choices":[{"delta":{}}],"usage":{"prompt_tokens":7,"completion_tokens":3}}"#;
    for (name, frames) in [
        ("usage chunk", vec![STOP, USAGE, DONE]),
        ("beside the finish reason", vec![finish, DONE]),
        ("after the finish reason", vec![STOP, late, DONE]),
    ] {
        let stream = stream(&frames);
        let (meter, out) = whole(CHAT, ASKED, &stream);
        assert_eq!(joined(&out), stream, "{name}");
        assert_eq!(meter.usage(), Some(used(7, 3)), "{name}");
        let place = out.iter().find_map(|piece| {
            let Piece::UsageFrame { bytes, cost_at: Some(at) } = piece else { return None };
            Some(&bytes[*at..])
        });
        assert!(place.unwrap().starts_with(b"\"prompt_tokens\""), "{name}");
        let (_, out) = whole(CHAT, NOT_ASKED, &stream);
        assert!(!out.iter().any(|piece| matches!(piece, Piece::UsageFrame { .. })), "{name}");
        assert_eq!(joined(&out).contains("prompt_tokens"), name != "usage chunk", "{name}");
    }
    let (_, out) = whole(ANTHROPIC, ASKED, &anthropic());
    assert!(out.iter().any(|piece| matches!(piece, Piece::UsageFrame { bytes, cost_at: Some(at) }
        if bytes[*at..].starts_with(b"\"input_tokens\":9"))));
    let (meter, out) = whole(CHAT, ASKED, "data: {\"choices\":[],\ndata: \"usage\":{\"prompt_tokens\":1}}\n\n");
    assert!(matches!(out[0], Piece::UsageFrame { bytes: _, cost_at: None }));
    assert_eq!(meter.usage(), Some(used(1, 0)));
}

#[test]
fn an_anthropic_stream_is_metered() {
    let (meter, out) = whole(ANTHROPIC, NOT_ASKED, &anthropic());
    assert_eq!(joined(&out), anthropic());
    assert!(matches!(out.last(), Some(Piece::Terminator(_))));
    let usage = meter.usage().unwrap();
    assert_eq!((usage.input, usage.cache_read, usage.output), (9, 4, 12));
    assert_eq!((usage.cache_write.m5, usage.cache_write.h1), (10, 20));
    assert_eq!(meter.text(), b"Hello");
    assert_eq!(meter.service_tier(), Some("priority"));
    assert!(meter.opened() && meter.has_terminated() && meter.has_finish_reason());

    let cut = anthropic().find("event: message_delta").unwrap();
    let (meter, _) = whole(ANTHROPIC, NOT_ASKED, &anthropic()[..cut]);
    assert_eq!(meter.usage(), None);
    assert_eq!(meter.prompt_usage().map(|usage| (usage.prompt_total(), usage.output)), Some((43, 0)));
    assert!(!meter.has_terminated());
}

#[test]
fn only_content_opens() {
    let start = &anthropic()[..anthropic().find("event: content_block_start").unwrap()];
    for (name, format, stream, opened) in [
        ("role", CHAT, stream(&[ROLE]), false),
        ("empty delta", CHAT, stream(&[r#"data: {"choices":[{"delta":{}}]}"#]), false),
        (
            "prompt filter",
            CHAT,
            stream(&[r#"data: {"choices":[],"prompt_filter_results":[{"a":{"content":"x"}}]}"#]),
            false,
        ),
        ("comment", CHAT, stream(&[": OPENROUTER PROCESSING"]), false),
        ("null content", CHAT, stream(&[r#"data: {"choices":[{"delta":{"content":null,"reasoning":null}}]}"#]), false),
        ("no tool calls", CHAT, stream(&[r#"data: {"choices":[{"delta":{"tool_calls":[]}}]}"#]), false),
        ("content", CHAT, stream(&[&text("a")]), true),
        ("reasoning", CHAT, stream(&[r#"data: {"choices":[{"delta":{"reasoning_content":"a"}}]}"#]), true),
        ("refusal", CHAT, stream(&[r#"data: {"choices":[{"delta":{"refusal":"a"}}]}"#]), true),
        ("parts", CHAT, stream(&[r#"data: {"choices":[{"delta":{"content":[{"type":"text","text":"a"}]}}]}"#]), true),
        ("audio", CHAT, stream(&[r#"data: {"choices":[{"delta":{"audio":{"id":"a"}}}]}"#]), true),
        (
            "tool call",
            CHAT,
            stream(&[
                r#"data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c","type":"function","function":{"name":"f","arguments":""}}]}}]}"#,
            ]),
            true,
        ),
        ("finish", CHAT, stream(&[STOP]), true),
        ("done", CHAT, stream(&[DONE]), false),
        ("start", ANTHROPIC, start.to_owned(), false),
        ("ping", ANTHROPIC, stream(&["event: ping\ndata: {\"type\":\"ping\"}"]), false),
        ("unknown", ANTHROPIC, stream(&["event: vertex_event\ndata: {\"type\":\"vertex_event\"}"]), false),
        ("block", ANTHROPIC, stream(&["event: content_block_start\ndata: {\"type\":\"content_block_start\"}"]), true),
        ("delta", ANTHROPIC, stream(&["data: {\"type\":\"message_delta\",\"delta\":{}}"]), true),
    ] {
        assert_eq!(whole(format, NOT_ASKED, &stream).0.opened(), opened, "{name}");
    }
}

#[test]
fn failures_are_told_from_answers() {
    for (format, frame, kind) in [
        (CHAT, r#"data: {"error":{"message":"m","type":"server_error"}}"#, Some(ErrorKind::Fault)),
        (CHAT, r#"data: {"error":{"message":"m","code":429}}"#, Some(ErrorKind::RateLimited)),
        (CHAT, r#"data: {"error":{"type":"rate_limit_error"}}"#, Some(ErrorKind::RateLimited)),
        (CHAT, r#"data: {"error":{"code":"context_length_exceeded"}}"#, Some(ErrorKind::Rejected)),
        (CHAT, r#"data: {"error":"overloaded","status_code":503}"#, Some(ErrorKind::Overloaded)),
        (CHAT, r#"data: {"x_groq":{"error":"over capacity"}}"#, Some(ErrorKind::Fault)),
        (CHAT, "event: error\ndata: {\"message\":\"m\"}", Some(ErrorKind::Fault)),
        (CHAT, r#"data: {"choices":[{"delta":{},"finish_reason":"error"}],"error":null}"#, Some(ErrorKind::Fault)),
        (
            CHAT,
            r#"data: {"choices":[{"delta":{},"finish_reason":"insufficient_system_resource"}]}"#,
            Some(ErrorKind::Overloaded),
        ),
        (CHAT, r#"data: {"error":null,"choices":[]}"#, None),
        (CHAT, r#"data: {"error":{},"choices":[]}"#, None),
        (CHAT, r#"data: {"choices":[{"delta":{"content":"\"error\":{\"a\":1}"}}]}"#, None),
        (CHAT, r#"data: {"choices":[{"delta":{"content":"x","error":{"a":1}}}]}"#, None),
        (
            ANTHROPIC,
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}",
            Some(ErrorKind::Overloaded),
        ),
        (ANTHROPIC, "data: {\"type\":\"error\",\"error\":{\"type\":\"api_error\"}}", Some(ErrorKind::Fault)),
    ] {
        let (_, out) = whole(format, NOT_ASKED, &stream(&[frame]));
        let found = out.iter().find_map(|piece| {
            let Piece::ErrorEvent { bytes: _, kind } = piece else { return None };
            Some(*kind)
        });
        assert_eq!(found, kind, "{frame}");
    }
}

#[test]
fn usage_comes_in_many_places() {
    let running = |n| {
        format!(
            r#"data: {{"choices":[{{"delta":{{"content":"a"}}}}],"usage":{{"prompt_tokens":7,"completion_tokens":{n}}}}}"#
        )
    };
    let groq = r#"data: {"choices":[{"delta":{},"finish_reason":"stop"}],"x_groq":{"id":"r","usage":{"prompt_tokens":7,"completion_tokens":3}}}"#;
    let zero = r#"data: {"choices":[],"usage":{"prompt_tokens":0,"completion_tokens":0}}"#;
    for (name, frames, usage) in [
        ("the last of many", vec![running(1), running(2)], Some(used(7, 2))),
        ("groq", vec![groq.to_owned()], Some(used(7, 3))),
        ("groq twice", vec![groq.to_owned(), USAGE.to_owned()], Some(used(7, 3))),
        ("nothing after something", vec![USAGE.to_owned(), zero.to_owned()], Some(used(7, 3))),
        ("none", vec![text(r#"\"usage\":{\"prompt_tokens\":9}"#)], None),
        ("inside a delta", vec![r#"data: {"choices":[{"delta":{"usage":{"prompt_tokens":9}}}]}"#.to_owned()], None),
        ("broken", vec![r#"data: {"choices":[],"usage":{"prompt_tokens":"#.to_owned()], None),
    ] {
        let frames: Vec<&str> = frames.iter().map(String::as_str).collect();
        let (meter, _) = whole(CHAT, NOT_ASKED, &stream(&frames));
        assert_eq!(meter.usage(), usage, "{name}");
    }
}

#[test]
fn a_chunk_of_whole_frames_is_not_copied() {
    let mut meter = StreamMeter::new(CHAT, UsageQuirks::default(), NOT_ASKED, BOUNDS);
    for frames in [stream(&[&text("a")]), stream(&[&text("b")]), stream(&[&text("c"), &text("d"), STOP])] {
        let chunk = Bytes::from(frames);
        let mut out = Pieces::new();
        meter.push(chunk.clone(), &mut out);
        assert!(
            matches!(&out[..], [Piece::Frames(bytes)] if bytes.as_ptr() == chunk.as_ptr() && bytes.len() == chunk.len())
        );
    }
    assert_eq!(meter.text(), b"abcd");
}

#[test]
fn a_learnt_frame_fits_only_its_like() {
    let padded = |text: &str, pad: &str| {
        format!("data: {{\"obfuscation\":\"{pad}\",\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
    };
    let mut meter = StreamMeter::new(CHAT, UsageQuirks::default(), NOT_ASKED, BOUNDS);
    let mut out = Pieces::new();
    for (a, b) in [("Hello", "x"), ("", "yyy"), (r#"q\"}]}"#, ""), (r"\\", "zz")] {
        meter.push(Bytes::from(padded(a, b)), &mut out);
    }
    assert_eq!(meter.text(), br#"Helloq\"}]}\\"#);
    let frame = padded("Hello", "x");
    assert!(meter.template.fit(frame.as_bytes()).is_some());
    for other in [
        frame.replace("]}\n\n", "],\"usage\":{}}\n\n"),
        frame.replace("Hello", "Hel\nlo"),
        frame.replace("\n\n", "\n"),
        frame.replace("content", "contend"),
    ] {
        assert!(meter.template.fit(other.as_bytes()).is_none(), "{other}");
    }
    for cut in 0..frame.len() {
        assert!(meter.template.fit(&frame.as_bytes()[..cut]).is_none(), "{cut}");
    }
}

#[test]
fn responses_streams_are_metered() {
    let frame = |data: &str| {
        let kind = data.split('"').nth(3).unwrap();
        format!("event: {kind}\ndata: {data}\n\n")
    };
    let begun = [
        r#"{"type":"response.created","response":{"id":"r","usage":null},"sequence_number":0}"#,
        r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"message"},"sequence_number":1}"#,
    ];
    let said = [
        r#"{"type":"response.output_text.delta","delta":"Hel","sequence_number":2}"#,
        r#"{"type":"response.function_call_arguments.delta","delta":"lo","sequence_number":3}"#,
    ];
    let end = r#"{"type":"response.completed","response":{"service_tier":"priority","usage":{"input_tokens":10,"input_tokens_details":{"cached_tokens":4},"output_tokens":3,"total_tokens":13}},"sequence_number":4}"#;
    let stream = |parts: &[&str]| parts.iter().map(|part| frame(part)).collect::<String>();
    let responses = WireFormat::OpenaiResponses;
    let (meter, _) = whole(responses, NOT_ASKED, &stream(&begun));
    assert!(!meter.opened());
    let all = stream(&[&begun[..], &said, &[end]].concat());
    let (meter, out) = whole(responses, NOT_ASKED, &all);
    assert_eq!(joined(&out), all);
    assert!(meter.opened() && meter.has_terminated() && meter.has_finish_reason());
    assert_eq!((meter.text(), meter.service_tier()), (&b"Hello"[..], Some("priority")));
    assert_eq!(meter.usage(), Some(Usage { input: 6, cache_read: 4, output: 3, ..Usage::default() }));
    let failed = r#"{"type":"response.failed","response":{"error":{"code":"rate_limit_exceeded","message":"x"}}}"#;
    let (_, out) = whole(responses, NOT_ASKED, &stream(&[failed]));
    assert!(matches!(out[0], Piece::ErrorEvent { kind: ErrorKind::RateLimited, .. }));
}

#[test]
fn the_end_of_the_body_ends_the_last_frame() {
    for (stream, pieces) in [
        ("data: [DONE]", "data: [DONE]\n\n"),
        ("data: [DONE]\n", "data: [DONE]\n\n"),
        ("data: [DONE]\r\n\r", "data: [DONE]\r\n\r\n"),
        (STOP, &format!("{STOP}\n\n")),
        (&STOP[..STOP.len() - 1], ""),
        ("", ""),
        (": comment", ""),
        ("event: message_stop", ""),
    ] {
        let (meter, out) = whole(CHAT, NOT_ASKED, stream);
        assert_eq!(joined(&out), *pieces, "{stream}");
        assert_eq!(meter.has_terminated(), stream.contains("DONE"), "{stream}");
    }
}

#[test]
fn bounds_hold() {
    let bounds = StreamBounds { frame_bytes_max: 300, text_bytes_max: 4 };
    let mut meter = StreamMeter::new(CHAT, UsageQuirks::default(), NOT_ASKED, bounds);
    let long = text(&"x".repeat(1000));
    let stream = stream(&[&text("abc"), &text("def"), &long, STOP, DONE]);
    let mut out = Pieces::new();
    for chunk in stream.as_bytes().chunks(50) {
        meter.push(Bytes::copy_from_slice(chunk), &mut out);
    }
    assert_eq!(joined(&out), stream);
    assert_eq!((meter.text(), meter.text_bytes_total()), (&b"abcd"[..], 6));
    assert_eq!(meter.overlong_frames(), 1);
    assert!(meter.has_terminated() && meter.has_finish_reason());
}

/// Everything a caller can learn from a run.
fn learnt(run: &(StreamMeter, Pieces)) -> impl PartialEq + std::fmt::Debug + use<> {
    let (meter, out) = run;
    let special: Vec<Piece> = out.iter().filter(|piece| !matches!(piece, Piece::Frames(_))).cloned().collect();
    let ended = (meter.opened(), meter.has_terminated(), meter.has_finish_reason());
    (joined(out), special, meter.usage(), meter.text().to_vec(), meter.text_bytes_total(), ended)
}

#[test]
fn every_cut_gives_the_same() {
    for (format, stream) in [(CHAT, chat()), (ANTHROPIC, anthropic())] {
        for stream in
            [stream.clone(), stream.replace('\n', "\r\n"), stream.replace('\n', "\r"), format!("\u{feff}{stream}")]
        {
            for asked in [ASKED, NOT_ASKED] {
                let expected = learnt(&whole(format, asked, &stream));
                for chunk_bytes in [1, 2, 3, 7, 64, 250] {
                    assert_eq!(learnt(&run(format, asked, stream.as_bytes(), chunk_bytes)), expected, "{chunk_bytes}");
                }
                for cut in 0..stream.len() {
                    let mut meter = StreamMeter::new(format, UsageQuirks::default(), asked, BOUNDS);
                    let mut out = Pieces::new();
                    let (first, second) = stream.as_bytes().split_at(cut);
                    meter.push(Bytes::copy_from_slice(first), &mut out);
                    meter.push(Bytes::copy_from_slice(second), &mut out);
                    meter.finish(&mut out);
                    assert_eq!(learnt(&(meter, out)), expected, "{cut}");
                }
            }
        }
    }
}

/// Runs chunks through a meter, letting those pass that do.
fn run_passing(format: WireFormat, asked: Asked, chunks: &[String]) -> ((StreamMeter, Pieces), usize) {
    let mut meter = StreamMeter::new(format, UsageQuirks::default(), asked, BOUNDS);
    let (mut out, mut passed) = (Pieces::new(), 0);
    for chunk in chunks {
        let chunk = Bytes::copy_from_slice(chunk.as_bytes());
        if meter.passes(&chunk) {
            passed += 1;
            out.push(Piece::Frames(chunk));
        } else {
            meter.push(chunk, &mut out);
        }
    }
    meter.finish(&mut out);
    ((meter, out), passed)
}

#[test]
fn what_passes_is_metered_all_the_same() {
    for (format, stream, likely) in [(CHAT, chat(), 3), (ANTHROPIC, anthropic(), 1)] {
        let chunks: Vec<String> = stream.split_inclusive("\n\n").map(str::to_owned).collect();
        let (run, passed) = run_passing(format, ASKED, &chunks);
        assert_eq!((learnt(&run), passed), (learnt(&whole(format, ASKED, &stream)), likely));
    }
    let long = "x".repeat(40);
    let frame = |content: &str| stream(&[&text(content)]);
    for (chunk, passes) in [
        (frame(""), true),
        (frame("fifteen bytes.."), true),
        (frame("sixteen bytes..."), true),
        (frame("seventeen bytes.."), true),
        (frame(&format!("{long}\\n{long}")), true),
        (frame("\\\""), true),
        (frame("\""), false),
        (frame("\\"), false),
        (frame("a\nb"), false),
        (frame(&format!("{long}\r")), false),
        (frame("a") + &frame("b"), false),
        (frame("a").replace("\n\n", "\n"), false),
        (stream(&[STOP]), false),
        (String::new(), false),
    ] {
        let mut meter = StreamMeter::new(CHAT, UsageQuirks::default(), NOT_ASKED, BOUNDS);
        meter.push(Bytes::from(frame("learnt")), &mut Pieces::new());
        assert_eq!(meter.passes(chunk.as_bytes()), passes, "{chunk}");
        meter.push(Bytes::from_static(b"data: half"), &mut Pieces::new());
        assert!(!meter.passes(frame("the other half").as_bytes()));
    }
}

fn any_frame() -> impl Strategy<Value = String> {
    let ending = prop_oneof![Just("\n\n"), Just("\r\n\r\n"), Just("\r\r"), Just("\n\r\n"), Just("\n")];
    let frame = prop_oneof![
        4 => "[a-zé\"\\\\\n]{0,9}".prop_map(|t| text(serde_json::to_string(&t).unwrap().trim_matches('"'))),
        1 => Just(ROLE.to_owned()),
        1 => Just(STOP.to_owned()),
        1 => Just(USAGE.to_owned()),
        1 => Just(DONE.to_owned()),
        1 => Just(": ping".to_owned()),
        1 => Just(r#"data: {"error":{"message":"m"}}"#.to_owned()),
        1 => ".{0,20}",
    ];
    (frame, ending).prop_map(|(frame, ending)| frame + ending)
}

proptest! {
    #[test]
    fn chunk_borders_do_not_matter(
        frames in proptest::collection::vec(any_frame(), 0..12), chunk_bytes in 1_usize..80, usage: bool,
    ) {
        let stream = frames.concat();
        let asked = Asked { usage };
        prop_assert_eq!(
            learnt(&run(CHAT, asked, stream.as_bytes(), chunk_bytes)),
            learnt(&run(CHAT, asked, stream.as_bytes(), usize::MAX))
        );
    }

    #[test]
    fn passing_does_not_matter(frames in proptest::collection::vec(any_frame(), 0..12), usage: bool) {
        let (run, _) = run_passing(CHAT, Asked { usage }, &frames);
        prop_assert_eq!(learnt(&run), learnt(&whole(CHAT, Asked { usage }, &frames.concat())));
    }

    #[test]
    fn no_bytes_panic(stream in proptest::collection::vec(any::<u8>(), 0..300), chunk_bytes in 1_usize..50) {
        for format in [CHAT, ANTHROPIC] {
            let (_, out) = run(format, ASKED, &stream, chunk_bytes);
            prop_assert!(out.iter().map(|piece| bytes_of(piece).len()).sum::<usize>() <= stream.len() + 2);
        }
    }
}
