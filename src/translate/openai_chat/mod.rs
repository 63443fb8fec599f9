//! OpenAI Chat Completions, and the many hosts that speak it in dialects of their own.
//!
//! Must not know the other formats. What hosts do differently stands in [`dialect`], as a table.

mod dialect;
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

pub use request_read::read_request;
pub use request_write::write_request;
