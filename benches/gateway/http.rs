//! As much of HTTP/1.1 as the two ends of the bench need: a head's length and framing, and the end of a body.
//!
//! Must not know sockets. Answers come from servers under test, so what is odd is an error and never a guess.

use anyhow::{Context as _, bail, ensure};
use memchr::memmem;

/// A head, without the blank line.
pub(crate) struct Head<'a>(&'a [u8]);

impl<'a> Head<'a> {
    const END: &'static [u8] = b"\r\n\r\n";

    /// The head at the start of `bytes`, once it is whole.
    pub(crate) fn find(bytes: &'a [u8]) -> Option<Self> {
        memmem::find(bytes, Self::END).map(|end| Self(&bytes[..end]))
    }

    /// Length with the blank line.
    pub(crate) fn bytes(&self) -> usize {
        self.0.len() + Self::END.len()
    }

    pub(crate) fn content_length(&self) -> Option<usize> {
        std::str::from_utf8(self.value(b"content-length")?).ok()?.parse().ok()
    }

    pub(crate) fn status(&self) -> &[u8] {
        self.0.get(9..12).unwrap_or_default()
    }

    fn value(&self, name: &[u8]) -> Option<&'a [u8]> {
        let is_named = |line: &&[u8]| {
            line.get(name.len()) == Some(&b':') && line.get(..name.len()).is_some_and(|n| n.eq_ignore_ascii_case(name))
        };
        let line = self.0.split(|byte| *byte == b'\n').find(is_named)?;
        Some(line[name.len() + 1..].trim_ascii())
    }
}

/// How far the body of an answer has come.
pub(crate) struct Body {
    framing: Framing,
    /// Bytes so far, without framing.
    pub(crate) bytes: usize,
}

enum Framing {
    Length {
        left: usize,
    },
    /// In a line that gives a chunk's size.
    Size {
        so_far: usize,
        in_extension: bool,
    },
    /// In a chunk and the line end behind it.
    Chunk {
        left: usize,
    },
    /// Behind the last chunk.
    Trailer {
        line_bytes: usize,
    },
    Done,
}

impl Body {
    pub(crate) fn of(head: &Head<'_>) -> anyhow::Result<Self> {
        let is_chunked = head.value(b"transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case(b"chunked"));
        let framing = match head.content_length() {
            Some(left) => Framing::Length { left },
            None if is_chunked => Framing::Size { so_far: 0, in_extension: false },
            None => bail!("an answer without length: {}", String::from_utf8_lossy(head.0)),
        };
        Ok(Self { framing, bytes: 0 })
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self.framing, Framing::Done | Framing::Length { left: 0 })
    }

    /// Takes the next bytes that arrived.
    pub(crate) fn take(&mut self, mut arrived: &[u8]) -> anyhow::Result<()> {
        while !arrived.is_empty() {
            ensure!(!self.is_done(), "bytes behind the end of an answer");
            arrived = self.step(arrived)?;
        }
        Ok(())
    }

    /// Takes at least one byte, returns the rest.
    fn step<'a>(&mut self, arrived: &'a [u8]) -> anyhow::Result<&'a [u8]> {
        const LINE_END_BYTES: usize = 2;
        let first = arrived[0];
        let mut taken = 1;
        self.framing = match self.framing {
            Framing::Length { left } => {
                taken = left.min(arrived.len());
                self.bytes += taken;
                Framing::Length { left: left - taken }
            }
            Framing::Chunk { left } => {
                taken = left.min(arrived.len());
                self.bytes += taken.min(left.saturating_sub(LINE_END_BYTES));
                match left - taken {
                    0 => Framing::Size { so_far: 0, in_extension: false },
                    left => Framing::Chunk { left },
                }
            }
            Framing::Size { so_far: 0, .. } if first == b'\n' => Framing::Trailer { line_bytes: 0 },
            Framing::Size { so_far, .. } if first == b'\n' => Framing::Chunk { left: so_far + LINE_END_BYTES },
            Framing::Size { so_far, in_extension } if in_extension || first == b'\r' || first == b';' => {
                Framing::Size { so_far, in_extension: true }
            }
            Framing::Size { so_far, .. } => {
                let digit = char::from(first).to_digit(16).context("a chunk's size is no number")?;
                Framing::Size { so_far: so_far * 16 + digit as usize, in_extension: false }
            }
            Framing::Trailer { line_bytes: 0 } if first == b'\n' => Framing::Done,
            Framing::Trailer { .. } if first == b'\n' => Framing::Trailer { line_bytes: 0 },
            Framing::Trailer { line_bytes } => {
                Framing::Trailer { line_bytes: line_bytes + usize::from(first != b'\r') }
            }
            Framing::Done => Framing::Done,
        };
        Ok(&arrived[taken..])
    }
}
