//! What a plan takes, leaves out, and says when nothing is left.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::base::money::PicoUsd;
use crate::base::preference::MaxPrice;
use crate::base::secret::Secret;
use crate::catalog::chain::{Conditions, Step};
use crate::catalog::kept::Kept;
use crate::catalog::price::{ListedLadder, ListedRates, PriceCard, PriceList};
use crate::catalog::provider::{Access, AuthKind, Dialect, Endpoint, Endpoints, Provider, StreamUsage};
use crate::catalog::thinking::ThinkingSupport;
use crate::catalog::{ChainKind, LaneRates, Limits, MOCK_ID, ModelKind};
use crate::health::redrawn;

const CHAT: WireFormat = WireFormat::OpenaiChat;
const MESSAGES: WireFormat = WireFormat::AnthropicMessages;
const ALL: Capabilities = Capabilities {
    streaming: true,
    vision: true,
    pdf: true,
    audio: true,
    assistant_prefill: true,
    cache_marks: true,
    tools: true,
    forced_tool_choice: true,
    json_schema: true,
    sampling_params: true,
    reasoning: true,
    tools_with_reasoning_on_chat: true,
};

fn target(id: &str, change: impl Fn(&mut Provider, &mut Model)) -> Arc<Target> {
    let endpoint = |path: &str| Endpoint {
        host: "h".into(),
        port: 1,
        tls: false,
        authority: "h".into(),
        path: path.into(),
        stream_path: path.into(),
        count_path: "".into(),
        auth: AuthKind::Bearer,
        ready: Kept::default(),
    };
    let mut endpoints = Endpoints::default();
    endpoints.insert(CHAT, endpoint("/chat"));
    endpoints.insert(MESSAGES, endpoint("/messages"));
    endpoints.insert(WireFormat::OpenaiResponses, endpoint("/responses"));
    endpoints.insert(WireFormat::GeminiGenerate, endpoint("/{model}:generate"));
    let mut provider = Provider {
        id: "p".into(),
        name: "p".into(),
        headers: Vec::new(),
        dialect: Dialect::Plain,
        stream_usage: StreamUsage::Always,
        reasoning_outside_output: false,
        cached_outside_input: false,
        unusable: "".into(),
        accesses: vec![Access::only(Secret::new(""), endpoints)],
        concurrent_max: 0,
        live: Kept::default(),
    };
    let mut model = Model {
        id: id.into(),
        canonical: id.into(),
        provider_model_id: id.into(),
        display_name: id.into(),
        developer: "".into(),
        kind: ModelKind::Chat,
        released: UnixMs(0),
        retires: None,
        formats: vec![CHAT],
        secondary_formats: vec![],
        limits: Limits { context_tokens: Some(1_000), input_tokens_max: None, output_tokens_max: Some(200) },
        capabilities: ALL,
        thinking: ThinkingSupport::default(),
        tokenizer_factor_milli: 1_000,
        price: PriceCard::free(),
    };
    change(&mut provider, &mut model);
    Arc::new(Target::new(Arc::new(provider), Arc::new(model)))
}

fn plain(id: &str) -> Arc<Target> {
    target(id, |_, _| {})
}

fn with_capabilities(id: &str, capabilities: Capabilities) -> Arc<Target> {
    target(id, |_, model| model.capabilities = capabilities)
}

fn with_window(id: &str, tokens: u64) -> Arc<Target> {
    target(id, |_, model| model.limits.context_tokens = Some(tokens))
}

fn chain(targets: Vec<Arc<Target>>) -> Arc<Chain> {
    let mock_targets = vec![plain("on-mock")];
    let (name, display_name) = ("lane".into(), "Lane".into());
    Arc::new(Chain { name, display_name, kind: ChainKind::Lane, is_hedged: false, rates: None, targets, mock_targets })
}

const TERMS: Terms<'static> =
    Terms { client_format: CHAT, via: Via::Providers, at: UnixMs(1_000), bounds: None, preference: None, draw: None };

fn planned(targets: Vec<Arc<Target>>, needs: &Needs, terms: &Terms<'_>) -> Result<String, PlanError> {
    let plan = plan(&chain(targets), needs, terms, Known::NOTHING)?;
    let ids: Vec<_> = plan.planned().map(|target| target.model.id.to_string()).collect();
    Ok(ids.join(" "))
}

fn standing(standing: &dyn Fn(&Target) -> Standing) -> Known<'_> {
    Known { standing, ..Known::NOTHING }
}

#[test]
fn the_order_of_the_chain_is_kept() {
    let targets = || vec![plain("a"), plain("b"), plain("c")];
    assert_eq!(planned(targets(), &Needs::default(), &TERMS).unwrap(), "a b c");
}

#[test]
fn what_is_not_live_is_skipped() {
    let off = || target("off", |provider, _| provider.unusable = "it has no key".into());
    let ended = || target("ended", |_, model| model.retires = Some(UnixMs(1_000)));
    let ends_later = target("later", |_, model| model.retires = Some(UnixMs(1_001)));
    let needs = Needs::default();
    assert_eq!(planned(vec![off(), ended(), ends_later], &needs, &TERMS).unwrap(), "later");
    assert_eq!(planned(vec![off(), ended()], &needs, &TERMS), Err(PlanError::NothingConfigured));
}

/// T-72: a plan for a test key holds the mock only.
#[test]
fn test_keys_go_to_the_mock() {
    let terms = Terms { via: Via::Mock, ..TERMS };
    assert_eq!(planned(vec![plain("a")], &Needs::default(), &terms).unwrap(), "on-mock");
}

fn speaking(formats: &[WireFormat], secondary: &[WireFormat], change: fn(&mut Capabilities)) -> Arc<Target> {
    target("m", |_, model| {
        model.formats = formats.to_vec();
        model.secondary_formats = secondary.to_vec();
        change(&mut model.capabilities);
    })
}

#[test]
fn the_clients_own_format_is_taken_where_it_is_spoken_well() {
    use WireFormat::{AnthropicMessages as A, GeminiGenerate as G, OpenaiChat as C, OpenaiResponses as R};
    let as_is = |_: &mut Capabilities| {};
    let picky = |capabilities: &mut Capabilities| capabilities.tools_with_reasoning_on_chat = false;
    let nothing = Needs::default();
    let loop_of_thought = Needs { tools: true, reasoning: true, ..nothing };
    let stops = Needs { stop: true, ..nothing };
    for (name, target, client, needs, format) in [
        ("own", speaking(&[R, C], &[], as_is), C, nothing, C),
        ("own, too", speaking(&[R, C], &[], as_is), R, nothing, R),
        ("tools beside effort", speaking(&[R, C], &[], picky), C, loop_of_thought, R),
        ("richest", speaking(&[R, C], &[], as_is), A, nothing, R),
        ("stop texts", speaking(&[R, C], &[], as_is), A, stops, C),
        ("no imitation", speaking(&[G], &[C], as_is), C, nothing, G),
        ("imitation of the own", speaking(&[WireFormat::BedrockConverse], &[C], as_is), C, nothing, C),
        ("other", speaking(&[A], &[], as_is), C, nothing, A),
    ] {
        let terms = Terms { client_format: client, ..TERMS };
        let plan = plan(&chain(vec![target]), &needs, &terms, Known::NOTHING).unwrap();
        assert_eq!(plan.attempts[0].format, format, "{name}");
    }
    let deaf = speaking(&[WireFormat::BedrockConverse], &[], as_is);
    let error = planned(vec![deaf], &nothing, &TERMS).unwrap_err();
    assert_eq!(error.to_string(), "this model speaks bedrock-converse");
}

#[test]
fn what_a_request_needs_is_there() {
    let blind = || with_capabilities("blind", Capabilities { vision: false, ..ALL });
    let needs = Needs { vision: true, tools: true, ..Needs::default() };
    assert_eq!(planned(vec![blind(), plain("a")], &needs, &TERMS).unwrap(), "a");
    let error = planned(vec![blind()], &needs, &TERMS).unwrap_err();
    assert_eq!(error, PlanError::Lacks { capability: "image input" });
}

#[test]
fn sampling_is_a_wish() {
    let fixed = || with_capabilities("fixed", Capabilities { sampling_params: false, ..ALL });
    let needs = Needs { sampling_params: true, ..Needs::default() };
    assert_eq!(planned(vec![fixed(), plain("a")], &needs, &TERMS).unwrap(), "a");
    assert_eq!(planned(vec![fixed()], &needs, &TERMS).unwrap(), "fixed");
    assert_eq!(planned(vec![fixed(), plain("a")], &Needs::default(), &TERMS).unwrap(), "fixed a");
}

/// T-56: never to a smaller context than the prompt needs.
#[test]
fn small_windows_are_left_out() {
    let needs = |text_bytes, output_tokens| Needs { text_bytes, output_tokens, ..Needs::default() };
    let windows = || vec![with_window("small", 1_000), with_window("large", 10_000)];
    let cases = [
        (3_000, 0, Ok("small large")),
        (3_001, 0, Ok("large")),
        // The answer counts too, up to what the model can give: 200.
        (2_400, 200, Ok("small large")),
        (2_403, 200, Ok("large")),
        (2_403, 199, Ok("small large")),
        (2_403, 100_000, Ok("large")),
        (30_000, 0, Ok("large")),
        // Perhaps it fits: the provider counts.
        (30_001, 0, Ok("large")),
        (80_000, 0, Ok("large")),
        (80_001, 0, Err(PlanError::ContextTooLong { prompt_tokens: 10_001, prompt_tokens_max: 10_000 })),
    ];
    for (text_bytes, output_tokens, expected) in cases {
        let found = planned(windows(), &needs(text_bytes, output_tokens), &TERMS);
        assert_eq!(found, expected.map(str::to_owned), "{text_bytes} {output_tokens}");
    }
    // A tokenizer that makes more of the same text needs a larger window.
    let wordy = target("wordy", |_, model| model.tokenizer_factor_milli = 1_700);
    assert_eq!(planned(vec![wordy, plain("a")], &needs(2_000, 0), &TERMS).unwrap(), "a");
    let unknown = target("unknown", |_, model| model.limits = Limits::default());
    assert_eq!(planned(vec![unknown], &needs(u64::MAX, 0), &TERMS).unwrap(), "unknown");
}

#[test]
fn the_doubtful_come_after_the_well_and_the_away_last() {
    let away = |until| Standing::Away { until: Moment(until), is_asked: false };
    let targets = || ["a", "b", "c", "d"].map(|id| target(id, |_, _| {})).to_vec();
    let ordered = |standings: [Standing; 4]| {
        let of = |target: &Target| standings["abcd".find(&*target.model.id).unwrap()];
        let plan = plan(&chain(targets()), &Needs::default(), &TERMS, standing(&of))?;
        Ok(plan.planned().map(|target| &*target.model.id).collect::<Vec<_>>().join(" "))
    };
    let well = Standing::Well;
    assert_eq!(ordered([away(5), Standing::Doubtful, well, well]), Ok("c d b a".to_owned()));
    assert_eq!(ordered([away(5), away(9), Standing::Doubtful, away(7)]), Ok("c a b d".to_owned()));
    assert_eq!(
        ordered([away(5), away(9), away(4), away(7)]),
        Err(PlanError::AllAway { until: Moment(4) }),
        "the first that comes back"
    );
}

#[test]
fn t56_a_prompt_never_goes_to_a_smaller_window_because_the_larger_one_is_away() {
    let large = target("large", |_, model| model.limits.context_tokens = Some(100_000));
    let away = |target: &Target| match &*target.model.id {
        "large" => Standing::Away { until: Moment(7), is_asked: false },
        _ => Standing::Well,
    };
    let chain = chain(vec![large, target("small", |_, _| {})]);
    let long = Needs { text_bytes: 40_000, ..Needs::default() };
    assert_eq!(plan(&chain, &long, &TERMS, standing(&away)).unwrap_err(), PlanError::AllAway { until: Moment(7) });
    let short = plan(&chain, &Needs::default(), &TERMS, standing(&away)).unwrap();
    assert_eq!(&*short.planned().next().unwrap().model.id, "small");
}

fn by(provider: &str) -> Arc<Target> {
    target(provider, |of, _| of.id = provider.into())
}

/// What a token of the prompt and one of the answer cost, in USD for a million.
fn priced(provider: &str, input: &str, output: &str) -> Arc<Target> {
    let rate = |usd| Some(PicoUsd::per_million(usd).unwrap());
    let rates = ListedRates { input: rate(input), output: rate(output), ..ListedRates::default() };
    let standard = ListedLadder { rates, tiers: Vec::new() };
    let card = PriceCard::new(&PriceList { standard, ..PriceList::default() });
    target(provider, |of, model| {
        of.id = provider.into();
        model.price = card.clone();
    })
}

fn names(listed: &str) -> Vec<Box<str>> {
    listed.split_whitespace().map(Box::from).collect()
}

#[test]
fn what_a_request_prefers_bounds_and_orders_the_plan() {
    let none = Preference::default;
    let order = |listed| Preference { order: names(listed), ..none() };
    for (name, preference, expected) in [
        ("nothing", none(), Ok("a b c")),
        ("an order first, then the rest", order("c b"), Ok("c b a")),
        ("an order of some that are not there", order("x b"), Ok("b a c")),
        ("an order and nobody else", Preference::listed(names("c a")), Ok("c a")),
        ("one of nobody that is there", Preference::listed(names("x")), Err(())),
        ("only", Preference { only: names("c b"), ..none() }, Ok("b c")),
        ("only, in an order", Preference { only: names("c b"), ..order("c") }, Ok("c b")),
        ("ignore", Preference { ignore: names("a"), ..none() }, Ok("b c")),
        ("ignore what is ordered", Preference { ignore: names("c"), ..order("c") }, Ok("a b")),
        ("ignore all", Preference { ignore: names("a b c"), ..none() }, Err(())),
        ("only and ignore the same", Preference { only: names("a"), ignore: names("a"), ..none() }, Err(())),
        ("no fallbacks", Preference { is_strict: true, ..none() }, Ok("a")),
    ] {
        let terms = Terms { preference: Some(&preference), ..TERMS };
        let found = planned(vec![by("a"), by("b"), by("c"), by("a")], &Needs::default(), &terms);
        // The chain has a second target of `a`, which goes where the first goes.
        let found = found.map(|plan| {
            let mut seen = Vec::new();
            plan.split(' ')
                .filter(|id| {
                    !seen.contains(id) && {
                        seen.push(id);
                        true
                    }
                })
                .collect::<Vec<_>>()
                .join(" ")
        });
        let there = PlanError::NotPreferred { providers: ["a", "b", "c"].map(str::to_owned).to_vec() };
        assert_eq!(found, expected.map(str::to_owned).map_err(|()| there), "{name}");
    }
}

#[test]
fn a_preference_by_price_looks_at_what_the_client_pays() {
    let targets = || vec![priced("dear", "10", "1"), priced("mid", "2", "8"), priced("cheap", "1", "2")];
    let sorted = |sort| Preference { sort: Some(sort), ..Preference::default() };
    let at_most = |prompt: Option<&str>, completion: Option<&str>| {
        let usd = |text: Option<&str>| text.map(|text| PicoUsd::per_million(text).unwrap());
        let max_price = MaxPrice { prompt: usd(prompt), completion: usd(completion) };
        Preference { max_price, ..Preference::default() }
    };
    for (preference, expected) in [
        (sorted(Sort::Price), Some("cheap mid dear")),
        (Preference { order: names("mid"), ..sorted(Sort::Price) }, Some("mid cheap dear")),
        (at_most(Some("2"), None), Some("mid cheap")),
        (at_most(None, Some("2")), Some("dear cheap")),
        (at_most(Some("1.999999"), Some("8")), Some("cheap")),
        (at_most(Some("0.5"), None), None),
    ] {
        let terms = Terms { preference: Some(&preference), ..TERMS };
        assert_eq!(planned(targets(), &Needs::default(), &terms).ok().as_deref(), expected, "{preference:?}");
    }
    // The address in the EU costs a tenth more.
    let twice = || {
        let target = Target::clone(&priced("p", "2", "4"));
        let (mut provider, mut model) = (Provider::clone(&target.provider), Model::clone(&target.model));
        let rates = ListedRates {
            input: Some(PicoUsd::per_million("2").unwrap()),
            output: Some(PicoUsd::per_million("4").unwrap()),
            ..ListedRates::default()
        };
        model.price = PriceCard::new(&PriceList {
            standard: ListedLadder { rates, tiers: Vec::new() },
            regional_uplift_milli: vec![("eu".to_owned(), 1_100)],
            ..PriceList::default()
        });
        let first = provider.accesses[0].clone();
        provider.accesses.push(Access { region: "eu".into(), ..first.clone() });
        provider.accesses.push(Access { region: "us".into(), ..first });
        vec![Arc::new(Target { provider: Arc::new(provider), model: Arc::new(model), ..target })]
    };
    for (prompt, completion, region, is_left) in [
        (Some("2.2"), Some("4.4"), None, true),
        (Some("2.1"), None, None, false),
        (None, Some("4.3"), None, false),
        (Some("2"), Some("4"), Some("us"), true),
        (Some("2.1"), None, Some("eu"), false),
        (Some("2.2"), None, Some("eu"), true),
    ] {
        let preference = Preference { region: region.map(Box::from), ..at_most(prompt, completion) };
        let terms = Terms { preference: Some(&preference), ..TERMS };
        let found = planned(twice(), &Needs::default(), &terms);
        assert_eq!(found.is_ok(), is_left, "{prompt:?} {completion:?} {region:?}");
    }
    // A lane charges the same whoever answers.
    let rate = |usd| PicoUsd::per_million(usd).unwrap();
    let rates = LaneRates { input: rate("3"), output: rate("3"), cache_read: rate("1"), cache_write: rate("1") };
    let lane = Arc::new(Chain { rates: Some(rates), ..Chain::clone(&chain(targets())) });
    for (preference, count) in [(at_most(Some("3"), Some("3")), 3), (at_most(Some("2"), None), 0)] {
        let terms = Terms { preference: Some(&preference), ..TERMS };
        let plan = plan(&lane, &Needs::default(), &terms, Known::NOTHING);
        assert_eq!(plan.map_or(0, |plan| plan.attempts.len()), count);
    }
}

#[test]
fn a_preference_by_speed_goes_by_what_is_known_and_asks_the_unknown_to_know_them() {
    let pace = |target: &Target, by: Sort| match (by, &*target.provider.id) {
        (Sort::Latency, "a") | (Sort::Throughput, "b") => Some(900),
        (Sort::Latency, "b") | (Sort::Throughput, "a") => Some(20),
        _ => None,
    };
    let well = |_: &Target| Standing::Well;
    let ill = |target: &Target| match &*target.provider.id {
        "b" => Standing::Away { until: Moment(9), is_asked: false },
        _ => Standing::Well,
    };
    for (sort, is_b_ill, expected) in
        [(Sort::Latency, false, "c b a"), (Sort::Throughput, false, "c a b"), (Sort::Latency, true, "c a b")]
    {
        let standing: &dyn Fn(&Target) -> Standing = if is_b_ill { &ill } else { &well };
        let preference = Preference { sort: Some(sort), ..Preference::default() };
        let terms = Terms { preference: Some(&preference), ..TERMS };
        let chain = chain(vec![by("a"), by("b"), by("c")]);
        let plan = plan(&chain, &Needs::default(), &terms, Known { standing, pace: &pace }).unwrap();
        let asked: Vec<_> = plan.planned().map(|target| &*target.provider.id).collect();
        assert_eq!(asked.join(" "), expected, "{sort:?}");
    }
}

#[test]
fn a_preference_leaves_the_other_tests_as_they_are() {
    let no_tools = Capabilities { tools: false, ..ALL };
    let targets = vec![by("a"), target("b", |of, model| (of.id, model.capabilities) = ("b".into(), no_tools))];
    let preference = Preference::listed(names("b"));
    let terms = Terms { preference: Some(&preference), ..TERMS };
    let needs = Needs { tools: true, ..Needs::default() };
    assert_eq!(planned(targets, &needs, &terms), Err(PlanError::Lacks { capability: "tools" }));
    let on_mock = target("m", |of, _| of.id = MOCK_ID.into());
    assert_eq!(planned(vec![on_mock], &Needs::default(), &terms).unwrap(), "m", "it stands for any provider");
}

/// A target at a place of its chain.
fn placed(id: &str, number: u16, weight: u32, when: Conditions) -> Arc<Target> {
    let target = Target::clone(&plain(id));
    Arc::new(Target { step: Step { number, weight, when, is_repeated: false }, ..target })
}

#[test]
fn targets_of_one_step_share_its_requests_by_weight() {
    const ROUNDS: u32 = 10_000;
    let at = |id, number, weight| placed(id, number, weight, Conditions::default());
    let targets =
        vec![at("first", 1, 1), at("a", 2, 6), at("b", 2, 3), at("c", 2, 1), at("off", 2, 0), at("last", 3, 9)];
    assert_eq!(planned(targets.clone(), &Needs::default(), &TERMS).unwrap(), "first a b c off last", "undrawn");
    let mut heads = HashMap::new();
    let mut seconds_behind_a = HashMap::new();
    for round in 0..ROUNDS {
        let terms = Terms { draw: Some(redrawn(round.into())), ..TERMS };
        let plan = planned(targets.clone(), &Needs::default(), &terms).unwrap();
        let ids: Vec<&str> = plan.split(' ').collect();
        assert_eq!((ids.len(), ids[0], ids[4], ids[5]), (6, "first", "off", "last"), "{plan}");
        *heads.entry(ids[1].to_owned()).or_insert(0_u32) += 1;
        if ids[1] == "a" {
            *seconds_behind_a.entry(ids[2].to_owned()).or_insert(0_u32) += 1;
        }
    }
    for (id, share_percent) in [("a", 60), ("b", 30), ("c", 10)] {
        let percent = heads[id] * 100 / ROUNDS;
        assert!(percent.abs_diff(share_percent) <= 2, "{heads:?}");
    }
    let percent = seconds_behind_a["b"] * 100 / heads["a"];
    assert!(percent.abs_diff(75) <= 3, "those behind are drawn alike: {seconds_behind_a:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However a chain is made up: each target has one place, steps stay in their order, whoever only stands in is last of
    /// its step, the same number gives the same order, and each leads its step in its share of all numbers.
    #[test]
    fn steps_are_shared_by_weight(
        steps in proptest::collection::vec(proptest::collection::vec(0_u32..8, 1..5), 1..4), seed in any::<u64>(),
    ) {
        const ROUNDS: u32 = 2_000;
        let mut targets = Vec::new();
        for (weights, number) in steps.iter().zip(1..) {
            for (weight, at) in weights.iter().zip(0..) {
                targets.push(placed(&format!("{number}.{at}"), number, *weight, Conditions::default()));
            }
        }
        let mut first_of_first = vec![0_u32; steps[0].len()];
        for round in 0..ROUNDS {
            let draw = Some(redrawn(seed ^ redrawn(round.into())));
            let mut order: Vec<&Arc<Target>> = targets.iter().collect();
            share::order(&mut order, draw);
            let mut again: Vec<&Arc<Target>> = targets.iter().collect();
            share::order(&mut again, draw);
            prop_assert!(order.iter().zip(&again).all(|(one, other)| Arc::ptr_eq(one, other)));
            let numbers: Vec<u16> = order.iter().map(|target| target.step.number).collect();
            prop_assert!(numbers.is_sorted());
            for pair in order.windows(2) {
                let (one, next) = (&pair[0].step, &pair[1].step);
                prop_assert!(one.number != next.number || one.weight > 0 || next.weight == 0);
            }
            let place = targets.iter().position(|target| Arc::ptr_eq(target, order[0])).unwrap();
            first_of_first[place] += 1;
            let mut ids: Vec<&str> = order.iter().map(|target| &*target.model.id).collect();
            ids.sort_unstable();
            ids.dedup();
            prop_assert_eq!(ids.len(), targets.len());
        }
        let all: u32 = steps[0].iter().sum();
        for (weight, count) in steps[0].iter().zip(&first_of_first).filter(|_| all > 0) {
            // Five standard deviations of the widest share.
            prop_assert!((weight * ROUNDS / all).abs_diff(*count) <= 115, "{:?}: {:?}", steps[0], first_of_first);
        }
    }
}

#[test]
fn a_target_is_asked_by_requests_that_meet_its_conditions_alone() {
    let none = Conditions::default;
    let eu = Preference { region: Some("eu".into()), ..Preference::default() };
    let in_eu = |when| {
        let target = Target::clone(&placed("eu", 4, 1, when));
        let mut provider = Provider::clone(&target.provider);
        provider.accesses.iter_mut().for_each(|access| access.region = "eu".into());
        Arc::new(Target { provider: Arc::new(provider), ..target })
    };
    let targets = || {
        vec![
            placed("pictures", 1, 1, Conditions { vision: Some(true), ..none() }),
            placed("no-tools", 2, 1, Conditions { tools: Some(false), ..none() }),
            placed("short", 3, 1, Conditions { prompt_tokens_max: 99, ..none() }),
            placed("long", 3, 1, Conditions { prompt_tokens_min: 100, ..none() }),
            in_eu(Conditions { regions: vec!["eu".into()], ..none() }),
        ]
    };
    let plain = Needs::default();
    for (needs, preference, expected) in [
        (plain, None, "no-tools short"),
        (Needs { vision: true, ..plain }, None, "pictures no-tools short"),
        (Needs { tools: true, ..plain }, None, "short"),
        (Needs { text_bytes: 399, ..plain }, None, "no-tools short"),
        (Needs { text_bytes: 400, ..plain }, None, "no-tools long"),
        (plain, Some(&eu), "eu"),
    ] {
        let terms = Terms { preference, ..TERMS };
        assert_eq!(planned(targets(), &needs, &terms).as_deref(), Ok(expected), "{needs:?}");
    }
    let only = vec![placed("pictures", 1, 1, Conditions { vision: Some(true), ..none() })];
    assert_eq!(planned(only.clone(), &plain, &TERMS), Err(PlanError::ForOthers));
    let terms = Terms { preference: Some(&eu), ..TERMS };
    let nobody = PlanError::NotPreferred { providers: vec!["p (in no region)".to_owned()] };
    assert_eq!(planned(only, &plain, &terms), Err(nobody));
}

#[test]
fn a_model_with_several_places_is_asked_at_the_first_that_is_for_the_request() {
    let none = Conditions::default;
    let repeated = |id, number, when| {
        let target = Target::clone(&placed(id, number, 1, when));
        let step = Step { is_repeated: true, ..target.step.clone() };
        Arc::new(Target { step, ..target })
    };
    let targets = || {
        vec![
            placed("a", 1, 1, Conditions { vision: Some(true), ..none() }),
            placed("b", 2, 1, none()),
            repeated("a", 3, Conditions { prompt_tokens_min: 100, ..none() }),
            placed("c", 4, 1, none()),
            repeated("a", 5, none()),
        ]
    };
    let plain = Needs::default();
    for (needs, expected) in [
        (plain, "b c a"),
        (Needs { vision: true, ..plain }, "a b c"),
        (Needs { text_bytes: 400, ..plain }, "b a c"),
        (Needs { vision: true, text_bytes: 400, ..plain }, "a b c"),
    ] {
        assert_eq!(planned(targets(), &needs, &TERMS).as_deref(), Ok(expected), "{needs:?}");
    }
}

#[test]
fn conditions_include_others() {
    let none = Conditions::default;
    let regions =
        |names: &[&str]| Conditions { regions: names.iter().map(|name| Arc::from(*name)).collect(), ..none() };
    let vision = |is| Conditions { vision: Some(is), ..none() };
    let tools = |is| Conditions { tools: Some(is), ..none() };
    let length = |prompt_tokens_min, prompt_tokens_max| Conditions { prompt_tokens_min, prompt_tokens_max, ..none() };
    for (one, other, includes, is_included) in [
        (none(), none(), true, true),
        (none(), vision(true), true, false),
        (vision(true), vision(true), true, true),
        (vision(true), vision(false), false, false),
        (tools(false), none(), false, true),
        (tools(false), vision(false), false, false),
        (length(10, 50), length(20, 50), true, false),
        (length(10, 50), length(5, 50), false, true),
        (length(10, 50), length(20, 90), false, false),
        (length(0, 50), none(), false, true),
        (regions(&["eu", "us"]), regions(&["us"]), true, false),
        (regions(&["eu", "us"]), regions(&["us", "eu"]), true, true),
        (regions(&["eu"]), regions(&["us"]), false, false),
        (none(), regions(&["us"]), true, false),
    ] {
        assert_eq!((one.include(&other), other.include(&one)), (includes, is_included), "{one:?} {other:?}");
    }
}

#[test]
fn conditions_inside_conditions_hold_together() {
    let none = Conditions::default;
    let regions =
        |names: &[&str]| Conditions { regions: names.iter().map(|name| Arc::from(*name)).collect(), ..none() };
    let vision = |is| Conditions { vision: Some(is), ..none() };
    let length = |prompt_tokens_min, prompt_tokens_max| Conditions { prompt_tokens_min, prompt_tokens_max, ..none() };
    for (one, other, both) in [
        (none(), none(), Some(none())),
        (vision(true), none(), Some(vision(true))),
        (vision(true), vision(false), None),
        (length(10, 50), length(20, 90), Some(length(20, 50))),
        (length(10, 50), length(51, 90), None),
        (regions(&["eu", "us"]), regions(&["eu"]), Some(regions(&["eu"]))),
        (regions(&["us"]), regions(&["eu"]), None),
        (regions(&["us"]), none(), Some(regions(&["us"]))),
    ] {
        assert_eq!(one.and(&other), both, "{one:?} {other:?}");
        assert_eq!(other.and(&one), both, "{one:?} {other:?}");
    }
}

#[test]
fn what_a_key_is_bound_to_comes_before_what_its_request_prefers() {
    let bounds = |only, ignore| ProviderBounds { only: names(only), ignore: names(ignore), region: None };
    let prefers = |only| Preference { only: names(only), ..Preference::default() };
    let not_preferred = |there: &[&'static str]| {
        let providers = there.iter().map(|name| (*name).to_owned()).collect();
        Err(PlanError::NotPreferred { providers })
    };
    for (bounds, preference, expected) in [
        (bounds("", ""), None, Ok("a b c")),
        (bounds("c a", ""), None, Ok("a c")),
        (bounds("", "a"), None, Ok("b c")),
        (bounds("b c", "c"), None, Ok("b")),
        (ProviderBounds { region: Some("eu".into()), ..bounds("b c", "") }, None, Err(PlanError::NotAllowed)),
        (bounds("b c", ""), Some(Preference::listed(names("c a"))), Ok("c")),
        (bounds("", "a"), Some(prefers("a b")), Ok("b")),
        (bounds("b c", ""), Some(prefers("a")), not_preferred(&["b", "c"])),
        (bounds("x", ""), None, Err(PlanError::NotAllowed)),
        (bounds("x", ""), Some(prefers("a")), Err(PlanError::NotAllowed)),
        (bounds("", "a b c"), None, Err(PlanError::NotAllowed)),
    ] {
        let terms = Terms { bounds: Some(&bounds), preference: preference.as_ref(), ..TERMS };
        let found = planned(vec![by("a"), by("b"), by("c")], &Needs::default(), &terms);
        assert_eq!(found, expected.map(str::to_owned), "{bounds} {preference:?}");
    }
    // Who is not there is no matter of the key, and who only plays serves any.
    let nobody = bounds("x", "");
    let terms = Terms { bounds: Some(&nobody), ..TERMS };
    let off = target("off", |provider, _| provider.unusable = "it has no key".into());
    assert_eq!(planned(vec![off], &Needs::default(), &terms), Err(PlanError::NothingConfigured));
    let on_mock = || target("m", |of, _| of.id = MOCK_ID.into());
    assert_eq!(planned(vec![on_mock()], &Needs::default(), &terms).unwrap(), "m");
    let chain = Arc::new(Chain { mock_targets: vec![on_mock()], ..Chain::clone(&chain(vec![by("a")])) });
    assert!(plan(&chain, &Needs::default(), &Terms { via: Via::Mock, ..terms }, Known::NOTHING).is_ok());
}
