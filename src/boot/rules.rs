//! The rules folder: what `flux-auto` decides by, read as a whole.
//!
//! Must not know what the files mean; `classify` checks them. Where an operator has no folder, or leaves a file out, the
//! repository's own file holds.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::base::complaint::Complaint;
use crate::classify::kinds::weights::{self, Weights};
use crate::classify::rules::RuleSet;
use crate::classify::table::{self, LaneTable};
use crate::classify::{KindModel, Router, rules};

/// Largest rules file that is read.
const RULES_BYTES_MAX: u64 = 1 << 20;

/// One file of the folder, and what holds where it is missing.
struct Part {
    name: &'static str,
    built_in: &'static str,
    bytes_max: u64,
}

const RULES: Part = Part {
    name: "flux-auto.toml",
    built_in: include_str!("../../lua-free-rules/flux-auto.toml"),
    bytes_max: RULES_BYTES_MAX,
};
const TABLE: Part = Part {
    name: "lane-table.toml",
    built_in: include_str!("../../lua-free-rules/lane-table.toml"),
    bytes_max: table::FILE_BYTES_MAX,
};
const WEIGHTS: Part = Part {
    name: "kind-weights.json",
    built_in: include_str!("../../lua-free-rules/kind-weights.json"),
    bytes_max: weights::FILE_BYTES_MAX,
};

/// The rules stand beside the configuration folder, in `lua-free-rules`.
pub(crate) fn folder(config_dir: &Path) -> PathBuf {
    config_dir.join("..").join("lua-free-rules")
}

/// Which rules are in use, for the log.
pub(super) fn in_use(config_dir: &Path) -> String {
    let folder = folder(config_dir);
    match folder.canonicalize() {
        Ok(folder) => folder.display().to_string(),
        Err(_) => format!("built in, as there is no {}", folder.display()),
    }
}

/// When each file of a folder was last changed.
pub(super) fn stamps(folder: &Path) -> [Option<SystemTime>; 3] {
    [RULES, TABLE, WEIGHTS]
        .map(|part| std::fs::metadata(folder.join(part.name)).and_then(|metadata| metadata.modified()).ok())
}

/// Reads a rules folder.
///
/// # Errors
/// Everything that is wrong with its files.
pub(crate) fn read(folder: &Path) -> Result<Router, Vec<Complaint>> {
    let rules = RULES.read(folder).and_then(|text| rules::parse(&text, &RULES.shown()));
    let kinds = WEIGHTS.read(folder).and_then(|text| {
        let weights = Weights::parse(&text).map_err(|error| {
            let hint = "take the file from the release, or write it anew: flux calibrate";
            vec![Complaint { file: WEIGHTS.shown(), line: 0, message: error.to_string(), hint: hint.to_owned() }]
        })?;
        let table = LaneTable::parse(&TABLE.read(folder)?, &TABLE.shown(), weights.kinds())?;
        Ok(KindModel { weights, table })
    });
    match (rules, kinds) {
        (Ok(rules), Ok(kinds)) => Ok(Router { rules, kinds }),
        (rules, kinds) => Err(sum(rules, kinds)),
    }
}

/// Reads the folder of rules that decide beside the first. It must be there: the built-in rules would agree with
/// themselves.
///
/// # Errors
/// Where it is not there, and everything that is wrong with its files.
pub(crate) fn read_shadow(folder: &Path) -> Result<Router, Vec<Complaint>> {
    if folder.is_dir() {
        return read(folder);
    }
    let hint = "make it, with a flux-auto.toml of its own, or take [auto] shadow out of lanes.toml".to_owned();
    let message = "there is no such folder of rules".to_owned();
    Err(vec![Complaint { file: folder.display().to_string(), line: 0, message, hint }])
}

fn sum(rules: Result<RuleSet, Vec<Complaint>>, kinds: Result<KindModel, Vec<Complaint>>) -> Vec<Complaint> {
    [rules.err(), kinds.err()].into_iter().flatten().flatten().collect()
}

impl Part {
    fn shown(&self) -> String {
        format!("lua-free-rules/{}", self.name)
    }

    fn read(&self, folder: &Path) -> Result<String, Vec<Complaint>> {
        let path = folder.join(self.name);
        let complaint = |message: String, hint: &str| {
            vec![Complaint { file: path.display().to_string(), line: 0, message, hint: hint.to_owned() }]
        };
        match std::fs::metadata(&path) {
            Ok(metadata) if metadata.len() > self.bytes_max => {
                return Err(complaint(format!("larger than {} bytes", self.bytes_max), "is this the right file?"));
            }
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(self.built_in.to_owned()),
            Err(error) => return Err(complaint(format!("cannot be read: {error}"), "let the user of flux read it")),
        }
        std::fs::read_to_string(&path)
            .map_err(|error| complaint(format!("cannot be read: {error}"), "let the user of flux read it"))
    }
}
