//! Flux: an LLM gateway and smart router on Pingora.
//!
//! The modules stand in the order in which a request meets them; `ARCHITECTURE.md` tells the way.

pub mod base;

/// Requests and answers as bytes: point reads, splices, event borders, usage.
pub mod wire;

/// What an answer used, read while its frames go on.
pub mod meter;
