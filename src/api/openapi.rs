//! `GET /openapi.json`: what is served, in the words of `OpenAPI` 3.1.
//!
//! The paths are those that `exchange::route` serves, the schemas are derived from the types that are read and written;
//! what is said about each stands here. Must not describe bodies of models in full: those are their makers' to describe.

use bytes::Bytes;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::credits::CreditsView;
use super::feedback::{FeedbackView, GiveFeedback};
use super::keys::view::{KeyView, NewKeyView};
use super::keys::wanted::{ChangeKey, CreateKey, RevokeKey, RotateKey};
use super::keys::{KeyList, RevokedKey};
use super::route::{FORMATS, RouteView};
use super::status::StatusView;
use super::usage::GROUPS;
use super::usage::view::{SumsView, UsageList, UsageRow};
use crate::base::outcome::Ending;
use crate::base::preference::{PROVIDERS_LISTED_MAX, Sort};
use crate::base::task::TaskType;
use crate::exchange::conversations::SESSION_BYTES_MAX;
use crate::exchange::route::SERVED;

const KEYS: &str = "Keys";
const USAGE: &str = "Usage and credits";
const MODELS: &str = "Models";
const ROUTING: &str = "Routing";
const INFERENCE: &str = "Inference";
const STATUS: &str = "Status";
/// What any question of an account may be answered with, when it is not answered.
const REFUSALS: [(&str, &str); 8] = [
    ("400", "What was sent makes no sense; `param` names the field"),
    ("401", "No key, or one that is not valid"),
    ("403", "The key may not do this"),
    ("404", "There is no such thing in this account"),
    ("408", "The body came in too slowly"),
    ("413", "The body is too large"),
    ("429", "Too many questions; `retry-after` says when to come back"),
    ("503", "It cannot be answered at the moment; `retry-after` says when to come back"),
];

/// The document.
pub fn document() -> Bytes {
    let mut paths = Map::new();
    for served in SERVED {
        let methods = served.allow.split(", ");
        let described = methods.filter_map(|method| Some((method.to_lowercase(), operation(method, served.path)?)));
        paths.insert(served.path.to_owned(), Value::Object(described.collect()));
    }
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Flux",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "LLM gateway and smart router. Point an OpenAI client at `/v1`, an Anthropic client at \
                `/anthropic`. Amounts are exact decimals; times are RFC 3339 in UTC.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "security": [{ "bearer": [] }, { "x-api-key": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer" },
                "x-api-key": { "type": "apiKey", "in": "header", "name": "x-api-key" },
            },
        },
    });
    Bytes::from(document.to_string())
}

/// What is said about one method of a path; `None` for what nobody has described.
fn operation(method: &str, path: &str) -> Option<Value> {
    let described = match path {
        "/v1/keys" | "/v1/keys/generate" | "/v1/keys/revoke" | "/v1/keys/{id}" | "/v1/keys/{id}/rotate" => {
            keys(method, path)
        }
        "/v1/usage" | "/v1/usage/{id}" | "/v1/credits" => usage(path),
        "/v1/route" | "/v1/feedback" => routing(path),
        "/v1/models" | "/v1/models/{id}" | "/openapi.json" => listing(path),
        "/v1/status" | "/status" => status(path),
        _ => inference(path),
    }?;
    let mut operation = json!({
        "operationId": operation_id(method, path),
        "tags": [described.tag],
        "summary": described.summary,
        "responses": described.responses,
    });
    if let Value::Object(fields) = &mut operation {
        if !described.parameters.is_empty() {
            fields.insert("parameters".to_owned(), Value::Array(described.parameters));
        }
        if let Some(body) = described.body {
            fields.insert("requestBody".to_owned(), body);
        }
        if described.is_public {
            fields.insert("security".to_owned(), json!([]));
        }
    }
    Some(operation)
}

/// What is said about one method of a path.
#[derive(Debug)]
struct Described {
    tag: &'static str,
    summary: &'static str,
    parameters: Vec<Value>,
    body: Option<Value>,
    responses: Value,
    is_public: bool,
}

impl Described {
    fn new(tag: &'static str, summary: &'static str, responses: Value) -> Self {
        Self { tag, summary, parameters: Vec::new(), body: None, responses, is_public: false }
    }

    fn with_body(self, schema: &str) -> Self {
        let body = json!({ "required": false, "content": { "application/json": { "schema": by_name(schema) } } });
        Self { body: Some(body), ..self }
    }

    fn with_parameters(self, parameters: Vec<Value>) -> Self {
        Self { parameters, ..self }
    }
}

fn keys(method: &str, path: &str) -> Option<Described> {
    let describe = |summary, status, schema| Described::new(KEYS, summary, responses(status, &in_json(schema)));
    let (page, id) = (page_parameters(1_000, 100), id_parameter("The key's id", &json!({ "type": "integer" })));
    Some(match (method, path) {
        ("GET", "/v1/keys") => describe("Keys, newest first", "200", "KeyList").with_parameters(page),
        ("POST", "/v1/keys" | "/v1/keys/generate") => {
            describe("Make a key; it is shown this once", "201", "NewKeyView").with_body("CreateKey")
        }
        ("POST", "/v1/keys/revoke") => describe("Revoke a key at once", "200", "RevokedKey").with_body("RevokeKey"),
        ("GET", "/v1/keys/{id}") => describe("One key", "200", "KeyView").with_parameters(vec![id]),
        ("PATCH", "/v1/keys/{id}") => {
            describe("Change a key's settings", "200", "KeyView").with_body("ChangeKey").with_parameters(vec![id])
        }
        ("DELETE", "/v1/keys/{id}") => describe("Revoke a key at once", "200", "RevokedKey").with_parameters(vec![id]),
        ("POST", "/v1/keys/{id}/rotate") => {
            describe("Put a new key with the same settings in the place of a key", "201", "NewKeyView")
                .with_body("RotateKey")
                .with_parameters(vec![id])
        }
        _ => return None,
    })
}

fn usage(path: &str) -> Option<Described> {
    let describe = |summary, content: Value| Described::new(USAGE, summary, responses("200", &content));
    Some(match path {
        "/v1/usage" => {
            let content = json!({
                "application/json": { "schema": { "oneOf": [by_name("UsageList"), by_name("SumsView")] } },
                "text/csv": { "schema": { "type": "string" } },
            });
            let summary = "Settled requests, newest first; with group_by, their sums by whole days of UTC";
            describe(summary, content).with_parameters(usage_parameters())
        }
        "/v1/usage/{id}" => {
            let id = id_parameter("The request's id, as `x-request-id` told it", &json!({ "type": "string" }));
            describe("One settled request, and how its price came about", in_json("UsageRow")).with_parameters(vec![id])
        }
        "/v1/credits" => describe("What the account has, has used and may still use", in_json("CreditsView")),
        _ => return None,
    })
}

fn routing(path: &str) -> Option<Described> {
    let describe = |summary, schema| Described::new(ROUTING, summary, responses("200", &in_json(schema)));
    Some(match path {
        "/v1/route" => {
            let formats: Vec<&str> = FORMATS.iter().map(|(name, _)| *name).collect();
            let share = json!({ "type": "string", "pattern": "^(0(\\.[0-9]{1,18})?|1(\\.0{1,18})?)$" });
            let format = json!({ "type": "string", "enum": formats });
            let request = json!({ "type": "object", "properties": { "model": { "type": "string" } } });
            let body = json!({ "required": true, "content": { "application/json": { "schema": request } } });
            let summary = "Where a request of the Chat, Responses or Messages API would go, why, and what it would cost, \
                about; no model is asked, and nothing is charged";
            let parameters = vec![
                in_query("format", "The API of the request, where its shape does not tell", &format),
                in_query("quality", "The wish for quality, in the place of the configured one", &share),
                in_header("x-flux-provider", "As a request would say it", &json!({ "type": "string" })),
                in_header("x-flux-region", "As a request would say it", &json!({ "type": "string" })),
            ];
            Described { body: Some(body), ..describe(summary, "RouteView") }.with_parameters(parameters)
        }
        "/v1/feedback" => {
            describe("How good an answer was; the last word counts", "FeedbackView").with_body("GiveFeedback")
        }
        _ => return None,
    })
}

fn listing(path: &str) -> Option<Described> {
    let object = json!({ "application/json": { "schema": { "type": "object" } } });
    let version = json!({
        "name": "anthropic-version",
        "in": "header",
        "description": "Where it is sent, the answer is in Anthropic's shape",
        "schema": { "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$" },
    });
    let describe = |tag, summary| Described::new(tag, summary, responses("200", &object));
    Some(match path {
        "/v1/models" => describe(MODELS, "What can be asked for, and what it costs").with_parameters(vec![version]),
        "/v1/models/{id}" => {
            let id = id_parameter("A name that can be asked for", &json!({ "type": "string" }));
            describe(MODELS, "One name that can be asked for").with_parameters(vec![id, version])
        }
        "/openapi.json" => Described { is_public: true, ..describe(MODELS, "This document; it needs no key") },
        _ => return None,
    })
}

fn status(path: &str) -> Option<Described> {
    let describe = |summary, content: Value| Described {
        is_public: true,
        ..Described::new(STATUS, summary, responses("200", &content))
    };
    Some(match path {
        "/v1/status" => describe("How providers and models are doing; it needs no key", in_json("StatusView")),
        "/status" => describe("The same as a page; it needs no key", json!({ "text/html": {} })),
        _ => return None,
    })
}

/// Endpoints of models, in brief: their bodies are those of the APIs that they are compatible with.
fn inference(path: &str) -> Option<Described> {
    const JSON: &str = "application/json";
    const FORM: &str = "multipart/form-data";
    const EVENTS: &[&str] = &[JSON, "text/event-stream"];
    let (summary, takes, gives): (_, _, &[&str]) = match path {
        "/v1/chat/completions" => ("OpenAI Chat Completions", JSON, EVENTS),
        "/v1/responses" => ("OpenAI Responses", JSON, EVENTS),
        "/anthropic/v1/messages" | "/v1/messages" => ("Anthropic Messages", JSON, EVENTS),
        "/anthropic/v1/messages/count_tokens" | "/v1/messages/count_tokens" => {
            ("Tokens of a prompt, in Anthropic's shape; free", JSON, &[JSON])
        }
        "/v1/responses/input_tokens" => ("Tokens of a prompt, in OpenAI's shape; free", JSON, &[JSON]),
        "/v1/embeddings" => ("OpenAI Embeddings", JSON, &[JSON]),
        "/v1/images/generations" => ("Make pictures", JSON, &[JSON]),
        "/v1/images/edits" => ("Change pictures", FORM, &[JSON]),
        "/v1/audio/transcriptions" => ("What is said in a recording", FORM, &[JSON, "text/plain"]),
        "/v1/audio/speech" => ("Read a text aloud", JSON, &["audio/mpeg", "audio/wav", "application/octet-stream"]),
        _ => return None,
    };
    let mut fields = json!({ "model": { "type": "string" } });
    if let (true, Some(fields)) = (gives == EVENTS, fields.as_object_mut()) {
        let tasks: Vec<Value> = TaskType::NAMES.iter().map(|(name, _)| json!(name)).chain([Value::Null]).collect();
        fields.insert("task_type".to_owned(), json!({ "type": ["string", "null"], "enum": tasks }));
        fields.insert("provider".to_owned(), preference());
    }
    let object = json!({ "type": "object", "properties": fields });
    let body = json!({ "required": true, "content": { takes: { "schema": object } } });
    let content: Map<String, Value> = gives.iter().map(|kind| ((*kind).to_owned(), json!({}))).collect();
    let mut responses = responses("200", &Value::Object(content));
    if let Some(answer) = responses.get_mut("200").and_then(Value::as_object_mut) {
        answer.insert("headers".to_owned(), answer_headers());
    }
    if let Value::Object(by_status) = &mut responses {
        let refusal = |told: &str| json!({ "description": told, "content": in_json("Error") });
        by_status.insert("402".to_owned(), refusal("The account or the key has spent what it may"));
        by_status.insert("default".to_owned(), refusal("An error, in the shape of the API that the path belongs to"));
    }
    let described = Described { body: Some(body), ..Described::new(INFERENCE, summary, responses) };
    let quality = json!({ "type": "number", "minimum": 0, "maximum": 1 });
    let session = json!({ "type": "string", "minLength": 1, "maxLength": SESSION_BYTES_MAX });
    Some(described.with_parameters(vec![
        in_header(
            "x-flux-provider",
            "None but these providers, asked in this order: a name, or several with commas",
            &json!({ "type": "string" }),
        ),
        in_header("x-flux-region", "At no address outside this region", &json!({ "type": "string" })),
        in_header(
            "x-flux-quality",
            "How much quality flux-auto is to seek: 0 the cheapest, 1 the best; else the key's wish, the account's, the operator's",
            &quality,
        ),
        in_header(
            "x-flux-session",
            "By what the conversation is known again; else by its system prompt and first words",
            &session,
        ),
    ]))
}

/// What a request may prefer among providers.
fn preference() -> Value {
    let names = |told: &str| {
        let name = json!({ "type": "string" });
        json!({ "type": ["array", "null"], "items": name, "maxItems": PROVIDERS_LISTED_MAX, "description": told })
    };
    let sorts: Vec<Value> = Sort::NAMES.iter().map(|(name, _)| json!(name)).chain([Value::Null]).collect();
    let price = json!({ "type": ["number", "string", "null"] });
    json!({
        "type": ["object", "null"],
        "description": "What is preferred among providers; it is not sent to them",
        "additionalProperties": false,
        "properties": {
            "order": names("These first, in this order"),
            "only": names("None but these"),
            "ignore": names("None of these"),
            "sort": { "type": ["string", "null"], "enum": sorts, "description": "How the others are ordered" },
            "allow_fallbacks": {
                "type": ["boolean", "null"],
                "description": "false: nobody but those in `order`, or without it nobody but the first",
            },
            "region": { "type": ["string", "null"], "description": "At no address outside this region" },
            "max_price": {
                "type": ["object", "null"],
                "description": "What a million tokens may cost at most, in USD",
                "additionalProperties": false,
                "properties": { "prompt": price, "completion": price },
            },
        },
    })
}

/// What an answer says of itself beside its body.
fn answer_headers() -> Value {
    let told = |description: &str, kind: &str| json!({ "description": description, "schema": { "type": kind } });
    json!({
        "x-flux-model": told("The model that answered", "string"),
        "x-flux-provider": told("Its provider", "string"),
        "x-flux-original-model": told("The name that was asked for", "string"),
        "x-flux-routed": told("Whether Flux chose the model", "boolean"),
        "x-flux-lane": told("The lane; `pinned` for a model that was asked for itself", "string"),
        "x-flux-attempts": told("Attempts that were made", "integer"),
        "x-flux-request-id": told("The id to quote", "string"),
        "x-flux-cost-usd": told("What it cost, an exact decimal; not on streams", "string"),
        "x-flux-score": told("Of flux-auto: what the reasoning lane is expected to gain over standard, -1 to 1", "number"),
        "x-flux-route-reason": told("Of flux-auto: what chose the lane, such as `rule:tools` or `kind:code`", "string"),
    })
}

/// `get_v1_keys_id`.
fn operation_id(method: &str, path: &str) -> String {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    std::iter::once(method.to_lowercase().as_str()).chain(words).collect::<Vec<_>>().join("_")
}

fn responses(status: &str, content: &Value) -> Value {
    let refusals = REFUSALS
        .iter()
        .map(|(status, told)| ((*status).to_owned(), json!({ "description": told, "content": in_json("Error") })));
    let good = (status.to_owned(), json!({ "description": "The answer", "content": content }));
    Value::Object(std::iter::once(good).chain(refusals).collect())
}

fn in_json(schema: &str) -> Value {
    json!({ "application/json": { "schema": by_name(schema) } })
}

fn by_name(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn id_parameter(description: &str, schema: &Value) -> Value {
    json!({ "name": "id", "in": "path", "required": true, "description": description, "schema": schema })
}

fn in_query(name: &str, description: &str, schema: &Value) -> Value {
    json!({ "name": name, "in": "query", "description": description, "schema": schema })
}

fn in_header(name: &str, description: &str, schema: &Value) -> Value {
    json!({ "name": name, "in": "header", "description": description, "schema": schema })
}

fn page_parameters(most: u32, usual: u32) -> Vec<Value> {
    let limit = json!({ "type": "integer", "minimum": 1, "maximum": most, "default": usual });
    let cursor = json!({ "type": "string", "pattern": "^[A-Za-z0-9_-]{22}$" });
    vec![
        in_query("limit", "How many at most", &limit),
        in_query("cursor", "Where the page begins: `next_cursor` of the page before", &cursor),
    ]
}

fn usage_parameters() -> Vec<Value> {
    let text = json!({ "type": "string" });
    let moment = json!({ "anyOf": [{ "type": "string", "format": "date-time" }, { "type": "integer" }] });
    let groups: Vec<&str> = GROUPS.iter().map(|(name, _)| *name).collect();
    let group_by = json!({ "type": "string", "enum": groups });
    let status = json!({ "type": "string", "enum": Ending::ALL.map(Ending::name) });
    let mut parameters = page_parameters(200, 50);
    parameters.extend([
        in_query("key", "The id of a key", &json!({ "type": "integer" })),
        in_query("model", "The model that answered", &text),
        in_query("lane", "The lane", &text),
        in_query("provider", "The provider that answered", &text),
        in_query("status", "How requests ended", &status),
        in_query("from", "Requests from then on: a time, a date, or seconds since 1970", &moment),
        in_query("to", "Requests before then", &moment),
        in_query("group_by", "Sums instead of rows; `limit` and `cursor` are left out then", &group_by),
    ]);
    parameters
}

fn schemas() -> Value {
    let mut found = Vec::new();
    add::<CreateKey>(&mut found);
    add::<ChangeKey>(&mut found);
    add::<RevokeKey>(&mut found);
    add::<RotateKey>(&mut found);
    add::<KeyView>(&mut found);
    add::<NewKeyView>(&mut found);
    add::<KeyList>(&mut found);
    add::<RevokedKey>(&mut found);
    add::<UsageList>(&mut found);
    add::<UsageRow>(&mut found);
    add::<SumsView>(&mut found);
    add::<CreditsView>(&mut found);
    add::<RouteView>(&mut found);
    add::<GiveFeedback>(&mut found);
    add::<FeedbackView>(&mut found);
    add::<StatusView>(&mut found);
    let named = |(name, schema): (String, Schema)| Some((name, serde_json::to_value(schema).ok()?));
    let mut schemas: Map<String, Value> = found.into_iter().filter_map(named).collect();
    schemas.insert("Error".to_owned(), error());
    Value::Object(schemas)
}

type Schema = utoipa::openapi::RefOr<utoipa::openapi::schema::Schema>;

fn add<T: ToSchema>(found: &mut Vec<(String, Schema)>) {
    found.push((T::name().into_owned(), T::schema()));
    T::schemas(found);
}

/// The envelope of OpenAI's clients. Anthropic's paths have Anthropic's.
fn error() -> Value {
    let text = json!({ "type": ["string", "null"] });
    json!({
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["message", "type"],
                "properties": { "message": { "type": "string" }, "type": { "type": "string" }, "param": text, "code": text },
            },
            "balance": { "type": "number" },
            "estimated_cost": { "type": "number" },
            "limit": { "type": "number" },
            "remaining": { "type": "integer" },
            "reset": { "type": "integer" },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_described() {
        for served in SERVED {
            for method in served.allow.split(", ") {
                assert!(operation(method, served.path).is_some(), "{method} {}", served.path);
            }
        }
    }

    #[test]
    fn every_name_that_is_referred_to_is_there() {
        let document: Value = serde_json::from_slice(&document()).unwrap();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let text = document.to_string();
        let references = text.split("#/components/schemas/").skip(1);
        let names: Vec<&str> = references.map(|rest| rest.split('"').next().unwrap()).collect();
        assert!(names.len() > 20);
        for name in names {
            assert!(schemas.contains_key(name), "{name}");
        }
    }
}
