//! Ill providers are passed over, watched, and asked again when they are well: breakers, keys, probes, places, status.
//!
//! Must not know how health is kept: it sees who is asked, what clients get, and what the status tells.

use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::answers::{self, Answer, Gate, Step, chat_body, chat_usage};
use super::config::{copy_of_conf, edit};
use super::harness::{Flux, Setup, ask_chat, ask_chat_stream, spawn, wait_for};
use super::http::{Conn, Reply, request};
use super::passthrough::{assert_chat_error, assert_tells_nothing};
use super::provider::{Provider, refusing_port};

/// Served by deepseek, then by together.
const PAIR: &str = "flux-pinned-deepseek-flash";
/// The first of the two, as the status calls it.
const FIRST_MODEL: &str = "deepseek/deepseek-flash";
const SECOND_KEY: &str = "sk-upstream-second-secret";

/// Set-ups in which ill targets are passed over; cool-downs last longer than a test.
fn watching(setup: Setup) -> Setup {
    setup
        .env("FLUX_HEALTH__PASSES_OVER", "true")
        .env("FLUX_HEALTH__ERRORS_IN_A_ROW", "3")
        .env("FLUX_HEALTH__COOLDOWN_MS", "60000")
        .env("FLUX_HEALTH__KEY_REST_MS", "60000")
}

/// Two providers of one model.
struct Pair {
    first: Provider,
    second: Provider,
    flux: Flux,
}

impl Pair {
    fn start(change: impl Fn(Setup) -> Setup) -> Self {
        let (first, second) = (Provider::bearer("deepseek"), Provider::bearer("together"));
        let flux = change(watching(Setup::with(&[&first, &second]))).start();
        Self { first, second, flux }
    }

    fn ask(&self) -> Reply {
        self.flux.chat(&ask_chat(PAIR))
    }

    /// Asks once and says who answered, after how many attempts.
    #[track_caller]
    fn answered_by(&self) -> (String, String) {
        let reply = self.ask().expect_status(200);
        (reply.header("x-flux-provider").to_owned(), reply.header("x-flux-attempts").to_owned())
    }

    /// Has the first provider fail until its breaker is open.
    #[track_caller]
    fn trip_first(&self) {
        (0..3).for_each(|_| self.first.next(Answer::failure(500)));
        for _ in 0..3 {
            assert_eq!(self.answered_by(), by("together", 2));
        }
        assert_eq!(model(&self.flux, FIRST_MODEL)["state"], "open");
    }
}

/// A metric that counts, as a whole number.
fn count(flux: &Flux, name: &str, parts: &[&str]) -> String {
    flux.metric(name, parts).to_string()
}

fn by(provider: &str, attempts: u8) -> (String, String) {
    (provider.to_owned(), attempts.to_string())
}

fn status(flux: &Flux) -> Value {
    let told = flux.ask(&request("GET", "/v1/status", &[], b"")).expect_status(200);
    assert_eq!(told.header("cache-control"), "no-store");
    told.json()
}

/// The status is made once a second, so that it is waited for.
#[track_caller]
fn wait_for_status(flux: &Flux, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    wait_for(what, || holds(&status(flux)));
    status(flux)
}

#[track_caller]
fn provider(status: &Value, id: &str) -> Value {
    let providers = status["providers"].as_array().expect("providers");
    providers.iter().find(|one| one["id"] == id).unwrap_or_else(|| panic!("no {id} in {status}")).clone()
}

fn model_of(status: &Value, id: &str) -> Value {
    let provider = provider(status, id.split('/').next().expect("a provider"));
    provider["models"].as_array().expect("models").iter().find(|one| one["id"] == id).expect("the model").clone()
}

/// The model as the status tells it a second later at most.
#[track_caller]
fn model(flux: &Flux, id: &str) -> Value {
    std::thread::sleep(Duration::from_millis(1_050));
    model_of(&status(flux), id)
}

#[test]
fn a_target_that_fails_in_a_row_is_passed_over() {
    let pair = Pair::start(|setup| setup);
    pair.trip_first();
    pair.first.always(|_| Answer::failure(500));
    for _ in 0..5 {
        assert_eq!(pair.answered_by(), by("together", 1));
    }
    assert_eq!(pair.first.count(), 3, "asked no more");
    let told = status(&pair.flux);
    assert_eq!(told["status"], "degraded");
    let model = model_of(&told, FIRST_MODEL);
    assert_eq!((&model["trips"], &model["error_rate"], &model["attempts"]), (&1.into(), &1.0.into(), &3.into()));
    assert!(model["since"].is_string() && model["asked_again_at"].is_string(), "{model}");
    assert_eq!(provider(&told, "deepseek")["state"], "well", "its other models are asked");
    let of_it = ["provider=\"deepseek\"", "model=\"deepseek/deepseek-flash\""];
    assert_eq!(count(&pair.flux, "flux_breaker_state", &of_it), "2");
    assert_eq!(count(&pair.flux, "flux_breaker_trips_total", &of_it), "1");
}

#[test]
fn t54_a_share_of_errors_among_good_answers_trips_it_as_well() {
    let pair =
        Pair::start(|setup| setup.env("FLUX_HEALTH__ERRORS_IN_A_ROW", "0").env("FLUX_HEALTH__REQUESTS_MIN", "8"));
    // An error event where content should come, after every good answer.
    let error = serde_json::json!({"error": {"message": "overloaded", "type": "server_error"}});
    for round in 0..4 {
        let good = answers::chat_stream(&["Hello"], &chat_usage(10, 5));
        pair.first.next(Answer::sse(&good));
        pair.first.next(Answer::sse(&[format!("data: {error}\n\n")]));
        for provider in ["deepseek", "together"] {
            let reply = pair.flux.chat(&ask_chat_stream(PAIR)).expect_status(200);
            assert_eq!(reply.header("x-flux-provider"), provider, "round {round}");
        }
    }
    let reply = pair.flux.chat(&ask_chat_stream(PAIR)).expect_status(200);
    assert_eq!((reply.header("x-flux-provider"), reply.header("x-flux-attempts")), ("together", "1"));
    assert_eq!(pair.first.count(), 8);
}

#[test]
fn one_trial_decides_whether_it_is_well_again() {
    let pair = Pair::start(|setup| setup.env("FLUX_HEALTH__COOLDOWN_MS", "1500"));
    (0..3).for_each(|_| pair.first.next(Answer::failure(503)));
    (0..3).for_each(|_| assert_eq!(pair.answered_by(), by("together", 2)));
    assert_eq!(pair.answered_by(), by("together", 1));
    pair.first.forget();
    // At most a quarter longer than the cool-down.
    std::thread::sleep(Duration::from_millis(1_900));
    let gate = Gate::default();
    pair.first.next(Answer::json(200, &chat_body("the trial", &chat_usage(10, 5))).after(&gate));
    let (addr, asked) = (pair.flux.addr, pair.flux.chat_request(ask_chat(PAIR).to_string().as_bytes()));
    let trial = spawn(move || Conn::open(addr).ask(&asked));
    pair.first.wait_for_requests(1);
    for _ in 0..4 {
        assert_eq!(pair.answered_by(), by("together", 1), "while one is on trial");
    }
    assert_eq!(pair.first.count(), 1, "a single trial");
    gate.open();
    let reply = trial.join().expect("a client").expect_status(200);
    assert_eq!((reply.header("x-flux-provider"), reply.header("x-flux-attempts")), ("deepseek", "1"));
    (0..3).for_each(|_| assert_eq!(pair.answered_by(), by("deepseek", 1), "well again"));
    assert_eq!(model(&pair.flux, FIRST_MODEL)["state"], "closed");
}

#[test]
fn a_trial_that_fails_doubles_the_wait_and_one_that_is_left_does_not_count() {
    let pair = Pair::start(|setup| setup.env("FLUX_HEALTH__COOLDOWN_MS", "600"));
    (0..3).for_each(|_| pair.first.next(Answer(vec![Step::Reset])));
    (0..3).for_each(|_| assert_eq!(pair.answered_by(), by("together", 2)));
    std::thread::sleep(Duration::from_millis(800));
    // A client leaves in the middle of the trial: the next one is the trial again.
    pair.first.forget();
    pair.first.next(Answer::silence());
    let mut conn = pair.flux.connect();
    conn.write(&pair.flux.chat_request(ask_chat(PAIR).to_string().as_bytes()));
    pair.first.wait_for_requests(1);
    drop(conn);
    pair.first.wait_for_left(1);
    pair.first.next(Answer::failure(500));
    wait_for("the next trial", || pair.answered_by() == by("together", 2));
    assert_eq!(pair.first.count(), 2);
    // Twice as long now.
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(pair.answered_by(), by("together", 1));
    std::thread::sleep(Duration::from_millis(900));
    assert_eq!(pair.answered_by(), by("deepseek", 1));
}

#[test]
fn the_clients_own_mistakes_never_count() {
    let pair = Pair::start(|setup| setup);
    for status in [400, 404, 413, 422, 400, 404, 413, 422] {
        let mistake = serde_json::json!({"error": {"message": "your mistake", "type": "invalid_request_error"}});
        pair.first.next(Answer::json(status, &mistake));
        assert!((400..500).contains(&pair.ask().status));
    }
    assert_eq!(pair.answered_by(), by("deepseek", 1));
    let model = model(&pair.flux, FIRST_MODEL);
    assert_eq!((&model["state"], &model["attempts"]), (&"closed".into(), &1.into()), "{model}");
}

#[test]
fn when_everything_is_ill_nobody_is_asked_and_the_client_learns_when_to_come_back() {
    let pair = Pair::start(|setup| setup);
    let limited = || {
        let body = serde_json::json!({"error": {"message": "slow down", "type": "requests"}});
        Answer::bytes(429, &[("content-type", "application/json"), ("retry-after", "7")], body.to_string().as_bytes())
    };
    pair.trip_first();
    pair.first.always(|_| Answer::failure(500));
    pair.second.next(limited());
    assert_chat_error(&pair.ask(), 503);
    let asked = (pair.first.count(), pair.second.count());
    for stream in [false, true] {
        let mut question = ask_chat(PAIR);
        question["stream"] = stream.into();
        let reply = pair.flux.chat(&question);
        assert_chat_error(&reply, 503);
        // The shortest of all: the key of the second rests for 7 s and up to a quarter more, by then a little less.
        let wait: u64 = reply.header("retry-after").parse().expect("seconds");
        assert!((5..=9).contains(&wait), "{wait}");
        assert_eq!((reply.header("x-should-retry"), reply.header("x-flux-attempts")), ("true", "0"));
        assert_tells_nothing(&reply);
    }
    let messages = pair.flux.messages(&ask_chat(PAIR));
    assert_eq!((messages.status, &messages.json()["type"]), (503, &"error".into()), "{}", messages.text());
    assert!(!messages.header("retry-after").is_empty());
    assert_eq!((pair.first.count(), pair.second.count()), asked, "nobody was asked");
    let told = wait_for_status(&pair.flux, "the key to rest", |told| provider(told, "together")["state"] == "resting");
    assert!(provider(&told, "together")["accesses"][0]["rests_until"].is_string(), "{told}");
    assert_eq!(pair.flux.ledger().len(), 3, "those that tripped it");
}

#[test]
fn an_open_breaker_is_the_last_resort_when_something_better_has_failed() {
    let pair = Pair::start(|setup| setup);
    pair.trip_first();
    pair.second.next(Answer::failure(500));
    assert_eq!(pair.answered_by(), by("deepseek", 2));
    assert_eq!(pair.answered_by(), by("together", 1), "which closes nothing");
    assert_eq!(count(&pair.flux, "flux_retries_total", &[]), "1");
}

/// A configuration in which deepseek has two keys, and Flux with both.
fn with_two_keys(more: &str) -> (TempDir, Provider, Provider, Flux) {
    let dir = copy_of_conf();
    let added = format!("[deepseek]\naccesses = [{{ api_key_env = \"SECOND_KEY\"{more} }}]\n");
    edit(dir.path(), "providers.toml", "[deepseek]\n", &added);
    let (first, second) = (Provider::bearer("deepseek"), Provider::bearer("together"));
    first.take_key(SECOND_KEY);
    let setup = Setup::with(&[&first, &second]).config(dir.path()).env("SECOND_KEY", SECOND_KEY);
    let flux = watching(setup).start();
    (dir, first, second, flux)
}

fn with_second_key(request: &super::provider::Recorded) -> bool {
    request.headers.get("authorization") == Some(&format!("Bearer {SECOND_KEY}"))
}

fn good() -> Answer {
    Answer::json(200, &chat_body("Hello", &chat_usage(10, 5)))
}

#[test]
fn t59_a_limit_moves_to_the_other_key_of_the_same_provider() {
    let (_dir, first, second, flux) = with_two_keys("");
    first.always(|request| if with_second_key(request) { good() } else { Answer::failure(429) });
    for _ in 0..20 {
        let reply = flux.chat(&ask_chat(PAIR)).expect_status(200);
        assert_eq!(reply.header("x-flux-provider"), "deepseek");
    }
    let limited = first.requests().iter().filter(|request| !with_second_key(request)).count();
    assert_eq!((limited, second.count()), (1, 0), "the key rests");
    // The other key's limit, told on a good answer: nothing is left of the provider, and the next one serves.
    first.always(|_| {
        let headers = [
            ("content-type", "application/json"),
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "1m30s"),
        ];
        Answer::bytes(200, &headers, chat_body("Hello", &chat_usage(10, 5)).to_string().as_bytes())
    });
    first.forget();
    for provider in ["deepseek", "together", "together"] {
        let reply = flux.chat(&ask_chat(PAIR)).expect_status(200);
        assert_eq!((reply.header("x-flux-provider"), reply.header("x-flux-attempts")), (provider, "1"));
    }
    assert!(with_second_key(&first.only()));
    let told = wait_for_status(&flux, "both keys to rest", |told| provider(told, "deepseek")["state"] == "resting");
    let of_provider = provider(&told, "deepseek");
    assert!(of_provider["accesses"].as_array().expect("two").iter().all(|one| one["state"] == "resting"));
    assert!(of_provider["models"].as_array().expect("models").iter().all(|one| one["state"] == "closed"));
}

#[test]
fn a_key_that_is_refused_is_misconfigured_and_the_other_serves() {
    let (_dir, first, second, flux) = with_two_keys(", weight = 1");
    first.always(|request| if with_second_key(request) { Answer::failure(401) } else { good() });
    for _ in 0..20 {
        let reply = flux.chat(&ask_chat(PAIR)).expect_status(200);
        assert_eq!(reply.header("x-flux-provider"), "deepseek");
    }
    assert_eq!((first.requests().iter().filter(|one| with_second_key(one)).count(), second.count()), (1, 0));
    let told = wait_for_status(&flux, "the refused key", |told| {
        provider(told, "deepseek")["accesses"][1]["state"] == "misconfigured"
    });
    let of_provider = provider(&told, "deepseek");
    assert_eq!((&of_provider["state"], &of_provider["accesses"][0]["state"]), (&"well".into(), &"well".into()));
    // Where no key is left, the next provider comes first, and whoever is left is asked in the end all the same.
    first.always(|_| Answer::failure(401));
    assert_eq!(flux.chat(&ask_chat(PAIR)).expect_status(200).header("x-flux-provider"), "together");
    first.forget();
    assert_eq!(flux.chat(&ask_chat(PAIR)).expect_status(200).header("x-flux-attempts"), "1");
    assert_eq!(first.count(), 0);
    let told = wait_for_status(&flux, "both keys", |told| provider(told, "deepseek")["state"] == "misconfigured");
    assert_eq!(told["status"], "degraded");
    first.always(|_| good());
    second.next(Answer::failure(500));
    assert_eq!(flux.chat(&ask_chat(PAIR)).expect_status(200).header("x-flux-provider"), "deepseek");
    wait_for_status(&flux, "an answer that clears it", |told| provider(told, "deepseek")["state"] == "well");
}

#[test]
fn an_address_that_cannot_be_reached_leaves_the_model_to_the_other() {
    let (_held, refusing) = refusing_port();
    let dir = copy_of_conf();
    let added = format!("[deepseek]\naccesses = [{{ base_url = \"http://{refusing}/v1\", weight = 3 }}]\n");
    edit(dir.path(), "providers.toml", "[deepseek]\n", &added);
    let first = Provider::bearer("deepseek");
    let flux = watching(Setup::with(&[&first]).config(dir.path())).start();
    let attempts: u32 = (0..30)
        .map(|_| {
            let reply = flux.chat(&ask_chat(PAIR)).expect_status(200);
            reply.header("x-flux-attempts").parse::<u32>().expect("a number")
        })
        .sum();
    assert_eq!(attempts, 33, "three attempts found out");
    let told =
        wait_for_status(&flux, "the ill address", |told| provider(told, "deepseek")["accesses"][1]["state"] == "ill");
    assert_eq!(model_of(&told, FIRST_MODEL)["state"], "closed", "{told}");
}

#[test]
fn a_reload_keeps_what_is_known_of_whatever_stays() {
    let dir = copy_of_conf();
    let (first, second) = (Provider::bearer("deepseek"), Provider::bearer("together"));
    let flux = watching(Setup::with(&[&first, &second]).config(dir.path())).start();
    let pair = Pair { first, second, flux };
    pair.trip_first();
    let reloads = pair.flux.metric("flux_config_reloads_total", &["accepted"]);
    edit(dir.path(), "flux.toml", "ping_ms = 15000", "ping_ms = 14000");
    wait_for("the reload", || pair.flux.metric("flux_config_reloads_total", &["accepted"]) > reloads);
    pair.first.forget();
    assert_eq!(pair.answered_by(), by("together", 1));
    assert_eq!((pair.first.count(), &model(&pair.flux, FIRST_MODEL)["state"]), (0, &"open".into()));
    // An operator who no longer wants anything passed over is obeyed at once.
    edit(dir.path(), "flux.toml", "errors_in_a_row = 5", "errors_in_a_row = 4");
    wait_for("the reload", || pair.flux.metric("flux_config_reloads_total", &["accepted"]) > reloads + 1.0);
    assert_eq!(model(&pair.flux, FIRST_MODEL)["trips"], 1);
}

#[test]
fn probes_tell_ill_from_misconfigured_and_find_out_when_it_is_well() {
    let pair = Pair::start(|setup| {
        setup
            .env("FLUX_HEALTH__PROBE_INTERVAL_MS", "150")
            .env("FLUX_HEALTH__PROBES_ILL", "3")
            .env("FLUX_HEALTH__PROBES_WELL", "2")
    });
    wait_for("a probe at the start", || !pair.first.probes().is_empty());
    let probe = pair.first.probes().remove(0);
    assert_eq!(probe.target, "GET /v1/models");
    assert!(probe.body.is_empty() && probe.headers.get("user-agent").is_some_and(|agent| agent.starts_with("flux/")));
    for (answer, state, serves) in [
        (500, "ill", "together"),
        (200, "well", "deepseek"),
        (401, "misconfigured", "together"),
        (200, "well", "deepseek"),
    ] {
        pair.first.answer_probes(answer);
        wait_for_status(&pair.flux, state, |told| provider(told, "deepseek")["state"] == state);
        assert_eq!(pair.answered_by(), by(serves, 1), "{state}");
    }
    assert!(pair.flux.metric("flux_probes_total", &["provider=\"deepseek\"", "result=\"ill\""]) >= 3.0);
    assert!(pair.flux.metric("flux_probes_total", &["provider=\"deepseek\"", "result=\"key_refused\""]) >= 1.0);
    // Where nothing else is left, who is ill by its probes is asked all the same: they may be wrong.
    pair.first.answer_probes(500);
    wait_for_status(&pair.flux, "ill", |told| provider(told, "deepseek")["state"] == "ill");
    pair.second.next(Answer::failure(500));
    assert_eq!(pair.answered_by(), by("deepseek", 2));
}

#[test]
fn a_provider_that_hangs_is_probed_once_at_a_time() {
    let (first, deaf) = (Provider::bearer("deepseek"), super::provider::deaf_port());
    let setup = Setup::with(&[&first]).provider("together", &format!("http://{}/v1", deaf.2));
    let flux = watching(setup)
        .env("FLUX_HEALTH__PROBE_INTERVAL_MS", "50")
        .env("FLUX_HEALTH__PROBE_TIMEOUT_MS", "400")
        .env("FLUX_HEALTH__PROBES_ILL", "1")
        .start();
    let told = wait_for_status(&flux, "the deaf one", |told| provider(told, "together")["state"] == "ill");
    assert_eq!(provider(&told, "deepseek")["state"], "well");
}

#[test]
fn the_only_target_is_asked_again_where_its_fault_may_pass_and_the_budget_allows_it() {
    let start = |first: &Provider| {
        watching(Setup::with(&[first]))
            .env("FLUX_HEALTH__RETRIES_MAX", "1")
            .env("FLUX_HEALTH__RETRY_DELAY_MS", "40")
            .env("FLUX_HEALTH__RETRY_RESERVE", "2")
            .env("FLUX_HEALTH__RETRY_PERCENT", "0")
            .env("FLUX_HEALTH__ERRORS_IN_A_ROW", "100")
            .start()
    };
    let first = Provider::bearer("deepseek");
    let flux = start(&first);
    // Not for the client's mistakes, a key, or a limit.
    for (answer, asked) in [(400, 1), (401, 2), (429, 3)] {
        first.next(Answer::failure(answer));
        assert!(flux.chat(&ask_chat(PAIR)).status >= 400);
        assert_eq!(first.count(), asked, "{answer}");
    }
    let first = Provider::bearer("deepseek");
    let flux = start(&first);
    for answer in [Answer::failure(503), Answer::bytes(200, &[("content-type", "application/json")], b"{\"cut")] {
        first.next(answer);
        let reply = flux.chat(&ask_chat(PAIR)).expect_status(200);
        assert_eq!(reply.header("x-flux-attempts"), "2");
    }
    // Two were saved up, and nothing is paid in.
    first.next(Answer::failure(503));
    let reply = flux.chat(&ask_chat(PAIR));
    assert_chat_error(&reply, 503);
    assert_eq!(reply.header("x-flux-attempts"), "1");
    assert_eq!(count(&flux, "flux_retries_total", &[]), "2");
    assert_eq!(count(&flux, "flux_retries_refused_total", &[]), "1");
}

#[test]
fn a_provider_with_so_many_places_is_waited_for_in_a_queue_with_a_bound() {
    let dir = copy_of_conf();
    edit(dir.path(), "providers.toml", "[deepseek]\n", "[deepseek]\nconcurrent_max = 1\n");
    let first = Provider::bearer("deepseek");
    let setup = Setup::with(&[&first]).config(dir.path());
    let flux = watching(setup).env("FLUX_HEALTH__QUEUE_MAX", "1").env("FLUX_HEALTH__QUEUE_WAIT_MS", "20000").start();
    let gate = Gate::default();
    first.next(good().after(&gate));
    let (addr, asked) = (flux.addr, flux.chat_request(ask_chat(PAIR).to_string().as_bytes()));
    let ask = |asked: &Vec<u8>| {
        let asked = asked.clone();
        spawn(move || Conn::open(addr).ask(&asked))
    };
    let served = ask(&asked);
    first.wait_for_requests(1);
    let waiting = ask(&asked);
    wait_for("one in the queue", || flux.metric("flux_provider_queue_requests", &["deepseek"]) > 0.5);
    let reply = flux.ask(&asked);
    assert_chat_error(&reply, 503);
    assert_eq!((reply.header("retry-after"), first.count()), ("1", 1));
    assert_eq!(count(&flux, "flux_provider_queue_full_total", &["deepseek"]), "1");
    gate.open();
    served.join().expect("a client").expect_status(200);
    waiting.join().expect("a client").expect_status(200);
    assert_eq!(first.count(), 2);
}

#[test]
fn a_client_that_leaves_the_queue_frees_its_turn() {
    let dir = copy_of_conf();
    edit(dir.path(), "providers.toml", "[deepseek]\n", "[deepseek]\nconcurrent_max = 1\n");
    let first = Provider::bearer("deepseek");
    let setup = Setup::with(&[&first]).holding(dir);
    let flux = watching(setup).env("FLUX_HEALTH__QUEUE_MAX", "1").env("FLUX_HEALTH__QUEUE_WAIT_MS", "60000").start();
    let gate = Gate::default();
    first.next(good().after(&gate));
    let is_queued = || flux.metric("flux_provider_queue_requests", &["deepseek"]) > 0.5;
    let begin = |body: &Value| {
        let mut client = flux.connect();
        client.write(&flux.chat_request(body.to_string().as_bytes()));
        client
    };
    let mut served = begin(&ask_chat(PAIR));
    first.wait_for_requests(1);
    for body in [ask_chat(PAIR), ask_chat_stream(PAIR)] {
        let leaving = begin(&body);
        wait_for("one in the queue", is_queued);
        drop(leaving);
        wait_for("an empty queue", || !is_queued());
    }
    wait_for("two that have left", || flux.request_lines().iter().filter(|line| line.contains("left")).count() == 2);
    let mut waiting = begin(&ask_chat(PAIR));
    wait_for("one in the queue", is_queued);
    gate.open();
    for client in [&mut served, &mut waiting] {
        assert_eq!(client.head(), 200);
        client.rest();
    }
    // Who had asked nobody for anything is in no book.
    flux.wait_for_rows(2);
    assert_eq!(first.count(), 2);
}

#[test]
fn whoever_waits_too_long_for_a_place_gets_the_next_target() {
    let dir = copy_of_conf();
    edit(dir.path(), "providers.toml", "[deepseek]\n", "[deepseek]\nconcurrent_max = 1\n");
    let first = Provider::bearer("deepseek");
    let setup = Setup::with(&[&first]).config(dir.path());
    let flux = watching(setup).env("FLUX_HEALTH__QUEUE_WAIT_MS", "200").start();
    first.next(Answer::silence());
    let mut held = flux.connect();
    let asked = flux.chat_request(ask_chat(PAIR).to_string().as_bytes());
    held.write(&asked);
    first.wait_for_requests(1);
    assert_chat_error(&flux.ask(&asked), 503);
    drop(held);
    first.wait_for_left(1);
    flux.ask(&asked).expect_status(200);
}

#[test]
fn the_status_needs_no_key_and_tells_no_secret() {
    let pair = Pair::start(|setup| setup);
    pair.ask().expect_status(200);
    let told = wait_for_status(&pair.flux, "an attempt", |told| model_of(told, FIRST_MODEL)["attempts"] == 1);
    assert_eq!((&told["status"], &told["is_mock"]), (&"ok".into(), &false.into()));
    let text = told.to_string();
    for secret in [pair.first.key(), pair.second.key(), &pair.flux.key, "127.0.0.1", "http"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    let page = pair.flux.ask(&request("GET", "/status", &[], b"")).expect_status(200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let html = page.text();
    for from_elsewhere in ["http:", "https:", "src=", "@import", "url(", "innerHTML", "<link"] {
        assert!(!html.contains(from_elsewhere), "{from_elsewhere} in the page");
    }
    for needed in ["width=device-width", "prefers-color-scheme: dark", "/v1/status", "setInterval"] {
        assert!(html.contains(needed), "{needed} not in the page");
    }
    let described = pair.flux.ask(&request("GET", "/openapi.json", &[], b"")).expect_status(200).json();
    assert_eq!(described["paths"]["/v1/status"]["get"]["security"], serde_json::json!([]));
    let schema = &described["components"]["schemas"]["StatusView"]["properties"];
    let fields: Vec<&String> = told.as_object().expect("an object").keys().collect();
    assert!(fields.iter().all(|field| schema.get(field.as_str()).is_some()), "{fields:?} as {schema}");
    assert_eq!(pair.flux.ask(&request("POST", "/v1/status", &[], b"")).status, 405);
}

#[test]
fn the_mock_is_watched_and_never_probed() {
    let setup =
        watching(Setup::with(&[])).env("FLUX_HEALTH__PROBE_INTERVAL_MS", "50").env("FLUX_MOCK__FAULT", "server_error");
    let flux = setup.start();
    (0..4).for_each(|_| _ = assert_chat_error(&flux.chat(&ask_chat("flux-pinned-gpt-oss-120b")), 503));
    let told = wait_for_status(&flux, "the mock's breaker", |told| told["status"] != "ok");
    assert_eq!(told["is_mock"], true);
    assert_eq!(provider(&told, "mock")["state"], "well");
    assert_eq!(count(&flux, "flux_probes_total", &[]), "0");
    // A test key has a mock of its own, in which nothing goes wrong.
    let headers =
        [("authorization", format!("Bearer {}", flux.test_key)), ("content-type", "application/json".to_owned())];
    let body = ask_chat("flux-pinned-gpt-oss-120b").to_string();
    let asked =
        request("POST", "/v1/chat/completions", &headers.each_ref().map(|(n, v)| (*n, v.as_str())), body.as_bytes());
    flux.ask(&asked).expect_status(200);
}
