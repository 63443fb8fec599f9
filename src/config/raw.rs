//! What the files and the environment say, as a tree that remembers where each value stands.
//!
//! Must not know which settings exist. An override from the environment is laid over the tree as
//! text; whoever reads the value knows its type and reads the text accordingly.

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use crate::base::complaint::Complaint;

/// Tables in tables, at most. Far more than any setting needs, so that a hostile file ends early.
const DEPTH_MAX: usize = 16;
/// Mistakes of grammar that are told of one file.
const SYNTAX_COMPLAINTS_MAX: usize = 20;

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// The file, or the environment variable.
    pub(super) file: Arc<str>,
    /// From 1; 0 for an environment variable.
    pub(super) line: usize,
}

impl Origin {
    /// A complaint about what stands here.
    pub(super) fn complaint(&self, message: impl Into<String>, hint: impl Into<String>) -> Complaint {
        Complaint { file: self.file.to_string(), line: self.line, message: message.into(), hint: hint.into() }
    }

    /// Whether it came from the environment.
    pub(super) fn is_override(&self) -> bool {
        self.line == 0
    }
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// What was written.
    pub(super) value: Value,
    /// Where.
    pub(super) origin: Origin,
}

/// What was written.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// A string.
    Text(String),
    /// A whole number.
    Whole(i64),
    /// A truth value.
    Flag(bool),
    /// A list.
    List(Vec<Node>),
    /// Named values.
    Table(Table),
    /// From the environment: whatever type the reader expects.
    Override(String),
    /// A number with a fraction, as it is spelt.
    Fraction(String),
    /// Something that no setting takes: a date, a number that is too large.
    Odd(&'static str),
}

impl Value {
    /// The name of the type, for complaints.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Whole(..0) => "a negative number",
            Self::Whole(_) => "a whole number",
            Self::Flag(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Fraction(_) => "a number with a fraction",
            Self::Override(_) => "something else",
            Self::Odd(name) => name,
        }
    }
}

/// Named values in the order of the file.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    entries: Vec<(String, Node)>,
    /// Positions in `entries`.
    index: BTreeMap<String, usize>,
}

impl Table {
    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.index.get(key).and_then(|at| self.entries.get(*at)).map(|(_, node)| node)
    }

    /// All entries, in the order of the file.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.entries.iter().map(|(key, node)| (key.as_str(), node))
    }

    fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        let at = *self.index.get(key)?;
        self.entries.get_mut(at).map(|(_, node)| node)
    }

    fn push(&mut self, key: String, node: Node) {
        self.index.insert(key.clone(), self.entries.len());
        self.entries.push((key, node));
    }

    /// The key as it stands in the table that an environment variable means by `word`.
    fn key_meant_by(&self, word: &str) -> Option<String> {
        self.entries.iter().map(|(key, _)| key).find(|key| as_env_word(key) == word).cloned()
    }

    /// Lays a text from an environment variable over the value at `path`. Keys that do not exist
    /// yet are made: whoever reads the table complains about those that nobody knows.
    pub(super) fn lay_over(&mut self, path: &[&str], variable: &str, text: &str) {
        let Some((word, rest)) = path.split_first() else { return };
        let word = word.to_ascii_lowercase();
        let key = self.key_meant_by(&word).unwrap_or(word);
        let origin = Origin { file: variable.into(), line: 0 };
        if rest.is_empty() {
            let node = Node { value: Value::Override(text.to_owned()), origin };
            match self.get_mut(&key) {
                Some(place) => *place = node,
                None => self.push(key, node),
            }
            return;
        }
        if !matches!(self.get(&key), Some(Node { value: Value::Table(_), .. })) {
            let node = Node { value: Value::Table(Self::default()), origin };
            match self.get_mut(&key) {
                Some(place) => *place = node,
                None => self.push(key.clone(), node),
            }
        }
        if let Some(Node { value: Value::Table(table), .. }) = self.get_mut(&key) {
            table.lay_over(rest, variable, text);
        }
    }
}

/// A key as it is written in the name of an environment variable, in lower case.
fn as_env_word(key: &str) -> String {
    key.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect()
}

/// Reads a file as far as its grammar holds; what does not is complained about.
pub(super) fn parse(file: &str, text: &str, complaints: &mut Vec<Complaint>) -> Table {
    let lines = Lines::new(text);
    let (document, errors) = DeTable::parse_recoverable(text);
    let file: Arc<str> = file.into();
    for error in errors.iter().take(SYNTAX_COMPLAINTS_MAX) {
        let line = error.span().map_or(1, |span| lines.at(span.start));
        let origin = Origin { file: Arc::clone(&file), line };
        let message = error.message().lines().next().unwrap_or("not TOML").to_owned();
        complaints.push(origin.complaint(message, "the file must be TOML; see https://toml.io"));
    }
    Reading { file, lines }.table(document.get_ref(), DEPTH_MAX)
}

struct Reading {
    file: Arc<str>,
    lines: Lines,
}

impl Reading {
    fn table(&self, document: &DeTable<'_>, depth: usize) -> Table {
        let mut entries: Vec<_> = document.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let mut table = Table::default();
        for (key, value) in entries {
            let origin = self.origin(key.span().start);
            let value = self.value(value.get_ref(), depth);
            table.push(key.get_ref().to_string(), Node { value, origin });
        }
        table
    }

    fn value(&self, value: &DeValue<'_>, depth: usize) -> Value {
        match value {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(whole) => match i64::from_str_radix(whole.as_str(), whole.radix()) {
                Ok(whole) => Value::Whole(whole),
                Err(_) => Value::Odd("a number that is too large"),
            },
            DeValue::Float(number) => Value::Fraction(number.as_str().to_owned()),
            DeValue::Boolean(flag) => Value::Flag(*flag),
            DeValue::Datetime(_) => Value::Odd("a date without quotes"),
            DeValue::Array(_) | DeValue::Table(_) if depth == 0 => Value::Odd("nested too deeply"),
            DeValue::Array(list) => Value::List(
                list.iter()
                    .map(|item| Node {
                        value: self.value(item.get_ref(), depth - 1),
                        origin: self.origin(item.span().start),
                    })
                    .collect(),
            ),
            DeValue::Table(table) => Value::Table(self.table(table, depth - 1)),
        }
    }

    fn origin(&self, offset: usize) -> Origin {
        Origin { file: Arc::clone(&self.file), line: self.lines.at(offset) }
    }
}

/// Offsets of line starts, to find the line of an offset.
struct Lines(Vec<usize>);

impl Lines {
    fn new(text: &str) -> Self {
        Self(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect())
    }

    /// From 1.
    fn at(&self, offset: usize) -> usize {
        self.0.partition_point(|newline| *newline < offset) + 1
    }
}
