//! `flux upgrade` and SIGQUIT: another process takes over, and no client notices.
//!
//! Must not know how the sockets travel: it starts real processes, asks, and counts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::answers::{Answer, Gate, Step, chat_stream, chat_usage};
use super::config::copy_of_conf;
use super::harness::{Flux, Setup, ask_chat, ask_chat_stream, spawn, wait_for};
use super::http::Conn;
use super::ledger::Row;
use super::provider::Provider;
use super::sse;

/// A stream that says something, and goes on when the gate is open.
pub(super) fn halting(gate: &Gate) -> Answer {
    let events = chat_stream(&["Hello ", "from ", "far."], &chat_usage(1000, 500));
    let mut steps: Vec<Step> = events.into_iter().map(|event| Step::Send(event.into_bytes())).collect();
    steps.insert(2, Step::Wait(gate.clone()));
    Answer::sse_steps(steps)
}

/// A provider whose streams halt, and whose other answers come at once.
pub(super) fn provider(gate: &Gate) -> Provider {
    let openai = Provider::openai();
    let gate = gate.clone();
    openai.always(move |asked| {
        if asked.json()["stream"] == true {
            halting(&gate)
        } else {
            super::answers::chat("at once", chat_usage(1000, 500))(asked)
        }
    });
    openai
}

/// Streams that have begun and halt.
pub(super) fn open_streams(flux: &Flux, count: usize) -> Vec<Conn> {
    let request = flux.chat_request(ask_chat_stream("gpt-4o-mini").to_string().as_bytes());
    let mut open: Vec<Conn> = (0..count)
        .map(|_| {
            let mut conn = flux.connect();
            conn.write(&request);
            conn
        })
        .collect();
    for conn in &mut open {
        assert_eq!(conn.head(), 200);
        assert!(conn.read_until("Hello "), "a stream begins");
    }
    open
}

/// Clients that ask on a new connection each time until they are told to stop; all answers must be whole.
struct Load {
    is_over: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    clients: Vec<std::thread::JoinHandle<BTreeMap<String, i64>>>,
}

impl Load {
    fn begin(flux: &Flux, clients: usize) -> Self {
        let (is_over, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let request = flux.chat_request(ask_chat("gpt-4o-mini").to_string().as_bytes());
        let client = |_| {
            let (is_over, asked, request, addr) = (is_over.clone(), asked.clone(), request.clone(), flux.addr);
            spawn(move || {
                let mut paid = BTreeMap::new();
                while !is_over.load(Ordering::Relaxed) {
                    let reply = Conn::open(addr).ask(&request).expect_status(200);
                    assert!(reply.is_complete);
                    paid.insert(reply.header("x-flux-request-id").to_owned(), reply.cost_nano());
                    asked.fetch_add(1, Ordering::Relaxed);
                }
                paid
            })
        };
        let clients = (0..clients).map(client).collect();
        Self { is_over, asked, clients }
    }

    fn wait_for_more(&self, count: usize) {
        let before = self.asked.load(Ordering::Relaxed);
        wait_for("the load", || self.asked.load(Ordering::Relaxed) >= before + count);
    }

    /// What each request cost, as the client was told.
    fn end(self) -> BTreeMap<String, i64> {
        self.is_over.store(true, Ordering::Relaxed);
        self.clients.into_iter().flat_map(|client| client.join().expect("no client is refused or cut")).collect()
    }
}

#[track_caller]
pub(super) fn assert_all_charged_once(flux: &Flux, paid: &BTreeMap<String, i64>) {
    wait_for("all rows", || flux.ledger().len() >= paid.len());
    let rows = flux.ledger();
    let booked: BTreeMap<String, i64> = rows.iter().map(|row: &Row| (row.request_id(), row.amount_nano())).collect();
    assert_eq!((rows.len(), &booked), (paid.len(), paid));
    assert_eq!(flux.run_json(&["reconcile", "--json"])["ok"], true);
}

#[track_caller]
pub(super) fn upgrade(flux: &Flux) -> String {
    let output = flux.run(&["upgrade"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[test]
fn an_upgrade_under_load_cuts_refuses_and_loses_nothing() {
    const STREAMS: usize = 200;
    let gate = Gate::default();
    let openai = provider(&gate);
    let pid_dir = tempfile::tempdir().expect("a folder");
    let pid_file = pid_dir.path().join("flux.pid");
    let setup = Setup::with(&[&openai]).env("FLUX_SERVER__PID_FILE", pid_file.to_str().expect("a path"));
    let mut flux = setup.start();
    let named = || std::fs::read_to_string(&pid_file).unwrap_or_default().trim().to_owned();
    assert_eq!(named(), flux.pid().to_string());

    let streams = open_streams(&flux, STREAMS);
    let load = Load::begin(&flux, 4);
    load.wait_for_more(20);
    let said = upgrade(&flux);
    let next = flux.accepting();
    assert_ne!(next, flux.pid());
    assert!(said.contains(&next.to_string()), "{said}");
    assert_eq!(named(), next.to_string());
    load.wait_for_more(40);
    assert!(flux.is_running(), "open streams hold the old process");
    // Both write to the same books.
    gate.open();
    let mut paid = BTreeMap::new();
    for mut conn in streams {
        let reply = conn.rest();
        assert!(reply.is_complete, "a stream is whole");
        assert_eq!(sse::chat_text(&reply.body), "Hello from far.");
        paid.insert(reply.header("x-flux-request-id").to_owned(), sse::comment_cost_nano(&reply.body));
    }
    assert!(flux.wait_for_end().success());
    load.wait_for_more(20);
    paid.extend(load.end());
    assert_all_charged_once(&flux, &paid);
    assert_eq!(named(), next.to_string(), "the old process leaves the file alone");
    assert_eq!(flux.private_get("/readyz").status, 200);
}

#[test]
fn sigquit_hands_over_again_and_again() {
    let gate = Gate::default();
    gate.open();
    let openai = provider(&gate);
    let mut flux = Setup::with(&[&openai]).start();
    let load = Load::begin(&flux, 2);
    let mut before = flux.pid();
    flux.signal("QUIT");
    for round in 0..3 {
        wait_for("another process to accept", || flux.accepting() != before);
        load.wait_for_more(20);
        if round == 0 {
            assert!(flux.wait_for_end().success());
        }
        before = flux.accepting();
        if round < 2 {
            upgrade(&flux);
        }
    }
    let paid = load.end();
    assert_all_charged_once(&flux, &paid);
}

#[test]
fn a_new_process_that_does_not_start_changes_nothing() {
    let gate = Gate::default();
    let openai = provider(&gate);
    let conf = copy_of_conf();
    let dir = conf.path().to_owned();
    let flux = Setup::with(&[&openai]).holding(conf).start();
    let mut streams = open_streams(&flux, 5);
    std::fs::write(dir.join("flux.toml"), "[server]\nlistn = 1\n").expect("written");
    let output = flux.run(&["upgrade"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("the server goes on") && said.contains("has ended"), "{said}");
    assert_eq!(flux.accepting(), flux.pid());
    assert_eq!(flux.private_get("/readyz").status, 200);
    flux.chat(&ask_chat("gpt-4o-mini")).expect_status(200);
    gate.open();
    for conn in &mut streams {
        assert!(conn.rest().is_complete);
    }
    flux.wait_for_rows(6);
    // Once the fault is mended it can be asked again.
    std::fs::copy(super::harness::conf_dir().join("flux.toml"), dir.join("flux.toml")).expect("copied");
    upgrade(&flux);
    flux.chat(&ask_chat("gpt-4o-mini")).expect_status(200);
    flux.wait_for_rows(7);
}

#[test]
fn an_upgrade_needs_a_server_and_a_server_without_one_is_refused() {
    let gate = Gate::default();
    let openai = provider(&gate);
    let setup = Setup::with(&[&openai]);
    let alone = setup.run(&["serve", "--upgrade"]);
    assert_eq!(alone.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&alone.stderr).contains("no flux runs"), "{alone:?}");
    let flux = setup.start();
    let second = Setup::with(&[&openai]).data(&flux.data()).run(&["serve"]);
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("another flux uses"), "{second:?}");
    let empty = tempfile::tempdir().expect("a folder");
    let nobody = super::harness::flux(&["upgrade", "--data-dir"]).arg(empty.path()).output().expect("flux runs");
    assert_eq!(nobody.status.code(), Some(1));
}

#[test]
fn kill_9_of_the_old_process_in_the_middle_of_draining_loses_nothing() {
    let gates: [Gate; 2] = Default::default();
    let openai = Provider::openai();
    let turn = Arc::new(Mutex::new(0_usize));
    let halting_at = gates.clone();
    openai.always(move |_| {
        let mut turn = turn.lock().expect("a turn");
        *turn += 1;
        halting(&halting_at[*turn % 2])
    });
    let mut flux = Setup::with(&[&openai]).start();
    // One by one, so that the provider sees them in this order.
    let streams: Vec<Conn> = (0..20).flat_map(|_| open_streams(&flux, 1)).collect();
    upgrade(&flux);
    // The ledger cannot be written: what ends now is in the journal of the old process alone.
    let mut db = rusqlite::Connection::open(flux.data_dir().join("flux.db")).expect("the ledger");
    db.busy_timeout(super::harness::WAIT_MAX).expect("a busy time-out");
    let lock = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).expect("the write lock");
    gates[0].open();
    let mut paid = BTreeMap::new();
    let mut halted = Vec::new();
    for (index, mut conn) in streams.into_iter().enumerate() {
        // The first is the provider's turn 1.
        if index % 2 == 0 {
            halted.push(conn);
            continue;
        }
        let reply = conn.rest();
        assert!(reply.is_complete);
        paid.insert(reply.header("x-flux-request-id").to_owned(), sse::comment_cost_nano(&reply.body));
    }
    assert_eq!((paid.len(), halted.len()), (10, 10));
    flux.signal("KILL");
    flux.wait_for_end();
    drop((lock, halted));
    drop(db);
    wait_for("the next process to book what was left", || flux.ledger().len() >= paid.len());
    assert_all_charged_once(&flux, &paid);
    gates[1].open();
    let reply = flux.chat(&ask_chat_stream("gpt-4o-mini")).expect_status(200);
    paid.insert(reply.header("x-flux-request-id").to_owned(), sse::comment_cost_nano(&reply.body));
    assert_all_charged_once(&flux, &paid);
}

#[test]
fn sigterm_turns_readiness_off_and_waits_no_longer_than_its_limit() {
    let gate = Gate::default();
    let openai = provider(&gate);
    let mut flux = Setup::with(&[&openai]).env("FLUX_TIMEOUTS__SHUTDOWN_MS", "2000").start();
    flux.chat(&ask_chat("gpt-4o-mini")).expect_status(200);
    let mut streams = open_streams(&flux, 1);
    flux.signal("TERM");
    wait_for("readiness to go", || flux.private_get("/readyz").status == 503);
    assert!(flux.wait_for_end().success());
    assert!(!streams.remove(0).rest().is_complete, "what is open at the limit is cut");
    assert_eq!(flux.run_json(&["reconcile", "--json"])["ok"], true);
    assert!(!flux.ledger().is_empty(), "what was answered is booked");
}
