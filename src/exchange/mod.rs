//! One request as a state machine: events in (body, head, chunk, end, left), what to do out.
//!
//! The only place that knows the order of the steps. Must not know sockets, clocks or disks: time
//! comes in as an argument, and the one thing that must be durable, the charge, goes out through a
//! function that the shell hands in.

pub mod answer;
pub mod attempts;
mod capped;
mod close;
pub mod count;
mod counted;
pub mod deny;
pub mod live;
mod outgoing;
mod reserve;
pub mod retry;
pub mod route;
pub mod snapshot;
mod translated;
mod translation;

use std::sync::{Arc, LazyLock};
use std::time::Instant;

use bytes::Bytes;

use crate::accounts::key::{KeyKind, KeyState};
use crate::admit::Admission;
use crate::base::ids::RequestId;
use crate::base::refusal::{Refusal, RefusalKind};
use crate::base::time::UnixMs;
use crate::base::wire_format::WireFormat;
use crate::catalog::{Catalog, Chain, ChainKind, ModelKind, Route, Target};
use crate::classify;
use crate::classify::features::FeatureInput;
use crate::health::{Health, Moment};
use crate::plan::{self, Needs, Plan, PlanError, Terms, Via};
use crate::translate::envelope::{Envelope, SealingKey};
use crate::wire::head::{self, Head, HeadError};
use crate::wire::multipart::{Form, FormError};
use crate::wire::text;

use answer::Answer;
use attempts::{Attempts, Current};
use count::Purpose;
use retry::Failure;
use snapshot::Snapshot;

/// The lane of those who ask for a picture and leave the model to us.
const IMAGE_LANE: &str = "flux-image";

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
    /// Seals what only a model may get back on its way through a client of another format.
    pub sealing_key: SealingKey,
    /// How providers are doing.
    pub health: Arc<Health>,
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
    plan: Plan,
    attempts: Attempts,
    answer: Answer,
    /// What the request holds of its key and its account.
    admission: Admission,
    /// The bound that was set on the answer, because no more could be paid for.
    output_limit: Option<u64>,
    /// The text of a stream that what is held pays for.
    text_bytes_max: u64,
    settlement: Option<close::Settlement>,
}

impl Exchange {
    /// Reads, classifies and plans. Nothing has been sent anywhere yet.
    ///
    /// # Errors
    /// The refusal for a body that makes no sense, a model that is not known, or a plan without
    /// a target.
    pub fn open(
        snapshot: Arc<Snapshot>,
        arrival: Arrival,
        admission: Admission,
        body: Bytes,
    ) -> Result<Self, Box<Refused>> {
        let (head, form) = read(&arrival, &body)?;
        let model = form.as_ref().map_or_else(|| head.model(&body), |form| form.model(&body));
        let catalog = &snapshot.catalog;
        let route = catalog.resolve(&model).ok_or_else(|| unknown_model(&model))?;
        let served = match route {
            Route::Auto => auto_lane(&snapshot, &arrival, &head, &body),
            Route::Lane(_) | Route::Pin(_) => route,
        };
        let chain = catalog.chain(served).ok_or_else(|| unknown_model(&model))?;
        check_allowed(&arrival.key, catalog, route, chain)?;
        let requested = Arc::clone(if route == Route::Auto { catalog.auto_name() } else { &chain.name });
        let original: Arc<str> = if *requested == *model { Arc::clone(&requested) } else { Arc::from(&*model) };
        if arrival.format == WireFormat::AnthropicMessages && makes_only_images(chain) {
            return Err(no_images().into());
        }
        let needs = if arrival.format.is_conversation() { needs(&head, &body, chain) } else { Needs::default() };
        let terms = Terms {
            client_format: arrival.format,
            via: if arrival.key.kind == KeyKind::Test { Via::Mock } else { Via::Providers },
            at: arrival.at,
            attempts_max: snapshot.config.limits.attempts_max,
        };
        let moment = arrival.health.moment(arrival.read);
        let standing = live::standing_for(&arrival, &snapshot.config.health, moment);
        let plan = plan::plan(chain, &needs, &terms, standing).map_err(|error| {
            let routing = Routing::before_attempts(original.clone(), requested.clone(), chain);
            let refusal = unplannable(&error, &routing, arrival.format, moment);
            Box::new(Refused { refusal, routing: Some(routing) })
        })?;
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
            plan,
            attempts: Attempts::default(),
            answer: Answer::Awaiting,
            admission,
            output_limit: None,
            text_bytes_max: u64::MAX,
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
        self.attempts.last_failure = Some(failure);
        self.attempts.passing_failures =
            self.attempts.passing_failures.saturating_add(u8::from(!failure.is_operators()));
        self.attempts.has_failed = true;
    }

    /// Whether [`Self::fail`] was called for the current attempt.
    pub fn has_failed(&self) -> bool {
        self.attempts.has_failed
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
        let mut routing = Routing::before_attempts(self.original.clone(), self.requested.clone(), &self.plan.chain);
        if let Some(Current { target, .. }) = &self.attempts.current {
            routing.model = Arc::clone(&target.model.canonical);
            routing.provider = Arc::clone(&target.provider.id);
            routing.attempts = self.attempts_made();
        }
        routing
    }

    /// Where the current attempt goes, `None` before the first.
    pub fn target(&self) -> Option<&Arc<Target>> {
        self.attempts.current.as_ref().map(|current| &current.target)
    }

    /// The name that the client sent.
    pub fn original(&self) -> &Arc<str> {
        &self.original
    }

    /// Whose targets are tried.
    pub fn chain(&self) -> &Arc<Chain> {
        &self.plan.chain
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
        !matches!(self.answer, Answer::Awaiting)
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
    fn before_attempts(original: Arc<str>, requested: Arc<str>, chain: &Chain) -> Self {
        let was_routed = chain.kind == ChainKind::Lane;
        let lane = if was_routed { Arc::clone(&chain.name) } else { nothing() };
        Self { original, requested, lane, model: nothing(), provider: nothing(), was_routed, attempts: 0 }
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
        }
    }
}

/// The empty name; one for all, since most requests have one.
fn nothing() -> Arc<str> {
    static NOTHING: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from(""));
    Arc::clone(&NOTHING)
}

/// The head of a JSON body, or the parts of a form.
fn read(arrival: &Arrival, body: &Bytes) -> Result<(Head, Option<Box<Form>>), Refusal> {
    let (head, form) = if arrival.format.is_form() {
        let form = Form::scan(&arrival.media_type, body).map_err(|error| unreadable_form(&error))?;
        (Head::default(), Some(Box::new(form)))
    } else {
        (head::scan(body).map_err(|error| unreadable(&error))?, None)
    };
    counted::check_whole(arrival.format, &head, form.as_deref(), body)?;
    Ok((head, form))
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

/// The lane that the rules choose; for a picture's words the image lane, for a client that cannot be shown pictures
/// never that.
fn auto_lane(snapshot: &Snapshot, arrival: &Arrival, head: &Head, body: &Bytes) -> Route {
    let catalog = &snapshot.catalog;
    if matches!(arrival.format, WireFormat::OpenaiImages | WireFormat::OpenaiImageEdits) {
        return Route::Lane(catalog.lane(IMAGE_LANE).unwrap_or_else(|| catalog.default_lane()));
    }
    let part = |range: &Option<std::ops::Range<usize>>| range.clone().and_then(|r| body.get(r));
    let decision = classify::classify(
        &snapshot.rules,
        &FeatureInput {
            format: arrival.format,
            messages: part(&head.messages).unwrap_or_default(),
            system: part(&head.system),
            tools: part(&head.tools),
            reasoning_effort: part(&head.reasoning_effort),
            thinking: part(&head.thinking),
            response_format: part(&head.response_format),
            modalities: part(&head.modalities),
            max_tokens: head.max_tokens,
            body_bytes: body.len(),
        },
    );
    let lane = catalog.lane(decision.lane).unwrap_or_else(|| catalog.default_lane());
    let is_mute = arrival.format == WireFormat::AnthropicMessages
        && catalog.chain(Route::Lane(lane)).is_some_and(|chain| makes_only_images(chain));
    Route::Lane(if is_mute { catalog.default_lane() } else { lane })
}

/// What a target must be able to do.
fn needs(head: &Head, body: &Bytes, chain: &Chain) -> Needs {
    // Bytes that are surely fewer than the tokens of the smallest window need not be looked at.
    const BYTES_PER_TOKEN_MIN: u64 = 1;
    let models = || chain.targets.iter().map(|target| &target.model);
    let output_tokens = head.max_tokens.unwrap_or_default();
    let body_bytes = u64::try_from(body.len()).unwrap_or(u64::MAX);
    let smallest = models().map(|model| model.limits.prompt_tokens_max()).min().unwrap_or(0);
    let text_bytes = if body_bytes.saturating_add(output_tokens) <= smallest.saturating_mul(BYTES_PER_TOKEN_MIN) {
        body_bytes
    } else {
        // Pictures and files are no text: a photo of ten megabytes must not count as millions of tokens.
        text::prompt_text_len(body, head)
    };
    let matters = models().any(|model| !model.capabilities.vision);
    Needs {
        text_bytes,
        output_tokens,
        vision: matters && has_image(body),
        tools: head.tools.is_some(),
        reasoning: is_reasoning_steered(head, body),
        stop: head.stop.is_some(),
        ..Needs::default()
    }
}

/// Whether the client asks for more reasoning than none.
fn is_reasoning_steered(head: &Head, body: &[u8]) -> bool {
    let effort = head.reasoning_effort.clone().and_then(|range| body.get(range));
    effort.is_some_and(|effort| effort != b"\"none\"")
}

/// Whether a picture stands in the body. Inside a string the quotes would be escaped, so that no text
/// can look like one.
fn has_image(body: &[u8]) -> bool {
    [&b"\"image_url\""[..], b"\"image\""].iter().any(|mark| memchr::memmem::find(body, mark).is_some())
}

fn unreadable(error: &HeadError) -> Refusal {
    let refusal = Refusal::new(RefusalKind::InvalidRequest, error.to_string());
    match error.key() {
        Some(key) => refusal.with_param(key),
        None => refusal,
    }
}

fn unreadable_form(error: &FormError) -> Refusal {
    let refusal = Refusal::new(RefusalKind::InvalidRequest, error.to_string());
    match error.key() {
        Some(key) => refusal.with_param(key.to_owned()),
        None => refusal,
    }
}

fn unknown_model(model: &str) -> Refusal {
    const SHOWN_CHARS_MAX: usize = 80;
    let shown: String = model.chars().filter(|c| !c.is_control()).take(SHOWN_CHARS_MAX).collect();
    let message =
        format!("the model \"{shown}\" does not exist; GET /v1/models lists those that do, or send \"flux-auto\"");
    // What a client calls a model may be anything; the log needs no more than that it was unknown.
    Refusal::new(RefusalKind::ModelNotFound, message).with_param("model").with_detail("unknown model")
}

fn unplannable(error: &PlanError, routing: &Routing, sent: WireFormat, now: Moment) -> Refusal {
    let name = &routing.original;
    match error {
        PlanError::AllAway { until } => retry::all_away(now.until(*until)),
        PlanError::NothingConfigured => Refusal::new(
            RefusalKind::AllAttemptsFailed,
            format!("no provider is configured for \"{name}\"; choose another model from GET /v1/models"),
        ),
        PlanError::OtherFormats { .. } => Refusal::new(
            RefusalKind::WireFormatMismatch,
            format!("\"{name}\" cannot be reached in {sent}: {error}; use that API's client, or another model"),
        )
        .with_param("model"),
        PlanError::ContextTooLong { .. } => {
            Refusal::new(RefusalKind::ContextTooLong, format!("\"{name}\": {error}; shorten the conversation"))
                .with_param("messages")
        }
        PlanError::Lacks { .. } => {
            Refusal::new(RefusalKind::InvalidRequest, format!("\"{name}\": {error}; choose another model"))
                .with_param("model")
        }
    }
}
