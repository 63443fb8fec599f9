//! Names that clients send: groups, what stands in for them, and aliases become pins, lanes and client names.
//!
//! Must not know how models are found.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use toml::Value;

use super::super::Report;
use super::super::catalogue::{self, Catalogue, key};
use super::models::Target;
use super::read::{Asked, Entry, Link};

const HEAD: &str = "# Imported from LiteLLM.\n";
const REPLACED: &str = "replaced by an imported name";

/// A deployment in its group.
#[derive(Debug)]
struct Member {
    target: Target,
    order: u64,
    weight: u64,
}

/// Deployments by name, in the order of the file.
#[derive(Debug)]
struct Group {
    name: String,
    entry: Entry,
    members: Vec<Member>,
}

/// All groups.
#[derive(Debug, Default)]
pub(super) struct Groups(Vec<Group>);

impl Groups {
    /// Adds a deployment to the group of its name.
    pub(super) fn add(&mut self, entry: &Entry, target: Target) {
        let member = Member { target, order: entry.order, weight: entry.weight };
        match self.0.iter_mut().find(|group| group.name == entry.name) {
            Some(group) => group.members.push(member),
            None => {
                self.0.push(Group { name: entry.name.clone(), entry: entry.clone(), members: vec![member] });
            }
        }
    }

    /// The targets of a group, best first, each once.
    fn targets(&self, name: &str) -> Vec<&Target> {
        let Some(group) = self.0.iter().find(|group| group.name == name) else { return Vec::new() };
        let mut members: Vec<&Member> = group.members.iter().collect();
        members.sort_by_key(|member| (member.order, std::cmp::Reverse(member.weight)));
        let mut targets: Vec<&Target> = Vec::new();
        for member in members {
            if !targets.contains(&&member.target) {
                targets.push(&member.target);
            }
        }
        targets
    }

    /// The targets of a group and of whatever stands in for it, as far as the links lead.
    fn chain(&self, name: &str, asked: &Asked) -> Vec<&Target> {
        let mut names = vec![name];
        let mut at = 0;
        while let Some(name) = names.get(at).copied() {
            for next in stand_ins(name, asked) {
                if !names.contains(&next) {
                    names.push(next);
                }
            }
            at += 1;
        }
        let mut targets: Vec<&Target> = Vec::new();
        for target in names.iter().flat_map(|name| self.targets(name)) {
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
        targets
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|group| group.name == name)
    }

    /// Writes all names into `lanes.toml` and returns each with its targets.
    pub(super) fn write(
        &self,
        asked: &Asked,
        catalogue: &Catalogue,
        text: &mut String,
        report: &mut Report,
    ) -> Vec<(String, Vec<String>)> {
        self.tell_links(asked, report);
        let mut names = Vec::new();
        let (mut pins, mut mixed) = (String::new(), String::new());
        for Group { name, entry, members } in &self.0 {
            let setting = format!("{} {name}", entry.path);
            if !is_name(name) {
                report.decide(
                    &entry.place,
                    setting,
                    "cannot be a name: printable characters without spaces and quotes",
                );
                continue;
            }
            if catalogue.has_chain(name) {
                report.decide(
                    &entry.place,
                    setting,
                    "the name is Flux's own: rename the lane or pin in lanes.toml first",
                );
                continue;
            }
            let targets = self.chain(name, asked);
            let ids: Vec<String> = targets.iter().map(|target| target.id.clone()).collect();
            let models: BTreeSet<&str> = targets.iter().map(|target| target.canonical.as_str()).collect();
            let what = if models.len() == 1 { "pin" } else { "lane" };
            if models.len() == 1 {
                _ = writeln!(pins, "{} = {}", key(name), Value::from(ids.clone()));
            } else {
                mixed.push_str(&lane(name, &ids));
            }
            let told = format!("lanes.toml: {what} {name} = {}", ids.join(", "));
            report.kept(&entry.place, setting.as_str(), told);
            if members.len() > self.targets(name).len() {
                report.changed(&entry.place, setting.as_str(), "deployments that are the same to Flux were joined");
            }
            if let Some(old) = catalogue.client_name(name) {
                catalogue::comment_out(text, "client_names", name, REPLACED);
                report.changed(&entry.place, setting, format!("it led to {old} before; now to what is imported"));
            }
            names.push((name.clone(), ids));
        }
        let aliases = aliases(asked, catalogue, &names, text, report);
        for (section, lines) in [("pins", pins), ("client_names", aliases)] {
            let lines = if lines.is_empty() { lines } else { format!("{HEAD}{lines}") };
            catalogue::insert(text, section, &lines);
        }
        text.push_str(&mixed);
        names
    }

    /// Tells what becomes of each link, and which lead nowhere.
    fn tell_links(&self, asked: &Asked, report: &mut Report) {
        let window = "targets whose window is too small are passed over; after other failures they are tried too";
        let all = asked.fallbacks.iter().map(|link| (link, "targets at the end of the chain"));
        let all = all.chain(asked.window_fallbacks.iter().map(|link| (link, window)));
        let defaults = asked.default_fallbacks.iter();
        for (link, told) in all.chain(defaults.map(|link| (link, "targets at the end of chains without fallbacks"))) {
            let missing: Vec<&str> = link.to.iter().map(String::as_str).filter(|name| !self.has(name)).collect();
            let Link { place, path, from, to: _ } = link;
            if from != "*" && !self.has(from) {
                report.dropped(place, path.as_str(), format!("no deployment is named {from}"));
            } else if missing.is_empty() {
                report.kept(place, path.as_str(), told);
            } else {
                report.decide(place, path.as_str(), format!("no deployment is named {}", missing.join(", ")));
            }
        }
    }
}

/// Writes the names that stand for others and returns their lines.
fn aliases(
    asked: &Asked,
    catalogue: &Catalogue,
    names: &[(String, Vec<String>)],
    text: &mut String,
    report: &mut Report,
) -> String {
    let mut lines = String::new();
    for Link { place, path, from, to } in &asked.aliases {
        let Some(to) = to.first() else { continue };
        let is_imported = names.iter().any(|(name, _)| name == to);
        let meaning =
            if is_imported || catalogue.has_chain(to) { Some(to.as_str()) } else { catalogue.client_name(to) };
        let is_taken = names.iter().any(|(name, _)| name == from) || catalogue.has_chain(from);
        match meaning {
            _ if is_taken => {
                report.decide(place, path.as_str(), format!("the name {from} is taken by a lane or pin"));
            }
            _ if !is_name(from) => report.decide(place, path.as_str(), format!("{from:?} cannot be a name")),
            None => report.decide(place, path.as_str(), format!("nothing is named {to}")),
            Some(meaning) => {
                catalogue::comment_out(text, "client_names", from, REPLACED);
                _ = writeln!(lines, "{} = {}", key(from), Value::from(meaning));
                report.kept(place, path.as_str(), format!("lanes.toml: client name {from} = {meaning}"));
            }
        }
    }
    lines
}

/// The names that stand in for one, as they are listed.
fn stand_ins<'a>(name: &str, asked: &'a Asked) -> Vec<&'a str> {
    let of_name = |links: &'a [Link]| {
        let links = links.iter().filter(|link| link.from == name);
        links.flat_map(|link| link.to.iter().map(String::as_str)).collect::<Vec<_>>()
    };
    let mut names = of_name(&asked.fallbacks);
    if names.is_empty() {
        let star = asked.fallbacks.iter().filter(|link| link.from == "*");
        let defaults = asked.default_fallbacks.iter().chain(star);
        names.extend(defaults.flat_map(|link| link.to.iter().map(String::as_str)));
    }
    names.extend(of_name(&asked.window_fallbacks));
    names
}

fn lane(name: &str, ids: &[String]) -> String {
    let Some((first, rest)) = ids.split_first() else { return String::new() };
    let mut lane = format!("\n{HEAD}[lanes.{}]\ndefault = {}\n", key(name), Value::from(first.as_str()));
    if !rest.is_empty() {
        _ = writeln!(lane, "fallbacks = {}", Value::from(rest.to_vec()));
    }
    lane
}

/// As `lanes.toml` wants names.
fn is_name(name: &str) -> bool {
    const NAME_BYTES_MAX: usize = 256;
    let is_good = |byte: u8| byte.is_ascii_graphic() && !b"\"\\".contains(&byte);
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(is_good)
}
