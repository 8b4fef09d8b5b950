//! Certificates change under traffic.

use std::net::SocketAddr;
use std::time::Duration;

use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use crate::certificates::{Authority, Dir, Pair};
use crate::client::{Trust, send, text, tls_addr};
use crate::support::{Gateway, within};

/// The certificate that a new connection is shown.
async fn shown(trust: &Trust, addr: SocketAddr) -> Vec<u8> {
    let stream = trust.stream(addr).await;
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

fn der(pair: &Pair) -> Vec<u8> {
    CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap().to_vec()
}

fn reloads(result: &str) -> String {
    format!("fanfare_tls_reloads_total{{result=\"{result}\"}}")
}

const NOT_AFTER: &str = "fanfare_tls_certificate_not_after_timestamp_seconds{listener=\"1\"}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_the_certificate_changes() {
    let (dir, authority) = (Dir::new(), Authority::new("the authority"));
    let (first, second) = (authority.pair_until(2098), authority.pair());
    dir.install(&first);
    let gateway = Gateway::configured(&format!(
        "{}\n[tls]\nreload_interval_ms = 100\n",
        dir.listener("", "")
    ))
    .await;
    let addr = tls_addr(&gateway, 0).await;
    let trust = Trust::new(&authority.certificate);
    assert_eq!(shown(&trust, addr).await, der(&first));
    // 1 January 2098, and of 2099.
    assert_eq!(gateway.metric(NOT_AFTER).await, 4_039_372_800.0);
    let mut subscriber = trust.websocket(addr, "/ws?channel=a").await;
    let mut publisher = trust.websocket(addr, "/ws?channel=a&echo=false").await;
    let publishing = tokio::spawn(async move {
        for number in 0..400 {
            send(&mut publisher, &number.to_string()).await;
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        publisher
    });
    let reading = tokio::spawn(async move {
        for number in 0..400 {
            assert_eq!(text(&mut subscriber).await, number.to_string());
        }
        subscriber
    });
    dir.install(&second);
    gateway.until_metric(&reloads("ok"), |count| count >= 1.0).await;
    gateway.until_metric(NOT_AFTER, |time| time == 4_070_908_800.0).await;
    assert_eq!(shown(&trust, addr).await, der(&second));
    // The ones that were there go on as they are, also while new ones come.
    for _ in 0..5 {
        gateway.signal("HUP");
        assert_eq!(shown(&trust, addr).await, der(&second));
    }
    let mut publisher = within("the publisher", publishing).await.unwrap();
    let mut subscriber = within("the subscriber", reading).await.unwrap();
    send(&mut publisher, "the last").await;
    assert_eq!(text(&mut subscriber).await, "the last");
    assert_eq!(gateway.metric("fanfare_sessions_opened_total").await, 2.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_good_is_refused_and_the_old_one_stays() {
    let (dir, authority) = (Dir::new(), Authority::new("the authority"));
    let good = authority.pair();
    dir.install(&good);
    // Only when it is asked to.
    let gateway = Gateway::configured(&format!(
        "{}\n[tls]\nreload_interval_ms = 3600000\n",
        dir.listener("", "")
    ))
    .await;
    let addr = tls_addr(&gateway, 0).await;
    let trust = Trust::new(&authority.certificate);
    let other = authority.pair();
    let expired = authority.pair_until(2001);
    let bad = [
        (good.certificate.as_str(), other.key.as_str(), "server.key: the key does not belong"),
        (&other.certificate, &good.key, "server.key: the key does not belong"),
        (&expired.certificate, &expired.key, "server.pem: the certificate is expired"),
        ("", &good.key, "server.pem: there is no certificate in it"),
        (&good.certificate, "canary", "server.key: there is no private key in it"),
    ];
    for (at, (certificate, key, says)) in bad.into_iter().enumerate() {
        dir.write("server.pem", certificate);
        dir.write("server.key", key);
        gateway.signal("HUP");
        gateway.until_metric(&reloads("failed"), |count| count == (at + 1) as f64).await;
        assert_eq!(shown(&trust, addr).await, der(&good), "{says}");
        gateway.log_with(says).await;
    }
    assert!(!gateway.log().contains("canary"));
    assert_eq!(gateway.metric(&reloads("ok")).await, 0.0);
    dir.install(&other);
    gateway.signal("HUP");
    gateway.until_metric(&reloads("ok"), |count| count == 1.0).await;
    assert_eq!(shown(&trust, addr).await, der(&other));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_good_at_the_start_is_told_with_the_file() {
    let (dir, authority) = (Dir::new(), Authority::new("the authority"));
    let pair = authority.pair();
    dir.install(&Pair { key: authority.pair().key, ..pair });
    let config = dir.write("fanfare.toml", &dir.listener("", ""));
    for command in ["serve", "check"] {
        let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_fanfare"))
            .args([command, "--config", &config])
            .env_clear()
            .output();
        let output = within("the program", output).await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && said.contains("server.key: the key does not"),
            "{said}"
        );
    }
}
