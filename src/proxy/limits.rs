//! What answers tell of a key's limits and its account's money, in the headers that clients know.
//!
//! Must not decide anything: the figures are those of the admission.

use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use pingora::http::ResponseHeader;

use crate::accounts::rate::Left;
use crate::base::money::NanoUsd;
use crate::base::refusal::{Figures, Refusal, RefusalKind};
use crate::base::time::UnixMs;
use crate::base::wire_format::WireFormat;
use crate::exchange::Exchange;

use super::reply::Caller;

const X_FLUX_OUTPUT_LIMIT: HeaderName = HeaderName::from_static("x-flux-output-limit");
const X_FLUX_REPEATED: HeaderName = HeaderName::from_static("x-flux-repeated");
const X_FLUX_AVAILABLE: HeaderName = HeaderName::from_static("x-flux-available");
const X_FLUX_HELD: HeaderName = HeaderName::from_static("x-flux-held");
const NANO_PER_MICRO: i64 = 1_000;

/// Names of the headers of one limit: limit, remaining, reset.
type Names = [HeaderName; 3];

const OPENAI_REQUESTS: Names = [
    HeaderName::from_static("x-ratelimit-limit-requests"),
    HeaderName::from_static("x-ratelimit-remaining-requests"),
    HeaderName::from_static("x-ratelimit-reset-requests"),
];
const OPENAI_TOKENS: Names = [
    HeaderName::from_static("x-ratelimit-limit-tokens"),
    HeaderName::from_static("x-ratelimit-remaining-tokens"),
    HeaderName::from_static("x-ratelimit-reset-tokens"),
];
const ANTHROPIC_REQUESTS: Names = [
    HeaderName::from_static("anthropic-ratelimit-requests-limit"),
    HeaderName::from_static("anthropic-ratelimit-requests-remaining"),
    HeaderName::from_static("anthropic-ratelimit-requests-reset"),
];
const ANTHROPIC_TOKENS: Names = [
    HeaderName::from_static("anthropic-ratelimit-tokens-limit"),
    HeaderName::from_static("anthropic-ratelimit-tokens-remaining"),
    HeaderName::from_static("anthropic-ratelimit-tokens-reset"),
];

/// Adds what an answer tells: the key's limits where it has any, the bound that was set on the answer, and the
/// account's money where the key's settings say so.
pub(super) fn put(headers: &mut HeaderMap, exchange: &Exchange) {
    let arrival = exchange.arrival();
    let (requests, tokens) = exchange.admission().left();
    if let Some(left) = requests {
        put_left(headers, names(arrival.format, RefusalKind::TooManyRequests), left, arrival.format, arrival.at);
    }
    if let Some(left) = tokens {
        put_left(headers, names(arrival.format, RefusalKind::TooManyTokens), left, arrival.format, arrival.at);
    }
    if let Some(limit) = exchange.output_limit() {
        headers.insert(X_FLUX_OUTPUT_LIMIT, HeaderValue::from(limit));
    }
    if exchange.admission().is_repeat() {
        headers.insert(X_FLUX_REPEATED, HeaderValue::from_static("true"));
    }
    if arrival.key.settings.shows_balance {
        let standing = arrival.key.account.funds().standing(arrival.at);
        let micro = |amount: NanoUsd| HeaderValue::from(amount.0 / NANO_PER_MICRO);
        if let Some(available) = standing.available {
            headers.insert(X_FLUX_AVAILABLE, micro(available));
        }
        headers.insert(X_FLUX_HELD, micro(standing.held));
    }
}

/// Adds the limit that a refusal speaks of.
pub(super) fn put_refused(head: &mut ResponseHeader, refusal: &Refusal, caller: Caller) {
    let Caller { format, at: now, .. } = caller;
    let is_limit = matches!(refusal.kind, RefusalKind::TooManyRequests | RefusalKind::TooManyTokens);
    let Some(figures) = refusal.figures.as_deref().filter(|_| is_limit) else { return };
    let Figures { limit, remaining, reset, .. } = figures;
    let Some(limit) = limit.as_ref().and_then(|limit| limit.parse().ok()) else { return };
    let until = reset.map_or(0, |reset| reset.0.saturating_sub(now.0));
    let left = Left { limit, remaining: remaining.unwrap_or(0), reset: Duration::from_millis(until) };
    let mut headers = HeaderMap::with_capacity(3);
    put_left(&mut headers, names(format, refusal.kind), left, format, now);
    for (name, value) in &headers {
        // A header that does not fit is left out; the body says the same.
        let _ = head.insert_header(name, value);
    }
}

fn names(format: WireFormat, kind: RefusalKind) -> Names {
    match (format == WireFormat::AnthropicMessages, kind == RefusalKind::TooManyTokens) {
        (false, false) => OPENAI_REQUESTS,
        (false, true) => OPENAI_TOKENS,
        (true, false) => ANTHROPIC_REQUESTS,
        (true, true) => ANTHROPIC_TOKENS,
    }
}

fn put_left(headers: &mut HeaderMap, names: Names, left: Left, format: WireFormat, now: UnixMs) {
    let Left { limit, remaining, reset } = left;
    let [limit_name, remaining_name, reset_name] = names;
    headers.insert(limit_name, HeaderValue::from(limit));
    headers.insert(remaining_name, HeaderValue::from(remaining));
    let reset = if format == WireFormat::AnthropicMessages { moment(now, reset) } else { span(reset) };
    if let Ok(reset) = HeaderValue::from_str(&reset) {
        headers.insert(reset_name, reset);
    }
}

/// A duration as OpenAI's headers tell it: `20ms`, `1.5s`, `6m0s`.
fn span(wait: Duration) -> String {
    let ms = wait.as_millis();
    let (minutes, rest) = (ms / 60_000, ms % 60_000);
    let seconds = match (rest / 1_000, rest % 1_000) {
        (whole, 0) => format!("{whole}s"),
        (whole, part) => format!("{whole}.{part:03}s"),
    };
    match (minutes, ms) {
        (0, 0) => "0s".to_owned(),
        (0, 1..1_000) => format!("{ms}ms"),
        (0, _) => seconds,
        (minutes, _) => format!("{minutes}m{seconds}"),
    }
}

/// A moment as Anthropic's headers tell it.
fn moment(now: UnixMs, wait: Duration) -> String {
    let at =
        i64::try_from(now.0).unwrap_or(i64::MAX).saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
    // In whole seconds, rounded up.
    let at = jiff::Timestamp::from_second(at.div_euclid(1_000).saturating_add(i64::from(at.rem_euclid(1_000) > 0)));
    at.map(|at| at.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_as_openai_does() {
        for (ms, told) in
            [(0, "0s"), (20, "20ms"), (1_000, "1s"), (1_500, "1.500s"), (60_000, "1m0s"), (361_250, "6m1.250s")]
        {
            assert_eq!(span(Duration::from_millis(ms)), told);
        }
    }

    #[test]
    fn moments_are_rounded_up() {
        assert_eq!(moment(UnixMs(1_790_000_000_001), Duration::from_mins(1)), "2026-09-21T14:14:21Z");
    }
}
