//! The intermediate representation: what a request and an answer say, whatever format says it.
//!
//! Must not know how any format spells it. Readers fill it, writers say it again; no reader knows a writer.
//! What a format has no place for is carried in [`Request::ignored`] as a name, or refused by name: nothing is
//! lost in silence. Text stays as it was spelt ([`Text`]), schemas and other opaque JSON as [`Value`].

pub mod event;
pub mod request;
pub mod thought;

pub use event::{Citation, Event, Fault, FaultKind, Finish};
pub use request::{
    CacheMark, CacheTtl, Call, CallKind, Choice, Identity, ImageForm, Logprobs, Media, OutputForm, Part, PartKind,
    Reasoning, Request, Role, Sampling, Shown, Source, Thinking, Tool, ToolChoice, ToolKind, ToolResult, Turn,
};
pub use thought::{Blob, BlobKind, Maker};

pub use crate::base::effort::Effort;
pub use crate::wire::json::{Text, Value};
