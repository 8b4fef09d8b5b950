//! The JavaScript client, in Node.js: as served by a gateway, against gateways that it starts, kills
//! and starts again.

use std::path::Path;
use std::time::Duration;

use tokio::process::Command;

use crate::peers::modules;

/// It waits for tokens of some seconds to expire, and for itself to connect again.
const PATIENCE: Duration = Duration::from_secs(180);

#[tokio::test]
#[ignore = "needs Node.js, and before its version 22 also npm and its registry"]
async fn the_client_recovers_what_it_can_and_says_what_it_cannot() {
    let rules = Path::new(env!("CARGO_TARGET_TMPDIR")).join("client.toml");
    std::fs::write(&rules, "[[channels.rules]]\nmatch = 'news*'\nhistory_publications_max = 100\n")
        .unwrap();
    let mut node = Command::new("node");
    node.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/client/test.mjs"))
        .args([Path::new(env!("CARGO_BIN_EXE_fanfare")), &rules])
        .env("NODE_PATH", modules().await)
        .kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, node.output()).await;
    let output = output.expect("it ends in time").expect("node starts");
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{complained}");
    assert!(said.contains("all 9 hold"), "{said}");
}
