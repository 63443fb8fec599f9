//! What would become of a request: its lane, its plan, what that may cost, and what else there is. Nothing is sent or held.
//!
//! Must not decide in another way than [`super::Exchange::open`] does: what is asked here is asked there.

use std::sync::Arc;

use super::auto::{Chosen, Decided, Wishes};
use super::counted::IMAGE_TOKENS_GUESSED;
use super::needs::needs;
use super::prefer::preference;
use super::request::{task, unknown_model, unreadable};
use super::share::Told;
use super::snapshot::Snapshot;
use super::{Asked, check_allowed, makes_only_images, no_images, unplannable};
use crate::accounts::key::KeyState;
use crate::base::money::NanoUsd;
use crate::base::outcome::Pieces;
use crate::base::refusal::Refusal;
use crate::base::time::UnixMs;
use crate::base::usage::Usage;
use crate::base::wire_format::WireFormat;
use crate::catalog::price::Circumstances;
use crate::catalog::{Chain, ChainKind, ModelKind, Route, Target};
use crate::classify::Terms;
use crate::classify::explain::{Explanation, explain};
use crate::classify::features::FeatureInput;
use crate::classify::rules::Value;
use crate::exchange::Routing;
use crate::health::Moment;
use crate::meter::estimate::{self, FACTOR_ONE_MILLI, Prompt};
use crate::plan::{self, Known, Needs, Plan, PlanError, Via};
use crate::settle;
use crate::wire::head::{self, Head};
use crate::wire::leap::Items;
use crate::wire::text;
use crate::wire::usage::member;

/// Tokens of an answer that the client does not bound: about a page. For estimates that are shown; more is held.
pub const OUTPUT_TOKENS_ASSUMED: u64 = 500;

/// What is asked about a request.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Its body.
    pub body: &'a [u8],
    /// Its wire format; `None`: whichever it looks like.
    pub format: Option<WireFormat>,
    /// What its headers say.
    pub asked: &'a Asked,
    /// Who would send it; `None`: somebody who may ask for everything.
    pub key: Option<&'a KeyState>,
    /// Who would serve it.
    pub via: Via,
    /// When.
    pub at: UnixMs,
}

/// What would become of a request.
#[derive(Debug)]
pub struct Preview<'s> {
    /// Its wire format.
    pub format: WireFormat,
    /// What its `model` stands for: a lane, a pin, or the router.
    pub requested: Arc<str>,
    /// Why the lane is taken, as `x-flux-route-reason` says it; `None` where the router would not be asked.
    pub reason: Option<Arc<str>>,
    /// What the router sees in it, also where it is not asked.
    pub explanation: Explanation<'s>,
    /// Where it would be sent.
    pub plan: Plan,
    /// With how many tokens costs are estimated.
    pub tokens: Tokens,
    /// What each attempt of the plan would cost, about.
    pub costs: Vec<NanoUsd>,
    /// All other lanes.
    pub alternatives: Vec<Alternative>,
}

/// Tokens that an estimate is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Of the prompt, as o200k counts them; models that count otherwise are priced with their own count.
    pub input: u64,
    /// Of the answer.
    pub output: u64,
    /// Whether the client bounds the answer to so many.
    pub is_output_bounded: bool,
}

/// A lane that is not taken.
#[derive(Debug)]
pub struct Alternative {
    /// The lane.
    pub chain: Arc<Chain>,
    /// Where it would begin and what that would cost, about; or why it cannot serve the request.
    pub first: Result<(Arc<Target>, NanoUsd), PlanError>,
}

/// Looks at a request.
///
/// # Errors
/// The refusal that it would get before anything is sent: 400, 403, 404, or 503 where nobody serves its model.
pub fn preview<'s>(snapshot: &'s Snapshot, question: &Question<'_>) -> Result<Preview<'s>, Refusal> {
    let Question { body, format, asked, key, via, at } = *question;
    let head = head::scan(body).map_err(|error| unreadable(&error))?;
    let format = format.unwrap_or_else(|| format_of(&head, body));
    let catalog = &snapshot.catalog;
    let model = head.model(body);
    let route = catalog.resolve(&model).ok_or_else(|| unknown_model(&model))?;
    let wishes = key.map_or_else(|| Wishes::nobodys(asked.quality), |key| Wishes::of(key, asked.quality));
    let sought = wishes.quality.unwrap_or_else(|| catalog.quality());
    let terms = Terms { quality: sought.share(), prices: snapshot.lane_prices };
    let task_type =
        head.task_type.as_ref().map_or(Ok(None), |member| task(body.get(member.value.clone()).unwrap_or_default()))?;
    let input = FeatureInput { task_type, ..FeatureInput::of(format, &head, body) };
    let explanation = explain(&snapshot.router, &input, &terms);
    let said = head.provider.as_ref().map(|member| body.get(member.value.clone()).unwrap_or_default());
    let preference =
        preference(asked, said.filter(|_| format.is_conversation()), catalog, key.and_then(KeyState::region))?;
    let plan_terms = plan::Terms {
        client_format: format,
        via,
        at,
        bounds: key.and_then(|key| key.settings.providers.as_deref()),
        preference: preference.as_ref(),
        draw: None,
    };
    let conversation = key.map(|key| Told { key, asked, format, head: &head, body });
    let plan_with = |chain: &Arc<Chain>, json_schema: bool| {
        let terms = plan::Terms { draw: conversation.and_then(|one| one.draw(chain)), ..plan_terms };
        plan::plan(chain, &Needs { json_schema, ..needs(&head, body, chain) }, &terms, Known::NOTHING)
    };
    let mut chosen = (route == Route::Auto).then(|| {
        let decided = Decided {
            lane: explanation.lane,
            reason: explanation.reason,
            kind: explanation.kinds.first().map_or("", |(kind, _)| kind),
            score: explanation.score,
            wants_schema: explanation.features.contains(&("has_json_schema", Value::Flag(true))),
        };
        Chosen::alone(catalog, format, &decided, &wishes)
    });
    let planned = match &mut chosen {
        Some(chosen) => chosen.plan(catalog, plan_with),
        None => catalog.chain(route).map(|chain| (chain, plan_with(chain, false))),
    };
    let (chain, plan) = planned.ok_or_else(|| unknown_model(&model))?;
    if let Some(key) = key {
        check_allowed(key, catalog, route, chain)?;
    }
    if format == WireFormat::AnthropicMessages && makes_only_images(chain) {
        return Err(no_images());
    }
    let requested = Arc::clone(if route == Route::Auto { catalog.auto_name() } else { &chain.name });
    let reason = chosen.map(|chosen| chosen.told.reason);
    let plan = plan.map_err(|error| {
        let routing = Routing::before_attempts(Arc::from(&*model), Arc::clone(&requested), chain, None);
        unplannable(&error, &routing, &plan_terms, Moment::default())
    })?;
    let tokens = tokens(&head, body, snapshot.config.limits.estimate_text_bytes_max);
    let images = head.n.unwrap_or(1).max(1);
    let region = preference.as_ref().and_then(|preference| preference.region.as_deref());
    let cost = |chain: &Chain, target: &Target| dearest(chain, target, (tokens, images), (at, region));
    let costs = plan.planned().map(|target| cost(&plan.chain, target)).collect();
    let alternatives = catalog.lanes().iter().filter(|lane| lane.name != plan.chain.name).map(|lane| {
        let first = plan_with(lane, false).and_then(|plan| first_of(&plan, cost));
        Alternative { chain: Arc::clone(lane), first }
    });
    let alternatives = alternatives.collect();
    Ok(Preview { format, requested, reason, explanation, plan, tokens, costs, alternatives })
}

impl Preview<'_> {
    /// The lane that would be taken; `None` for a pin.
    pub fn lane(&self) -> Option<&Arc<str>> {
        (self.plan.chain.kind == ChainKind::Lane).then_some(&self.plan.chain.name)
    }
}

/// The format that a body looks like: `input` is said in Responses only, a `system` beside the messages and tools with
/// an `input_schema` in Anthropic's only.
fn format_of(head: &Head, body: &[u8]) -> WireFormat {
    if head.input.is_some() && head.messages.is_none() {
        WireFormat::OpenaiResponses
    } else if head.system.is_some() || has_anthropic_tool(head, body) {
        WireFormat::AnthropicMessages
    } else {
        WireFormat::OpenaiChat
    }
}

fn has_anthropic_tool(head: &Head, body: &[u8]) -> bool {
    let tools = head.tools.as_ref().and_then(|tools| Items::open(body, tools.start));
    let Some(mut tools) = tools.filter(|tools| !tools.is_object()) else { return false };
    while let Ok(Some(tool)) = tools.next_element() {
        if !member(body.get(tool).unwrap_or_default(), b"input_schema").is_empty() {
            return true;
        }
    }
    false
}

fn tokens(head: &Head, body: &[u8], text_bytes_max: usize) -> Tokens {
    let found = text::prompt_text(body, head, text_bytes_max);
    let prompt = Prompt {
        text: found.kept.into(),
        text_bytes_total: found.bytes_total,
        messages: found.messages,
        tools: found.tools,
        media: found.media,
    };
    let output = head.max_tokens.unwrap_or(OUTPUT_TOKENS_ASSUMED).min(OUTPUT_TOKENS_ASSUMED);
    let is_output_bounded = head.max_tokens.is_some_and(|limit| limit <= OUTPUT_TOKENS_ASSUMED);
    Tokens { input: estimate::prompt_tokens(&prompt, FACTOR_ONE_MILLI), output, is_output_bounded }
}

fn first_of(plan: &Plan, cost: impl Fn(&Chain, &Target) -> NanoUsd) -> Result<(Arc<Target>, NanoUsd), PlanError> {
    let target = plan.planned().next().map(Arc::clone).ok_or(PlanError::NothingConfigured)?;
    let cost = cost(&plan.chain, &target);
    Ok((target, cost))
}

/// What an answer of a target would cost, about: in the region that is asked for, else in the dearest that may serve.
fn dearest(chain: &Chain, target: &Target, asked: (Tokens, u64), (at, region): (UnixMs, Option<&str>)) -> NanoUsd {
    let regions = target.provider.regions_for(region);
    regions.map(|region| cost(chain, target, asked, (at, region))).max().unwrap_or(NanoUsd::ZERO)
}

fn cost(chain: &Chain, target: &Target, (tokens, images): (Tokens, u64), (at, region): (UnixMs, &str)) -> NanoUsd {
    let model = &target.model;
    let factor_milli = model.tokenizer_factor_milli;
    let input = estimate::counted_by(tokens.input, factor_milli);
    let makes_images = model.kind == ModelKind::Image;
    let output_image =
        if makes_images && !model.price.has_image_pieces() { images.saturating_mul(IMAGE_TOKENS_GUESSED) } else { 0 };
    let output = match (makes_images, tokens.is_output_bounded) {
        (true, _) => 0,
        // The client counts as the model does.
        (false, true) => tokens.output,
        (false, false) => estimate::counted_by(tokens.output, factor_milli),
    };
    let counted = Pieces { images: if makes_images { images } else { 0 }, ..Pieces::default() };
    let circumstances = Circumstances { at, region, images: &[("", counted.images)], ..Circumstances::default() };
    let usage = Usage { input, output, output_image, ..Usage::default() };
    settle::amounts(chain.rates.as_ref(), &model.price, &usage, &circumstances).amount
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_known_by_their_shape() {
        for (body, format) in [
            (r#"{"model":"m","messages":[]}"#, WireFormat::OpenaiChat),
            (r#"{"model":"m","input":"hello","instructions":"x"}"#, WireFormat::OpenaiResponses),
            (r#"{"model":"m","input":"hello","messages":[]}"#, WireFormat::OpenaiChat),
            (r#"{"model":"m","system":"x","messages":[]}"#, WireFormat::AnthropicMessages),
            (
                r#"{"model":"m","messages":[],"tools":[{"type":"web_search"},{"name":"f","input_schema":{}}]}"#,
                WireFormat::AnthropicMessages,
            ),
            (
                r#"{"model":"m","messages":[],"tools":[{"type":"function","function":{"name":"f","parameters":
                {"properties":{"input_schema":{}}}}}]}"#,
                WireFormat::OpenaiChat,
            ),
            (r#"{"model":"m","messages":[],"tools":{"input_schema":1}}"#, WireFormat::OpenaiChat),
            (r#"{"model":"m"}"#, WireFormat::OpenaiChat),
        ] {
            assert_eq!(format_of(&head::scan(body.as_bytes()).unwrap(), body.as_bytes()), format, "{body}");
        }
    }
}
