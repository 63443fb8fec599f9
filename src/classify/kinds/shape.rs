//! The shape of a request as clues: how long, how many turns, tools, formulas, options, whatever is counted.
//!
//! Must not know kinds or weights. Each clue is a row of a table; the rows are part of the format of a weights file.

use super::clues::Tally;
use crate::classify::features::{Features, wide};

/// How many rows there are.
pub const SHAPES: usize = row_count();

/// How a number becomes one of a few steps.
#[derive(Clone, Copy)]
enum Scale {
    /// 0, 1, 2–3, 4–7, …: each step is twice as wide as the one before.
    Doubling,
    /// As `Doubling`, in steps of four times.
    Fourfold,
    /// The number itself.
    Plain,
}

/// One group of rows: a name for explanations, its scale and how many steps it has.
type Group = (&'static str, Scale, usize);

const GROUPS: [Group; 20] = [
    ("length of the last words", Scale::Fourfold, 9),
    ("length of the system prompt", Scale::Fourfold, 8),
    ("messages", Scale::Doubling, 6),
    ("turns", Scale::Doubling, 5),
    ("tools", Scale::Doubling, 6),
    ("in a tool loop", Scale::Plain, 2),
    ("JSON schema", Scale::Plain, 2),
    ("image", Scale::Plain, 2),
    ("file", Scale::Plain, 2),
    ("code fences", Scale::Doubling, 4),
    ("signs of code", Scale::Doubling, 7),
    ("signs of mathematics", Scale::Doubling, 7),
    ("words that ask for thought", Scale::Doubling, 4),
    ("question marks", Scale::Doubling, 4),
    ("options", Scale::Plain, 11),
    ("share of numbers", Scale::Plain, 6),
    ("share of foreign words", Scale::Plain, 4),
    ("last sign", Scale::Plain, 6),
    ("limit on output", Scale::Fourfold, 8),
    ("length before the last words", Scale::Fourfold, 10),
];

const fn row_count() -> usize {
    let mut rows = 0;
    let mut at = 0;
    while at < GROUPS.len() {
        rows += GROUPS[at].2;
        at += 1;
    }
    rows
}

/// Calls `each` with the row of each group.
pub fn rows(features: &Features, tally: &Tally, last_sign: Option<char>, mut each: impl FnMut(usize)) {
    let share = |part: u32, steps: &[u32]| {
        let permille = part.saturating_mul(1_000) / tally.tokens.max(1);
        steps.iter().filter(|step| permille >= **step).count()
    };
    let values: [u64; GROUPS.len()] = [
        features.last_user_bytes,
        features.system_bytes,
        features.messages,
        features.turns,
        features.tool_count,
        u64::from(features.in_tool_loop),
        u64::from(features.has_json_schema),
        u64::from(features.has_image_input),
        u64::from(features.has_file_input),
        features.code_fences,
        features.code_signs,
        features.math_signs,
        features.hard_words,
        features.question_count,
        u64::from(tally.options),
        wide(share(tally.numbers, &[1, 20, 60, 120, 250])),
        wide(share(tally.foreign, &[1, 100, 400])),
        sign(last_sign),
        features.max_tokens,
        features.text_bytes.saturating_sub(features.last_user_bytes + features.system_bytes),
    ];
    let mut first = 0;
    for ((_, scale, steps), value) in GROUPS.iter().zip(values) {
        each(first + scale.step(value).min(steps - 1));
        first += steps;
    }
}

/// The name of the group of a row, and its step within it.
pub fn name(row: usize) -> Option<(&'static str, usize)> {
    let mut first = 0;
    for (name, _, steps) in GROUPS {
        if row < first + steps {
            return Some((name, row - first));
        }
        first += steps;
    }
    None
}

impl Scale {
    fn step(self, value: u64) -> usize {
        let bits = usize::try_from(u64::BITS - value.leading_zeros()).unwrap_or(usize::MAX);
        match self {
            Self::Doubling => bits,
            Self::Fourfold => bits.div_ceil(2),
            Self::Plain => usize::try_from(value).unwrap_or(usize::MAX),
        }
    }
}

fn sign(last: Option<char>) -> u64 {
    match last {
        None => 0,
        Some('?' | '？' | '؟') => 1,
        Some(':' | '：') => 2,
        Some('.' | '。' | '!') => 3,
        Some(sign) if sign.is_alphanumeric() => 4,
        Some(_) => 5,
    }
}
