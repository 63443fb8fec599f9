//! How good a way of routing is: quality and cost against a random mix of the lanes that costs the same.
//!
//! Must not know how decisions are made. Sources weigh the same, costs are shares of what always-reasoning costs in the
//! row's source; rows that name no source are weighed one by one. The definitions are those of the development set's scorer.

use std::collections::BTreeMap;

/// A decided row.
#[derive(Clone, Debug)]
pub struct Decided {
    /// Where it comes from.
    pub source: String,
    /// Quality of each lane's answer.
    pub quality: [f64; 3],
    /// Cost of each lane's answer, in one unit.
    pub cost: [f64; 3],
    /// The lane that was chosen: 0 fast, 1 standard, 2 reasoning; above, none that answers in words: that is worth
    /// nothing, and costs what reasoning does.
    pub lane: usize,
    /// Grows with the wish for the dearer lane.
    pub score: f64,
    /// Breaks ties of scores, the same every time.
    pub id: String,
}

/// Budgets at which scored routers are compared, as shares of always-reasoning.
pub const BUDGETS: [f64; 3] = [0.4, 0.6, 0.8];

/// Quality and cost of a way of routing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// Mean quality, 0 to 1.
    pub quality: f64,
    /// Mean cost as a share of always-reasoning.
    pub cost: f64,
}

/// What was measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// The decided lanes.
    pub decided: Point,
    /// Quality above the random mix that costs the same.
    pub lift: f64,
    /// Standard error of `lift` over sources.
    pub lift_error: f64,
    /// Lift when every router spends the same: highest scores to reasoning, the rest to standard. `None` where standard
    /// alone costs more, in the order of [`BUDGETS`].
    pub at_budget: [Option<f64>; 3],
    /// Each lane for everything.
    pub fixed: [Point; 3],
}

/// Rows with weights and shares of cost.
struct Weighed<'a> {
    row: &'a Decided,
    weight: f64,
    cost: [f64; 3],
}

/// Measures decisions.
pub fn measure(rows: &[Decided]) -> Measured {
    let weighed = weigh(rows);
    let fixed: [Point; 3] = std::array::from_fn(|lane| total(&weighed, |_| lane));
    let mix = hull(&fixed);
    let decided = total(&weighed, |row| row.lane);
    Measured {
        decided,
        lift: decided.quality - at(&mix, decided.cost),
        lift_error: error_over_sources(&weighed, &fixed, decided.cost),
        at_budget: BUDGETS.map(|budget| lift_at(&weighed, fixed[1], &mix, budget)),
        fixed,
    }
}

/// The curve of quality over cost as the budget grows: all rows on the standard lane, then the highest scores on the
/// reasoning lane, then all. A point for each hundredth of the rows.
pub fn curve(rows: &[Decided]) -> Vec<Point> {
    let weighed = weigh(rows);
    let mut order: Vec<&Weighed<'_>> = weighed.iter().collect();
    order.sort_by(|a, b| by_score(a, b));
    let every = (order.len() / 100).max(1);
    let mut point = total(&weighed, |_| 1);
    let mut points = vec![point];
    for (row, at) in order.iter().zip(1..) {
        point.quality += row.weight * (row.row.quality[2] - row.row.quality[1]);
        point.cost += row.weight * (row.cost[2] - row.cost[1]);
        if at % every == 0 || at == order.len() {
            points.push(point);
        }
    }
    points
}

/// What a router that knew every outcome could reach, for falling willingness to pay.
pub fn oracle(rows: &[Decided]) -> Vec<Point> {
    const STEPS: i32 = 48;
    let weighed = weigh(rows);
    let best = |row: &Weighed<'_>, pay: f64| {
        let worth = |lane: usize| row.row.quality[lane] - pay * row.cost[lane];
        (0..3).fold(0, |best, lane| if worth(lane) > worth(best) { lane } else { best })
    };
    let pays = (0..=STEPS).map(|step| libm::pow(10.0, f64::from(step) * 5.0 / f64::from(STEPS) - 3.5));
    let mut points: Vec<Point> = pays
        .map(|pay| {
            let mut point = Point::default();
            for row in &weighed {
                let lane = best(row, pay);
                point.quality += row.weight * row.row.quality[lane];
                point.cost += row.weight * row.cost[lane];
            }
            point
        })
        .collect();
    points.reverse();
    points
}

fn weigh(rows: &[Decided]) -> Vec<Weighed<'_>> {
    let mut sources: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for row in rows {
        let (count, dearest) = sources.entry(&row.source).or_default();
        *count += 1.0;
        *dearest += row.cost[2];
    }
    let source_count: f64 = sources.iter().map(|_| 1.0).sum();
    let weigh = |row| {
        let (count, dearest) = sources.get(Decided::source(row)).copied().unwrap_or((1.0, 1.0));
        let mean = if dearest > 0.0 { dearest / count } else { 1.0 };
        // Without sources every request counts the same, or one long conversation would outweigh a thousand questions.
        let unit = if row.source.is_empty() && row.cost[2] > 0.0 { row.cost[2] } else { mean };
        Weighed { row, weight: 1.0 / (count * source_count), cost: row.cost.map(|cost| cost / unit) }
    };
    rows.iter().map(weigh).collect()
}

impl Decided {
    fn source(&self) -> &str {
        &self.source
    }
}

fn total(rows: &[Weighed<'_>], lane: impl Fn(&Decided) -> usize) -> Point {
    rows.iter().fold(Point::default(), |sum, row| {
        let lane = lane(row.row);
        let quality = row.row.quality.get(lane).copied().unwrap_or(0.0);
        Point { quality: sum.quality + row.weight * quality, cost: sum.cost + row.weight * row.cost[lane.min(2)] }
    })
}

/// The upper envelope of the fixed lanes: what a random mix of them reaches.
fn hull(fixed: &[Point; 3]) -> Vec<Point> {
    let mut points = fixed.to_vec();
    points.sort_by(|a, b| a.cost.total_cmp(&b.cost));
    let mut best: Vec<Point> = Vec::new();
    for point in points {
        while let [.., before, last] = best.as_slice() {
            let straight = (last.quality - before.quality) * (point.cost - before.cost);
            if straight > (point.quality - before.quality) * (last.cost - before.cost) {
                break;
            }
            best.pop();
        }
        if best.last().is_none_or(|last| point.quality > last.quality) {
            best.push(point);
        }
    }
    best
}

fn at(curve: &[Point], cost: f64) -> f64 {
    let mut before: Option<Point> = None;
    for point in curve {
        if cost <= point.cost {
            let Some(from) = before else { return point.quality };
            let share = (cost - from.cost) / (point.cost - from.cost);
            return from.quality + share * (point.quality - from.quality);
        }
        before = Some(*point);
    }
    before.map_or(0.0, |last| last.quality)
}

fn by_score(a: &Weighed<'_>, b: &Weighed<'_>) -> std::cmp::Ordering {
    b.row.score.total_cmp(&a.row.score).then_with(|| a.row.id.cmp(&b.row.id))
}

fn lift_at(rows: &[Weighed<'_>], standard: Point, mix: &[Point], budget: f64) -> Option<f64> {
    let mut order: Vec<&Weighed<'_>> = rows.iter().collect();
    order.sort_by(|a, b| by_score(a, b));
    let mut point = standard;
    for row in order {
        if point.cost >= budget {
            break;
        }
        point.cost += row.weight * (row.cost[2] - row.cost[1]);
        point.quality += row.weight * (row.row.quality[2] - row.row.quality[1]);
    }
    (point.cost >= budget * 0.98).then(|| point.quality - at(mix, point.cost))
}

/// How far the lift may move on other sources: the spread of the sources' own lifts against the same mix.
fn error_over_sources(rows: &[Weighed<'_>], fixed: &[Point; 3], cost: f64) -> f64 {
    let (low, high) = if cost <= fixed[1].cost { (0, 1) } else { (1, 2) };
    let span = fixed[high].cost - fixed[low].cost;
    let share = if span > 0.0 { ((cost - fixed[low].cost) / span).clamp(0.0, 1.0) } else { 0.0 };
    let mut sources: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for Weighed { row, .. } in rows {
        let mixed = (1.0 - share) * row.quality[low] + share * row.quality[high];
        let (sum, count) = sources.entry(row.source.as_str()).or_default();
        *sum += row.quality.get(row.lane).copied().unwrap_or(0.0) - mixed;
        *count += 1.0;
    }
    let means: Vec<f64> = sources.values().map(|(sum, count)| sum / count).collect();
    let count: f64 = means.iter().map(|_| 1.0).sum();
    let mean = means.iter().sum::<f64>() / count;
    let spread: f64 = means.iter().map(|one| (one - mean) * (one - mean)).sum();
    if count < 2.0 { 0.0 } else { libm::sqrt(spread / (count - 1.0) / count) }
}
