//! Splices change what they should and not a byte more.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::wire::head::scan;

fn splice(body: &str, model: &str, usage: UsageAsk) -> String {
    let body = Bytes::copy_from_slice(body.as_bytes());
    let spliced = upstream_body(&body, &scan(&body).unwrap(), model, usage);
    String::from_utf8(spliced.to_vec()).unwrap()
}

#[test]
fn a_task_is_cut_out_with_its_comma() {
    for (body, expected) in [
        (r#"{"task_type":"a","model":"m"}"#, r#"{"model":"m"}"#),
        (r#"{"model":"m" , "task_type" : "a" }"#, r#"{"model":"m"  }"#),
        (r#"{"x":1,"task_type":{"y":[1]} ,"model":"m"}"#, r#"{"x":1,"model":"m"}"#),
        (r#"{ "task_type":null}"#, r#"{ "model":"au\"to"}"#),
        (r#"{"x":1,"task\u005ftype":"a"}"#, r#"{"x":1,"model":"au\"to"}"#),
        (r#"{"model":"m"}"#, r#"{"model":"m"}"#),
    ] {
        let bytes = Bytes::copy_from_slice(body.as_bytes());
        let cut = without_task(&bytes, &scan(&bytes).unwrap(), "au\"to");
        assert_eq!(std::str::from_utf8(&cut), Ok(expected), "{body}");
    }
    assert_eq!(
        splice(r#"{"task_type":"a","stream":true}"#, "b", UsageAsk::Include),
        r#"{"model":"b","stream_options":{"include_usage":true},"task_type":"a","stream":true}"#
    );
}

#[test]
fn what_is_preferred_is_cut_out_with_its_comma() {
    for (body, expected) in [
        (r#"{"provider":{"order":["a"]},"model":"m"}"#, r#"{"model":"m"}"#),
        (r#"{"model":"m","pr\u006fvider": null}"#, r#"{"model":"m"}"#),
        (r#"{"x":[1] ,"provider":"a" , "model":"m"}"#, r#"{"x":[1] , "model":"m"}"#),
        (r#"{"task_type":"a","provider":{}}"#, r#"{"task_type":"a"}"#),
        (r#"{"model":"m","x":{"provider":{}}}"#, r#"{"model":"m","x":{"provider":{}}}"#),
    ] {
        let bytes = Bytes::copy_from_slice(body.as_bytes());
        let cut = without_provider(&bytes, &scan(&bytes).unwrap());
        assert_eq!(std::str::from_utf8(&cut), Ok(expected), "{body}");
    }
}

#[test]
fn only_what_must_change_changes() {
    use UsageAsk::{AsIs, Include};
    for (body, usage, spliced) in [
        (r#"{ "model" : "a","x":1}"#, AsIs, r#"{ "model" : "b","x":1}"#),
        (r#"{"model":"a","stream":true}"#, AsIs, r#"{"model":"b","stream":true}"#),
        (r#"{"model":"a"}"#, Include, r#"{"model":"b"}"#),
        (
            r#"{"stream":true,"model":"a"}"#,
            Include,
            r#"{"stream_options":{"include_usage":true},"stream":true,"model":"b"}"#,
        ),
        (
            r#"{"model":"a","stream":true,"stream_options":null}"#,
            Include,
            r#"{"model":"b","stream":true,"stream_options":{"include_usage":true}}"#,
        ),
        (
            r#"{"stream_options": { } ,"model":"a","stream":true}"#,
            Include,
            r#"{"stream_options": {"include_usage":true } ,"model":"b","stream":true}"#,
        ),
        (
            r#"{"stream_options":{"include_obfuscation":false},"model":"a","stream":true}"#,
            Include,
            r#"{"stream_options":{"include_usage":true,"include_obfuscation":false},"model":"b","stream":true}"#,
        ),
        (
            r#"{"stream_options":{"include_usage":false},"model":"a","stream":true}"#,
            Include,
            r#"{"stream_options":{"include_usage":true},"model":"b","stream":true}"#,
        ),
        (
            r#"{"stream_options":{"include_usage":null},"model":"a","stream":true}"#,
            Include,
            r#"{"stream_options":{"include_usage":true},"model":"b","stream":true}"#,
        ),
        (
            r#"{"stream_options":{"include_usage":true},"model":"b","stream":true}"#,
            Include,
            r#"{"stream_options":{"include_usage":true},"model":"b","stream":true}"#,
        ),
    ] {
        assert_eq!(splice(body, "b", usage), spliced, "{body}");
    }
    assert_eq!(splice(r#"{"model":"a"}"#, "q\"\\\u{1}é", AsIs), r#"{"model":"q\"\\\u0001é"}"#);
}

#[test]
fn nothing_is_copied_when_nothing_changes() {
    for body in [r#"{"model":"b","stream":true,"stream_options":{"include_usage":true}}"#, r#"{"model":"\u0062"}"#] {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let spliced = upstream_body(&body, &scan(&body).unwrap(), "b", UsageAsk::Include);
        assert_eq!(spliced.as_ptr(), body.as_ptr());
    }
}

proptest! {
    #[test]
    fn the_rest_stays_the_same(
        text in ".{0,60}", model in ".{0,20}", stream: bool, pretty: bool,
        options in prop_oneof![
            Just(None), Just(Some(json!(null))), Just(Some(json!({}))), Just(Some(json!({"include_usage": false}))),
            Just(Some(json!({"include_usage": true}))), Just(Some(json!({"a": 1, "include_usage": null, "b": [2]}))),
        ],
    ) {
        let mut value = json!({"messages": [{"content": text, "model": text}], "model": "old", "stream": stream});
        if let Some(options) = &options {
            value["stream_options"] = options.clone();
        }
        let body = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let spliced = splice(&body, &model, UsageAsk::Include);
        let mut expected = value;
        expected["model"] = json!(model);
        if stream {
            if !expected["stream_options"].is_object() {
                expected["stream_options"] = json!({});
            }
            expected["stream_options"]["include_usage"] = json!(true);
        }
        prop_assert_eq!(serde_json::from_str::<Value>(&spliced).unwrap(), expected);
        let messages = |s: &str| s[scan(s.as_bytes()).unwrap().messages.unwrap()].to_owned();
        prop_assert_eq!(messages(&spliced), messages(&body));
    }
}
