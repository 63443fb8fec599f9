//! A request: the conversation, the tools, and how the answer is to be made.
//!
//! Must not know which model or provider will answer, nor any format's spelling.

use std::borrow::Cow;

use super::thought::Blob;
use super::{Text, Value};
use crate::base::effort::Effort;
use crate::base::wire_format::WireFormat;

/// What a client asks for.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts of a request")]
pub struct Request<'a> {
    /// The conversation in its order, system messages where they stand.
    pub turns: Vec<Turn<'a>>,
    /// What the model may call.
    pub tools: Vec<Tool<'a>>,
    /// Whether and what it must call; `None` leaves it to the target's default.
    pub tool_choice: Option<ToolChoice<'a>>,
    /// Whether several calls in one turn are wanted; `None` where nothing is said.
    pub parallel_calls: Option<bool>,
    /// The longest answer in tokens, reasoning included.
    pub output_tokens_max: Option<u64>,
    /// What the answer's text must look like.
    pub output_form: OutputForm<'a>,
    /// `low`, `medium` or `high`: how wordy.
    pub verbosity: Option<Text<'a>>,
    /// Thinking before the answer.
    pub reasoning: Reasoning,
    /// How words are drawn.
    pub sampling: Sampling<'a>,
    /// Texts at which the answer ends.
    pub stop: Vec<Text<'a>>,
    /// How many answers; 1 where nothing is said.
    pub choices: Choice,
    /// Probabilities of the words, if they are wanted.
    pub logprobs: Option<Logprobs>,
    /// Whether pictures are wanted in the answer (`modalities`, `responseModalities`).
    pub wants_images: bool,
    /// How those pictures are to look.
    pub image_form: ImageForm<'a>,
    /// Who asks, and what groups requests.
    pub identity: Identity<'a>,
    /// The service tier as the client named it.
    pub service_tier: Option<Text<'a>>,
    /// Whether the answer is to come as a stream.
    pub stream: bool,
    /// Whether the last turn is the beginning of the answer, and not of the past (Anthropic's prefill).
    pub is_prefilled: bool,
    /// Whether the client knows calls only by their old form (`functions` of Chat), and gets them back in it.
    pub has_legacy_functions: bool,
    /// Names of the fields (`a.b[0].c`) that were understood and left out, because no other format has them. They
    /// are told in `x-flux-ignored`.
    pub ignored: Vec<Cow<'static, str>>,
}

impl Request<'_> {
    /// What is told where the answer does not go on from the last turn, though it was to.
    pub fn prefill(&self) -> Option<String> {
        let last = self.turns.last().filter(|_| self.is_prefilled)?;
        Some(format!("messages[{}].prefill", last.at))
    }
}

/// How many answers are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice(pub u64);

impl Default for Choice {
    fn default() -> Self {
        Self(1)
    }
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Instructions.
    System,
    /// Instructions by the name that newer models know.
    Developer,
    /// The user.
    User,
    /// The model.
    Assistant,
    /// The results of calls. A turn of this role holds nothing but [`PartKind::Result`].
    Tool,
}

/// One message. Neighbours of one role stay apart here; a writer joins them where its format wants that.
#[derive(Clone, Debug)]
pub struct Turn<'a> {
    /// Who speaks.
    pub role: Role,
    /// What is said, in order.
    pub parts: Vec<Part<'a>>,
    /// The speaker's name, where several share a role.
    pub name: Option<Text<'a>>,
    /// The index of the message or item in the client's list, for error messages.
    pub at: usize,
}

/// One part of a message.
#[derive(Clone, Debug)]
pub struct Part<'a> {
    /// What it is.
    pub kind: PartKind<'a>,
    /// Up to here the prompt is worth caching.
    pub cache: Option<CacheMark>,
    /// What its maker wants back with it: a thought's signature, or one that stands on a text or a call.
    pub blob: Option<Blob<'a>>,
}

impl<'a> From<PartKind<'a>> for Part<'a> {
    fn from(kind: PartKind<'a>) -> Self {
        Self { kind, cache: None, blob: None }
    }
}

/// What a part is.
#[derive(Clone, Debug)]
pub enum PartKind<'a> {
    /// Text.
    Text(Text<'a>),
    /// A picture.
    Image(Media<'a>),
    /// A document.
    File(Media<'a>),
    /// Sound.
    Audio(Media<'a>),
    /// The model calls a tool.
    Call(Call<'a>),
    /// What a call came to.
    Result(ToolResult<'a>),
    /// What the model thought, as far as it was shown. Its signature is the part's [`Part::blob`].
    Thought(Text<'a>),
    /// The model declined.
    Refusal(Text<'a>),
}

impl<'a> PartKind<'a> {
    /// The call that it is.
    pub fn as_call(&self) -> Option<&Call<'a>> {
        if let Self::Call(call) = self { Some(call) } else { None }
    }

    /// The result that it is.
    pub fn as_result(&self) -> Option<&ToolResult<'a>> {
        if let Self::Result(result) = self { Some(result) } else { None }
    }

    /// The text that it is.
    pub fn as_text(&self) -> Option<&Text<'a>> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }
}

/// Something that is no text.
#[derive(Clone, Debug)]
pub struct Media<'a> {
    /// Where it is.
    pub source: Source<'a>,
    /// A file's name.
    pub name: Option<Text<'a>>,
    /// How closely a picture is to be looked at: `low`, `high`, `auto`, `original`.
    pub detail: Option<Text<'a>>,
}

/// Where something that is no text is.
#[derive(Clone, Debug)]
pub enum Source<'a> {
    /// To be fetched by the provider.
    Url(Text<'a>),
    /// In the request, base64 in the standard alphabet.
    Inline {
        /// `image/png`, `application/pdf`, …
        media_type: Text<'a>,
        /// The bytes.
        base64: Text<'a>,
    },
    /// Plain text as a document.
    Plain(Text<'a>),
    /// Stored at one provider, who alone knows it.
    Id(Text<'a>),
}

/// A call of a tool.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// Links the call to its result.
    pub id: Text<'a>,
    /// Which tool.
    pub name: Text<'a>,
    /// JSON arguments, or free text.
    pub kind: CallKind,
    /// The arguments in plain text (no escapes): a JSON object for a function. May be invalid JSON, since a model
    /// wrote it.
    pub arguments: Cow<'a, str>,
}

/// What a tool is called with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CallKind {
    /// A JSON object.
    #[default]
    Function,
    /// Free text (`custom` tools of `OpenAI`).
    Custom,
}

/// What a call came to.
#[derive(Clone, Debug)]
pub struct ToolResult<'a> {
    /// The id of the call.
    pub id: Text<'a>,
    /// Text, pictures and files.
    pub parts: Vec<Part<'a>>,
    /// Whether the tool failed.
    pub is_error: bool,
    /// What kind of call it answers.
    pub kind: CallKind,
}

/// Up to here the prompt is worth caching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheMark(pub CacheTtl);

/// How long a cache entry lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheTtl {
    /// Five minutes (Anthropic's default).
    M5,
    /// Thirty minutes (`OpenAI`'s default).
    M30,
    /// An hour (Anthropic).
    H1,
    /// Twelve hours (`OpenAI`).
    H12,
}

/// Something that the model may call.
#[derive(Clone, Debug)]
pub struct Tool<'a> {
    /// What kind of tool.
    pub kind: ToolKind<'a>,
    /// Its name.
    pub name: Text<'a>,
    /// What it is for.
    pub description: Option<Text<'a>>,
    /// Up to here the prompt is worth caching.
    pub cache: Option<CacheMark>,
    /// The index in the client's list, for error messages.
    pub at: usize,
}

/// What kind of tool.
#[derive(Clone, Debug)]
pub enum ToolKind<'a> {
    /// The client's own function.
    Function {
        /// JSON Schema of its arguments; `None` for none.
        schema: Option<Value<'a>>,
        /// Whether the arguments must follow the schema; `None` where nothing is said.
        strict: Option<bool>,
    },
    /// The client's own, called with free text.
    Custom {
        /// `OpenAI`'s grammar of that text, an object with `syntax` and `definition`; `None` for any text.
        grammar: Option<Value<'a>>,
    },
    /// The provider's own (web search, code execution, …), which only its own format knows. [`Tool::name`] holds its
    /// type.
    BuiltIn {
        /// Whose.
        format: WireFormat,
        /// As the client wrote it.
        spelt: Value<'a>,
    },
}

/// Whether and what the model must call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolChoice<'a> {
    /// As it likes.
    Auto,
    /// Nothing.
    None,
    /// Some tool.
    Required,
    /// This tool.
    Named(Text<'a>),
    /// As it likes or must, but only these.
    Allowed {
        /// Whether it must.
        is_required: bool,
        /// The tools' names.
        names: Vec<Text<'a>>,
    },
}

/// What the answer's text must look like.
#[derive(Clone, Debug, Default)]
pub enum OutputForm<'a> {
    /// Any text.
    #[default]
    Free,
    /// Some JSON object.
    JsonObject,
    /// JSON that follows a schema.
    Schema {
        /// The schema's name; formats without one use `output`.
        name: Option<Text<'a>>,
        /// What it is for.
        description: Option<Text<'a>>,
        /// The schema.
        schema: Value<'a>,
        /// Whether it must be followed to the letter; `None` where nothing is said.
        strict: Option<bool>,
    },
}

/// Thinking before the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reasoning {
    /// Whether.
    pub thinking: Option<Thinking>,
    /// How hard, by word.
    pub effort: Option<Effort>,
    /// Whether the thoughts are to be shown.
    pub shown: Option<Shown>,
}

/// Whether a model thinks, and how much at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thinking {
    /// Not at all.
    Off,
    /// As much as it likes.
    Adaptive,
    /// At most so many tokens.
    Budget(u64),
}

/// How much of its thoughts a client wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Nothing.
    Omitted,
    /// A summary, however long.
    Auto,
    /// A short summary.
    Concise,
    /// A long summary.
    Detailed,
}

/// How words are drawn. Numbers stay as they are spelt.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sampling<'a> {
    /// 0 to 2 (Anthropic: to 1).
    pub temperature: Option<Value<'a>>,
    /// 0 to 1.
    pub top_p: Option<Value<'a>>,
    /// A whole number.
    pub top_k: Option<Value<'a>>,
    /// -2 to 2.
    pub frequency_penalty: Option<Value<'a>>,
    /// -2 to 2.
    pub presence_penalty: Option<Value<'a>>,
    /// For answers that repeat.
    pub seed: Option<Value<'a>>,
    /// An object from token to bias. `OpenAI`'s alone.
    pub logit_bias: Option<Value<'a>>,
}

/// How a picture is to look; `None` leaves it to the model.
#[derive(Clone, Debug, Default)]
pub struct ImageForm<'a> {
    /// `1024x1536`: width and height in pixels.
    pub size: Option<Text<'a>>,
    /// `low`, `medium`, `high`, …
    pub quality: Option<Text<'a>>,
    /// `transparent` or `opaque`.
    pub background: Option<Text<'a>>,
    /// `png`, `jpeg`, `webp`, …
    pub output_format: Option<Text<'a>>,
}

/// Probabilities of the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logprobs {
    /// Of how many likely words beside the chosen one.
    pub top: u64,
}

/// Who asks, and what groups requests.
#[derive(Clone, Debug, Default)]
pub struct Identity<'a> {
    /// The client's own user, by a name that only the client can read.
    pub end_user: Option<Text<'a>>,
    /// Requests of one key are likely to share a prompt.
    pub cache_key: Option<Text<'a>>,
    /// An object that the client wants to see again.
    pub metadata: Option<Value<'a>>,
}
