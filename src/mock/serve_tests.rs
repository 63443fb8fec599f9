//! The mock over a real socket on loopback.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::*;

const STREAMED: &str = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
const UNARY: &str = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;

struct Running {
    address: SocketAddr,
    _runtime: Runtime,
    _stop: watch::Sender<bool>,
}

fn run(pairs: &str) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let options = MockOptions { allow_header: true, body_bytes_max: 4096, ..MockOptions::default() };
    let service = Arc::new(MockService::new(options.with(pairs).unwrap(), Secret::new("s3")));
    let (stop, shutdown) = watch::channel(false);
    runtime.spawn(service.accept(listener, shutdown));
    Running { address, _runtime: runtime, _stop: stop }
}

fn request(path: &str, headers: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: mock\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

/// Everything that comes until the mock closes.
fn exchange(running: &Running, bytes: &str) -> String {
    let mut socket = TcpStream::connect(running.address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.write_all(bytes.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

#[test]
fn answers_and_keeps_the_connection() {
    let running = run("");
    let first = request("/v1/chat/completions?x=1", "authorization: Bearer s3\r\n", UNARY);
    let second = request("/v1/chat/completions", "x-api-key: s3\r\nconnection: close\r\n", STREAMED);
    let mut socket = TcpStream::connect(running.address).unwrap();
    socket.write_all(first.as_bytes()).unwrap();
    let mut seen = [0; 4096];
    let mut answer = String::new();
    while !answer.ends_with('}') {
        let read = socket.read(&mut seen).unwrap();
        answer.push_str(std::str::from_utf8(&seen[..read]).unwrap());
    }
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("Flux mock"), "{answer}");
    socket.write_all(second.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("text/event-stream") && answer.ends_with("data: [DONE]\n\n\r\n0\r\n\r\n"), "{answer}");
}

#[test]
fn refuses_strangers_and_unknown_paths() {
    let running = run("");
    let close = "connection: close\r\n";
    for headers in ["", "authorization: Bearer no\r\n", "x-api-key: \r\n", "authorization: s3\r\n"] {
        let answer = exchange(&running, &request("/v1/messages", &format!("{close}{headers}"), UNARY));
        assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("authentication_error"), "{answer}");
    }
    let known = format!("{close}x-api-key: s3\r\n");
    for (path, status) in [("/v1/nope", 404), ("/v1/models", 200), ("/v1/messages", 400)] {
        let answer = exchange(&running, &request(path, &known, UNARY));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {answer}");
    }
    let answer = exchange(&running, &request("/v1/messages", &known, &" ".repeat(5000)));
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[test]
fn a_header_injects_faults() {
    let running = run("");
    let with = |fault: &str, body: &str| {
        let headers = format!("x-api-key: s3\r\nconnection: close\r\nx-flux-mock: fault={fault}\r\n");
        exchange(&running, &request("/v1/chat/completions", &headers, body))
    };
    assert!(with("503", UNARY).starts_with("HTTP/1.1 503"));
    assert!(with("429", STREAMED).contains("retry-after"));
    assert_eq!(with("reset", UNARY), "");
    assert!(with("nonsense", UNARY).starts_with("HTTP/1.1 400"));
    let cut = with("cut_body", UNARY);
    assert!(cut.starts_with("HTTP/1.1 200") && !cut.contains("system_fingerprint"), "{cut}");
    let cut = with("cut_body", STREAMED);
    assert!(cut.contains("data: {") && !cut.contains("[DONE]") && !cut.ends_with("0\r\n\r\n"), "{cut}");
    let failed = with("error_mid_stream", STREAMED);
    assert!(failed.contains("server_error") && !failed.contains("[DONE]"), "{failed}");
}

#[test]
fn every_third_request_fails() {
    let running = run("fault=500;fault_every=3");
    let bytes = request("/v1/chat/completions", "x-api-key: s3\r\nconnection: close\r\n", UNARY);
    let statuses: Vec<_> = (0..6).map(|_| exchange(&running, &bytes)[9..12].to_owned()).collect();
    assert_eq!(statuses, ["200", "200", "500", "200", "200", "500"]);
}

#[test]
fn a_hang_ends_when_the_client_leaves() {
    let running = run("fault=hang");
    let bytes = request("/v1/chat/completions", "x-api-key: s3\r\n", UNARY);
    let mut socket = TcpStream::connect(running.address).unwrap();
    socket.write_all(bytes.as_bytes()).unwrap();
    socket.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert_eq!(socket.read_to_end(&mut answer).unwrap(), 0);
}
