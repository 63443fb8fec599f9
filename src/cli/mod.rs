//! The command line: arguments in, text out, an exit code back.
//!
//! Must not know how anything is done: each command calls what does it and prints what came of it.
//! Exit codes: 0 done, 1 failed, 2 not understood.

mod accounts;
mod backup;
mod calibrate;
mod choices;
mod evaluate;
mod import;
mod keys;
mod lines;
mod paint;
mod progress;
mod reconcile;
mod route;
mod server;
mod table;
#[cfg(test)]
mod tests;
mod usage;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config;

/// Everything went as asked.
const DONE: u8 = 0;
/// It did not, and the error output says why.
const FAILED: u8 = 1;

/// LLM gateway and smart router: one address for every provider, metered to the token.
#[derive(Debug, Parser)]
#[command(name = "flux", version, arg_required_else_help = true, disable_help_subcommand = true)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 arguments not understood.")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway
    Serve(server::Serve),
    /// Replace the running server by this program; no request is refused or cut
    Upgrade(server::Upgrade),
    /// Check configuration and rules, with file, line and hint for every fault
    Check(server::Check),
    /// List what clients can ask for with the provider keys that are set
    Models(server::Models),
    /// Where a request would go, why, and what it would cost; or how well a labelled set is routed
    Route(route::Arguments),
    /// Make, list, change, rotate and revoke keys, also while the server runs
    #[command(subcommand, arg_required_else_help = true)]
    Keys(keys::Command),
    /// What was used and what it cost, in sums
    Usage(usage::Arguments),
    /// Open, list, change and close accounts, also while the server runs
    #[command(subcommand, arg_required_else_help = true)]
    Accounts(accounts::Command),
    /// Make configuration files out of those of another gateway
    #[command(subcommand, arg_required_else_help = true)]
    Import(import::Command),
    /// Prove that journal, ledger, balances, packs and sums agree; repairs nothing
    Reconcile(reconcile::Arguments),
    /// Fit the lanes of flux-auto to outcomes of your own, where that gains anything
    Calibrate(calibrate::Arguments),
    /// Copy the books into one file, also while the server runs
    Backup(backup::Arguments),
}

/// Where the data is.
#[derive(Args, Debug)]
struct DataDir {
    /// Data folder of the server [default: the one that flux.toml names]
    #[arg(long = "data-dir", env = "FLUX_SERVER__DATA_DIR", value_name = "DIR")]
    given: Option<PathBuf>,
    #[command(flatten)]
    config: server::ConfigDir,
}

impl DataDir {
    /// The folder that a server of this configuration would use.
    fn path(&self) -> PathBuf {
        self.given.clone().unwrap_or_else(|| config::load::data_dir(&self.config.path))
    }
}

/// How a command prints.
#[derive(Args, Debug)]
struct Form {
    /// Print JSON, for scripts
    #[arg(long)]
    json: bool,
}

/// Runs one command and returns the exit code. `out` and `err` are handed in unlocked by `main`:
/// a server logs to the same places from its threads.
pub fn run(arguments: impl IntoIterator<Item = OsString>, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let outcome = match Arguments::try_parse_from(arguments) {
        Ok(Arguments { command }) => execute(command, out, err),
        Err(refused) => {
            let text = refused.render();
            let printed = if refused.use_stderr() { write!(err, "{text}") } else { write!(out, "{text}") };
            let code = u8::try_from(refused.exit_code()).unwrap_or(FAILED);
            printed.map(|()| code).map_err(anyhow::Error::from)
        }
    };
    outcome.unwrap_or_else(|error| {
        if is_closed_pipe(&error) {
            return DONE;
        }
        // If even this cannot be written there is nobody left to tell.
        let _ = writeln!(err, "flux: {}", told(&error));
        FAILED
    })
}

/// An error with its causes, each once: some name theirs already.
fn told(error: &anyhow::Error) -> String {
    let causes = error.chain().skip(1).map(ToString::to_string);
    causes.fold(error.to_string(), |told, cause| if told.contains(&cause) { told } else { format!("{told}: {cause}") })
}

fn execute(command: Command, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<u8> {
    match command {
        Command::Serve(serve) => server::serve(&serve),
        Command::Upgrade(upgrade) => server::upgrade(&upgrade, out),
        Command::Check(check) => server::check(&check, out),
        Command::Models(models) => server::models(&models, out),
        Command::Route(arguments) => route::run(&arguments, out),
        Command::Keys(command) => keys::run(command, out, err),
        Command::Usage(arguments) => usage::run(&arguments, out),
        Command::Accounts(command) => accounts::run(command, out),
        Command::Import(command) => import::run(&command, out),
        Command::Reconcile(arguments) => reconcile::run(&arguments, out),
        Command::Calibrate(arguments) => calibrate::run(&arguments, out),
        Command::Backup(arguments) => backup::run(&arguments, out),
    }
}

/// `flux keys list | head`: whoever reads has seen enough.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Prints a value as JSON and ends the line.
fn print_json(out: &mut dyn Write, value: &serde_json::Value) -> anyhow::Result<()> {
    writeln!(out, "{value:#}")?;
    Ok(())
}
