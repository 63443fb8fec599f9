//! A lane or a pin becomes a bounded list of attempts.
//!
//! Must not know clocks, sockets or the client's bytes: what a request needs comes in as figures.
//! A plan never changes the model of a pin, since all targets of a pin are one model.

mod conditions;
mod prefer;
mod share;

use std::sync::Arc;

use smallvec::SmallVec;

use crate::base::preference::{Preference, ProviderBounds, Sort};
use crate::base::time::UnixMs;
use crate::base::wire_format::WireFormat;
use crate::catalog::{Capabilities, Chain, Model, ModelKind, Target};
use crate::health::{Moment, Standing};

use prefer::{Preferred, within};

/// Attempts that fit into a plan without allocation.
const ATTEMPTS_INLINE: usize = 6;
/// Text bytes for one token of `o200k`, so few that the estimate is above the true count: prose,
/// code, JSON and CJK have 3.2 to 4.6.
const BYTES_PER_TOKEN_CAUTIOUS: u64 = 3;
/// Text bytes for one token, so many that the estimate is below the true count of real text.
const BYTES_PER_TOKEN_OPTIMISTIC: u64 = 8;
const MILLI: u64 = 1_000;

/// What a request needs of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts of a request")]
pub struct Needs {
    /// Bytes of text in the prompt; encoded images and files left out.
    pub text_bytes: u64,
    /// The longest answer that the client allows; 0 where it says nothing.
    pub output_tokens: u64,
    /// Images in the prompt.
    pub vision: bool,
    /// Tools.
    pub tools: bool,
    /// A tool choice that names a tool or demands one.
    pub forced_tool_choice: bool,
    /// An answer that follows a JSON schema.
    pub json_schema: bool,
    /// Temperature or top-p. A wish: a model without them is taken rather than none.
    pub sampling_params: bool,
    /// Reasoning that the client steers.
    pub reasoning: bool,
    /// Texts at which the answer ends, for which Responses has no place.
    pub stop: bool,
}

/// Who serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// The providers (or the mock where it stands in for them).
    Providers,
    /// Only the mock: for test keys, which never reach a provider.
    Mock,
}

/// The terms under which attempts are chosen.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// What the client speaks.
    pub client_format: WireFormat,
    /// Who serves.
    pub via: Via,
    /// When the request arrived.
    pub at: UnixMs,
    /// Who may serve whoever asks; `None`: any provider.
    pub bounds: Option<&'a ProviderBounds>,
    /// What the request prefers among providers.
    pub preference: Option<&'a Preference>,
    /// The number of the conversation, or a random one, by which targets of one step are drawn; `None`: by their weights.
    pub draw: Option<u64>,
}

/// What is known of targets while they serve.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// How one stands.
    pub standing: &'a dyn Fn(&Target) -> Standing,
    /// How long one takes, for what is sorted by: the less, the better; `None` where nobody knows.
    pub pace: &'a dyn Fn(&Target, Sort) -> Option<u64>,
}

impl std::fmt::Debug for Known<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Known")
    }
}

impl Known<'_> {
    /// Of targets that nothing is known of.
    pub const NOTHING: Known<'static> = Known { standing: &|_| Standing::Well, pace: &|_, _| None };
}

/// Where to try, best first. Never empty.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whose targets these are: name and rates.
    pub chain: Arc<Chain>,
    /// Who serves: the chain's targets, or those on the mock.
    pub via: Via,
    /// What to try, each target once.
    pub attempts: SmallVec<[Attempt; ATTEMPTS_INLINE]>,
}

impl Plan {
    /// The targets that places of attempts are of.
    pub fn targets(&self) -> &[Arc<Target>] {
        targets(&self.chain, self.via)
    }

    /// Where an attempt goes; `None` for one of another plan.
    pub fn target(&self, attempt: Attempt) -> Option<&Arc<Target>> {
        self.targets().get(usize::from(attempt.place))
    }

    /// The attempt at a place of the plan: where it goes, and in which format.
    pub fn at(&self, place: usize) -> Option<(Arc<Target>, WireFormat)> {
        let attempt = *self.attempts.get(place)?;
        Some((Arc::clone(self.target(attempt)?), attempt.format))
    }

    /// The targets of all attempts, best first.
    pub fn planned(&self) -> impl Iterator<Item = &Arc<Target>> {
        self.attempts.iter().filter_map(|attempt| self.target(*attempt))
    }
}

fn targets(chain: &Chain, via: Via) -> &[Arc<Target>] {
    match via {
        Via::Providers => &chain.targets,
        Via::Mock => &chain.mock_targets,
    }
}

/// One thing to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Where: the place among the targets of the plan. No handle, since the count of who holds one would be passed between
    /// the processors at every request.
    place: u16,
    /// In which format: the client's own, and its bytes pass as they are, or another, and they are translated.
    pub format: WireFormat,
}

/// Why there is nothing to try.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// No provider of any target is live, or all its models have ended.
    #[error("no provider that serves this model is configured")]
    NothingConfigured,
    /// None of the providers may serve whoever asks.
    #[error("none of its providers may serve this key")]
    NotAllowed,
    /// The request prefers none of the providers that would do.
    #[error("none of its providers is left by what the request prefers; it is served by: {}", providers.join(", "))]
    NotPreferred {
        /// Those that would do, each with its regions where the request asks for one.
        providers: Vec<String>,
    },
    /// Every target is meant for other requests.
    #[error("all its targets are for other requests: with other parts, of another length, or for a region")]
    ForOthers,
    /// Live targets exist but speak formats that the client's cannot be translated into.
    #[error("this model speaks {}", listed(formats))]
    OtherFormats {
        /// The formats that would do.
        formats: Vec<WireFormat>,
    },
    /// No target can take what the request holds.
    #[error("this model does not support {capability}")]
    Lacks {
        /// What is lacking, in words.
        capability: &'static str,
    },
    /// Targets would do, and all are passed over.
    #[error("every target is ill or rests")]
    AllAway {
        /// When the first of them may be asked again.
        until: Moment,
    },
    /// The prompt is longer than any target's window.
    #[error("the prompt is about {prompt_tokens} tokens long, the largest window is {prompt_tokens_max}")]
    ContextTooLong {
        /// At least so long.
        prompt_tokens: u64,
        /// The longest prompt that any target takes.
        prompt_tokens_max: u64,
    },
}

/// A capability in words, whether the request needs it, and how to see whether a model has it.
type Wanted = (&'static str, bool, fn(&Capabilities) -> bool);
type Candidates<'a> = SmallVec<[&'a Arc<Target>; ATTEMPTS_INLINE]>;

/// Chooses the targets to try for one request, in the order that it prefers, else of the chain: first those that stand
/// well, last those that are away.
///
/// # Errors
/// When no target is live, is within the bounds, is left by the preference, is meant for such a request, speaks the client's
/// format, has the capabilities, is large enough, and is not away: the first of these tests that leaves nothing is told.
pub fn plan(chain: &Arc<Chain>, needs: &Needs, terms: &Terms<'_>, known: Known<'_>) -> Result<Plan, PlanError> {
    if terms.via == Via::Mock {
        return on_mock(chain, needs, terms);
    }
    let mut live: Candidates<'_> = chain.targets.iter().filter(|target| target.is_live(terms.at)).collect();
    if live.is_empty() {
        return Err(PlanError::NothingConfigured);
    }
    if let Some(bounds) = terms.bounds {
        live = within(bounds, &live);
        if live.is_empty() {
            return Err(PlanError::NotAllowed);
        }
    }
    let preferred = terms.preference.map(|preference| Preferred { preference, chain, needs, at: terms.at });
    if let Some(preferred) = &preferred {
        let left = preferred.left(&live);
        if left.is_empty() {
            return Err(PlanError::NotPreferred { providers: preferred.choices(&live) });
        }
        live = left;
    }
    live.retain(|target| conditions::are_met(&target.step.when, needs, terms));
    if live.is_empty() {
        return Err(PlanError::ForOthers);
    }
    keep_first_places(&mut live);
    let speaking: Candidates<'_> =
        live.iter().copied().filter(|target| format_for(target, needs, terms.client_format).is_some()).collect();
    if speaking.is_empty() {
        return Err(PlanError::OtherFormats { formats: client_formats(&live) });
    }
    let able = able(&speaking, needs)?;
    let mut fitting = fitting(&able, needs)?;
    share::order(&mut fitting, terms.draw);
    if let Some(preferred) = &preferred {
        preferred.sort(&mut fitting, known.pace);
    }
    let mut fitting = in_order(&fitting, known.standing)?;
    if let Some(preferred) = preferred {
        fitting.truncate(preferred.targets_max());
    }
    let attempts = fitting.into_iter().filter_map(|target| attempt(target, &chain.targets, needs, terms));
    Ok(Plan { chain: Arc::clone(chain), via: terms.via, attempts: attempts.collect() })
}

/// A model may stand in its chain several times, for other requests each time; where several are left, the first counts.
fn keep_first_places(targets: &mut Candidates<'_>) {
    for place in (0..targets.len()).rev() {
        let is_double = |(target, earlier): (&&Arc<Target>, &[&Arc<Target>])| {
            target.step.is_repeated && earlier.iter().any(|one| one.model.id == target.model.id)
        };
        if targets.get(..=place).and_then(<[_]>::split_last).is_some_and(is_double) {
            targets.remove(place);
        }
    }
}

/// The doubtful behind the well, the away behind both; nothing where all are away.
fn in_order<'a>(fitting: &Candidates<'a>, standing: impl Fn(&Target) -> Standing) -> Result<Candidates<'a>, PlanError> {
    let standings: SmallVec<[Standing; ATTEMPTS_INLINE]> = fitting.iter().map(|target| standing(target)).collect();
    if standings.iter().all(|standing| *standing == Standing::Well) {
        return Ok(fitting.clone());
    }
    let first_back = standings.iter().map(|standing| match standing {
        Standing::Away { until, .. } => Some(*until),
        Standing::Well | Standing::Doubtful => None,
    });
    if let Some(until) = first_back.min().flatten() {
        return Err(PlanError::AllAway { until });
    }
    let of = |is_wanted: fn(Standing) -> bool| {
        fitting.iter().zip(&standings).filter(move |(_, standing)| is_wanted(**standing)).map(|(target, _)| *target)
    };
    let well = of(|standing| standing == Standing::Well);
    Ok(well.chain(of(|standing| standing == Standing::Doubtful)).chain(of(Standing::is_away)).collect())
}

/// The mock takes any format and any size, as whichever model would have come first.
fn on_mock(chain: &Arc<Chain>, needs: &Needs, terms: &Terms<'_>) -> Result<Plan, PlanError> {
    let attempt = chain.mock_targets.first().and_then(|first| attempt(first, &chain.mock_targets, needs, terms));
    let attempt = attempt.ok_or(PlanError::NothingConfigured)?;
    Ok(Plan { chain: Arc::clone(chain), via: terms.via, attempts: SmallVec::from_iter([attempt]) })
}

/// An attempt at one of `targets`.
fn attempt(target: &Arc<Target>, targets: &[Arc<Target>], needs: &Needs, terms: &Terms<'_>) -> Option<Attempt> {
    let format = format_for(target, needs, terms.client_format)?;
    let place = u16::try_from(targets.element_offset(target)?).ok()?;
    Some(Attempt { place, format })
}

/// In which format a target is asked: the client's own where the model speaks it well, since then nothing is
/// lost; else the richest that both sides can say; else the client's own with the losses of the provider's
/// imitation. `None` where there is none.
fn format_for(target: &Target, needs: &Needs, client: WireFormat) -> Option<WireFormat> {
    if target.is_on_mock() {
        let is_spoken = target.provider.endpoint(client).is_some();
        let is_talk = client.is_conversation();
        return if is_spoken { Some(client) } else { is_talk.then_some(WireFormat::OpenaiChat) };
    }
    let is_native = target.model.formats.contains(&client) && target.takes_bytes_of(client);
    // Some models refuse tools beside an effort on Chat, and take both on Responses.
    let is_refused = client == WireFormat::OpenaiChat
        && needs.tools
        && needs.reasoning
        && !target.model.capabilities.tools_with_reasoning_on_chat;
    if is_native && !(is_refused && target.takes_written(WireFormat::OpenaiResponses)) {
        return Some(client);
    }
    // Words for a picture are no talk: only a model that makes pictures is asked for them.
    let makes_images = target.model.kind == ModelKind::Image;
    let is_asked_well = |format: &WireFormat| makes_images || (client.is_conversation() && format.is_conversation());
    let written = || {
        let formats = client.written_as().iter().copied();
        formats.filter(|format| target.takes_written(*format)).filter(is_asked_well)
    };
    let sayable = written().find(|format| !needs.stop || *format != WireFormat::OpenaiResponses);
    sayable.or_else(|| written().next()).or_else(|| target.takes_bytes_of(client).then_some(client))
}

/// The formats of live targets, for the message to the client.
fn client_formats(live: &Candidates<'_>) -> Vec<WireFormat> {
    let mut formats: Vec<_> = live.iter().flat_map(|target| target.model.formats.iter().copied()).collect();
    formats.sort_unstable();
    formats.dedup();
    formats
}

fn able<'a>(speaking: &Candidates<'a>, needs: &Needs) -> Result<Candidates<'a>, PlanError> {
    let wanted: [Wanted; 4] = [
        ("image input", needs.vision, |can| can.vision),
        ("tools", needs.tools, |can| can.tools),
        ("a forced tool choice", needs.forced_tool_choice, |can| can.forced_tool_choice),
        ("structured output by a JSON schema", needs.json_schema, |can| can.json_schema),
    ];
    let mut left = speaking.clone();
    for (capability, is_needed, is_there) in wanted {
        if is_needed {
            left.retain(|target| is_there(&target.model.capabilities));
        }
        if left.is_empty() {
            return Err(PlanError::Lacks { capability });
        }
    }
    if needs.sampling_params && left.iter().any(|target| target.model.capabilities.sampling_params) {
        left.retain(|target| target.model.capabilities.sampling_params);
    }
    Ok(left)
}

/// The targets whose window holds the prompt for sure. If there is none, those with the largest
/// window, as long as the prompt may fit: the provider, which counts exactly, then decides.
fn fitting<'a>(able: &Candidates<'a>, needs: &Needs) -> Result<Candidates<'a>, PlanError> {
    let sure: Candidates<'_> = able.iter().copied().filter(|target| fits_for_sure(&target.model, needs)).collect();
    if !sure.is_empty() {
        return Ok(sure);
    }
    let largest = able.iter().map(|target| target.model.limits.prompt_tokens_max()).max().unwrap_or(0);
    let in_largest = |target: &&Arc<Target>| target.model.limits.prompt_tokens_max() == largest;
    let tokens = |target: &Arc<Target>| estimate(needs.text_bytes, BYTES_PER_TOKEN_OPTIMISTIC, &target.model);
    let perhaps: Candidates<'_> =
        able.iter().copied().filter(in_largest).filter(|target| tokens(target) <= largest).collect();
    if perhaps.is_empty() {
        let prompt_tokens = able.iter().map(|target| tokens(target)).min().unwrap_or(0);
        return Err(PlanError::ContextTooLong { prompt_tokens, prompt_tokens_max: largest });
    }
    Ok(perhaps)
}

fn fits_for_sure(model: &Model, needs: &Needs) -> bool {
    let limits = &model.limits;
    let prompt = estimate(needs.text_bytes, BYTES_PER_TOKEN_CAUTIOUS, model);
    let output = needs.output_tokens.min(limits.output_tokens_max.unwrap_or(u64::MAX));
    let both = prompt.saturating_add(output);
    prompt <= limits.prompt_tokens_max() && both <= limits.context_tokens.unwrap_or(u64::MAX)
}

fn estimate(text_bytes: u64, bytes_per_token: u64, model: &Model) -> u64 {
    let factor_milli = u64::from(model.tokenizer_factor_milli);
    text_bytes.saturating_mul(factor_milli).div_ceil(bytes_per_token * MILLI)
}

fn listed(formats: &[WireFormat]) -> String {
    let names: Vec<_> = formats.iter().map(|format| format.name()).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests;
