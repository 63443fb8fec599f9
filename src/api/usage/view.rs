//! How usage is shown: rows and sums, as JSON and as CSV, over HTTP and by the command line alike.
//!
//! Must not put what clients choose freely into CSV: a table program would take some of it for formulas.

use serde::Serialize;
use utoipa::ToSchema;

use super::GROUPS_MAX;
use super::explain::Calculation;
use crate::api::Decimal;
use crate::base::ids::AccountId;
use crate::base::outcome::Charge;
use crate::base::time::UnixMs;
use crate::store::StoreError;
use crate::store::usage::{Group, MS_PER_DAY, Page, SumOf, Sums, UsageFilter, UsageReader};

/// CSV, as `content-type` says it.
pub const CSV: &str = "text/csv; charset=utf-8";

/// A page of rows, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct UsageList {
    /// `list`.
    object: &'static str,
    /// The rows. A page may be short where the filter is rare; it is the last where `next_cursor` is null.
    data: Vec<UsageRow>,
    /// Whether there may be more.
    has_more: bool,
    /// Where the next page begins.
    next_cursor: Option<String>,
    /// Whether all that was settled before the question is in the books; false while they are behind.
    up_to_date: bool,
}

/// One settled request.
#[derive(Debug, Serialize, ToSchema)]
pub struct UsageRow {
    /// The request's id.
    id: String,
    /// `usage`.
    object: &'static str,
    /// When the request arrived.
    created_at: String,
    /// With which key.
    key_id: i64,
    /// The lane or pin that was asked for.
    requested_model: String,
    /// The model that answered, by its canonical id.
    model: String,
    /// The provider that answered.
    provider: String,
    /// The lane; null for a pin.
    lane: Option<String>,
    /// The client's wire format.
    wire_format: &'static str,
    /// Whether the answer was streamed.
    streamed: bool,
    /// How it ended: `done`, `cut`, `capped`, `left`, `refused` or `unsettled`.
    status: &'static str,
    /// Attempts that were made.
    attempts: u8,
    /// Tokens of the prompt, cached ones counted.
    input_tokens: u64,
    /// Tokens of the prompt that were read from a cache.
    cached_tokens: u64,
    /// Tokens of the prompt that were written into a cache.
    cache_write_tokens: u64,
    /// Tokens of the answer, reasoning counted.
    output_tokens: u64,
    /// Tokens of the answer that were reasoning.
    reasoning_tokens: u64,
    /// Both together.
    tokens_used: u64,
    /// Pictures that were made.
    images: u64,
    /// Sound that was listened to, in milliseconds.
    audio_ms: u64,
    /// Characters that were read aloud.
    characters: u64,
    /// Whether tokens were estimated, because the provider told none.
    estimated: bool,
    /// What was charged, USD of usage as an exact decimal.
    cost_usd: String,
    /// The part of it that packs paid.
    from_packs_usd: String,
    /// The part of it beyond what the tariff includes.
    overage_usd: String,
    /// What the request cost beyond that, and no cap had room for: it is not charged.
    written_off_usd: String,
    /// What was charged, in credits.
    #[schema(value_type = f64)]
    credits_charged: Decimal,
    /// From arrival to the last byte.
    latency_ms: u64,
    /// The likeliest kind of work that `flux-auto` saw; null where it was not asked.
    kind_of_work: Option<String>,
    /// The estimated gain of the dearer lane, -1 to 1; null where `flux-auto` was not asked.
    route_score: Option<f64>,
    /// How the figure came about; with one row only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    calculation: Option<Calculation>,
}

impl UsageRow {
    /// A row of the ledger.
    pub(super) fn of(charge: &Charge) -> Self {
        let Charge { usage, draw, pieces, .. } = charge;
        let (input, output) = (usage.prompt_total(), usage.completion_total());
        Self {
            id: charge.request_id.to_string(),
            object: "usage",
            created_at: charge.at.rfc3339(),
            key_id: charge.key.0,
            requested_model: charge.requested.to_string(),
            model: charge.model.to_string(),
            provider: charge.provider.to_string(),
            lane: Some(charge.lane.to_string()).filter(|lane| !lane.is_empty()),
            wire_format: charge.wire_format.name(),
            streamed: charge.streamed,
            status: charge.ending.name(),
            attempts: charge.attempts,
            input_tokens: input,
            cached_tokens: usage.cache_read.saturating_add(usage.cache_read_image),
            cache_write_tokens: usage.cache_write.total(),
            output_tokens: output,
            reasoning_tokens: usage.reasoning,
            tokens_used: input.saturating_add(output),
            images: pieces.images,
            audio_ms: pieces.audio_ms,
            characters: pieces.characters,
            estimated: charge.estimated,
            cost_usd: draw.charged.to_string(),
            from_packs_usd: draw.from_packs.to_string(),
            overage_usd: draw.overage.to_string(),
            written_off_usd: charge.written_off.to_string(),
            credits_charged: Decimal::credits(draw.charged),
            latency_ms: u64::try_from(charge.latency.as_millis()).unwrap_or(u64::MAX),
            kind_of_work: charge.routed.as_ref().map(|routed| routed.kind.to_string()),
            route_score: charge.routed.as_ref().map(|routed| f64::from(routed.score_e4) / 10_000.0),
            calculation: None,
        }
    }
}

impl UsageRow {
    /// The row with how its figure came about.
    #[must_use]
    pub(super) fn with(self, calculation: Calculation) -> Self {
        Self { calculation: Some(calculation), ..self }
    }
}

impl UsageList {
    pub(super) fn of(page: &Page, next_cursor: Option<String>, up_to_date: bool) -> Self {
        let data = page.charges.iter().map(UsageRow::of).collect();
        Self { object: "list", data, has_more: next_cursor.is_some(), next_cursor, up_to_date }
    }
}

/// Sums of usage by whole days of UTC.
#[derive(Debug, Serialize, ToSchema)]
pub struct SumsView {
    /// `list`.
    object: &'static str,
    /// `day`, `key`, `model` or `lane`.
    group_by: &'static str,
    /// The first moment that is counted: the beginning of the day of `from`; null: from the first on.
    from: Option<String>,
    /// The first moment that is not: the end of the day of `to`; null: up to now.
    to: Option<String>,
    /// Days, newest first, or other groups, dearest first.
    data: Vec<SumView>,
    /// All of them together, also those that found no place in `data`.
    total: TotalView,
    /// Whether there are more groups than an answer has.
    has_more: bool,
    /// Whether all that was settled before the question is in the books; false while they are behind.
    up_to_date: bool,
}

/// The sums of one group.
#[derive(Debug, Serialize, ToSchema)]
pub struct SumView {
    /// The day, the key's id, the model or the lane; null for pins among lanes.
    pub(in crate::api) group: Option<String>,
    /// The key's first characters, where keys are told apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(in crate::api) key_prefix: Option<String>,
    /// Requests.
    pub(in crate::api) requests: u64,
    /// Tokens of prompts.
    pub(in crate::api) input_tokens: u64,
    /// Those of them that were read from a cache.
    pub(in crate::api) cached_tokens: u64,
    /// Tokens of answers.
    pub(in crate::api) output_tokens: u64,
    /// What was charged, USD of usage as an exact decimal.
    pub(in crate::api) cost_usd: String,
    /// The same in credits.
    #[schema(value_type = f64)]
    pub(in crate::api) credits_charged: Decimal,
}

/// The sums of all groups.
#[derive(Debug, Serialize, ToSchema)]
pub struct TotalView {
    /// Requests.
    requests: u64,
    /// Tokens of prompts.
    input_tokens: u64,
    /// Those of them that were read from a cache.
    cached_tokens: u64,
    /// Tokens of answers.
    output_tokens: u64,
    /// What was charged, USD of usage as an exact decimal.
    cost_usd: String,
    /// The same in credits.
    #[schema(value_type = f64)]
    credits_charged: Decimal,
}

impl SumView {
    pub(in crate::api) fn of(SumOf { number, text, sums }: &SumOf, group: Group) -> Self {
        let (group, key_prefix) = match group {
            Group::Day => (Some(day(*number)), None),
            Group::Key => (Some(number.to_string()), Some(text.clone())),
            Group::Model | Group::Lane | Group::All => (Some(text.clone()).filter(|text| !text.is_empty()), None),
        };
        let Sums { requests, input, cached, output, amount } = *sums;
        Self {
            group,
            key_prefix,
            requests,
            input_tokens: input,
            cached_tokens: cached,
            output_tokens: output,
            cost_usd: amount.to_string(),
            credits_charged: Decimal::credits(amount),
        }
    }
}

impl TotalView {
    fn of(sums: Sums) -> Self {
        let Sums { requests, input, cached, output, amount } = sums;
        Self {
            requests,
            input_tokens: input,
            cached_tokens: cached,
            output_tokens: output,
            cost_usd: amount.to_string(),
            credits_charged: Decimal::credits(amount),
        }
    }
}

impl SumsView {
    /// Sums of an account, or of all where none is named.
    ///
    /// # Errors
    /// When the database cannot be read, or too many ask at once.
    pub fn read(
        reader: &UsageReader,
        account: Option<AccountId>,
        filter: &UsageFilter,
        (name, group): (&'static str, Group),
    ) -> Result<Self, StoreError> {
        let mut found = reader.sums(account, filter, group, GROUPS_MAX.saturating_add(1))?;
        let has_more = found.len() > GROUPS_MAX;
        // A second walk over the days is only for groups that found no place.
        let total = if has_more {
            reader.sums(account, filter, Group::All, 1)?.first().map(|sum| sum.sums).unwrap_or_default()
        } else {
            found.iter().fold(Sums::default(), |total, sum| total.plus(sum.sums))
        };
        found.truncate(GROUPS_MAX);
        let (first, end) = filter.days();
        Ok(Self {
            object: "list",
            group_by: name,
            from: filter.from.map(|_| midnight(first).rfc3339()),
            to: filter.to.map(|_| midnight(end).rfc3339()),
            data: found.iter().map(|sum| SumView::of(sum, group)).collect(),
            total: TotalView::of(total),
            has_more,
            up_to_date: true,
        })
    }

    /// The same, with how current it is.
    #[must_use]
    pub(super) fn told(self, up_to_date: bool) -> Self {
        Self { up_to_date, ..self }
    }

    /// Cells for people, each group a row, all together the last.
    pub fn cells(&self) -> Vec<[String; 6]> {
        let total = &self.total;
        let last = [
            "total".to_owned(),
            total.requests.to_string(),
            total.input_tokens.to_string(),
            total.cached_tokens.to_string(),
            total.output_tokens.to_string(),
            total.cost_usd.clone(),
        ];
        let row = |sum: &SumView| {
            let group = sum.group.clone().unwrap_or_else(|| "-".to_owned());
            let prefix = sum.key_prefix.as_ref().map(|prefix| format!(" {prefix}…")).unwrap_or_default();
            [
                format!("{group}{prefix}"),
                sum.requests.to_string(),
                sum.input_tokens.to_string(),
                sum.cached_tokens.to_string(),
                sum.output_tokens.to_string(),
                sum.cost_usd.clone(),
            ]
        };
        self.data.iter().map(row).chain([last]).collect()
    }
}

/// Rows as CSV.
pub(super) fn rows_csv(list: &UsageList) -> String {
    let mut text = "id,created_at,key_id,requested_model,model,provider,lane,wire_format,streamed,status,attempts,\
                    input_tokens,cached_tokens,cache_write_tokens,output_tokens,reasoning_tokens,images,audio_ms,\
                    characters,estimated,cost_usd,from_packs_usd,overage_usd,written_off_usd,credits_charged,\
                    latency_ms,kind_of_work,route_score\r\n"
        .to_owned();
    for row in &list.data {
        let figures = [
            u64::from(row.attempts),
            row.input_tokens,
            row.cached_tokens,
            row.cache_write_tokens,
            row.output_tokens,
            row.reasoning_tokens,
            row.images,
            row.audio_ms,
            row.characters,
        ];
        let names = [&row.requested_model, &row.model, &row.provider, row.lane.as_ref().unwrap_or(&String::new())]
            .map(|name| cell(name));
        let money = [&row.cost_usd, &row.from_packs_usd, &row.overage_usd, &row.written_off_usd];
        let line = [
            vec![row.id.clone(), row.created_at.clone(), row.key_id.to_string()],
            names.to_vec(),
            vec![row.wire_format.to_owned(), row.streamed.to_string(), row.status.to_owned()],
            figures.iter().map(u64::to_string).collect(),
            vec![row.estimated.to_string()],
            money.map(String::clone).to_vec(),
            vec![row.credits_charged.0.clone(), row.latency_ms.to_string()],
            vec![
                row.kind_of_work.as_deref().map(cell).unwrap_or_default(),
                row.route_score.map(|score| score.to_string()).unwrap_or_default(),
            ],
        ];
        text.push_str(&line.concat().join(","));
        text.push_str("\r\n");
    }
    text
}

/// Sums as CSV, the total left out: programs add up by themselves.
pub fn sums_csv(sums: &SumsView) -> String {
    let mut text = format!(
        "{},key_prefix,requests,input_tokens,cached_tokens,output_tokens,cost_usd,credits_charged\r\n",
        sums.group_by
    );
    for sum in &sums.data {
        let line = [
            cell(sum.group.as_deref().unwrap_or_default()),
            cell(sum.key_prefix.as_deref().unwrap_or_default()),
            sum.requests.to_string(),
            sum.input_tokens.to_string(),
            sum.cached_tokens.to_string(),
            sum.output_tokens.to_string(),
            sum.cost_usd.clone(),
            sum.credits_charged.0.clone(),
        ];
        text.push_str(&line.join(","));
        text.push_str("\r\n");
    }
    text
}

/// A cell, in quotes where it must be.
fn cell(text: &str) -> String {
    if text.contains(['"', ',', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

fn midnight(day: i64) -> UnixMs {
    UnixMs(u64::try_from(day).unwrap_or(0).saturating_mul(MS_PER_DAY))
}

/// `2026-07-31`.
fn day(day: i64) -> String {
    midnight(day).rfc3339().chars().take("2026-07-31".len()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_cells_are_written() {
        assert_eq!((day(0), day(20_783)), ("1970-01-01".to_owned(), "2026-11-26".to_owned()));
        assert_eq!((cell("a/b"), cell("a,\"b\"")), ("a/b".to_owned(), "\"a,\"\"b\"\"\"".to_owned()));
    }
}
