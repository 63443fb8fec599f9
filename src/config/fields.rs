//! Reads the fields of a table one by one, with types and bounds, and complains about all faults.
//!
//! Must not know which settings exist: `settings`, `providers`, `models` and `lanes` ask for them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::base::complaint::Complaint;
use crate::base::money::{ParsePriceError, PicoUsd};
use crate::base::quality::Quality;
use crate::base::time::UnixMs;

use super::raw::{Node, Origin, Table, Value};

/// How unlike a word may be to what was meant, in edits.
const EDITS_MAX: usize = 3;
/// Letters of a word that are compared; settings are shorter.
const WORD_MAX: usize = 64;
/// A date without its day: some releases are known by month only.
const MONTH: &str = "2026-04";

/// What has been found while reading: faults, and settings that were left to their defaults.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// All faults.
    pub(super) complaints: Vec<Complaint>,
    /// Settings that no file and no variable mentions: `section.key`.
    pub(super) defaulted: Vec<String>,
    /// Regions of all addresses of providers, also of those that have no key here.
    pub(super) regions: BTreeSet<String>,
}

/// What type a setting has.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Text,
    Texts,
    Flag,
    Whole,
    Price,
    Share,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Text => "a text in quotes",
            Self::Texts => "a list of texts",
            Self::Flag => "true or false",
            Self::Whole => "a whole number, zero or more",
            Self::Price => "a decimal in quotes",
            Self::Share => "a number from 0 to 1",
        }
    }

    /// How it is written in a file.
    fn in_file(self, key: &str) -> String {
        let example = match self {
            Self::Text => "\"…\"",
            Self::Texts => "[\"…\", \"…\"]",
            Self::Flag => "true",
            Self::Whole => "1000, without quotes, sign and fraction",
            Self::Price => "\"0.25\"",
            Self::Share => "0.5",
        };
        format!("such as {key} = {example}")
    }

    /// How it is written in an environment variable.
    fn in_variable(self) -> &'static str {
        match self {
            Self::Text | Self::Price => "set it as it is, without quotes",
            Self::Texts => "separate by commas",
            Self::Flag => "set it to true or false",
            Self::Whole => "set it to digits only, such as 1000",
            Self::Share => "set it to a number from 0 to 1, such as 0.5",
        }
    }
}

/// What was found in the place of something else. Texts of variables are shown: no secret is a number or a switch.
fn found(value: &Value) -> String {
    const SHOWN_CHARS_MAX: usize = 40;
    match value {
        Value::Override(text) => format!("\"{}\"", text.chars().take(SHOWN_CHARS_MAX).collect::<String>()),
        Value::Text(_)
        | Value::Whole(_)
        | Value::Flag(_)
        | Value::List(_)
        | Value::Table(_)
        | Value::Fraction(_)
        | Value::Odd(_) => value.type_name().to_owned(),
    }
}

/// A table that is being read.
#[derive(Debug)]
pub(super) struct Fields<'a, 'f> {
    table: &'a Table,
    /// Where the table stands: what is missing is told of this line.
    pub(super) origin: &'a Origin,
    /// The path of the table, for messages.
    path: String,
    known: Vec<&'static str>,
    /// All faults so far.
    pub(super) findings: &'f mut Findings,
}

impl<'a, 'f> Fields<'a, 'f> {
    /// Begins to read a table.
    pub(super) fn new(
        table: &'a Table,
        origin: &'a Origin,
        path: impl Into<String>,
        findings: &'f mut Findings,
    ) -> Self {
        Self { table, origin, path: path.into(), known: Vec::new(), findings }
    }

    /// The node of a key, `None` when it is not there.
    pub(super) fn node(&mut self, key: &'static str) -> Option<&'a Node> {
        self.known.push(key);
        self.table.get(key)
    }

    /// Complains about the value at a key, or about the table where the key is missing.
    pub(super) fn complain(&mut self, key: &str, message: impl std::fmt::Display, hint: impl Into<String>) {
        let origin = self.table.get(key).map_or(self.origin, |node| &node.origin);
        let message = format!("{}: {message}", self.named(key));
        self.findings.complaints.push(origin.complaint(message, hint));
    }

    /// The full name of a key, for messages.
    pub(super) fn named(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Whether there is anything at a key.
    pub(super) fn is_stated(&self, key: &str) -> bool {
        self.table.get(key).is_some()
    }

    /// A value read by `read`, the default where the key is missing or the value is of another type.
    fn value<T>(&mut self, key: &'static str, kind: Kind, read: impl Fn(&'a Value) -> Option<T>) -> Option<T> {
        let Some(node) = self.node(key) else {
            let name = self.named(key);
            self.findings.defaulted.push(name);
            return None;
        };
        let value = read(&node.value);
        if value.is_none() {
            let found = found(&node.value);
            let hint = if node.origin.is_override() { kind.in_variable().to_owned() } else { kind.in_file(key) };
            self.complain(key, format!("expected {}, found {found}", kind.name()), hint);
        }
        value
    }

    /// A text, if there is one.
    pub(super) fn text(&mut self, key: &'static str) -> Option<String> {
        self.value(key, Kind::Text, as_text)
    }

    /// A text that must be there and not be empty.
    pub(super) fn text_needed(&mut self, key: &'static str) -> String {
        let text = self.text(key);
        if self.table.get(key).is_none() || text.as_deref() == Some("") {
            self.complain(key, "is missing", "every entry needs it");
        }
        text.unwrap_or_default()
    }

    /// Texts: a list, or one text with commas.
    pub(super) fn texts(&mut self, key: &'static str) -> Vec<String> {
        self.value(key, Kind::Texts, as_texts).unwrap_or_default()
    }

    /// A truth value.
    pub(super) fn flag(&mut self, key: &'static str, default: bool) -> bool {
        self.flag_stated(key).unwrap_or(default)
    }

    /// A truth value, if one is stated.
    pub(super) fn flag_stated(&mut self, key: &'static str) -> Option<bool> {
        self.value(key, Kind::Flag, as_flag)
    }

    /// A whole number within bounds, if one is stated.
    pub(super) fn whole_stated(&mut self, key: &'static str, bounds: RangeInclusive<u64>) -> Option<u64> {
        let whole = self.value(key, Kind::Whole, as_whole)?;
        if !bounds.contains(&whole) {
            let (least, most) = (bounds.start(), bounds.end());
            self.complain(key, format!("{whole} is out of range"), format!("from {least} to {most}"));
            return None;
        }
        Some(whole)
    }

    /// A whole number within bounds.
    pub(super) fn whole(&mut self, key: &'static str, default: u64, bounds: RangeInclusive<u64>) -> u64 {
        self.whole_stated(key, bounds).unwrap_or(default)
    }

    /// A wish for quality, from 0 to 1.
    pub(super) fn quality(&mut self, key: &'static str) -> Quality {
        self.value(key, Kind::Share, as_quality).unwrap_or_default()
    }

    /// A number of things held in memory.
    pub(super) fn count(&mut self, key: &'static str, default: usize, bounds: RangeInclusive<usize>) -> usize {
        let wide = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let whole = self.whole(key, wide(default), wide(*bounds.start())..=wide(*bounds.end()));
        usize::try_from(whole).unwrap_or(default)
    }

    /// Milliseconds.
    pub(super) fn ms(&mut self, key: &'static str, default: u64, bounds: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.whole(key, default, bounds))
    }

    /// An address with port.
    pub(super) fn address(&mut self, key: &'static str, default: SocketAddr) -> SocketAddr {
        let Some(text) = self.text(key) else { return default };
        text.parse().unwrap_or_else(|_| {
            let hint = "an IP address and a port, such as 127.0.0.1:8080 or [::1]:8080";
            self.complain(key, format!("\"{text}\" is no address"), hint);
            default
        })
    }

    /// One of a closed list of words.
    pub(super) fn choice<T: Copy>(&mut self, key: &'static str, default: T, names: &[(&'static str, T)]) -> T {
        let Some(text) = self.text(key) else { return default };
        if let Some((_, value)) = names.iter().find(|(name, _)| *name == text) {
            return *value;
        }
        let all: Vec<_> = names.iter().map(|(name, _)| *name).collect();
        self.complain(key, format!("\"{text}\" is none of its words"), format!("one of: {}", all.join(", ")));
        default
    }

    /// A date as a text, `2027-04-01` or with a time and zone; a date alone is midnight UTC, a month its first day.
    pub(super) fn date(&mut self, key: &'static str) -> Option<UnixMs> {
        let text = self.text(key)?;
        let date = parse_date(&text);
        if date.is_none() {
            let hint = "write \"2027-04-01\" or \"2027-03-01T08:00:00Z\"";
            self.complain(key, format!("\"{text}\" is no date"), hint);
        }
        date
    }

    /// A price, if one is stated, read by `read` from decimal text.
    pub(super) fn price(
        &mut self,
        key: &'static str,
        read: impl Fn(&str) -> Result<PicoUsd, ParsePriceError>,
    ) -> Option<PicoUsd> {
        let text = self.value(key, Kind::Price, as_text)?;
        read(&text).inspect_err(|error| self.complain(key, error, "USD as a plain decimal in quotes")).ok()
    }

    /// A table below this one, if there is one.
    pub(super) fn table(&mut self, key: &'static str) -> Option<(&'a Table, &'a Origin)> {
        let node = self.node(key)?;
        if let Value::Table(table) = &node.value {
            return Some((table, &node.origin));
        }
        let hint = format!("begin a section [{}]", self.named(key));
        self.complain(key, format!("expected a table, found {}", found(&node.value)), hint);
        None
    }

    /// The tables of a list, none where the key is missing.
    pub(super) fn tables(&mut self, key: &'static str) -> Vec<(&'a Table, &'a Origin)> {
        let Some(node) = self.node(key) else { return Vec::new() };
        let tables = match &node.value {
            Value::List(list) => list.iter().map(as_table).collect(),
            Value::Text(_)
            | Value::Whole(_)
            | Value::Flag(_)
            | Value::Table(_)
            | Value::Override(_)
            | Value::Fraction(_)
            | Value::Odd(_) => None,
        };
        tables.unwrap_or_else(|| {
            let hint = format!("write {key} = [{{ … }}, {{ … }}]");
            self.complain(key, format!("expected a list of tables, found {}", found(&node.value)), hint);
            Vec::new()
        })
    }

    /// Ends reading: complains about keys that nobody asked for.
    pub(super) fn finish(self) {
        let Self { table, path, known, findings, origin: _ } = self;
        for (key, node) in table.iter().filter(|(key, _)| !known.contains(key)) {
            let name = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
            let hint = meant(key, known.iter().copied()).unwrap_or_else(|| match known.len() {
                0 => String::new(),
                _ => format!("known here: {}", known.join(", ")),
            });
            findings.complaints.push(node.origin.complaint(format!("unknown setting {name}"), hint));
        }
    }
}

fn as_table(node: &Node) -> Option<(&Table, &Origin)> {
    match &node.value {
        Value::Table(table) => Some((table, &node.origin)),
        Value::Text(_)
        | Value::Whole(_)
        | Value::Flag(_)
        | Value::List(_)
        | Value::Override(_)
        | Value::Fraction(_)
        | Value::Odd(_) => None,
    }
}

/// A text, from a file or the environment.
pub(super) fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone()),
        Value::Override(text) => Some(text.trim().to_owned()),
        Value::Whole(_) | Value::Flag(_) | Value::List(_) | Value::Table(_) | Value::Fraction(_) | Value::Odd(_) => {
            None
        }
    }
}

fn as_quality(value: &Value) -> Option<Quality> {
    match value {
        Value::Fraction(text) | Value::Override(text) => Quality::parse(text),
        Value::Whole(whole) => Quality::parse(&whole.to_string()),
        Value::Text(_) | Value::Flag(_) | Value::List(_) | Value::Table(_) | Value::Odd(_) => None,
    }
}

/// A list of texts; one text stands for a list of one, the environment separates by commas.
pub(super) fn as_texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Text(text) => Some(vec![text.clone()]),
        Value::Override(text) => {
            Some(text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect())
        }
        Value::List(list) => list.iter().map(|node| as_text(&node.value)).collect(),
        Value::Whole(_) | Value::Flag(_) | Value::Table(_) | Value::Fraction(_) | Value::Odd(_) => None,
    }
}

fn as_flag(value: &Value) -> Option<bool> {
    match value {
        Value::Flag(flag) => Some(*flag),
        Value::Override(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some(true),
            "false" | "0" | "no" | "off" => Some(false),
            _ => None,
        },
        Value::Text(_) | Value::Whole(_) | Value::List(_) | Value::Table(_) | Value::Fraction(_) | Value::Odd(_) => {
            None
        }
    }
}

fn as_whole(value: &Value) -> Option<u64> {
    match value {
        Value::Whole(whole) => u64::try_from(*whole).ok(),
        Value::Override(text) => text.trim().replace('_', "").parse().ok(),
        Value::Text(_) | Value::Flag(_) | Value::List(_) | Value::Table(_) | Value::Fraction(_) | Value::Odd(_) => None,
    }
}

/// A date, a month (its first day) or a time with zone.
pub(super) fn parse_date(text: &str) -> Option<UnixMs> {
    let day = if text.len() == MONTH.len() { format!("{text}-01") } else { text.to_owned() };
    let time = if text.contains('T') { day } else { format!("{day}T00:00:00Z") };
    let timestamp: jiff::Timestamp = time.parse().ok()?;
    u64::try_from(timestamp.as_millisecond()).ok().map(UnixMs)
}

/// `did you mean "…"?` for the word most like `word`, if any is like it.
pub(super) fn meant<'a>(word: &str, among: impl Iterator<Item = &'a str>) -> Option<String> {
    let nearest = among.map(|known| (edits(word, known), known)).min()?;
    let near_enough = nearest.0 <= EDITS_MAX.min(word.len() / 2);
    near_enough.then(|| format!("did you mean \"{}\"?", nearest.1))
}

/// Insertions, deletions and changes that turn one word into the other.
fn edits(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().take(WORD_MAX).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.chars().take(WORD_MAX).enumerate() {
        let mut diagonal = at;
        let mut left = at + 1;
        for (cell, known) in row.iter_mut().skip(1).zip(&other) {
            let above = *cell;
            *cell = (diagonal + usize::from(letter != *known)).min(above + 1).min(left + 1);
            diagonal = above;
            left = *cell;
        }
        if let Some(first) = row.first_mut() {
            *first = at + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}
