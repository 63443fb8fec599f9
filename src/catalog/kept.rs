//! A place beside an entry of the catalogue for what others have made of it, so that they make it once a reload
//! and not once a request.
//!
//! Must not know what is kept. It is no part of the entry: copies begin empty, and comparisons leave it out.

use std::any::Any;
use std::fmt;
use std::sync::OnceLock;

/// The place. Whoever uses it keeps one type there.
#[derive(Default)]
pub struct Kept(OnceLock<Box<dyn Any + Send + Sync>>);

impl Kept {
    /// What is kept; `make` makes it the first time. `None` where a value of another type is kept.
    pub fn get_or_make<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Option<&T> {
        self.0.get_or_init(|| Box::new(make())).downcast_ref()
    }
}

impl Clone for Kept {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Kept {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Kept {}

/// Does not print what is kept: it may hold a key.
impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_stays() {
        let kept = Kept::default();
        assert_eq!(kept.get_or_make(|| 1), Some(&1));
        assert_eq!(kept.get_or_make(|| 2), Some(&1));
        assert_eq!(kept.get_or_make(|| "another type"), None);
        assert_eq!(kept.clone().get_or_make(|| 3), Some(&3));
    }
}
