//! `flux serve`, `flux check`, `flux models`: what reads the configuration.
//!
//! Must not know what a request is: it hands the folder on and prints what comes back.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::table::print;
use super::{DONE, DataDir, FAILED, Form, print_json};
use crate::base::complaint::Complaint;
use crate::boot;

/// Where the configuration is.
#[derive(Args, Debug)]
pub(super) struct ConfigDir {
    /// Folder with flux.toml, providers.toml, models.toml and lanes.toml
    #[arg(
        id = "config",
        long = "config",
        short = 'c',
        env = "FLUX_CONFIG",
        default_value = "conf",
        value_name = "DIR"
    )]
    pub(super) path: PathBuf,
}

#[derive(Args, Debug)]
pub(super) struct Serve {
    #[command(flatten)]
    config: ConfigDir,
    /// Take the sockets of the server that runs on the data folder; `flux upgrade` has it start this
    #[arg(long)]
    upgrade: bool,
}

#[derive(Args, Debug)]
pub(super) struct Upgrade {
    #[command(flatten)]
    data_dir: DataDir,
}

#[derive(Args, Debug)]
pub(super) struct Check {
    #[command(flatten)]
    config: ConfigDir,
    #[command(flatten)]
    form: Form,
}

#[derive(Args, Debug)]
pub(super) struct Models {
    #[command(flatten)]
    config: ConfigDir,
    #[command(flatten)]
    form: Form,
}

/// Runs the server until a signal ends it.
pub(super) fn serve(serve: &Serve) -> anyhow::Result<u8> {
    let start = if serve.upgrade { boot::Start::TakingOver } else { boot::Start::Alone };
    boot::serve(&serve.config.path, start)?;
    Ok(DONE)
}

/// Has the server that accepts start this program, with its own arguments and environment, and give way to it.
pub(super) fn upgrade(upgrade: &Upgrade, out: &mut dyn Write) -> anyhow::Result<u8> {
    let program = std::env::current_exe()?;
    let pid = boot::control::ask(&upgrade.data_dir.path(), &program)?;
    writeln!(out, "process {pid} accepts; the one before ends with its open requests")?;
    Ok(DONE)
}

/// Reads the configuration and tells everything that is wrong with it.
pub(super) fn check(check: &Check, out: &mut dyn Write) -> anyhow::Result<u8> {
    let complaints = boot::read_world(&check.config.path).err().unwrap_or_default();
    if check.form.json {
        let listed: Vec<Value> = complaints.iter().map(as_json).collect();
        print_json(out, &json!({ "ok": complaints.is_empty(), "complaints": listed }))?;
    } else if complaints.is_empty() {
        writeln!(out, "{}: configuration and rules are right", check.config.path.display())?;
    } else {
        for complaint in &complaints {
            writeln!(out, "{complaint}")?;
        }
    }
    Ok(if complaints.is_empty() { DONE } else { FAILED })
}

/// A complaint for scripts; the line is null where none is at fault.
pub(super) fn as_json(complaint: &Complaint) -> Value {
    let Complaint { file, line, message, hint } = complaint;
    let line = (*line > 0).then_some(line);
    json!({ "file": file, "line": line, "message": message, "hint": hint })
}

/// Lists what clients can ask for with the keys that are set.
pub(super) fn models(models: &Models, out: &mut dyn Write) -> anyhow::Result<u8> {
    let list = boot::list_models(&models.config.path)?;
    if models.form.json {
        print_json(out, &list)?;
        return Ok(DONE);
    }
    let entries = list.get("data").and_then(Value::as_array).cloned().unwrap_or_default();
    let rows: Vec<[String; 5]> = entries.iter().map(row).collect();
    print(out, ["MODEL", "NAME", "CONTEXT", "IN $/1M", "OUT $/1M"], &rows)?;
    Ok(DONE)
}

fn row(entry: &Value) -> [String; 5] {
    let text = |value: Option<&Value>| match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => "-".to_owned(),
    };
    let price = |kind: &str| text(entry.get("pricing").and_then(|pricing| pricing.get(kind)));
    [
        text(entry.get("id")),
        text(entry.get("display_name")),
        text(entry.get("max_input_tokens")),
        price("input"),
        price("output"),
    ]
}
