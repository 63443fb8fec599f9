//! Signs of code, mathematics and hard work in a text: counts, not meanings.
//!
//! Must not know what follows from them; the rules say that. One pass over the bytes, no allocation.

/// Longest word that is looked up.
const WORD_BYTES_MAX: usize = 16;

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Signs {
    pub(super) code_fences: u64,
    pub(super) code: u64,
    pub(super) math: u64,
    pub(super) hard: u64,
    pub(super) questions: u64,
}

#[derive(Clone, Copy)]
enum Sign {
    Code,
    Math,
    Hard,
}

/// Words that count, sorted. Ones with everyday meanings ("class", "power", "even") are left out.
const WORDS: &[(&str, Sign)] = &[
    ("algorithm", Sign::Code),
    ("analyze", Sign::Hard),
    ("angle", Sign::Math),
    ("angles", Sign::Math),
    ("api", Sign::Code),
    ("architecture", Sign::Hard),
    ("argmax", Sign::Math),
    ("arithmetic", Sign::Math),
    ("asymptotic", Sign::Math),
    ("async", Sign::Code),
    ("aws", Sign::Code),
    ("bash", Sign::Code),
    ("bijection", Sign::Math),
    ("binomial", Sign::Math),
    ("boolean", Sign::Code),
    ("bug", Sign::Code),
    ("calculus", Sign::Math),
    ("circumference", Sign::Math),
    ("code", Sign::Code),
    ("coefficient", Sign::Math),
    ("compiler", Sign::Code),
    ("complexity", Sign::Hard),
    ("concurrency", Sign::Hard),
    ("congruent", Sign::Math),
    ("const", Sign::Code),
    ("contradiction", Sign::Hard),
    ("coordinates", Sign::Math),
    ("coprime", Sign::Math),
    ("cosine", Sign::Math),
    ("css", Sign::Code),
    ("csv", Sign::Code),
    ("cubes", Sign::Math),
    ("dataframe", Sign::Code),
    ("deadlock", Sign::Hard),
    ("debug", Sign::Code),
    ("def", Sign::Code),
    ("derivation", Sign::Hard),
    ("derivative", Sign::Math),
    ("derive", Sign::Hard),
    ("determinant", Sign::Math),
    ("diagonal", Sign::Math),
    ("differentiation", Sign::Math),
    ("digit", Sign::Math),
    ("digits", Sign::Math),
    ("diophantine", Sign::Math),
    ("divisible", Sign::Math),
    ("divisor", Sign::Math),
    ("divisors", Sign::Math),
    ("docker", Sign::Code),
    ("eigenvalue", Sign::Math),
    ("eigenvalues", Sign::Math),
    ("ellipse", Sign::Math),
    ("equation", Sign::Math),
    ("equilateral", Sign::Math),
    ("factorial", Sign::Math),
    ("factorization", Sign::Math),
    ("float", Sign::Code),
    ("fraction", Sign::Math),
    ("function", Sign::Code),
    ("git", Sign::Code),
    ("hexagon", Sign::Math),
    ("html", Sign::Code),
    ("hyperbola", Sign::Math),
    ("hypotenuse", Sign::Math),
    ("implement", Sign::Hard),
    ("inequality", Sign::Math),
    ("integer", Sign::Math),
    ("integers", Sign::Math),
    ("integral", Sign::Math),
    ("java", Sign::Code),
    ("javascript", Sign::Code),
    ("kubernetes", Sign::Code),
    ("lambda", Sign::Math),
    ("lemma", Sign::Math),
    ("linux", Sign::Code),
    ("logarithm", Sign::Math),
    ("matrix", Sign::Math),
    ("modulo", Sign::Math),
    ("multiples", Sign::Math),
    ("mysql", Sign::Code),
    ("nginx", Sign::Code),
    ("nodejs", Sign::Code),
    ("null", Sign::Code),
    ("numpy", Sign::Code),
    ("optimal", Sign::Hard),
    ("optimize", Sign::Hard),
    ("orthogonal", Sign::Math),
    ("pandas", Sign::Code),
    ("parabola", Sign::Math),
    ("perimeter", Sign::Math),
    ("permutation", Sign::Math),
    ("permutations", Sign::Math),
    ("perpendicular", Sign::Math),
    ("php", Sign::Code),
    ("polygon", Sign::Math),
    ("polynomial", Sign::Math),
    ("polynomials", Sign::Math),
    ("postgres", Sign::Code),
    ("probability", Sign::Math),
    ("proof", Sign::Hard),
    ("proofs", Sign::Hard),
    ("prove", Sign::Hard),
    ("puzzle", Sign::Hard),
    ("python", Sign::Code),
    ("quadratic", Sign::Math),
    ("quadrilateral", Sign::Math),
    ("radius", Sign::Math),
    ("react", Sign::Code),
    ("refactor", Sign::Hard),
    ("regex", Sign::Code),
    ("remainder", Sign::Math),
    ("riddle", Sign::Hard),
    ("rigorous", Sign::Hard),
    ("rigorously", Sign::Hard),
    ("roots", Sign::Math),
    ("rust", Sign::Code),
    ("sine", Sign::Math),
    ("sql", Sign::Code),
    ("sqrt", Sign::Math),
    ("stacktrace", Sign::Code),
    ("stderr", Sign::Code),
    ("stdin", Sign::Code),
    ("stdout", Sign::Code),
    ("struct", Sign::Code),
    ("subset", Sign::Math),
    ("svg", Sign::Code),
    ("tangent", Sign::Math),
    ("terraform", Sign::Code),
    ("theorem", Sign::Math),
    ("theorems", Sign::Math),
    ("traceback", Sign::Code),
    ("tradeoffs", Sign::Hard),
    ("trapezoid", Sign::Math),
    ("triangle", Sign::Math),
    ("trigonometric", Sign::Math),
    ("tuple", Sign::Code),
    ("typescript", Sign::Code),
    ("vertex", Sign::Math),
    ("vertices", Sign::Math),
    ("yaml", Sign::Code),
    ("yml", Sign::Code),
];

/// The words as numbers: one comparison instead of a call for each candidate.
const KEYS: [u128; WORDS.len()] = keys();

/// For each first letter: which lengths occur, and where its words stand.
const LETTERS: [Letter; 26] = letters();

#[derive(Clone, Copy)]
struct Letter {
    /// Bit n is set if there is a word of n letters. Most words of a text are ruled out by this alone.
    lengths: u32,
    start: usize,
    end: usize,
}

const fn keys() -> [u128; WORDS.len()] {
    let mut keys = [0; WORDS.len()];
    let mut at = 0;
    while at < WORDS.len() {
        keys[at] = key(WORDS[at].0.as_bytes());
        at += 1;
    }
    keys
}

const fn letters() -> [Letter; 26] {
    let mut letters = [Letter { lengths: 0, start: 0, end: 0 }; 26];
    let mut at = 0;
    while at < WORDS.len() {
        let word = WORDS[at].0.as_bytes();
        let letter = &mut letters[(word[0] - b'a') as usize];
        if letter.lengths == 0 {
            letter.start = at;
        }
        letter.lengths |= 1 << word.len();
        letter.end = at + 1;
        at += 1;
    }
    letters
}

/// A word of at most `WORD_BYTES_MAX` letters as a number, whatever their case.
const fn key(word: &[u8]) -> u128 {
    let mut key = 0;
    let mut at = 0;
    while at < word.len() {
        key = key << 8 | word[at].to_ascii_lowercase() as u128;
        at += 1;
    }
    key
}

/// What a byte is to the counting.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Letter,
    /// May be a sign, together with what follows.
    Mark,
    Rest,
}

/// By table, because the loop over the bytes is all the cost there is.
const CLASSES: [Class; 256] = classes();

const fn classes() -> [Class; 256] {
    let mut classes = [Class::Rest; 256];
    let mut at = 0;
    while at < MARKS.len() {
        classes[MARKS[at] as usize] = Class::Mark;
        at += 1;
    }
    let mut letter = b'a';
    while letter <= b'z' {
        classes[letter as usize] = Class::Letter;
        classes[letter.to_ascii_uppercase() as usize] = Class::Letter;
        letter += 1;
    }
    classes
}

/// The bytes with which signs begin; 0xe2 leads the mathematical operators of Unicode.
const MARKS: &[u8] = b"?`\\^_$\xe2({;}=-!+:&|</[";

/// Counts the signs of a text.
pub(super) fn count(text: &str) -> Signs {
    let bytes = text.as_bytes();
    let class = |at: usize| bytes.get(at).map(|byte| CLASSES[usize::from(*byte)]);
    let mut signs = Signs::default();
    let mut at = 0;
    while let Some(kind) = class(at) {
        let start = at;
        at += 1;
        match kind {
            Class::Rest => {}
            Class::Letter => {
                while class(at) == Some(Class::Letter) {
                    at += 1;
                }
                word(bytes.get(start..at).unwrap_or_default(), &mut signs);
            }
            Class::Mark => {
                let (byte, after) = (bytes.get(start).copied().unwrap_or(b' '), bytes.get(at..).unwrap_or_default());
                at += mark(byte, after, &mut signs);
            }
        }
    }
    signs
}

/// Judges a byte that is no letter by those that follow it; returns how many of them belong to it.
fn mark(byte: u8, after: &[u8], signs: &mut Signs) -> usize {
    let next = after.first().copied().unwrap_or(b' ');
    match (byte, next) {
        (b'?', _) => signs.questions += 1,
        (b'`', b'`') if after.get(1) == Some(&b'`') => {
            signs.code_fences += 1;
            return 2;
        }
        // LaTeX, and escapes in code; \( and \[ open formulas.
        (b'\\', b'a'..=b'z' | b'A'..=b'Z' | b'(' | b'[') | (b'^' | b'_', b'{') | (b'^', b'0'..=b'9' | b'n' | b'(') => {
            signs.math += 1;
        }
        // A price has a digit behind its dollar, a formula mostly has not.
        (b'$', next) if !next.is_ascii_digit() => signs.math += 1,
        // U+2200 to U+22FF: mathematical operators.
        (0xe2, 0x88..=0x8b) => signs.math += 1,
        (byte, next) if is_code(byte, next) => {
            signs.code += 1;
            return 1;
        }
        _ => {}
    }
    0
}

/// Pairs that are common in programs and rare in prose.
fn is_code(byte: u8, next: u8) -> bool {
    match byte {
        b'(' => matches!(next, b')' | b'{'),
        b'{' | b';' | b'}' => matches!(next, b'\n' | b'\r'),
        b'=' => matches!(next, b'>' | b'='),
        b'!' | b'+' => next == b'=',
        b':' | b'&' | b'|' => next == byte,
        b'<' => next == b'/',
        b'-' | b'/' => next == b'>',
        b'[' => next == b']',
        b'_' => next.is_ascii_lowercase(),
        _ => false,
    }
}

fn word(word: &[u8], signs: &mut Signs) {
    let Some(first) = word.first() else { return };
    let Some(letter) = LETTERS.get(usize::from(first.to_ascii_lowercase().wrapping_sub(b'a'))) else { return };
    if word.len() > WORD_BYTES_MAX || letter.lengths & (1 << word.len()) == 0 {
        return;
    }
    let key = key(word);
    let candidates = KEYS.get(letter.start..letter.end).unwrap_or_default();
    let Some(found) = candidates.iter().position(|known| *known == key) else { return };
    match WORDS.get(letter.start + found) {
        Some((_, Sign::Code)) => signs.code += 1,
        Some((_, Sign::Math)) => signs.math += 1,
        Some((_, Sign::Hard)) => signs.hard += 1,
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_sorted_and_short() {
        assert!(WORDS.is_sorted_by(|a, b| a.0 < b.0));
        assert!(WORDS.iter().all(|(word, _)| word.len() <= WORD_BYTES_MAX));
    }

    #[test]
    fn signs_are_counted() {
        let check = |text: &str, code, math, hard, questions| {
            let seen = count(text);
            assert_eq!((seen.code, seen.math, seen.hard, seen.questions), (code, math, hard, questions), "{text}");
        };
        check("How are you? Fine.", 0, 0, 0, 1);
        check("Prove the THEOREM.", 0, 1, 1, 0);
        check("$\\frac{x^2}{y_{1}}$ ≤ 3", 0, 6, 0, 0);
        check("It costs $5 and $6.50.", 0, 0, 0, 0);
        check("fn main() {\n x += 1;\n}\n", 5, 0, 0, 0);
        check("snake_case in Python", 2, 0, 0, 0);
        assert_eq!(count("```rust\n```").code_fences, 2);
        assert_eq!(count(""), Signs::default());
        assert_eq!(count(&"a".repeat(9000)), Signs::default());
    }
}
