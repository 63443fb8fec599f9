//! Caps that hold, limits that are exact, and what clients are told of both: a real server before strict providers.
//!
//! Must not know how money is held: it counts what the ledger says and what clients were told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rusqlite::Connection;
use serde_json::json;

use super::answers::{self, Answer};
use super::harness::{Flux, Setup, ask_chat, ask_chat_stream, ask_messages_stream, spawn, wait_for};
use super::http::{Conn, Reply};
use super::provider::Provider;
use super::speakers::Speaker;
use super::sse;

/// What a request costs that the mock providers answer with 1,000 and 500 tokens, on the fast lane.
const LANE_COST_NANO: i64 = 3_000_000;

/// Changes account 1 or its key 1 as another process would, and waits until the server has taken it in.
#[track_caller]
fn arrange(flux: &Flux, sql: &str) {
    let database = Connection::open(flux.data_dir().join("flux.db")).expect("a database");
    database.busy_timeout(std::time::Duration::from_secs(10)).expect("a time-out");
    let marker: i64 = database.query_row("SELECT count(*) FROM keys", [], |row| row.get(0)).expect("keys");
    database.execute_batch(sql).expect("arranged");
    // Keys are read after accounts: a new key that works tells that the change is in.
    let key = flux.run_json(&["keys", "create", "--json", "--test", "--name", &format!("marker {marker}")]);
    let bearer = format!("Bearer {}", key["key"].as_str().expect("a key"));
    wait_for("the change to be taken in", || {
        let request = super::http::request("GET", "/v1/models", &[("authorization", &bearer)], b"");
        flux.ask(&request).status == 200
    });
}

pub(super) fn cap(flux: &Flux, nano: i64) {
    arrange(flux, &format!("UPDATE accounts SET cap_nano = {nano} WHERE id = 1"));
}

fn fast(flux: &Flux) -> Reply {
    flux.chat(&ask_chat("flux-fast"))
}

#[track_caller]
fn assert_books(flux: &Flux) {
    let report = flux.run_json(&["reconcile", "--json"]);
    assert_eq!(report["ok"], true, "{report:#}");
}

/// T-24: a thousand at once on one dollar. Each costs 0.003, more than its prompt lets one guess.
#[test]
fn t24_a_thousand_at_once_spend_no_more_than_the_cap() {
    const CAP_NANO: i64 = 1_000_000_000;
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    cap(&flux, CAP_NANO);
    let request = Arc::new(flux.chat_request(ask_chat("flux-fast").to_string().as_bytes()));
    let (paid, refused) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..20)
        .map(|_| {
            let (addr, request) = (flux.addr, Arc::clone(&request));
            let (paid, refused) = (Arc::clone(&paid), Arc::clone(&refused));
            spawn(move || {
                let mut conn = Conn::open(addr);
                for _ in 0..50 {
                    match conn.ask(&request).status {
                        200 => paid.fetch_add(1, Ordering::Relaxed),
                        402 => refused.fetch_add(1, Ordering::Relaxed),
                        other => panic!("status {other}"),
                    };
                }
            })
        })
        .collect();
    for client in clients {
        client.join().expect("a client");
    }
    let (paid, refused) = (paid.load(Ordering::Relaxed), refused.load(Ordering::Relaxed));
    assert_eq!(paid + refused, 1_000);
    let rows = flux.wait_for_rows(paid);
    let spent: i64 = rows.iter().map(super::ledger::Row::amount_nano).sum();
    assert!(spent <= CAP_NANO, "{spent} of {CAP_NANO}");
    // What fits is not refused for ever: the last request takes what is left.
    while fast(&flux).status == 200 {}
    let rows = flux.ledger().len();
    wait_for("the last rows", || flux.ledger().len() >= rows);
    let spent: i64 = flux.ledger().iter().map(super::ledger::Row::amount_nano).sum();
    assert!(spent <= CAP_NANO && spent > CAP_NANO - LANE_COST_NANO, "{spent} of {CAP_NANO}");
    assert_books(&flux);
}

/// T-27: what was spent counts after a restart, also after `kill -9`.
#[test]
fn t27_a_cap_survives_kill_and_restart() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    cap(&flux, 3 * LANE_COST_NANO);
    assert_eq!((fast(&flux).status, fast(&flux).status), (200, 200));
    let data = flux.kill();
    let flux = Setup::with(&[&openai]).data(&data).start();
    let mut told = 0;
    loop {
        let reply = fast(&flux);
        if reply.status != 200 {
            break;
        }
        told += reply.cost_nano();
    }
    assert_eq!(told, LANE_COST_NANO);
    assert_books(&flux);
}

/// T-32: 402 in the words of each format, with Conflux's flat fields, and nobody is told to try again.
#[test]
fn t32_402_is_told_in_each_format() {
    let (openai, anthropic) = (Provider::openai(), Provider::anthropic());
    let flux = Setup::with(&[&openai, &anthropic]).start();
    arrange(&flux, "UPDATE accounts SET tariff = 'credits-free', cap_nano = 1000 WHERE id = 1");
    for speaker in Speaker::ALL {
        let reply = speaker.send(&flux, &speaker.question("flux-fast", "Say hello.", false));
        assert_eq!(reply.status, 402, "{}", reply.text());
        assert_eq!(reply.header("x-should-retry"), "false");
        assert_eq!(reply.headers.get("retry-after"), None);
        assert_eq!(reply.headers.get("x-ratelimit-limit-requests"), None);
        let body = reply.json();
        let kind = if speaker == Speaker::Messages { "billing_error" } else { "insufficient_quota" };
        assert_eq!(body["error"]["type"], kind, "{body}");
        assert_eq!(body["balance"], 0.0001, "{body}");
        assert!(body["estimated_cost"].as_f64().is_some_and(|cost| cost > 0.0001), "{body}");
        assert!(body["reset"].as_u64().is_some_and(|reset| reset > 1_790_000_000), "{body}");
    }
    assert!(openai.requests().is_empty() && anthropic.requests().is_empty());
}

#[test]
fn an_answer_is_bounded_to_what_is_left() {
    let (openai, anthropic) = (Provider::openai(), Provider::anthropic());
    let flux = Setup::with(&[&openai, &anthropic]).start();
    // 0.01 USD on the fast lane: 2,500 tokens less the prompt's.
    cap(&flux, 10_000_000);
    let asked = [
        json!({"model": "flux-fast", "messages": [{"role": "user", "content": "hi"}]}),
        json!({"model": "flux-fast", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 100_000}),
    ];
    for body in asked {
        let reply = flux.chat(&body).expect_status(200);
        let limit: u64 = reply.header("x-flux-output-limit").parse().expect("a number");
        assert!((2_000..2_500).contains(&limit), "{limit}");
        let sent = openai.only().json();
        let field = if body["max_tokens"].is_null() { "max_completion_tokens" } else { "max_tokens" };
        assert_eq!(sent[field], limit, "{sent}");
        openai.forget();
        cap(&flux, 10_000_000 + 3_000_000);
    }
    // A wish that fits is left alone.
    cap(&flux, 1_000_000_000);
    let reply = fast(&flux).expect_status(200);
    assert_eq!(reply.headers.get("x-flux-output-limit"), None);
    assert_eq!(openai.only().json()["max_tokens"], 100);
    // Translated, too.
    cap(&flux, 9_000_000 + 20_000_000);
    let body =
        json!({"model": "claude-haiku-5-5", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 60_000});
    let reply = flux.chat(&body).expect_status(200);
    let limit: u64 = reply.header("x-flux-output-limit").parse().expect("a number");
    assert_eq!(anthropic.only().json()["max_tokens"], limit);
    assert!(limit < 60_000);
}

/// An endless answer of a provider that heeds no limit: a hundred bytes an event.
fn endless(events: impl Fn(&str) -> Vec<String>) -> Answer {
    let event = events(&"0123456789 ".repeat(40)).concat();
    Answer::sse(&vec![event; 60])
}

#[test]
fn a_stream_ends_in_its_format_where_the_money_does() {
    let (openai, anthropic) = (Provider::openai(), Provider::anthropic());
    let flux = Setup::with(&[&openai, &anthropic]).start();
    let mut capped = 0;
    for (n, is_messages, model) in
        [(1_i64, false, "flux-pinned-gpt-5-4-mini"), (2, true, "flux-pinned-claude-haiku-5-5")]
    {
        let limit_nano = 2_000_000 * n;
        cap(&flux, limit_nano + capped);
        let reply = if is_messages {
            let start = answers::messages_stream(&["x"], &json!({"input_tokens": 10, "output_tokens": 1}), 5);
            let (begin, delta) = (start[..3].concat(), start[3].clone());
            let text = delta.replace("\"x\"", &format!("\"{}\"", "0123456789 ".repeat(40)));
            anthropic.next(Answer::sse(&[vec![begin], vec![text; 60]].concat()));
            flux.messages(&ask_messages_stream(model))
        } else {
            openai.next(endless(|text| vec![answers::chat_event(&json!({"content": text}), None)]));
            flux.chat(&ask_chat_stream(model))
        };
        assert_eq!(reply.status, 200, "{}", reply.text());
        let events = sse::events(&reply.body);
        if is_messages {
            let names: Vec<_> = events.iter().rev().take(3).map(|event| event.json()["type"].clone()).collect();
            assert_eq!(names, ["message_stop", "message_delta", "content_block_stop"], "{}", reply.text());
            assert_eq!(events[events.len() - 2].json()["delta"]["stop_reason"], "max_tokens");
        } else {
            assert!(reply.text().ends_with("data: [DONE]\n\n"), "{}", reply.text());
            assert_eq!(events[events.len() - 2].json()["choices"][0]["finish_reason"], "length");
        }
        assert!(events.len() < 60, "{} events", events.len());
        let rows = flux.wait_for_rows(usize::try_from(n).expect("small"));
        let row = rows.iter().find(|row| row.text("ending") == "capped").expect("a capped row");
        assert!(row.amount_nano() > 0);
        let spent: i64 = rows.iter().map(super::ledger::Row::amount_nano).sum();
        assert!(spent <= limit_nano + capped, "{spent}");
        capped = spent;
    }
    assert_books(&flux);
}

#[test]
fn a_translated_stream_ends_where_the_money_does() {
    let anthropic = Provider::anthropic();
    let flux = Setup::with(&[&anthropic]).start();
    for speaker in [Speaker::Chat, Speaker::Responses] {
        let spent: i64 = flux.ledger().iter().map(super::ledger::Row::amount_nano).sum();
        cap(&flux, spent + 3_000_000);
        let start = answers::messages_stream(&["x"], &json!({"input_tokens": 10, "output_tokens": 1}), 5);
        let text = start[3].replace("\"x\"", &format!("\"{}\"", "0123456789 ".repeat(40)));
        anthropic.next(Answer::sse(&[vec![start[..3].concat()], vec![text; 60]].concat()));
        let reply = speaker.send(&flux, &speaker.question("flux-pinned-claude-haiku-5-5", "Say hello.", true));
        assert_eq!(reply.status, 200, "{}", reply.text());
        let text = reply.text();
        match speaker {
            Speaker::Responses => {
                assert!(text.contains("\"response.incomplete\"") && text.contains("max_output_tokens"), "{text}");
            }
            Speaker::Chat | Speaker::Messages => {
                assert!(text.contains("\"finish_reason\":\"length\"") && text.ends_with("data: [DONE]\n\n"), "{text}");
            }
        }
        wait_for("the row", || flux.ledger().iter().any(|row| row.text("ending") == "capped"));
    }
    assert_books(&flux);
}

/// T-30: sixty a minute are sixty within any minute.
#[test]
fn t30_the_sixty_first_request_of_a_minute_is_refused() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    arrange(&flux, "UPDATE accounts SET tariff = 'payg' WHERE id = 1");
    for n in (0..60).rev() {
        let reply = fast(&flux).expect_status(200);
        assert_eq!(reply.header("x-ratelimit-limit-requests"), "60");
        assert_eq!(reply.header("x-ratelimit-remaining-requests"), n.to_string());
    }
    let reply = fast(&flux).expect_status(429);
    let wait: u64 = reply.header("retry-after").parse().expect("seconds");
    assert!((1..=60).contains(&wait));
    assert_eq!(reply.header("x-should-retry"), "true");
    assert_eq!(reply.header("x-ratelimit-remaining-requests"), "0");
    let body = reply.json();
    assert_eq!(
        (&body["error"]["code"], &body["limit"], &body["remaining"]),
        (&json!("rate_limit_exceeded"), &json!(60), &json!(0))
    );
    let reply = flux.messages(&super::harness::ask_messages("flux-fast")).expect_status(429);
    assert_eq!(reply.json()["error"]["type"], "rate_limit_error");
    assert_eq!(reply.header("anthropic-ratelimit-requests-limit"), "60");
    assert_eq!(openai.count(), 60);
    // T-25: every endpoint of the key is limited, test keys as well.
    let reply = flux.ask(&super::http::request(
        "POST",
        "/v1/embeddings",
        &[("authorization", &flux.bearer())],
        br#"{"model":"text-embedding-3-small","input":"x"}"#,
    ));
    assert_eq!(reply.status, 429);
}

#[test]
fn tokens_a_minute_and_requests_at_once_are_limited() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    arrange(&flux, "UPDATE keys SET tokens_per_minute = 2000, concurrent = 1 WHERE id = 1");
    // Counted ahead: the prompt and 100. Used: 1,500.
    let reply = fast(&flux).expect_status(200);
    assert_eq!(reply.header("x-ratelimit-limit-tokens"), "2000");
    let reply = flux.chat(&json!({"model": "flux-fast", "messages": [], "max_tokens": 500})).expect_status(429);
    assert_eq!(reply.json()["error"]["type"], "tokens");
    let too_large = flux.chat(&json!({"model": "flux-fast", "messages": [], "max_tokens": 5_000})).expect_status(429);
    assert!(
        too_large.json()["error"]["message"].as_str().is_some_and(|text| text.contains("alone")),
        "{}",
        too_large.text()
    );

    arrange(&flux, "UPDATE keys SET tokens_per_minute = NULL WHERE id = 1");
    let gate = answers::Gate::default();
    openai.next(Answer::json(200, &answers::chat_body("late", &answers::chat_usage(10, 5))).after(&gate));
    let mut first = flux.connect();
    first.write(&flux.chat_request(ask_chat("flux-fast").to_string().as_bytes()));
    openai.wait_for_requests(2);
    let reply = fast(&flux).expect_status(429);
    assert_eq!(reply.json()["limit"], 1);
    gate.open();
    first.reply().expect_status(200);
    wait_for("the place to come back", || fast(&flux).status == 200);
}

#[test]
fn a_key_has_its_own_budget_and_models() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    arrange(
        &flux,
        "UPDATE keys SET budget_nano = 4000000, budget_reset = 'day', shows_balance = 1, allowed = '[\"flux-fast\",\"flux-auto\"]' WHERE id = 1",
    );
    let reply = fast(&flux).expect_status(200);
    // What this request itself holds, in micro-USD.
    assert!(reply.header("x-flux-held").parse::<u64>().is_ok_and(|held| held > 0));
    assert_eq!(fast(&flux).expect_status(200).cost_nano(), 1_000_000);
    let body = fast(&flux).expect_status(402).json();
    assert_eq!((&body["error"]["code"], &body["limit"]), (&json!("key_budget_exceeded"), &json!(0.004)));
    let refused = flux.chat(&ask_chat("flux-reasoning")).expect_status(403);
    assert_eq!(refused.json()["error"]["param"], "model");
    assert_eq!(flux.chat(&ask_chat("flux-auto")).status, 402);
}

/// T-08, T-04: what a request held comes back, however it ends.
#[test]
fn t08_failures_give_back_what_was_held() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    arrange(&flux, "UPDATE keys SET shows_balance = 1 WHERE id = 1");
    cap(&flux, 4_000_000);
    for _ in 0..8 {
        openai.next(Answer::failure(500));
        assert_eq!(flux.chat(&ask_chat("flux-pinned-gpt-5-4-mini")).status, 503);
        openai.next(Answer::json(400, &json!({"error": {"message": "no", "type": "invalid_request_error"}})));
        assert_eq!(flux.chat(&ask_chat("flux-pinned-gpt-5-4-mini")).status, 400);
    }
    let reply = fast(&flux).expect_status(200);
    assert_eq!(reply.cost_nano(), LANE_COST_NANO);
    let report = flux.run_json(&["reconcile", "--json"]);
    assert_eq!(report["ok"], true, "{report:#}");
}

/// The same idempotency key and body is paid once, over a restart too.
#[test]
fn a_request_with_an_idempotency_key_is_paid_once() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let ask = |flux: &Flux, key: &str, text: &str| {
        let body = json!({"model": "flux-fast", "messages": [{"role": "user", "content": text}]}).to_string();
        let bearer = flux.bearer();
        let headers =
            [("authorization", bearer.as_str()), ("idempotency-key", key), ("content-type", "application/json")];
        flux.ask(&super::http::request("POST", "/v1/chat/completions", &headers, body.as_bytes()))
    };
    assert_eq!(ask(&flux, "one", "hi").expect_status(200).cost_nano(), LANE_COST_NANO);
    let repeated = ask(&flux, "one", "hi").expect_status(200);
    assert_eq!((repeated.cost_nano(), repeated.header("x-flux-repeated")), (0, "true"));
    let other = ask(&flux, "one", "ho").expect_status(400);
    assert_eq!(other.json()["error"]["param"], "Idempotency-Key");
    // A failure is not an answer: what follows it is a first one.
    openai.next(Answer::json(400, &json!({"error": {"message": "no", "type": "invalid_request_error"}})));
    assert_eq!(ask(&flux, "two", "hi").status, 400);
    assert_eq!(ask(&flux, "two", "hi").expect_status(200).cost_nano(), LANE_COST_NANO);

    let gate = answers::Gate::default();
    openai.next(Answer::json(200, &answers::chat_body("late", &answers::chat_usage(10, 5))).after(&gate));
    let (addr, bearer) = (flux.addr, flux.bearer());
    let first = spawn(move || {
        let headers =
            [("authorization", bearer.as_str()), ("idempotency-key", "three"), ("content-type", "application/json")];
        let body = json!({"model": "flux-fast", "messages": [{"role": "user", "content": "hi"}]}).to_string();
        Conn::open(addr).ask(&super::http::request("POST", "/v1/chat/completions", &headers, body.as_bytes())).status
    });
    openai.wait_for_requests(5);
    let clash = ask(&flux, "three", "hi").expect_status(409);
    assert_eq!(clash.json()["error"]["code"], "idempotency_conflict");
    gate.open();
    assert_eq!(first.join().expect("a client"), 200);

    let data = flux.kill();
    let flux = Setup::with(&[&openai]).data(&data).start();
    assert_eq!(ask(&flux, "one", "hi").expect_status(200).cost_nano(), 0);
    assert_books(&flux);
}

/// T-68: guessing keys is slowed down, and others at the same address are served.
#[test]
fn t68_a_flood_of_wrong_keys_from_one_address_is_shed() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).env("FLUX_LIMITS__UNKNOWN_KEYS_PER_SECOND", "5").start();
    let mut conn = flux.connect();
    let mut wrong = |n: usize| {
        let bearer = format!("Bearer sk-flux-wrong{n}");
        conn.ask(&super::http::request("GET", "/v1/models", &[("authorization", &bearer)], b"")).status
    };
    wait_for("a flood to be shed", || (0..50).map(&mut wrong).any(|status| status == 429));
    fast(&flux).expect_status(200);
}

/// T-41: too much at once is turned away early, with a time to come back, and those at work are not disturbed.
#[test]
fn t41_overload_is_shed_before_the_body_is_read() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).env("FLUX_LIMITS__IN_FLIGHT_MAX", "1").start();
    let gate = answers::Gate::default();
    openai.next(Answer::json(200, &answers::chat_body("late", &answers::chat_usage(10, 5))).after(&gate));
    let mut first = flux.connect();
    first.write(&flux.chat_request(ask_chat("flux-fast").to_string().as_bytes()));
    openai.wait_for_requests(1);
    let shed = fast(&flux).expect_status(503);
    assert_eq!((shed.header("retry-after"), shed.header("x-should-retry")), ("1", "true"));
    gate.open();
    first.reply().expect_status(200);
    wait_for("the place to come back", || fast(&flux).status == 200);
}
