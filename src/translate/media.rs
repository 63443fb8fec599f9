//! Pictures and documents: data URLs, base64, and what the first bytes say that they are.
//!
//! Must not know where a format carries them, and never fetches anything: an address stays an address.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::ir::{Media, Source, Text};

/// What a data URL begins with.
const DATA: &str = "data:";
/// The media type of what says nothing of itself.
const UNKNOWN: &str = "application/octet-stream";
/// So many characters of base64 are eighteen bytes: all marks that are looked for lie within.
const SNIFFED_CHARS: usize = 24;
/// Takes base64 with its padding and without.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A data URL that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDataUrl {
    /// There is no comma between its head and its content.
    #[error("is a data URL without a comma; write data:<media type>;base64,<data>")]
    NoComma,
    /// Its content is not base64.
    #[error("is a data URL that is not base64; write data:<media type>;base64,<data>")]
    NotBase64,
    /// There is nothing in it.
    #[error("is a data URL without any data")]
    Empty,
}

/// Where a picture or a document is: an address, or the content itself if it is a data URL.
///
/// # Errors
/// When it is a data URL that is cut, empty or not base64.
pub fn source(url: Text<'_>) -> Result<Source<'_>, BadDataUrl> {
    // A scheme is ASCII and is not spelt with escapes by anybody.
    if !url.spelt().get(..DATA.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(DATA)) {
        return Ok(Source::Url(url));
    }
    match url.into_plain() {
        Cow::Borrowed(plain) => from_data_url(plain),
        Cow::Owned(plain) => from_data_url(&plain).map(into_owned),
    }
}

fn from_data_url(url: &str) -> Result<Source<'_>, BadDataUrl> {
    let (head, content) = url.get(DATA.len()..).and_then(|rest| rest.split_once(',')).ok_or(BadDataUrl::NoComma)?;
    let mut parameters = head.split(';');
    let media_type = parameters.next().unwrap_or_default().trim();
    if !parameters.any(|parameter| parameter.trim().eq_ignore_ascii_case("base64")) {
        return Err(BadDataUrl::NotBase64);
    }
    if content.is_empty() {
        return Err(BadDataUrl::Empty);
    }
    Ok(inline(Text::plain(media_type), Text::plain(content)))
}

fn into_owned(source: Source<'_>) -> Source<'static> {
    match source {
        Source::Url(url) => Source::Url(url.into_owned()),
        Source::Inline { media_type, base64 } => {
            Source::Inline { media_type: media_type.into_owned(), base64: base64.into_owned() }
        }
        Source::Plain(text) => Source::Plain(text.into_owned()),
        Source::Id(id) => Source::Id(id.into_owned()),
    }
}

/// Content in base64 with its media type put right: by its first bytes where they tell, since providers refuse a
/// picture under a wrong name; else as the client says.
pub fn inline<'a>(media_type: Text<'a>, base64: Text<'a>) -> Source<'a> {
    let base64 = standard(base64);
    let media_type = match sniff(base64.spelt()) {
        Some(sniffed) if media_type.spelt() != sniffed => Text::plain(sniffed),
        None if media_type.is("image/jpg") => Text::plain("image/jpeg"),
        None if media_type.is_empty() => Text::plain(UNKNOWN),
        Some(_) | None => media_type,
    };
    Source::Inline { media_type, base64 }
}

/// A file's content as clients send it: a data URL, or bare base64 whose kind its bytes or its name tell.
///
/// # Errors
/// When it is a data URL that is cut, empty or not base64.
pub fn file<'a>(content: Text<'a>, name: Option<&Text<'_>>) -> Result<Source<'a>, BadDataUrl> {
    if content.is_empty() {
        return Err(BadDataUrl::Empty);
    }
    if content.spelt().contains(':') {
        return source(content);
    }
    let media_type = name.map(Text::to_plain).and_then(|name| by_name(&name)).unwrap_or_default();
    Ok(inline(Text::plain(media_type), content))
}

/// In the standard alphabet, without line breaks.
fn standard(base64: Text<'_>) -> Text<'_> {
    // Raw line breaks cannot stand in JSON, and nobody sends blanks: megabytes are only looked through for these.
    if memchr::memchr3(b'-', b'_', b'\\', base64.spelt().as_bytes()).is_none() {
        return base64;
    }
    let plain = base64.to_plain();
    let clean = plain.chars().filter(|c| !c.is_whitespace()).map(|c| match c {
        '-' => '+',
        '_' => '/',
        c => c,
    });
    Text::plain(clean.collect::<String>())
}

/// The media type that the first bytes tell, of the kinds that models take.
pub fn sniff(base64: &str) -> Option<&'static str> {
    let head = base64.as_bytes().get(..SNIFFED_CHARS).unwrap_or(base64.as_bytes());
    let mut room = [0; SNIFFED_CHARS];
    let decoded = LENIENT.decode_slice(head, &mut room).ok()?;
    match room.get(..decoded)? {
        [0x89, b'P', b'N', b'G', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        [b'%', b'P', b'D', b'F', ..] => Some("application/pdf"),
        _ => None,
    }
}

/// The media type that a file's name tells.
pub fn by_name(name: &str) -> Option<&'static str> {
    let (_, ending) = name.rsplit_once('.')?;
    let known = [
        ("pdf", "application/pdf"),
        ("png", "image/png"),
        ("jpg", "image/jpeg"),
        ("jpeg", "image/jpeg"),
        ("gif", "image/gif"),
        ("webp", "image/webp"),
        ("txt", "text/plain"),
        ("md", "text/markdown"),
        ("csv", "text/csv"),
        ("html", "text/html"),
        ("json", "application/json"),
        ("xml", "application/xml"),
    ];
    known.iter().find(|(known, _)| ending.eq_ignore_ascii_case(known)).map(|(_, media_type)| *media_type)
}

/// Content in base64 as a data URL.
pub fn data_url(media_type: &Text<'_>, base64: &Text<'_>) -> Text<'static> {
    Text::spelt_as([DATA, media_type.spelt(), ";base64,", base64.spelt()].concat())
}

/// A document that is text, as words: its name, if it has one, stands in the first line.
pub fn words<'r>(document: &'r Media<'_>) -> Option<Text<'r>> {
    let Media { source, name, detail: _ } = document;
    let words = match source {
        Source::Plain(text) => text.by_ref(),
        Source::Inline { media_type, base64 } if media_type.spelt().starts_with("text/") => decoded_text(base64)?,
        Source::Inline { .. } | Source::Url(_) | Source::Id(_) => return None,
    };
    Some(match name.as_ref().filter(|name| !name.is_empty()) {
        Some(name) => Text::spelt_as([name.spelt(), r"\n", words.spelt()].concat()),
        None => words,
    })
}

/// The text of a document that is text in base64; `None` where it is not UTF-8.
pub fn decoded_text(base64: &Text<'_>) -> Option<Text<'static>> {
    let bytes = LENIENT.decode(base64.spelt()).ok()?;
    String::from_utf8(bytes).ok().map(Text::plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAE=";

    fn shown(source: Result<Source<'_>, BadDataUrl>) -> String {
        match source {
            Ok(Source::Inline { media_type, base64 }) => format!("{} {}", media_type.spelt(), base64.spelt()),
            Ok(Source::Url(url)) => format!("url {}", url.spelt()),
            Ok(other) => format!("{other:?}"),
            Err(error) => format!("{error:?}"),
        }
    }

    #[test]
    fn data_urls_are_taken_apart_and_put_right() {
        for (url, expected) in [
            ("https://a.example/x.png", "url https://a.example/x.png".to_owned()),
            ("data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAE=", format!("image/png {PNG}")),
            // A wrong name, a parameter before the marker, capitals, and the slash as PHP spells it.
            ("data:image/jpeg;charset=utf-8;BASE64,iVBORw0KGgoAAAANSUhEUgAAAAE=", format!("image/png {PNG}")),
            ("DATA:image\\/jpg;base64,AAAA", "image/jpeg AAAA".to_owned()),
            ("data:;base64,AAAA", "application/octet-stream AAAA".to_owned()),
            ("data:application/pdf;base64,AA-_\\nAA", "application/pdf AA+/AA".to_owned()),
            ("data:text/plain,hello", "NotBase64".to_owned()),
            ("data:image/png;base64", "NoComma".to_owned()),
            ("data:image/png;base64,", "Empty".to_owned()),
        ] {
            assert_eq!(shown(source(Text::spelt_as(url))), expected, "{url}");
        }
    }

    #[test]
    fn files_tell_their_kind_by_bytes_or_by_name() {
        let name = Text::plain("notes.MD");
        for (content, name, expected) in [
            ("JVBERi0xLjQK", None, "application/pdf JVBERi0xLjQK"),
            ("aGVsbG8=", Some(&name), "text/markdown aGVsbG8="),
            ("data:text/csv;base64,YSxi", Some(&name), "text/csv YSxi"),
            ("", None, "Empty"),
        ] {
            assert_eq!(shown(file(Text::plain(content), name)), expected, "{content}");
        }
        assert_eq!(decoded_text(&Text::plain("aGVsbG8=")), Some(Text::plain("hello")));
        assert_eq!(decoded_text(&Text::plain("aGVsbG8")), Some(Text::plain("hello")));
        assert_eq!(decoded_text(&Text::plain("/w==")), None);
    }

    #[test]
    fn first_bytes_tell() {
        for (base64, expected) in [
            (PNG, Some("image/png")),
            ("/9j/4AAQ", Some("image/jpeg")),
            ("R0lGODlh", Some("image/gif")),
            ("UklGRgAAAABXRUJQ", Some("image/webp")),
            ("aGVsbG8=", None),
            ("", None),
        ] {
            assert_eq!(sniff(base64), expected, "{base64}");
        }
        assert_eq!(data_url(&Text::plain("image/png"), &Text::plain("AA")).spelt(), "data:image/png;base64,AA");
    }
}
