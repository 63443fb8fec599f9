//! Variants of an example that do not change its kind: frames around it, another case, a system message.
//!
//! Must not know kinds. Without them the recogniser takes an "answer in JSON" or a long prompt for the sign of a kind.

use serde::Deserialize;
use serde_json::{Value, json};

use super::shuffle::Shuffle;

/// What is put around examples.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frames {
    /// System messages.
    #[serde(default)]
    pub system: Vec<String>,
    /// Before the words of the user.
    #[serde(default)]
    pub before: Vec<String>,
    /// After them.
    #[serde(default)]
    pub after: Vec<String>,
}

/// The bodies to learn from: the example itself, then its variants.
pub fn variants(body: &Value, frames: &Frames, choice: &mut Shuffle) -> Vec<Value> {
    let mut bodies = vec![body.clone()];
    let mut add = |change: &dyn Fn(&mut Value) -> bool| {
        let mut variant = body.clone();
        if change(&mut variant) {
            bodies.push(variant);
        }
    };
    let (system, before, after) =
        (pick(&frames.system, choice), pick(&frames.before, choice), pick(&frames.after, choice));
    let other = pick(&frames.after, choice);
    add(&|variant| reword(variant, |text| format!("{text}{after}")) && put_system(variant, system));
    add(&|variant| reword(variant, |text| format!("{before}{text}")));
    add(&|variant| reword(variant, |text| format!("{before}{}{other}", text.to_lowercase())));
    bodies
}

/// Puts a system message first, where there is none.
fn put_system(body: &mut Value, system: &str) -> bool {
    let Some(messages) = body.get_mut("messages").and_then(Value::as_array_mut) else { return false };
    let has_system = messages.first().and_then(|first| first.get("role")).is_some_and(|role| role == "system");
    if !has_system && !system.is_empty() {
        messages.insert(0, json!({"role": "system", "content": system}));
    }
    true
}

fn pick<'f>(list: &'f [String], choice: &mut Shuffle) -> &'f str {
    list.get(choice.below(list.len())).map_or("", String::as_str)
}

/// Changes the last words of the user; `false` where they are no plain text.
pub(super) fn reword(body: &mut Value, change: impl Fn(&str) -> String) -> bool {
    let messages = body.get_mut("messages").and_then(Value::as_array_mut);
    let last =
        messages.into_iter().flatten().rev().find(|message| message.get("role").is_some_and(|role| role == "user"));
    let Some(content) = last.and_then(|message| message.get_mut("content")) else { return false };
    let Some(text) = content.as_str().map(change) else { return false };
    *content = Value::from(text);
    true
}
