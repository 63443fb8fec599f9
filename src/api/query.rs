//! What stands behind the `?` of a path.
//!
//! Must not guess: a name that is not known is refused, since a filter that was misspelt would show too much.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::bad;
use crate::base::refusal::{Refusal, RefusalKind};
use crate::base::time::UnixMs;

/// A query's names and values.
#[derive(Debug)]
pub(super) struct Query(BTreeMap<&'static str, String>);

impl Query {
    /// Reads a query that may hold these names, each once.
    ///
    /// # Errors
    /// 400 for other names, names that stand twice, and escapes that say nothing.
    pub(super) fn read(query: &str, names: &'static [&'static str]) -> Result<Self, Refusal> {
        let refuse = |message: String| Refusal::new(RefusalKind::InvalidRequest, message);
        let mut found = BTreeMap::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let known = decoded(name).and_then(|name| names.iter().find(|known| **known == name));
            let known = known.ok_or_else(|| refuse(format!("the query may hold {}", names.join(", "))))?;
            let value = decoded(value).ok_or_else(|| bad(known, format!("{known} is not readable")))?;
            if found.insert(*known, value).is_some() {
                return Err(bad(known, format!("{known} stands twice in the query")));
            }
        }
        Ok(Self(found))
    }

    /// A value as text; `None` where it is not there.
    pub(super) fn text(&self, name: &'static str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A whole number from 1 to `most`.
    ///
    /// # Errors
    /// 400 for anything else.
    pub(super) fn limit(&self, name: &'static str, usual: usize, most: usize) -> Result<usize, Refusal> {
        let Some(text) = self.text(name) else { return Ok(usual) };
        let limit = text.parse().ok().filter(|limit| (1..=most).contains(limit));
        limit.ok_or_else(|| bad(name, format!("{name} must be a whole number from 1 to {most}")))
    }

    /// A moment.
    ///
    /// # Errors
    /// 400 for anything else.
    pub(super) fn moment(&self, name: &'static str) -> Result<Option<UnixMs>, Refusal> {
        let read = |text: &str| {
            let hint = "must be a time such as 2026-07-31T12:00:00Z, a date, or seconds since 1970";
            UnixMs::parse(text).ok_or_else(|| bad(name, format!("{name} {hint}")))
        };
        self.text(name).map(read).transpose()
    }

    /// Where a page begins, as [`cursor`] has written it.
    ///
    /// # Errors
    /// 400 for anything else.
    pub(super) fn cursor(&self) -> Result<Option<u128>, Refusal> {
        let read = |text: &str| {
            let bytes = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
            bytes.map(u128::from_be_bytes).ok_or_else(|| bad("cursor", "cursor must be one that an answer gave"))
        };
        self.text("cursor").map(read).transpose()
    }
}

/// A place in a list, as clients hand it back. Not for them to read: what it holds may change.
pub(super) fn cursor(place: u128) -> String {
    URL_SAFE_NO_PAD.encode(place.to_be_bytes())
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => digit(rest.next()?)? << 4 | digit(rest.next()?)?,
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_read() {
        let query =
            Query::read("model=a%2Fb&from=2026-07-31T12%3A00%3A00Z&limit=7", &["model", "from", "limit"]).unwrap();
        assert_eq!((query.text("model"), query.limit("limit", 5, 9).unwrap()), (Some("a/b"), 7));
        assert!(query.moment("from").unwrap().is_some());
        for faulty in ["x=1", "model=%2", "model=%zz", "model=%ff", "model=1&model=2", "%6d%6fx"] {
            assert_eq!(Query::read(faulty, &["model"]).unwrap_err().status(), 400, "{faulty}");
        }
        for limit in ["0", "10", "-1", "x", ""] {
            let text = format!("limit={limit}");
            assert!(Query::read(&text, &["limit"]).unwrap().limit("limit", 5, 9).is_err(), "{limit}");
        }
    }

    #[test]
    fn a_cursor_comes_back() {
        let text = format!("cursor={}", cursor(u128::MAX - 7));
        assert_eq!(Query::read(&text, &["cursor"]).unwrap().cursor(), Ok(Some(u128::MAX - 7)));
        assert!(Query::read("cursor=xyz", &["cursor"]).unwrap().cursor().is_err());
    }
}
