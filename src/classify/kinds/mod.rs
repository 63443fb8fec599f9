//! Which kind of work a request is: a linear model over clues, with weights from a data file.
//!
//! Must not know lanes, qualities or what follows from a kind; `table` says that. The same text and the same weights give
//! the same probabilities, always; the cost is bounded, since no more of a text is looked at than [`Excerpt`] holds.

pub mod clues;
pub mod shape;
pub mod weights;

use clues::{Part, Sink, Tally};
use weights::{GAINS, Gains, KINDS_MAX, Weights};

use super::features::Features;

/// Bytes of the head of the user's last words that are looked at.
const HEAD_BYTES: usize = 1_024;
/// Bytes of their tail.
const TAIL_BYTES: usize = 512;
/// Bytes of the system prompt and of the words before.
const CONTEXT_BYTES: usize = 384;

/// The text that a kind is recognised by.
#[derive(Clone, Copy, Debug, Default)]
pub struct Excerpt<'t> {
    /// The last words of the user, from their beginning.
    pub head: &'t str,
    /// Their end, where they are longer than the head.
    pub tail: &'t str,
    /// The beginning of the system prompt.
    pub system: &'t str,
    /// The beginning of what the user said before.
    pub before: &'t str,
}

impl<'t> Excerpt<'t> {
    /// Cuts texts to what is looked at.
    pub fn new(last_user: &'t str, system: &'t str, before: &'t str) -> Self {
        let head = start(last_user, HEAD_BYTES);
        let rest = last_user.get(head.len()..).unwrap_or_default();
        Self {
            head,
            tail: end(rest, TAIL_BYTES),
            system: start(system, CONTEXT_BYTES),
            before: start(before, CONTEXT_BYTES),
        }
    }

    /// Tells a sink of the words, and `shape` of the rows of the shape.
    pub fn read(&self, features: &Features, sink: &mut impl Sink, shape: impl FnMut(usize)) {
        let head = clues::read(self.head, Part::User, sink);
        let tail = clues::read(self.tail, Part::User, sink);
        clues::read(self.system, Part::Context, sink);
        clues::read(self.before, Part::Context, sink);
        let tally = Tally {
            tokens: head.tokens.saturating_add(tail.tokens),
            numbers: head.numbers.saturating_add(tail.numbers),
            foreign: head.foreign.saturating_add(tail.foreign),
            options: head.options.max(tail.options),
        };
        let last = if self.tail.is_empty() { self.head } else { self.tail };
        shape::rows(features, &tally, last.trim_end().chars().next_back(), shape);
    }
}

/// How likely each kind is, in the order of the weights' kinds. They sum up to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mix {
    shares: [f32; KINDS_MAX],
}

impl Mix {
    /// The shares of the first `count` kinds.
    pub fn shares(&self, count: usize) -> &[f32] {
        self.shares.get(..count).unwrap_or(&self.shares)
    }

    /// All shares; those beyond the kinds are 0.
    pub fn all(&self) -> [f32; KINDS_MAX] {
        self.shares
    }

    /// The likeliest kind and its share.
    pub fn top(&self) -> (usize, f32) {
        let better = |best: (usize, f32), (at, share): (usize, &f32)| if *share > best.1 { (at, *share) } else { best };
        self.shares.iter().enumerate().fold((0, 0.0), better)
    }
}

/// What was recognised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recognised {
    /// How likely each kind is.
    pub mix: Mix,
    /// What the words add to the gains that the kind stands for: standard over fast, reasoning over standard. Zeros
    /// where the weights were not fitted to an operator's outcomes.
    pub gains: [f32; GAINS],
}

/// Recognises the kind of work.
pub fn recognise(weights: &Weights, excerpt: &Excerpt<'_>, features: &Features) -> Recognised {
    let mut sums = Sums { weights, user: Sum::default(), context: Sum::default() };
    let mut shape = Sum::default();
    excerpt.read(features, &mut sums, |row| shape.add(weights.shape(row)));
    let scales = Scales { words: weights.word_scale(), shapes: weights.shape_scale() };
    let scores = joined(*weights.bias(), [&mut sums.user, &mut sums.context], &mut shape, scales);
    let mix = Mix { shares: softmax(scores, weights.kinds().len()) };
    let gains = weights.gains().map_or([0.0; GAINS], |gains| added_gains(gains, excerpt, features));
    Recognised { mix, gains }
}

fn added_gains(gains: &Gains, excerpt: &Excerpt<'_>, features: &Features) -> [f32; GAINS] {
    let mut sums = GainSums { gains, user: Sum::default(), context: Sum::default() };
    let mut shape = Sum::default();
    excerpt.read(features, &mut sums, |row| shape.add(gains.shape(row)));
    joined(gains.bias, [&mut sums.user, &mut sums.context], &mut shape, gains.scales)
}

/// What one step of a weight is worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scales {
    /// Of a word's weight.
    pub words: f32,
    /// Of a shape's weight.
    pub shapes: f32,
}

/// The bias, the words of each speaker by the root of their number, and the shape.
fn joined<const N: usize>(bias: [f32; N], words: [&mut Sum<N>; 2], shape: &mut Sum<N>, scales: Scales) -> [f32; N] {
    let mut scores = bias;
    for words in words {
        let scale = scales.words / root(words.count);
        scores.iter_mut().zip(words.total()).for_each(|(score, sum)| *score += float(sum) * scale);
    }
    scores.iter_mut().zip(shape.total()).for_each(|(score, sum)| *score += float(sum) * scales.shapes);
    scores
}

/// Sums of the weights of words.
struct Sums<'w> {
    weights: &'w Weights,
    user: Sum<KINDS_MAX>,
    context: Sum<KINDS_MAX>,
}

/// Sums of what words add to gains.
struct GainSums<'w> {
    gains: &'w Gains,
    user: Sum<GAINS>,
    context: Sum<GAINS>,
}

impl Sink for GainSums<'_> {
    fn word(&mut self, part: Part, bucket: usize) {
        let row = self.gains.word(bucket);
        match part {
            Part::User => self.user.add(row),
            Part::Context => self.context.add(row),
        }
    }
}

impl Sums<'_> {
    fn of(&mut self, part: Part) -> &mut Sum<KINDS_MAX> {
        match part {
            Part::User => &mut self.user,
            Part::Context => &mut self.context,
        }
    }
}

impl Sink for Sums<'_> {
    fn word(&mut self, part: Part, bucket: usize) {
        let row = self.weights.word(bucket);
        self.of(part).add(row);
    }

    fn word_and_pair(&mut self, part: Part, word: usize, pair: usize) {
        let rows = [self.weights.word(word), self.weights.word(pair)];
        self.of(part).add_two(rows);
    }
}

/// A sum of rows. Narrow, since that is what a processor adds many of at once; moved to a wide one before it can overflow.
struct Sum<const N: usize> {
    narrow: [i16; N],
    wide: [i32; N],
    /// Rows of which the narrow sum is.
    fresh: u32,
    count: u32,
}

/// So many rows and one more fit: 257 times 127 is below 2^15.
const ROWS_NARROW: u32 = 256;

impl<const N: usize> Default for Sum<N> {
    fn default() -> Self {
        Self { narrow: [0; N], wide: [0; N], fresh: 0, count: 0 }
    }
}

impl<const N: usize> Sum<N> {
    fn add(&mut self, row: &[i8; N]) {
        for (sum, weight) in self.narrow.iter_mut().zip(row) {
            *sum = sum.wrapping_add(i16::from(*weight));
        }
        self.note(1);
    }

    fn add_two(&mut self, [one, other]: [&[i8; N]; 2]) {
        for ((sum, one), other) in self.narrow.iter_mut().zip(one).zip(other) {
            *sum = sum.wrapping_add(i16::from(*one) + i16::from(*other));
        }
        self.note(2);
    }

    fn note(&mut self, rows: u32) {
        self.count += rows;
        self.fresh += rows;
        if self.fresh >= ROWS_NARROW {
            self.widen();
        }
    }

    fn widen(&mut self) {
        self.fresh = 0;
        for (wide, narrow) in self.wide.iter_mut().zip(std::mem::replace(&mut self.narrow, [0; N])) {
            *wide += i32::from(narrow);
        }
    }

    fn total(&mut self) -> [i32; N] {
        self.widen();
        self.wide
    }
}

/// Probabilities from scores. `libm`, since the platform's own differ in the last bit.
pub fn softmax(scores: [f32; KINDS_MAX], count: usize) -> [f32; KINDS_MAX] {
    let highest = scores.iter().take(count).copied().fold(f32::MIN, f32::max);
    let mut shares = [0.0; KINDS_MAX];
    let mut sum = 0.0;
    for (share, score) in shares.iter_mut().zip(scores).take(count) {
        *share = libm::expf(score - highest);
        sum += *share;
    }
    for share in &mut shares {
        *share /= sum;
    }
    shares
}

/// The length by which sums over words are divided, so that long texts do not shout.
pub fn root(count: u32) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "counts of words are below 2^24")]
    let count = count.max(1) as f32;
    libm::sqrtf(count)
}

fn float(sum: i32) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "sums of a few thousand bytes are below 2^24")]
    let sum = sum as f32;
    sum
}

fn start(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or_default()
}

fn end(text: &str, bytes_max: usize) -> &str {
    let from = text.ceil_char_boundary(text.len().saturating_sub(bytes_max));
    text.get(from..).unwrap_or_default()
}

#[cfg(test)]
mod tests;
