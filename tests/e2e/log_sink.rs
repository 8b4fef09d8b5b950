//! What reads the log is gone, stuck, or on a full disk: nobody else notices.

use std::fs::File;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::support::{PATIENCE, within};

/// Logs each request, into a short queue.
async fn start(stderr: Stdio) -> (Child, SocketAddr) {
    // Free a moment ago: the log cannot be asked for it.
    let addr = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_fanfare"))
        .args(["serve", "--listen", &addr.to_string()])
        .args(["--set", "log.filter=debug", "--set", "log.queue_lines_max=16"])
        .env_clear()
        .stdin(Stdio::null())
        .stderr(stderr)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let began = Instant::now();
    while TcpStream::connect(addr).await.is_err() {
        assert!(began.elapsed() < PATIENCE, "nobody listens");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (child, addr)
}

async fn ask(addr: SocketAddr, head: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let length = body.len();
    let request = format!(
        "{head} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within("an answer", stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

/// Everything is delivered, the lines that were lost are counted, and the end is a clean one.
async fn assert_serves(mut child: Child, addr: SocketAddr, requests: usize, reason: &str) {
    let stream = TcpStream::connect(addr).await.unwrap();
    let url = format!("ws://{addr}/ws?channel=a");
    let (mut client, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
    for number in 0..requests {
        let answer = ask(addr, "POST /publish?channel=a", &number.to_string()).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let got = within("a delivery", client.next()).await.unwrap().unwrap();
        assert_eq!(got.into_text().unwrap(), number.to_string());
    }
    let began = Instant::now();
    let lost = format!("\nfanfare_log_lines_dropped_total{{reason=\"{reason}\"}} ");
    loop {
        let metrics = ask(addr, "GET /metrics", "").await;
        let (_, rest) = metrics.split_once(&lost).expect("the metric");
        if rest.lines().next() != Some("0") {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "no line was lost: {reason}");
    }
    let pid = child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    while let Some(Ok(_)) = within("the close", client.next()).await {}
    assert_eq!(within("the exit", child.wait()).await.unwrap().code(), Some(0), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_on_a_full_disk_harms_no_delivery() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let (child, addr) = start(full.into()).await;
    assert_serves(child, addr, 100, "write_failed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_whose_reader_is_gone_harms_no_delivery() {
    let (mut child, addr) = start(Stdio::piped()).await;
    drop(child.stderr.take());
    assert_serves(child, addr, 100, "write_failed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_nobody_reads_harms_no_delivery() {
    let (mut child, addr) = start(Stdio::piped()).await;
    let reader = child.stderr.take();
    // A pipe holds 64 KiB: some 600 of these lines.
    assert_serves(child, addr, 1_500, "queue_full").await;
    drop(reader);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_logged_last_is_there() {
    let (mut child, addr) = start(Stdio::piped()).await;
    let mut stderr = child.stderr.take().unwrap();
    let reading = tokio::spawn(async move {
        let mut text = String::new();
        stderr.read_to_string(&mut text).await.unwrap();
        text
    });
    ask(addr, "GET /health", "").await;
    let pid = child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(within("the exit", child.wait()).await.unwrap().code(), Some(0));
    let text = within("the log", reading).await.unwrap();
    assert!(text.lines().last().unwrap().contains("drain, phase 5 of 5: drained"), "{text}");
}
