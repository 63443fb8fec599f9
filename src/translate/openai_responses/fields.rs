//! x
use crate::translate::fields::Field;
/// x
pub const FIELDS: &[Field] = &[];
