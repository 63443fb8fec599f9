//! Streams: frames go on as they came, usage is read in passing, every end is charged once.
//!
//! Must not know how frames are read: it cuts them where it hurts and compares what comes out.

use std::time::Duration;

use serde_json::{Value, json};

use super::answers::{
    self, Answer, DONE, Gate, PROVIDER_WORDS, Step, chat_event, chat_events, chat_stream, chat_usage,
};
use super::harness::{Flux, Setup, ask_chat, ask_chat_stream, ask_messages_stream, wait_for};
use super::leaving::endless;
use super::ledger::Row;
use super::passthrough::{assert_clean, assert_tells_nothing};
use super::provider::Provider;
use super::sse;

/// What 1000 tokens in and 500 out cost at gpt-6-luna or claude-haiku-5-5, in nano-USD.
pub(crate) const COST_NANO: i64 = 350_000;

/// What may be added to the usage object of a stream that costs so much.
const COST_FIELDS: &str = "\"cost_usd\":0.00035,\"currency\":\"USD\",";

fn with_usage(mut body: Value) -> Value {
    body["stream_options"] = json!({"include_usage": true});
    body
}

/// The usual two.
pub(crate) fn openai_and_flux() -> (Provider, Flux) {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    (openai, flux)
}

#[test]
fn t13_stream_without_include_usage_is_metered_and_shows_no_extra_chunk() {
    let (openai, flux) = openai_and_flux();
    let options = [Value::Null, json!({"include_usage": false}), json!({"include_obfuscation": false}), json!({})];
    for option in &options {
        openai.forget();
        let mut body = ask_chat_stream("gpt-4o-mini");
        if !option.is_null() {
            body["stream_options"] = option.clone();
        }
        let reply = flux.chat(&body).expect_status(200);
        let asked = openai.only().json();
        assert_eq!(asked["stream_options"]["include_usage"], true, "{option}");
        assert_eq!(asked["stream_options"].get("include_obfuscation"), option.get("include_obfuscation"));
        let mut expected = chat_events(&["Hello ", "from ", "the ", "provider."]);
        expected.push(DONE.to_owned());
        assert_eq!(sse::without_comments(&reply.body), expected.concat(), "{option}");
        assert!(reply.is_complete);
        assert_clean(&reply);
    }
    for row in flux.wait_for_rows(options.len()) {
        assert_eq!((row.amount_nano(), row.is_estimated(), row.number("streamed")), (COST_NANO, false, 1));
    }
}

#[test]
fn t13_only_include_usage_is_added_to_the_body() {
    let (openai, flux) = openai_and_flux();
    let sent = "{\"messages\":[ {\"role\":\"user\",\"content\":\"hi\"} ], \"stream\" : true,\"model\":\"gpt-4o-mini\"}";
    flux.ask(&flux.chat_request(sent.as_bytes())).expect_status(200);
    let seen = openai.only().text();
    let without: String =
        seen.split_whitespace().collect::<String>().replace("\"stream_options\":{\"include_usage\":true}", "");
    let without = without.replace(",,", ",").replace("{,", "{").replace(",}", "}");
    let expected: String = sent.replace("gpt-4o-mini", "gpt-6-luna").split_whitespace().collect();
    assert_eq!(without, expected, "{seen}");
    assert!(seen.contains("[ {\"role\":\"user\",\"content\":\"hi\"} ]"), "{seen}");
}

#[test]
fn t14_cost_is_in_the_final_usage_chunk_when_asked_and_in_a_comment() {
    let (_openai, flux) = openai_and_flux();
    let reply = flux.chat(&with_usage(ask_chat_stream("gpt-4o-mini"))).expect_status(200);
    let events = sse::events(&reply.body);
    assert_eq!(events.last().map(|event| event.data.as_str()), Some("[DONE]"));
    let usage = events[events.len() - 2].json();
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(usage["usage"]["prompt_tokens"], 1000);
    assert_eq!(usage["usage"]["completion_tokens"], 500);
    let cost = usage["usage"]["cost_usd"].clone();
    assert!(cost.is_number(), "{usage}");
    assert!((cost.as_f64().unwrap_or_default() - 0.000_35).abs() < 1e-12, "{cost}");
    assert_eq!(sse::comment_cost_nano(&reply.body), COST_NANO);
    let text = reply.text();
    let (comment, done) = (text.rfind("\n:").or(text.find(':')), text.rfind(DONE));
    let between = &text[comment.unwrap_or_default()..done.unwrap_or_default()];
    assert!(!between.contains("data:"), "the comment stands just before the terminator: {text}");
    assert_eq!(flux.only_row().amount_nano(), COST_NANO);
}

#[test]
fn t14_a_usage_chunk_that_was_asked_for_keeps_its_other_fields() {
    let (openai, flux) = openai_and_flux();
    let usage = json!({"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500, "later_field": {"a": [1, 2]},
        "prompt_tokens_details": {"cached_tokens": 400, "audio_tokens": 0}});
    openai.next(Answer::sse(&chat_stream(&["hi"], &usage)));
    let reply = flux.chat(&with_usage(ask_chat_stream("gpt-4o-mini"))).expect_status(200);
    let events = sse::events(&reply.body);
    let mut seen = events[events.len() - 2].json()["usage"].clone();
    for added in ["cost_usd", "currency"] {
        seen.as_object_mut().expect("an object").remove(added);
    }
    assert_eq!(seen, usage);
    assert_eq!(flux.only_row().amount_nano(), 600 * 100 + 400 * 10 + 500 * 500);
}

#[test]
fn an_anthropic_stream_comes_down_frame_for_frame_with_its_cost_in_a_comment() {
    let anthropic = Provider::anthropic();
    let flux = Setup::with(&[&anthropic]).start();
    let input = json!({"input_tokens": 1000, "output_tokens": 1});
    let stream = answers::messages_stream(&["Hé", "llo \u{1F600}"], &input, 500);
    anthropic.next(Answer::sse(&stream));
    let reply = flux.messages(&ask_messages_stream("claude-3-5-haiku-latest")).expect_status(200);
    assert_eq!(sse::without_comments(&reply.body).replace(COST_FIELDS, ""), stream.concat());
    assert_eq!(sse::comment_cost_nano(&reply.body), COST_NANO);
    let row = flux.only_row();
    assert_eq!((row.amount_nano(), row.is_estimated(), row.text("ending")), (COST_NANO, false, "done"));
}

#[test]
fn t18_cumulative_anthropic_usage_is_not_added_up() {
    let anthropic = Provider::anthropic();
    let flux = Setup::with(&[&anthropic]).start();
    let input = json!({"input_tokens": 100, "cache_read_input_tokens": 1000, "cache_creation_input_tokens": 200, "output_tokens": 3});
    let mut stream = answers::messages_stream(&["a", "b"], &input, 50);
    let last = stream.len() - 2;
    // Two cumulative reports, the later of which repeats the input side.
    let early = json!({"type": "message_delta", "delta": {}, "usage": {"output_tokens": 20}});
    let late = json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"input_tokens": 100,
        "cache_read_input_tokens": 1000, "cache_creation_input_tokens": 200, "output_tokens": 50}});
    stream[last] = answers::messages_event(&early) + &answers::messages_event(&late);
    anthropic.next(Answer::sse(&stream));
    flux.messages(&ask_messages_stream("claude-3-5-haiku-latest")).expect_status(200);
    assert_eq!(flux.only_row().amount_nano(), 100 * 100 + 1000 * 10 + 200 * 125 + 50 * 500);
}

/// A stream with everything that framing may do: comments, CRLF, several data lines, fields without a space,
/// ids, retry lines, characters of four bytes.
fn awkward_stream() -> String {
    let word = |text: &str| chat_event(&json!({"content": text}), None);
    let mut text = String::from(": provider says hello\n\n");
    text += &chat_event(&json!({"role": "assistant", "content": ""}), None);
    text += &word("\u{1F600}\u{00e9}\u{4e2d}");
    text += &word("two\nlines").replace('\n', "\r\n");
    text += "id: 7\r\nretry: 100\r\n";
    text += &word("crlf").replace("data: ", "data:").replace('\n', "\r\n");
    text += "event: message\ndata: {\"id\":\"chatcmpl-1\",\ndata: \"choices\":[{\"index\":0,\"delta\":{\"content\":\"multi\"}}]}\n\n";
    text += ": ping\n\n";
    text += &word("data: [DONE] \\\"usage\\\":{\\\"prompt_tokens\\\":1}");
    text += &chat_event(&json!({}), Some("stop"));
    text += &answers::chat_usage_event(&chat_usage(1000, 500));
    text += DONE;
    text
}

#[test]
fn t52_a_stream_cut_at_any_byte_comes_out_whole_and_metered() {
    let (openai, flux) = openai_and_flux();
    let text = awkward_stream();
    let mut expected = awkward_stream();
    expected = expected.replace(&answers::chat_usage_event(&chat_usage(1000, 500)), "");
    let sizes = [1, 2, 3, 5, 7, 16, 61, 256, text.len()];
    for size in sizes {
        openai.next(Answer::sse_cut(std::slice::from_ref(&text), size));
        let reply = flux.chat(&ask_chat_stream("gpt-4o-mini")).expect_status(200);
        assert_eq!(sse::events(&reply.body), sse::events(expected.as_bytes()), "cut into {size} bytes");
        assert!(reply.is_complete);
    }
    for row in flux.wait_for_rows(sizes.len()) {
        assert_eq!((row.amount_nano(), row.is_estimated()), (COST_NANO, false));
    }
}

#[test]
fn t52_an_anthropic_stream_cut_at_any_byte_is_metered() {
    let anthropic = Provider::anthropic();
    let flux = Setup::with(&[&anthropic]).start();
    let input = json!({"input_tokens": 1000, "output_tokens": 1});
    let whole = answers::messages_stream(&["\u{1F600}", "llo"], &input, 500).concat();
    let forms = [whole.clone(), whole.replace('\n', "\r\n")];
    for text in &forms {
        for size in [1, 3, 64] {
            anthropic.next(Answer::sse_cut(std::slice::from_ref(text), size));
            let reply = flux.messages(&ask_messages_stream("claude-3-5-haiku-latest")).expect_status(200);
            let plain = reply.text().replace(COST_FIELDS, "");
            assert_eq!(sse::events(plain.as_bytes()), sse::events(text.as_bytes()));
        }
    }
    for row in flux.wait_for_rows(6) {
        assert_eq!((row.amount_nano(), row.is_estimated()), (COST_NANO, false));
    }
}

#[test]
fn frames_go_at_once_and_are_not_gathered() {
    let (openai, flux) = openai_and_flux();
    let gates: Vec<Gate> = (0..3).map(|_| Gate::default()).collect();
    let mut steps = Vec::new();
    for (i, gate) in gates.iter().enumerate() {
        steps.push(Step::Send(chat_event(&json!({"content": format!("word{i}")}), None).into_bytes()));
        steps.push(Step::Wait(gate.clone()));
    }
    steps.push(Step::Send(DONE.as_bytes().to_vec()));
    openai.next(Answer::sse_steps(steps));
    let mut conn = flux.connect();
    conn.write(&flux.chat_request(ask_chat_stream("gpt-4o-mini").to_string().as_bytes()));
    assert_eq!(conn.head(), 200);
    for (i, gate) in gates.iter().enumerate() {
        // Each word must come while the provider still holds back the next one.
        assert!(conn.read_until(&format!("word{i}")));
        gate.open();
    }
    assert!(conn.rest().text().contains("[DONE]"));
}

/// A cut answer has its row; the client pays nothing for a provider's failure.
#[track_caller]
fn assert_cut(rows: &[Row]) {
    for row in rows {
        assert_eq!((row.text("ending"), row.amount_nano()), ("cut", 0), "{row:?}");
    }
}

#[test]
fn t11_t55_a_failure_after_content_ends_in_an_openai_error_event() {
    let (openai, flux) = openai_and_flux();
    let words = chat_events(&["Once ", "upon "]);
    let content: Vec<Step> = words[..3].iter().map(|event| Step::Send(event.clone().into_bytes())).collect();
    let error = json!({"error": {"message": PROVIDER_WORDS, "type": "server_error", "code": "internal_code"}});
    let ends: [(&str, Vec<Step>); 4] = [
        ("reset", vec![Step::Reset]),
        ("close", vec![Step::Close]),
        ("error event", vec![Step::Send(format!("data: {error}\n\n").into_bytes())]),
        ("half a frame", vec![Step::Send(b"data: {\"id\":\"chat".to_vec()), Step::Close]),
    ];
    let count = ends.len();
    for (what, end) in ends {
        openai.next(Answer::sse_steps([content.clone(), end].concat()));
        let reply = flux.chat(&ask_chat_stream("gpt-4o-mini")).expect_status(200);
        let events = sse::events(&reply.body);
        let last = events.last().unwrap_or_else(|| panic!("{what}: no events"));
        assert!(last.json()["error"]["message"].is_string(), "{what}: {}", reply.text());
        assert!(last.json()["error"]["type"].is_string(), "{what}: {}", reply.text());
        assert!(!reply.text().contains("[DONE]"), "{what}: a failed stream has no terminator");
        assert_eq!(reply.text().matches("upon ").count(), 1, "{what}: repeated text");
        assert_tells_nothing(&reply);
    }
    assert_cut(&flux.wait_for_rows(count));
}

#[test]
fn t11_t55_a_failure_after_content_ends_in_an_anthropic_error_event() {
    let anthropic = Provider::anthropic();
    let flux = Setup::with(&[&anthropic]).start();
    let stream = answers::messages_stream(&["Once ", "upon "], &json!({"input_tokens": 20, "output_tokens": 1}), 2);
    let content: Vec<Step> = stream[..5].iter().map(|event| Step::Send(event.clone().into_bytes())).collect();
    let error = json!({"type": "error", "error": {"type": "overloaded_error", "message": PROVIDER_WORDS}});
    let ends = [vec![Step::Reset], vec![Step::Close], vec![Step::Send(answers::messages_event(&error).into_bytes())]];
    let count = ends.len();
    for end in ends {
        anthropic.next(Answer::sse_steps([content.clone(), end].concat()));
        let reply = flux.messages(&ask_messages_stream("claude-3-5-haiku-latest")).expect_status(200);
        let events = sse::events(&reply.body);
        let last = events.last().expect("events");
        assert_eq!(last.name, "error", "{}", reply.text());
        assert_eq!(last.json()["type"], "error");
        assert!(last.json()["error"]["type"].is_string());
        let count_of = |name: &str| events.iter().filter(|event| event.name == name).count();
        assert_eq!((count_of("message_start"), count_of("message_stop"), count_of("error")), (1, 0, 1));
        assert_tells_nothing(&reply);
    }
    assert_cut(&flux.wait_for_rows(count));
}

#[test]
fn t11_a_provider_that_falls_silent_after_content_is_ended() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).env("FLUX_TIMEOUTS__IDLE_MS", "500").start();
    openai.next(endless(&chat_events(&["Once "])[..2]));
    let reply = flux.chat(&ask_chat_stream("gpt-4o-mini")).expect_status(200);
    let last = sse::events(&reply.body).pop().expect("events");
    assert!(last.json()["error"]["message"].is_string(), "{}", reply.text());
    assert!(!reply.text().contains("[DONE]"));
    openai.wait_for_left(1);
    assert_eq!(flux.only_row().text("ending"), "cut");
}

#[test]
fn a_slow_provider_within_the_time_outs_is_left_alone() {
    let openai = Provider::openai();
    let setup =
        Setup::with(&[&openai]).env("FLUX_TIMEOUTS__IDLE_MS", "5000").env("FLUX_TIMEOUTS__FIRST_BYTE_MS", "5000");
    let flux = setup.start();
    let paced = |event: &String| [Step::Pause(Duration::from_millis(60)), Step::Send(event.clone().into_bytes())];
    let stream = chat_stream(&["word "; 20], &chat_usage(1000, 500));
    openai.next(Answer::sse_steps(stream.iter().flat_map(paced).collect()));
    let reply = flux.chat(&ask_chat_stream("gpt-4o-mini")).expect_status(200);
    assert_eq!(sse::chat_text(&reply.body), "word ".repeat(20));
    assert_eq!(flux.only_row().amount_nano(), COST_NANO);
}

#[test]
fn t15_the_prompts_tokens_are_in_message_start() {
    // From Anthropic itself they only have to survive; how they are made for other formats, `crossing` shows.
    let anthropic = Provider::anthropic();
    let flux = Setup::with(&[&anthropic]).start();
    let reply = flux.messages(&ask_messages_stream("claude-3-5-haiku-latest")).expect_status(200);
    let start = sse::events(&reply.body).into_iter().find(|event| event.name == "message_start").expect("a start");
    assert_eq!(start.json()["message"]["usage"]["input_tokens"], 1000);
}

#[test]
fn t11_a_failure_after_content_is_counted() {
    let (openai, flux) = openai_and_flux();
    let content = Step::Send(chat_event(&json!({"content": "x"}), None).into_bytes());
    openai.next(Answer::sse_steps(vec![content, Step::Reset]));
    flux.chat(&ask_chat_stream("gpt-4o-mini")).expect_status(200);
    wait_for("the log line", || flux.log().contains("\"ending\":\"cut\""));
    let failed = |reason: &str| flux.metric("flux_attempt_failures_total", &["provider=\"openai\"", reason]);
    assert!((failed("after_content") - 1.0).abs() < f64::EPSILON, "{} are counted", failed("after_content"));
    assert!((failed("") - 1.0).abs() < f64::EPSILON, "once");
}

#[test]
fn t49_a_unary_answer_to_a_streaming_client_is_not_lost() {
    let (openai, flux) = openai_and_flux();
    openai.next(Answer::json(200, &answers::chat_body("whole at once", &chat_usage(1000, 500))));
    let reply = flux.chat(&ask_chat_stream("gpt-4o-mini")).expect_status(200);
    assert!(reply.header("content-type").starts_with("text/event-stream"));
    assert_eq!(sse::chat_text(&reply.body), "whole at once");
    assert!(reply.text().ends_with(DONE));
    let row = flux.only_row();
    assert_eq!((row.amount_nano(), row.is_estimated()), (COST_NANO, false));
}

#[test]
fn t17_a_stream_without_usage_is_estimated() {
    let (openai, flux) = openai_and_flux();
    let mut events = chat_events(&["word "; 300]);
    events.push(DONE.to_owned());
    openai.next(Answer::sse(&events));
    let reply = flux.chat(&ask_chat_stream("gpt-4o-mini")).expect_status(200);
    assert!(reply.text().ends_with(DONE));
    let row = flux.only_row();
    assert!(row.is_estimated());
    assert_eq!(row.text("ending"), "done");
    assert!((250..400).contains(&row.number("output")), "300 words are not {} tokens", row.number("output"));
}

#[test]
fn a_stream_leaves_its_connection_usable() {
    let (_openai, flux) = openai_and_flux();
    let mut conn = flux.connect();
    for _ in 0..3 {
        let request = flux.chat_request(ask_chat_stream("gpt-4o-mini").to_string().as_bytes());
        assert!(conn.ask(&request).expect_status(200).is_complete);
        conn.ask(&flux.chat_request(ask_chat("gpt-4o-mini").to_string().as_bytes())).expect_status(200);
    }
    flux.wait_for_rows(6);
}

#[test]
fn a_stream_of_many_chunks_is_complete() {
    const CHUNKS: usize = 5000;
    let (openai, flux) = openai_and_flux();
    let words: Vec<String> = (0..CHUNKS).map(|i| format!("w{i} ")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    openai.next(Answer::sse(&chat_stream(&words, &chat_usage(1000, 500))));
    let reply = flux.chat(&with_usage(ask_chat_stream("gpt-4o-mini"))).expect_status(200);
    assert_eq!(sse::chat_text(&reply.body), words.concat());
    assert_eq!(flux.only_row().amount_nano(), COST_NANO);
}

#[test]
fn a_frame_of_a_megabyte_passes() {
    let (openai, flux) = openai_and_flux();
    let big = "x".repeat(1 << 20);
    openai.next(Answer::sse(&chat_stream(&[&big], &chat_usage(1000, 500))));
    let reply = flux.chat(&ask_chat_stream("gpt-4o-mini")).expect_status(200);
    assert_eq!(sse::chat_text(&reply.body).len(), big.len());
    assert_eq!(flux.only_row().amount_nano(), COST_NANO);
}
