//! What a request prefers among providers, read from its header and its body and checked against the catalogue.
//!
//! Must not choose targets: `plan` does.

use std::collections::BTreeSet;

use super::Asked;
use crate::base::money::PicoUsd;
use crate::base::preference::{MaxPrice, PROVIDERS_LISTED_MAX, Preference, Sort};
use crate::base::refusal::{Refusal, RefusalKind};
use crate::catalog::Catalog;
use crate::wire::json::{Document, Kind, Text, Value};

/// The member of the body, and the parameter that a refusal names.
const PROVIDER: &str = "provider";

/// What a request prefers: by its headers `x-flux-provider`, which is an order and a bound, and `x-flux-region`, and by
/// `provider` in its body, which says the rest. A key that stays in a region asks for that with each of its requests.
/// `None` where nothing is said.
pub(super) fn preference(
    asked: &Asked,
    said: Option<&[u8]>,
    catalog: &Catalog,
    region_of_key: Option<&str>,
) -> Result<Option<Preference>, Refusal> {
    let stated = stated(asked, said)?;
    if let Some(preference) = &stated {
        check(preference.names(), preference.region.as_deref(), catalog).map_err(bad)?;
    }
    let Some(region) = region_of_key else { return Ok(stated) };
    let preference = stated.unwrap_or_default();
    if let Some(other) = preference.region.as_deref().filter(|other| *other != region) {
        let message =
            format!("this key stays in the region {region}; ask for that or for none, not for {}", shown(other));
        return Err(Refusal::new(RefusalKind::Forbidden, message).with_param(PROVIDER));
    }
    Ok(Some(Preference { region: Some(region.into()), ..preference }))
}

/// What header and body say.
fn stated(asked: &Asked, said: Option<&[u8]>) -> Result<Option<Preference>, Refusal> {
    let by_body = said.map(read).transpose()?.flatten();
    let by_header = (!asked.providers.is_empty()).then(|| Preference::listed(asked.providers.clone()));
    let mut preference = match (by_header, by_body) {
        (Some(Preference { order, is_strict, .. }), Some(body)) => Preference { order, is_strict, ..body },
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) if asked.region.is_some() => Preference::default(),
        (None, None) => return Ok(None),
    };
    if let Some(region) = &asked.region {
        preference.region = Some(region.clone());
    }
    Ok(Some(preference))
}

/// Checks names of providers, each with the list that it stands in, and that of a region.
///
/// # Errors
/// For the first that is not there: in words, with the names there are.
pub fn check<'n>(
    names: impl Iterator<Item = (&'static str, &'n str)>,
    region: Option<&str>,
    catalog: &Catalog,
) -> Result<(), String> {
    check_names(names, catalog).and_then(|()| check_region(region, catalog))
}

/// A region that no address is in is a word that is spelt wrong, or an address that is not configured.
fn check_region(region: Option<&str>, catalog: &Catalog) -> Result<(), String> {
    let Some(region) = region else { return Ok(()) };
    if catalog.regions().iter().any(|known| **known == *region) {
        return Ok(());
    }
    let there = if catalog.regions().is_empty() { "none".to_owned() } else { catalog.regions().join(", ") };
    Err(format!("there is no region \"{}\"; there are: {there}", shown(region)))
}

fn check_names<'n>(mut names: impl Iterator<Item = (&'static str, &'n str)>, catalog: &Catalog) -> Result<(), String> {
    let is_known = |name: &str| catalog.providers().iter().any(|provider| *provider.id == *name);
    match names.find(|(_, name)| !is_known(name)) {
        None => Ok(()),
        Some((list, name)) => {
            let there = listed(catalog);
            Err(format!("there is no provider \"{}\" as `{list}` has it; there are: {there}", shown(name)))
        }
    }
}

/// The providers that can be asked; all where none can.
fn listed(catalog: &Catalog) -> String {
    let names = |is_wanted: fn(bool) -> bool| -> BTreeSet<&str> {
        let providers = catalog.providers().iter().filter(|provider| is_wanted(provider.is_configured()));
        providers.map(|provider| &*provider.id).collect()
    };
    let live = names(|is_live| is_live);
    let names = if live.is_empty() { names(|_| true) } else { live };
    names.into_iter().collect::<Vec<_>>().join(", ")
}

/// What may stand in a message of what a client has written.
fn shown(name: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 80;
    name.chars().filter(|c| !c.is_control()).take(SHOWN_CHARS_MAX).collect()
}

fn bad(message: String) -> Refusal {
    Refusal::new(RefusalKind::InvalidRequest, message).with_param(PROVIDER)
}

/// `provider` of a body; `None` where it is null.
fn read(value: &[u8]) -> Result<Option<Preference>, Refusal> {
    let document = Document::parse(value).map_err(|error| bad(format!("`provider` is not valid JSON: {error}")))?;
    let root = document.root();
    match root.kind() {
        Kind::Null => return Ok(None),
        Kind::Object => {}
        Kind::Bool | Kind::Number | Kind::Text | Kind::Array => {
            return Err(bad("`provider` must be an object, such as {\"order\": [\"groq\"]}".to_owned()));
        }
    }
    let mut preference = Preference::default();
    let mut seen = BTreeSet::new();
    for (name, value) in root.members() {
        if !seen.insert(name.to_string()) {
            return Err(bad(format!("`provider.{}` is given twice", shown(&name))));
        }
        if !value.is_null() {
            note(&mut preference, &name, value)?;
        }
    }
    Ok(Some(preference))
}

fn note(preference: &mut Preference, name: &str, value: Value<'_>) -> Result<(), Refusal> {
    match name {
        "order" => preference.order = names(name, value)?,
        "only" => preference.only = names(name, value)?,
        "ignore" => preference.ignore = names(name, value)?,
        "sort" => preference.sort = Some(sort(value)?),
        "allow_fallbacks" => {
            let allows =
                value.as_bool().ok_or_else(|| bad("`provider.allow_fallbacks` must be a boolean".to_owned()))?;
            preference.is_strict = !allows;
        }
        "max_price" => preference.max_price = max_price(value)?,
        "region" => {
            let region = value.as_text().ok_or_else(|| bad("`provider.region` must be a text".to_owned()))?;
            preference.region = Some(Box::from(&*region.to_plain()));
        }
        _ => {
            const KNOWN: &str = "order, only, ignore, sort, allow_fallbacks, max_price and region";
            return Err(bad(format!("`provider.{}` is not known; {KNOWN} are", shown(name))));
        }
    }
    Ok(())
}

fn names(list: &str, value: Value<'_>) -> Result<Vec<Box<str>>, Refusal> {
    let refuse =
        || bad(format!("`provider.{list}` must be a list of at most {PROVIDERS_LISTED_MAX} names of providers"));
    if value.kind() != Kind::Array || value.elements().count() > PROVIDERS_LISTED_MAX {
        return Err(refuse());
    }
    let name = |element: Value<'_>| element.as_text().map(|text| Box::from(&*text.to_plain())).ok_or_else(refuse);
    value.elements().map(name).collect()
}

fn sort(value: Value<'_>) -> Result<Sort, Refusal> {
    let text = value.as_text();
    let found = Sort::NAMES.into_iter().find(|(name, _)| text.as_ref().is_some_and(|text| text.is(name)));
    let refuse = || bad("`provider.sort` must be price, latency or throughput".to_owned());
    found.map(|(_, sort)| sort).ok_or_else(refuse)
}

fn max_price(value: Value<'_>) -> Result<MaxPrice, Refusal> {
    let refuse = || {
        let example = "{\"prompt\": 1, \"completion\": 2.5}";
        bad(format!("`provider.max_price` must be USD for a million tokens, such as {example}"))
    };
    if value.kind() != Kind::Object {
        return Err(refuse());
    }
    let mut max = MaxPrice::default();
    for (name, value) in value.members() {
        let place = match &*name {
            "prompt" => &mut max.prompt,
            "completion" => &mut max.completion,
            _ => return Err(refuse()),
        };
        if !value.is_null() {
            let text = value.as_text().map_or(value.spelt().into(), Text::into_plain);
            *place = Some(PicoUsd::per_million(&text).map_err(|_| refuse())?);
        }
    }
    Ok(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<Box<str>> {
        list.iter().map(|name| Box::from(*name)).collect()
    }

    #[test]
    fn preferences_are_read() {
        let price = |text: &str| Some(PicoUsd::per_million(text).unwrap());
        for (said, preference) in [
            ("{}", Preference::default()),
            (r#"{"order":["a","b"]}"#, Preference { order: names(&["a", "b"]), ..Preference::default() }),
            (r#"{"region":"eu"}"#, Preference { region: Some("eu".into()), ..Preference::default() }),
            (r#"{"order":["\u0061"],"allow_fallbacks":false}"#, Preference::listed(names(&["a"]))),
            (
                r#"{"only":["a"], "ignore":["b"], "sort":"latency", "allow_fallbacks":true}"#,
                Preference {
                    only: names(&["a"]),
                    ignore: names(&["b"]),
                    sort: Some(Sort::Latency),
                    ..Preference::default()
                },
            ),
            (
                r#"{"max_price":{"prompt":1.5,"completion":"2"},"order":null,"sort":null}"#,
                Preference {
                    max_price: MaxPrice { prompt: price("1.5"), completion: price("2") },
                    ..Preference::default()
                },
            ),
        ] {
            assert_eq!(read(said.as_bytes()), Ok(Some(preference)), "{said}");
        }
        assert_eq!(read(b"null"), Ok(None));
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (said, told) in [
            (r#""groq""#, "must be an object"),
            (r#"{"order":"groq"}"#, "`provider.order` must be a list"),
            (r#"{"only":[1]}"#, "`provider.only` must be a list"),
            (r#"{"sort":"speed"}"#, "`provider.sort` must be"),
            (r#"{"allow_fallbacks":"no"}"#, "`provider.allow_fallbacks` must be"),
            (r#"{"max_price":2}"#, "`provider.max_price` must be"),
            (r#"{"max_price":{"prompt":-1}}"#, "`provider.max_price` must be"),
            (r#"{"max_price":{"prompt":1e3}}"#, "`provider.max_price` must be"),
            (r#"{"max_price":{"image":1}}"#, "`provider.max_price` must be"),
            (r#"{"region":1}"#, "`provider.region` must be"),
            (r#"{"data_collection":"deny"}"#, "`provider.data_collection` is not known"),
            (r#"{"order":[],"order":[]}"#, "`provider.order` is given twice"),
            (r#"{"order":[}"#, "not valid JSON"),
        ] {
            let refusal = read(said.as_bytes()).unwrap_err();
            assert!(refusal.message.contains(told), "{said}: {}", refusal.message);
            assert_eq!(refusal.param.as_deref(), Some(PROVIDER), "{said}");
        }
        let many = format!("{{\"only\":[{}]}}", vec!["\"a\""; PROVIDERS_LISTED_MAX + 1].join(","));
        assert!(read(many.as_bytes()).is_err());
    }
}
