//! The rules of the house that no lint knows, each a test that names file and line.
//!
//! Must not know how Flux works: it reads sources, documents and `cargo metadata`, and runs nothing else.

mod edges;
mod packages;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Lines of a source file, its tests left out.
const FILE_LINES_MAX: usize = 500;
/// A text file above this is data, not prose or code.
const TEXT_BYTES_MAX: u64 = 2 << 20;
/// Far more than the tree has; a loop through symbolic links ends here.
const TREE_FILES_MAX: usize = 20_000;

/// What must never be committed: where a machine builds, and from where it downloads. In two parts, so that this file
/// passes its own test.
const LOCAL_TRACES: [(&str, &str); 10] = [
    ("/home", "/"),
    ("/Users", "/"),
    ("/root", "/"),
    ("/work", "/"),
    ("/tmp", "/wt"),
    ("index", "-url"),
    ("registry", ".npmjs"),
    ("python", "hosted.org"),
    ("static", ".crates.io"),
    ("index", ".crates.io"),
];
/// The one source that `Cargo.lock` may name.
const LOCK_SOURCE: &str = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Fails with every complaint on its own line.
#[track_caller]
fn assert_tidy(complaints: &[String]) {
    assert!(complaints.is_empty(), "{} complaint(s):\n{}", complaints.len(), complaints.join("\n"));
}

/// The files of the repository below `folder`, as paths from its root. Build output and what git ignores is left out.
fn files(folder: &str) -> Vec<String> {
    let ignored: BTreeSet<String> =
        read(".gitignore").lines().filter_map(|l| l.trim_matches('/').split('/').next().map(str::to_owned)).collect();
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries {
            let entry = entry.unwrap();
            let (name, kind) = (entry.file_name().to_string_lossy().into_owned(), entry.file_type().unwrap());
            let hidden = name.starts_with('.') && ![".ci", ".github", ".cargo"].contains(&name.as_str());
            if kind.is_dir() {
                let is_cache = entry.path().join("CACHEDIR.TAG").exists();
                if !hidden && !is_cache && !ignored.contains(&name) {
                    folders.push(entry.path());
                }
            } else if kind.is_file() && name != ".git" {
                found.push(entry.path().strip_prefix(root()).unwrap().to_string_lossy().into_owned());
            }
        }
        assert!(found.len() < TREE_FILES_MAX, "too many files below {}", folder.display());
    }
    found.sort();
    found
}

/// Path and text of every text file of the repository.
fn texts() -> Vec<(String, String)> {
    let small = |path: &String| std::fs::metadata(root().join(path)).is_ok_and(|m| m.len() <= TEXT_BYTES_MAX);
    let text = |path: String| std::fs::read_to_string(root().join(&path)).ok().map(|text| (path, text));
    files(".").into_iter().filter(small).filter_map(text).collect()
}

fn sources(folder: &str) -> Vec<(String, String)> {
    let is_rust = |path: &String| Path::new(path).extension().is_some_and(|e| e == "rs");
    files(folder).into_iter().filter(is_rust).map(|path| (path.clone(), read(&path))).collect()
}

/// Tests stand last in a file, so everything before their module counts.
fn lines_without_tests(path: &str, text: &str) -> usize {
    if path.ends_with("tests.rs") || path.contains("/tests/") {
        return 0;
    }
    let lines: Vec<&str> = text.lines().collect();
    let is_test_module =
        |pair: &[&str]| pair[0].trim() == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{');
    lines.windows(2).position(is_test_module).unwrap_or(lines.len())
}

#[test]
fn every_edge_between_modules_is_in_the_table() {
    let table = edges::Table::parse(&read("ARCHITECTURE.md")).unwrap();
    let mut complaints = Vec::new();
    for (path, text) in sources("src") {
        complaints.extend(edges::forbidden(&table, path.strip_prefix("src/").unwrap(), &text));
    }
    assert_tidy(&complaints);
}

#[test]
fn the_table_and_the_source_tree_name_the_same_modules() {
    let table = edges::Table::parse(&read("ARCHITECTURE.md")).unwrap();
    let modules = sources("src").iter().filter_map(|(path, _)| edges::top_module(path.strip_prefix("src/")?)).collect();
    assert_tidy(&table.differences(&modules));
}

#[test]
fn a_source_file_is_short_and_says_what_it_is_for() {
    let mut complaints = Vec::new();
    for (path, text) in sources("src").into_iter().chain(sources("benches")) {
        let count = lines_without_tests(&path, &text);
        if count > FILE_LINES_MAX {
            complaints.push(format!("{path}: {count} lines, {FILE_LINES_MAX} is the most"));
        }
        if !text.starts_with("//! ") {
            complaints.push(format!("{path}:1: no `//!` head"));
        }
    }
    assert_tidy(&complaints);
}

#[test]
fn every_setting_is_explained_where_it_stands() {
    let path = "conf/flux.toml";
    let complaints: Vec<String> = unexplained(&read(path)).into_iter().map(|l| format!("{path}:{l}")).collect();
    assert_tidy(&complaints);
}

/// `line: key` for each key without a comment above or beside it.
fn unexplained(text: &str) -> Vec<String> {
    let mut missing = Vec::new();
    let mut explained = false;
    let mut open_brackets = 0_usize;
    for (index, line) in text.lines().enumerate() {
        let (code, comment) = line.split_once('#').unwrap_or((line, ""));
        let is_key = open_brackets == 0 && !code.trim_start().starts_with('[') && code.contains('=');
        if is_key && !explained && comment.trim().is_empty() {
            missing.push(format!("{}: `{}` has no comment", index + 1, code.split('=').next().unwrap_or("").trim()));
        }
        if is_key || open_brackets > 0 {
            open_brackets = (open_brackets + code.matches('[').count()).saturating_sub(code.matches(']').count());
        }
        explained = code.trim().is_empty() && !comment.trim().is_empty();
    }
    missing
}

#[test]
fn what_is_left_to_do_has_an_issue() {
    let markers = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let has_issue = |rest: &str| {
        let issue = rest.split_once('#').map_or("", |(_, number)| number);
        issue.starts_with(|c: char| c.is_ascii_digit())
    };
    let mut complaints = Vec::new();
    for (path, text) in texts() {
        for (index, line) in text.lines().enumerate() {
            let marker = markers.iter().find_map(|marker| word(line, marker));
            if marker.is_some_and(|rest| !has_issue(rest)) {
                complaints.push(format!("{path}:{}: no #issue: {}", index + 1, line.trim()));
            }
        }
    }
    assert_tidy(&complaints);
}

/// What follows `word` in `line`, if it stands there as a word of its own.
fn word<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let at = line.find(word)?;
    let (before, after) = (&line[..at], &line[at + word.len()..]);
    let touches = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    (!touches(before.chars().next_back()) && !touches(after.chars().next())).then_some(after)
}

#[test]
fn no_file_tells_where_it_was_built() {
    let mut complaints = Vec::new();
    for (path, text) in texts() {
        for (index, line) in text.lines().enumerate() {
            let line_number = index + 1;
            if path.ends_with("Cargo.lock") && line.starts_with("source = ") && line != LOCK_SOURCE {
                complaints.push(format!("{path}:{line_number}: not the public index: {line}"));
            }
            for (first, second) in LOCAL_TRACES {
                if line.match_indices(first).any(|(at, _)| line[at + first.len()..].starts_with(second)) {
                    complaints.push(format!("{path}:{line_number}: `{first}{second}` belongs to some machine"));
                }
            }
        }
    }
    assert_tidy(&complaints);
}

#[test]
fn every_dependency_has_a_licence_that_deny_toml_allows() {
    assert_tidy(&packages::licence_complaints(&packages::policy(&read("deny.toml")), &packages::metadata(&root())));
}

#[test]
fn every_doubled_dependency_is_known() {
    assert_tidy(&packages::doubled_complaints(&packages::policy(&read("deny.toml")), &packages::metadata(&root())));
}

#[test]
fn a_key_is_explained_above_or_beside() {
    let text = "# above\na = 1\nb = 2 # beside\n\nc = [\n  \"x=y\",\n]\n[t]\nd = 4\n";
    assert_eq!(unexplained(text), ["5: `c` has no comment", "9: `d` has no comment"]);
}

#[test]
fn tests_at_the_end_of_a_file_do_not_count() {
    assert_eq!(lines_without_tests("src/a.rs", "//! a\nfn a() {}\n\n#[cfg(test)]\nmod tests {\n}\n"), 3);
    assert_eq!(lines_without_tests("src/a.rs", "//! a\n#[cfg(test)]\nmod tests;\nfn a() {}\n"), 4);
    assert_eq!(lines_without_tests("src/a/tests.rs", "//! a\n"), 0);
}
