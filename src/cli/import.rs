//! `flux import`: reads the configuration of another gateway and writes files of Flux.
//!
//! Must not know what the settings mean: `import` converts, and the result is checked as `flux check` does. Nothing
//! that exists is ever written over.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::server::{ConfigDir, as_json};
use super::{DONE, FAILED, Form, print_json, table};
use crate::base::complaint::Complaint;
use crate::base::time::{Clock, SystemClock};
use crate::boot;
use crate::config::check::Texts;
use crate::config::load::{FILES, read_texts};
use crate::import::tree::Node;
use crate::import::{Converted, Finding, Outcome, Place, Variable, litellm, yaml};

/// Larger files are refused: a configuration of a thousand models has half a megabyte.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// `2026-11-22` of `2026-11-22T08:00:00Z`.
const DATE_CHARS: usize = 10;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// From the config.yaml of LiteLLM's proxy
    Litellm(Litellm),
}

#[derive(Args, Debug)]
pub(super) struct Litellm {
    /// LiteLLM's configuration
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Folder to write to: a new one, or an empty one
    #[arg(long, default_value = "conf-litellm", value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    config: ConfigDir,
    #[command(flatten)]
    form: Form,
}

/// Imports; the exit code is 1 when nothing was written, or when what was written needs a decision.
pub(super) fn run(command: &Command, out: &mut dyn Write) -> anyhow::Result<u8> {
    let Command::Litellm(Litellm { file, out: folder, config, form }) = command;
    refuse_used(folder)?;
    let converted = match convert(file, &config.path) {
        Ok(converted) => converted,
        Err(complaints) => return refused(&complaints, form, out),
    };
    write(folder, &converted.texts)?;
    let complaints = boot::read_world(folder).err().unwrap_or_default();
    if form.json {
        print_json(out, &report_json(&converted, &complaints, folder))?;
    } else {
        print_report(&converted, &complaints, folder, out)?;
    }
    let is_open = converted.findings.iter().any(|finding| finding.outcome == Outcome::Decide);
    Ok(if complaints.is_empty() && !is_open { DONE } else { FAILED })
}

fn convert(file: &Path, config_dir: &Path) -> Result<Converted, Vec<Complaint>> {
    boot::read_world(config_dir)?;
    let texts = read_texts(config_dir)?;
    let alone = |complaint| vec![complaint];
    let mut config = read(file, "name the config.yaml of LiteLLM").map_err(alone)?;
    for (included, place) in litellm::includes(&config).map_err(alone)? {
        let path = file.parent().unwrap_or(Path::new("")).join(included);
        litellm::include(&mut config, read(&path, &format!("included at {place}")).map_err(alone)?);
    }
    let today: String = SystemClock.unix_ms().rfc3339().chars().take(DATE_CHARS).collect();
    litellm::convert(&config, &texts, &today)
}

fn read(path: &Path, hint: &str) -> Result<Node, Complaint> {
    let name = path.display().to_string();
    let complaint = |message| Complaint { file: name.clone(), line: 0, message, hint: hint.to_owned() };
    let seen = fs::metadata(path).map_err(|error| complaint(format!("cannot be read: {error}")))?;
    if seen.len() > FILE_BYTES_MAX {
        return Err(complaint(format!("is larger than {FILE_BYTES_MAX} bytes")));
    }
    let text = fs::read_to_string(path).map_err(|error| complaint(format!("cannot be read: {error}")))?;
    yaml::parse(&name, &text)
}

fn refuse_used(folder: &Path) -> anyhow::Result<()> {
    if let Ok(mut entries) = fs::read_dir(folder)
        && entries.next().is_some()
    {
        bail!("{} is not empty: name a new folder with --out", folder.display());
    }
    Ok(())
}

fn write(folder: &Path, texts: &Texts) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let Texts { settings, providers, models, lanes, tariffs } = texts;
    for (file, (_, text)) in FILES.into_iter().zip([settings, providers, models, lanes, tariffs]) {
        let path = folder.join(file);
        let mut made = OpenOptions::new().write(true).create_new(true).open(&path);
        let written = made.as_mut().map(|made| made.write_all(text.as_bytes()));
        match written {
            Ok(Ok(())) => {}
            Ok(Err(error)) => bail!("{} cannot be written: {error}", path.display()),
            Err(error) => bail!("{} cannot be written: {error}", path.display()),
        }
    }
    Ok(())
}

fn refused(complaints: &[Complaint], form: &Form, out: &mut dyn Write) -> anyhow::Result<u8> {
    if form.json {
        let complaints: Vec<Value> = complaints.iter().map(as_json).collect();
        print_json(out, &json!({ "ok": false, "complaints": complaints }))?;
        return Ok(FAILED);
    }
    for complaint in complaints {
        writeln!(out, "{complaint}")?;
    }
    writeln!(out, "\nNothing was written.")?;
    Ok(FAILED)
}

fn print_report(
    converted: &Converted,
    complaints: &[Complaint],
    folder: &Path,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let Converted { texts: _, findings, variables, names } = converted;
    let rows: Vec<_> = findings.iter().map(row).collect();
    table::print(out, ["LINE", "SETTING", "RESULT", "WHERE IT WENT, OR WHY NOT"], &rows)?;
    if !names.is_empty() {
        writeln!(out)?;
        let rows: Vec<_> = names.iter().map(|(name, targets)| [name.clone(), targets.join(", ")]).collect();
        table::print(out, ["CLIENTS SEND", "ANSWERED BY, BEST FIRST"], &rows)?;
    }
    if !variables.is_empty() {
        writeln!(out)?;
        let rows: Vec<_> = variables.iter().map(|Variable { name, reason }| [name.clone(), reason.clone()]).collect();
        table::print(out, ["SET IN THE ENVIRONMENT", "WHAT FOR"], &rows)?;
    }
    let open = findings.iter().filter(|finding| finding.outcome == Outcome::Decide).count();
    let folder = folder.display();
    writeln!(out, "\nWritten to {folder}.")?;
    for complaint in complaints {
        writeln!(out, "{complaint}")?;
    }
    match (complaints.is_empty(), open) {
        (true, 0) => writeln!(out, "It is right. Make a key with flux keys create, then: flux serve --config {folder}"),
        (true, open) => writeln!(out, "It can be served, but {open} of the settings above need a decision."),
        (false, _) => writeln!(out, "These lines need a decision; then: flux check --config {folder}"),
    }
}

fn row(finding: &Finding) -> [String; 4] {
    let Finding { place: Place { file: _, line }, setting, outcome, told } = finding;
    [line.to_string(), setting.clone(), outcome.name().to_owned(), told.clone()]
}

fn report_json(converted: &Converted, complaints: &[Complaint], folder: &Path) -> Value {
    let Converted { texts: _, findings, variables, names } = converted;
    let is_open = findings.iter().any(|finding| finding.outcome == Outcome::Decide);
    let findings: Vec<Value> = findings
        .iter()
        .map(|Finding { place: Place { file, line }, setting, outcome, told }| {
            json!({ "file": &**file, "line": line, "setting": setting, "result": outcome.name(), "told": told })
        })
        .collect();
    let variables: Vec<Value> =
        variables.iter().map(|Variable { name, reason }| json!({ "name": name, "reason": reason })).collect();
    let names: Vec<Value> = names.iter().map(|(name, targets)| json!({ "name": name, "targets": targets })).collect();
    let complaints: Vec<Value> = complaints.iter().map(as_json).collect();
    json!({
        "ok": complaints.is_empty() && !is_open,
        "out": folder.display().to_string(),
        "findings": findings,
        "names": names,
        "environment": variables,
        "complaints": complaints,
    })
}
