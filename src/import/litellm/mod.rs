//! The `config.yaml` of LiteLLM's proxy becomes files of Flux.
//!
//! `read` finds out what is asked for, `providers` and `models` where each deployment is in Flux's catalogue, `chains`
//! what its names lead to. Must not copy a key: keys are told by the name of an environment variable.
//!
//! A group of deployments becomes a pin where all serve one model and nothing stands in for it, else a lane. LiteLLM
//! spreads the load over a group; Flux tries its targets in order.

mod chains;
mod models;
mod providers;
mod read;
mod reasons;
#[cfg(test)]
mod tests;

use super::catalogue::{self, Catalogue};
use super::tree::{Node, Value};
use super::{Converted, Report};
use crate::base::complaint::Complaint;
use crate::config::check::Texts;

/// Files that one configuration includes, at most.
pub const INCLUDES_MAX: usize = 64;

/// The files that a configuration includes, as they are named there, each with its place.
///
/// # Errors
/// When there are too many.
pub fn includes(config: &Node) -> Result<Vec<(String, super::Place)>, Complaint> {
    let Some(include) = config.map().and_then(|map| map.get("include")) else { return Ok(Vec::new()) };
    let files: Vec<_> =
        include.items().iter().filter_map(|node| Some((node.text()?.to_owned(), node.place.clone()))).collect();
    if files.len() > INCLUDES_MAX {
        let super::Place { file, line } = include.place.clone();
        let message = format!("include: more than {INCLUDES_MAX} files");
        return Err(Complaint { file: file.to_string(), line, message, hint: "join some of them".to_owned() });
    }
    Ok(files)
}

/// Lays an included file over a configuration as LiteLLM does: lists are joined, the rest replaces.
pub fn include(config: &mut Node, included: Node) {
    let (Value::Map(config), Value::Map(included)) = (&mut config.value, included.value) else { return };
    for (key, node) in included.iter() {
        let mut node = node.clone();
        if let (Value::List(new), Some(Value::List(old))) = (&mut node.value, config.get(key).map(|old| &old.value)) {
            let mut joined = old.clone();
            joined.append(new);
            *new = joined;
        }
        config.set(key.to_owned(), node);
    }
}

/// Converts a configuration. `today`, such as `2026-11-22`, is noted beside prices as the day on which they were read.
///
/// # Errors
/// When it is no map, or a file of the catalogue is no TOML.
pub fn convert(config: &Node, texts: &Texts, today: &str) -> Result<Converted, Vec<Complaint>> {
    let mut report = Report::default();
    let catalogue = Catalogue::parse(texts)?;
    let asked = read::read(config, &mut report).map_err(|complaint| vec![complaint])?;
    let mut texts = texts.clone();
    let mut providers = providers::Providers::new(&catalogue, &asked.entries);
    let mut models = models::Models::new(&catalogue, today);
    let mut groups = chains::Groups::default();
    for entry in &asked.entries {
        let Some(place) = providers.place(entry, &mut report) else { continue };
        let target = models.target(entry, &place, &mut report);
        groups.add(entry, target);
    }
    providers.write(&mut texts.providers.1);
    models.write(&mut texts.models.1);
    let names = groups.write(&asked, &catalogue, &mut texts.lanes.1, &mut report);
    if let Some((ms, place, setting)) = &asked.total_ms {
        let value = i64::try_from(*ms).unwrap_or(i64::MAX).into();
        if !catalogue::replace(&mut texts.settings.1, "timeouts", "total_ms", &value) {
            catalogue::insert(&mut texts.settings.1, "timeouts", &format!("total_ms = {ms}\n"));
        }
        report.kept(place, setting.as_str(), format!("flux.toml: timeouts.total_ms = {ms}"));
    }
    let Report { mut findings, variables } = report;
    findings.sort_by(|a, b| (&a.place.file, a.place.line).cmp(&(&b.place.file, b.place.line)));
    Ok(Converted { texts, findings, variables, names })
}
