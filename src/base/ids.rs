//! Newtypes for everything that has an identity.
//!
//! Must not know where ids are stored. Randomness and time come in as arguments.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::time::UnixMs;

/// A request, unique for ever: 48 bits of Unix milliseconds, then 80 random bits. Sorts by time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId(pub u128);

impl RequestId {
    /// Builds an id from the time of arrival and at least 80 random bits.
    pub fn new(at: UnixMs, random: u128) -> Self {
        const RANDOM_BITS: u32 = 80;
        Self((u128::from(at.0) << RANDOM_BITS) | (random & ((1 << RANDOM_BITS) - 1)))
    }
}

/// As clients see it: `req_` and 32 hexadecimal digits.
impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "req_{:032x}", self.0)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Who pays. A row id of the `accounts` table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AccountId(pub i64);

/// A key of an account. A row id of the `keys` table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KeyId(pub i64);
