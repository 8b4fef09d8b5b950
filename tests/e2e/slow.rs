//! Subscribers that stop reading, beside one that goes on.

use std::time::{Duration, Instant};

use tokio_tungstenite::tungstenite::Message;

use crate::support::{Client, Gateway};

const DROPPED: &str = "fanfare_dropped_total{reason=\"drop_newest\"}";
const MESSAGE_BYTES: usize = 32 << 10;

fn message(number: u32) -> Vec<u8> {
    let mut bytes = vec![0; MESSAGE_BYTES];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    bytes
}

fn number_of(message: &Message) -> u32 {
    let Message::Binary(bytes) = message else { panic!("{message:?}") };
    assert_eq!(bytes.len(), MESSAGE_BYTES);
    u32::from_be_bytes(bytes[..4].try_into().unwrap())
}

async fn publish(gateway: &Gateway, number: u32) {
    let headers = [("content-type", "application/octet-stream")];
    let answer = gateway.request("POST", "/publish?channel=big", &headers, &message(number)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Clients that never read, with a small receive buffer so that it shows soon.
async fn stalled(gateway: &Gateway, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut client = gateway.connect("/ws?channel=big").await;
        let socket = socket2::SockRef::from(&*client.socket());
        socket.set_recv_buffer_size(16 << 10).unwrap();
        clients.push(client);
    }
    clients
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_stops_reading_is_evicted_and_the_others_notice_nothing() {
    const STALLED: usize = 50;
    const MESSAGES: u32 = 800;
    let gateway = Gateway::start(&[], &[("FANFARE_HTTP_SEND_BUFFER_BYTES", "65536")]).await;
    let mut healthy = gateway.connect("/ws?channel=big").await;
    let clients = stalled(&gateway, STALLED).await;
    let before = gateway.resident_bytes();

    let reader = tokio::spawn(async move {
        for number in 0..MESSAGES {
            assert_eq!(number_of(&healthy.next().await), number);
        }
        healthy
    });
    let mut most = 0;
    for number in 0..MESSAGES {
        publish(&gateway, number).await;
        most = most.max(gateway.resident_bytes());
    }
    reader.await.unwrap().close().await;

    let evicted = "fanfare_disconnects_total{reason=\"slow_consumer\"}";
    gateway.until_metric("fanfare_sessions", |sessions| sessions == 0.0).await;
    assert_eq!(gateway.metric(evicted).await, STALLED as f64);
    // 25 MiB were published; each outbox may hold 256 KiB of it, the same bytes for all 50. Without
    // a bound this would be 25 MiB at least.
    let grown = most.saturating_sub(before);
    assert!(grown < 12 << 20, "grew by {} KiB", grown >> 10);
    drop(clients);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_is_told_why_it_goes() {
    let gateway = Gateway::start(&[], &[("FANFARE_HTTP_SEND_BUFFER_BYTES", "65536")]).await;
    let mut client = stalled(&gateway, 1).await.remove(0);
    let mut number = 0;
    // Ended but not yet gone: what waited for it is counted as discarded at that moment.
    while gateway.metric("fanfare_dropped_total{reason=\"session_ended\"}").await == 0.0 {
        publish(&gateway, number).await;
        number += 1;
        assert!(number < 500, "never evicted");
    }
    // It reads again, in time: whole messages, in order, without a gap, and then the reason.
    let (code, text) = client.close_code().await;
    assert_eq!((code, text.as_str()), (4408, "slow consumer"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drop_newest_keeps_the_session_and_counts_what_it_lost() {
    const MESSAGES: u32 = 100;
    let gateway = Gateway::start(
        &[],
        &[
            ("FANFARE_HTTP_SEND_BUFFER_BYTES", "65536"),
            ("FANFARE_HUB_SLOW_CONSUMER_POLICY", "drop_newest"),
            ("FANFARE_HUB_OUTBOX_AGE_MAX_MS", "60000"),
        ],
    )
    .await;
    let mut client = stalled(&gateway, 1).await.remove(0);
    for number in 0..MESSAGES {
        publish(&gateway, number).await;
    }
    gateway.until_metric(DROPPED, |dropped| dropped > 0.0).await;
    gateway.until_metric("fanfare_publication_bytes_pending", |bytes| bytes == 0.0).await;
    let dropped = gateway.metric(DROPPED).await as u32;
    // What it gets now is the beginning, without a gap: the newest were dropped.
    for number in 0..MESSAGES - dropped {
        assert_eq!(number_of(&client.next().await), number);
    }
    client.assert_silent().await;
    // And it is a healthy session again.
    publish(&gateway, 4_711).await;
    assert_eq!(number_of(&client.next().await), 4_711);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_too_long_ends_the_session_whatever_the_policy() {
    let gateway = Gateway::start(
        &[],
        &[
            ("FANFARE_HTTP_SEND_BUFFER_BYTES", "65536"),
            ("FANFARE_HUB_SLOW_CONSUMER_POLICY", "drop_newest"),
            ("FANFARE_HUB_OUTBOX_AGE_MAX_MS", "500"),
            ("FANFARE_HUB_CLOSE_TIMEOUT_MS", "500"),
        ],
    )
    .await;
    let clients = stalled(&gateway, 1).await;
    for number in 0..30 {
        publish(&gateway, number).await;
    }
    let began = Instant::now();
    gateway.until_metric("fanfare_sessions", |sessions| sessions == 0.0).await;
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    assert_eq!(gateway.metric("fanfare_disconnects_total{reason=\"slow_consumer\"}").await, 1.0);
    drop(clients);
}

/// A JSON session that stalls while `MESSAGES` are published beside a healthy one, and then reads on:
/// what it gets and what it is told it lost are all there was. Returns the numbers that it got, and
/// the reasons that it was told.
async fn stalls_and_reads_on(policy: &str) -> (Vec<u32>, Vec<String>) {
    const MESSAGES: u32 = 100;
    let gateway = Gateway::start(
        &[],
        &[
            ("FANFARE_HTTP_SEND_BUFFER_BYTES", "65536"),
            ("FANFARE_HUB_OUTBOX_BYTES_MAX", "131072"),
            ("FANFARE_HUB_SLOW_CONSUMER_POLICY", policy),
            ("FANFARE_HUB_OUTBOX_AGE_MAX_MS", "60000"),
        ],
    )
    .await;
    let mut healthy = gateway.connect("/ws?format=json&channel=big").await;
    let mut slow = gateway.connect("/ws?format=json&channel=big").await;
    socket2::SockRef::from(&*slow.socket()).set_recv_buffer_size(16 << 10).unwrap();
    for client in [&mut healthy, &mut slow] {
        assert_eq!(client.next_json().await["type"], "welcome");
    }
    for number in 0..MESSAGES {
        let text = format!("{number} {}", "x".repeat(8 << 10));
        let answer = gateway.post("/publish?channel=big", text.as_bytes()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(text_number(&healthy.next_json().await), number);
    }
    gateway.until_metric("fanfare_publication_bytes_pending", |bytes| bytes == 0.0).await;

    let (mut numbers, mut reasons, mut lost) = (Vec::new(), Vec::new(), 0);
    while numbers.len() as u64 + lost < u64::from(MESSAGES) {
        let message = slow.next_json().await;
        if message["type"] == "message" {
            numbers.push(text_number(&message));
            continue;
        }
        assert_eq!((&message["type"], &message["channel"]), (&"gap".into(), &"big".into()));
        let number = |name: &str| message[name].as_u64().unwrap();
        assert!(number("to") - number("from") + 1 >= number("lost"), "{message}");
        lost += number("lost");
        reasons.push(message["reason"].as_str().unwrap().to_owned());
    }
    slow.assert_silent().await;
    assert!(lost > 0 && numbers.is_sorted_by(|a, b| a < b), "{numbers:?}, {lost} lost");
    assert_eq!(gateway.metric("fanfare_dropped_total").await, lost as f64, "told and counted");
    let deliveries = gateway.metric("fanfare_deliveries_total").await;
    let newest = gateway.metric(DROPPED).await;
    assert_eq!(deliveries + newest, f64::from(2 * MESSAGES), "each is one or the other");
    // And it is a healthy session again.
    gateway.post("/publish?channel=big", b"4711 x").await;
    assert_eq!(text_number(&slow.next_json().await), 4_711);
    (numbers, reasons)
}

fn text_number(message: &serde_json::Value) -> u32 {
    let text = message["text"].as_str().unwrap_or_else(|| panic!("{message}"));
    text.split(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drop_newest_keeps_the_beginning_and_says_so() {
    let (numbers, reasons) = stalls_and_reads_on("drop_newest").await;
    assert_eq!(numbers, Vec::from_iter(0..numbers.len() as u32));
    assert_eq!(reasons, ["drop_newest"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drop_oldest_keeps_the_end_and_says_so() {
    let (numbers, reasons) = stalls_and_reads_on("drop_oldest").await;
    assert_eq!(numbers.last(), Some(&99));
    assert_eq!(reasons, ["drop_oldest"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn latest_keeps_the_last_and_says_so() {
    let (numbers, reasons) = stalls_and_reads_on("latest").await;
    assert_eq!(numbers.last(), Some(&99));
    assert_eq!(reasons, ["latest"]);
    // Nothing but what was in the socket and in the writer's hand came before it.
    assert!(numbers.len() < 50, "{numbers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conflate_without_keys_keeps_the_end_and_says_so() {
    let (numbers, reasons) = stalls_and_reads_on("conflate").await;
    assert_eq!(numbers.last(), Some(&99));
    assert_eq!(reasons, ["drop_oldest"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_reads_just_fast_enough_stays_and_the_others_do_not_feel_it() {
    const MESSAGES: u32 = 60;
    let gateway = Gateway::start(&[], &[("FANFARE_HTTP_SEND_BUFFER_BYTES", "65536")]).await;
    let mut healthy = gateway.connect("/ws?channel=big").await;
    let mut slow = stalled(&gateway, 1).await.remove(0);
    let (heard, mut hears) = tokio::sync::mpsc::channel(MESSAGES as usize);
    // It reads one whenever it is five behind, and so is always behind and never too far.
    let sipping = tokio::spawn(async move {
        for number in 0..MESSAGES {
            while hears.recv().await.is_some_and(|newest: u32| newest < number + 5) {}
            assert_eq!(number_of(&slow.next().await), number);
        }
        slow
    });
    let mut most = 0.0_f64;
    for number in 0..MESSAGES {
        publish(&gateway, number).await;
        // With the other behind all the time, this one has each message before the next is sent.
        assert_eq!(number_of(&healthy.next().await), number);
        heard.send(number).await.unwrap();
        most = most.max(gateway.metric("fanfare_memory_bytes").await);
    }
    drop(heard);
    let mut slow = sipping.await.unwrap();
    assert!(most > 0.0 && most < (512 << 10) as f64, "{most} bytes held at most");
    assert_eq!(gateway.metric("fanfare_disconnects_total{reason=\"slow_consumer\"}").await, 0.0);
    publish(&gateway, 4_711).await;
    assert_eq!(number_of(&slow.next().await), 4_711, "and it is a healthy session again");
}

/// What the kernel cannot send yet would be a copy for each who is behind, and out of reach of policies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_kernel_cannot_send_waits_in_the_outbox() {
    let behind = async |unsent_bytes_max| {
        let unsent = [("FANFARE_HTTP_UNSENT_BYTES_MAX", unsent_bytes_max)];
        let gateway = Gateway::start(&[], &unsent).await;
        let clients = stalled(&gateway, 1).await;
        // 192 KiB: more than a peer's window on loopback, and less than the buffer for sending.
        for number in 0..6 {
            publish(&gateway, number).await;
        }
        gateway.until_metric("fanfare_deliveries_total", |count| count == 6.0).await;
        drop(clients);
        gateway.metric("fanfare_writes_blocked_total").await
    };
    assert_eq!(behind("1048576").await, 0.0);
    assert_eq!(behind("1024").await, 1.0);
}
