//! How long things get, and where conditions and `unsafe` may stand.

use super::lexer::{Token, body, closing, past_attributes};
use super::source::{Allowed, Fault, Source, except, hold, sources};

/// "About 400", with room for the last import.
const FILE_LINES_MAX: usize = 420;
const FUNCTION_LINES_MAX: usize = 70;

/// Empty: nothing measured so far has needed it.
const UNSAFE: Allowed = &[];

/// Everything in Rust that belongs to the package and its neighbours.
fn everywhere() -> Vec<Source> {
    ["src", "tests", "perf", "fuzz", "benches", "examples"].into_iter().flat_map(sources).collect()
}

fn long_file(source: &Source) -> Option<Fault> {
    let lines = source.text.lines().count();
    let is_long = !source.is_test() && lines > FILE_LINES_MAX;
    is_long.then(|| source.fault(lines, format!("{lines} lines, {FILE_LINES_MAX} are allowed")))
}

fn long_functions(source: &Source) -> Vec<Fault> {
    let tokens = source.tokens();
    let is_name = |at: usize| {
        tokens.get(at).is_some_and(|t| t.text.starts_with(|c: char| c.is_alphabetic() || c == '_'))
    };
    let check = |at: usize| {
        let end = closing(&tokens, body(&tokens, at)?);
        let lines = tokens[end].line - tokens[at].line + 1;
        let what = || {
            let name = tokens[at + 1].text;
            format!("fn {name} has {lines} lines, {FUNCTION_LINES_MAX} are allowed")
        };
        (lines > FUNCTION_LINES_MAX).then(|| source.fault(tokens[at].line, what()))
    };
    let starts = (0..tokens.len()).filter(|&at| tokens[at].text == "fn" && is_name(at + 1));
    starts.filter_map(check).collect()
}

fn misplaced_features(source: &Source) -> Vec<Fault> {
    let tokens = source.tokens();
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text);
    let mut faults = Vec::new();
    for at in 0..tokens.len() {
        let open = if text(at + 1) == "!" { at + 2 } else { at + 1 };
        if !["cfg", "cfg_attr"].contains(&text(at)) || text(open) != "(" {
            continue;
        }
        let end = closing(&tokens, open);
        let is_feature = tokens[open..end].iter().any(|token| token.text == "feature");
        // `#[cfg(…)]` and nothing else: `cfg!` and `cfg_attr` change what is around them.
        let is_plain = text(at) == "cfg" && open == at + 1 && at > 1 && text(at - 2) == "#";
        if is_feature && !(is_plain && is_module(&tokens, end + 2)) {
            faults.push(source.fault(tokens[at].line, "asks for a feature"));
        }
    }
    faults
}

/// Whether what follows is `mod`, behind other attributes and its visibility.
fn is_module(tokens: &[Token<'_>], at: usize) -> bool {
    let mut at = past_attributes(tokens, at);
    if tokens.get(at).is_some_and(|token| token.text == "pub") {
        at += 1;
        if tokens.get(at).is_some_and(|token| token.text == "(") {
            at = closing(tokens, at) + 1;
        }
    }
    tokens.get(at).is_some_and(|token| token.text == "mod")
}

fn unsafe_words(source: &Source) -> Vec<Fault> {
    let found = source.tokens().into_iter().filter(|token| token.text == "unsafe");
    found.map(|token| source.fault(token.line, "unsafe")).collect()
}

#[test]
fn files_stay_readable() {
    hold(
        "a file has about 400 lines at most (tests in a file of their own do not count)",
        "find the second idea in it and give that a file; move the tests to a sibling",
        sources("src").iter().filter_map(long_file).collect(),
    );
}

#[test]
fn functions_stay_readable() {
    let all = ["src", "tests", "perf"].into_iter().flat_map(sources);
    hold(
        "a function has at most 70 lines",
        "keep the branches above and move loops and steps to functions beneath, each with a name",
        all.flat_map(|source| long_functions(&source)).collect(),
    );
}

#[test]
fn features_add_modules() {
    hold(
        "cfg(feature) stands on mod lines only: a feature adds modules, it never changes how the \
         others behave",
        "put what differs into a module of its own",
        sources("src").iter().flat_map(misplaced_features).collect(),
    );
}

#[test]
fn nothing_is_unsafe() {
    let faults = everywhere().iter().flat_map(unsafe_words).collect();
    hold(
        "there is no unsafe code",
        "write it without; an exception needs a measurement and a proof beside it",
        except(UNSAFE, faults),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(lines: usize) -> Source {
        let inside = "    x(\"}\"); // }\n".repeat(lines - 2);
        Source::new("src/hub/x.rs", &format!("#[a]\nfn f(g: fn(u8)) {{\n{inside}}}\nfn h();\n"))
    }

    #[test]
    fn a_function_of_71_lines_is_too_long() {
        assert!(long_functions(&function(70)).is_empty());
        let faults = long_functions(&function(71));
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].place, "src/hub/x.rs:2");
        assert_eq!(faults[0].what, "fn f has 71 lines, 70 are allowed");
    }

    #[test]
    fn a_file_of_421_lines_is_too_long_unless_it_is_tests() {
        assert!(long_file(&Source::new("src/a/b.rs", &"x\n".repeat(420))).is_none());
        assert!(long_file(&Source::new("src/a/b.rs", &"x\n".repeat(421))).is_some());
        assert!(long_file(&Source::new("src/a/tests.rs", &"x\n".repeat(421))).is_none());
    }

    #[test]
    fn a_feature_may_choose_a_module_and_nothing_else() {
        let is_fault = |text| !misplaced_features(&Source::new("src/a.rs", text)).is_empty();
        for good in [
            "#[cfg(feature = \"x\")] mod a;",
            "#[cfg(feature = \"x\")] #[doc(hidden)] pub(crate) mod a { }",
            "#[cfg(test)] use a; fn feature() {}",
            "// #[cfg(feature = \"x\")]",
        ] {
            assert!(!is_fault(good), "{good}");
        }
        for bad in [
            "#[cfg(feature = \"x\")] use a;",
            "#[cfg(all(test, feature = \"x\"))] fn a() {}",
            "if cfg!(feature = \"x\") { }",
            "#[cfg_attr(feature = \"x\", path = \"y\")] mod a;",
            "#![cfg(feature = \"x\")] mod a;",
            "#[cfg(not(feature = \"x\"))] pub use a::b;",
        ] {
            assert!(is_fault(bad), "{bad}");
        }
    }

    #[test]
    fn unsafe_is_a_word_of_the_code() {
        assert_eq!(unsafe_words(&Source::new("src/a.rs", "fn f() {\n unsafe { g() } }")).len(), 1);
        let harmless = "#![deny(unsafe_code)] // unsafe\nconst A: &str = \"unsafe\";";
        assert!(unsafe_words(&Source::new("src/a.rs", harmless)).is_empty());
    }
}
