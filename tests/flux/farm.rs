//! A farm of providers on real sockets, each of which goes wrong in its own way: what the client sees, how many attempts
//! were made, what is charged, and what is thought of the provider afterwards.
//!
//! Must not know how a fault is found out. Every fault is met twice: with a healthy provider behind it, and alone.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::answers::{self, Answer, DONE, PROVIDER_WORDS, Step, chat_body, chat_event, chat_events, chat_usage};
use super::config::{copy_of_conf, edit};
use super::harness::{Flux, Setup, ask_chat, now, spawn};
use super::http::{Conn, Reply, request};
use super::names::{self, Names};
use super::passthrough::{assert_chat_error, assert_clean, assert_tells_nothing};
use super::provider::{Provider, deaf_port, refusing_port};
use super::{sse, tls};

/// Whoever answers where a fault is passed over.
const WELL: &str = "farm-well";
const WELL_WORDS: &str = "Hello from the provider.";
/// What its answer costs: 1000 tokens at 1 USD and 500 at 2 USD for a million.
const WELL_NANO: i64 = 2_000_000;
/// Time-outs that make silence a fault soon, and leave a healthy provider time on a busy machine.
const SHORT: [(&str, &str); 3] = [
    ("FLUX_TIMEOUTS__CONNECT_MS", "900"),
    ("FLUX_TIMEOUTS__FIRST_BYTE_MS", "1500"),
    ("FLUX_TIMEOUTS__IDLE_MS", "1500"),
];
/// From the first request to the last answer: a few time-outs, not one for each case.
const ALL_MAX: Duration = Duration::from_secs(25);

/// What a client sees, with the healthy provider behind and alone.
#[derive(Clone, Copy)]
enum Seen {
    /// The healthy one's answer after two attempts; alone 503. Nothing of it is charged.
    PassedOver,
    /// The same, and the client alone is told to wait for so many seconds at least.
    PassedOverFor(u64),
    /// This status after one attempt, whoever stands behind: the fault is the client's.
    Refused(u16),
    /// What had come, then an error event; charged with nothing.
    CutShort,
    /// The provider's own answer: it was not wrong at all.
    Whole,
}

/// What a provider does.
enum Fault {
    Answers(Answer),
    /// It is not there: its base URL.
    IsAt(String),
}

struct Case {
    name: &'static str,
    is_streamed: bool,
    fault: Fault,
    seen: Seen,
    /// The breaker of the model afterwards, and the state of the provider.
    state: (&'static str, &'static str),
}

/// The breaker opens at the first fault of the provider.
const ILL: (&str, &str) = ("open", "well");
const WELL_STILL: (&str, &str) = ("closed", "well");

fn case(name: &'static str, fault: Fault, seen: Seen, state: (&'static str, &'static str)) -> Case {
    Case { name, is_streamed: false, fault, seen, state }
}

fn streamed(name: &'static str, answer: Answer, seen: Seen, state: (&'static str, &'static str)) -> Case {
    Case { name, is_streamed: true, fault: Fault::Answers(answer), seen, state }
}

fn ill(name: &'static str, steps: Vec<Step>) -> Case {
    case(name, Fault::Answers(Answer(steps)), Seen::PassedOver, ILL)
}

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

fn whole() -> Vec<u8> {
    chat_body("Here I am.", &chat_usage(100, 50)).to_string().into_bytes()
}

/// A head that promises so many bytes more than the body has.
fn promising(more: isize, headers: &[(&str, &str)]) -> Vec<u8> {
    let bytes = whole().len().checked_add_signed(more).expect("a length");
    answers::head(200, headers, &format!("content-length: {bytes}"))
}

fn send(bytes: &[u8]) -> Step {
    Step::Send(bytes.to_vec())
}

/// Each byte group on its own, a little later than the one before.
pub(super) fn dripping(bytes: &[u8], parts: usize) -> Vec<Step> {
    let pause = Step::Pause(Duration::from_millis(40));
    bytes.chunks(bytes.len().div_ceil(parts)).flat_map(|part| [send(part), pause.clone()]).collect()
}

fn on_the_way() -> Vec<Case> {
    let (head, body) = (promising(0, &JSON), whole());
    let half = &body[..body.len() / 2];
    vec![
        ill("reset-at-once", vec![Step::Reset]),
        ill("close-at-once", vec![Step::Close]),
        ill("hang-at-once", vec![Step::Hang]),
        ill("reset-in-head", vec![send(&head[..40]), Step::Reset]),
        ill("hang-in-head", vec![send(&head[..40]), Step::Hang]),
        ill("hang-after-head", vec![send(&head), Step::Hang]),
        ill("reset-after-head", vec![send(&head), Step::Reset]),
        ill("hang-in-body", vec![send(&head), send(half), Step::Hang]),
        ill("reset-in-body", vec![send(&head), send(half), Step::Reset]),
        ill("garbage", vec![send(b"\x16\x03\x01\x02\x00 no http at all\r\n\r\n"), Step::Close]),
        ill("garbage-of-text", vec![send(b"SSH-2.0-OpenSSH_9.9\r\n"), Step::Close]),
        ill("length-too-long", vec![send(&promising(10, &JSON)), send(&body), Step::Close]),
        ill("length-too-long-open", vec![send(&promising(10, &JSON)), send(&body), Step::Hang]),
        ill("length-too-short", vec![send(&promising(-10, &JSON)), send(&body), Step::Close]),
        case(
            "slow-head",
            Fault::Answers(Answer([dripping(&head, 5), vec![send(&body)]].concat())),
            Seen::Whole,
            WELL_STILL,
        ),
        case(
            "slow-body",
            Fault::Answers(Answer([vec![send(&head)], dripping(&body, 12)].concat())),
            Seen::Whole,
            WELL_STILL,
        ),
    ]
}

fn in_words() -> Vec<Case> {
    let (body, cut) = (whole(), answers::gzip(&whole()));
    let packed = [("content-type", "application/json"), ("content-encoding", "gzip")];
    let garbage = |bytes: &[u8]| Fault::Answers(Answer::bytes(200, &JSON, bytes));
    vec![
        case("no-json", garbage(b"<html>It works!</html>"), Seen::PassedOver, ILL),
        case("half-json", garbage(&body[..body.len() / 2]), Seen::PassedOver, ILL),
        case("no-bytes", garbage(b""), Seen::PassedOver, ILL),
        case("other-json", garbage(b"[1,2,3]"), Seen::PassedOver, ILL),
        case("cut-gzip", Fault::Answers(Answer::bytes(200, &packed, &cut[..cut.len() / 2])), Seen::PassedOver, ILL),
    ]
}

/// A date so many seconds from now, as `retry-after` has it.
fn date_in(seconds: u64) -> String {
    let mut date = Command::new("date");
    date.env("LC_ALL", "C").args(["-u", "-d", &format!("+{seconds} seconds"), "+%a, %d %b %Y %H:%M:%S GMT"]);
    String::from_utf8(date.output().expect("date").stdout).expect("a date").trim().to_owned()
}

fn by_status() -> Vec<Case> {
    let failing = |name, status| case(name, Fault::Answers(Answer::failure(status)), Seen::PassedOver, ILL);
    let told = |status, wait: &str| {
        let body = json!({"error": {"message": PROVIDER_WORDS, "type": "requests"}}).to_string();
        Fault::Answers(Answer::bytes(status, &[JSON[0], ("retry-after", wait)], body.as_bytes()))
    };
    let mistake = |name, status| {
        let body = json!({"error": {"message": "your mistake", "type": "invalid_request_error"}});
        case(name, Fault::Answers(Answer::json(status, &body)), Seen::Refused(status), WELL_STILL)
    };
    let refused_key = |name, status| {
        case(name, Fault::Answers(Answer::failure(status)), Seen::PassedOver, ("closed", "misconfigured"))
    };
    vec![
        failing("status-408", 408),
        failing("status-409", 409),
        failing("status-498", 498),
        failing("status-500", 500),
        failing("status-502", 502),
        failing("status-503", 503),
        failing("status-504", 504),
        failing("status-529", 529),
        mistake("status-400", 400),
        mistake("status-413", 413),
        mistake("status-422", 422),
        refused_key("status-401", 401),
        case("limit", Fault::Answers(Answer::failure(429)), Seen::PassedOver, ("closed", "resting")),
        case("limit-in-seconds", told(429, "17"), Seen::PassedOverFor(17), ("closed", "resting")),
        case("limit-until-a-date", told(429, &date_in(40)), Seen::PassedOverFor(20), ("closed", "resting")),
        case("ill-for-seconds", told(503, "17"), Seen::PassedOverFor(17), ILL),
        case("ill-until-a-date", told(529, &date_in(40)), Seen::PassedOverFor(20), ILL),
    ]
}

fn in_streams() -> Vec<Case> {
    let error = json!({"error": {"message": PROVIDER_WORDS, "type": "server_error", "code": "internal_code"}});
    let error = send(format!("data: {error}\n\n").as_bytes());
    let role = send(chat_event(&json!({"role": "assistant", "content": ""}), None).as_bytes());
    let content: Vec<Step> = chat_events(&["Once ", "upon "])[..3].iter().map(|event| send(event.as_bytes())).collect();
    let after = |end: Vec<Step>| Answer::sse_steps([content.clone(), end].concat());
    let before = |steps: Vec<Step>| Answer::sse_steps(steps);
    let all = answers::chat_stream(&["Here ", "I ", "am."], &chat_usage(100, 50));
    let packed =
        answers::gzip(answers::chat_stream(&["Once ", "upon ", "a time."], &chat_usage(100, 50)).concat().as_bytes());
    let upon = memchr::memmem::find(&packed, b"upon ").expect("a word");
    let cut_at = |end: usize| {
        Answer::bytes(200, &[("content-type", "text/event-stream"), ("content-encoding", "gzip")], &packed[..end])
    };
    vec![
        streamed("stream-error-first", before(vec![error.clone(), send(DONE.as_bytes())]), Seen::PassedOver, ILL),
        streamed("stream-error-second", before(vec![role.clone(), error.clone()]), Seen::PassedOver, ILL),
        streamed("stream-cut-before-content", before(vec![role.clone(), Step::Reset]), Seen::PassedOver, ILL),
        streamed("stream-hang-before-content", before(vec![role, Step::Hang]), Seen::PassedOver, ILL),
        streamed("stream-of-nothing", Answer::sse(&[]), Seen::PassedOver, ILL),
        streamed("stream-error-in-the-middle", after(vec![error]), Seen::CutShort, ILL),
        streamed("stream-reset-in-the-middle", after(vec![Step::Reset]), Seen::CutShort, ILL),
        streamed("stream-close-in-the-middle", after(vec![Step::Close]), Seen::CutShort, ILL),
        streamed("stream-hang-in-the-middle", after(vec![Step::Hang]), Seen::CutShort, ILL),
        streamed("stream-cut-gzip-before-content", cut_at(40), Seen::PassedOver, ILL),
        // In one piece, and that is unpacked whole or not at all.
        streamed("stream-cut-gzip-after-content", cut_at(upon + 250), Seen::PassedOver, ILL),
        streamed("stream-that-drips", before(dripping(all.concat().as_bytes(), 20)), Seen::Whole, WELL_STILL),
    ]
}

/// Those who are not there at all; what holds the ports of some of them comes along.
fn absent() -> (Vec<Case>, impl Sized) {
    let (refusing, deaf, plain) = (refusing_port(), deaf_port(), Provider::bearer("plain"));
    // Nobody accepts what the system has, so that no word of TLS is answered.
    let mute = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mute_at = mute.local_addr().expect("an address");
    let at = |name, url: String| case(name, Fault::IsAt(url), Seen::PassedOver, ILL);
    // Flux trusts the first, which is no authority of its own certificate, and what it has signed.
    let self_signed = TlsServer::start("cert.pem", "key.pem");
    let [signed, of_another] =
        ["signed.pem", "signed-for-another.pem"].map(|certificate| TlsServer::start(certificate, "signed-key.pem"));
    let cases = vec![
        at("refuses", format!("http://{}/v1", refusing.1)),
        at("deaf", format!("http://{}/v1", deaf.2)),
        at("no-such-name", "https://no-such-host.invalid/v1".to_owned()),
        at("name-that-hangs", names::hanging_url("farm")),
        at("tls-that-hangs", format!("https://{mute_at}/v1")),
        at("no-tls", plain.base_url().replacen("http:", "https:", 1)),
        at("tls-self-signed", self_signed.url()),
        at("tls-of-another-name", of_another.url()),
        // At the second of two addresses.
        case("tls-of-a-private-ca", Fault::IsAt(signed.url()), Seen::Whole, WELL_STILL),
    ];
    (cases, (refusing, deaf, mute, plain, self_signed, signed, of_another))
}

/// A server that speaks TLS and answers well; Python is its TLS, since the suite has none of its own.
struct TlsServer {
    child: std::process::Child,
    port: u16,
}

impl TlsServer {
    /// With a certificate and its key out of `tests/flux/tls`.
    fn start(certificate: &str, key: &str) -> Self {
        const SERVER: &str = r#"
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
answer = sys.argv[3].encode()
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    raw, _ = listener.accept()
    try:
        with context.wrap_socket(raw, server_side=True) as tls:
            asked = b""
            while not asked.endswith(b"}"):
                more = tls.recv(65536)
                if not more:
                    break
                asked += more
            else:
                tls.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n"
                            b"content-length: %d\r\n\r\n%s" % (len(answer), answer))
    except OSError:
        pass
"#;
        let file = |name| tls::folder().join(name);
        let mut child = Command::new("python3")
            .args(["-c", SERVER])
            .args([file(certificate), file(key)])
            .arg(String::from_utf8(whole()).expect("a text"))
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("python3");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("stdout");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).expect("a port");
        Self { child, port: line.trim().parse().expect("a port") }
    }

    fn url(&self) -> String {
        format!("https://localhost:{}/v1", self.port)
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What is passed over where somebody healthy stands behind, of those who are there and name no time to stay away for.
pub(super) fn healable(is_streamed: bool) -> Vec<Answer> {
    let on_the_way = on_the_way();
    let cases = if is_streamed {
        // A whole answer of JSON is none to a client that streams, so what is wrong in such a body is left out.
        let early = on_the_way.into_iter().filter(|case| EARLY.contains(&case.name));
        in_streams().into_iter().chain(by_status()).chain(early).collect::<Vec<_>>()
    } else {
        on_the_way.into_iter().chain(in_words()).chain(by_status()).collect()
    };
    answers_of(cases, |seen| matches!(seen, Seen::PassedOver))
}

/// Of [`on_the_way`], what is wrong before a body begins.
const EARLY: [&str; 6] = ["reset-at-once", "close-at-once", "hang-at-once", "reset-in-head", "hang-in-head", "garbage"];

/// Streams that go wrong after their content has begun.
pub(super) fn cut_short() -> Vec<Answer> {
    answers_of(in_streams(), |seen| matches!(seen, Seen::CutShort))
}

fn answers_of(cases: Vec<Case>, is_wanted: impl Fn(Seen) -> bool) -> Vec<Answer> {
    let wanted = cases.into_iter().filter(|case| is_wanted(case.seen));
    let answer = |case: Case| match case.fault {
        Fault::Answers(answer) => Some(answer),
        Fault::IsAt(_) => None,
    };
    wanted.filter_map(answer).collect()
}

/// A name that lives as long as the test.
pub(super) fn kept(name: String) -> &'static str {
    Box::leak(name.into_boxed_str())
}

/// A pin for each case, with the healthy provider behind it, and one without.
fn conf_of(cases: &[Case]) -> TempDir {
    let of_case = |case: &Case| {
        let (name, alone) = (case.name.to_owned(), format!("{}-alone", case.name));
        [(name.clone(), vec![name, WELL.to_owned()]), (alone.clone(), vec![alone])]
    };
    let pins: Vec<(String, Vec<String>)> = cases.iter().flat_map(of_case).collect();
    conf_with(&pins, &[])
}

/// A pin for each chain of providers, each of which has the one model; `probed` are those that are probed.
pub(super) fn conf_with(chains: &[(String, Vec<String>)], probed: &[String]) -> TempDir {
    let dir = copy_of_conf();
    let (mut providers, mut models, mut pins) = (String::new(), String::new(), String::new());
    let names: BTreeSet<&String> = chains.iter().flat_map(|(_, chain)| chain).collect();
    for name in names {
        let probe = if probed.contains(name) { "probe = \"/models\"\n" } else { "" };
        let provider = format!(
            "[{name}]\nname = \"{name}\"\nbase_url = \"http://127.0.0.1:1/v1\"\nauth = \"bearer\"\napi_key_env = []\n\
             {probe}stream_usage = \"stream_options\"\nformats.openai-chat = \"/chat/completions\"\n\n"
        );
        let model = format!(
            "[\"{name}/m\"]\nmodel = \"m\"\ncanonical = \"farm-m\"\ndisplay_name = \"M\"\ndeveloper = \"F\"\nkind = \"chat\"\n\
             status = \"active\"\nreleased = \"2026-10-01\"\nformats = [\"openai-chat\"]\ncontext_tokens = 100000\n\
             output_tokens_max = 1000\ntokenizer_factor = \"1.00\"\ninput = [\"text\"]\noutput = [\"text\"]\n\
             capabilities = {{ streaming = true }}\n[\"{name}/m\".price]\nas_of = \"2026-11-22\"\n\
             rates = {{ input = \"1\", output = \"2\" }}\n\n"
        );
        providers.push_str(&provider);
        models.push_str(&model);
    }
    for (pin, chain) in chains {
        let targets: Vec<String> = chain.iter().map(|name| format!("\"{name}/m\"")).collect();
        writeln!(pins, "flux-pinned-{pin} = [{}]", targets.join(", ")).expect("a line");
    }
    edit(dir.path(), "providers.toml", "[deepseek]\n", &format!("{providers}[deepseek]\n"));
    edit(dir.path(), "models.toml", "[\"openai/gpt-6.2-astra\"]\n", &format!("{models}[\"openai/gpt-6.2-astra\"]\n"));
    edit(dir.path(), "lanes.toml", "flux-pinned-gpt-oss-20b =", &format!("{pins}flux-pinned-gpt-oss-20b ="));
    dir
}

/// The farm at work: its providers, by name.
struct Farm {
    flux: Flux,
    _providers: Vec<Provider>,
    _names: Names,
}

impl Farm {
    fn start(cases: &[Case]) -> Self {
        let mut providers = vec![Provider::bearer(WELL)];
        let mut absent = Vec::new();
        for case in cases {
            for name in [case.name.to_owned(), format!("{}-alone", case.name)] {
                match &case.fault {
                    Fault::Answers(answer) => {
                        let provider = Provider::bearer(kept(name));
                        let answer = answer.clone();
                        provider.always(move |_| answer.clone());
                        providers.push(provider);
                    }
                    Fault::IsAt(url) => absent.push((name, url.clone())),
                }
            }
        }
        let setup = Setup::with(&providers.iter().collect::<Vec<_>>()).holding(conf_of(cases));
        let setup = absent.iter().fold(setup, |setup, (name, url)| setup.provider(name, url));
        let setup = SHORT.iter().fold(setup, |setup, (name, value)| setup.env(name, value));
        let names = Names::new();
        let flux = names
            .asked_by(setup)
            // An authority of our own, as a provider in one's own house may have one.
            .env("SSL_CERT_FILE", &tls::folder().join("cert.pem").to_string_lossy())
            .env("FLUX_HEALTH__PASSES_OVER", "true")
            .env("FLUX_HEALTH__ERRORS_IN_A_ROW", "1")
            .env("FLUX_HEALTH__COOLDOWN_MS", "60000")
            .env("FLUX_HEALTH__KEY_REST_MS", "60000")
            .start();
        Self { flux, _providers: providers, _names: names }
    }

    fn ask(&self, name: &str, is_streamed: bool) -> impl FnOnce() -> Reply + Send + 'static {
        let mut body = ask_chat(&format!("flux-pinned-{name}"));
        if is_streamed {
            body["stream"] = true.into();
            body["stream_options"] = json!({"include_usage": true});
        }
        let (addr, asked) = (self.flux.addr, self.flux.chat_request(body.to_string().as_bytes()));
        move || Conn::open(addr).ask(&asked)
    }
}

/// A reply whose words and attempts are those of an answer.
#[track_caller]
fn assert_answer(case: &Case, reply: &Reply, provider: &str, attempts: &str, words: &str) {
    let name = case.name;
    assert_eq!(reply.status, 200, "{name}: {}", reply.text());
    let who = (reply.header("x-flux-provider"), reply.header("x-flux-attempts"));
    assert_eq!(who, (provider, attempts), "{name}");
    let text = if case.is_streamed {
        sse::chat_text(&reply.body)
    } else {
        reply.json()["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(text, words, "{name}: {}", reply.text());
    assert!(reply.is_complete, "{name}: {}", reply.text());
    assert_clean(reply);
}

/// What the client saw, with the healthy provider behind and alone.
#[track_caller]
fn assert_seen(case: &Case, replies: &[Reply; 2]) {
    let name = case.name;
    let [backed, alone] = replies;
    match case.seen {
        Seen::PassedOver | Seen::PassedOverFor(_) => {
            assert_answer(case, backed, WELL, "2", WELL_WORDS);
            assert_chat_error(alone, 503);
            assert_eq!(alone.header("x-flux-attempts"), "1", "{name}");
            assert_tells_nothing(alone);
            if let Seen::PassedOverFor(least) = case.seen {
                let wait: u64 = alone.header("retry-after").parse().expect("seconds");
                assert!((least..=41).contains(&wait), "{name}: {wait}");
            }
        }
        Seen::Refused(status) => {
            for reply in replies {
                assert_chat_error(reply, status);
                assert_eq!(reply.header("x-flux-attempts"), "1", "{name}");
            }
        }
        Seen::CutShort => {
            for reply in replies {
                assert_eq!((reply.status, reply.header("x-flux-attempts")), (200, "1"), "{name}");
                let last = sse::events(&reply.body).pop().expect("events");
                assert!(last.json()["error"]["message"].is_string(), "{name}: {}", reply.text());
                assert_eq!(reply.text().matches("upon ").count(), 1, "{name}");
                assert!(!reply.text().contains("[DONE]"), "{name}");
                assert_tells_nothing(reply);
            }
        }
        Seen::Whole => {
            assert_answer(case, backed, name, "1", "Here I am.");
            assert_answer(case, alone, &format!("{name}-alone"), "1", "Here I am.");
        }
    }
}

/// What the two requests of a case may cost: of the one that is backed, and of the other. `None` for no row.
fn charges(seen: Seen) -> [Option<(i64, &'static str)>; 2] {
    match seen {
        Seen::PassedOver | Seen::PassedOverFor(_) => [Some((WELL_NANO, "done")), None],
        Seen::Refused(_) => [None, None],
        Seen::CutShort => [Some((0, "cut")); 2],
        // 100 tokens of the prompt and 50 of the answer.
        Seen::Whole => [Some((200_000, "done")); 2],
    }
}

fn of_status(status: &Value, name: &str) -> (String, String) {
    let providers = status["providers"].as_array().expect("providers");
    let provider = providers.iter().find(|one| one["id"] == name).unwrap_or_else(|| panic!("no {name} in {status}"));
    let text = |value: &Value| value.as_str().expect("a state").to_owned();
    (text(&provider["models"][0]["state"]), text(&provider["state"]))
}

fn check(cases: Vec<Case>) {
    let cases = Arc::new(cases);
    let farm = Farm::start(&cases);
    let began = now();
    let asked: Vec<_> = cases
        .iter()
        .map(|case| {
            let alone = format!("{}-alone", case.name);
            [case.name, &alone].map(|name| spawn(farm.ask(name, case.is_streamed)))
        })
        .collect();
    let replies: Vec<[Reply; 2]> =
        asked.into_iter().map(|both| both.map(|one| one.join().expect("a client"))).collect();
    assert!(began.elapsed() < ALL_MAX, "{:?}", began.elapsed());
    for (case, replies) in cases.iter().zip(&replies) {
        assert_seen(case, replies);
    }
    let expected: Vec<_> = cases.iter().map(|case| charges(case.seen)).collect();
    let rows = farm.flux.wait_for_rows(expected.iter().flatten().flatten().count());
    for ((case, replies), expected) in cases.iter().zip(&replies).zip(&expected) {
        for (reply, expected) in replies.iter().zip(expected) {
            let id = reply.header("x-flux-request-id");
            let row = rows.iter().find(|row| row.request_id() == id);
            let charged = row.map(|row| (row.amount_nano(), row.text("ending")));
            assert_eq!(charged, *expected, "{}: {row:?}", case.name);
        }
    }
    // The status is made once a second.
    std::thread::sleep(Duration::from_millis(1_050));
    let status = farm.flux.ask(&request("GET", "/v1/status", &[], b"")).expect_status(200).json();
    for case in cases.iter() {
        for name in [case.name.to_owned(), format!("{}-alone", case.name)] {
            let (breaker, provider) = of_status(&status, &name);
            assert_eq!((&*breaker, &*provider), case.state, "{name}: {status:#}");
        }
    }
    assert_eq!(of_status(&status, WELL), ("closed".to_owned(), "well".to_owned()));
    assert_eq!(farm.flux.run_json(&["reconcile", "--json"])["ok"], true);
}

#[test]
fn faults_on_the_way() {
    check(on_the_way());
}

#[test]
fn faults_in_words() {
    check(in_words());
}

#[test]
fn faults_by_status() {
    check(by_status());
}

#[test]
fn faults_in_streams() {
    check(in_streams());
}

#[test]
fn providers_that_are_not_there() {
    let (cases, _held) = absent();
    check(cases);
}
