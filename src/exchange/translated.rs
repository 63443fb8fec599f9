//! An answer that comes in another format than the client's: when it is held, when it goes on, when it is paid.
//!
//! The rules are those of `answer`; only what goes out is made by a [`Translation`]. Must not know any format.

use std::time::Instant;

use bytes::Bytes;

use super::Exchange;
use super::answer::{Answer, Flow, Keep, Stop};
use super::close::Settlement;
use super::leg::Current;
use super::retry::Failure;
use super::translation::{Bounds, Translation};
use crate::base::outcome::{Ending, Pieces};
use crate::base::refusal::{Refusal, RefusalKind};
use crate::base::usage::Usage;
use crate::base::wire_format::WireFormat;
use crate::meter::estimate;
use crate::translate::convert::{AnswerReader, StreamWriter, WholeWriter};
use crate::translate::emulate::Undoing;
use crate::translate::ir::Maker;
use crate::translate::{Closing, View};
use crate::wire::text;

impl Exchange {
    /// Whether the current target's answer must be translated, or cleared of what was emulated.
    pub(super) fn is_translated(&self) -> bool {
        self.leg.current.as_ref().is_some_and(|current| current.rewritten().is_some())
    }

    /// The translation of the current target's answer, into a stream or into one whole.
    fn new_translation(&self, into_stream: bool) -> Option<Translation> {
        let current = self.leg.current.as_ref()?;
        let Current { target, format, told: _ } = current;
        let limits = &self.snapshot.config.limits;
        let bounds =
            Bounds { frame_bytes_max: limits.sse_frame_bytes_max, text_bytes_max: limits.estimate_text_bytes_max };
        let reader = AnswerReader::new(*format, target.provider.dialect, self.usage_quirks());
        let undoing = Undoing::new(current.rewritten().map(|rewritten| rewritten.emulated.clone()).unwrap_or_default());
        let view = self.view(current);
        let client = self.arrival.format;
        Some(if into_stream {
            Translation::streamed(reader, undoing, StreamWriter::new(client, view), bounds)
        } else {
            Translation::whole(reader, undoing, WholeWriter::new(client, view), bounds)
        })
    }

    fn view(&self, current: &Current) -> View {
        let Current { target, .. } = current;
        let maker = Maker {
            provider: target.provider.id.to_string().into(),
            model: target.model.provider_model_id.to_string().into(),
        };
        View {
            id: self.arrival.id,
            model: self.original.clone(),
            created_s: self.arrival.at.0 / 1_000,
            usage_asked: self.asked_for_usage,
            has_legacy_functions: current.rewritten().is_some_and(|rewritten| rewritten.has_legacy_functions),
            request: self.body.clone(),
            prompt_tokens: self.prompt_tokens_guessed(),
            maker,
            envelope: self.envelope().into(),
            kept_bytes_max: self.snapshot.config.limits.unary_held_bytes_max,
        }
    }

    /// The prompt's tokens from its length alone: the exact count comes with the answer's end. Only Anthropic's
    /// clients are told any before that.
    fn prompt_tokens_guessed(&self) -> u64 {
        if self.arrival.format != WireFormat::AnthropicMessages {
            return 0;
        }
        estimate::tokens_by_length(text::prompt_text_len(&self.body, &self.head), self.tokenizer_factor_milli())
    }

    /// A stream begins.
    pub(super) fn open_translation(&mut self) -> Result<(), Stop> {
        let translation = self.new_translation(self.head.stream).ok_or(Stop::Failed(Failure::BadAnswer))?;
        self.leg.answer = Answer::Translated { translation: Box::new(translation), is_open: false };
        Ok(())
    }

    /// Takes a piece of a stream that is translated.
    pub(super) fn on_translated(
        &mut self,
        chunk: Bytes,
        is_end: bool,
        now: Instant,
        keep: Keep<'_>,
    ) -> Result<Flow, Stop> {
        let Answer::Translated { translation, is_open } = &mut self.leg.answer else { return Ok(Flow::Hold) };
        let was_open = *is_open;
        let mut taken = translation.push(chunk);
        if is_end && taken.is_ok() {
            taken = translation.finish();
        }
        let is_whole = translation.is_over() || (is_end && translation.is_complete());
        let opens = translation.seen().is_opened;
        let failed = taken.err().or((is_end && !is_whole).then_some(Failure::CutStream));
        // A stream that ends before it said anything, not even why it stopped, is the provider's fault.
        let failed = failed.or((is_whole && !opens).then_some(Failure::CutStream));
        match failed {
            Some(failure) if !was_open => Err(Stop::Failed(failure)),
            Some(failure) => Ok(self.cut(failure, now, keep).map_or(Flow::Hold, Flow::Send)),
            None if is_whole => self.finish_translated(now, keep),
            None if !opens => Ok(Flow::Hold),
            None if self.has_outgrown() => {
                let ready = self.release_translated(now);
                let last = self.pay_or_end(now, keep)?;
                Ok(match (ready, last) {
                    (ready, None) => ready,
                    (Flow::Hold, Some(last)) => Flow::Send(last),
                    (Flow::Send(ready), Some(last)) => Flow::Send(Bytes::from([ready, last].concat())),
                })
            }
            None => Ok(self.release_translated(now)),
        }
    }

    fn release_translated(&mut self, now: Instant) -> Flow {
        let Answer::Translated { translation, is_open } = &mut self.leg.answer else { return Flow::Hold };
        *is_open = true;
        let ready = translation.take_ready();
        self.note_content(now);
        if ready.is_empty() { Flow::Hold } else { Flow::Send(ready) }
    }

    fn finish_translated(&mut self, now: Instant, keep: Keep<'_>) -> Result<Flow, Stop> {
        let settlement = self.price_seen_or_estimated();
        let guess = settlement.estimated.then_some(settlement.usage);
        self.note_content(now);
        self.settle(settlement, Ending::Done, now, keep)?;
        let cost = self.cost_told();
        let Answer::Translated { translation, .. } = &mut self.leg.answer else { return Ok(Flow::Hold) };
        let told = guess.map_or(Ok(()), |usage| translation.tell_usage(usage));
        if told.is_err() || translation.close(&Closing { cost_usd: cost.as_deref() }).is_err() {
            // It was kept and is paid, but cannot be ended as its format demands.
            return Ok(self.cut(Failure::TooLarge, now, keep).map_or(Flow::Hold, Flow::Send));
        }
        let last = translation.take_ready();
        self.leg.answer = Answer::Complete;
        Ok(Flow::Send(last))
    }

    /// A whole answer came, for a client of another format.
    pub(super) fn finish_whole_translated(
        &mut self,
        whole: &Bytes,
        as_stream: bool,
        now: Instant,
        keep: Keep<'_>,
    ) -> Result<Flow, Stop> {
        let mut translation = self.new_translation(as_stream).ok_or(Stop::Failed(Failure::BadAnswer))?;
        translation.take_whole(whole).map_err(Stop::Failed)?;
        if !translation.is_complete() && !translation.seen().is_opened {
            return Err(Stop::Failed(Failure::BadAnswer));
        }
        let wants_image = matches!(self.arrival.format, WireFormat::OpenaiImages | WireFormat::OpenaiImageEdits);
        if wants_image && translation.seen().images == 0 {
            return Err(no_image(translation.seen().is_declined));
        }
        self.leg.answer = Answer::Translated { translation: Box::new(translation), is_open: false };
        if as_stream {
            return self.finish_translated(now, keep);
        }
        let settlement = self.price_seen_or_estimated();
        let guess = settlement.estimated.then_some(settlement.usage);
        self.note_content(now);
        self.settle(settlement, Ending::Done, now, keep)?;
        let Answer::Translated { mut translation, .. } = std::mem::replace(&mut self.leg.answer, Answer::Complete)
        else {
            return Ok(Flow::Hold);
        };
        if let Some(usage) = guess {
            translation.tell_usage(usage).map_err(Stop::Failed)?;
        }
        Ok(Flow::Send(translation.into_body(&Closing::default())))
    }

    /// A provider's words about a request that was translated speak of places that the client does not have.
    pub(super) fn in_clients_places(&self, mut refusal: Refusal) -> Refusal {
        let translated = self.leg.current.as_ref().filter(|current| current.rewritten().is_some());
        let Some(current) = translated else { return refusal };
        let is_clients = |param: &str| memchr::memmem::find(&self.body, format!("\"{param}\"").as_bytes()).is_some();
        refusal.param = refusal.param.take().filter(|param| is_clients(param));
        if names_a_place(&refusal.message) {
            let (said, format) = (&refusal.message, current.format);
            refusal.message = format!("{said} (in the request as it was translated to {format})").into();
        }
        refusal
    }

    /// The cost as a client is told it in a stream; nothing where nothing is paid.
    pub(super) fn cost_told(&self) -> Option<String> {
        let amount = self.amount().filter(|_| !self.is_test())?;
        Some(amount.to_string())
    }

    /// What a translated answer cost, by what the provider said of it.
    pub(super) fn price_translated(&self, translation: &Translation) -> Option<Settlement> {
        let seen = translation.seen();
        let counted = Pieces { images: seen.images, ..Pieces::default() };
        // A provider that is paid by the picture need not say more.
        let usage = seen.usage.or_else(|| (seen.images > 0 && self.pays_by_image()).then(Usage::default));
        usage.map(|usage| self.price_all(usage, counted, seen.service_tier.as_deref()))
    }
}

/// Whether a sentence holds a path into a list: `messages.0.content`, `contents[1].parts`.
fn names_a_place(sentence: &str) -> bool {
    let is_step = |[name, step, index]: [u8; 3]| {
        name.is_ascii_alphabetic() && (step == b'.' || step == b'[') && index.is_ascii_digit()
    };
    sentence.as_bytes().array_windows().any(|three: &[u8; 3]| is_step(*three))
}

/// An answer without the image that was asked for. Whoever declined has decided: another target is not asked.
fn no_image(is_declined: bool) -> Stop {
    if !is_declined {
        return Stop::Failed(Failure::BadAnswer);
    }
    let message = "the model declined to make this image; change the prompt";
    let refusal = Refusal::new(RefusalKind::InvalidRequest, message).with_param("prompt");
    Stop::Refused(Box::new(Refusal { code: Some("moderation_blocked".into()), ..refusal }))
}
