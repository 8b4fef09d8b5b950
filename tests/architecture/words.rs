//! Words that have no place in what others read: unfinished work, and where it was done.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::source::{Fault, Source, hold, relative, root, walk};

/// Each in two pieces, so that this file does not name it.
const WORDS: [(&str, &str); 8] = [
    ("/wo", "rk/"),
    ("/tmp/", "h-"),
    ("issue ", "#"),
    ("TO", "DO"),
    ("FIX", "ME"),
    ("XX", "X"),
    ("unimplemented", "!"),
    ("todo", "!"),
];

/// Written by a program: names and hashes, nobody's words.
const WRITTEN_BY_PROGRAMS: [&str; 3] = ["Cargo.lock", "package-lock.json", ".pem"];

/// What git has or would take, or all files where there is no git.
fn files() -> Vec<PathBuf> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output();
    let mut found = Vec::new();
    match listed {
        Ok(output) if output.status.success() && !output.stdout.is_empty() => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            found.extend(text.split_terminator('\0').map(|path| root().join(path)));
        }
        _ => walk(root(), &mut found),
    }
    found.sort();
    found
}

fn unwanted(source: &Source) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (number, line) in source.text.lines().enumerate() {
        for (start, end) in WORDS {
            let word = format!("{start}{end}");
            if stands_alone(line, &word) {
                faults.push(source.fault(number + 1, word));
            }
        }
    }
    faults
}

/// Whether the line has the word, and not as a piece of a longer one.
fn stands_alone(line: &str, word: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let starts = word.starts_with(is_letter);
    let ends = word.ends_with(is_letter);
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back().is_some_and(is_letter);
        let after = line[at + word.len()..].chars().next().is_some_and(is_letter);
        !(starts && before || ends && after)
    })
}

#[test]
fn nothing_is_left_unfinished_or_tells_where_it_was_written() {
    let mut faults = Vec::new();
    for path in files() {
        let name = relative(&path);
        // What is no text has no words; what git lists and is gone is being removed.
        let Ok(text) = fs::read_to_string(&path) else { continue };
        if !WRITTEN_BY_PROGRAMS.iter().any(|ending| name.ends_with(ending)) {
            faults.extend(unwanted(&Source::new(&name, &text)));
        }
    }
    hold(
        "the files speak of the program as it is: no unfinished work, no tickets, no paths of the \
         machine they were written on",
        "finish it, or say what holds and why",
        faults,
    );
}

#[test]
fn unwanted_words_are_seen() {
    for (start, end) in WORDS {
        let text = format!("a\n// {start}{end} x");
        let faults = unwanted(&Source::new("README.md", &text));
        assert_eq!(faults.len(), 1, "{start}{end}");
        assert_eq!(faults[0].place, "README.md:2");
    }
    let longer = WORDS.map(|(start, end)| format!("a{start}{end}a{start}{end}_"));
    let harmless = longer[3..].join(" ");
    assert!(unwanted(&Source::new("README.md", &harmless)).is_empty());
    assert!(files().len() > 50);
}
