//! Anthropic Messages: requests and answers, read and written.
//!
//! Must not know any other format. A client's request is read (`request_read`, `blocks_read`, `tools_read`), a
//! provider's is written (`request_write`, `blocks_write`, `tools_write`) after `suits` has refused what the target
//! cannot take; answers become events in `answer_read`, and events answers in `stream_write` and `whole_write`.
//!
//! Converted requests are of version 2023-06-01. Checked against the types of the official Python package 2.12.0,
//! which say more than our map of the formats does:
//! - `stop_details` also stands in `message_delta.delta`, and the package's accumulator takes each frame's
//!   `stop_reason` as it is, null too: the writer sends one `message_delta` only.
//! - `message_delta.usage` has no `cache_creation`, no `service_tier`; `output_tokens` is required there.
//! - The accumulator parses arguments with every piece and raises on what cannot be the beginning of JSON: a
//!   model's broken arguments break its stream at the client. In a whole answer they are wrapped (`_raw`).
//! - `stop_reason` may be `compaction` (beta), blocks may be `compaction`, `fallback`, `tool_addition`, … (beta).
//! - `service_tier` of a request is `auto` or `standard_only`, of usage `standard`, `priority` or `batch`.
//! - `effort` has no `none` and no `minimal`; those are thinking's switch and `low`.
//! - `max_tokens: 0` warms the cache.

mod answer_fields;
mod answer_read;
mod blocks;
mod blocks_read;
mod blocks_write;
mod fields;
mod ids;
mod marks;
mod place;
mod request_read;
mod request_write;
mod server_tools;
mod stop;
mod stream_write;
mod suits;
mod thinking;
mod tools_read;
mod tools_write;
mod unseal;
mod whole_write;

pub use answer_fields::ANSWER_FIELDS;
pub use answer_read::AnswerReader;
pub use fields::FIELDS;
pub use request_read::read_request;
pub use request_write::write_request;
pub use stream_write::StreamWriter;
pub use thinking::OUTPUT_TOKENS_DEFAULT;
pub(super) use unseal::unseal;
pub use whole_write::WholeWriter;

#[cfg(test)]
mod tests;
