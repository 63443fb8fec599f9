//! What somebody prefers among the providers that could serve a request.
//!
//! Must not know which providers there are: names are what was written, and are checked by who knows the catalogue.

use super::money::PicoUsd;

/// Names in one list, at most; a bound of what is kept of a request.
pub const PROVIDERS_LISTED_MAX: usize = 32;

/// What a request prefers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preference {
    /// These first, in this order.
    pub order: Vec<Box<str>>,
    /// None but these; empty for any.
    pub only: Vec<Box<str>>,
    /// None of these.
    pub ignore: Vec<Box<str>>,
    /// How those are ordered that `order` does not name; `None` keeps the order of the chain.
    pub sort: Option<Sort>,
    /// Whether nobody but those in `order` may be asked; without an `order` nobody but the first.
    pub is_strict: bool,
    /// What a token may cost at most.
    pub max_price: MaxPrice,
    /// Only at addresses of this region; `None` for any.
    pub region: Option<Box<str>>,
}

/// A bound of a price, in pico-USD per token. `None` for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MaxPrice {
    /// Of the prompt.
    pub prompt: Option<PicoUsd>,
    /// Of the answer.
    pub completion: Option<PicoUsd>,
}

/// What targets are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// The cheapest first.
    Price,
    /// First the one whose first token comes soonest.
    Latency,
    /// First the one whose tokens come fastest.
    Throughput,
}

impl Sort {
    /// All with the names that clients write.
    pub const NAMES: [(&'static str, Self); 3] =
        [("price", Self::Price), ("latency", Self::Latency), ("throughput", Self::Throughput)];
}

impl Preference {
    /// None but these, in this order: what a list in a header asks for.
    pub fn listed(order: Vec<Box<str>>) -> Self {
        Self { order, is_strict: true, ..Self::default() }
    }

    /// Whether it says who is to be asked before whom.
    pub fn orders(&self) -> bool {
        !self.order.is_empty() || self.sort.is_some()
    }

    /// All names that it holds, with the list that each stands in.
    pub fn names(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let lists = [("order", &self.order), ("only", &self.only), ("ignore", &self.ignore)];
        lists.into_iter().flat_map(|(list, names)| names.iter().map(move |name| (list, &**name)))
    }

    /// Whether a provider may be asked.
    pub fn allows(&self, provider: &str) -> bool {
        let is_in = |names: &[Box<str>]| names.iter().any(|name| **name == *provider);
        let is_left = self.only.is_empty() || is_in(&self.only);
        let is_ordered = !self.is_strict || self.order.is_empty() || is_in(&self.order);
        is_left && is_ordered && !is_in(&self.ignore)
    }

    /// The place of a provider in `order`; the place after the last where it is not named.
    pub fn place(&self, provider: &str) -> usize {
        self.order.iter().position(|name| **name == *provider).unwrap_or(self.order.len())
    }
}
