//! Fits what `flux-auto` knows of kinds of work to examples and outcomes, and measures what that gains.
//!
//! Must not know files or clocks: text comes in, weights and tables go out, the same every time.

pub mod augment;
pub mod chart;
pub mod evaluate;
pub mod examples;
pub mod gains;
pub mod measure;
pub mod outcomes;
pub mod paraphrase;
pub mod recogniser;
pub mod report;
pub mod rows;
pub mod shuffle;
pub mod study;
pub mod table;
pub mod validate;

#[cfg(test)]
mod tests;
