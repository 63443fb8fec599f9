//! The socket in the data folder by which `flux upgrade` asks the process that accepts.
//!
//! Must not know what an upgrade is: it carries a question and its answer. Who may open the folder may ask.

use std::ffi::OsString;
use std::fs::Permissions;
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

/// The longest question or answer.
const MESSAGE_BYTES_MAX: u64 = 8 * 1024;
/// How long a question may take to be put.
const ASKED_WITHIN: Duration = Duration::from_secs(5);
/// How long the answer may take: longer than a new process may.
const ANSWERED_WITHIN: Duration = Duration::from_secs(90);
/// What a good answer begins with.
const DONE: &str = "done ";

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("control.sock")
}

/// Waits for questions.
pub(super) struct Control(UnixListener);

/// A question: the program that is to take over.
pub(super) struct Question {
    pub(super) program: PathBuf,
    from: UnixStream,
}

impl Control {
    /// In the place of the process before, if there was one.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub(super) fn new(data_dir: &Path) -> Result<Self> {
        let path = path(data_dir);
        let failed = || format!("{} cannot be made", path.display());
        // There is none on the first start.
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).with_context(failed)?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).with_context(failed)?;
        Ok(Self(listener))
    }

    /// The next question.
    pub(super) async fn question(&self) -> Question {
        loop {
            let asked = async {
                let (mut from, _) = self.0.accept().await?;
                let mut program = Vec::new();
                let mut bounded = (&mut from).take(MESSAGE_BYTES_MAX);
                tokio::time::timeout(ASKED_WITHIN, bounded.read_to_end(&mut program)).await??;
                Ok::<_, std::io::Error>(Question { program: OsString::from_vec(program).into(), from })
            };
            match asked.await {
                Ok(question) => return question,
                Err(error) => {
                    log::warn!(error = error.to_string(); "a question could not be read");
                    // Not in a circle while there is no file descriptor left.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

impl Question {
    /// Answers: the id of the process that took over, or why none did.
    pub(super) async fn answer(mut self, outcome: &Result<u32>) {
        let text = match outcome {
            Ok(pid) => format!("{DONE}{pid}"),
            Err(error) => format!("{error:#}"),
        };
        // Who asked may have gone.
        let _ = self.from.write_all(text.as_bytes()).await;
    }
}

/// Asks the process that accepts to give way to `program`; returns the id of the one that took over.
///
/// # Errors
/// When no server runs on the data folder, or it goes on by itself, with the reason.
pub(crate) fn ask(data_dir: &Path, program: &Path) -> Result<u32> {
    let path = path(data_dir);
    let mut stream = BlockingStream::connect(&path)
        .with_context(|| format!("no flux runs on the data folder {}", data_dir.display()))?;
    stream.set_read_timeout(Some(ANSWERED_WITHIN))?;
    stream.write_all(program.as_os_str().as_bytes())?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut answer = String::new();
    stream.take(MESSAGE_BYTES_MAX).read_to_string(&mut answer).context("the server does not answer")?;
    match answer.strip_prefix(DONE).and_then(|pid| pid.parse().ok()) {
        Some(pid) => Ok(pid),
        None if answer.is_empty() => bail!("the server has ended without an answer"),
        None => bail!("nothing has changed, the server goes on: {answer}"),
    }
}
