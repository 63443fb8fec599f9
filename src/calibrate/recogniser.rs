//! Fits the recogniser of kinds: a multinomial logistic regression, by `AdaGrad`, in an order that a seed fixes.
//!
//! Must not know lanes or files. The same examples and settings give the same weights, bit for bit: one thread, `libm`.

use super::examples::{Clues, Example, Examples};
use super::shuffle::Shuffle;
use crate::classify::kinds::clues::BUCKETS;
use crate::classify::kinds::shape::SHAPES;
use crate::classify::kinds::softmax;
use crate::classify::kinds::weights::{Fitted, KINDS_MAX};

/// How it is fitted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Passes over the examples.
    pub passes: usize,
    /// The first step.
    pub rate: f32,
    /// Pull of every weight towards zero.
    pub decay: f32,
    /// Pull of the shape's weights: a row of the shape is seen far more often than a word.
    pub shape_decay: f32,
}

/// What ships; chosen by cross-validation over the examples, see `docs/routing.md`.
pub const SETTINGS: Settings = Settings { passes: 12, rate: 0.15, decay: 1e-4, shape_decay: 1e-3 };
const SEED: u64 = 0x00f1_0a70;

type Scores = [f32; KINDS_MAX];

struct Fit {
    words: Vec<Scores>,
    shapes: Vec<Scores>,
    bias: Scores,
    /// Sums of squared gradients.
    word_squares: Vec<Scores>,
    shape_squares: Vec<Scores>,
    bias_squares: Scores,
}

/// Fits weights to examples. Kinds weigh the same however many examples they have.
pub fn fit(kinds: &[String], examples: &[&Example], settings: &Settings) -> Fitted {
    let zero = [0.0; KINDS_MAX];
    let mut fit = Fit {
        words: vec![zero; BUCKETS],
        shapes: vec![zero; SHAPES],
        bias: zero,
        word_squares: vec![zero; BUCKETS],
        shape_squares: vec![zero; SHAPES],
        bias_squares: zero,
    };
    let weights = balance(kinds.len(), examples);
    let mut order = Shuffle::new(SEED);
    for _ in 0..settings.passes {
        for at in order.of(examples.len()) {
            let Some(example) = examples.get(at) else { continue };
            let weight = weights.get(example.kind).copied().unwrap_or(1.0);
            for clues in &example.variants {
                fit.learn(clues, example.kind, (kinds.len(), weight), settings);
            }
        }
    }
    Fitted { kinds: kinds.to_vec(), words: fit.words, shapes: fit.shapes, bias: fit.bias }
}

/// The likeliest kind of a request, by weights that are not yet bytes.
pub fn guess(fitted: &Fitted, clues: &Clues) -> Scores {
    softmax(scores(&fitted.words, &fitted.shapes, &fitted.bias, clues), fitted.kinds.len())
}

/// The share of examples that are recognised by weights fitted to others, a fifth held out at a time.
pub fn accuracy(examples: &Examples, settings: &Settings, tell: &mut dyn FnMut(u64, u64)) -> f64 {
    const FOLDS: u64 = 5;
    let (mut right, mut all) = (0.0, 0.0);
    for fold in 0..FOLDS {
        tell(fold, FOLDS);
        let numbered = || examples.examples.iter().zip((0..FOLDS).cycle());
        let rest: Vec<&Example> = numbered().filter(|(_, part)| *part != fold).map(|(example, _)| example).collect();
        let fitted = fit(&examples.kinds, &rest, settings);
        for (example, _) in numbered().filter(|(_, part)| *part == fold) {
            let shares = example.variants.first().map(|clues| guess(&fitted, clues)).unwrap_or_default();
            let best = (0..examples.kinds.len()).fold(0, |best, at| if shares[at] > shares[best] { at } else { best });
            right += f64::from(u8::from(best == example.kind));
            all += 1.0;
        }
    }
    right / all
}

/// What each example of a kind weighs, so that all kinds weigh the same.
fn balance(kinds: usize, examples: &[&Example]) -> Vec<f32> {
    let mut counts = vec![0.0_f32; kinds];
    for example in examples {
        if let Some(count) = counts.get_mut(example.kind) {
            *count += 1.0;
        }
    }
    let mean = counts.iter().sum::<f32>() / counts.iter().map(|_| 1.0).sum::<f32>();
    counts.iter().map(|count| mean / count.max(1.0)).collect()
}

fn scores(words: &[Scores], shapes: &[Scores], bias: &Scores, clues: &Clues) -> Scores {
    let mut scores = *bias;
    let add = |row: Option<&Scores>, value: f32, scores: &mut Scores| {
        for (score, weight) in scores.iter_mut().zip(row.unwrap_or(&[0.0; KINDS_MAX])) {
            *score += weight * value;
        }
    };
    clues.words.iter().for_each(|(bucket, value)| add(words.get(*bucket), *value, &mut scores));
    clues.shape.iter().for_each(|row| add(shapes.get(*row), 1.0, &mut scores));
    scores
}

impl Fit {
    fn learn(&mut self, clues: &Clues, kind: usize, (count, weight): (usize, f32), settings: &Settings) {
        let shares = softmax(scores(&self.words, &self.shapes, &self.bias, clues), count);
        let mut errors = shares;
        if let Some(right) = errors.get_mut(kind) {
            *right -= 1.0;
        }
        for error in &mut errors {
            *error *= weight;
        }
        for (bucket, value) in &clues.words {
            if let (Some(row), Some(squares)) = (self.words.get_mut(*bucket), self.word_squares.get_mut(*bucket)) {
                step(row, squares, &errors, *value, settings.rate, settings.decay);
            }
        }
        for at in &clues.shape {
            if let (Some(row), Some(squares)) = (self.shapes.get_mut(*at), self.shape_squares.get_mut(*at)) {
                step(row, squares, &errors, 1.0, settings.rate, settings.shape_decay);
            }
        }
        step(&mut self.bias, &mut self.bias_squares, &errors, 1.0, settings.rate, 0.0);
    }
}

/// One step of `AdaGrad`.
fn step(row: &mut Scores, squares: &mut Scores, errors: &Scores, value: f32, rate: f32, decay: f32) {
    const FLOOR: f32 = 1e-6;
    for ((weight, square), error) in row.iter_mut().zip(squares).zip(errors) {
        let gradient = error * value + decay * *weight;
        *square += gradient * gradient;
        *weight -= rate * gradient / libm::sqrtf(*square + FLOOR);
    }
}
