//! Whether a request is one that a target is meant for.

use super::{Needs, Terms};
use crate::catalog::chain::Conditions;

/// Text bytes for one token of `o200k`, about.
const BYTES_PER_TOKEN_USUAL: u64 = 4;

/// Whether a request meets all conditions.
pub(super) fn are_met(when: &Conditions, needs: &Needs, terms: &Terms<'_>) -> bool {
    let Conditions { vision, tools, prompt_tokens_min, prompt_tokens_max, regions } = when;
    let is_as = |wanted: Option<bool>, is: bool| wanted.is_none_or(|wanted| wanted == is);
    let region = terms.preference.and_then(|preference| preference.region.as_deref());
    let is_there = regions.is_empty() || region.is_some_and(|region| regions.iter().any(|known| **known == *region));
    let tokens = needs.text_bytes / BYTES_PER_TOKEN_USUAL;
    is_as(*vision, needs.vision)
        && is_as(*tools, needs.tools)
        && (*prompt_tokens_min..=*prompt_tokens_max).contains(&tokens)
        && is_there
}
