//! The body that goes to the provider: the client's bytes with the model's name spliced in.
//!
//! Must not know which provider gets it. Every byte that is not part of an edit stays as the client wrote
//! it, so that fields unknown to us, prompt caches and signatures survive.

use std::ops::Range;

use bytes::Bytes;

use super::head::{Head, StreamOptions};
use super::leap;

/// Whether usage is asked for where the client did not ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageAsk {
    /// The wire format, or the host, sends usage unasked or does not know the option.
    AsIs,
    /// A streaming request shall have `stream_options.include_usage`.
    Include,
}

/// One edit: these bytes take the place of that range.
type Edit<'a> = (Range<usize>, &'a str);

/// The client's body with the model's name replaced by `model`, and with usage asked for. `head` must be the
/// head of `body`. The same bytes, not copied, when nothing has to change.
pub fn upstream_body(body: &Bytes, head: &Head, model: &str, usage: UsageAsk) -> Bytes {
    let named;
    // Hardly anybody spells a name with escapes.
    let spelt = body.get(head.model.clone()).and_then(leap::string_inside).unwrap_or_default();
    let is_named = spelt == model.as_bytes() || (spelt.contains(&b'\\') && head.model(body) == model);
    let rename = if is_named {
        None
    } else if head.model.is_empty() {
        named = format!("\"model\":{},", json_string(model));
        Some((head.object_start..head.object_start, named.as_str()))
    } else {
        named = json_string(model);
        Some((head.model.clone(), named.as_str()))
    };
    let ask = match usage {
        UsageAsk::Include if head.stream => usage_edit(body, head),
        UsageAsk::Include | UsageAsk::AsIs => None,
    };
    match (rename, ask) {
        (None, None) => body.clone(),
        (Some(edit), None) | (None, Some(edit)) => apply(body, &[edit]),
        (Some(rename), Some(ask)) if ask.0.start < rename.0.start => apply(body, &[ask, rename]),
        (Some(rename), Some(ask)) => apply(body, &[rename, ask]),
    }
}

/// The client's body with its answer bounded to `tokens`, and nothing else changed. `field` is set where the client
/// names no bound. `head` must be the head of `body`.
pub fn limited_body(body: &Bytes, head: &Head, field: &str, tokens: u64) -> Bytes {
    let (bound, member) = (tokens.to_string(), format!("\"{field}\":{tokens},"));
    if head.output_limits.is_empty() {
        return apply(body, &[(head.object_start..head.object_start, member.as_str())]);
    }
    let edits: Vec<Edit<'_>> = head.output_limits.iter().map(|at| (at.clone(), bound.as_str())).collect();
    apply(body, &edits)
}

/// The client's body without `task_type`, and nothing else changed; where it names no model, `model` takes the place of
/// that member. `head` must be the head of `body`.
pub fn without_task(body: &Bytes, head: &Head, model: &str) -> Bytes {
    let Some(task) = &head.task_type else { return body.clone() };
    // The name's range is inside its quotes.
    let member = task.name.start.saturating_sub(1)..task.value.end;
    if head.model.is_empty() {
        let named = format!("\"model\":{}", json_string(model));
        return apply(body, &[(member, named.as_str())]);
    }
    apply(body, &[(with_comma(body, member), "")])
}

/// The client's body without `provider`, and nothing else changed. `head` must be the head of `body`.
pub fn without_provider(body: &Bytes, head: &Head) -> Bytes {
    let Some(provider) = &head.provider else { return body.clone() };
    let member = provider.name.start.saturating_sub(1)..provider.value.end;
    apply(body, &[(with_comma(body, member), "")])
}

/// A member with the comma that goes with it: the one after it, else the one before.
fn with_comma(body: &[u8], member: Range<usize>) -> Range<usize> {
    let after = leap::skip_space(body, member.end);
    if body.get(after) == Some(&b',') {
        return member.start..after + 1;
    }
    let before = body.get(..member.start).unwrap_or_default();
    match before.iter().rposition(|byte| !byte.is_ascii_whitespace()) {
        Some(comma) if before.get(comma) == Some(&b',') => comma..member.end,
        Some(_) | None => member,
    }
}

fn usage_edit(body: &[u8], head: &Head) -> Option<Edit<'static>> {
    match &head.stream_options {
        None => Some((head.object_start..head.object_start, r#""stream_options":{"include_usage":true},"#)),
        Some(StreamOptions { include_usage: Some((true, _)), range: _ }) => None,
        Some(StreamOptions { include_usage: Some((false, value)), range: _ }) => Some((value.clone(), "true")),
        Some(StreamOptions { include_usage: None, range }) => match body.get(range.start) {
            Some(b'{') => {
                let inside = range.start + 1;
                let is_empty = body.get(leap::skip_space(body, inside)) == Some(&b'}');
                let member = if is_empty { r#""include_usage":true"# } else { r#""include_usage":true,"# };
                Some((inside..inside, member))
            }
            _ => Some((range.clone(), r#"{"include_usage":true}"#)),
        },
    }
}

/// Applies edits that are in order and do not overlap, with one allocation.
fn apply(body: &[u8], edits: &[Edit<'_>]) -> Bytes {
    let added: usize = edits.iter().map(|(_, with)| with.len()).sum();
    let removed: usize = edits.iter().map(|(range, _)| range.len()).sum();
    let mut spliced = Vec::with_capacity(body.len() + added - removed);
    let mut at = 0;
    for (range, with) in edits {
        spliced.extend_from_slice(body.get(at..range.start).unwrap_or_default());
        spliced.extend_from_slice(with.as_bytes());
        at = range.end;
    }
    spliced.extend_from_slice(body.get(at..).unwrap_or_default());
    Bytes::from(spliced)
}

/// A JSON string with its quotes.
fn json_string(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            c if c < ' ' => {
                json.push_str("\\u00");
                json.extend([u32::from(c) >> 4, u32::from(c) & 15].map(|d| char::from_digit(d, 16).unwrap_or('0')));
            }
            c => json.push(c),
        }
    }
    json.push('"');
    json
}

#[cfg(test)]
mod tests;
