//! The healthy subscriber: numbers come to it all the time, each once and in order.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::support::within;

/// The channel that it is in. Nobody else has anything to say there.
pub const CHANNEL: &str = "steady";

/// Sessions that it takes: the subscriber and the publisher.
pub const SESSIONS: usize = 2;

const EACH: Duration = Duration::from_millis(10);

/// It goes on until some have come after a short attack too.
const NUMBERS_MIN: u32 = 20;

/// The longest silence that is not noticed; the machine may have other things to do as well.
const GAP_MAX: Duration = Duration::from_secs(2);

type Socket = WebSocketStream<TcpStream>;

pub struct Steady {
    stop: oneshot::Sender<()>,
    publisher: JoinHandle<()>,
    subscriber: JoinHandle<Duration>,
}

async fn connect(addr: SocketAddr, path: &str) -> Socket {
    let stream = TcpStream::connect(addr).await.unwrap();
    let url = format!("ws://{addr}{path}");
    within("a handshake", tokio_tungstenite::client_async(url, stream)).await.unwrap().0
}

impl Steady {
    pub async fn start(addr: SocketAddr) -> Self {
        Self::start_with(addr, "").await
    }

    /// With something more in the query.
    pub async fn start_with(addr: SocketAddr, query: &str) -> Self {
        let path = format!("/ws?channel={CHANNEL}{query}");
        let subscriber = tokio::spawn(subscribe(connect(addr, &path).await));
        let socket = connect(addr, &format!("{path}&echo=false")).await;
        let (stop, stopped) = oneshot::channel();
        let publisher = tokio::spawn(publish(socket, stopped));
        Self { stop, publisher, subscriber }
    }

    /// Ends the stream, and fails if anything in it was missing, strange or late.
    pub async fn finish(self) {
        self.stop.send(()).expect("the publisher is still there");
        self.publisher.await.unwrap();
        let gap = within("the last number", self.subscriber).await.unwrap();
        assert!(gap < GAP_MAX, "the subscriber heard nothing for {gap:?}");
    }
}

async fn publish(mut socket: Socket, mut stopped: oneshot::Receiver<()>) {
    let mut clock = tokio::time::interval(EACH);
    let mut is_stopped = false;
    for number in 0_u32.. {
        // Reading answers the pings.
        loop {
            tokio::select! {
                _ = clock.tick() => break,
                next = socket.next() => assert!(matches!(next, Some(Ok(Message::Ping(_)))), "{next:?}"),
            }
        }
        is_stopped |= stopped.try_recv().is_ok();
        let is_last = is_stopped && number >= NUMBERS_MIN;
        let text = if is_last { format!("{number} end") } else { number.to_string() };
        socket.send(Message::text(text)).await.expect("the publisher is connected");
        if is_last {
            return;
        }
    }
}

async fn subscribe(mut socket: Socket) -> Duration {
    let (mut gap, mut latest) = (Duration::ZERO, Instant::now());
    let mut expected = 0;
    while let Some(next) = socket.next().await {
        let text = match next.expect("the subscriber is connected") {
            Message::Text(text) => text,
            Message::Ping(_) => continue,
            other => panic!("the subscriber got {other:?} after {expected}"),
        };
        gap = gap.max(latest.elapsed());
        latest = Instant::now();
        if text.as_str() == format!("{expected} end") {
            return gap;
        }
        assert_eq!(text.as_str(), expected.to_string(), "in order, once, and nothing else");
        expected += 1;
    }
    panic!("the subscriber was disconnected after {expected}");
}
