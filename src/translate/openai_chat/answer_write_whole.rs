//! An answer for a client of Chat Completions, whole.
//!
//! Must not know where the events come from. All of the answer is kept until its end, which the client bounds.

use super::words::{self, CALLS_MAX, Words};
use crate::base::usage::Usage;
use crate::translate::ir::{Blob, CallKind, Event, Finish, Text};
use crate::translate::{Closing, Overflow, View};

/// Gathers an answer.
#[derive(Debug)]
pub struct WholeWriter {
    view: View,
    words: Words,
    kept: usize,
    content: Option<String>,
    refusal: Option<String>,
    reasoning: String,
    /// Lists, their elements joined with commas.
    details: String,
    images: String,
    annotations: String,
    logprobs: String,
    calls: Vec<Call>,
    finish: Option<Finish>,
    usage: Usage,
    service_tier: Option<Text<'static>>,
}

/// A call as it grows.
#[derive(Debug, Default)]
struct Call {
    kind: CallKind,
    /// Up to the inside of its arguments.
    opening: String,
    /// Its name and nothing else, for the old form.
    name: String,
    arguments: String,
    thought: Option<Text<'static>>,
}

impl WholeWriter {
    /// A writer for this client.
    pub fn new(view: View) -> Self {
        Self {
            view,
            words: Words::default(),
            kept: 0,
            content: None,
            refusal: None,
            reasoning: String::new(),
            details: String::new(),
            images: String::new(),
            annotations: String::new(),
            logprobs: String::new(),
            calls: Vec::new(),
            finish: None,
            usage: Usage::default(),
            service_tier: None,
        }
    }

    /// Keeps what an event says.
    ///
    /// # Errors
    /// When the answer is longer than [`View::kept_bytes_max`].
    pub fn event(&mut self, event: &Event<'_>) -> Result<(), Overflow> {
        self.words.see(event);
        match event {
            Event::Start { usage, .. } => self.usage = usage.unwrap_or_default(),
            Event::Text(text) => {
                self.keep(text.spelt().len())?;
                self.content.get_or_insert_default().push_str(text.spelt());
            }
            Event::Refusal(text) => {
                self.keep(text.spelt().len())?;
                self.refusal.get_or_insert_default().push_str(text.spelt());
            }
            Event::Thought(text) => {
                self.keep(text.spelt().len())?;
                self.reasoning.push_str(text.spelt());
            }
            Event::Sealed(blob) => self.sealed(blob)?,
            Event::CallStart { index, id, name, kind } => {
                self.call(*index, words::call_opening(*kind, id, name), (name, *kind))?;
            }
            Event::CallArguments { index, piece } => {
                self.keep(piece.spelt().len())?;
                if let Some(call) = self.calls.get_mut(*index) {
                    call.arguments.push_str(piece.spelt());
                }
            }
            Event::Citation(citation) => {
                let annotation = self.words.annotation(citation);
                self.keep(annotation.len())?;
                add(&mut self.annotations, &annotation);
            }
            Event::Image { media_type, base64 } => {
                let image = self.words.image(media_type, base64);
                self.keep(image.len())?;
                add(&mut self.images, &image);
            }
            Event::Logprobs(content) => {
                let inside = content.spelt().trim_start_matches('[').trim_end_matches(']');
                self.keep(inside.len())?;
                add(&mut self.logprobs, inside);
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

    fn keep(&mut self, bytes: usize) -> Result<(), Overflow> {
        self.kept = self.kept.saturating_add(bytes);
        if self.kept > self.view.kept_bytes_max { Err(Overflow) } else { Ok(()) }
    }

    fn call(&mut self, index: usize, opening: String, (name, kind): (&Text<'_>, CallKind)) -> Result<(), Overflow> {
        if index >= CALLS_MAX {
            return Err(Overflow);
        }
        self.keep(opening.len())?;
        self.calls.resize_with(self.calls.len().max(index + 1), Call::default);
        if let Some(call) = self.calls.get_mut(index) {
            *call = Call { kind, opening, name: name.spelt().to_owned(), ..Call::default() };
        }
        Ok(())
    }

    fn sealed(&mut self, blob: &Blob<'_>) -> Result<(), Overflow> {
        let sealed = self.view.envelope.seal(blob.kind, &blob.token, &self.view.maker);
        self.keep(sealed.spelt().len())?;
        let open = self.words.open_call().filter(|_| !self.view.has_legacy_functions);
        if let Some(call) = open.and_then(|index| self.calls.get_mut(index)) {
            call.thought = Some(sealed);
        } else {
            let entry = [&*self.words.detail(), sealed.spelt(), "\"}"].concat();
            add(&mut self.details, &entry);
        }
        Ok(())
    }

    /// The whole body. What it cost is told in a header.
    pub fn close(self, _: &Closing<'_>) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.kept + 1024);
        words::write_head(&self.view, "chat.completion", &mut out);
        let mut put = |pieces: &[&str]| pieces.iter().for_each(|piece| out.extend_from_slice(piece.as_bytes()));
        put(&[r#","choices":[{"index":0,"message":{"role":"assistant","content":"#]);
        match &self.content {
            Some(content) => put(&["\"", content, "\""]),
            // There is something else to see.
            None if !self.calls.is_empty() || self.refusal.is_some() => put(&["null"]),
            None => put(&["\"\""]),
        }
        match &self.refusal {
            Some(refusal) => put(&[",\"refusal\":\"", refusal, "\""]),
            None => put(&[",\"refusal\":null"]),
        }
        if !self.reasoning.is_empty() {
            put(&[",\"reasoning_content\":\"", &self.reasoning, "\""]);
        }
        for (name, list) in
            [("reasoning_details", &self.details), ("images", &self.images), ("annotations", &self.annotations)]
        {
            if !list.is_empty() {
                put(&[",\"", name, "\":[", list, "]"]);
            }
        }
        put(&[&self.calls_written()]);
        let reason = self.words.finish_reason(self.finish, self.view.has_legacy_functions);
        put(&["},\"logprobs\":"]);
        match &*self.logprobs {
            "" => put(&["null"]),
            content => put(&["{\"content\":[", content, "],\"refusal\":null}"]),
        }
        put(&[",\"finish_reason\":\"", reason, "\"}]"]);
        if let Some(tier) = &self.service_tier {
            put(&[",\"service_tier\":\"", words::tier(tier), "\""]);
        }
        put(&[",\"usage\":"]);
        words::write_usage(&self.usage, &Closing::default(), &mut out);
        out.push(b'}');
        out
    }

    fn calls_written(&self) -> String {
        if self.view.has_legacy_functions {
            // The old form has one call and no id.
            let Some(call) = self.calls.first() else { return String::new() };
            let arguments = call.arguments_or_none();
            return [",\"function_call\":{\"name\":\"", &call.name, "\",\"arguments\":\"", arguments, "\"}"].concat();
        }
        let mut list = String::new();
        for call in self.calls.iter().filter(|call| !call.opening.is_empty()) {
            let mut spelt = ["{", &call.opening, call.arguments_or_none(), "\"}"].concat();
            if let Some(thought) = &call.thought {
                spelt.push_str(&[",\"extra_content\":{\"flux\":{\"thought\":\"", thought.spelt(), "\"}}"].concat());
            }
            spelt.push('}');
            add(&mut list, &spelt);
        }
        if list.is_empty() { list } else { [",\"tool_calls\":[", &list, "]"].concat() }
    }
}

impl Call {
    /// A function without arguments is called with an empty object.
    fn arguments_or_none(&self) -> &str {
        if self.arguments.is_empty() && self.kind == CallKind::Function { "{}" } else { &self.arguments }
    }
}

/// Adds an element to a list.
fn add(list: &mut String, element: &str) {
    if !list.is_empty() && !element.is_empty() {
        list.push(',');
    }
    list.push_str(element);
}
