//! Why a request goes where it goes: what was seen of it, which rules held, which clues weighed, what each lane is worth.
//!
//! Must not decide: `classify` did. What it has thrown away is computed again, by a sink that remembers; no request that
//! is served pays for that. What comes out holds words of the request, so it is for whoever sent it, and for no log.

use std::collections::BTreeMap;

use super::choose::{Choice, Wish, open_lanes};
use super::features::{self, FeatureInput};
use super::kinds::clues::{self, Part, Sink};
use super::kinds::weights::{KINDS_MAX, Row, Weights};
use super::kinds::{Excerpt, root, shape};
use super::rules::{Held, Value, named};
use super::{Decision, Reason, Router, Terms, classify};
use crate::base::wish::WORD_LANES;

/// Most clues that are told.
pub const CLUES_MAX: usize = 12;
/// Longest text of a clue, in characters.
const TEXT_CHARS_MAX: usize = 48;

/// What decided, and by how much.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation<'r> {
    /// The lane's name.
    pub lane: &'r str,
    /// What decided.
    pub reason: Reason<'r>,
    /// The estimated gain of the dearer lane, from -1 to 1.
    pub score: f32,
    /// The wish for quality, 0 to 1.
    pub quality: f32,
    /// The rules that were asked and held, in the order in which they were asked.
    pub rules: Vec<Held<'r>>,
    /// Every feature by its name.
    pub features: Vec<(&'static str, Value)>,
    /// All kinds with their probabilities, likeliest first.
    pub kinds: Vec<(&'r str, f32)>,
    /// What weighed most between the two likeliest kinds, at most [`CLUES_MAX`], weightiest first.
    pub clues: Vec<Clue>,
    /// Fast, standard and reasoning.
    pub lanes: [LaneWorth; 3],
}

/// What speaks for the likeliest kind, or against it.
#[derive(Clone, Debug, PartialEq)]
pub struct Clue {
    /// What it is.
    pub sign: Sign,
    /// The words, or the name of what was counted and its step.
    pub text: String,
    /// What it adds to the likeliest kind's lead over the second: the logarithm of a ratio.
    pub weight: f32,
}

/// What a clue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sign {
    /// A word, a number or a mark of the user's last words.
    Word,
    /// Two neighbours there.
    Pair,
    /// A word of the system prompt, or of what the user said before.
    ContextWord,
    /// Two neighbours there.
    ContextPair,
    /// Something that was counted.
    Shape,
}

impl Sign {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Word => "word",
            Self::Pair => "pair",
            Self::ContextWord => "context_word",
            Self::ContextPair => "context_pair",
            Self::Shape => "shape",
        }
    }
}

/// What a lane is worth for a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LaneWorth {
    /// Its name.
    pub lane: &'static str,
    /// The quality that is expected of its answer, 0 to 1.
    pub expected: f32,
    /// Its price as a share of the dearest lane's.
    pub price: f32,
    /// The quality less the price as far as it is minded: of the lanes that are open, the one that has most is taken.
    pub worth: f32,
    /// Whether rules and safety leave it to be chosen.
    pub is_open: bool,
}

/// Decides as [`classify`] does, and says why.
pub fn explain<'r>(router: &'r Router, input: &FeatureInput<'_>, terms: &Terms) -> Explanation<'r> {
    let Decision { lane, reason, choice, mix, features } = classify(router, input, terms);
    let weights = &router.kinds.weights;
    let mut kinds: Vec<(usize, f32)> = mix.shares(weights.kinds().len()).iter().copied().enumerate().collect();
    kinds.sort_by(|a, b| b.1.total_cmp(&a.1));
    let (_, sample) = features::extract(input);
    let excerpt = sample.excerpt();
    let clues = match kinds.as_slice() {
        [(first, _), (second, _), ..] => weigh(weights, &excerpt, &features, (*first, *second)),
        [] | [_] => Vec::new(),
    };
    let name = |at: usize| weights.kinds().get(at).map_or("", String::as_str);
    let verdict = router.rules.judge(&features);
    let wish =
        Wish { quality: terms.quality, prices: terms.prices, at_least: verdict.at_least, at_most: verdict.at_most };
    let open = open_lanes(&router.kinds.table, mix.shares(weights.kinds().len()), &wish);
    Explanation {
        lane,
        reason,
        score: choice.gain(),
        quality: terms.quality,
        rules: router.rules.held(&features).collect(),
        features: named(&features).collect(),
        kinds: kinds.into_iter().map(|(at, share)| (name(at), share)).collect(),
        clues: weightiest(clues),
        lanes: std::array::from_fn(|lane| worth(lane, &choice, &wish, open.contains(&lane))),
    }
}

fn worth(lane: usize, choice: &Choice, wish: &Wish, is_open: bool) -> LaneWorth {
    let at = |values: &[f32; 3]| values.get(lane).copied().unwrap_or_default();
    LaneWorth {
        lane: WORD_LANES.get(lane).copied().unwrap_or_default(),
        expected: at(&choice.expected),
        price: at(&wish.prices),
        worth: wish.worth(&choice.expected, lane),
        is_open,
    }
}

/// The clues that weigh most, either way; equal ones by their names, so that the same request is told the same.
fn weightiest(mut clues: Vec<Clue>) -> Vec<Clue> {
    clues.retain(|clue| clue.weight.abs() > 0.0);
    clues.sort_by(|a, b| {
        b.weight.abs().total_cmp(&a.weight.abs()).then_with(|| (a.sign, &a.text).cmp(&(b.sign, &b.text)))
    });
    clues.truncate(CLUES_MAX);
    clues
}

/// All clues with what they add to the first kind's lead over the second. Together with the difference of the kinds' bias
/// they make the logarithm of the ratio of the two probabilities.
fn weigh(
    weights: &Weights,
    excerpt: &Excerpt<'_>,
    features: &features::Features,
    (first, second): (usize, usize),
) -> Vec<Clue> {
    let mut memory = Memory::default();
    for (part, text) in [
        (Part::User, excerpt.head),
        (Part::User, excerpt.tail),
        (Part::Context, excerpt.system),
        (Part::Context, excerpt.before),
    ] {
        memory.before.clear();
        clues::read(text, part, &mut memory);
    }
    let mut shapes = Vec::new();
    excerpt.read(features, &mut Deaf, |row| shapes.push(row));
    let lead = |row: &Row| {
        let of = |kind: usize| row.get(kind.min(KINDS_MAX - 1)).copied().map_or(0.0, f32::from);
        of(first) - of(second)
    };
    let words = memory.heard.into_iter().map(|((sign, text, bucket), times)| {
        let count = if matches!(sign, Sign::Word | Sign::Pair) { memory.user_count } else { memory.context_count };
        Clue { sign, text, weight: lead(weights.word(bucket)) * times * weights.word_scale() / root(count) }
    });
    let shapes = shapes.into_iter().filter_map(|row| {
        let (name, step) = shape::name(row)?;
        let text = format!("{name}, step {step}");
        Some(Clue { sign: Sign::Shape, text, weight: lead(weights.shape(row)) * weights.shape_scale() })
    });
    words.chain(shapes).collect()
}

/// Remembers what it is told. The excerpt bounds how much that is.
#[derive(Default)]
struct Memory {
    /// How often each clue came: what it is, its text, its bucket.
    heard: BTreeMap<(Sign, String, usize), f32>,
    /// What the token has told of that is just read.
    pending: Vec<(Part, usize)>,
    before: String,
    user_count: u32,
    context_count: u32,
}

impl Sink for Memory {
    fn word(&mut self, part: Part, bucket: usize) {
        match part {
            Part::User => self.user_count += 1,
            Part::Context => self.context_count += 1,
        }
        self.pending.push((part, bucket));
    }

    fn token(&mut self, text: &str) {
        // Blanks tell of nothing, and keep nobody apart.
        if self.pending.is_empty() {
            return;
        }
        let text = shown(text);
        // A token tells of itself, then of the pair that it makes with the one before.
        for (at, (part, bucket)) in self.pending.drain(..).enumerate() {
            let (sign, text) = match (part, at) {
                (Part::User, 0) => (Sign::Word, text.clone()),
                (Part::User, _) => (Sign::Pair, format!("{} {text}", self.before)),
                (Part::Context, 0) => (Sign::ContextWord, text.clone()),
                (Part::Context, _) => (Sign::ContextPair, format!("{} {text}", self.before)),
            };
            *self.heard.entry((sign, text, bucket)).or_default() += 1.0;
        }
        self.before = text;
    }
}

/// Hears of no words: for those who ask of the shape only.
struct Deaf;

impl Sink for Deaf {
    fn word(&mut self, _part: Part, _bucket: usize) {}
}

/// A token for people: one line, and not too long.
fn shown(token: &str) -> String {
    if token.trim().is_empty() {
        return "⏎".to_owned();
    }
    token.chars().filter(|sign| !sign.is_control()).take(TEXT_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::wire_format::WireFormat;
    use crate::classify::KindModel;
    use crate::classify::rules;
    use crate::classify::table::LaneTable;
    use crate::wire::head;

    const TERMS: Terms = Terms { quality: 0.5, prices: [0.25, 0.5, 1.0] };

    fn shipped() -> Router {
        let rules = rules::parse(include_str!("../../lua-free-rules/flux-auto.toml"), "flux-auto.toml").unwrap();
        let weights = Weights::parse(include_str!("../../lua-free-rules/kind-weights.json")).unwrap();
        let table = include_str!("../../lua-free-rules/lane-table.toml");
        let table = LaneTable::parse(table, "lane-table.toml", weights.kinds()).unwrap();
        Router { rules, kinds: KindModel { weights, table } }
    }

    fn with_input<T>(body: &str, look: impl FnOnce(&FeatureInput<'_>) -> T) -> T {
        let head = head::scan(body.as_bytes()).unwrap();
        look(&FeatureInput::of(WireFormat::OpenaiChat, &head, body.as_bytes()))
    }

    fn body(prompt: &str) -> String {
        let messages = serde_json::json!([
            {"role": "system", "content": "You are a patient teacher of mathematics."},
            {"role": "user", "content": "Hello there"}, {"role": "assistant", "content": "Hi"},
            {"role": "user", "content": prompt},
        ]);
        serde_json::json!({"model": "flux-auto", "messages": messages}).to_string()
    }

    const PROMPTS: [&str; 4] = [
        "Prove that the square root of 2 is irrational, and that $\\sqrt{2}+\\sqrt{3}$ is too.",
        "Übersetze ins Englische: Der Hund schläft.\n\nDanke, danke, danke!",
        "def f(x):\n    return x + 1\n\nWhy does `f(\"a\")` raise? 你好",
        "",
    ];

    /// What was recomputed is what decided: nothing that weighs is left out, and nothing is counted twice.
    #[test]
    fn clues_make_up_the_lead_of_the_likeliest_kind() {
        let router = shipped();
        let weights = &router.kinds.weights;
        let long = "What is the sum of all primes below 1,000? ".repeat(200);
        for prompt in PROMPTS.into_iter().chain([long.as_str()]) {
            let body = body(prompt);
            with_input(&body, |input| {
                let decision = classify(&router, input, &TERMS);
                let explained = explain(&router, input, &TERMS);
                assert_eq!((explained.lane, explained.reason), (decision.lane, decision.reason), "{prompt}");
                assert!((explained.score - decision.score()).abs() < 1e-6);
                let [(first, likely), (second, less), ..] = explained.kinds[..] else { panic!("{explained:?}") };
                let at = |name: &str| weights.kinds().iter().position(|kind| kind == name).unwrap();
                let (_, sample) = features::extract(input);
                let all = weigh(weights, &sample.excerpt(), &decision.features, (at(first), at(second)));
                let bias = weights.bias()[at(first)] - weights.bias()[at(second)];
                let lead = all.iter().map(|clue| clue.weight).sum::<f32>() + bias;
                let expected = libm::logf(likely / less);
                assert!((lead - expected).abs() < 1e-2, "{prompt}: {lead} {expected}");
            });
        }
    }

    #[test]
    fn the_lane_that_is_taken_is_the_worthiest_that_is_open() {
        let router = shipped();
        for prompt in PROMPTS {
            with_input(&body(prompt), |input| {
                let explained = explain(&router, input, &TERMS);
                let open = explained.lanes.iter().filter(|lane| lane.is_open);
                let best = open.max_by(|a, b| a.worth.total_cmp(&b.worth)).unwrap();
                assert_eq!(explained.lane, best.lane, "{explained:?}");
                let sum: f32 = explained.kinds.iter().map(|(_, share)| share).sum();
                assert!((sum - 1.0).abs() < 1e-4 && explained.kinds.is_sorted_by(|a, b| a.1 >= b.1));
                assert!(explained.clues.len() <= CLUES_MAX);
                assert!(explained.clues.is_sorted_by(|a, b| a.weight.abs() >= b.weight.abs()));
            });
        }
    }

    #[test]
    fn words_and_pairs_are_told_as_they_stand() {
        let mut memory = Memory::default();
        clues::read("Prove it:\n\n x_1 is 你!!", Part::User, &mut memory);
        let told: Vec<&str> =
            memory.heard.keys().filter(|(sign, ..)| *sign == Sign::Word).map(|(_, text, _)| text.as_str()).collect();
        for word in ["Prove", "it", ":", "⏎", "x", "_", "1", "is", "你", "!!"] {
            assert!(told.contains(&word), "{word}: {told:?}");
        }
        assert!(memory.heard.keys().any(|(sign, text, _)| *sign == Sign::Pair && text == "Prove it"));
        assert!(memory.pending.is_empty() && memory.user_count == 20);
    }

    #[test]
    fn rules_that_held_are_named_with_what_they_do() {
        let router = shipped();
        let tools = r#"{"model":"flux-auto","messages":[{"role":"user","content":"Weather in Rome?"}],
            "tools":[{"type":"function","function":{"name":"weather"}}],"reasoning_effort":"minimal"}"#;
        with_input(tools, |input| {
            let explained = explain(&router, input, &TERMS);
            let told: Vec<_> = explained.rules.iter().map(|held| (held.name, held.does, held.lane)).collect();
            let expected = [("asked-not-to-think", "at_most", "flux-standard"), ("tools", "at_least", "flux-standard")];
            assert_eq!(told, expected);
            assert_eq!(explained.lanes.map(|lane| lane.is_open), [false, true, false]);
            let feature = |name: &str| explained.features.iter().find(|(known, _)| *known == name).unwrap().1;
            assert_eq!(feature("has_tools"), Value::Flag(true));
            assert_eq!(feature("tool_count"), Value::Number(1));
            assert_eq!(feature("reasoning_effort"), Value::Word("minimal"));
        });
        let picture = r#"{"model":"flux-auto","messages":[{"role":"user","content":"Draw a picture of a red fox"}]}"#;
        with_input(picture, |input| {
            let explained = explain(&router, input, &TERMS);
            assert_eq!((explained.lane, explained.reason), ("flux-image", Reason::Rule("image")));
            assert_eq!(explained.rules.last().map(|held| (held.name, held.does)), Some(("image", "lane")));
        });
    }
}
