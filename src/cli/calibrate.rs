//! `flux calibrate`: fits what `flux-auto` knows to an operator's own outcomes.
//!
//! Must not know how anything is fitted. Nothing is written that gains nothing on rows the fit had not seen.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Value, json};

use super::progress::Bar;
use super::{DONE, DataDir, FAILED, Form, lines, print_json};
use crate::boot;
use crate::calibrate::augment::Frames;
use crate::calibrate::examples::{Example, Examples};
use crate::calibrate::outcomes::{LANES, parse_line};
use crate::calibrate::report::{Report, Verdict};
use crate::calibrate::rows::{Costs, Row};
use crate::calibrate::{gains, recogniser, table, validate};
use crate::classify::kinds::weights::Weights;
use crate::classify::table::LaneTable;
use crate::classify::{KindModel, Router, Terms};
use crate::store::feedback::PAGE_MAX;
use crate::store::usage::UsageReader;

/// Rows that are fitted to, at most: a bound for memory, about 10 KB a row.
const ROWS_MAX: usize = 100_000;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Outcomes, one JSON object a line: {"request": {…}, "lanes": {"fast": {"quality": 0.5}, …}}, with "source" if there are several
    #[arg(value_name = "FILE.jsonl", required_unless_present_any = ["examples", "export"])]
    outcomes: Option<PathBuf>,
    /// Write what clients said of answers (POST /v1/feedback) as outcomes into this file, and fit nothing
    #[arg(long, value_name = "OUT.jsonl", conflicts_with_all = ["outcomes", "examples", "out", "dry_run", "force"])]
    export: Option<PathBuf>,
    /// Train the recogniser of kinds anew, on the examples in this folder
    #[arg(long, value_name = "DIR")]
    examples: Option<PathBuf>,
    /// Where the files go [default: the rules folder of the configuration]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Tell what would be gained, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Write even what gains nothing
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    data_dir: DataDir,
    #[command(flatten)]
    form: Form,
}

/// What was found and what is to be written.
struct Fitted {
    report: Value,
    text: String,
    is_gain: bool,
    weights: Weights,
    table: LaneTable,
    /// Whether the table is another than before.
    is_table_new: bool,
}

/// Fits, reports and writes; the exit code is 1 when nothing was gained.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<u8> {
    if let Some(file) = &arguments.export {
        return export(file, arguments, out);
    }
    let config_dir = &arguments.data_dir.config.path;
    let folder = boot::rules::folder(config_dir);
    let (router, terms) = boot::router(config_dir, None)?;
    let mut fitted = match &arguments.examples {
        Some(examples) => train(examples, router)?,
        None => unchanged(router),
    };
    if let Some(outcomes) = &arguments.outcomes {
        fitted = calibrate(outcomes, fitted, &terms)?;
    }
    let is_written = !arguments.dry_run && (fitted.is_gain || arguments.force);
    let to = arguments.out.clone().unwrap_or(folder);
    if is_written {
        write(&to, &fitted)?;
    }
    if arguments.form.json {
        let written = is_written.then(|| to.display().to_string());
        print_json(out, &json!({ "report": fitted.report, "hash": fitted.weights.hash(), "written_to": written }))?;
    } else {
        write!(out, "{}", fitted.text)?;
        match (is_written, fitted.is_gain) {
            (true, _) => writeln!(out, "Written to {}; a running server takes it up within a second.", to.display())?,
            (false, true) => writeln!(out, "It gains; nothing was written, as asked.")?,
            (false, false) => {
                writeln!(out, "Nothing is gained on rows that the fit had not seen, so nothing was written.")?;
            }
        }
    }
    Ok(if fitted.is_gain || arguments.force { DONE } else { FAILED })
}

fn unchanged(router: Router) -> Fitted {
    let KindModel { weights, table } = router.kinds;
    Fitted {
        report: weights.report().clone(),
        text: String::new(),
        is_gain: false,
        weights,
        table,
        is_table_new: false,
    }
}

/// Trains the recogniser. The table has to know the kinds already.
fn train(folder: &Path, router: Router) -> anyhow::Result<Fitted> {
    let (told, frames) = read_examples(folder)?;
    let examples = Examples::parse(&told, &frames).with_context(|| folder.display().to_string())?;
    let table = router.kinds.table;
    if examples.kinds != router.kinds.weights.kinds() {
        bail!(
            "the examples are of the kinds {}, the lane table of {}: give each kind a row and an example",
            examples.kinds.join(", "),
            router.kinds.weights.kinds().join(", ")
        );
    }
    let mut bar = Bar::new("holding out");
    let accuracy = recogniser::accuracy(&examples, &recogniser::SETTINGS, &mut |done, all| bar.tell(done, all));
    drop(bar);
    let all: Vec<&Example> = examples.examples.iter().collect();
    let fitted = recogniser::fit(&examples.kinds, &all, &recogniser::SETTINGS);
    let report = json!({ "recogniser": { "examples": all.len(), "accuracy_on_held_out_examples": accuracy } });
    let text = format!(
        "{} examples of {} kinds; of those held out {:.1} % are recognised\n",
        all.len(),
        examples.kinds.len(),
        accuracy * 100.0
    );
    Ok(Fitted {
        weights: Weights::of(&fitted, report.clone()),
        report,
        text,
        is_gain: true,
        table,
        is_table_new: false,
    })
}

/// All examples of a folder in the order of the file names, and its frames.
fn read_examples(folder: &Path) -> anyhow::Result<(String, Frames)> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    let mut lines = String::new();
    for file in &files {
        lines.push_str(&std::fs::read_to_string(file).with_context(|| file.display().to_string())?);
        lines.push('\n');
    }
    let frames = folder.join("frames.toml");
    let frames = match std::fs::read_to_string(&frames) {
        Ok(text) => toml::from_str(&text).with_context(|| frames.display().to_string())?,
        Err(_) => Frames::default(),
    };
    Ok((lines, frames))
}

fn calibrate(outcomes: &Path, before: Fitted, terms: &Terms) -> anyhow::Result<Fitted> {
    let (rows, costs) = read_outcomes(outcomes, &before.weights)?;
    let mut bar = Bar::new("holding out");
    let validated = validate::validate(&rows, &before.table, terms, &mut |done, all| bar.tell(done, all));
    drop(bar);
    let report = Report::of(&rows, costs, validated);
    let all: Vec<&Row> = rows.iter().collect();
    let table = table::fit(&all, &before.table);
    let gains = (report.verdict == Verdict::TableAndWeights).then(|| gains::fit(&all, &table));
    let mut told = before.report;
    if let Some(members) = told.as_object_mut() {
        members.insert("calibration".to_owned(), report.to_json());
    }
    let weights = before.weights.with_gains(gains.as_ref(), told.clone());
    let text = format!("{}{}", before.text, report.to_text());
    Ok(Fitted { report: told, text, is_gain: report.verdict != Verdict::Nothing, weights, table, is_table_new: true })
}

fn read_outcomes(path: &Path, weights: &Weights) -> anyhow::Result<(Vec<Row>, Costs)> {
    let (mut rows, mut costs) = (Vec::new(), Costs::Observed);
    lines::each(path, "reading", |line| {
        let outcome = parse_line(line)?;
        if outcome.quality.iter().all(Option::is_none) {
            return Ok(());
        }
        if outcome.all_qualities().is_some() && outcome.observed_costs().is_none() {
            costs = Costs::Priced;
        }
        rows.push(Row::of(&outcome, weights)?);
        if rows.len() > ROWS_MAX {
            Err(format!("more than {ROWS_MAX} judged rows; take a sample of them"))
        } else {
            Ok(())
        }
    })?;
    if rows.is_empty() {
        bail!("{}: no row says how good a lane's answer was; see docs/routing.md for the format", path.display());
    }
    for row in &mut rows {
        row.choose_costs(costs);
    }
    Ok((rows, costs))
}

/// Writes the judged requests of the ledger as outcomes. Their words are not there to be written, so that only the lane
/// table can be fitted to them.
fn export(file: &Path, arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<u8> {
    let reader = UsageReader::open_existing(&arguments.data_dir.path())?;
    let shown = file.display();
    let mut to = BufWriter::new(File::create(file).with_context(|| format!("{shown} cannot be written"))?);
    let (mut after, mut written) = (None, 0_u64);
    loop {
        let page = reader.feedback_outcomes(None, after, PAGE_MAX)?;
        for request in page.requests.iter().filter(|request| !request.kind.is_empty()) {
            let Some(lane) = request.lane.strip_prefix("flux-").filter(|lane| LANES.contains(lane)) else { continue };
            let answer = json!({
                "quality": f64::from(request.quality_milli) / 1_000.0,
                "tokens_in": request.input_tokens,
                "tokens_out": request.output_tokens,
            });
            let outcome = json!({
                "id": request.request_id.to_string(),
                "kind_of_work": &*request.kind,
                "lanes": { lane: answer },
            });
            writeln!(to, "{outcome}").with_context(|| format!("{shown} cannot be written"))?;
            written += 1;
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    to.flush().with_context(|| format!("{shown} cannot be written"))?;
    if arguments.form.json {
        print_json(out, &json!({ "file": shown.to_string(), "rows": written }))?;
    } else {
        writeln!(out, "{shown}: {written} judged requests of flux-auto")?;
    }
    Ok(DONE)
}

/// Each file is whole at every moment.
fn write(folder: &Path, fitted: &Fitted) -> anyhow::Result<()> {
    let head = "The lane table of flux-auto: what the answers of each lane are worth, 0 to 1, for each kind of work.\n\
                Written by `flux calibrate`; edit freely. `fast_is_safe` opens the fast lane to a kind.\n\
                `basis` says what the figures rest on.";
    let table = fitted.is_table_new.then(|| fitted.table.to_text(head, fitted.weights.kinds()));
    for (name, text) in [("lane-table.toml", table), ("kind-weights.json", Some(fitted.weights.to_text()))] {
        let Some(text) = text else { continue };
        let (path, new) = (folder.join(name), folder.join(format!("{name}.new")));
        std::fs::write(&new, text).with_context(|| new.display().to_string())?;
        std::fs::rename(&new, &path).with_context(|| path.display().to_string())?;
    }
    Ok(())
}
