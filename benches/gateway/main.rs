//! The whole server under load, beside the limit (a bare Pingora proxy) and nginx, all on one machine in one run.
//!
//! Must not know Flux from the inside: it starts the binary and talks to it over loopback. One program plays all the
//! parts, as child processes of itself: `mock` is the provider, `bare` the limit, `compare` and `instructions` measure.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program whose product is its output")]
#![expect(clippy::disallowed_methods, reason = "measuring time is the purpose")]
#![expect(clippy::cast_precision_loss, reason = "figures for people, far below 2^52")]

mod bare;
mod compare;
mod histogram;
mod http;
mod instructions;
mod load;
mod mock;
mod peers;
mod report;
mod script;

use std::process::ExitCode;

use self::compare::Part;

const USAGE: &str = "\
The whole server under load, on loopback. Run through `make bench` and `make bench-instructions`.

  compare [--quick] [--rounds N] [--flux FILE]     CPU, latency, throughput and memory beside bare Pingora and nginx
  failover [--quick] [--rounds N] [--flux FILE]    of these only what a provider that refuses connections adds
  idle [--quick] [--flux FILE]                     of these only memory and CPU of 10,000 streams that are silent
  instructions [--record] [--flux FILE]            instructions per request under callgrind, against the record
  mock PORT | bare PORT UPSTREAM_PORT              the parts that the above start";

fn main() -> ExitCode {
    // Cargo adds `--bench`; without further arguments nothing is measured, so that `cargo bench` ends.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["mock", port] => mock::run(port),
        ["bare", port, upstream] => bare::run(port, upstream),
        ["compare", options @ ..] => compare::run(&Part::ALL, options),
        ["failover", options @ ..] => compare::run(&[Part::Failovers], options),
        ["idle", options @ ..] => compare::run(&[Part::IdleStreams], options),
        ["instructions", options @ ..] => instructions::run(options),
        _ => {
            println!("{USAGE}");
            Ok(())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
