//! How much an answer's quality is wished for against its price.
//!
//! Must not know lanes; `classify` says what follows from it.

use std::fmt;

/// A wish from 0 (the cheapest) to 1 (the best), in thousandths: the same text gives the same number everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quality(u16);

const ONE: u16 = 1_000;

impl Quality {
    /// Halfway: what holds where nobody says anything.
    pub const DEFAULT: Self = Self(ONE / 2);

    /// Reads a decimal from 0 to 1, such as `0.75`; what follows the third place is cut off.
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
        let is_written =
            fraction.bytes().all(|byte| byte.is_ascii_digit()) && whole.bytes().all(|b| b.is_ascii_digit());
        if !is_written || whole.is_empty() || fraction.len() > 18 {
            return None;
        }
        let places = fraction.bytes().chain(std::iter::repeat(b'0')).take(3);
        let thousandths = places.fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
        match (whole.trim_start_matches('0'), thousandths) {
            ("", thousandths) => Some(Self(thousandths)),
            ("1", 0) if fraction.bytes().all(|digit| digit == b'0') => Some(Self(ONE)),
            _ => None,
        }
    }

    /// From thousandths; `None` above 1,000.
    pub fn of_thousandths(thousandths: u16) -> Option<Self> {
        (thousandths <= ONE).then_some(Self(thousandths))
    }

    /// In thousandths.
    pub fn thousandths(self) -> u16 {
        self.0
    }

    /// As a number from 0 to 1.
    pub fn share(self) -> f32 {
        f32::from(self.0) / f32::from(ONE)
    }
}

impl Default for Quality {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl fmt::Display for Quality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / ONE, self.0 % ONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_from_nought_to_one_are_read() {
        for (text, expected) in [
            ("0", Some(0)),
            ("0.5", Some(500)),
            ("1", Some(1000)),
            ("1.0", Some(1000)),
            (" 0.1239 ", Some(123)),
            ("00.25", Some(250)),
            ("1.001", None),
            ("1.0004", None),
            ("-0.1", None),
            ("", None),
            (".5", None),
            ("0,5", None),
            ("NaN", None),
            ("1e0", None),
            ("2", None),
        ] {
            assert_eq!(Quality::parse(text).map(Quality::thousandths), expected, "{text}");
        }
        assert_eq!(Quality::parse("0.25").unwrap().to_string(), "0.250");
    }
}
