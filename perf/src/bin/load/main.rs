//! The load that everything here is measured with: it connects a swarm to any WebSocket server,
//! publishes, checks every message at every subscriber, and prints one line of JSON.
//!
//! It is single-threaded on purpose: pinned to a core of its own it takes nothing from the server.

mod client;
mod inflate;
mod options;
mod process;
mod scenario;
mod swarm;
mod tracker;
mod wire;

use std::process::ExitCode;

fn main() -> ExitCode {
    let run = options::Options::parse(std::env::args().skip(1));
    match run.and_then(|options| scenario::run(&options).map_err(|error| error.to_string())) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}
