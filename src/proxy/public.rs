//! What everyone may see without a key: what is served, and how the providers are doing.
//!
//! Must not say anything of an account, a key or an address.

use std::sync::Arc;

use pingora::protocols::http::ServerSession;

use super::Flux;
use super::reply::{self, Caller};
use crate::api::{self, Answer};
use crate::base::refusal::Refusal;
use crate::exchange::route::Endpoint;
use crate::exchange::snapshot::Snapshot;

impl Flux {
    /// Answers what needs no key; says whether it did.
    pub(super) async fn answer_public(
        &self,
        downstream: &mut ServerSession,
        endpoint: &Endpoint,
        snapshot: &Snapshot,
        caller: Caller,
    ) -> Result<bool, Refusal> {
        // A client that is gone needs no answer.
        let _ = match endpoint {
            Endpoint::OpenApi => reply::json(downstream, self.openapi.clone(), caller).await,
            Endpoint::Status => reply::own(downstream, self.status(snapshot, caller)?, caller).await,
            Endpoint::StatusPage => reply::own(downstream, api::status::page(), caller).await,
            Endpoint::ChatCompletions
            | Endpoint::Responses
            | Endpoint::Messages
            | Endpoint::InputTokens
            | Endpoint::CountTokens
            | Endpoint::Embeddings
            | Endpoint::ImageGenerations
            | Endpoint::ImageEdits
            | Endpoint::Transcriptions
            | Endpoint::Speech
            | Endpoint::Models
            | Endpoint::Model(_)
            | Endpoint::Account(_) => return Ok(false),
        };
        Ok(true)
    }

    /// The status, made once a second at most: anyone may ask as often as they like.
    fn status(&self, snapshot: &Snapshot, caller: Caller) -> Result<Answer, Refusal> {
        let second = caller.at.0 / 1_000;
        let kept = self.status.load_full();
        if let Some(answer) = kept.as_deref().filter(|kept| kept.0 == second).map(|kept| kept.1.clone()) {
            return Ok(answer);
        }
        let answer = api::status::answer(&self.health, snapshot, self.clock.now(), caller.at)?;
        self.status.store(Some(Arc::new((second, answer.clone()))));
        Ok(answer)
    }
}
