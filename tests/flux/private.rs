//! What an operator sees and the public does not: metrics, health, the model list behind a key.
//!
//! Must not know how metrics are kept, only how they are exposed.

use serde_json::json;

use super::harness::{Setup, ask_chat, ask_chat_stream, ask_messages};
use super::http::request;
use super::passthrough::{assert_chat_error, assert_messages_error};
use super::provider::Provider;

#[test]
fn t71_metrics_and_health_are_on_the_private_listener_only() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    for path in ["/metrics", "/healthz", "/readyz"] {
        assert_eq!(flux.private_get(path).status, 200, "{path}");
        assert_eq!(flux.get(path).status, 404, "{path} is public");
    }
    assert!(flux.private_get("/metrics").header("content-type").starts_with("text/plain"));
    for path in ["/v1/models", "/v1/chat/completions", "/", "/stats"] {
        assert_eq!(flux.private_get(path).status, 404, "{path}");
    }
}

#[test]
fn t71_the_model_list_needs_a_key() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    for path in ["/v1/models", "/v1/models/flux-fast"] {
        assert_chat_error(&flux.ask(&request("GET", path, &[], b"")), 401);
        flux.get(path).expect_status(200);
    }
}

#[test]
fn t57_the_model_list_shows_what_can_be_routed_and_nothing_else() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let list = flux.get("/v1/models").expect_status(200).json();
    assert_eq!(list["object"], "list");
    let models = list["data"].as_array().expect("models");
    let ids: Vec<&str> = models.iter().map(|model| model["id"].as_str().expect("an id")).collect();
    for id in ["flux-auto", "flux-fast", "flux-standard", "flux-reasoning", "flux-pinned-gpt-6-luna"] {
        assert!(ids.contains(&id), "{id} is missing in {ids:?}");
    }
    for id in ["flux-pinned-claude-haiku-5-5", "flux-pinned-gpt-oss-120b", "flux-pinned-grok-4-7"] {
        assert!(!ids.contains(&id), "{id} is listed without a provider");
    }
    for model in models {
        assert_eq!(model["object"], "model", "{model}");
        assert!(model["created"].is_number() && model["owned_by"].is_string(), "{model}");
        assert!(model.get("max_input_tokens").is_some() && model.get("max_output_tokens").is_some(), "{model}");
        let id = model["id"].as_str().expect("an id");
        let one = flux.get(&format!("/v1/models/{id}")).expect_status(200).json();
        assert_eq!(&one, model);
        // What is listed can be asked for.
        if model["kind"] == "chat" {
            let status = flux.chat(&ask_chat(id)).status;
            assert_eq!(status, 200, "{id} is listed and answers {status}");
        }
    }
    let error = assert_chat_error(&flux.get("/v1/models/no-such-model"), 404);
    assert_eq!(error["code"], "model_not_found");
}

#[test]
fn the_model_list_has_anthropics_shape_for_its_clients() {
    let anthropic = Provider::anthropic();
    let flux = Setup::with(&[&anthropic]).start();
    let headers = [("x-api-key", flux.key.as_str()), ("anthropic-version", "2023-06-01")];
    let list = flux.ask(&request("GET", "/v1/models", &headers, b"")).expect_status(200).json();
    let models = list["data"].as_array().expect("models");
    assert!(
        list.get("has_more").is_some() && list.get("first_id").is_some() && list.get("last_id").is_some(),
        "{list}"
    );
    assert!(models.iter().any(|model| model["id"] == "flux-pinned-claude-haiku-5-5"));
    for model in models {
        assert_eq!(model["type"], "model", "{model}");
        assert!(model["display_name"].is_string() && model["created_at"].is_string(), "{model}");
    }
    let one =
        flux.ask(&request("GET", "/v1/models/flux-pinned-claude-haiku-5-5", &headers, b"")).expect_status(200).json();
    assert_eq!(one["type"], "model");
    let none = flux.ask(&request("GET", "/v1/models/no-such-model", &headers, b""));
    assert_messages_error(&none, 404, "not_found_error");
}

#[test]
fn t67_random_model_names_make_no_metric_labels() {
    const NAMES: usize = 300;
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    flux.chat(&ask_chat("no-such-model-first")).expect_status(404);
    flux.get("/no/such/path/first").expect_status(404);
    let series = || flux.private_get("/metrics").text().lines().count();
    let before = series();
    let mut conn = flux.connect();
    for i in 0..NAMES {
        let body = json!({"model": format!("no-such-model-{i}"), "messages": []}).to_string();
        let reply = conn.ask(&flux.chat_request(body.as_bytes())).expect_status(404);
        if reply.headers.get("connection") == Some("close") {
            conn = flux.connect();
        }
    }
    for i in 0..20 {
        flux.get(&format!("/no/such/path/{i}")).expect_status(404);
    }
    // A request is counted after its answer, so the first of a kind may bring its few series late.
    assert!(series() <= before + NAMES / 4, "{before} lines became {}", series());
    let text = flux.private_get("/metrics").text();
    assert!(!text.contains("no-such"), "{text}");
}

#[test]
fn metrics_name_requests_tokens_cost_attempts_and_times() {
    let (first, second) = (Provider::cerebras(), Provider::groq());
    let flux = Setup::with(&[&first, &second]).start();
    first.next(super::answers::Answer::failure(503));
    flux.chat(&ask_chat("flux-pinned-gpt-oss-120b")).expect_status(200);
    flux.chat(&ask_chat_stream("flux-pinned-gpt-oss-120b")).expect_status(200);
    flux.wait_for_rows(2);
    let text = flux.private_get("/metrics").text();
    let families: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    // Names are Flux's own; each idea must have a family, each family a help line and a lawful name.
    for idea in [
        "requests",
        "tokens",
        "cost_usd",
        "attempts",
        "first_token",
        "overhead",
        "in_flight",
        "backlog",
        "dropped",
        "key",
    ] {
        assert!(families.iter().any(|family| family.contains(idea)), "no family about {idea} in {families:#?}");
    }
    for family in families {
        let (name, kind) = family.split_once(' ').expect("name and type");
        assert!(text.contains(&format!("# HELP {name} ")), "{name} has no help");
        match kind {
            "counter" => assert!(name.ends_with("_total"), "{name}"),
            "histogram" => assert!(name.ends_with("_seconds") || name.ends_with("_bytes"), "{name}"),
            _ => {}
        }
    }
    // The first provider failed once, the second answered twice: once in its place.
    let attempts = |provider: &str, kind: &str| {
        let labels = [format!("provider=\"{provider}\""), format!("kind=\"{kind}\"")];
        flux.metric("flux_attempts_total", &[&labels[0], &labels[1]])
    };
    assert_counts([attempts("cerebras", "made"), attempts("groq", "made"), attempts("groq", "failover")], [2, 1, 1]);
    assert_counts([flux.metric("flux_attempt_failures_total", &["provider=\"cerebras\""])], [1]);
    assert_counts([flux.metric("flux_config_reloads_total", &["refused"])], [0]);
    let sum: i64 = flux.ledger().iter().map(super::ledger::Row::amount_nano).sum();
    let shown = flux.metric("flux_cost_usd_total", &[]) * 1e9;
    let booked = f64::from(i32::try_from(sum).expect("cents"));
    assert!((shown - booked).abs() < 0.5, "{shown} nano-USD are shown, {booked} are booked");
    assert!(
        text.contains("le=\"0.00001\"") || text.contains("le=\"1e-05\"") || text.contains("le=\"0.000010\""),
        "overhead from 10 µs"
    );
}

#[track_caller]
fn assert_counts<const N: usize>(shown: [f64; N], expected: [u32; N]) {
    let is_right = shown.iter().zip(expected).all(|(shown, count)| (shown - f64::from(count)).abs() < 0.5);
    assert!(is_right, "{shown:?} are shown, {expected:?} were made");
}

#[test]
fn a_model_whose_name_has_a_slash_is_found() {
    let openai = Provider::cerebras();
    let flux = Setup::with(&[&openai]).start();
    for name in ["openai/gpt-oss-120b", "openai%2Fgpt-oss-120b", "openai%2fgpt-oss-120b"] {
        let model = flux.get(&format!("/v1/models/{name}")).expect_status(200).json();
        assert_eq!(model["id"], "openai/gpt-oss-120b", "{name}");
    }
    for name in ["openai/no-such", "openai%2F", "%2F", "openai%2F..", "..%2F..", "a%2F%2Fb"] {
        let status = flux.get(&format!("/v1/models/{name}")).status;
        assert!([400, 404].contains(&status), "{name}: {status}");
    }
}

#[test]
fn odd_paths_and_methods_are_answered_in_the_callers_shape() {
    let (openai, anthropic) = (Provider::openai(), Provider::anthropic());
    let flux = Setup::with(&[&openai, &anthropic]).start();
    let ask = |method: &str, path: &str| flux.ask(&request(method, path, &[("authorization", &flux.bearer())], b""));
    for path in ["/anthropic/v1/complete", "/anthropic/v1/models", "/anthropic/", "/anthropic/v1/messages/batches"] {
        assert_messages_error(&ask("POST", path), 403, "permission_error");
    }
    for path in
        ["/", "/v2/chat/completions", "/v1/chat/completions/", "/v1/chat", "/V1/chat/completions", "/v1/unknown"]
    {
        assert_chat_error(&ask("POST", path), 404);
    }
    for (method, path) in [("GET", "/v1/chat/completions"), ("DELETE", "/v1/chat/completions"), ("POST", "/v1/models")]
    {
        assert_chat_error(&ask(method, path), 405);
    }
    let reply = ask("GET", "/anthropic/v1/messages");
    assert_eq!((reply.status, &reply.json()["type"]), (405, &json!("error")));
    assert_eq!((openai.count(), anthropic.count()), (0, 0));
}

#[test]
fn flux_auto_chooses_a_lane_and_says_which() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let reply = flux.chat(&ask_chat("flux-auto")).expect_status(200);
    let lane = reply.header("x-flux-lane").to_owned();
    assert!(["flux-fast", "flux-standard", "flux-reasoning"].contains(&lane.as_str()), "{lane}");
    for _ in 0..3 {
        assert_eq!(flux.chat(&ask_chat("flux-auto")).header("x-flux-lane"), lane, "deterministic");
    }
    let mut hard = ask_chat("flux-auto");
    hard["reasoning_effort"] = "high".into();
    assert_eq!(flux.chat(&hard).expect_status(200).header("x-flux-lane"), "flux-reasoning");
}

#[test]
fn the_configured_mock_answers_without_any_provider_key() {
    let flux = Setup::with(&[]).start();
    let reply = flux.get("/v1/models").expect_status(200).json();
    assert!(!reply["data"].as_array().expect("models").is_empty());
    flux.chat(&ask_chat("flux-fast")).expect_status(200);
    flux.messages(&ask_messages("flux-fast")).expect_status(200);
}
