//! What an account asks of Flux and of no model: read here, answered by `api` on a thread that may block.
//!
//! Must not decide anything but how much may be asked at once: nothing of it counts against a key's limits, so that a
//! client at its limit can still see why.

use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, HeaderMap, HeaderName};
use pingora::protocols::http::ServerSession;
use pingora_limits::rate::Rate;

use super::admit::{ANTHROPIC_VERSION, named_session, providers, region};
use super::reply::{self, Caller};
use super::{Flux, accept};
use crate::accounts::key::KeyState;
use crate::api::{self, Asked};
use crate::base::ids::AccountId;
use crate::base::refusal::{Refusal, RefusalKind};
use crate::config::Limits;
use crate::exchange::route::AccountCall;
use crate::exchange::snapshot::Snapshot;

/// The body of a question about the account itself.
const BODY_BYTES_MAX: usize = 64 << 10;
const X_FLUX_QUALITY: HeaderName = HeaderName::from_static("x-flux-quality");
/// When to come back.
const WAIT: Duration = Duration::from_secs(1);

/// How much is asked.
pub(super) struct Asks {
    /// An estimate that may count some account's questions for another's, and needs no memory that grows with accounts.
    by_account: Rate,
    /// As many holders, less this one, as there are questions at work.
    at_work: Arc<()>,
}

impl Asks {
    pub(super) fn new() -> Self {
        Self { by_account: Rate::new(Duration::from_secs(1)), at_work: Arc::new(()) }
    }

    /// Lets a question in: it is at work until what is returned goes. The bounds are those of the moment.
    ///
    /// # Errors
    /// When too many are at work, or the account asks too often.
    fn enter(&self, account: AccountId, limits: &Limits) -> Result<Arc<()>, Refusal> {
        let refuse = |kind, message: String| Err(Refusal::new(kind, message).with_retry_after(WAIT));
        let place = Arc::clone(&self.at_work);
        // Counted with itself and the holder that stays.
        if Arc::strong_count(&place) > limits.account_questions_at_once_max.saturating_add(1) {
            return refuse(RefusalKind::Overloaded, "too many questions at once; try again shortly".to_owned());
        }
        let most = limits.account_questions_per_second;
        if self.by_account.observe(&account.0, 1) > isize::try_from(most).unwrap_or(isize::MAX) {
            let message = format!("an account may ask about itself {most} times a second; try again shortly");
            return refuse(RefusalKind::TooManyRequests, message);
        }
        Ok(place)
    }
}

impl Flux {
    /// Answers what an account asks of itself.
    pub(super) async fn answer_account(
        &self,
        session: &mut ServerSession,
        call: AccountCall,
        key: Arc<KeyState>,
        snapshot: Arc<Snapshot>,
        caller: Caller,
    ) -> Result<(), Refusal> {
        let place = self.asks.enter(key.account.id, &snapshot.config.limits)?;
        let body = match body_bytes_max(&call, &snapshot) {
            0 => bytes::Bytes::new(),
            most => accept::read_body(session, most, snapshot.config.timeouts.body).await?,
        };
        let head = session.req_header();
        let target = String::from_utf8_lossy(head.raw_path());
        let query = target.split_once('?').map_or("", |(_, query)| query).to_owned();
        let accept = text(&head.headers, &ACCEPT).unwrap_or_default().to_owned();
        let is_anthropic = head.headers.contains_key(&ANTHROPIC_VERSION);
        let quality = text(&head.headers, &X_FLUX_QUALITY).map(str::to_owned);
        let (providers, region) = (providers(&head.headers)?, region(&head.headers)?);
        let conversation = named_session(&head.headers)?;
        let store = Arc::clone(&self.store);
        let answered = tokio::task::spawn_blocking(move || {
            let asked = Asked {
                key: &key,
                query: &query,
                body: &body,
                accept: &accept,
                is_anthropic,
                quality: quality.as_deref(),
                providers: &providers,
                region: region.as_deref(),
                session: conversation.as_deref(),
                at: caller.at,
            };
            let answer = api::answer(&call, &asked, &store, &snapshot);
            drop(place);
            answer
        });
        let answer = answered.await.map_err(|error| {
            Refusal::new(RefusalKind::Internal, "an error of our own; quote the request id to support")
                .with_detail(error.to_string())
        })??;
        // A client that is gone needs no answer.
        let _ = reply::own(session, answer, caller).await;
        Ok(())
    }
}

/// How much may be said; 0 for questions without a body.
fn body_bytes_max(call: &AccountCall, snapshot: &Snapshot) -> usize {
    match call {
        // Whatever a model may be asked may be asked about.
        AccountCall::PreviewRoute => snapshot.config.limits.body_bytes_max,
        AccountCall::CreateKey
        | AccountCall::ChangeKey(_)
        | AccountCall::RevokeNamedKey
        | AccountCall::RotateKey(_)
        | AccountCall::GiveFeedback => BODY_BYTES_MAX,
        AccountCall::ListKeys
        | AccountCall::ShowKey(_)
        | AccountCall::RevokeKey(_)
        | AccountCall::ListUsage
        | AccountCall::ExplainUsage(_)
        | AccountCall::ShowCredits => 0,
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
