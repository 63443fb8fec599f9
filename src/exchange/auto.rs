//! `flux-auto`: from a request and the wishes of those concerned to a lane.
//!
//! Must not know targets: whether a lane can serve is seen when it is planned.

use std::sync::Arc;

use super::makes_only_images;
use super::request::Request;
use crate::base::outcome::AutoChoice;
use crate::base::wish::{AutoWish, LaneWish, WORD_LANES};
use crate::base::wire_format::WireFormat;
use crate::catalog::{LaneId, Route};
use crate::classify::features::FeatureInput;
use crate::classify::{self, Decision, Reason, Terms};

/// The lane of those who ask for a picture and leave the model to us.
const IMAGE_LANE: &str = "flux-image";

/// A lane, and why.
#[derive(Debug)]
pub struct Chosen {
    pub(super) lane: LaneId,
    pub(super) told: AutoChoice,
}

/// A wish for lanes, and whose it is.
#[derive(Clone, Copy)]
struct Bound {
    wish: LaneWish,
    /// `key` or `account`.
    by: &'static str,
}

impl Bound {
    /// The lane within the bound that is nearest to `rank`.
    fn held(self, rank: usize) -> usize {
        let (cheapest, dearest) = self.wish.bounds();
        rank.clamp(cheapest, dearest)
    }
}

impl Request {
    /// Chooses a lane: certain things by rules, the rest by the kind of work, within the bounds of key and account. A
    /// picture's words go to the image lane; a client that cannot be shown pictures never does.
    pub fn choose(&self) -> Chosen {
        let Self { snapshot, arrival, head, body, .. } = self;
        let catalog = &snapshot.catalog;
        if matches!(arrival.format, WireFormat::OpenaiImages | WireFormat::OpenaiImageEdits) {
            let lane = catalog.lane(IMAGE_LANE).unwrap_or_else(|| catalog.default_lane());
            return Chosen { lane, told: AutoChoice { gain_milli: 0, reason: Arc::from("endpoint") } };
        }
        let (wish, bound) = self.wishes();
        let quality = wish.quality.unwrap_or_else(|| catalog.quality()).share();
        let terms = Terms { quality, prices: snapshot.lane_prices };
        let decision = classify::classify(&snapshot.router, &FeatureInput::of(arrival.format, head, body), &terms);
        let (name, reason) = bounded(&decision, bound);
        let lane = catalog.lane(name).unwrap_or_else(|| catalog.default_lane());
        let is_mute = arrival.format == WireFormat::AnthropicMessages
            && catalog.chain(Route::Lane(lane)).is_some_and(|chain| makes_only_images(chain));
        let (lane, reason) = if is_mute { (catalog.default_lane(), Arc::from("format")) } else { (lane, reason) };
        Chosen { lane, told: AutoChoice { gain_milli: thousandths(decision.score()), reason } }
    }

    /// What is wished for, the request's own words first, then those of the key, then those of the account.
    fn wishes(&self) -> (AutoWish, Option<Bound>) {
        let key = self.arrival.key.settings.auto;
        let account = self.arrival.key.account.contract().auto;
        let quality = self.arrival.asked.quality.or(key.quality).or(account.quality);
        let of = |wish: Option<LaneWish>, by| wish.map(|wish| Bound { wish, by });
        let bound = of(key.lane, "key").or_else(|| of(account.lane, "account"));
        (AutoWish { quality, lane: bound.map(|bound| bound.wish) }, bound)
    }
}

/// The lane's name and the reason, within a bound. A lane that must be is that in any case; lanes beside those that
/// answer in words know no cheaper or dearer.
fn bounded<'d>(decision: &Decision<'d>, bound: Option<Bound>) -> (&'d str, Arc<str>) {
    let rank = WORD_LANES.iter().position(|name| *name == decision.lane);
    let held = match (bound, rank) {
        (Some(bound @ Bound { wish: LaneWish::Only(_), .. }), rank) => Some((bound.held(rank.unwrap_or(0)), bound.by)),
        (Some(bound), Some(rank)) if bound.held(rank) != rank => Some((bound.held(rank), bound.by)),
        (Some(_) | None, _) => None,
    };
    match held.and_then(|(rank, by)| Some((*WORD_LANES.get(rank)?, by))) {
        Some((lane, by)) => (lane, Arc::from(by)),
        None => (decision.lane, told(decision.reason)),
    }
}

fn told(reason: Reason<'_>) -> Arc<str> {
    match reason {
        Reason::Rule(name) => format!("rule:{name}").into(),
        Reason::Kind(name) => format!("kind:{name}").into(),
    }
}

fn thousandths(share: f32) -> i16 {
    #[expect(clippy::cast_possible_truncation, reason = "it is from -1000 to 1000")]
    let milli = (share.clamp(-1.0, 1.0) * 1_000.0).round() as i16;
    milli
}
