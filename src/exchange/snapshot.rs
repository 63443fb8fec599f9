//! Config, catalogue and rules as one request sees them, from its beginning to its end.
//!
//! Must not change: a reload builds a new snapshot and swaps it in.

use std::sync::Arc;

use crate::base::tariff::Tariffs;
use crate::catalog::Catalog;
use crate::classify::rules::RuleSet;
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
    pub rules: RuleSet,
}
