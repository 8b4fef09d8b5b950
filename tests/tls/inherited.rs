//! A parent holds the socket, by systemd's protocol: nobody is refused while the gateway is restarted.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

use crate::certificates::Dir;
use crate::client::exchange;
use crate::support::{PATIENCE, within};

/// Starts the program with this socket as descriptor 3, named `web`.
fn spawn(listener: &TcpListener, config: &str, pid: &str) -> Child {
    // It shall outlive the exec; a shell then puts it where it is looked for.
    rustix::io::fcntl_setfd(listener, rustix::io::FdFlags::empty()).unwrap();
    let script = format!(
        "exec 3<&{} && LISTEN_FDS=1 LISTEN_FDNAMES=web LISTEN_PID={pid} exec \"$0\" serve --config \
         \"$1\"",
        listener.as_raw_fd()
    );
    Command::new("bash")
        .args(["-c", &script, env!("CARGO_BIN_EXE_fanfare"), config])
        .env_clear()
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("bash is there")
}

async fn health(addr: SocketAddr) -> String {
    let stream = within("a connection", TcpStream::connect(addr)).await.expect("nobody is refused");
    exchange(stream, "/health").await
}

fn terminate(child: &Child) {
    let pid = child.id().expect("it runs").to_string();
    let done = std::process::Command::new("kill").args(["-TERM", &pid]).status();
    assert!(done.unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_refuses_nobody() {
    for address in ["fd:web", "systemd"] {
        let dir = Dir::new();
        let text = format!("insecure = true\n[[listeners]]\naddress = \"{address}\"\n");
        let config = dir.write("fanfare.toml", &text);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let mut child = spawn(&listener, &config, "$$");
        assert!(health(addr).await.starts_with("HTTP/1.1 200 "));
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let asking = tokio::spawn(async move {
            let mut answers = 0;
            while !over.load(Ordering::Relaxed) {
                let answer = health(addr).await;
                // Whoever was let in is answered as well.
                assert!(answer.starts_with("HTTP/1.1 200 "), "after {answers}: {answer}");
                answers += 1;
            }
            answers
        });
        for _ in 0..3 {
            terminate(&child);
            let status = within("the exit", child.wait()).await.unwrap();
            assert_eq!(status.code(), Some(0));
            child = spawn(&listener, &config, "$$");
            assert!(health(addr).await.starts_with("HTTP/1.1 200 "));
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(within("the last answer", asking).await.unwrap() >= 3);
    }
}

/// As a careful parent does it: the next one is there before the last one goes, with sessions that are
/// sent over one by one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_move_to_the_next_one_and_no_connection_is_refused() {
    let dir = Dir::new();
    let text = "insecure = true\n[drain]\nwindow_ms = 1500\n[[listeners]]\naddress = \"fd:web\"\n";
    let config = dir.write("fanfare.toml", text);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let mut child = spawn(&listener, &config, "$$");
    let mut clients = JoinSet::new();
    for number in 0..40 {
        clients.spawn(async move {
            // Comes back at once, whenever it is sent away, until it is told to stop.
            let mut connections = 0;
            loop {
                let stream = TcpStream::connect(addr).await.expect("nobody is refused");
                let url = format!("ws://{addr}/ws?channel=a");
                let Ok((mut client, _)) = tokio_tungstenite::client_async(url, stream).await else {
                    // Let in at the last moment, it was asked to come again.
                    continue;
                };
                connections += 1;
                loop {
                    match within("a message", client.next()).await {
                        Some(Ok(Message::Text(text))) if text.as_str() == "stop" => {
                            return (number, connections);
                        }
                        Some(Ok(Message::Close(frame))) => {
                            assert_eq!(u16::from(frame.unwrap().code), 1001);
                        }
                        Some(Ok(_)) => {}
                        Some(Err(_)) | None => break,
                    }
                }
            }
        });
    }
    until_sessions(addr, 40).await;
    let next = spawn(&listener, &config, "$$");
    // Both accept now; the last one is sent away when the next one can take over.
    terminate(&child);
    assert_eq!(within("the exit", child.wait()).await.unwrap().code(), Some(0));
    child = next;
    until_sessions(addr, 40).await;
    let request = "POST /publish?channel=a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                   Content-Length: 4\r\n\r\nstop";
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    for (number, connections) in within("everybody's end", clients.join_all()).await {
        assert!((2..=3).contains(&connections), "{number}: {connections}");
    }
    drop(child);
}

async fn until_sessions(addr: SocketAddr, count: u32) {
    let began = Instant::now();
    let line = format!("\nfanfare_sessions {count}\n");
    loop {
        let stream = TcpStream::connect(addr).await.expect("nobody is refused");
        if exchange(stream, "/metrics").await.contains(&line) {
            return;
        }
        assert!(began.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_for_another_process_or_has_another_name_is_not_taken() {
    let dir = Dir::new();
    for (address, pid) in [("fd:web", "1"), ("systemd", ""), ("fd:other", "$$")] {
        let text = format!("insecure = true\n[[listeners]]\naddress = \"{address}\"\n");
        let config = dir.write("fanfare.toml", &text);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let child = spawn(&listener, &config, pid);
        let output = within("the exit", child.wait_with_output()).await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let wanted = format!("cannot listen on {address}: no such socket was handed over");
        assert!(!output.status.success() && said.contains(&wanted), "{said}");
    }
}
