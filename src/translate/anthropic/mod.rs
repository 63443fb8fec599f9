//! Anthropic Messages.
//!
//! Must not know any other format.

mod blocks_read;
mod blocks_write;
mod ids;
mod marks;
mod place;
mod request_read;
mod request_write;
mod server_tools;
mod suits;
mod thinking;
mod tools_read;
mod tools_write;

pub use request_read::read_request;
pub use request_write::write_request;
pub use thinking::OUTPUT_TOKENS_DEFAULT;
