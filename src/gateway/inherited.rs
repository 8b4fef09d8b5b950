//! Sockets that a parent made and handed over: systemd's protocol (`sd_listen_fds(3)`), which others
//! speak too. Connections queue up in them while nobody accepts, so a restart refuses none.

use std::env;
use std::io;
use std::os::fd::OwnedFd;

use listenfd::ListenFd;
use socket2::Socket;

/// The most sockets that are taken.
const SOCKETS_MAX: usize = 64;

/// The name of a socket that has none.
const UNNAMED: &str = "unknown";

/// What was handed over, by name.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<(String, Socket)>,
}

impl Inherited {
    /// Takes over what the environment says was handed to this very process, and removes the
    /// variables, so that no child takes it for its own. The names stay, and mean nothing without.
    ///
    /// To be called before there are threads, because it changes the environment. What is no socket
    /// that accepts is logged and left alone.
    pub fn take() -> Self {
        let number = |name: &str| env::var(name).ok()?.parse::<usize>().ok();
        let is_ours = number("LISTEN_PID") == Some(std::process::id() as usize);
        let count = number("LISTEN_FDS").unwrap_or(0);
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        if count > SOCKETS_MAX {
            tracing::error!("LISTEN_FDS is over {SOCKETS_MAX}; no socket is taken over");
            return Self::default();
        }
        let mut handed_over = ListenFd::from_env();
        if !is_ours {
            return Self::default();
        }
        let mut sockets = Vec::new();
        let mut names = names.split(':').map(str::to_owned);
        for at in 0..handed_over.len() {
            let name = names.next().filter(|name| !name.is_empty());
            let name = name.unwrap_or_else(|| UNNAMED.into());
            match listener(&mut handed_over, at) {
                Ok(socket) => sockets.push((name, socket)),
                Err(error) => tracing::error!("inherited descriptor {}: {error}", 3 + at),
            }
        }
        Self { sockets }
    }

    /// Those of a name, or all that are left.
    pub(super) fn named(&mut self, name: Option<&str>) -> Vec<Socket> {
        let is_meant = |(of, _): &mut (String, Socket)| name.is_none_or(|name| of == name);
        self.sockets.extract_if(.., is_meant).map(|(_, socket)| socket).collect()
    }

    /// The names of those that nobody took.
    pub(super) fn names(&self) -> Vec<&str> {
        self.sockets.iter().map(|(name, _)| name.as_str()).collect()
    }
}

fn listener(from: &mut ListenFd, at: usize) -> io::Result<Socket> {
    let tcp = from.take_tcp_listener(at).ok().flatten().map(OwnedFd::from);
    let socket = match tcp {
        Some(socket) => socket,
        None => from.take_unix_listener(at)?.ok_or(io::ErrorKind::NotFound)?.into(),
    };
    let socket = Socket::from(socket);
    match socket.is_listener()? {
        true => Ok(socket),
        false => Err(io::Error::other("it is a socket, and does not listen")),
    }
}
