//! Errors in the place of an answer, or in the middle of one.
//!
//! Must not know what a client is told. Hosts put them under `error` as an object or as words, at the top like the
//! body of a refusal, in a corner of their own, on the choice, or into the reason of the finish.

use crate::translate::ir::{Fault, FaultKind, Text, Value};
use crate::wire::json::Kind;
use crate::wire::usage::is_truthy;

/// The error in a chunk or an answer, if it is one.
pub(super) fn read(answer: Value<'_>) -> Option<Fault<'_>> {
    let (mut error, mut message, mut choices, mut kind, mut status) = (None, None, None, None, None);
    for (name, value) in answer.members() {
        match &*name {
            "error" if is_truthy(value.spelt().as_bytes()) => error = Some(value),
            "x_groq" => error = error.or_else(|| value.get("error").filter(|error| !error.is_null())),
            "message" => message = value.as_text(),
            "code" | "type" => kind = kind.or_else(|| Some(value).filter(|value| !value.is_null())),
            "status_code" => status = value.as_u64(),
            "choices" => choices = Some(value),
            _ => {}
        }
    }
    if let Some(error) = error {
        return Some(of(error, status));
    }
    if choices.is_none() && kind.is_some() {
        return message.map(|message| Fault { kind: kind_of(answer, status), message });
    }
    None
}

/// The error on a choice that failed.
pub(super) fn of_choice(error: Value<'_>) -> Option<Fault<'_>> {
    is_truthy(error.spelt().as_bytes()).then(|| of(error, Option::default()))
}

/// The error of an event of that name.
pub(super) fn named(event: Value<'_>) -> Fault<'_> {
    read(event).unwrap_or_else(|| of(event, Option::default()))
}

/// The error that a finish reason names.
pub(super) fn finished(reason: &str) -> Fault<'static> {
    let kind = if reason == "error" { FaultKind::Fault } else { FaultKind::Overloaded };
    Fault { kind, message: Text::plain(reason.to_owned()) }
}

fn of(error: Value<'_>, status: Option<u64>) -> Fault<'_> {
    let message = match error.kind() {
        Kind::Text => error.as_text(),
        Kind::Null | Kind::Bool | Kind::Number | Kind::Array | Kind::Object => {
            error.get("message").and_then(Value::as_text)
        }
    };
    Fault { kind: kind_of(error, status), message: message.unwrap_or_default() }
}

fn kind_of(error: Value<'_>, status: Option<u64>) -> FaultKind {
    let code = error.get("code");
    let numbers = code.and_then(Value::as_text).and_then(|code| code.spelt().parse().ok());
    let number = status.or_else(|| code.and_then(Value::as_u64)).or(numbers);
    match number {
        Some(429 | 498) => return FaultKind::RateLimited,
        Some(503 | 529) => return FaultKind::Overloaded,
        Some(400 | 404 | 413 | 415 | 422) => return FaultKind::Rejected,
        Some(_) => return FaultKind::Fault,
        None => {}
    }
    let words = [code, error.get("type")];
    let says = |part: &str| words.iter().flatten().any(|word| word.spelt().to_ascii_lowercase().contains(part));
    if says("rate_limit") || says("too_many_requests") || says("ratelimit") {
        FaultKind::RateLimited
    } else if says("overload") || says("unavailable") || says("capacity") {
        FaultKind::Overloaded
    } else if says("invalid_request") || says("context_length") || says("badrequest") || says("bad_request") {
        FaultKind::Rejected
    } else {
        FaultKind::Fault
    }
}
