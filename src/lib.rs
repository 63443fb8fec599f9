//! Flux: an LLM gateway and smart router on Pingora.
//!
//! The modules stand in the order in which a request meets them; `ARCHITECTURE.md` tells the way. Those
//! behind the feature `shell` touch sockets, disks and clocks; all others are pure.

// The way of a request.
pub mod admit;
pub mod authenticate;
pub mod calibrate;
pub mod classify;
pub mod exchange;
pub mod meter;
#[cfg(feature = "shell")]
pub mod metrics;
pub mod plan;
#[cfg(feature = "shell")]
pub mod proxy;
#[cfg(feature = "shell")]
pub mod request_log;
pub mod settle;
#[cfg(feature = "shell")]
pub mod store;
pub mod translate;

// What the steps speak of.
pub mod accounts;
pub mod base;
pub mod catalog;
pub mod config;
pub mod health;
pub mod wire;

// Around it.
#[cfg(feature = "shell")]
pub mod api;
#[cfg(feature = "shell")]
pub mod boot;
#[cfg(feature = "shell")]
pub mod cli;
#[cfg(any(feature = "shell", test))]
pub mod import;
pub mod mock;
