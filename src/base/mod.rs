//! The vocabulary of the whole crate: money, tokens, ids, time, secrets, refusals, outcomes.
//!
//! Must not know any other module: everything may name `base`, `base` names nothing.

pub mod complaint;
pub mod effort;
pub mod ids;
pub mod money;
pub mod outcome;
pub mod period;
pub mod preference;
pub mod quality;
pub mod refusal;
pub mod secret;
pub mod tariff;
pub mod task;
pub mod time;
pub mod usage;
pub mod wire_format;
pub mod wish;
