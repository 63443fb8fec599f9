//! What came of the attempts of the last while: counts in a ring of slices of time.
//!
//! Must not judge. Atomics only, since every attempt writes here: a slice is one word, so that its counts and its time
//! change together.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Moment;

/// Slices of the window. It moves on by one of them at a time.
const SLICES: usize = 10;
/// Bits of each of the three counts; the rest of the word numbers the slice. Past the largest count a slice stands
/// still: its shares are what matters.
const COUNT_BITS: u32 = 14;
const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;
const EPOCH_BITS: u32 = 64 - 3 * COUNT_BITS;

/// Attempts of a while.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All whose end says something about the provider.
    pub all: u64,
    /// Those that failed by its fault.
    pub errors: u64,
    /// Those whose first token came unusually late.
    pub slow: u64,
}

impl Counts {
    /// Errors in a hundred attempts.
    pub fn error_percent(self) -> u64 {
        self.errors.saturating_mul(100).checked_div(self.all).unwrap_or(0)
    }

    fn pack(self, epoch: u64) -> u64 {
        let Self { all, errors, slow } = self;
        (((((epoch << COUNT_BITS) | all) << COUNT_BITS) | errors) << COUNT_BITS) | slow
    }

    fn unpack(word: u64) -> (u64, Self) {
        let counts = Self {
            all: (word >> (2 * COUNT_BITS)) & COUNT_MAX,
            errors: (word >> COUNT_BITS) & COUNT_MAX,
            slow: word & COUNT_MAX,
        };
        (word >> (3 * COUNT_BITS), counts)
    }

    fn plus(self, one: Self) -> Self {
        if self.all >= COUNT_MAX {
            return self;
        }
        Self { all: self.all + one.all, errors: self.errors + one.errors, slow: self.slow + one.slow }
    }
}

/// The ring.
#[derive(Debug, Default)]
pub(super) struct Window([AtomicU64; SLICES]);

impl Window {
    /// Adds one attempt at `now` to a window of `window_ms`.
    pub(super) fn add(&self, one: Counts, now: Moment, window_ms: u64) {
        let epoch = epoch(now, window_ms);
        let Some(slice) = self.0.get(place(epoch)) else { return };
        let add = |word| {
            let (of, counts) = Counts::unpack(word);
            // What a late attempt of an older round would add is old as well.
            Some(if of == epoch { counts.plus(one) } else { one }.pack(epoch))
        };
        // Never fails: the function always gives a value.
        let _ = slice.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// What stands in the window that ends `now`.
    pub(super) fn counts(&self, now: Moment, window_ms: u64) -> Counts {
        let last = epoch(now, window_ms);
        let mut sum = Counts::default();
        for slice in &self.0 {
            let (of, counts) = Counts::unpack(slice.load(Ordering::Relaxed));
            let age = last.wrapping_sub(of) & ((1 << EPOCH_BITS) - 1);
            if age < u64::try_from(SLICES).unwrap_or(0) {
                sum.all += counts.all;
                sum.errors += counts.errors;
                sum.slow += counts.slow;
            }
        }
        sum
    }

    /// Forgets all.
    pub(super) fn clear(&self) {
        self.0.iter().for_each(|slice| slice.store(0, Ordering::Relaxed));
    }
}

/// The number of the slice of a moment. From 1, since an empty word is of slice 0.
fn epoch(now: Moment, window_ms: u64) -> u64 {
    let slice_ms = (window_ms / u64::try_from(SLICES).unwrap_or(1)).max(1);
    (now.0 / slice_ms + u64::try_from(SLICES).unwrap_or(1)) & ((1 << EPOCH_BITS) - 1)
}

fn place(epoch: u64) -> usize {
    usize::try_from(epoch).unwrap_or(0) % SLICES
}

#[cfg(test)]
mod tests {
    use super::*;

    const ERROR: Counts = Counts { all: 1, errors: 1, slow: 0 };
    const GOOD: Counts = Counts { all: 1, errors: 0, slow: 0 };

    #[test]
    fn what_is_older_than_the_window_does_not_count() {
        let window = Window::default();
        window.add(ERROR, Moment(0), 1_000);
        window.add(GOOD, Moment(950), 1_000);
        assert_eq!(window.counts(Moment(999), 1_000), Counts { all: 2, errors: 1, slow: 0 });
        assert_eq!(window.counts(Moment(1_000), 1_000), GOOD);
        assert_eq!(window.counts(Moment(1_899), 1_000), GOOD);
        assert_eq!(window.counts(Moment(1_900), 1_000), Counts::default());
        // The same place of the ring, ten slices later.
        window.add(GOOD, Moment(1_950), 1_000);
        assert_eq!(window.counts(Moment(1_950), 1_000), GOOD);
    }

    #[test]
    fn a_slice_that_is_full_keeps_its_shares() {
        let window = Window::default();
        for n in 0..(COUNT_MAX + 1_000) {
            window.add(if n % 2 == 0 { ERROR } else { GOOD }, Moment(5), 1_000);
        }
        let counts = window.counts(Moment(5), 1_000);
        assert_eq!((counts.all, counts.error_percent()), (COUNT_MAX, 50));
    }
}
