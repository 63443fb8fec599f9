//! What Anthropic's own tools left in a conversation: for other models it is kept as the text that it holds.
//!
//! Must not know which tools there are today: they are told by the endings of their blocks' names.

use crate::translate::ir::{Text, Value};

/// Nesting that is searched for text: a document in the content of a result has five levels.
const DEPTH_MAX: u32 = 8;
/// Members that hold what a reader could read.
const TEXTS: [&str; 6] = ["title", "url", "text", "stdout", "stderr", "error_code"];
/// Blocks that say nothing to another model.
const SILENT: [&str; 7] = [
    "server_tool_use",
    "mcp_tool_use",
    "mcp_tool_listing",
    "tool_addition",
    "tool_removal",
    "tool_reference",
    "fallback",
];

/// Whether a block is one of Anthropic's own tools, or speaks of them.
pub(super) fn is_known(kind: &str) -> bool {
    SILENT.contains(&kind) || kind.ends_with("_tool_result") || matches!(kind, "compaction" | "browser_state")
}

/// The text that a block holds, under its name; `None` where there is none.
pub(super) fn text_of(kind: &str, block: Value<'_>) -> Option<Text<'static>> {
    if SILENT.contains(&kind) {
        return None;
    }
    let mut said = String::new();
    match block.get("content").map(|content| (content, content.as_text())) {
        Some((_, Some(text))) => push(&text, &mut said),
        Some((content, None)) => collect(content, DEPTH_MAX, &mut said),
        None => {}
    }
    if said.is_empty() { None } else { Some(Text::spelt_as(format!("[{kind}]{said}"))) }
}

fn collect(value: Value<'_>, depth: u32, said: &mut String) {
    let Some(depth) = depth.checked_sub(1) else { return };
    value.elements().for_each(|element| collect(element, depth, said));
    // The text of a document in base64 is none.
    let is_plain = value.get("type").and_then(Value::as_text).is_some_and(|kind| kind.is("text"));
    for (name, member) in value.members() {
        match member.as_text() {
            Some(text) if TEXTS.contains(&&*name) || (name == "data" && is_plain) => push(&text, said),
            Some(_) => {}
            None => collect(member, depth, said),
        }
    }
}

fn push(text: &Text<'_>, said: &mut String) {
    if !text.is_empty() {
        said.push_str("\\n");
        said.push_str(text.spelt());
    }
}
