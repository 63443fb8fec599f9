//! Tariffs: what an account pays, what it gets for that, and how fast it may ask.
//!
//! Must not know accounts, requests or files. Usage is always counted at its value in nano-USD; a credit is a
//! cent of it, whatever a tariff asks for a credit.

use std::fmt;
use std::sync::Arc;

use super::money::NanoUsd;
use super::period::Reset;

/// One credit: a cent of usage at list rates.
pub const CREDIT: NanoUsd = NanoUsd(10_000_000);

/// An amount of usage shown in credits: `12.5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credits(pub NanoUsd);

impl fmt::Display for Credits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A credit has seven decimals of nano-USD, a dollar nine.
        match self.0.0.checked_mul(100) {
            Some(nano) => NanoUsd(nano).fmt(f),
            None => f.write_str("more than can be shown"),
        }
    }
}

/// In what a tariff is sold and shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Dollars.
    Usd,
    /// Credits.
    Credits,
}

impl Unit {
    /// Both with the names used in configuration and answers.
    pub const NAMES: [(&'static str, Self); 2] = [("usd", Self::Usd), ("credits", Self::Credits)];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Usd => "usd",
            Self::Credits => "credits",
        }
    }
}

/// What happens beyond the included usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Overage {
    /// Nothing goes: 402.
    Refused,
    /// It is paid at the rates it was counted at.
    AtRates,
    /// Each credit of it is paid at this price.
    PerCredit(NanoUsd),
}

/// How fast one key may ask; `None` is without a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RateLimits {
    /// Requests within any second.
    pub requests_per_second: Option<u32>,
    /// Requests within any 60 seconds.
    pub requests_per_minute: Option<u32>,
    /// Tokens, prompt and answer together, within any 60 seconds.
    pub tokens_per_minute: Option<u64>,
    /// Requests at once.
    pub concurrent: Option<u32>,
}

impl RateLimits {
    /// Most requests a minute that can be counted exactly: each is remembered for a minute.
    pub const REQUESTS_PER_MINUTE_MAX: u32 = 100_000;

    /// Of these limits and `other` the lower ones.
    #[must_use]
    pub fn within(self, other: Self) -> Self {
        Self {
            requests_per_second: lower(self.requests_per_second, other.requests_per_second),
            requests_per_minute: lower(self.requests_per_minute, other.requests_per_minute),
            tokens_per_minute: lower(self.tokens_per_minute, other.tokens_per_minute),
            concurrent: lower(self.concurrent, other.concurrent),
        }
    }
}

/// Generic, since tokens may be more than requests can.
fn lower<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    one.into_iter().chain(other).min()
}

/// A tariff.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tariff {
    /// How accounts and configuration name it.
    pub id: Arc<str>,
    /// For people.
    pub name: Arc<str>,
    /// In what it is sold.
    pub unit: Unit,
    /// Paid for each period, whatever is used.
    pub fee: NanoUsd,
    /// Usage of a period that the fee pays.
    pub included: NanoUsd,
    /// What happens beyond it.
    pub overage: Overage,
    /// The most usage of a period, the included counted; an account may have another. `None` is without a limit.
    pub ceiling: Option<NanoUsd>,
    /// When a period begins.
    pub reset: Reset,
    /// Of each key; a key may have lower ones of its own.
    pub limits: RateLimits,
}

impl Tariff {
    /// What usage beyond the included costs.
    pub fn overage_price(&self, usage: NanoUsd) -> NanoUsd {
        match self.overage {
            Overage::Refused => NanoUsd::ZERO,
            Overage::AtRates => usage,
            Overage::PerCredit(price) => {
                let nano = i128::from(usage.0).saturating_mul(i128::from(price.0));
                // Rounded up, as all that is charged; usage is never negative.
                let credit = i128::from(CREDIT.0);
                let price = nano.div_euclid(credit).saturating_add(i128::from(nano.rem_euclid(credit) > 0));
                NanoUsd(i64::try_from(price).unwrap_or(i64::MAX))
            }
        }
    }

    /// A tariff that bounds nothing and asks nothing: the operator's own.
    pub fn unbounded() -> Self {
        Self {
            id: "house".into(),
            name: "House".into(),
            unit: Unit::Usd,
            fee: NanoUsd::ZERO,
            included: NanoUsd::ZERO,
            overage: Overage::AtRates,
            ceiling: None,
            reset: Reset::CalendarMonth,
            limits: RateLimits::default(),
        }
    }

    /// The most usage of a period, for an account with a cap of its own.
    pub fn limit(&self, cap: Option<NanoUsd>) -> Option<NanoUsd> {
        match self.overage {
            Overage::Refused => Some(cap.map_or(self.included, |cap| cap.min(self.included))),
            Overage::AtRates | Overage::PerCredit(_) => cap.or(self.ceiling),
        }
    }
}

/// All tariffs. There is always one for accounts that nobody gave one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tariffs {
    all: Vec<Arc<Tariff>>,
    default: Arc<Tariff>,
}

impl Tariffs {
    /// The tariffs, of which `default` is for accounts that nobody gave one. Ids are unique.
    pub fn new(all: Vec<Arc<Tariff>>, default: Arc<Tariff>) -> Self {
        Self { all, default }
    }

    /// The tariff of an id; `None` also where it was taken out of the configuration.
    pub fn by_id(&self, id: &str) -> Option<&Arc<Tariff>> {
        self.all.iter().find(|tariff| *tariff.id == *id)
    }

    /// The tariff of accounts that nobody gave one: the operator's own.
    pub fn default_tariff(&self) -> &Arc<Tariff> {
        &self.default
    }

    /// All of them, as configured.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Tariff>> {
        self.all.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tariff(overage: Overage) -> Tariff {
        Tariff {
            id: "t".into(),
            name: "T".into(),
            unit: Unit::Credits,
            fee: NanoUsd(24_990_000_000),
            included: NanoUsd(100 * 1_000_000_000),
            overage,
            ceiling: None,
            reset: Reset::BillingDate,
            limits: RateLimits::default(),
        }
    }

    #[test]
    fn credits_are_cents_of_usage() {
        for (nano, shown) in [(5_000_000_000, "500"), (10_000_000, "1"), (1, "0.0000001"), (0, "0")] {
            assert_eq!(Credits(NanoUsd(nano)).to_string(), shown);
        }
    }

    #[test]
    fn overage_has_its_price() {
        let power = tariff(Overage::PerCredit(NanoUsd(3_000_000)));
        // A thousand credits at $0.003.
        assert_eq!(power.overage_price(NanoUsd(10_000_000_000)), NanoUsd(3_000_000_000));
        assert_eq!(power.overage_price(NanoUsd(1)), NanoUsd(1));
        assert_eq!(tariff(Overage::AtRates).overage_price(NanoUsd(7)), NanoUsd(7));
        assert_eq!(tariff(Overage::Refused).overage_price(NanoUsd(7)), NanoUsd(0));
    }

    #[test]
    fn the_lower_limit_holds() {
        let tariff = RateLimits {
            requests_per_minute: Some(60),
            tokens_per_minute: Some(5),
            concurrent: Some(2),
            ..RateLimits::default()
        };
        let key = RateLimits {
            requests_per_second: Some(1),
            requests_per_minute: Some(300),
            tokens_per_minute: Some(4),
            concurrent: None,
        };
        let both = RateLimits {
            requests_per_second: Some(1),
            requests_per_minute: Some(60),
            tokens_per_minute: Some(4),
            concurrent: Some(2),
        };
        assert_eq!((key.within(tariff), tariff.within(key)), (both, both));
    }

    #[test]
    fn a_cap_lowers_what_is_free_and_replaces_a_ceiling() {
        let free = tariff(Overage::Refused);
        assert_eq!(free.limit(None), Some(free.included));
        assert_eq!(free.limit(Some(NanoUsd(5))), Some(NanoUsd(5)));
        assert_eq!(free.limit(Some(NanoUsd(i64::MAX))), Some(free.included));
        let open = Tariff { ceiling: Some(NanoUsd(9)), ..tariff(Overage::AtRates) };
        assert_eq!((open.limit(None), open.limit(Some(NanoUsd(20)))), (Some(NanoUsd(9)), Some(NanoUsd(20))));
        assert_eq!(tariff(Overage::AtRates).limit(None), None);
    }
}
