//! Recovery under fire: sessions that are torn off at random moments while publishers run.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use rand::RngExt as _;
use serde_json::{Value, json};

use crate::support::{Client, Gateway};

const CLIENTS: usize = 25;
const DISCONNECTS: usize = 40;
const PUBLISHERS: u64 = 4;

/// What the channel keeps: so little that whoever stays away for long finds a gap.
const KEPT: u64 = 300;

/// What a client has seen of the channel.
#[derive(Default)]
struct Seen {
    epoch: String,
    offset: u64,
    recovered: u64,
    unrecovered: u64,
    messages: u64,
}

impl Seen {
    /// Subscribes with what was seen before, and holds the answer against it.
    async fn subscribe(&mut self, client: &mut Client) {
        let mut command = json!({"type": "subscribe", "id": 1, "channel": "news"});
        if !self.epoch.is_empty() {
            command["recover"] = json!({"epoch": self.epoch, "offset": self.offset});
        }
        client.send_json(command).await;
        let reply = client.next_json().await;
        assert_eq!(reply["type"], "subscribed", "{reply}");
        let top = reply["position"]["offset"].as_u64().unwrap();
        match reply["recovered"].as_bool() {
            None => self.offset = top,
            Some(true) => self.recovered += 1,
            Some(false) => {
                // Only the window explains it.
                assert!(top - self.offset > KEPT, "{} to {top} was kept", self.offset);
                self.unrecovered += 1;
                self.offset = top;
            }
        }
        self.epoch = reply["position"]["epoch"].as_str().unwrap().to_owned();
    }

    /// Each message is the next one.
    fn message(&mut self, message: &Value) {
        assert_eq!(message["type"], "message", "{message}");
        assert_eq!(message["offset"], self.offset + 1, "after {}", self.offset);
        self.offset += 1;
        self.messages += 1;
    }
}

async fn connect(gateway: &Gateway) -> Client {
    let mut client = gateway.connect("/ws?format=json&channel=other").await;
    assert_eq!(client.next_json().await["type"], "welcome");
    client
}

async fn come_and_go(gateway: &Gateway, end: &AtomicU64) -> Seen {
    let mut seen = Seen::default();
    for _ in 0..DISCONNECTS {
        let mut client = connect(gateway).await;
        seen.subscribe(&mut client).await;
        let (messages, away_ms) = {
            let mut random = rand::rng();
            let is_long = random.random_ratio(1, 20);
            (random.random_range(0..40), random.random_range(0..if is_long { 2_000 } else { 60 }))
        };
        for _ in 0..messages {
            seen.message(&client.next_json().await);
        }
        // Torn off: no close frame, whatever is on the way is lost.
        drop(client);
        tokio::time::sleep(Duration::from_millis(away_ms)).await;
    }
    let mut client = connect(gateway).await;
    seen.subscribe(&mut client).await;
    while end.load(Ordering::Relaxed) == 0 {
        seen.message(&client.next_json().await);
    }
    while seen.offset < end.load(Ordering::Relaxed) {
        seen.message(&client.next_json().await);
    }
    client.assert_silent().await;
    seen
}

/// Publishes over a session of its own until told to stop; every publication is acknowledged.
async fn publish(gateway: &Gateway, is_over: &AtomicBool) -> u64 {
    let mut client = connect(gateway).await;
    let mut published = 0;
    while !is_over.load(Ordering::Relaxed) {
        client
            .send_json(json!({"type": "publish", "id": 1, "channel": "news", "data": published}))
            .await;
        assert_eq!(client.next_json().await["type"], "published");
        published += 1;
        tokio::time::sleep(Duration::from_millis(8)).await;
    }
    published
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_sessions_torn_off_recover_everything_or_are_told_that_they_did_not() {
    let rules = format!(
        "[[channels.rules]]\nmatch = 'news'\nhistory_publications_max = {KEPT}\n[hub]\nlanes = 2\n"
    );
    let gateway = Gateway::configured(&rules).await;
    let (is_over, end) = (AtomicBool::new(false), AtomicU64::new(0));
    let clients = join_all((0..CLIENTS).map(|_| come_and_go(&gateway, &end)));
    let publishers = join_all((0..PUBLISHERS).map(|_| publish(&gateway, &is_over)));
    let stop = async {
        let all = CLIENTS * (DISCONNECTS + 1) + PUBLISHERS as usize;
        gateway.until_metric("fanfare_sessions_opened_total", |opened| opened >= all as f64).await;
        is_over.store(true, Ordering::Relaxed);
    };
    let finish = async {
        let (published, ()) = tokio::join!(publishers, stop);
        let total = published.iter().sum::<u64>() + 1;
        // The last one comes when everybody is to stay for it, and ends the wait for it.
        end.store(total, Ordering::Relaxed);
        gateway.post("/publish?channel=news", b"the end").await;
        total
    };
    let (seen, total) = tokio::join!(clients, finish);

    let recovered: u64 = seen.iter().map(|seen| seen.recovered).sum();
    let unrecovered: u64 = seen.iter().map(|seen| seen.unrecovered).sum();
    assert_eq!(recovered + unrecovered, (CLIENTS * DISCONNECTS) as u64);
    assert!(recovered > 500, "{recovered}");
    assert!(seen.iter().all(|seen| seen.offset == total && seen.messages > 0));
    let text = gateway.get("/metrics").await.text();
    for (value, count) in [("true", recovered), ("false", unrecovered)] {
        let line = format!("fanfare_recoveries_total{{recovered=\"{value}\"}} {count}\n");
        assert!(text.contains(&line), "{line} in\n{text}");
    }
}
