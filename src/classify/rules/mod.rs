//! The rules of `flux-auto`: a TOML file, checked as a whole, compiled to a flat list of comparisons of numbers.
//!
//! Must not know the request: it sees `Features` only. The language of the file is documented in the file that is
//! shipped, `lua-free-rules/flux-auto.toml`, and a test holds it to this table.

use std::ops::Range;
use std::sync::Arc;

use super::features::Features;
use crate::base::complaint::Complaint;
use crate::base::effort::Effort;
use crate::base::task::TaskType;
use crate::base::wish::WORD_LANES;

mod parse;

pub use parse::parse;

/// Lanes that a rule may name.
pub const LANES: [&str; 4] = ["flux-fast", "flux-standard", "flux-reasoning", "flux-image"];
/// Most rules in a file.
pub const RULES_MAX: usize = 256;
/// Most conditions of one rule.
pub const CONDITIONS_MAX: usize = 32;

/// What `default` says where the kind of work is to decide.
pub const BY_KIND: &str = "by-kind";

/// Rules that were checked. Immutable; a new file makes a new set.
#[derive(Clone, Debug)]
pub struct RuleSet {
    /// In the order in which they are asked.
    rules: Box<[Rule]>,
    /// The conditions of all rules, one after the other.
    conditions: Box<[Condition]>,
    default: Otherwise,
}

/// What the rules say of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict<'r> {
    /// The lane and the name of the rule that named it; `None` where the kind of work decides.
    pub lane: Option<(&'r str, &'r str)>,
    /// The cheapest lane that may be chosen: 0 fast, 1 standard, 2 reasoning.
    pub at_least: usize,
    /// The dearest.
    pub at_most: usize,
    /// The rule that set `at_least`.
    pub floor: Option<&'r str>,
    /// The rule that set `at_most`.
    pub ceiling: Option<&'r str>,
}

#[derive(Clone, Debug)]
struct Rule {
    name: Arc<str>,
    effect: Effect,
    /// All of these must hold.
    all: Range<usize>,
    /// And one of these, where there are any.
    any: Range<usize>,
}

/// What decides where no rule does.
#[derive(Clone, Debug)]
enum Otherwise {
    Lane(Arc<str>),
    ByKind,
}

/// What a rule that holds does.
#[derive(Clone, Debug)]
enum Effect {
    /// Names the lane: no more rules are asked.
    Lane(Arc<str>),
    /// No cheaper lane than this.
    AtLeast(usize),
    /// No dearer lane than this.
    AtMost(usize),
}

/// One comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Condition {
    feature: Feature,
    operator: Operator,
    /// The number compared with; for `in` a set of bits.
    value: u64,
}

/// What stands between a feature and a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
}

const OPERATORS: [(&str, Operator); 7] = [
    ("==", Operator::Equal),
    ("!=", Operator::NotEqual),
    ("<", Operator::Less),
    ("<=", Operator::LessOrEqual),
    (">", Operator::Greater),
    (">=", Operator::GreaterOrEqual),
    ("in", Operator::In),
];

/// What kind of values a feature has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Number,
    Flag,
    Effort,
    Task,
}

/// A feature by its place in `FEATURES`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Feature {
    BodyBytes,
    TextBytes,
    PromptTokensEstimate,
    SystemBytes,
    LastUserBytes,
    Messages,
    Turns,
    HasTools,
    ToolCount,
    InToolLoop,
    HasImageInput,
    HasFileInput,
    WantsImageOutput,
    CodeFences,
    CodeSigns,
    MathSigns,
    HardWords,
    QuestionCount,
    HasJsonSchema,
    ReasoningEffort,
    ThinkingEnabled,
    MaxTokens,
    TaskType,
}

const FEATURES: [(&str, Feature, Kind); 23] = [
    ("body_bytes", Feature::BodyBytes, Kind::Number),
    ("text_bytes", Feature::TextBytes, Kind::Number),
    ("prompt_tokens_estimate", Feature::PromptTokensEstimate, Kind::Number),
    ("system_bytes", Feature::SystemBytes, Kind::Number),
    ("last_user_bytes", Feature::LastUserBytes, Kind::Number),
    ("messages", Feature::Messages, Kind::Number),
    ("turns", Feature::Turns, Kind::Number),
    ("has_tools", Feature::HasTools, Kind::Flag),
    ("tool_count", Feature::ToolCount, Kind::Number),
    ("in_tool_loop", Feature::InToolLoop, Kind::Flag),
    ("has_image_input", Feature::HasImageInput, Kind::Flag),
    ("has_file_input", Feature::HasFileInput, Kind::Flag),
    ("wants_image_output", Feature::WantsImageOutput, Kind::Flag),
    ("code_fences", Feature::CodeFences, Kind::Number),
    ("code_signs", Feature::CodeSigns, Kind::Number),
    ("math_signs", Feature::MathSigns, Kind::Number),
    ("hard_words", Feature::HardWords, Kind::Number),
    ("question_count", Feature::QuestionCount, Kind::Number),
    ("has_json_schema", Feature::HasJsonSchema, Kind::Flag),
    ("reasoning_effort", Feature::ReasoningEffort, Kind::Effort),
    ("thinking_enabled", Feature::ThinkingEnabled, Kind::Flag),
    ("max_tokens", Feature::MaxTokens, Kind::Number),
    ("task_type", Feature::TaskType, Kind::Task),
];

/// The word for an effort or a task that the client did not give; an effort below all others.
const UNSET: &str = "unset";

fn effort_rank(effort: Option<Effort>) -> u64 {
    match effort {
        None => 0,
        Some(Effort::None) => 1,
        Some(Effort::Minimal) => 2,
        Some(Effort::Low) => 3,
        Some(Effort::Medium) => 4,
        Some(Effort::High) => 5,
        Some(Effort::Xhigh) => 6,
        Some(Effort::Max) => 7,
    }
}

/// 0 where the client says nothing, else the place among the names.
fn task_number(task: Option<TaskType>) -> u64 {
    let place = task.and_then(|task| TaskType::NAMES.iter().position(|(_, known)| *known == task));
    place.and_then(|place| u64::try_from(place).ok()).map_or(0, |place| place + 1)
}

fn value_of(feature: Feature, features: &Features) -> u64 {
    match feature {
        Feature::BodyBytes => features.body_bytes,
        Feature::TextBytes => features.text_bytes,
        Feature::PromptTokensEstimate => features.prompt_tokens_estimate,
        Feature::SystemBytes => features.system_bytes,
        Feature::LastUserBytes => features.last_user_bytes,
        Feature::Messages => features.messages,
        Feature::Turns => features.turns,
        Feature::HasTools => u64::from(features.has_tools),
        Feature::ToolCount => features.tool_count,
        Feature::InToolLoop => u64::from(features.in_tool_loop),
        Feature::HasImageInput => u64::from(features.has_image_input),
        Feature::HasFileInput => u64::from(features.has_file_input),
        Feature::WantsImageOutput => u64::from(features.wants_image_output),
        Feature::CodeFences => features.code_fences,
        Feature::CodeSigns => features.code_signs,
        Feature::MathSigns => features.math_signs,
        Feature::HardWords => features.hard_words,
        Feature::QuestionCount => features.question_count,
        Feature::HasJsonSchema => u64::from(features.has_json_schema),
        Feature::ReasoningEffort => effort_rank(features.reasoning_effort),
        Feature::ThinkingEnabled => u64::from(features.thinking_enabled),
        Feature::MaxTokens => features.max_tokens,
        Feature::TaskType => task_number(features.task_type),
    }
}

/// The value of a feature, as people read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// A count.
    Number(u64),
    /// Yes or no.
    Flag(bool),
    /// One of a few words.
    Word(&'static str),
}

/// Every feature by its name, in the order of the documentation.
pub fn named(features: &Features) -> impl Iterator<Item = (&'static str, Value)> {
    FEATURES.into_iter().map(|(name, feature, kind)| {
        let value = value_of(feature, features);
        let value = match kind {
            Kind::Number => Value::Number(value),
            Kind::Flag => Value::Flag(value == 1),
            Kind::Effort => Value::Word(features.reasoning_effort.map_or(UNSET, Effort::name)),
            Kind::Task => Value::Word(features.task_type.map_or(UNSET, TaskType::name)),
        };
        (name, value)
    })
}

/// A rule that held, and what it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held<'r> {
    /// Its name.
    pub name: &'r str,
    /// `lane`, `at_least` or `at_most`.
    pub does: &'static str,
    /// The lane that it names.
    pub lane: &'r str,
}

impl Condition {
    fn holds(&self, features: &Features) -> bool {
        let seen = value_of(self.feature, features);
        match self.operator {
            Operator::Equal => seen == self.value,
            Operator::NotEqual => seen != self.value,
            Operator::Less => seen < self.value,
            Operator::LessOrEqual => seen <= self.value,
            Operator::Greater => seen > self.value,
            Operator::GreaterOrEqual => seen >= self.value,
            Operator::In => seen < u64::from(u64::BITS) && self.value >> seen & 1 == 1,
        }
    }
}

impl Otherwise {
    fn lane(&self) -> Option<&str> {
        match self {
            Self::Lane(lane) => Some(lane),
            Self::ByKind => None,
        }
    }
}

impl RuleSet {
    /// Asks the rules in their order, up to the first that names a lane.
    pub fn judge(&self, features: &Features) -> Verdict<'_> {
        let mut verdict =
            Verdict { lane: None, at_least: 0, at_most: WORD_LANES.len() - 1, floor: None, ceiling: None };
        for rule in self.rules.iter().filter(|rule| self.is_met(rule, features)) {
            match &rule.effect {
                Effect::Lane(lane) => return Verdict { lane: Some((lane, &rule.name)), ..verdict },
                // The rule that was asked first has the last word.
                Effect::AtLeast(lane) => {
                    let bound = verdict.at_least.max(*lane).min(verdict.at_most);
                    if bound > verdict.at_least {
                        (verdict.at_least, verdict.floor) = (bound, Some(&*rule.name));
                    }
                }
                Effect::AtMost(lane) => {
                    let bound = verdict.at_most.min(*lane).max(verdict.at_least);
                    if bound < verdict.at_most {
                        (verdict.at_most, verdict.ceiling) = (bound, Some(&*rule.name));
                    }
                }
            }
        }
        Verdict { lane: self.default.lane().map(|lane| (lane, "default")), ..verdict }
    }

    fn is_met(&self, rule: &Rule, features: &Features) -> bool {
        let group = |range: &Range<usize>| self.conditions.get(range.clone()).unwrap_or_default();
        group(&rule.all).iter().all(|condition| condition.holds(features))
            && (rule.any.is_empty() || group(&rule.any).iter().any(|condition| condition.holds(features)))
    }

    /// The rules that [`Self::judge`] asks and that hold, in their order: to explain, not to decide.
    pub fn held<'r>(&'r self, features: &Features) -> impl Iterator<Item = Held<'r>> {
        let mut is_decided = false;
        let asked = self.rules.iter().filter(|rule| self.is_met(rule, features)).take_while(move |rule| {
            let is_asked = !is_decided;
            is_decided |= matches!(rule.effect, Effect::Lane(_));
            is_asked
        });
        asked.map(|rule| {
            let word_lane = |lane: &usize| LANES.get(*lane).copied().unwrap_or_default();
            let (does, lane) = match &rule.effect {
                Effect::Lane(lane) => ("lane", &**lane),
                Effect::AtLeast(lane) => ("at_least", word_lane(lane)),
                Effect::AtMost(lane) => ("at_most", word_lane(lane)),
            };
            Held { name: &rule.name, does, lane }
        })
    }

    /// The lanes that can come out, so that they can be checked against the catalogue.
    pub fn lanes(&self) -> impl Iterator<Item = &str> {
        let named = self.rules.iter().filter_map(|rule| match &rule.effect {
            Effect::Lane(lane) => Some(lane.as_ref()),
            Effect::AtLeast(_) | Effect::AtMost(_) => None,
        });
        named.chain(self.default.lane())
    }

    /// The names of the rules in the order in which they are asked.
    pub fn rule_names(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| rule.name.as_ref())
    }
}

#[cfg(test)]
mod tests;
