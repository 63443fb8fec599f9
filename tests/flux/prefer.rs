//! What a request prefers among providers: by its header, by its body, in each API that comes in, and what is left of it
//! upstream; and which providers may serve a key, whatever its requests prefer.
//!
//! Must not know how a plan is made: it sees who is asked, in which order, and what the client is told.

use std::time::Duration;

use serde_json::{Value, json};

use super::answers::{Answer, DONE, Step, chat_events, chat_usage, chat_usage_event};
use super::api::{Caller, raw};
use super::harness::{Flux, Setup, ask_chat, ask_chat_stream, ask_messages, wait_for};
use super::http::{Reply, request};
use super::passthrough::{assert_chat_error, assert_messages_error};
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
    ask_with(flux, &flux.key, (target, header), body)
}

fn ask_with(flux: &Flux, key: &str, (target, header): (&str, &str), body: &Value) -> Reply {
    let bearer = format!("Bearer {key}");
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

/// A key that only these providers may serve, made over HTTP.
fn key_within(flux: &Flux, providers: &Value) -> String {
    raw(&Caller::new(flux, &flux.key).post("/v1/keys", &json!({ "providers": providers })).expect_status(201))
}

#[test]
fn a_key_says_who_may_serve_and_the_command_line_reaches_a_running_server() {
    let pair = Pair::start();
    let key = Caller::of_account(&pair.flux, "default", &["--only-providers", "groq"]).into_key();
    let ask = || ask_with(&pair.flux, &key, ("/v1/chat/completions", ""), &ask_chat(PAIR));
    assert_eq!(ask().expect_status(200).header("x-flux-provider"), "groq");
    pair.second.next(Answer::failure(500));
    let failed = ask().expect_status(503);
    assert_eq!((failed.header("x-flux-attempts"), pair.first.count()), ("1", 0), "nobody else is asked");
    for (options, told, served_by) in [
        (["--only-providers", "any"], json!({"only": [], "ignore": [], "region": null}), "cerebras"),
        (["--ignore-providers", "cerebras"], json!({"only": [], "ignore": ["cerebras"], "region": null}), "groq"),
        (["--ignore-providers", "none"], json!({"only": [], "ignore": [], "region": null}), "cerebras"),
        (
            ["--only-providers", "openai,groq"],
            json!({"only": ["openai", "groq"], "ignore": [], "region": null}),
            "groq",
        ),
    ] {
        let changed = pair.flux.run_json(&[&["keys", "change", &key, "--json"], &options[..]].concat());
        assert_eq!(changed["providers"], told, "{options:?}");
        wait_for("the change to hold", || ask().expect_status(200).header("x-flux-provider") == served_by);
    }
    let refused = pair.flux.run(&["keys", "change", &key, "--only-providers", "grok"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("there is no provider \"grok\"") && said.contains("cerebras"), "{said}");
}

#[test]
fn the_bounds_of_a_key_and_what_a_request_prefers_both_hold() {
    let pair = Pair::start();
    let (only, ignore) = (|names: &[&str]| json!({ "only": names }), |names: &[&str]| json!({ "ignore": names }));
    let none = Value::Null;
    let by_request = "left by what the request prefers; it is served by: groq; this key may be served ";
    for (bounds, header, body, expected) in [
        (only(&["groq"]), "", none.clone(), Ok("groq")),
        (only(&["groq"]), "groq", none.clone(), Ok("groq")),
        (only(&["groq", "openai"]), "", json!({"order": ["cerebras", "groq"]}), Ok("groq")),
        (only(&["groq"]), "", json!({"sort": "price"}), Ok("groq")),
        (ignore(&["cerebras"]), "", only(&["cerebras", "groq"]), Ok("groq")),
        (ignore(&["cerebras"]), "", ignore(&["openai"]), Ok("groq")),
        (json!({"only": ["groq", "cerebras"], "ignore": ["cerebras"]}), "", none.clone(), Ok("groq")),
        (json!({}), "", none.clone(), Ok("cerebras")),
        (only(&["groq"]), "cerebras", none.clone(), Err((400, format!("{by_request}only by groq")))),
        (only(&["groq"]), "", ignore(&["groq"]), Err((400, format!("{by_request}only by groq")))),
        (ignore(&["cerebras"]), "", ignore(&["groq"]), Err((400, format!("{by_request}by any provider but cerebras")))),
        (only(&["openai"]), "", none.clone(), Err((403, "which may be served only by openai;".to_owned()))),
        (only(&["openai", "mistral"]), "groq", none.clone(), Err((403, "only by openai, mistral;".to_owned()))),
        (ignore(&["cerebras", "groq"]), "", none, Err((403, "by any provider but cerebras, groq;".to_owned()))),
    ] {
        let key = key_within(&pair.flux, &bounds);
        let mut question = ask_chat(PAIR);
        if !body.is_null() {
            question["provider"] = body.clone();
        }
        let asked = pair.first.count() + pair.second.count();
        let reply = ask_with(&pair.flux, &key, ("/v1/chat/completions", header), &question);
        match expected {
            Ok(served_by) => {
                let who = (reply.status, reply.header("x-flux-provider"), reply.header("x-flux-attempts"));
                assert_eq!(who, (200, served_by, "1"), "{bounds} {header:?} {body}");
            }
            Err((status, told)) => {
                let error = assert_chat_error(&reply, status);
                assert!(reply.text().contains(&told), "{bounds} {header:?} {body}: {}", reply.text());
                assert_eq!(error["param"], if status == 400 { "provider" } else { "model" });
                assert_eq!(pair.first.count() + pair.second.count(), asked, "nobody was asked");
            }
        }
    }
}

#[test]
fn a_key_that_nobody_may_serve_is_refused_in_the_words_of_each_api() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let key = key_within(&flux, &json!({"ignore": ["openai"]}));
    let (chat, messages) = (ask_chat("flux-fast"), ask_messages("flux-fast"));
    let responses = json!({"model": "flux-fast", "input": "hi"});
    let prompt = json!({"model": "flux-image", "prompt": "a fox"});
    for (target, body) in [
        ("/v1/chat/completions", &chat),
        ("/v1/responses", &responses),
        ("/v1/responses/input_tokens", &responses),
        ("/anthropic/v1/messages", &messages),
        ("/v1/messages/count_tokens", &messages),
        ("/v1/embeddings", &json!({"model": "text-embedding-3-small", "input": "x"})),
        ("/v1/images/generations", &prompt),
        ("/v1/audio/speech", &json!({"model": "tts-1", "input": "x", "voice": "alloy"})),
        ("/v1/route", &chat),
    ] {
        let reply = ask_with(&flux, &key, (target, ""), body);
        if target.contains("messages") {
            assert_messages_error(&reply, 403, "permission_error");
        } else {
            assert_eq!(assert_chat_error(&reply, 403)["param"], "model", "{target}");
        }
        let told = "none of its providers may serve this key, which may be served by any provider but openai;";
        assert!(reply.text().contains(told), "{target}: {}", reply.text());
    }
    assert_eq!((openai.count(), flux.ledger().len()), (0, 0));
    flux.chat(&chat).expect_status(200);
}

#[test]
fn flux_auto_takes_the_nearest_lane_that_may_serve_the_key_and_route_shows_it() {
    let (openai, deepseek) = (Provider::openai(), Provider::bearer("deepseek"));
    let flux = Setup::with(&[&openai, &deepseek]).start();
    let question = ask_chat("flux-auto");
    let free = flux.chat(&question).expect_status(200);
    assert_eq!((free.header("x-flux-provider"), free.header("x-flux-lane")), ("openai", "flux-fast"));
    let key = key_within(&flux, &json!({"only": ["deepseek"]}));
    let told = ask_with(&flux, &key, ("/v1/route", ""), &question).expect_status(200).json();
    let done = ask_with(&flux, &key, ("/v1/chat/completions", ""), &question).expect_status(200);
    assert_eq!((done.header("x-flux-provider"), done.header("x-flux-lane")), ("deepseek", "flux-standard"));
    assert_eq!(done.header("x-flux-route-reason"), "fit:provider");
    assert_eq!(
        (&told["lane"], &told["model"], &told["reason"]),
        (&"flux-standard".into(), &done.header("x-flux-model").into(), &json!({"by": "fit", "name": "provider"}))
    );
    let fast = told["alternatives"].as_array().expect("lanes").iter().find(|lane| lane["lane"] == "flux-fast");
    assert_eq!(fast.expect("it")["unavailable"], "none of its providers may serve this key");
    // The key leaves somebody, the request nobody; then neither does the key.
    let reply = ask_with(&flux, &key, ("/v1/chat/completions", "openai"), &question);
    assert_chat_error(&reply, 400);
    assert!(reply.text().contains("only by deepseek"), "{}", reply.text());
    let nobodys = key_within(&flux, &json!({"only": ["groq"]}));
    let reply = ask_with(&flux, &nobodys, ("/v1/chat/completions", ""), &question);
    assert_chat_error(&reply, 403);
    assert!(reply.text().contains("which may be served only by groq;"), "{}", reply.text());
}

#[test]
fn who_alone_may_serve_a_key_and_is_ill_is_told_as_such() {
    let (openai, deepseek) = (Provider::openai(), Provider::bearer("deepseek"));
    let flux = Setup::with(&[&openai, &deepseek]).env("FLUX_HEALTH__PASSES_OVER", "true").start();
    let key = key_within(&flux, &json!({"only": ["deepseek"]}));
    deepseek.always(|_| Answer::bytes(429, &[("retry-after", "60")], b"{}"));
    for model in ["flux-auto", "flux-standard", "flux-auto"] {
        let reply = ask_with(&flux, &key, ("/v1/chat/completions", ""), &ask_chat(model)).expect_status(503);
        // As long as the provider says, and a part by chance.
        let seconds: u64 = reply.header("retry-after").parse().expect("seconds");
        assert!((59..=75).contains(&seconds), "{model}: {seconds}");
    }
    assert_eq!((openai.count(), deepseek.count()), (0, 1), "neither is another asked, nor the ill one again");
}

#[test]
fn test_keys_and_the_mock_know_no_such_bounds() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let body = json!({"kind": "test", "providers": {"ignore": ["openai"]}});
    let player = raw(&Caller::new(&flux, &flux.key).post("/v1/keys", &body).expect_status(201));
    for target in ["/v1/chat/completions", "/v1/route"] {
        ask_with(&flux, &player, (target, ""), &ask_chat("flux-fast")).expect_status(200);
    }
    assert_eq!(openai.count(), 0);
    let flux = Setup::with(&[]).start();
    let key = key_within(&flux, &json!({"only": ["groq"]}));
    let reply = ask_with(&flux, &key, ("/v1/chat/completions", ""), &ask_chat("flux-fast")).expect_status(200);
    assert_eq!(reply.header("x-flux-provider"), "mock");
}

#[test]
fn the_bounds_of_a_key_are_made_shown_and_changed_over_http() {
    let flux = Setup::with(&[]).start();
    let admin = Caller::new(&flux, &flux.key);
    let made = admin.post("/v1/keys", &json!({"providers": {"only": ["groq", "openai", "groq"], "ignore": null}}));
    let made = made.expect_status(201).json();
    assert_eq!(made["providers"], json!({"only": ["groq", "openai"], "ignore": [], "region": null}));
    let path = format!("/v1/keys/{}", made["id"]);
    let change = |body: &Value| admin.ask("PATCH", &path, body).expect_status(200).json()["providers"].clone();
    assert_eq!(change(&json!({"name": "x"})), made["providers"], "what is left out stays");
    assert_eq!(
        change(&json!({"providers": {"ignore": ["xai"]}})),
        json!({"only": [], "ignore": ["xai"], "region": null})
    );
    assert_eq!(admin.get(&path).json()["providers"], json!({"only": [], "ignore": ["xai"], "region": null}));
    let rotated = admin.post(&format!("{path}/rotate"), &json!({"expires_in_seconds": 600})).expect_status(201).json();
    assert_eq!(rotated["providers"], json!({"only": [], "ignore": ["xai"], "region": null}));
    assert_eq!(change(&json!({"providers": null})), json!({"only": [], "ignore": [], "region": null}));
    let many: Vec<String> = (0..33).map(|n| format!("p{n}")).collect();
    for (providers, told) in [
        (json!({"only": ["grok"]}), "there is no provider \"grok\" as `only` has it; there are: "),
        (json!({"ignore": ["groq", "OpenAI"]}), "there is no provider \"OpenAI\" as `ignore` has it; there are: "),
        (json!({"only": many}), "providers.only may hold 32 names"),
    ] {
        let body = json!({ "providers": providers });
        for refused in [admin.post("/v1/keys", &body), admin.ask("PATCH", &path, &body)] {
            let error = assert_chat_error(&refused, 400);
            assert_eq!(error["param"], "providers", "{body}");
            assert!(error["message"].as_str().is_some_and(|message| message.contains(told)), "{body}: {error}");
        }
    }
    admin.post("/v1/keys", &json!({"providers": {"order": ["groq"]}})).expect_status(400);
    let described = flux.get("/openapi.json").json()["components"]["schemas"].clone();
    assert!(described["ProvidersWanted"]["properties"]["ignore"].is_object(), "{}", described["CreateKey"]);
    assert!(described["KeyView"]["properties"]["providers"].is_object(), "{}", described["KeyView"]);
}

#[test]
fn a_provider_that_is_gone_from_the_configuration_matches_nothing() {
    let pair = Pair::start();
    let key = key_within(&pair.flux, &json!({"only": ["openai"]}));
    let db = rusqlite::Connection::open(pair.flux.data_dir().join("flux.db")).expect("the key store");
    db.busy_timeout(super::harness::WAIT_MAX).expect("a busy time-out");
    let ask = || ask_with(&pair.flux, &key, ("/v1/chat/completions", ""), &ask_chat(PAIR));
    let bound_to = |names: &str| {
        let sql = "UPDATE keys SET providers_only = ?1 WHERE providers_only <> ''";
        assert_eq!(db.execute(sql, [names]).expect("changed"), 1);
    };
    bound_to("gone,groq");
    wait_for("one that is there to serve", || ask().status == 200);
    bound_to("gone");
    wait_for("nobody to be left", || ask().status == 403);
    assert!(ask().text().contains("only by gone;"), "{}", ask().text());
    // What was chosen before may stay while something else is changed.
    let shown = pair.flux.run_json(&["keys", "change", &key, "--name", "x", "--json"]);
    assert_eq!(shown["providers"]["only"], json!(["gone"]));
}
