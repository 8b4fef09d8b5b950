//! `fanfare bench`: runs a scenario, shows it, and writes it to files.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;

use super::bench_args::{BenchArgs, Run, Scenarios};
use super::exit::Failure;
use crate::bench::report::{Report, html, table};
use crate::bench::{self, Progress};

/// Without a terminal, every so many seconds is told how far it is.
const QUIET_EVERY: u64 = 5;

pub(crate) fn run(args: BenchArgs) -> Result<(), Failure> {
    let run = match args.scenario {
        Scenarios::Report { files, html } => return merge(&files, &html),
        other => other.into_run().map_err(Failure::Usage)?,
    };
    let mut shown = Shown { is_quiet: run.is_quiet, is_line: io::stderr().is_terminal(), told: 0 };
    let report = bench::run(&run.options, &mut |progress| shown.show(progress));
    shown.end();
    let report = report.map_err(|error| match error {
        bench::BenchError::Options(text) => Failure::Usage(text),
        error => Failure::Other(error.to_string()),
    })?;
    write_all(&run, &report)?;
    match report.faults.first() {
        None => Ok(()),
        Some(_) => Err(Failure::Other(report.faults.join("; "))),
    }
}

fn write_all(run: &Run, report: &Report) -> Result<(), Failure> {
    let is_json_shown = run.json.as_deref() == Some(Path::new("-"));
    if is_json_shown {
        super::print(&report.to_json())?;
    } else {
        super::print(&table::render(report))?;
    }
    if let Some(path) = run.json.as_deref().filter(|_| !is_json_shown) {
        write(path, &report.to_json())?;
    }
    match &run.html {
        Some(path) => write(path, &html::render(std::slice::from_ref(report))),
        None => Ok(()),
    }
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error| Failure::Other(format!("cannot write {}: {error}", path.display()));
    std::fs::write(path, text).map_err(failed)
}

/// Several runs on one page.
fn merge(files: &[std::path::PathBuf], to: &Path) -> Result<(), Failure> {
    let mut all = Vec::new();
    for path in files {
        let failed = |error: String| Failure::Other(format!("{}: {error}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        all.extend(Report::from_json(&text).map_err(failed)?);
    }
    write(to, &html::render(&all))?;
    let texts: Vec<String> = all.iter().map(table::render).collect();
    super::print(&texts.join("\n"))
}

/// How far it is, on stderr: one line that changes, or a line now and then.
struct Shown {
    is_quiet: bool,
    is_line: bool,
    told: u64,
}

impl Shown {
    fn show(&mut self, progress: &Progress) {
        let seconds = progress.elapsed.as_secs();
        if self.is_quiet || !self.is_line && seconds < self.told + QUIET_EVERY {
            return;
        }
        self.told = seconds;
        let each = |count: u64| (count as f64 / progress.span.as_secs_f64()) as u64;
        let mut text = format!(
            "{seconds:>4} s  {}: {} connected, {} messages/s, {} deliveries/s",
            progress.phase,
            table::thousands(progress.connected as u64),
            table::thousands(each(progress.sent)),
            table::thousands(each(progress.received)),
        );
        if let Some(us) = progress.p99_us {
            text.push_str(&format!(", p99 {:.1} ms", us / 1e3));
        }
        // What cannot be written there is not missed.
        let _ = match self.is_line {
            true => write!(io::stderr(), "\r\x1b[2K{text}"),
            false => writeln!(io::stderr(), "{text}"),
        };
    }

    fn end(&self) {
        if self.is_line && !self.is_quiet {
            let _ = write!(io::stderr(), "\r\x1b[2K");
        }
    }
}
