//! A turn of a conversation: what is remembered before it is answered, and after.
//!
//! Must not choose by itself: `classify::steady` says what becomes of the lane. Prices are those that the account pays.

use std::hash::Hasher;
use std::sync::Arc;
use std::time::Instant;

use super::Exchange;
use super::close::Settlement;
use super::conversations::{ConversationId, Conversations, Remembered};
use super::count::Purpose;
use super::request::Request;
use crate::base::money::NanoUsd;
use crate::base::outcome::Ending;
use crate::base::usage::Usage;
use crate::base::wish::WORD_LANES;
use crate::catalog::price::Circumstances;
use crate::catalog::{Chain, Route, Target};
use crate::classify::features::{FeatureInput, Features};
use crate::classify::opening;
use crate::classify::steady::{self, Held, Ladder};
use crate::plan::Plan;
use crate::settle;

/// What a turn would choose by itself.
pub(super) struct OwnChoice<'a> {
    pub(super) conversations: &'a Arc<Conversations>,
    pub(super) input: &'a FeatureInput<'a>,
    pub(super) features: &'a Features,
    /// The lane.
    pub(super) rank: usize,
    /// Whether it must be that.
    pub(super) is_certain: bool,
}

/// A turn that is at work.
#[derive(Debug)]
pub(super) struct Turn {
    conversations: Arc<Conversations>,
    id: ConversationId,
    /// What is to be remembered of the lane.
    pub(super) ladder: Ladder,
    /// The lane of the last turn, and the model that answered it.
    last: Option<(usize, Arc<str>)>,
}

impl Turn {
    /// The lane is another: what was waited for is over.
    pub(super) fn move_to(&mut self, rank: usize) {
        if self.ladder.lane != rank {
            self.ladder = Ladder { lane: rank, calm: 0, wanted: 0 };
        }
    }

    /// Puts the model of the last turn first, as long as the plan has it and the lane is the same.
    pub(super) fn keep_model(&self, plan: &mut Plan) {
        let Some((lane, model)) = &self.last else { return };
        let place = plan.planned().position(|target| *target.model.id == **model);
        if let (true, Some(place)) = (*lane == self.ladder.lane, place)
            && let Some(front) = plan.attempts.get_mut(..=place)
        {
            front.rotate_right(1);
        }
    }
}

impl Request {
    /// What becomes of the lane of the conversation that this is a turn of; nothing where none is remembered. The first
    /// turn of one that has no name is not looked up.
    pub(super) fn follow(&self, choice: &OwnChoice<'_>) -> (Option<Box<Turn>>, Option<Held>) {
        let OwnChoice { conversations, input, features, rank, is_certain } = *choice;
        if conversations.is_off() || !self.arrival.format.is_conversation() {
            return (None, None);
        }
        let session = self.arrival.asked.session.as_deref();
        let account = self.arrival.key.account.id;
        let id = conversations.id(account, session, |mut hasher: &mut dyn Hasher| opening::write(input, &mut hasher));
        let known = if features.messages > 1 || session.is_some() { conversations.recall(id) } else { None };
        let settings = self.snapshot.config.conversations;
        let turn = steady::Turn::new(rank, is_certain, features);
        let is_cache_dearer =
            |to| known.as_ref().is_some_and(|known| self.is_cache_dearer(known, to, features.prompt_tokens_estimate));
        let (ladder, held) =
            steady::step(known.as_ref().map(|known| known.ladder), turn, settings.calm_turns, is_cache_dearer);
        let last = known.as_ref().map(|known| (known.ladder.lane, Arc::clone(&known.model)));
        (Some(Box::new(Turn { conversations: Arc::clone(conversations), id, ladder, last })), held)
    }

    /// Whether leaving the prompt cache for a cheaper lane would cost the account more than it saves.
    fn is_cache_dearer(&self, known: &Remembered, to: usize, prompt_tokens: u64) -> bool {
        let Self { snapshot, arrival, .. } = self;
        if arrival.instant.saturating_duration_since(known.at) >= snapshot.config.conversations.cache {
            return false;
        }
        let catalog = &snapshot.catalog;
        let lane = |rank: usize| catalog.chain(Route::Lane(catalog.lane(WORD_LANES.get(rank)?)?));
        let (Some(here), Some(there)) = (lane(known.ladder.lane), lane(to)) else { return false };
        let at_model = here.targets.iter().find(|target| target.model.id == known.model);
        let at_first = there.targets.iter().find(|target| target.is_live(arrival.at));
        let (Some(at_model), Some(at_first)) = (at_model, at_first) else { return false };
        let (cached, output) = (known.prompt_tokens, known.output_tokens);
        let stays =
            Usage { cache_read: cached, input: prompt_tokens.saturating_sub(cached), output, ..Usage::default() };
        let goes = Usage { input: prompt_tokens.max(cached), output, ..Usage::default() };
        self.cost(here, at_model, &stays) < self.cost(there, at_first, &goes)
    }

    fn cost(&self, chain: &Chain, target: &Target, usage: &Usage) -> NanoUsd {
        let circumstances =
            Circumstances { at: self.arrival.at, region: target.provider.region_at(0), ..Circumstances::default() };
        settle::amounts(chain.rates.as_ref(), &target.model.price, usage, &circumstances).amount
    }
}

impl Exchange {
    /// Remembers the turn: who answered it, and how long its prompt was. Before the last byte leaves, so that the next
    /// turn finds it.
    pub(super) fn remember(&self, settlement: &Settlement, ending: Ending, now: Instant) {
        let is_answered = matches!(ending, Ending::Done | Ending::Capped | Ending::Left);
        let prompt_tokens = settlement.usage.prompt_total();
        let (Some(turn), Some(target)) = (&self.turn, self.target()) else { return };
        if self.arrival.purpose == Purpose::Count || !is_answered || prompt_tokens == 0 {
            return;
        }
        let remembered = Remembered {
            ladder: turn.ladder,
            model: Arc::clone(&target.model.id),
            at: now,
            prompt_tokens,
            output_tokens: settlement.usage.completion_total(),
        };
        turn.conversations.remember(turn.id, remembered);
    }
}
