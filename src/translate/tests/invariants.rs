//! What holds for every request, whatever it says and whoever is asked.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value as Json;

use super::support::{envelope, target};
use crate::base::wire_format::WireFormat;
use crate::catalog::Target;
use crate::translate::ir::{
    Blob, BlobKind, CacheMark, CacheTtl, Call, CallKind, Maker, Media, OutputForm, Part, PartKind, Reasoning, Request,
    Role, Shown, Source, Text, Thinking, Tool, ToolChoice, ToolKind, ToolResult, Turn, Value,
};
use crate::translate::{Invalid, Written, anthropic, gemini, openai_chat, openai_responses, order};

/// Every model and host that the tests know.
const TARGETS: [&str; 13] = [
    "chat",
    "responses",
    "anthropic",
    "gemini",
    "anthropic-unforced",
    "anthropic-schemaless",
    "anthropic-budget",
    "gemini-2.5",
    "mistral",
    "deepseek",
    "openrouter",
    "vllm",
    "ollama",
];

const MAKERS: [(&str, &str); 4] =
    [("openai", "gpt-x"), ("anthropic", "claude-x"), ("google", "gemini-3-pro"), ("openrouter", "or-x")];
const WORDS: [&str; 8] = ["", " ", "hi", "a \"b\"\n\\", "\u{1f600}\u{e4}", "{\"x\":1}", "<system>", "0"];
/// Ids as clients make them: some fit nowhere but at home.
const IDS: [&str; 5] = ["call_1", "toolu_01", "a:b/c d", "x", "functions.f:0"];
const ARGUMENTS: [&str; 5] = ["{}", "", "{\"a\":[1.0]}", "{broken", "[1]"];

fn write(request: &Request<'_>, target: &Target, format: WireFormat) -> Result<Written, Invalid> {
    match format {
        WireFormat::OpenaiResponses => openai_responses::write_request(request, target),
        WireFormat::AnthropicMessages => anthropic::write_request(request, target),
        WireFormat::GeminiGenerate => gemini::write_request(request, target),
        _ => openai_chat::write_request(request, target),
    }
}

fn read(body: &[u8], format: WireFormat) -> Option<Result<Request<'_>, Invalid>> {
    let body = Value::parse(body).unwrap();
    match format {
        WireFormat::OpenaiChat => Some(openai_chat::read_request(body, &envelope())),
        WireFormat::OpenaiResponses => Some(openai_responses::read_request(body, &envelope())),
        WireFormat::AnthropicMessages => Some(anthropic::read_request(body, &envelope())),
        _ => None,
    }
}

fn text() -> impl Strategy<Value = Text<'static>> {
    select(&WORDS[..]).prop_map(Text::plain)
}

/// A blob that can be found again: its token says whose it is.
fn blob() -> impl Strategy<Value = Blob<'static>> {
    (select(&BlobKind::NAMES[..]), prop::option::of(select(&MAKERS[..]))).prop_map(|((name, kind), maker)| {
        let (provider, model) = maker.unwrap_or(("none", "none"));
        // Details are JSON, which goes into the body as it is.
        let token = if kind == BlobKind::ChatDetails {
            format!("[{{\"type\":\"reasoning.encrypted\",\"data\":\"BLOB.{name}.{provider}.{model}.\"}}]")
        } else {
            format!("BLOB.{name}.{provider}.{model}.")
        };
        let maker = maker.map(|(provider, model)| Maker { provider: provider.into(), model: model.into() });
        Blob { kind, token: Text::plain(token), maker }
    })
}

fn part(kind: PartKind<'static>, mark: bool) -> Part<'static> {
    Part { cache: mark.then_some(CacheMark(CacheTtl::M5)), ..kind.into() }
}

fn picture() -> PartKind<'static> {
    let source = Source::Inline { media_type: Text::plain("image/png"), base64: Text::plain("iVBORw0KGgo=") };
    PartKind::Image(Media { source, name: None, detail: None })
}

fn said_by_user() -> impl Strategy<Value = Part<'static>> {
    prop_oneof![
        4 => (text(), any::<bool>()).prop_map(|(text, mark)| part(PartKind::Text(text), mark)),
        1 => Just(part(picture(), true)),
        1 => text().prop_map(|text| part(
            PartKind::File(Media { source: Source::Plain(text), name: Some(Text::plain("n")), detail: None }), false)),
    ]
}

/// One turn of the assistant: its parts, and the calls among them.
#[derive(Clone, Debug)]
enum Step {
    User(Vec<Part<'static>>),
    System(Text<'static>),
    Assistant(Vec<Part<'static>>, Vec<(&'static str, &'static str, bool, bool)>),
}

fn step() -> impl Strategy<Value = Step> {
    let said = prop_oneof![
        3 => (text(), prop::option::of(blob())).prop_map(|(text, blob)| Part { blob, ..PartKind::Text(text).into() }),
        2 => (text(), prop::option::of(blob())).prop_map(|(text, blob)| Part { blob, ..PartKind::Thought(text).into() }),
        1 => text().prop_map(|text| PartKind::Refusal(text).into()),
        1 => Just(picture().into()),
    ];
    let call = (select(&IDS[..]), select(&ARGUMENTS[..]), any::<bool>(), any::<bool>());
    prop_oneof![
        2 => prop::collection::vec(said_by_user(), 1..3).prop_map(Step::User),
        1 => text().prop_map(Step::System),
        3 => (prop::collection::vec(said, 0..3), prop::collection::vec(call, 0..3)).prop_map(|(s, c)| Step::Assistant(s, c)),
    ]
}

fn request() -> impl Strategy<Value = Request<'static>> {
    let effort = prop::option::of(select(&crate::base::effort::Effort::NAMES[..]).prop_map(|(_, effort)| effort));
    let thinking = prop::option::of(prop_oneof![
        Just(Thinking::Off),
        Just(Thinking::Adaptive),
        (0u64..70_000).prop_map(Thinking::Budget)
    ]);
    let shown = prop::option::of(prop_oneof![Just(Shown::Omitted), Just(Shown::Auto)]);
    let choice = prop_oneof![
        4 => Just(None),
        1 => Just(Some(ToolChoice::Auto)),
        1 => Just(Some(ToolChoice::None)),
        1 => Just(Some(ToolChoice::Required)),
        1 => Just(Some(ToolChoice::Named(Text::plain("f")))),
        1 => Just(Some(ToolChoice::Allowed { is_required: false, names: vec![Text::plain("f")] })),
    ];
    let form = prop_oneof![
        3 => Just(OutputForm::Free),
        1 => Just(OutputForm::JsonObject),
        1 => Just(OutputForm::Schema {
            name: None,
            description: None,
            schema: Value::parse(br#"{"type":"object","properties":{}}"#).unwrap(),
            strict: Some(true),
        }),
    ];
    let conversation = prop::collection::vec(step(), 1..7);
    (conversation, effort, thinking, shown, choice, form, prop::option::of(any::<bool>())).prop_map(
        |(steps, effort, thinking, shown, tool_choice, output_form, parallel_calls)| Request {
            turns: turns(steps),
            tools: tools(),
            tool_choice,
            output_form,
            parallel_calls,
            reasoning: Reasoning { thinking, effort, shown },
            output_tokens_max: Some(4_096),
            ..Request::default()
        },
    )
}

fn tools() -> Vec<Tool<'static>> {
    let schema = Some(Value::parse(br#"{"type":"object"}"#).unwrap());
    let kinds = [ToolKind::Function { schema, strict: None }, ToolKind::Custom { grammar: None }];
    let named = kinds.into_iter().zip(["f", "sh"]).enumerate();
    named.map(|(at, (kind, name))| Tool { kind, name: Text::plain(name), description: None, cache: None, at }).collect()
}

/// The steps as turns, every call with its result, the last word the user's.
fn turns(steps: Vec<Step>) -> Vec<Turn<'static>> {
    let mut turns: Vec<Turn<'static>> = Vec::new();
    let mut push = |role, parts| {
        let at = turns.len();
        turns.push(Turn { role, parts, name: None, at });
    };
    for step in steps {
        match step {
            Step::User(parts) => push(Role::User, parts),
            Step::System(text) => push(Role::System, vec![PartKind::Text(text).into()]),
            Step::Assistant(mut parts, calls) => {
                let mut results = Vec::new();
                for (number, (id, arguments, is_custom, is_error)) in calls.into_iter().enumerate() {
                    // Ids are unique within a step.
                    let id = Text::plain(format!("{id}{}", "'".repeat(number)));
                    let (kind, name) = if is_custom { (CallKind::Custom, "sh") } else { (CallKind::Function, "f") };
                    let call = Call { id: id.clone(), name: Text::plain(name), kind, arguments: arguments.into() };
                    parts.push(PartKind::Call(call).into());
                    let parts = vec![PartKind::Text(Text::plain("done")).into(), picture().into()];
                    results.push(Part::from(PartKind::Result(ToolResult { id, parts, is_error, kind })));
                }
                push(Role::Assistant, parts);
                // Out of order.
                results.reverse();
                if !results.is_empty() {
                    push(Role::Tool, results);
                }
            }
        }
    }
    push(Role::User, vec![PartKind::Text(Text::plain("go on")).into()]);
    turns
}

/// The ids of calls and of results in a body, in their order.
fn ids(body: &Json) -> (Vec<String>, Vec<String>) {
    fn walk(value: &Json, calls: &mut Vec<String>, results: &mut Vec<String>) {
        let text = |name: &str| value.get(name).and_then(Json::as_str).map(str::to_owned);
        match (text("type").as_deref(), text("role").as_deref()) {
            (Some("function_call" | "custom_tool_call"), _) => calls.extend(text("call_id")),
            (Some("function_call_output" | "custom_tool_call_output"), _) => results.extend(text("call_id")),
            (Some("tool_use" | "function" | "custom"), _) => calls.extend(text("id")),
            (Some("tool_result"), _) => results.extend(text("tool_use_id")),
            (_, Some("tool")) => results.extend(text("tool_call_id")),
            _ => {}
        }
        for (name, value) in value.as_object().into_iter().flatten() {
            let id = value.get("id").and_then(Json::as_str).map(str::to_owned);
            match &**name {
                "functionCall" => calls.extend(id),
                "functionResponse" => results.extend(id),
                _ => {}
            }
            walk(value, calls, results);
        }
        value.as_array().into_iter().flatten().for_each(|value| walk(value, calls, results));
    }
    let (mut calls, mut results) = (Vec::new(), Vec::new());
    for list in ["messages", "input", "contents"] {
        walk(&body[list], &mut calls, &mut results);
    }
    (calls, results)
}

/// The kinds of blobs that a format may carry.
fn is_of_format(kind: &str, format: WireFormat) -> bool {
    match format {
        WireFormat::OpenaiResponses => kind == "re",
        WireFormat::AnthropicMessages => matches!(kind, "as" | "ar"),
        WireFormat::GeminiGenerate => kind == "gs",
        _ => matches!(kind, "cd" | "ct"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_is_written_can_be_read_and_keeps_its_secrets(request in request()) {
        order::check(&request, WireFormat::OpenaiChat).unwrap();
        for name in TARGETS {
            let (target, format) = target(name);
            let Ok(written) = write(&request, &target, format) else { continue };
            let spelt = std::str::from_utf8(&written.body).unwrap();
            let body: Json = serde_json::from_str(spelt).unwrap_or_else(|error| panic!("{name}: {error}: {spelt}"));

            let (calls, results) = ids(&body);
            let (mut of_calls, mut of_results) = (calls.clone(), results.clone());
            of_calls.sort();
            of_results.sort();
            prop_assert_eq!(of_calls, of_results, "{}: {}", name, spelt);

            for token in spelt.split("BLOB.").skip(1) {
                let [kind, provider, model] = token.splitn(4, '.').take(3).collect::<Vec<_>>()[..] else { panic!("{token}") };
                let is_own = provider == "none"
                    || (provider == &*target.provider.id && model == &*target.model.provider_model_id);
                prop_assert!(is_own && is_of_format(kind, format), "{}: {} in {}", name, token, spelt);
            }

            let again = write(&request, &target, format).unwrap();
            prop_assert_eq!(&written.body, &again.body, "{}", name);
            if let Some(read) = read(&written.body, format) {
                let read = match read {
                    Ok(read) => read,
                    Err(error) => panic!("{name}: {error} at {}: {spelt}", error.param),
                };
                if let Err(error) = order::check(&read, format) {
                    panic!("{name}: {error} at {}: {spelt}", error.param);
                }
            }
        }
    }

    #[test]
    fn two_speakers_take_turns(request in request()) {
        for name in ["anthropic", "anthropic-budget", "gemini", "gemini-2.5"] {
            let (target, format) = target(name);
            let Ok(written) = write(&request, &target, format) else { continue };
            let body: Json = serde_json::from_slice(&written.body).unwrap();
            let (list, inner) = if format == WireFormat::GeminiGenerate { ("contents", "parts") } else { ("messages", "content") };
            let messages = body[list].as_array().unwrap();
            prop_assert_eq!(&messages[0]["role"], "user", "{}", name);
            let is_alternating = messages.windows(2).all(|pair| pair[0]["role"] != pair[1]["role"]);
            prop_assert!(is_alternating || format == WireFormat::GeminiGenerate, "{}: {}", name, body);
            for message in messages {
                prop_assert!(!message[inner].as_array().unwrap().is_empty(), "{}: {}", name, body);
            }
        }
    }
}

#[test]
fn a_result_of_three_megabytes_goes_everywhere() {
    let big = "0123456789abcde\n".repeat(3 << 16);
    let result = ToolResult {
        id: Text::plain("call_1"),
        parts: vec![PartKind::Text(Text::plain(big.clone())).into()],
        is_error: false,
        kind: CallKind::Function,
    };
    let call =
        Call { id: Text::plain("call_1"), name: Text::plain("f"), kind: CallKind::Function, arguments: "{}".into() };
    let turn = |role, kind: PartKind<'static>, at| Turn { role, parts: vec![kind.into()], name: None, at };
    let request = Request {
        turns: vec![
            turn(Role::User, PartKind::Text(Text::plain("go")), 0),
            turn(Role::Assistant, PartKind::Call(call), 1),
            turn(Role::Tool, PartKind::Result(result), 2),
        ],
        tools: tools(),
        ..Request::default()
    };
    let spelt = Text::plain(big);
    for name in TARGETS {
        let (target, format) = target(name);
        let written = write(&request, &target, format).unwrap();
        let body = std::str::from_utf8(&written.body).unwrap();
        assert!(body.contains(spelt.spelt()) && body.len() < spelt.spelt().len() + 2_048, "{name}");
    }
}
