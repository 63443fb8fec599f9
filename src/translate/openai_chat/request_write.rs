//! A request for a host of Chat Completions: its top-level fields. What the host has is asked of [`super::dialect`].
//!
//! Must not know the client's format. What the host has no place for is left out and named where it is a hint, and
//! refused where the answer would be another one.

use std::borrow::Cow;

use super::dialect::{EffortSpelling, Feature, Host, host};
use super::messages_write;
use super::spelling::write_spelt;
use super::tools_write::ToolPlan;
use crate::base::effort::Effort;
use crate::catalog::Target;
use crate::catalog::provider::StreamUsage;
use crate::catalog::thinking::ThinkingControl;
use crate::translate::ir::{Request, Shown, Thinking, Value};
use crate::translate::{Invalid, Written, effort};
use crate::wire::json::Writer;

/// Room for the names of fields around the client's own words.
const FRAME_BYTES: usize = 1024;

/// A request on its way to a target.
pub(super) struct Job<'r, 'a> {
    pub(super) request: &'r Request<'a>,
    pub(super) target: &'r Target,
    pub(super) host: &'static Host,
    pub(super) written: Written,
    /// What in the host's table is struck out by the model.
    thinks: bool,
}

impl<'r, 'a> Job<'r, 'a> {
    fn new(request: &'r Request<'a>, target: &'r Target) -> Self {
        let host = host(target.provider.dialect);
        Self { request, target, host, written: Written::default(), thinks: target.model.capabilities.reasoning }
    }

    /// Whether host and model have it.
    pub(super) fn has(&self, feature: Feature) -> bool {
        self.host.knows.has(feature) && !(self.thinks && self.host.unless_thinking.has(feature))
    }

    /// Names a field that is left out.
    pub(super) fn ignore(&mut self, field: impl Into<Cow<'static, str>>) {
        let field = field.into();
        if !self.written.ignored.contains(&field) {
            self.written.ignored.push(field);
        }
    }
}

/// Writes a request.
///
/// # Errors
/// When the target cannot be asked for what the client wants; the error names the field.
pub fn write_request(request: &Request<'_>, target: &Target) -> Result<Written, Invalid> {
    let mut job = Job::new(request, target);
    let tools = ToolPlan::new(&mut job)?;
    messages_write::check(&job)?;
    check(&job)?;
    if let Some(prefill) = request.prefill().filter(|_| !job.has(Feature::Prefix)) {
        // Its words are history here: the answer does not go on from them.
        job.ignore(prefill);
    }
    let mut w = Writer::with_capacity(messages_write::size(request) + FRAME_BYTES);
    w.object(|w| {
        w.name("model").plain(&target.model.provider_model_id);
        messages_write::write(&mut job, w);
        tools.write(&mut job, w);
        limit(&mut job, w);
        sampling(&mut job, w);
        thinking(&mut job, w, tools.has_functions());
        logprobs_and_choices(&job, w);
        identity(&mut job, w);
        stream(&job, w);
        for (name, json) in job.host.always {
            w.name(name).raw(json);
        }
    });
    Ok(Written { body: w.into_bytes(), ..job.written })
}

/// What cannot be left out, as the answer would be another one.
fn check(job: &Job<'_, '_>) -> Result<(), Invalid> {
    let Request { logprobs, choices, stop, sampling, wants_images, .. } = job.request;
    let refused = |field: &str, what: &str| Err(Invalid::target(field, format!("this model's provider {what}")));
    if logprobs.is_some() && !job.has(Feature::Logprobs) {
        return refused("logprobs", "gives no logprobs; leave logprobs out");
    }
    if choices.0 > 1 && !job.has(Feature::Choices) {
        return refused("n", "gives one answer at a time; leave n out, or set it to 1");
    }
    if !stop.is_empty() && !job.has(Feature::Stop) {
        return refused("stop", "takes no stop texts for this model; leave stop out");
    }
    if stop.len() > job.host.stops_max {
        return refused("stop", &format!("takes at most {} stop texts", job.host.stops_max));
    }
    if sampling.logit_bias.is_some() && !job.has(Feature::LogitBias) {
        return refused("logit_bias", "takes no logit_bias; leave it out");
    }
    if *wants_images && !job.has(Feature::ImageOutput) {
        return refused("modalities", "makes no pictures with this model; ask for text only");
    }
    Ok(())
}

fn limit(job: &mut Job<'_, '_>, w: &mut Writer) {
    let most = job.target.model.limits.output_tokens_max.unwrap_or(u64::MAX);
    if let Some(limit) = job.request.output_tokens_max.or(job.host.limit_default) {
        w.name(job.host.limit).number(limit.min(most));
    }
}

fn sampling(job: &mut Job<'_, '_>, w: &mut Writer) {
    let sampling = job.request.sampling;
    let capabilities = job.target.model.capabilities;
    let seed = job.host.seed;
    let fields = [
        ("temperature", "temperature", sampling.temperature, capabilities.sampling_params),
        ("top_p", "top_p", sampling.top_p, capabilities.sampling_params),
        ("top_k", "top_k", sampling.top_k, job.has(Feature::TopK)),
        ("frequency_penalty", "frequency_penalty", sampling.frequency_penalty, job.has(Feature::FrequencyPenalty)),
        ("presence_penalty", "presence_penalty", sampling.presence_penalty, job.has(Feature::PresencePenalty)),
        ("seed", seed, sampling.seed, job.has(Feature::Seed)),
        ("logit_bias", "logit_bias", sampling.logit_bias, job.has(Feature::LogitBias)),
    ];
    for (asked, spelt, value, is_known) in fields {
        let Some(value) = value else { continue };
        if is_known {
            w.name(spelt).value(value);
        } else if !(asked.ends_with("penalty") && is_zero(value)) {
            job.ignore(asked);
        }
    }
    let stop = &job.request.stop;
    if !stop.is_empty() {
        w.name("stop").array(|w| stop.iter().for_each(|stop| w.text(stop)));
    }
}

/// A penalty of nothing is none.
fn is_zero(value: Value<'_>) -> bool {
    value.spelt().trim_start_matches('-').bytes().all(|byte| matches!(byte, b'0' | b'.'))
}

fn thinking(job: &mut Job<'_, '_>, w: &mut Writer, has_functions: bool) {
    let reasoning = job.request.reasoning;
    let effort = effort::asked(reasoning);
    let is_on = reasoning.thinking.map(|thinking| thinking != Thinking::Off).or(effort.map(|e| e != Effort::None));
    let support = &job.target.model.thinking;
    let (hide, hidden) = job.host.hide_thoughts;
    if reasoning.shown == Some(Shown::Omitted) && job.thinks && !hide.is_empty() {
        w.name(hide).raw(hidden);
    }
    if reasoning.shown.is_some_and(|shown| shown != Shown::Omitted) && !(job.thinks && job.has(Feature::ShownThoughts))
    {
        job.ignore("reasoning.summary");
    }
    match support.control {
        ThinkingControl::None | ThinkingControl::Always => {
            // That a model which does not think shall not think goes without saying.
            if effort.is_some_and(|effort| effort != Effort::None || support.control == ThinkingControl::Always) {
                job.ignore("reasoning_effort");
            }
        }
        ThinkingControl::SwitchAndEffort => {
            let Some(is_on) = is_on else { return };
            let switch = if is_on { "enabled" } else { "disabled" };
            w.name("thinking").object(|w| w.name("type").plain(switch));
            if let Some(effort) = effort.filter(|_| is_on).and_then(|effort| effort.nearest_of(&support.efforts)) {
                w.name("reasoning_effort").plain(effort.name());
            }
        }
        ThinkingControl::ChatTemplate => {
            let Some(is_on) = is_on else { return };
            w.name("chat_template_kwargs").object(|w| w.name("enable_thinking").bool(is_on));
        }
        ThinkingControl::Effort
        | ThinkingControl::Level
        | ThinkingControl::Budget
        | ThinkingControl::Adaptive
        | ThinkingControl::AdaptiveOrBudget => match job.host.effort {
            EffortSpelling::Object => effort_object(job, w, effort),
            EffortSpelling::Plain => effort_word(job, w, effort, has_functions),
        },
    }
}

fn effort_word(job: &mut Job<'_, '_>, w: &mut Writer, effort: Option<Effort>, has_functions: bool) {
    let Some(effort) = effort else { return };
    let model = &job.target.model;
    let known =
        if model.thinking.efforts.is_empty() { Some(effort) } else { effort.nearest_of(&model.thinking.efforts) };
    let is_refused_with_tools = has_functions && !model.capabilities.tools_with_reasoning_on_chat;
    match known {
        Some(effort) if !is_refused_with_tools || effort == Effort::None => {
            w.name("reasoning_effort").plain(effort.name());
        }
        Some(_) | None => job.ignore("reasoning_effort"),
    }
}

/// `OpenRouter` hands it on to whichever host it takes, in that host's own way.
fn effort_object(job: &Job<'_, '_>, w: &mut Writer, effort: Option<Effort>) {
    let reasoning = job.request.reasoning;
    let is_hidden = reasoning.shown == Some(Shown::Omitted);
    if effort.is_none() && !is_hidden {
        return;
    }
    w.name("reasoning").object(|w| {
        match (reasoning.thinking, effort) {
            (_, Some(Effort::None)) => w.name("enabled").bool(effort.is_none()),
            (Some(Thinking::Budget(tokens)), _) if reasoning.effort.is_none() => w.name("max_tokens").number(tokens),
            (_, Some(effort)) => {
                let nearest = effort.nearest_of(&job.target.model.thinking.efforts).unwrap_or(effort);
                w.name("effort").plain(nearest.name());
            }
            (_, None) => {}
        }
        if is_hidden {
            w.name("exclude").bool(is_hidden);
        }
    });
}

fn logprobs_and_choices(job: &Job<'_, '_>, w: &mut Writer) {
    if let Some(logprobs) = job.request.logprobs {
        w.name("logprobs").raw("true");
        if logprobs.top > 0 {
            w.name("top_logprobs").number(logprobs.top);
        }
    }
    if job.request.choices.0 > 1 {
        w.name("n").number(job.request.choices.0);
    }
    if job.request.wants_images {
        w.name("modalities").raw(r#"["image","text"]"#);
    }
}

fn identity(job: &mut Job<'_, '_>, w: &mut Writer) {
    let request = job.request;
    let identity = &request.identity;
    if let Some(user) = &identity.end_user {
        match job.host.end_user {
            "" => job.ignore("user"),
            field => w.name(field).text(user),
        }
    }
    if let Some(key) = &identity.cache_key {
        if job.has(Feature::CacheKey) {
            w.name("prompt_cache_key").text(key);
        } else {
            job.ignore("prompt_cache_key");
        }
    }
    if let Some(metadata) = identity.metadata {
        if job.has(Feature::Metadata) {
            w.name("metadata").value(metadata);
        } else {
            job.ignore("metadata");
        }
    }
    if let Some(verbosity) = &request.verbosity {
        if job.has(Feature::Verbosity) {
            w.name("verbosity").text(verbosity);
        } else {
            job.ignore("verbosity");
        }
    }
    let Some(tier) = &request.service_tier else { return };
    let tier = match tier.spelt() {
        "standard_only" | "standard" => "default",
        tier => tier,
    };
    if job.host.tiers.contains(&tier) {
        w.name("service_tier");
        write_spelt(w, tier);
    } else if request.service_tier.as_ref().is_some_and(|asked| !asked.is("default") && !asked.is("auto")) {
        job.ignore("service_tier");
    }
}

fn stream(job: &Job<'_, '_>, w: &mut Writer) {
    if !job.request.stream {
        return;
    }
    w.name("stream").raw("true");
    if job.target.provider.stream_usage == StreamUsage::StreamOptions {
        w.name("stream_options").raw(r#"{"include_usage":true}"#);
    }
}
