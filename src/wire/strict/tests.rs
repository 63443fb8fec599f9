//! The grammar to the letter, and one mind with another reader.

use proptest::prelude::*;
use serde::de::IgnoredAny;

use super::*;

/// What another reader says, which takes UTF-8 for granted.
fn is_json(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

fn check(bytes: &[u8]) -> Result<(), Malformed> {
    with_jumps(bytes).map(|(jumped, _)| assert_eq!(text(bytes), Ok(jumped)))
}

fn members(text: &str) -> Result<Vec<(&str, &str)>, Malformed> {
    let mut found = Vec::new();
    object(text.as_bytes(), |name, value| {
        found.push((std::str::from_utf8(name).unwrap(), std::str::from_utf8(value).unwrap()));
    })?;
    Ok(found)
}

#[test]
fn the_grammar_is_kept_to_the_letter() {
    let long = format!("\"{}\"", "0123456789".repeat(20));
    let broken_late = format!("\"{}\n\"", "0123456789".repeat(20));
    for (text, is_valid) in [
        ("", false),
        (" ", false),
        ("null", true),
        (" true\r\n\t", true),
        ("nul", false),
        ("nulll", false),
        ("0", true),
        ("-0.0e-0", true),
        ("01", false),
        ("-", false),
        ("+1", false),
        ("1.", false),
        (".5", false),
        ("1e", false),
        ("1e+", false),
        ("12E+34", true),
        ("\"\"", true),
        (&long, true),
        (&broken_late, false),
        ("\"a", false),
        ("\"\\\"", false),
        (r#""\u00e9\n\/\ud83d""#, true),
        (r#""\u00g0""#, false),
        (r#""\x""#, false),
        ("\"\t\"", false),
        ("\"\u{7f}é😀\"", true),
        ("[]", true),
        ("[1,]", false),
        ("[,1]", false),
        ("[1 2]", false),
        ("[1}", false),
        ("[1", false),
        ("{}", true),
        ("{]", false),
        ("{\"a\"}", false),
        ("{\"a\":}", false),
        ("{\"a\":1,}", false),
        ("{a:1}", false),
        ("{\"a\":1]", false),
        (r#"{"a":[{"b":[]},{}],"c":{"d":null}}"#, true),
        ("{} {}", false),
        ("[\u{a0}]", false),
        ("'a'", false),
    ] {
        assert_eq!(check(text.as_bytes()).is_ok(), is_valid, "{text}");
        assert_eq!(is_json(text.as_bytes()), is_valid, "{text}");
        assert_eq!(object(text.as_bytes(), |_, _| {}).is_ok(), is_valid && text.trim().starts_with('{'), "{text}");
    }
    for text in [&b"\"\xff\""[..], b"\"\xe2\x82\"", b"\"0123456789012345678901234567890123456789\xed\xa0\x80\""] {
        assert!(check(text).is_err(), "{text:?}");
    }
}

#[test]
fn long_strings_are_looked_at_to_their_end() {
    for (inside, is_valid) in [
        (r"\\", true),
        (r#"\""#, true),
        (r#"\\\""#, true),
        (r"\u00e9", true),
        (r"\u00e", false),
        (r"\u00eg", false),
        (r"\", false),
        (r"\\\", false),
        (r"\x", false),
        ("\\\u{e9}", false),
        ("\u{1f}", false),
        ("\u{e9}", true),
    ] {
        for before in 0..80 {
            let text = format!("[\"{}{inside}\", 1]", "x".repeat(before));
            assert_eq!(check(text.as_bytes()).is_ok(), is_valid, "{text}");
            assert_eq!(is_json(text.as_bytes()), is_valid, "{text}");
        }
    }
}

#[test]
fn nesting_has_a_bound() {
    let deep = |n: usize| "[".repeat(n) + &"]".repeat(n);
    assert_eq!(check(deep(128).as_bytes()), Ok(()));
    assert_eq!(check(deep(129).as_bytes()), Err(Malformed::TooDeep));
}

#[test]
fn members_are_those_of_the_top() {
    assert_eq!(
        members(" { \"a\" : 1 , \"b\\n\":{\"c\":[2]},\"\":\"\\\"}\"} \n"),
        Ok(vec![("a", "1"), ("b\\n", "{\"c\":[2]}"), ("", "\"\\\"}\"")])
    );
    assert_eq!(members("{}"), Ok(vec![]));
    assert_eq!(members("{\"a\":1"), Err(Malformed::Truncated));
    assert_eq!(members("{\"a\":1}x"), Err(Malformed::At(7)));
    assert_eq!(members("[]"), Err(Malformed::At(0)));
}

/// JSON of all kinds, written with and without white space.
pub(in crate::wire) fn json() -> impl Strategy<Value = String> {
    let text = "([ -~]|é|😀|\\PC|\u{7f}){0,70}".prop_map(|text| serde_json::Value::from(text).to_string());
    let spelt =
        r#"([a-z]|\\n|\\"|\\\\|\\u00[0-9a-fA-F]{2}|\\ud8[0-9]{2}){0,12}"#.prop_map(|text| format!("\"{text}\""));
    let number = "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?";
    let leaf =
        prop_oneof![text, spelt, number, Just("true".to_owned()), Just("false".to_owned()), Just("null".to_owned())];
    leaf.prop_recursive(5, 40, 5, |inner| {
        let array = (prop::collection::vec(inner.clone(), 0..5), "[ \n\t]{0,2}")
            .prop_map(|(items, space)| format!("[{space}{}{space}]", items.join(&format!(",{space}"))));
        let object =
            (prop::collection::vec(("[a-z]{0,20}", inner), 0..5), "[ \r]{0,2}").prop_map(|(members, space)| {
                let members: Vec<_> =
                    members.iter().map(|(name, value)| format!("\"{name}\"{space}:{space}{value}")).collect();
                format!("{{{space}{}{space}}}", members.join(","))
            });
        prop_oneof![array, object]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_json_passes(text in json()) {
        prop_assert_eq!(check(text.as_bytes()), Ok(()), "{}", text);
    }

    /// One byte changed, taken out or put in: both readers must still be of one mind.
    #[test]
    fn readers_agree_on_spoilt_json(text in json(), at: prop::sample::Index, byte in prop_oneof![
        any::<u8>(), prop::sample::select(&b"\"\\{}[]:,0-.eEu \n\x1f\x80\xff"[..])
    ], kind in 0..3) {
        let mut spoilt = text.into_bytes();
        let at = at.index(spoilt.len());
        match kind {
            0 => spoilt[at] = byte,
            1 => drop(spoilt.remove(at)),
            _ => spoilt.insert(at, byte),
        }
        prop_assert_eq!(check(&spoilt).is_ok(), is_json(&spoilt), "{}", String::from_utf8_lossy(&spoilt));
    }

    #[test]
    fn readers_agree_on_any_bytes(text in prop::collection::vec(prop::sample::select(&b"\"\\{}[]:,01-.eEu ntrf\n\xc3\xa9"[..]), 0..12)) {
        prop_assert_eq!(check(&text).is_ok(), is_json(&text), "{}", String::from_utf8_lossy(&text));
    }

    /// Members stand where another reader finds them.
    #[test]
    fn members_are_found(values in prop::collection::vec(json(), 0..6)) {
        let text: Vec<_> = values.iter().enumerate().map(|(n, value)| format!("\"{n}\": {value}")).collect();
        let text = format!("{{{}}}", text.join(" ,"));
        let expected: Vec<_> = values.iter().enumerate().map(|(n, value)| (n.to_string(), value.as_str())).collect();
        let found = members(&text).unwrap();
        prop_assert!(found.iter().map(|(name, value)| ((*name).to_owned(), *value)).eq(expected));
    }
}
