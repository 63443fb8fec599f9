//! Chains: where a name may lead, in which order, in which shares, and for which requests.
//!
//! Must not know which target a request takes: `plan` decides that.

use std::sync::Arc;

use super::Target;
use crate::base::money::PicoUsd;
use crate::base::time::UnixMs;
use crate::base::wire_format::WireFormat;

/// The place of a target in its chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Steps are taken one after the other; targets of one step share its requests.
    pub number: u16,
    /// The share among the targets of the step. 0: only where no other of the step is left.
    pub weight: u32,
    /// For which requests it is.
    pub when: Conditions,
    /// Whether an earlier place of the chain is of the same model. The first whose conditions a request meets counts.
    pub is_repeated: bool,
}

impl Default for Step {
    fn default() -> Self {
        Self { number: 0, weight: 1, when: Conditions::default(), is_repeated: false }
    }
}

/// What a request must be like for a target to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conditions {
    /// With pictures in the prompt, or without.
    pub vision: Option<bool>,
    /// With tools, or without.
    pub tools: Option<bool>,
    /// Its prompt has about so many tokens or more.
    pub prompt_tokens_min: u64,
    /// Its prompt has about so many tokens or fewer.
    pub prompt_tokens_max: u64,
    /// It asks for one of these regions; empty for any request.
    pub regions: Vec<Arc<str>>,
}

impl Default for Conditions {
    fn default() -> Self {
        Self { vision: None, tools: None, prompt_tokens_min: 0, prompt_tokens_max: u64::MAX, regions: Vec::new() }
    }
}

impl Conditions {
    /// Whether it depends on how long the prompt is.
    pub fn ask_for_length(&self) -> bool {
        self.prompt_tokens_min > 0 || self.prompt_tokens_max < u64::MAX
    }

    /// Whether whatever meets the other meets this too.
    pub fn include(&self, other: &Self) -> bool {
        let Self { vision, tools, prompt_tokens_min, prompt_tokens_max, regions } = self;
        let flag = |one: Option<bool>, other: Option<bool>| one.is_none() || one == other;
        let are_there = regions.is_empty()
            || (!other.regions.is_empty() && other.regions.iter().all(|region| regions.contains(region)));
        flag(*vision, other.vision)
            && flag(*tools, other.tools)
            && *prompt_tokens_min <= other.prompt_tokens_min
            && *prompt_tokens_max >= other.prompt_tokens_max
            && are_there
    }

    /// What meets both; `None` where nothing can.
    pub fn and(&self, other: &Self) -> Option<Self> {
        let flag = |one: Option<bool>, other: Option<bool>| match (one, other) {
            (Some(one), Some(other)) if one != other => None,
            (one, other) => Some(one.or(other)),
        };
        let regions: Vec<_> = match (&*self.regions, &*other.regions) {
            (only, []) | ([], only) => only.to_vec(),
            (one, other) => one.iter().filter(|region| other.contains(region)).cloned().collect(),
        };
        let is_regional = !self.regions.is_empty() || !other.regions.is_empty();
        let both = Self {
            vision: flag(self.vision, other.vision)?,
            tools: flag(self.tools, other.tools)?,
            prompt_tokens_min: self.prompt_tokens_min.max(other.prompt_tokens_min),
            prompt_tokens_max: self.prompt_tokens_max.min(other.prompt_tokens_max),
            regions,
        };
        let can_be_met = both.prompt_tokens_min <= both.prompt_tokens_max && !(is_regional && both.regions.is_empty());
        can_be_met.then_some(both)
    }
}

/// What a lane charges, whichever model answers; pico-USD per token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneRates {
    /// The prompt.
    pub input: PicoUsd,
    /// The answer.
    pub output: PicoUsd,
    /// Prompt tokens read from a cache.
    pub cache_read: PicoUsd,
    /// Prompt tokens written to a cache, whatever the lifetime.
    pub cache_write: PicoUsd,
}

/// What a chain of targets is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainKind {
    /// Targets of different models, one after the other.
    Lane,
    /// Targets of one model at different providers.
    Pin,
}

/// A lane or a pinned alias: a name, and where it may lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// What clients ask for.
    pub name: Arc<str>,
    /// The name for people; of a pin, its model's.
    pub display_name: Arc<str>,
    /// Lane or pin.
    pub kind: ChainKind,
    /// What it charges; `None` charges the price of the model that answers.
    pub rates: Option<LaneRates>,
    /// Whether another target is asked beside one whose first token is late.
    pub is_hedged: bool,
    /// Where it may lead, best first. Never empty.
    pub targets: Vec<Arc<Target>>,
    /// The same targets served by the mock; empty until the mock has an address.
    pub mock_targets: Vec<Arc<Target>>,
}

impl Chain {
    /// Whether any target could serve a client of one of these formats now.
    pub fn is_routable(&self, at: UnixMs, client_formats: &[WireFormat]) -> bool {
        let speaks = |target: &Target| client_formats.iter().any(|format| target.takes_bytes_of(*format));
        self.targets.iter().any(|target| target.is_live(at) && speaks(target))
    }

    /// Whether several targets share the requests of a step.
    pub fn has_shared_steps(&self) -> bool {
        let mut pairs = self.targets.iter().zip(self.targets.iter().skip(1));
        pairs.any(|(one, next)| one.step.number == next.step.number)
    }
}
