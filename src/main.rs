//! Arguments in, exit code out.

use std::io;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ExitCode::from(flux::cli::run(std::env::args_os(), &mut io::stdout(), &mut io::stderr()))
}
