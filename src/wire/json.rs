//! JSON as it is spelt: a view of values that stay where they are, and a writer that puts them elsewhere.
//!
//! Must not know any wire format, and builds no tree. Text keeps its escapes from the one format to the other:
//! what is never looked into need not be undone and done again. A [`Value`] is only made from text that was
//! checked whole, so that a part of it can be copied into other JSON without breaking out of its place.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::jumps::{Jump, Jumps};
use super::leap::{self, Malformed, skip_space};
use super::strict;

/// The digits of the largest number that is written.
const DIGITS_MAX: usize = 20;

/// A JSON text that was checked, and where its containers end.
#[derive(Clone, Debug)]
pub struct Document<'a> {
    text: &'a str,
    jumps: Jumps,
}

impl<'a> Document<'a> {
    /// The document that `text` holds: one value with nothing but white space around it.
    ///
    /// # Errors
    /// When the text is not one whole JSON value, or nested deeper than [`leap::DEPTH_MAX`].
    pub fn parse(text: &'a [u8]) -> Result<Self, Malformed> {
        let (text, jumps) = strict::with_jumps(text)?;
        Ok(Self { text: trim(text), jumps })
    }

    /// Its value. To go through what is nested in it costs no more than what is looked at.
    pub fn root(&self) -> Value<'_> {
        Value { text: self.text, jumps: self.jumps.all() }
    }
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\n', '\r', '\t'])
}

/// A JSON value as it is spelt, inside text that was checked.
#[derive(Clone, Copy)]
pub struct Value<'a> {
    text: &'a str,
    /// Of a container, itself and all containers inside of it. Empty where they are not known.
    jumps: &'a [Jump],
}

/// Values are the same if they are spelt the same.
impl PartialEq for Value<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Value<'_> {}

impl std::fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Value").field(&self.text).finish()
    }
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool,
    /// A number.
    Number,
    /// A string.
    Text,
    /// An array.
    Array,
    /// An object.
    Object,
}

impl<'a> Value<'a> {
    /// The value that `text` holds, with nothing but white space around it: for texts that are short or not gone
    /// through, since nothing is kept that would help with it. See [`Document`].
    ///
    /// # Errors
    /// When the text is not one whole JSON value, or nested deeper than [`leap::DEPTH_MAX`].
    pub fn parse(text: &'a [u8]) -> Result<Self, Malformed> {
        Ok(Self { text: trim(strict::text(text)?), jumps: &[] })
    }

    /// The value as it is spelt.
    pub fn spelt(self) -> &'a str {
        self.text
    }

    /// What it is.
    pub fn kind(self) -> Kind {
        match self.text.as_bytes().first() {
            Some(b'"') => Kind::Text,
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'n') | None => Kind::Null,
            Some(_) => Kind::Number,
        }
    }

    /// Whether it is `null`.
    pub fn is_null(self) -> bool {
        self.kind() == Kind::Null
    }

    /// The text of a string.
    pub fn as_text(self) -> Option<Text<'a>> {
        self.text.strip_prefix('"')?.strip_suffix('"').map(|spelt| Text(Cow::Borrowed(spelt)))
    }

    /// `true` or `false`.
    pub fn as_bool(self) -> Option<bool> {
        match self.text {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// A whole number that is not negative.
    pub fn as_u64(self) -> Option<u64> {
        self.text.parse().ok()
    }

    /// Any number. For comparisons only: what goes on stays as it is spelt.
    pub fn as_f64(self) -> Option<f64> {
        if self.kind() == Kind::Number { self.text.parse().ok() } else { None }
    }

    /// The members of an object, in their order; none for anything else.
    pub fn members(self) -> Members<'a> {
        Members(Walk::over(self, Kind::Object))
    }

    /// The elements of an array, in their order; none for anything else.
    pub fn elements(self) -> Elements<'a> {
        Elements(Walk::over(self, Kind::Array))
    }

    /// The member of this name; the last one where it is repeated. For one look-up: to read an object, go
    /// through its [`Self::members`].
    pub fn get(self, name: &str) -> Option<Value<'a>> {
        self.members().filter(|(found, _)| found == name).last().map(|(_, value)| value)
    }
}

/// The members of an object. See [`Value::members`].
#[derive(Clone, Debug)]
pub struct Members<'a>(Walk<'a>);

impl<'a> Iterator for Members<'a> {
    type Item = (Cow<'a, str>, Value<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let name = self.0.next_name()?;
        // Names are short: a search by vectors would only begin.
        let has_escapes = name.bytes().any(|byte| byte == b'\\');
        let name = if has_escapes { Text(Cow::Borrowed(name)).into_plain() } else { Cow::Borrowed(name) };
        Some((name, self.0.next_value()?))
    }
}

/// The elements of an array. See [`Value::elements`].
#[derive(Clone, Debug)]
pub struct Elements<'a>(Walk<'a>);

impl<'a> Iterator for Elements<'a> {
    type Item = Value<'a>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.0.start_item()?;
        self.0.next_value()
    }
}

/// Goes through a container. What is malformed cannot come here, so that all that has to be told apart is what
/// comes next.
#[derive(Clone, Debug)]
struct Walk<'a> {
    text: &'a str,
    at: usize,
    /// The containers that are still to come, where they are known.
    jumps: &'a [Jump],
}

impl<'a> Walk<'a> {
    /// Through a value of this kind; through nothing if it is of another.
    fn over(value: Value<'a>, kind: Kind) -> Self {
        let Value { text, jumps } = value;
        let text = if value.kind() == kind { text } else { "" };
        // The first is the container itself.
        Self { text, at: 1, jumps: jumps.get(1..).unwrap_or_default() }
    }

    /// Goes to the next name or element, if there is one.
    #[inline]
    fn start_item(&mut self) -> Option<()> {
        let text = self.text.as_bytes();
        let at = skip_space(text, self.at);
        self.at = match text.get(at)? {
            b'}' | b']' => return None,
            b',' => skip_space(text, at + 1),
            _ => at,
        };
        Some(())
    }

    /// The next name as it is spelt. Goes to its value.
    #[inline]
    fn next_name(&mut self) -> Option<&'a str> {
        self.start_item()?;
        let text = self.text.as_bytes();
        let end = leap::string_end(text, self.at)?;
        let name = self.text.get(self.at + 1..end - 1)?;
        let colon = skip_space(text, end);
        self.at = skip_space(text, colon + 1);
        Some(name)
    }

    /// The value that begins here.
    #[inline]
    fn next_value(&mut self) -> Option<Value<'a>> {
        let start = self.at;
        let is_container = matches!(self.text.as_bytes().get(start), Some(b'{' | b'['));
        let (end, jumps) = match self.jumps.first().filter(|_| is_container) {
            Some(jump) => {
                let (inside, rest) = self.jumps.split_at_checked(jump.nested() + 1)?;
                self.jumps = rest;
                (start + jump.bytes(), inside)
            }
            None => (leap::value_end(self.text.as_bytes(), start).ok()?, &[][..]),
        };
        self.at = end;
        Some(Value { text: self.text.get(start..end)?, jumps })
    }
}

/// The inside of a JSON string, escapes and all. A piece of a streamed string is one too, even where it ends
/// between the two halves of a surrogate pair.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Text<'a>(Cow<'a, str>);

impl<'a> Text<'a> {
    /// Plain text, escaped where it must be.
    pub fn plain(text: impl Into<Cow<'a, str>>) -> Self {
        let text = text.into();
        if text.bytes().any(must_be_escaped) {
            let mut spelt = String::with_capacity(text.len() + text.len() / 8 + 8);
            escape_into(&text, &mut spelt);
            return Self(Cow::Owned(spelt));
        }
        Self(text)
    }

    /// Text that is spelt for JSON already: the inside of a string that was checked, or was made by us.
    pub fn spelt_as(spelt: impl Into<Cow<'a, str>>) -> Self {
        Self(spelt.into())
    }

    /// As it is spelt, without the quotes.
    pub fn spelt(&self) -> &str {
        &self.0
    }

    /// The text with its escapes undone. Half a surrogate pair becomes a replacement character.
    pub fn to_plain(&self) -> Cow<'_, str> {
        if self.0.contains('\\') { Cow::Owned(leap::unescape_lossy(self.0.as_bytes())) } else { Cow::Borrowed(&self.0) }
    }

    /// The same for a text that is no longer needed.
    pub fn into_plain(self) -> Cow<'a, str> {
        if self.0.contains('\\') { Cow::Owned(leap::unescape_lossy(self.0.as_bytes())) } else { self.0 }
    }

    /// Whether it says this, however it is spelt.
    pub fn is(&self, plain: &str) -> bool {
        self.0 == plain || (self.0.contains('\\') && self.to_plain() == plain)
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is nothing in it but white space.
    pub fn is_blank(&self) -> bool {
        // Nearly every text shows by its first letter that there is something in it.
        let is_word = self.0.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric());
        !is_word && self.to_plain().chars().all(char::is_whitespace)
    }

    /// Another text after this one.
    #[must_use]
    pub fn followed_by(&self, other: &Text<'_>) -> Text<'static> {
        Text(Cow::Owned([&*self.0, &*other.0].concat()))
    }

    /// The same text without a borrow.
    pub fn into_owned(self) -> Text<'static> {
        Text(Cow::Owned(self.0.into_owned()))
    }

    /// The same text, borrowed from this one.
    pub fn by_ref(&self) -> Text<'_> {
        Text(Cow::Borrowed(&self.0))
    }
}

fn must_be_escaped(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

fn escape_into(plain: &str, spelt: &mut String) {
    let mut copied = 0;
    for (at, byte) in plain.bytes().enumerate().filter(|(_, byte)| must_be_escaped(*byte)) {
        spelt.push_str(plain.get(copied..at).unwrap_or_default());
        copied = at + 1;
        match byte {
            b'"' => spelt.push_str("\\\""),
            b'\\' => spelt.push_str("\\\\"),
            b'\n' => spelt.push_str("\\n"),
            b'\r' => spelt.push_str("\\r"),
            b'\t' => spelt.push_str("\\t"),
            0x8 => spelt.push_str("\\b"),
            0xc => spelt.push_str("\\f"),
            _ => {
                // Writing to a string cannot fail.
                let _ = write!(spelt, "\\u{byte:04x}");
            }
        }
    }
    spelt.push_str(plain.get(copied..).unwrap_or_default());
}

/// Writes JSON from the front to the back. Commas are its business; brackets close with the function that
/// fills them.
#[derive(Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
    /// A value or a name stands before, so that the next one needs a comma.
    needs_comma: bool,
}

impl Writer {
    /// A writer with room for so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { out: Vec::with_capacity(bytes), needs_comma: false }
    }

    /// A writer that goes on after these bytes.
    pub fn onto(out: Vec<u8>) -> Self {
        Self { out, needs_comma: false }
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// An object with the members that `fill` writes.
    pub fn object(&mut self, fill: impl FnOnce(&mut Self)) {
        self.enclosed(b'{', b'}', fill);
    }

    /// An array with the elements that `fill` writes.
    pub fn array(&mut self, fill: impl FnOnce(&mut Self)) {
        self.enclosed(b'[', b']', fill);
    }

    fn enclosed(&mut self, open: u8, close: u8, fill: impl FnOnce(&mut Self)) {
        self.comma();
        self.out.push(open);
        self.needs_comma = false;
        fill(self);
        self.out.push(close);
        self.needs_comma = true;
    }

    /// The name of a member, which needs no escapes. Its value comes next.
    pub fn name(&mut self, name: &str) -> &mut Self {
        self.comma();
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.needs_comma = false;
        self
    }

    /// A string.
    pub fn text(&mut self, text: &Text<'_>) {
        self.comma();
        self.out.push(b'"');
        self.out.extend_from_slice(text.spelt().as_bytes());
        self.out.push(b'"');
        self.needs_comma = true;
    }

    /// A string of plain text.
    pub fn plain(&mut self, text: &str) {
        self.text(&Text::plain(text));
    }

    /// A value as it is spelt.
    pub fn value(&mut self, value: Value<'_>) {
        self.raw(value.spelt());
    }

    /// A whole number.
    pub fn number(&mut self, number: u64) {
        self.comma();
        let mut digits = [0; DIGITS_MAX];
        let mut rest = number;
        let mut used = 0;
        for place in digits.iter_mut().rev() {
            // The remainder is one digit.
            *place = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
            used += 1;
            if rest == 0 {
                break;
            }
        }
        self.out.extend_from_slice(digits.get(DIGITS_MAX - used..).unwrap_or_default());
        self.needs_comma = true;
    }

    /// `true` or `false`.
    pub fn bool(&mut self, value: bool) {
        self.raw(if value { "true" } else { "false" });
    }

    /// `null`.
    pub fn null(&mut self) {
        self.raw("null");
    }

    /// JSON that was made elsewhere, whole.
    pub fn raw(&mut self, json: &str) {
        self.comma();
        self.out.extend_from_slice(json.as_bytes());
        self.needs_comma = true;
    }

    fn comma(&mut self) {
        if self.needs_comma {
            self.out.push(b',');
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::strict::tests::json;
    use super::*;

    /// All that can be seen of a value, with the names that lead there.
    fn seen(value: Value<'_>, path: &str, all: &mut Vec<(String, String)>) {
        all.push((path.to_owned(), value.spelt().to_owned()));
        for (name, value) in value.members() {
            seen(value, &format!("{path}.{name}"), all);
        }
        for (at, element) in value.elements().enumerate() {
            seen(element, &format!("{path}[{at}]"), all);
        }
    }

    /// Every container of a document knows how far it and those inside of it reach.
    fn knows_all(value: Value<'_>) -> bool {
        let inside = || value.members().map(|(_, value)| value).chain(value.elements());
        let is_container = matches!(value.kind(), Kind::Array | Kind::Object);
        let knows = match value.jumps {
            [own, inside @ ..] => is_container && own.bytes() == value.spelt().len() && own.nested() == inside.len(),
            [] => !is_container,
        };
        knows && inside().all(knows_all)
    }

    proptest! {
        #[test]
        fn a_walk_by_jumps_is_a_walk_by_leaps(text in json(), space in "[ \n]{0,2}") {
            let text = format!("{space}{text}{space}");
            let document = Document::parse(text.as_bytes()).unwrap();
            let (mut jumped, mut leapt) = (Vec::new(), Vec::new());
            seen(document.root(), "", &mut jumped);
            seen(Value::parse(text.as_bytes()).unwrap(), "", &mut leapt);
            prop_assert_eq!(jumped, leapt);
            prop_assert!(knows_all(document.root()));
        }
    }

    #[test]
    fn more_containers_than_are_noted_are_leapt_over() {
        for count in [(1 << 16) - 1, 1 << 16] {
            let text = format!("[{}0]", "[1],".repeat(count));
            let document = Document::parse(text.as_bytes()).unwrap();
            assert_eq!(document.root().jumps.len(), if count < 1 << 16 { count + 1 } else { 0 });
            assert_eq!(document.root().elements().count(), count + 1);
            assert!(document.root().elements().take(count).all(|element| element.spelt() == "[1]"));
        }
    }

    #[test]
    fn values_are_seen_as_they_are() {
        let text = br#" {"a":1,"b":[true,null,"x\n"],"\u0063":{"d":-1.5},"a":2} "#;
        let value = Value::parse(text).unwrap();
        assert_eq!(value.kind(), Kind::Object);
        let names: Vec<_> = value.members().map(|(name, _)| name.into_owned()).collect();
        assert_eq!(names, ["a", "b", "c", "a"]);
        assert_eq!(value.get("a").unwrap().as_u64(), Some(2));
        assert_eq!(value.get("c").unwrap().get("d").unwrap().as_f64(), Some(-1.5));
        let elements: Vec<_> = value.get("b").unwrap().elements().collect();
        assert_eq!(elements[0].as_bool(), Some(true));
        assert!(elements[1].is_null());
        assert_eq!(elements[2].as_text().unwrap().to_plain(), "x\n");
        assert_eq!(elements[2].as_text().unwrap().spelt(), r"x\n");
        assert!(Value::parse(b"{").is_err() && Value::parse(b"{} x").is_err() && Value::parse(b"\"\\x\"").is_err());
    }

    #[test]
    fn text_is_escaped_where_it_must_be() {
        for plain in ["", "a", "\"q\" \\ \n\r\t\u{1}", "ä😀"] {
            let text = Text::plain(plain);
            assert_eq!(text.to_plain(), plain);
            let quoted = format!("\"{}\"", text.spelt());
            assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), plain);
            assert!(text.is(plain));
        }
        assert!(Text::plain(" \n").is_blank() && !Text::plain(" x").is_blank());
    }

    #[test]
    fn what_is_written_is_json() {
        let mut writer = Writer::default();
        writer.object(|w| {
            w.name("a").number(1);
            w.name("n").array(|w| [0, 10, 909, u64::MAX].into_iter().for_each(|number| w.number(number)));
            w.name("b").array(|w| {
                w.plain("x\"y");
                w.object(|_| {});
                w.bool(true);
                w.null();
            });
            w.name("c").value(Value::parse(b"[1, 2]").unwrap());
        });
        let text = String::from_utf8(writer.into_bytes()).unwrap();
        assert_eq!(text, r#"{"a":1,"n":[0,10,909,18446744073709551615],"b":["x\"y",{},true,null],"c":[1, 2]}"#);
    }
}
