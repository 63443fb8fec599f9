//! Traffic before a farm of which every fifth answer goes wrong: whoever has one healthy path left is answered, every
//! charge is what the client was told, and nothing is left behind.
//!
//! Must not know how a fault is passed over. Everything about a request is drawn from its number, on both sides of Flux, so
//! that nothing hangs on who comes first. `FLUX_SOAK_MINUTES` makes it long; without, it is counted in requests.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::answers::{self, Answer, Step, chat_body, chat_stream, chat_usage};
use super::api::{Caller, raw};
use super::burden::{open_files, resident_kb};
use super::config::edit;
use super::farm::{conf_with, cut_short, dripping, healable, kept};
use super::harness::{Flux, Setup, now, spawn, wait_for};
use super::http::{Conn, Reply, nano, request};
use super::provider::{Provider, Recorded, deaf_port, refusing_port};
use super::{ledger, sse};

/// Clients at once.
const CLIENTS: usize = 12;
/// Requests of the short soak, and of what comes before anything is measured.
const REQUESTS: u64 = 600;
const WARM_UP: u64 = 300;
/// Providers that are probed, all the time: each may have a connection for that.
const PROBED: usize = 2 * CHAINS;
/// Between two requests of a client of the long one: what is looked for grows with requests and not with haste.
const PAUSE: Duration = Duration::from_millis(40);
/// Chains of providers that fail in turn; the last of each never does.
const CHAINS: usize = 4;
/// In a hundred: answers that go wrong before they have begun, and streams that do in the middle or whose clients leave.
const FAULTY: u64 = 20;
const CUT: u64 = 4;
const LEFT: u64 = 3;
/// In a thousand: requests whose first target refuses connections, and whose first takes none.
const REFUSING: u64 = 30;
const DEAF: u64 = 10;
/// What the key may spend that has a budget: more than it asks for, so that all is held and given back and nothing refused.
const BUDGET_USD: &str = "1000";
/// What memory may grow by once it has been in use for a while.
const GROWN_KB_MAX: usize = 16 << 10;

/// Beside the pins: a lane that hedges, and one whose targets share its requests.
const LANES: &str = r#"[lanes.soak-hedged]
default = "soak-a0/m"
fallbacks = ["soak-b0/m", "soak-last/m"]
hedge = true

[lanes.soak-shared]
default = [{ target = "soak-a1/m", weight = 3 }, "soak-b1/m"]
fallbacks = ["soak-last/m"]

"#;

/// A number below `of` for this request, another for each purpose.
fn draw(number: u64, purpose: u64, of: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ purpose.wrapping_mul(0xd1b5_4a32_d192_ed03);
    for multiplier in [0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb] {
        mixed = (mixed ^ (mixed >> 29)).wrapping_mul(multiplier);
    }
    (mixed ^ (mixed >> 32)) % of
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Answered whole, whatever goes wrong before.
    Answered,
    /// A stream that goes wrong after it has begun.
    Cut,
    /// A stream whose client leaves.
    Left,
}

/// All that its number says of a request.
#[derive(Clone, Copy, Debug)]
struct Drawn {
    number: u64,
}

impl Drawn {
    fn of(asked: &Recorded) -> Self {
        let text = asked.text();
        let (_, behind) = text.split_once("soak ").unwrap_or_else(|| panic!("a request of another: {text}"));
        let digits: String = behind.chars().take_while(char::is_ascii_digit).collect();
        Self { number: digits.parse().expect("a number") }
    }

    fn is_streamed(self) -> bool {
        draw(self.number, 1, 2) == 0
    }

    /// Whether the client speaks Anthropic's format, so that all is translated.
    fn is_translated(self) -> bool {
        draw(self.number, 2, 4) == 0
    }

    fn fate(self) -> Fate {
        let part = if self.is_streamed() { draw(self.number, 3, 100) } else { 100 };
        match part {
            part if part < CUT => Fate::Cut,
            part if part < CUT + LEFT => Fate::Left,
            _ => Fate::Answered,
        }
    }

    /// Whether the key with a budget asks.
    fn is_capped(self) -> bool {
        draw(self.number, 10, 3) == 0
    }

    /// A pin, or one of the lanes: hedged, or shared by weight.
    fn model(self) -> String {
        let part = draw(self.number, 4, 1_000);
        match draw(self.number, 11, 6) {
            0 => return "soak-hedged".to_owned(),
            1 => return "soak-shared".to_owned(),
            _ => {}
        }
        match part {
            part if part < DEAF => "flux-pinned-soak-deaf".to_owned(),
            part if part < DEAF + REFUSING => "flux-pinned-soak-refusing".to_owned(),
            part => format!("flux-pinned-soak-{}", part % CHAINS as u64),
        }
    }

    fn tokens(self) -> (u64, u64) {
        (100 + draw(self.number, 5, 900), 10 + draw(self.number, 6, 90))
    }

    /// At 1 USD and 2 USD for a million.
    fn cost_nano(self) -> i64 {
        let (prompt, completion) = self.tokens();
        i64::try_from(prompt * 1_000 + completion * 2_000).expect("an amount")
    }

    fn words(self) -> String {
        format!("Answer {} of the farm.", self.number)
    }

    /// Whether the client opens a connection for it.
    fn is_on_new_connection(self) -> bool {
        draw(self.number, 7, 4) == 0
    }

    fn request(self, flux: &str) -> Vec<u8> {
        let text = format!("soak {} and {}", self.number, "words ".repeat(20 + usize::from(self.is_streamed()) * 200));
        let body = json!({"messages": [{"role": "user", "content": text}], "model": self.model(), "max_tokens": 100,
            "stream": self.is_streamed()});
        let mut headers = vec![("authorization", flux), ("content-type", "application/json")];
        if self.is_translated() {
            headers.push(("anthropic-version", "2023-06-01"));
        }
        let target = if self.is_translated() { "/anthropic/v1/messages" } else { "/v1/chat/completions" };
        request("POST", target, &headers, body.to_string().as_bytes())
    }
}

/// What goes wrong, and how often it has.
struct Faults {
    unary: Vec<Answer>,
    streamed: Vec<Answer>,
    cut: Vec<Answer>,
    asked: AtomicU64,
    served: AtomicU64,
}

impl Faults {
    fn new() -> Self {
        let [unary, streamed] = [false, true].map(healable);
        Self { unary, streamed, cut: cut_short(), asked: AtomicU64::new(0), served: AtomicU64::new(0) }
    }

    /// What the provider of this place does; the last of a chain has none and is always well.
    fn answer(&self, place: Option<u64>, asked: &Recorded) -> Answer {
        let drawn = Drawn::of(asked);
        let pick = |answers: &[Answer], purpose| {
            let index = draw(drawn.number, purpose, answers.len() as u64);
            answers[usize::try_from(index).expect("an index")].clone()
        };
        self.asked.fetch_add(1, Ordering::Relaxed);
        if let Some(place) = place
            && draw(drawn.number, 100 + place, 100) < FAULTY
        {
            self.served.fetch_add(1, Ordering::Relaxed);
            return pick(if drawn.is_streamed() { &self.streamed } else { &self.unary }, 200 + place);
        }
        match drawn.fate() {
            Fate::Answered => whole(drawn),
            Fate::Cut => pick(&self.cut, 8),
            Fate::Left => {
                let events = answers::chat_events(&["Once "]);
                let mut steps: Vec<Step> = events[..2].iter().map(|event| Step::Send(event.clone().into())).collect();
                steps.push(Step::Hang);
                Answer::sse_steps(steps)
            }
        }
    }
}

/// The right answer, one in ten of them a few bytes at a time.
fn whole(drawn: Drawn) -> Answer {
    let (prompt, completion) = drawn.tokens();
    let (words, usage) = (drawn.words(), chat_usage(prompt, completion));
    let drips = draw(drawn.number, 9, 10) == 0;
    if drawn.is_streamed() {
        let events = chat_stream(&words.split_inclusive(' ').collect::<Vec<_>>(), &usage);
        return if drips { Answer::sse_steps(dripping(events.concat().as_bytes(), 6)) } else { Answer::sse(&events) };
    }
    let body = chat_body(&words, &usage).to_string();
    let head = answers::head(200, &[("content-type", "application/json")], &format!("content-length: {}", body.len()));
    let all = [head, body.into_bytes()].concat();
    Answer(if drips { dripping(&all, 6) } else { vec![Step::Send(all)] })
}

/// What came of one request, as its client saw it.
struct Seen {
    id: String,
    /// What the ledger must say: how it ended, and the charge where that is known.
    ending: &'static str,
    cost_nano: Option<i64>,
    is_capped: bool,
    by: String,
    attempts: String,
}

/// One client's requests, on connections that it keeps for a while.
struct Client {
    flux: std::net::SocketAddr,
    bearer: String,
    /// Of the key with a budget.
    capped: String,
    kept: Option<Conn>,
}

impl Client {
    fn ask(&mut self, drawn: Drawn) -> Result<Seen, String> {
        let bytes = drawn.request(if drawn.is_capped() { &self.capped } else { &self.bearer });
        let mut conn =
            self.kept.take().filter(|_| !drawn.is_on_new_connection()).unwrap_or_else(|| Conn::open(self.flux));
        conn.write(&bytes);
        let status = conn.head();
        let begins = drawn.fate() != Fate::Left || conn.read_until("Once");
        let reply = if drawn.fate() == Fate::Left { conn.so_far() } else { conn.rest() };
        let wrong = |what: &str| Err(format!("{drawn:?}: {what}: {status} {:?} {}", reply.headers, reply.text()));
        if status != 200 || !begins {
            return wrong("no answer");
        }
        let known = |ending, cost_nano| {
            let header = |name| reply.header(name).to_owned();
            let (id, by, attempts) =
                (header("x-flux-request-id"), header("x-flux-provider"), header("x-flux-attempts"));
            Ok(Seen { id, ending, cost_nano, is_capped: drawn.is_capped(), by, attempts })
        };
        match drawn.fate() {
            Fate::Left => return known("left", None),
            Fate::Cut if !ends_in_error(&reply) => return wrong("no error at the end"),
            Fate::Answered if said(drawn, &reply) != Some((drawn.words(), drawn.cost_nano())) => {
                return wrong("another answer");
            }
            Fate::Cut | Fate::Answered => {}
        }
        if reply.is_complete && reply.headers.get("connection") != Some("close") {
            self.kept = Some(conn);
        }
        if drawn.fate() == Fate::Cut { known("cut", Some(0)) } else { known("done", Some(drawn.cost_nano())) }
    }
}

/// The words of a whole answer, and what it cost.
fn said(drawn: Drawn, reply: &Reply) -> Option<(String, i64)> {
    if !reply.is_complete {
        return None;
    }
    if drawn.is_streamed() {
        let text = if drawn.is_translated() { sse::messages_text } else { sse::chat_text };
        let cost = sse::comments(&reply.body).iter().any(|line| line.contains("cost"));
        return cost.then(|| (text(&reply.body), sse::comment_cost_nano(&reply.body)));
    }
    let body: Value = serde_json::from_slice(&reply.body).ok()?;
    let place = if drawn.is_translated() { "/content/0/text" } else { "/choices/0/message/content" };
    Some((body.pointer(place)?.as_str()?.to_owned(), reply.cost_nano()))
}

fn ends_in_error(reply: &Reply) -> bool {
    sse::events(&reply.body).last().is_some_and(|last| last.json()["error"]["message"].is_string())
}

/// What all clients have seen.
#[derive(Default)]
struct Tally {
    seen: Vec<Seen>,
    wrong: Vec<String>,
}

/// When to stop.
#[derive(Clone, Copy)]
enum Until {
    /// This number, which is not asked any more.
    Number(u64),
    /// The flag, which the one who watches raises.
    Told,
}

struct Soak {
    flux: Flux,
    /// The bearer of the key with a budget.
    capped: String,
    faults: Arc<Faults>,
    providers: Vec<Provider>,
    next: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    tally: Arc<Mutex<Tally>>,
}

impl Soak {
    /// With everything as it ships, but for waits: what takes minutes there must happen many times here.
    fn start(refusing: &str, deaf: &str) -> Self {
        let member = |kind: &str, chain: usize| format!("soak-{kind}{chain}");
        let last = "soak-last".to_owned();
        let mut chains: Vec<(String, Vec<String>)> = (0..CHAINS)
            .map(|chain| (format!("soak-{chain}"), vec![member("a", chain), member("b", chain), last.clone()]))
            .collect();
        let failing: Vec<String> = chains.iter().flat_map(|(_, chain)| chain[..2].to_vec()).collect();
        for absent in ["soak-refusing", "soak-deaf"] {
            chains.push((absent.to_owned(), vec![absent.to_owned(), member("b", 0), last.clone()]));
        }
        let faults = Arc::new(Faults::new());
        let places = failing.iter().enumerate().map(|(place, name)| (name, Some(place as u64))).chain([(&last, None)]);
        let provider = |(name, place): (&String, Option<u64>)| {
            let (provider, faults) = (Provider::bearer(kept(name.clone())), Arc::clone(&faults));
            provider.always(move |asked| faults.answer(place, asked));
            provider
        };
        let providers: Vec<Provider> = places.map(provider).collect();
        let conf = conf_with(&chains, &failing);
        edit(conf.path(), "providers.toml", "[soak-b2]\n", "[soak-b2]\nconcurrent_max = 2\n");
        edit(conf.path(), "lanes.toml", "[lanes.flux-fast]\n", &format!("{LANES}[lanes.flux-fast]\n"));
        let setup = Setup::with(&providers.iter().collect::<Vec<_>>()).holding(conf);
        let flux = setup.provider("soak-refusing", refusing).provider("soak-deaf", deaf);
        let bounds = [
            ("HEALTH__PASSES_OVER", "true"),
            ("HEALTH__RETRIES_MAX", "1"),
            ("HEALTH__PROBE_INTERVAL_MS", "1000"),
            ("HEALTH__ERRORS_IN_A_ROW", "3"),
            ("HEALTH__COOLDOWN_MS", "200"),
            ("HEALTH__COOLDOWN_MAX_MS", "2000"),
            ("HEALTH__KEY_REST_MS", "200"),
            ("HEALTH__HEDGE_AFTER_MS_MIN", "20"),
            ("TIMEOUTS__CONNECT_MS", "900"),
            ("TIMEOUTS__FIRST_BYTE_MS", "2000"),
            ("TIMEOUTS__IDLE_MS", "2000"),
            // So that it shows at the end whether all are given up.
            ("TIMEOUTS__UPSTREAM_KEEPALIVE_MS", "1000"),
            ("LOG__REQUESTS", "off"),
        ];
        let flux = bounds.iter().fold(flux, |setup, (name, value)| setup.env(&format!("FLUX_{name}"), value)).start();
        let budget = json!({"budget": {"amount_usd": BUDGET_USD, "period": "total"}});
        let made = Caller::new(&flux, &flux.key).post("/v1/keys", &budget).expect_status(201);
        let capped = format!("Bearer {}", raw(&made));
        let (next, is_over, tally) = Default::default();
        Self { flux, capped, faults, providers, next, is_over, tally }
    }

    /// Lets the clients ask; looks on meanwhile, once in a while.
    fn run(&self, until: Until, mut look: impl FnMut()) {
        const LOOK: Duration = Duration::from_millis(50);
        let client = |_| {
            let (bearer, capped) = (self.flux.bearer(), self.capped.clone());
            let mut client = Client { flux: self.flux.addr, bearer, capped, kept: None };
            let (next, is_over, tally) = (Arc::clone(&self.next), Arc::clone(&self.is_over), Arc::clone(&self.tally));
            spawn(move || {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    match until {
                        Until::Number(end) if number >= end => return,
                        Until::Told if is_over.load(Ordering::Relaxed) => return,
                        Until::Number(_) => {}
                        Until::Told => std::thread::sleep(PAUSE),
                    }
                    let outcome = client.ask(Drawn { number });
                    let mut tally = tally.lock().expect("a tally");
                    match outcome {
                        Ok(seen) => tally.seen.push(seen),
                        Err(wrong) => tally.wrong.push(wrong),
                    }
                }
            })
        };
        let clients: Vec<_> = (0..CLIENTS).map(client).collect();
        while clients.iter().any(|client| !client.is_finished()) {
            std::thread::sleep(LOOK);
            // What the mocks have written down is memory of ours.
            self.providers.iter().for_each(Provider::forget);
            look();
        }
        for client in clients {
            client.join().expect("a client");
        }
    }

    /// Waits until nothing is under way; what is open then.
    fn at_rest(&self) -> AtRest {
        wait_for("no running request", || self.flux.metric("flux_requests_in_flight", &[]).abs() < f64::EPSILON);
        let pid = self.flux.pid();
        let connections = || self.providers.iter().map(Provider::open_connections).sum::<usize>();
        wait_for("the providers' connections to be closed", || connections() <= PROBED);
        AtRest { files: open_files(pid), threads: threads(pid), kb: resident_kb(pid) }
    }

    /// The same, once there is no more than there was before.
    fn at_rest_again(&self, before: AtRest) -> AtRest {
        let mut after = self.at_rest();
        wait_for("files and threads to be given up", || {
            after = self.at_rest();
            after.files <= before.files + PROBED && after.threads <= before.threads
        });
        after
    }
}

/// What the server has while it does nothing.
#[derive(Clone, Copy, Debug)]
struct AtRest {
    files: usize,
    threads: usize,
    kb: usize,
}

fn threads(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/task")).expect("a process").count()
}

/// Charges by request, as the ledger has them, must be what the clients saw. What the key with a budget has spent.
#[track_caller]
fn assert_books(flux: &Flux, seen: &[Seen]) -> i64 {
    wait_for("all rows", || ledger::charges(flux.data_dir()).len() >= seen.len());
    let mut charges = ledger::charges(flux.data_dir());
    let mut capped = 0;
    for Seen { id, ending, cost_nano, is_capped, .. } in seen {
        let (amount, ended) =
            charges.remove(id).unwrap_or_else(|| panic!("{id} was answered and is not in the ledger"));
        assert_eq!((cost_nano.unwrap_or(amount), *ending), (amount, ended.as_str()), "{id}");
        capped += if *is_capped { amount } else { 0 };
    }
    assert!(charges.is_empty(), "nobody was told of {charges:?}");
    assert_eq!(flux.run_json(&["reconcile", "--json"])["ok"], true);
    capped
}

fn minutes() -> Option<u64> {
    let text = std::env::var("FLUX_SOAK_MINUTES").ok()?;
    Some(text.parse().expect("FLUX_SOAK_MINUTES is a number"))
}

#[test]
fn whoever_has_a_healthy_path_is_answered_and_nothing_is_left_behind() {
    let (refusing, deaf) = (refusing_port(), deaf_port());
    let soak = Soak::start(&format!("http://{}/v1", refusing.1), &format!("http://{}/v1", deaf.2));
    soak.run(Until::Number(WARM_UP), || ());
    let before = soak.at_rest();
    let (began, mut memory) = (now(), Vec::new());
    match minutes() {
        None => soak.run(Until::Number(soak.next.load(Ordering::Relaxed) + REQUESTS), || ()),
        Some(minutes) => soak.run(Until::Told, || {
            memory.push((began.elapsed().as_secs() / 60, resident_kb(soak.flux.pid())));
            soak.is_over.store(began.elapsed() >= Duration::from_mins(minutes), Ordering::Relaxed);
        }),
    }
    let took = began.elapsed();
    let after = soak.at_rest_again(before);
    let tally = std::mem::take(&mut *soak.tally.lock().expect("a tally"));
    let [asked, served] = [&soak.faults.asked, &soak.faults.served].map(|count| count.load(Ordering::Relaxed));
    report(&tally, (asked, served), took);
    let peaks = peaks(&memory);
    eprintln!("at rest before: {before:?}, after: {after:?}; most memory by the minute, KB: {peaks:?}");
    let wrong = &tally.wrong;
    assert!(wrong.is_empty(), "{} went wrong, the first of them: {:#?}", wrong.len(), &wrong[..wrong.len().min(5)]);
    let capped_nano = assert_books(&soak.flux, &tally.seen);
    assert!(after.kb.saturating_sub(before.kb) < GROWN_KB_MAX, "{before:?}, then {after:?}");
    if let (Some(second), Some(last)) = (peaks.get(&1), peaks.values().last()) {
        assert!(last.saturating_sub(*second) < GROWN_KB_MAX, "{peaks:?}");
    }
    for gauge in ["flux_requests_in_flight", "flux_provider_queue_requests"] {
        assert!(soak.flux.metric(gauge, &[]).abs() < f64::EPSILON, "{gauge}");
    }
    let credits = soak.flux.get("/v1/credits").expect_status(200).json();
    assert_eq!(credits["held"], "0", "{credits}");
    let asked = request("GET", "/v1/credits", &[("authorization", soak.capped.as_str())], b"");
    let budget = soak.flux.ask(&asked).expect_status(200).json()["key_budget"].clone();
    let used = nano(budget["used_usd"].as_str().expect("an amount"));
    assert_eq!((used, &budget["held_usd"]), (capped_nano, &"0".into()), "{budget}");
    assert!(soak.flux.metric("flux_hedges_total", &["soak-hedged"]) > 0.0, "nothing was hedged");
}

fn peaks(memory: &[(u64, usize)]) -> BTreeMap<u64, usize> {
    memory.iter().fold(BTreeMap::new(), |mut peaks, (minute, kb)| {
        let peak = peaks.entry(*minute).or_default();
        *peak = (*kb).max(*peak);
        peaks
    })
}

/// For whoever runs the long one.
fn report(tally: &Tally, (asked, served): (u64, u64), took: Duration) {
    let mut endings: BTreeMap<String, usize> = BTreeMap::new();
    for seen in &tally.seen {
        let by = if seen.by == "soak-last" { "last" } else { "others" };
        for what in [seen.ending.to_owned(), format!("{} attempts", seen.attempts), format!("by {by}")] {
            *endings.entry(what).or_default() += 1;
        }
    }
    let all = tally.seen.len() + tally.wrong.len();
    eprintln!("{all} requests, the last of them in {took:?}: {} wrong, {endings:?}", tally.wrong.len());
    eprintln!("{served} faults in {asked} answers of the farm");
}
