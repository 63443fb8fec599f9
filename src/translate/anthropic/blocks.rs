//! Blocks of an answer that are kept: all of a whole answer, and of a stream those whose turn has not come.
//!
//! Must not know how they are written. What is kept is bounded.

use std::collections::VecDeque;

use super::ids;
use crate::base::ids::RequestId;
use crate::translate::ir::{Citation, Text};
use crate::translate::{Overflow, View};
use crate::wire::json::Writer;

/// A block of an answer.
#[derive(Debug)]
pub(super) struct Block {
    /// What it is.
    pub(super) kind: BlockKind,
    /// Its text, thought, arguments or token, as it is spelt in a JSON string.
    pub(super) content: String,
    /// What its maker wants back with it, sealed.
    pub(super) seal: Option<Text<'static>>,
    /// Its citations, objects with commas between them.
    pub(super) citations: String,
    /// Whether it is whole.
    pub(super) is_ended: bool,
}

/// What a block is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BlockKind {
    /// `text`
    Text,
    /// `thinking`
    Thought,
    /// `redacted_thinking`
    Sealed,
    /// `tool_use`
    Call {
        /// Which call of the answer.
        index: usize,
        /// As Anthropic takes it.
        id: String,
        /// Which tool.
        name: Text<'static>,
    },
}

impl BlockKind {
    fn is_call(&self) -> bool {
        matches!(self, Self::Call { .. })
    }
}

/// Blocks in their order.
#[derive(Debug)]
pub(super) struct Blocks {
    list: VecDeque<Block>,
    kept_bytes: usize,
    kept_bytes_max: usize,
}

impl Blocks {
    /// Keeps at most so many bytes.
    pub(super) fn new(kept_bytes_max: usize) -> Self {
        Self { list: VecDeque::new(), kept_bytes: 0, kept_bytes_max }
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Takes the first one out.
    pub(super) fn pop(&mut self) -> Option<Block> {
        let block = self.list.pop_front()?;
        self.kept_bytes = self.kept_bytes.saturating_sub(block.content.len() + block.citations.len());
        Some(block)
    }

    /// Adds to the last block, if it is of this kind, else begins one.
    pub(super) fn grow(&mut self, kind: BlockKind, piece: &Text<'_>) -> Result<(), Overflow> {
        self.keep(piece.spelt().len())?;
        match self.list.back_mut().filter(|last| last.kind == kind && !last.is_ended && last.seal.is_none()) {
            Some(last) => last.content.push_str(piece.spelt()),
            None => self.list.push_back(begun(kind, piece.spelt().to_owned())),
        }
        Ok(())
    }

    /// Begins a call.
    pub(super) fn call(&mut self, index: usize, id: String, name: &Text<'_>) -> Result<(), Overflow> {
        self.keep(id.len() + name.spelt().len())?;
        self.list.push_back(begun(BlockKind::Call { index, id, name: name.clone().into_owned() }, String::new()));
        Ok(())
    }

    /// Adds to the arguments of an open call. Of a call that nobody began, or that has ended, nothing is kept.
    pub(super) fn arguments(&mut self, index: usize, piece: &Text<'_>) -> Result<(), Overflow> {
        let is_it = |block: &&mut Block| {
            !block.is_ended && matches!(block.kind, BlockKind::Call { index: found, .. } if found == index)
        };
        let Some(call) = self.list.iter_mut().rev().find(is_it) else { return Ok(()) };
        call.content.push_str(piece.spelt());
        self.keep(piece.spelt().len())
    }

    /// Gives the last block that is not whole what its maker wants back; where it has that already, the token is a
    /// block of its own. Gives it back where there is no such block.
    pub(super) fn seal(&mut self, seal: Text<'static>) -> Result<Option<Text<'static>>, Overflow> {
        match self.last_unended() {
            Some(Block { seal: Some(_), .. }) => self.sealed(&seal).map(|()| None),
            Some(last) => {
                last.seal = Some(seal);
                Ok(None)
            }
            None => Ok(Some(seal)),
        }
    }

    /// A block that is nothing but a token.
    pub(super) fn sealed(&mut self, seal: &Text<'_>) -> Result<(), Overflow> {
        self.keep(seal.spelt().len())?;
        self.list.push_back(Block { is_ended: true, ..begun(BlockKind::Sealed, seal.spelt().to_owned()) });
        Ok(())
    }

    /// Cites a source for the last text.
    pub(super) fn cite(&mut self, citation: &Citation<'_>) -> Result<(), Overflow> {
        let Some(last) = self.list.back_mut().filter(|last| last.kind == BlockKind::Text && !last.is_ended) else {
            return Ok(());
        };
        let Some(spelt) = spell_citation(citation) else { return Ok(()) };
        if !last.citations.is_empty() {
            last.citations.push(',');
        }
        last.citations.push_str(&spelt);
        self.keep(spelt.len())
    }

    /// The last block that is not whole is so now; says whether there was one.
    pub(super) fn end_last(&mut self) -> bool {
        match self.last_unended() {
            Some(last) => {
                last.is_ended = true;
                true
            }
            None => false,
        }
    }

    /// All blocks are whole.
    pub(super) fn end_all(&mut self) {
        self.list.iter_mut().for_each(|block| block.is_ended = true);
    }

    /// The last block if it is open, else the last open call: other blocks end when another begins.
    fn last_unended(&mut self) -> Option<&mut Block> {
        let last = self.list.len().checked_sub(1)?;
        let is_open = |(at, block): &(usize, &mut Block)| !block.is_ended && (*at == last || block.kind.is_call());
        self.list.iter_mut().enumerate().rev().find(is_open).map(|(_, block)| block)
    }

    fn keep(&mut self, bytes: usize) -> Result<(), Overflow> {
        self.kept_bytes = self.kept_bytes.saturating_add(bytes);
        if self.kept_bytes > self.kept_bytes_max { Err(Overflow) } else { Ok(()) }
    }
}

fn begun(kind: BlockKind, content: String) -> Block {
    Block { kind, content, seal: None, citations: String::new(), is_ended: false }
}

/// A citation as of a search: the one kind that has an address. `None` where there is none.
pub(super) fn spell_citation(citation: &Citation<'_>) -> Option<String> {
    let Citation { url, title, quote, range: _ } = citation;
    let url = url.as_ref()?;
    let mut w = Writer::default();
    w.object(|w| {
        w.name("type").text(&Text::spelt_as("web_search_result_location"));
        w.name("cited_text").text(&quote.as_ref().map(Text::by_ref).unwrap_or_default());
        w.name("encrypted_index").text(&Text::default());
        match title {
            Some(title) => w.name("title").text(title),
            None => w.name("title").raw("null"),
        }
        w.name("url").text(url);
    });
    String::from_utf8(w.into_bytes()).ok()
}

/// The id of a call: the provider's, or one of ours where it gave none.
pub(super) fn call_id(id: &Text<'_>, view: &View, index: usize) -> String {
    if id.is_empty() { format!("toolu_{}_{index}", hex(view.id)) } else { ids::fitting(id).into_owned() }
}

/// The id of the message.
pub(super) fn message_id(id: RequestId) -> String {
    format!("msg_{}", hex(id))
}

fn hex(id: RequestId) -> String {
    format!("{:032x}", id.0)
}
