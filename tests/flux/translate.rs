//! Every client format before every provider format: texts, tools, usage, prices, errors.
//!
//! Must not know how it is done: strict clients talk to strict providers, and the ledger is read as an auditor reads it.

use serde_json::{Value, json};

use super::answers::{Answer, PROVIDER_WORDS, Step};
use super::harness::{Flux, Setup};
use super::http::Reply;
use super::passthrough::{assert_chat_error, assert_clean, assert_messages_error, assert_tells_nothing};
use super::provider::Provider;
use super::speakers::{Heard, Speaker};
use super::voices::{Said, USED, Voice};

const HELLO: &str = "Héllo from the provider \u{1F600}.";

/// One provider, and Flux before it.
pub(crate) fn before(voice: Voice) -> (Provider, Flux) {
    let provider = voice.provider();
    // Without this the chat client's bytes would pass as they are.
    let flux = Setup::with(&[&provider]).holding(super::config::with_luna_of_responses()).start();
    (provider, flux)
}

/// Who is tested before whom.
fn pairs() -> impl Iterator<Item = (Speaker, bool)> {
    Speaker::ALL.into_iter().flat_map(|speaker| [(speaker, false), (speaker, true)])
}

pub(crate) fn done(speaker: Speaker, calls: bool) -> &'static str {
    match (speaker, calls) {
        (Speaker::Chat, false) => "stop",
        (Speaker::Chat, true) => "tool_calls",
        (Speaker::Responses, _) => "completed",
        (Speaker::Messages, false) => "end_turn",
        (Speaker::Messages, true) => "tool_use",
    }
}

fn check_text(voice: Voice) {
    let (provider, flux) = before(voice);
    provider.always(voice.saying(Said::text(HELLO), Said::default()));
    for (speaker, stream) in pairs() {
        let reply = speaker.send(&flux, &speaker.question(voice.model(), "Say hello.", stream)).expect_status(200);
        let heard = speaker.hear(&reply);
        let what = format!("{speaker:?} before {voice:?}, stream: {stream}");
        assert_eq!((heard.text.as_str(), heard.finish.as_str()), (HELLO, done(speaker, false)), "{what}");
        assert_eq!(heard.used, USED, "{what}");
        assert_clean(&reply);
        assert_eq!(reply.header("x-flux-attempts"), "1");
        if !stream {
            assert_eq!(reply.cost_nano(), voice.cost_nano(), "{what}");
        }
    }
    for row in flux.wait_for_rows(pairs().count()) {
        assert_eq!((row.number("input"), row.number("output")), (1000, 500), "{row:?}");
        assert_eq!((row.amount_nano(), row.is_estimated(), row.text("ending")), (voice.cost_nano(), false, "done"));
    }
}

#[test]
fn texts_come_from_a_chat_provider() {
    check_text(Voice::Chat);
}

#[test]
fn texts_come_from_a_responses_provider() {
    check_text(Voice::Responses);
}

#[test]
fn texts_come_from_an_anthropic_provider() {
    check_text(Voice::Messages);
}

#[test]
fn texts_come_from_gemini() {
    check_text(Voice::Gemini);
}

/// A text, two calls at once, their results, the answer.
fn check_tools(voice: Voice, thought: &'static str) {
    let (provider, flux) = before(voice);
    let calls = vec![("weather", json!({"city": "Paris"})), ("time", json!({"city": "Saint-Étienne \"\u{1F600}\""}))];
    let first = Said { thought, text: "Let me look.", calls: calls.clone() };
    provider.always(voice.saying(first, Said { thought, ..Said::text("Fine in Paris.") }));
    for (speaker, stream) in pairs() {
        let what = format!("{speaker:?} before {voice:?}, stream: {stream}");
        let question = speaker.question_with_tools(voice.model(), stream);
        let heard = speaker.ask(&flux, &question);
        assert_eq!((heard.text.as_str(), heard.finish.as_str()), ("Let me look.", done(speaker, true)), "{what}");
        let names: Vec<(&str, Value)> =
            heard.calls.iter().map(|(_, name, args)| (name.as_str(), args.clone())).collect();
        assert_eq!(names, calls, "{what}");
        // Groq's own clients know the thought by another field.
        let is_own = (speaker, voice) == (Speaker::Chat, Voice::Chat);
        assert!(is_own || heard.thought == thought, "{what}: the thought is not shown: {heard:?}");
        assert_ne!(heard.calls[0].0, heard.calls[1].0, "{what}: ids differ");
        provider.forget();
        let answer = speaker.ask(&flux, &speaker.with_results(question, &heard));
        assert_eq!((answer.text.as_str(), answer.finish.as_str()), ("Fine in Paris.", done(speaker, false)), "{what}");
        let told = provider.only().text();
        assert!(told.contains("the weather is fine") && told.contains("the time is fine"), "{what}: {told}");
        assert!(thought.is_empty() || told.contains(voice.seal()), "{what}: the maker's seal is missing: {told}");
        assert!(!told.contains("flux1."), "{what}: an envelope went to a provider: {told}");
    }
    flux.wait_for_rows(2 * pairs().count());
}

#[test]
fn t46_t47_tools_of_a_chat_provider() {
    check_tools(Voice::Chat, "");
}

#[test]
fn t46_t47_tools_of_a_responses_provider() {
    check_tools(Voice::Responses, "");
}

#[test]
fn t46_t47_tools_of_an_anthropic_provider() {
    check_tools(Voice::Messages, "");
}

#[test]
fn t46_t47_tools_of_gemini() {
    check_tools(Voice::Gemini, "");
}

#[test]
fn thoughts_come_back_to_a_chat_provider() {
    check_tools(Voice::Chat, "I should look it up.");
}

#[test]
fn thoughts_come_back_to_a_responses_provider() {
    check_tools(Voice::Responses, "I should look it up.");
}

#[test]
fn thoughts_come_back_to_an_anthropic_provider() {
    check_tools(Voice::Messages, "I should look it up.");
}

#[test]
fn thoughts_come_back_to_gemini() {
    check_tools(Voice::Gemini, "I should look it up.");
}

/// An error in the client's shape.
#[track_caller]
fn assert_error(speaker: Speaker, reply: &Reply, status: u16) {
    match (speaker, status) {
        (Speaker::Messages, 400) => drop(assert_messages_error(reply, status, "invalid_request_error")),
        (Speaker::Messages, _) => drop(assert_messages_error(reply, status, "overloaded_error")),
        _ => drop(assert_chat_error(reply, status)),
    }
}

#[test]
fn a_providers_errors_are_told_in_the_clients_shape() {
    for voice in Voice::ALL {
        let (provider, flux) = before(voice);
        for (speaker, stream) in pairs() {
            let question = speaker.question(voice.model(), "hi", stream);
            provider.next(voice.refusal(400, "the picture is too large"));
            let reply = speaker.send(&flux, &question);
            assert_error(speaker, &reply, 400);
            assert!(reply.text().contains("the picture is too large"), "{}", reply.text());
            // What speaks of our account, and what is the provider's fault.
            for status in [429, 500, 529] {
                provider.next(voice.refusal(status, PROVIDER_WORDS));
                let reply = speaker.send(&flux, &question);
                assert_error(speaker, &reply, 503);
                assert_eq!(reply.header("x-should-retry"), "true");
                assert_tells_nothing(&reply);
            }
            // A key of ours is the operator's to mend: the client is not told to come back.
            for status in [401, 403] {
                provider.next(voice.refusal(status, PROVIDER_WORDS));
                let reply = speaker.send(&flux, &question);
                match speaker {
                    Speaker::Messages => drop(assert_messages_error(&reply, 503, "api_error")),
                    Speaker::Chat | Speaker::Responses => {
                        assert_eq!(assert_chat_error(&reply, 503)["code"], "upstream_misconfigured");
                    }
                }
                assert!(reply.text().contains("operator"), "{}", reply.text());
                assert_eq!(reply.header("x-should-retry"), "false");
                assert_tells_nothing(&reply);
            }
            if stream {
                provider.next(Answer::sse(&[voice.error_event(PROVIDER_WORDS)]));
                let reply = speaker.send(&flux, &question);
                assert_error(speaker, &reply, 503);
                assert_tells_nothing(&reply);
            }
        }
        assert_eq!(flux.ledger().len(), 0, "{voice:?}: errors cost nothing");
    }
}

#[test]
fn a_place_in_the_translated_request_is_told_as_such() {
    for (voice, place) in
        [(Voice::Messages, "messages.0.content.0.text: too short"), (Voice::Gemini, "contents[0].parts[0]: too short")]
    {
        let (provider, flux) = before(voice);
        let refusal = json!({"error": {"code": 400, "status": "INVALID_ARGUMENT", "type": "invalid_request_error",
            "message": place, "param": "contents[0]"}});
        for speaker in Speaker::ALL {
            provider.next(Answer::json(400, &refusal));
            let reply = speaker.send(&flux, &speaker.question(voice.model(), "hi", false)).expect_status(400);
            let error = reply.json()["error"].clone();
            let message = error["message"].as_str().expect("a message");
            let is_own = (voice, speaker) == (Voice::Messages, Speaker::Messages);
            assert_eq!(message.contains("as it was translated"), !is_own, "{speaker:?}: {message}");
            assert!(message.contains(place), "{speaker:?}: {message}");
            if speaker != Speaker::Messages {
                assert_eq!(error["param"], Value::Null, "{speaker:?}");
            }
        }
    }
}

#[test]
fn anthropics_clients_know_one_status_for_requests_that_make_no_sense() {
    let (provider, flux) = before(Voice::Chat);
    let said = json!({"detail": [{"type": "extra_forbidden", "loc": ["body", "foo"], "msg": "Extra inputs"}]});
    for (speaker, status) in [(Speaker::Messages, 400), (Speaker::Chat, 422)] {
        provider.next(Answer::json(422, &said));
        let reply = speaker.send(&flux, &speaker.question(Voice::Chat.model(), "hi", false));
        assert_error(speaker, &reply, status);
        assert!(reply.text().contains("foo: Extra inputs"), "{}", reply.text());
    }
}

#[test]
fn a_stream_without_usage_is_told_our_estimate() {
    let (provider, flux) = before(Voice::Chat);
    let said = Said::text("Seven words of English make no page.");
    let bare = |event: &String| event.replace("\"usage\"", "\"nothing\"");
    for speaker in [Speaker::Messages, Speaker::Responses] {
        provider.next(Answer::sse(&Voice::Chat.stream(&said).iter().map(bare).collect::<Vec<_>>()));
        let heard = speaker.ask(&flux, &speaker.question(Voice::Chat.model(), &"word ".repeat(300), true));
        assert!((250..600).contains(&heard.used.0) && (5..20).contains(&heard.used.1), "{speaker:?}: {:?}", heard.used);
        provider.next(Answer::json(200, &{
            let mut whole = Voice::Chat.whole(&said);
            whole.as_object_mut().expect("an object").remove("usage");
            whole
        }));
        let whole = speaker.ask(&flux, &speaker.question(Voice::Chat.model(), &"word ".repeat(300), false));
        assert_eq!(whole.used, heard.used, "{speaker:?}");
    }
    for row in flux.wait_for_rows(4) {
        assert!(row.is_estimated(), "{row:?}");
    }
}

#[test]
fn t11_a_failure_after_content_is_told_in_the_clients_format() {
    for voice in Voice::ALL {
        let (provider, flux) = before(voice);
        let whole = voice.stream(&Said::text("Once upon a time there was a stream."));
        let place = whole.iter().position(|event| event.contains("upon ")).expect("a word") + 1;
        let content: Vec<Step> = whole[..place].iter().map(|event| Step::Send(event.clone().into_bytes())).collect();
        let ends = [Step::Reset, Step::Close, Step::Send(voice.error_event(PROVIDER_WORDS).into_bytes())];
        for speaker in Speaker::ALL {
            for end in ends.clone() {
                provider.next(Answer::sse_steps([content.clone(), vec![end.clone()]].concat()));
                let reply = speaker.send(&flux, &speaker.question(voice.model(), "hi", true)).expect_status(200);
                let what = format!("{speaker:?} before {voice:?} after {end:.40?}: {}", reply.text());
                let events = super::sse::events(&reply.body);
                let last = events.last().expect("an event");
                let body = last.json();
                match speaker {
                    Speaker::Chat => assert!(body["error"]["message"].is_string(), "{what}"),
                    Speaker::Messages => {
                        assert_eq!((last.name.as_str(), &body["type"]), ("error", &json!("error")), "{what}");
                    }
                    Speaker::Responses if voice == Voice::Responses => assert_eq!(last.name, "error", "{what}"),
                    Speaker::Responses => {
                        assert_eq!(last.name, "response.failed", "{what}");
                        assert_eq!(body["sequence_number"].as_u64(), Some(events.len() as u64 - 1), "{what}");
                        assert_eq!(body["response"]["status"], "failed", "{what}");
                        assert!(body["response"]["error"]["message"].is_string(), "{what}");
                        // The SDK's types have a closed list.
                        assert_eq!(body["response"]["error"]["code"], "server_error", "{what}");
                    }
                }
                assert!(!reply.text().contains("[DONE]") && !reply.text().contains("message_stop"), "{what}");
                assert!(!reply.text().contains("response.completed"), "{what}");
                assert_tells_nothing(&reply);
            }
        }
        for row in flux.wait_for_rows(Speaker::ALL.len() * ends.len()) {
            assert_eq!((row.text("ending"), row.amount_nano()), ("cut", 0), "{row:?}");
        }
    }
}

#[test]
fn what_has_no_place_at_the_provider_is_named_in_a_header() {
    let (provider, flux) = before(Voice::Messages);
    provider.always(Voice::Messages.saying(Said::text(HELLO), Said::default()));
    let mut question = Speaker::Chat.question(Voice::Messages.model(), "hi", false);
    question["seed"] = 7.into();
    question["no_such_field"] = json!({"a": 1});
    let reply = Speaker::Chat.send(&flux, &question).expect_status(200);
    let ignored = reply.header("x-flux-ignored");
    assert!(ignored.contains("seed") && ignored.contains("no_such_field"), "{ignored}");
    question["stream"] = true.into();
    let reply = Speaker::Chat.send(&flux, &question).expect_status(200);
    assert!(reply.header("x-flux-ignored").contains("seed"));
    // Nothing is said where nothing was left out.
    let reply =
        Speaker::Chat.send(&flux, &Speaker::Chat.question(Voice::Messages.model(), "hi", false)).expect_status(200);
    assert_eq!(reply.headers.get("x-flux-ignored"), None);
}

#[test]
fn what_cannot_be_left_out_is_refused_by_name() {
    let (provider, flux) = before(Voice::Messages);
    let with = |speaker: Speaker, field: &str, value: Value| {
        let mut question = speaker.question(Voice::Messages.model(), "hi", false);
        question[field] = value;
        (speaker, question, field.to_owned())
    };
    for (speaker, question, field) in [
        with(Speaker::Chat, "n", 3.into()),
        with(Speaker::Responses, "previous_response_id", "resp_1".into()),
        with(Speaker::Responses, "background", true.into()),
        with(Speaker::Responses, "tools", json!([{"type": "web_search"}])),
        with(Speaker::Chat, "web_search_options", json!({})),
    ] {
        let reply = speaker.send(&flux, &question);
        let error = assert_chat_error(&reply, 400);
        assert!(error.to_string().contains(&field), "{field}: {error}");
    }
    assert_eq!(provider.count(), 0);
}

/// What a stream said, as far as it matters for a comparison of formats.
fn gist(heard: &Heard) -> (&str, usize) {
    (&heard.text, heard.calls.len())
}

#[test]
fn t49_a_provider_that_does_not_stream_is_heard_as_a_stream() {
    for voice in Voice::ALL {
        let (provider, flux) = before(voice);
        let said = Said { text: "Both at once.", calls: vec![("weather", json!({"city": "Paris"}))], thought: "" };
        for speaker in Speaker::ALL {
            provider.next(Answer::json(200, &voice.whole(&said)));
            let reply = speaker.send(&flux, &speaker.question_with_tools(voice.model(), true)).expect_status(200);
            assert!(reply.header("content-type").starts_with("text/event-stream"), "{speaker:?} before {voice:?}");
            assert_eq!(gist(&speaker.hear(&reply)), ("Both at once.", 1), "{speaker:?} before {voice:?}");
        }
        for row in flux.wait_for_rows(Speaker::ALL.len()) {
            assert_eq!((row.amount_nano(), row.is_estimated()), (voice.cost_nano(), false), "{row:?}");
        }
    }
}
