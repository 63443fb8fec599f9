//! JSON checked to the letter in one pass, without a tree: what is let through, every reader can read.
//!
//! Must not know any wire format. Where [`super::leap`] looks only for the end of a value, this looks at every
//! byte: names, numbers, escapes, control bytes, UTF-8. Escapes of single surrogates pass, since the grammar
//! has them: models that are cut off in the middle of a character send them.

#[cfg(test)]
pub(in crate::wire) mod tests;

use super::jumps::Jumps;
use super::leap::{DEPTH_MAX, Malformed, skip_space};

/// Words looked at one by one where a string begins: most strings are names and ids.
const NEAR_WORDS: usize = 4;

/// Bytes of a long string that are looked at together: four vectors of any x86-64 or ARM64.
const BLOCK_BYTES: usize = 64;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;
const QUOTES: u64 = ONES * b'"' as u64;
const BACKSLASHES: u64 = ONES * b'\\' as u64;
const SPACES: u64 = ONES * b' ' as u64;

/// Checks that a text is one JSON value, with nothing but white space around it, and returns it as text.
///
/// # Errors
/// When it is not, or is nested deeper than [`DEPTH_MAX`].
pub fn text(text: &[u8]) -> Result<&str, Malformed> {
    let mut scanner = Scanner::new(text);
    scanner.document()?;
    scanner.text()
}

/// The same, with the text's containers.
///
/// # Errors
/// When it is not one JSON value, or is nested deeper than [`DEPTH_MAX`].
pub fn with_jumps(text: &[u8]) -> Result<(&str, Jumps), Malformed> {
    let mut scanner = Scanner { jumps: Jumps::with_room_for(text.len()), ..Scanner::new(text) };
    scanner.document()?;
    Ok((scanner.text()?, scanner.jumps))
}

/// Checks that a text is one JSON object, with nothing but white space around it, and calls `visit` with each of
/// its members: the name without its quotes, as it is spelt, and the whole value. What was visited counts only
/// if the whole passes.
///
/// # Errors
/// When it is not, or is nested deeper than [`DEPTH_MAX`].
pub fn object<'a>(text: &'a [u8], mut visit: impl FnMut(&'a [u8], &'a [u8])) -> Result<(), Malformed> {
    let mut scanner = Scanner::new(text);
    scanner.skip_space();
    scanner.expect(b'{')?;
    scanner.skip_space();
    if scanner.peek() == Some(b'}') {
        scanner.at += 1;
        return scanner.finish();
    }
    loop {
        let name_open = scanner.at;
        let name_end = scanner.name()?;
        let start = scanner.at;
        scanner.value()?;
        let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
        visit(part(name_open + 1, name_end - 1), part(start, scanner.at));
        scanner.skip_space();
        match scanner.peek() {
            Some(b',') => scanner.at += 1,
            Some(b'}') => {
                scanner.at += 1;
                return scanner.finish();
            }
            _ => return Err(scanner.unexpected()),
        }
        scanner.skip_space();
    }
}

/// Goes over a text from its start to its end, once.
struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    /// All bytes of strings so far, or-ed: tells whether there is UTF-8 to be checked.
    seen: u8,
    /// The containers, where they are wanted.
    jumps: Jumps,
}

/// Which brackets are open: one bit a level, the innermost lowest, set for an object.
#[derive(Default)]
struct Brackets {
    kinds: u128,
    depth: u32,
}

impl Brackets {
    fn open(&mut self, is_object: bool) -> Result<(), Malformed> {
        if self.depth == DEPTH_MAX {
            return Err(Malformed::TooDeep);
        }
        self.depth += 1;
        self.kinds = self.kinds << 1 | u128::from(is_object);
        Ok(())
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.kinds >>= 1;
    }

    fn is_object(&self) -> bool {
        self.kinds & 1 == 1
    }
}

impl<'a> Scanner<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, seen: 0, jumps: Jumps::none() }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    #[inline]
    fn skip_space(&mut self) {
        if self.peek().is_some_and(|byte| byte <= b' ') {
            self.at = skip_space(self.text, self.at);
        }
    }

    #[cold]
    fn unexpected(&self) -> Malformed {
        self.unexpected_at(self.at)
    }

    #[cold]
    fn unexpected_at(&self, at: usize) -> Malformed {
        if at >= self.text.len() { Malformed::Truncated } else { Malformed::At(at) }
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.peek() != Some(byte) {
            return Err(self.unexpected());
        }
        self.at += 1;
        Ok(())
    }

    /// The one value of a text, and what stands before it.
    fn document(&mut self) -> Result<(), Malformed> {
        self.skip_space();
        self.value()
    }

    /// Nothing may follow.
    fn end(&mut self) -> Result<(), Malformed> {
        self.skip_space();
        if self.at < self.text.len() { Err(Malformed::At(self.at)) } else { Ok(()) }
    }

    /// Nothing may follow, and what was in strings must be UTF-8. Outside of strings all bytes were compared.
    fn finish(mut self) -> Result<(), Malformed> {
        self.end()?;
        if self.seen.is_ascii() {
            return Ok(());
        }
        self.utf8().map(|_| ())
    }

    /// The same; the text is needed as such.
    fn text(&mut self) -> Result<&'a str, Malformed> {
        self.end()?;
        self.utf8()
    }

    fn utf8(&self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.text).map_err(|error| Malformed::At(error.valid_up_to()))
    }

    #[inline]
    fn value(&mut self) -> Result<(), Malformed> {
        if let Some(b'{' | b'[') = self.peek() { self.container() } else { self.scalar() }
    }

    fn container(&mut self) -> Result<(), Malformed> {
        let mut brackets = Brackets::default();
        loop {
            // Here a value begins.
            if let Some(bracket @ (b'{' | b'[')) = self.peek() {
                brackets.open(bracket == b'{')?;
                self.jumps.open(self.at);
                self.at += 1;
                self.skip_space();
                if !matches!(self.peek(), Some(b'}' | b']')) {
                    self.begin_item(&brackets)?;
                    continue;
                }
            } else {
                self.scalar()?;
            }
            if !self.after_value(&mut brackets)? {
                return Ok(());
            }
        }
    }

    /// Goes on to the next value: over a comma, and over the brackets that close before it. False when the
    /// outermost has closed.
    fn after_value(&mut self, brackets: &mut Brackets) -> Result<bool, Malformed> {
        loop {
            self.skip_space();
            match (self.peek(), brackets.is_object()) {
                (Some(b','), _) => {
                    self.at += 1;
                    self.skip_space();
                    self.begin_item(brackets)?;
                    return Ok(true);
                }
                (Some(b'}'), true) | (Some(b']'), false) => {
                    self.at += 1;
                    self.jumps.close(self.at);
                    brackets.close();
                    if brackets.depth == 0 {
                        return Ok(false);
                    }
                }
                _ => return Err(self.unexpected()),
            }
        }
    }

    /// What stands before a value: in an object, a name.
    #[inline]
    fn begin_item(&mut self, brackets: &Brackets) -> Result<(), Malformed> {
        if brackets.is_object() { self.name().map(|_| ()) } else { Ok(()) }
    }

    /// Goes over a name and its colon, to the value; returns where the name ends.
    #[inline]
    fn name(&mut self) -> Result<usize, Malformed> {
        self.expect(b'"')?;
        self.string()?;
        let end = self.at;
        self.skip_space();
        self.expect(b':')?;
        self.skip_space();
        Ok(end)
    }

    #[inline]
    fn scalar(&mut self) -> Result<(), Malformed> {
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                self.string()
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            _ => Err(self.unexpected()),
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Malformed> {
        if self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            self.at += word.len();
            return Ok(());
        }
        // Where it differs.
        word.iter().try_for_each(|byte| self.expect(*byte))
    }

    fn number(&mut self) -> Result<(), Malformed> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    /// One digit or more.
    #[inline]
    fn digits(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start { Err(self.unexpected()) } else { Ok(()) }
    }

    /// Goes over the rest of a string whose opening quote has been passed.
    #[inline]
    fn string(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        let mut rest = self.text.get(start..).unwrap_or_default();
        let mut seen = 0_u64;
        for _ in 0..NEAR_WORDS {
            let Some((word, after)) = rest.split_first_chunk::<8>() else { break };
            let word = u64::from_le_bytes(*word);
            let hits = specials(word);
            if hits != 0 {
                let index = hits.trailing_zeros() as usize / 8;
                self.at = self.text.len() - rest.len() + index;
                if self.peek() != Some(b'"') {
                    break;
                }
                self.at += 1;
                let before = (1_u64 << (index * 8)) - 1;
                if (seen | (word & before)) & HIGH != 0 {
                    self.seen |= 0x80;
                }
                return Ok(());
            }
            seen |= word;
            rest = after;
        }
        self.long_string(start)
    }

    /// The same for one whose end is not near.
    fn long_string(&mut self, start: usize) -> Result<(), Malformed> {
        let mut at = start;
        loop {
            at = self.plain_end(at);
            match self.text.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(());
                }
                Some(b'\\') => at = escape_end(self.text, at).map_err(|at| self.unexpected_at(at))?,
                Some(_) | None => return Err(self.unexpected_at(at)),
            }
        }
    }

    /// Where in a string what may stand there as it is comes to an end: blocks of nothing else are passed over first.
    fn plain_end(&mut self, at: usize) -> usize {
        let mut rest = self.text.get(at..).unwrap_or_default();
        let mut seen = 0_u64;
        while let Some((block, after)) = rest.split_first_chunk::<BLOCK_BYTES>() {
            // Compiled to vector comparisons.
            let hits = block.iter().fold(0, |hits, byte| hits | u8::from(is_special(*byte)));
            if hits != 0 {
                break;
            }
            seen = block.as_chunks::<8>().0.iter().fold(seen, |seen, word| seen | u64::from_le_bytes(*word));
            rest = after;
        }
        while let Some((word, after)) = rest.split_first_chunk::<8>() {
            let word = u64::from_le_bytes(*word);
            if specials(word) != 0 {
                break;
            }
            seen |= word;
            rest = after;
        }
        while let Some((byte, after)) = rest.split_first().filter(|(byte, _)| !is_special(**byte)) {
            seen |= u64::from(*byte);
            rest = after;
        }
        if seen & HIGH != 0 {
            self.seen |= 0x80;
        }
        self.text.len() - rest.len()
    }
}

/// Whether a byte cannot stand in a string as it is.
#[inline]
fn is_special(byte: u8) -> bool {
    byte < b' ' || matches!(byte, b'"' | b'\\')
}

/// The index after the escape whose backslash stands at `at`, or the index where it is none.
#[inline]
fn escape_end(text: &[u8], at: usize) -> Result<usize, usize> {
    match text.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => {
            let digits = text.get(at + 2..).unwrap_or_default().iter().take(4);
            let count = digits.take_while(|digit| digit.is_ascii_hexdigit()).count();
            if count == 4 { Ok(at + 6) } else { Err(at + 2 + count) }
        }
        _ => Err(at + 1),
    }
}

/// Whether one of eight bytes cannot stand in a string as it is.
#[inline]
pub fn has_special(eight: [u8; 8]) -> bool {
    specials(u64::from_le_bytes(eight)) != 0
}

/// Marks, by its high bit, the first byte of a word that is a quote, a backslash or below a space; bytes after
/// it may be marked wrongly.
#[inline]
fn specials(word: u64) -> u64 {
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word;
    let below_space = word.wrapping_sub(SPACES) & !word;
    (zeros(word ^ QUOTES) | zeros(word ^ BACKSLASHES) | below_space) & HIGH
}
