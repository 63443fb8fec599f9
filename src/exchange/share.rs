//! The number by which a request is given to one of the targets that share a step: the same for all turns of a conversation.
//!
//! Must not keep any text of it: that goes into a hasher. The hash has no key, so that it outlives the process; nobody gains by
//! foreseeing it, since whoever wants another target may give the session another name.

use std::hash::{DefaultHasher, Hasher};

use super::Asked;
use crate::accounts::key::KeyState;
use crate::base::wire_format::WireFormat;
use crate::catalog::Chain;
use crate::classify::features::FeatureInput;
use crate::classify::opening;
use crate::wire::head::Head;

/// What a request tells of its conversation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told<'a> {
    /// Who asks.
    pub(super) key: &'a KeyState,
    /// What its headers say.
    pub(super) asked: &'a Asked,
    pub(super) format: WireFormat,
    pub(super) head: &'a Head,
    pub(super) body: &'a [u8],
}

impl Told<'_> {
    /// The number of the conversation; `None` where the chain shares nothing, so that no body is looked at for it, and
    /// where nothing tells which conversation it is.
    pub(super) fn draw(self, chain: &Chain) -> Option<u64> {
        let Self { key, asked, format, head, body } = self;
        if !chain.has_shared_steps() {
            return None;
        }
        let mut hasher = DefaultHasher::new();
        hasher.write_i64(key.account.id.0);
        if let Some(session) = &asked.session {
            hasher.write(session);
            return Some(hasher.finish());
        }
        let silent = hasher.finish();
        if format.is_conversation() {
            opening::write(&FeatureInput::of(format, head, body), &mut hasher);
        }
        Some(hasher.finish()).filter(|draw| *draw != silent)
    }
}
