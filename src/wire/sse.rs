//! Server-sent events: where frames end, and what a frame holds.
//!
//! Must not know what the events mean. A frame is everything up to and including a blank line, so that the
//! frames laid end to end are the stream, byte for byte; lines end with LF, CRLF or CR. Where a frame ends
//! does not depend on how the stream was cut into chunks.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use memchr::memchr2;

/// Finds the ends of frames in a stream that comes in chunks.
#[derive(Clone, Copy, Debug)]
pub struct Borders {
    /// Nothing of the current line has been seen.
    line_is_empty: bool,
    /// The last byte was a CR; an LF would belong to it.
    is_after_cr: bool,
    /// The line before ended with a CR alone. A blank line that is a CR then ends the frame at once: waiting
    /// for an LF would hold each frame back until the next one comes.
    was_bare_cr: bool,
}

impl Default for Borders {
    fn default() -> Self {
        Self { line_is_empty: true, is_after_cr: false, was_bare_cr: false }
    }
}

impl Borders {
    /// The end of the frame in hand, searched from `at` on; `None` when it lies beyond `text`. All of `text`
    /// counts as searched then.
    pub fn next(&mut self, text: &[u8], mut at: usize) -> Option<usize> {
        loop {
            if self.is_after_cr {
                let is_bare = *text.get(at)? != b'\n';
                at += usize::from(!is_bare);
                self.is_after_cr = false;
                if self.end_line(is_bare) {
                    return Some(at);
                }
            }
            let rest = text.get(at..)?;
            let Some(i) = memchr2(b'\n', b'\r', rest) else {
                self.line_is_empty &= rest.is_empty();
                return None;
            };
            self.line_is_empty &= i == 0;
            let is_lf = rest.get(i) == Some(&b'\n');
            at += i + 1;
            if is_lf {
                if self.end_line(!is_lf) {
                    return Some(at);
                }
            } else if self.line_is_empty && self.was_bare_cr {
                *self = Self::default();
                return Some(at);
            } else {
                self.is_after_cr = true;
            }
        }
    }

    /// Whether the line that ends here was the blank one.
    fn end_line(&mut self, is_bare_cr: bool) -> bool {
        let is_border = self.line_is_empty;
        *self = Self { line_is_empty: true, is_after_cr: false, was_bare_cr: is_bare_cr && !is_border };
        is_border
    }
}

/// Puts frames together that were cut by chunk borders.
#[derive(Debug)]
pub struct Framer {
    frame_bytes_max: usize,
    borders: Borders,
    /// The beginning of a frame whose end has not come.
    kept: BytesMut,
    /// The frame in hand is too long to be kept; its bytes go on as they come.
    is_overlong: bool,
    overlong_frames: u64,
}

/// What a chunk begins with.
#[derive(Debug, PartialEq, Eq)]
pub enum Start {
    /// With a frame: nothing was kept from before.
    Fresh(Bytes),
    /// With the end of the frame that was kept: that frame, and what follows it.
    Completed(Bytes, Bytes),
    /// With bytes of a frame that is too long to be looked at, and what follows it.
    Overlong(Bytes, Bytes),
    /// It has no end of a frame and was kept.
    Kept,
}

impl Framer {
    /// A framer that keeps at most `frame_bytes_max` of a frame; longer ones pass without being looked at.
    pub fn new(frame_bytes_max: usize) -> Self {
        Self {
            frame_bytes_max,
            borders: Borders::default(),
            kept: BytesMut::new(),
            is_overlong: false,
            overlong_frames: 0,
        }
    }

    /// Takes the next chunk. What comes back as following text must be gone through with [`Self::frame_end`],
    /// its unfinished rest given to [`Self::keep`].
    #[inline]
    pub fn start(&mut self, chunk: Bytes) -> Start {
        if self.is_at_border() { Start::Fresh(chunk) } else { self.go_on(chunk) }
    }

    fn go_on(&mut self, mut chunk: Bytes) -> Start {
        let end = self.borders.next(&chunk, 0);
        if self.is_overlong {
            self.is_overlong = end.is_none();
            let overlong = chunk.split_to(end.unwrap_or(chunk.len()));
            return Start::Overlong(overlong, chunk);
        }
        let rest = chunk.split_off(end.unwrap_or(chunk.len()));
        self.kept.extend_from_slice(&chunk);
        if self.kept.len() > self.frame_bytes_max {
            self.is_overlong = end.is_none();
            self.overlong_frames += 1;
            return Start::Overlong(self.kept.split().freeze(), rest);
        }
        if end.is_none() { Start::Kept } else { Start::Completed(self.kept.split().freeze(), rest) }
    }

    /// Whether the next chunk begins with a frame: nothing is kept.
    #[inline]
    pub fn is_at_border(&self) -> bool {
        self.kept.is_empty() && !self.is_overlong
    }

    /// The end of the frame that starts at `start`; `None` when `text` has not all of it.
    #[inline]
    pub fn frame_end(&mut self, text: &[u8], start: usize) -> Option<usize> {
        self.borders.next(text, start)
    }

    /// Keeps the beginning of a frame for the next chunk; gives it back where it is too long already.
    pub fn keep(&mut self, beginning: Bytes) -> Option<Bytes> {
        if beginning.len() > self.frame_bytes_max {
            self.is_overlong = true;
            self.overlong_frames += 1;
            return Some(beginning);
        }
        self.kept.extend_from_slice(&beginning);
        None
    }

    /// The beginning of a frame whose end never came. The stream is over.
    pub fn finish(&mut self) -> Bytes {
        self.kept.split().freeze()
    }

    /// Whether the bytes given back so far end within a frame that is too long to be kept.
    pub fn is_within_overlong(&self) -> bool {
        self.is_overlong
    }

    /// How many frames were too long to be looked at.
    pub fn overlong_frames(&self) -> u64 {
        self.overlong_frames
    }
}

/// The fields of a frame that anybody reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event<'a> {
    /// The value of `event`, empty where there is none.
    pub name: &'a [u8],
    /// The data, several lines joined with LF. Copied only where there are several.
    pub data: Cow<'a, [u8]>,
    /// Where the data stands in the frame, if it is one line.
    pub data_at: Option<usize>,
}

impl<'a> Event<'a> {
    /// Reads a frame. Comments, `id`, `retry` and unknown fields are passed over; so is a byte order mark.
    pub fn read(frame: &'a [u8]) -> Self {
        let mut event = Self::default();
        let mut lines: u32 = 0;
        let mut at = if frame.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        while let Some(rest) = frame.get(at..).filter(|rest| !rest.is_empty()) {
            let line = rest.get(..memchr2(b'\n', b'\r', rest).unwrap_or(rest.len())).unwrap_or_default();
            if let Some(value) = field(line, b"data") {
                lines += 1;
                if lines == 1 {
                    event.data = Cow::Borrowed(value);
                    event.data_at = Some(at + line.len() - value.len());
                } else {
                    event.data_at = None;
                    let joined = event.data.to_mut();
                    joined.push(b'\n');
                    joined.extend_from_slice(value);
                }
            } else if let Some(name) = field(line, b"event") {
                event.name = name;
            }
            at += line.len() + 1;
        }
        event
    }
}

/// The value of a line if its field is `name`. One space after the colon belongs to the grammar.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    match line.strip_prefix(name)? {
        [] => Some(&[]),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
