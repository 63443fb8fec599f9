//! Two processes and the sockets between them: the old one starts the new one and gives it the sockets, the new one takes
//! them.
//!
//! Must not decide when: `signals` does, and says what comes after. See ARCHITECTURE.md, "One process hands over".

use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use pingora::server::Fds;

use super::gate::Gate;
use super::welcome::{self, Addresses};

/// How long the new process may take until it accepts.
const UP_WITHIN: Duration = Duration::from_mins(1);
/// How often it is looked at.
const POLL: Duration = Duration::from_millis(20);
/// The longest path that a socket's address has room for, its end not counted.
const SOCKET_PATH_BYTES_MAX: usize = 107;
/// What makes `flux serve` a new process that takes over.
pub(crate) const TAKES_OVER: &str = "--upgrade";

/// Where the new process waits for the sockets.
fn socket_path(data_dir: &Path) -> Result<String> {
    let path = data_dir.join("upgrade.sock");
    let text = path.to_str().context("the path of the data folder is no text")?.to_owned();
    ensure!(text.len() <= SOCKET_PATH_BYTES_MAX, "{text} is too long for a socket: shorten `server.data_dir`");
    Ok(text)
}

/// Sockets of the process before.
pub(super) struct Inherited {
    sockets: Fds,
    at: Addresses,
}

impl Inherited {
    /// Asks for them and waits until they come.
    ///
    /// # Errors
    /// When no process gives them.
    pub(super) fn take(data_dir: &Path) -> Result<Self> {
        let path = socket_path(data_dir)?;
        let at = welcome::read(data_dir).context("no flux runs on the data folder that could be taken over")?.at;
        let mut sockets = Fds::new();
        sockets.get_from_sock(path.as_str()).context("no process gives its sockets: use `flux upgrade`")?;
        Ok(Self { sockets, at })
    }

    /// Address and socket of what the process before had there, where the same is wanted; port 0 wants any.
    pub(super) fn listen(&self, wanted: SocketAddr) -> Option<(SocketAddr, RawFd)> {
        self.socket(wanted, self.at.listen)
    }

    /// The same of the private listener.
    pub(super) fn private_listen(&self, wanted: SocketAddr) -> Option<(SocketAddr, RawFd)> {
        self.socket(wanted, self.at.private_listen)
    }

    fn socket(&self, wanted: SocketAddr, had: SocketAddr) -> Option<(SocketAddr, RawFd)> {
        let is_wanted = wanted == had || (wanted.port() == 0 && wanted.ip() == had.ip());
        let socket = self.sockets.get(&had.to_string()).copied()?;
        is_wanted.then_some((had, socket))
    }

    /// Closes what is wanted no more.
    pub(super) fn close_others(mut self, kept: [SocketAddr; 2]) {
        let kept = kept.iter().map(ToString::to_string).collect();
        for address in self.sockets.close_unclaimed(&kept) {
            log::info!(address; "is listened on no more");
        }
    }
}

/// How to start the process that takes over.
pub(super) struct Successor {
    /// The program that runs here.
    program: PathBuf,
    arguments: Vec<OsString>,
    data_dir: PathBuf,
}

impl Successor {
    /// The same again.
    ///
    /// # Errors
    /// When it is not known what runs here.
    pub(super) fn new(data_dir: &Path) -> Result<Self> {
        let program = std::env::current_exe().context("it is not known which program runs here")?;
        let own = std::env::args_os().skip(1).filter(|argument| argument != TAKES_OVER);
        let arguments = own.chain([TAKES_OVER.into()]).collect();
        Ok(Self { program, arguments, data_dir: data_dir.to_owned() })
    }

    /// Starts it and gives it the sockets; returns its id when it accepts. If it does not, it is ended, and so it is
    /// when this is dropped before.
    ///
    /// # Errors
    /// When it could not be started, has ended, or takes too long.
    pub(super) async fn start(&self, program: Option<PathBuf>, gate: &Gate) -> Result<u32> {
        let path = socket_path(&self.data_dir)?;
        // What an attempt before has left must not be taken for this one's.
        let _ = std::fs::remove_file(&path);
        let program = program.as_ref().unwrap_or(&self.program);
        let mut command = Command::new(program);
        command.args(&self.arguments).stdin(Stdio::null());
        let started = command.spawn().with_context(|| format!("{} cannot be started", program.display()))?;
        log::info!(program:% = program.display(), pid = started.id(); "starting the process that takes over");
        let mut started = Started(Some(started));
        match tokio::time::timeout(UP_WITHIN, self.hand_over(&mut started, &path, gate)).await {
            Ok(done) => done?,
            Err(_) => bail!("the new process did not accept within {} s", UP_WITHIN.as_secs()),
        }
        Ok(started.let_go())
    }

    async fn hand_over(&self, started: &mut Started, path: &str, gate: &Gate) -> Result<()> {
        while !Path::new(path).exists() {
            started.expect_alive()?;
            tokio::time::sleep(POLL).await;
        }
        let sockets = gate.sockets().context("nothing is listened on yet")?;
        sockets.lock().send_to_sock(path).context("the sockets cannot be sent")?;
        while welcome::read(&self.data_dir).is_none_or(|written| Some(written.pid) != started.id()) {
            started.expect_alive()?;
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }
}

/// A process that was started; ended with the value, unless it is let go.
struct Started(Option<Child>);

impl Started {
    fn id(&self) -> Option<u32> {
        self.0.as_ref().map(Child::id)
    }

    fn expect_alive(&mut self) -> Result<()> {
        let ended = self.0.as_mut().map(Child::try_wait).transpose().context("the new process cannot be looked at")?;
        match ended.flatten() {
            Some(status) => bail!("the new process has ended ({status}); its log says why"),
            None => Ok(()),
        }
    }

    fn let_go(mut self) -> u32 {
        self.0.take().map(|child| child.id()).unwrap_or_default()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
