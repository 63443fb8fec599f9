//! What callers say of answers, and what usage tells of the router's decisions.
//!
//! Must not know how it is kept, but for one table that an operator may read.

use serde_json::{Value, json};

use super::harness::{Flux, Setup, wait_for};
use super::http::{Reply, request};
use super::provider::Provider;

fn ask(flux: &Flux, key: &str, method: &str, target: &str, body: &Value) -> Reply {
    let bearer = format!("Bearer {key}");
    let body = if body.is_null() { String::new() } else { body.to_string() };
    flux.ask(&request(
        method,
        target,
        &[("authorization", &bearer), ("content-type", "application/json")],
        body.as_bytes(),
    ))
}

fn say(flux: &Flux, key: &str, body: &Value) -> Reply {
    ask(flux, key, "POST", "/v1/feedback", body)
}

/// What is kept, oldest first.
fn kept(flux: &Flux) -> Vec<i64> {
    let books = rusqlite::Connection::open(flux.data_dir().join("flux.db")).expect("the books");
    let mut select = books.prepare("SELECT quality_milli FROM feedback ORDER BY request_id").expect("a table");
    select.query_map([], |row| row.get(0)).expect("rows").collect::<Result<_, _>>().expect("rows")
}

fn chat(flux: &Flux, key: &str, model: &str, prompt: &str) -> String {
    let body = json!({"model": model, "messages": [{"role": "user", "content": prompt}]});
    let done = ask(flux, key, "POST", "/v1/chat/completions", &body).expect_status(200);
    done.header("x-request-id").to_owned()
}

#[test]
fn a_caller_says_how_good_an_answer_was() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let (first, second) = (chat(&flux, &flux.key, "flux-auto", "hi"), chat(&flux, &flux.key, "flux-fast", "hi"));
    // At once: the row need not be in the books before.
    let told = say(&flux, &flux.key, &json!({"request_id": first, "verdict": "good"})).expect_status(200).json();
    assert_eq!(told, json!({"object": "feedback", "request_id": first, "score": 1.0}));
    assert_eq!(kept(&flux), [1_000]);
    // The last word counts.
    say(&flux, &flux.key, &json!({"request_id": first, "verdict": "bad"})).expect_status(200);
    assert_eq!(kept(&flux), [0]);
    let told = say(&flux, &flux.key, &json!({"request_id": second, "score": 0.57})).expect_status(200).json();
    assert_eq!(told["score"], 0.57);
    assert_eq!(kept(&flux), [0, 570]);
    for (body, status, param) in [
        (json!({"request_id": first}), 400, "verdict"),
        (json!({"request_id": first, "verdict": "good", "score": 1}), 400, "verdict"),
        (json!({"request_id": first, "score": 1.5}), 400, "score"),
        (json!({"request_id": first, "score": -0.1}), 400, "score"),
        (json!({"verdict": "good"}), 400, "request_id"),
        (json!({"request_id": first, "verdict": "fine"}), 400, ""),
        (json!({"request_id": first, "verdict": "good", "note": "it knew my name"}), 400, ""),
        (json!({"request_id": "req_1", "verdict": "good"}), 404, ""),
    ] {
        let refused = say(&flux, &flux.key, &body).expect_status(status).json();
        assert_eq!(refused["error"]["param"].as_str().unwrap_or_default(), param, "{body}: {refused}");
    }
    assert_eq!(kept(&flux), [0, 570], "what was refused changed nothing");
    ask(&flux, &flux.key, "GET", "/v1/feedback", &Value::Null).expect_status(405);
    flux.ask(&request("POST", "/v1/feedback", &[], b"{}")).expect_status(401);
}

#[test]
fn nobody_speaks_of_what_is_not_theirs() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let mine = chat(&flux, &flux.key, "flux-auto", "hi");
    let made = flux.run_json(&["keys", "create", "--json", "--account", "other"]);
    let theirs = made["key"].as_str().expect("a key").to_owned();
    wait_for("the key to work", || ask(&flux, &theirs, "GET", "/v1/credits", &Value::Null).status == 200);
    let absent = format!("req_{:032x}", 1);
    let words = |id: &str| {
        let reply = say(&flux, &theirs, &json!({"request_id": id, "verdict": "bad"}));
        (reply.status, reply.text())
    };
    assert_eq!(words(&mine), words(&absent));
    assert_eq!(words(&mine).0, 404);
    // A test key has no rows, and speaks of nobody's.
    say(&flux, &flux.test_key, &json!({"request_id": mine, "verdict": "bad"})).expect_status(403);
    assert_eq!(kept(&flux), [] as [i64; 0]);
}

#[test]
fn usage_tells_what_the_router_saw() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let prompt = "Fix this Python function:\n```python\ndef add(a, b):\n    return a + str(b)\n```";
    let routed = chat(&flux, &flux.key, "flux-auto", prompt);
    let pinned = chat(&flux, &flux.key, "gpt-4o-mini", prompt);
    let body = json!({"model": "flux-auto", "messages": [{"role": "user", "content": prompt}]});
    let told = ask(&flux, &flux.key, "POST", "/v1/route", &body).expect_status(200).json();
    let row =
        |id: &str| ask(&flux, &flux.key, "GET", &format!("/v1/usage/{id}"), &Value::Null).expect_status(200).json();
    let row_routed = row(&routed);
    assert_eq!(row_routed["kind_of_work"], told["kinds"][0]["kind"], "{row_routed:#}");
    let score = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("no score: {value}"));
    assert!((score(&row_routed["route_score"]) - score(&told["score"])).abs() < 1e-4, "{row_routed:#}");
    let row_pinned = row(&pinned);
    assert_eq!((&row_pinned["kind_of_work"], &row_pinned["route_score"]), (&Value::Null, &Value::Null));
    let listed = ask(&flux, &flux.key, "GET", "/v1/usage", &Value::Null).json();
    assert_eq!(listed["data"][1]["kind_of_work"], row_routed["kind_of_work"], "{listed:#}");
    let headers = [("authorization", flux.bearer()), ("accept", "text/csv".to_owned())];
    let table = flux.ask(&request("GET", "/v1/usage", &headers.each_ref().map(|(n, v)| (*n, v.as_str())), b"")).text();
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].ends_with(",latency_ms,kind_of_work,route_score"), "{table}");
    let ending = format!(",{},{}", row_routed["kind_of_work"].as_str().expect("a kind"), row_routed["route_score"]);
    assert!(lines[2].ends_with(&ending) && lines[1].ends_with(",,"), "{table}");
}
