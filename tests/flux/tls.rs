//! TLS on the public listener: one port that speaks HTTP/1.1 and HTTP/2 as the client chooses by ALPN.
//!
//! Must not know Flux's TLS library: Python's is the client, since the suite has none of its own.

use std::path::Path;
use std::process::Command;

use super::harness::{Setup, ask_chat};
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
    use std::io::Write;
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

#[test]
fn a_certificate_gives_tls_with_both_versions_of_http() {
    let openai = Provider::openai();
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/flux/tls");
    let (certificate, key) = (files.join("cert.pem"), files.join("key.pem"));
    let flux = Setup::with(&[&openai])
        .env("FLUX_SERVER__TLS_CERT", &certificate.to_string_lossy())
        .env("FLUX_SERVER__TLS_KEY", &key.to_string_lossy())
        .start();
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
