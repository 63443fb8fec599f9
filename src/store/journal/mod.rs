//! The journal: a charge is kept here, by one `write`, before the last byte of its answer leaves.
//!
//! Must not know SQLite nor who books what. Segments are files that only ever grow at their end;
//! a start always begins a new one, so that no record can land before a position that counts as
//! booked, whatever a power cut has taken from the older files.

mod frame;
pub(in crate::store) mod read;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering as Atomic};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::outcome::Charge;

use self::frame::{FRAME_BYTES_MAX, FrameBuffer, HEAD_BYTES, SEGMENT_HEAD};
use self::read::{Position, Segment, segment_path, segments};

/// This part of the journal is left to requests that are at work already.
const RESERVE_PART: u64 = 8;
/// What the disk must take before it is trusted again.
const PROBE_BYTES: usize = 64 * 1024;

/// How large the journal may become.
#[derive(Clone, Copy, Debug)]
pub(super) struct JournalBounds {
    /// All segments together, booked or not.
    pub(super) journal_bytes_max: u64,
    /// One segment. At most a quarter of the whole is used, so that a full journal can be emptied.
    pub(super) segment_bytes: u64,
}

/// Why a charge was not kept. The answer it belongs to must not be completed.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The bound is reached, because nothing could be booked for long.
    #[error("the journal is full: {journal_bytes_max} bytes wait to be booked")]
    Full {
        /// The bound.
        journal_bytes_max: u64,
    },
    /// The charge's names are too long for a record.
    #[error("the charge does not fit a record of {FRAME_BYTES_MAX} bytes")]
    TooLong,
    /// The file system refused it.
    #[error("cannot write the journal: {0}")]
    Io(#[from] io::Error),
}

/// The open journal. Shared by all workers.
#[derive(Debug)]
pub(super) struct Journal {
    dir: PathBuf,
    bounds: JournalBounds,
    // Guards the end of the last file: records must land whole and one behind the other, and the
    // end that readers may go to moves with them.
    tail: Mutex<Tail>,
    /// Size of all segments, for those who must not wait for the lock.
    size: AtomicU64,
    /// The file system has refused a record, and has not taken any since.
    is_failing: AtomicBool,
}

#[derive(Debug)]
struct Tail {
    file: Arc<File>,
    end: Position,
    /// All segments together.
    bytes: u64,
    /// Records that were ever appended by this process.
    records: u64,
    /// Earlier segments and their sizes, oldest first.
    closed: VecDeque<(u64, u64)>,
    /// Closed files that the disk does not surely have. At most as many as there are segments.
    unsynced: Vec<Arc<File>>,
    /// Up to where the disk surely has it.
    synced: Position,
    /// Bytes behind the end could not be taken away: nothing more may be appended to this file.
    is_spoiled: bool,
}

impl Journal {
    /// Opens the journal of a folder behind everything that is there or that counts as booked.
    ///
    /// # Errors
    /// When the folder cannot be read or written.
    pub(super) fn open(dir: &Path, bounds: JournalBounds, booked: Position) -> io::Result<Self> {
        let present = segments(dir)?;
        let last = present.last().copied();
        if let Some(last) = last {
            drop_torn_tail(dir, last, booked)?;
        }
        let mut closed = VecDeque::new();
        for number in present {
            closed.push_back((number, segment_path(dir, number).metadata()?.len()));
        }
        let number = last.unwrap_or_default().max(booked.segment) + 1;
        let file = Arc::new(begin_segment(dir, number)?);
        let end = Position { segment: number, offset: HEAD_BYTES };
        let tail = Tail {
            file,
            end,
            bytes: closed.iter().fold(HEAD_BYTES, |sum, (_, size)| sum.saturating_add(*size)),
            records: 0,
            closed,
            unsynced: Vec::new(),
            synced: Position::default(),
            is_spoiled: false,
        };
        let segment_bytes = bounds.segment_bytes.min(bounds.journal_bytes_max / 4);
        let bounds = JournalBounds { segment_bytes, ..bounds };
        let size = AtomicU64::new(tail.bytes);
        Ok(Self { dir: dir.to_owned(), bounds, tail: Mutex::new(tail), size, is_failing: AtomicBool::new(false) })
    }

    /// Keeps a charge: when this returns, the kernel has it and `kill -9` cannot take it away.
    ///
    /// # Errors
    /// When it was not kept; nothing of it is left in the journal then.
    pub(super) fn append(&self, charge: &Charge) -> Result<(), JournalError> {
        let mut buffer = FrameBuffer::new();
        let record = buffer.encode(charge).ok_or(JournalError::TooLong)?;
        let length = record.len() as u64;
        let mut tail = self.tail();
        let journal_bytes_max = self.bounds.journal_bytes_max;
        if tail.bytes.saturating_add(length) > journal_bytes_max {
            return Err(JournalError::Full { journal_bytes_max });
        }
        let is_full = tail.end.offset.saturating_add(length) > self.bounds.segment_bytes;
        if tail.is_spoiled || (is_full && tail.end.offset > HEAD_BYTES) {
            self.roll(&mut tail).inspect_err(|_| self.is_failing.store(true, Atomic::Relaxed))?;
        }
        let written = match (&*tail.file).write(record) {
            Ok(written) if written == record.len() => Ok(()),
            Ok(_) => Err(io::Error::from(io::ErrorKind::WriteZero)),
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            tail.take_back();
            self.is_failing.store(true, Atomic::Relaxed);
            return Err(error.into());
        }
        tail.end.offset += length;
        tail.bytes += length;
        tail.records += 1;
        self.size.store(tail.bytes, Atomic::Relaxed);
        Ok(())
    }

    /// Whether new requests may begin: there is room for their charges, and for those of the requests at work.
    pub(super) fn has_room(&self) -> bool {
        let JournalBounds { journal_bytes_max, .. } = self.bounds;
        let is_full = self.size.load(Atomic::Relaxed) > journal_bytes_max - journal_bytes_max / RESERVE_PART;
        !is_full && !self.is_failing.load(Atomic::Relaxed)
    }

    /// Tries whether a file system that has refused a record takes bytes again.
    ///
    /// # Errors
    /// When it does not.
    pub(super) fn probe(&self) -> io::Result<()> {
        if !self.is_failing.load(Atomic::Relaxed) {
            return Ok(());
        }
        let path = self.dir.join("probe");
        let taken = std::fs::write(&path, vec![0; PROBE_BYTES]);
        std::fs::remove_file(&path)?;
        taken?;
        self.is_failing.store(false, Atomic::Relaxed);
        Ok(())
    }

    /// Up to where records may be read.
    pub(super) fn end(&self) -> Position {
        self.tail().end
    }

    /// Size of all segments.
    pub(super) fn bytes(&self) -> u64 {
        self.tail().bytes
    }

    /// Bytes that stand behind a position.
    pub(super) fn bytes_after(&self, position: Position) -> u64 {
        let tail = self.tail();
        let sizes = tail.closed.iter().copied().chain([(tail.end.segment, tail.end.offset)]);
        let behind = sizes.map(|(segment, size)| match segment.cmp(&position.segment) {
            Ordering::Less => 0,
            Ordering::Equal => size.saturating_sub(position.offset.max(HEAD_BYTES)),
            Ordering::Greater => size.saturating_sub(HEAD_BYTES),
        });
        behind.fold(0, u64::saturating_add)
    }

    /// Records appended since the start of this process.
    pub(super) fn records(&self) -> u64 {
        self.tail().records
    }

    /// Hands the disk what the kernel has. Not under the lock: workers append meanwhile.
    ///
    /// # Errors
    /// When the disk refuses; the files stay due.
    pub(super) fn sync(&self) -> io::Result<()> {
        let (current, mut files, end, has_rolled) = {
            let mut tail = self.tail();
            if tail.synced == tail.end {
                return Ok(());
            }
            let has_rolled = tail.synced.segment != tail.end.segment;
            (Arc::clone(&tail.file), std::mem::take(&mut tail.unsynced), tail.end, has_rolled)
        };
        let mut outcome = current.sync_data();
        files.retain(|file| {
            let synced = file.sync_data();
            let is_due = synced.is_err();
            outcome = std::mem::replace(&mut outcome, Ok(())).and(synced);
            is_due
        });
        if has_rolled {
            outcome = outcome.and_then(|()| File::open(&self.dir)?.sync_all());
        }
        let mut tail = self.tail();
        tail.unsynced.append(&mut files);
        if outcome.is_ok() {
            tail.synced = end;
        }
        outcome
    }

    /// Deletes the segments before `segment`: all of their records are booked. Those for which
    /// `is_damaged` says so are renamed instead, so that somebody can look.
    ///
    /// # Errors
    /// When a file cannot be deleted; it is tried again the next time.
    pub(super) fn retire_before(&self, segment: u64, is_damaged: &dyn Fn(u64) -> bool) -> io::Result<()> {
        while let Some((number, size)) = self.oldest_before(segment) {
            let path = segment_path(&self.dir, number);
            let retired = if is_damaged(number) {
                let kept = path.with_extension("damaged");
                log::error!(segment = number, kept = kept.display().to_string(); "a damaged journal segment is kept");
                std::fs::rename(&path, kept)
            } else {
                std::fs::remove_file(&path)
            };
            match retired {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
            let mut tail = self.tail();
            tail.closed.pop_front();
            tail.bytes = tail.bytes.saturating_sub(size);
            self.size.store(tail.bytes, Atomic::Relaxed);
        }
        Ok(())
    }

    fn oldest_before(&self, segment: u64) -> Option<(u64, u64)> {
        self.tail().closed.front().copied().filter(|(number, _)| *number < segment)
    }

    fn roll(&self, tail: &mut Tail) -> io::Result<()> {
        let number = tail.end.segment + 1;
        let file = Arc::new(begin_segment(&self.dir, number)?);
        let closed = std::mem::replace(&mut tail.file, file);
        tail.unsynced.push(closed);
        tail.closed.push_back((tail.end.segment, tail.end.offset));
        tail.end = Position { segment: number, offset: HEAD_BYTES };
        tail.bytes += HEAD_BYTES;
        self.size.store(tail.bytes, Atomic::Relaxed);
        tail.is_spoiled = false;
        Ok(())
    }

    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tail {
    /// Takes away what a failed write has left behind the end.
    fn take_back(&mut self) {
        if let Err(error) = self.file.set_len(self.end.offset) {
            log::error!(segment = self.end.segment, error = error.to_string(); "cannot cut the journal back");
            self.is_spoiled = true;
        }
    }
}

/// Creates a segment with its head. What is left of a failed attempt is overwritten: it holds no
/// record.
fn begin_segment(dir: &Path, number: u64) -> io::Result<File> {
    let path = segment_path(dir, number);
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    file.set_len(0)?;
    file.write_all(SEGMENT_HEAD)?;
    Ok(file)
}

/// Takes off what a crash has left half written at the very end: it was never acknowledged.
fn drop_torn_tail(dir: &Path, last: u64, booked: Position) -> io::Result<()> {
    let segment = Segment::open(dir, last)?;
    let Some(sound_end) = read::torn_tail(&segment, booked)? else { return Ok(()) };
    let torn = segment.limit - sound_end;
    log::warn!(segment = last, torn, sound_end; "the journal's torn tail is dropped");
    OpenOptions::new().write(true).open(segment_path(dir, last))?.set_len(sound_end)
}
