//! Scores a router's decisions on requests whose answers were judged.
//!
//! Must not know files, nor fit anything: it decides, counts and reports. The definitions are those of the development
//! set's scorer, so that both tell the same of the same decisions.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::measure::{BUDGETS, Decided, Measured, measure};
use super::outcomes::{self, Outcome, of_all};
use crate::base::time::Clock;
use crate::base::wire_format::WireFormat;
use crate::classify::features::FeatureInput;
use crate::classify::{Router, Terms, classify};
use crate::wire::head;

/// The lanes that can be decided for; those that answer in words come first, from the cheapest.
pub const LANES: [&str; 4] = ["fast", "standard", "reasoning", "image"];
/// The place of the lane that makes pictures.
const IMAGE: usize = 3;
/// What stands before a lane's name in a configuration.
const PREFIX: &str = "flux-";
/// A lane is good enough when its quality is this close to the best lane's.
const SUFFICIENT: f64 = 0.05;
/// A dearer lane helps where it is so much better.
const HELPS: f64 = 0.25;
/// A lower lane is enough where it is no worse, and at least this good.
const FINE: f64 = 0.5;

/// A decided row, and what is known of it.
#[derive(Clone, Debug)]
pub struct Row {
    /// The row's id.
    pub id: String,
    /// The lane, a place in [`LANES`].
    pub lane: usize,
    /// The estimated gain of the dearer lane.
    pub score: f32,
    source: String,
    quality: [Option<f64>; 3],
    observed: Option<[f64; 3]>,
    priced: Option<[f64; 3]>,
    /// For each lane whether it is right, where that is known.
    expect: Option<[bool; 4]>,
    took: Duration,
}

/// Decides a line of a labelled set; `None` where only the kind of a request is known, and not the request.
///
/// # Errors
/// Why it is no row.
pub fn decide(router: &Router, terms: &Terms, text: &str, clock: &dyn Clock) -> Result<Option<Row>, String> {
    let known = outcomes::parse_line(text)?;
    let Some(body) = known.request.map(str::as_bytes) else { return Ok(None) };
    let head = head::scan(body).map_err(|error| error.to_string())?;
    let input = FeatureInput::of(WireFormat::OpenaiChat, &head, body);
    let decide = || {
        let begun = clock.now();
        let decision = classify(router, &input, terms);
        (clock.now().saturating_duration_since(begun), decision.lane, decision.score())
    };
    // The quicker of two: the first pays for memory that a server at work has at hand.
    let (first, (second, lane, score)) = (decide().0, decide());
    let name = lane.strip_prefix(PREFIX).unwrap_or(lane);
    let lane = LANES.iter().position(|known| *known == name).ok_or_else(|| format!("{name} is no lane of Flux"))?;
    let Outcome { id, source, quality, expect, .. } = &known;
    Ok(Some(Row {
        id: (*id).to_owned(),
        lane,
        score,
        source: (*source).to_owned(),
        quality: *quality,
        observed: known.observed_costs(),
        priced: known.priced_costs(),
        expect: (!expect.is_empty()).then(|| LANES.map(|lane| expect.contains(&lane))),
        took: first.min(second),
    }))
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Rows that were decided.
    pub rows: usize,
    /// Of these, rows with a measured outcome of every lane.
    pub outcome_rows: usize,
    /// Quality, cost and lift at the costs that were observed.
    pub observed: Option<Figures>,
    /// The same with tokens at the lanes' floor prices.
    pub lane_prices: Option<Figures>,
    /// Each source by itself.
    pub sources: Vec<Source>,
    /// Rows by the cheapest lane that is good enough (fast, standard, reasoning), and by the lane that was decided.
    pub confusion: [[usize; 4]; 3],
    /// Rows of which only the right lanes are known, by source.
    pub accepted: Vec<Accepted>,
    /// Rows that are to be pictures, and those that are not.
    pub images: Images,
    /// Rows of which two lanes are known.
    pub partial: Option<Partial>,
    /// How long a decision took, the reading of the body's head left out.
    pub decision_us: Percentiles,
}

/// Quality, cost, and what they are worth.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Rows that have such costs.
    pub rows: usize,
    /// Mean quality; every source weighs the same.
    pub quality: f64,
    /// Mean cost as a share of always-reasoning.
    pub cost: f64,
    /// Quality above a random mix of lanes that costs the same.
    pub lift: f64,
    /// Its standard error over sources.
    pub lift_error: f64,
    /// Lift at equal spend, by the scores: highest to reasoning, the rest to standard.
    pub at_equal_spend: Vec<AtBudget>,
    /// Quality of always-fast, -standard and -reasoning.
    pub always_quality: [f64; 3],
    /// Their costs.
    pub always_cost: [f64; 3],
}

/// A lift at a budget.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct AtBudget {
    /// As a share of always-reasoning.
    pub budget: f64,
    /// Null where nothing spends so much; where always-standard spends more, it is measured there.
    pub lift: Option<f64>,
}

/// One source.
#[derive(Clone, Debug, Serialize)]
pub struct Source {
    /// Its name.
    pub source: String,
    /// Its rows with outcomes.
    pub rows: usize,
    /// Mean quality.
    pub quality: f64,
    /// Mean cost as a share of always-reasoning.
    pub cost: f64,
    /// Quality above a random mix within the source.
    pub lift: f64,
    /// Quality of always-fast, -standard and -reasoning.
    pub always_quality: [f64; 3],
    /// Rows by the lane that was decided.
    pub decided: [usize; 4],
}

/// How often a right lane was decided.
#[derive(Clone, Debug, Serialize)]
pub struct Accepted {
    /// Of which source.
    pub source: String,
    /// Rows.
    pub rows: usize,
    /// Of these, in a lane that is right.
    pub right: usize,
}

/// Pictures.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Images {
    /// Rows that are to go to the image lane.
    pub rows: usize,
    /// Of these, those that did.
    pub right: usize,
    /// All other rows.
    pub text_rows: usize,
    /// Of these, those that went to the image lane by mistake.
    pub text_sent_there: usize,
}

/// Rows of which two lanes are known.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Partial {
    /// All of them.
    pub rows: usize,
    /// Those on which the dearer lane is far better.
    pub helped: usize,
    /// Of these, those that got it.
    pub helped_upgraded: usize,
    /// Those on which the lower lane is as good.
    pub fine: usize,
    /// Of these, those that got the dearer one.
    pub fine_upgraded: usize,
}

/// Of durations, in microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Percentiles {
    /// The median.
    pub p50: f64,
    /// What one in a hundred exceeds.
    pub p99: f64,
}

/// Which costs a row is counted with.
type CostOf = fn(&Row) -> Option<[f64; 3]>;

/// Measures decided rows.
pub fn report(rows: &[Row]) -> Report {
    let outcomes: Vec<&Row> = rows.iter().filter(|row| row.all_qualities().is_some()).collect();
    let costs: CostOf =
        if outcomes.iter().any(|row| row.observed.is_some()) { |row| row.observed } else { |row| row.priced };
    Report {
        rows: rows.len(),
        outcome_rows: outcomes.len(),
        observed: figures(&outcomes, |row| row.observed),
        lane_prices: figures(&outcomes, |row| row.priced),
        sources: sources(&outcomes, costs),
        confusion: confusion(&outcomes, costs),
        accepted: accepted(rows),
        images: images(rows),
        partial: partial(rows),
        decision_us: percentiles(rows),
    }
}

impl Row {
    fn all_qualities(&self) -> Option<[f64; 3]> {
        of_all(self.quality)
    }

    fn decided(&self, cost: CostOf) -> Option<Decided> {
        Some(Decided {
            source: self.source.clone(),
            quality: self.all_qualities()?,
            cost: cost(self)?,
            lane: self.lane,
            score: f64::from(self.score),
            id: self.id.clone(),
        })
    }
}

fn figures(outcomes: &[&Row], cost: CostOf) -> Option<Figures> {
    let decided: Vec<Decided> = outcomes.iter().filter_map(|row| row.decided(cost)).collect();
    if decided.is_empty() {
        return None;
    }
    let Measured { decided: point, lift, lift_error, at_budget, fixed } = measure(&decided);
    let at_equal_spend = BUDGETS.into_iter().zip(at_budget).map(|(budget, lift)| AtBudget { budget, lift }).collect();
    Some(Figures {
        rows: decided.len(),
        quality: point.quality,
        cost: point.cost,
        lift,
        lift_error,
        at_equal_spend,
        always_quality: fixed.map(|point| point.quality),
        always_cost: fixed.map(|point| point.cost),
    })
}

fn sources(outcomes: &[&Row], cost: CostOf) -> Vec<Source> {
    let mut by_source: BTreeMap<&str, Vec<Decided>> = BTreeMap::new();
    for row in outcomes {
        by_source.entry(&row.source).or_default().extend(row.decided(cost));
    }
    by_source.retain(|_, rows| !rows.is_empty());
    let source = |(source, rows): (&str, Vec<Decided>)| {
        let Measured { decided: point, lift, lift_error: _, at_budget: _, fixed } = measure(&rows);
        let mut decided = [0; 4];
        rows.iter().filter_map(|row| decided.get_mut(row.lane).map(|count| *count += 1)).for_each(drop);
        let always_quality = fixed.map(|point| point.quality);
        let source = source.to_owned();
        Source { source, rows: rows.len(), quality: point.quality, cost: point.cost, lift, always_quality, decided }
    };
    by_source.into_iter().map(source).collect()
}

fn confusion(outcomes: &[&Row], cost: CostOf) -> [[usize; 4]; 3] {
    let mut table = [[0; 4]; 3];
    for row in outcomes {
        let (Some(quality), Some(cost)) = (row.all_qualities(), cost(row)) else { continue };
        let enough = cheapest_sufficient(quality, cost);
        if let Some(count) = table.get_mut(enough).and_then(|of| of.get_mut(row.lane)) {
            *count += 1;
        }
    }
    table
}

/// The cheapest lane whose quality is close to the best.
fn cheapest_sufficient(quality: [f64; 3], cost: [f64; 3]) -> usize {
    let best = quality.into_iter().fold(f64::MIN, f64::max);
    let lanes = quality.into_iter().zip(cost).enumerate();
    let enough = lanes.filter(|(_, (quality, _))| *quality >= best - SUFFICIENT);
    // Of equal costs the first.
    let cheapest = enough.min_by(|(_, (_, a)), (_, (_, b))| a.total_cmp(b));
    cheapest.map_or(0, |(lane, _)| lane)
}

fn accepted(rows: &[Row]) -> Vec<Accepted> {
    let mut by_source: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for row in rows {
        if let (Some(expect), None) = (row.expect, row.all_qualities()) {
            let (count, right) = by_source.entry(&row.source).or_default();
            *count += 1;
            *right += usize::from(expect.get(row.lane) == Some(&true));
        }
    }
    let accepted =
        |(source, (rows, right)): (&str, (usize, usize))| Accepted { source: source.to_owned(), rows, right };
    by_source.into_iter().map(accepted).collect()
}

fn images(rows: &[Row]) -> Images {
    let mut images = Images::default();
    for row in rows {
        let went_there = usize::from(row.lane == IMAGE);
        if row.expect.is_some_and(|expect| expect.get(IMAGE) == Some(&true)) {
            images.rows += 1;
            images.right += went_there;
        } else {
            images.text_rows += 1;
            images.text_sent_there += went_there;
        }
    }
    images
}

fn partial(rows: &[Row]) -> Option<Partial> {
    let mut partial = Partial::default();
    for row in rows {
        let mut known = row.quality.into_iter().enumerate().filter_map(|(lane, quality)| Some((lane, quality?)));
        let (Some((_, low)), Some((dearer, high)), None) = (known.next(), known.next(), known.next()) else { continue };
        let is_upgraded = usize::from((dearer..IMAGE).contains(&row.lane));
        partial.rows += 1;
        if high - low > HELPS {
            partial.helped += 1;
            partial.helped_upgraded += is_upgraded;
        }
        if low >= high && low > FINE {
            partial.fine += 1;
            partial.fine_upgraded += is_upgraded;
        }
    }
    (partial.rows > 0).then_some(partial)
}

fn percentiles(rows: &[Row]) -> Percentiles {
    let mut times: Vec<Duration> = rows.iter().map(|row| row.took).collect();
    times.sort_unstable();
    let at = |percent: usize| {
        let place = (times.len() * percent / 100).min(times.len().saturating_sub(1));
        times.get(place).map_or(0.0, |time| time.as_secs_f64() * 1e6)
    };
    Percentiles { p50: at(50), p99: at(99) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(source: &str, quality: [Option<f64>; 3], lane: usize) -> Row {
        Row {
            id: format!("{source}{lane}"),
            lane,
            score: 0.1,
            source: source.to_owned(),
            quality,
            observed: Some([1.0, 2.0, 4.0]),
            priced: None,
            expect: None,
            took: Duration::from_micros(7),
        }
    }

    #[test]
    fn the_cheapest_lane_that_is_close_to_the_best_is_enough() {
        for (quality, cost, lane) in [
            ([1.0, 1.0, 1.0], [1.0, 2.0, 4.0], 0),
            ([0.94, 0.96, 1.0], [1.0, 2.0, 4.0], 1),
            ([0.0, 0.5, 1.0], [1.0, 2.0, 4.0], 2),
            ([1.0, 1.0, 1.0], [3.0, 2.0, 2.0], 1),
        ] {
            assert_eq!(cheapest_sufficient(quality, cost), lane, "{quality:?}");
        }
    }

    #[test]
    fn rows_are_counted_by_what_is_known_of_them() {
        let all = |fast, standard, reasoning| [Some(fast), Some(standard), Some(reasoning)];
        let two = |standard, reasoning| [None, Some(standard), Some(reasoning)];
        let picture = Row { expect: Some([false, false, false, true]), ..row("pictures", [None; 3], IMAGE) };
        let missed = Row { lane: 1, ..picture.clone() };
        let rows = [
            row("a", all(0.0, 1.0, 1.0), 1),
            row("a", all(0.0, 1.0, 1.0), 2),
            row("b", all(0.5, 0.5, 0.5), 0),
            row("b", all(0.5, 0.5, 0.5), IMAGE),
            row("c", two(0.2, 0.9), 2),
            row("c", two(0.9, 0.9), 2),
            row("c", two(0.9, 0.9), IMAGE),
            picture,
            missed,
        ];
        let report = report(&rows);
        assert_eq!((report.rows, report.outcome_rows), (9, 4));
        assert_eq!(report.confusion, [[1, 0, 0, 1], [0, 1, 1, 0], [0, 0, 0, 0]]);
        let Images { rows: pictures, right, text_rows, text_sent_there } = report.images;
        assert_eq!((pictures, right, text_rows, text_sent_there), (2, 1, 7, 2));
        let partial = report.partial.unwrap();
        assert_eq!((partial.rows, partial.helped, partial.helped_upgraded), (3, 1, 1));
        assert_eq!((partial.fine, partial.fine_upgraded), (2, 1));
        let figures = report.observed.unwrap();
        // Text that is sent to the image lane is worth nothing, and costs what reasoning does.
        assert!((figures.quality - 0.625).abs() < 1e-9, "{figures:?}");
        assert!((figures.cost - 0.6875).abs() < 1e-9, "{figures:?}");
        assert_eq!(
            report.sources.iter().map(|source| source.decided).collect::<Vec<_>>(),
            [[0, 1, 1, 0], [1, 0, 0, 1]]
        );
        assert!(report.lane_prices.is_none());
        assert!((report.decision_us.p99 - 7.0).abs() < 1e-9);
    }
}
