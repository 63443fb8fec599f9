//! All works for all peers, turn about, in one run.
//!
//! Must not know how a peer is started or a table printed. The machine's speed drifts, so a figure counts only beside
//! the bare proxy's of the same round.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::time::sleep;

use crate::load::{Ask, Load, OpenStreams};
use crate::peers::{FLUX, Peer, Refusing, Site};
use crate::report::{Figure, Report};
use crate::script::{Answers, Shape, body};

const KB: usize = 1_000;
/// For memory: streams whose events come so slowly that the load is no matter, long enough for all to be open.
const SLOW_PACE_MS: u64 = 2_000;
/// For streams of which nothing more is heard after their first event.
const SILENT_PACE_MS: u64 = 3_600_000;
/// Two of Flux's comments to a client whose provider is silent.
const IDLE_WINDOW: Duration = Duration::from_secs(30);
/// Files that are open beside two for each stream.
const SPARE_FILES: usize = 200;
/// Between two peers, so that what the one left behind is not the other's.
const REST: Duration = Duration::from_millis(200);

struct Options {
    is_quick: bool,
    rounds: usize,
    flux: PathBuf,
}

impl Options {
    fn parse(words: &[&str]) -> anyhow::Result<Self> {
        const ROUNDS: usize = 3;
        let mut options = Self { is_quick: false, rounds: ROUNDS, flux: default_flux() };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--quick" => (options.is_quick, options.rounds) = (true, 1),
                "--rounds" => options.rounds = words.next().context("--rounds N")?.parse()?,
                "--flux" => options.flux = words.next().context("--flux FILE")?.into(),
                other => bail!("no option {other}"),
            }
        }
        Ok(options)
    }

    fn window(&self, work: &Work) -> Duration {
        const QUICK_MS: u64 = 300;
        Duration::from_millis(if self.is_quick { QUICK_MS } else { work.window_ms })
    }

    fn open_streams(&self) -> [usize; 2] {
        if self.is_quick { [50, 100] } else { [1_000, 5_000] }
    }

    fn idle_streams(&self) -> (usize, Duration) {
        if self.is_quick { (200, Duration::from_secs(1)) } else { (10_000, IDLE_WINDOW) }
    }
}

/// A part of the comparison that can be run alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// CPU, latency and throughput of all works.
    Works,
    /// What a provider that refuses connections adds.
    Failovers,
    /// Memory of streams that are open.
    OpenStreams,
    /// Memory of streams that are silent, and the processor time they take.
    IdleStreams,
}

impl Part {
    pub(crate) const ALL: [Self; 4] = [Self::Works, Self::Failovers, Self::OpenStreams, Self::IdleStreams];
}

/// The binary that cargo built along with this program.
pub(crate) fn default_flux() -> PathBuf {
    env!("CARGO_BIN_EXE_flux").into()
}

/// One way to load a server, and what is read off it.
struct Work {
    name: &'static str,
    shape: Shape,
    body_bytes: usize,
    connections: usize,
    /// Between two requests of a connection; without it each asks as fast as it can.
    interval_ms: Option<u64>,
    window_ms: u64,
    figures: &'static [Figure],
}

fn works() -> Vec<Work> {
    use Figure::{AddedP50, AddedP99, Cpu, FirstByte, Rate};
    let mut works = Vec::new();
    let names = [
        (KB, ["1 KB, flat out", "1 KB, one connection", "1 KB, 1,000 a second"], 64),
        (20 * KB, ["20 KB, flat out", "20 KB, one connection", "20 KB, 1,000 a second"], 64),
        (200 * KB, ["200 KB, flat out", "200 KB, one connection", "200 KB, 200 a second"], 320),
    ];
    for (body_bytes, [flat_out, alone, paced], paced_interval_ms) in names {
        let work = |name, connections, interval_ms, figures| {
            let (shape, window_ms) = (Shape::Unary, 2_000);
            Work { name, shape, body_bytes, connections, interval_ms, window_ms, figures }
        };
        works.push(work(flat_out, 64, None, &[Cpu, Rate]));
        works.push(work(alone, 1, None, &[AddedP50, AddedP99]));
        works.push(work(paced, 64, Some(paced_interval_ms), &[Cpu, AddedP50, AddedP99]));
    }
    let stream = |name, pace_ms, connections, interval_ms, window_ms, figures| Work {
        name,
        shape: Shape::Stream { pace_ms },
        body_bytes: KB,
        connections,
        interval_ms,
        window_ms,
        figures,
    };
    works.push(stream("200 chunks, flat out", 0, 16, None, 2_000, &[Cpu, Rate, FirstByte]));
    // Each takes 4 s and the next begins at once: the interval only spreads their starts evenly.
    works.push(stream("200 chunks, 20 ms apart", 20, 200, Some(4_000), 4_000, &[Cpu, FirstByte]));
    works
}

/// What is asked where one provider may stand behind another that refuses connections.
const FAILOVER: Work = Work {
    name: "first target refuses",
    shape: Shape::Unary,
    body_bytes: KB,
    connections: 1,
    interval_ms: None,
    window_ms: 2_000,
    figures: &[Figure::AddedP50, Figure::AddedP99],
};

struct Run {
    options: Options,
    site: Site,
    answers: Answers,
    report: Report,
    /// Files that a process may have open.
    files_max: usize,
}

pub(crate) fn run(parts: &[Part], words: &[&str]) -> anyhow::Result<()> {
    let options = Options::parse(words)?;
    let site = Site::new(&options.flux)?;
    let files_max = site.settle_in()?;
    let mut run = Run { options, site, answers: Answers::new(), report: Report::default(), files_max };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mock = run.site.mock()?;
        for part in parts {
            match part {
                Part::Works => run.load_works(&mock).await?,
                Part::Failovers => run.failovers().await?,
                Part::OpenStreams => run.open_streams().await?,
                Part::IdleStreams => run.idle_streams().await?,
            }
        }
        anyhow::Ok(())
    })?;
    println!("{}", run.report);
    Ok(())
}

impl Run {
    async fn load_works(&mut self, mock: &Peer) -> anyhow::Result<()> {
        let mut peers = vec![self.site.bare(&[])?];
        match self.site.nginx()? {
            Some(nginx) => peers.push(nginx),
            None => println!("nginx is not installed and left out"),
        }
        peers.push(self.site.flux(&[])?);
        let works = works();
        for round in 1..=self.options.rounds {
            for work in &works {
                eprintln!("round {round} of {}: {}", self.options.rounds, work.name);
                self.measure(work, mock, &peers).await?;
            }
        }
        Ok(())
    }

    /// One window for each peer, and for the mock alone where latency is asked for.
    async fn measure(&mut self, work: &Work, mock: &Peer, peers: &[Peer]) -> anyhow::Result<()> {
        let text = body(work.shape, work.body_bytes);
        let is_added = |figure: &Figure| matches!(figure, Figure::AddedP50 | Figure::AddedP99);
        let direct = if work.figures.iter().any(is_added) {
            let (latencies, _) = self.window(work, mock, &text).await.context("the mock alone")?;
            latencies
        } else {
            [0.0; 2]
        };
        for peer in peers {
            let ([p50, p99], sample) = self.window(work, peer, &text).await.with_context(|| peer.name)?;
            for figure in work.figures {
                let value = match figure {
                    Figure::Cpu => sample.cpu_us,
                    Figure::Rate => sample.rate,
                    Figure::FirstByte => sample.first_byte_us,
                    Figure::AddedP50 => p50 - direct[0],
                    Figure::AddedP99 => p99 - direct[1],
                    Figure::IdleMemory | Figure::StreamMemory | Figure::IdleCpu => continue,
                };
                self.report.add(work.name, *figure, peer.name, value);
            }
        }
        Ok(())
    }

    async fn window(&self, work: &Work, peer: &Peer, text: &str) -> anyhow::Result<([f64; 2], Sample)> {
        const WARM_UP_MS: u64 = 300;
        let ask = Ask::new(peer.address, &peer.key, text, self.answers.body_bytes(work.shape));
        let interval = work.interval_ms.map(Duration::from_millis);
        let mut load = Load::start(&ask, work.connections, interval);
        sleep(Duration::from_millis(WARM_UP_MS.max(work.interval_ms.unwrap_or(0)))).await;
        let cpu_before = peer.cpu_seconds()?;
        load.start_recording();
        sleep(self.options.window(work)).await;
        let counted = load.stop_recording()?;
        let cpu_seconds = peer.cpu_seconds()? - cpu_before;
        load.end().await?;
        sleep(REST).await;
        let sample = Sample {
            cpu_us: cpu_seconds * 1e6 / counted.answers,
            rate: counted.answers / counted.seconds,
            first_byte_us: counted.first_byte_us(0.5),
        };
        Ok(([counted.whole_us(0.5), counted.whole_us(0.99)], sample))
    }

    /// What it adds to pass over a provider that refuses connections: two servers that differ in the first provider's
    /// address alone, turn about.
    async fn failovers(&mut self) -> anyhow::Result<()> {
        let refusing = Refusing::new()?;
        let text =
            body(Shape::Unary, KB).replace(r#""model":"gpt-4o-mini""#, r#""model":"flux-pinned-deepseek-flash""#);
        let well = self.site.flux_of_two(self.site.mock_port())?;
        let failing = self.site.flux_of_two(refusing.port()?)?;
        for round in 1..=self.options.rounds {
            eprintln!("round {round} of {}: {}", self.options.rounds, FAILOVER.name);
            let ([well_p50, well_p99], _) = self.window(&FAILOVER, &well, &text).await?;
            let ([p50, p99], _) = self.window(&FAILOVER, &failing, &text).await?;
            self.report.add(FAILOVER.name, Figure::AddedP50, FLUX, p50 - well_p50);
            self.report.add(FAILOVER.name, Figure::AddedP99, FLUX, p99 - well_p99);
        }
        Ok(())
    }

    /// Memory of fresh servers: idle after one answer, and for each stream that is held open.
    async fn open_streams(&mut self) -> anyhow::Result<()> {
        for start in STARTS {
            let Some((peer, idle_kib)) = self.fresh(start).await? else { continue };
            self.report.add("idle", Figure::IdleMemory, peer.name, idle_kib / 1_024.0);
            let mut open = self.streams(&peer, SLOW_PACE_MS);
            for count in self.options.open_streams() {
                let count = self.possible(count);
                eprintln!("{}: {count} open streams", peer.name);
                open.open_up_to(count).await.with_context(|| peer.name)?;
                sleep(Duration::from_millis(SLOW_PACE_MS)).await;
                open.fail_if_ended()?;
                let each_kib = (peer.resident_kib()? - idle_kib) / count as f64;
                self.report.add(&format!("{count} open streams"), Figure::StreamMemory, peer.name, each_kib);
            }
        }
        Ok(())
    }

    /// Memory and processor time of fresh servers while many streams say nothing at all.
    async fn idle_streams(&mut self) -> anyhow::Result<()> {
        let (wanted, window) = self.options.idle_streams();
        let count = self.possible(wanted);
        if count < wanted {
            println!("only {count} streams fit into {} open files; raise the hard limit for {wanted}", self.files_max);
        }
        for (start, what) in IDLE_STARTS {
            let Some((peer, idle_kib)) = self.fresh(start).await? else { continue };
            let work = format!("{count} {what}");
            eprintln!("{}: {work}", peer.name);
            let mut open = self.streams(&peer, SILENT_PACE_MS);
            open.open_up_to(count).await.with_context(|| peer.name)?;
            sleep(REST).await;
            let cpu_before = peer.cpu_seconds()?;
            sleep(window).await;
            let cpu_us = (peer.cpu_seconds()? - cpu_before) * 1e6 / window.as_secs_f64();
            open.fail_if_ended()?;
            let each_kib = (peer.resident_kib()? - idle_kib) / count as f64;
            self.report.add(&work, Figure::StreamMemory, peer.name, each_kib);
            self.report.add(&work, Figure::IdleCpu, peer.name, cpu_us);
        }
        Ok(())
    }

    /// A server that has answered once, and its memory in KiB then.
    async fn fresh(&self, start: Start) -> anyhow::Result<Option<(Peer, f64)>> {
        let Some(peer) = start(&self.site)? else { return Ok(None) };
        let unary = body(Shape::Unary, KB);
        let ask = Ask::new(peer.address, &peer.key, &unary, self.answers.body_bytes(Shape::Unary));
        crate::load::ask_times(&ask, 1).await?;
        sleep(REST).await;
        let idle_kib = peer.resident_kib()?;
        Ok(Some((peer, idle_kib)))
    }

    fn streams(&self, peer: &Peer, pace_ms: u64) -> OpenStreams {
        let shape = Shape::Stream { pace_ms };
        OpenStreams::new(&Ask::new(peer.address, &peer.key, &body(shape, KB), self.answers.body_bytes(shape)))
    }

    /// As many streams as a server has files for.
    fn possible(&self, count: usize) -> usize {
        count.min(self.files_max.saturating_sub(SPARE_FILES) / 2)
    }
}

/// Whose streams are held open, one after the other.
const STARTS: [Start; 3] = [|site| site.bare(&[]).map(Some), Site::nginx, |site| site.flux(&[]).map(Some)];

/// The same of streams that are silent, and what they are called: Flux as much without a word as the others, and with the
/// comments that it sends as it ships.
const IDLE_STARTS: [(Start, &str); 4] = [
    (STARTS[0], "idle streams"),
    (STARTS[1], "idle streams"),
    (|site| site.flux_patient(0).map(Some), "idle streams"),
    (|site| site.flux_patient(15_000).map(Some), "idle, with comments"),
];

/// Starts a server, if it is installed.
type Start = fn(&Site) -> anyhow::Result<Option<Peer>>;

struct Sample {
    cpu_us: f64,
    rate: f64,
    first_byte_us: f64,
}
