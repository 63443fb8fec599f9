//! All formats against one another: what one says, another says again.
//!
//! Must not test what belongs to one format alone: that stands beside the format.

#![expect(clippy::wildcard_enum_match_arm, reason = "a test names what it is about")]

mod answer_fields;
mod answers;
mod fields;
mod invariants;
mod requests;
mod support;
mod unsealed;
