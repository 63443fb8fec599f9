//! `lanes.toml` becomes lanes, pins and client names, with every target found.
//!
//! Must not know wire formats or prices of models.

use std::collections::HashMap;
use std::sync::Arc;

use crate::base::money::PicoUsd;
use crate::base::quality::Quality;
use crate::catalog::chain::{Conditions, Step};
use crate::catalog::provider::Provider;
use crate::catalog::{Chain, ChainKind, LaneRates, Model, NAMES_MAX, Target};

use super::chains::{self, Entry};
use super::fields::{Fields, Findings, as_text, meant};
use super::raw::{Node, Origin, Table, Value};

/// Lanes, and pins; a route holds an index of 16 bits.
const CHAINS_MAX: usize = 10_000;
const NAME_BYTES_MAX: usize = 256;
/// Targets of one lane or pin.
const TARGETS_MAX: usize = 64;
const TWICE: &str = "its first place takes all the requests of this one";

/// What `lanes.toml` says.
#[derive(Debug)]
pub(super) struct Lanes {
    /// The name that leaves the choice to the router.
    pub(super) auto_name: String,
    /// How much quality is wished for where nobody else says it.
    pub(super) quality: Quality,
    /// A folder of rules that decide beside the first, without any effect.
    pub(super) shadow: Option<String>,
    /// For requests that the router has no opinion on.
    pub(super) default_lane: String,
    /// The lanes.
    pub(super) chains: Vec<Chain>,
    /// The pins.
    pub(super) pins: Vec<Chain>,
    /// Names that clients send, each with what it stands for.
    pub(super) client_names: Vec<(String, String)>,
}

/// Models that targets can name.
struct Known<'a> {
    providers: HashMap<&'a str, &'a Arc<Provider>>,
    models: HashMap<&'a str, &'a Arc<Model>>,
}

impl Known<'_> {
    fn target(&self, id: &str) -> Option<Target> {
        let model = self.models.get(id)?;
        let (provider, _) = id.split_once('/')?;
        let provider = self.providers.get(provider)?;
        let (provider, model) = (Arc::clone(provider), Arc::clone(model));
        Some(Target::new(provider, model))
    }

    fn is_known(&self, id: &str) -> bool {
        self.models.contains_key(id)
    }

    fn hint(&self, id: &str) -> String {
        let hint = meant(id, self.models.keys().copied());
        hint.unwrap_or_else(|| "name a model of models.toml, such as openai/gpt-6-luna".to_owned())
    }
}

/// Reads all of `lanes.toml`.
pub(super) fn read(
    file: &Table,
    origin: &Origin,
    providers: &[Arc<Provider>],
    models: &[Arc<Model>],
    findings: &mut Findings,
) -> Lanes {
    let known = Known {
        providers: providers.iter().map(|provider| (&*provider.id, provider)).collect(),
        models: models.iter().map(|model| (&*model.id, model)).collect(),
    };
    let empty = (&Table::default(), origin);
    let mut sections = Fields::new(file, origin, "", findings);
    let auto = sections.table("auto").unwrap_or(empty);
    let lanes = sections.table("lanes").unwrap_or(empty);
    let pins = sections.table("pins").unwrap_or(empty);
    let client_names = sections.table("client_names").unwrap_or(empty);
    sections.finish();

    let mut auto = Fields::new(auto.0, auto.1, "auto", findings);
    let auto_name = auto.text("name").unwrap_or_else(|| "flux-auto".to_owned());
    let quality = auto.quality("quality");
    let shadow = auto.text("shadow").filter(|folder| !folder.is_empty());
    let default_lane = auto.text_needed("default_lane");
    if !default_lane.is_empty() && lanes.0.get(&default_lane).is_none() {
        let hint = meant(&default_lane, lanes.0.iter().map(|(name, _)| name));
        auto.complain("default_lane", format!("unknown lane \"{default_lane}\""), hint.unwrap_or_default());
    }
    auto.finish();

    let names = Names { auto: &auto_name, lanes: lanes.0, pins: pins.0 };
    names.complain_of_doubles(findings);
    let client_names = read_client_names(client_names.0, &names, findings);
    let chains = read_lanes(lanes.0, &known, findings);
    let pins = read_pins(pins.0, &known, findings);
    Lanes { auto_name, quality, shadow, default_lane, chains, pins, client_names }
}

/// A lane as it is written, before lanes in lanes are opened.
struct Written<'a> {
    name: &'a str,
    node: &'a Node,
    display_name: String,
    is_hedged: bool,
    rates: Option<LaneRates>,
    entries: Vec<Entry>,
}

fn read_lanes(table: &Table, known: &Known<'_>, findings: &mut Findings) -> Vec<Chain> {
    let mut written = Vec::new();
    for (name, node) in table.iter().take(CHAINS_MAX) {
        let Value::Table(lane) = &node.value else {
            findings.complaints.push(node.origin.complaint(format!("lanes.{name}: expected a table"), ""));
            continue;
        };
        if node.origin.is_override() {
            let hint = meant(name, table.iter().filter(|(_, n)| !n.origin.is_override()).map(|(known, _)| known));
            let hint = hint.unwrap_or_else(|| "add it to lanes.toml first".to_owned());
            findings.complaints.push(node.origin.complaint(format!("unknown lane {name}"), hint));
            continue;
        }
        check_name(name, &node.origin, findings);
        let mut fields = Fields::new(lane, &node.origin, format!("lanes.{name}"), findings);
        let display_name = fields.text("product_name").unwrap_or_else(|| name.to_owned());
        let entries = read_entries(&mut fields);
        complain_of_regions(&entries, &format!("lanes.{name}"), fields.findings);
        let is_hedged = fields.flag("hedge", false);
        let rates = read_rates(&mut fields);
        fields.finish();
        written.push(Written { name, node, display_name, is_hedged, rates, entries });
    }
    let mut chains = Vec::new();
    for lane in &written {
        let mut opening =
            Opening { all: &written, known, path: vec![lane.name], targets: Vec::new(), steps: 0, findings };
        opening.open(lane, &Conditions::default());
        let targets = opening.targets;
        complain_of_length(&targets, &format!("lanes.{}", lane.name), &lane.node.origin, findings);
        chains.push(Chain {
            name: lane.name.into(),
            display_name: lane.display_name.as_str().into(),
            kind: ChainKind::Lane,
            is_hedged: lane.is_hedged,
            rates: lane.rates,
            targets,
            mock_targets: Vec::new(),
        });
    }
    chains
}

/// What a lane leads to: `default`, then `fallbacks`.
fn read_entries(fields: &mut Fields<'_, '_>) -> Vec<Entry> {
    let mut entries = Vec::new();
    let path = fields.named("default");
    match fields.node("default") {
        Some(node) => entries.extend(chains::read_step(node, &path, 0, fields.findings)),
        None => fields.complain("default", "is missing", "every entry needs it"),
    }
    let path = fields.named("fallbacks");
    if let Some(node) = fields.node("fallbacks") {
        entries.extend(chains::read_steps(node, &path, 1, fields.findings));
    }
    entries
}

/// A lane whose targets are being found.
struct Opening<'a, 'f> {
    all: &'a [Written<'a>],
    known: &'a Known<'a>,
    /// The lanes being opened, so that the recursion ends: a lane on it is a cycle.
    path: Vec<&'a str>,
    targets: Vec<Arc<Target>>,
    /// Steps that are begun.
    steps: u16,
    findings: &'f mut Findings,
}

impl<'a> Opening<'a, '_> {
    /// Finds the targets of a lane; a lane among them stands for its own targets. What is wrong in a lane inside is told
    /// where that is read.
    fn open(&mut self, lane: &'a Written<'a>, outer: &Conditions) {
        let is_first = self.path.len() == 1;
        let mut last_step = None;
        for entry in &lane.entries {
            let Some(when) = outer.and(&entry.when) else {
                let message = format!("lanes.{}: no request can meet the conditions of {}", lane.name, entry.id);
                self.complain(&entry.origin, message, "its own and those of the lane around it");
                continue;
            };
            if let Some(inner) = self.all.iter().find(|inner| inner.name == entry.id) {
                last_step = None;
                self.open_inside(lane, entry, inner, &when);
                continue;
            }
            if last_step.replace(entry.step) != Some(entry.step) {
                self.steps = self.steps.saturating_add(1);
            }
            let step = Step { number: self.steps, weight: entry.weight, when, is_repeated: false };
            let is_new = |target: Target| put(&mut self.targets, Target { step, ..target });
            match self.known.target(&entry.id).map(is_new) {
                Some(false) if is_first => {
                    let message = format!("lanes.{}: {} is there twice", lane.name, entry.id);
                    self.complain(&entry.origin, message, TWICE);
                }
                None if is_first && !self.known.is_known(&entry.id) => {
                    let message = format!("lanes.{}: unknown model \"{}\"", lane.name, entry.id);
                    self.complain(&entry.origin, message, self.known.hint(&entry.id));
                }
                // Told where the lane inside is read, or of the model without a provider.
                Some(_) | None => {}
            }
        }
        if is_first && self.targets.is_empty() {
            let message = format!("lanes.{}: leads nowhere", lane.name);
            let origin = lane.entries.first().map_or(&lane.node.origin, |entry| &entry.origin);
            self.complain(origin, message, "name a default that exists");
        }
    }

    fn open_inside(&mut self, lane: &Written<'_>, entry: &Entry, inner: &'a Written<'a>, when: &Conditions) {
        let is_first = self.path.len() == 1;
        if self.path.contains(&inner.name) {
            if is_first || self.path.first() == Some(&inner.name) {
                let (name, path, id) = (lane.name, self.path.join(" -> "), &entry.id);
                let message = format!("lanes.{name}: the lanes lead in a circle: {path} -> {id}");
                self.complain(&entry.origin, message, "take one of them out of the chain");
            }
            return;
        }
        if entry.is_shared && is_first {
            let message = format!("lanes.{}: the lane {} cannot share a step", lane.name, entry.id);
            self.complain(&entry.origin, message, "name its targets, or give it a step of its own");
        }
        self.path.push(inner.name);
        self.open(inner, when);
        self.path.pop();
    }

    fn complain(&mut self, origin: &Origin, message: String, hint: impl Into<String>) {
        self.findings.complaints.push(origin.complaint(message, hint));
    }
}

/// Takes a target into a chain. `false` where an earlier place of its model takes all the requests that it is for.
fn put(targets: &mut Vec<Arc<Target>>, mut target: Target) -> bool {
    for earlier in targets.iter().filter(|earlier| earlier.model.id == target.model.id) {
        if earlier.step.when.include(&target.step.when) {
            return false;
        }
        target.step.is_repeated = true;
    }
    targets.push(Arc::new(target));
    true
}

/// Regions that no address of any provider is in: nobody could ask for them.
fn complain_of_regions(entries: &[Entry], path: &str, findings: &mut Findings) {
    let named = entries.iter().flat_map(|entry| entry.when.regions.iter().map(move |region| (entry, region)));
    for (Entry { id, origin, .. }, region) in named {
        if findings.regions.contains(&**region) {
            continue;
        }
        let there = || findings.regions.iter().map(String::as_str);
        let hint = meant(region, there()).unwrap_or_else(|| match there().collect::<Vec<_>>().join(", ") {
            none if none.is_empty() => "no address of providers.toml has a region".to_owned(),
            listed => format!("there are: {listed}"),
        });
        let message = format!("{path}: unknown region \"{region}\" in the conditions of {id}");
        findings.complaints.push(origin.complaint(message, hint));
    }
}

fn complain_of_length(targets: &[Arc<Target>], name: &str, origin: &Origin, findings: &mut Findings) {
    if targets.len() > TARGETS_MAX {
        let message = format!("{name}: {} targets are too many", targets.len());
        findings.complaints.push(origin.complaint(message, format!("at most {TARGETS_MAX}")));
    }
}

fn read_rates(lane: &mut Fields<'_, '_>) -> Option<LaneRates> {
    let (table, origin) = lane.table("price")?;
    let path = lane.named("price");
    let mut fields = Fields::new(table, origin, path, lane.findings);
    let [input, output, cache_read, cache_write] =
        ["input", "output", "cache_read", "cache_write"].map(|key| fields.price(key, PicoUsd::per_million));
    if input.is_none() || output.is_none() {
        fields.complain("input", "a lane's price needs input and output", "such as { input = \"1\", output = \"4\" }");
    }
    fields.finish();
    let (input, output) = (input?, output?);
    Some(LaneRates {
        input,
        output,
        cache_read: cache_read.unwrap_or(input),
        cache_write: cache_write.unwrap_or(input),
    })
}

fn read_pins(table: &Table, known: &Known<'_>, findings: &mut Findings) -> Vec<Chain> {
    let mut pins = Vec::new();
    for (name, node) in table.iter().take(CHAINS_MAX) {
        check_name(name, &node.origin, findings);
        let path = format!("pins.{name}");
        let entries = chains::read_steps(node, &path, 0, findings);
        complain_of_regions(&entries, &path, findings);
        let mut targets: Vec<Arc<Target>> = Vec::new();
        for Entry { id, origin, step, weight, when, is_shared: _ } in &entries {
            let number = u16::try_from(*step).unwrap_or(u16::MAX);
            let step = Step { number, weight: *weight, when: when.clone(), is_repeated: false };
            let is_new = known.target(id).map(|target| put(&mut targets, Target { step, ..target }));
            match is_new {
                Some(true) => {}
                Some(false) => {
                    let message = format!("{path}: {id} is there twice");
                    findings.complaints.push(origin.complaint(message, TWICE));
                }
                None if known.is_known(id) => {}
                None => {
                    let message = format!("{path}: unknown model \"{id}\"");
                    findings.complaints.push(origin.complaint(message, known.hint(id)));
                }
            }
        }
        complain_of_length(&targets, &path, &node.origin, findings);
        let Some(first) = targets.first() else {
            if entries.is_empty() {
                findings.complaints.push(node.origin.complaint(format!("pins.{name}: is empty"), "name a model"));
            }
            continue;
        };
        if let Some(other) = targets.iter().find(|target| target.model.canonical != first.model.canonical) {
            let message =
                format!("pins.{name}: mixes the models {} and {}", first.model.canonical, other.model.canonical);
            findings.complaints.push(node.origin.complaint(message, "a pin never changes its model; make it a lane"));
        }
        pins.push(Chain {
            name: name.into(),
            display_name: Arc::clone(&first.model.display_name),
            kind: ChainKind::Pin,
            is_hedged: false,
            rates: None,
            targets,
            mock_targets: Vec::new(),
        });
    }
    pins
}

/// Names travel in headers, labels and JSON.
fn check_name(name: &str, origin: &Origin, findings: &mut Findings) {
    let is_good = |byte: u8| byte.is_ascii_graphic() && !b"\"\\".contains(&byte);
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(is_good) {
        let message = format!("{name:?} cannot be a name");
        findings.complaints.push(origin.complaint(message, "printable characters without spaces and quotes"));
    }
}

/// All names that can be asked for, also those of lanes and pins that were complained about.
struct Names<'a> {
    auto: &'a str,
    lanes: &'a Table,
    pins: &'a Table,
}

impl Names<'_> {
    fn iter(&self) -> impl Iterator<Item = &str> {
        let chains = self.lanes.iter().chain(self.pins.iter()).map(|(name, _)| name);
        std::iter::once(self.auto).chain(chains)
    }

    fn holds(&self, name: &str) -> bool {
        name == self.auto || self.lanes.get(name).is_some() || self.pins.get(name).is_some()
    }

    /// A pin that is named like a lane, or either like the router.
    fn complain_of_doubles(&self, findings: &mut Findings) {
        let pins = self.pins.iter().map(|(name, node)| ("pins", name, node, self.lanes.get(name).is_some()));
        let lanes = self.lanes.iter().map(|(name, node)| ("lanes", name, node, false));
        for (section, name, node, is_lane) in pins.chain(lanes) {
            if is_lane || name == self.auto {
                let message = format!("{section}.{name}: the name is taken");
                findings.complaints.push(node.origin.complaint(message, "lanes, pins and auto.name share one space"));
            }
        }
    }
}

fn read_client_names(table: &Table, names: &Names<'_>, findings: &mut Findings) -> Vec<(String, String)> {
    let mut client_names = Vec::new();
    for (at, (name, node)) in table.iter().enumerate() {
        check_name(name, &node.origin, findings);
        if at == NAMES_MAX {
            let message = format!("client_names: more than {NAMES_MAX} names");
            findings.complaints.push(node.origin.complaint(message, "names beyond are not looked up"));
        }
        let Some(meaning) = as_text(&node.value) else {
            let message = format!("client_names.{name}: expected a text in quotes");
            findings.complaints.push(node.origin.complaint(message, "the name of a pin or lane"));
            continue;
        };
        if names.holds(name) {
            let message = format!("client_names.{name}: the name is taken by a lane or pin");
            findings.complaints.push(node.origin.complaint(message, "take it out, it could never be reached"));
        }
        if !names.holds(&meaning) {
            let hint = meant(&meaning, names.iter()).unwrap_or_else(|| "the name of a pin or lane".to_owned());
            let message = format!("client_names.{name}: unknown alias \"{meaning}\"");
            findings.complaints.push(node.origin.complaint(message, hint));
        }
        client_names.push((name.to_owned(), meaning));
    }
    client_names
}
