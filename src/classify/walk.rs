//! From value to value of JSON that somebody else has checked, without a tree.
//!
//! Must not fail: what is broken ends the walk, and the features are those that were seen until then.

use memchr::memchr;

/// Deepest nesting that is followed.
const DEPTH_MAX: usize = 128;

/// Calls `each` with the name (as spelt, without quotes) and the value of every member of an object.
pub(super) fn members<'a>(object: &'a [u8], mut each: impl FnMut(&'a [u8], &'a [u8])) {
    let Some(mut at) = opened(object, b'{') else { return };
    while let Some(name_end) = string_end(object, at) {
        let name = object.get(at + 1..name_end - 1).unwrap_or_default();
        let start = skip_space(object, skip_space(object, name_end) + 1);
        let Some(end) = value_end(object, start) else { return };
        each(name, object.get(start..end).unwrap_or_default());
        at = skip_space(object, skip_space(object, end) + 1);
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
    let Some(mut at) = opened(array, b'[') else { return };
    while let Some(end) = value_end(array, at) {
        if !each(array.get(at..end).unwrap_or_default()) {
            return;
        }
        let after = skip_space(array, end);
        if array.get(after) != Some(&b',') {
            return;
        }
        at = skip_space(array, after + 1);
    }
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

fn skip_space(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = text.get(at) {
        at += 1;
    }
    at
}

fn value_end(text: &[u8], at: usize) -> Option<usize> {
    match text.get(at)? {
        b'"' => string_end(text, at),
        b'{' | b'[' => container_end(text, at),
        b']' | b'}' | b',' | b':' => None,
        _ => {
            let length = text.get(at..)?.iter().take_while(|b| !matches!(b, b',' | b'}' | b']' | b' ' | b'\n' | b'\r'));
            Some(at + length.count())
        }
    }
}

fn container_end(text: &[u8], open: usize) -> Option<usize> {
    let mut depth = 0;
    let mut at = open;
    loop {
        match text.get(at)? {
            b'"' => {
                at = string_end(text, at)?;
                continue;
            }
            b'{' | b'[' if depth == DEPTH_MAX => return None,
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 1 => return Some(at + 1),
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
}

/// The index after the closing quote. Escaped quotes are found by looking back from each quote: prompts hold far more
/// backslashes than quotes.
fn string_end(text: &[u8], open: usize) -> Option<usize> {
    if text.get(open) != Some(&b'"') {
        return None;
    }
    let mut from = open + 1;
    loop {
        let quote = from + memchr(b'"', text.get(from..)?)?;
        let backslashes = text.get(from..quote)?.iter().rev().take_while(|byte| **byte == b'\\').count();
        if backslashes % 2 == 0 {
            return Some(quote + 1);
        }
        from = quote + 1;
    }
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
    }

    #[test]
    fn broken_text_ends_the_walk() {
        let whole = br#"[{"role":"user","content":[{"type":"text","text":"a\\\"b\u00e9\ud83d\ude00"}]}]"#;
        for cut in 0..whole.len() {
            let part = &whole[..cut];
            elements(part, |value| members(value, |_, _| {}));
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
