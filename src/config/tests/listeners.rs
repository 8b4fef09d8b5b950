//! Where the gateway listens, and whom it believes.

use super::*;
use crate::http::{Peer, Serves};

const NOTHING: Serves = Serves { clients: false, api: false, metrics: false, admin: false };

fn load(text: &str) -> Result<Settings, ConfigError> {
    World::new().file("dir/f.toml", text).flags(|f| f.config = Some("dir/f.toml".into())).load()
}

#[test]
fn listeners_are_taken_from_the_file() {
    let text = "
insecure = true
[[listeners]]
address = '0.0.0.0:8443'
tls = { certificate_file = 'a.pem', key_file = '/k/a.key' }
proxy_protocol = true
serves = ['clients']
[[listeners]]
address = 'unix:f.sock'
serves = ['api', 'metrics']
[[listeners]]
address = 'fd:web'
[listeners.tls]
certificate_file = 'b.pem'
key_file = 'b.key'
client_ca_file = 'ca.pem'
version_min = '1.3'
[[listeners]]
address = 'systemd'
";
    let listeners = load(text).unwrap().listeners;
    let shown: Vec<String> = listeners.iter().map(|l| l.address.to_string()).collect();
    assert_eq!(shown, ["0.0.0.0:8443", "unix:dir/f.sock", "fd:web", "systemd"]);
    let first = TlsSettings {
        certificate_file: "dir/a.pem".into(),
        key_file: "/k/a.key".into(),
        client_ca_file: None,
        version_min: TlsVersion::V12,
    };
    assert_eq!((listeners[0].tls.as_ref(), listeners[0].proxy_protocol), (Some(&first), true));
    assert_eq!(listeners[0].serves, Serves { clients: true, ..NOTHING });
    assert_eq!(listeners[1].serves, Serves { api: true, metrics: true, ..NOTHING });
    let third = listeners[2].tls.clone().unwrap();
    assert_eq!(third.client_ca_file, Some("dir/ca.pem".into()));
    assert_eq!((third.version_min, listeners[3].serves), (TlsVersion::V13, Serves::ALL));
    // `listen` is there as well if it is given, and only then.
    let both = load(&format!("listen = '127.0.0.1:1'\n{text}")).unwrap().listeners;
    assert_eq!((both.len(), both[0].address.to_string()), (5, "127.0.0.1:1".into()));
}

#[test]
fn slips_in_listeners_are_told_with_their_line() {
    for (entries, line, text) in [
        ("serves = ['api']", 1, "listeners[0] has no address; write address ="),
        ("address = 'localhost:80'", 1, "listeners[0] has an address that is none; write"),
        ("address = 'unix:'", 1, "an address that is none"),
        ("address = 'fd:'", 1, "an address that is none"),
        ("address = '[::1]:1'\ntls = { key_file = 'a' }", 1, "tls without certificate_file"),
        ("address = '[::1]:1'\ntls = { certificate_file = 'a' }", 1, "tls without key_file"),
        ("address = '[::1]:1'\ntls = { cert = 'a' }", 3, "tls has no cert; it may hold"),
        ("address = '[::1]:1'\ntls = { key_fil = 'a' }", 3, "did you mean key_file?"),
        ("address = '[::1]:1'\ntls = { version_min = '1.1' }", 3, "one of 1.2, 1.3"),
        ("address = '[::1]:1'\ntls = true", 3, "tls takes a table: {"),
        ("address = '[::1]:1'\nserves = []", 1, "serves nothing; write clients"),
        ("address = '[::1]:1'\nserves = ['client']", 1, "did you mean clients?"),
        ("address = '[::1]:1'\nproxy = true", 3, "a listener has no proxy; "),
        ("address = '[::1]:1'\n[[listeners]]\naddress = '[::1]:1'", 3, "[1] has the address of"),
        ("address = '0.0.0.0:1'", 1, "others can reach 0.0.0.0:1, and neither the API nor"),
        ("address = 'systemd'", 1, "others can reach systemd"),
    ] {
        let error = load(&format!("[[listeners]]\n{entries}\n")).unwrap_err().to_string();
        assert!(error.contains(text) && error.contains(&format!("f.toml:{line}")), "{error}");
    }
    let error = load("listen = '127.0.0.1:1'\n[[listeners]]\naddress = '0.0.0.0:1'\n");
    assert!(error.unwrap_err().to_string().starts_with("dir/f.toml:2: others can reach"));
    let many = "[[listeners]]\naddress = '127.0.0.1:0'\n".repeat(17);
    assert!(load(&many).unwrap_err().to_string().contains("listeners[16] is one more than 16"));
    assert!(World::new().variable("FANFARE_LISTENERS", "a").load().is_err());
}

#[test]
fn what_needs_no_keys_may_be_reached_without() {
    for good in [
        "address = 'unix:/run/f.sock'",
        "address = '127.0.0.1:1'",
        "address = '0.0.0.0:1'\nserves = ['metrics']",
    ] {
        let settings = load(&format!("[[listeners]]\n{good}\n")).unwrap();
        assert!(settings.open_mode, "{good}");
    }
}

#[test]
fn proxies_are_trusted_by_network_or_as_local() {
    let trusted = |list: &str| {
        World::new()
            .variable("FANFARE_HTTP_TRUSTED_PROXIES", list)
            .load()
            .map(|s| s.trusted_proxies)
    };
    let both = trusted("10.0.0.0/8,unix").unwrap();
    let at = |address: &str| Peer::At(address.parse().unwrap());
    assert!(both.trust(at("10.1.2.3:1")) && both.trust(Peer::Local));
    assert!(!both.trust(at("11.1.2.3:1")) && !trusted("10.0.0.0/8").unwrap().trust(Peer::Local));
    let nobody = World::new().load().unwrap().trusted_proxies;
    assert!(!nobody.trust(at("127.0.0.1:1")) && !nobody.trust(Peer::Local));
    let error = trusted("10.0.0.0/8,proxy").unwrap_err().to_string();
    assert!(error.contains("http.trusted_proxies[1] is not a network; write it like"), "{error}");
}
