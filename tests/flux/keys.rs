//! Keys: made, used, expired and revoked on a running process; test keys that never reach a provider.
//!
//! Must not know how keys are stored, only that they are not stored raw.

use serde_json::{Value, json};

use super::harness::{Flux, Setup, ask_chat, ask_chat_stream, ask_messages, ask_messages_stream, wait_for};
use super::http::{Reply, contains, request};
use super::passthrough::{assert_chat_error, assert_messages_error};
use super::provider::Provider;
use super::sse;

fn chat_with(flux: &Flux, header: &str, value: &str, body: &Value) -> Reply {
    let headers = [(header, value), ("content-type", "application/json")];
    flux.ask(&request("POST", "/v1/chat/completions", &headers, body.to_string().as_bytes()))
}

fn messages_with(flux: &Flux, header: &str, value: &str, body: &Value) -> Reply {
    let headers = [(header, value), ("anthropic-version", "2023-06-01"), ("content-type", "application/json")];
    flux.ask(&request("POST", "/anthropic/v1/messages", &headers, body.to_string().as_bytes()))
}

#[test]
fn both_ways_of_showing_a_key_work_on_both_endpoints() {
    let (openai, anthropic) = (Provider::openai(), Provider::anthropic());
    let flux = Setup::with(&[&openai, &anthropic]).start();
    let (bearer, raw) = (flux.bearer(), flux.key.clone());
    for (header, value) in [("authorization", bearer.as_str()), ("x-api-key", raw.as_str())] {
        chat_with(&flux, header, value, &ask_chat("gpt-4o-mini")).expect_status(200);
        messages_with(&flux, header, value, &ask_messages("claude-3-5-haiku-latest")).expect_status(200);
    }
    let scheme = format!("bearer {raw}");
    chat_with(&flux, "authorization", &scheme, &ask_chat("gpt-4o-mini")).expect_status(200);
}

#[test]
fn a_wrong_key_is_401_in_the_callers_shape() {
    let (openai, anthropic) = (Provider::openai(), Provider::anthropic());
    let flux = Setup::with(&[&openai, &anthropic]).start();
    let almost = format!("{}x", flux.key);
    for key in ["", "x", "sk-flux-", almost.as_str(), "sk-upstream-openai-secret", "cf_test", "Basic eDp5"] {
        let value = format!("Bearer {key}");
        let reply = chat_with(&flux, "authorization", &value, &ask_chat("gpt-4o-mini"));
        let error = assert_chat_error(&reply, 401);
        assert_eq!(error["code"], "invalid_api_key");
        assert!(key.len() < 9 || !reply.text().contains(key), "the answer repeats the key: {}", reply.text());
        let reply = messages_with(&flux, "x-api-key", key, &ask_messages("claude-3-5-haiku-latest"));
        assert_messages_error(&reply, 401, "authentication_error");
    }
    let none = flux.ask(&request("POST", "/v1/chat/completions", &[], ask_chat("gpt-4o-mini").to_string().as_bytes()));
    assert_chat_error(&none, 401);
    assert_eq!((openai.count(), anthropic.count()), (0, 0));
    assert_eq!(flux.ledger().len(), 0);
}

#[test]
fn t64_keys_are_made_and_revoked_on_a_running_process() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let made = flux.run_json(&["keys", "create", "--json"]);
    let (key, id) = (made["key"].as_str().expect("a key").to_owned(), made["id"].clone());
    assert!(key.starts_with("sk-flux-") && !key.starts_with("sk-flux-test-"), "{key}");
    let bearer = format!("Bearer {key}");
    let status = || chat_with(&flux, "authorization", &bearer, &ask_chat("gpt-4o-mini")).status;
    wait_for("the new key to work", || status() == 200);

    let id = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
    let revoked = flux.run(&["keys", "revoke", &id]);
    assert!(revoked.status.success(), "{}", String::from_utf8_lossy(&revoked.stderr));
    wait_for("the revoked key to be refused", || status() == 401);
    flux.chat(&ask_chat("gpt-4o-mini")).expect_status(200);

    let listed = flux.run_json(&["keys", "list", "--json"]).to_string();
    assert!(!listed.contains(&key), "the list shows a raw key: {listed}");
    assert_eq!(flux.run(&["keys", "revoke", "999999999"]).status.code(), Some(1), "an unknown id is a failure");
}

#[test]
fn a_key_that_expires_is_refused_on_a_running_process() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let made = flux.run_json(&["keys", "create", "--json", "--expires-in-days", "1", "--name", "short-lived"]);
    let bearer = format!("Bearer {}", made["key"].as_str().expect("a key"));
    let status = || chat_with(&flux, "authorization", &bearer, &ask_chat("gpt-4o-mini")).status;
    wait_for("the new key to work", || status() == 200);
    // Nobody waits a day: the date is moved, as another process would.
    let db = rusqlite::Connection::open(flux.data_dir().join("flux.db")).expect("the key store");
    db.busy_timeout(super::harness::WAIT_MAX).expect("a busy time-out");
    let moved = db.execute("UPDATE keys SET expires_at = 1000 WHERE name = 'short-lived'", []).expect("moved");
    assert_eq!(moved, 1);
    wait_for("the expired key to be refused", || status() == 401);
    flux.chat(&ask_chat("gpt-4o-mini")).expect_status(200);
}

#[test]
fn t64_a_key_that_was_refused_before_it_existed_works_once_it_is_made() {
    // A new key is random, so nobody can have tried it before. Here the key comes first, and its row later.
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let raw = "sk-flux-0123456789abcdefghijABCDEFGHIJ0123456789";
    let bearer = format!("Bearer {raw}");
    let status = || chat_with(&flux, "authorization", &bearer, &ask_chat("gpt-4o-mini")).status;
    assert_eq!([status(), status()], [401, 401]);
    let hash = <sha2::Sha256 as sha2::Digest>::digest(raw.as_bytes()).to_vec();
    let db = rusqlite::Connection::open(flux.data_dir().join("flux.db")).expect("the key store");
    db.busy_timeout(super::harness::WAIT_MAX).expect("a busy time-out");
    let row = rusqlite::params![hash, &raw[..16]];
    let made = db.execute(
        "INSERT INTO keys (account_id, hash, prefix, name, kind, created_at) SELECT MIN(id), ?1, ?2, '', 'live', 1 FROM accounts",
        row,
    );
    assert_eq!(made.expect("a row"), 1);
    wait_for("the key to work", || status() == 200);
}

#[test]
fn keys_are_not_stored_raw() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let made = flux.run_json(&["keys", "create", "--json"]);
    flux.chat(&ask_chat("gpt-4o-mini")).expect_status(200);
    flux.only_row();
    let keys = [flux.key.clone(), flux.test_key.clone(), made["key"].as_str().expect("a key").to_owned()];
    for entry in std::fs::read_dir(flux.data_dir()).expect("a folder").flatten() {
        if entry.file_name() == "keys-of-the-test.json" || !entry.path().is_file() {
            continue;
        }
        let bytes = std::fs::read(entry.path()).expect("a file");
        for key in &keys {
            assert!(!contains(&bytes, key.as_bytes()), "{:?} holds a raw key", entry.file_name());
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn t68_a_flood_of_unknown_keys_costs_no_database_read() {
    const KEYS: usize = 3000;
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    flux.chat(&ask_chat("gpt-4o-mini")).expect_status(200);
    flux.only_row();
    // Sockets are read with recv, which this does not count; database pages are read with pread, which it does.
    let reads = || {
        let io = std::fs::read_to_string(format!("/proc/{}/io", flux.pid())).expect("the process's counters");
        let line = io.lines().find_map(|line| line.strip_prefix("syscr: ")).expect("syscr");
        line.parse::<usize>().expect("a number")
    };
    let before = reads();
    let mut conn = flux.connect();
    let body = ask_chat("gpt-4o-mini").to_string();
    for i in 0..KEYS {
        let bearer = format!("Bearer sk-flux-{i:048}");
        let bytes = request("POST", "/v1/chat/completions", &[("authorization", &bearer)], body.as_bytes());
        let reply = conn.ask(&bytes);
        assert_eq!(reply.status, 401);
        if reply.headers.get("connection") == Some("close") {
            conn = flux.connect();
        }
    }
    let cost = reads() - before;
    assert!(cost < KEYS / 2, "{cost} reads for {KEYS} unknown keys");
    flux.chat(&ask_chat("gpt-4o-mini")).expect_status(200);
}

#[test]
fn t72_a_test_key_never_reaches_a_provider_and_costs_nothing() {
    let (openai, anthropic) = (Provider::openai(), Provider::anthropic());
    let flux = Setup::with(&[&openai, &anthropic]).start();
    let made = flux.run_json(&["keys", "create", "--json", "--test"]);
    let made = made["key"].as_str().expect("a key").to_owned();
    assert!(made.starts_with("sk-flux-test-"), "{made}");
    let other = flux.run_json(&["keys", "create", "--json", "--test", "--scheme", "conflux"]);
    let other = other["key"].as_str().expect("a key").to_owned();
    assert!(other.starts_with("cf_test_"), "{other}");
    for key in [flux.test_key.clone(), made, other] {
        let bearer = format!("Bearer {key}");
        wait_for("the test key to work", || {
            chat_with(&flux, "authorization", &bearer, &ask_chat("gpt-4o-mini")).status == 200
        });
        let once = chat_with(&flux, "authorization", &bearer, &ask_chat("gpt-4o-mini"));
        let twice = chat_with(&flux, "authorization", &bearer, &ask_chat("gpt-4o-mini"));
        assert_eq!(answer_of(&once), answer_of(&twice), "deterministic");
        assert_eq!(once.cost_nano(), 0);
        let streamed = chat_with(&flux, "authorization", &bearer, &ask_chat_stream("gpt-4o-mini")).expect_status(200);
        assert_eq!(Value::from(sse::chat_text(&streamed.body)), answer_of(&once));
        assert!(streamed.text().ends_with("data: [DONE]\n\n"), "{}", streamed.text());

        let message =
            messages_with(&flux, "x-api-key", &key, &ask_messages("claude-3-5-haiku-latest")).expect_status(200);
        let text = message.json()["content"][0]["text"].as_str().expect("text").to_owned();
        let streamed = messages_with(&flux, "x-api-key", &key, &ask_messages_stream("claude-3-5-haiku-latest"));
        assert_eq!(sse::messages_text(&streamed.body), text);
        let names: Vec<String> = sse::events(&streamed.body).into_iter().map(|event| event.name).collect();
        assert_eq!(names.first().map(String::as_str), Some("message_start"));
        assert_eq!(names.last().map(String::as_str), Some("message_stop"));
    }
    assert_eq!((openai.count(), anthropic.count()), (0, 0));
    let sum: i64 = flux.ledger().iter().map(super::ledger::Row::amount_nano).sum();
    assert_eq!(sum, 0);
}

fn answer_of(reply: &Reply) -> Value {
    reply.json()["choices"][0]["message"]["content"].clone()
}

#[test]
fn a_live_key_of_the_other_scheme_is_charged() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let made = flux.run_json(&["keys", "create", "--json", "--scheme", "conflux"]);
    let key = made["key"].as_str().expect("a key").to_owned();
    assert!(key.starts_with("cf_live_"), "{key}");
    wait_for("the key to work", || chat_with(&flux, "x-api-key", &key, &ask_chat("gpt-4o-mini")).status == 200);
    assert!(flux.only_row().amount_nano() > 0);
}

#[test]
fn t72_a_test_key_sees_no_faults_and_all_models_without_any_provider() {
    let flux = Setup::with(&[]).env("FLUX_MOCK__MODE", "off").env("FLUX_MOCK__FAULT", "server_error").start();
    let bearer = format!("Bearer {}", flux.test_key);
    chat_with(&flux, "authorization", &bearer, &ask_chat("flux-auto")).expect_status(200);
    let list = |bearer: &str| flux.ask(&request("GET", "/v1/models", &[("authorization", bearer)], b""));
    let count = |reply: Reply| reply.expect_status(200).json()["data"].as_array().expect("models").len();
    assert!(count(list(&bearer)) > 40);
    assert_eq!(count(list(&flux.bearer())), 0);
    let error = assert_chat_error(&flux.chat(&ask_chat("flux-auto")), 503);
    assert!(error["message"].as_str().expect("a message").contains("\"flux-auto\""), "{error}");
}

#[test]
fn t72_a_test_key_gets_tool_calls_when_tools_are_offered() {
    let flux = Setup::with(&[]).start();
    let bearer = format!("Bearer {}", flux.test_key);
    let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    let mut chat = ask_chat("gpt-4o-mini");
    chat["tools"] = json!([{"type": "function", "function": {"name": "weather", "parameters": parameters}}]);
    let reply = chat_with(&flux, "authorization", &bearer, &chat).expect_status(200).json();
    let call = &reply["choices"][0]["message"]["tool_calls"][0];
    assert_eq!(call["function"]["name"], "weather", "{reply}");
    let arguments = call["function"]["arguments"].as_str().expect("arguments are a string");
    assert!(serde_json::from_str::<Value>(arguments).expect("arguments are JSON").is_object());
    assert_eq!(reply["choices"][0]["finish_reason"], "tool_calls");

    let mut message = ask_messages("claude-3-5-haiku-latest");
    message["tools"] = json!([{"name": "weather", "input_schema": parameters}]);
    let reply = messages_with(&flux, "x-api-key", &flux.test_key, &message).expect_status(200).json();
    assert_eq!(reply["stop_reason"], "tool_use", "{reply}");
    let blocks = reply["content"].as_array().expect("blocks");
    assert!(
        blocks
            .iter()
            .any(|block| block["type"] == "tool_use" && block["name"] == "weather" && block["input"].is_object())
    );
}

#[test]
fn t70_secrets_and_content_are_in_no_log_error_or_metric() {
    const PROMPT: &str = "PROMPT-MARKER-8271";
    const ANSWER: &str = "ANSWER-MARKER-1944";
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let printed_at_start = flux.stdout().matches(&flux.key).count();
    let say = |model: &str| json!({"model": model, "messages": [{"role": "user", "content": PROMPT}], "user": PROMPT});
    openai.always(super::answers::chat(ANSWER, super::answers::chat_usage(10, 5)));
    flux.chat(&say("gpt-4o-mini")).expect_status(200);
    let mut streamed = say("gpt-4o-mini");
    streamed["stream"] = true.into();
    flux.chat(&streamed).expect_status(200);
    flux.wait_for_rows(2);
    openai.always(|_| {
        super::answers::Answer::bytes(
            400,
            &[("content-type", "application/json")],
            format!("{{\"error\":{{\"message\":\"{PROMPT}\"}}}}").as_bytes(),
        )
    });
    flux.chat(&say("gpt-4o-mini"));
    flux.chat(&say(PROMPT)).expect_status(404);
    flux.ask(&flux.chat_request(format!("{{\"model\":\"gpt-4o-mini\",\"{PROMPT}").as_bytes())).expect_status(400);
    openai.always(|_| super::answers::Answer::failure(500));
    let failed = flux.chat(&say("gpt-4o-mini")).expect_status(503);
    chat_with(&flux, "authorization", "Bearer sk-flux-someone-elses-secret-key-000000", &say("x")).expect_status(401);
    wait_for("the log of the last request", || flux.request_lines().len() >= 6);

    let printed = [flux.log(), flux.private_get("/metrics").text(), failed.text()];
    let secrets = [openai.key(), &flux.key, &flux.test_key, "someone-elses-secret", PROMPT, ANSWER];
    for text in &printed {
        for secret in secrets {
            assert!(!text.contains(secret), "{secret} is in:\n{text}");
        }
    }
    assert!(!flux.stdout().contains(openai.key()));
    assert_eq!(flux.stdout().matches(&flux.key).count(), printed_at_start, "a key is printed on the first start only");
    for entry in std::fs::read_dir(flux.data_dir()).expect("a folder").flatten().filter(|entry| entry.path().is_file())
    {
        let bytes = std::fs::read(entry.path()).expect("a file");
        for secret in [openai.key(), PROMPT, ANSWER] {
            assert!(!contains(&bytes, secret.as_bytes()), "{secret} is in {:?}", entry.file_name());
        }
    }
}

#[test]
fn a_key_with_odd_bytes_is_refused() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let long = "k".repeat(6000);
    let both = format!("Bearer {}, Bearer {}", flux.key, flux.key);
    let padded = format!("Bearer  {} ", flux.key);
    for value in [long.as_str(), both.as_str(), "Bearer", "Bearer \u{00e9}\u{00e9}"] {
        let reply = chat_with(&flux, "authorization", value, &ask_chat("gpt-4o-mini"));
        assert!((400..=431).contains(&reply.status), "{} for {value:.20}", reply.status);
    }
    // Spaces around a value are the framing's, so either answer is right, a crash is not.
    assert!([200, 401].contains(&chat_with(&flux, "authorization", &padded, &ask_chat("gpt-4o-mini")).status));
}

#[test]
fn two_headers_of_one_kind_are_refused() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let made = flux.run_json(&["keys", "create", "--json"]);
    let other = made["key"].as_str().expect("a key").to_owned();
    wait_for("the new key to work", || chat_with(&flux, "x-api-key", &other, &ask_chat("gpt-4o-mini")).status == 200);
    let (asked, body) = (openai.count(), ask_chat("gpt-4o-mini").to_string());
    let bearers = [flux.bearer(), format!("Bearer {other}")];
    let twice = |name, first: &str, second: &str| {
        request("POST", "/v1/chat/completions", &[(name, first), (name, second)], body.as_bytes())
    };
    for (name, [first, second]) in [("authorization", bearers), ("x-api-key", [flux.key.clone(), other])] {
        assert_chat_error(&flux.ask(&twice(name, &first, &second)), 401);
        assert_chat_error(&flux.ask(&twice(name, &second, &first)), 401);
    }
    assert_eq!(openai.count(), asked);
}

#[test]
fn two_different_keys_in_one_request_are_not_mixed_up() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let bearer = flux.bearer();
    let headers = [
        ("authorization", bearer.as_str()),
        ("x-api-key", flux.test_key.as_str()),
        ("content-type", "application/json"),
    ];
    let body = ask_chat("gpt-4o-mini").to_string();
    let reply = flux.ask(&request("POST", "/v1/chat/completions", &headers, body.as_bytes()));
    // One of them decides, or it is refused; what is charged must fit what was asked.
    match reply.status {
        200 => assert_eq!(reply.cost_nano() > 0, openai.count() == 1),
        status => assert!([400, 401].contains(&status), "{status}"),
    }
}
