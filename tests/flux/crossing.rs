//! Failover from format to format, clients that leave, answers without usage: as with one format, whatever is spoken.
//!
//! Must not know the plan: it knows that one lane has three providers of three formats.

use serde_json::json;

use super::answers::{Answer, PROVIDER_WORDS};
use super::harness::{Flux, Setup};
use super::leaving::endless;
use super::passthrough::{assert_clean, assert_tells_nothing};
use super::provider::Provider;
use super::speakers::Speaker;
use super::sse;
use super::translate::before;
use super::voices::{Said, USED, Voice};

const LANE: &str = "flux-fast";

/// Anthropic, then OpenAI's Responses, then Gemini, in one plan.
struct Three {
    anthropic: Provider,
    openai: Provider,
    google: Provider,
    flux: Flux,
}

impl Three {
    fn start() -> Self {
        let (anthropic, openai, google) = (Provider::anthropic(), Provider::openai_responses(), Provider::google());
        let lane = super::config::with_lane_of_formats("\"openai/gpt-6-luna\", \"google/gemini-3.5-flash-lite\"");
        let setup = Setup::with(&[&anthropic, &openai, &google]).holding(lane);
        let flux = setup.env("FLUX_TIMEOUTS__FIRST_BYTE_MS", "1000").env("FLUX_TIMEOUTS__IDLE_MS", "1000").start();
        anthropic.always(Voice::Messages.saying(Said::text("From Anthropic."), Said::default()));
        openai.always(Voice::Responses.saying(Said::text("From OpenAI."), Said::default()));
        google.always(Voice::Gemini.saying(Said::text("From Gemini."), Said::default()));
        Self { anthropic, openai, google, flux }
    }
}

/// Ways for a provider to fail before it has said anything.
fn failures(voice: Voice, stream: bool) -> Vec<Answer> {
    let mut all = vec![Answer::failure(503), Answer::failure(429), Answer(vec![super::answers::Step::Reset])];
    if stream {
        let said = voice.stream(&Said::text("never"));
        all.push(Answer::sse(&[voice.error_event(PROVIDER_WORDS)]));
        // What stands before the content, then an error, an end, or nothing more.
        all.push(Answer::sse(&[said[0].clone(), voice.error_event(PROVIDER_WORDS)]));
        all.push(Answer::sse(&said[..1]));
        all.push(endless(&said[..1]));
    } else {
        all.push(voice.refusal(200, PROVIDER_WORDS));
        all.push(Answer::bytes(200, &[("content-type", "application/json")], b"{\"half\":"));
    }
    all
}

#[test]
fn t10_t59_failover_goes_through_all_formats_and_one_answer_is_heard() {
    let three = Three::start();
    let mut count = 0;
    for speaker in Speaker::ALL {
        for stream in [false, true] {
            let ways = failures(Voice::Messages, stream).into_iter().zip(failures(Voice::Responses, stream));
            for (i, (of_anthropic, of_openai)) in ways.enumerate() {
                three.anthropic.next(of_anthropic);
                three.openai.next(of_openai);
                let reply = speaker.send(&three.flux, &speaker.question(LANE, "hi", stream));
                assert_eq!(reply.status, 200, "{speaker:?}, stream: {stream}, failure {i}: {}", reply.text());
                // A strict client would not take a second beginning.
                let heard = speaker.hear(&reply);
                assert_eq!((heard.text.as_str(), heard.used), ("From Gemini.", USED), "{speaker:?} {i}");
                assert_eq!((reply.header("x-flux-attempts"), reply.header("x-flux-provider")), ("3", "google"));
                assert_tells_nothing(&reply);
                assert_clean(&reply);
                count += 1;
            }
        }
    }
    for row in three.flux.wait_for_rows(count) {
        assert_eq!((row.text("provider"), row.number("attempts")), ("google", 3), "{row:?}");
        assert_eq!((row.number("input"), row.number("output")), (1000, 500), "{row:?}");
    }
    assert_eq!((three.anthropic.count(), three.openai.count(), three.google.count()), (count, count, count));
}

#[test]
fn a_second_format_takes_over_from_the_clients_own_and_back() {
    let three = Three::start();
    // Anthropic's own client: untouched bytes first, then a translation.
    three.anthropic.next(Answer::failure(529));
    let heard = Speaker::Messages.ask(&three.flux, &Speaker::Messages.question(LANE, "hi", true));
    assert_eq!(heard.text, "From OpenAI.");
    assert_eq!(three.anthropic.only().json()["system"], "Be brief.");
    // A client of Responses: a translation first, then its own bytes.
    three.anthropic.next(Answer::failure(529));
    let question = Speaker::Responses.question(LANE, "hi", true);
    assert_eq!(Speaker::Responses.ask(&three.flux, &question).text, "From OpenAI.");
    let told = three.openai.requests().pop().expect("a request").text();
    assert_eq!(told, question.to_string().replace(LANE, "gpt-6-luna"));
}

#[test]
fn t44_a_bad_signature_is_the_clients_fault_and_not_tried_again() {
    let three = Three::start();
    let said = "messages.1.content.0: Invalid `signature` in `thinking` block";
    for stream in [false, true] {
        for speaker in [Speaker::Messages, Speaker::Chat] {
            three.anthropic.forget();
            three.anthropic.next(Voice::Messages.refusal(400, said));
            let reply = speaker.send(&three.flux, &speaker.question(LANE, "hi", stream)).expect_status(400);
            assert!(reply.text().contains("Invalid `signature`"), "{speaker:?}: {}", reply.text());
            assert_eq!(reply.header("x-should-retry"), "false");
            assert_eq!((three.anthropic.count(), three.openai.count(), three.google.count()), (1, 0, 0), "{speaker:?}");
        }
    }
    assert_eq!(three.flux.ledger().len(), 0);
}

#[test]
fn what_one_format_cannot_say_is_left_to_the_next() {
    // Responses has no place for stop texts where the model does not speak Chat; Gemini has.
    let three = Three::start();
    three.anthropic.next(Answer::failure(503));
    let mut question = Speaker::Chat.question(LANE, "hi", false);
    question["stop"] = json!(["END"]);
    let reply = Speaker::Chat.send(&three.flux, &question).expect_status(200);
    let ignored = reply.headers.get("x-flux-ignored").unwrap_or_default();
    assert!(reply.header("x-flux-provider") == "google" || ignored.contains("stop"), "{:?}", reply.headers);
}

#[test]
fn t01_t02_t03_a_client_that_leaves_a_translated_stream_is_charged_once() {
    for voice in Voice::ALL {
        let (provider, flux) = before(voice);
        let whole = voice.stream(&Said::text("Once upon a time there was a stream of many words."));
        let place = whole.iter().position(|event| event.contains("many ")).expect("a word");
        for (i, speaker) in Speaker::ALL.into_iter().enumerate() {
            provider.next(endless(&whole[..place]));
            let mut conn = flux.connect();
            conn.write(&speaker.bytes(&flux, speaker.path(), &speaker.question(voice.model(), "hi", true)));
            assert_eq!(conn.head(), 200);
            assert!(conn.read_until("Once"));
            drop(conn);
            provider.wait_for_left(i + 1);
            let rows = flux.wait_for_rows(i + 1);
            let row = &rows[i];
            assert_eq!((row.text("ending"), row.number("streamed")), ("left", 1), "{speaker:?} before {voice:?}");
            let amount = row.amount_nano();
            assert!(amount > 0 && amount <= voice.cost_nano(), "{speaker:?} before {voice:?}: {row:?}");
        }
    }
}

#[test]
fn t17_without_usage_a_translated_answer_is_estimated() {
    for voice in Voice::ALL {
        let (provider, flux) = before(voice);
        let said = Said::text("Seven words of English make no page.");
        let strip = |event: &String| {
            let mut text = event.clone();
            for name in ["\"usage\"", "\"usageMetadata\""] {
                text = text.replace(name, "\"nothing\"");
            }
            text
        };
        for speaker in Speaker::ALL {
            provider.next(Answer::sse(&voice.stream(&said).iter().map(strip).collect::<Vec<_>>()));
            let reply = speaker.send(&flux, &speaker.question(voice.model(), "hi", true)).expect_status(200);
            assert!(reply.text().contains("English"), "{speaker:?} before {voice:?}");
            let whole = strip(&voice.whole(&said).to_string());
            provider.next(Answer::bytes(200, &[("content-type", "application/json")], whole.as_bytes()));
            speaker.send(&flux, &speaker.question(voice.model(), "hi", false)).expect_status(200);
        }
        for row in flux.wait_for_rows(2 * Speaker::ALL.len()) {
            assert!(row.is_estimated() && row.text("ending") == "done", "{voice:?}: {row:?}");
            assert!((4..30).contains(&row.number("output")) && row.number("input") > 0, "{voice:?}: {row:?}");
        }
    }
}

#[test]
fn t15_input_tokens_stand_in_message_start_and_are_a_fair_guess() {
    const WORDS: usize = 2000;
    for voice in [Voice::Chat, Voice::Responses, Voice::Gemini] {
        let (provider, flux) = before(voice);
        provider.always(voice.saying(Said::text("Yes."), Said::default()));
        let question = Speaker::Messages.question(voice.model(), &"word ".repeat(WORDS), true);
        let reply = Speaker::Messages.send(&flux, &question).expect_status(200);
        let start = sse::events(&reply.body).remove(0).json();
        let told = start["message"]["usage"]["input_tokens"].as_u64().expect("a count");
        // Gemini tells the prompt's tokens with its first words: no guess is needed.
        let is_right = if voice == Voice::Gemini { told == USED.0 } else { (1500..5000).contains(&told) };
        assert!(is_right, "{voice:?}: {told} tokens for {WORDS} words");
    }
}

#[test]
fn t52_a_translated_stream_cut_at_any_byte_comes_out_whole() {
    for voice in Voice::ALL {
        let (provider, flux) = before(voice);
        let said = Said {
            thought: "Hm \u{1F914}.",
            text: "Ünder \u{1F600} way.",
            calls: vec![("weather", json!({"city": "Zürich \u{1F3D4}"}))],
        };
        let whole = voice.stream(&said).concat();
        for speaker in Speaker::ALL {
            for bytes in [1, 2, 3, 7, 64] {
                provider.next(Answer::sse_cut(std::slice::from_ref(&whole), bytes));
                let heard = speaker.ask(&flux, &speaker.question_with_tools(voice.model(), true));
                let city = heard.calls[0].2["city"].as_str().unwrap_or_default();
                assert_eq!(
                    (heard.text.as_str(), city),
                    (said.text, "Zürich \u{1F3D4}"),
                    "{speaker:?} before {voice:?}"
                );
            }
        }
    }
}
