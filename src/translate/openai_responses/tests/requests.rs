//! Requests: what is read, what is refused by name, and what is written for a provider.

use super::*;
use crate::base::wire_format::WireFormat;
use crate::translate::fields::Fate;
use crate::translate::ir::{
    Blob, BlobKind, CacheTtl, Call, CallKind, OutputForm, Part, PartKind, Request, Role, Shown, Source, Thinking,
    ToolChoice, ToolKind, ToolResult, Turn, Value,
};
use crate::translate::openai_responses::{FIELDS, read_request, write_request};
use crate::translate::{Invalid, InvalidFault, Written};

pub(super) fn read(body: &str) -> Result<Request<'_>, Invalid> {
    read_request(Value::parse(body.as_bytes()).unwrap(), &envelope())
}

/// The request for these items.
fn items(items: &str) -> String {
    format!(r#"{{"model":"m","input":[{items}]}}"#)
}

fn written(request: &Request<'_>) -> Written {
    write_request(request, &target()).unwrap()
}

/// A member of what is written for the provider.
fn member(body: &str, name: &str) -> String {
    let written = written(&read(body).unwrap()).body;
    let value = Value::parse(&written).unwrap();
    value.get(name).map_or("absent", Value::spelt).to_owned()
}

fn shown(request: &Request<'_>) -> Vec<String> {
    let part = |part: &Part<'_>| {
        let blob = part.blob.as_ref().map(|blob| format!("<{}>", blob.token.spelt())).unwrap_or_default();
        let said = match &part.kind {
            PartKind::Text(text) => format!("text {}", text.spelt()),
            PartKind::Thought(text) => format!("thought {}", text.spelt()),
            PartKind::Refusal(text) => format!("refusal {}", text.spelt()),
            PartKind::Call(call) => {
                format!("call {} {} {:?} {}", call.id.spelt(), call.name.spelt(), call.kind, call.arguments)
            }
            PartKind::Result(result) => {
                format!("result {} {:?} {}", result.id.spelt(), result.kind, result.parts.len())
            }
            PartKind::Image(_) => "image".into(),
            PartKind::File(_) => "file".into(),
            PartKind::Audio(_) => "audio".into(),
        };
        said + &blob
    };
    let turn = |turn: &Turn<'_>| {
        let parts: Vec<_> = turn.parts.iter().map(part).collect();
        format!("{} {:?}: {}", turn.at, turn.role, parts.join(" | "))
    };
    request.turns.iter().map(turn).collect()
}

#[test]
fn items_become_turns_and_the_assistants_neighbours_are_one() {
    let body = r#"{"model":"m","instructions":"be brief","input":[
        {"role":"developer","content":"kind"},
        {"type":"message","role":"user","content":[{"type":"input_text","text":"Weather?"}]},
        {"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"a"},{"type":"summary_text","text":"b"}],"encrypted_content":"gAAA"},
        {"type":"message","id":"msg_1","status":"completed","role":"assistant","content":[{"type":"output_text","text":"Let me look.","annotations":[]}]},
        {"type":"function_call","id":"fc_1","call_id":"c1","name":"wx","arguments":"{\"city\":\"Bonn\"}"},
        {"type":"custom_tool_call","call_id":"c2","name":"sh","input":"ls"},
        {"type":"custom_tool_call_output","call_id":"c2","output":[{"type":"input_text","text":"x"},{"type":"input_image","image_url":"data:image/png;base64,iVBORw0KGgo="}]},
        {"type":"function_call_output","call_id":"c1","output":"7 C"},
        {"role":"assistant","content":[{"type":"refusal","refusal":"no"}]}]}"#;
    assert_eq!(
        shown(&read(body).unwrap()),
        [
            "0 System: text be brief",
            "0 Developer: text kind",
            "1 User: text Weather?",
            "2 Assistant: thought a\\n\\nb<gAAA> | text Let me look. | call c1 wx Function {\"city\":\"Bonn\"} | call c2 sh Custom ls",
            "6 Tool: result c2 Custom 2",
            "7 Tool: result c1 Function 1",
            "8 Assistant: refusal no",
        ]
    );
    assert_eq!(shown(&read(r#"{"input":"hi"}"#).unwrap()), ["0 User: text hi"]);
}

#[test]
fn envelopes_are_opened_and_foreign_ones_dropped() {
    let maker = Maker { provider: "google".into(), model: "g".into() };
    let sealed = envelope().seal(BlobKind::GeminiSignature, &Text::plain("sig"), &maker);
    let reasoning = format!(r#"{{"type":"reasoning","summary":[],"encrypted_content":"{}"}}"#, sealed.spelt());
    let call = r#"{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}"#;
    // After a call it is the call's signature; alone it is a thought that is not shown.
    let body = items(&format!("{call},{reasoning}"));
    assert_eq!(shown(&read(&body).unwrap()), ["0 Assistant: call c f Function {}<sig>"]);
    let body = items(&reasoning);
    let request = read(&body).unwrap();
    assert_eq!(shown(&request), ["0 Assistant: thought <sig>"]);
    assert_eq!(request.turns[0].parts[0].blob.as_ref().unwrap().maker, Some(maker));
    let foreign = r#"{"type":"reasoning","summary":[],"encrypted_content":"flux1.AAAA"}"#;
    assert!(read(&items(foreign)).unwrap().turns.is_empty());
}

#[test]
fn media_and_marks_are_read() {
    let body = items(
        r#"{"role":"user","content":[
        {"type":"input_image","image_url":"https://a.b/c.png","detail":"low"},
        {"type":"input_image","image_url":"data:image\/png;base64,iVBORw0KGgo="},
        {"type":"input_file","filename":"a.pdf","file_data":"data:application/pdf;base64,JVBERi0="},
        {"type":"input_file","file_url":"https://a.b/c.pdf"},
        {"type":"input_audio","input_audio":{"data":"AAAA","format":"mp3"}},
        {"type":"input_text","text":"t","prompt_cache_breakpoint":{"mode":"explicit","ttl":"12h"}}]}"#,
    );
    let request = read(&body).unwrap();
    let parts = &request.turns[0].parts;
    assert_eq!(shown(&request), ["0 User: image | image | file | file | audio | text t"]);
    let PartKind::Image(first) = &parts[0].kind else { panic!() };
    assert!(matches!(&first.source, Source::Url(url) if url.is("https://a.b/c.png")));
    assert!(first.detail.as_ref().unwrap().is("low"));
    let PartKind::Image(second) = &parts[1].kind else { panic!() };
    assert!(matches!(&second.source, Source::Inline { media_type, .. } if media_type.is("image/png")));
    assert_eq!(parts[5].cache.unwrap().0, CacheTtl::H12);
}

#[test]
fn what_makes_no_sense_is_refused_by_its_place() {
    let user =
        |part: &str| items(&format!(r#"{{"role":"user","content":[{{"type":"input_text","text":"a"}},{part}]}}"#));
    for (body, param) in [
        ("[]".to_owned(), ""),
        (r#"{"model":"m"}"#.into(), "input"),
        (r#"{"input":7}"#.into(), "input"),
        (items("7"), "input[0]"),
        (items(r#"{"content":"x"}"#), "input[0].type"),
        (items(r#"{"role":"robot","content":"x"}"#), "input[0].role"),
        (items(r#"{"role":"user"}"#), "input[0].content"),
        (items(r#"{"role":"user","content":7}"#), "input[0].content"),
        (user(r#"{"type":"input_video"}"#), "input[0].content[1].type"),
        (user(r#"{"type":"input_text"}"#), "input[0].content[1].text"),
        (user(r#"{"type":"input_image"}"#), "input[0].content[1].image_url"),
        (user(r#"{"type":"input_image","image_url":"data:image/png,x"}"#), "input[0].content[1].image_url"),
        (user(r#"{"type":"input_file"}"#), "input[0].content[1].file_data"),
        (items(r#"{"type":"function_call","name":"f","arguments":"{}"}"#), "input[0].call_id"),
        (items(r#"{"type":"function_call_output","call_id":"c"}"#), "input[0].output"),
        (r#"{"input":"x","tools":[{"type":"function"}]}"#.into(), "tools[0].name"),
        (r#"{"input":"x","tools":[{}]}"#.into(), "tools[0].type"),
        (r#"{"input":"x","tool_choice":"maybe"}"#.into(), "tool_choice"),
        (r#"{"input":"x","temperature":"hot"}"#.into(), "temperature"),
        (r#"{"input":"x","max_output_tokens":-1}"#.into(), "max_output_tokens"),
        (r#"{"input":"x","text":{"format":{"type":"json_schema","name":"n"}}}"#.into(), "text.format.schema"),
        (r#"{"input":"x","text":{"format":{"type":"yaml"}}}"#.into(), "text.format.type"),
        (r#"{"input":"x","reasoning":{"effort":"huge"}}"#.into(), "reasoning.effort"),
        (r#"{"input":"x","reasoning":{"summary":"none"}}"#.into(), "reasoning.summary"),
        (r#"{"input":"x","include":[7]}"#.into(), "include[0]"),
        (r#"{"input":"x","background":true}"#.into(), "background"),
    ] {
        let invalid = read(&body).err().unwrap_or_else(|| panic!("taken: {body}"));
        assert_eq!((invalid.param.as_str(), invalid.fault), (param, InvalidFault::Request), "{body}");
    }
}

#[test]
fn what_only_a_responses_provider_can_do_is_the_targets_fault() {
    for (body, param) in [
        (r#"{"input":"x","previous_response_id":"resp_1"}"#.to_owned(), "previous_response_id"),
        (r#"{"input":"x","conversation":"conv_1"}"#.into(), "conversation"),
        (r#"{"input":"x","prompt":{"id":"p"}}"#.into(), "prompt"),
        (r#"{"input":"x","truncation":"auto"}"#.into(), "truncation"),
        (items(r#"{"type":"item_reference","id":"msg_1"}"#), "input[0]"),
        (items(r#"{"id":"msg_1"}"#), "input[0]"),
        (items(r#"{"type":"local_shell_call","id":"l"}"#), "input[0].type"),
        (items(r#"{"type":"compaction","encrypted_content":"x"}"#), "input[0].type"),
        (items(r#"{"type":"image_generation_call","id":"ig_1","status":"completed"}"#), "input[0].result"),
    ] {
        let invalid = read(&body).err().unwrap_or_else(|| panic!("taken: {body}"));
        assert_eq!((invalid.param.as_str(), invalid.fault), (param, InvalidFault::Target), "{body}");
    }
}

#[test]
fn what_is_left_out_is_named() {
    let body = r#"{"input":[{"role":"assistant","content":"a","phase":"commentary"},{"type":"web_search_call","id":"ws"},
        {"role":"user","content":[{"type":"input_text","text":"b","colour":"red"}]}],
        "store":true,"background":false,"truncation":"disabled","max_tool_calls":3,"client_metadata":{},
        "reasoning":{"mode":"pro"},"text":{"tone":"warm"},"include":["reasoning.encrypted_content","web_search_call.results"],
        "tools":[{"type":"function","name":"f","defer_loading":true}],"moderation":null}"#;
    let mut ignored = read(body).unwrap().ignored;
    ignored.sort();
    assert_eq!(
        ignored,
        [
            "client_metadata",
            "include[1]",
            "input[0].phase",
            "input[1]",
            "input[2].content[0].colour",
            "max_tool_calls",
            "reasoning.mode",
            "store",
            "text.tone",
            "tools[0].defer_loading",
        ]
    );
    let many: Vec<String> = (0..100).map(|n| format!(r#""x{n}":1"#)).collect();
    assert_eq!(read(&format!(r#"{{"input":"x",{}}}"#, many.join(","))).unwrap().ignored.len(), 32);
}

#[test]
fn the_list_of_fields_says_what_the_reader_does() {
    for field in FIELDS.iter().filter(|field| !field.path.contains(['.', '['])) {
        let body = format!(r#"{{"input":"x","{}":{{"type":"function","name":"f"}}}}"#, field.path);
        let outcome = read(&body);
        match field.fate {
            Fate::Refused(_) => assert!(outcome.is_err(), "{}", field.path),
            Fate::Dropped(_) if field.path != "store" => {
                assert_eq!(outcome.unwrap().ignored, [field.path], "{}", field.path);
            }
            Fate::Mapped | Fate::Hint(_) | Fate::Moot(_) | Fate::Emulated(_) | Fate::Dropped(_) => {
                let is_known =
                    outcome.map_or_else(|invalid| invalid.param == field.path, |read| read.ignored.is_empty());
                assert!(is_known, "{}", field.path);
            }
        }
    }
    let mut paths: Vec<_> = FIELDS.iter().map(|field| field.path).collect();
    paths.dedup();
    assert_eq!(paths.len(), FIELDS.len());
}

#[test]
fn tools_and_choices() {
    let body = r#"{"input":"x","parallel_tool_calls":false,"tools":[
        {"type":"function","name":"f","description":"d","parameters":{"type":"object"},"strict":true},
        {"type":"function","name":"g"},
        {"type":"custom","name":"c","format":{"type":"text"}},
        {"type":"custom","name":"h","format":{"type":"grammar","syntax":"lark","definition":"x"}},
        {"type":"web_search","filters":{}}],"tool_choice":CHOICE}"#;
    let with = |choice: &str| body.replace("CHOICE", choice);
    let request_body = with("\"auto\"");
    let request = read(&request_body).unwrap();
    let is_free = |at: usize| matches!(request.tools[at].kind, ToolKind::Custom { grammar: None });
    assert!(is_free(2) && !is_free(3));
    assert!(matches!(request.tools[4].kind, ToolKind::BuiltIn { format: WireFormat::OpenaiResponses, .. }));
    let expected = concat!(
        r#"[{"type":"function","name":"f","description":"d","parameters":{"type":"object"},"strict":true},"#,
        r#"{"type":"function","name":"g","parameters":{"type":"object","properties":{}},"strict":false},"#,
        r#"{"type":"custom","name":"c"},"#,
        r#"{"type":"custom","name":"h","format":{"type":"grammar","syntax":"lark","definition":"x"}},"#,
        r#"{"type":"web_search","filters":{}}]"#,
    );
    assert_eq!(member(&with("\"auto\""), "tools"), expected);
    assert_eq!(member(&with("\"auto\""), "parallel_tool_calls"), "false");
    for choice in [
        r#""auto""#,
        r#""none""#,
        r#""required""#,
        r#"{"type":"function","name":"f"}"#,
        r#"{"type":"custom","name":"c"}"#,
        r#"{"type":"web_search"}"#,
        r#"{"type":"allowed_tools","mode":"required","tools":[{"type":"function","name":"f"},{"type":"custom","name":"c"}]}"#,
    ] {
        assert_eq!(member(&with(choice), "tool_choice"), choice);
    }
    // A choice without tools is refused by the service.
    assert_eq!(member(r#"{"input":"x","tool_choice":"required","parallel_tool_calls":true}"#, "tool_choice"), "absent");
    let foreign = ToolKind::BuiltIn { format: WireFormat::AnthropicMessages, spelt: Value::parse(b"{}").unwrap() };
    let mut request = read(&request_body).unwrap();
    request.tools[4].kind = foreign;
    assert_eq!(write_request(&request, &target()).unwrap_err().param, "tools[4]");
    request.tools.truncate(1);
    request.tools[0].name = Text::plain("a.b");
    assert_eq!(write_request(&request, &target()).unwrap_err().param, "tools[0].name");
    assert_eq!(
        read(&with(r#"{"type":"function","name":"f"}"#)).unwrap().tool_choice,
        Some(ToolChoice::Named(Text::plain("f")))
    );
}

#[test]
fn reasoning_is_clipped_to_what_the_model_knows() {
    for (asked, expected) in [
        (r#"{"effort":"low"}"#, r#"{"effort":"low"}"#),
        (r#"{"effort":"minimal"}"#, r#"{"effort":"low"}"#),
        (r#"{"effort":"max","summary":"detailed"}"#, r#"{"effort":"high","summary":"detailed"}"#),
        (r#"{"effort":"none"}"#, r#"{"effort":"low"}"#),
        (r#"{"summary":"auto"}"#, r#"{"summary":"auto"}"#),
        ("null", "absent"),
    ] {
        assert_eq!(member(&format!(r#"{{"input":"x","reasoning":{asked}}}"#), "reasoning"), expected, "{asked}");
    }
    let budget = |tokens| {
        let mut request = read(r#"{"input":"x"}"#).unwrap();
        request.reasoning.thinking = Some(Thinking::Budget(tokens));
        request.reasoning.shown = Some(Shown::Omitted);
        String::from_utf8(written(&request).body).unwrap()
    };
    assert!(budget(8_192).contains(r#""reasoning":{"effort":"medium"}"#));
    assert!(budget(50_000).contains(r#""reasoning":{"effort":"high"}"#));
    let plain = with_model(|model| {
        model.capabilities.reasoning = false;
        model.capabilities.sampling_params = false;
    });
    let request = read(r#"{"input":"x","reasoning":{"effort":"low","summary":"auto"},"temperature":1}"#).unwrap();
    let Written { body, ignored, .. } = write_request(&request, &plain).unwrap();
    assert_eq!(ignored, ["reasoning_effort", "temperature"]);
    assert_eq!(
        String::from_utf8(body).unwrap(),
        r#"{"model":"gpt-x","input":[{"role":"user","content":"x"}],"store":false}"#
    );
}

fn with_model(change: impl FnOnce(&mut Model)) -> Target {
    let target = target();
    let mut model = Model::clone(&target.model);
    change(&mut model);
    Target { model: Arc::new(model), ..target }
}

#[test]
fn a_conversation_is_written_as_items() {
    let text = |text: &'static str| PartKind::Text(Text::plain(text));
    let call = |id: &'static str, arguments: &'static str| {
        let (id, name, kind) = (Text::plain(id), Text::plain("wx"), CallKind::Function);
        PartKind::Call(Call { id, name, kind, arguments: arguments.into() })
    };
    let result = |id: &'static str, parts, is_error| {
        PartKind::Result(ToolResult { id: Text::plain(id), parts, is_error, kind: CallKind::Function })
    };
    let blob = |kind, provider: &'static str| {
        let maker = Some(Maker { provider: provider.into(), model: "gpt-x".into() });
        Some(Blob { kind, token: Text::plain("gAAA"), maker })
    };
    let own =
        Part { blob: blob(BlobKind::ResponsesEncrypted, "openai"), ..PartKind::Thought(Text::plain("hm")).into() };
    let other =
        Part { blob: blob(BlobKind::ResponsesEncrypted, "azure"), ..PartKind::Thought(Text::plain("hm")).into() };
    let foreign =
        Part { blob: blob(BlobKind::AnthropicSignature, "openai"), ..PartKind::Thought(Text::plain("hm")).into() };
    let image = PartKind::Image(crate::translate::ir::Media {
        source: Source::Inline { media_type: Text::plain("image/png"), base64: Text::plain("iVBO") },
        name: None,
        detail: None,
    });
    let turn = |role, parts: Vec<Part<'static>>, at| Turn { role, parts, name: None, at };
    let long = "x".repeat(70);
    let long: &'static str = Box::leak(long.into_boxed_str());
    let request = Request {
        turns: vec![
            turn(Role::System, vec![text("be brief").into()], 0),
            turn(Role::User, vec![text("Weather?").into(), image.clone().into()], 1),
            turn(
                Role::Assistant,
                vec![
                    own,
                    other,
                    foreign,
                    text("").into(),
                    text("Let me look.").into(),
                    call("c1", " ").into(),
                    call(long, "{\"a\":\"b\"}").into(),
                ],
                2,
            ),
            turn(Role::Tool, vec![result("c1", vec![text("no station").into()], true).into()], 3),
            turn(
                Role::User,
                vec![result(long, vec![text("see").into(), image.into()], false).into(), text("go on").into()],
                4,
            ),
        ],
        stream: true,
        output_tokens_max: Some(5),
        ..Request::default()
    };
    let Written { body, ignored, .. } = written(&request);
    assert_eq!(ignored, ["max_tokens"]);
    let body = String::from_utf8(body).unwrap();
    insta::with_settings!({ snapshot_path => "../../../../tests/golden/openai_responses", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("request_of_a_tool_loop", body.replace("},{", "},\n{"));
    });
}

#[test]
fn only_the_last_four_marks_are_written() {
    let part = r#"{"type":"input_text","text":"N","prompt_cache_breakpoint":{"mode":"explicit"}}"#;
    let parts: Vec<String> = (0..6).map(|n| part.replace('N', &n.to_string())).collect();
    let body = items(&format!(r#"{{"role":"user","content":[{}]}}"#, parts.join(",")));
    let input = member(&body, "input");
    assert_eq!(input.matches("prompt_cache_breakpoint").count(), 4);
    assert!(input.contains(r#"{"type":"input_text","text":"1"},"#) && input.contains(r#""text":"2","prompt_cache"#));
    let without = with_model(|model| model.capabilities.cache_marks = false);
    let request = read(&body).unwrap();
    let written = String::from_utf8(write_request(&request, &without).unwrap().body).unwrap();
    assert!(!written.contains("prompt_cache_breakpoint"));
}

#[test]
fn what_the_format_cannot_say_is_the_targets_fault() {
    type Change = fn(&mut Request<'static>);
    let cases: [(&str, Change); 5] = [
        ("n", |request| request.choices = crate::translate::ir::Choice(2)),
        ("stop", |request| request.stop = vec![Text::plain("END")]),
        ("logit_bias", |request| request.sampling.logit_bias = Value::parse(br#"{"1":2}"#).ok()),
        ("modalities", |request| request.wants_images = true),
        ("messages[0].content[0]", |request| {
            let source = Source::Id(Text::plain("file-1"));
            let media = crate::translate::ir::Media { source, name: None, detail: None };
            request.turns[0].parts = vec![PartKind::File(media).into()];
        }),
    ];
    for (param, change) in cases {
        let mut request = read(r#"{"input":"x"}"#).unwrap();
        change(&mut request);
        let invalid = write_request(&request, &target()).unwrap_err();
        assert_eq!((invalid.param.as_str(), invalid.fault), (param, InvalidFault::Target));
    }
}

#[test]
fn the_form_of_the_answer_is_kept() {
    let format = r#"{"type":"json_schema","name":"n","description":"d","schema":{"type":"object"},"strict":true}"#;
    let body = format!(r#"{{"input":"x","text":{{"format":{format},"verbosity":"low"}}}}"#);
    assert_eq!(member(&body, "text"), format!(r#"{{"format":{format},"verbosity":"low"}}"#));
    assert!(matches!(read(&body).unwrap().output_form, OutputForm::Schema { strict: Some(true), .. }));
    assert_eq!(member(r#"{"input":"x","text":{"format":{"type":"text"}}}"#, "text"), "absent");
    let include = r#"["reasoning.encrypted_content","message.output_text.logprobs"]"#;
    assert_eq!(member(r#"{"input":"x","top_logprobs":3}"#, "include"), include);
}
