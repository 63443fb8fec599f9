//! Every field that the official SDKs know has a fate, and each fate is what happens.
//!
//! The lists in `tests/golden/fields/` are the request parameters of the SDKs, one path a line.

use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use super::support::{CLIENTS, PROVIDERS, assert_golden, envelope, folder, sealed, target};
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
        // Probed with values of their own.
        (Fate::Mapped | Fate::Emulated(_) | Fate::Hint(_) | Fate::Moot(_), _) => None,
        (Fate::Dropped(_), Ok(written)) => {
            let is_told = written.ignored.iter().any(|told| names(told, field.path));
            (!is_told).then(|| format!("dropped, but {:?} is told", written.ignored))
        }
        (Fate::Refused(_), Err(invalid)) => (!is_named(&invalid.param, field.path))
            .then(|| format!("refused as {}: {}", invalid.param, invalid.message)),
        (Fate::Dropped(_), Err(invalid)) => Some(format!("refused at {}: {}", invalid.param, invalid.message)),
        (Fate::Refused(_), Ok(written)) => Some(format!("taken; ignored {:?}", written.ignored)),
    }
}

/// Whether a name that was told is the field's, or that of what holds it or stands in it.
fn is_named(told: &str, path: &str) -> bool {
    let outer = open(told);
    let is_within =
        |inner: &str, outer: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with(['.', '[']));
    // Of something that goes as a whole the part that is lost may be named; a number of logprobs goes with its switch.
    names(told, path) || is_within(path, &outer) || is_within(&outer, path) || format!("top_{told}") == path
}

/// What a probed text holds, so that it is found again.
const SENTINEL: &str = "zq7";

/// Two requests of a client that differ in one field, or in nothing but its value.
struct Probe {
    with: Json,
    without: Json,
}

/// The probes of a client's fields, in the order of the file: `with` and `without` are laid over the least request,
/// over one with two tools (`tooled`), or over a call with its result (`called`). Where `without` is not said, it is
/// the same request without the field.
fn probes(name: &str, client: WireFormat) -> Vec<(String, Probe)> {
    let file = std::fs::read_to_string(folder("fields").join(format!("probes.{name}.json"))).unwrap();
    let Json::Object(probes) = serde_json::from_str(&file).unwrap() else { panic!("no object") };
    let made = probes.into_iter().map(|(path, said)| {
        let mut least = least(client);
        if said.get("tooled").is_some() {
            least["tools"] = Json::Array(["f", "g"].map(|name| tool_named(client, name)).to_vec());
        }
        let with = match said.get("called") {
            Some(call) => called(client, least.clone(), call),
            None => laid_over(least.clone(), &said["with"]),
        };
        let without = if let Some(without) = said.get("without") {
            laid_over(least, without)
        } else {
            let mut without = with.clone();
            remove(&mut without, &path);
            without
        };
        (path, Probe { with, without })
    });
    made.collect()
}

fn tool_named(client: WireFormat, name: &str) -> Json {
    let mut tool = tool(client);
    let place = if client == WireFormat::OpenaiChat { &mut tool["function"] } else { &mut tool };
    place["name"] = json!(name);
    tool
}

/// A conversation with a call that has these members, and its result.
fn called(client: WireFormat, body: Json, members: &Json) -> Json {
    let id = members.get("id").or(members.get("call_id")).cloned().unwrap_or(json!("a"));
    let turns = match client {
        WireFormat::OpenaiChat => {
            let is_custom = members.get("custom").is_some();
            let plain = if is_custom { json!({}) } else { json!({ "function": { "name": "f", "arguments": "{}" } }) };
            let call = laid_over(laid_over(json!({ "id": id, "type": "function" }), &plain), members);
            json!({ "messages": [{ "role": "user", "content": "hi" }, { "role": "assistant", "tool_calls": [call] },
                { "role": "tool", "tool_call_id": id, "content": "r" }] })
        }
        WireFormat::OpenaiResponses => {
            let call = json!({ "type": "function_call", "call_id": id, "name": "f", "arguments": "{}" });
            json!({ "input": [{ "role": "user", "content": "hi" }, laid_over(call, members),
                { "type": "function_call_output", "call_id": id, "output": "r" }] })
        }
        _ => {
            let call = json!({ "type": "tool_use", "id": id, "name": "f", "input": {} });
            json!({ "messages": [{ "role": "user", "content": "hi" },
                { "role": "assistant", "content": [laid_over(call, members)] },
                { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": id, "content": "r" }] }] })
        }
    };
    laid_over(body, &turns)
}

/// Members over members; `null` takes one away.
fn laid_over(mut under: Json, over: &Json) -> Json {
    let Json::Object(members) = over else { return over.clone() };
    if !under.is_object() {
        under = json!({});
    }
    for (name, value) in members {
        if value.is_null() {
            under.as_object_mut().unwrap().remove(name);
        } else {
            let inner = under[name].take();
            under[name] = laid_over(inner, value);
        }
    }
    under
}

/// Takes a field away, wherever its path leads.
fn remove(value: &mut Json, path: &str) {
    let (name, rest) = path.split_once('.').unwrap_or((path, ""));
    let (name, kind) =
        name.split_once('[').map_or((name, None), |(name, kind)| (name, Some(kind.trim_end_matches(']'))));
    let Some(members) = value.as_object_mut() else { return };
    let is_last = rest.is_empty();
    match (members.get_mut(name), kind) {
        (Some(Json::Array(elements)), Some(kind)) if is_last => {
            elements.retain(|element| !is_of_kind(element, kind));
            if elements.is_empty() {
                members.remove(name);
            }
        }
        (Some(Json::Array(elements)), Some(_)) => elements.iter_mut().for_each(|element| remove(element, rest)),
        (Some(inner), None) if !is_last => remove(inner, rest),
        (Some(_), None) => drop(members.remove(name)),
        _ => {}
    }
}

fn is_of_kind(element: &Json, kind: &str) -> bool {
    let is = element["type"].as_str().unwrap_or_default();
    kind.strip_prefix('*').map_or(kind.is_empty() || kind == is, |end| is.ends_with(end))
}

/// What a target gets to see of a probe's field.
enum Seen {
    /// Its value, or that it is another one.
    Said,
    /// Its name is told, or it is refused by name.
    Told,
    /// Nothing.
    Nothing(String),
}

fn seen(path: &str, probe: &Probe, client: WireFormat, to: &str) -> Seen {
    let (target, format) = target(to);
    // What its maker alone may get back goes to the maker.
    let seal = match to {
        "anthropic" if path.ends_with("data") || path.ends_with("encrypted_content") => "ar anthropic/claude-x zq7",
        "anthropic" => "as anthropic/claude-x zq7",
        "gemini" => "gs google/gemini-3-pro zq7",
        _ => "re openai/gpt-x zq7",
    };
    let write = |body: &Json| {
        let body = sealed(&body.to_string().replace("{{seal SEAL}}", &format!("{{{{seal {seal}}}}}")));
        convert::request(body.as_bytes(), client, &envelope(), &target, format)
    };
    let has_sentinel = probe.with.to_string().contains(SENTINEL);
    let without = write(&probe.without).map(|written| written.body);
    match write(&probe.with) {
        Err(invalid) if is_named(&invalid.param, path) => Seen::Told,
        Err(invalid) => Seen::Nothing(format!("refused as {}: {}", invalid.param, invalid.message)),
        Ok(written) if written.ignored.iter().any(|told| is_named(told, path)) => Seen::Told,
        Ok(written) => {
            let is_there = !has_sentinel || String::from_utf8_lossy(&written.body).contains(SENTINEL);
            match without {
                _ if !is_there => Seen::Nothing(format!("lost; ignored {:?}", written.ignored)),
                Ok(without) if without == written.body => {
                    Seen::Nothing(format!("changes nothing; ignored {:?}", written.ignored))
                }
                // Without it there is no request, or another one.
                _ => Seen::Said,
            }
        }
    }
}

#[test]
fn what_is_mapped_or_emulated_arrives_or_is_named() {
    let mut lies = Vec::new();
    for (name, client) in CLIENTS {
        let probes = probes(name, client);
        let of = |path: &str| probes.iter().find(|(known, _)| known == path).map(|(_, probe)| probe);
        for field in fields(client) {
            let is_probed = matches!(field.fate, Fate::Mapped | Fate::Emulated(_) | Fate::Hint(_));
            let probe = match (of(field.path), is_probed) {
                (Some(probe), true) => probe,
                (None, false) => continue,
                (probe, _) => {
                    let what = if probe.is_some() { "is probed for nothing" } else { "is not probed" };
                    lies.push(format!("{name}: {} {what}", field.path));
                    continue;
                }
            };
            let mut is_said_anywhere = false;
            let hosts =
                [("openrouter", WireFormat::OpenaiChat)].into_iter().filter(|_| matches!(field.fate, Fate::Hint(_)));
            for (to, _) in PROVIDERS.into_iter().chain(hosts).filter(|(_, format)| *format != client) {
                match seen(field.path, probe, client, to) {
                    Seen::Said => is_said_anywhere = true,
                    Seen::Told => {}
                    Seen::Nothing(_) if matches!(field.fate, Fate::Hint(_)) => {}
                    Seen::Nothing(how) => {
                        lies.push(format!("{name} → {to}: {}: {how}\n   {}", field.path, probe.with));
                    }
                }
            }
            if matches!(field.fate, Fate::Hint(_)) && !is_said_anywhere {
                lies.push(format!("{name}: {}: a hint that goes to nobody", field.path));
            }
        }
        let unknown = probes.iter().filter(|(path, _)| !fields(client).iter().any(|field| field.path == path));
        lies.extend(unknown.map(|(path, _)| format!("{name}: {path} is no field")));
    }
    assert!(lies.is_empty(), "{} fields are lost in silence:\n{}", lies.len(), lies.join("\n"));
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
                Fate::Hint(why) => ("hint", *why),
                Fate::Moot(why) => ("moot", *why),
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
