//! Undoes in an answer what a writer of requests did to make a target do what it has no field for.
//!
//! Must not know formats: it stands between a reader of answers and a writer, event in and event out. Two things are
//! undone: a tool that was only there to force JSON becomes the answer's text, and a tool of free text that went as a
//! function with the one argument `input` gets its text back out of the JSON, in whatever pieces that comes.

use super::ir::{CallKind, Event, Finish, Text};
use super::{Emulated, Sink};

/// Text that is kept back until it is clear whether a call takes its place. More than this goes on as it came.
const HELD_BYTES_MAX: usize = 256 << 10;

/// Calls of one answer that are remembered. Of older ones no more pieces are expected.
const CALLS_MAX: usize = 1_024;

/// What is undone in one answer.
#[derive(Debug)]
pub struct Undoing {
    emulated: Emulated,
    calls: Vec<Call>,
    /// Calls that the client sees.
    shown: usize,
    /// Words before a call that forces JSON: they are no part of the JSON.
    held: String,
    is_holding: bool,
    /// The part that is open is among what is held.
    is_held_open: bool,
    has_answer_call: bool,
}

#[derive(Debug)]
struct Call {
    index: usize,
    is_open: bool,
    fate: Fate,
}

/// What becomes of a call.
#[derive(Debug)]
enum Fate {
    /// It is shown under this index.
    Shown(usize),
    /// It is shown under this index, and its text is taken out of its arguments.
    Freed(usize, Box<FreeText>),
    /// Its arguments are the answer's text. Whether none have come.
    Answer { is_empty: bool },
    /// A second answer: there is but one.
    Dropped,
}

/// A sink that undoes what came about on the way to another.
pub struct Undone<'u, 's> {
    undoing: &'u mut Undoing,
    sink: &'s mut dyn Sink,
}

impl std::fmt::Debug for Undone<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Undone").field("undoing", &self.undoing).finish_non_exhaustive()
    }
}

impl Emulated {
    /// Whether there is nothing to undo.
    pub fn is_nothing(&self) -> bool {
        let Self { schema_tool, custom_tools } = self;
        schema_tool.is_none() && custom_tools.is_empty()
    }
}

impl Undoing {
    /// For the answer to a request that was written so.
    pub fn new(emulated: Emulated) -> Self {
        let is_holding = emulated.schema_tool.is_some();
        Self {
            emulated,
            calls: Vec::new(),
            shown: 0,
            held: String::new(),
            is_holding,
            is_held_open: false,
            has_answer_call: false,
        }
    }

    /// A sink for the next events, which passes on to `sink`.
    pub fn on<'u, 's>(&'u mut self, sink: &'s mut dyn Sink) -> Undone<'u, 's> {
        Undone { undoing: self, sink }
    }

    fn fate_of(&mut self, name: &Text<'_>) -> Fate {
        let Emulated { schema_tool, custom_tools } = &self.emulated;
        if schema_tool.as_deref().is_some_and(|tool| name.is(tool)) {
            let is_second = std::mem::replace(&mut self.has_answer_call, true);
            return if is_second { Fate::Dropped } else { Fate::Answer { is_empty: true } };
        }
        let index = self.shown;
        self.shown += 1;
        let is_custom = custom_tools.iter().any(|tool| name.is(tool));
        if is_custom { Fate::Freed(index, Box::default()) } else { Fate::Shown(index) }
    }
}

impl Sink for Undone<'_, '_> {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Text(text) if self.undoing.is_holding => self.hold(text),
            Event::CallStart { index, id, name, kind } => {
                self.undoing.is_held_open = false;
                let fate = self.undoing.fate_of(&name);
                let shown = match fate {
                    Fate::Shown(shown) => Some((shown, kind)),
                    Fate::Freed(shown, _) => Some((shown, CallKind::Custom)),
                    Fate::Answer { .. } | Fate::Dropped => None,
                };
                if self.undoing.calls.len() == CALLS_MAX {
                    self.undoing.calls.remove(0);
                }
                self.undoing.calls.push(Call { index, is_open: true, fate });
                if let Some((index, kind)) = shown {
                    self.sink.take(Event::CallStart { index, id, name, kind });
                }
            }
            Event::CallArguments { index, piece } => self.arguments(index, piece),
            Event::PartEnd => self.end_part(),
            Event::Sealed(blob) => {
                let last = self.undoing.calls.iter().rev().find(|call| call.is_open);
                if !matches!(last, Some(Call { fate: Fate::Dropped, .. })) {
                    self.sink.take(Event::Sealed(blob));
                }
            }
            Event::Finish { reason, stop } => self.finish(reason, stop),
            Event::Thought(piece) => {
                self.undoing.is_held_open = false;
                self.sink.take(Event::Thought(piece));
            }
            Event::Refusal(piece) => {
                self.undoing.is_held_open = false;
                self.sink.take(Event::Refusal(piece));
            }
            other @ (Event::Start { .. }
            | Event::Text(_)
            | Event::Citation(_)
            | Event::Image { .. }
            | Event::Logprobs(_)
            | Event::Usage { .. }
            | Event::Fault(_)) => self.sink.take(other),
        }
    }
}

impl Undone<'_, '_> {
    fn hold(&mut self, text: Text<'_>) {
        let Undoing { held, is_holding, is_held_open, .. } = &mut *self.undoing;
        if held.len() + text.spelt().len() > HELD_BYTES_MAX {
            *is_holding = false;
            self.release();
            self.sink.take(Event::Text(text));
            return;
        }
        held.push_str(text.spelt());
        *is_held_open = true;
    }

    fn release(&mut self) {
        let held = std::mem::take(&mut self.undoing.held);
        if !held.is_empty() {
            self.sink.take(Event::Text(Text::spelt_as(held)));
        }
    }

    fn arguments(&mut self, index: usize, piece: Text<'_>) {
        let Some(call) = self.undoing.calls.iter_mut().rev().find(|call| call.index == index) else { return };
        match &mut call.fate {
            Fate::Shown(index) => self.sink.take(Event::CallArguments { index: *index, piece }),
            Fate::Freed(index, free) => {
                let piece = free.feed(&piece);
                if !piece.is_empty() {
                    self.sink.take(Event::CallArguments { index: *index, piece: Text::spelt_as(piece) });
                }
            }
            Fate::Answer { is_empty } => {
                *is_empty &= piece.is_empty();
                self.sink.take(Event::Text(piece));
            }
            Fate::Dropped => {}
        }
    }

    fn end_part(&mut self) {
        if std::mem::take(&mut self.undoing.is_held_open) {
            return;
        }
        match self.undoing.calls.iter_mut().rev().find(|call| call.is_open) {
            Some(call) => {
                call.is_open = false;
                match call.fate {
                    Fate::Answer { is_empty: true } => self.sink.take(Event::Text(Text::spelt_as("{}"))),
                    Fate::Dropped => return,
                    Fate::Answer { .. } | Fate::Shown(_) | Fate::Freed(..) => {}
                }
                self.sink.take(Event::PartEnd);
            }
            None => self.sink.take(Event::PartEnd),
        }
    }

    fn finish(&mut self, reason: Finish, stop: Option<Text<'_>>) {
        while self.undoing.calls.iter().any(|call| call.is_open) {
            self.undoing.is_held_open = false;
            self.end_part();
        }
        let Undoing { is_holding, has_answer_call, shown, .. } = &mut *self.undoing;
        let (is_answered, shown) = (*has_answer_call, *shown);
        if std::mem::take(is_holding) && !is_answered {
            // The model would not call: what it said instead is the answer.
            self.release();
        }
        let is_done = is_answered && shown == 0 && reason == Finish::Calls;
        self.sink.take(Event::Finish { reason: if is_done { Finish::Done } else { reason }, stop });
    }
}

/// Takes the string `input` out of a JSON object that comes in pieces.
///
/// A piece is the inside of a JSON string whose text is itself JSON. Undone once, the string within is spelt as a
/// [`Text`] must be, so that it goes on without being undone a second time. What is no such object goes on as it is.
#[derive(Debug, Default)]
struct FreeText {
    place: Place,
    /// The name of the member in hand.
    name: String,
    /// An escape of the inner string that is cut off.
    escape: String,
}

/// The longest name of a member that is kept for comparison.
const NAME_BYTES_MAX: usize = 8;

/// The member that is taken out.
const MEMBER: &str = "input";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Before the object.
    #[default]
    Start,
    /// Before a member's name, or after a value.
    Between,
    /// In a member's name.
    Name { is_escaped: bool },
    /// Before a value.
    Colon,
    /// In the string that is wanted.
    Inside,
    /// In a value that is no string, or is not wanted.
    Value { depth: u32, is_string: bool, is_escaped: bool },
    /// After the object.
    End,
    /// There was no object.
    Raw,
}

/// A character of the inner JSON.
#[derive(Clone, Copy)]
enum Unit<'a> {
    Ascii(u8),
    /// Any other, as it is spelt in the piece: which is how it may be spelt inside, too.
    Other(&'a str),
}

impl FreeText {
    /// What the next piece adds to the text.
    fn feed(&mut self, piece: &Text<'_>) -> String {
        let mut rest = piece.spelt();
        let mut out = String::with_capacity(rest.len());
        while let Some((unit, after)) = next_unit(rest) {
            if self.place == Place::Start {
                self.start(unit);
            }
            if self.place == Place::Raw {
                out.push_str(rest);
                return out;
            }
            self.step(unit, &mut out);
            rest = after;
        }
        out
    }

    fn start(&mut self, unit: Unit<'_>) {
        if !matches!(unit, Unit::Ascii(b'{' | b' ' | b'\n' | b'\r' | b'\t')) {
            self.place = Place::Raw;
        }
    }

    fn step(&mut self, unit: Unit<'_>, out: &mut String) {
        match (self.place, unit) {
            (Place::Start, Unit::Ascii(b'{')) => self.place = Place::Between,
            (Place::Between, Unit::Ascii(b'"')) => {
                self.name.clear();
                self.place = Place::Name { is_escaped: false };
            }
            (Place::Between, Unit::Ascii(b'}')) => self.place = Place::End,
            (Place::Name { is_escaped }, unit) => self.name_step(is_escaped, unit),
            (Place::Colon, Unit::Ascii(b'"')) if self.name == MEMBER => self.place = Place::Inside,
            (Place::Colon, unit) if !is_before_value(unit) => {
                self.place = Place::Value { depth: 0, is_string: false, is_escaped: false };
                self.value_step(unit, out);
            }
            (Place::Inside, unit) => self.inside_step(unit, out),
            (Place::Value { .. }, unit) => self.value_step(unit, out),
            (Place::Start | Place::Between | Place::Colon | Place::End | Place::Raw, _) => {}
        }
    }

    fn name_step(&mut self, is_escaped: bool, unit: Unit<'_>) {
        match unit {
            Unit::Ascii(b'"') if !is_escaped => self.place = Place::Colon,
            Unit::Ascii(byte) => {
                self.place = Place::Name { is_escaped: byte == b'\\' && !is_escaped };
                if self.name.len() < NAME_BYTES_MAX {
                    self.name.push(char::from(byte));
                }
            }
            Unit::Other(_) => self.name.clear(),
        }
    }

    fn inside_step(&mut self, unit: Unit<'_>, out: &mut String) {
        if !self.escape.is_empty() {
            return self.escape_step(unit, out);
        }
        match unit {
            Unit::Ascii(b'\\') => self.escape.push('\\'),
            Unit::Ascii(b'"') => self.place = Place::Between,
            Unit::Ascii(_) | Unit::Other(_) => push_escaped(unit, out),
        }
    }

    /// Goes on with an escape: `\n`, or `\u` and four digits.
    fn escape_step(&mut self, unit: Unit<'_>, out: &mut String) {
        let is_unicode = self.escape.len() > 1;
        match unit {
            Unit::Ascii(byte) if is_unicode && byte.is_ascii_hexdigit() => self.escape.push(char::from(byte)),
            Unit::Ascii(byte) if !is_unicode && br#""\/bfnrtu"#.contains(&byte) => self.escape.push(char::from(byte)),
            Unit::Ascii(_) | Unit::Other(_) => {
                // No escape after all: a backslash and what follows it.
                out.push('\\');
                out.push_str(&std::mem::take(&mut self.escape));
                return self.inside_step(unit, out);
            }
        }
        let length = if self.escape.starts_with("\\u") { 6 } else { 2 };
        if self.escape.len() == length {
            out.push_str(&self.escape);
            self.escape.clear();
        }
    }

    /// A value that is no string stands for its JSON.
    fn value_step(&mut self, unit: Unit<'_>, out: &mut String) {
        let Place::Value { depth, is_string, is_escaped } = self.place else { return };
        let Unit::Ascii(byte) = unit else { return self.pass(unit, out) };
        let next = |depth, is_string, is_escaped| Place::Value { depth, is_string, is_escaped };
        self.place = match byte {
            _ if is_string => next(depth, is_escaped || byte != b'"', byte == b'\\' && !is_escaped),
            b'"' => next(depth, !is_string, is_escaped),
            b'{' | b'[' => next(depth.saturating_add(1), is_string, is_escaped),
            b'}' if depth == 0 => Place::End,
            b',' if depth == 0 => Place::Between,
            b'}' | b']' => next(depth.saturating_sub(1), is_string, is_escaped),
            _ => self.place,
        };
        if matches!(self.place, Place::Value { .. }) {
            self.pass(unit, out);
        }
    }

    fn pass(&self, unit: Unit<'_>, out: &mut String) {
        if self.name == MEMBER {
            push_escaped(unit, out);
        }
    }
}

fn is_before_value(unit: Unit<'_>) -> bool {
    matches!(unit, Unit::Ascii(b':' | b' ' | b'\n' | b'\r' | b'\t'))
}

/// The first character of the inner JSON, and what follows it.
fn next_unit(piece: &str) -> Option<(Unit<'_>, &str)> {
    let first = piece.chars().next()?;
    let width =
        if first == '\\' { if piece.as_bytes().get(1) == Some(&b'u') { 6 } else { 2 } } else { first.len_utf8() };
    let (spelt, rest) = piece.split_at_checked(width).unwrap_or((piece, ""));
    let meant = match spelt.as_bytes() {
        [b'\\', b'u', digits @ ..] => std::str::from_utf8(digits).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok()),
        [b'\\', b'n'] => Some(b'\n'),
        [b'\\', b'r'] => Some(b'\r'),
        [b'\\', b't'] => Some(b'\t'),
        [b'\\', b'b'] => Some(8),
        [b'\\', b'f'] => Some(12),
        [b'\\', other] => Some(*other),
        [byte] => Some(*byte),
        _ => None,
    };
    Some((meant.filter(u8::is_ascii).map_or(Unit::Other(spelt), Unit::Ascii), rest))
}

fn push_escaped(unit: Unit<'_>, out: &mut String) {
    match unit {
        Unit::Ascii(byte @ (b'"' | b'\\')) => out.extend(['\\', char::from(byte)]),
        Unit::Ascii(byte) if byte < 0x20 => out.push_str(Text::plain(char::from(byte).to_string()).spelt()),
        Unit::Ascii(byte) => out.push(char::from(byte)),
        Unit::Other(spelt) => out.push_str(spelt),
    }
}

#[cfg(test)]
mod tests;
