//! `GET /v1/credits`: what an account has, has used and may still use.
//!
//! Figures of money come from memory, where they are held for requests at work; what they are made of comes from the
//! books. Must not tell of any other account.

use serde::Serialize;
use utoipa::ToSchema;

use super::query::Query;
use super::usage::GROUPS_MAX;
use super::usage::view::SumView;
use super::{Answer, Asked, Decimal, json, refused};
use crate::accounts::account::AccountState;
use crate::accounts::funds::{Spent, Standing};
use crate::accounts::key::KeyState;
use crate::base::money::NanoUsd;
use crate::base::period::Period;
use crate::base::refusal::Refusal;
use crate::base::tariff::{Credits, Overage, Tariff, Unit};
use crate::base::time::UnixMs;
use crate::store::Store;
use crate::store::usage::{Group, UsageFilter};

use super::keys::wanted::period_name;

/// What an account has. Amounts are exact decimals in `unit`; those that end in `_usd` are dollars, whatever the unit.
#[derive(Debug, Serialize, ToSchema)]
pub struct CreditsView {
    /// `credits`.
    object: &'static str,
    /// The account's id.
    account_id: i64,
    /// In what the tariff is sold: `usd` or `credits`. A credit is a cent of usage.
    unit: &'static str,
    /// The tariff.
    tariff: TariffView,
    /// The period that runs.
    period: PeriodView,
    /// Usage of a period that the fee pays.
    included: String,
    /// All usage of the period: included, from packs, and beyond.
    used: String,
    /// What is left of the included usage.
    included_left: String,
    /// Usage of the period that packs paid.
    packs_used: String,
    /// Usage beyond the included and the packs.
    overage: String,
    /// What that costs.
    overage_cost_usd: String,
    /// The most usage of a period, packs not counted; null: without a limit.
    ceiling: Option<String>,
    /// What is held for requests at work.
    held: String,
    /// What could be held for new ones; null: without a limit.
    available: Option<String>,
    /// What is left of packs; they do not expire.
    packs: String,
    /// What the key that asks may spend; null: all that its account may.
    key_budget: Option<KeyBudgetView>,
    /// What the period's usage was made of, in whole days of UTC.
    breakdown: BreakdownView,
    /// As Conflux tells it: what could be spent, in `unit`; null: without a limit.
    #[schema(value_type = Option<f64>)]
    balance: Option<Decimal>,
    /// As Conflux tells it: what there was in this period, in `unit`; null: without a limit.
    #[schema(value_type = Option<f64>)]
    total_purchased: Option<Decimal>,
    /// As Conflux tells it: what was used in this period, in `unit`.
    #[schema(value_type = f64)]
    total_consumed: Decimal,
    /// What could be spent, in credits; null: without a limit.
    #[schema(value_type = Option<f64>)]
    credits_remaining: Option<Decimal>,
    /// What was used in this period, in credits.
    #[schema(value_type = f64)]
    credits_used: Decimal,
    /// Whether `breakdown` holds all that was settled before the question; false while the books are behind.
    up_to_date: bool,
}

/// What an account has agreed to.
#[derive(Debug, Serialize, ToSchema)]
pub struct TariffView {
    /// Its id.
    id: String,
    /// For people.
    name: String,
    /// Paid for each period.
    fee_usd: String,
    /// What happens beyond the included usage: `refused`, `at-rates` or `per-credit`.
    overage: &'static str,
    /// What a credit costs then; null unless it is `per-credit`.
    overage_per_credit_usd: Option<String>,
    /// When a period begins: `calendar-month` or `billing-date`.
    resets: &'static str,
}

/// A period.
#[derive(Debug, Serialize, ToSchema)]
pub struct PeriodView {
    /// Its first moment.
    start: String,
    /// The first moment after it.
    end: Option<String>,
}

/// What a key may spend, within what its account may.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyBudgetView {
    /// The key's id.
    key_id: i64,
    /// In one period.
    amount_usd: String,
    /// `day`, `month` or `total`.
    period: &'static str,
    /// What was spent of it.
    used_usd: String,
    /// What is held of it for requests at work.
    held_usd: String,
    /// What could be held for new ones.
    available_usd: String,
}

/// What usage was made of.
#[derive(Debug, Serialize, ToSchema)]
pub struct BreakdownView {
    /// By lane; all pins are one.
    by_lane: Vec<SumView>,
    /// By key.
    by_key: Vec<SumView>,
}

pub(super) fn answer(asked: &Asked<'_>, store: &Store) -> Result<Answer, Refusal> {
    Query::read(asked.query, &[])?;
    let account = &asked.key.account;
    let up_to_date = store.flush().is_ok();
    let standing = account.funds().standing(asked.at);
    let filter = UsageFilter { from: Some(standing.period.start), to: end(standing.period), ..UsageFilter::default() };
    let sums = |group| {
        let found = store.usage().sums(Some(account.id), &filter, group, GROUPS_MAX).map_err(refused)?;
        Ok::<_, Refusal>(found.iter().map(|sum| SumView::of(sum, group)).collect())
    };
    let breakdown = BreakdownView { by_lane: sums(Group::Lane)?, by_key: sums(Group::Key)? };
    json(200, &view(account, asked.key, &standing, (breakdown, up_to_date), asked.at))
}

fn view(
    account: &AccountState,
    key: &KeyState,
    standing: &Standing,
    (breakdown, up_to_date): (BreakdownView, bool),
    at: UnixMs,
) -> CreditsView {
    let contract = account.contract();
    let tariff = &contract.tariff;
    let shown = |amount: NanoUsd| match tariff.unit {
        Unit::Usd => amount.to_string(),
        Unit::Credits => Credits(amount).to_string(),
    };
    let Standing { period, spent, packs, held, available } = *standing;
    let Spent { included, packs: packs_used, overage } = spent;
    let used = spent.total();
    let there_was = available.map(|available| plus(plus(available, held), used));
    CreditsView {
        object: "credits",
        account_id: account.id.0,
        unit: tariff.unit.name(),
        tariff: TariffView::of(tariff),
        period: PeriodView { start: period.start.rfc3339(), end: end(period).map(UnixMs::rfc3339) },
        included: shown(tariff.included),
        used: shown(used),
        included_left: shown(NanoUsd(tariff.included.0.saturating_sub(included.0).max(0))),
        packs_used: shown(packs_used),
        overage: shown(overage),
        overage_cost_usd: tariff.overage_price(overage).to_string(),
        ceiling: tariff.limit(contract.cap).map(shown),
        held: shown(held),
        available: available.map(shown),
        packs: shown(packs),
        key_budget: key_budget(key, at),
        breakdown,
        balance: available.map(|available| Decimal(shown(available))),
        total_purchased: there_was.map(|there_was| Decimal(shown(there_was))),
        total_consumed: Decimal(shown(used)),
        credits_remaining: available.map(Decimal::credits),
        credits_used: Decimal::credits(used),
        up_to_date,
    }
}

impl TariffView {
    fn of(tariff: &Tariff) -> Self {
        let (overage, per_credit) = match tariff.overage {
            Overage::Refused => ("refused", None),
            Overage::AtRates => ("at-rates", None),
            Overage::PerCredit(price) => ("per-credit", Some(price.to_string())),
        };
        Self {
            id: tariff.id.to_string(),
            name: tariff.name.to_string(),
            fee_usd: tariff.fee.to_string(),
            overage,
            overage_per_credit_usd: per_credit,
            resets: tariff.reset.name(),
        }
    }
}

fn key_budget(key: &KeyState, at: UnixMs) -> Option<KeyBudgetView> {
    let (budget, funds) = (key.settings.budget?, key.budget()?);
    let Standing { spent, held, available, .. } = funds.standing(at);
    Some(KeyBudgetView {
        key_id: key.id.0,
        amount_usd: budget.amount.to_string(),
        period: period_name(budget.reset),
        used_usd: spent.total().to_string(),
        held_usd: held.to_string(),
        available_usd: available.unwrap_or_default().to_string(),
    })
}

fn end(period: Period) -> Option<UnixMs> {
    Some(period.end).filter(|end| *end != Period::EVER.end)
}

fn plus(one: NanoUsd, other: NanoUsd) -> NanoUsd {
    NanoUsd(one.0.saturating_add(other.0))
}
