//! One user, one session, one channel with too much of what there is for all.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::default_of;
use crate::raw::{PING, PONG, Raw, TEXT, frame, handshake};
use crate::steady::Steady;
use crate::support::{Gateway, within};

const SECRET: &str = "a secret of the shares, thirty-two bytes or more";

fn token(user: &str) -> String {
    let exp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 600;
    let claims = json!({"sub": user, "exp": exp, "subscribe": ["*"], "publish": ["*"]});
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
}

fn refusals(key: &str) -> String {
    format!("fanfare_limit_refusals_total{{limit=\"{key}\"}}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_more_session_of_a_user_is_refused_and_no_other_user_is() {
    const MOST: usize = 3;
    assert_eq!(default_of("hub", "sessions_per_user_max"), "1024");
    let variables = [("FANFARE_AUTH_SECRET", SECRET), ("FANFARE_HUB_SESSIONS_PER_USER_MAX", "3")];
    let gateway = Gateway::start(&[], &variables).await;
    let steady = Steady::start_with(gateway.addr, &format!("&token={}", token("steady"))).await;
    let ann = format!("channel=a&token={}", token("ann"));
    // All at once: the bound is exact.
    let attempts = (0..40).map(|_| async {
        let mut raw = Raw::connect(gateway.addr).await;
        raw.send(format!("{}\r\n", handshake(&format!("/ws?{ann}"))).as_bytes()).await;
        let answer = raw.answer().await;
        (raw, answer)
    });
    let mut held = Vec::new();
    for (raw, answer) in futures_util::future::join_all(attempts).await {
        match answer.status {
            101 => held.push(raw),
            status => {
                assert_eq!(status, 429, "{answer:?}");
                assert!(answer.body.contains("3 sessions, which is the limit"), "{answer:?}");
                answer.assert_retry_after();
            }
        }
    }
    assert_eq!(held.len(), MOST);
    let events = gateway.get(&format!("/sse?{ann}")).await;
    assert_eq!(events.status, 429, "{}", events.text());
    assert_eq!(gateway.metric(&refusals("hub.sessions_per_user_max")).await, 38.0);
    let reason = "fanfare_upgrades_refused_total{reason=\"share\"}";
    assert_eq!(gateway.metric(reason).await, 38.0);
    // Whoever is refused leaves nothing behind, and whoever goes makes room.
    assert_eq!(gateway.metric("fanfare_sessions").await, 5.0);
    let bob = format!("/ws?channel=a&token={}", token("bob"));
    assert!(gateway.try_connect(&bob, &[]).await.is_ok());
    held.pop();
    within("room", async {
        while gateway.try_connect(&format!("/ws?{ann}"), &[]).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    steady.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_more_subscriber_of_a_channel_is_told_that_it_is_full() {
    const MOST: usize = 5;
    assert_eq!(default_of("hub", "subscribers_per_channel_max"), "1000000");
    let gateway = Gateway::configured(
        "[hub]\nsubscribers_per_channel_max = 7\n\
         [[channels.rules]]\nmatch = 'small'\nsubscribers_max = 5\n",
    )
    .await;
    let steady = Steady::start(gateway.addr).await;
    let mut clients = Vec::new();
    for _ in 0..30 {
        let mut client = gateway.connect("/ws?format=json").await;
        client.next_json().await;
        clients.push(client);
    }
    for round in 0..5 {
        // All at once, over and over: never one too many, and never a seat lost.
        let joins = clients.iter_mut().map(|client| async {
            client.send_json(json!({"type": "subscribe", "id": 1, "channel": "small"})).await;
            let answer = client.next_json().await;
            if answer["type"] == "subscribed" {
                return true;
            }
            assert_eq!(answer["code"], "channel_full", "{answer}");
            false
        });
        let joined = futures_util::future::join_all(joins).await;
        assert_eq!(joined.iter().filter(|joined| **joined).count(), MOST, "round {round}");
        for path in ["/ws?channel=small", "/sse?channel=small"] {
            let mut raw = Raw::connect(gateway.addr).await;
            raw.send(format!("{}\r\n", handshake(path)).as_bytes()).await;
            let answer = raw.answer().await;
            assert_eq!(answer.status, 503, "{answer:?}");
            assert!(answer.body.contains("small: the channel has 5 subscribers"), "{answer:?}");
        }
        for (client, _) in clients.iter_mut().zip(joined).filter(|(_, joined)| *joined) {
            client.send_json(json!({"type": "unsubscribe", "id": 2, "channel": "small"})).await;
            assert_eq!(client.next_json().await["type"], "unsubscribed");
        }
    }
    let expected = 5.0 * (30.0 - MOST as f64 + 2.0);
    assert_eq!(gateway.metric(&refusals("hub.subscribers_per_channel_max")).await, expected);
    // The hub's own bound holds where no rule says otherwise; and the end of a connection is a leave.
    let mut held = Vec::new();
    for _ in 0..7 {
        held.push(gateway.connect("/ws?channel=other").await);
    }
    assert_eq!(gateway.try_connect("/ws?channel=other", &[]).await.err().unwrap().status, 503);
    drop(held);
    within("room", async {
        while gateway.try_connect("/ws?channel=other", &[]).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    steady.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_json_session_that_publishes_too_fast_is_told_so_and_stays() {
    const SENT: usize = 100;
    assert_eq!(default_of("hub", "publishes_per_session_per_s_max"), "10000");
    // The healthy publisher says a hundred a second, and is a session as well.
    let variables = [("FANFARE_HUB_PUBLISHES_PER_SESSION_PER_S_MAX", "5")];
    let gateway = Gateway::start(&[], &variables).await;
    let mut listener = gateway.connect("/ws?channel=busy").await;
    let mut client = gateway.connect("/ws?format=json&echo=false").await;
    client.next_json().await;
    let began = Instant::now();
    let mut answers: BTreeMap<String, usize> = BTreeMap::new();
    for id in 0..SENT {
        let command = json!({"type": "publish", "id": id, "channel": "busy", "data": id});
        client.send_json(command).await;
        let answer = client.next_json().await;
        if answer["type"] == "error" {
            assert_eq!(answer["code"], "rate_limited", "{answer}");
            let wait_ms = answer["retry_after_ms"].as_u64().unwrap();
            assert!((1..=1_200).contains(&wait_ms), "{answer}");
        } else {
            let next: Value = serde_json::from_str(&listener.next_text().await).unwrap();
            assert_eq!(next, json!(id), "what was taken has gone out, and nothing else");
        }
        *answers.entry(answer["type"].as_str().unwrap().into()).or_default() += 1;
    }
    let taken = answers["published"] as u64;
    assert!(taken >= 50, "ten seconds' worth may come at once: {answers:?}");
    let most = 51 + 5 * (began.elapsed().as_secs() + 1);
    assert!(taken <= most, "{answers:?} in {:?}", began.elapsed());
    let refused = gateway.metric(&refusals("hub.publishes_per_session_per_s_max")).await;
    assert_eq!(refused, (SENT as u64 - taken) as f64);
    // The session stays, others are not held to its share, and it is let in again.
    client.send_json(json!({"type": "ping", "id": 0})).await;
    assert_eq!(client.next_json().await["type"], "pong");
    assert_eq!(gateway.post("/publish?channel=busy", b"other").await.status, 200);
    assert_eq!(listener.next_text().await, "other");
    within("room", async {
        loop {
            client.send_json(json!({"type": "publish", "id": 1, "channel": "b", "data": 1})).await;
            if client.next_json().await["type"] == "published" {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_session_that_publishes_too_fast_is_slowed_down_and_loses_nothing() {
    const SENT: usize = 120;
    let variables = [("FANFARE_HUB_PUBLISHES_PER_SESSION_PER_S_MAX", "10")];
    let gateway = Gateway::start(&[], &variables).await;
    let mut listener = gateway.connect("/ws?channel=busy").await;
    let mut raw = Raw::upgrade(gateway.addr, "/ws?channel=busy&echo=false").await;
    let began = Instant::now();
    let flood: Vec<u8> =
        (0..SENT).flat_map(|number| frame(TEXT, number.to_string().as_bytes())).collect();
    raw.send(&flood).await;
    raw.send(&frame(PING, b"behind")).await;
    for number in 0..SENT {
        assert_eq!(listener.next_text().await, number.to_string(), "in order, and all of them");
    }
    // A hundred at once, the others at ten a second; a tick of the clock and the credit are its play.
    assert!(began.elapsed() > Duration::from_millis(1_500), "{:?}", began.elapsed());
    assert_eq!(raw.frame().await, (PONG, b"behind".to_vec()));
    assert!(gateway.metric(&refusals("hub.publishes_per_session_per_s_max")).await >= 5.0);
    // Gone in the middle of a wait, it leaves nothing behind.
    raw.send(&frame(TEXT, b"x").repeat(20)).await;
    drop(raw);
    gateway.until_metric("fanfare_sessions", |now| now == 1.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_publications_is_held_to_its_share_and_nobody_beside_notices() {
    let variables = [("FANFARE_HUB_PUBLISHES_PER_SESSION_PER_S_MAX", "200")];
    let gateway = Gateway::start(&[], &variables).await;
    let steady = Steady::start(gateway.addr).await;
    let mut floods = Vec::new();
    for number in 0..4 {
        let path = format!("/ws?channel=flood{number}&echo=false");
        let mut raw = Raw::upgrade(gateway.addr, &path).await;
        floods.push(tokio::spawn(async move {
            let many = frame(TEXT, &[b'x'; 1_000]).repeat(1_000);
            // Its own send buffer is full soon.
            for _ in 0..1_000 {
                let send = tokio::time::timeout(Duration::from_secs(1), raw.try_send(&many));
                if send.await != Ok(true) {
                    return raw;
                }
            }
            panic!("a gigabyte of publications was taken");
        }));
    }
    let mut held = Vec::new();
    for flood in floods {
        held.push(within("a full buffer", flood).await.unwrap());
    }
    let published = gateway.metric("fanfare_publications_total").await;
    assert!(published < 4.0 * 2_000.0 + 6_000.0, "{published}");
    assert!(gateway.metric(&refusals("hub.publishes_per_session_per_s_max")).await >= 4.0);
    steady.finish().await;
}
