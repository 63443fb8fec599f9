//! Grammar of the mock's answers, checked on whole requests.

use serde_json::json;

use super::*;

fn ask(format: WireFormat, body: &Value, pairs: &str) -> Reply {
    let options = MockOptions::default().with(pairs).unwrap();
    reply(format, body.to_string().as_bytes(), &options)
}

fn whole(reply: &Reply) -> Value {
    match &reply.body {
        ReplyBody::Whole(body) => serde_json::from_slice(body).unwrap(),
        ReplyBody::Frames(frames) => panic!("a stream: {frames:?}"),
    }
}

fn frames(reply: &Reply) -> Vec<(String, Value)> {
    let ReplyBody::Frames(frames) = &reply.body else { panic!("no stream: {reply:?}") };
    let read = |frame: &Bytes| {
        let text = std::str::from_utf8(frame).unwrap().strip_suffix("\n\n").unwrap();
        let (name, data) = match text.strip_prefix("event: ") {
            Some(rest) => rest.split_once('\n').unwrap(),
            None => ("", text),
        };
        let data = data.strip_prefix("data: ").unwrap();
        (name.to_owned(), serde_json::from_str(data).unwrap_or_else(|_| json!(data)))
    };
    frames.iter().map(read).collect()
}

fn chat(extra: Value) -> Value {
    with(json!({"model": "m", "messages": [{"role": "user", "content": "Grüße an dich"}]}), extra)
}

fn messages(extra: Value) -> Value {
    with(json!({"model": "m", "max_tokens": 500, "messages": [{"role": "user", "content": "hello there"}]}), extra)
}

fn with(mut body: Value, extra: Value) -> Value {
    let Value::Object(extra) = extra else { panic!("an object is wanted") };
    body.as_object_mut().unwrap().extend(extra);
    body
}

fn weather_tools(format: WireFormat) -> Value {
    let schema = json!({"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}});
    if format == WireFormat::AnthropicMessages {
        json!([{"name": "weather", "input_schema": schema}])
    } else {
        json!([{"type": "function", "function": {"name": "weather", "parameters": schema}}])
    }
}

#[test]
fn chat_answers_with_an_echo_and_usage() {
    let reply = ask(WireFormat::OpenaiChat, &chat(json!({"n": 2})), "");
    let answer = whole(&reply);
    let text = answer["choices"][1]["message"]["content"].as_str().unwrap();
    assert!(text.contains("Flux mock") && text.contains("Grüße an dich"), "{text}");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    let usage = &answer["usage"];
    assert_eq!(usage["completion_tokens"], json!(2 * text.len().div_ceil(4)));
    assert_eq!(reply, ask(WireFormat::OpenaiChat, &chat(json!({"n": 2})), ""), "the same body gives the same answer");
}

#[test]
fn chat_streams_in_the_vendors_order() {
    for (extra, has_usage) in [(json!({}), false), (json!({"stream_options": {"include_usage": true}}), true)] {
        let body = with(chat(extra), json!({"stream": true}));
        let frames = frames(&ask(WireFormat::OpenaiChat, &body, "chunk_chars=3"));
        let chunks: Vec<_> = frames.iter().map(|(_, chunk)| chunk).collect();
        assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
        let text: String = chunks.iter().filter_map(|c| c["choices"][0]["delta"]["content"].as_str()).collect();
        assert_eq!(text, whole(&ask(WireFormat::OpenaiChat, &chat(json!({})), ""))["choices"][0]["message"]["content"]);
        assert_eq!(chunks.last().unwrap(), &&json!("[DONE]"));
        let with_usage = chunks.iter().filter(|chunk| chunk["usage"].is_object()).count();
        assert_eq!(with_usage, usize::from(has_usage));
        if has_usage {
            assert_eq!(chunks[chunks.len() - 2]["choices"], json!([]));
        }
        assert!(chunks.iter().any(|chunk| chunk["choices"][0]["finish_reason"] == "stop"));
    }
}

#[test]
fn anthropic_streams_in_the_vendors_order() {
    let frames = frames(&ask(WireFormat::AnthropicMessages, &messages(json!({"stream": true})), "chunk_chars=1000"));
    let names: Vec<_> = frames.iter().map(|(name, _)| name.as_str()).collect();
    let expected = [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ];
    assert_eq!(names, expected);
    assert!(frames.iter().all(|(name, data)| data["type"] == *name));
    let answer = whole(&ask(WireFormat::AnthropicMessages, &messages(json!({})), ""));
    assert_eq!(frames[3].1["delta"]["text"], answer["content"][0]["text"]);
    assert_eq!(frames[5].1["usage"]["output_tokens"], answer["usage"]["output_tokens"]);
    assert_eq!(answer["stop_reason"], "end_turn");
}

#[test]
fn a_tool_that_is_offered_is_called() {
    let tools = json!({"tools": weather_tools(WireFormat::OpenaiChat)});
    let answer = whole(&ask(WireFormat::OpenaiChat, &chat(tools.clone()), ""));
    let call = &answer["choices"][0]["message"]["tool_calls"][0];
    assert_eq!(call["function"], json!({"name": "weather", "arguments": "{\"city\":\"mock\"}"}));
    assert_eq!(answer["choices"][0]["finish_reason"], "tool_calls");
    let streamed = frames(&ask(WireFormat::OpenaiChat, &with(chat(tools), json!({"stream": true})), "chunk_chars=4"));
    let pointer = "/choices/0/delta/tool_calls/0/function/arguments";
    let arguments: String = streamed.iter().filter_map(|(_, chunk)| chunk.pointer(pointer)?.as_str()).collect();
    assert_eq!(arguments, "{\"city\":\"mock\"}");

    let body = messages(json!({"tools": weather_tools(WireFormat::AnthropicMessages)}));
    let answer = whole(&ask(WireFormat::AnthropicMessages, &body, ""));
    assert_eq!(answer["content"][0]["input"], json!({"city": "mock"}));
    assert_eq!(answer["stop_reason"], "tool_use");
}

#[test]
fn no_call_follows_a_result_or_a_choice_of_none() {
    let tools = weather_tools(WireFormat::OpenaiChat);
    let none = chat(json!({"tools": tools, "tool_choice": "none"}));
    let after = json!({"model": "m", "tools": tools, "messages": [
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "content": null, "tool_calls": [{"id": "call_1"}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "7 C"}]});
    for body in [none, after.clone()] {
        assert_eq!(whole(&ask(WireFormat::OpenaiChat, &body, ""))["choices"][0]["finish_reason"], "stop", "{body}");
    }
    let text = whole(&ask(WireFormat::OpenaiChat, &after, ""))["choices"][0]["message"]["content"].to_string();
    assert!(text.contains("7 C"), "{text}");
    let body = json!({"model": "m", "max_tokens": 99, "tools": weather_tools(WireFormat::AnthropicMessages),
        "messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x", "content": "8 C"}]}]});
    assert_eq!(whole(&ask(WireFormat::AnthropicMessages, &body, ""))["stop_reason"], "end_turn");
}

#[test]
fn images_schemas_and_limits_are_honoured() {
    let image = json!([{"type": "text", "text": "what is it"}, {"type": "image_url", "image_url": {"url": "data:x"}}]);
    let body = json!({"model": "m", "messages": [{"role": "user", "content": image}]});
    let text = whole(&ask(WireFormat::OpenaiChat, &body, ""))["choices"][0]["message"]["content"].to_string();
    assert!(text.contains("Images received: 1"), "{text}");
    let schema = json!({"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}});
    let format = json!({"type": "json_schema", "json_schema": {"name": "x", "schema": schema}});
    let answer = whole(&ask(WireFormat::OpenaiChat, &chat(json!({"response_format": format})), ""));
    assert_eq!(answer["choices"][0]["message"]["content"], "{\"n\":1}");
    let answer = whole(&ask(WireFormat::OpenaiChat, &chat(json!({"max_completion_tokens": 2})), ""));
    assert_eq!(answer["choices"][0]["finish_reason"], "length");
    assert_eq!(answer["usage"]["completion_tokens"], 2);
    let answer = whole(&ask(WireFormat::AnthropicMessages, &messages(json!({})), "text_chars=900"));
    assert_eq!(answer["content"][0]["text"].as_str().unwrap().chars().count(), 900);
}

#[test]
fn what_is_invalid_gets_the_vendors_400() {
    let bad_chat = [
        json!([]),
        json!({"model": "m"}),
        json!({"messages": [{"role": "user", "content": "x"}]}),
        json!({"model": "m", "messages": []}),
        json!({"model": "m", "messages": [{"role": "king", "content": "x"}]}),
        json!({"model": "m", "messages": [{"role": "user", "content": 7}]}),
        json!({"model": "m", "messages": [{"role": "user"}]}),
        chat(json!({"n": 1_000_000_000})),
        chat(json!({"stream": "yes"})),
        chat(json!({"tool_choice": "auto"})),
        chat(json!({"tools": weather_tools(WireFormat::OpenaiChat),
                    "tool_choice": {"type": "function", "function": {"name": "other"}}})),
    ];
    for body in bad_chat {
        let reply = ask(WireFormat::OpenaiChat, &body, "");
        assert_eq!(reply.status, 400, "{body}");
        assert_eq!(whole(&reply)["error"]["type"], "invalid_request_error");
    }
    let bad_messages = [
        json!({"model": "m", "messages": [{"role": "user", "content": "x"}]}),
        messages(json!({"max_tokens": 0})),
        messages(json!({"messages": []})),
        messages(json!({"messages": [{"role": "assistant", "content": "x"}]})),
    ];
    for body in bad_messages {
        let reply = ask(WireFormat::AnthropicMessages, &body, "");
        assert_eq!(reply.status, 400, "{body}");
        assert_eq!(whole(&reply)["error"]["type"], "invalid_request_error");
    }
    let deep = "[".repeat(100_000);
    for body in ["", "{", "\u{0}", deep.as_str(), "null"] {
        for format in [WireFormat::OpenaiChat, WireFormat::AnthropicMessages] {
            assert_eq!(reply(format, body.as_bytes(), &MockOptions::default()).status, 400);
        }
    }
}

#[test]
fn faults_show_in_the_bytes() {
    let streamed = chat(json!({"stream": true}));
    let first = frames(&ask(WireFormat::OpenaiChat, &streamed, "fault=error_first_event"));
    assert!(first.len() == 1 && first[0].1["error"]["message"].is_string());
    let streamed = messages(json!({"stream": true}));
    let mid = frames(&ask(WireFormat::AnthropicMessages, &streamed, "fault=error_mid_stream"));
    assert_eq!(mid.last().unwrap().0, "error");
    assert_eq!(mid[0].0, "message_start");
    let busy = ask(WireFormat::AnthropicMessages, &streamed, "fault=529");
    assert_eq!((busy.status, &whole(&busy)["error"]["type"]), (529, &json!("overloaded_error")));
    assert_eq!(whole(&ask(WireFormat::OpenaiChat, &chat(json!({})), "fault=no_usage"))["usage"], Value::Null);
    let silent = frames(&ask(WireFormat::AnthropicMessages, &streamed, "fault=no_usage"));
    assert!(silent.iter().all(|(_, data)| data.get("usage").is_none() && data.pointer("/message/usage").is_none()));
}
