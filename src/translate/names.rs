//! What a client calls the fields that writers name.
//!
//! Writers know no client: they name fields in the words of Chat Completions. Here the names become the client's own,
//! for `x-flux-ignored` and for the `param` of a refusal. Must not know targets.

use std::borrow::Cow;

use crate::base::wire_format::WireFormat;
use crate::wire::json::{Kind, Value};

/// A field of the request, and what each client may call it: the first name that its request holds is meant.
struct Row {
    field: &'static str,
    chat: &'static [&'static str],
    responses: &'static [&'static str],
    anthropic: &'static [&'static str],
}

impl Row {
    fn names(&self, client: WireFormat) -> &'static [&'static str] {
        if client == WireFormat::OpenaiResponses {
            self.responses
        } else if client == WireFormat::AnthropicMessages {
            self.anthropic
        } else {
            self.chat
        }
    }
}

const ROWS: &[Row] = &[
    Row {
        field: "user",
        chat: &["safety_identifier", "user"],
        responses: &["safety_identifier", "user"],
        anthropic: &["metadata.user_id"],
    },
    Row {
        field: "max_tokens",
        chat: &["max_completion_tokens", "max_tokens"],
        responses: &["max_output_tokens"],
        anthropic: &["max_tokens"],
    },
    Row {
        field: "reasoning_effort",
        chat: &["reasoning_effort", "reasoning", "thinking"],
        responses: &["reasoning.effort", "reasoning"],
        anthropic: &["output_config.effort", "thinking"],
    },
    Row {
        field: "reasoning.summary",
        chat: &["reasoning"],
        responses: &["reasoning.summary", "reasoning.generate_summary"],
        anthropic: &["thinking.display", "thinking"],
    },
    Row { field: "verbosity", chat: &["verbosity"], responses: &["text.verbosity"], anthropic: &[] },
    Row { field: "stop", chat: &["stop"], responses: &[], anthropic: &["stop_sequences"] },
    Row { field: "logprobs", chat: &["logprobs"], responses: &["include", "top_logprobs"], anthropic: &[] },
    Row {
        field: "parallel_tool_calls",
        chat: &["parallel_tool_calls"],
        responses: &["parallel_tool_calls"],
        anthropic: &["tool_choice.disable_parallel_tool_use"],
    },
    Row {
        field: "response_format",
        chat: &["response_format"],
        responses: &["text.format"],
        anthropic: &["output_config.format", "output_format"],
    },
    Row {
        field: "response_format.json_schema.description",
        chat: &["response_format.json_schema.description"],
        responses: &["text.format.description"],
        anthropic: &[],
    },
];

/// Ends of places within messages. An empty name is that of the part as a whole: the format has several for it.
const ENDS: [(&str, &str, &str); 6] = [
    (".image_url.detail", ".detail", ".source"),
    (".image_url", ".image_url", ".source"),
    (".file.filename", ".filename", ".title"),
    (".file", "", ".source"),
    (".input_audio", ".input_audio", ".source"),
    (".tool_calls[].function.arguments", ".arguments", ".content[].input"),
];

/// The name by which the client of this format, whose request is `body`, knows what a writer named.
pub fn of_client(told: Cow<'static, str>, client: WireFormat, body: Value<'_>) -> Cow<'static, str> {
    if let Some(row) = ROWS.iter().find(|row| row.field == told) {
        let names = row.names(client);
        let held = names.iter().find(|name| holds(body, name));
        return held.or(names.first()).map_or(told, |name| Cow::Borrowed(*name));
    }
    if told.starts_with("messages[") {
        return in_messages(told, client);
    }
    if told.starts_with("tools[") { in_tools(told, client, body) } else { told }
}

fn holds(body: Value<'_>, path: &str) -> bool {
    let found = path.split('.').try_fold(body, Value::get);
    found.is_some_and(|value| !value.is_null() && value.as_bool() != Some(false))
}

fn in_messages(told: Cow<'static, str>, client: WireFormat) -> Cow<'static, str> {
    let end = ENDS.iter().find(|(end, ..)| told.ends_with(end));
    let renamed = |place: &str, end: &str| Cow::Owned([place, end].concat());
    let place = end.and_then(|(end, ..)| told.strip_suffix(end));
    match (client, end, place) {
        (WireFormat::OpenaiResponses, end, place) => {
            let place = place.unwrap_or(&told);
            let inside = place.strip_prefix("messages").unwrap_or(place);
            renamed(&["input", inside].concat(), end.map_or("", |(_, end, _)| end))
        }
        (WireFormat::AnthropicMessages, Some((.., end)), Some(place)) => renamed(place, end),
        _ => told,
    }
}

/// Chat keeps what a tool is in a member by its kind, Anthropic has another name for the schema.
fn in_tools(told: Cow<'static, str>, client: WireFormat, body: Value<'_>) -> Cow<'static, str> {
    let parts = told.strip_prefix("tools[").and_then(|rest| rest.split_once("]."));
    let Some((at, member)) = parts.filter(|(_, member)| !member.contains('.')) else { return told };
    if client == WireFormat::AnthropicMessages && member == "parameters" {
        return Cow::Owned(format!("tools[{at}].input_schema"));
    }
    if client != WireFormat::OpenaiChat || member == "type" {
        return told;
    }
    let tool = at.parse().ok().and_then(|at: usize| body.get("tools")?.elements().nth(at));
    let has = |kind: &&str| tool.and_then(|tool| tool.get(kind)).is_some_and(|tool| tool.kind() == Kind::Object);
    match ["function", "custom"].iter().find(|kind| has(kind)) {
        Some(kind) => Cow::Owned(format!("tools[{at}].{kind}.{member}")),
        None => told,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json::Document;

    #[test]
    fn each_client_hears_its_own_names() {
        let (chat, responses) = (WireFormat::OpenaiChat, WireFormat::OpenaiResponses);
        let anthropic = WireFormat::AnthropicMessages;
        for (client, body, told, expected) in [
            (chat, r#"{"user":"u"}"#, "user", "user"),
            (chat, r#"{"user":"u","safety_identifier":"s"}"#, "user", "safety_identifier"),
            (responses, r#"{"safety_identifier":"s"}"#, "user", "safety_identifier"),
            (anthropic, r#"{"metadata":{"user_id":"u"}}"#, "user", "metadata.user_id"),
            (responses, r#"{"top_logprobs":2}"#, "logprobs", "top_logprobs"),
            (responses, r#"{"include":["message.output_text.logprobs"]}"#, "logprobs", "include"),
            (anthropic, r#"{"thinking":{"type":"adaptive"}}"#, "reasoning_effort", "thinking"),
            (responses, "{}", "messages[2].name", "input[2].name"),
            (responses, "{}", "messages[2].content[0].file", "input[2].content[0]"),
            (responses, "{}", "messages[2].content[0].image_url.detail", "input[2].content[0].detail"),
            (anthropic, "{}", "messages[2].content[0].image_url", "messages[2].content[0].source"),
            (chat, r#"{"tools":[{"type":"custom","custom":{}}]}"#, "tools[0].format", "tools[0].custom.format"),
            (anthropic, "{}", "tools[0].parameters", "tools[0].input_schema"),
            (chat, "{}", "seed", "seed"),
        ] {
            let body = Document::parse(body.as_bytes()).unwrap();
            assert_eq!(of_client(told.into(), client, body.root()), expected, "{client}: {told}");
        }
    }
}
