//! What the recogniser sees, that it is bounded, and that its file is checked.

use proptest::prelude::*;

use super::clues::{BUCKETS, Part, Sink, read};
use super::weights::{Fitted, KINDS_MAX, Weights, WeightsError};
use super::*;
use crate::classify::kinds::shape::SHAPES;

#[derive(Default)]
struct Seen(Vec<usize>);

impl Sink for Seen {
    fn word(&mut self, _: Part, bucket: usize) {
        self.0.push(bucket);
    }
}

fn words(text: &str) -> Vec<usize> {
    let mut seen = Seen::default();
    read(text, Part::User, &mut seen);
    seen.0
}

fn tally(text: &str) -> Tally {
    read(text, Part::User, &mut Seen::default())
}

#[test]
fn case_and_blanks_do_not_matter() {
    assert_eq!(words("Write  a FUNCTION"), words(" write a function "));
    assert_eq!(words("Ärger über Öl"), words("ärger ÜBER öl"));
    assert_eq!(words("one\n\n\ntwo"), words("one \n two"));
    assert_eq!(words("12 and 99"), words("57 and 31"));
    assert_eq!(words("!!!!"), words("!!!!!!"));
    assert_ne!(words("write a function"), words("a function write"));
    assert_ne!(words("1"), words("1000"));
}

#[test]
fn options_numbers_and_other_scripts_are_counted() {
    assert_eq!(tally("Which?\nA. one\nB. two\nC. three\nD. four").options, 4);
    assert_eq!(tally("(a) x (b) y").options, 2);
    assert_eq!(tally("A. x\nC. y").options, 1);
    assert_eq!(tally("a cat, e.g. b").options, 0);
    assert_eq!(tally("3 apples and 4.5 pears").numbers, 2);
    assert_eq!(tally("翻訳して").foreign, 4);
    assert_eq!((tally("").tokens, tally("\n").tokens), (0, 1));
}

#[test]
fn long_texts_are_looked_at_head_and_tail() {
    let text = format!("{}{}{}", "é".repeat(700), "x".repeat(1 << 20), "é".repeat(700));
    let excerpt = Excerpt::new(&text, &text, &text);
    assert_eq!((excerpt.head.len(), excerpt.tail.len()), (HEAD_BYTES, TAIL_BYTES));
    assert!(excerpt.system.len() <= CONTEXT_BYTES && excerpt.before.len() <= CONTEXT_BYTES);
    let short = Excerpt::new("short", "", "");
    assert_eq!((short.head, short.tail), ("short", ""));
}

fn weights() -> Weights {
    let mut fitted = Fitted {
        kinds: vec!["code".to_owned(), "chat".to_owned()],
        words: vec![[0.0; KINDS_MAX]; BUCKETS],
        shapes: vec![[0.0; KINDS_MAX]; SHAPES],
        bias: [0.0; KINDS_MAX],
    };
    for bucket in words("rust") {
        fitted.words[bucket][0] = 3.0;
    }
    Weights::of(&fitted, serde_json::json!({"made": "by hand"}))
}

#[test]
fn weights_decide() {
    let (weights, features) = (weights(), Features::default());
    let top = |text: &str| recognise(&weights, &Excerpt::new(text, "", ""), &features).mix.top();
    assert!(top("rust").0 == 0 && top("rust").1 > 0.9);
    assert!((top("hello").1 - 0.5).abs() < 1e-6);
    assert!(recognise(&weights, &Excerpt::default(), &features).gains.iter().all(|gain| gain.to_bits() == 0));
}

#[test]
fn a_file_that_was_changed_is_refused() {
    let text = weights().to_text();
    assert!(Weights::parse(&text).is_ok());
    let changed = text.replacen("\"chat\"", "\"chit\"", 1);
    assert!(matches!(Weights::parse(&changed), Err(WeightsError::Damaged)));
    let old = text.replacen("\"version\": 1", "\"version\": 7", 1);
    assert!(matches!(Weights::parse(&old), Err(WeightsError::Version(7))));
    assert!(matches!(Weights::parse("{}"), Err(WeightsError::Malformed(_))));
    let told = text.replacen("by hand", "by a machine", 1);
    assert!(Weights::parse(&told).is_ok(), "the report decides nothing");
}

proptest! {
    #[test]
    fn any_text_gives_clues_within_bounds(text in "\\PC{0,400}|[a-zA-Z0-9 \n.,()?$\\\\{}]{0,400}") {
        let seen = words(&text);
        prop_assert!(seen.iter().all(|bucket| *bucket < BUCKETS));
        prop_assert!(seen.len() <= 2 * text.len());
        let excerpt = Excerpt::new(&text, &text, &text);
        let shares = recognise(&weights(), &excerpt, &Features::default()).mix.all();
        let sum: f32 = shares.iter().sum();
        prop_assert!((sum - 1.0).abs() < 1e-4);
    }
}
