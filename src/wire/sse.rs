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
        if self.kept.is_empty() && !self.is_overlong { Start::Fresh(chunk) } else { self.go_on(chunk) }
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All frames of a stream that comes in these chunks, and what is left at its end.
    fn frames<'a>(chunks: impl IntoIterator<Item = &'a [u8]>, frame_bytes_max: usize) -> (Vec<Bytes>, Bytes) {
        let mut framer = Framer::new(frame_bytes_max);
        let mut found = Vec::new();
        for chunk in chunks {
            let mut rest = match framer.start(Bytes::copy_from_slice(chunk)) {
                Start::Kept => continue,
                Start::Fresh(rest) => rest,
                Start::Completed(frame, rest) | Start::Overlong(frame, rest) => {
                    found.push(frame);
                    rest
                }
            };
            while let Some(end) = framer.frame_end(&rest, 0) {
                found.push(rest.split_to(end));
            }
            found.extend(framer.keep(rest));
        }
        (found, framer.finish())
    }

    #[test]
    fn frames_end_with_a_blank_line_of_any_kind() {
        for (stream, expected, left) in [
            ("data: a\n\ndata: b\n\n", vec!["data: a\n\n", "data: b\n\n"], ""),
            ("data: a\r\n\r\ndata: b\r\n\r\n", vec!["data: a\r\n\r\n", "data: b\r\n\r\n"], ""),
            ("data: a\r\rdata: b\r\r", vec!["data: a\r\r", "data: b\r\r"], ""),
            (": note\n\nevent: x\ndata: a\ndata: b\n\n", vec![": note\n\n", "event: x\ndata: a\ndata: b\n\n"], ""),
            ("data: a\n\n\n\n", vec!["data: a\n\n", "\n", "\n"], ""),
            ("\u{feff}data: é\n\ndata: cut", vec!["\u{feff}data: é\n\n"], "data: cut"),
            ("data: a\n\r\ndata: b\r\n\n", vec!["data: a\n\r\n", "data: b\r\n\n"], ""),
            ("data: a\n\rdata: b\n\n", vec!["data: a\n\r", "data: b\n\n"], ""),
            ("data: a\r\r\ndata: b\n\n", vec!["data: a\r\r", "\n", "data: b\n\n"], ""),
        ] {
            let whole = frames([stream.as_bytes()], 1000);
            let bytewise = frames(stream.as_bytes().chunks(1), 1000);
            assert_eq!(whole, bytewise, "{stream:?}");
            assert_eq!(whole.0, expected, "{stream:?}");
            assert_eq!(whole.1, left, "{stream:?}");
        }
    }

    #[test]
    fn a_frame_that_is_too_long_passes_in_pieces() {
        let stream = b"data: 0123456789\n\ndata: a\n\n";
        let (found, left) = frames(stream.chunks(4), 10);
        assert_eq!(found.concat(), stream);
        assert_eq!(found.last().unwrap().as_ref(), b"data: a\n\n");
        assert!(left.is_empty());
    }

    #[test]
    fn fields_are_read() {
        for (frame, name, data, at) in [
            ("data: a\n\n", "", "a", Some(6)),
            ("data:a\r\n\r\n", "", "a", Some(5)),
            ("data:  a\r\r", "", " a", Some(6)),
            ("event: x\r\ndata: a\r\n\r\n", "x", "a", Some(16)),
            ("data: a\ndata: b\nevent:x\n\n", "x", "a\nb", None),
            ("data\ndata: b\n\n", "", "\nb", None),
            (": data: a\nid: 1\nretry: 2\ndatax: 1\n\n", "", "", None),
            ("\u{feff}data: a\n\n", "", "a", Some(9)),
            ("\n", "", "", None),
            ("", "", "", None),
        ] {
            let event = Event::read(frame.as_bytes());
            assert_eq!(event.name, name.as_bytes(), "{frame:?}");
            assert_eq!(event.data.as_ref(), data.as_bytes(), "{frame:?}");
            assert_eq!(event.data_at, at, "{frame:?}");
        }
    }

    proptest! {
        #[test]
        fn chunk_borders_do_not_matter(
            stream in "(data: |event: x|: c|é|\n|\r|\r\n|\n\n|\r\n\r\n){0,40}", cuts in proptest::collection::vec(1_usize..9, 1..60),
        ) {
            let stream = stream.as_bytes();
            let mut chunks = Vec::new();
            let mut rest = stream;
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (chunk, after) = rest.split_at((*cut).min(rest.len()));
                chunks.push(chunk);
                rest = after;
            }
            let whole = frames([stream], 10_000);
            prop_assert_eq!(&frames(chunks.iter().copied(), 10_000), &whole);
            prop_assert_eq!([whole.0.concat(), whole.1.to_vec()].concat(), stream);
            let (short, left) = frames(chunks.iter().copied(), 8);
            prop_assert_eq!([short.concat(), left.to_vec()].concat(), stream);
        }
    }
}
