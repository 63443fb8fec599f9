//! The human text of a request or an answer, for token estimates.
//!
//! Must not know tokens. It collects what a tokenizer would see (contents, system texts, tools, arguments) as
//! it stands in the JSON, escapes included, and leaves out what it would not: names of members, media, opaque
//! signatures. It builds no tree and keeps no more than it is told to.

use std::ops::Range;

use super::head::Head;
use super::leap::{Items, string_end, value_end};

/// Nesting that is searched for text: a text in a part of a tool result in a message has eight levels.
const DEPTH_MAX: u32 = 16;

/// Where the media type of a data URL has to end, if it is one.
const DATA_URL_HEAD_BYTES: usize = 128;

/// Text that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The texts, up to the bound, a line break after each; spelt as in the JSON, without quotes.
    pub kept: Vec<u8>,
    /// The bytes of all texts, also of those that were not kept.
    pub bytes_total: u64,
    /// Messages, or input items.
    pub messages: u32,
    /// Tools that are offered.
    pub tools: u32,
    /// Images, documents and audio: their tokens do not follow from text.
    pub media: u32,
}

/// A collector with its bound.
struct Collector<'a> {
    json: &'a [u8],
    bytes_max: usize,
    found: Found,
}

/// The text of a request body; at most `bytes_max` of it is kept. `head` must be the head of `body`.
pub fn prompt_text(body: &[u8], head: &Head, bytes_max: usize) -> Found {
    let mut collector = Collector { json: body, bytes_max, found: Found::default() };
    for texts in [&head.system, &head.instructions, &head.prompt].into_iter().flatten() {
        collector.text_or_parts(texts);
    }
    for talk in [&head.messages, &head.input].into_iter().flatten() {
        collector.found.messages += collector.text_or_parts(talk);
    }
    for whole in [&head.tools, &head.response_format].into_iter().flatten() {
        collector.take(whole.clone());
    }
    if let Some(tools) = &head.tools {
        collector.found.tools = collector.count_elements(tools);
    }
    collector.found
}

/// The length of the text of a request body, without keeping any.
pub fn prompt_text_len(body: &[u8], head: &Head) -> u64 {
    prompt_text(body, head, 0).bytes_total
}

/// The text that a whole, not streamed answer shows, in any wire format; at most `bytes_max` of it is kept.
pub fn visible_text(answer: &[u8], bytes_max: usize) -> Found {
    let mut collector = Collector { json: answer, bytes_max, found: Found::default() };
    let Some(mut members) = Items::open(answer, super::leap::skip_space(answer, 0)).filter(Items::is_object) else {
        return collector.found;
    };
    while let Ok(Some(member)) = members.next_member() {
        if let Some(b"choices" | b"content" | b"output") = answer.get(member.name) {
            collector.text_or_parts(&member.value);
        }
    }
    collector.found
}

impl Collector<'_> {
    fn byte(&self, at: usize) -> Option<u8> {
        self.json.get(at).copied()
    }

    fn count_elements(&self, at: &Range<usize>) -> u32 {
        let Some(mut elements) = Items::open(self.json, at.start).filter(|items| !items.is_object()) else { return 0 };
        let mut count = 0;
        while let Ok(Some(_)) = elements.next_element() {
            count += 1;
        }
        count
    }

    /// A string is a text by itself; anything else is searched. Gives the number of its elements, 0 where it is no list.
    fn text_or_parts(&mut self, value: &Range<usize>) -> u32 {
        if self.byte(value.start) == Some(b'"') {
            self.string(value);
            return 0;
        }
        let mut count = 0;
        match Items::open(self.json, value.start) {
            Some(elements) if !elements.is_object() => self.search_list(elements, DEPTH_MAX, &mut count),
            Some(_) | None => self.search(value.start, DEPTH_MAX),
        };
        count
    }

    /// Searches the value that starts there and gives its end, so that each byte is passed once however deep it lies.
    /// `None` where it is broken.
    fn search(&mut self, start: usize, depth_left: u32) -> Option<usize> {
        let items = Items::open(self.json, start).filter(|_| depth_left > 0);
        let Some(mut items) = items else { return value_end(self.json, start).ok() };
        if !items.is_object() {
            return self.search_list(items, depth_left, &mut 0);
        }
        while let Some((name, start)) = items.next_name().ok()? {
            let end = self.member(name, start, depth_left)?;
            items.go_on(end);
        }
        Some(items.position())
    }

    fn search_list(&mut self, mut elements: Items<'_>, depth_left: u32, count: &mut u32) -> Option<usize> {
        while let Some(start) = elements.next_start().ok()? {
            // Lists of plain texts: Responses and the image endpoint take them.
            let end = if self.byte(start) == Some(b'"') {
                let end = string_end(self.json, start)?;
                self.string(&(start..end));
                end
            } else {
                self.search(start, depth_left - 1)?
            };
            elements.go_on(end);
            *count += 1;
        }
        Some(elements.position())
    }

    fn member(&mut self, name: Range<usize>, start: usize, depth_left: u32) -> Option<usize> {
        let is_string = self.byte(start) == Some(b'"');
        match self.json.get(name).unwrap_or_default() {
            b"content" | b"text" | b"refusal" | b"reasoning_content" | b"reasoning" | b"thinking" | b"arguments"
            | b"output" | b"name" | b"title" | b"description"
                if is_string =>
            {
                let end = string_end(self.json, start)?;
                self.string(&(start..end));
                Some(end)
            }
            // Arguments of a call as an object, schemas: all of it is seen by the model.
            b"input" | b"parameters" | b"input_schema" if !is_string => {
                let end = value_end(self.json, start).ok()?;
                self.take(start..end);
                Some(end)
            }
            b"image_url" | b"source" | b"input_audio" | b"file" | b"file_data" | b"file_id" | b"images" | b"audio" => {
                self.found.media = self.found.media.saturating_add(1);
                value_end(self.json, start).ok()
            }
            _ => self.search(start, depth_left - 1),
        }
    }

    fn string(&mut self, value: &Range<usize>) {
        let inside = value.start + 1..value.end.saturating_sub(1).max(value.start + 1);
        let text = self.json.get(inside.clone()).unwrap_or_default();
        if is_data_url(text) {
            self.found.media = self.found.media.saturating_add(1);
        } else {
            self.take(inside);
        }
    }

    fn take(&mut self, at: Range<usize>) {
        let text = self.json.get(at).unwrap_or_default();
        if text.is_empty() {
            return;
        }
        let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX).saturating_add(1);
        self.found.bytes_total = self.found.bytes_total.saturating_add(bytes);
        let room = self.bytes_max.saturating_sub(self.found.kept.len());
        self.found.kept.extend_from_slice(text.get(..room).unwrap_or(text));
        if text.len() < room {
            self.found.kept.push(b'\n');
        }
    }
}

fn is_data_url(text: &[u8]) -> bool {
    let head = text.get(..DATA_URL_HEAD_BYTES).unwrap_or(text);
    text.starts_with(b"data:") && memchr::memmem::find(head, b";base64,").is_some()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::wire::head::scan;

    fn of_request(body: &str) -> (String, u32, u32, u32) {
        let Found { kept, bytes_total, messages, tools, media } =
            prompt_text(body.as_bytes(), &scan(body.as_bytes()).unwrap(), 10_000);
        assert_eq!(u64::try_from(kept.len()).unwrap(), bytes_total, "{body}");
        (String::from_utf8(kept).unwrap(), messages, tools, media)
    }

    #[test]
    fn requests_give_their_text_and_no_media() {
        for (body, text, messages, tools, media) in [
            (r#"{"model":"m","messages":[{"role":"user","content":"a\"b"}]}"#, "a\\\"b\n", 1, 0, 0),
            (
                r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"see"},
                   {"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]},
                   {"role":"assistant","content":null,"tool_calls":[{"id":"c","function":{"name":"f","arguments":"{}"}}]}]}"#,
                "see\nf\n{}\n",
                2,
                0,
                1,
            ),
            (
                r#"{"model":"m","system":[{"type":"text","text":"s"}],"messages":[{"role":"user","content":[
                   {"type":"tool_result","content":[{"type":"text","text":"t"}]},
                   {"type":"tool_use","name":"f","input":{"x":1}},
                   {"type":"image","source":{"type":"base64","data":"AAAA"}},
                   {"type":"thinking","thinking":"h","signature":"zzz"}]}],
                   "tools":[{"name":"f","input_schema":{}},{}]}"#,
                "s\nt\nf\n{\"x\":1}\nh\n[{\"name\":\"f\",\"input_schema\":{}},{}]\n",
                1,
                2,
                1,
            ),
            (r#"{"model":"m","input":"hi","instructions":"be"}"#, "be\nhi\n", 0, 0, 0),
            (r#"{"model":"m","prompt":"data:image/png;base64,AAAA"}"#, "", 0, 0, 1),
        ] {
            assert_eq!(of_request(body), (text.to_owned(), messages, tools, media), "{body}");
        }
    }

    #[test]
    fn answers_give_their_text() {
        for (answer, text) in [
            (r#"{"model":"content","choices":[{"message":{"role":"assistant","content":"a","refusal":null}}]}"#, "a\n"),
            (
                r#"{"content":[{"type":"text","text":"a"},{"type":"tool_use","name":"f","input":{}}],"usage":{}}"#,
                "a\nf\n{}\n",
            ),
            (r#"{"output":[{"type":"message","content":[{"type":"output_text","text":"a"}]}]}"#, "a\n"),
            ("", ""),
            (r#"{"choices":[{"message":{"content":"a"#, ""),
        ] {
            assert_eq!(visible_text(answer.as_bytes(), 1000).kept, text.as_bytes(), "{answer}");
        }
    }

    #[test]
    fn no_more_is_kept_than_allowed() {
        let found = visible_text(br#"{"content":"0123456789"}"#, 4);
        assert_eq!((found.kept.as_slice(), found.bytes_total), (&b"0123"[..], 11));
    }

    /// The same by a tree.
    fn seen(value: &Value, found: &mut Found) {
        let spelt = |value: &Value| value.to_string().into_bytes();
        let take = |text: &[u8], found: &mut Found| {
            if !text.is_empty() {
                found.kept.extend([text, b"\n"].concat());
            }
        };
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    match (name.as_str(), value) {
                        ("content" | "text" | "name", Value::String(_)) => seen(value, found),
                        ("input", value) if !value.is_string() => take(&spelt(value), found),
                        ("image_url", _) => found.media += 1,
                        (_, Value::String(_)) => {}
                        (_, value) => seen(value, found),
                    }
                }
            }
            Value::Array(elements) => elements.iter().for_each(|element| seen(element, found)),
            Value::String(text) if text.starts_with("data:") && text.contains(";base64,") => found.media += 1,
            Value::String(_) => {
                let spelt = spelt(value);
                take(&spelt[1..spelt.len() - 1], found);
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let text = prop_oneof![Just("data:image/png;base64,AA".to_owned()), ".{0,12}", Just("a\"\\ b".to_owned())];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            text.prop_map(Value::from)
        ];
        let name = prop_oneof!["content", "text", "name", "input", "image_url", "role", "parts"];
        leaf.prop_recursive(5, 60, 6, move |inner| {
            let members = proptest::collection::btree_map(name.clone(), inner.clone(), 0..5);
            prop_oneof![
                proptest::collection::vec(inner, 0..5).prop_map(Value::from),
                members.prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn one_walk_finds_what_a_tree_shows(value in any_json()) {
            let answer = serde_json::json!({ "content": value }).to_string();
            let mut expected = Found::default();
            seen(&value, &mut expected);
            let found = visible_text(answer.as_bytes(), usize::MAX);
            prop_assert_eq!(String::from_utf8(found.kept).unwrap(), String::from_utf8(expected.kept).unwrap());
            prop_assert_eq!(found.media, expected.media);
        }

        #[test]
        fn no_bytes_panic(json in proptest::collection::vec(any::<u8>(), 0..200), bytes_max in 0_usize..50) {
            prop_assert!(visible_text(&json, bytes_max).kept.len() <= bytes_max);
        }
    }
}
