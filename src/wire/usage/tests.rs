//! Recorded usage of all providers in the one normal form.

use proptest::prelude::*;

use super::*;

const PLAIN: UsageQuirks = UsageQuirks { reasoning_outside_output: false, cache_outside_input: false };
const XAI: UsageQuirks = UsageQuirks { reasoning_outside_output: true, cache_outside_input: false };

fn usage(input: u64, cache_read: u64, output: u64, reasoning: u64) -> Usage {
    Usage { input, cache_read, output, reasoning, ..Usage::default() }
}

fn written(usage: Usage, m5: u64, m30: u64, h1: u64, h12: u64) -> Usage {
    Usage { cache_write: CacheWrite { m5, m30, h1, h12 }, ..usage }
}

fn check_openai<const N: usize>(table: [(&str, &str, UsageQuirks, Usage); N]) {
    for (name, json, quirks, expected) in table {
        assert_eq!(openai_chat(json.as_bytes(), quirks), Some(expected), "{name}");
    }
}

#[test]
fn openai_and_the_compatible_hosts() {
    check_openai([
        ("plain", r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}"#, PLAIN, usage(10, 0, 5, 0)),
        (
            "cached, written and reasoning inside",
            r#"{"prompt_tokens":1000,"completion_tokens":250,"total_tokens":1250,
               "prompt_tokens_details":{"cached_tokens":600,"cache_write_tokens":100},
               "completion_tokens_details":{"reasoning_tokens":200}}"#,
            PLAIN,
            written(usage(300, 600, 250, 200), 0, 100, 0, 0),
        ),
        (
            "Responses",
            r#"{"input_tokens":12000,"input_tokens_details":{"cached_tokens":10000,"cache_write_tokens":1500},
               "output_tokens":800,"output_tokens_details":{"reasoning_tokens":600},"total_tokens":12800}"#,
            PLAIN,
            written(usage(500, 10000, 800, 600), 0, 1500, 0, 0),
        ),
        (
            "writes by lifetime",
            r#"{"prompt_tokens":100,"completion_tokens":1,
               "prompt_tokens_details":{"cache_write_tokens":60,"cache_write_tokens_details":{"ttl_30m":50,"ttl_12h":10}}}"#,
            PLAIN,
            written(usage(40, 0, 1, 0), 0, 50, 0, 10),
        ),
        (
            "DeepSeek says it twice",
            r#"{"prompt_tokens":100,"completion_tokens":5,"total_tokens":105,"prompt_cache_hit_tokens":64,
               "prompt_cache_miss_tokens":36,"prompt_tokens_details":{"cached_tokens":64}}"#,
            PLAIN,
            usage(36, 64, 5, 0),
        ),
    ]);
}

#[test]
fn totals_and_quirks_tell_what_is_inside() {
    check_openai([
        (
            "xAI: the total tells",
            r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":35,"completion_tokens_details":{"reasoning_tokens":20}}"#,
            PLAIN,
            usage(10, 0, 25, 20),
        ),
        (
            "xAI without a total: the quirk tells",
            r#"{"prompt_tokens":10,"completion_tokens":30,"completion_tokens_details":{"reasoning_tokens":20}}"#,
            XAI,
            usage(10, 0, 50, 20),
        ),
        (
            "the quirk does not overrule the total",
            r#"{"prompt_tokens":10,"completion_tokens":30,"total_tokens":40,"completion_tokens_details":{"reasoning_tokens":20}}"#,
            XAI,
            usage(10, 0, 30, 20),
        ),
        (
            "more reasoning than completion is outside",
            r#"{"prompt_tokens":10,"completion_tokens":5,"completion_tokens_details":{"reasoning_tokens":20}}"#,
            PLAIN,
            usage(10, 0, 25, 20),
        ),
        (
            "reads outside the prompt",
            r#"{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":64}}"#,
            PLAIN,
            usage(10, 64, 5, 0),
        ),
        (
            "audio and images are taken out",
            r#"{"prompt_tokens":100,"completion_tokens":50,
               "prompt_tokens_details":{"audio_tokens":20,"image_tokens":30,"cached_tokens":10,
                                        "cached_tokens_details":{"image_tokens":5}},
               "completion_tokens_details":{"audio_tokens":40}}"#,
            PLAIN,
            Usage {
                input: 45,
                input_audio: 20,
                input_image: 25,
                cache_read: 5,
                cache_read_image: 5,
                output: 10,
                output_audio: 40,
                ..Usage::default()
            },
        ),
        ("only a prompt", r#"{"prompt_tokens":10.0,"completion_tokens":null}"#, PLAIN, usage(10, 0, 0, 0)),
        (
            "nonsense is absent",
            r#"{"prompt_tokens":10,"completion_tokens":-5,"prompt_tokens_details":{"cached_tokens":1e3},
               "completion_tokens_details":{"reasoning_tokens":99999999999999999999}}"#,
            PLAIN,
            usage(10, 0, 0, 0),
        ),
    ]);
    for json in ["", "null", "{}", "[]", r#"{"prompt_tokens":-1}"#, r#"{"prompt_tokens":2.5}"#, r#"{"prompt_tokens":"#]
    {
        assert_eq!(openai_chat(json.as_bytes(), PLAIN), None, "{json}");
    }
}

#[test]
fn anthropic_counts_the_cache_outside() {
    for (json, expected) in [
        (
            r#"{"input_tokens":300,"cache_read_input_tokens":600,"cache_creation_input_tokens":100,"output_tokens":250,
               "output_tokens_details":{"thinking_tokens":200},"service_tier":"standard"}"#,
            written(usage(300, 600, 250, 200), 100, 0, 0, 0),
        ),
        (
            r#"{"input_tokens":1,"cache_creation_input_tokens":100,"output_tokens":2,
               "cache_creation":{"ephemeral_5m_input_tokens":40,"ephemeral_1h_input_tokens":60}}"#,
            written(usage(1, 0, 2, 0), 40, 0, 60, 0),
        ),
        (
            r#"{"input_tokens":1,"output_tokens":2,"cache_creation":{"ephemeral_1h_input_tokens":60}}"#,
            written(usage(1, 0, 2, 0), 0, 0, 60, 0),
        ),
        (
            r#"{"input_tokens":1,"output_tokens":2,"cache_creation":null,"cache_creation_input_tokens":null}"#,
            usage(1, 0, 2, 0),
        ),
    ] {
        assert_eq!(anthropic(json.as_bytes()), Some(expected), "{json}");
    }
    assert_eq!(anthropic(b"{}"), None);
}

#[test]
fn later_figures_replace_earlier_ones_but_not_by_nothing() {
    let start = AnthropicFigures::read(
        br#"{"input_tokens":5,"cache_read_input_tokens":7,"cache_creation_input_tokens":30,"output_tokens":1,
            "cache_creation":{"ephemeral_5m_input_tokens":10,"ephemeral_1h_input_tokens":20}}"#,
    )
    .without_output();
    assert!(!start.has_output());
    let whole = start.updated_by(AnthropicFigures::read(
        br#"{"input_tokens":6,"cache_read_input_tokens":0,"cache_creation_input_tokens":30,"output_tokens":9}"#,
    ));
    assert_eq!(whole.normalise(), written(usage(6, 7, 9, 0), 10, 0, 20, 0));
}

#[test]
fn answers_are_checked_and_read() {
    use WireFormat::{AnthropicMessages, OpenaiChat, OpenaiImages};
    let chat = br#"{"id":"x","choices":[{"message":{"content":"\"usage\":{}"}}],"usage":{"prompt_tokens":3,"completion_tokens":4},"service_tier":"flex"}"#;
    let answer = read_answer(OpenaiChat, chat, PLAIN).unwrap();
    assert_eq!(answer, Answer { usage: Some(usage(3, 0, 4, 0)), service_tier: Some("flex".into()), is_error: false });
    for cut in 0..chat.len() {
        assert!(read_answer(OpenaiChat, &chat[..cut], PLAIN).is_err(), "{cut}");
    }
    let padded = [b"\n\n\n", &chat[..], b"\n"].concat();
    assert!(read_answer(OpenaiChat, &padded, PLAIN).is_ok(), "DeepSeek sends blank lines while it queues");
    assert!(read_answer(OpenaiChat, &[&chat[..], b"{}"].concat(), PLAIN).is_err());
    for (format, body, used, is_error) in [
        (OpenaiChat, r#"{"error":{"message":"m"}}"#, None, true),
        (OpenaiChat, r#"{"error":"m"}"#, None, true),
        (OpenaiChat, r#"{"error":null,"usage":null,"service_tier":"default"}"#, None, false),
        (
            OpenaiChat,
            r#"{"x_groq":{"usage":{"prompt_tokens":3,"completion_tokens":4}}}"#,
            Some(usage(3, 0, 4, 0)),
            false,
        ),
        (AnthropicMessages, r#"{"type":"error","error":{"type":"overloaded_error"}}"#, None, true),
        (
            AnthropicMessages,
            r#"{"usage":{"input_tokens":1,"output_tokens":2,"service_tier":"standard"}}"#,
            Some(usage(1, 0, 2, 0)),
            false,
        ),
        (
            OpenaiImages,
            r#"{"usage":{"input_tokens":50,"output_tokens":1000,"total_tokens":1050,"input_tokens_details":{"image_tokens":40,"text_tokens":10}}}"#,
            Some(Usage { input: 10, input_image: 40, output_image: 1000, ..Usage::default() }),
            false,
        ),
    ] {
        let answer = read_answer(format, body.as_bytes(), PLAIN).unwrap();
        assert_eq!(answer, Answer { usage: used, service_tier: None, is_error }, "{body}");
    }
    for body in ["", "null", "1", "\"x\"", "<html>", "[]", "[null]", "{\"usage\":{}", "{\"a\":tru}"] {
        assert!(read_answer(OpenaiChat, body.as_bytes(), PLAIN).is_err(), "{body}");
    }
}

proptest! {
    #[test]
    fn no_figure_panics_and_none_is_lost(
        prompt: u32, completion: u32, cached: u32, wrote: u32, reasoning: u32, audio: u32, image: u32, outside: bool,
    ) {
        let json = format!(
            r#"{{"prompt_tokens":{prompt},"completion_tokens":{completion},"prompt_tokens_details":{{"cached_tokens":{cached},
            "cache_write_tokens":{wrote},"audio_tokens":{audio},"image_tokens":{image}}},
            "completion_tokens_details":{{"reasoning_tokens":{reasoning},"audio_tokens":{audio},"image_tokens":{image}}}}}"#
        );
        let quirks = UsageQuirks { reasoning_outside_output: outside, cache_outside_input: outside };
        if let Some(usage) = openai_chat(json.as_bytes(), quirks) {
            let known = |n: u32| if u64::from(n) <= COUNT_MAX { u64::from(n) } else { 0 };
            let total = usage.prompt_total();
            let (inside, apart) = (known(prompt), known(prompt) + known(cached) + known(wrote));
            prop_assert!(total == inside || total == apart, "{usage:?}");
            prop_assert!(usage.completion_total() >= known(completion));
            prop_assert!(usage.reasoning <= usage.output);
        }
    }

    #[test]
    fn no_bytes_panic(json in proptest::collection::vec(any::<u8>(), 0..120)) {
        let _ = openai_chat(&json, PLAIN);
        let _ = anthropic(&json);
        let _ = tier_name(&json);
        let _ = is_truthy(&json);
        let _ = read_answer(WireFormat::OpenaiChat, &json, PLAIN);
    }
}
