//! Where in a request something stands: for error messages, and for the names of what was left out.
//!
//! Must not know what stands there. A place is a chain on the stack; it is only spelt when it is told.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::translate::Invalid;

/// The most names of left-out fields that are kept: they go into one header.
const IGNORED_MAX: usize = 64;

/// A place in a request, from its parent down.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'p> {
    parent: Option<&'p Place<'p>>,
    name: &'p str,
    index: Option<usize>,
}

/// Whether indices are spelt out or left open.
#[derive(Clone, Copy)]
enum Indices {
    Shown,
    Open,
}

impl<'p> Place<'p> {
    /// A field of the request.
    pub(super) fn field(name: &'p str) -> Self {
        Self { parent: None, name, index: None }
    }

    /// An element of an array of the request.
    pub(super) fn element(name: &'p str, index: usize) -> Self {
        Self { parent: None, name, index: Some(index) }
    }

    /// A field in this place.
    pub(super) fn inner(&'p self, name: &'p str) -> Self {
        Self { parent: Some(self), name, index: None }
    }

    /// An element of an array in this place.
    pub(super) fn inner_element(&'p self, name: &'p str, index: usize) -> Self {
        Self { parent: Some(self), name, index: Some(index) }
    }

    /// As a client names it: `messages[3].content[1].source`.
    pub(super) fn path(&self) -> String {
        let mut path = String::new();
        self.spell(Indices::Shown, &mut path);
        path
    }

    /// For any element: `messages[].content[].source`.
    pub(super) fn open_path(&self) -> String {
        let mut path = String::new();
        self.spell(Indices::Open, &mut path);
        path
    }

    fn spell(&self, indices: Indices, path: &mut String) {
        if let Some(parent) = self.parent {
            parent.spell(indices, path);
            path.push('.');
        }
        path.push_str(self.name);
        match (self.index, indices) {
            // Writing to a string cannot fail.
            (Some(index), Indices::Shown) => drop(write!(path, "[{index}]")),
            (Some(_), Indices::Open) => path.push_str("[]"),
            (None, _) => {}
        }
    }

    /// What stands here makes no sense.
    pub(super) fn invalid(&self, message: impl Into<Cow<'static, str>>) -> Invalid {
        Invalid::request(self.path(), message)
    }

    /// What stands here is fine elsewhere.
    pub(super) fn unsuited(&self, message: impl Into<Cow<'static, str>>) -> Invalid {
        Invalid::target(self.path(), message)
    }
}

/// The names of what was left out, each once.
#[derive(Debug, Default)]
pub(super) struct Ignored(pub(super) Vec<Cow<'static, str>>);

impl Ignored {
    /// Adds a name.
    pub(super) fn add(&mut self, name: impl Into<Cow<'static, str>>) {
        let name = name.into();
        if self.0.len() < IGNORED_MAX && !self.0.contains(&name) {
            self.0.push(name);
        }
    }

    /// Adds a field of a place, for whichever element it is.
    pub(super) fn add_in(&mut self, place: &Place<'_>, name: &str) {
        self.add(place.inner(name).open_path());
    }
}
