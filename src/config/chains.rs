//! Chains as they are written: steps one after the other, each of one target or of several that share its requests.
//!
//! Must not know which targets and lanes there are.

use std::sync::Arc;

use crate::catalog::chain::Conditions;

use super::fields::{Fields, Findings, as_text};
use super::raw::{Node, Origin, Table, Value};

/// Shares are told apart down to a thousandth.
const WEIGHT_MAX: u64 = 1_000;
const PROMPT_TOKENS_MAX: u64 = 1_000_000_000;
const EXAMPLE: &str = "such as \"openai/gpt-6-luna\" or { target = \"openai/gpt-6-luna\", weight = 3 }";

/// A place in a chain.
#[derive(Debug)]
pub(super) struct Entry {
    /// A model, or a lane.
    pub(super) id: String,
    pub(super) origin: Origin,
    /// Its step, from 0.
    pub(super) step: usize,
    /// Whether others stand in its step.
    pub(super) is_shared: bool,
    pub(super) weight: u32,
    pub(super) when: Conditions,
}

/// One step: a target, or a list of targets that share its requests.
pub(super) fn read_step(node: &Node, path: &str, step: usize, findings: &mut Findings) -> Vec<Entry> {
    let Value::List(list) = &node.value else {
        return read_entry(node, path, step, findings).into_iter().collect();
    };
    let is_shared = list.len() > 1;
    let entries = list.iter().filter_map(|node| read_entry(node, path, step, findings));
    entries.map(|entry| Entry { is_shared, ..entry }).collect()
}

/// A list of steps; a text with commas from the environment.
pub(super) fn read_steps(node: &Node, path: &str, first: usize, findings: &mut Findings) -> Vec<Entry> {
    match &node.value {
        Value::List(list) => {
            let steps = list.iter().zip(first..);
            steps.flat_map(|(node, step)| read_step(node, path, step, findings)).collect()
        }
        Value::Override(text) => {
            let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
            names.zip(first..).map(|(name, step)| plain(name, node, step)).collect()
        }
        Value::Text(_) | Value::Whole(_) | Value::Flag(_) | Value::Table(_) | Value::Fraction(_) | Value::Odd(_) => {
            read_step(node, path, first, findings)
        }
    }
}

fn plain(id: &str, node: &Node, step: usize) -> Entry {
    Entry {
        id: id.to_owned(),
        origin: node.origin.clone(),
        step,
        is_shared: false,
        weight: 1,
        when: Conditions::default(),
    }
}

fn read_entry(node: &Node, path: &str, step: usize, findings: &mut Findings) -> Option<Entry> {
    let Value::Table(table) = &node.value else {
        let Some(id) = as_text(&node.value) else {
            let found = node.value.type_name();
            let message = format!("{path}: expected a target, found {found}");
            findings.complaints.push(node.origin.complaint(message, EXAMPLE));
            return None;
        };
        return (!id.is_empty()).then(|| plain(&id, node, step));
    };
    let mut fields = Fields::new(table, &node.origin, path, findings);
    let id = fields.text_needed("target");
    let weight = u32::try_from(fields.whole("weight", 1, 0..=WEIGHT_MAX)).unwrap_or(1);
    let when = fields.table("when").map(|(when, origin)| read_conditions(when, origin, path, fields.findings));
    fields.finish();
    let entry = plain(&id, node, step);
    (!id.is_empty()).then(|| Entry { weight, when: when.unwrap_or_default(), ..entry })
}

fn read_conditions(table: &Table, origin: &Origin, path: &str, findings: &mut Findings) -> Conditions {
    let mut fields = Fields::new(table, origin, format!("{path}.when"), findings);
    let mut tokens = |key| fields.whole_stated(key, 0..=PROMPT_TOKENS_MAX);
    let (least, most) = (tokens("prompt_tokens_min"), tokens("prompt_tokens_max"));
    let when = Conditions {
        vision: fields.flag_stated("vision"),
        tools: fields.flag_stated("tools"),
        prompt_tokens_min: least.unwrap_or(0),
        prompt_tokens_max: most.unwrap_or(u64::MAX),
        regions: fields.texts("region").into_iter().map(Arc::from).collect(),
    };
    if when.prompt_tokens_min > when.prompt_tokens_max {
        fields.complain("prompt_tokens_min", "is above prompt_tokens_max", "no prompt is of such a length");
    }
    fields.finish();
    when
}
