//! Conversations of `flux-auto` that are remembered: in which lane and at which model each is.
//!
//! Must not keep any of their text: a conversation is a keyed hash. Bounded in number and in idle time; what is forgotten
//! is decided anew, which is never wrong, only less steady.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::base::ids::AccountId;
use crate::classify::steady::Ladder;

/// The longest name of a session that a client may give.
pub const SESSION_BYTES_MAX: usize = 128;

/// Which conversation: a hash that nobody can make up without the key of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConversationId(u64);

/// What is remembered of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// Its lane.
    pub ladder: Ladder,
    /// The id of the model that answered last.
    pub model: Arc<str>,
    /// When it had answered.
    pub at: Instant,
    /// Tokens of the prompt that it answered to.
    pub prompt_tokens: u64,
    /// Tokens of its answer.
    pub output_tokens: u64,
}

/// The conversations of this process.
#[derive(Debug)]
pub struct Conversations {
    // Clients choose what lands here, so both hashers are the keyed one of the standard library.
    known: Cache<ConversationId, Remembered>,
    key: RandomState,
    is_off: bool,
}

impl Conversations {
    /// At most `remembered_max` conversations, each for `idle` after its last turn. None at all for 0.
    pub fn new(remembered_max: usize, idle: Duration) -> Self {
        let known = Cache::builder()
            .max_capacity(u64::try_from(remembered_max).unwrap_or(u64::MAX))
            .time_to_idle(idle)
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Self { known, key: RandomState::new(), is_off: remembered_max == 0 }
    }

    /// Whether none is remembered.
    pub fn is_off(&self) -> bool {
        self.is_off
    }

    /// The conversation of an account that the client calls `session`, or that opens as `opening` writes it.
    pub fn id(
        &self,
        account: AccountId,
        session: Option<&[u8]>,
        opening: impl FnOnce(&mut dyn Hasher),
    ) -> ConversationId {
        let mut hasher = self.key.build_hasher();
        hasher.write_i64(account.0);
        hasher.write_u8(u8::from(session.is_some()));
        match session {
            Some(session) => hasher.write(session),
            None => opening(&mut hasher),
        }
        ConversationId(hasher.finish())
    }

    /// What is remembered of it.
    pub fn recall(&self, id: ConversationId) -> Option<Remembered> {
        self.known.get(&id)
    }

    /// Remembers its last turn.
    pub fn remember(&self, id: ConversationId, remembered: Remembered) {
        self.known.insert(id, remembered);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remembered(lane: usize) -> Remembered {
        let ladder = Ladder { lane, calm: 0, wanted: 0 };
        #[expect(clippy::disallowed_methods, reason = "any instant will do")]
        Remembered { ladder, model: Arc::from("m"), at: Instant::now(), prompt_tokens: 1, output_tokens: 1 }
    }

    #[test]
    fn a_conversation_is_its_accounts() {
        let conversations = Conversations::new(10, Duration::from_mins(1));
        let id = |account, session: Option<&[u8]>, opening: &'static [u8]| {
            conversations.id(AccountId(account), session, |hasher| hasher.write(opening))
        };
        assert_eq!(id(1, None, b"a"), id(1, None, b"a"));
        assert_eq!(id(1, Some(b"s"), b"a"), id(1, Some(b"s"), b"b"), "the session's name is enough");
        for other in [id(2, None, b"a"), id(1, None, b"b"), id(1, Some(b"a"), b"a")] {
            assert_ne!(id(1, None, b"a"), other);
        }
        conversations.remember(id(1, None, b"a"), remembered(2));
        assert_eq!(conversations.recall(id(1, None, b"a")).map(|known| known.ladder.lane), Some(2));
        assert_eq!(conversations.recall(id(2, None, b"a")), None);
    }

    #[test]
    fn no_more_are_remembered_than_may_be() {
        let conversations = Conversations::new(100, Duration::from_mins(1));
        for account in 0..10_000 {
            let id = conversations.id(AccountId(account), None, |_| {});
            conversations.remember(id, remembered(0));
        }
        conversations.known.run_pending_tasks();
        assert!(conversations.known.entry_count() <= 100, "{}", conversations.known.entry_count());
        assert!(Conversations::new(0, Duration::from_mins(1)).is_off());
    }
}
