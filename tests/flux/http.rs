//! A plain HTTP/1.1 client over a socket, so that every byte on the wire is the test's own.
//!
//! Must not know Flux: it writes what it is given and reads what comes back, well-formed or not.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// How long a read may wait before the test fails: far above anything that a healthy run takes.
const READ_WAIT_MAX: Duration = Duration::from_secs(30);
/// Headers that one head may hold.
const HEADERS_MAX: usize = 64;

/// Header lines in the order in which they came, names in lower case.
#[derive(Clone, Debug, Default)]
pub(crate) struct Headers(pub(crate) Vec<(String, String)>);

impl Headers {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub(crate) fn count(&self, name: &str) -> usize {
        self.0.iter().filter(|(n, _)| n == name).count()
    }

    pub(crate) fn from_parsed(parsed: &[httparse::Header<'_>]) -> Self {
        let line = |h: &httparse::Header<'_>| (h.name.to_lowercase(), String::from_utf8_lossy(h.value).into_owned());
        Self(parsed.iter().map(line).collect())
    }
}

/// An answer, read to its end or to where it broke off.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
    /// Whether the framing ended as it promised.
    pub(crate) is_complete: bool,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("no JSON ({e}): {} {}", self.status, self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no header {name} in {:?}\n{}", self.headers, self.text()))
    }

    /// The cost header in nano-USD.
    pub(crate) fn cost_nano(&self) -> i64 {
        nano(self.header("x-flux-cost-usd"))
    }

    #[track_caller]
    pub(crate) fn expect_status(self, status: u16) -> Self {
        assert_eq!(self.status, status, "unexpected status; headers {:?}\nbody {}", self.headers, self.text());
        self
    }
}

/// Reads a plain decimal of USD as nano-USD, without a float on the way.
pub(crate) fn nano(decimal: &str) -> i64 {
    let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, ""));
    assert!(fraction.len() <= 9, "{decimal} is finer than nano-USD");
    format!("{whole}{fraction:0<9}").parse().unwrap_or_else(|_| panic!("{decimal} is no plain decimal"))
}

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
    Close,
}

/// A client connection.
#[derive(Debug)]
pub(crate) struct Conn {
    stream: TcpStream,
    /// Bytes that were read and not used.
    raw: Vec<u8>,
    framing: Framing,
    /// The answer that is being read.
    reply: Reply,
    is_done: bool,
}

impl Conn {
    pub(crate) fn open(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).expect("connects to flux");
        stream.set_nodelay(true).expect("nodelay");
        stream.set_read_timeout(Some(READ_WAIT_MAX)).expect("read time-out");
        stream.set_write_timeout(Some(READ_WAIT_MAX)).expect("write time-out");
        let reply = Reply { status: 0, headers: Headers::default(), body: Vec::new(), is_complete: false };
        Self { stream, raw: Vec::new(), framing: Framing::Close, reply, is_done: true }
    }

    /// Writes bytes as they are. A peer that has closed already is not an error: the answer tells.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        drop(self.stream.write_all(bytes));
        drop(self.stream.flush());
    }

    /// Writes bytes; false when the peer has closed.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Sends a request and reads its whole answer.
    pub(crate) fn ask(&mut self, request: &[u8]) -> Reply {
        self.write(request);
        self.reply()
    }

    /// Reads an answer to its end, skipping interim ones.
    pub(crate) fn reply(&mut self) -> Reply {
        self.head();
        self.rest()
    }

    /// Reads a head; the status is 0 when the connection ended before one. Interim answers are skipped.
    pub(crate) fn head(&mut self) -> u16 {
        loop {
            let status = self.any_head();
            if !(100..200).contains(&status) {
                return status;
            }
        }
    }

    /// Reads a head, also an interim one.
    pub(crate) fn any_head(&mut self) -> u16 {
        self.reply = Reply { status: 0, headers: Headers::default(), body: Vec::new(), is_complete: false };
        self.is_done = false;
        loop {
            if self.parse_head() {
                return self.reply.status;
            }
            if !self.fill() {
                self.is_done = true;
                return 0;
            }
        }
    }

    fn parse_head(&mut self) -> bool {
        let mut slots = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut parsed = httparse::Response::new(&mut slots);
        let used = match parsed.parse(&self.raw).expect("flux sends a well-formed head") {
            httparse::Status::Complete(used) => used,
            httparse::Status::Partial => return false,
        };
        self.reply.status = parsed.code.expect("a status");
        self.reply.headers = Headers::from_parsed(parsed.headers);
        let headers = &self.reply.headers;
        let is_bodiless = self.reply.status < 200 || self.reply.status == 204 || self.reply.status == 304;
        self.framing = match (headers.get("transfer-encoding"), headers.get("content-length")) {
            _ if is_bodiless => Framing::Length(0),
            (Some(coding), length) => {
                assert_eq!((coding, length), ("chunked", None), "an answer has one framing");
                Framing::Chunked
            }
            (None, Some(length)) => Framing::Length(length.parse().expect("a length")),
            (None, None) => Framing::Close,
        };
        self.raw.drain(..used);
        true
    }

    /// Reads the rest of the answer.
    pub(crate) fn rest(&mut self) -> Reply {
        while self.step() {}
        self.reply.clone()
    }

    /// What has come of the answer.
    pub(crate) fn so_far(&self) -> Reply {
        self.reply.clone()
    }

    /// Reads on until the body holds the needle or ends; says whether it was found.
    pub(crate) fn read_until(&mut self, needle: &str) -> bool {
        loop {
            self.advance();
            if contains(&self.reply.body, needle.as_bytes()) {
                return true;
            }
            if !self.step() {
                return false;
            }
        }
    }

    /// Decodes what is there.
    fn advance(&mut self) {
        if !self.is_done && self.decode() {
            self.is_done = true;
            self.reply.is_complete = true;
        }
    }

    /// Decodes what is there, or reads more; false at the end.
    fn step(&mut self) -> bool {
        self.advance();
        if self.is_done {
            return false;
        }
        if !self.fill() {
            self.is_done = true;
            self.reply.is_complete = self.framing == Framing::Close;
            return false;
        }
        true
    }

    /// Moves whole pieces of the body out of the raw bytes; true at the end of the body.
    fn decode(&mut self) -> bool {
        match self.framing {
            Framing::Close => {
                self.reply.body.append(&mut self.raw);
                false
            }
            Framing::Length(length) => {
                let missing = length - self.reply.body.len();
                let taken = missing.min(self.raw.len());
                self.reply.body.extend(self.raw.drain(..taken));
                taken == missing
            }
            Framing::Chunked => self.decode_chunks(),
        }
    }

    fn decode_chunks(&mut self) -> bool {
        loop {
            let Ok(httparse::Status::Complete((head, size))) = httparse::parse_chunk_size(&self.raw) else {
                return false;
            };
            let end = head + usize::try_from(size).expect("a chunk size") + 2;
            if self.raw.len() < end {
                return false;
            }
            assert_eq!(&self.raw[end - 2..end], b"\r\n", "a chunk ends with CRLF");
            self.reply.body.extend_from_slice(&self.raw[head..end - 2]);
            self.raw.drain(..end);
            if size == 0 {
                return true;
            }
        }
    }

    /// Reads once; false at the end of the connection.
    fn fill(&mut self) -> bool {
        let mut buffer = [0; 16 << 10];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return false,
                Ok(n) => {
                    self.raw.extend_from_slice(&buffer[..n]);
                    return true;
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    panic!("no answer within {READ_WAIT_MAX:?}; so far {:?} {}", self.reply, self.reply.text())
                }
                Err(_) => return false,
            }
        }
    }

    /// Another handle on the same socket, for a sender in a thread of its own.
    pub(crate) fn second_handle(&self) -> TcpStream {
        self.stream.try_clone().expect("a second handle")
    }
}

/// Whether a byte string holds another.
pub(crate) fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(haystack, needle).is_some()
}

/// A request with the given header lines and a body under content-length.
pub(crate) fn request(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{method} {target} HTTP/1.1\r\nhost: flux.test\r\n").into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    if !body.is_empty() || method == "POST" {
        bytes.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

/// A request whose body goes in chunks of the given size.
pub(crate) fn chunked_request(target: &str, headers: &[(&str, &str)], body: &[u8], chunk_bytes: usize) -> Vec<u8> {
    let mut bytes = format!("POST {target} HTTP/1.1\r\nhost: flux.test\r\ntransfer-encoding: chunked\r\n").into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    for chunk in body.chunks(chunk_bytes) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}
