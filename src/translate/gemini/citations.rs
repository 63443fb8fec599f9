//! Sources of a text: `citationMetadata` and `groundingMetadata`.
//!
//! Must not know where a text begins: offsets are told in bytes of it, and are passed on only while every byte is a
//! character.

use crate::translate::Sink;
use crate::translate::ir::{Citation, Event, Text, Value};

/// Tells the sources of `citationMetadata`.
pub(super) fn tell(metadata: Value<'_>, is_ascii: bool, sink: &mut dyn Sink) {
    let Some(citations) = metadata.get("citations").or_else(|| metadata.get("citationSources")) else { return };
    for citation in citations.elements() {
        let (mut url, mut title, mut start, mut end) = (None, None, 0, None);
        for (name, value) in citation.members() {
            match &*name {
                "uri" => url = value.as_text(),
                "title" => title = value.as_text(),
                "startIndex" => start = value.as_u64().unwrap_or(0),
                "endIndex" => end = value.as_u64(),
                _ => {}
            }
        }
        let range = end.filter(|end| is_ascii && *end >= start).map(|end| (start, end));
        sink.take(Event::Citation(Citation { url, title, quote: None, range }));
    }
}

/// Tells the pages that support passages of the text, passage by passage; without passages, all pages.
pub(super) fn tell_grounding(metadata: Value<'_>, is_ascii: bool, sink: &mut dyn Sink) {
    let Some(chunks) = metadata.get("groundingChunks") else { return };
    let chunks: Vec<Value<'_>> = chunks.elements().collect();
    let Some(supports) = metadata.get("groundingSupports") else {
        for chunk in chunks {
            tell_chunk(chunk, None, sink);
        }
        return;
    };
    for support in supports.elements() {
        let range = support.get("segment").filter(|_| is_ascii).and_then(segment_range);
        let indices = support.get("groundingChunkIndices").into_iter().flat_map(Value::elements);
        for chunk in indices.filter_map(|index| chunks.get(usize::try_from(index.as_u64()?).ok()?)) {
            tell_chunk(*chunk, range, sink);
        }
    }
}

fn segment_range(segment: Value<'_>) -> Option<(u64, u64)> {
    let start = segment.get("startIndex").and_then(Value::as_u64).unwrap_or(0);
    let end = segment.get("endIndex").and_then(Value::as_u64)?;
    (end >= start).then_some((start, end))
}

fn tell_chunk(chunk: Value<'_>, range: Option<(u64, u64)>, sink: &mut dyn Sink) {
    let Some(page) = chunk.members().map(|(_, page)| page).next() else { return };
    let text = |name: &str| page.get(name).and_then(Value::as_text);
    let (url, title): (Option<Text<'_>>, Option<Text<'_>>) = (text("uri"), text("title"));
    sink.take(Event::Citation(Citation { url, title, quote: None, range }));
}
