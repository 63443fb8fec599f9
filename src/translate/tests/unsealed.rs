//! Requests that stay in their format: what was sealed is opened or gone, and not a byte else has changed.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::support::{CLIENTS, envelope, sealed, target};
use crate::base::wire_format::WireFormat;
use crate::translate::convert;
use crate::translate::unseal::Unsealed;
use crate::wire::head;

fn unsealed(client: WireFormat, target_name: &str, body: &str) -> Option<Unsealed> {
    let head = head::scan(body.as_bytes()).unwrap_or_else(|error| panic!("{error}: {body}"));
    convert::unsealed(body.as_bytes(), &head, client, &envelope(), &target(target_name).0)
}

/// `None` stands for: as it is.
#[track_caller]
fn check(client: WireFormat, target_name: &str, body: &str, expected: Option<&str>) {
    let body = sealed(body);
    let out = unsealed(client, target_name, &body).map(|out| String::from_utf8(out.body).unwrap());
    assert_eq!(out.as_deref(), expected, "{body}");
}

#[test]
fn thoughts_of_messages_are_opened_or_gone() {
    let check = |body: &str, expected: Option<&str>| check(WireFormat::AnthropicMessages, "anthropic", body, expected);
    check(
        r#"{"x" : [1], "model":"m","messages":[ {"role":"user","content":"flux1.1-pro"},{"role":"assistant","content":[ {"type":"thinking","thinking":"a","signature":"{{seal as anthropic/claude-x Eq=}}"} , {"type":"redacted_thinking","data":"{{seal ar anthropic/claude-x Rd}}"},{"type":"text","text":"b"}]}]}"#,
        Some(
            r#"{"x" : [1], "model":"m","messages":[ {"role":"user","content":"flux1.1-pro"},{"role":"assistant","content":[ {"type":"thinking","thinking":"a","signature":"Eq="} , {"type":"redacted_thinking","data":"Rd"},{"type":"text","text":"b"}]}]}"#,
        ),
    );
    // Of another model, of another format, of nobody; first, in the middle, last.
    check(
        r#"{"model":"m","messages":[{"content":[ {"type":"thinking","thinking":"a","signature":"{{seal as anthropic/other Eq}}"} , {"type":"text","text":"b"},{"type":"redacted_thinking","data":"{{seal gs google/g Rd}}"} ,{"type":"tool_use","id":"t","name":"n","input":{}} , {"type":"thinking","thinking":"c","signature":"flux1."} ],"role":"assistant"}]}"#,
        Some(
            r#"{"model":"m","messages":[{"content":[ {"type":"text","text":"b"} ,{"type":"tool_use","id":"t","name":"n","input":{}} ],"role":"assistant"}]}"#,
        ),
    );
    // A message of nothing else is none.
    check(
        r#"{"model":"m","messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"redacted_thinking","data":"flux1."}]},{"role":"user","content":"b"}]}"#,
        Some(r#"{"model":"m","messages":[{"role":"user","content":"a"},{"role":"user","content":"b"}]}"#),
    );
    // What only looks like it.
    for body in [
        r#"{"model":"m","messages":[{"role":"user","content":"signature: flux1.dev"}]}"#,
        r#"{"model":"flux1.dev","messages":[{"role":"assistant","content":[{"type":"text","text":"{\"type\":\"thinking\",\"signature\":\"flux1.\"}"},{"type":"thinking","thinking":"flux1.","signature":"Eq"},{"type":"tool_use","input":{"signature":"flux1.x","data":"flux1.","type":"thinking"}}]}]}"#,
        r#"{"model":"m","messages":"flux1.","data":"flux1.","metadata":{"type":"thinking","signature":"flux1."}}"#,
    ] {
        check(body, None);
    }
}

#[test]
fn a_chain_that_lost_its_thought_goes_on_without_thinking() {
    let body = |thinking: &str, last: &str| {
        sealed(&format!(
            r#"{{"model":"m","thinking":{thinking},"messages":[{{"role":"user","content":"a"}},{{"role":"assistant","content":[{{"type":"thinking","thinking":"a","signature":"{{{{seal gs google/g Rd}}}}"}},{{"type":"tool_use","id":"t","name":"n","input":{{}}}}]}},{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"t"}}]}}{last}]}}"#
        ))
    };
    let answered = r#",{"role":"assistant","content":"b"},{"role":"user","content":"c"}"#;
    for (thinking, last, stops) in [
        (r#"{"type":"enabled","budget_tokens":2000}"#, "", true),
        (r#"{"type":"enabled","budget_tokens":2000}"#, answered, false),
        (r#"{"type":"adaptive"}"#, "", false),
        ("null", "", false),
    ] {
        let out = unsealed(WireFormat::AnthropicMessages, "anthropic", &body(thinking, last)).unwrap();
        let told: Json = serde_json::from_slice(&out.body).unwrap();
        assert_eq!(out.ignored, stops.then_some("thinking"), "{thinking} {last}");
        assert_eq!(told["thinking"] == json!({"type": "disabled"}), stops, "{told}");
        assert_eq!(told["messages"][1]["content"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn thoughts_of_responses_are_opened_or_gone() {
    let check = |body: &str, expected: Option<&str>| check(WireFormat::OpenaiResponses, "responses", body, expected);
    check(
        r#"{"model":"m","previous_response_id":"r","input":[{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"{{seal re openai/gpt-x gAAA}}"},{"type":"reasoning","summary":[{"type":"summary_text","text":"b"}],"encrypted_content":"{{seal gs google/g x}}","id":"rs_2"},{"role":"user","content":"c"}],"conversation":null}"#,
        Some(
            r#"{"model":"m","previous_response_id":"r","input":[{"type":"reasoning","summary":[],"encrypted_content":"gAAA"},{"role":"user","content":"c"}],"conversation":null}"#,
        ),
    );
    for body in [
        r#"{"model":"m","input":"flux1."}"#,
        r#"{"model":"m","input":[{"type":"reasoning","summary":[],"encrypted_content":"gA"},{"role":"user","content":"flux1.dev"},{"type":"compaction","encrypted_content":"flux1."}]}"#,
    ] {
        check(body, None);
    }
}

#[test]
fn thoughts_of_chat_are_opened_or_gone() {
    let chat = WireFormat::OpenaiChat;
    // Entries of ours, words of a foreign thought, and what stands on a call.
    let body = r#"{"model":"m","messages":[{"role":"assistant","content":"flux1.","reasoning_content":"words","reasoning_details":[{"type":"reasoning.encrypted","index":0,"format":"flux","data":"{{seal as anthropic/c s}}","characters":5}],"tool_calls":[{"id":"a","extra_content":{"flux":{"thought":"{{seal gs google/g s}}"}},"function":{}},{"id":"b","extra_content":{"google":{"thought_signature":"x"},"flux":{"thought":"flux1."}}}]}]}"#;
    let calls =
        r#""tool_calls":[{"id":"a","function":{}},{"id":"b","extra_content":{"google":{"thought_signature":"x"}}}]"#;
    let expected = |words: &str| {
        format!(r#"{{"model":"m","messages":[{{"role":"assistant","content":"flux1.",{words}{calls}}}]}}"#)
    };
    check(chat, "chat", body, Some(&expected("")));
    // A host that wants the field with every call.
    check(chat, "deepseek", body, Some(&expected(r#""reasoning_content":"","#)));
    // A thought of the target's own.
    check(
        chat,
        "openrouter",
        r#"{"model":"m","messages":[{"role":"assistant","content":"","reasoning_content":"w","reasoning_details":[{"format":"flux","data":"{{seal cd openrouter/or-x [{"a":1},{"b":2}]}}","characters":1},{"format":"x","data":"y"}]}]}"#,
        Some(
            r#"{"model":"m","messages":[{"role":"assistant","content":"","reasoning_content":"w","reasoning_details":[{"a":1},{"b":2},{"format":"x","data":"y"}]}]}"#,
        ),
    );
    for body in [
        r#"{"model":"m","messages":[{"role":"user","content":"flux1.schnell"}]}"#,
        r#"{"model":"m","messages":[{"role":"assistant","content":"a","reasoning_content":"flux1.","reasoning_details":[{"format":"other","data":"flux1.x"}],"tool_calls":[{"extra_content":{"flux":{"thought":"x"},"other":{"thought":"flux1."}}}]}]}"#,
    ] {
        check(chat, "chat", body, None);
    }
}

/// Spells an element around its seal.
type Spelling = Box<dyn Fn(&str) -> String>;

/// One element of a conversation, and what is left of it.
fn element(client: WireFormat) -> BoxedStrategy<(String, String)> {
    let text = "[ -~é\u{1F600}]{0,12}(flux1\\.)?[a-z]{0,4}".prop_map(|text| Json::from(text).to_string());
    let seal = prop_oneof![
        Just(("{{seal gs google/g sig}}", "")),
        Just(("flux1.", "")),
        Just(("{{seal as anthropic/claude-x own}}", "own")),
        Just(("{{seal re openai/gpt-x own}}", "own")),
    ];
    (text, seal, any::<bool>())
        .prop_map(move |(text, (seal, token), is_sealed)| {
            let (plain, sealed_one): (String, Spelling) = match client {
                WireFormat::AnthropicMessages => (
                    format!(r#"{{"type":"text", "text":{text} }}"#),
                    Box::new(move |s| format!(r#"{{ "type":"thinking","thinking":{text},"signature" : "{s}" }}"#)),
                ),
                _ => (
                    format!(r#"{{"role":"user", "content" :{text},"x":{{"encrypted_content":"flux1."}}}}"#),
                    Box::new(move |s| {
                        format!(r#"{{ "summary":[],"y":{text}, "type":"reasoning", "encrypted_content" : "{s}" }}"#)
                    }),
                ),
            };
            let is_own = match client {
                WireFormat::AnthropicMessages => seal.contains("seal as"),
                _ => seal.contains("seal re"),
            };
            match (is_sealed, is_own) {
                (false, _) => (plain.clone(), plain),
                (true, true) => (sealed(&sealed_one(seal)), sealed_one(token)),
                (true, false) => (sealed(&sealed_one(seal)), String::new()),
            }
        })
        .boxed()
}

proptest! {
    #[test]
    fn nothing_else_changes(
        (client, target_name, elements) in prop_oneof![
            (Just(CLIENTS[1].1), Just("responses"), prop::collection::vec(element(CLIENTS[1].1), 0..6)),
            (Just(CLIENTS[2].1), Just("anthropic"), prop::collection::vec(element(CLIENTS[2].1), 0..6)),
        ],
        before in "[ \n]{0,2}", after in "[ \n]{0,2}", comma in prop_oneof![Just(","), Just(" , "), Just("\n,")],
        extra in "[a-z0-9 ]{0,9}",
    ) {
        let (head, tail) = match client {
            WireFormat::AnthropicMessages => (
                format!(r#"{{ "{extra}_":"flux1.","model":"m", "messages":[{{"role":"assistant","content":["#),
                format!("]}},{{\"role\":\"user\", \"content\":\"{extra} flux1.\"}}], \"z\" : [1.0,null] }}"),
            ),
            _ => (
                format!(r#"{{ "{extra}_":"flux1.","model":"m", "input":[{{"role":"user","content":"flux1."}},"#),
                format!("{{\"role\":\"user\", \"content\":\"{extra}\"}}], \"z\" : [1.0,null] }}"),
            ),
        };
        let list = |pick: fn(&(String, String)) -> &String| {
            let mut list: Vec<&str> = elements.iter().map(pick).map(String::as_str).filter(|e| !e.is_empty()).collect();
            if client == WireFormat::OpenaiResponses && !list.is_empty() {
                // What follows it in the list.
                list.push("");
            }
            list.join(comma)
        };
        let (given, left) = (list(|e| &e.0), list(|e| &e.1));
        let body = [&*head, &before, &given, &after, &tail].concat();
        let out = unsealed(client, target_name, &body).map(|out| String::from_utf8(out.body).unwrap());
        if given == left {
            prop_assert_eq!(out, None);
            return Ok(());
        }
        let out = out.unwrap();
        if left.is_empty() && client == WireFormat::AnthropicMessages {
            // The message goes with all that was in it.
            let told: Json = serde_json::from_str(&out).unwrap();
            prop_assert_eq!(told["messages"].as_array().unwrap().len(), 1);
            return Ok(());
        }
        // Where a neighbour is gone, the blanks of one comma go with it.
        let squeezed = |text: &str| text.split(['\n', ' ']).collect::<String>();
        prop_assert_eq!(squeezed(&out), squeezed(&[&*head, &before, &left, &after, &tail].concat()));
        prop_assert!(out.starts_with(head.trim_end_matches(',')) && out.ends_with(&tail));
        for (_, kept) in elements.iter().filter(|(_, kept)| !kept.is_empty()) {
            prop_assert!(out.contains(kept.as_str()), "{} in {}", kept, out);
        }
    }

    #[test]
    fn broken_bodies_are_left_alone_or_cut_within_bounds(text in r#"[\{\}\[\]":, a-z1.\\]{0,60}"#) {
        let body = sealed(&format!(
            r#"{{"model":"m","messages":[{{"role":"assistant","content":[{{"type":"thinking","signature":"flux1."}},{text}]}}]}}"#
        ));
        if let Ok(head) = head::scan(body.as_bytes()) {
            let out = convert::unsealed(body.as_bytes(), &head, CLIENTS[2].1, &envelope(), &target("anthropic").0);
            prop_assert!(out.is_none_or(|out| out.body.len() <= body.len()));
        }
    }
}
