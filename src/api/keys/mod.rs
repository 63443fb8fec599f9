//! `/v1/keys`: an account's keys, made, listed, changed, rotated and revoked.
//!
//! Must not show a raw key but in the answer that makes it.

pub mod bounds;
mod patch;
pub mod view;
pub mod wanted;

use serde::Serialize;
use utoipa::ToSchema;

use super::query::{Query, cursor};
use super::{Answer, Asked, bad, json, not_found, read, refused};
use crate::base::ids::KeyId;
use crate::base::refusal::Refusal;
use crate::exchange::snapshot::Snapshot;
use crate::store::Store;
use crate::store::keys::{CreatedKey, KeyRef, NewKey};

use self::bounds::Bounds;
use self::view::{KeyView, NewKeyView};
use self::wanted::{ChangeKey, CreateKey, RevokeKey, RotateKey};

const LIMIT_USUAL: usize = 100;
const LIMIT_MAX: usize = 1_000;

/// A page of keys, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyList {
    /// `list`.
    object: &'static str,
    /// The keys, revoked ones too.
    data: Vec<KeyView>,
    /// Whether there are more.
    has_more: bool,
    /// Where the next page begins.
    next_cursor: Option<String>,
}

/// A key that was revoked.
#[derive(Debug, Serialize, ToSchema)]
pub struct RevokedKey {
    /// Always true: a key that cannot be revoked is a 404.
    revoked: bool,
    /// The key.
    key: KeyView,
}

pub(super) fn create(asked: &Asked<'_>, store: &Store, snapshot: &Snapshot) -> Result<Answer, Refusal> {
    let wanted: CreateKey = read(asked.body)?;
    let contract = asked.key.account.contract();
    let bounds = Bounds { catalog: &snapshot.catalog, limits: contract.tariff.limits, at: asked.at };
    let settings = wanted.settings(&bounds)?;
    let new = NewKey { account: "", settings: &settings, is_test: wanted.is_test(), scheme: wanted.scheme() };
    let created = store.create_key_of(asked.key.account.id, &new).map_err(refused)?;
    made(&created, asked)
}

pub(super) fn list(asked: &Asked<'_>, store: &Store) -> Result<Answer, Refusal> {
    let query = Query::read(asked.query, &["limit", "cursor"])?;
    let limit = query.limit("limit", LIMIT_USUAL, LIMIT_MAX)?;
    let place = |place: u128| i64::try_from(place).map(KeyId).map_err(|_| bad("cursor", "cursor is of another list"));
    let before = query.cursor()?.map(place).transpose()?;
    let mut found = store.keys_of(asked.key.account.id, before, limit.saturating_add(1)).map_err(refused)?;
    let has_more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().and_then(|key| u128::try_from(key.id.0).ok());
    let next_cursor = last.filter(|_| has_more).map(cursor);
    let data = found.iter().map(|key| KeyView::of(key, asked.at)).collect();
    json(200, &KeyList { object: "list", data, has_more, next_cursor })
}

pub(super) fn show(id: &str, asked: &Asked<'_>, store: &Store) -> Result<Answer, Refusal> {
    Query::read(asked.query, &[])?;
    let key = store.key_of(asked.key.account.id, key_id(id)?).map_err(refused)?;
    json(200, &KeyView::of(&key, asked.at))
}

pub(super) fn change(id: &str, asked: &Asked<'_>, store: &Store, snapshot: &Snapshot) -> Result<Answer, Refusal> {
    let wanted: ChangeKey = read(asked.body)?;
    let contract = asked.key.account.contract();
    let bounds = Bounds { catalog: &snapshot.catalog, limits: contract.tariff.limits, at: asked.at };
    let change = wanted.check(&bounds)?;
    let id = key_id(id)?.0.to_string();
    let key = store.change_key(of(asked, &id), |settings| change.put_into(settings)).map_err(refused)?;
    json(200, &KeyView::of(&key, asked.at))
}

pub(super) fn revoke(id: &str, asked: &Asked<'_>, store: &Store) -> Result<Answer, Refusal> {
    revoked(&key_id(id)?.0.to_string(), asked, store)
}

pub(super) fn revoke_named(asked: &Asked<'_>, store: &Store) -> Result<Answer, Refusal> {
    let wanted: RevokeKey = read(asked.body)?;
    revoked(&wanted.which()?, asked, store)
}

pub(super) fn rotate(id: &str, asked: &Asked<'_>, store: &Store) -> Result<Answer, Refusal> {
    let grace_ms = read::<RotateKey>(asked.body)?.grace_ms()?;
    let id = key_id(id)?.0.to_string();
    let created = store.rotate_key(of(asked, &id), grace_ms).map_err(refused)?;
    made(&created, asked)
}

fn revoked(which: &str, asked: &Asked<'_>, store: &Store) -> Result<Answer, Refusal> {
    let key = store.revoke_key_of(of(asked, which)).map_err(refused)?;
    json(200, &RevokedKey { revoked: true, key: KeyView::of(&key, asked.at) })
}

fn made(created: &CreatedKey, asked: &Asked<'_>) -> Result<Answer, Refusal> {
    json(201, &NewKeyView::of(created, asked.at))
}

/// A key of the account that asks.
fn of<'a>(asked: &Asked<'_>, which: &'a str) -> KeyRef<'a> {
    KeyRef { which, of: Some(asked.key.account.id) }
}

/// The id in a path. What is no id is no key either.
fn key_id(id: &str) -> Result<KeyId, Refusal> {
    let is_plain = id.bytes().all(|b| b.is_ascii_digit());
    let id = if is_plain { id.parse().ok() } else { None };
    id.map(KeyId).ok_or_else(|| not_found("there is no such key"))
}
