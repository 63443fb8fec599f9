//! Starts `flux serve` as an operator does and takes it away again, whatever happens.
//!
//! Must not know Flux's types: it speaks to the binary by arguments, environment, files and signals.

use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::http::{Conn, Reply, request};
use super::ledger::{self, Row};
use super::provider::Provider;

/// How long the harness waits for anything: a bound for failures, never a measure.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(30);

#[expect(clippy::disallowed_methods, reason = "the harness is outside Flux and measures real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "mock providers and load clients are threads of the test")]
pub(crate) fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> std::thread::JoinHandle<T> {
    std::thread::spawn(work)
}

/// Polls until the condition holds; fails the test when it does not in time.
#[track_caller]
pub(crate) fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let start = now();
    while !holds() {
        assert!(start.elapsed() < WAIT_MAX, "gave up waiting for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The repository's own configuration.
pub(crate) fn conf_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conf")
}

/// How Flux is to be started.
pub(crate) struct Setup {
    env: Vec<(String, String)>,
    config: PathBuf,
    /// A write past a bound of its size fails, and does not end the process.
    is_told_of_large_files: bool,
    /// A configuration that lives as long as Flux does.
    _held: Option<TempDir>,
    data: Arc<TempDir>,
}

impl Setup {
    /// With the given providers and no others.
    pub(crate) fn with(providers: &[&Provider]) -> Self {
        let data = Arc::new(tempfile::tempdir().expect("a data folder"));
        // Polling with a key that does not work yet must not count as a flood; what tests that sets its own bound.
        // Nor must one test's failing answers make the next attempt go elsewhere: tests of health turn that on.
        let env = [
            ("FLUX_LIMITS__UNKNOWN_KEYS_PER_SECOND", "1000000"),
            ("FLUX_HEALTH__PASSES_OVER", "false"),
            ("FLUX_HEALTH__RETRIES_MAX", "0"),
            ("FLUX_HEALTH__PROBE_INTERVAL_MS", "0"),
        ];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let setup = Self { env, config: conf_dir(), is_told_of_large_files: false, _held: None, data };
        providers.iter().fold(setup, |setup, provider| setup.provider(provider.name(), &provider.base_url()))
    }

    /// A provider by its base URL, with the key that its mock expects.
    pub(crate) fn provider(self, name: &str, base_url: &str) -> Self {
        let section = format!("FLUX_PROVIDERS__{}", name.to_uppercase().replace('-', "_"));
        self.env(&format!("{section}__BASE_URL"), base_url)
            .env(&format!("{section}__API_KEY"), &format!("sk-upstream-{name}-secret"))
    }

    /// One environment variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Another configuration folder.
    pub(crate) fn config(mut self, dir: &Path) -> Self {
        dir.clone_into(&mut self.config);
        self
    }

    /// Another configuration folder, kept for as long as Flux runs.
    pub(crate) fn holding(self, dir: TempDir) -> Self {
        let setup = self.config(dir.path());
        Self { _held: Some(dir), ..setup }
    }

    /// With files that are bounded from outside, as on a disk that is full: a write fails then, and the signal that
    /// would come with it is ignored.
    pub(crate) fn told_of_large_files(mut self) -> Self {
        self.is_told_of_large_files = true;
        self
    }

    /// The data folder of an earlier run.
    pub(crate) fn data(mut self, data: &Arc<TempDir>) -> Self {
        self.data = Arc::clone(data);
        self
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = if self.is_told_of_large_files { flux_in_shell(arguments) } else { flux(arguments) };
        command
            .env("FLUX_SERVER__LISTEN", "127.0.0.1:0")
            .env("FLUX_SERVER__PRIVATE_LISTEN", "127.0.0.1:0")
            .env("FLUX_SERVER__DATA_DIR", self.data.path())
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .arg("--config")
            .arg(&self.config);
        command
    }

    /// Starts Flux and waits until it is ready.
    #[track_caller]
    pub(crate) fn start(self) -> Flux {
        let addresses = self.data.path().join("addresses.json");
        drop(std::fs::remove_file(&addresses));
        let started = now();
        let mut child = self.command(&["serve"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("flux");
        let stdout = collect(child.stdout.take().expect("stdout"));
        let stderr = collect(child.stderr.take().expect("stderr"));
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut flux = Flux {
            child,
            stdout,
            stderr,
            setup: self,
            addr: any,
            private: any,
            key: String::new(),
            test_key: String::new(),
            started,
        };
        flux.wait_until_ready(&addresses);
        flux.learn_keys();
        flux
    }

    /// Starts Flux and expects it to give up: its exit code and what it said.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("flux runs")
    }
}

/// The binary with an empty environment: no provider key of the machine's gets in.
pub(crate) fn flux(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flux"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).args(arguments).stdin(Stdio::null());
    command
}

/// The same under a shell that ignores the signal of files that are too large, which its children inherit.
fn flux_in_shell(arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).stdin(Stdio::null());
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_flux")]).args(arguments);
    command
}

fn collect(mut from: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&text);
    spawn(move || {
        let mut buffer = [0; 8 << 10];
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            kept.lock().expect("text").push_str(&String::from_utf8_lossy(&buffer[..n]));
        }
    });
    text
}

/// A running Flux. Ends with the value.
pub(crate) struct Flux {
    child: Child,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
    setup: Setup,
    pub(crate) addr: SocketAddr,
    pub(crate) private: SocketAddr,
    /// A live key.
    pub(crate) key: String,
    /// A test key.
    pub(crate) test_key: String,
    pub(crate) started: Instant,
}

impl Flux {
    #[track_caller]
    fn wait_until_ready(&mut self, addresses: &Path) {
        wait_for("flux to write its addresses", || {
            if let Some(status) = self.child.try_wait().expect("a child") {
                panic!("flux ended with {status} at start:\n{}\n{}", self.stdout(), self.log());
            }
            let Ok(text) = std::fs::read_to_string(addresses) else { return false };
            let Ok(found) = serde_json::from_str::<Value>(&text) else { return false };
            let addr = |name: &str| found[name].as_str().and_then(|text| text.parse().ok());
            let (Some(listen), Some(private)) = (addr("listen"), addr("private_listen")) else { return false };
            (self.addr, self.private) = (listen, private);
            true
        });
        wait_for("flux to be ready", || {
            std::net::TcpStream::connect(self.private).is_ok() && self.private_get("/readyz").status == 200
        });
    }

    /// The first start prints keys; a later one does not, so they are made then.
    fn learn_keys(&mut self) {
        let is_first = self.setup.data.path().join("keys-of-the-test.json");
        if let Ok(text) = std::fs::read_to_string(&is_first) {
            let keys: Vec<String> = serde_json::from_str(&text).expect("keys");
            (self.key, self.test_key) = (keys[0].clone(), keys[1].clone());
            return;
        }
        wait_for("flux to print its first keys", || {
            let text = self.stdout();
            let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'));
            let keys: Vec<&str> = words.filter(|word| word.starts_with("sk-flux-") && word.len() > 20).collect();
            let of_kind = |is_test: bool| keys.iter().find(|key| key.starts_with("sk-flux-test-") == is_test);
            let (Some(live), Some(for_tests)) = (of_kind(false), of_kind(true)) else { return false };
            (self.key, self.test_key) = ((*live).to_owned(), (*for_tests).to_owned());
            true
        });
        std::fs::write(is_first, json!([self.key, self.test_key]).to_string()).expect("keys kept");
    }

    pub(crate) fn stdout(&self) -> String {
        self.stdout.lock().expect("text").clone()
    }

    /// What Flux logged: events go to stderr, a line for each request to stdout.
    pub(crate) fn log(&self) -> String {
        let requests: Vec<String> = self.request_lines();
        format!("{}{}", self.stderr.lock().expect("text"), requests.join("\n"))
    }

    /// The log lines of requests.
    pub(crate) fn request_lines(&self) -> Vec<String> {
        self.stdout().lines().filter(|line| line.contains("req_")).map(str::to_owned).collect()
    }

    pub(crate) fn data_dir(&self) -> &Path {
        self.setup.data.path()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The data folder, for another process.
    pub(crate) fn data(&self) -> Arc<TempDir> {
        Arc::clone(&self.setup.data)
    }

    /// The process that accepts, by what it has written.
    pub(crate) fn accepting(&self) -> u32 {
        let text = std::fs::read_to_string(self.data_dir().join("addresses.json")).unwrap_or_default();
        let written: Option<Value> = serde_json::from_str(&text).ok();
        written.and_then(|written| written["pid"].as_u64()?.try_into().ok()).unwrap_or_else(|| self.pid())
    }

    /// Whether the process that was started first lives.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    pub(crate) fn connect(&self) -> Conn {
        Conn::open(self.addr)
    }

    /// A request on a connection of its own.
    pub(crate) fn ask(&self, bytes: &[u8]) -> Reply {
        self.connect().ask(bytes)
    }

    pub(crate) fn get(&self, target: &str) -> Reply {
        self.ask(&request("GET", target, &[("authorization", &self.bearer())], b""))
    }

    pub(crate) fn private_get(&self, target: &str) -> Reply {
        Conn::open(self.private).ask(&request("GET", target, &[], b""))
    }

    pub(crate) fn bearer(&self) -> String {
        format!("Bearer {}", self.key)
    }

    /// The bytes of a chat completion request.
    pub(crate) fn chat_request(&self, body: &[u8]) -> Vec<u8> {
        let headers = [("authorization", self.bearer()), ("content-type", "application/json".to_owned())];
        request("POST", "/v1/chat/completions", &headers.each_ref().map(|(n, v)| (*n, v.as_str())), body)
    }

    /// The bytes of a messages request.
    pub(crate) fn messages_request(&self, body: &[u8]) -> Vec<u8> {
        let headers = [
            ("x-api-key", self.key.as_str()),
            ("anthropic-version", "2023-06-01"),
            ("content-type", "application/json"),
        ];
        request("POST", "/anthropic/v1/messages", &headers, body)
    }

    /// A chat completion.
    pub(crate) fn chat(&self, body: &Value) -> Reply {
        self.ask(&self.chat_request(body.to_string().as_bytes()))
    }

    /// A message.
    pub(crate) fn messages(&self, body: &Value) -> Reply {
        self.ask(&self.messages_request(body.to_string().as_bytes()))
    }

    /// All rows of the ledger so far.
    pub(crate) fn ledger(&self) -> Vec<Row> {
        ledger::rows(self.data_dir())
    }

    /// Waits until the ledger holds so many rows, and no more.
    #[track_caller]
    pub(crate) fn wait_for_rows(&self, count: usize) -> Vec<Row> {
        wait_for(&format!("{count} ledger rows"), || self.ledger().len() >= count);
        let rows = self.ledger();
        assert_eq!(rows.len(), count, "more rows than requests: {rows:#?}");
        rows
    }

    /// Waits for the row of the one request made so far.
    #[track_caller]
    pub(crate) fn only_row(&self) -> Row {
        self.wait_for_rows(1).remove(0)
    }

    /// Runs another subcommand on the same data folder.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        flux(arguments).arg("--data-dir").arg(self.data_dir()).output().expect("flux runs")
    }

    /// Runs a subcommand that must succeed and print JSON.
    #[track_caller]
    pub(crate) fn run_json(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{arguments:?} failed: {stdout} {stderr}");
        serde_json::from_str(&stdout).unwrap_or_else(|e| panic!("{arguments:?} printed no JSON ({e}): {stdout}"))
    }

    /// The value of a metric, summed over all series whose labels hold all the given parts.
    pub(crate) fn metric(&self, name: &str, parts: &[&str]) -> f64 {
        let text = self.private_get("/metrics").text();
        let is_of = |line: &&str| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
                && parts.iter().all(|p| line.contains(p))
        };
        text.lines().filter(is_of).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status().expect("kill");
        assert!(sent.success(), "kill -{name} {}", self.pid());
    }

    /// `kill -9`, and the set-up to start again on what is left.
    pub(crate) fn kill(mut self) -> Arc<TempDir> {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
        Arc::clone(&self.setup.data)
    }

    /// Waits for the process to end by itself.
    pub(crate) fn wait_for_end(&mut self) -> std::process::ExitStatus {
        let mut status = self.child.try_wait().expect("a child");
        wait_for("flux to end", || {
            status = self.child.try_wait().expect("a child");
            status.is_some()
        });
        status.expect("ended")
    }
}

/// The process never outlives its test.
impl Drop for Flux {
    fn drop(&mut self) {
        let accepting = self.accepting();
        if accepting != self.pid() {
            drop(Command::new("kill").args(["-KILL", &accepting.to_string()]).status());
        }
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            eprintln!("--- the end of flux's log");
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}

/// A small chat request.
pub(crate) fn ask_chat(model: &str) -> Value {
    json!({"messages": [{"role": "user", "content": "Say hello."}], "model": model, "max_tokens": 100})
}

/// The same, streamed.
pub(crate) fn ask_chat_stream(model: &str) -> Value {
    let mut body = ask_chat(model);
    body["stream"] = true.into();
    body
}

/// A small messages request.
pub(crate) fn ask_messages(model: &str) -> Value {
    json!({"max_tokens": 100, "messages": [{"role": "user", "content": "Say hello."}], "model": model})
}

/// The same, streamed.
pub(crate) fn ask_messages_stream(model: &str) -> Value {
    let mut body = ask_messages(model);
    body["stream"] = true.into();
    body
}
