//! A socket that connections come in by: TCP, Unix, or either from a parent.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use super::inherited::Inherited;
use super::listening::Listening;
use crate::base::limits::HttpLimits;
use crate::config::ListenAddress;
use crate::connection::Stream;
use crate::http::Peer;

/// Connections that the kernel holds until they are accepted; it cuts this to `somaxconn`, which
/// is 4,096 by default.
const BACKLOG: i32 = 4_096;

/// See the module.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(Listening),
    Unix {
        listening: Listening,
        send_buffer_bytes: usize,
        /// Removed at the end, if it was made here.
        _path: Option<OwnPath>,
    },
}

impl Listener {
    /// Listens on an address: on one socket, or on those that were handed over, which may be several.
    pub(super) fn open(
        address: &ListenAddress,
        limits: &HttpLimits,
        inherited: &mut Inherited,
    ) -> io::Result<Vec<Self>> {
        match address {
            ListenAddress::Tcp(address) => Ok(vec![Self::Tcp(tcp(*address, limits)?)]),
            ListenAddress::Unix(path) => Ok(vec![unix(path, limits)?]),
            ListenAddress::Systemd(name) => {
                let sockets = inherited.named(name.as_deref());
                if sockets.is_empty() {
                    return Err(io::Error::new(
                        io::ErrorKind::NotFound,
                        "no such socket was handed over (LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES)",
                    ));
                }
                sockets.into_iter().map(|socket| from_parent(socket, limits)).collect()
            }
        }
    }

    /// The next connection; and whether it is the only one at the moment.
    pub(super) async fn accept(&self) -> io::Result<(Stream, Peer, bool)> {
        match self {
            Self::Tcp(listening) => {
                let (socket, peer, is_alone) = listening.accept().await?;
                let peer = peer.ok_or(io::ErrorKind::InvalidData)?.try_into()?;
                Ok((Stream::fresh_tcp(socket)?, Peer::At(peer), is_alone))
            }
            Self::Unix { listening, send_buffer_bytes, .. } => {
                let (socket, _, is_alone) = listening.accept().await?;
                // Not inherited from the listener. It cannot fail on a socket that is open.
                let _ = SockRef::from(&socket).set_send_buffer_size(*send_buffer_bytes);
                Ok((Stream::fresh_unix(socket)?, Peer::Local, is_alone))
            }
        }
    }

    /// Where it is, if that is an IP address.
    pub(super) fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listening) => listening.socket().local_addr().ok()?.as_socket(),
            Self::Unix { .. } => None,
        }
    }
}

/// Listens on an address. What is accepted inherits the options (Linux: `inet_csk_clone_lock`
/// copies the socket), which costs no call per connection.
fn tcp(address: SocketAddr, limits: &HttpLimits) -> io::Result<Listening> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Or a restart would wait until the old connections' ports are forgotten.
    socket.set_reuse_address(true)?;
    set_options(&socket, limits)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Listening::new(socket)
}

fn set_options(socket: &Socket, limits: &HttpLimits) -> io::Result<()> {
    socket.set_tcp_user_timeout(Some(Duration::from_millis(limits.tcp_user_timeout_ms)))?;
    socket.set_tcp_nodelay(true)?;
    socket.set_send_buffer_size(limits.send_buffer_bytes)?;
    socket.set_tcp_notsent_lowat(limits.unsent_bytes_max)?;
    socket.set_nonblocking(true)
}

fn unix(path: &Path, limits: &HttpLimits) -> io::Result<Listener> {
    if is_left_over(path) {
        fs::remove_file(path)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let own = OwnPath::of(path);
    socket.listen(BACKLOG)?;
    unix_from(socket, own, limits)
}

fn unix_from(socket: Socket, path: Option<OwnPath>, limits: &HttpLimits) -> io::Result<Listener> {
    Ok(Listener::Unix {
        listening: Listening::new(socket)?,
        send_buffer_bytes: limits.send_buffer_bytes,
        _path: path,
    })
}

fn from_parent(socket: Socket, limits: &HttpLimits) -> io::Result<Listener> {
    if socket.domain()? == Domain::UNIX {
        socket.set_nonblocking(true)?;
        return unix_from(socket, None, limits);
    }
    set_options(&socket, limits)?;
    Listening::new(socket).map(Listener::Tcp)
}

/// A socket of a program that was killed: it is in the way of the next, and nobody listens on it.
fn is_left_over(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    is_socket
        && std::os::unix::net::UnixStream::connect(path)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// The path of a socket, removed when this is dropped: unless there is another one by then, of a
/// program that was started meanwhile.
#[derive(Debug)]
pub(super) struct OwnPath {
    path: PathBuf,
    place: (u64, u64),
}

impl OwnPath {
    fn of(path: &Path) -> Option<Self> {
        Some(Self { path: path.into(), place: place(path)? })
    }
}

fn place(path: &Path) -> Option<(u64, u64)> {
    let found = fs::symlink_metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

impl Drop for OwnPath {
    fn drop(&mut self) {
        if place(&self.path) == Some(self.place) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use tokio::net::TcpStream;

    use super::*;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn what_is_accepted_inherits_the_options() {
        let limits = HttpLimits {
            tcp_user_timeout_ms: 12_345,
            send_buffer_bytes: 77_000,
            unsent_bytes_max: 5_555,
            ..HttpLimits::default()
        };
        let listener = tcp("127.0.0.1:0".parse().unwrap(), &limits).unwrap();
        let address = listener.socket().local_addr().unwrap().as_socket().unwrap();
        let _peer = TcpStream::connect(address).await.unwrap();
        let (accepted, ..) = listener.accept().await.unwrap();
        let inherited = SockRef::from(&accepted);
        assert_eq!(inherited.tcp_user_timeout().unwrap(), Some(Duration::from_millis(12_345)));
        assert!(inherited.tcp_nodelay().unwrap());
        // Linux doubles it, for what it needs itself.
        assert_eq!(inherited.send_buffer_size().unwrap(), 154_000);
        assert_eq!(inherited.tcp_notsent_lowat().unwrap(), 5_555);
    }

    #[tokio::test]
    async fn a_socket_that_was_left_over_is_replaced_and_one_in_use_is_not() {
        let name = format!("fanfare-{}.sock", std::process::id());
        let path = std::env::temp_dir().join(name);
        let limits = HttpLimits::default();
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let listener = unix(&path, &limits).unwrap();
        assert_eq!(unix(&path, &limits).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        assert!(!path.exists());
        fs::write(&path, "a file of somebody").unwrap();
        assert_eq!(unix(&path, &limits).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        fs::remove_file(&path).unwrap();
    }
}
