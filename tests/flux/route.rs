//! Where a request would go: asked over HTTP, asked offline, and scored on a labelled set.
//!
//! Must not know how it is decided, only that what is told is what then happens.

use std::io::Write;
use std::process::{Output, Stdio};

use serde_json::{Value, json};

use super::harness::{Flux, Setup, ask_chat, conf_dir, flux};
use super::http::{Reply, request};
use super::provider::Provider;

const CODE: &str =
    "Fix this Python function, it raises a TypeError:\n```python\ndef add(a, b):\n    return a + str(b)\n```";

fn body(model: &str, prompt: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": prompt}]})
}

fn ask(flux: &Flux, target: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
    let bearer = flux.bearer();
    let headers = [&[("authorization", bearer.as_str()), ("content-type", "application/json")], headers].concat();
    flux.ask(&request("POST", target, &headers, body.to_string().as_bytes()))
}

/// Runs `flux route` with something at its standard input.
fn offline(arguments: &[&str], input: &str) -> Output {
    let mut command = flux(arguments);
    command.arg("--config").arg(conf_dir()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("flux runs");
    // Who refuses its arguments reads no input.
    let _ = child.stdin.take().expect("an input").write_all(input.as_bytes());
    child.wait_with_output().expect("flux ends")
}

fn offline_json(arguments: &[&str], input: &str) -> Value {
    let Output { status, stdout, stderr } = offline(arguments, input);
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{arguments:?}: {stdout}{stderr}");
    assert!(!stdout.contains('\x1b'), "colours on a pipe: {stdout}");
    serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {stdout}"))
}

#[test]
fn what_is_told_is_what_happens() {
    let (openai, anthropic) = (Provider::openai(), Provider::anthropic());
    let flux = Setup::with(&[&openai, &anthropic]).start();
    for (model, prompt) in [
        ("flux-auto", CODE),
        ("flux-auto", "hi"),
        ("flux-auto", "Prove that there are infinitely many primes p with p = 3 mod 4, and derive a bound."),
        ("flux-fast", "hi"),
        ("gpt-4o-mini", "hi"),
        ("claude-haiku-4-5", "hi"),
    ] {
        let told = ask(&flux, "/v1/route", &[], &body(model, prompt)).expect_status(200).json();
        let done = flux.chat(&body(model, prompt)).expect_status(200);
        assert_eq!(told["lane"].as_str().unwrap_or("pinned"), done.header("x-flux-lane"), "{model}: {told:#}");
        assert_eq!(told["model"], done.header("x-flux-model"), "{model}: {told:#}");
        assert_eq!(told["attempts"][0]["provider"], done.header("x-flux-provider"), "{model}: {told:#}");
        let by = told["reason"]["by"].as_str().expect("a reason");
        assert_eq!(by == "request", model != "flux-auto", "{told:#}");
    }
    assert_eq!(flux.wait_for_rows(6).len(), 6, "what is only asked about is not charged");
    assert!(!flux.log().contains("TypeError"), "a prompt is in the log");
}

#[test]
fn all_that_decided_is_told() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let told = ask(&flux, "/v1/route", &[], &body("flux-auto", CODE)).expect_status(200).json();
    assert_eq!((&told["object"], &told["requested_model"]), (&json!("route"), &json!("flux-auto")));
    assert_eq!((&told["wire_format"], &told["quality"]), (&json!("openai-chat"), &json!(0.5)));
    let kinds = told["kinds"].as_array().expect("kinds");
    let sum: f64 = kinds.iter().map(|kind| kind["probability"].as_f64().expect("a share")).sum();
    assert!((sum - 1.0).abs() < 1e-3, "{sum}");
    assert_eq!(told["reason"], json!({"by": "kind", "name": kinds[0]["kind"]}));
    let clues = told["clues"].as_array().expect("clues");
    assert!((1..=12).contains(&clues.len()), "{clues:#?}");
    assert!(clues.iter().all(|clue| clue["weight"].is_number() && clue["text"].is_string()), "{clues:#?}");
    assert_eq!((&told["features"]["code_fences"], &told["features"]["has_tools"]), (&json!(2), &json!(false)));
    let score = told["score"].as_f64().expect("a score");
    let lanes = told["lanes"].as_array().expect("lanes");
    let quality = |at: usize| lanes[at]["expected_quality"].as_f64().expect("a quality");
    assert!((score - (quality(2) - quality(1))).abs() < 2e-4, "{told:#}");
    let attempt = &told["attempts"][0];
    assert_eq!(attempt["pricing"]["unit"], "1M tokens");
    let usd = |value: &Value| value.as_str().expect("a decimal").parse::<f64>().expect("a decimal");
    let tokens = &told["estimated_tokens"];
    assert_eq!((&tokens["output"], &tokens["output_is_assumed"]), (&json!(500), &json!(true)));
    let input = tokens["input"].as_f64().expect("tokens");
    let least = input * usd(&attempt["pricing"]["input_usd"]) + 500.0 * usd(&attempt["pricing"]["output_usd"]);
    assert!(usd(&attempt["estimated_cost_usd"]) * 1e6 >= least * 0.999, "{told:#}");
    let others: Vec<&str> =
        told["alternatives"].as_array().expect("others").iter().map(|o| o["lane"].as_str().expect("a lane")).collect();
    assert!(others.len() == 3 && !others.contains(&told["lane"].as_str().expect("a lane")), "{others:?}");
    // The wish for quality, by the query and by the header that a request would carry.
    let wished = |target: &str, headers: &[(&str, &str)]| {
        let told = ask(&flux, target, headers, &body("flux-auto", CODE)).expect_status(200).json();
        (told["quality"].as_f64().expect("a wish"), told["lane"].as_str().expect("a lane").to_owned())
    };
    assert_eq!(wished("/v1/route?quality=0", &[]), (0.0, "flux-fast".to_owned()));
    assert_eq!(wished("/v1/route?quality=1", &[]), (1.0, "flux-reasoning".to_owned()));
    assert_eq!(wished("/v1/route", &[("x-flux-quality", "1.0")]).1, "flux-reasoning");
    // A rule that holds is named.
    let picture = ask(&flux, "/v1/route", &[], &body("flux-auto", "Draw a picture of a fox in the snow.")).json();
    assert_eq!((&picture["lane"], &picture["reason"]["by"]), (&json!("flux-image"), &json!("rule")), "{picture:#}");
    assert_eq!(picture["rules"][0]["name"], picture["reason"]["name"]);
}

#[test]
fn any_of_the_three_apis_is_taken_and_what_no_model_would_get_is_refused() {
    let (openai, anthropic) = (Provider::openai(), Provider::anthropic());
    let flux = Setup::with(&[&openai, &anthropic]).start();
    let messages = json!([{"role": "user", "content": "hi"}]);
    let tool = json!([{"name": "f", "input_schema": {"type": "object"}}]);
    let version = [("anthropic-version", "2023-06-01")];
    for (target, headers, body, format) in [
        ("/v1/route", &[][..], json!({"model": "flux-fast", "input": "hi"}), "openai-responses"),
        (
            "/v1/route",
            &[],
            json!({"model": "flux-fast", "system": "Be brief.", "messages": messages}),
            "anthropic-messages",
        ),
        ("/v1/route", &[], json!({"model": "flux-fast", "tools": tool, "messages": messages}), "anthropic-messages"),
        ("/v1/route", &version, json!({"model": "flux-fast", "messages": messages}), "anthropic-messages"),
        ("/v1/route?format=chat", &version, json!({"model": "flux-fast", "messages": messages}), "openai-chat"),
        ("/v1/route?format=openai-responses", &[], json!({"model": "flux-fast", "input": []}), "openai-responses"),
    ] {
        let told = ask(&flux, target, headers, &body).expect_status(200).json();
        assert_eq!(told["wire_format"], format, "{target} {body}");
    }
    for (target, body, status) in [
        ("/v1/route?format=gemini", json!({"model": "flux-fast", "messages": messages}), 400),
        ("/v1/route?quality=2", json!({"model": "flux-fast", "messages": messages}), 400),
        ("/v1/route?qualty=1", json!({"model": "flux-fast", "messages": messages}), 400),
        ("/v1/route", json!({"messages": messages}), 400),
        ("/v1/route", json!([]), 400),
        ("/v1/route", json!({"model": "no-such-model", "messages": messages}), 404),
        ("/v1/route?format=messages", json!({"model": "flux-image", "messages": messages}), 400),
    ] {
        let refused = ask(&flux, target, &[], &body).expect_status(status).json();
        assert!(refused["error"]["message"].is_string(), "{refused}");
    }
    flux.ask(&request("POST", "/v1/route", &[], b"{}")).expect_status(401);
    flux.ask(&request("GET", "/v1/route", &[("authorization", &flux.bearer())], b"")).expect_status(405);
    // A key that may not ask for a lane is told so, as when it asked.
    let made = flux.run_json(&["keys", "create", "--json", "--allow", "flux-fast"]);
    let bearer = format!("Bearer {}", made["key"].as_str().expect("a key"));
    let asked = |model: &str| {
        let body = ask_chat(model).to_string();
        request("POST", "/v1/route", &[("authorization", &bearer)], body.as_bytes())
    };
    super::harness::wait_for("the key to work", || flux.ask(&asked("flux-fast")).status == 200);
    flux.ask(&asked("flux-reasoning")).expect_status(403);
    // A test key is told where the mock would answer.
    let bearer = format!("Bearer {}", flux.test_key);
    let body = body("flux-auto", "hi").to_string();
    let told = flux.ask(&request("POST", "/v1/route", &[("authorization", &bearer)], body.as_bytes())).json();
    assert_eq!(told["attempts"][0]["provider"], "mock", "{told:#}");
}

#[test]
fn odd_and_large_requests_are_answered_in_time() {
    let flux = Setup::with(&[]).start();
    let long = "word ".repeat(2 << 20);
    for prompt in [long.as_str(), "", "\u{0}\u{1}\u{2}", "🦊", "プログラムを書いてください", &"[".repeat(10_000)]
    {
        let told = ask(&flux, "/v1/route", &[], &body("flux-fast", prompt));
        assert!([200, 400].contains(&told.status), "{}", told.text());
        assert!(told.text().len() < 64 << 10);
    }
    ask(&flux, "/v1/route", &[], &json!({"model": "flux-auto", "messages": []})).expect_status(200);
}

#[test]
fn the_same_is_told_without_a_server() {
    let text = body("flux-auto", CODE).to_string();
    let told = offline_json(&["route", "-"], &text);
    // Without any provider's key the mock stands in, here as in a server.
    let flux = Setup::with(&[]).start();
    assert_eq!(told, ask(&flux, "/v1/route", &[], &body("flux-auto", CODE)).expect_status(200).json());
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("request.json");
    std::fs::write(&file, &text).expect("a file");
    let file = file.to_str().expect("a path");
    assert_eq!(offline_json(&["route", file, "--json"], ""), told);
    let wished = offline_json(&["route", file, "--quality", "1"], "");
    assert_eq!((&wished["lane"], &wished["quality"]), (&json!("flux-reasoning"), &json!(1.0)));
    let said = offline_json(&["route", file, "--format", "messages"], "");
    assert_eq!(said["wire_format"], "anthropic-messages");
    for (arguments, input, code, says) in [
        (&["route"][..], "", 2, "FILE"),
        (&["route", "no-such-file"], "", 1, "cannot be read"),
        (&["route", "-", "--quality", "2"], "", 2, "0 to 1"),
        (&["route", "-", "--format", "gemini"], "", 2, "responses"),
        (&["route", "-"], "{}", 1, "model"),
        (&["route", "-"], r#"{"model":"nonsense","messages":[]}"#, 1, "nonsense"),
        (&["route", "--eval", "-"], "{\"id\":\"a\"}\n", 1, "-:1: neither"),
        (&["route", "--eval", "-"], "", 1, "no request"),
        (&["route", "-", "--decisions", "x"], "", 2, "--decisions"),
    ] {
        let Output { status, stderr, .. } = offline(arguments, input);
        let stderr = String::from_utf8_lossy(&stderr);
        assert!(status.code() == Some(code) && stderr.contains(says), "{arguments:?}: {status} {stderr}");
    }
}

/// A row of a labelled set.
fn row(id: &str, source: &str, prompt: &str, [fast, standard, reasoning]: [f64; 3]) -> Value {
    let lane =
        |quality: f64, cost: f64| json!({"quality": quality, "cost_usd": cost, "tokens_in": 100, "tokens_out": 100});
    json!({"id": id, "source": source, "request": body("flux-auto", prompt),
        "lanes": {"fast": lane(fast, 0.001), "standard": lane(standard, 0.002), "reasoning": lane(reasoning, 0.01)}})
}

#[test]
fn a_labelled_set_is_scored() {
    let two = json!({"id": "p1", "source": "pairs", "request": body("flux-auto", "Write a poem about the sea."),
        "lanes": {"standard": {"quality": 0.9}, "reasoning": {"quality": 0.9}}});
    let picture = json!({"id": "i1", "source": "pictures", "expect": ["image"],
        "request": body("flux-auto", "Draw a picture of a fox in the snow.")});
    let rows = [
        row("c1", "code", CODE, [0.0, 1.0, 1.0]),
        row("c2", "code", "Write a Rust function that reverses a linked list in place.", [0.0, 0.0, 1.0]),
        row("t1", "talk", "hi", [1.0, 1.0, 1.0]),
        two,
        picture,
        json!({"id": "s1", "source": "shapes", "request": body("flux-auto", "What is the capital of France?")}),
    ];
    let set = rows.map(|row| format!("{row}\n")).concat();
    let dir = tempfile::tempdir().expect("a folder");
    let decisions = dir.path().join("decisions.jsonl");
    let report = offline_json(&["route", "--eval", "-", "--decisions", decisions.to_str().expect("a path")], &set);
    assert_eq!((&report["rows"], &report["outcome_rows"]), (&json!(6), &json!(3)));
    assert_eq!(report["images"], json!({"rows": 1, "right": 1, "text_rows": 5, "text_sent_there": 0}));
    assert_eq!(report["accepted"], json!([{"source": "pictures", "rows": 1, "right": 1}]));
    assert_eq!((&report["partial"]["rows"], &report["partial"]["fine"]), (&json!(1), &json!(1)));
    let counted: u64 = report["confusion"]
        .as_array()
        .expect("rows")
        .iter()
        .flat_map(|row| row.as_array().expect("lanes"))
        .map(|n| n.as_u64().expect("a count"))
        .sum();
    assert_eq!(counted, 3);
    for costs in ["observed", "lane_prices"] {
        let figures = &report[costs];
        assert_eq!(figures["rows"], 3, "{costs}");
        let quality = figures["quality"].as_f64().expect("a quality");
        assert!((0.0..=1.0).contains(&quality), "{costs}");
        assert_eq!(figures["at_equal_spend"].as_array().map(Vec::len), Some(3), "{costs}");
    }
    let p99 = report["decision_us"]["p99"].as_f64().expect("a time");
    assert!(p99 > 0.0 && p99 < 1e6, "{p99}");
    let written = std::fs::read_to_string(&decisions).expect("decisions");
    let lines: Vec<Value> = written.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(
        lines.iter().map(|line| line["id"].as_str().expect("an id")).collect::<Vec<_>>(),
        ["c1", "c2", "t1", "p1", "i1", "s1"]
    );
    assert!(lines.iter().all(|line| line["score"].is_number()), "{written}");
    assert_eq!(lines[4]["lane"], "image");
    // The same set gives the same figures, but for the time.
    let again = offline_json(&["route", "--eval", "-"], &set);
    let timeless = |mut report: Value| {
        report["decision_us"] = Value::Null;
        report
    };
    assert_eq!(timeless(again), timeless(report));
}
