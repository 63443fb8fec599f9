//! What cannot be said to this target is refused before anything is written.
//!
//! Must not write. Whatever passes here, the writer can say.

use super::place::Place;
use crate::base::wire_format::WireFormat;
use crate::catalog::{Capabilities, Target};
use crate::translate::Invalid;
use crate::translate::ir::{
    Choice, Media, Part, PartKind, Request, Sampling, Source, Text, Tool, ToolChoice, ToolKind, Turn, Value,
};
use crate::translate::media;
use crate::wire::json::Kind;

/// What Anthropic takes as a picture.
pub(super) const PICTURES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];
/// The longest name of a tool.
pub(super) const NAME_BYTES_MAX: usize = 128;
/// The media type of PDF.
pub(super) const PDF: &str = "application/pdf";

/// Checks all of a request.
pub(super) fn check(request: &Request<'_>, target: &Target) -> Result<(), Invalid> {
    let capabilities = &target.model.capabilities;
    let refuse = |field: &'static str, message: &'static str| Err(Invalid::target(field, message));
    if request.choices != Choice(1) {
        return refuse("n", "this model gives one answer a request; leave n out, or send several requests");
    }
    if request.logprobs.is_some() {
        return refuse("logprobs", "this model gives no log probabilities; leave the field out");
    }
    let Sampling { temperature: _, top_p: _, top_k: _, frequency_penalty: _, presence_penalty: _, seed: _, logit_bias } =
        &request.sampling;
    if logit_bias.is_some_and(|bias| bias.members().next().is_some()) {
        return refuse("logit_bias", "this model cannot be biased by token; leave the field out");
    }
    if request.wants_images {
        return refuse("modalities", "this model makes no pictures; ask for text, or for an image model");
    }
    if !capabilities.tools && !request.tools.is_empty() {
        return refuse("tools", "this model knows no tools");
    }
    request.tools.iter().try_for_each(check_tool)?;
    check_choice(request, capabilities)?;
    request.turns.iter().try_for_each(|turn| check_turn(turn, capabilities))
}

fn check_tool(tool: &Tool<'_>) -> Result<(), Invalid> {
    let place = Place::element("tools", tool.at);
    match &tool.kind {
        ToolKind::BuiltIn { format: WireFormat::AnthropicMessages, .. } => Ok(()),
        ToolKind::Function { .. } | ToolKind::Custom { grammar: None } => check_name(tool),
        ToolKind::Custom { grammar: Some(_) } => {
            Err(place.inner("format").unsuited("this model follows no grammar; make it a function, or leave it out"))
        }
        ToolKind::BuiltIn { .. } => {
            let message = format!("the tool \"{}\" is of another provider; leave it out", tool.name.to_plain());
            Err(place.inner("type").unsuited(message))
        }
    }
}

fn check_name(tool: &Tool<'_>) -> Result<(), Invalid> {
    let name = tool.name.spelt();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(fits) {
        return Ok(());
    }
    let message = "the name must be 1 to 128 letters, digits, hyphens and underscores for this model";
    Err(Place::element("tools", tool.at).inner("name").unsuited(message))
}

fn check_choice(request: &Request<'_>, capabilities: &Capabilities) -> Result<(), Invalid> {
    let is_known = |name: &Text<'_>| request.tools.iter().any(|tool| tool.name == *name);
    let (is_forced, names) = match &request.tool_choice {
        None | Some(ToolChoice::Auto | ToolChoice::None) => (false, &[][..]),
        Some(ToolChoice::Required) => (true, &[][..]),
        Some(ToolChoice::Named(name)) => (true, std::slice::from_ref(name)),
        Some(ToolChoice::Allowed { is_required, names }) => (*is_required, &names[..]),
    };
    if request.tools.is_empty() {
        return Ok(());
    }
    if let Some(unknown) = names.iter().find(|name| !is_known(name)) {
        let message = format!("the tool \"{}\" is not among tools", unknown.to_plain());
        return Err(Invalid::request("tool_choice", message));
    }
    if is_forced && !capabilities.forced_tool_choice {
        return Err(Invalid::target("tool_choice", "this model cannot be forced to call a tool; use \"auto\""));
    }
    Ok(())
}

fn check_turn(turn: &Turn<'_>, capabilities: &Capabilities) -> Result<(), Invalid> {
    let place = Place::element("messages", turn.at);
    turn.parts
        .iter()
        .enumerate()
        .try_for_each(|(at, part)| check_part(part, &place.inner_element("content", at), capabilities))
}

fn check_part(part: &Part<'_>, place: &Place<'_>, capabilities: &Capabilities) -> Result<(), Invalid> {
    match &part.kind {
        PartKind::Image(_) if !capabilities.vision => Err(place.unsuited("this model does not see pictures")),
        PartKind::Image(media) | PartKind::File(media) => check_media(media, place, capabilities),
        PartKind::Audio(_) => Err(place.unsuited("this model does not listen; send the words as text")),
        PartKind::Result(result) => result
            .parts
            .iter()
            .enumerate()
            .try_for_each(|(at, part)| check_part(part, &place.inner_element("content", at), capabilities)),
        PartKind::Text(_) | PartKind::Call(_) | PartKind::Thought(_) | PartKind::Refusal(_) => Ok(()),
    }
}

/// What a picture or a document is to Anthropic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// An `image` block.
    Picture,
    /// A `document` block.
    Pdf,
    /// A `document` block of this text.
    Words(Text<'static>),
    /// Nothing.
    Unknown,
}

/// The shape of content in base64.
pub(super) fn shape(media_type: &Text<'_>, base64: &Text<'_>) -> Shape {
    match media_type.spelt() {
        PDF => Shape::Pdf,
        kind if PICTURES.contains(&kind) => Shape::Picture,
        kind if kind.starts_with("image/") || kind.starts_with("audio/") || kind.starts_with("video/") => {
            Shape::Unknown
        }
        _ => media::decoded_text(base64).map_or(Shape::Unknown, Shape::Words),
    }
}

fn check_media(media: &Media<'_>, place: &Place<'_>, capabilities: &Capabilities) -> Result<(), Invalid> {
    match &media.source {
        Source::Id(_) => Err(place.unsuited("a file id is known to one provider only; send the content itself")),
        Source::Url(_) | Source::Plain(_) => Ok(()),
        Source::Inline { media_type, base64 } => match shape(media_type, base64) {
            Shape::Picture if !capabilities.vision => Err(place.unsuited("this model does not see pictures")),
            Shape::Pdf if !capabilities.pdf => Err(place.unsuited("this model does not read PDF; send the text")),
            Shape::Unknown => {
                let message = format!("{} is not taken; send JPEG, PNG, GIF, WebP, PDF or text", media_type.to_plain());
                Err(place.unsuited(message))
            }
            Shape::Picture | Shape::Pdf | Shape::Words(_) => Ok(()),
        },
    }
}

/// Whether the conversation's schema can be a tool's: those take objects.
pub(super) fn is_object_schema(schema: Value<'_>) -> bool {
    schema.kind() == Kind::Object
        && schema.get("type").is_none_or(|kind| kind.as_text().is_some_and(|kind| kind.is("object")))
}
