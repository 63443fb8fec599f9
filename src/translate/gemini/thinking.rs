//! `thinkingConfig`: how much, and whether it is shown.
//!
//! Must not know the model's name: the catalogue says how its thinking is steered.

use super::{Facts, Notes};
use crate::base::effort::Effort;
use crate::catalog::thinking::{ThinkingControl, ThinkingSupport};
use crate::translate::effort;
use crate::translate::ir::{Reasoning, Shown, Thinking};
use crate::wire::json::Writer;

/// The bounds of a budget that every model with one takes.
const BUDGET_MIN: u64 = 512;
const BUDGET_MAX: u64 = 24_576;

/// Levels of a model of which nothing closer is known.
const LEVELS: [Effort; 3] = [Effort::Low, Effort::Medium, Effort::High];

/// What is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Amount {
    Default,
    Level(Effort),
    Budget(u64),
}

/// Writes the field, if there is anything to say.
pub(super) fn write(reasoning: Reasoning, facts: &Facts<'_>, notes: &mut Notes, out: &mut Writer) {
    let Reasoning { thinking, effort: wanted, shown } = reasoning;
    let support = &facts.model().thinking;
    let asked = effort::asked(reasoning);
    let cannot_stop = matches!(support.control, ThinkingControl::Level | ThinkingControl::Always)
        || (support.control == ThinkingControl::Budget && !support.can_disable);
    if cannot_stop && asked == Some(Effort::None) {
        // It thinks as little as it can, and that is paid for.
        notes.ignore("reasoning_effort");
    }
    let amount = match support.control {
        ThinkingControl::Level => asked.map_or(Amount::Default, |effort| level(effort, support)),
        ThinkingControl::Budget => budget(thinking, wanted, support),
        ThinkingControl::None
        | ThinkingControl::Effort
        | ThinkingControl::Adaptive
        | ThinkingControl::AdaptiveOrBudget
        | ThinkingControl::SwitchAndEffort
        | ThinkingControl::ChatTemplate
        | ThinkingControl::Always => {
            if asked.is_some_and(|effort| effort != Effort::None) {
                notes.ignore("reasoning_effort");
            }
            Amount::Default
        }
    };
    let can_show = support.control != ThinkingControl::None && amount != Amount::Budget(0);
    let is_shown = can_show && is_shown(thinking, shown);
    if amount == Amount::Default && !is_shown {
        return;
    }
    out.name("thinkingConfig").object(|out| {
        match amount {
            Amount::Default => {}
            Amount::Level(level) => out.name("thinkingLevel").plain(level_name(level)),
            Amount::Budget(tokens) => out.name("thinkingBudget").number(tokens),
        }
        if is_shown {
            out.name("includeThoughts").raw("true");
        }
    });
}

/// Who asks for thinking wants to see it, unless he says otherwise. A bare effort says nothing of that kind.
fn is_shown(thinking: Option<Thinking>, shown: Option<Shown>) -> bool {
    match shown {
        Some(Shown::Omitted) => false,
        Some(Shown::Auto | Shown::Concise | Shown::Detailed) => true,
        None => matches!(thinking, Some(Thinking::Adaptive | Thinking::Budget(_))),
    }
}

fn level(effort: Effort, support: &ThinkingSupport) -> Amount {
    let known = if support.efforts.is_empty() { &LEVELS } else { &*support.efforts };
    // There is no level for not thinking: the lowest comes nearest.
    let least = known.iter().copied().filter(|level| *level != Effort::None).min();
    let nearest = effort.nearest_of(known).filter(|level| *level != Effort::None);
    nearest.or(least).map_or(Amount::Default, Amount::Level)
}

fn budget(thinking: Option<Thinking>, wanted: Option<Effort>, support: &ThinkingSupport) -> Amount {
    let tokens = match (thinking, wanted) {
        (Some(Thinking::Off | Thinking::Budget(0)), _) => 0,
        (Some(Thinking::Budget(tokens)), _) => tokens.clamp(BUDGET_MIN, BUDGET_MAX),
        (_, Some(wanted)) => effort::gemini_tokens(wanted),
        (_, None) => return Amount::Default,
    };
    Amount::Budget(if tokens == 0 && !support.can_disable { BUDGET_MIN } else { tokens })
}

fn level_name(level: Effort) -> &'static str {
    match level {
        Effort::None | Effort::Minimal => "MINIMAL",
        Effort::Low => "LOW",
        Effort::Medium => "MEDIUM",
        Effort::High => "HIGH",
        Effort::Xhigh | Effort::Max => "XHIGH",
    }
}
