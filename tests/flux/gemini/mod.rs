//! Gemini as a mock provider: its rules, and what it says.
//!
//! Must not know Flux or sockets. `provider` serves the answers; a request that breaks the rules gets the real API's
//! 400, and is a fault of the test's.

pub(crate) mod rules;

use serde_json::{Value, json};

use super::answers::Answer;
use super::provider::Recorded;

/// The method that counts.
const COUNT: &str = "countTokens";

/// What is wrong with a request that this provider got: target, key, body.
pub(crate) fn faults_of(request: &Recorded, key: &str) -> Vec<String> {
    let Some((model, method)) = method_of(&request.target) else {
        return vec![format!("the wrong target {}", request.target)];
    };
    let body = request.json();
    let mut asked = body["generateContentRequest"].clone();
    let named = asked.as_object_mut().and_then(|asked| asked.remove("model")).unwrap_or_default();
    let mut faults = rules::faults(model, if method == COUNT { &asked } else { &body });
    if method == COUNT && named != format!("models/{model}") {
        faults.push(format!("the model {named} in the body"));
    }
    if !["generateContent", "streamGenerateContent?alt=sse", COUNT].contains(&method) {
        faults.push(format!("the wrong method {method}"));
    }
    if request.headers.get("x-goog-api-key") != Some(key) {
        faults.push(format!("x-goog-api-key: {:?}", request.headers.get("x-goog-api-key")));
    }
    for foreign in ["authorization", "x-api-key"] {
        if let Some(value) = request.headers.get(foreign) {
            faults.push(format!("a second credential {foreign}: {value}"));
        }
    }
    faults
}

/// The model that a request names.
pub(crate) fn model_of(target: &str) -> Option<&str> {
    method_of(target).map(|(model, _)| model)
}

/// `POST /v1beta/models/{model}:{method}` → model and method.
fn method_of(target: &str) -> Option<(&str, &str)> {
    target.strip_prefix("POST /v1beta/models/")?.split_once(':')
}

/// Whether a stream was asked for: the path says it.
pub(crate) fn is_stream(request: &Recorded) -> bool {
    method_of(&request.target).is_some_and(|(_, method)| method.starts_with("stream"))
}

/// The real API's refusal.
pub(crate) fn failure(status: u16, name: &str, message: &str) -> Answer {
    Answer::json(status, &json!({"error": {"code": status, "message": message, "status": name}}))
}

/// Usage as Gemini counts it: the total holds thoughts beside the candidates.
pub(crate) fn usage(prompt: u64, candidates: u64, thoughts: u64) -> Value {
    json!({"promptTokenCount": prompt, "candidatesTokenCount": candidates, "thoughtsTokenCount": thoughts,
        "totalTokenCount": prompt + candidates + thoughts,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": prompt}]})
}

/// A whole answer, or a chunk of a stream. `finish` stands in the last chunk only.
pub(crate) fn body(parts: &[Value], finish: Option<&str>, usage: &Value) -> Value {
    let mut candidate = json!({"content": {"role": "model", "parts": parts}, "index": 0});
    if let Some(finish) = finish {
        candidate["finishReason"] = finish.into();
    }
    json!({"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-model-001", "responseId": "resp-1"})
}

/// The chunks of a stream: one part each, usage on all, the finish reason on the last.
pub(crate) fn stream(parts: &[Value], finish: &str, usage: &Value) -> Vec<String> {
    let last = parts.len().saturating_sub(1);
    let chunk = |(i, part): (usize, &Value)| {
        let chunk = body(std::slice::from_ref(part), (i == last).then_some(finish), usage);
        format!("data: {chunk}\r\n\r\n")
    };
    parts.iter().enumerate().map(chunk).collect()
}

/// Answers with these parts as Gemini does, streamed or not; a request that breaks the rules gets a 400.
pub(crate) fn answering(parts: Vec<Value>, usage: Value) -> impl Fn(&Recorded) -> Answer + Send + Sync + 'static {
    move |request| {
        let model = method_of(&request.target).map_or("", |(model, _)| model);
        let faults = rules::faults(model, &request.json());
        if let Some(first) = faults.first() {
            return failure(400, "INVALID_ARGUMENT", first);
        }
        if is_stream(request) {
            return Answer::sse(&stream(&parts, "STOP", &usage));
        }
        Answer::json(200, &body(&parts, Some("STOP"), &usage))
    }
}

/// Words as parts of a text, a piece each.
pub(crate) fn words(text: &str) -> Vec<Value> {
    text.split_inclusive(' ').map(|word| json!({"text": word})).collect()
}

/// A thought, then calls of one step: the first is signed, as the real one does it.
pub(crate) fn thinking_calls(thought: &str, calls: &[(&str, Value)]) -> Vec<Value> {
    let mut parts = vec![json!({"text": thought, "thought": true})];
    for (i, (name, arguments)) in calls.iter().enumerate() {
        let call = json!({"id": format!("fc-{i}"), "name": name, "args": arguments});
        let mut part = json!({"functionCall": call});
        if i == 0 {
            part["thoughtSignature"] = "c2lnbmVk".into();
        }
        parts.push(part);
    }
    parts
}

#[cfg(test)]
mod tests;
