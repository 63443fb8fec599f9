//! Hedging: a second target is asked beside one whose first token is late; whoever has content first goes on.
//!
//! Must not measure time: gates hold a provider back until the other was seen to be asked.

use serde_json::{Value, json};

use super::answers::{
    Answer, DONE, Gate, Step, chat_body, chat_event, chat_events, chat_stream, chat_usage, messages_stream,
};
use super::config::edited;
use super::harness::{Flux, Setup, ask_chat, ask_chat_stream, wait_for};
use super::http::Conn;
use super::ledger::Row;
use super::passthrough::assert_tells_nothing;
use super::provider::Provider;
use super::sse;

const FIRST: &str = "deepseek/deepseek-flash";
const SECOND: &str = "together/deepseek-v4.1-flash";
/// Of a larger window than the first: 1,048,576 tokens and 1,000,000.
const LARGER: &str = "together/kimi-k3";
const OTHER_FORMAT: &str = "anthropic/claude-haiku-5-5";
const WORDS: [&str; 4] = ["Hello ", "from ", "the ", "provider."];
const OTHER_WORDS: [&str; 2] = ["I was ", "quicker."];
/// So many first tokens are known before the lane hedges.
const USUAL: usize = 20;

struct Pair {
    first: Provider,
    second: Provider,
    flux: Flux,
}

fn stream(words: &[&str]) -> Answer {
    Answer::sse(&chat_stream(words, &chat_usage(1000, 500)))
}

impl Pair {
    /// A lane of two targets, of which the first has been quick so far.
    fn start(second: Provider, lane: &str, change: impl Fn(Setup) -> Setup) -> Self {
        let first = Provider::bearer("deepseek");
        first.always(|_| stream(&WORDS));
        let lane = format!("[lanes.test]\ndefault = \"{FIRST}\"\n{lane}\n\n[lanes.flux-fast]\n");
        let setup = Setup::with(&[&first, &second]).holding(edited("lanes.toml", "[lanes.flux-fast]\n", &lane));
        let flux = change(setup.env("FLUX_HEALTH__HEDGE_AFTER_MS_MIN", "50")).start();
        let pair = Self { first, second, flux };
        for _ in 0..USUAL {
            pair.flux.chat(&ask_chat_stream("test")).expect_status(200);
        }
        assert_eq!(pair.second.count(), 0);
        pair.flux.wait_for_rows(USUAL);
        pair.first.forget();
        pair
    }

    fn hedged() -> Self {
        Self::start(Provider::bearer("together"), &format!("fallbacks = [\"{SECOND}\"]\nhedge = true"), |setup| setup)
    }

    fn begin(&self, body: &Value) -> Conn {
        let mut client = self.flux.connect();
        client.write(&self.flux.chat_request(body.to_string().as_bytes()));
        client
    }

    fn last_row(&self) -> Row {
        self.flux.wait_for_rows(USUAL + 1).pop().expect("a row")
    }

    fn has_hedges(&self, outcome: &str) -> bool {
        self.flux.metric("flux_hedges_total", &[&format!("outcome=\"{outcome}\"")]) > 0.0
    }

    fn last_line(&self) -> Value {
        wait_for("the line of the request", || self.flux.request_lines().len() > USUAL);
        serde_json::from_str(&self.flux.request_lines()[USUAL]).expect("a line")
    }
}

#[test]
fn whoever_has_content_first_goes_on_and_the_other_is_cancelled() {
    let pair = Pair::hedged();
    pair.first.next(Answer::sse_steps(vec![Step::Hang]));
    pair.second.next(stream(&OTHER_WORDS));
    let mut client = pair.begin(&ask_chat_stream("test"));
    let reply = client.reply();
    assert_eq!(
        (reply.status, reply.header("x-flux-provider"), reply.header("x-flux-attempts")),
        (200, "together", "2")
    );
    assert!(reply.is_complete);
    assert_eq!(sse::chat_text(&reply.body), OTHER_WORDS.concat());
    pair.first.wait_for_left(1);
    let row = pair.last_row();
    assert_eq!((row.text("provider"), row.text("ending"), row.number("input")), ("together", "done", 1000));
    assert_eq!(row.amount_nano(), sse::comment_cost_nano(&reply.body));
    assert!(row.number("provider_cost") > row.amount_nano(), "the house pays for the prompt of the other: {row:?}");
    let line = pair.last_line();
    assert_eq!(line["hedge"], "won");
    assert_ne!(line["house_cost_usd"], "0.000000000");
    assert!(pair.has_hedges("won") && !pair.has_hedges("lost"));
    assert!(pair.flux.metric("flux_house_cost_usd_total", &["test"]) > 0.0);
    // The connection goes on, and so does the lane.
    pair.first.next(stream(&WORDS));
    client.write(&pair.flux.chat_request(ask_chat_stream("test").to_string().as_bytes()));
    assert_eq!(client.reply().header("x-flux-provider"), "deepseek");
}

#[test]
fn the_first_may_still_be_the_first() {
    let pair = Pair::hedged();
    let gate = Gate::default();
    pair.first.next(stream(&WORDS).after(&gate));
    pair.second.next(Answer::silence());
    let mut client = pair.begin(&ask_chat_stream("test"));
    pair.second.wait_for_requests(1);
    gate.open();
    let reply = client.reply();
    assert_eq!((reply.header("x-flux-provider"), sse::chat_text(&reply.body)), ("deepseek", WORDS.concat()));
    pair.second.wait_for_left(1);
    let row = pair.last_row();
    assert!(row.number("provider_cost") > row.amount_nano(), "{row:?}");
    assert_eq!(pair.last_line()["hedge"], "lost");
    assert!(pair.has_hedges("lost"));
}

#[test]
fn a_second_attempt_that_fails_changes_nothing() {
    for failure in [
        Answer::failure(500),
        Answer::failure(401),
        Answer::json(400, &json!({"error": {"message": "no", "type": "invalid_request_error"}})),
        Answer(vec![Step::Reset]),
        Answer::bytes(200, &[("content-type", "text/event-stream"), ("content-encoding", "gzip")], b"\x1f\x8b"),
        Answer::sse(&["data: {\"error\":{\"message\":\"no\"}}\n\n".to_owned()]),
        Answer::sse(&[]),
    ] {
        let pair = Pair::hedged();
        let gate = Gate::default();
        pair.first.next(stream(&WORDS).after(&gate));
        pair.second.next(failure);
        let mut client = pair.begin(&ask_chat_stream("test"));
        wait_for("the second attempt to fail", || pair.second.count() == 1);
        gate.open();
        let reply = client.reply();
        assert_eq!((reply.status, reply.header("x-flux-provider")), (200, "deepseek"));
        assert_eq!(sse::chat_text(&reply.body), WORDS.concat());
        let row = pair.last_row();
        assert_eq!(row.amount_nano(), sse::comment_cost_nano(&reply.body));
        let hedge = pair.last_line()["hedge"].clone();
        assert!(hedge == "failed" || hedge == "lost", "as soon as it is known: {hedge}");
    }
}

#[test]
fn a_first_attempt_that_fails_leaves_the_request_to_the_second() {
    let pair = Pair::hedged();
    let (fails, answers) = (Gate::default(), Gate::default());
    pair.first.next(Answer::failure(500).after(&fails));
    pair.second.next(stream(&OTHER_WORDS).after(&answers));
    let mut client = pair.begin(&ask_chat_stream("test"));
    pair.second.wait_for_requests(1);
    fails.open();
    wait_for("the failure", || pair.flux.metric("flux_attempt_failures_total", &["deepseek"]) > 0.0);
    answers.open();
    let reply = client.reply();
    assert_eq!(
        (reply.status, reply.header("x-flux-provider"), reply.header("x-flux-attempts")),
        (200, "together", "2")
    );
    assert_eq!(sse::chat_text(&reply.body), OTHER_WORDS.concat());
    let row = pair.last_row();
    assert_eq!(row.number("provider_cost"), row.amount_nano(), "a failure costs nothing");
    assert_eq!((pair.first.count(), pair.second.count()), (1, 1));
    // A connection that was kept and broke is no failure yet: the second attempt is waited for all the same.
    let (fails, answers) = (Gate::default(), Gate::default());
    pair.first.next(Answer(vec![Step::Wait(fails.clone()), Step::Reset]));
    pair.second.next(stream(&OTHER_WORDS).after(&answers));
    let mut client = pair.begin(&ask_chat_stream("test"));
    pair.second.wait_for_requests(2);
    fails.open();
    answers.open();
    assert_eq!(client.reply().header("x-flux-provider"), "together");
}

#[test]
fn when_both_fail_the_client_is_told_in_the_usual_way() {
    let pair = Pair::hedged();
    let gates = [Gate::default(), Gate::default()];
    pair.first.next(Answer::failure(500).after(&gates[0]));
    pair.second.next(Answer::failure(500).after(&gates[1]));
    let mut client = pair.begin(&ask_chat_stream("test"));
    pair.second.wait_for_requests(1);
    gates.iter().for_each(Gate::open);
    let reply = client.reply();
    assert_eq!(reply.status, 503);
    assert_tells_nothing(&reply);
    assert_eq!(pair.last_line()["hedge"], "failed");
}

#[test]
fn a_second_attempt_may_speak_another_format() {
    let lane = format!("fallbacks = [\"{OTHER_FORMAT}\"]\nhedge = true");
    let pair = Pair::start(Provider::anthropic(), &lane, |setup| setup);
    pair.first.next(Answer::silence());
    pair.second.next(Answer::sse(&messages_stream(&OTHER_WORDS, &json!({"input_tokens": 1000}), 500)));
    let reply = pair.begin(&ask_chat_stream("test")).reply();
    assert_eq!((reply.status, reply.header("x-flux-provider")), (200, "anthropic"));
    assert!(reply.is_complete);
    assert_eq!(sse::chat_text(&reply.body), OTHER_WORDS.concat());
    assert_eq!(pair.last_row().text("provider"), "anthropic");
}

#[test]
fn a_winner_that_breaks_off_ends_as_any_stream_does() {
    let pair = Pair::hedged();
    pair.first.next(Answer::silence());
    let mut steps: Vec<Step> =
        chat_events(&OTHER_WORDS).into_iter().map(|event| Step::Send(event.into_bytes())).collect();
    steps.truncate(2);
    steps.push(Step::Reset);
    pair.second.next(Answer::sse_steps(steps));
    let reply = pair.begin(&ask_chat_stream("test")).reply();
    assert_eq!(reply.status, 200);
    assert!(reply.text().contains("broke off") && !reply.text().contains(DONE), "{}", reply.text());
    let row = pair.last_row();
    assert_eq!((row.text("ending"), row.amount_nano()), ("cut", 0));
}

#[test]
fn comments_go_out_while_both_think_and_a_client_that_leaves_ends_both() {
    let lane = format!("fallbacks = [\"{SECOND}\"]\nhedge = true");
    let pinging = |setup: Setup| setup.env("FLUX_TIMEOUTS__PING_MS", "50");
    let pair = Pair::start(Provider::bearer("together"), &lane, pinging);
    pair.first.next(Answer::silence());
    pair.second.next(Answer::silence());
    let mut client = pair.begin(&ask_chat_stream("test"));
    pair.second.wait_for_requests(1);
    assert_eq!(client.head(), 200);
    assert!(client.read_until(&": keep-alive\n\n".repeat(2)));
    drop(client);
    pair.first.wait_for_left(1);
    pair.second.wait_for_left(1);
    assert_eq!(pair.last_row().text("ending"), "left");
    // After a comment the second goes on in the same stream.
    let gate = Gate::default();
    pair.first.next(Answer::silence());
    pair.second.next(stream(&OTHER_WORDS).after(&gate));
    let mut client = pair.begin(&ask_chat_stream("test"));
    assert_eq!(client.head(), 200);
    pair.second.wait_for_requests(2);
    gate.open();
    let reply = client.rest();
    assert!(reply.is_complete);
    assert_eq!(sse::chat_text(&reply.body), OTHER_WORDS.concat());
}

/// A lane of three, and what its providers say.
fn of_three(change: impl Fn(Setup) -> Setup) -> (Pair, Provider) {
    let third = Provider::groq();
    let lane = format!("fallbacks = [\"{SECOND}\", \"groq/gpt-oss-120b\"]\nhedge = true");
    let pair =
        Pair::start(Provider::bearer("together"), &lane, |setup| change(setup.provider("groq", &third.base_url())));
    third.always(|_| stream(&["third"]));
    (pair, third)
}

#[test]
fn whoever_is_left_is_asked_while_the_second_hangs() {
    let (pair, third) = of_three(|setup| setup);
    let fails = Gate::default();
    pair.first.next(Answer::failure(500).after(&fails));
    pair.second.next(Answer::silence());
    let mut client = pair.begin(&ask_chat_stream("test"));
    pair.second.wait_for_requests(1);
    fails.open();
    let reply = client.reply();
    assert_eq!((reply.header("x-flux-provider"), reply.header("x-flux-attempts")), ("groq", "3"));
    assert_eq!((sse::chat_text(&reply.body).as_str(), third.count()), ("third", 1));
    pair.second.wait_for_left(1);
}

#[test]
fn attempts_beside_count_as_any() {
    let (pair, third) = of_three(|setup| {
        setup
            .env("FLUX_LIMITS__ATTEMPTS_MAX", "2")
            .env("FLUX_HEALTH__RETRIES_MAX", "3")
            .env("FLUX_HEALTH__RETRY_DELAY_MS", "1")
    });
    let gates = [Gate::default(), Gate::default()];
    pair.first.next(Answer::failure(500).after(&gates[0]));
    pair.second.next(Answer::failure(500).after(&gates[1]));
    let mut client = pair.begin(&ask_chat_stream("test"));
    pair.second.wait_for_requests(1);
    gates.iter().for_each(Gate::open);
    let reply = client.reply();
    assert_eq!((reply.status, reply.header("x-flux-attempts")), (503, "2"));
    assert_eq!((pair.first.count(), pair.second.count(), third.count()), (1, 1, 0));
    for provider in ["deepseek", "together"] {
        assert!(pair.flux.metric("flux_attempt_failures_total", &[provider, "status_5xx"]) > 0.0, "{provider}");
    }
}

#[test]
fn a_winner_ends_where_the_money_does() {
    let pair = Pair::hedged();
    let spent: i64 = pair.flux.ledger().iter().map(Row::amount_nano).sum();
    super::money::cap(&pair.flux, spent + 300_000);
    pair.first.next(Answer::silence());
    let event = chat_event(&json!({"content": "0123456789 ".repeat(40)}), None);
    pair.second.next(Answer::sse(&vec![event; 200]));
    let reply = pair.begin(&ask_chat_stream("test")).reply();
    assert_eq!((reply.status, reply.header("x-flux-provider")), (200, "together"));
    let row = pair.last_row();
    assert_eq!((row.text("ending"), row.amount_nano()), ("capped", 300_000), "{row:?}");
    assert!(sse::events(&reply.body).len() < 20, "{}", reply.text());
}

#[test]
fn the_head_is_that_of_a_stream_however_the_winner_answers() {
    let events = chat_stream(&OTHER_WORDS, &chat_usage(1000, 500)).concat();
    for answer in [Answer::sse(&[events]), Answer::json(200, &chat_body(&OTHER_WORDS.concat(), &chat_usage(1000, 500)))]
    {
        let pair = Pair::hedged();
        pair.first.next(Answer::silence());
        pair.second.next(answer);
        let reply = pair.begin(&ask_chat_stream("test")).reply();
        assert_eq!(reply.header("content-type"), "text/event-stream; charset=utf-8");
        assert_eq!((reply.headers.get("content-length"), reply.headers.get("x-flux-cost-usd")), (None, None));
        assert_eq!(sse::chat_text(&reply.body), OTHER_WORDS.concat());
        assert!(reply.is_complete);
        assert_eq!(pair.last_row().amount_nano(), sse::comment_cost_nano(&reply.body));
    }
}

#[test]
fn a_prompt_too_long_for_the_first_waits_for_the_larger_window_beside() {
    let pair =
        Pair::start(Provider::bearer("together"), &format!("fallbacks = [\"{LARGER}\"]\nhedge = true"), |setup| setup);
    let (says, answers) = (Gate::default(), Gate::default());
    let too_long = json!({"error": {"message": "This model's maximum context length is 1000000 tokens.",
        "type": "invalid_request_error", "code": "context_length_exceeded"}});
    pair.first.next(Answer::json(400, &too_long).after(&says));
    pair.second.next(stream(&OTHER_WORDS).after(&answers));
    let mut client = pair.begin(&ask_chat_stream("test"));
    pair.second.wait_for_requests(1);
    says.open();
    wait_for("the refusal", || pair.flux.metric("flux_attempt_failures_total", &["context_too_long"]) > 0.0);
    answers.open();
    let reply = client.reply();
    assert_eq!((reply.status, reply.header("x-flux-provider")), (200, "together"));
}

/// Where the first hangs for ever, its breaker opens in the end: it is not asked any more, and nobody waits for it.
#[test]
fn a_target_that_is_always_overtaken_is_ill() {
    let lane = format!("fallbacks = [\"{SECOND}\"]\nhedge = true");
    let pair = Pair::start(Provider::bearer("together"), &lane, |setup| {
        setup
            .env("FLUX_HEALTH__PASSES_OVER", "true")
            .env("FLUX_HEALTH__RETRY_RESERVE", "1000")
            .env("FLUX_HEALTH__COOLDOWN_MS", "60000")
    });
    pair.first.always(|_| Answer::silence());
    pair.second.always(|_| stream(&OTHER_WORDS));
    let attempts = || pair.begin(&ask_chat_stream("test")).reply().header("x-flux-attempts").to_owned();
    let begun = (0..60).take_while(|_| attempts() == "2").count();
    assert!((10..60).contains(&begun), "{begun} requests waited for it");
    assert_eq!((attempts(), pair.first.count()), ("1".to_owned(), begun));
}

#[test]
fn nothing_is_hedged_that_nobody_asked_to_hedge() {
    let fallbacks = format!("fallbacks = [\"{SECOND}\"]");
    let without_budget =
        |setup: Setup| setup.env("FLUX_HEALTH__RETRY_RESERVE", "0").env("FLUX_HEALTH__RETRY_PERCENT", "0");
    for (lane, body, change) in [
        (fallbacks.clone(), ask_chat_stream("test"), (|setup| setup) as fn(Setup) -> Setup),
        (format!("{fallbacks}\nhedge = true"), ask_chat("test"), |setup| setup),
        (format!("{fallbacks}\nhedge = true"), ask_chat_stream("flux-pinned-deepseek-flash"), |setup| setup),
        (format!("{fallbacks}\nhedge = true"), ask_chat_stream("test"), without_budget),
        ("hedge = true".to_owned(), ask_chat_stream("test"), |setup| setup),
    ] {
        let pair = Pair::start(Provider::bearer("together"), &lane, change);
        let is_stream = body["stream"] == true;
        let whole = || Answer::json(200, &chat_body("hello", &chat_usage(5, 5)));
        let answer = if is_stream { stream(&WORDS) } else { whole() };
        let mut steps = vec![Step::Pause(std::time::Duration::from_millis(300))];
        steps.extend(answer.0);
        pair.first.next(Answer(steps));
        let reply = pair.begin(&body).reply();
        assert_eq!(
            (reply.status, reply.header("x-flux-provider"), pair.second.count()),
            (200, "deepseek", 0),
            "{lane}"
        );
    }
}
