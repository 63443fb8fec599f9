//! `providers.toml` becomes providers with endpoints, keys and the reason why one is not live.
//!
//! Must not print a key: complaints about keys name the variable only.

use std::collections::HashMap;
use std::sync::Arc;

use crate::base::secret::Secret;
use crate::base::wire_format::WireFormat;
use crate::catalog::MOCK_ID;
use crate::catalog::kept::Kept;
use crate::catalog::provider::{AuthKind, Dialect, Endpoint, Endpoints, Provider, StreamUsage};

use super::accesses;
use super::address::{self, BaseUrl, LinkLocal};
use super::fields::{Fields, Findings, as_text, meant};
use super::raw::{Node, Origin, Table, Value};

/// All formats with the names used in configuration.
pub(super) const FORMATS: [WireFormat; 10] = WireFormat::ALL;
const KEY_BYTES_MAX: usize = 8 << 10;

/// Environment variables by name, for keys.
pub(super) type Environment<'a> = HashMap<&'a str, &'a str>;

/// Reads all providers.
pub(super) fn read(file: &Table, environment: &Environment<'_>, findings: &mut Findings) -> Vec<Arc<Provider>> {
    let mut providers = Vec::new();
    for (id, node) in file.iter() {
        let Value::Table(table) = &node.value else {
            findings.complaints.push(node.origin.complaint(format!("unknown setting {id}"), "a provider is a [table]"));
            continue;
        };
        if node.origin.is_override() {
            let hint = meant(id, file.iter().filter(|(_, node)| !node.origin.is_override()).map(|(known, _)| known));
            let hint = hint.unwrap_or_else(|| "add it to providers.toml first".to_owned());
            findings.complaints.push(node.origin.complaint(format!("unknown provider {id}"), hint));
            continue;
        }
        if id == MOCK_ID {
            findings.complaints.push(node.origin.complaint("the provider mock is built in", "take another name"));
        }
        let mut fields = Fields::new(table, &node.origin, id, findings);
        providers.push(Arc::new(read_one(&mut fields, id, table, environment)));
        fields.finish();
    }
    providers
}

fn read_one(fields: &mut Fields<'_, '_>, id: &str, table: &Table, environment: &Environment<'_>) -> Provider {
    const CONCURRENT_MAX: u64 = 1_000_000;
    let name = fields.text("name").unwrap_or_else(|| id.to_owned());
    let auth = fields.choice("auth", AuthKind::Bearer, &AuthKind::NAMES);
    let key = read_key(fields, environment);
    let is_key_optional = fields.flag("key_optional", false) || auth == AuthKind::None;
    let is_enabled = is_enabled(fields);
    let values = read_values(fields);
    let is_allowed = fields.flag("allow_link_local", false);
    let link_local = if is_allowed { LinkLocal::Allowed } else { LinkLocal::Refused };
    let place = Place { values, link_local, auth };
    let base = read_base(fields, &place);
    let own = accesses::Own { id, table, key, is_key_optional, base: base.as_ref().ok(), place: &place };
    let accesses = accesses::read(fields, &own, environment);
    let has_key = accesses.iter().any(|access| !access.key.expose().is_empty());
    let unusable = match &base {
        _ if !is_enabled => "it is not enabled".to_owned(),
        _ if !auth.is_served() => "its way of authentication is not served yet".to_owned(),
        Err(reason) => reason.clone(),
        Ok(_) if !has_key && !is_key_optional => "it has no key".to_owned(),
        Ok(_) => String::new(),
    };
    Provider {
        id: id.into(),
        name: name.into(),
        headers: read_headers(fields),
        dialect: fields.choice("dialect", Dialect::Plain, &Dialect::NAMES),
        stream_usage: fields.choice("stream_usage", StreamUsage::StreamOptions, &StreamUsage::NAMES),
        reasoning_outside_output: fields.flag("reasoning_outside_output", false),
        cached_outside_input: fields.flag("cached_outside_input", false),
        unusable: unusable.into(),
        accesses,
        concurrent_max: fields.whole("concurrent_max", 0, 0..=CONCURRENT_MAX),
        live: Kept::default(),
    }
}

/// A template such as vLLM is enabled by `enabled = true` or by giving it an address from outside.
fn is_enabled(fields: &mut Fields<'_, '_>) -> bool {
    let stated_outside = fields.node("enabled").is_some_and(|node| node.origin.is_override());
    let moved = fields.node("base_url").is_some_and(|node| node.origin.is_override());
    let stated = fields.flag("enabled", true);
    if stated_outside { stated } else { stated || moved }
}

/// From `FLUX_PROVIDERS__<ID>__API_KEY`, else the first of `api_key_env` that is set and not empty.
fn read_key(fields: &mut Fields<'_, '_>, environment: &Environment<'_>) -> Option<Secret> {
    let names = fields.texts("api_key_env");
    if let Some(node) = fields.node("api_key") {
        if !node.origin.is_override() {
            fields.complain("api_key", "keys do not belong into files", "name a variable in api_key_env");
            return None;
        }
        let text = as_text(&node.value).unwrap_or_default();
        let variable = node.origin.file.to_string();
        if !text.is_empty() {
            return checked_key(fields, &text, &variable);
        }
    }
    key_of_environment(fields, &names, environment)
}

/// The first of the variables that is set and not empty.
pub(super) fn key_of_environment(
    fields: &mut Fields<'_, '_>,
    names: &[String],
    environment: &Environment<'_>,
) -> Option<Secret> {
    let set = |name: &&String| environment.get(name.as_str()).is_some_and(|text| !text.trim().is_empty());
    let name = names.iter().find(set)?;
    let text = environment.get(name.as_str())?.trim();
    checked_key(fields, text, name)
}

/// A key goes into a header: it must be one printable word.
fn checked_key(fields: &mut Fields<'_, '_>, text: &str, variable: &str) -> Option<Secret> {
    if text.len() <= KEY_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some(Secret::new(text));
    }
    let origin = Origin { file: variable.into(), line: 0 };
    let hint = "check for line ends, spaces and quotes inside";
    fields.findings.complaints.push(origin.complaint("holds characters that no key has", hint));
    None
}

/// What fills placeholders, and what holds for all addresses of a provider.
pub(super) struct Place {
    values: Vec<(String, String)>,
    link_local: LinkLocal,
    auth: AuthKind,
}

impl Place {
    /// Fills placeholders; `Err` names the one that has no value. `{model}` stays.
    fn fill(&self, template: &str) -> Result<String, String> {
        let mut filled = template.to_owned();
        for (name, value) in &self.values {
            if !value.is_empty() {
                filled = filled.replace(&format!("{{{name}}}"), value);
            }
        }
        let rest = filled.replace("{model}", "");
        match rest.split_once('{').and_then(|(_, rest)| rest.split_once('}')) {
            Some((name, _)) => Err(name.to_owned()),
            None => Ok(filled),
        }
    }
}

fn read_values(fields: &mut Fields<'_, '_>) -> Vec<(String, String)> {
    read_pairs(fields, "values", |value| {
        value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
    })
}

fn read_headers(fields: &mut Fields<'_, '_>) -> Vec<(Arc<str>, Arc<str>)> {
    let pairs = read_pairs(fields, "headers", |value| value.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    pairs.into_iter().map(|(name, value)| (name.to_ascii_lowercase().into(), value.into())).collect()
}

/// A table of texts, each tested.
fn read_pairs(fields: &mut Fields<'_, '_>, key: &'static str, is_good: fn(&str) -> bool) -> Vec<(String, String)> {
    let Some((table, _)) = fields.table(key) else { return Vec::new() };
    let mut pairs = Vec::new();
    for (name, node) in table.iter() {
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        match as_text(&node.value) {
            Some(value) if is_name && is_good(&value) => pairs.push((name.to_owned(), value)),
            _ => {
                let message = format!("{}: not a usable text", fields.named(&format!("{key}.{name}")));
                fields.findings.complaints.push(node.origin.complaint(message, "plain characters in quotes"));
            }
        }
    }
    pairs
}

/// The base URL, or why there is none. A placeholder without a value is no fault: the provider waits.
pub(super) fn read_base(fields: &mut Fields<'_, '_>, place: &Place) -> Result<BaseUrl, String> {
    let url = fields.text_needed("base_url");
    let filled = place.fill(&url).map_err(|name| format!("its {name} is not set"))?;
    address::parse(&filled, place.link_local).map_err(|error| {
        if !url.is_empty() {
            fields.complain("base_url", error, "such as https://api.example.com/v1");
        }
        "its address is wrong".to_owned()
    })
}

/// The regions that have an address of their own, each with its host.
pub(super) fn read_regional_hosts(fields: &mut Fields<'_, '_>, place: &Place) -> Vec<(String, String)> {
    let mut hosts = Vec::new();
    for (name, url) in read_pairs(fields, "regional_base_urls", |_| true) {
        match address::parse(&url, place.link_local) {
            Ok(regional) => hosts.push((name, regional.host)),
            Err(error) => fields.complain("regional_base_urls", error, "such as https://eu.api.example.com/v1"),
        }
    }
    hosts
}

pub(super) fn read_endpoints(fields: &mut Fields<'_, '_>, place: &Place, base: Option<&BaseUrl>) -> Endpoints {
    let mut endpoints = Endpoints::default();
    let Some((table, _)) = fields.table("formats") else {
        fields.complain("formats", "is missing", "such as formats.openai-chat = \"/chat/completions\"");
        return endpoints;
    };
    let path = fields.named("formats");
    for (name, node) in table.iter() {
        let Some(format) = format_named(name) else {
            let hint = meant(name, FORMATS.iter().map(|format| format.name())).unwrap_or_else(all_formats);
            fields.findings.complaints.push(node.origin.complaint(format!("unknown wire format {name}"), hint));
            continue;
        };
        let name = format!("{path}.{name}");
        if let Some(endpoint) = read_endpoint(node, &name, place, base, fields.findings) {
            endpoints.insert(format, endpoint);
        }
    }
    endpoints
}

/// One entry of `formats`: a path below the base URL, or a table with more to say.
pub(super) fn read_endpoint(
    node: &Node,
    name: &str,
    place: &Place,
    base: Option<&BaseUrl>,
    findings: &mut Findings,
) -> Option<Endpoint> {
    let paths = read_paths(node, name, place.auth, findings)?;
    let is_there = |path: &&String| !path.is_empty();
    for path in [&paths.unary, &paths.stream].into_iter().chain(Some(&paths.count).filter(is_there)) {
        if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            let message = format!("{name}: \"{path}\" is no path");
            findings.complaints.push(node.origin.complaint(message, "begin with a slash"));
            return None;
        }
    }
    let base = base?;
    let prefix = if paths.is_below_base { base.path.as_str() } else { "" };
    let whole = |path: &str| place.fill(&format!("{prefix}{path}")).ok();
    Some(Endpoint {
        host: base.host.as_str().into(),
        port: base.port,
        tls: base.tls,
        authority: base.authority().into(),
        path: whole(&paths.unary)?.into(),
        stream_path: whole(&paths.stream)?.into(),
        count_path: if paths.count.is_empty() { "".into() } else { whole(&paths.count)?.into() },
        auth: paths.auth,
        ready: Kept::default(),
    })
}

/// The paths of a format as they are written.
struct Paths {
    unary: String,
    stream: String,
    /// Empty for none.
    count: String,
    is_below_base: bool,
    auth: AuthKind,
}

fn read_paths(node: &Node, name: &str, auth: AuthKind, findings: &mut Findings) -> Option<Paths> {
    let Value::Table(table) = &node.value else {
        let Some(path) = as_text(&node.value) else {
            findings.complaints.push(node.origin.complaint(format!("{name}: expected a path in quotes"), ""));
            return None;
        };
        return Some(Paths { unary: path.clone(), stream: path, count: String::new(), is_below_base: true, auth });
    };
    let mut fields = Fields::new(table, &node.origin, name, findings);
    let root = fields.text("root_path");
    let below = fields.text("path");
    let stream = fields.text("stream_path");
    let count = fields.text("count_path").unwrap_or_default();
    let auth = fields.choice("auth", auth, &AuthKind::NAMES);
    if root.is_some() == below.is_some() {
        fields.complain("path", "needs either path or root_path", "path begins below base_url, root_path does not");
    }
    fields.finish();
    let is_below_base = root.is_none();
    let unary = root.or(below)?;
    Some(Paths { stream: stream.unwrap_or_else(|| unary.clone()), unary, count, is_below_base, auth })
}

/// A format by its name in configuration.
pub(super) fn format_named(name: &str) -> Option<WireFormat> {
    FORMATS.into_iter().find(|format| format.name() == name)
}

/// The names of all formats, for hints.
pub(super) fn all_formats() -> String {
    format!("one of: {}", FORMATS.map(WireFormat::name).join(", "))
}
