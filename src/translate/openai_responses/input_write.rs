//! Turns → the input's items.
//!
//! Must not know the rest of a request. What the assistant said in one turn is taken apart: messages, thoughts,
//! calls and results are items of their own, in their order. Instructions stay items where they stand, so that
//! their cache marks do too.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use crate::catalog::Target;
use crate::translate::ir::{
    Blob, BlobKind, CacheTtl, Call, CallKind, Media, Part, PartKind, Request, Role, Source, Text, ToolResult, Turn,
};
use crate::translate::{Invalid, media};
use crate::wire::json::Writer;

/// The longest id of a call that the service takes.
const CALL_ID_BYTES_MAX: usize = 64;
/// So many marks are written; the last ones count.
const MARKS_MAX: usize = 4;
/// What a failed tool's result begins with, since there is no other sign.
const TOOL_ERROR: &str = "[tool error]\\n";

/// Writes the member `input`.
pub(super) fn write(w: &mut Writer, request: &Request<'_>, target: &Target) -> Result<(), Invalid> {
    let marks = if target.model.capabilities.cache_marks { count_marks(request) } else { 0 };
    let has_marks = target.model.capabilities.cache_marks;
    let mut input = Input { target, has_marks, marks_to_skip: marks.saturating_sub(MARKS_MAX) };
    let names_matter = names_matter(&request.turns);
    let mut outcome = Ok(());
    w.name("input").array(|w| {
        outcome = request.turns.iter().try_for_each(|turn| input.turn(w, turn, names_matter));
    });
    outcome
}

fn count_marks(request: &Request<'_>) -> usize {
    let of = |parts: &[Part<'_>]| parts.iter().filter(|part| is_markable(part)).count();
    let turns = request.turns.iter().filter(|turn| turn.role != Role::Assistant);
    turns.flat_map(|turn| &turn.parts).map(|part| of(std::slice::from_ref(part)) + nested_marks(part)).sum()
}

/// Marks within a result; the result's own mark stands on its last part.
fn nested_marks(part: &Part<'_>) -> usize {
    let Some(result) = part.kind.as_result() else { return 0 };
    let inner = result.parts.iter().filter(|part| is_markable(part)).count();
    let own = part.cache.is_some() && result.parts.last().is_some_and(|last| last.cache.is_none());
    inner + usize::from(own)
}

fn is_markable(part: &Part<'_>) -> bool {
    part.cache.is_some() && matches!(part.kind, PartKind::Text(_) | PartKind::Image(_) | PartKind::File(_))
}

/// Names only help where two users are to be told apart.
/// Where a name stood that is not told.
pub(super) fn lost_names(turns: &[Turn<'_>]) -> impl Iterator<Item = Cow<'static, str>> {
    let names_matter = names_matter(turns);
    let is_lost = move |turn: &&Turn<'_>| turn.name.is_some() && !(names_matter && turn.role == Role::User);
    turns.iter().filter(is_lost).map(|turn| Cow::Owned(format!("messages[{}].name", turn.at)))
}

fn names_matter(turns: &[Turn<'_>]) -> bool {
    let mut names = turns.iter().filter(|turn| turn.role == Role::User).filter_map(|turn| turn.name.as_ref());
    let first = names.next();
    names.any(|name| Some(name) != first)
}

/// Writes turn after turn.
struct Input<'t> {
    target: &'t Target,
    has_marks: bool,
    /// Marks that are too many: the first ones.
    marks_to_skip: usize,
}

impl Input<'_> {
    fn turn(&mut self, w: &mut Writer, turn: &Turn<'_>, names_matter: bool) -> Result<(), Invalid> {
        let Turn { role, parts, name, at } = turn;
        let name = name.as_ref().filter(|_| names_matter && *role == Role::User);
        let mut rest = &parts[..];
        while let Some((first, after)) = rest.split_first() {
            if !is_said(first) {
                self.item(w, first, *at)?;
                rest = after;
                continue;
            }
            let count = rest.iter().take_while(|part| is_said(part)).count();
            let (said, after) = rest.split_at(count);
            rest = after;
            if *role == Role::Assistant {
                self.said_by_model(w, said, *at)?;
            } else {
                self.message(w, said, turn, name)?;
            }
        }
        Ok(())
    }

    /// A message of anybody but the model.
    fn message(
        &mut self,
        w: &mut Writer,
        parts: &[Part<'_>],
        turn: &Turn<'_>,
        name: Option<&Text<'_>>,
    ) -> Result<(), Invalid> {
        let role = match turn.role {
            Role::System => r#""system""#,
            Role::Developer => r#""developer""#,
            Role::User | Role::Tool | Role::Assistant => r#""user""#,
        };
        let place = |index: usize| format!("messages[{}].content[{index}]", turn.at);
        let mut outcome = Ok(());
        w.object(|w| {
            w.name("role").raw(role);
            w.name("content");
            outcome = match parts {
                [Part { kind: PartKind::Text(text), cache: None, .. }] => {
                    w.text(&named(name, text));
                    Ok(())
                }
                _ => self.parts(w, parts, name, &place),
            };
        });
        outcome
    }

    fn parts(
        &mut self,
        w: &mut Writer,
        parts: &[Part<'_>],
        name: Option<&Text<'_>>,
        place: &dyn Fn(usize) -> String,
    ) -> Result<(), Invalid> {
        let mut name = name;
        let mut outcome = Ok(());
        w.array(|w| {
            outcome = parts.iter().zip(0..).try_for_each(|(part, index)| {
                let name = if part.kind.as_text().is_some() { name.take() } else { None };
                self.part(w, part, name, &|| place(index))
            });
        });
        outcome
    }

    /// A part of a message or of a result.
    fn part(
        &mut self,
        w: &mut Writer,
        part: &Part<'_>,
        name: Option<&Text<'_>>,
        place: &dyn Fn() -> String,
    ) -> Result<(), Invalid> {
        let Part { kind, cache: _, blob: _ } = part;
        let mut outcome = Ok(());
        w.object(|w| {
            outcome = match kind {
                PartKind::Text(text) | PartKind::Refusal(text) | PartKind::Thought(text) => {
                    w.name("type").raw(r#""input_text""#);
                    w.name("text").text(&named(name, text));
                    Ok(())
                }
                PartKind::Image(media) => self.image(w, media, place),
                PartKind::File(media) => file(w, media, place),
                PartKind::Audio(_) => {
                    Err(Invalid::target(place(), "the model takes no sound through the Responses API"))
                }
                PartKind::Call(_) | PartKind::Result(_) => {
                    Err(Invalid::request(place(), "calls and results have no place inside a result"))
                }
            };
            self.mark(w, part);
        });
        outcome
    }

    /// The cache mark of a part.
    fn mark(&mut self, w: &mut Writer, part: &Part<'_>) {
        let Some(mark) = part.cache.filter(|_| self.has_marks && is_markable(part)) else { return };
        if self.marks_to_skip > 0 {
            self.marks_to_skip -= 1;
            return;
        }
        // Twelve hours cost two and a half times as much: only for who named them.
        w.name("prompt_cache_breakpoint").raw(match mark.0 {
            CacheTtl::M5 | CacheTtl::M30 | CacheTtl::H1 => r#"{"mode":"explicit","ttl":"30m"}"#,
            CacheTtl::H12 => r#"{"mode":"explicit","ttl":"12h"}"#,
        });
    }

    fn image(&self, w: &mut Writer, media: &Media<'_>, place: &dyn Fn() -> String) -> Result<(), Invalid> {
        if !self.target.model.capabilities.vision {
            return Err(Invalid::target(place(), "the model takes no pictures"));
        }
        let Media { source, name: _, detail } = media;
        w.name("type").raw(r#""input_image""#);
        match source {
            Source::Url(url) => w.name("image_url").text(url),
            Source::Inline { media_type, base64 } => w.name("image_url").text(&media::data_url(media_type, base64)),
            Source::Id(_) => return Err(stored(place)),
            Source::Plain(_) => return Err(Invalid::request(place(), "a picture cannot be plain text")),
        }
        match detail {
            Some(detail) => w.name("detail").text(detail),
            None => w.name("detail").raw(r#""auto""#),
        }
        Ok(())
    }

    /// A part that is an item of its own.
    fn item(&mut self, w: &mut Writer, part: &Part<'_>, at: usize) -> Result<(), Invalid> {
        if let PartKind::Thought(text) = &part.kind {
            self.thought(w, text, part.blob.as_ref());
            return Ok(());
        }
        // What came without a thought of its own belongs before the call that it led to.
        self.thought(w, &Text::default(), part.blob.as_ref());
        match &part.kind {
            PartKind::Call(call) => {
                write_call(w, call);
                Ok(())
            }
            PartKind::Result(result) => self.result(w, part, result, at),
            PartKind::Text(_)
            | PartKind::Image(_)
            | PartKind::File(_)
            | PartKind::Audio(_)
            | PartKind::Thought(_)
            | PartKind::Refusal(_) => Ok(()),
        }
    }

    /// A thought that this very model made, or that came from a client of this format. Others are left out: the
    /// service takes no thought without its encrypted content.
    fn thought(&self, w: &mut Writer, text: &Text<'_>, blob: Option<&Blob<'_>>) {
        let Some(Blob { kind: BlobKind::ResponsesEncrypted, token, maker }) = blob else { return };
        let (provider, model) = (&self.target.provider, &self.target.model);
        let is_own = maker
            .as_ref()
            .is_none_or(|maker| *maker.provider == *provider.id && *maker.model == *model.provider_model_id);
        if !is_own {
            return;
        }
        w.object(|w| {
            w.name("type").raw(r#""reasoning""#);
            w.name("summary").array(|w| {
                if !text.is_empty() {
                    super::items::write_summary(w, text.spelt());
                }
            });
            w.name("encrypted_content").text(token);
        });
    }

    /// What the model said: texts and refusals, and pictures that it made.
    fn said_by_model(&mut self, w: &mut Writer, parts: &[Part<'_>], at: usize) -> Result<(), Invalid> {
        for (part, index) in parts.iter().zip(0_usize..) {
            self.thought(w, &Text::default(), part.blob.as_ref());
            let place = || format!("messages[{at}].content[{index}]");
            match &part.kind {
                // Texts beside calls are often empty; a message of nothing is none.
                PartKind::Text(text) if text.is_empty() => {}
                PartKind::Text(text) => w.object(|w| {
                    w.name("role").raw(r#""assistant""#);
                    w.name("content").text(text);
                }),
                PartKind::Refusal(text) => w.object(|w| {
                    w.name("type").raw(r#""message""#);
                    w.name("role").raw(r#""assistant""#);
                    w.name("content").array(|w| {
                        w.object(|w| {
                            w.name("type").raw(r#""refusal""#);
                            w.name("refusal").text(text);
                        });
                    });
                }),
                PartKind::Image(Media { source: Source::Inline { media_type, base64 }, .. }) => {
                    let id = format!("ig_{at}_{index}");
                    super::items::write_image(w, &id, media_type, base64);
                }
                PartKind::Image(_) | PartKind::File(_) | PartKind::Audio(_) => {
                    return Err(Invalid::target(place(), "the model takes back none but pictures that it made itself"));
                }
                PartKind::Call(_) | PartKind::Result(_) | PartKind::Thought(_) => {}
            }
        }
        Ok(())
    }

    fn result(&mut self, w: &mut Writer, part: &Part<'_>, result: &ToolResult<'_>, at: usize) -> Result<(), Invalid> {
        let ToolResult { id, parts, is_error, kind } = result;
        let place = |index: usize| format!("messages[{at}].content[{index}]");
        let unnamed = None;
        let parts = with_mark(part, parts, self.has_marks);
        let mut outcome = Ok(());
        w.object(|w| {
            w.name("type").raw(match kind {
                CallKind::Function => r#""function_call_output""#,
                CallKind::Custom => r#""custom_tool_call_output""#,
            });
            w.name("call_id").text(&call_id(id));
            w.name("output");
            outcome = match &*parts {
                [] => {
                    w.text(&Text::spelt_as(if *is_error { TOOL_ERROR } else { "" }));
                    Ok(())
                }
                [Part { kind: PartKind::Text(text), cache, .. }] if cache.is_none() || !self.has_marks => {
                    w.text(&if *is_error { Text::spelt_as(TOOL_ERROR).followed_by(text) } else { text.by_ref() });
                    Ok(())
                }
                parts if *is_error => {
                    let sign = Part::from(PartKind::Text(Text::spelt_as(TOOL_ERROR)));
                    let marked: Vec<_> = std::iter::once(sign).chain(parts.iter().cloned()).collect();
                    self.parts(w, &marked, unnamed, &|index| place(index.saturating_sub(1)))
                }
                parts => self.parts(w, parts, unnamed, &place),
            };
        });
        outcome
    }
}

/// The parts of a result, its own mark on the last one.
fn with_mark<'r, 'a>(part: &Part<'_>, parts: &'r [Part<'a>], has_marks: bool) -> Cow<'r, [Part<'a>]> {
    let mut parts = Cow::Borrowed(parts);
    if part.cache.is_some()
        && has_marks
        && parts.last().is_some_and(|last| last.cache.is_none())
        && let Some(last) = parts.to_mut().last_mut()
    {
        last.cache = part.cache;
    }
    parts
}

fn write_call(w: &mut Writer, call: &Call<'_>) {
    let Call { id, name, kind, arguments } = call;
    w.object(|w| match kind {
        CallKind::Function => {
            w.name("type").raw(r#""function_call""#);
            w.name("call_id").text(&call_id(id));
            w.name("name").text(name);
            let is_empty = arguments.trim_ascii().is_empty();
            w.name("arguments").plain(if is_empty { "{}" } else { arguments });
        }
        CallKind::Custom => {
            w.name("type").raw(r#""custom_tool_call""#);
            w.name("call_id").text(&call_id(id));
            w.name("name").text(name);
            w.name("input").plain(arguments);
        }
    });
}

/// The id of a call as the service takes it: the same for the call and its result.
fn call_id<'a>(id: &'a Text<'_>) -> Text<'a> {
    const HASH_BYTES: usize = 16;
    let spelt = id.spelt();
    if (1..=CALL_ID_BYTES_MAX).contains(&spelt.len()) && spelt.bytes().all(|b| b.is_ascii_graphic() && b != b'\\') {
        return id.by_ref();
    }
    let hash = Sha256::digest(spelt.as_bytes());
    let number = hash.iter().take(HASH_BYTES).fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    Text::spelt_as(format!("call_{number:032x}"))
}

/// Whether a part is said in a message, rather than an item of its own.
fn is_said(part: &Part<'_>) -> bool {
    match part.kind {
        PartKind::Text(_) | PartKind::Image(_) | PartKind::File(_) | PartKind::Audio(_) | PartKind::Refusal(_) => true,
        PartKind::Call(_) | PartKind::Result(_) | PartKind::Thought(_) => false,
    }
}

fn named<'a>(name: Option<&Text<'_>>, text: &'a Text<'_>) -> Text<'a> {
    match name {
        Some(name) => Text::spelt_as([name.spelt(), ": ", text.spelt()].concat()),
        None => text.by_ref(),
    }
}

fn file(w: &mut Writer, document: &Media<'_>, place: &dyn Fn() -> String) -> Result<(), Invalid> {
    let Media { source, name, detail: _ } = document;
    if let (Source::Plain(_), Some(words)) = (source, media::words(document)) {
        w.name("type").raw(r#""input_text""#);
        w.name("text").text(&words);
        return Ok(());
    }
    w.name("type").raw(r#""input_file""#);
    match source {
        Source::Url(url) => w.name("file_url").text(url),
        Source::Inline { media_type, base64 } => {
            // A file's content needs a name beside it.
            match name {
                Some(name) => w.name("filename").text(name),
                None if media_type.is("application/pdf") => w.name("filename").raw(r#""document.pdf""#),
                None => w.name("filename").raw(r#""document""#),
            }
            w.name("file_data").text(&media::data_url(media_type, base64));
        }
        Source::Id(_) => return Err(stored(place)),
        Source::Plain(_) => {}
    }
    Ok(())
}

fn stored(place: &dyn Fn() -> String) -> Invalid {
    Invalid::target(place(), "files stored at a provider cannot be named here; send the content or an address")
}
