//! Tools, generation, thinking.

use super::*;
use crate::base::wire_format::WireFormat;
use crate::translate::ir::{
    Choice, Identity, Logprobs, OutputForm, Reasoning, Shown, Thinking, Tool, ToolChoice, ToolKind,
};

const SCHEMA: &str = r##"{"$schema":"x","type":"object","properties":{"a":{"type":"string","const":"b"},"c":{"$ref":"#/$defs/d"}},"additionalProperties":false,"required":["a"],"$defs":{"d":{"type":["integer","null"],"default":3}}}"##;

fn tool(name: &'static str, kind: ToolKind<'static>) -> Tool<'static> {
    Tool { kind, name: Text::plain(name), description: Some(Text::plain("what")), cache: None, at: 0 }
}

fn function(name: &'static str, strict: Option<bool>) -> Tool<'static> {
    tool(name, ToolKind::Function { schema: Some(parsed(SCHEMA)), strict })
}

fn with_tools(tools: Vec<Tool<'static>>, choice: Option<ToolChoice<'static>>) -> Request<'static> {
    Request { tools, tool_choice: choice, ..asked() }
}

#[test]
fn functions_are_declared_with_the_schema_that_the_model_knows() {
    let request =
        with_tools(vec![function("f", None), tool("g", ToolKind::Function { schema: None, strict: None })], None);
    let schema: Json = serde_json::from_str(SCHEMA).unwrap();
    check_field(
        &request,
        &target(NEW),
        "/tools",
        &json!([{"functionDeclarations": [
            {"name": "f", "description": "what", "parametersJsonSchema": schema},
            {"name": "g", "description": "what"},
        ]}]),
    );
    let plain = json!({"type": "object", "required": ["a"], "properties": {
        "a": {"type": "string", "enum": ["b"]},
        "c": {"type": "integer", "nullable": true},
    }});
    check_field(&request, &target(OLD), "/tools/0/functionDeclarations/0/parameters", &plain);
}

#[test]
fn schemas_are_cut_to_the_old_subset() {
    for (schema, plain) in [
        (r#"{"anyOf":[{"type":"string"},{"type":"null"}]}"#, json!({"nullable": true, "anyOf": [{"type": "string"}]})),
        (r#"{"oneOf":[{"const":"x"},{"const":2}]}"#, json!({"anyOf": [{"enum": ["x"]}, {}]})),
        (r#"{"allOf":[{"type":"string","format":"uri","minLength":1}]}"#, json!({"type": "string", "minLength": 1})),
        (
            r#"{"type":"integer","enum":[1,2],"exclusiveMinimum":0,"format":"int32"}"#,
            json!({"type": "integer", "format": "int32"}),
        ),
        (r#"{"type":["string","integer"]}"#, json!({})),
        (r#"{"type":"array","items":true}"#, json!({"type": "array", "items": {}})),
        (r##"{"$ref":"#/nowhere","type":"string"}"##, json!({"type": "string"})),
        (
            r#"{"type":"object","properties":{"a\"b":{"type":"string"}}}"#,
            json!({"type": "object", "properties": {"a\"b": {"type": "string"}}}),
        ),
    ] {
        let kind = ToolKind::Function { schema: Some(parsed(schema)), strict: None };
        let request = with_tools(vec![tool("f", kind)], None);
        check_field(&request, &target(OLD), "/tools/0/functionDeclarations/0/parameters", &plain);
    }
    let endless = parsed(r##"{"type":"object","properties":{"x":{"$ref":"#"}}}"##);
    let kind = ToolKind::Function { schema: Some(endless), strict: None };
    assert!(write_request(&with_tools(vec![tool("f", kind)], None), &target(OLD)).unwrap().body.len() < 2_000);
    let doubling = parsed(
        r##"{"type":"object","properties":{"x":{"$ref":"#"},"y":{"$ref":"#"},"z":{"anyOf":[{"items":{"$ref":"#"}},{"items":{"$ref":"#"}},{"items":{"$ref":"#"}},{"items":{"$ref":"#"}}]}}}"##,
    );
    let kind = ToolKind::Function { schema: Some(doubling), strict: None };
    check_refused(&with_tools(vec![tool("f", kind)], None), &target(OLD), InvalidFault::Target, "tools[0].parameters");
}

#[test]
fn every_choice_has_its_mode() {
    let names = |all: &[&'static str]| all.iter().map(|name| Text::plain(*name)).collect::<Vec<_>>();
    let allowed = |is_required| ToolChoice::Allowed { is_required, names: names(&["f"]) };
    let mode = |mode: &str| json!({"functionCallingConfig": {"mode": mode}});
    let only = |mode: &str| json!({"functionCallingConfig": {"mode": mode, "allowedFunctionNames": ["f"]}});
    for (choice, strict, config, count) in [
        (None, None, Json::Null, 2),
        (None, Some(true), mode("VALIDATED"), 2),
        (None, Some(false), Json::Null, 2),
        (Some(ToolChoice::Auto), None, mode("AUTO"), 2),
        (Some(ToolChoice::Auto), Some(true), mode("VALIDATED"), 2),
        (Some(ToolChoice::None), Some(true), mode("NONE"), 2),
        (Some(ToolChoice::Required), None, mode("ANY"), 2),
        (Some(ToolChoice::Named(Text::plain("f"))), None, only("ANY"), 2),
        (Some(allowed(true)), None, only("ANY"), 2),
        (Some(allowed(false)), None, mode("AUTO"), 1),
    ] {
        let request = with_tools(vec![function("f", strict), function("g", None)], choice);
        let written = check_field(&request, &target(NEW), "/toolConfig", &config);
        let body: Json = serde_json::from_slice(&written.body).unwrap();
        assert_eq!(body["tools"][0]["functionDeclarations"].as_array().unwrap().len(), count, "{config}");
    }
    check_field(&with_tools(Vec::new(), Some(ToolChoice::Required)), &target(NEW), "/toolConfig", &Json::Null);
    let unknown = with_tools(vec![function("f", None)], Some(ToolChoice::Named(Text::plain("x"))));
    check_refused(&unknown, &target(NEW), InvalidFault::Request, "tool_choice");
    let unforced = changed(NEW, |model| model.capabilities.forced_tool_choice = false);
    let forced = with_tools(vec![function("f", None)], Some(ToolChoice::Required));
    check_refused(&forced, &unforced, InvalidFault::Target, "tool_choice");
    let serial = Request { parallel_calls: Some(false), ..with_tools(vec![function("f", None)], None) };
    assert_eq!(write_request(&serial, &target(NEW)).unwrap().ignored, ["parallel_tool_calls"]);
}

#[test]
fn tools_of_other_kinds_are_emulated_or_refused_by_name() {
    let request = with_tools(vec![tool("shout", ToolKind::Custom { grammar: None })], None);
    let written = check_field(
        &request,
        &target(NEW),
        "/tools/0/functionDeclarations/0",
        &json!({"name": "shout", "description": "what", "parametersJsonSchema":
            {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}}),
    );
    assert_eq!(written.emulated.custom_tools, ["shout".into()]);
    check_field(&request, &target(OLD), "/tools/0/functionDeclarations/0/parameters/required", &json!(["input"]));

    let grammar = ToolKind::Custom { grammar: Some(parsed(r#"{"type":"grammar"}"#)) };
    check_refused(&with_tools(vec![tool("x", grammar)], None), &target(NEW), InvalidFault::Target, "tools[0].format");
    let search = ToolKind::BuiltIn { format: WireFormat::OpenaiResponses, spelt: parsed(r#"{"type":"web_search"}"#) };
    let refused = write_request(&with_tools(vec![tool("web_search", search)], None), &target(NEW)).unwrap_err();
    assert!(refused.message.contains("web_search") && refused.param == "tools[0]");
    for name in ["1st", "-x", "a b", "ä", ""] {
        check_refused(
            &with_tools(vec![function(name, None)], None),
            &target(NEW),
            InvalidFault::Target,
            "tools[0].name",
        );
    }
    let toolless = changed(NEW, |model| model.capabilities.tools = false);
    check_refused(&with_tools(vec![function("f", None)], None), &toolless, InvalidFault::Target, "tools");
}

#[test]
fn custom_calls_in_the_history_are_wrapped() {
    let shout = Call {
        id: Text::plain("1"),
        name: Text::plain("shout"),
        kind: CallKind::Custom,
        arguments: "a \"b\"\n".into(),
    };
    let back = ToolResult { id: Text::plain("1"), parts: vec![words("ok")], is_error: false, kind: CallKind::Custom };
    let request = talk(vec![
        (Role::User, vec![words("a")]),
        (Role::Assistant, vec![PartKind::Call(shout).into()]),
        (Role::Tool, vec![PartKind::Result(back).into()]),
    ]);
    check_field(&request, &target(NEW), "/contents/1/parts/0/functionCall/args", &json!({"input": "a \"b\"\n"}));
}

#[test]
fn generation_is_said_in_its_words() {
    let mut request = asked();
    request.output_tokens_max = Some(1_000_000);
    request.sampling.temperature = Some(parsed("0.70"));
    request.sampling.top_p = Some(parsed("0.9"));
    request.sampling.top_k = Some(parsed("40"));
    request.sampling.frequency_penalty = Some(parsed("0.5"));
    request.sampling.presence_penalty = Some(parsed("0"));
    request.sampling.seed = Some(parsed("7"));
    request.stop = vec![Text::plain("\n\n"), Text::plain(""), Text::plain("END")];
    request.logprobs = Some(Logprobs { top: 3 });
    request.service_tier = Some(Text::plain("priority"));
    let config = json!({
        "maxOutputTokens": 65536, "stopSequences": ["\n\n", "END"], "temperature": 0.70, "topP": 0.9, "topK": 40,
        "frequencyPenalty": 0.5, "seed": 7, "responseLogprobs": true, "logprobs": 3,
    });
    let body = json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}], "serviceTier": "priority",
        "generationConfig": config});
    let written = check(&request, &target(NEW), &body);
    assert!(written.ignored.is_empty() && String::from_utf8(written.body).unwrap().contains(":0.70"));

    request.verbosity = Some(Text::plain("low"));
    request.service_tier = Some(Text::plain("scale"));
    request.sampling.seed = Some(parsed("9007199254740993"));
    request.identity = Identity { end_user: Some(Text::plain("u")), ..Identity::default() };
    let fixed = changed(NEW, |model| model.capabilities.sampling_params = false);
    let written = write_request(&request, &fixed).unwrap();
    assert_eq!(
        written.ignored,
        ["temperature", "top_p", "top_k", "frequency_penalty", "seed", "verbosity", "service_tier", "user"]
    );
}

#[test]
fn what_cannot_be_said_is_refused_by_name() {
    let stops: Vec<_> = ["1", "2", "3", "4", "5", "6"].into_iter().map(Text::plain).collect();
    let mut biased = asked();
    biased.sampling.logit_bias = Some(parsed(r#"{"1":2}"#));
    for (request, param) in [
        (Request { stop: stops, ..asked() }, "stop"),
        (Request { choices: Choice(2), ..asked() }, "n"),
        (Request { wants_images: true, ..asked() }, "modalities"),
        (biased, "logit_bias"),
    ] {
        check_refused(&request, &target(NEW), InvalidFault::Target, param);
    }
}

#[test]
fn structured_answers_follow_their_schema() {
    let form = || OutputForm::Schema {
        name: Some(Text::plain("x")),
        description: None,
        schema: parsed(SCHEMA),
        strict: Some(true),
    };
    let schema: Json = serde_json::from_str(SCHEMA).unwrap();
    let request = Request { output_form: form(), ..asked() };
    let expected = json!({"responseMimeType": "application/json", "responseJsonSchema": schema});
    check_field(&request, &target(NEW), "/generationConfig", &expected);
    check_field(
        &request,
        &target(OLD),
        "/generationConfig/responseSchema/properties/a",
        &json!({"type": "string", "enum": ["b"]}),
    );
    let any = Request { output_form: OutputForm::JsonObject, ..asked() };
    check_field(&any, &target(NEW), "/generationConfig", &json!({"responseMimeType": "application/json"}));
    let both = Request { output_form: form(), ..with_tools(vec![function("f", None)], None) };
    check_field(&both, &target(NEW), "/generationConfig", &expected);
    check_refused(&both, &target(OLD), InvalidFault::Target, "response_format");
    let formless = changed(NEW, |model| model.capabilities.json_schema = false);
    check_refused(&request, &formless, InvalidFault::Target, "response_format");
}

#[test]
fn pictures_are_asked_of_models_that_make_them() {
    let painter = changed("gemini-3-pro-image", |model| model.kind = ModelKind::Image);
    let request = Request { wants_images: true, ..asked() };
    check_field(&request, &painter, "/generationConfig", &json!({"responseModalities": ["TEXT", "IMAGE"]}));
}

#[test]
fn thinking_is_measured_out_as_the_model_knows_it() {
    let reasoning = |thinking, effort, shown| Reasoning { thinking, effort, shown };
    let level = |level: &str| json!({"thinkingLevel": level});
    let budget = |tokens: u64| json!({"thinkingBudget": tokens});
    for (asked_for, new, old) in [
        (reasoning(None, None, None), Json::Null, Json::Null),
        (reasoning(None, Some(Effort::None), None), level("LOW"), budget(0)),
        (reasoning(None, Some(Effort::Minimal), None), level("LOW"), budget(512)),
        (reasoning(None, Some(Effort::Medium), None), level("MEDIUM"), budget(8_192)),
        (reasoning(None, Some(Effort::Max), None), level("HIGH"), budget(24_576)),
        (reasoning(Some(Thinking::Off), None, None), level("LOW"), budget(0)),
        (
            reasoning(Some(Thinking::Budget(2_000)), None, None),
            json!({"thinkingLevel": "LOW", "includeThoughts": true}),
            json!({"thinkingBudget": 2_000, "includeThoughts": true}),
        ),
        (reasoning(Some(Thinking::Budget(99_999)), None, Some(Shown::Omitted)), level("HIGH"), budget(24_576)),
        (reasoning(Some(Thinking::Budget(1)), None, Some(Shown::Omitted)), level("LOW"), budget(512)),
        (
            reasoning(Some(Thinking::Adaptive), None, None),
            json!({"includeThoughts": true}),
            json!({"includeThoughts": true}),
        ),
        (
            reasoning(None, Some(Effort::High), Some(Shown::Auto)),
            json!({"thinkingLevel": "HIGH", "includeThoughts": true}),
            json!({"thinkingBudget": 24_576, "includeThoughts": true}),
        ),
    ] {
        let request = Request { reasoning: asked_for, ..asked() };
        check_field(&request, &target(NEW), "/generationConfig/thinkingConfig", &new);
        check_field(&request, &target(OLD), "/generationConfig/thinkingConfig", &old);
    }
    let fixed = changed(NEW, |model| {
        model.thinking = ThinkingSupport { control: ThinkingControl::Always, ..ThinkingSupport::default() }
    });
    let request = Request { reasoning: reasoning(None, Some(Effort::High), None), ..asked() };
    let written = check_field(&request, &fixed, "/generationConfig", &Json::Null);
    assert_eq!(written.ignored, ["reasoning_effort"]);
    let minimal = changed(NEW, |model| model.thinking.efforts = vec![Effort::Minimal, Effort::Xhigh]);
    for (effort, name) in [(Effort::None, "MINIMAL"), (Effort::High, "MINIMAL"), (Effort::Max, "XHIGH")] {
        let request = Request { reasoning: reasoning(None, Some(effort), None), ..asked() };
        check_field(&request, &minimal, "/generationConfig/thinkingConfig/thinkingLevel", &json!(name));
    }
}

#[test]
fn fields_are_listed_once() {
    let mut paths: Vec<_> = FIELDS.iter().map(|field| field.path).collect();
    paths.sort_unstable();
    let count = paths.len();
    paths.dedup();
    assert_eq!(paths.len(), count);
}
