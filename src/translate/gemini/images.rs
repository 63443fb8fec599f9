//! `imageConfig`: how pictures are to look, as Gemini says it: by a ratio of the sides and a class of sizes.
//!
//! Must not know who asked. A size that is not offered becomes the nearest one, and that is told.

use super::Notes;
use crate::translate::ir::ImageForm;
use crate::translate::{Invalid, shape};
use crate::wire::json::Writer;

/// Width and height of the ratios that are offered.
const RATIOS: [(u64, u64); 10] = [(1, 1), (2, 3), (3, 2), (3, 4), (4, 3), (4, 5), (5, 4), (9, 16), (16, 9), (21, 9)];
/// Sides beyond these take the next class of sizes. `OpenAI`'s usual 1536 is 1K here.
const SIDE_MAX_1K: u64 = 1_536;
const SIDE_MAX_2K: u64 = 2_560;

/// Writes the field, if there is anything to say.
pub(super) fn write(form: &ImageForm<'_>, notes: &mut Notes, out: &mut Writer) -> Result<(), Invalid> {
    let ImageForm { size, quality, background, output_format } = form;
    if background.as_ref().is_some_and(|background| !background.is("opaque")) {
        return Err(Invalid::target("background", "this model has no transparent background; leave it out"));
    }
    if output_format.as_ref().is_some_and(|format| !format.is("png")) {
        return Err(Invalid::target("output_format", "this model does not choose the kind of file; leave it out"));
    }
    if quality.is_some() {
        notes.ignore("quality");
    }
    let Some(size) = size else { return Ok(()) };
    let (width, height) = shape::sides(size)
        .ok_or_else(|| Invalid::request("size", "write width and height in pixels, such as \"1024x1536\""))?;
    let (across, down) = shape::nearest(&RATIOS, width, height);
    if width * down != height * across {
        notes.ignore("size");
    }
    out.name("imageConfig").object(|out| {
        out.name("aspectRatio").plain(&format!("{across}:{down}"));
        // Not every model knows the field, and 1K is its default.
        let longer = width.max(height);
        if longer > SIDE_MAX_2K {
            out.name("imageSize").plain("4K");
        } else if longer > SIDE_MAX_1K {
            out.name("imageSize").plain("2K");
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::translate::ir::Text;

    #[test]
    fn sizes_become_ratios() {
        for (size, json, is_told) in [
            ("1024x1024", r#"{"imageConfig":{"aspectRatio":"1:1"}}"#, false),
            ("1536x1024", r#"{"imageConfig":{"aspectRatio":"3:2"}}"#, false),
            ("1024x1536", r#"{"imageConfig":{"aspectRatio":"2:3"}}"#, false),
            ("2048x2048", r#"{"imageConfig":{"aspectRatio":"1:1","imageSize":"2K"}}"#, false),
            ("3840x2160", r#"{"imageConfig":{"aspectRatio":"16:9","imageSize":"4K"}}"#, false),
            ("1792x1024", r#"{"imageConfig":{"aspectRatio":"16:9","imageSize":"2K"}}"#, true),
        ] {
            let form = ImageForm { size: Some(Text::plain(size)), ..ImageForm::default() };
            let (mut notes, mut out) = (Notes::default(), Writer::default());
            let mut written = Ok(());
            out.object(|out| written = write(&form, &mut notes, out));
            assert_eq!(written, Ok(()), "{size}");
            assert_eq!(String::from_utf8(out.into_bytes()).unwrap(), json);
            assert_eq!(notes.ignored.contains(&"size".into()), is_told, "{size}");
        }
        for size in ["huge", "0x1", "1x", "1024X1024", "1024x9999999"] {
            let form = ImageForm { size: Some(Text::plain(size)), ..ImageForm::default() };
            assert!(write(&form, &mut Notes::default(), &mut Writer::default()).is_err(), "{size}");
        }
    }

    #[test]
    fn what_it_cannot_make_is_for_another_target() {
        let text = |text| Some(Text::plain(text));
        for form in [
            ImageForm { background: text("transparent"), ..ImageForm::default() },
            ImageForm { output_format: text("webp"), ..ImageForm::default() },
        ] {
            assert!(write(&form, &mut Notes::default(), &mut Writer::default()).is_err(), "{form:?}");
        }
        let mut notes = Notes::default();
        let form = ImageForm { quality: text("high"), background: text("opaque"), ..ImageForm::default() };
        assert_eq!(write(&form, &mut notes, &mut Writer::default()), Ok(()));
        assert_eq!(notes.ignored, ["quality"]);
    }
}
