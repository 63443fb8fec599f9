//! The calls of an answer, put together from pieces.
//!
//! Must not know the rest of the answer. The format tells calls apart by `index`; hosts leave it out, or set it to 0
//! everywhere and change the id, or send a call whole. So a piece goes to the call with its id, else to the one with
//! its index, else to the last; it begins a call where none fits and it brings a name.

use super::spelling::digest;
use crate::translate::Sink;
use crate::translate::ir::{CallKind, Event, Text, Value};
use crate::wire::json::Kind;

/// More calls than this in one answer are none.
const CALLS_MAX: usize = 1024;
/// Letters of an id that is made here.
const ID_CHARS: usize = 24;

/// What cannot be understood of a call.
#[derive(Debug)]
pub(super) struct Broken(pub(super) &'static str);

/// The calls so far.
#[derive(Debug, Default)]
pub(super) struct Calls {
    calls: Vec<Call>,
    /// From which ids are made where the host sends none.
    seed: Vec<u8>,
}

#[derive(Debug)]
struct Call {
    /// As the host numbers it.
    index: Option<u64>,
    /// As the host names it; empty where it does not.
    id: String,
    name: String,
}

/// A piece of a call.
#[derive(Default)]
struct Piece<'a> {
    index: Option<u64>,
    id: Option<Text<'a>>,
    kind: CallKind,
    name: Option<Text<'a>>,
    arguments: Option<Value<'a>>,
}

impl Calls {
    /// Whether there was a call.
    pub(super) fn has_any(&self) -> bool {
        !self.calls.is_empty()
    }

    /// How many there were.
    pub(super) fn count(&self) -> usize {
        self.calls.len()
    }

    /// Ids that are made here differ from answer to answer.
    pub(super) fn name_after(&mut self, chunk: Value<'_>) {
        for name in ["id", "created"] {
            self.seed.extend_from_slice(chunk.get(name).map_or("", Value::spelt).as_bytes());
        }
    }

    /// Takes `tool_calls` of a delta or a message.
    pub(super) fn take(&mut self, calls: Value<'_>, sink: &mut dyn Sink) -> Result<(), Broken> {
        let before = self.calls.len();
        for (position, call) in calls.elements().enumerate() {
            let piece = Piece::read(call);
            let place = self.find(&piece, position, before);
            self.put(&piece, place, sink)?;
        }
        Ok(())
    }

    /// Takes the one call of the old form.
    pub(super) fn old(&mut self, call: Value<'_>, sink: &mut dyn Sink) -> Result<(), Broken> {
        let mut piece = Piece::default();
        piece.read_inner(call, "arguments");
        let place = if self.calls.is_empty() { None } else { Some(0) };
        self.put(&piece, place, sink)
    }

    /// The call that a piece belongs to; `None` if it begins one.
    fn find(&self, piece: &Piece<'_>, position: usize, before: usize) -> Option<usize> {
        if let Some(id) = &piece.id {
            if let Some(place) = self.calls.iter().rposition(|call| call.id == id.spelt()) {
                return Some(place);
            }
            // Another id with a name is another call, whatever its index says.
            if piece.name.is_some() {
                return None;
            }
        }
        let is_new = |call: &Call| piece.name.as_ref().is_some_and(|name| name.spelt() != call.name);
        if piece.index.is_some() {
            let place = self.calls.iter().rposition(|call| call.index == piece.index)?;
            return Some(place).filter(|place| !self.calls.get(*place).is_some_and(is_new));
        }
        // Without an index the order says it, where several come at once.
        if position > 0 || (piece.name.is_some() && piece.id.is_none()) {
            let place = position;
            let is_old = place < before && !self.calls.get(place).is_some_and(is_new);
            return Some(place).filter(|_| is_old);
        }
        self.calls.len().checked_sub(1)
    }

    fn put(&mut self, piece: &Piece<'_>, place: Option<usize>, sink: &mut dyn Sink) -> Result<(), Broken> {
        let index = match place {
            Some(place) => place,
            None => self.begin(piece, sink)?,
        };
        let Some(arguments) = piece.arguments else { return Ok(()) };
        let piece = match (arguments.as_text(), arguments.kind()) {
            (Some(text), _) => text,
            // An object where its text should be.
            (None, Kind::Object) => Text::plain(arguments.spelt()),
            (None, _) => return Ok(()),
        };
        if !piece.is_empty() {
            sink.take(Event::CallArguments { index, piece });
        }
        Ok(())
    }

    fn begin(&mut self, piece: &Piece<'_>, sink: &mut dyn Sink) -> Result<usize, Broken> {
        let name = piece.name.as_ref().ok_or(Broken("a call without a name"))?;
        let index = self.calls.len();
        if index == CALLS_MAX {
            return Err(Broken("more calls than an answer can have"));
        }
        let spelt = piece.id.as_ref().map_or("", Text::spelt);
        self.calls.push(Call { index: piece.index, id: spelt.to_owned(), name: name.spelt().to_owned() });
        let id = if spelt.is_empty() { Text::plain(self.made_id(index)) } else { Text::spelt_as(spelt) };
        sink.take(Event::CallStart { index, id, name: name.by_ref(), kind: piece.kind });
        Ok(index)
    }

    fn made_id(&self, index: usize) -> String {
        let name = self.calls.get(index).map_or("", |call| &call.name);
        let seed = [&self.seed, index.to_string().as_bytes(), name.as_bytes()].concat();
        format!("call_{}", digest(&seed, ID_CHARS))
    }
}

impl<'a> Piece<'a> {
    fn read(call: Value<'a>) -> Self {
        let mut piece = Self::default();
        for (name, value) in call.members() {
            match &*name {
                "index" => piece.index = value.as_u64(),
                "id" => piece.id = value.as_text().filter(|id| !id.is_empty()),
                "function" => piece.read_inner(value, "arguments"),
                "custom" if value.kind() == Kind::Object => {
                    piece.kind = CallKind::Custom;
                    piece.read_inner(value, "input");
                }
                _ => {}
            }
        }
        piece
    }

    fn read_inner(&mut self, inner: Value<'a>, words: &str) {
        for (name, value) in inner.members() {
            if name == "name" {
                self.name = value.as_text().filter(|name| !name.is_empty());
            } else if name == words {
                self.arguments = Some(value);
            }
        }
    }
}
