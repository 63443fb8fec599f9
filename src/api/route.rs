//! `POST /v1/route`: where a request would go and why, without sending it anywhere.
//!
//! Must not keep anything of it, and must not be logged: the answer holds words of the prompt.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::models::per_million;
use super::query::Query;
use super::{Answer, Asked, bad, json};
use crate::accounts::key::KeyKind;
use crate::base::money::NanoUsd;
use crate::base::quality::Quality;
use crate::base::refusal::Refusal;
use crate::base::time::UnixMs;
use crate::base::wire_format::WireFormat;
use crate::catalog::{Chain, Model, Target};
use crate::classify::explain::{Clue, Explanation, LaneWorth};
use crate::classify::rules::{self, Held};
use crate::exchange;
use crate::exchange::preview::{self, Alternative, Preview, Question, Tokens};
use crate::exchange::snapshot::Snapshot;
use crate::plan::Via;

/// The wire formats that can be asked about, with the short names that are taken too.
pub const FORMATS: [(&str, WireFormat); 6] = [
    ("chat", WireFormat::OpenaiChat),
    ("responses", WireFormat::OpenaiResponses),
    ("messages", WireFormat::AnthropicMessages),
    ("openai-chat", WireFormat::OpenaiChat),
    ("openai-responses", WireFormat::OpenaiResponses),
    ("anthropic-messages", WireFormat::AnthropicMessages),
];

/// Where a request would go, and why.
#[derive(Debug, Serialize, ToSchema)]
pub struct RouteView {
    /// `route`.
    pub object: &'static str,
    /// What the name that was sent stands for: the router, a lane or a pin.
    pub requested_model: String,
    /// The wire format that the request was read in.
    pub wire_format: &'static str,
    /// The lane; null for a pin.
    pub lane: Option<String>,
    /// The model that would be asked first, by its canonical id.
    pub model: String,
    /// The estimated gain of the reasoning lane over the standard lane, -1 to 1.
    pub score: f64,
    /// What decided.
    pub reason: ReasonView,
    /// The wish for quality that held, 0 to 1.
    pub quality: f64,
    /// The rules of `flux-auto` that held, in the order in which they are asked.
    pub rules: Vec<RuleView>,
    /// The features that rules may ask of, by name.
    #[schema(value_type = Object)]
    pub features: BTreeMap<&'static str, Value>,
    /// The kinds of work with their probabilities, likeliest first.
    pub kinds: Vec<KindView>,
    /// What weighed most for the likeliest kind against the second, at most twelve.
    pub clues: Vec<ClueView>,
    /// What the lanes that answer in words are worth.
    pub lanes: Vec<LaneView>,
    /// With how many tokens costs are estimated.
    pub estimated_tokens: TokensView,
    /// What would be tried, in this order.
    pub attempts: Vec<AttemptView>,
    /// The other lanes.
    pub alternatives: Vec<AlternativeView>,
}

/// What decided.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReasonView {
    /// `rule`, `kind`, `key` or `account` (their bound), `fit` (the lane of choice cannot serve it), `format`, or `request`
    /// where the model was asked for by name.
    pub by: String,
    /// The rule, the kind of work, what did not fit, or the lane or pin; empty where there is nothing more to say.
    pub name: String,
}

/// A rule that held.
#[derive(Debug, Serialize, ToSchema)]
pub struct RuleView {
    /// Its name.
    pub name: String,
    /// `lane`, `at_least` or `at_most`.
    pub effect: &'static str,
    /// The lane that it names.
    pub lane: String,
}

/// A kind of work.
#[derive(Debug, Serialize, ToSchema)]
pub struct KindView {
    /// Its name.
    pub kind: String,
    /// How likely it is, 0 to 1.
    pub probability: f64,
}

/// What speaks for the likeliest kind, or against it.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClueView {
    /// `word` or `pair` of the last words, `context_word` or `context_pair` of those before, or `shape`.
    pub sign: &'static str,
    /// The words, or what was counted.
    pub text: String,
    /// What it adds to the lead over the second kind, as a logarithm.
    pub weight: f64,
}

/// What a lane is worth.
#[derive(Debug, Serialize, ToSchema)]
pub struct LaneView {
    /// Its name.
    pub lane: &'static str,
    /// The quality that is expected of its answer, 0 to 1.
    pub expected_quality: f64,
    /// Its price as a share of the dearest lane's.
    pub price_share: f64,
    /// The quality less the price, as far as that is minded.
    pub worth: f64,
    /// Whether it may be chosen.
    pub is_open: bool,
}

/// What costs are estimated with.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokensView {
    /// Tokens of the prompt, as o200k counts them.
    pub input: u64,
    /// Tokens of the answer.
    pub output: u64,
    /// Whether that is a guess, because the request does not bound them to less.
    pub output_is_assumed: bool,
}

/// What would be tried.
#[derive(Debug, Serialize, ToSchema)]
pub struct AttemptView {
    /// The provider.
    pub provider: String,
    /// The model, by its canonical id.
    pub model: String,
    /// The wire format in which it would be asked.
    pub wire_format: &'static str,
    /// What its answer would be paid by.
    pub pricing: PricingView,
    /// What it would cost, about.
    pub estimated_cost_usd: String,
}

/// A price.
#[derive(Debug, Serialize, ToSchema)]
pub struct PricingView {
    /// `lane`: the lane's rates; `model`: the model's own price.
    pub by: &'static str,
    /// What the price is for: `1M tokens`, or a piece.
    pub unit: &'static str,
    /// USD for a unit of the prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub input_usd: Option<String>,
    /// USD for a unit of the prompt that is read from a cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub cache_read_usd: Option<String>,
    /// USD for a unit of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub output_usd: Option<String>,
    /// USD for a piece.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub piece_usd: Option<String>,
}

/// Another lane.
#[derive(Debug, Serialize, ToSchema)]
pub struct AlternativeView {
    /// Its name.
    pub lane: String,
    /// The model that it would ask first; null where it cannot serve the request.
    pub model: Option<String>,
    /// Who serves that.
    pub provider: Option<String>,
    /// The quality that is expected of its answer; null for lanes that do not answer in words.
    pub expected_quality: Option<f64>,
    /// What it would cost, about.
    pub estimated_cost_usd: Option<String>,
    /// Why it cannot serve the request.
    pub unavailable: Option<String>,
}

/// Where the request in the body would go.
pub(super) fn answer(asked: &Asked<'_>, snapshot: &Snapshot) -> Result<Answer, Refusal> {
    let query = Query::read(asked.query, &["format", "quality"])?;
    let stated = query
        .text("format")
        .map(|name| format_by_name(name).ok_or_else(|| bad("format", "format must be chat, responses or messages")));
    let by_header = asked.is_anthropic.then_some(WireFormat::AnthropicMessages);
    let quality = |text| Quality::parse(text).ok_or_else(|| bad("quality", "quality must be a decimal from 0 to 1"));
    let question = Question {
        body: asked.body,
        format: stated.transpose()?.or(by_header),
        asked: &exchange::Asked {
            quality: query.text("quality").or(asked.quality).map(quality).transpose()?,
            providers: asked.providers.to_vec(),
            region: asked.region.map(Box::from),
            session: asked.session.map(Box::from),
        },
        key: Some(asked.key),
        via: if asked.key.kind == KeyKind::Test { Via::Mock } else { Via::Providers },
        at: asked.at,
    };
    json(200, &RouteView::of(&preview::preview(snapshot, &question)?, asked.at))
}

/// A wire format that can be asked about.
pub fn format_by_name(name: &str) -> Option<WireFormat> {
    FORMATS.into_iter().find(|(known, _)| *known == name).map(|(_, format)| format)
}

impl RouteView {
    /// A preview as it is shown.
    pub fn of(preview: &Preview<'_>, at: UnixMs) -> Self {
        let Preview { format, requested, reason, explanation, plan, tokens, costs, alternatives } = preview;
        let Explanation { lane: _, reason: _, score, quality, rules, features, kinds, clues, lanes } = explanation;
        let first = plan.planned().next().map(|target| &target.model.canonical);
        let attempts = plan.planned().zip(plan.attempts.iter().map(|attempt| attempt.format)).zip(costs);
        Self {
            object: "route",
            requested_model: requested.to_string(),
            wire_format: format.name(),
            lane: preview.lane().map(ToString::to_string),
            model: first.map(ToString::to_string).unwrap_or_default(),
            score: rounded(*score),
            reason: ReasonView::of(reason.as_deref(), requested),
            quality: rounded(*quality),
            rules: rules.iter().map(RuleView::of).collect(),
            features: features.iter().map(|(name, value)| (*name, feature(*value))).collect(),
            kinds: kinds
                .iter()
                .map(|(kind, share)| KindView { kind: (*kind).to_owned(), probability: rounded(*share) })
                .collect(),
            clues: clues.iter().map(ClueView::of).collect(),
            lanes: lanes.iter().map(LaneView::of).collect(),
            estimated_tokens: TokensView::of(*tokens),
            attempts: attempts
                .map(|((target, format), cost)| AttemptView::of(target, format, &plan.chain, (*cost, at)))
                .collect(),
            alternatives: alternatives.iter().map(|other| AlternativeView::of(other, lanes)).collect(),
        }
    }
}

/// To four decimals: more would only tell how the figure is kept.
fn rounded(figure: f32) -> f64 {
    const UNIT: f64 = 10_000.0;
    libm::round(f64::from(figure) * UNIT) / UNIT
}

fn feature(value: rules::Value) -> Value {
    match value {
        rules::Value::Number(number) => number.into(),
        rules::Value::Flag(flag) => flag.into(),
        rules::Value::Word(word) => word.into(),
    }
}

impl ReasonView {
    /// Of a reason as the header says it.
    fn of(reason: Option<&str>, requested: &str) -> Self {
        let (by, name) = match reason {
            Some(reason) => reason.split_once(':').unwrap_or((reason, "")),
            None => ("request", requested),
        };
        Self { by: by.to_owned(), name: name.to_owned() }
    }
}

impl RuleView {
    fn of(Held { name, does, lane }: &Held<'_>) -> Self {
        Self { name: (*name).to_owned(), effect: does, lane: (*lane).to_owned() }
    }
}

impl ClueView {
    fn of(Clue { sign, text, weight }: &Clue) -> Self {
        Self { sign: sign.name(), text: text.clone(), weight: rounded(*weight) }
    }
}

impl LaneView {
    fn of(LaneWorth { lane, expected, price, worth, is_open }: &LaneWorth) -> Self {
        Self {
            lane,
            expected_quality: rounded(*expected),
            price_share: rounded(*price),
            worth: rounded(*worth),
            is_open: *is_open,
        }
    }
}

impl TokensView {
    fn of(Tokens { input, output, is_output_bounded }: Tokens) -> Self {
        Self { input, output, output_is_assumed: !is_output_bounded }
    }
}

impl AttemptView {
    fn of(target: &Target, format: WireFormat, chain: &Chain, (cost, at): (NanoUsd, UnixMs)) -> Self {
        Self {
            provider: target.provider.id.to_string(),
            model: target.model.canonical.to_string(),
            wire_format: format.name(),
            pricing: PricingView::of(chain, &target.model, at),
            estimated_cost_usd: cost.to_string(),
        }
    }
}

impl PricingView {
    fn of(chain: &Chain, model: &Model, at: UnixMs) -> Self {
        const UNIT: &str = "1M tokens";
        let token = |by, input, cache_read, output| Self {
            by,
            unit: UNIT,
            input_usd: Some(per_million(input)),
            cache_read_usd: Some(per_million(cache_read)),
            output_usd: Some(per_million(output)),
            piece_usd: None,
        };
        if let Some(rates) = &chain.rates {
            return token("lane", rates.input, rates.cache_read, rates.output);
        }
        if let Some((unit, price)) = model.price.piece() {
            let piece_usd = Some(price.to_string());
            return Self { by: "model", unit, input_usd: None, cache_read_usd: None, output_usd: None, piece_usd };
        }
        let rates = model.price.rates(0, at, "");
        token("model", rates.input, rates.cache_read, rates.output)
    }
}

impl AlternativeView {
    fn of(other: &Alternative, lanes: &[LaneWorth]) -> Self {
        let Alternative { chain, first } = other;
        let worth = lanes.iter().find(|lane| *lane.lane == *chain.name);
        let (target, unavailable) = match first {
            Ok((target, cost)) => (Some((target, cost)), None),
            Err(error) => (None, Some(error.to_string())),
        };
        Self {
            lane: chain.name.to_string(),
            model: target.map(|(target, _)| target.model.canonical.to_string()),
            provider: target.map(|(target, _)| target.provider.id.to_string()),
            expected_quality: worth.map(|lane| rounded(lane.expected)),
            estimated_cost_usd: target.map(|(_, cost)| cost.to_string()),
            unavailable,
        }
    }
}
