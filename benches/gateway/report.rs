//! The table: a row for each work and figure, a column for each peer, the ratio to the bare proxy behind each value.
//!
//! Must not know how figures come about. Medians over the rounds; a ratio is the median of the rounds' ratios.

use std::fmt;

use crate::peers::{BARE, FLUX, NGINX_NAME};

/// What is read off a server, with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    /// Microseconds of processor time for each answer.
    Cpu,
    /// Answers a second.
    Rate,
    /// Median of microseconds to the first byte of the body.
    FirstByte,
    /// Microseconds that the server adds to the mock's own median.
    AddedP50,
    /// The same at the 99th percentile.
    AddedP99,
    /// MiB resident before any load.
    IdleMemory,
    /// KiB resident for each open stream.
    StreamMemory,
    /// Microseconds of processor time a second while nothing happens.
    IdleCpu,
}

impl Figure {
    fn label(self) -> &'static str {
        match self {
            Self::Cpu => "CPU for each, µs",
            Self::Rate => "answers a second",
            Self::FirstByte => "to the first byte, µs",
            Self::AddedP50 => "added at p50, µs",
            Self::AddedP99 => "added at p99, µs",
            Self::IdleMemory => "resident, MiB",
            Self::StreamMemory => "resident for each, KiB",
            Self::IdleCpu => "CPU, µs a second",
        }
    }
}

struct Row {
    work: String,
    figure: Figure,
    /// For each peer its values, one a round.
    peers: Vec<(&'static str, Vec<f64>)>,
}

/// All figures of a run, in the order in which they first came.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

impl Report {
    pub(crate) fn add(&mut self, work: &str, figure: Figure, peer: &'static str, value: f64) {
        let index = self.rows.iter().position(|row| row.work == work && row.figure == figure).unwrap_or_else(|| {
            self.rows.push(Row { work: work.to_owned(), figure, peers: Vec::new() });
            self.rows.len() - 1
        });
        let peers = &mut self.rows[index].peers;
        // A window too short for a stream to begin in it has no first byte.
        if value == 0.0 {
            return;
        }
        match peers.iter_mut().find(|(name, _)| *name == peer) {
            Some((_, values)) => values.push(value),
            None => peers.push((peer, vec![value])),
        }
    }
}

impl Row {
    fn values(&self, peer: &str) -> &[f64] {
        self.peers.iter().find(|(name, _)| *name == peer).map_or(&[], |(_, values)| values)
    }

    fn cell(&self, peer: &str) -> String {
        let values = self.values(peer);
        if values.is_empty() {
            return "–".to_owned();
        }
        let value = median(values.to_vec());
        let decimals = usize::from(value.abs() < 100.0);
        let ratios: Vec<f64> = values.iter().zip(self.values(BARE)).map(|(value, bare)| value / bare).collect();
        // The bare proxy has no second provider, and may do nothing at all that a tick of the clock would show.
        if peer == BARE || ratios.is_empty() {
            return format!("{value:.decimals$}");
        }
        format!("{value:.decimals$} ({:.2})", median(ratios))
    }
}

/// Markdown, so that it can be put into a page as it is.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| {:24} | {:22} | {BARE:>14} | {NGINX_NAME:>14} | {FLUX:>14} |", "work", "figure (ratio)")?;
        writeln!(
            f,
            "|--------------------------|------------------------|---------------:|---------------:|---------------:|"
        )?;
        for row in &self.rows {
            let [bare, nginx, flux] = [BARE, NGINX_NAME, FLUX].map(|peer| row.cell(peer));
            writeln!(f, "| {:24} | {:22} | {bare:>14} | {nginx:>14} | {flux:>14} |", row.work, row.figure.label())?;
        }
        Ok(())
    }
}

/// The middle value; 0 of none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
