//! Requests: read and written again by the same format, and what is refused.

use super::*;

/// Each request, and what it becomes; empty where it stays as it is but for the model's name.
const SAME: &[(&str, &str, &str)] = &[
    (
        "plain",
        r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi \"you\"\n"}]}"#,
        r#"{"model":"claude-x","max_tokens":9,"messages":[{"role":"user","content":[{"type":"text","text":"hi \"you\"\n"}]}]}"#,
    ),
    (
        "system, stream, stops",
        r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":""},{"type":"text","text":"b"}]}],"system":"be kind","max_tokens":9,"stream":true,"stop_sequences":["X","\n"],"metadata":{"user_id":"u1"},"service_tier":"auto"}"#,
        r#"{"model":"claude-x","max_tokens":9,"stream":true,"system":[{"type":"text","text":"be kind"}],"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}],"stop_sequences":["X"],"metadata":{"user_id":"u1"},"service_tier":"auto"}"#,
    ),
    (
        "a chain of calls",
        r#"{"max_tokens":9,"messages":[{"role":"user","content":"wx?"},{"role":"assistant","content":[{"type":"thinking","thinking":"Two.","signature":"Eq8B"},{"type":"redacted_thinking","data":"Zz"},{"type":"text","text":"Looking."},{"type":"tool_use","id":"call_1","name":"wx","input":{"city": "Bonn","n":1.50}},{"type":"tool_use","id":"call.2","name":"wx","input":{}}]},{"role":"user","content":[{"type":"text","text":"there"},{"type":"tool_result","tool_use_id":"call_1","content":"7 C"},{"type":"tool_result","tool_use_id":"call.2","content":[{"type":"text","text":"no"},{"type":"image","source":{"type":"base64","media_type":"image/jpeg","data":"iVBORw0KGgoAAAANSUhEUg=="}}],"is_error":true}]}],"tools":[{"name":"wx","description":"d","input_schema":{"type":"object","properties":{"city":{"type":"string"}}},"strict":true}],"tool_choice":{"type":"auto","disable_parallel_tool_use":true}}"#,
        r#"{"model":"claude-x","max_tokens":9,"tools":[{"name":"wx","description":"d","input_schema":{"type":"object","properties":{"city":{"type":"string"}}},"strict":true}],"tool_choice":{"type":"auto","disable_parallel_tool_use":true},"messages":[{"role":"user","content":[{"type":"text","text":"wx?"}]},{"role":"assistant","content":[{"type":"thinking","thinking":"Two.","signature":"Eq8B"},{"type":"redacted_thinking","data":"Zz"},{"type":"text","text":"Looking."},{"type":"tool_use","id":"call_1","name":"wx","input":{"city": "Bonn","n":1.50}},{"type":"tool_use","id":"toolu_ID2","name":"wx","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"call_1","content":[{"type":"text","text":"7 C"}]},{"type":"tool_result","tool_use_id":"toolu_ID2","content":[{"type":"text","text":"no"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBORw0KGgoAAAANSUhEUg=="}}],"is_error":true},{"type":"text","text":"there"}]}]}"#,
    ),
    (
        "media",
        r#"{"max_tokens":9,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"url","url":"https://a.example/x.png"}},{"type":"document","title":"T","source":{"type":"base64","media_type":"application/pdf","data":"JVBERi0xLjQK"}},{"type":"document","source":{"type":"url","url":"https://a.example/x.pdf"}},{"type":"document","context":"old","source":{"type":"text","media_type":"text/plain","data":"words"},"cache_control":{"type":"ephemeral"}},{"type":"document","source":{"type":"content","content":[{"type":"text","text":"inner"}]}},{"type":"search_result","title":"S","source":"https://s.example","content":[{"type":"text","text":"found"}]}]}]}"#,
        r#"{"model":"claude-x","max_tokens":9,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"url","url":"https://a.example/x.png"}},{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"JVBERi0xLjQK"},"title":"T"},{"type":"document","source":{"type":"url","url":"https://a.example/x.pdf"}},{"type":"text","text":"old"},{"type":"document","source":{"type":"text","media_type":"text/plain","data":"words"},"cache_control":{"type":"ephemeral"}},{"type":"text","text":"inner"},{"type":"text","text":"S\nhttps://s.example\nfound"}]}]}"#,
    ),
    (
        "reasoning and form",
        r#"{"max_tokens":90,"messages":[{"role":"user","content":"x"}],"thinking":{"type":"adaptive","display":"omitted"},"output_config":{"effort":"xhigh","format":{"type":"json_schema","schema":{"type":"object"}}},"temperature":1,"top_k":5}"#,
        r#"{"model":"claude-x","max_tokens":90,"messages":[{"role":"user","content":[{"type":"text","text":"x"}]}],"thinking":{"type":"adaptive","display":"omitted"},"output_config":{"effort":"high","format":{"type":"json_schema","schema":{"type":"object"}}}}"#,
    ),
    (
        "a mark at the end",
        r#"{"max_tokens":9,"cache_control":{"type":"ephemeral","ttl":"1h"},"system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral","ttl":"1h"}}],"messages":[{"role":"user","content":"x"}]}"#,
        r#"{"model":"claude-x","max_tokens":9,"system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral","ttl":"1h"}}],"messages":[{"role":"user","content":[{"type":"text","text":"x","cache_control":{"type":"ephemeral","ttl":"1h"}}]}]}"#,
    ),
    (
        "what own tools left",
        r#"{"max_tokens":9,"messages":[{"role":"user","content":"x"},{"role":"assistant","content":[{"type":"server_tool_use","id":"s1","name":"web_search","input":{"query":"q"}},{"type":"web_search_tool_result","tool_use_id":"s1","content":[{"type":"web_search_result","title":"T","url":"https://t.example","encrypted_content":"zzz"}]},{"type":"text","text":"so","citations":[{"type":"web_search_result_location"}]}]},{"role":"system","content":"now"},{"role":"user","content":"y"}]}"#,
        r#"{"model":"claude-x","max_tokens":9,"messages":[{"role":"user","content":[{"type":"text","text":"x"}]},{"role":"assistant","content":[{"type":"text","text":"[web_search_tool_result]\nT\nhttps://t.example"},{"type":"text","text":"so"}]},{"role":"user","content":[{"type":"text","text":"<system>now</system>"},{"type":"text","text":"y"}]}]}"#,
    ),
];

#[test]
fn what_the_format_says_is_said_again() {
    for (name, asked, said) in SAME {
        let written = write(&read(asked).unwrap(), &target(|_| {})).unwrap();
        let said = said.replace("toolu_ID2", &super::super::ids::fitting(&crate::translate::ir::Text::plain("call.2")));
        assert_eq!(body(&written), said, "{name}");
        // Once it has been through, it stays as it is.
        let again = write(&read(&said).unwrap(), &target(|_| {})).unwrap();
        assert_eq!(body(&again), said, "{name}, again");
    }
}

#[test]
fn what_is_left_out_is_named() {
    let asked = r#"{"max_tokens":9,"messages":[{"role":"user","content":[{"type":"text","text":"x","mood":1}],"weight":2},
        {"role":"assistant","content":[{"type":"server_tool_use","id":"s","name":"n","input":{}},{"type":"text","text":"a","citations":[1]}]},
        {"role":"user","content":[{"type":"document","source":{"type":"text","data":"d"},"citations":{"enabled":true}}]}],
        "context_management":{"edits":[]},"speed":"fast","surprise":1,"container":null,"mcp_servers":[],"metadata":{"x":1},
        "tools":[{"name":"t","input_schema":{},"defer_loading":true,"allowed_callers":["direct"]}],"thinking":{"type":"between_tools"},
        "output_config":{"task_budget":{}}}"#;
    let request = read(asked).unwrap();
    assert_eq!(
        request.ignored,
        [
            "context_management",
            "speed",
            "surprise",
            "metadata.x",
            "tools[].defer_loading",
            "thinking.type",
            "output_config.task_budget",
            "messages[].weight",
            "messages[].content[].mood",
            "messages[].content[].server_tool_use",
            "messages[].content[].citations",
        ]
    );
}

#[test]
fn refusals_name_the_field() {
    for (asked, param, fault) in [
        ("[]", "", "Request"),
        (r#"{"max_tokens":9}"#, "messages", "Request"),
        (r#"{"messages":[]}"#, "max_tokens", "Request"),
        (r#"{"messages":[],"max_tokens":"x"}"#, "max_tokens", "Request"),
        (r#"{"messages":[],"max_tokens":0}"#, "max_tokens", "Target"),
        (r#"{"messages":{},"max_tokens":1}"#, "messages", "Request"),
        (r#"{"messages":[{"role":"tool","content":"x"}],"max_tokens":1}"#, "messages[0].role", "Request"),
        (r#"{"messages":[{"role":"user"}],"max_tokens":1}"#, "messages[0].content", "Request"),
        (r#"{"messages":[{"role":"user","content":7}],"max_tokens":1}"#, "messages[0].content", "Request"),
        (r#"{"messages":[{"role":"user","content":["x"]}],"max_tokens":1}"#, "messages[0].content[0]", "Request"),
        (
            r#"{"messages":[{"role":"user","content":[{"type":"hologram"}]}],"max_tokens":1}"#,
            "messages[0].content[0].type",
            "Target",
        ),
        (
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image","source":{"type":"base64","data":"x"}}]}],"max_tokens":1}"#,
            "messages[0].content[1].source.media_type",
            "Request",
        ),
        (
            r#"{"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":[{"type":"image"}]}]}],"max_tokens":1}"#,
            "messages[0].content[0].content[0].source",
            "Request",
        ),
        (
            r#"{"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"b","input":"x"}]}],"max_tokens":1}"#,
            "messages[0].content[0].input",
            "Request",
        ),
        (
            r#"{"messages":[{"role":"assistant","content":[{"type":"tool_result","tool_use_id":"a"}]}],"max_tokens":1}"#,
            "messages[0].content",
            "Request",
        ),
        (r#"{"messages":[],"max_tokens":1,"system":[7]}"#, "system[0]", "Request"),
        (r#"{"messages":[],"max_tokens":1,"container":"c"}"#, "container", "Target"),
        (r#"{"messages":[],"max_tokens":1,"mcp_servers":[{}]}"#, "mcp_servers", "Target"),
        (r#"{"messages":[],"max_tokens":1,"tools":[{"name":"a"}]}"#, "tools[0].input_schema", "Request"),
        (r#"{"messages":[],"max_tokens":1,"tool_choice":{"type":"tool"}}"#, "tool_choice.name", "Request"),
        (r#"{"messages":[],"max_tokens":1,"thinking":{"type":"enabled"}}"#, "thinking.budget_tokens", "Request"),
        (r#"{"messages":[],"max_tokens":1,"output_config":{"effort":"huge"}}"#, "output_config.effort", "Request"),
        (
            r#"{"messages":[],"max_tokens":1,"output_config":{"format":{"type":"xml"}}}"#,
            "output_config.format.type",
            "Request",
        ),
        (r#"{"messages":[],"max_tokens":1,"stop_sequences":[1]}"#, "stop_sequences", "Request"),
        (r#"{"messages":[],"max_tokens":1,"temperature":"warm"}"#, "temperature", "Request"),
    ] {
        let invalid = read(asked).unwrap_err();
        assert_eq!((invalid.param.as_str(), format!("{:?}", invalid.fault).as_str()), (param, fault), "{asked}");
        assert!(!invalid.message.is_empty());
    }
}

#[test]
fn sealed_thoughts_go_back_to_their_maker_only() {
    use crate::translate::ir::{BlobKind, Text};
    let own = envelope().seal(BlobKind::AnthropicSignature, &Text::plain("Eq8B"), &maker());
    let others = envelope().seal(
        BlobKind::AnthropicSignature,
        &Text::plain("Eq8B"),
        &Maker { provider: "anthropic".into(), model: "claude-y".into() },
    );
    let gemini = envelope().seal(BlobKind::GeminiSignature, &Text::plain("CsQB"), &maker());
    let asked = format!(
        r#"{{"max_tokens":9,"messages":[{{"role":"user","content":"x"}},{{"role":"assistant","content":[
        {{"type":"thinking","thinking":"own","signature":"{}"}},{{"type":"thinking","thinking":"other","signature":"{}"}},
        {{"type":"thinking","thinking":"forged","signature":"flux1.AAAA"}},{{"type":"redacted_thinking","data":"flux1.AAAA"}},
        {{"type":"tool_use","id":"a","name":"f","input":{{}}}},{{"type":"redacted_thinking","data":"{}"}}]}},
        {{"role":"user","content":[{{"type":"tool_result","tool_use_id":"a"}}]}}]}}"#,
        own.spelt(),
        others.spelt(),
        gemini.spelt(),
    );
    let request = read(&asked).unwrap();
    let parts = &request.turns[1].parts;
    assert_eq!(parts.len(), 4);
    assert_eq!(parts[3].blob.as_ref().unwrap().kind, BlobKind::GeminiSignature);
    assert!(parts[2].blob.is_none());
    let written = body(&write(&request, &target(|_| {})).unwrap());
    assert!(
        written.contains(r#""content":[{"type":"thinking","thinking":"own","signature":"Eq8B"},{"type":"tool_use""#)
    );
    assert!(!written.contains("other") && !written.contains("forged") && !written.contains("CsQB"));
    let dull = body(&write(&request, &target(|model| model.capabilities.reasoning = false)).unwrap());
    assert!(!dull.contains("thinking"), "{dull}");
}

/// Each dropped field of the table is named when it is left out, and each refused one is refused.
#[test]
fn the_table_of_fields_is_true() {
    use crate::translate::fields::Fate;
    for (at, field) in super::super::FIELDS.iter().enumerate() {
        assert!(super::super::FIELDS[..at].iter().all(|other| other.path != field.path), "{} twice", field.path);
        let is_top = !field.path.contains(['.', '[']);
        let asked = format!(r#"{{"{}":"x","max_tokens":9,"messages":[{{"role":"user","content":"x"}}]}}"#, field.path);
        match field.fate {
            Fate::Dropped(_) if is_top => assert_eq!(read(&asked).unwrap().ignored, [field.path]),
            Fate::Refused(_) if is_top => assert_eq!(read(&asked).unwrap_err().param, field.path),
            Fate::Mapped | Fate::Emulated(_) | Fate::Hint(_) | Fate::Moot(_) if is_top && read(&asked).is_ok() => {
                assert!(read(&asked).unwrap().ignored.is_empty(), "{}", field.path);
            }
            Fate::Mapped | Fate::Hint(_) | Fate::Moot(_) | Fate::Emulated(_) | Fate::Dropped(_) | Fate::Refused(_) => {}
        }
    }
    for block in ["citations", "transformations", "toolset_name"] {
        let asked = format!(
            r#"{{"max_tokens":9,"messages":[{{"role":"user","content":[{{"type":"text","text":"x","{block}":1}}]}}]}}"#
        );
        assert_eq!(read(&asked).unwrap().ignored, [format!("messages[].content[].{block}")]);
    }
}
