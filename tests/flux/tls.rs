//! TLS on the public listener: one port that speaks HTTP/1.1 and HTTP/2 as the client chooses by ALPN.
//!
//! Must not know Flux's TLS library: Python's is the client, since the suite has none of its own.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::harness::{Flux, Setup, ask_chat};
use super::provider::Provider;

/// Shakes hands with the offered protocol, asks over HTTP/1.1 where that was agreed on, and prints both.
const CLIENT: &str = r#"
import socket, ssl, sys
port, offered, certificate, request = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.stdin.buffer.read()
context = ssl.create_default_context(cafile=certificate)
context.set_alpn_protocols(offered.split(","))
with socket.create_connection(("127.0.0.1", port), timeout=60) as raw:
    with context.wrap_socket(raw, server_hostname="flux.test") as tls:
        agreed = tls.selected_alpn_protocol()
        print(agreed)
        if agreed == "http/1.1":
            tls.sendall(request)
            print(tls.recv(65536).split(b"\r\n")[0].decode())
        else:
            tls.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04\x00" + bytes(4))
            head = tls.recv(9)
            print("settings" if head[3] == 4 else "no settings")
"#;

fn ask(port: u16, offered: &str, certificate: &Path, request: &[u8]) -> Vec<String> {
    let mut client = Command::new("python3")
        .args(["-c", CLIENT, &port.to_string(), offered])
        .arg(certificate)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("python3");
    client.stdin.take().expect("stdin").write_all(request).expect("sent");
    let output = client.wait_with_output().expect("python3 ends");
    assert!(output.status.success(), "the handshake failed");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// Asks on connections of its own as it is told line by line, and tells what came: streams that begin, whole answers, and
/// the rest of the streams.
const TALKER: &str = r#"
import http.client, json, ssl, sys
port, certificate, key, body = int(sys.argv[1]), sys.argv[2], sys.argv[3], json.loads(sys.argv[4])
context = ssl.create_default_context(cafile=certificate)
headers = {"authorization": key, "content-type": "application/json"}

def ask(is_streamed):
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=60)
    connection.request("POST", "/v1/chat/completions", json.dumps({**body, "stream": is_streamed}), headers)
    answer = connection.getresponse()
    assert answer.status == 200, answer.status
    return answer

streams = []
for line in sys.stdin:
    what, count = line.split()
    if what == "open":
        for _ in range(int(count)):
            answer, begun = ask(True), b""
            while b"Hello " not in begun:
                begun += answer.read1(65536)
            streams.append((answer, begun))
        told = len(streams)
    elif what == "ask":
        answers = [ask(False) for _ in range(int(count))]
        told = [[answer.getheader("x-flux-request-id"), answer.read().decode(), answer.getheader("x-flux-cost-usd")]
                for answer in answers]
    else:
        told = [[answer.getheader("x-flux-request-id"), (begun + answer.read()).decode(), None]
                for answer, begun in streams]
    print(json.dumps(told), flush=True)
"#;

/// A client that speaks TLS and keeps its streams open until it is told otherwise.
pub(super) struct Talker {
    child: std::process::Child,
    said: BufReader<std::process::ChildStdout>,
}

impl Talker {
    pub(super) fn start(flux: &Flux, body: &Value) -> Self {
        let (certificate, _) = files();
        let mut child = Command::new("python3")
            .args(["-c", TALKER, &flux.addr.port().to_string()])
            .arg(certificate)
            .args([flux.bearer(), body.to_string()])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("python3");
        let said = BufReader::new(child.stdout.take().expect("stdout"));
        Self { child, said }
    }

    /// `open`, `ask` or `end`, and how many.
    pub(super) fn tell(&mut self, what: &str, count: usize) -> Value {
        writeln!(self.child.stdin.as_mut().expect("stdin"), "{what} {count}").expect("told");
        let mut line = String::new();
        self.said.read_line(&mut line).expect("an answer");
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("the client failed to {what}: {line}"))
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Where the certificates are: `cert.pem` has signed itself and, for `localhost` and for another name, `signed*.pem`.
pub(super) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/flux/tls")
}

/// A certificate and its key.
fn files() -> (PathBuf, PathBuf) {
    (folder().join("cert.pem"), folder().join("key.pem"))
}

/// With TLS on the public listener.
pub(super) fn listening(setup: Setup) -> Setup {
    let (certificate, key) = files();
    setup
        .env("FLUX_SERVER__TLS_CERT", &certificate.to_string_lossy())
        .env("FLUX_SERVER__TLS_KEY", &key.to_string_lossy())
}

#[test]
fn a_certificate_gives_tls_with_both_versions_of_http() {
    let openai = Provider::openai();
    let (certificate, _) = files();
    let flux = listening(Setup::with(&[&openai])).start();
    let request = flux.chat_request(ask_chat("gpt-4o-mini").to_string().as_bytes());
    let over = |offered| ask(flux.addr.port(), offered, &certificate, &request);
    assert_eq!(over("http/1.1"), ["http/1.1", "HTTP/1.1 200 OK"]);
    assert_eq!(over("h2,http/1.1"), ["h2", "settings"]);
    assert_eq!(flux.only_row().text("provider"), "openai");
}

#[test]
fn a_certificate_without_its_key_is_refused() {
    let output = Setup::with(&[]).env("FLUX_SERVER__TLS_CERT", "/no/such/cert.pem").run(&["check"]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn authorities_that_cannot_be_read_are_told_of_at_the_start() {
    let output = Setup::with(&[]).env("SSL_CERT_FILE", "/no/such/authorities.pem").run(&["serve"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("SSL_CERT_FILE") && !said.contains("panicked"), "{said}");
}
