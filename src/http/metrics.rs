//! `GET /metrics`: the Prometheus text format, version 0.0.4, from a few tables.
//!
//! Open to everybody who reaches the port, as scrapers expect: it shows numbers, and no name of a
//! channel, user or peer.

mod admin;
mod drain;
mod gateway;
mod limits;
mod log;
mod outgoing;
mod process;
mod table;
mod traces;

use std::fmt::{Display, Write as _};

use http::StatusCode;

use super::answer::{self, Answer};
use super::state::State;
pub(super) use process::Process;

/// Shows the numbers.
pub(super) fn show(state: &State) -> Answer {
    let source = Source { state, process: Process::read() };
    let content_type = "text/plain; version=0.0.4; charset=utf-8";
    answer::with_body(StatusCode::OK, content_type, text(&source))
}

/// Where the numbers come from.
struct Source<'a> {
    state: &'a State,
    process: Process,
}

/// A metric: a row of the table.
struct Metric {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    /// Writes its samples. None at all leaves the metric out.
    read: fn(&Source<'_>, &mut Samples<'_>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// Takes the samples of one metric.
struct Samples<'a> {
    name: &'static str,
    out: &'a mut String,
}

impl Samples<'_> {
    /// The one sample of a metric without labels.
    fn one(&mut self, value: impl Display) {
        self.write("", &[], value);
    }

    /// A sample with a label.
    fn with(&mut self, label: &'static str, is: impl Display, value: impl Display) {
        self.write("", &[(label, &is)], value);
    }

    /// A sample with a suffix to the name, and labels. Values of labels are our own words, and
    /// numbers: nothing in them needs escaping.
    fn write(&mut self, suffix: &str, labels: &[(&str, &dyn Display)], value: impl Display) {
        self.out.push_str(self.name);
        self.out.push_str(suffix);
        for (at, (label, is)) in labels.iter().enumerate() {
            let open = if at == 0 { '{' } else { ',' };
            // Writing to a string cannot fail.
            let _ = write!(self.out, "{open}{label}=\"{is}\"");
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.out, "{close} {value}");
    }
}

/// All of them.
fn metrics() -> impl Iterator<Item = &'static Metric> {
    let all: [&[Metric]; 8] = [
        table::METRICS,
        gateway::METRICS,
        admin::METRICS,
        drain::METRICS,
        limits::METRICS,
        log::METRICS,
        outgoing::METRICS,
        traces::METRICS,
    ];
    all.into_iter().flatten()
}

fn text(source: &Source<'_>) -> String {
    let mut text = String::with_capacity(16 << 10);
    for metric in metrics() {
        let head = text.len();
        let Metric { name, help, kind, read } = metric;
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {}", kind.name());
        let samples = text.len();
        read(source, &mut Samples { name, out: &mut text });
        if text.len() == samples {
            text.truncate(head);
        }
    }
    text
}

#[cfg(test)]
mod tests;
