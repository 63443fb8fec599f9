//! The attempts of a request: which target is asked next, and with which body.
//!
//! Must not know how an answer is read; a plan comes in, targets and bodies go out.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use smallvec::SmallVec;

use super::Exchange;
use super::answer::Answer;
use super::count::Purpose;
use super::live::{Entry, Running, Wish, bit};
use super::retry::{self, Failure};
use crate::base::refusal::{Refusal, RefusalKind};
use crate::base::wire_format::WireFormat;
use crate::catalog::Target;
use crate::catalog::provider::StreamUsage;
use crate::health::Moment;
use crate::health::places::{Place, Turn};
use crate::plan::Attempt;
use crate::translate::openai_chat;
use crate::translate::unseal::Unsealed;
use crate::translate::{self, Emulated, Invalid, InvalidFault, Written};
use crate::wire::head::{self, Head};
use crate::wire::splice::{self, UsageAsk};

/// What has been tried.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts of a request")]
pub(super) struct Attempts {
    /// Those of the plan that were begun or skipped.
    pub(super) taken: usize,
    /// Those that were begun.
    pub(super) started: u8,
    pub(super) current: Option<Current>,
    /// The current target is to be asked again: its kept-alive connection had gone stale.
    pub(super) again: bool,
    pub(super) repeated: bool,
    pub(super) last_failure: Option<Failure>,
    /// Whether the current attempt is the one that failed.
    pub(super) has_failed: bool,
    /// Why a target of the plan was skipped: it has no place for something in the request.
    pub(super) unsayable: Option<Invalid>,
    /// Failures that may pass by themselves: all but a key or a name of ours that a provider refused.
    pub(super) passing_failures: u8,
    /// The longest that a provider asked us to stay away.
    pub(super) retry_after: Option<Duration>,
    /// The same of the current attempt.
    pub(super) wait_told: Option<Duration>,
    /// The current attempt as `health` knows it; `None` where it does not, and once it has failed.
    pub(super) running: Option<Box<Running>>,
    /// Which access of its provider the current target is asked by, and those that were tried, a bit each.
    pub(super) access: usize,
    pub(super) tried: u64,
    /// Attempts at a target that had failed before.
    pub(super) retries: u64,
    /// When the first of the targets that were passed over may be asked.
    pub(super) away_until: Option<Moment>,
    /// Targets whose provider had no place; the first is waited for when nothing else is left.
    pub(super) full: SmallVec<[Attempt; 1]>,
    pub(super) has_waited: bool,
    pub(super) first_content: Option<Instant>,
    pub(super) overhead: Duration,
}

/// The attempt that runs.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) target: Arc<Target>,
    pub(super) format: WireFormat,
    pub(super) told: Told,
}

/// How the request is put to a target.
#[derive(Debug)]
pub(super) enum Told {
    /// In the client's bytes.
    AsIs,
    /// In the client's format, but not in its bytes: without the seals that we had put in, or in a dialect's fields.
    /// The body that goes out, and what was left out.
    Edited(Bytes, Vec<Cow<'static, str>>),
    /// In another format.
    Translated(Box<Rewritten>),
}

impl Current {
    /// The request in the target's format, where that is another.
    pub(super) fn rewritten(&self) -> Option<&Rewritten> {
        match &self.told {
            Told::Translated(rewritten) => Some(rewritten),
            Told::AsIs | Told::Edited(..) => None,
        }
    }
}

/// A request that was translated.
#[derive(Debug)]
pub(super) struct Rewritten {
    body: Bytes,
    pub(super) ignored: Vec<Cow<'static, str>>,
    pub(super) emulated: Emulated,
    pub(super) has_legacy_functions: bool,
}

/// What comes next.
#[derive(Debug)]
pub enum Next {
    /// This target, in this format, after so long.
    Ask(Arc<Target>, WireFormat, Duration),
    /// A place at a provider, for so long at most; then [`Exchange::take_place`] and this once more.
    Wait(Turn, Duration),
    /// Nothing: the plan is used up, the time is over, or content has gone out.
    Nothing,
    /// The client's request cannot be put to any target of the plan.
    Refuse(Box<Refusal>),
}

impl Exchange {
    /// Takes the next target of the plan that the request can be put to: after a failure of a key or an address
    /// another of the same target, else the next target that is well, else one that may get a place, else the last one
    /// again.
    pub fn next_attempt(&mut self, now: Instant) -> Next {
        if self.answer.is_open() || self.is_past_deadline(now) {
            return Next::Nothing;
        }
        let failure = std::mem::take(&mut self.attempts.has_failed).then_some(self.attempts.last_failure).flatten();
        if std::mem::take(&mut self.attempts.again) {
            self.answer = Answer::Awaiting;
            let again = self.attempts.current.as_ref();
            let ask = |current: &Current| Next::Ask(Arc::clone(&current.target), current.format, Duration::ZERO);
            return again.map_or(Next::Nothing, ask);
        }
        if let Some(next) = failure.and_then(|failure| self.by_another_access(failure, now)) {
            return next;
        }
        while let Some(attempt) = self.plan.attempts.get(self.attempts.taken).cloned() {
            self.attempts.taken = self.attempts.taken.saturating_add(1);
            if let Some(next) = self.attempt(attempt, None, now) {
                return next;
            }
        }
        if let Some(next) = self.wait_for_place().or_else(|| self.repeat(failure?, now)) {
            return next;
        }
        self.nothing_left(now)
    }

    /// Begins an attempt, unless it cannot go now or the request cannot be put to it.
    fn attempt(&mut self, attempt: Attempt, place: Option<Place>, now: Instant) -> Option<Next> {
        if self.has_tried_enough() {
            return None;
        }
        let running = match self.enter(&attempt.target, Wish { place, ..Wish::default() }, now) {
            Some(Entry::In(running)) => Some(running),
            Some(Entry::Away(until)) => {
                self.pass_over(until);
                return None;
            }
            Some(Entry::Full) => {
                self.attempts.full.push(attempt);
                return None;
            }
            None => None,
        };
        match self.put_to(&attempt) {
            Ok(told) => Some(self.begin(attempt, told, running, now)),
            Err(invalid) if invalid.fault == InvalidFault::Request => Some(refuse(invalid)),
            Err(invalid) => {
                self.attempts.unsayable = Some(invalid);
                None
            }
        }
    }

    fn has_tried_enough(&self) -> bool {
        usize::from(self.attempts.started) >= self.snapshot.config.limits.attempts_max.max(1)
    }

    fn pass_over(&mut self, until: Moment) {
        self.attempts.away_until = Some(self.attempts.away_until.map_or(until, |first| first.min(until)));
    }

    /// The same target by another key or at another address, where the failure was of the one that was tried.
    fn by_another_access(&mut self, failure: Failure, now: Instant) -> Option<Next> {
        let tried = self.worth_another_access(failure).filter(|_| !self.has_tried_enough())?;
        let target = Arc::clone(self.target()?);
        match self.enter(&target, Wish { tried, is_again: true, place: None }, now)? {
            Entry::In(running) => self.begin_again(running, Duration::ZERO),
            Entry::Away(_) | Entry::Full => None,
        }
    }

    /// Lines up for a place at the first provider that had none.
    fn wait_for_place(&mut self) -> Option<Next> {
        if self.attempts.full.is_empty() || std::mem::replace(&mut self.attempts.has_waited, true) {
            return None;
        }
        let turn = self.line_up(&self.attempts.full.first()?.target.provider)?;
        Some(Next::Wait(turn, self.snapshot.config.health.queue_wait))
    }

    /// Takes the place that was waited for; `None` where none was free in time.
    pub fn take_place(&mut self, place: Option<Place>, now: Instant) -> Next {
        let attempt = self.attempts.full.first().cloned();
        let next = attempt.zip(place).and_then(|(attempt, place)| self.attempt(attempt, Some(place), now));
        next.unwrap_or_else(|| self.nothing_left(now))
    }

    /// The last target once more, where nothing else is left and its fault may have passed.
    fn repeat(&mut self, failure: Failure, now: Instant) -> Option<Next> {
        const PARTS: u32 = 1 << 16;
        let health = &self.snapshot.config.health;
        if self.attempts.retries >= health.retries_max || !failure.is_passing() {
            return None;
        }
        // Between half of it and the whole.
        let half = health.retry_delay.saturating_mul(1 << self.attempts.retries.min(16)) / 2;
        let part = u32::try_from(self.draw() % u64::from(PARTS)).unwrap_or_default();
        let delay = half.saturating_add(half.saturating_mul(part) / PARTS);
        if self.attempts.retry_after.is_some_and(|wait| wait > delay) {
            return None;
        }
        let reserve = health.retry_reserve;
        let target = Arc::clone(self.target()?);
        match self.enter(&target, Wish { is_again: true, ..Wish::default() }, now)? {
            Entry::In(running) if self.arrival.health.budget.take(reserve) => {
                self.attempts.retries = self.attempts.retries.saturating_add(1);
                self.begin_again(running, delay)
            }
            Entry::In(_) | Entry::Away(_) | Entry::Full => None,
        }
    }

    fn nothing_left(&mut self, now: Instant) -> Next {
        if self.attempts.started > 0 {
            // What was asked and failed says more than what was not.
            return Next::Nothing;
        }
        match (self.attempts.unsayable.take(), self.attempts.away_until) {
            (Some(invalid), _) => refuse(invalid),
            (None, _) if !self.attempts.full.is_empty() => Next::Refuse(Box::new(retry::all_full())),
            (None, Some(until)) => Next::Refuse(Box::new(retry::all_away(self.wait_until(until, now)))),
            (None, None) => Next::Nothing,
        }
    }

    fn begin_again(&mut self, running: Box<Running>, delay: Duration) -> Option<Next> {
        let current = self.attempts.current.as_ref()?;
        let next = Next::Ask(Arc::clone(&current.target), current.format, delay);
        self.attempts.started = self.attempts.started.saturating_add(1);
        self.attempts.repeated = false;
        self.attempts.access = running.access;
        self.attempts.tried |= bit(running.access);
        self.attempts.running = Some(running);
        self.answer = Answer::Awaiting;
        Some(next)
    }

    fn begin(&mut self, attempt: Attempt, told: Told, running: Option<Box<Running>>, now: Instant) -> Next {
        let Attempt { target, format } = attempt;
        if self.attempts.started == 0 {
            let health = &self.snapshot.config.health;
            self.arrival.health.budget.pay_in(health.retry_percent, health.retry_reserve);
            self.attempts.overhead = now.saturating_duration_since(self.arrival.read);
        }
        self.attempts.started = self.attempts.started.saturating_add(1);
        self.attempts.repeated = false;
        let access = running.as_ref().map(|running| running.access);
        self.attempts.access = access.unwrap_or_else(|| self.uncounted_access(&target.provider));
        self.attempts.tried = bit(self.attempts.access);
        self.attempts.current = Some(Current { target: Arc::clone(&target), format, told });
        self.attempts.running = running;
        self.answer = Answer::Awaiting;
        self.text_bytes_max = self.text_bytes_paid_for();
        Next::Ask(target, format, Duration::ZERO)
    }

    /// The request in the attempt's format.
    pub(super) fn put_to(&self, attempt: &Attempt) -> Result<Told, Invalid> {
        let Attempt { target, format } = attempt;
        let client = self.arrival.format;
        let envelope = self.envelope();
        if *format == client {
            if let Some((body, ignored)) =
                translate::convert::reshaped(&self.body, self.form.as_deref(), client, target)?
            {
                return Ok(Told::Edited(body.into(), ignored));
            }
            // What was sealed for a client of one format must not go back to a provider as it is.
            let unsealed = translate::convert::unsealed(&self.body, &self.head, client, &envelope, target);
            return Ok(unsealed.map_or(Told::AsIs, |unsealed| self.told_unsealed(unsealed, target)));
        }
        let written = match &self.form {
            Some(form) => translate::convert::form(&self.body, form, client, target, *format),
            None => translate::convert::request(&self.limited(), client, &envelope, target, *format),
        }?;
        let Written { body, ignored, emulated, has_legacy_functions } = written;
        let body = match self.arrival.purpose {
            Purpose::Answer => body,
            Purpose::Count => translate::count::prompt(&body, *format, &target.model.provider_model_id)
                .map_err(|error| Invalid::target("", error.to_string()))?,
        };
        let body = Bytes::from(body);
        Ok(Told::Translated(Box::new(Rewritten { body, ignored, emulated, has_legacy_functions })))
    }

    /// The JSON that is read for another format.
    fn limited(&self) -> Cow<'_, [u8]> {
        let Some(tokens) = self.output_limit else { return self.readable() };
        let field = limit_field(self.arrival.format);
        Cow::Owned(splice::limited_body(&self.body, &self.head, field, tokens).to_vec())
    }

    fn told_unsealed(&self, unsealed: Unsealed, target: &Target) -> Told {
        let Unsealed { body, ignored } = unsealed;
        let body = Bytes::from(body);
        match head::scan(&body) {
            Ok(head) => {
                Told::Edited(self.spliced(&body, &head, target), ignored.map(Cow::Borrowed).into_iter().collect())
            }
            // Cannot be: nothing of the head was touched.
            Err(_) => Told::AsIs,
        }
    }

    /// Leaves out of the rest of the plan what has no larger window than the current target, whose window the
    /// prompt has just been found too long for. Whether anything is left.
    pub(super) fn skip_smaller_windows(&mut self) -> bool {
        let window = |target: &Target| target.model.limits.prompt_tokens_max();
        let Some(too_small) = self.attempts.current.as_ref().map(|current| window(&current.target)) else {
            return false;
        };
        let taken = self.attempts.taken;
        let mut place = 0;
        self.plan.attempts.retain(|attempt| {
            place += 1;
            place <= taken || window(&attempt.target) > too_small
        });
        taken < self.plan.attempts.len()
    }

    /// The body for the current target: the client's bytes with the model's name spliced, or what was made of them.
    pub fn outgoing_body(&self) -> Bytes {
        let Some(Current { target, told, .. }) = &self.attempts.current else { return self.body.clone() };
        match (told, &self.form) {
            (Told::Translated(rewritten), _) => rewritten.body.clone(),
            (Told::Edited(body, _), _) => body.clone(),
            (Told::AsIs, Some(form)) => form.upstream_body(&self.body, &target.model.provider_model_id),
            (Told::AsIs, None) => self.spliced(&self.body, &self.head, target),
        }
    }

    /// Whether what the current target is told is the client's form.
    pub fn is_form_sent(&self) -> bool {
        self.form.is_some() && self.attempts.current.as_ref().is_some_and(|current| matches!(current.told, Told::AsIs))
    }

    /// The client's bytes with the model's name of the target.
    fn spliced(&self, body: &Bytes, head: &Head, target: &Target) -> Bytes {
        let ask = if head.stream
            && self.arrival.format == WireFormat::OpenaiChat
            && target.provider.stream_usage == StreamUsage::StreamOptions
        {
            UsageAsk::Include
        } else {
            UsageAsk::AsIs
        };
        let model = &target.model.provider_model_id;
        let Some(tokens) = self.output_limit else { return splice::upstream_body(body, head, model, ask) };
        let field = if self.arrival.format == WireFormat::OpenaiChat {
            openai_chat::limit_field(target.provider.dialect)
        } else {
            limit_field(self.arrival.format)
        };
        let limited = splice::limited_body(body, head, field, tokens);
        match head::scan(&limited) {
            Ok(head) => splice::upstream_body(&limited, &head, model, ask),
            Err(_) => limited,
        }
    }

    /// The JSON that the current target was told in the client's format; the client's own where it was not changed.
    pub(super) fn told_body(&self) -> &Bytes {
        match self.attempts.current.as_ref().map(|current| &current.told) {
            Some(Told::Edited(body, _)) => body,
            Some(Told::AsIs | Told::Translated(_)) | None => &self.body,
        }
    }

    /// Whether the current target is told something else in the client's format than the client said.
    pub(super) fn is_edited(&self) -> bool {
        self.attempts.current.as_ref().is_some_and(|current| matches!(current.told, Told::Edited(..)))
    }

    /// The format that the current target answers in; the client's own before there is one.
    pub fn upstream_format(&self) -> WireFormat {
        self.attempts.current.as_ref().map_or(self.arrival.format, |current| current.format)
    }

    /// What the current target was not told, by the client's names.
    pub fn ignored(&self) -> &[Cow<'static, str>] {
        match self.attempts.current.as_ref().map(|current| &current.told) {
            Some(Told::Translated(rewritten)) => &rewritten.ignored,
            Some(Told::Edited(_, ignored)) => ignored,
            Some(Told::AsIs) | None => &[],
        }
    }

    /// Asks the current target again, once: a kept-alive connection may die as it is taken up, which
    /// says nothing about the provider.
    pub fn repeat_attempt(&mut self) -> bool {
        if self.attempts.repeated || self.answer.is_open() {
            return false;
        }
        self.attempts.repeated = true;
        self.attempts.again = true;
        true
    }

    /// A provider says how long it wants to be left alone.
    pub(super) fn note_wait(&mut self, wait: Option<Duration>) {
        self.attempts.retry_after = self.attempts.retry_after.max(wait);
        self.attempts.wait_told = wait;
    }

    /// Gemini says in the body of a failure when it may be asked again, and nowhere else.
    pub(super) fn tells_wait_in_body(&self, failure: Failure) -> bool {
        self.upstream_format() == WireFormat::GeminiGenerate && matches!(failure, Failure::Status(429 | 503))
    }

    /// Whether a failed attempt is to be followed by another.
    pub fn wants_retry(&self, now: Instant) -> bool {
        let is_mendable = self.attempts.last_failure.is_none_or(Failure::is_worth_another_attempt);
        !self.answer.is_open()
            && is_mendable
            && !self.is_past_deadline(now)
            && (self.attempts.again || (!self.has_tried_enough() && self.has_more()))
    }

    /// Whether anything may be left. Whether there is, is seen as it is taken.
    fn has_more(&self) -> bool {
        if self.attempts.taken < self.plan.attempts.len() {
            return true;
        }
        let may_repeat = self.attempts.retries < self.snapshot.config.health.retries_max;
        let Some(failure) = self.attempts.last_failure else { return false };
        (may_repeat && failure.is_passing())
            || self.worth_another_access(failure).is_some()
            || (!self.attempts.full.is_empty() && !self.attempts.has_waited)
    }
}

/// What a client's format calls the most tokens of an answer.
fn limit_field(format: WireFormat) -> &'static str {
    match format {
        WireFormat::OpenaiChat => "max_completion_tokens",
        WireFormat::OpenaiResponses => "max_output_tokens",
        WireFormat::AnthropicMessages
        | WireFormat::OpenaiImages
        | WireFormat::GeminiGenerate
        | WireFormat::BedrockConverse
        | WireFormat::OpenaiEmbeddings
        | WireFormat::OpenaiImageEdits
        | WireFormat::OpenaiTranscriptions
        | WireFormat::OpenaiSpeech => "max_tokens",
    }
}

fn refuse(invalid: Invalid) -> Next {
    let Invalid { message, param, fault: _ } = invalid;
    let refusal = Refusal::new(RefusalKind::InvalidRequest, message);
    Next::Refuse(Box::new(if param.is_empty() { refusal } else { refusal.with_param(param) }))
}
