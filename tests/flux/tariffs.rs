//! The shipped tariffs as an account sees them: what was used, what is left, and limits that follow the tariff.
//!
//! Must not know how money is held. Every figure here was computed by hand from `conf/tariffs.toml`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::answers::{self, Answer};
use super::api::{Caller, raw};
use super::harness::{Flux, Setup, ask_chat, spawn, wait_for};
use super::http::{Conn, nano, request};
use super::provider::Provider;

/// What a request costs that the mock providers answer with 1,000 and 500 tokens, on the fast lane.
const LANE_COST_NANO: i64 = 3_000_000;

/// An account, what it spends, and what it is told.
struct Case {
    tariff: &'static str,
    cap_usd: Option<&'static str>,
    pack_credits: Option<&'static str>,
    /// Millionths of a dollar, one request each: tokens of a prompt on the fast lane.
    spends: &'static [u64],
    told: Value,
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn dollars() -> [Case; 7] {
    [
        Case {
            tariff: "free",
            cap_usd: None,
            pack_credits: None,
            spends: &[400_000],
            told: json!({
                "unit": "usd", "included": "1", "used": "0.4", "included_left": "0.6", "packs_used": "0",
                "overage": "0", "overage_cost_usd": "0", "ceiling": "1", "available": "0.6", "packs": "0", "held": "0",
                "balance": 0.6, "total_purchased": 1, "total_consumed": 0.4,
                "credits_remaining": 60, "credits_used": 40,
            }),
        },
        Case {
            tariff: "free",
            cap_usd: None,
            pack_credits: Some("500"),
            spends: &[1_500_000],
            told: json!({
                "included": "1", "used": "1.5", "included_left": "0", "packs_used": "0.5", "overage": "0",
                "ceiling": "1", "available": "4.5", "packs": "4.5", "balance": 4.5, "total_purchased": 6,
                "total_consumed": 1.5, "credits_remaining": 450, "credits_used": 150,
            }),
        },
        Case {
            tariff: "payg",
            cap_usd: None,
            pack_credits: None,
            spends: &[10_000_000, 20_000_000],
            told: json!({
                "included": "0", "used": "30", "included_left": "0", "packs_used": "0", "overage": "30",
                "overage_cost_usd": "30", "ceiling": "100", "available": "70", "balance": 70, "total_purchased": 100,
                "total_consumed": 30, "credits_remaining": 7_000, "credits_used": 3_000,
            }),
        },
        Case {
            tariff: "payg",
            cap_usd: Some("50"),
            pack_credits: Some("1000"),
            spends: &[30_000_000],
            told: json!({
                "used": "30", "packs_used": "10", "packs": "0", "overage": "20", "overage_cost_usd": "20",
                "ceiling": "50", "available": "30", "total_purchased": 60, "total_consumed": 30,
            }),
        },
        Case {
            tariff: "builder",
            cap_usd: None,
            pack_credits: None,
            spends: &[20_000_000, 20_000_000],
            told: json!({
                "included": "25", "used": "40", "included_left": "0", "overage": "15", "overage_cost_usd": "15",
                "ceiling": "500", "available": "460", "total_purchased": 500, "total_consumed": 40,
            }),
        },
        Case {
            tariff: "builder",
            cap_usd: None,
            pack_credits: Some("1000"),
            spends: &[20_000_000, 12_000_000],
            told: json!({
                "used": "32", "included_left": "0", "packs_used": "7", "packs": "3", "overage": "0",
                "overage_cost_usd": "0", "ceiling": "500", "available": "478", "total_purchased": 510,
            }),
        },
        Case {
            tariff: "scale",
            cap_usd: None,
            pack_credits: None,
            spends: &[300_000_000],
            told: json!({
                "included": "260", "used": "300", "included_left": "0", "overage": "40", "overage_cost_usd": "40",
                "ceiling": "5000", "available": "4700", "total_purchased": 5_000,
            }),
        },
    ]
}

fn credits() -> [Case; 5] {
    [
        Case {
            tariff: "credits-free",
            cap_usd: None,
            pack_credits: None,
            spends: &[2_000_000],
            told: json!({
                "unit": "credits", "included": "500", "used": "200", "included_left": "300", "overage": "0",
                "ceiling": "500", "available": "300", "balance": 300, "total_purchased": 500, "total_consumed": 200,
                "credits_remaining": 300, "credits_used": 200,
            }),
        },
        Case {
            tariff: "credits-free",
            cap_usd: None,
            pack_credits: Some("250"),
            spends: &[4_500_000, 2_000_000],
            told: json!({
                "used": "650", "included_left": "0", "packs_used": "150", "packs": "100", "overage": "0",
                "available": "100", "balance": 100, "total_purchased": 750, "total_consumed": 650,
            }),
        },
        Case {
            tariff: "power",
            cap_usd: None,
            pack_credits: Some("500"),
            spends: &[90_000_000, 30_000_000],
            // 1,500 credits at $0.003.
            told: json!({
                "included": "10000", "used": "12000", "included_left": "0", "packs_used": "500", "packs": "0",
                "overage": "1500", "overage_cost_usd": "4.5", "ceiling": null, "available": null, "balance": null,
                "total_purchased": null, "total_consumed": 12_000, "credits_remaining": null,
            }),
        },
        Case {
            tariff: "power",
            cap_usd: Some("150"),
            pack_credits: None,
            spends: &[120_000_000],
            told: json!({
                "used": "12000", "overage": "2000", "overage_cost_usd": "6", "ceiling": "15000", "available": "3000",
                "total_purchased": 15_000,
            }),
        },
        Case {
            tariff: "pro",
            cap_usd: None,
            pack_credits: None,
            // A thousand credits and a ten-thousandth at $0.002.
            spends: &[300_000_000, 10_000_001],
            told: json!({
                "included": "30000", "used": "31000.0001", "included_left": "0", "overage": "1000.0001",
                "overage_cost_usd": "2.0000002", "available": null,
            }),
        },
    ]
}

/// What every account is told of its tariff.
fn terms(tariff: &str) -> Value {
    let (name, fee, overage, per_credit, resets) = match tariff {
        "free" => ("Free", "0", "refused", Value::Null, "calendar-month"),
        "payg" => ("Pay as you go", "0", "at-rates", Value::Null, "calendar-month"),
        "builder" => ("Builder", "20", "at-rates", Value::Null, "calendar-month"),
        "scale" => ("Scale", "200", "at-rates", Value::Null, "calendar-month"),
        "credits-free" => ("Free", "0", "refused", Value::Null, "billing-date"),
        "power" => ("Power", "24.99", "per-credit", json!("0.003"), "billing-date"),
        "pro" => ("Pro", "49.99", "per-credit", json!("0.002"), "billing-date"),
        other => panic!("no terms of {other}"),
    };
    json!({"id": tariff, "name": name, "fee_usd": fee, "overage": overage, "overage_per_credit_usd": per_credit,
        "resets": resets})
}

/// An account on a tariff, with a cap and a pack where they are given, and a caller of it.
fn account<'a>(flux: &'a Flux, name: &str, case: &Case) -> Caller<'a> {
    let mut create = vec!["accounts", "create", name, "--tariff", case.tariff, "--json"];
    create.extend(case.cap_usd.iter().flat_map(|cap| ["--cap-usd", cap]));
    flux.run_json(&create);
    if let Some(credits) = case.pack_credits {
        flux.run_json(&["accounts", "add-pack", name, "--credits", credits, "--price-usd", "1", "--json"]);
    }
    Caller::of_account(flux, name, &[])
}

/// A request with a long prompt, as far as the provider says.
fn spend(caller: &Caller<'_>, openai: &Provider, tokens: u64) {
    openai.next(Answer::json(200, &answers::chat_body("x", &answers::chat_usage(tokens, 0))));
    let cost = caller.chat("flux-fast").expect_status(200).cost_nano();
    assert_eq!(cost.unsigned_abs(), tokens * 1_000);
}

#[test]
fn credits_are_told_of_every_shipped_tariff() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let cases: Vec<Case> = dollars().into_iter().chain(credits()).collect();
    let callers: Vec<_> =
        cases.iter().enumerate().map(|(n, case)| account(&flux, &format!("account-{n}"), case)).collect();
    for (n, (case, caller)) in cases.iter().zip(&callers).enumerate() {
        case.spends.iter().for_each(|tokens| spend(caller, &openai, *tokens));
        let told = caller.get("/v1/credits").expect_status(200).json();
        for (field, value) in case.told.as_object().expect("fields") {
            assert_eq!(&told[field], value, "{field} of case {n}, {}: {told:#}", case.tariff);
        }
        assert_eq!(told["tariff"], terms(case.tariff));
        // What it was made of is all that was used.
        let spent: u64 = case.spends.iter().sum();
        let lanes = told["breakdown"]["by_lane"].as_array().expect("lanes");
        let by_lane: Vec<i64> = lanes.iter().map(|sum| nano(sum["cost_usd"].as_str().expect("a decimal"))).collect();
        assert_eq!(by_lane, [(spent * 1_000).cast_signed()], "case {n}");
    }
    // The same after a restart, from the ledger alone.
    let figures = |caller: &Caller<'_>| {
        let mut told = caller.get("/v1/credits").expect_status(200).json();
        told["up_to_date"].take();
        told
    };
    let before: Vec<Value> = callers.iter().map(figures).collect();
    let bearers: Vec<String> = callers.into_iter().map(Caller::into_key).collect();
    let data = flux.kill();
    let flux = Setup::with(&[&openai]).data(&data).start();
    let after: Vec<Value> = bearers.iter().map(|key| figures(&Caller::new(&flux, key))).collect();
    assert_eq!(after, before);
}

/// T-26: many at once on the last credits, of the period and of a pack.
#[test]
fn t26_the_last_credits_are_sold_once() {
    const LEFT_NANO: i64 = 15_000_000 + 30_000_000;
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    flux.run_json(&["accounts", "create", "ada", "--tariff", "credits-free", "--cap-usd", "0.015", "--json"]);
    flux.run_json(&["accounts", "add-pack", "ada", "--credits", "3", "--price-usd", "1", "--json"]);
    let key = Caller::of_account(&flux, "ada", &[]).into_key();
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let ask = request("POST", "/v1/chat/completions", &headers, ask_chat("flux-fast").to_string().as_bytes());
    let (ask, paid) = (Arc::new(ask), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..16)
        .map(|_| {
            let (addr, ask, paid) = (flux.addr, Arc::clone(&ask), Arc::clone(&paid));
            spawn(move || {
                let mut conn = Conn::open(addr);
                for _ in 0..10 {
                    match conn.ask(&ask).status {
                        200 => paid.fetch_add(1, Ordering::Relaxed),
                        402 => 0,
                        other => panic!("status {other}"),
                    };
                }
            })
        })
        .collect();
    for client in clients {
        client.join().expect("a client");
    }
    let rows = flux.wait_for_rows(paid.load(Ordering::Relaxed));
    let sum = |column: &str| rows.iter().map(|row| row.number(column)).sum::<i64>();
    let (spent, from_packs) = (sum("amount_nano"), sum("from_packs_nano"));
    assert!(spent <= LEFT_NANO && spent > LEFT_NANO - LANE_COST_NANO, "{spent} of {LEFT_NANO}");
    assert!(from_packs <= 30_000_000 && spent - from_packs <= 15_000_000, "{from_packs} of a pack");
    let told = flux.run_json(&["accounts", "show", "ada", "--json"]);
    assert_eq!(nano(told["packs_used_usd"].as_str().expect("a decimal")), from_packs);
    assert_eq!(flux.run_json(&["reconcile", "--json"])["ok"], true);
}

/// A key that was given more than the account's later tariff allows is held to the tariff's, and told of which window.
#[test]
fn limits_of_a_key_end_at_its_tariffs() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    flux.run_json(&["accounts", "create", "ada", "--tariff", "scale", "--json"]);
    let caller = Caller::of_account(&flux, "ada", &["--rpm", "1000"]);
    assert_eq!(caller.chat("flux-fast").expect_status(200).header("x-ratelimit-limit-requests"), "1000");
    let move_to = |tariff: &str| {
        flux.run_json(&["accounts", "set", "ada", "--tariff", tariff, "--json"]);
        wait_for("the tariff", || caller.get("/v1/credits").json()["tariff"]["id"] == tariff);
    };
    move_to("payg");
    assert_eq!(caller.chat("flux-fast").expect_status(200).header("x-ratelimit-limit-requests"), "60");
    move_to("free");
    let mut refused = None;
    wait_for("the second to be full", || {
        let reply = caller.chat("flux-fast");
        refused = (reply.status == 429).then(|| reply.json()["error"]["message"].to_string());
        refused.is_some()
    });
    assert!(
        refused.as_ref().is_some_and(|text| text.contains("limit of 1 request a second is reached")),
        "{refused:?}"
    );
}

/// What runs when a key gets its first budget is charged to it, and the same after a restart.
#[test]
fn a_first_budget_counts_what_is_at_work() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let admin = Caller::new(&flux, &flux.key);
    let made = admin.post("/v1/keys", &json!({})).expect_status(201);
    let spender = Caller::new(&flux, &raw(&made));
    let before = spender.chat("flux-fast").expect_status(200).cost_nano();
    let gate = answers::Gate::default();
    openai.next(Answer::json(200, &answers::chat_body("late", &answers::chat_usage(1_000, 500))).after(&gate));
    let mut conn = flux.connect();
    let bearer = format!("Bearer {}", raw(&made));
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let body = ask_chat("flux-fast").to_string();
    conn.write(&request("POST", "/v1/chat/completions", &headers, body.as_bytes()));
    openai.wait_for_requests(2);
    let path = format!("/v1/keys/{}", made.json()["id"]);
    let budget = json!({"budget": {"amount_usd": "1", "period": "total"}});
    admin.ask("PATCH", &path, &budget).expect_status(200);
    gate.open();
    let late = conn.reply().expect_status(200).cost_nano();
    let used = |caller: &Caller<'_>| {
        let told = caller.get("/v1/credits").expect_status(200).json();
        nano(told["key_budget"]["used_usd"].as_str().expect("a budget"))
    };
    assert_eq!((late, used(&spender)), (LANE_COST_NANO, before + late));
    // Taken away and given again, it is the ledger's sum.
    admin.ask("PATCH", &path, &json!({"budget": null})).expect_status(200);
    let between = spender.chat("flux-fast").expect_status(200).cost_nano();
    admin.ask("PATCH", &path, &budget).expect_status(200);
    assert_eq!(used(&spender), before + late + between);
    let data = flux.kill();
    let flux = Setup::with(&[&openai]).data(&data).start();
    assert_eq!(used(&Caller::new(&flux, &raw(&made))), before + late + between);
}
