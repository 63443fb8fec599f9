//! How hard a model is to think: words and budgets of tokens for one another.
//!
//! Must not know models: which words one knows, and within which bounds a budget must stay, its writer says.

use super::ir::{Reasoning, Thinking};
use crate::base::effort::Effort;

/// What stands for an effort.
#[derive(Clone, Copy, Debug)]
struct Row {
    effort: Effort,
    /// The largest budget that means it.
    budget_tokens_max: u64,
    /// The budget that a Claude is given for it.
    claude_tokens: u64,
    /// The budget that a Gemini is given for it: none of them takes more than the last.
    gemini_tokens: u64,
}

const fn row(effort: Effort, budget_tokens_max: u64, claude_tokens: u64, gemini_tokens: u64) -> Row {
    Row { effort, budget_tokens_max, claude_tokens, gemini_tokens }
}

/// In rising order.
const TABLE: [Row; 7] = [
    row(Effort::None, 0, 0, 0),
    row(Effort::Minimal, 1_023, 1_024, 512),
    row(Effort::Low, 4_095, 2_048, 1_024),
    row(Effort::Medium, 12_287, 8_192, 8_192),
    row(Effort::High, 24_576, 16_384, 24_576),
    row(Effort::Xhigh, 49_151, 32_768, 24_576),
    row(Effort::Max, u64::MAX, 63_999, 24_576),
];

/// The effort that a budget of tokens comes to.
pub fn of_budget(tokens: u64) -> Effort {
    TABLE.iter().find(|row| tokens <= row.budget_tokens_max).map_or(Effort::Max, |row| row.effort)
}

/// The budget of a Claude for an effort.
pub fn claude_tokens(effort: Effort) -> u64 {
    TABLE.iter().find(|row| row.effort == effort).map_or(0, |row| row.claude_tokens)
}

/// The budget of a Gemini for an effort.
pub fn gemini_tokens(effort: Effort) -> u64 {
    TABLE.iter().find(|row| row.effort == effort).map_or(0, |row| row.gemini_tokens)
}

/// The effort that a client asks for, by word or by budget; `None` leaves it to the model.
pub fn asked(reasoning: Reasoning) -> Option<Effort> {
    let Reasoning { thinking, effort, shown: _ } = reasoning;
    match thinking {
        Some(Thinking::Off) => Some(Effort::None),
        Some(Thinking::Budget(tokens)) => effort.or(Some(of_budget(tokens))),
        Some(Thinking::Adaptive) | None => effort,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_become_words_and_words_budgets() {
        for (tokens, effort) in [
            (0, Effort::None),
            (1, Effort::Minimal),
            (1_023, Effort::Minimal),
            (1_024, Effort::Low),
            (4_096, Effort::Medium),
            (12_288, Effort::High),
            (24_577, Effort::Xhigh),
            (49_152, Effort::Max),
            (u64::MAX, Effort::Max),
        ] {
            assert_eq!(of_budget(tokens), effort, "{tokens}");
        }
        for (name, effort) in Effort::NAMES {
            assert!(claude_tokens(effort) >= gemini_tokens(effort).min(16_384), "{name}");
            assert_eq!(claude_tokens(effort) == 0, effort == Effort::None, "{name}");
        }
        assert!(TABLE.is_sorted_by_key(|row| row.claude_tokens) && TABLE.is_sorted_by_key(|row| row.gemini_tokens));
    }

    #[test]
    fn a_word_counts_more_than_a_budget() {
        let reasoning = |thinking, effort| Reasoning { thinking, effort, shown: None };
        for (thinking, effort, expected) in [
            (Some(Thinking::Off), Some(Effort::High), Some(Effort::None)),
            (Some(Thinking::Budget(5_000)), Some(Effort::Low), Some(Effort::Low)),
            (Some(Thinking::Budget(5_000)), None, Some(Effort::Medium)),
            (Some(Thinking::Adaptive), None, None),
        ] {
            assert_eq!(asked(reasoning(thinking, effort)), expected);
        }
    }
}
