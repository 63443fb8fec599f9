//! The books under corrections, crowds and many keys: what was settled stays, and nothing waits for ever.
//!
//! Must not know how anything is booked: it counts what the ledger says and what clients were told.

use std::sync::Arc;

use rusqlite::Connection;
use serde_json::{Value, json};

use super::api::Caller;
use super::config::{copy_of_conf, edit};
use super::harness::{Flux, Setup, ask_chat, now, spawn, wait_for};
use super::http::{Conn, nano, request};
use super::provider::Provider;

#[track_caller]
fn assert_books(flux: &Flux) {
    let report = flux.run_json(&["reconcile", "--json"]);
    assert_eq!(report["ok"], true, "{report:#}");
}

/// T-23: a price that is corrected changes what explanations compute, and nothing that was settled.
#[test]
fn t23_a_corrected_price_leaves_what_was_settled() {
    let openai = Provider::openai();
    let conf = copy_of_conf();
    let dir = conf.path().to_owned();
    let flux = Setup::with(&[&openai]).holding(conf).start();
    let caller = Caller::new(&flux, &flux.key);
    let settled = caller.chat("flux-fast").expect_status(200);
    let (cost, id) = (settled.cost_nano(), settled.header("x-request-id").to_owned());
    let told = || {
        let row = caller.get(&format!("/v1/usage/{id}")).expect_status(200).json();
        let usd = |value: &Value| nano(value.as_str().expect("a decimal"));
        let calculation = &row["calculation"];
        let figures = (usd(&row["cost_usd"]), usd(&calculation["price_usd"]), calculation["agrees"].clone());
        let sums = caller.get("/v1/usage?group_by=lane").expect_status(200).json();
        let credits = caller.get("/v1/credits").expect_status(200).json();
        (figures, usd(&sums["total"]["cost_usd"]), usd(&credits["used"]))
    };
    assert_eq!(told(), ((cost, cost, json!(true)), cost, cost));
    let price = "price = { input = \"1\", output = \"4\" }";
    edit(&dir, "lanes.toml", price, "price = { input = \"2\", output = \"8\" }");
    wait_for("the other price", || told().0.1 != cost);
    assert_eq!(told(), ((cost, 2 * cost, json!(false)), cost, cost));
    // What is asked from now on costs what the list says now.
    let dearer = caller.chat("flux-fast").expect_status(200).cost_nano();
    assert_eq!(dearer, 2 * cost);
    assert_eq!(told(), ((cost, 2 * cost, json!(false)), cost + dearer, cost + dearer));
    flux.wait_for_rows(2);
    assert_books(&flux);
}

/// T-33: clients that spend from the same purses in every order, beside operators who change them.
#[test]
fn t33_a_crowd_on_the_same_purses_never_stands_still() {
    const CLIENTS: usize = 8;
    const EACH: usize = 24;
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let make = |account: &str| {
        let arguments = ["--budget-usd", "50", "--budget-period", "total"];
        Caller::of_account(&flux, account, &arguments).into_key()
    };
    let keys: Arc<Vec<String>> = Arc::new(["one", "two", "one", "two"].map(make).into());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (addr, keys) = (flux.addr, Arc::clone(&keys));
            spawn(move || {
                let mut conn = Conn::open(addr);
                for n in 0..EACH {
                    // Half of the clients go one way round, half the other.
                    let turn = if client % 2 == 0 { client + n } else { CLIENTS * EACH + client - n };
                    let bearer = format!("Bearer {}", keys[turn % keys.len()]);
                    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
                    let body = ask_chat("flux-fast").to_string();
                    let reply = conn.ask(&request("POST", "/v1/chat/completions", &headers, body.as_bytes()));
                    assert_eq!(reply.status, 200, "{}", reply.text());
                }
            })
        })
        .collect();
    let mut turn = 0;
    while clients.iter().any(|client| !client.is_finished()) {
        turn += 1;
        let account = if turn % 2 == 0 { "one" } else { "two" };
        flux.run_json(&["accounts", "set", account, "--cap-usd", &format!("{}", 100 + turn), "--json"]);
        flux.run_json(&["accounts", "add-pack", account, "--credits", "1", "--price-usd", "1", "--json"]);
        flux.run_json(&["usage", "--by", "key", "--json"]);
    }
    for client in clients {
        client.join().expect("a client");
    }
    flux.wait_for_rows(CLIENTS * EACH);
    assert_books(&flux);
}

/// Seconds of processor time that a process has used.
fn cpu_seconds(pid: u32) -> f64 {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    let ticks = |index: usize| fields[index].parse::<f64>().expect("ticks");
    (ticks(11) + ticks(12)) / TICKS_PER_SECOND
}

/// T-31: budgets begin anew when they are next asked for; nothing goes through all keys to do so.
#[test]
fn t31_a_hundred_thousand_budgets_cost_nothing_while_nobody_asks() {
    const KEYS: u32 = 99_000;
    let openai = Provider::openai();
    let data = Setup::with(&[&openai]).start().kill();
    let database = Connection::open(data.path().join("flux.db")).expect("a database");
    let seed = format!(
        "PRAGMA synchronous = OFF; BEGIN;
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {KEYS})
         INSERT INTO keys (account_id, hash, prefix, name, kind, created_at, budget_nano, budget_reset)
            SELECT 1, randomblob(32), printf('sk-flux-%08d', i), '', 'live', 1, 5000000000, 'day' FROM n;
         COMMIT"
    );
    database.execute_batch(&seed).expect("keys");
    drop(database);
    let flux = Setup::with(&[&openai]).data(&data).start();
    let caller = Caller::new(&flux, &flux.key);
    let began = now();
    let before = cpu_seconds(flux.pid());
    wait_for("two seconds", || began.elapsed().as_secs() >= 2);
    let idle = cpu_seconds(flux.pid()) - before;
    assert!(idle < 0.2, "{idle} s of processor time in two seconds of nothing");
    // Nor does a change of one key read the others.
    let before = cpu_seconds(flux.pid());
    for n in 0..5 {
        let made = Caller::of_account(&flux, "default", &["--name", &format!("key {n}")]);
        made.chat("flux-fast").expect_status(200);
    }
    let changes = cpu_seconds(flux.pid()) - before;
    assert!(changes < 1.0, "{changes} s of processor time for five keys");
    caller.chat("flux-fast").expect_status(200);
}

/// T-29: a request that is refused because of its idempotency key counts against no limit.
#[test]
fn t29_an_idempotency_key_that_refuses_consumes_no_limit() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let key = Caller::of_account(&flux, "ada", &["--rpm", "4"]).into_key();
    let bearer = format!("Bearer {key}");
    let ask = |text: &str| {
        let body = json!({"model": "flux-fast", "messages": [{"role": "user", "content": text}]}).to_string();
        let headers =
            [("authorization", bearer.as_str()), ("idempotency-key", "one"), ("content-type", "application/json")];
        flux.ask(&request("POST", "/v1/chat/completions", &headers, body.as_bytes()))
    };
    let remaining = |text: &str| ask(text).expect_status(200).header("x-ratelimit-remaining-requests").to_owned();
    assert_eq!(remaining("hi"), "3");
    for _ in 0..10 {
        ask("ho").expect_status(400);
    }
    assert_eq!(remaining("hi"), "2");
}
