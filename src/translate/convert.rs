//! Any client format to any provider format: picks the reader and the writer.
//!
//! Must not translate anything itself. Where both formats are the same the bytes pass untouched, but for seals of ours.

use std::borrow::Cow;

use super::envelope::Envelope;
use super::ir::{Event, Request, ToolChoice};
use super::unseal::{self, Edits, Unsealed};
use super::{
    Closing, Invalid, Overflow, Sink, View, Written, anthropic, gemini, names, openai_chat, openai_images,
    openai_responses, order,
};
use crate::base::wire_format::WireFormat;
use crate::catalog::Target;
use crate::catalog::provider::Dialect;
use crate::wire::head::Head;
use crate::wire::json::{Document, Value};
use crate::wire::multipart::Form;
use crate::wire::usage::UsageQuirks;

/// A client's request in the format of a target.
///
/// # Errors
/// Names the field that makes no sense, or for which the target has no place.
pub fn request(
    body: &[u8],
    client: WireFormat,
    envelope: &Envelope,
    target: &Target,
    format: WireFormat,
) -> Result<Written, Invalid> {
    let body =
        Document::parse(body).map_err(|error| Invalid::request("", format!("the body is not valid JSON: {error}")))?;
    let body = body.root();
    let request = match client {
        WireFormat::OpenaiChat => openai_chat::read_request(body, envelope),
        WireFormat::OpenaiResponses => openai_responses::read_request(body, envelope),
        WireFormat::AnthropicMessages => anthropic::read_request(body, envelope),
        WireFormat::OpenaiImages => openai_images::read_request(body),
        WireFormat::GeminiGenerate
        | WireFormat::BedrockConverse
        | WireFormat::OpenaiEmbeddings
        | WireFormat::OpenaiImageEdits
        | WireFormat::OpenaiTranscriptions
        | WireFormat::OpenaiSpeech => Err(unspoken(client)),
    }?;
    finish(request, client, target, format, |told| names::of_client(told, client, body))
}

/// A client's form in the format of a target. `body` must be the body of `form`.
///
/// # Errors
/// Names the field that makes no sense, or for which the target has no place.
pub fn form(
    body: &[u8],
    form: &Form,
    client: WireFormat,
    target: &Target,
    format: WireFormat,
) -> Result<Written, Invalid> {
    if client != WireFormat::OpenaiImageEdits {
        return Err(unspoken(client));
    }
    // What writers name of it is called as it is here.
    finish(openai_images::read_form(form, body)?, client, target, format, |told| told)
}

/// Writes what was read, and tells of it in the client's names.
fn finish(
    request: Request<'_>,
    client: WireFormat,
    target: &Target,
    format: WireFormat,
    renamed: impl Fn(Cow<'static, str>) -> Cow<'static, str>,
) -> Result<Written, Invalid> {
    order::check(&request, client)?;
    let mut written = write(&request, target, format).map_err(|Invalid { message, param, fault }| Invalid {
        message,
        param: renamed(param.into()).into(),
        fault,
    })?;
    written.has_legacy_functions = request.has_legacy_functions;
    written.ignored = written.ignored.into_iter().map(renamed).collect();
    if is_choice_lost(&request) {
        written.ignored.push("tool_choice".into());
    }
    written.ignored.splice(0..0, request.ignored);
    Ok(written)
}

/// A client's request for a target of the same format with the seals in it opened or cut out; `None` where there is
/// none. `head` must be the head of `body`.
pub fn unsealed(
    body: &[u8],
    head: &Head,
    client: WireFormat,
    envelope: &Envelope,
    target: &Target,
) -> Option<Unsealed> {
    if !unseal::may_be_sealed(body) {
        return None;
    }
    let mut edits = Edits::new(body, envelope, target);
    let ignored = match client {
        WireFormat::OpenaiChat => openai_chat::unseal(&mut edits, head).map(|()| None),
        WireFormat::OpenaiResponses => openai_responses::unseal(&mut edits, head).map(|()| None),
        WireFormat::AnthropicMessages => anthropic::unseal(&mut edits, head),
        WireFormat::OpenaiImages
        | WireFormat::GeminiGenerate
        | WireFormat::BedrockConverse
        | WireFormat::OpenaiEmbeddings
        | WireFormat::OpenaiImageEdits
        | WireFormat::OpenaiTranscriptions
        | WireFormat::OpenaiSpeech => return None,
    };
    // What cannot be followed is no JSON: the provider will say so.
    let ignored = ignored.ok()?;
    edits.apply().map(|body| Unsealed { body, ignored })
}

/// A client's request for a target of the same format that speaks a dialect of it with other fields, and the names of
/// what was left out; `None` where the bytes may stay. `body` must be the body of `form`, where it is one.
///
/// # Errors
/// Names the field that makes no sense, or for which the target has no place.
pub fn reshaped(
    body: &[u8],
    form: Option<&Form>,
    client: WireFormat,
    target: &Target,
) -> Result<Option<Reshaped>, Invalid> {
    if target.provider.dialect != Dialect::Xai {
        return Ok(None);
    }
    let model = &target.model.provider_model_id;
    match (client, form) {
        (WireFormat::OpenaiImages, None) => {
            // What is no JSON has been refused before; the provider would say so too.
            let Ok(body) = Document::parse(body) else { return Ok(None) };
            openai_images::reshape(body.root(), model).map(Some)
        }
        (WireFormat::OpenaiImageEdits, Some(form)) => openai_images::reshape_form(form, body, model).map(Some),
        _ => Ok(None),
    }
}

/// A body, and the names of what it no longer says.
pub type Reshaped = (Vec<u8>, Vec<Cow<'static, str>>);

fn write(request: &Request<'_>, target: &Target, format: WireFormat) -> Result<Written, Invalid> {
    match format {
        WireFormat::OpenaiChat => openai_chat::write_request(request, target),
        WireFormat::OpenaiResponses => openai_responses::write_request(request, target),
        WireFormat::AnthropicMessages => anthropic::write_request(request, target),
        WireFormat::GeminiGenerate => gemini::write_request(request, target),
        WireFormat::OpenaiImages => openai_images::write_request(request, target),
        WireFormat::BedrockConverse
        | WireFormat::OpenaiEmbeddings
        | WireFormat::OpenaiImageEdits
        | WireFormat::OpenaiTranscriptions
        | WireFormat::OpenaiSpeech => Err(unspoken(format)),
    }
}

/// Without tools a choice among them means nothing: no writer writes it.
fn is_choice_lost(request: &Request<'_>) -> bool {
    let is_said = !matches!(request.tool_choice, None | Some(ToolChoice::Auto | ToolChoice::None));
    is_said && request.tools.is_empty()
}

fn unspoken(format: WireFormat) -> Invalid {
    Invalid::target("model", format!("requests cannot be translated for {format}"))
}

/// Reads the answer of a provider, whole or streamed, as events.
#[derive(Debug)]
pub enum AnswerReader {
    /// Chat Completions.
    Chat(openai_chat::AnswerReader),
    /// Responses.
    Responses(openai_responses::AnswerReader),
    /// Anthropic Messages.
    Anthropic(anthropic::AnswerReader),
    /// Gemini.
    Gemini(gemini::AnswerReader),
    /// The images endpoint.
    Images(openai_images::AnswerReader),
}

impl AnswerReader {
    /// The reader of a format; Chat's for those that nobody here speaks.
    pub fn new(format: WireFormat, dialect: Dialect, quirks: UsageQuirks) -> Self {
        match format {
            WireFormat::OpenaiResponses => Self::Responses(openai_responses::AnswerReader::new(dialect, quirks)),
            WireFormat::AnthropicMessages => Self::Anthropic(anthropic::AnswerReader::new(dialect, quirks)),
            WireFormat::GeminiGenerate => Self::Gemini(gemini::AnswerReader::new(dialect, quirks)),
            WireFormat::OpenaiImages => Self::Images(openai_images::AnswerReader::default()),
            WireFormat::OpenaiChat
            | WireFormat::BedrockConverse
            | WireFormat::OpenaiEmbeddings
            | WireFormat::OpenaiImageEdits
            | WireFormat::OpenaiTranscriptions
            | WireFormat::OpenaiSpeech => Self::Chat(openai_chat::AnswerReader::new(dialect, quirks)),
        }
    }

    /// Takes one event of the stream: its name, empty where it has none, and its data.
    pub fn frame(&mut self, name: &[u8], data: &[u8], sink: &mut dyn Sink) {
        match self {
            Self::Chat(reader) => reader.frame(name, data, sink),
            Self::Responses(reader) => reader.frame(name, data, sink),
            Self::Anthropic(reader) => reader.frame(name, data, sink),
            Self::Gemini(reader) => reader.frame(name, data, sink),
            // Its streams are never asked for.
            Self::Images(_) => {}
        }
    }

    /// Takes a whole answer.
    pub fn whole(&mut self, answer: Value<'_>, sink: &mut dyn Sink) {
        match self {
            Self::Chat(reader) => reader.whole(answer, sink),
            Self::Responses(reader) => reader.whole(answer, sink),
            Self::Anthropic(reader) => reader.whole(answer, sink),
            Self::Gemini(reader) => reader.whole(answer, sink),
            Self::Images(reader) => reader.whole(answer, sink),
        }
    }

    /// Whether the answer has said why it ends, so that nothing essential is missing.
    pub fn is_complete(&self) -> bool {
        match self {
            Self::Chat(reader) => reader.is_complete(),
            Self::Responses(reader) => reader.is_complete(),
            Self::Anthropic(reader) => reader.is_complete(),
            Self::Gemini(reader) => reader.is_complete(),
            Self::Images(reader) => reader.is_complete(),
        }
    }

    /// Whether the frame after which nothing more comes was seen. Gemini has none.
    pub fn is_over(&self) -> bool {
        match self {
            Self::Chat(reader) => reader.is_over(),
            Self::Responses(reader) => reader.is_complete(),
            Self::Anthropic(reader) => reader.is_complete(),
            Self::Gemini(_) => false,
            Self::Images(reader) => reader.is_complete(),
        }
    }
}

/// Writes a client's stream.
#[derive(Debug)]
pub enum StreamWriter {
    /// Chat Completions.
    Chat(Box<openai_chat::StreamWriter>),
    /// Responses.
    Responses(Box<openai_responses::StreamWriter>),
    /// Anthropic Messages.
    Anthropic(Box<anthropic::StreamWriter>),
}

impl StreamWriter {
    /// The writer of a client's format.
    pub fn new(format: WireFormat, view: View) -> Self {
        match format {
            WireFormat::OpenaiResponses => Self::Responses(Box::new(openai_responses::StreamWriter::new(view))),
            WireFormat::AnthropicMessages => Self::Anthropic(Box::new(anthropic::StreamWriter::new(view))),
            WireFormat::OpenaiChat
            | WireFormat::OpenaiImages
            | WireFormat::GeminiGenerate
            | WireFormat::BedrockConverse
            | WireFormat::OpenaiEmbeddings
            | WireFormat::OpenaiImageEdits
            | WireFormat::OpenaiTranscriptions
            | WireFormat::OpenaiSpeech => Self::Chat(Box::new(openai_chat::StreamWriter::new(view))),
        }
    }

    /// Adds the frames that say `event` to `out`.
    ///
    /// # Errors
    /// When more would have to be kept than may be.
    pub fn event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) -> Result<(), Overflow> {
        match self {
            Self::Chat(writer) => writer.event(event, out),
            Self::Responses(writer) => writer.event(event, out),
            Self::Anthropic(writer) => writer.event(event, out),
        }
    }

    /// Adds the frames that end the answer to `out`.
    ///
    /// # Errors
    /// When more would have to be kept than may be.
    pub fn close(&mut self, closing: &Closing<'_>, out: &mut Vec<u8>) -> Result<(), Overflow> {
        match self {
            Self::Chat(writer) => writer.close(closing, out),
            Self::Responses(writer) => writer.close(closing, out),
            Self::Anthropic(writer) => writer.close(closing, out),
        }
    }

    /// Adds the frame that says that the answer failed, where the format ties it to the frames before; `false`
    /// where any error event will do.
    pub fn fail(&mut self, code: &str, message: &str, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Responses(writer) => {
                writer.fail(code, message, out);
                true
            }
            Self::Chat(_) | Self::Anthropic(_) => false,
        }
    }
}

/// Writes a client's whole answer.
#[derive(Debug)]
pub enum WholeWriter {
    /// Chat Completions.
    Chat(Box<openai_chat::WholeWriter>),
    /// Responses.
    Responses(Box<openai_responses::WholeWriter>),
    /// Anthropic Messages.
    Anthropic(Box<anthropic::WholeWriter>),
    /// The images endpoint.
    Images(Box<openai_images::WholeWriter>),
}

impl WholeWriter {
    /// The writer of a client's format.
    pub fn new(format: WireFormat, view: View) -> Self {
        match format {
            WireFormat::OpenaiResponses => Self::Responses(Box::new(openai_responses::WholeWriter::new(view))),
            WireFormat::AnthropicMessages => Self::Anthropic(Box::new(anthropic::WholeWriter::new(view))),
            WireFormat::OpenaiImages | WireFormat::OpenaiImageEdits => {
                Self::Images(Box::new(openai_images::WholeWriter::new(view)))
            }
            WireFormat::OpenaiChat
            | WireFormat::GeminiGenerate
            | WireFormat::BedrockConverse
            | WireFormat::OpenaiEmbeddings
            | WireFormat::OpenaiTranscriptions
            | WireFormat::OpenaiSpeech => Self::Chat(Box::new(openai_chat::WholeWriter::new(view))),
        }
    }

    /// Takes an event.
    ///
    /// # Errors
    /// When more would have to be kept than may be.
    pub fn event(&mut self, event: &Event<'_>) -> Result<(), Overflow> {
        match self {
            Self::Chat(writer) => writer.event(event),
            Self::Responses(writer) => writer.event(event),
            Self::Anthropic(writer) => writer.event(event),
            Self::Images(writer) => writer.event(event),
        }
    }

    /// The answer's body.
    pub fn close(self, closing: &Closing<'_>) -> Vec<u8> {
        match self {
            Self::Chat(writer) => writer.close(closing),
            Self::Responses(writer) => writer.close(closing),
            Self::Anthropic(writer) => writer.close(closing),
            Self::Images(writer) => writer.close(closing),
        }
    }
}
