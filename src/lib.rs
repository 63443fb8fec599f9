//! Flux: an LLM gateway and smart router on Pingora.
//!
//! The modules stand in the order in which a request meets them; `ARCHITECTURE.md` tells the way.

pub mod accounts;
pub mod authenticate;
pub mod base;
pub mod catalog;
pub mod config;
pub mod meter;
pub mod mock;
pub mod plan;
pub mod settle;
pub mod wire;
