//! Method and target → endpoint. One function decides, for authorisation and for routing alike.
//!
//! Must not normalise: a path that could be read in two ways is refused.

use std::borrow::Cow;

use super::count::Purpose;
use crate::base::refusal::{Refusal, RefusalKind};
use crate::base::wire_format::WireFormat;

/// Longer targets than any endpoint needs are refused.
const TARGET_BYTES_MAX: usize = 2048;

/// Before the name of one model.
const MODEL_PATH: &str = "/v1/models/";

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `POST /v1/chat/completions`.
    ChatCompletions,
    /// `POST /v1/responses`.
    Responses,
    /// `POST /anthropic/v1/messages` and `POST /v1/messages`.
    Messages,
    /// `POST /v1/responses/input_tokens`.
    InputTokens,
    /// `POST /anthropic/v1/messages/count_tokens` and `POST /v1/messages/count_tokens`.
    CountTokens,
    /// `POST /v1/embeddings`.
    Embeddings,
    /// `POST /v1/images/generations`.
    ImageGenerations,
    /// `POST /v1/images/edits`.
    ImageEdits,
    /// `POST /v1/audio/transcriptions`.
    Transcriptions,
    /// `POST /v1/audio/speech`.
    Speech,
    /// `GET /v1/models`.
    Models,
    /// `GET /v1/models/{id}`.
    Model(String),
    /// What an account asks of itself: keys, usage, credits.
    Account(AccountCall),
    /// `GET /openapi.json`.
    OpenApi,
    /// `GET /v1/status`.
    Status,
    /// `GET /status`.
    StatusPage,
}

/// What an account asks of Flux, and of no model. Ids are as they stand in the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountCall {
    /// `POST /v1/keys` and `POST /v1/keys/generate`.
    CreateKey,
    /// `GET /v1/keys`.
    ListKeys,
    /// `GET /v1/keys/{id}`.
    ShowKey(String),
    /// `PATCH /v1/keys/{id}`.
    ChangeKey(String),
    /// `DELETE /v1/keys/{id}`.
    RevokeKey(String),
    /// `POST /v1/keys/revoke`, which names the key in its body.
    RevokeNamedKey,
    /// `POST /v1/keys/{id}/rotate`.
    RotateKey(String),
    /// `GET /v1/usage`.
    ListUsage,
    /// `GET /v1/usage/{request_id}`.
    ExplainUsage(String),
    /// `GET /v1/credits`.
    ShowCredits,
    /// `POST /v1/route`: where a request would go.
    PreviewRoute,
    /// `POST /v1/feedback`: how good an answer was.
    GiveFeedback,
}

impl AccountCall {
    /// Whether it manages keys, which not every key may.
    pub fn manages_keys(&self) -> bool {
        match self {
            Self::CreateKey
            | Self::ListKeys
            | Self::ShowKey(_)
            | Self::ChangeKey(_)
            | Self::RevokeKey(_)
            | Self::RevokeNamedKey
            | Self::RotateKey(_) => true,
            Self::ListUsage | Self::ExplainUsage(_) | Self::ShowCredits | Self::PreviewRoute | Self::GiveFeedback => {
                false
            }
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::CreateKey => "key_create",
            Self::ListKeys => "keys",
            Self::ShowKey(_) => "key",
            Self::ChangeKey(_) => "key_change",
            Self::RevokeKey(_) | Self::RevokeNamedKey => "key_revoke",
            Self::RotateKey(_) => "key_rotate",
            Self::ListUsage => "usage",
            Self::ExplainUsage(_) => "usage_of_request",
            Self::ShowCredits => "credits",
            Self::PreviewRoute => "route",
            Self::GiveFeedback => "feedback",
        }
    }
}

/// A method of a path, and what it asks for; it is given the id that stands in the path.
type Call = (&'static str, fn(&str) -> Endpoint);

/// A path that is served: methods with what they ask for. Of a path with `{id}` the id is handed on.
#[derive(Clone, Copy)]
pub struct Served {
    /// The path; `{id}` stands for one segment.
    pub path: &'static str,
    /// Its methods, as the `allow` header tells them.
    pub allow: &'static str,
    calls: &'static [Call],
}

impl std::fmt::Debug for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.allow, self.path)
    }
}

const fn post(path: &'static str, calls: &'static [Call]) -> Served {
    Served { path, allow: "POST", calls }
}

const fn get(path: &'static str, calls: &'static [Call]) -> Served {
    Served { path, allow: "GET", calls }
}

/// All paths that are served, the busiest first, those with an id last.
pub const SERVED: [Served; 27] = [
    post("/v1/chat/completions", &[("POST", |_| Endpoint::ChatCompletions)]),
    post("/v1/responses", &[("POST", |_| Endpoint::Responses)]),
    post("/anthropic/v1/messages", &[("POST", |_| Endpoint::Messages)]),
    post("/v1/messages", &[("POST", |_| Endpoint::Messages)]),
    post("/v1/embeddings", &[("POST", |_| Endpoint::Embeddings)]),
    post("/anthropic/v1/messages/count_tokens", &[("POST", |_| Endpoint::CountTokens)]),
    post("/v1/messages/count_tokens", &[("POST", |_| Endpoint::CountTokens)]),
    post("/v1/responses/input_tokens", &[("POST", |_| Endpoint::InputTokens)]),
    post("/v1/images/generations", &[("POST", |_| Endpoint::ImageGenerations)]),
    post("/v1/images/edits", &[("POST", |_| Endpoint::ImageEdits)]),
    post("/v1/audio/transcriptions", &[("POST", |_| Endpoint::Transcriptions)]),
    post("/v1/audio/speech", &[("POST", |_| Endpoint::Speech)]),
    get("/v1/models", &[("GET", |_| Endpoint::Models)]),
    get("/v1/usage", &[("GET", |_| Endpoint::Account(AccountCall::ListUsage))]),
    get("/v1/credits", &[("GET", |_| Endpoint::Account(AccountCall::ShowCredits))]),
    post("/v1/route", &[("POST", |_| Endpoint::Account(AccountCall::PreviewRoute))]),
    post("/v1/feedback", &[("POST", |_| Endpoint::Account(AccountCall::GiveFeedback))]),
    Served {
        path: "/v1/keys",
        allow: "GET, POST",
        calls: &[
            ("GET", |_| Endpoint::Account(AccountCall::ListKeys)),
            ("POST", |_| Endpoint::Account(AccountCall::CreateKey)),
        ],
    },
    post("/v1/keys/generate", &[("POST", |_| Endpoint::Account(AccountCall::CreateKey))]),
    post("/v1/keys/revoke", &[("POST", |_| Endpoint::Account(AccountCall::RevokeNamedKey))]),
    get("/openapi.json", &[("GET", |_| Endpoint::OpenApi)]),
    get("/v1/status", &[("GET", |_| Endpoint::Status)]),
    get("/status", &[("GET", |_| Endpoint::StatusPage)]),
    get("/v1/models/{id}", &[("GET", |id| Endpoint::Model(id.to_owned()))]),
    get("/v1/usage/{id}", &[("GET", |id| Endpoint::Account(AccountCall::ExplainUsage(id.to_owned())))]),
    Served {
        path: "/v1/keys/{id}",
        allow: "GET, PATCH, DELETE",
        calls: &[
            ("GET", |id| Endpoint::Account(AccountCall::ShowKey(id.to_owned()))),
            ("PATCH", |id| Endpoint::Account(AccountCall::ChangeKey(id.to_owned()))),
            ("DELETE", |id| Endpoint::Account(AccountCall::RevokeKey(id.to_owned()))),
        ],
    },
    post("/v1/keys/{id}/rotate", &[("POST", |id| Endpoint::Account(AccountCall::RotateKey(id.to_owned())))]),
];

impl Served {
    /// The id that stands in the path, empty where none belongs there; `None` for another path.
    fn id_in<'a>(&self, path: &'a str) -> Option<&'a str> {
        if self.path == path {
            return Some("");
        }
        let (before, after) = self.path.split_once("{id}")?;
        let id = path.strip_prefix(before)?.strip_suffix(after)?;
        // Some names of models hold a slash.
        (!id.is_empty() && (before == MODEL_PATH || !id.contains('/'))).then_some(id)
    }

    fn call(&self, method: &str, id: &str) -> Option<Endpoint> {
        let method = if method == "HEAD" { "GET" } else { method };
        self.calls.iter().find(|(known, _)| *known == method).map(|(_, endpoint)| endpoint(id))
    }
}

impl Endpoint {
    /// The label of the endpoint in metrics and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ChatCompletions => "chat_completions",
            Self::Responses => "responses",
            Self::Messages => "messages",
            Self::InputTokens => "input_tokens",
            Self::CountTokens => "count_tokens",
            Self::Embeddings => "embeddings",
            Self::ImageGenerations => "image_generations",
            Self::ImageEdits => "image_edits",
            Self::Transcriptions => "transcriptions",
            Self::Speech => "speech",
            Self::Models => "models",
            Self::Model(_) => "model",
            Self::Account(call) => call.name(),
            Self::OpenApi => "openapi",
            Self::Status => "status",
            Self::StatusPage => "status_page",
        }
    }

    /// The wire format of an inference endpoint's requests; `None` for Flux's own endpoints.
    pub fn wire_format(&self) -> Option<WireFormat> {
        match self {
            Self::ChatCompletions => Some(WireFormat::OpenaiChat),
            Self::Responses | Self::InputTokens => Some(WireFormat::OpenaiResponses),
            Self::Messages | Self::CountTokens => Some(WireFormat::AnthropicMessages),
            Self::Embeddings => Some(WireFormat::OpenaiEmbeddings),
            Self::ImageGenerations => Some(WireFormat::OpenaiImages),
            Self::ImageEdits => Some(WireFormat::OpenaiImageEdits),
            Self::Transcriptions => Some(WireFormat::OpenaiTranscriptions),
            Self::Speech => Some(WireFormat::OpenaiSpeech),
            Self::Models | Self::Model(_) | Self::Account(_) | Self::OpenApi | Self::Status | Self::StatusPage => None,
        }
    }
}

impl Endpoint {
    /// What its requests want.
    pub fn purpose(&self) -> Purpose {
        match self {
            Self::InputTokens | Self::CountTokens => Purpose::Count,
            Self::ChatCompletions
            | Self::Responses
            | Self::Messages
            | Self::Embeddings
            | Self::ImageGenerations
            | Self::ImageEdits
            | Self::Transcriptions
            | Self::Speech
            | Self::Models
            | Self::Model(_)
            | Self::Account(_)
            | Self::OpenApi
            | Self::Status
            | Self::StatusPage => Purpose::Answer,
        }
    }
}

/// In which format an error on this path is to be written, also where no endpoint is.
pub fn error_format(target: &str, has_anthropic_version: bool) -> WireFormat {
    let path = target.split('?').next().unwrap_or(target);
    let is_anthropic = path == "/anthropic" || path.starts_with("/anthropic/") || path.starts_with("/v1/messages");
    if is_anthropic || (has_anthropic_version && path.starts_with("/v1/models")) {
        WireFormat::AnthropicMessages
    } else if path == "/v1/responses" || path.starts_with("/v1/responses/") {
        WireFormat::OpenaiResponses
    } else {
        WireFormat::OpenaiChat
    }
}

/// Finds the endpoint.
///
/// # Errors
/// 400 for a target that could be read in two ways, 403 for `/anthropic/*` beyond what is served,
/// 404 for other paths, 405 for a method that the endpoint does not have.
pub fn endpoint(method: &str, target: &str) -> Result<Endpoint, Refusal> {
    let target = model_path_unescaped(target);
    // What is spelt as we spell it can be read in one way only.
    let (path, found) = if let Some(served) = SERVED.iter().find(|served| served.path == &*target) {
        (&*target, Some((served, "")))
    } else {
        let path = unambiguous_path(&target)?;
        (path, SERVED.iter().find_map(|served| Some((served, served.id_in(path)?))))
    };
    let (served, id) = found.ok_or_else(|| no_endpoint(path))?;
    served.call(method, id).ok_or_else(|| {
        let message = format!("{path} takes {}, not {}", served.allow, printable(method));
        Refusal::new(RefusalKind::MethodNotAllowed(served.allow), message)
    })
}

/// SDKs escape the slash in a model's name. It reads in one way only, as nothing else is served below this path.
fn model_path_unescaped(target: &str) -> Cow<'_, str> {
    match target.strip_prefix(MODEL_PATH) {
        Some(id) if id.contains("%2") => {
            Cow::Owned(format!("{MODEL_PATH}{}", id.replace("%2F", "/").replace("%2f", "/")))
        }
        Some(_) | None => Cow::Borrowed(target),
    }
}

fn no_endpoint(path: &str) -> Refusal {
    if path == "/anthropic" || path.starts_with("/anthropic/") {
        return Refusal::new(
            RefusalKind::Forbidden,
            "this path is not served; the Anthropic endpoint is POST /anthropic/v1/messages",
        );
    }
    let hint = if path.starts_with("/v1/") {
        "no such endpoint; POST /v1/chat/completions, /v1/responses, /v1/messages, /v1/embeddings, \
         /v1/images/generations, /v1/images/edits, /v1/audio/transcriptions and /v1/audio/speech, \
         /v1/route and /v1/feedback, GET /v1/models, /v1/usage, /v1/credits and /v1/keys are served; GET /openapi.json tells all"
    } else {
        "no such endpoint; OpenAI clients use the base URL with /v1, Anthropic clients with /anthropic"
    };
    Refusal::new(RefusalKind::NotFound, hint)
}

/// The path of an origin-form target, refused where two readers could disagree about it.
fn unambiguous_path(target: &str) -> Result<&str, Refusal> {
    let refuse = |message| Err(Refusal::new(RefusalKind::InvalidRequest, message));
    if target.len() > TARGET_BYTES_MAX {
        return refuse("the request target is too long");
    }
    if !target.starts_with('/') {
        return refuse("the request target must be a path");
    }
    if !target.bytes().all(|b| b.is_ascii_graphic()) || target.contains(['#', '\\']) {
        return refuse("the request target holds a character that is not allowed");
    }
    let path = target.split('?').next().unwrap_or(target);
    if path.contains("//") || path.contains([';', '%']) {
        return refuse("the path must be written plainly: no escapes, no `;`, no `//`");
    }
    if path.split('/').any(|segment| segment == "." || segment == "..") {
        return refuse("the path must not hold `.` or `..`");
    }
    Ok(path)
}

fn printable(method: &str) -> String {
    method.chars().filter(char::is_ascii_alphanumeric).take(16).collect()
}

/// The part of the client's query that a provider may see: Anthropic clients send `?beta=true`.
pub fn forwarded_query(target: &str) -> Option<&'static str> {
    let query = target.split_once('?')?.1;
    query.split('&').any(|pair| pair == "beta=true").then_some("beta=true")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_found() {
        for (method, target, found) in [
            ("POST", "/v1/chat/completions", Endpoint::ChatCompletions),
            ("POST", "/v1/responses", Endpoint::Responses),
            ("POST", "/anthropic/v1/messages?beta=true", Endpoint::Messages),
            ("POST", "/v1/messages", Endpoint::Messages),
            ("POST", "/v1/messages/count_tokens?beta=true", Endpoint::CountTokens),
            ("POST", "/v1/responses/input_tokens", Endpoint::InputTokens),
            ("POST", "/v1/embeddings", Endpoint::Embeddings),
            ("POST", "/v1/images/generations", Endpoint::ImageGenerations),
            ("POST", "/v1/images/edits", Endpoint::ImageEdits),
            ("POST", "/v1/audio/transcriptions", Endpoint::Transcriptions),
            ("POST", "/v1/audio/speech", Endpoint::Speech),
            ("GET", "/v1/models", Endpoint::Models),
            ("GET", "/v1/models/flux-auto", Endpoint::Model("flux-auto".into())),
            ("POST", "/v1/keys/generate", Endpoint::Account(AccountCall::CreateKey)),
            ("HEAD", "/v1/keys?limit=5", Endpoint::Account(AccountCall::ListKeys)),
            ("DELETE", "/v1/keys/7", Endpoint::Account(AccountCall::RevokeKey("7".into()))),
            ("POST", "/v1/keys/7/rotate", Endpoint::Account(AccountCall::RotateKey("7".into()))),
            ("POST", "/v1/route?quality=1", Endpoint::Account(AccountCall::PreviewRoute)),
            ("GET", "/v1/usage/req_1", Endpoint::Account(AccountCall::ExplainUsage("req_1".into()))),
            ("GET", "/openapi.json", Endpoint::OpenApi),
            ("GET", "/v1/status", Endpoint::Status),
            ("HEAD", "/status", Endpoint::StatusPage),
        ] {
            assert_eq!(endpoint(method, target), Ok(found), "{method} {target}");
        }
    }

    #[test]
    fn errors_are_written_as_the_paths_clients_read_them() {
        for (target, has_version, format) in [
            ("/v1/responses", false, WireFormat::OpenaiResponses),
            ("/v1/responses/input_tokens?x=1", false, WireFormat::OpenaiResponses),
            ("/v1/responsesx", false, WireFormat::OpenaiChat),
            ("/v1/chat/completions", true, WireFormat::OpenaiChat),
            ("/v1/messages/x", false, WireFormat::AnthropicMessages),
            ("/v1/models", true, WireFormat::AnthropicMessages),
        ] {
            assert_eq!(error_format(target, has_version), format, "{target}");
        }
    }

    #[test]
    fn what_is_not_served_is_refused_with_its_status() {
        for (method, target, status) in [
            ("GET", "/v1/chat/completions", 405),
            ("DELETE", "/v1/models", 405),
            ("POST", "/anthropic/v1/complete", 403),
            ("GET", "/anthropic", 403),
            ("GET", "/", 404),
            ("POST", "/chat/completions", 404),
            ("POST", "/v1/chat/completions/", 404),
            ("PATCH", "/v1/keys", 405),
            ("POST", "/v1/keys/7", 405),
            ("GET", "/v1/keys/generate", 405),
            ("GET", "/v1/keys/7/rotate", 405),
            ("GET", "/v1/keys/7/8", 404),
            ("GET", "/v1/models/", 404),
            ("POST", "/v1//chat/completions", 400),
            ("POST", "/v1/%63hat/completions", 400),
            ("POST", "/v1/chat%2fcompletions", 400),
            ("POST", "/v1/../v1/chat/completions", 400),
            ("POST", "/v1/chat/completions;x", 400),
            ("POST", "/v1/chat\\completions", 400),
            ("POST", "/v1/chat/completions#x", 400),
            ("POST", "http://x/v1/chat/completions", 400),
        ] {
            assert_eq!(endpoint(method, target).unwrap_err().status(), status, "{method} {target}");
        }
    }

    #[test]
    fn every_method_of_a_path_is_told_and_served() {
        for served in SERVED {
            let path = served.path.replace("{id}", "x");
            for method in served.allow.split(", ") {
                assert!(endpoint(method, &path).is_ok(), "{method} {path}");
            }
            assert_eq!(served.allow.split(", ").count(), served.calls.len(), "{path}");
            let refused = endpoint("TRACE", &path).unwrap_err();
            assert_eq!(refused.kind, RefusalKind::MethodNotAllowed(served.allow), "{path}");
        }
    }

    #[test]
    fn only_the_beta_flag_is_forwarded() {
        assert_eq!(forwarded_query("/v1/messages?key=sk-1&beta=true"), Some("beta=true"));
        assert_eq!(forwarded_query("/v1/messages?key=sk-1"), None);
    }
}
