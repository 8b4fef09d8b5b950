//! Server-sent events over real sockets.

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::support::{Gateway, within};

const KEEP: &str = "[[channels.rules]]\nmatch = 'news*'\nhistory_publications_max = 10\n\
    [hub]\nping_interval_ms = 300\n";

/// What an `EventSource` would see.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Event {
    id: Option<String>,
    name: Option<String>,
    data: String,
    retry: Option<u64>,
    comments: usize,
}

impl Event {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

pub struct Events {
    lines: tokio::io::Lines<BufReader<TcpStream>>,
    head: Vec<String>,
}

impl Events {
    pub async fn open(gateway: &Gateway, path: &str, headers: &str) -> Self {
        let mut stream = TcpStream::connect(gateway.addr).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", gateway.addr);
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut lines = BufReader::new(stream).lines();
        let mut head = Vec::new();
        loop {
            let line = within("a head", lines.next_line()).await.unwrap().expect("a head");
            if line.is_empty() {
                break;
            }
            head.push(line);
        }
        Self { lines, head }
    }

    /// The next block of lines; `None` at the end of the stream.
    async fn block(&mut self) -> Option<Event> {
        let mut event = Event::default();
        loop {
            let line = within("an event", self.lines.next_line()).await.unwrap()?;
            match line.split_once(": ") {
                _ if line.is_empty() => return Some(event),
                _ if line.starts_with(':') => event.comments += 1,
                Some(("id", id)) => event.id = Some(id.to_owned()),
                Some(("event", name)) => event.name = Some(name.to_owned()),
                Some(("data", data)) => event.data.push_str(data),
                Some(("retry", ms)) => event.retry = Some(ms.parse().unwrap()),
                _ => panic!("not a line of an event stream: {line:?}"),
            }
        }
    }

    /// The next one with data.
    pub async fn next(&mut self) -> Event {
        loop {
            let event = self.block().await.expect("the stream goes on");
            if !event.data.is_empty() {
                return event;
            }
        }
    }

    /// A stream of this channel, past its welcome and its `subscribed`.
    async fn of(gateway: &Gateway, query: &str, headers: &str) -> (Self, Value) {
        let mut events = Self::open(gateway, &format!("/sse?{query}"), headers).await;
        assert_eq!(events.head[0], "HTTP/1.1 200 OK");
        assert_eq!(events.next().await.json()["type"], "welcome");
        let subscribed = events.next().await.json();
        assert_eq!(subscribed["type"], "subscribed");
        (events, subscribed)
    }
}

async fn publish(gateway: &Gateway, channel: &str, n: u64) {
    let body = json!({"channel": channel, "data": n}).to_string();
    assert_eq!(gateway.post("/api/publish", body.as_bytes()).await.status, 200);
}

#[tokio::test]
async fn a_listener_gets_events_with_their_positions_and_comes_back_where_it_was() {
    let gateway = Gateway::configured(KEEP).await;
    let mut events = Events::open(&gateway, "/sse?channel=news", "").await;
    for line in ["Content-Type: text/event-stream", "Cache-Control: no-store"] {
        assert!(events.head.iter().any(|found| found == line), "{:?}", events.head);
    }
    let retry = events.block().await.unwrap().retry.unwrap();
    assert!((1_000..5_000).contains(&retry));
    assert_eq!(events.next().await.json()["channels"], json!(["news"]));
    let epoch = events.next().await.json()["position"]["epoch"].as_str().unwrap().to_owned();

    publish(&gateway, "news", 1).await;
    let event = events.next().await;
    assert_eq!(event.id, Some(format!("{epoch}:1")));
    let expected = json!({"type": "message", "channel": "news", "offset": 1, "data": 1});
    assert_eq!(event.json(), expected);
    drop(events);
    gateway.until_metric("fanfare_sessions", |sessions| sessions == 0.0).await;

    for n in 2..=4 {
        publish(&gateway, "news", n).await;
    }
    let last = format!("Last-Event-ID: {epoch}:1\r\n");
    let (mut events, subscribed) = Events::of(&gateway, "channel=news", &last).await;
    assert_eq!(subscribed["recovered"], true);
    for n in 2..=4 {
        assert_eq!(events.next().await.json()["offset"], n);
    }

    // By the query, for several channels: each position belongs to one of them.
    publish(&gateway, "news2", 7).await;
    let query = format!("channel=news2&channel=news&recover={epoch}:3");
    let mut events = Events::open(&gateway, &format!("/sse?{query}"), "").await;
    let mut got = Vec::new();
    for _ in 0..4 {
        got.push(events.next().await.json());
    }
    let of = |channel: &str| {
        got.iter().find(|m| m["type"] == "subscribed" && m["channel"] == channel).unwrap()
    };
    assert_eq!(
        (&of("news")["recovered"], &of("news2")["recovered"]),
        (&json!(true), &json!(false))
    );
    assert!(got.iter().any(|message| message["offset"] == 4), "{got:?}");
    // What is no position of ours recovers nothing, and is no error.
    let other = Events::of(&gateway, "channel=news", "Last-Event-ID: 17\r\n").await;
    assert_eq!(other.1["recovered"], false);
}

#[tokio::test]
async fn an_idle_stream_has_a_heartbeat_and_no_http_left() {
    let gateway = Gateway::configured(KEEP).await;
    let (mut events, _) = Events::of(&gateway, "channel=news", "").await;
    assert_eq!(gateway.metric("fanfare_http_connections").await, 1.0, "that is the scrape itself");
    for _ in 0..2 {
        let beat = events.block().await.unwrap();
        assert_eq!((beat.comments, beat.data.as_str()), (1, ""));
    }
    publish(&gateway, "news", 1).await;
    assert_eq!(events.next().await.json()["data"], 1);
}

#[tokio::test]
async fn the_end_of_a_stream_says_why() {
    let mut gateway = Gateway::configured(KEEP).await;
    let mut kicked = Events::open(&gateway, "/sse?channel=news", "").await;
    let id = kicked.next().await.json()["session"].as_str().unwrap().to_owned();
    let body = json!({"user": "", "client": id}).to_string();
    let answer = gateway.post("/api/disconnect", body.as_bytes()).await;
    assert_eq!(answer.json().get("error"), None, "{}", answer.text());
    kicked.next().await;
    let last = kicked.next().await;
    assert_eq!(last.name.as_deref(), Some("disconnect"));
    assert_eq!((&last.json()["code"], &last.json()["reconnect"]), (&json!(4403), &json!(false)));
    assert_eq!(kicked.block().await, None);

    let (mut stays, _) = Events::of(&gateway, "channel=news", "").await;
    publish(&gateway, "news", 1).await;
    gateway.signal("TERM");
    assert_eq!(stays.next().await.json()["data"], 1);
    let last = stays.next().await.json();
    assert_eq!((&last["code"], &last["reconnect"]), (&json!(1001), &json!(true)));
    assert_eq!(stays.block().await, None);
    assert_eq!(gateway.exit_code().await, 0);
}

#[tokio::test]
async fn who_may_not_listen_is_told_so() {
    let keyed = "[auth]\nsecret = 'a secret of at least thirty-two bytes'\n\
        [api]\nkeys = ['an-api-key-of-16-bytes']\n[origins]\nallow = ['https://app.example']\n";
    let gateway = Gateway::configured(keyed).await;
    assert_eq!(gateway.get("/sse?channel=news").await.status, 401);
    let elsewhere = [("origin", "https://elsewhere.example")];
    assert_eq!(gateway.request("GET", "/sse?channel=news", &elsewhere, b"").await.status, 403);
    assert_eq!(gateway.post("/sse?channel=news", b"").await.status, 405);
    assert_eq!(gateway.metric("fanfare_sessions_opened_total").await, 0.0);

    let gateway = Gateway::configured("[origins]\nallow = ['https://app.example']\n").await;
    assert_eq!(gateway.get("/sse?channel=a%20b").await.status, 400);
    assert_eq!(gateway.get("/sse?channel=a&recover=1&recover=2&recover=3").await.status, 400);
    let from = "Origin: https://app.example\r\n";
    let mut events = Events::open(&gateway, "/sse?channel=a", from).await;
    for kind in ["welcome", "subscribed"] {
        assert_eq!(events.next().await.json()["type"], kind);
    }
    let allowed = "Access-Control-Allow-Origin: https://app.example";
    assert!(events.head.iter().any(|line| line == allowed), "{:?}", events.head);
}

#[tokio::test]
async fn listeners_and_sockets_share_one_order() {
    let gateway = Gateway::configured(KEEP).await;
    let mut listeners = Vec::new();
    for _ in 0..200 {
        listeners.push(Events::of(&gateway, "channel=news", "").await.0);
    }
    let mut socket = gateway.connect("/ws?channel=news").await;
    for n in 0..50 {
        publish(&gateway, "news", n).await;
    }
    for n in 0..50 {
        assert_eq!(socket.next_text().await, n.to_string());
    }
    for listener in &mut listeners {
        for n in 0..50 {
            assert_eq!(listener.next().await.json()["data"], n);
        }
    }
}
