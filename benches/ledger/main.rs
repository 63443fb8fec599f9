//! The books at size: what a page of usage and the daily totals cost among 10 million rows, what keys cost in memory, and
//! how long a start takes with them.
//!
//! Must not know how the store works: it fills tables by SQL, opens the folder as a server does, asks as its API does, and
//! measures.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program whose product is its output")]
#![expect(clippy::disallowed_methods, reason = "measuring time is the purpose")]

mod keys;
mod rows;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use flux::base::tariff::{Tariff, Tariffs};
use flux::base::time::SystemClock;
use flux::store::{Settings, Store};

const USAGE: &str = "\
The books at size. Run through `make bench-ledger`.

  rows [--count N] [--dir DIR]     seeds N (10,000,000) rows of usage, then times pages and totals
  keys [--count N] [--dir DIR]     seeds N keys (without --count: 100,000, then 1,000,000), then times starts
  start DIR                        one start on a folder: milliseconds and bytes, for `keys`

A folder that is named is kept, and used again if it is filled.";

fn main() -> ExitCode {
    // Cargo adds `--bench`; without further arguments nothing is measured, so that `cargo bench` ends.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["rows", options @ ..] => Options::read(options).and_then(|options| rows::run(&options)),
        ["keys", options @ ..] => Options::read(options).and_then(|options| keys::run(&options)),
        ["start", dir] => keys::start_once(Path::new(dir)),
        _ => {
            println!("{USAGE}");
            Ok(())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What is to be measured, and where.
struct Options {
    count: Option<u64>,
    dir: Option<PathBuf>,
}

impl Options {
    fn read(words: &[&str]) -> Result<Self> {
        let mut options = Self { count: None, dir: None };
        for pair in words.chunks(2) {
            match pair {
                ["--count", count] => options.count = Some(count.replace('_', "").parse().context("--count")?),
                ["--dir", dir] => options.dir = Some(PathBuf::from(dir)),
                _ => bail!("not understood: {}\n\n{USAGE}", pair.join(" ")),
            }
        }
        Ok(options)
    }

    /// The folder that was named, or one that goes with the value that is returned.
    fn folder(&self) -> Result<(PathBuf, Option<tempfile::TempDir>)> {
        if let Some(dir) = &self.dir {
            return Ok((dir.clone(), None));
        }
        let dir = tempfile::tempdir()?;
        Ok((dir.path().to_owned(), Some(dir)))
    }
}

/// Opens a data folder as a server does.
fn open(dir: &Path) -> Result<Store> {
    let house = Arc::new(Tariff::unbounded());
    let tariffs = Arc::new(Tariffs::new(vec![Arc::clone(&house)], house));
    let settings = Settings { keys_max: 2_000_000, ..Settings::new(dir) };
    Ok(Store::start(settings, tariffs, Arc::new(SystemClock))?)
}

/// A connection that fills tables as fast as can be; a crash would cost the folder.
fn for_seeding(dir: &Path) -> Result<rusqlite::Connection> {
    let database = rusqlite::Connection::open(dir.join("flux.db"))?;
    database.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -500000; PRAGMA temp_store = MEMORY")?;
    Ok(database)
}

/// How long something takes: the median of `times`.
fn median(times: usize, mut work: impl FnMut() -> Result<()>) -> Result<Duration> {
    let mut taken = Vec::new();
    for _ in 0..times {
        let start = Instant::now();
        work()?;
        taken.push(start.elapsed());
    }
    taken.sort_unstable();
    taken.get(times / 2).copied().context("nothing was measured")
}
