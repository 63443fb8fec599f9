//! YAML becomes a tree, within bounds.
//!
//! Must not know which settings exist. Aliases are copied out, so a few lines could ask for any amount of memory: each
//! copy counts against one budget. Truth values and merge keys are those of YAML 1.1, which Python's loaders read.

use std::collections::HashMap;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::Place;
use super::tree::{Map, Node, Value};
use crate::base::complaint::Complaint;

/// Values of one file, copies of aliases included. A configuration of a thousand models has some 20,000.
const NODES_MAX: usize = 200_000;
/// Lists in maps in lists, at most.
const DEPTH_MAX: usize = 32;
const MERGE_KEY: &str = "<<";

/// Reads one document.
///
/// # Errors
/// With the place where it is not YAML, goes beyond the bounds, or says the same key twice.
pub fn parse(file: &str, text: &str) -> Result<Node, Complaint> {
    let mut builder = Builder::new(file);
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, span)) => builder.take(event, span)?,
            Err(error) => {
                let hint = "the file must be YAML: check the indentation, and for tabs and open quotes";
                return Err(builder.complaint(error.marker().line(), error.info(), hint));
            }
        }
    }
    let place = builder.place(1);
    Ok(builder.document.unwrap_or(Node { value: Value::Map(Map::default()), place }))
}

/// A list or map that is not closed yet.
struct Open {
    value: Value,
    /// The key that waits for its value, of a map.
    key: Option<(String, usize)>,
    anchor: usize,
    line: usize,
    /// Values inside, itself included.
    nodes: usize,
}

struct Builder {
    file: Arc<str>,
    stack: Vec<Open>,
    /// By the parser's number, each with its count of values.
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
    document: Option<Node>,
}

impl Builder {
    fn new(file: &str) -> Self {
        Self { file: file.into(), stack: Vec::new(), anchors: HashMap::new(), nodes: 0, document: None }
    }

    fn place(&self, line: usize) -> Place {
        Place { file: Arc::clone(&self.file), line: line.max(1) }
    }

    fn complaint(&self, line: usize, message: &str, hint: &str) -> Complaint {
        Complaint { file: self.file.to_string(), line: line.max(1), message: message.to_owned(), hint: hint.to_owned() }
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Complaint> {
        let line = span.start.line();
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = tag.is_some_and(|tag| tag.suffix == "str");
                let value = match style {
                    ScalarStyle::Plain if !is_text => Value::Plain(text.into_owned()),
                    ScalarStyle::Plain
                    | ScalarStyle::SingleQuoted
                    | ScalarStyle::DoubleQuoted
                    | ScalarStyle::Literal
                    | ScalarStyle::Folded => Value::Quoted(text.into_owned()),
                };
                self.count(1, line)?;
                self.put(Node { value, place: self.place(line) }, anchor, 1)
            }
            Event::Alias(anchor) => self.copy(anchor, line),
            Event::SequenceStart(anchor, _) => self.open(Value::List(Vec::new()), anchor, line),
            Event::MappingStart(anchor, _) => self.open(Value::Map(Map::default()), anchor, line),
            Event::SequenceEnd | Event::MappingEnd => match self.stack.pop() {
                Some(Open { value, key: _, anchor, line, nodes }) => {
                    let value = merged(value);
                    self.put(Node { value, place: self.place(line) }, anchor, nodes)
                }
                None => Ok(()),
            },
        }
    }

    fn count(&mut self, nodes: usize, line: usize) -> Result<(), Complaint> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > NODES_MAX {
            let message = format!("more than {NODES_MAX} values, copies of aliases included");
            return Err(self.complaint(line, &message, "a configuration has far fewer; look for nested aliases"));
        }
        Ok(())
    }

    fn open(&mut self, value: Value, anchor: usize, line: usize) -> Result<(), Complaint> {
        if self.stack.len() == DEPTH_MAX {
            let message = format!("nested more than {DEPTH_MAX} deep");
            return Err(self.complaint(line, &message, "no setting needs that"));
        }
        self.count(1, line)?;
        self.stack.push(Open { value, key: None, anchor, line, nodes: 1 });
        Ok(())
    }

    /// The copy is counted before it is made.
    fn copy(&mut self, anchor: usize, line: usize) -> Result<(), Complaint> {
        let Some((_, nodes)) = self.anchors.get(&anchor) else {
            return Err(self.complaint(line, "an alias inside of what it stands for", "write the value out"));
        };
        let nodes = *nodes;
        self.count(nodes, line)?;
        match self.anchors.get(&anchor).map(|(node, _)| node.clone()) {
            Some(node) => self.put(node, 0, nodes),
            None => Ok(()),
        }
    }

    /// Puts a finished value into what is open, or makes it the document.
    fn put(&mut self, node: Node, anchor: usize, nodes: usize) -> Result<(), Complaint> {
        if anchor != 0 {
            self.count(nodes, node.place.line)?;
            self.anchors.insert(anchor, (node.clone(), nodes));
        }
        let line = node.place.line;
        let Some(open) = self.stack.last_mut() else {
            if self.document.is_some() {
                return Err(self.complaint(line, "a second document", "one file holds one document"));
            }
            self.document = Some(node);
            return Ok(());
        };
        open.nodes += nodes;
        match (&mut open.value, open.key.take()) {
            (Value::List(list), _) => list.push(node),
            (Value::Map(map), Some((key, key_line))) => {
                if map.set(key.clone(), node).is_some() {
                    let message = format!("the key {key} is there twice");
                    return Err(self.complaint(key_line, &message, "only one of them can count: take the other out"));
                }
            }
            (Value::Map(_), None) => match node.value {
                Value::Plain(key) | Value::Quoted(key) => open.key = Some((key, line)),
                Value::List(_) | Value::Map(_) => {
                    return Err(self.complaint(line, "a key that is no text", "keys are plain words"));
                }
            },
            (Value::Plain(_) | Value::Quoted(_), _) => {}
        }
        Ok(())
    }
}

/// `<<: *defaults`: what the map does not say itself comes from there.
fn merged(value: Value) -> Value {
    let Value::Map(map) = value else { return value };
    let Some(sources) = map.get(MERGE_KEY).cloned() else { return Value::Map(map) };
    let mut whole = Map::default();
    for (key, node) in map.iter().filter(|(key, _)| *key != MERGE_KEY) {
        whole.set(key.to_owned(), node.clone());
    }
    let listed = if sources.map().is_some() { std::slice::from_ref(&sources) } else { sources.items() };
    for source in listed.iter().filter_map(Node::map) {
        whole.fill_from(source);
    }
    Value::Map(whole)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn refused(text: &str) -> (usize, String) {
        let complaint = parse("c.yaml", text).unwrap_err();
        assert_eq!(complaint.file, "c.yaml");
        assert!(!complaint.hint.is_empty());
        (complaint.line, complaint.message)
    }

    #[test]
    fn values_know_their_lines() {
        let node = parse("c.yaml", "# head\na: 1\nb:\n  - x: \"yes\"\n    y: yes\n  - null\n").unwrap();
        let map = node.map().unwrap();
        assert_eq!(map.get("a").unwrap().whole(), Some(1));
        let items = map.get("b").unwrap().items();
        let first = items[0].map().unwrap();
        assert_eq!((first.get("x").unwrap().text(), first.get("x").unwrap().place.line), (Some("yes"), 4));
        assert_eq!((first.get("y").unwrap().flag(), first.get("y").unwrap().place.line), (Some(true), 5));
        assert!(items[1].is_nothing());
    }

    #[test]
    fn aliases_and_merge_keys_are_copied_out() {
        let text = "base: &base\n  model: a\n  key: b\nlist:\n  - <<: *base\n    key: c\n  - *base\n";
        let node = parse("c.yaml", text).unwrap();
        let items = node.map().unwrap().get("list").unwrap().items();
        let said = |item: &Node, key| item.map().unwrap().get(key).unwrap().text().unwrap().to_owned();
        assert_eq!((said(&items[0], "model"), said(&items[0], "key")), ("a".into(), "c".into()));
        assert_eq!(said(&items[1], "key"), "b");
        assert!(items[0].map().unwrap().get("<<").is_none());
    }

    #[test]
    fn what_is_not_yaml_is_told_with_its_line() {
        assert_eq!(refused("a: 1\nb: [1, 2\nc: 3\n").0, 3);
        assert_eq!(refused("a:\n\tb: 2\n").0, 2);
        assert_eq!(refused("a: 1\nb: 2\na: 3\n"), (3, "the key a is there twice".to_owned()));
        assert_eq!(refused("a: 1\n---\nb: 2\n").1, "a second document");
        assert_eq!(refused("a: *nobody\n").0, 1);
    }

    #[test]
    fn a_bomb_of_aliases_ends_at_the_budget() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let inner = format!("*a{}, ", level - 1).repeat(10);
            _ = writeln!(text, "a{level}: &a{level} [{}]", inner.trim_end_matches(", "));
        }
        assert!(refused(&text).1.contains("copies of aliases"));
        assert!(!refused(&"[".repeat(100_000)).1.is_empty());
        assert!(refused(&"- ".repeat(100_000)).1.contains("deep"));
        assert!(refused("a: &a [*a]\n").1.contains("alias"));
    }

    #[test]
    fn an_empty_file_says_nothing() {
        assert_eq!(parse("c.yaml", "# nothing\n").unwrap().map().unwrap().iter().count(), 0);
    }
}
