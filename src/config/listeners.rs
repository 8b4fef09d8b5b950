//! Where the gateway listens: `listen`, the short way, and `listeners`, for all that it cannot say.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::Places;
use super::error::{ConfigError, Place, nearest, shown};
use super::raw::{RawListener, RawListenerTls};
use super::settings::{ListenAddress, ListenerSettings, TlsSettings, TlsVersion};
use crate::http::{LISTENERS_MAX, Serves};

const PATH: &str = "listeners";

/// What `listen` is when there are no listeners either.
const DEFAULT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8000);

/// Both together; the one of `listen` comes first.
pub(crate) fn listeners(
    listen: Option<&str>,
    typed: Option<Vec<RawListener>>,
    places: &Places,
) -> Result<Vec<ListenerSettings>, ConfigError> {
    let typed = typed.unwrap_or_default();
    let mut listeners = Vec::new();
    if let Some(address) = listen {
        listeners.push(ListenerSettings::plain(tcp(address).ok_or_else(|| {
            ConfigError::new(
                places.of("listen"),
                "listen takes an IP address and a port; write it like 127.0.0.1:8000, \
                 0.0.0.0:8000 or [::]:8000",
            )
        })?));
    } else if typed.is_empty() {
        listeners.push(ListenerSettings::plain(DEFAULT));
    }
    for (index, raw) in typed.into_iter().enumerate() {
        let place = places.of_item(PATH, index);
        let wrong =
            |what: String| ConfigError::new(place.clone(), format!("{PATH}[{index}] {what}"));
        let listener = listener(raw, &place).map_err(wrong)?;
        let is_same = |other: &ListenerSettings| other.address == listener.address;
        let any_port = matches!(listener.address, ListenAddress::Tcp(at) if at.port() == 0);
        if !any_port && listeners.iter().any(is_same) {
            return Err(wrong("has the address of another one; remove one of them".into()));
        }
        if listeners.len() == LISTENERS_MAX {
            return Err(wrong(format!("is one more than {LISTENERS_MAX}; remove some")));
        }
        listeners.push(listener);
    }
    Ok(listeners)
}

/// The first that others than this machine's own programs can reach, for what has or needs keys.
pub(crate) fn reached<'a>(
    listeners: &'a [ListenerSettings],
    places: &Places,
) -> Option<(&'a ListenerSettings, Place)> {
    let is_local = |listener: &ListenerSettings| match &listener.address {
        // `::ffff:127.0.0.1` is loopback too.
        ListenAddress::Tcp(address) => address.ip().to_canonical().is_loopback(),
        ListenAddress::Unix(_) => true,
        ListenAddress::Systemd(_) => false,
    };
    let is_reached = |listener: &ListenerSettings| {
        (listener.serves.clients || listener.serves.api) && !is_local(listener)
    };
    let at = listeners.iter().position(is_reached)?;
    let of_listen = places.0.contains_key("listen") || !places.0.contains_key(PATH);
    let place = match at.checked_sub(usize::from(of_listen)) {
        None => places.of("listen"),
        Some(index) => places.of_item(PATH, index),
    };
    Some((&listeners[at], place))
}

fn tcp(typed: &str) -> Option<SocketAddr> {
    typed.parse().ok()
}

/// One of `listeners`.
///
/// # Errors
/// What is wrong with it, and what to do.
fn listener(raw: RawListener, place: &Place) -> Result<ListenerSettings, String> {
    let typed = raw.address.as_deref().ok_or(
        "has no address; write address = \"0.0.0.0:8443\", \"unix:/run/fanfare.sock\", \
         \"systemd\" or \"fd:NAME\"",
    )?;
    let address = match typed.split_once(':') {
        _ if typed == "systemd" => ListenAddress::Systemd(None),
        Some(("fd", name)) if !name.is_empty() => ListenAddress::Systemd(Some(name.into())),
        Some(("unix", path)) if !path.is_empty() => ListenAddress::Unix(place.resolve(path)),
        _ => ListenAddress::Tcp(tcp(typed).ok_or(
            "has an address that is none; write an IP address and a port (0.0.0.0:8443), \
             unix:/PATH, systemd or fd:NAME",
        )?),
    };
    Ok(ListenerSettings {
        address,
        tls: raw.tls.map(|raw| tls(raw, place)).transpose()?,
        proxy_protocol: raw.proxy_protocol.unwrap_or(false),
        serves: raw.serves.map_or(Ok(Serves::ALL), serves)?,
    })
}

fn tls(raw: RawListenerTls, place: &Place) -> Result<TlsSettings, String> {
    let file = |typed: Option<String>, name: &str| -> Result<PathBuf, String> {
        let typed = typed.filter(|path| !path.is_empty());
        let path = typed.ok_or_else(|| format!("has tls without {name}; name a file in PEM"))?;
        Ok(place.resolve(&path))
    };
    Ok(TlsSettings {
        certificate_file: file(raw.certificate_file, "certificate_file")?,
        key_file: file(raw.key_file, "key_file")?,
        client_ca_file: raw.client_ca_file.map(|path| place.resolve(&path)),
        version_min: match raw.version_min.as_deref() {
            Some("1.3") => TlsVersion::V13,
            _ => TlsVersion::V12,
        },
    })
}

fn serves(names: Vec<String>) -> Result<Serves, String> {
    const NAMES: [&str; 4] = ["clients", "api", "metrics", "admin"];
    let mut serves = Serves { clients: false, api: false, metrics: false, admin: false };
    for name in &names {
        match name.as_str() {
            "clients" => serves.clients = true,
            "api" => serves.api = true,
            "metrics" => serves.metrics = true,
            "admin" => serves.admin = true,
            other => {
                let advice = match nearest(other, NAMES) {
                    Some(near) => format!("did you mean {near}?"),
                    None => "write clients, api, metrics or admin".into(),
                };
                return Err(format!("cannot serve {}; {advice}", shown(other)));
            }
        }
    }
    match names.is_empty() {
        true => Err("serves nothing; write clients, api, metrics or admin, or leave it out".into()),
        false => Ok(serves),
    }
}
