//! All formats against one another: what one says, another says again.
//!
//! Must not test what belongs to one format alone: that stands beside the format.

mod answers;
mod fields;
mod invariants;
mod requests;
mod support;
