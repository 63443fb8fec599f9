//! `POST /v1/feedback`: how good an answer was, from whoever asked for it.
//!
//! Must not take words: what people write about an answer is content, and none is stored. A request of another account is
//! answered like one that does not exist.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::query::Query;
use super::{Answer, Asked, bad, json, not_found, read, refused};
use crate::accounts::key::KeyKind;
use crate::base::ids::RequestId;
use crate::base::quality::Quality;
use crate::base::refusal::{Refusal, RefusalKind};
use crate::store::Store;
use crate::store::feedback::Feedback;

/// What is said of an answer. There is no place for a note: no content is stored.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GiveFeedback {
    /// The request's id, as `x-request-id` told it.
    request_id: Option<String>,
    /// `good` or `bad`: a score of 1 or 0.
    verdict: Option<Verdict>,
    /// How good it was, from 0 to 1, in the place of a verdict; kept in thousandths.
    #[schema(minimum = 0, maximum = 1)]
    score: Option<f64>,
}

/// A word for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// A score of 1.
    Good,
    /// A score of 0.
    Bad,
}

/// What is kept of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct FeedbackView {
    /// `feedback`.
    object: &'static str,
    /// The request.
    request_id: String,
    /// How good its answer was, 0 to 1.
    score: f64,
}

/// Keeps what is said; the last word counts.
pub(super) fn give(asked: &Asked<'_>, store: &Store) -> Result<Answer, Refusal> {
    Query::read(asked.query, &[])?;
    // A test key is made to be passed around, and its own requests have no rows.
    if asked.key.kind == KeyKind::Test {
        return Err(Refusal::new(RefusalKind::Forbidden, "feedback is given with a live key"));
    }
    let GiveFeedback { request_id, verdict, score } = read(asked.body)?;
    let id = request_id.ok_or_else(|| bad("request_id", "request_id is missing: x-request-id of the answer"))?;
    let quality = match (verdict, score) {
        (Some(verdict), None) => Quality::of_thousandths(if verdict == Verdict::Good { 1_000 } else { 0 }),
        (None, Some(share)) => Some(quality(share)?),
        (Some(_), Some(_)) | (None, None) => None,
    };
    let quality = quality.ok_or_else(|| bad("verdict", "say either verdict (good or bad) or score (0 to 1)"))?;
    let none = || not_found("there is no such request");
    let request_id = RequestId::parse(&id).ok_or_else(none)?;
    let feedback = Feedback { request_id, quality };
    if !store.give_feedback(asked.key.account.id, &feedback).map_err(refused)? {
        return Err(none());
    }
    let kept = f64::from(quality.thousandths()) / 1_000.0;
    json(200, &FeedbackView { object: "feedback", request_id: request_id.to_string(), score: kept })
}

fn quality(score: f64) -> Result<Quality, Refusal> {
    let refuse = || bad("score", "score must be a number from 0 to 1");
    if !(0.0..=1.0).contains(&score) {
        return Err(refuse());
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1,000")]
    let thousandths = libm::round(score * 1_000.0) as u16;
    Quality::of_thousandths(thousandths).ok_or_else(refuse)
}
