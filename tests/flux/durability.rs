//! Every completed answer is charged exactly once, whatever ends the process.
//!
//! Must not know the journal: it kills, starts again and counts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::answers::{self, Answer};
use super::harness::{Flux, Setup, ask_chat, ask_chat_stream, ask_messages_stream, flux, spawn, wait_for};
use super::http::Conn;
use super::ledger;
use super::provider::Provider;
use super::sse;

/// Answers that clients saw to their end: request id and cost.
type Completed = Arc<Mutex<BTreeMap<String, i64>>>;

/// Asks one thing after another until the server dies; notes every answer that came whole.
fn load_client(addr: std::net::SocketAddr, requests: &[Vec<u8>], completed: &Completed, count: &AtomicUsize) {
    let mut conn = Conn::open(addr);
    for request in requests.iter().cycle() {
        if !conn.try_write(request) {
            return;
        }
        if conn.head() != 200 {
            return;
        }
        let reply = conn.rest();
        if !reply.is_complete {
            return;
        }
        let cost = match reply.headers.get("x-flux-cost-usd") {
            Some(cost) => super::http::nano(cost),
            None => sse::comment_cost_nano(&reply.body),
        };
        let id = reply.header("x-flux-request-id").to_owned();
        assert_eq!(completed.lock().expect("completed").insert(id.clone(), cost), None, "{id} twice");
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Every completed answer has one row with the cost that the client was told.
#[track_caller]
fn assert_all_charged_once(flux: &Flux, completed: &Completed) {
    let rows = flux.ledger();
    let ids: BTreeSet<String> = rows.iter().map(ledger::Row::request_id).collect();
    assert_eq!(ids.len(), rows.len(), "a request is booked twice");
    let amounts: BTreeMap<String, i64> = rows.iter().map(|row| (row.request_id(), row.amount_nano())).collect();
    for (id, cost) in completed.lock().expect("completed").iter() {
        assert_eq!(amounts.get(id), Some(cost), "{id} was completed and is not charged as told");
    }
    let proof = flux.run(&["reconcile", "--json"]);
    assert!(proof.status.success(), "{}", String::from_utf8_lossy(&proof.stdout));
}

#[test]
fn t36_kill_9_under_load_loses_and_doubles_nothing() {
    const CLIENTS: usize = 6;
    const ROUNDS: usize = 4;
    const ANSWERS_EACH: usize = 150;
    let (openai, anthropic) = (Provider::openai(), Provider::anthropic());
    let completed = Completed::default();
    let mut flux = Setup::with(&[&openai, &anthropic]).start();
    for _ in 0..ROUNDS {
        let count = Arc::new(AtomicUsize::new(0));
        let requests = vec![
            flux.chat_request(ask_chat("gpt-4o-mini").to_string().as_bytes()),
            flux.chat_request(ask_chat_stream("flux-fast").to_string().as_bytes()),
            flux.messages_request(ask_messages_stream("claude-3-5-haiku-latest").to_string().as_bytes()),
        ];
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let (addr, requests, completed, count) =
                    (flux.addr, requests.clone(), completed.clone(), count.clone());
                spawn(move || load_client(addr, &requests, &completed, &count))
            })
            .collect();
        wait_for("the load", || count.load(Ordering::Relaxed) >= ANSWERS_EACH);
        let data = flux.kill();
        for client in clients {
            client.join().expect("a client");
        }
        flux = Setup::with(&[&openai, &anthropic]).data(&data).start();
        // What the dead process wrote is booked before the new one opens its port.
        assert_all_charged_once(&flux, &completed);
    }
    assert!(completed.lock().expect("completed").len() >= ROUNDS * ANSWERS_EACH);
}

#[test]
fn sigterm_lets_running_answers_end_and_books_everything() {
    let openai = Provider::openai();
    let mut flux = Setup::with(&[&openai]).start();
    let gate = answers::Gate::default();
    let body = answers::chat_body("late", &answers::chat_usage(1000, 500));
    openai.next(Answer::json(200, &body).after(&gate));
    let mut conn = flux.connect();
    conn.write(&flux.chat_request(ask_chat("gpt-4o-mini").to_string().as_bytes()));
    openai.wait_for_requests(1);
    flux.signal("TERM");
    gate.open();
    let reply = conn.reply();
    assert_eq!(reply.status, 200, "a graceful end waits for what is running");
    flux.wait_for_end();
    wait_for("the row", || flux.ledger().len() == 1 || !flux.run(&["reconcile", "--json"]).status.success());
    let rows = flux.ledger();
    assert_eq!(rows.len(), 1, "nothing is left in the journal only");
}

#[test]
fn sigterm_ends_an_idle_server_with_success() {
    let openai = Provider::openai();
    let mut flux = Setup::with(&[&openai]).start();
    flux.chat(&ask_chat("gpt-4o-mini")).expect_status(200);
    flux.signal("TERM");
    assert!(flux.wait_for_end().success());
}

#[test]
fn reconcile_finds_a_changed_balance_and_repairs_nothing() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    flux.chat(&ask_chat("gpt-4o-mini")).expect_status(200);
    flux.only_row();
    let data = flux.kill();
    let prove =
        || super::harness::flux(&["reconcile", "--json", "--data-dir"]).arg(data.path()).output().expect("flux");
    assert!(prove().status.success());
    let db = rusqlite::Connection::open(data.path().join("flux.db")).expect("the ledger");
    assert!(db.execute("UPDATE ledger SET amount_nano = 0", []).is_err(), "the ledger is append-only");
    assert!(db.execute("DELETE FROM ledger", []).is_err(), "the ledger is append-only");
    let balance =
        || db.query_row("SELECT sum(balance_nano) FROM accounts", [], |row| row.get::<_, i64>(0)).expect("a sum");
    let before = balance();
    db.execute("UPDATE accounts SET balance_nano = balance_nano + 1", []).expect("changed");
    let proof = prove();
    assert_eq!(proof.status.code(), Some(1), "{}", String::from_utf8_lossy(&proof.stdout));
    assert!(balance() > before, "reconcile repaired in silence");
}

#[test]
fn while_the_ledger_is_locked_answers_are_charged_or_not_completed() {
    // 2 MiB of journal: some thousands of charges, then it is full.
    const REQUESTS_MAX: usize = 60_000;
    let openai = Provider::openai();
    let small = [("FLUX_LEDGER__JOURNAL_BYTES_MAX", "1048576"), ("FLUX_LEDGER__SEGMENT_BYTES", "65536")];
    let setup = small.iter().fold(Setup::with(&[&openai]), |setup, (name, value)| setup.env(name, value));
    let flux = setup.env("FLUX_LOG__REQUESTS", "off").start();
    let mut db = rusqlite::Connection::open(flux.data_dir().join("flux.db")).expect("the ledger");
    db.busy_timeout(super::harness::WAIT_MAX).expect("a busy time-out");
    let lock = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).expect("the write lock");

    let completed = Completed::default();
    let request = flux.chat_request(ask_chat("gpt-4o-mini").to_string().as_bytes());
    let mut conn = flux.connect();
    let mut is_full = false;
    for _ in 0..REQUESTS_MAX {
        let reply = conn.ask(&request);
        if reply.status == 200 && reply.is_complete {
            completed
                .lock()
                .expect("completed")
                .insert(reply.header("x-flux-request-id").to_owned(), reply.cost_nano());
        } else {
            assert!([0, 200, 503].contains(&reply.status), "{}", reply.status);
            is_full = true;
            break;
        }
    }
    assert!(is_full, "the journal never filled");
    drop(lock);
    wait_for("service after the lock", || flux.ask(&request).status == 200);
    let count = completed.lock().expect("completed").len();
    wait_for("the journal to be booked", || flux.ledger().len() > count);
    assert_all_charged_once(&flux, &completed);
}

#[test]
fn t63_starting_again_changes_nothing_and_many_processes_may_migrate_at_once() {
    const PROCESSES: usize = 6;
    let openai = Provider::openai();
    let dir = tempfile::tempdir().expect("a data folder");
    let made: Vec<_> = (0..PROCESSES)
        .map(|_| {
            let path = dir.path().to_owned();
            spawn(move || flux(&["keys", "create", "--json", "--data-dir"]).arg(path).output().expect("flux runs"))
        })
        .collect();
    let keys: BTreeSet<String> = made
        .into_iter()
        .map(|process| {
            let output = process.join().expect("a process");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let made: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
            made["key"].as_str().expect("a key").to_owned()
        })
        .collect();
    assert_eq!(keys.len(), PROCESSES);

    let flux = Setup::with(&[&openai]).start();
    let started = flux.started.elapsed();
    // The lesson says 0.2 s, on a machine that does nothing else; migrations that take long would take far longer.
    assert!(started.as_secs() < 5, "a cold start takes {started:?}");
    flux.chat(&ask_chat("gpt-4o-mini")).expect_status(200);
    let before = flux.wait_for_rows(1);
    let data = flux.kill();
    let flux = Setup::with(&[&openai]).data(&data).start();
    assert!(!flux.stdout().contains("sk-flux-"), "keys are printed once, on the first start");
    let after = flux.ledger();
    assert_eq!(before[0].0, after[0].0);
    flux.chat(&ask_chat("gpt-4o-mini")).expect_status(200);
    flux.wait_for_rows(2);
}

#[test]
fn the_same_provider_answer_twice_is_two_charges() {
    // Idempotent by the request, not by what the provider calls its answer.
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let body = json!(ask_chat("gpt-4o-mini"));
    let ids: BTreeSet<String> =
        (0..5).map(|_| flux.chat(&body).expect_status(200).header("x-flux-request-id").to_owned()).collect();
    assert_eq!(ids.len(), 5);
    flux.wait_for_rows(5);
}

#[test]
fn a_client_cannot_choose_the_id_that_is_booked() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let bearer = flux.bearer();
    let id = "req_00000000000000000000000000000001";
    let headers =
        [("authorization", bearer.as_str()), ("x-request-id", id), ("x-flux-request-id", id), ("request-id", id)];
    let body = ask_chat("gpt-4o-mini").to_string();
    for _ in 0..2 {
        let bytes = super::http::request("POST", "/v1/chat/completions", &headers, body.as_bytes());
        assert_ne!(flux.ask(&bytes).expect_status(200).header("x-flux-request-id"), id);
    }
    flux.wait_for_rows(2);
}

/// Places in the writer's transaction, each with what holds it up there for seconds: a trigger that counts for long.
const STEPS: [(&str, &str); 5] = [
    ("before a row", "BEFORE INSERT ON ledger"),
    ("after the rows, before a balance", "BEFORE UPDATE OF balance_nano ON accounts"),
    ("before the sums by the hour", "BEFORE INSERT ON usage_hourly"),
    ("before the sums by the day", "BEFORE INSERT ON usage_daily"),
    ("before the journal's position", "BEFORE UPDATE ON meta"),
];

#[test]
fn t36_kill_9_at_each_step_of_booking_loses_and_doubles_nothing() {
    const SLOW: &str = "SELECT count(*) FROM sqlite_schema a, sqlite_schema b, sqlite_schema c, sqlite_schema d, \
        sqlite_schema e, sqlite_schema f";
    let openai = Provider::openai();
    let completed = Completed::default();
    let mut flux = Setup::with(&[&openai]).start();
    for (step, place) in STEPS {
        let db = rusqlite::Connection::open(flux.data_dir().join("flux.db")).expect("the ledger");
        db.busy_timeout(super::harness::WAIT_MAX).expect("a busy time-out");
        db.execute_batch(&format!("CREATE TRIGGER slow {place} BEGIN {SLOW}; END")).expect("a trigger");
        for _ in 0..3 {
            let reply = flux.chat(&ask_chat("gpt-4o-mini")).expect_status(200);
            let id = reply.header("x-flux-request-id").to_owned();
            completed.lock().expect("completed").insert(id, reply.cost_nano());
        }
        let probe = rusqlite::Connection::open(flux.data_dir().join("flux.db")).expect("the ledger");
        probe.busy_timeout(std::time::Duration::ZERO).expect("no time-out");
        let is_writing = || probe.execute_batch("BEGIN IMMEDIATE; ROLLBACK").is_err();
        wait_for("the writer to be held up", || {
            is_writing() && {
                // A transaction that is not held up is over by now.
                std::thread::sleep(std::time::Duration::from_millis(100));
                is_writing()
            }
        });
        drop((probe, db));
        let data = flux.kill();
        let db = rusqlite::Connection::open(data.path().join("flux.db")).expect("the ledger");
        db.execute_batch("DROP TRIGGER slow").unwrap_or_else(|error| panic!("{step}: {error}"));
        drop(db);
        flux = Setup::with(&[&openai]).data(&data).start();
        assert_all_charged_once(&flux, &completed);
    }
    assert_eq!(completed.lock().expect("completed").len(), STEPS.len() * 3);
}

#[test]
fn t36_kill_9_before_and_after_a_charge_is_settled() {
    let openai = Provider::openai();
    let completed = Completed::default();
    let flux = Setup::with(&[&openai]).start();
    // Before: the provider has been asked and has said nothing that could be charged.
    let gate = answers::Gate::default();
    openai.next(Answer::json(200, &answers::chat_body("late", &answers::chat_usage(1000, 500))).after(&gate));
    let mut waiting = flux.connect();
    waiting.write(&flux.chat_request(ask_chat("gpt-4o-mini").to_string().as_bytes()));
    openai.wait_for_requests(1);
    // After: the charge stands in the journal, and the ledger cannot be written.
    let mut db = rusqlite::Connection::open(flux.data_dir().join("flux.db")).expect("the ledger");
    db.busy_timeout(super::harness::WAIT_MAX).expect("a busy time-out");
    let lock = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).expect("the write lock");
    for _ in 0..20 {
        let reply = flux.chat(&ask_chat("gpt-4o-mini")).expect_status(200);
        let id = reply.header("x-flux-request-id").to_owned();
        completed.lock().expect("completed").insert(id, reply.cost_nano());
    }
    let data = flux.kill();
    gate.open();
    drop(lock);
    drop(db);
    let flux = Setup::with(&[&openai]).data(&data).start();
    assert_all_charged_once(&flux, &completed);
    assert_eq!(flux.ledger().len(), 20, "what was not completed is not charged");
}
