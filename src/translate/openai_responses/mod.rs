//! `OpenAI` Responses: reader and writer of requests and answers.
//!
//! Must not know any other format, nor how a stream is cut into chunks. A turn of the assistant is several items
//! here (thoughts, messages, calls), so the reader joins neighbours and the writer takes them apart again. Flux
//! keeps no state: what refers to stored items is refused, thoughts come back in their encrypted content.
//!
//! Where the types of the SDK (3.54) say something else than is written about this format:
//! - thoughts in full may also come as `content_part.added` with a `reasoning_text` part;
//! - `input_tokens_details.cache_write_tokens` must be there, its split by lifetime need not;
//! - a reasoning item must have an `id` in a request; the service takes it without, and refuses foreign ones;
//! - an assistant's message has an `id` or a content of one string; the service takes parts without an id too;
//! - the answer's `error.code` is a closed list, yet clients (Codex) look for codes outside of it;
//! - there is no sound among the parts of a message.

mod answer_fields;
mod answer_read;
mod answer_write;
mod compose;
mod content;
mod fields;
mod frames;
mod input_read;
mod input_write;
mod items;
mod parts;
mod request_read;
mod request_write;
mod tools;
mod unseal;

pub use answer_fields::ANSWER_FIELDS;
pub use answer_read::AnswerReader;
pub use answer_write::{StreamWriter, WholeWriter};
pub use fields::FIELDS;
pub use request_read::read_request;
pub use request_write::write_request;
pub(super) use unseal::unseal;

#[cfg(test)]
mod tests;
