//! One JSON line a request, written by a thread of its own.
//!
//! Must not hold a request up: the queue is bounded, and what does not fit is dropped and counted. Must not
//! hold content or secrets: all it knows is an [`Outcome`].

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;

use crate::base::money::NanoUsd;
use crate::base::outcome::{AutoChoice, HedgeEnd, Outcome};
use crate::base::time::UnixMs;
use crate::config;

/// How often the thread looks into the queue. It is not woken: a wake-up a line would cost each
/// request a system call.
const POLL: Duration = Duration::from_millis(100);

/// The sending side; cheap to clone.
#[derive(Clone, Debug)]
pub struct RequestLog {
    queue: Option<SyncSender<Box<Outcome>>>,
    dropped: Arc<AtomicU64>,
    queued: Arc<AtomicUsize>,
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
    let queued = Arc::new(AtomicUsize::new(0));
    let stopping = Arc::new(AtomicBool::new(false));
    let sink: Box<dyn Write + Send> = match target {
        config::RequestLog::Off => {
            return Ok((RequestLog { queue: None, dropped, queued }, Writer { stopping, thread: None }));
        }
        config::RequestLog::Stdout => Box::new(io::stdout()),
        config::RequestLog::File(path) => Box::new(OpenOptions::new().create(true).append(true).open(path)?),
    };
    let (queue, lines) = sync_channel(queue_max);
    let (stop, waiting) = (Arc::clone(&stopping), Arc::clone(&queued));
    let thread = std::thread::Builder::new()
        .name("flux-request-log".to_owned())
        .spawn(move || write_lines(BufWriter::new(sink), &lines, &waiting, &stop))?;
    Ok((RequestLog { queue: Some(queue), dropped, queued }, Writer { stopping, thread: Some(thread) }))
}

impl RequestLog {
    /// Queues the line of a request; drops and counts it when the queue is full.
    pub fn write(&self, outcome: Outcome) {
        let Some(queue) = &self.queue else { return };
        self.queued.fetch_add(1, Ordering::Relaxed);
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = queue.try_send(Box::new(outcome)) {
            self.queued.fetch_sub(1, Ordering::Relaxed);
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lines that wait.
    pub fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
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

fn write_lines(
    mut sink: BufWriter<Box<dyn Write + Send>>,
    lines: &Receiver<Box<Outcome>>,
    waiting: &AtomicUsize,
    stop: &AtomicBool,
) {
    let mut is_failing = false;
    let mut seconds = Seconds::default();
    let mut line = Vec::new();
    loop {
        let is_last = stop.load(Ordering::Acquire);
        let mut result = Ok(());
        while let Ok(outcome) = lines.try_recv() {
            waiting.fetch_sub(1, Ordering::Relaxed);
            Line::write(&mut line, &outcome, &mut seconds);
            result = result.and(sink.write_all(&line));
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

/// The time of a line. Most lines are of the second of the line before, whose text is kept.
#[derive(Default)]
struct Seconds {
    second: u64,
    text: String,
}

impl Seconds {
    /// `2026-07-31T12:00:00` of a time.
    fn text(&mut self, at: UnixMs) -> &str {
        let second = at.0 / 1_000;
        if self.text.is_empty() || self.second != second {
            let timestamp = i64::try_from(second).ok().and_then(|second| Timestamp::from_second(second).ok());
            self.second = second;
            self.text = timestamp.unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%S").to_string();
        }
        &self.text
    }
}

/// One line in the making, flat, for whatever collects it. A serializer would take three times as long.
struct Line<'a>(&'a mut Vec<u8>);

impl<'a> Line<'a> {
    /// Writes the line of a request over what the buffer held.
    fn write(line: &'a mut Vec<u8>, outcome: &Outcome, seconds: &mut Seconds) {
        let Outcome {
            request_id,
            route,
            status,
            ending,
            key,
            lane,
            requested,
            model,
            provider,
            streamed,
            attempts,
            hedge,
            house_cost,
            auto,
            usage,
            estimated,
            amount,
            written_off,
            latency,
            first_byte,
            upstream: _,
            overhead,
            request_bytes,
            detail,
        } = outcome;
        line.clear();
        let at = request_id.at();
        line.extend_from_slice(b"{\"time\":\"");
        line.extend_from_slice(seconds.text(at).as_bytes());
        let [hundreds, tens, ones] = [100, 10, 1].map(|place| b'0' | u8::try_from(at.0 / place % 10).unwrap_or(0));
        line.extend_from_slice(&[b'.', hundreds, tens, ones]);
        line.extend_from_slice(b"Z\",\"level\":\"info\",\"msg\":\"request\"");
        let mut line = Self(line);
        line.raw_text(br#","request_id":"#, &request_id.to_ascii());
        line.text(br#","route":"#, route);
        line.number(br#","status":"#, u64::from(*status));
        line.text(br#","ending":"#, ending.name());
        line.optional(br#","account":"#, key.and_then(|(account, _)| u64::try_from(account.0).ok()));
        line.optional(br#","key":"#, key.and_then(|(_, key)| u64::try_from(key.0).ok()));
        line.text(br#","requested":"#, requested);
        line.text(br#","lane":"#, lane);
        line.text(br#","model":"#, model);
        line.text(br#","provider":"#, provider);
        line.switch(br#","streamed":"#, *streamed);
        line.number(br#","attempts":"#, u64::from(*attempts));
        line.choices(hedge.map(|hedge| (hedge, *house_cost)), auto.as_ref());
        line.number(br#","input_tokens":"#, usage.input);
        line.number(br#","cache_read_tokens":"#, usage.cache_read);
        line.number(br#","cache_write_tokens":"#, usage.cache_write.total());
        line.number(br#","output_tokens":"#, usage.completion_total());
        line.number(br#","reasoning_tokens":"#, usage.reasoning);
        line.switch(br#","estimated":"#, *estimated);
        line.raw_text(br#","cost_usd":"#, amount.to_string().as_bytes());
        if *written_off > NanoUsd::ZERO {
            line.raw_text(br#","written_off_usd":"#, written_off.to_string().as_bytes());
        }
        line.number(br#","latency_us":"#, us(*latency));
        line.optional(br#","first_byte_us":"#, first_byte.map(us));
        line.number(br#","overhead_us":"#, us(*overhead));
        line.number(br#","request_bytes":"#, *request_bytes);
        if let Some(detail) = detail {
            line.text(br#","detail":"#, detail);
        }
        line.0.extend_from_slice(b"}\n");
    }

    /// What was decided on the way.
    fn choices(&mut self, hedge: Option<(HedgeEnd, NanoUsd)>, auto: Option<&AutoChoice>) {
        if let Some((hedge, house_cost)) = hedge {
            self.text(br#","hedge":"#, hedge.name());
            self.raw_text(br#","house_cost_usd":"#, house_cost.to_string().as_bytes());
        }
        if let Some(auto) = auto {
            self.text(br#","route_reason":"#, &auto.reason);
            self.raw_number(br#","score":"#, &auto.score());
            if let Some([_, shadow]) = auto.disagreement {
                self.text(br#","shadow_lane":"#, shadow);
            }
        }
    }

    /// `name` is what stands before the value: a comma, the quoted name and a colon.
    fn text(&mut self, name: &[u8], text: &str) {
        let needs_escape = |byte: u8| matches!(byte, b'"' | b'\\' | 0..b' ');
        if !text.bytes().fold(false, |found, byte| found | needs_escape(byte)) {
            return self.raw_text(name, text.as_bytes());
        }
        self.0.extend_from_slice(name);
        // Writing text to memory does not fail.
        let _ = serde_json::to_writer(&mut *self.0, text);
    }

    /// A text that needs no escapes.
    fn raw_text(&mut self, name: &[u8], text: &[u8]) {
        self.0.extend_from_slice(name);
        self.0.push(b'"');
        self.0.extend_from_slice(text);
        self.0.push(b'"');
    }

    /// A number that is written already.
    fn raw_number(&mut self, name: &[u8], number: &str) {
        self.0.extend_from_slice(name);
        self.0.extend_from_slice(number.as_bytes());
    }

    fn switch(&mut self, name: &[u8], is_on: bool) {
        self.0.extend_from_slice(name);
        self.0.extend_from_slice(if is_on { b"true" } else { b"false" });
    }

    fn optional(&mut self, name: &[u8], number: Option<u64>) {
        if let Some(number) = number {
            self.number(name, number);
        } else {
            self.0.extend_from_slice(name);
            self.0.extend_from_slice(b"null");
        }
    }

    fn number(&mut self, name: &[u8], number: u64) {
        self.0.extend_from_slice(name);
        let mut digits = [b'0'; 20];
        let (mut rest, mut used) = (number, 0);
        for place in digits.iter_mut().rev() {
            *place |= u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
            used += 1;
            if rest == 0 {
                break;
            }
        }
        self.0.extend_from_slice(digits.get(digits.len() - used..).unwrap_or_default());
    }
}

fn us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{AccountId, KeyId, RequestId};
    use crate::base::money::NanoUsd;
    use crate::base::outcome::Ending;
    use crate::base::usage::Usage;

    #[test]
    fn a_line_is_one_json_object() {
        let nothing: Arc<str> = Arc::from("");
        let outcome = Outcome {
            request_id: RequestId::new(UnixMs(1_795_305_600_042), 1),
            route: "chat_completions",
            status: 200,
            ending: Ending::Done,
            key: Some((AccountId(1), KeyId(20))),
            lane: Arc::from("la\"ne\\"),
            requested: nothing.clone(),
            model: Arc::from("m"),
            provider: nothing,
            streamed: true,
            attempts: 10,
            hedge: Some(HedgeEnd::Won),
            house_cost: NanoUsd(1_200),
            auto: Some(AutoChoice {
                gain_milli: -83,
                reason: Arc::from("kind:code"),
                disagreement: Some(["flux-fast", "flux-standard"]),
            }),
            usage: Usage { input: u64::MAX, output: 7, ..Usage::default() },
            estimated: false,
            amount: NanoUsd(33),
            written_off: NanoUsd::ZERO,
            latency: Duration::from_micros(3_040),
            first_byte: None,
            upstream: Duration::ZERO,
            overhead: Duration::ZERO,
            request_bytes: 0,
            detail: Some("two\nlines".to_owned()),
        };
        let mut line = b"what was there before".to_vec();
        Line::write(&mut line, &outcome, &mut Seconds::default());
        assert_eq!(memchr::memchr(b'\n', &line), Some(line.len() - 1));
        let read: serde_json::Value = serde_json::from_slice(&line).unwrap();
        let expected = serde_json::json!({
            "time": "2026-11-22T00:00:00.042Z", "level": "info",
            "msg": "request", "request_id": outcome.request_id.to_string(), "route": "chat_completions", "status": 200,
            "ending": Ending::Done.name(), "account": 1, "key": 20, "requested": "", "lane": "la\"ne\\", "model": "m",
            "provider": "", "streamed": true, "attempts": 10, "hedge": "won", "house_cost_usd": "0.0000012",
            "route_reason": "kind:code", "score": -0.083, "shadow_lane": "flux-standard",
            "input_tokens": u64::MAX, "cache_read_tokens": 0,
            "cache_write_tokens": 0, "output_tokens": 7, "reasoning_tokens": 0, "estimated": false,
            "cost_usd": "0.000000033", "latency_us": 3_040, "first_byte_us": null, "overhead_us": 0, "request_bytes": 0,
            "detail": "two\nlines",
        });
        assert_eq!(read, expected);
    }
}
