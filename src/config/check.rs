//! Texts and environment become settings and a catalogue, or all complaints at once.
//!
//! Must not read files or the process's environment: both come in as arguments.

use std::sync::Arc;

use crate::base::complaint::Complaint;
use crate::base::tariff::Tariffs;
use crate::catalog::{Catalog, Parts};

use super::fields::{Findings, meant};
use super::raw::{self, Origin, Table};
use super::{Config, lanes, models, providers, settings, tariffs};

/// What every override begins with.
const PREFIX: &str = "FLUX_";
/// Between section and key, and key and key.
const SEPARATOR: &str = "__";
const SETTINGS_SECTIONS: [&str; 9] =
    ["server", "limits", "timeouts", "money", "conversations", "health", "ledger", "log", "mock"];
const LANES_SECTIONS: [&str; 4] = ["auto", "lanes", "pins", "client_names"];

/// The five files: name for complaints, and content.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    /// `flux.toml`.
    pub settings: (String, String),
    /// `providers.toml`.
    pub providers: (String, String),
    /// `models.toml`.
    pub models: (String, String),
    /// `lanes.toml`.
    pub lanes: (String, String),
    /// `tariffs.toml`.
    pub tariffs: (String, String),
}

/// What was found good.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The settings.
    pub config: Config,
    /// Providers, models, lanes and pins.
    pub catalog: Catalog,
    /// What accounts can be on.
    pub tariffs: Arc<Tariffs>,
    /// The folder of rules that decide beside the first, as `lanes.toml` names it.
    pub shadow: Option<String>,
    /// Settings of `flux.toml` that no file and no variable mentions.
    pub defaulted: Vec<String>,
}

/// Checks everything.
///
/// # Errors
/// With every complaint about every file and variable, in the order of files and lines.
pub fn check(texts: &Texts, environment: &[(String, String)]) -> Result<Checked, Vec<Complaint>> {
    let mut findings = Findings::default();
    let mut trees = Trees {
        settings: raw::parse(&texts.settings.0, &texts.settings.1, &mut findings.complaints),
        providers: raw::parse(&texts.providers.0, &texts.providers.1, &mut findings.complaints),
        models: raw::parse(&texts.models.0, &texts.models.1, &mut findings.complaints),
        lanes: raw::parse(&texts.lanes.0, &texts.lanes.1, &mut findings.complaints),
        tariffs: raw::parse(&texts.tariffs.0, &texts.tariffs.1, &mut findings.complaints),
    };
    let unparsed = findings.complaints.clone();
    for (variable, text) in environment {
        trees.lay_over(variable, text, &mut findings.complaints);
    }
    let origin = |file: &str| Origin { file: file.into(), line: 1 };
    let config = settings::read(&trees.settings, &origin(&texts.settings.0), &mut findings);
    let defaulted = std::mem::take(&mut findings.defaulted);
    let variables = environment.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let providers = providers::read(&trees.providers, &variables, &mut findings);
    let models = models::read(&trees.models, &providers, &mut findings);
    let lanes = lanes::read(&trees.lanes, &origin(&texts.lanes.0), &providers, &models, &mut findings);
    let tariffs = tariffs::read(&trees.tariffs, &origin(&texts.tariffs.0), &mut findings);
    if !findings.complaints.is_empty() {
        return Err(sorted(without_followers(&texts.settings.0, &unparsed, findings.complaints)));
    }
    let catalog = Catalog::new(Parts {
        auto_name: lanes.auto_name.into(),
        quality: lanes.quality,
        default_lane: lanes.default_lane.into(),
        providers,
        regions: findings.regions.into_iter().map(Arc::from).collect(),
        models,
        lanes: lanes.chains,
        pins: lanes.pins,
        client_names: lanes.client_names,
        stand_in: config.mock.mode,
    });
    Ok(Checked { config, catalog, tariffs: Arc::new(tariffs), shadow: lanes.shadow, defaulted })
}

/// Leaves out what may only be said because a file could not be read whole: in that file what stands after the fault or
/// is missed, elsewhere what is not found. To the settings nothing refers.
fn without_followers(settings: &str, unparsed: &[Complaint], all: Vec<Complaint>) -> Vec<Complaint> {
    let is_catalogue_whole = unparsed.iter().all(|fault| fault.file == settings);
    let is_follower = |complaint: &Complaint| {
        let faults = unparsed.iter().filter(|fault| fault.file == complaint.file);
        match faults.map(|fault| fault.line).min() {
            Some(line) => complaint.line >= line || complaint.message.contains("is missing"),
            None if is_catalogue_whole => false,
            None => ["unknown", "leads nowhere"].iter().any(|words| complaint.message.contains(words)),
        }
    };
    if unparsed.is_empty() {
        return all;
    }
    all.into_iter().filter(|complaint| unparsed.contains(complaint) || !is_follower(complaint)).collect()
}

fn sorted(mut complaints: Vec<Complaint>) -> Vec<Complaint> {
    complaints.sort_by(|a, b| (&a.file, a.line, &a.message).cmp(&(&b.file, b.line, &b.message)));
    complaints.dedup();
    complaints
}

/// What the five files say.
struct Trees {
    settings: Table,
    providers: Table,
    models: Table,
    lanes: Table,
    tariffs: Table,
}

impl Trees {
    /// Lays one variable over the file that its section belongs to, if it is an override at all.
    fn lay_over(&mut self, variable: &str, text: &str, complaints: &mut Vec<Complaint>) {
        let Some(name) = variable.get(..PREFIX.len()).filter(|start| start.eq_ignore_ascii_case(PREFIX)) else {
            return;
        };
        let name = variable.get(name.len()..).unwrap_or_default();
        let path: Vec<&str> = name.split(SEPARATOR).collect();
        let section = path.first().map(|section| section.to_ascii_lowercase()).unwrap_or_default();
        let origin = Origin { file: variable.into(), line: 0 };
        let [_, rest @ ..] = path.as_slice() else { return };
        if rest.is_empty() {
            let fault = one_underscore(name).map(|hint| ("one underscore after the section", hint));
            let fault = fault.or_else(|| Some(("no section before the key", no_section(name)?)));
            if let Some((fault, hint)) = fault {
                complaints.push(origin.complaint(format!("is no override: {fault}"), hint));
            }
            return;
        }
        if path.iter().any(|word| word.is_empty()) {
            let hint = "FLUX_SECTION__KEY, words with two underscores between";
            complaints.push(origin.complaint("has an empty word in its name", hint));
            return;
        }
        match section.as_str() {
            "providers" => self.providers.lay_over(rest, variable, text),
            "models" => self.models.lay_over(rest, variable, text),
            "tariffs" => self.tariffs.lay_over(rest, variable, text),
            section if LANES_SECTIONS.contains(&section) => self.lanes.lay_over(&path, variable, text),
            section if SETTINGS_SECTIONS.contains(&section) => self.settings.lay_over(&path, variable, text),
            section => {
                let hint = meant(section, sections()).unwrap_or_else(|| sections().collect::<Vec<_>>().join(", "));
                complaints.push(origin.complaint(format!("unknown section {section}"), hint));
            }
        }
    }
}

fn sections() -> impl Iterator<Item = &'static str> {
    SETTINGS_SECTIONS.into_iter().chain(["providers", "models", "tariffs"]).chain(LANES_SECTIONS)
}

/// `SERVER_LISTEN` was meant to be `SERVER__LISTEN`. Other variables that begin with `FLUX_` are not
/// ours to judge.
fn one_underscore(name: &str) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    let rest = |section: &str| lower.strip_prefix(section).and_then(|rest| rest.strip_prefix('_')).map(str::to_owned);
    let (section, key) = SETTINGS_SECTIONS.into_iter().find_map(|section| Some((section, rest(section)?)))?;
    let is_setting = settings::names().contains(&format!("{section}.{key}"));
    let (section, key) = (section.to_ascii_uppercase(), key.to_ascii_uppercase());
    is_setting.then(|| format!("did you mean {PREFIX}{section}{SEPARATOR}{key}?"))
}

/// `LISTEN` was meant to be `SERVER__LISTEN`.
fn no_section(name: &str) -> Option<String> {
    let name = name.to_ascii_lowercase();
    let meant: Vec<String> = settings::names()
        .iter()
        .filter_map(|setting| setting.split_once('.').filter(|(_, key)| *key == name))
        .map(|(section, key)| format!("{PREFIX}{}{SEPARATOR}{}", section.to_uppercase(), key.to_uppercase()))
        .collect();
    (!meant.is_empty()).then(|| format!("did you mean {}?", meant.join(" or ")))
}
