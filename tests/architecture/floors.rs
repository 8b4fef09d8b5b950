//! Who may use whom.

use std::collections::BTreeSet;
use std::fs;

use super::lexer::{Token, body, closing};
use super::source::{Fault, Source, hold, is_test_attribute, root, sources};

/// Every part of the house and its floor.
const FLOORS: &[(&str, usize)] = &[
    ("base", 0),
    ("frame", 1),
    ("outbox", 1),
    ("fetch", 1),
    ("protocol", 2),
    ("auth", 2),
    ("hooks", 2),
    ("hub", 3),
    ("connection", 4),
    ("cluster", 4),
    ("http", 5),
    ("config", 6),
    ("gateway", 7),
    ("bench", 7),
    ("cli", 8),
    ("bin", 8),
    // Pages: no code at all.
    ("docs", 9),
    // The door for the fuzz targets: it may show anything, and nobody may use it.
    ("fuzzing", 9),
];

/// Parts of one floor of which one may use the other, and why.
const NEIGHBOURS: &[(&str, &str, &str)] = &[(
    "bin",
    "cli",
    "the program is the command line and the choice of the allocator: there is nothing below that \
     it could call instead",
)];

fn floor(part: &str) -> Option<usize> {
    FLOORS.iter().find(|(name, _)| *name == part).map(|(_, floor)| *floor)
}

/// A path that starts at the crate: the part that it names, or what it names instead.
type Import<'t> = (Option<&'t str>, usize);

/// What a file uses of the crate, through `crate::`, `super::super::` and, in the program,
/// `fanfare::`; in `use` or anywhere else.
fn imports(source: &Source) -> Vec<Import<'_>> {
    let tokens = source.tokens();
    let is_program = source.part() == "bin";
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        let start = tokens[at].text;
        if !["crate", "super", "self", "fanfare"].contains(&start) || !starts_path(&tokens, at) {
            continue;
        }
        if tokens.get(at + 1).is_none_or(|next| next.text != "::") {
            let is_visibility = at > 0 && tokens[at - 1].text == "(";
            if start == "crate" && !is_visibility {
                found.push((None, tokens[at].line));
            }
            continue;
        }
        let depth = module_depth(source) + mods_around(&tokens, at);
        let mut paths = Vec::new();
        expand(&tokens, at, &mut Vec::new(), &mut paths);
        for (path, line) in paths {
            if let Some(import) = resolve(&path, depth, is_program) {
                found.push((import, line));
            }
        }
    }
    found
}

/// `Some` if the path leads to the root of the crate; the part in it if it names one.
fn resolve<'t>(path: &[&'t str], depth: usize, is_program: bool) -> Option<Option<&'t str>> {
    let path = path.strip_prefix(&["self"]).unwrap_or(path);
    let ups = path.iter().take_while(|word| **word == "super").count();
    let is_root = match path.first() {
        Some(&"fanfare") => is_program,
        _ if is_program => false,
        Some(&"crate") => true,
        _ => ups > 0 && ups == depth,
    };
    let named = path.get(ups.max(1)).copied();
    is_root.then(|| named.filter(|name| !["*", "self"].contains(name)))
}

fn starts_path(tokens: &[Token<'_>], at: usize) -> bool {
    let before = |n: usize| at.checked_sub(n).map_or("", |i| tokens[i].text);
    let ends_segment = |text: &str| text == ">" || text.starts_with(|c: char| c.is_alphanumeric());
    before(1) != "::" || !ends_segment(before(2))
}

/// All paths of the tree that starts at `at`; returns where it ends.
fn expand<'t>(
    tokens: &[Token<'t>],
    mut at: usize,
    prefix: &mut Vec<&'t str>,
    found: &mut Vec<(Vec<&'t str>, usize)>,
) -> usize {
    let outer = prefix.len();
    let line = tokens[at].line;
    while let Some(token) = tokens.get(at) {
        if token.text == "{" {
            let end = closing(tokens, at);
            at += 1;
            while at < end {
                at = expand(tokens, at, prefix, found);
                // An `as` and its name, then the comma.
                while at < end && tokens[at].text != "," {
                    at += 1;
                }
                at += 1;
            }
            prefix.truncate(outer);
            return end + 1;
        }
        prefix.push(token.text);
        at += 1;
        if tokens.get(at).is_none_or(|next| next.text != "::") {
            break;
        }
        at += 1;
    }
    found.push((prefix.clone(), line));
    prefix.truncate(outer);
    at
}

/// How many modules a file is below the root of the crate.
fn module_depth(source: &Source) -> usize {
    let inside = source.path.strip_prefix("src/").unwrap_or(&source.path);
    let names = inside.trim_end_matches(".rs").split('/');
    names.filter(|name| !["mod", "lib"].contains(name)).count()
}

/// How many `mod name { … }` of its file are around a token.
fn mods_around(tokens: &[Token<'_>], at: usize) -> usize {
    let is_around = |&start: &usize| {
        tokens[start].text == "mod"
            && tokens.get(start + 2).is_some_and(|token| token.text == "{")
            && closing(tokens, start + 2) > at
    };
    (0..at).filter(is_around).count()
}

fn import_faults(source: &Source) -> Vec<Fault> {
    let from = source.part();
    if from == "lib" {
        return Vec::new();
    }
    let check = |(to, line): Import<'_>| {
        let Some(to) = to else {
            return Some(source.fault(line, "names the crate without a part of it"));
        };
        let (Some(mine), Some(its)) = (floor(from), floor(to)) else {
            return Some(source.fault(line, format!("{from} uses {to}: one is in no floor")));
        };
        let is_neighbour = NEIGHBOURS.iter().any(|(a, b, _)| (*a, *b) == (from, to));
        let what = format!("{from} (floor {mine}) uses {to} (floor {its})");
        (from != to && its >= mine && !is_neighbour).then(|| source.fault(line, what))
    };
    imports(source).into_iter().filter_map(check).collect()
}

#[test]
fn imports_go_down_only() {
    let all = sources("src");
    assert!(all.len() > 40, "found {} files in src", all.len());
    hold(
        "imports go down only, and parts of one floor do not use each other",
        "move what both need to a floor below, or hand it in as an argument; name things by the \
         part that they come from (`crate::hub::Hub`, not `crate::Hub`)",
        all.iter().flat_map(import_faults).collect(),
    );
}

#[test]
fn everything_in_src_has_a_floor() {
    let mut faults = Vec::new();
    for entry in fs::read_dir(root().join("src")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let part = name.trim_end_matches(".rs");
        // Pages for users, which are no code.
        if name != "lib.rs" && name != "docs" && floor(part).is_none() {
            let what = format!("{part} is in no floor");
            faults.push(Source::new(&format!("src/{name}"), "").fault(1, what));
        }
    }
    let advice = "give it a row in FLOORS of tests/architecture/floors.rs and in the table of the \
                  crate's documentation, or put it into a part that is there";
    hold("every part of the house has a floor", advice, faults);
}

#[test]
fn what_is_named_tests_is_compiled_for_tests_only() {
    let all = sources("src");
    let mut faults = Vec::new();
    for source in all.iter().filter(|source| source.is_test()) {
        // What is below a `tests` is compiled with it.
        let module = match source.path.split_once("/tests/") {
            Some((above, _)) => format!("{above}/tests"),
            None => source.path.trim_end_matches(".rs").to_owned(),
        };
        let (directory, name) = module.rsplit_once('/').unwrap();
        let parents = [format!("{directory}/mod.rs"), format!("{directory}.rs")];
        let is_declared =
            all.iter().filter(|parent| parents.contains(&parent.path)).any(|parent| {
                let tokens = parent.tokens();
                let declares = |at: &usize| {
                    let end = (*at..tokens.len()).find(|&i| [";", "{"].contains(&tokens[i].text));
                    let words = &tokens[*at..end.unwrap_or(tokens.len())];
                    is_test_attribute(&tokens, *at) && words.last().is_some_and(|t| t.text == name)
                };
                (0..tokens.len()).any(|at| declares(&at))
            });
        if !is_declared {
            faults.push(source.fault(1, "is not declared beneath #[cfg(test)]"));
        }
    }
    let advice = "put #[cfg(test)] on its mod line, or give it another name";
    hold("other rules let tests go, so a file named like tests is nothing else", advice, faults);
}

#[test]
fn an_exception_joins_two_parts_of_one_floor() {
    let mut seen = BTreeSet::new();
    for (from, to, reason) in NEIGHBOURS {
        assert!(floor(from).is_some() && floor(from) == floor(to), "{from} and {to}");
        assert!(reason.len() > 20 && seen.insert((from, to)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(path: &str, text: &str) -> Vec<(usize, String)> {
        let source = Source::new(path, text);
        let line = |fault: &Fault| fault.place.rsplit_once(':').unwrap().1.parse().unwrap();
        import_faults(&source).into_iter().map(|fault| (line(&fault), fault.what)).collect()
    }

    fn broken(path: &str, text: &str) -> bool {
        !faults(path, text).is_empty()
    }

    #[test]
    fn downwards_is_allowed() {
        let text = "use crate::base::ids::X; use crate::{frame, outbox::state::{A, B as C}};\n\
                    pub(crate) fn f() { crate::hub::lane::g(); super::lane::h(); }\n\
                    //! [`crate::gateway`]\nconst S: &str = \"crate::gateway\";";
        assert_eq!(faults("src/hub/pass.rs", text), []);
    }

    #[test]
    fn upwards_is_seen_in_every_form() {
        for text in [
            "use crate::connection::reader;",
            "fn f() { crate::connection::reader::g() }",
            "use crate::{base::ids, connection::reader};",
            "use crate::{base::{ids, limits}, http};",
            "use super::super::gateway;",
            "use super::{lane, super::http};",
            "use self::super::super::http;",
            "mod inner { use super::super::super::http; }",
            "#[cfg(test)] mod tests { use crate::http; }",
            "macro_rules! m { () => { $crate::http::f() } }",
            "fn f() -> ::std::vec::Vec<crate::http::X> { }",
            "use crate::*;",
            "use crate::{self};",
            "use crate as all;",
            "use crate::Hub;",
        ] {
            assert!(broken("src/hub/pass.rs", text), "{text}");
        }
        assert!(!broken("src/hub/pass.rs", "mod inner { use super::super::lane; }"));
        assert!(!broken("src/hub/mod.rs", "use super::base;"));
        assert!(broken("src/hub/mod.rs", "use super::http;"));
    }

    #[test]
    fn neighbours_are_no_friends() {
        assert!(broken("src/frame/x.rs", "use crate::outbox;"));
        assert!(broken("src/auth/x.rs", "use crate::protocol::json;"));
        assert!(!broken("src/bin/fanfare.rs", "fn main() { fanfare::cli::main() }"));
        assert!(broken("src/bin/fanfare.rs", "fn main() { fanfare::nothing() }"));
    }

    #[test]
    fn the_line_is_told() {
        let text = "use crate::base;\n\nuse crate::{\n    base::ids,\n    http::plain,\n};";
        let expected = (5, "hub (floor 3) uses http (floor 5)".to_owned());
        assert_eq!(faults("src/hub/pass.rs", text), [expected]);
    }

    #[test]
    fn a_body_is_where_the_item_has_it() {
        assert!(body(&Source::new("x", "mod a;").tokens(), 0).is_none());
    }
}
