//! Small grammar that several parts of the format share: addresses, ids of calls, lengths of spelt text.
//!
//! Must not know requests, answers or hosts.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use super::dialect::IdRule;
use crate::translate::ir::{Media, Source, Text, Value};
use crate::translate::media;
use crate::wire::json::Writer;

/// Where the address in this JSON string leads: inline bytes of a data URL, or somewhere to fetch from. `None` for
/// what is neither.
pub(super) fn source_of(address: Value<'_>) -> Option<Source<'_>> {
    let source = media::source(address.as_text()?).ok()?;
    match &source {
        Source::Url(url) => is_web_address(url.spelt()).then_some(source),
        Source::Inline { .. } | Source::Plain(_) | Source::Id(_) => Some(source),
    }
}

fn is_web_address(url: &str) -> bool {
    url.split_once(':').is_some_and(|(scheme, _)| ["http", "https"].iter().any(|s| scheme.eq_ignore_ascii_case(s)))
}

/// The address of bytes or of a place, as a JSON string; `None` where there is none that a stranger could follow.
pub(super) fn address_of<'r>(media: &'r Media<'_>) -> Option<Cow<'r, str>> {
    match &media.source {
        Source::Url(url) => Some(Cow::Borrowed(url.spelt())),
        Source::Inline { media_type, base64 } => {
            Some(Cow::Owned(media::data_url(media_type, base64).spelt().to_owned()))
        }
        Source::Plain(_) | Source::Id(_) => None,
    }
}

/// An id of a call as a host takes it: itself where it can be, else one made from it, always the same.
pub(super) fn call_id<'r>(id: &'r Text<'_>, rule: IdRule) -> Cow<'r, str> {
    let spelt = id.spelt();
    match rule {
        IdRule::UpTo(length) if spelt.len() <= length => Cow::Borrowed(spelt),
        IdRule::Alphanumeric(length)
            if spelt.len() == length && spelt.bytes().all(|byte| byte.is_ascii_alphanumeric()) =>
        {
            Cow::Borrowed(spelt)
        }
        IdRule::UpTo(_) => Cow::Owned(format!("call_{}", digest(spelt.as_bytes(), 24))),
        IdRule::Alphanumeric(length) => Cow::Owned(digest(spelt.as_bytes(), length)),
    }
}

/// So many letters and digits, at most 32, that stand for these bytes.
pub(super) fn digest(bytes: &[u8], length: usize) -> String {
    const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let hash = Sha256::digest(bytes);
    hash.iter().take(length).map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()])).collect()
}

/// How many characters a piece of spelt text has. The two halves of a surrogate pair count as one, in whichever
/// pieces they come.
pub(super) fn characters(spelt: &str) -> u64 {
    let bytes = spelt.as_bytes();
    let mut count: u64 = 0;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let (step, counts) = match (byte, bytes.get(at + 1)) {
            (b'\\', Some(b'u')) => (6, !is_low_half(bytes.get(at + 2..at + 6).unwrap_or_default())),
            (b'\\', _) => (2, true),
            // A byte that goes on with a character of several.
            (byte, _) => (1, byte & 0xc0 != 0x80),
        };
        count += u64::from(counts);
        at += step;
    }
    count
}

fn is_low_half(digits: &[u8]) -> bool {
    matches!(digits, [b'd' | b'D', b'c'..=b'f' | b'C'..=b'F', _, _])
}

/// The first so many characters of a plain text, and the rest; `None` where it has not as many.
pub(super) fn split_characters(plain: &str, count: u64) -> Option<(&str, &str)> {
    let count = usize::try_from(count).ok()?;
    let end = plain.char_indices().map(|(at, _)| at).chain(std::iter::once(plain.len())).nth(count)?;
    plain.split_at_checked(end)
}

/// Writes a string that is spelt for JSON already.
pub(super) fn write_spelt(w: &mut Writer, spelt: &str) {
    w.text(&Text::spelt_as(spelt));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_apart() {
        let read = |json: &'static str| source_of(Value::parse(json.as_bytes()).unwrap());
        for json in [
            r#""data:image/png;base64,AA+/""#,
            r#""data:image\/png;base64,AA+\/""#,
            r#""DATA:image/png;charset=x;BASE64,AA+/""#,
        ] {
            let Some(Source::Inline { media_type, base64 }) = read(json) else { panic!("{json}") };
            assert_eq!((media_type.spelt(), base64.spelt()), ("image/png", "AA+/"), "{json}");
        }
        assert!(matches!(read(r#""https://a.example/x""#), Some(Source::Url(url)) if url.is("https://a.example/x")));
        for json in [r#""data:image/png,x""#, r#""file:///etc/passwd""#, "\"\"", "1", r#""data:""#] {
            assert!(read(json).is_none(), "{json}");
        }
    }

    #[test]
    fn ids_stay_where_they_can() {
        let long = Text::plain("x".repeat(65));
        for (id, rule, same) in [
            (Text::plain("call_1"), IdRule::UpTo(64), true),
            (long, IdRule::UpTo(64), false),
            (Text::plain("abcDEF123"), IdRule::Alphanumeric(9), true),
            (Text::plain("toolu_01a"), IdRule::Alphanumeric(9), false),
        ] {
            let made = call_id(&id, rule);
            assert_eq!(made == id.spelt(), same, "{made}");
            assert_eq!(made, call_id(&id, rule));
            assert!(made.len() <= 40 || same);
        }
        assert_eq!(call_id(&Text::plain("toolu_01a"), IdRule::Alphanumeric(9)).len(), 9);
    }

    #[test]
    fn characters_are_counted_in_any_spelling() {
        for (spelt, count) in
            [("", 0), ("aä😀", 3), (r"a\n\ud83d\ude00", 3), (r"\\u", 2), (r"\ud83d", 1), (r"\ude00", 0)]
        {
            assert_eq!(characters(spelt), count, "{spelt}");
        }
        assert_eq!(split_characters("aä😀b", 3), Some(("aä😀", "b")));
        assert_eq!(split_characters("ab", 2), Some(("ab", "")));
        assert_eq!(split_characters("ab", 3), None);
    }
}
