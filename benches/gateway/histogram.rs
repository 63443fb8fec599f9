//! Latencies counted in buckets less than a hundredth wide, shared by all connections without a lock.
//!
//! Must not know what is measured. Nothing is allocated after the start.

use std::sync::atomic::{AtomicU32, Ordering};

/// Buckets per power of two, as a power of two.
const FINE_BITS: u32 = 7;
/// 2^36 ns is 68 s; what is longer counts as that.
const VALUE_BITS: u32 = 36;
const BUCKETS: usize = ((VALUE_BITS - FINE_BITS + 1) as usize) << FINE_BITS;

pub(crate) struct Histogram {
    counts: Vec<AtomicU32>,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { counts: (0..BUCKETS).map(|_| AtomicU32::new(0)).collect() }
    }

    pub(crate) fn record(&self, value: u64) {
        let value = value.min((1 << VALUE_BITS) - 1);
        self.counts[bucket(value)].fetch_add(1, Ordering::Relaxed);
    }

    /// The value below which this share of the records lies; 0 if there are none.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let counts = || self.counts.iter().map(|count| u64::from(count.load(Ordering::Relaxed)));
        let rank = counts().sum::<u64>() as f64 * share;
        let mut seen = 0;
        for (index, count) in counts().enumerate() {
            seen += count;
            if count > 0 && seen as f64 >= rank {
                return middle(index);
            }
        }
        0.0
    }
}

/// Below 2^7 one bucket a value, above 2^7 buckets for each power of two.
fn bucket(value: u64) -> usize {
    let magnitude = u64::BITS - value.leading_zeros();
    let shift = magnitude.saturating_sub(FINE_BITS + 1);
    let fine = usize::try_from(value >> shift).unwrap_or(0);
    fine + ((shift as usize) << FINE_BITS)
}

fn middle(bucket: usize) -> f64 {
    let per_power = 1_usize << FINE_BITS;
    let shift = (bucket / per_power).saturating_sub(1);
    let fine = bucket - shift * per_power;
    (fine as f64 + 0.5) * 2_f64.powi(i32::try_from(shift).unwrap_or(0))
}
