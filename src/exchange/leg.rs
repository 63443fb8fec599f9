//! The attempt that is under way: whom it asks, in which words, and where its answer stands.
//!
//! Must not choose a target, nor read an answer.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Exchange;
use super::answer::Answer;
use super::count::Purpose;
use super::live::{Running, bit};
use crate::base::wire_format::WireFormat;
use crate::catalog::Target;
use crate::catalog::provider::{Access, StreamUsage};
use crate::translate::openai_chat;
use crate::translate::unseal::Unsealed;
use crate::translate::{self, Emulated, Invalid, Written};
use crate::wire::head::{self, Head};
use crate::wire::splice::{self, UsageAsk};

/// All that belongs to one attempt alone.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts of an attempt")]
pub(super) struct Leg {
    /// Whether its first token was so late that another was begun beside it.
    pub(super) is_late: bool,
    /// `None` before the first.
    pub(super) current: Option<Current>,
    pub(super) answer: Answer,
    /// The target is to be asked again: its kept-alive connection had gone stale.
    pub(super) again: bool,
    pub(super) repeated: bool,
    /// Whether it has failed.
    pub(super) has_failed: bool,
    /// How long the provider asked us to stay away.
    pub(super) wait_told: Option<Duration>,
    /// As `health` knows it; `None` where it does not, and once it has failed.
    pub(super) running: Option<Box<Running>>,
    /// Which access of its provider the target is asked by, and those that were tried, a bit each.
    pub(super) access: usize,
    pub(super) tried: u64,
    /// The text of a stream that what is held pays for.
    pub(super) text_bytes_max: u64,
}

impl Leg {
    /// An attempt at a target by one of its accesses, of which nothing has come yet.
    pub(super) fn new(
        target: Arc<Target>,
        format: WireFormat,
        told: Told,
        (access, running): (usize, Option<Box<Running>>),
    ) -> Self {
        let current = Some(Current { target, format, told });
        Self { current, running, access, tried: bit(access), ..Self::default() }
    }
}

impl Default for Leg {
    fn default() -> Self {
        Self {
            is_late: false,
            current: None,
            answer: Answer::Awaiting,
            again: false,
            repeated: false,
            has_failed: false,
            wait_told: None,
            running: None,
            access: 0,
            tried: 0,
            text_bytes_max: u64::MAX,
        }
    }
}

/// Whom an attempt asks, and how.
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
    /// Whether an access is at another address than the one of that place.
    pub(super) fn has_other_address(&self, place: usize, access: &Access) -> bool {
        let authority =
            |access: &Access| access.endpoints.get(self.format).map(|endpoint| Arc::clone(&endpoint.authority));
        authority(access) != self.target.provider.accesses.get(place).and_then(authority)
    }

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

impl Exchange {
    /// The request as a target is told it in a format.
    pub(super) fn put_to(&self, target: &Target, format: WireFormat) -> Result<Told, Invalid> {
        let client = self.arrival.format;
        let envelope = self.envelope();
        if format == client {
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
            Some(form) => translate::convert::form(&self.body, form, client, target, format),
            None => translate::convert::request(&self.limited(), client, &envelope, target, format),
        }?;
        let Written { body, ignored, emulated, has_legacy_functions } = written;
        let body = match self.arrival.purpose {
            Purpose::Answer => body,
            Purpose::Count => translate::count::prompt(&body, format, &target.model.provider_model_id)
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

    /// The body for the current target: the client's bytes with the model's name spliced, or what was made of them.
    pub fn outgoing_body(&self) -> Bytes {
        let Some(Current { target, told, .. }) = &self.leg.current else { return self.body.clone() };
        match (told, &self.form) {
            (Told::Translated(rewritten), _) => rewritten.body.clone(),
            (Told::Edited(body, _), _) => body.clone(),
            (Told::AsIs, Some(form)) => form.upstream_body(&self.body, &target.model.provider_model_id),
            (Told::AsIs, None) => self.spliced(&self.body, &self.head, target),
        }
    }

    /// Whether what the current target is told is the client's form.
    pub fn is_form_sent(&self) -> bool {
        self.form.is_some() && self.leg.current.as_ref().is_some_and(|current| matches!(current.told, Told::AsIs))
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
        match self.leg.current.as_ref().map(|current| &current.told) {
            Some(Told::Edited(body, _)) => body,
            Some(Told::AsIs | Told::Translated(_)) | None => &self.body,
        }
    }

    /// Whether the current target is told something else in the client's format than the client said.
    pub(super) fn is_edited(&self) -> bool {
        self.leg.current.as_ref().is_some_and(|current| matches!(current.told, Told::Edited(..)))
    }

    /// The format that the current target answers in; the client's own before there is one.
    pub fn upstream_format(&self) -> WireFormat {
        self.leg.current.as_ref().map_or(self.arrival.format, |current| current.format)
    }

    /// What the current target was not told, by the client's names.
    pub fn ignored(&self) -> &[Cow<'static, str>] {
        match self.leg.current.as_ref().map(|current| &current.told) {
            Some(Told::Translated(rewritten)) => &rewritten.ignored,
            Some(Told::Edited(_, ignored)) => ignored,
            Some(Told::AsIs) | None => &[],
        }
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
