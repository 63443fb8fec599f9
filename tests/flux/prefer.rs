//! What a request prefers among providers: by its header, by its body, in each API that comes in, and what is left of it
//! upstream.
//!
//! Must not know how a plan is made: it sees who is asked, in which order, and what the client is told.

use std::time::Duration;

use serde_json::{Value, json};

use super::answers::{Answer, DONE, Step, chat_events, chat_usage, chat_usage_event};
use super::harness::{Flux, Setup, ask_chat, ask_chat_stream, ask_messages, wait_for};
use super::http::{Reply, request};
use super::passthrough::assert_chat_error;
use super::provider::Provider;

/// Served by cerebras at 0.35 and 0.75 USD for a million tokens, then by groq at 0.15 and 0.6.
const PAIR: &str = "flux-pinned-gpt-oss-120b";

struct Pair {
    first: Provider,
    second: Provider,
    flux: Flux,
}

impl Pair {
    fn start() -> Self {
        let (first, second) = (Provider::cerebras(), Provider::groq());
        let flux = Setup::with(&[&first, &second]).start();
        Self { first, second, flux }
    }

    /// Asks with a header, and with `provider` in the body; `null` for neither.
    fn ask(&self, header: &str, provider: &Value) -> Reply {
        let mut body = ask_chat(PAIR);
        if !provider.is_null() {
            body["provider"] = provider.clone();
        }
        ask(&self.flux, "/v1/chat/completions", header, &body)
    }
}

fn ask(flux: &Flux, target: &str, header: &str, body: &Value) -> Reply {
    let bearer = flux.bearer();
    let mut headers = vec![("authorization", bearer.as_str()), ("content-type", "application/json")];
    if !header.is_empty() {
        headers.push(("x-flux-provider", header));
    }
    flux.ask(&request("POST", target, &headers, body.to_string().as_bytes()))
}

#[test]
fn a_request_says_who_is_asked_first_and_who_is_not() {
    let pair = Pair::start();
    let none = Value::Null;
    let at_most = |prompt: f64| json!({"max_price": {"prompt": prompt}});
    for (header, body, served_by) in [
        ("", none.clone(), "cerebras"),
        ("groq", none.clone(), "groq"),
        ("groq, cerebras", none.clone(), "groq"),
        ("cerebras,groq", none, "cerebras"),
        ("", json!({"order": ["groq"]}), "groq"),
        ("", json!({"only": ["groq"]}), "groq"),
        ("", json!({"ignore": ["cerebras", "openai"]}), "groq"),
        ("", json!({"sort": "price"}), "groq"),
        ("", at_most(0.2), "groq"),
        ("", at_most(0.35), "cerebras"),
        ("", json!({"max_price": {"completion": "0.6"}}), "groq"),
        ("groq", json!({"order": ["cerebras"]}), "groq"),
        ("cerebras", json!({"sort": "price", "allow_fallbacks": true}), "cerebras"),
        ("", json!({}), "cerebras"),
    ] {
        let reply = pair.ask(header, &body).expect_status(200);
        let who = (reply.header("x-flux-provider"), reply.header("x-flux-attempts"));
        assert_eq!(who, (served_by, "1"), "{header:?} {body}");
    }
    for asked in pair.first.requests().iter().chain(&pair.second.requests()) {
        assert!(asked.json().get("provider").is_none(), "{}", asked.text());
    }
}

#[test]
fn a_header_on_two_lines_is_one_list() {
    let pair = Pair::start();
    pair.second.next(Answer::failure(500));
    let (bearer, body) = (pair.flux.bearer(), ask_chat(PAIR).to_string());
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("x-flux-provider", "groq"),
        ("x-flux-provider", "cerebras"),
    ];
    let reply = pair.flux.ask(&request("POST", "/v1/chat/completions", &headers, body.as_bytes())).expect_status(200);
    assert_eq!((reply.header("x-flux-provider"), reply.header("x-flux-attempts")), ("cerebras", "2"));
}

#[test]
fn an_order_falls_back_and_a_pin_does_not() {
    let pair = Pair::start();
    for (header, body, attempts) in [
        ("", json!({"order": ["groq"]}), 2),
        ("groq,cerebras", Value::Null, 2),
        ("groq", Value::Null, 1),
        ("", json!({"order": ["groq"], "allow_fallbacks": false}), 1),
        ("", json!({"sort": "price", "allow_fallbacks": false}), 1),
        ("", json!({"only": ["groq"]}), 1),
    ] {
        pair.second.next(Answer::failure(500));
        let reply = pair.ask(header, &body);
        let status = if attempts == 2 { 200 } else { 503 };
        assert_eq!(
            (reply.status, reply.header("x-flux-attempts")),
            (status, &*attempts.to_string()),
            "{header} {body}"
        );
    }
}

#[test]
fn what_makes_no_sense_is_refused_and_says_which_providers_there_are() {
    let pair = Pair::start();
    for (header, body, told) in [
        ("grok", Value::Null, vec!["there is no provider \"grok\"", "cerebras, groq"]),
        ("", json!({"ignore": ["nobody"]}), vec!["\"nobody\"", "`ignore`", "cerebras, groq"]),
        ("", json!({"only": ["openai"]}), vec!["none of its providers is left", "it is served by: cerebras, groq"]),
        ("", json!({"max_price": {"prompt": 0.01}}), vec!["none of its providers", "cerebras, groq"]),
        ("", json!({"ignore": ["cerebras", "groq"]}), vec!["none of its providers", "cerebras, groq"]),
        ("", json!("groq"), vec!["`provider` must be an object"]),
        ("", json!({"quantizations": ["fp8"]}), vec!["`provider.quantizations` is not known", "max_price"]),
        ("groq,,", Value::Null, vec!["x-flux-provider must be the name of a provider"]),
    ] {
        let reply = pair.ask(header, &body);
        assert_chat_error(&reply, 400);
        let message = reply.json()["error"]["message"].as_str().expect("a message").to_owned();
        assert!(told.iter().all(|part| message.contains(part)), "{header} {body}: {message}");
        let param = reply.json()["error"]["param"].as_str().unwrap_or_default().to_owned();
        assert_eq!(param, if header == "groq,," { "x-flux-provider" } else { "provider" }, "{message}");
    }
    assert_eq!((pair.first.count(), pair.second.count(), pair.flux.ledger().len()), (0, 0, 0));
}

#[test]
fn it_is_cut_out_of_the_clients_bytes_in_each_api_and_nothing_else_is_touched() {
    let pair = Pair::start();
    let body = r#"{ "model":"flux-pinned-gpt-oss-120b" ,"x-unknown" : 1.50,
        "provider" : {"order":["groq"], "max_price":{"prompt":1}} , "messages":[{"role":"user","content":"\u0068i"}]}"#;
    pair.flux.ask(&pair.flux.chat_request(body.as_bytes())).expect_status(200);
    let sent = pair.second.only();
    let name = sent.json()["model"].as_str().expect("a name").to_owned();
    let (before, after) = body.split_once("\"provider\"").expect("it");
    let after = after.split_once("} ,").expect("its end").1;
    assert_eq!(sent.text(), format!("{before}{after}").replace(PAIR, &name));
    pair.second.forget();
    let mut responses = json!({"model": PAIR, "input": "hi", "provider": {"only": ["groq"]}});
    let reply = ask(&pair.flux, "/v1/responses", "", &responses).expect_status(200);
    assert_eq!(reply.header("x-flux-provider"), "groq");
    let mut messages = ask_messages(PAIR);
    messages["provider"] = json!({"order": ["groq"]});
    let reply = pair.flux.messages(&messages).expect_status(200);
    assert_eq!(reply.header("x-flux-provider"), "groq");
    let ignored = reply.headers.get("x-flux-ignored").unwrap_or_default();
    assert!(!ignored.contains("provider"), "it was heeded: {ignored}");
    assert!(pair.second.requests().iter().all(|asked| asked.json().get("provider").is_none()));
    // An error is told in the words of each API.
    responses["provider"] = json!({"only": ["x"]});
    let refused = ask(&pair.flux, "/v1/responses", "", &responses).expect_status(400);
    assert_eq!(refused.json()["error"]["param"], "provider");
    messages["provider"] = json!({"order": "groq"});
    let refused = pair.flux.messages(&messages).expect_status(400);
    assert_eq!(refused.json()["type"], "error");
}

#[test]
fn flux_auto_takes_the_nearest_lane_that_the_provider_serves_and_route_shows_it() {
    let (openai, deepseek) = (Provider::openai(), Provider::bearer("deepseek"));
    let flux = Setup::with(&[&openai, &deepseek]).start();
    let mut question = ask_chat("flux-auto");
    for (lane, header, provider) in [("flux-standard", "deepseek", "deepseek"), ("flux-reasoning", "openai", "openai")]
    {
        question["model"] = lane.into();
        let told = ask(&flux, "/v1/route", header, &question).expect_status(200).json();
        assert_eq!(told["attempts"].as_array().map(Vec::len), Some(1), "{told:#}");
        assert_eq!(told["attempts"][0]["provider"], provider);
        assert_eq!(ask(&flux, "/v1/chat/completions", header, &question).header("x-flux-provider"), provider);
    }
    question["model"] = "flux-auto".into();
    question["provider"] = json!({"only": ["deepseek"]});
    let told = ask(&flux, "/v1/route", "", &question).expect_status(200).json();
    let done = flux.chat(&question).expect_status(200);
    assert_eq!(done.header("x-flux-provider"), "deepseek");
    assert_eq!(
        (&told["lane"], &told["model"]),
        (&done.header("x-flux-lane").into(), &done.header("x-flux-model").into())
    );
    question["provider"] = json!({"only": ["x"]});
    let refused = ask(&flux, "/v1/route", "", &question).expect_status(400);
    assert!(refused.text().contains("deepseek, openai"), "{}", refused.text());
}

/// A stream whose first token comes after a while, and whose twenty tokens take a while.
fn paced(before_ms: u64, between_ms: u64) -> Answer {
    let mut steps = vec![Step::Pause(Duration::from_millis(before_ms))];
    for event in chat_events(&["Hello ", "there"]) {
        steps.push(Step::Send(event.into_bytes()));
        steps.push(Step::Pause(Duration::from_millis(between_ms)));
    }
    steps.push(Step::Send(chat_usage_event(&chat_usage(10, 20)).into_bytes()));
    steps.push(Step::Send(DONE.to_owned().into_bytes()));
    Answer::sse_steps(steps)
}

#[test]
fn sorted_by_speed_the_unknown_are_asked_once_and_then_the_fastest() {
    let pair = Pair::start();
    // The first is late with its first token, and quick with those that follow.
    pair.first.always(|_| paced(150, 2));
    pair.second.always(|_| paced(2, 60));
    let ask_by = |sort: &str| {
        let mut body = ask_chat_stream(PAIR);
        body["provider"] = json!({"sort": sort});
        let reply = pair.flux.chat(&body).expect_status(200);
        assert!(reply.text().ends_with(DONE), "{}", reply.text());
        reply.header("x-flux-provider").to_owned()
    };
    assert_eq!([ask_by("latency"), ask_by("latency")], ["cerebras", "groq"], "each is asked once");
    (0..3).for_each(|_| assert_eq!(ask_by("latency"), "groq"));
    wait_for("both paces to be known", || ask_by("throughput") == "cerebras");
    (0..3).for_each(|_| assert_eq!(ask_by("throughput"), "cerebras"));
    // Whoever fails is passed on from as ever.
    pair.second.always(|_| Answer::failure(500));
    assert_eq!(ask_by("latency"), "cerebras");
}

#[test]
fn the_mock_stands_for_any_provider() {
    let flux = Setup::with(&[]).start();
    let reply = ask(&flux, "/v1/chat/completions", "groq", &ask_chat(PAIR)).expect_status(200);
    assert_eq!(reply.header("x-flux-provider"), "mock");
    assert_chat_error(&ask(&flux, "/v1/chat/completions", "nobody", &ask_chat(PAIR)), 400);
}
