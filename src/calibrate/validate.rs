//! What a fit would gain on rows it has not seen.
//!
//! Must not know files. Where rows name their sources, each source is held out as a whole, since rows of one source resemble
//! each other and a random split flatters every method; else the rows are cut into five parts.

use super::measure::{Decided, Measured, measure};
use super::rows::{Row, sources};
use super::shuffle::Shuffle;
use super::{gains, table};
use crate::classify::Terms;
use crate::classify::choose::{self, Wish};
use crate::classify::kinds::weights::GAINS;
use crate::classify::table::LaneTable;

/// Sources from which on they are held out one by one.
const SOURCES_MIN: usize = 3;
const FOLDS: usize = 5;
const SEED: u64 = 0xf01d;
/// Lane prices where the rows say nothing.
const LANE_COSTS: [f64; 3] = [0.25, 0.5, 1.0];

/// How rows are held out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldOut {
    /// One source at a time.
    Sources,
    /// A fifth at a time.
    Fifths,
}

/// What was measured on rows that the fit had not seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Validated {
    /// How they were held out.
    pub held_out: HeldOut,
    /// With the table as it is.
    pub before: Measured,
    /// With a table fitted to the other rows.
    pub table: Measured,
    /// With a table and weights fitted to the other rows.
    pub weights: Measured,
    /// Mean squared error of the expected quality of single answers: before, with the table.
    pub errors: [f64; 2],
}

/// Fits to all but a part and decides on that, for each part.
pub fn validate(rows: &[Row], current: &LaneTable, terms: &Terms, tell: &mut dyn FnMut(u64, u64)) -> Validated {
    let (held_out, parts) = parts(rows);
    let (mut before, mut with_table, mut with_weights) = (Vec::new(), Vec::new(), Vec::new());
    let mut errors = [(0.0, 0.0); 2];
    let all = u64::try_from(parts.len()).unwrap_or(u64::MAX);
    for (part, done) in parts.iter().zip(0..) {
        tell(done, all);
        let is_held: Vec<bool> = part.clone();
        let rest: Vec<&Row> = rows.iter().zip(&is_held).filter(|(_, held)| !**held).map(|(row, _)| row).collect();
        let fitted = table::fit(&rest, current);
        let weights = gains::fit(&rest, &fitted);
        for row in rows.iter().zip(&is_held).filter(|(_, held)| **held).map(|(row, _)| row) {
            let added = gains::added(&weights, &row.clues);
            before.extend(decide(row, current, [0.0; GAINS], terms));
            with_table.extend(decide(row, &fitted, [0.0; GAINS], terms));
            with_weights.extend(decide(row, &fitted, added, terms));
            for (sum, table) in errors.iter_mut().zip([current, &fitted]) {
                add_errors(row, table, sum);
            }
        }
    }
    Validated {
        held_out,
        before: measure(&before),
        table: measure(&with_table),
        weights: measure(&with_weights),
        errors: errors.map(|(sum, count)| if count > 0.0 { sum / count } else { 0.0 }),
    }
}

/// Decides on a row of which all lanes are known.
pub fn decide(row: &Row, table: &LaneTable, added: [f32; GAINS], terms: &Terms) -> Option<Decided> {
    let quality = row.all_qualities()?;
    let wish = Wish { quality: terms.quality, prices: terms.prices, at_least: 0, at_most: 2 };
    let choice = choose::choose(table, &row.shares, added, &wish);
    let cost = row.cost.unwrap_or(LANE_COSTS);
    let (id, source) = (row.id.clone(), row.source.clone());
    Some(Decided { source, quality, cost, lane: choice.lane, score: f64::from(choice.gain()), id })
}

/// The mean of the lifts at equal spend, in points of quality: the one figure by which fits are compared.
pub fn lift(measured: &Measured) -> f64 {
    let known: Vec<f64> = measured.at_budget.iter().flatten().copied().collect();
    let count: f64 = known.iter().map(|_| 1.0).sum();
    if count > 0.0 { known.iter().sum::<f64>() / count * 100.0 } else { 0.0 }
}

/// For each part which rows are held out.
fn parts(rows: &[Row]) -> (HeldOut, Vec<Vec<bool>>) {
    let names = sources(rows);
    if names.len() >= SOURCES_MIN {
        let part = |name: &&str| rows.iter().map(|row| row.source == **name).collect();
        return (HeldOut::Sources, names.iter().map(part).collect());
    }
    let order = Shuffle::new(SEED).of(rows.len());
    let part = |fold: usize| {
        let mut held = vec![false; rows.len()];
        for at in order.iter().skip(fold).step_by(FOLDS) {
            held.iter_mut().skip(*at).take(1).for_each(|held| *held = true);
        }
        held
    };
    (HeldOut::Fifths, (0..FOLDS).map(part).collect())
}

fn add_errors(row: &Row, table: &LaneTable, sum: &mut (f64, f64)) {
    let expected = choose::expect(table, &row.shares, [0.0; GAINS]);
    for (known, expected) in
        row.quality.iter().zip(expected).filter_map(|(known, expected)| Some(((*known)?, expected)))
    {
        let error = known - f64::from(expected);
        sum.0 += error * error;
        sum.1 += 1.0;
    }
}
