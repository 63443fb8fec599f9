//! `flux-auto`: from a request and the wishes of those concerned to a lane.
//!
//! Must not know targets: whether a lane can serve is seen when it is planned, and then the nearest that can is taken.

use std::sync::Arc;

use super::conversations::Conversations;
use super::follow::{OwnChoice, Turn};
use super::makes_only_images;
use super::request::Request;
use crate::accounts::key::KeyState;
use crate::base::outcome::{AutoChoice, Routed};
use crate::base::quality::Quality;
use crate::base::wire_format::WireFormat;
use crate::base::wish::{LaneWish, WORD_LANES, rank_of};
use crate::catalog::{Catalog, Chain, LaneId, Route};
use crate::classify::features::FeatureInput;
use crate::classify::rules::LANES;
use crate::classify::{self, Decision, Reason, Terms};
use crate::plan::{Plan, PlanError};

/// The lane of those who ask for a picture and leave the model to us.
const IMAGE_LANE: &str = "flux-image";

/// A lane, and why.
#[derive(Debug)]
pub struct Chosen {
    pub(super) lane: LaneId,
    pub(super) told: AutoChoice,
    /// What the router saw; `None` where it was not asked.
    pub(super) routed: Option<Routed>,
    /// Its rank among the lanes that answer in words.
    rank: Option<usize>,
    /// The cheapest and the dearest lane that key or account allow.
    bounds: (usize, usize),
    wants_schema: bool,
    /// What rules and kind alone decided; `None` where they were not asked.
    decided: Option<&'static str>,
    /// The conversation that it is a turn of.
    pub(super) turn: Option<Box<Turn>>,
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
    /// Chooses a lane: certain things by rules, the rest by the kind of work, within the bounds of key and account, and
    /// as steadily as the conversation needs it. A picture's words go to the image lane; a client that cannot be shown
    /// pictures never does.
    pub fn choose(&self, conversations: &Arc<Conversations>) -> Chosen {
        let Self { snapshot, arrival, .. } = self;
        let catalog = &snapshot.catalog;
        if matches!(arrival.format, WireFormat::OpenaiImages | WireFormat::OpenaiImageEdits) {
            let lane = catalog.lane(IMAGE_LANE).unwrap_or_else(|| catalog.default_lane());
            let told = AutoChoice { gain_milli: 0, reason: Arc::from("endpoint"), disagreement: None };
            return Chosen::fixed(lane, told);
        }
        let wishes = Wishes::of(&arrival.key, arrival.asked.quality);
        let (input, terms) = self.classified();
        let decision = classify::classify(&snapshot.router, &input, &terms);
        let kind = snapshot.router.likeliest(&decision.mix);
        let mut chosen = Chosen::alone(catalog, arrival.format, &Decided::of(&decision, kind), &wishes);
        let Some(own) = chosen.rank else { return chosen };
        let is_certain = matches!(decision.reason, Reason::Rule(_)) || matches!(wishes.lane(), Some(LaneWish::Only(_)));
        let choice = OwnChoice { conversations, input: &input, features: &decision.features, rank: own, is_certain };
        let (turn, held) = self.follow(&choice);
        let followed = turn.as_ref().map_or(own, |turn| turn.ladder.lane);
        let rank = wishes.bound.map_or(followed, |bound| bound.held(followed));
        chosen.turn = turn;
        if let (Some(held), true) = (held, rank == followed) {
            chosen.told.reason = Arc::from(held.reason());
        }
        if let Some(lane) = WORD_LANES.get(rank).and_then(|name| catalog.lane(name)) {
            (chosen.lane, chosen.rank) = (lane, Some(rank));
        }
        chosen.note_rank(rank);
        chosen
    }

    /// Has the rules beside the first decide too, if there are any, and notes where they would go elsewhere. They look at
    /// the request alone: what conversations, keys and accounts make of a choice is the same for both.
    pub fn compare(&self, chosen: &mut Chosen) {
        let (Some(shadow), Some(first)) = (&self.snapshot.shadow, chosen.decided) else { return };
        let (input, terms) = self.classified();
        let second = lane_name(classify::classify(shadow, &input, &terms).lane);
        chosen.told.disagreement = second.filter(|second| *second != first).map(|second| [first, second]);
    }

    /// What is classified, and on which terms.
    fn classified(&self) -> (FeatureInput<'_>, Terms) {
        let Self { snapshot, arrival, head, body, task, .. } = self;
        let quality =
            Wishes::of(&arrival.key, arrival.asked.quality).quality.unwrap_or_else(|| snapshot.catalog.quality());
        let input = FeatureInput { task_type: *task, ..FeatureInput::of(arrival.format, head, body) };
        (input, Terms { quality: quality.share(), prices: snapshot.lane_prices })
    }
}

/// What is wished for, the request's own words first, then those of the key, then those of the account.
#[derive(Clone, Copy)]
pub(super) struct Wishes {
    pub(super) quality: Option<Quality>,
    bound: Option<Bound>,
}

impl Wishes {
    pub(super) fn of(key: &KeyState, asked: Option<Quality>) -> Self {
        let (own, account) = (key.settings.auto, key.account.contract().auto);
        let of = |wish: Option<LaneWish>, by| wish.map(|wish| Bound { wish, by });
        let bound = of(own.lane, "key").or_else(|| of(account.lane, "account"));
        Self { quality: asked.or(own.quality).or(account.quality), bound }
    }

    /// Of somebody without a key.
    pub(super) fn nobodys(asked: Option<Quality>) -> Self {
        Self { quality: asked, bound: None }
    }

    fn lane(&self) -> Option<LaneWish> {
        self.bound.map(|bound| bound.wish)
    }
}

/// What the router says of a request by itself.
#[derive(Clone, Copy)]
pub(super) struct Decided<'d> {
    pub(super) lane: &'d str,
    pub(super) reason: Reason<'d>,
    pub(super) kind: &'d str,
    pub(super) score: f32,
    pub(super) wants_schema: bool,
}

impl<'d> Decided<'d> {
    fn of(decision: &Decision<'d>, kind: &'d str) -> Self {
        let Decision { lane, reason, features, .. } = decision;
        Self { lane, reason: *reason, kind, score: decision.score(), wants_schema: features.has_json_schema }
    }
}

impl Chosen {
    /// A lane that nothing may move.
    fn fixed(lane: LaneId, told: AutoChoice) -> Self {
        Self { lane, told, routed: None, rank: None, bounds: (0, 0), wants_schema: false, decided: None, turn: None }
    }

    /// The lane of a request by itself, within the bounds of key and account. A client that cannot be shown pictures
    /// never goes to a lane that makes nothing else.
    pub(super) fn alone(catalog: &Catalog, format: WireFormat, decided: &Decided<'_>, wishes: &Wishes) -> Self {
        let told = |reason| AutoChoice { gain_milli: thousandths(decided.score), reason, disagreement: None };
        let (name, reason) = bounded(decided, wishes.bound);
        let rank = rank_of(name);
        let lane = catalog.lane(name).unwrap_or_else(|| catalog.default_lane());
        let is_mute = format == WireFormat::AnthropicMessages
            && catalog.chain(Route::Lane(lane)).is_some_and(|chain| makes_only_images(chain));
        let fixed = if is_mute {
            Self::fixed(catalog.default_lane(), told(Arc::from("format")))
        } else {
            Self::fixed(lane, told(reason))
        };
        Self {
            routed: Some(Routed::new(decided.kind, decided.score)),
            rank,
            bounds: wishes.lane().map_or((0, WORD_LANES.len() - 1), LaneWish::bounds),
            wants_schema: decided.wants_schema,
            decided: lane_name(decided.lane),
            ..fixed
        }
    }

    fn note_rank(&mut self, rank: usize) {
        if let Some(turn) = &mut self.turn {
            turn.move_to(rank);
        }
    }

    /// Plans the lane. If none of its targets takes the prompt or has what the request needs, the nearest lane that has
    /// one takes its place, a dearer one before a cheaper. `plan` is told whether an answer by a schema must be promised:
    /// where no lane does, it is asked for all the same. Where none can, the first says why, unless it may not serve at all.
    pub(super) fn plan<'c>(
        &mut self,
        catalog: &'c Catalog,
        plan: impl Fn(&Arc<Chain>, bool) -> Result<Plan, PlanError>,
    ) -> Option<(&'c Arc<Chain>, Result<Plan, PlanError>)> {
        let chain = catalog.chain(Route::Lane(self.lane))?;
        let first = plan(chain, self.wants_schema);
        let (Err(error), Some(rank)) = (&first, self.rank) else { return Some((chain, first)) };
        let reason = match error {
            PlanError::Lacks { .. } | PlanError::ForOthers => "fit:needs",
            PlanError::ContextTooLong { .. } => "fit:context",
            PlanError::NotAllowed | PlanError::NotPreferred { .. } => "fit:provider",
            // Whoever leaves the choice to us does not care which of our lanes is ill.
            PlanError::AllAway { .. } => "fit:health",
            PlanError::NothingConfigured | PlanError::OtherFormats { .. } => return Some((chain, first)),
        };
        let mut told = (chain, first);
        for must_promise in [self.wants_schema, false] {
            for other in nearest(rank, self.bounds) {
                let Some(lane) = WORD_LANES.get(other).and_then(|name| catalog.lane(name)) else { continue };
                let chain = catalog.chain(Route::Lane(lane))?;
                let planned = plan(chain, must_promise);
                if planned.is_err() {
                    if is_closed(&told.1) && !is_closed(&planned) {
                        told = (chain, planned);
                    }
                    continue;
                }
                if other != rank {
                    self.lane = lane;
                    self.told.reason = Arc::from(reason);
                    self.note_rank(other);
                }
                return Some((chain, planned));
            }
        }
        Some(told)
    }
}

/// Whether nobody of a lane may or can serve whoever asks. Why another lane serves this request not is then what matters.
fn is_closed(planned: &Result<Plan, PlanError>) -> bool {
    matches!(planned, Err(PlanError::NotAllowed | PlanError::NothingConfigured))
}

/// The lane itself, the dearer ones from the nearest, and the cheaper ones likewise, within bounds.
fn nearest(rank: usize, (cheapest, dearest): (usize, usize)) -> impl Iterator<Item = usize> {
    (rank..WORD_LANES.len()).chain((0..rank).rev()).filter(move |other| (cheapest..=dearest).contains(other))
}

/// A lane's name as the rules know it, for labels.
fn lane_name(lane: &str) -> Option<&'static str> {
    LANES.into_iter().find(|known| *known == lane)
}

/// The lane's name and the reason, within a bound. A lane that must be is that in any case; lanes beside those that
/// answer in words know no cheaper or dearer.
fn bounded<'d>(decided: &Decided<'d>, bound: Option<Bound>) -> (&'d str, Arc<str>) {
    let rank = rank_of(decided.lane);
    let held = match (bound, rank) {
        (Some(bound @ Bound { wish: LaneWish::Only(_), .. }), rank) => Some((bound.held(rank.unwrap_or(0)), bound.by)),
        (Some(bound), Some(rank)) if bound.held(rank) != rank => Some((bound.held(rank), bound.by)),
        (Some(_) | None, _) => None,
    };
    match held.and_then(|(rank, by)| Some((*WORD_LANES.get(rank)?, by))) {
        Some((lane, by)) => (lane, Arc::from(by)),
        None => (decided.lane, told(decided.reason)),
    }
}

fn told(reason: Reason<'_>) -> Arc<str> {
    match reason {
        Reason::Rule(name) | Reason::Bound(name) => format!("rule:{name}").into(),
        Reason::Kind(name) => format!("kind:{name}").into(),
    }
}

fn thousandths(share: f32) -> i16 {
    #[expect(clippy::cast_possible_truncation, reason = "it is from -1000 to 1000")]
    let milli = (share.clamp(-1.0, 1.0) * 1_000.0).round() as i16;
    milli
}
