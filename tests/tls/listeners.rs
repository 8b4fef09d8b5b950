//! Several listeners at once.

use std::path::Path;

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_tungstenite::tungstenite::Message;

use crate::certificates::{Authority, Dir};
use crate::client::{Trust, addr_of, exchange, text, tls_addr};
use crate::support::{Gateway, within};

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or(answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_serves_what_it_is_to_and_all_have_one_hub() {
    let (dir, authority) = (Dir::new(), Authority::new("the authority"));
    dir.install(&authority.pair());
    let socket = dir.path("fanfare.sock");
    let text_of = [
        dir.listener("", "serves = [\"clients\"]"),
        "[[listeners]]\naddress = \"127.0.0.1:0\"\nserves = [\"api\", \"metrics\"]\n".into(),
        format!("[[listeners]]\naddress = \"unix:{socket}\"\n"),
    ]
    .concat();
    let mut gateway = Gateway::configured(&text_of).await;
    let public = tls_addr(&gateway, 0).await;
    let internal = addr_of(&gateway, "http://", 1).await;
    let trust = Trust::new(&authority.certificate);
    for (path, clients, api) in [
        ("/", "200", "404"),
        ("/ws", "400", "404"),
        ("/channel?name=a", "404", "200"),
        ("/publish", "404", "405"),
        ("/api/publish", "404", "405"),
        ("/metrics", "404", "200"),
        ("/openapi.json", "404", "200"),
        ("/health", "200", "200"),
    ] {
        assert_eq!(status(&trust.get(public, path).await), clients, "{path}");
        let stream = TcpStream::connect(internal).await.unwrap();
        assert_eq!(status(&exchange(stream, path).await), api, "{path}");
        let stream = UnixStream::connect(&socket).await.unwrap();
        assert_ne!(status(&exchange(stream, path).await), "404", "{path}");
    }
    let mut over_tls = trust.websocket(public, "/ws?channel=a").await;
    let stream = UnixStream::connect(&socket).await.unwrap();
    let handshake = tokio_tungstenite::client_async("ws://localhost/ws?channel=a", stream);
    let (mut over_unix, _) = within("a handshake", handshake).await.unwrap();
    over_unix.send(Message::text("from below")).await.unwrap();
    assert_eq!(text(&mut over_tls).await, "from below");
    let echoed = within("the echo", over_unix.next()).await.unwrap().unwrap();
    assert_eq!(echoed, Message::text("from below"));
    let sessions = gateway.get("/metrics").await.text();
    assert!(sessions.contains("fanfare_sessions 2\n"), "{sessions}");
    gateway.signal("TERM");
    let closed = within("a close", over_unix.next()).await.unwrap().unwrap();
    assert!(matches!(closed, Message::Close(Some(_))), "{closed:?}");
    drop((over_unix, over_tls));
    assert_eq!(gateway.exit_code().await, 0);
    assert!(!Path::new(&socket).exists(), "it takes its socket with it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unix_socket_of_one_that_was_killed_is_not_in_the_way() {
    let dir = Dir::new();
    let socket = dir.path("fanfare.sock");
    let text = format!("[[listeners]]\naddress = \"unix:{socket}\"\n");
    let first = Gateway::configured(&text).await;
    first.signal("KILL");
    let _ = tokio::time::timeout(std::time::Duration::from_secs(20), async {
        while std::os::unix::net::UnixStream::connect(&socket).is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
    assert!(Path::new(&socket).exists());
    let _second = Gateway::configured(&text).await;
    let stream = UnixStream::connect(&socket).await.unwrap();
    assert_eq!(status(&exchange(stream, "/health").await), "200");
}
