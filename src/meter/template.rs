//! The short way for text frames: a stream sends the same frame again and again, only the text differs.
//!
//! Must not know wire formats: what a frame means was read once, when it was learnt. A frame that consists of
//! the same bytes around another string means the same, so two comparisons take the place of reading it, and
//! nothing inside the text can mislead them.

use std::ops::Range;

use crate::wire::{leap, strict};

/// Longer frames are not worth comparing, and would be kept once a stream.
const FIXED_BYTES_MAX: usize = 1024;

/// A frame that was read, without its strings.
#[derive(Debug, Default)]
pub(super) struct Template {
    /// What is fixed: before, between and after the strings, then the end of the frame. Empty: not learnt.
    fixed: Vec<u8>,
    /// Where the first string cuts `fixed`.
    first: usize,
    /// Where the second string cuts `fixed`; there may be none.
    second: Option<usize>,
    /// Where the end of the frame begins in `fixed`. Any number of spaces may stand before it: Anthropic
    /// pads its frames.
    close: usize,
    /// Whether the text is the first string.
    is_text_first: bool,
}

impl Template {
    /// Learns a frame that has its text at `text` and, where there is one, a string of padding.
    pub(super) fn learn(&mut self, frame: &[u8], text: Range<usize>, padding: Option<Range<usize>>) {
        self.fixed.clear();
        // A frame that ends with a CR might go on with an LF.
        let Some(close) = memchr::memrchr(b'}', frame).filter(|_| frame.ends_with(b"\n")) else { return };
        self.is_text_first = padding.as_ref().is_none_or(|padding| text.start < padding.start);
        let (first, second) = match padding {
            Some(padding) if padding.start < text.start => (padding, Some(text)),
            padding => (text, padding),
        };
        let last_end = second.as_ref().map_or(first.end, |second| second.end);
        let between = second.as_ref().map_or(first.end..first.end, |second| first.end..second.start);
        let (Some(head), Some(between), Some(tail), Some(end)) =
            (frame.get(..first.start), frame.get(between), frame.get(last_end..close), frame.get(close..))
        else {
            return;
        };
        let tail = tail.trim_ascii_end();
        if head.len() + between.len() + tail.len() + end.len() > FIXED_BYTES_MAX {
            return;
        }
        self.fixed.extend_from_slice(head);
        self.first = self.fixed.len();
        self.fixed.extend_from_slice(between);
        self.second = second.map(|_| self.fixed.len());
        self.fixed.extend_from_slice(tail);
        self.close = self.fixed.len();
        self.fixed.extend_from_slice(end);
    }

    /// The text of `frame`, if it is such a frame and nothing more.
    #[inline]
    pub(super) fn fit_whole<'a>(&self, frame: &'a [u8]) -> Option<&'a [u8]> {
        if self.second.is_none() && !self.fixed.is_empty() {
            let (head, tail) = self.fixed.split_at_checked(self.first)?;
            // From both ends, so that nobody has to search for the end of the text.
            let text = frame.strip_prefix(head).and_then(|rest| rest.strip_suffix(tail));
            if let Some(text) = text.filter(|text| is_plain(text)) {
                return Some(text);
            }
        }
        let (text, end) = self.fit(frame)?;
        if end == frame.len() { frame.get(text) } else { None }
    }

    /// If `bytes` begins with such a frame: where its text stands, and where the frame ends.
    #[inline]
    pub(super) fn fit(&self, bytes: &[u8]) -> Option<(Range<usize>, usize)> {
        if self.fixed.is_empty() {
            return None;
        }
        let mut at = after(bytes, 0, self.fixed.get(..self.first)?)?;
        let mut text = string(bytes, at)?;
        at = text.end;
        let mut from = self.first;
        if let Some(second) = self.second {
            at = after(bytes, at, self.fixed.get(from..second)?)?;
            let string = string(bytes, at)?;
            at = string.end;
            from = second;
            if !self.is_text_first {
                text = string;
            }
        }
        at = after(bytes, at, self.fixed.get(from..self.close)?)?;
        while bytes.get(at) == Some(&b' ') {
            at += 1;
        }
        let end = after(bytes, at, self.fixed.get(self.close..)?)?;
        Some((text, end))
    }
}

/// The index after `expected`, if it stands at `at`.
#[inline]
fn after(bytes: &[u8], at: usize, expected: &[u8]) -> Option<usize> {
    bytes.get(at..)?.starts_with(expected).then_some(at + expected.len())
}

/// Whether a string of these bytes ends nowhere before its last one, and holds no escape.
#[inline]
fn is_plain(text: &[u8]) -> bool {
    const BLOCK_BYTES: usize = 16;
    let is_odd = |byte: &u8| *byte < b' ' || matches!(*byte, b'"' | b'\\');
    // Without an early end, so that it is compiled to a few vector comparisons.
    let has_odd = |block: &[u8; BLOCK_BYTES]| block.iter().fold(0, |hits, byte| hits | u8::from(is_odd(byte))) != 0;
    if let Some(last) = text.last_chunk::<BLOCK_BYTES>() {
        return !text.as_chunks::<BLOCK_BYTES>().0.iter().any(has_odd) && !has_odd(last);
    }
    // Most texts are a word: two looks, which may overlap, are enough.
    if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        return !strict::has_special(*first) && !strict::has_special(*last);
    }
    if let (Some([a, b, c, d]), Some([e, f, g, h])) = (text.first_chunk(), text.last_chunk()) {
        return !strict::has_special([*a, *b, *c, *d, *e, *f, *g, *h]);
    }
    !text.iter().any(is_odd)
}

/// Up to this length a plain loop is the faster search.
const SHORT_TEXT_BYTES: usize = 12;

/// The inside of the string that begins at `at`, after its quote. A line cannot end inside a string.
#[inline]
fn string(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let end = leap::string_end(bytes, at.checked_sub(1)?)? - 1;
    let text = bytes.get(at..end)?;
    // Texts are a word or two: a plain loop is done before a vector search has begun.
    let has_line_end = if text.len() <= SHORT_TEXT_BYTES {
        text.iter().any(|byte| matches!(byte, b'\n' | b'\r'))
    } else {
        memchr::memchr2(b'\n', b'\r', text).is_some()
    };
    (!has_line_end).then_some(at..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_text_is_looked_at() {
        for length in 0..40 {
            let plain = vec![b'a'; length];
            assert!(is_plain(&plain), "{length}");
            for at in 0..length {
                let with = |byte: u8| [&plain[..at], &[byte], &plain[at + 1..]].concat();
                assert!(is_plain(&with(0xc3)) && is_plain(&with(0x7f)), "{length} {at}");
                for odd in [b'"', b'\\', b'\n', 0x1f, 0] {
                    assert!(!is_plain(&with(odd)), "{length} {at} {odd}");
                }
            }
        }
    }
}
