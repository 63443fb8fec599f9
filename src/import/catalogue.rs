//! The four files that an import starts from: what they hold, and edits that leave the rest of their text alone.
//!
//! Must not know what is imported. The texts have been found good by `config` before; an edit that finds no place
//! changes nothing, and `flux check` tells of what is missing then.

use std::fmt::Write as _;

use toml::{Table, Value};

use crate::base::complaint::Complaint;
use crate::config::check::Texts;

/// Providers, models and names as they are written.
#[derive(Debug)]
pub(super) struct Catalogue {
    pub(super) providers: Table,
    pub(super) models: Table,
    lanes: Table,
}

impl Catalogue {
    /// # Errors
    /// With the files that are no TOML.
    pub(super) fn parse(texts: &Texts) -> Result<Self, Vec<Complaint>> {
        let mut complaints = Vec::new();
        let mut read = |(file, text): &(String, String)| {
            text.parse::<Table>().unwrap_or_else(|error| {
                let message = error.message().lines().next().unwrap_or("not TOML").to_owned();
                let hint = "see flux check".to_owned();
                complaints.push(Complaint { file: file.clone(), line: 0, message, hint });
                Table::new()
            })
        };
        let catalogue =
            Self { providers: read(&texts.providers), models: read(&texts.models), lanes: read(&texts.lanes) };
        if complaints.is_empty() { Ok(catalogue) } else { Err(complaints) }
    }

    /// A provider's table.
    pub(super) fn provider(&self, id: &str) -> Option<&Table> {
        self.providers.get(id).and_then(Value::as_table)
    }

    /// Models of a provider: id and table.
    pub(super) fn models_of(&self, provider: &str) -> impl Iterator<Item = (&str, &Table)> {
        let is_of = move |id: &str| id.split_once('/').is_some_and(|(of, _)| of == provider);
        self.models
            .iter()
            .filter(move |(id, _)| is_of(id))
            .filter_map(|(id, model)| Some((id.as_str(), model.as_table()?)))
    }

    /// Whether a lane, a pin or the router has this name.
    pub(super) fn has_chain(&self, name: &str) -> bool {
        let in_section = |section: &str| self.section(section).is_some_and(|table| table.contains_key(name));
        let auto = self.section("auto").and_then(|auto| auto.get("name")).and_then(Value::as_str);
        auto.unwrap_or("flux-auto") == name || in_section("lanes") || in_section("pins")
    }

    /// What a client name stands for.
    pub(super) fn client_name(&self, name: &str) -> Option<&str> {
        self.section("client_names")?.get(name)?.as_str()
    }

    fn section(&self, name: &str) -> Option<&Table> {
        self.lanes.get(name).and_then(Value::as_table)
    }
}

/// The text at a key, empty where there is none.
pub(super) fn text_at<'a>(table: &'a Table, key: &str) -> &'a str {
    table.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A key as TOML wants it, in quotes where needed.
pub(super) fn key(name: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if !name.is_empty() && name.bytes().all(is_bare) { name.to_owned() } else { Value::from(name).to_string() }
}

/// `key = value` for each entry of a table, those of `first` in front, tables in braces.
pub(super) fn lines(table: &Table, first: &[&str]) -> String {
    let place = |name: &str| first.iter().position(|known| *known == name).unwrap_or(first.len());
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| place(name));
    let mut lines = String::new();
    for (name, value) in entries {
        // Writing into a text cannot fail.
        _ = writeln!(lines, "{} = {value}", key(name));
    }
    lines
}

/// What to do with a line of a section.
enum Edit<'a> {
    /// Sets a comment sign before it, with a reason behind it.
    CommentOut(&'a str),
    /// Puts another in its place.
    Replace(String),
}

/// Puts the line of a key out of force; whether it was found.
pub(super) fn comment_out(text: &mut String, section: &str, name: &str, reason: &str) -> bool {
    edit(text, section, name, &Edit::CommentOut(reason))
}

/// Sets a key that has a line of its own; whether it was found.
pub(super) fn replace(text: &mut String, section: &str, name: &str, value: &Value) -> bool {
    edit(text, section, name, &Edit::Replace(format!("{} = {value}", key(name))))
}

fn edit(text: &mut String, section: &str, name: &str, edit: &Edit<'_>) -> bool {
    let mut is_inside = false;
    let mut found = false;
    let mut edited = String::with_capacity(text.len());
    for line in text.lines() {
        if let Some(header) = header(line) {
            is_inside = header == section;
        }
        let is_meant = is_inside && !found && line.parse::<Table>().is_ok_and(|table| table.contains_key(name));
        found |= is_meant;
        match edit {
            Edit::CommentOut(reason) if is_meant => _ = write!(edited, "# {line} # {reason}"),
            Edit::Replace(other) if is_meant => edited.push_str(other),
            Edit::CommentOut(_) | Edit::Replace(_) => edited.push_str(line),
        }
        edited.push('\n');
    }
    *text = edited;
    found
}

/// Puts lines below the header of a section, which is made at the end where there is none.
pub(super) fn insert(text: &mut String, section: &str, new: &str) {
    if new.is_empty() {
        return;
    }
    let mut edited = String::with_capacity(text.len() + new.len());
    let mut found = false;
    for line in text.lines() {
        edited.push_str(line);
        edited.push('\n');
        if !found && header(line) == Some(section) {
            found = true;
            edited.push_str(new);
        }
    }
    if !found {
        _ = write!(edited, "\n[{section}]\n{new}");
    }
    *text = edited;
}

/// The name in `[name]`, of plain headers only.
fn header(line: &str) -> Option<&str> {
    let inside = line.trim_start().strip_prefix('[')?;
    inside.split_once(']').map(|(name, _)| name.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# head\n[pins]\na = [\"x/y\"]\n\n[client_names]\n\"gpt-4.1\" = \"a\" # why\na = \"b\"\n";

    #[test]
    fn edits_touch_one_line() {
        let mut text = TEXT.to_owned();
        assert!(comment_out(&mut text, "client_names", "gpt-4.1", "imported"));
        assert!(!comment_out(&mut text, "client_names", "gpt-4", "imported"));
        assert!(replace(&mut text, "pins", "a", &Value::from(vec!["z"])));
        insert(&mut text, "client_names", "new = \"a\"\n");
        insert(&mut text, "auto", "name = \"a\"\n");
        assert_eq!(
            text,
            "# head\n[pins]\na = [\"z\"]\n\n[client_names]\nnew = \"a\"\n# \"gpt-4.1\" = \"a\" # why # imported\na = \"b\"\n\n[auto]\nname = \"a\"\n"
        );
    }

    #[test]
    fn keys_are_quoted_where_needed() {
        assert_eq!(key("gpt-4o"), "gpt-4o");
        assert_eq!(key("gpt-4.1"), "\"gpt-4.1\"");
        assert_eq!(key("a\"b"), "'a\"b'");
        assert_eq!(key(""), "\"\"");
    }
}
