//! Reading the journal: records in order from a position, damage found, counted and stepped over.
//!
//! Must not change a file. Reads through a window of bounded size, never a whole segment.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::base::outcome::Charge;

use super::frame::{self, FRAME_BYTES_MAX, Form, Frame, HEAD_BYTES, SEGMENT_HEAD};

/// Bytes read at once.
const WINDOW_BYTES: usize = 128 * 1024;

/// A place in the journal: every record before it has been seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store) struct Position {
    /// Number of the segment.
    pub(in crate::store) segment: u64,
    /// Byte in the segment.
    pub(in crate::store) offset: u64,
}

/// The path of a segment.
pub(in crate::store) fn segment_path(dir: &Path, segment: u64) -> PathBuf {
    dir.join(format!("journal-{segment:016x}.flux"))
}

/// The numbers of the segments in a folder, ascending.
///
/// # Errors
/// When the folder cannot be read.
pub(in crate::store) fn segments(dir: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("journal-")?.strip_suffix(".flux"));
        numbers.extend(number.and_then(|hex| u64::from_str_radix(hex, 16).ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// An open segment and how far it is to be read.
#[derive(Debug)]
pub(in crate::store) struct Segment {
    file: File,
    /// Its number.
    pub(in crate::store) number: u64,
    /// The first byte that is not to be read.
    pub(in crate::store) limit: u64,
    /// What its beginning tells; `None`: it is of no known form.
    form: Option<Form>,
}

impl Segment {
    /// Opens a segment, to be read up to its present end.
    ///
    /// # Errors
    /// When it is not there or cannot be read.
    pub(in crate::store) fn open(dir: &Path, number: u64) -> io::Result<Self> {
        let file = File::open(segment_path(dir, number))?;
        // Before the head is read: who finds bytes behind it finds the head as well.
        let limit = file.metadata()?.len();
        let form = form(&file)?;
        Ok(Self { file, number, limit, form })
    }

    /// The same, up to its end of now: also of a file that was deleted meanwhile.
    fn again(self) -> io::Result<Self> {
        let Self { file, number, .. } = self;
        let limit = file.metadata()?.len();
        let form = form(&file)?;
        Ok(Self { file, number, limit, form })
    }
}

fn form(file: &File) -> io::Result<Option<Form>> {
    let mut head = [0; SEGMENT_HEAD.len()];
    match file.read_exact_at(&mut head, 0) {
        Ok(()) => Ok(Form::of(&head)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens what is there now. A segment that a running server deletes meanwhile stays readable.
///
/// # Errors
/// When the folder or a file cannot be read.
pub(in crate::store) fn open_segments(dir: &Path) -> io::Result<Vec<Segment>> {
    let mut opened = Vec::new();
    for number in segments(dir)? {
        match Segment::open(dir, number) {
            Ok(segment) => opened.push(segment),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(opened)
}

/// Walks the records of one segment after another.
#[derive(Debug, Default)]
pub(in crate::store) struct Cursor {
    /// Where the next record is expected.
    pub(in crate::store) position: Position,
    /// Runs of bytes that are no record, and records that are no charge.
    pub(in crate::store) damaged: u64,
    /// The segments they were found in.
    damaged_segments: BTreeSet<u64>,
    /// Where the last record ends that is sound by its checksum.
    sound_end: u64,
    /// Where the damage begins that the cursor is stepping over.
    damage_from: Option<u64>,
    window: Vec<u8>,
}

impl Cursor {
    /// A cursor at a position.
    pub(in crate::store) fn at(position: Position) -> Self {
        Self { position, sound_end: position.offset, ..Self::default() }
    }

    /// Reads records of `segment` until `charges` holds `max` of them; true when the segment's
    /// limit was reached.
    ///
    /// # Errors
    /// When the file cannot be read. The cursor then stands after the last record handed out.
    pub(in crate::store) fn read(
        &mut self,
        segment: &Segment,
        charges: &mut Vec<Charge>,
        max: usize,
    ) -> io::Result<bool> {
        if self.position.segment != segment.number || self.position.offset < HEAD_BYTES {
            self.position = Position { segment: segment.number, offset: HEAD_BYTES };
            self.damage_from = None;
            self.sound_end = HEAD_BYTES.min(segment.limit);
            if segment.limit > 0 && segment.form.is_none() {
                self.count_damage();
                log::error!(segment = segment.number, bytes = segment.limit; "this journal segment is of no known form");
                self.position.offset = segment.limit;
                self.sound_end = segment.limit;
            }
        }
        while self.position.offset < segment.limit && charges.len() < max {
            self.fill(segment)?;
            self.consume(segment, charges, max);
        }
        Ok(self.position.offset >= segment.limit)
    }

    fn fill(&mut self, segment: &Segment) -> io::Result<()> {
        let left = usize::try_from(segment.limit - self.position.offset).unwrap_or(usize::MAX);
        self.window.resize(left.min(WINDOW_BYTES), 0);
        segment.file.read_exact_at(&mut self.window, self.position.offset)
    }

    /// Takes records out of the window, which holds the bytes from the position on.
    fn consume(&mut self, segment: &Segment, charges: &mut Vec<Charge>, max: usize) {
        let (limit, form) = (segment.limit, segment.form.unwrap_or(Form::Present));
        let window = std::mem::take(&mut self.window);
        let is_last = self.position.offset + window.len() as u64 >= limit;
        let mut rest = window.as_slice();
        while !rest.is_empty() && charges.len() < max {
            let step = match frame::decode(rest, form) {
                Frame::Charge(charge, length) => {
                    self.end_damage();
                    charges.push(*charge);
                    self.sound_end = self.position.offset + length as u64;
                    length
                }
                Frame::Undecodable(length) => {
                    self.begin_damage();
                    self.sound_end = self.position.offset + length as u64;
                    length
                }
                // A record may be cut by the window's end; what the window holds in full may not.
                Frame::Short if !is_last && rest.len() < FRAME_BYTES_MAX => break,
                Frame::Short | Frame::Damaged => {
                    self.begin_damage();
                    1
                }
            };
            self.position.offset += step as u64;
            rest = rest.get(step..).unwrap_or_default();
        }
        if self.position.offset >= limit {
            self.end_damage();
        }
        self.window = window;
    }

    fn begin_damage(&mut self) {
        if self.damage_from.is_none() {
            self.damage_from = Some(self.position.offset);
            self.count_damage();
        }
    }

    fn count_damage(&mut self) {
        self.damaged += 1;
        self.damaged_segments.insert(self.position.segment);
    }

    fn end_damage(&mut self) {
        if let Some(from) = self.damage_from.take() {
            let Position { segment, offset: to } = self.position;
            log::error!(segment, from, to; "bytes of the journal are no record");
        }
    }
}

/// Where the last sound record of a segment ends, if bytes stand behind it. Looks from `from` on,
/// if that is in the segment.
///
/// # Errors
/// When the file cannot be read.
pub(in crate::store) fn torn_tail(segment: &Segment, from: Position) -> io::Result<Option<u64>> {
    let cursor = read_through(segment, from)?;
    Ok((cursor.sound_end < segment.limit).then_some(cursor.sound_end))
}

/// Up to where another process has written whole records, seen from `from`: what stands behind is being written.
///
/// # Errors
/// When the folder or a file cannot be read.
pub(in crate::store) fn sound_end(dir: &Path, from: Position) -> io::Result<Position> {
    let Some(last) = segments(dir)?.last().copied().filter(|last| *last >= from.segment) else { return Ok(from) };
    let segment = match Segment::open(dir, last) {
        Ok(segment) => segment,
        // Booked and deleted since: there is a newer one at the next look.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(from),
        Err(error) => return Err(error),
    };
    let offset = torn_tail(&segment, from)?.unwrap_or(segment.limit);
    Ok(Position { segment: last, offset }.max(from))
}

/// Whether a segment holds bytes that are no charge.
///
/// # Errors
/// When the file cannot be read.
pub(in crate::store) fn is_damaged(dir: &Path, number: u64) -> io::Result<bool> {
    Ok(read_through(&Segment::open(dir, number)?, Position::default())?.damaged > 0)
}

fn read_through(segment: &Segment, from: Position) -> io::Result<Cursor> {
    const RECORDS_AT_ONCE: usize = 1_024;
    let mut cursor = Cursor::at(from);
    let mut charges = Vec::new();
    while !cursor.read(segment, &mut charges, RECORDS_AT_ONCE)? {
        charges.clear();
    }
    Ok(cursor)
}

/// Follows the journal from segment to segment.
#[derive(Debug)]
pub(in crate::store) struct Reader {
    dir: PathBuf,
    cursor: Cursor,
    segment: Option<Segment>,
}

impl Reader {
    /// A reader that begins at a position.
    pub(in crate::store) fn new(dir: &Path, position: Position) -> Self {
        Self { dir: dir.to_owned(), cursor: Cursor::at(position), segment: None }
    }

    /// The folder that is read.
    pub(in crate::store) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Every record before this has been handed out.
    pub(in crate::store) fn position(&self) -> Position {
        self.cursor.position
    }

    /// How often bytes were found that are no charge.
    pub(in crate::store) fn damaged(&self) -> u64 {
        self.cursor.damaged
    }

    /// Whether such bytes were found in a segment.
    pub(in crate::store) fn has_damage_in(&self, segment: u64) -> bool {
        self.cursor.damaged_segments.contains(&segment)
    }

    /// Reads records up to `end` until `charges` holds `max` of them.
    ///
    /// # Errors
    /// When a file cannot be read; nothing is lost by calling again.
    pub(in crate::store) fn read(&mut self, end: Position, charges: &mut Vec<Charge>, max: usize) -> io::Result<()> {
        while self.cursor.position < end && charges.len() < max {
            let Some(mut segment) = self.open(end)? else {
                self.cursor.count_damage();
                log::error!(segment = end.segment; "the journal's last segment has been taken away");
                self.cursor.position = end;
                return Ok(());
            };
            if segment.number == end.segment {
                segment.limit = end.offset;
            }
            let is_through = self.cursor.read(&segment, charges, max)?;
            if is_through && segment.number < end.segment {
                self.cursor.position = Position { segment: segment.number + 1, offset: 0 };
            } else {
                self.segment = Some(segment);
            }
        }
        Ok(())
    }

    /// The segment at the position, or the next one after it: numbers may be missing, because a
    /// segment without records is not kept.
    fn open(&mut self, end: Position) -> io::Result<Option<Segment>> {
        let number = self.cursor.position.segment;
        // The limit of a closed segment is final; that of the last one is given by `end`.
        if let Some(open) = self.segment.take().filter(|open| open.number == number) {
            let is_closed_since = number < end.segment;
            return if is_closed_since { open.again().map(Some) } else { Ok(Some(open)) };
        }
        let present = segments(&self.dir)?;
        let next = present.into_iter().find(|present| (number..=end.segment).contains(present));
        next.map(|next| Segment::open(&self.dir, next)).transpose()
    }
}
