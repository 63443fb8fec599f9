//! The price of a model as it stands in `models.toml` becomes a price card.
//!
//! Must not know how a request is priced: `catalog::price` does that.

use crate::base::money::PicoUsd;
use crate::catalog::ModelKind;
use crate::catalog::price::{Change, ListedLadder, ListedRates, PriceCard, PriceList, UPLIFT_NONE_MILLI, Window};

use super::fields::{Fields, Findings, as_text};
use super::raw::{Node, Origin, Table, Value};

const MINUTES_PER_HOUR: u16 = 60;
const MINUTES_PER_DAY: u16 = 24 * 60;
/// Windows of one price; a week cut into hours.
const WINDOWS_MAX: usize = 168;
const PROMPT_TOKENS_MAX: u64 = 100_000_000;
/// Ten times the price is a slip of the pen.
const UPLIFT_MAX_MILLI: u32 = 10 * UPLIFT_NONE_MILLI;

/// Reads the price of a model; complains where there is none and `free = true` is not said.
pub(super) fn read(model: &mut Fields<'_, '_>, kind: ModelKind) -> PriceCard {
    let is_free = model.flag("free", false);
    let path = model.named("price");
    let Some((table, origin)) = model.table("price") else {
        if !is_free {
            model.complain("price", "is missing", "state rates, or say free = true");
        }
        return PriceCard::free();
    };
    let mut fields = Fields::new(table, origin, path, model.findings);
    let list = read_list(&mut fields);
    if !is_free {
        complain_of_gaps(&mut fields, &list, kind);
    }
    fields.finish();
    PriceCard::new(&list)
}

/// Nothing may be billed at zero by omission: text needs rates for input and output, the rest its own units.
fn complain_of_gaps(fields: &mut Fields<'_, '_>, list: &PriceList, kind: ModelKind) {
    let mut ladders = vec![&list.standard];
    ladders.extend(list.changes.iter().filter_map(|change| change.standard.as_ref()));
    let per_image = list.per_image.iter().any(|(_, price)| *price > PicoUsd::ZERO);
    let costs = |rate: Option<PicoUsd>| rate.is_some_and(|rate| rate > PicoUsd::ZERO);
    let hint = match kind {
        ModelKind::Chat | ModelKind::Image => "state both, or per_image, or say free = true",
        ModelKind::Embedding => "state input, or say free = true",
        ModelKind::Transcription => "state input and output, or per_minute, or per_hour, or say free = true",
        // Sound that is made comes without a word on tokens.
        ModelKind::Speech => "state per_1m_characters, or say free = true",
    };
    for rates in ladders
        .iter()
        .flat_map(|ladder| std::iter::once(&ladder.rates).chain(ladder.tiers.iter().map(|(_, rates)| rates)))
    {
        let by_token = costs(rates.input) && (costs(rates.output) || costs(rates.output_image));
        let is_priced = match kind {
            ModelKind::Chat | ModelKind::Image => by_token || per_image,
            ModelKind::Embedding => costs(rates.input),
            ModelKind::Transcription => by_token || costs(list.per_audio_hour),
            ModelKind::Speech => costs(list.per_character),
        };
        if costs(list.per_audio_hour) && (costs(rates.input) || costs(rates.input_audio)) {
            fields.complain("rates", "sound is priced by its length too", "state one of them");
        }
        if !is_priced {
            fields.complain("rates", "a price for input or output is missing or zero", hint);
        }
    }
}

fn read_list(fields: &mut Fields<'_, '_>) -> PriceList {
    let as_of = fields.date("as_of");
    if as_of.is_none() {
        fields.complain("as_of", "is missing", "the day on which the price was read, such as \"2026-11-22\"");
    }
    PriceList {
        standard: read_ladder(fields).unwrap_or_default(),
        service_tiers: read_service_tiers(fields),
        changes: read_changes(fields),
        off_peak: read_off_peak(fields),
        regional_uplift_milli: read_uplifts(fields),
        per_image: read_images(fields),
        web_search_per_1k: fields.price("web_search_per_1k_calls", PicoUsd::per_piece),
        per_audio_hour: read_audio(fields),
        per_character: fields.price("per_1m_characters", PicoUsd::per_million),
    }
}

/// `rates` and `tiers`; `None` when there are no rates.
fn read_ladder(fields: &mut Fields<'_, '_>) -> Option<ListedLadder> {
    let rates = fields.table("rates");
    let path = fields.named("rates");
    let rates = rates.map(|(table, origin)| read_rates(table, origin, path, fields.findings));
    let mut tiers = Vec::new();
    for (table, origin) in fields.tables("tiers") {
        let path = fields.named("tiers");
        let mut tier = Fields::new(table, origin, path, fields.findings);
        let over = tier.whole_stated("prompt_tokens_over", 1..=PROMPT_TOKENS_MAX);
        let listed = tier.table("rates");
        match (over, listed) {
            (Some(over), Some((table, origin))) => {
                let path = tier.named("rates");
                tiers.push((over, read_rates(table, origin, path, tier.findings)));
            }
            _ => tier.complain("rates", "a tier needs prompt_tokens_over and rates", ""),
        }
        tier.finish();
    }
    rates.map(|rates| ListedLadder { rates, tiers })
}

fn read_rates(table: &Table, origin: &Origin, path: String, findings: &mut Findings) -> ListedRates {
    let mut fields = Fields::new(table, origin, path, findings);
    let mut rates = ListedRates {
        input: fields.price("input", PicoUsd::per_million),
        output: fields.price("output", PicoUsd::per_million),
        cache_read: fields.price("cache_read", PicoUsd::per_million),
        input_image: fields.price("input_image", PicoUsd::per_million),
        cache_read_image: fields.price("cache_read_image", PicoUsd::per_million),
        output_image: fields.price("output_image", PicoUsd::per_million),
        input_audio: fields.price("input_audio", PicoUsd::per_million),
        output_audio: fields.price("output_audio", PicoUsd::per_million),
        ..ListedRates::default()
    };
    // Providers list it, but no usage tells cached audio apart: it is counted as cached text.
    fields.price("cache_read_audio", PicoUsd::per_million);
    let writes = fields.table("cache_write");
    let path = fields.named("cache_write");
    if let Some((table, origin)) = writes {
        let mut writes = Fields::new(table, origin, path, fields.findings);
        rates.cache_write_m5 = writes.price("5m", PicoUsd::per_million);
        rates.cache_write_m30 = writes.price("30m", PicoUsd::per_million);
        rates.cache_write_h1 = writes.price("1h", PicoUsd::per_million);
        rates.cache_write_h12 = writes.price("12h", PicoUsd::per_million);
        writes.finish();
    }
    fields.finish();
    rates
}

fn read_service_tiers(fields: &mut Fields<'_, '_>) -> Vec<(String, ListedLadder)> {
    let Some((table, _)) = fields.table("service_tiers") else { return Vec::new() };
    let mut tiers = Vec::new();
    for (name, node) in table.iter() {
        let path = fields.named(&format!("service_tiers.{name}"));
        let Value::Table(table) = &node.value else {
            fields.findings.complaints.push(node.origin.complaint(format!("{path}: expected a table"), ""));
            continue;
        };
        let mut tier = Fields::new(table, &node.origin, path, fields.findings);
        match read_ladder(&mut tier) {
            Some(ladder) => tiers.push((name.to_owned(), ladder)),
            None => tier.complain("rates", "is missing", "a service tier needs rates"),
        }
        tier.finish();
    }
    tiers
}

fn read_changes(fields: &mut Fields<'_, '_>) -> Vec<Change> {
    let mut changes = Vec::new();
    for (table, origin) in fields.tables("scheduled") {
        let path = fields.named("scheduled");
        let mut change = Fields::new(table, origin, path, fields.findings);
        let from = change.date("effective_from");
        let standard = read_ladder(&mut change);
        let service_tiers = read_service_tiers(&mut change);
        match from {
            Some(from) => changes.push(Change { from, standard, service_tiers }),
            None => change.complain("effective_from", "is missing", "from when on the change holds"),
        }
        change.finish();
    }
    changes
}

fn read_off_peak(fields: &mut Fields<'_, '_>) -> Option<(ListedRates, Vec<Window>)> {
    let (table, origin) = fields.table("off_peak")?;
    let path = fields.named("off_peak");
    let mut off_peak = Fields::new(table, origin, path, fields.findings);
    let rates = off_peak.table("rates");
    let path = off_peak.named("rates");
    let rates = rates.map(|(table, origin)| read_rates(table, origin, path, off_peak.findings));
    let mut windows = Vec::new();
    for (table, origin) in off_peak.tables("windows_utc") {
        let path = off_peak.named("windows_utc");
        let mut stretch = Fields::new(table, origin, path, off_peak.findings);
        let days = read_days(&mut stretch);
        for hours in stretch.texts("hours") {
            let Some((from_minute, to_minute)) = parse_hours(&hours) else {
                stretch.complain("hours", format!("\"{hours}\" is no stretch of a day"), "such as \"04:00-06:00\"");
                continue;
            };
            windows.extend(days.iter().map(|day| Window { iso_weekday: *day, from_minute, to_minute }));
        }
        stretch.finish();
    }
    if rates.is_none() || windows.is_empty() || windows.len() > WINDOWS_MAX {
        off_peak.complain("rates", format!("off-peak needs rates and 1 to {WINDOWS_MAX} windows_utc"), "");
    }
    off_peak.finish();
    rates.map(|rates| (rates, windows))
}

fn read_days(stretch: &mut Fields<'_, '_>) -> Vec<u8> {
    fn day(node: &Node) -> Option<u8> {
        let Value::Whole(day @ 1..=7) = node.value else { return None };
        u8::try_from(day).ok()
    }
    let days = stretch.node("days").and_then(|node| {
        let Value::List(list) = &node.value else { return None };
        list.iter().map(day).collect()
    });
    days.unwrap_or_else(|| {
        stretch.complain("days", "expected a list of ISO weekdays", "1 is Monday, 7 is Sunday: [6, 7]");
        Vec::new()
    })
}

fn parse_hours(text: &str) -> Option<(u16, u16)> {
    let (from, to) = text.split_once('-')?;
    let (from, to) = (parse_minute(from)?, parse_minute(to)?);
    (from < to).then_some((from, to))
}

fn parse_minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    let at = hour.checked_mul(MINUTES_PER_HOUR)?.checked_add(minute)?;
    (minute < MINUTES_PER_HOUR && at <= MINUTES_PER_DAY).then_some(at)
}

/// Sound by the minute or by the hour, as the provider lists it: some minutes have no finite decimal.
fn read_audio(fields: &mut Fields<'_, '_>) -> Option<PicoUsd> {
    const MINUTES: u64 = 60;
    let per_minute = fields.price("per_minute", PicoUsd::per_piece);
    let per_hour = fields.price("per_hour", PicoUsd::per_piece);
    if per_minute.is_some() && per_hour.is_some() {
        fields.complain("per_hour", "per_minute is there too", "state one of them");
    }
    per_hour.or_else(|| per_minute.map(|price| price.times(MINUTES)))
}

/// Factors such as `us = "1.1"`.
fn read_uplifts(fields: &mut Fields<'_, '_>) -> Vec<(String, u32)> {
    read_named(fields, "regional_uplift", |text| {
        parse_milli(text).filter(|milli| (UPLIFT_NONE_MILLI..=UPLIFT_MAX_MILLI).contains(milli))
    })
}

fn read_images(fields: &mut Fields<'_, '_>) -> Vec<(String, PicoUsd)> {
    read_named(fields, "per_image", |text| PicoUsd::per_piece(text).ok())
}

fn read_named<T>(fields: &mut Fields<'_, '_>, key: &'static str, read: fn(&str) -> Option<T>) -> Vec<(String, T)> {
    let Some((table, _)) = fields.table(key) else { return Vec::new() };
    let mut named = Vec::new();
    for (name, node) in table.iter() {
        let Some(value) = as_text(&node.value).as_deref().and_then(read) else {
            let message = format!("{}: not a usable figure", fields.named(&format!("{key}.{name}")));
            fields.findings.complaints.push(node.origin.complaint(message, "a decimal in quotes, such as \"1.1\""));
            continue;
        };
        named.push((name.to_owned(), value));
    }
    named
}

/// A decimal with up to three places, in thousandths.
pub(super) fn parse_milli(text: &str) -> Option<u32> {
    let millionths = PicoUsd::per_million(text).ok()?.0;
    if millionths % 1_000 != 0 {
        return None;
    }
    u32::try_from(millionths / 1_000).ok()
}
