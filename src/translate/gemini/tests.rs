//! Requests and answers of Gemini. Every request that is written is held against the rules of the mock provider.

use serde_json::{Value as Json, json};

use super::*;
use crate::base::effort::Effort;
use crate::base::secret::Secret;
use crate::base::time::UnixMs;
use crate::catalog::kept::Kept;
use crate::catalog::price::PriceCard;
use crate::catalog::provider::{Access, Dialect, Endpoints, Provider, StreamUsage};
use crate::catalog::thinking::{ThinkingControl, ThinkingSupport};
use crate::catalog::{Capabilities, Limits, ModelKind};
use crate::translate::ir::{Call, CallKind, Maker, Part, PartKind, Request, Role, Text, ToolResult, Turn, Value};
use crate::translate::{Invalid, InvalidFault, Written};

mod answer;
mod history;
mod request;
#[path = "../../../tests/flux/gemini/rules.rs"]
mod rules;

const NEW: &str = "gemini-4-argon";
const OLD: &str = "gemini-2.5-flash-lite";

fn target(name: &str) -> Target {
    let provider = Provider {
        id: "google".into(),
        name: "Google".into(),
        headers: Vec::new(),
        dialect: Dialect::Plain,
        stream_usage: StreamUsage::Always,
        reasoning_outside_output: true,
        cached_outside_input: false,
        unusable: "".into(),
        accesses: vec![Access::only(Secret::new(""), Endpoints::default())],
        concurrent_max: 0,
        live: Kept::default(),
    };
    let is_new = name != OLD;
    let thinking = if is_new {
        let efforts = vec![Effort::Low, Effort::Medium, Effort::High];
        ThinkingSupport { control: ThinkingControl::Level, efforts, can_disable: false }
    } else {
        ThinkingSupport { control: ThinkingControl::Budget, efforts: Vec::new(), can_disable: true }
    };
    let model = Model {
        id: format!("google/{name}").into(),
        canonical: name.into(),
        provider_model_id: name.into(),
        display_name: name.into(),
        developer: "Google".into(),
        kind: ModelKind::Chat,
        released: UnixMs(0),
        retires: None,
        formats: vec![crate::base::wire_format::WireFormat::GeminiGenerate],
        secondary_formats: Vec::new(),
        limits: Limits { output_tokens_max: Some(65_536), ..Limits::default() },
        capabilities: Capabilities {
            streaming: true,
            vision: true,
            pdf: true,
            audio: true,
            assistant_prefill: true,
            cache_marks: false,
            tools: true,
            forced_tool_choice: true,
            json_schema: true,
            sampling_params: true,
            reasoning: true,
            tools_with_reasoning_on_chat: true,
        },
        thinking,
        tokenizer_factor_milli: 1_000,
        price: PriceCard::free(),
    };
    Target::new(provider.into(), model.into())
}

fn changed(name: &str, change: impl FnOnce(&mut Model)) -> Target {
    let Target { provider, model, .. } = target(name);
    let mut model = Model::clone(&model);
    change(&mut model);
    Target::new(provider, model.into())
}

fn words(text: &'static str) -> Part<'static> {
    PartKind::Text(Text::plain(text)).into()
}

fn call(id: &'static str, name: &'static str, arguments: &'static str) -> Part<'static> {
    let (id, name) = (Text::plain(id), Text::plain(name));
    PartKind::Call(Call { id, name, kind: CallKind::Function, arguments: arguments.into() }).into()
}

fn result(id: &'static str, parts: Vec<Part<'static>>) -> Part<'static> {
    let result = ToolResult { id: Text::plain(id), parts, is_error: false, kind: CallKind::Function };
    PartKind::Result(result).into()
}

fn failed(id: &'static str, parts: Vec<Part<'static>>) -> Part<'static> {
    let result = ToolResult { id: Text::plain(id), parts, is_error: true, kind: CallKind::Function };
    PartKind::Result(result).into()
}

/// A part with a signature that this provider's model of the name made.
fn signed(part: Part<'static>, token: &'static str, model: &'static str) -> Part<'static> {
    let maker = Maker { provider: "google".into(), model: model.into() };
    let blob = Blob { kind: BlobKind::GeminiSignature, token: Text::plain(token), maker: Some(maker) };
    Part { blob: Some(blob), ..part }
}

fn thought(text: &'static str) -> Part<'static> {
    PartKind::Thought(Text::plain(text)).into()
}

/// A conversation: who, and what.
fn talk(turns: Vec<(Role, Vec<Part<'static>>)>) -> Request<'static> {
    let turn = |(at, (role, parts))| Turn { role, parts, name: None, at };
    Request { turns: turns.into_iter().enumerate().map(turn).collect(), ..Request::default() }
}

fn asked() -> Request<'static> {
    talk(vec![(Role::User, vec![words("hi")])])
}

fn parsed(json: &'static str) -> Value<'static> {
    Value::parse(json.as_bytes()).unwrap()
}

/// What is written must be what is expected, and nothing that the provider would refuse.
#[track_caller]
fn check(request: &Request<'_>, target: &Target, expected: &Json) -> Written {
    let written = write_request(request, target).unwrap();
    let body: Json = serde_json::from_slice(&written.body).unwrap();
    assert_eq!(body, *expected, "{body:#}");
    assert_eq!(rules::faults(&target.model.provider_model_id, &body), Vec::<String>::new());
    assert_eq!(write_request(request, target).unwrap().body, written.body);
    written
}

/// The same for one field alone.
#[track_caller]
fn check_field(request: &Request<'_>, target: &Target, pointer: &str, expected: &Json) -> Written {
    let written = write_request(request, target).unwrap();
    let body: Json = serde_json::from_slice(&written.body).unwrap();
    assert_eq!(body.pointer(pointer).unwrap_or(&Json::Null), expected, "{pointer} of {body:#}");
    assert_eq!(rules::faults(&target.model.provider_model_id, &body), Vec::<String>::new());
    written
}

#[track_caller]
fn check_refused(request: &Request<'_>, target: &Target, fault: InvalidFault, param: &str) {
    let refused: Invalid = write_request(request, target).unwrap_err();
    assert_eq!((refused.fault, &*refused.param), (fault, param), "{refused}");
}
