//! Every field that the official SDKs know has a fate, and each fate is what happens.
//!
//! The lists in `tests/golden/fields/` are the request parameters of the SDKs, one path a line.

use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use super::support::{CLIENTS, PROVIDERS, assert_golden, envelope, folder, target};
use crate::base::wire_format::WireFormat;
use crate::translate::fields::{Fate, Field};
use crate::translate::{Invalid, Written, anthropic, convert, gemini, openai_chat, openai_responses};

fn fields(client: WireFormat) -> &'static [Field] {
    match client {
        WireFormat::OpenaiResponses => openai_responses::FIELDS,
        WireFormat::AnthropicMessages => anthropic::FIELDS,
        _ => openai_chat::FIELDS,
    }
}

/// A path without the types of elements: `input[message].content[text].text` → `input[].content[].text`.
fn untyped(path: &str) -> String {
    let mut out = String::new();
    for (at, piece) in path.split('[').enumerate() {
        match piece.split_once(']') {
            Some((_, rest)) if at > 0 => write!(out, "[]{rest}").unwrap(),
            _ => out.push_str(piece),
        }
    }
    out
}

/// The places in a path where a parent ends: `a.b[x].c` → `a`, `a.b`, `a.b[x]`, and itself.
fn ancestors(path: &str) -> Vec<&str> {
    let is_end = |(at, c): (usize, char)| (at > 0 && matches!(c, '.' | '[')).then_some(at);
    let mut ends: Vec<usize> = path.char_indices().filter_map(is_end).collect();
    ends.push(path.len());
    ends.into_iter().map(|end| &path[..end]).collect()
}

/// Whether the table says what becomes of a field: by its own name, with all of its type, or with all of its parent.
fn is_listed(path: &str, table: &[Field]) -> bool {
    let has_inner = |path: &str| {
        let inner = |known: &str| known.strip_prefix(path).is_some_and(|rest| rest.starts_with(['.', '[']));
        table.iter().any(|field| inner(field.path))
    };
    // An element of a type that goes as a whole: only its last type counts, parents go by none.
    let of_type = ancestors(path).into_iter().filter(|part| part.ends_with(']') && !part.ends_with("[]")).any(|part| {
        let (list, kind) = part.trim_end_matches(']').rsplit_once('[').unwrap();
        let list = untyped(list);
        let is_kind = |known: &str| known == kind || known.strip_prefix('*').is_some_and(|end| kind.ends_with(end));
        let is_built_in = list == "tools" && !matches!(kind, "function" | "custom");
        table.iter().any(|field| {
            let listed = field.path.strip_suffix(']').and_then(|path| path.rsplit_once('['));
            listed.is_some_and(|(l, k)| l == list && (is_kind(k) || (k == "built-in" && is_built_in)))
        }) || (is_built_in && table.iter().any(|field| field.path == "tools[].type" && field.fate != Fate::Mapped))
    });
    let path = untyped(path);
    of_type
        || has_inner(&path)
        || ancestors(&path).into_iter().any(|parent| {
            let is_field = table.iter().any(|field| field.path == parent);
            is_field && (parent == path || !has_inner(parent))
        })
}

#[test]
fn every_field_of_the_sdks_has_a_fate() {
    let mut missing = Vec::new();
    for (name, client) in CLIENTS {
        let list = std::fs::read_to_string(folder("fields").join(format!("{name}.txt"))).unwrap();
        let paths = list.lines().filter(|line| !line.starts_with('#'));
        missing.extend(paths.filter(|path| !is_listed(path, fields(client))).map(|path| format!("{name}: {path}")));
    }
    assert!(missing.is_empty(), "{} fields without a fate:\n{}", missing.len(), missing.join("\n"));
}

/// What stands in a field when nothing special must.
fn sample(path: &str) -> Json {
    match path {
        "store" | "background" => json!(true),
        "moderation" | "audio" | "prediction" | "container" => json!({ "type": "x" }),
        "max_tool_calls" => json!(3),
        "messages[].content[].source.file_id" => json!({ "type": "file", "file_id": "f" }),
        "messages[].content[].caller" => json!({ "type": "code_execution_20250825", "tool_id": "x" }),
        "messages[].audio" => json!({ "id": "audio_1" }),
        _ if path.ends_with("file_id") => json!("file-1"),
        "tools[].allowed_callers" => json!(["code"]),
        "mcp_servers" => json!([{ "type": "url", "url": "https://m.example", "name": "m" }]),
        "truncation" => json!("auto"),
        _ if path.ends_with("annotations") || path.ends_with("citations") || path.ends_with(".logprobs") => {
            json!([{ "type": "x" }])
        }
        _ => json!("x"),
    }
}

/// A request that says hardly anything.
fn least(client: WireFormat) -> Json {
    if client == WireFormat::OpenaiResponses {
        json!({ "model": "m", "input": [{ "role": "user", "content": [{ "type": "input_text", "text": "hi" }] }] })
    } else {
        json!({ "model": "m", "max_tokens": 9,
            "messages": [{ "role": "user", "content": [{ "type": "text", "text": "hi" }] }] })
    }
}

fn tool(client: WireFormat) -> Json {
    match client {
        WireFormat::OpenaiChat => json!({ "type": "function", "function": { "name": "f" } }),
        WireFormat::OpenaiResponses => json!({ "type": "function", "name": "f" }),
        _ => json!({ "name": "f", "input_schema": { "type": "object" } }),
    }
}

/// A request with one field more than it needs.
fn with(client: WireFormat, path: &str) -> Json {
    let mut body = least(client);
    let list = if client == WireFormat::OpenaiResponses { "input" } else { "messages" };
    let value = sample(path);
    if let Some((of, kind)) = typed(path) {
        with_element(&mut body, list, of, kind);
    } else if let Some(field) = path.strip_prefix(list).and_then(|rest| rest.strip_prefix("[].")) {
        match field.strip_prefix("content[].") {
            Some(inner) => with_in_part(&mut body, list, inner, value),
            None => with_in_item(&mut body, list, field, value),
        }
    } else if let Some(field) = path.strip_prefix("tools[].") {
        body["tools"] = json!([tool(client)]);
        body["tools"][0][field] = if field == "type" { json!("web_search_20250305") } else { value };
    } else if let Some(field) = path.strip_prefix("system[].") {
        body["system"] = json!([{ "type": "text", "text": "s", field: value }]);
    } else if path == "tool_choice.server_label" {
        body["tools"] = json!([tool(client)]);
        body["tool_choice"] = json!({ "type": "mcp", "server_label": "x" });
    } else if let Some((parent, field)) = path.split_once('.') {
        body[parent] = if parent == "thinking" { json!({ "type": "adaptive" }) } else { json!({}) };
        body[parent][field] = value;
    } else {
        body[path] = value;
    }
    body
}

/// The list and the type of an element that goes or stays as a whole: `input[compaction]`.
fn typed(path: &str) -> Option<(&str, &str)> {
    path.strip_suffix(']').and_then(|path| path.rsplit_once('[')).filter(|(_, kind)| !kind.is_empty())
}

fn with_element(body: &mut Json, list: &str, of: &str, kind: &str) {
    let element = json!({ "type": if kind == "built-in" { "web_search" } else { kind } });
    match of {
        "input" => body[list].as_array_mut().unwrap().push(element),
        "tools" => body["tools"] = json!([element]),
        _ => body[list][0]["content"].as_array_mut().unwrap().push(element),
    }
}

/// A conversation in which the assistant has said something.
fn answered(list: &str) -> Json {
    let kind = if list == "input" { "output_text" } else { "text" };
    json!([{ "role": "user", "content": "hi" },
        { "role": "assistant", "content": [{ "type": kind, "text": "ho" }] }, { "role": "user", "content": "so" }])
}

/// A field of a message or of an item, whichever kind has it.
fn with_in_item(body: &mut Json, list: &str, field: &str, value: Json) {
    let mut item = |kind: &str, more: &[Json]| {
        let item = json!({ "type": kind, "id": "x", "call_id": "a", "name": "f", "arguments": "{}", "result": "AAAA",
            field: value });
        let items = body[list].as_array_mut().unwrap();
        items.push(item);
        items.extend_from_slice(more);
    };
    match field {
        "namespace" | "caller" | "async" => {
            item("function_call", &[json!({ "type": "function_call_output", "call_id": "a", "output": "" })]);
        }
        "action" | "background" | "error" | "quality" | "revised_prompt" | "size" | "svg_usage" => {
            item("image_generation_call", &[]);
        }
        "annotations" | "audio" | "phase" => {
            body[list] = answered(list);
            body[list][1][field] = value;
        }
        _ => body[list][0][field] = value,
    }
}

/// A field of a part, whichever kind has it.
fn with_in_part(body: &mut Json, list: &str, field: &str, value: Json) {
    let part = match field {
        "source.file_id" => json!({ "type": "image", "source": value }),
        "file_id" => json!({ "type": "input_image", "file_id": value }),
        "transformations" => {
            json!({ "type": "image", "source": { "type": "url", "url": "https://a.example" }, field: value })
        }
        "caller" | "toolset_name" => {
            body[list] = json!([{ "role": "user", "content": "hi" },
                { "role": "assistant", "content": [{ "type": "tool_use", "id": "a", "name": "f", "input": {}, field: value }] },
                { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "a" }] }]);
            return;
        }
        "annotations" | "logprobs" => {
            body[list] = answered(list);
            body[list][1]["content"][0][field] = value;
            return;
        }
        _ => {
            body[list][0]["content"][0][field] = value;
            return;
        }
    };
    body[list][0]["content"] = json!([part]);
}

/// A path without indices: `messages[3].content[1]` → `messages[].content[]`.
fn open(path: &str) -> String {
    untyped(path)
}

/// Whether a name in `x-flux-ignored` or in an error is that of a field.
fn names(told: &str, path: &str) -> bool {
    let told = open(told);
    match typed(path) {
        // An item is told by its place, or by its type.
        Some((list, kind)) => told.starts_with(list) && (told.contains(kind) || told[list.len()..].starts_with("[]")),
        None => told == path,
    }
}

#[test]
fn fates_are_what_happens() {
    let mut lies = Vec::new();
    for (name, client) in CLIENTS {
        for field in fields(client) {
            let body = with(client, field.path).to_string();
            for (to, format) in PROVIDERS.into_iter().filter(|(_, format)| *format != client) {
                let (target, _) = target(to);
                let written = convert::request(body.as_bytes(), client, &envelope(), &target, format);
                if let Some(lie) = lie(field, written) {
                    lies.push(format!("{name} → {to}: {}: {lie}\n   {body}", field.path));
                }
            }
        }
    }
    assert!(lies.is_empty(), "{} fates are not what happens:\n{}", lies.len(), lies.join("\n"));
}

/// In what way something else happens to a field than the table says.
fn lie(field: &Field, written: Result<Written, Invalid>) -> Option<String> {
    match (field.fate, written) {
        (Fate::Mapped | Fate::Emulated(_), _) => None,
        (Fate::Dropped(_), Ok(written)) => {
            let is_told = written.ignored.iter().any(|told| names(told, field.path));
            (!is_told).then(|| format!("dropped, but {:?} is told", written.ignored))
        }
        (Fate::Refused(_), Err(invalid)) => {
            // A refusal may name the whole of what holds the field.
            let told = open(&invalid.param);
            let is_inside = field.path.strip_prefix(&*told).is_some_and(|rest| rest.starts_with(['.', '[']));
            (!names(&invalid.param, field.path) && !is_inside)
                .then(|| format!("refused as {}: {}", invalid.param, invalid.message))
        }
        (Fate::Dropped(_), Err(invalid)) => Some(format!("refused at {}: {}", invalid.param, invalid.message)),
        (Fate::Refused(_), Ok(written)) => Some(format!("taken; ignored {:?}", written.ignored)),
    }
}

#[test]
fn the_table_for_people() {
    let mut shown = String::new();
    let all = CLIENTS.into_iter().map(|(name, client)| (name, fields(client))).chain([("gemini", gemini::FIELDS)]);
    for (name, table) in all {
        writeln!(shown, "## {name}\n\n| field | fate | how or why |\n|---|---|---|").unwrap();
        for Field { path, fate } in table {
            let (fate, why) = match fate {
                Fate::Mapped => ("mapped", ""),
                Fate::Emulated(how) => ("emulated", *how),
                Fate::Dropped(why) => ("dropped", *why),
                Fate::Refused(why) => ("refused", *why),
            };
            writeln!(shown, "| `{path}` | {fate} | {why} |").unwrap();
        }
        shown.push('\n');
    }
    assert_golden("fields", "fields", &shown);
}

#[test]
fn no_field_is_listed_twice() {
    for (name, table) in
        CLIENTS.into_iter().map(|(name, client)| (name, fields(client))).chain([("gemini", gemini::FIELDS)])
    {
        let mut paths: Vec<_> = table.iter().map(|field| field.path).collect();
        paths.sort_unstable();
        let doubled: Vec<_> = paths.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
        assert!(doubled.is_empty(), "{name}: {doubled:?}");
    }
}
