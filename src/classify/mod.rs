//! `flux-auto`: from a request to a lane, by rules that an operator can read, and where they leave it open by the kind of work.
//!
//! Must not know models, providers or prices: a lane is a name here. The same request and the same files give the same
//! lane, always.

pub mod choose;
pub mod explain;
pub mod features;
mod image_intent;
#[rustfmt::skip]
mod image_words;
pub mod kinds;
pub mod opening;
pub mod rules;
mod signs;
pub mod steady;
pub mod table;
mod walk;

use std::cmp::Ordering;

use choose::{Choice, Wish};
use features::{FeatureInput, Features};
use kinds::weights::Weights;
use kinds::{Mix, Recognised};
use rules::{RuleSet, Verdict};
use table::LaneTable;

use crate::base::wish::WORD_LANES;

/// Everything that decides, as it was read from the rules folder. Immutable; new files make a new router.
#[derive(Clone, Debug)]
pub struct Router {
    /// What is certain.
    pub rules: RuleSet,
    /// What is likely.
    pub kinds: KindModel,
}

/// The recogniser of kinds and what each kind is worth on each lane.
#[derive(Clone, Debug)]
pub struct KindModel {
    /// Tells kinds apart.
    pub weights: Weights,
    /// One row for each of its kinds.
    pub table: LaneTable,
}

/// How much quality is wished for, and what it costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// 0 for the cheapest, 1 for the best.
    pub quality: f32,
    /// Prices of fast, standard and reasoning as shares of the dearest.
    pub prices: [f32; 3],
}

/// Where a request goes, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision<'r> {
    /// The lane's name.
    pub lane: &'r str,
    /// What decided.
    pub reason: Reason<'r>,
    /// What each lane is expected to be worth, and which one the kind alone would get.
    pub choice: Choice,
    /// How likely each kind is.
    pub mix: Mix,
    /// What was seen.
    pub features: Features,
}

/// What decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason<'r> {
    /// A rule, by its name.
    Rule(&'r str),
    /// No rule named a lane, but one kept the kind of work from its own.
    Bound(&'r str),
    /// No rule named a lane: the likeliest kind of work.
    Kind(&'r str),
}

impl Router {
    /// The likeliest kind of a mix.
    pub fn likeliest(&self, mix: &Mix) -> &str {
        self.kinds.weights.kinds().get(mix.top().0).map_or("", String::as_str)
    }
}

impl Decision<'_> {
    /// The estimated gain of the dearer lane: quality of reasoning less that of standard, from -1 to 1.
    pub fn score(&self) -> f32 {
        self.choice.gain()
    }
}

/// Looks at a request and decides on a lane.
pub fn classify<'r>(router: &'r Router, input: &FeatureInput<'_>, terms: &Terms) -> Decision<'r> {
    let (features, sample) = features::extract(input);
    let KindModel { weights, table } = &router.kinds;
    let Recognised { mix, gains } = kinds::recognise(weights, &sample.excerpt(), &features);
    let Verdict { lane: ruled, at_least, at_most, floor, ceiling } = router.rules.judge(&features);
    let wish = Wish { quality: terms.quality, prices: terms.prices, at_least, at_most };
    let shares = mix.shares(weights.kinds().len());
    let choice = choose::choose(table, shares, gains, &wish);
    let (lane, reason) = if let Some((lane, rule)) = ruled {
        (lane, Reason::Rule(rule))
    } else {
        let free = choose::choose(table, shares, gains, &Wish { at_least: 0, at_most: WORD_LANES.len() - 1, ..wish });
        let bound = match choice.lane.cmp(&free.lane) {
            Ordering::Greater => floor,
            Ordering::Less => ceiling,
            Ordering::Equal => None,
        };
        let reason = bound.map_or_else(|| Reason::Kind(router.likeliest(&mix)), Reason::Bound);
        (WORD_LANES.get(choice.lane).copied().unwrap_or(WORD_LANES[1]), reason)
    };
    Decision { lane, reason, choice, mix, features }
}
