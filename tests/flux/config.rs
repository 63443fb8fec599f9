//! Configuration: one bad line is refused with its place, and a running Flux keeps the old one.
//!
//! Must not know how configuration is read.

use tempfile::TempDir;

/// A configuration whose haiku has a second provider of Anthropic's format.
pub(crate) fn with_second_anthropic() -> Option<TempDir> {
    None
}
