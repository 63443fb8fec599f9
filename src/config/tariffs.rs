//! `tariffs.toml` becomes tariffs.
//!
//! Must not know accounts.

use std::sync::Arc;

use crate::base::money::{NanoUsd, PicoUsd};
use crate::base::period::Reset;
use crate::base::tariff::{Overage, RateLimits, Tariff, Tariffs, Unit};

use super::fields::{Fields, Findings};
use super::raw::{Origin, Table, Value};

/// Far more than anybody sells.
const TARIFFS_MAX: usize = 1_000;
const ID_BYTES_MAX: usize = 64;
/// Of a tariff that says nothing.
const REQUESTS_PER_MINUTE_DEFAULT: u64 = 60;
const RESETS: [(&str, Reset); 2] = [("calendar-month", Reset::CalendarMonth), ("billing-date", Reset::BillingDate)];
const OVERAGES: [(&str, Overage); 2] = [("refused", Overage::Refused), ("at-rates", Overage::AtRates)];
const PICO_PER_NANO: u128 = 1_000;
const CREDITS_PER_USD: u128 = 100;

/// Reads all of `tariffs.toml`.
pub(super) fn read(file: &Table, origin: &Origin, findings: &mut Findings) -> Tariffs {
    let (mut all, mut defaults) = (Vec::new(), Vec::new());
    for (id, node) in file.iter().take(TARIFFS_MAX) {
        let Value::Table(table) = &node.value else {
            findings.complaints.push(node.origin.complaint(format!("{id}: expected a table"), "such as [free]"));
            continue;
        };
        if id.len() > ID_BYTES_MAX || !id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            let hint = "lower-case letters, digits and `-`";
            findings.complaints.push(node.origin.complaint(format!("\"{id}\" is no name for a tariff"), hint));
        }
        let mut fields = Fields::new(table, &node.origin, id, findings);
        let is_default = fields.flag("default", false);
        let tariff = Arc::new(tariff(id, &mut fields));
        fields.finish();
        if is_default {
            defaults.push(Arc::clone(&tariff));
        }
        all.push(tariff);
    }
    if defaults.len() != 1 {
        let message = format!("{} tariffs have `default = true`", defaults.len());
        findings.complaints.push(origin.complaint(message, "just one must have it: that of accounts without a tariff"));
    }
    let default = defaults.pop().unwrap_or_else(|| Arc::new(Tariff::unbounded()));
    Tariffs::new(all, default)
}

fn tariff(id: &str, fields: &mut Fields<'_, '_>) -> Tariff {
    let name = fields.text("name").unwrap_or_else(|| id.to_owned());
    let unit = fields.choice("unit", Unit::Usd, &Unit::NAMES);
    let fee = amount(fields, "fee", Unit::Usd).unwrap_or(NanoUsd::ZERO);
    let included = amount(fields, "included", unit).unwrap_or(NanoUsd::ZERO);
    let stated = fields.choice("overage", Overage::Refused, &OVERAGES);
    let per_credit = amount(fields, "overage_per_credit", Unit::Usd);
    let ceiling = amount(fields, "ceiling", unit);
    let overage = match (stated, per_credit) {
        (stated, None) => stated,
        (_, Some(price)) => {
            if unit != Unit::Credits || fields.is_stated("overage") {
                let hint = "only with unit = \"credits\", in the place of `overage`";
                fields.complain("overage_per_credit", "does not fit the rest", hint);
            }
            Overage::PerCredit(price)
        }
    };
    if overage == Overage::Refused && ceiling.is_some() {
        fields.complain("ceiling", "bounds nothing", "what is included is the bound where overage is refused");
    }
    if ceiling.is_some_and(|ceiling| ceiling < included) {
        fields.complain("ceiling", "is below what is included", "it counts all usage of a period");
    }
    let reset = fields.choice("resets", Reset::CalendarMonth, &RESETS);
    let limits = limits(fields);
    Tariff { id: id.into(), name: name.into(), unit, fee, included, overage, ceiling, reset, limits }
}

/// Limits of a key: 0 is without a limit.
fn limits(fields: &mut Fields<'_, '_>) -> RateLimits {
    let most = u64::from(RateLimits::REQUESTS_PER_MINUTE_MAX);
    let narrow = |limit: u64| u32::try_from(limit).ok().filter(|limit| *limit > 0);
    let requests_per_second = narrow(fields.whole("requests_per_second", 0, 0..=most));
    let requests_per_minute = narrow(fields.whole("requests_per_minute", REQUESTS_PER_MINUTE_DEFAULT, 0..=most));
    let tokens_per_minute = fields.whole("tokens_per_minute", 0, 0..=1 << 40);
    let concurrent = narrow(fields.whole("concurrent", 0, 0..=u64::from(u32::MAX)));
    let tokens_per_minute = (tokens_per_minute > 0).then_some(tokens_per_minute);
    RateLimits { requests_per_second, requests_per_minute, tokens_per_minute, concurrent }
}

/// An amount of usage or money, in dollars or in credits.
fn amount(fields: &mut Fields<'_, '_>, key: &'static str, unit: Unit) -> Option<NanoUsd> {
    let PicoUsd(pico) = fields.price(key, PicoUsd::per_piece)?;
    let nano = match unit {
        Unit::Usd => pico / PICO_PER_NANO,
        Unit::Credits => pico / (PICO_PER_NANO * CREDITS_PER_USD),
    };
    i64::try_from(nano).ok().map(NanoUsd)
}
