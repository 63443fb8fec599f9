//! Providers: where they are, how they are paid attention to, which formats they speak.
//!
//! Must not know how a request is sent: `proxy::upstream` makes peer, path and headers from this.

use std::sync::Arc;

use super::kept::Kept;
use crate::base::secret::Secret;
use crate::base::wire_format::WireFormat;

/// Wire formats that exist; the size of the table of endpoints.
const FORMATS: usize = WireFormat::ALL.len();

/// How a provider wants to be shown its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthKind {
    /// `authorization: Bearer KEY`.
    Bearer,
    /// `x-api-key: KEY`.
    XApiKey,
    /// `x-goog-api-key: KEY`.
    XGoogApiKey,
    /// `api-key: KEY`.
    ApiKey,
    /// No key at all.
    None,
    /// Signed requests of AWS. Not served yet.
    AwsSigv4,
    /// Short-lived tokens made from a service account. Not served yet.
    Oauth2,
}

impl AuthKind {
    /// All kinds with the names used in configuration.
    pub const NAMES: [(&'static str, Self); 7] = [
        ("bearer", Self::Bearer),
        ("x-api-key", Self::XApiKey),
        ("x-goog-api-key", Self::XGoogApiKey),
        ("api-key", Self::ApiKey),
        ("none", Self::None),
        ("aws-sigv4", Self::AwsSigv4),
        ("oauth2", Self::Oauth2),
    ];

    /// Whether Flux can do it.
    pub fn is_served(self) -> bool {
        !matches!(self, Self::AwsSigv4 | Self::Oauth2)
    }
}

/// What makes a provider send usage in a chat stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamUsage {
    /// `stream_options.include_usage`, which is spliced in where the client left it out.
    StreamOptions,
    /// It always comes.
    Always,
    /// It never comes and is estimated.
    Never,
}

impl StreamUsage {
    /// All with the names used in configuration.
    pub const NAMES: [(&'static str, Self); 3] =
        [("stream_options", Self::StreamOptions), ("always", Self::Always), ("never", Self::Never)];
}

/// Whose variant of a wire format a provider speaks: which fields it knows, renames or refuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// The format as its maker defines it, and of hosts of which nothing else is known.
    #[default]
    Plain,
    /// `OpenAI` itself.
    Openai,
    /// Azure `OpenAI`.
    Azure,
    /// Groq.
    Groq,
    /// Cerebras.
    Cerebras,
    /// `DeepSeek`.
    Deepseek,
    /// Mistral.
    Mistral,
    /// xAI.
    Xai,
    /// Together.
    Together,
    /// Fireworks.
    Fireworks,
    /// `OpenRouter`.
    Openrouter,
    /// A vLLM server.
    Vllm,
    /// An Ollama server.
    Ollama,
}

impl Dialect {
    /// All with the names used in configuration.
    pub const NAMES: [(&'static str, Self); 13] = [
        ("plain", Self::Plain),
        ("openai", Self::Openai),
        ("azure", Self::Azure),
        ("groq", Self::Groq),
        ("cerebras", Self::Cerebras),
        ("deepseek", Self::Deepseek),
        ("mistral", Self::Mistral),
        ("xai", Self::Xai),
        ("together", Self::Together),
        ("fireworks", Self::Fireworks),
        ("openrouter", Self::Openrouter),
        ("vllm", Self::Vllm),
        ("ollama", Self::Ollama),
    ];
}

/// Where one wire format of a provider is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Host name or address without brackets: for the resolver and the certificate.
    pub host: Arc<str>,
    /// Port.
    pub port: u16,
    /// Whether TLS is spoken; the server name is `host`.
    pub tls: bool,
    /// The `host` header: the port only where it is not the scheme's own, IPv6 in brackets.
    pub authority: Arc<str>,
    /// Path and query of a unary request. May hold `{model}`.
    pub path: Arc<str>,
    /// Path and query of a streamed request; the same for most.
    pub stream_path: Arc<str>,
    /// Path where the tokens of a request in this format are counted; empty where there is none.
    pub count_path: Arc<str>,
    /// How the key is shown on this endpoint.
    pub auth: AuthKind,
    /// What `proxy` keeps ready for requests to it.
    pub ready: Kept,
}

impl Endpoint {
    /// Whether the model's name belongs into the path instead of the body, so that a client's body
    /// does not fit as it is.
    pub fn has_model_in_path(&self) -> bool {
        // Asked for every request; hardly any path has a bracket.
        self.path.as_bytes().contains(&b'{') && self.path.contains("{model}")
    }
}

/// A way to a provider: a key at one of its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// What it is called in the status and in metrics: `1`, `2`, … in the order of the file.
    pub name: Arc<str>,
    /// Another one for each key and address, and tells neither: whose live state it is.
    pub id: Arc<str>,
    /// The key; empty where none is needed.
    pub key: Secret,
    /// Its share among the accesses of its provider; at least 1.
    pub weight: u32,
    /// The region that its address stands for, in prices and in what requests ask for; empty for none in particular.
    pub region: Arc<str>,
    /// By wire format.
    pub endpoints: Endpoints,
    /// What is asked to see whether it works; `None` where nothing cheap is known.
    pub probe: Option<Endpoint>,
    /// What `exchange` keeps ready of its live state.
    pub live: Kept,
}

impl Access {
    /// The only one of a provider, without a probe.
    pub fn only(key: Secret, endpoints: Endpoints) -> Self {
        Self {
            name: "1".into(),
            id: "".into(),
            key,
            weight: 1,
            region: "".into(),
            endpoints,
            probe: None,
            live: Kept::default(),
        }
    }
}

/// A provider of models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Its id in configuration, labels and rows.
    pub id: Arc<str>,
    /// Its name for people.
    pub name: Arc<str>,
    /// Headers that are sent unless the client's allowed headers already say them; lower case.
    pub headers: Vec<(Arc<str>, Arc<str>)>,
    /// Whose variant of its formats it speaks.
    pub dialect: Dialect,
    /// What makes usage arrive in a chat stream.
    pub stream_usage: StreamUsage,
    /// Whether its output count leaves reasoning tokens out.
    pub reasoning_outside_output: bool,
    /// Whether its input count leaves cached tokens out.
    pub cached_outside_input: bool,
    /// Why it cannot be used; empty when it is live.
    pub unusable: Arc<str>,
    /// Its keys and addresses. Never empty; all serve the same formats.
    pub accesses: Vec<Access>,
    /// Requests that it is sent at once; 0 for any number.
    pub concurrent_max: u64,
    /// What `exchange` keeps ready of its live state.
    pub live: Kept,
}

impl Provider {
    /// Whether requests can be sent to it.
    pub fn is_configured(&self) -> bool {
        self.unusable.is_empty()
    }

    /// The region of one of its accesses, by its place; of the first where there is none.
    pub fn region_at(&self, access: usize) -> &str {
        let access = self.accesses.get(access).or_else(|| self.accesses.first());
        access.map_or("", |access| &access.region)
    }

    /// Whether its accesses are in different regions.
    pub fn has_several_regions(&self) -> bool {
        self.accesses.iter().any(|access| *access.region != *self.region_at(0))
    }

    /// Whether it serves in a region.
    pub fn serves_in(&self, region: &str) -> bool {
        self.accesses.iter().any(|access| *access.region == *region)
    }

    /// The regions that may serve a request: the one that it asks for, else those of all accesses.
    pub fn regions_for<'a>(&'a self, asked: Option<&'a str>) -> impl Iterator<Item = &'a str> {
        let is_open = move |_: &&Access| asked.is_none();
        asked.into_iter().chain(self.accesses.iter().filter(is_open).map(|access| &*access.region))
    }

    /// Where it serves a format, by its first access.
    pub fn endpoint(&self, format: WireFormat) -> Option<&Endpoint> {
        self.accesses.first()?.endpoints.get(format)
    }
}

/// Endpoints by wire format.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints([Option<Endpoint>; FORMATS]);

impl Endpoints {
    /// The endpoint of a format.
    pub fn get(&self, format: WireFormat) -> Option<&Endpoint> {
        self.0.get(slot(format)).and_then(Option::as_ref)
    }

    /// Sets the endpoint of a format.
    pub fn insert(&mut self, format: WireFormat, endpoint: Endpoint) {
        if let Some(place) = self.0.get_mut(slot(format)) {
            *place = Some(endpoint);
        }
    }
}

fn slot(format: WireFormat) -> usize {
    match format {
        WireFormat::OpenaiChat => 0,
        WireFormat::OpenaiResponses => 1,
        WireFormat::AnthropicMessages => 2,
        WireFormat::OpenaiImages => 3,
        WireFormat::GeminiGenerate => 4,
        WireFormat::BedrockConverse => 5,
        WireFormat::OpenaiEmbeddings => 6,
        WireFormat::OpenaiImageEdits => 7,
        WireFormat::OpenaiTranscriptions => 8,
        WireFormat::OpenaiSpeech => 9,
    }
}
