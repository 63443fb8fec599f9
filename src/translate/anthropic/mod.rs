//! Anthropic Messages.
//!
//! Must not know any other format.

mod answer_read;
mod blocks;
mod blocks_read;
mod blocks_write;
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
mod whole_write;

pub use answer_read::AnswerReader;
pub use request_read::read_request;
pub use request_write::write_request;
pub use stream_write::StreamWriter;
pub use thinking::OUTPUT_TOKENS_DEFAULT;
pub use whole_write::WholeWriter;

#[cfg(test)]
mod tests;
