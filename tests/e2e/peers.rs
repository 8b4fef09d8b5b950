//! permessage-deflate as others implement it.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::support::{Gateway, within};

/// The version that the test was written with.
const WS: &str = "ws@8.23.0";

/// Where Node.js finds `ws`: in `target/npm`, installed if it is not there yet.
pub async fn modules() -> PathBuf {
    let prefix = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/npm");
    let modules = prefix.join("node_modules");
    if !modules.join("ws").exists() {
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"])
            .arg(prefix)
            .arg(WS);
        let status = npm.status().await.expect("npm starts");
        assert!(status.success(), "npm install {WS}: {status}");
    }
    modules
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Node.js, npm and its registry"]
async fn ws_of_node_gets_back_all_that_it_deflates() {
    let modules = modules().await;
    let gateway =
        Gateway::start(&[], &[("FANFARE_DEFLATE_MIN_BYTES", "0"), ("RUST_BACKTRACE", "1")]).await;
    let mut node = Command::new("node");
    node.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/peers/ws.cjs"))
        .arg(gateway.addr.to_string())
        .env("NODE_PATH", modules)
        .kill_on_drop(true);
    let output = within("the client", node.output()).await.expect("node starts");
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{complained}\n{}", gateway.log());
    assert!(said.contains("messages came back"), "{said}");
    assert!(gateway.metric("fanfare_deflate_messages_total").await > 100.0);
    assert!(gateway.metric("fanfare_inflate_messages_total").await > 100.0);
}
