//! Flux's own endpoints, one file a resource.
//!
//! Must not know sockets: each function takes what was asked and returns the body of the answer. Whatever an account
//! asks is asked of the store with the account's id: what is of another account is answered like what does not exist.

pub mod credits;
pub mod feedback;
pub mod keys;
pub mod models;
pub mod openapi;
pub mod private;
mod query;
pub mod route;
pub mod status;
pub mod usage;

use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::accounts::key::{KeyKind, KeyState, Scope};
use crate::base::money::NanoUsd;
use crate::base::refusal::{Refusal, RefusalKind};
use crate::base::tariff::Credits;
use crate::base::time::UnixMs;
use crate::exchange::route::AccountCall;
use crate::exchange::snapshot::Snapshot;
use crate::store::sqlite::DatabaseError;
use crate::store::{Store, StoreError};

/// JSON, as `content-type` says it.
const JSON: &str = "application/json";
/// What a reader of JSON says may hold what was sent; so much of it is said back.
const FAULT_CHARS_MAX: usize = 200;

/// An answer to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// 200 or 201.
    pub status: u16,
    /// What the body is.
    pub content_type: &'static str,
    /// The body.
    pub body: Bytes,
    /// Where the next page begins, for bodies that have no place for it.
    pub next_cursor: Option<String>,
}

/// What an account asks.
#[derive(Debug)]
pub struct Asked<'a> {
    /// With which key.
    pub key: &'a KeyState,
    /// What stands behind the path's `?`.
    pub query: &'a str,
    /// The body; empty where there is none.
    pub body: &'a [u8],
    /// What the client takes.
    pub accept: &'a str,
    /// Whether it says which version of Anthropic's API it speaks.
    pub is_anthropic: bool,
    /// What it says in `x-flux-quality`.
    pub quality: Option<&'a str>,
    /// The providers that it names in `x-flux-provider`.
    pub providers: &'a [Box<str>],
    /// The region that it names in `x-flux-region`.
    pub region: Option<&'a str>,
    /// The name that it gives the conversation in `x-flux-session`.
    pub session: Option<&'a [u8]>,
    /// When.
    pub at: UnixMs,
}

/// Answers what an account asks of itself. Blocks: not for a thread that serves requests.
///
/// # Errors
/// 400 for what makes no sense, 403 for keys that may not, 404 for what is not of this account, 503 where the database
/// cannot be asked.
pub fn answer(call: &AccountCall, asked: &Asked<'_>, store: &Store, snapshot: &Snapshot) -> Result<Answer, Refusal> {
    if call.manages_keys() {
        check_may_manage(asked.key)?;
    }
    match call {
        AccountCall::CreateKey => keys::create(asked, store, snapshot),
        AccountCall::ListKeys => keys::list(asked, store),
        AccountCall::ShowKey(id) => keys::show(id, asked, store),
        AccountCall::ChangeKey(id) => keys::change(id, asked, store, snapshot),
        AccountCall::RevokeKey(id) => keys::revoke(id, asked, store),
        AccountCall::RevokeNamedKey => keys::revoke_named(asked, store),
        AccountCall::RotateKey(id) => keys::rotate(id, asked, store),
        AccountCall::ListUsage => usage::list(asked, store),
        AccountCall::ExplainUsage(id) => usage::explain::answer(id, asked, store, snapshot),
        AccountCall::ShowCredits => credits::answer(asked, store),
        AccountCall::PreviewRoute => route::answer(asked, snapshot),
        AccountCall::GiveFeedback => feedback::give(asked, store),
    }
}

/// A test key is made to be passed around, so it never opens a door to live ones.
fn check_may_manage(key: &KeyState) -> Result<(), Refusal> {
    if key.settings.scope == Scope::Admin && key.kind == KeyKind::Live {
        return Ok(());
    }
    let message = "keys are managed with a live key of scope \"admin\"; make one with `flux keys create --scope admin`";
    Err(Refusal::new(RefusalKind::Forbidden, message))
}

fn json(status: u16, body: &impl Serialize) -> Result<Answer, Refusal> {
    let body = serde_json::to_vec(body).map_err(|error| {
        Refusal::new(RefusalKind::Internal, "an error of our own; quote the request id to support")
            .with_detail(error.to_string())
    })?;
    Ok(Answer { status, content_type: JSON, body: body.into(), next_cursor: None })
}

/// Reads a body; an empty one says nothing.
fn read<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, Refusal> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(T::default());
    }
    serde_json::from_slice(body).map_err(|error| {
        let fault: String = error.to_string().chars().take(FAULT_CHARS_MAX).collect();
        Refusal::new(RefusalKind::InvalidRequest, format!("the body is not understood: {fault}"))
    })
}

/// 400, for a field.
fn bad(param: &'static str, message: impl Into<String>) -> Refusal {
    Refusal::new(RefusalKind::InvalidRequest, message.into()).with_param(param)
}

/// Nothing of that name in this account; whether it is in another is not said.
fn not_found(what: &'static str) -> Refusal {
    Refusal::new(RefusalKind::NotFound, what)
}

#[expect(clippy::needless_pass_by_value, reason = "it ends the error: `map_err` hands it over")]
fn refused(error: StoreError) -> Refusal {
    match error {
        StoreError::NoSuchKey { .. } => not_found("there is no such key"),
        StoreError::BadSettings(_) => Refusal::new(RefusalKind::InvalidRequest, error.to_string()),
        StoreError::BadName { .. } => bad("name", error.to_string()),
        StoreError::SeveralKeys { .. }
        | StoreError::AccountClosed { .. }
        | StoreError::KeyEnded { .. }
        | StoreError::Database(DatabaseError::AccountKeysFull { .. }) => {
            Refusal::new(RefusalKind::InvalidRequest, error.to_string())
        }
        StoreError::Folder { .. }
        | StoreError::NoSuchAccount { .. }
        | StoreError::AccountExists { .. }
        | StoreError::BackupExists { .. }
        | StoreError::InUse { .. }
        | StoreError::TooManyProcesses { .. }
        | StoreError::NoDatabase { .. }
        | StoreError::Database(_)
        | StoreError::Journal(_)
        | StoreError::Directory(_)
        | StoreError::NoRandomness
        | StoreError::Busy
        | StoreError::NotBooked
        | StoreError::Thread(_) => Refusal::new(
            RefusalKind::Overloaded,
            "this cannot be looked up or changed at the moment; try again shortly",
        )
        .with_retry_after(Duration::from_secs(1))
        .with_detail(error.to_string()),
    }
}

/// A decimal that is written as a JSON number of any length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decimal(String);

impl Decimal {
    /// An amount of usage in credits.
    fn credits(amount: NanoUsd) -> Self {
        Self(Credits(amount).to_string())
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let number = RawValue::from_string(self.0.clone()).map_err(serde::ser::Error::custom)?;
        number.serialize(serializer)
    }
}
