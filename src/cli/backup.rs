//! `flux backup`: a copy of the books in one file, also while a server runs.
//!
//! Must not judge what is in it: the audit of the copy does.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::progress::Bar;
use super::{DONE, DataDir, FAILED, Form, print_json};
use crate::store::backup::{Backup, backup};

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// New file for the copy
    #[arg(value_name = "FILE")]
    to: PathBuf,
    #[command(flatten)]
    data_dir: DataDir,
    #[command(flatten)]
    form: Form,
}

/// Makes the copy; the exit code is 1 when the books in it do not add up.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<u8> {
    let Arguments { to, data_dir, form } = arguments;
    let mut bar = Bar::new("copying");
    let Backup { bytes, from_journal, report } = backup(&data_dir.path(), to, &mut |done, all| bar.tell(done, all))?;
    drop(bar);
    let is_right = report.adds_up();
    if form.json {
        let file = to.display().to_string();
        print_json(out, &json!({ "file": file, "bytes": bytes, "from_journal": from_journal, "ok": is_right }))?;
    } else {
        writeln!(out, "{}: {bytes} bytes, {from_journal} charges from the journal", to.display())?;
        let verdict = if is_right {
            "The books in it add up."
        } else {
            "THE BOOKS IN IT DO NOT ADD UP, as `flux reconcile` tells of those that were copied."
        };
        writeln!(out, "{verdict}")?;
    }
    Ok(if is_right { DONE } else { FAILED })
}
