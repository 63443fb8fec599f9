//! An answer for a client of Chat Completions, in chunks.
//!
//! Must not know where the events come from. All chunks of an answer are alike but for the delta, so their beginning
//! is made once.

use super::words::{self, CALLS_MAX, Words};
use crate::base::usage::Usage;
use crate::translate::ir::{Blob, CallKind, Citation, Event, Finish, Text};
use crate::translate::{Closing, Overflow, View};

/// What follows a delta of a chunk that does not finish.
const GOES_ON: &[u8] = b"},\"finish_reason\":null}]}\n\n";

/// Writes a stream.
#[derive(Debug)]
pub struct StreamWriter {
    view: View,
    /// A chunk up to its choices, and up to the inside of its delta.
    head: Vec<u8>,
    chunk: Vec<u8>,
    words: Words,
    has_started: bool,
    /// Of each call, whether it has arguments and is a function.
    calls: Vec<Filled>,
    finish: Option<Finish>,
    usage: Usage,
    service_tier: Option<Text<'static>>,
}

/// What is known of a call's arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filled {
    /// None have come, and there must be some.
    Not,
    /// Some have, or none are needed.
    Yes,
}

impl StreamWriter {
    /// A writer for this client.
    pub fn new(view: View) -> Self {
        let mut head = b"data: ".to_vec();
        words::write_head(&view, "chat.completion.chunk", &mut head);
        let mut chunk = head.clone();
        chunk.extend_from_slice(b",\"choices\":[{\"index\":0,\"delta\":{");
        Self {
            view,
            head,
            chunk,
            words: Words::default(),
            has_started: false,
            calls: Vec::new(),
            finish: None,
            usage: Usage::default(),
            service_tier: None,
        }
    }

    /// Appends what an event comes to.
    ///
    /// # Errors
    /// Never: nothing is kept that grows with the answer. The other formats' writers do.
    pub fn event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) -> Result<(), Overflow> {
        self.words.see(event);
        match event {
            Event::Start { usage, .. } => {
                self.usage = usage.unwrap_or_default();
                self.start(out);
            }
            Event::Text(text) => self.put_text(b"\"content\":\"", text, out),
            Event::Refusal(text) => self.put_text(b"\"refusal\":\"", text, out),
            Event::Thought(text) => self.put_text(b"\"reasoning_content\":\"", text, out),
            Event::Sealed(blob) => self.sealed(blob, out),
            Event::CallStart { index, id, name, kind } => self.call(*index, id, (name, *kind), out),
            Event::CallArguments { index, piece } => self.arguments(*index, piece, out),
            Event::Citation(citation) => self.citation(citation, out),
            Event::Image { media_type, base64 } => {
                let image = self.words.image(media_type, base64);
                self.put(&[b"\"images\":[", image.as_bytes(), b"]"], out);
            }
            Event::Logprobs(content) => {
                self.start(out);
                let logprobs = b"},\"logprobs\":{\"content\":";
                out.extend_from_slice(&self.chunk);
                out.extend_from_slice(logprobs);
                out.extend_from_slice(content.spelt().as_bytes());
                out.extend_from_slice(b",\"refusal\":null");
                out.extend_from_slice(GOES_ON);
            }
            Event::Finish { reason, .. } => self.finish = Some(*reason),
            Event::Usage { usage, service_tier } => {
                self.usage = *usage;
                self.service_tier = service_tier.clone().map(Text::into_owned);
            }
            Event::PartEnd | Event::Fault(_) => {}
        }
        Ok(())
    }

    /// Appends the end: why, how much, and the terminator.
    ///
    /// # Errors
    /// Never, like [`Self::event`].
    pub fn close(&mut self, closing: &Closing<'_>, out: &mut Vec<u8>) -> Result<(), Overflow> {
        self.start(out);
        for index in 0..self.calls.len() {
            if self.calls.get(index) == Some(&Filled::Not) {
                self.arguments(index, &Text::plain("{}"), out);
            }
        }
        let reason = self.words.finish_reason(self.finish, self.view.has_legacy_functions);
        out.extend_from_slice(&self.chunk);
        for piece in ["},\"finish_reason\":\"", reason, "\"}]"] {
            out.extend_from_slice(piece.as_bytes());
        }
        self.tier(out);
        out.extend_from_slice(b"}\n\n");
        if self.view.usage_asked {
            out.extend_from_slice(&self.head);
            out.extend_from_slice(b",\"choices\":[]");
            self.tier(out);
            out.extend_from_slice(b",\"usage\":");
            words::write_usage(&self.usage, closing, out);
            out.extend_from_slice(b"}\n\n");
        }
        if let Some(cost) = closing.cost_usd {
            for piece in [": x-flux-cost-usd ", cost, "\n\n"] {
                out.extend_from_slice(piece.as_bytes());
            }
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
        Ok(())
    }

    fn tier(&self, out: &mut Vec<u8>) {
        if let Some(tier) = &self.service_tier {
            for piece in [",\"service_tier\":\"", words::tier(tier), "\""] {
                out.extend_from_slice(piece.as_bytes());
            }
        }
    }

    fn start(&mut self, out: &mut Vec<u8>) {
        if !self.has_started {
            self.has_started = true;
            self.put(&[b"\"role\":\"assistant\",\"content\":\"\""], out);
        }
    }

    /// One chunk whose delta has this inside.
    fn put(&mut self, inside: &[&[u8]], out: &mut Vec<u8>) {
        self.start(out);
        out.extend_from_slice(&self.chunk);
        for piece in inside {
            out.extend_from_slice(piece);
        }
        out.extend_from_slice(GOES_ON);
    }

    fn put_text(&mut self, name: &[u8], text: &Text<'_>, out: &mut Vec<u8>) {
        if !text.is_empty() {
            self.put(&[name, text.spelt().as_bytes(), b"\""], out);
        }
    }

    fn call(&mut self, index: usize, id: &Text<'_>, (name, kind): (&Text<'_>, CallKind), out: &mut Vec<u8>) {
        self.calls.resize(self.calls.len().max((index + 1).min(CALLS_MAX)), Filled::Yes);
        if let (CallKind::Function, Some(filled)) = (kind, self.calls.get_mut(index)) {
            *filled = Filled::Not;
        }
        if self.view.has_legacy_functions {
            // The old form has one call and no id.
            if index == 0 {
                let name = name.spelt().as_bytes();
                self.put(&[b"\"function_call\":{\"name\":\"", name, b"\",\"arguments\":\"\"}"], out);
            }
            return;
        }
        let opening = words::call_opening(kind, id, name);
        let index = index.to_string();
        self.put(&[b"\"tool_calls\":[{\"index\":", index.as_bytes(), b",", opening.as_bytes(), b"\"}}]"], out);
    }

    fn arguments(&mut self, index: usize, piece: &Text<'_>, out: &mut Vec<u8>) {
        if piece.is_empty() {
            return;
        }
        if let Some(filled) = self.calls.get_mut(index) {
            *filled = Filled::Yes;
        }
        let piece = piece.spelt().as_bytes();
        if self.view.has_legacy_functions {
            if index == 0 {
                self.put(&[b"\"function_call\":{\"arguments\":\"", piece, b"\"}"], out);
            }
            return;
        }
        let (open, close): (&[u8], &[u8]) = match self.words.kind_of(index) {
            CallKind::Function => (b",\"function\":{\"arguments\":\"", b"\"}}]"),
            CallKind::Custom => (b",\"type\":\"custom\",\"custom\":{\"input\":\"", b"\"}}]"),
        };
        let index = index.to_string();
        self.put(&[b"\"tool_calls\":[{\"index\":", index.as_bytes(), open, piece, close], out);
    }

    fn sealed(&mut self, blob: &Blob<'_>, out: &mut Vec<u8>) {
        let sealed = self.view.envelope.seal(blob.kind, &blob.token, &self.view.maker);
        let sealed = sealed.spelt().as_bytes();
        let Some(index) = self.words.open_call().filter(|_| !self.view.has_legacy_functions) else {
            let detail = self.words.detail();
            return self.put(&[b"\"reasoning_details\":[", detail.as_bytes(), sealed, b"\"}]"], out);
        };
        let index = index.to_string();
        // Clients that check what they get want a function with every call.
        let name = b",\"function\":{\"arguments\":\"\"},\"extra_content\":{\"flux\":{\"thought\":\"";
        self.put(&[b"\"tool_calls\":[{\"index\":", index.as_bytes(), name, sealed, b"\"}}}]"], out);
    }

    fn citation(&mut self, citation: &Citation<'_>, out: &mut Vec<u8>) {
        let annotation = self.words.annotation(citation);
        self.put(&[b"\"annotations\":[", annotation.as_bytes(), b"]"], out);
    }
}
