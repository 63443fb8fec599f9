//! Columns for people.
//!
//! Must not know what stands in them.

use std::io::{self, Write};

use crate::base::time::UnixMs;

/// Prints rows under their titles, each column as wide as its widest cell.
pub(super) fn print<const N: usize>(out: &mut dyn Write, titles: [&str; N], rows: &[[String; N]]) -> io::Result<()> {
    let titles = titles.map(str::to_owned);
    let mut widths = [0; N];
    for row in std::iter::once(&titles).chain(rows) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in std::iter::once(&titles).chain(rows) {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// `2026-07-31 12:00`, in UTC.
pub(super) fn minute(at: UnixMs) -> String {
    timestamp(at).strftime("%Y-%m-%d %H:%M").to_string()
}

fn timestamp(at: UnixMs) -> jiff::Timestamp {
    let millis = i64::try_from(at.0).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX)
}
