//! What a foreign file says, as a tree that remembers where each value stands.
//!
//! Must not know which notation it was written in, nor which settings exist.

use std::collections::HashMap;

use super::Place;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    pub(super) value: Value,
    pub(super) place: Place,
}

/// What was written. Numbers stay text, so that no price passes through a float.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// A word without quotes: a text, a number, a truth value or nothing.
    Plain(String),
    /// A text.
    Quoted(String),
    /// A list.
    List(Vec<Node>),
    /// Named values.
    Map(Map),
}

/// Named values in the order of the file.
#[derive(Clone, Debug, Default)]
pub(super) struct Map {
    entries: Vec<(String, Node)>,
    /// Positions in `entries`.
    index: HashMap<String, usize>,
}

impl Map {
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.index.get(key).and_then(|at| self.entries.get(*at)).map(|(_, node)| node)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.entries.iter().map(|(key, node)| (key.as_str(), node))
    }

    /// Sets a key and returns what stood there: the last one counts.
    pub(super) fn set(&mut self, key: String, node: Node) -> Option<Node> {
        if let Some((_, place)) = self.index.get(&key).and_then(|at| self.entries.get_mut(*at)) {
            return Some(std::mem::replace(place, node));
        }
        self.index.insert(key.clone(), self.entries.len());
        self.entries.push((key, node));
        None
    }

    /// Adds what is not there yet.
    pub(super) fn fill_from(&mut self, other: &Self) {
        for (key, node) in &other.entries {
            if self.get(key).is_none() {
                self.set(key.clone(), node.clone());
            }
        }
    }
}

impl Node {
    /// A text, a number or a truth value as it was written; `None` for nothing, lists and maps.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Plain(text) if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL") => None,
            Value::Plain(text) | Value::Quoted(text) => Some(text),
            Value::List(_) | Value::Map(_) => None,
        }
    }

    /// Whether nothing was written.
    pub(super) fn is_nothing(&self) -> bool {
        matches!(self.value, Value::Plain(_)) && self.text().is_none()
    }

    /// A truth value in any of the spellings of YAML 1.1.
    pub(super) fn flag(&self) -> Option<bool> {
        match self.text()?.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => Some(true),
            "false" | "no" | "off" => Some(false),
            _ => None,
        }
    }

    /// A whole number.
    pub(super) fn whole(&self) -> Option<u64> {
        self.text()?.replace('_', "").parse().ok()
    }

    /// The items of a list; a single text stands for a list of one.
    pub(super) fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            Value::Plain(_) | Value::Quoted(_) if self.text().is_some() => std::slice::from_ref(self),
            Value::Plain(_) | Value::Quoted(_) | Value::Map(_) => &[],
        }
    }

    pub(super) fn map(&self) -> Option<&Map> {
        match &self.value {
            Value::Map(map) => Some(map),
            Value::Plain(_) | Value::Quoted(_) | Value::List(_) => None,
        }
    }
}

/// A map that is being read: knows which keys nobody has asked for.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    map: &'a Map,
    path: String,
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(map: &'a Map, path: impl Into<String>) -> Self {
        Self { map, path: path.into(), known: Vec::new() }
    }

    /// The value of a key; nothing counts as not there.
    pub(super) fn get(&mut self, key: &'static str) -> Option<&'a Node> {
        self.known.push(key);
        self.map.get(key).filter(|node| !node.is_nothing())
    }

    pub(super) fn text(&mut self, key: &'static str) -> Option<&'a str> {
        self.get(key)?.text()
    }

    /// The full name of a key.
    pub(super) fn named(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Keys that nobody asked for.
    pub(super) fn unread(&self) -> impl Iterator<Item = (&'a str, &'a Node)> {
        self.map.iter().filter(|(key, node)| !node.is_nothing() && !self.known.contains(key))
    }
}
