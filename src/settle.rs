//! Usage becomes money: what the account pays and what the provider asks.
//!
//! Must not know ledgers, requests or wire formats. Sums are made in pico-USD and rounded up to
//! nano-USD once, at the end.

#![deny(clippy::arithmetic_side_effects, clippy::as_conversions, clippy::float_arithmetic)]

pub mod bill;

use crate::base::money::{NanoUsd, PicoUsd};
use crate::base::usage::Usage;
use crate::catalog::LaneRates;
use crate::catalog::price::{Circumstances, PriceCard};

/// Both sides of one request's bill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// What the account pays.
    pub amount: NanoUsd,
    /// What the provider asks at its list price.
    pub provider_cost: NanoUsd,
}

/// Prices a request: at the lane's rates where it has any, else at the model's own price.
pub fn amounts(
    lane: Option<&LaneRates>,
    card: &PriceCard,
    usage: &Usage,
    circumstances: &Circumstances<'_>,
) -> Amounts {
    let provider_cost = card.cost(usage, circumstances).round_up();
    // A lane has rates for tokens only: what is counted otherwise costs what the model asks for it.
    let pieces = card.pieces(circumstances);
    let amount = lane.map_or(provider_cost, |rates| lane_cost(rates, usage).plus(pieces).round_up());
    Amounts { amount, provider_cost }
}

/// What a lane charges, not yet rounded: text, image and audio tokens alike.
pub fn lane_cost(rates: &LaneRates, usage: &Usage) -> PicoUsd {
    let fresh = usage.input.saturating_add(usage.input_image).saturating_add(usage.input_audio);
    let cached = usage.cache_read.saturating_add(usage.cache_read_image);
    [
        rates.input.times(fresh),
        rates.cache_read.times(cached),
        rates.cache_write.times(usage.cache_write.total()),
        rates.output.times(usage.completion_total()),
    ]
    .into_iter()
    .fold(PicoUsd::ZERO, PicoUsd::plus)
}

#[cfg(test)]
mod tests;
