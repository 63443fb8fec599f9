//! How much a Claude thinks, from what a client of any format asked for.
//!
//! Must not know how it is spelt in the request. Newer models weigh it themselves and take an effort; older ones
//! take a budget of tokens, which must stay below the limit of the whole answer and rules out much else.

use super::place::Ignored;
use crate::base::effort::Effort;
use crate::catalog::Model;
use crate::catalog::thinking::ThinkingControl;
use crate::translate::effort;
use crate::translate::ir::{Reasoning, Request, Shown, Thinking};

/// The limit of an answer whose client set none, cut to what the model can do: the format demands one. Room for a
/// long file and the thoughts before it, and far below the largest models' limits, since it is reserved.
pub const OUTPUT_TOKENS_DEFAULT: u64 = 32_000;
/// The smallest budget that Anthropic takes.
const BUDGET_MIN: u64 = 1_024;
/// The name under which it is told that thinking was left out.
const FIELD: &str = "reasoning_effort";

/// What the request says of thinking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Whether, and how.
    pub(super) mode: Mode,
    /// How hard the model tries.
    pub(super) effort: Option<Effort>,
    /// `max_tokens`.
    pub(super) output_tokens_max: u64,
    /// Whether the thoughts are shown; `None` leaves it to the model.
    pub(super) display: Option<&'static str>,
}

/// Whether a model thinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// As it does by itself.
    Unsaid,
    /// Not at all.
    Off,
    /// As much as it likes.
    Adaptive,
    /// At most so many tokens.
    Budget(u64),
}

impl Mode {
    /// Whether the model is told to think.
    pub(super) fn is_on(self) -> bool {
        matches!(self, Self::Adaptive | Self::Budget(_))
    }
}

/// What an older model cannot do while it thinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// A call is demanded.
    ForcedChoice,
    /// The answer goes on from an assistant's turn.
    Prefill,
    /// In a chain of calls the thoughts before the first one are gone.
    LostThought,
}

/// What a client asks for.
enum Asked {
    Nothing,
    Off,
    Auto,
    Effort(Effort),
    Budget(u64),
}

impl Asked {
    fn of(reasoning: &Reasoning) -> Self {
        let Reasoning { thinking, effort, shown } = *reasoning;
        match (thinking, effort) {
            (Some(Thinking::Off), _) | (_, Some(Effort::None)) | (Some(Thinking::Budget(0)), None) => Self::Off,
            (Some(Thinking::Budget(tokens)), None) => Self::Budget(tokens),
            (_, Some(effort)) => Self::Effort(effort),
            (Some(Thinking::Adaptive), None) => Self::Auto,
            (None, None) if shown.is_some_and(|shown| shown != Shown::Omitted) => Self::Auto,
            (None, None) => Self::Nothing,
        }
    }
}

/// What to say of thinking to this model.
pub(super) fn plan(request: &Request<'_>, model: &Model, obstacle: Option<Obstacle>, ignored: &mut Ignored) -> Plan {
    let most = model.limits.output_tokens_max.unwrap_or(u64::MAX);
    let limit = request.output_tokens_max.unwrap_or(OUTPUT_TOKENS_DEFAULT).min(most);
    let (mode, effort) = steer(&Asked::of(&request.reasoning), model, ignored);
    let is_hindered = match (mode, obstacle) {
        (Mode::Budget(_), Some(_)) => true,
        // Where thinking can be measured out it is the old kind, whichever way it is asked for.
        (Mode::Adaptive, Some(Obstacle::ForcedChoice)) => {
            model.thinking.control == ThinkingControl::AdaptiveOrBudget && model.thinking.can_disable
        }
        _ => false,
    };
    if is_hindered {
        ignored.add(FIELD);
        return Plan { mode: Mode::Off, effort, output_tokens_max: limit, display: None };
    }
    let (mode, output_tokens_max) = fit(mode, limit, most);
    if mode == Mode::Off && !matches!(Asked::of(&request.reasoning), Asked::Off) {
        ignored.add(FIELD);
    }
    let display = request.reasoning.shown.filter(|_| mode.is_on()).map(|shown| match shown {
        Shown::Omitted => "omitted",
        Shown::Auto | Shown::Concise | Shown::Detailed => "summarized",
    });
    Plan { mode, effort, output_tokens_max, display }
}

/// The mode and the effort, before limits are looked at.
fn steer(asked: &Asked, model: &Model, ignored: &mut Ignored) -> (Mode, Option<Effort>) {
    let support = &model.thinking;
    let control = if model.capabilities.reasoning { support.control } else { ThinkingControl::None };
    let nearest = |effort: Effort| effort.nearest_of(&support.efforts);
    let off = if support.can_disable { Mode::Off } else { Mode::Unsaid };
    match (control, asked) {
        // A model that does not think need not be told not to.
        (_, Asked::Nothing) | (ThinkingControl::Effort, Asked::Auto) | (ThinkingControl::None, Asked::Off) => {
            (Mode::Unsaid, None)
        }
        (ThinkingControl::Budget | ThinkingControl::SwitchAndEffort, Asked::Off) => {
            if !support.can_disable {
                ignored.add(FIELD);
            }
            (off, None)
        }
        (ThinkingControl::Budget | ThinkingControl::SwitchAndEffort, asked) => (Mode::Budget(budget(asked)), None),
        (ThinkingControl::AdaptiveOrBudget, Asked::Budget(tokens)) => (Mode::Budget(*tokens), None),
        (ThinkingControl::Adaptive | ThinkingControl::AdaptiveOrBudget, asked) => match asked {
            Asked::Off if support.can_disable => (Mode::Off, None),
            Asked::Off => {
                ignored.add(FIELD);
                (Mode::Adaptive, support.efforts.iter().copied().min())
            }
            Asked::Effort(effort) => (Mode::Adaptive, nearest(*effort)),
            Asked::Budget(tokens) => (Mode::Adaptive, nearest(effort::of_budget(*tokens))),
            Asked::Auto | Asked::Nothing => (Mode::Adaptive, None),
        },
        (ThinkingControl::Effort, Asked::Off) if support.can_disable => (Mode::Off, None),
        (ThinkingControl::Effort, Asked::Off) => {
            ignored.add(FIELD);
            (Mode::Unsaid, support.efforts.iter().copied().min())
        }
        (ThinkingControl::Effort, Asked::Effort(effort)) => (Mode::Unsaid, nearest(*effort)),
        (ThinkingControl::Effort, Asked::Budget(tokens)) => (Mode::Unsaid, nearest(effort::of_budget(*tokens))),
        (
            ThinkingControl::None | ThinkingControl::Level | ThinkingControl::ChatTemplate | ThinkingControl::Always,
            Asked::Off | Asked::Auto | Asked::Effort(_) | Asked::Budget(_),
        ) => {
            ignored.add(FIELD);
            (Mode::Unsaid, None)
        }
    }
}

/// A budget must leave room for the answer. Where the client's limit is too small for that it is raised, as it
/// counts thoughts already; where the model's limit forbids it, the budget shrinks.
fn fit(mode: Mode, limit: u64, most: u64) -> (Mode, u64) {
    let Mode::Budget(budget) = mode else { return (mode, limit) };
    let (budget, limit_with_budget) = if budget < limit {
        (budget, limit)
    } else {
        let raised = budget.saturating_add(limit).min(most);
        let shrunk = if raised > limit { raised - limit } else { raised / 2 };
        (budget.min(shrunk), raised)
    };
    if budget < BUDGET_MIN { (Mode::Off, limit) } else { (Mode::Budget(budget), limit_with_budget) }
}

fn budget(asked: &Asked) -> u64 {
    match asked {
        Asked::Budget(tokens) => *tokens,
        Asked::Effort(wanted) => effort::claude_tokens(*wanted),
        Asked::Nothing | Asked::Off | Asked::Auto => effort::claude_tokens(Effort::Medium),
    }
}
