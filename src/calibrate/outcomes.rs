//! Requests whose answers were judged: what each lane's answer was worth and what it cost.
//!
//! Must not know how a lane is chosen. The lines are those of the development set, and of what `flux calibrate --export` writes.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

/// Lanes that answer in words, from the cheapest.
pub const LANES: [&str; 3] = ["fast", "standard", "reasoning"];
/// USD per million tokens of the lanes: their floor prices, for rows that give tokens.
pub const LANE_PRICES: [f64; 3] = [1.0, 2.0, 4.0];

/// One request and what came of it.
#[derive(Clone, Debug)]
pub struct Outcome<'a> {
    /// Whatever the operator calls it.
    pub id: &'a str,
    /// Where it comes from; rows of one source are held out together.
    pub source: &'a str,
    /// What is asked: the body of a Chat request. `None` where only its kind is known.
    pub request: Option<&'a str>,
    /// Its kind of work, where no request is given.
    pub kind: Option<&'a str>,
    /// For each lane the quality of the answer, 0 to 1, where it is known.
    pub quality: [Option<f64>; 3],
    /// For each lane the cost of the answer in USD as it was observed.
    pub observed: [Option<f64>; 3],
    /// For each lane the tokens of prompt and answer together.
    pub tokens: [Option<f64>; 3],
    /// Lanes that are right, where that is all that is known.
    pub expect: Vec<&'a str>,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(default)]
    id: &'a str,
    #[serde(default)]
    source: &'a str,
    #[serde(borrow)]
    request: Option<&'a RawValue>,
    kind_of_work: Option<&'a str>,
    #[serde(default)]
    lanes: BTreeMap<&'a str, Judged>,
    #[serde(default, borrow)]
    expect: Vec<&'a str>,
}

/// What is known of one lane's answer. Unknown members (names of models, notes) are left alone: rows come from many tools.
#[derive(Clone, Copy, Deserialize)]
struct Judged {
    quality: f64,
    cost_usd: Option<f64>,
    tokens_in: Option<f64>,
    tokens_out: Option<f64>,
}

/// Reads one line.
///
/// # Errors
/// Why it is no row.
pub fn parse_line(line: &str) -> Result<Outcome<'_>, String> {
    let line: Line<'_> = serde_json::from_str(line).map_err(|error| error.to_string())?;
    if line.request.is_none() && line.kind_of_work.is_none() {
        return Err("neither `request` nor `kind_of_work` is given".to_owned());
    }
    let judged = LANES.map(|name| line.lanes.get(name).copied());
    if judged.iter().flatten().any(|judged| !(0.0..=1.0).contains(&judged.quality)) {
        return Err("a `quality` is not between 0 and 1".to_owned());
    }
    Ok(Outcome {
        id: line.id,
        source: line.source,
        request: line.request.map(RawValue::get),
        kind: line.kind_of_work,
        quality: judged.map(|judged| judged.map(|judged| judged.quality)),
        observed: judged.map(|judged| judged.and_then(|judged| judged.cost_usd)),
        tokens: judged.map(|judged| judged.and_then(|judged| Some(judged.tokens_in? + judged.tokens_out?))),
        expect: line.expect,
    })
}

/// What is known of all three lanes, or nothing.
pub fn of_all<T>([fast, standard, reasoning]: [Option<T>; 3]) -> Option<[T; 3]> {
    Some([fast?, standard?, reasoning?])
}

impl Outcome<'_> {
    /// Qualities, if all three lanes are known.
    pub fn all_qualities(&self) -> Option<[f64; 3]> {
        of_all(self.quality)
    }

    /// Costs in USD as they were observed.
    pub fn observed_costs(&self) -> Option<[f64; 3]> {
        of_all(self.observed)
    }

    /// Costs in USD by the floor prices of the lanes.
    pub fn priced_costs(&self) -> Option<[f64; 3]> {
        let mut costs = of_all(self.tokens)?;
        costs.iter_mut().zip(LANE_PRICES).for_each(|(cost, price)| *cost *= price / 1e6);
        Some(costs)
    }
}
