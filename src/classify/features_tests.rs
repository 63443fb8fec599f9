//! Features of whole requests, and the lanes that the shipped rules give them.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::*;
use crate::classify::kinds::weights::Weights;
use crate::classify::table::LaneTable;
use crate::classify::{Decision, KindModel, Reason, Router, Terms, classify, rules};

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    messages: &'a RawValue,
    #[serde(borrow)]
    system: Option<&'a RawValue>,
    #[serde(borrow)]
    tools: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning_effort: Option<&'a RawValue>,
    #[serde(borrow)]
    thinking: Option<&'a RawValue>,
    #[serde(borrow)]
    response_format: Option<&'a RawValue>,
    #[serde(borrow)]
    modalities: Option<&'a RawValue>,
    max_tokens: Option<u64>,
}

fn with_input<T>(body: &str, look: impl FnOnce(&FeatureInput<'_>) -> T) -> T {
    fn bytes(value: Option<&RawValue>) -> Option<&[u8]> {
        value.map(|value| value.get().as_bytes())
    }
    let read: Body<'_> = serde_json::from_str(body).unwrap();
    look(&FeatureInput {
        format: WireFormat::OpenaiChat,
        messages: read.messages.get().as_bytes(),
        system: bytes(read.system),
        tools: bytes(read.tools),
        reasoning_effort: bytes(read.reasoning_effort),
        thinking: bytes(read.thinking),
        response_format: bytes(read.response_format),
        modalities: bytes(read.modalities),
        max_tokens: read.max_tokens,
        body_bytes: body.len(),
        task_type: None,
    })
}

fn features(body: &str) -> Features {
    with_input(body, |input| extract(input).0)
}

fn shipped() -> Router {
    let rules = rules::parse(include_str!("../../lua-free-rules/flux-auto.toml"), "flux-auto.toml").unwrap();
    let weights = Weights::parse(include_str!("../../lua-free-rules/kind-weights.json")).unwrap();
    let table = include_str!("../../lua-free-rules/lane-table.toml");
    let table = LaneTable::parse(table, "lane-table.toml", weights.kinds()).unwrap();
    Router { rules, kinds: KindModel { weights, table } }
}

/// With the prices of the shipped lanes.
const TERMS: Terms = Terms { quality: 0.5, prices: [0.25, 0.5, 1.0] };

fn decide<'r>(router: &'r Router, body: &str) -> Decision<'r> {
    with_input(body, |input| classify(router, input, &TERMS))
}

#[test]
fn a_talk_is_counted() {
    let seen = features(
        r#"{"messages":[{"role":"system","content":"Be kind."},{"role":"user","content":"hi"},
        {"role":"assistant","content":"hello"},
        {"role":"user","content":[{"type":"text","text":"what is it?"},
          {"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}],"max_tokens":50}"#,
    );
    assert_eq!((seen.messages, seen.turns, seen.system_bytes, seen.last_user_bytes), (3, 2, 8, 11));
    assert_eq!(seen.text_bytes, 8 + 2 + 5 + 11);
    assert!(seen.has_image_input && !seen.in_tool_loop && !seen.has_tools);
    assert_eq!((seen.question_count, seen.max_tokens), (1, 50));
    assert_eq!(seen.prompt_tokens_estimate, 1_000 + 26_u64.div_ceil(4));
}

#[test]
fn tools_and_their_results_are_seen() {
    let chat = features(
        r#"{"tools":[{"type":"function"},{"type":"function"}],"messages":[{"role":"user","content":"go"},
        {"role":"assistant","content":null,"tool_calls":[{"id":"x"}]},{"role":"tool","content":"done"}]}"#,
    );
    assert!(chat.in_tool_loop && chat.tool_count == 2 && chat.turns == 1);
    let anthropic = features(
        r#"{"system":[{"type":"text","text":"abc"}],"messages":[{"role":"user","content":"go"},
        {"role":"user","content":[{"type":"tool_result","tool_use_id":"x","content":"ok"}]}]}"#,
    );
    assert!(anthropic.in_tool_loop && anthropic.system_bytes == 3 && anthropic.last_user_bytes == 2);
    let after = features(r#"{"messages":[{"role":"tool","content":"done"},{"role":"user","content":"thanks"}]}"#);
    assert!(!after.in_tool_loop);
}

#[test]
fn switches_are_read() {
    let seen = features(
        r#"{"messages":[],"reasoning_effort":"high","thinking":{"type":"enabled","budget_tokens":9},
        "response_format":{"type":"json_schema","json_schema":{}},"modalities":["text","image"]}"#,
    );
    assert_eq!(seen.reasoning_effort, Some(Effort::High));
    assert!(seen.thinking_enabled && seen.has_json_schema && seen.wants_image_output);
    let seen = features(
        r#"{"messages":"draw","reasoning_effort":{"effort":"low"},"thinking":{"type":"disabled"},
        "response_format":{"format":{"type":"json_schema"}}}"#,
    );
    assert_eq!(seen.reasoning_effort, Some(Effort::Low));
    assert!(!seen.thinking_enabled && seen.has_json_schema && seen.turns == 1);
    assert_eq!(features(r#"{"messages":[],"reasoning_effort":null}"#).reasoning_effort, None);
}

#[test]
fn what_is_broken_gives_features_all_the_same() {
    let whole = r#"[{"role":"user","content":[{"type":"text","text":"draw \u00e9\ud83d"}]},{"role":"tool"}]"#;
    for cut in 0..=whole.len() {
        let input = FeatureInput {
            format: WireFormat::OpenaiResponses,
            messages: &whole.as_bytes()[..cut],
            system: Some(&whole.as_bytes()[cut..]),
            tools: Some(b"[{"),
            reasoning_effort: Some(b"\""),
            thinking: Some(b"{"),
            response_format: Some(b"7"),
            modalities: Some(b"[,]"),
            max_tokens: None,
            body_bytes: usize::MAX,
            task_type: None,
        };
        extract(&input);
    }
}

#[test]
fn a_long_text_is_looked_at_head_and_tail() {
    let filler = "word ".repeat(40_000);
    let body = format!(r#"{{"messages":[{{"role":"user","content":"Prove it. {filler} theorem"}}]}}"#);
    let seen = features(&body);
    assert_eq!((seen.hard_words, seen.math_signs), (1, 1));
    assert!(seen.prompt_tokens_estimate > 50_000);
    let router = shipped();
    let longer = decide(&router, &body.replace("word", "longer"));
    assert_eq!(longer.reason, Reason::Rule("long-context"));
}

/// Own prompts with the lane that the shipped rules should give them.
#[test]
fn the_shipped_rules_route_the_sample() {
    #[derive(Deserialize)]
    struct Case<'a> {
        lane: String,
        #[serde(borrow)]
        request: &'a RawValue,
    }
    let router = shipped();
    let mut wrong = String::new();
    let sample = include_str!("../../tests/golden/classify.jsonl");
    for line in sample.lines() {
        let case: Case<'_> = serde_json::from_str(line).unwrap();
        let decision = decide(&router, case.request.get());
        if decision.lane != case.lane {
            let _ = writeln!(wrong, "{} by {:?}: {line}", decision.lane, decision.reason);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(sample.lines().count() >= 40);
}

/// Whatever is sent, a lane comes out, and no more is looked at than the bound.
#[test]
fn anything_is_decided() {
    let router = shipped();
    let say = |text: &str| serde_json::json!({"messages": [{"role": "user", "content": text}]}).to_string();
    let many: Vec<_> = (0..20_000).map(|at| serde_json::json!({"role": "user", "content": at.to_string()})).collect();
    let stuffed = "prove derive theorem algorithm optimize draw picture function ".repeat(5_000);
    let odd = [
        r#"{"messages":[]}"#.to_owned(),
        r#"{"messages":[{"role":"user","content":""}]}"#.to_owned(),
        r#"{"messages":[{"role":"user"}]}"#.to_owned(),
        r#"{"messages":{"role":"user"}}"#.to_owned(),
        r#"{"messages":[[[[[]]]]]}"#.to_owned(),
        say(&"long ".repeat(2 << 20)),
        say(&"\u{0}\u{1}\u{7f}\u{fffd}".repeat(50_000)),
        say(&"a".repeat(1 << 20)),
        say(&stuffed),
        say("翻译成英文：今天天气很好。"),
        say("اكتب قصيدة عن البحر"),
        say("คำนวณ 12 คูณ 8"),
        say("🦀🦀🦀 👩‍👩‍👧 \u{202e}desrever"),
        serde_json::json!({"messages": many}).to_string(),
    ];
    for body in odd {
        let decision = decide(&router, &body);
        assert!(decision.lane.starts_with("flux-"), "{}", decision.lane);
        assert!((-1.0..=1.0).contains(&decision.score()));
        let sample = with_input(&body, |input| extract(input).1);
        assert!(sample.text.len() <= 2 * TEXT_BYTES_MAX);
    }
}

#[test]
fn a_rule_that_keeps_a_kind_from_its_lane_is_told() {
    let router = shipped();
    let greeting = decide(&router, r#"{"messages":[{"role":"user","content":"Hi!"}]}"#);
    assert_eq!((greeting.lane, greeting.reason), ("flux-fast", Reason::Bound("a-few-words")));
    let poem = r#"{"messages":[{"role":"user","content":"Write a short poem about the autumn rain in our street."}]"#;
    let free = decide(&router, &format!("{poem}}}"));
    assert_eq!((free.lane, free.reason), ("flux-fast", Reason::Kind("creative")));
    let schema = decide(&router, &format!(r#"{poem},"response_format":{{"type":"json_schema","json_schema":{{}}}}}}"#));
    assert_eq!((schema.lane, schema.reason), ("flux-standard", Reason::Bound("schema")));
}
