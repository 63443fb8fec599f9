//! The head of a request: what must be known of a body to route it, read without a tree.
//!
//! Must not know what the fields are used for. The members of the top level are found wherever they
//! stand (SDKs send `messages` before `model`); everything else is leapt over and left to the provider to
//! check. What could make the provider read another request than the one we routed and billed is refused:
//! a field that is given twice, by whatever spelling, and a body that goes on after its object.

use std::borrow::Cow;
use std::ops::Range;

use smallvec::SmallVec;

use super::leap::{self, Items, Malformed, Member, NAME_BYTES_MAX};

/// The longest model name that is looked at, in bytes of the body. Names end up in log lines and messages.
pub const MODEL_BYTES_MAX: usize = 1024;

/// What was found, as ranges of the body it was read from. An optional field that is `null` counts as absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The index just after the `{` of the body; a member can be added here.
    pub object_start: usize,
    /// The value of `model` with its quotes: valid text of at most [`MODEL_BYTES_MAX`]. Empty only beside `task_type`.
    pub model: Range<usize>,
    /// Whether the answer shall be streamed.
    pub stream: bool,
    /// `stream_options`, also where it is `null`.
    pub stream_options: Option<StreamOptions>,
    /// The limit on output: `max_completion_tokens`, else `max_output_tokens`, else `max_tokens`. `None` also
    /// where it is no whole number.
    pub max_tokens: Option<u64>,
    /// Where limits on output stand, whatever their values.
    pub output_limits: SmallVec<[Range<usize>; 1]>,
    /// How many answers are wanted; `None` also where it is no whole number.
    pub n: Option<u64>,
    /// `reasoning_effort` of Chat, with its quotes.
    pub reasoning_effort: Option<Range<usize>>,
    /// `reasoning` of Responses and of some compatible hosts.
    pub reasoning: Option<Range<usize>>,
    /// `thinking` of Anthropic and `DeepSeek`.
    pub thinking: Option<Range<usize>>,
    /// `output_config` of Anthropic, where the effort is.
    pub output_config: Option<Range<usize>>,
    /// `tools`.
    pub tools: Option<Range<usize>>,
    /// `messages` of Chat and Anthropic.
    pub messages: Option<Range<usize>>,
    /// `input` of Responses.
    pub input: Option<Range<usize>>,
    /// `instructions` of Responses.
    pub instructions: Option<Range<usize>>,
    /// `prompt` of the image endpoint.
    pub prompt: Option<Range<usize>>,
    /// `system` of Anthropic.
    pub system: Option<Range<usize>>,
    /// `response_format` of Chat.
    pub response_format: Option<Range<usize>>,
    /// `text` of Responses, where the format of the answer is.
    pub text: Option<Range<usize>>,
    /// `modalities` of Chat.
    pub modalities: Option<Range<usize>>,
    /// `stop` of Chat, or `stop_sequences` of Anthropic.
    pub stop: Option<Range<usize>>,
    /// `service_tier`, which prices depend on.
    pub service_tier: Option<Range<usize>>,
    /// `task_type` of Conflux's clients, whatever its value. A request with it may leave `model` out: the range is
    /// empty then.
    pub task_type: Option<Member>,
    /// `provider`, whatever its value: what the request prefers among providers.
    pub provider: Option<Member>,
}

/// `stream_options` of Chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamOptions {
    /// The whole value: an object, or `null`.
    pub range: Range<usize>,
    /// Its `include_usage` and where the value stands; `null` is read as false.
    pub include_usage: Option<(bool, Range<usize>)>,
}

/// Why a body is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// The body is empty or something else than an object.
    #[error("the body is not a JSON object")]
    NotAnObject,
    /// The object is broken.
    #[error("the body is not valid JSON: {0}")]
    Malformed(#[from] Malformed),
    /// Something follows the object.
    #[error("the body goes on after its JSON object, at byte {0}")]
    TrailingBytes(usize),
    /// A field we read is there twice; readers differ in which one they take.
    #[error("`{0}` is given twice")]
    Duplicate(&'static str),
    /// A field that every request has is not there.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A field has a value of another kind.
    #[error("`{key}` must be {expected}")]
    WrongType {
        /// The field.
        key: &'static str,
        /// What it should be, with its article.
        expected: &'static str,
    },
    /// Control bytes, broken UTF-8 or unknown escapes.
    #[error("`{0}` is not valid text")]
    BadText(&'static str),
    /// Longer than any model name.
    #[error("`model` is longer than {MODEL_BYTES_MAX} bytes")]
    ModelTooLong,
}

impl HeadError {
    /// The field that is at fault, if one is.
    pub fn key(&self) -> Option<&'static str> {
        match *self {
            Self::NotAnObject | Self::Malformed(_) | Self::TrailingBytes(_) => None,
            Self::Duplicate(key) | Self::Missing(key) | Self::BadText(key) | Self::WrongType { key, .. } => Some(key),
            Self::ModelTooLong => Some(Field::Model.name()),
        }
    }
}

impl Head {
    /// The model's name with its escapes undone. `body` must be the body this head was read from.
    pub fn model<'a>(&self, body: &'a [u8]) -> Cow<'a, str> {
        body.get(self.model.clone()).and_then(leap::string_inside).and_then(leap::unescape).unwrap_or_default()
    }
}

/// Reads the head of a request body.
///
/// # Errors
/// When the body is no complete JSON object, lacks `model`, gives a field that is read twice, or gives one
/// with a value it cannot have.
pub fn scan(body: &[u8]) -> Result<Head, HeadError> {
    let mut members =
        Items::open(body, leap::skip_space(body, 0)).filter(Items::is_object).ok_or(HeadError::NotAnObject)?;
    let mut found = Found::new(members.position());
    while let Some(member) = members.next_member()? {
        let spelt = body.get(member.name.clone()).unwrap_or_default();
        // A name that is one of ours as it stands has no escapes to be undone.
        let field = match Field::of(spelt) {
            None => Field::of(leap::plain_name(spelt, &mut [0; NAME_BYTES_MAX])?),
            field @ Some(_) => field,
        };
        if let Some(field) = field {
            found.note(body, field, member)?;
        }
    }
    let end = leap::skip_space(body, members.position());
    if end < body.len() {
        return Err(HeadError::TrailingBytes(end));
    }
    found.into_head()
}

/// A field that is read.
#[derive(Clone, Copy)]
enum Field {
    Model,
    Stream,
    StreamOptions,
    MaxCompletionTokens,
    MaxOutputTokens,
    MaxTokens,
    N,
    ReasoningEffort,
    Reasoning,
    Thinking,
    OutputConfig,
    Tools,
    Messages,
    Input,
    Instructions,
    Prompt,
    System,
    ResponseFormat,
    Text,
    Modalities,
    Stop,
    StopSequences,
    ServiceTier,
    TaskType,
    Provider,
}

impl Field {
    fn of(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"model" => Self::Model,
            b"stream" => Self::Stream,
            b"stream_options" => Self::StreamOptions,
            b"max_completion_tokens" => Self::MaxCompletionTokens,
            b"max_output_tokens" => Self::MaxOutputTokens,
            b"max_tokens" => Self::MaxTokens,
            b"n" => Self::N,
            b"reasoning_effort" => Self::ReasoningEffort,
            b"reasoning" => Self::Reasoning,
            b"thinking" => Self::Thinking,
            b"output_config" => Self::OutputConfig,
            b"tools" => Self::Tools,
            b"messages" => Self::Messages,
            b"input" => Self::Input,
            b"instructions" => Self::Instructions,
            b"prompt" => Self::Prompt,
            b"system" => Self::System,
            b"response_format" => Self::ResponseFormat,
            b"text" => Self::Text,
            b"modalities" => Self::Modalities,
            b"stop" => Self::Stop,
            b"stop_sequences" => Self::StopSequences,
            b"service_tier" => Self::ServiceTier,
            b"task_type" => Self::TaskType,
            b"provider" => Self::Provider,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Stream => "stream",
            Self::StreamOptions => "stream_options",
            Self::MaxCompletionTokens => "max_completion_tokens",
            Self::MaxOutputTokens => "max_output_tokens",
            Self::MaxTokens => "max_tokens",
            Self::N => "n",
            Self::ReasoningEffort => "reasoning_effort",
            Self::Reasoning => "reasoning",
            Self::Thinking => "thinking",
            Self::OutputConfig => "output_config",
            Self::Tools => "tools",
            Self::Messages => "messages",
            Self::Input => "input",
            Self::Instructions => "instructions",
            Self::Prompt => "prompt",
            Self::System => "system",
            Self::ResponseFormat => "response_format",
            Self::Text => "text",
            Self::Modalities => "modalities",
            Self::Stop => "stop",
            Self::StopSequences => "stop_sequences",
            Self::ServiceTier => "service_tier",
            Self::TaskType => "task_type",
            Self::Provider => "provider",
        }
    }
}

/// A head in the making.
struct Found {
    /// One bit a field.
    seen: u32,
    /// The limits on output, the one that wins first.
    limits: [Option<u64>; 3],
    head: Head,
}

impl Found {
    fn new(object_start: usize) -> Self {
        let head = Head {
            object_start,
            model: 0..0,
            stream: false,
            stream_options: None,
            max_tokens: None,
            output_limits: SmallVec::new(),
            n: None,
            reasoning_effort: None,
            reasoning: None,
            thinking: None,
            output_config: None,
            tools: None,
            messages: None,
            input: None,
            instructions: None,
            prompt: None,
            system: None,
            response_format: None,
            text: None,
            modalities: None,
            stop: None,
            service_tier: None,
            task_type: None,
            provider: None,
        };
        Self { seen: 0, limits: [None; 3], head }
    }

    fn note(&mut self, body: &[u8], field: Field, member: Member) -> Result<(), HeadError> {
        let at = member.value.clone();
        let bit = 1_u32 << field as u32;
        if self.seen & bit != 0 {
            return Err(HeadError::Duplicate(field.name()));
        }
        self.seen |= bit;
        let value = body.get(at.clone()).unwrap_or_default();
        let head = &mut self.head;
        let given = (value != b"null").then(|| at.clone());
        if let Field::MaxCompletionTokens | Field::MaxOutputTokens | Field::MaxTokens = field {
            head.output_limits.push(at.clone());
        }
        match field {
            Field::Model => head.model = model(value, at)?,
            Field::Stream => head.stream = switch(value, field.name())?,
            Field::StreamOptions => head.stream_options = Some(stream_options(body, at)?),
            Field::MaxCompletionTokens => self.limits[0] = whole_number(value),
            Field::MaxOutputTokens => self.limits[1] = whole_number(value),
            Field::MaxTokens => self.limits[2] = whole_number(value),
            Field::N => head.n = whole_number(value),
            Field::ReasoningEffort => {
                if leap::string_inside(value).is_some_and(|inside| leap::unescape(inside).is_none()) {
                    return Err(HeadError::BadText(field.name()));
                }
                head.reasoning_effort = given;
            }
            Field::Reasoning => head.reasoning = given,
            Field::Thinking => head.thinking = given,
            Field::OutputConfig => head.output_config = given,
            Field::Tools => head.tools = given,
            Field::Messages => head.messages = given,
            Field::Input => head.input = given,
            Field::Instructions => head.instructions = given,
            Field::Prompt => head.prompt = given,
            Field::System => head.system = given,
            Field::ResponseFormat => head.response_format = given,
            Field::Text => head.text = given,
            Field::Modalities => head.modalities = given,
            Field::Stop | Field::StopSequences => head.stop = given,
            Field::ServiceTier => head.service_tier = given,
            Field::TaskType => head.task_type = Some(member),
            Field::Provider => head.provider = Some(member),
        }
        Ok(())
    }

    fn into_head(mut self) -> Result<Head, HeadError> {
        if self.head.model.is_empty() && self.head.task_type.is_none() {
            return Err(HeadError::Missing(Field::Model.name()));
        }
        self.head.max_tokens = self.limits.into_iter().flatten().next();
        Ok(self.head)
    }
}

fn model(value: &[u8], at: Range<usize>) -> Result<Range<usize>, HeadError> {
    let key = Field::Model.name();
    let inside = leap::string_inside(value).ok_or(HeadError::WrongType { key, expected: "a string" })?;
    if inside.len() > MODEL_BYTES_MAX {
        return Err(HeadError::ModelTooLong);
    }
    leap::unescape(inside).ok_or(HeadError::BadText(key))?;
    Ok(at)
}

fn switch(value: &[u8], key: &'static str) -> Result<bool, HeadError> {
    match value {
        b"true" => Ok(true),
        b"false" | b"null" => Ok(false),
        _ => Err(HeadError::WrongType { key, expected: "a boolean" }),
    }
}

/// A whole number as it stands; `u64::MAX` where it is larger, nothing where it is something else: such a
/// request is the provider's to refuse.
fn whole_number(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(value.iter().fold(0_u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'))))
}

fn stream_options(body: &[u8], range: Range<usize>) -> Result<StreamOptions, HeadError> {
    const INCLUDE_USAGE: &str = "include_usage";
    let mut include_usage = None;
    if body.get(range.clone()) == Some(b"null") {
        return Ok(StreamOptions { range, include_usage });
    }
    let mut members = Items::open(body, range.start)
        .filter(Items::is_object)
        .ok_or(HeadError::WrongType { key: Field::StreamOptions.name(), expected: "an object" })?;
    while let Some(member) = members.next_member()? {
        let spelt = body.get(member.name).unwrap_or_default();
        if leap::plain_name(spelt, &mut [0; NAME_BYTES_MAX])? != INCLUDE_USAGE.as_bytes() {
            continue;
        }
        let value = body.get(member.value.clone()).unwrap_or_default();
        if include_usage.replace((switch(value, INCLUDE_USAGE)?, member.value)).is_some() {
            return Err(HeadError::Duplicate(INCLUDE_USAGE));
        }
    }
    Ok(StreamOptions { range, include_usage })
}

#[cfg(test)]
mod tests;
