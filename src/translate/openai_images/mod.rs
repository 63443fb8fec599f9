//! The images endpoint of `OpenAI` (`POST /v1/images/generations`), for clients and for providers, and the form of
//! its edits (`POST /v1/images/edits`), for clients.
//!
//! Must not know other formats. A request is words for a picture and how it shall look; there is no talk, so that a
//! conversation comes down to what the user said last. Answers come whole.

mod answer_read;
mod answer_write;
mod form_read;
mod request_read;
mod request_write;
mod xai;

pub use answer_read::AnswerReader;
pub use answer_write::WholeWriter;
pub use form_read::read_form;
pub use request_read::read_request;
pub use request_write::write_request;
pub use xai::{reshape, reshape_form};

#[cfg(test)]
mod tests;
