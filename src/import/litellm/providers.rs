//! Where a deployment is: a provider of the catalogue, or a copy of one with another address or key.
//!
//! Must not know models. A key that stands in the file is compared, never written.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use toml::{Table, Value};

use super::super::Report;
use super::super::catalogue::{self, Catalogue, text_at};
use super::read::{Entry, Said};

/// LiteLLM's names of providers and the catalogue's.
const TEMPLATES: [(&str, &str); 21] = [
    ("openai", "openai"),
    ("anthropic", "anthropic"),
    ("azure", "azure-openai"),
    ("bedrock", "bedrock"),
    ("bedrock_converse", "bedrock"),
    ("cerebras", "cerebras"),
    ("deepseek", "deepseek"),
    ("fireworks_ai", "fireworks"),
    ("gemini", "google"),
    ("groq", "groq"),
    ("hosted_vllm", "vllm"),
    ("vllm", "vllm"),
    ("mistral", "mistral"),
    ("ollama", "ollama"),
    ("ollama_chat", "ollama"),
    ("openrouter", "openrouter"),
    ("together_ai", "together"),
    ("vertex_ai", "vertex"),
    ("vertex_ai_beta", "vertex"),
    ("text-completion-openai", "openai"),
    ("xai", "xai"),
];
/// Others whose servers speak Chat Completions; they need an address.
const COMPATIBLE: [&str; 14] = [
    "custom_openai",
    "dashscope",
    "deepinfra",
    "hyperbolic",
    "litellm_proxy",
    "llamafile",
    "lm_studio",
    "moonshot",
    "nvidia_nim",
    "openai_like",
    "perplexity",
    "sambanova",
    "xinference",
    "zai",
];
/// What a name without a provider begins with.
const FAMILIES: [(&str, &str); 6] = [
    ("gpt-", "openai"),
    ("chatgpt-", "openai"),
    ("o1", "openai"),
    ("o3", "openai"),
    ("o4", "openai"),
    ("claude-", "anthropic"),
];
const OPENAI: &str = "openai";
const AZURE: &str = "azure-openai";
/// A base URL that is filled from the environment: a provider waits for it without a complaint.
const BASE_TO_COME: &str = "{base_url}";
const COPIES_MAX: usize = 1_000;
const KEYS_IN_FRONT: [&str; 6] = ["name", "base_url", "auth", "api_key_env", "key_optional", "values"];

/// Where a deployment is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    /// The provider's id.
    pub(super) provider: String,
    /// The provider of the catalogue that it is, or is a copy of.
    pub(super) template: String,
    /// Whether the template's models, and their prices, are what is served there.
    pub(super) serves_template: bool,
}

/// What makes two deployments be at the same provider.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Identity {
    template: String,
    base: Option<Said>,
    key: Option<Said>,
    values: Vec<(&'static str, Said)>,
}

/// A copy of a provider.
#[derive(Debug)]
struct Made {
    identity: Identity,
    id: String,
    table: Table,
}

/// All providers of an import.
#[derive(Debug)]
pub(super) struct Providers<'a> {
    catalogue: &'a Catalogue,
    /// Whose key each provider of the catalogue itself takes.
    claims: BTreeMap<String, Option<Said>>,
    /// Variables that the catalogue's own providers shall read first.
    adopted: BTreeMap<String, String>,
    made: Vec<Made>,
}

impl<'a> Providers<'a> {
    pub(super) fn new(catalogue: &'a Catalogue, entries: &[Entry]) -> Self {
        let mut claims: BTreeMap<String, Option<Said>> = BTreeMap::new();
        for entry in entries {
            let Ok(template) = template(entry) else { continue };
            let Some(provider) = catalogue.provider(template) else { continue };
            if !is_of_catalogue(entry, provider) {
                continue;
            }
            let rank = |key: &Option<Said>| match key {
                Some(Said::Variable(name)) if reads(provider, name) => 3,
                Some(Said::Variable(_)) => 2,
                Some(Said::Literal(_)) => 1,
                None => 0,
            };
            let claim = claims.entry(template.to_owned()).or_insert_with(|| entry.key.clone());
            if rank(&entry.key) > rank(claim) {
                claim.clone_from(&entry.key);
            }
        }
        Self { catalogue, claims, adopted: BTreeMap::new(), made: Vec::new() }
    }

    /// Finds or makes the provider of a deployment; tells why there is none.
    pub(super) fn place(&mut self, entry: &Entry, report: &mut Report) -> Option<Spot> {
        let setting = format!("{}.litellm_params.model", entry.path);
        let template = match template(entry) {
            Ok(template) => template,
            Err(reason) => {
                report.decide(&entry.place, setting, reason);
                return None;
            }
        };
        let Some(provider) = self.catalogue.provider(template) else {
            report.decide(&entry.place, setting, format!("the catalogue has no provider {template}: add it first"));
            return None;
        };
        let is_own = entry.key.is_none() || self.claims.get(template) == Some(&entry.key);
        if is_of_catalogue(entry, provider) && is_own {
            self.claim(entry, template, provider, report);
            return Some(Spot { provider: template.to_owned(), template: template.to_owned(), serves_template: true });
        }
        let serves_template =
            template == AZURE || !entry.base.as_ref().is_some_and(|base| is_elsewhere(base, provider));
        let id = self.copy_of(entry, template, provider, report);
        Some(Spot { provider: id, template: template.to_owned(), serves_template })
    }

    /// The catalogue's own provider serves, with the key of the deployment.
    fn claim(&mut self, entry: &Entry, template: &str, provider: &Table, report: &mut Report) {
        let first = first_variable(provider).unwrap_or_default();
        let setting = format!("{}.litellm_params.api_key", entry.path);
        match &entry.key {
            Some(Said::Variable(name)) => {
                if !reads(provider, name) {
                    self.adopted.insert(template.to_owned(), name.clone());
                    report.changed(&entry.place, setting, format!("providers.toml: {template} reads {name}"));
                }
                report.variable(name, format!("key of {template}"));
            }
            Some(Said::Literal(_)) => {
                report.changed(&entry.place, setting, format!("not copied: set {first} to it"));
                report.variable(&first, format!("key of {template}, which stands in {}", entry.place));
            }
            None if !first.is_empty() => report.variable(&first, format!("key of {template}")),
            None => {}
        }
    }

    /// A copy of a provider with the deployment's address, key and values.
    fn copy_of(&mut self, entry: &Entry, template: &str, provider: &Table, report: &mut Report) -> String {
        let identity = Identity {
            template: template.to_owned(),
            base: entry.base.clone(),
            key: entry.key.clone(),
            values: entry.values.clone(),
        };
        if let Some(made) = self.made.iter().find(|made| made.identity == identity) {
            return made.id.clone();
        }
        let is_taken =
            |id: &String| self.catalogue.provider(id).is_some() || self.made.iter().any(|made| made.id == *id);
        let id = (2..COPIES_MAX).map(|at| format!("{template}-{at}")).find(|id| !is_taken(id)).unwrap_or_default();
        let mut table = provider.clone();
        table.remove("enabled");
        let is_elsewhere = template != AZURE && entry.base.as_ref().is_some_and(|base| is_elsewhere(base, provider));
        if is_elsewhere && template == OPENAI {
            // Somebody else's server: only Chat Completions is sure to be there.
            let chat = Table::from_iter([("openai-chat".to_owned(), Value::from("/chat/completions"))]);
            table.insert("formats".to_owned(), chat.into());
        }
        if is_elsewhere && entry.key.is_none() {
            // The provider's own key must not go there.
            table.insert("key_optional".to_owned(), true.into());
            table.remove("api_key_env");
        }
        set_key(&mut table, entry, &id, report);
        set_base(&mut table, entry, template, &id, report);
        set_values(&mut table, entry, &id, report);
        report.changed(&entry.place, format!("{}.litellm_params", entry.path), format!("providers.toml: [{id}]"));
        self.made.push(Made { identity, id: id.clone(), table });
        id
    }

    /// Writes what has come up into `providers.toml`.
    pub(super) fn write(&self, text: &mut String) {
        for (template, name) in &self.adopted {
            let mut names = vec![name.clone()];
            names.extend(self.catalogue.provider(template).into_iter().flat_map(variables).map(str::to_owned));
            let value = Value::from(names);
            if !catalogue::replace(text, template, "api_key_env", &value) {
                catalogue::insert(text, template, &format!("api_key_env = {value}\n"));
            }
        }
        for Made { identity: _, id, table } in &self.made {
            let lines = catalogue::lines(table, &KEYS_IN_FRONT);
            _ = write!(text, "\n[{}]\n{lines}", catalogue::key(id));
        }
    }
}

/// The provider of the catalogue that a deployment names.
fn template(entry: &Entry) -> Result<&'static str, String> {
    let Some(provider) = &entry.provider else {
        let family = FAMILIES.iter().find(|(start, _)| entry.model.starts_with(start));
        return family
            .map(|(_, template)| *template)
            .ok_or_else(|| format!("\"{}\" names no provider: write it as provider/model", entry.model));
    };
    if let Some((_, template)) = TEMPLATES.iter().find(|(name, _)| name == provider) {
        return Ok(template);
    }
    match (COMPATIBLE.contains(&provider.as_str()), &entry.base) {
        (true, Some(_)) => Ok(OPENAI),
        (true, None) => Err(format!("{provider} needs an api_base")),
        (false, _) => Err(format!("Flux has no provider \"{provider}\": add one to providers.toml, with its models")),
    }
}

fn variables(provider: &Table) -> impl Iterator<Item = &str> {
    provider.get("api_key_env").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

fn first_variable(provider: &Table) -> Option<String> {
    variables(provider).next().map(str::to_owned)
}

fn reads(provider: &Table, name: &str) -> bool {
    variables(provider).any(|known| known == name)
}

/// Whether the provider is meant as it stands in the catalogue, perhaps with another key.
fn is_of_catalogue(entry: &Entry, provider: &Table) -> bool {
    let is_enabled = provider.get("enabled").and_then(Value::as_bool).unwrap_or(true);
    let own = text_at(provider, "base_url");
    let is_same_place = match &entry.base {
        None => true,
        Some(Said::Literal(url)) => {
            let url = url.trim_end_matches('/');
            url == own.trim_end_matches('/') || format!("{url}/v1") == own
        }
        Some(Said::Variable(_)) => false,
    };
    let values = provider.get("values").and_then(Value::as_table);
    let is_same_value = |(name, said): &(&str, Said)| matches!((said, values.map(|values| text_at(values, name))), (Said::Literal(said), Some(own)) if said == own);
    is_enabled && is_same_place && entry.values.iter().all(is_same_value)
}

/// Whether an address leads away from the hosts of a provider, so that its prices say nothing.
fn is_elsewhere(base: &Said, provider: &Table) -> bool {
    let Said::Literal(url) = base else { return true };
    let regional = provider.get("regional_base_urls").and_then(Value::as_table);
    let regional = regional.into_iter().flat_map(Table::values).filter_map(Value::as_str);
    let mut own = regional.chain([text_at(provider, "base_url")]);
    !own.any(|own| host(own) == host(url))
}

fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

fn set_base(table: &mut Table, entry: &Entry, template: &str, id: &str, report: &mut Report) {
    let Some(base) = &entry.base else { return };
    table.remove("regional_base_urls");
    table.remove("values");
    let setting = format!("{}.litellm_params.api_base", entry.path);
    let ours = variable_of(id, "BASE_URL");
    let end = tail(template);
    match base {
        Said::Literal(url) if url.contains(['@', '?', '#']) => {
            report.decide(
                &entry.place,
                setting,
                format!("not copied, it may hold a secret: set {ours} to an address without"),
            );
            report.variable(&ours, format!("address of {id}"));
            table.insert("base_url".to_owned(), BASE_TO_COME.into());
        }
        Said::Literal(url) => {
            let url = url.trim_end_matches('/').trim_end_matches("/chat/completions").trim_end_matches("/messages");
            let whole = if url.ends_with(end) { url.to_owned() } else { format!("{url}{end}") };
            report.kept(&entry.place, setting, format!("providers.toml: {id}.base_url = {whole}"));
            name_after(table, host(&whole));
            table.insert("base_url".to_owned(), whole.into());
        }
        Said::Variable(name) => {
            let told = format!(
                "set {ours} to the value of {name}{}",
                if end.is_empty() { String::new() } else { format!(" and {end}") }
            );
            report.changed(&entry.place, setting, told.as_str());
            report.variable(&ours, format!("address of {id}: the value of {name}{end}"));
            name_after(table, name);
            table.insert("base_url".to_owned(), BASE_TO_COME.into());
        }
    }
}

/// What Flux's address has behind LiteLLM's.
fn tail(template: &str) -> &'static str {
    match template {
        AZURE => "/openai/v1",
        "ollama" | "anthropic" => "/v1",
        _ => "",
    }
}

fn name_after(table: &mut Table, what: &str) {
    let name = format!("{} ({what})", text_at(table, "name"));
    table.insert("name".to_owned(), name.into());
}

fn set_key(table: &mut Table, entry: &Entry, id: &str, report: &mut Report) {
    let setting = format!("{}.litellm_params.api_key", entry.path);
    let names = match &entry.key {
        Some(Said::Variable(name)) => {
            report.kept(&entry.place, setting, format!("providers.toml: {id} reads {name}"));
            report.variable(name, format!("key of {id}"));
            vec![name.clone()]
        }
        Some(Said::Literal(_)) => {
            let name = format!("{}_API_KEY", id.replace('-', "_").to_ascii_uppercase());
            report.changed(&entry.place, setting, format!("not copied: set {name} to it"));
            report.variable(&name, format!("key of {id}, which stands in {}", entry.place));
            vec![name]
        }
        None => {
            let names: Vec<String> = variables(table).map(str::to_owned).collect();
            if let Some(name) = names.first() {
                report.variable(name, format!("key of {id}"));
            }
            names
        }
    };
    if !names.is_empty() && text_at(table, "auth") == "none" {
        table.insert("auth".to_owned(), "bearer".into());
    }
    table.insert("api_key_env".to_owned(), names.into());
}

fn set_values(table: &mut Table, entry: &Entry, id: &str, report: &mut Report) {
    let mut values = table.get("values").and_then(Value::as_table).cloned().unwrap_or_default();
    for (name, said) in &entry.values {
        let setting = format!("{}.litellm_params ({name})", entry.path);
        match said {
            Said::Literal(value) if values.contains_key(*name) => {
                report.kept(&entry.place, setting, format!("providers.toml: {id}.values.{name}"));
                values.insert((*name).to_owned(), value.as_str().into());
            }
            Said::Variable(variable) if values.contains_key(*name) => {
                let ours = variable_of(id, &format!("VALUES__{}", name.to_ascii_uppercase()));
                report.changed(&entry.place, setting, format!("set {ours} to the value of {variable}"));
                report.variable(&ours, format!("{name} of {id}: the value of {variable}"));
            }
            Said::Literal(_) | Said::Variable(_) => {
                report.dropped(&entry.place, setting, format!("addresses of {id} hold no {name}"));
            }
        }
    }
    if !values.is_empty() {
        table.insert("values".to_owned(), values.into());
    }
}

/// The override of a provider's setting.
fn variable_of(id: &str, setting: &str) -> String {
    format!("FLUX_PROVIDERS__{}__{setting}", id.replace('-', "_").to_ascii_uppercase())
}
