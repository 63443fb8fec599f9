//! What the rules may ask of a request: numbers and yes-or-no, taken from its bytes.
//!
//! Must not know lanes or rules, keeps no text, and never fails: a body that is no request has features of nothing.
//! The cost is a leap over the messages plus a look at `TEXT_BYTES_MAX` of text, however long the request is.

use std::ops::Range;

use smallvec::SmallVec;

use super::kinds::Excerpt;
use super::{image_intent, signs, walk};
use crate::base::effort::Effort;
use crate::base::task::TaskType;
use crate::base::wire_format::WireFormat;
use crate::wire::head::Head;

/// Bytes of text that are looked at.
pub const TEXT_BYTES_MAX: usize = 8 * 1024;
/// Of these, how many belong to the system prompt.
const SYSTEM_BYTES_MAX: usize = 512;
/// Of these, how many belong to the last words of the user; longer ones are looked at head and tail.
const LAST_USER_BYTES_MAX: usize = 6 * 1024;
/// Room for the words of most users.
const PLAIN_BYTES: usize = 1024;
/// How much of a tools list is searched for an image tool.
const TOOLS_SEARCHED_MAX: usize = 4 * 1024;
/// Bytes of text that a token is taken for.
const BYTES_PER_TOKEN: u64 = 4;
/// Tokens that an image is taken for.
const TOKENS_PER_IMAGE: u64 = 1_000;
/// Tokens that a file is taken for where only its address is known.
const TOKENS_PER_FILE: u64 = 2_000;

/// The parts of a request that features are taken from: raw JSON values, as they stand in the body.
#[derive(Clone, Copy, Debug)]
pub struct FeatureInput<'a> {
    /// The client's wire format.
    pub format: WireFormat,
    /// `messages`, or `input` of Responses.
    pub messages: &'a [u8],
    /// `system` or `instructions`.
    pub system: Option<&'a [u8]>,
    /// `tools`.
    pub tools: Option<&'a [u8]>,
    /// `reasoning_effort`, or the object that holds an `effort`: `reasoning`, `output_config`.
    pub reasoning_effort: Option<&'a [u8]>,
    /// `thinking`.
    pub thinking: Option<&'a [u8]>,
    /// `response_format`, `text` or `output_config`.
    pub response_format: Option<&'a [u8]>,
    /// `modalities`.
    pub modalities: Option<&'a [u8]>,
    /// The client's limit on output.
    pub max_tokens: Option<u64>,
    /// Length of the whole body.
    pub body_bytes: usize,
    /// `task_type`, which stands in no provider's format and is taken out before.
    pub task_type: Option<TaskType>,
}

impl<'a> FeatureInput<'a> {
    /// The parts of a body whose head was read.
    pub fn of(format: WireFormat, head: &Head, body: &'a [u8]) -> Self {
        let part = |range: &Option<Range<usize>>| range.clone().and_then(|range| body.get(range));
        Self {
            format,
            messages: part(&head.messages).or_else(|| part(&head.input)).unwrap_or_default(),
            system: part(&head.system).or_else(|| part(&head.instructions)),
            tools: part(&head.tools),
            reasoning_effort: [&head.reasoning_effort, &head.reasoning, &head.output_config].into_iter().find_map(part),
            thinking: part(&head.thinking),
            response_format: [&head.response_format, &head.text, &head.output_config].into_iter().find_map(part),
            modalities: part(&head.modalities),
            max_tokens: head.max_tokens,
            body_bytes: body.len(),
            task_type: None,
        }
    }
}

/// Facts about a request. Text is counted as it stands in the body, escapes included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each one a feature of the rules")]
pub struct Features {
    /// Length of the whole body.
    pub body_bytes: u64,
    /// Bytes of text of all turns and the system prompt, without images, files and tools.
    pub text_bytes: u64,
    /// Tokens of the prompt, by bytes: text and tools at 4, images at 1,000 tokens, files at least 2,000.
    pub prompt_tokens_estimate: u64,
    /// Bytes of the system prompt.
    pub system_bytes: u64,
    /// Bytes of the last words of the user.
    pub last_user_bytes: u64,
    /// Messages of any role but system.
    pub messages: u64,
    /// Turns of the user that hold words.
    pub turns: u64,
    /// Whether tools are offered.
    pub has_tools: bool,
    /// How many tools are offered.
    pub tool_count: u64,
    /// Whether the last message is the result of a tool.
    pub in_tool_loop: bool,
    /// Whether an image is in the prompt.
    pub has_image_input: bool,
    /// Whether a file or document is in the prompt.
    pub has_file_input: bool,
    /// Whether a picture is asked for.
    pub wants_image_output: bool,
    /// Fences of code blocks in the words of the user.
    pub code_fences: u64,
    /// Signs of program text in the words of the user.
    pub code_signs: u64,
    /// Signs of mathematics in the words of the user.
    pub math_signs: u64,
    /// Words that ask for thought: prove, derive, optimise, …
    pub hard_words: u64,
    /// Question marks in the words of the user.
    pub question_count: u64,
    /// Whether the answer has to follow a JSON Schema.
    pub has_json_schema: bool,
    /// What the client asked for.
    pub reasoning_effort: Option<Effort>,
    /// Whether the client switched thinking on.
    pub thinking_enabled: bool,
    /// The client's limit on output, 0 where there is none.
    pub max_tokens: u64,
    /// What the client says the request is for.
    pub task_type: Option<TaskType>,
}

/// Reads the features of a request, and the text by which its kind is recognised.
pub fn extract(input: &FeatureInput<'_>) -> (Features, Sample) {
    let mut talk = Talk::default();
    talk.read(input);
    let sample = talk.sample(input.system.unwrap_or_default());
    let seen = signs::count(sample.part(0..sample.before_end));
    let last_user = sample.part(0..sample.last_user_end);
    let tools = input.tools.unwrap_or_default();
    let mut tool_count = 0;
    walk::elements(tools, |_| tool_count += 1);
    let system_bytes =
        content_pieces(input.system.unwrap_or_default()).iter().map(|piece| wide(piece.len())).sum::<u64>()
            + talk.system_bytes;
    let text_bytes = talk.text_bytes + system_bytes;
    let tool_bytes = if tool_count == 0 { 0 } else { wide(tools.len()) };
    let prompt_tokens_estimate = (text_bytes + talk.tool_bytes + talk.file_bytes + tool_bytes)
        .div_ceil(BYTES_PER_TOKEN)
        + talk.images * TOKENS_PER_IMAGE
        + talk.files * TOKENS_PER_FILE;
    let features = Features {
        body_bytes: wide(input.body_bytes),
        text_bytes,
        prompt_tokens_estimate,
        system_bytes,
        last_user_bytes: talk.last_user.iter().map(|piece| wide(piece.len())).sum(),
        messages: talk.messages,
        turns: talk.turns,
        has_tools: tool_count > 0,
        tool_count,
        in_tool_loop: talk.ends_in_tool_result,
        has_image_input: talk.images > 0,
        has_file_input: talk.files > 0,
        wants_image_output: asks_for_image_part(input) || image_intent::is_in(last_user),
        code_fences: seen.code_fences,
        code_signs: seen.code,
        math_signs: seen.math,
        hard_words: seen.hard,
        question_count: seen.questions,
        has_json_schema: input.response_format.is_some_and(is_json_schema),
        reasoning_effort: input.reasoning_effort.and_then(effort),
        thinking_enabled: input.thinking.is_some_and(is_thinking),
        max_tokens: input.max_tokens.unwrap_or(0),
        task_type: input.task_type,
    };
    (features, sample)
}

/// What a walk over the messages leaves: counts, and where the user's words stand.
#[derive(Default)]
struct Talk<'a> {
    last_user: SmallVec<[&'a [u8]; 4]>,
    previous_user: SmallVec<[&'a [u8]; 4]>,
    system: SmallVec<[&'a [u8]; 4]>,
    text_bytes: u64,
    system_bytes: u64,
    tool_bytes: u64,
    file_bytes: u64,
    images: u64,
    files: u64,
    messages: u64,
    turns: u64,
    ends_in_tool_result: bool,
}

/// The text that is looked at: the last words of the user, those before, the beginning of the system prompt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    text: String,
    last_user_end: usize,
    before_end: usize,
}

impl Sample {
    /// What the kind of work is recognised by.
    pub fn excerpt(&self) -> Excerpt<'_> {
        let (last_user, before) = (self.part(0..self.last_user_end), self.part(self.last_user_end..self.before_end));
        Excerpt::new(last_user, self.part(self.before_end..self.text.len()), before)
    }

    fn part(&self, range: Range<usize>) -> &str {
        self.text.get(range).unwrap_or_default()
    }

    /// Of words that were cut inside a character, or are none.
    fn mended(plain: &[u8], last_user_end: usize, before_end: usize) -> Self {
        let part = |range| String::from_utf8_lossy(plain.get(range).unwrap_or_default());
        let mut text = part(0..last_user_end).into_owned();
        let last_user_end_mended = text.len();
        text.push_str(&part(last_user_end..before_end));
        let before_end_mended = text.len();
        text.push_str(&part(before_end..plain.len()));
        Self { text, last_user_end: last_user_end_mended, before_end: before_end_mended }
    }
}

/// Who speaks, as far as it matters here.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaker {
    User,
    System,
    Tool,
    Other,
}

impl<'a> Talk<'a> {
    fn read(&mut self, input: &FeatureInput<'a>) {
        if let Some(prompt) = walk::string(input.messages) {
            self.messages = 1;
            self.hear(Speaker::User, SmallVec::from_slice(&[prompt]));
            return;
        }
        walk::walked(input.messages, |rest| self.message(rest));
    }

    /// Reads the message that a text begins with, and gives its length.
    fn message(&mut self, rest: &'a [u8]) -> Option<usize> {
        let (mut speaker, mut content) = (Speaker::Other, None);
        let mut call_bytes = 0;
        let walked = walk::members(rest, |name, value| match name {
            b"role" => speaker = speaker_of(value),
            b"type" if walk::string(value) == Some(b"function_call_output") => speaker = Speaker::Tool,
            b"content" | b"output" => content = Some(value),
            b"tool_calls" | b"arguments" | b"function_call" => call_bytes += wide(value.len()),
            _ => {}
        });
        let used = walked.or_else(|| walk::length(rest))?;
        self.tool_bytes += call_bytes;
        self.messages += u64::from(speaker != Speaker::System);
        self.ends_in_tool_result = speaker == Speaker::Tool;
        let content = content.unwrap_or_default();
        let mut pieces = SmallVec::new();
        match walk::string(content) {
            Some(text) => pieces.push(text),
            None => walk::walked(content, |rest| self.part(rest, &mut pieces)),
        }
        self.hear(speaker, pieces);
        Some(used)
    }

    /// Reads the part of a message that a text begins with, and gives its length.
    fn part(&mut self, rest: &'a [u8], pieces: &mut SmallVec<[&'a [u8]; 4]>) -> Option<usize> {
        let (mut kind, mut text) = (&b""[..], None);
        let walked = walk::members(rest, |name, value| match name {
            b"type" => kind = walk::string(value).unwrap_or_default(),
            b"text" => text = walk::string(value),
            _ => {}
        });
        let used = walked.or_else(|| walk::length(rest))?;
        match kind {
            b"image_url" | b"image" | b"input_image" => self.images += 1,
            b"file" | b"document" | b"input_file" => {
                self.files += 1;
                self.file_bytes += wide(used);
            }
            b"tool_result" => {
                self.ends_in_tool_result = true;
                self.tool_bytes += wide(used);
            }
            b"tool_use" | b"thinking" => self.tool_bytes += wide(used),
            _ => pieces.extend(text),
        }
        Some(used)
    }

    fn hear(&mut self, speaker: Speaker, pieces: SmallVec<[&'a [u8]; 4]>) {
        let bytes: u64 = pieces.iter().map(|piece| wide(piece.len())).sum();
        match speaker {
            Speaker::System => {
                self.system_bytes += bytes;
                if self.system.is_empty() {
                    self.system = pieces;
                }
            }
            Speaker::Tool => self.tool_bytes += bytes,
            Speaker::Other => self.text_bytes += bytes,
            Speaker::User => {
                self.text_bytes += bytes;
                if bytes > 0 {
                    self.turns += 1;
                    self.previous_user = std::mem::replace(&mut self.last_user, pieces);
                }
            }
        }
    }

    /// The last words of the user, then the words before those, then the system prompt, whether it is a field of its own
    /// (`system`) or the first message.
    fn sample(&self, system: &'a [u8]) -> Sample {
        let mut plain = Vec::with_capacity(PLAIN_BYTES);
        take(&self.last_user, LAST_USER_BYTES_MAX, &mut plain);
        let last_user_end = plain.len();
        take(&self.previous_user, TEXT_BYTES_MAX - LAST_USER_BYTES_MAX - SYSTEM_BYTES_MAX, &mut plain);
        let before_end = plain.len();
        let mut pieces = content_pieces(system);
        pieces.extend_from_slice(&self.system);
        take_start(&pieces, SYSTEM_BYTES_MAX, &mut plain);
        // Checked as a whole: a check for each piece between two escapes would take longer than all else.
        match String::from_utf8(plain) {
            Ok(text) => Sample { text, last_user_end, before_end },
            Err(cut) => Sample::mended(cut.as_bytes(), last_user_end, before_end),
        }
    }
}

/// Appends at most `bytes_max` of each list of pieces: head and tail of what is longer.
fn take(pieces: &[&[u8]], bytes_max: usize, text: &mut Vec<u8>) {
    let mut left = bytes_max;
    for piece in pieces {
        if left == 0 {
            return;
        }
        if piece.len() <= left {
            walk::unescape(piece, text);
            left -= piece.len();
        } else {
            let tail = left / 3;
            walk::unescape(piece.get(..left - tail).unwrap_or_default(), text);
            text.push(b'\n');
            walk::unescape(piece.get(piece.len() - tail..).unwrap_or_default(), text);
            left = 0;
        }
        text.push(b'\n');
    }
}

/// Appends the beginning of a list of pieces.
fn take_start(pieces: &[&[u8]], bytes_max: usize, text: &mut Vec<u8>) {
    let mut left = bytes_max;
    for piece in pieces {
        let start = piece.get(..piece.len().min(left)).unwrap_or_default();
        walk::unescape(start, text);
        left -= start.len();
    }
}

/// Who speaks in a role, as it stands in the body.
pub(super) fn speaker_of(role: &[u8]) -> Speaker {
    match walk::string(role).unwrap_or_default() {
        b"user" => Speaker::User,
        b"system" | b"developer" => Speaker::System,
        b"tool" | b"function" => Speaker::Tool,
        _ => Speaker::Other,
    }
}

/// The texts of a content that is a string or a list of text blocks.
fn content_pieces(content: &[u8]) -> SmallVec<[&[u8]; 4]> {
    let mut pieces = SmallVec::new();
    match walk::string(content) {
        Some(text) => pieces.push(text),
        None => walk::elements(content, |part| pieces.extend(walk::member(part, b"text").and_then(walk::string))),
    }
    pieces
}

/// Whether the request says outright that an image shall come back.
fn asks_for_image_part(input: &FeatureInput<'_>) -> bool {
    let mut asked = false;
    walk::elements(input.modalities.unwrap_or_default(), |kind| asked |= kind == br#""image""#);
    let is_responses = input.format == WireFormat::OpenaiResponses;
    let tools = input.tools.filter(|_| is_responses).unwrap_or_default();
    let searched = tools.get(..tools.len().min(TOOLS_SEARCHED_MAX)).unwrap_or_default();
    asked || memchr::memmem::find(searched, br#""image_generation""#).is_some()
}

fn is_json_schema(response_format: &[u8]) -> bool {
    let of_type = |object| walk::member(object, b"type").and_then(walk::string) == Some(b"json_schema");
    of_type(response_format) || walk::member(response_format, b"format").is_some_and(of_type)
}

fn effort(value: &[u8]) -> Option<Effort> {
    let word = walk::string(value).or_else(|| walk::string(walk::member(value, b"effort")?))?;
    Effort::by_name(std::str::from_utf8(word).ok()?)
}

fn is_thinking(thinking: &[u8]) -> bool {
    matches!(walk::member(thinking, b"type").and_then(walk::string), Some(b"enabled" | b"adaptive"))
}

pub(super) fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "features_tests.rs"]
mod tests;
