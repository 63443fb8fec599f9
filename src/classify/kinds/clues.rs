//! Clues to the kind of work in a text: its words, pairs of neighbouring words, and marks, as numbers of a bounded range.
//!
//! Must not know kinds or weights: it tells a [`Sink`] what it sees, in one pass and without allocation. The numbers are part
//! of the format of a weights file: whoever changes what they mean raises `weights::VERSION`.

/// How many numbers there are for words and pairs.
pub const BUCKETS: usize = 1 << BUCKET_BITS;
const BUCKET_BITS: u32 = 14;
/// Longer words are data, not language: all of them are one word.
const WORD_BYTES_MAX: usize = 24;
/// Most options of a choice question.
const OPTIONS_MAX: u8 = 10;

/// Whose words they are; the same word of another speaker is another clue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The last words of the user.
    User,
    /// The system prompt and what the user said before.
    Context,
}

/// Who hears of clues.
pub trait Sink {
    /// A word or a pair, below [`BUCKETS`].
    fn word(&mut self, part: Part, bucket: usize);

    /// A word, and the pair that it makes with the one before it: most of what is heard.
    fn word_and_pair(&mut self, part: Part, word: usize, pair: usize) {
        self.word(part, word);
        self.word(part, pair);
    }

    /// The text that the words since the last call are of; blanks are told too. For those who explain: who only counts
    /// does without.
    fn token(&mut self, _text: &str) {}
}

/// Counts that came up on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Words, numbers and marks.
    pub tokens: u32,
    /// Of these, numbers.
    pub numbers: u32,
    /// Of these, words with letters other than those of English.
    pub foreign: u32,
    /// The longest run of options: a, b, c, … each with a bracket, a full stop or a colon.
    pub options: u8,
}

/// What a byte begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Letter,
    Digit,
    Space,
    Newline,
    Mark,
    /// A character of more than one byte.
    High,
}

/// By table, because the loop over the bytes is all the cost there is.
const CLASSES: [Class; 256] = classes();

const fn classes() -> [Class; 256] {
    let mut classes = [Class::Mark; 256];
    let mut at: u8 = 0;
    loop {
        classes[at as usize] = match at {
            b'a'..=b'z' | b'A'..=b'Z' => Class::Letter,
            b'0'..=b'9' => Class::Digit,
            b'\n' | b'\r' => Class::Newline,
            0..=b' ' => Class::Space,
            0x80.. => Class::High,
            _ => Class::Mark,
        };
        if at == u8::MAX {
            return classes;
        }
        at += 1;
    }
}

const SEED_USER: u32 = 0x811c_9dc5;
const SEED_CONTEXT: u32 = 0x2545_f491;
/// An odd number of FNV-1a.
const PRIME: u32 = 0x0100_0193;
/// Spreads a hash over its upper bits.
const SPREAD: u32 = 0x9e37_79b1;
const LONG_WORD: u32 = 0x5bd1_e995;
const NUMBER: u32 = 0x1b87_3593;
const NEWLINE: u32 = 0x85eb_ca6b;

/// Reads a text from its beginning to its end.
pub fn read(text: &str, part: Part, sink: &mut impl Sink) -> Tally {
    let seed = match part {
        Part::User => SEED_USER,
        Part::Context => SEED_CONTEXT,
    };
    let mut reader = Reader { text, part, sink, seed, before: 0, tally: Tally::default(), expected: 0 };
    reader.run();
    reader.tally
}

struct Reader<'t, S> {
    text: &'t str,
    part: Part,
    sink: &'t mut S,
    seed: u32,
    /// The token before, 0 at the beginning.
    before: u32,
    tally: Tally,
    /// How many options of a list have been seen in order.
    expected: u8,
}

impl<S: Sink> Reader<'_, S> {
    fn run(&mut self) {
        let bytes = self.text.as_bytes();
        let mut at = 0;
        while let Some(byte) = bytes.get(at).copied() {
            let start = at;
            at = match class(byte) {
                Class::Space => at + 1,
                Class::Letter => self.word(at),
                Class::Digit => self.number(at),
                Class::Newline => {
                    let end = run_end(bytes, at, |class| matches!(class, Class::Newline | Class::Space));
                    self.token(NEWLINE);
                    end
                }
                Class::Mark => self.mark(at, byte),
                Class::High => self.high(at),
            };
            self.sink.token(self.text.get(start..at).unwrap_or_default());
        }
    }

    fn token(&mut self, hash: u32) {
        let own = hash ^ self.seed;
        let pair = own.wrapping_mul(PRIME).wrapping_add(self.before.rotate_left(15));
        self.sink.word_and_pair(self.part, bucket(own), bucket(pair));
        self.before = own;
        self.tally.tokens = self.tally.tokens.saturating_add(1);
    }

    /// A run of letters of any alphabet that puts blanks between words.
    fn word(&mut self, start: usize) -> usize {
        let bytes = self.text.as_bytes();
        let mut hash = u64::from(SEED_USER);
        let mut at = start;
        let mut is_foreign = false;
        while let Some(byte) = bytes.get(at).copied() {
            match class(byte) {
                Class::Letter => hash = hash.rotate_left(7) ^ u64::from(byte | 0x20),
                Class::High => {
                    let Some(letter) = self.letter(at) else { break };
                    is_foreign = true;
                    hash = hash.rotate_left(7) ^ u64::from(u32::from(letter));
                    at += letter.len_utf8() - 1;
                }
                Class::Digit | Class::Space | Class::Newline | Class::Mark => break,
            }
            at += 1;
        }
        self.tally.foreign = self.tally.foreign.saturating_add(u32::from(is_foreign));
        self.token(if at - start > WORD_BYTES_MAX { LONG_WORD } else { folded(hash) });
        if at - start == 1 {
            self.option(start);
        }
        at
    }

    /// A letter of an alphabet with words, as it is written small where that takes as many bytes.
    fn letter(&self, at: usize) -> Option<char> {
        let letter =
            self.text.get(at..)?.chars().next().filter(|letter| letter.is_alphabetic() && !is_ideograph(*letter))?;
        let small = letter.to_lowercase().next().filter(|small| small.len_utf8() == letter.len_utf8());
        Some(small.unwrap_or(letter))
    }

    /// A single letter with a bracket, a full stop or a colon behind it may be the next option of a list.
    fn option(&mut self, at: usize) {
        let bytes = self.text.as_bytes();
        let is_marked = matches!(bytes.get(at + 1), Some(b')' | b'.' | b':'));
        let letter = bytes.get(at).map_or(0, u8::to_ascii_lowercase).wrapping_sub(b'a');
        if !is_marked || letter >= OPTIONS_MAX {
            return;
        }
        if letter == 0 {
            self.expected = 1;
        } else if letter == self.expected {
            self.expected += 1;
        }
        self.tally.options = self.tally.options.max(self.expected);
    }

    /// Numbers count by how many digits they have.
    fn number(&mut self, start: usize) -> usize {
        let bytes = self.text.as_bytes();
        let mut at = start;
        while bytes.get(at).is_some_and(u8::is_ascii_digit)
            || (matches!(bytes.get(at), Some(b'.' | b',')) && bytes.get(at + 1).is_some_and(u8::is_ascii_digit))
        {
            at += 1;
        }
        let digits = u32::try_from(at - start).unwrap_or(u32::MAX).min(4);
        self.tally.numbers = self.tally.numbers.saturating_add(1);
        self.token(NUMBER.wrapping_add(digits.wrapping_mul(SPREAD)));
        at
    }

    /// Runs of one mark count as one, two or three.
    fn mark(&mut self, start: usize, mark: u8) -> usize {
        let bytes = self.text.as_bytes();
        let run = bytes.get(start..).unwrap_or_default().iter().take_while(|byte| **byte == mark).count();
        let seen = u32::try_from(run.min(3)).unwrap_or(3);
        self.token((u32::from(mark) << 8 | seen).wrapping_mul(SPREAD));
        start + run
    }

    fn high(&mut self, at: usize) -> usize {
        if self.letter(at).is_some() {
            return self.word(at);
        }
        let Some(sign) = self.text.get(at..).and_then(|rest| rest.chars().next()) else { return at + 1 };
        if is_ideograph(sign) {
            self.tally.foreign = self.tally.foreign.saturating_add(1);
        }
        if !sign.is_whitespace() {
            self.token(u32::from(sign).wrapping_mul(SPREAD) ^ PRIME);
        }
        at + sign.len_utf8()
    }
}

/// Signs of scripts without blanks between words; each is a token.
fn is_ideograph(sign: char) -> bool {
    matches!(u32::from(sign), 0x0e00..=0x0eff | 0x3040..=0x30ff | 0x3400..=0x9fff | 0xac00..=0xd7af | 0x2_0000..=0x3_ffff)
}

fn class(byte: u8) -> Class {
    CLASSES.get(usize::from(byte)).copied().unwrap_or(Class::Space)
}

fn run_end(bytes: &[u8], start: usize, belongs: impl Fn(Class) -> bool) -> usize {
    let run = bytes.get(start..).unwrap_or_default().iter().take_while(|byte| belongs(class(**byte))).count();
    start + run
}

/// The hash of a word in 32 bits; the multiplication lets every letter count.
fn folded(hash: u64) -> u32 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    u32::try_from(hash.wrapping_mul(ODD) >> u32::BITS).unwrap_or_default()
}

fn bucket(hash: u32) -> usize {
    let spread = (hash ^ hash >> 15).wrapping_mul(SPREAD) >> (u32::BITS - BUCKET_BITS);
    usize::try_from(spread).unwrap_or(0)
}
