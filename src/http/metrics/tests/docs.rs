//! What is written about metrics, against the metrics there are: the table in `src/docs/metrics.md`, the
//! dashboard and the alert rules in `deploy`.
//!
//! `FANFARE_WRITE_DOCS=1 cargo test --lib metrics` brings the table up to date; what to alarm on is written
//! by hand, and stays.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::super::{Kind, Metric, metrics};
use super::{sample, shown};

const BEGIN: &str = "<!-- table: kept in step by a test, which says how -->\n";
const END: &str = "<!-- end of table -->\n";
const HEAD: &str = "| metric | kind | labels | meaning | alarm on |\n|---|---|---|---|---|\n";

fn file(path: &str) -> (PathBuf, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    (path, text)
}

fn all() -> impl Iterator<Item = &'static Metric> {
    metrics()
}

/// The names of the labels that each metric had in this text.
fn labels(text: &str) -> BTreeMap<String, String> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, labels, _) = sample(line);
        let names = labels.split(',').filter_map(|pair| pair.split_once('='));
        let names = names.map(|(label, _)| label.to_owned()).filter(|label| label != "le");
        found.entry(base(&name).to_owned()).or_default().extend(names);
    }
    let listed = |labels: BTreeSet<String>| {
        labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ")
    };
    found.into_iter().map(|(name, labels)| (name, listed(labels))).collect()
}

/// The metric that a series belongs to.
fn base(name: &str) -> &str {
    let is_histogram =
        |base: &str| all().any(|metric| metric.name == base && metric.kind == Kind::Histogram);
    let endings = ["_bucket", "_sum", "_count"];
    let found = endings.iter().filter_map(|ending| name.strip_suffix(ending));
    found.into_iter().find(|base| is_histogram(base)).unwrap_or(name)
}

/// The cells of the rows there are, by the metric's name.
fn rows(table: &str) -> BTreeMap<String, Vec<String>> {
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.map(|row| {
        let cells = row.split('|').skip(1).map(|cell| cell.trim().to_owned());
        cells.collect::<Vec<_>>()
    });
    cells.map(|cells| (cells[0].trim_matches('`').to_owned(), cells)).collect()
}

#[tokio::test]
async fn the_table_in_the_documentation_is_that_of_the_metrics() {
    let (path, page) = file("src/docs/metrics.md");
    let (before, rest) = page.split_once(BEGIN).expect("the begin of the table");
    let (table, after) = rest.split_once(END).expect("the end of the table");
    let (written, labels) = (rows(table), labels(&shown().await));
    let mut expected = HEAD.to_owned();
    for Metric { name, help, kind, .. } in all() {
        let cell = |at: usize| written.get(*name).and_then(|cells| cells.get(at)).cloned();
        // One that has no sample here, as a certificate's end, keeps what is written.
        let labels = labels.get(*name).cloned().or_else(|| cell(2)).unwrap_or_default();
        let alarm = cell(4).unwrap_or_default();
        let row = format!("| `{name}` | {} | {labels} | {help} | {alarm} |", kind.name());
        expected.push_str(&row.replace("  |", " |"));
        expected.push('\n');
    }
    if expected == table {
        return;
    }
    if std::env::var_os("FANFARE_WRITE_DOCS").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{expected}{END}{after}")).unwrap();
        return;
    }
    let missing: Vec<_> =
        expected.lines().filter(|line| !table.lines().any(|other| other == *line)).collect();
    let left: Vec<_> =
        table.lines().filter(|line| !expected.lines().any(|other| other == *line)).collect();
    panic!(
        "src/docs/metrics.md is behind. FANFARE_WRITE_DOCS=1 cargo test --lib metrics writes these rows; \
         fill in what to alarm on, if anything:\n{}\nand takes these out:\n{}",
        missing.join("\n"),
        left.join("\n")
    );
}

/// Everything in a text that looks like the name of one of our metrics.
fn named(text: &str) -> BTreeSet<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let found = text.match_indices("fanfare_").map(|(at, _)| {
        let end = text[at..].find(|c| !is_part(c)).map_or(text.len(), |end| at + end);
        let before = text[..at].chars().next_back();
        (!before.is_some_and(is_part)).then_some(&text[at..end])
    });
    found.flatten().collect()
}

#[test]
fn dashboard_and_alerts_name_only_metrics_that_there_are() {
    for path in
        ["deploy/grafana-dashboard.json", "deploy/alerts.yml", "README.md", "src/docs/admin.md"]
    {
        let (_, text) = file(path);
        for name in named(&text) {
            // Cookies, and what the model checker's build is called.
            if ["fanfare_token", "fanfare_admin", "fanfare_loom"].contains(&name) {
                continue;
            }
            assert!(all().any(|metric| metric.name == base(name)), "{path} names {name}");
        }
    }
    let (_, text) = file("deploy/grafana-dashboard.json");
    serde_json::from_str::<serde_json::Value>(&text).expect("JSON");
    assert!(named(&text).len() > 20);
}

#[test]
fn names_are_found_in_expressions() {
    let text = "sum(rate(fanfare_deliveries_total{lane=\"0\"}[1m])) / fanfare_sessions, xfanfare_a";
    assert_eq!(named(text), BTreeSet::from(["fanfare_deliveries_total", "fanfare_sessions"]));
    assert_eq!(base("fanfare_pass_duration_seconds_bucket"), "fanfare_pass_duration_seconds");
    assert_eq!(base("fanfare_process_max_fds"), "fanfare_process_max_fds");
}
