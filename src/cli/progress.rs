//! A bar for people who wait, on the error output of a terminal; nothing where it is read by a program.
//!
//! Must not know what is waited for.

use std::io::{IsTerminal, Write};

const WIDTH: u64 = 40;

/// A bar that is taken away again when it is dropped.
#[derive(Debug)]
pub(super) struct Bar {
    what: &'static str,
    shown: Option<u64>,
    is_visible: bool,
}

impl Bar {
    /// A bar for one task.
    pub(super) fn new(what: &'static str) -> Self {
        Self { what, shown: None, is_visible: std::io::stderr().is_terminal() }
    }

    /// So much of so much is done.
    pub(super) fn tell(&mut self, done: u64, all: u64) {
        if self.is_visible && self.shown != Some(percent(done, all)) {
            self.shown = Some(percent(done, all));
            write(&format!("\r{}", line(self.what, done, all)));
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if self.shown.is_some() {
            write("\r\x1b[K");
        }
    }
}

fn write(text: &str) {
    // A bar that cannot be shown is no reason to stop.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

fn percent(done: u64, all: u64) -> u64 {
    done.min(all).saturating_mul(100).checked_div(all).unwrap_or(100)
}

fn line(what: &str, done: u64, all: u64) -> String {
    let percent = percent(done, all);
    let filled = usize::try_from(percent * WIDTH / 100).unwrap_or(0);
    let empty = usize::try_from(WIDTH).unwrap_or(0).saturating_sub(filled);
    format!("{what} [{}{}] {percent:3} %", "#".repeat(filled), "-".repeat(empty))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fills() {
        for (done, all, filled, shown) in
            [(0, 8, 0, "  0 %"), (4, 8, 20, " 50 %"), (9, 8, 40, "100 %"), (0, 0, 40, "100 %")]
        {
            let line = line("copying", done, all);
            assert_eq!(line.matches('#').count(), filled, "{line}");
            assert!(line.starts_with("copying [") && line.ends_with(shown), "{line}");
        }
    }
}
