//! What is asked and what the mock answers, rendered once.
//!
//! Must not know sockets. The client tells the mock how to answer in the field `user`, the last of the body: a header
//! would not do, as a gateway passes on only the headers it knows.

use std::fmt::Write as _;

/// Where the mock looks for its orders: this many bytes at the end of a body.
pub(crate) const ORDER_BYTES_MAX: usize = 256;
/// Chunks of every streamed answer.
pub(crate) const CHUNKS: usize = 200;

/// How the mock is to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One JSON body.
    Unary,
    /// Server-sent events, this long apart.
    Stream { pace_ms: u64 },
}

impl Shape {
    /// Reads the order out of a request's body.
    pub(crate) fn of_body(body: &[u8]) -> Self {
        let tail = String::from_utf8_lossy(&body[body.len().saturating_sub(ORDER_BYTES_MAX)..]);
        let order = tail.split_once("pace_ms=").map(|(_, rest)| rest.split('"').next().unwrap_or(""));
        order.map_or(Self::Unary, |pace_ms| Self::Stream { pace_ms: pace_ms.parse().unwrap_or(0) })
    }
}

/// A request's body of about `bytes`, as an SDK writes it: the messages first, the model behind them.
pub(crate) fn body(shape: Shape, bytes: usize) -> String {
    const TURN: &str = "Explain, please:\\n\\tlet x = \\\"caf\u{e9}\\\"; // what does this do, and why is it so slow?";
    const TURN_BYTES_MAX: usize = 4_000;
    let mut text = String::from(r#"{"messages":[{"role":"system","content":"You are brief."}"#);
    let mut turns = 0;
    loop {
        let role = if turns % 2 == 0 { "user" } else { "assistant" };
        let _ = write!(text, r#",{{"role":"{role}","content":"{TURN}"#);
        let turn_end = (text.len() + TURN_BYTES_MAX).min(bytes);
        while text.len() + TURN.len() < turn_end {
            text.push_str(TURN);
        }
        text.push_str(r#""}"#);
        turns += 1;
        if text.len() + 2 * TURN.len() > bytes {
            break;
        }
    }
    text.push_str(r#"],"model":"gpt-4o-mini","temperature":0.7,"max_tokens":400,"#);
    match shape {
        Shape::Unary => text.push_str(r#""user":"unary"}"#),
        Shape::Stream { pace_ms } => {
            let options = r#""stream":true,"stream_options":{"include_usage":true}"#;
            let _ = write!(text, r#"{options},"user":"pace_ms={pace_ms}"}}"#);
        }
    }
    text
}

/// The mock's answers, ready to be written.
pub(crate) struct Answers {
    /// Head and body.
    pub(crate) unary: Vec<u8>,
    /// The head of a stream.
    pub(crate) stream_head: Vec<u8>,
    /// The events, each framed as one chunk of HTTP/1.1; the last holds what ends the stream.
    pub(crate) events: Vec<Vec<u8>>,
    /// Bytes of the body of each, without framing.
    unary_bytes: usize,
    stream_bytes: usize,
}

impl Answers {
    pub(crate) fn new() -> Self {
        const USAGE: &str = r#""usage":{"prompt_tokens":230,"completion_tokens":200,"total_tokens":430,"prompt_tokens_details":{"cached_tokens":0}}"#;
        const IDENTITY: &str = r#""id":"chatcmpl-bench","created":1750000000,"model":"gpt-4o-mini-2024-07-18""#;
        let content = "The function reads a name and greets it. ".repeat(20);
        let message = format!(r#"{{"role":"assistant","content":"{content}","refusal":null}}"#);
        let choice = format!(r#"{{"index":0,"message":{message},"logprobs":null,"finish_reason":"stop"}}"#);
        let json = format!(r#"{{{IDENTITY},"object":"chat.completion","choices":[{choice}],{USAGE}}}"#);
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ";
        let unary = format!("{head}{}\r\n\r\n{json}", json.len());

        let part = format!(r#"{IDENTITY},"object":"chat.completion.chunk""#);
        let choices = |delta: &str, end: &str| {
            format!(r#""choices":[{{"index":0,"delta":{{{delta}}},"logprobs":null,"finish_reason":{end}}}]"#)
        };
        let mut events =
            vec![format!("data: {{{part},{}}}\n\n", choices(r#""role":"assistant","content":"""#, "null"))];
        for number in 1..CHUNKS - 1 {
            let delta = format!(r#""content":" word{number}""#);
            events.push(format!("data: {{{part},{}}}\n\n", choices(&delta, "null")));
        }
        let end = choices("", r#""stop""#);
        events.push(format!("data: {{{part},{end}}}\n\ndata: {{{part},\"choices\":[],{USAGE}}}\n\ndata: [DONE]\n\n"));
        let stream_bytes = events.iter().map(String::len).sum();
        let last = events.len() - 1;
        let frame = |(index, event): (usize, String)| {
            let end = if index == last { "0\r\n\r\n" } else { "" };
            format!("{:x}\r\n{event}\r\n{end}", event.len()).into_bytes()
        };
        Self {
            unary: unary.into_bytes(),
            stream_head: b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(),
            events: events.into_iter().enumerate().map(frame).collect(),
            unary_bytes: json.len(),
            stream_bytes,
        }
    }

    /// Bytes of the answer's body; a gateway may add to them, never leave any out.
    pub(crate) fn body_bytes(&self, shape: Shape) -> usize {
        match shape {
            Shape::Unary => self.unary_bytes,
            Shape::Stream { .. } => self.stream_bytes,
        }
    }
}
