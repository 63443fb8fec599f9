//! One request as a state machine: events in (body, head, chunk, end, left), what to do out.
//!
//! The only place that knows the order of the steps. Must not know sockets, clocks or disks: time
//! comes in as an argument, and the one thing that must be durable, the charge, goes out through a
//! function that the shell hands in.

pub mod answer;
pub mod attempts;
pub mod auto;
mod capped;
mod close;
pub mod conversations;
pub mod count;
mod counted;
pub mod deny;
mod follow;
pub mod hedge;
mod leg;
pub mod live;
mod needs;
mod outgoing;
pub mod prefer;
pub mod preview;
pub mod request;
mod reserve;
pub mod retry;
pub mod route;
mod share;
pub mod snapshot;
mod translated;
mod translation;

use std::sync::{Arc, LazyLock};
use std::time::Instant;

use bytes::Bytes;

use crate::accounts::key::{KeyKind, KeyState};
use crate::admit::Admission;
use crate::base::ids::RequestId;
use crate::base::outcome::{AutoChoice, Routed};
use crate::base::preference::{Preference, ProviderBounds};
use crate::base::quality::Quality;
use crate::base::refusal::{Refusal, RefusalKind};
use crate::base::time::UnixMs;
use crate::base::wire_format::WireFormat;
use crate::catalog::{Catalog, Chain, ChainKind, ModelKind, Route, Target};
use crate::health::{Health, Moment, redrawn};
use crate::plan::{self, Known, Needs, Plan, PlanError, Terms, Via};
use crate::translate::envelope::{Envelope, SealingKey};
use crate::wire::head::Head;
use crate::wire::multipart::Form;

use answer::Answer;
use attempts::Attempts;
use auto::Chosen;
use count::Purpose;
use follow::Turn;
use leg::{Current, Leg};
use needs::needs;
use request::{Request, unknown_model};
use retry::Failure;
use share::Told;
use snapshot::Snapshot;

/// The facts of a request's arrival.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The id that the client is told.
    pub id: RequestId,
    /// When, for durations and deadlines.
    pub instant: Instant,
    /// When its body was in: from here on the time is ours.
    pub read: Instant,
    /// When, for rows and prices.
    pub at: UnixMs,
    /// The endpoint's label.
    pub route: &'static str,
    /// What the client speaks.
    pub format: WireFormat,
    /// What it wants.
    pub purpose: Purpose,
    /// The content type of its body; empty where that is JSON by its endpoint.
    pub media_type: Box<str>,
    /// Who asks.
    pub key: Arc<KeyState>,
    /// What its headers say to the router.
    pub asked: Asked,
    /// Seals what only a model may get back on its way through a client of another format.
    pub sealing_key: SealingKey,
    /// How providers are doing.
    pub health: Arc<Health>,
}

/// What the headers of a request say to the router.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// `x-flux-quality`.
    pub quality: Option<Quality>,
    /// `x-flux-session`.
    pub session: Option<Box<[u8]>>,
    /// `x-flux-provider`: none but these, in this order; empty for any.
    pub providers: Vec<Box<str>>,
    /// `x-flux-region`: at no address elsewhere.
    pub region: Option<Box<str>>,
}

/// What routing decided, for the `x-flux-*` headers.
#[derive(Clone, Debug)]
pub struct Routing {
    /// The name that the client sent.
    pub original: Arc<str>,
    /// The alias or lane it stands for, as the catalogue names it.
    pub requested: Arc<str>,
    /// The lane, empty for a pin.
    pub lane: Arc<str>,
    /// Canonical id of the model that answers or was tried last; empty before the first attempt.
    pub model: Arc<str>,
    /// Its provider; empty before the first attempt.
    pub provider: Arc<str>,
    /// Whether Flux chose the model: `false` for a pin.
    pub was_routed: bool,
    /// Attempts made so far.
    pub attempts: u8,
    /// What the router chose by, where the choice was left to it.
    pub auto: Option<AutoChoice>,
}

/// A request that was refused, with what routing had decided by then.
#[derive(Debug)]
pub struct Refused {
    /// What to tell the client.
    pub refusal: Refusal,
    /// What routing had decided, if it was reached.
    pub routing: Option<Routing>,
}

impl From<Refusal> for Box<Refused> {
    fn from(refusal: Refusal) -> Self {
        Self::new(Refused { refusal, routing: None })
    }
}

/// One request from its body to its settlement.
#[derive(Debug)]
pub struct Exchange {
    arrival: Arrival,
    snapshot: Arc<Snapshot>,
    body: Bytes,
    /// Empty where the body is a form.
    head: Head,
    form: Option<Box<Form>>,
    /// Whether a client that streams asked to see usage. Anthropic's see it unasked, and get their bytes
    /// as the provider sent them.
    asked_for_usage: bool,
    /// The name that the client sent.
    original: Arc<str>,
    /// What it stands for.
    requested: Arc<str>,
    /// What the router chose by, where the choice was left to it.
    auto: Option<AutoChoice>,
    /// The turn of a conversation that it is.
    turn: Option<Box<Turn>>,
    /// What `flux-auto` saw, where it was asked.
    routed: Option<Routed>,
    plan: Plan,
    /// At addresses of which region alone it may be asked; `None`: of any.
    region: Option<Box<str>>,
    attempts: Attempts,
    /// The attempt that is under way.
    leg: Leg,
    /// Another beside it.
    beside: Option<Box<Leg>>,
    /// What the request holds of its key and its account.
    admission: Admission,
    /// The bound that was set on the answer, because no more could be paid for.
    output_limit: Option<u64>,
    settlement: Option<close::Settlement>,
}

impl Exchange {
    /// Plans what was read, and holds what it may cost. Nothing has been sent anywhere yet. `chosen` is the lane of a
    /// request that leaves it to the router.
    ///
    /// # Errors
    /// The refusal for a key that may not ask for this, a plan without a target, or a purse that is empty.
    pub fn open(request: Request, chosen: Option<Chosen>, admission: Admission) -> Result<Self, Box<Refused>> {
        let Request { snapshot, arrival, body, head, form, task: _, preference, route, requested, original } = request;
        let catalog = &snapshot.catalog;
        let terms = terms(&arrival, preference.as_deref());
        let Arrival { key, asked, format, .. } = &arrival;
        let conversation = Told { key, asked, format: *format, head: &head, body: &body };
        let moment = arrival.health.moment(arrival.read);
        let region = preference.as_deref().and_then(|preference| preference.region.as_deref());
        let plan_of = |chain: &Arc<Chain>, must_promise_schema: bool| {
            let is_talk = arrival.format.is_conversation();
            let needs = if is_talk { needs(&head, &body, chain) } else { Needs::default() };
            let standing = live::standing_for(&arrival, region, &snapshot.config.health, moment);
            let pace = |target: &Target, by| live::pace(&arrival.health, target, by, moment);
            let known = Known { standing: &standing, pace: &pace };
            let terms = Terms { draw: conversation.draw(chain).or(terms.draw), ..terms };
            plan::plan(chain, &Needs { json_schema: must_promise_schema, ..needs }, &terms, known)
        };
        let mut chosen = chosen.filter(|_| route == Route::Auto);
        let planned = if let Some(chosen) = &mut chosen {
            chosen.plan(catalog, plan_of)
        } else {
            let served = if route == Route::Auto { Route::Lane(catalog.default_lane()) } else { route };
            catalog.chain(served).map(|chain| (chain, plan_of(chain, false)))
        };
        let (chain, plan) = planned.ok_or_else(|| unknown_model(&original))?;
        check_allowed(&arrival.key, catalog, route, chain)?;
        if arrival.format == WireFormat::AnthropicMessages && makes_only_images(chain) {
            return Err(no_images().into());
        }
        let (auto, routed, turn) = match chosen {
            Some(Chosen { told, routed, turn, .. }) => (Some(told), routed, turn),
            None => (None, None, None),
        };
        let mut plan = plan.map_err(|error| {
            let routing = Routing::before_attempts(original.clone(), requested.clone(), chain, auto.clone());
            let refusal = unplannable(&error, &routing, &terms, moment);
            Box::new(Refused { refusal, routing: Some(routing) })
        })?;
        // Whoever says whom to ask first knows better than what is remembered.
        if let Some(turn) = turn.as_ref().filter(|_| !preference.as_ref().is_some_and(|preference| preference.orders()))
        {
            turn.keep_model(&mut plan);
        }
        let asked_for_usage =
            head.stream_options.as_ref().and_then(|o| o.include_usage.as_ref()).is_some_and(|(asked, _)| *asked);
        let mut exchange = Self {
            arrival,
            snapshot,
            body,
            head,
            form,
            asked_for_usage,
            original,
            requested,
            auto,
            turn,
            routed,
            plan,
            region: preference.and_then(|preference| preference.region),
            attempts: Attempts::default(),
            leg: Leg::default(),
            beside: None,
            admission,
            output_limit: None,
            settlement: None,
        };
        match exchange.reserve() {
            Ok(()) => Ok(exchange),
            Err(refusal) => Err(Box::new(Refused { refusal, routing: Some(exchange.routing()) })),
        }
    }

    /// What the request holds of its key and its account.
    pub fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Records why the current attempt failed.
    pub fn fail(&mut self, failure: Failure, now: Instant) {
        self.report_failure(failure, now);
        self.note_failure(failure);
        self.leg.has_failed = true;
    }

    fn note_failure(&mut self, failure: Failure) {
        self.attempts.last_failure = Some(failure);
        self.attempts.passing_failures =
            self.attempts.passing_failures.saturating_add(u8::from(!failure.is_operators()));
    }

    /// Whether [`Self::fail`] was called for the current attempt.
    pub fn has_failed(&self) -> bool {
        self.leg.has_failed
    }

    /// The refusal when no attempt is left.
    pub fn exhausted(&self) -> Refusal {
        match self.attempts.last_failure {
            Some(last) if self.attempts.passing_failures == 0 => retry::misconfigured(last),
            last => retry::exhausted(last.unwrap_or(Failure::Broken), self.attempts.retry_after),
        }
    }

    /// What the client is told about routing.
    pub fn routing(&self) -> Routing {
        let (original, requested) = (self.original.clone(), self.requested.clone());
        let mut routing = Routing::before_attempts(original, requested, &self.plan.chain, self.auto.clone());
        if let Some(Current { target, .. }) = &self.leg.current {
            routing.model = Arc::clone(&target.model.canonical);
            routing.provider = Arc::clone(&target.provider.id);
            routing.attempts = self.attempts_made();
        }
        routing
    }

    /// Where the current attempt goes, `None` before the first.
    pub fn target(&self) -> Option<&Arc<Target>> {
        self.leg.current.as_ref().map(|current| &current.target)
    }

    /// The name that the client sent.
    pub fn original(&self) -> &Arc<str> {
        &self.original
    }

    /// Whose targets are tried.
    pub fn chain(&self) -> &Arc<Chain> {
        &self.plan.chain
    }

    /// What the router chose by, where the choice was left to it.
    pub fn auto(&self) -> Option<&AutoChoice> {
        self.auto.as_ref()
    }

    /// Whether the client asked for a stream.
    pub fn is_streamed(&self) -> bool {
        self.head.stream && self.arrival.purpose == Purpose::Answer
    }

    /// The last failure of an attempt.
    pub fn last_failure(&self) -> Option<Failure> {
        self.attempts.last_failure
    }

    /// How it arrived.
    pub fn arrival(&self) -> &Arrival {
        &self.arrival
    }

    /// Config, catalogue and rules that hold for this request.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// Until when the answer must be complete.
    pub fn deadline(&self) -> Instant {
        let total = self.snapshot.config.timeouts.total;
        self.arrival.instant.checked_add(total).unwrap_or(self.arrival.instant)
    }

    /// Whether a head has come from the current target.
    pub fn has_head(&self) -> bool {
        !matches!(self.leg.answer, Answer::Awaiting)
    }

    fn is_past_deadline(&self, now: Instant) -> bool {
        now >= self.deadline()
    }

    fn envelope(&self) -> Envelope {
        Envelope::new(self.arrival.sealing_key, self.arrival.key.account.id)
    }

    /// Attempts made so far.
    pub fn attempts_made(&self) -> u8 {
        self.attempts.started
    }

    fn is_test(&self) -> bool {
        self.arrival.key.kind == KeyKind::Test
    }
}

impl Routing {
    fn before_attempts(original: Arc<str>, requested: Arc<str>, chain: &Chain, auto: Option<AutoChoice>) -> Self {
        let was_routed = chain.kind == ChainKind::Lane;
        let lane = if was_routed { Arc::clone(&chain.name) } else { nothing() };
        Self { original, requested, lane, model: nothing(), provider: nothing(), was_routed, attempts: 0, auto }
    }

    /// Of a request that did not reach routing.
    pub fn none() -> Self {
        Self {
            original: nothing(),
            requested: nothing(),
            lane: nothing(),
            model: nothing(),
            provider: nothing(),
            was_routed: false,
            attempts: 0,
            auto: None,
        }
    }
}

/// The empty name; one for all, since most requests have one.
fn nothing() -> Arc<str> {
    static NOTHING: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from(""));
    Arc::clone(&NOTHING)
}

/// Whether the key may ask for what the name stands for: a lane or a pin by its name, or the router by its own.
fn check_allowed(key: &KeyState, catalog: &Catalog, route: Route, chain: &Chain) -> Result<(), Refusal> {
    let is_allowed = key.may_ask_for(&chain.name) || (route == Route::Auto && key.may_ask_for(catalog.auto_name()));
    if is_allowed {
        return Ok(());
    }
    let message =
        format!("this key may not ask for {}; it may ask for: {}", chain.name, key.settings.allowed.join(", "));
    Err(Refusal::new(RefusalKind::Forbidden, message).with_param("model"))
}

fn makes_only_images(chain: &Chain) -> bool {
    chain.targets.iter().all(|target| target.model.kind == ModelKind::Image)
}

fn no_images() -> Refusal {
    let message = "image_output_not_supported: this API has no place for images in an answer; \
                   use POST /v1/images/generations or POST /v1/chat/completions";
    let refusal = Refusal::new(RefusalKind::InvalidRequest, message).with_param("model");
    Refusal { code: Some("image_output_not_supported".into()), ..refusal }
}

/// Under which terms targets of a request are chosen.
fn terms<'a>(arrival: &'a Arrival, preference: Option<&'a Preference>) -> Terms<'a> {
    Terms {
        client_format: arrival.format,
        via: if arrival.key.kind == KeyKind::Test { Via::Mock } else { Via::Providers },
        at: arrival.at,
        bounds: arrival.key.settings.providers.as_deref(),
        preference,
        draw: Some(redrawn(half(arrival.id).rotate_left(32))),
    }
}

/// The random half of a request's id.
fn half(id: RequestId) -> u64 {
    u64::try_from(id.0 & u128::from(u64::MAX)).unwrap_or_default()
}

fn unplannable(error: &PlanError, routing: &Routing, terms: &Terms<'_>, now: Moment) -> Refusal {
    let name = &routing.original;
    let Terms { client_format: sent, bounds, .. } = *terms;
    match error {
        PlanError::AllAway { until } => retry::all_away(now.until(*until)),
        PlanError::NothingConfigured => Refusal::new(
            RefusalKind::AllAttemptsFailed,
            format!("no provider is configured for \"{name}\"; choose another model from GET /v1/models"),
        ),
        PlanError::NotAllowed => {
            let bounds = bounds.map(ProviderBounds::to_string).unwrap_or_default();
            let hint = "ask for another model, or have the key changed";
            let message = format!("\"{name}\": {error}, which may be served {bounds}; {hint}");
            Refusal::new(RefusalKind::Forbidden, message).with_param("model")
        }
        PlanError::NotPreferred { .. } => {
            let bounds = bounds.map(|bounds| format!("; this key may be served {bounds}")).unwrap_or_default();
            let message = format!("\"{name}\": {error}{bounds}");
            Refusal::new(RefusalKind::InvalidRequest, message).with_param("provider")
        }
        PlanError::OtherFormats { .. } => Refusal::new(
            RefusalKind::WireFormatMismatch,
            format!("\"{name}\" cannot be reached in {sent}: {error}; use that API's client, or another model"),
        )
        .with_param("model"),
        PlanError::ContextTooLong { .. } => {
            Refusal::new(RefusalKind::ContextTooLong, format!("\"{name}\": {error}; shorten the conversation"))
                .with_param("messages")
        }
        PlanError::Lacks { .. } | PlanError::ForOthers => {
            Refusal::new(RefusalKind::InvalidRequest, format!("\"{name}\": {error}; choose another model"))
                .with_param("model")
        }
    }
}
