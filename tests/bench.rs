//! `fanfare bench` against a gateway: that it counts right. How fast it is, is not looked at here.

#[path = "tls/certificates.rs"]
#[allow(dead_code)]
mod certificates;
#[path = "tls/client.rs"]
#[allow(dead_code)]
mod client;
#[path = "e2e/support.rs"]
#[allow(dead_code)]
mod support;
#[path = "bench/tls.rs"]
mod tls;

use std::process::Stdio;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use support::{Gateway, within};
use tokio::process::Command;
use tokio_tungstenite::tungstenite::Message;

/// Runs it; its exit code, the JSON, and what it said on stderr.
async fn bench(args: &[&str]) -> (i32, Value, String) {
    let child = Command::new(env!("CARGO_BIN_EXE_fanfare"))
        .args(["bench"])
        .args(args)
        .args(["--json", "-", "--quiet"])
        .stdin(Stdio::null())
        .output();
    let output = within("the end of a run", child).await.expect("the program starts");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let json = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code().expect("not killed by a signal"), json, stderr)
}

/// Nothing was lost, and everything that was sent came to everybody.
fn assert_all_came(json: &Value, subscribers: u64) {
    let deliveries = &json["deliveries"];
    for what in ["lost", "doubled", "reordered", "disconnected"] {
        assert_eq!(deliveries[what], 0, "{what}: {json:#}");
    }
    let sent = json["messages"]["sent"].as_u64().unwrap();
    assert!(sent > 0, "{json:#}");
    assert_eq!(deliveries["received"], sent * subscribers, "{json:#}");
    assert_eq!(json["latency_us"]["count"], sent * subscribers);
    assert_eq!(json["messages"]["completed"], sent);
    assert_eq!((&json["ok"], &json["outcome"]), (&true.into(), &"complete".into()));
}

const SHORT: [&str; 8] =
    ["--subscribers", "50", "--duration", "1500ms", "--warmup", "200ms", "--settle", "100ms"];

#[tokio::test]
async fn fanout_counts_every_delivery() {
    let gateway = Gateway::open().await;
    let url = format!("ws://{}/ws?channel=bench", gateway.addr);
    let pid = gateway.pid().to_string();
    let own = ["fanout", "--url", &url, "--rate", "40", "--pid", &pid];
    let (code, json, stderr) = bench(&[&own[..], &SHORT].concat()).await;
    assert_eq!(code, 0, "{stderr}");
    assert_all_came(&json, 50);
    assert_eq!(json["messages"]["sent"], 60);
    assert_eq!(json["connect"]["connected"], 50);
    assert!(json["server"]["rss_connected_bytes"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn a_window_is_kept_full() {
    let gateway = Gateway::open().await;
    let url = format!("ws://{}/ws?channel={{channel}}", gateway.addr);
    let (code, json, stderr) =
        bench(&[&["burst", "--url", &url, "--window", "8"][..], &SHORT].concat()).await;
    assert_eq!(code, 0, "{stderr}");
    assert_all_came(&json, 50);
    assert_eq!(json["schedule"]["closed_loop"], true);
}

#[tokio::test]
async fn a_window_over_several_channels_is_one() {
    let gateway = Gateway::open().await;
    let url = format!("ws://{}/ws?channel={{channel}}", gateway.addr);
    let own = ["burst", "--url", &url, "--window", "8", "--channels", "10", "--per-session", "3"];
    let (code, json, stderr) = bench(&[&own[..], &SHORT].concat()).await;
    assert_eq!(code, 0, "{stderr}");
    let (received, sent) = (&json["deliveries"]["received"], &json["messages"]["sent"]);
    // 50 subscribers in 3 of 10 channels each: 15 in each on average, in fact a few more or less.
    let each = received.as_f64().unwrap() / sent.as_f64().unwrap();
    assert!((14.0..16.0).contains(&each), "{json:#}");
    assert_eq!((&json["messages"]["completed"], &json["deliveries"]["lost"]), (sent, &0.into()));
}

#[tokio::test]
async fn a_small_channel_beside_is_counted_apart() {
    let gateway = Gateway::open().await;
    let url = format!("ws://{}/ws?channel={{channel}}", gateway.addr);
    let own = ["beside", "--url", &url, "--small-subscribers", "3", "--small-rate", "40"];
    let (code, json, stderr) = bench(&[&own[..], &SHORT].concat()).await;
    assert_eq!(code, 0, "{stderr}");
    assert_all_came(&json, 50);
    assert!(json["pass_us"]["count"].as_u64().unwrap() > 0);
    assert_all_came(&json["beside"], 3);
    assert_eq!(json["beside"]["messages"]["sent"], 60);
}

#[tokio::test]
async fn compressed_messages_count_like_others() {
    let gateway = Gateway::open().await;
    let url = format!("ws://{}/ws?channel=bench", gateway.addr);
    let quotes = r#"{"id":"{message}","quotes":["alpha","alpha","alpha","alpha","alpha"]}"#;
    let own = ["fanout", "--url", &url, "--rate", "40", "--deflate", "--publish-body", quotes];
    let (code, json, stderr) = bench(&[&own[..], &SHORT].concat()).await;
    assert_eq!(code, 0, "{stderr}");
    assert_all_came(&json, 50);
    assert_eq!(json["connect"]["deflating"], 50);
}

#[tokio::test]
async fn many_channels_over_http_count_apart() {
    let gateway = Gateway::open().await;
    let url = format!("ws://{}/ws?format=json&channel={{channel}}", gateway.addr);
    let publish = format!("http://{}/publish?channel={{channel}}", gateway.addr);
    let own = ["channels", "--url", &url, "--publish", "http", "--publish-url", &publish];
    let more = ["--channels", "20", "--per-session", "4", "--rate", "100"];
    let (code, json, stderr) = bench(&[&own[..], &more, &SHORT].concat()).await;
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(json["messages"]["acknowledged"].as_u64().unwrap(), 20 + 150, "{json:#}");
    let deliveries = &json["deliveries"];
    // 50 subscribers in 4 of 20 channels each: a message goes to ten on average.
    assert!(deliveries["received"].as_u64().unwrap() > 1_000, "{json:#}");
    assert_eq!((&deliveries["lost"], &deliveries["doubled"]), (&0.into(), &0.into()));
    assert!(deliveries["unstamped"].as_u64().unwrap() == 0, "{json:#}");
}

#[tokio::test]
async fn everybody_comes_back_from_a_storm() {
    let gateway = Gateway::open().await;
    let url = format!("ws://{}/ws?channel=bench", gateway.addr);
    let (code, json, stderr) =
        bench(&[&["storm", "--url", &url, "--rate", "50"][..], &SHORT].concat()).await;
    assert_eq!(code, 0, "{stderr}");
    let storm = &json["storm"];
    assert_eq!((&storm["sessions"], &storm["reconnected"]), (&50.into(), &50.into()));
    assert!(storm["full_recovery_ms"].as_f64().unwrap() > 0.0, "{json:#}");
}

#[tokio::test]
async fn those_that_stay_connected_in_a_storm_are_told_apart() {
    let gateway = Gateway::open().await;
    let url = format!("ws://{}/ws?channel={{channel}}", gateway.addr);
    let (code, json, stderr) =
        bench(&[&["storm", "--url", &url, "--rate", "50"][..], &SHORT].concat()).await;
    assert_eq!(code, 0, "{stderr}");
    let count = |era: &str| json["storm"]["steady"][era]["count"].as_u64().unwrap();
    let counts = ["before_us", "during_us", "after_us"].map(count);
    assert!(counts[0] > 0 && counts[2] > 0, "{counts:?}");
    assert_eq!(counts.iter().sum::<u64>(), json["beside"]["deliveries"]["received"], "{counts:?}");
    assert_eq!(json["beside"]["deliveries"]["lost"], 0);
}

/// A server that turns everybody away twice before it lets them in.
#[tokio::test]
async fn who_is_told_to_come_later_does() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (publish, _) = tokio::sync::broadcast::channel::<Message>(1_000);
    tokio::spawn(async move {
        for number in 0_u32.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            // Subscribers and the publisher; then everybody again, of whom the first are refused.
            if (51..151).contains(&number) {
                tokio::spawn(async move {
                    let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 4_096]).await;
                    let answer = b"HTTP/1.1 503 X\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n";
                    tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await.unwrap();
                });
                continue;
            }
            let (publish, mut published) = (publish.clone(), publish.subscribe());
            tokio::spawn(async move {
                let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
                loop {
                    tokio::select! {
                        Some(Ok(message)) = socket.next() => drop(publish.send(message)),
                        Ok(message) = published.recv() => {
                            if socket.send(message).await.is_err() {
                                break;
                            }
                        }
                        else => break,
                    }
                }
            });
        }
    });
    let url = format!("ws://{addr}/");
    let own = ["storm", "--url", &url, "--rate", "50"];
    let (_, json, stderr) = bench(&[&own[..], &SHORT].concat()).await;
    let storm = &json["storm"];
    assert_eq!((&storm["reconnected"], &storm["put_off"]), (&50.into(), &100.into()), "{stderr}");
}

/// A server that passes on what it gets, and to its first peer loses one message, sends one twice and
/// one too late.
async fn faulty_server() -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (publish, _) = tokio::sync::broadcast::channel::<Message>(1_000);
    tokio::spawn(async move {
        for peer in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            let (publish, mut published) = (publish.clone(), publish.subscribe());
            let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
            tokio::spawn(async move {
                let mut count = 0;
                let mut held = None;
                loop {
                    tokio::select! {
                        Some(Ok(message)) = socket.next() => {
                            // Nobody listens to the last: then nobody misses it.
                            let _ = publish.send(message);
                        }
                        Ok(message) = published.recv() => {
                            count += 1;
                            let times = match (peer, count) {
                                (0, 20) => 0,
                                (0, 30) => 2,
                                (0, 40) => { held = Some(message); continue }
                                _ => 1,
                            };
                            for message in std::iter::repeat_n(message, times).chain(held.take()) {
                                socket.send(message).await.unwrap();
                            }
                        }
                        else => break,
                    }
                }
            });
        }
    });
    addr
}

#[tokio::test]
async fn what_a_server_does_wrong_is_counted() {
    let url = format!("ws://{}/", faulty_server().await);
    let own = ["fanout", "--url", &url, "--rate", "40", "--subscribers", "3", "--grace", "300ms"];
    let more = ["--duration", "1500ms", "--warmup", "100ms", "--settle", "100ms"];
    let (code, json, stderr) = bench(&[&own[..], &more].concat()).await;
    assert_eq!(code, 1, "{stderr}");
    let deliveries = &json["deliveries"];
    let counts = ["lost", "doubled", "reordered", "sessions_affected", "received", "expected"]
        .map(|name| deliveries[name].as_u64().unwrap());
    assert_eq!(counts, [1, 1, 1, 1, 179, 180], "{json:#}");
    assert_eq!(json["ok"], false);
}

#[tokio::test]
async fn a_signal_ends_the_measurement_and_shows_it() {
    let gateway = Gateway::open().await;
    let url = format!("ws://{}/ws?channel=bench", gateway.addr);
    for name in ["INT", "TERM"] {
        let child = Command::new(env!("CARGO_BIN_EXE_fanfare"))
            .args(["bench", "fanout", "--url", &url, "--subscribers", "5", "--rate", "50"])
            .args(["--duration", "10m", "--warmup", "100ms", "--settle", "100ms"])
            .args(["--json", "-", "--quiet"])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        // Long enough that something is measured.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let pid = child.id().unwrap().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status().await;
        assert!(sent.unwrap().success());
        let output = within("the end of a run", child.wait_with_output()).await.unwrap();
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(json["outcome"], "interrupted", "{name}");
        assert_eq!((&json["ok"], output.status.code()), (&true.into(), Some(0)), "{json:#}");
        assert!(json["deliveries"]["received"].as_u64().unwrap() > 0, "{json:#}");
    }
}

#[tokio::test]
async fn what_cannot_be_is_told() {
    let (code, json, stderr) = bench(&["fanout", "--url", "ws://127.0.0.1:1/"]).await;
    assert_eq!((code, json), (1, Value::Null));
    assert!(stderr.contains("no subscriber could connect"), "{stderr}");
    let secret = "canary-canary";
    let (code, _, stderr) =
        bench(&["fanout", "--url", "ws://127.0.0.1:1/", "--header", secret]).await;
    assert_eq!(code, 2);
    assert!(stderr.contains("--header") && !stderr.contains(secret), "{stderr}");
    let (code, _, stderr) = bench(&["idle", "--url", "http://127.0.0.1/"]).await;
    assert!(code == 2 && stderr.contains("wss://"), "{stderr}");
}
