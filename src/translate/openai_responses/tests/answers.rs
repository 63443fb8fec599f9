//! Answers: what is written, read again, and said in other words by other hosts.

use super::*;
use crate::translate::Overflow;
use crate::translate::ir::{Blob, BlobKind, CallKind, Citation, Fault, FaultKind, Finish, Value};
use proptest::prelude::*;

const REQUEST: &str = r#"{"model":"flux-auto","input":"hi","instructions":"be brief","temperature":0.5,"store":true,
 "tools":[{"type":"function","name":"wx",
   "parameters":{"type":"object"},"strict":false}],"tool_choice":"auto","metadata":null,"text":{"verbosity":"low"}}"#;

fn text(plain: &str) -> Text<'_> {
    Text::plain(plain)
}

fn start() -> Event<'static> {
    Event::Start { id: Text::plain("up_1"), usage: None }
}

fn call(index: usize, id: &'static str, kind: CallKind) -> Event<'static> {
    Event::CallStart { index, id: Text::plain(id), name: Text::plain("wx"), kind }
}

fn arguments(index: usize, piece: &str) -> Event<'_> {
    Event::CallArguments { index, piece: text(piece) }
}

fn sealed(kind: BlobKind, token: &'static str) -> Event<'static> {
    Event::Sealed(Blob { kind, token: Text::plain(token), maker: None })
}

fn finish(reason: Finish) -> Event<'static> {
    Event::Finish { reason, stop: None }
}

fn used() -> Event<'static> {
    let usage = Usage { input: 300, cache_read: 600, output: 250, reasoning: 200, ..Usage::default() };
    Event::Usage { usage, service_tier: Some(Text::plain("priority")) }
}

/// A thought, a text with a source, two calls side by side, another text: every kind of item but pictures.
fn everything() -> Vec<Event<'static>> {
    let citation = Citation { url: Some(text("https://a.b/c")), title: Some(text("C")), quote: None, range: None };
    vec![
        start(),
        Event::Thought(text("Two ")),
        Event::Thought(text("look-ups.")),
        sealed(BlobKind::GeminiSignature, "c2ln"),
        Event::PartEnd,
        Event::Text(text("Let me \"look\".\n")),
        Event::Citation(citation),
        call(0, "call_1", CallKind::Function),
        call(1, "call_2", CallKind::Custom),
        arguments(0, "{\"city\":"),
        arguments(1, "free "),
        arguments(0, "\"Bonn\"}"),
        arguments(1, "text"),
        Event::Text(text("Done ä😀")),
        Event::Refusal(text("No.")),
        finish(Finish::Calls),
        used(),
    ]
}

#[test]
fn every_kind_of_item_is_written_in_full() {
    let stream = stream_of(REQUEST, &everything());
    insta::with_settings!({ snapshot_path => "../../../../tests/golden/openai_responses", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("stream_of_everything", stream);
        insta::assert_snapshot!("whole_of_everything", whole_of(REQUEST, &everything()));
    });
}

/// The data of each event.
fn data(stream: &str) -> Vec<serde_json::Value> {
    let lines = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    lines.map(|data| serde_json::from_str(data).unwrap()).collect()
}

#[test]
fn events_are_numbered_without_gaps_and_named_as_their_type() {
    let stream = stream_of(REQUEST, &everything());
    let names: Vec<&str> = stream.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    for ((number, event), name) in (0_u64..).zip(data(&stream)).zip(&names) {
        assert_eq!((&event["sequence_number"], &event["type"]), (&number.into(), &(*name).into()));
    }
    assert_eq!(names.last(), Some(&"response.completed"));
    let before_last = stream.rfind("event: response.completed").unwrap();
    assert!(stream[..before_last].ends_with(": x-flux-cost-usd 0.000123\n\n"));
}

#[test]
fn the_last_event_is_the_whole_answer_with_its_price() {
    let events = data(&stream_of(REQUEST, &everything()));
    let mut last = events.last().unwrap()["response"].clone();
    let whole: serde_json::Value = serde_json::from_str(&whole_of(REQUEST, &everything())).unwrap();
    let usage = last["usage"].as_object_mut().unwrap();
    assert_eq!(usage.remove("cost_usd").unwrap().to_string(), "0.000123");
    assert_eq!(usage.remove("currency").unwrap(), "USD");
    assert_eq!(last, whole);
    assert_eq!(whole["instructions"], "be brief");
    assert_eq!(whole["tools"][0]["name"], "wx");
    assert_eq!(whole["metadata"], serde_json::json!({}));
    assert_eq!(whole["store"], false);
}

#[test]
fn every_item_keeps_its_id_place_and_content_to_the_end() {
    let events = data(&stream_of(REQUEST, &everything()));
    let output = events.last().unwrap()["response"]["output"].as_array().unwrap().clone();
    let added = events.iter().filter(|event| event["type"] == "response.output_item.added");
    for (event, item) in added.zip(&output) {
        assert_eq!((&event["item"]["id"], &event["item"]["type"]), (&item["id"], &item["type"]));
    }
    for event in events.iter().filter(|event| event["type"] == "response.output_item.done") {
        let at = usize::try_from(event["output_index"].as_u64().unwrap()).unwrap();
        assert_eq!(event["item"], output[at]);
    }
    let kinds: Vec<_> = output.iter().map(|item| item["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["reasoning", "message", "function_call", "custom_tool_call", "message"]);
}

#[test]
fn the_end_says_why() {
    for (reason, name, why) in [
        (Finish::Done, "response.completed", None),
        (Finish::Stop, "response.completed", None),
        (Finish::Length, "response.incomplete", Some("max_output_tokens")),
        (Finish::ContextFull, "response.incomplete", Some("max_output_tokens")),
        (Finish::Paused, "response.incomplete", Some("max_output_tokens")),
        (Finish::Filtered, "response.incomplete", Some("content_filter")),
    ] {
        let events = data(&stream_of("{}", &[start(), Event::Text(text("a")), finish(reason)]));
        let last = events.last().unwrap();
        assert_eq!(last["type"], name, "{reason:?}");
        assert_eq!(last["response"]["incomplete_details"]["reason"].as_str(), why, "{reason:?}");
        let status = if why.is_some() { "incomplete" } else { "completed" };
        assert_eq!(last["response"]["output"][0]["status"], status, "{reason:?}");
    }
}

#[test]
fn a_limit_that_was_hit_in_thought_leaves_no_message() {
    let events = data(&stream_of("{}", &[start(), Event::Thought(text("hm")), finish(Finish::Length), used()]));
    let response = &events.last().unwrap()["response"];
    assert_eq!(response["output"].as_array().unwrap().len(), 1);
    assert_eq!(response["incomplete_details"]["reason"], "max_output_tokens");
}

#[test]
fn a_refusal_without_words_gets_some() {
    let events = data(&stream_of("{}", &[start(), finish(Finish::Refusal)]));
    let part = &events.last().unwrap()["response"]["output"][0]["content"][0];
    assert_eq!((part["type"].as_str(), part["refusal"].as_str().is_some()), (Some("refusal"), true));
}

#[test]
fn a_call_without_arguments_has_an_empty_object() {
    let stream = stream_of("{}", &[start(), call(0, "c", CallKind::Function), Event::PartEnd, finish(Finish::Calls)]);
    assert!(stream.contains(r#""arguments":"{}","#) || stream.contains(r#""arguments":"{}"}"#));
    assert_eq!(read_stream(stream.as_bytes())[1..3], ["call 0 c wx Function", "arguments 0:{}"]);
}

#[test]
fn a_signature_on_a_call_follows_it_as_an_item() {
    let events = [start(), call(0, "c", CallKind::Function), sealed(BlobKind::GeminiSignature, "s"), Event::PartEnd];
    let events = data(&stream_of("{}", &events));
    let output = &events.last().unwrap()["response"]["output"];
    assert_eq!((&output[0]["type"], &output[1]["type"]), (&"function_call".into(), &"reasoning".into()));
    assert!(output[1]["encrypted_content"].as_str().unwrap().starts_with("flux1."));
}

#[test]
fn a_picture_is_an_item() {
    let image = Event::Image { media_type: text("image/webp"), base64: text("AAAA") };
    let stream = stream_of("{}", &[start(), image, finish(Finish::Done)]);
    let events = data(&stream);
    let item = &events.last().unwrap()["response"]["output"][0];
    assert_eq!((&item["result"], &item["output_format"]), (&"AAAA".into(), &"webp".into()));
    assert!(read_stream(stream.as_bytes()).contains(&"image image/webp AAAA".to_owned()));
}

#[test]
fn probabilities_stand_on_the_text() {
    let words = "[{\"token\":\"a\",\n\"logprob\":-0.1,\"bytes\":[97],\"top_logprobs\":[]}]";
    let words = Value::parse(words.as_bytes()).unwrap();
    let stream = stream_of("{}", &[start(), Event::Text(text("a")), Event::Logprobs(words), finish(Finish::Done)]);
    let events = data(&stream);
    assert_eq!(events.last().unwrap()["response"]["output"][0]["content"][0]["logprobs"][0]["token"], "a");
}

#[test]
fn more_than_may_be_kept_is_an_overflow() {
    let view = View { kept_bytes_max: 1000, ..view("{}") };
    let mut writer = StreamWriter::new(view);
    let mut out = Vec::new();
    let piece = "x".repeat(500);
    assert_eq!(writer.event(&Event::Text(text(&piece)), &mut out), Ok(()));
    assert_eq!(writer.event(&Event::Text(text(&piece)), &mut out), Err(Overflow));
    writer.fail("server_error", "too long", &mut out);
    assert!(String::from_utf8(out).unwrap().contains("event: response.failed"));
}

#[test]
fn a_failure_is_told_in_the_streams_own_words() {
    let mut writer = StreamWriter::new(view("{}"));
    let mut out = Vec::new();
    writer.fail("server_error", "no \"luck\"", &mut out);
    let expected = "event: error\ndata: {\"type\":\"error\",\"sequence_number\":0,\"code\":\"server_error\",\
        \"message\":\"no \\\"luck\\\"\",\"param\":null}\n\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);

    let mut writer = StreamWriter::new(view("{}"));
    let mut out = Vec::new();
    for event in [start(), Event::Text(text("so far")), call(0, "c", CallKind::Function)] {
        writer.event(&event, &mut out).unwrap();
    }
    writer.fail("server_error", "no luck", &mut out);
    let length = out.len();
    writer.close(&Closing::default(), &mut out).unwrap();
    writer.event(&Event::Text(text("late")), &mut out).unwrap();
    assert_eq!(out.len(), length);
    let events = data(&String::from_utf8(out).unwrap());
    let last = events.last().unwrap();
    assert_eq!((&last["type"], &last["response"]["status"]), (&"response.failed".into(), &"failed".into()));
    assert_eq!(last["response"]["error"]["code"], "server_error");
    assert_eq!(last["response"]["output"].as_array().unwrap().len(), 1);
}

#[test]
fn what_was_written_is_read_as_the_same_events() {
    let heard = read_stream(stream_of(REQUEST, &everything()).as_bytes());
    let mut shown: Vec<&str> = heard.iter().map(String::as_str).collect();
    assert!(shown[2].starts_with("sealed flux1."));
    shown[2] = "sealed";
    let expected = [
        "start resp_000000000000000000000000000000f1",
        "thought:Two look-ups.",
        "sealed",
        "end",
        "text:Let me \\\"look\\\".\\n",
        "cite https://a.b/c C Some((0, 15))",
        "end",
        "call 0 call_1 wx Function",
        "call 1 call_2 wx Custom",
        "arguments 0:{\\\"city\\\":",
        "arguments 1:free ",
        "arguments 0:\\\"Bonn\\\"}",
        "arguments 1:text",
        "text:Done ä😀",
        "end",
        "refusal:No.",
    ];
    assert_eq!(shown[..expected.len()], expected);
    assert_eq!(shown[shown.len() - 2..], ["usage 300+600 250(200) priority", "finish Calls"]);
}

#[test]
fn a_whole_answer_says_what_its_stream_says() {
    // Calls one after the other: side by side the whole answer has them in another order.
    let events = [
        start(),
        Event::Thought(text("hm")),
        sealed(BlobKind::AnthropicSignature, "c2ln"),
        Event::PartEnd,
        Event::Text(text("a")),
        call(0, "c1", CallKind::Function),
        arguments(0, "{}"),
        Event::PartEnd,
        call(1, "c2", CallKind::Custom),
        arguments(1, "x"),
        Event::PartEnd,
        finish(Finish::Calls),
        used(),
    ];
    let streamed = read_stream(stream_of(REQUEST, &events).as_bytes());
    let body = whole_of(REQUEST, &events);
    let mut reader = AnswerReader::new(Dialect::Openai, UsageQuirks::default());
    let mut heard = Heard::default();
    reader.whole(Value::parse(body.as_bytes()).unwrap(), &mut heard);
    assert_eq!(heard.0, streamed);
    assert!(reader.is_complete());
}

/// Reads events given as their data.
fn hear(events: &[&str]) -> Vec<String> {
    let stream: String = events.iter().flat_map(|event| ["data: ", event, "\n\n"]).collect();
    read_stream(stream.as_bytes())
}

const DONE: &str = r#"{"type":"response.completed","response":{"id":"r","status":"completed","output":[]}}"#;

#[test]
fn hosts_that_leave_events_out_are_understood() {
    // Arguments only in their `done` event (T-48).
    let call = r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"function_call","id":"fc_1",
        "call_id":"c1","name":"f","arguments":""}}"#
        .replace('\n', "");
    let done = r#"{"type":"response.function_call_arguments.done","output_index":0,"arguments":"{}"}"#;
    let item = r#"{"type":"response.output_item.done","output_index":0,"item":{"type":"function_call","call_id":"c1","name":"f","arguments":"{}"}}"#;
    let expected = ["start ", "call 0 c1 f Function", "arguments 0:{}", "end", "finish Calls"];
    assert_eq!(hear(&[&call, done, item, DONE]), expected);
    // Only the item's end.
    assert_eq!(hear(&[item, DONE]), expected);
    // Arguments for a call that never began, and its end.
    let delta = r#"{"type":"response.function_call_arguments.delta","output_index":0,"delta":"{"}"#;
    assert_eq!(hear(&[delta, item, DONE]), expected);
    // Only the last event.
    let last = r#"{"type":"response.completed","response":{"id":"r","status":"completed","output":[
        {"type":"message","content":[{"type":"output_text","text":"hi","annotations":[]}]}]}}"#
        .replace('\n', "");
    assert_eq!(hear(&[&last]), ["start r", "text:hi", "end", "finish Done"]);
    // Text only in its `done` event, without any item.
    let text = r#"{"type":"response.output_text.done","output_index":0,"content_index":0,"text":"hi"}"#;
    assert_eq!(hear(&[text, DONE]), ["start ", "text:hi", "end", "finish Done"]);
}

#[test]
fn summaries_in_parts_are_one_thought() {
    let part = |index: u32, delta: &str| {
        format!(
            r#"{{"type":"response.reasoning_summary_text.delta","output_index":0,"summary_index":{index},"delta":"{delta}"}}"#
        )
    };
    let full = r#"{"type":"response.reasoning_text.delta","output_index":0,"content_index":0,"delta":"secret"}"#;
    let item = r#"{"type":"response.output_item.done","output_index":0,"item":{"type":"reasoning","id":"rs","summary":[{"type":"summary_text","text":"a"},{"type":"summary_text","text":"b"}],"encrypted_content":"gAAA"}}"#;
    let expected = ["start ", "thought:a\\n\\nb", "sealed gAAA", "end", "finish Done"];
    assert_eq!(hear(&[&part(0, "a"), full, &part(1, "b"), item, DONE]), expected);
    assert_eq!(hear(&[item, DONE]), expected);
    let hidden = r#"{"type":"response.output_item.done","output_index":0,"item":{"type":"reasoning","id":"rs","summary":[],"encrypted_content":"gAAA"}}"#;
    assert_eq!(hear(&[hidden, DONE]), ["start ", "sealed gAAA", "finish Done"]);
}

#[test]
fn failures_are_told_by_whose_they_are() {
    let failed = |code: &str| {
        format!(
            r#"{{"type":"response.failed","response":{{"id":"r","status":"failed","output":[],"error":{{"code":"{code}","message":"m"}}}}}}"#
        )
    };
    for (code, kind) in [
        ("server_error", FaultKind::Fault),
        ("rate_limit_exceeded", FaultKind::RateLimited),
        ("server_is_overloaded", FaultKind::Overloaded),
        ("context_length_exceeded", FaultKind::Rejected),
        ("invalid_image_url", FaultKind::Rejected),
        ("insufficient_quota", FaultKind::Fault),
    ] {
        assert_eq!(hear(&[&failed(code)]), ["start r".to_owned(), format!("fault {kind:?} m")], "{code}");
    }
    let error = r#"{"type":"error","code":"rate_limit_exceeded","message":"slow","param":null,"sequence_number":3}"#;
    assert_eq!(hear(&[error]), ["fault RateLimited slow"]);
    assert_eq!(hear(&[r#"{"error":{"message":"x","type":"server_error"}}"#]), ["fault Fault x"]);
    assert_eq!(hear(&["{"]), ["fault Garbled an event of the stream is not JSON"]);
    let fault = Event::Fault(Fault { kind: FaultKind::Fault, message: text("m") });
    assert_eq!(stream_of("{}", &[fault]).matches("response.failed").count(), 0);
}

#[test]
fn an_incomplete_answer_and_unknown_events() {
    let incomplete = r#"{"type":"response.incomplete","response":{"id":"r","status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"output":[],"usage":{"input_tokens":3,"input_tokens_details":{"cached_tokens":1},"output_tokens":4,"output_tokens_details":{"reasoning_tokens":4},"total_tokens":7}}}"#;
    let search = r#"{"type":"response.web_search_call.searching","output_index":0,"item_id":"ws"}"#;
    let delta = r#"{"type":"response.output_text.delta","output_index":1,"content_index":0,"delta":"a","obfuscation":"xyz","logprobs":[]}"#;
    let heard = hear(&[search, delta, incomplete, "[DONE]"]);
    assert_eq!(heard, ["start ", "text:a", "end", "usage 2+1 4(4) ", "finish Length"]);
}

#[test]
fn a_stream_that_is_cut_is_not_complete() {
    let stream = stream_of(REQUEST, &everything());
    let mut reader = AnswerReader::new(Dialect::Openai, UsageQuirks::default());
    let all = frames(stream.as_bytes());
    for frame in &all[..all.len() - 1] {
        let event = crate::wire::sse::Event::read(frame);
        reader.frame(event.name, &event.data, &mut Heard::default());
    }
    assert!(!reader.is_complete());
    let event = crate::wire::sse::Event::read(all[all.len() - 1]);
    reader.frame(event.name, &event.data, &mut Heard::default());
    assert!(reader.is_complete());
}

#[test]
fn it_does_not_matter_where_a_stream_is_cut() {
    use crate::wire::sse::{Framer, Start};
    let stream = stream_of(REQUEST, &everything());
    let expected = read_stream(stream.as_bytes());
    for cut in 0..=stream.len() {
        let mut framer = Framer::new(1 << 20);
        let mut reader = AnswerReader::new(Dialect::Openai, UsageQuirks::default());
        let mut heard = Heard::default();
        let mut take = |frame: &[u8]| {
            let event = crate::wire::sse::Event::read(frame);
            reader.frame(event.name, &event.data, &mut heard);
        };
        let (first, second) = stream.as_bytes().split_at(cut);
        for chunk in [first, second] {
            let mut rest = match framer.start(Bytes::copy_from_slice(chunk)) {
                Start::Fresh(rest) => rest,
                Start::Completed(frame, rest) => {
                    take(&frame);
                    rest
                }
                Start::Overlong(..) | Start::Kept => continue,
            };
            let mut from = 0;
            while let Some(end) = framer.frame_end(&rest, from) {
                take(&rest[from..end]);
                from = end;
            }
            framer.keep(rest.split_off(from));
        }
        assert_eq!(heard.0, expected, "cut at {cut}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn how_pieces_are_cut_does_not_matter(pieces in proptest::collection::vec("[a-z\"\\\\ä\n]{1,8}", 1..8)) {
        let mut events = vec![start()];
        events.extend(pieces.iter().map(|piece| Event::Text(text(piece))));
        let whole = data(&stream_of("{}", &events)).last().unwrap()["response"].clone();
        prop_assert_eq!(whole["output"][0]["content"][0]["text"].as_str(), Some(&*pieces.concat()));
    }

    #[test]
    fn no_answer_makes_the_reader_panic(at in 0_usize..20_000, byte in any::<u8>()) {
        let mut stream = stream_of(REQUEST, &everything()).into_bytes();
        let at = at % stream.len();
        stream[at] = byte;
        read_stream(&stream);
    }
}
