//! What the service manager is told: systemd's protocol (`sd_notify(3)`), a datagram to the socket that
//! `NOTIFY_SOCKET` names. Without the variable, or where nobody listens, nothing happens.
//!
//! | told | when |
//! |---|---|
//! | `READY=1` | it listens, and after each reload, good or not |
//! | `RELOADING=1`, with the time | SIGHUP came |
//! | `STOPPING=1` | the first SIGTERM or SIGINT came |
//! | `WATCHDOG=1` | at half of what `WATCHDOG_USEC` allows, as long as the runtime turns |

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Whom to tell.
#[derive(Clone, Debug, Default)]
pub(super) struct Notifier {
    socket: Option<OsString>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// As the environment has it.
    pub(super) fn from_environment() -> Self {
        let number = |name: &str| env::var(name).ok()?.parse::<u64>().ok();
        let is_ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|micros| is_ours && *micros > 0);
        Self {
            socket: env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty()),
            watchdog: watchdog.map(Duration::from_micros),
        }
    }

    pub(super) fn ready(&self) {
        self.tell("READY=1");
    }

    /// To be followed by [`ready`](Self::ready). systemd orders the two by the time.
    pub(super) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// Tells that the runtime turns, for as long as it is awaited.
    pub(super) async fn watchdog(self) {
        let Some(limit) = self.watchdog else { return };
        loop {
            self.tell("WATCHDOG=1");
            tokio::time::sleep(limit / 2).await;
        }
    }

    fn tell(&self, state: &str) {
        let Some(socket) = &self.socket else { return };
        if let Err(error) = send(socket, state.as_bytes()) {
            tracing::warn!("the service manager cannot be told: {error}");
        }
    }
}

/// Never waits: a manager that does not read is not worth a session.
fn send(socket: &OsStr, state: &[u8]) -> io::Result<()> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    let from = UnixDatagram::unbound()?;
    from.set_nonblocking(true)?;
    from.send_to_addr(state, &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(by: impl Fn(&Notifier)) -> String {
        let name = format!("fanfare-notify-{}-{:x}", std::process::id(), rand::random::<u64>());
        let address = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        manager.set_nonblocking(true).unwrap();
        by(&Notifier { socket: Some(format!("@{name}").into()), watchdog: None });
        let mut datagram = [0; 256];
        let length = manager.recv(&mut datagram).unwrap();
        String::from_utf8(datagram[..length].to_vec()).unwrap()
    }

    #[test]
    fn the_manager_gets_what_it_understands() {
        assert_eq!(told(Notifier::ready), "READY=1");
        assert_eq!(told(Notifier::stopping), "STOPPING=1");
        let reloading = told(Notifier::reloading);
        let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        assert!(time.parse::<u64>().unwrap() > 0, "{reloading}");
    }

    #[tokio::test]
    async fn without_a_manager_nothing_happens() {
        let nobody = Notifier { socket: Some("@fanfare-nobody".into()), watchdog: None };
        for notifier in [Notifier::default(), nobody] {
            notifier.ready();
            notifier.watchdog().await;
        }
    }
}
