//! Clients that leave: upstream is cancelled, what was produced is charged, once.
//!
//! Must not know how a leaving client is noticed: it closes sockets and looks at both ends.

use serde_json::json;

use super::answers::{self, Answer, Gate, Step, chat_event, chat_events, chat_usage};
use super::harness::{Flux, Setup, ask_chat, ask_chat_stream, ask_messages_stream, wait_for};
use super::provider::Provider;
use super::streams::{COST_NANO, openai_and_flux};

/// Starts a stream, reads until its first word, and leaves. The provider would go on.
fn leave_in_mid_stream(flux: &Flux, request: &[u8], first_word: &str) {
    let mut conn = flux.connect();
    conn.write(request);
    assert_eq!(conn.head(), 200);
    assert!(conn.read_until(first_word));
}

/// A stream that goes quiet after its events and is never ended by the provider.
pub(crate) fn endless(events: &[String]) -> Answer {
    let mut steps: Vec<Step> = events.iter().map(|event| Step::Send(event.clone().into_bytes())).collect();
    steps.push(Step::Hang);
    Answer::sse_steps(steps)
}

#[test]
fn t01_t02_t03_t05_a_client_that_leaves_is_charged_once_and_upstream_is_closed() {
    let openai = Provider::openai();
    let anthropic = Provider::anthropic();
    let flux = Setup::with(&[&openai, &anthropic]).start();
    openai.next(endless(&chat_events(&["Once "; 50])[..50]));
    leave_in_mid_stream(&flux, &flux.chat_request(ask_chat_stream("gpt-4o-mini").to_string().as_bytes()), "Once");
    openai.wait_for_left(1);
    let row = flux.only_row();
    assert_eq!((row.text("ending"), row.is_estimated(), row.number("streamed")), ("left", true, 1));
    assert!(row.amount_nano() > 0 && row.amount_nano() < COST_NANO, "{row:?}");

    let stream = answers::messages_stream(&["Once "; 50], &json!({"input_tokens": 1000, "output_tokens": 1}), 500);
    anthropic.next(endless(&stream[..40]));
    let request = flux.messages_request(ask_messages_stream("claude-3-5-haiku-latest").to_string().as_bytes());
    leave_in_mid_stream(&flux, &request, "Once");
    anthropic.wait_for_left(1);
    let rows = flux.wait_for_rows(2);
    assert_eq!((rows[1].text("ending"), rows[1].is_estimated()), ("left", true));
    assert_eq!(rows[1].number("input"), 1000, "what the provider said of the prompt is kept");
}

#[test]
fn t02_no_pump_goes_on_after_the_client_has_left() {
    const CLIENTS: usize = 20;
    let (openai, flux) = openai_and_flux();
    for _ in 0..CLIENTS {
        openai.next(endless(&chat_events(&["Once "; 5])[..5]));
        leave_in_mid_stream(&flux, &flux.chat_request(ask_chat_stream("gpt-4o-mini").to_string().as_bytes()), "Once");
    }
    openai.wait_for_left(CLIENTS);
    flux.wait_for_rows(CLIENTS);
}

#[test]
fn t03_a_client_that_leaves_before_the_first_byte_cancels_upstream() {
    let (openai, flux) = openai_and_flux();
    for body in [ask_chat("gpt-4o-mini"), ask_chat_stream("gpt-4o-mini")] {
        openai.forget();
        openai.next(Answer::silence());
        let mut conn = flux.connect();
        conn.write(&flux.chat_request(body.to_string().as_bytes()));
        openai.wait_for_requests(1);
        drop(conn);
    }
    openai.wait_for_left(2);
}

#[test]
fn t04_a_unary_request_whose_client_left_is_settled_or_cancelled_never_lost() {
    let (openai, flux) = openai_and_flux();
    // Most of the answer was read by Flux when the client leaves: it is larger than what sockets hold.
    let body = answers::chat_body(&"word ".repeat(1_400_000), &chat_usage(1000, 500)).to_string();
    let head = answers::head(200, &[("content-type", "application/json")], &format!("content-length: {}", body.len()));
    let sent = &body.as_bytes()[..body.len() - 100];
    let (is_sent, never) = (Gate::default(), Gate::default());
    openai.next(Answer(vec![
        Step::Send([head.as_slice(), sent].concat()),
        Step::Open(is_sent.clone()),
        Step::Wait(never),
    ]));
    let mut conn = flux.connect();
    conn.write(&flux.chat_request(ask_chat("gpt-4o-mini").to_string().as_bytes()));
    wait_for("most of the answer to be sent", || is_sent.is_open_within(std::time::Duration::from_millis(2)));
    drop(conn);
    openai.wait_for_left(1);
    let row = flux.only_row();
    assert_eq!(row.text("ending"), "left");
    assert!(row.is_estimated() && row.amount_nano() > 0, "{row:?}");
}

#[test]
fn t06_a_stream_aborted_without_output_is_not_charged_for_output() {
    let (openai, flux) = openai_and_flux();
    let role = chat_event(&json!({"role": "assistant", "content": ""}), None);
    openai.next(Answer::sse_steps(vec![Step::Send(role.into_bytes()), Step::Hang]));
    let mut conn = flux.connect();
    conn.write(&flux.chat_request(ask_chat_stream("gpt-4o-mini").to_string().as_bytes()));
    openai.wait_for_requests(1);
    drop(conn);
    openai.wait_for_left(1);
    // Nothing, or the prompt at the model's own price: a few tokens at 0.1 USD per million.
    flux.chat(&ask_chat("gpt-4o-mini")).expect_status(200);
    wait_for("the second row", || flux.ledger().iter().any(|row| row.amount_nano() == COST_NANO));
    let aborted: i64 = flux.ledger().iter().map(super::ledger::Row::amount_nano).sum::<i64>() - COST_NANO;
    assert!((0..10_000).contains(&aborted), "{aborted} nano-USD for nothing");
}

#[test]
fn t12_the_gauge_of_running_requests_returns_to_zero() {
    let (openai, flux) = openai_and_flux();
    let in_flight = || flux.metric("flux_requests_in_flight", &[]);
    openai.next(endless(&chat_events(&["Once "; 5])[..5]));
    let mut conn = flux.connect();
    conn.write(&flux.chat_request(ask_chat_stream("gpt-4o-mini").to_string().as_bytes()));
    assert_eq!(conn.head(), 200);
    assert!(conn.read_until("Once"));
    wait_for("one running request", || (in_flight() - 1.0).abs() < f64::EPSILON);
    drop(conn);
    wait_for("no running request", || in_flight().abs() < f64::EPSILON);
    openai.next(Answer::silence());
    let mut conn = flux.connect();
    conn.write(&flux.chat_request(ask_chat("gpt-4o-mini").to_string().as_bytes()));
    openai.wait_for_requests(2);
    drop(conn);
    wait_for("no running request", || in_flight().abs() < f64::EPSILON);
}
