//! Chat Completions: what is read, what is written, and that the two fit.

mod answers;
mod dialects;
mod properties;
mod requests;
mod support;
mod thoughts;
