//! A socket that listens, and whoever is next at it.
//!
//! tokio's own listeners accept until the kernel says that nobody is left, and Linux makes a whole socket
//! for that answer and throws it away again: inode, file and directory entry, freed in a work of the task.
//! That was 5 of 70 µs for each connection of those that come one by one. So this one asks whether
//! somebody waits, which is a hundredth of it.

use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{SocketAddrAny, SocketFlags, acceptfrom_with};
use socket2::Socket;
use tokio::io::unix::AsyncFd;
use tokio::task::coop::consume_budget;

use crate::outbox::watched::watch_reading;

/// A connection, where it comes from, and whether it is the only one.
type Next = (OwnedFd, Option<SocketAddrAny>, bool);

/// See the module.
#[derive(Debug)]
pub(super) struct Listening(AsyncFd<Socket>);

impl Listening {
    /// Of a socket that listens and does not block.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub(super) fn new(socket: Socket) -> io::Result<Self> {
        watch_reading(socket).map(Self)
    }

    /// The socket itself.
    pub(super) fn socket(&self) -> &Socket {
        self.0.get_ref()
    }

    /// The next connection, which does not block either, and where it comes from; and whether it is the
    /// only one at the moment. For one task at a time.
    ///
    /// # Errors
    /// Those of `accept4`. Its next call goes on with whoever waits.
    ///
    /// # Cancel safety
    /// Dropped before it is ready it has taken nobody.
    pub(super) async fn accept(&self) -> io::Result<Next> {
        // Or a storm would never let anybody else of this worker have a turn.
        consume_budget().await;
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Next>> {
        loop {
            let mut ready = ready!(self.0.poll_read_ready(cx))?;
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            match acceptfrom_with(self.socket(), flags).map_err(io::Error::from) {
                // Another process that has the same socket was faster.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                accepted => {
                    let is_alone = !self.somebody_waits();
                    // Whoever comes from here on is told of anew: this clears what was known before.
                    if is_alone {
                        ready.clear_ready();
                    }
                    return Poll::Ready(accepted.map(|(socket, peer)| (socket, peer, is_alone)));
                }
            }
        }
    }

    fn somebody_waits(&self) -> bool {
        let mut asked = [PollFd::new(self.socket(), PollFlags::IN)];
        // An error would be one of the next accept, too.
        !matches!(poll(&mut asked, Some(&Timespec::default())), Ok(0))
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpStream};
    use std::time::Duration;

    use socket2::{Domain, Type};

    use super::*;

    fn listening() -> (Listening, SocketAddr) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        socket.bind(&any.into()).unwrap();
        socket.listen(64).unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        (Listening::new(socket).unwrap(), address)
    }

    #[tokio::test]
    async fn everybody_is_accepted_whether_they_come_together_or_one_by_one() {
        let (listening, address) = listening();
        let together: Vec<_> = (0..20).map(|_| TcpStream::connect(address).unwrap()).collect();
        for (number, peer) in together.iter().enumerate() {
            let (accepted, from, is_alone) = listening.accept().await.unwrap();
            assert_eq!(SocketAddr::try_from(from.unwrap()), Ok(peer.local_addr().unwrap()));
            assert!(Socket::from(accepted).nonblocking().unwrap());
            assert_eq!(is_alone, number == 19);
        }
        for _ in 0..20 {
            let nobody = tokio::time::timeout(Duration::from_millis(1), listening.accept()).await;
            assert!(nobody.is_err(), "{nobody:?}");
            let peer = TcpStream::connect(address).unwrap();
            let (_, from, is_alone) = listening.accept().await.unwrap();
            assert_eq!(SocketAddr::try_from(from.unwrap()), Ok(peer.local_addr().unwrap()));
            assert!(is_alone);
        }
    }

    #[tokio::test]
    async fn what_another_process_takes_is_waited_for_again() {
        let (listening, address) = listening();
        let first = TcpStream::connect(address).unwrap();
        let other = listening.socket().try_clone().unwrap();
        drop(other.accept().unwrap());
        let nobody = tokio::time::timeout(Duration::from_millis(20), listening.accept()).await;
        assert!(nobody.is_err(), "{nobody:?}");
        let second = TcpStream::connect(address).unwrap();
        let (_, from, _) = listening.accept().await.unwrap();
        assert_eq!(SocketAddr::try_from(from.unwrap()), Ok(second.local_addr().unwrap()));
        drop((first, second));
    }
}
