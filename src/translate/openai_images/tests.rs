//! Words for pictures, read and written, and what comes back.

use serde_json::{Value as Json, json};

use super::*;
use crate::translate::ir::{Choice, Event, FaultKind, Finish, Request, Value};
use crate::translate::{Invalid, InvalidFault, Sink};

fn check<T>(body: &Json, look: impl FnOnce(Result<Request<'_>, Invalid>) -> T) -> T {
    let text = body.to_string();
    look(read_request(Value::parse(text.as_bytes()).unwrap()))
}

#[test]
fn every_field_is_read_or_told() {
    let body = json!({"model": "m", "prompt": "a fox", "n": 2, "size": "auto", "quality": "high", "user": "u",
        "background": null, "output_format": "png", "response_format": "b64_json", "moderation": "low", "style": "x"});
    check(&body, |request| {
        let request = request.unwrap();
        assert!(request.wants_images && request.choices == Choice(2));
        assert_eq!(request.turns.len(), 1);
        assert!(request.image_form.size.is_none() && request.image_form.background.is_none());
        assert!(request.image_form.quality.is_some_and(|quality| quality.is("high")));
        assert_eq!(request.ignored, ["moderation", "style"]);
    });
}

#[test]
fn what_makes_no_sense_is_named() {
    for (field, value, fault) in [
        ("prompt", json!(7), InvalidFault::Request),
        ("prompt", json!(""), InvalidFault::Request),
        ("n", json!(0), InvalidFault::Request),
        ("size", json!(1024), InvalidFault::Request),
        ("response_format", json!("url"), InvalidFault::Target),
        ("image", json!("data:…"), InvalidFault::Target),
    ] {
        let mut body = json!({"model": "m", "prompt": "a fox"});
        body[field] = value;
        check(&body, |request| {
            let invalid = request.map(|_| ()).unwrap_err();
            assert_eq!((invalid.param.as_str(), invalid.fault), (field, fault));
        });
    }
}

#[derive(Default)]
struct Seen(Vec<String>);

impl Sink for Seen {
    fn take(&mut self, event: Event<'_>) {
        let told = match event {
            Event::Start { .. } => "start".to_owned(),
            Event::Image { media_type, base64 } => format!("{} {}", media_type.spelt(), base64.spelt()),
            Event::Finish { reason: Finish::Done, .. } => "done".to_owned(),
            Event::Usage { usage, .. } => format!("{} {}", usage.input, usage.output_image),
            Event::Fault(fault) if fault.kind == FaultKind::Garbled => "garbled".to_owned(),
            Event::Fault(fault) => fault.message.spelt().to_owned(),
            Event::Text(_)
            | Event::Refusal(_)
            | Event::Thought(_)
            | Event::Sealed(_)
            | Event::CallStart { .. }
            | Event::CallArguments { .. }
            | Event::PartEnd
            | Event::Citation(_)
            | Event::Logprobs(_)
            | Event::Finish { .. } => "something else".to_owned(),
        };
        self.0.push(told);
    }
}

#[test]
fn an_answer_is_its_pictures_and_what_they_used() {
    let usage = json!({"input_tokens": 3, "output_tokens": 40, "total_tokens": 43});
    for (answer, events) in [
        (
            json!({"data": [{"b64_json": "iVBORw0KGgo="}, {"b64_json": "/9j/4AAQ"}], "usage": usage}),
            vec!["start", "image/png iVBORw0KGgo=", "image/jpeg /9j/4AAQ", "done", "3 40"],
        ),
        (json!({"data": [{"url": "https://x.example/a.png"}]}), vec!["garbled"]),
        (json!({}), vec!["garbled"]),
        (json!({"error": {"message": "no"}}), vec!["no"]),
    ] {
        let (mut reader, mut seen, text) = (AnswerReader::default(), Seen::default(), answer.to_string());
        reader.whole(Value::parse(text.as_bytes()).unwrap(), &mut seen);
        assert_eq!(seen.0, events, "{answer}");
        assert_eq!(reader.is_complete(), events.contains(&"done"));
    }
}
