//! `GET /v1/usage`: what was used, row by row or in sums, as JSON or CSV.
//!
//! Must not tell what a provider asked: that is between it and the operator.

pub mod explain;
pub mod view;

use crate::base::ids::{KeyId, RequestId};
use crate::base::outcome::Ending;
use crate::base::refusal::Refusal;
use crate::store::Store;
use crate::store::usage::{Group, UsageFilter};

use super::query::{Query, cursor};
use super::{Answer, Asked, bad, json, refused};

use self::view::{CSV, SumsView, UsageList, rows_csv, sums_csv};

const LIMIT_USUAL: usize = 50;
const LIMIT_MAX: usize = 200;
/// Groups of one answer: years of days.
pub const GROUPS_MAX: usize = 1_000;
const NAMES: &[&str] = &["limit", "cursor", "key", "model", "lane", "provider", "status", "from", "to", "group_by"];
/// What sums are made by, with the names used in queries.
pub const GROUPS: [(&str, Group); 4] =
    [("day", Group::Day), ("key", Group::Key), ("model", Group::Model), ("lane", Group::Lane)];

/// Rows, newest first, or sums where `group_by` is asked for.
pub(super) fn list(asked: &Asked<'_>, store: &Store) -> Result<Answer, Refusal> {
    let query = Query::read(asked.query, NAMES)?;
    let filter = filter(&query)?;
    let as_csv = prefers_csv(asked.accept);
    let up_to_date = store.flush().is_ok();
    if let Some(name) = query.text("group_by") {
        if query.text("limit").is_some() || query.text("cursor").is_some() {
            return Err(bad("group_by", "sums come whole: leave limit and cursor out"));
        }
        let group = GROUPS.iter().find(|(known, _)| *known == name);
        let (name, group) = *group.ok_or_else(|| bad("group_by", "group_by must be day, key, model or lane"))?;
        let sums =
            SumsView::read(store.usage(), Some(asked.key.account.id), &filter, (name, group)).map_err(refused)?;
        return if as_csv { Ok(csv(sums_csv(&sums), None)) } else { json(200, &sums.told(up_to_date)) };
    }
    let limit = query.limit("limit", LIMIT_USUAL, LIMIT_MAX)?;
    let before = query.cursor()?.map(RequestId);
    let page = store.usage().page(asked.key.account.id, &filter, before, limit).map_err(refused)?;
    let next_cursor = page.next.map(|id| cursor(id.0));
    let list = UsageList::of(&page, next_cursor.clone(), up_to_date);
    if as_csv { Ok(csv(rows_csv(&list), next_cursor)) } else { json(200, &list) }
}

fn filter(query: &Query) -> Result<UsageFilter, Refusal> {
    let text = |name| query.text(name).map(str::to_owned);
    let key = |text: &str| text.parse().map(KeyId).map_err(|_| bad("key", "key must be the id of a key"));
    let ending = |text: &str| {
        let names = || Ending::ALL.map(Ending::name).join(", ");
        Ending::by_name(text).ok_or_else(|| bad("status", format!("status must be one of {}", names())))
    };
    Ok(UsageFilter {
        key: query.text("key").map(key).transpose()?,
        model: text("model"),
        lane: text("lane"),
        provider: text("provider"),
        ending: query.text("status").map(ending).transpose()?,
        from: query.moment("from")?,
        to: query.moment("to")?,
    })
}

fn csv(body: String, next_cursor: Option<String>) -> Answer {
    Answer { status: 200, content_type: CSV, body: body.into(), next_cursor }
}

/// Whether CSV is asked for by name, before JSON if both are.
fn prefers_csv(accept: &str) -> bool {
    let mut kinds = accept.split(',').filter_map(|part| part.split(';').next()).map(str::trim);
    kinds.find(|kind| ["text/csv", "application/json"].contains(kind)) == Some("text/csv")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_is_given_to_those_who_ask_for_it() {
        for (accept, is_csv) in [
            ("text/csv", true),
            ("text/csv;q=0.9, application/json;q=0.1", true),
            ("application/json, text/csv", false),
            ("*/*", false),
            ("", false),
        ] {
            assert_eq!(prefers_csv(accept), is_csv, "{accept}");
        }
    }
}
