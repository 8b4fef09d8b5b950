//! The same over TLS, with certificates of an authority that nobody else knows.

use std::net::SocketAddr;

use serde_json::Value;

use crate::certificates::{Authority, Dir};
use crate::client::tls_addr;
use crate::support::Gateway;
use crate::{SHORT, assert_all_came, bench};

struct World {
    dir: Dir,
    gateway: Gateway,
    addr: SocketAddr,
    ca: String,
}

impl World {
    async fn new() -> Self {
        let (dir, authority) = (Dir::new(), Authority::new("the authority"));
        dir.install(&authority.pair());
        // The first of the two is somebody else's.
        let both = Authority::new("another").certificate + &authority.certificate;
        let ca = dir.write("ca.pem", &both);
        let gateway = Gateway::configured(&dir.listener("", "")).await;
        let addr = tls_addr(&gateway, 0).await;
        Self { dir, gateway, addr, ca }
    }

    fn wss(&self, query: &str) -> String {
        format!("wss://localhost:{}/ws?{query}", self.addr.port())
    }

    async fn bench(&self, args: &[&str]) -> Value {
        let (code, json, stderr) = bench(&[args, &["--tls-ca", &self.ca], &SHORT].concat()).await;
        assert_eq!(code, 0, "{stderr}");
        json
    }
}

/// How many whole handshakes there were and how many resumed, all of them with TLS 1.3.
fn handshakes(json: &Value) -> u64 {
    let [tls] = json["connect"]["tls"].as_array().unwrap().as_slice() else {
        panic!("one version and suite: {json:#}");
    };
    assert_eq!(tls["version"], "TLS 1.3");
    assert!(tls["cipher_suite"].as_str().unwrap().starts_with("TLS13_"), "{tls}");
    tls["full"].as_u64().unwrap() + tls["resumed"].as_u64().unwrap()
}

#[tokio::test]
async fn fanout_counts_every_delivery() {
    let world = World::new().await;
    // By name and by address, with messages of one record and of several.
    let by_address = format!("wss://{}/ws?channel=bench", world.addr);
    for (url, bytes) in [(world.wss("channel=bench"), "128"), (by_address, "40000")] {
        let own = ["fanout", "--url", &url, "--rate", "40", "--message-bytes", bytes];
        let json = world.bench(&own).await;
        assert_all_came(&json, 50);
        assert_eq!((&json["messages"]["sent"], handshakes(&json)), (&60.into(), 50));
        let options = &json["options"];
        assert_eq!(
            (&options["publish_tls"], &options["tls_insecure"]),
            (&true.into(), &false.into())
        );
    }
}

#[tokio::test]
async fn every_scenario_goes_over_it() {
    let world = World::new().await;
    let url = world.wss("format=json&channel={channel}");
    let body = r#"{"type":"publish","channel":"{channel}","text":"{message}"}"#;
    let publish = world.wss("format=json");
    let by = ["--url", &url, "--publish-url", &publish, "--publish-body", body];
    let small = ["--small-subscribers", "3", "--small-rate", "40"];
    let json = world.bench(&[&["beside", "--window", "8"][..], &small, &by].concat()).await;
    assert_all_came(&json, 50);
    assert_all_came(&json["beside"], 3);
    assert_eq!(handshakes(&json["beside"]), 3);
    let spread = ["channels", "--channels", "20", "--per-session", "4", "--rate", "100"];
    let json = world.bench(&[&spread[..], &by].concat()).await;
    assert!(json["deliveries"]["received"].as_u64().unwrap() > 1_000, "{json:#}");
    let json = world.bench(&[&["stalled", "--rate", "40"][..], &by].concat()).await;
    assert_eq!((&json["stalled"]["sessions"], &json["deliveries"]["lost"]), (&5.into(), &0.into()));
    assert_eq!(json["deliveries"]["received"], 60 * 45);
    let json = world.bench(&["idle", "--url", &url]).await;
    assert_eq!((&json["connect"]["connected"], handshakes(&json)), (&50.into(), 50));
}

#[tokio::test]
async fn everybody_comes_back_from_a_storm() {
    let world = World::new().await;
    let url = world.wss("channel={channel}");
    let json = world.bench(&["storm", "--url", &url, "--rate", "50"]).await;
    let storm = &json["storm"];
    assert_eq!((&storm["sessions"], &storm["reconnected"]), (&50.into(), &50.into()));
    assert!(storm["full_recovery_ms"].as_f64().unwrap() > 0.0, "{json:#}");
    assert_eq!(json["beside"]["deliveries"]["lost"], 0);
    // Some of those that come back have a ticket.
    assert_eq!(handshakes(&json), 100);
    assert!(json["connect"]["tls"][0]["resumed"].as_u64().unwrap() > 0, "{json:#}");
}

#[tokio::test]
async fn plain_connections_and_tls_are_mixed_freely() {
    let world = World::new().await;
    let (plain, tls) = (world.gateway.addr, format!("localhost:{}", world.addr.port()));
    for (url, publish) in [
        (format!("ws://{plain}/ws?channel=x"), format!("https://{tls}/publish?channel=x")),
        (format!("wss://{tls}/ws?channel=x"), format!("http://{plain}/publish?channel=x")),
    ] {
        let by = ["--publish", "http", "--publish-url", &publish];
        let json =
            world.bench(&[&["fanout", "--url", &url, "--rate", "40"][..], &by].concat()).await;
        assert_all_came(&json, 50);
        // With those of the warm-up.
        assert_eq!(json["messages"]["acknowledged"], 60 + 8);
        assert_eq!(json["options"]["publish_tls"], publish.starts_with("https"));
        let is_any = !json["connect"]["tls"].as_array().unwrap().is_empty();
        assert_eq!(is_any, url.starts_with("wss"), "{json:#}");
    }
}

#[tokio::test]
async fn a_certificate_of_nobody_known_is_refused_unless_any_will_do() {
    let world = World::new().await;
    let url = world.wss("channel=bench");
    let stranger = world.dir.write("stranger.pem", &Authority::new("another").certificate);
    let own = ["fanout", "--url", &url, "--rate", "40", "--subscribers", "3"];
    for more in [&[][..], &["--tls-ca", &stranger]] {
        let (code, _, stderr) = bench(&[&own, more].concat()).await;
        assert_eq!(code, 1, "{stderr}");
        for part in ["invalid peer certificate: UnknownIssuer", "--tls-ca", "--tls-insecure"] {
            assert!(stderr.contains(part), "{part}: {stderr}");
        }
    }
    let own = ["fanout", "--url", &url, "--rate", "40", "--tls-insecure"];
    let (code, json, stderr) = bench(&[&own[..], &SHORT].concat()).await;
    assert_eq!(code, 0, "{stderr}");
    assert_all_came(&json, 50);
    assert_eq!(json["options"]["tls_insecure"], true);
}

#[tokio::test]
async fn a_publisher_is_as_careful() {
    let world = World::new().await;
    let plain = format!("ws://{}/ws?channel=x", world.gateway.addr);
    let own = ["fanout", "--url", &plain, "--rate", "40", "--subscribers", "3"];
    let publish = format!("https://{}/publish?channel=x", world.addr);
    let by = ["--publish", "http", "--publish-url", &publish];
    let (code, _, stderr) = bench(&[&own[..], &by].concat()).await;
    assert!(code == 1 && stderr.contains("the publisher"), "{stderr}");
    assert!(stderr.contains("UnknownIssuer") && stderr.contains("--tls-ca"), "{stderr}");
    let publish = publish.replace("https", "http");
    let by = ["--publish", "http", "--publish-url", &publish, "--duration", "1s"];
    let (code, _, stderr) = bench(&[&own[..], &by].concat()).await;
    assert!(code == 1 && stderr.contains("write https:// for http://"), "{stderr}");
}

#[tokio::test]
async fn who_speaks_something_else_is_told() {
    let world = World::new().await;
    let plain = format!("wss://{}/ws?channel=x", world.gateway.addr);
    let (code, _, stderr) = bench(&["idle", "--url", &plain, "--subscribers", "3"]).await;
    assert!(code == 1 && stderr.contains("does not speak TLS"), "{stderr}");
    let tls = format!("ws://{}/ws?channel=x", world.addr);
    let (code, _, stderr) = bench(&["idle", "--url", &tls, "--subscribers", "3"]).await;
    assert!(code == 1 && stderr.contains("write wss:// for ws://"), "{stderr}");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let (dir, authority) = (Dir::new(), Authority::new("the authority"));
    dir.install(&authority.pair());
    let ca = dir.write("ca.pem", &authority.certificate);
    // Its certificate is for 127.0.0.1.
    let listener = dir.listener("", "").replace("127.0.0.1:0", "127.0.0.2:0");
    let gateway = Gateway::configured(&listener).await;
    let url = format!("wss://{}/ws?channel=x", tls_addr(&gateway, 0).await);
    let own = ["idle", "--url", &url, "--subscribers", "3", "--duration", "100ms"];
    let (code, _, stderr) = bench(&[&own[..], &["--tls-ca", &ca]].concat()).await;
    assert!(code == 1 && stderr.contains("certificate not valid for name"), "{stderr}");
    let (code, json, stderr) = bench(&[&own[..], &["--tls-insecure"]].concat()).await;
    assert!(code == 0 && handshakes(&json) == 3, "{stderr}");
}

#[tokio::test]
async fn a_server_that_hangs_up_is_told_apart() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // Or the end would be a reset.
            let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 4_096]).await;
        }
    });
    for (scheme, said) in [("wss", "write ws:// for wss://"), ("ws", "write wss:// for ws://")] {
        let url = format!("{scheme}://{addr}/");
        let (code, _, stderr) = bench(&["idle", "--url", &url, "--subscribers", "3"]).await;
        assert!(code == 1 && stderr.contains(said), "{stderr}");
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_in_time() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("wss://{}/", listener.local_addr().unwrap());
    let own = ["idle", "--url", &url, "--subscribers", "3", "--connect-timeout", "300ms"];
    let (code, _, stderr) = bench(&own).await;
    assert!(code == 1 && stderr.contains("--connect-timeout"), "{stderr}");
}

#[tokio::test]
async fn options_that_are_for_nothing_are_refused() {
    let wrong = |args: &'static [&str]| async move {
        let (code, _, stderr) = bench(args).await;
        assert_eq!(code, 2, "{stderr}");
        stderr
    };
    let text = wrong(&["idle", "--url", "ws://127.0.0.1:1/", "--tls-insecure"]).await;
    assert!(text.contains("are for wss://"), "{text}");
    let text = wrong(&["idle", "--url", "wss://127.0.0.1:1/", "--tls-ca", "/nowhere/ca.pem"]).await;
    assert!(text.contains("/nowhere/ca.pem"), "{text}");
}
