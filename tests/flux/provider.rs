//! A strict mock provider: does what the test says, and finds fault with every request that a provider
//! should not get: a foreign key, a client's header, a body that was touched.
//!
//! Must not know Flux: it sees what any provider on the other side of a socket sees.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;
use socket2::{Domain, SockRef, Socket, Type};

use super::answers::{self, Answer, Step};
use super::gemini;
use super::harness::{WAIT_MAX, spawn, wait_for};
use super::http::Headers;

/// How a provider knows its customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Auth {
    /// `Authorization: Bearer`, OpenAI's wire format.
    Bearer,
    /// `x-api-key`, Anthropic's.
    ApiKey,
    /// `x-goog-api-key`, Gemini's.
    XGoogApiKey,
}

/// What hosts of OpenAI's formats serve beside chat.
const OTHER_ENDPOINTS: [&str; 5] =
    ["/embeddings", "/images/generations", "/images/edits", "/audio/transcriptions", "/audio/speech"];

/// A request as it came in.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) target: String,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
    /// Which connection, counted from 0.
    pub(crate) connection: usize,
}

impl Recorded {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

type Script = dyn Fn(&Recorded) -> Answer + Send + Sync;

struct State {
    queue: VecDeque<Answer>,
    script: Arc<Script>,
    requests: Vec<Recorded>,
    /// Keys that are taken beside its own.
    more_keys: Vec<String>,
    /// What probes get, and those so far.
    probe_status: u16,
    probes: Vec<Recorded>,
    faults: Vec<String>,
    /// Connections that the peer closed while an answer was still owed.
    left: usize,
    connections: usize,
    /// Of these, those that are open.
    open: usize,
}

struct Shared {
    name: &'static str,
    key: String,
    auth: Auth,
    /// The path that a request must have; Gemini's is checked by its own rules.
    path: &'static str,
    /// The path of a request that wants to know how long a prompt is.
    count_path: &'static str,
    addr: SocketAddr,
    // Guards the record and the script: touched once a request by few threads.
    state: Mutex<State>,
    changed: Condvar,
}

/// A provider on a port of its own.
pub(crate) struct Provider(Arc<Shared>);

impl Provider {
    /// OpenAI itself.
    pub(crate) fn openai() -> Self {
        Self::start("openai", Auth::Bearer, "/v1/chat/completions")
    }

    /// OpenAI itself, asked for responses.
    pub(crate) fn openai_responses() -> Self {
        Self::start("openai", Auth::Bearer, "/v1/responses")
    }

    /// Google's Gemini API.
    pub(crate) fn google() -> Self {
        Self::start("google", Auth::XGoogApiKey, "/v1beta")
    }

    /// Anthropic.
    pub(crate) fn anthropic() -> Self {
        Self::start("anthropic", Auth::ApiKey, "/v1/messages")
    }

    /// Another provider of Anthropic's format, for a catalogue of the test's own.
    pub(crate) fn second_anthropic() -> Self {
        Self::start("anthropic-two", Auth::ApiKey, "/v1/messages")
    }

    /// The first of the pair that serves gpt-oss-120b.
    pub(crate) fn cerebras() -> Self {
        Self::start("cerebras", Auth::Bearer, "/v1/chat/completions")
    }

    /// The second of the pair.
    pub(crate) fn groq() -> Self {
        Self::start("groq", Auth::Bearer, "/openai/v1/chat/completions")
    }

    /// Any other provider of OpenAI's wire format.
    pub(crate) fn bearer(name: &'static str) -> Self {
        Self::start(name, Auth::Bearer, "/v1/chat/completions")
    }

    fn start(name: &'static str, auth: Auth, path: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("an address");
        let script: Arc<Script> = match auth {
            Auth::Bearer => Arc::new(answers::chat("Hello from the provider.", answers::chat_usage(1000, 500))),
            Auth::ApiKey => {
                let input = serde_json::json!({"input_tokens": 1000, "output_tokens": 1});
                Arc::new(answers::messages("Hello from the provider.", input, 500))
            }
            Auth::XGoogApiKey => {
                Arc::new(gemini::answering(gemini::words("Hello from the provider."), gemini::usage(1000, 500, 0)))
            }
        };
        let state = State {
            queue: VecDeque::new(),
            script,
            requests: Vec::new(),
            more_keys: Vec::new(),
            probe_status: 200,
            probes: Vec::new(),
            faults: Vec::new(),
            left: 0,
            connections: 0,
            open: 0,
        };
        let count_path = match path {
            "/v1/messages" => "/v1/messages/count_tokens",
            "/v1/responses" => "/v1/responses/input_tokens",
            other => other,
        };
        let key = format!("sk-upstream-{name}-secret");
        let shared = Arc::new(Shared {
            name,
            key,
            auth,
            path,
            count_path,
            addr,
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let served = Arc::clone(&shared);
        spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&served);
                spawn(move || Connection::new(stream, shared).serve());
            }
        });
        Self(shared)
    }

    pub(crate) fn name(&self) -> &'static str {
        self.0.name
    }

    pub(crate) fn key(&self) -> &str {
        &self.0.key
    }

    /// The base URL to configure.
    pub(crate) fn base_url(&self) -> String {
        let ends = ["/chat/completions", "/messages", "/responses"];
        let base = ends.iter().find_map(|end| self.0.path.strip_suffix(end)).unwrap_or(self.0.path);
        format!("http://{}{base}", self.0.addr)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("provider state")
    }

    /// What the next request without an answer yet gets; later ones queue up behind it.
    pub(crate) fn next(&self, answer: Answer) {
        self.state().queue.push_back(answer);
    }

    /// What every request gets once the queue is empty.
    pub(crate) fn always(&self, script: impl Fn(&Recorded) -> Answer + Send + Sync + 'static) {
        self.state().script = Arc::new(script);
    }

    /// Another key that is taken.
    pub(crate) fn take_key(&self, key: &str) {
        self.state().more_keys.push(key.to_owned());
    }

    /// What probes get from now on.
    pub(crate) fn answer_probes(&self, status: u16) {
        self.state().probe_status = status;
    }

    /// The probes so far.
    pub(crate) fn probes(&self) -> Vec<Recorded> {
        self.state().probes.clone()
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.state().requests.clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.state().requests.len()
    }

    /// Forgets the requests so far.
    pub(crate) fn forget(&self) {
        self.state().requests.clear();
    }

    /// The only request so far.
    #[track_caller]
    pub(crate) fn only(&self) -> Recorded {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "{} should have got one request", self.0.name);
        requests.into_iter().next().expect("one")
    }

    /// Waits until so many requests have come.
    #[track_caller]
    pub(crate) fn wait_for_requests(&self, count: usize) {
        wait_for(&format!("{count} requests at {}", self.0.name), || self.count() >= count);
    }

    /// Waits until so many connections were closed by Flux in the middle of an answer.
    #[track_caller]
    pub(crate) fn wait_for_left(&self, count: usize) {
        wait_for(&format!("{count} cancelled connections at {}", self.0.name), || self.state().left >= count);
    }

    /// Connections that are open.
    pub(crate) fn open_connections(&self) -> usize {
        self.state().open
    }

    /// What was wrong with the requests so far.
    pub(crate) fn faults(&self) -> Vec<String> {
        self.state().faults.clone()
    }
}

/// A provider that found fault fails the test, whatever else it looked at.
impl Drop for Provider {
    fn drop(&mut self) {
        let faults = self.faults();
        assert!(faults.is_empty() || std::thread::panicking(), "{}: {faults:#?}", self.0.name);
    }
}

/// One connection that Flux opened.
struct Connection {
    stream: TcpStream,
    shared: Arc<Shared>,
    number: usize,
    raw: Vec<u8>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Ok(mut state) = self.shared.state.lock() {
            state.open -= 1;
        }
    }
}

/// Whether a connection goes on after an answer.
#[derive(PartialEq, Eq)]
enum After {
    Next,
    End,
}

impl Connection {
    fn new(stream: TcpStream, shared: Arc<Shared>) -> Self {
        stream.set_nodelay(true).expect("nodelay");
        let number = {
            let mut state = shared.state.lock().expect("provider state");
            state.connections += 1;
            state.open += 1;
            state.connections - 1
        };
        Self { stream, shared, number, raw: Vec::new() }
    }

    fn serve(mut self) {
        while let Some(request) = self.read_request() {
            if request.target.starts_with("GET ") {
                if self.answer_probe(request) == After::End {
                    return;
                }
                continue;
            }
            let more_keys = self.shared.state.lock().expect("provider state").more_keys.clone();
            let faults = faults_of(&request, &self.shared, &more_keys);
            let answer = {
                let mut state = self.shared.state.lock().expect("provider state");
                state.faults.extend(faults);
                state.requests.push(request.clone());
                let queued = state.queue.pop_front();
                let script = Arc::clone(&state.script);
                drop(state);
                self.shared.changed.notify_all();
                queued.unwrap_or_else(|| script(&request))
            };
            if self.carry_out(&answer) == After::End {
                return;
            }
        }
    }

    fn answer_probe(&mut self, probe: Recorded) -> After {
        let status = {
            let mut state = self.shared.state.lock().expect("provider state");
            if probe.headers.get("authorization") != Some(&format!("Bearer {}", self.shared.key)) {
                state.faults.push(format!("a probe with {:?}", probe.headers.get("authorization")));
            }
            state.probes.push(probe);
            state.probe_status
        };
        self.carry_out(&Answer::json(status, &serde_json::json!({"data": []})))
    }

    fn read_request(&mut self) -> Option<Recorded> {
        loop {
            if let Some((request, body_start)) = self.parse() {
                let length = request.headers.get("content-length").map_or(0, |v| v.parse().expect("a length"));
                while self.raw.len() < body_start + length {
                    self.fill()?;
                }
                let body = self.raw[body_start..body_start + length].to_vec();
                self.raw.drain(..body_start + length);
                return Some(Recorded { body, ..request });
            }
            self.fill()?;
        }
    }

    fn parse(&self) -> Option<(Recorded, usize)> {
        let mut slots = [httparse::EMPTY_HEADER; 100];
        let mut parsed = httparse::Request::new(&mut slots);
        let httparse::Status::Complete(used) = parsed.parse(&self.raw).expect("a well-formed request") else {
            return None;
        };
        let request = Recorded {
            target: format!("{} {}", parsed.method.expect("a method"), parsed.path.expect("a target")),
            headers: Headers::from_parsed(parsed.headers),
            body: Vec::new(),
            connection: self.number,
        };
        Some((request, used))
    }

    fn fill(&mut self) -> Option<()> {
        let mut buffer = [0; 16 << 10];
        let n = self.stream.read(&mut buffer).ok().filter(|n| *n > 0)?;
        self.raw.extend_from_slice(&buffer[..n]);
        Some(())
    }

    fn carry_out(&mut self, answer: &Answer) -> After {
        for step in &answer.0 {
            let is_peer_gone = match step {
                Step::Send(bytes) => self.stream.write_all(bytes).is_err(),
                Step::Pause(time) => self.is_peer_gone_within(*time),
                Step::Wait(gate) => self.is_peer_gone_before(|| gate.is_open_within(Duration::from_millis(2))),
                Step::Open(gate) => {
                    gate.open();
                    false
                }
                Step::Hang => self.is_peer_gone_before(|| false),
                Step::Reset => {
                    drop(SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)));
                    return After::End;
                }
                Step::Close => return After::End,
            };
            if is_peer_gone {
                self.shared.state.lock().expect("provider state").left += 1;
                return After::End;
            }
        }
        After::Next
    }

    /// Waits for a condition, unless the peer leaves first. Bounded by the harness's own patience.
    fn is_peer_gone_before(&self, is_over: impl Fn() -> bool) -> bool {
        for _ in 0..WAIT_MAX.as_millis() {
            if is_over() {
                return false;
            }
            if self.is_peer_gone_within(Duration::from_millis(2)) {
                return true;
            }
        }
        false
    }

    fn is_peer_gone_within(&self, time: Duration) -> bool {
        drop(self.stream.set_read_timeout(Some(time)));
        let seen = self.stream.peek(&mut [0]);
        drop(self.stream.set_read_timeout(None));
        match seen {
            Ok(n) => n == 0,
            Err(e) => !matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted),
        }
    }
}

/// What any provider may get besides its credential and the headers of its format.
const ALLOWED_HEADERS: [&str; 9] = [
    "host",
    "content-type",
    "content-length",
    "accept",
    "accept-encoding",
    "user-agent",
    "connection",
    "traceparent",
    "tracestate",
];

/// What is wrong with a request.
fn faults_of(request: &Recorded, provider: &Shared, more_keys: &[String]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut check = |is_right: bool, what: String| {
        if !is_right {
            faults.push(format!("{} got {what}", provider.name));
        }
    };
    let headers = &request.headers;
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let base = provider.path.trim_end_matches("/chat/completions");
    let other = path.strip_prefix("POST ").and_then(|path| path.strip_prefix(base));
    let is_other = provider.auth == Auth::Bearer && other.is_some_and(|path| OTHER_ENDPOINTS.contains(&path));
    // xAI takes the pictures to be changed in JSON.
    let forms = if provider.name == "xai" {
        &["/audio/transcriptions"][..]
    } else {
        &["/images/edits", "/audio/transcriptions"]
    };
    let is_form = forms.iter().any(|form| path.ends_with(form));
    let bearer = format!("Bearer {}", provider.key);
    let (own, expected) = match provider.auth {
        Auth::Bearer => ("authorization", bearer.as_str()),
        Auth::ApiKey => ("x-api-key", provider.key.as_str()),
        Auth::XGoogApiKey => ("x-goog-api-key", provider.key.as_str()),
    };
    if provider.auth == Auth::XGoogApiKey {
        for fault in gemini::faults_of(request, &provider.key) {
            check(false, fault);
        }
    } else {
        let is_known =
            is_other || [provider.path, provider.count_path].iter().any(|known| path == format!("POST {known}"));
        let is_query_known = query.is_empty() || (provider.auth == Auth::ApiKey && query == "beta=true");
        check(is_known && is_query_known, format!("the wrong target {}", request.target));
        let body: Value = request.json();
        let model = body["model"].as_str().unwrap_or_default();
        let is_named = is_form || (!model.is_empty() && !model.starts_with("flux-"));
        check(is_named, format!("the model name {model:?}"));
        check(!is_form || !request.text().contains("flux-"), "a name of ours in a form".to_owned());
    }
    let is_other_key = more_keys.iter().any(|key| headers.get(own) == Some(&format!("Bearer {key}")));
    check(headers.get(own) == Some(expected) || is_other_key, format!("{own}: {:?}", headers.get(own)));
    let of_format: &[&str] = match provider.auth {
        Auth::Bearer => &["openai-beta"],
        Auth::ApiKey => &["anthropic-version", "anthropic-beta"],
        Auth::XGoogApiKey => &[],
    };
    if provider.auth == Auth::ApiKey {
        check(headers.get("anthropic-version").is_some(), "no anthropic-version".to_owned());
    }
    for (name, value) in &headers.0 {
        let is_allowed = name == own || ALLOWED_HEADERS.contains(&name.as_str()) || of_format.contains(&name.as_str());
        check(is_allowed, format!("{name}: {value}"));
        check(!value.contains("sk-flux") && !value.contains("cf_test"), format!("a client's key in {name}: {value}"));
        check(headers.count(name) == 1, format!("{name} twice"));
    }
    let connection = headers.get("connection").unwrap_or("keep-alive");
    check(connection.eq_ignore_ascii_case("keep-alive"), format!("connection: {connection}"));
    check(
        headers.get("accept-encoding") == Some("identity"),
        format!("accept-encoding {:?}", headers.get("accept-encoding")),
    );
    check(headers.get("host") == Some(&provider.addr.to_string()), format!("host {:?}", headers.get("host")));
    check(headers.get("content-length").is_some(), "no content-length".to_owned());
    let media_type = headers.get("content-type").unwrap_or_default();
    let expected = if is_form { "multipart/form-data; boundary=" } else { "application/json" };
    check(media_type.starts_with(expected), format!("content-type {media_type}"));
    faults
}

/// A port that refuses connections for as long as the socket is held.
pub(crate) fn refusing_port() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().expect("an address").into()).expect("a port");
    let addr = socket.local_addr().expect("an address").as_socket().expect("an IP address");
    (socket, addr)
}

/// A port that takes no more connections: its backlog is full, so that connecting times out.
pub(crate) fn deaf_port() -> (Socket, Vec<TcpStream>, SocketAddr) {
    let (socket, addr) = refusing_port();
    socket.listen(0).expect("listens");
    let mut held = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&addr, Duration::from_millis(200)) {
        held.push(stream);
    }
    (socket, held, addr)
}
