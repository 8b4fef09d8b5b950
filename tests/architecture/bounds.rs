//! What grows has a bound, and what is shared without a lock explains itself.

use super::source::{Allowed, Fault, Source, except, hold, sources};

/// Files that name a queue, and what bounds it.
const QUEUES: Allowed = &[
    ("src/base/sync.rs", "defines the queue and its stand-in for the model checker, holds none"),
    ("src/base/trace/tracer.rs", "each publication takes room for its spans before it is put in"),
    (
        "src/hub/mailbox.rs",
        "publications are charged for by flow.rs before they are posted; memberships and replies \
         are bounded per session",
    ),
    ("src/hub/busy.rs", "channels that were published to since the last look, 1,024 at most"),
    ("src/hub/shared.rs", "stale channels: each is in the list at most once"),
    ("src/hub/builder.rs", "makes the empty list of stale channels"),
    ("src/hooks/queue.rs", "the bounded ring of events that wait to be told"),
    (
        "src/hooks/mod.rs",
        "holds the bounded ring of events that wait to be told, and hands it to whoever tells them",
    ),
    ("src/outbox/queue.rs", "the bounded queue itself: bytes, frames and age"),
    ("src/outbox/queue/policy.rs", "lets new data into the bounded queue, holds none itself"),
    ("src/outbox/state.rs", "holds the outbox's bounded queue while the session is behind"),
    (
        "src/fuzzing.rs",
        "a shell around the outbox's bounded queue, in no build but that of the fuzz targets",
    ),
];

/// Files with atomics that need no more words than the field has, and why.
const TRIVIAL_ATOMICS: Allowed = &[
    ("src/base/ids.rs", "one counter, only added to: every value is handed out once"),
    ("src/base/sync.rs", "defines the primitives for those that use them, has no state"),
];

/// What the head of a file with atomics has as headings.
const HEADINGS: [&str; 4] = ["State", "Who may touch what", "Orderings", "Races considered"];

fn without_bound(source: &Source) -> Vec<Fault> {
    let tokens = source.tokens();
    let mut faults = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        // The standard library's has no bound; tokio's of the same name takes one.
        let words = tokens[at..].iter().take(5).map(|token| token.text);
        let is_std_channel = words.eq(["mpsc", "::", "channel", "(", ")"]);
        if token.text.to_lowercase().contains("unbounded") || is_std_channel {
            faults.push(source.fault(token.line, token.text));
        }
    }
    faults
}

fn queues(source: &Source) -> Vec<Fault> {
    let is_queue = |text: &str| ["SegQueue", "Queue", "ArrayQueue"].contains(&text);
    let tokens = source.shipped();
    let found = tokens.iter().filter(|token| is_queue(token.text));
    found.map(|token| source.fault(token.line, token.text)).collect()
}

/// Where code that ships first names an atomic, unless the head of the file explains it.
fn unexplained_atomics(source: &Source) -> Option<Fault> {
    let tokens = source.shipped();
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text);
    let is_atomic = |at: &usize| {
        let rest = text(*at).strip_prefix("Atomic");
        let is_type = rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_uppercase()));
        let is_comparison = ["Less", "Equal", "Greater"].contains(&text(at + 2));
        is_type || (text(*at) == "Ordering" && text(at + 1) == "::" && !is_comparison)
    };
    let first = (0..tokens.len()).find(is_atomic)?;
    let head = || source.text.lines().take_while(|line| line.starts_with("//!"));
    let has = |heading: &&str| head().any(|line| line.trim() == format!("//! # {heading}"));
    let missing: Vec<_> = HEADINGS.into_iter().filter(|heading| !has(heading)).collect();
    let what = format!("names {} and its head lacks: {}", text(first), missing.join(", "));
    (!missing.is_empty()).then(|| source.fault(tokens[first].line, what))
}

#[test]
fn nothing_is_without_a_bound() {
    hold(
        "no channel and no queue is unbounded",
        "use a bounded one and decide what happens when it is full",
        sources("src").iter().flat_map(without_bound).collect(),
    );
}

#[test]
fn every_queue_says_what_bounds_it() {
    hold(
        "a queue is named only where the list in tests/architecture/bounds.rs says what bounds it",
        "use the outbox or a mailbox; if a new queue is needed, add its file with its bound",
        except(QUEUES, sources("src").iter().flat_map(queues).collect()),
    );
}

#[test]
fn lock_free_code_explains_itself() {
    hold(
        "a file with atomics opens with State, Who may touch what, Orderings and Races considered",
        "write the four parts at the head of the file, or put the loads and stores behind methods \
         of the structure that owns them, where all its orderings are together",
        except(TRIVIAL_ATOMICS, sources("src").iter().filter_map(unexplained_atomics).collect()),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::new("src/hub/x.rs", text)
    }

    #[test]
    fn an_unbounded_channel_is_seen() {
        assert_eq!(without_bound(&source("use tokio::sync::mpsc::unbounded_channel;")).len(), 1);
        assert_eq!(without_bound(&source("fn f(x: UnboundedSender<u8>) {}")).len(), 1);
        assert_eq!(without_bound(&source("let x = mpsc::channel();")).len(), 1);
        assert!(
            without_bound(&source("// unbounded\nmpsc::channel(3); oneshot::channel();"))
                .is_empty()
        );
    }

    #[test]
    fn a_queue_is_seen() {
        assert_eq!(queues(&source("let x: SegQueue<u8> = SegQueue::new();")).len(), 2);
        assert!(queues(&source("#[cfg(test)] mod tests { use x::Queue; } // Queue")).is_empty());
    }

    #[test]
    fn atomics_need_all_four_headings() {
        let head = "//! X.\n//!\n//! # State\n//! # Who may touch what\n//! # Orderings\n";
        let code = "\nstatic A: AtomicU8 = AtomicU8::new(0);\n";
        let fault = unexplained_atomics(&source(&format!("{head}{code}"))).unwrap();
        assert_eq!(fault.place, "src/hub/x.rs:7");
        assert_eq!(fault.what, "names AtomicU8 and its head lacks: Races considered");
        let whole = format!("{head}//! # Races considered\n{code}");
        assert!(unexplained_atomics(&source(&whole)).is_none());
    }

    #[test]
    fn what_only_sounds_like_an_atomic_needs_none() {
        assert!(
            unexplained_atomics(&source("if a == Ordering::Less { atomic(); Atomic }")).is_none()
        );
        assert!(unexplained_atomics(&source("x.load(Ordering::Relaxed)")).is_some());
        let text = "#[cfg(test)] mod tests { use std::sync::atomic::AtomicU8; }";
        assert!(unexplained_atomics(&source(text)).is_none());
    }
}
