//! Which top module names which: the table of ARCHITECTURE.md against the paths in the sources.
//!
//! Must not know what the modules are for. It reads tokens, not a syntax tree: `crate::x`, `super::x` that reaches the
//! root, and groups of them. Comments and literals do not count; tests inside `src` do.

use std::collections::{BTreeMap, BTreeSet};

/// The heading below which the table stands.
const HEADING: &str = "## Who may know whom";
/// A row of a module that is planned; it may not exist yet.
const PLANNED: &str = " (later)";

/// Who may name whom.
#[derive(Debug, Default)]
pub(super) struct Table {
    allowed: BTreeMap<String, Allowed>,
    planned: BTreeSet<String>,
}

#[derive(Clone, Debug)]
enum Allowed {
    All,
    These(BTreeSet<String>),
}

impl Table {
    /// Reads the table and the sentences that list the nouns and the verbs.
    pub(super) fn parse(architecture: &str) -> Result<Self, String> {
        let section = architecture.split_once(HEADING).ok_or(format!("no heading `{HEADING}`"))?.1;
        let section = section.split("\n## ").next().unwrap_or(section);
        let prose: String = section.lines().filter(|line| !line.starts_with('|')).collect::<Vec<_>>().join(" ");
        let mut table = Self::default();
        for line in section.lines().filter(|line| line.starts_with('|')) {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            for pair in cells.split(|cell| cell.is_empty()) {
                if let [modules, names] = pair
                    && *modules != "module"
                    && !modules.starts_with("--")
                {
                    table.add_row(modules, names, &prose)?;
                }
            }
        }
        if table.allowed.is_empty() { Err("the table has no rows".into()) } else { Ok(table) }
    }

    fn add_row(&mut self, modules: &str, names: &str, prose: &str) -> Result<(), String> {
        let mut these = BTreeSet::new();
        let mut all = false;
        for name in names.split(',').map(str::trim) {
            match name {
                "nothing" => {}
                "all" => all = true,
                "every noun" => these.extend(listed(prose, "Nouns")?),
                "every verb" => these.extend(listed(prose, "Verbs")?),
                name => _ = these.insert(name.to_owned()),
            }
        }
        let allowed = if all { Allowed::All } else { Allowed::These(these) };
        for module in modules.split(',').map(str::trim) {
            let name = module.trim_end_matches(PLANNED);
            if name != module {
                self.planned.insert(name.to_owned());
            }
            if self.allowed.insert(name.to_owned(), allowed.clone()).is_some() {
                return Err(format!("`{name}` has two rows"));
            }
        }
        Ok(())
    }

    fn allows(&self, from: &str, to: &str) -> bool {
        match self.allowed.get(from) {
            _ if from == to => true,
            // The binary is a door to the command line and nothing else, unless a row says otherwise.
            None if from == "main" => to == "cli",
            None => false,
            Some(Allowed::All) => self.allowed.contains_key(to),
            Some(Allowed::These(names)) => names.contains(to),
        }
    }

    /// Modules without a row, rows without a module, and rows that name what is no module.
    pub(super) fn differences(&self, modules: &BTreeSet<String>) -> Vec<String> {
        let mut found = Vec::new();
        for module in modules.iter().filter(|module| !self.allowed.contains_key(*module)) {
            found.push(format!("src/{module} has no row in the table of ARCHITECTURE.md"));
        }
        for (module, allowed) in self.allowed.iter().filter(|(module, _)| *module != "main") {
            match (modules.contains(module), self.planned.contains(module)) {
                (true, true) => found.push(format!("`{module}` exists: take `{PLANNED}` out of ARCHITECTURE.md")),
                (false, false) => found.push(format!("ARCHITECTURE.md has a row for `{module}`, src has not")),
                (true, false) | (false, true) => {}
            }
            let Allowed::These(names) = allowed else { continue };
            for name in names.iter().filter(|name| !self.allowed.contains_key(*name)) {
                found.push(format!("`{module}` may name `{name}`, which has no row"));
            }
        }
        found
    }
}

/// The names in backticks from `word` to the end of its sentence. `config::load` is a part of a module, so left out.
fn listed(prose: &str, word: &str) -> Result<Vec<String>, String> {
    let rest = prose.split_once(word).ok_or(format!("no sentence that begins with `{word}`"))?.1;
    let list = rest.split_once(':').and_then(|(_, list)| list.split('.').next()).unwrap_or("");
    Ok(list.split('`').skip(1).step_by(2).filter(|name| !name.contains("::")).map(str::to_owned).collect())
}

/// `plan` for `plan.rs` and `plan/mod.rs`; nothing for the two crate roots.
pub(super) fn top_module(path: &str) -> Option<String> {
    let top = path.split('/').next()?.trim_end_matches(".rs");
    (!["lib", "main"].contains(&top)).then(|| top.to_owned())
}

/// The edges of one file, its path given from `src`, that the table has not.
pub(super) fn forbidden(table: &Table, path: &str, text: &str) -> Vec<String> {
    if path == "lib.rs" {
        return Vec::new();
    }
    let from = path.split('/').next().unwrap_or("").trim_end_matches(".rs");
    let complaint = |(line, to): (usize, String)| format!("src/{path}:{line}: `{from}` may not name `{to}`");
    edges(path, text).into_iter().filter(|(_, to)| !table.allows(from, to)).map(complaint).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    PathSep,
    Other(u8),
}

/// Line and name of whatever is named at the crate root.
fn edges(path: &str, text: &str) -> Vec<(usize, String)> {
    let mut depth_of_file: usize = path.split('/').count();
    if path.ends_with("/mod.rs") || path == "main.rs" {
        depth_of_file -= 1;
    }
    let tokens = tokens(text);
    let at = |index: usize| tokens.get(index).map(|(_, token)| *token);
    let mut found = Vec::new();
    let mut braces = 0_usize;
    let mut inline_modules = Vec::new();
    for (index, (_, token)) in tokens.iter().enumerate() {
        let starts_path = index == 0 || at(index - 1) != Some(Token::PathSep);
        match token {
            Token::Other(b'{') => {
                braces += 1;
                if index >= 2 && at(index - 2) == Some(Token::Word("mod")) {
                    inline_modules.push(braces);
                }
            }
            Token::Other(b'}') => {
                inline_modules.retain(|opened| *opened != braces);
                braces = braces.saturating_sub(1);
            }
            Token::Word("crate") => root_names(&tokens, index + 1, &mut found),
            Token::Word("flux") if path == "main.rs" && starts_path => root_names(&tokens, index + 1, &mut found),
            Token::Word("super") if starts_path => {
                let is_super = |step: &usize| at(index + 2 * step) == Some(Token::Word("super"));
                let steps = (0..tokens.len()).take_while(is_super).count();
                if steps >= depth_of_file + inline_modules.len() {
                    root_names(&tokens, index + 2 * steps - 1, &mut found);
                }
            }
            Token::Word(_) | Token::PathSep | Token::Other(_) => {}
        }
    }
    found
}

/// The name after the `::` at `index`, or the first names of the group there.
fn root_names(tokens: &[(usize, Token<'_>)], index: usize, found: &mut Vec<(usize, String)>) {
    if tokens.get(index).map(|(_, token)| *token) != Some(Token::PathSep) {
        return;
    }
    let mut depth = 0_usize;
    let mut first = true;
    for (line, token) in tokens.iter().skip(index + 1) {
        match token {
            Token::Other(b'{') => depth += 1,
            Token::Other(b'}') => depth = depth.saturating_sub(1),
            Token::Other(b',') if depth == 1 => first = true,
            Token::Word(name) if first => {
                first = false;
                if *name != "self" {
                    found.push((*line, (*name).to_owned()));
                }
            }
            Token::Other(b'*') if first => found.push((*line, "*".to_owned())),
            Token::Word(_) | Token::PathSep | Token::Other(_) => {}
        }
        if depth == 0 {
            return;
        }
    }
}

/// Words, `::` and single signs with their lines; comments, strings, characters and lifetimes are left out.
fn tokens(text: &str) -> Vec<(usize, Token<'_>)> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < bytes.len() {
        let rest = &bytes[at..];
        let length = match rest[0] {
            b'/' if rest.starts_with(b"//") => rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len()),
            b'/' if rest.starts_with(b"/*") => block_comment(rest),
            b'"' => quoted(rest),
            b'\'' => character_or_tick(rest),
            b'r' | b'b' | b'c' if raw_string(rest).is_some() => raw_string(rest).unwrap_or(1),
            b':' if rest.starts_with(b"::") => {
                found.push((line, Token::PathSep));
                2
            }
            first if is_word(first) => {
                let length = rest.iter().position(|b| !is_word(*b)).unwrap_or(rest.len());
                found.push((line, Token::Word(&text[at..at + length])));
                length
            }
            first => {
                if !first.is_ascii_whitespace() {
                    found.push((line, Token::Other(first)));
                }
                1
            }
        };
        line += text[at..at + length].matches('\n').count();
        at += length;
    }
    found
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

fn block_comment(rest: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// Length of a literal that opens and closes with the first byte.
fn quoted(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            byte if byte == rest[0] => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// A character literal in whole, of a lifetime the tick alone.
fn character_or_tick(rest: &[u8]) -> usize {
    const UTF8_BYTES_MAX: usize = 4;
    match rest.get(1) {
        Some(b'\\') => quoted(rest),
        Some(byte) if byte.is_ascii() => {
            if rest.get(2) == Some(&b'\'') {
                3
            } else {
                1
            }
        }
        _ => rest.iter().take(2 + UTF8_BYTES_MAX).skip(1).position(|b| *b == b'\'').map_or(1, |end| end + 2),
    }
}

/// Length of `r"…"`, `r#"…"#`, `br"…"`, if one stands here.
fn raw_string(rest: &[u8]) -> Option<usize> {
    let prefix = rest.iter().take(2).position(|b| *b == b'r')? + 1;
    let hashes = rest[prefix..].iter().take_while(|b| **b == b'#').count();
    let body = prefix + hashes + 1;
    if rest.get(body - 1) != Some(&b'"') {
        return None;
    }
    let mut end = vec![b'"'];
    end.resize(1 + hashes, b'#');
    let length = rest[body..].windows(end.len()).position(|window| window == end);
    Some(length.map_or(rest.len(), |length| body + length + end.len()))
}

#[cfg(test)]
mod tests {
    use super::{Table, edges, forbidden};

    const ARCHITECTURE: &str = "# x\n\n## Who may know whom\n\n| module | may name | | module | may name |\n\
        |---|---|---|---|---|\n| base | nothing | | exchange | every noun, every verb |\n\
        | wire, accounts | base | | boot | all |\n| plan (later) | base | | | |\n\n\
        Nouns hold: `base`,\n`wire`, `accounts`. Verbs are steps: `plan`. Shells: `boot`, `config::load`.\n\n## Next\n";

    fn names(path: &str, text: &str) -> Vec<String> {
        edges(path, text).into_iter().map(|(_, name)| name).collect()
    }

    #[test]
    fn finds_paths_from_the_root_however_written() {
        assert_eq!(names("plan.rs", "use crate::base::Money;"), ["base"]);
        assert_eq!(names("plan.rs", "use crate::{base::{A, B}, wire, self};"), ["base", "wire"]);
        assert_eq!(names("plan.rs", "use super::wire::head;"), ["wire"]);
        assert_eq!(names("plan/mod.rs", "fn f(x: &super::wire::Head) {}"), ["wire"]);
        assert_eq!(names("plan/deep.rs", "use super::wire; use super::super::base;"), ["base"]);
        assert_eq!(
            names("plan.rs", "mod tests { use super::*; use super::super::base; } use super::wire;"),
            ["base", "wire"]
        );
        assert_eq!(names("main.rs", "fn main() { flux::cli::run() }"), ["cli"]);
    }

    #[test]
    fn comments_and_literals_do_not_count() {
        let text = r##"/// [`crate::wire`]
            fn f<'a>() { let _ = ("crate::wire", r#"" crate::wire"#, 'c', '\'', b'"'); } /* crate::wire */"##;
        assert_eq!(names("plan.rs", text), [""; 0]);
    }

    #[test]
    fn the_table_decides() {
        let table = Table::parse(ARCHITECTURE).unwrap();
        assert_eq!(
            forbidden(&table, "wire/head.rs", "use crate::base;\nuse crate::accounts;"),
            ["src/wire/head.rs:2: `wire` may not name `accounts`"]
        );
        assert!(forbidden(&table, "exchange/mod.rs", "use crate::{plan, wire, accounts};").is_empty());
        assert!(forbidden(&table, "boot.rs", "use crate::exchange;").is_empty());
        assert_eq!(forbidden(&table, "boot.rs", "use crate::nowhere;").len(), 1);
        assert_eq!(forbidden(&table, "base/mod.rs", "use crate::wire;").len(), 1);
    }

    #[test]
    fn table_and_tree_have_to_agree() {
        let table = Table::parse(ARCHITECTURE).unwrap();
        let modules = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        assert!(table.differences(&modules(&["base", "wire", "accounts", "exchange", "boot"])).is_empty());
        let found = table.differences(&modules(&["base", "wire", "accounts", "exchange", "plan", "new"]));
        assert_eq!(found.len(), 3, "{found:?}");
    }
}
