//! The shipped files, overrides, and a table of faults.

use std::collections::HashMap;
use std::sync::Arc;

use super::check::{Checked, Texts, check};
use super::*;
use crate::base::complaint::Complaint;
use crate::base::money::NanoUsd;
use crate::base::period::Reset;
use crate::base::tariff::{Overage, Unit};
use crate::base::time::UnixMs;
use crate::base::wire_format::WireFormat;
use crate::catalog::chain::{Conditions, Step};
use crate::catalog::provider::{AuthKind, StreamUsage};
use crate::catalog::{ChainKind, ModelKind, Route, StandIn, Target};

const SPOKEN: [WireFormat; 2] = [WireFormat::OpenaiChat, WireFormat::AnthropicMessages];
const NOVEMBER: UnixMs = UnixMs(1_795_392_000_000);

pub(super) fn shipped() -> Texts {
    let file = |name: &str, text: &str| (format!("conf/{name}"), text.to_owned());
    Texts {
        settings: file("flux.toml", include_str!("../../conf/flux.toml")),
        providers: file("providers.toml", include_str!("../../conf/providers.toml")),
        models: file("models.toml", include_str!("../../conf/models.toml")),
        lanes: file("lanes.toml", include_str!("../../conf/lanes.toml")),
        tariffs: file("tariffs.toml", include_str!("../../conf/tariffs.toml")),
    }
}

fn environment(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

fn checked(pairs: &[(&str, &str)]) -> Checked {
    check(&shipped(), &environment(pairs)).unwrap_or_else(|complaints| panic!("{}", told(&complaints)))
}

pub(super) fn refused(texts: &Texts, pairs: &[(&str, &str)]) -> Vec<Complaint> {
    check(texts, &environment(pairs)).map(|_| ()).unwrap_err()
}

pub(super) fn told(complaints: &[Complaint]) -> String {
    let lines: Vec<_> = complaints.iter().map(Complaint::to_string).collect();
    lines.join("\n")
}

/// A small catalogue that is right: cases put their faults into it.
pub(super) fn small() -> Texts {
    let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let price = "price = { as_of = \"2026-11-22\", rates = { input = \"1\", output = \"2\" } }";
    let model = |id: &str, canonical: &str| {
        format!("[\"{id}\"]\nmodel = \"m\"\ncanonical = \"{canonical}\"\nformats = [\"openai-chat\"]\n{price}\n")
    };
    Texts {
        settings: file("flux.toml", ""),
        providers: file(
            "providers.toml",
            "[acme]\nbase_url = \"https://acme.example/v1\"\napi_key_env = \"ACME_KEY\"\n\
             formats.openai-chat = \"/chat/completions\"\n",
        ),
        models: ("models.toml".to_owned(), model("acme/one", "one") + &model("acme/two", "two")),
        lanes: file(
            "lanes.toml",
            "[auto]\ndefault_lane = \"fast\"\n[lanes.fast]\ndefault = \"acme/one\"\n[pins]\np1 = [\"acme/one\"]\n",
        ),
        tariffs: file("tariffs.toml", "[house]\noverage = \"at-rates\"\ndefault = true\n"),
    }
}

#[test]
fn the_shipped_files_are_good_and_whole() {
    let Checked { config, catalog, tariffs, shadow, defaulted } = checked(&[]);
    assert_eq!(shadow, None);
    assert_eq!(tariffs.iter().count(), 8);
    assert_eq!(defaulted, Vec::<String>::new(), "every setting stands in conf/flux.toml");
    let empty = Texts { settings: ("flux.toml".to_owned(), String::new()), ..shipped() };
    let defaults = check(&empty, &[]).unwrap();
    assert_eq!(config, defaults.config, "conf/flux.toml shows the defaults");
    assert!(defaults.defaulted.len() > 40);

    assert_eq!(catalog.providers().len(), 16);
    assert_eq!(catalog.models().len(), 109);
    assert_eq!(catalog.pins().len(), 47);
    let lanes: Vec<_> = catalog.lanes().iter().map(|lane| &*lane.name).collect();
    assert_eq!(lanes, ["flux-fast", "flux-standard", "flux-reasoning", "flux-image"]);
    for chain in catalog.pins() {
        assert!(chain.name.starts_with("flux-pinned-"), "{}", chain.name);
        assert_eq!(chain.kind, ChainKind::Pin);
        let first = &chain.targets.first().unwrap().model.canonical;
        assert!(chain.targets.iter().all(|target| target.model.canonical == *first), "{}", chain.name);
        let days_60 = 60 * 24 * 3_600 * 1_000;
        assert!(!chain.targets.iter().any(|target| target.model.is_retired(UnixMs(NOVEMBER.0 + days_60))));
    }
    assert_eq!(catalog.lanes().iter().filter(|lane| lane.rates.is_some()).count(), 3);
}

#[test]
fn every_name_of_a_client_leads_somewhere() {
    let catalog = checked(&[]).catalog;
    let leads = |name: &str| {
        let route = catalog.resolve(name)?;
        Some(catalog.chain(route).map_or_else(|| "auto".to_owned(), |chain| chain.name.to_string()))
    };
    let cases = [
        ("flux-auto", Some("auto")),
        ("flux-fast", Some("flux-fast")),
        ("flux-pinned-gpt-6-luna", Some("flux-pinned-gpt-6-luna")),
        ("gpt-4o", Some("flux-pinned-gpt-6-luna")),
        ("gpt-6-luna", Some("flux-pinned-gpt-6-luna")),
        ("claude-sonnet-4-5", Some("flux-pinned-claude-sonnet-5-5")),
        ("claude-sonnet-5-5", Some("flux-pinned-claude-sonnet-5-5")),
        ("openai/gpt-oss-120b", Some("flux-pinned-gpt-oss-120b")),
        ("gemini-3.1-pro-preview", Some("flux-pinned-gemini-3-1-pro")),
        ("gpt-7", None),
        ("", None),
    ];
    for (name, chain) in cases {
        assert_eq!(leads(name).as_deref(), chain, "{name}");
    }
    for pin in catalog.pins() {
        for target in &pin.targets {
            let by_canonical = catalog.resolve(&target.model.canonical).and_then(|route| catalog.chain(route));
            assert_eq!(by_canonical.map(|chain| &chain.name), Some(&pin.name));
        }
    }
    assert_eq!(catalog.lane("flux-standard"), Some(catalog.default_lane()));
}

/// Variables, and the providers that they make live.
type Live<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);

#[test]
fn keys_make_providers_live() {
    let live = |pairs: &[(&str, &str)]| -> Vec<String> {
        let catalog = checked(pairs).catalog;
        let live = catalog.providers().iter().filter(|provider| provider.is_configured());
        live.map(|provider| provider.id.to_string()).collect()
    };
    let cases: &[Live<'_>] = &[
        (&[], &[]),
        (&[("OPENAI_API_KEY", "")], &[]),
        (&[("OPENAI_API_KEY", "sk-1"), ("GROQ_API_KEY", "gsk")], &["openai", "groq"]),
        (&[("GEMINI_API_KEY", "g")], &["google"]),
        (&[("GOOGLE_API_KEY", "g")], &["google"]),
        (&[("FLUX_PROVIDERS__ANTHROPIC__API_KEY", "a")], &["anthropic"]),
        (&[("flux_providers__anthropic__api_key", "a")], &["anthropic"]),
        (&[("AZURE_OPENAI_API_KEY", "a")], &[]),
        (&[("AZURE_OPENAI_API_KEY", "a"), ("FLUX_PROVIDERS__AZURE_OPENAI__VALUES__RESOURCE", "r")], &["azure-openai"]),
        (
            &[("AZURE_OPENAI_API_KEY", "a"), ("FLUX_PROVIDERS__AZURE_OPENAI__BASE_URL", "https://r.example/v1")],
            &["azure-openai"],
        ),
        (&[("AWS_BEARER_TOKEN_BEDROCK", "a")], &["bedrock"]),
        (&[("FLUX_PROVIDERS__VERTEX__API_KEY", "a"), ("FLUX_PROVIDERS__VERTEX__VALUES__PROJECT", "p")], &[]),
        (&[("FLUX_PROVIDERS__VLLM__ENABLED", "true")], &["vllm"]),
        (&[("FLUX_PROVIDERS__OLLAMA__BASE_URL", "http://127.0.0.1:11434/v1")], &["ollama"]),
        (
            &[
                ("FLUX_PROVIDERS__OLLAMA__BASE_URL", "http://127.0.0.1:11434/v1"),
                ("FLUX_PROVIDERS__OLLAMA__ENABLED", "false"),
            ],
            &[],
        ),
        (&[("OPENAI_API_KEY", "sk-1"), ("FLUX_PROVIDERS__OPENAI__ENABLED", "no")], &[]),
    ];
    for (pairs, expected) in cases {
        assert_eq!(live(pairs), *expected, "{pairs:?}");
    }
}

#[test]
fn a_provider_has_several_keys_and_addresses() {
    let accesses = |added: &str, pairs: &[(&str, &str)]| {
        let mut texts = small();
        texts.providers.1 += added;
        let checked = check(&texts, &environment(pairs)).unwrap_or_else(|complaints| panic!("{}", told(&complaints)));
        let provider = Arc::clone(&checked.catalog.providers()[0]);
        let shown = provider.accesses.iter().map(|access| {
            let endpoint = access.endpoints.get(WireFormat::OpenaiChat).unwrap();
            let probe = access.probe.as_ref().map_or("", |probe| &*probe.path);
            format!(
                "{} {} {}{} {probe} {}",
                access.name,
                access.key.expose(),
                endpoint.host,
                endpoint.path,
                access.weight
            )
        });
        (shown.collect::<Vec<_>>(), provider)
    };
    let more = "probe = \"/models\"\naccesses = [{ api_key_env = \"B\", weight = 3 }, { base_url = \"https://b.example/x\" }]\n";
    let (both, provider) = accesses(more, &[("ACME_KEY", "a"), ("B", "b")]);
    let expected = [
        "1 a acme.example/v1/chat/completions /v1/models 1",
        "2 b acme.example/v1/chat/completions /v1/models 3",
        "3 a b.example/x/chat/completions /x/models 1",
    ];
    assert_eq!(both, expected);
    let (again, same) = accesses(more, &[("ACME_KEY", "a"), ("B", "another")]);
    assert_eq!(again.len(), 3);
    let is_kept = |at: usize| provider.accesses[at].id == same.accesses[at].id;
    assert_eq!([0, 1, 2].map(is_kept), [true, false, true], "a key that changes is another access");
    assert!(!provider.accesses[1].id.contains('b') || provider.accesses[1].id.len() > 16, "tells no key");
    // A key that is not set waits; where the provider's own is not, the others serve.
    let (own, _) = accesses(more, &[("ACME_KEY", "a")]);
    assert_eq!(own, [expected[0], expected[2]]);
    let (other, provider) = accesses(more, &[("B", "b")]);
    assert_eq!(other, [expected[1]]);
    assert!(provider.is_configured());
    let (none, provider) = accesses(more, &[]);
    assert_eq!((none.len(), &*provider.unusable), (2, "it has no key"));
    for (added, complaint) in [
        ("accesses = [{ weight = 2 }]\n", "api_key_env: is missing"),
        ("accesses = [{ base_url = \"ftp://x\" }]\n", "base_url: "),
        ("accesses = [{ api_key = \"sk-1\", api_key_env = \"B\" }]\n", "unknown setting acme.accesses.api_key"),
        ("concurrent_max = -1\n", "concurrent_max: expected a whole number"),
    ] {
        let mut texts = small();
        texts.providers.1 += added;
        let said = told(&refused(&texts, &[("ACME_KEY", "a")]));
        assert!(said.contains(complaint), "{added}: {said}");
    }
}

#[test]
fn endpoints_are_put_together() {
    let catalog = checked(&[
        ("OPENAI_API_KEY", "sk-1"),
        ("FLUX_PROVIDERS__ANTHROPIC__BASE_URL", "http://127.0.0.1:9001/x/"),
        ("FLUX_PROVIDERS__DEEPSEEK__BASE_URL", "http://[::1]:9002/v1"),
    ])
    .catalog;
    let providers: HashMap<_, _> = catalog.providers().iter().map(|p| (&*p.id, Arc::clone(p))).collect();
    let cases = [
        ("openai", WireFormat::OpenaiChat, "api.openai.com:443 api.openai.com /v1/chat/completions", AuthKind::Bearer),
        ("anthropic", WireFormat::AnthropicMessages, "127.0.0.1:9001 127.0.0.1:9001 /x/messages", AuthKind::XApiKey),
        ("deepseek", WireFormat::OpenaiChat, "::1:9002 [::1]:9002 /v1/chat/completions", AuthKind::Bearer),
        ("deepseek", WireFormat::AnthropicMessages, "::1:9002 [::1]:9002 /anthropic/v1/messages", AuthKind::XApiKey),
        (
            "google",
            WireFormat::OpenaiChat,
            "generativelanguage.googleapis.com:443 generativelanguage.googleapis.com /v1beta/openai/chat/completions",
            AuthKind::Bearer,
        ),
    ];
    for (id, format, expected, auth) in cases {
        let endpoint = providers[id].endpoint(format).unwrap();
        let found = format!("{}:{} {} {}", endpoint.host, endpoint.port, endpoint.authority, endpoint.path);
        assert_eq!((found.as_str(), endpoint.auth), (expected, auth), "{id} {format}");
        assert_eq!(endpoint.tls, &*endpoint.host != "127.0.0.1" && &*endpoint.host != "::1");
        assert!(!endpoint.has_model_in_path());
    }
    let gemini = providers["google"].endpoint(WireFormat::GeminiGenerate).unwrap();
    assert!(gemini.has_model_in_path() && gemini.stream_path.ends_with("?alt=sse"));
    assert!(providers["bedrock"].endpoint(WireFormat::AnthropicMessages).unwrap().has_model_in_path());
    assert_eq!(providers["openai"].stream_usage, StreamUsage::StreamOptions);
    assert!(providers["xai"].reasoning_outside_output && providers["anthropic"].cached_outside_input);
    let version = [("anthropic-version".into(), "2023-06-01".into())];
    assert_eq!(providers["anthropic"].headers, version);
}

#[test]
fn every_setting_can_be_overridden() {
    let Checked { config, catalog, .. } = checked(&[
        ("FLUX_SERVER__LISTEN", "[::]:80"),
        ("FLUX_SERVER__PRIVATE_LISTEN", "0.0.0.0:9091"),
        ("FLUX_SERVER__PRIVATE_LISTEN_PUBLIC", "true"),
        ("FLUX_SERVER__DATA_DIR", "/var/lib/flux"),
        ("Flux_Limits__Body_Bytes_Max", "1_048_576"),
        ("FLUX_TIMEOUTS__TOTAL_MS", "1000000"),
        ("FLUX_LOG__LEVEL", "debug"),
        ("FLUX_LOG__REQUESTS", "off"),
        ("FLUX_MOCK__FAULT", "cut"),
        ("FLUX_MOCK__MODE", "on"),
        ("FLUX_LANES__FLUX_FAST__DEFAULT", "groq/gpt-oss-20b"),
        ("FLUX_LANES__FLUX_FAST__FALLBACKS", "openai/gpt-6-luna, xai/grok-4.7"),
        ("FLUX_LANES__FLUX_FAST__PRICE__INPUT", "1.5"),
        ("FLUX_MODELS__OPENAI_GPT_6_LUNA__MODEL", "my-deployment"),
        ("FLUX_PINS__FLUX_PINNED_GPT_6_LUNA", "azure-openai/gpt-6-luna"),
        ("FLUX_CLIENT_NAMES__GPT_4O", "flux-fast"),
        ("FLUX_AUTO__DEFAULT_LANE", "flux-fast"),
        ("FLUX_CONFIG", "not ours to judge"),
        ("FLUX_SERVER_URL", "neither"),
        ("OTHER__THING", "x"),
    ]);
    assert_eq!(config.server.listen.to_string(), "[::]:80");
    assert_eq!(config.server.private_listen.to_string(), "0.0.0.0:9091");
    assert_eq!(config.server.data_dir.to_str(), Some("/var/lib/flux"));
    assert_eq!(config.limits.body_bytes_max, 1_048_576);
    assert_eq!(config.timeouts.total.as_secs(), 1000);
    assert_eq!((config.log.level, &config.log.requests), (log::LevelFilter::Debug, &RequestLog::Off));
    assert_eq!(config.mock.fault, MockFault::Cut);
    assert_eq!(config.mock.mode, StandIn::Always);
    let chain = |name: &str| Arc::clone(catalog.chain(catalog.resolve(name).unwrap()).unwrap());
    let fast = chain("flux-fast");
    let targets: Vec<_> = fast.targets.iter().map(|target| &*target.model.id).collect();
    assert_eq!(targets, ["groq/gpt-oss-20b", "openai/gpt-6-luna", "xai/grok-4.7"]);
    let rates = fast.rates.unwrap();
    assert_eq!((rates.input.0, rates.output.0, rates.cache_read.0), (1_500_000, 4_000_000, 1_500_000));
    assert_eq!(&*fast.targets[1].model.provider_model_id, "my-deployment");
    assert_eq!(&*chain("flux-pinned-gpt-6-luna").targets[0].provider.id, "azure-openai");
    assert_eq!(chain("gpt-4o").name, fast.name);
    assert_eq!(Route::Lane(catalog.default_lane()), catalog.resolve("flux-fast").unwrap());
}

#[test]
fn bad_overrides_name_their_variable() {
    let cases = [
        ("FLUX_SERVER__LISTNE", "x", "unknown setting server.listne (hint: did you mean \"listen\"?)"),
        ("FLUX_SERVER__LISTEN", "localhost:80", "server.listen: \"localhost:80\" is no address"),
        ("FLUX_SERVR__LISTEN", "x", "unknown section servr (hint: did you mean \"server\"?)"),
        ("FLUX_SERVER_LISTEN", "x", "one underscore after the section (hint: did you mean FLUX_SERVER__LISTEN?)"),
        ("FLUX_SERVER____LISTEN", "x", "empty word"),
        ("FLUX_SERVER__LISTEN__PORT", "1", "server.listen: expected a text in quotes, found a table"),
        ("FLUX_SERVER", "x", ""),
        ("FLUX_LIMITS__ATTEMPTS_MAX", "0", "limits.attempts_max: 0 is out of range (hint: from 1 to 16)"),
        ("FLUX_LIMITS__ATTEMPTS_MAX", "-1", "limits.attempts_max: expected a whole number"),
        ("FLUX_LIMITS__ATTEMPTS_MAX", "six", "limits.attempts_max: expected a whole number"),
        ("FLUX_MOCK__FAULT", "boom", "mock.fault: \"boom\" is none of its words"),
        ("FLUX_PROVIDERS__OPENIA__BASE_URL", "x", "unknown provider openia (hint: did you mean \"openai\"?)"),
        ("FLUX_PROVIDERS__OPENAI__BASE_URL", "http://api.openai.com/v1", "openai.base_url: is http:// to a public"),
        ("FLUX_PROVIDERS__OPENAI__BASE_URL", "http://0x7f.1", "openai.base_url: writes an IP address in a notation"),
        ("FLUX_PROVIDERS__OPENAI__BASE_URL", "http://169.254.169.254", "openai.base_url: leads to a link-local"),
        ("FLUX_PROVIDERS__OPENAI__BASE_URL", "http://[::ffff:a9fe:a9fe]", "openai.base_url: leads to a link-local"),
        ("FLUX_PROVIDERS__OPENAI__BASE_URL", "https://u:p@x.example", "openai.base_url: must not hold a user name"),
        ("FLUX_PROVIDERS__OPENAI__BASE_URL", "", "openai.base_url: is missing"),
        ("FLUX_PROVIDERS__OPENAI__API_KEY", "sk-a\r\nx: y", "holds characters that no key has"),
        ("OPENAI_API_KEY", "sk-\u{e4}", "holds characters that no key has"),
        ("FLUX_PINS__FLUX_PINNED_GPT_6_LUNA", "openai/gpt-6-lune", "did you mean \"openai/gpt-6-luna\"?"),
        ("FLUX_LANES__FLUX_FAST__PRICE__INPUT", "-1", "lanes.flux-fast.price.input: `-1` is not a plain decimal"),
    ];
    for (variable, text, message) in cases {
        let environment = environment(&[(variable, text)]);
        if message.is_empty() {
            assert!(check(&shipped(), &environment).is_ok(), "{variable}");
            continue;
        }
        let complaints = refused(&shipped(), &[(variable, text)]);
        let told = told(&complaints);
        assert!(complaints.iter().all(|c| c.file == variable && c.line == 0), "{variable}: {told}");
        assert!(told.contains(message), "{variable}={text}: {told}");
        assert!(!told.contains("sk-"), "T-70: a key is printed: {told}");
    }
}

#[test]
fn a_chain_has_shares_and_conditions() {
    let mut texts = small();
    texts.providers.1.push_str(
        "region = \"eu\"\naccesses = [{ api_key_env = \"US\", base_url = \"https://us.example/v1\", region = \"us\" }]\n",
    );
    texts.lanes.1.push_str(
        "p2 = [\"acme/one\"]\n\
         [lanes.shared]\n\
         default = [{ target = \"acme/one\", weight = 3 }, \"acme/two\"]\n\
         [lanes.picky]\n\
         default = { target = \"acme/two\", when = { vision = true, prompt_tokens_max = 900, region = [\"eu\", \"us\"] } }\n\
         fallbacks = [{ target = \"fast\", when = { tools = false } }]\n",
    );
    let catalog = check(&texts, &[]).unwrap().catalog;
    let steps = |lane: &str| -> Vec<_> {
        let chain = catalog.chain(catalog.resolve(lane).unwrap()).unwrap();
        chain.targets.iter().map(|target| (target.model.id.to_string(), target.step.clone())).collect()
    };
    let step = |number, weight, when| Step { number, weight, when, is_repeated: false };
    let plain = |number, weight| step(number, weight, Conditions::default());
    assert_eq!(steps("shared"), [("acme/one".to_owned(), plain(1, 3)), ("acme/two".to_owned(), plain(1, 1))]);
    let picky = Conditions {
        vision: Some(true),
        prompt_tokens_max: 900,
        regions: vec!["eu".into(), "us".into()],
        ..Conditions::default()
    };
    let without_tools = Conditions { tools: Some(false), ..Conditions::default() };
    assert_eq!(
        steps("picky"),
        [("acme/two".to_owned(), step(1, 1, picky)), ("acme/one".to_owned(), step(2, 1, without_tools)),],
        "a lane inside keeps the conditions that stand at its name"
    );
    let outside =
        environment(&[("FLUX_LANES__SHARED__DEFAULT", "acme/two"), ("FLUX_LANES__PICKY__FALLBACKS", "acme/one, fast")]);
    let overridden = check(&texts, &outside).unwrap().catalog;
    let chain = overridden.chain(overridden.resolve("shared").unwrap()).unwrap();
    let order: Vec<_> = chain.targets.iter().map(|target| (&*target.model.id, target.step.number)).collect();
    assert_eq!(order, [("acme/two", 1)]);
}

#[test]
fn a_model_may_stand_in_a_chain_for_several_kinds_of_requests() {
    let mut texts = small();
    texts.lanes.1.push_str(
        "p2 = [{ target = \"acme/one\", when = { tools = true } }, \"acme/one\"]\n\
         [lanes.t1]\n\
         default = { target = \"acme/one\", when = { vision = true } }\n\
         fallbacks = [\"t2\"]\n\
         [lanes.t2]\n\
         default = \"acme/one\"\n\
         [lanes.t3]\n\
         default = \"acme/one\"\n\
         fallbacks = [\"t1\", \"acme/two\"]\n",
    );
    let catalog = check(&texts, &[]).unwrap().catalog;
    let places = |name: &str| -> Vec<_> {
        let chain = catalog.chain(catalog.resolve(name).unwrap()).unwrap();
        let place = |step: &Step| (step.when.vision.or(step.when.tools).is_some(), step.is_repeated);
        chain.targets.iter().map(|target| (&*target.model.id, place(&target.step))).collect()
    };
    assert_eq!(places("t1"), [("acme/one", (true, false)), ("acme/one", (false, true))]);
    assert_eq!(places("p2"), places("t1"));
    let once = [("acme/one", (false, false)), ("acme/two", (false, false))];
    assert_eq!(places("t3"), once, "the first place takes all");
}

#[test]
fn an_access_is_in_the_region_of_its_address() {
    let mut texts = small();
    texts.providers.1.push_str(
        "regional_base_urls = { eu = \"https://eu.acme.example/v1\", us = \"https://us.acme.example/v1\" }\n\
         accesses = [{ base_url = \"https://eu.acme.example/v1\" }, { base_url = \"https://x.example/v1\", region = \"mars\" },\n\
         { base_url = \"https://us.acme.example/v1\" }, { base_url = \"https://acme-2.example/v1\" }]\n",
    );
    let catalog = check(&texts, &environment(&[("ACME_KEY", "sk-a")])).unwrap().catalog;
    let regions: Vec<_> = catalog.providers()[0].accesses.iter().map(|access| &*access.region).collect();
    assert_eq!(regions, ["", "eu", "mars", "us", ""]);
}

#[test]
fn lanes_may_hold_lanes() {
    let mut texts = small();
    texts.lanes.1.push_str("[lanes.both]\ndefault = \"acme/two\"\nfallbacks = [\"fast\"]\n");
    let catalog = check(&texts, &[]).unwrap().catalog;
    let both = catalog.chain(catalog.resolve("both").unwrap()).unwrap();
    let targets: Vec<_> = both.targets.iter().map(|target| &*target.model.id).collect();
    assert_eq!(targets, ["acme/two", "acme/one"]);
}

#[cfg(feature = "shell")]
#[test]
fn a_folder_is_loaded_and_its_changes_are_seen() {
    use super::load::{FILES, fingerprint, load};
    let folder = tempfile::tempdir().unwrap();
    let complaints = load(folder.path(), &[]).map(|_| ()).unwrap_err();
    // The tariffs of the repository stand in for a folder without.
    assert_eq!(complaints.len(), FILES.len() - 1);
    let Texts { settings, providers, models, lanes, tariffs } = small();
    for (name, text) in [settings, providers, models, lanes, tariffs] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let loaded = load(folder.path(), &environment(&[("ACME_KEY", "k")])).unwrap();
    assert!(loaded.catalog.providers()[0].is_configured());
    assert_eq!(loaded.fingerprint, fingerprint(folder.path()));
    std::fs::write(folder.path().join("flux.toml"), "[log]\nlevel = \"warn\"\n").unwrap();
    assert_ne!(loaded.fingerprint, fingerprint(folder.path()));
}

/// T-72 and the newcomer's first run: without a key the mock answers at real prices.
#[test]
fn the_mock_stands_in_while_no_provider_has_a_key() {
    let address = "127.0.0.1:9999".parse().unwrap();
    let secret = crate::base::secret::Secret::new("s");
    let cases: [(&[(&str, &str)], bool); 4] = [
        (&[], true),
        (&[("OPENAI_API_KEY", "sk-1")], false),
        (&[("OPENAI_API_KEY", "sk-1"), ("FLUX_MOCK__MODE", "on")], true),
        (&[("FLUX_MOCK__MODE", "off")], false),
    ];
    for (pairs, stands_in) in cases {
        let plain = checked(pairs).catalog;
        assert_eq!(plain.has_stand_in(), stands_in, "{pairs:?}");
        let catalog = plain.with_mock(address, address, &secret);
        for (chain, before) in
            catalog.lanes().iter().chain(catalog.pins()).zip(plain.lanes().iter().chain(plain.pins()))
        {
            let is_mock = |target: &Arc<Target>| &*target.provider.id == "mock";
            assert!(chain.mock_targets.iter().all(is_mock), "{}", chain.name);
            assert_eq!(chain.mock_targets.len(), before.targets.len());
            assert_eq!(chain.targets.iter().all(is_mock), stands_in, "{}", chain.name);
            let speaks = |target: &Arc<Target>| SPOKEN.iter().any(|format| target.takes_bytes_of(*format));
            let is_routable = chain.is_routable(NOVEMBER, &SPOKEN);
            assert!(!stands_in || is_routable == chain.targets.iter().any(speaks), "{}", chain.name);
            let talks = chain.targets.iter().any(|target| target.model.kind == ModelKind::Chat);
            assert!(!stands_in || is_routable == talks, "{}", chain.name);
            for (target, before) in chain.targets.iter().zip(&before.targets) {
                assert_eq!(target.model, before.model);
            }
        }
        let target = &catalog.lanes()[0].mock_targets[0];
        let endpoint = target.provider.endpoint(WireFormat::AnthropicMessages).unwrap();
        assert_eq!((&*endpoint.host, endpoint.port, endpoint.tls), ("127.0.0.1", 9999, false));
        assert_eq!(&*endpoint.path, "/v1/messages");
    }
}

#[test]
fn what_no_client_can_reach_is_not_routable() {
    let routable = |pairs: &[(&str, &str)]| -> Vec<String> {
        let catalog = checked(pairs).catalog;
        let chains = catalog.lanes().iter().chain(catalog.pins());
        chains.filter(|chain| chain.is_routable(NOVEMBER, &SPOKEN)).map(|chain| chain.name.to_string()).collect()
    };
    assert_eq!(routable(&[]), Vec::<String>::new());
    // The model stands in the path of Bedrock's own formats, so nothing can be passed on as it is.
    assert_eq!(routable(&[("AWS_BEARER_TOKEN_BEDROCK", "k")]), Vec::<String>::new());
    let expected = ["flux-fast", "flux-pinned-gpt-oss-120b", "flux-pinned-gpt-oss-20b", "flux-pinned-qwen-3-8-27b"];
    assert_eq!(routable(&[("GROQ_API_KEY", "k")]), expected);
}

#[test]
fn keys_are_never_printed() {
    let catalog = checked(&[("OPENAI_API_KEY", "sk-very-secret")]).catalog;
    let keys = catalog.providers().iter().flat_map(|provider| &provider.accesses).map(|access| access.key.expose());
    assert!(keys.into_iter().any(|key| key == "sk-very-secret"));
    assert!(!format!("{catalog:?}").contains("very-secret"));
}

#[test]
fn tariffs_are_what_the_seeds_say() {
    let tariffs = checked(&[("FLUX_TARIFFS__PAYG__CEILING", "7.5")]).tariffs;
    let usd = |dollars: i64| NanoUsd(dollars * 1_000_000_000);
    let tariff = |id: &str| (**tariffs.by_id(id).unwrap()).clone();
    let free = tariff("free");
    assert_eq!((free.included, free.overage, free.limits.requests_per_second), (usd(1), Overage::Refused, Some(1)));
    assert_eq!(free.limits.requests_per_minute, Some(60));
    assert_eq!(tariff("payg").ceiling, Some(NanoUsd(7_500_000_000)));
    for (id, fee, credits, overage) in [
        ("credits-free", 0, 500, Overage::Refused),
        ("power", 24_990_000_000, 10_000, Overage::PerCredit(NanoUsd(3_000_000))),
        ("pro", 49_990_000_000, 30_000, Overage::PerCredit(NanoUsd(2_000_000))),
    ] {
        let found = tariff(id);
        let said = (found.unit, found.fee.0, found.included.0, found.overage, found.reset);
        assert_eq!(said, (Unit::Credits, fee, credits * 10_000_000, overage, Reset::BillingDate), "{id}");
    }
    assert_eq!((&*tariffs.default_tariff().id, tariffs.default_tariff().limits.requests_per_minute), ("house", None));
}

#[test]
fn a_tariffs_faults_are_told() {
    let texts = |tariffs: &str| Texts { tariffs: ("tariffs.toml".to_owned(), tariffs.to_owned()), ..small() };
    for (text, line, message) in [
        ("[a]\noverage = \"refused\"", 1, "0 tariffs have `default = true`"),
        ("[a]\ndefault = true\n[b]\ndefault = true", 1, "2 tariffs have `default = true`"),
        ("[a]\ndefault = true\nceiling = \"5\"", 3, "a.ceiling: bounds nothing"),
        ("[a]\ndefault = true\noverage_per_credit = \"0.1\"", 3, "a.overage_per_credit: does not fit the rest"),
        (
            "[a]\ndefault = true\nincluded = \"5\"\noverage = \"at-rates\"\nceiling = \"4\"",
            5,
            "a.ceiling: is below what is included",
        ),
        ("[A_b]\ndefault = true", 1, "\"A_b\" is no name for a tariff"),
        ("[a]\ndefault = true\nfee = \"x\"", 3, "a.fee"),
        ("[a]\ndefault = true\nrpm = 5", 3, "unknown setting a.rpm"),
    ] {
        let complaints = refused(&texts(text), &[]);
        let found = complaints
            .iter()
            .any(|told| told.line == line && told.message.contains(message) && told.file == "tariffs.toml");
        assert!(found, "{text}: {}", told(&complaints));
    }
}
