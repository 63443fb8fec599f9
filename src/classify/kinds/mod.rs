//! Which kind of work a request is: a linear model over clues, with weights from a data file.
//!
//! Must not know lanes, qualities or what follows from a kind; `table` says that. The same text and the same weights give
//! the same probabilities, always; the cost is bounded, since no more of a text is looked at than [`Excerpt`] holds.

pub mod clues;
pub mod shape;
pub mod weights;

use clues::{Part, Sink, Tally};
use weights::{KINDS_MAX, Row, Weights};

use super::features::Features;

/// Bytes of the head of the user's last words that are looked at.
const HEAD_BYTES: usize = 1_536;
/// Bytes of their tail.
const TAIL_BYTES: usize = 1_024;
/// Bytes of the system prompt and of the words before.
const CONTEXT_BYTES: usize = 512;

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

    /// The likeliest kind and its share.
    pub fn top(&self) -> (usize, f32) {
        let better = |best: (usize, f32), (at, share): (usize, &f32)| if *share > best.1 { (at, *share) } else { best };
        self.shares.iter().enumerate().fold((0, 0.0), better)
    }
}

/// Recognises the kind of work.
pub fn recognise(weights: &Weights, excerpt: &Excerpt<'_>, features: &Features) -> Mix {
    let mut sums = Sums { weights, user: [0; KINDS_MAX], context: [0; KINDS_MAX], user_count: 0, context_count: 0 };
    let mut shape = [0; KINDS_MAX];
    excerpt.read(features, &mut sums, |row| add(&mut shape, weights.shape(row)));
    let user = weights.word_scale() / root(sums.user_count);
    let context = weights.word_scale() / root(sums.context_count);
    let mut scores = *weights.bias();
    let parts = sums.user.iter().zip(&sums.context).zip(&shape);
    for (score, ((user_sum, context_sum), shape_sum)) in scores.iter_mut().zip(parts) {
        *score += float(*user_sum) * user + float(*context_sum) * context + float(*shape_sum) * weights.shape_scale();
    }
    Mix { shares: softmax(scores, weights.kinds().len()) }
}

/// Sums of the weights of words.
struct Sums<'w> {
    weights: &'w Weights,
    user: [i32; KINDS_MAX],
    context: [i32; KINDS_MAX],
    user_count: u32,
    context_count: u32,
}

impl Sink for Sums<'_> {
    fn word(&mut self, part: Part, bucket: usize) {
        let row = self.weights.word(bucket);
        match part {
            Part::User => {
                self.user_count += 1;
                add(&mut self.user, row);
            }
            Part::Context => {
                self.context_count += 1;
                add(&mut self.context, row);
            }
        }
    }
}

fn add(sums: &mut [i32; KINDS_MAX], row: &Row) {
    for (sum, weight) in sums.iter_mut().zip(row) {
        *sum += i32::from(*weight);
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
