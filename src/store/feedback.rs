//! What callers say of answers: one figure a request, the last one counts.
//!
//! Must not hold a word of theirs: a note would be content. What is said of a request goes when its row goes from the
//! ledger, and when its account is purged; so there is never more of it than rows.

use std::sync::{Arc, PoisonError};

use super::folder::Folder;
use super::sqlite::Database;
use super::usage::UsageReader;
use super::{BUSY_TIMEOUT, Store, StoreError};
use crate::base::ids::{AccountId, RequestId};
use crate::base::money::NanoUsd;
use crate::base::quality::Quality;

/// Most requests of one page.
pub const PAGE_MAX: usize = 10_000;

/// What is said of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feedback {
    /// Of which request.
    pub request_id: RequestId,
    /// How good it was.
    pub quality: Quality,
}

/// A request of which something was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgedRequest {
    /// Which one.
    pub request_id: RequestId,
    /// Whose.
    pub account: AccountId,
    /// How good the answer was, in thousandths.
    pub quality_milli: u16,
    /// The kind of work that `flux-auto` saw in it; empty where it was not asked.
    pub kind: Arc<str>,
    /// The lane that answered; empty for a pin.
    pub lane: Arc<str>,
    /// The model that answered, by its canonical id.
    pub model: Arc<str>,
    /// What the account was charged.
    pub cost: NanoUsd,
    /// Tokens of the prompt.
    pub input_tokens: u64,
    /// Tokens of the answer.
    pub output_tokens: u64,
}

/// A page of them, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeedbackPage {
    /// At most as many as were asked for.
    pub requests: Vec<JudgedRequest>,
    /// Behind which request the next page begins; `None` after the last.
    pub next: Option<RequestId>,
}

impl Store {
    /// Notes what is said of a request of an account; false where the account has no such request. What was charged before
    /// this call is known. Blocks: not for a worker that serves requests.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn give_feedback(&self, account: AccountId, feedback: &Feedback) -> Result<bool, StoreError> {
        // Where the books are behind, the row may not be there yet: then it is as if it had not been.
        let _ = self.flush();
        let mut connection = self.feedback.lock().unwrap_or_else(PoisonError::into_inner);
        let database = match &mut *connection {
            Some(database) => database,
            none => {
                let path = Folder::new(&self.settings.data_dir).database();
                none.insert(Database::join(&path, BUSY_TIMEOUT)?)
            }
        };
        Ok(database.note_feedback(account, feedback, self.clock.unix_ms())?)
    }
}

impl UsageReader {
    /// Requests of which something was said, of one account or of all, at most `limit` (up to [`PAGE_MAX`]) from behind
    /// `after` on.
    ///
    /// # Errors
    /// When the database cannot be read, or too many ask at once.
    pub fn feedback_outcomes(
        &self,
        account: Option<AccountId>,
        after: Option<RequestId>,
        limit: usize,
    ) -> Result<FeedbackPage, StoreError> {
        let after = after.unwrap_or(RequestId(0));
        self.read(|database| database.judged_requests(account, after, limit.clamp(1, PAGE_MAX)))
    }
}
