//! OpenAI Chat Completions, and the many hosts that speak it in dialects of their own.
//!
//! Must not know the other formats. What hosts do differently stands in `dialect`, as a table.
//!
//! Where the official SDK's types (openai-python 3.54.0) and what goes over the wire differ, the wire wins:
//! - A streamed call is typed as a function only; calls with free text come and go as `custom{name,input}` all the
//!   same. `delta.annotations`, `delta.images`, `reasoning_content` and `reasoning_details` are not typed at all, yet
//!   many hosts and clients use them. The SDK joins lists of a stream by `index`, so that each element gets one.
//! - `modalities` is typed as text and audio; hosts that make pictures want `image`.
//! - `url_citation` must have both indices and a title: 0, the text's length and `""` stand where they are unknown.
//! - A grammar stands in `custom.format.grammar{syntax,definition}`, at Responses one level higher; both are written.
//! - `prompt_cache_options.ttl` knows 30 minutes only, marks on parts also twelve hours.
//! - Usage has no split of cache writes by lifetime, and names `image_tokens` in both details.

mod answer_fields;
mod answer_read;
mod answer_write;
mod answer_write_whole;
mod calls_read;
mod details_read;
mod dialect;
mod faults_read;
mod fields;
mod messages_read;
mod messages_write;
mod parts_read;
mod parts_write;
mod request_read;
mod request_write;
mod spelling;
mod thoughts_read;
mod tools_read;
mod tools_write;
mod unseal;
mod words;

use crate::catalog::provider::Dialect;

pub use answer_fields::ANSWER_FIELDS;
pub use answer_read::AnswerReader;
pub use answer_write::StreamWriter;
pub use answer_write_whole::WholeWriter;
pub use fields::FIELDS;
pub use request_read::read_request;
pub use request_write::write_request;
pub(super) use unseal::unseal;

/// What a host calls the most tokens of an answer.
pub fn limit_field(dialect: Dialect) -> &'static str {
    dialect::host(dialect).limit
}

#[cfg(test)]
mod tests;
