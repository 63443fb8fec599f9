//! xAI behind the shape of `OpenAI`: sizes become ratios and classes, and what it has no place for is left out.
//!
//! Must not know who asked. What a client says in xAI's own words (`aspect_ratio`, `resolution`) stays as it is.

use std::borrow::Cow;

use crate::translate::ir::Value;
use crate::translate::{Invalid, shape};
use crate::wire::json::Writer;

/// Width and height of the ratios that are offered.
const RATIOS: [(u64, u64); 7] = [(1, 1), (2, 3), (3, 2), (3, 4), (4, 3), (9, 16), (16, 9)];
/// Sides beyond these take the next class of sizes. `OpenAI`'s usual 1536 is 1k here.
const SIDE_MAX_1K: u64 = 1_536;
const SIDE_MAX_2K: u64 = 2_560;

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
            written = std::mem::replace(&mut written, Ok(())).and_then(|()| member(&name, value, &mut ignored, out));
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
                written = std::mem::replace(&mut written, Ok(())).and(self::size(size, &mut ignored, out));
            }
        }
    });
    written.map(|()| (out.into_bytes(), ignored))
}

fn member(name: &str, value: Value<'_>, ignored: &mut Vec<Cow<'static, str>>, out: &mut Writer) -> Result<(), Invalid> {
    let is = |word: &str| value.as_text().is_some_and(|text| text.is(word));
    match name {
        "size" => {}
        "quality" if is("low") || is("medium") => out.name("quality").value(value),
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
        _ => out.name(name).value(value),
    }
    Ok(())
}

fn size(size: Value<'_>, ignored: &mut Vec<Cow<'static, str>>, out: &mut Writer) -> Result<(), Invalid> {
    let text = size.as_text().ok_or_else(|| Invalid::request("size", "must be a string"))?;
    if text.is("auto") {
        return Ok(());
    }
    let (width, height) = shape::sides(&text)
        .ok_or_else(|| Invalid::request("size", "write width and height in pixels, such as \"1024x1536\""))?;
    let (across, down) = shape::nearest(&RATIOS, width, height);
    let longer = width.max(height);
    if width * down != height * across || longer > SIDE_MAX_2K {
        ignored.push("size".into());
    }
    out.name("aspect_ratio").plain(&format!("{across}:{down}"));
    out.name("resolution").plain(if longer > SIDE_MAX_1K { "2k" } else { "1k" });
    Ok(())
}
