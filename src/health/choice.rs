//! Which of several accesses takes an attempt: of two drawn by weight the one with less to do.
//!
//! Must not draw itself. Two are enough: the best of all would be everyone's best at once.

use super::access::AccessLive;
use super::{Moment, Standing};

/// One that may be chosen.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Its live state.
    pub live: &'a AccessLive,
    /// Its share among its like; at least 1.
    pub weight: u32,
    /// Whether it may be taken at all: not where this request has tried it.
    pub is_free: bool,
}

/// The index of the chosen; those that probes or keys speak against only where no other is there. `None` where all
/// are away, or none is free. `draw` is any random number.
pub fn choose(candidates: &[Candidate<'_>], now: Moment, draw: u64) -> Option<usize> {
    if let [only] = candidates {
        return (only.is_free && !only.live.standing(now).is_away()).then_some(0);
    }
    let fit = |wanted: Standing| move |one: &Candidate<'_>| one.is_free && one.live.standing(now) == wanted;
    choose_among(candidates, fit(Standing::Well), now, draw)
        .or_else(|| choose_among(candidates, fit(Standing::Doubtful), now, draw))
}

fn choose_among(
    candidates: &[Candidate<'_>],
    is_fit: impl Fn(&Candidate<'_>) -> bool,
    now: Moment,
    draw: u64,
) -> Option<usize> {
    let weights = || candidates.iter().map(|one| if is_fit(one) { u64::from(one.weight.max(1)) } else { 0 });
    let sum: u64 = weights().sum();
    let drawn = |number: u64| {
        let mut left = number.checked_rem(sum)?;
        weights().position(|weight| {
            let is_here = left < weight;
            left = left.saturating_sub(weight);
            is_here
        })
    };
    // Both halves of the number are random, and each is drawn with all weights: two alike share by weight.
    let (first, second) = (drawn(draw >> 32)?, drawn(draw & u64::from(u32::MAX))?);
    let load = |index: usize| candidates.get(index).map_or(u64::MAX, |one| one.live.load(now));
    Some(if load(second) < load(first) { second } else { first })
}
