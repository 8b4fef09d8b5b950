//! What a panic leaves behind in a hub: its count, and nothing else.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};

use super::channel::Letter;
use super::lane::Item;
use super::letters::Question;
use super::session::Session;
use super::*;
use crate::base::ids::ChannelName;
use crate::base::message::Message;
use crate::base::panics::Culprit;

/// Our close with 1011, and no text to speak of.
const CLOSE_1011: [u8; 2] = 1011_u16.to_be_bytes();

fn name(text: &str) -> ChannelName {
    text.try_into().unwrap()
}

/// A session, and the other end of its socket.
struct Member {
    session: Arc<Session>,
    peer: TcpStream,
}

impl Member {
    async fn new(hub: &Hub, channel: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let session = hub.open(SessionOptions::default()).unwrap();
        hub.join(&session, &name(channel), None, None).unwrap();
        hub.attach(&session, stream.into());
        Self { session, peer }
    }

    /// The next frame: its first byte and its payload.
    async fn frame(&mut self) -> (u8, Vec<u8>) {
        let read = async {
            let mut head = [0; 2];
            self.peer.read_exact(&mut head).await.unwrap();
            let mut payload = vec![0; usize::from(head[1])];
            self.peer.read_exact(&mut payload).await.unwrap();
            (head[0], payload)
        };
        tokio::time::timeout(Duration::from_secs(10), read).await.expect("a frame")
    }

    async fn assert_gets(&mut self, text: &str) {
        assert_eq!(self.frame().await, (0x81, text.as_bytes().to_vec()));
    }

    async fn assert_closed(&mut self) {
        let (first, payload) = self.frame().await;
        assert_eq!((first, &payload[..2]), (0x88, &CLOSE_1011[..]));
    }
}

fn publish(hub: &Hub, channel: &str, text: &str) -> usize {
    hub.publish(&name(channel), Message::text(text)).unwrap().subscribers
}

/// Everything that is counted up and down.
async fn assert_empty(hub: &Hub) {
    let counters = hub.counters();
    let gauges = || {
        let Counters { sessions, channels, subscriptions, writers, .. } = counters;
        let pending = &counters.publication_bytes_pending;
        [sessions, channels, subscriptions, writers, pending].map(|gauge| gauge.get())
    };
    let until_empty = async {
        while gauges() != [0; 5] || hub.memory().used() != 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let is_empty = tokio::time::timeout(Duration::from_secs(10), until_empty).await.is_ok();
    assert!(is_empty, "{:?}, {} bytes", gauges(), hub.memory().used());
    assert_eq!((hub.session_count(), hub.channel_count()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_panics_disconnects_its_members_and_goes_on() {
    let hub = Hub::builder().lanes(2).build();
    let mut members = Vec::new();
    for _ in 0..3 {
        members.push(Member::new(&hub, "faulty").await);
    }
    let mut other = Member::new(&hub, "other").await;
    assert_eq!(publish(&hub, "faulty", "before"), 3);
    let channel = hub.inner.shared.directory.get("faulty").unwrap();
    let fault = Question(Box::new(|_, _| panic!("a fault in a channel")));
    channel.post(Letter::Ask(fault), &hub.inner.shared);
    drop(channel);
    for member in &mut members {
        member.assert_gets("before").await;
        member.assert_closed().await;
    }
    assert_eq!(hub.counters().panics.of(Culprit::Channel).get(), 1);
    // The mailbox is drained by whoever comes next.
    let mut newcomer = Member::new(&hub, "faulty").await;
    assert!(publish(&hub, "faulty", "after") >= 1);
    newcomer.assert_gets("after").await;
    publish(&hub, "other", "still here");
    other.assert_gets("still here").await;
    for member in members.iter().chain([&newcomer, &other]) {
        hub.end(&member.session);
    }
    assert_empty(&hub).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_that_panics_disconnects_its_sessions_and_goes_on() {
    let hub = Hub::builder().lanes(2).build();
    let mut members = Vec::new();
    for _ in 0..6 {
        members.push(Member::new(&hub, "all").await);
    }
    let inbox = &hub.inner.shared.lanes[0];
    // What stands before and behind it in the inbox is taken.
    assert_eq!(publish(&hub, "all", "before"), 6);
    for member in &mut members {
        member.assert_gets("before").await;
    }
    inbox.post(Item::Fault);
    for member in members.iter_mut().filter(|member| member.session.lane == 0) {
        member.assert_closed().await;
    }
    assert_eq!(hub.counters().panics.of(Culprit::Lane).get(), 1);
    let mut newcomers = [Member::new(&hub, "all").await, Member::new(&hub, "all").await];
    publish(&hub, "all", "after");
    for member in members.iter_mut().filter(|member| member.session.lane == 1) {
        member.assert_gets("after").await;
    }
    for member in &mut newcomers {
        member.assert_gets("after").await;
    }
    for member in members.iter().chain(&newcomers) {
        hub.end(&member.session);
    }
    assert_empty(&hub).await;
}
