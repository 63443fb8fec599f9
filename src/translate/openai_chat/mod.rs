//! OpenAI Chat Completions, and the many hosts that speak it in dialects of their own.
//!
//! Must not know the other formats. What hosts do differently stands in [`dialect`], as a table.

mod answer_read;
mod answer_write;
mod answer_write_whole;
mod calls_read;
mod details_read;
mod dialect;
mod faults_read;
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
mod words;

pub use answer_read::AnswerReader;
pub use answer_write::StreamWriter;
pub use answer_write_whole::WholeWriter;
pub use request_read::read_request;
pub use request_write::write_request;
