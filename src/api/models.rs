//! `GET /v1/models` and `GET /v1/models/{id}`: what can be asked for, and what it costs.
//!
//! Must not list what cannot be routed: a name whose providers have no key is not shown.

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::base::money::PicoUsd;
use crate::base::refusal::{Refusal, RefusalKind};
use crate::base::time::UnixMs;
use crate::base::wire_format::WireFormat;
use crate::catalog::{Catalog, Chain, ChainKind, Model, ModelKind, Target};
use crate::exchange::route::Endpoint;
use crate::exchange::snapshot::Snapshot;

/// The names shown are Flux's own, so is the date: the day the list was first published.
const AUTO_SINCE: UnixMs = UnixMs(1_795_305_600_000);

/// Whose list it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Of live keys: what providers serve.
    Live,
    /// Of test keys, for which the mock answers under every name.
    Tests,
}

/// The list, or one model, in the format of the client's SDK.
///
/// # Errors
/// 404 for a name that leads nowhere.
pub fn answer(
    endpoint: &Endpoint,
    snapshot: &Snapshot,
    (format, audience): (WireFormat, Audience),
    at: UnixMs,
) -> Result<Bytes, Refusal> {
    let catalog = Listed { catalog: &snapshot.catalog, audience, at };
    let is_anthropic = format == WireFormat::AnthropicMessages;
    let body = if let Endpoint::Model(id) = endpoint {
        let entry = catalog.entry_by_name(id).ok_or_else(|| not_listed(id))?;
        if is_anthropic { entry.anthropic() } else { entry.openai() }
    } else {
        let mut entries = catalog.entries();
        if is_anthropic {
            // Its clients have no other endpoint.
            entries.retain(|entry| entry.model.kind == ModelKind::Chat);
            anthropic_list(&entries)
        } else {
            openai_list(&entries)
        }
    };
    Ok(Bytes::from(body.to_string()))
}

/// One listed name.
struct Entry<'a> {
    name: &'a str,
    /// `None` for the router's own name.
    chain: Option<&'a Chain>,
    /// The first model that can be reached.
    model: &'a Model,
    /// When it is asked, for prices that change.
    at: UnixMs,
}

/// The catalogue as it is listed to someone at some time.
#[derive(Clone, Copy)]
struct Listed<'a> {
    catalog: &'a Catalog,
    audience: Audience,
    at: UnixMs,
}

impl<'a> Listed<'a> {
    fn entries(self) -> Vec<Entry<'a>> {
        let chains = self.catalog.lanes().iter().chain(self.catalog.pins());
        let listed: Vec<Entry<'a>> = chains.filter_map(|chain| self.entry(&chain.name, chain)).collect();
        self.auto_entry().into_iter().chain(listed).collect()
    }

    fn entry(self, name: &'a str, chain: &'a Chain) -> Option<Entry<'a>> {
        let targets = match self.audience {
            Audience::Live => &chain.targets,
            Audience::Tests => &chain.mock_targets,
        };
        let target = targets.iter().find(|target| target.is_live(self.at) && is_reachable(target))?;
        Some(Entry { name, chain: Some(chain), model: &target.model, at: self.at })
    }

    fn auto_entry(self) -> Option<Entry<'a>> {
        let lane = self.catalog.lanes().iter().find_map(|lane| self.entry(&lane.name, lane))?;
        Some(Entry { name: self.catalog.auto_name(), chain: None, model: lane.model, at: self.at })
    }

    fn entry_by_name(self, id: &'a str) -> Option<Entry<'a>> {
        match self.catalog.chain(self.catalog.resolve(id)?) {
            Some(chain) => self.entry(id, chain),
            None => self.auto_entry(),
        }
    }
}

/// Whether a client of any served format reaches it, its own way or translated.
fn is_reachable(target: &Target) -> bool {
    let takes = |format: &WireFormat| target.takes_written(*format) && *format != WireFormat::BedrockConverse;
    target.is_on_mock() || WireFormat::ALL.iter().any(takes)
}

fn not_listed(id: &str) -> Refusal {
    const SHOWN_CHARS_MAX: usize = 80;
    let shown: String = id.chars().take(SHOWN_CHARS_MAX).collect();
    let message =
        format!("the model \"{shown}\" does not exist or has no provider; GET /v1/models lists those that do");
    Refusal::new(RefusalKind::ModelNotFound, message).with_param("model")
}

impl Entry<'_> {
    fn since(&self) -> UnixMs {
        if self.chain.is_none() || self.model.released.0 == 0 { AUTO_SINCE } else { self.model.released }
    }

    fn display_name(&self) -> &str {
        self.chain.map_or("Flux auto", |chain| &chain.display_name)
    }

    fn openai(&self) -> Value {
        let limits = &self.model.limits;
        let input_tokens_max = limits.input_tokens_max.or(limits.context_tokens);
        json!({
            "id": self.name,
            "object": "model",
            "created": self.since().0 / 1000,
            "owned_by": "flux",
            "kind": self.model.kind.name(),
            "display_name": self.display_name(),
            "max_input_tokens": input_tokens_max,
            "max_output_tokens": limits.output_tokens_max,
            "lane": self.chain.filter(|chain| chain.kind == ChainKind::Lane).map(|chain| &*chain.name),
            "pricing": self.pricing(),
        })
    }

    fn anthropic(&self) -> Value {
        let created = i64::try_from(self.since().0).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let limits = &self.model.limits;
        json!({
            "type": "model",
            "id": self.name,
            "display_name": self.display_name(),
            "created_at": created.map(|timestamp| timestamp.to_string()),
            "max_input_tokens": limits.input_tokens_max.or(limits.context_tokens),
            "max_tokens": limits.output_tokens_max,
            "pricing": self.pricing(),
        })
    }

    /// USD per million tokens, as decimal strings. The router's own price is that of the lane it chooses.
    fn pricing(&self) -> Value {
        let Some(chain) = self.chain else { return json!({ "currency": "USD", "unit": "1M tokens", "by": "lane" }) };
        if let (None, Some((unit, price))) = (&chain.rates, self.model.price.piece()) {
            return json!({ "currency": "USD", "unit": unit, "price": usd(price) });
        }
        let (input, output, cache_read) = if let Some(rates) = &chain.rates {
            (rates.input, rates.output, rates.cache_read)
        } else {
            let rates = self.model.price.rates(0, self.at, "");
            (rates.input, rates.output, rates.cache_read)
        };
        json!({
            "currency": "USD",
            "unit": "1M tokens",
            "input": per_million(input),
            "output": per_million(output),
            "cache_read": per_million(cache_read),
        })
    }
}

/// Pico-USD per token as USD per million tokens: the same digits, six of them decimals.
pub(super) fn per_million(price: PicoUsd) -> String {
    const SCALE: u128 = 1_000_000;
    let (whole, fraction) = (price.0 / SCALE, price.0 % SCALE);
    if fraction == 0 {
        return whole.to_string();
    }
    format!("{whole}.{}", format!("{fraction:06}").trim_end_matches('0'))
}

/// Pico-USD as USD.
fn usd(price: PicoUsd) -> String {
    const PICO_PER_MICRO: u128 = 1_000_000;
    per_million(PicoUsd(price.0.div_ceil(PICO_PER_MICRO)))
}

fn openai_list(entries: &[Entry<'_>]) -> Value {
    json!({ "object": "list", "data": entries.iter().map(Entry::openai).collect::<Vec<_>>() })
}

fn anthropic_list(entries: &[Entry<'_>]) -> Value {
    let (first, last) = (entries.first().map(|e| e.name), entries.last().map(|e| e.name));
    json!({
        "data": entries.iter().map(Entry::anthropic).collect::<Vec<_>>(),
        "has_more": false,
        "first_id": first,
        "last_id": last,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_keep_their_digits() {
        for (pico, text) in [(1_000_000, "1"), (131_250, "0.13125"), (0, "0"), (30_000_000, "30"), (6_000, "0.006")] {
            assert_eq!(per_million(PicoUsd(pico)), text);
        }
    }
}
