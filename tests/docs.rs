//! What the README and the pages of `src/docs` tell people to type works as it stands there.
//!
//! The blocks of a page run from top to bottom in one shell and an empty folder, against this very
//! program, with a port of their own in place of 8000. A page has to end with exit code 0.
//!
//! | block | what is done with it |
//! |---|---|
//! | `sh` | it is run; curl fails where the answer is an error. Where it ends with `fanfare serve` that goes on in the background, and one from before is ended |
//! | `toml` | `fanfare check` has to take it as a configuration; `fullchain.pem` and `privkey.pem` are there |
//! | `js` | Node.js runs it (only in the ignored test: Node.js may not be there) |
//! | `rust` | nothing: the pages are part of the crate's documentation, whose examples are tests |
//!
//! A comment in the line before a block says what is special about it:
//!
//! | comment | |
//! |---|---|
//! | `<!-- run: endless -->` | it is ended after a second, and that is fine |
//! | `<!-- run: not, REASON -->` | it is not run |

#![cfg(feature = "gateway")]

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Blocks of one page that may not be run.
const NOT_RUN_MAX: usize = 4;

const PREAMBLE: &str = r#"
set -euo pipefail
gateway=
curl() { command curl --silent --show-error --fail-with-body --max-time 20 "$@"; }
end_gateway() {
    [ -n "$gateway" ] || return 0
    kill -TERM "$gateway" 2>/dev/null && wait "$gateway" || true
    gateway=
}
until_healthy() {
    for _ in $(seq 200); do
        fanfare check --url "http://$FANFARE_LISTEN" >/dev/null 2>&1 && return 0
        kill -0 "$gateway" || return 1
        sleep 0.05
    done
    return 1
}
ended_in_time() { [ "$1" = 0 ] || [ "$1" = 124 ]; }
trap end_gateway EXIT
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
    -keyout privkey.pem -out fullchain.pem 2>/dev/null
cp fullchain.pem clients-ca.pem
"#;

#[derive(Debug, PartialEq, Eq)]
enum Mark {
    None,
    Endless,
    Not,
}

struct Block {
    line: usize,
    language: String,
    text: String,
    mark: Mark,
}

/// The marked comment of a line.
fn mark(line: &str, at: usize) -> Mark {
    let Some(mark) = line.trim().strip_prefix("<!-- run: ") else { return Mark::None };
    match mark.strip_suffix(" -->").unwrap_or(mark) {
        "endless" => Mark::Endless,
        mark if mark.strip_prefix("not, ").is_some_and(|reason| reason.len() > 8) => Mark::Not,
        mark => panic!("line {at}: {mark} is no mark, or has no reason"),
    }
}

fn blocks(page: &str) -> Vec<Block> {
    let (mut blocks, mut before) = (Vec::new(), "");
    let mut lines = page.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            let indent = line.len() - line.trim_start().len();
            let inside = lines.by_ref().map(|(_, line)| line);
            let inside = inside.take_while(|line| line.trim() != "```");
            let text = inside.map(|line| line.get(indent..).unwrap_or_default().to_owned() + "\n");
            let (language, mark) = (language.trim().to_owned(), mark(before, at));
            blocks.push(Block { line: at + 1, language, text: text.collect(), mark });
        }
        before = line;
    }
    blocks
}

/// What Node.js is to run: with the client as a file, as it imports from no URL.
fn for_node(text: &str) -> String {
    let text = text.replace("\"http://127.0.0.1:8000/fanfare.js\"", "\"./fanfare.mjs\"");
    text.replace("new Fanfare(null", "new Fanfare(\"ws://127.0.0.1:8000/ws\"")
}

/// The last line, if that is a gateway that goes on, and those before it.
fn serves(text: &str) -> Option<(&str, &str)> {
    let (before, last) = text.trim_end().rsplit_once('\n').unwrap_or(("", text.trim_end()));
    let serve = ["fanfare serve", "cargo run --release -- serve"];
    serve.iter().any(|serve| last.starts_with(serve)).then_some((before, last))
}

/// A file of this text, written by the script itself: so it stands there if the test fails.
fn written(name: &str, text: &str) -> String {
    format!("cat > {name} <<'END_OF_BLOCK'\n{text}END_OF_BLOCK\n")
}

fn step(block: &Block, with_node: bool) -> String {
    let Block { line, text, .. } = block;
    match (block.language.as_str(), &block.mark) {
        (_, Mark::Not) => String::new(),
        ("sh", Mark::None) => match serves(text) {
            Some((before, serve)) => {
                format!("end_gateway\n{before}\n{serve} & gateway=$!\nuntil_healthy\n")
            }
            None => text.clone(),
        },
        ("sh", Mark::Endless) => {
            let file = written(&format!("{line}.sh"), text);
            format!("{file}code=0; timeout 1 bash -e {line}.sh || code=$?; ended_in_time $code\n")
        }
        ("toml", _) => {
            let file = written(&format!("{line}.toml"), text);
            format!("{file}fanfare check --config {line}.toml --insecure\n")
        }
        ("js", mark) if with_node => {
            let file = written(&format!("{line}.mjs"), &for_node(text));
            let limit = if *mark == Mark::Endless { 3 } else { 20 };
            let fetch = match text.contains("fanfare.js") {
                true => "curl -o fanfare.mjs http://127.0.0.1:8000/fanfare.js",
                false => "",
            };
            let run = format!("timeout {limit} node --experimental-websocket {line}.mjs");
            let fine = if limit == 3 { "ended_in_time $code" } else { "[ $code = 0 ]" };
            format!("{file}{fetch}\ncode=0; {run} || code=$?; {fine}\n")
        }
        _ => String::new(),
    }
}

fn script(page: &str, with_node: bool, port: u16) -> String {
    let mut script = PREAMBLE.to_owned();
    for block in blocks(page) {
        let step = step(&block, with_node);
        let _ = write!(script, "echo 'line {}' >&2\n{step}\n", block.line);
    }
    // The default is to build for release, which takes minutes; this program is built.
    let script = script.replace("cargo run --release -- ", "fanfare ");
    script.replace(":8000", &format!(":{port}"))
}

/// A folder of this page, empty, with the program in it.
fn folder(name: &str) -> PathBuf {
    let name = format!("docs-{name}-{}", std::process::id());
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(path.join("bin")).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_fanfare"), path.join("bin/fanfare")).unwrap();
    path
}

fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = std::fs::read_dir(root.join("src/docs")).unwrap();
    let mut pages: Vec<_> = docs.map(|entry| entry.unwrap().path()).collect();
    pages.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.push(root.join("README.md"));
    pages.sort();
    pages
}

fn run(path: &Path, with_node: bool) -> Result<(), String> {
    let page = std::fs::read_to_string(path).unwrap();
    let name = path.file_stem().unwrap().to_str().unwrap();
    let folder = folder(&format!("{name}{}", if with_node { "-node" } else { "" }));
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let script = script(&page, with_node, free.port());
    std::fs::write(folder.join("script"), &script).unwrap();
    let path_variable = format!("{}/bin:{}", folder.display(), std::env::var("PATH").unwrap());
    let run = Command::new("timeout")
        .args(["120", "bash", "script"])
        .current_dir(&folder)
        .env("PATH", path_variable)
        .env("FANFARE_LISTEN", free.to_string())
        .output()
        .expect("timeout and bash are there");
    match run.status.success() {
        true => {
            std::fs::remove_dir_all(folder).unwrap();
            Ok(())
        }
        false => {
            let said = String::from_utf8_lossy(&run.stderr);
            Err(format!("{}, in {}: {}\n{said}", path.display(), folder.display(), run.status))
        }
    }
}

fn run_all(with_node: bool) {
    let failed: Vec<_> = pages().iter().filter_map(|path| run(path, with_node).err()).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn every_command_works() {
    run_all(false);
}

#[test]
#[ignore = "needs Node.js"]
fn every_command_and_every_script_works() {
    run_all(true);
}

#[test]
fn little_is_not_run() {
    for path in pages() {
        let page = std::fs::read_to_string(&path).unwrap();
        let left_out = blocks(&page).iter().filter(|block| block.mark == Mark::Not).count();
        assert!(left_out <= NOT_RUN_MAX, "{}: {left_out} blocks", path.display());
    }
}

#[test]
fn a_command_that_fails_is_found() {
    let page = "```sh\ntrue\n```\n\n```sh\ncurl http://127.0.0.1:8000/health\n```\n";
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("failing.md");
    std::fs::write(&path, page).unwrap();
    let failed = run(&path, false).unwrap_err();
    assert!(failed.contains("line 5"), "{failed}");
}

/// What stands in quotes behind each of these words of a source file.
fn quoted(file: &str, before: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let source = std::fs::read_to_string(path).unwrap();
    let found = source.match_indices(before).map(|(at, _)| &source[at + before.len()..]);
    found.map(|behind| behind.split('"').next().unwrap().to_owned()).collect()
}

#[test]
fn the_reference_of_the_protocol_is_complete() {
    use fanfare::base::disconnect::Reason;
    use fanfare::protocol::json::ErrorCode;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/docs/protocol.md");
    let page = std::fs::read_to_string(path).unwrap();
    let mut words: Vec<String> = ErrorCode::ALL.iter().map(|code| code.name().into()).collect();
    let rows =
        Reason::ALL.iter().map(|reason| format!("| {} | `{}`", reason.code(), reason.name()));
    for row in rows {
        assert!(page.contains(&row), "the close codes have no row that begins with {row}");
    }
    let encoder = "src/protocol/json/encode.rs";
    let known = [
        quoted(encoder, "Object::new(\""),
        quoted(encoder, "=> \""),
        quoted(encoder, "if event.is_join { \""),
        quoted(encoder, "} else { \""),
        quoted("src/protocol/json/parse.rs", "    (\""),
    ];
    assert!(known.iter().all(|some| !some.is_empty()), "{known:?}");
    words.extend(known.into_iter().flatten());
    words.extend(quoted(encoder, "object.string(\""));
    let missing: Vec<_> =
        words.iter().filter(|word| !page.contains(&format!("`{word}`"))).collect();
    assert!(missing.is_empty(), "protocol.md does not have {missing:?}");
}

/// Every link from one page to another, or to a file, leads somewhere.
#[test]
fn links_lead_somewhere() {
    for path in pages() {
        let page = std::fs::read_to_string(&path).unwrap();
        for (_, behind) in page.match_indices("](").map(|(at, _)| page.split_at(at + 2)) {
            let target = behind.split([')', '#']).next().unwrap();
            // The documentation tool looks after links to items.
            let is_item = target == "crate" || target.contains("::");
            if target.is_empty() || target.contains("://") || is_item {
                continue;
            }
            let is_there = path.parent().unwrap().join(target).exists();
            assert!(is_there, "{}: there is no {target}", path.display());
        }
    }
}
