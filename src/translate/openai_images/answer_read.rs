//! The answer of a provider of this format, whole.
//!
//! Must not know who reads it. Images by address are no answer: nothing is fetched here.

use crate::translate::Sink;
use crate::translate::ir::{Event, Fault, FaultKind, Finish, Source, Text, Value};
use crate::translate::media;
use crate::wire::usage;

/// Reads one answer.
#[derive(Debug, Default)]
pub struct AnswerReader {
    is_complete: bool,
}

impl AnswerReader {
    /// Takes the whole answer.
    pub fn whole(&mut self, answer: Value<'_>, sink: &mut dyn Sink) {
        if let Some(error) = answer.get("error").filter(|error| usage::is_truthy(error.spelt().as_bytes())) {
            let message = error.get("message").and_then(Value::as_text).unwrap_or_default();
            return sink.take(Event::Fault(Fault { kind: FaultKind::Fault, message }));
        }
        let mut images = answer.get("data").into_iter().flat_map(Value::elements).filter_map(inline).peekable();
        if images.peek().is_none() {
            return sink.take(Event::Fault(Fault { kind: FaultKind::Garbled, message: Text::default() }));
        }
        sink.take(Event::Start { id: Text::default(), usage: None });
        for (media_type, base64) in images {
            sink.take(Event::Image { media_type, base64 });
        }
        sink.take(Event::Finish { reason: Finish::Done, stop: None });
        let used = answer.get("usage").and_then(|used| usage::openai_images(used.spelt().as_bytes()));
        if let Some(usage) = used {
            sink.take(Event::Usage { usage, service_tier: None });
        }
        self.is_complete = true;
    }

    /// Whether the answer came.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }
}

/// Kind and bytes of one image; what its bytes say that it is.
fn inline(image: Value<'_>) -> Option<(Text<'_>, Text<'_>)> {
    let base64 = image.get("b64_json").and_then(Value::as_text).filter(|base64| !base64.is_empty())?;
    match media::inline(Text::spelt_as("image/png"), base64) {
        Source::Inline { media_type, base64 } => Some((media_type, base64)),
        Source::Url(_) | Source::Plain(_) | Source::Id(_) => None,
    }
}
