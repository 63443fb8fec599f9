//! `flux route --eval`: a labelled set, decided line by line, and what that is worth.
//!
//! Must not know how anything is decided or measured.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, bail};
use serde_json::json;

use super::paint::Paint;
use super::{DONE, lines, print_json};
use crate::base::time::{Clock, SystemClock};
use crate::calibrate::chart;
use crate::calibrate::evaluate::{Figures, Images, LANES, Partial, Report, Row, Source, report};
use crate::calibrate::measure::Point;
use crate::calibrate::study::Study;
use crate::classify::{Router, Terms};

/// Rows that are held at once.
const ROWS_MAX: usize = 1_000_000;

/// Decides a line; `None` for one that holds no request.
type Decided = Result<Option<Row>, String>;

/// Decides a whole set.
///
/// # Errors
/// When a file cannot be read or written, or a line is no row.
pub(super) fn evaluate(
    set: &Path,
    decisions: Option<&Path>,
    mut decide: impl FnMut(&str, &dyn Clock) -> Decided,
) -> anyhow::Result<Report> {
    let mut written = decisions.map(Written::create).transpose()?;
    let mut rows = Vec::new();
    lines::each(set, "deciding", |line| {
        let decided = decide(line, &SystemClock)?;
        if let (Some(row), Some(written)) = (&decided, &mut written) {
            written.add(row).map_err(|error| format!("{error:#}"))?;
        }
        rows.extend(decided);
        if rows.len() > ROWS_MAX { Err(format!("more than {ROWS_MAX} rows")) } else { Ok(()) }
    })?;
    if let Some(written) = written {
        written.finish()?;
    }
    if rows.is_empty() {
        bail!("{} holds no request", set.display());
    }
    Ok(report(&rows))
}

/// The file of decisions.
struct Written {
    file: BufWriter<File>,
    shown: String,
}

impl Written {
    fn create(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display().to_string();
        let file = File::create(path).with_context(|| format!("{shown} cannot be written"))?;
        Ok(Self { file: BufWriter::new(file), shown })
    }

    fn add(&mut self, row: &Row) -> anyhow::Result<()> {
        let lane = LANES.get(row.lane).copied().unwrap_or_default();
        let decision = json!({ "id": row.id, "lane": lane, "score": row.score });
        writeln!(self.file, "{decision}").with_context(|| format!("{} cannot be written", self.shown))
    }

    fn finish(mut self) -> anyhow::Result<()> {
        self.file.flush().with_context(|| format!("{} cannot be written", self.shown))
    }
}

/// Prints what was measured.
pub(super) fn print(report: &Report, is_json: bool, paint: Paint, out: &mut dyn Write) -> anyhow::Result<u8> {
    if is_json {
        print_json(out, &serde_json::to_value(report)?)?;
    } else {
        out.write_all(told(report, paint).as_bytes())?;
    }
    Ok(DONE)
}

/// Compares with simpler ways of choosing, asks in other words, and draws the curves.
pub(super) fn study(
    set: &Path,
    chart: &Path,
    (router, terms): (&Router, &Terms),
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let mut study = Study::default();
    lines::each(set, "in other words", |line| study.add(router, terms, line))?;
    if study.is_empty() {
        bail!("{}: no row tells all three lanes, so nothing can be compared", set.display());
    }
    let marks: Vec<(String, Point)> = study.marks();
    std::fs::write(chart, chart::svg(&study.curves(), &marks)).with_context(|| chart.display().to_string())?;
    write!(out, "\n{}\n{} is drawn\n", study.to_text(), chart.display())?;
    Ok(())
}

/// The report for people.
fn told(report: &Report, paint: Paint) -> String {
    let Report {
        rows,
        outcome_rows,
        observed,
        lane_prices,
        sources,
        confusion,
        accepted,
        images,
        partial,
        decision_us,
    } = report;
    let mut lines = vec![format!("{rows} rows, {outcome_rows} with measured outcomes from {} sources", sources.len())];
    for (name, figures) in [("observed costs", observed), ("lane prices", lane_prices)] {
        lines.extend(figures.iter().flat_map(|figures| figure_lines(name, figures, paint)));
    }
    lines.push(
        paint.dim(
            "\nsource            rows  quality   cost    lift   always fast/std/reas    decided fast/std/reas/image",
        ),
    );
    lines.extend(sources.iter().map(source_line));
    lines.push(paint.dim("\ncheapest sufficient lane (rows) against the decided one"));
    lines.push(paint.dim(&format!("          {}", LANES.map(|lane| format!("{lane:>11}")).concat())));
    for (lane, row) in LANES.iter().zip(confusion) {
        lines.push(format!("{lane:<10}{}", row.map(|count| format!("{count:>11}")).concat()));
    }
    let Images { rows: pictures, right, text_rows, text_sent_there } = images;
    lines.push(format!(
        "\npictures: {right} of {pictures} to the image lane; of {text_rows} other rows {text_sent_there} went there by mistake"
    ));
    lines.extend(
        accepted.iter().map(|one| format!("{}: {} of {} in an accepted lane", one.source, one.right, one.rows)),
    );
    lines.extend(partial.as_ref().map(partial_line));
    lines.push(format!("decision: p50 {:.1} µs, p99 {:.1} µs", decision_us.p50, decision_us.p99));
    lines.push(String::new());
    lines.join("\n")
}

fn figure_lines(name: &str, figures: &Figures, paint: Paint) -> Vec<String> {
    let Figures { rows: _, quality, cost, lift, lift_error, at_equal_spend, always_quality, always_cost } = figures;
    let lift = format!("lift {} ± {}", points(*lift), percent(*lift_error, 2));
    let budgets = at_equal_spend.iter().map(|at| {
        let lift = at.lift.map_or_else(|| "-".to_owned(), points);
        format!("{} % {lift}", percent(at.budget, 0))
    });
    let always = LANES.iter().zip(always_quality).zip(always_cost);
    let always: Vec<String> = always
        .map(|((lane, quality), cost)| format!("{lane} {} at {}", percent(*quality, 1), percent(*cost, 1)))
        .collect();
    vec![
        format!("\n{name}: quality {} %, cost {} % of always-reasoning", percent(*quality, 1), percent(*cost, 1)),
        format!("  {} points over sources", paint.strong(&lift)),
        format!("  lift at equal spend: {}", budgets.collect::<Vec<_>>().join("   ")),
        paint.dim(&format!("  always {}", always.join(", "))),
    ]
}

fn source_line(source: &Source) -> String {
    let Source { source: name, rows, quality, cost, lift, always_quality, decided } = source;
    let always = always_quality.map(|quality| format!("{:>6}", percent(quality, 1))).concat();
    let decided = decided.map(|count| format!("{count:>6}")).concat();
    let (quality, cost, lift) = (percent(*quality, 1), percent(*cost, 1), points(*lift));
    format!("{name:<16}{rows:>6} {quality:>8} {cost:>6} {lift:>7}   {always}     {decided}")
}

fn partial_line(partial: &Partial) -> String {
    let Partial { rows, helped, helped_upgraded, fine, fine_upgraded } = partial;
    format!(
        "rows with two lanes: {rows}; the dearer one taken for {helped_upgraded} of {helped} where it helps, and for \
         {fine_upgraded} of {fine} where the lower one is enough"
    )
}

fn percent(share: f64, decimals: usize) -> String {
    format!("{:.decimals$}", share * 100.0)
}

fn points(lift: f64) -> String {
    format!("{:+.2}", lift * 100.0)
}
