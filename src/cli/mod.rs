//! Floor 8: arguments → command → exit code.

mod args;
mod bench;
mod bench_args;
mod check;
mod completions;
mod exit;
mod health;
mod logging;
mod man;
mod serve;
mod token;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;

use crate::config;
use args::{Args, Command};
use exit::Failure;

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    // Ends the process itself for --help, --version and for arguments that it does not understand.
    let args = Args::parse();
    let done = match args.command {
        Command::Serve(settings) => serve::run(&settings.into()),
        Command::Check(args::CheckArgs { url: Some(url), .. }) => health::run(&url),
        Command::Check(check) => check::run(&check.settings.into()),
        Command::Token(token) => token::run(token),
        Command::Bench(bench) => bench::run(bench),
        Command::Config => print(&config::reference()),
        Command::Completions { shell } => completions::run(shell),
        Command::Man { of } => man::run(of.as_deref()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Not `eprintln!`, which panics if nobody reads stderr.
            let _ = writeln!(io::stderr(), "error: {failure}");
            failure.code()
        }
    }
}

/// Prints to stdout. A reader that has seen enough, like `head`, is no failure.
fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Other(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}
