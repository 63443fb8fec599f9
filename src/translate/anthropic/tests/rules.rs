//! What clients of other formats ask for, by the rules of this one.

use serde_json::json;

use super::*;
use crate::translate::InvalidFault;
use crate::translate::ir::{
    CacheMark, CacheTtl, Call, CallKind, Choice, Logprobs, Media, OutputForm, Part, PartKind, Reasoning, Role, Shown,
    Source, Text, Thinking, Tool, ToolChoice, ToolKind, ToolResult, Turn,
};

fn turn(role: Role, kind: PartKind<'static>) -> Turn<'static> {
    Turn { role, parts: vec![kind.into()], name: None, at: 0 }
}

fn words(text: &'static str) -> PartKind<'static> {
    PartKind::Text(Text::plain(text))
}

fn asked() -> Request<'static> {
    Request { turns: vec![turn(Role::User, words("x"))], output_tokens_max: Some(10_000), ..Request::default() }
}

fn function(name: &'static str) -> Tool<'static> {
    let kind = ToolKind::Function { schema: None, strict: None };
    Tool { kind, name: Text::plain(name), description: None, cache: None, at: 0 }
}

fn value(text: &'static str) -> Value<'static> {
    Value::parse(text.as_bytes()).unwrap()
}

/// What is written, and what is left out.
fn said(request: &Request<'_>, target: &Target) -> (serde_json::Value, Vec<String>) {
    let written = write(request, target).unwrap();
    let ignored = written.ignored.iter().map(ToString::to_string).collect();
    (serde_json::from_slice(&written.body).unwrap(), ignored)
}

fn refused(request: &Request<'_>, target: &Target) -> String {
    let invalid = write(request, target).unwrap_err();
    assert_eq!(invalid.fault, InvalidFault::Target, "{invalid}");
    invalid.param
}

#[test]
fn answers_are_limited() {
    for (asked_for, most, expected) in [
        (None, Some(64_000), 32_000),
        (None, Some(8_000), 8_000),
        (None, None, 32_000),
        (Some(9), Some(64_000), 9),
        (Some(100_000), Some(64_000), 64_000),
    ] {
        let request = Request { output_tokens_max: asked_for, ..asked() };
        let (body, _) = said(&request, &target(|model| model.limits.output_tokens_max = most));
        assert_eq!(body["max_tokens"], expected);
    }
}

#[test]
fn newer_models_weigh_their_thoughts() {
    let adaptive = json!({"type":"adaptive"});
    let disabled = json!({"type":"disabled"});
    let none = serde_json::Value::Null;
    let effort = |effort| Reasoning { effort: Some(effort), ..Reasoning::default() };
    let thinking = |thinking| Reasoning { thinking: Some(thinking), ..Reasoning::default() };
    for (reasoning, can_disable, expected, strength) in [
        (Reasoning::default(), true, &none, json!(null)),
        (effort(Effort::None), true, &disabled, json!(null)),
        (effort(Effort::None), false, &adaptive, json!("low")),
        (effort(Effort::Minimal), true, &adaptive, json!("low")),
        (effort(Effort::Medium), true, &adaptive, json!("medium")),
        (effort(Effort::Xhigh), true, &adaptive, json!("high")),
        (effort(Effort::Max), true, &adaptive, json!("max")),
        (thinking(Thinking::Off), true, &disabled, json!(null)),
        (thinking(Thinking::Adaptive), true, &adaptive, json!(null)),
        (thinking(Thinking::Budget(0)), true, &disabled, json!(null)),
        (thinking(Thinking::Budget(5_000)), true, &adaptive, json!("medium")),
    ] {
        let request = Request { reasoning, ..asked() };
        let (body, ignored) = said(&request, &target(|model| model.thinking.can_disable = can_disable));
        assert_eq!((&body["thinking"], &body["output_config"]["effort"]), (expected, &strength), "{reasoning:?}");
        // A model that cannot leave off thinking is not silent about it.
        assert_eq!(ignored.is_empty(), can_disable, "{ignored:?}");
    }
    let shown = Reasoning { shown: Some(Shown::Detailed), ..Reasoning::default() };
    let (body, _) = said(&Request { reasoning: shown, ..asked() }, &target(|_| {}));
    assert_eq!(body["thinking"], json!({"type":"adaptive","display":"summarized"}));
    // A model that does not think is not asked to.
    let dull = target(|model| model.capabilities.reasoning = false);
    let (body, ignored) = said(&Request { reasoning: effort(Effort::High), ..asked() }, &dull);
    assert_eq!((&body["thinking"], &ignored[..]), (&none, &["reasoning_effort".to_owned()][..]));
}

#[test]
fn older_models_think_within_a_budget() {
    let enabled = |budget: u64| json!({"type":"enabled","budget_tokens":budget});
    for (effort, limit, expected, max_tokens) in [
        (Effort::None, 10_000, json!({"type":"disabled"}), 10_000),
        (Effort::Minimal, 10_000, enabled(1_024), 10_000),
        (Effort::Low, 10_000, enabled(2_048), 10_000),
        (Effort::Medium, 10_000, enabled(8_192), 10_000),
        // The limit is too small for the budget: raised where the model allows it, else the budget shrinks.
        (Effort::High, 10_000, enabled(16_384), 26_384),
        (Effort::Max, 10_000, enabled(54_000), 64_000),
        (Effort::Max, 64_000, enabled(63_999), 64_000),
        (Effort::High, 100, enabled(16_384), 16_484),
        (Effort::Minimal, 63_999, enabled(1_024), 63_999),
    ] {
        let reasoning = Reasoning { effort: Some(effort), ..Reasoning::default() };
        let request = Request { reasoning, output_tokens_max: Some(limit), ..asked() };
        let (body, ignored) = said(&request, &older(|_| {}));
        assert_eq!((&body["thinking"], &body["max_tokens"]), (&expected, &json!(max_tokens)), "{effort:?} {limit}");
        assert!(ignored.is_empty());
        if effort != Effort::None {
            assert!(body["thinking"]["budget_tokens"].as_u64() < body["max_tokens"].as_u64());
        }
    }
    let reasoning = Reasoning { effort: Some(Effort::High), ..Reasoning::default() };
    let request = Request { reasoning, output_tokens_max: Some(1_500), ..asked() };
    let (body, ignored) = said(&request, &older(|model| model.limits.output_tokens_max = Some(2_000)));
    assert_eq!((&body["thinking"]["type"], &body["max_tokens"]), (&json!("disabled"), &json!(1_500)));
    assert_eq!(ignored, ["reasoning_effort"]);
}

#[test]
fn thinking_gives_way_where_it_must() {
    let reasoning = Reasoning { effort: Some(Effort::Low), ..Reasoning::default() };
    let call = |id| Call { id, name: Text::plain("f"), kind: CallKind::Function, arguments: "{}".into() };
    let result = |id| ToolResult { id, parts: Vec::new(), is_error: false, kind: CallKind::Function };
    let in_chain = vec![
        turn(Role::User, words("x")),
        turn(Role::Assistant, PartKind::Call(call(Text::plain("a")))),
        turn(Role::Tool, PartKind::Result(result(Text::plain("a")))),
    ];
    let prefilled = vec![turn(Role::User, words("x")), turn(Role::Assistant, words("so \n"))];
    let forced = Request { tools: vec![function("f")], tool_choice: Some(ToolChoice::Required), ..asked() };
    for request in [forced, Request { turns: in_chain, ..asked() }, Request { turns: prefilled, ..asked() }] {
        let request = Request { reasoning, ..request };
        let (body, ignored) = said(&request, &older(|_| {}));
        assert_eq!(
            (&body["thinking"], &ignored[..]),
            (&json!({"type":"disabled"}), &["reasoning_effort".to_owned()][..])
        );
        let (body, _) = said(&request, &target(|_| {}));
        assert_eq!(body["thinking"]["type"], "adaptive");
    }
}

#[test]
fn choices_among_tools() {
    let tools = vec![function("f"), function("g")];
    let named = |name| ToolChoice::Named(Text::plain(name));
    let allowed = |is_required| ToolChoice::Allowed { is_required, names: vec![Text::plain("g")] };
    for (choice, parallel, expected, offered) in [
        (None, None, json!(null), 2),
        (None, Some(false), json!({"type":"auto","disable_parallel_tool_use":true}), 2),
        (Some(ToolChoice::Auto), Some(true), json!({"type":"auto"}), 2),
        (Some(ToolChoice::None), Some(false), json!({"type":"none"}), 2),
        (Some(ToolChoice::Required), None, json!({"type":"any"}), 2),
        (Some(named("g")), Some(false), json!({"type":"tool","name":"g","disable_parallel_tool_use":true}), 2),
        (Some(allowed(true)), None, json!({"type":"any"}), 1),
        (Some(allowed(false)), None, json!({"type":"auto"}), 1),
    ] {
        let is_forced = matches!(expected["type"].as_str(), Some("any" | "tool"));
        let request = Request { tools: tools.clone(), tool_choice: choice, parallel_calls: parallel, ..asked() };
        let (body, _) = said(&request, &target(|_| {}));
        assert_eq!(body["tool_choice"], expected);
        assert_eq!(body["tools"].as_array().unwrap().len(), offered);
        assert_eq!(body["tools"][0]["input_schema"], json!({"type":"object"}));
        let unforced = target(|model| model.capabilities.forced_tool_choice = false);
        if is_forced {
            assert_eq!(refused(&request, &unforced), "tool_choice");
        } else {
            said(&request, &unforced);
        }
    }
    let request = Request { tool_choice: Some(ToolChoice::Required), parallel_calls: Some(false), ..asked() };
    assert!(said(&request, &target(|_| {})).0.get("tool_choice").is_none());
    let request = Request { tools, tool_choice: Some(named("h")), ..asked() };
    assert_eq!(write(&request, &target(|_| {})).unwrap_err().fault, InvalidFault::Request);
}

#[test]
fn schemas_are_kept_to() {
    let schema = value(r#"{"properties":{"a":{}}}"#);
    let form =
        OutputForm::Schema { name: Some(Text::plain("my form!")), description: None, schema, strict: Some(true) };
    let request = Request { output_form: form, ..asked() };
    let (body, _) = said(&request, &target(|_| {}));
    assert_eq!(body["output_config"], json!({"format":{"type":"json_schema","schema":{"properties":{"a":{}}}}}));
    let without = |model: &mut Model| model.capabilities.json_schema = false;
    let written = write(&request, &target(without)).unwrap();
    assert_eq!(written.emulated.schema_tool.as_deref(), Some("myform"));
    let body: serde_json::Value = serde_json::from_slice(&written.body).unwrap();
    assert_eq!(body["tools"][0]["input_schema"], json!({"type":"object","properties":{"a":{}}}));
    assert_eq!(body["tool_choice"], json!({"type":"tool","name":"myform","disable_parallel_tool_use":true}));
    // Among others the model may call them first, and never takes theirs for the schema's.
    let with_tools = Request { tools: vec![function("myform")], ..request.clone() };
    let written = write(&with_tools, &target(without)).unwrap();
    assert_eq!(written.emulated.schema_tool.as_deref(), Some("myform_"));
    let body: serde_json::Value = serde_json::from_slice(&written.body).unwrap();
    assert_eq!(body["tool_choice"], json!({"type":"any"}));
    let unforced = target(|model| {
        without(model);
        model.capabilities.forced_tool_choice = false;
    });
    assert_eq!(refused(&request, &unforced), "response_format");
    let (body, ignored) = said(&Request { output_form: OutputForm::JsonObject, ..asked() }, &target(|_| {}));
    assert!(body["system"][0]["text"].as_str().unwrap().contains("JSON object"));
    assert_eq!(ignored, ["response_format"]);
}

#[test]
fn custom_tools_take_one_text() {
    let custom = |grammar| Tool { kind: ToolKind::Custom { grammar }, ..function("patch") };
    let call = Call {
        id: Text::plain("a"),
        name: Text::plain("patch"),
        kind: CallKind::Custom,
        arguments: "*** \"x\"\n".into(),
    };
    let result = ToolResult { id: Text::plain("a"), parts: Vec::new(), is_error: false, kind: CallKind::Custom };
    let turns = vec![
        turn(Role::User, words("x")),
        turn(Role::Assistant, PartKind::Call(call)),
        turn(Role::Tool, PartKind::Result(result)),
    ];
    let request = Request { turns, tools: vec![custom(None)], ..asked() };
    let written = write(&request, &target(|_| {})).unwrap();
    assert_eq!(written.emulated.custom_tools, ["patch".into()]);
    let body: serde_json::Value = serde_json::from_slice(&written.body).unwrap();
    assert_eq!(body["tools"][0]["input_schema"]["required"], json!(["input"]));
    assert_eq!(body["messages"][1]["content"][0]["input"], json!({"input":"*** \"x\"\n"}));
    for (tool, param) in [
        (custom(Some(value(r#"{"type":"grammar","syntax":"lark"}"#))), "tools[0].format"),
        (
            Tool {
                kind: ToolKind::BuiltIn { format: WireFormat::OpenaiResponses, spelt: value("{}") },
                ..function("web_search")
            },
            "tools[0].type",
        ),
    ] {
        assert_eq!(refused(&Request { tools: vec![tool], ..asked() }, &target(|_| {})), param);
    }
    said(&Request { tools: vec![custom(None)], ..asked() }, &target(|_| {}));
}

#[test]
fn marks_are_four_at_most_and_in_order() {
    let mark = |ttl| Some(CacheMark(ttl));
    let part = |ttl| Part { kind: words("x"), cache: mark(ttl), blob: None };
    let system = Turn { role: Role::System, parts: vec![part(CacheTtl::H12), part(CacheTtl::M30)], name: None, at: 0 };
    let user = Turn { role: Role::User, parts: vec![part(CacheTtl::H1), part(CacheTtl::M5)], name: None, at: 1 };
    let tools = vec![Tool { cache: mark(CacheTtl::H1), ..function("f") }];
    let request = Request { turns: vec![system, user], tools, ..asked() };
    let (body, ignored) = said(&request, &target(|_| {}));
    let (long, short) = (json!({"type":"ephemeral","ttl":"1h"}), json!({"type":"ephemeral"}));
    assert!(body["tools"][0].get("cache_control").is_none());
    assert_eq!(body["system"][0]["cache_control"], long);
    assert_eq!(body["system"][1]["cache_control"], short);
    // A longer life may not follow a shorter one.
    assert_eq!(body["messages"][0]["content"][0]["cache_control"], short);
    assert_eq!(body["messages"][0]["content"][1]["cache_control"], short);
    assert!(ignored.is_empty());
    let (body, _) = said(&request, &target(|model| model.capabilities.cache_marks = false));
    assert!(!body.to_string().contains("cache_control"));
}

#[test]
fn sampling_is_bent_to_the_model() {
    let set = |sampling: &'static str| {
        let sampling = value(sampling);
        let get = |name| sampling.get(name);
        crate::translate::ir::Sampling {
            temperature: get("t"),
            top_p: get("p"),
            top_k: get("k"),
            frequency_penalty: get("f"),
            seed: get("s"),
            ..Default::default()
        }
    };
    let thinking = Reasoning { effort: Some(Effort::Low), ..Reasoning::default() };
    for (sampling, reasoning, takes, expected, lost) in [
        (r#"{"t":0.50,"k":5}"#, None, true, json!([0.5, null, 5]), &[][..]),
        (r#"{"t":1.5}"#, None, true, json!([1, null, null]), &["temperature"]),
        (r#"{"t":0.2,"p":0.9}"#, None, true, json!([0.2, null, null]), &["top_p"]),
        (r#"{"p":0.9}"#, None, true, json!([null, 0.9, null]), &[]),
        (r#"{"t":0.2,"p":1,"f":0.0}"#, None, false, json!([null, null, null]), &["temperature"]),
        (
            r#"{"t":1,"k":4,"f":0.1,"s":7}"#,
            Some(thinking),
            true,
            json!([null, null, null]),
            &["frequency_penalty", "seed", "top_k"],
        ),
    ] {
        let request = Request { sampling: set(sampling), reasoning: reasoning.unwrap_or_default(), ..asked() };
        let (body, ignored) = said(&request, &older(|model| model.capabilities.sampling_params = takes));
        assert_eq!(json!([body["temperature"], body["top_p"], body["top_k"]]), expected, "{sampling}");
        assert_eq!(ignored, lost, "{sampling}");
    }
}

#[test]
fn what_nobody_there_can_do_is_left_to_another_target() {
    let media = |source| Media { source, name: None, detail: None };
    let inline = |kind: &'static str, base64: &'static str| Source::Inline {
        media_type: Text::plain(kind),
        base64: Text::plain(base64),
    };
    let said_by_user = |kind| Request { turns: vec![turn(Role::User, kind)], ..asked() };
    for (request, param) in [
        (Request { choices: Choice(2), ..asked() }, "n"),
        (Request { logprobs: Some(Logprobs { top: 0 }), ..asked() }, "logprobs"),
        (Request { wants_images: true, ..asked() }, "modalities"),
        (said_by_user(PartKind::Audio(media(inline("audio/wav", "AAAA")))), "messages[0].content[0]"),
        (said_by_user(PartKind::Image(media(Source::Id(Text::plain("f"))))), "messages[0].content[0]"),
        (said_by_user(PartKind::Image(media(inline("image/tiff", "AAAA")))), "messages[0].content[0]"),
        (said_by_user(PartKind::File(media(inline("application/zip", "/w==")))), "messages[0].content[0]"),
    ] {
        assert_eq!(refused(&request, &target(|_| {})), param);
    }
    let picture = said_by_user(PartKind::Image(media(Source::Url(Text::plain("u")))));
    assert_eq!(refused(&picture, &target(|model| model.capabilities.vision = false)), "messages[0].content[0]");
    let text = said_by_user(PartKind::File(media(inline("text/csv", "YSxi"))));
    let (body, _) = said(&text, &target(|_| {}));
    assert_eq!(
        body["messages"][0]["content"][0]["source"],
        json!({"type":"text","media_type":"text/plain","data":"a,b"})
    );
}

#[test]
fn conversations_begin_and_end_with_the_user() {
    let roles = |turns: Vec<Turn<'static>>, target: &Target| {
        let (body, ignored) = said(&Request { turns, ..asked() }, target);
        let messages = body["messages"].as_array().unwrap().clone();
        let shown = messages.iter().map(|message| format!("{}:{}", message["role"], message["content"][0]["text"]));
        (shown.collect::<Vec<_>>().join(" "), ignored)
    };
    let history =
        || vec![turn(Role::Assistant, words("a")), turn(Role::User, words("b")), turn(Role::Assistant, words("c "))];
    let (shown, ignored) = roles(history(), &target(|_| {}));
    assert_eq!(shown, r#""user":"." "assistant":"a" "user":"b" "assistant":"c " "user":"Continue.""#);
    assert_eq!(ignored, ["messages[0].role", "messages[0].prefill"]);
    assert_eq!(roles(history(), &older(|_| {})).0, r#""user":"." "assistant":"a" "user":"b" "assistant":"c""#);
    assert_eq!(roles(vec![turn(Role::System, words("s"))], &target(|_| {})).0, r#""user":"Continue.""#);
}

#[test]
fn broken_arguments_are_wrapped() {
    for (arguments, expected, is_named) in [
        ("{\"a\": 1e400}", r#"{"a": 1e400}"#, false),
        ("", "{}", false),
        ("[1]", r#"{"_raw":"[1]"}"#, true),
        ("{\"a\":", r#"{"_raw":"{\"a\":"}"#, true),
    ] {
        let call = Call {
            id: Text::plain("a b"),
            name: Text::plain("f"),
            kind: CallKind::Function,
            arguments: arguments.into(),
        };
        let result = ToolResult { id: Text::plain("a b"), parts: Vec::new(), is_error: true, kind: CallKind::Function };
        let turns = vec![
            turn(Role::User, words("x")),
            turn(Role::Assistant, PartKind::Call(call)),
            turn(Role::Tool, PartKind::Result(result)),
        ];
        let written = write(&Request { turns, ..asked() }, &target(|_| {})).unwrap();
        assert!(body(&written).contains(&format!(r#""input":{expected}}}"#)), "{}", body(&written));
        assert_eq!(!written.ignored.is_empty(), is_named);
        let id = super::super::ids::fitting(&Text::plain("a b")).into_owned();
        assert_eq!(body(&written).matches(&id).count(), 2);
    }
}

#[test]
fn t43_marks_go_from_thoughts_and_stay_on_calls_and_results() {
    let mark = serde_json::json!({"type": "ephemeral"});
    let text = serde_json::json!({"model": "m", "max_tokens": 9, "messages": [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "c2ln", "cache_control": mark},
            {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}, "cache_control": mark}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": "y", "cache_control": mark}]},
    ], "tools": [{"name": "f", "input_schema": {"type": "object"}}]})
    .to_string();
    let envelope = Envelope::new(SealingKey([7; SealingKey::BYTES]), AccountId(1));
    let request = crate::translate::anthropic::read_request(Value::parse(text.as_bytes()).unwrap(), &envelope).unwrap();
    let (body, _) = said(&request, &target(|_| {}));
    let calling = body["messages"][1]["content"].as_array().unwrap();
    for block in calling {
        assert_eq!(block.get("cache_control").is_some(), block["type"] == "tool_use", "{block}");
    }
    assert!(calling.iter().any(|block| block["type"] == "tool_use"));
    assert_eq!(body["messages"][2]["content"][0]["cache_control"], mark);
}
