//! What an account may choose for a key of its own: limits up to its tariff's, models and providers that there are.
//!
//! Must not know what else a key has.

use serde::Deserialize;
use utoipa::ToSchema;

use super::super::bad;
use crate::base::preference::{PROVIDERS_LISTED_MAX, ProviderBounds};
use crate::base::refusal::Refusal;
use crate::base::tariff::RateLimits;
use crate::base::time::UnixMs;
use crate::catalog::{Catalog, Route};
use crate::exchange::prefer;

/// Names that one key may be bound to.
const ALLOWED_MAX: usize = 100;
const TOKENS_PER_MINUTE_MAX: u64 = 1 << 40;

/// What bounds the choices of an account.
#[derive(Debug)]
pub(super) struct Bounds<'a> {
    /// What can be asked for.
    pub(super) catalog: &'a Catalog,
    /// The tariff's limits.
    pub(super) limits: RateLimits,
    /// Now.
    pub(super) at: UnixMs,
}

/// How fast a key may ask.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitsWanted {
    /// Requests within any second.
    #[schema(minimum = 1)]
    requests_per_second: Option<u32>,
    /// Requests within any 60 seconds.
    #[schema(minimum = 1, maximum = 100_000)]
    requests_per_minute: Option<u32>,
    /// Tokens, prompt and answer together, within any 60 seconds.
    #[schema(minimum = 1)]
    tokens_per_minute: Option<u64>,
    /// Requests at once.
    #[schema(minimum = 1)]
    concurrent: Option<u32>,
}

/// Who may serve a key, by the names that answers tell in `x-flux-provider`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProvidersWanted {
    /// None but these; empty or left out: any.
    #[schema(max_items = 32)]
    only: Option<Vec<String>>,
    /// None of these.
    #[schema(max_items = 32)]
    ignore: Option<Vec<String>>,
    /// Only at addresses of this region, whatever its requests ask for; left out: any.
    region: Option<String>,
}

impl Bounds<'_> {
    pub(super) fn limits(&self, wanted: &LimitsWanted) -> Result<RateLimits, Refusal> {
        let LimitsWanted { requests_per_second, requests_per_minute, tokens_per_minute, concurrent } = *wanted;
        let most = self.limits;
        let narrow = |limit: Option<u32>| limit.map(u64::from);
        let per_minute_max = most.requests_per_minute.unwrap_or(RateLimits::REQUESTS_PER_MINUTE_MAX);
        for (name, limit, most) in [
            ("requests_per_second", narrow(requests_per_second), narrow(most.requests_per_second)),
            ("requests_per_minute", narrow(requests_per_minute), Some(per_minute_max.into())),
            ("tokens_per_minute", tokens_per_minute, most.tokens_per_minute.or(Some(TOKENS_PER_MINUTE_MAX))),
            ("concurrent", narrow(concurrent), narrow(most.concurrent)),
        ] {
            if limit == Some(0) {
                return Err(bad("limits", format!("limits.{name} must be 1 or more, or left out")));
            }
            if let (Some(limit), Some(most)) = (limit, most)
                && limit > most
            {
                return Err(bad("limits", format!("limits.{name} may be at most {most} in this account")));
            }
        }
        Ok(RateLimits { requests_per_second, requests_per_minute, tokens_per_minute, concurrent })
    }

    /// The names as the catalogue has them: what a client calls a model is put in the place of its pin's name.
    pub(super) fn names(&self, wanted: &[String]) -> Result<Vec<String>, Refusal> {
        if wanted.len() > ALLOWED_MAX {
            return Err(bad("allowed_models", format!("allowed_models may hold {ALLOWED_MAX} names")));
        }
        let unknown = "allowed_models holds a name that does not exist; GET /v1/models lists those that do";
        let mut names = Vec::with_capacity(wanted.len());
        for name in wanted {
            let route = self.catalog.resolve(name).ok_or_else(|| bad("allowed_models", unknown))?;
            let chain = self.catalog.chain(route);
            let name = match (route, chain) {
                (Route::Auto, _) | (_, None) => self.catalog.auto_name(),
                (Route::Lane(_) | Route::Pin(_), Some(chain)) => &chain.name,
            };
            if !names.iter().any(|known: &String| **known == **name) {
                names.push(name.to_string());
            }
        }
        Ok(names)
    }

    /// Names of providers that there are; `None` where any may serve.
    pub(super) fn providers(&self, wanted: &ProvidersWanted) -> Result<Option<Box<ProviderBounds>>, Refusal> {
        let ProvidersWanted { only, ignore, region } = wanted;
        let listed = |list: &str, wanted: &Option<Vec<String>>| {
            let wanted = wanted.as_deref().unwrap_or_default();
            if wanted.len() > PROVIDERS_LISTED_MAX {
                let message = format!("providers.{list} may hold {PROVIDERS_LISTED_MAX} names");
                return Err(bad("providers", message));
            }
            Ok(wanted.iter().map(|name| Box::from(name.as_str())).collect::<Vec<_>>())
        };
        let region = region.as_deref().map(Box::from);
        let bounds = ProviderBounds { only: listed("only", only)?, ignore: listed("ignore", ignore)?, region };
        let checked = prefer::check(bounds.names(), bounds.region.as_deref(), self.catalog);
        checked.map_err(|message| bad("providers", message))?;
        Ok(bounds.kept())
    }
}
