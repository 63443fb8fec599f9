//! Events → a whole Anthropic message.
//!
//! Must not know who answers, nor that there are streams.

use super::blocks::{self, Block, BlockKind, Blocks};
use super::blocks_write::write_input;
use super::stop::{End, Scope};
use super::stream_write::write_head;
use crate::translate::ir::{BlobKind, Event, Text};
use crate::translate::{Closing, Overflow, View, envelope};
use crate::wire::json::Writer;

/// Gathers one answer.
#[derive(Debug)]
pub struct WholeWriter {
    view: View,
    blocks: Blocks,
    end: End,
}

impl WholeWriter {
    /// For one answer.
    pub fn new(view: View) -> Self {
        let blocks = Blocks::new(view.kept_bytes_max);
        Self { view, blocks, end: End::default() }
    }

    /// Takes the next event.
    ///
    /// # Errors
    /// When the answer is longer than may be kept.
    pub fn event(&mut self, event: &Event<'_>) -> Result<(), Overflow> {
        self.end.note(event);
        match event {
            Event::Text(text) | Event::Refusal(text) if !text.is_empty() => self.blocks.grow(BlockKind::Text, text),
            Event::Thought(thought) if !thought.is_empty() => self.blocks.grow(BlockKind::Thought, thought),
            Event::Sealed(blob) => {
                let seal = self.view.envelope.seal(blob.kind, &blob.token, &self.view.maker);
                let is_own_block = blob.kind == BlobKind::AnthropicRedacted;
                let rest = if is_own_block { Some(seal) } else { self.blocks.seal(seal)? };
                rest.map_or(Ok(()), |seal| self.blocks.sealed(&seal))
            }
            Event::CallStart { index, id, name, kind: _ } => {
                self.blocks.call(*index, blocks::call_id(id, &self.view, *index), name)
            }
            Event::CallArguments { index, piece } => self.blocks.arguments(*index, piece),
            Event::PartEnd => {
                self.blocks.end_last();
                Ok(())
            }
            Event::Citation(citation) => self.blocks.cite(citation),
            Event::Start { .. }
            | Event::Text(_)
            | Event::Refusal(_)
            | Event::Thought(_)
            | Event::Image { .. }
            | Event::Logprobs(_)
            | Event::Finish { .. }
            | Event::Usage { .. }
            | Event::Fault(_) => Ok(()),
        }
    }

    /// The message. What it cost stands in a header.
    pub fn close(self, _: &Closing<'_>) -> Vec<u8> {
        let Self { view, mut blocks, end } = self;
        let mut w = Writer::default();
        w.object(|w| {
            write_head(&view, w);
            w.name("content").array(|w| {
                while let Some(block) = blocks.pop() {
                    write_block(block, w);
                }
            });
            end.write_reason(w);
            w.name("usage");
            end.write_usage(view.prompt_tokens, Scope::Message, w);
        });
        w.into_bytes()
    }
}

fn write_block(block: Block, w: &mut Writer) {
    let Block { kind, content, seal, citations, is_ended: _ } = block;
    let content = Text::spelt_as(content);
    let mut seal = seal;
    w.object(|w| match kind {
        BlockKind::Text => {
            w.name("type").text(&Text::spelt_as("text"));
            w.name("text").text(&content);
            if !citations.is_empty() {
                w.name("citations").array(|w| w.raw(&citations));
            }
        }
        BlockKind::Thought => {
            w.name("type").text(&Text::spelt_as("thinking"));
            w.name("thinking").text(&content);
            w.name("signature").text(&seal.take().unwrap_or_else(|| Text::spelt_as(envelope::NOTHING)));
        }
        BlockKind::Sealed => write_sealed(&content, w),
        BlockKind::Call { index: _, id, name } => {
            w.name("type").text(&Text::spelt_as("tool_use"));
            w.name("id").text(&Text::spelt_as(id));
            w.name("name").text(&name);
            w.name("input");
            write_input(&content.to_plain(), w);
        }
    });
    // What a text or a call is signed with follows it.
    if let Some(seal) = seal {
        w.object(|w| write_sealed(&seal, w));
    }
}

fn write_sealed(token: &Text<'_>, w: &mut Writer) {
    w.name("type").text(&Text::spelt_as("redacted_thinking"));
    w.name("data").text(token);
}
