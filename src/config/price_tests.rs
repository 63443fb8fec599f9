//! Prices of the shipped catalogue against worked examples, to the last digit.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;

use super::check::check;
use super::fields::parse_date;
use super::tests::shipped;
use crate::base::money::PicoUsd;
use crate::base::time::UnixMs;
use crate::base::usage::{CacheWrite, Usage};
use crate::catalog::Model;
use crate::catalog::price::Circumstances;

#[derive(Deserialize)]
struct Examples {
    cases: Vec<Example>,
}

#[derive(Deserialize)]
struct Example {
    name: String,
    offering: String,
    at: String,
    #[serde(default)]
    service_tier: String,
    #[serde(default)]
    region: String,
    usage: ExampleUsage,
    prompt_tokens_for_tier: u64,
    expected: Expected,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct ExampleUsage {
    input: u64,
    cache_read: u64,
    cache_write: HashMap<String, u64>,
    output: u64,
    output_image: u64,
    images: HashMap<String, u64>,
}

#[derive(Deserialize)]
struct Expected {
    cost_usd: String,
}

fn models() -> HashMap<String, Arc<Model>> {
    let catalog = check(&shipped(), &[]).unwrap().catalog;
    catalog.models().iter().map(|model| (model.id.to_string(), Arc::clone(model))).collect()
}

/// `0.0012825` USD as pico-USD, exactly.
fn pico(usd: &str) -> PicoUsd {
    let (whole, fraction) = usd.split_once('.').unwrap_or((usd, ""));
    PicoUsd(format!("{whole}{fraction:0<12}").parse().unwrap())
}

/// T-20: cache writes of five minutes and of an hour at their own prices. T-21: reasoning is not added twice, and the
/// prices of long prompts hold.
#[test]
fn the_worked_examples_come_out_to_the_last_digit() {
    let examples: Examples = serde_json::from_str(include_str!("../../tests/golden/price-examples.json")).unwrap();
    assert_eq!(examples.cases.len(), 21);
    let models = models();
    for case in examples.cases {
        let ExampleUsage { input, cache_read, cache_write, output, output_image, images } = case.usage;
        let written = |life: &str| cache_write.get(life).copied().unwrap_or(0);
        let cache_write = CacheWrite { m5: written("5m"), m30: written("30m"), h1: written("1h"), h12: written("12h") };
        let usage = Usage { input, cache_read, cache_write, output, output_image, ..Usage::default() };
        assert_eq!(usage.prompt_total(), case.prompt_tokens_for_tier, "{}", case.name);
        let images: Vec<_> = images.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        let circumstances = Circumstances {
            at: parse_date(&case.at).unwrap(),
            service_tier: &case.service_tier,
            region: &case.region,
            images: &images,
            web_searches: 0,
            ..Circumstances::default()
        };
        let cost = models[&case.offering].price.cost(&usage, &circumstances);
        assert_eq!(cost, pico(&case.expected.cost_usd), "{}", case.name);
    }
}

#[test]
fn every_model_costs_something_unless_it_is_self_hosted() {
    let usage = Usage { input: 1, output: 1, ..Usage::default() };
    let pieces = Circumstances { audio_ms: 1, characters: 1, ..Circumstances::default() };
    let circumstances = Circumstances { images: &[("medium@1k", 1)], ..pieces };
    for (id, model) in models() {
        let is_free = model.price.cost(&usage, &circumstances) == PicoUsd::ZERO;
        assert_eq!(is_free, id.starts_with("vllm/") || id.starts_with("ollama/"), "{id}");
    }
}

#[test]
fn dated_changes_and_odd_tiers() {
    let models = models();
    let usage = Usage { input: 1_000_000, output: 0, ..Usage::default() };
    let cost = |id: &str, at: &str, service_tier: &str, region: &str| {
        let at = parse_date(at).unwrap();
        let circumstances = Circumstances { at, service_tier, region, ..Circumstances::default() };
        models[id].price.cost(&usage, &circumstances)
    };
    let cases = [
        ("google/gemini-3.8-flash", "2026-12-31T23:59:59Z", "", "", "0.75"),
        ("google/gemini-3.8-flash", "2027-01-01", "", "", "1.5"),
        ("google/gemini-3.8-flash", "2027-01-01", "priority", "", "2.7"),
        ("google/gemini-3.8-flash", "2027-01-01", "standard", "", "1.5"),
        ("google/gemini-3.8-flash", "2027-01-01", "never heard of", "", "1.5"),
        ("deepseek/deepseek-flash", "2026-11-22T02:00:00Z", "", "", "0.15"),
        ("deepseek/deepseek-flash", "2026-11-23T00:59:59Z", "", "", "0.15"),
        ("deepseek/deepseek-flash", "2026-11-23T01:00:00Z", "", "", "0.3"),
        ("deepseek/deepseek-flash", "2026-11-23T03:59:59Z", "", "", "0.3"),
        ("deepseek/deepseek-flash", "2026-11-23T09:59:59Z", "", "", "0.3"),
        ("deepseek/deepseek-flash", "2026-11-23T10:00:00Z", "", "", "0.15"),
        ("openai/gpt-6.2-sol", "2026-11-23", "", "", "4"),
        ("openai/gpt-6.2-sol", "2026-11-23", "", "eu", "4.4"),
        ("openai/gpt-6.2-sol", "2026-11-23", "", "mars", "4"),
        ("openai/gpt-6.2-sol", "2026-11-23", "fast", "", "8"),
        ("openai/gpt-6.2-sol", "2026-11-23", "ultrafast", "", "6"),
    ];
    for (id, at, service_tier, region, usd) in cases {
        assert_eq!(cost(id, at, service_tier, region), pico(usd), "{id} {at} {service_tier} {region}");
    }
}

#[test]
fn searches_and_images_are_pieces() {
    let models = models();
    let none = Usage::default();
    let cost = |id: &str, images: &[(&str, u64)], web_searches| {
        let circumstances = Circumstances { at: UnixMs(0), images, web_searches, ..Circumstances::default() };
        models[id].price.cost(&none, &circumstances)
    };
    assert_eq!(cost("openai/gpt-6-luna", &[], 3), pico("0.03"));
    assert_eq!(cost("xai/grok-imagine-image-2.0", &[("low@1k", 1), ("medium@2k", 2)], 0), pico("0.2"));
    assert_eq!(cost("xai/grok-imagine-image-2.0", &[("unheard@9k", 1)], 0), pico("0.06"));
    assert_eq!(cost("google/gemini-nano-banana-2.1", &[("any", 5)], 0), PicoUsd::ZERO, "paid by image tokens");
}
