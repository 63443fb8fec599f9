//! Flux: an LLM gateway and smart router on Pingora.
//!
//! The modules stand in the order in which a request meets them; `ARCHITECTURE.md` tells the way.

/// The keys that may call, as they stand in memory.
pub mod accounts;
/// Who is calling.
pub mod authenticate;
pub mod base;
/// The command line.
#[cfg(feature = "shell")]
pub mod cli;
/// What is kept: charges and keys.
#[cfg(feature = "shell")]
pub mod store;
