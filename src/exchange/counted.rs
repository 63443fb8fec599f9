//! Answers that are no talk: vectors, pictures, transcripts, sound. How they are checked, counted and priced.
//!
//! They come whole and go on as they came. Must not know how they are written: `wire` counts what is in them.

use std::time::Instant;

use bytes::Bytes;

use super::Exchange;
use super::answer::{Answer, Flow, Keep, Stop};
use super::close::Settlement;
use super::retry::Failure;
use crate::base::outcome::{Ending, Pieces};
use crate::base::refusal::{Refusal, RefusalKind};
use crate::base::usage::Usage;
use crate::base::wire_format::WireFormat;
use crate::meter::estimate;
use crate::wire::head::Head;
use crate::wire::leap;
use crate::wire::multipart::Form;
use crate::wire::usage::{member, read_answer};
use crate::wire::{counted, text};

/// Tokens of a picture that nobody counted: a square one of `OpenAI`'s models in high quality.
pub(super) const IMAGE_TOKENS_GUESSED: u64 = 4_160;
/// Tokens of an hour of sound that nobody counted: a thousand a minute.
const AUDIO_TOKENS_PER_HOUR_GUESSED: u64 = 60_000;
const MS_PER_HOUR: u64 = 3_600_000;

/// Refuses requests for a stream where answers come whole.
pub(super) fn check_whole(format: WireFormat, head: &Head, form: Option<&Form>, body: &[u8]) -> Result<(), Refusal> {
    let refuse = |param: &'static str| {
        let message = "answers of this endpoint come whole, not as a stream of events; leave the field out";
        Err(Refusal::new(RefusalKind::InvalidRequest, message).with_param(param))
    };
    let is_streamed = head.stream || form.is_some_and(|form| form.text("stream", body) == b"true");
    if is_streamed && !format.is_conversation() {
        return refuse("stream");
    }
    if format == WireFormat::OpenaiSpeech && member(body, b"stream_format") == b"\"sse\"" {
        return refuse("stream_format");
    }
    Ok(())
}

impl Exchange {
    /// The whole answer came in.
    pub(super) fn finish_counted(&mut self, whole: Bytes, now: Instant, keep: Keep<'_>) -> Result<Flow, Stop> {
        let settlement = self.price_counted(&whole).map_err(Stop::Failed)?;
        self.note_content(now);
        self.settle(settlement, Ending::Done, now, keep)?;
        self.leg.answer = Answer::Complete;
        Ok(Flow::Send(whole))
    }

    /// The price of a whole answer, which must be one of its format.
    fn price_counted(&self, whole: &[u8]) -> Result<Settlement, Failure> {
        let format = self.arrival.format;
        if format == WireFormat::OpenaiSpeech {
            return if whole.is_empty() { Err(Failure::BadAnswer) } else { Ok(self.price_guessed()) };
        }
        if self.wants_plain_transcript() {
            return Ok(self.price_guessed());
        }
        let answer = read_answer(format, whole, self.usage_quirks()).map_err(|_| Failure::BadAnswer)?;
        if answer.is_error {
            return Err(Failure::ErrorEvent);
        }
        let tier = answer.service_tier.as_deref();
        if format == WireFormat::OpenaiTranscriptions {
            return Ok(self.price_transcript(answer.usage, counted::audio_ms(whole)));
        }
        let count = counted::data_count(whole);
        if count == 0 {
            return Err(Failure::BadAnswer);
        }
        let images = if format == WireFormat::OpenaiEmbeddings { 0 } else { count };
        let all = Pieces { images, ..Pieces::default() };
        Ok(match answer.usage {
            Some(usage) => self.price_all(usage, all, tier),
            None if images > 0 && self.pays_by_image() => self.price_all(Usage::default(), all, tier),
            None if images > 0 => self.price_guessed_images(self.prompt_guessed(), images),
            None => self.price_guessed(),
        })
    }

    /// The price of tokens that an answer too large to be held reports, with what the request says of the rest.
    pub(super) fn price_by_request(&self, usage: Usage) -> Settlement {
        let counted = if self.arrival.format.is_conversation() { Pieces::default() } else { self.counted_by_request() };
        self.price_all(usage, counted, None)
    }

    /// The price of an answer of which nothing is known but the request.
    pub(super) fn price_guessed(&self) -> Settlement {
        let counted = self.counted_by_request();
        let Pieces { images, audio_ms, characters } = counted;
        match self.arrival.format {
            WireFormat::OpenaiImages | WireFormat::OpenaiImageEdits => {
                self.price_guessed_images(self.prompt_guessed(), images)
            }
            WireFormat::OpenaiTranscriptions => {
                let (usage, length) = self.by_length_or_token(audio_ms);
                let counted = Pieces { audio_ms: length, ..Pieces::default() };
                Settlement { estimated: true, ..self.price_all(usage, counted, None) }
            }
            WireFormat::OpenaiSpeech => {
                // All of it is in the request: this is no guess.
                self.price_all(Usage::default(), Pieces { characters, ..Pieces::default() }, None)
            }
            WireFormat::OpenaiEmbeddings
            | WireFormat::OpenaiChat
            | WireFormat::OpenaiResponses
            | WireFormat::AnthropicMessages
            | WireFormat::GeminiGenerate
            | WireFormat::BedrockConverse => {
                Settlement { estimated: true, ..self.price_all(self.prompt_guessed(), counted, None) }
            }
        }
    }

    /// The price of pictures whose tokens nobody counted.
    pub(super) fn price_guessed_images(&self, usage: Usage, images: u64) -> Settlement {
        let output_image = if self.pays_by_image() { 0 } else { images.saturating_mul(IMAGE_TOKENS_GUESSED) };
        let counted = Pieces { images, ..Pieces::default() };
        Settlement { estimated: true, ..self.price_all(Usage { output_image, ..usage }, counted, None) }
    }

    fn price_transcript(&self, usage: Option<Usage>, audio_ms: Option<u64>) -> Settlement {
        let by_length = self.pays_by_length();
        match (usage, audio_ms) {
            (usage, Some(audio_ms)) if by_length => {
                self.price_all(usage.unwrap_or_default(), Pieces { audio_ms, ..Pieces::default() }, None)
            }
            (Some(usage), _) if !by_length => self.price(usage, None),
            (_, Some(audio_ms)) => {
                let (usage, _) = self.by_length_or_token(audio_ms);
                Settlement { estimated: true, ..self.price(usage, None) }
            }
            (_, None) => self.price_guessed(),
        }
    }

    /// Sound as it is paid: the tokens it may be, or its length.
    fn by_length_or_token(&self, audio_ms: u64) -> (Usage, u64) {
        if self.pays_by_length() {
            return (Usage::default(), audio_ms);
        }
        let tokens = audio_ms.saturating_mul(AUDIO_TOKENS_PER_HOUR_GUESSED).div_ceil(MS_PER_HOUR);
        // What is said in a minute is a quarter of the tokens that the sound is.
        let output = tokens.div_ceil(4);
        (Usage { input_audio: tokens, output, ..Usage::default() }, 0)
    }

    fn prompt_guessed(&self) -> Usage {
        let numbers = self.head.input.clone().and_then(|range| self.body.get(range)).map_or(0, counted::token_numbers);
        let prompt = match &self.form {
            Some(form) => text::Found { kept: form.text("prompt", &self.body).to_vec(), ..text::Found::default() },
            None => text::prompt_text(&self.body, &self.head, self.text_bytes_max()),
        };
        let bytes_total = prompt.bytes_total.max(u64::try_from(prompt.kept.len()).unwrap_or(u64::MAX));
        let words = estimate::tokens_of_escaped(&prompt.kept, bytes_total, self.tokenizer_factor_milli());
        Usage { input: words.saturating_add(numbers), ..Usage::default() }
    }

    /// What the request says of the answer's units.
    fn counted_by_request(&self) -> Pieces {
        let value = |range: &Option<std::ops::Range<usize>>| range.clone().and_then(|range| self.body.get(range));
        let Some(form) = &self.form else {
            return Pieces {
                images: self.head.n.unwrap_or(1),
                audio_ms: 0,
                characters: value(&self.head.input).map_or(0, counted::characters),
            };
        };
        let n = std::str::from_utf8(form.text("n", &self.body)).ok().and_then(|n| n.parse().ok());
        let audio_ms = counted::audio_ms_guessed(form.file(&self.body));
        Pieces { images: n.unwrap_or(1), audio_ms, characters: 0 }
    }

    /// `quality@size` as the request says them: names of prices in the catalogue, if they are there.
    pub(super) fn image_name(&self) -> String {
        let said = |name: &str| {
            let value = match &self.form {
                Some(form) if !self.is_edited() => form.text(name, &self.body),
                Some(_) | None => leap::string_inside(member(self.told_body(), name.as_bytes())).unwrap_or_default(),
            };
            String::from_utf8_lossy(value).into_owned()
        };
        let size = Some(said("size")).filter(|size| !size.is_empty()).unwrap_or_else(|| said("resolution"));
        format!("{}@{size}", said("quality"))
    }

    fn wants_plain_transcript(&self) -> bool {
        let format = self.form.as_ref().map_or(&b""[..], |form| form.text("response_format", &self.body));
        self.arrival.format == WireFormat::OpenaiTranscriptions && matches!(format, b"text" | b"srt" | b"vtt")
    }

    /// Whether the current target is paid by the picture.
    pub(super) fn pays_by_image(&self) -> bool {
        self.target().is_some_and(|target| target.model.price.has_image_pieces())
    }

    fn pays_by_length(&self) -> bool {
        self.target().is_some_and(|target| target.model.price.has_audio_time())
    }
}
