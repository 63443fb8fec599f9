//! What is said when the server is up: where it listens, and on the first start the keys.
//!
//! Must not say a key twice: keys come in only on the first start, and are kept nowhere in the clear.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::config::Config;
use crate::store::keys::FirstKeys;

/// The sockets come up in other threads; they are tried so often, so many times.
const TRY_EVERY: Duration = Duration::from_millis(5);
const TRIES_MAX: u32 = 2_000;

/// Where the server listens.
#[derive(Clone, Copy)]
pub(super) struct Addresses {
    pub(super) listen: SocketAddr,
    pub(super) private_listen: SocketAddr,
}

/// What a process that accepts has written.
#[derive(Clone, Copy)]
pub(super) struct Written {
    pub(super) at: Addresses,
    pub(super) pid: u32,
}

/// What the process that accepts has written into the data folder; `None` where there is nothing that can be read.
pub(super) fn read(data_dir: &Path) -> Option<Written> {
    let written: Value = serde_json::from_slice(&std::fs::read(addresses_file(data_dir)).ok()?).ok()?;
    let address = |name| written.get(name)?.as_str()?.parse().ok();
    let at = Addresses { listen: address("listen")?, private_listen: address("private_listen")? };
    Some(Written { at, pid: written.get("pid")?.as_u64()?.try_into().ok()? })
}

fn addresses_file(data_dir: &Path) -> PathBuf {
    data_dir.join("addresses.json")
}

/// The thread that waits for the sockets.
pub(super) struct Welcome {
    thread: JoinHandle<()>,
    pid_file: Option<PathBuf>,
}

impl Welcome {
    /// Waits for the thread, and takes away the file that names this process.
    pub(super) fn end(self) {
        // A panic of the thread has been reported by the panic hook.
        let _ = self.thread.join();
        let own = std::process::id().to_string();
        // Not that of a process that has taken over.
        if let Some(path) = self.pid_file
            && std::fs::read_to_string(&path).is_ok_and(|pid| pid.trim() == own)
        {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// A file of an earlier process must not be taken for ours.
pub(super) fn forget(data_dir: &Path) {
    let _ = std::fs::remove_file(addresses_file(data_dir));
}

/// Waits in a thread of its own until the services are `up` and both sockets answer, writes `addresses.json` into the data
/// folder for scripts and the file that names this process, and prints the welcome for people.
///
/// # Errors
/// When the thread cannot be started.
pub(super) fn start(
    at: Addresses,
    config: &Config,
    keys: Option<FirstKeys>,
    is_mock: bool,
    up: Receiver<()>,
) -> Result<Welcome> {
    let file = addresses_file(&config.server.data_dir);
    let pid_file = config.server.pid_file.clone();
    let scheme = if config.server.tls.is_some() { "https" } else { "http" };
    let written = pid_file.clone();
    let thread = std::thread::Builder::new()
        .name("flux-welcome".to_owned())
        .spawn(move || {
            if up.recv().is_err() {
                // The start has failed, and says so itself.
                return;
            }
            if !is_up(at.listen) || !is_up(at.private_listen) {
                log::error!("the sockets did not come up");
                return;
            }
            // The first tells the process before that this one accepts: the other file must be right by then.
            let named = written.map_or(Ok(()), |path| replace(&path, &format!("{}\n", std::process::id())));
            for failed in [named, write_addresses(&file, at)].into_iter().filter_map(Result::err) {
                log::warn!("{failed:#}");
            }
            let text = text(at, scheme, keys.as_ref(), is_mock);
            // Without a standard output there is nobody to greet.
            let _ = std::io::stdout().lock().write_all(text.as_bytes());
        })
        .context("no thread for the welcome")?;
    Ok(Welcome { thread, pid_file })
}

fn is_up(address: SocketAddr) -> bool {
    (0..TRIES_MAX).any(|_| {
        let is_up = TcpStream::connect_timeout(&reachable(address), TRY_EVERY.saturating_mul(20)).is_ok();
        if !is_up {
            std::thread::sleep(TRY_EVERY);
        }
        is_up
    })
}

/// A wildcard address is reached over loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => SocketAddr::from(([127, 0, 0, 1], v4.port())),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, v6.port())),
        SocketAddr::V4(_) | SocketAddr::V6(_) => address,
    }
}

fn write_addresses(file: &Path, at: Addresses) -> Result<()> {
    let body = json!({
        "listen": at.listen.to_string(),
        "private_listen": at.private_listen.to_string(),
        "pid": std::process::id(),
    });
    replace(file, &body.to_string())
}

/// Writes a file that nobody reads half written.
fn replace(file: &Path, text: &str) -> Result<()> {
    let mut fresh = file.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    std::fs::write(&fresh, text).with_context(|| format!("{} cannot be written", fresh.display()))?;
    std::fs::rename(&fresh, file).with_context(|| format!("{} cannot be written", file.display()))
}

fn text(at: Addresses, scheme: &str, keys: Option<&FirstKeys>, is_mock: bool) -> String {
    let url = format!("{scheme}://{}", reachable(at.listen));
    let private = reachable(at.private_listen);
    let mock = if is_mock {
        "  No provider key is set, so the built-in mock answers. Set OPENAI_API_KEY, ANTHROPIC_API_KEY,
  GROQ_API_KEY, … and start again for the real ones.\n"
    } else {
        ""
    };
    let keys = keys.map_or_else(
        || "  Keys               flux keys create, list, revoke\n".to_owned(),
        |keys| first_keys(keys, &url),
    );
    format!(
        "
Flux is up.
  OpenAI base URL    {url}/v1
  Anthropic base URL {url}/anthropic
  metrics, health    http://{private}/metrics, /healthz, /readyz
{mock}{keys}
"
    )
}

/// The keys, and three lines to paste.
fn first_keys(keys: &FirstKeys, url: &str) -> String {
    let (live, mocked) = (keys.live.expose(), keys.test.expose());
    let hello = r#"{"model":"flux-auto","messages":[{"role":"user","content":"Hello"}]}"#;
    let messages = "messages=[dict(role='user', content='Hello')]";
    format!(
        r#"
Your keys, shown this once:
  live  {live}
  test  {mocked}   (mock answers, costs nothing)

Try it:
curl {url}/v1/chat/completions -H 'authorization: Bearer {live}' -d '{hello}'
python3 -c "from openai import OpenAI; print(OpenAI(base_url='{url}/v1', api_key='{live}').chat.completions.create(model='flux-auto', {messages}).choices[0].message.content)"
python3 -c "from anthropic import Anthropic; print(Anthropic(base_url='{url}/anthropic', api_key='{live}').messages.create(model='flux-auto', max_tokens=99, {messages}).content[0].text)"
"#
    )
}
