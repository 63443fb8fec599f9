//! Colours for people: on a terminal that wants them, and nowhere else.
//!
//! Must not know what is painted. `NO_COLOR` and a dumb terminal mean none.

use std::io::IsTerminal;

/// What paints, or leaves texts as they are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    is_on: bool,
}

impl Paint {
    /// As it suits whoever reads the standard output.
    pub(super) fn of_output() -> Self {
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { is_on: is_terminal() && !is_set("NO_COLOR") && !is_dumb }
    }

    /// Leaves all as it is.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self { is_on: false }
    }

    /// Paints.
    #[cfg(test)]
    pub(super) fn all() -> Self {
        Self { is_on: true }
    }

    /// What matters most.
    pub(super) fn strong(self, text: &str) -> String {
        self.with("1;36", text)
    }

    /// What speaks for it.
    pub(super) fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    /// What speaks against it.
    pub(super) fn bad(self, text: &str) -> String {
        self.with("31", text)
    }

    /// What matters less.
    pub(super) fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.is_on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Whether a person reads the standard output, and not a program.
pub(super) fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_colour_is_added() {
        assert_eq!(Paint::none().good("yes"), "yes");
        assert_eq!(Paint::all().good("yes"), "\x1b[32myes\x1b[0m");
    }
}
