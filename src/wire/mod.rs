//! Byte work on the wire formats: point reads, splices, event borders, usage.
//!
//! Must not build a tree of a whole body, and must not know providers, keys, prices or sockets.

pub mod count;
pub mod counted;
pub mod ending;
pub mod head;
pub mod json;
pub mod jumps;
pub mod leap;
pub mod multipart;
pub mod refusal;
pub mod splice;
pub mod sse;
pub mod strict;
pub mod tail;
pub mod text;
pub mod usage;
