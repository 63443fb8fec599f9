//! Which cache marks a request keeps: four at most, longer-lived ones before shorter ones.
//!
//! Must not know where they stand. They are told in the order of the prompt (tools, instructions, messages), and
//! given back in the same order.

use crate::translate::ir::{CacheMark, CacheTtl};

/// So many marks Anthropic takes.
const MARKS_MAX: usize = 4;

/// The marks of a request that are kept.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// How many of the first are left out.
    skipped: usize,
    /// Whether a short-lived one was given: no longer-lived one may follow.
    is_short: bool,
}

impl Marks {
    /// Of so many marks.
    pub(super) fn of(count: usize) -> Self {
        Self { skipped: count.saturating_sub(MARKS_MAX), is_short: false }
    }

    /// For a model that takes none.
    pub(super) fn none() -> Self {
        Self { skipped: usize::MAX, is_short: false }
    }

    /// How the next thing is marked.
    pub(super) fn next(&mut self, mark: Option<CacheMark>) -> Option<&'static str> {
        let CacheMark(ttl) = mark?;
        if self.skipped > 0 {
            self.skipped -= 1;
            return None;
        }
        self.is_short |= matches!(ttl, CacheTtl::M5 | CacheTtl::M30);
        Some(if self.is_short { "5m" } else { "1h" })
    }
}
