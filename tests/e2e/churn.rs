//! Everything at once on one channel: sessions that come, leave, break off and publish.
//!
//! The short run is for every day; `.ci/run` runs the long one: a minute.

use std::time::{Duration, Instant};

use rand::RngExt as _;
use serde_json::{Value, json};

use crate::support::{Client, Gateway, HELD_FOR_PEERS};

const RULES: &str = "[hub]\nlanes = 2\n[[channels.rules]]\nmatch = 'busy'\n\
    history_publications_max = 200\nhistory_age_max_ms = 1000\npresence = true\njoin_leave = true\n";

fn below(limit: u32) -> u32 {
    rand::rng().random_range(0..limit)
}

/// One session's view of its membership: where it is, while it is in.
struct Member {
    client: Client,
    at: Option<u64>,
    next_id: u64,
    published: u64,
}

impl Member {
    async fn new(gateway: &Gateway) -> Self {
        let mut client = gateway.connect("/ws?format=json").await;
        assert_eq!(client.next_json().await["type"], "welcome");
        Self { client, at: None, next_id: 0, published: 0 }
    }

    /// Sends a command and reads until it is answered; what comes before it is looked at.
    async fn ask(&mut self, mut command: Value) -> Value {
        self.next_id += 1;
        command["id"] = json!(self.next_id);
        command["channel"] = json!("busy");
        self.client.send_json(command).await;
        loop {
            let message = self.client.next_json().await;
            if message["id"] == self.next_id {
                return message;
            }
            self.note(&message);
        }
    }

    /// Between `subscribed` and `unsubscribed` every offset comes, each once; outside of it none.
    fn note(&mut self, message: &Value) {
        match message["type"].as_str().unwrap() {
            "message" => {
                let at = self.at.unwrap_or_else(|| panic!("{message} while it is not in"));
                assert_eq!(message["offset"], at + 1, "after {at}");
                self.at = Some(at + 1);
            }
            "join" | "leave" => {}
            _ => panic!("{message}"),
        }
    }

    async fn step(&mut self) {
        match (below(4), self.at) {
            (0, None) => {
                let join_leave = below(2) == 0;
                let reply = self.ask(json!({"type": "subscribe", "join_leave": join_leave})).await;
                self.at = Some(reply["position"]["offset"].as_u64().expect("a position"));
            }
            (0, Some(_)) => {
                // What comes before the reply still belongs to the membership.
                let reply = self.ask(json!({"type": "unsubscribe"})).await;
                assert_eq!(reply["type"], "unsubscribed", "{reply}");
                self.at = None;
            }
            (1, Some(_)) => {
                let reply = self.ask(json!({"type": "presence"})).await;
                assert!(reply["sessions_count"].as_u64().unwrap() >= 1, "{reply}");
            }
            _ => {
                let reply = self.ask(json!({"type": "publish", "data": self.next_id})).await;
                assert_eq!(reply["type"], "published", "{reply}");
                self.published += 1;
            }
        }
    }
}

async fn churn(time: Duration) {
    let gateway = Gateway::configured(RULES).await;
    let end = Instant::now() + time;
    let workers = (0..24).map(|_| async {
        let mut published = 0;
        while Instant::now() < end {
            let mut member = Member::new(&gateway).await;
            for _ in 0..below(40) {
                member.step().await;
            }
            published += member.published;
            // Some close in order, most just go.
            if below(3) == 0 {
                member.client.close().await;
            }
        }
        published
    });
    let published: u64 = futures_util::future::join_all(workers).await.into_iter().sum();
    assert!(published > 100, "{published}");
    assert_eq!(gateway.metric("fanfare_publications_total").await, published as f64);
    // Afterwards everything is empty.
    for name in HELD_FOR_PEERS {
        gateway.until_metric(name, |value| value == 0.0).await;
    }
    assert_eq!(gateway.metric("fanfare_presence_events_dropped_total").await, 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coming_going_and_publishing_at_once_leaves_nothing_behind() {
    churn(Duration::from_secs(4)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute; .ci/run runs it"]
async fn the_same_for_a_minute() {
    churn(Duration::from_secs(60)).await;
}
