//! Every field of an answer that the official SDKs know has a fate, and each fate is what happens.
//!
//! The lists in `tests/golden/fields/answers.*.txt` are the SDKs' types, one path a line; the answers beside them hold
//! every field at least once. A probe changes or removes one field and looks who notices.

use std::cell::RefCell;
use std::fmt::Write as _;

use bytes::Bytes;
use serde_json::{Value as Json, json};

use super::answers::{Told, Way};
use super::support::{CLIENTS, PROVIDERS, assert_golden, folder};
use crate::base::wire_format::WireFormat;
use crate::translate::fields::{AnswerFate, AnswerField};
use crate::translate::{anthropic, gemini, openai_chat, openai_responses};

/// A step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Member(String),
    /// Each element, or each of this type; also the one object that stands in the place of a list.
    Each(String),
}

/// `events[a.b].choices[]` → member, each of the type, member, each.
fn steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('[') {
            let (kind, after) = inside.split_once(']').unwrap();
            steps.push(Step::Each(kind.to_owned()));
            rest = after.strip_prefix('.').unwrap_or(after);
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            steps.push(Step::Member(rest[..end].to_owned()));
            rest = rest[end..].strip_prefix('.').unwrap_or(&rest[end..]);
        }
    }
    steps
}

/// Changes a field wherever it stands; whether it stood anywhere. `None` takes it away.
fn change(value: &mut Json, steps: &[Step], to: &dyn Fn(&Json) -> Option<Json>) -> bool {
    match steps {
        [] => false,
        [Step::Member(name), rest @ ..] => {
            let Some(members) = value.as_object_mut() else { return false };
            let Some(inner) = members.get_mut(name) else { return false };
            // One object in the place of a list goes as a whole, too.
            if let [Step::Each(kind)] = rest
                && inner.is_object()
            {
                let is_of_kind = inner["type"] == **kind;
                if is_of_kind {
                    members.remove(name);
                }
                return is_of_kind;
            }
            if rest.is_empty() {
                match to(inner) {
                    Some(new) => *inner = new,
                    None => drop(members.remove(name)),
                }
                return true;
            }
            change(inner, rest, to)
        }
        [Step::Each(kind), rest @ ..] => {
            let is_of_kind = |element: &Json| kind.is_empty() || element["type"] == **kind;
            match value {
                Json::Array(elements) if rest.is_empty() => {
                    let count = elements.len();
                    elements.retain(|element| !is_of_kind(element));
                    elements.len() < count
                }
                Json::Array(elements) => {
                    let of_kind = elements.iter_mut().filter(|element| is_of_kind(element));
                    of_kind.map(|element| change(element, rest, to)).filter(|is_there| *is_there).count() > 0
                }
                element if is_of_kind(element) => change(element, rest, to),
                _ => false,
            }
        }
    }
}

/// Other values for a field: of the same type, and none.
fn others(value: &Json) -> Vec<Option<Json>> {
    let mut others = vec![None];
    match value {
        Json::String(_) => {
            others.extend(
                [
                    "zq7",
                    "length",
                    "max_tokens",
                    "MAX_TOKENS",
                    "content_filter",
                    "SAFETY",
                    "rate_limit_exceeded",
                    "jpeg",
                ]
                .map(|word| Some(json!(word))),
            );
        }
        Json::Number(number) => others.push(Some(number.as_i64().map_or(json!(-9.25), |number| json!(number + 1)))),
        Json::Bool(is) => others.push(Some(json!(!is))),
        Json::Null | Json::Array(_) | Json::Object(_) => {}
    }
    others
}

/// The answers of a provider that are probed: whole ones, and the events of streams.
fn probed(name: &str) -> Vec<Json> {
    let file = std::fs::read_to_string(folder("fields").join(format!("answers.{name}.json"))).unwrap();
    let Json::Object(mut file) = serde_json::from_str(&file).unwrap() else { panic!("no object") };
    let mut take = |name: &str| match file.remove(name) {
        Some(Json::Array(list)) => list,
        _ => panic!("no list {name}"),
    };
    let streams: Vec<Json> = take("streams").into_iter().map(|events| json!({ "events": events })).collect();
    [take("wholes"), streams].concat()
}

/// What a client is told of an answer.
fn told(provider: WireFormat, client: WireFormat, answer: &Json) -> Told {
    // Of the hosts of Chat the one with most fields of its own.
    let mut way = Way::new("reasoning_details", provider, client);
    match answer.get("events") {
        Some(events) => {
            for event in events.as_array().unwrap() {
                let name = event["type"].as_str().map(|name| format!("event: {name}\n")).unwrap_or_default();
                way.push(Bytes::from(format!("{name}data: {event}\n\n")));
            }
            if provider == WireFormat::OpenaiChat {
                way.push(Bytes::from_static(b"data: [DONE]\n\n"));
            }
        }
        None => way.whole(answer.to_string().as_bytes()),
    }
    way.close()
}

/// Whether a client notices when a field is another one, or gone. Nothing where no answer has it.
fn notices(path: &str, provider: WireFormat, client: WireFormat, answers: &[Json]) -> Option<bool> {
    let steps = steps(path);
    let mut is_there = false;
    for answer in answers {
        let value = RefCell::new(None);
        let found = change(&mut answer.clone(), &steps, &|seen| {
            let mut value = value.borrow_mut();
            // Of many the first that says something.
            if value.as_ref().is_none_or(Json::is_null) {
                *value = Some(seen.clone());
            }
            Some(seen.clone())
        });
        if !found {
            continue;
        }
        is_there = true;
        let said = told(provider, client, answer);
        let alternatives = value.take().map_or(vec![None], |value| others(&value));
        for to in alternatives {
            let mut changed = answer.clone();
            change(&mut changed, &steps, &|_| to.clone());
            if told(provider, client, &changed) != said {
                return Some(true);
            }
        }
    }
    is_there.then_some(false)
}

/// The field of the table that says what becomes of a path: it, an end of many, or the nearest that holds it.
fn fate_of<'t>(path: &str, table: &'t [AnswerField]) -> Option<&'t AnswerField> {
    let exact = table.iter().find(|field| field.path == path);
    let is_end = |field: &&AnswerField| field.path.strip_prefix('*').is_some_and(|end| path.ends_with(end));
    let holds = |field: &&AnswerField| path.strip_prefix(field.path).is_some_and(|rest| rest.starts_with(['.', '[']));
    exact
        .or_else(|| table.iter().find(is_end))
        .or_else(|| table.iter().filter(holds).max_by_key(|field| field.path.len()))
}

/// Whether a path holds others that have fates of their own.
fn is_divided(path: &str, table: &[AnswerField]) -> bool {
    table.iter().any(|field| field.path.strip_prefix(path).is_some_and(|rest| rest.starts_with(['.', '['])))
}

fn table(provider: WireFormat) -> &'static [AnswerField] {
    match provider {
        WireFormat::OpenaiResponses => openai_responses::ANSWER_FIELDS,
        WireFormat::AnthropicMessages => anthropic::ANSWER_FIELDS,
        WireFormat::GeminiGenerate => gemini::ANSWER_FIELDS,
        _ => openai_chat::ANSWER_FIELDS,
    }
}

/// The fields of the SDK, and those of the table that it does not know.
fn paths(name: &str, provider: WireFormat) -> Vec<String> {
    let list = std::fs::read_to_string(folder("fields").join(format!("answers.{name}.txt"))).unwrap();
    let mut paths: Vec<String> = list.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    let of_table = table(provider).iter().map(|field| field.path).filter(|path| !path.starts_with('*'));
    paths.extend(of_table.map(str::to_owned));
    paths.sort();
    paths.dedup();
    paths
}

/// In what way something else happens to a field than the table says.
fn lie(path: &str, provider: WireFormat, answers: &[Json]) -> Option<String> {
    let Some(AnswerField { fate, .. }) = fate_of(path, table(provider)) else {
        // What only holds others has their fates.
        return (!is_divided(path, table(provider))).then(|| "has no fate".to_owned());
    };
    if is_divided(path, table(provider)) {
        return None;
    }
    let others = CLIENTS.into_iter().filter(|(_, client)| *client != provider);
    let seen: Option<Vec<bool>> = others.map(|(_, client)| notices(path, provider, client, answers)).collect();
    let Some(seen) = seen else { return Some("is in no answer".to_owned()) };
    let (is_any, are_all) = (seen.contains(&true), !seen.contains(&false));
    let is_so = match fate {
        AnswerFate::Mapped => are_all,
        AnswerFate::MappedBut(_) => is_any && !are_all,
        AnswerFate::Emulated(_) => is_any,
        AnswerFate::Dropped(_) => !is_any,
    };
    (!is_so).then(|| format!("{fate:?}, but noticed by {seen:?}"))
}

#[test]
fn every_field_of_an_answer_has_a_fate_that_is_what_happens() {
    let mut lies = Vec::new();
    for (name, provider) in PROVIDERS {
        let answers = probed(name);
        let paths = paths(name, provider);
        let of_path = |path: &String| Some(format!("{name}: {path}: {}", lie(path, provider, &answers)?));
        lies.extend(paths.iter().filter_map(of_path));
        for AnswerField { path, .. } in table(provider) {
            let is_known = path.strip_prefix('*').is_none_or(|end| paths.iter().any(|path| path.ends_with(end)));
            let is_twice = table(provider).iter().filter(|other| other.path == *path).count() > 1;
            if !is_known || is_twice {
                lies.push(format!("{name}: {path} is {}", if is_twice { "listed twice" } else { "the end of none" }));
            }
        }
    }
    assert!(lies.is_empty(), "{} fates are not what happens:\n{}", lies.len(), lies.join("\n"));
}

#[test]
fn the_table_of_answers_for_people() {
    let mut shown = String::new();
    for (name, provider) in PROVIDERS {
        writeln!(shown, "## {name}\n\n| field | fate | how or why |\n|---|---|---|").unwrap();
        for AnswerField { path, fate } in table(provider) {
            let (fate, why) = match fate {
                AnswerFate::Mapped => ("mapped", ""),
                AnswerFate::MappedBut(who) => ("mapped where there is a place", *who),
                AnswerFate::Emulated(how) => ("emulated", *how),
                AnswerFate::Dropped(why) => ("dropped", *why),
            };
            writeln!(shown, "| `{path}` | {fate} | {why} |").unwrap();
        }
        shown.push('\n');
    }
    assert_golden("fields", "answers", &shown);
}
