//! `GET /v1/status`: how providers and their models are doing, for everyone; `GET /status`: the same to look at.
//!
//! Must not tell a key, an address, or anything of an account: states, times and shares, nothing else.

use std::time::Instant;

use serde::Serialize;
use utoipa::ToSchema;

use super::{Answer, json};
use crate::base::refusal::Refusal;
use crate::base::time::UnixMs;
use crate::catalog::provider::{Access, Provider};
use crate::catalog::{Catalog, Target};
use crate::exchange::live;
use crate::exchange::snapshot::Snapshot;
use crate::health::breaker::State;
use crate::health::probes::Fitness;
use crate::health::{Bounds, Health, Moment};

/// One page without anything from elsewhere; it asks for the status itself.
const PAGE: &str = include_str!("page.html");

/// How the providers are doing.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatusView {
    /// `ok`; `degraded` while something is passed over; `down` while nothing may be asked.
    pub status: &'static str,
    /// When this was.
    pub at: String,
    /// Whether the built-in mock stands in for all providers.
    pub is_mock: bool,
    /// The providers that are configured, by their ids.
    pub providers: Vec<ProviderView>,
}

/// A provider.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProviderView {
    /// Its id.
    pub id: String,
    /// For people.
    pub name: String,
    /// `well`, or what keeps all its keys and addresses from being asked: `ill`, `misconfigured`, `resting`.
    pub state: &'static str,
    /// Its keys and addresses, which are not told.
    pub accesses: Vec<AccessView>,
    /// Its models that can be asked for.
    pub models: Vec<ModelView>,
}

/// One key of a provider at one of its addresses.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccessView {
    /// Its number.
    pub name: String,
    /// `well`; `ill`: it does not answer; `misconfigured`: its key is refused; `resting`: a limit of its key was reached.
    pub state: &'static str,
    /// Since when it is well, ill or misconfigured; null: since the start.
    pub since: Option<String>,
    /// Until when it rests; null: it does not.
    pub rests_until: Option<String>,
    /// Attempts under way.
    pub in_flight: u32,
}

/// A model at its provider.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelView {
    /// `provider/model`.
    pub id: String,
    /// Of its breaker: `closed`: it is asked; `open`: it is passed over; `half_open`: one attempt is, or will be, the
    /// trial.
    pub state: &'static str,
    /// Since when; null: since the start.
    pub since: Option<String>,
    /// When it may be asked again; null: now.
    pub asked_again_at: Option<String>,
    /// Attempts of the window (`health.window_ms`) that say something of the provider.
    pub attempts: u64,
    /// The part of them that failed by the provider's fault, from 0 to 1.
    pub error_rate: f64,
    /// The time to the first token of streams, in the middle of the latest; null while there are too few.
    pub first_token_p50_ms: Option<u64>,
    /// How often its breaker has opened.
    pub trips: u64,
}

/// The page.
pub fn page() -> Answer {
    const HTML: &str = "text/html; charset=utf-8";
    Answer { status: 200, content_type: HTML, body: PAGE.into(), next_cursor: None }
}

/// The status as JSON.
///
/// # Errors
/// When it cannot be written, which cannot be.
pub fn answer(health: &Health, snapshot: &Snapshot, now: Instant, at: UnixMs) -> Result<Answer, Refusal> {
    json(200, &view(health, snapshot, now, at))
}

/// The status.
pub fn view(health: &Health, snapshot: &Snapshot, now: Instant, at: UnixMs) -> StatusView {
    let seen = Seen { health, bounds: &snapshot.config.health, now: health.moment(now) };
    let targets = targets(&snapshot.catalog, at);
    let mut providers: Vec<&Provider> = targets.iter().map(|target| &*target.provider).collect();
    providers.dedup_by_key(|provider| &provider.id);
    let providers: Vec<ProviderView> = providers
        .into_iter()
        .map(|provider| {
            let of_it = targets.iter().filter(|target| target.provider.id == provider.id);
            seen.provider(provider, of_it.map(|target| seen.model(target)).collect())
        })
        .collect();
    let is_well = |provider: &ProviderView| provider.state == "well";
    let is_asked = |model: &ModelView| model.state != "open";
    let status = if providers.iter().all(|one| is_well(one) && one.models.iter().all(|model| model.state == "closed")) {
        "ok"
    } else if providers.iter().any(|one| is_well(one) && one.models.iter().any(is_asked)) {
        "degraded"
    } else {
        "down"
    };
    StatusView { status, at: at.rfc3339(), is_mock: snapshot.catalog.has_stand_in(), providers }
}

/// All targets that could be asked, by provider and model, each once.
fn targets(catalog: &Catalog, at: UnixMs) -> Vec<&Target> {
    let chains = catalog.lanes().iter().chain(catalog.pins());
    let mut targets: Vec<&Target> = chains.flat_map(|chain| &chain.targets).map(|target| &**target).collect();
    targets.retain(|target| target.is_live(at));
    targets.sort_by(|one, other| (&one.provider.id, &one.model.id).cmp(&(&other.provider.id, &other.model.id)));
    targets.dedup_by_key(|target| &target.model.id);
    targets
}

/// The state at one moment.
struct Seen<'a> {
    health: &'a Health,
    bounds: &'a Bounds,
    now: Moment,
}

impl Seen<'_> {
    /// `None` for the beginning, of which nothing is known.
    fn date(&self, moment: Moment) -> Option<String> {
        (moment > Moment(0)).then(|| self.health.date(moment).rfc3339())
    }

    fn provider(&self, provider: &Provider, models: Vec<ModelView>) -> ProviderView {
        let accesses: Vec<AccessView> = provider.accesses.iter().map(|access| self.access(access)).collect();
        let worst = ["well", "resting", "ill"].into_iter();
        let state = worst.into_iter().find(|state| accesses.iter().any(|access| access.state == *state));
        ProviderView {
            id: provider.id.to_string(),
            name: provider.name.to_string(),
            state: state.unwrap_or("misconfigured"),
            accesses,
            models,
        }
    }

    fn access(&self, access: &Access) -> AccessView {
        let name = access.name.to_string();
        let Some(live) = live::of_access(self.health, access) else {
            return AccessView { name, state: "well", since: None, rests_until: None, in_flight: 0 };
        };
        let rests_until = Some(live.rests_until()).filter(|until| *until > self.now);
        let is_away = !matches!(live.breaker.state(self.now), State::Closed | State::Due);
        let (state, since) = match live.probes.fitness() {
            Fitness::Misconfigured => ("misconfigured", live.probes.since()),
            Fitness::Ill => ("ill", live.probes.since()),
            Fitness::Well if is_away => ("ill", live.breaker.since()),
            Fitness::Well if rests_until.is_some() => ("resting", live.probes.since()),
            Fitness::Well => ("well", live.probes.since().max(live.breaker.since())),
        };
        let rests_until = rests_until.and_then(|until| self.date(until));
        AccessView { name, state, since: self.date(since), rests_until, in_flight: live.in_flight() }
    }

    fn model(&self, target: &Target) -> ModelView {
        let id = target.model.id.to_string();
        let Some(live) = live::of_target(self.health, target) else {
            let (state, since, asked_again_at, first_token_p50_ms) = ("closed", None, None, None);
            return ModelView {
                id,
                state,
                since,
                asked_again_at,
                attempts: 0,
                error_rate: 0.0,
                first_token_p50_ms,
                trips: 0,
            };
        };
        let (state, until) = match live.breaker.state(self.now) {
            State::Closed => ("closed", None),
            State::Open { until, .. } => ("open", Some(until)),
            State::Due | State::Trial { .. } => ("half_open", None),
        };
        let counts = live.breaker.counts(self.now, &self.bounds.breaker);
        ModelView {
            id,
            state,
            since: self.date(live.breaker.since()),
            asked_again_at: until.and_then(|until| self.date(until)),
            attempts: counts.all,
            error_rate: part(counts.errors, counts.all),
            first_token_p50_ms: live.first_token.median_ms(),
            trips: live.breaker.trips(),
        }
    }
}

/// To three places: more would claim to know more.
fn part(of: u64, all: u64) -> f64 {
    let milli = of.saturating_mul(1_000).checked_div(all).unwrap_or(0);
    f64::from(u32::try_from(milli).unwrap_or(1_000)) / 1_000.0
}
