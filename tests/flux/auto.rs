//! `flux-auto` as clients and operators see it: what may be wished for, and how a choice is explained.
//!
//! Must not know how a lane is chosen: only that it is told, and obeyed.

use serde_json::{Value, json};

use super::answers::Answer;
use super::config::edit;
use super::harness::{Flux, Setup, ask_chat, ask_chat_stream, ask_messages, conf_dir, wait_for};
use super::http::{Reply, request};
use super::passthrough::{assert_chat_error, assert_messages_error};
use super::provider::Provider;

/// A request whose kind of work leaves the lane open to the wish for quality.
const OPEN: &str = "Why do the seasons differ between the hemispheres, and what would change if the axis were upright?";

/// A chat request with headers of its own beside the first key's.
pub(crate) fn chat_with(flux: &Flux, headers: &[(&str, &str)], body: &Value) -> Reply {
    let bearer = flux.bearer();
    let mut all = vec![("content-type", "application/json")];
    if headers.iter().all(|(name, _)| *name != "authorization") {
        all.push(("authorization", bearer.as_str()));
    }
    all.extend_from_slice(headers);
    flux.ask(&request("POST", "/v1/chat/completions", &all, body.to_string().as_bytes()))
}

fn saying(text: &str) -> Value {
    json!({"model": "flux-auto", "max_tokens": 100, "messages": [{"role": "user", "content": text}]})
}

/// A whole number that a metric shows.
pub(crate) fn count(flux: &Flux, metric: &str, parts: &[&str]) -> String {
    format!("{}", flux.metric(metric, parts))
}

fn lane(reply: &Reply) -> &str {
    reply.header("x-flux-lane")
}

#[track_caller]
fn assert_told(reply: &Reply) {
    let score = reply.header("x-flux-score");
    let (_, places) = score.split_once('.').unwrap_or_else(|| panic!("{score} has no places"));
    assert!(places.len() == 3 && score.parse::<f64>().is_ok_and(|score| (-1.0..=1.0).contains(&score)), "{score}");
    assert!(!reply.header("x-flux-route-reason").is_empty());
}

#[test]
fn a_choice_is_explained_on_whole_answers_streams_and_errors() {
    let (openai, anthropic) = (Provider::openai(), Provider::anthropic());
    let flux = Setup::with(&[&openai, &anthropic]).start();
    let whole = flux.chat(&saying(OPEN)).expect_status(200);
    assert_told(&whole);
    assert!(whole.header("x-flux-route-reason").starts_with("kind:"), "{:?}", whole.headers);
    let stream = flux.chat(&ask_chat_stream("flux-auto")).expect_status(200);
    assert_told(&stream);
    let mut hard = ask_chat("flux-auto");
    hard["reasoning_effort"] = "high".into();
    let ruled = flux.chat(&hard).expect_status(200);
    assert_told(&ruled);
    assert_eq!(ruled.header("x-flux-route-reason"), "rule:asked-to-think");
    let of_anthropic = Setup::with(&[&anthropic]).start();
    assert_told(&of_anthropic.messages(&ask_messages("flux-auto")).expect_status(200));
    for provider in [&openai, &anthropic] {
        provider.always(|_| Answer::failure(500));
    }
    let failed = flux.chat(&saying(OPEN)).expect_status(503);
    assert_told(&failed);
    let named = flux.chat(&ask_chat("flux-fast"));
    for header in ["x-flux-score", "x-flux-route-reason"] {
        assert_eq!(named.headers.get(header), None, "{header} of a lane that was named");
    }
    wait_for("the log's lines", || flux.request_lines().len() == 5);
    let lines: Vec<Value> = flux.request_lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[2]["route_reason"], "rule:asked-to-think");
    assert!(lines[2]["score"].is_f64(), "{}", lines[2]);
    assert_eq!(lines[4].get("route_reason"), None);
    let of_rule = ["lane=\"flux-reasoning\"", "rule:asked-to-think"];
    assert_eq!(count(&flux, "flux_auto_decisions_total", &of_rule), "1");
    assert_eq!(count(&flux, "flux_auto_decisions_total", &[]), "4");
    assert_eq!(count(&flux, "flux_auto_decision_seconds_count", &[]), "4");
}

#[test]
fn the_nearest_wish_for_quality_holds() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let by_file = lane(&flux.chat(&saying(OPEN)).expect_status(200)).to_owned();
    let by_request = |quality: &str| {
        lane(&chat_with(&flux, &[("x-flux-quality", quality)], &saying(OPEN)).expect_status(200)).to_owned()
    };
    assert_eq!((by_request("0"), by_request("1.0")), ("flux-fast".to_owned(), "flux-reasoning".to_owned()));
    for bad in ["", "2", "-0.1", "high", "0,5", "NaN", "1e0"] {
        let reply = chat_with(&flux, &[("x-flux-quality", bad)], &saying(OPEN));
        let error = assert_chat_error(&reply, 400);
        assert_eq!(error["param"], "x-flux-quality", "{bad}");
        assert!(error["message"].as_str().unwrap().contains("from 0, the cheapest, to 1, the best"), "{error}");
    }
    let headers = [("x-api-key", flux.key.as_str()), ("anthropic-version", "2023-06-01"), ("x-flux-quality", "much")];
    let body = ask_messages("flux-auto").to_string();
    let reply = flux.ask(&request("POST", "/anthropic/v1/messages", &headers, body.as_bytes()));
    assert_messages_error(&reply, 400, "invalid_request_error");

    flux.run_json(&["accounts", "set", "default", "--quality", "0", "--json"]);
    wait_for("the account's wish", || lane(&flux.chat(&saying(OPEN))) == "flux-fast");
    let made = flux.run_json(&["keys", "create", "--quality", "1", "--json"]);
    assert_eq!(made["quality"], "1.000");
    let bearer = format!("Bearer {}", made["key"].as_str().unwrap());
    let by_key =
        |headers: &[(&str, &str)]| chat_with(&flux, &[&[("authorization", &*bearer)], headers].concat(), &saying(OPEN));
    wait_for("the new key", || by_key(&[]).status == 200);
    assert_eq!(lane(&by_key(&[])), "flux-reasoning", "the key's before the account's");
    assert_eq!(lane(&by_key(&[("x-flux-quality", "0.0")])), "flux-fast", "the request's before the key's");
    let account = flux.run_json(&["accounts", "set", "default", "--quality", "none", "--json"]);
    assert_eq!(account["quality"], Value::Null);
    wait_for("the file's wish", || lane(&flux.chat(&saying(OPEN))) == by_file);
}

#[test]
fn a_key_or_an_account_may_bind_flux_auto_to_lanes() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let mut hard = saying(OPEN);
    hard["reasoning_effort"] = "high".into();
    let with = |bearer: &str, body: &Value| {
        let reply = chat_with(&flux, &[("authorization", bearer)], body).expect_status(200);
        assert_told(&reply);
        (lane(&reply).to_owned(), reply.header("x-flux-route-reason").to_owned())
    };
    let told = |lane: &str, reason: &str| (lane.to_owned(), reason.to_owned());
    let body = json!({"name": "bound", "auto_lane": "at_most:flux-standard"}).to_string();
    let made = flux.ask(&request("POST", "/v1/keys", &[("authorization", &flux.bearer())], body.as_bytes()));
    let made = made.expect_status(201).json();
    assert_eq!((&made["auto_lane"], &made["quality"]), (&json!("at_most:flux-standard"), &Value::Null));
    let bearer = format!("Bearer {}", made["key"].as_str().unwrap());
    assert_eq!(with(&bearer, &hard), told("flux-standard", "key"));
    let change = |change: Value| {
        let path = format!("/v1/keys/{}", made["id"]);
        let headers = [("authorization", &*flux.bearer())];
        flux.ask(&request("PATCH", &path, &headers, change.to_string().as_bytes()))
    };
    change(json!({"auto_lane": "flux-fast", "quality": 0.9})).expect_status(200);
    assert_eq!(with(&bearer, &hard), told("flux-fast", "key"));
    assert_eq!(with(&bearer, &saying("draw a picture of a cat")), told("flux-fast", "key"));
    let view = change(json!({"auto_lane": null})).expect_status(200).json();
    assert_eq!((&view["auto_lane"], &view["quality"]), (&Value::Null, &json!("0.900")));
    assert_eq!(with(&bearer, &hard), told("flux-reasoning", "rule:asked-to-think"));
    for (field, value) in
        [("auto_lane", json!("fast")), ("auto_lane", json!("at_least:flux-image")), ("quality", json!(1.5))]
    {
        let error = assert_chat_error(&change(json!({field: value})), 400);
        assert_eq!(error["param"], field, "{error}");
    }
    flux.run_json(&["accounts", "set", "default", "--auto-lane", "at_least:flux-reasoning", "--json"]);
    wait_for("the account's bound", || with(&bearer, &saying("Thanks!")) == told("flux-reasoning", "account"));
    assert_eq!(
        lane(&flux.chat(&ask_chat("flux-fast")).expect_status(200)),
        "flux-fast",
        "a lane that is named is that"
    );
}

/// What the one request that a provider saw said, byte for byte but for the model's name.
#[track_caller]
fn assert_sent(provider: &Provider, expected: &str) {
    let sent = provider.only().text();
    let model = provider.only().json()["model"].as_str().unwrap().to_owned();
    assert_eq!(sent, expected.replace("MODEL", &model));
    provider.forget();
}

#[test]
fn a_task_type_chooses_the_lane_and_reaches_no_provider() {
    let (openai, anthropic) = (Provider::openai(), Provider::anthropic());
    let flux = Setup::with(&[&openai, &anthropic]).start();
    let send = |body: &str| flux.ask(&flux.chat_request(body.as_bytes()));
    let messages = r#""messages":[{"role":"user","content":"a, b"}]"#;
    let reply = send(&format!(r#"{{"task_type":"deep_reasoning",{messages}, "max_tokens" : 9}}"#)).expect_status(200);
    assert_eq!((lane(&reply), reply.header("x-flux-route-reason")), ("flux-reasoning", "rule:task-hard"));
    assert_eq!(reply.header("x-flux-original-model"), "flux-auto");
    assert_sent(&openai, &format!(r#"{{"model":"MODEL",{messages}, "max_tokens" : 9}}"#));
    let reply = send(&format!(r#"{{"model":"flux-auto",{messages} , "task_type" : "summarize" }}"#)).expect_status(200);
    assert_eq!((lane(&reply), reply.header("x-flux-route-reason")), ("flux-fast", "rule:task-light"));
    assert_sent(&openai, &format!(r#"{{"model":"MODEL",{messages}  }}"#));
    let reply = send(&format!(r#"{{"task_type":"creative","model":"flux-fast",{messages}}}"#)).expect_status(200);
    assert_eq!((lane(&reply), reply.headers.get("x-flux-route-reason")), ("flux-fast", None), "the model wins");
    assert_sent(&openai, &format!(r#"{{"model":"MODEL",{messages}}}"#));
    let reply = send(&format!(r#"{{"task_type":null,"model":"flux-fast",{messages}}}"#)).expect_status(200);
    assert_eq!(lane(&reply), "flux-fast");
    assert_sent(&openai, &format!(r#"{{"model":"MODEL",{messages}}}"#));
    let of_anthropic = Setup::with(&[&anthropic]).start();
    let reply = of_anthropic
        .messages(&json!({"task_type": "code_gen", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}));
    assert_eq!(lane(&reply.expect_status(200)), "flux-standard");

    for (body, names) in [
        (format!(r#"{{"task_type":"sumarize",{messages}}}"#), "simple_chat, summarize, extract"),
        (format!(r#"{{"task_type":7,"model":"flux-fast",{messages}}}"#), "deep_reasoning, agentic_complex"),
    ] {
        let error = assert_chat_error(&send(&body), 400);
        assert_eq!(error["param"], "task_type", "{error}");
        assert!(error["message"].as_str().unwrap().contains(names), "{error}");
    }
    let error = assert_chat_error(&send(&format!(r#"{{"task_type":null,{messages}}}"#)), 400);
    assert_eq!(error["param"], "model");
    assert_chat_error(&send(&format!(r#"{{"task_type":"extract","task_type":"extract",{messages}}}"#)), 400);
}

#[test]
fn rules_beside_the_first_are_only_counted() {
    let openai = Provider::openai();
    let root = tempfile::tempdir().expect("a folder");
    let (conf, shadow) = (root.path().join("conf"), root.path().join("other"));
    for folder in [&conf, &shadow] {
        std::fs::create_dir(folder).expect("a folder");
    }
    for entry in std::fs::read_dir(conf_dir()).expect("conf") {
        let entry = entry.expect("a file");
        std::fs::copy(entry.path(), conf.join(entry.file_name())).expect("copied");
    }
    let rules = |lane: &str| std::fs::write(shadow.join("flux-auto.toml"), format!("default = \"{lane}\"\n")).unwrap();
    rules("flux-reasoning");
    edit(&conf, "lanes.toml", "shadow = \"\"", "shadow = \"../other\"");
    let flux = Setup::with(&[&openai]).config(&conf).start();
    let mut hard = ask_chat("flux-auto");
    hard["reasoning_effort"] = "high".into();
    flux.chat(&hard).expect_status(200);
    let reply = chat_with(&flux, &[("x-flux-quality", "0")], &saying(OPEN)).expect_status(200);
    assert_eq!(lane(&reply), "flux-fast", "what the shadow says changes nothing");
    let metric = "flux_auto_shadow_disagreements_total";
    wait_for("the disagreement", || count(&flux, metric, &[]) == "1");
    assert_eq!(count(&flux, metric, &["lane=\"flux-fast\"", "shadow_lane=\"flux-reasoning\""]), "1");
    wait_for("the log", || flux.log().contains("\"shadow_lane\":\"flux-reasoning\""));
    rules("flux-fast");
    wait_for("the changed rules", || {
        flux.chat(&hard).expect_status(200);
        count(&flux, metric, &["lane=\"flux-reasoning\"", "shadow_lane=\"flux-fast\""]) != "0"
    });
    edit(&conf, "lanes.toml", "../other", "../nowhere");
    let said = Setup::with(&[&openai]).config(&conf).run(&["check"]);
    assert!(!said.status.success());
    assert!(
        String::from_utf8_lossy(&said.stdout).contains("nowhere")
            || String::from_utf8_lossy(&said.stderr).contains("nowhere")
    );
}
