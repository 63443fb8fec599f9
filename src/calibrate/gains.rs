//! Fits what words add to the gains of their kind: a ridge regression on what the lane table leaves unexplained.
//!
//! Must not know files. The same rows give the same weights, bit for bit.

use super::examples::Clues;
use super::rows::Row;
use super::shuffle::Shuffle;
use crate::classify::choose;
use crate::classify::kinds::clues::BUCKETS;
use crate::classify::kinds::shape::SHAPES;
use crate::classify::kinds::weights::{FittedGains, GAINS};
use crate::classify::table::LaneTable;

/// Passes over the rows.
const PASSES: usize = 8;
/// The first step.
const RATE: f32 = 0.03;
/// Pull of every weight towards zero.
const DECAY: f32 = 3e-3;
const SEED: u64 = 0x9a1_0b3d;

type Gain = [f32; GAINS];

/// Fits weights to the rows of which all lanes are known.
pub fn fit(rows: &[&Row], table: &LaneTable) -> FittedGains {
    let zero = [0.0; GAINS];
    let mut fit = FittedGains { words: vec![zero; BUCKETS], shapes: vec![zero; SHAPES], bias: zero };
    let mut squares = fit.clone();
    let known: Vec<(&Row, Gain)> = rows.iter().filter_map(|row| Some((*row, left_over(row, table)?))).collect();
    let mut order = Shuffle::new(SEED);
    for _ in 0..PASSES {
        for at in order.of(known.len()) {
            if let Some((row, wanted)) = known.get(at) {
                learn(&mut fit, &mut squares, &row.clues, *wanted);
            }
        }
    }
    fit
}

/// What weights that are not yet bytes add to the gains of a row.
pub fn added(fitted: &FittedGains, clues: &Clues) -> Gain {
    let mut gains = fitted.bias;
    let mut add = |row: Option<&Gain>, value: f32| {
        gains.iter_mut().zip(row.unwrap_or(&[0.0; GAINS])).for_each(|(gain, weight)| *gain += weight * value);
    };
    clues.words.iter().for_each(|(bucket, value)| add(fitted.words.get(*bucket), *value));
    clues.shape.iter().for_each(|row| add(fitted.shapes.get(*row), 1.0));
    gains
}

/// The gains of a row less those that its kinds stand for.
fn left_over(row: &Row, table: &LaneTable) -> Option<Gain> {
    let [fast, standard, reasoning] = row.all_qualities()?;
    let [low, middle, high] = choose::expect(table, &row.shares, [0.0; GAINS]);
    #[expect(clippy::cast_possible_truncation, reason = "qualities from 0 to 1")]
    let seen = [(standard - fast) as f32, (reasoning - standard) as f32];
    Some([seen[0] - (middle - low), seen[1] - (high - middle)])
}

fn learn(fit: &mut FittedGains, squares: &mut FittedGains, clues: &Clues, wanted: Gain) {
    let mut errors = added(fit, clues);
    errors.iter_mut().zip(wanted).for_each(|(error, wanted)| *error -= wanted);
    for (bucket, value) in &clues.words {
        step(fit.words.get_mut(*bucket), squares.words.get_mut(*bucket), errors, *value);
    }
    for row in &clues.shape {
        step(fit.shapes.get_mut(*row), squares.shapes.get_mut(*row), errors, 1.0);
    }
    step(Some(&mut fit.bias), Some(&mut squares.bias), errors, 1.0);
}

/// One step of `AdaGrad`.
fn step(row: Option<&mut Gain>, squares: Option<&mut Gain>, errors: Gain, value: f32) {
    const FLOOR: f32 = 1e-4;
    let (Some(row), Some(squares)) = (row, squares) else { return };
    for ((weight, square), error) in row.iter_mut().zip(squares).zip(errors) {
        let gradient = error * value + DECAY * *weight;
        *square += gradient * gradient;
        *weight -= RATE * gradient / libm::sqrtf(*square + FLOOR);
    }
}
