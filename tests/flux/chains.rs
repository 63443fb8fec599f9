//! Chains as data: shares of one step, conditions of a target, regions; a larger window after a provider found the prompt too
//! long.
//!
//! Must not know how a plan is made: it sees who is asked.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::answers::{Answer, chat_body, chat_usage};
use super::api::{Caller, raw};
use super::config::edited;
use super::harness::{Flux, Setup, ask_chat};
use super::http::{Reply, request};
use super::provider::Provider;

const FIRST: &str = "deepseek/deepseek-flash";
const SECOND: &str = "together/deepseek-v4.1-flash";

/// The shipped configuration with one more lane.
fn conf_with(lane: &str) -> TempDir {
    edited("lanes.toml", "[lanes.flux-fast]\n", &format!("[lanes.test]\n{lane}\n\n[lanes.flux-fast]\n"))
}

struct Pair {
    first: Provider,
    second: Provider,
    flux: Flux,
    _conf: TempDir,
}

impl Pair {
    fn start(lane: &str) -> Self {
        let (first, second) = (Provider::bearer("deepseek"), Provider::bearer("together"));
        let conf = conf_with(lane);
        let flux = Setup::with(&[&first, &second]).config(conf.path()).start();
        Self { first, second, flux, _conf: conf }
    }

    fn ask(&self, body: &Value) -> Reply {
        self.flux.chat(body).expect_status(200)
    }

    fn served_by(&self, body: &Value) -> String {
        self.ask(body).header("x-flux-provider").to_owned()
    }
}

fn ask(flux: &Flux, target: &str, region: &str, body: &Value) -> Reply {
    let bearer = flux.bearer();
    let mut headers = vec![("authorization", bearer.as_str()), ("content-type", "application/json")];
    if !region.is_empty() {
        headers.push(("x-flux-region", region));
    }
    flux.ask(&request("POST", target, &headers, body.to_string().as_bytes()))
}

fn picture() -> Value {
    let mut body = ask_chat("test");
    let url = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    body["messages"] = json!([{"role": "user", "content": [
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": url}},
    ]}]);
    body
}

/// The `turn`-th request of a conversation that uses tools.
fn turn(conversation: usize, turn: usize) -> Value {
    let mut body = ask_chat("test");
    let mut messages = vec![
        json!({"role": "system", "content": "You book journeys."}),
        json!({"role": "user", "content": format!("a train to place {conversation}")}),
    ];
    for number in 0..turn {
        let call =
            json!({"id": format!("c{number}"), "type": "function", "function": {"name": "f", "arguments": "{}"}});
        messages.push(json!({"role": "assistant", "tool_calls": [call]}));
        messages
            .push(json!({"role": "tool", "tool_call_id": format!("c{number}"), "content": format!("{number} trains")}));
    }
    body["messages"] = json!(messages);
    body["tools"] = json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);
    body
}

/// T-58: the tool loop of a conversation stays with its model, also in a lane that shares its requests.
#[test]
fn a_conversation_stays_with_the_target_that_it_was_given_to() {
    let pair = Pair::start(&format!("default = [\"{FIRST}\", \"{SECOND}\"]"));
    let mut served = Vec::new();
    for conversation in 0..8 {
        let first = pair.served_by(&turn(conversation, 0));
        for number in 1..10 {
            assert_eq!(pair.served_by(&turn(conversation, number)), first, "turn {number} of {conversation}");
        }
        let shown = ask(&pair.flux, "/v1/route", "", &turn(conversation, 3)).expect_status(200).json();
        assert_eq!(shown["attempts"][0]["provider"], first, "{shown}");
        served.push(first);
    }
    for provider in ["deepseek", "together"] {
        assert!(served.iter().any(|by| by == provider), "{served:?}");
    }
    let bearer = pair.flux.bearer();
    let in_session = |session: &str, body: &Value| {
        let headers =
            [("authorization", bearer.as_str()), ("content-type", "application/json"), ("x-flux-session", session)];
        let asked = request("POST", "/v1/chat/completions", &headers, body.to_string().as_bytes());
        pair.flux.ask(&asked).expect_status(200).header("x-flux-provider").to_owned()
    };
    let mut named: Vec<String> = (0..8).map(|number| in_session(&format!("s{number}"), &turn(0, 0))).collect();
    for (number, first) in named.iter().enumerate() {
        assert_eq!(in_session(&format!("s{number}"), &turn(number, 1)), *first, "the name is enough");
    }
    named.dedup();
    assert!(named.len() > 1, "sessions share as well");
}

/// Of 200 conversations with a share of a quarter, fewer than 20 or more than 90 are less likely than one in a billion.
#[test]
fn conversations_are_shared_and_the_others_of_a_step_stand_in() {
    let pair = Pair::start(&format!("default = [{{ target = \"{FIRST}\", weight = 3 }}, {{ target = \"{SECOND}\" }}]"));
    for number in 0..200 {
        pair.ask(&turn(number, 0));
    }
    let asked = pair.second.requests().len();
    assert!((20..=90).contains(&asked), "{asked} of 200");
    pair.second.always(|_| Answer::failure(500));
    for number in 0..20 {
        assert_eq!(pair.served_by(&turn(number, 0)), "deepseek", "whoever is drawn first");
    }
    assert_eq!(pair.first.count() + asked, 220);
}

#[test]
fn a_target_is_for_the_requests_that_meet_its_conditions() {
    let pair = Pair::start(&format!(
        "default = {{ target = \"{FIRST}\", when = {{ prompt_tokens_max = 50, tools = false }} }}\nfallbacks = [\"{SECOND}\"]"
    ));
    assert_eq!(pair.served_by(&ask_chat("test")), "deepseek");
    let mut long = ask_chat("test");
    long["messages"] = json!([{"role": "user", "content": "many words ".repeat(40)}]);
    assert_eq!(pair.served_by(&long), "together", "about 110 tokens");
    let mut tooled = ask_chat("test");
    tooled["tools"] = json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);
    assert_eq!(pair.served_by(&tooled), "together");
}

#[test]
fn a_lane_inside_serves_what_the_conditions_outside_leave() {
    let pair = Pair::start(&format!(
        "default = {{ target = \"{FIRST}\", when = {{ tools = true }} }}\n\
         fallbacks = [\"inside\", {{ target = \"{SECOND}\", when = {{ tools = true }} }}]\n\
         [lanes.inside]\ndefault = \"{FIRST}\""
    ));
    assert_eq!(pair.served_by(&ask_chat("test")), "deepseek");
    let mut tooled = ask_chat("test");
    tooled["tools"] = json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);
    pair.first.always(|_| Answer::failure(500));
    assert_eq!(pair.served_by(&tooled), "together");
    assert_eq!(pair.first.count(), 2, "each target is tried once");
}

#[test]
fn a_chain_for_other_requests_says_so() {
    let (google, conf) =
        (Provider::google(), conf_with("default = { target = \"google/gemini-3.8-flash\", when = { vision = true } }"));
    let flux = Setup::with(&[&google]).config(conf.path()).start();
    let refused = flux.chat(&ask_chat("test")).expect_status(400);
    assert!(refused.text().contains("all its targets are for other requests"), "{}", refused.text());
    assert_eq!(google.requests().len(), 0);
    let shown = ask(&flux, "/v1/route", "", &picture()).expect_status(200).json();
    assert_eq!(shown["attempts"][0]["provider"], "google", "{shown}");
}

#[test]
fn a_key_stays_in_its_region_whatever_its_requests_ask_for() {
    let (home, eu, other) = (Provider::openai(), Provider::bearer("openai"), Provider::bearer("deepseek"));
    eu.take_key(home.key());
    let accesses = format!("region = \"us\"\naccesses = [{{ base_url = \"{}\", region = \"eu\" }}]", eu.base_url());
    let conf = edited("providers.toml", "name = \"OpenAI\"\n", &format!("name = \"OpenAI\"\n{accesses}\n"));
    let flux = Setup::with(&[&home, &other]).config(conf.path()).start();
    let made =
        Caller::new(&flux, &flux.key).post("/v1/keys", &json!({"providers": {"region": "eu"}})).expect_status(201);
    assert_eq!(made.json()["providers"], json!({"only": [], "ignore": [], "region": "eu"}));
    let bearer = format!("Bearer {}", raw(&made));
    let ask = |target: &str, region: &str, body: &Value| {
        let mut headers = vec![("authorization", bearer.as_str()), ("content-type", "application/json")];
        if !region.is_empty() {
            headers.push(("x-flux-region", region));
        }
        flux.ask(&request("POST", target, &headers, body.to_string().as_bytes()))
    };
    let chat = |region: &str, body: &Value| ask("/v1/chat/completions", region, body);
    let pinned = ask_chat("flux-pinned-gpt-6-1-sol");
    for region in ["", "eu"] {
        chat(region, &pinned).expect_status(200);
        ask("/v1/route", region, &pinned).expect_status(200);
    }
    let mut by_body = pinned.clone();
    by_body["provider"] = json!({"region": "us"});
    for (target, region, body) in [
        ("/v1/chat/completions", "us", &pinned),
        ("/v1/chat/completions", "", &by_body),
        ("/v1/route", "us", &pinned),
        ("/v1/embeddings", "us", &json!({"model": "text-embedding-3-small", "input": "x"})),
    ] {
        let refused = ask(target, region, body).expect_status(403);
        let told = "this key stays in the region eu; ask for that or for none, not for us";
        assert!(refused.text().contains(told), "{target}: {}", refused.text());
    }
    let nobody = chat("", &ask_chat("flux-pinned-deepseek-flash")).expect_status(403);
    assert!(nobody.text().contains("may be served by any provider, in the region eu;"), "{}", nobody.text());
    eu.always(|_| Answer::failure(500));
    chat("", &pinned).expect_status(503);
    assert_eq!((home.requests().len(), other.requests().len()), (0, 0), "nobody elsewhere is asked");

    let admin = Caller::new(&flux, &flux.key);
    let unknown = admin.post("/v1/keys", &json!({"providers": {"region": "erope"}})).expect_status(400);
    assert!(unknown.text().contains("there is no region \\\"erope\\\"; there are: eu, us"), "{}", unknown.text());
    let there = conf.path().to_str().expect("a path");
    let create = ["keys", "create", "--json", "--config", there, "--region", "eu", "--ignore-providers", "groq"];
    let made = flux.run_json(&create);
    assert_eq!(made["providers"], json!({"only": [], "ignore": ["groq"], "region": "eu"}));
    let changed = flux.run_json(&["keys", "change", &made["id"].to_string(), "--json", "--region", "any"]);
    assert_eq!(changed["providers"], json!({"only": [], "ignore": ["groq"], "region": null}));
}

#[test]
fn a_request_stays_in_its_region_and_pays_for_it() {
    let (home, eu) = (Provider::openai(), Provider::bearer("openai"));
    eu.take_key(home.key());
    let accesses = format!("accesses = [{{ base_url = \"{}\", region = \"eu\" }}]", eu.base_url());
    let conf = edited("providers.toml", "name = \"OpenAI\"\n", &format!("name = \"OpenAI\"\n{accesses}\n"));
    let flux = Setup::with(&[&home]).config(conf.path()).start();
    for provider in [&home, &eu] {
        provider.always(|_| Answer::json(200, &chat_body("hello", &chat_usage(100_000, 0))));
    }
    let ask = |region: &str, body: &Value| ask(&flux, "/v1/chat/completions", region, body);
    let pinned = ask_chat("flux-pinned-gpt-6-1-sol");
    let dear = ask("eu", &pinned).expect_status(200);
    let mut by_body = pinned.clone();
    by_body["provider"] = json!({"region": "eu"});
    let same = ask("", &by_body).expect_status(200);
    assert_eq!((home.requests().len(), eu.requests().len()), (0, 2));
    assert_eq!(dear.header("x-flux-cost-usd"), same.header("x-flux-cost-usd"));
    assert!(eu.requests()[1].json().get("provider").is_none());
    // The tenth more there counts against a bound, and in what is told beforehand.
    let costs = |region: &str| {
        let shown = self::ask(&flux, "/v1/route", region, &pinned).expect_status(200).json();
        shown["attempts"][0]["estimated_cost_usd"].as_str().expect("a cost").parse::<f64>().expect("a number")
    };
    assert!((costs("eu") - costs("")).abs() < f64::EPSILON, "either may serve, so the dearer is told");
    for (prompt, status) in [("2.2", 200), ("2.1", 400)] {
        let mut capped = by_body.clone();
        capped["provider"]["max_price"] = json!({"prompt": prompt});
        assert_eq!(ask("", &capped).status, status, "{prompt}");
    }
    let usage = flux.get(&format!("/v1/usage/{}", dear.header("x-flux-request-id"))).expect_status(200).json();
    assert_eq!(usage["calculation"]["agrees"], true, "{usage}");
    assert!(usage["calculation"]["lines"].to_string().contains("regional_uplift"), "{usage}");

    let unknown = ask("mars", &pinned).expect_status(400);
    assert!(unknown.text().contains("there is no region \\\"mars\\\""), "{}", unknown.text());
    assert!(unknown.text().contains("eu"), "{}", unknown.text());
    let elsewhere = ask("eu", &ask_chat("flux-pinned-claude-opus-5-5"));
    assert!([400, 503].contains(&elsewhere.status), "{}", elsewhere.text());
    eu.always(|_| Answer::failure(500));
    ask("eu", &pinned).expect_status(503);
    assert_eq!(home.requests().len(), 0, "a failure in the region leads nowhere else");
}

/// As long as any reasonable path exists: an ill address of one region says nothing of the model elsewhere.
#[test]
fn a_fault_in_one_region_shuts_no_other_out() {
    let (home, eu) = (Provider::openai(), Provider::bearer("openai"));
    eu.take_key(home.key());
    let accesses = format!("accesses = [{{ base_url = \"{}\", region = \"eu\" }}]", eu.base_url());
    let conf = edited("providers.toml", "name = \"OpenAI\"\n", &format!("name = \"OpenAI\"\n{accesses}\n"));
    let setup = Setup::with(&[&home]).config(conf.path()).env("FLUX_HEALTH__PASSES_OVER", "true");
    let flux = setup.env("FLUX_HEALTH__ERRORS_IN_A_ROW", "3").env("FLUX_HEALTH__COOLDOWN_MS", "60000").start();
    home.always(|_| Answer::json(200, &chat_body("hello", &chat_usage(5, 5))));
    eu.always(|_| Answer::failure(503));
    let pinned = ask_chat("flux-pinned-gpt-6-1-sol");
    for _ in 0..3 {
        ask(&flux, "/v1/chat/completions", "eu", &pinned).expect_status(503);
    }
    assert_eq!(ask(&flux, "/v1/chat/completions", "eu", &pinned).expect_status(503).header("x-flux-attempts"), "0");
    assert_eq!(eu.requests().len(), 3);
    for _ in 0..5 {
        ask(&flux, "/v1/chat/completions", "", &pinned).expect_status(200);
    }
    assert_eq!((home.requests().len(), eu.requests().len()), (5, 3));
    // A key that rests elsewhere makes no 503 of now, but one of when it is back.
    eu.always(|_| Answer::bytes(429, &[("retry-after", "50")], b"{}"));
    let told: u64 = ask(&flux, "/v1/chat/completions", "eu", &pinned).header("retry-after").parse().expect("seconds");
    assert!(told > 10, "{told}");
}
