//! What a request asks of plan and breakers, and what it tells them: `cargo bench --bench health`.
//!
//! Nanoseconds a call on one thread and on two that share all state, so that contention shows.

#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a bench prints, reads the clock and has threads")]

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::time::Instant;

use flux::base::time::{Clock, SystemClock, UnixMs};
use flux::base::wire_format::WireFormat;
use flux::catalog::{Chain, Route};
use flux::config::check::{Checked, Texts, check};
use flux::exchange::live;
use flux::health::breaker::Verdict;
use flux::health::choice::{Candidate, choose};
use flux::health::{Bounds, Health, Standing, redrawn};
use flux::plan::{Known, Needs, Terms, Via, plan};

const ROUNDS: u64 = 2_000_000;
const LANE: &str = "flux-standard";

/// What all threads share.
struct World {
    health: Health,
    bounds: Bounds,
    chain: Arc<Chain>,
}

type Step = fn(&World, u64);

fn main() {
    let Some(world) = world() else {
        println!("the shipped configuration has no lane {LANE}");
        return;
    };
    let world = Arc::new(world);
    let steps: [(&str, Step); 5] = [
        ("plan, all taken for well", |world, _| planned(world, |_| Standing::Well)),
        ("plan and breakers", plan_and_breakers),
        ("enter and report", enter_and_report),
        ("choose of two accesses", choose_of_two),
        ("budget", |world, _| world.health.budget.pay_in(world.bounds.retry_percent, world.bounds.retry_reserve)),
    ];
    println!("{:<28}{:>12}{:>12}", "", "1 thread", "2 threads");
    for (name, step) in steps {
        println!("{name:<28}{:>9} ns{:>9} ns", timed(&world, step, 1), timed(&world, step, 2));
    }
}

fn timed(world: &Arc<World>, step: Step, threads: usize) -> u128 {
    let start = Arc::new(Barrier::new(threads));
    let runs: Vec<_> = (0..threads)
        .map(|_| {
            let (world, start) = (Arc::clone(world), Arc::clone(&start));
            std::thread::spawn(move || {
                start.wait();
                let began = Instant::now();
                (0..ROUNDS).for_each(|round| step(&world, round));
                began.elapsed().as_nanos() / u128::from(ROUNDS)
            })
        })
        .collect();
    runs.into_iter().filter_map(|run| run.join().ok()).max().unwrap_or_default()
}

fn world() -> Option<World> {
    let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let texts = Texts {
        settings: file("flux.toml", include_str!("../conf/flux.toml")),
        providers: file("providers.toml", include_str!("../conf/providers.toml")),
        models: file("models.toml", include_str!("../conf/models.toml")),
        lanes: file("lanes.toml", include_str!("../conf/lanes.toml")),
        tariffs: file("tariffs.toml", include_str!("../conf/tariffs.toml")),
    };
    let keys = ["OPENAI", "ANTHROPIC", "GEMINI", "GROQ", "CEREBRAS", "DEEPSEEK", "FIREWORKS", "XAI"];
    let environment: Vec<_> = keys.iter().map(|name| (format!("{name}_API_KEY"), "k".to_owned())).collect();
    let Checked { config, catalog, .. } = check(&texts, &environment).ok()?;
    let chain = catalog.chain(Route::Lane(catalog.lane(LANE)?)).cloned()?;
    Some(World { health: Health::new(SystemClock.now(), UnixMs(0)), bounds: config.health, chain })
}

fn planned(world: &World, standing: impl Fn(&flux::catalog::Target) -> Standing) {
    let needs = Needs { text_bytes: 4_000, output_tokens: 1_000, ..Needs::default() };
    let terms = Terms {
        client_format: WireFormat::OpenaiChat,
        via: Via::Providers,
        at: UnixMs(1_795_392_000_000),
        bounds: None,
        preference: None,
        draw: None,
    };
    let known = Known { standing: &standing, ..Known::NOTHING };
    let planned = plan(black_box(&world.chain), black_box(&needs), &terms, known);
    drop(black_box(planned));
}

fn plan_and_breakers(world: &World, round: u64) {
    let now = flux::health::Moment(round / 1_000);
    planned(world, |target| live::standing(&world.health, target, None, now));
}

fn enter_and_report(world: &World, round: u64) {
    let now = flux::health::Moment(round / 1_000);
    let target = world.chain.targets.first().and_then(|target| live::of_target(&world.health, target));
    let Some(target) = target else { return };
    if let Ok(pass) = target.breaker.enter(now, &world.bounds.breaker) {
        black_box(target.breaker.report(pass, Verdict::Good, now, (&world.bounds.breaker, round)));
    }
}

fn choose_of_two(world: &World, round: u64) {
    let now = flux::health::Moment(round / 1_000);
    let accesses = world.chain.targets.iter().filter_map(|target| target.provider.accesses.first());
    let mut lives = accesses.filter_map(|access| live::of_access(&world.health, access));
    if let (Some(one), Some(other)) = (lives.next(), lives.next()) {
        let candidates = [one, other].map(|live| Candidate { live, weight: 1, is_free: true });
        black_box(choose(&candidates, now, redrawn(round)));
    }
}
