//! The parts of a message for a host of Chat Completions: text, pictures, files, sound, and marks for the cache.
//!
//! Must not know who speaks.

use super::dialect::{Feature, MarkSpelling};
use super::request_write::Job;
use super::spelling::{address_of, write_spelt};
use crate::translate::ir::{CacheMark, CacheTtl, Media, Part, PartKind, Source, Text};
use crate::translate::{Invalid, media};
use crate::wire::json::Writer;

/// How many marks a provider heeds; more are refused.
const MARKS_MAX: usize = 4;
/// The name of a file that has none: the host wants one, and a telling one could mislead the model.
const UNNAMED_FILE: &str = "document";

/// Refuses what the target cannot be shown.
pub(super) fn check(job: &Job<'_, '_>, part: &Part<'_>, (at, i): (usize, usize)) -> Result<(), Invalid> {
    let capabilities = job.target.model.capabilities;
    let path = |member: &str| format!("messages[{at}].content[{i}].{member}");
    let refused = |member: &str, message: &'static str| Err(Invalid::target(path(member), message));
    // The clients' formats have each a name of their own for it.
    let stored = |message: &'static str| Err(Invalid::target(format!("messages[{at}].content[{i}]"), message));
    match &part.kind {
        PartKind::Image(_) if !capabilities.vision => {
            refused("image_url", "this model sees no pictures; leave the picture out, or use another model")
        }
        PartKind::Image(image) => match image.source {
            Source::Url(_) if !job.has(Feature::ImageUrls) => {
                refused("image_url", "this model's provider fetches no pictures; send the picture as a data URL")
            }
            Source::Url(_) | Source::Inline { .. } => Ok(()),
            Source::Id(_) | Source::Plain(_) => {
                stored("a picture stored at one provider is unknown to others; send it as a data URL")
            }
        },
        PartKind::File(file) => match file.source {
            Source::Plain(_) => Ok(()),
            Source::Inline { .. } if media::words(file).is_some() => Ok(()),
            Source::Inline { .. } if capabilities.pdf && job.has(Feature::Files) => Ok(()),
            Source::Inline { .. } => refused("file", "this model reads no files; send their text instead"),
            Source::Url(_) => refused("file", "this model's provider fetches no files; send the file inline"),
            Source::Id(_) => stored("a file stored at one provider is unknown to others; send it inline"),
        },
        PartKind::Audio(audio) if !capabilities.audio || audio_format(audio).is_none() => {
            refused("input_audio", "this model takes no sound of this kind; send a transcript, or use another model")
        }
        PartKind::Audio(_)
        | PartKind::Text(_)
        | PartKind::Call(_)
        | PartKind::Result(_)
        | PartKind::Thought(_)
        | PartKind::Refusal(_) => Ok(()),
    }
}

/// A guess at the bytes of a part.
pub(super) fn size(part: &Part<'_>) -> usize {
    match &part.kind {
        PartKind::Text(text) => text.spelt().len(),
        PartKind::Image(media) | PartKind::File(media) | PartKind::Audio(media) => match &media.source {
            Source::Url(text) | Source::Plain(text) | Source::Id(text) => text.spelt().len(),
            Source::Inline { base64, .. } => base64.spelt().len(),
        },
        PartKind::Call(_) | PartKind::Result(_) | PartKind::Thought(_) | PartKind::Refusal(_) => 0,
    }
}

/// Which marks for the cache are written: the last few, where model and host know them at all.
pub(super) struct Marks {
    spelling: MarkSpelling,
    /// How many of the coming marks are left out.
    skipped: usize,
}

impl Marks {
    pub(super) fn new(job: &Job<'_, '_>) -> Self {
        let is_known = job.target.model.capabilities.cache_marks;
        let spelling = if is_known { job.host.marks } else { MarkSpelling::None };
        if spelling == MarkSpelling::None {
            return Self { spelling, skipped: 0 };
        }
        let marked = |parts: &[Part<'_>]| parts.iter().filter(|part| part.cache.is_some()).count();
        let in_part = |part: &Part<'_>| {
            let inner = part.kind.as_result().map_or(0, |result| marked(&result.parts));
            usize::from(part.cache.is_some()) + inner
        };
        let all: usize = job.request.turns.iter().flat_map(|turn| &turn.parts).map(in_part).sum();
        Self { spelling, skipped: all.saturating_sub(MARKS_MAX) }
    }

    /// Whether this mark is written.
    fn take(&mut self, mark: Option<CacheMark>) -> Option<CacheMark> {
        let mark = mark.filter(|_| self.spelling != MarkSpelling::None)?;
        if self.skipped > 0 {
            self.skipped -= 1;
            return None;
        }
        Some(mark)
    }

    /// Counts marks for which there is no place.
    pub(super) fn pass_over(&mut self, parts: &[Part<'_>], mark: Option<CacheMark>) {
        parts.iter().map(|part| part.cache).chain([mark]).for_each(|mark| {
            self.take(mark);
        });
    }

    fn write(&self, mark: CacheMark, w: &mut Writer) {
        match self.spelling {
            MarkSpelling::None => {}
            MarkSpelling::Breakpoint => {
                // An hour becomes half of one: twelve would cost twice as much.
                let ttl = if mark.0 == CacheTtl::H12 { "12h" } else { "30m" };
                w.name("prompt_cache_breakpoint").object(|w| {
                    w.name("mode").plain("explicit");
                    w.name("ttl").plain(ttl);
                });
            }
            MarkSpelling::CacheControl => w.name("cache_control").object(|w| {
                w.name("type").plain("ephemeral");
                if matches!(mark.0, CacheTtl::H1 | CacheTtl::H12) {
                    w.name("ttl").plain("1h");
                }
            }),
        }
    }
}

/// The content of one message.
pub(super) struct Content<'r, 'a> {
    parts: Vec<&'r Part<'a>>,
    /// The mark of the whole, which stands on its last part.
    mark: Option<CacheMark>,
}

impl<'r, 'a> Content<'r, 'a> {
    pub(super) fn new(parts: impl Iterator<Item = &'r Part<'a>>) -> Self {
        Self { parts: parts.collect(), mark: None }
    }

    /// What a tool came to.
    pub(super) fn of_result(parts: &'r [Part<'a>], mark: Option<CacheMark>) -> Self {
        Self { parts: parts.iter().collect(), mark }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Writes it as a string where it is one text, or where the host wants one; `joint` stands between its texts
    /// then.
    pub(super) fn write(&self, job: &Job<'_, '_>, marks: &mut Marks, w: &mut Writer, joint: &str) {
        let is_marked = self.mark.is_some() || self.parts.iter().any(|part| part.cache.is_some());
        let texts: Option<Vec<Text<'_>>> = self.parts.iter().map(|part| text_of(part)).collect();
        let needs_list = is_marked && marks.spelling != MarkSpelling::None;
        match texts {
            Some(texts) if !needs_list && (texts.len() < 2 || !job.has(Feature::PartLists)) => match &texts[..] {
                [text] => w.text(text),
                texts => write_spelt(w, &texts.iter().map(Text::spelt).collect::<Vec<_>>().join(joint)),
            },
            _ => w.array(|w| {
                for (i, part) in self.parts.iter().enumerate() {
                    let mark = marks.take(part.cache);
                    let is_last = i + 1 == self.parts.len();
                    let whole = if is_last { marks.take(self.mark) } else { None };
                    write_part(w, part, mark.or(whole).map(|mark| (&*marks, mark)));
                }
            }),
        }
    }
}

/// The words of a part that is text.
pub(super) fn text_of<'r>(part: &'r Part<'_>) -> Option<Text<'r>> {
    match &part.kind {
        PartKind::Text(text) | PartKind::Refusal(text) => Some(text.by_ref()),
        PartKind::File(document) => media::words(document),
        PartKind::Image(_) | PartKind::Audio(_) | PartKind::Call(_) | PartKind::Result(_) | PartKind::Thought(_) => {
            None
        }
    }
}

/// A text without a mark.
pub(super) fn write_text(w: &mut Writer, text: &Text<'_>) {
    w.object(|w| {
        w.name("type").plain("text");
        w.name("text").text(text);
    });
}

/// A part without its mark.
pub(super) fn write_bare(w: &mut Writer, part: &Part<'_>) {
    write_part(w, part, None);
}

fn write_part(w: &mut Writer, part: &Part<'_>, mark: Option<(&Marks, CacheMark)>) {
    let kind = match &part.kind {
        PartKind::Image(_) => "image_url",
        PartKind::Audio(_) => "input_audio",
        PartKind::File(document) if media::words(document).is_none() => "file",
        PartKind::Text(_) | PartKind::File(_) | PartKind::Refusal(_) | PartKind::Thought(_) => "text",
        PartKind::Call(_) | PartKind::Result(_) => return,
    };
    w.object(|w| {
        w.name("type").plain(kind);
        w.name(kind);
        match &part.kind {
            PartKind::Image(image) => write_image(w, image),
            PartKind::Audio(audio) => write_audio(w, audio),
            PartKind::File(file) if kind == "file" => write_file(w, file),
            PartKind::File(_)
            | PartKind::Text(_)
            | PartKind::Refusal(_)
            | PartKind::Thought(_)
            | PartKind::Call(_)
            | PartKind::Result(_) => w.text(&text_of(part).unwrap_or_default()),
        }
        if let Some((marks, mark)) = mark {
            marks.write(mark, w);
        }
    });
}

fn write_image(w: &mut Writer, image: &Media<'_>) {
    w.object(|w| {
        w.name("url");
        write_spelt(w, &address_of(image).unwrap_or_default());
        if let Some(detail) = &image.detail {
            w.name("detail").text(detail);
        }
    });
}

fn write_file(w: &mut Writer, file: &Media<'_>) {
    w.object(|w| {
        w.name("filename");
        match &file.name {
            Some(name) => w.text(name),
            None => w.plain(UNNAMED_FILE),
        }
        w.name("file_data");
        write_spelt(w, &address_of(file).unwrap_or_default());
    });
}

fn write_audio(w: &mut Writer, audio: &Media<'_>) {
    let Source::Inline { base64, .. } = &audio.source else { return w.null() };
    w.object(|w| {
        w.name("data").text(base64);
        w.name("format").plain(audio_format(audio).unwrap_or("wav"));
    });
}

/// What the format calls this kind of sound.
fn audio_format(audio: &Media<'_>) -> Option<&'static str> {
    let Source::Inline { media_type, .. } = &audio.source else { return None };
    match media_type.spelt() {
        "audio/wav" | "audio/x-wav" | "audio/wave" => Some("wav"),
        "audio/mpeg" | "audio/mp3" => Some("mp3"),
        _ => None,
    }
}
