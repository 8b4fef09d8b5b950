//! `fanfare man [COMMAND]`: the manual page, made from the definition of the arguments.

use std::io;

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;

use super::args::Args;
use super::exit::Failure;
use super::print;

pub(crate) fn run(of: Option<&str>) -> Result<(), Failure> {
    let mut program = Args::command();
    // Fills in what a command has from the program: its full name and the options of all.
    program.build();
    let command = match of {
        None => program,
        Some(name) => match program.find_subcommand(name) {
            Some(command) => command.clone().version(env!("CARGO_PKG_VERSION")),
            None => return Err(Failure::Usage(format!("there is no such command: {name}"))),
        },
    };
    match page(command) {
        Ok(page) => print(&String::from_utf8_lossy(&page)),
        Err(error) => Err(Failure::Other(format!("cannot make the page: {error}"))),
    }
}

fn page(command: Command) -> io::Result<Vec<u8>> {
    let has_commands = command.has_subcommands();
    let has_notes = command.get_after_help().is_some();
    let source = concat!("fanfare ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command).source(source).manual("Fanfare");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if has_commands {
        man.render_subcommands_section(&mut page)?;
    }
    if has_notes {
        page.extend(notes(&man)?);
    }
    man.render_version_section(&mut page)?;
    Ok(page)
}

/// What stands at the end of the help, line by line: it has examples and tables.
fn notes(man: &Man) -> io::Result<Vec<u8>> {
    let mut section = Vec::new();
    man.render_extra_section(&mut section)?;
    let section = String::from_utf8_lossy(&section).replace(".SH EXTRA\n", ".SH NOTES\n.nf\n");
    Ok(format!("{section}.fi\n").into_bytes())
}
