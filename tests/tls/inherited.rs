//! A parent holds the socket, by systemd's protocol: nobody is refused while the gateway is restarted.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::certificates::Dir;
use crate::client::exchange;
use crate::support::within;

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
                // Accepted and then cut by the drain, a connection has no answer; never a refusal.
                assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 200 "), "{answer}");
                answers += u32::from(!answer.is_empty());
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
