//! The parts of a client's message: text, pictures, files, sound.
//!
//! Must not know who speaks, nor targets.

use super::messages_read::cache_mark;
use super::request_read::{ignore, text_at};
use super::spelling::source_of;
use crate::translate::ir::{Media, Part, PartKind, Request, Source, Text, Value};
use crate::translate::{Invalid, media};

/// Reads a content of several parts.
pub(super) fn read<'a>(content: Value<'a>, at: usize, request: &mut Request<'a>) -> Result<Vec<Part<'a>>, Invalid> {
    content.elements().enumerate().map(|(i, part)| read_part(part, (at, i), request)).collect()
}

fn read_part<'a>(part: Value<'a>, place: (usize, usize), request: &mut Request<'a>) -> Result<Part<'a>, Invalid> {
    // A path is only made where it is needed: most parts are as they should be.
    let path = |member: &str| format!("messages[{}].content[{}].{member}", place.0, place.1);
    let (mut kind, mut inner, mut cache) = (None, None, None);
    for (name, value) in part.members().filter(|(_, value)| !value.is_null()) {
        match &*name {
            "type" => kind = value.as_text(),
            "text" | "refusal" | "image_url" | "input_audio" | "file" => inner = Some(value),
            "prompt_cache_breakpoint" | "cache_control" => cache = cache_mark(value),
            // The type's own member, of a type that is refused below.
            _ if kind.as_ref().is_some_and(|kind| kind.is(&name)) => {}
            _ => ignore(request, &path(&name)),
        }
    }
    let kind = kind.as_ref().map_or("", Text::spelt);
    let inner = inner.ok_or_else(|| match kind {
        "text" | "refusal" | "image_url" | "input_audio" | "file" => {
            Invalid::request(path(kind), format!("{kind} is missing"))
        }
        _ => Invalid::target(path("type"), "this model takes no parts of this type; leave the part out"),
    });
    let kind = match kind {
        "text" => PartKind::Text(text_at(inner?, || path("text"))?),
        "refusal" => PartKind::Refusal(text_at(inner?, || path("refusal"))?),
        "image_url" => PartKind::Image(read_image(part, &|| path("image_url"))?),
        "input_audio" => PartKind::Audio(read_audio(inner?, &|| path("input_audio"))?),
        "file" => PartKind::File(read_file(inner?, &|| path("file"))?),
        _ => {
            inner?;
            return Err(Invalid::target(path("type"), "this model takes no parts of this type; leave the part out"));
        }
    };
    Ok(Part { cache, ..kind.into() })
}

/// The picture in a part's `image_url`, which is an object or, at some hosts, the address itself.
pub(super) fn read_image<'a>(part: Value<'a>, path: &dyn Fn() -> String) -> Result<Media<'a>, Invalid> {
    let image = part.get("image_url").ok_or_else(|| Invalid::request(path(), "image_url is missing"))?;
    let address = image.get("url").unwrap_or(image);
    let source = source_of(address).ok_or_else(|| {
        Invalid::request(path(), "the url must begin with http:// or https://, or be a data URL in base64")
    })?;
    let detail = image.get("detail").and_then(Value::as_text);
    Ok(Media { source, name: None, detail })
}

fn read_audio<'a>(audio: Value<'a>, path: &dyn Fn() -> String) -> Result<Media<'a>, Invalid> {
    let base64 = audio.get("data").and_then(Value::as_text);
    let base64 = base64.ok_or_else(|| Invalid::request(path() + ".data", "the sound's data is missing"))?;
    let format = audio.get("format").and_then(Value::as_text);
    let media_type = match format.as_ref().map(Text::spelt) {
        Some("wav") => Text::spelt_as("audio/wav"),
        Some("mp3") => Text::spelt_as("audio/mpeg"),
        _ => return Err(Invalid::request(path() + ".format", "the format of sound must be wav or mp3")),
    };
    Ok(Media { source: Source::Inline { media_type, base64 }, name: None, detail: None })
}

fn read_file<'a>(file: Value<'a>, path: &dyn Fn() -> String) -> Result<Media<'a>, Invalid> {
    let name = file.get("filename").and_then(Value::as_text);
    let id = file.get("file_id").and_then(Value::as_text);
    let source = match (file.get("file_data"), id) {
        (Some(bytes), _) => {
            let read = bytes.as_text().and_then(|bytes| media::file(bytes, name.as_ref()).ok());
            read.filter(|source| matches!(source, Source::Inline { .. })).ok_or_else(|| {
                Invalid::request(path() + ".file_data", "file_data must be a data URL in base64: data:TYPE;base64,…")
            })?
        }
        (None, Some(id)) => Source::Id(id),
        (None, None) => return Err(Invalid::request(path(), "a file needs file_data or file_id")),
    };
    Ok(Media { source, name, detail: None })
}
