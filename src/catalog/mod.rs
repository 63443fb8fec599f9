//! Providers, models, lanes and pins: what can be asked for and what it costs. Immutable.
//!
//! Must not know files or environment variables (`config` builds it), nor which target a request
//! takes (`plan` decides that).

pub mod chain;
pub mod kept;
pub mod price;
pub mod provider;
pub mod thinking;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::base::quality::Quality;
use crate::base::secret::Secret;
use crate::base::time::UnixMs;
use crate::base::wire_format::WireFormat;

pub use self::chain::{Chain, ChainKind, LaneRates};

use self::chain::Step;
use self::kept::Kept;
use self::price::PriceCard;
use self::provider::{Access, AuthKind, Dialect, Endpoint, Endpoints, Provider, StreamUsage};
use self::thinking::ThinkingSupport;

/// The id of the built-in provider that stands in while no real one has a key.
pub const MOCK_ID: &str = "mock";
/// The client names of one catalogue, at most: a bound for memory and for `/v1/models`.
pub const NAMES_MAX: usize = 10_000;

/// What a model is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelKind {
    /// Text, perhaps with pictures on the way.
    Chat,
    /// Pictures.
    Image,
    /// Vectors for texts.
    Embedding,
    /// What is said in a recording.
    Transcription,
    /// Texts read aloud.
    Speech,
}

impl ModelKind {
    /// All with the names used in configuration.
    pub const NAMES: [(&'static str, Self); 5] = [
        ("chat", Self::Chat),
        ("image", Self::Image),
        ("embedding", Self::Embedding),
        ("transcription", Self::Transcription),
        ("speech", Self::Speech),
    ];

    /// Its name in configuration and in lists.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

/// What a model can take. `false` means that it is known not to; the unknown is left to the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts of a model")]
pub struct Capabilities {
    /// Answers as a stream.
    pub streaming: bool,
    /// Images in the prompt.
    pub vision: bool,
    /// PDF documents in the prompt.
    pub pdf: bool,
    /// Sound in the prompt.
    pub audio: bool,
    /// An assistant's turn at the end of the prompt, which the answer goes on from.
    pub assistant_prefill: bool,
    /// Marks in the prompt up to which it is cached.
    pub cache_marks: bool,
    /// Tools.
    pub tools: bool,
    /// A tool choice that names a tool or demands one.
    pub forced_tool_choice: bool,
    /// Answers that follow a JSON schema.
    pub json_schema: bool,
    /// Temperature and top-p.
    pub sampling_params: bool,
    /// Reasoning before the answer.
    pub reasoning: bool,
    /// Tools together with a reasoning effort on Chat Completions.
    pub tools_with_reasoning_on_chat: bool,
}

/// Limits of a model in tokens; `None` where no source states one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Prompt and answer together.
    pub context_tokens: Option<u64>,
    /// The prompt.
    pub input_tokens_max: Option<u64>,
    /// The answer, reasoning included.
    pub output_tokens_max: Option<u64>,
}

impl Limits {
    /// The longest prompt: the tighter of the two limits; `u64::MAX` where neither is known.
    pub fn prompt_tokens_max(&self) -> u64 {
        let context = self.context_tokens.unwrap_or(u64::MAX);
        context.min(self.input_tokens_max.unwrap_or(u64::MAX))
    }
}

/// A model at a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// `provider/slug`, unique.
    pub id: Arc<str>,
    /// Same value, same weights.
    pub canonical: Arc<str>,
    /// The name that goes into the request.
    pub provider_model_id: Arc<str>,
    /// For people.
    pub display_name: Arc<str>,
    /// Who made it.
    pub developer: Arc<str>,
    /// What it is for.
    pub kind: ModelKind,
    /// When it came out; 0 where unknown.
    pub released: UnixMs,
    /// When it ends; `None` where no end is set.
    pub retires: Option<UnixMs>,
    /// Formats that it speaks, best first.
    pub formats: Vec<WireFormat>,
    /// Formats that work with losses, or as long as the provider keeps them.
    pub secondary_formats: Vec<WireFormat>,
    /// In tokens.
    pub limits: Limits,
    /// What it can take.
    pub capabilities: Capabilities,
    /// How its thinking is steered.
    pub thinking: ThinkingSupport,
    /// Tokens of this model for a thousand of `o200k`, cautious.
    pub tokenizer_factor_milli: u32,
    /// What it costs.
    pub price: PriceCard,
}

impl Model {
    /// Whether it has ended.
    pub fn is_retired(&self, at: UnixMs) -> bool {
        self.retires.is_some_and(|end| end <= at)
    }
}

/// A model with its provider: where an attempt may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Who serves.
    pub provider: Arc<Provider>,
    /// What is served.
    pub model: Arc<Model>,
    /// Its place in the chain.
    pub step: Step,
    /// What `proxy` keeps ready for answers of this target.
    pub ready: Kept,
    /// What `exchange` keeps ready of its live state.
    pub live: Kept,
}

impl Target {
    /// A model at its provider, for any request.
    pub fn new(provider: Arc<Provider>, model: Arc<Model>) -> Self {
        Self { provider, model, step: Step::default(), ready: Kept::default(), live: Kept::default() }
    }

    /// Whether a client's bytes in this format can be passed on as they are, perhaps with losses at
    /// the provider. Not so where the model's name belongs into the path.
    pub fn takes_bytes_of(&self, format: WireFormat) -> bool {
        let Self { provider, model, .. } = self;
        let is_listed = model.formats.contains(&format) || model.secondary_formats.contains(&format);
        is_listed && provider.endpoint(format).is_some_and(|endpoint| !endpoint.has_model_in_path())
    }

    /// Whether a request written for it in this format can be sent to it. Only in Gemini's does the model's name
    /// stand in the path by itself.
    pub fn takes_written(&self, format: WireFormat) -> bool {
        let endpoint = self.model.formats.contains(&format).then(|| self.provider.endpoint(format)).flatten();
        endpoint.is_some_and(|endpoint| format == WireFormat::GeminiGenerate || !endpoint.has_model_in_path())
    }

    /// Whether the mock serves it, in place of its provider.
    pub fn is_on_mock(&self) -> bool {
        &*self.provider.id == MOCK_ID
    }

    /// Whether its provider is live and its model has not ended.
    pub fn is_live(&self, at: UnixMs) -> bool {
        self.provider.is_configured() && !self.model.is_retired(at)
    }
}

/// Which lane, an index of this catalogue only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LaneId(u16);

/// Which pin, an index of this catalogue only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AliasId(u16);

/// What a name leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// The router chooses a lane.
    Auto,
    /// A lane.
    Lane(LaneId),
    /// A pinned model.
    Pin(AliasId),
}

/// Whether the mock takes the place of the providers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandIn {
    /// Always.
    Always,
    /// While no provider is configured.
    WhileNoneConfigured,
    /// Never.
    Never,
}

/// What a catalogue is made of; checked by `config`.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The name that leaves the choice to the router.
    pub auto_name: Arc<str>,
    /// How much quality the router is to seek where nobody else says it.
    pub quality: Quality,
    /// The lane of a request that the router has no opinion on; must be among `lanes`.
    pub default_lane: Arc<str>,
    /// All providers.
    pub providers: Vec<Arc<Provider>>,
    /// The regions of all addresses, in order, also of those that have no key here.
    pub regions: Vec<Arc<str>>,
    /// All models.
    pub models: Vec<Arc<Model>>,
    /// The lanes, in the order of the file.
    pub lanes: Vec<Chain>,
    /// The pins, in the order of the file.
    pub pins: Vec<Chain>,
    /// Names that clients send, each with the name it stands for.
    pub client_names: Vec<(String, String)>,
    /// When the mock stands in.
    pub stand_in: StandIn,
}

/// All that can be asked for.
#[derive(Clone, Debug)]
pub struct Catalog {
    providers: Vec<Arc<Provider>>,
    regions: Vec<Arc<str>>,
    models: Vec<Arc<Model>>,
    lanes: Vec<Arc<Chain>>,
    pins: Vec<Arc<Chain>>,
    auto_name: Arc<str>,
    quality: Quality,
    default_lane: LaneId,
    routes: HashMap<Box<str>, Route>,
    stands_in: bool,
}

impl Catalog {
    /// Builds the look-up tables. Names that lead nowhere are left out: `config` has complained.
    pub fn new(parts: Parts) -> Self {
        let Parts { auto_name, quality, default_lane, providers, regions, models, lanes, pins, client_names, stand_in } =
            parts;
        let mut routes = HashMap::with_capacity(lanes.len() + pins.len() + client_names.len() + 1);
        routes.insert(Box::from(&*auto_name), Route::Auto);
        for (chain, index) in lanes.iter().zip(0..) {
            routes.insert(Box::from(&*chain.name), Route::Lane(LaneId(index)));
        }
        for (chain, index) in pins.iter().zip(0..) {
            routes.insert(Box::from(&*chain.name), Route::Pin(AliasId(index)));
        }
        for (name, meant) in client_names.into_iter().take(NAMES_MAX) {
            if let Some(route) = routes.get(meant.as_str()).copied() {
                routes.entry(name.into_boxed_str()).or_insert(route);
            }
        }
        let stands_in = match stand_in {
            StandIn::Always => true,
            StandIn::WhileNoneConfigured => !providers.iter().any(|provider| provider.is_configured()),
            StandIn::Never => false,
        };
        let default_lane = lanes.iter().zip(0..).find(|(chain, _)| chain.name == default_lane);
        let default_lane = LaneId(default_lane.map_or(0, |(_, index)| index));
        let lanes = lanes.into_iter().map(Arc::new).collect();
        let pins = pins.into_iter().map(Arc::new).collect();
        Self { providers, regions, models, lanes, pins, auto_name, quality, default_lane, routes, stands_in }
    }

    /// The same catalogue with the mock at two addresses of this machine: one for test keys, and one where it
    /// stands in. There it takes the place of every provider; models and prices stay, so that costs look real.
    #[must_use]
    pub fn with_mock(&self, stand_in: SocketAddr, for_tests: SocketAddr, key: &Secret) -> Self {
        let mocks = [stand_in, for_tests].map(|at| Arc::new(mock(at, key)));
        let moved = |chains: &[Arc<Chain>]| chains.iter().map(|chain| self.moved(chain, &mocks)).collect();
        let lanes = moved(&self.lanes);
        let pins = moved(&self.pins);
        Self { lanes, pins, ..self.clone() }
    }

    fn moved(&self, chain: &Arc<Chain>, [stand_in, for_tests]: &[Arc<Provider>; 2]) -> Arc<Chain> {
        let on = |mock: &Arc<Provider>| -> Vec<_> {
            let on_mock = |target: &Arc<Target>| {
                let moved = Target::new(Arc::clone(mock), Arc::clone(&target.model));
                Arc::new(Target { step: target.step.clone(), ..moved })
            };
            chain.targets.iter().map(on_mock).collect()
        };
        let mock_targets = on(for_tests);
        let targets = if self.stands_in { on(stand_in) } else { chain.targets.clone() };
        Arc::new(Chain { targets, mock_targets, ..Chain::clone(chain) })
    }

    /// Whether the mock stands in for the providers.
    pub fn has_stand_in(&self) -> bool {
        self.stands_in
    }

    /// What a name leads to; `None` for names that nobody knows.
    pub fn resolve(&self, name: &str) -> Option<Route> {
        self.routes.get(name).copied()
    }

    /// The chain of a route; `None` for [`Route::Auto`], which needs a lane first.
    pub fn chain(&self, route: Route) -> Option<&Arc<Chain>> {
        match route {
            Route::Auto => None,
            Route::Lane(LaneId(index)) => self.lanes.get(usize::from(index)),
            Route::Pin(AliasId(index)) => self.pins.get(usize::from(index)),
        }
    }

    /// The lane for requests that the router has no opinion on.
    pub fn default_lane(&self) -> LaneId {
        self.default_lane
    }

    /// A lane by name.
    pub fn lane(&self, name: &str) -> Option<LaneId> {
        match self.resolve(name) {
            Some(Route::Lane(id)) => Some(id),
            Some(Route::Auto | Route::Pin(_)) | None => None,
        }
    }

    /// The name that leaves the choice to the router.
    pub fn auto_name(&self) -> &Arc<str> {
        &self.auto_name
    }

    /// How much quality the router is to seek where nobody else says it.
    pub fn quality(&self) -> Quality {
        self.quality
    }

    /// All lanes, in the order of the file.
    pub fn lanes(&self) -> &[Arc<Chain>] {
        &self.lanes
    }

    /// All pins, in the order of the file.
    pub fn pins(&self) -> &[Arc<Chain>] {
        &self.pins
    }

    /// All providers, live or not.
    pub fn providers(&self) -> &[Arc<Provider>] {
        &self.providers
    }

    /// The regions of all addresses, in order, also of those that have no key here.
    pub fn regions(&self) -> &[Arc<str>] {
        &self.regions
    }

    /// All models of all providers.
    pub fn models(&self) -> &[Arc<Model>] {
        &self.models
    }

    /// All names that lead somewhere, in no order.
    pub fn names(&self) -> impl Iterator<Item = (&str, Route)> {
        self.routes.iter().map(|(name, route)| (&**name, *route))
    }
}

fn mock(at: SocketAddr, key: &Secret) -> Provider {
    let endpoint = |path: &str, auth| Endpoint {
        host: at.ip().to_string().into(),
        port: at.port(),
        tls: false,
        authority: at.to_string().into(),
        path: path.into(),
        stream_path: path.into(),
        count_path: "".into(),
        auth,
        ready: Kept::default(),
    };
    let mut endpoints = Endpoints::default();
    for (format, path) in [
        (WireFormat::OpenaiChat, "/v1/chat/completions"),
        (WireFormat::AnthropicMessages, "/v1/messages"),
        (WireFormat::OpenaiEmbeddings, "/v1/embeddings"),
        (WireFormat::OpenaiImages, "/v1/images/generations"),
        (WireFormat::OpenaiImageEdits, "/v1/images/edits"),
        (WireFormat::OpenaiTranscriptions, "/v1/audio/transcriptions"),
        (WireFormat::OpenaiSpeech, "/v1/audio/speech"),
    ] {
        endpoints.insert(format, endpoint(path, AuthKind::Bearer));
    }
    Provider {
        id: MOCK_ID.into(),
        name: "built-in mock".into(),
        headers: Vec::new(),
        dialect: Dialect::Plain,
        stream_usage: StreamUsage::StreamOptions,
        reasoning_outside_output: false,
        cached_outside_input: false,
        unusable: "".into(),
        accesses: vec![Access { id: at.to_string().into(), ..Access::only(key.clone(), endpoints) }],
        concurrent_max: 0,
        live: Kept::default(),
    }
}
