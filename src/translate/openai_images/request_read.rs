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
            "prompt" => prompt = Some(text_of(value, "prompt")?),
            _ => member(&name, value, &mut request)?,
        }
    }
    let prompt = prompt.filter(|prompt| !prompt.is_blank());
    let prompt = prompt.ok_or_else(|| Invalid::request("prompt", "say what the image shall show"))?;
    let parts = vec![Part::from(PartKind::Text(prompt))];
    request.turns.push(Turn { role: Role::User, parts, name: None, at: 0 });
    Ok(request)
}

fn member<'a>(name: &str, value: Value<'a>, request: &mut Request<'a>) -> Result<(), Invalid> {
    let ImageForm { size, quality, background, output_format } = &mut request.image_form;
    match name {
        "response_format" if !text_of(value, "response_format")?.is("b64_json") => {
            let message = "this model's images come in the answer; send \"b64_json\" or leave it out";
            return Err(Invalid::target("response_format", message));
        }
        // Streams are refused before.
        "model" | "stream" | "response_format" => {}
        "n" => {
            let count = value.as_u64().filter(|count| *count > 0);
            request.choices = Choice(count.ok_or_else(|| Invalid::request("n", "must be a whole number from 1 on"))?);
        }
        "size" => *size = said(value, "size")?,
        "quality" => *quality = said(value, "quality")?,
        "background" => *background = said(value, "background")?,
        "output_format" => *output_format = said(value, "output_format")?,
        "user" => request.identity.end_user = Some(text_of(value, "user")?),
        "image" | "images" | "mask" => {
            return Err(Invalid::target(name, "this model takes no images here; send them as a chat message"));
        }
        _ if request.ignored.len() < IGNORED_MAX => request.ignored.push(name.to_owned().into()),
        _ => {}
    }
    Ok(())
}

/// A wish; `auto` is none.
fn said<'a>(value: Value<'a>, name: &'static str) -> Result<Option<Text<'a>>, Invalid> {
    Ok(Some(text_of(value, name)?).filter(|text| !text.is("auto")))
}

fn text_of<'a>(value: Value<'a>, name: &'static str) -> Result<Text<'a>, Invalid> {
    value.as_text().ok_or_else(|| Invalid::request(name, "must be a string"))
}
