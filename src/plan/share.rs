//! How targets of one step share its requests.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::catalog::Target;
use crate::health::redrawn;

/// Brings the targets of each step in an order that is drawn by their weights: each stands first in its share of all
/// numbers, and those behind it are drawn in the same way among themselves. Without a number the heaviest come
/// first.
pub(super) fn order(targets: &mut [&Arc<Target>], draw: Option<u64>) {
    for step in targets.chunk_by_mut(|one, other| one.step.number == other.step.number).filter(|step| step.len() > 1) {
        match draw {
            Some(draw) => shuffle(step, draw),
            None => step.sort_by_key(|target| Reverse(target.step.weight)),
        }
    }
}

fn shuffle(step: &mut [&Arc<Target>], mut draw: u64) {
    let mut rest = step;
    loop {
        let all: u64 = rest.iter().map(|target| u64::from(target.step.weight)).sum();
        if all == 0 {
            return;
        }
        draw = redrawn(draw);
        let mut mark = draw % all;
        let drawn = rest.iter().position(|target| {
            let weight = u64::from(target.step.weight);
            let is_hit = mark < weight;
            mark = mark.saturating_sub(weight);
            is_hit
        });
        if let Some(found) = rest.get_mut(..=drawn.unwrap_or_default()) {
            found.rotate_right(1);
        }
        let Some((_, others)) = rest.split_first_mut() else { return };
        rest = others;
    }
}
