//! Which failure takes the next attempt, and what the client is told when none is left.
//!
//! Must not know Pingora's errors: the shell says what failed in these words, once, and the same
//! value feeds the retry, the metrics and the refusal.

use std::time::Duration;

use crate::base::refusal::{Refusal, RefusalKind};
use crate::health::probes::Probed;
use crate::translate;
use crate::translate::error::{Cause, Verdict};

/// A failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// No connection, or no TLS session on it.
    Connect,
    /// The connection broke before a whole answer was in.
    Broken,
    /// No head within `timeouts.first_byte_ms`.
    FirstByteTimeout,
    /// A stream without content within `timeouts.first_token_ms`, whatever else came.
    FirstTokenTimeout,
    /// Silence within the answer for `timeouts.idle_ms`.
    IdleTimeout,
    /// `timeouts.total_ms` has passed. Not worth another attempt.
    Deadline,
    /// The provider answered with a status that is its own fault.
    Status(u16),
    /// The provider refused our key or our balance in words, with a status that speaks of the client's fault.
    Credentials,
    /// The provider does not know the model by the name that we sent.
    UnknownModel,
    /// The prompt is longer than the target's window; a target with a larger one follows.
    ContextTooLong,
    /// A success whose body is not one whole JSON value, or no answer of its format.
    BadAnswer,
    /// A stream that ended before its terminator.
    CutStream,
    /// An error object where the first content should be.
    ErrorEvent,
    /// The answer is larger than may be held, in a place where it must be held.
    TooLarge,
}

impl Failure {
    /// A label from a closed list, for metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Broken => "broken_connection",
            Self::FirstByteTimeout => "first_byte_timeout",
            Self::FirstTokenTimeout => "first_token_timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::Deadline => "deadline",
            Self::Credentials | Self::Status(401..=403) => "provider_credentials",
            Self::UnknownModel => "unknown_model",
            Self::ContextTooLong => "context_too_long",
            Self::Status(429) => "rate_limited",
            Self::Status(529) => "overloaded",
            Self::Status(408 | 409) => "status_408_409",
            Self::Status(_) => "status_5xx",
            Self::BadAnswer => "bad_answer",
            Self::CutStream => "cut_stream",
            Self::ErrorEvent => "error_event",
            Self::TooLarge => "too_large",
        }
    }

    /// Whether only the operator of this gateway can mend it: our key, our balance, our name for the model.
    pub fn is_operators(self) -> bool {
        matches!(self, Self::Credentials | Self::UnknownModel | Self::Status(401..=403))
    }

    /// Whether the provider refused our key or our balance: the operator's business.
    pub fn is_about_our_key(self) -> bool {
        matches!(self, Self::Credentials | Self::Status(401..=403))
    }

    /// Whether another target may do better. A passed deadline is the one failure that none mends.
    pub fn is_worth_another_attempt(self) -> bool {
        self != Self::Deadline
    }
}

/// Of whom a failure speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Of the model at its provider.
    Target,
    /// Of the same, and of the address that was asked: another address may do better.
    Address,
    /// Of what our key may still do.
    Limit,
    /// Of our key.
    Key,
    /// Of the client, of time, or of nobody.
    Nobody,
}

impl Failure {
    /// Whom to blame.
    pub fn blame(self) -> Blame {
        match self {
            Self::Connect | Self::Broken | Self::FirstByteTimeout | Self::Status(502..=504) => Blame::Address,
            Self::Status(429) => Blame::Limit,
            Self::Credentials | Self::Status(401 | 402) => Blame::Key,
            // A model may be forbidden to a key that is good for others.
            Self::Status(_)
            | Self::IdleTimeout
            | Self::FirstTokenTimeout
            | Self::UnknownModel
            | Self::BadAnswer
            | Self::CutStream
            | Self::ErrorEvent => Blame::Target,
            Self::Deadline | Self::ContextTooLong | Self::TooLarge => Blame::Nobody,
        }
    }

    /// Whether the same target may do better a moment later.
    pub fn is_passing(self) -> bool {
        match self {
            Self::Connect | Self::Broken | Self::BadAnswer | Self::CutStream | Self::ErrorEvent => true,
            Self::Status(status) => matches!(status, 408 | 409 | 498 | 500 | 502 | 503 | 504 | 529),
            // Whoever was silent for so long is not asked once more in the same request.
            Self::FirstByteTimeout
            | Self::FirstTokenTimeout
            | Self::IdleTimeout
            | Self::Deadline
            | Self::Credentials
            | Self::UnknownModel
            | Self::ContextTooLong
            | Self::TooLarge => false,
        }
    }
}

/// How a status decides the fate of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusVerdict {
    /// An interim answer (1xx): wait on.
    Interim,
    /// A success.
    Answer,
    /// The provider's fault: try the next target.
    Failed(Failure),
    /// The client's own fault: its answer is final.
    Rejected,
}

/// 408, 409, 429 and everything from 500 are the provider's fault. So are 401, 402 and 403, which
/// speak about *our* key, Groq's 498 (capacity), and 3xx: no redirect is ever followed. Other 4xx are the client's own.
pub fn judge_status(status: u16) -> StatusVerdict {
    match status {
        100..=199 => StatusVerdict::Interim,
        200..=299 => StatusVerdict::Answer,
        400 | 404..=407 | 410..=428 | 430..=497 | 499 => StatusVerdict::Rejected,
        _ => StatusVerdict::Failed(Failure::Status(status)),
    }
}

/// What an answer to a probe says. Whoever answers is there: 403 may speak of the one question that was asked, and a
/// limit of a key that works.
pub fn judge_probe(status: u16, body: &[u8]) -> Probed {
    match status {
        401 => Probed::KeyRefused,
        408 | 500.. => Probed::Ill,
        // Google says 400 to a wrong key.
        400 if matches!(translate::error::judge(status, body), Verdict::Fail(Cause::Credentials)) => Probed::KeyRefused,
        _ => Probed::Well,
    }
}

/// The refusal for a plan of which every attempt failed. Names no provider.
pub fn exhausted(last: Failure, retry_after: Option<Duration>) -> Refusal {
    let (kind, message) = match last {
        Failure::Deadline => {
            (RefusalKind::DeadlineExceeded, "no answer within the time limit; try again, or stream the answer")
        }
        // No outage, and nothing that waiting mends.
        Failure::Credentials | Failure::Status(401..=403) => (
            RefusalKind::AllAttemptsFailed,
            "this gateway's own access to the providers of this model was refused; its operator must look at it",
        ),
        Failure::Connect
        | Failure::Broken
        | Failure::FirstByteTimeout
        | Failure::FirstTokenTimeout
        | Failure::IdleTimeout
        | Failure::Status(_)
        | Failure::UnknownModel
        | Failure::ContextTooLong
        | Failure::BadAnswer
        | Failure::CutStream
        | Failure::ErrorEvent
        | Failure::TooLarge => (
            RefusalKind::AllAttemptsFailed,
            "every provider for this model is failing at the moment; try again shortly",
        ),
    };
    let refusal = Refusal::new(kind, message);
    let refusal = refusal.with_detail(format!("last failure: {}", last.name()));
    match retry_after {
        Some(wait) => refusal.with_retry_after(wait),
        None => refusal,
    }
}

/// The refusal where nothing was asked, since every target is ill or rests: when the first of them may be asked again.
pub fn all_away(wait: Duration) -> Refusal {
    Refusal::new(
        RefusalKind::AllAttemptsFailed,
        "every provider for this model is failing or at its limit at the moment; try again as `retry-after` says",
    )
    .with_detail("all targets are passed over")
    .with_retry_after(wait)
}

/// The refusal where every target takes only so many requests at once, and no place was free in time.
pub fn all_full() -> Refusal {
    const WAIT: Duration = Duration::from_secs(1);
    Refusal::new(RefusalKind::Overloaded, "the providers of this model are busy; try again shortly")
        .with_detail("no place at a provider")
        .with_retry_after(WAIT)
}

/// The same where every attempt failed at what the operator alone can mend: to try again cannot help.
pub fn misconfigured(last: Failure) -> Refusal {
    Refusal::new(
        RefusalKind::Misconfigured,
        "the providers of this model take neither the key nor the model's name that this gateway has for them; \
         its operator has to mend that, trying again does not help",
    )
    .with_detail(format!("last failure: {}", last.name()))
}

/// What a client is told when the provider fails after content has gone out.
pub fn broken_off() -> Refusal {
    Refusal::new(
        RefusalKind::AllAttemptsFailed,
        "the provider broke off in the middle of the answer; this request is not charged, send it again",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_fault_a_status_is() {
        for status in [401, 402, 403, 408, 409, 429, 498, 500, 502, 503, 504, 529, 301, 302] {
            assert_eq!(judge_status(status), StatusVerdict::Failed(Failure::Status(status)), "{status}");
        }
        for status in [400, 404, 405, 413, 415, 422, 451] {
            assert_eq!(judge_status(status), StatusVerdict::Rejected, "{status}");
        }
        assert_eq!(judge_status(200), StatusVerdict::Answer);
        let google = br#"{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT"}}"#;
        for (status, body, probed) in [
            (200, &b""[..], Probed::Well),
            (404, b"", Probed::Well),
            (429, b"", Probed::Well),
            (403, b"{}", Probed::Well),
            (400, b"{}", Probed::Well),
            (401, b"", Probed::KeyRefused),
            (400, google, Probed::KeyRefused),
            (500, b"", Probed::Ill),
            (529, b"", Probed::Ill),
        ] {
            assert_eq!(judge_probe(status, body), probed, "{status}");
        }
        assert_eq!(judge_status(103), StatusVerdict::Interim);
    }
}
