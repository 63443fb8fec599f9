//! Requests as a client writes them: what comes back out for a host that knows all, and what is refused.

use serde_json::{Value as Json, json};

use super::support::{asking, of, read, target, through, written};
use crate::catalog::provider::Dialect;
use crate::translate::InvalidFault;
use crate::translate::fields::Fate;
use crate::translate::ir::{CallKind, Media, Part, PartKind, Request, Role, Source, Text, ToolKind, ToolResult, Turn};
use crate::translate::openai_chat::FIELDS;

const PNG: &str = "data:image/png;base64,iVBORw0KGgo=";

/// The schema of a tool.
fn city() -> Json {
    json!({ "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"] })
}

fn tool(name: &str) -> Json {
    json!({ "type": "function", "function": { "name": name, "description": "d", "parameters": city() } })
}

fn call(id: &str, arguments: &str) -> Json {
    json!({ "id": id, "type": "function", "function": { "name": "wx", "arguments": arguments } })
}

#[test]
fn what_the_format_can_say_comes_back_the_same() {
    let weather = json!([
        { "role": "system", "content": "Be brief." },
        { "role": "developer", "content": [{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }] },
        { "role": "user", "name": "ann", "content": "Weather in Bonn \"and\" Ulm?\n\u{1f600}" },
        { "role": "assistant", "content": null, "tool_calls": [call("call_1", "{\"city\":\"Bonn\"}"), call("call_2", "{bad")] },
        { "role": "tool", "tool_call_id": "call_2", "content": "[tool error]\nno station" },
        { "role": "tool", "tool_call_id": "call_1", "content": [{ "type": "text", "text": "7 C" }, { "type": "text", "text": "dry" }] },
        { "role": "assistant", "content": "Cold.", "refusal": "No more." },
        { "role": "user", "content": [
            { "type": "text", "text": "look", "prompt_cache_breakpoint": { "mode": "explicit", "ttl": "30m" } },
            { "type": "image_url", "image_url": { "url": PNG, "detail": "low" } },
            { "type": "image_url", "image_url": { "url": "https://a.example/x.png" } },
            { "type": "file", "file": { "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0=" } },
            { "type": "input_audio", "input_audio": { "data": "AAAA", "format": "mp3" } },
        ] },
    ]);
    let members = json!({
        "tools": [
            tool("wx"),
            { "type": "function", "function": { "name": "now", "strict": true } },
            { "type": "custom", "custom": { "name": "sql", "format": { "type": "grammar", "grammar": { "syntax": "lark", "definition": "x" } } } },
        ],
        "tool_choice": { "type": "allowed_tools", "allowed_tools": { "mode": "required", "tools": [
            { "type": "function", "function": { "name": "wx" } }, { "type": "custom", "custom": { "name": "sql" } }] } },
        "parallel_tool_calls": false,
        "response_format": { "type": "json_schema", "json_schema": { "name": "s", "description": "d", "schema": city(), "strict": true } },
        "max_completion_tokens": 100, "temperature": 0.70, "top_p": 1, "frequency_penalty": 0.1, "presence_penalty": -1,
        "seed": 7, "stop": ["a", "\n"], "logit_bias": { "1": -100 }, "logprobs": true, "top_logprobs": 2, "n": 3,
        "safety_identifier": "u", "prompt_cache_key": "k", "metadata": { "a": "b" }, "verbosity": "low",
        "service_tier": "flex", "stream": true, "stream_options": { "include_usage": true },
    });
    let mut body = asking(&members);
    body["model"] = json!("m-1");
    body["messages"] = weather;
    let (out, written) = through(&body, &of(Dialect::Openai)).unwrap();
    assert_eq!(out, body);
    assert!(written.ignored.is_empty() && read(&body.to_string()).unwrap().ignored.is_empty());
}

#[test]
fn every_tool_choice_goes_through() {
    for choice in [
        json!("auto"),
        json!("none"),
        json!("required"),
        json!({ "type": "function", "function": { "name": "wx" } }),
        json!({ "type": "custom", "custom": { "name": "sql" } }),
    ] {
        let tools = json!([tool("wx"), { "type": "custom", "custom": { "name": "sql" } }]);
        let (out, _) =
            through(&asking(&json!({ "tools": tools, "tool_choice": choice })), &of(Dialect::Openai)).unwrap();
        assert_eq!(out["tool_choice"], choice);
    }
    let (out, _) = through(&asking(&json!({ "tools": [], "tool_choice": "auto" })), &of(Dialect::Openai)).unwrap();
    assert!(out.get("tool_choice").is_none() && out.get("tools").is_none());
}

#[test]
fn old_functions_are_tools() {
    let body = json!({
        "model": "x",
        "functions": [{ "name": "wx", "parameters": city() }],
        "function_call": { "name": "wx" },
        "messages": [
            { "role": "user", "content": "hi" },
            { "role": "assistant", "content": null, "function_call": { "name": "wx", "arguments": "{}" } },
            { "role": "function", "name": "wx", "content": "7" },
        ],
    });
    let text = body.to_string();
    let request = read(&text).unwrap();
    assert!(request.has_legacy_functions && request.parallel_calls == Some(false));
    let (out, _) = written(&request, &of(Dialect::Openai)).unwrap();
    assert_eq!(out["messages"][1]["tool_calls"][0]["id"], out["messages"][2]["tool_call_id"]);
    assert_eq!(out["tool_choice"]["function"]["name"], "wx");
    assert_eq!(out["tools"][0]["function"]["name"], "wx");
}

#[test]
fn what_makes_no_sense_is_refused_by_its_place() {
    let message = |message: Json| json!({ "model": "x", "messages": [{ "role": "user", "content": "a" }, message] });
    let part = |part: Json| message(json!({ "role": "user", "content": [{ "type": "text", "text": "a" }, part] }));
    let target = InvalidFault::Target;
    let request = InvalidFault::Request;
    for (body, param, fault) in [
        (json!([]), "", request),
        (json!({ "model": "x" }), "messages", request),
        (json!({ "model": "x", "messages": [] }), "messages", request),
        (message(json!("x")), "messages[1]", request),
        (message(json!({ "role": "robot" })), "messages[1].role", request),
        (message(json!({ "role": "user", "content": 1 })), "messages[1].content", request),
        (message(json!({ "role": "tool", "content": "x" })), "messages[1].tool_call_id", request),
        (message(json!({ "role": "function", "name": "f", "content": "x" })), "messages[1].tool_call_id", request),
        (message(json!({ "role": "assistant", "audio": { "id": "a" } })), "messages[1].audio", target),
        (
            message(json!({ "role": "assistant", "tool_calls": [{ "id": "", "function": { "name": "f" } }] })),
            "messages[1].tool_calls[0].id",
            request,
        ),
        (message(json!({ "role": "assistant", "tool_calls": [{ "id": "a" }] })), "messages[1].tool_calls[0]", request),
        (part(json!({ "type": "video_url", "video_url": {} })), "messages[1].content[1].type", target),
        (part(json!({ "type": "text" })), "messages[1].content[1].text", request),
        (part(json!({ "type": "text", "text": 1 })), "messages[1].content[1].text", request),
        (
            part(json!({ "type": "image_url", "image_url": { "url": "ftp://x" } })),
            "messages[1].content[1].image_url",
            request,
        ),
        (
            part(json!({ "type": "input_audio", "input_audio": { "data": "A", "format": "ogg" } })),
            "messages[1].content[1].input_audio.format",
            request,
        ),
        (
            part(json!({ "type": "file", "file": { "file_data": "https://a.example/x.pdf" } })),
            "messages[1].content[1].file.file_data",
            request,
        ),
        (part(json!({ "type": "file", "file": { "file_id": "f" } })), "messages[1].content[1]", target),
        (asking(&json!({ "temperature": "hot" })), "temperature", request),
        (asking(&json!({ "max_tokens": -1 })), "max_tokens", request),
        (asking(&json!({ "n": 0 })), "n", request),
        (asking(&json!({ "stop": { "a": 1 } })), "stop", request),
        (asking(&json!({ "top_logprobs": 2 })), "top_logprobs", request),
        (asking(&json!({ "reasoning_effort": "huge" })), "reasoning_effort", request),
        (asking(&json!({ "tools": [{ "type": "function" }] })), "tools[0].function", request),
        (asking(&json!({ "tools": [{ "type": "function", "function": {} }] })), "tools[0].function.name", request),
        (asking(&json!({ "tools": [tool("a")], "tool_choice": "maybe" })), "tool_choice", request),
        (asking(&json!({ "response_format": { "type": "yaml" } })), "response_format.type", request),
        (
            asking(&json!({ "response_format": { "type": "json_schema", "json_schema": { "name": "x" } } })),
            "response_format.json_schema.schema",
            request,
        ),
        (asking(&json!({ "modalities": ["text", "audio"] })), "modalities", target),
        (asking(&json!({ "web_search_options": {} })), "web_search_options", target),
    ] {
        let error = through(&body, &of(Dialect::Openai)).map(|(out, _)| out).expect_err(&body.to_string());
        assert_eq!((&*error.param, error.fault), (param, fault), "{body}: {error}");
        assert!(!error.message.is_empty());
    }
}

#[test]
fn what_is_left_out_is_named() {
    let body = json!({
        "model": "x", "min_p": 0.1, "store": true, "prediction": { "type": "content" }, "user": null,
        "messages": [{ "role": "user", "content": [{ "type": "text", "text": "a", "mood": 1 }], "weight": 2 }],
        "tools": [{ "type": "function", "function": { "name": "f", "examples": [] } }],
    });
    let text = body.to_string();
    let request = read(&text).unwrap();
    let mut ignored = request.ignored.clone();
    ignored.sort();
    assert_eq!(
        ignored,
        [
            "messages[0].content[0].mood",
            "messages[0].weight",
            "min_p",
            "prediction",
            "store",
            "tools[0].function.examples"
        ]
    );
}

#[test]
fn the_list_of_fields_says_what_happens() {
    let samples = [
        (
            "messages[].annotations",
            json!({ "messages": [{ "role": "assistant", "content": "a", "annotations": [1] }] }),
        ),
        ("messages[].audio", json!({ "messages": [{ "role": "assistant", "audio": { "id": "a" } }] })),
        ("store", json!({ "store": true })),
    ];
    for field in FIELDS {
        let sample = samples.iter().find(|(path, _)| *path == field.path).map(|(_, sample)| sample.clone());
        let place = field.path.replace("[]", "[0]");
        let body = asking(&sample.unwrap_or_else(|| json!({ field.path: { "a": 1 } }))).to_string();
        match field.fate {
            Fate::Dropped(_) => assert!(read(&body).unwrap().ignored.iter().any(|path| **path == place), "{place}"),
            Fate::Refused(_) => assert_eq!(read(&body).unwrap_err().param, place),
            Fate::Mapped | Fate::Emulated(_) | Fate::Hint(_) | Fate::Moot(_) => {
                let top = field.path.split(['.', '[']).next().unwrap();
                let ignored = read(&body).map(|request| request.ignored).unwrap_or_default();
                assert!(!ignored.iter().any(|path| path == top), "{top}");
            }
        }
    }
}

#[test]
fn effort_is_asked_for_in_many_ways() {
    for (asked, spelt) in [
        (json!({ "reasoning_effort": "high" }), "None Some(High) None"),
        (json!({ "reasoning": { "effort": "low", "exclude": true } }), "None Some(Low) Some(Omitted)"),
        (json!({ "reasoning": { "max_tokens": 2000 } }), "Some(Budget(2000)) None None"),
        (json!({ "reasoning": { "enabled": false } }), "Some(Off) None None"),
        (json!({ "thinking": { "type": "disabled" } }), "Some(Off) None None"),
        (json!({ "thinking": { "type": "enabled", "budget_tokens": 5 } }), "Some(Budget(5)) None None"),
        (json!({ "include_reasoning": false }), "None None Some(Omitted)"),
        (json!({ "reasoning_effort": "default" }), "None None None"),
    ] {
        let body = asking(&asked).to_string();
        let reasoning = read(&body).unwrap().reasoning;
        assert_eq!(format!("{:?} {:?} {:?}", reasoning.thinking, reasoning.effort, reasoning.shown), spelt, "{asked}");
    }
}

fn text(words: &'static str) -> Part<'static> {
    PartKind::Text(Text::plain(words)).into()
}

fn image() -> Part<'static> {
    let source = Source::Inline { media_type: Text::plain("image/png"), base64: Text::plain("iVBORw0KGgo=") };
    PartKind::Image(Media { source, name: None, detail: None }).into()
}

/// A conversation as only other formats can have it: a failed tool, and one that came to a picture.
fn results() -> Request<'static> {
    let call = |id| {
        let call = crate::translate::ir::Call {
            id: Text::plain(id),
            name: Text::plain("shot"),
            kind: CallKind::Function,
            arguments: "".into(),
        };
        Part::from(PartKind::Call(call))
    };
    let result = |id, parts, is_error| {
        let result = ToolResult { id: Text::plain(id), parts, is_error, kind: CallKind::Function };
        Part::from(PartKind::Result(result))
    };
    let turn = |role, parts, at| Turn { role, parts, name: None, at };
    Request {
        turns: vec![
            turn(Role::User, vec![text("go")], 0),
            turn(Role::Assistant, vec![call("toolu_1"), call("toolu_2")], 1),
            turn(Role::Tool, vec![result("toolu_1", vec![text("seen"), image()], false)], 2),
            turn(Role::Tool, vec![result("toolu_2", vec![text("no"), text("way")], true)], 2),
            turn(Role::User, vec![text("and?")], 2),
        ],
        ..Request::default()
    }
}

#[test]
fn pictures_in_results_follow_in_a_message_of_the_users() {
    let (out, _) = written(&results(), &of(Dialect::Openai)).unwrap();
    let messages = &out["messages"];
    assert_eq!(messages[1]["tool_calls"][0]["function"]["arguments"], "{}");
    assert_eq!(messages[2]["content"], "seen\nimage 1 of this result follows");
    assert_eq!(messages[3]["content"], "[tool error]\nno\nway");
    assert_eq!(messages[4]["role"], "user");
    assert_eq!(messages[4]["content"][0]["text"], "image 1 of the result of toolu_1:");
    assert_eq!(messages[4]["content"][1]["image_url"]["url"], PNG);
    assert_eq!(messages[5]["content"], "and?");
}

#[test]
fn mistral_keeps_pictures_in_results_and_wants_turns() {
    let (out, _) = written(&results(), &of(Dialect::Mistral)).unwrap();
    let messages = out["messages"].as_array().unwrap();
    let roles: Vec<_> = messages.iter().map(|message| message["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["user", "assistant", "tool", "tool", "assistant", "user"]);
    assert_eq!(messages[2]["content"][1]["image_url"]["url"], PNG);
    let id = messages[1]["tool_calls"][0]["id"].as_str().unwrap();
    assert!(id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    assert_eq!(messages[2]["tool_call_id"], id);
}

#[test]
fn free_text_tools_become_functions_where_there_are_none() {
    let body = json!({
        "model": "x", "tools": [{ "type": "custom", "custom": { "name": "sql", "description": "d" } }],
        "messages": [
            { "role": "user", "content": "go" },
            { "role": "assistant", "tool_calls": [{ "id": "a", "type": "custom", "custom": { "name": "sql", "input": "a \"b\"" } }] },
            { "role": "tool", "tool_call_id": "a", "content": "1" },
        ],
    });
    let (out, written) = through(&body, &of(Dialect::Groq)).unwrap();
    assert_eq!(written.emulated.custom_tools, [Box::from("sql")]);
    assert_eq!(out["tools"][0]["function"]["parameters"]["required"], json!(["input"]));
    assert_eq!(out["messages"][1]["tool_calls"][0]["function"]["arguments"], r#"{"input":"a \"b\""}"#);
    let mut held = body;
    held["tools"][0]["custom"]["format"] =
        json!({ "type": "grammar", "grammar": { "syntax": "lark", "definition": "x" } });
    assert_eq!(through(&held, &of(Dialect::Groq)).unwrap_err().param, "tools[0]");
    let text = held.to_string();
    let request = read(&text).unwrap();
    assert!(matches!(request.tools[0].kind, ToolKind::Custom { grammar: Some(_) }));
}

#[test]
fn a_schema_is_brought_about_by_a_tool_where_it_must_be() {
    let without = |forced| {
        target(Dialect::Groq, move |model| {
            model.capabilities.json_schema = false;
            model.capabilities.forced_tool_choice = forced;
        })
    };
    let format = json!({ "type": "json_schema", "json_schema": { "name": "wx", "schema": city(), "strict": true } });
    let (out, made) = through(&asking(&json!({ "response_format": format })), &without(true)).unwrap();
    assert_eq!(made.emulated.schema_tool.as_deref(), Some("wx"));
    assert_eq!(out["tool_choice"]["function"]["name"], "wx");
    assert_eq!(out["tools"][0]["function"]["parameters"], city());
    assert!(out.get("response_format").is_none());
    let both = asking(&json!({ "response_format": format, "tools": [tool("wx")], "tool_choice": "auto" }));
    let (out, made) = through(&both, &without(true)).unwrap();
    assert_eq!(made.emulated.schema_tool.as_deref(), Some("wx_"));
    assert_eq!((out["tool_choice"].as_str(), out["tools"].as_array().unwrap().len()), (Some("required"), 2));
    let error = through(&asking(&json!({ "response_format": format })), &without(false)).unwrap_err();
    assert_eq!((&*error.param, error.fault), ("response_format", InvalidFault::Target));
}
