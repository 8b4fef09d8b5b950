//! The metrics as others read them: Prometheus itself scrapes a gateway under load, and every expression of
//! the dashboard and of the alert rules is evaluated there.
//!
//! Ignored by default, because it needs Prometheus and its `promtool`:
//! `cargo test --test dashboards -- --ignored`.

#[path = "e2e/support.rs"]
#[allow(dead_code)]
mod support;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Gateway, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Until there are enough samples for a rate.
const PATIENCE: Duration = Duration::from_secs(60);

/// Killed with its value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A new empty folder.
fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

fn promtool(arguments: &[&str], input: &str) -> Output {
    use std::io::Write as _;
    let child = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.unwrap_or_else(|error| panic!("promtool: {error}; .ci/run installs it"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn assert_good(output: &Output) {
    let told = [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat();
    assert!(output.status.success(), "{told}");
}

/// A gateway with a certificate, a budget of memory, and something to deflate.
async fn gateway(folder: &Path) -> Gateway {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (folder.join("a.pem"), folder.join("a.key"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let text = format!(
        "[[listeners]]\naddress = '127.0.0.1:0'\n\
         tls = {{ certificate_file = '{}', key_file = '{}' }}\n",
        certificate.display(),
        key.display()
    );
    Gateway::configured(&text).await
}

fn load(gateway: &Gateway) -> Running {
    let url = format!("ws://{}/ws?channel=bench", gateway.addr);
    let child = Command::new(env!("CARGO_BIN_EXE_fanfare"))
        .args(["bench", "fanout", "--url", &url, "--subscribers", "50", "--rate", "30"])
        .args(["--message-bytes", "600", "--deflate", "--duration", "5m", "--quiet"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    Running(child.unwrap())
}

/// Prometheus, scraping the gateway each second, with the alert rules.
fn prometheus(folder: &Path, target: SocketAddr) -> (Running, SocketAddr) {
    let config = folder.join("prometheus.yml");
    let text = format!(
        "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
         rule_files: ['{}/deploy/alerts.yml']\n\
         scrape_configs:\n  - job_name: fanfare\n    static_configs: [{{ targets: ['{target}'] }}]\n",
        root().display()
    );
    std::fs::write(&config, text).unwrap();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let child = Command::new("prometheus")
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
        .arg(format!("--web.listen-address={address}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let child = child.unwrap_or_else(|error| panic!("prometheus: {error}; .ci/run installs it"));
    (Running(child), address)
}

/// What its API answers; `None` while it does not.
async fn ask(address: SocketAddr, path: &str) -> Option<Value> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    // An answer to HTTP/1.0 comes whole and ends with the connection.
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    within("an answer of Prometheus", stream.read_to_string(&mut answer)).await.ok()?;
    serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
}

/// Every `expr` in it, as Grafana would send it.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value.as_str().filter(|_| name == "expr") {
                    Some(text) => found.push(
                        text.replace("$job", ".*")
                            .replace("$instance", ".*")
                            .replace("$__rate_interval", "10s"),
                    ),
                    None => expressions(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
        _ => {}
    }
}

/// How many series an expression has now, or what is wrong.
async fn series(address: SocketAddr, expression: &str) -> Result<usize, String> {
    let query: String = form_urlencoded::byte_serialize(expression.as_bytes()).collect();
    let answer = ask(address, &format!("/api/v1/query?query={query}")).await;
    let answer = answer.ok_or("no answer")?;
    match answer["data"]["result"].as_array() {
        Some(result) if answer["status"] == "success" => Ok(result.len()),
        _ => Err(answer["error"].to_string()),
    }
}

#[tokio::test]
#[ignore = "needs Prometheus; .ci/run installs it"]
async fn prometheus_understands_the_metrics_and_every_expression_finds_some() {
    let folder = folder("dashboards");
    let gateway = gateway(&folder).await;
    let _load = load(&gateway);
    let (_prometheus, address) = prometheus(&folder, gateway.addr);
    let dashboard = std::fs::read_to_string(root().join("deploy/grafana-dashboard.json")).unwrap();
    let mut all = Vec::new();
    expressions(&serde_json::from_str(&dashboard).unwrap(), &mut all);
    assert!(all.len() > 40, "{}", all.len());
    assert!(all.iter().all(|expression| !expression.contains('$')), "{all:?}");

    let began = Instant::now();
    while !all.is_empty() {
        let mut empty = Vec::new();
        for expression in &all {
            match series(address, expression).await {
                Ok(found) if found > 0 => {}
                seen => empty.push((expression.clone(), seen)),
            }
        }
        assert!(began.elapsed() < PATIENCE, "nothing is found by: {empty:#?}");
        all = empty.into_iter().map(|(expression, _)| expression).collect();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }

    let rules = ask(address, "/api/v1/rules").await.expect("an answer");
    let rules = rules["data"]["groups"][0]["rules"].as_array().expect("rules").clone();
    assert!(rules.len() > 10);
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{}: {}", rule["name"], rule["lastError"]);
        assert_eq!(rule["state"], "inactive", "{}: nothing is wrong here", rule["name"]);
    }

    assert_good(&promtool(&["check", "metrics"], &gateway.get("/metrics").await.text()));
    let alerts = root().join("deploy/alerts.yml");
    assert_good(&promtool(&["check", "rules", alerts.to_str().unwrap()], ""));
}
