//! No file descriptors are left.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::raw::Raw;
use crate::steady::Steady;
use crate::support::Gateway;

/// CPU time of the process so far.
fn cpu(gateway: &Gateway) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", gateway.pid())).unwrap();
    let nanos: u64 = tasks
        .map(|task| std::fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap())
        .map(|line| line.split(' ').next().unwrap().parse::<u64>().unwrap())
        .sum();
    Duration::from_nanos(nanos)
}

async fn cpu_share(gateway: &Gateway) -> f64 {
    let (before, began) = (cpu(gateway), Instant::now());
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    (cpu(gateway) - before).as_secs_f64() / began.elapsed().as_secs_f64()
}

fn limit(gateway: &Gateway, files: usize) {
    let files = format!("--nofile={files}:");
    let done = Command::new("prlimit").args(["--pid", &gateway.pid().to_string(), &files]).status();
    assert!(done.unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn some_are_kept_for_saying_that_there_are_no_more() {
    let gateway = Gateway::start_with_files(100, &[]).await;
    let steady = Steady::start(gateway.addr).await;
    let mut held = Vec::new();
    let refused = loop {
        assert!(held.len() < 100, "nobody is refused");
        let mut raw = Raw::upgrade_or_answer(gateway.addr).await;
        match raw.1.take() {
            None => held.push(raw.0),
            Some(answer) => break answer,
        }
    };
    assert!(held.len() > 40, "{} is little of a hundred", held.len());
    assert_eq!(refused.status, 503);
    refused.assert_retry_after();
    // A flood of others, none of which gets in or ends.
    let mut flood = Vec::new();
    for _ in 0..200 {
        flood.push(Raw::connect(gateway.addr).await);
    }
    let share = cpu_share(&gateway).await;
    assert!(share < 0.15, "{share} of a core, the healthy subscriber's messages included");
    assert!(gateway.descriptors() < 100);
    drop((held, flood));
    healthy_within_a_second(&gateway).await;
    assert!(gateway.metric("fanfare_connections_refused_total{reason=\"total\"}").await >= 1.0);
    steady.finish().await;
}

async fn healthy_within_a_second(gateway: &Gateway) {
    let began = Instant::now();
    loop {
        let mut raw = Raw::connect(gateway.addr).await;
        raw.try_send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        if raw.answer().await.status == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_none_at_all_it_waits_without_spinning_and_is_back_within_a_second() {
    let gateway = Gateway::open().await;
    let steady = Steady::start(gateway.addr).await;
    let before = cpu_share(&gateway).await;
    limit(&gateway, gateway.descriptors());
    let mut waiting = Vec::new();
    for _ in 0..20 {
        let mut raw = Raw::connect(gateway.addr).await;
        raw.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        waiting.push(raw);
    }
    let share = cpu_share(&gateway).await;
    assert!(share < before + 0.05, "{share} of a core, {before} before");
    limit(&gateway, 10_000);
    let released = Instant::now();
    for raw in &mut waiting {
        assert_eq!(raw.answer().await.status, 200);
    }
    drop(Raw::upgrade(gateway.addr, "/ws").await);
    assert!(released.elapsed() < Duration::from_secs(1), "{:?}", released.elapsed());
    assert!(gateway.metric("fanfare_accept_errors_total").await >= 5.0);
    assert!(gateway.log().matches("cannot accept").count() <= 4, "{}", gateway.log());
    steady.finish().await;
}
