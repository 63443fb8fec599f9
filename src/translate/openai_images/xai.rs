//! xAI behind the shape of `OpenAI`: sizes become ratios and classes, the form of an edit becomes JSON, and what it has
//! no place for is left out.
//!
//! Must not know who asked. What a client says in xAI's own words (`aspect_ratio`, `resolution`) stays as it is. The
//! fields are those of docs.x.ai (pages of May 2026); what could not be confirmed there is in `docs/wire-formats.md`.

use std::borrow::Cow;

use super::form_read::{self, text_of};
use super::request_read::count;
use crate::translate::ir::{Choice, Text, Value};
use crate::translate::{Invalid, shape};
use crate::wire::json::Writer;
use crate::wire::multipart::Form;

/// Width and height of the ratios that are offered.
const RATIOS: [(u64, u64); 13] =
    [(1, 1), (2, 3), (3, 2), (3, 4), (4, 3), (9, 16), (16, 9), (1, 2), (2, 1), (9, 20), (20, 9), (18, 39), (39, 18)];
/// Sides beyond these take the next class of sizes. `OpenAI`'s usual 1536 is 1k here.
const SIDE_MAX_1K: u64 = 1_536;
const SIDE_MAX_2K: u64 = 2_560;

/// So many pictures can be changed into one.
const PICTURES_MAX: usize = 3;

/// Whether the shape of a picture is the client's to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outline {
    /// It is.
    Said,
    /// It is that of the one picture which is changed.
    OfPicture,
}

/// A client's request as xAI takes it, and the names of what was left out.
///
/// # Errors
/// Names the field that makes no sense, or that this provider cannot do.
pub fn reshape(body: Value<'_>, model: &str) -> Result<(Vec<u8>, Vec<Cow<'static, str>>), Invalid> {
    let mut ignored = Vec::new();
    let mut out = Writer::with_capacity(body.spelt().len() + 128);
    let mut written = Ok(());
    out.object(|out| {
        out.name("model").plain(model);
        for (name, value) in body.members().filter(|(name, value)| &**name != "model" && !value.is_null()) {
            let word = value.as_text();
            let rest = |out: &mut Writer| out.name(&name).value(value);
            written = std::mem::replace(&mut written, Ok(()))
                .and_then(|()| member(&name, word.as_ref(), &mut ignored, (out, rest)));
        }
        let is_said = |name| body.get(name).is_some_and(|value| !value.is_null());
        if !is_said("response_format") {
            // As the models of the endpoint's maker answer, and all others behind it.
            out.name("response_format").plain("b64_json");
        }
        if let Some(size) = body.get("size").filter(|size| !size.is_null()) {
            let are_own = is_said("aspect_ratio") || is_said("resolution");
            if are_own {
                ignored.push("size".into());
            } else {
                written = std::mem::replace(&mut written, Ok(()))
                    .and(size.as_text().ok_or_else(|| Invalid::request("size", "must be a string")))
                    .and_then(|size| self::size(&size, Outline::Said, &mut ignored, out));
            }
        }
    });
    written.map(|()| (out.into_bytes(), ignored))
}

/// A client's form as xAI takes it: JSON with the pictures in data URLs, and the names of what was left out. `body`
/// must be the body of the form.
///
/// # Errors
/// Names the field that makes no sense, or that this provider cannot do.
pub fn reshape_form(form: &Form, body: &[u8], model: &str) -> Result<(Vec<u8>, Vec<Cow<'static, str>>), Invalid> {
    let said = Edit::read(form, body)?;
    let mut ignored = Vec::new();
    let mut out = Writer::with_capacity(said.pictures.iter().map(String::len).sum::<usize>() + 512);
    let mut written = Ok(());
    out.object(|out| {
        out.name("model").plain(model);
        out.name("prompt").text(&said.prompt);
        match &said.pictures[..] {
            [picture] => {
                out.name("image");
                write_picture(picture, out);
            }
            pictures => out.name("images").array(|out| pictures.iter().for_each(|picture| write_picture(picture, out))),
        }
        if let Some(Choice(answers)) = said.answers {
            out.name("n").number(answers);
        }
        let is_own = |name: &str| matches!(name, "aspect_ratio" | "resolution" | "user" | "response_format");
        for (name, word) in &said.words {
            // What xAI does not know it may refuse, and a form's words have no types.
            if !(is_own(name) || matches!(&**name, "size" | "quality" | "background" | "output_format")) {
                ignored.push(Cow::Owned((*name).to_owned()));
                continue;
            }
            let rest = |out: &mut Writer| out.name(name).text(word);
            written = std::mem::replace(&mut written, Ok(()))
                .and_then(|()| member(name, Some(word), &mut ignored, (out, rest)));
        }
        let word = |wanted: &str| said.words.iter().find(|(name, _)| *name == wanted).map(|(_, word)| word);
        if word("response_format").is_none() {
            out.name("response_format").plain("b64_json");
        }
        if let Some(size) = word("size") {
            if word("aspect_ratio").or(word("resolution")).is_some() {
                ignored.push("size".into());
            } else {
                let outline = if said.pictures.len() == 1 { Outline::OfPicture } else { Outline::Said };
                written =
                    std::mem::replace(&mut written, Ok(())).and_then(|()| self::size(size, outline, &mut ignored, out));
            }
        }
    });
    written.map(|()| (out.into_bytes(), ignored))
}

/// What a form says.
struct Edit<'a> {
    prompt: Text<'a>,
    /// As data URLs, in their order.
    pictures: Vec<String>,
    answers: Option<Choice>,
    /// All other fields with their words.
    words: Vec<(&'a str, Text<'a>)>,
}

impl<'a> Edit<'a> {
    fn read(form: &'a Form, body: &'a [u8]) -> Result<Self, Invalid> {
        let (mut prompt, mut answers) = (None, None);
        let (mut pictures, mut words) = (Vec::new(), Vec::new());
        for part in form.parts() {
            let value = body.get(part.value.clone()).unwrap_or_default();
            if part.is_file {
                let (media_type, base64) = form_read::content(part, value)?;
                pictures.push(["data:", media_type, ";base64,", &*base64].concat());
                continue;
            }
            let word = text_of(part, value)?;
            match &*part.name {
                // The model is named by us; streams are refused before.
                "model" | "stream" => {}
                _ if word.is_empty() => {}
                "prompt" => prompt = Some(Text::plain(word)),
                "n" => answers = Some(count(word.parse().ok())?),
                "image" | "image[]" | "mask" => return Err(Invalid::request(&*part.name, "must be a file")),
                name => words.push((name, Text::plain(word))),
            }
        }
        if pictures.is_empty() {
            return Err(Invalid::request("image", "send the picture that is to be changed"));
        }
        if pictures.len() > PICTURES_MAX {
            let message = format!("this model takes at most {PICTURES_MAX} pictures");
            return Err(Invalid::target("image", message));
        }
        let prompt = prompt.filter(|prompt: &Text<'_>| !prompt.is_blank());
        let prompt = prompt.ok_or_else(|| Invalid::request("prompt", "say what the image shall show"))?;
        Ok(Self { prompt, pictures, answers, words })
    }
}

fn write_picture(url: &str, out: &mut Writer) {
    out.object(|out| {
        out.name("url").plain(url);
        out.name("type").plain("image_url");
    });
}

/// One field; `rest` writes it as it is.
fn member(
    name: &str,
    word: Option<&Text<'_>>,
    ignored: &mut Vec<Cow<'static, str>>,
    (out, rest): (&mut Writer, impl FnOnce(&mut Writer)),
) -> Result<(), Invalid> {
    let is = |wanted: &str| word.is_some_and(|word| word.is(wanted));
    match name {
        "size" => {}
        "quality" if is("low") || is("medium") => rest(out),
        "background" if is("transparent") => {
            return Err(Invalid::target("background", "this model has no transparent background; leave it out"));
        }
        "output_format" if is("gif") || is("svg") => {
            return Err(Invalid::target("output_format", "this model makes no such files; leave it out"));
        }
        "quality" | "background" | "output_format" if is("auto") => {}
        "quality" => ignored.push("quality".into()),
        "background" => ignored.push("background".into()),
        "output_format" => ignored.push("output_format".into()),
        _ => rest(out),
    }
    Ok(())
}

fn size(
    size: &Text<'_>,
    outline: Outline,
    ignored: &mut Vec<Cow<'static, str>>,
    out: &mut Writer,
) -> Result<(), Invalid> {
    if size.is("auto") {
        return Ok(());
    }
    let (width, height) = shape::sides(size)
        .ok_or_else(|| Invalid::request("size", "write width and height in pixels, such as \"1024x1536\""))?;
    let (across, down) = shape::nearest(&RATIOS, width, height);
    let longer = width.max(height);
    if width * down != height * across || longer > SIDE_MAX_2K || outline == Outline::OfPicture {
        ignored.push("size".into());
    }
    if outline == Outline::Said {
        out.name("aspect_ratio").plain(&ratio_name(across, down));
    }
    out.name("resolution").plain(if longer > SIDE_MAX_1K { "2k" } else { "1k" });
    Ok(())
}

/// xAI writes one of its ratios with a fraction.
fn ratio_name(across: u64, down: u64) -> Cow<'static, str> {
    match (across, down) {
        (18, 39) => "9:19.5".into(),
        (39, 18) => "19.5:9".into(),
        _ => format!("{across}:{down}").into(),
    }
}
