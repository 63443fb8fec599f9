//! Decimal texts as other gateways write them, `2.5e-06`, moved by powers of ten without a float.
//!
//! Must not know what is counted.

/// Digits and exponents beyond this are no price.
const DIGITS_MAX: usize = 40;
const EXPONENT_MAX: i32 = 40;
const DIGITS_PER_MILLION: i32 = 6;

/// A price of one thing as the price of a million of them, in plain digits: `0.0000025` becomes `2.5`. `None` for what
/// is no decimal, is negative, or is out of all proportion.
pub(super) fn per_million(text: &str) -> Option<String> {
    let text = text.trim().replace('_', "").to_ascii_lowercase();
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().ok().filter(|e| (-EXPONENT_MAX..=EXPONENT_MAX).contains(e))?;
    let mantissa = mantissa.strip_prefix('+').unwrap_or(mantissa);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let point = i32::try_from(whole.len()).ok()? + exponent + DIGITS_PER_MILLION;
    Some(placed(&digits, point))
}

/// Whether it is zero.
pub(super) fn is_zero(plain: &str) -> bool {
    plain.bytes().all(|byte| matches!(byte, b'0' | b'.'))
}

/// Digits with a point before the digit at `point`, without needless zeros.
fn placed(digits: &str, point: i32) -> String {
    let before = usize::try_from(point).unwrap_or(0);
    let zeros = usize::try_from(-point).unwrap_or(0);
    let padded = format!("{}{digits}{}", "0".repeat(zeros), "0".repeat(before.saturating_sub(digits.len())));
    let (whole, fraction) = padded.split_at(before);
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    match fraction.trim_end_matches('0') {
        "" => whole.to_owned(),
        fraction => format!("{whole}.{fraction}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_move_by_six_digits() {
        for (token, million) in [
            ("0.0000025", Some("2.5")),
            ("2.5e-06", Some("2.5")),
            ("2.5E-6", Some("2.5")),
            ("1e-05", Some("10")),
            ("5e-7", Some("0.5")),
            ("0.00000015", Some("0.15")),
            ("7.5e-8", Some("0.075")),
            ("1", Some("1000000")),
            ("0", Some("0")),
            ("0.0", Some("0")),
            (".000001", Some("1")),
            ("+1e-6", Some("1")),
            ("-1e-6", None),
            ("1e-99999", None),
            ("free", None),
            ("", None),
            (".", None),
            ("e5", None),
            ("nan", None),
        ] {
            assert_eq!(per_million(token).as_deref(), million, "{token}");
        }
        assert!(is_zero("0") && !is_zero("0.1") && !is_zero("10"));
    }
}
