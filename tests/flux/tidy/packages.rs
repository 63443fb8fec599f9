//! Licences and doubled versions of everything that is built in, against `deny.toml`.
//!
//! Must not know any package by name: the policy is in the file, which cargo-deny reads too.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

/// What `deny.toml` says, as far as it is checked here.
#[derive(Debug, Deserialize)]
pub(super) struct Policy {
    licenses: Licenses,
    bans: Bans,
}

#[derive(Debug, Deserialize)]
struct Licenses {
    allow: BTreeSet<String>,
}

#[derive(Debug, Deserialize)]
struct Bans {
    skip: Vec<Skip>,
}

#[derive(Debug, Deserialize)]
struct Skip {
    /// `name:^range`.
    #[serde(rename = "crate")]
    spec: String,
    reason: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
}

pub(super) fn policy(deny: &str) -> Policy {
    toml::from_str(deny).unwrap()
}

/// The packages that this platform builds; the others may not even be downloaded.
pub(super) fn metadata(root: &Path) -> Metadata {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["metadata", "--format-version", "1", "--offline", "--locked", "--filter-platform", "host-tuple"];
    let output = Command::new(cargo).args(arguments).current_dir(root).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

pub(super) fn licence_complaints(policy: &Policy, metadata: &Metadata) -> Vec<String> {
    let refused = |package: &&Package| {
        let licence = package.license.as_deref().unwrap_or("");
        !is_allowed(licence, &policy.licenses.allow)
    };
    let complaint = |p: &Package| format!("{} {}: licence {:?} is not in deny.toml", p.name, p.version, p.license);
    metadata.packages.iter().filter(refused).map(complaint).collect()
}

/// Every part that is joined with AND needs one allowed choice. Brackets as crates write them: round one level of OR.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let plain = expression.replace(['(', ')'], "").replace('/', " OR ");
    !plain.trim().is_empty()
        && plain.split(" AND ").all(|part| part.split(" OR ").any(|choice| allowed.contains(choice.trim())))
}

pub(super) fn doubled_complaints(policy: &Policy, metadata: &Metadata) -> Vec<String> {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in &metadata.packages {
        versions.entry(&package.name).or_default().insert(&package.version);
    }
    let mut skips: BTreeMap<(&str, &str), bool> = BTreeMap::new();
    let mut complaints = Vec::new();
    for skip in &policy.bans.skip {
        match skip.spec.split_once(":^") {
            Some((name, range)) if !skip.reason.is_empty() => _ = skips.insert((name, range), false),
            _ => complaints.push(format!("deny.toml: `{}` is not `name:^range` with a reason", skip.spec)),
        }
    }
    for (name, versions) in versions.iter().filter(|(_, versions)| versions.len() > 1) {
        let mut unknown = 0;
        for version in versions {
            match skips.get_mut(&(*name, compatible_range(version))) {
                Some(used) => *used = true,
                None => unknown += 1,
            }
        }
        if unknown > 1 {
            complaints.push(format!("{name} is built in versions {versions:?}: argue it in deny.toml"));
        }
    }
    for ((name, range), _) in skips.iter().filter(|(_, used)| !**used) {
        complaints.push(format!("deny.toml: `{name}:^{range}` is not doubled any more"));
    }
    complaints
}

/// `0.22` of `0.22.1`, `1` of `1.9.3`: the versions that cargo takes for one another.
fn compatible_range(version: &str) -> &str {
    let dots = if version.starts_with("0.") { 2 } else { 1 };
    version.match_indices('.').nth(dots - 1).map_or(version, |(at, _)| &version[..at])
}

#[cfg(test)]
mod tests {
    use super::{compatible_range, is_allowed};

    #[test]
    fn reads_licence_expressions() {
        let allowed = ["MIT", "Apache-2.0", "Unicode-3.0"].map(str::to_owned).into();
        for good in ["MIT", "MIT/Apache-2.0", "(MIT OR Apache-2.0) AND Unicode-3.0", "GPL-3.0 OR MIT"] {
            assert!(is_allowed(good, &allowed), "{good}");
        }
        for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "GPL-3.0 OR LGPL-3.0"] {
            assert!(!is_allowed(bad, &allowed), "{bad}");
        }
    }

    #[test]
    fn knows_which_versions_replace_each_other() {
        assert_eq!(compatible_range("0.22.1"), "0.22");
        assert_eq!(compatible_range("1.9.3"), "1");
        assert_eq!(compatible_range("0.9.34+deprecated"), "0.9");
    }
}
