//! Events → a stream of Anthropic's named frames.
//!
//! Must not know who answers. Blocks come strictly one after another here, while other formats stream several calls
//! at once: the first goes out as it comes, what begins meanwhile waits for its end.

use std::io::Write as _;

use super::blocks::{self, Block, BlockKind, Blocks};
use super::stop::{self, End, Scope};
use crate::base::usage::Usage;
use crate::translate::ir::{Blob, BlobKind, Citation, Event, Text, Value};
use crate::translate::{Closing, Overflow, View, envelope};
use crate::wire::json::Writer;

/// The piece that holds a thought's token, and its member.
const SIGNATURE: (&str, &str) = ("signature_delta", "signature");

/// Writes one answer as a stream.
#[derive(Debug)]
pub struct StreamWriter {
    view: View,
    has_started: bool,
    /// The index of the block in hand, or of the next one.
    at: usize,
    open: Option<Open>,
    waiting: Blocks,
    end: End,
}

/// The block that goes out as it comes.
#[derive(Debug)]
struct Open {
    kind: OpenKind,
    /// Goes out after it.
    seal: Option<Text<'static>>,
    /// Whether its maker's token has come: what follows is another block.
    is_signed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OpenKind {
    Text,
    Thought,
    Call(usize),
}

impl StreamWriter {
    /// For one answer.
    pub fn new(view: View) -> Self {
        let waiting = Blocks::new(view.kept_bytes_max);
        Self { view, has_started: false, at: 0, open: None, waiting, end: End::default() }
    }

    /// Takes the next event, and appends the frames that say it.
    ///
    /// # Errors
    /// When calls wait for their turn that are longer than may be kept.
    pub fn event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) -> Result<(), Overflow> {
        self.end.note(event);
        match event {
            Event::Start { usage, .. } => self.start(*usage, out),
            Event::Text(text) | Event::Refusal(text) => self.words(OpenKind::Text, text, out)?,
            Event::Thought(thought) => self.words(OpenKind::Thought, thought, out)?,
            Event::Sealed(blob) => self.sealed(blob, out)?,
            Event::CallStart { index, id, name, kind: _ } => self.call(*index, id, name, out)?,
            Event::CallArguments { index, piece } => self.arguments(*index, piece, out)?,
            Event::PartEnd => self.end_part(out),
            Event::Citation(citation) => self.citation(citation, out)?,
            // This format has no place for pictures and probabilities; the end is written at the end.
            Event::Image { .. } | Event::Logprobs(_) | Event::Finish { .. } | Event::Usage { .. } | Event::Fault(_) => {
            }
        }
        Ok(())
    }

    /// Appends everything that comes after the last event.
    ///
    /// # Errors
    /// Never here; other formats repeat the whole answer at its end.
    pub fn close(&mut self, closing: &Closing<'_>, out: &mut Vec<u8>) -> Result<(), Overflow> {
        self.start(None, out);
        self.waiting.end_all();
        self.end_open(out);
        let prompt_tokens = self.view.prompt_tokens;
        frame("message_delta", out, |w| {
            w.name("delta").object(|w| self.end.write_reason(w));
            w.name("usage");
            self.end.write_usage(prompt_tokens, Scope::Delta, w);
        });
        if let Some(cost) = closing.cost_usd {
            out.extend_from_slice(b": x-flux-cost-usd ");
            out.extend_from_slice(cost.as_bytes());
            out.extend_from_slice(b"\n\n");
        }
        frame("message_stop", out, |_| {});
        Ok(())
    }

    fn start(&mut self, usage: Option<Usage>, out: &mut Vec<u8>) {
        if self.has_started {
            return;
        }
        self.has_started = true;
        // Clients show the prompt's size from this frame on: an estimate is better than nothing.
        let estimate = Usage { input: self.view.prompt_tokens, ..Usage::default() };
        let usage = usage.filter(|usage| usage.prompt_total() > 0).unwrap_or(estimate);
        frame("message_start", out, |w| {
            w.name("message").object(|w| {
                write_head(&self.view, w);
                w.name("content").raw("[]");
                w.name("stop_reason").raw("null");
                w.name("stop_sequence").raw("null");
                w.name("usage");
                stop::write_usage(&usage, w, |_| {});
            });
        });
    }

    /// Whether a block must wait: while a call is open, it may go on.
    fn is_busy(&self) -> bool {
        matches!(self.open, Some(Open { kind: OpenKind::Call(_), .. }))
    }

    fn words(&mut self, kind: OpenKind, text: &Text<'_>, out: &mut Vec<u8>) -> Result<(), Overflow> {
        if text.is_empty() {
            return Ok(());
        }
        self.start(None, out);
        if self.is_busy() {
            let kind = if kind == OpenKind::Thought { BlockKind::Thought } else { BlockKind::Text };
            return self.waiting.grow(kind, text);
        }
        self.open_words(kind, out);
        delta(self.at, piece_of(kind), text.spelt(), out);
        Ok(())
    }

    fn open_words(&mut self, kind: OpenKind, out: &mut Vec<u8>) {
        if self.open.as_ref().is_some_and(|open| open.kind == kind && !open.is_signed) {
            return;
        }
        self.end_open(out);
        self.begin(kind, out, |w| write_empty(kind, w));
    }

    fn begin(&mut self, kind: OpenKind, out: &mut Vec<u8>, fill: impl FnOnce(&mut Writer)) {
        begin_block(self.at, out, fill);
        self.open = Some(Open { kind, seal: None, is_signed: false });
    }

    fn sealed(&mut self, blob: &Blob<'_>, out: &mut Vec<u8>) -> Result<(), Overflow> {
        self.start(None, out);
        let seal = self.view.envelope.seal(blob.kind, &blob.token, &self.view.maker);
        let is_own_block = blob.kind == BlobKind::AnthropicRedacted;
        if is_own_block && self.is_busy() {
            return self.waiting.sealed(&seal);
        }
        let Some(seal) = self.waiting.seal(seal)? else { return Ok(()) };
        if self.is_busy() && self.open.as_ref().is_some_and(|open| open.is_signed) {
            return self.waiting.sealed(&seal);
        }
        if !is_own_block && self.sign(&seal, out) {
            return Ok(());
        }
        self.end_open(out);
        self.write_sealed(&seal, out);
        Ok(())
    }

    fn call(&mut self, index: usize, id: &Text<'_>, name: &Text<'_>, out: &mut Vec<u8>) -> Result<(), Overflow> {
        self.start(None, out);
        let id = blocks::call_id(id, &self.view, index);
        if self.is_busy() {
            return self.waiting.call(index, id, name);
        }
        self.end_open(out);
        self.begin(OpenKind::Call(index), out, |w| write_call_head(&id, name, w));
        Ok(())
    }

    fn arguments(&mut self, index: usize, piece: &Text<'_>, out: &mut Vec<u8>) -> Result<(), Overflow> {
        let kind = OpenKind::Call(index);
        if self.open.as_ref().is_none_or(|open| open.kind != kind) {
            return self.waiting.arguments(index, piece);
        }
        if !piece.is_empty() {
            delta(self.at, piece_of(kind), piece.spelt(), out);
        }
        Ok(())
    }

    fn citation(&mut self, citation: &Citation<'_>, out: &mut Vec<u8>) -> Result<(), Overflow> {
        if self.is_busy() {
            return self.waiting.cite(citation);
        }
        let is_text = self.open.as_ref().is_some_and(|open| open.kind == OpenKind::Text);
        if let (true, Some(citation)) = (is_text, blocks::spell_citation(citation)) {
            write_citation(self.at, &citation, out);
        }
        Ok(())
    }

    fn end_part(&mut self, out: &mut Vec<u8>) {
        if !self.waiting.end_last() {
            self.end_open(out);
        }
    }

    /// Ends the open block, and lets those go that waited for it.
    fn end_open(&mut self, out: &mut Vec<u8>) {
        self.stop(out);
        while let Some(block) = self.waiting.pop() {
            let is_last = self.waiting.is_empty();
            let stays_open = !block.is_ended && (is_last || matches!(block.kind, BlockKind::Call { .. }));
            self.write_waiting(block, out);
            if stays_open {
                return;
            }
            self.stop(out);
        }
    }

    fn stop(&mut self, out: &mut Vec<u8>) {
        let Some(open) = self.open.take() else { return };
        if open.kind == OpenKind::Thought && !open.is_signed {
            delta(self.at, SIGNATURE, envelope::NOTHING, out);
        }
        end_block(self.at, out);
        self.at += 1;
        if let Some(seal) = open.seal {
            self.write_sealed(&seal, out);
        }
    }

    fn write_sealed(&mut self, seal: &Text<'_>, out: &mut Vec<u8>) {
        begin_block(self.at, out, |w| {
            w.name("type").text(&Text::spelt_as("redacted_thinking"));
            w.name("data").text(seal);
        });
        end_block(self.at, out);
        self.at += 1;
    }

    /// Writes a block that waited, and leaves it open.
    fn write_waiting(&mut self, block: Block, out: &mut Vec<u8>) {
        let Block { kind, content, seal, citations, is_ended: _ } = block;
        let kind = match kind {
            BlockKind::Sealed => return self.write_sealed(&Text::spelt_as(content), out),
            BlockKind::Text => OpenKind::Text,
            BlockKind::Thought => OpenKind::Thought,
            BlockKind::Call { index, id, name } => {
                self.begin(OpenKind::Call(index), out, |w| write_call_head(&id, &name, w));
                OpenKind::Call(index)
            }
        };
        if !matches!(kind, OpenKind::Call(_)) {
            self.begin(kind, out, |w| write_empty(kind, w));
        }
        if !content.is_empty() {
            delta(self.at, piece_of(kind), &content, out);
        }
        if !citations.is_empty() {
            // A frame holds one citation.
            let all = format!("[{citations}]");
            let all = Value::parse(all.as_bytes());
            all.into_iter().flat_map(Value::elements).for_each(|one| write_citation(self.at, one.spelt(), out));
        }
        if let Some(seal) = seal {
            self.sign(&seal, out);
        }
    }

    /// Gives the open block its maker's token, if it has none; says whether.
    fn sign(&mut self, seal: &Text<'static>, out: &mut Vec<u8>) -> bool {
        let Some(open) = self.open.as_mut().filter(|open| !open.is_signed) else { return false };
        open.is_signed = true;
        match open.kind {
            OpenKind::Thought => delta(self.at, SIGNATURE, seal.spelt(), out),
            OpenKind::Text | OpenKind::Call(_) => open.seal = Some(seal.clone()),
        }
        true
    }
}

/// The members of a message that are known from the start.
pub(super) fn write_head(view: &View, w: &mut Writer) {
    w.name("id").text(&Text::spelt_as(blocks::message_id(view.id)));
    w.name("type").text(&Text::spelt_as("message"));
    w.name("role").text(&Text::spelt_as("assistant"));
    w.name("model").plain(&view.model);
}

fn write_empty(kind: OpenKind, w: &mut Writer) {
    match kind {
        OpenKind::Thought => {
            w.name("type").text(&Text::spelt_as("thinking"));
            w.name("thinking").text(&Text::default());
            w.name("signature").text(&Text::default());
        }
        OpenKind::Text | OpenKind::Call(_) => {
            w.name("type").text(&Text::spelt_as("text"));
            w.name("text").text(&Text::default());
        }
    }
}

fn write_call_head(id: &str, name: &Text<'_>, w: &mut Writer) {
    w.name("type").text(&Text::spelt_as("tool_use"));
    w.name("id").text(&Text::spelt_as(id));
    w.name("name").text(name);
    w.name("input").object(|_| {});
}

/// The type of a block's pieces, and their member.
fn piece_of(kind: OpenKind) -> (&'static str, &'static str) {
    match kind {
        OpenKind::Text => ("text_delta", "text"),
        OpenKind::Thought => ("thinking_delta", "thinking"),
        OpenKind::Call(_) => ("input_json_delta", "partial_json"),
    }
}

/// A frame with more than a piece in it.
fn frame(name: &'static str, out: &mut Vec<u8>, fill: impl FnOnce(&mut Writer)) {
    let mut w = Writer::default();
    w.object(|w| {
        w.name("type").text(&Text::spelt_as(name));
        fill(w);
    });
    for piece in [b"event: ", name.as_bytes(), b"\ndata: ", &w.into_bytes(), b"\n\n"] {
        out.extend_from_slice(piece);
    }
}

fn begin_block(at: usize, out: &mut Vec<u8>, fill: impl FnOnce(&mut Writer)) {
    frame("content_block_start", out, |w| {
        w.name("index").raw(&at.to_string());
        w.name("content_block").object(fill);
    });
}

fn end_block(at: usize, out: &mut Vec<u8>) {
    frame("content_block_stop", out, |w| w.name("index").raw(&at.to_string()));
}

/// The frame that most of a stream is made of: written piece by piece, without a writer.
fn delta(at: usize, (kind, member): (&str, &str), spelt: &str, out: &mut Vec<u8>) {
    let head = b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":";
    out.reserve(head.len() + spelt.len() + 96);
    out.extend_from_slice(head);
    // Writing to a vector cannot fail.
    let _ = write!(out, "{at}");
    for piece in [",\"delta\":{\"type\":\"", kind, "\",\"", member, "\":\"", spelt, "\"}}\n\n"] {
        out.extend_from_slice(piece.as_bytes());
    }
}

fn write_citation(at: usize, citation: &str, out: &mut Vec<u8>) {
    frame("content_block_delta", out, |w| {
        w.name("index").raw(&at.to_string());
        w.name("delta").object(|w| {
            w.name("type").text(&Text::spelt_as("citations_delta"));
            w.name("citation").raw(citation);
        });
    });
}
