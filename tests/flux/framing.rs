//! Odd requests: refused, answered or dropped, but never passed on and never the end of the server.
//!
//! Must not know the parser: it sends bytes and looks at both ends.

use std::time::Duration;

use super::answers::{Answer, Gate, chat_body, chat_usage};
use super::harness::{Flux, Setup, WAIT_MAX, ask_chat, ask_messages, now, wait_for};
use super::http::{Reply, request};
use super::passthrough::{assert_chat_error, assert_messages_error};
use super::provider::Provider;

struct Bench {
    openai: Provider,
    flux: Flux,
}

impl Bench {
    fn start() -> Self {
        let openai = Provider::openai();
        // Requests that never end must not take a minute each.
        let setup = Setup::with(&[&openai]).env("FLUX_TIMEOUTS__HEAD_MS", "2000").env("FLUX_TIMEOUTS__BODY_MS", "2000");
        Self { flux: setup.start(), openai }
    }

    /// A good request with one part of its head replaced.
    fn altered(&self, from: &str, to: &str) -> Vec<u8> {
        let body = ask_chat("gpt-4o-mini").to_string();
        let good = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: flux.test\r\nAuthorization: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.flux.bearer(),
            body.len(),
        );
        assert!(good.contains(from), "{from:?} is no part of the request");
        good.replacen(from, to, 1).into_bytes()
    }

    /// Sends bytes and reads what comes. The sending half stays open: its end would count as leaving.
    fn ask_raw(&self, bytes: &[u8]) -> Reply {
        self.flux.ask(bytes)
    }

    /// Each request is refused with 4xx (or 501, 505) or dropped, and nothing reaches the provider. All that are
    /// not are told at once.
    #[track_caller]
    fn assert_refused<'a>(&self, requests: impl IntoIterator<Item = (&'a str, Vec<u8>)>) {
        let mut taken = Vec::new();
        for (what, bytes) in requests {
            let status = self.ask_raw(&bytes).status;
            if !matches!(status, 0 | 400..=499 | 501 | 505) || self.openai.count() > 0 {
                taken.push(format!("{what:?}: status {status}, {} requests sent up", self.openai.count()));
            }
            self.openai.forget();
        }
        assert!(taken.is_empty(), "{taken:#?}");
    }

    fn assert_well(&self) {
        self.flux.chat(&ask_chat("gpt-4o-mini")).expect_status(200);
    }
}

#[test]
fn heads_that_mean_two_things_are_refused() {
    let bench = Bench::start();
    let host = "Host: flux.test\r\n";
    let heads = [
        ("no host", host, ""),
        ("two hosts", host, "Host: flux.test\r\nHost: evil.test\r\n"),
        ("a host with a space", host, "Host: a b\r\n"),
        ("a host with a path", host, "Host: a/b\r\n"),
        ("a host with a userinfo", host, "Host: a@b\r\n"),
        ("an empty host", host, "Host: \r\n"),
        ("a header without a colon", host, "Host: flux.test\r\nnonsense\r\n"),
        ("a space before the colon", host, "Host: flux.test\r\nX-A : b\r\n"),
        ("a folded line", host, "Host: flux.test\r\nX-A: b\r\n c\r\n"),
        ("a NUL in a value", host, "Host: flux.test\r\nX-A: b\0c\r\n"),
        ("a bare CR", host, "Host: flux.test\r\nX-A: b\rX-B: c\r\n"),
        ("a name with a space", host, "Host: flux.test\r\nX A: b\r\n"),
        ("both framings", host, "Host: flux.test\r\nTransfer-Encoding: chunked\r\n"),
        ("an unknown coding", "Content-Length", "Transfer-Encoding: gzip\r\nX-Length"),
        ("chunked twice", "Content-Length", "Transfer-Encoding: chunked, chunked\r\nX-Length"),
        ("chunked not last", "Content-Length", "Transfer-Encoding: chunked, identity\r\nX-Length"),
        ("an odd chunked", "Content-Length", "Transfer-Encoding: xchunked\r\nX-Length"),
        ("a vertical tab", "Content-Length", "Transfer-Encoding: \u{b}chunked\r\nX-Length"),
        ("two lengths", host, "Host: flux.test\r\nContent-Length: 3\r\n"),
        ("a list of lengths", "Content-Length: ", "Content-Length: 3, "),
        ("a signed length", "Content-Length: ", "Content-Length: +"),
        ("a negative length", "Content-Length: ", "Content-Length: -"),
        ("a hexadecimal length", "Content-Length: ", "Content-Length: 0x"),
        ("no number at all", "Content-Length: ", "Content-Length: abc\r\nX: "),
        ("a huge length", "Content-Length: ", "Content-Length: 99999999999999999999999"),
    ];
    bench.assert_refused(heads.map(|(what, from, to)| (what, bench.altered(from, to))));
    bench.assert_well();
}

#[test]
fn targets_are_refused_not_normalised() {
    let bench = Bench::start();
    let path = "/v1/chat/completions";
    let targets = [
        "/v1/chat%2fcompletions",
        "/v1/chat%2Fcompletions",
        "/v1/chat%5ccompletions",
        "/v1/x/../chat/completions",
        "/v1/./chat/completions",
        "/v1//chat/completions",
        "//v1/chat/completions",
        "/v1/chat;x=1/completions",
        "/v1/chat/completions;x",
        "/v1/chat/completions#x",
        "/v1/%2e%2e/v1/chat/completions",
        "/v1/chat/completions%00",
        "/v1/chat/completions%0d%0aX:y",
        "/v1/chat\\completions",
        "/anthropic/../v1/chat/completions",
        "v1/chat/completions",
        "*",
        "/v1/chat/completions\u{1}",
        "/v1/chat/completions\0",
        "/v1/chat/comple\ttions",
    ];
    bench.assert_refused(targets.map(|target| (target, bench.altered(path, target))));
    let versions = ["HTTP/9.9", "HTTP/3.0", "HTTP/1.10", "HTCPCP/1.0", "http/1.1"];
    let with = |version| bench.altered("HTTP/1.1\r\nHost", &format!("{version}\r\nHost"));
    bench.assert_refused(versions.map(|version| (version, with(version))));
    bench.assert_well();
}

#[test]
fn an_absolute_target_is_never_dialled() {
    let bench = Bench::start();
    let trap = Provider::bearer("trap");
    let address = trap.base_url().replace("/v1", "");
    let reply = bench.ask_raw(&bench.altered("/v1/chat/completions", &format!("{address}/v1/chat/completions")));
    assert!(matches!(reply.status, 0 | 200 | 400..=499), "{}", reply.status);
    let reply = bench
        .ask_raw(&bench.altered("POST /v1/chat/completions", &format!("CONNECT {}", address.replace("http://", ""))));
    assert!(matches!(reply.status, 0 | 400..=499 | 501), "{}", reply.status);
    assert_eq!(trap.count(), 0);
    bench.assert_well();
}

#[test]
fn a_hidden_second_request_is_not_served() {
    let bench = Bench::start();
    let hidden = String::from_utf8(bench.altered("POST", "POST")).expect("text");
    // CL.TE and TE.CL: whoever believes the other framing finds a second request in the body.
    let te_cl = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: f\r\nAuthorization: {}\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{hidden}\r\n0\r\n\r\n",
        bench.flux.bearer(),
        hidden.len(),
    );
    let cl_te = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: f\r\nAuthorization: {}\r\nContent-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}",
        bench.flux.bearer(),
        5 + hidden.len(),
    );
    // A chunked body that is whole, with a length that fits, is refused all the same.
    let whole = cl_te.replace(&hidden, "");
    bench.assert_refused([("TE.CL", te_cl.into_bytes()), ("CL.TE", cl_te.into_bytes()), ("both", whole.into_bytes())]);
    bench.assert_well();
}

#[test]
fn broken_chunks_are_refused() {
    let bench = Bench::start();
    let body = ask_chat("gpt-4o-mini").to_string();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: f\r\nAuthorization: {}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
        bench.flux.bearer(),
    );
    let size = format!("{:x}", body.len());
    let bodies = [
        ("no end", format!("{size}\r\n{body}\r\n")),
        ("a size that lies", format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len() + 5)),
        ("too short a size", format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len() - 5)),
        ("no hexadecimal", format!("zz\r\n{body}\r\n0\r\n\r\n")),
        ("a negative size", format!("-{size}\r\n{body}\r\n0\r\n\r\n")),
        ("a huge size", format!("ffffffffffffffffff\r\n{body}\r\n0\r\n\r\n")),
        ("bare line feeds", format!("{size}\n{body}\n0\n\n")),
    ];
    bench.assert_refused(bodies.map(|(what, chunks)| (what, format!("{head}{chunks}").into_bytes())));
    // Tens of megabytes of chunk extensions carry no body and must not be read for ever.
    let mut conn = bench.flux.connect();
    conn.write(head.as_bytes());
    let extension = "x".repeat(1 << 20);
    let mut sent = 0;
    conn.write(b"1;");
    while sent < 80 && conn.try_write(extension.as_bytes()) {
        sent += 1;
    }
    assert!(sent < 80, "80 MB of chunk extensions were read");
    bench.assert_well();
}

#[test]
fn chunk_extensions_and_trailers_in_measure_are_read_and_dropped() {
    let bench = Bench::start();
    let body = ask_chat("gpt-4o-mini").to_string();
    let bytes = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: f\r\nAuthorization: {}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{:x};a=b\r\n{body}\r\n0\r\nX-Trailer: 1\r\n\r\n",
        bench.flux.bearer(),
        body.len(),
    );
    let reply = bench.flux.ask(bytes.as_bytes());
    assert!([200, 400].contains(&reply.status), "{}", reply.text());
    if reply.status == 200 {
        assert_eq!(bench.openai.only().headers.get("x-trailer"), None);
    }
    bench.assert_well();
}

#[test]
fn an_upgrade_is_not_passed_on() {
    let bench = Bench::start();
    let upgrades = [
        "Host: flux.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n",
        "Host: flux.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
    ];
    for upgrade in upgrades {
        // Ignored or refused; the strict provider complains if it sees any of it.
        let reply = bench.flux.ask(&bench.altered("Host: flux.test\r\n", upgrade));
        assert!(matches!(reply.status, 200 | 400..=499 | 501), "{}", reply.status);
    }
    bench.assert_well();
}

#[test]
fn duplicate_keys_that_decide_are_refused() {
    let bench = Bench::start();
    let chat = [
        "{\"model\":\"gpt-4o-mini\",\"messages\":[],\"model\":\"flux-pinned-gpt-6-2-astra\"}",
        "{\"model\":\"gpt-4o-mini\",\"messages\":[],\"mod\\u0065l\":\"flux-pinned-gpt-6-2-astra\"}",
        "{\"model\":\"gpt-4o-mini\",\"messages\":[],\"stream\":false,\"stream\":true}",
        "{\"model\":\"gpt-4o-mini\",\"messages\":[],\"stream\":true,\"stream_options\":{},\"stream_options\":{\"include_usage\":false}}",
        "{\"model\":\"gpt-4o-mini\",\"messages\":[],\"stream\":true,\"stream_options\":{\"include_usage\":true,\"include_usage\":false}}",
    ];
    for body in chat {
        let reply = bench.flux.ask(&bench.flux.chat_request(body.as_bytes()));
        assert_chat_error(&reply, 400);
    }
    assert_messages_error(
        &bench
            .flux
            .ask(&bench.flux.messages_request(b"{\"model\":\"a\",\"model\":\"b\",\"messages\":[],\"max_tokens\":1}")),
        400,
        "invalid_request_error",
    );
    assert_eq!(bench.openai.count(), 0);
    bench.assert_well();
}

#[test]
fn bodies_that_are_no_request_are_400_in_the_callers_shape() {
    let bench = Bench::start();
    let deep = format!("{{\"model\":\"gpt-4o-mini\",\"messages\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let bodies: [&[u8]; 15] = [
        b"",
        b"{",
        b"null",
        b"[]",
        b"\"text\"",
        b"{}",
        b"{\"model\":1}",
        b"{\"model\":null,\"messages\":[]}",
        b"{\"model\":\"\",\"messages\":[]}",
        b"{\"model\":[\"gpt-4o-mini\"],\"messages\":[]}",
        b"{\"model\":\"gpt-4o-mini\",\"messages\":[]",
        b"{\"model\":\"gpt-4o-mini\",\"messages\":[]} trailing",
        b"{\"model\":\"gpt-4o-mini\",\"messages\":[],\"stream\":\"yes\"}",
        b"\xff\xfe\x00",
        deep.as_bytes(),
    ];
    for body in bodies {
        let reply = bench.flux.ask(&bench.flux.chat_request(body));
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        assert!([400, 404].contains(&reply.status), "{shown}: {} {}", reply.status, reply.text());
        assert_chat_error(&reply, reply.status);
    }
    let reply = bench.flux.ask(&bench.flux.messages_request(b"{"));
    assert_messages_error(&reply, 400, "invalid_request_error");
    assert_eq!(bench.openai.count(), 0);
    bench.assert_well();
}

/// A Flux whose patience with clients is short.
fn impatient(openai: &Provider) -> Flux {
    let times = ["HEAD_MS", "BODY_MS", "DOWNSTREAM_KEEPALIVE_MS"].map(|name| format!("FLUX_TIMEOUTS__{name}"));
    times.iter().fold(Setup::with(&[openai]), |setup, name| setup.env(name, "1000")).start()
}

/// Sends a byte now and then, each in time for itself, until the connection is ended.
#[track_caller]
fn assert_drip_is_ended(conn: &mut super::http::Conn, what: &str) {
    let start = now();
    while conn.try_write(b"x") {
        assert!(start.elapsed() < WAIT_MAX, "{what}: a byte now and then holds a connection for ever");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn slow_heads_and_slow_bodies_are_ended() {
    let openai = Provider::openai();
    let flux = impatient(&openai);
    let whole = flux.chat_request(ask_chat("gpt-4o-mini").to_string().as_bytes());
    let head_bytes = whole.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
    for (what, at_once) in [("head", 1), ("body", head_bytes)] {
        let mut conn = flux.connect();
        conn.write(&whole[..at_once]);
        assert_drip_is_ended(&mut conn, what);
    }
    assert_eq!(openai.count(), 0);
    flux.chat(&ask_chat("gpt-4o-mini")).expect_status(200);
}

#[test]
fn a_slow_second_head_is_ended_too() {
    let openai = Provider::openai();
    let flux = impatient(&openai);
    let whole = flux.chat_request(ask_chat("gpt-4o-mini").to_string().as_bytes());
    let mut conn = flux.connect();
    conn.ask(&whole).expect_status(200);
    conn.write(&whole[..20]);
    assert_drip_is_ended(&mut conn, "second head");
    assert_eq!(openai.count(), 1);
}

#[test]
fn silence_after_a_few_bytes_is_ended() {
    let openai = Provider::openai();
    let flux = impatient(&openai);
    let whole = flux.chat_request(ask_chat("gpt-4o-mini").to_string().as_bytes());
    // 24 bytes are the preface of HTTP/2: fewer, and a server that looks for it may wait for ever.
    for bytes in [0, 1, 5, 23, 24, 60] {
        let mut conn = flux.connect();
        conn.write(&whole[..bytes]);
        eprintln!("{bytes} bytes");
        assert!(matches!(conn.head(), 0 | 408), "{bytes} bytes");
    }
}

#[test]
fn a_body_that_ends_early_reaches_nobody() {
    let bench = Bench::start();
    let whole = bench.flux.chat_request(ask_chat("gpt-4o-mini").to_string().as_bytes());
    bench.assert_refused([1, 10, 50].map(|missing| ("a short body", whole[..whole.len() - missing].to_vec())));
    bench.assert_well();
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let bench = Bench::start();
    bench.openai.next(Answer::json(200, &chat_body("first", &chat_usage(1, 1))));
    bench.openai.next(Answer::json(200, &chat_body("second", &chat_usage(1, 1))));
    let one = bench.flux.chat_request(ask_chat("gpt-4o-mini").to_string().as_bytes());
    let mut conn = bench.flux.connect();
    conn.write(&[one.clone(), one].concat());
    let first = conn.reply().expect_status(200);
    assert_eq!(first.json()["choices"][0]["message"]["content"], "first");
    // HTTP/1.1 clients seldom pipeline: a server may close instead, but must not mix answers up.
    if conn.head() == 200 {
        assert_eq!(conn.rest().json()["choices"][0]["message"]["content"], "second");
        return;
    }
    // Then the client must be able to send the second again, and nobody may have been asked for it before.
    assert_eq!(bench.openai.count(), 1, "the second was asked for and not answered");
    let mut conn = bench.flux.connect();
    let again = conn.ask(&bench.flux.chat_request(ask_chat("gpt-4o-mini").to_string().as_bytes())).expect_status(200);
    assert_eq!(again.json()["choices"][0]["message"]["content"], "second");
}

#[test]
fn a_huge_head_is_refused() {
    let bench = Bench::start();
    let big = format!("Host: flux.test\r\nX-Big: {}\r\n", "x".repeat(2 << 20));
    let many = "X-Many: y\r\n".repeat(5000);
    let many = format!("Host: flux.test\r\n{many}");
    let few_bytes = format!("Host: flux.test\r\n{}", "X-Many: y\r\n".repeat(300));
    let heads = [
        ("a head of two megabytes", "Host: flux.test\r\n", big),
        ("5000 headers", "Host: flux.test\r\n", many),
        ("300 headers", "Host: flux.test\r\n", few_bytes),
        ("a target of 70 KB", "/v1/chat/completions", format!("/v1/chat/completions?{}", "x".repeat(70_000))),
    ];
    for (what, from, to) in heads {
        let reply = bench.ask_raw(&bench.altered(from, &to));
        assert_eq!(reply.status, 431, "{what}: {}", reply.text());
        assert!(reply.json()["error"]["message"].as_str().expect("a message").contains("than"), "{what}");
    }
    assert_eq!(bench.openai.count(), 0);
    bench.assert_well();
}

#[test]
fn a_client_that_goes_away_at_any_point_harms_nobody() {
    let bench = Bench::start();
    let whole = bench.flux.chat_request(ask_chat("gpt-4o-mini").to_string().as_bytes());
    for bytes in (0..whole.len()).step_by(7) {
        bench.flux.connect().write(&whole[..bytes]);
    }
    let gate = Gate::default();
    bench.openai.next(Answer::json(200, &chat_body("late", &chat_usage(1, 1))).after(&gate));
    let mut conn = bench.flux.connect();
    conn.write(&whole);
    bench.openai.wait_for_requests(1);
    drop(conn);
    gate.open();
    bench.assert_well();
    wait_for("nothing in flight", || bench.flux.metric("flux_requests_in_flight", &[]).abs() < f64::EPSILON);
}

#[test]
fn requests_of_old_http_are_answered_or_refused_whole() {
    let bench = Bench::start();
    let reply = bench.ask_raw(&bench.altered("HTTP/1.1\r\nHost", "HTTP/1.0\r\nHost"));
    assert!([200, 400, 505].contains(&reply.status), "{}", reply.status);
    assert_eq!(reply.headers.get("transfer-encoding"), None, "HTTP/1.0 knows no chunks");
    let reply = bench.ask_raw(b"GET /v1/chat/completions\r\n\r\n");
    assert!(matches!(reply.status, 0 | 400..=505), "{}", reply.status);
    bench.assert_well();
}

#[test]
fn anthropic_clients_get_their_shape_on_their_paths_only() {
    let bench = Bench::start();
    let no_model = bench.flux.messages(&serde_json::json!({"messages": [], "max_tokens": 1}));
    assert_messages_error(&no_model, 400, "invalid_request_error");
    let wrong = request("POST", "/v1/messages", &[], ask_messages("x").to_string().as_bytes());
    assert_messages_error(&bench.flux.ask(&wrong), 401, "authentication_error");
}

#[test]
fn a_head_past_its_bound_is_431() {
    let flux = Setup::with(&[]).env("FLUX_LIMITS__HEADER_BYTES_MAX", "2048").start();
    let long = "a".repeat(4_000);
    let reply = flux.ask(&request("GET", "/v1/models", &[("authorization", &flux.bearer()), ("x-long", &long)], b""));
    assert_eq!(reply.status, 431);
    let short = request("GET", "/v1/models", &[("authorization", &flux.bearer())], b"");
    flux.ask(&short).expect_status(200);
}
