//! Two thousand sockets, publishers of every kind at once, others that come and go.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Client, Gateway};

const RAW_MAIN: usize = 1_500;
const RAW_SIDE: usize = 200;
const JSON_BOTH: usize = 300;
const MESSAGES_EACH: usize = 50;
const CHURNERS: usize = 40;

/// What a subscriber saw on one channel: type and bytes.
type Seen = Vec<(Kind, Vec<u8>)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Text,
    Binary,
}

/// The last message of a channel: tells a subscriber that it has seen all.
const END: &[u8] = b"the end";

fn text_of(publisher: usize, number: usize) -> String {
    // Lengths on both sides of the one- and two-byte headers; characters that need escapes.
    format!("p{publisher} n{number} \"\\ü\u{1F3BA} {}", "x".repeat(number * 7 % 300))
}

fn bytes_of(publisher: usize, number: usize) -> Vec<u8> {
    let mut bytes = vec![publisher as u8, number as u8, 0, 255, 128];
    bytes.extend((0..number * 5).map(|at| (at * 31) as u8));
    bytes
}

async fn read_raw(mut client: Client) -> (Client, HashMap<String, Seen>) {
    let mut seen = Seen::new();
    loop {
        let (kind, bytes) = match client.next().await {
            Message::Text(text) => (Kind::Text, text.as_bytes().to_vec()),
            Message::Binary(bytes) => (Kind::Binary, bytes.to_vec()),
            other => panic!("{other:?}"),
        };
        if bytes == END {
            return (client, HashMap::from([(String::new(), seen)]));
        }
        seen.push((kind, bytes));
    }
}

async fn read_json(mut client: Client) -> (Client, HashMap<String, Seen>) {
    use base64::Engine as _;
    let mut seen: HashMap<String, Seen> = HashMap::new();
    let mut ended = 0;
    while ended < 2 {
        let envelope = client.next_json().await;
        if envelope["type"] != "message" {
            continue;
        }
        let channel = envelope["channel"].as_str().unwrap().to_owned();
        let item = match (&envelope["text"], &envelope["base64"], &envelope["data"]) {
            (serde_json::Value::String(text), _, _) => (Kind::Text, text.as_bytes().to_vec()),
            (_, serde_json::Value::String(text), _) => {
                let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
                (Kind::Binary, bytes)
            }
            (_, _, value) => (Kind::Text, value.to_string().into_bytes()),
        };
        if item.1 == END {
            ended += 1;
        } else {
            seen.entry(channel).or_default().push(item);
        }
    }
    (client, seen)
}

/// Connects, reads a little, goes away in one of several ways, until told to stop.
async fn churn(gateway: Arc<Gateway>, number: usize, stop: Arc<AtomicBool>) -> usize {
    let mut rounds = 0;
    while !stop.load(Ordering::Relaxed) {
        let path = ["/ws?channel=main", "/ws?channel=main&channel=side"][number % 2];
        let mut client = gateway.connect(path).await;
        tokio::time::sleep(std::time::Duration::from_millis(5 + number as u64 % 20)).await;
        rounds += 1;
        match (number + rounds) % 3 {
            0 => client.close().await,
            1 => drop(client),
            _ if number % 2 == 1 => {
                client.send_json(json!({"type": "unsubscribe", "channel": "main"})).await;
                client.send_json(json!({"type": "subscribe", "channel": "main"})).await;
                client.close().await;
            }
            _ => {
                // An abrupt end: a reset instead of an orderly close.
                let _ =
                    socket2::SockRef::from(&*client.socket()).set_linger(Some(Default::default()));
                drop(client);
            }
        }
    }
    rounds
}

/// Publishes `MESSAGES_EACH` messages; returns what subscribers of `main` are to see of them.
async fn publish(gateway: Arc<Gateway>, publisher: usize) -> Seen {
    let mut sent = Seen::new();
    let path = match publisher {
        0 | 1 => "/ws?channel=main",
        2 => "/ws?channel=main&channel=side",
        _ => "",
    };
    let mut client = match path {
        "" => None,
        path => Some(gateway.connect(path).await),
    };
    for number in 0..MESSAGES_EACH {
        let text = text_of(publisher, number);
        let bytes = bytes_of(publisher, number);
        match (publisher, client.as_mut()) {
            (0, Some(client)) => {
                client.send_text(&text).await;
                sent.push((Kind::Text, text.into_bytes()));
            }
            (1, Some(client)) => {
                client.send(Message::binary(bytes.clone())).await;
                sent.push((Kind::Binary, bytes));
            }
            (2, Some(client)) => {
                let command = json!({"type": "publish", "channel": "main", "text": text});
                client.send_json(command).await;
                sent.push((Kind::Text, text.into_bytes()));
            }
            (3, _) => {
                let value = json!({"p": publisher, "n": number, "t": text});
                let body = json!({"channel": "main", "data": value}).to_string();
                let answer = gateway.post("/api/publish", body.as_bytes()).await;
                assert_eq!(answer.status, 200, "{}", answer.text());
                sent.push((Kind::Text, value.to_string().into_bytes()));
            }
            _ => {
                let answer = gateway.post("/publish?channel=main", text.as_bytes()).await;
                assert_eq!(answer.status, 200, "{}", answer.text());
                sent.push((Kind::Text, text.into_bytes()));
            }
        }
        if number % 8 == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }
    // Whatever it was sent back has to be read, or its end is not an orderly one.
    if let Some(client) = client {
        client.close().await;
    }
    sent
}

async fn connect_many(gateway: &Arc<Gateway>, count: usize, path: &'static str) -> Vec<Client> {
    let mut tasks = JoinSet::new();
    let mut clients = Vec::new();
    for _ in 0..count {
        let gateway = gateway.clone();
        tasks.spawn(async move { gateway.connect(path).await });
        if tasks.len() >= 64 {
            clients.push(tasks.join_next().await.unwrap().unwrap());
        }
    }
    while let Some(client) = tasks.join_next().await {
        clients.push(client.unwrap());
    }
    clients
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_once_in_one_order_while_others_come_and_go() {
    crate::support::raise_descriptor_limit();
    let gateway = Arc::new(Gateway::open().await);
    let tasks_before = gateway.metric("fanfare_tasks").await;
    let descriptors_before = gateway.descriptors();

    let mut readers = JoinSet::new();
    for client in connect_many(&gateway, RAW_MAIN, "/ws?channel=main").await {
        readers.spawn(read_raw(client));
    }
    for client in connect_many(&gateway, RAW_SIDE, "/ws?channel=side").await {
        readers.spawn(read_raw(client));
    }
    for client in connect_many(&gateway, JSON_BOTH, "/ws?channel=main&channel=side").await {
        readers.spawn(read_json(client));
    }
    assert_eq!(gateway.metric("fanfare_sessions").await, 2_000.0);

    let stop = Arc::new(AtomicBool::new(false));
    let mut churners = JoinSet::new();
    for number in 0..CHURNERS {
        churners.spawn(churn(gateway.clone(), number, stop.clone()));
    }
    let mut publishers = JoinSet::new();
    for publisher in 0..5 {
        publishers.spawn(publish(gateway.clone(), publisher));
    }
    let side = {
        let gateway = gateway.clone();
        tokio::spawn(async move {
            let mut sent = Seen::new();
            for number in 0..MESSAGES_EACH {
                let text = text_of(9, number);
                gateway.post("/publish?channel=side", text.as_bytes()).await;
                sent.push((Kind::Text, text.into_bytes()));
            }
            sent
        })
    };

    let mut sent_main: Vec<Seen> = Vec::new();
    while let Some(sent) = publishers.join_next().await {
        sent_main.push(sent.unwrap());
    }
    let sent_side = side.await.unwrap();
    stop.store(true, Ordering::Relaxed);
    let mut rounds = 0;
    while let Some(count) = churners.join_next().await {
        rounds += count.unwrap();
    }
    assert!(rounds > CHURNERS, "nobody came and went");
    for channel in ["main", "side"] {
        let answer = gateway.post(&format!("/publish?channel={channel}"), END).await;
        assert_eq!(answer.status, 200);
    }

    check(&mut readers, &sent_main, &sent_side).await;
    assert_empty(&gateway, tasks_before, descriptors_before).await;
}

async fn check(
    readers: &mut JoinSet<(Client, HashMap<String, Seen>)>,
    sent_main: &[Seen],
    sent_side: &Seen,
) {
    let mut order_of_main: Option<Seen> = None;
    let mut clients = Vec::new();
    while let Some(reader) = readers.join_next().await {
        let (client, channels) = reader.unwrap();
        clients.push(client);
        for (channel, seen) in channels {
            let is_side =
                channel == "side" || (channel.is_empty() && seen.len() == sent_side.len());
            if is_side {
                assert_eq!(&seen, sent_side, "the side channel has one publisher");
                continue;
            }
            match &order_of_main {
                Some(order) => assert!(&seen == order, "two subscribers saw two orders"),
                None => {
                    assert_is_all(&seen, sent_main);
                    order_of_main = Some(seen);
                }
            }
        }
    }
    assert_eq!(clients.len(), 2_000);
    for client in clients {
        client.close().await;
    }
}

/// Every message once, each publisher's own order kept.
fn assert_is_all(seen: &Seen, sent: &[Seen]) {
    assert_eq!(seen.len(), 5 * MESSAGES_EACH);
    assert_eq!(seen.iter().collect::<HashSet<_>>().len(), seen.len(), "doubled");
    for publisher in sent {
        let own: HashSet<_> = publisher.iter().collect();
        let in_order: Vec<_> = seen.iter().filter(|item| own.contains(item)).collect();
        assert_eq!(in_order, publisher.iter().collect::<Vec<_>>());
    }
}

async fn assert_empty(gateway: &Gateway, tasks_before: f64, descriptors_before: usize) {
    for gauge in ["sessions", "channels", "subscriptions", "writers", "publication_bytes_pending"] {
        gateway.until_metric(&format!("fanfare_{gauge}"), |value| value == 0.0).await;
    }
    gateway.until_metric("fanfare_tasks", |value| value <= tasks_before).await;
    let began = std::time::Instant::now();
    while gateway.descriptors() > descriptors_before {
        assert!(began.elapsed() < crate::support::PATIENCE, "descriptors are left open");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(gateway.metric("fanfare_dropped_total").await, 0.0);
}

#[tokio::test]
async fn a_sender_gets_its_own_message_unless_it_says_otherwise() {
    let gateway = Gateway::open().await;
    let mut with = gateway.connect("/ws").await;
    let mut without = gateway.connect("/ws?echo=false").await;
    without.send_text("from without").await;
    assert_eq!(with.next_text().await, "from without");
    with.send_text("from with").await;
    assert_eq!(with.next_text().await, "from with");
    assert_eq!(without.next_text().await, "from with");
    without.assert_silent().await;
}

#[tokio::test]
async fn a_client_that_sees_the_answer_is_subscribed() {
    let gateway = Gateway::open().await;
    for number in 0..50 {
        let mut client = gateway.connect(&format!("/ws?channel=c{number}")).await;
        let answer = gateway.post(&format!("/publish?channel=c{number}"), b"at once").await;
        assert_eq!(answer.json(), json!({"subscribers": 1}));
        assert_eq!(client.next_text().await, "at once");
    }
}
