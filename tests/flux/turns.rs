//! Conversations that go on: thoughts and their seals, cache marks, odd turns. Lessons by their number.
//!
//! Must not know how seals are made: it carries them from answer to request, as clients do.

use serde_json::{Value, json};

use super::answers::{self, Answer};
use super::harness::Setup;
use super::provider::Provider;
use super::speakers::Speaker;
use super::sse;
use super::translate::before;
use super::voices::{Said, USED, Voice};

#[test]
fn t43_no_more_than_four_cache_marks_reach_anthropic_and_none_a_thought() {
    let (provider, flux) = before(Voice::Messages);
    provider.always(Voice::Messages.saying(
        Said { thought: "Hm.", text: "", calls: vec![("weather", json!({"city": "Paris"}))] },
        Said::text("Fine."),
    ));
    let mut question = Speaker::Chat.question_with_tools(Voice::Messages.model(), false);
    let marked = |text: &str| json!({"type": "text", "text": text, "cache_control": {"type": "ephemeral"}});
    question["messages"] = json!([{"role": "system", "content": [marked("a"), marked("b"), marked("c")]},
        {"role": "user", "content": [marked("d"), marked("e"), marked("f")]}]);
    let heard = Speaker::Chat.ask(&flux, &question);
    // The strict provider refuses a fifth mark.
    let mut heard = heard;
    heard.turn.iter_mut().for_each(|message| message["cache_control"] = json!({"type": "ephemeral"}));
    let mut followed = Speaker::Chat.with_results(question, &heard);
    let last = followed["messages"].as_array_mut().and_then(|messages| messages.last_mut()).expect("a result");
    last["content"] = json!([marked("It rains.")]);
    Speaker::Chat.ask(&flux, &followed);
    let told = provider.requests().pop().expect("a request").json();
    let blocks = told["messages"].as_array().expect("turns").iter().flat_map(|turn| {
        turn["content"].as_array().expect("blocks").iter().map(|block| (block["type"].clone(), block.to_string()))
    });
    let mark = "\"cache_control\":{\"type\":\"ephemeral\"}";
    for (kind, block) in blocks {
        if kind == "tool_use" || kind == "tool_result" {
            assert!(block.contains(mark), "{block}");
        }
        assert!(kind != "thinking" || !block.contains("cache_control"), "{block}");
    }
}

#[test]
fn t44_signed_thoughts_come_back_also_empty_ones() {
    let (provider, flux) = before(Voice::Messages);
    let thinking = |thought: &str| json!({"type": "thinking", "thinking": thought, "signature": "c2lnbmVkLTE="});
    let call = json!({"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Paris"}});
    for (thought, redacted) in [("", false), ("I think.", false), ("", true)] {
        let block =
            if redacted { json!({"type": "redacted_thinking", "data": "cmVkYWN0ZWQ="}) } else { thinking(thought) };
        for speaker in [Speaker::Chat, Speaker::Responses] {
            let mut whole = answers::messages_body("", &json!({"input_tokens": USED.0, "output_tokens": USED.1}));
            whole["content"] = json!([block, call]);
            whole["stop_reason"] = "tool_use".into();
            provider.forget();
            provider.next(Answer::json(200, &whole));
            let question = speaker.question_with_tools(Voice::Messages.model(), false);
            let heard = speaker.ask(&flux, &question);
            provider.next(Voice::Messages.refusal(400, "seen"));
            speaker.send(&flux, &speaker.with_results(question, &heard)).expect_status(400);
            let told = provider.requests().pop().expect("a request");
            let back = &told.json()["messages"][1]["content"][0];
            assert_eq!(back, &block, "{speaker:?}: {}", told.text());
            assert_eq!(Voice::Messages.faults(&told), Vec::<String>::new());
        }
    }
}

#[test]
fn t45_thinking_that_a_model_does_not_have_is_dropped_cleanly() {
    let mistral = Provider::bearer("mistral");
    let conf = super::config::edited(
        "lanes.toml",
        "flux-pinned-mistral-large-4 = [\"mistral/mistral-large-4\"]",
        "flux-pinned-mistral-large-4 = [\"mistral/mistral-large-3\"]",
    );
    let flux = Setup::with(&[&mistral]).holding(conf).start();
    mistral.always(Voice::Chat.saying(Said::text("Fine."), Said::default()));
    let mut question = Speaker::Messages.question("flux-pinned-mistral-large-4", "and now?", false);
    question["thinking"] = json!({"type": "enabled", "budget_tokens": 5000});
    question["max_tokens"] = 8000.into();
    let turns = question["messages"].as_array_mut().expect("messages");
    turns.insert(0, json!({"role": "user", "content": "hi"}));
    turns.insert(1, json!({"role": "assistant", "content": [
        {"type": "thinking", "thinking": "A thought of Claude's.", "signature": "Y2xhdWRl"}, {"type": "text", "text": "Hello."}]}));
    assert_eq!(Speaker::Messages.ask(&flux, &question).text, "Fine.");
    let told = mistral.only().text();
    assert!(!told.contains("A thought of") && !told.contains("Y2xhdWRl") && !told.contains("reasoning"), "{told}");
}

#[test]
fn t45_a_budget_below_the_least_is_handled() {
    let anthropic = Provider::anthropic();
    let flux = Setup::with(&[&anthropic]).start();
    anthropic.always(Voice::Messages.saying(Said::text("Fine."), Said::default()));
    for (max_tokens, budget) in [(4000, 200), (900, 500), (2000, 5000)] {
        anthropic.forget();
        let mut question = Speaker::Chat.question("flux-pinned-claude-haiku-4-5", "hi", false);
        question["max_tokens"] = max_tokens.into();
        question["reasoning"] = json!({"max_tokens": budget});
        Speaker::Chat.ask(&flux, &question);
        let told = anthropic.only().json();
        if let Some(given) = told["thinking"]["budget_tokens"].as_u64() {
            assert!(given >= 1024 && given < told["max_tokens"].as_u64().expect("max_tokens"), "{told}");
        }
    }
}

#[test]
fn t48_arguments_that_come_without_deltas_are_heard() {
    let (provider, flux) = before(Voice::Responses);
    let said = Said {
        calls: vec![("weather", json!({"city": "Paris"})), ("time", json!({"city": "Rome"}))],
        ..Said::default()
    };
    let mut events = Voice::Responses.stream(&said);
    events.retain(|event| !event.contains("arguments.delta"));
    for speaker in [Speaker::Chat, Speaker::Messages] {
        provider.next(Answer::sse(&events));
        let heard = speaker.ask(&flux, &speaker.question_with_tools(Voice::Responses.model(), true));
        let cities: Vec<&Value> = heard.calls.iter().map(|(_, _, arguments)| &arguments["city"]).collect();
        assert_eq!(cities, ["Paris", "Rome"], "{speaker:?}");
    }
}

#[test]
fn t50_events_of_responses_carry_ids_places_and_numbers() {
    for voice in [Voice::Chat, Voice::Messages, Voice::Gemini] {
        let (provider, flux) = before(voice);
        let said = Said { thought: "Hm.", text: "Let me see.", calls: vec![("weather", json!({"city": "Paris"}))] };
        provider.always(voice.saying(said, Said::default()));
        let question = Speaker::Responses.question_with_tools(voice.model(), true);
        let reply = Speaker::Responses.send(&flux, &question).expect_status(200);
        // The strict client checks numbers, ids and repeated contents; here is what must be there at all.
        Speaker::Responses.hear(&reply);
        let events = sse::events(&reply.body);
        for name in [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.output_item.done",
            "response.reasoning_summary_text.delta",
            "response.reasoning_summary_text.done",
            "response.completed",
        ] {
            assert!(events.iter().any(|event| event.name == name), "{voice:?}: no {name}");
        }
        let last = events.last().expect("events").json();
        let types: Vec<&str> = last["response"]["output"]
            .as_array()
            .expect("output")
            .iter()
            .filter_map(|item| item["type"].as_str())
            .collect();
        // What Gemini signs is a call: its seal is an item behind it.
        let sealed = if voice == Voice::Gemini { &["reasoning"][..] } else { &[] };
        assert_eq!(types, [&["reasoning", "message", "function_call"], sealed].concat(), "{voice:?}");
    }
}

#[test]
fn t51_odd_turns_are_put_right() {
    for voice in Voice::ALL {
        let (provider, flux) = before(voice);
        provider.always(voice.saying(Said::text("Fine."), Said::default()));
        let chat = json!([{"role": "assistant", "content": "Hello."}, {"role": "user", "content": ""}, {"role": "user", "content": "hi"},
            {"role": "assistant", "content": ""}, {"role": "system", "content": "Be kind."}, {"role": "user", "content": [{"type": "text", "text": "a"}]},
            {"role": "user", "content": "b"}, {"role": "assistant", "content": "I will"}]);
        let messages = json!([{"role": "user", "content": [{"type": "text", "text": "hi"}]}, {"role": "assistant", "content": []},
            {"role": "user", "content": "a"}, {"role": "user", "content": "b"}, {"role": "assistant", "content": "I will"}]);
        for (speaker, list, turns) in [
            (Speaker::Chat, "messages", &chat),
            (Speaker::Responses, "input", &chat),
            (Speaker::Messages, "messages", &messages),
        ] {
            let is_own = (voice, speaker) == (Voice::Messages, Speaker::Messages)
                || (voice, speaker) == (Voice::Responses, Speaker::Responses)
                || (voice, speaker) == (Voice::Chat, Speaker::Chat);
            if is_own {
                continue;
            }
            let mut question = speaker.question(voice.model(), "", false);
            question[list] = turns.clone();
            if speaker == Speaker::Responses {
                question[list][5]["content"][0]["type"] = "input_text".into();
            }
            assert_eq!(speaker.ask(&flux, &question).text, "Fine.", "{speaker:?} before {voice:?}");
        }
    }
}

#[test]
fn t51_a_result_without_its_call_is_refused_by_its_place() {
    for voice in Voice::ALL {
        let (provider, flux) = before(voice);
        for speaker in Speaker::ALL.into_iter().filter(|speaker| !OWN.contains(&(*speaker, voice))) {
            let mut question = speaker.question(voice.model(), "hi", false);
            let (list, result, place) = match speaker {
                Speaker::Chat => {
                    ("messages", json!({"role": "tool", "tool_call_id": "call_9", "content": "x"}), "messages[1]")
                }
                Speaker::Responses => {
                    ("input", json!({"type": "function_call_output", "call_id": "call_9", "output": "x"}), "input[1]")
                }
                Speaker::Messages => (
                    "messages",
                    json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_9", "content": "x"}]}),
                    "messages[1]",
                ),
            };
            question[list] = json!([{"role": "user", "content": "hi"}, result]);
            let reply = speaker.send(&flux, &question).expect_status(400);
            let error = reply.json()["error"].clone();
            let message = error["message"].as_str().expect("a message");
            assert!(message.contains("call_9"), "{speaker:?} before {voice:?}: {error}");
            if speaker == Speaker::Messages {
                // The format has no other place for it.
                assert!(message.starts_with(place), "{error}");
            } else {
                assert_eq!(error["param"], place, "{speaker:?} before {voice:?}: {error}");
            }
        }
        assert_eq!(provider.count(), 0);
    }
}

/// All four providers behind one Flux.
fn all() -> (Vec<Provider>, super::harness::Flux) {
    let providers: Vec<Provider> = Voice::ALL.into_iter().map(Voice::provider).collect();
    let flux =
        Setup::with(&providers.iter().collect::<Vec<_>>()).holding(super::config::with_luna_of_responses()).start();
    for (voice, provider) in Voice::ALL.into_iter().zip(&providers) {
        let said = Said { thought: "Hm.", text: "", calls: vec![("weather", json!({"city": "Paris"}))] };
        provider.always(voice.saying(said, Said::text("Fine.")));
    }
    (providers, flux)
}

#[test]
fn t58_thoughts_never_go_to_another_model_than_the_one_that_made_them() {
    let (providers, flux) = all();
    for speaker in Speaker::ALL {
        for from in Voice::ALL {
            let question = speaker.question_with_tools(from.model(), true);
            let heard = speaker.ask(&flux, &question);
            let followed = speaker.with_results(question, &heard);
            for (to, provider) in Voice::ALL.into_iter().zip(&providers) {
                provider.forget();
                let mut body = followed.clone();
                body["model"] = to.model().into();
                let what = format!("{speaker:?}: from {from:?} to {to:?}");
                let reply = speaker.send(&flux, &body);
                // The same format passes untouched, so that a provider's own check of its own signature decides.
                assert_eq!(reply.status, 200, "{what}: {} {:?}", reply.text(), provider.requests().pop());
                assert_eq!(speaker.hear(&reply).text, "Fine.", "{what}");
                let told = provider.only().text();
                assert!(!told.contains("flux1."), "{what}: {told}");
                let kept = !from.seal().is_empty() && told.contains(from.seal());
                assert!(kept == (from == to && from != Voice::Chat), "{what}: {told}");
            }
        }
    }
}

#[test]
fn t58_a_pin_keeps_its_model_within_a_loop_of_calls() {
    let (_providers, flux) = all();
    for speaker in Speaker::ALL {
        let question = speaker.question_with_tools(Voice::Gemini.model(), false);
        let first = speaker.send(&flux, &question).expect_status(200);
        let heard = speaker.hear(&first);
        let second = speaker.send(&flux, &speaker.with_results(question, &heard)).expect_status(200);
        assert_eq!(first.header("x-flux-model"), second.header("x-flux-model"));
    }
}

/// What was heard, under ids of a turn of its own: no two calls of a talk may share one.
fn renamed(speaker: Speaker, turn: usize, heard: &super::speakers::Heard) -> super::speakers::Heard {
    let mut heard = heard.clone();
    for (id, ..) in &mut heard.calls {
        let fresh = format!("{id}_{turn}");
        for item in &mut heard.turn {
            let text = item.to_string().replace(&format!("\"{id}\""), &format!("\"{fresh}\""));
            *item = serde_json::from_str(&text).expect("JSON");
            if speaker == Speaker::Responses && item.get("id").is_some() {
                item["id"] = format!("{}_{turn}", item["id"].as_str().unwrap_or_default()).into();
            }
        }
        *id = fresh;
    }
    heard
}

#[test]
fn t58_the_router_keeps_lane_and_model_within_a_loop_of_calls() {
    let voices = [Voice::Messages, Voice::Gemini];
    let providers = voices.map(Voice::provider);
    for (voice, provider) in voices.into_iter().zip(&providers) {
        let call = Said { calls: vec![("weather", json!({"city": "Paris"}))], ..Said::default() };
        provider.always(voice.saying(call, Said::text("Fine.")));
    }
    let flux = Setup::with(&[&providers[0], &providers[1]]).start();
    let mut lanes = std::collections::BTreeSet::new();
    for speaker in Speaker::ALL {
        for thinks in [false, true] {
            let mut body = speaker.question_with_tools("flux-auto", false);
            if thinks {
                let (name, wish) = match speaker {
                    Speaker::Chat => ("reasoning_effort", json!("high")),
                    Speaker::Responses => ("reasoning", json!({"effort": "high"})),
                    Speaker::Messages => ("thinking", json!({"type": "adaptive"})),
                };
                body[name] = wish;
            }
            let first = speaker.send(&flux, &body).expect_status(200);
            let heard = speaker.hear(&first);
            let choice = |reply: &super::http::Reply| {
                ["x-flux-lane", "x-flux-model", "x-flux-provider"].map(|name| reply.header(name).to_owned())
            };
            lanes.insert(choice(&first)[0].clone());
            for turn in 0..4 {
                body = speaker.with_results(body, &renamed(speaker, turn, &heard));
                // What tools say is long and about other things than the question.
                let said = ["Hi.", "fn main() { panic!() } ", "Draw a picture of a fox. ", "Prove the theorem. "][turn];
                let text = body.to_string().replace("the weather is fine", &said.repeat(50));
                body = serde_json::from_str(&text).expect("JSON");
                let next = speaker.send(&flux, &body).expect_status(200);
                assert_eq!(choice(&next), choice(&first), "{speaker:?}: thinks {thinks}, turn {turn}");
            }
        }
    }
    assert_eq!(Vec::from_iter(lanes), ["flux-reasoning", "flux-standard"]);
}

#[test]
fn the_same_format_passes_byte_for_byte_also_for_responses() {
    let provider = Provider::openai_responses();
    let flux = Setup::with(&[&provider]).start();
    let said =
        Said { thought: "Hm.", text: "Let me \u{1F600} see.", calls: vec![("weather", json!({"city": "Paris"}))] };
    provider.always(Voice::Responses.saying(said.clone(), Said::default()));
    for stream in [false, true] {
        provider.forget();
        let body = format!(
            "{{ \"input\" : [{{\"role\":\"user\",\"content\":\"h\\u00e9\"}}],\"stream\":{stream}, \"max_output_tokens\": 50 ,\"model\" : \"gpt-4o-mini\", \"store\":false }}"
        );
        let head = [("authorization", flux.bearer()), ("content-type", "application/json".to_owned())];
        let reply = flux.ask(&super::http::request(
            "POST",
            "/v1/responses",
            &head.each_ref().map(|(n, v)| (*n, v.as_str())),
            body.as_bytes(),
        ));
        let reply = reply.expect_status(200);
        assert_eq!(provider.only().text(), body.replace("gpt-4o-mini", "gpt-6-luna"));
        if stream {
            let plain = sse::without_comments(&reply.body).replace("\"cost_usd\":0.00035,\"currency\":\"USD\",", "");
            assert_eq!(plain, Voice::Responses.stream(&said).concat());
        } else {
            assert_eq!(reply.text(), Voice::Responses.whole(&said).to_string());
        }
    }
    for row in flux.wait_for_rows(2) {
        assert_eq!((row.amount_nano(), row.is_estimated()), (Voice::Responses.cost_nano(), false), "{row:?}");
    }
}

/// Fields that no other format has, so that a request which holds them must not be written anew.
fn own_fields(speaker: Speaker) -> Value {
    match speaker {
        Speaker::Chat => json!({"web_search_options": {}, "prediction": {"type": "content", "content": "x"}, "foo": 1}),
        Speaker::Responses => json!({"previous_response_id": "resp_1", "conversation": "conv_1", "background": false,
            "truncation": "auto", "foo": {"bar": [1.0]}}),
        Speaker::Messages => json!({"mcp_servers": [{"type": "url", "url": "https://a.example", "name": "n"}],
            "container": "c_1", "context_management": {"edits": []}, "foo": null}),
    }
}

const OWN: [(Speaker, Voice); 3] =
    [(Speaker::Chat, Voice::Chat), (Speaker::Responses, Voice::Responses), (Speaker::Messages, Voice::Messages)];

#[test]
fn a_text_that_looks_like_a_seal_passes_byte_for_byte() {
    for (speaker, voice) in OWN {
        let (provider, flux) = before(voice);
        provider.always(move |_| Answer::json(200, &voice.whole(&Said::text("Fine."))));
        let mut question = speaker.question(voice.model(), "compare flux1.1-pro with flux1.dev, \"flux1.\"", false);
        question.as_object_mut().expect("an object").extend(own_fields(speaker).as_object().expect("fields").clone());
        speaker.ask(&flux, &question);
        let told = provider.only();
        let named = told.json()["model"].as_str().expect("a name").to_owned();
        assert_eq!(told.text(), question.to_string().replace(voice.model(), &named), "{speaker:?}");
    }
}

#[test]
fn back_at_its_own_format_a_client_loses_nothing_but_the_seals() {
    let (providers, flux) = all();
    for (speaker, voice) in OWN {
        let question = speaker.question_with_tools(Voice::Gemini.model(), false);
        let heard = speaker.ask(&flux, &question);
        let mut body = speaker.with_results(question, &heard);
        assert!(body.to_string().contains("flux1."), "{body}");
        body["model"] = voice.model().into();
        body.as_object_mut().expect("an object").extend(own_fields(speaker).as_object().expect("fields").clone());
        let at = Voice::ALL.iter().position(|other| *other == voice).expect("a voice");
        let provider = &providers[at];
        provider.forget();
        provider.next(Answer::json(200, &voice.whole(&Said::text("Fine."))));
        let reply = speaker.send(&flux, &body).expect_status(200);
        assert_eq!(reply.json(), voice.whole(&Said::text("Fine.")), "{speaker:?}: the answer passes as it is");
        let told = provider.only().json();
        assert!(!told.to_string().contains("flux1."), "{told}");
        for (name, value) in body.as_object().expect("an object") {
            if !["model", "messages", "input"].contains(&name.as_str()) {
                assert_eq!(&told[name], value, "{speaker:?}: {name}");
            }
        }
        let calls = told.to_string().matches("the weather is fine").count();
        assert_eq!(calls, 1, "{told}");
    }
}
