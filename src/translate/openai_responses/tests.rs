//! What the tests of requests and answers share.

mod answers;
mod requests;
mod round_trip;

use std::sync::Arc;

use bytes::Bytes;

use super::{AnswerReader, StreamWriter, WholeWriter};
use crate::base::ids::{AccountId, RequestId};
use crate::base::usage::Usage;
use crate::catalog::kept::Kept;
use crate::catalog::price::{PriceCard, PriceList};
use crate::catalog::provider::{Access, Dialect, Endpoints, Provider, StreamUsage};
use crate::catalog::thinking::{ThinkingControl, ThinkingSupport};
use crate::catalog::{Capabilities, Limits, Model, ModelKind, Target};
use crate::translate::envelope::{Envelope, SealingKey};
use crate::translate::ir::{Effort, Event, Maker, Text};
use crate::translate::{Closing, Sink, View};
use crate::wire::usage::UsageQuirks;

pub(super) fn envelope() -> Envelope {
    Envelope::new(SealingKey([7; 32]), AccountId(1))
}

pub(super) fn view(request: &str) -> View {
    View {
        id: RequestId(0xf1),
        model: Arc::from("flux-auto"),
        created_s: 1_795_000_000,
        usage_asked: true,
        has_legacy_functions: false,
        request: Bytes::copy_from_slice(request.as_bytes()),
        prompt_tokens: 10,
        maker: Maker { provider: "google".into(), model: "gemini-x".into() },
        envelope: Arc::new(envelope()),
        kept_bytes_max: 1 << 20,
    }
}

/// A thinking model at the service itself.
pub(super) fn target() -> Target {
    let provider = Provider {
        id: "openai".into(),
        name: "OpenAI".into(),
        headers: Vec::new(),
        dialect: Dialect::Openai,
        stream_usage: StreamUsage::Always,
        reasoning_outside_output: false,
        cached_outside_input: false,
        unusable: "".into(),
        accesses: vec![Access::only(crate::base::secret::Secret::new("k".to_owned()), Endpoints::default())],
        concurrent_max: 0,
        live: Kept::default(),
    };
    let model = Model {
        id: "openai/gpt-x".into(),
        canonical: "gpt-x".into(),
        provider_model_id: "gpt-x".into(),
        display_name: "GPT X".into(),
        developer: "OpenAI".into(),
        kind: ModelKind::Chat,
        released: crate::base::time::UnixMs(0),
        retires: None,
        formats: Vec::new(),
        secondary_formats: Vec::new(),
        limits: Limits { output_tokens_max: Some(128_000), ..Limits::default() },
        capabilities: Capabilities {
            streaming: true,
            vision: true,
            pdf: true,
            audio: false,
            assistant_prefill: false,
            cache_marks: true,
            tools: true,
            forced_tool_choice: true,
            json_schema: true,
            sampling_params: true,
            reasoning: true,
            tools_with_reasoning_on_chat: false,
        },
        thinking: ThinkingSupport {
            control: ThinkingControl::Effort,
            efforts: vec![Effort::Low, Effort::Medium, Effort::High],
            can_disable: false,
        },
        tokenizer_factor_milli: 1000,
        price: PriceCard::new(&PriceList::default()),
    };
    Target::new(Arc::new(provider), Arc::new(model))
}

/// What the events of an answer say, pieces of one kind joined.
#[derive(Default)]
pub(super) struct Heard(pub(super) Vec<String>);

impl Heard {
    fn piece(&mut self, kind: &str, piece: &str) {
        let opening = format!("{kind}:");
        match self.0.last_mut() {
            Some(last) if last.starts_with(&opening) => last.push_str(piece),
            _ => self.0.push(format!("{opening}{piece}")),
        }
    }
}

impl Sink for Heard {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start { id, .. } => self.0.push(format!("start {}", id.spelt())),
            Event::Text(piece) => self.piece("text", piece.spelt()),
            Event::Refusal(piece) => self.piece("refusal", piece.spelt()),
            Event::Thought(piece) => self.piece("thought", piece.spelt()),
            Event::Sealed(blob) => self.0.push(format!("sealed {}", blob.token.spelt())),
            Event::CallStart { index, id, name, kind } => {
                self.0.push(format!("call {index} {} {} {kind:?}", id.spelt(), name.spelt()));
            }
            Event::CallArguments { index, piece } => self.piece(&format!("arguments {index}"), piece.spelt()),
            Event::PartEnd => self.0.push("end".into()),
            Event::Citation(citation) => {
                let text = |text: Option<Text<'_>>| text.unwrap_or_default().into_plain().into_owned();
                self.0.push(format!("cite {} {} {:?}", text(citation.url), text(citation.title), citation.range));
            }
            Event::Image { media_type, base64 } => {
                self.0.push(format!("image {} {}", media_type.spelt(), base64.spelt()));
            }
            Event::Logprobs(words) => self.0.push(format!("logprobs {}", words.spelt())),
            Event::Finish { reason, .. } => self.0.push(format!("finish {reason:?}")),
            Event::Usage { usage, service_tier } => {
                let Usage { input, cache_read, output, reasoning, .. } = usage;
                let tier = service_tier.unwrap_or_default();
                self.0.push(format!("usage {input}+{cache_read} {output}({reasoning}) {}", tier.spelt()));
            }
            Event::Fault(fault) => self.0.push(format!("fault {:?} {}", fault.kind, fault.message.spelt())),
        }
    }
}

/// Reads a stream frame by frame.
pub(super) fn read_stream(stream: &[u8]) -> Vec<String> {
    let mut reader = AnswerReader::new(Dialect::Openai, UsageQuirks::default());
    let mut heard = Heard::default();
    for frame in frames(stream) {
        let event = crate::wire::sse::Event::read(frame);
        reader.frame(event.name, &event.data, &mut heard);
    }
    heard.0
}

/// The frames of a stream that ends with one.
pub(super) fn frames(stream: &[u8]) -> Vec<&[u8]> {
    let mut borders = crate::wire::sse::Borders::default();
    let (mut frames, mut from) = (Vec::new(), 0);
    while let Some(end) = borders.next(stream, from) {
        frames.push(&stream[from..end]);
        from = end;
    }
    frames
}

/// The stream of these events.
pub(super) fn stream_of(request: &str, events: &[Event<'_>]) -> String {
    let mut writer = StreamWriter::new(view(request));
    let mut out = Vec::new();
    for event in events {
        writer.event(event, &mut out).unwrap();
    }
    writer.close(&Closing { cost_usd: Some("0.000123") }, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// The whole answer of these events.
pub(super) fn whole_of(request: &str, events: &[Event<'_>]) -> String {
    let mut writer = WholeWriter::new(view(request));
    for event in events {
        writer.event(event).unwrap();
    }
    String::from_utf8(writer.close(&Closing { cost_usd: Some("0.000123") })).unwrap()
}
