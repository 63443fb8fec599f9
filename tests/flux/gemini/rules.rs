//! What Gemini's API takes: every field by name and type, and what must hold between them.
//!
//! Must not know Flux, nor sockets: a body goes in, complaints come out, in the words of the real API where those are
//! known. Typed from google-genai 3.4.0.

use serde_json::{Map, Value};

/// What a field holds.
#[derive(Clone, Copy, Debug)]
enum Is {
    Text,
    Bytes,
    Bool,
    Number,
    Whole,
    /// Any JSON.
    Any,
    /// Any object.
    Object,
    /// One of these words.
    Word(&'static [&'static str]),
    /// An object of these fields.
    Fields(Fields),
    /// A list of such objects.
    List(Fields),
    /// A list of texts.
    Texts,
    /// A list of these words.
    Words(&'static [&'static str]),
    /// A schema of the subset.
    Schema,
    /// A map from name to such schemas.
    Schemas,
    /// A list of such schemas.
    SchemaList,
}

type Fields = &'static [(&'static str, Is)];

const REQUEST: Fields = &[
    ("contents", Is::List(CONTENT)),
    ("systemInstruction", Is::Fields(CONTENT)),
    ("tools", Is::List(TOOL)),
    ("toolConfig", Is::Fields(TOOL_CONFIG)),
    ("generationConfig", Is::Fields(GENERATION)),
    ("safetySettings", Is::List(&[("category", Is::Text), ("threshold", Is::Text)])),
    ("cachedContent", Is::Text),
    ("serviceTier", Is::Word(&["unspecified", "flex", "standard", "priority"])),
    ("store", Is::Bool),
    ("labels", Is::Object),
];
const CONTENT: Fields = &[("role", Is::Word(&["user", "model"])), ("parts", Is::List(PART))];
const PART: Fields = &[
    ("text", Is::Text),
    ("thought", Is::Bool),
    ("thoughtSignature", Is::Bytes),
    ("inlineData", Is::Fields(BLOB)),
    ("fileData", Is::Fields(FILE)),
    ("functionCall", Is::Fields(&[("id", Is::Text), ("name", Is::Text), ("args", Is::Object)])),
    ("functionResponse", Is::Fields(RESPONSE)),
    ("mediaResolution", Is::Fields(&[("level", Is::Word(RESOLUTIONS)), ("numTokens", Is::Whole)])),
    ("executableCode", Is::Object),
    ("codeExecutionResult", Is::Object),
    ("toolCall", Is::Object),
    ("toolResponse", Is::Object),
    ("videoMetadata", Is::Object),
    ("partMetadata", Is::Object),
];
const BLOB: Fields = &[("mimeType", Is::Text), ("data", Is::Bytes), ("displayName", Is::Text)];
const FILE: Fields = &[("mimeType", Is::Text), ("fileUri", Is::Text), ("displayName", Is::Text)];
const RESPONSE: Fields = &[
    ("id", Is::Text),
    ("name", Is::Text),
    ("response", Is::Object),
    (
        "parts",
        Is::List(&[
            ("inlineData", Is::Fields(BLOB)),
            ("fileData", Is::Fields(FILE)),
            ("mediaResolution", Is::Fields(&[("level", Is::Word(RESOLUTIONS)), ("numTokens", Is::Whole)])),
        ]),
    ),
    ("willContinue", Is::Bool),
    ("scheduling", Is::Text),
];
const RESOLUTIONS: &[&str] =
    &["MEDIA_RESOLUTION_LOW", "MEDIA_RESOLUTION_MEDIUM", "MEDIA_RESOLUTION_HIGH", "MEDIA_RESOLUTION_ULTRA_HIGH"];
const TOOL: Fields = &[
    (
        "functionDeclarations",
        Is::List(&[
            ("name", Is::Text),
            ("description", Is::Text),
            ("parameters", Is::Schema),
            ("parametersJsonSchema", Is::Any),
            ("response", Is::Schema),
            ("responseJsonSchema", Is::Any),
            ("behavior", Is::Text),
        ]),
    ),
    ("googleSearch", Is::Object),
    ("urlContext", Is::Object),
    ("codeExecution", Is::Object),
    ("googleMaps", Is::Object),
    ("computerUse", Is::Object),
    ("fileSearch", Is::Object),
];
const TOOL_CONFIG: Fields = &[
    (
        "functionCallingConfig",
        Is::Fields(&[("mode", Is::Word(&["AUTO", "ANY", "NONE", "VALIDATED"])), ("allowedFunctionNames", Is::Texts)]),
    ),
    ("retrievalConfig", Is::Object),
    ("includeServerSideToolInvocations", Is::Bool),
];
const GENERATION: Fields = &[
    ("temperature", Is::Number),
    ("topP", Is::Number),
    ("topK", Is::Number),
    ("candidateCount", Is::Whole),
    ("maxOutputTokens", Is::Whole),
    ("stopSequences", Is::Texts),
    ("responseLogprobs", Is::Bool),
    ("logprobs", Is::Whole),
    ("presencePenalty", Is::Number),
    ("frequencyPenalty", Is::Number),
    ("seed", Is::Whole),
    ("responseMimeType", Is::Word(&["text/plain", "application/json", "text/x.enum"])),
    ("responseSchema", Is::Schema),
    ("responseJsonSchema", Is::Any),
    ("responseModalities", Is::Words(&["TEXT", "IMAGE", "AUDIO"])),
    (
        "thinkingConfig",
        Is::Fields(&[
            ("includeThoughts", Is::Bool),
            ("thinkingBudget", Is::Whole),
            ("thinkingLevel", Is::Word(&["MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH"])),
        ]),
    ),
    ("mediaResolution", Is::Word(RESOLUTIONS)),
    ("speechConfig", Is::Object),
    ("imageConfig", Is::Object),
];
const SCHEMA: Fields = &[
    ("type", Is::Text),
    ("format", Is::Text),
    ("title", Is::Text),
    ("description", Is::Text),
    ("nullable", Is::Bool),
    ("enum", Is::Texts),
    ("items", Is::Schema),
    ("minItems", Is::Whole),
    ("maxItems", Is::Whole),
    ("properties", Is::Schemas),
    ("required", Is::Texts),
    ("minProperties", Is::Whole),
    ("maxProperties", Is::Whole),
    ("minLength", Is::Whole),
    ("maxLength", Is::Whole),
    ("pattern", Is::Text),
    ("example", Is::Any),
    ("anyOf", Is::SchemaList),
    ("propertyOrdering", Is::Texts),
    ("default", Is::Any),
    ("minimum", Is::Number),
    ("maximum", Is::Number),
];

/// The members of a part that say what it is.
const KINDS: [&str; 9] = [
    "text",
    "inlineData",
    "fileData",
    "functionCall",
    "functionResponse",
    "executableCode",
    "codeExecutionResult",
    "toolCall",
    "toolResponse",
];

/// What is wrong with the body of a request for this model.
pub(crate) fn faults(model: &str, body: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    fields(REQUEST, body, "", &mut faults);
    let is_new = !["gemini-1", "gemini-2"].iter().any(|old| model.starts_with(old));
    let contents: Vec<&Value> = body["contents"].as_array().into_iter().flatten().collect();
    conversation(&contents, is_new, &mut faults);
    tools(body, is_new, &mut faults);
    generation(&body["generationConfig"], is_new, &mut faults);
    let instruction = &body["systemInstruction"]["parts"];
    if instruction.as_array().is_some_and(|parts| parts.iter().any(|part| part.get("text").is_none())) {
        faults.push("systemInstruction: only text".to_owned());
    }
    faults
}

fn fields(known: Fields, value: &Value, path: &str, faults: &mut Vec<String>) {
    let Some(object) = value.as_object() else {
        faults.push(format!("Invalid value at '{path}': not an object"));
        return;
    };
    for (name, value) in object {
        let at = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match known.iter().find(|(field, _)| field == name) {
            Some((_, is)) => field(*is, value, &at, faults),
            None => faults.push(format!(
                "Invalid JSON payload received. Unknown name \"{name}\" at '{path}': Cannot find field."
            )),
        }
    }
}

fn field(is: Is, value: &Value, path: &str, faults: &mut Vec<String>) {
    let fits = match is {
        Is::Any => true,
        Is::Text => value.is_string(),
        Is::Bytes => value.as_str().is_some_and(is_base64),
        Is::Bool => value.is_boolean(),
        Is::Number => value.is_number(),
        Is::Whole => value.is_i64() || value.is_u64(),
        Is::Object => value.is_object(),
        Is::Word(words) => value.as_str().is_some_and(|word| words.contains(&word)),
        Is::Texts => value.as_array().is_some_and(|all| all.iter().all(Value::is_string)),
        Is::Words(words) => {
            let is_word = |value: &Value| value.as_str().is_some_and(|word| words.contains(&word));
            value.as_array().is_some_and(|all| all.iter().all(is_word))
        }
        Is::Fields(known) => return fields(known, value, path, faults),
        Is::Schema => return fields(SCHEMA, value, path, faults),
        Is::List(known) => return list(known, value, path, faults),
        Is::SchemaList => return list(SCHEMA, value, path, faults),
        Is::Schemas => {
            let empty = Map::new();
            for (name, schema) in value.as_object().unwrap_or(&empty) {
                fields(SCHEMA, schema, &format!("{path}.{name}"), faults);
            }
            value.is_object()
        }
    };
    if !fits {
        faults.push(format!("Invalid value at '{path}' ({is:?}): {value}"));
    }
}

fn list(known: Fields, value: &Value, path: &str, faults: &mut Vec<String>) {
    match value.as_array() {
        Some(all) => {
            all.iter().enumerate().for_each(|(i, value)| fields(known, value, &format!("{path}[{i}]"), faults));
        }
        None => faults.push(format!("Invalid value at '{path}': not a list")),
    }
}

fn is_base64(text: &str) -> bool {
    let bare = text.trim_end_matches('=');
    bare.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/-_".contains(&b)) && bare.len() % 4 != 1
}

fn parts(content: &Value) -> impl Iterator<Item = &Value> {
    content["parts"].as_array().into_iter().flatten()
}

fn members<'v>(content: &'v Value, kind: &'static str) -> Vec<&'v Value> {
    parts(content).filter_map(|part| part.get(kind)).collect()
}

/// Who speaks when, what of, and which result answers which call.
fn conversation(contents: &[&Value], is_new: bool, faults: &mut Vec<String>) {
    let mut fault = |is_right: bool, what: String| {
        if !is_right {
            faults.push(what);
        }
    };
    fault(!contents.is_empty(), "GenerateContentRequest.contents: contents is not specified".to_owned());
    let first = contents.first().map_or("user", |content| content["role"].as_str().unwrap_or("user"));
    fault(first == "user", "contents[0]: the first turn must be the user's".to_owned());
    // A turn begins with the last content of the user that is not results alone.
    let speaks = |content: &&&Value| content["role"] == "user" && members(content, "functionResponse").is_empty();
    let turn = contents.iter().rposition(|content| speaks(&content)).unwrap_or(0);
    for (i, content) in contents.iter().enumerate() {
        let role = content["role"].as_str().unwrap_or_default();
        fault(parts(content).next().is_some(), format!("contents[{i}].parts must not be empty"));
        for (j, part) in parts(content).enumerate() {
            let at = format!("contents[{i}].parts[{j}]");
            let kinds: Vec<&str> = KINDS.into_iter().filter(|kind| part.get(*kind).is_some()).collect();
            fault(
                kinds.len() == 1,
                format!("{at}: required oneof field 'data' must have one initialized field: {kinds:?}"),
            );
            let of_model = ["functionCall", "thought", "thoughtSignature"];
            fault(
                role == "model" || !of_model.iter().any(|own| part.get(*own).is_some()),
                format!("{at}: not the user's"),
            );
            fault(role == "user" || part.get("functionResponse").is_none(), format!("{at}: not the model's"));
            fault(is_new || part.get("mediaResolution").is_none(), format!("{at}: mediaResolution is not supported"));
        }
        let calls = members(content, "functionCall");
        let answers = contents.get(i + 1).map(|next| members(next, "functionResponse")).unwrap_or_default();
        if !calls.is_empty() && i + 1 < contents.len() {
            let only = contents.get(i + 1).is_none_or(|next| parts(next).count() == answers.len());
            fault(only, format!("contents[{}]: results stand alone", i + 1));
            fault(
                calls.len() == answers.len(),
                "Please ensure that the number of function response parts is equal to the number of function call parts \
                 of the function call turn."
                    .to_owned(),
            );
            for (call, answer) in calls.iter().zip(&answers) {
                let is_same = call["name"] == answer["name"] && call.get("id") == answer.get("id");
                fault(is_same, format!("contents[{}]: {answer} does not answer {call}", i + 1));
                fault(answer.get("response").is_some(), format!("contents[{}]: response is required", i + 1));
                fault(is_new || answer.get("parts").is_none(), format!("contents[{}]: no media in results", i + 1));
            }
        }
        let is_after_calls = i > 0 && !members(contents[i - 1], "functionCall").is_empty();
        fault(
            members(content, "functionResponse").is_empty() || is_after_calls,
            "Please ensure that function response turn comes immediately after a function call turn.".to_owned(),
        );
        let signed = parts(content).find(|part| part.get("functionCall").is_some());
        let is_signed = signed.is_none_or(|part| part.get("thoughtSignature").is_some());
        fault(
            !is_new || i < turn || is_signed,
            format!("Function call is missing a thought_signature in functionCall parts: contents[{i}]"),
        );
    }
}

fn tools(body: &Value, is_new: bool, faults: &mut Vec<String>) {
    let all = body["tools"].as_array().into_iter().flatten();
    let declared: Vec<&Value> = all.filter_map(|tool| tool["functionDeclarations"].as_array()).flatten().collect();
    let names: Vec<&str> = declared.iter().filter_map(|function| function["name"].as_str()).collect();
    for (i, function) in declared.iter().enumerate() {
        let name = function["name"].as_str().unwrap_or_default();
        let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let is_name =
            begins && name.len() <= 128 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:-".contains(&b));
        if !is_name {
            faults.push(format!("functionDeclarations[{i}].name: Invalid function name {name:?}"));
        }
        if names.iter().filter(|other| **other == name).count() > 1 {
            faults.push(format!("Duplicate function declaration found: {name}"));
        }
        let (old, new) = (function.get("parameters").is_some(), function.get("parametersJsonSchema").is_some());
        if new && (old || !is_new) {
            faults.push(format!("functionDeclarations[{i}]: one form of parameters, and the one that the model knows"));
        }
    }
    let config = &body["toolConfig"]["functionCallingConfig"];
    if body.get("toolConfig").is_some() && body.get("tools").is_none() {
        faults.push("toolConfig without tools".to_owned());
    }
    let Some(allowed) = config.get("allowedFunctionNames") else { return };
    if !["ANY", "VALIDATED"].iter().any(|mode| config["mode"] == *mode) {
        faults.push("allowed_function_names should only be set when the mode is ANY or VALIDATED".to_owned());
    }
    for name in allowed.as_array().into_iter().flatten() {
        if !names.iter().any(|known| name == known) {
            faults.push(format!("allowed_function_names: {name} is not declared"));
        }
    }
}

fn generation(config: &Value, is_new: bool, faults: &mut Vec<String>) {
    let mut fault = |is_right: bool, what: &str| {
        if !is_right {
            faults.push(format!("generationConfig: {what}"));
        }
    };
    let number = |name: &str| config[name].as_f64();
    fault(number("temperature").is_none_or(|n| (0.0..=2.0).contains(&n)), "temperature must be in [0, 2]");
    fault(number("topP").is_none_or(|n| (0.0..=1.0).contains(&n)), "topP must be in [0, 1]");
    fault(number("maxOutputTokens").is_none_or(|n| n >= 1.0), "maxOutputTokens must be positive");
    fault(number("candidateCount").is_none_or(|n| (1.0..=8.0).contains(&n)), "candidateCount must be in [1, 8]");
    fault(number("logprobs").is_none_or(|n| (0.0..=20.0).contains(&n)), "logprobs must be in [0, 20]");
    fault(number("seed").is_none_or(|n| n.abs() < 2_147_483_648.0), "seed must be a TYPE_INT32");
    fault(config.get("logprobs").is_none() || config["responseLogprobs"] == true, "logprobs without responseLogprobs");
    fault(config["stopSequences"].as_array().is_none_or(|all| all.len() <= 5), "at most 5 stopSequences");
    let has_schema = config.get("responseSchema").is_some() || config.get("responseJsonSchema").is_some();
    fault(!has_schema || config["responseMimeType"] == "application/json", "a schema needs application/json");
    let has_both = config.get("responseSchema").is_some() && config.get("responseJsonSchema").is_some();
    fault(!has_both, "responseSchema and responseJsonSchema exclude each other");
    let thinking = &config["thinkingConfig"];
    let (level, budget) = (thinking.get("thinkingLevel").is_some(), thinking.get("thinkingBudget").is_some());
    fault(!(level && budget), "You can only set only one of thinking budget and thinking level.");
    fault(is_new || !level, "Thinking level is not supported for this model.");
    fault(!is_new || !budget, "Thinking budget is not supported for this model.");
}
