//! T-62: while a provider thinks, a client that streams hears of us between events, and failover stays possible.
//!
//! Must not measure time: gates hold the provider back until the pings were seen.

use super::answers::{Answer, DONE, Gate, Step, chat_events, chat_stream, chat_usage, messages_stream};
use super::config::{copy_of_conf, edit};
use super::harness::{Flux, Setup, ask_chat, ask_chat_stream, ask_messages_stream};
use super::http::Conn;
use super::passthrough::{assert_chat_error, assert_tells_nothing};
use super::provider::Provider;
use super::speakers::Speaker;
use super::sse;
use super::voices::{Said, USED, Voice};

/// So often that a test need not wait.
pub(super) const PING: (&str, &str) = ("FLUX_TIMEOUTS__PING_MS", "50");
pub(super) const COMMENT: &str = ": keep-alive\n\n";
pub(super) const WORDS: [&str; 4] = ["Hello ", "from ", "the ", "provider."];

fn pinging(providers: &[&Provider]) -> Flux {
    Setup::with(providers).env(PING.0, PING.1).start()
}

/// The same with a luna of Responses, so that each voice's model is asked in one format.
fn pinging_of_formats(providers: &[&Provider]) -> Flux {
    Setup::with(providers).holding(super::config::with_luna_of_responses()).env(PING.0, PING.1).start()
}

fn begin(flux: &Flux, request: &[u8]) -> Conn {
    let mut client = flux.connect();
    client.write(request);
    client
}

#[test]
fn t62_comments_before_the_first_event_and_the_answer_after_them() {
    let openai = Provider::openai();
    let flux = pinging(&[&openai]);
    let gate = Gate::default();
    openai.next(Answer::sse(&chat_stream(&WORDS, &chat_usage(1000, 500))).after(&gate));
    let body = ask_chat_stream("gpt-4o-mini").to_string();
    let mut client = begin(&flux, &flux.chat_request(body.as_bytes()));
    assert_eq!(client.head(), 200);
    assert!(client.read_until(&COMMENT.repeat(2)));
    gate.open();
    let reply = client.rest();
    assert!(reply.is_complete);
    assert_eq!(reply.headers.get("content-type"), Some("text/event-stream; charset=utf-8"));
    for name in ["x-flux-provider", "x-flux-model", "x-flux-attempts"] {
        assert_eq!(reply.headers.get(name), None, "no provider has answered when the head goes out");
    }
    assert!(!reply.header("x-request-id").is_empty());
    let mut expected = chat_events(&WORDS);
    expected.push(DONE.to_owned());
    assert_eq!(sse::without_comments(&reply.body), expected.concat());
    assert_eq!(flux.only_row().amount_nano(), sse::comment_cost_nano(&reply.body));
}

#[test]
fn t62_the_next_provider_goes_on_in_the_same_stream() {
    let (first, second) = (Provider::cerebras(), Provider::groq());
    let flux = pinging(&[&first, &second]);
    let gate = Gate::default();
    first.next(Answer::failure(503).after(&gate));
    second.next(Answer::sse(&chat_stream(&WORDS, &chat_usage(10, 5))));
    let body = ask_chat_stream("flux-pinned-gpt-oss-120b").to_string();
    let mut client = begin(&flux, &flux.chat_request(body.as_bytes()));
    assert_eq!(client.head(), 200);
    assert!(client.read_until(COMMENT));
    gate.open();
    let reply = client.rest();
    assert!(reply.is_complete);
    assert_eq!(sse::chat_text(&reply.body), WORDS.concat());
    assert_eq!(String::from_utf8_lossy(&reply.body).matches("HTTP/1.1").count(), 0, "one head only");
    assert_eq!((first.count(), second.count()), (1, 1));
}

#[test]
fn t62_when_all_fail_after_a_ping_the_stream_ends_in_an_error() {
    let openai = Provider::openai();
    let flux = pinging(&[&openai]);
    let gate = Gate::default();
    openai.next(Answer::failure(500).after(&gate));
    let body = ask_chat_stream("gpt-4o-mini").to_string();
    let mut client = begin(&flux, &flux.chat_request(body.as_bytes()));
    assert_eq!(client.head(), 200);
    assert!(client.read_until(COMMENT));
    gate.open();
    let reply = client.rest();
    assert!(reply.is_complete);
    let events = sse::events(&reply.body);
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].json()["error"]["type"], "server_error");
    assert_tells_nothing(&reply);
    assert_eq!(flux.ledger().len(), 0);
}

#[test]
fn t62_the_error_after_a_ping_is_of_the_clients_format() {
    for voice in Voice::ALL {
        let provider = voice.provider();
        let flux = pinging_of_formats(&[&provider]);
        for speaker in Speaker::ALL {
            let gate = Gate::default();
            provider.next(Answer::failure(500).after(&gate));
            let question = speaker.question(voice.model(), "hi", true);
            let mut client = begin(&flux, &speaker.bytes(&flux, speaker.path(), &question));
            assert_eq!(client.head(), 200);
            assert!(client.read_until(COMMENT));
            gate.open();
            let reply = client.rest();
            let events = sse::events(&reply.body);
            assert_eq!(events.len(), 1, "{speaker:?} before {voice:?}: {}", reply.text());
            let body = events[0].json();
            let of_event = match speaker {
                Speaker::Chat => (events[0].name.is_empty(), &body["error"]["type"], "server_error"),
                Speaker::Messages => (events[0].name == "error", &body["error"]["type"], "overloaded_error"),
                Speaker::Responses => (events[0].name == "error", &body["type"], "error"),
            };
            assert_eq!(of_event, (true, &of_event.2.into(), of_event.2), "{speaker:?} before {voice:?}: {body}");
            if speaker == Speaker::Responses {
                assert_eq!(body["sequence_number"], 0, "{body}");
                assert!(body["message"].is_string() && body["code"].is_string(), "{body}");
            }
            assert_tells_nothing(&reply);
        }
    }
}

#[test]
fn t62_a_provider_of_another_format_goes_on_after_a_ping() {
    let (first, second, third) = (Provider::anthropic(), Provider::openai_responses(), Provider::google());
    let lane = super::config::with_lane_of_formats("\"openai/gpt-6-luna\", \"google/gemini-3.5-flash-lite\"");
    let flux = Setup::with(&[&first, &second, &third]).holding(lane).env(PING.0, PING.1).start();
    third.always(Voice::Gemini.saying(Said::text("From Gemini."), Said::default()));
    for (i, speaker) in Speaker::ALL.into_iter().enumerate() {
        let (gate, next) = (Gate::default(), Gate::default());
        first.next(Answer::failure(529).after(&gate));
        // Events without content, then the end: nothing of them may be seen.
        let begun = Voice::Responses.stream(&Said::text("never"));
        second.next(Answer::sse_steps(vec![
            Step::Send(begun[0].clone().into_bytes()),
            Step::Wait(next.clone()),
            Step::Close,
        ]));
        let question = speaker.question("flux-fast", "hi", true);
        let mut client = begin(&flux, &speaker.bytes(&flux, speaker.path(), &question));
        assert_eq!(client.head(), 200);
        assert!(client.read_until(COMMENT));
        gate.open();
        assert!(client.read_until(&COMMENT.repeat(3)));
        next.open();
        let reply = client.rest();
        // A strict client would not take a second beginning, nor a number that is left out.
        let heard = speaker.hear(&reply);
        assert_eq!((heard.text.as_str(), heard.used), ("From Gemini.", USED), "{speaker:?}");
        assert!(!reply.text().contains("never"), "{speaker:?}: {}", reply.text());
        assert_eq!(flux.wait_for_rows(i + 1).pop().expect("a row").text("provider"), "google");
    }
    assert_eq!((first.count(), second.count(), third.count()), (3, 3, 3));
}

#[test]
fn t62_pings_within_a_translated_stream_stand_between_events() {
    for voice in Voice::ALL {
        let provider = voice.provider();
        let flux = pinging_of_formats(&[&provider]);
        for speaker in Speaker::ALL {
            let gate = Gate::default();
            let whole = voice.stream(&Said::text("Once upon a time.")).concat();
            // The provider falls silent in the middle of an event.
            let (before, after) = whole.split_at(whole.find("upon").expect("the second word"));
            openly(&provider, before, &gate, after);
            let question = speaker.question(voice.model(), "hi", true);
            let mut client = begin(&flux, &speaker.bytes(&flux, speaker.path(), &question));
            assert_eq!(client.head(), 200);
            let is_own = matches!(
                (speaker, voice),
                (Speaker::Chat, Voice::Chat)
                    | (Speaker::Responses, Voice::Responses)
                    | (Speaker::Messages, Voice::Messages)
            );
            let ping = if speaker == Speaker::Messages { "event: ping\n" } else { COMMENT };
            if !is_own || speaker == Speaker::Messages {
                assert!(client.read_until(ping), "{speaker:?} before {voice:?}");
            }
            gate.open();
            let reply = client.rest();
            assert_eq!(speaker.hear(&reply).text, "Once upon a time.", "{speaker:?} before {voice:?}");
        }
    }
}

#[test]
fn t62_pings_in_the_middle_stand_between_events() {
    let anthropic = Provider::anthropic();
    let flux = pinging(&[&anthropic]);
    let gate = Gate::default();
    let events = messages_stream(&WORDS, &serde_json::json!({"input_tokens": 10, "output_tokens": 1}), 5);
    // The provider falls silent in the middle of an event.
    let whole = events.concat();
    let (before, after) = whole.split_at(whole.find("from").expect("the second word"));
    openly(&anthropic, before, &gate, after);
    let body = ask_messages_stream("claude-3-5-haiku-latest").to_string();
    let mut client = begin(&flux, &flux.messages_request(body.as_bytes()));
    assert_eq!(client.head(), 200);
    assert!(client.read_until("event: ping\ndata: {\"type\": \"ping\"}\n\n"));
    gate.open();
    let reply = client.rest();
    assert!(reply.is_complete);
    assert_eq!(sse::messages_text(&reply.body), WORDS.concat());
    // The provider may have sent a ping of its own.
    let names = |body: &[u8]| -> Vec<String> {
        sse::events(body).into_iter().map(|event| event.name).filter(|name| name != "ping").collect()
    };
    assert_eq!(names(&reply.body), names(whole.as_bytes()));
}

fn openly(provider: &Provider, before: &str, gate: &Gate, after: &str) {
    provider.next(Answer::sse_steps(vec![
        Step::Send(before.as_bytes().to_vec()),
        Step::Wait(gate.clone()),
        Step::Send(after.as_bytes().to_vec()),
    ]));
}

/// A place of one provider is taken, and another request waits for it.
fn queueing(provider: &Provider, changes: &[(&str, &str)]) -> Flux {
    let dir = copy_of_conf();
    edit(dir.path(), "providers.toml", "[deepseek]\n", "[deepseek]\nconcurrent_max = 1\n");
    let setup = Setup::with(&[provider]).holding(dir).env("FLUX_HEALTH__PASSES_OVER", "true").env(PING.0, PING.1);
    changes.iter().fold(setup, |setup, (name, value)| setup.env(name, value)).start()
}

#[test]
fn t62_comments_while_a_place_is_waited_for() {
    let deepseek = Provider::bearer("deepseek");
    let flux = queueing(&deepseek, &[("FLUX_HEALTH__QUEUE_WAIT_MS", "60000")]);
    let gate = Gate::default();
    deepseek.next(Answer::sse(&chat_stream(&WORDS, &chat_usage(1, 1))).after(&gate));
    deepseek.next(Answer::sse(&chat_stream(&WORDS, &chat_usage(1, 1))));
    let asked = flux.chat_request(ask_chat_stream("flux-pinned-deepseek-flash").to_string().as_bytes());
    let mut served = begin(&flux, &asked);
    deepseek.wait_for_requests(1);
    let mut waiting = begin(&flux, &asked);
    assert_eq!(waiting.head(), 200);
    assert!(waiting.read_until(&COMMENT.repeat(2)));
    assert_eq!(deepseek.count(), 1);
    gate.open();
    assert_eq!(served.head(), 200);
    for client in [&mut served, &mut waiting] {
        let reply = client.rest();
        assert!(reply.is_complete);
        assert_eq!(sse::chat_text(&reply.body), WORDS.concat());
    }
}

#[test]
fn whoever_gets_no_place_after_a_ping_hears_so_in_the_stream() {
    let deepseek = Provider::bearer("deepseek");
    let flux = queueing(&deepseek, &[("FLUX_HEALTH__QUEUE_WAIT_MS", "600")]);
    deepseek.next(Answer::silence());
    let asked = flux.chat_request(ask_chat_stream("flux-pinned-deepseek-flash").to_string().as_bytes());
    let _served = begin(&flux, &asked);
    deepseek.wait_for_requests(1);
    let mut waiting = begin(&flux, &asked);
    assert_eq!(waiting.head(), 200);
    let reply = waiting.rest();
    assert!(reply.is_complete && reply.text().starts_with(COMMENT), "{}", reply.text());
    assert!(sse::events(&reply.body).pop().expect("an event").json()["error"]["message"].is_string());
    assert_tells_nothing(&reply);
    assert_eq!(deepseek.count(), 1);
}

#[test]
fn the_time_of_a_request_holds_while_it_waits_for_a_place() {
    let deepseek = Provider::bearer("deepseek");
    let times = [("FLUX_TIMEOUTS__TOTAL_MS", "1500"), ("FLUX_TIMEOUTS__CONNECT_MS", "1500")];
    let flux = queueing(&deepseek, &[times[0], times[1], ("FLUX_HEALTH__QUEUE_WAIT_MS", "600000")]);
    deepseek.always(|_| Answer::silence());
    let asked = flux.chat_request(ask_chat("flux-pinned-deepseek-flash").to_string().as_bytes());
    let mut served = begin(&flux, &asked);
    deepseek.wait_for_requests(1);
    let mut waiting = begin(&flux, &asked);
    for client in [&mut served, &mut waiting] {
        assert_eq!(client.head(), 504);
        assert_chat_error(&client.rest(), 504);
    }
}

#[test]
fn t62_comments_before_a_target_is_asked_once_more() {
    let deepseek = Provider::bearer("deepseek");
    let flux = queueing(&deepseek, &[("FLUX_HEALTH__RETRIES_MAX", "1"), ("FLUX_HEALTH__RETRY_DELAY_MS", "1000")]);
    deepseek.next(Answer::failure(503));
    deepseek.next(Answer::sse(&chat_stream(&WORDS, &chat_usage(1, 1))));
    let mut client =
        begin(&flux, &flux.chat_request(ask_chat_stream("flux-pinned-deepseek-flash").to_string().as_bytes()));
    assert_eq!(client.head(), 200);
    assert!(client.read_until(&COMMENT.repeat(2)));
    assert_eq!(deepseek.count(), 1);
    let reply = client.rest();
    assert_eq!(sse::chat_text(&reply.body), WORDS.concat());
}

#[test]
fn a_whole_answer_is_waited_for_in_silence() {
    let openai = Provider::openai();
    let flux = pinging(&[&openai]);
    openai.next(Answer(vec![Step::Pause(std::time::Duration::from_millis(300)), Step::Close]));
    let reply = flux.chat(&ask_chat("gpt-4o-mini"));
    assert_chat_error(&reply, 503);
}
