//! What is under `deploy/`: that it is in step with the program, and that what would run it takes it.

#![cfg(feature = "gateway")]

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_fanfare");
const PATIENCE: Duration = Duration::from_secs(20);

fn deployed(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A folder of this test, empty.
fn folder(name: &str) -> PathBuf {
    let name = format!("deploy-{name}-{}", std::process::id());
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// What a tool says, which has to succeed.
fn said(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("the tool is there");
    let text = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(status.success(), "{command:?}: {text}");
    text
}

/// The values of a setting in a unit.
fn settings<'u>(unit: &'u str, name: &str) -> Vec<&'u str> {
    let of = |line: &'u str| line.strip_prefix(name)?.strip_prefix('=');
    unit.lines().filter_map(of).collect()
}

fn signal(child: &Child, name: &str) {
    said(Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]));
}

#[test]
fn the_reference_configuration_is_what_the_program_prints() {
    let printed = said(Command::new(PROGRAM).arg("config").env_clear());
    let hint = "cargo run -- config > deploy/fanfare.toml";
    assert!(deployed("fanfare.toml") == printed, "deploy/fanfare.toml is not in step; {hint}");
}

#[test]
fn the_unit_waits_for_the_drain_and_does_not_repeat_what_cannot_work() {
    let unit = deployed("fanfare.service");
    let reference = deployed("fanfare.toml");
    let drain = reference.split_once("[drain]").unwrap().1;
    let drain_ms: u64 = settings(drain, "#timeout_ms ")[0].trim().parse().unwrap();
    let stop_s: u64 = settings(&unit, "TimeoutStopSec")[0].parse().unwrap();
    assert!(stop_s * 1_000 > drain_ms + 2_000, "{stop_s} s for a drain of {drain_ms} ms");
    // The exit codes of arguments, configuration and keys.
    assert_eq!(settings(&unit, "RestartPreventExitStatus"), ["2 3 4"]);
    assert_eq!(settings(&unit, "Type"), ["notify"]);
}

#[test]
fn the_service_manager_is_told_of_start_reload_and_end() {
    let name = format!("fanfare-deploy-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
    let manager = UnixDatagram::bind_addr(&address).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let until = |wanted: &str| {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let mut datagram = [0; 256];
            let length = manager.recv(&mut datagram).expect(wanted);
            let told = String::from_utf8_lossy(&datagram[..length]).into_owned();
            if told.starts_with(wanted) {
                return;
            }
            assert_eq!(told, "WATCHDOG=1", "while waiting for {wanted}");
        }
        panic!("{wanted} did not come");
    };
    let mut child = Command::new(PROGRAM)
        .args(["serve", "--listen", "127.0.0.1:0"])
        .env_clear()
        .envs([("NOTIFY_SOCKET", format!("@{name}")), ("WATCHDOG_USEC", "100000".into())])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("READY=1");
    until("WATCHDOG=1");
    signal(&child, "HUP");
    until("RELOADING=1\nMONOTONIC_USEC=");
    until("READY=1");
    signal(&child, "TERM");
    until("STOPPING=1");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// The units, where the program is this one.
fn installed() -> PathBuf {
    let folder = folder("units");
    for name in ["fanfare.service", "fanfare.socket"] {
        let unit = deployed(name).replace("/usr/local/bin/fanfare", PROGRAM);
        std::fs::write(folder.join(name), unit).unwrap();
    }
    folder
}

#[test]
#[ignore = "needs systemd-analyze"]
fn systemd_takes_the_units_and_finds_them_hardened() {
    let folder = installed();
    let analyze = || Command::new("systemd-analyze");
    let units = ["fanfare.service", "fanfare.socket"].map(|name| folder.join(name));
    let complaints = said(analyze().args(["verify", "--man=no"]).args(&units));
    assert_eq!(complaints, "");
    // The score is from 0 to 10, and a unit that says nothing has 9.6. The threshold is ten times it.
    let security = ["security", "--offline=true", "--no-pager", "--threshold=15"];
    let table = said(analyze().args(security).arg(&units[0]));
    println!("{}", table.lines().last().unwrap());
}

/// The system calls of a group of systemd's, and of the groups within it.
fn group(name: &str) -> BTreeSet<String> {
    let listed = said(Command::new("systemd-analyze").args(["syscall-filter", name]));
    let mut calls = BTreeSet::new();
    for line in listed.lines().skip(1).map(str::trim).filter(|line| !line.starts_with('#')) {
        match line.starts_with('@') {
            true => calls.extend(group(line)),
            false => drop(calls.insert(line.to_owned())),
        }
    }
    calls
}

#[test]
#[ignore = "needs systemd-analyze and strace"]
fn the_gateway_gets_by_with_the_system_calls_that_the_unit_allows() {
    let unit = deployed("fanfare.service");
    assert_eq!(settings(&unit, "SystemCallFilter"), ["@system-service", "~@privileged"]);
    let refused = group("@privileged");
    let mut allowed = group("@system-service");
    allowed.retain(|call| !refused.contains(call));
    let trace = folder("trace").join("trace");
    let mut child = Command::new("strace")
        .args(["-f", "-qq", "-o", trace.to_str().unwrap(), PROGRAM, "serve", "--listen"])
        .args(["127.0.0.1:0", "--log-format", "json"])
        .stderr(Stdio::piped())
        .spawn()
        .expect("strace is there");
    let log = child.stderr.take().unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(log));
    let line = lines.map_while(Result::ok).find(|line| line.contains("listening on")).unwrap();
    let address = line.split_once("http://").unwrap().1;
    let end = address.find(|c: char| c != '.' && c != ':' && !c.is_ascii_digit()).unwrap();
    for path in ["/metrics", "/sse", "/ws"] {
        let mut stream = TcpStream::connect(&address[..end]).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        assert!(stream.read(&mut [0; 64]).unwrap() > 0, "{path}");
    }
    // strace keeps signals for itself, and ends when the program does.
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    let program = std::fs::read_to_string(children).unwrap();
    said(Command::new("kill").args(["-TERM", program.trim()]));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let used: BTreeSet<String> = std::fs::read_to_string(&trace)
        .unwrap()
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1)?.split_once('(').map(|(name, _)| name))
        .map(str::to_owned)
        .collect();
    assert!(used.len() > 30, "{used:?}");
    let missing: Vec<_> = used.difference(&allowed).collect();
    assert!(missing.is_empty(), "the unit refuses {missing:?}");
}

/// What the image of the Dockerfile's last stage has, besides the program.
const LIBRARIES: [&str; 4] = ["libc.so.6", "libgcc_s.so.1", "libm.so.6", "ld-linux-x86-64.so.2"];

/// The libraries of the program: their paths.
fn libraries() -> Vec<PathBuf> {
    let listed = said(Command::new("ldd").arg(PROGRAM));
    let paths = listed.split_whitespace().filter(|word| word.starts_with('/'));
    paths.map(|path| PathBuf::from(path.trim_end_matches(':'))).collect()
}

#[test]
#[cfg(target_arch = "x86_64")]
fn the_program_needs_no_library_that_the_image_does_not_have() {
    for path in libraries() {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(LIBRARIES.contains(&name), "{name} is not in the image");
    }
}

#[test]
#[ignore = "needs unshare and chroot, or root"]
fn with_only_what_the_image_has_it_starts_and_is_healthy() {
    let root = folder("image");
    for path in libraries().iter().map(PathBuf::as_path) {
        let to = root.join(path.strip_prefix("/").unwrap());
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(path, to).unwrap();
    }
    std::fs::copy(PROGRAM, root.join("fanfare")).unwrap();
    let inside = |args: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "chroot", root.to_str().unwrap(), "/fanfare"]).args(args);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command
    };
    let dockerfile = deployed("Dockerfile");
    assert!(dockerfile.contains("ENV FANFARE_LISTEN=0.0.0.0:8000"));
    // As in the image without keys: refused, as others could reach it.
    let refused = inside(&["serve"]).env("FANFARE_LISTEN", "0.0.0.0:0").output().unwrap();
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    let keys = "canary-canary-canary-canary-canary";
    let mut child = inside(&["serve"])
        .env("FANFARE_LISTEN", "127.0.0.1:18643")
        .envs([("FANFARE_API_KEYS", keys), ("FANFARE_AUTH_SECRET", keys)])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    let mut is_healthy = false;
    while !is_healthy && began.elapsed() < PATIENCE {
        let asked = inside(&["check", "--url", "http://127.0.0.1:18643"]).output().unwrap();
        is_healthy = asked.status.success();
    }
    signal(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(is_healthy, "it did not get healthy");
}
