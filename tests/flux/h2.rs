//! HTTP/2 as a client that means harm, and one that has much to say, speaks it: frames by hand over a plain socket.
//!
//! Must not know Flux's HTTP/2: it counts frames, and what a window leaves it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::json;

use super::harness::{Flux, Setup, ask_chat, now, wait_for};
use super::provider::Provider;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

pub(super) const END_STREAM: u8 = 1;
pub(super) const ACK: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

/// What a peer may send before it hears of windows.
const WINDOW_BYTES: usize = 65_535;
const FRAME_BYTES_MAX: usize = 16_384;
/// Two megabytes a stream while the machine is busy take far less.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

impl Frame {
    /// The number that a frame begins with.
    fn number(&self) -> usize {
        let first = self.payload.first_chunk().expect("four bytes");
        usize::try_from(u32::from_be_bytes(*first) & 0x7fff_ffff).expect("a number")
    }
}

pub(super) struct Client {
    socket: TcpStream,
    /// What may be sent on the connection, and on each new stream.
    windows: (usize, usize),
}

impl Client {
    /// Shakes hands, and hears the server's windows, of which that of the connection comes last.
    pub(super) fn open(to: SocketAddr) -> Self {
        let mut socket = TcpStream::connect(to).expect("connects");
        socket.set_nodelay(true).expect("nodelay");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        socket.set_write_timeout(Some(PATIENCE)).expect("a time-out");
        socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("sent");
        let mut client = Self { socket, windows: (WINDOW_BYTES, WINDOW_BYTES) };
        assert!(client.send(SETTINGS, 0, 0, &[]));
        let mut settled = (false, false);
        while settled != (true, true) || client.windows.0 == WINDOW_BYTES {
            let frame = client.next().expect("settings");
            match (frame.kind, frame.flags) {
                (SETTINGS, ACK) => settled.1 = true,
                (SETTINGS, _) => {
                    for setting in frame.payload.chunks(6) {
                        if setting[..2] == [0, 4] {
                            let bytes = setting[2..].first_chunk().expect("four bytes");
                            client.windows.1 = usize::try_from(u32::from_be_bytes(*bytes)).expect("a window");
                        }
                    }
                    assert!(client.send(SETTINGS, ACK, 0, &[]));
                    settled.0 = true;
                }
                (WINDOW_UPDATE, _) => client.windows.0 += frame.number(),
                _ => {}
            }
        }
        client
    }

    /// Whether it could be sent.
    pub(super) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        let length = u32::try_from(payload.len()).expect("a length").to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend_from_slice(&stream.to_be_bytes());
        frame.extend_from_slice(payload);
        self.socket.write_all(&frame).is_ok()
    }

    /// The next frame; `None` where the connection has ended, or nothing comes.
    pub(super) fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.socket.read_exact(&mut head).ok()?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut payload = vec![0; length];
        self.socket.read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes(*head[5..].first_chunk().expect("four bytes"));
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }
}

/// The head of a chat request, each line written out.
pub(super) fn head(flux: &Flux) -> Vec<u8> {
    let bearer = flux.bearer();
    let lines = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/v1/chat/completions"),
        (":authority", "flux.test"),
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
    ];
    let mut block = Vec::new();
    for (name, value) in lines {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).ok().filter(|length| *length < 127).expect("a short text"));
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

fn resident_kb(flux: &Flux) -> usize {
    super::burden::resident_kb(flux.pid())
}

/// The streams of a client, in order.
pub(super) fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|number| 2 * number + 1)
}

#[test]
fn t38_a_flood_of_streams_is_shed() {
    const STREAMS: u32 = 3_000;
    const AT_ONCE_MAX: f64 = 100.0;
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    flux.chat(&ask_chat("gpt-4o-mini")).expect_status(200);
    let before = resident_kb(&flux);
    // Streams that begin and never say what they want.
    let head = head(&flux);
    let mut client = Client::open(flux.addr);
    let sent = streams(STREAMS).take_while(|stream| client.send(HEADERS, END_HEADERS, *stream, &head)).count();
    client.socket.set_read_timeout(Some(Duration::from_millis(700))).expect("a time-out");
    let (mut refused, mut has_gone) = (0, false);
    while let Some(frame) = client.next() {
        refused += usize::from(frame.kind == RST_STREAM);
        has_gone |= frame.kind == GOAWAY;
    }
    assert!(has_gone || refused + 200 > sent, "{refused} of {sent} were refused");
    assert!(flux.metric("flux_requests_in_flight", &[]) <= AT_ONCE_MAX);
    // Streams that are taken back as soon as they have begun.
    for _ in 0..3 {
        let mut client = Client::open(flux.addr);
        for stream in streams(10 * STREAMS) {
            let is_open =
                client.send(HEADERS, END_HEADERS, stream, &head) && client.send(RST_STREAM, 0, stream, &[0, 0, 0, 8]);
            if !is_open {
                break;
            }
        }
    }
    drop(client);
    wait_for("no running request", || flux.metric("flux_requests_in_flight", &[]).abs() < f64::EPSILON);
    let grown = resident_kb(&flux).saturating_sub(before);
    assert!(grown < 48 << 10, "{grown} KB more");
    flux.chat(&ask_chat("gpt-4o-mini")).expect_status(200);
    assert_eq!(openai.count(), 2);
}

#[test]
fn t42_windows_let_a_large_body_in_without_a_wait_for_each_piece() {
    const BODY_BYTES: usize = 3 << 20;
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let mut client = Client::open(flux.addr);
    let (mut connection, mut stream) = client.windows;
    assert!(stream >= 1 << 20 && connection >= 4 << 20, "{:?}", client.windows);
    let mut body = ask_chat("gpt-4o-mini");
    body["messages"] = json!([{"role": "user", "content": "words ".repeat(BODY_BYTES / 6)}]);
    let body = body.to_string().into_bytes();
    let began = now();
    assert!(client.send(HEADERS, END_HEADERS, 1, &head(&flux)));
    let (mut at, mut waits) = (0, 0);
    while at < body.len() {
        let room = connection.min(stream).min(FRAME_BYTES_MAX).min(body.len() - at);
        if room == 0 {
            waits += 1;
            let before = (connection, stream);
            while (connection, stream) == before {
                let frame = client.next().expect("a window");
                match (frame.kind, frame.stream) {
                    (WINDOW_UPDATE, 0) => connection += frame.number(),
                    (WINDOW_UPDATE, _) => stream += frame.number(),
                    _ => {}
                }
            }
            continue;
        }
        let flags = if at + room == body.len() { END_STREAM } else { 0 };
        assert!(client.send(DATA, flags, 1, &body[at..at + room]));
        (at, connection, stream) = (at + room, connection - room, stream - room);
    }
    let mut answer = Vec::new();
    loop {
        let frame = client.next().expect("an answer");
        if frame.stream == 1 && frame.kind == DATA {
            answer.extend_from_slice(&frame.payload);
        }
        if frame.stream == 1 && frame.flags & END_STREAM != 0 && [DATA, HEADERS].contains(&frame.kind) {
            break;
        }
    }
    let took = began.elapsed();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.contains("Hello from the provider."), "{answer}");
    assert_eq!(openai.only().body.len() + "gpt-4o-mini".len(), body.len() + model_of(&openai).len());
    // A window of 64 KB would be waited for about fifty times.
    assert!(waits <= 12, "{waits} waits, {took:?}");
}

/// The model's name that the provider was sent.
fn model_of(provider: &Provider) -> String {
    provider.only().json()["model"].as_str().expect("a model").to_owned()
}
