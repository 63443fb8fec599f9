//! Same format in and out: what may change on the way is the model's name and nothing else.
//!
//! Must not know how the splice is done: it compares bytes on both sides.

use serde_json::{Value, json};

use super::answers::{self, Answer, PRIVATE_HEADERS, PROVIDER_WORDS};
use super::harness::{Flux, Setup, ask_chat, ask_messages};
use super::http::{Reply, request};
use super::ledger::Row;
use super::provider::Provider;

/// What no answer may carry: a provider's headers, cookies and figures.
#[track_caller]
pub(crate) fn assert_clean(reply: &Reply) {
    for (name, value) in PRIVATE_HEADERS {
        assert_ne!(reply.headers.get(name), Some(value), "{name} of the provider reached the client");
    }
    for name in ["set-cookie", "openai-organization", "anthropic-organization-id", "cf-ray", "keep-alive"] {
        assert_eq!(reply.headers.get(name), None, "{name} reached the client");
    }
}

/// OpenAI's error shape, every field of it.
#[track_caller]
pub(crate) fn assert_chat_error(reply: &Reply, status: u16) -> Value {
    assert_eq!(reply.status, status, "{}", reply.text());
    let error = reply.json()["error"].clone();
    assert!(error["message"].as_str().is_some_and(|m| !m.is_empty()), "{}", reply.text());
    assert!(error["type"].is_string(), "{}", reply.text());
    for field in ["param", "code"] {
        assert!(error.get(field).is_some(), "no {field} in {}", reply.text());
    }
    assert!(reply.header("content-type").starts_with("application/json"));
    error
}

/// Anthropic's error shape, every field of it.
#[track_caller]
pub(crate) fn assert_messages_error(reply: &Reply, status: u16, kind: &str) -> Value {
    assert_eq!(reply.status, status, "{}", reply.text());
    let body = reply.json();
    assert_eq!(body["type"], "error", "{}", reply.text());
    assert_eq!(body["error"]["type"], kind, "{}", reply.text());
    assert!(body["error"]["message"].as_str().is_some_and(|m| !m.is_empty()), "{}", reply.text());
    assert!(body["request_id"].is_string(), "{}", reply.text());
    body["error"].clone()
}

/// Everything that must survive untouched: odd spacing, escapes, numbers no float can hold, decoys of `model`
/// and `stream` at other depths and inside strings, unknown fields, tools, images.
const ODD_CHAT: &str = concat!(
    "{ \"messages\" : [ {\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"\\u00e9\\ud83d\\ude00 \\\"model\\\":\\\"x\\\" \u{1F600}\"},",
    "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,iVBORw0KGgo=\"}}]} ,\n",
    "\t{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"call_1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"model\\\":1}\"}}]},",
    "{\"role\":\"tool\",\"tool_call_id\":\"call_1\",\"content\":\"ok\",\"model\":\"decoy\",\"stream\":true}],\r\n",
    "\"x_unknown\":{\"model\":\"decoy\",\"stream\":true,\"deep\":[[[{}]]]},\"seed\":12345678901234567890123456789,",
    "\"temperature\":1.0000000000000000000001e-2,\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":\"object\"}}}],",
    "\"model\"  :  \"gpt-4o-mini\"  ,\"metadata\":{\"a\":\"b\"}, \"last\":null }\n"
);

#[test]
fn t53_an_openai_body_goes_up_byte_for_byte_but_for_the_model() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    flux.ask(&flux.chat_request(ODD_CHAT.as_bytes())).expect_status(200);
    let expected = ODD_CHAT.replace("\"gpt-4o-mini\"", "\"gpt-6-luna\"");
    assert_eq!(openai.only().text(), expected);
}

#[test]
fn t53_an_anthropic_body_with_betas_and_query_goes_up_byte_for_byte_but_for_the_model() {
    let anthropic = Provider::anthropic();
    let flux = Setup::with(&[&anthropic]).start();
    let body = concat!(
        "{\"system\":[{\"type\":\"text\",\"text\":\"s\",\"cache_control\":{\"type\":\"ephemeral\",\"ttl\":\"1h\"}}],\"messages\":[",
        "{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"c2ln\"}]},{\"role\":\"user\",\"content\":\"hi\"}],",
        "\"context_management\":{\"edits\":[]},\"max_tokens\":64,\"model\":\"claude-3-5-haiku-latest\",\"thinking\":{\"type\":\"adaptive\"} }"
    );
    for path in ["/anthropic/v1/messages?beta=true", "/v1/messages?beta=true"] {
        anthropic.forget();
        let headers = [
            ("x-api-key", flux.key.as_str()),
            ("anthropic-version", "2023-06-01"),
            ("anthropic-beta", "context-1m-2025-08-07,interleaved-thinking-2025-05-14,not-known-yet"),
            ("content-type", "application/json"),
        ];
        flux.ask(&request("POST", path, &headers, body.as_bytes())).expect_status(200);
        let seen = anthropic.only();
        assert_eq!(seen.text(), body.replace("claude-3-5-haiku-latest", "claude-haiku-5-5"));
        assert_eq!(seen.target, "POST /v1/messages?beta=true");
        assert_eq!(seen.headers.get("anthropic-beta"), Some(headers[2].1));
        assert_eq!(seen.headers.get("anthropic-version"), Some("2023-06-01"));
    }
}

#[test]
fn a_unary_answer_comes_down_byte_for_byte() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let answer = concat!(
        "\n { \"id\":\"x\", \"unknown\":{\"usage\":{\"prompt_tokens\":9}}, \"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",",
        "\"content\":\"\\\"usage\\\":{\\\"prompt_tokens\\\":7} \u{1F600}\",\"tool_calls\":[]},\"finish_reason\":\"stop\"}],",
        "\"usage\" : {\"completion_tokens\":500,\"prompt_tokens\":1000,\"later\":{}} }\n\n"
    );
    openai.next(Answer::bytes(200, &[("content-type", "application/json")], answer.as_bytes()));
    let reply = flux.chat(&ask_chat("gpt-4o-mini")).expect_status(200);
    assert_eq!(reply.text(), answer);
    assert_eq!(reply.header("content-length"), answer.len().to_string());
    assert_eq!(reply.cost_nano(), 350_000, "the usage object of the answer itself counts, no decoy");
}

#[test]
fn a_request_carries_nothing_of_the_client_but_its_body() {
    let openai = Provider::openai();
    let anthropic = Provider::anthropic();
    let flux = Setup::with(&[&openai, &anthropic]).start();
    let bearer = flux.bearer();
    // Each of these would be a leak or a way to change the meaning of the request upstream.
    let nosy = [
        ("cookie", "session=client"),
        ("x-flux-evil", "1"),
        ("accept-encoding", "gzip, br"),
        ("x-forwarded-for", "203.0.113.9"),
        ("forwarded", "for=203.0.113.9"),
        ("connection", "keep-alive, x-hop"),
        ("x-hop", "hop"),
        ("te", "trailers"),
        ("proxy-authorization", "Basic Y2xpZW50"),
        ("origin", "https://client.test"),
        ("referer", "https://client.test/"),
        ("openai-organization", "org-client"),
        ("api-key", "client-azure-key"),
        ("x-goog-api-key", "client-google-key"),
        ("content-type", "application/json"),
        ("authorization", bearer.as_str()),
        ("anthropic-version", "2023-06-01"),
        ("x-client-secret", "client-secret"),
    ];
    let ask = |path, body: &Value| flux.ask(&request("POST", path, &nosy, body.to_string().as_bytes()));
    ask("/v1/chat/completions", &ask_chat("gpt-4o-mini")).expect_status(200);
    ask("/anthropic/v1/messages", &ask_messages("claude-3-5-haiku-latest")).expect_status(200);
    for provider in [&openai, &anthropic] {
        let seen = provider.only();
        for name in ["x-hop", "x-client-secret"] {
            assert_eq!(seen.headers.get(name), None, "{name} reached {}", provider.name());
        }
    }
}

#[test]
fn an_answer_carries_nothing_of_the_provider_but_its_body() {
    let openai = Provider::openai();
    let anthropic = Provider::anthropic();
    let flux = Setup::with(&[&openai, &anthropic]).start();
    for streamed in [false, true] {
        let mut chat = ask_chat("gpt-4o-mini");
        chat["stream"] = streamed.into();
        let mut messages = ask_messages("claude-3-5-haiku-latest");
        messages["stream"] = streamed.into();
        for reply in [flux.chat(&chat), flux.messages(&messages)] {
            let reply = reply.expect_status(200);
            assert_clean(&reply);
            for name in ["content-type", "x-flux-request-id"] {
                assert_eq!(reply.headers.count(name), 1, "{name}");
            }
        }
    }
}

#[test]
fn every_routed_answer_says_how_it_was_routed() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    for (model, lane) in [("gpt-4o-mini", "pinned"), ("flux-pinned-gpt-6-luna", "pinned"), ("flux-fast", "flux-fast")] {
        for streamed in [false, true] {
            let mut body = ask_chat(model);
            body["stream"] = streamed.into();
            let reply = flux.chat(&body).expect_status(200);
            assert_eq!(reply.header("x-flux-original-model"), model);
            assert!(reply.header("x-flux-model").contains("gpt-6-luna"), "{}", reply.header("x-flux-model"));
            assert_eq!(reply.header("x-flux-provider"), "openai");
            assert_eq!(reply.header("x-flux-attempts"), "1");
            assert!(reply.headers.get("x-flux-routed").is_some());
            assert_eq!(reply.header("x-flux-lane"), lane);
            let id = reply.header("x-flux-request-id");
            assert!(id.starts_with("req_"), "{id}");
            assert_eq!(reply.header("x-request-id"), id);
            assert_eq!(reply.headers.get("x-flux-cost-usd").is_some(), !streamed);
        }
    }
}

#[test]
fn an_anthropic_answer_carries_request_id() {
    let anthropic = Provider::anthropic();
    let flux = Setup::with(&[&anthropic]).start();
    let reply = flux.messages(&ask_messages("claude-3-5-haiku-latest")).expect_status(200);
    assert_eq!(reply.header("request-id"), reply.header("x-flux-request-id"));
    // 1000 in and 500 out at claude-haiku-5-5's 0.1 and 0.5 per million.
    assert_eq!(reply.cost_nano(), 350_000);
}

/// A usage object, and what it costs in nano-USD.
#[track_caller]
fn check_cost(flux: &Flux, provider: &Provider, model: &str, usage: &Value, nano_usd: i64) {
    let reply = if provider.name() == "anthropic" {
        provider.next(Answer::json(200, &answers::messages_body("ok", usage)));
        flux.messages(&ask_messages(model))
    } else {
        provider.next(Answer::json(200, &answers::chat_body("ok", usage)));
        flux.chat(&ask_chat(model))
    };
    assert_eq!(reply.expect_status(200).cost_nano(), nano_usd, "{model} {usage}");
}

#[test]
fn t18_cached_tokens_are_counted_once_in_either_format() {
    let openai = Provider::openai();
    let anthropic = Provider::anthropic();
    let flux = Setup::with(&[&openai, &anthropic]).start();
    let luna = |usage: Value, nano| check_cost(&flux, &openai, "flux-pinned-gpt-6-luna", &usage, nano);
    // Prices of gpt-6-luna in USD per million: 0.1 in, 0.01 cached, 0.5 out.
    luna(answers::chat_usage(1000, 500), 350_000);
    let cached =
        json!({"prompt_tokens": 1000, "completion_tokens": 500, "prompt_tokens_details": {"cached_tokens": 400}});
    luna(cached, 600 * 100 + 400 * 10 + 500 * 500);
    let reasoned = json!({"prompt_tokens": 1000, "completion_tokens": 500, "completion_tokens_details": {"reasoning_tokens": 450}});
    luna(reasoned, 350_000);
    // More than 272,000 tokens of prompt: the dearer tier for the whole request.
    luna(answers::chat_usage(300_000, 1000), 300_000 * 200 + 1000 * 750);

    let haiku = |usage: Value, nano| check_cost(&flux, &anthropic, "flux-pinned-claude-haiku-5-5", &usage, nano);
    // claude-haiku-5-5: 0.1 in, 0.01 cache read, 0.125 and 0.2 cache writes of 5 minutes and an hour, 0.5 out.
    haiku(
        json!({"input_tokens": 100, "cache_read_input_tokens": 1000, "cache_creation_input_tokens": 500,
            "cache_creation": {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 300}, "output_tokens": 50}),
        100 * 100 + 1000 * 10 + 200 * 125 + 300 * 200 + 50 * 500,
    );
    haiku(
        json!({"input_tokens": 100, "cache_creation_input_tokens": 200, "output_tokens": 50}),
        100 * 100 + 200 * 125 + 50 * 500,
    );
    let rows = flux.wait_for_rows(6);
    // Rows of one millisecond are in no order.
    let counts = |row: &Row| (row.number("input"), row.number("cache_read"), row.number("output"));
    assert_eq!(rows.iter().filter(|row| counts(row) == (600, 400, 500)).count(), 1);
}

#[test]
fn a_lane_is_charged_at_the_lanes_price() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    // 1000 in and 500 out: Express 1 and 4, Daily Driver 2 and 8, Deep Thought 4 and 16 dollars per million.
    for (lane, nano) in [("flux-fast", 3_000_000), ("flux-standard", 6_000_000), ("flux-reasoning", 12_000_000)] {
        check_cost(&flux, &openai, lane, &answers::chat_usage(1000, 500), nano);
    }
    let rows = flux.wait_for_rows(3);
    // Rows of one millisecond are in no order.
    let row = rows.iter().find(|row| row.text("lane") == "flux-fast").unwrap();
    assert_eq!(row.amount_nano(), 3_000_000);
    assert_eq!(row.number("provider_cost"), 350_000);
}

#[test]
fn the_row_says_what_the_header_said() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let reply = flux.chat(&ask_chat("gpt-4o-mini")).expect_status(200);
    let row = flux.only_row();
    assert_eq!(row.amount_nano(), reply.cost_nano());
    assert_eq!(row.request_id(), reply.header("x-flux-request-id"));
    assert_eq!((row.text("provider"), row.text("ending")), ("openai", "done"));
    assert_eq!((row.number("streamed"), row.number("attempts"), row.is_estimated()), (0, 1, false));
    let proof = flux.run(&["reconcile", "--json"]);
    assert!(proof.status.success(), "{}", String::from_utf8_lossy(&proof.stdout));
}

#[test]
fn t08_an_error_of_the_client_is_passed_on_in_its_shape_and_costs_nothing() {
    let openai = Provider::openai();
    let anthropic = Provider::anthropic();
    let flux = Setup::with(&[&openai, &anthropic]).start();
    for status in [400, 404, 413, 422] {
        let provider_error = json!({"error": {"message": "max_tokens is too large", "type": "invalid_request_error",
            "param": "max_tokens", "code": "integer_above_max_value"}});
        openai.next(Answer::json(status, &provider_error));
        let reply = flux.chat(&ask_chat("gpt-4o-mini"));
        let error = assert_chat_error(&reply, status);
        assert!(error["message"].as_str().unwrap_or_default().contains("max_tokens is too large"), "{error}");
        assert_clean(&reply);
        if let Some(cost) = reply.headers.get("x-flux-cost-usd") {
            assert_eq!(super::http::nano(cost), 0);
        }
    }
    let provider_error =
        json!({"type": "error", "error": {"type": "invalid_request_error", "message": "max_tokens: too large"}});
    anthropic.next(Answer::json(400, &provider_error));
    let reply = flux.messages(&ask_messages("claude-3-5-haiku-latest"));
    assert_messages_error(&reply, 400, "invalid_request_error");
    assert_eq!((openai.count(), anthropic.count()), (4, 1), "a client's own error is not tried again");

    // A charged request behind them shows that nothing else was booked.
    flux.chat(&ask_chat("gpt-4o-mini")).expect_status(200);
    flux.only_row();
}

#[test]
fn t07_t08_a_provider_that_fails_costs_nothing_and_tells_nothing() {
    let openai = Provider::openai();
    let anthropic = Provider::anthropic();
    let flux = Setup::with(&[&openai, &anthropic]).start();
    openai.next(Answer::failure(500));
    let chat = flux.chat(&ask_chat("gpt-4o-mini"));
    assert_chat_error(&chat, 503);
    anthropic.next(Answer::messages_failure(529, "overloaded_error"));
    let messages = flux.messages(&ask_messages("claude-3-5-haiku-latest"));
    assert_eq!(messages.json()["type"], "error");
    assert_eq!(messages.status, 503);
    for reply in [chat, messages] {
        assert_tells_nothing(&reply);
        assert_clean(&reply);
    }
    flux.chat(&ask_chat("gpt-4o-mini")).expect_status(200);
    flux.only_row();
}

/// An answer that names no provider, address, key or foreign words.
#[track_caller]
pub(crate) fn assert_tells_nothing(reply: &Reply) {
    let text = reply.text().to_lowercase();
    let internals =
        ["cerebras", "groq", "openai.com", "127.0.0.1", "sk-upstream", "pingora", "internal_code", "connectrefused"];
    for word in internals {
        assert!(!text.contains(word), "the error names {word}: {text}");
    }
    assert!(!text.contains(&PROVIDER_WORDS.to_lowercase()), "{text}");
}

#[test]
fn a_model_of_another_format_answers_in_the_clients_own() {
    let groq = Provider::groq();
    let anthropic = Provider::anthropic();
    let flux = Setup::with(&[&groq, &anthropic]).start();
    let reply = flux.chat(&ask_chat("flux-pinned-claude-haiku-5-5")).expect_status(200);
    assert_eq!(reply.json()["choices"][0]["message"]["content"], "Hello from the provider.");
    assert_eq!(reply.header("x-flux-provider"), "anthropic");
    let reply = flux.messages(&ask_messages("flux-pinned-gpt-oss-20b")).expect_status(200);
    assert_eq!(reply.json()["content"][0]["text"], "Hello from the provider.");
    assert_eq!(reply.header("x-flux-provider"), "groq");
    assert_eq!((groq.count(), anthropic.count()), (1, 1));
}

#[test]
fn an_unknown_model_is_404_in_either_shape() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let error = assert_chat_error(&flux.chat(&ask_chat("no-such-model")), 404);
    assert_eq!(error["code"], "model_not_found");
    assert_messages_error(&flux.messages(&ask_messages("no-such-model")), 404, "not_found_error");
    // A known name whose provider is not configured cannot be routed either.
    let reply = flux.chat(&ask_chat("flux-pinned-grok-4-7"));
    assert!([404, 503].contains(&reply.status), "{}", reply.text());
}

#[test]
fn a_compressed_answer_is_still_read_and_metered() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let plain = answers::chat_body("packed though identity was asked for", &answers::chat_usage(1000, 500)).to_string();
    let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
    openai.next(Answer::bytes(200, &headers, &answers::gzip(plain.as_bytes())));
    let reply = flux.chat(&ask_chat("gpt-4o-mini")).expect_status(200);
    assert_eq!(reply.headers.get("content-encoding"), None, "the client did not ask for gzip");
    assert_eq!(reply.text(), plain);
    assert_eq!(reply.cost_nano(), 350_000);
}

/// An answer that is larger than whatever may be held, its usage behind or before the bulk of it.
#[track_caller]
fn check_oversize(answer: &str) {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    openai.next(Answer::bytes(200, &[("content-type", "application/json")], answer.as_bytes()));
    let reply = flux.chat(&ask_chat("gpt-4o-mini")).expect_status(200);
    assert!(reply.is_complete);
    assert!(reply.body == answer.as_bytes(), "{} bytes in, {} out", answer.len(), reply.body.len());
    let row = flux.only_row();
    assert_eq!((row.amount_nano(), row.is_estimated()), (350_000, false));
}

const OVERSIZE_BYTES: usize = 20 << 20;

#[test]
fn t16_usage_of_an_answer_beyond_every_buffer_is_metered() {
    let text = "words ".repeat(OVERSIZE_BYTES / 6);
    let usage = answers::chat_usage(1000, 500);
    check_oversize(&format!("{{\"choices\":[{{\"message\":{{\"content\":\"{text}\"}}}}],\"usage\":{usage}}}"));
}

#[test]
fn t16_usage_before_the_bulk_of_such_an_answer_is_metered() {
    let text = "words ".repeat(OVERSIZE_BYTES / 6);
    let usage = answers::chat_usage(1000, 500);
    check_oversize(&format!("{{\"usage\":{usage},\"choices\":[{{\"message\":{{\"content\":\"{text}\"}}}}]}}"));
}

#[test]
fn t17_a_silent_provider_is_estimated_and_marked() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let mut body = answers::chat_body(&"word ".repeat(1000), &Value::Null);
    body.as_object_mut().expect("an object").remove("usage");
    openai.next(Answer::json(200, &body));
    let reply = flux.chat(&ask_chat("gpt-4o-mini")).expect_status(200);
    let row = flux.only_row();
    assert!(row.is_estimated());
    assert_eq!(row.amount_nano(), reply.cost_nano());
    assert!(
        (900..1300).contains(&row.number("output")),
        "1000 words are about 1000 tokens, not {}",
        row.number("output")
    );
    assert!((2..60).contains(&row.number("input")), "{}", row.number("input"));
}
