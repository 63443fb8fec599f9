//! From a provider's wire format to the client's.
//!
//! Must not know prices, plans or sockets. Same format in and out never comes here: those bytes pass
//! untouched. What is here so far: a provider's error as a refusal, and a whole answer as a stream for
//! a client that asked for one.

pub mod error;
pub mod restream;
