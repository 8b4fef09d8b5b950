//! `fanfare completions SHELL`: the script, made from the definition of the arguments.

use clap::CommandFactory as _;
use clap_complete::{Shell, generate};

use super::args::Args;
use super::exit::Failure;
use super::print;

pub(crate) fn run(shell: Shell) -> Result<(), Failure> {
    // Made in memory: the generator panics where its writer fails, and `head` makes it fail.
    let mut script = Vec::new();
    generate(shell, &mut Args::command(), "fanfare", &mut script);
    print(&String::from_utf8_lossy(&script))
}
