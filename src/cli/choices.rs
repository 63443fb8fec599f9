//! What the owner of a key may choose, as options of `flux keys create` and `flux keys change`.
//!
//! Must not know where keys are stored. Whoever types here owns the machine: nothing bounds the choices but sense, though
//! limits hold within the tariff's.

use std::str::FromStr;

use clap::Args;

use crate::accounts::key::{Budget, KeySettings, Scheme, Scope};
use crate::api::keys::wanted::period_by_name;
use crate::base::money::NanoUsd;
use crate::base::period::Reset;
use crate::base::preference::{PROVIDERS_LISTED_MAX, ProviderBounds};
use crate::base::quality::Quality;
use crate::base::tariff::RateLimits;
use crate::base::time::UnixMs;
use crate::base::wish::{LANE_WISH_HINT, LaneWish};

/// The longest that a key may be told to live, in days.
const DAYS_MAX: u64 = 36_500;

/// Choices; what is left out stays as it is.
#[derive(Args, Debug, Default)]
pub(super) struct Choices {
    /// What to call the key
    #[arg(long)]
    name: Option<String>,
    /// Refuse the key after so long, or from then on: 30d, 12h, 2030-07-31, 2030-07-31T12:00:00Z, never
    #[arg(long, value_name = "TIME", value_parser = Expiry::from_str)]
    expires_in: Option<Expiry>,
    /// What the key may spend in one period, within what its account may; none: all of that
    #[arg(long, value_name = "USD", value_parser = parse_stated::<Amount>)]
    budget_usd: Option<Stated<Amount>>,
    /// When its budget begins anew: day, month or total [default: month]
    #[arg(long, value_name = "PERIOD", value_parser = parse_period)]
    budget_period: Option<Reset>,
    /// Requests within any second, at most as many as the tariff says; none: as many
    #[arg(long, value_name = "N", value_parser = parse_stated::<Limit>)]
    rps: Option<Stated<Limit>>,
    /// Requests within any minute, at most as many as the tariff says; none: as many
    #[arg(long, value_name = "N", value_parser = parse_stated::<PerMinute>)]
    rpm: Option<Stated<PerMinute>>,
    /// Tokens within any minute, at most as many as the tariff says; none: as many
    #[arg(long, value_name = "N", value_parser = parse_stated::<Tokens>)]
    tpm: Option<Stated<Tokens>>,
    /// Requests at once, at most as many as the tariff says; none: as many
    #[arg(long, value_name = "N", value_parser = parse_stated::<Limit>)]
    concurrent: Option<Stated<Limit>>,
    /// Lanes and pins that it may ask for, by the names of `flux models`; all: any
    #[arg(long, value_name = "MODEL", num_args = 1.., value_delimiter = ',')]
    allow: Vec<String>,
    /// Providers that alone may serve it, whatever its requests prefer, by the names in providers.toml; any: all
    #[arg(long, value_name = "PROVIDER", num_args = 1.., value_delimiter = ',')]
    only_providers: Vec<String>,
    /// Providers that may not serve it; none: all may
    #[arg(long, value_name = "PROVIDER", num_args = 1.., value_delimiter = ',')]
    ignore_providers: Vec<String>,
    /// The region that its requests stay in, whatever they ask for, by the names in providers.toml; any: all
    #[arg(long)]
    region: Option<String>,
    /// What it may do beside asking models: inference, or admin: manage the keys of its account
    #[arg(long, value_parser = parse_scope)]
    scope: Option<Scope>,
    /// Whether answers tell what the account has left
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    shows_balance: Option<bool>,
    /// How much quality its flux-auto seeks, from 0 (the cheapest) to 1 (the best); none: as its account says
    #[arg(long, value_name = "0.0-1.0", value_parser = parse_quality)]
    quality: Option<Stated<Quality>>,
    /// Where its flux-auto goes: flux-fast, … for always that lane, `at_least:LANE`, `at_most:LANE`; none: as its account says
    #[arg(long, value_name = "LANE", value_parser = parse_lane)]
    auto_lane: Option<Stated<LaneWish>>,
}

/// A value, or the word `none`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stated<T>(pub(super) Option<T>);

/// An amount above nothing.
#[derive(Clone, Copy, Debug)]
struct Amount(NanoUsd);

/// A limit above nothing.
#[derive(Clone, Copy, Debug)]
struct Limit(u32);

/// A limit that can be counted exactly.
#[derive(Clone, Copy, Debug)]
struct PerMinute(u32);

/// A limit of tokens.
#[derive(Clone, Copy, Debug)]
struct Tokens(u64);

/// When a key ends.
#[derive(Clone, Copy, Debug)]
enum Expiry {
    Never,
    InMs(u64),
    At(UnixMs),
}

impl Choices {
    /// Puts the choices into settings.
    ///
    /// # Errors
    /// For an end that is past, a budget's period without a budget, and too many providers.
    pub(super) fn put_into(&self, settings: &mut KeySettings, now: UnixMs) -> Result<(), String> {
        let Self { name, expires_in, budget_usd, budget_period, rps, rpm, tpm, concurrent, .. } = self;
        let Self { allow, scope, shows_balance, quality, auto_lane, .. } = self;
        if let Some(name) = name {
            settings.name.clone_from(name);
        }
        if let Some(expiry) = expires_in {
            settings.expires_at = expiry.after(now)?;
        }
        if let Some(Stated(amount)) = budget_usd {
            let reset = settings.budget.map_or(Reset::CalendarMonth, |budget| budget.reset);
            settings.budget = amount.map(|Amount(amount)| Budget { amount, reset });
        }
        if let Some(period) = budget_period {
            let Some(budget) = &mut settings.budget else {
                return Err("--budget-period needs a budget: give --budget-usd too".to_owned());
            };
            budget.reset = *period;
        }
        let RateLimits { requests_per_second, requests_per_minute, tokens_per_minute, concurrent: at_once } =
            &mut settings.limits;
        set(requests_per_second, rps.map(|Stated(limit)| limit.map(|Limit(limit)| limit)));
        set(requests_per_minute, rpm.map(|Stated(limit)| limit.map(|PerMinute(limit)| limit)));
        set(tokens_per_minute, tpm.map(|Stated(limit)| limit.map(|Tokens(limit)| limit)));
        set(at_once, concurrent.map(|Stated(limit)| limit.map(|Limit(limit)| limit)));
        match allow.as_slice() {
            [] => {}
            [all] if all == "all" => settings.allowed.clear(),
            names => settings.allowed = names.to_vec(),
        }
        let [only, ignore] = self.providers_stated();
        let mut bounds = settings.providers.take().map(|bounds| *bounds).unwrap_or_default();
        set(&mut bounds.only, only);
        set(&mut bounds.ignore, ignore);
        if let Some(region) = &self.region {
            bounds.region = named_region(region);
        }
        check_count(&bounds)?;
        settings.providers = bounds.kept();
        settings.scope = scope.unwrap_or(settings.scope);
        settings.shows_balance = shows_balance.unwrap_or(settings.shows_balance);
        set(&mut settings.auto.quality, quality.map(|Stated(quality)| quality));
        set(&mut settings.auto.lane, auto_lane.map(|Stated(lane)| lane));
        Ok(())
    }

    /// The providers that it names.
    pub(super) fn providers_named(&self) -> ProviderBounds {
        let [only, ignore] = self.providers_stated().map(Option::unwrap_or_default);
        ProviderBounds { only, ignore, region: self.region.as_deref().and_then(named_region) }
    }

    /// Who alone may serve, and who may not; `None` where nothing is said of it.
    fn providers_stated(&self) -> [Option<Vec<Box<str>>>; 2] {
        [(&self.only_providers, "any"), (&self.ignore_providers, "none")].map(|(words, nobody)| {
            match words.as_slice() {
                [] => None,
                [word] if word == nobody => Some(Vec::new()),
                names => Some(names.iter().map(|name| Box::from(name.as_str())).collect()),
            }
        })
    }
}

fn named_region(word: &str) -> Option<Box<str>> {
    (word != "any").then(|| word.into())
}

fn check_count(ProviderBounds { only, ignore, region: _ }: &ProviderBounds) -> Result<(), String> {
    let is_short = only.len().max(ignore.len()) <= PROVIDERS_LISTED_MAX;
    if is_short { Ok(()) } else { Err(format!("a list of providers may hold {PROVIDERS_LISTED_MAX} names")) }
}

fn set<T>(setting: &mut T, stated: Option<T>) {
    if let Some(stated) = stated {
        *setting = stated;
    }
}

impl Expiry {
    fn after(self, now: UnixMs) -> Result<Option<UnixMs>, String> {
        let at = match self {
            Self::Never => return Ok(None),
            Self::InMs(ms) => UnixMs(now.0.saturating_add(ms)),
            Self::At(at) => at,
        };
        if at > now { Ok(Some(at)) } else { Err("--expires-in is in the past".to_owned()) }
    }
}

/// How the new key looks.
pub(super) fn parse_scheme(text: &str) -> Result<Scheme, String> {
    let found = Scheme::NAMES.iter().find(|(name, _)| *name == text).map(|(_, scheme)| *scheme);
    found.ok_or_else(|| "flux or conflux".to_owned())
}

/// A span of time: `30d`, `12h`, `15m`, `0`.
pub(super) fn parse_span(text: &str) -> Result<u64, String> {
    const UNITS: [(char, u64); 4] = [('d', 86_400_000), ('h', 3_600_000), ('m', 60_000), ('s', 1_000)];
    if text == "0" {
        return Ok(0);
    }
    let span = UNITS.iter().find_map(|(unit, ms)| Some((text.strip_suffix(*unit)?.parse::<u64>().ok()?, *ms)));
    let ms = span.and_then(|(count, ms)| count.checked_mul(ms)).filter(|ms| *ms <= DAYS_MAX * 86_400_000);
    ms.ok_or_else(|| format!("a span such as 30d, 12h or 15m, of at most {DAYS_MAX}d"))
}

fn parse_period(text: &str) -> Result<Reset, String> {
    period_by_name(text).ok_or_else(|| "day, month or total".to_owned())
}

fn parse_scope(text: &str) -> Result<Scope, String> {
    Scope::by_name(text).ok_or_else(|| "inference or admin".to_owned())
}

/// How much quality: `0.25`, `none`.
pub(super) fn parse_quality(text: &str) -> Result<Stated<Quality>, String> {
    stated(text, Quality::parse).ok_or_else(|| "a number from 0 to 1, such as 0.75, or none".to_owned())
}

/// A lane or a bound of lanes: `flux-fast`, `at_least:flux-standard`, `none`.
pub(super) fn parse_lane(text: &str) -> Result<Stated<LaneWish>, String> {
    stated(text, LaneWish::parse).ok_or_else(|| format!("{LANE_WISH_HINT}; or none"))
}

fn stated<T>(text: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<Stated<T>> {
    if text == "none" { Some(Stated(None)) } else { read(text).map(Some).map(Stated) }
}

fn parse_stated<T: FromStr<Err = String>>(text: &str) -> Result<Stated<T>, String> {
    if text == "none" { Ok(Stated(None)) } else { text.parse().map(Some).map(Stated) }
}

impl FromStr for Expiry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "never" {
            return Ok(Self::Never);
        }
        if text.contains('-') {
            let hint = "a time such as 2030-07-31 or 2030-07-31T12:00:00Z";
            return UnixMs::parse(text).map(Self::At).ok_or_else(|| hint.to_owned());
        }
        parse_span(text).map(Self::InMs)
    }
}

impl FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let amount = NanoUsd::parse(text).map_err(|error| error.to_string())?;
        if amount > NanoUsd::ZERO { Ok(Self(amount)) } else { Err("an amount above 0".to_owned()) }
    }
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().ok().filter(|limit| *limit > 0).map(Self).ok_or_else(|| "a whole number above 0".to_owned())
    }
}

impl FromStr for PerMinute {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let most = RateLimits::REQUESTS_PER_MINUTE_MAX;
        let Limit(limit) = text.parse()?;
        if limit <= most { Ok(Self(limit)) } else { Err(format!("at most {most}")) }
    }
}

impl FromStr for Tokens {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let most = i64::MAX.unsigned_abs();
        let limit = text.parse().ok().filter(|limit| (1..=most).contains(limit));
        limit.map(Self).ok_or_else(|| "a whole number above 0".to_owned())
    }
}
