//! Anthropic's format on its own: what is read is written again, and rules of the format hold.

mod answers;
mod properties;
mod requests;
mod rules;

use std::sync::Arc;

use super::{AnswerReader, StreamWriter, WholeWriter};
use crate::base::effort::Effort;
use crate::base::ids::{AccountId, RequestId};
use crate::base::secret::Secret;
use crate::base::time::UnixMs;
use crate::base::wire_format::WireFormat;
use crate::catalog::kept::Kept;
use crate::catalog::price::PriceCard;
use crate::catalog::provider::{Access, Dialect, Endpoints, Provider, StreamUsage};
use crate::catalog::thinking::{ThinkingControl, ThinkingSupport};
use crate::catalog::{Capabilities, Limits, Model, ModelKind, Target};
use crate::translate::envelope::{Envelope, SealingKey};
use crate::translate::ir::{Event, Maker, Request, Value};
use crate::translate::{Closing, Invalid, Sink, View, Written};
use crate::wire::usage::UsageQuirks;

pub(super) const ALL: Capabilities = Capabilities {
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
    tools_with_reasoning_on_chat: true,
};

/// A Claude of today: adaptive, 64,000 tokens an answer.
pub(super) fn target(change: impl Fn(&mut Model)) -> Target {
    let provider = Provider {
        id: "anthropic".into(),
        name: "Anthropic".into(),
        headers: Vec::new(),
        dialect: Dialect::Plain,
        stream_usage: StreamUsage::Always,
        reasoning_outside_output: false,
        cached_outside_input: false,
        unusable: "".into(),
        accesses: vec![Access::only(Secret::new(""), Endpoints::default())],
        concurrent_max: 0,
        live: Kept::default(),
    };
    let mut model = Model {
        id: "anthropic/claude-x".into(),
        canonical: "claude-x".into(),
        provider_model_id: "claude-x".into(),
        display_name: "Claude X".into(),
        developer: "Anthropic".into(),
        kind: ModelKind::Chat,
        released: UnixMs(0),
        retires: None,
        formats: vec![WireFormat::AnthropicMessages],
        secondary_formats: Vec::new(),
        limits: Limits { output_tokens_max: Some(64_000), ..Limits::default() },
        capabilities: ALL,
        thinking: ThinkingSupport {
            control: ThinkingControl::Adaptive,
            efforts: vec![Effort::Low, Effort::Medium, Effort::High, Effort::Max],
            can_disable: true,
        },
        tokenizer_factor_milli: 1_000,
        price: PriceCard::free(),
    };
    change(&mut model);
    Target::new(Arc::new(provider), Arc::new(model))
}

/// An older one, whose thinking is measured out.
pub(super) fn older(change: impl Fn(&mut Model)) -> Target {
    target(|model| {
        model.thinking = ThinkingSupport { control: ThinkingControl::Budget, efforts: Vec::new(), can_disable: true };
        model.capabilities.assistant_prefill = true;
        change(model);
    })
}

pub(super) fn envelope() -> Envelope {
    Envelope::new(SealingKey([7; 32]), AccountId(1))
}

pub(super) fn maker() -> Maker<'static> {
    Maker { provider: "anthropic".into(), model: "claude-x".into() }
}

pub(super) fn view() -> View {
    View {
        id: RequestId(0xabc),
        model: "flux-standard".into(),
        created_s: 1,
        usage_asked: true,
        has_legacy_functions: false,
        request: bytes::Bytes::new(),
        prompt_tokens: 42,
        maker: maker(),
        envelope: Arc::new(envelope()),
        kept_bytes_max: 1_000,
    }
}

pub(super) fn read(body: &str) -> Result<Request<'_>, Invalid> {
    super::read_request(Value::parse(body.as_bytes()).unwrap(), &envelope())
}

pub(super) fn write(request: &Request<'_>, target: &Target) -> Result<Written, Invalid> {
    let written = super::write_request(request, target)?;
    Value::parse(&written.body).unwrap();
    Ok(written)
}

pub(super) fn body(written: &Written) -> String {
    String::from_utf8(written.body.clone()).unwrap()
}

/// Writes down events, pieces of one thing joined.
#[derive(Default)]
pub(super) struct Record(pub(super) Vec<String>);

impl Record {
    fn push(&mut self, kind: &str, content: &str) {
        match self.0.last_mut().filter(|last| last.starts_with(kind)) {
            Some(last) => last.push_str(content),
            None => self.0.push(format!("{kind} {content}")),
        }
    }
}

impl Sink for Record {
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are shown as they are")]
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Text(text) => self.push("text", text.spelt()),
            Event::Thought(text) => self.push("thought", text.spelt()),
            Event::CallArguments { index, piece } => self.push(&format!("arguments {index}"), piece.spelt()),
            other => self.0.push(format!("{other:?}")),
        }
    }
}

pub(super) fn reader() -> AnswerReader {
    AnswerReader::new(Dialect::Plain, UsageQuirks::default())
}

/// Passes events on to writers.
pub(super) struct Both {
    pub(super) stream: StreamWriter,
    pub(super) whole: WholeWriter,
    pub(super) out: Vec<u8>,
}

impl Both {
    pub(super) fn new(view: &View) -> Self {
        Self { stream: StreamWriter::new(view.clone()), whole: WholeWriter::new(view.clone()), out: Vec::new() }
    }

    /// The stream, and the whole answer.
    pub(super) fn close(mut self) -> (String, String) {
        let closing = Closing { cost_usd: Some("0.0012") };
        self.stream.close(&closing, &mut self.out).unwrap();
        let whole = self.whole.close(&closing);
        Value::parse(&whole).unwrap();
        (String::from_utf8(self.out).unwrap(), String::from_utf8(whole).unwrap())
    }
}

impl Sink for Both {
    fn take(&mut self, event: Event<'_>) {
        self.stream.event(&event, &mut self.out).unwrap();
        self.whole.event(&event).unwrap();
    }
}
