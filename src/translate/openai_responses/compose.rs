//! Events of an answer → items, with the frames that tell of them.
//!
//! Must not know who takes the frames, nor how an item or the response object is spelt. The `done` events and the
//! last one repeat what came before, so all of an answer is kept here, within the view's bound. One item at most
//! is open besides calls; calls may grow side by side. A sealed thought is an item of its own, right after the
//! text or call that it stands on: that is where a request finds it again.

use std::sync::Arc;

use crate::base::usage::Usage;
use crate::translate::envelope::Envelope;
use crate::translate::ir::{Blob, CallKind, Event, Finish, Maker, Text, Value};
use crate::translate::{Closing, Overflow, View};
use crate::wire::json::Writer;

use super::frames::{Body, Frames, Head, Mode, Status, one_line};
use super::items::{self, Call, ContentKind, Item, Message, Reasoning};

/// What an item takes beside its content.
const ITEM_BYTES: usize = 256;
/// Why a model ended that declined, where it did not say so itself.
const REFUSED: &str = "The model declined to answer.";

/// Where the answer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Waiting,
    Open,
    Closed,
}

/// An item with its id.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) id: String,
    pub(super) item: Item,
}

/// A call that may still grow.
#[derive(Clone, Copy, Debug)]
struct OpenCall {
    /// Among the calls.
    index: usize,
    /// Among the items.
    at: usize,
    /// It is whole, but a call before it is not: items are told to be done in their order.
    is_ended: bool,
}

/// Puts an answer together.
#[derive(Debug)]
pub(super) struct Composer {
    pub(super) frames: Frames,
    head: Head,
    request_id: u128,
    pub(super) slots: Vec<Slot>,
    /// The message or thought that is open.
    pub(super) open: Option<usize>,
    calls: Vec<OpenCall>,
    stage: Stage,
    finish: Option<Finish>,
    has_refusal: bool,
    usage: Option<Usage>,
    tier: Option<Text<'static>>,
    envelope: Arc<Envelope>,
    maker: Maker<'static>,
    kept_bytes: usize,
    kept_bytes_max: usize,
}

impl Composer {
    pub(super) fn new(view: View, mode: Mode) -> Self {
        Self {
            frames: Frames::new(mode),
            head: Head::new(&view),
            request_id: view.id.0,
            slots: Vec::new(),
            open: None,
            calls: Vec::new(),
            stage: Stage::Waiting,
            finish: None,
            has_refusal: false,
            usage: None,
            tier: None,
            envelope: view.envelope,
            maker: view.maker,
            kept_bytes: 0,
            kept_bytes_max: view.kept_bytes_max,
        }
    }

    /// Takes an event.
    pub(super) fn event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) -> Result<(), Overflow> {
        if self.stage == Stage::Closed || matches!(event, Event::Fault(_)) {
            return Ok(());
        }
        self.begin(out);
        match event {
            Event::Text(piece) => self.content(ContentKind::Text, piece, out),
            Event::Refusal(piece) => self.content(ContentKind::Refusal, piece, out),
            Event::Thought(piece) => self.thought(piece, out),
            Event::Sealed(blob) => self.sealed(blob, out),
            Event::CallStart { index, id, name, kind } => {
                let call = Call {
                    kind: *kind,
                    answers_to: id.clone().into_owned(),
                    name: name.clone().into_owned(),
                    arguments: String::new(),
                };
                self.call(*index, call, out)
            }
            Event::CallArguments { index, piece } => self.arguments(*index, piece, out),
            Event::PartEnd => self.end_part(out),
            Event::Citation(citation) => self.cite(citation, out),
            Event::Image { media_type, base64 } => self.image(media_type, base64, out),
            Event::Logprobs(value) => self.logprobs(*value),
            Event::Finish { reason, stop: _ } => {
                self.finish = Some(*reason);
                Ok(())
            }
            Event::Usage { usage, service_tier } => {
                self.usage = Some(*usage);
                self.tier = service_tier.clone().map(Text::into_owned).or_else(|| self.tier.take());
                Ok(())
            }
            Event::Start { id: _, usage } => {
                self.usage = usage.or(self.usage);
                Ok(())
            }
            Event::Fault(_) => Ok(()),
        }
    }

    /// The first frames: the response object without an item.
    fn begin(&mut self, out: &mut Vec<u8>) {
        if self.stage != Stage::Waiting {
            return;
        }
        self.stage = Stage::Open;
        for name in ["response.created", "response.in_progress"] {
            let body = Body {
                status: Status::InProgress,
                incomplete: None,
                error: None,
                usage: None,
                tier: None,
                cost_usd: None,
            };
            self.frames.send(name, out, |w| self.head.write(w.name("response"), &body, |_| {}));
        }
    }

    /// Ends an answer that came to its end.
    pub(super) fn close(&mut self, closing: &Closing<'_>, out: &mut Vec<u8>) -> Result<(), Overflow> {
        if self.stage == Stage::Closed {
            return Ok(());
        }
        self.begin(out);
        // All that was taken is told: the end adds an empty object or a few words.
        self.kept_bytes_max = usize::MAX;
        if self.finish == Some(Finish::Refusal) && !self.has_refusal {
            self.content(ContentKind::Refusal, &Text::spelt_as(REFUSED), out)?;
        }
        let incomplete = self.incomplete();
        let status = if incomplete.is_some() { Status::Incomplete } else { Status::Completed };
        self.end_items(status, out)?;
        self.stage = Stage::Closed;
        if let Some(cost) = closing.cost_usd {
            // A comment: only those read it who look for it.
            out.extend_from_slice([": x-flux-cost-usd ", cost, "\n\n"].concat().as_bytes());
        }
        let name = if incomplete.is_some() { "response.incomplete" } else { "response.completed" };
        let body = Body { cost_usd: closing.cost_usd, ..self.body(status) };
        self.frames.send(name, out, |w| self.head.write(w.name("response"), &body, |w| write_output(w, &self.slots)));
        Ok(())
    }

    /// The whole response object, after its end.
    pub(super) fn write_response(&self, w: &mut Writer) {
        let status = if self.incomplete().is_some() { Status::Incomplete } else { Status::Completed };
        self.head.write(w, &self.body(status), |w| write_output(w, &self.slots));
    }

    /// Ends an answer that failed.
    pub(super) fn fail(&mut self, code: &str, message: &str, out: &mut Vec<u8>) {
        let stage = std::mem::replace(&mut self.stage, Stage::Closed);
        match stage {
            Stage::Closed => {}
            Stage::Waiting => self.frames.send("error", out, |w| {
                w.name("code").plain(code);
                w.name("message").plain(message);
                w.name("param").null();
            }),
            Stage::Open => {
                let body = Body { error: Some((code, message)), incomplete: None, ..self.body(Status::Failed) };
                let done = |w: &mut Writer| write_output(w, &self.slots);
                self.frames.send("response.failed", out, |w| self.head.write(w.name("response"), &body, done));
            }
        }
    }

    fn body<'b>(&self, status: Status) -> Body<'b> {
        let (usage, tier) = (self.usage, self.tier.clone());
        Body { status, incomplete: self.incomplete(), error: None, usage, tier, cost_usd: None }
    }

    /// Why the answer is not whole, if it is not.
    fn incomplete(&self) -> Option<&'static str> {
        match self.finish? {
            Finish::Length | Finish::ContextFull | Finish::Paused => Some("max_output_tokens"),
            Finish::Filtered => Some("content_filter"),
            Finish::Done | Finish::Stop | Finish::Calls | Finish::Refusal => None,
        }
    }

    /// Counts bytes that are kept to be repeated.
    pub(super) fn keep(&mut self, bytes: usize) -> Result<(), Overflow> {
        self.kept_bytes = self.kept_bytes.saturating_add(bytes);
        if self.kept_bytes > self.kept_bytes_max { Err(Overflow) } else { Ok(()) }
    }

    /// A new item at the end of the list.
    pub(super) fn push(&mut self, item: Item, out: &mut Vec<u8>) -> Result<usize, Overflow> {
        self.keep(ITEM_BYTES)?;
        let at = self.slots.len();
        let slot = Slot { id: self.item_id(item.id_prefix(), at), item };
        self.frames.send("response.output_item.added", out, |w| {
            w.name("output_index").number(at as u64);
            slot.item.write(w.name("item"), &slot.id, Status::InProgress);
        });
        self.slots.push(slot);
        Ok(at)
    }

    pub(super) fn item_id(&self, prefix: &str, at: usize) -> String {
        format!("{prefix}_{:032x}_{at}", self.request_id)
    }

    /// The end of an item whose last part has ended.
    pub(super) fn finish_item(&mut self, at: usize, status: Status, out: &mut Vec<u8>) {
        let Some(slot) = self.slots.get_mut(at) else { return };
        let mut writer = Writer::with_capacity(ITEM_BYTES);
        slot.item.write(&mut writer, &slot.id, status);
        let json = String::from_utf8(writer.into_bytes()).unwrap_or_default();
        self.frames.send("response.output_item.done", out, |w| {
            w.name("output_index").number(at as u64);
            w.name("item").raw(&json);
        });
        slot.item = Item::Done(json);
    }

    fn thought(&mut self, piece: &Text<'_>, out: &mut Vec<u8>) -> Result<(), Overflow> {
        if piece.is_empty() {
            return Ok(());
        }
        let at = if let Some(at) = self.open_reasoning() {
            at
        } else {
            self.end_open(Status::Completed, out);
            let at = self.push(Item::Reasoning(Reasoning::default()), out)?;
            self.open = Some(at);
            at
        };
        self.keep(piece.spelt().len())?;
        let Some(Slot { id, item: Item::Reasoning(reasoning) }) = self.slots.get_mut(at) else { return Ok(()) };
        if reasoning.summary.is_empty() {
            self.frames.send("response.reasoning_summary_part.added", out, |w| {
                write_place(w, id, at, "summary_index", 0);
                items::write_summary(w.name("part"), "");
            });
        }
        reasoning.summary.push_str(piece.spelt());
        self.frames.send("response.reasoning_summary_text.delta", out, |w| {
            write_place(w, id, at, "summary_index", 0);
            w.name("delta").text(piece);
        });
        Ok(())
    }

    /// The open thought, if it is not sealed yet: a sealed one takes no more.
    fn open_reasoning(&self) -> Option<usize> {
        let at = self.open?;
        match &self.slots.get(at)?.item {
            Item::Reasoning(Reasoning { sealed: None, .. }) => Some(at),
            Item::Reasoning(_) | Item::Message(_) | Item::Call(_) | Item::Done(_) => None,
        }
    }

    fn sealed(&mut self, blob: &Blob<'_>, out: &mut Vec<u8>) -> Result<(), Overflow> {
        let sealed = self.envelope.seal(blob.kind, &blob.token, &self.maker);
        self.keep(sealed.spelt().len())?;
        if let Some(Slot { item: Item::Reasoning(reasoning), .. }) =
            self.open_reasoning().and_then(|at| self.slots.get_mut(at))
        {
            reasoning.sealed = Some(sealed);
            return Ok(());
        }
        // Clients keep items as they are done: a seal behind the call that it stands on, whose arguments have come.
        self.end_calls(out)?;
        self.end_open(Status::Completed, out);
        let at = self.push(Item::Reasoning(Reasoning::default()), out)?;
        if let Some(Slot { item: Item::Reasoning(reasoning), .. }) = self.slots.get_mut(at) {
            reasoning.sealed = Some(sealed);
        }
        self.finish_item(at, Status::Completed, out);
        Ok(())
    }

    fn call(&mut self, index: usize, call: Call, out: &mut Vec<u8>) -> Result<(), Overflow> {
        self.end_open(Status::Completed, out);
        self.keep(call.answers_to.spelt().len() + call.name.spelt().len())?;
        let at = self.push(Item::Call(call), out)?;
        self.calls.push(OpenCall { index, at, is_ended: false });
        Ok(())
    }

    fn arguments(&mut self, index: usize, piece: &Text<'_>, out: &mut Vec<u8>) -> Result<(), Overflow> {
        let Some(OpenCall { at, .. }) = self.calls.iter().rev().find(|call| call.index == index).copied() else {
            return Ok(());
        };
        if piece.is_empty() {
            return Ok(());
        }
        self.keep(piece.spelt().len())?;
        let Some(Slot { id, item: Item::Call(call) }) = self.slots.get_mut(at) else { return Ok(()) };
        call.arguments.push_str(piece.spelt());
        let name = match call.kind {
            CallKind::Function => "response.function_call_arguments.delta",
            CallKind::Custom => "response.custom_tool_call_input.delta",
        };
        self.frames.send(name, out, |w| {
            w.name("item_id").text(&Text::spelt_as(&**id));
            w.name("output_index").number(at as u64);
            w.name("delta").text(piece);
        });
        Ok(())
    }

    fn end_call(&mut self, open: OpenCall, status: Status, out: &mut Vec<u8>) -> Result<(), Overflow> {
        let OpenCall { index, at, is_ended: _ } = open;
        let Some(Slot { item: Item::Call(call), .. }) = self.slots.get(at) else {
            self.calls.retain(|call| call.at != at);
            return Ok(());
        };
        if call.kind == CallKind::Function && call.arguments.is_empty() && status == Status::Completed {
            self.arguments(index, &Text::spelt_as("{}"), out)?;
        }
        self.calls.retain(|call| call.at != at);
        let Some(Slot { id, item: Item::Call(call) }) = self.slots.get(at) else { return Ok(()) };
        let (name, member) = match call.kind {
            CallKind::Function => ("response.function_call_arguments.done", "arguments"),
            CallKind::Custom => ("response.custom_tool_call_input.done", "input"),
        };
        self.frames.send(name, out, |w| {
            w.name("item_id").text(&Text::spelt_as(&**id));
            w.name("output_index").number(at as u64);
            w.name(member).text(&Text::spelt_as(&*call.arguments));
        });
        self.finish_item(at, status, out);
        Ok(())
    }

    /// The open part is whole. A message stays open for another part.
    fn end_part(&mut self, out: &mut Vec<u8>) -> Result<(), Overflow> {
        if let Some(Slot { item, .. }) = self.open.and_then(|at| self.slots.get_mut(at)) {
            if let Item::Message(Message { open: Some(content), .. }) = item
                && !content.is_ended
            {
                content.is_ended = true;
                return Ok(());
            }
            if matches!(item, Item::Reasoning(_)) {
                self.end_open(Status::Completed, out);
                return Ok(());
            }
        }
        if let Some(call) = self.calls.iter_mut().rev().find(|call| !call.is_ended) {
            call.is_ended = true;
        }
        while let Some(call) = self.calls.first().copied().filter(|call| call.is_ended) {
            self.end_call(call, Status::Completed, out)?;
        }
        Ok(())
    }

    /// Ends all calls, in the order of the items.
    fn end_calls(&mut self, out: &mut Vec<u8>) -> Result<(), Overflow> {
        while let Some(call) = self.calls.first().copied() {
            self.end_call(call, Status::Completed, out)?;
        }
        Ok(())
    }

    /// Ends the message or thought that is open.
    pub(super) fn end_open(&mut self, status: Status, out: &mut Vec<u8>) {
        let Some(at) = self.open.take() else { return };
        match self.slots.get_mut(at) {
            Some(Slot { item: Item::Message(_), .. }) => self.end_content(at, out),
            Some(Slot { id, item: Item::Reasoning(reasoning) }) => {
                self.frames.send("response.reasoning_summary_text.done", out, |w| {
                    write_place(w, id, at, "summary_index", 0);
                    w.name("text").text(&Text::spelt_as(&*reasoning.summary));
                });
                self.frames.send("response.reasoning_summary_part.done", out, |w| {
                    write_place(w, id, at, "summary_index", 0);
                    items::write_summary(w.name("part"), &reasoning.summary);
                });
            }
            Some(Slot { item: Item::Call(_) | Item::Done(_), .. }) | None => return,
        }
        self.finish_item(at, status, out);
    }

    /// Ends what is open, in the order of the items. Only the last one can have been cut off.
    fn end_items(&mut self, status: Status, out: &mut Vec<u8>) -> Result<(), Overflow> {
        for at in 0..self.slots.len() {
            let is_cut = at + 1 == self.slots.len() && !self.is_ended(at);
            let status = if is_cut { status } else { Status::Completed };
            if self.open == Some(at) {
                self.end_open(status, out);
            } else if let Some(call) = self.calls.iter().find(|call| call.at == at).copied() {
                self.end_call(call, status, out)?;
            }
        }
        Ok(())
    }

    fn is_ended(&self, at: usize) -> bool {
        match self.slots.get(at).map(|slot| &slot.item) {
            Some(Item::Message(Message { open, .. })) => open.as_ref().is_none_or(|content| content.is_ended),
            Some(Item::Reasoning(_) | Item::Call(_) | Item::Done(_)) | None => false,
        }
    }

    fn image(&mut self, media_type: &Text<'_>, base64: &Text<'_>, out: &mut Vec<u8>) -> Result<(), Overflow> {
        self.end_open(Status::Completed, out);
        self.keep(ITEM_BYTES + base64.spelt().len())?;
        let at = self.slots.len();
        let id = self.item_id("ig", at);
        self.frames.send("response.output_item.added", out, |w| {
            w.name("output_index").number(at as u64);
            items::write_image_begun(w.name("item"), &id);
        });
        for step in ["in_progress", "generating", "completed"] {
            self.frames.send(&format!("response.image_generation_call.{step}"), out, |w| {
                w.name("item_id").text(&Text::spelt_as(&*id));
                w.name("output_index").number(at as u64);
            });
        }
        let mut writer = Writer::with_capacity(base64.spelt().len() + ITEM_BYTES);
        items::write_image(&mut writer, &id, media_type, base64);
        let json = String::from_utf8(writer.into_bytes()).unwrap_or_default();
        self.slots.push(Slot { id, item: Item::Done(json) });
        self.finish_item(at, Status::Completed, out);
        Ok(())
    }

    fn logprobs(&mut self, value: Value<'_>) -> Result<(), Overflow> {
        let Some(Slot { item: Item::Message(message), .. }) = self.open.and_then(|at| self.slots.get_mut(at)) else {
            return Ok(());
        };
        let Some(content) = &mut message.open else { return Ok(()) };
        let bytes = value.elements().map(|word| items::join(&mut content.logprobs, &one_line(word.spelt()))).sum();
        self.keep(bytes)
    }

    /// A refusal was seen.
    pub(super) fn note_refusal(&mut self) {
        self.has_refusal = true;
    }
}

/// Writes where in the answer a frame belongs: the item, and the part of it.
pub(super) fn write_place(w: &mut Writer, id: &str, at: usize, part: &str, index: u64) {
    w.name("item_id").text(&Text::spelt_as(id));
    w.name("output_index").number(at as u64);
    w.name(part).number(index);
}

/// The items that are done.
fn write_output(w: &mut Writer, slots: &[Slot]) {
    for Slot { item, .. } in slots {
        if let Item::Done(json) = item {
            w.raw(json);
        }
    }
}
