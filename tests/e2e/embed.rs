//! The library inside somebody else's server: axum, and bare hyper.

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use fanfare::base::access::Grant;
use fanfare::base::disconnect::{Disconnect, Reason};
use fanfare::base::ids::{ChannelName, UserId};
use fanfare::base::message::Message;
use fanfare::connection::{Accept, upgrade};
use fanfare::hub::{DrainOptions, Hub, SubscribeError};
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite;

type Client = tokio_tungstenite::WebSocketStream<TcpStream>;

async fn connect(addr: std::net::SocketAddr, path: &str) -> Client {
    let stream = TcpStream::connect(addr).await.unwrap();
    tokio_tungstenite::client_async(format!("ws://{addr}{path}"), stream).await.unwrap().0
}

async fn next_text(client: &mut Client) -> String {
    crate::support::within("a message", client.next())
        .await
        .unwrap()
        .unwrap()
        .into_text()
        .unwrap()
        .to_string()
}

fn channel(name: &str) -> ChannelName {
    name.try_into().unwrap()
}

/// The user comes from the path: the caller's own authorisation.
async fn feed(State(hub): State<Hub>, request: Request) -> Response {
    let user = request.uri().path().trim_start_matches('/').to_owned();
    let Ok(user) = UserId::new(&user) else { return http::StatusCode::FORBIDDEN.into_response() };
    let grant = Grant { user: Some(user), ..Grant::anyone() };
    match upgrade(&hub, request, Accept::new(grant).channel(channel("news"))) {
        Ok(response) => response.into_response(),
        Err(refusal) => refusal.response().into_response(),
    }
}

#[tokio::test]
async fn an_axum_program_has_a_hub_in_a_few_lines() {
    let hub = Hub::builder().lanes(2).build();
    let app = Router::new().route("/{user}", get(feed)).with_state(hub.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });

    let mut ann = connect(addr, "/ann").await;
    let mut bob = connect(addr, "/bob").await;
    assert_eq!(hub.publish(&channel("news"), Message::text("both")).unwrap().subscribers, 2);
    assert_eq!(next_text(&mut ann).await, "both");
    assert_eq!(next_text(&mut bob).await, "both");
    ann.send(tungstenite::Message::text("hello")).await.unwrap();
    assert_eq!(next_text(&mut bob).await, "hello");
    assert_eq!(next_text(&mut ann).await, "hello");

    let user = UserId::new("ann").unwrap();
    assert_eq!(hub.publish_to_user(&user, Message::text("ann only")).unwrap(), 1);
    assert_eq!(next_text(&mut ann).await, "ann only");

    let session = hub.sessions_of_user(&user)[0];
    hub.subscribe(session, &channel("more")).unwrap();
    assert_eq!(hub.subscribe(session, &channel("more")), Err(SubscribeError::AlreadySubscribed));
    let sent = hub.broadcast(&[channel("more"), channel("empty")], &Message::text("more"));
    let counts: Vec<usize> = sent.into_iter().map(|sent| sent.unwrap().subscribers).collect();
    assert_eq!(counts, [1, 0]);
    assert_eq!(next_text(&mut ann).await, "more");
    assert!(hub.unsubscribe(session, &channel("more")));
    assert_eq!(hub.channel_count(), 1);

    assert!(hub.disconnect(session, Disconnect::new(Reason::Kicked)));
    let closed = crate::support::within("a close", ann.next()).await.unwrap().unwrap();
    let tungstenite::Message::Close(Some(frame)) = closed else { panic!("{closed:?}") };
    assert_eq!(u16::from(frame.code), 4403);

    let drain = tokio::spawn({
        let hub = hub.clone();
        async move { hub.drain(DrainOptions::default()).await }
    });
    while let Some(Ok(_)) = bob.next().await {}
    while let Some(Ok(_)) = ann.next().await {}
    let report = crate::support::within("the drain", drain).await.unwrap();
    assert_eq!((report.killed, report.undelivered_bytes), (0, 0));
    assert_eq!((hub.session_count(), hub.channel_count()), (0, 0));
}

#[tokio::test]
async fn a_stream_of_an_unknown_kind_works_too() {
    // hyper over an in-memory pipe: no socket to write to directly.
    let hub = Hub::builder().build();
    let (near, far) = tokio::io::duplex(1 << 10);
    let served = hub.clone();
    tokio::spawn(async move {
        let service = hyper::service::service_fn(move |request| {
            let accept = Accept::new(Grant::anyone()).channel(channel("a"));
            let answer = upgrade(&served, request, accept).expect("a good handshake");
            async move { Ok::<_, std::convert::Infallible>(answer) }
        });
        let io = hyper_util::rt::TokioIo::new(near);
        hyper::server::conn::http1::Builder::new()
            .serve_connection(io, service)
            .with_upgrades()
            .await
    });
    let (mut client, _) = tokio_tungstenite::client_async("ws://localhost/", far).await.unwrap();
    for number in 0..200 {
        let text = format!("{number} {}", "x".repeat(100));
        hub.publish(&channel("a"), Message::text(text)).unwrap();
    }
    for number in 0..200 {
        let next = crate::support::within("a message", client.next()).await.unwrap().unwrap();
        assert!(next.into_text().unwrap().starts_with(&format!("{number} ")));
    }
    client.close(None).await.unwrap();
    while let Some(Ok(_)) = client.next().await {}
    crate::support::within("the end of the session", async {
        while hub.session_count() > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
}
