//! Defects that others shipped, each by its name.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::handshakes::{behind, only_answer};
use crate::raw::{
    BINARY, CONTINUATION, MORE, PING, PONG, Raw, TEXT, frame, handshake, header, masked,
};
use crate::steady::{CHANNEL, Steady};
use crate::support::Gateway;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn allocation_from_a_declared_length() {
    let variables = [
        ("FANFARE_MESSAGES_MESSAGE_BYTES_MAX", "67108864"),
        ("FANFARE_HUB_OUTBOX_BYTES_MAX", "67108864"),
    ];
    let gateway = Gateway::start(&[], &variables).await;
    let steady = Steady::start(gateway.addr).await;
    let mut raw = Raw::upgrade(gateway.addr, "/ws?channel=a").await;
    raw.send(&header(BINARY, 1 << 62)).await;
    assert_eq!(raw.close().await.0, 1009);
    // As much as is allowed, declared by many: what has arrived may cost, what was declared not.
    let before = gateway.resident_bytes();
    let mut declared = Vec::new();
    for _ in 0..100 {
        let mut raw = Raw::upgrade(gateway.addr, "/ws?channel=a").await;
        raw.send(&header(BINARY, 60 << 20)).await;
        raw.send(&[1; 1_000]).await;
        declared.push(raw);
    }
    let mut raw = Raw::connect(gateway.addr).await;
    raw.send(b"POST /api/publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n{")
        .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let grown = gateway.resident_bytes().saturating_sub(before);
    assert!(grown < 8 << 20, "100 connections with 1,000 bytes each: {} KiB", grown >> 10);
    steady.finish().await;
}

/// CPU time of the process, for a head that comes in pieces of four bytes.
async fn cost_of_head(gateway: &Gateway, bytes: usize) -> f64 {
    let cpu = || {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", gateway.pid())).unwrap();
        let line = |path: std::path::PathBuf| std::fs::read_to_string(path).unwrap();
        let lines = tasks.map(|task| line(task.unwrap().path().join("schedstat")));
        lines.map(|line| line.split(' ').next().unwrap().parse::<f64>().unwrap()).sum::<f64>()
    };
    let mut raw = Raw::connect(gateway.addr).await;
    let mut head = handshake("/ws");
    while head.len() < bytes {
        head.push_str("X: 345678901234567890123456789012345678901234567\r\n");
        head.truncate(bytes);
    }
    let before = cpu();
    for piece in head.as_bytes().chunks(4) {
        raw.send(piece).await;
        // So that each is read by itself.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    cpu() - before
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn header_reparsing_in_quadratic_time() {
    let variables = [("FANFARE_HTTP_HANDSHAKE_TIMEOUT_MS", "60000")];
    let gateway = Gateway::start(&[], &variables).await;
    let (short, long) = (cost_of_head(&gateway, 1_000).await, cost_of_head(&gateway, 8_000).await);
    // Linear: 8 times as much. Quadratic: 64.
    assert!(long < 16.0 * short, "8,000 bytes: {long} ns, 1,000 bytes: {short} ns");
    // Empty lines in place of a request: not even begun.
    let mut raw = Raw::connect(gateway.addr).await;
    raw.try_send(&b"\r\n".repeat(1_000)).await;
    raw.any_end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outgoing_buffer_without_a_bound() {
    const COMMANDS: usize = 20_000;
    let variables = [("FANFARE_HTTP_SEND_BUFFER_BYTES", "8192")];
    let gateway = Gateway::start(&[], &variables).await;
    let steady = Steady::start(gateway.addr).await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8_192).unwrap();
    let mut raw = Raw::over(socket.connect(gateway.addr).await.unwrap());
    raw.send(format!("{}\r\n", handshake("/ws?format=json")).as_bytes()).await;
    let before = gateway.resident_bytes();
    let id = "i".repeat(60);
    let command = frame(TEXT, json!({"type": "ping", "id": id}).to_string().as_bytes());
    // Asks and asks, and never reads an answer.
    let batch = command.repeat(100);
    for _ in 0..COMMANDS / 100 {
        if !matches!(
            tokio::time::timeout(Duration::from_secs(1), raw.try_send(&batch)).await,
            Ok(true)
        ) {
            break;
        }
    }
    let grown = gateway.resident_bytes().saturating_sub(before);
    assert!(grown < 4 << 20, "{} KiB", grown >> 10);
    let ended = "fanfare_disconnects_total{reason=\"slow_consumer\"}";
    gateway.until_metric(ended, |count| count == 1.0).await;
    steady.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fragments_and_empty_fragments_without_a_bound() {
    let gateway = Gateway::open().await;
    let steady = Steady::start(gateway.addr).await;
    let before = gateway.resident_bytes();
    for payload in [&b""[..], b"a"] {
        let mut raw = Raw::upgrade(gateway.addr, "/ws?channel=a").await;
        let flood = frame(CONTINUATION & MORE, payload).repeat(100_000);
        raw.try_send(&frame(BINARY & MORE, payload)).await;
        let (mut reader, mut writer) = raw.stream.into_split();
        let sending = tokio::spawn(async move {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut writer, &flood).await;
        });
        let mut close = [0; 4];
        tokio::io::AsyncReadExt::read_exact(&mut reader, &mut close).await.unwrap();
        assert_eq!(close[2..], 1008_u16.to_be_bytes());
        sending.abort();
    }
    let grown = gateway.resident_bytes().saturating_sub(before);
    assert!(grown < 8 << 20, "{} KiB", grown >> 10);
    steady.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn length_arithmetic_that_overflows() {
    let gateway = Gateway::open().await;
    let steady = Steady::start(gateway.addr).await;
    let most = i64::MAX as u64;
    for (len, code) in [
        (most, 1009),
        (most - 13, 1009),
        (1 << 32, 1009),
        ((1 << 32) + 5, 1009),
        (u64::from(u32::MAX), 1009),
        (1 << 63, 1002),
        (u64::MAX, 1002),
        (u64::MAX - 13, 1002),
    ] {
        for first in [TEXT, BINARY, CONTINUATION] {
            let mut raw = Raw::upgrade(gateway.addr, &format!("/ws?channel={CHANNEL}")).await;
            if first == CONTINUATION {
                raw.send(&frame(BINARY & MORE, b"ten bytes.")).await;
            }
            raw.send(&header(first, len)).await;
            assert_eq!(raw.close().await.0, code, "{len:#x}");
        }
    }
    assert!(!gateway.log().contains("panic"), "{}", gateway.log());
    steady.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unmasked_frame_delivered_before_the_close() {
    let gateway = Gateway::open().await;
    let steady = Steady::start(gateway.addr).await;
    let mut other = gateway.connect("/ws?channel=other").await;
    for path in ["/ws?channel=other", "/ws?format=json&channel=other"] {
        let text = br#"{"type":"publish","channel":"other","text":"unmasked"}"#;
        let mut raw = Raw::upgrade(gateway.addr, path).await;
        let mut unmasked = frame(BINARY & MORE, b"");
        unmasked.extend([CONTINUATION, text.len() as u8]);
        unmasked.extend(text);
        raw.send(&unmasked).await;
        assert_eq!(raw.close().await.0, 1002);
    }
    other.assert_silent().await;
    steady.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_on_a_non_ascii_sec_websocket_protocol() {
    let gateway = Gateway::open().await;
    let steady = Steady::start(gateway.addr).await;
    for name in ["Sec-WebSocket-Protocol", "Sec-WebSocket-Key", "Upgrade", "Origin", "Cookie"] {
        for value in [&b"\xe4"[..], b"\xff\xfe", "ä, bearer".as_bytes(), b"bearer, \xe4", b","] {
            let line = [name.as_bytes(), b": ", value, b"\r\n\r\n"].concat();
            let mut raw = Raw::connect(gateway.addr).await;
            raw.send(&[handshake("/ws").as_bytes(), &line].concat()).await;
            let status = raw.answer().await.status;
            let may_pass = ["Upgrade", "Cookie"].contains(&name) || value == b",";
            // 401: what stands behind `bearer` is taken for a token.
            let is_fine = [400, 401, 403].contains(&status) || (may_pass && status == 101);
            assert!(is_fine, "{name}: {value:x?}: {status}");
        }
    }
    assert!(!gateway.log().contains("panic"), "{}", gateway.log());
    steady.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_after_an_upgrade_forwarded_before_it_was_accepted() {
    let gateway = Gateway::open().await;
    let steady = Steady::start(gateway.addr).await;
    let refused = handshake(&format!("/ws?channel={CHANNEL}")).replace("Version: 13", "Version: 8");
    let with_frame = [refused.as_bytes(), b"\r\n", &frame(TEXT, b"smuggled")].concat();
    for request in [with_frame, format!("{refused}\r\n{}", behind()).into_bytes()] {
        assert_eq!(only_answer(&gateway, &request).await.status, 426);
    }
    steady.finish().await;
}

const SECRETS: [&str; 2] =
    ["0123456789abcdef0123456789abcdef-of-a", "0123456789abcdef0123456789abcdef-of-b"];

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Signed by hand with HMAC-SHA256.
fn signed(header: &Value, claims: &Value, secret: &str) -> String {
    use hmac::{Hmac, Mac};
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let input = format!("{}.{}", part(header), part(claims));
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(input.as_bytes());
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

/// A gateway with a key for each of two kids, and a token for the healthy ones.
async fn keyed(name: &str) -> (Gateway, Steady) {
    let text = format!(
        "[auth]\nkeys = [\n{{ kid = \"a\", algorithm = \"HS256\", secret = \"{}\" }},\n\
         {{ kid = \"b\", algorithm = \"HS384\", secret = \"{}\" }},\n]\n",
        SECRETS[0],
        SECRETS[1].repeat(2),
    );
    let path = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("attacks-{}-{name}.toml", std::process::id()));
    std::fs::write(&path, text).unwrap();
    let gateway = Gateway::start(&["--config", path.to_str().unwrap()], &[]).await;
    let token = signed(&json!({"alg": "HS256", "kid": "a"}), &claims(now() + 600), SECRETS[0]);
    let steady = Steady::start_with(gateway.addr, &format!("&token={token}")).await;
    (gateway, steady)
}

fn claims(exp: impl Into<Value>) -> Value {
    json!({"sub": "ann", "exp": exp.into(), "subscribe": ["*"], "publish": ["*"]})
}

async fn status_with(gateway: &Gateway, token: &str) -> u16 {
    match gateway.try_connect(&format!("/ws?channel=a&token={token}"), &[]).await {
        Ok(_) => 101,
        Err(refused) => refused.status,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exp_given_as_a_string_and_not_checked() {
    let (gateway, steady) = keyed("exp").await;
    let header = json!({"alg": "HS256", "kid": "a"});
    let late = now() + 600;
    for (exp, status) in [
        (json!(late), 101),
        (json!(late.to_string()), 401),
        (json!((now() - 600).to_string()), 401),
        (json!("never"), 401),
        (json!(null), 401),
        (json!([late]), 401),
        (json!(-1), 401),
        (json!(true), 401),
        (json!(now() - 600), 401),
    ] {
        let token = signed(&header, &claims(exp.clone()), SECRETS[0]);
        assert_eq!(status_with(&gateway, &token).await, status, "{exp}");
    }
    assert_eq!(gateway.metric("fanfare_upgrades_refused_total{reason=\"token\"}").await, 8.0);
    steady.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_cache_keyed_by_kid_alone() {
    let (gateway, steady) = keyed("kid").await;
    let claims = claims(now() + 600);
    let token = |header: Value, secret: &str| signed(&header, &claims, secret);
    let good = token(json!({"alg": "HS256", "kid": "a"}), SECRETS[0]);
    for (what, token) in [
        (
            "the key of b under the name of a",
            token(json!({"alg": "HS256", "kid": "a"}), &SECRETS[1].repeat(2)),
        ),
        (
            "the key of a under the name of b",
            token(json!({"alg": "HS256", "kid": "b"}), SECRETS[0]),
        ),
        ("another algorithm than a's", token(json!({"alg": "HS384", "kid": "a"}), SECRETS[0])),
        ("a kid as a path", token(json!({"alg": "HS256", "kid": "../a"}), SECRETS[0])),
        ("an empty kid", token(json!({"alg": "HS256", "kid": ""}), SECRETS[0])),
        ("a kid with NUL", token(json!({"alg": "HS256", "kid": "a\u{0}"}), SECRETS[0])),
        ("another issuer's", token(json!({"alg": "HS256", "kid": "a", "iss": "x"}), "x")),
        (
            "a key of its own",
            token(json!({"alg": "HS256", "kid": "a", "jwk": {"kty": "oct"}}), "x"),
        ),
    ] {
        // Before and after the right key has served.
        assert_eq!(status_with(&gateway, &token).await, 401, "{what}");
        assert_eq!(status_with(&gateway, &good).await, 101);
        assert_eq!(status_with(&gateway, &token).await, 401, "{what}, again");
    }
    steady.finish().await;
}

/// Two messages and a ping, in every form that is kept between two reads.
fn sequence() -> Vec<u8> {
    [
        frame(TEXT & MORE, "eins ä".as_bytes()),
        frame(PING, b"between"),
        frame(CONTINUATION & MORE, b""),
        frame(CONTINUATION, b" zwei"),
        header(BINARY, 130),
        masked(&[7; 130]),
    ]
    .concat()
}

/// Sends the sequence in two parts while others publish; it has to arrive as if it were one.
async fn cut_at(gateway: &Gateway, cut: usize) {
    let mut raw = Raw::upgrade(gateway.addr, &format!("/ws?channel=cut{cut}")).await;
    let bytes = sequence();
    raw.send(&bytes[..cut]).await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    raw.send(&bytes[cut..]).await;
    let (mut own, mut latest) = (Vec::new(), None);
    while own.len() < 3 || latest.is_none() {
        let (first, payload) = raw.frame().await;
        if first == TEXT && payload.starts_with(b"{\"n\":") {
            let value: Value = serde_json::from_slice(&payload).unwrap();
            let number = value["n"].as_u64().unwrap();
            assert!(latest.is_none_or(|latest| number == latest + 1), "cut at {cut}: {latest:?}");
            latest = Some(number);
        } else {
            own.push((first, payload));
        }
    }
    let pong = (PONG, b"between".to_vec());
    assert!(own.contains(&pong), "cut at {cut}: {own:?}");
    own.retain(|frame| *frame != pong);
    let expected = [(TEXT, "eins ä zwei".as_bytes().to_vec()), (BINARY, vec![7; 130])];
    assert_eq!(own, expected, "cut at {cut}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_or_writes_that_lose_their_place_when_a_future_is_dropped() {
    let gateway = Gateway::open().await;
    let steady = Steady::start(gateway.addr).await;
    let cuts: Vec<usize> = (1..sequence().len()).collect();
    let channels: Vec<String> = cuts.iter().map(|cut| format!("cut{cut}")).collect();
    let publishing = async {
        for number in 0_u64.. {
            let body = json!({"channels": channels, "data": {"n": number}}).to_string();
            let answer = gateway.post("/api/broadcast", body.as_bytes()).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let began = Instant::now();
    let all = futures_util::future::join_all(cuts.iter().map(|cut| cut_at(&gateway, *cut)));
    tokio::select! {
        _ = all => {}
        () = publishing => unreachable!(),
    }
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    steady.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn early_frames_in_the_handshakes_packet_lost() {
    let gateway = Gateway::open().await;
    let steady = Steady::start(gateway.addr).await;
    let mut other = gateway.connect("/ws?channel=early").await;
    for cut in [0, 3] {
        let early = frame(TEXT, b"first");
        let mut bytes = format!("{}\r\n", handshake("/ws?channel=early")).into_bytes();
        bytes.extend(&early);
        // The whole of a frame, then a part of one.
        bytes.extend(&frame(TEXT, b"second")[..cut]);
        let mut raw = Raw::connect(gateway.addr).await;
        raw.send(&bytes).await;
        assert_eq!(raw.answer().await.status, 101);
        assert_eq!(raw.frame().await, (TEXT, b"first".to_vec()));
        assert_eq!(other.next_text().await, "first");
        raw.send(&frame(TEXT, b"second")[cut..]).await;
        assert_eq!(raw.frame().await, (TEXT, b"second".to_vec()));
        assert_eq!(other.next_text().await, "second");
    }
    steady.finish().await;
}
