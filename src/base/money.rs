//! Money as whole numbers: prices in pico-USD, amounts in nano-USD.
//!
//! Must not know what is sold. A price of one dollar per million tokens is 1,000,000 pico-USD per
//! token, so every published price with up to six decimals is a whole number. A request is summed
//! in pico-USD and rounded up to nano-USD once.

#![deny(clippy::arithmetic_side_effects, clippy::as_conversions, clippy::float_arithmetic)]

use std::fmt;

use serde::{Deserialize, Serialize};

/// Pico-USD (1e-12 USD) in one nano-USD.
const PICO_PER_NANO: u128 = 1_000;
/// Decimals of USD that a price per million tokens may have: 1e-6 USD / 1e6 tokens = 1 pico-USD.
const PRICE_DECIMALS_MAX: usize = 6;
/// Decimals of an amount in USD.
const AMOUNT_DECIMALS_MAX: usize = 9;

/// A price or an unrounded sum in 1e-12 USD. Never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PicoUsd(pub u128);

/// An amount in 1e-9 USD: what is booked, shown and summed. Negative for credits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NanoUsd(pub i64);

/// Why a decimal string is no price.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParsePriceError {
    /// Not of the form `digits[.digits]`.
    #[error("`{0}` is not a plain decimal such as \"2\" or \"0.125\"")]
    NotDecimal(String),
    /// More decimals than can be held.
    #[error("`{0}` has more than {1} decimals")]
    TooFine(String, usize),
    /// Too large to be a price.
    #[error("`{0}` is too large for a price")]
    TooLarge(String),
}

impl PicoUsd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Reads a decimal of USD per million tokens, `"0.13125"`, as pico-USD per token.
    ///
    /// # Errors
    /// When the text is no plain decimal, too fine or too large.
    pub fn per_million(decimal: &str) -> Result<Self, ParsePriceError> {
        decimal_scaled(decimal, PRICE_DECIMALS_MAX).map(Self)
    }

    /// Reads a decimal of USD for one piece (an image, a call), `"0.06"`, as pico-USD.
    ///
    /// # Errors
    /// When the text is no plain decimal, too fine or too large.
    pub fn per_piece(decimal: &str) -> Result<Self, ParsePriceError> {
        let micro_usd = decimal_scaled(decimal, PRICE_DECIMALS_MAX)?;
        micro_usd.checked_mul(1_000_000).map(Self).ok_or_else(|| ParsePriceError::TooLarge(decimal.to_owned()))
    }

    /// The price of `count` pieces, saturating.
    #[must_use]
    pub fn times(self, count: u64) -> Self {
        Self(self.0.saturating_mul(u128::from(count)))
    }

    /// The sum of two amounts, saturating.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Rounded up to nano-USD; the only place where a fraction is lost, and never to zero.
    pub fn round_up(self) -> NanoUsd {
        let nano = self.0.div_ceil(PICO_PER_NANO);
        NanoUsd(i64::try_from(nano).unwrap_or(i64::MAX))
    }
}

/// Dollars, exact to the last of twelve decimals: `0.0000000125`.
impl fmt::Display for PicoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const PICO_PER_USD: u128 = 1_000_000_000_000;
        let (whole, fraction) = (self.0.div_euclid(PICO_PER_USD), self.0.rem_euclid(PICO_PER_USD));
        let fraction = format!("{fraction:012}");
        match fraction.trim_end_matches('0') {
            "" => write!(f, "{whole}"),
            fraction => write!(f, "{whole}.{fraction}"),
        }
    }
}

fn decimal_scaled(text: &str, decimals: usize) -> Result<u128, ParsePriceError> {
    let not_decimal = || ParsePriceError::NotDecimal(text.to_owned());
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits_only = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits_only(whole) || !digits_only(fraction) || text.ends_with('.') {
        return Err(not_decimal());
    }
    if fraction.len() > decimals {
        return Err(ParsePriceError::TooFine(text.to_owned(), decimals));
    }
    if whole.len() > 12 {
        return Err(ParsePriceError::TooLarge(text.to_owned()));
    }
    format!("{whole}{fraction:0<decimals$}").parse().map_err(|_| not_decimal())
}

impl NanoUsd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Reads a decimal of USD, `"12.5"`.
    ///
    /// # Errors
    /// When the text is no plain decimal, finer than nano-USD or too large.
    pub fn parse(decimal: &str) -> Result<Self, ParsePriceError> {
        let nano = decimal_scaled(decimal, AMOUNT_DECIMALS_MAX)?;
        i64::try_from(nano).map(Self).map_err(|_| ParsePriceError::TooLarge(decimal.to_owned()))
    }

    /// The sum, `None` where it does not fit: a ledger never saturates in silence.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }
}

/// Dollars without trailing zeros: `0.00035`, `12`, `-0.5`.
impl fmt::Display for NanoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNIT: u64 = 1_000_000_000;
        const DECIMALS: u32 = 9;
        // A sign, ten digits, a point, nine digits; written from the end.
        let mut text = [b'0'; 21];
        let mut places = text.iter_mut().rev();
        let mut put = |byte: u8| places.next().map(|place| *place = byte).unwrap_or_default();
        let digit = |number: u64| b'0' | u8::try_from(number % 10).unwrap_or(0);
        let nano = self.0.unsigned_abs();
        let (mut whole, mut fraction) = (nano / UNIT, nano % UNIT);
        let mut has_decimals = false;
        for _ in 0..DECIMALS {
            has_decimals |= !fraction.is_multiple_of(10);
            if has_decimals {
                put(digit(fraction));
            }
            fraction /= 10;
        }
        if has_decimals {
            put(b'.');
        }
        put(digit(whole));
        while whole >= 10 {
            whole /= 10;
            put(digit(whole));
        }
        if self.0 < 0 {
            put(b'-');
        }
        let unused = places.len();
        f.write_str(text.get(unused..).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_whole_pico_usd() {
        for (text, pico) in [("1", 1_000_000), ("0.13125", 131_250), ("0.006", 6_000), ("0", 0), ("30", 30_000_000)] {
            assert_eq!(PicoUsd::per_million(text), Ok(PicoUsd(pico)), "{text}");
        }
        for text in ["", ".5", "1.", "-1", "1e3", "0.1234567", "1,5"] {
            assert!(PicoUsd::per_million(text).is_err(), "{text}");
        }
        assert_eq!(PicoUsd::per_piece("0.06"), Ok(PicoUsd(60_000_000_000)));
    }

    #[test]
    fn amounts_are_read_exactly() {
        for (text, nano) in [("1", 1_000_000_000), ("0.000000001", 1), ("12.50", 12_500_000_000), ("0", 0)] {
            assert_eq!(NanoUsd::parse(text), Ok(NanoUsd(nano)), "{text}");
        }
        for text in ["", "-1", "1e-7", "0.0000000001", "9999999999999", "999999999999"] {
            assert!(NanoUsd::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn amounts_print_exactly() {
        for (nano, text) in [
            (350_000, "0.00035"),
            (0, "0"),
            (1_000_000_000, "1"),
            (-500_000_000, "-0.5"),
            (1, "0.000000001"),
            (20_500_000_000, "20.5"),
            (i64::MAX, "9223372036.854775807"),
            (i64::MIN, "-9223372036.854775808"),
        ] {
            assert_eq!(NanoUsd(nano).to_string(), text);
        }
    }

    #[test]
    fn rounding_never_reaches_zero() {
        assert_eq!(PicoUsd(1).round_up(), NanoUsd(1));
        assert_eq!(PicoUsd(1000).round_up(), NanoUsd(1));
        assert_eq!(PicoUsd(1001).round_up(), NanoUsd(2));
        assert_eq!(PicoUsd(0).round_up(), NanoUsd(0));
    }
}
