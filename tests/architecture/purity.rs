//! What a part must not name: sockets, clocks, protocols, the terminal.

use super::lexer::Token;
use super::source::{Allowed, Fault, Source, except, hold, sources};

/// Files of the hub that read the machine's clock.
const HUB_CLOCKS: Allowed = &[
    ("src/hub/builder.rs", "the one ticker that sets the coarse clock for everybody else"),
    ("src/hub/drain.rs", "bounds and reports how long a graceful end takes; nothing else waits"),
    ("src/hub/pass.rs", "when a pass began, for the histogram of their durations"),
    ("src/hub/encoded.rs", "how long deflating a publication took, for its counter"),
    ("src/hub/prepared.rs", "when a publication was accepted, for the histogram of waits"),
    ("src/hub/traced.rs", "when things happen to a sampled publication, and to no other"),
    ("src/hub/turn.rs", "when a pass ended, for the histogram of their durations, and of waits"),
];

/// The places where `words` follow each other, each spelt as one token.
fn named(source: &Source, tokens: &[Token<'_>], words: &[&str]) -> Vec<Fault> {
    let is_start =
        |run: &&[Token<'_>]| run.iter().map(|token| token.text).eq(words.iter().copied());
    let fault = |run: &[Token<'_>]| source.fault(run[0].line, words.concat());
    tokens.windows(words.len()).filter(is_start).map(fault).collect()
}

fn named_in(source: &Source, tokens: &[Token<'_>], all: &[&[&str]]) -> Vec<Fault> {
    all.iter().flat_map(|words| named(source, tokens, words)).collect()
}

const CLOCKS: &[&[&str]] = &[
    &["Instant", "::", "now"],
    &["SystemTime", "::", "now"],
    &["UNIX_EPOCH", ".", "elapsed"],
    &[".", "elapsed", "("],
];

fn hub_words(source: &Source) -> Vec<Fault> {
    let protocols: &[&[&str]] = &[&["tungstenite"], &["hyper"], &["http", "::"], &["http", ";"]];
    named_in(source, &source.tokens(), protocols)
}

fn impure_words(source: &Source) -> Vec<Fault> {
    let tokens = source.tokens();
    let mut faults = named(source, &tokens, &["tokio"]);
    // Grouped imports as well: `std::{net, …}`. Not `core::net`: addresses only.
    for (at, token) in tokens.iter().enumerate().filter(|(_, token)| token.text == "net") {
        if at < 2 || tokens[at - 2].text != "core" {
            faults.push(source.fault(token.line, "std::net"));
        }
    }
    faults.extend(named_in(source, &source.shipped(), CLOCKS));
    faults
}

fn printing(source: &Source) -> Vec<Fault> {
    let macros: [&[&str]; 4] =
        [&["println", "!"], &["eprintln", "!"], &["print", "!"], &["eprint", "!"]];
    let mut faults = named_in(source, &source.shipped(), &macros);
    faults.extend(named(source, &source.tokens(), &["dbg", "!"]));
    faults
}

fn of_parts(parts: &[&str]) -> Vec<Source> {
    let mut all = sources("src");
    all.retain(|source| parts.contains(&source.part()));
    assert!(!all.is_empty(), "none of {parts:?} is there");
    all
}

#[test]
fn the_hub_knows_no_protocol_of_sockets() {
    hold(
        "the hub knows sessions and encoded frames, no HTTP and no WebSocket library",
        "do it in connection/ or http/ and hand the hub what comes of it",
        of_parts(&["hub"]).iter().flat_map(hub_words).collect(),
    );
}

#[test]
fn the_hub_reads_no_clock() {
    let clocks = |source: &Source| named_in(source, &source.shipped(), CLOCKS);
    hold(
        "the hub reads no clock but the coarse one that the ticker sets",
        "read shared.clock, or take the time as an argument",
        except(HUB_CLOCKS, of_parts(&["hub"]).iter().flat_map(clocks).collect()),
    );
}

#[test]
fn codecs_and_tokens_are_pure() {
    hold(
        "frame/, protocol/ and auth/ are functions of bytes: no runtime, no socket, and the time \
         is an argument (tests may ask for it)",
        "take bytes and the time as arguments; for addresses as values use core::net, which has \
         no sockets",
        of_parts(&["frame", "protocol", "auth"]).iter().flat_map(impure_words).collect(),
    );
}

#[test]
fn only_the_command_line_prints() {
    let mut all = sources("src");
    all.retain(|source| !["cli", "bin"].contains(&source.part()));
    hold(
        "only cli/ and bin/ write to the terminal",
        "log it with tracing, or return it",
        all.iter().flat_map(printing).collect(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::new("src/frame/x.rs", text)
    }

    #[test]
    fn a_word_counts_where_it_is_code() {
        assert_eq!(hub_words(&source("use hyper::body; // hyper")).len(), 1);
        assert_eq!(hub_words(&source("fn f() { let _ = http::Method::GET; }")).len(), 1);
        assert!(hub_words(&source("let s = \"http://x\"; hyperbole(); https::x();")).is_empty());
    }

    #[test]
    fn sockets_and_clocks_are_seen() {
        for bad in [
            "use tokio::io;",
            "use std::net::TcpStream;",
            "use std::{net::IpAddr, io};",
            "use std::{io, net};",
            "fn f() { std::time::Instant::now() }",
            "fn f() { SystemTime :: now() }",
            "fn f() { began.elapsed() }",
        ] {
            assert!(!impure_words(&source(bad)).is_empty(), "{bad}");
        }
        let good = "use core::net::IpAddr; fn f(now: Instant) {} #[cfg(test)] mod tests { \
                    fn g() { Instant::now(); } }";
        assert!(impure_words(&source(good)).is_empty());
        assert!(!impure_words(&source("#[cfg(test)] mod tests { use tokio::x; }")).is_empty());
    }

    #[test]
    fn printing_is_seen() {
        assert_eq!(printing(&source("fn f() { println!(\"x\"); eprint!() }")).len(), 2);
        assert_eq!(printing(&source("#[cfg(test)] mod tests { println!(); dbg!(1) }")).len(), 1);
        assert!(printing(&source("fn println() {} // dbg!(x)")).is_empty());
    }
}
