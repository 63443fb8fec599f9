//! What an account asks of Flux and of no model: read here, answered by `api` on a thread that may block.
//!
//! Must not decide anything but how much may be asked at once: nothing of it counts against a key's limits, so that a
//! client at its limit can still see why.

use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, HeaderMap, HeaderName};
use pingora::protocols::http::ServerSession;
use pingora_limits::rate::Rate;
use tokio::sync::Semaphore;

use super::admit::ANTHROPIC_VERSION;
use super::reply::{self, Caller};
use super::{Flux, accept};
use crate::accounts::key::KeyState;
use crate::api::{self, Asked};
use crate::base::ids::AccountId;
use crate::base::refusal::{Refusal, RefusalKind};
use crate::exchange::route::AccountCall;
use crate::exchange::snapshot::Snapshot;

/// Questions of one account in a second, about.
const ASKS_PER_SECOND_MAX: isize = 20;
/// Questions of all accounts at once: each has a thread that waits for the database.
const ASKS_AT_ONCE_MAX: usize = 32;
/// The body of a question about the account itself.
const BODY_BYTES_MAX: usize = 64 << 10;
const X_FLUX_QUALITY: HeaderName = HeaderName::from_static("x-flux-quality");
/// When to come back.
const WAIT: Duration = Duration::from_secs(1);

/// How much is asked.
pub(super) struct Asks {
    /// An estimate that may count some account's questions for another's, and needs no memory that grows with accounts.
    by_account: Rate,
    places: Arc<Semaphore>,
}

impl Asks {
    pub(super) fn new() -> Self {
        Self { by_account: Rate::new(Duration::from_secs(1)), places: Arc::new(Semaphore::new(ASKS_AT_ONCE_MAX)) }
    }

    fn check_rate(&self, account: AccountId) -> Result<(), Refusal> {
        if self.by_account.observe(&account.0, 1) <= ASKS_PER_SECOND_MAX {
            return Ok(());
        }
        let message =
            format!("an account may ask about itself {ASKS_PER_SECOND_MAX} times a second; try again shortly");
        Err(Refusal::new(RefusalKind::TooManyRequests, message).with_retry_after(WAIT))
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
        self.asks.check_rate(key.account.id)?;
        let overloaded = || {
            Refusal::new(RefusalKind::Overloaded, "too many questions at once; try again shortly")
                .with_retry_after(WAIT)
        };
        let place = Arc::clone(&self.asks.places).try_acquire_owned().map_err(|_| overloaded())?;
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
        let store = Arc::clone(&self.store);
        let answered = tokio::task::spawn_blocking(move || {
            let _place = place;
            let asked = Asked {
                key: &key,
                query: &query,
                body: &body,
                accept: &accept,
                is_anthropic,
                quality: quality.as_deref(),
                at: caller.at,
            };
            api::answer(&call, &asked, &store, &snapshot)
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
