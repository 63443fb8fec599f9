//! Google's Gemini API, `generateContent`: the provider's side. No client speaks it.
//!
//! Must not know other formats. The model's name stands in the path and not in the body, so that nothing here
//! writes it. Thinking outside `candidatesTokenCount`, sealed state on any part, calls without ids before Gemini 3,
//! and an answer to a call that must repeat the call's name are what sets this format apart.
//!
//! Checked against google-genai 3.4.0 for Python. Beyond what our notes list, its types have these: finish reasons
//! `LANGUAGE`, `IMAGE_PROHIBITED_CONTENT` and `ESCALATION` (filters), `PUP_LIMITED_DISABLED` (a fault); block
//! reasons `IMAGE_SAFETY`, `MODEL_ARMOR` and `JAILBREAK`; part fields `toolCall` and `toolResponse` (the provider's
//! own tools); `mediaResolution` on a part, not only for the whole request; byte offsets, not characters, in
//! grounding segments. `partialArgs` and `willContinue` of calls and `labels` are Vertex's in part: never asked for.

mod citations;
mod contents;
mod generation;
mod images;
mod logprobs;
mod media;
mod schema;
mod signatures;
mod thinking;
mod tools;
mod usage;

pub mod answer_fields;
mod answer_read;
pub mod request_fields;
pub mod request_write;

pub use answer_fields::ANSWER_FIELDS;
pub use answer_read::AnswerReader;
pub use request_fields::FIELDS;
pub use request_write::write_request;

use std::borrow::Cow;

use crate::catalog::{Model, Target};
use crate::translate::Emulated;
use crate::translate::ir::{Blob, BlobKind};

/// What the writer asks of its target again and again.
#[derive(Clone, Copy, Debug)]
struct Facts<'t> {
    target: &'t Target,
    generation: Generation,
}

/// Generations of models between which the format changed. Unknown names count as the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Generation {
    /// 1.x and 2.0: files by public addresses are not fetched.
    Two,
    /// 2.1 to 2.5: thinking, but no schema together with tools.
    TwoFive,
    /// 3 and later: signatures are demanded, results may hold pictures.
    Three,
}

impl<'t> Facts<'t> {
    fn of(target: &'t Target) -> Self {
        let name = target.model.provider_model_id.rsplit('/').next().unwrap_or_default();
        let is_kind = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
        let generation = if is_kind(&["gemini-1.", "gemini-2.0"]) {
            Generation::Two
        } else if is_kind(&["gemini-2."]) {
            Generation::TwoFive
        } else {
            Generation::Three
        };
        Self { target, generation }
    }

    fn model(&self) -> &'t Model {
        &self.target.model
    }

    fn is_before_three(&self) -> bool {
        self.generation < Generation::Three
    }

    /// Whether a blob was made by the very target, and so may go back to it.
    fn is_own(&self, blob: &Blob<'_>) -> bool {
        let Blob { kind, token, maker } = blob;
        let is_makers = maker.as_ref().is_none_or(|maker| {
            *maker.provider == *self.target.provider.id && *maker.model == *self.target.model.provider_model_id
        });
        *kind == BlobKind::GeminiSignature && !token.is_empty() && is_makers
    }
}

/// What comes out of a request beside its body.
#[derive(Debug, Default)]
struct Notes {
    ignored: Vec<Cow<'static, str>>,
    emulated: Emulated,
}

impl Notes {
    fn ignore(&mut self, field: &'static str) {
        self.ignored.push(Cow::Borrowed(field));
    }

    fn ignore_at(&mut self, at: usize, field: &str) {
        let path = format!("messages[{at}].{field}");
        if self.ignored.last().is_none_or(|last| *last != path) {
            self.ignored.push(Cow::Owned(path));
        }
    }
}

#[cfg(test)]
mod tests;
