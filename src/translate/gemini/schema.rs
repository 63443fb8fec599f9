//! JSON Schema as models before Gemini 3 take it: the subset that `OpenAPI` 3.0 has.
//!
//! Must not know where a schema stands. What narrows a value beyond that subset is left out, so that the model may
//! say more than the client would take, but never less; references are followed.

use super::Facts;
use crate::translate::ir::Value;
use crate::wire::json::{Kind, Writer};

/// How deep references and nesting are followed. Beyond it anything goes: a schema that refers to itself never ends.
const DEPTH_MAX: usize = 24;
/// How many levels a reference counts for: most that are followed far lead in a circle.
const REFERENCE_DEPTH: usize = 4;
/// Schemas that are written of one, following its references: one that doubles at each step ends here.
const SCHEMAS_MAX: usize = 2_000;

/// Members that mean the same there.
const KEPT: [&str; 14] = [
    "title",
    "description",
    "nullable",
    "minItems",
    "maxItems",
    "required",
    "minProperties",
    "maxProperties",
    "minLength",
    "maxLength",
    "pattern",
    "minimum",
    "maximum",
    "propertyOrdering",
];

/// Formats that are not refused there.
const FORMATS: [&str; 6] = ["enum", "date-time", "float", "double", "int32", "int64"];

/// The field of a declaration that holds its schema.
pub(super) fn field(facts: &Facts<'_>) -> &'static str {
    if facts.is_before_three() { "parameters" } else { "parametersJsonSchema" }
}

/// Writes the schema in the subset.
pub(super) fn write_plain(schema: Value<'_>, out: &mut Writer) -> Result<(), &'static str> {
    let mut writing = Writing { root: schema, left: SCHEMAS_MAX };
    writing.schema(schema, 0, out);
    if writing.left == 0 {
        return Err("the schema is too large for this model once its references are followed; make it smaller");
    }
    Ok(())
}

struct Writing<'a> {
    root: Value<'a>,
    left: usize,
}

impl<'a> Writing<'a> {
    fn schema(&mut self, schema: Value<'a>, depth: usize, out: &mut Writer) {
        self.left = self.left.saturating_sub(1);
        if depth > DEPTH_MAX || self.left == 0 || schema.kind() != Kind::Object {
            // `true` and what is too deep: anything.
            return out.object(|_| {});
        }
        if let Some(target) = schema.get("$ref").and_then(|reference| self.referred(reference)) {
            return self.schema(target, depth + REFERENCE_DEPTH, out);
        }
        if let Some(only) = schema.get("allOf").and_then(only_element) {
            return self.schema(only, depth + 1, out);
        }
        let has_any_of = schema.get("anyOf").is_some();
        out.object(|out| {
            for (name, value) in schema.members() {
                match &*name {
                    "type" => write_type(value, out),
                    "enum" => write_enum(value, out),
                    "const" => write_const(value, out),
                    "format" if value.as_text().is_some_and(|text| FORMATS.contains(&text.spelt())) => {
                        out.name("format").value(value);
                    }
                    "items" => {
                        out.name("items");
                        self.schema(value, depth + 1, out);
                    }
                    "properties" => self.properties(value, depth, out),
                    "anyOf" => self.alternatives(value, depth, out),
                    "oneOf" if !has_any_of => self.alternatives(value, depth, out),
                    kept if KEPT.contains(&kept) => out.name(kept).value(value),
                    _ => {}
                }
            }
        });
    }

    fn properties(&mut self, properties: Value<'a>, depth: usize, out: &mut Writer) {
        out.name("properties").object(|out| {
            for (name, value) in properties.members() {
                out.name(crate::wire::json::Text::plain(name).spelt());
                self.schema(value, depth + 1, out);
            }
        });
    }

    /// `null` among the alternatives is a flag there.
    fn alternatives(&mut self, all: Value<'a>, depth: usize, out: &mut Writer) {
        let is_null = |value: &Value<'_>| value.get("type").is_some_and(|kind| kind.spelt() == "\"null\"");
        if all.elements().any(|value| is_null(&value)) {
            out.name("nullable").raw("true");
        }
        out.name("anyOf").array(|out| {
            all.elements().filter(|value| !is_null(value)).for_each(|value| self.schema(value, depth + 1, out));
        });
    }

    /// Where a reference into this very schema leads.
    fn referred(&self, reference: Value<'a>) -> Option<Value<'a>> {
        let pointer = reference.as_text()?.into_plain();
        let path = pointer.strip_prefix('#')?;
        path.split('/').skip(1).try_fold(self.root, |value, step| {
            let step = step.replace("~1", "/").replace("~0", "~");
            if value.kind() == Kind::Array { value.elements().nth(step.parse().ok()?) } else { value.get(&step) }
        })
    }
}

fn only_element(all: Value<'_>) -> Option<Value<'_>> {
    let mut elements = all.elements();
    elements.next().filter(|_| elements.next().is_none())
}

/// One type; `null` beside it is a flag there. Of several types none is told.
fn write_type(value: Value<'_>, out: &mut Writer) {
    if value.kind() == Kind::Text {
        out.name("type").value(value);
        return;
    }
    let is_null = |value: &Value<'_>| value.spelt() == "\"null\"";
    let mut others = value.elements().filter(|value| !is_null(value));
    if let Some(first) = others.next().filter(|_| others.next().is_none()) {
        out.name("type").value(first);
    }
    if value.elements().any(|value| is_null(&value)) {
        out.name("nullable").raw("true");
    }
}

/// Only words can be listed there.
fn write_enum(value: Value<'_>, out: &mut Writer) {
    let is_word = |value: &Value<'_>| value.kind() == Kind::Text;
    if value.elements().all(|value| is_word(&value) || value.is_null()) {
        out.name("enum").array(|out| value.elements().filter(is_word).for_each(|word| out.value(word)));
    }
}

fn write_const(value: Value<'_>, out: &mut Writer) {
    if value.kind() == Kind::Text {
        out.name("enum").array(|out| out.value(value));
    }
}
