//! One JSON line a request, written by a thread of its own.
//!
//! Must not hold a request up: the queue is bounded, and what does not fit is dropped and counted. Must not
//! hold content or secrets: all it knows is an [`Outcome`].

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Serialize;

use crate::base::outcome::Outcome;
use crate::config;

/// How often the thread looks into the queue. It is not woken: a wake-up a line would cost each
/// request a system call.
const POLL: Duration = Duration::from_millis(100);

/// The sending side; cheap to clone.
#[derive(Clone, Debug)]
pub struct RequestLog {
    queue: Option<SyncSender<Box<Outcome>>>,
    dropped: Arc<AtomicU64>,
}

/// The thread, stopped and waited for by [`Writer::stop`].
#[derive(Debug)]
pub struct Writer {
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Starts the thread. The queue holds `queue_max` lines.
///
/// # Errors
/// When the file cannot be opened or the thread not started.
pub fn start(target: &config::RequestLog, queue_max: usize) -> io::Result<(RequestLog, Writer)> {
    let dropped = Arc::new(AtomicU64::new(0));
    let stopping = Arc::new(AtomicBool::new(false));
    let sink: Box<dyn Write + Send> = match target {
        config::RequestLog::Off => {
            return Ok((RequestLog { queue: None, dropped }, Writer { stopping, thread: None }));
        }
        config::RequestLog::Stdout => Box::new(io::stdout()),
        config::RequestLog::File(path) => Box::new(OpenOptions::new().create(true).append(true).open(path)?),
    };
    let (queue, lines) = sync_channel(queue_max);
    let stop = Arc::clone(&stopping);
    let thread = std::thread::Builder::new()
        .name("flux-request-log".to_owned())
        .spawn(move || write_lines(BufWriter::new(sink), &lines, &stop))?;
    Ok((RequestLog { queue: Some(queue), dropped }, Writer { stopping, thread: Some(thread) }))
}

impl RequestLog {
    /// Queues the line of a request; drops and counts it when the queue is full.
    pub fn write(&self, outcome: Outcome) {
        let Some(queue) = &self.queue else { return };
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = queue.try_send(Box::new(outcome)) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lines that were dropped since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Writer {
    /// Writes what is queued, ends the thread and waits for it.
    pub fn stop(mut self) {
        self.stopping.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}

fn write_lines(mut sink: BufWriter<Box<dyn Write + Send>>, lines: &Receiver<Box<Outcome>>, stop: &AtomicBool) {
    let mut is_failing = false;
    loop {
        let is_last = stop.load(Ordering::Acquire);
        let mut result = Ok(());
        while let Ok(outcome) = lines.try_recv() {
            result = result.and(write_line(&mut sink, &outcome));
        }
        result = result.and(sink.flush());
        if let (Err(error), false) = (&result, is_failing) {
            log::warn!("the request log cannot be written: {error}");
        }
        is_failing = result.is_err();
        if is_last {
            return;
        }
        std::thread::sleep(POLL);
    }
}

fn write_line(sink: &mut impl Write, outcome: &Outcome) -> io::Result<()> {
    serde_json::to_writer(&mut *sink, &Line::of(outcome))?;
    sink.write_all(b"\n")
}

/// The line, flat, for whatever collects it.
#[derive(Serialize)]
struct Line<'a> {
    msg: &'static str,
    request_id: String,
    route: &'static str,
    status: u16,
    ending: &'static str,
    account: Option<i64>,
    key: Option<i64>,
    requested: &'a str,
    lane: &'a str,
    model: &'a str,
    provider: &'a str,
    streamed: bool,
    attempts: u8,
    input_tokens: u64,
    cache_read_tokens: u64,
    cache_write_tokens: u64,
    output_tokens: u64,
    reasoning_tokens: u64,
    estimated: bool,
    cost_usd: String,
    latency_us: u64,
    first_byte_us: Option<u64>,
    overhead_us: u64,
    request_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

impl<'a> Line<'a> {
    fn of(outcome: &'a Outcome) -> Self {
        let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let usage = &outcome.usage;
        Self {
            msg: "request",
            request_id: outcome.request_id.to_string(),
            route: outcome.route,
            status: outcome.status,
            ending: outcome.ending.name(),
            account: outcome.key.map(|(account, _)| account.0),
            key: outcome.key.map(|(_, key)| key.0),
            requested: &outcome.requested,
            lane: &outcome.lane,
            model: &outcome.model,
            provider: &outcome.provider,
            streamed: outcome.streamed,
            attempts: outcome.attempts,
            input_tokens: usage.input,
            cache_read_tokens: usage.cache_read,
            cache_write_tokens: usage.cache_write.total(),
            output_tokens: usage.completion_total(),
            reasoning_tokens: usage.reasoning,
            estimated: outcome.estimated,
            cost_usd: outcome.amount.to_string(),
            latency_us: us(outcome.latency),
            first_byte_us: outcome.first_byte.map(us),
            overhead_us: us(outcome.overhead),
            request_bytes: outcome.request_bytes,
            detail: outcome.detail.as_deref(),
        }
    }
}
