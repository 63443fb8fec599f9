//! Reads the five files of a configuration folder.
//!
//! Must not judge what they say: `check` does that. The environment comes in as an argument.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use crate::base::complaint::Complaint;
use crate::base::tariff::Tariffs;
use crate::catalog::Catalog;

use super::check::{Checked, Texts, check};
use super::{Config, settings};

/// Larger files are refused: a catalogue of a thousand models has one megabyte.
const FILE_BYTES_MAX: u64 = 32 << 20;
/// The files of a configuration folder.
pub const FILES: [&str; 5] = ["flux.toml", "providers.toml", "models.toml", "lanes.toml", TARIFFS_FILE];
const TARIFFS_FILE: &str = "tariffs.toml";
/// The tariffs of the repository, used where a folder has none of its own.
const BUILT_IN_TARIFFS: &str = include_str!("../../conf/tariffs.toml");

/// A configuration that was found good.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// Providers, models, lanes and pins.
    pub catalog: Catalog,
    /// What accounts can be on.
    pub tariffs: Arc<Tariffs>,
    /// The folder of rules that decide beside the first; relative to the configuration folder.
    pub shadow: Option<PathBuf>,
    /// Of the files, taken before they were read.
    pub fingerprint: Fingerprint,
}

/// Tells whether files may have changed: time of change and size of each. Cheap, no file is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint([(u128, u64); FILES.len()]);

/// Takes the fingerprint of a folder; a file that cannot be seen counts as empty.
pub fn fingerprint(dir: &Path) -> Fingerprint {
    Fingerprint(FILES.map(|file| {
        let Ok(seen) = fs::metadata(dir.join(file)) else { return (0, 0) };
        let changed = seen.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        (changed.map_or(0, |since| since.as_nanos()), seen.len())
    }))
}

/// Reads and checks a configuration folder.
///
/// # Errors
/// With all complaints about all files and variables.
pub fn load(dir: &Path, environment: &[(String, String)]) -> Result<Loaded, Vec<Complaint>> {
    let fingerprint = fingerprint(dir);
    // Without a file the others refer to nothing; what they say about that would only hide the cause.
    let texts = read_texts(dir)?;
    let checked = check(&texts, environment);
    let Checked { config, catalog, tariffs, shadow, defaulted: _ } = checked?;
    Ok(Loaded { config, catalog, tariffs, shadow: shadow.map(|folder| dir.join(folder)), fingerprint })
}

/// The data folder of a server with this configuration, environment aside. Whatever else may be wrong with the
/// files: keys must be revocable all the same.
pub fn data_dir(dir: &Path) -> PathBuf {
    let text = read(&dir.join("flux.toml")).unwrap_or_default();
    settings::data_dir(&text)
}

/// Reads the files of a configuration folder, without a look at what they say.
///
/// # Errors
/// With the files that cannot be read.
pub fn read_texts(dir: &Path) -> Result<Texts, Vec<Complaint>> {
    let mut unread = Vec::new();
    let [settings, providers, models, lanes, tariffs] = FILES.map(|file| {
        let path = dir.join(file);
        let name = path.display().to_string();
        if file == TARIFFS_FILE && !path.exists() {
            return ("built-in tariffs".to_owned(), BUILT_IN_TARIFFS.to_owned());
        }
        let text = read(&path).unwrap_or_else(|message| {
            let hint = "the folder needs flux.toml, providers.toml, models.toml and lanes.toml".to_owned();
            unread.push(Complaint { file: name.clone(), line: 0, message, hint });
            String::new()
        });
        (name, text)
    });
    if unread.is_empty() { Ok(Texts { settings, providers, models, lanes, tariffs }) } else { Err(unread) }
}

fn read(path: &Path) -> Result<String, String> {
    let seen = fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?;
    if seen.len() > FILE_BYTES_MAX {
        return Err(format!("is larger than {FILE_BYTES_MAX} bytes"));
    }
    fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))
}
