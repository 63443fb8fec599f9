//! A router beside simpler ways of choosing a lane, over all budgets; and how often other words change its mind.
//!
//! Must not know files. Everything is measured on the rows of which all three lanes are known.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::measure::{Decided, Measured, Point, curve, measure, oracle};
use super::outcomes::{self, Outcome};
use super::paraphrase::{WAYS, said_otherwise};
use crate::base::wire_format::WireFormat;
use crate::base::wish::{WORD_LANES, rank_of};
use crate::classify::features::{FeatureInput, Features};
use crate::classify::{Decision, Router, Terms, classify};
use crate::wire::head;

/// Bytes of the user's words from which on the length rule takes the next lane.
const LENGTH_STEPS: [u64; 2] = [300, 1_500];

/// What is compared, by name: the router itself comes first.
const WAYS_TO_CHOOSE: [&str; 3] = ["flux-auto", "length rule", "keyword scorer"];

/// A study in the making.
#[derive(Clone, Debug, Default)]
pub struct Study {
    /// For each of [`WAYS_TO_CHOOSE`] the decided rows.
    rows: [Vec<Decided>; 3],
    /// For each way of saying it otherwise: how often the lane changed, of how many.
    flips: [(u32, u32); WAYS.len()],
}

/// How often the lane changed in one way of saying it otherwise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flips {
    /// The way.
    pub way: &'static str,
    /// How often it changed, as a share.
    pub share: f64,
    /// Of how many requests.
    pub of: u32,
}

/// One curve of a chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Its name.
    pub name: &'static str,
    /// From cheap to dear.
    pub points: Vec<Point>,
}

impl Study {
    /// Decides on a row of a labelled set in every way, and in other words.
    ///
    /// # Errors
    /// Why the line is no row.
    pub fn add(&mut self, router: &Router, terms: &Terms, text: &str) -> Result<(), String> {
        let outcome = outcomes::parse_line(text)?;
        let (Some(request), Some(quality)) = (outcome.request, outcome.all_qualities()) else { return Ok(()) };
        let Some(cost) = outcome.observed_costs().or_else(|| outcome.priced_costs()) else { return Ok(()) };
        let (lane, score, features) = with_decision(router, terms, request, |decision| {
            (rank(decision.lane), f64::from(decision.score()), decision.features.clone())
        })?;
        let choices = [(lane, score), by_length(&features), by_keywords(&features)];
        for (rows, (lane, score)) in self.rows.iter_mut().zip(choices) {
            let Outcome { id, source, .. } = outcome;
            rows.push(Decided { source: source.to_owned(), quality, cost, lane, score, id: id.to_owned() });
        }
        let body: serde_json::Value = serde_json::from_str(request).map_err(|error| error.to_string())?;
        for (way, (changed, of)) in self.flips.iter_mut().enumerate() {
            let Some(other) = said_otherwise(&body, way) else { continue };
            let other = with_decision(router, terms, &other.to_string(), |decision| rank(decision.lane))?;
            *changed += u32::from(other != lane);
            *of += 1;
        }
        Ok(())
    }

    /// Whether there is anything to tell.
    pub fn is_empty(&self) -> bool {
        self.rows.iter().all(Vec::is_empty)
    }

    /// How often other words changed the lane.
    pub fn flips(&self) -> Vec<Flips> {
        let share = |(changed, of): (u32, u32)| if of == 0 { 0.0 } else { f64::from(changed) / f64::from(of) };
        WAYS.iter().zip(self.flips).map(|(way, counts)| Flips { way, share: share(counts), of: counts.1 }).collect()
    }

    /// What each way of choosing reaches.
    pub fn measured(&self) -> Vec<(&'static str, Measured)> {
        WAYS_TO_CHOOSE.iter().zip(&self.rows).map(|(name, rows)| (*name, measure(rows))).collect()
    }

    /// What each way of choosing reaches as the budget grows, then a random mix of lanes, then whoever knows every outcome.
    pub fn curves(&self) -> Vec<Curve> {
        let mut curves: Vec<Curve> =
            WAYS_TO_CHOOSE.iter().zip(&self.rows).map(|(name, rows)| Curve { name, points: curve(rows) }).collect();
        let [own, ..] = &self.rows;
        curves.push(Curve { name: "random mix", points: measure(own).fixed.to_vec() });
        curves.push(Curve { name: "oracle", points: oracle(own) });
        curves
    }

    /// The fixed lanes and what is decided as it is configured, for a chart.
    pub fn marks(&self) -> Vec<(String, Point)> {
        let [own, ..] = &self.rows;
        let measured = measure(own);
        let fixed =
            WORD_LANES.iter().map(|name| format!("always {}", name.trim_start_matches("flux-"))).zip(measured.fixed);
        fixed.chain([("as configured".to_owned(), measured.decided)]).collect()
    }

    /// For people.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(
            text,
            "{:<18}{:>9}{:>8}{:>8}{:>9}{:>9}{:>9}",
            "", "quality", "cost %", "lift", "at 40 %", "60 %", "80 %"
        );
        let mut line = |name: &str, measured: &Measured| {
            let Measured { decided, lift, at_budget, .. } = measured;
            let _ = write!(
                text,
                "{name:<18}{:>9.1}{:>8.1}{:>+8.2}",
                decided.quality * 100.0,
                decided.cost * 100.0,
                lift * 100.0
            );
            for lift in at_budget {
                let shown = lift.map_or_else(|| "-".to_owned(), |lift| format!("{:+.2}", lift * 100.0));
                let _ = write!(text, "{shown:>9}");
            }
            text.push('\n');
        };
        for (name, measured) in self.measured() {
            line(name, &measured);
        }
        let [own, ..] = &self.rows;
        for (lane, name) in WORD_LANES.iter().enumerate() {
            let fixed: Vec<Decided> = own.iter().map(|row| Decided { lane, score: 0.0, ..row.clone() }).collect();
            line(
                &format!("always {}", name.trim_start_matches("flux-")),
                &Measured { at_budget: [None; 3], ..measure(&fixed) },
            );
        }
        text.push_str("\nlane changed by other words\n");
        for Flips { way, share, of } in self.flips() {
            let _ = writeln!(text, "{way:<24}{:>7.2} % of {of}", share * 100.0);
        }
        text
    }

    /// The sources, and how many rows each has.
    pub fn sources(&self) -> BTreeMap<&str, usize> {
        let [own, ..] = &self.rows;
        own.iter().fold(BTreeMap::new(), |mut counts, row| {
            *counts.entry(row.source.as_str()).or_default() += 1;
            counts
        })
    }
}

fn with_decision<T>(
    router: &Router,
    terms: &Terms,
    request: &str,
    look: impl FnOnce(&Decision<'_>) -> T,
) -> Result<T, String> {
    let body = request.as_bytes();
    let head = head::scan(body).map_err(|error| error.to_string())?;
    Ok(look(&classify(router, &FeatureInput::of(WireFormat::OpenaiChat, &head, body), terms)))
}

/// A lane that makes pictures counts as the dearest: that is what a mistake costs.
fn rank(lane: &str) -> usize {
    rank_of(lane).unwrap_or(2)
}

fn by_length(features: &Features) -> (usize, f64) {
    let lane = LENGTH_STEPS.iter().filter(|step| features.last_user_bytes >= **step).count();
    (lane, number(features.last_user_bytes))
}

/// Signs of code, of mathematics, and words that ask for thought.
fn by_keywords(features: &Features) -> (usize, f64) {
    let signs = features.code_signs + 2 * features.math_signs + 4 * features.hard_words;
    (usize::from(signs > 0) + usize::from(signs > 4), number(signs))
}

fn number(count: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "lengths and counts are far below 2^53")]
    let count = count as f64;
    count
}
