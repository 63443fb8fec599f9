//! Fits find what is there, find nothing where nothing is, and come out the same every time.

use super::augment::Frames;
use super::examples::{Example, Examples};
use super::measure::{Decided, measure};
use super::outcomes::parse_line;
use super::recogniser::{self, Settings};
use super::report::{Report, Verdict};
use super::rows::{Costs, Row};
use super::validate::{self, HeldOut};
use crate::classify::Terms;
use crate::classify::kinds::weights::Weights;
use crate::classify::table::LaneTable;

const TERMS: Terms = Terms { quality: 0.5, prices: [0.25, 0.5, 1.0] };

fn shipped() -> (Weights, LaneTable) {
    let weights = Weights::parse(include_str!("../../lua-free-rules/kind-weights.json")).unwrap();
    let table = include_str!("../../lua-free-rules/lane-table.toml");
    let table = LaneTable::parse(table, "lane-table.toml", weights.kinds()).unwrap();
    (weights, table)
}

/// Rows whose qualities come from `judge`, by number and by topic.
fn rows(weights: &Weights, count: usize, judge: impl Fn(usize, &str) -> [f64; 3]) -> Vec<Row> {
    const TOPICS: [&str; 4] = ["the warehouse", "the payroll", "a bicycle tour", "an old piano"];
    let line = |at: usize| {
        let topic = TOPICS[at % TOPICS.len()];
        let [fast, standard, reasoning] = judge(at, topic);
        format!(
            r#"{{"id":"{at}","request":{{"model":"flux-auto","messages":[{{"role":"user",
            "content":"Write a note number {at} about {topic} for my team."}}]}},
            "lanes":{{"fast":{{"quality":{fast}}},"standard":{{"quality":{standard}}},"reasoning":{{"quality":{reasoning}}}}}}}"#
        )
        .replace('\n', "")
    };
    (0..count).map(|at| Row::of(&parse_line(&line(at)).unwrap(), weights).unwrap()).collect()
}

fn report(rows: &[Row], table: &LaneTable) -> Report {
    let validated = validate::validate(rows, table, &TERMS, &mut |_, _| {});
    Report::of(rows, Costs::Priced, validated)
}

#[test]
fn words_that_decide_are_found() {
    let (weights, table) = shipped();
    // Only about the warehouse and the payroll the dearest lane knows more.
    let rows = rows(&weights, 400, |_, topic| match topic {
        "the warehouse" | "the payroll" => [0.2, 0.3, 0.9],
        _ => [0.8, 0.8, 0.8],
    });
    let report = report(&rows, &table);
    assert_eq!(report.validated.held_out, HeldOut::Fifths);
    assert_eq!(report.verdict, Verdict::TableAndWeights, "{}", report.to_text());
    assert!(validate::lift(&report.validated.weights) > validate::lift(&report.validated.before) + 5.0);
}

#[test]
fn where_nothing_is_to_be_gained_nothing_is_written() {
    let (weights, table) = shipped();
    // As good as a coin: no word tells which request gains.
    let rows = rows(&weights, 400, |at, _| {
        let coin = at.wrapping_mul(2_654_435_761) >> 7 & 1;
        if coin == 0 { [0.4, 0.5, 0.5] } else { [0.4, 0.5, 0.7] }
    });
    let report = report(&rows, &table);
    assert_eq!(report.verdict, Verdict::Nothing, "{}", report.to_text());
}

#[test]
fn verdicts_of_single_answers_move_the_table() {
    let (weights, table) = shipped();
    let line = |at: usize| {
        let (lane, quality) = if at.is_multiple_of(2) { ("fast", 0.1) } else { ("standard", 0.9) };
        format!(r#"{{"kind_of_work":"translation","lanes":{{"{lane}":{{"quality":{quality}}}}}}}"#)
    };
    let lines: Vec<String> = (0..200).map(line).collect();
    let rows: Vec<Row> = lines.iter().map(|line| Row::of(&parse_line(line).unwrap(), &weights).unwrap()).collect();
    assert_eq!(report(&rows, &table).verdict, Verdict::Table);
    let all: Vec<&Row> = rows.iter().collect();
    let fitted = super::table::fit(&all, &table);
    let at = weights.kinds().iter().position(|kind| kind == "translation").unwrap();
    let [before, after] = [&table, &fitted].map(|table| table.rows()[at].clone());
    assert!(after.fast < before.fast - 0.3 && after.standard > before.standard, "{after:?}");
    assert!(!after.fast_is_safe);
    assert_eq!(after.reasoning.to_bits(), before.reasoning.to_bits());
    let others = |table: &LaneTable| [table.rows()[..at].to_vec(), table.rows()[at + 1..].to_vec()].concat();
    assert_eq!(others(&fitted), others(&table));
}

#[test]
fn the_same_examples_give_the_same_bytes() {
    let lines = ["code", "chat", "logic"].map(|kind| {
        let line = |at: usize| format!(r#"{{"kind":"{kind}","prompt":"{kind} number {at} of the {kind} things"}}"#);
        (0..20).map(line).collect::<Vec<_>>().join("\n")
    });
    let frames = Frames { system: vec!["Be kind.".to_owned()], before: vec!["Please: ".to_owned()], after: Vec::new() };
    let fit = || {
        let examples = Examples::parse(&lines.join("\n"), &frames).unwrap();
        let all: Vec<&Example> = examples.examples.iter().collect();
        let settings = Settings { passes: 3, ..recogniser::SETTINGS };
        assert!(recogniser::accuracy(&examples, &settings, &mut |_, _| {}) > 0.9);
        Weights::of(&recogniser::fit(&examples.kinds, &all, &settings), serde_json::Value::Null)
    };
    let weights = fit();
    assert_eq!(weights.to_text(), fit().to_text());
    assert_eq!(weights.kinds(), ["chat", "code", "logic"]);
    assert_eq!(Weights::parse(&weights.to_text()).unwrap().to_text(), weights.to_text());
}

#[test]
fn bad_examples_are_told_by_line() {
    let parse = |text: &str| Examples::parse(text, &Frames::default()).unwrap_err().to_string();
    assert!(parse("\n{\"kind\":\"chat\"}").starts_with("line 2: give either `prompt` or `request`"));
    assert!(parse("{\"kind\":\"chat\",\"prompt\":\"x\",\"more\":1}").starts_with("line 1: unknown field `more`"));
    assert!(parse_line("{\"lanes\":{}}").unwrap_err().contains("neither"));
    assert!(
        parse_line("{\"kind_of_work\":\"x\",\"lanes\":{\"fast\":{\"quality\":2}}}").unwrap_err().contains("0 and 1")
    );
}

#[test]
fn a_lift_is_what_a_coin_does_not_do() {
    let row = |id: usize, lane: usize, score: f64, reasoning: f64| Decided {
        source: "s".to_owned(),
        quality: [0.2, 0.5, reasoning],
        cost: [1.0, 2.0, 4.0],
        lane,
        score,
        id: id.to_string(),
    };
    // Half of the rows gain from reasoning. Whoever knows which gets all of it for 75 % of the cost.
    let knowing: Vec<Decided> =
        (0..100).map(|at| if at % 2 == 0 { row(at, 2, 1.0, 0.9) } else { row(at, 1, 0.0, 0.5) }).collect();
    let measured = measure(&knowing);
    let close = |seen: f64, expected: f64| assert!((seen - expected).abs() < 1e-9, "{seen} is not {expected}");
    close(measured.decided.quality, 0.7);
    close(measured.decided.cost, 0.75);
    close(measured.lift, 0.1);
    close(measured.at_budget[1].unwrap(), 0.5 + 0.1 / 0.5 * 0.4 - (0.5 + 0.1 / 0.5 * 0.2));
    let fixed: Vec<Decided> = knowing.iter().cloned().map(|row| Decided { lane: 1, ..row }).collect();
    close(measure(&fixed).lift, 0.0);
}

/// What ships is what anyone can make again.
#[test]
fn the_shipped_weights_are_fitted_to_the_shipped_examples() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("lua-free-rules/kinds");
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    let lines: Vec<String> = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let frames: Frames = toml::from_str(&std::fs::read_to_string(folder.join("frames.toml")).unwrap()).unwrap();
    let examples = Examples::parse(&lines.join("\n"), &frames).unwrap();
    let all: Vec<&Example> = examples.examples.iter().collect();
    let fitted = recogniser::fit(&examples.kinds, &all, &recogniser::SETTINGS);
    assert_eq!(Weights::of(&fitted, serde_json::Value::Null).hash(), shipped().0.hash(), "flux calibrate --examples");
}

#[test]
fn other_words_leave_the_request_what_it_is() {
    let body = serde_json::json!({"model": "m", "messages": [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Write a list. How many children need help?"},
    ]});
    let said: Vec<String> = (0..super::paraphrase::WAYS.len())
        .map(|way| {
            let other = super::paraphrase::said_otherwise(&body, way).unwrap();
            assert_eq!(other["messages"][0], body["messages"][0]);
            other["messages"][1]["content"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(said[0], "write a list. how many children need help?");
    assert_eq!(said[1], "WRITE A LIST. HOW MANY CHILDREN NEED HELP?");
    assert_eq!(said[4], "How many children need help? Write a list.");
    assert_eq!(said[5], "Compose a collection. How many kids require assist?");
    assert!(said[3].contains("Write a list.") && said[6].contains("Write a list."));
    assert!(super::paraphrase::said_otherwise(&body, 99).is_none());
}

#[test]
fn a_study_compares_and_draws() {
    let (weights, table) = shipped();
    let rules = crate::classify::rules::parse("default = \"by-kind\"\n", "rules").unwrap();
    let router = crate::classify::Router { rules, kinds: crate::classify::KindModel { weights, table } };
    let mut study = super::study::Study::default();
    for (id, prompt) in ["Prove that there are infinitely many primes.", "hello", "What is 3 + 4?"].iter().enumerate() {
        let request = serde_json::json!({"model": "flux-auto", "messages": [{"role": "user", "content": prompt}]});
        let lanes = serde_json::json!({
            "fast": {"quality": 0.2, "cost_usd": 1.0}, "standard": {"quality": 0.5, "cost_usd": 2.0},
            "reasoning": {"quality": 0.9, "cost_usd": 4.0},
        });
        let row = serde_json::json!({"id": id.to_string(), "source": "s", "request": request, "lanes": lanes});
        study.add(&router, &TERMS, &row.to_string()).unwrap();
    }
    assert!(study.flips().iter().all(|flips| flips.of == 3));
    let drawn = super::chart::svg(&study.curves(), &study.marks());
    assert!(drawn.starts_with("<svg") && drawn.contains("random mix") && drawn.contains("as configured"));
    assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
    assert!(study.to_text().contains("always reasoning"));
}
