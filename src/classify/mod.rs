//! `flux-auto`: from a request to a lane, by rules that an operator can read.
//!
//! Must not know models, providers or prices: a lane is a name here. The same request and the same rules give the same
//! lane, always.

pub mod features;
mod image_intent;
#[rustfmt::skip]
mod image_words;
pub mod rules;
mod signs;
mod walk;

use features::FeatureInput;
use rules::{Decision, RuleSet};

/// Looks at a request and decides on a lane.
pub fn classify<'r>(rules: &'r RuleSet, input: &FeatureInput<'_>) -> Decision<'r> {
    rules.decide(&features::extract(input))
}
