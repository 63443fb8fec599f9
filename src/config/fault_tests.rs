//! A table of faults: what is put into a small right configuration, and what is told.

use super::check::{Texts, check};
use super::tests::{refused, small, told};

/// A right model; the faults of models change it.
const MODEL: &str = r#"["acme/x"]
model = "m"
canonical = "x"
formats = ["openai-chat"]
price = { as_of = "2026-11-22", rates = { input = "1", output = "2" } }
"#;

/// `(fault, complaint)`: the fault is the whole of `flux.toml`.
const SETTINGS: &[(&str, &str)] = &[
    ("[server]\nlistn = 1", "flux.toml:2: unknown setting server.listn (hint: did you mean \"listen\"?)"),
    ("[sever]\nlisten = 1", "flux.toml:1: unknown setting sever (hint: did you mean \"server\"?)"),
    ("[server]\n\nlisten = 8080", "flux.toml:3: server.listen: expected a text in quotes, found a whole number"),
    ("[server]\nlisten = \"8080\"", "flux.toml:2: server.listen: \"8080\" is no address"),
    ("[server]\nprivate_listen = \"0.0.0.0:1\"", "flux.toml:2: server.private_listen: 0.0.0.0:1 can be reached"),
    ("[server]\nprivate_listen = \"127.0.0.1:8080\"", "flux.toml:2: server.private_listen: is the same address"),
    ("[server]\ntls_cert = \"c.pem\"", "flux.toml:1: server.tls_key: is missing beside tls_cert"),
    ("[server]\ntls_key = \"k.pem\"", "flux.toml:1: server.tls_cert: is missing beside tls_key"),
    ("[server]\ndata_dir = \"\"", "flux.toml:2: server.data_dir: is empty"),
    ("[limits]\nbody_bytes_max = 0", "flux.toml:2: limits.body_bytes_max: 0 is out of range"),
    (
        "[limits]\nbody_bytes_max = -5",
        "flux.toml:2: limits.body_bytes_max: expected a whole number, zero or more, found a negative number (hint: such as",
    ),
    ("[limits]\nbody_bytes_max = 1.5", "flux.toml:2: limits.body_bytes_max: expected a whole number"),
    ("[limits]\nbody_bytes_max = 99999999999999999999", "flux.toml:2: limits.body_bytes_max: expected"),
    ("[timeouts]\ntotal_ms = 0", "flux.toml:2: timeouts.total_ms: 0 is out of range"),
    (
        "[timeouts]\ntotal_ms = 1",
        "flux.toml:2: timeouts.total_ms: 1 ends a request before timeouts.connect_ms, 3000, can",
    ),
    ("[ledger]\nsegment_bytes = 268435456", "flux.toml:2: ledger.segment_bytes: 2 segments of"),
    ("[log]\nlevel = \"loud\"", "flux.toml:2: log.level: \"loud\" is none of its words (hint: one of: off, error"),
    ("[mock]\nmode = true", "flux.toml:2: mock.mode: expected a text in quotes, found true or false"),
    ("[mock]\nfault = \"boom\"", "flux.toml:2: mock.fault: \"boom\" is none of its words (hint: one of:"),
    ("[server\nlisten = 1", "flux.toml:1: "),
    ("[log]\nlevel = \"info\"\nlevel = \"warn\"", "flux.toml:3: duplicate key"),
    ("server = 1", "flux.toml:1: server: expected a table, found a whole number"),
];

/// `(fault, complaint)`: the fault stands after line 4 of `providers.toml`, inside `[acme]`.
const PROVIDERS: &[(&str, &str)] = &[
    ("auth = \"basic\"", "providers.toml:5: acme.auth: \"basic\" is none of its words"),
    ("api_key = \"sk\"", "providers.toml:5: acme.api_key: keys do not belong into files"),
    ("formats.openai-chta = \"/x\"", "providers.toml:5: unknown wire format openai-chta (hint: did you mean"),
    ("formats.openai-images = \"x\"", "providers.toml:5: acme.formats.openai-images: \"x\" is no path"),
    ("formats.openai-images = 1", "providers.toml:5: acme.formats.openai-images: expected a path in quotes"),
    ("formats.openai-images = {}", "providers.toml:5: acme.formats.openai-images.path: needs either path or root_path"),
    ("headers = { a = \"b\\n\" }", "providers.toml:5: acme.headers.a: not a usable text"),
    ("stream_usage = \"maybe\"", "providers.toml:5: acme.stream_usage: \"maybe\" is none of its words"),
    ("[b]\nbase_url = \"ftp://x\"\nformats.openai-chat = \"/x\"", "providers.toml:6: b.base_url: must begin with"),
    (
        "[b]\nbase_url = \"http://0x7f.1\"\nformats.openai-chat = \"/x\"",
        "b.base_url: writes an IP address in a notation",
    ),
    ("[b]\nformats.openai-chat = \"/x\"", "providers.toml:5: b.base_url: is missing"),
    ("[b]\nbase_url = \"https://b.example\"", "providers.toml:5: b.formats: is missing"),
    ("[mock]\nbase_url = \"https://b.example\"", "providers.toml:5: the provider mock is built in"),
    ("[acme]\nname = \"again\"", "providers.toml:5: duplicate key"),
];

/// `(from, to, complaint)`: the change of [`MODEL`], which begins at line 11 of `models.toml`.
const MODELS: &[(&str, &str, &str)] = &[
    ("price", "prize", "models.toml:11: acme/x.price: is missing (hint: state rates, or say free = true)"),
    (", output = \"2\"", "", "models.toml:15: acme/x.price.rates: a price for input or output is missing or zero"),
    ("\"2\"", "\"0\"", "models.toml:15: acme/x.price.rates: a price for input or output is missing or zero"),
    ("\"1\"", "\"1.1234567\"", "models.toml:15: acme/x.price.rates.input: `1.1234567` has more than 6 decimals"),
    ("\"1\"", "\"-1\"", "models.toml:15: acme/x.price.rates.input: `-1` is not a plain decimal"),
    ("\"1\"", "1", "models.toml:15: acme/x.price.rates.input: expected a decimal in quotes"),
    ("\"1\"", "1.5", "models.toml:15: acme/x.price.rates.input: expected a decimal in quotes"),
    ("input", "inptu", "models.toml:15: unknown setting acme/x.price.rates.inptu (hint: did you mean \"input\"?)"),
    ("as_of", "asof", "models.toml:15: acme/x.price.as_of: is missing"),
    ("acme/x", "acne/x", "models.toml:11: acne/x: unknown provider \"acne\" (hint: did you mean \"acme\"?)"),
    ("acme/x", "acme/one", "models.toml:11: duplicate key"),
    ("openai-chat", "openai-chats", "models.toml:14: acme/x.formats: unknown wire format \"openai-chats\""),
    ("model =", "modle =", "models.toml:12: unknown setting acme/x.modle (hint: did you mean \"model\"?)"),
    ("model =", "modle =", "models.toml:11: acme/x.model: is missing"),
    (
        "\"m\"",
        "\"m\"\ncontext_tokens = 1\noutput_tokens_max = 2",
        "models.toml:14: acme/x.output_tokens_max: is larger",
    ),
    ("\"m\"", "\"m\"\nretires = \"soon\"", "models.toml:13: acme/x.retires: \"soon\" is no date"),
    ("\"m\"", "\"m\"\ntokenizer_factor = \"40\"", "models.toml:13: acme/x.tokenizer_factor: \"40\" is no factor"),
    ("\"m\"", "\"m\"\ncapabilities.tool = true", "models.toml:13: unknown setting acme/x.capabilities.tool (hint: did"),
    (
        "\"m\"",
        "\"m\"\nkind = \"speech\"",
        "models.toml:16: acme/x.price.rates: a price for input or output is missing or zero (hint: state per_1m_characters",
    ),
    ("as_of", "per_minute = \"1\", as_of", "models.toml:15: acme/x.price.rates: sound is priced by its length too"),
    (
        "as_of",
        "per_minute = \"1\", per_hour = \"60\", as_of",
        "models.toml:15: acme/x.price.per_hour: per_minute is there too",
    ),
    ("\"m\"", "\"a\\\"b\"", "models.toml:12: acme/x.model: holds characters that a model's name cannot have"),
];

/// `(fault, complaint)`: the fault stands after line 6 of `lanes.toml`, inside `[pins]`.
const LANES: &[(&str, &str)] = &[
    ("p2 = [\"acme/on\"]", "lanes.toml:7: pins.p2: unknown model \"acme/on\" (hint: did you mean \"acme/one\"?)"),
    ("p2 = [\"acme/one\", \"acme/two\"]", "lanes.toml:7: pins.p2: mixes the models one and two"),
    ("p2 = [\"acme/one\", \"acme/one\"]", "lanes.toml:7: pins.p2: acme/one is there twice"),
    (
        "[lanes.b]\ndefault = \"acme/one\"\nfallbacks = [{ target = \"acme/one\", when = { vision = true } }]",
        "lanes.toml:9: lanes.b: acme/one is there twice (hint: its first place takes all",
    ),
    ("p2 = []", "lanes.toml:7: pins.p2: is empty"),
    (
        "p2 = 2",
        "lanes.toml:7: pins.p2: expected a target, found a whole number (hint: such as \"openai/gpt-6-luna\" or {",
    ),
    ("p2 = [[2]]", "lanes.toml:7: pins.p2: expected a target, found a whole number"),
    ("p2 = [{ weight = 2 }]", "lanes.toml:7: pins.p2.target: is missing"),
    ("p2 = [{ target = \"acme/one\", weight = 1001 }]", "lanes.toml:7: pins.p2.weight: 1001 is out of range"),
    (
        "p2 = [{ target = \"acme/one\", wieght = 1 }]",
        "lanes.toml:7: unknown setting pins.p2.wieght (hint: did you mean",
    ),
    ("p2 = [{ target = \"acme/one\", when = { visoin = true } }]", "lanes.toml:7: unknown setting pins.p2.when.visoin"),
    (
        "p2 = [{ target = \"acme/one\", when = { vision = \"yes\" } }]",
        "lanes.toml:7: pins.p2.when.vision: expected true or false",
    ),
    (
        "p2 = [{ target = \"acme/one\", when = { prompt_tokens_min = 9, prompt_tokens_max = 8 } }]",
        "lanes.toml:7: pins.p2.when.prompt_tokens_min: is above prompt_tokens_max",
    ),
    ("[lanes.b]\ndefault = [\"acme/one\", \"fast\"]", "lanes.toml:8: lanes.b: the lane fast cannot share a step"),
    (
        "[lanes.b]\ndefault = { target = \"c\", when = { vision = true } }\n[lanes.c]\n\
         default = { target = \"acme/one\", when = { vision = false } }",
        "lanes.toml:10: lanes.c: no request can meet the conditions of acme/one",
    ),
    ("p1 = [\"acme/two\"]", "lanes.toml:7: duplicate key"),
    ("fast = [\"acme/one\"]", "lanes.toml:7: pins.fast: the name is taken"),
    ("flux-auto = [\"acme/one\"]", "lanes.toml:7: pins.flux-auto: the name is taken"),
    ("\"a b\" = [\"acme/one\"]", "lanes.toml:7: \"a b\" cannot be a name"),
    ("[client_names]\nx = \"p2\"", "lanes.toml:8: client_names.x: unknown alias \"p2\" (hint: did you mean \"p1\"?)"),
    ("[client_names]\np1 = \"fast\"", "lanes.toml:8: client_names.p1: the name is taken by a lane or pin"),
    ("[lanes.b]\ndefault = \"b\"", "lanes.toml:8: lanes.b: the lanes lead in a circle: b -> b"),
    (
        "[lanes.b]\ndefault = \"acme/one\"\nfallbacks = [\"c\"]\n[lanes.c]\ndefault = \"b\"",
        "lanes.toml:11: lanes.c: the lanes lead in a circle: b -> c -> b",
    ),
    ("[lanes.b]\nfallbacks = [\"acme/one\"]", "lanes.toml:7: lanes.b.default: is missing"),
    ("[lanes.b]\ndefault = \"acme/three\"", "lanes.toml:8: lanes.b: unknown model \"acme/three\""),
    (
        "[lanes.b]\ndefault = \"acme/one\"\nprice = { input = \"1\" }",
        "lanes.toml:9: lanes.b.price.input: a lane's price",
    ),
    ("[lane.b]\ndefault = \"acme/one\"", "lanes.toml:7: unknown setting lane (hint: did you mean \"lanes\"?)"),
];

/// Regions are those of all addresses, whether or not there is a key for them here.
#[test]
fn regions_of_conditions_are_in_reach() {
    let with = |conditions: &str| {
        let mut texts = small();
        texts.providers.1.push_str(
            "regional_base_urls = { us = \"https://us.acme.example/v1\", mars = \"https://mars.acme.example/v1\" }\n\
             accesses = [{ api_key_env = \"EU_KEY\", base_url = \"https://eu.example/v1\", region = \"europe\" },\n\
             { base_url = \"https://us.acme.example/v1\" }]\n",
        );
        texts.lanes.1.push_str(conditions);
        texts
    };
    let good = with("p2 = [{ target = \"acme/one\", when = { region = [\"europe\", \"us\"] } }, \"acme/one\"]");
    for environment in [vec![], vec![("ACME_KEY".to_owned(), "sk-a".to_owned())]] {
        assert_eq!(check(&good, &environment).map(|_| ()), Ok(()));
    }
    for (region, hint) in [("erope", "did you mean \"europe\"?"), ("mars", "there are: europe, us")] {
        let when = format!("when = {{ region = \"{region}\" }}");
        for (conditions, place) in [
            (format!("p2 = [{{ target = \"acme/one\", {when} }}]"), "lanes.toml:7: pins.p2"),
            (format!("[lanes.b]\ndefault = {{ target = \"fast\", {when} }}"), "lanes.toml:8: lanes.b"),
        ] {
            let expected = format!("{place}: unknown region \"{region}\" in the conditions of ");
            check_told(&with(&conditions), &conditions, &expected);
            check_told(&with(&conditions), &conditions, hint);
        }
    }
    let mut texts = small();
    texts.lanes.1.push_str("p2 = [{ target = \"acme/one\", when = { region = \"eu\" } }]");
    check_told(&texts, "no region at all", "no address of providers.toml has a region");
}

/// The text of each file.
const PLACES: [fn(&mut Texts) -> &mut String; 4] = [
    |texts| &mut texts.settings.1,
    |texts| &mut texts.providers.1,
    |texts| &mut texts.lanes.1,
    |texts| &mut texts.models.1,
];

#[track_caller]
fn check_told(texts: &Texts, fault: &str, expected: &str) {
    let complaints = check(texts, &[]).map(|_| ()).expect_err(fault);
    let told = told(&complaints);
    assert!(told.lines().any(|line| line.contains(expected)), "{fault}\nexpected {expected}\n{told}");
}

/// T-65: a bad file is refused with file, line and hint.
#[test]
fn faults_are_told_with_file_and_line() {
    assert!(check(&small(), &[]).is_ok());
    for (faults, place) in [SETTINGS, PROVIDERS, LANES].into_iter().zip(PLACES) {
        for (fault, expected) in faults {
            let mut texts = small();
            place(&mut texts).push_str(fault);
            check_told(&texts, fault, expected);
        }
    }
    for (from, to, expected) in MODELS {
        let fault = MODEL.replace(from, to);
        assert_ne!(fault, MODEL);
        let mut texts = small();
        texts.models.1.push_str(&fault);
        check_told(&texts, &fault, expected);
    }
}

#[test]
fn all_faults_of_all_files_are_told_at_once() {
    let mut texts = small();
    texts.settings.1.push_str("[server]\nlisten = \"x\"\nthreads = \"many\"\n[limits\nkeys_max = 0\n");
    texts.providers.1.push_str("auth = \"basic\"\n");
    texts.models.1.push_str("[\"acme/x\"]\n");
    texts.lanes.1.push_str("p2 = [\"acme/none\"]\n");
    let complaints = refused(&texts, &[("FLUX_LOG__LEVEL", "loud")]);
    for file in ["flux.toml", "providers.toml", "models.toml", "lanes.toml", "FLUX_LOG__LEVEL"] {
        assert!(complaints.iter().any(|complaint| complaint.file == file), "{file}: {}", told(&complaints));
    }
    assert!(complaints.iter().filter(|complaint| complaint.file == "flux.toml").count() >= 3);
    assert!(complaints.iter().all(|complaint| !complaint.message.contains('\n')));
}

/// Nothing that stands in a file may end the process.
#[test]
fn hostile_files_are_complained_about() {
    let deep = "[".repeat(2_000);
    let nested = format!("a = {}1{}", "{ b = ".repeat(100), " }".repeat(100));
    for text in [deep.as_str(), &nested, "\u{0}", "a = \"\\u{110000}\"", "=", "a.b.c", "[[pins]]", "[pins]\na = [[]]"] {
        for place in PLACES {
            let mut texts = small();
            place(&mut texts).push_str(text);
            assert!(check(&texts, &[]).is_err(), "{text}");
        }
    }
}
