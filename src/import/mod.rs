//! Moving in: the configuration of another gateway becomes files of Flux.
//!
//! Pure: texts come in, texts and findings go out. Must not read or write a file, and must not let anything get lost:
//! whatever is found and not carried over is told, with its place and a reason.

mod catalogue;
mod decimal;
pub mod litellm;
pub mod tree;
pub mod yaml;

use std::fmt;
use std::sync::Arc;

use crate::config::check::Texts;

/// Where something stands in what is imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file as the operator names it.
    pub file: Arc<str>,
    /// From 1.
    pub line: usize,
}

/// `config.yaml:12`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// What became of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It means the same in Flux.
    Kept,
    /// It is there, with another meaning or in another form.
    Changed,
    /// It is not there.
    Dropped,
    /// It cannot be right without a word from the operator.
    Decide,
}

impl Outcome {
    /// The word for tables and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Changed => "changed",
            Self::Dropped => "dropped",
            Self::Decide => "decide",
        }
    }
}

/// What became of one setting, where it went or why it did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where it stood.
    pub place: Place,
    /// Its path, such as `router_settings.num_retries`.
    pub setting: String,
    /// What became of it.
    pub outcome: Outcome,
    /// For people. Never holds a key.
    pub told: String,
}

/// An environment variable that Flux will read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// What for.
    pub reason: String,
}

/// What an import yields.
#[derive(Clone, Debug)]
pub struct Converted {
    /// The four files.
    pub texts: Texts,
    /// What became of each setting, in the order of files and lines.
    pub findings: Vec<Finding>,
    /// What must be set in the environment.
    pub variables: Vec<Variable>,
    /// Names that clients send, each with the models that answer, best first.
    pub names: Vec<(String, Vec<String>)>,
}

/// Gathers what there is to tell.
#[derive(Debug, Default)]
struct Report {
    findings: Vec<Finding>,
    variables: Vec<Variable>,
}

impl Report {
    fn add(&mut self, outcome: Outcome, place: &Place, setting: impl Into<String>, told: impl Into<String>) {
        let finding = Finding { place: place.clone(), setting: setting.into(), outcome, told: told.into() };
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    fn kept(&mut self, place: &Place, setting: impl Into<String>, told: impl Into<String>) {
        self.add(Outcome::Kept, place, setting, told);
    }

    fn changed(&mut self, place: &Place, setting: impl Into<String>, told: impl Into<String>) {
        self.add(Outcome::Changed, place, setting, told);
    }

    fn dropped(&mut self, place: &Place, setting: impl Into<String>, told: impl Into<String>) {
        self.add(Outcome::Dropped, place, setting, told);
    }

    fn decide(&mut self, place: &Place, setting: impl Into<String>, told: impl Into<String>) {
        self.add(Outcome::Decide, place, setting, told);
    }

    /// A variable is told once, with the first reason.
    fn variable(&mut self, name: &str, reason: impl Into<String>) {
        if !self.variables.iter().any(|known| known.name == name) {
            self.variables.push(Variable { name: name.to_owned(), reason: reason.into() });
        }
    }
}
