//! A client's words for a picture → what they say.
//!
//! Must not know which target will take them.

use crate::translate::Invalid;
use crate::translate::ir::{Choice, ImageForm, Part, PartKind, Request, Role, Text, Turn, Value};
use crate::wire::json::Kind;

/// Names of left out fields that are kept: they go into a header.
const IGNORED_MAX: usize = 32;

/// Reads a request.
///
/// # Errors
/// Names the field that makes no sense, or that only a provider of this format can take.
pub fn read_request(body: Value<'_>) -> Result<Request<'_>, Invalid> {
    if body.kind() != Kind::Object {
        return Err(Invalid::request("", "the body must be a JSON object"));
    }
    let mut request = Request { wants_images: true, ..Request::default() };
    let mut prompt = None;
    for (name, value) in body.members().filter(|(_, value)| !value.is_null()) {
        match &*name {
            "prompt" => {
                prompt = Some(value.as_text().ok_or_else(|| Invalid::request("prompt", "must be a string"))?);
            }
            _ => member(&name, value, &mut request)?,
        }
    }
    let parts = vec![words(prompt)?];
    request.turns.push(Turn { role: Role::User, parts, name: None, at: 0 });
    Ok(request)
}

/// What the picture shall show.
pub(super) fn words(prompt: Option<Text<'_>>) -> Result<Part<'_>, Invalid> {
    let prompt = prompt.filter(|prompt| !prompt.is_blank());
    let prompt = prompt.ok_or_else(|| Invalid::request("prompt", "say what the image shall show"))?;
    Ok(Part::from(PartKind::Text(prompt)))
}

fn member<'a>(name: &str, value: Value<'a>, request: &mut Request<'a>) -> Result<(), Invalid> {
    match name {
        "n" => request.choices = count(value.as_u64())?,
        "image" | "images" | "mask" => {
            return Err(Invalid::target(name, "this model takes no images here; send them as a chat message"));
        }
        _ if is_word(name) => {
            let word = value.as_text().ok_or_else(|| Invalid::request(name, "must be a string"))?;
            wish(name, word, request)?;
        }
        _ => ignore(name, request),
    }
    Ok(())
}

/// Whether the field is a word that [`wish`] knows.
fn is_word(name: &str) -> bool {
    matches!(name, "response_format" | "size" | "quality" | "background" | "output_format" | "user")
}

/// One wish in a word; `auto` is none.
pub(super) fn wish<'a>(name: &str, word: Text<'a>, request: &mut Request<'a>) -> Result<(), Invalid> {
    let ImageForm { size, quality, background, output_format } = &mut request.image_form;
    let place = match name {
        "response_format" if word.is("b64_json") => return Ok(()),
        "response_format" => {
            let message = "this model's images come in the answer; send \"b64_json\" or leave it out";
            return Err(Invalid::target("response_format", message));
        }
        "user" => {
            request.identity.end_user = Some(word);
            return Ok(());
        }
        "size" => size,
        "quality" => quality,
        "background" => background,
        "output_format" => output_format,
        _ => {
            ignore(name, request);
            return Ok(());
        }
    };
    *place = Some(word).filter(|word| !word.is("auto"));
    Ok(())
}

/// How many pictures are wanted.
pub(super) fn count(said: Option<u64>) -> Result<Choice, Invalid> {
    let said = said.filter(|count| *count > 0);
    said.map(Choice).ok_or_else(|| Invalid::request("n", "must be a whole number from 1 on"))
}

fn ignore(name: &str, request: &mut Request<'_>) {
    // Streams are refused before.
    let is_heard = matches!(name, "model" | "stream");
    if !is_heard && request.ignored.len() < IGNORED_MAX {
        request.ignored.push(name.to_owned().into());
    }
}
