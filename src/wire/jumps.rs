//! Where the containers of a JSON text end, noted in one pass, so that a walk jumps over them.
//!
//! Must not know what the text says. Without it, to find the parts of the messages of a request means to leap over
//! each of them once a level. A container is known by its place in the order in which containers begin, so that an
//! entry needs no position: what is inside of it follows it directly.

use smallvec::SmallVec;

/// Containers that need no heap: those of a chunk of a stream.
const INLINE: usize = 16;
/// A text has about one container in so many bytes, by which room for them is made.
const BYTES_PER_JUMP: usize = 128;
/// The most containers that are noted, half a megabyte. A text with more is walked by leaping.
const JUMPS_MAX: usize = 1 << 16;

/// A container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jump {
    /// From its first bracket to after its last; while it is open, where it begins.
    bytes: u32,
    /// The containers inside of it, at every level; while it is open, the place of the one around it.
    nested: u32,
}

impl Jump {
    /// Its length in bytes.
    #[inline]
    pub fn bytes(self) -> usize {
        self.bytes as usize
    }

    /// The containers inside of it, at every level.
    #[inline]
    pub fn nested(self) -> usize {
        self.nested as usize
    }
}

/// The containers of a text, in the order in which they begin.
#[derive(Clone, Debug, Default)]
pub struct Jumps {
    noted: SmallVec<[Jump; INLINE]>,
    /// The place of the innermost container that is open.
    innermost: u32,
    /// Not all are noted.
    is_partial: bool,
}

impl Jumps {
    /// Room for the containers of a text of so many bytes.
    pub fn with_room_for(text_bytes: usize) -> Self {
        let room = (text_bytes / BYTES_PER_JUMP).min(JUMPS_MAX);
        let is_partial = u32::try_from(text_bytes).is_err();
        Self { noted: SmallVec::with_capacity(room), innermost: 0, is_partial }
    }

    /// Nothing is noted.
    pub fn none() -> Self {
        Self { is_partial: true, ..Self::default() }
    }

    /// All of them; none where there are too many.
    pub fn all(&self) -> &[Jump] {
        if self.is_partial { &[] } else { &self.noted }
    }

    /// A container begins at this byte.
    #[inline]
    pub fn open(&mut self, at: usize) {
        if self.is_partial || self.noted.len() >= JUMPS_MAX {
            self.is_partial = true;
            return;
        }
        let (Ok(bytes), Ok(place)) = (u32::try_from(at), u32::try_from(self.noted.len())) else { return };
        self.noted.push(Jump { bytes, nested: self.innermost });
        self.innermost = place;
    }

    /// The innermost container ends before this byte.
    #[inline]
    pub fn close(&mut self, end: usize) {
        if self.is_partial {
            return;
        }
        let (place, count) = (self.innermost, self.noted.len());
        let (Some(jump), Ok(end), Ok(count)) =
            (self.noted.get_mut(place as usize), u32::try_from(end), u32::try_from(count))
        else {
            return;
        };
        self.innermost = jump.nested;
        *jump = Jump { bytes: end.wrapping_sub(jump.bytes), nested: count - place - 1 };
    }
}
