//! Pictures, documents and sound: `inlineData` and `fileData`.
//!
//! Must not fetch anything.

use super::{Facts, Generation};
use crate::translate::ir::{Media, PartKind, Source, Text};
use crate::translate::{Invalid, media};
use crate::wire::json::Writer;

/// Endings of addresses with the type that they stand for. Google wants to be told; without one it may still find
/// out by itself.
const TYPES: [(&str, &str); 20] = [
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("webp", "image/webp"),
    ("gif", "image/gif"),
    ("heic", "image/heic"),
    ("heif", "image/heif"),
    ("pdf", "application/pdf"),
    ("txt", "text/plain"),
    ("md", "text/markdown"),
    ("html", "text/html"),
    ("csv", "text/csv"),
    ("json", "application/json"),
    ("wav", "audio/wav"),
    ("mp3", "audio/mp3"),
    ("flac", "audio/flac"),
    ("ogg", "audio/ogg"),
    ("mp4", "video/mp4"),
    ("mov", "video/mov"),
    ("webm", "video/webm"),
];

/// What is no text: which cannot stand inside the words of a result.
pub(super) fn of<'r, 'a>(kind: &'r PartKind<'a>) -> Option<&'r Media<'a>> {
    match kind {
        PartKind::Image(found) | PartKind::File(found) | PartKind::Audio(found) => {
            if matches!(found.source, Source::Plain(_)) { None } else { Some(found) }
        }
        PartKind::Text(_) | PartKind::Call(_) | PartKind::Result(_) | PartKind::Thought(_) | PartKind::Refusal(_) => {
            None
        }
    }
}

/// What is plain text, or a document that is.
pub(super) fn text_of<'r>(kind: &'r PartKind<'_>) -> Option<Text<'r>> {
    match kind {
        PartKind::Text(text) | PartKind::Refusal(text) => Some(text.by_ref()),
        PartKind::Image(found) | PartKind::File(found) | PartKind::Audio(found) => {
            if matches!(found.source, Source::Plain(_)) { media::words(found) } else { None }
        }
        PartKind::Call(_) | PartKind::Result(_) | PartKind::Thought(_) => None,
    }
}

/// What of a part has no place: a file's name, and how closely to look where that is said of the request only.
pub(super) fn lost(kind: &PartKind<'_>, facts: &Facts<'_>) -> impl Iterator<Item = &'static str> {
    let found = of(kind);
    let has_name = found.is_some_and(|media| media.name.as_ref().is_some_and(|name| !name.is_empty()));
    let detail = found.and_then(|media| media.detail.as_ref());
    let has_detail = detail.is_some_and(|detail| !detail.is("auto")) && resolution(detail, facts).is_none();
    let told = [(has_name, "content[].file.filename"), (has_detail, "content[].image_url.detail")];
    told.into_iter().filter_map(|(is_lost, field)| is_lost.then_some(field))
}

/// Writes the members of a part.
pub(super) fn write(kind: &PartKind<'_>, facts: &Facts<'_>, at: usize, out: &mut Writer) -> Result<(), Invalid> {
    let Some(Media { source, name: _, detail }) = of(kind) else { return Ok(()) };
    check(kind, source, facts, at)?;
    match source {
        Source::Inline { media_type, base64 } => out.name("inlineData").object(|out| {
            out.name("mimeType").text(media_type);
            out.name("data").text(base64);
        }),
        Source::Url(url) => out.name("fileData").object(|out| {
            if let Some(media_type) = type_by_ending(&url.to_plain()) {
                out.name("mimeType").plain(media_type);
            }
            out.name("fileUri").text(url);
        }),
        Source::Plain(_) | Source::Id(_) => {}
    }
    if let Some(level) = resolution(detail.as_ref(), facts) {
        out.name("mediaResolution").object(|out| out.name("level").plain(level));
    }
    Ok(())
}

fn check(kind: &PartKind<'_>, source: &Source<'_>, facts: &Facts<'_>, at: usize) -> Result<(), Invalid> {
    let takes = &facts.model().capabilities;
    let (what, is_taken) = match kind {
        PartKind::Audio(_) => ("audio", takes.audio),
        PartKind::File(_) => ("documents", takes.pdf),
        PartKind::Text(_)
        | PartKind::Image(_)
        | PartKind::Call(_)
        | PartKind::Result(_)
        | PartKind::Thought(_)
        | PartKind::Refusal(_) => ("images", takes.vision),
    };
    let refuse = |message: String| Err(Invalid::target(format!("messages[{at}].content"), message));
    if !is_taken {
        return refuse(format!("this model takes no {what}; leave them out or choose another model"));
    }
    match source {
        Source::Id(_) => {
            refuse(format!("{what} stored at one provider cannot be used at another; send them inline as base64"))
        }
        Source::Url(_) if facts.generation == Generation::Two => {
            refuse(format!("this model fetches no {what} by address; send them inline as base64"))
        }
        Source::Url(_) | Source::Inline { .. } | Source::Plain(_) => Ok(()),
    }
}

fn type_by_ending(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next()?;
    let (_, ending) = path.rsplit('/').next()?.rsplit_once('.')?;
    TYPES.iter().find(|(known, _)| ending.eq_ignore_ascii_case(known)).map(|(_, media_type)| *media_type)
}

/// How closely to look: a part can say it only from Gemini 3 on.
fn resolution(detail: Option<&Text<'_>>, facts: &Facts<'_>) -> Option<&'static str> {
    match detail?.spelt() {
        _ if facts.is_before_three() => None,
        "low" => Some("MEDIA_RESOLUTION_LOW"),
        "high" => Some("MEDIA_RESOLUTION_HIGH"),
        "original" => Some("MEDIA_RESOLUTION_ULTRA_HIGH"),
        _ => None,
    }
}
