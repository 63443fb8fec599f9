//! Fits the lane table: means of what lanes' answers were worth, by kind, pulled towards a prior.
//!
//! Must not know texts. Rows of one source resemble each other, so a source is one witness however long it is, and the prior
//! counts as a few. Rows without sources are an operator's own traffic: there every row is a witness.

use super::rows::{Row, sources};
use crate::classify::table::{KindRow, LaneTable};

/// Rows at which a source is half a witness; for an operator's own rows what the prior weighs.
pub const ROWS_HALF: f64 = 50.0;
/// How many sources the prior weighs: it rests on about three benchmarks a kind.
pub const PRIOR_SOURCES: f64 = 3.0;
/// The fast lane is safe for a kind if it loses no more than this to the standard lane…
const SAFE_LOSS: f64 = 0.06;

/// A mean in the making.
#[derive(Clone, Copy, Default)]
struct Mean {
    sum: f64,
    weight: f64,
}

impl Mean {
    fn add(&mut self, value: f64, weight: f64) {
        self.sum += value * weight;
        self.weight += weight;
    }
}

/// Fits a table to rows.
pub fn fit(rows: &[&Row], prior: &LaneTable) -> LaneTable {
    let names = sources(rows.iter().copied());
    let fitted = prior.rows().iter().enumerate().map(|(kind, before)| {
        let of_kind: Vec<&&Row> = rows.iter().filter(|row| row.sure_kind() == Some(kind)).collect();
        let lane = |lane: usize| {
            let before = f64::from(before.qualities().get(lane).copied().unwrap_or_default());
            mean(&of_kind, &names, lane, before)
        };
        let [fast, standard, reasoning] = [lane(0), lane(1), lane(2)];
        let witnesses = names.iter().filter(|name| of_kind.iter().any(|row| row.source == **name)).count();
        let basis = match (of_kind.len(), names.len()) {
            (0, _) => before.basis.clone(),
            (count, 0 | 1) => format!("{count} rows; before them: {}", before.basis),
            (count, _) => format!("{count} rows of {witnesses} sources; before them: {}", before.basis),
        };
        let fast_is_safe = standard - fast <= SAFE_LOSS;
        KindRow { fast: narrow(fast), standard: narrow(standard), reasoning: narrow(reasoning), fast_is_safe, basis }
    });
    LaneTable::of(fitted.collect())
}

fn mean(rows: &[&&Row], names: &[&str], lane: usize, before: f64) -> f64 {
    let known = |row: &Row| row.quality.get(lane).copied().flatten();
    let mut all = Mean::default();
    let has_sources = names.len() > 1;
    for name in names {
        let mut own = Mean::default();
        for quality in rows.iter().filter(|row| row.source == *name).filter_map(|row| known(row)) {
            own.add(quality, 1.0);
        }
        if own.weight > 0.0 {
            let weight = if has_sources { own.weight / (own.weight + ROWS_HALF) } else { own.weight };
            all.add(own.sum / own.weight, weight);
        }
    }
    all.add(before, if has_sources { PRIOR_SOURCES } else { ROWS_HALF });
    all.sum / all.weight
}

/// A quality to the thousandth: what the file says is what decides.
fn narrow(quality: f64) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "a quality from 0 to 1 with three places")]
    let quality = (libm::round(quality * 1_000.0) / 1_000.0) as f32;
    quality
}
