//! How hard a model thinks, by the words that all providers draw from.
//!
//! Must not know which model knows which word (the catalogue does), nor how a format spells the switch.

/// How hard a model thinks. Ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effort {
    /// Not at all.
    None,
    /// As little as it can.
    Minimal,
    /// Little.
    Low,
    /// The usual.
    Medium,
    /// Hard.
    High,
    /// Harder.
    Xhigh,
    /// As hard as it can.
    Max,
}

impl Effort {
    /// All with the names that formats and configuration use.
    pub const NAMES: [(&'static str, Self); 7] = [
        ("none", Self::None),
        ("minimal", Self::Minimal),
        ("low", Self::Low),
        ("medium", Self::Medium),
        ("high", Self::High),
        ("xhigh", Self::Xhigh),
        ("max", Self::Max),
    ];

    /// The effort of this name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, effort)| *effort)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Xhigh => "xhigh",
            Self::Max => "max",
        }
    }

    /// The nearest of `levels`: itself, else the next lower one, else the next higher one. Whoever asks for a little
    /// thinking does not ask for none. `None` where there are no levels.
    pub fn nearest_of(self, levels: &[Self]) -> Option<Self> {
        let is_fit = |level: &Self| *level != Self::None || self == Self::None;
        let fit = || levels.iter().copied().filter(is_fit);
        let below = fit().filter(|level| *level <= self).max();
        below.or_else(|| fit().min()).or_else(|| levels.first().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_level_is_lower_if_it_can_be() {
        use Effort::{High, Low, Max, Medium, Minimal, None};
        for (asked, levels, nearest) in [
            (Max, &[Low, Medium, High][..], Some(High)),
            (None, &[Low, Medium], Some(Low)),
            (Medium, &[Minimal, High], Some(Minimal)),
            (Minimal, &[None, Low, Medium], Some(Low)),
            (High, &[None], Some(None)),
            (None, &[None, Low], Some(None)),
            (Medium, &[], Option::None),
        ] {
            assert_eq!(asked.nearest_of(levels), nearest, "{asked:?} of {levels:?}");
        }
        for (name, effort) in Effort::NAMES {
            assert_eq!((Effort::by_name(name), effort.name()), (Some(effort), name));
        }
    }
}
