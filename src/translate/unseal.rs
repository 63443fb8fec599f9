//! The seals in a request that stays in its client's format: opened for their maker, cut out for everybody else.
//!
//! Must not know where a format carries them: its own module goes through the conversation with `Edits`. No byte
//! that is not part of a seal, or of what is worth nothing without it, changes; no tree is built. There are at most
//! as many edits as there are places for a seal in the body, so that its length bounds them.

use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::envelope::{Envelope, MARK, Opened};
use super::ir::{Blob, BlobKind, Text};
use crate::catalog::Target;
use crate::wire::leap::{self, Items, Malformed, NAME_BYTES_MAX};

/// A request with its seals opened or cut out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unsealed {
    /// The body.
    pub body: Vec<u8>,
    /// What else had to be left out, by the client's name.
    pub ignored: Option<&'static str>,
}

/// Whether a body may hold a seal. A text that speaks of one looks the same.
pub fn may_be_sealed(body: &[u8]) -> bool {
    // Made once: making it costs as much as looking through a short request.
    static SEAL: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(MARK));
    SEAL.find(body).is_some()
}

/// What becomes of an item of a list or object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Stays,
    Goes,
}

/// What was left of a list or object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) stayed: usize,
    pub(super) gone: usize,
}

impl Left {
    /// What becomes of the whole: without anything inside that was not a seal, it goes too.
    pub(super) fn fate(self) -> Fate {
        if self.stayed == 0 && self.gone > 0 { Fate::Goes } else { Fate::Stays }
    }
}

/// A member of an object, or an element of a list, whose name is empty.
#[derive(Debug)]
pub(super) struct Item<'n> {
    pub(super) name: &'n [u8],
    pub(super) value: Range<usize>,
}

/// What stands in a place for a seal.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// No seal of ours.
    Bare,
    /// The target made it.
    Own(Blob<'static>),
    /// A seal that is not for the target, or that cannot be opened.
    Foreign,
}

/// The changes to a body, in the making.
#[derive(Debug)]
pub(super) struct Edits<'a> {
    body: &'a [u8],
    envelope: &'a Envelope,
    target: &'a Target,
    /// None is inside of another.
    list: Vec<(Range<usize>, String)>,
}

impl<'a> Edits<'a> {
    pub(super) fn new(body: &'a [u8], envelope: &'a Envelope, target: &'a Target) -> Self {
        Self { body, envelope, target, list: Vec::new() }
    }

    /// The body with all changes made; `None` where there are none.
    pub(super) fn apply(mut self) -> Option<Vec<u8>> {
        if self.list.is_empty() {
            return None;
        }
        self.list.sort_unstable_by_key(|(range, _)| range.start);
        let added: usize = self.list.iter().map(|(_, with)| with.len()).sum();
        let mut out = Vec::with_capacity(self.body.len() + added);
        let mut at = 0;
        for (range, with) in &self.list {
            out.extend_from_slice(self.body.get(at..range.start).unwrap_or_default());
            out.extend_from_slice(with.as_bytes());
            at = range.end;
        }
        out.extend_from_slice(self.body.get(at..).unwrap_or_default());
        Some(out)
    }

    /// Puts this JSON in the place of a value.
    pub(super) fn put(&mut self, value: &Range<usize>, json: String) {
        self.list.push((value.clone(), json));
    }

    /// Puts a string in the place of a value.
    pub(super) fn put_text(&mut self, value: &Range<usize>, text: &Text<'_>) {
        self.put(value, ["\"", text.spelt(), "\""].concat());
    }

    /// Goes through a list or an object and cuts out what goes, with its comma. Nothing happens to other values.
    ///
    /// # Errors
    /// When the text cannot be followed.
    pub(super) fn sieve(
        &mut self,
        value: &Range<usize>,
        judge: &mut dyn FnMut(&mut Self, &Item<'_>) -> Result<Fate, Malformed>,
    ) -> Result<Left, Malformed> {
        let mut left = Left::default();
        let Some(mut items) = Items::open(self.body, value.start) else { return Ok(left) };
        // Where the cut at the front of the container begins, and where the item before ends.
        let (mut front, mut last_end): (Option<usize>, usize) = (None, 0);
        let mut room = [0; NAME_BYTES_MAX];
        loop {
            let (whole, item) = if items.is_object() {
                let Some(member) = items.next_member()? else { break };
                let name = leap::plain_name(self.body.get(member.name.clone()).unwrap_or_default(), &mut room)?;
                (member.name.start - 1..member.value.end, Item { name, value: member.value })
            } else {
                let Some(value) = items.next_element()? else { break };
                (value.clone(), Item { name: &[], value })
            };
            let mark = self.list.len();
            let fate = judge(self, &item)?;
            if let Some(start) = front.take_if(|_| fate == Fate::Stays) {
                self.list.push((start..whole.start, String::new()));
            }
            match fate {
                Fate::Stays => left.stayed += 1,
                Fate::Goes => {
                    self.list.truncate(mark);
                    left.gone += 1;
                    if left.stayed == 0 {
                        front = front.or(Some(whole.start));
                    } else {
                        self.list.push((last_end..whole.end, String::new()));
                    }
                }
            }
            last_end = whole.end;
        }
        if let Some(start) = front {
            self.list.push((start..last_end, String::new()));
        }
        Ok(left)
    }

    /// The values of these members of an object.
    ///
    /// # Errors
    /// When the text cannot be followed.
    pub(super) fn members<const N: usize>(
        &self,
        object: &Range<usize>,
        names: [&str; N],
    ) -> Result<[Option<Range<usize>>; N], Malformed> {
        let mut found = [const { None }; N];
        let Some(mut items) = Items::open(self.body, object.start).filter(Items::is_object) else { return Ok(found) };
        let mut room = [0; NAME_BYTES_MAX];
        while let Some(member) = items.next_member()? {
            let name = leap::plain_name(self.body.get(member.name).unwrap_or_default(), &mut room)?;
            if let Some((slot, _)) = found.iter_mut().zip(names).find(|(_, wanted)| wanted.as_bytes() == name) {
                *slot = Some(member.value);
            }
        }
        Ok(found)
    }

    /// Whether a value is this string.
    pub(super) fn says(&self, value: Option<&Range<usize>>, plain: &str) -> bool {
        value.and_then(|value| self.spelt(value)).is_some_and(|spelt| Text::spelt_as(spelt).is(plain))
    }

    /// Whether a value is this kind of container.
    pub(super) fn opens_with(&self, value: &Range<usize>, bracket: u8) -> bool {
        self.body.get(value.start) == Some(&bracket)
    }

    /// Whether a seal may stand inside of a value.
    pub(super) fn may_hold_seal(&self, value: &Range<usize>) -> bool {
        self.body.get(value.clone()).is_some_and(may_be_sealed)
    }

    /// A whole number.
    pub(super) fn number(&self, value: Option<&Range<usize>>) -> Option<u64> {
        std::str::from_utf8(self.body.get(value?.clone())?).ok()?.parse().ok()
    }

    /// What a place for a seal holds.
    pub(super) fn look(&self, value: Option<&Range<usize>>) -> Found {
        let Some(spelt) = value.and_then(|value| self.spelt(value)) else { return Found::Bare };
        match self.envelope.open(Text::spelt_as(spelt)) {
            Opened::Bare(_) => Found::Bare,
            Opened::Sealed(blob) if self.is_own(&blob) => Found::Own(blob),
            Opened::Sealed(_) | Opened::Foreign => Found::Foreign,
        }
    }

    /// The same where only one kind can be told to the target in this place.
    pub(super) fn look_for(&self, kind: BlobKind, value: Option<&Range<usize>>) -> Found {
        match self.look(value) {
            Found::Own(blob) if blob.kind != kind => Found::Foreign,
            found @ (Found::Bare | Found::Own(_) | Found::Foreign) => found,
        }
    }

    /// Whom the request goes to.
    pub(super) fn target(&self) -> &'a Target {
        self.target
    }

    fn is_own(&self, blob: &Blob<'_>) -> bool {
        blob.maker.as_ref().is_some_and(|maker| {
            maker.provider == *self.target.provider.id && maker.model == *self.target.model.provider_model_id
        })
    }

    /// The inside of a string.
    fn spelt(&self, value: &Range<usize>) -> Option<&'a str> {
        leap::string_inside(self.body.get(value.clone())?).and_then(|inside| std::str::from_utf8(inside).ok())
    }
}
