//! Realistic configurations of LiteLLM against the repository's own catalogue.

use super::super::{Converted, Outcome, yaml};
use super::{convert, include, includes};
use crate::base::complaint::Complaint;
use crate::catalog::{Catalog, Route};
use crate::config::check::{Texts, check};

const TODAY: &str = "2026-11-22";

fn catalogue() -> Texts {
    let text = |file: &str, text: &str| (file.to_owned(), text.to_owned());
    Texts {
        settings: text("flux.toml", include_str!("../../../conf/flux.toml")),
        providers: text("providers.toml", include_str!("../../../conf/providers.toml")),
        models: text("models.toml", include_str!("../../../conf/models.toml")),
        lanes: text("lanes.toml", include_str!("../../../conf/lanes.toml")),
        tariffs: text("tariffs.toml", include_str!("../../../conf/tariffs.toml")),
    }
}

fn import(text: &str) -> Converted {
    convert(&yaml::parse("config.yaml", text).unwrap(), &catalogue(), TODAY).unwrap()
}

fn checked(converted: &Converted) -> Result<Catalog, Vec<Complaint>> {
    check(&converted.texts, &[]).map(|checked| checked.catalog)
}

/// The targets behind a name in the written files, which must check.
#[track_caller]
fn targets(converted: &Converted, name: &str) -> Vec<String> {
    let catalog = checked(converted).unwrap();
    let route = catalog.resolve(name).unwrap_or_else(|| panic!("{name} leads nowhere"));
    catalog.chain(route).unwrap().targets.iter().map(|target| target.model.id.to_string()).collect()
}

/// The findings about a setting, of one outcome.
fn told(converted: &Converted, outcome: Outcome, setting: &str) -> Vec<String> {
    let found = converted.findings.iter().filter(|f| f.outcome == outcome && f.setting.contains(setting));
    found.map(|finding| finding.told.clone()).collect()
}

fn variables(converted: &Converted) -> Vec<&str> {
    converted.variables.iter().map(|variable| variable.name.as_str()).collect()
}

/// Lines that the import wrote, by file.
fn new_lines(converted: &Converted) -> String {
    let old = catalogue();
    let mut shown = String::new();
    for (old, new) in [
        (&old.settings, &converted.texts.settings),
        (&old.providers, &converted.texts.providers),
        (&old.models, &converted.texts.models),
        (&old.lanes, &converted.texts.lanes),
    ] {
        let known: std::collections::HashSet<&str> = old.1.lines().collect();
        let lines: Vec<&str> = new.1.lines().filter(|line| !line.is_empty() && !known.contains(line)).collect();
        shown.extend(["--- ", &new.0, "\n", &lines.join("\n"), "\n"]);
    }
    shown
}

const SIMPLE: &str = "\
model_list:
  - model_name: luna
    litellm_params:
      model: openai/gpt-6-luna
      api_key: os.environ/OPENAI_API_KEY
  - model_name: claude
    litellm_params: {model: anthropic/claude-haiku-5-5, api_key: os.environ/ANTHROPIC_API_KEY}
";

#[test]
fn what_the_catalogue_knows_needs_no_new_model() {
    let converted = import(SIMPLE);
    assert_eq!(targets(&converted, "luna"), ["openai/gpt-6-luna"]);
    assert_eq!(targets(&converted, "claude"), ["anthropic/claude-haiku-5-5"]);
    assert_eq!(variables(&converted), ["OPENAI_API_KEY", "ANTHROPIC_API_KEY"]);
    let Texts { settings, providers, models, lanes: _, tariffs: _ } = catalogue();
    assert_eq!(
        (&converted.texts.settings, &converted.texts.providers, &converted.texts.models),
        (&settings, &providers, &models)
    );
    assert!(converted.findings.iter().all(|finding| finding.outcome == Outcome::Kept), "{:#?}", converted.findings);
}

#[test]
fn providers_are_found_by_litellms_names() {
    for (model, target) in [
        ("gpt-6-luna", "openai/gpt-6-luna"),
        ("claude-haiku-5-5", "anthropic/claude-haiku-5-5"),
        ("gemini/gemini-3.8-flash", "google/gemini-3.8-flash"),
        ("groq/openai/gpt-oss-120b", "groq/gpt-oss-120b"),
        ("cerebras/gpt-oss-120b", "cerebras/gpt-oss-120b"),
        ("xai/grok-4.7", "xai/grok-4.7"),
        ("deepseek/deepseek-v4-pro", "deepseek/deepseek-v4-pro"),
        ("mistral/mistral-large-4", "mistral/mistral-large-4"),
        ("fireworks_ai/accounts/fireworks/models/glm-5p3", "fireworks/glm-5.3"),
        ("together_ai/zai-org/GLM-5.3", "together/glm-5.3"),
        ("openrouter/z-ai/glm-5.3", "openrouter/glm-5.3"),
        ("bedrock/converse/global.anthropic.claude-opus-5-5", "bedrock/claude-opus-5-5"),
    ] {
        let text = format!("model_list:\n  - model_name: it\n    litellm_params: {{model: \"{model}\"}}\n");
        assert_eq!(targets(&import(&text), "it"), [target], "{model}");
    }
}

const GROUPS: &str = "\
model_list:
  - model_name: oss
    litellm_params: {model: groq/openai/gpt-oss-120b, api_key: os.environ/GROQ_API_KEY, weight: 1, rpm: 60}
  - model_name: oss
    litellm_params: {model: cerebras/gpt-oss-120b, api_key: os.environ/CEREBRAS_API_KEY, weight: 9}
  - model_name: ordered
    litellm_params: {model: xai/grok-4.7, order: 2}
  - model_name: ordered
    litellm_params: {model: deepseek/deepseek-v4-pro, order: 1}
  - model_name: twice
    litellm_params: {model: openai/gpt-6-luna, tpm: 1000}
  - model_name: twice
    litellm_params: {model: openai/gpt-6-luna, tpm: 2000}
";

#[test]
fn groups_become_pins_of_one_model_and_lanes_of_several() {
    let converted = import(GROUPS);
    assert_eq!(targets(&converted, "oss"), ["cerebras/gpt-oss-120b", "groq/gpt-oss-120b"], "the heaviest first");
    assert_eq!(targets(&converted, "ordered"), ["deepseek/deepseek-v4-pro", "xai/grok-4.7"]);
    assert_eq!(targets(&converted, "twice"), ["openai/gpt-6-luna"]);
    let catalog = checked(&converted).unwrap();
    assert!(matches!(catalog.resolve("oss"), Some(Route::Pin(_))));
    assert!(matches!(catalog.resolve("ordered"), Some(Route::Lane(_))));
    assert_eq!(told(&converted, Outcome::Changed, "weight").len(), 2);
    assert_eq!(told(&converted, Outcome::Dropped, "rpm").len(), 1);
    assert_eq!(told(&converted, Outcome::Dropped, "tpm").len(), 2);
    assert_eq!(told(&converted, Outcome::Changed, "model_list[4] twice").len(), 1);
}

const AZURE: &str = "\
model_list:
  - model_name: luna
    litellm_params:
      model: azure/prod-luna-eu
      api_base: https://contoso-eu.openai.azure.com/
      api_key: os.environ/AZURE_API_KEY_EU
      api_version: 2024-10-21
    model_info: {base_model: azure/gpt-6-luna}
  - model_name: luna
    litellm_params:
      model: azure/prod-luna-us
      api_base: os.environ/AZURE_API_BASE_US
      api_key: sk-azure-literal-secret
    model_info: {base_model: azure/gpt-6-luna}
";

#[test]
fn azure_deployments_become_providers_of_their_own() {
    let converted = import(AZURE);
    assert_eq!(targets(&converted, "luna"), ["azure-openai-2/prod-luna-eu", "azure-openai-3/prod-luna-us"]);
    let catalog = checked(&converted).unwrap();
    assert!(matches!(catalog.resolve("luna"), Some(Route::Pin(_))), "both are one model");
    let provider = |id: &str| catalog.providers().iter().find(|provider| *provider.id == *id).unwrap().clone();
    let endpoint = provider("azure-openai-2");
    let endpoint = endpoint.endpoint(crate::base::wire_format::WireFormat::OpenaiChat).unwrap();
    assert_eq!((&*endpoint.host, &*endpoint.path), ("contoso-eu.openai.azure.com", "/openai/v1/chat/completions"));
    assert_eq!(&*provider("azure-openai-3").unusable, "its base_url is not set");
    let expected = ["AZURE_API_KEY_EU", "AZURE_OPENAI_3_API_KEY", "FLUX_PROVIDERS__AZURE_OPENAI_3__BASE_URL"];
    assert_eq!(variables(&converted), expected);
    assert_eq!(told(&converted, Outcome::Dropped, "api_version").len(), 1);
    assert!(
        new_lines(&converted)
            .contains("rates = { cache_read = \"0.01\", cache_write = { 30m = \"0.125\" }, input = \"0.1\"")
    );
}

const FALLBACKS: &str = "\
model_list:
  - {model_name: gpt-4o, litellm_params: {model: openai/gpt-6-luna}}
  - {model_name: sol, litellm_params: {model: openai/gpt-6.2-sol}}
  - {model_name: claude, litellm_params: {model: anthropic/claude-haiku-5-5}}
  - {model_name: big, litellm_params: {model: gemini-unheard-of, custom_llm_provider: gemini}}
  - {model_name: wide, litellm_params: {model: gemini/gemini-4-argon}}
litellm_settings:
  num_retries: 3
  request_timeout: 30.5
  default_fallbacks: [claude]
  context_window_fallbacks: [{sol: [wide]}]
  drop_params: true
  made_up_by_nobody: 1
router_settings:
  fallbacks:
    - gpt-4o: [sol, nobody]
  model_group_alias: {fast: gpt-4o, smart: {model: sol, hidden: true}, older: flux-pinned-gpt-5-5, lost: nobody}
  allowed_fails: 3
  routing_strategy: simple-shuffle
general_settings:
  master_key: sk-master-literal-secret
  database_url: postgresql://user:literal-secret@db/litellm
environment_variables:
  OPENAI_API_KEY: sk-environment-literal-secret
";

#[test]
fn fallbacks_stand_at_the_end_of_chains() {
    let text = FALLBACKS.replace(
        "  - {model_name: big, litellm_params: {model: gemini-unheard-of, custom_llm_provider: gemini}}\n",
        "",
    );
    let converted = import(&text);
    let (luna, sol, haiku) = ("openai/gpt-6-luna", "openai/gpt-6.2-sol", "anthropic/claude-haiku-5-5");
    let wide = "google/gemini-4-argon";
    assert_eq!(targets(&converted, "gpt-4o"), [luna, sol, haiku, wide]);
    assert_eq!(targets(&converted, "sol"), [sol, haiku, wide]);
    assert_eq!(targets(&converted, "claude"), [haiku]);
    assert_eq!(targets(&converted, "fast"), targets(&converted, "gpt-4o"));
    assert_eq!(targets(&converted, "smart"), targets(&converted, "sol"));
    assert_eq!(targets(&converted, "older"), ["openai/gpt-5.5"]);
    assert_eq!(told(&converted, Outcome::Decide, "fallbacks.gpt-4o"), ["no deployment is named nobody"]);
    assert_eq!(told(&converted, Outcome::Decide, "model_group_alias.lost"), ["nothing is named nobody"]);
    assert_eq!(
        told(&converted, Outcome::Changed, "gpt-4o"),
        ["it led to flux-pinned-gpt-6-luna before; now to what is imported"]
    );
    let total = check(&converted.texts, &[]).unwrap().config.timeouts.total;
    assert_eq!(total, std::time::Duration::from_millis(30_500));
    for setting in [
        "litellm_settings.num_retries",
        "litellm_settings.drop_params",
        "litellm_settings.made_up_by_nobody",
        "router_settings.allowed_fails",
        "router_settings.routing_strategy",
        "general_settings.master_key",
        "general_settings.database_url",
        "environment_variables",
    ] {
        assert_eq!(told(&converted, Outcome::Dropped, setting).len(), 1, "{setting}");
    }
}

#[test]
fn no_secret_is_in_any_file_or_finding() {
    for text in [AZURE, FALLBACKS, SELF_HOSTED] {
        let shown = format!("{:?}", import(text));
        assert!(!shown.contains("literal-secret"));
    }
}

const SELF_HOSTED: &str = "\
model_list:
  - model_name: llama
    litellm_params: {model: hosted_vllm/meta-llama/Llama-5-70B, api_base: \"http://10.0.0.7:8000/v1\"}
    model_info: {input_cost_per_token: 2e-07, output_cost_per_token: 0.0000006, max_input_tokens: 131072}
  - model_name: qwen
    litellm_params: {model: ollama_chat/qwen3.8, api_base: \"http://localhost:11434\"}
    model_info: {input_cost_per_token: 0, output_cost_per_token: 0, supports_function_calling: false}
  - model_name: own
    litellm_params: {model: openai/our-model, api_base: \"http://gpu.internal:9000/v1\", api_key: literal-secret}
    model_info: {input_cost_per_token: 1e-6, output_cost_per_token: 2e-6}
";

#[test]
fn servers_of_ones_own_keep_their_addresses_and_prices() {
    let converted = import(SELF_HOSTED);
    assert_eq!(targets(&converted, "llama"), ["vllm-2/meta-llama/Llama-5-70B"]);
    assert_eq!(targets(&converted, "qwen"), ["ollama-2/qwen3.8"]);
    assert_eq!(targets(&converted, "own"), ["openai-2/our-model"]);
    assert_eq!(variables(&converted), ["OPENAI_2_API_KEY"]);
    assert!(converted.texts.models.1.contains("rates = { input = \"0.2\", output = \"0.6\" }"));
    let catalog = checked(&converted).unwrap();
    let live = |id: &str| catalog.providers().iter().find(|p| *p.id == *id).unwrap().unusable.to_string();
    assert_eq!([live("vllm-2"), live("ollama-2"), live("openai-2")], ["", "", "it has no key"]);
}

#[test]
fn a_price_is_asked_for_and_never_made_up() {
    for about in ["{}", "{input_cost_per_token: 1e-6}", "{input_cost_per_token: 0, output_cost_per_token: 1e-6}"] {
        let text = format!(
            "model_list:\n  - model_name: old\n    litellm_params: {{model: openai/gpt-unheard-of}}\n    model_info: {about}\n"
        );
        let converted = import(&text);
        assert_eq!(told(&converted, Outcome::Decide, "model_list[0].model_info").len(), 1, "{about}");
        let complaints = checked(&converted).unwrap_err();
        assert!(
            complaints.iter().all(|c| c.file == "models.toml" && c.line > 0 && c.message.contains("pric")),
            "{complaints:?}"
        );
    }
    // The same server name elsewhere is not the catalogue's model.
    let converted = import(
        "model_list:\n  - model_name: a\n    litellm_params: {model: openai/gpt-6-luna, api_base: \"https://example.com/v1\"}\n",
    );
    assert_eq!(told(&converted, Outcome::Decide, "model_info").len(), 1);
}

#[test]
fn what_cannot_be_served_is_told() {
    for (entry, outcome) in [
        ("{model_name: \"*\", litellm_params: {model: \"openai/*\"}}", Outcome::Dropped),
        ("{model_name: \"anthropic/*\", litellm_params: {model: \"anthropic/*\"}}", Outcome::Dropped),
        ("{model_name: e, litellm_params: {model: openai/text-embedding-3-small}}", Outcome::Dropped),
        ("{model_name: i, litellm_params: {model: openai/x}, model_info: {mode: image_generation}}", Outcome::Dropped),
        ("{model_name: c, litellm_params: {model: cohere/command-r}}", Outcome::Decide),
        ("{model_name: s, litellm_params: {model: my-model}}", Outcome::Decide),
        ("{model_name: n, litellm_params: {model: nvidia_nim/x}}", Outcome::Decide),
        ("{model_name: \"a b\", litellm_params: {model: openai/gpt-6-luna}}", Outcome::Decide),
        ("{model_name: flux-fast, litellm_params: {model: openai/gpt-6-luna}}", Outcome::Decide),
        ("{model_name: v, litellm_params: {model: vertex_ai/gemini-4-argon}}", Outcome::Changed),
        ("{litellm_params: {model: openai/gpt-6-luna}}", Outcome::Decide),
        ("just a word", Outcome::Dropped),
    ] {
        let converted = import(&format!("model_list:\n  - {entry}\n"));
        assert_eq!(told(&converted, outcome, "model_list[0]").len(), 1, "{entry}: {:#?}", converted.findings);
        checked(&converted).unwrap();
    }
}

#[test]
fn keys_choose_between_the_catalogues_provider_and_a_copy() {
    let entry = |name: &str, key: &str| {
        format!("  - {{model_name: {name}, litellm_params: {{model: openai/gpt-6-luna, api_key: {key}}}}}\n")
    };
    for (keys, expected, asks) in [
        (vec!["os.environ/TEAM_KEY"], vec!["openai/gpt-6-luna"], vec!["TEAM_KEY"]),
        (
            vec!["os.environ/TEAM_KEY", "os.environ/OPENAI_API_KEY"],
            vec!["openai-2/gpt-6-luna", "openai/gpt-6-luna"],
            vec!["TEAM_KEY", "OPENAI_API_KEY"],
        ),
        (vec!["literal-secret"], vec!["openai/gpt-6-luna"], vec!["OPENAI_API_KEY"]),
        (
            vec!["literal-secret", "other-literal-secret"],
            vec!["openai/gpt-6-luna", "openai-2/gpt-6-luna"],
            vec!["OPENAI_API_KEY", "OPENAI_2_API_KEY"],
        ),
    ] {
        let list: String = keys.iter().enumerate().map(|(at, key)| entry(&format!("m{at}"), key)).collect();
        let converted = import(&format!("model_list:\n{list}"));
        let found: Vec<_> = (0..keys.len()).flat_map(|at| targets(&converted, &format!("m{at}"))).collect();
        assert_eq!(
            (found, variables(&converted)),
            (expected.iter().map(ToString::to_string).collect(), asks),
            "{keys:?}"
        );
    }
    let converted = import(&format!("model_list:\n{}", entry("m", "os.environ/TEAM_KEY")));
    assert!(converted.texts.providers.1.contains("api_key_env = [\"TEAM_KEY\", \"OPENAI_API_KEY\"]"));
}

#[test]
fn credentials_and_includes_are_put_in() {
    let mut config = yaml::parse(
        "config.yaml",
        "include: [more.yaml]\nmodel_list:\n  - {model_name: a, litellm_params: {model: openai/gpt-6-luna, litellm_credential_name: team}}\n",
    )
    .unwrap();
    assert_eq!(includes(&config).unwrap().iter().map(|(file, _)| file.as_str()).collect::<Vec<_>>(), ["more.yaml"]);
    let more = "model_list:\n  - {model_name: b, litellm_params: {model: anthropic/claude-haiku-5-5}}\ncredential_list:\n  - {credential_name: team, credential_values: {api_key: os.environ/TEAM_KEY}}\n";
    include(&mut config, yaml::parse("more.yaml", more).unwrap());
    let converted = convert(&config, &catalogue(), TODAY).unwrap();
    assert_eq!(converted.names.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(variables(&converted), ["TEAM_KEY", "ANTHROPIC_API_KEY"]);
}

#[test]
fn sections_of_another_shape_are_refused_with_their_line() {
    for (text, line) in [
        ("- a\n", 1),
        ("a: 1\nmodel_list: {x: 1}\n", 2),
        ("a: 1\n\nrouter_settings: 3\n", 3),
        ("general_settings: [a]\n", 1),
    ] {
        let complaints = convert(&yaml::parse("config.yaml", text).unwrap(), &catalogue(), TODAY).unwrap_err();
        assert_eq!((complaints.len(), complaints[0].line), (1, line), "{text}");
        assert!(!complaints[0].hint.is_empty());
    }
}

#[test]
fn a_whole_configuration_becomes_these_lines() {
    let list = |text: &str| text.strip_prefix("model_list:\n").unwrap().to_owned();
    let (models, settings) = FALLBACKS.split_once("litellm_settings:").unwrap();
    let text = format!("{models}{}{}litellm_settings:{settings}", list(AZURE), list(SELF_HOSTED));
    let converted = import(&text);
    let findings: Vec<String> = converted
        .findings
        .iter()
        .map(|f| format!("{:>3} {} {}: {}", f.place.line, f.outcome.name(), f.setting, f.told))
        .collect();
    insta::assert_snapshot!("whole", format!("{}\n--- findings\n{}", new_lines(&converted), findings.join("\n")));
}
