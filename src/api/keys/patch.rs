//! What a change says of one setting: that it stays, that it goes, or what it becomes.
//!
//! Must not know which setting.

use serde::{Deserialize, Deserializer};

use crate::base::refusal::Refusal;

/// What becomes of a setting that may be without a value. Generic, since several may.
#[derive(Debug, Default)]
pub(super) enum Patch<T> {
    /// It is not named.
    #[default]
    Kept,
    /// It is null.
    Cleared,
    /// It has another value.
    Set(T),
}

impl<T> Patch<T> {
    /// Reads what is set.
    ///
    /// # Errors
    /// Those of `read`.
    pub(super) fn read<U>(self, read: impl FnOnce(T) -> Result<Option<U>, Refusal>) -> Result<Patch<U>, Refusal> {
        Ok(match self {
            Self::Kept => Patch::Kept,
            Self::Cleared => Patch::Cleared,
            Self::Set(value) => read(value)?.map_or(Patch::Cleared, Patch::Set),
        })
    }

    /// What holds after the change.
    pub(super) fn or(self, old: Option<T>) -> Option<T> {
        match self {
            Self::Kept => old,
            Self::Cleared => None,
            Self::Set(value) => Some(value),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(value)?.map_or(Self::Cleared, Self::Set))
    }
}
