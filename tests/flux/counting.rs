//! Counting a prompt's tokens: the provider's own count where it has one, in whatever format, a guess that says so else.
//!
//! Must not know a tokenizer.

use serde_json::json;

use super::answers::Answer;
use super::harness::Flux;
use super::http::Reply;
use super::passthrough::assert_messages_error;
use super::speakers::Speaker;
use super::translate::before;
use super::voices::{Said, Voice};

const COUNTERS: [(Speaker, &[&str]); 2] = [
    (Speaker::Messages, &["/anthropic/v1/messages/count_tokens", "/v1/messages/count_tokens"]),
    (Speaker::Responses, &["/v1/responses/input_tokens"]),
];

fn count(flux: &Flux, speaker: Speaker, path: &str, model: &str) -> Reply {
    let mut body = speaker.question(model, &"word ".repeat(400), false);
    for field in ["max_tokens", "max_output_tokens", "store"] {
        body.as_object_mut().expect("an object").remove(field);
    }
    flux.ask(&speaker.bytes(flux, path, &body))
}

#[test]
fn the_providers_own_count_is_told() {
    for (voice, speaker, paths) in
        [(Voice::Messages, COUNTERS[0].0, COUNTERS[0].1), (Voice::Responses, COUNTERS[1].0, COUNTERS[1].1)]
    {
        let (provider, flux) = before(voice);
        for path in paths {
            provider.forget();
            provider.next(Answer::json(200, &json!({"object": "response.input_tokens", "input_tokens": 4242})));
            let reply = count(&flux, speaker, path, voice.model()).expect_status(200);
            assert_eq!(reply.json()["input_tokens"], 4242);
            assert_eq!(reply.headers.get("x-flux-estimated"), None);
            assert_eq!(reply.headers.get("x-flux-cost-usd").unwrap_or("0"), "0");
            let asked = provider.only();
            assert!(asked.target.contains("count_tokens") || asked.target.contains("input_tokens"), "{}", asked.target);
        }
        assert_eq!(flux.ledger().len(), 0, "a count costs nothing");
    }
}

#[test]
fn another_formats_provider_is_asked_in_its_own_words() {
    for (voice, speaker, paths) in [
        (Voice::Responses, COUNTERS[0].0, COUNTERS[0].1),
        (Voice::Gemini, COUNTERS[0].0, COUNTERS[0].1),
        (Voice::Messages, COUNTERS[1].0, COUNTERS[1].1),
        (Voice::Gemini, COUNTERS[1].0, COUNTERS[1].1),
    ] {
        let (provider, flux) = before(voice);
        let counted = |name: &str| Answer::json(200, &json!({name: 4242, "promptTokensDetails": []}));
        let (name, end) = match voice {
            Voice::Gemini => ("totalTokens", ":countTokens"),
            Voice::Messages => ("input_tokens", "/messages/count_tokens"),
            Voice::Responses | Voice::Chat => ("input_tokens", "/responses/input_tokens"),
        };
        for path in paths {
            provider.forget();
            provider.next(counted(name));
            let reply = count(&flux, speaker, path, voice.model()).expect_status(200);
            let what = format!("{speaker:?} before {voice:?}: {}", reply.text());
            assert_eq!(reply.json()["input_tokens"], 4242, "{what}");
            assert_eq!(reply.json().as_object().map_or(0, serde_json::Map::len), members_of(speaker), "{what}");
            assert_eq!(reply.headers.get("x-flux-estimated"), None, "{what}");
            let asked = provider.only();
            assert!(asked.target.ends_with(end), "{}", asked.target);
            for foreign in ["max_tokens", "max_output_tokens", "\"stream\"", "\"store\"", "\"include\""] {
                assert!(!asked.text().contains(foreign), "{foreign} in {}", asked.text());
            }
            assert!(asked.text().contains("word word") && asked.text().contains("Be brief."), "{}", asked.text());
        }
        // A provider that does not like the question is not the client's business.
        provider.next(voice.refusal(400, "unknown field"));
        let reply = count(&flux, speaker, paths[0], voice.model()).expect_status(200);
        assert_eq!(reply.header("x-flux-estimated"), "1");
        assert_eq!(flux.ledger().len(), 0, "a count costs nothing");
    }
}

/// How many members a count has in a client's format.
fn members_of(speaker: Speaker) -> usize {
    if speaker == Speaker::Responses { 2 } else { 1 }
}

#[test]
fn where_no_provider_counts_it_is_estimated_and_nobody_is_asked() {
    let (provider, flux) = before(Voice::Chat);
    for (speaker, paths) in COUNTERS {
        for path in paths {
            let reply = count(&flux, speaker, path, Voice::Chat.model()).expect_status(200);
            let told = reply.json()["input_tokens"].as_u64().expect("a count");
            assert!((350..1100).contains(&told), "{told} tokens for 400 words");
            assert_eq!(reply.header("x-flux-estimated"), "1");
        }
    }
    assert_eq!((provider.count(), flux.ledger().len()), (0, 0));
}

#[test]
fn a_lane_is_counted_for_the_model_that_will_answer() {
    let conf = super::config::with_lane_of_formats("\"anthropic/claude-haiku-5-5\"");
    let first = "default = \"anthropic/claude-haiku-5-5\"";
    super::config::edit(conf.path(), "lanes.toml", first, "default = \"groq/gpt-oss-20b\"");
    let (groq, anthropic) = (Voice::Chat.provider(), Voice::Messages.provider());
    let flux = super::harness::Setup::with(&[&groq, &anthropic]).holding(conf).start();
    anthropic.always(|_| Answer::json(200, &json!({"input_tokens": 77})));
    let reply = count(&flux, Speaker::Messages, "/v1/messages/count_tokens", "flux-fast").expect_status(200);
    // A fallback's count is no count of the first target's prompt.
    assert_eq!((reply.header("x-flux-estimated"), anthropic.count(), groq.count()), ("1", 0, 0));
}

#[test]
fn a_count_is_refused_as_a_request_is() {
    let (_provider, flux) = before(Voice::Chat);
    let reply = count(&flux, Speaker::Messages, "/v1/messages/count_tokens", "no-such-model");
    assert_messages_error(&reply, 404, "not_found_error");
    let reply =
        flux.ask(&super::http::request("POST", "/v1/messages/count_tokens", &[("x-api-key", "sk-flux-x")], b"{}"));
    assert_messages_error(&reply, 401, "authentication_error");
}

#[test]
fn a_provider_that_cannot_count_is_made_up_for() {
    let (provider, flux) = before(Voice::Messages);
    provider.next(Answer::failure(500));
    let reply = count(&flux, Speaker::Messages, "/v1/messages/count_tokens", Voice::Messages.model());
    assert!(reply.status == 503 || reply.header("x-flux-estimated") == "1", "{}", reply.text());
    assert_eq!(flux.ledger().len(), 0);
}

#[test]
fn a_prompt_with_sealed_thoughts_is_counted_by_the_provider_without_them() {
    // A thought of Gemini's, then the conversation goes on with Claude.
    let (google, claude) = (Voice::Gemini.provider(), Voice::Messages.provider());
    let flux = super::harness::Setup::with(&[&google, &claude]).start();
    let said = Said { thought: "Hm.", text: "", calls: vec![("weather", json!({"city": "Paris"}))] };
    google.always(Voice::Gemini.saying(said, Said::text("Fine.")));
    let question = Speaker::Messages.question_with_tools(Voice::Gemini.model(), false);
    let heard = Speaker::Messages.ask(&flux, &question);
    let mut body = Speaker::Messages.with_results(question, &heard);
    assert!(body.to_string().contains("flux1."), "{body}");
    body["model"] = Voice::Messages.model().into();
    body.as_object_mut().expect("an object").remove("max_tokens");
    claude.next(Answer::json(200, &json!({"input_tokens": 4242})));
    let reply = flux.ask(&Speaker::Messages.bytes(&flux, "/v1/messages/count_tokens", &body)).expect_status(200);
    assert_eq!((reply.json()["input_tokens"].as_u64(), reply.headers.get("x-flux-estimated")), (Some(4242), None));
    let told = claude.only().text();
    assert!(!told.contains("flux1.") && told.contains("the weather is fine"), "{told}");
}
