//! An answer as it comes about. A whole answer is the same events, all at once.
//!
//! Must not know any format's grammar: a reader makes these from frames or from a whole answer, a writer makes
//! frames or a whole answer from these.
//!
//! The order: one `Start`; then parts one after another or (calls only) at once; then `Logprobs`, `Finish` and
//! `Usage` in any order. A part of another kind, or `PartEnd`, ends the part before, except that calls stay open
//! until `PartEnd` or the end: some providers stream several calls at once, told apart by their index.

use super::request::CallKind;
use super::thought::Blob;
use super::{Text, Value};
use crate::base::usage::Usage;

/// A step of an answer.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// The provider has begun.
    Start {
        /// Its id of the answer. For the log: clients get an id of ours.
        id: Text<'a>,
        /// What it knows of the usage by then.
        usage: Option<Usage>,
    },
    /// A piece of text.
    Text(Text<'a>),
    /// A piece of a refusal.
    Refusal(Text<'a>),
    /// A piece of a thought.
    Thought(Text<'a>),
    /// What the maker of the open part wants back with it. With no open thought, text or call it stands for a
    /// thought that is not shown at all.
    Sealed(Blob<'a>),
    /// A call begins.
    CallStart {
        /// Tells calls apart: 0, 1, 2, … in the order of their beginning.
        index: usize,
        /// Links it to its result.
        id: Text<'a>,
        /// Which tool.
        name: Text<'a>,
        /// JSON or free text.
        kind: CallKind,
    },
    /// A piece of a call's arguments: JSON text, or free text. The pieces of no call at all mean `{}`.
    CallArguments {
        /// Which call.
        index: usize,
        /// The piece.
        piece: Text<'a>,
    },
    /// The open part is whole. With calls open: the last one that began.
    PartEnd,
    /// A source of the text before.
    Citation(Citation<'a>),
    /// A picture, whole.
    Image {
        /// `image/png`, …
        media_type: Text<'a>,
        /// The bytes in base64.
        base64: Text<'a>,
    },
    /// Probabilities of the words since the last event of this kind: Chat's `content` array.
    Logprobs(Value<'a>),
    /// Why the answer ended.
    Finish {
        /// Why.
        reason: Finish,
        /// The text that it ended at, where the provider says it.
        stop: Option<Text<'a>>,
    },
    /// What was used, all told: the last one holds.
    Usage {
        /// Tokens by kind.
        usage: Usage,
        /// The tier that served, where the provider says it.
        service_tier: Option<Text<'a>>,
    },
    /// The provider failed.
    Fault(Fault<'a>),
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// It was done.
    Done,
    /// It came to a stop text.
    Stop,
    /// It wants results of calls.
    Calls,
    /// It came to the client's or the model's limit.
    Length,
    /// The window is full.
    ContextFull,
    /// The model declined.
    Refusal,
    /// A filter of the provider cut it or kept it back.
    Filtered,
    /// A tool of the provider pauses the turn (Anthropic's `pause_turn`).
    Paused,
}

/// A source of a text.
#[derive(Clone, Debug)]
pub struct Citation<'a> {
    /// Where it is.
    pub url: Option<Text<'a>>,
    /// What it is called.
    pub title: Option<Text<'a>>,
    /// The words that were taken from it.
    pub quote: Option<Text<'a>>,
    /// Which characters of the part's text it stands for, where that is known.
    pub range: Option<(u64, u64)>,
}

/// How a provider failed within an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault<'a> {
    /// What kind of failure.
    pub kind: FaultKind,
    /// Its words. For `translate::error` to clean, never for a client as they are.
    pub message: Text<'a>,
}

/// What kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The request itself.
    Rejected,
    /// Too much at once from us.
    RateLimited,
    /// Too much at once from everybody.
    Overloaded,
    /// Any other.
    Fault,
    /// The answer is not one of its format.
    Garbled,
}
