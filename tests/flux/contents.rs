//! What requests hold beside words, before every provider format: schemas for the answer, pictures, choices of tools.
//!
//! Must not know how it is spelt on the other side: the strict provider does, and the content must be in it.

use serde_json::{Value, json};

use super::answers::Answer;
use super::harness::Setup;
use super::provider::Provider;
use super::speakers::Speaker;
use super::translate::before;
use super::voices::{Said, Voice};

const PICTURE: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=";

fn with_schema(speaker: Speaker, model: &str, stream: bool) -> Value {
    let schema = json!({"type": "object", "properties": {"degrees": {"type": "integer"}}, "required": ["degrees"],
        "additionalProperties": false});
    let mut question = speaker.question(model, "How warm is it?", stream);
    match speaker {
        Speaker::Chat => {
            question["response_format"] =
                json!({"type": "json_schema", "json_schema": {"name": "weather", "schema": schema, "strict": true}});
        }
        Speaker::Responses => {
            question["text"] =
                json!({"format": {"type": "json_schema", "name": "weather", "schema": schema, "strict": true}});
        }
        Speaker::Messages => question["output_config"] = json!({"format": {"type": "json_schema", "schema": schema}}),
    }
    question
}

#[test]
fn schemas_reach_every_provider() {
    for voice in Voice::ALL {
        let (provider, flux) = before(voice);
        provider.always(voice.saying(Said::text("{\"degrees\": 21}"), Said::default()));
        for speaker in Speaker::ALL {
            for stream in [false, true] {
                provider.forget();
                let heard = speaker.ask(&flux, &with_schema(speaker, voice.model(), stream));
                assert_eq!(heard.text, "{\"degrees\": 21}", "{speaker:?} before {voice:?}");
                assert!(provider.only().text().contains("\"degrees\""), "{speaker:?} before {voice:?}");
            }
        }
    }
}

/// A chat provider whose model sees, the usual ones else.
fn seeing(voice: Voice) -> (Provider, &'static str, super::harness::Flux) {
    if voice != Voice::Chat {
        let (provider, flux) = before(voice);
        return (provider, voice.model(), flux);
    }
    let mistral = Provider::bearer("mistral");
    let flux = Setup::with(&[&mistral]).start();
    (mistral, "flux-pinned-mistral-small-4", flux)
}

#[test]
fn pictures_reach_every_provider() {
    for voice in Voice::ALL {
        let (provider, model, flux) = seeing(voice);
        provider.always(voice.saying(Said::text("A dot."), Said::default()));
        for speaker in Speaker::ALL {
            provider.forget();
            let url = format!("data:image/png;base64,{PICTURE}");
            let content = match speaker {
                Speaker::Chat => {
                    json!([{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": url}}])
                }
                Speaker::Responses => {
                    json!([{"type": "input_text", "text": "What?"}, {"type": "input_image", "image_url": url, "detail": "auto"}])
                }
                Speaker::Messages => {
                    json!([{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PICTURE}},
                    {"type": "text", "text": "What?"}])
                }
            };
            let list = if speaker == Speaker::Responses { "input" } else { "messages" };
            let mut question = speaker.question(model, "", false);
            question[list] = json!([{"role": "user", "content": content}]);
            assert_eq!(speaker.ask(&flux, &question).text, "A dot.", "{speaker:?} before {voice:?}");
            let told = provider.only().text();
            assert!(told.contains(PICTURE) && told.contains("image/png"), "{speaker:?} before {voice:?}: {told}");
        }
    }
}

#[test]
fn a_choice_of_tools_reaches_every_provider() {
    for voice in Voice::ALL {
        let (provider, flux) = before(voice);
        let called = Said { calls: vec![("time", json!({"city": "Paris"}))], ..Said::default() };
        provider.always(voice.saying(called, Said::default()));
        for speaker in Speaker::ALL {
            let choices = match speaker {
                Speaker::Chat => [
                    json!("none"),
                    json!("auto"),
                    json!("required"),
                    json!({"type": "function", "function": {"name": "time"}}),
                ],
                Speaker::Responses => {
                    [json!("none"), json!("auto"), json!("required"), json!({"type": "function", "name": "time"})]
                }
                Speaker::Messages => [
                    json!({"type": "none"}),
                    json!({"type": "auto"}),
                    json!({"type": "any"}),
                    json!({"type": "tool", "name": "time"}),
                ],
            };
            for choice in choices {
                let mut question = speaker.question_with_tools(voice.model(), false);
                question["tool_choice"] = choice;
                // The strict provider refuses a choice that its API does not have.
                assert_eq!(speaker.ask(&flux, &question).calls[0].1, "time", "{speaker:?} before {voice:?}");
            }
        }
    }
}

#[test]
fn an_answer_that_came_to_its_limit_says_so_in_every_format() {
    for voice in Voice::ALL {
        let (provider, flux) = before(voice);
        let cut = |text: String| {
            text.replace("\"finish_reason\":\"stop\"", "\"finish_reason\":\"length\"")
                .replace("end_turn", "max_tokens")
                .replace("\"STOP\"", "\"MAX_TOKENS\"")
                .replace("\"incomplete_details\":null", "\"incomplete_details\":{\"reason\":\"max_output_tokens\"}")
                .replace("\"status\":\"completed\"", "\"status\":\"incomplete\"")
                .replace("response.completed", "response.incomplete")
        };
        let said = Said::text("Cut off in the");
        for speaker in Speaker::ALL {
            let expected = match speaker {
                Speaker::Chat => "length",
                Speaker::Responses => "incomplete",
                Speaker::Messages => "max_tokens",
            };
            let whole = cut(voice.whole(&said).to_string());
            provider.next(Answer::bytes(200, &[("content-type", "application/json")], whole.as_bytes()));
            provider.next(Answer::sse(&voice.stream(&said).into_iter().map(cut).collect::<Vec<_>>()));
            for stream in [false, true] {
                let heard = speaker.ask(&flux, &speaker.question(voice.model(), "hi", stream));
                assert_eq!(
                    (heard.text.as_str(), heard.finish.as_str()),
                    ("Cut off in the", expected),
                    "{speaker:?} before {voice:?}, stream: {stream}"
                );
            }
        }
    }
}
