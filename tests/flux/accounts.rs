//! Accounts as an operator manages them beside a running server.
//!
//! Must not know how money is counted, only that caps hold and that what was spent stays spent.

use serde_json::Value;

use super::harness::{Flux, Setup, ask_chat, wait_for};
use super::http::{Reply, request};
use super::provider::Provider;

/// A chat completion with a key of its own.
fn chat_with(flux: &Flux, key: &str) -> Reply {
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    flux.ask(&request("POST", "/v1/chat/completions", &headers, ask_chat("gpt-4o-mini").to_string().as_bytes()))
}

fn key_of(flux: &Flux, account: &str) -> String {
    let made = flux.run_json(&["keys", "create", "--account", account, "--json"]);
    made["key"].as_str().expect("a key").to_owned()
}

fn show(flux: &Flux, account: &str) -> Value {
    flux.run_json(&["accounts", "show", account, "--json"])
}

#[test]
fn caps_packs_and_tariffs_of_a_running_server_act_and_survive_its_end() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let set = |flux: &Flux, arguments: &[&str]| {
        flux.run_json(&[&["accounts", "set", "ada", "--json"], arguments].concat());
    };
    flux.run_json(&["accounts", "create", "ada", "--tariff", "free", "--cap-usd", "0", "--json"]);
    let key = key_of(&flux, "ada");
    wait_for("the key", || chat_with(&flux, &key).status != 401);
    chat_with(&flux, &key).expect_status(402);
    assert_eq!(openai.count(), 0, "a provider is asked for what cannot be paid");

    set(&flux, &["--cap-usd", "0.5"]);
    wait_for("the cap", || chat_with(&flux, &key).status == 200);
    set(&flux, &["--cap-usd", "0"]);
    // Free allows one request a second: what comes too soon is refused for that.
    wait_for("the cap to be gone", || chat_with(&flux, &key).status == 402);
    flux.run_json(&["accounts", "add-pack", "ada", "--credits", "10", "--price-usd", "1", "--json"]);
    wait_for("the pack", || chat_with(&flux, &key).status == 200);
    wait_for("the charges", || show(&flux, "ada")["packs_used_usd"] != "0");
    let before = show(&flux, "ada");

    let data = flux.kill();
    let flux = Setup::with(&[&openai]).data(&data).start();
    assert_eq!(show(&flux, "ada"), before);
    wait_for("the pack", || chat_with(&flux, &key).status == 200);
    flux.run_json(&["accounts", "close", "ada", "--json"]);
    wait_for("the keys to be revoked", || chat_with(&flux, &key).status == 401);
    assert_eq!(flux.chat(&ask_chat("gpt-4o-mini")).status, 200, "others go on");
    wait_for("the charges", || flux.run_json(&["reconcile", "--json"])["ok"] == true);
}

#[test]
fn a_backup_is_made_while_requests_are_served() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    for round in 0..5 {
        let answered = round * 40;
        for _ in 0..40 {
            flux.chat(&ask_chat("gpt-4o-mini")).expect_status(200);
        }
        let copy = flux.data_dir().join(format!("copy-{round}.db"));
        let made = flux.run_json(&["backup", copy.to_str().expect("a path"), "--json"]);
        assert_eq!(made["ok"], true, "{made}");
        let rows = rusqlite::Connection::open(&copy)
            .and_then(|copy| copy.query_row("SELECT count(*) FROM ledger", [], |row| row.get::<_, i64>(0)));
        assert_eq!(rows.expect("a count"), answered + 40, "every answer that came before is in it");
    }
}
