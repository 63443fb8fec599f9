//! What somebody wishes of `flux-auto`: how much quality, and between which lanes it may choose.
//!
//! Must not know how a lane is chosen; `classify` says what follows.

use std::fmt;

use super::quality::Quality;

/// Lanes that answer in words, from the cheapest.
pub const WORD_LANES: [&str; 3] = ["flux-fast", "flux-standard", "flux-reasoning"];
/// The place of a lane among [`WORD_LANES`]; `None` for one that answers in something else.
pub fn rank_of(lane: &str) -> Option<usize> {
    WORD_LANES.iter().position(|name| *name == lane)
}

/// How a lane may be wished for, in words for people.
pub const LANE_WISH_HINT: &str = "flux-fast, flux-standard or flux-reasoning for always that lane; at_least:flux-standard, at_most:flux-standard, … for a bound";

/// The wishes of a request, a key or an account. What is `None` is left to whoever is asked next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AutoWish {
    /// How much quality.
    pub quality: Option<Quality>,
    /// Between which lanes.
    pub lane: Option<LaneWish>,
}

/// A lane, or a bound of lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LaneWish {
    /// Always this lane, by its rank: 0 fast, 1 standard, 2 reasoning.
    Only(usize),
    /// No cheaper lane.
    AtLeast(usize),
    /// No dearer lane.
    AtMost(usize),
}

impl LaneWish {
    /// Reads `flux-fast`, `at_least:flux-standard` and the like; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(':') {
            None => rank_of(text).map(Self::Only),
            Some(("at_least", lane)) => rank_of(lane).map(Self::AtLeast),
            Some(("at_most", lane)) => rank_of(lane).map(Self::AtMost),
            Some(_) => None,
        }
    }

    /// The cheapest and the dearest lane that it allows.
    pub fn bounds(self) -> (usize, usize) {
        const DEAREST: usize = WORD_LANES.len() - 1;
        match self {
            Self::Only(lane) => (lane, lane),
            Self::AtLeast(lane) => (lane, DEAREST),
            Self::AtMost(lane) => (0, lane),
        }
    }
}

/// As [`LaneWish::parse`] reads it.
impl fmt::Display for LaneWish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bound, rank) = match self {
            Self::Only(lane) => ("", lane),
            Self::AtLeast(lane) => ("at_least:", lane),
            Self::AtMost(lane) => ("at_most:", lane),
        };
        write!(f, "{bound}{}", WORD_LANES.get(*rank).copied().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_read_as_it_is_written() {
        for (text, expected) in [
            ("flux-fast", Some((0, 0))),
            ("flux-reasoning", Some((2, 2))),
            ("at_least:flux-standard", Some((1, 2))),
            ("at_most:flux-standard", Some((0, 1))),
            ("flux-image", None),
            ("at_least:", None),
            ("at_best:flux-fast", None),
            ("", None),
        ] {
            let wish = LaneWish::parse(text);
            assert_eq!(wish.map(LaneWish::bounds), expected, "{text}");
            assert!(wish.is_none_or(|wish| wish.to_string() == text), "{text}");
        }
    }
}
