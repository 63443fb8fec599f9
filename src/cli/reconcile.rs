//! `flux reconcile`: prints what the audit of the books found.
//!
//! Must not judge: the report says itself whether it adds up.

use std::io::Write;

use clap::Args;
use serde_json::{Value, json};

use super::progress::Bar;
use super::{DONE, DataDir, FAILED, Form, print_json, table};
use crate::store::reconcile::{AccountLine, Report, reconcile};

#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    data_dir: DataDir,
    #[command(flatten)]
    form: Form,
}

/// Audits a data folder; the exit code is 1 when the books do not add up.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<u8> {
    let Arguments { data_dir, form } = arguments;
    let mut bar = Bar::new("comparing");
    let report = reconcile(&data_dir.path(), &mut |done, all| bar.tell(done, all))?;
    drop(bar);
    if form.json {
        print_json(out, &report_json(&report))?;
    } else {
        print_report(&report, out)?;
    }
    Ok(if report.adds_up() { DONE } else { FAILED })
}

fn print_report(report: &Report, out: &mut dyn Write) -> std::io::Result<()> {
    let rows: Vec<_> = report.accounts.iter().map(account_row).collect();
    table::print(out, ["ACCOUNT", "NAME", "ROWS", "LEDGER USD", "ARCHIVED USD", "BALANCE USD", ""], &rows)?;
    writeln!(out)?;
    for (title, figure) in figures(report) {
        writeln!(out, "{title:44} {figure}")?;
    }
    let verdict = if report.adds_up() { "The books add up." } else { "THE BOOKS DO NOT ADD UP; nothing was changed." };
    writeln!(out, "{:44} {}\n\n{verdict}", "charges pending, USD", report.pending)
}

fn account_row(line: &AccountLine) -> [String; 7] {
    let AccountLine { account, name, balance, ledger, rows, archived, packs_add_up: _, days_add_up } = line;
    let verdict = match name {
        None => "unknown account",
        Some(_) if line.adds_up() => "ok",
        Some(_) if !line.balance_adds_up() => "differs",
        Some(_) if !days_add_up => "sums by the day differ",
        Some(_) => "packs differ",
    };
    let name = name.clone().unwrap_or_else(|| "-".to_owned());
    [
        account.to_string(),
        name,
        rows.to_string(),
        ledger.to_string(),
        archived.to_string(),
        balance.to_string(),
        verdict.to_owned(),
    ]
}

/// The counts of a report, in the order in which they are printed.
fn figures(report: &Report) -> [(&'static str, String); 12] {
    [
        ("requests charged twice", report.repeated_requests.to_string()),
        ("rows whose parts are not their whole", report.wrong_splits.to_string()),
        ("sums by the hour that differ from the rows", report.differing_hours.to_string()),
        ("sums by the day that differ from the hours", report.differing_days.to_string()),
        ("unknown keys in the ledger", report.unknown_keys.to_string()),
        ("journal records checked against the ledger", report.booked_records.to_string()),
        ("  missing from the ledger", report.missing_records.to_string()),
        ("  with another amount in the ledger", report.differing_records.to_string()),
        ("damaged places in the journal", report.damaged_records.to_string()),
        ("damaged segments put aside", report.damaged_segments.to_string()),
        ("bytes of a torn record at the end (no fault)", report.torn_bytes.to_string()),
        ("charges pending in the journal (no fault)", report.pending_records.to_string()),
    ]
}

fn report_json(report: &Report) -> Value {
    let accounts: Vec<_> = report.accounts.iter().map(account_json).collect();
    let Report {
        accounts: _,
        repeated_requests,
        wrong_splits,
        differing_hours,
        differing_days,
        unknown_keys,
        booked_records,
        missing_records,
        differing_records,
        pending_records,
        pending,
        damaged_records,
        torn_bytes,
        damaged_segments,
    } = report;
    json!({
        "ok": report.adds_up(),
        "accounts": accounts,
        "repeated_requests": repeated_requests,
        "unknown_keys": unknown_keys,
        "wrong_splits": wrong_splits,
        "differing_hours": differing_hours,
        "differing_days": differing_days,
        "journal": {
            "booked_records": booked_records,
            "missing_records": missing_records,
            "differing_records": differing_records,
            "pending_records": pending_records,
            "pending_usd": pending.to_string(),
            "pending_nano_usd": pending.0,
            "damaged_records": damaged_records,
            "damaged_segments": damaged_segments,
            "torn_bytes": torn_bytes,
        },
    })
}

fn account_json(line: &AccountLine) -> Value {
    let AccountLine { account, name, balance, ledger, rows, archived, packs_add_up, days_add_up } = line;
    json!({
        "id": account,
        "name": name,
        "ok": line.adds_up(),
        "rows": rows,
        "ledger_usd": ledger.to_string(),
        "ledger_nano_usd": ledger.0,
        "archived_usd": archived.to_string(),
        "archived_nano_usd": archived.0,
        "packs_ok": packs_add_up,
        "days_ok": days_add_up,
        "balance_usd": balance.to_string(),
        "balance_nano_usd": balance.0,
    })
}
