//! What is asked for a key: bodies of requests become settings.
//!
//! Must not let an account take more than it has: `bounds` says what that is.

use serde::Deserialize;
use serde_json::Number;
use utoipa::ToSchema;

use super::super::bad;
use super::bounds::{Bounds, LimitsWanted, ProvidersWanted};
use super::patch::Patch;
use crate::accounts::key::{Budget, KeySettings, Scheme, Scope};
use crate::base::money::NanoUsd;
use crate::base::period::Reset;
use crate::base::preference::ProviderBounds;
use crate::base::quality::Quality;
use crate::base::refusal::Refusal;
use crate::base::tariff::RateLimits;
use crate::base::time::UnixMs;
use crate::base::wish::{AutoWish, LANE_WISH_HINT, LaneWish};

const ONE_END: &str = "give one of expires_at and expires_in_days";
const DAYS_MAX: u32 = 36_500;
/// The longest that an old key works beside the new one: a year.
const GRACE_SECONDS_MAX: u32 = 31_536_000;
const MS_PER_DAY: u64 = 86_400_000;
/// Periods of budgets with the names used in requests and answers.
const PERIODS: [(&str, Reset); 3] = [("day", Reset::Daily), ("month", Reset::CalendarMonth), ("total", Reset::Never)];

/// How the period of a budget is called.
pub fn period_name(reset: Reset) -> &'static str {
    PERIODS.iter().find(|(_, known)| *known == reset).map_or("total", |(name, _)| name)
}

/// The period of that name.
pub fn period_by_name(name: &str) -> Option<Reset> {
    PERIODS.iter().find(|(known, _)| *known == name).map(|(_, reset)| *reset)
}

/// A key to be made. All of it may be left out.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateKey {
    /// What to call it.
    #[schema(max_length = 128, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    name: Option<String>,
    /// `live`, which is charged, or `test`: mock answers only, no cost.
    kind: Option<KindWanted>,
    /// How it looks.
    format: Option<FormatWanted>,
    /// From when on it is refused.
    expires_at: Option<Moment>,
    /// The same, in days from now.
    #[schema(minimum = 1, maximum = 36_500)]
    expires_in_days: Option<u32>,
    /// What it may spend, within what its account may.
    budget: Option<BudgetWanted>,
    /// How fast it may ask, within what the tariff allows.
    limits: Option<LimitsWanted>,
    /// Names from `GET /v1/models` that it may ask for; empty or left out: all.
    #[schema(max_items = 100)]
    allowed_models: Option<Vec<String>>,
    /// Who may serve it, whatever its requests prefer; left out: any provider.
    providers: Option<ProvidersWanted>,
    /// What it may do beside asking models.
    scope: Option<ScopeWanted>,
    /// Whether answers tell what its account has left, in `x-flux-available` and `x-flux-held`.
    shows_balance: Option<bool>,
    /// How much quality its `flux-auto` seeks, from 0 (the cheapest) to 1 (the best); left out: as its account says.
    quality: Option<Amount>,
    /// Where its `flux-auto` goes: `flux-fast`, `flux-standard` or `flux-reasoning` for always that lane, or a bound
    /// such as `at_least:flux-standard`; left out: as its account says.
    #[schema(pattern = "^(at_least:|at_most:)?flux-(fast|standard|reasoning)$")]
    auto_lane: Option<String>,
}

/// What to change of a key; what is left out stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeKey {
    /// What to call it.
    #[schema(max_length = 128, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    name: Option<String>,
    /// From when on it is refused; null: never.
    #[serde(default)]
    #[schema(value_type = Option<Moment>)]
    expires_at: Patch<Moment>,
    /// The same, in days from now.
    #[schema(minimum = 1, maximum = 36_500)]
    expires_in_days: Option<u32>,
    /// What it may spend; null: all that its account may.
    #[serde(default)]
    #[schema(value_type = Option<BudgetWanted>)]
    budget: Patch<BudgetWanted>,
    /// How fast it may ask; null, or what is left out in it: as its tariff says.
    #[serde(default)]
    #[schema(value_type = Option<LimitsWanted>)]
    limits: Patch<LimitsWanted>,
    /// Names from `GET /v1/models` that it may ask for; empty: all.
    #[schema(max_items = 100)]
    allowed_models: Option<Vec<String>>,
    /// Who may serve it; null: any provider. A list that is left out in it is empty.
    #[serde(default)]
    #[schema(value_type = Option<ProvidersWanted>)]
    providers: Patch<ProvidersWanted>,
    /// What it may do beside asking models.
    scope: Option<ScopeWanted>,
    /// Whether answers tell what its account has left.
    shows_balance: Option<bool>,
    /// How much quality its `flux-auto` seeks, 0 to 1; null: as its account says.
    #[serde(default)]
    #[schema(value_type = Option<Amount>)]
    quality: Patch<Amount>,
    /// Where its `flux-auto` goes: a lane, `at_least:` or `at_most:` with a lane; null: as its account says.
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = "^(at_least:|at_most:)?flux-(fast|standard|reasoning)$")]
    auto_lane: Patch<String>,
}

/// A key to be revoked, by one of these.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevokeKey {
    /// Its id.
    id: Option<IdWanted>,
    /// The same, as Conflux calls it.
    key_id: Option<IdWanted>,
    /// Its first characters, if no other key of the account has them.
    #[schema(min_length = 1, max_length = 16)]
    prefix: Option<String>,
}

/// How a key is rotated. All of it may be left out.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateKey {
    /// For how long the old key still works; left out: not at all.
    #[schema(minimum = 0, maximum = 31_536_000)]
    expires_in_seconds: Option<u32>,
}

/// An id, as a number or as its digits.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum IdWanted {
    /// The number.
    Number(u32),
    /// Its digits.
    Digits(String),
}

/// Live or test.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum KindWanted {
    /// Reaches providers and is charged.
    Live,
    /// Gets mock answers.
    Test,
}

/// How a key looks.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FormatWanted {
    /// `sk-flux-…`, `sk-flux-test-…`.
    Flux,
    /// `cf_live_…`, `cf_test_…`.
    Conflux,
}

/// What a key may do beside asking models.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ScopeWanted {
    /// It sees its account's usage and credits.
    Inference,
    /// It manages the keys of its account too.
    Admin,
}

/// A moment.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Moment {
    /// Seconds since 1970.
    Seconds(u64),
    /// `2026-07-31T12:00:00Z`, or a date.
    Text(String),
}

/// What a key may spend.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BudgetWanted {
    /// In one period, USD of usage: a decimal of up to nine places.
    amount_usd: Amount,
    /// When it begins anew: each day or each month of UTC, or never.
    #[serde(default)]
    period: PeriodWanted,
}

/// A decimal: an amount of USD, or a share.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Amount {
    /// `12.5`
    #[schema(value_type = f64)]
    Number(Number),
    /// `"12.50"`
    Text(String),
}

/// When a budget begins anew.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PeriodWanted {
    /// Each day.
    Day,
    /// Each month.
    #[default]
    Month,
    /// Never.
    Total,
}

/// A change that makes sense.
#[derive(Debug)]
pub(super) struct Change {
    name: Option<String>,
    expires_at: Patch<UnixMs>,
    budget: Patch<Budget>,
    limits: Option<RateLimits>,
    allowed: Option<Vec<String>>,
    providers: Patch<Box<ProviderBounds>>,
    scope: Option<Scope>,
    shows_balance: Option<bool>,
    quality: Patch<Quality>,
    lane: Patch<LaneWish>,
}

impl CreateKey {
    /// Whether a test key is asked for.
    pub(super) fn is_test(&self) -> bool {
        self.kind == Some(KindWanted::Test)
    }

    /// How the key is to look.
    pub(super) fn scheme(&self) -> Scheme {
        match self.format {
            Some(FormatWanted::Conflux) => Scheme::Conflux,
            Some(FormatWanted::Flux) | None => Scheme::Flux,
        }
    }

    /// The settings that are asked for.
    ///
    /// # Errors
    /// 400 by the field that makes no sense.
    pub(super) fn settings(&self, bounds: &Bounds<'_>) -> Result<KeySettings, Refusal> {
        let Self { name, kind: _, format: _, expires_at, expires_in_days, budget, limits, .. } = self;
        let Self { allowed_models, providers, scope, shows_balance, quality, auto_lane, .. } = self;
        let auto = AutoWish {
            quality: quality.as_ref().map(Amount::quality).transpose()?,
            lane: auto_lane.as_deref().map(lane).transpose()?,
        };
        Ok(KeySettings {
            name: name.clone().unwrap_or_default(),
            expires_at: expiry(expires_at.as_ref(), *expires_in_days, bounds.at)?,
            scope: scope.map_or(Scope::Inference, ScopeWanted::scope),
            allowed: allowed_models.as_ref().map_or(Ok(Vec::new()), |names| bounds.names(names))?,
            providers: providers.as_ref().map_or(Ok(None), |wanted| bounds.providers(wanted))?,
            limits: limits.as_ref().map_or(Ok(RateLimits::default()), |limits| bounds.limits(limits))?,
            budget: budget.as_ref().map(BudgetWanted::read).transpose()?,
            shows_balance: shows_balance.unwrap_or_default(),
            auto,
        })
    }
}

impl ChangeKey {
    /// The change that is asked for.
    ///
    /// # Errors
    /// 400 by the field that makes no sense.
    pub(super) fn check(self, bounds: &Bounds<'_>) -> Result<Change, Refusal> {
        let Self { name, expires_at, expires_in_days, budget, limits, allowed_models, scope, .. } = self;
        let Self { providers, shows_balance, quality, auto_lane, .. } = self;
        let ends_in_days = expiry(None, expires_in_days, bounds.at)?;
        let expires_at = match (expires_at, ends_in_days) {
            (Patch::Kept, Some(at)) => Patch::Set(at),
            (Patch::Cleared | Patch::Set(_), Some(_)) => return Err(bad("expires_at", ONE_END)),
            (stated, None) => stated.read(|at| expiry(Some(&at), None, bounds.at))?,
        };
        let budget = budget.read(|budget| budget.read().map(Some))?;
        let limits = match limits {
            Patch::Kept => None,
            Patch::Cleared => Some(RateLimits::default()),
            Patch::Set(limits) => Some(bounds.limits(&limits)?),
        };
        let allowed = allowed_models.map(|names| bounds.names(&names)).transpose()?;
        let providers = providers.read(|wanted| bounds.providers(&wanted))?;
        let scope = scope.map(ScopeWanted::scope);
        let quality = quality.read(|quality| quality.quality().map(Some))?;
        let lane = auto_lane.read(|wish| lane(&wish).map(Some))?;
        Ok(Change { name, expires_at, budget, limits, allowed, providers, scope, shows_balance, quality, lane })
    }
}

impl Change {
    /// Changes settings.
    pub(super) fn put_into(self, settings: &mut KeySettings) {
        let Self { name, expires_at, budget, limits, allowed, providers, scope, shows_balance, quality, lane } = self;
        let old = std::mem::take(settings);
        *settings = KeySettings {
            name: name.unwrap_or(old.name),
            expires_at: expires_at.or(old.expires_at),
            scope: scope.unwrap_or(old.scope),
            allowed: allowed.unwrap_or(old.allowed),
            providers: providers.or(old.providers),
            limits: limits.unwrap_or(old.limits),
            budget: budget.or(old.budget),
            shows_balance: shows_balance.unwrap_or(old.shows_balance),
            auto: AutoWish { quality: quality.or(old.auto.quality), lane: lane.or(old.auto.lane) },
        };
    }
}

impl RevokeKey {
    /// Which key is meant.
    ///
    /// # Errors
    /// 400 where not just one of the fields is there.
    pub(super) fn which(self) -> Result<String, Refusal> {
        let Self { id, key_id, prefix } = self;
        let number = |id: IdWanted| match id {
            IdWanted::Number(number) => number.to_string(),
            IdWanted::Digits(digits) => digits,
        };
        match (id, key_id, prefix) {
            (Some(id), None, None) | (None, Some(id), None) => Ok(number(id)),
            (None, None, Some(prefix)) => Ok(prefix),
            _ => Err(bad("key_id", "name the key by just one of id, key_id and prefix")),
        }
    }
}

impl RotateKey {
    /// For how long the old key still works, in milliseconds.
    ///
    /// # Errors
    /// 400 for more than a year.
    pub(super) fn grace_ms(&self) -> Result<u64, Refusal> {
        let seconds = self.expires_in_seconds.unwrap_or(0);
        if seconds > GRACE_SECONDS_MAX {
            return Err(bad("expires_in_seconds", format!("expires_in_seconds may be at most {GRACE_SECONDS_MAX}")));
        }
        Ok(u64::from(seconds).saturating_mul(1_000))
    }
}

impl ScopeWanted {
    fn scope(self) -> Scope {
        match self {
            Self::Inference => Scope::Inference,
            Self::Admin => Scope::Admin,
        }
    }
}

impl Amount {
    fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }

    fn quality(&self) -> Result<Quality, Refusal> {
        let hint = "quality must be a number from 0, the cheapest, to 1, the best, such as 0.75";
        Quality::parse(&self.text()).ok_or_else(|| bad("quality", hint))
    }
}

fn lane(text: &str) -> Result<LaneWish, Refusal> {
    LaneWish::parse(text).ok_or_else(|| bad("auto_lane", format!("auto_lane must be {LANE_WISH_HINT}")))
}

impl BudgetWanted {
    fn read(&self) -> Result<Budget, Refusal> {
        let text = self.amount_usd.text();
        let refuse = || bad("budget", "budget.amount_usd must be a decimal above 0 with at most nine places");
        let amount = NanoUsd::parse(&text).ok().filter(|amount| *amount > NanoUsd::ZERO).ok_or_else(refuse)?;
        let reset = match self.period {
            PeriodWanted::Day => Reset::Daily,
            PeriodWanted::Month => Reset::CalendarMonth,
            PeriodWanted::Total => Reset::Never,
        };
        Ok(Budget { amount, reset })
    }
}

/// When a key ends; `None`: never.
fn expiry(at: Option<&Moment>, in_days: Option<u32>, now: UnixMs) -> Result<Option<UnixMs>, Refusal> {
    let at = match (at, in_days) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => return Err(bad("expires_at", ONE_END)),
        (None, Some(days)) => {
            if !(1..=DAYS_MAX).contains(&days) {
                return Err(bad("expires_in_days", format!("expires_in_days must be from 1 to {DAYS_MAX}")));
            }
            Some(UnixMs(now.0.saturating_add(u64::from(days).saturating_mul(MS_PER_DAY))))
        }
        (Some(Moment::Seconds(seconds)), None) => UnixMs::of_seconds(*seconds),
        (Some(Moment::Text(text)), None) => UnixMs::parse(text),
    };
    let hint = "expires_at must be a time to come, such as 2030-07-31T12:00:00Z, a date, or seconds since 1970";
    at.filter(|at| *at > now).map(Some).ok_or_else(|| bad("expires_at", hint))
}
