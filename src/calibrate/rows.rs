//! Judged requests as the fits see them: their kinds, their clues, what each lane's answer was worth.
//!
//! Must not know how anything is fitted.

use super::examples::{Clues, look};
use super::outcomes::{Outcome, of_all};
use crate::classify::kinds::recognise;
use crate::classify::kinds::weights::{KINDS_MAX, Weights};

/// A judged request.
#[derive(Clone, Debug)]
pub struct Row {
    /// Whatever the operator calls it.
    pub id: String,
    /// Where it comes from.
    pub source: String,
    /// How likely each kind is, in the recogniser's order.
    pub shares: [f32; KINDS_MAX],
    /// What is seen of it; nothing where only its kind is known.
    pub clues: Clues,
    /// For each lane the quality of the answer, where it is known.
    pub quality: [Option<f64>; 3],
    /// For each lane the cost of the answer in one unit, where all are known.
    pub cost: Option<[f64; 3]>,
    /// The same by the floor prices of the lanes.
    priced: Option<[f64; 3]>,
}

/// Which costs a row is measured by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Costs {
    /// What was paid at the time.
    Observed,
    /// Tokens at the floor prices of the lanes.
    Priced,
}

impl Row {
    /// Looks at an outcome with the recogniser.
    ///
    /// # Errors
    /// When its request is none, or its kind is unknown.
    pub fn of(outcome: &Outcome<'_>, weights: &Weights) -> Result<Self, String> {
        let (shares, clues) = match (outcome.request, outcome.kind) {
            (Some(request), _) => {
                let (features, sample) = look(request.as_bytes())?;
                let shares = recognise(weights, &sample.excerpt(), &features).mix.all();
                (shares, Clues::of_sample(&features, &sample))
            }
            (None, Some(kind)) => {
                let at = weights.kinds().iter().position(|known| known == kind);
                let at = at.ok_or_else(|| format!("unknown kind of work \"{kind}\""))?;
                let mut shares = [0.0; KINDS_MAX];
                shares.iter_mut().skip(at).take(1).for_each(|share| *share = 1.0);
                (shares, Clues::default())
            }
            (None, None) => return Err("neither `request` nor `kind_of_work` is given".to_owned()),
        };
        Ok(Self {
            id: outcome.id.to_owned(),
            source: outcome.source.to_owned(),
            shares,
            clues,
            quality: outcome.quality,
            cost: outcome.observed_costs(),
            priced: outcome.priced_costs(),
        })
    }

    /// Takes the costs by which all rows are measured; they begin as those observed.
    pub fn choose_costs(&mut self, costs: Costs) {
        if costs == Costs::Priced {
            self.cost = self.priced;
        }
    }

    /// The kind, where it is recognised for sure.
    pub fn sure_kind(&self) -> Option<usize> {
        const SURE: f32 = 0.5;
        self.shares.iter().position(|share| *share > SURE)
    }

    /// Qualities, if all three lanes are known.
    pub fn all_qualities(&self) -> Option<[f64; 3]> {
        of_all(self.quality)
    }
}

/// The sources of rows, each once, sorted.
pub fn sources<'r>(rows: impl IntoIterator<Item = &'r Row>) -> Vec<&'r str> {
    let mut names: Vec<&str> = rows.into_iter().map(|row| row.source.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names
}
