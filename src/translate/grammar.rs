//! The grammar that a tool of free text may have: Chat nests it, Responses does not.
//!
//! Must not know anything else of tools. In between it is an object that has `syntax` and `definition`, whatever
//! stands beside them.

use super::ir::Value;

/// The grammar in a tool's `format`; `None` where any text will do.
///
/// # Errors
/// When it is neither free text nor a whole grammar; says so to the client.
pub fn read(format: Value<'_>) -> Result<Option<Value<'_>>, &'static str> {
    let kind = format.get("type").and_then(Value::as_text);
    if kind.is_none_or(|kind| kind.is("text")) {
        return Ok(None);
    }
    let grammar = format.get("grammar").unwrap_or(format);
    let is_text = |name| grammar.get(name).and_then(Value::as_text).is_some();
    if is_text("syntax") && is_text("definition") {
        Ok(Some(grammar))
    } else {
        Err("must be of type text, or of type grammar with a syntax and a definition")
    }
}

/// Its two members: the syntax that it is written in, and itself.
pub fn members(grammar: Value<'_>) -> [(&'static str, Option<Value<'_>>); 2] {
    ["syntax", "definition"].map(|name| (name, grammar.get(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_come_to_the_same() {
        for (format, definition) in [
            (r#"{"type":"text"}"#, Ok(None)),
            ("{}", Ok(None)),
            (r#"{"type":"grammar","syntax":"lark","definition":"x"}"#, Ok(Some(r#""x""#))),
            (r#"{"type":"grammar","grammar":{"syntax":"lark","definition":"x"}}"#, Ok(Some(r#""x""#))),
            (r#"{"type":"grammar","grammar":{"syntax":"lark"}}"#, Err(())),
            (r#"{"type":"grammar"}"#, Err(())),
            (r#"{"type":"xml"}"#, Err(())),
        ] {
            let read = read(Value::parse(format.as_bytes()).unwrap());
            let found = read.map(|grammar| grammar.map(|grammar| members(grammar)[1].1.unwrap().spelt()));
            assert_eq!(found.map_err(|_| ()), definition, "{format}");
        }
    }
}
