//! What is wrong in a file that an operator wrote.
//!
//! Must not know which file formats exist: whoever parses a file says where the fault stands.

use std::fmt;

/// One fault of a configuration or rules file, with a way to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// The file as the operator names it, or the environment variable.
    pub file: String,
    /// Line in the file, from 1; 0 where no line is at fault.
    pub line: usize,
    /// What is wrong: lower case, no full stop, names the thing and the value.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// `conf/lanes.toml:12: unknown model "x" (hint: …)`.
impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, message, hint } = self;
        match line {
            0 => write!(f, "{file}: {message}")?,
            line => write!(f, "{file}:{line}: {message}")?,
        }
        if hint.is_empty() { Ok(()) } else { write!(f, " (hint: {hint})") }
    }
}
