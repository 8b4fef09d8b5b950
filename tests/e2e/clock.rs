//! A wall clock that jumps by an hour, either way, under a running gateway.
//!
//! Only tokens go by it, because theirs is a time of day. Everything that lasts goes by a clock that does
//! not jump.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::identity::{SECRET, now, token};
use crate::support::{Client, Gateway};

/// Debian's; it comes with the package faketime.
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

struct Jumping {
    gateway: Gateway,
    offset: PathBuf,
    published: u64,
}

impl Jumping {
    async fn start() -> Self {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let (config, offset) = (dir.join("clock.toml"), dir.join("clock.offset"));
        let text = "[[channels.rules]]\nmatch = 'news'\nhistory_publications_max = 100\n";
        std::fs::write(&config, text).unwrap();
        std::fs::write(&offset, "+0").unwrap();
        let variables = [
            ("FANFARE_AUTH_SECRET", SECRET),
            ("FANFARE_API_KEYS", "an-api-key-for-the-tests"),
            ("LD_PRELOAD", LIBRARY),
            ("FAKETIME_TIMESTAMP_FILE", offset.to_str().unwrap()),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ];
        let gateway = Gateway::start(&["--config", config.to_str().unwrap()], &variables).await;
        Self { gateway, offset, published: 0 }
    }

    fn jump(&self, seconds: i64) {
        // In one step: half of it would be another time.
        let new = self.offset.with_extension("new");
        std::fs::write(&new, format!("{seconds:+}")).unwrap();
        std::fs::rename(new, &self.offset).unwrap();
    }

    async fn connect(&self, claims: Value) -> Result<Client, u16> {
        let mut claims = claims;
        claims["subscribe"] = json!(["*"]);
        let path = format!("/ws?channel=news&token={}", token(claims));
        self.gateway.try_connect(&path, &[]).await.map_err(|refused| refused.status)
    }

    /// Publishes once, and each of them gets it.
    async fn publish_to(&mut self, clients: &mut [&mut Client]) {
        self.published += 1;
        let text = self.published.to_string();
        let headers = [("x-api-key", "an-api-key-for-the-tests")];
        let path = "/publish?channel=news";
        let answer = self.gateway.request("POST", path, &headers, text.as_bytes()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        for client in clients {
            assert_eq!(client.next_text().await, text);
        }
    }

    /// Everything that was published is kept, whatever the time of day.
    async fn assert_kept(&self, exp: u64) {
        let token = token(json!({"exp": exp, "subscribe": ["*"]}));
        let mut client = self.gateway.connect(&format!("/ws?format=json&token={token}")).await;
        client.next_json().await;
        client.send_json(json!({"type": "subscribe", "id": 1, "channel": "news"})).await;
        let mut position = client.next_json().await["position"].take();
        assert_eq!(position["offset"], self.published);
        client.send_json(json!({"type": "unsubscribe", "id": 2, "channel": "news"})).await;
        client.next_json().await;
        position["offset"] = json!(0);
        let command = json!({"type": "subscribe", "id": 3, "channel": "news", "recover": position});
        client.send_json(command).await;
        assert_eq!(client.next_json().await["recovered"], true);
        for number in 1..=self.published {
            assert_eq!(client.next_json().await["text"], number.to_string());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs libfaketime; .ci/run installs it"]
async fn a_jump_moves_tokens_and_nothing_else() {
    let mut it = Jumping::start().await;
    let began = now();
    let mut half_an_hour = it.connect(json!({"exp": began + 1_800})).await.unwrap();
    let mut two_hours = it.connect(json!({"exp": began + 7_200})).await.unwrap();
    it.publish_to(&mut [&mut half_an_hour, &mut two_hours]).await;

    it.jump(3_600);
    assert_eq!(half_an_hour.close_code().await.0, 4401);
    it.publish_to(&mut [&mut two_hours]).await;
    assert_eq!(it.connect(json!({"exp": began + 1_800})).await.err(), Some(401));
    assert!(it.connect(json!({"exp": began + 5_400})).await.is_ok());
    it.assert_kept(began + 7_200).await;

    it.jump(-3_600);
    // Over by any other clock, and not by this one.
    let mut late = it.connect(json!({"exp": began - 600})).await.unwrap();
    it.publish_to(&mut [&mut two_hours, &mut late]).await;
    assert_eq!(it.connect(json!({"exp": began + 600, "nbf": began})).await.err(), Some(401));
    it.assert_kept(began + 7_200).await;

    it.jump(0);
    assert_eq!(late.close_code().await.0, 4401);
    it.publish_to(&mut [&mut two_hours]).await;
    for reason in ["ping_timeout", "slow_consumer", "policy_violation"] {
        let ended = format!("fanfare_disconnects_total{{reason=\"{reason}\"}}");
        assert_eq!(it.gateway.metric(&ended).await, 0.0, "{reason}");
    }
}
