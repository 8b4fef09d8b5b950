//! testssl.sh looks at a listener: what it finds is on a list, with the reason.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::certificates::{Authority, Dir};
use crate::client::tls_addr;
use crate::support::Gateway;

/// It takes a bit over a minute.
const TIMEOUT: Duration = Duration::from_secs(400);

/// Findings that are as they should be.
const EXPECTED: &[(&str, &str)] = &[
    ("cert_chain_of_trust", "the authority is the test's own"),
    ("cert_revocation", "the test's authority has no list of what it took back"),
    ("cert_extlifeSpan", "the test's certificate lasts as long as the test may"),
    ("cert_validityPeriod", "the same"),
    ("DNS_CAArecord", "nobody says in the DNS of localhost who may sign for it"),
    ("HSTS", "whether a site is never to be reached without TLS is for its own server to say"),
    (
        "cipher_order",
        "the client's order counts: all suites there are have forward secrecy and authenticate, and a \
         phone knows best whether it has AES in hardware",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs testssl.sh, and over a minute; .ci/run installs it"]
async fn it_finds_nothing_that_is_not_on_the_list() {
    let (dir, authority) = (Dir::new(), Authority::new("the authority"));
    dir.install(&authority.pair());
    let gateway = Gateway::configured(&dir.listener("", "")).await;
    let addr = tls_addr(&gateway, 0).await;
    let report = dir.path("report.json");
    let mut child = Command::new("testssl")
        .args(["--quiet", "--warnings", "batch", "--color", "0", "--severity", "LOW"])
        .args([
            "--ip",
            "one",
            "--jsonfile",
            &report,
            &format!("https://localhost:{}/", addr.port()),
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("testssl is installed");
    tokio::time::timeout(TIMEOUT, child.wait()).await.expect("its end").unwrap();
    let report = std::fs::read_to_string(report).unwrap();
    let found: Vec<serde_json::Value> = serde_json::from_str(&report).expect(&report);
    let named = |name: &str| found.iter().any(|finding| finding["id"] == name);
    // It got through to where it looks at certificates.
    assert!(named("cert_chain_of_trust"), "{report}");
    let is_expected = |id: &str| EXPECTED.iter().any(|(name, _)| id.starts_with(name));
    // A warning is about itself: what it could not look at.
    let is_finding = |finding: &&serde_json::Value| {
        finding["severity"] != "WARN" && !is_expected(finding["id"].as_str().unwrap())
    };
    let other: Vec<_> = found.iter().filter(is_finding).collect();
    assert!(other.is_empty(), "{other:#?}");
    // Its hundreds of half handshakes have left nothing behind.
    gateway.until_metric("fanfare_http_connections", |now| now == 1.0).await;
}
