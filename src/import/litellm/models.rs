//! Which model of the catalogue a deployment serves, or a new one where there is none.
//!
//! Must not know names of clients. A price is never made up: a model without one is written without one, which
//! `flux check` refuses with its line.

use std::fmt::Write as _;

use toml::{Table, Value};

use super::super::Report;
use super::super::catalogue::{self, Catalogue, text_at};
use super::super::decimal::is_zero;
use super::providers::Spot;
use super::read::{Entry, Stated};

const COPIES_MAX: usize = 1_000;
/// What LiteLLM puts before a model's name to choose an endpoint of its provider.
const ENDPOINTS: [&str; 4] = ["converse/", "invoke/", "responses/", "chat/"];
const KEYS_IN_FRONT: [&str; 8] =
    ["model", "canonical", "display_name", "developer", "kind", "status", "released", "formats"];
const PRICE_IN_FRONT: [&str; 2] = ["as_of", "rates"];

/// Where a request may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// `provider/slug`.
    pub(super) id: String,
    /// Same value, same weights.
    pub(super) canonical: String,
}

/// A model that the catalogue has not.
#[derive(Debug)]
struct Made {
    provider: String,
    model: String,
    stated: Stated,
    target: Target,
    table: Table,
}

/// All models of an import.
#[derive(Debug)]
pub(super) struct Models<'a> {
    catalogue: &'a Catalogue,
    today: &'a str,
    made: Vec<Made>,
}

impl<'a> Models<'a> {
    pub(super) fn new(catalogue: &'a Catalogue, today: &'a str) -> Self {
        Self { catalogue, today, made: Vec::new() }
    }

    /// Finds or makes the model of a deployment.
    pub(super) fn target(&mut self, entry: &Entry, spot: &Spot, report: &mut Report) -> Target {
        let model = ENDPOINTS.iter().find_map(|start| entry.model.strip_prefix(start)).unwrap_or(&entry.model);
        let known = if spot.serves_template { self.known(entry, model, &spot.template) } else { None };
        let stated = &entry.stated;
        if let Some((id, table)) = known
            && spot.provider == spot.template
            && (stated.input.is_none() && stated.output.is_none() || has_price(table, stated))
        {
            tell_unserved(self.catalogue, entry, spot, table, report);
            let prices = Stated { input: None, output: None, cache_read: None, cache_write: None, ..stated.clone() };
            if prices != Stated::default() {
                let told = format!("what the catalogue says of {id} counts; edit it in models.toml");
                report.changed(&entry.place, format!("{}.model_info", entry.path), told);
            }
            return Target { id: id.to_owned(), canonical: text_at(table, "canonical").to_owned() };
        }
        let is_same = |made: &&Made| made.provider == spot.provider && made.model == model && made.stated == *stated;
        if let Some(made) = self.made.iter().find(is_same) {
            return made.target.clone();
        }
        let mut table = known.map_or_else(|| self.fresh(entry, model, spot), |(_, table)| table.clone());
        table.insert("model".to_owned(), model.into());
        set_abilities(&mut table, stated);
        let id = self.free_id(&spot.provider, model);
        self.set_price(&mut table, entry, &id, report);
        tell_unserved(self.catalogue, entry, spot, &table, report);
        report.changed(
            &entry.place,
            format!("{}.litellm_params.model", entry.path),
            format!("models.toml: [\"{id}\"]"),
        );
        let target = Target { id, canonical: text_at(&table, "canonical").to_owned() };
        let (provider, model, stated) = (spot.provider.clone(), model.to_owned(), stated.clone());
        self.made.push(Made { provider, model, stated, target: target.clone(), table });
        target
    }

    /// The catalogue's model of this name: as the provider names it, or behind a deployment's own name.
    fn known(&self, entry: &Entry, model: &str, template: &str) -> Option<(&'a str, &'a Table)> {
        let base = entry.stated.base_model.as_deref();
        let base = base.map(|base| base.split_once('/').map_or(base, |(_, model)| model));
        let catalogue = self.catalogue;
        base.into_iter().chain([model]).find_map(|name| {
            let is_named = |id: &str, table: &Table| {
                text_at(table, "model") == name || id.split_once('/').is_some_and(|(_, slug)| slug == name)
            };
            catalogue.models_of(template).find(|(id, table)| is_named(id, table))
        })
    }

    /// A model of which nothing but the name is known. It speaks what its provider's others speak.
    fn fresh(&self, entry: &Entry, model: &str, spot: &Spot) -> Table {
        let is_claude = |name: &str| name.contains("claude");
        let mut others = self.catalogue.models_of(&spot.template);
        let other = others.find(|(id, table)| is_claude(id) == is_claude(model) && text_at(table, "kind") == "chat");
        let other = other.filter(|_| spot.serves_template).map(|(_, table)| table);
        let name = entry.stated.base_model.as_deref().unwrap_or(model);
        let canonical = name.rsplit('/').next().unwrap_or(name);
        let mut table = Table::new();
        table.insert("canonical".to_owned(), canonical.into());
        table.insert("display_name".to_owned(), canonical.into());
        table.insert("kind".to_owned(), "chat".into());
        let formats = other.and_then(|table| table.get("formats")).cloned();
        let usual = match spot.template.as_str() {
            "anthropic" => "anthropic-messages",
            _ => "openai-chat",
        };
        table.insert("formats".to_owned(), formats.unwrap_or_else(|| Value::from(vec![usual])));
        if let Some(secondary) = other.and_then(|table| table.get("secondary_formats")) {
            table.insert("secondary_formats".to_owned(), secondary.clone());
        }
        table
    }

    fn free_id(&self, provider: &str, model: &str) -> String {
        let first = format!("{provider}/{model}");
        let is_taken =
            |id: &String| self.catalogue.models.contains_key(id) || self.made.iter().any(|made| made.target.id == *id);
        let numbered = (2..COPIES_MAX).map(|at| format!("{first}-{at}"));
        std::iter::once(first.clone()).chain(numbered).find(|id| !is_taken(id)).unwrap_or(first)
    }

    /// The stated price, else the catalogue's; with neither, the operator is asked.
    fn set_price(&self, table: &mut Table, entry: &Entry, id: &str, report: &mut Report) {
        let stated = &entry.stated;
        let setting = format!("{}.model_info", entry.path);
        let prices = [("input", &stated.input), ("output", &stated.output), ("cache_read", &stated.cache_read)];
        if stated.input.is_none() && stated.output.is_none() {
            let is_priced = table.contains_key("price") || table.get("free").is_some();
            if !is_priced {
                let told = format!("no price known: state rates below [\"{id}\"] in models.toml, or free = true");
                report.decide(&entry.place, setting, told);
            }
            return;
        }
        table.remove("free");
        table.remove("price");
        if [&stated.input, &stated.output].iter().all(|price| price.as_deref().is_some_and(is_zero)) {
            table.insert("free".to_owned(), true.into());
            return report.kept(&entry.place, setting, format!("models.toml: {id} is free, as its price of 0 says"));
        }
        let mut rates = Table::new();
        for (name, price) in prices {
            if let Some(price) = price {
                rates.insert(name.to_owned(), price.as_str().into());
            }
        }
        if let Some(price) = &stated.cache_write {
            // The lifetime that providers give where none is asked for.
            let writes = Table::from_iter([("5m".to_owned(), Value::from(price.as_str()))]);
            rates.insert("cache_write".to_owned(), writes.into());
        }
        let is_whole = [&stated.input, &stated.output].iter().all(|p| p.as_deref().is_some_and(|p| !is_zero(p)));
        let price =
            Table::from_iter([("as_of".to_owned(), Value::from(self.today)), ("rates".to_owned(), rates.into())]);
        table.insert("price".to_owned(), price.into());
        if is_whole {
            report.kept(&entry.place, setting, format!("models.toml: the price of {id}, per million tokens"));
        } else {
            let told =
                format!("a price for input or output is missing or zero: complete [\"{id}\".price] in models.toml");
            report.decide(&entry.place, setting, told);
        }
    }

    /// Writes what has come up into `models.toml`.
    pub(super) fn write(&self, text: &mut String) {
        for Made { target, table, .. } in &self.made {
            let mut table = table.clone();
            let price = table.remove("price");
            let name = Value::from(target.id.as_str());
            _ = write!(text, "\n[{name}]\n{}", catalogue::lines(&table, &KEYS_IN_FRONT));
            if let Some(price) = price.as_ref().and_then(Value::as_table) {
                _ = write!(text, "[{name}.price]\n{}", catalogue::lines(price, &PRICE_IN_FRONT));
            }
        }
    }
}

/// Whether a model of the catalogue has the stated price; then the catalogue's, which knows more, is taken.
fn has_price(table: &Table, stated: &Stated) -> bool {
    let rates = table.get("price").and_then(|price| price.get("rates")).and_then(Value::as_table);
    let Some(rates) = rates else { return false };
    let is = |key: &str, price: &Option<String>| price.as_deref().is_none_or(|price| text_at(rates, key) == price);
    is("input", &stated.input) && is("output", &stated.output) && is("cache_read", &stated.cache_read)
}

fn set_abilities(table: &mut Table, stated: &Stated) {
    let whole = |count: u64| Value::from(i64::try_from(count).unwrap_or(i64::MAX));
    if let Some(tokens) = stated.input_tokens_max {
        table.insert("input_tokens_max".to_owned(), whole(tokens));
        let context = table.get("context_tokens").and_then(Value::as_integer);
        if context.is_some_and(|context| u64::try_from(context).is_ok_and(|context| context < tokens)) {
            table.remove("context_tokens");
        }
    }
    if let Some(tokens) = stated.output_tokens_max {
        table.insert("output_tokens_max".to_owned(), whole(tokens));
    }
    match stated.vision {
        Some(true) => _ = table.entry("input").or_insert_with(|| Value::from(vec!["text", "image"])),
        Some(false) => _ = table.insert("input".to_owned(), Value::from(vec!["text"])),
        None => {}
    }
    let mut can = table.get("capabilities").and_then(Value::as_table).cloned().unwrap_or_default();
    for (name, flag) in [("tools", stated.tools), ("json_schema", stated.json_schema), ("reasoning", stated.reasoning)]
    {
        if let Some(flag) = flag {
            can.insert(name.to_owned(), flag.into());
        }
    }
    if !can.is_empty() {
        table.insert("capabilities".to_owned(), can.into());
    }
}

/// A model that is there but cannot be reached by clients of this version is told of.
fn tell_unserved(catalogue: &Catalogue, entry: &Entry, spot: &Spot, model: &Table, report: &mut Report) {
    let Some(provider) = catalogue.provider(&spot.template) else { return };
    let is_authorized = !["oauth2", "aws-sigv4"].contains(&text_at(provider, "auth"));
    let formats = ["formats", "secondary_formats"].into_iter().filter_map(|key| model.get(key)?.as_array()).flatten();
    let served = formats.filter_map(Value::as_str).any(|format| {
        let endpoint = provider.get("formats").and_then(|formats| formats.get(format));
        let path = endpoint.and_then(|endpoint| endpoint.as_str().or_else(|| endpoint.get("path")?.as_str()));
        ["openai-chat", "anthropic-messages"].contains(&format) && path.is_none_or(|path| !path.contains("{model}"))
    });
    if !is_authorized || !served {
        let told = format!("in the catalogue, but {} is not served to clients of this version yet", spot.template);
        report.changed(&entry.place, format!("{} {}", entry.path, entry.name), told);
    }
}
