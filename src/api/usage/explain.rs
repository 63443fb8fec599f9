//! `GET /v1/usage/{request_id}`: a settled figure, and how it came about.
//!
//! The figure is computed anew, from the row's tokens and the rates that held when the request arrived, as the
//! catalogue of today has them. Must not change anything: what was charged stays.

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::query::Query;
use crate::api::{Answer, Asked, json, not_found, refused};
use crate::base::ids::RequestId;
use crate::base::money::{NanoUsd, PicoUsd};
use crate::base::outcome::{Charge, Ending};
use crate::base::refusal::Refusal;
use crate::catalog::price::Circumstances;
use crate::catalog::{Catalog, Chain, Model};
use crate::exchange::snapshot::Snapshot;
use crate::settle::bill::{self, Line};
use crate::store::Store;

use super::view::UsageRow;

const TOKENS_PER_RATE: u64 = 1_000_000;

/// How a figure came about.
#[derive(Debug, Serialize, ToSchema)]
pub struct Calculation {
    /// `lane`: at the lane's rates; `model`: at the model's own price; null: the catalogue has neither any more.
    priced_by: Option<&'static str>,
    /// What was counted, with its rate and its cost.
    lines: Vec<LineView>,
    /// The sum of the lines in USD, not rounded.
    sum_usd: Option<String>,
    /// The sum, rounded up to a billionth of a dollar: the price.
    price_usd: Option<String>,
    /// Whether the price is what was charged and what was written off together.
    agrees: bool,
    /// Why it is not, where it is not.
    note: Option<&'static str>,
}

/// One kind of what was counted.
#[derive(Debug, Serialize, ToSchema)]
pub struct LineView {
    /// What was counted.
    kind: &'static str,
    /// How much of it.
    quantity: u64,
    /// USD for a million; null for what has no rate of that kind.
    usd_per_million: Option<String>,
    /// What it costs, not rounded.
    usd: String,
}

/// The row of one request, with its calculation.
pub(in crate::api) fn answer(
    id: &str,
    asked: &Asked<'_>,
    store: &Store,
    snapshot: &Snapshot,
) -> Result<Answer, Refusal> {
    Query::read(asked.query, &[])?;
    let none = || not_found("there is no usage of such a request");
    let request = RequestId::parse(id).ok_or_else(none)?;
    // Where the books are behind, the row may not be there yet: then it is as if it had not been.
    let _ = store.flush();
    let charge = store.usage().charge(asked.key.account.id, request).map_err(refused)?.ok_or_else(none)?;
    let calculation = calculation(&charge, &snapshot.catalog);
    json(200, &UsageRow::of(&charge).with(calculation))
}

fn calculation(charge: &Charge, catalog: &Catalog) -> Calculation {
    let Some((chain, model)) = priced(charge, catalog) else {
        let note = Some("the lane or the model is not in the catalogue any more");
        return Calculation { priced_by: None, lines: Vec::new(), sum_usd: None, price_usd: None, agrees: false, note };
    };
    let settled = NanoUsd(charge.draw.charged.0.saturating_add(charge.written_off.0));
    let in_region = |region: &str| {
        let circumstances = Circumstances {
            at: charge.at,
            service_tier: &charge.service_tier,
            region,
            images: &[("", charge.pieces.images)],
            web_searches: 0,
            audio_ms: charge.pieces.audio_ms,
            characters: charge.pieces.characters,
        };
        bill::bill(chain.rates.as_ref(), &model.price, &charge.usage, &circumstances)
    };
    // A row does not say at which address it was answered: of several regions it is the one whose price was charged.
    let accesses = catalog.providers().iter().find(|provider| provider.id == charge.provider);
    let mut bills =
        accesses.into_iter().flat_map(|provider| &provider.accesses).map(|access| in_region(&access.region));
    let charged = bills.find(|bill| bill.sum.round_up() == settled);
    let first = || in_region(accesses.map_or("", |provider| provider.region_at(0)));
    let bill = charged.unwrap_or_else(first);
    let price = bill.sum.round_up();
    let agrees = price == settled;
    Calculation {
        priced_by: Some(if chain.rates.is_some() { "lane" } else { "model" }),
        lines: bill.lines.iter().map(line).collect(),
        sum_usd: Some(bill.sum.to_string()),
        price_usd: Some(price.to_string()),
        agrees,
        note: (!agrees).then(|| why(charge, model, settled)),
    }
}

/// The chain that the request went by and the model that answered, as the catalogue has them now.
fn priced<'a>(charge: &Charge, catalog: &'a Catalog) -> Option<(&'a Chain, &'a Model)> {
    let name = if charge.lane.is_empty() { &charge.requested } else { &charge.lane };
    let chain = catalog.chain(catalog.resolve(name)?)?;
    let mut targets = chain.targets.iter().chain(&chain.mock_targets);
    let is_it = |id: &str, model: &Model| *id == *charge.provider && model.canonical == charge.model;
    let target = targets.find(|target| is_it(&target.provider.id, &target.model));
    Some((chain, &target?.model))
}

fn why(charge: &Charge, model: &Model, settled: NanoUsd) -> &'static str {
    if settled == NanoUsd::ZERO && charge.ending != Ending::Done {
        "nothing was charged: the request did not come to its end by no fault of yours"
    } else if charge.pieces.images > 0 && model.price.has_image_pieces() {
        "the price of an image depends on its quality and size, which are not kept"
    } else {
        "prices have changed since, or were corrected: what was charged stays"
    }
}

fn line(Line { kind, quantity, rate, amount }: &Line) -> LineView {
    let per_million = |rate: PicoUsd| rate.times(TOKENS_PER_RATE).to_string();
    LineView { kind, quantity: *quantity, usd_per_million: rate.map(per_million), usd: amount.to_string() }
}
