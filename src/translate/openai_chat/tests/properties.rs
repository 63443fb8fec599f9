//! No body makes the readers panic, and whatever comes, what is written is JSON.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value as Json, json};

use super::support::{Log, envelope, of};
use crate::catalog::provider::Dialect;
use crate::translate::ir::Value;
use crate::translate::openai_chat::{AnswerReader, StreamWriter, WholeWriter, read_request, write_request};
use crate::translate::{Closing, Sink, ir};
use crate::wire::usage::UsageQuirks;

/// Names that mean something somewhere in the format.
const NAMES: [&str; 40] = [
    "role",
    "content",
    "type",
    "text",
    "image_url",
    "url",
    "tool_calls",
    "id",
    "function",
    "name",
    "arguments",
    "reasoning_content",
    "reasoning_details",
    "data",
    "format",
    "characters",
    "messages",
    "tools",
    "tool_choice",
    "choices",
    "delta",
    "message",
    "index",
    "finish_reason",
    "usage",
    "error",
    "logprobs",
    "images",
    "annotations",
    "file",
    "input_audio",
    "refusal",
    "function_call",
    "response_format",
    "json_schema",
    "schema",
    "stop",
    "thinking",
    "custom",
    "url_citation",
];
const WORDS: [&str; 16] = [
    "",
    "user",
    "assistant",
    "tool",
    "system",
    "text",
    "function",
    "image_url",
    "flux",
    "stop",
    "data:image/png;base64,AA==",
    "json_schema",
    "a\"\\\n",
    "\u{1f600}",
    "reasoning.text",
    "custom",
];

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i32>().prop_map(Json::from),
        select(&WORDS[..]).prop_map(Json::from),
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        let member = (select(&NAMES[..]), inner.clone());
        prop_oneof![
            proptest::collection::vec(inner, 0..5).prop_map(Json::from),
            proptest::collection::vec(member, 0..6)
                .prop_map(|members| members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        ]
    })
}

/// Takes everything and writes it both ways.
#[derive(Debug)]
struct Both {
    stream: StreamWriter,
    whole: WholeWriter,
    out: Vec<u8>,
}

impl Sink for Both {
    fn take(&mut self, event: ir::Event<'_>) {
        let _ = self.stream.event(&event, &mut self.out);
        let _ = self.whole.event(&event);
    }
}

proptest! {
    #[test]
    fn no_request_breaks_the_reader(body in any_json(), messages in any_json()) {
        for body in [body, json!({ "messages": messages, "tools": [{ "type": "function", "function": { "name": "f" } }] })] {
            let text = body.to_string();
            let Ok(request) = read_request(Value::parse(text.as_bytes()).unwrap(), &envelope()) else { continue };
            for (_, dialect) in Dialect::NAMES {
                if let Ok(written) = write_request(&request, &of(dialect)) {
                    prop_assert!(serde_json::from_slice::<Json>(&written.body).is_ok());
                }
            }
        }
    }

    #[test]
    fn no_answer_breaks_reader_or_writers(answers in proptest::collection::vec(any_json(), 1..6), delta in any_json()) {
        let known = json!({ "id": "x", "choices": [{ "index": 0, "delta": delta, "finish_reason": "stop" }] });
        for (_, dialect) in Dialect::NAMES {
            let mut both = Both { stream: StreamWriter::new(super::support::view()), whole: WholeWriter::new(super::support::view()), out: Vec::new() };
            let mut reader = AnswerReader::new(dialect, UsageQuirks::default());
            for answer in answers.iter().chain([&known]) {
                reader.frame(b"", answer.to_string().as_bytes(), &mut both);
            }
            both.stream.close(&Closing::default(), &mut both.out).unwrap();
            let out = String::from_utf8(std::mem::take(&mut both.out)).unwrap();
            for data in out.split("\n\n").filter_map(|frame| frame.strip_prefix("data: ")).filter(|data| *data != "[DONE]") {
                prop_assert!(serde_json::from_str::<Json>(data).is_ok(), "{}", data);
            }
            prop_assert!(serde_json::from_slice::<Json>(&both.whole.close(&Closing::default())).is_ok());
            let mut log = Log::default();
            let text = known.to_string();
            AnswerReader::new(dialect, UsageQuirks::default()).whole(Value::parse(text.as_bytes()).unwrap(), &mut log);
        }
    }

    #[test]
    fn no_bytes_break_the_reader(data in proptest::collection::vec(any::<u8>(), 0..64)) {
        let mut log = Log::default();
        AnswerReader::new(Dialect::Plain, UsageQuirks::default()).frame(b"", &data, &mut log);
    }
}
