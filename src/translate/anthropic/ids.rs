//! Ids of calls: Anthropic takes letters, digits, `_` and `-` only.
//!
//! Must not know whose they are. What does not fit is replaced by its hash, so that a call and its result still
//! meet, and the same conversation stays the same bytes for the cache.

use std::borrow::Cow;
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use crate::translate::ir::Text;

/// Bytes of the hash that are kept: no two ids of a conversation meet by chance.
const HASH_BYTES: usize = 12;

/// The id as Anthropic takes it.
pub(super) fn fitting<'t>(id: &'t Text<'_>) -> Cow<'t, str> {
    let is_fit = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if !id.is_empty() && id.spelt().bytes().all(is_fit) {
        return Cow::Borrowed(id.spelt());
    }
    let hash = Sha256::digest(id.to_plain().as_bytes());
    let mut fit = String::from("toolu_");
    for byte in hash.iter().take(HASH_BYTES) {
        // Writing to a string cannot fail.
        let _ = write!(fit, "{byte:02x}");
    }
    Cow::Owned(fit)
}
