//! From a mix of kinds to a lane: the one whose quality is worth its price.
//!
//! Must not know texts, rules or names. One formula for everything: a lane is worth its quality less its price times how
//! much the operator minds money.

use std::ops::RangeInclusive;

use super::table::LaneTable;

/// How likely a request must be of kinds on which the fast lane is safe.
const SAFE_SHARE: f32 = 0.7;
/// Below this wish for quality the fast lane is taken whether it is safe or not.
const CHEAPEST_BELOW: f32 = 0.25;

/// How much a price is minded where nothing but the price counts. With the lanes' prices of 1 to 2 to 4 this puts the middle
/// of the scale between the gains of two kinds (exam-choice .13, code .15) instead of onto one, where a change of a word
/// would change the lane.
const MINDED_MOST: f32 = 1.1;

/// What is minded beside the kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wish {
    /// 0 for the cheapest, 1 for the best.
    pub quality: f32,
    /// Prices of the lanes as shares of the dearest.
    pub prices: [f32; 3],
    /// The cheapest lane that may be chosen: 0 fast, 1 standard, 2 reasoning.
    pub at_least: usize,
    /// The dearest.
    pub at_most: usize,
}

impl Wish {
    /// A lane's quality less its price, as far as that is minded.
    pub fn worth(&self, expected: &[f32; 3], lane: usize) -> f32 {
        let minded = MINDED_MOST * (1.0 - self.quality) * (1.0 - self.quality);
        let at = |values: &[f32; 3]| values.get(lane).copied().unwrap_or_default();
        at(expected) - minded * at(&self.prices)
    }
}

/// The lane for a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// 0 fast, 1 standard, 2 reasoning.
    pub lane: usize,
    /// The quality that is expected of each lane.
    pub expected: [f32; 3],
}

impl Choice {
    /// What the reasoning lane is expected to gain over the standard lane.
    pub fn gain(&self) -> f32 {
        self.expected[2] - self.expected[1]
    }
}

/// What each lane's answer is expected to be worth. `gains` is what the words add to those of the kinds: standard over
/// fast, reasoning over standard.
pub fn expect(table: &LaneTable, shares: &[f32], gains: [f32; 2]) -> [f32; 3] {
    let mut expected = [-gains[0], 0.0, gains[1]];
    for (row, share) in table.rows().iter().zip(shares) {
        expected.iter_mut().zip(row.qualities()).for_each(|(sum, quality)| *sum += share * quality);
    }
    expected
}

/// The lanes that may be chosen: what rules leave, and the fast lane only where it is safe.
pub fn open_lanes(table: &LaneTable, shares: &[f32], wish: &Wish) -> RangeInclusive<usize> {
    let safe: f32 = table.rows().iter().zip(shares).filter(|(row, _)| row.fast_is_safe).map(|(_, share)| share).sum();
    let is_fast_open = safe >= SAFE_SHARE || wish.quality < CHEAPEST_BELOW;
    let at_most = wish.at_most.min(2);
    wish.at_least.max(usize::from(!is_fast_open)).min(at_most)..=at_most
}

/// Chooses a lane. `shares` are those of the kinds, in the table's order; `gains` as in [`expect`].
pub fn choose(table: &LaneTable, shares: &[f32], gains: [f32; 2], wish: &Wish) -> Choice {
    let expected = expect(table, shares, gains);
    let open = open_lanes(table, shares, wish);
    let worth = |lane| wish.worth(&expected, lane);
    let better = |best: usize, lane: usize| if worth(lane) > worth(best) { lane } else { best };
    let lane = open.clone().fold(*open.start(), better);
    Choice { lane, expected }
}
