//! The body that goes to the provider: the client's bytes with the model's name spliced in.
//!
//! Must not know which provider gets it. Every byte that is not part of an edit stays as the client wrote
//! it, so that fields unknown to us, prompt caches and signatures survive.

use std::ops::Range;

use bytes::Bytes;

use super::head::{Head, StreamOptions};
use super::leap;

/// Whether usage is asked for where the client did not ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageAsk {
    /// The wire format, or the host, sends usage unasked or does not know the option.
    AsIs,
    /// A streaming request shall have `stream_options.include_usage`.
    Include,
}

/// One edit: these bytes take the place of that range.
type Edit<'a> = (Range<usize>, &'a str);

/// The client's body with the model's name replaced by `model`, and with usage asked for. `head` must be the
/// head of `body`. The same bytes, not copied, when nothing has to change.
pub fn upstream_body(body: &Bytes, head: &Head, model: &str, usage: UsageAsk) -> Bytes {
    let named;
    let rename = if head.model(body) == model {
        None
    } else {
        named = json_string(model);
        Some((head.model.clone(), named.as_str()))
    };
    let ask = match usage {
        UsageAsk::Include if head.stream => usage_edit(body, head),
        UsageAsk::Include | UsageAsk::AsIs => None,
    };
    match (rename, ask) {
        (None, None) => body.clone(),
        (Some(edit), None) | (None, Some(edit)) => apply(body, &[edit]),
        (Some(rename), Some(ask)) if ask.0.start < rename.0.start => apply(body, &[ask, rename]),
        (Some(rename), Some(ask)) => apply(body, &[rename, ask]),
    }
}

fn usage_edit(body: &[u8], head: &Head) -> Option<Edit<'static>> {
    match &head.stream_options {
        None => Some((head.object_start..head.object_start, r#""stream_options":{"include_usage":true},"#)),
        Some(StreamOptions { include_usage: Some((true, _)), range: _ }) => None,
        Some(StreamOptions { include_usage: Some((false, value)), range: _ }) => Some((value.clone(), "true")),
        Some(StreamOptions { include_usage: None, range }) => match body.get(range.start) {
            Some(b'{') => {
                let inside = range.start + 1;
                let is_empty = body.get(leap::skip_space(body, inside)) == Some(&b'}');
                let member = if is_empty { r#""include_usage":true"# } else { r#""include_usage":true,"# };
                Some((inside..inside, member))
            }
            _ => Some((range.clone(), r#"{"include_usage":true}"#)),
        },
    }
}

/// Applies edits that are in order and do not overlap, with one allocation.
fn apply(body: &[u8], edits: &[Edit<'_>]) -> Bytes {
    let added: usize = edits.iter().map(|(_, with)| with.len()).sum();
    let removed: usize = edits.iter().map(|(range, _)| range.len()).sum();
    let mut spliced = Vec::with_capacity(body.len() + added - removed);
    let mut at = 0;
    for (range, with) in edits {
        spliced.extend_from_slice(body.get(at..range.start).unwrap_or_default());
        spliced.extend_from_slice(with.as_bytes());
        at = range.end;
    }
    spliced.extend_from_slice(body.get(at..).unwrap_or_default());
    Bytes::from(spliced)
}

/// A JSON string with its quotes.
fn json_string(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            c if c < ' ' => {
                json.push_str("\\u00");
                json.extend([u32::from(c) >> 4, u32::from(c) & 15].map(|d| char::from_digit(d, 16).unwrap_or('0')));
            }
            c => json.push(c),
        }
    }
    json.push('"');
    json
}

#[cfg(test)]
mod tests {
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
        for body in [r#"{"model":"b","stream":true,"stream_options":{"include_usage":true}}"#, r#"{"model":"\u0062"}"#]
        {
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
}
