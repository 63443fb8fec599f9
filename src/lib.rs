//! Flux: an LLM gateway and smart router on Pingora.
//!
//! The modules stand in the order in which a request meets them; `ARCHITECTURE.md` tells the way.

pub mod base;
/// From a request to a lane, by rules.
pub mod classify;
/// The provider that is built in.
pub mod mock;
