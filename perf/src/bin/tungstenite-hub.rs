//! A peer: tokio-tungstenite with a map of clients per channel, a queue and a task per client.
//! `tungstenite-hub PORT`.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use dashmap::DashMap;
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

/// Messages that wait for one client; one that is further behind is let go.
const QUEUE_MAX: usize = 256;

type Clients = Arc<Mutex<HashMap<u64, mpsc::Sender<Message>>>>;
type Channels = Arc<DashMap<String, Clients>>;

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse::<u16>().ok()).unwrap_or(0);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let channels = Channels::default();
    loop {
        let (stream, _) = listener.accept().await?;
        let _ = stream.set_nodelay(true);
        tokio::spawn(serve(stream, channels.clone()));
    }
}

// The error's type is the library's.
#[allow(clippy::result_large_err)]
async fn serve(stream: TcpStream, channels: Channels) {
    let mut target = String::new();
    let mut joined = None;
    let (sender, queue) = mpsc::channel(QUEUE_MAX);
    let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
    let accepted = accept_hdr_async(stream, |request: &Request, response: Response| {
        target = request.uri().to_string();
        let name = target.split_once("channel=").map_or("", |(_, name)| name);
        let clients = channels.entry(name.to_owned()).or_default().clone();
        if !target.starts_with("/pub") {
            lock(&clients).insert(id, sender.clone());
        }
        joined = Some(clients);
        Ok(response)
    });
    let (Ok(socket), Some(clients)) = (accepted.await, joined) else { return };
    drop(sender);
    if target.starts_with("/pub") {
        publish(socket, &clients).await;
    } else {
        subscribe(socket, queue).await;
        lock(&clients).remove(&id);
    }
}

fn lock(clients: &Clients) -> std::sync::MutexGuard<'_, HashMap<u64, mpsc::Sender<Message>>> {
    clients.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn subscribe(socket: WebSocketStream<TcpStream>, mut queue: mpsc::Receiver<Message>) {
    let (mut sink, mut source) = socket.split();
    let writer = tokio::spawn(async move {
        while let Some(message) = queue.recv().await {
            if sink.send(message).await.is_err() {
                return;
            }
        }
        let _ = sink.close().await;
    });
    while let Some(Ok(_)) = source.next().await {}
    writer.abort();
}

async fn publish(mut socket: WebSocketStream<TcpStream>, clients: &Clients) {
    while let Some(Ok(message)) = socket.next().await {
        if message.is_text() || message.is_binary() {
            lock(clients).retain(|_, client| client.try_send(message.clone()).is_ok());
        }
    }
}
