//! The program as a process: output, exit codes, and that it shows no secret.

#![cfg(feature = "gateway")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

const CANARY: &str = "canary-canary-canary-canary-canary-canary";

/// The program without anything of this process's environment.
fn fanfare(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fanfare"));
    command.env_clear().args(args);
    command
}

fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
    (status.code(), text(stdout), text(stderr))
}

/// A file of this test process, with the text.
fn file(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("cli-{}-{name}", std::process::id()));
    std::fs::write(&path, text).expect("the target directory can be written");
    path
}

/// The claims and the header of a token.
fn parts(token: &str) -> (serde_json::Value, serde_json::Value) {
    use base64::Engine as _;
    let part = |at: usize| {
        let part = token.trim_end().split('.').nth(at).expect("a token has three parts");
        let json =
            base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).expect("base64url");
        serde_json::from_slice(&json).expect("JSON")
    };
    (part(0), part(1))
}

#[test]
fn help_teaches() {
    let (code, stdout, _) = run(&mut fanfare(&["--help"]));
    assert_eq!(code, Some(0));
    for part in ["serve", "check", "token", "config", "Examples:", "Exit codes:", "openssl rand"] {
        assert!(stdout.contains(part), "{part} is not in:\n{stdout}");
    }
    let (code, stdout, _) = run(&mut fanfare(&["serve", "--help"]));
    assert_eq!(code, Some(0));
    for part in ["--listen", "--set", "no flags for keys", "FANFARE_API_KEYS", "Exit codes:"] {
        assert!(stdout.contains(part), "{part} is not in:\n{stdout}");
    }
    let (code, _, stderr) = run(&mut fanfare(&[]));
    assert_eq!(code, Some(2));
    assert!(stderr.contains("Usage: fanfare <COMMAND>"), "{stderr}");
    let (code, stdout, _) = run(&mut fanfare(&["--version"]));
    assert_eq!((code, stdout), (Some(0), format!("fanfare {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn check_says_what_would_run() {
    let (code, stdout, stderr) = run(&mut fanfare(&["check"]));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(stdout.starts_with("ok: would listen on 127.0.0.1:8000; API open; sessions open"));
    let path = file("check.toml", "listen = '127.0.0.1:9'\n[hub]\nlanes = 7\n");
    let path = path.to_str().unwrap();
    let mut keyed = fanfare(&["check", "--config", path, "--listen", "0.0.0.0:1"]);
    keyed.env("FANFARE_API_KEYS", format!("{CANARY},{CANARY}2")).env("FANFARE_AUTH_SECRET", CANARY);
    let (code, stdout, stderr) = run(&mut keyed);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    for part in ["0.0.0.0:1;", "API keyed (2 keys)", "sessions keyed (1 key: HS256)", "7 lanes"] {
        assert!(stdout.contains(part), "{part} is not in: {stdout}");
    }
    assert!(!stdout.contains("canary") && stdout.lines().count() == 1);
    let (_, stdout, _) = run(fanfare(&["check"]).env("FANFARE_AUTH_SECRET", CANARY));
    assert!(stdout.contains("API closed (no keys)"), "{stdout}");
}

#[test]
fn the_exit_code_says_what_failed() {
    let bad_key = file("bad-key.toml", "[auth]\nsecret = 'canary'\n");
    let bad_value = file("bad-value.toml", "[hub]\nlanse = 1\n");
    for (args, code, part) in [
        (&["check", "--no-such-flag"][..], 2, "--no-such-flag"),
        (&["check", "--config", "/no/such/file"], 3, "--config: cannot read /no/such/file"),
        (&["check", "--config", bad_value.to_str().unwrap()], 3, "did you mean hub.lanes?"),
        (&["check", "--set", "hub.lanes=0"], 3, "from 1 to 1024"),
        (&["check", "--listen", "0.0.0.0:1"], 3, "export FANFARE_API_KEYS=$("),
        (&["serve", "--listen", "0.0.0.0:1"], 3, "export FANFARE_API_KEYS=$("),
        (&["check", "--config", bad_key.to_str().unwrap()], 4, "the secret has 6 bytes"),
        (&["serve", "--listen", "192.0.2.1:1", "--insecure"], 5, ""),
        (&["token", "--user", "a"], 3, "there is no key to sign with"),
        (&["token", "--expires-in", "1y"], 2, "s, m, h or d"),
        (&["token", "--user", ""], 2, "the user id is empty"),
    ] {
        let (got, stdout, stderr) = run(&mut fanfare(args));
        assert_eq!(got, Some(code), "{args:?}: {stderr}");
        assert!(stderr.contains(part), "{args:?}: {part:?} is not in: {stderr}");
        assert!(stdout.is_empty() && !stderr.contains("canary"), "{args:?}: {stdout}{stderr}");
        if code != 2 {
            let errors: Vec<_> = stderr.lines().filter(|l| l.starts_with("error: ")).collect();
            assert_eq!(errors.len(), 1, "{args:?}: {stderr}");
        }
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, _, stderr) = run(&mut fanfare(&["serve", "--listen", &address]));
    assert_eq!(code, Some(5), "{stderr}");
}

#[test]
fn check_asks_a_running_gateway() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{nobody}");
    let (code, _, stderr) = run(&mut fanfare(&["check", "--url", &url]));
    assert_eq!(code, Some(1), "{stderr}");
    assert_eq!(run(&mut fanfare(&["check", "--url", "https://a"])).0, Some(2));
    assert_eq!(run(&mut fanfare(&["check", "--url", &url, "--insecure"])).0, Some(2));
    let mut served = fanfare(&["serve", "--listen", &nobody.to_string()])
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let log = BufReader::new(served.stderr.take().unwrap());
    assert!(log.lines().map_while(Result::ok).any(|line| line.contains("listening")));
    let (code, stdout, stderr) = run(&mut fanfare(&["check", "--url", &url]));
    served.kill().unwrap();
    served.wait().unwrap();
    assert_eq!((code, stdout), (Some(0), format!("ok: {nobody} serves\n")), "{stderr}");
}

#[test]
fn keys_are_not_taken_as_arguments() {
    let with_value = format!("--api-key={CANARY}");
    let set = format!("auth.secret={CANARY}");
    for args in [["check", "--api-key", CANARY].as_slice(), &["check", &with_value]] {
        let (code, _, stderr) = run(&mut fanfare(args));
        assert_eq!(code, Some(2), "{stderr}");
        assert!(!stderr.contains("canary"), "{stderr}");
    }
    let (code, _, stderr) = run(&mut fanfare(&["check", "--set", &set]));
    assert_eq!(code, Some(3));
    assert!(stderr.contains("FANFARE_AUTH_SECRET") && !stderr.contains("canary"), "{stderr}");
}

#[test]
fn config_prints_a_file_that_check_accepts() {
    let (code, stdout, _) = run(&mut fanfare(&["config"]));
    assert_eq!(code, Some(0));
    assert!(stdout.contains("#outbox_bytes_max = 262144") && stdout.contains("[hub]"));
    let path = file("printed.toml", &stdout);
    let (code, _, stderr) = run(&mut fanfare(&["check", "--config", path.to_str().unwrap()]));
    assert_eq!(code, Some(0), "{stderr}");
    // A reader that leaves early is no failure.
    let mut child = fanfare(&["config"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn token_prints_a_token_and_nothing_else() {
    let args =
        ["token", "--user", "ada", "--subscribe", "news.*", "--subscribe", "a", "--publish", "a"];
    let mut command = fanfare(&args);
    command.env("FANFARE_AUTH_SECRET", CANARY).env("FANFARE_AUTH_ISSUER", "https://id.example");
    let (code, stdout, stderr) = run(command.args(["--expires-in", "2m"]));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert_eq!(stdout.lines().count(), 1);
    let (header, claims) = parts(&stdout);
    assert_eq!(header["alg"], "HS256");
    assert_eq!(claims["sub"], "ada");
    assert_eq!(claims["iss"], "https://id.example");
    assert_eq!(claims["subscribe"], serde_json::json!(["news.*", "a"]));
    assert_eq!(claims["publish"], serde_json::json!(["a"]));
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let left = claims["exp"].as_u64().unwrap() - now;
    assert!((100..=120).contains(&left), "{left}");
}

#[test]
fn token_signs_with_the_key_that_is_asked_for() {
    let text = format!(
        "[[auth.keys]]\nkid = 'a'\nsecret = '{CANARY}'\n\
         [[auth.keys]]\nkid = 'b'\nalgorithm = 'HS256'\nsecret = '{CANARY}-2'\n"
    );
    let path = file("two-keys.toml", &text);
    let path = path.to_str().unwrap();
    let base = ["token", "--user", "u", "--subscribe", "*", "--config", path];
    assert_eq!(parts(&run(&mut fanfare(&base)).1).0["kid"], "a");
    assert_eq!(parts(&run(fanfare(&base).args(["--kid", "b"])).1).0["kid"], "b");
    let (code, _, stderr) = run(fanfare(&base).args(["--kid", "c"]));
    assert_eq!(code, Some(3));
    assert!(stderr.contains("no secret of the configuration has this --kid"), "{stderr}");

    let pem = concat!(env!("CARGO_MANIFEST_DIR"), "/src/auth/testdata/ec256_private.pem");
    let pair = ["token", "--subscribe", "*", "--private-key-file", pem, "--algorithm"];
    let (code, stdout, stderr) = run(fanfare(&pair).arg("ES256"));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert_eq!(parts(&stdout).0["alg"], "ES256");
    let (code, _, stderr) = run(fanfare(&pair).arg("RS256"));
    assert_eq!(code, Some(4), "{stderr}");
    assert_eq!(run(fanfare(&pair).arg("HS256")).0, Some(2));
}

/// What a tool of the system says of a text; `None` where there is no such tool.
fn checked(tool: &str, args: &[&str], text: &str) -> Option<(bool, String)> {
    let mut command = Command::new(tool);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().ok()?;
    child.stdin.take().unwrap().write_all(text.as_bytes()).expect("it reads");
    let Output { status, stderr, .. } = child.wait_with_output().expect("it ends");
    Some((status.success(), String::from_utf8_lossy(&stderr).into_owned()))
}

/// The commands, as the help lists them.
fn commands() -> Vec<String> {
    let (_, help, _) = run(&mut fanfare(&["--help"]));
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let rows =
        listed.take_while(|line| !line.is_empty()).filter_map(|line| line.strip_prefix("  "));
    let names = rows.filter(|row| !row.starts_with(' ')).filter_map(|row| row.split(' ').next());
    names.map(str::to_owned).collect()
}

#[test]
fn shells_complete_every_command() {
    let commands = commands();
    assert!(commands.len() >= 8, "{commands:?}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, script, stderr) = run(&mut fanfare(&["completions", shell]));
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{shell}");
        for word in commands.iter().map(String::as_str).chain(["log-format", "private-key-file"]) {
            assert!(script.contains(word), "{shell} does not know {word}");
        }
        if let Some((is_good, stderr)) = checked(shell, &["-n"], &script) {
            assert!(is_good && stderr.is_empty(), "{shell}: {stderr}");
        }
    }
    assert_eq!(run(&mut fanfare(&["completions", "csh"])).0, Some(2));
    // What bash then offers behind `fanfare s`.
    let (_, script, _) = run(&mut fanfare(&["completions", "bash"]));
    let asked =
        "COMP_WORDS=(fanfare s); COMP_CWORD=1; _fanfare fanfare s fanfare; echo ${COMPREPLY[@]}";
    let answer = Command::new("bash").args(["-c", &format!("{script}\n{asked}")]).output();
    if let Ok(Output { stdout, .. }) = answer {
        assert_eq!(String::from_utf8_lossy(&stdout).trim(), "serve");
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let pages = commands().into_iter().filter(|name| name != "help").map(Some);
    for of in pages.chain([None]) {
        let args: Vec<&str> = ["man"].into_iter().chain(of.as_deref()).collect();
        let (code, page, stderr) = run(&mut fanfare(&args));
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{args:?}");
        let title = of.as_deref().map_or("fanfare".to_owned(), |name| format!("fanfare-{name}"));
        assert!(page.contains(&format!(".TH {title} 1")), "{args:?}: {page}");
        assert!(page.contains("Exit codes:") && page.contains(".SH NOTES"), "{args:?}");
        if let Some((is_good, stderr)) = checked("groff", &["-man", "-Tutf8", "-ww", "-z"], &page) {
            assert!(is_good && stderr.is_empty(), "{title}: {stderr}");
        }
        if let Some((is_good, stderr)) = checked("mandoc", &["-Tlint", "-Werror"], &page) {
            assert!(is_good, "{title}: {stderr}");
        }
    }
    assert_eq!(run(&mut fanfare(&["man", "canary"])).0, Some(2));
}

/// Starts a gateway, reads its log up to a line with `until` and closes it, ends the gateway with
/// SIGTERM, and gives back the lines and the exit code. A log that nobody reads any more must not
/// disturb it.
#[cfg(unix)]
fn served(command: &mut Command, until: &str) -> (Vec<String>, Option<i32>) {
    let mut child = command.stderr(Stdio::piped()).spawn().expect("the program starts");
    let mut lines = Vec::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.expect("the log is UTF-8");
        let is_last = line.contains(until);
        lines.push(line);
        if is_last {
            break;
        }
    }
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill runs").success());
    (lines, child.wait().expect("it ends").code())
}

#[test]
#[cfg(unix)]
fn serve_warns_of_what_is_open_and_ends_by_sigterm() {
    let (lines, code) = served(&mut fanfare(&["serve", "--listen", "127.0.0.1:0"]), "listening");
    let warning = "export FANFARE_API_KEYS=$(openssl rand -hex 32) FANFARE_AUTH_SECRET=$(openssl";
    assert!(lines.iter().any(|l| l.contains("WARN") && l.contains(warning)), "{lines:?}");
    assert_eq!(code, Some(0));
    let mut json = fanfare(&["serve", "--listen", "127.0.0.1:0", "--log-format", "json"]);
    let (lines, code) = served(json.env("FANFARE_AUTH_SECRET", CANARY), "listening");
    let line: serde_json::Value = serde_json::from_str(&lines[0]).expect("JSON");
    assert_eq!((line["level"].as_str(), code), (Some("WARN"), Some(0)));
    assert!(!lines.concat().contains("canary"));
}
