//! Instructions for each request, counted by callgrind, held against the record in `benches/instructions.toml`.
//!
//! Must not know time: counts repeat to about a per cent on any machine, seconds do not. What is compared is the ratio
//! to the bare proxy, which a new compiler or allocator moves along.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;

use crate::load::{Ask, ask_times};
use crate::peers::{Peer, Site};
use crate::script::{Answers, Shape, body};

/// How far the ratio may rise above the record.
const RISE_MAX: f64 = 1.05;
/// A rise has to show in so many counts in a row: a background task that falls into one is not a regression.
const TRIES_MAX: usize = 3;
/// The second run asks so many times what the first asks; the difference is free of start and stop.
const LONG_RUN: usize = 5;
const RECORD: &str = "benches/instructions.toml";
const RECORD_HEAD: &str = "\
# Instructions for each request in user space, as `make bench-instructions` counts them under callgrind, which fails
# when a ratio rises by more than 5 %. Written by `make bench-instructions ARGS=--record`; say in the commit why it rose.
";

/// One count of both servers.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Count {
    bare: u64,
    flux: u64,
}

impl Count {
    fn ratio(self) -> f64 {
        self.flux as f64 / self.bare as f64
    }
}

#[derive(Debug, Default, Deserialize)]
struct Record {
    #[serde(flatten)]
    works: BTreeMap<String, Count>,
}

struct Work {
    name: &'static str,
    shape: Shape,
    body_bytes: usize,
    /// Requests of the short run.
    times: usize,
}

const WORKS: [Work; 4] = [
    Work { name: "unary-1k", shape: Shape::Unary, body_bytes: 1_000, times: 300 },
    Work { name: "unary-20k", shape: Shape::Unary, body_bytes: 20_000, times: 200 },
    Work { name: "unary-200k", shape: Shape::Unary, body_bytes: 200_000, times: 60 },
    Work { name: "stream-200-chunks", shape: Shape::Stream { pace_ms: 0 }, body_bytes: 1_000, times: 20 },
];

pub(crate) fn run(words: &[&str]) -> anyhow::Result<()> {
    let mut is_recording = false;
    let mut flux = crate::compare::default_flux();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "--record" => is_recording = true,
            "--flux" => flux = words.next().context("--flux FILE")?.into(),
            other => bail!("no option {other}"),
        }
    }
    let recorded = if is_recording { Record::default() } else { read_record()? };
    let bench = Bench { site: Site::new(&flux)?, answers: Answers::new() };
    bench.site.settle_in()?;
    let _mock = bench.site.mock()?;
    let mut counts = Vec::new();
    let mut risen = Vec::new();
    println!("{:18} {:>12} {:>12} {:>7} {:>9}", "instructions", "bare Pingora", "Flux", "ratio", "recorded");
    for work in &WORKS {
        let limit = recorded.works.get(work.name).map(|count| count.ratio());
        ensure!(is_recording || limit.is_some(), "{} is not in {RECORD}: ARGS=--record", work.name);
        let count = bench.count_until_below(work, limit.map(|limit| limit * RISE_MAX))?;
        let limit_text = limit.map_or("–".to_owned(), |limit| format!("{limit:.3}"));
        println!("{:18} {:>12} {:>12} {:>7.3} {limit_text:>9}", work.name, count.bare, count.flux, count.ratio());
        if limit.is_some_and(|limit| count.ratio() > limit * RISE_MAX) {
            risen.push(work.name);
        }
        counts.push((work.name, count));
    }
    if is_recording {
        return write_record(&counts);
    }
    ensure!(risen.is_empty(), "risen by more than 5 % above {RECORD}: {}", risen.join(", "));
    Ok(())
}

struct Bench {
    site: Site,
    answers: Answers,
}

impl Bench {
    /// The count with the lowest ratio of those that were needed to get below the limit.
    fn count_until_below(&self, work: &Work, limit: Option<f64>) -> anyhow::Result<Count> {
        let mut best: Option<Count> = None;
        for _ in 0..TRIES_MAX {
            let count = self.count(work)?;
            best = Some(best.filter(|best| best.ratio() <= count.ratio()).unwrap_or(count));
            if limit.is_none_or(|limit| count.ratio() <= limit) {
                break;
            }
        }
        best.context("nothing counted")
    }

    fn count(&self, work: &Work) -> anyhow::Result<Count> {
        let bare = self.each(work, Site::bare).context("bare Pingora")?;
        let flux = self.each(work, Site::flux).context("Flux")?;
        Ok(Count { bare, flux })
    }

    fn each(&self, work: &Work, start: fn(&Site, &[&str]) -> anyhow::Result<Peer>) -> anyhow::Result<u64> {
        let few = self.total(work, work.times, start)?;
        let many = self.total(work, work.times * LONG_RUN, start)?;
        let requests = work.times as u64 * (LONG_RUN as u64 - 1);
        many.checked_sub(few).map(|more| more / requests).context("more requests took fewer instructions")
    }

    fn total(
        &self,
        work: &Work,
        times: usize,
        start: fn(&Site, &[&str]) -> anyhow::Result<Peer>,
    ) -> anyhow::Result<u64> {
        let file = self.site.callgrind_file();
        std::fs::remove_file(&file).ok();
        let out = format!("--callgrind-out-file={}", file.display());
        let mut peer = start(&self.site, &["valgrind", "--tool=callgrind", &out])?;
        let ask =
            Ask::new(peer.address, &peer.key, &body(work.shape, work.body_bytes), self.answers.body_bytes(work.shape));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(ask_times(&ask, times))?;
        peer.interrupt_and_wait()?;
        read_total(&file)
    }
}

fn read_total(file: &Path) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(file).context("callgrind wrote no report")?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals:").or_else(|| line.strip_prefix("summary:")));
    Ok(total.context("no total in callgrind's report")?.trim().parse()?)
}

fn record_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(RECORD)
}

fn read_record() -> anyhow::Result<Record> {
    let text = std::fs::read_to_string(record_path()).context(format!("read {RECORD}; ARGS=--record writes it"))?;
    toml::from_str(&text).context(RECORD)
}

fn write_record(counts: &[(&str, Count)]) -> anyhow::Result<()> {
    let mut text = RECORD_HEAD.to_owned();
    for (name, count) in counts {
        let ratio = count.ratio();
        write!(text, "\n[{name}]\nbare = {}\nflux = {} # {ratio:.3}\n", count.bare, count.flux)?;
    }
    std::fs::write(record_path(), text)?;
    println!("written to {RECORD}");
    Ok(())
}
