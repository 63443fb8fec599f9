//! What the real APIs take: every field by name and type, and what must hold between them.
//!
//! Must not know Flux, nor sockets: a body goes in, complaints come out. Typed from the official SDKs; Gemini has
//! rules of its own in `gemini`.

mod chat;
mod messages;
mod responses;

use serde_json::{Map, Value};

pub(crate) use chat::faults as chat_faults;
pub(crate) use messages::faults as messages_faults;
pub(crate) use responses::faults as responses_faults;

/// What a field holds.
#[derive(Clone, Copy, Debug)]
enum Is {
    Text,
    Bool,
    Number,
    Any,
    Object,
    Null,
    /// One of these words.
    Word(&'static [&'static str]),
    /// An object of these fields. A name with a `!` must be there.
    Fields(Fields),
    /// A list.
    List(&'static Is),
    /// An object whose `type` says which fields it has; the kind without a name needs no `type`.
    Kinds(&'static [(&'static str, Fields)]),
    /// One or the other.
    Either(&'static Is, &'static Is),
}

type Fields = &'static [(&'static str, Is)];

const TEXT_OR_NULL: Is = Is::Either(&Is::Null, &Is::Text);

/// Complains about everything in `value` that is not as it must be.
fn check(value: &Value, is: Is, path: &str, faults: &mut Vec<String>) {
    let is_right = match is {
        Is::Any => true,
        Is::Null => value.is_null(),
        Is::Text => value.is_string(),
        Is::Bool => value.is_boolean(),
        Is::Number => value.is_number(),
        Is::Object => value.is_object(),
        Is::Word(words) => value.as_str().is_some_and(|word| words.contains(&word)),
        Is::Fields(fields) => match value.as_object() {
            Some(object) => return check_fields(object, fields, path, faults),
            None => false,
        },
        Is::List(of) => match value.as_array() {
            Some(list) => {
                return list.iter().enumerate().for_each(|(i, item)| check(item, *of, &format!("{path}[{i}]"), faults));
            }
            None => false,
        },
        Is::Kinds(kinds) => {
            let kind = value["type"].as_str().unwrap_or_default();
            match (value.as_object(), kinds.iter().find(|(name, _)| *name == kind)) {
                (Some(object), Some((_, fields))) => return check_fields(object, fields, path, faults),
                _ => false,
            }
        }
        Is::Either(one, other) => {
            let mut of_one = Vec::new();
            check(value, *one, path, &mut of_one);
            if !of_one.is_empty() {
                check(value, *other, path, faults);
            }
            return;
        }
    };
    if !is_right {
        faults.push(format!("{path}: {} is not {is:.60?}", shortened(value)));
    }
}

fn check_fields(object: &Map<String, Value>, fields: Fields, path: &str, faults: &mut Vec<String>) {
    for (name, value) in object {
        match fields.iter().find(|(field, _)| field.trim_end_matches('!') == name) {
            Some((_, is)) => check(value, *is, &format!("{path}.{name}"), faults),
            None if name == "type" => {}
            None => faults.push(format!("unknown parameter {path}.{name}")),
        }
    }
    for (name, _) in fields {
        if let Some(name) = name.strip_suffix('!').filter(|name| !object.contains_key(*name)) {
            faults.push(format!("missing parameter {path}.{name}"));
        }
    }
}

fn shortened(value: &Value) -> String {
    value.to_string().chars().take(120).collect()
}

/// The objects of a list, as they can be asked for their fields.
fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_real_ones_take_is_taken_and_what_they_refuse_is_refused() {
        let good = [
            chat_faults(&json!({"model": "m", "messages": [{"role": "user", "content": "a"}]})),
            responses_faults(&json!({"model": "m", "input": "a", "store": false})),
            messages_faults(&json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "a"}]})),
        ];
        assert_eq!(good.concat(), Vec::<String>::new());
        for (faults, complaint) in [
            (chat_faults(&json!({"model": "m", "messages": [], "max_output_tokens": 1})), "unknown parameter"),
            (chat_faults(&json!({"messages": []})), "missing parameter"),
            (
                chat_faults(
                    &json!({"model": "m", "messages": [{"role": "tool", "tool_call_id": "1", "content": "a"}]}),
                ),
                "tool",
            ),
            (responses_faults(&json!({"model": "m", "input": "a", "stop": "x"})), "unknown parameter"),
            (responses_faults(&json!({"model": "m", "input": "a", "max_output_tokens": 3})), "integer_below_min_value"),
            (
                responses_faults(
                    &json!({"model": "m", "input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}]}),
                ),
                "No tool output found",
            ),
            (
                responses_faults(
                    &json!({"model": "m", "input": [{"role": "assistant", "content": [{"type": "input_text", "text": "a"}]}]}),
                ),
                "input[0]",
            ),
            (messages_faults(&json!({"model": "m", "messages": [{"role": "user", "content": "a"}]})), "max_tokens"),
            (
                messages_faults(&json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "x", "content": "a"}]}]})),
                "tool_result",
            ),
            (
                messages_faults(
                    &json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]}),
                ),
                "non-empty",
            ),
        ] {
            assert!(faults.iter().any(|fault| fault.contains(complaint)), "{complaint}: {faults:?}");
        }
    }
}
