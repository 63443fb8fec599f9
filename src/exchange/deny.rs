//! What a client is told who is not let in: 429 for limits that come back by themselves, 402 for money that does not.
//!
//! Must not know wire formats. Amounts are told in what the account's tariff is sold in.

use std::time::Duration;

use super::Arrival;
use crate::accounts::funds::Short;
use crate::accounts::idempotency::Clash;
use crate::accounts::key::KeyState;
use crate::accounts::rate::{Exceeded, Left};
use crate::admit::{Denied, Purse};
use crate::base::money::NanoUsd;
use crate::base::refusal::{Figures, Refusal, RefusalKind};
use crate::base::tariff::{Credits, Overage, Unit};
use crate::base::time::UnixMs;

/// When to ask again where a place may be free at any moment.
const PLACE_WAIT: Duration = Duration::from_secs(1);

/// The refusal in words.
pub(super) fn refusal(denied: &Denied, arrival: &Arrival) -> Refusal {
    denied_to(denied, &arrival.key, arrival.at)
}

/// The same before the body was read.
pub fn denied_to(denied: &Denied, key: &KeyState, at: UnixMs) -> Refusal {
    match denied {
        Denied::Concurrent { limit } => {
            let at_work = counted((*limit).into(), "request");
            let message = format!("this key has {at_work} at work, as many as it may; try again when one is done");
            let figures = Figures { limit: Some(limit.to_string()), remaining: Some(0), ..Figures::default() };
            Refusal::new(RefusalKind::TooManyRequests, message).with_retry_after(PLACE_WAIT).with_figures(figures)
        }
        Denied::Requests(exceeded) => limited(RefusalKind::TooManyRequests, "request", exceeded, at),
        Denied::Tokens(exceeded) => limited(RefusalKind::TooManyTokens, "token", exceeded, at),
        Denied::Funds { purse, short, needed } => short_of_money(*purse, short, *needed, key),
    }
}

/// What a client is told whose idempotency key is in the way.
pub fn clash(clash: Clash) -> Refusal {
    match clash {
        Clash::AtWork => {
            let message = "a request with this Idempotency-Key is at work; wait for its answer, or try again shortly";
            Refusal::new(RefusalKind::Repeated, message).with_retry_after(PLACE_WAIT)
        }
        Clash::OtherBody => {
            let message = "this Idempotency-Key was used with another body; send a new key with a new request";
            Refusal::new(RefusalKind::InvalidRequest, message).with_param("Idempotency-Key")
        }
        Clash::TooOften => {
            let message = "the request of this Idempotency-Key was answered as often as it may be; send a new key";
            Refusal::new(RefusalKind::InvalidRequest, message).with_param("Idempotency-Key")
        }
    }
}

/// So many of what a limit is of: `1 request`, `60 requests`.
fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

fn limited(kind: RefusalKind, what: &str, exceeded: &Exceeded, at: UnixMs) -> Refusal {
    let Exceeded { left: Left { limit, remaining, reset }, window, retry_after } = exceeded;
    let most = format!("{} a {}", counted(*limit, what), window.name());
    let reset = UnixMs(at.0.saturating_add(u64::try_from(reset.as_millis()).unwrap_or(u64::MAX)));
    let figures = Figures {
        limit: Some(limit.to_string()),
        remaining: Some(*remaining),
        reset: Some(reset),
        ..Figures::default()
    };
    let Some(wait) = retry_after else {
        let message =
            format!("this request alone is larger than the key's limit of {most}; send less, or lower max_tokens");
        return Refusal::new(kind, message).with_figures(figures);
    };
    let message = format!("this key's limit of {most} is reached; try again in {} ms", wait.as_millis());
    Refusal::new(kind, message).with_retry_after(*wait).with_figures(figures)
}

fn short_of_money(purse: Purse, short: &Short, needed: NanoUsd, key: &KeyState) -> Refusal {
    let Short { available, resets_at } = *short;
    let contract = key.account.contract();
    let tariff = &contract.tariff;
    let unit = if purse == Purse::Key { Unit::Usd } else { tariff.unit };
    let shown = |amount: NanoUsd| match unit {
        Unit::Usd => amount.to_string(),
        Unit::Credits => Credits(amount).to_string(),
    };
    let balance = shown(available);
    let costs = shown(needed);
    let told = match unit {
        Unit::Usd => format!("it needs about ${costs}, ${balance} is left"),
        Unit::Credits => format!("it needs about {costs} credits, {balance} are left"),
    };
    let (kind, message) = match (purse, tariff.overage) {
        (Purse::Key, _) => (
            RefusalKind::BudgetSpent,
            format!("the key's own budget does not cover this request: {told}; raise the budget or use another key"),
        ),
        (Purse::Account, Overage::Refused) => (
            RefusalKind::FundsSpent,
            format!(
                "the {} tariff's usage is used up for this request: {told}; wait for the next period or change the tariff",
                tariff.name
            ),
        ),
        (Purse::Account, Overage::AtRates | Overage::PerCredit(_)) => (
            RefusalKind::FundsSpent,
            format!(
                "the account's spend ceiling does not cover this request: {told}; raise the ceiling or wait for the next period"
            ),
        ),
    };
    let limit = match purse {
        Purse::Key => key.settings.budget.map(|budget| budget.amount),
        Purse::Account => tariff.limit(contract.cap),
    };
    let figures = Figures {
        balance: Some(balance),
        estimated_cost: Some(costs),
        limit: limit.map(shown),
        remaining: None,
        reset: resets_at,
    };
    Refusal::new(kind, message).with_figures(figures)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::key::KeyKind;
    use crate::accounts::rate::Window;

    #[test]
    fn a_limit_is_told_with_its_window_and_in_its_number() {
        let key = KeyState::sample(KeyKind::Live);
        let exceeded = |limit, window| {
            let left = Left { limit, remaining: 0, reset: Duration::ZERO };
            Exceeded { left, window, retry_after: Some(Duration::from_millis(450)) }
        };
        for (denied, begins) in [
            (Denied::Requests(exceeded(1, Window::Second)), "this key's limit of 1 request a second is reached; "),
            (Denied::Requests(exceeded(60, Window::Minute)), "this key's limit of 60 requests a minute is reached; "),
            (Denied::Tokens(exceeded(1, Window::Minute)), "this key's limit of 1 token a minute is reached; "),
            (Denied::Concurrent { limit: 1 }, "this key has 1 request at work, as many as it may; "),
            (Denied::Concurrent { limit: 2 }, "this key has 2 requests at work, as many as it may; "),
            (
                Denied::Tokens(Exceeded { retry_after: None, ..exceeded(9, Window::Minute) }),
                "this request alone is larger than the key's limit of 9 tokens a minute; ",
            ),
        ] {
            let told = denied_to(&denied, &key, UnixMs(0)).message;
            assert!(told.starts_with(begins), "{told}");
        }
    }
}
