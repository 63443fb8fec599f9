//! The provider that is built in: it answers without a key, so that a newcomer sees Flux work and tests need no network.
//!
//! It plays a vendor, so it must not know Flux's own error shapes, catalogue or accounts. What it says is fixed by the
//! request alone: the same body gives the same answer.

pub mod answer;
mod anthropic;
mod chat;
mod pieces;
mod sample;
#[cfg(feature = "shell")]
pub mod serve;

use std::str::FromStr;

/// Longest delay that an option may ask for.
const DELAY_MS_MAX: u64 = 600_000;
/// Longest text that `text_chars` may ask for.
const TEXT_CHARS_MAX: usize = 1 << 20;

/// What goes wrong on purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// This status, with an error in the vendor's shape.
    Status(u16),
    /// The connection closes before any byte of an answer.
    Reset,
    /// Half of the body, then the connection closes.
    CutBody,
    /// 200 with a body, or a first event, that is no JSON.
    BrokenJson,
    /// A stream whose first event is an error; a unary answer that is 200 with an error inside.
    ErrorFirstEvent,
    /// Half of a stream, then an error event; a unary answer is cut.
    ErrorMidStream,
    /// No byte of an answer until the client gives up.
    Hang,
    /// Half of a stream, then silence until the client gives up; a unary answer hangs from the start.
    HangMidStream,
    /// An answer that does not say what it used.
    NoUsage,
}

/// How the mock answers. Written as `key=value` pairs, see [`MockOptions::with`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MockOptions {
    /// Wait before the first byte.
    pub latency_ms: u64,
    /// Characters in one piece of a stream, at least 1.
    pub chunk_chars: usize,
    /// Wait between two pieces of a stream.
    pub delay_ms: u64,
    /// Length to which the text is repeated; 0 leaves it as it is.
    pub text_chars: usize,
    /// What goes wrong.
    pub fault: Fault,
    /// It goes wrong on each request whose number is divisible by this, at least 1.
    pub fault_every: u64,
    /// Whether the header `x-flux-mock` may set these options for one request.
    pub allow_header: bool,
    /// Longest request body; past it 413.
    pub body_bytes_max: usize,
}

impl Default for MockOptions {
    fn default() -> Self {
        Self {
            latency_ms: 0,
            chunk_chars: 16,
            delay_ms: 0,
            text_chars: 0,
            fault: Fault::None,
            fault_every: 1,
            allow_header: false,
            body_bytes_max: 64 << 20,
        }
    }
}

/// Why an option text was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// A pair without `=`.
    #[error("`{0}` is not of the form key=value")]
    NoPair(String),
    /// A key that does not exist.
    #[error("unknown mock option `{0}`")]
    UnknownKey(String),
    /// A value that is no number, or not in range.
    #[error("`{value}` is no value for the mock option `{key}`")]
    BadValue {
        /// The option.
        key: String,
        /// What was given.
        value: String,
    },
}

impl MockOptions {
    /// These options, changed by pairs such as `fault=503; fault_every=3; latency_ms=50`. Keys: `latency_ms`,
    /// `chunk_chars`, `delay_ms`, `text_chars`, `fault`, `fault_every`. What else there is stays with the operator.
    ///
    /// # Errors
    /// At the first pair that is not understood.
    pub fn with(mut self, pairs: &str) -> Result<Self, OptionError> {
        for pair in pairs.split(';').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or_else(|| OptionError::NoPair(pair.to_owned()))?;
            let (key, value) = (key.trim(), value.trim());
            match key {
                "latency_ms" => self.latency_ms = number(key, value, 0..=DELAY_MS_MAX)?,
                "delay_ms" => self.delay_ms = number(key, value, 0..=DELAY_MS_MAX)?,
                "chunk_chars" => self.chunk_chars = number(key, value, 1..=TEXT_CHARS_MAX)?,
                "text_chars" => self.text_chars = number(key, value, 0..=TEXT_CHARS_MAX)?,
                "fault" => self.fault = value.parse()?,
                "fault_every" => self.fault_every = number(key, value, 1..=u64::MAX)?,
                _ => return Err(OptionError::UnknownKey(key.to_owned())),
            }
        }
        Ok(self)
    }
}

fn number<T: FromStr + PartialOrd>(
    key: &str,
    value: &str,
    range: std::ops::RangeInclusive<T>,
) -> Result<T, OptionError> {
    let bad = || OptionError::BadValue { key: key.to_owned(), value: value.to_owned() };
    value.parse().ok().filter(|number| range.contains(number)).ok_or_else(bad)
}

/// `none`, a status from 400 to 599, or the fault's name in snake case.
impl FromStr for Fault {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        Ok(match text {
            "none" => Self::None,
            "reset" => Self::Reset,
            "cut_body" => Self::CutBody,
            "broken_json" => Self::BrokenJson,
            "error_first_event" => Self::ErrorFirstEvent,
            "error_mid_stream" => Self::ErrorMidStream,
            "hang" => Self::Hang,
            "hang_mid_stream" => Self::HangMidStream,
            "no_usage" => Self::NoUsage,
            status => Self::Status(number("fault", status, 400..=599)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_from_pairs() {
        let options = MockOptions::default().with("fault=503;fault_every=3; latency_ms = 50").unwrap();
        assert_eq!(
            options,
            MockOptions { fault: Fault::Status(503), fault_every: 3, latency_ms: 50, ..MockOptions::default() }
        );
        assert_eq!(MockOptions::default().with("").unwrap(), MockOptions::default());
        for bad in ["fault", "fault=200", "fault=nope", "chunk_chars=0", "allow_header=1", "latency_ms=-1", "x=1"] {
            assert!(MockOptions::default().with(bad).is_err(), "{bad}");
        }
    }
}
