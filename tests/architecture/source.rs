//! The sources as they are on the disk, and how a broken rule is told.

use std::fs;
use std::path::{Path, PathBuf};

use super::lexer::{self, Token};

/// A Rust file.
pub struct Source {
    /// From the root of the package, with `/` between.
    pub path: String,
    pub text: String,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// The part of the house: `hub` for `src/hub/lane.rs`, `lib` for `src/lib.rs`.
    pub fn part(&self) -> &str {
        let inside = self.path.strip_prefix("src/").unwrap_or(&self.path);
        inside.split('/').next().unwrap().trim_end_matches(".rs")
    }

    /// Whether all of it is tests: `tests.rs`, `…_tests.rs`, and what is in a `tests` directory.
    pub fn is_test(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap();
        name == "tests.rs" || name.ends_with("_tests.rs") || self.path.contains("/tests/")
    }

    pub fn tokens(&self) -> Vec<Token<'_>> {
        lexer::tokens(&self.text)
    }

    /// Without what is compiled for tests only.
    pub fn shipped(&self) -> Vec<Token<'_>> {
        if self.is_test() {
            return Vec::new();
        }
        let mut found = self.tokens();
        let mut at = 0;
        while at < found.len() {
            match test_item(&found, at) {
                Some(end) => drop(found.drain(at..=end)),
                None => at += 1,
            }
        }
        found
    }

    pub fn fault(&self, line: usize, what: impl Into<String>) -> Fault {
        Fault { place: format!("{}:{line}", self.path), what: what.into() }
    }
}

/// The last token of the item that starts at `at` with `#[cfg(test)]` or `#[cfg(all(test, …))]`.
fn test_item(tokens: &[Token<'_>], at: usize) -> Option<usize> {
    if !is_test_attribute(tokens, at) {
        return None;
    }
    let start = lexer::past_attributes(tokens, at);
    Some(match lexer::body(tokens, start) {
        Some(open) => lexer::closing(tokens, open),
        None => (start..tokens.len()).find(|&i| tokens[i].text == ";").unwrap_or(tokens.len() - 1),
    })
}

pub fn is_test_attribute(tokens: &[Token<'_>], at: usize) -> bool {
    let starts = |words: &[&str]| {
        tokens.len() >= at + words.len()
            && words.iter().zip(&tokens[at..]).all(|(word, token)| *word == token.text)
    };
    starts(&["#", "[", "cfg", "(", "test", ")", "]"])
        || starts(&["#", "[", "cfg", "(", "all", "(", "test", ","])
}

/// A place that breaks a rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    pub place: String,
    pub what: String,
}

/// Fails if there is a fault, with all of them, the rule and what to do about it.
pub fn hold(rule: &str, advice: &str, mut faults: Vec<Fault>) {
    faults.sort();
    faults.dedup();
    let lines: Vec<_> = faults.iter().map(|f| format!("  {}: {}", f.place, f.what)).collect();
    let told = lines.join("\n");
    assert!(faults.is_empty(), "\nRule: {rule}\n{told}\nWhat to do: {advice}\n");
}

/// A file that may do what others may not, and why. An entry that nothing needs any more is a
/// fault, so that the lists stay as short as they can be.
pub type Allowed = &'static [(&'static str, &'static str)];

/// Takes out the faults of the files that are allowed to have them.
pub fn except(allowed: Allowed, mut faults: Vec<Fault>) -> Vec<Fault> {
    let is_in = |fault: &Fault, path: &str| fault.place.rsplit_once(':').unwrap().0 == path;
    let mut unused = Vec::new();
    for (path, reason) in allowed {
        assert!(reason.len() > 20, "the entry of {path} needs a reason");
        if !faults.iter().any(|fault| is_in(fault, path)) {
            let what = "has an exception that it no longer needs: take it out of the list".into();
            unused.push(Fault { place: format!("{path}:1"), what });
        }
    }
    faults.retain(|fault| !allowed.iter().any(|(path, _)| is_in(fault, path)));
    faults.extend(unused);
    faults
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files under a directory of the package; none if it is not there.
pub fn sources(directory: &str) -> Vec<Source> {
    let mut paths = Vec::new();
    walk(&root().join(directory), &mut paths);
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "rs"));
    paths.sort();
    let read = |path: PathBuf| Source {
        text: fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())),
        path: relative(&path),
    };
    paths.into_iter().map(read).collect()
}

pub fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).to_string_lossy().replace('\\', "/")
}

/// What is built or fetched and belongs to nobody's sources.
const SKIPPED: [&str; 6] = ["target", ".git", "node_modules", "corpus", "artifacts", "__pycache__"];

pub fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => {
                let is_skipped = SKIPPED.iter().any(|name| entry.file_name() == *name);
                if !is_skipped {
                    walk(&path, found);
                }
            }
            Ok(kind) if kind.is_file() => found.push(path),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tests_alone_see_is_not_shipped() {
        let text = "a #[cfg(test)] mod tests { b } c #[cfg(all(test, not(x)))] mod d; e \
                    #[cfg(not(test))] f #[cfg(any(test, x))] g #[cfg(test)] #[path(x)] fn h() {} i";
        let source = Source::new("src/hub/x.rs", text);
        let shipped = source.shipped();
        let is_in = |word: &str| shipped.iter().any(|token| token.text == word);
        assert!(["a", "c", "e", "f", "g", "i"].into_iter().all(is_in));
        assert!(!["tests", "b", "d", "h"].into_iter().any(is_in));
    }

    #[test]
    fn a_file_belongs_to_a_part() {
        assert_eq!(Source::new("src/hub/lane.rs", "").part(), "hub");
        assert_eq!(Source::new("src/lib.rs", "").part(), "lib");
        assert!(Source::new("src/a/tests/b.rs", "").is_test());
        assert!(Source::new("src/a/loom_tests.rs", "").is_test());
        assert!(!Source::new("src/a/latests.rs", "").is_test());
    }

    #[test]
    fn an_exception_is_for_its_file_and_only_while_it_is_needed() {
        let source = |path| Source::new(path, "").fault(3, "x");
        let reason = "a reason that is long enough";
        let list: Allowed = Box::leak(Box::new([("src/a.rs", reason)]));
        assert!(except(list, vec![source("src/a.rs")]).is_empty());
        let left = except(list, vec![source("src/b.rs")]);
        assert_eq!(left.len(), 2);
        assert_eq!(left[0].place, "src/b.rs:3");
        assert!(left[1].what.contains("no longer needs"));
    }

    #[test]
    #[should_panic(expected = "src/a.rs:3: x")]
    fn a_fault_fails() {
        hold("rule", "advice", vec![Source::new("src/a.rs", "").fault(3, "x")]);
    }
}
