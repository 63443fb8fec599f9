//! Answers that are undone: the same whatever the pieces.

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// Events in words, pieces of one kind joined.
#[derive(Default)]
struct Told(Vec<String>);

impl Sink for Told {
    fn take(&mut self, event: Event<'_>) {
        let (what, piece) = match event {
            Event::Text(text) => ("text ".to_owned(), text.to_plain().into_owned()),
            Event::CallStart { index, name, kind, .. } => {
                (format!("call {index} {} {kind:?}", name.spelt()), String::new())
            }
            Event::CallArguments { index, piece } => (format!("args {index} "), piece.spelt().to_owned()),
            Event::PartEnd => ("end".to_owned(), String::new()),
            Event::Finish { reason, .. } => (format!("finish {reason:?}"), String::new()),
            Event::Thought(text) => ("thought ".to_owned(), text.to_plain().into_owned()),
            Event::Start { .. }
            | Event::Refusal(_)
            | Event::Sealed(_)
            | Event::Citation(_)
            | Event::Image { .. }
            | Event::Logprobs(_)
            | Event::Usage { .. }
            | Event::Fault(_) => ("other".to_owned(), String::new()),
        };
        match self.0.last_mut() {
            Some(last) if !piece.is_empty() && last.starts_with(&what) => last.push_str(&piece),
            _ => self.0.push(what + &piece),
        }
    }
}

fn emulated(schema_tool: Option<&str>, custom: &[&str]) -> Emulated {
    let custom_tools = custom.iter().map(|name| Box::from(*name)).collect();
    Emulated { schema_tool: schema_tool.map(Box::from), custom_tools }
}

enum Say {
    Text(&'static str),
    Thought(&'static str),
    Call(usize, &'static str),
    Args(usize, &'static str),
    End,
    Finish(Finish),
}

fn told(emulated: Emulated, said: &[Say]) -> Vec<String> {
    let mut undoing = Undoing::new(emulated);
    let mut told = Told::default();
    for say in said {
        let event = match say {
            Say::Text(text) => Event::Text(Text::plain(*text)),
            Say::Thought(text) => Event::Thought(Text::plain(*text)),
            Say::Call(index, name) => Event::CallStart {
                index: *index,
                id: Text::plain("id"),
                name: Text::plain(*name),
                kind: CallKind::Function,
            },
            Say::Args(index, piece) => Event::CallArguments { index: *index, piece: Text::plain(*piece) },
            Say::End => Event::PartEnd,
            Say::Finish(reason) => Event::Finish { reason: *reason, stop: None },
        };
        undoing.on(&mut told).take(event);
    }
    told.0
}

#[test]
fn a_tool_that_forces_json_is_the_answer() {
    use Say::{Args, Call, End, Finish as Finished, Text as Words, Thought};
    let json = || emulated(Some("json"), &[]);
    let calls = || Finished(Finish::Calls);
    for (said, expected) in [
        (
            vec![Call(0, "json"), Args(0, "{\"a\""), Args(0, ":1}"), End, calls()],
            vec!["text {\"a\":1}", "end", "finish Done"],
        ),
        (vec![Words("Sure: "), End, Call(0, "json"), Args(0, "{}"), calls()], vec!["text {}", "end", "finish Done"]),
        (vec![Words("Sure"), Call(0, "json"), calls()], vec!["text {}", "end", "finish Done"]),
        (
            vec![Call(0, "json"), Args(0, "1"), End, Call(1, "json"), Args(1, "2"), End, calls()],
            vec!["text 1", "end", "finish Done"],
        ),
        (
            vec![Call(0, "json"), Args(0, "1"), End, Call(1, "f"), Args(1, "2"), End, calls()],
            vec!["text 1", "end", "call 0 f Function", "args 0 2", "end", "finish Calls"],
        ),
        (vec![Words("I will "), Words("not"), End, Finished(Finish::Done)], vec!["text I will not", "finish Done"]),
        (
            vec![Thought("hm"), End, Words("a"), Finished(Finish::Length)],
            vec!["thought hm", "end", "text a", "finish Length"],
        ),
        (vec![Call(0, "json"), Args(0, "{"), Finished(Finish::Length)], vec!["text {", "end", "finish Length"]),
    ] {
        assert_eq!(told(json(), &said), expected);
    }
    let nothing = emulated(None, &[]);
    assert!(nothing.is_nothing() && !json().is_nothing());
    assert_eq!(told(nothing, &[Words("a"), End, calls()]), ["text a", "end", "finish Calls"]);
}

#[test]
fn too_much_to_hold_goes_on() {
    let mut undoing = Undoing::new(emulated(Some("json"), &[]));
    let mut told = Told::default();
    let long = "x".repeat(HELD_BYTES_MAX / 2 + 1);
    for _ in 0..3 {
        undoing.on(&mut told).take(Event::Text(Text::plain(long.as_str())));
    }
    assert_eq!(told.0[0].len(), "text ".len() + 3 * long.len());
}

/// The text that comes out of arguments in these pieces.
fn freed(pieces: &[&str]) -> String {
    let mut free = FreeText::default();
    pieces.iter().map(|piece| free.feed(&Text::plain(*piece))).collect()
}

#[test]
fn free_text_comes_out_of_its_object() {
    for (arguments, spelt) in [
        (r#"{"input":"a \"b\" \\ \n é ü"}"#, r#"a \"b\" \\ \n é ü"#),
        ("{\n  \"input\" : \"a\"\n}", "a"),
        (r#"{"other":{"input":"no","x":["}"]},"input":"yes","more":1}"#, "yes"),
        (r#"{"inp\u0075t":"x","other":"y"}"#, ""),
        (r#"{"input":{"a":"\"x\""}}"#, r#"{\"a\":\"\\\"x\\\"\"}"#),
        (r#"{"input":12}"#, "12"),
        (r#"{"input":"\q"}"#, r"\\q"),
        (r#"{"input":"\ud83d\ude00"}"#, r"\ud83d\ude00"),
        ("plain words", "plain words"),
        ("\"quoted\"", r#"\"quoted\""#),
        ("{}", ""),
        ("", ""),
    ] {
        assert_eq!(freed(&[arguments]), spelt, "{arguments}");
        let boundaries: Vec<usize> = arguments.char_indices().map(|(at, _)| at).collect();
        for cut in boundaries {
            let (first, second) = arguments.split_at(cut);
            assert_eq!(freed(&[first, second]), spelt, "{first} | {second}");
        }
    }
    let said = [Say::Call(0, "shout"), Say::Args(0, "{\"input\":\"a"), Say::Args(0, "b\"}"), Say::End];
    assert_eq!(told(emulated(None, &["shout"]), &said), ["call 0 shout Custom", "args 0 ab", "end"]);
}

proptest! {
    #[test]
    fn any_text_in_any_pieces_comes_out_whole(text in "\\PC*|[\u{0}-\u{1f}\"\\\\a😀]*", size in 1usize..7) {
        let arguments = json!({"input": text}).to_string();
        let chars: Vec<char> = arguments.chars().collect();
        let pieces: Vec<String> = chars.chunks(size).map(|piece| piece.iter().collect()).collect();
        let spelt = freed(&pieces.iter().map(String::as_str).collect::<Vec<_>>());
        let quoted: String = serde_json::from_str(&format!("\"{spelt}\"")).unwrap();
        prop_assert_eq!(quoted, text);
    }

    #[test]
    fn any_pieces_spell_valid_text(pieces in prop::collection::vec("[{}\":\\\\ a-z,input\\[\\]é\n]{0,8}", 0..6)) {
        let mut free = FreeText::default();
        let whole: String = pieces.iter().map(|piece| free.feed(&Text::plain(piece.as_str()))).collect();
        let quoted = format!("\"{whole}\"");
        prop_assert!(serde_json::from_str::<String>(&quoted).is_ok(), "{}", quoted);
    }
}
