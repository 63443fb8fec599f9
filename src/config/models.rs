//! `models.toml` becomes models with limits, abilities and prices.
//!
//! Must not know lanes.

use std::sync::Arc;

use crate::base::effort::Effort;
use crate::base::wire_format::WireFormat;
use crate::catalog::provider::Provider;
use crate::catalog::thinking::{ThinkingControl, ThinkingSupport};
use crate::catalog::{Capabilities, Limits, Model, ModelKind};

use super::fields::{Fields, Findings, meant};
use super::prices;
use super::providers::{all_formats, format_named};
use super::raw::{Table, Value};

const TOKENS_MAX: u64 = 1_000_000_000;
/// Factors outside of this are a slip of the pen: known tokenizers are within 0.8 and 2.
const TOKENIZER_FACTOR_MILLI: std::ops::RangeInclusive<u32> = 500..=4_000;
/// Ollama's own format is known but not spoken.
const FORMATS_NOT_SPOKEN: [&str; 1] = ["ollama-native"];

/// Reads all models.
pub(super) fn read(file: &Table, providers: &[Arc<Provider>], findings: &mut Findings) -> Vec<Arc<Model>> {
    let mut models = Vec::new();
    for (id, node) in file.iter() {
        let Value::Table(table) = &node.value else {
            findings.complaints.push(node.origin.complaint(format!("unknown setting {id}"), "a model is a [table]"));
            continue;
        };
        if node.origin.is_override() {
            let hint = meant(id, file.iter().filter(|(_, node)| !node.origin.is_override()).map(|(known, _)| known));
            let hint = hint.unwrap_or_else(|| "add it to models.toml first".to_owned());
            findings.complaints.push(node.origin.complaint(format!("unknown model {id}"), hint));
            continue;
        }
        let mut fields = Fields::new(table, &node.origin, id, findings);
        let provider = id.split_once('/').map_or("", |(provider, _)| provider);
        if !providers.iter().any(|known| *known.id == *provider) {
            let hint = meant(provider, providers.iter().map(|known| &*known.id));
            let hint = hint.unwrap_or_else(|| "the id is provider/name, the provider one of providers.toml".to_owned());
            let complaint = node.origin.complaint(format!("{id}: unknown provider \"{provider}\""), hint);
            fields.findings.complaints.push(complaint);
        }
        models.push(Arc::new(read_one(&mut fields, id)));
        fields.finish();
    }
    models
}

fn read_one(fields: &mut Fields<'_, '_>, id: &str) -> Model {
    let slug = id.split_once('/').map_or(id, |(_, slug)| slug);
    let canonical = fields.text_needed("canonical");
    let provider_model_id = fields.text_needed("model");
    // It is spliced into JSON and into paths.
    if provider_model_id.bytes().any(|byte| !byte.is_ascii_graphic() || b"\"\\".contains(&byte)) {
        fields.complain("model", "holds characters that a model's name cannot have", "printable, no quotes");
    }
    let display_name = fields.text("display_name").unwrap_or_else(|| slug.to_owned());
    let developer = fields.text("developer").unwrap_or_default();
    let kind = fields.choice("kind", ModelKind::Chat, &ModelKind::NAMES);
    let statuses = [("active", ()), ("legacy", ()), ("preview", ()), ("deprecated", ())];
    fields.choice("status", (), &statuses);
    let released = fields.date("released").unwrap_or_default();
    let retires = fields.date("retires");
    let formats = read_formats(fields, "formats");
    let secondary_formats = read_formats(fields, "secondary_formats");
    if formats.is_empty() {
        fields.complain("formats", "is missing or empty", all_formats());
    }
    Model {
        id: id.into(),
        canonical: canonical.into(),
        provider_model_id: provider_model_id.into(),
        display_name: display_name.into(),
        developer: developer.into(),
        kind,
        released,
        retires,
        formats,
        secondary_formats,
        limits: read_limits(fields),
        capabilities: read_capabilities(fields),
        thinking: read_thinking(fields),
        tokenizer_factor_milli: read_tokenizer_factor(fields),
        price: prices::read(fields, kind),
    }
}

fn read_formats(fields: &mut Fields<'_, '_>, key: &'static str) -> Vec<WireFormat> {
    let mut formats = Vec::new();
    for name in fields.texts(key) {
        match format_named(&name) {
            Some(format) if formats.contains(&format) => fields.complain(key, format!("{name} is there twice"), ""),
            Some(format) => formats.push(format),
            None if FORMATS_NOT_SPOKEN.contains(&name.as_str()) => {}
            None => fields.complain(key, format!("unknown wire format \"{name}\""), all_formats()),
        }
    }
    formats
}

fn read_limits(fields: &mut Fields<'_, '_>) -> Limits {
    let limits = Limits {
        context_tokens: fields.whole_stated("context_tokens", 1..=TOKENS_MAX),
        input_tokens_max: fields.whole_stated("input_tokens_max", 1..=TOKENS_MAX),
        output_tokens_max: fields.whole_stated("output_tokens_max", 1..=TOKENS_MAX),
    };
    let context = limits.context_tokens.unwrap_or(u64::MAX);
    for (key, part) in [("input_tokens_max", limits.input_tokens_max), ("output_tokens_max", limits.output_tokens_max)]
    {
        if part.is_some_and(|part| part > context) {
            fields.complain(key, "is larger than context_tokens", "the context is prompt and answer together");
        }
    }
    limits
}

fn read_capabilities(fields: &mut Fields<'_, '_>) -> Capabilities {
    let inputs = fields.texts("input");
    let outputs = fields.texts("output");
    let known = ["text", "image", "pdf", "audio", "video"];
    for (key, words) in [("input", &inputs), ("output", &outputs)] {
        for word in words.iter().filter(|word| !known.contains(&word.as_str())) {
            fields.complain(key, format!("\"{word}\" is no modality"), format!("some of: {}", known.join(", ")));
        }
    }
    let takes = |modality: &str| inputs.is_empty() || inputs.iter().any(|input| input == modality);
    let empty = Table::default();
    let (table, origin) = fields.table("capabilities").unwrap_or((&empty, fields.origin));
    let path = fields.named("capabilities");
    let mut stated = Fields::new(table, origin, path, fields.findings);
    // A host that does not know the marks may refuse them: they must be stated.
    let cache_marks = stated.flag_stated("cache_marks").unwrap_or_default();
    let mut can = |key| stated.flag_stated(key).unwrap_or(true);
    let capabilities = Capabilities {
        streaming: can("streaming"),
        vision: takes("image"),
        pdf: takes("pdf"),
        audio: takes("audio"),
        assistant_prefill: can("assistant_prefill"),
        cache_marks,
        tools: can("tools"),
        forced_tool_choice: can("forced_tool_choice"),
        json_schema: can("json_schema"),
        sampling_params: can("sampling_params"),
        reasoning: can("reasoning"),
        tools_with_reasoning_on_chat: can("tools_with_reasoning_on_chat"),
    };
    can("parallel_tools");
    stated.finish();
    capabilities
}

fn read_thinking(fields: &mut Fields<'_, '_>) -> ThinkingSupport {
    let Some((table, origin)) = fields.table("thinking") else { return ThinkingSupport::default() };
    let path = fields.named("thinking");
    let mut stated = Fields::new(table, origin, path, fields.findings);
    let control = stated.choice("control", ThinkingControl::None, &ThinkingControl::NAMES);
    let mut efforts = Vec::new();
    let known = || Effort::NAMES.map(|(name, _)| name).join(", ");
    for name in stated.texts("efforts") {
        match Effort::by_name(&name) {
            Some(effort) => efforts.push(effort),
            None => stated.complain("efforts", format!("\"{name}\" is no effort"), format!("some of: {}", known())),
        }
    }
    efforts.sort_unstable();
    let can_disable = stated.flag_stated("can_disable").unwrap_or(true);
    stated.finish();
    ThinkingSupport { control, efforts, can_disable }
}

fn read_tokenizer_factor(fields: &mut Fields<'_, '_>) -> u32 {
    const CAUTIOUS_MILLI: u32 = 1_200;
    let Some(text) = fields.text("tokenizer_factor") else { return CAUTIOUS_MILLI };
    let factor = prices::parse_milli(&text).filter(|milli| TOKENIZER_FACTOR_MILLI.contains(milli));
    factor.unwrap_or_else(|| {
        fields.complain("tokenizer_factor", format!("\"{text}\" is no factor"), "from \"0.5\" to \"4\"");
        CAUTIOUS_MILLI
    })
}
