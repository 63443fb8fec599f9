//! Config, catalogue and rules as one request sees them, from its beginning to its end.
//!
//! Must not change: a reload builds a new snapshot and swaps it in.

use std::sync::Arc;

use crate::base::money::PicoUsd;
use crate::base::tariff::Tariffs;
use crate::base::time::UnixMs;
use crate::base::wish::WORD_LANES;
use crate::catalog::{Catalog, Route};
use crate::classify::Router;
use crate::config::Config;

/// What an exchange needs to know about the world.
#[derive(Debug)]
pub struct Snapshot {
    /// Limits, time-outs and the rest of `flux.toml`.
    pub config: Config,
    /// Providers, models, aliases, lanes and prices.
    pub catalog: Catalog,
    /// What accounts can be on.
    pub tariffs: Arc<Tariffs>,
    /// How `flux-auto` chooses a lane.
    pub router: Router,
    /// Decides beside it, and only what it says otherwise is counted.
    pub shadow: Option<Router>,
    /// What fast, standard and reasoning cost, as shares of the dearest.
    pub lane_prices: [f32; 3],
}

impl Snapshot {
    /// Puts the parts together. Prices that have a date are taken as they are `at` that time.
    pub fn new(config: Config, catalog: Catalog, tariffs: Arc<Tariffs>, router: Router, at: UnixMs) -> Self {
        let lane_prices = lane_prices(&catalog, at);
        Self { config, catalog, tariffs, router, shadow: None, lane_prices }
    }

    /// The same with a router that decides beside the first.
    #[must_use]
    pub fn with_shadow(self, shadow: Option<Router>) -> Self {
        Self { shadow, ..self }
    }
}

/// Prices of three prompt tokens and one of the answer, a usual proportion, as shares of the dearest lane's.
fn lane_prices(catalog: &Catalog, at: UnixMs) -> [f32; 3] {
    const INPUT_TOKENS: u64 = 3;
    let price = |name: &str| {
        let chain = catalog.chain(Route::Lane(catalog.lane(name)?))?;
        let (input, output) = if let Some(rates) = &chain.rates {
            (rates.input, rates.output)
        } else {
            let rates = chain.targets.first()?.model.price.rates(0, at, "");
            (rates.input, rates.output)
        };
        Some(input.times(INPUT_TOKENS).plus(output))
    };
    let prices = WORD_LANES.map(|name| price(name).unwrap_or(PicoUsd::ZERO));
    let dearest = prices.iter().map(|price| price.0).max().unwrap_or(0).max(1);
    #[expect(clippy::cast_precision_loss, reason = "a share, not an amount")]
    let share = |price: PicoUsd| price.0 as f32 / dearest as f32;
    prices.map(share)
}
