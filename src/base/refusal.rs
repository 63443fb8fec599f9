//! Everything that is answered instead of a model.
//!
//! Must not know wire formats or HTTP headers: `wire::refusal` writes a refusal in the caller's
//! format, `proxy::reply` puts it on the socket.

use std::borrow::Cow;
use std::time::Duration;

use super::time::UnixMs;

/// What is refused, as a closed list: each kind has one status and one code per wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalKind {
    /// 400: the request makes no sense.
    InvalidRequest,
    /// 400: the model speaks another wire format than the client.
    WireFormatMismatch,
    /// 400: the prompt is longer than any target's window.
    ContextTooLong,
    /// 402: the account has spent what it may.
    FundsSpent,
    /// 402: the key has spent its own budget.
    BudgetSpent,
    /// 429: the key has asked as often as it may, or has as many requests at work as it may.
    TooManyRequests,
    /// 429: the key has used as many tokens as it may.
    TooManyTokens,
    /// 401: no key, or one that is unknown, expired or revoked.
    InvalidKey,
    /// 403: an endpoint that is not served, or not allowed to this key.
    Forbidden,
    /// 404: no such path.
    NotFound,
    /// 404: no such model.
    ModelNotFound,
    /// 405: the path exists, the method does not; holds those that do, as `allow` tells them.
    MethodNotAllowed(&'static str),
    /// 408: the client sent its request too slowly.
    RequestTimeout,
    /// 409: the same request is at work.
    Repeated,
    /// 413: the body is larger than allowed.
    BodyTooLarge,
    /// 417: the client expects what is not done here.
    ExpectationFailed,
    /// 431: the head is larger than allowed.
    HeadTooLarge,
    /// The provider refused the request itself: its own status (400 to 422) is kept.
    UpstreamRejected(u16),
    /// 500: our own fault.
    Internal,
    /// 503: every attempt failed.
    AllAttemptsFailed,
    /// 503: every attempt failed at what only the operator can mend, such as a provider's key.
    Misconfigured,
    /// 503: too much at once, storage unavailable, or shutting down.
    Overloaded,
    /// 504: the total deadline passed.
    DeadlineExceeded,
}

/// The figures behind a limit, as they stand beside the error. Amounts are decimals, in what the account's tariff is
/// sold in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// What could be spent at once.
    pub balance: Option<String>,
    /// What the request may cost at least.
    pub estimated_cost: Option<String>,
    /// The limit.
    pub limit: Option<String>,
    /// What is left of it.
    pub remaining: Option<u64>,
    /// When all of it is back.
    pub reset: Option<UnixMs>,
}

/// A refusal: what the client is told, and what only the log is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Decides status, type and code.
    pub kind: RefusalKind,
    /// For the client: what is wrong and what to do. Holds no secret, no provider address.
    pub message: Cow<'static, str>,
    /// The field that is at fault, if one is.
    pub param: Option<Box<str>>,
    /// A more exact code than the kind's own, where the provider gave one.
    pub code: Option<Box<str>>,
    /// How long the client should wait; sent as `retry-after`.
    pub retry_after: Option<Duration>,
    /// The figures behind a limit.
    pub figures: Option<Box<Figures>>,
    /// For the log only.
    pub detail: Option<Box<str>>,
}

impl Refusal {
    /// A refusal with a message and nothing else.
    pub fn new(kind: RefusalKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, message: message.into(), param: None, code: None, retry_after: None, figures: None, detail: None }
    }

    /// Names the field that is at fault.
    #[must_use]
    pub fn with_param(mut self, param: impl Into<Box<str>>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Tells the client when to come back.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Adds the figures behind a limit.
    #[must_use]
    pub fn with_figures(mut self, figures: Figures) -> Self {
        self.figures = Some(Box::new(figures));
        self
    }

    /// Adds what only the log may see.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<Box<str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self.kind {
            RefusalKind::InvalidRequest | RefusalKind::WireFormatMismatch | RefusalKind::ContextTooLong => 400,
            RefusalKind::FundsSpent | RefusalKind::BudgetSpent => 402,
            RefusalKind::TooManyRequests | RefusalKind::TooManyTokens => 429,
            RefusalKind::InvalidKey => 401,
            RefusalKind::Forbidden => 403,
            RefusalKind::NotFound | RefusalKind::ModelNotFound => 404,
            RefusalKind::MethodNotAllowed(_) => 405,
            RefusalKind::RequestTimeout => 408,
            RefusalKind::Repeated => 409,
            RefusalKind::BodyTooLarge => 413,
            RefusalKind::ExpectationFailed => 417,
            RefusalKind::HeadTooLarge => 431,
            RefusalKind::UpstreamRejected(status) => status,
            RefusalKind::Internal => 500,
            RefusalKind::AllAttemptsFailed | RefusalKind::Misconfigured | RefusalKind::Overloaded => 503,
            RefusalKind::DeadlineExceeded => 504,
        }
    }

    /// Whether the same request may succeed later; sent as `x-should-retry`.
    pub fn is_worth_a_retry(&self) -> bool {
        self.kind != RefusalKind::Misconfigured && matches!(self.status(), 408 | 409 | 429 | 500..=599)
    }
}
