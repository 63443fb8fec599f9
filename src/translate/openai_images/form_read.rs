//! A client's pictures and words for another picture, in a form → what they say.
//!
//! Must not know which target will take them. Pictures are told by their first bytes: what a part's head says of
//! them is often a guess by the name of a file.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::request_read::{count, wish, words};
use crate::translate::Invalid;
use crate::translate::ir::{Media, Part, PartKind, Request, Role, Source, Text, Turn};
use crate::translate::media;
use crate::wire::multipart::{self, Form};

/// Reads a form. `body` must be the body of it.
///
/// # Errors
/// Names the field that makes no sense, or that only a provider of this format can take.
pub fn read_form<'a>(form: &Form, body: &'a [u8]) -> Result<Request<'a>, Invalid> {
    let mut request = Request { wants_images: true, ..Request::default() };
    let (mut prompt, mut pictures) = (None, Vec::new());
    for part in form.parts() {
        let value = body.get(part.value.clone()).unwrap_or_default();
        if part.is_file {
            pictures.push(picture(part, value)?);
            continue;
        }
        let word = text_of(part, value)?;
        match &*part.name {
            // What is left empty in a form is not said.
            _ if word.is_empty() => {}
            "prompt" => prompt = Some(Text::plain(word)),
            "n" => request.choices = count(word.parse().ok())?,
            "image" | "image[]" | "mask" => return Err(Invalid::request(&*part.name, "must be a file")),
            name => wish(name, Text::plain(word), &mut request)?,
        }
    }
    if pictures.is_empty() {
        return Err(Invalid::request("image", "send the picture that is to be changed"));
    }
    let mut parts = vec![words(prompt)?];
    parts.append(&mut pictures);
    request.turns.push(Turn { role: Role::User, parts, name: None, at: 0 });
    Ok(request)
}

/// The words of a part that is no file.
pub(super) fn text_of<'a>(part: &multipart::Part, value: &'a [u8]) -> Result<&'a str, Invalid> {
    std::str::from_utf8(value).map_err(|_| Invalid::request(&*part.name, "must be UTF-8"))
}

fn picture<'a>(part: &multipart::Part, content: &[u8]) -> Result<Part<'a>, Invalid> {
    let (media_type, base64) = self::content(part, content)?;
    // No character of the alphabet is spelt otherwise in JSON.
    let source = Source::Inline { media_type: Text::plain(media_type), base64: Text::spelt_as(base64) };
    Ok(Part::from(PartKind::Image(Media { source, name: None, detail: None })))
}

/// Kind and base64 of a file that is a picture to be changed.
pub(super) fn content(part: &multipart::Part, content: &[u8]) -> Result<(&'static str, String), Invalid> {
    let name = &*part.name;
    match name {
        "image" | "image[]" => {}
        "mask" => return Err(Invalid::target(name, "this model takes no mask; say in words what is to be changed")),
        _ => return Err(Invalid::target(name, "this model takes no such file here; leave it out")),
    }
    let base64 = STANDARD.encode(content);
    let media_type = media::sniff(&base64).filter(|kind| kind.starts_with("image/"));
    let media_type = media_type.ok_or_else(|| Invalid::target(name, "must be a PNG, JPEG, WebP or GIF file"))?;
    Ok((media_type, base64))
}
