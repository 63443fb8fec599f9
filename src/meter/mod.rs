//! Metering: what a stream used, whether it has begun and how it ended, while its frames go on as they came.
//!
//! Must not know prices, providers or sockets, and never holds back a whole answer: what is kept is bounded
//! by [`StreamBounds`]. Frames are forwarded as the bytes they came in; only the usage chunk that we asked
//! for and the client did not is taken out.

pub mod estimate;
mod stream;
mod template;

use std::ops::Range;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::base::usage::Usage;
use crate::base::wire_format::WireFormat;
use crate::wire::sse::{Event, Framer, Start};
use crate::wire::usage::{AnthropicFigures, UsageQuirks};
use template::Template;

/// What the client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// It wants usage in the stream.
    pub usage: bool,
}

/// How much a meter keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamBounds {
    /// Of one frame; longer frames pass without being looked at, and count as content.
    pub frame_bytes_max: usize,
    /// Of the visible text; what comes later is only counted.
    pub text_bytes_max: usize,
}

/// What goes on to the client, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes to be forwarded as they are.
    Frames(Bytes),
    /// A frame with the usage that the client asked for.
    UsageFrame {
        /// The frame.
        bytes: Bytes,
        /// Where `"cost_usd":…,` can be put in: just after the `{` of the usage object, which is not empty.
        /// `None` where the frame's data is spread over several lines.
        cost_at: Option<usize>,
    },
    /// The frame that says that the stream is complete.
    Terminator(Bytes),
    /// A frame with an error of the provider instead of an answer.
    ErrorEvent {
        /// The frame. It may name what the client must not see.
        bytes: Bytes,
        /// What kind of failure it is.
        kind: ErrorKind,
    },
}

/// The pieces of one chunk: mostly one.
pub type Pieces = SmallVec<[Piece; 4]>;

/// What kind of failure a provider reports in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Its rate limit.
    RateLimited,
    /// Too busy.
    Overloaded,
    /// It refuses the request itself; another provider would too.
    Rejected,
    /// Anything else.
    Fault,
}

/// Meters one stream.
#[derive(Debug)]
pub struct StreamMeter {
    format: WireFormat,
    quirks: UsageQuirks,
    asked: Asked,
    framer: Framer,
    template: Template,
    seen: Seen,
}

/// What the frames have said so far.
#[derive(Debug)]
struct Seen {
    text: Text,
    is_opened: bool,
    is_terminated: bool,
    has_finish_reason: bool,
    service_tier: Option<Box<str>>,
    /// Events that were read.
    events: u64,
    /// The index of Anthropic's block that has begun and not ended.
    open_block: Option<u64>,
    openai: Option<Usage>,
    anthropic: AnthropicFigures,
}

/// Visible text as it stands in the stream, JSON escapes included.
#[derive(Debug)]
struct Text {
    bytes_max: usize,
    bytes_total: u64,
    kept: Vec<u8>,
}

impl Text {
    fn push(&mut self, text: &[u8]) {
        self.bytes_total = self.bytes_total.saturating_add(u64::try_from(text.len()).unwrap_or(u64::MAX));
        let room = self.bytes_max.saturating_sub(self.kept.len());
        self.kept.extend_from_slice(text.get(..room).unwrap_or(text));
    }
}

/// What is done with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It goes on.
    Forward,
    /// It goes on, and is one string of text in a fixed setting: the next one may be alike. Ranges of the data.
    ForwardText(TextFrame),
    /// It has usage that the client asked for. Where the cost can be put in, as an index of the data.
    Usage { cost_at: usize },
    /// It is there only because we asked for usage.
    Drop,
    /// It ends the stream.
    Terminator,
    /// It reports a failure.
    Error(ErrorKind),
}

/// Where the strings of a text frame stand in its data, without their quotes: start and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TextFrame {
    text: (usize, usize),
    /// Random characters that hide the text's length from listeners.
    padding: Option<(usize, usize)>,
}

impl StreamMeter {
    /// A meter for one answer in this wire format.
    pub fn new(format: WireFormat, quirks: UsageQuirks, asked: Asked, bounds: StreamBounds) -> Self {
        let StreamBounds { frame_bytes_max, text_bytes_max } = bounds;
        let seen = Seen {
            text: Text { bytes_max: text_bytes_max, bytes_total: 0, kept: Vec::new() },
            is_opened: false,
            is_terminated: false,
            has_finish_reason: false,
            service_tier: None,
            events: 0,
            open_block: None,
            openai: None,
            anthropic: AnthropicFigures::default(),
        };
        Self { format, quirks, asked, framer: Framer::new(frame_bytes_max), template: Template::default(), seen }
    }

    /// Whether the chunk is one text frame like those before, which goes on as it is. Its text is noted then,
    /// and it must not be pushed; else nothing has happened.
    #[inline]
    pub fn passes(&mut self, chunk: &[u8]) -> bool {
        let text = if self.framer.is_at_border() { self.template.fit_whole(chunk) } else { None };
        if let Some(text) = text {
            self.seen.text.push(text);
        }
        text.is_some()
    }

    /// Takes the next chunk of the body; what goes on because of it is added to `out`.
    pub fn push(&mut self, chunk: Bytes, out: &mut Pieces) {
        let rest = match self.framer.start(chunk) {
            Start::Fresh(rest) => rest,
            Start::Completed(frame, rest) => {
                self.take_frame(frame, out);
                rest
            }
            Start::Overlong(bytes, rest) => {
                self.pass_unread(bytes, out);
                rest
            }
            Start::Kept => return,
        };
        self.take_frames(rest, out);
    }

    /// Goes through the frames of `bytes`, which begins with one, and keeps the unfinished one at its end.
    fn take_frames(&mut self, mut bytes: Bytes, out: &mut Pieces) {
        // Frames before this index go on as they are, in one piece.
        let mut run = 0;
        while let Some(rest) = bytes.get(run..).filter(|rest| !rest.is_empty()) {
            if let Some((text, end)) = self.template.fit(rest) {
                self.seen.text.push(rest.get(text).unwrap_or_default());
                run += end;
                continue;
            }
            let Some(end) = self.framer.frame_end(&bytes, run) else { break };
            match self.read(bytes.get(run..end).unwrap_or_default()) {
                Verdict::Forward | Verdict::ForwardText(_) => run = end,
                verdict @ (Verdict::Usage { .. } | Verdict::Drop | Verdict::Terminator | Verdict::Error(_)) => {
                    forward(bytes.split_to(run), out);
                    let frame = bytes.split_to(end - run);
                    emit(verdict, frame, out);
                    run = 0;
                }
            }
        }
        if run == bytes.len() {
            return forward(bytes, out);
        }
        let unfinished = bytes.split_off(run);
        forward(bytes, out);
        if let Some(overlong) = self.framer.keep(unfinished) {
            self.pass_unread(overlong, out);
        }
    }

    fn take_frame(&mut self, frame: Bytes, out: &mut Pieces) {
        emit(self.read(&frame), frame, out);
    }

    fn pass_unread(&mut self, bytes: Bytes, out: &mut Pieces) {
        // Nothing but content is that long.
        self.seen.is_opened = true;
        forward(bytes, out);
    }

    /// Ends the stream. A frame whose end never came goes on if all its data is there, with its blank line
    /// added; half a frame is dropped, as clients have to, so that it cannot spoil what is sent after it.
    pub fn finish(&mut self, out: &mut Pieces) {
        let unfinished = self.framer.finish();
        let event = Event::read(&unfinished);
        let is_whole =
            event.data.as_ref() == stream::DONE || serde_json::from_slice::<serde::de::IgnoredAny>(&event.data).is_ok();
        if is_whole {
            let ends_line = matches!(unfinished.last(), Some(b'\n' | b'\r'));
            let missing: &[u8] = if ends_line { b"\n" } else { b"\n\n" };
            self.take_frame(Bytes::from([&unfinished[..], missing].concat()), out);
        }
    }

    fn read(&mut self, frame: &[u8]) -> Verdict {
        let event = Event::read(frame);
        let verdict = stream::read(self, &event);
        let Some(data_at) = event.data_at else {
            // The data was put together from several lines: indexes of it mean nothing in the frame.
            return match verdict {
                Verdict::ForwardText(_) => Verdict::Forward,
                Verdict::Usage { cost_at: _ } => Verdict::Usage { cost_at: NOWHERE },
                Verdict::Forward | Verdict::Drop | Verdict::Terminator | Verdict::Error(_) => verdict,
            };
        };
        match verdict {
            Verdict::ForwardText(found) => {
                let in_frame = |(start, end): (usize, usize)| start + data_at..end + data_at;
                self.template.learn(frame, in_frame(found.text), found.padding.map(in_frame));
                verdict
            }
            Verdict::Usage { cost_at } => Verdict::Usage { cost_at: cost_at + data_at },
            Verdict::Forward | Verdict::Drop | Verdict::Terminator | Verdict::Error(_) => verdict,
        }
    }

    /// Whether content has been seen. Until then nothing tells the client which provider answers, and
    /// another one may still be tried.
    pub fn opened(&self) -> bool {
        self.seen.is_opened
    }

    /// Whether the frame that ends a complete stream has been seen.
    pub fn has_terminated(&self) -> bool {
        self.seen.is_terminated
    }

    /// Whether the bytes that went on end with a frame, so that something may be put in behind them.
    pub fn is_between_frames(&self) -> bool {
        !self.framer.is_within_overlong()
    }

    /// Whether the answer said why it ends.
    pub fn has_finish_reason(&self) -> bool {
        self.seen.has_finish_reason
    }

    /// What was used, as far as the provider has said; `None` while it has not said what was produced.
    pub fn usage(&self) -> Option<Usage> {
        match self.format {
            WireFormat::AnthropicMessages => self.seen.anthropic.has_output().then(|| self.seen.anthropic.normalise()),
            WireFormat::OpenaiChat
            | WireFormat::OpenaiResponses
            | WireFormat::OpenaiImages
            | WireFormat::GeminiGenerate
            | WireFormat::BedrockConverse
            | WireFormat::OpenaiEmbeddings
            | WireFormat::OpenaiImageEdits
            | WireFormat::OpenaiTranscriptions
            | WireFormat::OpenaiSpeech => self.seen.openai,
        }
    }

    /// The figures of the prompt where they are known, output zero: Anthropic says them first, so that only
    /// the output of a stream that was cut has to be estimated.
    pub fn prompt_usage(&self) -> Option<Usage> {
        let whole =
            self.usage().or_else(|| self.seen.anthropic.is_report().then(|| self.seen.anthropic.normalise()))?;
        Some(Usage { output: 0, reasoning: 0, output_image: 0, output_audio: 0, ..whole })
    }

    /// The visible text so far, up to the bound, as it stands in JSON strings.
    pub fn text(&self) -> &[u8] {
        &self.seen.text.kept
    }

    /// How many events were read. In Responses, where none is passed unread, the number of the next.
    pub fn events(&self) -> u64 {
        self.seen.events
    }

    /// The index of Anthropic's content block that has begun and not ended.
    pub fn open_block(&self) -> Option<u64> {
        self.seen.open_block
    }

    /// The bytes of all visible text.
    pub fn text_bytes_total(&self) -> u64 {
        self.seen.text.bytes_total
    }

    /// The tier that serves, where it is not the standard one.
    pub fn service_tier(&self) -> Option<&str> {
        self.seen.service_tier.as_deref()
    }

    /// How many frames were too long to be looked at.
    pub fn overlong_frames(&self) -> u64 {
        self.framer.overlong_frames()
    }
}

/// No place for the cost.
const NOWHERE: usize = usize::MAX;

fn emit(verdict: Verdict, bytes: Bytes, out: &mut Pieces) {
    match verdict {
        Verdict::Forward | Verdict::ForwardText(_) => forward(bytes, out),
        Verdict::Usage { cost_at } => {
            out.push(Piece::UsageFrame { cost_at: (cost_at != NOWHERE).then_some(cost_at), bytes });
        }
        Verdict::Drop => {}
        Verdict::Terminator => out.push(Piece::Terminator(bytes)),
        Verdict::Error(kind) => out.push(Piece::ErrorEvent { bytes, kind }),
    }
}

#[inline]
fn forward(bytes: Bytes, out: &mut Pieces) {
    if !bytes.is_empty() {
        out.push(Piece::Frames(bytes));
    }
}

/// Ranges as pairs, which can be copied.
fn pair(range: &Range<usize>) -> (usize, usize) {
    (range.start, range.end)
}

#[cfg(test)]
mod corpus;
#[cfg(test)]
mod tests;
