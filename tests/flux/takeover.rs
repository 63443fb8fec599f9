//! An upgrade seen by clients of other kinds: over TLS, over HTTP/2, and with a cap that is nearly spent.
//!
//! Must not know how the processes share anything: `upgrade` has the load that an upgrade must outlive.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::answers::{Answer, Gate, Step, chat_stream, chat_usage};
use super::h2::{self, Client};
use super::harness::{Flux, Setup, ask_chat, ask_chat_stream, wait_for};
use super::ledger::Row;
use super::provider::Provider;
use super::tls::{self, Talker};
use super::upgrade::{assert_all_charged_once, open_streams, provider, upgrade};
use super::{money, sse};

/// A few, since each is a handshake of its own.
const STREAMS: usize = 6;

#[test]
fn an_upgrade_over_tls_cuts_refuses_and_loses_nothing() {
    let gate = Gate::default();
    let openai = provider(&gate);
    let mut flux = tls::listening(Setup::with(&[&openai])).start();
    let mut client = Talker::start(&flux, &ask_chat("gpt-4o-mini"));
    assert_eq!(client.tell("open", STREAMS), STREAMS);
    let mut paid = BTreeMap::new();
    let mut ask = |client: &mut Talker| {
        for answer in client.tell("ask", 4).as_array().expect("answers") {
            let [id, cost] = [0, 2].map(|index| answer[index].as_str().expect("a text").to_owned());
            paid.insert(id, super::http::nano(&cost));
        }
    };
    ask(&mut client);
    upgrade(&flux);
    ask(&mut client);
    assert!(flux.is_running(), "open streams hold the old process");
    gate.open();
    let streams = client.tell("end", STREAMS);
    assert!(flux.wait_for_end().success());
    ask(&mut client);
    for stream in streams.as_array().expect("streams") {
        let [id, body] = [0, 1].map(|index| stream[index].as_str().expect("a text").to_owned());
        assert_eq!(sse::chat_text(body.as_bytes()), "Hello from far.");
        paid.insert(id, sse::comment_cost_nano(body.as_bytes()));
    }
    assert_eq!(paid.len(), STREAMS + 3 * 4);
    assert_all_charged_once(&flux, &paid);
}

/// Streams of one connection of HTTP/2, with what each has said and whether it has ended.
struct Streams {
    client: Client,
    said: BTreeMap<u32, (Vec<u8>, bool)>,
    is_told_to_go: bool,
}

impl Streams {
    /// Shakes hands and asks for nothing yet.
    fn open(flux: &Flux) -> Self {
        Self { client: Client::open(flux.addr), said: BTreeMap::new(), is_told_to_go: false }
    }

    fn ask(&mut self, flux: &Flux, count: u32) {
        let body = ask_chat_stream("gpt-4o-mini").to_string();
        for stream in h2::streams(count) {
            assert!(self.client.send(h2::HEADERS, h2::END_HEADERS, stream, &h2::head(flux)));
            assert!(self.client.send(h2::DATA, h2::END_STREAM, stream, body.as_bytes()));
            self.said.insert(stream, Default::default());
        }
    }

    /// Reads one frame; false when the connection has ended.
    fn step(&mut self) -> bool {
        let Some(frame) = self.client.next() else { return false };
        self.is_told_to_go |= frame.kind == h2::GOAWAY;
        if frame.kind == h2::PING && frame.flags & h2::ACK == 0 {
            assert!(self.client.send(h2::PING, h2::ACK, 0, &frame.payload));
        }
        if let Some((said, has_ended)) = self.said.get_mut(&frame.stream) {
            if frame.kind == h2::DATA {
                said.extend_from_slice(&frame.payload);
            }
            *has_ended |= frame.flags & h2::END_STREAM != 0 && [h2::DATA, h2::HEADERS].contains(&frame.kind);
        }
        true
    }

    fn read_until(&mut self, is_enough: impl Fn(&[u8], bool) -> bool) {
        while !self.said.values().all(|(said, has_ended)| is_enough(said, *has_ended)) {
            assert!(self.step(), "a connection ends before its streams");
        }
    }

    /// Reads all streams to their ends; what they cost.
    fn costs(&mut self) -> Vec<i64> {
        self.read_until(|_, has_ended| has_ended);
        let streams = self.said.values();
        streams.map(|(said, _)| (sse::chat_text(said), sse::comment_cost_nano(said))).map(assert_whole).collect()
    }
}

fn assert_whole((text, cost): (String, i64)) -> i64 {
    assert_eq!(text, "Hello from far.");
    cost
}

#[track_caller]
fn assert_all_charged(flux: &Flux, mut paid: Vec<i64>) {
    let mut booked: Vec<i64> = flux.wait_for_rows(paid.len()).iter().map(Row::amount_nano).collect();
    paid.sort_unstable();
    booked.sort_unstable();
    assert_eq!(paid, booked);
    assert_eq!(flux.run_json(&["reconcile", "--json"])["ok"], true);
}

#[test]
fn an_upgrade_over_http2_cuts_refuses_and_loses_nothing() {
    let gate = Gate::default();
    let openai = provider(&gate);
    let mut flux = Setup::with(&[&openai]).start();
    let [mut early, mut late] = [Streams::open(&flux), Streams::open(&flux)];
    early.ask(&flux, 6);
    early.read_until(|said, _| said.ends_with(b"\n\n") && String::from_utf8_lossy(said).contains("Hello "));
    upgrade(&flux);
    let mut next = Streams::open(&flux);
    next.ask(&flux, 1);
    while !early.is_told_to_go {
        assert!(early.step(), "a connection ends and nobody has said so");
    }
    assert!(flux.is_running(), "open streams hold the old process");
    // A client that has not read yet that it is to go elsewhere.
    late.ask(&flux, 1);
    gate.open();
    let paid = [&mut early, &mut late, &mut next].map(Streams::costs).concat();
    assert!(late.is_told_to_go && !next.is_told_to_go);
    while early.step() {}
    drop((early, late));
    assert!(flux.wait_for_end().success());
    assert_all_charged(&flux, paid);
}

/// A connection that was let in is served, however late its first request: here later than the old process would stay
/// for nobody.
fn ask_late<C>(open: impl Fn(&Flux) -> C, ask: impl Fn(&mut C, &Flux) -> Vec<i64>) {
    let gate = Gate::default();
    gate.open();
    let openai = provider(&gate);
    let mut flux = Setup::with(&[&openai]).env("FLUX_TIMEOUTS__HEAD_MS", "30000").start();
    let mut conn = open(&flux);
    upgrade(&flux);
    std::thread::sleep(Duration::from_millis(2_500));
    assert!(flux.is_running(), "a connection that was let in is sent away");
    let paid = ask(&mut conn, &flux);
    assert!(flux.wait_for_end().success());
    assert_all_charged(&flux, paid);
}

#[test]
fn an_upgrade_waits_for_the_first_request_of_a_connection() {
    ask_late(Flux::connect, |conn, flux| {
        let reply = conn.ask(&flux.chat_request(ask_chat("gpt-4o-mini").to_string().as_bytes()));
        vec![reply.expect_status(200).cost_nano()]
    });
}

#[test]
fn an_upgrade_waits_for_the_first_request_of_a_connection_of_http2() {
    ask_late(Streams::open, |conn, flux| {
        conn.ask(flux, 1);
        conn.costs()
    });
}

/// What the old process holds for open requests is not known to the new one: a cap may be passed by that and no more.
#[test]
fn a_cap_is_passed_by_no_more_than_the_old_process_had_open() {
    const OPEN: usize = 4;
    const FIT: usize = 10;
    let gate = Gate::default();
    let openai = Provider::openai();
    let usage = chat_usage(10, 100);
    let (halts, told) = (gate.clone(), usage.clone());
    openai.always(move |asked| {
        if asked.json()["stream"] != true {
            return super::answers::chat("Hello from far.", told.clone())(asked);
        }
        let events = chat_stream(&["Hello ", "from ", "far."], &told);
        let mut steps: Vec<Step> = events.into_iter().map(|event| Step::Send(event.into_bytes())).collect();
        steps.insert(2, Step::Wait(halts.clone()));
        Answer::sse_steps(steps)
    });
    let mut flux = Setup::with(&[&openai]).start();
    let body: Value =
        json!({"messages": [{"role": "user", "content": "Say hello."}], "model": "gpt-4o-mini", "max_tokens": 100});
    let each = flux.chat(&body).expect_status(200).cost_nano();
    let cap = each * i64::try_from(FIT).expect("a count");
    money::cap(&flux, cap);
    flux.chat(&body).expect_status(200);
    let streams = open_streams(&flux, OPEN);
    upgrade(&flux);
    let spend_all = || (0..FIT * 2).take_while(|_| flux.chat(&body).status == 200).count();
    let in_new = spend_all();
    assert!((1..=FIT - 2).contains(&in_new), "{in_new}: what was booked before counts");
    gate.open();
    for mut conn in streams {
        assert!(conn.rest().is_complete, "what was let in is answered whole");
    }
    let rows = 2 + in_new + OPEN;
    let spent: i64 = flux.wait_for_rows(rows).iter().map(Row::amount_nano).sum();
    assert!(spent <= cap + each * i64::try_from(OPEN).expect("a count"), "{spent} of {cap}");
    assert_eq!(flux.chat(&body).status, 402);
    // What the old one settled is counted by the new one to the last of it.
    money::cap(&flux, spent);
    assert_eq!(flux.chat(&body).status, 402);
    money::cap(&flux, spent + 3 * each);
    let more = spend_all();
    assert!((1..=3).contains(&more), "{more}");
    let spent: i64 = flux.wait_for_rows(rows + more).iter().map(Row::amount_nano).sum();
    assert!(flux.wait_for_end().success());
    assert!(spent > cap);
    wait_for("sums that agree", || flux.run_json(&["reconcile", "--json"])["ok"] == true);
}
