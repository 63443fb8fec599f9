//! The parts of messages: texts and refusals, and the sources that stand on a text.
//!
//! Must not know other items than messages.

use crate::translate::Overflow;
use crate::translate::ir::{Citation, Text};
use crate::wire::json::Writer;

use super::compose::{Composer, Slot, write_place};
use super::frames::Status;
use super::items::{self, Content, ContentKind, Item, Message};

impl Composer {
    /// A piece of a text or refusal.
    pub(super) fn content(&mut self, kind: ContentKind, piece: &Text<'_>, out: &mut Vec<u8>) -> Result<(), Overflow> {
        if piece.is_empty() {
            return Ok(());
        }
        if kind == ContentKind::Refusal {
            self.note_refusal();
        }
        self.keep(piece.spelt().len())?;
        let at = self.message_for(kind, out)?;
        let Some(Slot { id, item: Item::Message(message) }) = self.slots.get_mut(at) else { return Ok(()) };
        let index = message.done_count;
        if message.open.is_none() {
            let content = Content::new(kind);
            self.frames.send("response.content_part.added", out, |w| {
                write_place(w, id, at, "content_index", index);
                content.write(w.name("part"));
            });
            message.open = Some(content);
        }
        if let Some(content) = &mut message.open {
            content.text.push_str(piece.spelt());
        }
        let name = match kind {
            ContentKind::Text => "response.output_text.delta",
            ContentKind::Refusal => "response.refusal.delta",
        };
        self.frames.send(name, out, |w| {
            write_place(w, id, at, "content_index", index);
            w.name("delta").text(piece);
            if kind == ContentKind::Text {
                w.name("logprobs").raw("[]");
            }
        });
        Ok(())
    }

    /// The open message, ready for a part of this kind; a new one where none is open.
    fn message_for(&mut self, kind: ContentKind, out: &mut Vec<u8>) -> Result<usize, Overflow> {
        if let Some(at) = self.open
            && let Some(Slot { item: Item::Message(message), .. }) = self.slots.get(at)
        {
            if message.open.as_ref().is_some_and(|content| content.is_ended || content.kind != kind) {
                self.end_content(at, out);
            }
            return Ok(at);
        }
        self.end_open(Status::Completed, out);
        let at = self.push(Item::Message(Message::default()), out)?;
        self.open = Some(at);
        Ok(at)
    }

    /// Ends the open part of a message.
    pub(super) fn end_content(&mut self, at: usize, out: &mut Vec<u8>) {
        let Some(Slot { id, item: Item::Message(message) }) = self.slots.get_mut(at) else { return };
        let Some(content) = message.open.take() else { return };
        let index = message.done_count;
        let text = Text::spelt_as(&*content.text);
        match content.kind {
            ContentKind::Text => self.frames.send("response.output_text.done", out, |w| {
                write_place(w, id, at, "content_index", index);
                w.name("text").text(&text);
                w.name("logprobs").array(|w| {
                    if !content.logprobs.is_empty() {
                        w.raw(&content.logprobs);
                    }
                });
            }),
            ContentKind::Refusal => self.frames.send("response.refusal.done", out, |w| {
                write_place(w, id, at, "content_index", index);
                w.name("refusal").text(&text);
            }),
        }
        let mut writer = Writer::with_capacity(content.text.len() + 128);
        content.write(&mut writer);
        let json = String::from_utf8(writer.into_bytes()).unwrap_or_default();
        self.frames.send("response.content_part.done", out, |w| {
            write_place(w, id, at, "content_index", index);
            w.name("part").raw(&json);
        });
        items::join(&mut message.done, &json);
        message.done_count += 1;
    }

    /// A source of the open text. A source of anything else has no place here.
    pub(super) fn cite(&mut self, citation: &Citation<'_>, out: &mut Vec<u8>) -> Result<(), Overflow> {
        let Some(at) = self.open else { return Ok(()) };
        let Some(Slot { id, item: Item::Message(message) }) = self.slots.get_mut(at) else { return Ok(()) };
        let content_index = message.done_count;
        let Some(content) = message.open.as_mut().filter(|content| content.kind == ContentKind::Text) else {
            return Ok(());
        };
        let whole = || (0, Text::spelt_as(&*content.text).to_plain().chars().count() as u64);
        let Some(json) = items::annotation(citation, whole) else { return Ok(()) };
        self.frames.send("response.output_text.annotation.added", out, |w| {
            write_place(w, id, at, "content_index", content_index);
            w.name("annotation_index").number(content.annotation_count);
            w.name("annotation").raw(&json);
        });
        content.annotation_count += 1;
        let bytes = items::join(&mut content.annotations, &json);
        self.keep(bytes)
    }
}
