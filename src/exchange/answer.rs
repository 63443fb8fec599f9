//! The provider's answer as it comes in: what is held, what goes on, when it is complete.
//!
//! Must not write to a socket: it says what may be sent. Until the first `Flow::Send` nothing has
//! gone out, so a failure may still be answered by another attempt.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::Exchange;
use super::close::Settlement;
use super::count::Purpose;
use super::outgoing::{Outgoing, with_cost};
use super::retry::{Failure, StatusVerdict, judge_status};
use super::translation::Translation;
use crate::base::outcome::{Charge, Ending};
use crate::base::refusal::Refusal;
use crate::base::usage::Usage;
use crate::base::wire_format::WireFormat;
use crate::meter::{Asked, Piece, Pieces, StreamBounds, StreamMeter};
use crate::translate;
use crate::translate::error::{Cause, Verdict};
use crate::wire;

/// A provider's error answer longer than this is cut: only its error object is of use.
const ERROR_BYTES_MAX: usize = 64 << 10;
/// Of an answer too large to be held, the end is kept: that is where usage stands.
const TAIL_BYTES: usize = 64 << 10;

/// Where the current attempt's answer stands.
#[derive(Debug)]
pub(super) enum Answer {
    /// No head yet.
    Awaiting,
    /// A JSON answer, held until it is whole.
    Whole { held: BytesMut, as_stream: bool },
    /// A JSON answer too large to be held: it streams on, its end is kept for the meter.
    Oversize { tail: BytesMut, bytes_total: u64, early: Option<Usage> },
    /// A stream; `is_open` once content has gone out.
    Events { meter: Box<StreamMeter>, held: BytesMut, is_open: bool },
    /// A stream in another format than the client's, or a whole one that just came in; `is_open` once content has
    /// gone out.
    Translated { translation: Box<Translation>, is_open: bool },
    /// The provider refused the request; its error object is being read.
    Rejected { status: u16, held: BytesMut },
    /// All has been sent.
    Complete,
}

/// What may be sent now.
#[derive(Debug, PartialEq, Eq)]
pub enum Flow {
    /// Nothing yet.
    Hold,
    /// These bytes; with the first of them the head goes out.
    Send(Bytes),
}

/// Why the answer does not go on.
#[derive(Debug)]
pub enum Stop {
    /// The attempt failed; another may follow if nothing was sent.
    Failed(Failure),
    /// The client gets this refusal.
    Refused(Box<Refusal>),
    /// The charge could not be kept: the answer must not be completed.
    Unsettled,
}

/// Keeps a charge durably; `false` when it could not be kept.
pub type Keep<'a> = &'a dyn Fn(&Charge) -> bool;

/// What the shell says about a provider's head.
#[derive(Clone, Copy, Debug)]
pub struct ProviderHead {
    /// HTTP status.
    pub status: u16,
    /// Whether the content type is `text/event-stream`.
    pub is_event_stream: bool,
    /// The provider's `retry-after`, if it sent one.
    pub retry_after: Option<Duration>,
    /// How long our key has nothing left, if the provider says so.
    pub key_rests: Option<Duration>,
}

impl Answer {
    /// Whether content has gone out, so that no other attempt may follow.
    pub(super) fn is_open(&self) -> bool {
        match self {
            Self::Awaiting | Self::Whole { .. } | Self::Rejected { .. } => false,
            Self::Events { is_open, .. } | Self::Translated { is_open, .. } => *is_open,
            Self::Oversize { .. } | Self::Complete => true,
        }
    }
}

impl Exchange {
    /// Takes the head of the provider's answer.
    ///
    /// # Errors
    /// `Stop::Failed` when its status is the provider's fault, or it streams where a whole answer was
    /// asked for.
    pub fn on_head(&mut self, head: ProviderHead, now: Instant) -> Result<(), Stop> {
        if let Some(wait) = head.key_rests {
            self.rest_key(wait, now);
        }
        match judge_status(head.status) {
            StatusVerdict::Interim => Ok(()),
            StatusVerdict::Failed(failure) if head.retry_after.is_some() || !self.tells_wait_in_body(failure) => {
                self.note_wait(head.retry_after);
                Err(Stop::Failed(failure))
            }
            StatusVerdict::Failed(_) | StatusVerdict::Rejected => {
                self.leg.answer = Answer::Rejected { status: head.status, held: BytesMut::new() };
                Ok(())
            }
            StatusVerdict::Answer if head.is_event_stream && !self.is_streamed() => {
                Err(Stop::Failed(Failure::BadAnswer))
            }
            StatusVerdict::Answer if head.is_event_stream && self.is_translated() => self.open_translation(),
            StatusVerdict::Answer if head.is_event_stream => {
                self.leg.answer = self.new_events();
                Ok(())
            }
            StatusVerdict::Answer => {
                self.leg.answer = Answer::Whole { held: BytesMut::new(), as_stream: self.is_streamed() };
                Ok(())
            }
        }
    }

    /// Takes a piece of the body. `is_end` with the last one, which may be empty.
    ///
    /// # Errors
    /// See [`Stop`].
    pub fn on_chunk(&mut self, chunk: Bytes, is_end: bool, now: Instant, keep: Keep<'_>) -> Result<Flow, Stop> {
        let flow = match &mut self.leg.answer {
            Answer::Awaiting | Answer::Complete => Flow::Hold,
            Answer::Whole { .. } => return self.on_whole(chunk, is_end, now, keep),
            Answer::Oversize { tail, bytes_total, .. } => {
                *bytes_total = bytes_total.saturating_add(length(&chunk));
                keep_tail(tail, &chunk);
                if is_end {
                    return self.finish_oversize(chunk, now, keep);
                }
                Flow::Send(chunk)
            }
            Answer::Events { .. } => return self.on_events(chunk, is_end, now, keep),
            Answer::Translated { .. } => return self.on_translated(chunk, is_end, now, keep),
            Answer::Rejected { status, held } => {
                let room = ERROR_BYTES_MAX.saturating_sub(held.len());
                held.extend_from_slice(chunk.get(..room.min(chunk.len())).unwrap_or_default());
                if is_end {
                    let (status, held) = (*status, held.split());
                    return Err(self.on_rejected(status, &held));
                }
                Flow::Hold
            }
        };
        Ok(flow)
    }

    /// Whether a chunk in the middle of the body goes on as it is, with nothing to decide: nearly every chunk of
    /// a stream. It is metered then, and [`Self::on_chunk`] must not see it.
    #[inline]
    pub fn passes(&mut self, chunk: &[u8]) -> bool {
        let Answer::Events { meter, is_open: true, .. } = &mut self.leg.answer else { return false };
        meter.text_bytes_total() <= self.leg.text_bytes_max && meter.passes(chunk)
    }

    /// Whether the whole answer has been handed out.
    pub fn is_complete(&self) -> bool {
        matches!(self.leg.answer, Answer::Complete)
    }

    /// What shows a client that waits for a stream that we are there: a comment, or Anthropic's own ping once its
    /// message has begun. `None` where nothing can be put in.
    pub fn keep_alive(&self) -> Option<Bytes> {
        const COMMENT: &[u8] = b": keep-alive\n\n";
        const PING: &[u8] = b"event: ping\ndata: {\"type\": \"ping\"}\n\n";
        let is_between_events = match &self.leg.answer {
            Answer::Events { meter, .. } => meter.is_between_frames(),
            Answer::Awaiting | Answer::Whole { .. } | Answer::Translated { .. } | Answer::Rejected { .. } => true,
            Answer::Oversize { .. } | Answer::Complete => false,
        };
        let has_ping = self.is_open() && self.arrival.format == WireFormat::AnthropicMessages;
        (self.is_streamed() && is_between_events).then(|| Bytes::from_static(if has_ping { PING } else { COMMENT }))
    }

    /// Whether content has gone out.
    pub fn is_open(&self) -> bool {
        self.leg.answer.is_open()
    }

    /// Whether the answer goes to the client as a stream of events.
    pub fn answers_as_stream(&self) -> bool {
        match &self.leg.answer {
            Answer::Events { .. } => true,
            Answer::Translated { .. } => self.head.stream,
            Answer::Whole { as_stream, .. } => *as_stream,
            Answer::Awaiting | Answer::Oversize { .. } | Answer::Rejected { .. } | Answer::Complete => false,
        }
    }

    /// The provider failed after content had gone out: the last frame for the client, if the answer is a
    /// stream. What was sent so far costs nothing.
    pub fn cut(&mut self, failure: Failure, now: Instant, keep: Keep<'_>) -> Option<Bytes> {
        self.fail(failure, now);
        self.settle_free(Ending::Cut, now, keep);
        let refusal = super::retry::broken_off();
        let event = || wire::refusal::stream_event(&refusal, self.arrival.format, self.arrival.id);
        match std::mem::replace(&mut self.leg.answer, Answer::Complete) {
            Answer::Events { .. } => Some(event()),
            Answer::Translated { mut translation, .. } => Some(translation.failed(&refusal, event)),
            Answer::Awaiting
            | Answer::Whole { .. }
            | Answer::Oversize { .. }
            | Answer::Rejected { .. }
            | Answer::Complete => None,
        }
    }

    fn new_events(&self) -> Answer {
        let limits = &self.snapshot.config.limits;
        let bounds = StreamBounds {
            frame_bytes_max: limits.sse_frame_bytes_max,
            text_bytes_max: limits.estimate_text_bytes_max,
        };
        let asked = Asked { usage: self.asked_for_usage };
        let meter = StreamMeter::new(self.arrival.format, self.usage_quirks(), asked, bounds);
        Answer::Events { meter: Box::new(meter), held: BytesMut::new(), is_open: false }
    }

    /// An error answer is in.
    fn on_rejected(&mut self, status: u16, body: &[u8]) -> Stop {
        if let StatusVerdict::Failed(failure) = judge_status(status) {
            self.note_wait(translate::error::wait_told(body));
            return Stop::Failed(failure);
        }
        if self.arrival.purpose == Purpose::Count && self.is_translated() {
            // The client's question was fine; it is answered here.
            return Stop::Failed(Failure::BadAnswer);
        }
        self.on_verdict(translate::error::judge(status, body))
    }

    /// A provider's 4xx may speak of the client's request, of our account, or of the target.
    fn on_verdict(&mut self, verdict: Verdict) -> Stop {
        match verdict {
            Verdict::Refuse(refusal) => Stop::Refused(Box::new(self.in_clients_places(*refusal))),
            Verdict::Fail(Cause::Credentials) => Stop::Failed(Failure::Credentials),
            Verdict::Fail(Cause::UnknownModel) => Stop::Failed(Failure::UnknownModel),
            Verdict::TooLong(refusal) => {
                if self.skip_smaller_windows() {
                    Stop::Failed(Failure::ContextTooLong)
                } else {
                    Stop::Refused(refusal)
                }
            }
        }
    }

    fn on_whole(&mut self, chunk: Bytes, is_end: bool, now: Instant, keep: Keep<'_>) -> Result<Flow, Stop> {
        let held_bytes_max = self.snapshot.config.limits.unary_held_bytes_max;
        let is_translated = self.is_translated();
        let Answer::Whole { held, as_stream } = &mut self.leg.answer else { return Ok(Flow::Hold) };
        if is_end && held.is_empty() {
            let as_stream = *as_stream;
            return self.finish_whole(chunk, as_stream, now, keep);
        }
        held.extend_from_slice(&chunk);
        if is_end {
            let (whole, as_stream) = (held.split().freeze(), *as_stream);
            return self.finish_whole(whole, as_stream, now, keep);
        }
        if held.len() <= held_bytes_max {
            return Ok(Flow::Hold);
        }
        if *as_stream || is_translated {
            return Err(Stop::Failed(Failure::TooLarge));
        }
        let sent = held.split().freeze();
        let mut tail = BytesMut::new();
        keep_tail(&mut tail, &sent);
        let early = wire::tail::leading_usage(self.arrival.format, &sent, self.usage_quirks());
        self.leg.answer = Answer::Oversize { tail, bytes_total: length(&sent), early };
        self.note_content(now);
        Ok(Flow::Send(sent))
    }

    fn finish_whole(&mut self, whole: Bytes, as_stream: bool, now: Instant, keep: Keep<'_>) -> Result<Flow, Stop> {
        if self.arrival.purpose == Purpose::Count {
            return self.finish_count(whole);
        }
        let format = self.arrival.format;
        // A stream of responses repeats so much that only the format's writer can make one of a whole answer.
        if self.is_translated() || (as_stream && format == WireFormat::OpenaiResponses) {
            return self.finish_whole_translated(&whole, as_stream, now, keep);
        }
        if !format.is_conversation() {
            return self.finish_counted(whole, now, keep);
        }
        let read = wire::usage::read_answer(format, &whole, self.usage_quirks());
        let answer = read.map_err(|_| Stop::Failed(Failure::BadAnswer))?;
        if answer.is_error {
            return Err(Stop::Failed(Failure::ErrorEvent));
        }
        if as_stream {
            let frames = translate::restream::frames(format, &whole).map_err(|_| Stop::Failed(Failure::BadAnswer))?;
            self.leg.answer = self.new_events();
            return self.on_events(frames, true, now, keep);
        }
        self.note_content(now);
        let settlement = match answer.usage {
            Some(usage) => self.price(usage, answer.service_tier.as_deref()),
            None => self.price_estimated(&whole),
        };
        self.settle(settlement, Ending::Done, now, keep)?;
        self.leg.answer = Answer::Complete;
        Ok(Flow::Send(whole))
    }

    fn finish_oversize(&mut self, last: Bytes, now: Instant, keep: Keep<'_>) -> Result<Flow, Stop> {
        let Answer::Oversize { tail, bytes_total, early } = &self.leg.answer else { return Ok(Flow::Hold) };
        let late = wire::tail::usage(self.arrival.format, tail, self.usage_quirks());
        let settlement = match late.or(*early) {
            Some(usage) => self.price_by_request(usage),
            None => self.price_estimated_of(tail, *bytes_total),
        };
        self.settle(settlement, Ending::Done, now, keep)?;
        self.leg.answer = Answer::Complete;
        Ok(Flow::Send(last))
    }

    fn on_events(&mut self, chunk: Bytes, is_end: bool, now: Instant, keep: Keep<'_>) -> Result<Flow, Stop> {
        let Answer::Events { meter, is_open, .. } = &mut self.leg.answer else { return Ok(Flow::Hold) };
        let was_open = *is_open;
        let mut pieces = Pieces::new();
        meter.push(chunk, &mut pieces);
        if is_end {
            meter.finish(&mut pieces);
        }
        let opens = meter.opened();
        let mut out = Outgoing::default();
        if let (true, false, Answer::Events { held, .. }) = (opens, was_open, &mut self.leg.answer) {
            out.push(held.split().freeze());
        }
        for piece in pieces {
            self.on_piece(piece, &mut out, now, keep)?;
        }
        if is_end && !self.is_complete() {
            self.end_of_events(&mut out, now, keep)?;
        }
        if let Answer::Events { held, is_open, .. } = &mut self.leg.answer {
            if !opens {
                out.parts.iter().for_each(|part| held.extend_from_slice(part));
                return Ok(Flow::Hold);
            }
            *is_open = true;
        }
        if !was_open {
            self.note_content(now);
        }
        if self.has_outgrown() {
            out.parts.extend(self.pay_or_end(now, keep)?);
        }
        Ok(out.into_flow())
    }

    fn on_piece(&mut self, piece: Piece, out: &mut Outgoing, now: Instant, keep: Keep<'_>) -> Result<(), Stop> {
        match piece {
            Piece::Frames(bytes) => out.push(bytes),
            Piece::UsageFrame { bytes, cost_at } => {
                let priced = self.price_seen();
                match (cost_at, priced) {
                    (Some(at), Some(mut settlement)) if !self.is_test() => {
                        settlement.amount = self.admission.payable(settlement.amount);
                        out.push(with_cost(&bytes, at, &settlement));
                    }
                    _ => out.push(bytes),
                }
            }
            Piece::Terminator(_) if self.is_empty_stream() => return Err(Stop::Failed(Failure::CutStream)),
            Piece::Terminator(bytes) => {
                self.complete_events(now, keep)?;
                out.push(self.cost_comment());
                out.push(bytes);
            }
            Piece::ErrorEvent { .. } if !self.is_open() => return Err(Stop::Failed(Failure::ErrorEvent)),
            Piece::ErrorEvent { .. } => {
                if let Some(event) = self.cut(Failure::ErrorEvent, now, keep) {
                    out.push(event);
                }
            }
        }
        Ok(())
    }

    /// A stream that ends before it said anything, not even why it stopped: the provider's fault.
    fn is_empty_stream(&self) -> bool {
        let Answer::Events { meter, is_open, .. } = &self.leg.answer else { return false };
        !is_open && !meter.opened() && !meter.has_finish_reason()
    }

    /// The body ended without a terminator. A stream that named its finish reason is whole: some hosts
    /// leave `[DONE]` out. Any other was cut.
    fn end_of_events(&mut self, out: &mut Outgoing, now: Instant, keep: Keep<'_>) -> Result<(), Stop> {
        let Answer::Events { meter, .. } = &self.leg.answer else { return Ok(()) };
        if meter.has_finish_reason() {
            self.complete_events(now, keep)?;
            out.push(self.cost_comment());
            return Ok(());
        }
        if !self.is_open() {
            return Err(Stop::Failed(Failure::CutStream));
        }
        if let Some(event) = self.cut(Failure::CutStream, now, keep) {
            out.push(event);
        }
        Ok(())
    }

    fn complete_events(&mut self, now: Instant, keep: Keep<'_>) -> Result<(), Stop> {
        let settlement = self.price_seen_or_estimated();
        self.settle(settlement, Ending::Done, now, keep)?;
        self.leg.answer = Answer::Complete;
        Ok(())
    }

    /// The price of the usage that the stream has reported so far.
    pub(super) fn price_seen(&self) -> Option<Settlement> {
        match &self.leg.answer {
            Answer::Events { meter, .. } => meter.usage().map(|usage: Usage| self.price(usage, meter.service_tier())),
            Answer::Translated { translation, .. } => self.price_translated(translation),
            Answer::Awaiting
            | Answer::Whole { .. }
            | Answer::Oversize { .. }
            | Answer::Rejected { .. }
            | Answer::Complete => None,
        }
    }

    pub(super) fn price_seen_or_estimated(&self) -> Settlement {
        if let Some(seen) = self.price_seen() {
            return seen;
        }
        match &self.leg.answer {
            Answer::Events { meter, .. } => self.price_estimated_from(meter),
            Answer::Translated { translation, .. } => self.price_estimated_seen(translation.seen()),
            Answer::Oversize { tail, bytes_total, .. } => self.price_estimated_of(tail, *bytes_total),
            Answer::Awaiting | Answer::Whole { .. } | Answer::Rejected { .. } | Answer::Complete => {
                self.price_estimated(b"")
            }
        }
    }

    pub(super) fn cost_comment(&self) -> Bytes {
        match &self.settlement {
            Some(settlement) if !self.is_test() => Bytes::from(format!(": x-flux-cost-usd {}\n\n", settlement.amount)),
            _ => Bytes::new(),
        }
    }

    pub(super) fn note_content(&mut self, now: Instant) {
        self.attempts.first_content.get_or_insert(now);
        self.drop_beside(now);
        self.report_success(now);
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// Keeps the last `TAIL_BYTES` of what passes.
fn keep_tail(tail: &mut BytesMut, chunk: &[u8]) {
    let fresh = chunk.get(chunk.len().saturating_sub(TAIL_BYTES)..).unwrap_or_default();
    let surplus = (tail.len() + fresh.len()).saturating_sub(TAIL_BYTES);
    if surplus > 0 {
        let _ = tail.split_to(surplus.min(tail.len()));
    }
    tail.extend_from_slice(fresh);
}
