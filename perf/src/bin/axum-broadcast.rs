//! A peer: axum with a `tokio::sync::broadcast` per channel and a task per client, as its examples
//! do it. `axum-broadcast PORT`.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::response::Response;
use axum::routing::get;
use dashmap::DashMap;
use tokio::sync::broadcast;

/// Messages that a slow client may be behind; it loses what is older.
const BEHIND_MAX: usize = 1_024;

type Channels = Arc<DashMap<String, broadcast::Sender<Message>>>;
type Params = Query<HashMap<String, String>>;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse::<u16>().ok()).unwrap_or(0);
    let app = Router::new()
        .route("/ws", get(subscribe))
        .route("/pub", get(publish))
        .with_state(Channels::default());
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, app).await
}

fn channel(channels: &Channels, params: &Params) -> broadcast::Sender<Message> {
    let name = params.get("channel").cloned().unwrap_or_default();
    channels.entry(name).or_insert_with(|| broadcast::channel(BEHIND_MAX).0).clone()
}

async fn subscribe(
    upgrade: WebSocketUpgrade,
    params: Params,
    State(channels): State<Channels>,
) -> Response {
    let messages = channel(&channels, &params).subscribe();
    upgrade.on_upgrade(|socket| serve(socket, messages))
}

async fn serve(mut socket: WebSocket, mut messages: broadcast::Receiver<Message>) {
    loop {
        tokio::select! {
            message = messages.recv() => match message {
                Ok(message) => if socket.send(message).await.is_err() { return },
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return,
            },
            heard = socket.recv() => if !matches!(heard, Some(Ok(_))) { return },
        }
    }
}

async fn publish(
    upgrade: WebSocketUpgrade,
    params: Params,
    State(channels): State<Channels>,
) -> Response {
    let messages = channel(&channels, &params);
    upgrade.on_upgrade(|mut socket| async move {
        while let Some(Ok(message)) = socket.recv().await {
            if matches!(message, Message::Text(_) | Message::Binary(_)) {
                let _ = messages.send(message);
            }
        }
    })
}
