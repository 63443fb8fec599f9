//! The head scan on tables of bodies, and on whatever else there may be.

use proptest::prelude::*;

use super::*;

fn at<'a>(body: &'a str, range: Option<&Range<usize>>) -> &'a str {
    range.map_or("", |r| &body[r.clone()])
}

#[test]
fn fields_are_found_wherever_they_stand() {
    let body = r#" { "messages":[{"role":"user","content":"\\\"model\\\": {[\"stream\":true"}],
        "tools" : [{"type":"function","function":{"name":"f","parameters":{"model":"inner"}}}],
        "max_tokens":5,"max_completion_tokens":7,"n":2,"stream":true,"stream_options":{"include_usage":false},
        "reasoning_effort":"high","thinking":null,"temperature":0.5,"model" : "gpt\u002d4o" } "#;
    let head = scan(body.as_bytes()).unwrap();
    assert_eq!(head.model(body.as_bytes()), "gpt-4o");
    assert_eq!(&body[head.model.clone()], r#""gpt\u002d4o""#);
    assert!(head.stream);
    assert_eq!((head.max_tokens, head.n), (Some(7), Some(2)));
    assert_eq!(at(body, head.reasoning_effort.as_ref()), "\"high\"");
    assert_eq!(head.thinking, None);
    assert!(at(body, head.tools.as_ref()).ends_with("}]"));
    assert!(at(body, head.messages.as_ref()).starts_with("[{\"role\""));
    let options = head.stream_options.unwrap();
    assert_eq!(&body[options.range], r#"{"include_usage":false}"#);
    let (wanted, place) = options.include_usage.unwrap();
    assert_eq!((wanted, &body[place]), (false, "false"));
    assert_eq!(head.object_start, 2);
}

#[test]
fn a_task_stands_in_for_a_model() {
    let body = r#"{"messages":[], "task_type" : "extract"}"#;
    let head = scan(body.as_bytes()).unwrap();
    assert!(head.model.is_empty());
    let Member { name, value } = head.task_type.unwrap();
    assert_eq!((&body[name], &body[value]), ("task_type", "\"extract\""));
}

#[test]
fn what_is_no_request_is_refused() {
    use HeadError as E;
    let wrong = |key, expected| E::WrongType { key, expected };
    for (body, error) in [
        ("", E::NotAnObject),
        ("[]", E::NotAnObject),
        ("\"model\"", E::NotAnObject),
        ("{}", E::Missing("model")),
        (r#"{"messages":[{"model":"x"}]}"#, E::Missing("model")),
        (r#"{"model":"a","model":"b"}"#, E::Duplicate("model")),
        (r#"{"task_type":"a","task\u005ftype":"b"}"#, E::Duplicate("task_type")),
        (r#"{"model":"a","mod\u0065l":"b"}"#, E::Duplicate("model")),
        (r#"{"\u006d\u006f\u0064\u0065\u006c":"a","model":"a"}"#, E::Duplicate("model")),
        (r#"{"model":"a","stream":true,"str\u0065am":false}"#, E::Duplicate("stream")),
        (r#"{"model":"a","max_tokens":1,"max_tokens":9}"#, E::Duplicate("max_tokens")),
        (
            r#"{"model":"a","stream_options":{"include_usage":true,"include\u005fusage":false}}"#,
            E::Duplicate("include_usage"),
        ),
        (r#"{"model":1}"#, wrong("model", "a string")),
        (r#"{"model":null}"#, wrong("model", "a string")),
        (r#"{"model":["a"]}"#, wrong("model", "a string")),
        (r#"{"model":"a","stream":"true"}"#, wrong("stream", "a boolean")),
        (r#"{"model":"a","stream":1}"#, wrong("stream", "a boolean")),
        (r#"{"model":"a","stream_options":[]}"#, wrong("stream_options", "an object")),
        (r#"{"model":"a","stream_options":{"include_usage":1}}"#, wrong("include_usage", "a boolean")),
        (r#"{"model":"a"}x"#, E::TrailingBytes(13)),
        (r#"{"model":"a"}{"model":"b"}"#, E::TrailingBytes(13)),
        ("{\"model\":\"a\"}\0", E::TrailingBytes(13)),
        (r#"{"model":"a""#, E::Malformed(Malformed::Truncated)),
        (r#"{"model":"a","b":[1,2"#, E::Malformed(Malformed::Truncated)),
        (r#"{"model":"a","b":"x\"}"#, E::Malformed(Malformed::Truncated)),
        (r#"{"model":"a",}"#, E::Malformed(Malformed::At(13))),
        (r#"{,"model":"a"}"#, E::Malformed(Malformed::At(1))),
        (r#"{"model":"a" "b":1}"#, E::Malformed(Malformed::At(13))),
        (r#"{"model" "a"}"#, E::Malformed(Malformed::At(9))),
        (r#"{"model":"a","b":}"#, E::Malformed(Malformed::At(17))),
        (r#"{"model":"a","b":[}]}"#, E::Malformed(Malformed::At(18))),
        (r#"{"model":"a","b\x":1}"#, E::Malformed(Malformed::At(1))),
        (r#"{"model":"\ud800"}"#, E::BadText("model")),
        ("{\"model\":\"a\nb\"}", E::BadText("model")),
    ] {
        assert_eq!(scan(body.as_bytes()), Err(error), "{body}");
    }
    assert_eq!(scan(b"{\"model\":\"\xff\"}"), Err(E::BadText("model")));
    let deep = format!(r#"{{"model":"a","b":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    assert_eq!(scan(deep.as_bytes()), Err(E::Malformed(Malformed::TooDeep)));
    let long = format!(r#"{{"model":"{}"}}"#, "m".repeat(MODEL_BYTES_MAX + 1));
    assert_eq!(scan(long.as_bytes()), Err(E::ModelTooLong));
}

#[test]
fn odd_limits_are_left_to_the_provider() {
    for (value, limit) in
        [("1", Some(1)), ("99999999999999999999999", Some(u64::MAX)), ("-1", None), ("1.5", None), ("\"9\"", None)]
    {
        let body = format!(r#"{{"model":"a","max_tokens":{value}}}"#);
        assert_eq!(scan(body.as_bytes()).unwrap().max_tokens, limit, "{value}");
    }
}

proptest! {
    #[test]
    fn nothing_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = scan(&body);
    }

    #[test]
    fn no_prefix_is_a_request(cut in 1_usize..200) {
        let body = br#"{"messages":[{"role":"user","content":"hi \"there\" {["}],"model":"a","stream":true,"n":1}"#;
        let cut = cut % body.len();
        prop_assert!(scan(&body[..cut]).is_err());
    }

    #[test]
    fn the_same_is_read_as_by_a_full_parser(
        text in ".{0,80}", model in "[a-z\"\\\\é]{1,20}", stream: bool, other in ".{0,20}", spaces in "[ \n\t]{0,4}",
    ) {
        let value = serde_json::json!({
            format!("x{other}"): {"model": text, "stream": [!stream, text]},
            "messages": [{"content": text}], "model": model, "stream": stream, "zz": other,
        });
        let pretty = format!("{spaces}{}{spaces}", serde_json::to_string_pretty(&value).unwrap());
        let plain = serde_json::to_string(&value).unwrap();
        for body in [pretty, plain] {
            let head = scan(body.as_bytes()).unwrap();
            prop_assert_eq!(head.model(body.as_bytes()), model.as_str());
            prop_assert_eq!(head.stream, stream);
            let messages: serde_json::Value = serde_json::from_str(&body[head.messages.unwrap()]).unwrap();
            prop_assert_eq!(&messages, &value["messages"]);
        }
    }
}
