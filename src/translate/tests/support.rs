//! Targets, envelopes and spellings for the tests of all formats together.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

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
use crate::translate::View;
use crate::translate::envelope::{Envelope, MARK, NOTHING, Opened, SealingKey};
use crate::translate::ir::{BlobKind, Maker, Text, Value};
use crate::wire::json::Kind;

/// The formats of clients with the names of their folders.
pub(super) const CLIENTS: [(&str, WireFormat); 3] = [
    ("chat", WireFormat::OpenaiChat),
    ("responses", WireFormat::OpenaiResponses),
    ("anthropic", WireFormat::AnthropicMessages),
];

/// The formats of providers.
pub(super) const PROVIDERS: [(&str, WireFormat); 4] = [
    ("chat", WireFormat::OpenaiChat),
    ("responses", WireFormat::OpenaiResponses),
    ("anthropic", WireFormat::AnthropicMessages),
    ("gemini", WireFormat::GeminiGenerate),
];

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
    reasoning: true,
    tools_with_reasoning_on_chat: true,
};

/// A model of each kind that matters, by a name of its own, and the format that it is asked in.
pub(super) fn target(name: &str) -> (Target, WireFormat) {
    use ThinkingControl::{Adaptive, Budget, Effort as ByEffort, Level, None as NoThinking, SwitchAndEffort};
    let (chat, responses) = (WireFormat::OpenaiChat, WireFormat::OpenaiResponses);
    let (anthropic, gemini) = (WireFormat::AnthropicMessages, WireFormat::GeminiGenerate);
    let claude = |caps: fn(&mut Capabilities)| {
        made(anthropic, Dialect::Plain, "anthropic/claude-x", Adaptive, |c| {
            (c.audio, c.assistant_prefill) = (false, false);
            caps(c);
        })
    };
    match name {
        "chat" => made(chat, Dialect::Openai, "openai/gpt-x", ByEffort, |c| c.audio = false),
        "responses" => made(responses, Dialect::Openai, "openai/gpt-x", ByEffort, |c| c.audio = false),
        "anthropic" => claude(|_| {}),
        "gemini" => made(gemini, Dialect::Plain, "google/gemini-3-pro", Level, |_| {}),
        // What refuses a forced choice, follows no schema, and is not drawn from at will.
        "anthropic-unforced" => claude(|c| (c.forced_tool_choice, c.sampling_params) = (false, false)),
        "anthropic-schemaless" => claude(|c| c.json_schema = false),
        // A Claude whose thinking is measured out.
        "anthropic-budget" => made(anthropic, Dialect::Plain, "anthropic/claude-b", Budget, |_| {}),
        "gemini-2.5" => made(gemini, Dialect::Plain, "google/gemini-2.5-flash", Budget, |_| {}),
        "mistral" => made(chat, Dialect::Mistral, "mistral/mistral-x", NoThinking, |c| c.audio = false),
        "deepseek" => made(chat, Dialect::Deepseek, "deepseek/ds-x", SwitchAndEffort, |c| c.vision = false),
        "openrouter" => made(chat, Dialect::Openrouter, "openrouter/or-x", ByEffort, |_| {}),
        "vllm" => made(chat, Dialect::Vllm, "vllm/local-x", NoThinking, |c| c.json_schema = false),
        "ollama" => made(chat, Dialect::Ollama, "ollama/llama-x", NoThinking, |_| {}),
        other => panic!("no target {other}"),
    }
}

fn made(
    format: WireFormat,
    dialect: Dialect,
    id: &str,
    control: ThinkingControl,
    change: impl Fn(&mut Capabilities),
) -> (Target, WireFormat) {
    let (provider, model) = id.split_once('/').unwrap();
    let mut capabilities = ALL;
    change(&mut capabilities);
    capabilities.reasoning = control != ThinkingControl::None;
    let provider = Provider {
        id: provider.into(),
        name: provider.into(),
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
    let efforts = match control {
        ThinkingControl::Effort => vec![Effort::None, Effort::Low, Effort::Medium, Effort::High, Effort::Xhigh],
        ThinkingControl::Adaptive => vec![Effort::Low, Effort::Medium, Effort::High, Effort::Max],
        _ => Vec::new(),
    };
    let model = Model {
        id: id.into(),
        canonical: model.into(),
        provider_model_id: model.into(),
        display_name: model.into(),
        developer: "".into(),
        kind: ModelKind::Chat,
        released: UnixMs(0),
        retires: None,
        formats: vec![format],
        secondary_formats: Vec::new(),
        limits: Limits { output_tokens_max: Some(64_000), ..Limits::default() },
        capabilities,
        thinking: ThinkingSupport { control, efforts, can_disable: true },
        tokenizer_factor_milli: 1_000,
        price: PriceCard::free(),
    };
    (Target::new(Arc::new(provider), Arc::new(model)), format)
}

pub(super) fn envelope() -> Envelope {
    Envelope::new(SealingKey([7; 32]), AccountId(1))
}

pub(super) fn view(request: &'static str) -> View {
    View {
        id: RequestId(0xabc),
        model: "flux-standard".into(),
        created_s: 1_700_000_000,
        usage_asked: true,
        has_legacy_functions: false,
        request: Bytes::from_static(request.as_bytes()),
        prompt_tokens: 42,
        maker: Maker { provider: "host".into(), model: "m-1".into() },
        envelope: Arc::new(envelope()),
        kept_bytes_max: 1 << 20,
    }
}

/// The folder of the golden files, or of one kind of them.
pub(super) fn folder(kind: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(kind)
}

/// The names of the files in a folder, without this ending.
pub(super) fn names(kind: &str, ending: &str) -> Vec<String> {
    let files = std::fs::read_dir(folder(kind)).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = files.filter_map(|file| file.strip_suffix(ending).map(str::to_owned)).collect();
    names.sort();
    names
}

/// `{{seal KIND PROVIDER/MODEL TOKEN}}` in a golden file becomes an envelope.
pub(super) fn sealed(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{seal ") {
        let (inside, after) = after.split_once("}}").unwrap();
        let [kind, maker, token] = inside.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{inside}") };
        let kind = BlobKind::NAMES.iter().find(|(name, _)| *name == kind).unwrap().1;
        let (provider, model) = maker.split_once('/').unwrap();
        let maker = Maker { provider: provider.into(), model: model.into() };
        out.push_str(before);
        out.push_str(envelope().seal(kind, &Text::plain(token), &maker).spelt());
        rest = after;
    }
    out + rest
}

/// The other way round: an envelope is shown as what it holds.
pub(super) fn unsealed(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(MARK) {
        let (before, after) = rest.split_at(at);
        let is_inside = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let end = after.find(|c| !is_inside(c)).unwrap_or(after.len());
        let (token, after) = after.split_at(end);
        if token == NOTHING {
            out.push_str(before);
            out.push_str("{{seal nothing}}");
            rest = after;
            continue;
        }
        let Opened::Sealed(blob) = envelope().open(Text::plain(token.to_owned())) else { panic!("{token}") };
        let maker = blob.maker.unwrap();
        out.push_str(before);
        let token = blob.token.spelt();
        write!(out, "{{{{seal {} {}/{} {token}}}}}", blob.kind.name(), maker.provider, maker.model).unwrap();
        rest = after;
    }
    out + rest
}

/// What fits on a line is written on one; the order stays.
const LINE_CHARS_MAX: usize = 140;

/// JSON for people.
pub(super) fn pretty(json: &str) -> String {
    let value = Value::parse(json.as_bytes()).unwrap_or_else(|error| panic!("{error}: {json}"));
    let mut out = String::new();
    push_pretty(&mut out, value, 0);
    out
}

/// JSON without blanks between its words.
fn compact(json: &str) -> String {
    let (mut is_inside, mut is_escaped) = (false, false);
    let keep = |c: &char| {
        let was_inside = is_inside;
        is_inside ^= *c == '"' && !is_escaped;
        is_escaped = was_inside && *c == '\\' && !is_escaped;
        was_inside || !c.is_ascii_whitespace()
    };
    json.chars().filter(keep).collect()
}

fn push_pretty(out: &mut String, value: Value<'_>, depth: usize) {
    let line = compact(value.spelt());
    let is_small = line.len() + 2 * depth <= LINE_CHARS_MAX;
    let indent = |out: &mut String, depth: usize| write!(out, "\n{:1$}", "", 2 * depth).unwrap();
    match value.kind() {
        Kind::Object if !is_small => {
            out.push('{');
            for (at, (name, value)) in value.members().enumerate() {
                out.push_str(if at == 0 { "" } else { "," });
                indent(out, depth + 1);
                write!(out, "{name:?}: ").unwrap();
                push_pretty(out, value, depth + 1);
            }
            indent(out, depth);
            out.push('}');
        }
        Kind::Array if !is_small => {
            out.push('[');
            for (at, value) in value.elements().enumerate() {
                out.push_str(if at == 0 { "" } else { "," });
                indent(out, depth + 1);
                push_pretty(out, value, depth + 1);
            }
            indent(out, depth);
            out.push(']');
        }
        _ => out.push_str(&line),
    }
}

/// Compares with, or becomes, the golden file of this name.
pub(super) fn assert_golden(kind: &str, name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(folder(kind));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name.to_owned(), text));
}
