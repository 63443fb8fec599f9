//! `flux usage`: sums of what was used, for whoever owns the machine.
//!
//! Must not write: it reads the books beside a running server, which may be a moment ahead of them.

use std::io::Write;

use anyhow::anyhow;
use clap::Args;

use super::table::print;
use super::{DONE, DataDir, Form, print_json};
use crate::api::usage::GROUPS;
use crate::api::usage::view::{SumsView, sums_csv};
use crate::base::time::UnixMs;
use crate::store::usage::{Group, UsageFilter, UsageReader};

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Of one account only
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// What the sums are made by: day, key, model or lane
    #[arg(long, value_name = "GROUP", default_value = "day", value_parser = parse_group)]
    by: (&'static str, Group),
    /// From the day of that time on: 2026-07-31, 2026-07-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    from: Option<UnixMs>,
    /// Up to that time, its day counted whole
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    to: Option<UnixMs>,
    /// Print CSV, for tables
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    #[command(flatten)]
    data_dir: DataDir,
    #[command(flatten)]
    form: Form,
}

/// Prints the sums.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<u8> {
    let Arguments { account, by, from, to, csv, data_dir, form } = arguments;
    let reader = UsageReader::open_existing(&data_dir.path())?;
    let account = match account {
        Some(name) => Some(reader.account(name)?.ok_or_else(|| anyhow!("there is no account \"{name}\""))?),
        None => None,
    };
    let filter = UsageFilter { from: *from, to: *to, ..UsageFilter::default() };
    let sums = SumsView::read(&reader, account, &filter, *by)?;
    if form.json {
        print_json(out, &serde_json::to_value(&sums)?)?;
    } else if *csv {
        out.write_all(sums_csv(&sums).as_bytes())?;
    } else {
        let title = by.0.to_uppercase();
        print(out, [&title, "REQUESTS", "INPUT", "CACHED", "OUTPUT", "USD"], &sums.cells())?;
    }
    Ok(DONE)
}

fn parse_group(text: &str) -> Result<(&'static str, Group), String> {
    GROUPS.into_iter().find(|(name, _)| *name == text).ok_or_else(|| "day, key, model or lane".to_owned())
}

fn parse_moment(text: &str) -> Result<UnixMs, String> {
    UnixMs::parse(text).ok_or_else(|| "a time such as 2026-07-31 or 2026-07-31T12:00:00Z".to_owned())
}
