//! An answer in another format than the client's, on its way through reader and writer.
//!
//! Must not settle: it says what was used and what is ready to go out, `answer` decides when.

use bytes::Bytes;

use crate::base::refusal::Refusal;
use crate::base::usage::Usage;
use crate::translate::convert::{AnswerReader, StreamWriter, WholeWriter};
use crate::translate::emulate::Undoing;
use crate::translate::ir::{Event, Fault, FaultKind, Finish};
use crate::translate::{Closing, Overflow, Sink};
use crate::wire::json::Document;
use crate::wire::leap::Malformed;
use crate::wire::sse::{self, Framer, Start};

use super::retry::Failure;

/// Why an answer failed, by a word of the closed list that Responses has for it.
const SERVER_ERROR: &str = "server_error";

/// One answer being translated.
#[derive(Debug)]
pub(super) struct Translation {
    framer: Framer,
    reader: AnswerReader,
    undoing: Undoing,
    through: Through,
}

/// Where events go: to the client's writer, past the meter.
#[derive(Debug)]
struct Through {
    writer: Writer,
    /// What is ready for the client.
    out: Vec<u8>,
    seen: Seen,
    overflow: bool,
}

#[derive(Debug)]
enum Writer {
    Stream(StreamWriter),
    Whole(WholeWriter),
}

/// What the meter has seen of the events.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The last figures, where the provider has given any.
    pub(super) usage: Option<Usage>,
    /// The prompt's figures from the answer's start.
    pub(super) prompt_usage: Option<Usage>,
    pub(super) service_tier: Option<Box<str>>,
    /// Content has been seen, or why there is none.
    pub(super) is_opened: bool,
    /// The beginning of the visible text, escapes included, up to the bound.
    pub(super) text: Vec<u8>,
    pub(super) text_bytes_total: u64,
    /// The model or its provider declined.
    pub(super) is_declined: bool,
    /// Pictures so far.
    pub(super) images: u64,
    text_bytes_max: usize,
    fault: Option<FaultKind>,
}

impl Translation {
    /// For a client that streams.
    pub(super) fn streamed(reader: AnswerReader, undoing: Undoing, writer: StreamWriter, bounds: Bounds) -> Self {
        Self::new(reader, undoing, Writer::Stream(writer), bounds)
    }

    /// For a client that wants one whole answer.
    pub(super) fn whole(reader: AnswerReader, undoing: Undoing, writer: WholeWriter, bounds: Bounds) -> Self {
        Self::new(reader, undoing, Writer::Whole(writer), bounds)
    }

    fn new(reader: AnswerReader, undoing: Undoing, writer: Writer, bounds: Bounds) -> Self {
        let seen = Seen { text_bytes_max: bounds.text_bytes_max, ..Seen::default() };
        let through = Through { writer, out: Vec::new(), seen, overflow: false };
        Self { framer: Framer::new(bounds.frame_bytes_max), reader, undoing, through }
    }

    /// Takes a piece of the provider's stream.
    ///
    /// # Errors
    /// When the provider reports a failure, or the answer is larger than can be translated.
    pub(super) fn push(&mut self, chunk: Bytes) -> Result<(), Failure> {
        let rest = match self.framer.start(chunk) {
            Start::Fresh(rest) => rest,
            Start::Completed(frame, rest) => {
                self.frame(&frame);
                rest
            }
            Start::Overlong(..) => return Err(Failure::TooLarge),
            Start::Kept => return Ok(()),
        };
        let mut at = 0;
        while let Some(end) = self.framer.frame_end(&rest, at) {
            self.frame(rest.get(at..end).unwrap_or_default());
            at = end;
        }
        let unfinished = rest.slice(at.min(rest.len())..);
        if !unfinished.is_empty() && self.framer.keep(unfinished).is_some() {
            return Err(Failure::TooLarge);
        }
        self.verdict()
    }

    /// The stream is over; a last frame may lack its blank line.
    ///
    /// # Errors
    /// When that frame reports a failure.
    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        let unfinished = self.framer.finish();
        self.frame(&unfinished);
        self.verdict()
    }

    fn frame(&mut self, frame: &[u8]) {
        let event = sse::Event::read(frame);
        if !event.data.is_empty() {
            let mut sink = self.undoing.on(&mut self.through);
            self.reader.frame(event.name, &event.data, &mut sink);
        }
    }

    /// Takes a whole answer of the provider.
    ///
    /// # Errors
    /// When it reports a failure, or is none of its format.
    pub(super) fn take_whole(&mut self, answer: &[u8]) -> Result<(), Failure> {
        let answer = Document::parse(answer).map_err(|_: Malformed| Failure::BadAnswer)?;
        let mut sink = self.undoing.on(&mut self.through);
        self.reader.whole(answer.root(), &mut sink);
        self.verdict()
    }

    fn verdict(&self) -> Result<(), Failure> {
        match self.through.seen.fault {
            Some(FaultKind::Garbled) => Err(Failure::BadAnswer),
            Some(FaultKind::Rejected | FaultKind::RateLimited | FaultKind::Overloaded | FaultKind::Fault) => {
                Err(Failure::ErrorEvent)
            }
            None if self.through.overflow => Err(Failure::TooLarge),
            None => Ok(()),
        }
    }

    /// Whether the answer said why it ends.
    pub(super) fn is_complete(&self) -> bool {
        self.reader.is_complete()
    }

    /// Whether nothing more comes.
    pub(super) fn is_over(&self) -> bool {
        self.reader.is_over()
    }

    /// What was used and seen so far.
    pub(super) fn seen(&self) -> &Seen {
        &self.through.seen
    }

    /// What is ready for the client.
    pub(super) fn take_ready(&mut self) -> Bytes {
        Bytes::from(std::mem::take(&mut self.through.out))
    }

    /// Tells the client figures that the provider did not tell: our estimate.
    ///
    /// # Errors
    /// When the writer kept more than it may.
    pub(super) fn tell_usage(&mut self, usage: Usage) -> Result<(), Failure> {
        let event = Event::Usage { usage, service_tier: None };
        let Through { writer, out, .. } = &mut self.through;
        let told = match writer {
            Writer::Stream(writer) => writer.event(&event, out),
            Writer::Whole(writer) => writer.event(&event),
        };
        told.map_err(|_: Overflow| Failure::TooLarge)
    }

    /// Ends the client's stream; [`Self::take_ready`] then has its last frames.
    ///
    /// # Errors
    /// When it cannot be ended as its format demands.
    pub(super) fn close(&mut self, closing: &Closing<'_>) -> Result<(), Failure> {
        let Through { writer, out, .. } = &mut self.through;
        match writer {
            Writer::Stream(writer) => writer.close(closing, out).map_err(|_: Overflow| Failure::TooLarge),
            Writer::Whole(_) => Ok(()),
        }
    }

    /// The last frames of a stream that may not go on, after `usage`.
    pub(super) fn end_at_limit(&mut self, usage: Usage, cost_usd: Option<&str>) -> Bytes {
        let mut sink = self.undoing.on(&mut self.through);
        sink.take(Event::PartEnd);
        sink.take(Event::Finish { reason: Finish::Length, stop: None });
        sink.take(Event::Usage { usage, service_tier: None });
        // A client that cannot be told more has what it has.
        let _ = self.close(&Closing { cost_usd });
        self.take_ready()
    }

    /// The client's whole answer.
    pub(super) fn into_body(self, closing: &Closing<'_>) -> Bytes {
        match self.through.writer {
            Writer::Whole(writer) => Bytes::from(writer.close(closing)),
            Writer::Stream(_) => Bytes::from(self.through.out),
        }
    }

    /// What is ready, and the frame that says that the answer failed: `event` where the format does not tie it
    /// to the frames before.
    pub(super) fn failed(&mut self, refusal: &Refusal, event: impl FnOnce() -> Bytes) -> Bytes {
        let Through { writer, out, .. } = &mut self.through;
        let is_written = match writer {
            Writer::Stream(writer) => writer.fail(SERVER_ERROR, &refusal.message, out),
            Writer::Whole(_) => false,
        };
        if !is_written {
            out.extend_from_slice(&event());
        }
        self.take_ready()
    }
}

/// How much a translation keeps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Of one frame.
    pub(super) frame_bytes_max: usize,
    /// Of the visible text, for estimates.
    pub(super) text_bytes_max: usize,
}

impl Sink for Through {
    fn take(&mut self, event: Event<'_>) {
        self.seen.note(&event);
        let written = match &mut self.writer {
            Writer::Stream(writer) => writer.event(&event, &mut self.out),
            Writer::Whole(writer) => writer.event(&event),
        };
        self.overflow |= written.is_err();
    }
}

impl Seen {
    fn note(&mut self, event: &Event<'_>) {
        match event {
            Event::Start { usage, .. } => self.prompt_usage = *usage,
            Event::Text(text) | Event::Refusal(text) | Event::Thought(text) => self.note_text(text.spelt()),
            Event::CallArguments { piece, .. } => self.note_text(piece.spelt()),
            Event::CallStart { name, .. } => self.note_text(name.spelt()),
            Event::Usage { usage, service_tier } => {
                self.usage = Some(*usage);
                let tier = service_tier.as_ref().map(|tier| tier.spelt().into());
                self.service_tier = tier.or(self.service_tier.take());
            }
            Event::Image { .. } => {
                self.is_opened = true;
                self.images = self.images.saturating_add(1);
            }
            Event::Finish { reason, .. } => {
                self.is_opened = true;
                self.is_declined = matches!(reason, Finish::Refusal | Finish::Filtered);
            }
            Event::Sealed(_) | Event::Citation(_) | Event::Logprobs(_) => {
                self.is_opened = true;
            }
            Event::PartEnd => {}
            Event::Fault(Fault { kind, .. }) => self.fault = Some(*kind),
        }
    }

    fn note_text(&mut self, spelt: &str) {
        self.is_opened = true;
        self.text_bytes_total = self.text_bytes_total.saturating_add(u64::try_from(spelt.len()).unwrap_or(u64::MAX));
        let room = self.text_bytes_max.saturating_sub(self.text.len());
        self.text.extend_from_slice(spelt.as_bytes().get(..room).unwrap_or(spelt.as_bytes()));
    }
}
