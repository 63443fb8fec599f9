//! A disk that is full, a ledger that is locked or damaged: traffic goes on while charges can be kept, then 503; nothing
//! that was acknowledged is lost, and metrics and health say so.
//!
//! Must not know the journal: it takes the disk away, asks, gives it back and counts.

use std::process::Command;

use super::harness::{Flux, Setup, ask_chat, flux, wait_for};
use super::provider::Provider;

/// More requests than any journal of these tests takes.
const REQUESTS_MAX: usize = 60_000;

fn small_journal(setup: Setup) -> Setup {
    let settings = [
        ("FLUX_LEDGER__JOURNAL_BYTES_MAX", "1048576"),
        ("FLUX_LEDGER__SEGMENT_BYTES", "65536"),
        ("FLUX_LOG__REQUESTS", "off"),
    ];
    settings.iter().fold(setup, |setup, (name, value)| setup.env(name, value))
}

/// Bounds the size of every file that the process writes: to it the disk is full.
fn bound_files(flux: &Flux, bytes: &str) {
    let pid = flux.pid().to_string();
    let bound = format!("--fsize={bytes}:unlimited");
    let set = Command::new("prlimit").args(["--pid", pid.as_str(), bound.as_str()]).status().expect("prlimit");
    assert!(set.success());
}

/// Asks until an answer is refused; the answers that came whole, with their costs.
fn ask_until_refused(flux: &Flux) -> Vec<(String, i64)> {
    let request = flux.chat_request(ask_chat("gpt-4o-mini").to_string().as_bytes());
    let (mut conn, mut completed) = (flux.connect(), Vec::new());
    for _ in 0..REQUESTS_MAX {
        let reply = conn.ask(&request);
        if reply.status == 503 {
            assert!(reply.headers.get("retry-after").is_some(), "{}", reply.text());
            return completed;
        }
        let reply = reply.expect_status(200);
        completed.push((reply.header("x-flux-request-id").to_owned(), reply.cost_nano()));
    }
    panic!("nothing was ever refused");
}

fn assert_all_charged(flux: &Flux, completed: &[(String, i64)]) {
    wait_for("the journal to be booked", || flux.ledger().len() >= completed.len());
    let rows = flux.ledger();
    let amounts: std::collections::BTreeMap<_, _> =
        rows.iter().map(|row| (row.request_id(), row.amount_nano())).collect();
    for (id, cost) in completed {
        assert_eq!(amounts.get(id), Some(cost), "{id} was completed and is not charged as told");
    }
    assert_eq!(flux.run_json(&["reconcile", "--json"])["ok"], true);
}

#[test]
fn t35_a_full_disk_stops_no_traffic_until_the_journal_is_full_and_loses_nothing() {
    let openai = Provider::openai();
    let flux = small_journal(Setup::with(&[&openai])).told_of_large_files().start();
    flux.chat(&ask_chat("gpt-4o-mini")).expect_status(200);
    flux.only_row();
    // The database's log of writes cannot grow any more; the journal's files are smaller than that.
    bound_files(&flux, "131072");
    let completed = ask_until_refused(&flux);
    assert!(completed.len() > 500, "only {} requests went on", completed.len());
    let asked = openai.count();
    for _ in 0..20 {
        flux.chat(&ask_chat("gpt-4o-mini")).expect_status(503);
    }
    assert_eq!(openai.count(), asked, "a provider is paid for what cannot be charged");
    assert!(flux.metric("flux_journal_has_room", &[]) < 0.5);
    assert!(flux.metric("flux_store_failures_total", &[]) > 0.5);
    assert!(flux.metric("flux_charges_not_kept_total", &[]) < 0.5, "requests at work had their part of the journal");
    assert_eq!(flux.private_get("/readyz").status, 503);
    wait_for("the log to say so", || flux.log().contains("the journal has no room"));
    assert!(flux.ledger().len() < completed.len(), "the ledger could be written");

    bound_files(&flux, "unlimited");
    wait_for("service after the disk", || flux.chat(&ask_chat("gpt-4o-mini")).status == 200);
    assert_all_charged(&flux, &completed);
    wait_for("readiness", || flux.private_get("/readyz").status == 200);
    assert!(flux.metric("flux_journal_has_room", &[]) > 0.5);
}

#[test]
fn t35_a_server_that_dies_on_a_full_disk_has_lost_nothing() {
    let openai = Provider::openai();
    let flux = small_journal(Setup::with(&[&openai])).told_of_large_files().start();
    flux.chat(&ask_chat("gpt-4o-mini")).expect_status(200);
    bound_files(&flux, "131072");
    let completed = ask_until_refused(&flux);
    let data = flux.kill();
    let flux = small_journal(Setup::with(&[&openai])).data(&data).start();
    assert_all_charged(&flux, &completed);
}

#[test]
fn a_damaged_database_is_refused_with_words_and_a_backup_takes_its_place() {
    let openai = Provider::openai();
    let flux_one = Setup::with(&[&openai]).start();
    flux_one.chat(&ask_chat("gpt-4o-mini")).expect_status(200);
    let copy = flux_one.data_dir().join("copy.db");
    let made = flux_one.run_json(&["backup", "--json", copy.to_str().expect("a path")]);
    assert_eq!(made["ok"], true);
    let data = flux_one.kill();
    let path = data.path().join("flux.db");
    let bytes = std::fs::read(&path).expect("the database");
    std::fs::write(&path, [&bytes[..100], &vec![0x5A; bytes.len() - 100]].concat()).expect("noise");
    for file in ["flux.db-wal", "flux.db-shm"] {
        drop(std::fs::remove_file(data.path().join(file)));
    }
    let refused = Setup::with(&[&openai]).data(&data).run(&["serve"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("the database is damaged") && said.contains("backup"), "{said}");
    let proof = flux(&["reconcile", "--data-dir"]).arg(data.path()).output().expect("flux");
    assert_eq!(proof.status.code(), Some(1));
    std::fs::rename(copy, path).expect("restored");
    let flux_two = Setup::with(&[&openai]).data(&data).start();
    flux_two.chat(&ask_chat("gpt-4o-mini")).expect_status(200);
    flux_two.wait_for_rows(2);
    assert_eq!(flux_two.run_json(&["reconcile", "--json"])["ok"], true);
}
