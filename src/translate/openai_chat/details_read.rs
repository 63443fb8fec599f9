//! `reasoning_details` of an answer: what a host wants back, unchanged and in order.
//!
//! Must not look into what is sealed there. In a stream a text comes as hundreds of entries that differ in the text
//! alone: those are joined, so that what goes back is not many times its own size.

use crate::translate::ir::{Text, Value};
use crate::wire::json::Writer;

/// More is not kept: then nothing goes back.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// The entries so far.
#[derive(Debug, Default)]
pub(super) struct Details {
    entries: Vec<Entry>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    /// All members but the joined one, as they are spelt; the last one of a name holds.
    members: Vec<(String, String)>,
    /// The member that grows, and the text in it.
    growing: Option<(&'static str, String)>,
}

/// Members whose text grows from entry to entry, by the type of the entry.
const GROWING: [(&str, &str); 2] = [("reasoning.text", "text"), ("reasoning.summary", "summary")];

impl Details {
    /// Takes the entries of a delta or a message.
    pub(super) fn take(&mut self, details: Value<'_>) {
        for entry in details.elements() {
            self.bytes += entry.spelt().len();
            if self.bytes <= KEPT_BYTES_MAX {
                self.add(&Entry::read(entry));
            }
        }
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn add(&mut self, entry: &Entry) {
        let grows = self.entries.last_mut().filter(|last| last.continues(entry));
        match (grows, &entry.growing) {
            (Some(last), Some((_, more))) => {
                if let Some((_, text)) = &mut last.growing {
                    text.push_str(more);
                }
                for (name, value) in entry.members.iter().filter(|(_, value)| value != "null") {
                    last.set(name, value);
                }
            }
            _ => self.entries.push(Entry { members: entry.members.clone(), growing: entry.growing.clone() }),
        }
    }

    /// All entries as the text of a JSON array, if there are any; then there are none.
    pub(super) fn finish(&mut self) -> Option<Text<'static>> {
        let entries = std::mem::take(&mut self.entries);
        let is_whole = std::mem::take(&mut self.bytes) <= KEPT_BYTES_MAX;
        if entries.is_empty() || !is_whole {
            return None;
        }
        let mut w = Writer::default();
        w.array(|w| entries.iter().for_each(|entry| entry.write(w)));
        String::from_utf8(w.into_bytes()).ok().map(Text::plain)
    }
}

impl Entry {
    fn read(entry: Value<'_>) -> Self {
        let kind = entry.get("type").and_then(Value::as_text);
        let grows = GROWING.iter().find(|(name, _)| kind.as_ref().is_some_and(|kind| kind.is(name)));
        let mut read = Self { members: Vec::new(), growing: None };
        for (name, value) in entry.members() {
            match (grows, value.as_text()) {
                (Some((_, grows)), Some(text)) if name == *grows => {
                    read.growing = Some((grows, text.spelt().to_owned()));
                }
                _ => read.members.push((Text::plain(name).spelt().to_owned(), value.spelt().to_owned())),
            }
        }
        read
    }

    /// Whether another entry goes on with this one's text.
    fn continues(&self, next: &Self) -> bool {
        let same = |name: &str| self.get(name) == next.get(name);
        let kind = |entry: &Self| entry.growing.as_ref().map(|(name, _)| *name);
        // A signature ends a text.
        let is_open = self.get("signature").is_none_or(|signature| signature == "null");
        kind(self).is_some() && kind(self) == kind(next) && same("index") && same("type") && is_open
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.members.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    fn set(&mut self, name: &str, value: &str) {
        match self.members.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.members.push((name.to_owned(), value.to_owned())),
        }
    }

    fn write(&self, w: &mut Writer) {
        w.object(|w| {
            for (name, value) in &self.members {
                w.name(name).raw(value);
            }
            if let Some((name, text)) = &self.growing {
                w.name(name).text(&Text::spelt_as(&**text));
            }
        });
    }
}
