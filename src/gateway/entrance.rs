//! What a connection goes through before it is HTTP: the PROXY header, then TLS, as its listener wants
//! it; both within `http.handshake_timeout_ms` from being accepted.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ProtocolVersion;

use super::accept::Door;
use super::connection::Phase;
use super::proxy;
use super::tls::Certificates;
use super::turnstile::LetIn;
use crate::connection::{Permit, Stream};
use crate::http::{EntryRefused, Peer, Serves};

/// A listener, for those who come in by it.
#[derive(Debug)]
pub(super) struct Entrance {
    pub(super) door: Arc<Door>,
    pub(super) proxy_protocol: bool,
    pub(super) tls: Option<Arc<Certificates>>,
    pub(super) serves: Serves,
}

/// A connection on its way in.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) stream: Stream,
    pub(super) peer: Peer,
    /// When it was accepted.
    pub(super) began: Instant,
    /// When its turn came.
    pub(super) let_in: Option<LetIn>,
    /// What it counts for; with the PROXY protocol nothing, until it is known who it is.
    pub(super) permit: Option<Permit>,
}

impl Entrance {
    /// Whether there is nothing to go through.
    pub(super) fn is_plain(&self) -> bool {
        !self.proxy_protocol && self.tls.is_none()
    }

    /// Whether connections by it are to end in this phase.
    pub(super) fn ends_in(&self, phase: Phase) -> bool {
        phase >= Phase::Finish || (phase == Phase::FinishClients && self.serves.clients)
    }

    /// Goes through it. `None` if the connection is refused, or ended; it has been told then, where
    /// there is a way to tell.
    pub(super) async fn enter(&self, mut arrival: Arrival) -> Option<Arrival> {
        let timeout = Duration::from_millis(self.door.state().limits().handshake_timeout_ms);
        let due = arrival.began + timeout;
        if self.proxy_protocol {
            match timeout_at(due, proxy::read(&mut arrival.stream)).await {
                Ok(Ok(None)) => {}
                Ok(Ok(Some(address))) => arrival.peer = Peer::At(address),
                Ok(Err(fault)) => {
                    self.note(EntryRefused::ProxyHeader, arrival.peer, &fault.to_string());
                    return None;
                }
                Err(_) => {
                    self.note(EntryRefused::ProxyTimeout, arrival.peer, "no PROXY header in time");
                    return None;
                }
            }
            match self.door.admit_peer(arrival.peer, &self.door.state().options(), Instant::now()) {
                Ok(permit) => arrival.permit = permit,
                Err(why) => {
                    self.door.refuse(arrival.stream, why, self.tls.is_some(), None);
                    return None;
                }
            }
        }
        let Some(tls) = &self.tls else { return Some(arrival) };
        let Arrival { stream, peer, began, let_in, permit } = arrival;
        match timeout_at(due, TlsAcceptor::from(tls.config()).accept(stream)).await {
            Ok(Ok(stream)) => {
                let is_13 = stream.get_ref().1.protocol_version() == Some(ProtocolVersion::TLSv1_3);
                self.door.state().tally().tls_handshakes[usize::from(is_13)].add(1);
                Some(Arrival { stream: Stream::other(stream), peer, began, let_in, permit })
            }
            Ok(Err(error)) => {
                self.note(EntryRefused::Tls, peer, &error.to_string());
                None
            }
            Err(_) => {
                self.note(EntryRefused::TlsTimeout, peer, "no TLS handshake in time");
                None
            }
        }
    }

    fn note(&self, why: EntryRefused, peer: Peer, text: &str) {
        self.door.state().tally().entries_refused(why).add(1);
        tracing::debug!(reason = why.name(), %peer, "connection refused: {text}");
    }
}
