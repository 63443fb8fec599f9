//! From a client's wire format to a provider's, and back.
//!
//! Must not know plans, prices or sockets. A request goes reader → [`ir::Request`] → writer; an answer goes reader →
//! [`ir::Event`]s → writer, whether it comes whole or as a stream. No reader knows a writer: one module a format
//! holds its own four (`request` and `answer`, each read and written). Same format in and out never comes here:
//! those bytes pass untouched.

pub mod anthropic;
pub mod convert;
pub mod count;
pub mod effort;
pub mod emulate;
pub mod envelope;
pub mod error;
pub mod fields;
pub mod gemini;
pub mod grammar;
pub mod ir;
pub mod media;
pub mod names;
pub mod openai_chat;
pub mod openai_images;
pub mod openai_responses;
pub mod order;
pub mod restream;
mod shape;
pub mod turns;
pub mod unseal;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use crate::base::ids::RequestId;

use envelope::Envelope;
use ir::{Event, Maker};

/// A request that cannot be said in the target's format, or makes no sense in its own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Invalid {
    /// For the client: what is wrong, and what to do.
    pub message: Cow<'static, str>,
    /// The field that is at fault, as a path: `messages[2].content[0].image_url`.
    pub param: String,
    /// Whether another target may still take it.
    pub fault: InvalidFault,
}

/// Whose fault an [`Invalid`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidFault {
    /// The request's own: no target takes it.
    Request,
    /// The target's: its format or model has no place for something that is fine elsewhere.
    Target,
}

impl Invalid {
    /// A request that makes no sense.
    pub fn request(param: impl Into<String>, message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into(), param: param.into(), fault: InvalidFault::Request }
    }

    /// Something that this target has no place for.
    pub fn target(param: impl Into<String>, message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into(), param: param.into(), fault: InvalidFault::Target }
    }
}

/// A request in the target's format.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// The body. Unlike in the client's formats there is no name of a model in Gemini's: it stands in the path.
    pub body: Vec<u8>,
    /// Fields that the target has no place for and that were left out, as the client named them.
    pub ignored: Vec<Cow<'static, str>>,
    /// What was said in another way than the client did, and must be undone in the answer.
    pub emulated: Emulated,
    /// Whether the client knows calls only by Chat's old form. Set by `convert`.
    pub has_legacy_functions: bool,
}

/// What an answer must be cleared of before the client sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Emulated {
    /// A tool that was only there to force JSON: its arguments are the answer's text.
    pub schema_tool: Option<Box<str>>,
    /// Custom tools that went as functions with the one argument `input`.
    pub custom_tools: Vec<Box<str>>,
}

/// Takes the events of an answer.
pub trait Sink {
    /// Takes the next one.
    fn take(&mut self, event: Event<'_>);
}

/// What a writer of answers knows beside the events.
#[derive(Clone, Debug)]
pub struct View {
    /// From which ids of answers and items are made.
    pub id: RequestId,
    /// The model by the name that the client asked for.
    pub model: Arc<str>,
    /// When the request came, in seconds since 1970.
    pub created_s: u64,
    /// Whether a streaming Chat client asked to see usage.
    pub usage_asked: bool,
    /// Whether a Chat client knows calls only by their old form.
    pub has_legacy_functions: bool,
    /// The client's request, for formats that repeat parts of it (Responses).
    pub request: Bytes,
    /// The prompt's tokens as far as they are known at the start: an estimate.
    pub prompt_tokens: u64,
    /// Who answers: seals what only it may get back.
    pub maker: Maker<'static>,
    /// Seals and opens what goes through clients of another format.
    pub envelope: Arc<Envelope>,
    /// How many bytes a writer may keep to repeat them later.
    pub kept_bytes_max: usize,
}

/// A writer kept more than it may ([`View::kept_bytes_max`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer is longer than may be kept for its last event")]
pub struct Overflow;

/// What an answer closes with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Closing<'a> {
    /// What the request cost, as an exact decimal; `None` where nothing is told (test keys).
    pub cost_usd: Option<&'a str>,
}
