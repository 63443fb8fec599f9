//! Server-sent events as a test reads them: whole, after the fact, line by line.
//!
//! Must not know Flux's own reader: it would share its faults.

use serde_json::Value;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) data: String,
}

impl Event {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|e| panic!("event data is no JSON ({e}): {}", self.data))
    }
}

/// All events of a stream. A piece without its closing blank line is no event.
pub(crate) fn events(body: &[u8]) -> Vec<Event> {
    let text = std::str::from_utf8(body).expect("a stream is UTF-8").replace("\r\n", "\n");
    let mut events = Vec::new();
    let mut event = Event::default();
    let mut data: Vec<&str> = Vec::new();
    for line in text.split('\n') {
        if line.is_empty() {
            if !data.is_empty() {
                events.push(Event { data: data.join("\n"), ..std::mem::take(&mut event) });
                data.clear();
            }
        } else if let Some(value) = line.strip_prefix("data:") {
            data.push(value.strip_prefix(' ').unwrap_or(value));
        } else if let Some(value) = line.strip_prefix("event:") {
            value.trim().clone_into(&mut event.name);
        }
    }
    events
}

/// The comment lines of a stream, without their colon.
pub(crate) fn comments(body: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(body).replace("\r\n", "\n");
    text.split('\n').filter_map(|line| line.strip_prefix(':')).map(|line| line.trim().to_owned()).collect()
}

/// The stream without comment lines (and the blank line that closes a comment of its own).
pub(crate) fn without_comments(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body).into_owned();
    let mut kept = String::new();
    let mut is_after_comment = false;
    for line in text.split_inclusive('\n') {
        if line.starts_with(':') {
            is_after_comment = true;
            continue;
        }
        let is_blank = line.trim_end_matches(['\r', '\n']).is_empty();
        if !(is_blank && is_after_comment) {
            kept.push_str(line);
        }
        is_after_comment = false;
    }
    kept
}

/// What an OpenAI stream says, put together.
pub(crate) fn chat_text(body: &[u8]) -> String {
    let of = |event: &Event| event.json()["choices"][0]["delta"]["content"].as_str().unwrap_or("").to_owned();
    events(body).iter().filter(|event| event.data != "[DONE]").map(of).collect()
}

/// What an Anthropic stream says, put together.
pub(crate) fn messages_text(body: &[u8]) -> String {
    let of = |event: &Event| event.json()["delta"]["text"].as_str().unwrap_or("").to_owned();
    events(body).iter().map(of).collect()
}

/// The cost that the comment before the terminator names, in nano-USD.
pub(crate) fn comment_cost_nano(body: &[u8]) -> i64 {
    let comments = comments(body);
    let line = comments.iter().find(|line| line.contains("cost")).unwrap_or_else(|| {
        panic!("no comment line with the cost in {}", String::from_utf8_lossy(body));
    });
    let decimal: String = line.chars().rev().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    super::http::nano(&decimal.chars().rev().collect::<String>())
}
