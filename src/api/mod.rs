//! Flux's own endpoints, one file a resource.
//!
//! Must not know sockets: each function takes what was asked and returns the body of the answer.

pub mod models;
pub mod private;
