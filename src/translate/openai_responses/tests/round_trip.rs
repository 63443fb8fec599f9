//! What is read and written again says the same, and nothing that is read makes the reader panic.

use super::requests::read;
use super::*;
use crate::translate::openai_responses::{read_request, write_request};
use crate::wire::json::Value;
use proptest::prelude::*;

/// An item, and whether it is one of the assistant's.
fn item() -> impl Strategy<Value = String> {
    let text = "[a-z \\\\\"ä😀\n]{1,12}".prop_map(|text| serde_json::Value::from(text).to_string());
    // Arguments of nothing but space become an empty object.
    let arguments = "[{a-z][a-z \\\\\"ä😀\n]{0,12}".prop_map(|text| serde_json::Value::from(text).to_string());
    let id = "[a-z0-9]{1,8}";
    let cache = prop_oneof![Just(""), Just(r#","prompt_cache_breakpoint":{"mode":"explicit","ttl":"12h"}"#)];
    prop_oneof![
        (text.clone(), prop_oneof![Just("user"), Just("system"), Just("developer")])
            .prop_map(|(text, role)| format!(r#"{{"role":"{role}","content":{text}}}"#)),
        (text.clone(), cache).prop_map(|(text, cache)| format!(
            r#"{{"role":"user","content":[{{"type":"input_text","text":{text}{cache}}},{{"type":"input_image","image_url":"https://a.b/c","detail":"low"}}]}}"#
        )),
        text.clone().prop_map(|text| format!(r#"{{"role":"assistant","content":{text}}}"#)),
        (text.clone(), id).prop_map(|(text, id)| format!(
            r#"{{"type":"reasoning","summary":[{{"type":"summary_text","text":{text}}}],"encrypted_content":"{id}"}}"#
        )),
        (arguments, id).prop_map(|(text, id)| format!(
            r#"{{"type":"function_call","call_id":"{id}","name":"f","arguments":{text}}}"#
        )),
        (text.clone(), id).prop_map(|(text, id)| format!(
            r#"{{"type":"custom_tool_call","call_id":"{id}","name":"c","input":{text}}}"#
        )),
        (text, id).prop_map(|(text, id)| format!(
            r#"{{"type":"function_call_output","call_id":"{id}","output":{text}}}"#
        )),
    ]
}

fn body() -> impl Strategy<Value = String> {
    let settings = prop_oneof![
        Just(""),
        Just(
            r#","instructions":"i","temperature":0.5,"max_output_tokens":100,"reasoning":{"effort":"low","summary":"auto"}"#
        ),
        Just(
            r#","tools":[{"type":"function","name":"f","parameters":{"a":[1, 2]},"strict":true},{"type":"web_search"}],"tool_choice":{"type":"function","name":"f"}"#
        ),
        Just(
            r#","text":{"format":{"type":"json_object"}},"prompt_cache_key":"k","metadata":{"a":"b"},"service_tier":"flex","stream":true"#
        ),
    ];
    (proptest::collection::vec(item(), 0..8), settings)
        .prop_map(|(items, settings)| format!(r#"{{"model":"m","input":[{}]{settings}}}"#, items.join(",")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_is_written_says_what_was_read(body in body()) {
        let first = read(&body).unwrap();
        let written = write_request(&first, &target()).unwrap();
        prop_assert!(written.ignored.is_empty());
        let text = String::from_utf8(written.body).unwrap();
        let second = read(&text).unwrap();
        // Places count items, and instructions become one.
        let turns = |request: &crate::translate::ir::Request<'_>| {
            let turns: Vec<_> = request.turns.iter().map(|turn| format!("{:?} {:?}", turn.role, turn.parts)).collect();
            turns
        };
        prop_assert_eq!(turns(&first), turns(&second));
        let rest = |mut request: crate::translate::ir::Request<'_>| {
            request.turns.clear();
            format!("{request:?}")
        };
        prop_assert_eq!(rest(first), rest(second));
        let again = write_request(&read(&text).unwrap(), &target()).unwrap();
        prop_assert_eq!(String::from_utf8(again.body).unwrap(), text);
    }

    #[test]
    fn no_request_makes_the_reader_panic(body in body(), at in 0_usize..2_000, byte in any::<u8>()) {
        let mut body = body.into_bytes();
        let at = at % body.len();
        body[at] = byte;
        if let Ok(value) = Value::parse(&body)
            && let Ok(request) = read_request(value, &envelope())
        {
            let _ = write_request(&request, &target());
        }
    }
}
