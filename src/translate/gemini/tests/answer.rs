//! Answers: whole, streamed, cut anywhere, broken.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::base::usage::Usage;
use crate::translate::Sink;
use crate::translate::ir::Event;
use crate::wire::sse::{self, Framer, Start};
use crate::wire::usage::UsageQuirks;

/// Events in words, text pieces of one kind joined.
#[derive(Default)]
struct Told(Vec<String>);

impl Sink for Told {
    fn take(&mut self, event: Event<'_>) {
        let (what, piece) = match event {
            Event::Start { id, usage } => (format!("start {} {}", id.spelt(), usage.is_some()), String::new()),
            Event::Text(text) => ("text ".into(), text.spelt().to_owned()),
            Event::Thought(text) => ("thought ".into(), text.spelt().to_owned()),
            Event::Refusal(text) => ("refusal ".into(), text.spelt().to_owned()),
            Event::Sealed(blob) => (format!("sealed {}", blob.token.spelt()), String::new()),
            Event::CallStart { index, id, name, .. } => {
                (format!("call {index} {} {}", id.spelt(), name.spelt()), String::new())
            }
            Event::CallArguments { index, piece } => (format!("args {index} {}", piece.to_plain()), String::new()),
            Event::PartEnd => ("end".into(), String::new()),
            Event::Citation(citation) => (
                format!(
                    "cited {} {} {:?}",
                    citation.url.unwrap_or_default().spelt(),
                    citation.title.unwrap_or_default().spelt(),
                    citation.range
                ),
                String::new(),
            ),
            Event::Image { media_type, base64 } => {
                (format!("image {} {}", media_type.spelt(), base64.spelt()), String::new())
            }
            Event::Logprobs(value) => (format!("logprobs {}", value.spelt()), String::new()),
            Event::Finish { reason, .. } => (format!("finish {reason:?}"), String::new()),
            Event::Usage { usage, .. } => (format!("usage {usage:?}"), String::new()),
            Event::Fault(fault) => (format!("fault {:?} {}", fault.kind, fault.message.to_plain()), String::new()),
        };
        match self.0.last_mut() {
            Some(last) if !piece.is_empty() && last.starts_with(&what) => last.push_str(&piece),
            _ => self.0.push(what + &piece),
        }
    }
}

fn reader() -> AnswerReader {
    AnswerReader::new(Dialect::Plain, UsageQuirks::default())
}

fn whole(answer: &Json) -> (Vec<String>, bool) {
    let (mut reader, mut told) = (reader(), Told::default());
    reader.whole(Value::parse(answer.to_string().as_bytes()).unwrap(), &mut told);
    (told.0, reader.is_complete())
}

/// The events without usage, which tests of its own look at.
fn gist(answer: &Json) -> Vec<String> {
    whole(answer).0.into_iter().filter(|event| !event.starts_with("usage") && !event.starts_with("start")).collect()
}

fn streamed(chunks: &[Json]) -> (Vec<String>, bool) {
    let (mut reader, mut told) = (reader(), Told::default());
    for chunk in chunks {
        reader.frame(b"", chunk.to_string().as_bytes(), &mut told);
    }
    (told.0, reader.is_complete())
}

fn chunk(parts: &Json, finish: Option<&str>) -> Json {
    let mut candidate = json!({"content": {"role": "model", "parts": parts}, "index": 0});
    if let Some(finish) = finish {
        candidate["finishReason"] = finish.into();
    }
    json!({"candidates": [candidate], "modelVersion": "m", "responseId": "r1",
        "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 5, "thoughtsTokenCount": 3, "totalTokenCount": 18}})
}

fn all_parts() -> Json {
    json!([
        {"text": "hm, ", "thought": true},
        {"text": "so", "thought": true},
        {"text": "Hel\"lo "},
        {"text": "😀"},
        {"text": "", "thoughtSignature": "dGV4dA=="},
        {"functionCall": {"id": "a", "name": "f", "args": {"city": "Köln", "n": 1.10, "q": "a \"b\" \\ \n"}}, "thoughtSignature": "Y2FsbA=="},
        {"functionCall": {"id": "b", "name": "g", "args": {}}},
    ])
}

#[test]
fn t47_a_whole_answer_and_its_stream_say_the_same() {
    let expected = [
        "start r1 true",
        "thought hm, so",
        "end",
        "text Hel\\\"lo 😀",
        "sealed dGV4dA==",
        "end",
        "call 0 a f",
        r#"args 0 {"city":"Köln","n":1.1,"q":"a \"b\" \\ \n"}"#,
        "sealed Y2FsbA==",
        "end",
        "call 1 b g",
        "end",
        "finish Calls",
    ];
    let (told, is_complete) = whole(&chunk(&all_parts(), Some("STOP")));
    assert_eq!(told[..expected.len()], expected);
    assert!(is_complete && told.len() == expected.len() + 1);
    let parts = all_parts();
    let count = parts.as_array().unwrap().len();
    let chunks: Vec<Json> = parts
        .as_array()
        .unwrap()
        .iter()
        .enumerate()
        .map(|(i, part)| chunk(&json!([part]), (i + 1 == count).then_some("STOP")))
        .collect();
    let without_usage = |told: Vec<String>| told.into_iter().filter(|e| !e.starts_with("usage")).collect::<Vec<_>>();
    let mut joined = Told::default();
    for event in without_usage(streamed(&chunks).0) {
        // Usage between two pieces kept them apart.
        match joined.0.last_mut() {
            Some(last) if event.starts_with("text ") && last.starts_with("text ") => last.push_str(&event[5..]),
            Some(last) if event.starts_with("thought ") && last.starts_with("thought ") => last.push_str(&event[8..]),
            _ => joined.0.push(event),
        }
    }
    assert_eq!(joined.0, expected);
    let array = Json::Array(chunks.clone());
    assert_eq!(without_usage(whole(&array).0), without_usage(streamed(&chunks).0));
    assert!(streamed(&chunks).1 && !streamed(&chunks[..count - 1]).1);
}

#[test]
fn t52_a_stream_cut_anywhere_says_the_same() {
    let stream: String = [
        format!(": hello\r\n\r\ndata: {}\r\n\r\n", chunk(&json!([{"text": "Ä😀 "}]), None)),
        format!("data: {}\n\n", chunk(&json!([{"functionCall": {"name": "f", "args": {"a": "ö"}}}]), None)),
        format!("data: {}\n\n", chunk(&json!([]), Some("STOP"))),
    ]
    .concat();
    let bytes = Bytes::from(stream);
    let expected = framed(std::slice::from_ref(&bytes));
    assert_eq!(expected.len(), 8, "{expected:?}");
    for cut in 1..bytes.len() {
        assert_eq!(framed(&[bytes.slice(..cut), bytes.slice(cut..)]), expected, "cut at {cut}");
    }
}

fn framed(chunks: &[Bytes]) -> Vec<String> {
    let (mut reader, mut told) = (reader(), Told::default());
    let mut framer = Framer::new(1 << 20);
    for chunk in chunks {
        let rest = match framer.start(chunk.clone()) {
            Start::Fresh(rest) | Start::Overlong(_, rest) => rest,
            Start::Completed(frame, rest) => {
                read_frame(&frame, &mut reader, &mut told);
                rest
            }
            Start::Kept => continue,
        };
        let mut at = 0;
        while let Some(end) = framer.frame_end(&rest, at) {
            read_frame(&rest[at..end], &mut reader, &mut told);
            at = end;
        }
        framer.keep(rest.slice(at..));
    }
    told.0
}

fn read_frame(frame: &[u8], reader: &mut AnswerReader, told: &mut Told) {
    let event = sse::Event::read(frame);
    reader.frame(event.name, &event.data, told);
}

#[test]
fn calls_without_ids_get_stable_ones() {
    let answer = |id: &str| {
        let mut answer = chunk(
            &json!([{"functionCall": {"name": "f", "args": {"a": 1}}}, {"functionCall": {"name": "f"}}]),
            Some("STOP"),
        );
        answer["responseId"] = id.into();
        answer
    };
    let ids = |answer: &Json| -> Vec<String> {
        let calls = gist(answer).into_iter().filter(|event| event.starts_with("call "));
        calls.map(|event| event.split(' ').nth(2).unwrap().to_owned()).collect()
    };
    let first = ids(&answer("r1"));
    assert_eq!(first, ids(&answer("r1")));
    assert!(first[0] != first[1] && first[0] != ids(&answer("r2"))[0]);
    for id in first {
        assert!(
            id.starts_with("call_") && id.len() <= 40 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        );
    }
}

#[test]
fn every_finish_reason_has_its_meaning() {
    for (reason, told) in [
        ("STOP", "finish Done"),
        ("MAX_TOKENS", "finish Length"),
        ("CONTINUATION", "finish Length"),
        ("SAFETY", "finish Filtered"),
        ("RECITATION", "finish Filtered"),
        ("LANGUAGE", "finish Filtered"),
        ("BLOCKLIST", "finish Filtered"),
        ("PROHIBITED_CONTENT", "finish Filtered"),
        ("SPII", "finish Filtered"),
        ("IMAGE_SAFETY", "finish Filtered"),
        ("IMAGE_PROHIBITED_CONTENT", "finish Filtered"),
        ("IMAGE_RECITATION", "finish Filtered"),
        ("MODEL_ARMOR", "finish Filtered"),
        ("ESCALATION", "finish Filtered"),
        ("NO_IMAGE", "finish Filtered"),
        ("IMAGE_OTHER", "finish Filtered"),
        ("MALFORMED_FUNCTION_CALL", "fault Fault why"),
        ("UNEXPECTED_TOOL_CALL", "fault Fault why"),
        ("TOO_MANY_TOOL_CALLS", "fault Fault why"),
        ("MISSING_THOUGHT_SIGNATURE", "fault Fault why"),
        ("MALFORMED_RESPONSE", "fault Fault why"),
        ("PUP_LIMITED_DISABLED", "fault Fault why"),
        ("OTHER", "fault Overloaded why"),
        ("SOMETHING_NEW", "finish Done"),
    ] {
        let mut answer = chunk(&json!([]), Some(reason));
        answer["candidates"][0]["finishMessage"] = "why".into();
        assert_eq!(gist(&answer), [told], "{reason}");
        assert_eq!(whole(&answer).1, told.starts_with("finish"), "{reason}");
    }
    assert_eq!(gist(&chunk(&json!([{"text": "no"}]), Some("NO_IMAGE"))), ["text no", "end", "finish Done"]);
    assert_eq!(gist(&chunk(&json!([{"text": "no"}]), Some("FINISH_REASON_UNSPECIFIED"))), ["text no", "end"]);
}

#[test]
fn blocked_prompts_and_errors_are_told_apart() {
    let blocked = json!({"promptFeedback": {"blockReason": "SAFETY"}, "responseId": "r", "usageMetadata": {"promptTokenCount": 4}});
    let (told, is_complete) = whole(&blocked);
    assert_eq!(told[..2], ["start r true", "finish Filtered"]);
    assert!(is_complete && told.len() == 3);
    let error = |code: u64, status: &str, reason: &str| json!({"error": {"code": code, "status": status, "message": "m", "details": [{"reason": reason}]}});
    for (error, told) in [
        (error(400, "INVALID_ARGUMENT", ""), "fault Rejected m"),
        (error(400, "INVALID_ARGUMENT", "API_KEY_INVALID"), "fault Fault m"),
        (error(429, "RESOURCE_EXHAUSTED", ""), "fault RateLimited m"),
        (error(503, "UNAVAILABLE", ""), "fault Overloaded m"),
        (error(500, "INTERNAL", ""), "fault Fault m"),
        (error(403, "PERMISSION_DENIED", ""), "fault Fault m"),
    ] {
        assert_eq!(gist(&error), [told]);
        assert_eq!(gist(&json!([error])), [told]);
        let cut = streamed(&[chunk(&json!([{"text": "a"}]), None), error]);
        assert!(!cut.1 && cut.0.last().unwrap() == told);
    }
    for nothing in [json!({}), json!([]), json!("x"), json!([1])] {
        assert!(gist(&nothing)[0].starts_with("fault Garbled"), "{nothing}");
    }
    let mut told = Told::default();
    reader().frame(b"", b"{\"candidates\":[", &mut told);
    assert_eq!(told.0, ["fault Garbled a frame is not JSON"]);
}

#[test]
fn pictures_come_whole_and_drafts_stay_away() {
    let picture = |data: &str| json!({"inlineData": {"mimeType": "image/png", "data": data}});
    let mut draft = picture("ZHJhZnQ=");
    draft["thought"] = true.into();
    let parts = json!([{"text": "Here:"}, draft, picture("aW1n"), {"text": "ok"}]);
    let expected = ["text Here:", "end", "image image/png aW1n", "text ok", "end", "finish Done"];
    assert_eq!(gist(&chunk(&parts, Some("STOP"))), expected);
}

#[test]
fn sources_are_told_with_offsets_that_are_sure() {
    let with = |text: &str, field: &str, value: Json| {
        let mut answer = chunk(&json!([{"text": text}]), Some("STOP"));
        answer["candidates"][0][field] = value;
        gist(&answer).into_iter().filter(|event| event.starts_with("cited")).collect::<Vec<_>>()
    };
    let citations = || json!({"citations": [{"startIndex": 1, "endIndex": 3, "uri": "u", "title": "t"}, {"uri": "v"}]});
    assert_eq!(with("abcd", "citationMetadata", citations()), ["cited u t Some((1, 3))", "cited v  None"]);
    assert_eq!(with("äbcd", "citationMetadata", citations()), ["cited u t None", "cited v  None"]);
    let chunks = json!([{"web": {"uri": "a", "title": "A"}}, {"web": {"uri": "b", "title": "B"}}]);
    let supports = json!([{"segment": {"endIndex": 2, "text": "ab"}, "groundingChunkIndices": [1, 0, 7]}]);
    let grounded = json!({"groundingChunks": chunks, "groundingSupports": supports});
    assert_eq!(with("abcd", "groundingMetadata", grounded), ["cited b B Some((0, 2))", "cited a A Some((0, 2))"]);
    assert_eq!(
        with("abcd", "groundingMetadata", json!({"groundingChunks": chunks})),
        ["cited a A None", "cited b B None"]
    );
}

#[test]
fn probabilities_become_chats() {
    let mut answer = chunk(&json!([{"text": "a"}]), Some("STOP"));
    answer["candidates"][0]["logprobsResult"] = json!({
        "chosenCandidates": [{"token": "a\"", "tokenId": 1, "logProbability": -0.10}],
        "topCandidates": [{"candidates": [{"token": "b", "logProbability": -2}]}],
    });
    let told = gist(&answer);
    let array: Json = serde_json::from_str(told[1].strip_prefix("logprobs ").unwrap()).unwrap();
    let top = json!([{"token": "b", "logprob": -2, "bytes": null}]);
    assert_eq!(array, json!([{"token": "a\"", "logprob": -0.10, "bytes": null, "top_logprobs": top}]));
}

#[test]
fn t18_tokens_are_counted_once() {
    let read = |usage: &Json| usage::read(Value::parse(usage.to_string().as_bytes()).unwrap());
    let plain = json!({"promptTokenCount": 1000, "cachedContentTokenCount": 600, "candidatesTokenCount": 50,
        "thoughtsTokenCount": 200, "totalTokenCount": 1250});
    let expected = Usage { input: 400, cache_read: 600, output: 250, reasoning: 200, ..Usage::default() };
    assert_eq!(read(&plain), Some(expected));
    let shares = json!({"promptTokenCount": 1000, "cachedContentTokenCount": 300, "candidatesTokenCount": 1300,
        "toolUsePromptTokenCount": 20, "totalTokenCount": 2320,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 300}, {"modality": "IMAGE", "tokenCount": 500}, {"modality": "AUDIO", "tokenCount": 200}],
        "cacheTokensDetails": [{"modality": "IMAGE", "tokenCount": 300}],
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1290}]});
    let expected = Usage {
        input: 320,
        input_image: 200,
        input_audio: 200,
        cache_read_image: 300,
        output: 10,
        output_image: 1290,
        ..Usage::default()
    };
    assert_eq!(read(&shares), Some(expected));
    assert_eq!(expected.prompt_total(), 1020);
    for (usage, expected) in [
        (json!({}), None),
        (json!({"promptTokenCount": -1}), None),
        (json!({"promptTokenCount": 5}), Some(Usage { input: 5, ..Usage::default() })),
        (
            json!({"promptTokenCount": 5, "cachedContentTokenCount": 9}),
            Some(Usage { input: 5, cache_read: 9, ..Usage::default() }),
        ),
        (
            json!({"promptTokenCount": 5, "candidatesTokenCount": 9, "thoughtsTokenCount": 4, "totalTokenCount": 14}),
            Some(Usage { input: 5, output: 9, reasoning: 4, ..Usage::default() }),
        ),
    ] {
        assert_eq!(read(&usage), expected, "{usage}");
    }
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(at in 0usize..2_000, byte: u8, cut in 0usize..2_000) {
        let mut answer = chunk(&all_parts(), Some("STOP"));
        answer["candidates"][0]["groundingMetadata"] = json!({"groundingChunks": [{"web": {}}], "groundingSupports": [{}]});
        answer["candidates"][0]["logprobsResult"] = json!({"chosenCandidates": [{}], "topCandidates": []});
        let mut bytes = answer.to_string().into_bytes();
        let place = at % bytes.len();
        bytes[place] = byte;
        let mut told = Told::default();
        reader().frame(b"", &bytes, &mut told);
        bytes.truncate(cut % bytes.len());
        reader().frame(b"", &bytes, &mut told);
        prop_assert!(!told.0.is_empty() || bytes.is_empty());
    }

    #[test]
    fn arguments_keep_their_meaning(text in ".*", number: i64) {
        let args = json!({"a": text, "b": [number, {"c": text}]});
        for spelt in [args.to_string(), serde_json::to_string_pretty(&args).unwrap()] {
            let body = format!(r#"{{"candidates":[{{"content":{{"parts":[{{"functionCall":{{"name":"f","args":{spelt}}}}}]}}}}]}}"#);
            let mut told = Told::default();
            reader().frame(b"", body.as_bytes(), &mut told);
            let piece = told.0.iter().find_map(|event| event.strip_prefix("args 0 ")).unwrap().to_owned();
            prop_assert_eq!(piece, args.to_string());
        }
    }
}
