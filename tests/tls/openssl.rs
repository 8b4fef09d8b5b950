//! OpenSSL's client knocks.

use std::net::SocketAddr;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::certificates::{Authority, Dir};
use crate::client::tls_addr;
use crate::support::{Gateway, within};

/// What `openssl s_client` says, on both channels, when it asks for /health.
async fn s_client(addr: SocketAddr, arguments: &[&str]) -> String {
    let mut child = Command::new("openssl")
        .args(["s_client", "-connect", &addr.to_string(), "-servername", "localhost"])
        .args(["-verify_return_error", "-ign_eof"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the openssl program is there");
    let mut stdin = child.stdin.take().unwrap();
    let request = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let _ = stdin.write_all(request).await;
    let output = within("openssl", child.wait_with_output()).await.unwrap();
    drop(stdin);
    [output.stdout, output.stderr].map(|out| String::from_utf8_lossy(&out).into_owned()).concat()
}

fn assert_served(said: &str) {
    assert!(said.contains("HTTP/1.1 200 OK") && said.contains("\"status\":\"ok\""), "{said}");
    assert!(said.contains("Verify return code: 0 (ok)"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the openssl program; .ci/run installs it"]
async fn versions_and_protocols_are_what_they_are_said_to_be() {
    let (dir, authority) = (Dir::new(), Authority::new("the authority"));
    dir.install(&authority.pair());
    let ca = dir.write("ca.pem", &authority.certificate);
    let text = [dir.listener("", ""), dir.listener(", version_min = \"1.3\"", "")].concat();
    let gateway = Gateway::configured(&text).await;
    let (both, only_13) = (tls_addr(&gateway, 0).await, tls_addr(&gateway, 1).await);
    for (version, says) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let said = s_client(both, &[version, "-CAfile", &ca, "-alpn", "h2,http/1.1"]).await;
        assert_served(&said);
        assert!(said.contains(says), "{said}");
        assert!(said.contains("ALPN protocol: http/1.1"), "{said}");
        assert!(said.contains("Verification: OK"), "{said}");
    }
    assert!(s_client(both, &["-tls1_3", "-CAfile", &ca]).await.contains("No ALPN negotiated"));
    let said = s_client(both, &["-tls1_3", "-CAfile", &ca]).await;
    assert!(
        said.contains("Early data was not sent") && !said.contains("Max Early Data: 1"),
        "{said}"
    );
    assert_served(&s_client(only_13, &["-tls1_3", "-CAfile", &ca]).await);
    // At its usual level OpenSSL itself would not speak it.
    let weak = ["-cipher", "DEFAULT@SECLEVEL=0"];
    // Before 1.2 its first message lacks what is looked at before the version.
    for (addr, arguments, alert) in [
        (both, ["-tls1_1", weak[0], weak[1]], "alert handshake failure"),
        (both, ["-tls1", weak[0], weak[1]], "alert handshake failure"),
        (only_13, ["-tls1_2", weak[0], weak[1]], "alert protocol version"),
    ] {
        let said = s_client(addr, &arguments).await;
        assert!(said.contains(alert), "{arguments:?}: {said}");
    }
    let said = s_client(both, &["-CAfile", &ca, "-alpn", "h2"]).await;
    assert!(said.contains("no application protocol"), "{said}");
    let done = |version: &str| format!("fanfare_tls_handshakes_total{{version=\"{version}\"}}");
    assert_eq!(gateway.metric(&done("1.2")).await, 1.0);
    assert_eq!(gateway.metric(&done("1.3")).await, 4.0);
    assert_eq!(gateway.metric("fanfare_connections_failed_total{reason=\"tls\"}").await, 4.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the openssl program; .ci/run installs it"]
async fn a_client_certificate_that_is_asked_for_is_needed_and_has_to_be_right() {
    let (dir, authority) = (Dir::new(), Authority::new("the authority"));
    let other = Authority::new("another");
    dir.install(&authority.pair());
    let ca = dir.write("ca.pem", &authority.certificate);
    let gateway =
        Gateway::configured(&dir.listener(&format!(", client_ca_file = \"{ca}\""), "")).await;
    let addr = tls_addr(&gateway, 0).await;
    for (name, pair, served) in [
        ("mine", authority.pair(), true),
        ("wrong", other.pair(), false),
        ("expired", authority.pair_until(2001), false),
    ] {
        let certificate = dir.write(&format!("{name}.pem"), &pair.certificate);
        let key = dir.write(&format!("{name}.key"), &pair.key);
        for version in ["-tls1_2", "-tls1_3"] {
            let arguments = [version, "-CAfile", &ca, "-cert", &certificate, "-key", &key];
            let said = s_client(addr, &arguments).await;
            assert_eq!(said.contains("HTTP/1.1 200 OK"), served, "{name} {version}: {said}");
            assert_eq!(said.contains("alert"), !served, "{name} {version}: {said}");
        }
    }
    for version in ["-tls1_2", "-tls1_3"] {
        let said = s_client(addr, &[version, "-CAfile", &ca]).await;
        assert!(!said.contains("HTTP/1.1") && said.contains("alert"), "{said}");
    }
    let failed = "fanfare_connections_failed_total{reason=\"tls\"}";
    gateway.until_metric(failed, |count| count == 6.0).await;
}
