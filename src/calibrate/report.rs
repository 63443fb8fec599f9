//! What a calibration found, for people and for programs.
//!
//! Must not know where it is printed.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::measure::{BUDGETS, Measured};
use super::rows::{Costs, Row, sources};
use super::validate::{HeldOut, Validated, lift};

/// What a fit has to gain on rows that it has not seen, in points of quality at equal spend.
pub const GAIN_MIN: f64 = 0.2;
/// What it has to take off the squared error where lifts cannot be measured, as a share.
const ERROR_GAIN_MIN: f64 = 0.01;
/// Rows with all lanes known from which on lifts are measured.
const MEASURED_MIN: usize = 100;

/// What is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Neither table nor weights gain anything.
    Nothing,
    /// The table gains, weights gain nothing on top.
    Table,
    /// Both gain.
    TableAndWeights,
}

/// A calibration.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Rows that were read.
    pub rows: usize,
    /// Of these, with all three lanes known.
    pub measured_rows: usize,
    /// Their sources.
    pub sources: Vec<String>,
    /// By which costs.
    pub costs: Costs,
    /// On rows that the fit had not seen.
    pub validated: Validated,
    /// What follows.
    pub verdict: Verdict,
}

impl Report {
    /// Judges what was measured.
    pub fn of(rows: &[Row], costs: Costs, validated: Validated) -> Self {
        let measured_rows = rows.iter().filter(|row| row.all_qualities().is_some()).count();
        let (before, table, weights) = (lift(&validated.before), lift(&validated.table), lift(&validated.weights));
        let [error_before, error_table] = validated.errors;
        let verdict = if measured_rows < MEASURED_MIN {
            let gains = error_table < error_before * (1.0 - ERROR_GAIN_MIN);
            if gains { Verdict::Table } else { Verdict::Nothing }
        } else if weights >= before.max(table) + GAIN_MIN {
            Verdict::TableAndWeights
        } else if table >= before + GAIN_MIN {
            Verdict::Table
        } else {
            Verdict::Nothing
        };
        let sources = sources(rows).into_iter().filter(|name| !name.is_empty()).map(str::to_owned).collect();
        Self { rows: rows.len(), measured_rows, sources, costs, validated, verdict }
    }

    /// For programs, and for the file of the weights.
    pub fn to_json(&self) -> Value {
        let Validated { held_out, before, table, weights, errors } = &self.validated;
        json!({
            "rows": self.rows,
            "rows_with_all_lanes": self.measured_rows,
            "sources": self.sources,
            "costs": match self.costs { Costs::Observed => "observed", Costs::Priced => "lane prices" },
            "held_out": match held_out { HeldOut::Sources => "one source at a time", HeldOut::Fifths => "a fifth at a time" },
            "before": figures(before),
            "table": figures(table),
            "table_and_weights": figures(weights),
            "squared_error": { "before": rounded(errors[0]), "table": rounded(errors[1]) },
            "verdict": match self.verdict {
                Verdict::Nothing => "nothing gained",
                Verdict::Table => "table",
                Verdict::TableAndWeights => "table and weights",
            },
        })
    }

    /// For people.
    pub fn to_text(&self) -> String {
        let Validated { held_out, before, table, weights, errors } = &self.validated;
        let held_out = match held_out {
            HeldOut::Sources => "each source held out as a whole",
            HeldOut::Fifths => "a fifth held out at a time",
        };
        let mut text = String::new();
        let _ = writeln!(text, "{} rows, {} with all three lanes known; {held_out}", self.rows, self.measured_rows);
        if self.measured_rows >= MEASURED_MIN {
            let _ = writeln!(
                text,
                "{:<22}{:>9}{:>9}{:>9}   lift over a random mix, in points",
                "at equal spend", "40 %", "60 %", "80 %"
            );
            for (name, measured) in [("as it is", before), ("new table", table), ("new table, weights", weights)] {
                let _ = write!(text, "{name:<22}");
                for lift in measured.at_budget {
                    let shown = lift.map_or_else(|| "-".to_owned(), |lift| format!("{:+.2}", lift * 100.0));
                    let _ = write!(text, "{shown:>9}");
                }
                let _ = writeln!(
                    text,
                    "   quality {:.1}, cost {:.1} %",
                    measured.decided.quality * 100.0,
                    measured.decided.cost * 100.0
                );
            }
        }
        let _ = writeln!(
            text,
            "squared error of single answers: {:.4} as it is, {:.4} with the new table",
            errors[0], errors[1]
        );
        text
    }
}

fn figures(measured: &Measured) -> Value {
    let budgets = BUDGETS.iter().zip(measured.at_budget);
    let at_budget: serde_json::Map<String, Value> = budgets
        .map(|(budget, lift)| (format!("{budget}"), lift.map_or(Value::Null, |lift| rounded(lift * 100.0))))
        .collect();
    json!({
        "quality": rounded(measured.decided.quality),
        "cost": rounded(measured.decided.cost),
        "lift_points": rounded(measured.lift * 100.0),
        "lift_error_points": rounded(measured.lift_error * 100.0),
        "lift_points_at_budget": at_budget,
    })
}

fn rounded(number: f64) -> Value {
    json!(libm::round(number * 1e4) / 1e4)
}
