//! How a model's thinking is switched and measured out.
//!
//! Must not know how a wire format spells it: the writers in `translate` do.

use crate::base::effort::Effort;

/// How a model's thinking is steered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ThinkingControl {
    /// It is not: the model does not think, or nothing is known.
    #[default]
    None,
    /// By an effort.
    Effort,
    /// By Gemini's `thinkingLevel`.
    Level,
    /// By a token budget.
    Budget,
    /// By itself, with an effort (Anthropic's `adaptive`).
    Adaptive,
    /// Adaptive, or by a token budget.
    AdaptiveOrBudget,
    /// By a switch, and an effort (`thinking.type` on Chat hosts).
    SwitchAndEffort,
    /// By an argument of the chat template (self-hosted).
    ChatTemplate,
    /// The model always thinks, and refuses to be told how much.
    Always,
}

impl ThinkingControl {
    /// All with the names used in configuration.
    pub const NAMES: [(&'static str, Self); 9] = [
        ("none", Self::None),
        ("effort", Self::Effort),
        ("level", Self::Level),
        ("budget", Self::Budget),
        ("adaptive", Self::Adaptive),
        ("adaptive+budget", Self::AdaptiveOrBudget),
        ("switch+effort", Self::SwitchAndEffort),
        ("chat_template_kwargs", Self::ChatTemplate),
        ("always", Self::Always),
    ];
}

/// What is known of a model's thinking.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThinkingSupport {
    /// How it is steered.
    pub control: ThinkingControl,
    /// The efforts or levels that it knows, in rising order; empty where nothing is known.
    pub efforts: Vec<Effort>,
    /// Whether it can be switched off.
    pub can_disable: bool,
}
