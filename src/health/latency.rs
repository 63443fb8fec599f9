//! How long a provider takes: a mean that jumps up and comes down slowly, and the middle of many times.
//!
//! Must not know what is measured. Atomics only: a time that is lost to a race is one of many.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::Moment;

/// After this time without news a mean has lost most of its weight.
const DECAY_MS: f64 = 10_000.0;
/// After this time without news nothing is known any more.
const RECENT_MS: u64 = 300_000;
/// Half of the mean's word holds the time in microseconds, the other when that was.
const HALF_BITS: u32 = 32;

/// Peak-EWMA: a longer time is believed at once, a shorter one by and by.
#[derive(Debug, Default)]
pub struct PeakEwma(AtomicU64);

impl PeakEwma {
    /// Takes a time in milliseconds.
    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a mean needs fractions; the result lies between two u32"
    )]
    pub fn observe(&self, took_ms: u64, now: Moment) {
        let took = u32::try_from(took_ms.saturating_mul(1_000)).unwrap_or(u32::MAX);
        let stamp = now.0 & u64::from(u32::MAX);
        let blend = |word: u64| {
            let (mean, age_ms) = parts(word, now);
            let weight = (-(age_ms as f64) / DECAY_MS).exp();
            let blended = if word == 0 || took >= mean {
                took
            } else {
                (f64::from(mean) * weight + f64::from(took) * (1.0 - weight)) as u32
            };
            Some((stamp << HALF_BITS) | u64::from(blended.max(1)))
        };
        // Never fails: the function always gives a value.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, blend);
    }

    /// The mean in microseconds, which does not wane; `None` where nothing was heard for five minutes.
    pub fn recent_us(&self, now: Moment) -> Option<u64> {
        let word = self.0.load(Ordering::Relaxed);
        let (mean, age_ms) = parts(word, now);
        (word != 0 && age_ms <= RECENT_MS).then_some(u64::from(mean))
    }

    /// What an attempt is expected to take, in microseconds; 0 where nothing is known. It wanes while nothing is heard,
    /// so that whoever was slow once is tried again.
    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a mean needs fractions; the result lies between zero and a u32"
    )]
    pub fn expected_us(&self, now: Moment) -> u64 {
        let (mean, age_ms) = parts(self.0.load(Ordering::Relaxed), now);
        (f64::from(mean) * (-(age_ms as f64) / DECAY_MS).exp()) as u64
    }
}

/// The mean, and how old it is. Half a word of milliseconds goes round in 49 days, as differences do as well.
fn parts(word: u64, now: Moment) -> (u32, u64) {
    let mean = u32::try_from(word & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    (mean, now.0.wrapping_sub(word >> HALF_BITS) & u64::from(u32::MAX))
}

/// Steps of the histogram: four for each doubling, from 1 ms to more than an hour.
const STEPS: usize = 92;
/// Above so many times all counts are halved: what is new weighs more.
const TIMES_MAX: u32 = 1_024;
/// Fewer times have no middle that could be believed.
const TIMES_MIN: u32 = 16;

/// The spread of times.
#[derive(Debug)]
pub struct Histogram {
    counts: [AtomicU32; STEPS],
    all: AtomicU32,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: [const { AtomicU32::new(0) }; STEPS], all: AtomicU32::new(0) }
    }
}

impl Histogram {
    /// Takes a time.
    pub fn observe(&self, took_ms: u64) {
        if let Some(count) = self.counts.get(step(took_ms)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        if self.all.fetch_add(1, Ordering::Relaxed) >= TIMES_MAX {
            self.halve();
        }
    }

    /// The time in the middle, within a fifth; `None` while there are too few.
    pub fn median_ms(&self) -> Option<u64> {
        self.quantile_ms(50)
    }

    /// The time that so many of a hundred do not exceed, within a fifth; `None` while there are too few.
    pub fn quantile_ms(&self, percent: u32) -> Option<u64> {
        let all = self.all.load(Ordering::Relaxed);
        if all < TIMES_MIN {
            return None;
        }
        let mut below = 0_u32;
        let at = self.counts.iter().position(|count| {
            below = below.saturating_add(count.load(Ordering::Relaxed));
            below.saturating_mul(100) >= all.saturating_mul(percent)
        });
        at.map(upper_ms)
    }

    fn halve(&self) {
        let mut left = 0_u32;
        for count in &self.counts {
            let half = count.load(Ordering::Relaxed) / 2;
            count.store(half, Ordering::Relaxed);
            left = left.saturating_add(half);
        }
        self.all.store(left, Ordering::Relaxed);
    }
}

/// Four steps for each doubling: the two bits below the highest tell which.
fn step(ms: u64) -> usize {
    let ms = ms.max(1);
    let doublings = ms.ilog2();
    let quarter = if doublings >= 2 { (ms >> (doublings - 2)) & 3 } else { (ms << (2 - doublings)) & 3 };
    let step = doublings.saturating_mul(4) + u32::try_from(quarter).unwrap_or(0);
    usize::try_from(step).unwrap_or(usize::MAX).min(STEPS - 1)
}

/// The end of a step.
fn upper_ms(step: usize) -> u64 {
    let doublings = u32::try_from(step / 4).unwrap_or(0);
    let quarter = u64::try_from(step % 4).unwrap_or(0);
    ((1_u64 << doublings).saturating_mul(5 + quarter) / 4).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_jumps_up_and_comes_down_slowly() {
        let mean = PeakEwma::default();
        assert_eq!(mean.expected_us(Moment(0)), 0);
        mean.observe(10, Moment(1_000));
        mean.observe(500, Moment(1_001));
        assert_eq!(mean.expected_us(Moment(1_001)), 500_000);
        mean.observe(10, Moment(2_001));
        let after = mean.expected_us(Moment(2_001));
        assert!((400_000..500_000).contains(&after), "{after}");
        assert!(mean.expected_us(Moment(60_000)) < 5_000, "forgotten");
    }

    #[test]
    fn the_middle_is_within_a_fifth() {
        for ms in [1, 2, 3, 7, 40, 333, 1_000, 25_000] {
            let times = Histogram::default();
            (0..100).for_each(|_| times.observe(ms));
            (0..40).for_each(|_| times.observe(ms * 20));
            let median = times.median_ms().unwrap();
            assert!(median >= ms && median <= ms + ms.div_ceil(4), "{ms}: {median}");
            assert_eq!(times.quantile_ms(71), Some(median));
            assert!(times.quantile_ms(95).unwrap() >= ms * 20, "{ms}");
        }
        let few = Histogram::default();
        few.observe(5);
        assert_eq!(few.median_ms(), None);
    }

    #[test]
    fn old_times_lose_their_weight() {
        let times = Histogram::default();
        (0..5_000).for_each(|_| times.observe(10));
        (0..3_000).for_each(|_| times.observe(1_000));
        assert!(times.median_ms().unwrap() >= 1_000);
    }
}
