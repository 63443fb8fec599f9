//! `thoughtSignature`: where a sealed state goes back in.
//!
//! Must not know how parts are written. Gemini signs the first call of a step, or the last piece of a text. Clients
//! of other formats have no such place: what they were given comes back on a part of its own or on a thought, before
//! or behind the part that it belongs to. Newer models refuse a call of the turn at hand whose signature is missing,
//! so that a history from elsewhere gets the placeholder that Google names for it.
//! <https://ai.google.dev/gemini-api/docs/thought-signatures>, 2026-11-22.

use std::borrow::Cow;

use super::Facts;
use crate::translate::ir::{Part, PartKind, Text};
use crate::translate::turns::{Message, Speaker};

/// Instead of a signature that was lost.
const PLACEHOLDER: &str = "skip_thought_signature_validator";

/// A part of the model's content.
#[derive(Debug)]
pub(super) struct Piece<'r, 'a> {
    /// What it is; `None` for an empty text that only carries its signature.
    pub(super) kind: Option<&'r PartKind<'a>>,
    /// Its signature.
    pub(super) signature: Option<Text<'r>>,
}

/// Where the turn at hand begins: with the last message of the user that is more than results.
pub(super) fn current_turn(messages: &[Message<'_, '_>]) -> usize {
    let speaks = |message: &Message<'_, '_>| {
        message.speaker == Speaker::User && message.parts.iter().any(|part| part.kind.as_result().is_none())
    };
    messages.iter().rposition(speaks).unwrap_or(0)
}

/// The parts of one content of the model with the signatures that go with them.
pub(super) fn placed<'r, 'a>(
    parts: &'r [Cow<'r, Part<'a>>],
    is_current: bool,
    facts: &Facts<'_>,
) -> Vec<Piece<'r, 'a>> {
    let mut placing = Placing { pieces: Vec::with_capacity(parts.len()), loose: None, has_call: false };
    for part in parts {
        let signature = part.blob.as_ref().filter(|blob| facts.is_own(blob)).map(|blob| blob.token.by_ref());
        placing.push(&part.kind, signature);
    }
    placing.settle();
    let mut pieces = placing.pieces;
    if is_current && !facts.is_before_three() {
        let first = pieces.iter_mut().find(|piece| piece.is_call());
        if let Some(Piece { signature: signature @ None, .. }) = first {
            *signature = Some(Text::spelt_as(PLACEHOLDER));
        }
    }
    pieces
}

impl Piece<'_, '_> {
    fn is_call(&self) -> bool {
        matches!(self.kind, Some(PartKind::Call(_)))
    }
}

struct Placing<'r, 'a> {
    pieces: Vec<Piece<'r, 'a>>,
    /// A signature that came on no text or call.
    loose: Option<Text<'r>>,
    has_call: bool,
}

impl<'r, 'a> Placing<'r, 'a> {
    fn push(&mut self, kind: &'r PartKind<'a>, mut signature: Option<Text<'r>>) {
        match kind {
            PartKind::Thought(text) => {
                // A thought that is not the target's own is dropped.
                let Some(signature) = signature else { return };
                self.settle();
                if !text.is_blank() {
                    self.pieces.push(Piece { kind: Some(kind), signature: None });
                }
                self.loose = Some(signature);
                self.give_to_first_call();
            }
            PartKind::Call(_) => {
                // The same may be kept in two places.
                if self.loose == signature || (signature.is_none() && !self.has_call) {
                    signature = self.loose.take();
                }
                self.settle();
                self.has_call = true;
                self.pieces.push(Piece { kind: Some(kind), signature });
            }
            // An empty text was only there for a signature, which is another model's.
            PartKind::Text(text) if text.is_blank() && signature.is_none() => {}
            PartKind::Text(_)
            | PartKind::Refusal(_)
            | PartKind::Image(_)
            | PartKind::File(_)
            | PartKind::Audio(_)
            | PartKind::Result(_) => {
                self.settle();
                self.pieces.push(Piece { kind: Some(kind), signature });
            }
        }
    }

    /// A signature directly behind the first call is the call's.
    fn give_to_first_call(&mut self) {
        let calls = self.pieces.iter().filter(|piece| piece.is_call()).count();
        if let Some(last) = self.pieces.last_mut().filter(|last| calls == 1 && last.is_call())
            && (last.signature.is_none() || last.signature == self.loose)
        {
            last.signature = self.loose.take();
        }
    }

    /// Gives a signature that waited for a call to what stands before it.
    fn settle(&mut self) {
        let Some(signature) = self.loose.take() else { return };
        match self.pieces.last_mut() {
            Some(Piece { kind: Some(PartKind::Text(_) | PartKind::Thought(_)), signature: free @ None }) => {
                *free = Some(signature);
            }
            _ => self.pieces.push(Piece { kind: None, signature: Some(signature) }),
        }
    }
}
