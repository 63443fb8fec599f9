//! Targets, views and a sink, for all tests of the format.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value as Json, json};

use crate::base::ids::{AccountId, RequestId};
use crate::base::secret::Secret;
use crate::base::time::UnixMs;
use crate::base::wire_format::WireFormat;
use crate::catalog::kept::Kept;
use crate::catalog::price::PriceCard;
use crate::catalog::provider::{Access, Dialect, Endpoints, Provider, StreamUsage};
use crate::catalog::thinking::ThinkingSupport;
use crate::catalog::{Capabilities, Limits, Model, ModelKind, Target};
use crate::translate::envelope::{Envelope, SealingKey};
use crate::translate::ir::{Event, Maker, Request, Value};
use crate::translate::openai_chat::{AnswerReader, read_request, write_request};
use crate::translate::{Invalid, Sink, View, Written};
use crate::wire::usage::UsageQuirks;

pub(super) const ALL: Capabilities = Capabilities {
    streaming: true,
    vision: true,
    pdf: true,
    audio: true,
    assistant_prefill: true,
    cache_marks: true,
    tools: true,
    forced_tool_choice: true,
    json_schema: true,
    sampling_params: true,
    reasoning: false,
    tools_with_reasoning_on_chat: true,
};

pub(super) fn target(dialect: Dialect, change: impl Fn(&mut Model)) -> Target {
    let provider = Provider {
        id: "host".into(),
        name: "host".into(),
        headers: Vec::new(),
        dialect,
        stream_usage: if dialect == Dialect::Mistral { StreamUsage::Always } else { StreamUsage::StreamOptions },
        reasoning_outside_output: false,
        cached_outside_input: false,
        unusable: "".into(),
        accesses: vec![Access::only(Secret::new(""), Endpoints::default())],
        concurrent_max: 0,
        live: Kept::default(),
    };
    let mut model = Model {
        id: "host/m".into(),
        canonical: "m".into(),
        provider_model_id: "m-1".into(),
        display_name: "M".into(),
        developer: "".into(),
        kind: ModelKind::Chat,
        released: UnixMs(0),
        retires: None,
        formats: vec![WireFormat::OpenaiChat],
        secondary_formats: vec![],
        limits: Limits { context_tokens: None, input_tokens_max: None, output_tokens_max: Some(32_000) },
        capabilities: ALL,
        thinking: ThinkingSupport::default(),
        tokenizer_factor_milli: 1_000,
        price: PriceCard::free(),
    };
    change(&mut model);
    Target::new(Arc::new(provider), Arc::new(model))
}

pub(super) fn of(dialect: Dialect) -> Target {
    target(dialect, |_| {})
}

pub(super) fn envelope() -> Envelope {
    Envelope::new(SealingKey([7; 32]), AccountId(1))
}

pub(super) fn read(body: &str) -> Result<Request<'_>, Invalid> {
    read_request(Value::parse(body.as_bytes()).unwrap(), &envelope())
}

/// Reads and writes a request.
pub(super) fn through(body: &Json, target: &Target) -> Result<(Json, Written), Invalid> {
    let text = body.to_string();
    let request = read(&text)?;
    written(&request, target)
}

pub(super) fn written(request: &Request<'_>, target: &Target) -> Result<(Json, Written), Invalid> {
    let written = write_request(request, target)?;
    let json = serde_json::from_slice(&written.body)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&written.body)));
    Ok((json, written))
}

/// A request of one user's message with these members beside it.
pub(super) fn asking(members: &Json) -> Json {
    let mut body = json!({ "model": "x", "messages": [{ "role": "user", "content": "hi" }] });
    for (name, value) in members.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

pub(super) fn view() -> View {
    View {
        id: RequestId(0xabc),
        model: "flux-fast".into(),
        created_s: 1_700_000_000,
        usage_asked: true,
        has_legacy_functions: false,
        request: Bytes::new(),
        prompt_tokens: 0,
        maker: Maker { provider: "host".into(), model: "m-1".into() },
        envelope: Arc::new(envelope()),
        kept_bytes_max: 1 << 20,
    }
}

/// Writes down what happened, pieces of one kind joined.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) lines: Vec<String>,
}

impl Log {
    fn grow(&mut self, what: &str, more: &str) {
        match self.lines.iter_mut().rfind(|line| !line.starts_with("usage")) {
            Some(last) if last.starts_with(what) => last.push_str(more),
            _ => self.lines.push(format!("{what}{more}")),
        }
    }

    /// The same without what says no more than the next line does.
    pub(super) fn said(&self) -> Vec<&str> {
        self.lines.iter().map(|line| &**line).filter(|line| *line != "end" && !line.starts_with("start")).collect()
    }
}

impl Sink for Log {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start { id, .. } => self.lines.push(format!("start {}", id.spelt())),
            Event::Text(text) => self.grow("text ", text.spelt()),
            Event::Refusal(text) => self.grow("refusal ", text.spelt()),
            Event::Thought(text) => self.grow("thought ", text.spelt()),
            Event::Sealed(blob) => self.lines.push(format!("sealed {} {}", blob.kind.name(), blob.token.to_plain())),
            Event::CallStart { index, id, name, kind } => {
                self.lines.push(format!("call {index} {} {} {kind:?}", id.spelt(), name.spelt()));
            }
            Event::CallArguments { index, piece } => self.grow(&format!("arguments {index} "), piece.spelt()),
            Event::PartEnd => self.lines.push("end".to_owned()),
            Event::Citation(citation) => {
                let url = citation.url.map(|url| url.spelt().to_owned()).unwrap_or_default();
                self.lines.push(format!("citation {url} {:?}", citation.range));
            }
            Event::Image { media_type, base64 } => {
                self.lines.push(format!("image {} {}", media_type.spelt(), base64.spelt()));
            }
            Event::Logprobs(content) => self.lines.push(format!("logprobs {}", content.spelt())),
            Event::Finish { reason, .. } => self.lines.push(format!("finish {reason:?}")),
            Event::Usage { usage, service_tier } => {
                let tier = service_tier.map(|tier| tier.spelt().to_owned()).unwrap_or_default();
                let line = format!("usage {} {} {tier}", usage.prompt_total(), usage.completion_total());
                // The last one holds.
                self.lines.retain(|line| !line.starts_with("usage"));
                self.lines.push(line.trim_end().to_owned());
            }
            Event::Fault(fault) => self.lines.push(format!("fault {:?} {}", fault.kind, fault.message.spelt())),
        }
    }
}

/// The events of chunks.
pub(super) fn streamed(dialect: Dialect, chunks: &[&str]) -> (Log, AnswerReader) {
    let mut log = Log::default();
    let mut reader = AnswerReader::new(dialect, UsageQuirks::default());
    for chunk in chunks {
        reader.frame(b"", chunk.as_bytes(), &mut log);
    }
    (log, reader)
}

/// The events of a whole answer.
pub(super) fn whole(dialect: Dialect, answer: &str) -> (Log, AnswerReader) {
    let mut log = Log::default();
    let mut reader = AnswerReader::new(dialect, UsageQuirks::default());
    reader.whole(Value::parse(answer.as_bytes()).unwrap(), &mut log);
    (log, reader)
}
