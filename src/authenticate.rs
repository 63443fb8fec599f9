//! Who is calling: the credential of a request → the key's state, by one look-up in memory.
//!
//! Must not know headers' spelling beyond the two values it is given, nor what a refusal looks
//! like, nor a database.

use std::sync::Arc;

use crate::accounts::key::{KeyHash, KeyState};
use crate::accounts::{Found, KeyDirectory};
use crate::base::time::UnixMs;

/// Longest credential that is hashed. Ours have 53 bytes at most; imported ones may be longer.
const CREDENTIAL_BYTES_MAX: usize = 256;

/// The request carries no usable credential. The texts may be shown to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// Neither header is there.
    #[error("no API key was given: send `Authorization: Bearer <key>` or `x-api-key: <key>`")]
    Missing,
    /// `Authorization` is of another scheme.
    #[error("the `Authorization` header must be `Bearer <key>`")]
    NotBearer,
    /// Both headers are there and differ.
    #[error("`Authorization` and `x-api-key` carry two different keys: send one")]
    TwoKeys,
    /// Empty, too long, or with bytes that no key has.
    #[error("the API key is malformed")]
    Malformed,
}

/// The key opens nothing. Which of these it was is for the log alone: the client gets
/// [`CLIENT_MESSAGE`] for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No such key.
    #[error("unknown key")]
    Unknown {
        /// Whether the log has not heard of this key in the last second.
        is_news: bool,
    },
    /// Its time is over.
    #[error("expired key")]
    Expired,
    /// It was revoked.
    #[error("revoked key")]
    Revoked,
}

/// One message for every key that is not valid, so that nobody learns which keys once were.
pub const CLIENT_MESSAGE: &str = "incorrect API key provided";

/// Takes the raw key out of the values of `authorization` and `x-api-key`.
///
/// # Errors
/// [`CredentialError`], for the client to read.
pub fn credential<'a>(
    authorization: Option<&'a [u8]>,
    x_api_key: Option<&'a [u8]>,
) -> Result<&'a [u8], CredentialError> {
    let bearer = authorization.map(bearer).transpose()?;
    let raw = match (bearer, x_api_key.map(<[u8]>::trim_ascii)) {
        (Some(bearer), Some(api_key)) if bearer != api_key => return Err(CredentialError::TwoKeys),
        (Some(raw), _) | (None, Some(raw)) => raw,
        (None, None) => return Err(CredentialError::Missing),
    };
    let is_plain = raw.iter().all(u8::is_ascii_graphic);
    let is_sized = (1..=CREDENTIAL_BYTES_MAX).contains(&raw.len());
    if is_plain && is_sized { Ok(raw) } else { Err(CredentialError::Malformed) }
}

fn bearer(authorization: &[u8]) -> Result<&[u8], CredentialError> {
    const SCHEME: &[u8] = b"bearer";
    let value = authorization.trim_ascii();
    let (scheme, rest) = value.split_at_checked(SCHEME.len()).ok_or(CredentialError::NotBearer)?;
    let is_separated = rest.first().is_none_or(|byte| matches!(byte, b' ' | b'\t'));
    if scheme.eq_ignore_ascii_case(SCHEME) && is_separated {
        Ok(rest.trim_ascii())
    } else {
        Err(CredentialError::NotBearer)
    }
}

/// Finds the key of a credential and notes its use. One hash, one look-up in memory.
///
/// # Errors
/// When the key is unknown, expired or revoked.
pub fn authenticate(directory: &KeyDirectory, credential: &[u8], now: UnixMs) -> Result<Arc<KeyState>, AuthError> {
    let key = match directory.find(&KeyHash::of(credential), now) {
        Found::Key(key) => key,
        Found::UnknownNews => return Err(AuthError::Unknown { is_news: true }),
        Found::UnknownAgain => return Err(AuthError::Unknown { is_news: false }),
    };
    if key.revoked_at.is_some() {
        return Err(AuthError::Revoked);
    }
    if key.settings.expires_at.is_some_and(|at| now >= at) {
        return Err(AuthError::Expired);
    }
    directory.touch(&key, now);
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::key::{KeyKind, KeySettings};

    #[test]
    fn credentials() {
        type Case<'a> = (Option<&'a str>, Option<&'a str>, Result<&'a str, CredentialError>);
        let long = "k".repeat(CREDENTIAL_BYTES_MAX + 1);
        let cases: &[Case<'_>] = &[
            (Some("Bearer abc"), None, Ok("abc")),
            (Some("bearer abc"), None, Ok("abc")),
            (Some("BEARER  \tabc "), None, Ok("abc")),
            (None, Some("abc"), Ok("abc")),
            (None, Some(" abc "), Ok("abc")),
            (Some("Bearer abc"), Some("abc"), Ok("abc")),
            (Some("Bearer abc"), Some("abd"), Err(CredentialError::TwoKeys)),
            (Some("Bearer abc"), Some(""), Err(CredentialError::TwoKeys)),
            (Some("Basic abc"), None, Err(CredentialError::NotBearer)),
            (Some("Bearerabc"), None, Err(CredentialError::NotBearer)),
            (Some("abc"), None, Err(CredentialError::NotBearer)),
            (Some(""), None, Err(CredentialError::NotBearer)),
            (Some("Basic x"), Some("abc"), Err(CredentialError::NotBearer)),
            (Some("Bearer"), None, Err(CredentialError::Malformed)),
            (Some("Bearer "), None, Err(CredentialError::Malformed)),
            (None, Some(""), Err(CredentialError::Malformed)),
            (None, Some("a b"), Err(CredentialError::Malformed)),
            (None, Some("a\u{e9}"), Err(CredentialError::Malformed)),
            (None, Some("a\0"), Err(CredentialError::Malformed)),
            (None, Some(&long), Err(CredentialError::Malformed)),
            (None, None, Err(CredentialError::Missing)),
        ];
        for (authorization, api_key, expected) in cases {
            let got = credential(authorization.map(str::as_bytes), api_key.map(str::as_bytes));
            assert_eq!(got, expected.map(str::as_bytes), "{authorization:?} {api_key:?}");
        }
    }

    #[test]
    fn states_of_a_key() {
        let now = UnixMs(10_000);
        let sample = || KeyState::sample(KeyKind::Live);
        let until = |at| KeyState {
            settings: KeySettings { expires_at: Some(at), ..KeySettings::default() },
            ..KeyState::sample(KeyKind::Live)
        };
        let cases = [
            ("plain", sample(), Ok(())),
            ("expires later", until(UnixMs(10_001)), Ok(())),
            ("expires now", until(now), Err(AuthError::Expired)),
            ("revoked", KeyState { revoked_at: Some(UnixMs(1)), ..sample() }, Err(AuthError::Revoked)),
        ];
        for (name, key, expected) in cases {
            let directory = KeyDirectory::new(10, 10);
            directory.put(KeyHash::of(b"raw"), key, now).unwrap();
            assert_eq!(authenticate(&directory, b"raw", now).map(|_| ()), expected, "{name}");
            let used = directory.take_touched();
            assert_eq!(used.len(), usize::from(expected.is_ok()), "{name}: only a valid key counts as used");
        }
    }

    /// T-68: the directory is all there is to ask, and it remembers whom it has turned away.
    #[test]
    fn a_flood_of_one_unknown_key_is_told_once() {
        let directory = KeyDirectory::new(10, 10);
        let news = (0..1_000)
            .map(|n| authenticate(&directory, b"nobody", UnixMs(n)).map(|_| ()))
            .filter(|answer| *answer == Err(AuthError::Unknown { is_news: true }))
            .count();
        assert_eq!(news, 1);
    }
}
