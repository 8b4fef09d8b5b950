//! Killed without a word, and there again.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::{Child, Command};

use crate::support::within;

/// From being started to `/ready`. A debug build takes 10 ms where there is nothing else to do.
const READY: Duration = Duration::from_secs(1);

fn start(config: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_fanfare"))
        .args(["serve", "--config"])
        .arg(config)
        .env_clear()
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn is_ready(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> bool {
    let request = b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut answer = String::new();
    stream.write_all(request).await.is_ok()
        && stream.read_to_string(&mut answer).await.is_ok()
        && answer.starts_with("HTTP/1.1 200 ")
}

async fn until_ready(addr: SocketAddr, socket: &Path) {
    let both = async || match (TcpStream::connect(addr).await, UnixStream::connect(socket).await) {
        (Ok(tcp), Ok(unix)) => is_ready(tcp).await && is_ready(unix).await,
        _ => false,
    };
    while !within("an answer", both()).await {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_under_load_it_is_ready_again_within_a_second() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("crash-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let (config, socket) = (dir.join("fanfare.toml"), dir.join("fanfare.sock"));
    let addr = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = format!(
        "[[listeners]]\naddress = \"{addr}\"\n[[listeners]]\naddress = \"unix:{}\"\n",
        socket.display()
    );
    std::fs::write(&config, text).unwrap();
    let mut child = start(&config);
    within("the start", until_ready(addr, &socket)).await;
    for _ in 0..3 {
        // Connections that the kernel has to end for the killed one: the port stays taken for a minute
        // (TIME_WAIT), and the path of the socket until somebody removes it.
        let mut clients = Vec::new();
        for _ in 0..50 {
            let stream = TcpStream::connect(addr).await.unwrap();
            let url = format!("ws://{addr}/ws?channel=a");
            clients.push(tokio_tungstenite::client_async(url, stream).await.unwrap().0);
        }
        child.start_kill().unwrap();
        assert_eq!(within("the end", child.wait()).await.unwrap().code(), None, "by a signal");
        assert!(socket.exists(), "nobody removed it");
        let began = Instant::now();
        child = start(&config);
        within("to be ready", until_ready(addr, &socket)).await;
        let took = began.elapsed();
        println!("ready after {took:?}");
        assert!(took < READY, "ready after {took:?}");
        drop(clients);
    }
    drop(child);
    std::fs::remove_dir_all(&dir).unwrap();
}
