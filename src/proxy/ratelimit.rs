//! What providers tell of a key's limits in the head of an answer.
//!
//! Must not decide anything. Names and notations differ by provider; what is not understood says nothing.

use std::time::Duration;

use http::HeaderMap;

use crate::base::time::UnixMs;

/// Longer than this is not believed: a limit of a day is told in other ways.
const REST_MAX: Duration = Duration::from_hours(1);
/// Words at the start of what names a limit.
const FAMILIES: [&str; 2] = ["x-ratelimit-remaining-", "anthropic-ratelimit-"];
const OF_ANTHROPIC: &str = "-remaining";

/// How long a key has nothing left: the longest of all limits that are used up and say when they are back.
pub(super) fn rest(headers: &HeaderMap, now: UnixMs) -> Option<Duration> {
    let mut longest: Option<Duration> = None;
    for (name, value) in headers {
        let name = name.as_str();
        let Some(family) = FAMILIES.iter().find(|family| name.starts_with(**family)) else { continue };
        let reset = if *family == FAMILIES[0] {
            name.replacen("-remaining-", "-reset-", 1)
        } else {
            let Some(limit) = name.strip_suffix(OF_ANTHROPIC) else { continue };
            format!("{limit}-reset")
        };
        // A figure below zero has been seen where nothing is known.
        if value.to_str().ok().and_then(|left| left.parse::<f64>().ok()).is_none_or(|left| !(0.0..1.0).contains(&left))
        {
            continue;
        }
        let wait = headers.get(&*reset).and_then(|value| value.to_str().ok()).and_then(|text| wait_until(text, now));
        longest = longest.max(wait);
    }
    longest.filter(|wait| !wait.is_zero()).map(|wait| wait.min(REST_MAX))
}

/// `6m0s`, `7.66s`, `20ms`, seconds with or without a fraction, or a moment of RFC 3339.
fn wait_until(text: &str, now: UnixMs) -> Option<Duration> {
    if text.contains('T') {
        let then = UnixMs::parse(text)?;
        return Some(Duration::from_millis(then.0.saturating_sub(now.0)));
    }
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let mut sum = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| c.is_ascii_alphabetic())?;
        let (number, after) = rest.split_at(unit_at);
        let unit_end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let seconds = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
        sum = sum.checked_add(part)?;
        rest = after;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn a_limit_that_is_used_up_lets_the_key_rest() {
        for (headers, rests_ms) in [
            (&[("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "6m0s")][..], Some(360_000)),
            (&[("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "7.66s")], Some(7_660)),
            (&[("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "20ms")], Some(20)),
            (&[("x-ratelimit-remaining-tokens-minute", "0"), ("x-ratelimit-reset-tokens-minute", "1.5")], Some(1_500)),
            (&[("x-ratelimit-remaining-requests", "3"), ("x-ratelimit-reset-requests", "9s")], None),
            (&[("x-ratelimit-remaining-requests", "-1"), ("x-ratelimit-reset-requests", "9s")], None),
            (&[("x-ratelimit-remaining-requests", "0")], None),
            (&[("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "soon")], None),
            (
                &[
                    ("anthropic-ratelimit-requests-remaining", "0"),
                    ("anthropic-ratelimit-requests-reset", "1970-01-01T00:01:20Z"),
                    ("anthropic-ratelimit-tokens-remaining", "0"),
                    ("anthropic-ratelimit-tokens-reset", "1970-01-01T00:01:05Z"),
                    ("anthropic-ratelimit-tokens-limit", "0"),
                ],
                Some(20_000),
            ),
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            assert_eq!(rest(&map, UnixMs(60_000)), rests_ms.map(Duration::from_millis), "{headers:?}");
        }
    }
}
