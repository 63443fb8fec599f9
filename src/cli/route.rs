//! `flux route`: where a request would go and why, without a server, and without asking anybody.
//!
//! Must not keep anything of the request. JSON where a program reads, colours where a person does.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::Value;

use super::paint::{Paint, is_terminal};
use super::{DONE, Form, evaluate, print_json, server};
use crate::api::route::{
    AlternativeView, AttemptView, ClueView, FORMATS, KindView, LaneView, PricingView, RouteView, format_by_name,
};
use crate::base::quality::Quality;
use crate::base::wire_format::WireFormat;
use crate::boot;

/// Largest request that is read.
const BODY_BYTES_MAX: u64 = 32 << 20;
/// A file of this name is the standard input.
pub(super) const STDIN: &str = "-";
/// Kinds of work that people are shown.
const KINDS_SHOWN: usize = 5;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// The body of a request; - for the standard input
    #[arg(value_name = "FILE", required_unless_present = "eval", conflicts_with = "eval")]
    file: Option<PathBuf>,
    /// The wish for quality, 0 to 1 [default: the one that lanes.toml names]
    #[arg(long, value_name = "SHARE", value_parser = parse_quality)]
    quality: Option<Quality>,
    /// The API of the request, where its shape does not tell: chat, responses or messages
    #[arg(long, value_name = "API", value_parser = parse_format, conflicts_with = "eval")]
    format: Option<WireFormat>,
    /// Score the decisions on a labelled set: lines of JSON with `id`, `source`, `request` and `lanes`
    #[arg(long, value_name = "FILE.jsonl")]
    eval: Option<PathBuf>,
    /// Write each decision of --eval as a line {"id", "lane", "score"}, for other scorers
    #[arg(long, value_name = "OUT.jsonl", requires = "eval", conflicts_with = "file")]
    decisions: Option<PathBuf>,
    /// Compare with simpler ways of choosing and with other words, and draw the curves of --eval into this file
    #[arg(long, value_name = "OUT.svg", requires = "eval", conflicts_with = "file")]
    chart: Option<PathBuf>,
    #[command(flatten)]
    config: server::ConfigDir,
    #[command(flatten)]
    form: Form,
}

/// Says where a request would go, or how well a set is routed.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<u8> {
    let Arguments { file, quality, format, eval, decisions, chart, config, form } = arguments;
    let is_json = form.json || !is_terminal();
    if let Some(set) = eval {
        let (router, terms) = boot::router(&config.path, *quality)?;
        let report = evaluate::evaluate(set, decisions.as_deref(), |line, clock| {
            crate::calibrate::evaluate::decide(&router, &terms, line, clock)
        })?;
        evaluate::print(&report, is_json, Paint::of_output(), out)?;
        if let Some(chart) = chart {
            evaluate::study(set, chart, (&router, &terms), out)?;
        }
        return Ok(DONE);
    }
    let body = read(file.as_deref().unwrap_or(Path::new(STDIN)))?;
    let view = boot::preview(&config.path, &body, *format, *quality)?;
    if is_json {
        print_json(out, &serde_json::to_value(&view)?)?;
    } else {
        out.write_all(told(&view, Paint::of_output()).as_bytes())?;
    }
    Ok(DONE)
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    let most = BODY_BYTES_MAX + 1;
    if file == Path::new(STDIN) {
        std::io::stdin().lock().take(most).read_to_end(&mut body).context("the standard input cannot be read")?;
    } else {
        let opened = std::fs::File::open(file).with_context(|| format!("{} cannot be read", file.display()))?;
        opened.take(most).read_to_end(&mut body).with_context(|| format!("{} cannot be read", file.display()))?;
    }
    if u64::try_from(body.len()).unwrap_or(u64::MAX) > BODY_BYTES_MAX {
        bail!("the request is larger than {BODY_BYTES_MAX} bytes");
    }
    Ok(body)
}

/// A preview for people.
fn told(view: &RouteView, paint: Paint) -> String {
    let mut text = String::new();
    let lane = view.lane.as_deref().unwrap_or("pinned");
    let score = format!("score {:.3}, quality {}, read as {}", view.score, view.quality, view.wire_format);
    add(&mut text, &format!("{} → {}   {}", paint.strong(lane), paint.strong(&view.model), paint.dim(&score)));
    add(&mut text, &format!("because   {} {}", view.reason.by, paint.strong(&view.reason.name)));
    for rule in &view.rules {
        add(&mut text, &format!("rule      {}: {} {}", rule.name, rule.effect, rule.lane));
    }
    let kinds: Vec<String> = view.kinds.iter().take(KINDS_SHOWN).map(kind).collect();
    add(&mut text, &format!("kinds     {}", kinds.join(", ")));
    tell_clues(view, paint, &mut text);
    add(&mut text, &paint.dim("\nlane              quality   price   worth"));
    for lane in &view.lanes {
        add(&mut text, &lane_row(lane, view.lane.as_deref(), paint));
    }
    let tokens = &view.estimated_tokens;
    let assumed = if tokens.output_is_assumed { " assumed" } else { "" };
    let estimate = format!("estimated with {} tokens in, {}{assumed} out", tokens.input, tokens.output);
    add(&mut text, &format!("\nplan      {}", paint.dim(&estimate)));
    for (attempt, number) in view.attempts.iter().zip(1..) {
        add(&mut text, &attempt_row(attempt, number));
    }
    add(&mut text, "\ninstead");
    for other in &view.alternatives {
        add(&mut text, &alternative_row(other, paint));
    }
    let features: Vec<String> = view.features.iter().map(feature).collect();
    add(&mut text, &paint.dim(&format!("\nfeatures  {}", features.join(", "))));
    text
}

fn feature((name, value): (&&str, &Value)) -> String {
    value.as_str().map_or_else(|| format!("{name} {value}"), |word| format!("{name} {word}"))
}

fn add(text: &mut String, line: &str) {
    text.push_str(line.trim_end());
    text.push('\n');
}

fn kind(KindView { kind, probability }: &KindView) -> String {
    format!("{kind} {:.0} %", probability * 100.0)
}

fn tell_clues(view: &RouteView, paint: Paint, text: &mut String) {
    let [first, second, ..] = view.kinds.as_slice() else { return };
    add(text, &format!("clues     for {} against {}", first.kind, second.kind));
    for ClueView { sign, text: clue, weight } in &view.clues {
        let weighed = format!("{weight:+.2}");
        let weighed = if *weight < 0.0 { paint.bad(&weighed) } else { paint.good(&weighed) };
        add(text, &format!("          {weighed}  {clue}  {}", paint.dim(&sign.replace('_', " "))));
    }
}

fn lane_row(lane: &LaneView, taken: Option<&str>, paint: Paint) -> String {
    let LaneView { lane: name, expected_quality, price_share, worth, is_open } = lane;
    let row = format!("{name:<16}  {expected_quality:>7.3} {price_share:>7.3} {worth:>7.3}");
    match (taken == Some(*name), is_open) {
        (true, _) => paint.strong(&row),
        (false, true) => row,
        (false, false) => paint.dim(&format!("{row}  not open")),
    }
}

fn attempt_row(attempt: &AttemptView, number: usize) -> String {
    let AttemptView { provider, model, wire_format, pricing, estimated_cost_usd } = attempt;
    format!("  {number}. {provider}: {model}, {wire_format}, {}, about ${estimated_cost_usd}", price(pricing))
}

fn price(pricing: &PricingView) -> String {
    let PricingView { by, unit, input_usd, cache_read_usd: _, output_usd, piece_usd } = pricing;
    let mut price = String::new();
    if let Some(piece) = piece_usd {
        let _ = write!(price, "${piece} for 1 {unit}");
    } else {
        let usd = |amount: &Option<String>| amount.clone().unwrap_or_else(|| "?".to_owned());
        let _ = write!(price, "${} in and ${} out for {unit}", usd(input_usd), usd(output_usd));
    }
    let _ = write!(price, " (the {by}'s)");
    price
}

fn alternative_row(other: &AlternativeView, paint: Paint) -> String {
    let AlternativeView { lane, model, provider, expected_quality, estimated_cost_usd, unavailable } = other;
    if let Some(why) = unavailable {
        return paint.dim(&format!("  {lane:<16}  {why}"));
    }
    let or = |text: &Option<String>| text.clone().unwrap_or_default();
    let quality = expected_quality.map_or_else(|| "      -".to_owned(), |quality| format!("{quality:>7.3}"));
    format!("  {lane:<16}{quality}  about ${}  {} at {}", or(estimated_cost_usd), or(model), or(provider))
}

fn parse_quality(text: &str) -> Result<Quality, String> {
    Quality::parse(text).ok_or_else(|| "a decimal from 0 to 1, such as 0.7".to_owned())
}

fn parse_format(text: &str) -> Result<WireFormat, String> {
    format_by_name(text).ok_or_else(|| FORMATS.map(|(name, _)| name).join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"model":"flux-auto","messages":[{"role":"user","content":"Write a Python function that adds two numbers, then explain def and return."}]}"#;

    #[test]
    fn people_are_told_lane_reason_plan_and_what_else_there_is() {
        let conf = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf");
        let view = boot::preview(&conf, BODY, None, None).unwrap();
        let text = told(&view, Paint::none());
        for part in
            ["flux-", "because   kind", "clues     for", "plan      estimated with", "instead", "has_tools false"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains('\x1b') && text.lines().all(|line| line == line.trim_end()), "{text}");
        assert!(told(&view, Paint::all()).contains("\x1b[1;36m"));
    }
}
