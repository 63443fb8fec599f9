//! What each host of Chat Completions knows, renames, refuses or leaves out: a table, and nothing else.
//!
//! Must not know how a request is read or written: the writer asks the table, it never asks which host it is.
//! What is not known of a host counts as not there: most refuse what they do not know, or leave it out in silence.

use crate::catalog::provider::Dialect;

/// Something of the format that not every host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Feature {
    /// `top_k`.
    TopK,
    /// `frequency_penalty`.
    FrequencyPenalty,
    /// `presence_penalty`.
    PresencePenalty,
    /// A seed, by the name in [`Host::seed`].
    Seed,
    /// `logit_bias`.
    LogitBias,
    /// `logprobs` and `top_logprobs`.
    Logprobs,
    /// `n` over 1.
    Choices,
    /// `stop`.
    Stop,
    /// `tool_choice` that is obeyed.
    ToolChoice,
    /// `tool_choice` with a list of tools.
    AllowedTools,
    /// `parallel_tool_calls`.
    ParallelCalls,
    /// Tools that are called with free text.
    CustomTools,
    /// Functions without `parameters`.
    NoParameters,
    /// `verbosity`.
    Verbosity,
    /// `metadata`.
    Metadata,
    /// Thoughts, or summaries of them, beside the answer.
    ShownThoughts,
    /// `prompt_cache_key`.
    CacheKey,
    /// `name` on a message.
    Names,
    /// The role `developer`.
    DeveloperRole,
    /// `refusal` on a message of the past.
    Refusals,
    /// Text as a list of parts wherever a string is allowed.
    PartLists,
    /// Pictures by address.
    ImageUrls,
    /// `file` parts.
    Files,
    /// Pictures in the results of tools.
    ResultImages,
    /// `modalities` with pictures.
    ImageOutput,
    /// A user's message right after the results of tools.
    UserAfterTool,
    /// `prefix` on a last message of the assistant, which the answer goes on from.
    Prefix,
}

/// A set of features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Features(u32);

impl Features {
    const fn of(list: &[Feature]) -> Self {
        Self(0).and(list)
    }

    const fn and(self, mut list: &[Feature]) -> Self {
        let mut bits = self.0;
        while let [first, rest @ ..] = list {
            bits |= 1 << *first as u32;
            list = rest;
        }
        Self(bits)
    }

    const fn but(self, list: &[Feature]) -> Self {
        Self(self.0 & !Self::of(list).0)
    }

    /// Whether this one is in it.
    pub(super) const fn has(self, feature: Feature) -> bool {
        self.0 & (1 << feature as u32) != 0
    }
}

/// How a mark is spelt up to which the prompt is worth caching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MarkSpelling {
    /// There are none.
    None,
    /// `prompt_cache_breakpoint` on a part.
    Breakpoint,
    /// `cache_control` on a part.
    CacheControl,
}

/// How thoughts go back to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replay {
    /// Not at all.
    None,
    /// As text in this field, if the model made them.
    OwnText(&'static str),
    /// As text in this field, with every turn that called a tool, whoever made them: a turn without is refused.
    WithCalls(&'static str),
    /// As `reasoning_details`, if the model made them.
    Details,
}

/// How a host wants to be told how hard to think, where the model is steered by an effort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EffortSpelling {
    /// `reasoning_effort`.
    Plain,
    /// `reasoning{effort|max_tokens|enabled,exclude}`.
    Object,
}

/// Which ids of calls a host takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IdRule {
    /// Any up to this length.
    UpTo(usize),
    /// Letters and digits, just so many.
    Alphanumeric(usize),
}

/// The facts of a host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Host {
    /// What it has.
    pub(super) knows: Features,
    /// What its thinking models have not.
    pub(super) unless_thinking: Features,
    /// What it calls the longest answer.
    pub(super) limit: &'static str,
    /// The limit for clients that name none; `None` leaves it to the host.
    pub(super) limit_default: Option<u64>,
    /// What it calls the seed.
    pub(super) seed: &'static str,
    /// What it calls the choice of any tool.
    pub(super) required: &'static str,
    /// What it calls the client's own user; empty where it knows none.
    pub(super) end_user: &'static str,
    /// The service tiers that it knows by OpenAI's field.
    pub(super) tiers: &'static [&'static str],
    /// How many texts may stop an answer.
    pub(super) stops_max: usize,
    /// How long the names of tools may be.
    pub(super) tool_name_bytes_max: usize,
    /// Which ids of calls it takes.
    pub(super) ids: IdRule,
    /// How it wants marks for its cache.
    pub(super) marks: MarkSpelling,
    /// How it wants to be told how hard to think.
    pub(super) effort: EffortSpelling,
    /// The field and value that keep thoughts out of the answer; empty where there is none.
    pub(super) hide_thoughts: (&'static str, &'static str),
    /// How thoughts go back.
    pub(super) replay: Replay,
    /// Fields that are always sent: name and JSON.
    pub(super) always: &'static [(&'static str, &'static str)],
}

use Feature::{
    AllowedTools, CacheKey, Choices, CustomTools, DeveloperRole, Files, FrequencyPenalty, ImageOutput, ImageUrls,
    LogitBias, Logprobs, Metadata, Names, NoParameters, ParallelCalls, PartLists, Prefix, PresencePenalty, Refusals,
    ResultImages, Seed, ShownThoughts, Stop, ToolChoice, TopK, UserAfterTool, Verbosity,
};

/// What nearly all have.
const COMMON: Features = Features::of(&[
    FrequencyPenalty,
    PresencePenalty,
    Seed,
    Logprobs,
    LogitBias,
    Choices,
    Stop,
    ToolChoice,
    ParallelCalls,
    Names,
    PartLists,
    ImageUrls,
    UserAfterTool,
    ShownThoughts,
]);

const PENALTIES: [Feature; 2] = [FrequencyPenalty, PresencePenalty];

/// Longer prompts than the window are cut in silence by default.
const NEVER_CUT: &[(&str, &str)] = &[("context_length_exceeded_behavior", "\"error\"")];

/// Hosts of which nothing is known: old names, which nearly all understand, and no rarities.
const PLAIN: Host = Host {
    knows: COMMON.but(&[PartLists]).and(&[Files]),
    unless_thinking: Features::of(&[]),
    limit: "max_tokens",
    limit_default: None,
    seed: "seed",
    required: "required",
    end_user: "user",
    tiers: &[],
    stops_max: usize::MAX,
    tool_name_bytes_max: usize::MAX,
    ids: IdRule::UpTo(40),
    marks: MarkSpelling::None,
    effort: EffortSpelling::Plain,
    hide_thoughts: ("", ""),
    replay: Replay::None,
    always: &[],
};

const OPENAI: Host = Host {
    knows: COMMON.but(&[ShownThoughts]).and(&[
        AllowedTools,
        CustomTools,
        NoParameters,
        Verbosity,
        Metadata,
        CacheKey,
        DeveloperRole,
        Refusals,
        Files,
    ]),
    unless_thinking: Features::of(&PENALTIES),
    limit: "max_completion_tokens",
    end_user: "safety_identifier",
    tiers: &["auto", "default", "flex", "scale", "priority", "fast"],
    stops_max: 4,
    tool_name_bytes_max: 64,
    ids: IdRule::UpTo(64),
    marks: MarkSpelling::Breakpoint,
    ..PLAIN
};

/// New fields come to Azure later: the old name of the user is the safe one.
const AZURE: Host = Host { end_user: "user", tiers: &["auto", "default", "priority"], ..OPENAI };

const GROQ: Host = Host {
    knows: COMMON.but(&[Logprobs, LogitBias, Choices]),
    limit: "max_completion_tokens",
    tiers: &["auto", "on_demand", "flex", "performance"],
    stops_max: 4,
    hide_thoughts: ("reasoning_format", "\"hidden\""),
    ..PLAIN
};

/// Its rate limiter reserves the whole window for a request that names no limit.
const CEREBRAS: Host = Host {
    knows: COMMON.but(&[FrequencyPenalty, PresencePenalty, LogitBias, ParallelCalls, PartLists, Choices]),
    limit: "max_completion_tokens",
    limit_default: Some(16_384),
    tiers: &["auto", "default", "flex", "priority"],
    hide_thoughts: ("reasoning_format", "\"hidden\""),
    ..PLAIN
};

const DEEPSEEK: Host = Host {
    knows: COMMON.but(&[Seed, LogitBias, Choices, ParallelCalls, PartLists]),
    end_user: "",
    stops_max: 16,
    replay: Replay::WithCalls("reasoning_content"),
    ..PLAIN
};

/// Refuses every field that is not on its list.
const MISTRAL: Host = Host {
    knows: COMMON.but(&[Logprobs, LogitBias, Names, UserAfterTool]).and(&[ResultImages, Prefix]),
    seed: "random_seed",
    required: "any",
    end_user: "",
    ids: IdRule::Alphanumeric(9),
    ..PLAIN
};

const XAI: Host = Host {
    knows: COMMON.but(&[LogitBias]),
    unless_thinking: Features::of(&[FrequencyPenalty, PresencePenalty, Stop]),
    limit: "max_completion_tokens",
    tiers: &["default", "priority"],
    ..PLAIN
};

/// Its `logprobs` is a number, and comes back in another shape.
const TOGETHER: Host = Host {
    knows: COMMON.but(&[Logprobs, ParallelCalls]).and(&[TopK]),
    end_user: "",
    replay: Replay::OwnText("reasoning_content"),
    always: NEVER_CUT,
    ..PLAIN
};

const FIREWORKS: Host = Host {
    knows: COMMON.and(&[TopK]),
    tiers: &["auto", "default", "priority"],
    replay: Replay::OwnText("reasoning_content"),
    always: NEVER_CUT,
    ..PLAIN
};

const OPENROUTER: Host = Host {
    knows: COMMON.but(&[Choices]).and(&[TopK, Files, ImageOutput, Verbosity]),
    tiers: &["auto", "default", "flex", "priority"],
    marks: MarkSpelling::CacheControl,
    effort: EffortSpelling::Object,
    replay: Replay::Details,
    ..PLAIN
};

const VLLM: Host = Host { knows: COMMON.and(&[TopK]), replay: Replay::OwnText("reasoning"), ..PLAIN };

const OLLAMA: Host = Host {
    knows: COMMON.but(&[Logprobs, LogitBias, Choices, ToolChoice, ParallelCalls, Names, PartLists, ImageUrls]),
    end_user: "",
    ..PLAIN
};

/// The facts of the hosts of a dialect.
pub(super) const fn host(dialect: Dialect) -> &'static Host {
    match dialect {
        Dialect::Plain => &PLAIN,
        Dialect::Openai => &OPENAI,
        Dialect::Azure => &AZURE,
        Dialect::Groq => &GROQ,
        Dialect::Cerebras => &CEREBRAS,
        Dialect::Deepseek => &DEEPSEEK,
        Dialect::Mistral => &MISTRAL,
        Dialect::Xai => &XAI,
        Dialect::Together => &TOGETHER,
        Dialect::Fireworks => &FIREWORKS,
        Dialect::Openrouter => &OPENROUTER,
        Dialect::Vllm => &VLLM,
        Dialect::Ollama => &OLLAMA,
    }
}
