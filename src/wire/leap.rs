//! Leaping over JSON: where a value ends, which members an object has, what an escape means.
//!
//! Must not know any wire format, and builds no tree. It checks no more of a value than it needs to find
//! the value's end (quotes, brackets and their kinds), so that the cost of a long prompt is a search for
//! its closing quote. What is inside a string or a nested value is never taken for a member.

use std::ops::Range;

use memchr::memchr;

/// Nesting that is followed: the bits of the word that remembers which bracket is open.
pub const DEPTH_MAX: u32 = u128::BITS;

/// Words that are searched one by one before the blocks: most strings of a request are names.
const NEAR_WORDS: usize = 2;

/// Blocks that are searched one by one before the vector search takes over: in code quotes follow one another
/// closely; there the set-up of a vector search costs more than the search.
const NEAR_BLOCKS: usize = 6;

/// The bytes of such a block: two vectors of any x86-64 or ARM64.
const BLOCK_BYTES: usize = 32;

/// The longest member name that anybody here compares with, unescaped.
pub const NAME_BYTES_MAX: usize = 48;

/// Why JSON could not be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The text ended inside a value.
    #[error("it ends too early")]
    Truncated,
    /// Something else than JSON allows stands at this byte.
    #[error("unexpected content at byte {0}")]
    At(usize),
    /// More nesting than is followed.
    #[error("it is nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
}

/// One member of an object, as ranges of the text it was found in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The name without its quotes, as it is spelt (escapes included).
    pub name: Range<usize>,
    /// The whole value.
    pub value: Range<usize>,
}

/// The index of the first byte at or after `at` that is no white space.
#[inline]
pub fn skip_space(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = text.get(at) {
        at += 1;
    }
    at
}

/// The index after the closing quote of the string whose opening quote stands at `open`.
#[inline]
pub fn string_end(text: &[u8], open: usize) -> Option<usize> {
    let mut at = open + 1;
    loop {
        let quote = find::<b'"'>(text, at)?;
        // A quote after an odd run of backslashes is escaped. Looking back from the quotes is cheaper than
        // stopping at every backslash: prompts are full of `\n`.
        if text.get(quote - 1) != Some(&b'\\') || !is_escaped(text, quote) {
            return Some(quote + 1);
        }
        at = quote + 1;
    }
}

fn is_escaped(text: &[u8], quote: usize) -> bool {
    // The run ends at the opening quote at the latest.
    let mut at = quote;
    while at > 0 && text.get(at - 1) == Some(&b'\\') {
        at -= 1;
    }
    (quote - at) % 2 == 1
}

/// The index of the first `BYTE` at or after `at`.
#[inline]
pub(super) fn find<const BYTE: u8>(text: &[u8], at: usize) -> Option<usize> {
    let mut rest = text.get(at..)?;
    for _ in 0..NEAR_WORDS {
        let Some((word, after)) = rest.split_first_chunk::<8>() else { break };
        if let Some(index) = find_in_word::<BYTE>(u64::from_le_bytes(*word)) {
            return Some(text.len() - rest.len() + index);
        }
        rest = after;
    }
    for _ in 0..NEAR_BLOCKS {
        let Some((block, after)) = rest.split_first_chunk::<BLOCK_BYTES>() else { break };
        // Compiled to two vector comparisons.
        if block.iter().fold(0, |hits, byte| hits | u8::from(*byte == BYTE)) != 0 {
            return Some(text.len() - rest.len() + find_in_block::<BYTE>(block));
        }
        rest = after;
    }
    memchr(BYTE, rest).map(|i| text.len() - rest.len() + i)
}

/// Where the first `BYTE` of a block stands that has one.
#[inline]
fn find_in_block<const BYTE: u8>(block: &[u8; BLOCK_BYTES]) -> usize {
    let mut at = 0;
    for word in block.as_chunks::<8>().0 {
        if let Some(index) = find_in_word::<BYTE>(u64::from_le_bytes(*word)) {
            return at + index;
        }
        at += 8;
    }
    at
}

/// Where the first `BYTE` of eight bytes stands, the first byte lowest.
#[inline]
fn find_in_word<const BYTE: u8>(word: u64) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let word = word ^ (ONES * u64::from(BYTE));
    // The lowest set bit marks the first byte that is zero, that is, the one that is looked for.
    let hits = word.wrapping_sub(ONES) & !word & HIGH;
    (hits != 0).then(|| hits.trailing_zeros() as usize / 8)
}

/// The index after the value that starts at `at`.
///
/// # Errors
/// When no value starts there, or it does not end.
pub fn value_end(text: &[u8], at: usize) -> Result<usize, Malformed> {
    match text.get(at) {
        None => Err(Malformed::Truncated),
        Some(b'"') => string_end(text, at).ok_or(Malformed::Truncated),
        Some(b'{' | b'[') => container_end(text, at),
        Some(_) => scalar_end(text, at),
    }
}

fn scalar_end(text: &[u8], start: usize) -> Result<usize, Malformed> {
    let mut at = start;
    while let Some(b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'+' | b'.') = text.get(at) {
        at += 1;
    }
    if at == start { Err(Malformed::At(at)) } else { Ok(at) }
}

fn container_end(text: &[u8], open: usize) -> Result<usize, Malformed> {
    // One bit a level, the innermost lowest: set for an object.
    let mut kinds: u128 = 0;
    let mut depth: u32 = 0;
    let mut at = open;
    while let Some(&byte) = text.get(at) {
        at += 1;
        if byte == b'"' {
            at = string_end(text, at - 1).ok_or(Malformed::Truncated)?;
        } else if matches!(byte, b'{' | b'[') {
            if depth == DEPTH_MAX {
                return Err(Malformed::TooDeep);
            }
            depth += 1;
            kinds = kinds << 1 | u128::from(byte == b'{');
        } else if matches!(byte, b'}' | b']') {
            if (kinds & 1 == 1) != (byte == b'}') {
                return Err(Malformed::At(at - 1));
            }
            depth -= 1;
            kinds >>= 1;
            if depth == 0 {
                return Ok(at);
            }
        }
    }
    Err(Malformed::Truncated)
}

/// Goes from member to member of an object, or from element to element of an array.
#[derive(Clone, Debug)]
pub struct Items<'a> {
    text: &'a [u8],
    at: usize,
    close: u8,
    is_first: bool,
    is_done: bool,
}

impl<'a> Items<'a> {
    /// The object or array whose bracket stands at `open`, if one stands there.
    pub fn open(text: &'a [u8], open: usize) -> Option<Self> {
        let close = match text.get(open)? {
            b'{' => b'}',
            b'[' => b']',
            _ => return None,
        };
        Some(Self { text, at: open + 1, close, is_first: true, is_done: false })
    }

    /// Whether this is an object.
    pub fn is_object(&self) -> bool {
        self.close == b'}'
    }

    /// Where the walk stands: after the closing bracket once the end was reached.
    pub fn position(&self) -> usize {
        self.at
    }

    /// The next member of an object.
    ///
    /// # Errors
    /// When the text is no object from here on; the walk cannot go on then.
    #[inline]
    pub fn next_member(&mut self) -> Result<Option<Member>, Malformed> {
        let Some((name, start)) = self.next_name()? else { return Ok(None) };
        let end = value_end(self.text, start)?;
        self.at = end;
        Ok(Some(Member { name, value: start..end }))
    }

    /// The name of the next member of an object, and where its value starts: for whoever finds the value's end on the
    /// way through it. The walk goes on by [`Self::go_on`].
    ///
    /// # Errors
    /// When the text is no object from here on; the walk cannot go on then.
    #[inline]
    pub fn next_name(&mut self) -> Result<Option<(Range<usize>, usize)>, Malformed> {
        let Some(name_open) = self.next_start()? else { return Ok(None) };
        if self.text.get(name_open) != Some(&b'"') {
            return Err(self.unexpected(name_open));
        }
        let name_end = string_end(self.text, name_open).ok_or(Malformed::Truncated)?;
        let colon = skip_space(self.text, name_end);
        if self.text.get(colon) != Some(&b':') {
            return Err(self.unexpected(colon));
        }
        Ok(Some((name_open + 1..name_end - 1, skip_space(self.text, colon + 1))))
    }

    /// Goes on after a value, which ends there.
    #[inline]
    pub fn go_on(&mut self, end: usize) {
        self.at = end;
    }

    /// The next element of an array.
    ///
    /// # Errors
    /// When the text is no array from here on; the walk cannot go on then.
    #[inline]
    pub fn next_element(&mut self) -> Result<Option<Range<usize>>, Malformed> {
        let Some(start) = self.next_start()? else { return Ok(None) };
        let end = value_end(self.text, start)?;
        self.at = end;
        Ok(Some(start..end))
    }

    /// Where the next element of an array starts. The walk goes on by [`Self::go_on`].
    ///
    /// # Errors
    /// When the text is no array from here on; the walk cannot go on then.
    #[inline]
    pub fn next_start(&mut self) -> Result<Option<usize>, Malformed> {
        if self.is_done {
            return Ok(None);
        }
        let at = skip_space(self.text, self.at);
        let is_first = std::mem::take(&mut self.is_first);
        match self.text.get(at) {
            Some(byte) if *byte == self.close => {
                self.at = at + 1;
                self.is_done = true;
                Ok(None)
            }
            Some(_) if is_first => Ok(Some(at)),
            Some(b',') => Ok(Some(skip_space(self.text, at + 1))),
            _ => Err(self.unexpected(at)),
        }
    }

    fn unexpected(&self, at: usize) -> Malformed {
        if at >= self.text.len() { Malformed::Truncated } else { Malformed::At(at) }
    }
}

/// A member's name with its escapes undone, for comparison; needs no heap. A name that is longer than any
/// that is compared with comes back as it is spelt.
///
/// # Errors
/// When an escape is not one of JSON's.
#[inline]
pub fn plain_name<'a>(spelt: &'a [u8], room: &'a mut [u8; NAME_BYTES_MAX]) -> Result<&'a [u8], Malformed> {
    if spelt.contains(&b'\\') { unescaped_name(spelt, room) } else { Ok(spelt) }
}

#[cold]
fn unescaped_name<'a>(spelt: &'a [u8], room: &'a mut [u8; NAME_BYTES_MAX]) -> Result<&'a [u8], Malformed> {
    let mut used = 0;
    let mut at = 0;
    while let Some(&byte) = spelt.get(at) {
        let mut utf8 = [byte, 0, 0, 0];
        let width = if byte == b'\\' {
            let (decoded, next) = escape(spelt, at).ok_or(Malformed::At(at))?;
            at = next;
            decoded.encode_utf8(&mut utf8).len()
        } else {
            at += 1;
            1
        };
        let Some(slot) = room.get_mut(used..used + width) else { return Ok(spelt) };
        slot.copy_from_slice(utf8.get(..width).unwrap_or_default());
        used += width;
    }
    Ok(room.get(..used).unwrap_or_default())
}

/// What the escape whose backslash stands at `at` means, and the index after it.
pub fn escape(text: &[u8], at: usize) -> Option<(char, usize)> {
    match *text.get(at + 1)? {
        b'u' => unicode_escape(text, at + 2),
        letter => Some((char::from(short_escape(letter)?), at + 2)),
    }
}

/// What a letter after a backslash stands for.
fn short_escape(letter: u8) -> Option<u8> {
    Some(match letter {
        b'"' | b'\\' | b'/' => letter,
        b'b' => 0x8,
        b'f' => 0xc,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        _ => return None,
    })
}

fn unicode_escape(text: &[u8], at: usize) -> Option<(char, usize)> {
    let unit = hex4(text, at)?;
    if !(0xd800..0xdc00).contains(&unit) {
        return char::from_u32(unit).map(|c| (c, at + 4));
    }
    if text.get(at + 4..at + 6)? != br"\u" {
        return None;
    }
    let low = hex4(text, at + 6).filter(|low| (0xdc00..0xe000).contains(low))?;
    char::from_u32(0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00)).map(|c| (c, at + 10))
}

fn hex4(text: &[u8], at: usize) -> Option<u32> {
    text.get(at..at + 4)?.iter().try_fold(0, |sum, digit| Some(sum << 4 | char::from(*digit).to_digit(16)?))
}

/// The text of a string (given without its quotes), where it is valid: no control bytes, UTF-8, JSON's escapes.
pub fn unescape(spelt: &[u8]) -> Option<std::borrow::Cow<'_, str>> {
    if spelt.iter().any(|b| *b < 0x20) {
        return None;
    }
    let text = std::str::from_utf8(spelt).ok()?;
    if memchr(b'\\', spelt).is_none() {
        return Some(text.into());
    }
    let mut plain = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(i) = memchr(b'\\', spelt.get(at..)?) {
        plain.push_str(text.get(at..at + i)?);
        let (meant, next) = escape(spelt, at + i)?;
        plain.push(meant);
        at = next;
    }
    plain.push_str(text.get(at..)?);
    Some(plain.into())
}

/// The text of a string (given without its quotes) as far as it can be made out: what is no UTF-8 or no
/// escape becomes a replacement character. For estimates.
pub fn unescape_lossy(spelt: &[u8]) -> String {
    let mut plain = Vec::with_capacity(spelt.len());
    let mut at = 0;
    while let Some(i) = spelt.get(at..).and_then(|rest| memchr(b'\\', rest)) {
        plain.extend_from_slice(spelt.get(at..at + i).unwrap_or_default());
        if let Some(meant) = spelt.get(at + i + 1).and_then(|letter| short_escape(*letter)) {
            plain.push(meant);
            at += i + 2;
            continue;
        }
        let (meant, next) = escape(spelt, at + i).unwrap_or_else(|| {
            let width = if hex4(spelt, at + i + 2).is_some() { 6 } else { 2 };
            (char::REPLACEMENT_CHARACTER, at + i + width)
        });
        plain.extend_from_slice(meant.encode_utf8(&mut [0; 4]).as_bytes());
        at = next;
    }
    plain.extend_from_slice(spelt.get(at..).unwrap_or_default());
    match String::from_utf8(plain) {
        Ok(text) => text,
        Err(broken) => String::from_utf8_lossy(broken.as_bytes()).into_owned(),
    }
}

/// The inside of a string value, without its quotes; `None` for any other value.
pub fn string_inside(value: &[u8]) -> Option<&[u8]> {
    value.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_ends_at_its_own_quote() {
        for (text, end) in [
            (r#""""#, Some(2)),
            (r#""a""#, Some(3)),
            (r#""a\"b""#, Some(6)),
            (r#""a\\" "#, Some(5)),
            (r#""\\\"" "#, Some(6)),
            (r#""0123456789\n0123456789\"0123456789\\""#, Some(38)),
            (r#""0123456789\n0123456789\"0123456789\\012345678901234567890123456789\"" "#, Some(70)),
            (r#""open"#, None),
            (r#""open\""#, None),
            ("\"", None),
        ] {
            assert_eq!(string_end(text.as_bytes(), 0), end, "{text}");
        }
    }

    #[test]
    fn values_end_where_they_end() {
        for (text, end) in [
            ("12,", Ok(2)),
            ("-1.5e+3}", Ok(7)),
            ("true ", Ok(4)),
            (r#"{"a":"}","b":[1,{"c":"]"}]} "#, Ok(27)),
            ("[]", Ok(2)),
            ("[}", Err(Malformed::At(1))),
            ("{]", Err(Malformed::At(1))),
            ("[[]", Err(Malformed::Truncated)),
            ("", Err(Malformed::Truncated)),
            (",", Err(Malformed::At(0))),
        ] {
            assert_eq!(value_end(text.as_bytes(), 0), end, "{text}");
        }
        let deep = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert_eq!(value_end(deep(128).as_bytes(), 0), Ok(256));
        assert_eq!(value_end(deep(129).as_bytes(), 0), Err(Malformed::TooDeep));
    }

    #[test]
    fn escapes_are_undone() {
        for (spelt, plain) in [
            ("", Some("")),
            ("a", Some("a")),
            (r"mod\u0065l", Some("model")),
            (r"\ud83d\ude00\n", Some("😀\n")),
            (r"\ud83d", None),
            (r"\ude00", None),
            (r"\ud83dx", None),
            (r"\x", None),
            (r"\u12", None),
            ("\n", None),
        ] {
            assert_eq!(unescape(spelt.as_bytes()).as_deref(), plain, "{spelt}");
        }
        assert_eq!(unescape(b"\xff"), None);
        assert_eq!(unescape_lossy(br"a\ud83d\n"), "a\u{fffd}\n");
        assert_eq!(unescape_lossy(b"cut \\"), "cut \u{fffd}");
        assert_eq!(unescape_lossy(b"cut \xe2\x82"), "cut \u{fffd}");
        let mut room = [0; NAME_BYTES_MAX];
        assert_eq!(plain_name(br"mod\u0065l", &mut room), Ok(&b"model"[..]));
        let long = r"\u0041".repeat(60);
        assert_eq!(plain_name(long.as_bytes(), &mut [0; NAME_BYTES_MAX]), Ok(long.as_bytes()));
    }
}
