//! The clients: connections that ask one thing over and over, and count and time the answers.
//!
//! Must not know who is measured. Every connection waits for its answer before it asks again (a closed loop); an answer
//! that is not 200, too short or cut is an error that ends the run, never a figure.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::histogram::Histogram;
use crate::http::{Body, Head};

/// An answer that takes longer than this is lost.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(2);
/// For the answers under way when the load ends; then they are cut.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);
/// Opened at once when many are to stay open.
const OPENING_MAX: usize = 100;
const READ_BYTES: usize = 16 << 10;

/// What is asked of whom.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) address: SocketAddr,
    /// Head and body, ready to be written.
    pub(crate) request: Arc<Vec<u8>>,
    /// The least that an answer's body must have.
    pub(crate) body_bytes_min: usize,
}

impl Ask {
    pub(crate) fn new(address: SocketAddr, key: &str, body: &str, body_bytes_min: usize) -> Self {
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\n\
             content-type: application/json\r\naccept: application/json\r\nuser-agent: OpenAI/Python 2.0.0\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        Self { address, request: Arc::new([head.as_bytes(), body.as_bytes()].concat()), body_bytes_min }
    }
}

/// What all connections of one load write to.
struct Shared {
    ask: Ask,
    is_recording: AtomicBool,
    is_stopping: AtomicBool,
    body_bytes: AtomicU64,
    first_byte: Histogram,
    whole: Histogram,
}

/// What was counted from the start of recording to its end.
pub(crate) struct Counted {
    /// Answers, where one that was under way counts by its share of bytes.
    pub(crate) answers: f64,
    pub(crate) seconds: f64,
    shared: Arc<Shared>,
}

impl Counted {
    /// Microseconds to the first byte of the body.
    pub(crate) fn first_byte_us(&self, share: f64) -> f64 {
        self.shared.first_byte.quantile(share) / 1e3
    }

    /// Microseconds to the last byte.
    pub(crate) fn whole_us(&self, share: f64) -> f64 {
        self.shared.whole.quantile(share) / 1e3
    }
}

/// Running connections. Dropping it cuts them.
pub(crate) struct Load {
    shared: Arc<Shared>,
    workers: JoinSet<anyhow::Result<()>>,
    began: Instant,
}

impl Load {
    /// Starts the connections; each asks at once after an answer, or at every `interval`, the connections in turn.
    pub(crate) fn start(ask: &Ask, connections: usize, interval: Option<Duration>) -> Self {
        let shared = Arc::new(Shared {
            ask: ask.clone(),
            is_recording: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
            body_bytes: AtomicU64::new(0),
            first_byte: Histogram::new(),
            whole: Histogram::new(),
        });
        let mut workers = JoinSet::new();
        for number in 0..connections {
            let shared = Arc::clone(&shared);
            let share = number as f64 / connections as f64;
            workers.spawn(async move {
                let delay = interval.map_or(Duration::ZERO, |interval| interval.mul_f64(share));
                ask_over_and_over(&shared, delay, interval).await
            });
        }
        Self { shared, workers, began: Instant::now() }
    }

    pub(crate) fn start_recording(&mut self) {
        self.shared.body_bytes.store(0, Ordering::Relaxed);
        self.shared.is_recording.store(true, Ordering::Relaxed);
        self.began = Instant::now();
    }

    pub(crate) fn stop_recording(&mut self) -> anyhow::Result<Counted> {
        let seconds = self.began.elapsed().as_secs_f64();
        self.shared.is_recording.store(false, Ordering::Relaxed);
        self.fail_if_broken()?;
        let shared = Arc::clone(&self.shared);
        let answers = shared.body_bytes.load(Ordering::Relaxed) as f64 / shared.ask.body_bytes_min as f64;
        ensure!(answers > 0.0, "no answers at all");
        Ok(Counted { answers, seconds, shared })
    }

    /// Lets what is under way end, for a moment.
    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        self.shared.is_stopping.store(true, Ordering::Relaxed);
        let all = async {
            while let Some(ended) = self.workers.join_next().await {
                ended??;
            }
            anyhow::Ok(())
        };
        timeout(DRAIN_TIMEOUT, all).await.unwrap_or(Ok(()))
    }

    fn fail_if_broken(&mut self) -> anyhow::Result<()> {
        while let Some(ended) = self.workers.try_join_next() {
            ended?.context("a connection broke")?;
        }
        Ok(())
    }
}

/// So many requests one after the other on one connection.
pub(crate) async fn ask_times(ask: &Ask, times: usize) -> anyhow::Result<()> {
    let mut link = Link::open(ask.address).await?;
    for _ in 0..times {
        link.ask(ask, &mut |_, _| ()).await?;
    }
    Ok(())
}

async fn ask_over_and_over(shared: &Shared, delay: Duration, interval: Option<Duration>) -> anyhow::Result<()> {
    let mut due = Instant::now() + delay;
    if interval.is_some() {
        tokio::time::sleep_until(due).await;
    }
    let mut link = Link::open(shared.ask.address).await?;
    while !shared.is_stopping.load(Ordering::Relaxed) {
        let is_recording = || shared.is_recording.load(Ordering::Relaxed);
        let mut is_first = true;
        let mut note = |bytes, elapsed| {
            shared.body_bytes.fetch_add(bytes, Ordering::Relaxed);
            if std::mem::take(&mut is_first) && is_recording() {
                shared.first_byte.record(nanoseconds(elapsed));
            }
        };
        let whole = link.ask(&shared.ask, &mut note).await?;
        if is_recording() {
            shared.whole.record(nanoseconds(whole));
        }
        if let Some(interval) = interval {
            due = (due + interval).max(Instant::now());
            tokio::time::sleep_until(due).await;
        }
    }
    Ok(())
}

/// Streams that stay open until this is dropped.
pub(crate) struct OpenStreams {
    streams: JoinSet<anyhow::Result<()>>,
    ask: Ask,
}

impl OpenStreams {
    pub(crate) fn new(ask: &Ask) -> Self {
        Self { streams: JoinSet::new(), ask: ask.clone() }
    }

    /// Opens streams until there are `count`; returns when each has its first byte.
    pub(crate) async fn open_up_to(&mut self, count: usize) -> anyhow::Result<()> {
        while self.streams.len() < count {
            let mut first_bytes = Vec::with_capacity(OPENING_MAX);
            for _ in self.streams.len()..count.min(self.streams.len() + OPENING_MAX) {
                let (sender, receiver) = tokio::sync::oneshot::channel();
                first_bytes.push(receiver);
                let ask = self.ask.clone();
                self.streams.spawn(async move {
                    let mut sender = Some(sender);
                    let mut tell = |_, _| _ = sender.take().map(|sender| sender.send(()));
                    Link::open(ask.address).await?.ask_untimed(&ask, &mut tell).await.map(|_| ())
                });
            }
            for first_byte in first_bytes {
                if timeout(ANSWER_TIMEOUT, first_byte).await?.is_err() {
                    self.fail_if_ended()?;
                }
            }
        }
        self.fail_if_ended()
    }

    /// Every stream has to be open still.
    pub(crate) fn fail_if_ended(&mut self) -> anyhow::Result<()> {
        match self.streams.try_join_next() {
            None => Ok(()),
            Some(ended) => ended?.and_then(|()| bail!("a stream ended before all were open")),
        }
    }
}

/// One kept-alive connection.
struct Link {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Link {
    async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("connect to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; READ_BYTES] })
    }

    /// Asks once, tells `on_bytes` of each part of the body and how long it took to come; returns how long all took.
    async fn ask(&mut self, ask: &Ask, on_bytes: &mut impl FnMut(u64, Duration)) -> anyhow::Result<Duration> {
        timeout(ANSWER_TIMEOUT, self.ask_untimed(ask, on_bytes)).await.context("no answer in time")?
    }

    async fn ask_untimed(&mut self, ask: &Ask, on_bytes: &mut impl FnMut(u64, Duration)) -> anyhow::Result<Duration> {
        let began = Instant::now();
        self.stream.write_all(&ask.request).await?;
        let (mut body, mut arrived) = self.read_head().await?;
        let mut counted = 0;
        loop {
            body.take(&self.buffer[arrived.clone()])?;
            if body.bytes > counted {
                on_bytes((body.bytes - counted) as u64, began.elapsed());
                counted = body.bytes;
            }
            if body.is_done() {
                break;
            }
            arrived = 0..self.read(0).await?;
        }
        let expected = ask.body_bytes_min;
        ensure!(body.bytes >= expected, "an answer of {} bytes instead of {expected}", body.bytes);
        Ok(began.elapsed())
    }

    /// Reads until the head is whole; also tells where in the buffer the body begins.
    async fn read_head(&mut self) -> anyhow::Result<(Body, std::ops::Range<usize>)> {
        let mut filled = 0;
        loop {
            filled += self.read(filled).await?;
            let Some(head) = Head::find(&self.buffer[..filled]) else { continue };
            if head.status() != b"200" {
                bail!("refused: {}", String::from_utf8_lossy(&self.buffer[..filled]));
            }
            return Ok((Body::of(&head)?, head.bytes()..filled));
        }
    }

    async fn read(&mut self, filled: usize) -> anyhow::Result<usize> {
        ensure!(filled < self.buffer.len(), "a head that does not end");
        let bytes = self.stream.read(&mut self.buffer[filled..]).await?;
        ensure!(bytes > 0, "the connection was closed before the answer was whole");
        Ok(bytes)
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
