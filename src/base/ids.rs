//! Newtypes for everything that has an identity.
//!
//! Must not know where ids are stored. Randomness and time come in as arguments.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::time::UnixMs;

const RANDOM_BITS: u32 = 80;

/// A request, unique for ever: 48 bits of Unix milliseconds, then 80 random bits. Sorts by time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId(pub u128);

impl RequestId {
    /// Builds an id from the time of arrival and at least 80 random bits.
    pub fn new(at: UnixMs, random: u128) -> Self {
        Self((u128::from(at.0) << RANDOM_BITS) | (random & ((1 << RANDOM_BITS) - 1)))
    }
}

impl RequestId {
    /// When the request arrived.
    pub fn at(self) -> UnixMs {
        UnixMs(u64::try_from(self.0 >> RANDOM_BITS).unwrap_or(u64::MAX))
    }

    /// As clients see it: `req_` and 32 hexadecimal digits.
    pub fn to_ascii(self) -> [u8; 36] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = *b"req_00000000000000000000000000000000";
        for (place, byte) in text.iter_mut().skip(4).step_by(2).zip(self.0.to_be_bytes()) {
            *place = DIGITS.get(usize::from(byte >> 4)).copied().unwrap_or(b'0');
        }
        for (place, byte) in text.iter_mut().skip(5).step_by(2).zip(self.0.to_be_bytes()) {
            *place = DIGITS.get(usize::from(byte & 15)).copied().unwrap_or(b'0');
        }
        text
    }
}

impl RequestId {
    /// Reads an id as clients see it; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("req_")?;
        let is_plain = digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if is_plain { u128::from_str_radix(digits, 16).ok().map(Self) } else { None }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.to_ascii()).unwrap_or_default())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_written_in_hexadecimal() {
        let id = RequestId(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        assert_eq!(id.to_string(), "req_0123456789abcdef0123456789abcdef");
        assert_eq!(RequestId::new(UnixMs(7), u128::MAX).at(), UnixMs(7));
        assert_eq!(RequestId(0).to_string(), "req_00000000000000000000000000000000");
        assert_eq!(RequestId::parse(&id.to_string()), Some(id));
        for text in ["", "req_", "req_0123", "req_+123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcdef"]
        {
            assert_eq!(RequestId::parse(text), None, "{text}");
        }
    }
}
