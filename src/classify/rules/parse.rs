//! Reads a rules file: all faults at once, each with its line and a hint.
//!
//! Must not decide anything: what comes out is numbers to compare.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{
    BY_KIND, CONDITIONS_MAX, Complaint, Condition, Effect, Effort, FEATURES, Kind, LANES, OPERATORS, Operator,
    Otherwise, RULES_MAX, Rule, RuleSet, TaskType, UNSET, WORD_LANES, effort_rank, task_number,
};
use crate::base::wish::rank_of;

/// Longest name of a rule.
const NAME_BYTES_MAX: usize = 64;
const FILE_KEYS: [&str; 2] = ["default", "rule"];
const RULE_KEYS: [&str; 7] = ["name", "priority", "when", "lane", "at_least", "at_most", "reason"];
const NEEDED_KEYS: [&str; 5] = ["name", "priority", "when", "reason", "and one of lane, at_least, at_most"];
const WHEN_KEYS: [&str; 2] = ["all", "any"];

/// Checks and compiles a rules file. `file` is its name for complaints.
///
/// # Errors
/// Everything that is wrong with it, in the order of its lines.
pub fn parse(text: &str, file: &str) -> Result<RuleSet, Vec<Complaint>> {
    let mut reader = Reader { text, file, complaints: Vec::new(), rules: Vec::new(), conditions: Vec::new() };
    let default = match DeTable::parse(text) {
        Ok(table) => reader.file(table.get_ref()),
        Err(error) => {
            let at = error.span().unwrap_or(0..0);
            reader.complain(&at, error.message().trim().to_owned(), "mend the TOML syntax");
            None
        }
    };
    let Reader { mut complaints, mut rules, conditions, .. } = reader;
    match default {
        Some(default) if complaints.is_empty() => {
            // Stable: equal priorities keep the order of the file.
            rules.sort_by_key(|(priority, _)| std::cmp::Reverse(*priority));
            let rules = rules.into_iter().map(|(_, rule)| rule).collect();
            Ok(RuleSet { rules, conditions: conditions.into(), default })
        }
        Some(_) | None => {
            complaints.sort_by_key(|complaint| complaint.line);
            Err(complaints)
        }
    }
}

type Value<'i> = Spanned<DeValue<'i>>;

struct Reader<'t> {
    text: &'t str,
    file: &'t str,
    complaints: Vec<Complaint>,
    /// With their priorities.
    rules: Vec<(i64, Rule)>,
    conditions: Vec<Condition>,
}

impl Reader<'_> {
    fn complain(&mut self, at: &Range<usize>, message: impl Into<String>, hint: impl Into<String>) {
        let before = self.text.get(..at.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let complaint = Complaint { file: self.file.to_owned(), line, message: message.into(), hint: hint.into() };
        self.complaints.push(complaint);
    }

    fn file(&mut self, table: &DeTable<'_>) -> Option<Otherwise> {
        self.refuse_unknown_keys(table, &FILE_KEYS);
        let default = get(table, "default");
        if default.is_none() {
            let hint = format!("say what decides the rest: default = \"{BY_KIND}\", or a lane");
            self.complain(&(0..0), "`default` is missing", hint);
        }
        let default = default.and_then(|value| match value.get_ref().as_str() {
            Some(BY_KIND) => Some(Otherwise::ByKind),
            Some(_) | None => self.lane(value, &LANES).map(|lane| Otherwise::Lane(lane.into())),
        });
        match get(table, "rule").map(|value| (value, value.get_ref())) {
            None => {}
            Some((_, DeValue::Array(rules))) if rules.len() <= RULES_MAX => {
                rules.iter().for_each(|rule| self.rule(rule));
            }
            Some((value, DeValue::Array(_))) => {
                self.complain(&value.span(), format!("more than {RULES_MAX} rules"), "join rules with `any`");
            }
            Some((value, _)) => self.complain(&value.span(), "`rule` is no list", "write [[rule]]"),
        }
        default
    }

    fn rule(&mut self, value: &Value<'_>) {
        let DeValue::Table(table) = value.get_ref() else {
            return self.complain(&value.span(), "a rule is no table", "write [[rule]]");
        };
        self.refuse_unknown_keys(table, &RULE_KEYS);
        let name = self.needed(table, value, "name").and_then(|value| self.name(value));
        let effect = self.effect(table, value);
        // Nobody reads the reason but people, and for them it must be there.
        let reason = self.needed(table, value, "reason").and_then(|value| self.string(value, "reason"));
        let priority = self.needed(table, value, "priority").and_then(|value| self.priority(value));
        let (all, any) = self.needed(table, value, "when").map_or((0..0, 0..0), |value| self.when(value));
        if let (Some(name), Some(effect), Some(_), Some(priority)) = (name, effect, reason, priority) {
            if name == "default" || self.rules.iter().any(|(_, rule)| *rule.name == *name) {
                self.complain(&value.span(), format!("a rule is called \"{name}\" already"), "give it another name");
            }
            self.rules.push((priority, Rule { name: name.into(), effect, all, any }));
        }
    }

    fn when(&mut self, value: &Value<'_>) -> (Range<usize>, Range<usize>) {
        let DeValue::Table(table) = value.get_ref() else {
            self.complain(&value.span(), "`when` is no table", "write when = { all = [\"turns > 3\"] }");
            return (0..0, 0..0);
        };
        self.refuse_unknown_keys(table, &WHEN_KEYS);
        let all = get(table, "all").map_or(0..0, |value| self.conditions(value));
        let any = get(table, "any").map_or(0..0, |value| self.conditions(value));
        if get(table, "all").is_none() && get(table, "any").is_none() {
            self.complain(&value.span(), "`when` has no condition", "what always holds is the `default`");
        }
        (all, any)
    }

    fn conditions(&mut self, value: &Value<'_>) -> Range<usize> {
        let start = self.conditions.len();
        let list = value.get_ref().as_array().filter(|list| (1..=CONDITIONS_MAX).contains(&list.len()));
        let Some(list) = list else {
            let hint = "write [\"has_tools == false\", \"turns > 3\"]";
            self.complain(&value.span(), format!("conditions are no list of 1 to {CONDITIONS_MAX}"), hint);
            return start..start;
        };
        for item in list {
            let condition = self.string(item, "a condition").map(|text| condition(&text));
            match condition {
                Some(Ok(condition)) => self.conditions.push(condition),
                Some(Err(Fault { message, hint })) => self.complain(&item.span(), message, hint),
                None => {}
            }
        }
        start..self.conditions.len()
    }

    fn needed<'v, 'i>(&mut self, table: &'v DeTable<'i>, rule: &Value<'_>, key: &str) -> Option<&'v Value<'i>> {
        let found = get(table, key);
        if found.is_none() {
            self.complain(
                &rule.span(),
                format!("a rule has no `{key}`"),
                format!("each rule needs {}", listed(&NEEDED_KEYS)),
            );
        }
        found
    }

    fn string(&mut self, value: &Value<'_>, what: &str) -> Option<String> {
        let text = value.get_ref().as_str().filter(|text| !text.is_empty());
        if text.is_none() {
            self.complain(&value.span(), format!("{what} is no text"), "write it in quotes");
        }
        text.map(str::to_owned)
    }

    /// A rule's name is told in headers and labels.
    fn name(&mut self, value: &Value<'_>) -> Option<String> {
        let name = self.string(value, "name")?;
        if name.len() <= NAME_BYTES_MAX && name.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            return Some(name);
        }
        let hint = format!("it is told in a header: at most {NAME_BYTES_MAX} printable ASCII characters");
        self.complain(&value.span(), format!("{name:?} cannot be a rule's name"), hint);
        None
    }

    fn priority(&mut self, value: &Value<'_>) -> Option<i64> {
        let number = value.get_ref().as_integer().filter(|number| number.radix() == 10);
        let number = number.and_then(|number| number.as_str().parse().ok());
        if number.is_none() {
            self.complain(&value.span(), "`priority` is no whole number", "the highest is asked first");
        }
        number
    }

    fn effect(&mut self, table: &DeTable<'_>, rule: &Value<'_>) -> Option<Effect> {
        let words = &WORD_LANES;
        match (get(table, "lane"), get(table, "at_least"), get(table, "at_most")) {
            (Some(lane), None, None) => Some(Effect::Lane(self.lane(lane, &LANES)?.into())),
            (None, Some(lane), None) => Some(Effect::AtLeast(rank_of(&self.lane(lane, words)?)?)),
            (None, None, Some(lane)) => Some(Effect::AtMost(rank_of(&self.lane(lane, words)?)?)),
            _ => {
                let hint = "`lane` decides, `at_least` and `at_most` bound what the kind of work decides";
                self.complain(&rule.span(), "a rule needs one of `lane`, `at_least`, `at_most`", hint);
                None
            }
        }
    }

    fn lane(&mut self, value: &Value<'_>, known: &[&str]) -> Option<String> {
        let name = self.string(value, "a lane")?;
        if known.contains(&name.as_str()) {
            return Some(name);
        }
        self.complain(&value.span(), format!("unknown lane \"{name}\""), suggestion(&name, known));
        None
    }

    fn refuse_unknown_keys(&mut self, table: &DeTable<'_>, known: &[&str]) {
        for key in table.keys().filter(|key| !known.contains(&key.get_ref().as_ref())) {
            let name = key.get_ref();
            self.complain(&key.span(), format!("unknown key `{name}`"), suggestion(name, known));
        }
    }
}

fn get<'v, 'i>(table: &'v DeTable<'i>, wanted: &str) -> Option<&'v Value<'i>> {
    table.iter().find(|(key, _)| key.get_ref() == wanted).map(|(_, value)| value)
}

/// What is wrong with a condition.
struct Fault {
    message: String,
    hint: String,
}

/// Compiles `feature operator value`.
fn condition(text: &str) -> Result<Condition, Fault> {
    let fault = |message: String, hint: String| Err(Fault { message, hint });
    let mut words = text.split_whitespace();
    let (Some(name), Some(sign), Some(_)) = (words.next(), words.next(), words.next()) else {
        let hint = "write `feature operator value` with blanks, as in \"turns > 3\"".to_owned();
        return fault(format!("\"{text}\" is no condition"), hint);
    };
    let Some((_, feature, kind)) = FEATURES.into_iter().find(|(known, ..)| *known == name) else {
        return fault(format!("unknown feature \"{name}\""), suggestion(name, &FEATURES.map(|(name, ..)| name)));
    };
    let Some((_, operator)) = OPERATORS.into_iter().find(|(known, _)| *known == sign) else {
        let known = OPERATORS.map(|(sign, _)| sign);
        return fault(format!("unknown operator \"{sign}\""), format!("there are {}", listed(&known)));
    };
    let value_text = text.trim_start().trim_start_matches(name).trim_start().trim_start_matches(sign).trim();
    if kind == Kind::Flag && !matches!(operator, Operator::Equal | Operator::NotEqual) {
        return fault(format!("`{name}` is true or false, not less or more"), "compare with == or !=".to_owned());
    }
    if kind == Kind::Task && !matches!(operator, Operator::Equal | Operator::NotEqual | Operator::In) {
        return fault(
            format!("no value of `{name}` is less or more than another"),
            "compare with ==, != or in".to_owned(),
        );
    }
    let value = if operator == Operator::In { set(kind, value_text) } else { value(kind, value_text) };
    value.map(|value| Condition { feature, operator, value })
}

/// `[low, medium]` as bits.
fn set(kind: Kind, text: &str) -> Result<u64, Fault> {
    let Some(list) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) else {
        let hint = "write in [low, medium] or in [1, 2]".to_owned();
        return Err(Fault { message: format!("\"{text}\" is no list"), hint });
    };
    let mut bits = 0;
    for item in list.split(',') {
        let number = value(kind, item.trim())?;
        if number >= u64::from(u64::BITS) {
            let hint = "use < and > for larger numbers".to_owned();
            return Err(Fault { message: format!("{number} is too large for a list"), hint });
        }
        bits |= 1 << number;
    }
    Ok(bits)
}

fn value(kind: Kind, text: &str) -> Result<u64, Fault> {
    let (number, hint) = match kind {
        Kind::Number => (text.replace('_', "").parse().ok(), "a whole number from 0, such as 1_000".to_owned()),
        Kind::Flag => (["false", "true"].iter().position(|word| *word == text), "true or false".to_owned()),
        Kind::Effort | Kind::Task if text == UNSET => (Some(0), String::new()),
        Kind::Effort => {
            let known = Effort::NAMES.map(|(name, _)| name);
            let rank = Effort::by_name(text).and_then(|effort| usize::try_from(effort_rank(Some(effort))).ok());
            (rank, format!("one of {UNSET}, {}", listed(&known)))
        }
        Kind::Task => {
            let known = TaskType::NAMES.map(|(name, _)| name);
            let task = TaskType::by_name(text);
            let number = task.and_then(|task| usize::try_from(task_number(Some(task))).ok());
            (number, format!("one of {UNSET}, {}", listed(&known)))
        }
    };
    let message = format!("\"{text}\" is no value here");
    number.and_then(|number: usize| u64::try_from(number).ok()).ok_or(Fault { message, hint })
}

fn suggestion(given: &str, known: &[&str]) -> String {
    let nearest = known.iter().map(|name| (distance(given, name), name)).min();
    match nearest {
        Some((distance, name)) if distance <= name.len() / 3 + 1 => format!("did you mean \"{name}\"?"),
        Some(_) | None => format!("there are {}", listed(known)),
    }
}

fn listed(words: &[&str]) -> String {
    words.join(", ")
}

/// Edits of one character between two short words. Given words are cut to a bound.
fn distance(given: &str, known: &str) -> usize {
    const CHARS_MAX: usize = 64;
    let mut row: Vec<usize> = (0..=known.chars().count()).collect();
    for (i, a) in given.chars().take(CHARS_MAX).enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (b, cell) in known.chars().zip(row.iter_mut().skip(1)) {
            let above = *cell;
            left = (diagonal + usize::from(a != b)).min(above + 1).min(left + 1);
            diagonal = above;
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(usize::MAX)
}
