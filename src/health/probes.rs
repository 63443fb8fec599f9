//! What the probes of one access say: well, ill, or a key that is not taken.
//!
//! Must not probe. An access that was never probed counts as well.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Moment;

/// What came of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probed {
    /// It answered.
    Well,
    /// It did not, or with a fault of its own.
    Ill,
    /// It answered that our key is not taken.
    KeyRefused,
}

/// How an access stands by its probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fitness {
    /// Nothing speaks against it.
    Well,
    /// It does not answer.
    Ill,
    /// It answers, and refuses our key: the operator's business.
    Misconfigured,
}

/// How many probes in a row change the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Failures that make it ill.
    pub ill_after: u64,
    /// Successes that make it well.
    pub well_after: u64,
}

const WELL: u64 = 0;
const ILL: u64 = 1;
const MISCONFIGURED: u64 = 2;
const KIND_BITS: u32 = 2;
const COUNT_BITS: u32 = 8;
const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;

/// State, the probes in a row that speak for another, and since when: one word.
#[derive(Debug, Default)]
pub struct Probes(AtomicU64);

impl Probes {
    /// How it stands.
    #[inline]
    pub fn fitness(&self) -> Fitness {
        match self.0.load(Ordering::Relaxed) & ((1 << KIND_BITS) - 1) {
            ILL => Fitness::Ill,
            MISCONFIGURED => Fitness::Misconfigured,
            _ => Fitness::Well,
        }
    }

    /// Since when.
    pub fn since(&self) -> Moment {
        Moment(self.0.load(Ordering::Relaxed) >> (KIND_BITS + COUNT_BITS))
    }

    /// Takes what came of a probe. A key that is refused counts at once: no second try changes it.
    pub fn report(&self, probed: Probed, now: Moment, bounds: Bounds) {
        let next = |word: u64| {
            let (kind, count) = (word & ((1 << KIND_BITS) - 1), (word >> KIND_BITS) & COUNT_MAX);
            let since = word >> (KIND_BITS + COUNT_BITS);
            let (said, needed) = match probed {
                Probed::Well => (WELL, bounds.well_after),
                Probed::Ill => (ILL, bounds.ill_after),
                Probed::KeyRefused => (MISCONFIGURED, 1),
            };
            let in_a_row = (count + 1).min(COUNT_MAX);
            let (kind, count, since) = match () {
                () if said == kind => (kind, 0, since),
                () if in_a_row >= needed => (said, 0, now.0),
                () => (kind, in_a_row, since),
            };
            Some((((since << COUNT_BITS) | count) << KIND_BITS) | kind)
        };
        // Never fails: the function always gives a value.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }

    /// A request was refused for its key, or taken with it.
    pub fn note_key(&self, is_taken: bool, now: Moment) {
        let is_misconfigured = self.fitness() == Fitness::Misconfigured;
        if is_taken == is_misconfigured {
            let kind = if is_taken { WELL } else { MISCONFIGURED };
            self.0.store(now.0 << (KIND_BITS + COUNT_BITS) | kind, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { ill_after: 3, well_after: 2 };

    #[test]
    fn so_many_in_a_row_change_the_state() {
        use Fitness::{Ill, Misconfigured, Well};
        let probes = Probes::default();
        assert_eq!(probes.fitness(), Well, "never probed");
        let steps = [
            (Probed::Ill, Well),
            (Probed::Ill, Well),
            (Probed::Well, Well),
            (Probed::Ill, Well),
            (Probed::Ill, Well),
            (Probed::Ill, Ill),
            (Probed::Well, Ill),
            (Probed::Ill, Ill),
            (Probed::Well, Ill),
            (Probed::Well, Well),
            (Probed::KeyRefused, Misconfigured),
            (Probed::Well, Misconfigured),
            (Probed::Well, Well),
        ];
        for (at, (probed, fitness)) in (1..).zip(steps) {
            probes.report(probed, Moment(at), BOUNDS);
            assert_eq!(probes.fitness(), fitness, "after {at}");
        }
        assert_eq!(probes.since(), Moment(13));
    }

    #[test]
    fn requests_tell_of_the_key_as_well() {
        let probes = Probes::default();
        probes.note_key(true, Moment(4));
        assert_eq!((probes.fitness(), probes.since()), (Fitness::Well, Moment(0)));
        probes.note_key(false, Moment(5));
        probes.note_key(false, Moment(6));
        assert_eq!((probes.fitness(), probes.since()), (Fitness::Misconfigured, Moment(5)));
        probes.note_key(true, Moment(7));
        assert_eq!(probes.fitness(), Fitness::Well);
    }
}
