//! Where the gateway listens, and certificates.

use super::{DAY_MS, Key, Kind, TableKind, int, key, number, text};

/// `listeners`.
const LISTENERS: TableKind = TableKind {
    one: "a listener",
    entries: &[
        ("address", Kind::Text),
        ("tls", Kind::Table(&LISTENER_TLS)),
        ("proxy_protocol", Kind::Switch),
        ("serves", Kind::List),
    ],
    example: "[{ address = \"0.0.0.0:8000\", serves = [\"clients\"] }]",
    is_secret: false,
};

/// `tls` of one of them.
const LISTENER_TLS: TableKind = TableKind {
    one: "tls",
    entries: &[
        ("certificate_file", Kind::Text),
        ("key_file", Kind::Text),
        ("client_ca_file", Kind::Text),
        ("version_min", Kind::Choice(&["1.2", "1.3"])),
    ],
    example: "{ certificate_file = \"a.pem\", key_file = \"a.key\" }",
    is_secret: false,
};

#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    key("listen", Kind::Text, |s| text(&s.listen()?.to_string()),
        "The IP address and port to listen on, without TLS, for everything. Only with this default \
         where there are no listeners."),
    key("listeners", Kind::Tables(&LISTENERS), |_| None,
        "More to listen on. Each has an address: an IP address and port, unix:/PATH for a socket that is \
         made there with the permissions that the umask leaves, fd:NAME for a \
         socket of that name that systemd handed over (FileDescriptorName=), or systemd for all \
         others it did. tls has certificate_file and key_file, in PEM, both read again when they \
         change; with client_ca_file clients need a certificate of one of those authorities; \
         version_min is 1.2 or 1.3. With proxy_protocol every connection has to begin with a header \
         of the PROXY protocol, version 1 or 2, and whoever reaches the listener can claim any \
         address with it. serves is a list of clients, api, metrics and admin, by default all of them.")
        .example("[{ address = \"unix:/run/fanfare.sock\", serves = [\"api\", \"metrics\"] }]"),
    key("insecure", Kind::Switch, |s| Some(s.insecure.into()),
        "Allows what is refused otherwise: an address that others can reach without keys for the \
         API and for sessions, and sessions without tokens beside an API with keys."),

    number("tls.reload_interval_ms", (100, DAY_MS), |s| int(s.tls_reload_interval_ms),
        "How often the files of certificates and keys are looked at. If they have changed they are \
         read again, as they are at SIGHUP; connections are not touched. What is no good is logged, \
         and the old ones stay."),
];
