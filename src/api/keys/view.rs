//! How a key is shown: over HTTP and by the command line alike.
//!
//! Must not hold a raw key but in [`NewKeyView`].

use serde::Serialize;
use utoipa::ToSchema;

use crate::accounts::key::{Budget, KeySettings, Scheme};
use crate::base::preference::ProviderBounds;
use crate::base::tariff::RateLimits;
use crate::base::time::UnixMs;
use crate::store::keys::{CreatedKey, KeyEntry};

use super::wanted::period_name;

/// A key. It is told apart by its id and its first characters; the key itself is not stored.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct KeyView {
    /// Its id.
    id: i64,
    /// `key`.
    object: &'static str,
    /// Its first characters.
    prefix: String,
    /// The same, as Conflux calls it.
    key_prefix: String,
    /// What its owner calls it.
    name: String,
    /// `live`, or `test`: mock answers only, no cost.
    kind: &'static str,
    /// How it looks: `flux` or `conflux`.
    format: &'static str,
    /// Its account's name.
    account: String,
    /// Its account's id.
    account_id: i64,
    /// `inference`, or `admin`: it may manage the keys of its account.
    scope: &'static str,
    /// `active`, `expired` or `revoked`.
    state: &'static str,
    /// The same, as Conflux calls it.
    status: &'static str,
    /// Whether it is neither revoked nor expired.
    is_active: bool,
    /// Names that it may ask for; empty: all.
    allowed_models: Vec<String>,
    /// Who may serve it, whatever its requests prefer.
    providers: ProvidersView,
    /// Limits of its own, which hold within the tariff's; what is null is the tariff's alone.
    limits: LimitsView,
    /// What it may spend; null: all that its account may.
    budget: Option<BudgetView>,
    /// Whether answers tell what its account has left, in `x-flux-available` and `x-flux-held`.
    shows_balance: bool,
    /// How much quality its `flux-auto` seeks, 0 to 1 as a decimal; null: as its account says.
    quality: Option<String>,
    /// Where its `flux-auto` goes: a lane, `at_least:` or `at_most:` with a lane; null: as its account says.
    auto_lane: Option<String>,
    /// When it was made.
    created_at: String,
    /// When it was last used, a few seconds late.
    last_used_at: Option<String>,
    /// From when on it is refused.
    expires_at: Option<String>,
    /// When it was revoked.
    revoked_at: Option<String>,
}

/// Who may serve a key.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ProvidersView {
    /// None but these; empty: any.
    only: Vec<String>,
    /// None of these.
    ignore: Vec<String>,
    /// Only at addresses of this region; null: of any.
    region: Option<String>,
}

/// Limits of a key's own.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LimitsView {
    /// Requests within any second.
    requests_per_second: Option<u32>,
    /// Requests within any 60 seconds.
    requests_per_minute: Option<u32>,
    /// Tokens within any 60 seconds.
    tokens_per_minute: Option<u64>,
    /// Requests at once.
    concurrent: Option<u32>,
}

/// What a key may spend.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct BudgetView {
    /// In one period, USD of usage as an exact decimal.
    amount_usd: String,
    /// `day`, `month` or `total`; days and months are those of UTC.
    period: &'static str,
}

/// A key that was just made. The key itself is shown this once.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct NewKeyView {
    /// The key itself.
    key: String,
    /// The same, as Conflux calls it.
    api_key: String,
    /// What to do with it.
    warning: &'static str,
    /// What is kept of it.
    #[serde(flatten)]
    entry: KeyView,
}

impl KeyView {
    /// A key as it stands at `now`.
    pub fn of(key: &KeyEntry, now: UnixMs) -> Self {
        let KeyEntry { id, account_id, account, prefix, kind, settings, created_at, last_used_at, revoked_at } = key;
        let KeySettings { name, expires_at, scope, allowed, providers, limits, budget, shows_balance, auto } = settings;
        let state = key.standing(now);
        Self {
            id: id.0,
            object: "key",
            prefix: prefix.clone(),
            key_prefix: prefix.clone(),
            name: name.clone(),
            kind,
            format: Scheme::of(prefix).name(),
            account: account.clone(),
            account_id: account_id.0,
            scope: scope.name(),
            state,
            status: state,
            is_active: state == "active",
            allowed_models: allowed.clone(),
            providers: ProvidersView::of(providers.as_deref().cloned().unwrap_or_default()),
            limits: LimitsView::of(*limits),
            budget: budget.map(BudgetView::of),
            shows_balance: *shows_balance,
            quality: auto.quality.map(|quality| quality.to_string()),
            auto_lane: auto.lane.map(|lane| lane.to_string()),
            created_at: created_at.rfc3339(),
            last_used_at: last_used_at.map(UnixMs::rfc3339),
            expires_at: expires_at.map(UnixMs::rfc3339),
            revoked_at: revoked_at.map(UnixMs::rfc3339),
        }
    }
}

impl ProvidersView {
    fn of(bounds: ProviderBounds) -> Self {
        let ProviderBounds { only, ignore, region } = bounds;
        let names = |list: Vec<Box<str>>| list.into_iter().map(String::from).collect();
        Self { only: names(only), ignore: names(ignore), region: region.map(String::from) }
    }
}

impl LimitsView {
    fn of(limits: RateLimits) -> Self {
        let RateLimits { requests_per_second, requests_per_minute, tokens_per_minute, concurrent } = limits;
        Self { requests_per_second, requests_per_minute, tokens_per_minute, concurrent }
    }
}

impl BudgetView {
    fn of(budget: Budget) -> Self {
        Self { amount_usd: budget.amount.to_string(), period: period_name(budget.reset) }
    }
}

impl NewKeyView {
    /// A key that was made just now.
    pub fn of(created: &CreatedKey, now: UnixMs) -> Self {
        let raw = created.raw.expose();
        Self {
            key: raw.to_owned(),
            api_key: raw.to_owned(),
            warning: "Keep it: the key is not stored and cannot be shown again.",
            entry: KeyView::of(&created.entry, now),
        }
    }
}
