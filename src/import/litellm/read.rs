//! What a LiteLLM configuration asks for, and what of it has no counterpart.
//!
//! Must not know Flux's catalogue.

use super::super::decimal::per_million;
use super::super::tree::{Fields, Map, Node, Value};
use super::super::{Place, Report};
use super::reasons;
use crate::base::complaint::Complaint;

/// What begins the name of an environment variable in place of a value.
const FROM_ENVIRONMENT: &str = "os.environ/";
const MS_PER_SECOND: u64 = 1_000;

/// A value, or where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The value itself. Of a key: never to be written anywhere.
    Literal(String),
    /// The name of an environment variable.
    Variable(String),
}

impl Said {
    fn of(node: &Node) -> Option<Self> {
        let text = node.text()?.trim();
        Some(match text.strip_prefix(FROM_ENVIRONMENT) {
            Some(name) => Self::Variable(name.to_owned()),
            None => Self::Literal(text.to_owned()),
        })
    }
}

/// What is said about a model's price and abilities. Prices are USD per million tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stated {
    pub(super) input: Option<String>,
    pub(super) output: Option<String>,
    pub(super) cache_read: Option<String>,
    pub(super) cache_write: Option<String>,
    pub(super) input_tokens_max: Option<u64>,
    pub(super) output_tokens_max: Option<u64>,
    pub(super) vision: Option<bool>,
    pub(super) tools: Option<bool>,
    pub(super) json_schema: Option<bool>,
    pub(super) reasoning: Option<bool>,
    /// What is behind a deployment's own name.
    pub(super) base_model: Option<String>,
}

/// One deployment of `model_list`.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) place: Place,
    /// `model_list[3]`.
    pub(super) path: String,
    /// What clients send.
    pub(super) name: String,
    /// What stands before the first slash, or was named beside.
    pub(super) provider: Option<String>,
    /// The rest.
    pub(super) model: String,
    pub(super) key: Option<Said>,
    pub(super) base: Option<Said>,
    /// Values of placeholders in the provider's addresses.
    pub(super) values: Vec<(&'static str, Said)>,
    /// Lower is tried first.
    pub(super) order: u64,
    /// Higher is tried first among the same order; in millionths.
    pub(super) weight: u64,
    pub(super) stated: Stated,
}

/// A name that stands for another, or names that stand in for one.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) place: Place,
    pub(super) path: String,
    pub(super) from: String,
    pub(super) to: Vec<String>,
}

/// All that is asked for.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) entries: Vec<Entry>,
    pub(super) aliases: Vec<Link>,
    pub(super) fallbacks: Vec<Link>,
    /// For prompts that do not fit.
    pub(super) window_fallbacks: Vec<Link>,
    /// For names without fallbacks of their own.
    pub(super) default_fallbacks: Option<Link>,
    /// Time of a whole request, with place and setting.
    pub(super) total_ms: Option<(u64, Place, String)>,
}

/// Reads a whole configuration.
///
/// # Errors
/// When it is no map, or a section has another shape than it must have.
pub(super) fn read(config: &Node, report: &mut Report) -> Result<Asked, Complaint> {
    let Some(map) = config.map() else {
        return Err(complaint(&config.place, "expected settings by name", "such as model_list: …"));
    };
    let mut asked = Asked::default();
    let mut top = Fields::new(map, "");
    let credentials = read_credentials(top.get("credential_list"), report);
    if let Some(list) = top.get("model_list") {
        let Value::List(entries) = &list.value else {
            return Err(complaint(&list.place, "model_list: expected a list", "each entry begins with - model_name:"));
        };
        for (at, entry) in entries.iter().enumerate() {
            read_entry(entry, format!("model_list[{at}]"), &credentials, &mut asked, report);
        }
    }
    for section in ["router_settings", "litellm_settings"] {
        if let Some(node) = top.get(section) {
            let Some(map) = node.map() else {
                return Err(complaint(&node.place, &format!("{section}: expected settings by name"), "indent them"));
            };
            read_routing(Fields::new(map, section), &mut asked, report);
        }
    }
    if let Some(general) = top.get("general_settings") {
        let Some(map) = general.map() else {
            return Err(complaint(&general.place, "general_settings: expected settings by name", "indent them"));
        };
        drop_unread(&Fields::new(map, "general_settings"), report);
    }
    if let Some(include) = top.get("include") {
        report.kept(&include.place, "include", "read as if it stood here");
    }
    drop_unread(&top, report);
    Ok(asked)
}

fn complaint(place: &Place, message: &str, hint: &str) -> Complaint {
    Complaint { file: place.file.to_string(), line: place.line, message: message.to_owned(), hint: hint.to_owned() }
}

/// Tells of every key that was not asked for.
fn drop_unread(fields: &Fields<'_>, report: &mut Report) {
    for (key, node) in fields.unread() {
        let setting = fields.named(key);
        report.dropped(&node.place, setting, reasons::of(key));
    }
}

/// Credentials by name.
fn read_credentials(list: Option<&Node>, report: &mut Report) -> Vec<(String, Map)> {
    let mut credentials = Vec::new();
    for (at, node) in list.map(Node::items).unwrap_or_default().iter().enumerate() {
        let Some(map) = node.map() else { continue };
        let mut fields = Fields::new(map, format!("credential_list[{at}]"));
        let name = fields.text("credential_name");
        let values = fields.get("credential_values").and_then(Node::map);
        fields.get("credential_info");
        if let (Some(name), Some(values)) = (name, values) {
            report.kept(&node.place, fields.named(name), "put into the deployments that name it");
            credentials.push((name.to_owned(), values.clone()));
        }
        drop_unread(&fields, report);
    }
    credentials
}

fn read_entry(node: &Node, path: String, credentials: &[(String, Map)], asked: &mut Asked, report: &mut Report) {
    let mut fields = match node.map() {
        Some(map) => Fields::new(map, path.as_str()),
        None => return report.dropped(&node.place, path, "no deployment: it has no model_name"),
    };
    let name = fields.text("model_name").map(str::to_owned);
    let params = fields.get("litellm_params").and_then(Node::map);
    let about = fields.get("model_info").and_then(Node::map).cloned().unwrap_or_default();
    drop_unread(&fields, report);
    let (Some(name), Some(params)) = (name, params) else {
        return report.decide(&node.place, path, "no deployment without model_name and litellm_params");
    };
    let mut params = params.clone();
    if let Some(credential) = params.get("litellm_credential_name").and_then(Node::text) {
        let known = credentials.iter().find(|(name, _)| name == credential);
        match known {
            Some((_, values)) => params.fill_from(values),
            None => report.decide(&node.place, &path, format!("no credential \"{credential}\" in credential_list")),
        }
    }
    let mut params = Fields::new(&params, format!("{path}.litellm_params"));
    let mut about = Fields::new(&about, format!("{path}.model_info"));
    params.get("litellm_credential_name");
    let model = params.text("model").unwrap_or_default().to_owned();
    let stated = read_stated(&mut params, &mut about, report);
    if is_wildcard(&name, &model, node, &path, report) || is_not_chat(&mut about, &model, node, &path, report) {
        return;
    }
    let provider = params.text("custom_llm_provider").map(str::to_owned);
    let (provider, model) = match (provider, model.split_once('/')) {
        (Some(provider), Some((first, rest))) if provider == first => (Some(provider), rest.to_owned()),
        (Some(provider), _) => (Some(provider), model),
        (None, Some((first, rest))) => (Some(first.to_owned()), rest.to_owned()),
        (None, None) => (None, model),
    };
    if let Some(version) = params.get("api_version") {
        let told = "not needed: Flux speaks the v1 API of Azure OpenAI, which has no dated versions";
        report.dropped(&version.place, params.named("api_version"), told);
    }
    let entry = Entry {
        place: node.place.clone(),
        name,
        provider,
        model,
        key: params.get("api_key").and_then(Said::of),
        base: params.get("api_base").or_else(|| params.get("base_url")).and_then(Said::of),
        values: [("aws_region_name", "region"), ("vertex_project", "project"), ("vertex_location", "location")]
            .into_iter()
            .filter_map(|(theirs, ours)| Some((ours, Said::of(params.get(theirs)?)?)))
            .collect(),
        order: read_order(&mut params, report),
        weight: read_weight(&mut params, report),
        stated,
        path,
    };
    drop_unread(&params, report);
    drop_unread(&about, report);
    asked.entries.push(entry);
}

fn read_order(params: &mut Fields<'_>, report: &mut Report) -> u64 {
    let Some(node) = params.get("order") else { return u64::MAX };
    report.kept(&node.place, params.named("order"), "the order of the chain's targets");
    node.whole().unwrap_or(u64::MAX)
}

fn read_weight(params: &mut Fields<'_>, report: &mut Report) -> u64 {
    let Some(node) = params.get("weight") else { return 0 };
    let told = "the heaviest comes first in its chain; Flux tries targets in order and does not spread the load";
    report.changed(&node.place, params.named("weight"), told);
    let millionths = node.text().and_then(per_million).unwrap_or_default();
    millionths.split('.').next().and_then(|whole| whole.parse().ok()).unwrap_or(0)
}

/// `openai/*`, or a name that holds a star.
fn is_wildcard(name: &str, model: &str, node: &Node, path: &str, report: &mut Report) -> bool {
    let is_one = name.contains('*') || model.contains('*');
    if is_one {
        let told = "Flux serves named models only: those of its catalogue need no entry (see flux models), others need \
                    one with a price";
        report.dropped(&node.place, format!("{path} {name}"), told);
    }
    is_one
}

fn is_not_chat(about: &mut Fields<'_>, model: &str, node: &Node, path: &str, report: &mut Report) -> bool {
    let mode = about.text("mode").unwrap_or("chat");
    let is_chat = ["chat", "completion", "responses"].contains(&mode) && !model.contains("embed");
    if !is_chat {
        let mode = if mode == "chat" { "embedding" } else { mode };
        report.dropped(&node.place, format!("{path} {model}"), format!("a model for {mode}: Flux serves chat"));
    }
    !is_chat
}

fn read_stated(params: &mut Fields<'_>, about: &mut Fields<'_>, report: &mut Report) -> Stated {
    let mut price = |key| {
        let (node, setting) = match (params.get(key), about.get(key)) {
            (Some(node), _) => (node, params.named(key)),
            (None, Some(node)) => (node, about.named(key)),
            (None, None) => return None,
        };
        let price = node.text().and_then(per_million);
        if price.is_none() {
            report.decide(&node.place, setting, "is no price: expected USD per token");
        }
        price
    };
    let [input, output, cache_read, cache_write] = [
        "input_cost_per_token",
        "output_cost_per_token",
        "cache_read_input_token_cost",
        "cache_creation_input_token_cost",
    ]
    .map(&mut price);
    let flags = ["supports_vision", "supports_function_calling", "supports_response_schema", "supports_reasoning"];
    let [vision, tools, json_schema, reasoning] = flags.map(|key| about.get(key).and_then(Node::flag));
    let sizes = ["max_input_tokens", "max_output_tokens", "max_tokens"];
    let [input_tokens_max, output_tokens_max, tokens_max] = sizes.map(|key| about.get(key).and_then(Node::whole));
    Stated {
        input,
        output,
        cache_read,
        cache_write,
        input_tokens_max,
        output_tokens_max: output_tokens_max.or(tokens_max),
        vision,
        tools,
        json_schema,
        reasoning,
        base_model: about.text("base_model").or_else(|| params.text("base_model")).map(str::to_owned),
    }
}

/// `router_settings` or `litellm_settings`: both may hold the same.
fn read_routing(mut fields: Fields<'_>, asked: &mut Asked, report: &mut Report) {
    for (key, node) in fields.get("model_group_alias").and_then(Node::map).into_iter().flat_map(Map::iter) {
        let path = format!("{}.{key}", fields.named("model_group_alias"));
        let to = node.text().or_else(|| node.map()?.get("model")?.text());
        match to {
            Some(to) => {
                if node.map().is_some() {
                    report.changed(&node.place, path.as_str(), "its model counts; every name is listed, none hidden");
                }
                let (place, from, to) = (node.place.clone(), key.to_owned(), vec![to.to_owned()]);
                asked.aliases.push(Link { place, path, from, to });
            }
            None => report.decide(&node.place, path, "names no model"),
        }
    }
    for (key, links) in [("fallbacks", &mut asked.fallbacks), ("context_window_fallbacks", &mut asked.window_fallbacks)]
    {
        let path = fields.named(key);
        for node in fields.get(key).map(Node::items).unwrap_or_default() {
            links.extend(read_links(node, &path));
        }
    }
    if let Some(node) = fields.get("default_fallbacks") {
        let path = fields.named("default_fallbacks");
        asked.default_fallbacks =
            Some(Link { place: node.place.clone(), path, from: "*".to_owned(), to: names_in(node) });
    }
    let total = if let Some(node) = fields.get("request_timeout") {
        Some((node, "request_timeout"))
    } else {
        fields.get("timeout").map(|node| (node, "timeout"))
    };
    if let Some((node, key)) = total {
        match node.text().and_then(as_ms) {
            Some(ms) => asked.total_ms = Some((ms, node.place.clone(), fields.named(key))),
            None => report.decide(&node.place, fields.named(key), "expected seconds; see timeouts.total_ms"),
        }
    }
    drop_unread(&fields, report);
}

/// `- gpt-4o: [a, b]`.
fn read_links(node: &Node, path: &str) -> Vec<Link> {
    let entries = node.map().into_iter().flat_map(Map::iter);
    let link = |(from, node): (&str, &Node)| Link {
        place: node.place.clone(),
        path: format!("{path}.{from}"),
        from: from.to_owned(),
        to: names_in(node),
    };
    entries.map(link).collect()
}

/// Names in a list; an item may be a map with the name at `model`.
fn names_in(node: &Node) -> Vec<String> {
    let name = |node: &Node| Some(node.text().or_else(|| node.map()?.get("model")?.text())?.to_owned());
    node.items().iter().filter_map(name).collect()
}

/// Seconds, perhaps with a fraction.
fn as_ms(seconds: &str) -> Option<u64> {
    let micros = per_million(seconds)?;
    let micros: u64 = micros.split('.').next()?.parse().ok()?;
    Some(micros.div_ceil(MS_PER_SECOND)).filter(|ms| *ms > 0)
}
