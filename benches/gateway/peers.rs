//! The servers that are measured: how each is started, found ready, read out of /proc, and ended.
//!
//! Must not know the works. Every child is pinned to a core, killed by its own id, and told by the kernel to die with us.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

/// What the kernel counts processor time in, on every platform that Flux runs on.
const TICKS_PER_SECOND: f64 = 100.0;
/// Open files for 10,000 streams, two for each, with some to spare.
const FILES_WANTED: usize = 32_768;
const NGINX: &str = "/usr/sbin/nginx";
/// The key that the mock would be asked with; it does not look.
const UPSTREAM_KEY: &str = "sk-bench-upstream";
/// How long a server may take to listen, also under callgrind.
const READY_TIMEOUT: Duration = Duration::from_mins(2);
const READY_POLL: Duration = Duration::from_millis(20);
/// From the interrupt to the end, with callgrind's report in between.
const END_TIMEOUT: Duration = Duration::from_mins(1);

/// The name of the limit, to which all ratios are taken.
pub(crate) const BARE: &str = "bare Pingora";
pub(crate) const FLUX: &str = "Flux";
pub(crate) const MOCK: &str = "mock";
pub(crate) const NGINX_NAME: &str = "nginx";

/// Where things are for the length of a run.
pub(crate) struct Site {
    /// Removed at the end.
    folder: tempfile::TempDir,
    flux: PathBuf,
    mock_port: u16,
    cores: Option<Cores>,
}

/// One core for the server that is measured, another for mock and load.
struct Cores {
    peers: String,
    load: String,
}

/// A running server.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    /// The key that its clients show.
    pub(crate) key: String,
    child: Child,
}

impl Site {
    pub(crate) fn new(flux: &Path) -> anyhow::Result<Self> {
        ensure!(flux.is_file(), "{} is missing", flux.display());
        let flux = flux.canonicalize()?;
        Ok(Self { folder: tempfile::tempdir()?, flux, mock_port: free_port()?, cores: Cores::find() })
    }

    /// Puts ourselves, the load, beside the mock, and allows as many open files as we may have; says how many.
    pub(crate) fn settle_in(&self) -> anyhow::Result<usize> {
        let pid = std::process::id().to_string();
        match &self.cores {
            Some(cores) => run_quietly("taskset", &["-a", "-c", "-p", &cores.load, &pid])?,
            None => eprintln!("one core, or no taskset: nothing is pinned, figures will vary"),
        }
        let limits = std::fs::read_to_string("/proc/self/limits")?;
        let line = limits.lines().find(|line| line.starts_with("Max open files")).context("no limit of open files")?;
        let hard: usize = line.split_whitespace().nth(4).context("no hard limit")?.parse()?;
        let set = |files: usize| run_quietly("prlimit", &["--pid", &pid, &format!("--nofile={files}:{files}")]);
        // Above the hard limit only root may go.
        if hard < FILES_WANTED && set(FILES_WANTED).is_ok() {
            return Ok(FILES_WANTED);
        }
        set(hard)?;
        Ok(hard)
    }

    /// What goes before a program: die with us, stay on a core, and `wrapper`.
    fn before(&self, core: fn(&Cores) -> &String, wrapper: &[&str]) -> Vec<String> {
        let mut words = Vec::new();
        if is_installed("setpriv") {
            words.extend(["setpriv", "--pdeathsig", "KILL"]);
        }
        if let Some(cores) = &self.cores {
            words.extend(["taskset", "-c", core(cores)]);
        }
        words.extend(wrapper);
        words.into_iter().map(str::to_owned).collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn mock(&self) -> anyhow::Result<Peer> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["mock", &self.mock_port.to_string()]);
        self.start(MOCK, &self.before(|cores| &cores.load, &[]), &command, self.mock_port)
    }

    /// `wrapper` is put before the program: nothing, or valgrind.
    pub(crate) fn bare(&self, wrapper: &[&str]) -> anyhow::Result<Peer> {
        let port = free_port()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bare", &port.to_string(), &self.mock_port.to_string()]);
        self.start(BARE, &self.before(|cores| &cores.peers, wrapper), &command, port)
    }

    /// Where the mock listens.
    pub(crate) fn mock_port(&self) -> u16 {
        self.mock_port
    }

    /// With everything on that costs: a key to authenticate, metering, the ledger on disk.
    pub(crate) fn flux(&self, wrapper: &[&str]) -> anyhow::Result<Peer> {
        self.flux_with(wrapper, &[])
    }

    /// The same with two providers for `flux-pinned-deepseek-flash`: the first at this port, then the mock. What fails is
    /// never passed over, so that every request begins with the first.
    pub(crate) fn flux_of_two(&self, first_port: u16) -> anyhow::Result<Peer> {
        let at = |port: u16| format!("http://127.0.0.1:{port}/v1");
        let (first, second) = (at(first_port), at(self.mock_port));
        self.flux_with(
            &[],
            &[
                ("FLUX_PROVIDERS__DEEPSEEK__BASE_URL", &first),
                ("FLUX_PROVIDERS__DEEPSEEK__API_KEY", UPSTREAM_KEY),
                ("FLUX_PROVIDERS__TOGETHER__BASE_URL", &second),
                ("FLUX_PROVIDERS__TOGETHER__API_KEY", UPSTREAM_KEY),
                ("FLUX_HEALTH__ERRORS_IN_A_ROW", "0"),
                ("FLUX_HEALTH__ERROR_PERCENT", "0"),
                ("FLUX_HEALTH__SLOW_PERCENT", "0"),
                ("FLUX_HEALTH__PROBE_INTERVAL_MS", "0"),
            ],
        )
    }

    /// The same for streams that are silent however long, with a comment to their clients so often; 0 for never.
    pub(crate) fn flux_patient(&self, ping_ms: u32) -> anyhow::Result<Peer> {
        let ping_ms = ping_ms.to_string();
        self.flux_with(&[], &[("FLUX_TIMEOUTS__IDLE_MS", "600000"), ("FLUX_TIMEOUTS__PING_MS", &ping_ms)])
    }

    fn flux_with(&self, wrapper: &[&str], settings: &[(&str, &str)]) -> anyhow::Result<Peer> {
        let data = tempfile::tempdir_in(self.folder.path())?.keep();
        let key = self.create_key(&data)?;
        let port = free_port()?;
        let local = |port: u16| format!("127.0.0.1:{port}");
        let mut command = self.flux_command();
        command.arg("serve").env("FLUX_SERVER__DATA_DIR", &data);
        command.env("FLUX_SERVER__LISTEN", local(port)).env("FLUX_SERVER__PRIVATE_LISTEN", local(free_port()?));
        command.env("FLUX_SERVER__THREADS", "1").envs(settings.iter().copied());
        let mut peer = self.start(FLUX, &self.before(|cores| &cores.peers, wrapper), &command, port)?;
        peer.key = key;
        Ok(peer)
    }

    fn flux_command(&self) -> Command {
        let mut command = Command::new(&self.flux);
        command.current_dir(env!("CARGO_MANIFEST_DIR"));
        command.env("FLUX_PROVIDERS__OPENAI__BASE_URL", format!("http://127.0.0.1:{}/v1", self.mock_port));
        command.env("FLUX_PROVIDERS__OPENAI__API_KEY", UPSTREAM_KEY);
        command
    }

    fn create_key(&self, data: &Path) -> anyhow::Result<String> {
        #[derive(serde::Deserialize)]
        struct Created {
            key: String,
        }
        let mut command = self.flux_command();
        let output = command.args(["keys", "create", "--json", "--data-dir"]).arg(data).output()?;
        ensure!(output.status.success(), "flux keys create: {}", String::from_utf8_lossy(&output.stderr));
        let created: Created = serde_json::from_slice(&output.stdout).context("flux keys create --json")?;
        Ok(created.key)
    }

    /// Nothing where nginx is not installed.
    pub(crate) fn nginx(&self) -> anyhow::Result<Option<Peer>> {
        if !Path::new(NGINX).exists() {
            return Ok(None);
        }
        let port = free_port()?;
        std::fs::write(self.path("nginx.conf"), nginx_conf(self.folder.path(), port, self.mock_port))?;
        let mut command = Command::new(NGINX);
        command.arg("-p").arg(self.folder.path()).arg("-c").arg(self.path("nginx.conf"));
        self.start(NGINX_NAME, &self.before(|cores| &cores.peers, &[]), &command, port).map(Some)
    }

    /// Where callgrind is to write.
    pub(crate) fn callgrind_file(&self) -> PathBuf {
        self.path("callgrind.out")
    }

    fn start(&self, name: &'static str, wrapper: &[String], command: &Command, port: u16) -> anyhow::Result<Peer> {
        let log = self.path(&format!("{}.log", name.replace(' ', "-")));
        let mut whole = wrap(wrapper, command);
        whole.stdin(Stdio::null()).stdout(std::fs::File::create(&log)?).stderr(std::fs::File::create(&log)?);
        let child = whole.spawn().with_context(|| format!("start {name}"))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut peer = Peer { name, address, key: UPSTREAM_KEY.to_owned(), child };
        peer.wait_until_ready().with_context(|| {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            format!("{name} says: {text}")
        })?;
        Ok(peer)
    }
}

/// A port that refuses connections for as long as this is held: it is bound, and nobody listens.
pub(crate) struct Refusing(socket2::Socket);

impl Refusing {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        Ok(Self(socket))
    }

    pub(crate) fn port(&self) -> anyhow::Result<u16> {
        let address = self.0.local_addr()?.as_socket().context("an address of another kind")?;
        Ok(address.port())
    }
}

impl Cores {
    /// The first two that this process may use.
    fn find() -> Option<Self> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let ranges = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?.trim();
        let mut allowed = ranges.split(',').flat_map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let bounds = first.parse::<u32>().ok().zip(last.parse::<u32>().ok());
            bounds.map_or(0..0, |(first, last)| first..last + 1)
        });
        let (peers, load) = (allowed.next()?.to_string(), allowed.next()?.to_string());
        is_installed("taskset").then_some(Self { peers, load })
    }
}

impl Peer {
    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        while began.elapsed() < READY_TIMEOUT {
            if TcpStream::connect(self.address).is_ok() {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("ended with {status}");
            }
            std::thread::sleep(READY_POLL);
        }
        bail!("did not listen on {} in time", self.address)
    }

    /// Processor time so far, in seconds, of all threads, the kernel's part with it.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        const USER: usize = 11;
        const SYSTEM: usize = 12;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The program's name stands in brackets and may hold anything.
        let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok());
        let (user, system) = ticks(USER).zip(ticks(SYSTEM)).context("/proc/…/stat")?;
        Ok((user + system) / TICKS_PER_SECOND)
    }

    /// Resident memory in KiB.
    pub(crate) fn resident_kib(&self) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim_end_matches("kB").trim().parse()?)
    }

    /// Lets the server end by itself, so that callgrind writes its report.
    pub(crate) fn interrupt_and_wait(&mut self) -> anyhow::Result<()> {
        let pid = self.child.id().to_string();
        ensure!(Command::new("sh").args(["-c", "kill -INT \"$0\"", &pid]).status()?.success(), "no process {pid}");
        let began = Instant::now();
        while began.elapsed() < END_TIMEOUT {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(READY_POLL);
        }
        bail!("{} does not end on an interrupt", self.name)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Fails only if it has ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn is_installed(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

fn run_quietly(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(program).args(arguments).output().with_context(|| format!("run {program}"))?;
    ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn wrap(wrapper: &[String], command: &Command) -> Command {
    let mut words = wrapper.iter().map(std::ffi::OsStr::new).chain([command.get_program()]).chain(command.get_args());
    let mut whole = Command::new(words.next().unwrap_or(command.get_program()));
    whole.args(words);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => whole.env(name, value),
            None => whole.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        whole.current_dir(folder);
    }
    whole
}

/// A plain reverse proxy as it is set up before an LLM server: kept-alive, unbuffered, no log.
fn nginx_conf(folder: &Path, port: u16, mock_port: u16) -> String {
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {}/{kind};", folder.display()))
        .concat();
    format!(
        "worker_processes 1; daemon off; master_process off;
         pid {folder}/nginx.pid; error_log stderr warn;
         events {{ worker_connections 32000; }}
         http {{
           access_log off; {temporary}
           keepalive_requests 1000000000; keepalive_timeout 600s; client_body_buffer_size 512k; client_max_body_size 64m;
           upstream mock {{ server 127.0.0.1:{mock_port}; keepalive 8192; keepalive_requests 1000000000; }}
           server {{
             listen 127.0.0.1:{port} backlog=8192; tcp_nodelay on;
             location / {{ proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_buffering off; }}
           }}
         }}",
        folder = folder.display()
    )
}
