//! Which targets a key's bounds and a request's preference leave, and in which order.
//!
//! Must not know what is measured: how fast a target is comes in as a figure.

use super::{BYTES_PER_TOKEN_CAUTIOUS, Candidates, Needs, estimate};
use crate::base::money::PicoUsd;
use crate::base::preference::{MaxPrice, Preference, ProviderBounds, Sort};
use crate::base::time::UnixMs;
use crate::catalog::{Chain, Target};

/// Tokens of a prompt for one of its answer, in the one figure that prices are ordered by.
const PROMPT_SHARE: u64 = 3;

/// What a request prefers, and what it is held against.
pub(super) struct Preferred<'a> {
    pub(super) preference: &'a Preference,
    pub(super) chain: &'a Chain,
    pub(super) needs: &'a Needs,
    pub(super) at: UnixMs,
}

impl Preferred<'_> {
    /// The targets that it leaves. The mock stands for any provider.
    pub(super) fn left<'t>(&self, targets: &Candidates<'t>) -> Candidates<'t> {
        let region = self.preference.region.as_deref();
        let is_there = |target: &Target| region.is_none_or(|region| target.provider.serves_in(region));
        let is_named = |target: &Target| self.preference.allows(&target.provider.id) && is_there(target);
        let is_allowed = |target: &Target| target.is_on_mock() || is_named(target);
        targets.iter().copied().filter(|target| is_allowed(target) && self.is_cheap_enough(target)).collect()
    }

    /// Brings them in order: those that are named, then by what it sorts by, then as the chain has them. `pace` is how
    /// long a target takes, and `None` where nobody knows; such a target comes first, so that it becomes known.
    pub(super) fn sort(&self, targets: &mut Candidates<'_>, pace: impl Fn(&Target, Sort) -> Option<u64>) {
        let Preference { sort, .. } = self.preference;
        targets.sort_by_cached_key(|target| {
            let worth = match sort {
                None => (false, 0),
                Some(Sort::Price) => (false, self.blended(target).0),
                Some(by @ (Sort::Latency | Sort::Throughput)) => {
                    pace(target, *by).map_or((false, 0), |pace| (true, u128::from(pace)))
                }
            };
            (self.preference.place(&target.provider.id), worth)
        });
    }

    /// The providers of targets, each once, in the order of the chain; with their regions where one is asked for.
    pub(super) fn choices(&self, targets: &Candidates<'_>) -> Vec<String> {
        let mut choices: Vec<String> = Vec::new();
        for target in targets {
            let provider = &target.provider;
            let mut regions: Vec<&str> = provider.accesses.iter().map(|access| &*access.region).collect();
            regions.retain(|region| !region.is_empty());
            regions.dedup();
            let choice = match &self.preference.region {
                Some(_) if regions.is_empty() => format!("{} (in no region)", provider.id),
                Some(_) => format!("{} ({})", provider.id, regions.join(", ")),
                None => provider.id.to_string(),
            };
            if !choices.contains(&choice) {
                choices.push(choice);
            }
        }
        choices
    }

    /// How many targets it allows.
    pub(super) fn targets_max(&self) -> usize {
        let Preference { order, is_strict, .. } = self.preference;
        if *is_strict && order.is_empty() { 1 } else { usize::MAX }
    }

    fn is_cheap_enough(&self, target: &Target) -> bool {
        let MaxPrice { prompt, completion } = self.preference.max_price;
        if prompt.is_none() && completion.is_none() {
            return true;
        }
        let (input, output) = self.prices(target);
        let is_within = |price: PicoUsd, max: Option<PicoUsd>| max.is_none_or(|max| price <= max);
        is_within(input, prompt) && is_within(output, completion)
    }

    /// What a token of the prompt and one of the answer cost the client: by the lane's rates where it has some, else by
    /// the model's price for a prompt that is so long, in the region that is asked for, else in the dearest that may serve.
    fn prices(&self, target: &Target) -> (PicoUsd, PicoUsd) {
        if let Some(rates) = &self.chain.rates {
            return (rates.input, rates.output);
        }
        let prompt_tokens = estimate(self.needs.text_bytes, BYTES_PER_TOKEN_CAUTIOUS, &target.model);
        let regions = target.provider.regions_for(self.preference.region.as_deref());
        let prices = regions.map(|region| target.model.price.token_prices(prompt_tokens, self.at, region));
        prices.reduce(|one, other| (one.0.max(other.0), one.1.max(other.1))).unwrap_or((PicoUsd::ZERO, PicoUsd::ZERO))
    }

    fn blended(&self, target: &Target) -> PicoUsd {
        let (input, output) = self.prices(target);
        input.times(PROMPT_SHARE).plus(output)
    }
}

/// The targets whose providers may serve. The mock stands for any provider.
pub(super) fn within<'t>(bounds: &ProviderBounds, targets: &Candidates<'t>) -> Candidates<'t> {
    let is_there = |target: &Target| bounds.region.as_deref().is_none_or(|region| target.provider.serves_in(region));
    let may_serve = |target: &Target| bounds.allow(&target.provider.id) && is_there(target);
    let is_allowed = |target: &Target| target.is_on_mock() || may_serve(target);
    targets.iter().copied().filter(|target| is_allowed(target)).collect()
}
