//! What becomes of each field of a format when the target speaks another one.
//!
//! Must not translate anything: each format lists its own fields, tests and documents read the lists.

/// A field of a format's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its path, `[]` for each element: `messages[].content[].text`.
    pub path: &'static str,
    /// What becomes of it.
    pub fate: Fate,
}

/// What becomes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is said again where the target has a place for it.
    Mapped,
    /// It is said to those who can make use of it, and left out elsewhere without a word: why nobody misses it.
    Hint(&'static str),
    /// Nothing hangs on it in another format: why.
    Moot(&'static str),
    /// It is brought about in another way: how.
    Emulated(&'static str),
    /// It is left out, and named in `x-flux-ignored`: why that does no harm.
    Dropped(&'static str),
    /// The request is refused: why.
    Refused(&'static str),
}

/// A field of a format's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerField {
    /// Its path, `[]` for each element and `[type]` for each of that type; `events[type]` are those of a stream. What
    /// stands inside of it shares its fate, unless it has one of its own. A path that begins with `*` is the end of
    /// many.
    pub path: &'static str,
    /// What becomes of it.
    pub fate: AnswerFate,
}

/// What becomes of a field of an answer. There is no header that could name what is left out: the answer has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerFate {
    /// Every client of another format is told.
    Mapped,
    /// Those clients are told whose format has a place for it: who has none.
    MappedBut(&'static str),
    /// It is told in another way, or decides how something else is told: how.
    Emulated(&'static str),
    /// No client is told: why nobody misses it.
    Dropped(&'static str),
}
