//! An account's own API over HTTP: keys, usage, credits, and that no account learns of another.
//!
//! Must not know how anything is stored, only what stands in the ledger.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::harness::{Flux, Setup, ask_chat, wait_for};
use super::http::{Reply, contains, nano, request};
use super::provider::Provider;

/// One who asks with a key of theirs.
pub(crate) struct Caller<'a> {
    flux: &'a Flux,
    bearer: String,
}

impl<'a> Caller<'a> {
    pub(crate) fn new(flux: &'a Flux, key: &str) -> Self {
        Self { flux, bearer: format!("Bearer {key}") }
    }

    /// With a new key of an account.
    pub(crate) fn of_account(flux: &'a Flux, account: &str, options: &[&str]) -> Self {
        let arguments = [&["keys", "create", "--json", "--account", account], options].concat();
        let made = flux.run_json(&arguments);
        let caller = Self::new(flux, made["key"].as_str().expect("a key"));
        wait_for("the key to work", || caller.get("/v1/models").status == 200);
        caller
    }

    /// The key alone: it works beyond the server that it was made on.
    pub(crate) fn into_key(self) -> String {
        self.bearer.trim_start_matches("Bearer ").to_owned()
    }

    pub(crate) fn ask(&self, method: &str, target: &str, body: &Value) -> Reply {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let headers = [("authorization", self.bearer.as_str()), ("content-type", "application/json")];
        let bytes = request(method, target, &headers, body.as_bytes());
        let mut reply = self.flux.ask(&bytes);
        // A test may ask faster than an account may; it waits for the next second then.
        wait_for("room for a question", || {
            let is_held_up = reply.status == 429 && reply.text().contains("may ask about itself");
            if is_held_up {
                reply = self.flux.ask(&bytes);
            }
            !is_held_up
        });
        reply
    }

    pub(crate) fn get(&self, target: &str) -> Reply {
        self.ask("GET", target, &Value::Null)
    }

    fn csv(&self, target: &str) -> Reply {
        let headers = [("authorization", self.bearer.as_str()), ("accept", "text/csv")];
        self.flux.ask(&request("GET", target, &headers, b""))
    }

    pub(crate) fn post(&self, target: &str, body: &Value) -> Reply {
        self.ask("POST", target, body)
    }

    /// A chat completion with this key.
    pub(crate) fn chat(&self, model: &str) -> Reply {
        self.ask("POST", "/v1/chat/completions", &ask_chat(model))
    }
}

pub(crate) fn raw(made: &Reply) -> String {
    made.json()["key"].as_str().expect("a key").to_owned()
}

#[test]
fn a_key_lives_and_ends_over_http() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let admin = Caller::new(&flux, &flux.key);
    let body = json!({
        "name": "bot", "format": "conflux", "expires_in_days": 7, "allowed_models": ["gpt-4o-mini", "flux-fast"],
        "budget": {"amount_usd": "1.50", "period": "day"}, "limits": {"requests_per_minute": 2}, "shows_balance": true,
    });
    let made = admin.post("/v1/keys/generate", &body).expect_status(201);
    assert_eq!(made.header("cache-control"), "no-store");
    let (key, told) = (raw(&made), made.json());
    assert!(key.starts_with("cf_live_"), "{key}");
    assert_eq!((&told["api_key"], &told["format"], &told["state"]), (&json!(key), &json!("conflux"), &json!("active")));
    assert_eq!(told["budget"], json!({"amount_usd": "1.5", "period": "day"}));
    assert_eq!(told["allowed_models"], json!(["flux-pinned-gpt-6-luna", "flux-fast"]));
    // It works at once, within what was chosen.
    let bot = Caller::new(&flux, &key);
    bot.chat("flux-fast").expect_status(200);
    bot.chat("flux-reasoning").expect_status(403);
    bot.chat("gpt-4o-mini").expect_status(429);
    // It sees usage, and manages nothing.
    bot.get("/v1/usage").expect_status(200);
    bot.get("/v1/keys").expect_status(403);
    let id = told["id"].as_i64().expect("an id");
    let path = format!("/v1/keys/{id}");
    let changed =
        admin.ask("PATCH", &path, &json!({"limits": null, "budget": null, "name": "robot", "expires_at": null}));
    let changed = changed.expect_status(200).json();
    assert_eq!(
        (&changed["name"], &changed["budget"], &changed["expires_at"]),
        (&json!("robot"), &Value::Null, &Value::Null)
    );
    assert_eq!(changed["allowed_models"], told["allowed_models"], "what is left out stays");
    bot.chat("gpt-4o-mini").expect_status(200);
    // Rotated with grace both work; the new one is like the old one.
    let rotated = admin.post(&format!("{path}/rotate"), &json!({"expires_in_seconds": 600})).expect_status(201);
    assert_eq!((&rotated.json()["name"], &rotated.json()["format"]), (&json!("robot"), &json!("conflux")));
    let renewed = Caller::new(&flux, &raw(&rotated));
    assert_eq!((bot.chat("flux-fast").status, renewed.chat("flux-fast").status), (200, 200));
    assert!(admin.get(&path).json()["expires_at"].is_string());
    // Without, the old one ends at once.
    let again = admin.post(&format!("/v1/keys/{}/rotate", rotated.json()["id"]), &Value::Null).expect_status(201);
    renewed.chat("flux-fast").expect_status(401);
    // Revoked by its first characters, by its id in a body, and by its path.
    let prefix = again.json()["prefix"].clone();
    assert_eq!(admin.post("/v1/keys/revoke", &json!({"prefix": prefix})).expect_status(200).json()["revoked"], true);
    Caller::new(&flux, &raw(&again)).chat("flux-fast").expect_status(401);
    admin.post("/v1/keys/revoke", &json!({"key_id": id.to_string()})).expect_status(200);
    bot.chat("flux-fast").expect_status(401);
    assert_eq!(admin.ask("DELETE", &path, &Value::Null).expect_status(200).json()["key"]["state"], "revoked");
    admin.ask("PATCH", &path, &json!({"name": "x"})).expect_status(400);
    let listed = admin.get("/v1/keys").expect_status(200);
    assert_eq!(listed.json()["data"].as_array().map(Vec::len), Some(5));
    for key in [&key, &raw(&rotated), &raw(&again)] {
        assert!(!contains(&listed.body, key.as_bytes()), "a list shows a raw key");
    }
}

#[test]
fn what_makes_no_sense_for_a_key_is_refused_by_name() {
    let flux = Setup::with(&[]).start();
    let admin = Caller::new(&flux, &flux.key);
    for (body, param) in [
        (json!({"expires_at": "2020-01-01T00:00:00Z"}), "expires_at"),
        (json!({"expires_at": "soon"}), "expires_at"),
        (json!({"expires_at": 1_900_000_000, "expires_in_days": 3}), "expires_at"),
        (json!({"expires_in_days": 0}), "expires_in_days"),
        (json!({"budget": {"amount_usd": 0}}), "budget"),
        (json!({"budget": {"amount_usd": "1e3"}}), "budget"),
        (json!({"limits": {"concurrent": 0}}), "limits"),
        (json!({"limits": {"requests_per_minute": 1_000_000}}), "limits"),
        (json!({"allowed_models": ["no-such-model"]}), "allowed_models"),
        (json!({"name": "a\nb"}), "name"),
    ] {
        let refused = admin.post("/v1/keys", &body).expect_status(400).json();
        assert_eq!(refused["error"]["param"], param, "{body} {refused}");
    }
    for body in [json!({"nmae": "x"}), json!([]), json!({"kind": "lively"}), json!({"name": 5})] {
        admin.post("/v1/keys", &body).expect_status(400);
    }
    let headers = [("authorization", admin.bearer.as_str())];
    flux.ask(&request("POST", "/v1/keys", &headers, &vec![b' '; (64 << 10) + 1])).expect_status(413);
    let refused = flux.ask(&request("PUT", "/v1/keys/7", &headers, b"")).expect_status(405);
    assert_eq!(refused.header("allow"), "GET, PATCH, DELETE");
    // A test key opens no door to live ones, whatever its scope.
    let made = admin.post("/v1/keys", &json!({"kind": "test", "scope": "admin"})).expect_status(201);
    assert!(raw(&made).starts_with("sk-flux-test-"));
    let player = Caller::new(&flux, &raw(&made));
    player.get("/v1/credits").expect_status(200);
    player.post("/v1/keys", &json!({})).expect_status(403);
}

#[test]
fn no_account_learns_of_another() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let one = Caller::new(&flux, &flux.key);
    let other = Caller::of_account(&flux, "other", &["--scope", "admin", "--name", "theirs"]);
    let theirs = other.chat("flux-fast").expect_status(200);
    let their_request = theirs.header("x-request-id").to_owned();
    one.chat("flux-fast").expect_status(200);
    flux.wait_for_rows(2);
    let their_keys = other.get("/v1/keys").json();
    let their_id = their_keys["data"][0]["id"].as_i64().expect("an id");
    let their_prefix = their_keys["data"][0]["prefix"].clone();
    // What is theirs is answered word for word like what nobody has.
    let nobody = 987_654;
    let absent = format!("req_{:032x}", 1);
    let words = |reply: Reply| (reply.status, reply.text());
    for (method, theirs, absent, body) in [
        ("GET", format!("/v1/keys/{their_id}"), format!("/v1/keys/{nobody}"), Value::Null),
        ("PATCH", format!("/v1/keys/{their_id}"), format!("/v1/keys/{nobody}"), json!({"name": "mine"})),
        ("DELETE", format!("/v1/keys/{their_id}"), format!("/v1/keys/{nobody}"), Value::Null),
        ("POST", format!("/v1/keys/{their_id}/rotate"), format!("/v1/keys/{nobody}/rotate"), Value::Null),
        ("GET", format!("/v1/usage/{their_request}"), format!("/v1/usage/{absent}"), Value::Null),
    ] {
        let (found, missed) = (words(one.ask(method, &theirs, &body)), words(one.ask(method, &absent, &body)));
        assert_eq!(found, missed, "{method} {theirs}");
        assert_eq!(found.0, 404, "{method} {theirs}");
    }
    for (theirs, absent) in [
        (json!({"key_id": their_id}), json!({"key_id": nobody})),
        (json!({"id": their_id.to_string()}), json!({"id": nobody.to_string()})),
        (json!({"prefix": their_prefix}), json!({"prefix": "sk-flux-00000000"})),
    ] {
        let (found, missed) = (one.post("/v1/keys/revoke", &theirs), one.post("/v1/keys/revoke", &absent));
        assert_eq!(words(found), words(missed), "{theirs}");
    }
    // A filter by their key finds nothing, as one by a key of nobody; sums and credits count their own.
    for target in ["/v1/usage?key=", "/v1/usage?group_by=key&key="] {
        assert_eq!(words(one.get(&format!("{target}{their_id}"))), words(one.get(&format!("{target}{nobody}"))));
    }
    for (caller, stranger) in
        [(&one, &their_request), (&other, &one.get("/v1/usage").json()["data"][0]["id"].to_string())]
    {
        let usage = caller.get("/v1/usage").expect_status(200);
        assert_eq!(usage.json()["data"].as_array().map(Vec::len), Some(1));
        assert!(!usage.text().contains(stranger.trim_matches('"')));
        assert_eq!(caller.get("/v1/usage?group_by=model").json()["total"]["requests"], 1);
        let credits = caller.get("/v1/credits").json();
        assert_eq!(credits["breakdown"]["by_key"].as_array().map(Vec::len), Some(1), "{credits}");
    }
    other.chat("flux-fast").expect_status(200);
}

#[test]
fn pages_are_complete_and_stand_still_under_inserts() {
    const BEFORE: usize = 7;
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let caller = Caller::new(&flux, &flux.key);
    let sent: Vec<String> =
        (0..BEFORE).map(|_| caller.chat("flux-fast").expect_status(200).header("x-request-id").to_owned()).collect();
    let mut cursor = String::new();
    let mut seen = Vec::new();
    let mut pages = 0;
    loop {
        let page = caller.get(&format!("/v1/usage?limit=3{cursor}")).expect_status(200).json();
        let rows = page["data"].as_array().expect("rows").clone();
        assert!(rows.len() <= 3);
        seen.extend(rows.iter().map(|row| row["id"].as_str().expect("an id").to_owned()));
        pages += 1;
        // What comes in meanwhile is newer: it moves nothing.
        caller.chat("flux-fast").expect_status(200);
        let Some(next) = page["next_cursor"].as_str() else { break };
        assert_eq!(page["has_more"], true);
        cursor = format!("&cursor={next}");
    }
    assert_eq!((seen.len(), pages), (BEFORE, 3), "{seen:?}");
    assert!(seen.is_sorted_by(|newer, older| newer > older), "newest first: {seen:?}");
    assert_eq!(seen.iter().collect::<BTreeSet<_>>(), sent.iter().collect(), "each once, none left out");
    for query in ["limit=0", "limit=201", "cursor=x", "modle=x", "status=fine", "from=later", "group_by=week"] {
        caller.get(&format!("/v1/usage?{query}")).expect_status(400);
    }
}

/// The price of a row is computed again from its tokens, and is what was charged.
#[track_caller]
fn assert_explained(caller: &Caller<'_>, row: &Value) {
    let id = row["id"].as_str().expect("an id");
    let one = caller.get(&format!("/v1/usage/{id}")).expect_status(200).json();
    let calculation = &one["calculation"];
    assert_eq!((&one["cost_usd"], &calculation["agrees"]), (&row["cost_usd"], &json!(true)), "{one:#}");
    assert_eq!(calculation["price_usd"], row["cost_usd"]);
    let by = if row["lane"].is_null() { "model" } else { "lane" };
    assert_eq!(calculation["priced_by"], by);
    let counted: u64 =
        calculation["lines"].as_array().expect("lines").iter().map(|l| l["quantity"].as_u64().expect("whole")).sum();
    assert_eq!(json!(counted), row["tokens_used"], "{one:#}");
}

#[test]
fn sums_rows_and_explanations_agree() {
    let (openai, anthropic) = (Provider::openai(), Provider::anthropic());
    let flux = Setup::with(&[&openai, &anthropic]).start();
    let caller = Caller::new(&flux, &flux.key);
    for model in ["flux-fast", "flux-fast", "gpt-4o-mini", "claude-haiku-4-5"] {
        caller.chat(model).expect_status(200);
    }
    let rows = caller.get("/v1/usage").expect_status(200).json();
    assert_eq!(rows["up_to_date"], true, "a row that was settled is there: {rows}");
    let rows = rows["data"].as_array().expect("rows").clone();
    assert_eq!(rows.len(), 4);
    let cost = |row: &Value| nano(row["cost_usd"].as_str().expect("a decimal"));
    let spent: i64 = rows.iter().map(cost).sum();
    for group in ["day", "key", "model", "lane"] {
        let sums = caller.get(&format!("/v1/usage?group_by={group}")).expect_status(200).json();
        let groups = sums["data"].as_array().expect("groups");
        assert_eq!(groups.iter().map(cost).sum::<i64>(), spent, "{group}");
        assert_eq!((cost(&sums["total"]), &sums["total"]["requests"]), (spent, &json!(4)), "{group}");
        let tokens = |of: &[Value]| of.iter().map(|row| row["output_tokens"].as_u64().expect("tokens")).sum::<u64>();
        assert_eq!(tokens(groups), tokens(&rows), "{group}");
        // The command line tells the same.
        let told = flux.run_json(&["usage", "--by", group, "--account", "default", "--json"]);
        assert_eq!((&told["data"], &told["total"]), (&sums["data"], &sums["total"]), "{group}");
    }
    for row in &rows {
        assert_explained(&caller, row);
    }
    let fast = caller.get("/v1/usage?lane=flux-fast").json();
    assert_eq!(fast["data"].as_array().map(Vec::len), Some(2));
    assert_eq!(caller.get("/v1/usage?status=cut").json()["data"], json!([]));
    assert_eq!(caller.get("/v1/usage?to=2020-01-01").json()["data"], json!([]));
    assert_eq!(
        caller.get("/v1/usage?from=2020-01-01&provider=anthropic").json()["data"].as_array().map(Vec::len),
        Some(1)
    );
    // As a table.
    let table = caller.csv("/v1/usage?limit=3").expect_status(200);
    assert_eq!(table.header("content-type"), "text/csv; charset=utf-8");
    let lines: Vec<&str> = table.body.split(|b| *b == b'\n').map(|l| std::str::from_utf8(l).expect("text")).collect();
    assert!(lines[0].starts_with("id,created_at,key_id,") && lines.len() == 5, "{lines:?}");
    assert!(lines.iter().take(4).all(|line| line.matches(',').count() == lines[0].matches(',').count()), "{lines:?}");
    let rest = caller.csv(&format!("/v1/usage?cursor={}", table.header("x-flux-next-cursor"))).expect_status(200);
    assert_eq!(rest.text().lines().count(), 2);
    assert!(caller.csv("/v1/usage?group_by=model").text().starts_with("model,key_prefix,requests,"));
}

#[test]
fn credits_tell_what_was_used() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let admin = Caller::new(&flux, &flux.key);
    let made = admin.post("/v1/keys", &json!({"budget": {"amount_usd": 1, "period": "total"}})).expect_status(201);
    let spender = Caller::new(&flux, &raw(&made));
    let cost = spender.chat("flux-fast").expect_status(200).cost_nano();
    let told = spender.get("/v1/credits").expect_status(200).json();
    let money = |value: &Value| nano(value.as_str().unwrap_or_else(|| panic!("no decimal: {told:#}")));
    assert_eq!((money(&told["used"]), money(&told["overage"])), (cost, cost));
    let budget = &told["key_budget"];
    assert_eq!((money(&budget["used_usd"]), money(&budget["available_usd"])), (cost, 1_000_000_000 - cost));
    assert_eq!(
        (&told["unit"], &told["tariff"]["id"], &told["available"]),
        (&json!("usd"), &json!("house"), &Value::Null)
    );
    let lanes = &told["breakdown"]["by_lane"];
    assert_eq!((&lanes[0]["group"], money(&lanes[0]["cost_usd"])), (&json!("flux-fast"), cost));
    assert!(told["total_consumed"].is_number() && told["balance"].is_null(), "{told:#}");
    assert_eq!(told["held"], "0");
    // A client that may not ask models any more still sees why.
    let path = format!("/v1/keys/{}", made.json()["id"]);
    admin.ask("PATCH", &path, &json!({"budget": {"amount_usd": "0.000000001", "period": "total"}})).expect_status(200);
    spender.chat("flux-fast").expect_status(402);
    spender.get("/v1/credits").expect_status(200);
}

#[test]
fn an_account_is_held_to_so_many_questions_and_models_are_not() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let caller = Caller::new(&flux, &flux.key);
    let mut conn = flux.connect();
    let ask = request("GET", "/v1/credits", &[("authorization", &caller.bearer)], b"");
    let mut refused = None;
    wait_for("too many questions", || {
        let reply = conn.ask(&ask);
        refused = (reply.status == 429).then_some(reply);
        refused.is_some()
    });
    assert_eq!(refused.expect("a refusal").header("retry-after"), "1");
    caller.chat("flux-fast").expect_status(200);
    wait_for("the next second", || conn.ask(&ask).status == 200);
}

#[test]
fn the_bounds_of_questions_and_keys_are_settings() {
    let flux = Setup::with(&[])
        .env("FLUX_LIMITS__ACCOUNT_QUESTIONS_PER_SECOND", "3")
        .env("FLUX_LIMITS__KEYS_OF_ACCOUNT_MAX", "4")
        .env("FLUX_LEDGER__READERS_MAX", "1")
        .start();
    let caller = Caller::new(&flux, &flux.key);
    // The first start made two.
    for status in [201, 201, 400] {
        caller.post("/v1/keys", &json!({})).expect_status(status);
    }
    let mut conn = flux.connect();
    let ask = request("GET", "/v1/usage", &[("authorization", &caller.bearer)], b"");
    wait_for("too many questions", || {
        let reply = conn.ask(&ask);
        assert!(reply.status == 200 || reply.text().contains("3 times a second"), "{}", reply.text());
        reply.status == 429
    });
}

#[test]
fn what_is_served_is_told_to_everyone() {
    let flux = Setup::with(&[]).start();
    let told = flux.ask(&request("GET", "/openapi.json", &[], b"")).expect_status(200).json();
    assert_eq!(told["openapi"], "3.1.0");
    for path in ["/v1/keys/{id}/rotate", "/v1/usage/{id}", "/v1/credits", "/v1/chat/completions", "/openapi.json"] {
        assert!(told["paths"][path].is_object(), "{path}");
    }
    let create = &told["components"]["schemas"]["CreateKey"];
    assert_eq!(create["additionalProperties"], false, "{create:#}");
}

#[test]
fn no_prompt_and_no_answer_is_in_any_file() {
    const PROMPT: &str = "PROMPT-MARKER-5501";
    const ANSWER: &str = "ANSWER-MARKER-6602";
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let caller = Caller::new(&flux, &flux.key);
    openai.always(super::answers::chat(ANSWER, super::answers::chat_usage(10, 5)));
    for streamed in [false, true] {
        let messages = json!([{"role": "user", "content": PROMPT}]);
        let body = json!({"model": "flux-fast", "messages": messages, "user": PROMPT, "stream": streamed});
        assert!(caller.post("/v1/chat/completions", &body).expect_status(200).text().contains(ANSWER));
    }
    for target in ["/v1/usage", "/v1/usage?group_by=day", "/v1/credits"] {
        let told = caller.get(target).expect_status(200).text();
        assert!(!told.contains(PROMPT) && !told.contains(ANSWER), "{told}");
    }
    flux.wait_for_rows(2);
    let mut folders = vec![flux.data_dir().to_owned()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
                continue;
            }
            // A socket holds nothing.
            if !entry.path().is_file() {
                continue;
            }
            files += 1;
            let bytes = std::fs::read(entry.path()).expect("a file");
            for marker in [PROMPT, ANSWER] {
                assert!(!contains(&bytes, marker.as_bytes()), "{marker} is in {:?}", entry.path());
            }
        }
    }
    assert!(files >= 3, "{files} files: journal and database at least");
}
