//! An attempt and the state of health: how a target stands, by which access it is asked, what came of it.
//!
//! Must not know sockets or clocks. The only place that tells `health` of attempts: whatever way one ends, it is reported
//! here once, or given back as the value that stands for it is dropped.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use super::count::Purpose;
use super::retry::{Blame, Failure};
use super::{Arrival, Exchange, half};
use crate::base::preference::Sort;
use crate::catalog::provider::{Access, Provider};
use crate::catalog::{Catalog, MOCK_ID, Target};
use crate::health::access::{AccessLive, UnderWay};
use crate::health::breaker::{Pass, State, Verdict};
use crate::health::choice::{Candidate, choose};
use crate::health::places::{Place, Turn};
use crate::health::{Bounds, Health, InUse, Moment, ProviderLive, Standing, TargetLive, redrawn};

/// Accesses that are weighed without an allocation.
const ACCESSES_INLINE: usize = 4;

/// Fewer tokens say nothing of how fast they come.
const PACE_TOKENS_MIN: u64 = 16;

/// An attempt that runs. Gives back what it holds as it is dropped.
#[derive(Debug)]
pub(super) struct Running {
    /// Which of the provider's accesses.
    pub(super) access: usize,
    target: Arc<TargetLive>,
    under_way: UnderWay,
    /// `None` once it has been reported.
    passes: Option<Passes>,
    begun: Moment,
    /// Taken for as long as the attempt runs.
    _place: Option<Place>,
}

/// What let an attempt go.
#[derive(Clone, Copy, Debug)]
struct Passes {
    target: Pass,
    /// `None` where the provider has one access: what is wrong there is wrong with the target.
    access: Option<Pass>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(passes) = self.passes.take() {
            self.give_back(passes);
        }
    }
}

impl Running {
    fn give_back(&self, Passes { target, access }: Passes) {
        self.target.breaker.give_back(target);
        if let Some(access) = access {
            self.under_way.access().breaker.give_back(access);
        }
    }
}

/// What came of asking for leave.
#[derive(Debug)]
pub(super) enum Entry {
    /// The attempt may go.
    In(Box<Running>),
    /// Not before then.
    Away(Moment),
    /// The provider has no place left.
    Full,
}

impl Entry {
    fn away(standing: Option<Standing>, now: Moment) -> Self {
        match standing {
            Some(Standing::Away { until, .. }) => Self::Away(until),
            Some(Standing::Well | Standing::Doubtful) | None => Self::Away(now),
        }
    }
}

/// What a request must have come to for an attempt to go to a target.
#[derive(Debug, Default)]
pub(super) struct Wish {
    /// Accesses that this request has tried, a bit each.
    pub(super) tried: u64,
    /// A place that was waited for.
    pub(super) place: Option<Place>,
    /// Whether the same target was asked just before: then an open breaker holds.
    pub(super) is_again: bool,
}

/// The live state of a target; found once after a reload.
pub fn of_target<'a>(health: &Health, target: &'a Target) -> Option<&'a Arc<TargetLive>> {
    target.live.get_or_make(|| health.target(&target_id(target)))
}

/// The live state of an access.
pub fn of_access<'a>(health: &Health, access: &'a Access) -> Option<&'a Arc<AccessLive>> {
    access.live.get_or_make(|| health.access(&access.id))
}

/// The live state of a provider.
pub fn of_provider<'a>(health: &Health, provider: &'a Provider) -> Option<&'a Arc<ProviderLive>> {
    provider.live.get_or_make(|| health.provider(&provider.id))
}

/// Has `health` forget what this catalogue does not name.
pub fn forget_others(health: &Health, catalog: &Catalog) {
    let chains = || catalog.lanes().iter().chain(catalog.pins());
    let targets = || chains().flat_map(|chain| chain.targets.iter());
    let ids: Vec<String> = targets().map(|target| target_id(target)).collect();
    let providers = || catalog.providers().iter().chain(targets().map(|target| &target.provider));
    health.keep_only(&InUse {
        targets: ids.iter().map(String::as_str).collect(),
        accesses: providers().flat_map(|provider| &provider.accesses).map(|access| &*access.id).collect(),
        providers: providers().map(|provider| &*provider.id).collect::<HashSet<_>>(),
    });
}

/// The bit of an access among those of its provider.
pub(super) fn bit(access: usize) -> u64 {
    1 << access.min(63)
}

/// A model is named with its provider; what the mock serves in its place is another target.
fn target_id(target: &Target) -> String {
    if target.is_on_mock() { format!("mock:{}", target.model.id) } else { target.model.id.to_string() }
}

/// Whether attempts of a request should go to a target. A question for a count is no answer of a model, and says nothing
/// of one.
pub(super) fn standing_for(
    arrival: &Arrival,
    region: Option<&str>,
    bounds: &Bounds,
    now: Moment,
) -> impl Fn(&Target) -> Standing {
    let is_watched = bounds.passes_over && arrival.purpose == Purpose::Answer;
    move |target| if is_watched { standing(&arrival.health, target, region, now) } else { Standing::Well }
}

/// How a target stands for requests that are to stay in a region; `None` for all.
pub fn standing(health: &Health, target: &Target, region: Option<&str>, now: Moment) -> Standing {
    let Some(live) = of_target(health, target) else { return Standing::Well };
    let of_breaker = Standing::of_breaker(live.breaker.state(now), now);
    of_breaker.unwrap_or_else(|| of_accesses(health, &target.provider, elsewhere(&target.provider, region), now))
}

/// How long a target takes, as requests of late have found it: to the first token of a stream, or for a thousand tokens.
/// `None` where nothing is known, and for what nobody measures.
pub fn pace(health: &Health, target: &Target, by: Sort, now: Moment) -> Option<u64> {
    let live = of_target(health, target)?;
    match by {
        Sort::Latency => live.wait.recent_us(now),
        Sort::Throughput => live.pace.recent_us(now),
        Sort::Price => None,
    }
}

/// The accesses outside a region, a bit each; none where any will do. The mock stands for any address.
fn elsewhere(provider: &Provider, region: Option<&str>) -> u64 {
    let Some(region) = region.filter(|_| &*provider.id != MOCK_ID) else { return 0 };
    let others = provider.accesses.iter().enumerate().filter(|(_, access)| *access.region != *region);
    others.fold(0, |others, (index, _)| others | bit(index))
}

/// How the best access of a provider stands, but for those that are barred, a bit each.
pub fn of_accesses(health: &Health, provider: &Provider, barred: u64, now: Moment) -> Standing {
    let mut best: Option<Standing> = None;
    let accesses = provider.accesses.iter().enumerate().filter(|(index, _)| barred & bit(*index) == 0);
    for (_, access) in accesses {
        let standing = of_access(health, access).map_or(Standing::Well, |live| live.standing(now));
        best = match (best, standing) {
            (_, Standing::Well) => return Standing::Well,
            (Some(Standing::Doubtful), _) | (_, Standing::Doubtful) => Some(Standing::Doubtful),
            (Some(Standing::Away { until, .. }), Standing::Away { until: other, .. }) if until <= other => best,
            (_, away @ Standing::Away { .. }) => Some(away),
        };
    }
    best.unwrap_or(Standing::Well)
}

impl Running {
    /// Within how many milliseconds so many of a hundred first tokens came; `None` while that is not known.
    pub(super) fn first_token_ms(&self, percent: u32) -> Option<u64> {
        self.target.first_token.quantile_ms(percent)
    }
}

impl Exchange {
    fn bounds(&self) -> &Bounds {
        &self.snapshot.config.health
    }

    fn moment(&self, now: Instant) -> Moment {
        self.arrival.health.moment(now)
    }

    /// A random number that no other attempt has: request ids are random, and attempts are counted.
    pub(super) fn draw(&self) -> u64 {
        redrawn(half(self.arrival.id) ^ u64::from(self.attempts.started))
    }

    /// Asks for leave to make an attempt at a target. `None` where nobody keeps count: for test keys, and for counts.
    pub(super) fn enter(&self, target: &Arc<Target>, wish: Wish, now: Instant) -> Option<Entry> {
        if self.is_test() || self.arrival.purpose == Purpose::Count {
            return None;
        }
        let (health, bounds, now) = (&self.arrival.health, self.bounds(), self.moment(now));
        let live = of_target(health, target)?;
        let place = match self.place_at(&target.provider, wish.place) {
            Ok(place) => place,
            Err(full) => return Some(full),
        };
        let barred = wish.tried | self.elsewhere(&target.provider);
        let Some(access) = self.choose_access(&target.provider, barred, now) else {
            return Some(Entry::away(Some(of_accesses(health, &target.provider, barred, now)), now));
        };
        let pass = match live.breaker.enter(now, &bounds.breaker) {
            Ok(pass) => pass,
            Err(state) if self.goes_as_last_resort(state, wish.is_again) => Pass::LastResort,
            Err(state) => return Some(Entry::away(Standing::of_breaker(state, now), now)),
        };
        let access_live = of_access(health, target.provider.accesses.get(access)?)?;
        let has_several = target.provider.accesses.len() > 1;
        let access_pass =
            has_several.then(|| access_live.breaker.enter(now, &bounds.breaker).unwrap_or(Pass::LastResort));
        Some(Entry::In(Box::new(Running {
            access,
            target: Arc::clone(live),
            under_way: access_live.begin(),
            passes: Some(Passes { target: pass, access: access_pass }),
            begun: now,
            _place: place,
        })))
    }

    /// An open breaker is asked where nothing else is left that has not failed, at the cost of a retry, unless the
    /// provider has named a time.
    fn goes_as_last_resort(&self, state: State, is_again: bool) -> bool {
        if !self.bounds().passes_over {
            return true;
        }
        if is_again {
            return false;
        }
        let is_asked = matches!(state, State::Open { is_asked: true, .. });
        self.attempts.started > 0 && !is_asked && self.arrival.health.budget.take(self.bounds().retry_reserve)
    }

    fn place_at(&self, provider: &Provider, waited_for: Option<Place>) -> Result<Option<Place>, Entry> {
        if waited_for.is_some() || provider.concurrent_max == 0 {
            return Ok(waited_for);
        }
        let Some(live) = of_provider(&self.arrival.health, provider) else { return Ok(None) };
        live.places.take(provider.concurrent_max).map(Some).ok_or(Entry::Full)
    }

    /// The accesses outside the region that the request is to stay in, a bit each.
    fn elsewhere(&self, provider: &Provider) -> u64 {
        elsewhere(provider, self.region.as_deref())
    }

    /// By which access a target is asked of which nobody keeps count.
    pub(super) fn uncounted_access(&self, provider: &Provider) -> usize {
        let elsewhere = self.elsewhere(provider);
        (0..provider.accesses.len()).find(|index| elsewhere & bit(*index) == 0).unwrap_or_default()
    }

    fn choose_access(&self, provider: &Provider, barred: u64, now: Moment) -> Option<usize> {
        let is_free = |index: usize| barred & bit(index) == 0;
        let mut candidates: SmallVec<[Candidate<'_>; ACCESSES_INLINE]> = SmallVec::new();
        for (index, access) in provider.accesses.iter().enumerate() {
            let live = of_access(&self.arrival.health, access)?;
            candidates.push(Candidate { live, weight: access.weight, is_free: is_free(index) });
        }
        let chosen = choose(&candidates, now, self.draw());
        let any = || candidates.iter().position(|candidate| candidate.is_free);
        if self.bounds().passes_over { chosen } else { chosen.or_else(any) }
    }

    /// A place in the queue of a provider; `None` where the queue is full.
    pub(super) fn line_up(&self, provider: &Provider) -> Option<Turn> {
        let live = of_provider(&self.arrival.health, provider)?;
        let turn = live.places.line_up(provider.concurrent_max, self.bounds().queue_max);
        if turn.is_none() {
            live.turn_away();
        }
        turn
    }

    /// The accesses of the current target that may do better after this failure; those that are not are marked as tried.
    pub(super) fn worth_another_access(&self, failure: Failure) -> Option<u64> {
        let current = self.leg.current.as_ref()?;
        let running_at = self.leg.access;
        let accesses = &current.target.provider.accesses;
        let is_worth = |index: usize, access: &Access| match failure.blame() {
            Blame::Limit | Blame::Key => index != running_at,
            Blame::Address => current.has_other_address(running_at, access),
            Blame::Target | Blame::Nobody => false,
        };
        let others = accesses.iter().enumerate().filter(|(index, access)| !is_worth(*index, access));
        let barred = self.leg.tried | self.elsewhere(&current.target.provider);
        let unfit = others.fold(barred, |unfit, (index, _)| unfit | bit(index));
        let all = (0..accesses.len()).fold(0_u64, |all, index| all | bit(index));
        (accesses.len() > 1 && unfit & all != all).then_some(unfit)
    }

    /// Whether the provider of the current target has another address that this request has not asked, be it that it may
    /// not: then a failure of this one says nothing of the model there.
    fn has_untried_address(&self) -> bool {
        let Some(current) = &self.leg.current else { return false };
        let accesses = &current.target.provider.accesses;
        let is_untried = |index: usize| self.leg.tried & bit(index) == 0;
        let mut others = accesses.iter().enumerate();
        others.any(|(index, access)| is_untried(index) && current.has_other_address(self.leg.access, access))
    }

    /// The current attempt failed.
    pub(super) fn report_failure(&mut self, failure: Failure, now: Instant) {
        let wait = self.leg.wait_told.take();
        let (moment, draw) = (self.moment(now), self.draw());
        let Some(mut running) = self.leg.running.take() else { return };
        let bounds = *self.bounds();
        let mut passes = running.passes.take();
        let access = running.under_way.access();
        let wait_ms = wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        let blame = failure.blame();
        let is_of_address = blame == Blame::Address && self.has_untried_address();
        // Of a failure after content nothing is left to be given back.
        if !matches!(blame, Blame::Target | Blame::Address)
            && let Some(passes) = passes.take()
        {
            running.give_back(passes);
        }
        match blame {
            Blame::Target | Blame::Address if is_of_address => {
                let passes = passes.unwrap_or(Passes { target: Pass::Usual, access: Some(Pass::Usual) });
                running.target.breaker.give_back(passes.target);
                if let Some(wait_ms) = wait_ms {
                    access.breaker.ask(moment.plus(wait_ms));
                }
                let pass = passes.access.unwrap_or(Pass::Usual);
                access.breaker.report(pass, Verdict::Fault, moment, (&bounds.breaker, draw));
            }
            Blame::Target | Blame::Address => {
                if let Some(wait_ms) = wait_ms {
                    running.target.breaker.ask(moment.plus(wait_ms));
                }
                let passes = passes.unwrap_or(Passes { target: Pass::Usual, access: None });
                running.target.breaker.report(passes.target, Verdict::Fault, moment, (&bounds.breaker, draw));
                match passes.access {
                    Some(pass) if blame == Blame::Address => {
                        access.breaker.report(pass, Verdict::Fault, moment, (&bounds.breaker, draw));
                    }
                    Some(pass) => access.breaker.give_back(pass),
                    None => {}
                }
            }
            Blame::Limit => access.limit(wait_ms, moment, (&bounds.breaker, bounds.key_rest_ms), draw),
            Blame::Key => access.probes.note_key(false, moment),
            Blame::Nobody => {}
        }
    }

    /// Content has come: whatever follows, the target answers.
    pub(super) fn report_success(&mut self, now: Instant) {
        let (moment, draw, is_streamed) = (self.moment(now), self.draw(), self.is_streamed());
        let bounds = *self.bounds();
        let Some(running) = &mut self.leg.running else { return };
        let Some(Passes { target, access }) = running.passes.take() else { return };
        let took_ms = moment.0.saturating_sub(running.begun.0);
        let verdict = if is_streamed {
            running.target.wait.observe(took_ms, moment);
            running.target.judge_first_token(took_ms, &bounds)
        } else {
            Verdict::Good
        };
        running.target.breaker.report(target, verdict, moment, (&bounds.breaker, draw));
        let live = running.under_way.access();
        live.answered(took_ms, moment);
        if let Some(pass) = access {
            live.breaker.report(pass, Verdict::Good, moment, (&bounds.breaker, draw));
        }
    }

    /// An attempt that was later than nearly all others was overtaken. It counts as a late one, and the time that it has
    /// run as one that its target takes at least: without both, a target that hangs would seem well, and the quicker the
    /// more it is hedged. A trial is free for the next: nothing has answered it.
    pub(super) fn report_overtaken(&self, mut running: Running, now: Instant) {
        let (moment, bounds) = (self.moment(now), &self.bounds().breaker);
        let ran_ms = moment.0.saturating_sub(running.begun.0);
        running.target.first_token.observe(ran_ms);
        running.target.wait.observe(ran_ms, moment);
        let Some(passes) = running.passes.take() else { return };
        if passes.target == Pass::Usual {
            running.target.breaker.report(Pass::Usual, Verdict::Slow, moment, (bounds, self.draw()));
        }
        running.give_back(passes);
    }

    /// So many tokens came after the first content, in so long.
    pub(super) fn report_pace(&self, output_tokens: u64, took: Duration, now: Instant) {
        if let (Some(running), true) = (&self.leg.running, output_tokens >= PACE_TOKENS_MIN) {
            let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            // Of a thousand tokens in milliseconds what is of one in microseconds.
            running.target.pace.observe(took_us / output_tokens, self.moment(now));
        }
    }

    /// The provider says that the key has nothing left for so long.
    pub(super) fn rest_key(&self, wait: Duration, now: Instant) {
        if let Some(running) = &self.leg.running {
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            running.under_way.access().rest_until(self.moment(now).plus(wait_ms));
        }
    }

    /// By which access of its provider the current target is asked.
    pub fn access_place(&self) -> usize {
        self.leg.access
    }

    /// How long until one of the targets that were passed over may be asked.
    pub(super) fn wait_until(&self, then: Moment, now: Instant) -> Duration {
        self.moment(now).until(then)
    }
}
