//! What is counted in other units than tokens: pictures, the length of sound, characters.
//!
//! Must not know prices. Figures are whole numbers; a length that is no plain decimal is read as absent.

use std::ops::Range;

use super::leap::{self, Items};
use super::usage::member;

/// Digits before the point of a length that is believed: three years of sound.
const SECONDS_DIGITS_MAX: usize = 8;
/// Sound whose length nobody says is taken for speech at 64 kbit/s.
const BYTES_PER_SECOND_GUESSED: u64 = 8_000;
/// The head of a WAV file with nothing in it but its format.
const WAV_HEAD_BYTES: u64 = 44;

/// How many elements `data` of an answer has: pictures, or vectors.
pub fn data_count(answer: &[u8]) -> u64 {
    elements(member(answer, b"data"))
}

fn elements(array: &[u8]) -> u64 {
    let Some(mut items) = Items::open(array, 0).filter(|items| !items.is_object()) else { return 0 };
    let mut count = 0_u64;
    while let Ok(Some(_)) = items.next_element() {
        count = count.saturating_add(1);
    }
    count
}

/// The length of the sound that an answer says it listened to, in milliseconds.
pub fn audio_ms(answer: &[u8]) -> Option<u64> {
    let usage = member(answer, b"usage");
    let stated = [member(usage, b"seconds"), member(usage, b"prompt_audio_seconds"), member(answer, b"duration")];
    stated.into_iter().find_map(milliseconds)
}

/// A plain decimal of seconds in milliseconds, rounded up.
fn milliseconds(seconds: &[u8]) -> Option<u64> {
    let (whole, fraction) = match memchr::memchr(b'.', seconds) {
        Some(dot) => (seconds.get(..dot)?, seconds.get(dot + 1..)?),
        None => (seconds, &b""[..]),
    };
    let is_number = |digits: &[u8]| digits.iter().all(u8::is_ascii_digit);
    if whole.is_empty() || whole.len() > SECONDS_DIGITS_MAX || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let digit = |at: usize| u64::from(fraction.get(at).map_or(0, |digit| digit - b'0'));
    let whole = whole.iter().fold(0, |sum: u64, digit| sum * 10 + u64::from(digit - b'0'));
    let is_more = fraction.iter().skip(3).any(|digit| *digit != b'0');
    Some(whole * 1_000 + digit(0) * 100 + digit(1) * 10 + digit(2) + u64::from(is_more))
}

/// About how long a recording is, in milliseconds: exact for plain WAV, else by its size.
pub fn audio_ms_guessed(file: &[u8]) -> u64 {
    let bytes = u64::try_from(file.len()).unwrap_or(u64::MAX);
    let (bytes, bytes_per_second) = match wav_bytes_per_second(file) {
        Some(rate) => (bytes.saturating_sub(WAV_HEAD_BYTES), rate),
        None => (bytes, BYTES_PER_SECOND_GUESSED),
    };
    bytes.saturating_mul(1_000).div_ceil(bytes_per_second)
}

fn wav_bytes_per_second(file: &[u8]) -> Option<u64> {
    /// From the poorest to the richest that is in use.
    const SANE: Range<u64> = 1_000..10_000_000;
    let is_wav = file.get(..4) == Some(b"RIFF") && file.get(8..16) == Some(b"WAVEfmt ");
    let rate = file.get(28..32).filter(|_| is_wav)?;
    let rate = u64::from(u32::from_le_bytes(rate.try_into().ok()?));
    SANE.contains(&rate).then_some(rate)
}

/// The characters of a JSON string; 0 for anything else.
pub fn characters(string: &[u8]) -> u64 {
    let text = leap::string_inside(string).and_then(leap::unescape).unwrap_or_default();
    u64::try_from(text.chars().count()).unwrap_or(u64::MAX)
}

/// The numbers in an array, or in the arrays in it: a text may come to the embeddings endpoint as its tokens.
pub fn token_numbers(input: &[u8]) -> u64 {
    let Some(mut items) = Items::open(input, 0).filter(|items| !items.is_object()) else { return 0 };
    let mut count = 0_u64;
    while let Ok(Some(element)) = items.next_element() {
        let element = input.get(element).unwrap_or_default();
        count = count.saturating_add(match element.first() {
            Some(b'[') => elements(element),
            Some(b'0'..=b'9') => 1,
            _ => 0,
        });
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_counted() {
        for (answer, data, audio) in [
            (&br#"{"data":[{"b64_json":"x"},{}],"usage":{"seconds":9}}"#[..], 2, Some(9_000)),
            (br#"{"data":{},"duration":8.4700002}"#, 0, Some(8_471)),
            (br#"{"usage":{"type":"duration","seconds":1.5},"duration":99}"#, 0, Some(1_500)),
            (br#"{"usage":{"prompt_audio_seconds":3},"duration":-1}"#, 0, Some(3_000)),
            (br#"{"duration":1e9}"#, 0, None),
            (br#"{"duration":"12"}"#, 0, None),
            (br#"{"duration":123456789}"#, 0, None),
            (b"", 0, None),
        ] {
            assert_eq!((data_count(answer), audio_ms(answer)), (data, audio), "{}", String::from_utf8_lossy(answer));
        }
        assert_eq!((characters(br#""a\u00e9\n\ud83d\ude00""#), characters(b"7")), (4, 0));
        assert_eq!((token_numbers(b"[1,22,3]"), token_numbers(b"[[1,2],[3]]"), token_numbers(b"\"1\"")), (3, 3, 0));
    }

    #[test]
    fn a_recording_is_as_long_as_its_format_says() {
        let mut wav = b"RIFF....WAVEfmt ............".to_vec();
        wav.extend_from_slice(&32_000_u32.to_le_bytes());
        wav.resize(44 + 48_000, 0);
        assert_eq!(audio_ms_guessed(&wav), 1_500);
        assert_eq!((audio_ms_guessed(&[0; 8_000]), audio_ms_guessed(&[])), (1_000, 0));
    }
}
