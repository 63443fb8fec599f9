//! Conversations of `flux-auto`: up at once, down when calm, never in a tool loop, with their model, and with their cache.
//!
//! Must not know what is remembered: only which lane and model each turn gets.

use serde_json::{Value, json};

use super::answers::{Answer, chat, chat_usage};
use super::auto::chat_with;
use super::config::{copy_of_conf, edit};
use super::harness::{Flux, Setup};
use super::http::Reply;
use super::provider::Provider;

/// A conversation: what was said so far, and what each answer said of its lane.
struct Talk<'f> {
    flux: &'f Flux,
    session: Option<&'static str>,
    messages: Vec<Value>,
}

impl<'f> Talk<'f> {
    fn new(flux: &'f Flux, opening: &str) -> Self {
        Self { flux, session: None, messages: vec![json!({"role": "system", "content": opening})] }
    }

    /// Asks with `extra` fields, and keeps the answer in mind. Without any wish for quality, so that whatever leaves the
    /// lane open would go to the cheapest by itself.
    fn ask(&mut self, message: Value, extra: &Value) -> Reply {
        self.messages.push(message);
        let mut body = json!({"model": "flux-auto", "max_tokens": 50, "messages": self.messages});
        for (name, value) in extra.as_object().expect("fields") {
            body[name] = value.clone();
        }
        let session = self.session.map(|session| ("x-flux-session", session));
        let headers: Vec<_> = session.into_iter().chain([("x-flux-quality", "0")]).collect();
        let reply = chat_with(self.flux, &headers, &body).expect_status(200);
        self.messages.push(json!({"role": "assistant", "content": "Yes."}));
        reply
    }

    fn say(&mut self, text: &str) -> (String, String) {
        told(&self.ask(json!({"role": "user", "content": text}), &json!({})))
    }

    fn say_hard(&mut self, text: &str) -> (String, String) {
        told(&self.ask(json!({"role": "user", "content": text}), &json!({"reasoning_effort": "high"})))
    }
}

fn told(reply: &Reply) -> (String, String) {
    (reply.header("x-flux-lane").to_owned(), reply.header("x-flux-route-reason").to_owned())
}

fn expect(told: &(String, String), lane: &str, reason: &str) {
    assert!(told.0 == lane && told.1.starts_with(reason), "{told:?} is not {lane}, {reason}");
}

const LIGHT: &str = "Translate to French: good morning, my dear friend, and thank you for the letter of last week.";

#[test]
fn a_conversation_goes_up_at_once_and_down_when_it_is_calm() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let mut talk = Talk::new(&flux, "You are terse.");
    let (own, reason) = talk.say(LIGHT);
    assert_ne!(own, "flux-reasoning", "{reason}");
    expect(&talk.say_hard("Prove it."), "flux-reasoning", "rule:asked-to-think");
    expect(&talk.say(LIGHT), "flux-reasoning", "session:calm");
    expect(&talk.say_hard("And now?"), "flux-reasoning", "rule:asked-to-think");
    expect(&talk.say(LIGHT), "flux-reasoning", "session:calm");
    let (lane, reason) = talk.say(LIGHT);
    assert!(lane != "flux-reasoning" && reason.starts_with("kind:"), "{lane} {reason}");

    let mut other = Talk::new(&flux, "You are verbose.");
    other.say_hard("Prove it.");
    let mut same_opening = Talk::new(&flux, "You are verbose.");
    assert_ne!(same_opening.say(LIGHT).0, "flux-reasoning", "a first turn is decided by itself");
}

#[test]
fn a_session_is_known_by_its_name() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let ask = |session: &'static str, opening: &str| {
        let mut talk = Talk { session: Some(session), ..Talk::new(&flux, opening) };
        talk.say(LIGHT)
    };
    Talk { session: Some("a"), ..Talk::new(&flux, "x") }.say_hard("Prove it.");
    expect(&ask("a", "another system prompt"), "flux-reasoning", "session:calm");
    assert_ne!(ask("b", "x").0, "flux-reasoning");
    let long = "s".repeat(129);
    let body = json!({"model": "flux-auto", "messages": [{"role": "user", "content": "x"}]});
    let reply = chat_with(&flux, &[("x-flux-session", &long)], &body).expect_status(400);
    assert!(reply.text().contains("1 to 128 bytes"), "{}", reply.text());
}

#[test]
fn a_tool_loop_stays_in_its_lane() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let tools = json!([{"type": "function", "function": {"name": "read", "parameters": {"type": "object"}}}]);
    let mut talk = Talk::new(&flux, "You have tools.");
    let first =
        talk.ask(json!({"role": "user", "content": "Read it."}), &json!({"tools": tools, "reasoning_effort": "high"}));
    expect(&told(&first), "flux-reasoning", "rule:asked-to-think");
    for step in 0..4 {
        talk.messages.pop();
        let id = format!("call_{step}");
        talk.messages.push(json!({"role": "assistant", "content": null, "tool_calls": [
            {"id": id, "type": "function", "function": {"name": "read", "arguments": "{}"}}]}));
        let result = json!({"role": "tool", "tool_call_id": id, "content": "a line"});
        expect(&told(&talk.ask(result, &json!({"tools": tools}))), "flux-reasoning", "session:tool-loop");
    }
}

#[test]
fn a_conversation_keeps_the_model_that_answered_it() {
    let (openai, anthropic) = (Provider::openai(), Provider::anthropic());
    let flux = Setup::with(&[&openai, &anthropic]).start();
    let mut talk = Talk::new(&flux, "You are steady.");
    openai.next(Answer::failure(500));
    let first = talk.ask(json!({"role": "user", "content": "Prove it."}), &json!({"reasoning_effort": "high"}));
    assert_eq!((first.header("x-flux-provider"), first.header("x-flux-attempts")), ("anthropic", "2"));
    openai.forget();
    let second = talk.ask(json!({"role": "user", "content": "Go on."}), &json!({"reasoning_effort": "high"}));
    assert_eq!((second.header("x-flux-provider"), second.header("x-flux-attempts")), ("anthropic", "1"));
    assert_eq!(openai.count(), 0);
    let stranger = Talk::new(&flux, "You are new.")
        .ask(json!({"role": "user", "content": "Prove it."}), &json!({"reasoning_effort": "high"}));
    assert_eq!(stranger.header("x-flux-provider"), "openai");
}

#[test]
fn a_cache_that_is_worth_more_than_the_cheaper_lane_keeps_a_conversation() {
    let openai = Provider::openai();
    openai.always(chat("Yes.", chat_usage(50_000, 10)));
    let dir = copy_of_conf();
    edit(
        dir.path(),
        "lanes.toml",
        r#"{ input = "4", output = "16" }"#,
        r#"{ input = "4", output = "16", cache_read = "0.4" }"#,
    );
    for (cache_ms, last) in [("300000", ("flux-reasoning", "session:cache")), ("0", ("", "kind:"))] {
        let flux = Setup::with(&[&openai]).config(dir.path()).env("FLUX_CONVERSATIONS__CACHE_MS", cache_ms).start();
        let mut talk = Talk::new(&flux, "A long document stands here.");
        talk.say_hard("Prove it.");
        expect(&talk.say(LIGHT), "flux-reasoning", "session:calm");
        let (lane, reason) = talk.say(LIGHT);
        assert!(reason.starts_with(last.1) && (last.0.is_empty() || lane == last.0), "{lane} {reason} with {cache_ms}");
    }
}

#[test]
fn what_the_lane_cannot_serve_goes_to_the_next_that_can() {
    let (openai, groq) = (Provider::openai(), Provider::groq());
    let dir = copy_of_conf();
    let fallbacks = r#"fallbacks = ["google/gemini-3.8-flash", "deepseek/deepseek-flash", "anthropic/claude-sonnet-5-5", "fireworks/glm-5.3-flash"]"#;
    edit(dir.path(), "lanes.toml", "default = \"openai/gpt-6.1-terra\"", "default = \"groq/gpt-oss-120b\"");
    edit(dir.path(), "lanes.toml", fallbacks, "fallbacks = []");
    let flux = Setup::with(&[&openai, &groq]).config(dir.path()).start();
    let ask = |content: Value, lane: &str, reason: &str| {
        let body = json!({"model": "flux-auto", "max_tokens": 50, "messages": [{"role": "user", "content": content}]});
        let reply = chat_with(&flux, &[("x-flux-quality", "0")], &body).expect_status(200);
        expect(&told(&reply), lane, reason);
    };
    let picture = json!([{"type": "text", "text": "What is on this picture?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]);
    ask(picture, "flux-reasoning", "fit:needs");
    ask(json!("word ".repeat(250_000)), "flux-reasoning", "fit:context");
    ask(json!("word ".repeat(50_000)), "flux-standard", "rule:long-context");
    assert!(groq.count() == 1 && openai.count() == 2);
}

#[test]
fn none_is_remembered_where_none_may_be() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).env("FLUX_CONVERSATIONS__REMEMBERED_MAX", "0").start();
    let mut talk = Talk::new(&flux, "You forget.");
    talk.say_hard("Prove it.");
    assert_ne!(talk.say(LIGHT).0, "flux-reasoning");
}
