//! Chat Completions: what is read, what is written, and that the two fit.

mod answers;
mod dialects;
mod properties;
mod requests;
mod round_trip;
mod support;
mod thoughts;
