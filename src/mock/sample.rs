//! A value that satisfies a JSON Schema well enough for a tool call or a structured answer.
//!
//! Must not know where the schema came from. It is no validator: what it does not know it leaves out.

use serde_json::{Map, Value, json};

/// How deep objects and arrays are filled; a schema may refer to itself.
const DEPTH_MAX: usize = 8;
/// How long strings and arrays may be made to reach a minimum.
const LENGTH_MAX: usize = 256;
/// How many properties are filled in all, so that a schema that branches at every level stays small.
const VALUES_MAX: usize = 512;

/// An example for `schema`: required properties only, the first of each choice.
pub(super) fn sample(schema: &Value) -> Value {
    let mut left = VALUES_MAX;
    Sampler { root: schema, left: &mut left }.value(schema, 0)
}

struct Sampler<'a> {
    root: &'a Value,
    left: &'a mut usize,
}

impl<'a> Sampler<'a> {
    fn value(&mut self, schema: &'a Value, depth: usize) -> Value {
        if depth > DEPTH_MAX || *self.left == 0 {
            return Value::Null;
        }
        *self.left -= 1;
        for fixed in ["const", "default"] {
            if let Some(value) = schema.get(fixed) {
                return value.clone();
            }
        }
        if let Some(first) = schema.get("enum").and_then(|choices| choices.get(0)) {
            return first.clone();
        }
        if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            let found = target.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
            return found.map_or(Value::Null, |found| self.value(found, depth + 1));
        }
        for choice in ["anyOf", "oneOf", "allOf"] {
            if let Some(first) = schema.get(choice).and_then(|choices| choices.get(0)) {
                return self.value(first, depth + 1);
            }
        }
        self.by_type(schema, depth)
    }

    fn by_type(&mut self, schema: &'a Value, depth: usize) -> Value {
        let kind = match schema.get("type") {
            Some(Value::Array(kinds)) => kinds.first().and_then(Value::as_str),
            kind => kind.and_then(Value::as_str),
        };
        match kind {
            Some("string") => Value::String(text(schema)),
            Some("integer") => integer(schema),
            Some("number") => schema.get("minimum").cloned().unwrap_or_else(|| json!(1.5)),
            Some("boolean") => Value::Bool(true),
            Some("array") => self.array(schema, depth),
            Some("null") => Value::Null,
            Some("object") => self.object(schema, depth),
            Some(_) | None if schema.get("properties").is_some() => self.object(schema, depth),
            Some(_) | None => json!("mock"),
        }
    }

    fn array(&mut self, schema: &'a Value, depth: usize) -> Value {
        let least = schema.get("minItems").and_then(Value::as_u64).and_then(|least| usize::try_from(least).ok());
        let count = least.unwrap_or(1).min(LENGTH_MAX);
        match schema.get("items") {
            Some(items) => (0..count).map(|_| self.value(items, depth + 1)).collect(),
            None => Value::Array(vec![json!("mock"); count]),
        }
    }

    fn object(&mut self, schema: &'a Value, depth: usize) -> Value {
        let required = schema.get("required").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut object = Map::new();
        for name in required.iter().filter_map(Value::as_str) {
            let property = schema.get("properties").and_then(|properties| properties.get(name)).unwrap_or(&Value::Null);
            object.insert(name.to_owned(), self.value(property, depth + 1));
        }
        Value::Object(object)
    }
}

fn integer(schema: &Value) -> Value {
    let above = |key| schema.get(key).and_then(Value::as_i64);
    let least = above("minimum").or_else(|| above("exclusiveMinimum").map(|bound| bound.saturating_add(1)));
    let most = above("maximum").unwrap_or(i64::MAX);
    json!(least.unwrap_or(1).min(most))
}

fn text(schema: &Value) -> String {
    let known = match schema.get("format").and_then(Value::as_str) {
        Some("date") => "2026-01-31",
        Some("date-time") => "2026-01-31T12:00:00Z",
        Some("time") => "12:00:00Z",
        Some("email") => "mock@example.com",
        Some("uri") => "https://example.com/",
        Some("uuid") => "00000000-0000-4000-8000-000000000000",
        Some(_) | None => "mock",
    };
    let length = |key| schema.get(key).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
    let mut text: String = known.chars().take(length("maxLength").unwrap_or(LENGTH_MAX)).collect();
    while text.len() < length("minLength").unwrap_or(0).min(LENGTH_MAX) {
        text.push('x');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_gets_a_value_that_fits() {
        let schema = json!({
            "type": "object",
            "required": ["s", "n", "i", "b", "a", "o", "e", "r", "u", "long", "free"],
            "properties": {
                "s": {"type": "string"}, "n": {"type": "number"}, "i": {"type": "integer", "minimum": 5},
                "b": {"type": "boolean"}, "a": {"type": "array", "minItems": 2, "items": {"type": "integer"}},
                "o": {"type": "object", "required": ["x"], "properties": {"x": {"type": ["string", "null"]}}},
                "e": {"enum": ["red", "green"]}, "r": {"$ref": "#/$defs/point"}, "u": {"anyOf": [{"const": 7}]},
                "long": {"type": "string", "minLength": 6}, "optional": {"type": "string"}
            },
            "$defs": {"point": {"type": "object", "required": ["lat"], "properties": {"lat": {"type": "number"}}}}
        });
        assert_eq!(
            sample(&schema),
            json!({"s": "mock", "n": 1.5, "i": 5, "b": true, "a": [1, 1], "o": {"x": "mock"}, "e": "red",
                   "r": {"lat": 1.5}, "u": 7, "long": "mockxx", "free": "mock"})
        );
    }

    #[test]
    fn a_schema_that_holds_itself_ends() {
        let schema = json!({"type": "object", "required": ["a", "b"],
            "properties": {"a": {"$ref": "#"}, "b": {"type": "array", "minItems": 99, "items": {"$ref": "#"}}}});
        assert!(sample(&schema).to_string().len() < 100_000);
        assert_eq!(sample(&json!(7)), json!("mock"));
    }
}
