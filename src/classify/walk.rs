//! From value to value of JSON that somebody else has checked, without a tree.
//!
//! Must not fail: what is broken ends the walk, and the features are those that were seen until then.

use memchr::memchr;

use crate::wire::leap::{self, skip_space};

/// Calls `each` with the name (as spelt, without quotes) and the value of every member of an object, and gives the bytes
/// that the object takes; text may follow it. `None` where it is broken, or no object.
pub(super) fn members<'a>(object: &'a [u8], mut each: impl FnMut(&'a [u8], &'a [u8])) -> Option<usize> {
    let mut at = opened(object, b'{')?;
    if object.get(at) == Some(&b'}') {
        return Some(at + 1);
    }
    loop {
        let name_end = string_end(object, at)?;
        let name = object.get(at + 1..name_end - 1).unwrap_or_default();
        let start = skip_space(object, skip_space(object, name_end) + 1);
        let end = value_end(object, start)?;
        each(name, object.get(start..end).unwrap_or_default());
        let after = skip_space(object, end);
        match object.get(after)? {
            b',' => at = skip_space(object, after + 1),
            b'}' => return Some(after + 1),
            _ => return None,
        }
    }
}

/// Calls `each` with every element of an array.
pub(super) fn elements<'a>(array: &'a [u8], mut each: impl FnMut(&'a [u8])) {
    elements_while(array, |element| {
        each(element);
        true
    });
}

/// Calls `each` with one element of an array after the other, as long as it says so.
pub(super) fn elements_while<'a>(array: &'a [u8], mut each: impl FnMut(&'a [u8]) -> bool) {
    walked(array, |rest| {
        let end = value_end(rest, 0)?;
        each(rest.get(..end).unwrap_or_default()).then_some(end)
    });
}

/// Calls `each` with what is left of an array from each element on; it walks the element and gives the bytes that this
/// takes, so that nothing is walked twice. `None` ends the walk.
pub(super) fn walked<'a>(array: &'a [u8], mut each: impl FnMut(&'a [u8]) -> Option<usize>) {
    let Some(mut at) = opened(array, b'[') else { return };
    while let Some(used) = array.get(at..).and_then(&mut each) {
        let after = skip_space(array, at + used);
        if array.get(after) != Some(&b',') {
            return;
        }
        at = skip_space(array, after + 1);
    }
}

/// The bytes of the value that a text begins with.
pub(super) fn length(text: &[u8]) -> Option<usize> {
    value_end(text, 0)
}

/// The inside of a string, escapes and all; `None` for other values.
pub(super) fn string(value: &[u8]) -> Option<&[u8]> {
    value.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// The value of one member of an object.
pub(super) fn member<'a>(object: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    let mut found = None;
    members(object, |name, value| {
        if name == wanted {
            found = Some(value);
        }
    });
    found
}

/// Appends the text of a string's inside. An escape that is cut or broken is left out.
pub(super) fn unescape(spelt: &[u8], text: &mut Vec<u8>) {
    let mut rest = spelt;
    while let Some(backslash) = memchr(b'\\', rest) {
        text.extend_from_slice(rest.get(..backslash).unwrap_or_default());
        let (plain, used) = escape(rest.get(backslash + 1..).unwrap_or_default());
        match plain {
            Some(sign) if sign.is_ascii() => text.extend(u8::try_from(sign)),
            Some(sign) => text.extend_from_slice(sign.encode_utf8(&mut [0; 4]).as_bytes()),
            None => {}
        }
        rest = rest.get(backslash + 1 + used..).unwrap_or_default();
    }
    text.extend_from_slice(rest);
}

/// What follows a backslash, and how many bytes it takes.
fn escape(after: &[u8]) -> (Option<char>, usize) {
    let Some(first) = after.first() else { return (None, 0) };
    let plain = match first {
        b'n' => '\n',
        b't' => '\t',
        b'r' | b'b' | b'f' => ' ',
        b'u' => return unicode(after),
        other => char::from(*other),
    };
    (Some(plain), 1)
}

fn unicode(after: &[u8]) -> (Option<char>, usize) {
    let unit = |at: usize| {
        let digits = std::str::from_utf8(after.get(at..at + 4)?).ok()?;
        u32::from_str_radix(digits, 16).ok()
    };
    let Some(high) = unit(1) else { return (None, 1) };
    let is_pair = (0xd800..0xdc00).contains(&high) && after.get(5..7) == Some(br"\u");
    match unit(7).filter(|low| is_pair && (0xdc00..0xe000).contains(low)) {
        Some(low) => (char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00)), 11),
        None => (char::from_u32(high), 5),
    }
}

fn opened(text: &[u8], bracket: u8) -> Option<usize> {
    let open = skip_space(text, 0);
    (text.get(open) == Some(&bracket)).then(|| skip_space(text, open + 1))
}

fn value_end(text: &[u8], at: usize) -> Option<usize> {
    leap::value_end(text, at).ok()
}

fn string_end(text: &[u8], open: usize) -> Option<usize> {
    if text.get(open) == Some(&b'"') { leap::string_end(text, open) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_and_elements_are_found() {
        let mut seen = Vec::new();
        members(br#" { "a" : "x\"}" , "b":[1,{"a":2}],"c": -1.5 , "d":null}"#, |name, value| {
            seen.push(format!("{}={}", String::from_utf8_lossy(name), String::from_utf8_lossy(value)));
        });
        assert_eq!(seen, [r#"a="x\"}""#, r#"b=[1,{"a":2}]"#, "c=-1.5", "d=null"]);
        let mut count = 0;
        elements(br#"[ 1 , "a,b" , [] , {"x":[","]} ]"#, |_| count += 1);
        assert_eq!(count, 4);
        let mut names = Vec::new();
        walked(br#"[{"a":[{"x":"]}"}]} ,{} , {"b":1}, 7, {"c":2}]"#, |rest| {
            members(rest, |name, _| names.push(name.to_vec())).or_else(|| length(rest))
        });
        assert_eq!(names, [b"a", b"b", b"c"]);
    }

    #[test]
    fn broken_text_ends_the_walk() {
        let whole = br#"[{"role":"user","content":[{"type":"text","text":"a\\\"b\u00e9\ud83d\ude00"}]}]"#;
        for cut in 0..whole.len() {
            let part = &whole[..cut];
            walked(part, |value| members(value, |_, _| {}));
            members(part, |_, _| {});
            unescape(part, &mut Vec::new());
        }
        elements("[".repeat(100_000).as_bytes(), |_| {});
        elements(b"[,,]", |_| {});
        members(br#"{"a"}"#, |_, _| {});
    }

    #[test]
    fn escapes_are_undone() {
        let mut text = Vec::new();
        unescape(br#"a\n\"b\" \u00e9 \ud83d\ude00 \\frac \ud83d x"#, &mut text);
        assert_eq!(String::from_utf8(text).unwrap(), "a\n\"b\" é 😀 \\frac  x");
    }
}
